"""Channels of type mqtt: a session the broker keeps, each message acknowledged when it is durable and not before, in order."""
import json
import random
import subprocess
import time

import pytest
from lab import deliveries, message, sluice
from lab.mqtt import MOSQUITTO, Cutter, Mosquitto
from lab.program import sanitized

SPEC = """
sluice: 1
settings: {{data: data{settings}}}
channels: {{in: {{type: mqtt, url: 'mqtt://127.0.0.1:{port}', topics: {topics}, client-id: me{more}}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far{stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def spec(port, sink, more="", topics="['fleet/#']", stream="", settings=""):
    return SPEC.format(port=port, url=sink.url, more=more, topics=topics, stream=stream, settings=settings)


@pytest.fixture
def broker(broker):
    """With acknowledgements as they must be, in order."""
    made = []

    def make(**options):
        made.append(broker(**options))
        return made[-1]

    yield make
    for b in made:
        assert not b.faults, b.faults


def channel(p):
    return p.status()["channels"][0]


def until(condition, wait=20):
    end = time.monotonic() + wait
    while not (got := condition()):
        assert time.monotonic() < end, f"waited {wait} s in vain"
        time.sleep(0.02)
    return got


def seqs(sink, ident="a"):
    return [seq for seq, _ in deliveries(sink, "/far").get(ident, [])]


def publish(broker, n, first=0, ident="a", topic="fleet/a"):
    for i in range(first, first + n):
        broker.publish("me", topic, message(ident, i))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_session_and_acknowledgements(program, sink, broker, version):
    b = broker()
    p = program(spec(b.port, sink, more=f", version: '{version}', window: 7", topics="['fleet/#', '$share/g/x/+']"))
    b.until(lambda: b.subscriptions)
    c = b.connects[0]
    assert not c["clean"] and c["client"] == "me" and c["version"] == (5 if version == "5" else 4)
    if version == "5":
        assert c["properties"] == {17: 7 * 86400, 33: 7}
    assert [f for f, _ in b.subscriptions[0][1]] == ["fleet/#", "$share/g/x/+"]
    assert {o for _, o in b.subscriptions[0][1]} == {0x11 if version == "5" else 1}
    publish(b, 100)
    b.until(lambda: len(b.acked) == 100)
    assert [json.loads(x)["seq"] for x, _ in b.acked] == list(range(100))
    p.drained()
    assert seqs(sink) == list(range(100))
    s = channel(p)
    assert s["connected"] is True and s["taken"] == 100
    # while it is away, the broker keeps
    assert p.stop() == 0
    publish(b, 50, first=100)
    p.start()
    b.until(lambda: len(b.acked) == 150)
    p.drained()
    assert seqs(sink) == list(range(150))
    assert len(b.connects) == 2


# kill -9 between receipt and commit, again and again: nothing is acknowledged that is not durable.
@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.long)])
def test_killed_between_receipt_and_commit(program, sink, broker, kills):
    b = broker()
    p = program(spec(b.port, sink))
    b.until(lambda: b.subscriptions)
    at, rng = 0, random.Random(7)
    for k in range(kills):
        publish(b, 200, first=at)
        at += 200
        b.until(lambda: len(b.acked) > at - 200 + rng.randrange(150))
        p.kill()
        p.start()
    b.until(lambda: len({json.loads(x)["seq"] for x, _ in b.acked}) == at)
    p.drained()
    got = seqs(sink)
    first = list(dict.fromkeys(got))
    assert first == list(range(at)), f"{at - len(set(got))} missing"
    # What was with the store when it died comes again: the window of the broker, which has 65535 to send, is ours: 100.
    assert len(got) - at <= kills * 200
    print(f"{kills} kills, {at} messages, {len(got) - at} repeats")


def test_what_cannot_be_taken_is_set_aside_and_acknowledged(program, sink, broker):
    b = broker()
    p = program(spec(b.port, sink, settings=", limits: {message: 16KiB, body: 64KiB}"))
    b.until(lambda: b.subscriptions)
    for payload in (message("a", 0), b"no json", b'{"timestamp":1}', b"x" * 300000, b"", b'[{"ident":"a","seq":1},{"seq":2},{"ident":"a","seq":3}]', message("a", 4)):
        b.publish("me", "fleet/a", payload)
    b.until(lambda: len(b.acked) == 7)
    p.drained()
    assert seqs(sink) == [0, 1, 3, 4]
    s = channel(p)
    assert s["refused"] == 4 and s["taken"] == 4
    told = subprocess.run([sluice, "dead", "list", p.file, "in"], capture_output=True, text=True, timeout=20).stdout
    assert "larger than limits.body" in told and "no ident" in told


def test_a_full_stream_is_not_acknowledged(program, sink, broker):
    b = broker()
    sink.tell("down")
    p = program(spec(b.port, sink, stream=", buffer: {max: 64KiB}"))
    b.until(lambda: b.subscriptions)
    publish(b, 2000)
    until(lambda: channel(p)["unavailable"] > 0)
    assert len(b.acked) < 1000
    until(lambda: not channel(p)["connected"] and "full" in channel(p)["reason"])
    sink.tell("up")
    b.until(lambda: len({x for x, _ in b.acked}) == 2000, 60)
    p.drained()
    assert sorted(set(seqs(sink))) == list(range(2000))


def test_lost_session_and_takeover_are_told(program, sink, broker):
    b = broker()
    p = program(spec(b.port, sink))
    b.until(lambda: b.subscriptions)
    with b.lock:
        b.sessions.clear()
    b.cut()
    b.until(lambda: len(b.subscriptions) == 2)
    until(lambda: "session-lost" in p.log())
    publish(b, 3)
    b.until(lambda: len(b.acked) == 3)
    # a session that is there needs no new subscription
    b.cut()
    b.until(lambda: len(b.connects) == 3)
    publish(b, 3, first=3)
    b.until(lambda: len(b.acked) == 6)
    assert len(b.subscriptions) == 2
    for c in list(b.connections.values()):
        c.goodbye(0x8E)
    until(lambda: "taken-over" in p.log())
    time.sleep(1)
    assert len(b.connects) == 3 and not channel(p)["connected"]


def test_reload(program, sink, broker):
    b = broker()
    text = spec(b.port, sink, topics="[fleet/#, old/+]")
    p = program(text)
    b.until(lambda: b.subscriptions)
    publish(b, 10)
    b.until(lambda: len(b.acked) == 10)
    assert p.reload(text.replace("streams: {s: {to: far", "streams: {s: {batch: {messages: 7}, to: far"))
    publish(b, 10, first=10)
    b.until(lambda: len(b.acked) == 20)
    assert len(b.connects) == 1, "an unchanged channel keeps its connection"
    assert p.reload(text.replace("old/+", "new/+"))
    b.until(lambda: len(b.connects) == 2)
    b.until(lambda: any(f == "new/+" for _, fs in b.subscriptions for f, _ in fs))
    publish(b, 10, first=20)
    b.until(lambda: len(b.acked) == 30)
    assert p.reload(text.replace("type: mqtt", "type: mqtt, enabled: false"))
    b.until(lambda: not b.connections)
    p.drained()
    assert seqs(sink) == list(range(30))


def test_ident_from_the_topic(program, sink, broker):
    b = broker()
    p = program(spec(b.port, sink, more=", topic-ident: 2"))
    b.until(lambda: b.subscriptions)
    for topic, payload in (("fleet/t1", b'{"seq":1}'), ("fleet/t2/x", b'[{"seq":2},{"ident":"own","seq":3}]'), ("fleet", b'{"seq":4}'), ("fleet/t\u00e9", b' {"seq":5} ')):
        b.publish("me", topic, payload)
    b.until(lambda: len(b.acked) == 4)
    p.drained()
    assert {k: [s for s, _ in v] for k, v in deliveries(sink, "/far").items()} == {"t1": [1], "t2": [2], "own": [3], "t\u00e9": [5]}
    assert channel(p)["refused"] == 1  # its topic has no such level


def test_broker_refuses_a_topic(program, sink, broker):
    b = broker(connack=lambda c: (0x87, b""))
    p = program(spec(b.port, sink))
    until(lambda: "not authorized" in channel(p).get("reason", ""))
    assert "refused-by-broker" in p.log() and channel(p)["connected"] is False


ADAPTER = """
return {
  summary = "text with the ident in the topic",
  decode = function(bytes, ctx) return {{ident = ctx.topic:match("/(%w+)$"), seq = tonumber(bytes)}} end,
  vectors = { {"one", decode = "7", topic = "fleet/x", want = {{ident = "x", seq = 7}}} },
}
"""


def test_format_that_reads_the_topic(program, sink, broker, tmp_path):
    (tmp_path / "lua").mkdir()
    (tmp_path / "lua" / "plain.lua").write_text(ADAPTER)
    b = broker()
    p = program(spec(b.port, sink, more=", format: plain", settings=", adapters: [lua]"))
    b.until(lambda: b.subscriptions)
    for i in range(5):
        b.publish("me", "fleet/x9", b"%d" % i)
    b.until(lambda: len(b.acked) == 5)
    p.drained()
    assert seqs(sink, "x9") == list(range(5))


@pytest.mark.parametrize("version,count", [("5", 3000), pytest.param("5", 20000, marks=pytest.mark.long), pytest.param("3.1.1", 20000, marks=pytest.mark.long)])
def test_bad_line(program, sink, broker, version, count):
    """Cut connections, lost acknowledgements, a broker that goes away, the program killed, messages that are none or too large: nothing missing, what
    is refused is set aside and acknowledged, repeats within the windows, memory flat."""
    b = broker()
    line = Cutter(b.port)
    p = program(spec(line.port, sink, more=f", version: '{version}', window: 50", settings=", limits: {message: 16KiB, body: 64KiB}"))
    b.until(lambda: b.subscriptions)
    at, breaks = 0, 8
    for k in range(breaks):
        publish(b, count // breaks - 3, first=at)
        for bad in (b"no json, %d" % k, b'{"no ident":%d}' % k, b"%d" % k + b"x" * 100000):
            b.publish("me", "fleet/a", bad)
        at += count // breaks - 3
        b.until(lambda: len({x for x, _ in b.acked}) > at - count // breaks // 2, 60)
        if k % 4 == 0:
            line.swallow = "forth"        # our acknowledgements are lost
            time.sleep(0.05)
            line.cut()
            line.swallow = False
        elif k % 4 == 1:
            p.kill()
            p.start()
        elif k % 4 == 2:
            b.close()
            b.open()
        else:
            line.cut(reset=False)
    b.until(lambda: len({x for x, _ in b.acked}) == at + 3 * breaks, 60)
    p.drained()
    got = seqs(sink)
    assert list(dict.fromkeys(got)) == list(range(at))
    told = subprocess.run([sluice, "dead", "list", p.file, "in"], capture_output=True, text=True, timeout=20).stdout
    assert all(told.count(words) for words in ("larger than limits.body", "no ident", "JSON")), told
    repeats = len(got) - at
    print(f"{at} messages, {breaks} breaks: {repeats} repeats, {p.memory()[1] >> 20} MiB at most")
    # Of the session what was not acknowledged, at each break; of the stream's delivery, after a kill, the batch under way and four more.
    assert repeats <= breaks * 50 + 2 * 500
    assert sanitized() or p.memory()[1] < 48 << 20
    line.close()


# ---- the real thing

mosquitto_there = pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed")


@mosquitto_there
@pytest.mark.parametrize("version", [pytest.param("3.1.1", marks=pytest.mark.long), "5"])
def test_mosquitto(program, sink, tmp_path, version):
    """From a real publisher through a real broker, which restarts in between, and out again to another topic of it."""
    mqtt = pytest.importorskip("paho.mqtt.client")
    m = Mosquitto(tmp_path, persistence=True, lines=["max_queued_messages 0"]).start()
    try:
        text = spec(m.port, sink, more=f", version: '{version}'")
        text = text.replace("destinations: {", "destinations: {back: {type: mqtt, url: 'mqtt://127.0.0.1:%d', version: '%s', topic: 'back/{ident}'}, " % (m.port, version))
        text = text.replace("streams: {", "streams: {b: {to: back, retry: {first: 100ms}}, ").replace("subscriptions: [", "subscriptions: [{stream: b, channels: [in]}, ")
        p = program(text)
        until(lambda: channel(p)["connected"])
        heard = []
        judge = mqtt.Client(client_id="judge", clean_session=False)
        judge.on_message = lambda c, u, msg: heard.append((msg.topic, json.loads(msg.payload)["seq"]))
        judge.on_connect = lambda c, *a: c.subscribe("back/#", 1)
        judge.reconnect_delay_set(0.2, 1)
        judge.connect("127.0.0.1", m.port)
        judge.loop_start()
        pub = mqtt.Client(client_id="pub", clean_session=False)
        pub.reconnect_delay_set(0.2, 1)
        pub.connect("127.0.0.1", m.port)
        pub.loop_start()
        half = 500
        for i in range(half):
            pub.publish("fleet/a", message("a", i), 1)
        until(lambda: len({s for _, s in heard}) == half)
        m.stop()
        m.start()
        until(lambda: channel(p)["connected"] and pub.is_connected(), 60)   # paho's own queue does not keep an order
        for i in range(half, 2 * half):
            pub.publish("fleet/a", message("a", i), 1)
        until(lambda: len({s for _, s in heard}) == 2 * half, 60)
        p.drained()
        assert list(dict.fromkeys(seqs(sink))) == list(range(2 * half))
        assert {t for t, _ in heard} == {"back/a"} and list(dict.fromkeys(s for _, s in heard)) == list(range(2 * half))
        judge.loop_stop()
        pub.loop_stop()
    finally:
        m.stop()


@mosquitto_there
def test_mosquitto_sends_more_than_we_allow(program, sink, tmp_path):
    """Mosquitto 2.0 passes a fast publisher's messages on beyond the Receive Maximum it was told. They wait; the connection stays."""
    m = Mosquitto(tmp_path, lines=["max_queued_messages 0"]).start()
    try:
        p = program(spec(m.port, sink, more=", window: 5"))
        until(lambda: channel(p)["connected"])
        (tmp_path / "in.ndjson").write_bytes(b"".join(message("a", i) + b"\n" for i in range(5000)))
        subprocess.run([sluice, "send", tmp_path / "in.ndjson", "--to", f"mqtt://127.0.0.1:{m.port}/fleet/a"], check=True, capture_output=True, timeout=60)
        until(lambda: channel(p)["taken"] == 5000, 60)
        p.drained()
        assert seqs(sink) == list(range(5000))
        assert p.log().count(" connected ") == 1
    finally:
        m.stop()
