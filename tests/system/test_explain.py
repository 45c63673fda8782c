"""`sluice explain`: what it says of a message is what the router at work does with it, and why."""
import json
import os
import subprocess

import pytest

from lab import ROOT, Platform, free_port, sluice

SPEC = """
sluice: 1
settings: {{data: data, adapters: [adapters]}}
channels:
  in:    {{type: http, listen: '127.0.0.1:{port}', path: /messages}}
  other: {{type: http, listen: '127.0.0.1:{port}', path: /other}}
devices:
  "350000000000": {{name: Truck, id: 17, fields: {{plate: WX 1}}}}
destinations:
  far:   {{type: http, url: '{url}/{{ident}}?key=${{env:EXPLAIN_KEY}}'}}
  plate: {{type: http, url: '{url}/plate/{{plate}}', headers: {{X-Ident: '{{ident}}', X-Api-Key: 'Key ${{env:EXPLAIN_KEY}}'}}}}
  topic: {{type: mqtt, url: 'mqtt://127.0.0.1:9', topic: 'at/{{ident}}/{{plate}}'}}
streams:
  all:     {{to: far}}
  fast:
    to: far
    where: seq > 1 && exists('position.latitude')
  short:
    to: far
    fields: {{keep: [ident, seq]}}
    transforms: [twice]
  broken:  {{to: far, transforms: [broken]}}
  picky:   {{to: far, transforms: [picky]}}
  plates:  {{to: plate}}
  off:     {{to: far, enabled: false}}
  nobody:  {{to: far}}
  topics:  {{to: topic, fields: {{keep: [seq]}}}}
subscriptions:
  - {{stream: all, channels: [in]}}
  - {{stream: fast, channels: [in]}}
  - {{stream: short, channels: [in]}}
  - {{stream: broken, channels: [in]}}
  - {{stream: picky, channels: [in]}}
  - {{stream: plates, channels: [in]}}
  - {{stream: off, channels: [in]}}
  - {{stream: nobody, channels: [other]}}
  - {{stream: topics, channels: [other]}}
"""
ADAPTERS = {
    "twice": "local A = {}\nfunction A.transform(msg, ctx)\n  return {n = 2, {a = msg.seq, id = ctx.id}, {b = msg.seq}}\nend\nreturn A\n",
    "broken": "local A = {}\nfunction A.transform(msg)\n  return msg.nothing.more\nend\nreturn A\n",
    "picky": "local A = {}\nfunction A.transform(msg) log.info('saw', msg.seq) return nil, 'not today' end\nreturn A\n",
}
MESSAGES = [{"ident": "350000000000", "timestamp": 1732300000, "seq": s, "position.latitude": 1.5} for s in (1, 2)] + [
    {"ident": "other", "seq": 7}, {"seq": 1}, {"ident": "x", "timestamp": "yesterday"}]


@pytest.fixture
def setup(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLAIN_KEY", "s3cret")
    (tmp_path / "adapters").mkdir()
    for name, text in ADAPTERS.items():
        (tmp_path / "adapters" / f"{name}.lua").write_text(text)

    def write(url):
        port = free_port()
        (tmp_path / "sluice.yaml").write_text(SPEC.format(port=port, url=url))
        return port

    return write


def explain(folder, *arguments, body=None):
    done = subprocess.run([sluice, "explain", *arguments, "sluice.yaml"], cwd=folder, capture_output=True, text=True, timeout=60,
                          input=body if body is not None else json.dumps(MESSAGES))
    return done


def test_each_stream_is_accounted_for_with_its_line_and_its_reason(tmp_path, setup):
    setup("http://127.0.0.1:9")
    done = explain(tmp_path, "--channel", "in", "--json", "--now", "2026-01-01T00:00:00Z", "--id", "500")
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in done.stdout.splitlines()]
    assert [m["message"] for m in got] == [1, 2, 3, 4, 5]
    assert got[3]["refused"] == "no ident" and got[4]["refused"] == "bad timestamp"
    lines = SPEC.format(port=1, url="").split("\n")
    first, second, third = ({s["stream"]: s for s in m["streams"]} for m in got[:3])
    for stream, s in first.items():
        if s["result"] in ("not-subscribed", "not-enabled"):
            continue
        assert f"stream: {stream}" in lines[s["subscription"]["line"] - 1], (stream, s["subscription"])
        assert s["subscription"]["file"] == "sluice.yaml"
    assert {k: s["result"] for k, s in first.items()} == {
        "all": "sent", "fast": "filtered", "short": "sent", "broken": "failed", "picky": "skipped", "plates": "sent", "off": "not-enabled",
        "nobody": "not-subscribed", "topics": "not-subscribed"}
    assert first["fast"]["why"] == "seq is 1, not > 1"
    assert second["fast"]["result"] == "sent"
    assert "broken.lua:3:" in first["broken"]["why"]
    assert first["picky"]["why"] == "not today"
    assert third["plates"]["result"] == "unaddressed" and "{plate}" in third["plates"]["why"]
    assert third["fast"]["result"] == "filtered"
    assert [r["bytes"] for r in first["short"]["rows"]] == ['{"a":1,"id":"500"}', '{"b":1}']
    assert [r["id"] for r in first["short"]["rows"]] == ["500-1", "500-2"]
    assert [s["step"] for s in first["short"]["steps"]] == ["fields", "twice", "twice"]
    assert first["short"]["steps"][0]["bytes"] == '{"ident":"350000000000","seq":1}'
    assert first["all"]["url"] == "http://127.0.0.1:9/350000000000?key=${env:EXPLAIN_KEY}"
    assert got[0]["device"]["line"] == 1 + next(i for i, line in enumerate(lines) if '"350000000000"' in line)
    assert json.loads(got[0]["taken"])["device.name"] == "Truck" and json.loads(got[0]["taken"])["server.timestamp"] == 1767225600


