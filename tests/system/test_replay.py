"""What came in a window of time goes to one stream once more: all of it, in the order of coming, and to no other stream."""
import json
import os
import pty
import re
import signal
import subprocess
import time
import urllib.request

import pytest
from lab import Platform, balanced, free_port, sluice
from test_bad_night import OK, post, send, until
from test_commands import run


def spec(port, url, settings=", history: 1h", stream=""):
    return f"""sluice: 1
settings: {{data: data{settings}}}
channels:
  in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}
  side: {{type: http, listen: '127.0.0.1:{port}', path: /side}}
destinations: {{far: {{type: http, url: '{url}/in'}}, near: {{type: http, url: '{url}/near'}}}}
streams: {{lake: {{to: far{stream}}}, other: {{to: near}}}}
subscriptions:
  - {{stream: lake, channels: [in, side]}}
  - {{stream: other, channels: [in, side]}}
"""


def at(far, path):
    return [m for r in far.requests if r["path"] == path for m in json.loads(r["body"])]


def moment(p, seq):
    """All that was posted before is committed before it, and what comes after it after it."""
    until(lambda: all(s["buffered"] == 0 and s["accepted"] >= seq for s in p.status()["streams"]))
    time.sleep(0.002)
    return repr(time.time())


def counted(*words):
    said = json.loads(run(*words))
    assert said.pop("history_begins") > time.time() - 600 and said.pop("overtaken") is False
    return said


def counts(p):
    return [{k: c[k] for k in ("received", "taken")} for c in p.status()["channels"]]


def test_a_destination_that_lost_its_data_gets_the_window_again_and_nobody_else(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 20)[0] == 200
    begin = moment(p, 20)
    for i in range(20, 320, 2):  # by two channels in turn, more than a page
        assert post(port, i, i + 1)[0] == 200
        assert side(port, i + 1)[0] == 200
    end = moment(p, 320)
    assert post(port, 320, 340)[0] == 200
    moment(p, 340)
    taken, first = counts(p), {m["seq"]: m for m in at(far, "/in")}
    far.requests.clear()
    said = run("replay", "--from", begin, "--to", end, "--dry-run", p.file, "lake")
    assert said == "300 would be sent again\n"
    assert run("replay", "--from", begin, "--to", end, p.file, "lake") == "300 on their way again\n"
    until(lambda: p.stream("lake")["accepted"] == 640)
    got = at(far, "/in")
    assert [m["seq"] for m in got] == list(range(20, 320)) and all(first[m["seq"]] == m for m in got)
    assert at(far, "/near") == [] and p.stream("other")["matched"] == 340
    assert counts(p) == taken and p.status()["history"]["messages"] == 340
    assert balanced(p.stream("lake"))
    # Once more after a restart: history is where it was.
    p.kill()
    p.start()
    far.requests.clear()
    assert counted("replay", "--json", "--from", begin, "--to", end, p.file, "lake") == {"sent": 300, "skipped": 0, "unwanted": 0, "left": 0}
    until(lambda: len(at(far, "/in")) == 300)
    assert [m["seq"] for m in at(far, "/in")] == list(range(20, 320))


def side(port, seq):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/side", json.dumps({"ident": "b", "timestamp": 1, "seq": seq}).encode(), timeout=20) as r:
        return r.status, r.read()


def on_a_terminal(*words):
    ours, its = pty.openpty()
    with subprocess.Popen([sluice, *words], stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        shown = b""
        try:
            while got := os.read(ours, 4096):
                shown += got
        except OSError:
            pass   # it has ended
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def test_one_device_at_a_rate(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 30)[0] == 200
    for i in range(30, 60):
        assert side(port, i)[0] == 200
    moment(p, 60)
    far.requests.clear()
    assert "30 would be sent" in run("replay", "--from", "1h", "--device", "b", "--dry-run", p.file, "lake")
    began = time.monotonic()
    shown = on_a_terminal("replay", "--from", "1h", "--device", "b", "--rate", "20/s", p.file, "lake")
    assert "30 on their way" in shown and re.search(r"\[#+\.+\] +\d+%  20 messages", shown), shown
    assert time.monotonic() - began > 0.9
    until(lambda: len(at(far, "/in")) == 30)
    assert [m["seq"] for m in at(far, "/in")] == list(range(30, 60)) and at(far, "/near") == []


def test_todays_plan_and_todays_adapter_decide(program, tmp_path):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 20)[0] == 200
    moment(p, 20)
    (tmp_path / "lua").mkdir()
    (tmp_path / "lua" / "shape.lua").write_text(
        "local A = {}\nfunction A.transform(msg)\n  if msg.seq == 12 then return nil, \"twelve\" end\n  msg.anew = true\n  return msg\nend\nreturn A\n")
    assert p.reload(spec(port, far.url, ", history: 1h, adapters: [lua]", stream=", where: seq >= 10, transforms: [shape]"))
    far.requests.clear()
    said = counted("replay", "--json", "--from", "1h", p.file, "lake")
    assert said == {"sent": 9, "skipped": 1, "unwanted": 10, "left": 0}
    until(lambda: len(at(far, "/in")) == 9)
    assert [m["seq"] for m in at(far, "/in")] == [10, 11, *range(13, 20)] and all(m["anew"] for m in at(far, "/in"))


