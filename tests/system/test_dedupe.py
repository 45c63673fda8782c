"""Channel options that look at messages before any stream does: `dedupe` and `time`."""
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

from lab import balanced, deliveries, free_port, sluice

SPEC = """
sluice: 1
settings: {{data: data, workers: 2}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages, {options}}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far, buffer: {{max: 64KiB}}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def post(port, *messages):
    body = json.dumps(messages, separators=(",", ":")).encode() if not isinstance(messages[0], bytes) else messages[0]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/messages", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or b"{}")


def channel(p):
    return p.status()["channels"][0]


def message(i, seq, **more):
    return dict({"ident": f"35{i}", "timestamp": 1732300000 + seq, "seq": seq}, **more)


def received(sink):
    return sorted((ident, seq) for ident, list_ in deliveries(sink, "/far").items() for seq, _ in list_)


def test_what_was_taken_is_not_taken_again(tmp_path, sink, program):
    port = free_port()
    spec = SPEC.format(port=port, url=sink.url, options="dedupe: 10m")
    p = program(spec)
    first = [message(i, i) for i in range(10)]
    assert post(port, *first) == (200, {"taken": 10})
    assert post(port, *first[:5], message(11, 11)) == (200, {"taken": 6})
    assert post(port, message(1, 1, more=True), message(12, 12), message(12, 12)) == (200, {"taken": 3})
    # Without a time of its own a message is of now, and so another one.
    for _ in range(2):
        assert post(port, {"ident": "35x", "seq": 1}) == (200, {"taken": 1})
    # What could not be taken is not remembered.
    for _ in range(2):
        assert post(port, {"seq": 3, "timestamp": 1})[0] == 400
    assert channel(p)["duplicates"] == 6 and channel(p)["remembered"] == 13
    # Kept over a reload, also of other settings of the channel; empty after a start.
    assert p.reload(spec.replace("dedupe: 10m", "dedupe: 20m"))
    assert post(port, *first) == (200, {"taken": 10})
    assert channel(p)["duplicates"] == 16
    shown = subprocess.run([sluice, "status", p.file], capture_output=True, text=True, timeout=20, check=True).stdout
    assert "16 duplicates were answered as taken" in shown
    p.drained()
    assert received(sink) == sorted([(f"35{i}", i) for i in range(10)] + [("3511", 11), ("351", 1), ("3512", 12), ("35x", 1), ("35x", 1)])
    p.kill()
    p.start()
    assert post(port, first[0]) == (200, {"taken": 1})
    assert channel(p)["duplicates"] == 0
    p.drained()
    assert p.stream("s")["accepted"] == 16 and balanced(p.stream("s"))


def test_what_was_not_taken_is_not_known(tmp_path, sink, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=sink.url, options="dedupe: 10m"))
    sink.tell("down")
    full, taken = None, []
    for seq in range(100):
        m = message(1, seq, text="x" * 4000)
        status, _ = post(port, m)
        if status == 503:
            full = m
            break
        taken.append(seq)
    assert full is not None
    # It was refused for want of room; that it comes again makes it no duplicate.
    for _ in range(3):
        assert post(port, full)[0] == 503
    sink.tell("up")
    end = time.monotonic() + 20
    while post(port, full)[0] != 200 and time.monotonic() < end:
        time.sleep(0.05)
    assert post(port, full) == (200, {"taken": 1})
    p.drained()
    assert received(sink) == [("351", seq) for seq in taken + [full["seq"]]]


def test_many_bring_the_same_at_once(tmp_path, sink, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=sink.url, options="dedupe: 10m").replace("64KiB", "64MiB"))
    start = threading.Barrier(8)
    errors = []

    def bring(ix):
        try:
            for batch in range(40):
                start.wait(20)
                messages = [message(k % 7, batch * 20 + k) for k in range(20)]
                answer = post(port, *(messages[ix % 5:] + messages[:ix % 5]))
                assert answer == (200, {"taken": 20}), answer
        except Exception as e:  # told below
            errors.append(e)
            start.abort()

    threads = [threading.Thread(target=bring, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors
    p.drained()
    got = received(sink)
    assert len(got) == 800 and len(set(got)) == 800
    assert channel(p)["duplicates"] == 7 * 800
    assert channel(p)["taken"] == 8 * 800


def test_times_that_are_not_believed(tmp_path, sink, program):
    port = free_port()
    spec = SPEC.format(port=port, url=sink.url, options="time: {past: 1d, future: 1h}")
    p = program(spec)
    now = time.time()

    def at(seq, seconds):
        return {"ident": "35", "seq": seq, "timestamp": now + seconds}

    status, answer = post(port, at(1, 0), at(2, -90000), at(3, 7200), at(4, -80000), at(5, 3000), {"ident": "35", "seq": 6})
    assert status == 200 and answer["taken"] == 4
    assert answer["refused"] == [{"index": 1, "reason": "timestamp further back than time.past"},
                                 {"index": 2, "reason": "timestamp further ahead than time.future"}]
    assert post(port, at(7, -90000))[0] == 400
    assert channel(p)["refused"] == 3
    p.drained()
    assert [seq for _, seq in received(sink)] == [1, 4, 5, 6]
    assert p.reload(spec.replace("future: 1h", "future: 1h, else: now"))
    assert post(port, at(8, -90000), at(9, 7200), at(10, 0)) == (200, {"taken": 3})
    p.drained()
    raw = {seq: json.loads(m) for seq, m in deliveries(sink, "/far")["35"]}
    assert abs(raw[8]["timestamp"] - raw[8]["server.timestamp"]) < 0.001 and raw[8]["timestamp"] >= now
    assert abs(raw[9]["timestamp"] - raw[9]["server.timestamp"]) < 0.001
    assert abs(raw[10]["timestamp"] - now) < 0.001


def test_explain_tells_what_would_not_be_taken_again(tmp_path, sink, program):
    """The messages that the router drops as repeats, and the line that makes it do so."""
    port = free_port()
    p = program(SPEC.format(port=port, url=sink.url, options="dedupe: 10m"))
    messages = [message(1, 1), message(1, 2), message(1, 1), {"ident": "35x", "seq": 1}, {"ident": "35x", "seq": 1}, {"seq": 9}, message(1, 2),
                message(1, 2, more=True)]
    assert post(port, *messages)[1]["taken"] == 7
    p.drained()
    body = json.dumps(messages, separators=(",", ":"))
    told = [json.loads(line) for line in subprocess.run([sluice, "explain", "--json", p.file], input=body, capture_output=True, text=True, timeout=20,
                                                        check=True).stdout.splitlines()]
    assert [(t["message"], t["repeats"]) for t in told if "repeats" in t] == [(3, 1), (7, 2)]
    assert channel(p)["duplicates"] == 2
    sent = [json.loads(row["bytes"]) for t in told for s in t.get("streams", []) for row in s["rows"]]
    assert sorted((m["ident"], m["seq"]) for m in sent) == received(sink)
    with open(p.file) as f:
        line = f.read().splitlines()[told[2]["dedupe"]["line"] - 1]
    assert line[told[2]["dedupe"]["column"] - 1:].startswith("10m")
    shown = subprocess.run([sluice, "explain", p.file], input=body, capture_output=True, text=True, timeout=20, check=True).stdout
    assert f"repeat  of message 1; `dedupe` of channel in at {p.file}:{told[2]['dedupe']['line']}:" in shown
