"""Somebody who has read lua/ADAPTERS.md and nothing else: what its first two chapters say is done, word by word, in empty folders."""
import hashlib
import hmac
import json
import os
import re
import shlex
import subprocess
import urllib.request

from lab import ROOT, Platform, Program, balanced, free_port
from lab import sluice as PROGRAM
from test_bad_night import until

SECRET = "open sesame"


def page(title):
    with open(os.path.join(ROOT, "lua/ADAPTERS.md")) as f:
        return f.read().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def chapter(title="A platform, from nothing"):
    return re.findall(r"^```(\w*)\n(.*?)^```$", page(title), re.M | re.S)


def put(text, block):
    """The block in place of what begins with the same words; where there is no such thing, before the vectors."""
    for part in re.split(r"\n\n(?=function )", block.rstrip("\n")):
        begin = part.split("\n", 1)[0].rstrip("{").split("(")[0]
        at = re.search(rf"^{re.escape(begin)}.*?^(?:end|\}})$", text, re.M | re.S)
        if not at:
            at = re.search(r"^(?=A\.vectors = )", text, re.M)
            part += "\n\n"
        text = text[:at.start()] + part + text[at.end():]
    return text


class Fleetbox(Platform):
    """It knows nothing of JSON messages, arrays or idents."""

    def __init__(self):
        super().__init__(self.takes)
        self.points, self.serviced, self.refused = [], 2, 0

    def takes(self, request):
        body = request["body"]
        signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if request["path"] != "/v1/points" or request["headers"].get("x-fleetbox-signature") != signed or not body.endswith(b"\n"):
            self.refused += 1
            return 400, "who are you?"
        if self.serviced:
            self.serviced -= 1
            return 409, ""
        bad = []
        for n, line in enumerate(body.decode().splitlines(), 1):
            found = re.fullmatch(r"(\w+)\|(\d{13})\|(-?\d+\.\d{6})\|(-?\d+\.\d{6})\|(\d+(?:\.\d)?)", line)
            if not found or int(found[2]) > 4000000000000:
                bad.append({"line": n, "why": "from the future" if found else "no point"})
            else:
                self.points.append((found[1], int(found[2]), float(found[3]), float(found[4]), float(found[5])))
        return 200, json.dumps({"stored": n - len(bad), "bad": bad})


def test_whoever_follows_the_guide_ends_with_a_platform_that_works(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETBOX", SECRET)
    far, port, lua = Fleetbox(), free_port(), tmp_path / "lua/fleetbox.lua"
    blocks = chapter()
    assert [kind for kind, _ in blocks] == ["", "yml", "sh"] + ["lua"] * 5
    for kind, block in blocks[1:]:
        if kind == "yml":
            spec = block.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("http://127.0.0.1:9000", far.url)
            (tmp_path / "sluice.yaml").write_text(spec)
        elif kind == "sh":
            for line in block.splitlines():
                words = shlex.split(line)
                assert words[0] == "sluice"
                subprocess.run([PROGRAM, *words[1:]], cwd=tmp_path, check=True, timeout=60, stdout=subprocess.DEVNULL)
        else:
            lua.write_text(put(lua.read_text(), block))
    checked = subprocess.run([PROGRAM, "check", "sluice.yaml"], cwd=tmp_path, text=True, capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stdout
    p = Program(tmp_path, spec)
    try:
        messages = [{"ident": f"dev{n % 7}", "timestamp": 1767323045 + n / 4, "position.latitude": 54 + n / 1000, "position.longitude": 25.25,
                     "position.speed": 18.52 * n} for n in range(200)]
        messages[17]["timestamp"] = 4444444444
        messages[18]["position.latitude"] = None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", json.dumps(messages).encode(), timeout=30) as answer:
            assert json.loads(answer.read()) == {"taken": 200}
        until(lambda: p.stream("points")["buffered"] == 0, 30)
        counts = p.stream("points")
        assert (counts["accepted"], counts["dead"], counts["skipped"]) == (198, 1, 1) and balanced(counts)
        want = [(m["ident"], round(m["timestamp"] * 1000), round(m["position.latitude"], 6), 25.25, 10.0 * n)
                for n, m in enumerate(messages) if n not in (17, 18)]
        assert far.points == want and far.refused == 0 and far.serviced == 0
        assert "from the future" in subprocess.run([PROGRAM, "dead", "list", "--json", p.file, "points"], text=True, capture_output=True, timeout=60).stdout
    finally:
        p.close()
        far.close()


def test_the_first_adapter_takes_no_more_than_what_the_guide_says(tmp_path):
    port, far = free_port(), free_port()
    words = " ".join(page("Fifteen minutes").split())
    blocks = chapter("Fifteen minutes")
    assert [kind for kind, _ in blocks] == ["yml", "lua", "lua", "", "lua", "yml", "sh"]
    spec, examples, function, failure, options, streams, commands = (text for _, text in blocks)
    lua = tmp_path / "lua/speed-mph.lua"
    lua.parent.mkdir()
    (tmp_path / "sluice.yaml").write_text(spec.replace(":8080", f":{port}").replace(":9000", f":{far}"))

    def test():
        done = subprocess.run([PROGRAM, "test", "lua"], cwd=tmp_path, text=True, capture_output=True, timeout=60)
        return done.stdout + done.stderr

    lua.write_text(examples)
    assert (said := re.search(r"does nothing: [^\n]+", test())) and said[0] in words
    lua.write_text(examples.replace("return A\n", function + "\nreturn A\n"))
    assert "vectors pass" in test()
    whole = lua.read_text()
    lua.write_text(whole.replace("0.621371}", "0.62}").replace("speed * 0.621371", "speed * 0.62"))
    assert failure in test()
    assert "`speed * ctx.options.factor` for `speed * 0.621371`" in words
    lua.write_text(whole.replace("function A.transform", options + "\nfunction A.transform").replace("speed * 0.621371", "speed * ctx.options.factor"))
    assert "vectors pass" in test()
    text = (tmp_path / "sluice.yaml").read_text()
    (tmp_path / "sluice.yaml").write_text(re.sub(r"^streams: .*\n", streams, text, flags=re.M))
    subprocess.run([PROGRAM, "check", "sluice.yaml"], cwd=tmp_path, check=True, timeout=60, stdout=subprocess.DEVNULL)
    sink, run, send = (c.replace(":8080", f":{port}").replace(":9000", f":{far}") for c in commands.splitlines())
    with open(tmp_path / "printed", "w") as printed:
        there = subprocess.Popen([PROGRAM, *shlex.split(sink)[1:]], cwd=tmp_path, stdout=printed, stderr=subprocess.DEVNULL)
    p = Program(tmp_path, (tmp_path / "sluice.yaml").read_text(), start=False)
    assert shlex.split(run) == ["sluice", "run", "sluice.yaml"]
    try:
        p.start()
        subprocess.run(["sh", "-c", send.replace("sluice ", shlex.quote(PROGRAM) + " ")], cwd=tmp_path, check=True, timeout=60, stdout=subprocess.DEVNULL)
        (row,) = re.findall(r"The first prints the exact bytes: `([^`]+)`", words)
        until(lambda: row in (tmp_path / "printed").read_text(), 30)
        lua.write_text(lua.read_text().replace("{id = msg.ident,", "{id = msg.ident, made = 'anew',"))
        refused = subprocess.run([PROGRAM, "reload", "sluice.yaml"], cwd=tmp_path, text=True, capture_output=True, timeout=60)
        assert refused.returncode and "vector" in refused.stdout + refused.stderr
    finally:
        p.close()
        there.kill()
        there.wait()