def test_what_cannot_be_is_told(program):
    far, port = Platform(lambda request: OK), free_port()
    p = program(spec(port, far.url, settings=""))
    assert send(port, b'{"ident":"a","timestamp":1}')[0] == 200
    assert "settings.history" in run("replay", "--from", "1h", p.file, "lake", status=65)
    assert p.reload(spec(port, far.url))
    assert "no message yet" in run("replay", "--from", "1h", p.file, "lake", status=65)
    assert post(port, 0, 5)[0] == 200
    moment(p, 5)
    assert 'did you mean "lake"' in run("replay", "--from", "1h", p.file, "lkae", status=65)
    assert "as they came" in run("replay", "--as-it-was", "--from", "1h", p.file, "lake", status=64)
    assert "from when" in run("replay", p.file, "lake", status=64)
    assert "not before" in run("replay", "--from", "1h", "--to", "2h", p.file, "lake", status=64)
    assert "holds nothing" in run("replay", "--from", "2h", "--to", "1h", p.file, "lake", status=65)
    assert "holds nothing of device zz" in run("replay", "--from", "1h", "--device", "zz", p.file, "lake", status=65)
    for rate in ("fast", "0", "0/s", "-1/s", "nan"):
        assert "--rate" in run("replay", "--from", "1h", "--rate", rate, p.file, "lake", status=64)
    assert "holds nothing of device /" in run("replay", "--from", "1h", "--device", "/", p.file, "lake", status=65)
    assert at(far, "/in") and p.stream("lake")["matched"] == 6


def test_a_moment_is_read_as_it_is_meant_or_not_at_all(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 5)[0] == 200
    now = time.time()
    utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - 3600))
    there = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - 3600 + 7200))
    for begin in (utc + "Z", there + "+02:00", f"{now - 3600:.6f}", "1h"):
        assert run("replay", "--dry-run", "--from", begin, "--to", f"{now + 3600:.0f}", p.file, "lake") == "5 would be sent again\n"
    # A day without its time, a wall clock without its zone (it may show an hour twice), a number without its unit: nobody guesses.
    for begin in (utc, utc[:10], "30", "2026", "5x", "1h30", "-1h", "", "yesterday"):
        told = run("replay", "--dry-run", "--from", begin, p.file, "lake", status=64)
        assert told.startswith("sluice: --from:") and "zone" in told
    assert "empty" in run("replay", "--dry-run", "--from", f"{now + 3600:.0f}", p.file, "lake", status=64)
    assert "empty" in run("replay", "--dry-run", "--from", utc + "Z", "--to", utc + "Z", p.file, "lake", status=64)


def begin_replay(p, *words, stream="lake"):
    return subprocess.Popen([sluice, "replay", "--from", "1h", *words, p.file, stream], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end_replay(r, status=0):
    out, told = r.communicate(timeout=60)
    assert r.returncode == status, (out, told)
    return out, told


def seqs(far, path="/in"):
    return [m["seq"] for m in at(far, path)]


long = pytest.mark.long


@pytest.mark.parametrize("full", [pytest.param("block", marks=long), "drop-newest", pytest.param("drop-oldest", marks=long)])
def test_where_the_buffer_is_full_it_waits_and_nothing_is_dropped_for_it(program, full):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, stream=f", buffer: {{max: 64KiB, full: {full}}}, retry: {{first: 50ms, max: 100ms}}"))
    for i in range(0, 600, 60):
        assert post(port, i, i + 60, pad="x" * 400)[0] == 200
        until(lambda: p.stream("lake")["accepted"] == i + 60)
    far.answer = lambda request: (503, "") if request["path"] == "/in" else OK
    r = begin_replay(p)
    told = r.stderr.readline()
    assert told.startswith("sluice: waiting for room: the buffer of stream lake is full"), told
    held = p.stream("lake")["buffered"]
    assert held > 0 and p.stream("lake")["dropped"] == 0
    far.requests.clear()
    far.answer = lambda request: OK
    assert "600 on their way again" in end_replay(r)[0]
    until(lambda: p.stream("lake")["accepted"] == 1200)
    assert [m["seq"] for r in far.requests if r["path"] == "/in" and r["status"] == 200 for m in json.loads(r["body"])] == list(range(600))
    s = p.stream("lake")
    assert s["matched"] == 1200 and s["dropped"] == 0 and balanced(s)


