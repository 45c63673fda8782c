"""What came in a window of time goes to one stream once more: all of it, in the order of coming, and to no other stream."""
import json
import time
import urllib.request

from lab import Platform, balanced, free_port
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
    assert json.loads(run("replay", "--json", "--from", begin, "--to", end, p.file, "lake")) == {"sent": 300, "skipped": 0, "unwanted": 0, "left": 0}
    until(lambda: len(at(far, "/in")) == 300)
    assert [m["seq"] for m in at(far, "/in")] == list(range(20, 320))


def side(port, seq):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/side", json.dumps({"ident": "b", "timestamp": 1, "seq": seq}).encode(), timeout=20) as r:
        return r.status, r.read()


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
    assert "30 on their way" in run("replay", "--from", "1h", "--device", "b", "--rate", "20/s", p.file, "lake")
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
    said = json.loads(run("replay", "--json", "--from", "1h", p.file, "lake"))
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
    assert "--rate" in run("replay", "--from", "1h", "--rate", "fast", p.file, "lake", status=64)
    assert at(far, "/in") and p.stream("lake")["matched"] == 6