def test_headers_and_topics_are_shown_as_they_would_be_sent(tmp_path, setup):
    setup("http://127.0.0.1:9")
    done = explain(tmp_path, "--channel", "in", "--json")
    first = {s["stream"]: s for s in json.loads(done.stdout.splitlines()[0])["streams"]}
    assert first["plates"]["headers"] == ["X-Ident: 350000000000", "X-Api-Key: Key ${env:EXPLAIN_KEY}"]
    got = [json.loads(line) for line in explain(tmp_path, "--channel", "other", "--json").stdout.splitlines()]
    first, third = ({s["stream"]: s for s in got[i]["streams"]} for i in (0, 2))
    assert first["topics"]["rows"][0]["topic"] == "at/350000000000/WX%201" and first["topics"]["rows"][0]["bytes"] == '{"seq":1}'
    assert third["topics"]["result"] == "unaddressed" and "{plate}" in third["topics"]["why"]
    done = explain(tmp_path, "--channel", "in")
    assert "      X-Ident: 350000000000\n" in done.stdout and "s3cret" not in done.stdout


def test_people_read_the_same_and_no_secret_is_shown(tmp_path, setup):
    setup("http://127.0.0.1:9")
    done = explain(tmp_path, "--channel", "in", "-v")
    assert done.returncode == 0 and "s3cret" not in done.stdout + done.stderr and "\033" not in done.stdout
    for words in ("message 1", '"Truck"', "filtered", "not today", "broken.lua:3", "after fields", "refused: no ident", "not enabled: off",
                  "not subscribed to its channel, device or groups: nobody", "sluice.yaml:"):
        assert words in done.stdout, words
    # What a script logs stands with its message and stream, and nowhere else.
    picky = [part.split("\n  plates")[0] for part in done.stdout.split("  picky ")[1:]]
    assert len(picky) == 3 and ['log: info adapter/picky script text="saw %d"' % seq in part for seq, part in zip((1, 2, 7), picky)] == [True] * 3, picky
    assert "saw" not in done.stderr and done.stdout.count("text=") == 3
    told = [json.loads(line) for line in explain(tmp_path, "--channel", "in", "--json").stdout.splitlines()]
    logs = [s["log"] for m in told if "streams" in m for s in m["streams"] if "log" in s]
    assert [(x["level"], x["pairs"]) for (x,) in logs] == [("info", 'text="saw %d"' % seq) for seq in (1, 2, 7)]


def test_mistakes_in_asking_are_told(tmp_path, setup):
    setup("http://127.0.0.1:9")
    for arguments, words in ((("--channel", "inn"), 'no channel "inn"'), ((), "which channel"), (("--now", "soon", "--channel", "in"), "usage")):
        done = explain(tmp_path, *arguments)
        assert done.returncode == 64 and words in done.stderr and not done.stdout
    done = explain(tmp_path, "--channel", "in", body='[{"ident":"1"},')
    assert done.returncode == 65 and "refuse this whole" in done.stderr and not done.stdout
    (tmp_path / "sluice.yaml").write_text("sluice: 1\nchannel: {}\n")
    done = explain(tmp_path)
    assert done.returncode == 78 and "did you mean" in done.stderr and not os.path.exists(tmp_path / "data")


def test_it_says_what_the_router_then_does(tmp_path, setup, program):
    """Byte for byte, but for the time of receipt and the peer."""
    platform = Platform()
    try:
        port = setup(platform.url)
        spec = (tmp_path / "sluice.yaml").read_text()
        p = program(spec)
        assert len(p.streams()) >= 7
        import socket
        body = json.dumps(MESSAGES).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"POST /messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            told = json.loads(s.recv(65536).split(b"\r\n\r\n")[1])
        assert told["taken"] == 3 and [r["index"] for r in told["refused"]] == [3, 4]
        p.drained()
        want = {}
        for line in explain(tmp_path, "--channel", "in", "--json").stdout.splitlines():
            for s in json.loads(line).get("streams", []):
                for row in s.get("rows", []):
                    want.setdefault(s["url"].split("?")[0].split("/", 3)[3], []).append(row["bytes"])
        got = {}
        for r in platform.requests:
            got.setdefault(r["path"].split("?")[0][1:], []).extend(json.loads(r["body"]))
        strip = lambda m: {k: v for k, v in m.items() if k not in ("server.timestamp", "peer", "id", "timestamp")}  # noqa: E731
        assert set(got) == set(want)
        for path in want:
            key = lambda m: json.dumps(m, sort_keys=True)  # noqa: E731
            assert sorted((strip(m) for m in got[path]), key=key) == sorted((strip(json.loads(m)) for m in want[path]), key=key)
    finally:
        platform.close()


def test_the_manual_shows_what_it_prints():
    """The example of sluice(8) is real."""
    with open(os.path.join(ROOT, "router", "sluice.8")) as f:
        manual = f.read()
    example = manual[manual.index("$ echo '{"):].split("\n.Ed")[0].split("\n")
    command = " ".join(line.strip() for line in example[:2])[2:].replace("sluice explain", f"{sluice} explain")
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert example[2:] == done.stdout.rstrip().split("\n")