def test_replays_at_once_to_one_stream_and_to_another(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    for i in range(0, 400, 40):
        assert post(port, i, i + 40)[0] == 200
    moment(p, 400)
    far.requests.clear()
    all_ = [begin_replay(p), begin_replay(p), begin_replay(p, stream="other")]
    assert all("400 on their way again" in end_replay(r)[0] for r in all_)
    until(lambda: p.stream("lake")["accepted"] == 1200 and p.stream("other")["accepted"] == 800)
    assert seqs(far, "/near") == list(range(400))
    twice = seqs(far)
    # Each of the two is in order, so that the first copies are, and the second ones.
    firsts = list(dict.fromkeys(twice))
    assert firsts == list(range(400)) and list(dict.fromkeys(reversed(twice))) == list(range(399, -1, -1)) and len(twice) == 800
    assert balanced(p.stream("lake")) and balanced(p.stream("other")) and p.status()["history"]["messages"] == 400


def rest(told):
    found = re.search(r"the rest: --from (\S+) --to (\S+) ", told)
    assert found, told
    return found.groups()


@pytest.mark.parametrize("end", ["interrupted", "killed", pytest.param("stopped", marks=long)])
def test_one_that_did_not_come_to_its_end_is_gone_on_with_where_it_stopped(program, end):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    for i in range(60):
        assert post(port, i, i + 1)[0] == 200
    moment(p, 60)
    far.requests.clear()
    r = begin_replay(p, "--rate", "40/s")
    until(lambda: p.stream("lake")["matched"] == 100)
    if end == "interrupted":
        r.send_signal(signal.SIGINT)
    elif end == "killed":
        p.kill()
    else:
        assert p.stop() == 0
    out, told = end_replay(r, 130 if end == "interrupted" else 69)
    assert out == "40 on their way again\n"
    if end != "interrupted":
        p.start()
    assert post(port, 60, 61)[0] == 200   # after the window
    begin, to = rest(told)
    assert run("replay", "--from", begin, "--to", to, p.file, "lake") == "20 on their way again\n"
    until(lambda: p.stream("lake")["accepted"] == 121)
    got = [i for i in seqs(far) if i < 60]
    assert got == list(range(60)) if end == "interrupted" else list(dict.fromkeys(got)) == list(range(60))
    assert balanced(p.stream("lake")) and balanced(p.stream("other"))


@pytest.mark.parametrize("change", ["stream removed", pytest.param("history off", marks=long), "history short"])
def test_a_reload_in_the_midst_of_it_is_told(program, change):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    for i in range(60):
        assert post(port, i, i + 1)[0] == 200
    moment(p, 60)
    r = begin_replay(p, "--rate", "40/s")
    until(lambda: p.stream("lake")["matched"] == 100)
    if change == "stream removed":
        assert p.reload(spec(port, far.url).replace("lake", "pond"))
        out, told = end_replay(r, 65)
        assert 'no stream "lake"' in told
    elif change == "history off":
        assert p.reload(spec(port, far.url, settings=""))
        out, told = end_replay(r, 65)
        assert "no history is kept" in told
    else:
        assert p.reload(spec(port, far.url, settings=", history: 1ms"))
        until(lambda: post(port, 60, 61)[0] == 200 and p.status()["history"]["expired"] >= 60)
        out, told = end_replay(r)
        assert "before they had their turn; those are not sent" in told
    assert out == "40 on their way again\n" and (change == "history short" or rest(told))
    assert all(balanced(s) for s in p.status()["streams"])


def test_a_stop_in_the_midst_of_pages_ends_them_all(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    for i in range(0, 2000, 100):
        assert post(port, i, i + 100)[0] == 200
    until(lambda: p.stream("lake")["accepted"] == p.stream("other")["accepted"] == 2000)
    for _ in range(3):
        begun = {name: p.stream(name)["matched"] for name in ("lake", "other")}
        all_ = [begin_replay(p, "--json", stream=name) for name in ("lake", "other", "lake")]
        until(lambda: p.stream("lake")["matched"] > begun["lake"])
        assert p.stop() == 0
        p.start()
        sent = {"lake": 0, "other": 0}
        for name, r in zip(("lake", "other", "lake"), all_):
            out, _ = r.communicate(timeout=60)
            assert r.returncode in (0, 69)
            sent[name] += json.loads(out)["sent"] if out else 0
        for name, n in sent.items():
            s = p.stream(name)
            # What was said to be sent is; of each replay one more page may be, whose answer did not come.
            assert begun[name] + n <= s["matched"] <= begun[name] + n + 200 and balanced(s)
    until(lambda: all(s["buffered"] == 0 for s in p.status()["streams"]))
    assert sorted(set(seqs(far))) == list(range(2000))
