"""Adapters among their neighbours: what one keeps over a restart, what is told when one fails, and how little one that does harm is felt beside it."""
import json
import threading
import time
import urllib.request

import pytest

from lab import Platform, balanced, free_port
from test_bad_night import until
from test_commands import run

SPEC = """
sluice: 1
settings: {{data: data, workers: 1, adapters: [adapters]}}
channels:
  in:   {{type: http, listen: '127.0.0.1:{port}', path: /in}}
  evil: {{type: http, listen: '127.0.0.1:{port}', path: /evil}}
destinations: {{far: {{type: http, url: '{url}/far'}}, hell: {{type: "null"}}}}
streams:
  s: {{to: far, transforms: [{transforms}], retry: {{first: 20ms, max: 50ms}}}}
  e: {{to: hell, transforms: [evil]}}
subscriptions: [{{stream: s, channels: [in]}}, {{stream: e, channels: [evil]}}]
"""


@pytest.fixture
def far():
    p = Platform()
    yield p
    p.close()


def adapter(folder, name, body, before=""):
    (folder / "adapters").mkdir(exist_ok=True)
    (folder / "adapters" / f"{name}.lua").write_text(f"{before}\nreturn {{transform = function(msg, ctx)\n{body}\nend}}\n")


def post(port, *messages, path="in"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", json.dumps(messages).encode(), timeout=30) as answer:
        assert answer.status == 200


def test_thin_and_fill_go_on_where_they_were_over_a_restart(tmp_path, program, far):
    adapter(tmp_path, "evil", "return msg")
    port = free_port()
    steps = "{use: fill, with: {fields: [fuel.level], max-age: 10m}}, {use: thin, with: {every: 30s, on-change: [din]}}"
    p = program(SPEC.format(port=port, url=far.url, transforms=steps))

    def at(t, ident="a", **more):
        return {"ident": ident, "timestamp": 1767323000 + t, **more}

    post(port, at(0, **{"fuel.level": 60, "din": 0}), at(10), at(20, din=0), at(0, "b"), at(25, din=1), at(54))
    p.drained()
    before = p.stream("s")
    assert p.stop() == 0
    p.start()
    post(port, at(40, "b"), at(56), at(50, "b"), at(700, "a"))
    p.drained()
    got = [(m["ident"], m["timestamp"] - 1767323000, m.get("fuel.level")) for m in far.accepted()]
    assert got == [("a", 0, 60), ("b", 0, None), ("a", 25, 60), ("b", 40, None), ("a", 56, 60), ("a", 700, None)]
    after = p.stream("s")
    assert balanced(after) and before["skipped"] == 3 and after["skipped"] == 4 and after["dead"] == 0


def test_what_a_script_failed_on_is_told_with_id_ident_line_and_the_way_there(tmp_path, program, far):
    adapter(tmp_path, "evil", "return msg")
    adapter(tmp_path, "odd", "local t = deep(msg)\nreturn t", "local function deep(msg)\n  return {x = msg.none.there}\nend")
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url, transforms="odd"))
    post(port, {"ident": "truck \"17\"", "timestamp": 1})
    until(lambda: p.stream("s")["dead"] == 1)
    line, = (line for line in p.log().splitlines() if "transform-failed" in line)
    letter, = (json.loads(text) for text in run("dead", "list", "--json", p.file, "s").splitlines())
    assert letter["ident"] == 'truck "17"' and f"id={letter['id']} " in line and 'ident="truck \\"17\\""' in line
    for text in (line, letter["reason"]):
        assert "odd.lua:2: " in text and "odd.lua:5: in" in text and "'none'" in text


def test_a_suspended_adapter_is_an_alarm_until_it_is_put_right(tmp_path, program, far):
    adapter(tmp_path, "evil", "while true do end")
    port = free_port()
    spec = SPEC.format(port=port, url=far.url, transforms="round-positions")
    p = program(spec)
    post(port, *({"ident": "x", "timestamp": n} for n in range(8)), path="evil")
    until(lambda: p.stream("e")["dead"] == 8)
    assert "suspended" in p.stream("e")["alarm"] and "alarm" not in p.stream("s") and balanced(p.stream("e"))
    assert "error adapter/evil suspended stream=\"e\"" in p.log() and "ALARM: an adapter is suspended" in run("status", p.file)
    adapter(tmp_path, "evil", "return msg")
    assert p.reload(spec)
    post(port, {"ident": "x", "timestamp": 9}, path="evil")
    until(lambda: p.stream("e")["accepted"] == 1)
    assert "alarm" not in p.stream("e")


# ---- neighbours --------------------------------------------------------------------------------------------------------------

def latencies(port, far, begin, seconds):
    """Seconds from just before the request to the arrival at the destination, of a message each 20 ms."""
    sent, end = {}, time.monotonic() + seconds
    n = begin
    while time.monotonic() < end:
        sent[n] = time.monotonic()
        post(port, {"ident": f"d{n % 50}", "timestamp": 1767323000 + n, "n": n, "position.latitude": 54.123456789})
        n += 1
        time.sleep(max(0, sent[n - 1] + 0.02 - time.monotonic()))
    until(lambda: all(k in far.arrived for k in sent))
    took = sorted(far.arrived[k] - t for k, t in sent.items())
    return took[int(len(took) * 0.99)], len(took)


EVIL = {
    "endless": "while true do pcall(function() while true do end end) end",
    "every other": "if msg.n % 3 > 0 then while true do end end return msg",
    "pattern": "return (('a'):rep(3000)):find(('.-'):rep(4) .. 'b')",
    "memory": "local t = {} for i = 1, 1e9 do t[i] = {} end",
    "garbage": "while true do local s = ('x'):rep(100000) end",
    "comparing": "local t = ('x'):rep(1000000) while true do local b = t < s end",
}


@pytest.mark.long
@pytest.mark.parametrize("name", EVIL)
def test_neighbours_of_one_that_does_harm_hardly_feel_it(tmp_path, program, far, name):
    """One worker for both, the worst case; requests of a hundred at once to the one, single messages to the other."""
    adapter(tmp_path, "evil", EVIL[name], "local s = ('x'):rep(1000000)")
    far.arrived = {}

    def answer(request):
        now = time.monotonic()
        for m in json.loads(request["body"]):
            far.arrived.setdefault(m["n"], now)
        return 200, ""

    far.answer = answer
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url, transforms="round-positions"))
    quiet, _ = latencies(port, far, 0, 5)
    stop, sent = threading.Event(), [0]

    def harm():
        while not stop.wait(0.05):
            post(port, *({"ident": f"e{n % 10}", "timestamp": 1767323000, "n": sent[0] + n} for n in range(100)), path="evil")
            sent[0] += 100

    thread = threading.Thread(target=harm)
    thread.start()
    beside, n = latencies(port, far, 1000000, 30)
    stop.set()
    thread.join()
    until(lambda: balanced(p.stream("e")) and p.stream("e")["buffered"] == 0)
    bad = p.stream("e")
    print(f"\n{name}: p99 {quiet * 1000:.1f} ms alone, {beside * 1000:.1f} ms beside {bad['dead']} dead letters and {bad['accepted']} accepted, {n} messages")
    assert bad["dead"] > 1000 and bad["matched"] == sent[0] and "suspended" in p.log()
    assert beside < max(0.1, quiet * 2)
