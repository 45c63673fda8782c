"""What an operator meets on a bad night: each thing must lose nothing, add up, and say in the log what can be done."""
import json
import time
import urllib.error
import urllib.request

from lab import Platform, balanced, free_port

OK = (200, "")

RETRY = "retry: {first: 50ms, max: 200ms, timeout: 2s}"


def spec(port, url, stream=RETRY, settings="", channel=""):
    return f"""sluice: 1
settings: {{data: data{settings}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages{channel}}}}}
destinations: {{far: {{type: http, url: '{url}/in'}}}}
streams: {{s: {{to: far, {stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def post(port, start, end, **more):
    body = json.dumps([{"ident": "a", "timestamp": 1, "seq": i, **more} for i in range(start, end)])
    return send(port, body.encode())


def send(port, body):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/messages", body, timeout=20) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def until(what, wait=10):
    end = time.monotonic() + wait
    while not what():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.02)


def lines(p, event):
    return [x for x in p.log().splitlines() if f" {event} " in x]


def seqs(far):
    return [m["seq"] for m in far.accepted()]


def test_an_answer_that_breaks_off_within_its_head_is_no_acceptance(program):
    far = Platform()
    far.answer = lambda request: b"HTTP/1.1 200 OK\r\nConte" if len(far.requests) < 3 else OK
    port = free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 10)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0)
    assert seqs(far) == list(range(10))
    assert balanced(p.stream("s")) and p.stream("s")["retried"] == 2
    assert "within the head" in lines(p, "failing")[0]


def test_one_poison_message_is_set_aside_and_the_others_arrive_in_order(program):
    far = Platform(lambda request: (400, "no 57s") if any(m["seq"] == 57 for m in json.loads(request["body"])) else OK)
    port = free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 100)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0)
    assert seqs(far) == [i for i in range(100) if i != 57]
    assert p.stream("s")["dead"] == 1 and balanced(p.stream("s"))
    assert "no 57s" in lines(p, "refused")[0]


def test_messages_kept_in_doubt_are_told_of(program):
    far = Platform(lambda request: (400, "not like that"))
    port = free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 5)[0] == 200
    until(lambda: "reason" in p.stream("s"))
    counts = p.stream("s")
    assert counts["buffered"] == 5 and "5 refused" in counts["reason"] and "not like that" in counts["reason"]
    assert "hint=" in lines(p, "in-doubt")[0]
    far.answer = lambda request: OK
    assert post(port, 5, 6)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0)
    assert p.stream("s")["dead"] == 5 and balanced(p.stream("s")) and "reason" not in p.stream("s")


def test_a_full_buffer_that_blocks_is_told_with_both_its_ends(program):
    far = Platform(lambda request: (503, ""))
    port = free_port()
    p = program(spec(port, far.url, RETRY + ", buffer: {max: 64KiB, full: block}"))
    taken = 0
    while (said := post(port, taken, taken + 50, pad="x" * 100))[0] == 200:
        taken += 50
    assert said[0] == 503 and "stream s" in said[1] and "channel in" in said[1]
    assert post(port, taken, taken + 50, pad="x" * 100)[0] == 503
    told = lines(p, "unavailable")
    assert len(told) == 1 and "channel/in" in told[0] and "stream s" in told[0] and "hint=" in told[0]
    assert p.status()["channels"][0]["unavailable"] == 2
    far.answer = lambda request: OK
    until(lambda: p.stream("s")["buffered"] == 0)
    assert seqs(far) == list(range(taken)) and balanced(p.stream("s"))
    assert post(port, taken, taken + 1)[0] == 200


def test_what_a_full_buffer_drops_and_what_expires_is_told_of(program, tmp_path):
    far = Platform(lambda request: (503, ""))
    for policy in ("drop-oldest", "drop-newest"):
        port = free_port()
        p = program(spec(port, far.url, RETRY + f", buffer: {{max: 64KiB, full: {policy}}}").replace("data: data", f"data: {policy}"), start=False)
        p.data = str(tmp_path / policy)
        p.start()
        for i in range(20):
            assert post(port, i * 50, i * 50 + 50, pad="x" * 100)[0] == 200
        until(lambda: p.stream("s")["dropped"] > 0)
        assert balanced(p.stream("s"))
        assert policy in lines(p, "dropped")[-1]
        assert p.stop() == 0
    port = free_port()
    p = program(spec(port, far.url, RETRY + ", buffer: {ttl: 1s}"))
    assert post(port, 0, 30)[0] == 200
    until(lambda: p.stream("s")["expired"] == 30)
    assert balanced(p.stream("s")) and "messages=30" in lines(p, "expired")[-1]


def test_a_destination_that_comes_and_goes_does_not_flood_the_log(program):
    far = Platform()
    far.answer = lambda request: (503, "") if len(far.requests) % 2 else OK
    port = free_port()
    p = program(spec(port, far.url, "retry: {first: 10ms, max: 20ms, timeout: 2s}, batch: {messages: 5}"))
    assert post(port, 0, 300)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0)
    assert p.stream("s")["retried"] == 60 and seqs(far) == list(range(300))
    assert len(lines(p, "failing")) == 1 and len(lines(p, "recovered")) == 1


def test_refused_messages_and_bodies_are_told_of_and_so_is_a_script_that_fails(program, tmp_path):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "odd.lua").write_text(
        "local A = {}\nfunction A.transform(msg)\n  if msg.seq % 2 == 1 then local x = msg.none.there end\n  return msg\nend\nreturn A\n")
    far = Platform()
    port = free_port()
    p = program(spec(port, far.url, RETRY + ", transforms: [odd]", settings=", adapters: [adapters]"))
    assert post(port, 0, 10)[0] == 200
    status, text = send(port, b'[{"x":1},{"ident":"a","timestamp":1,"seq":10}]')
    assert status == 200 and json.loads(text) == {"taken": 1, "refused": [{"index": 0, "reason": "no ident"}]}
    assert send(port, b'[{"ident":"a"},')[0] == 400
    until(lambda: p.stream("s")["buffered"] == 0)
    assert p.stream("s")["dead"] == 5 and balanced(p.stream("s"))
    assert seqs(far) == [0, 2, 4, 6, 8, 10]
    failed = lines(p, "transform-failed")
    assert len(failed) == 1 and "odd.lua:3" in failed[0]
    assert "no ident" in lines(p, "refused")[0] and "at byte 15" in lines(p, "malformed")[0]
