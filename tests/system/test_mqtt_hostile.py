"""Brokers that break the rules, by spite or by fault: the channel says what was wrong, leaves, comes back, and nothing is lost."""
import json
import subprocess

import pytest
from lab import message, sluice
from lab.mqtt import MOSQUITTO, PUBLISH, SUBACK, Broker, Mosquitto, packet, text
from test_mqtt_in import channel, publish, seqs, spec, until


def published(topic, payload=b"{}", flags=2, id=b"\x00\x09", properties=b"\x00"):
    return packet(PUBLISH, text(topic) + (id if flags & 6 else b"") + properties + payload, flags)


# What is sent, and the reason code with which the channel leaves.
ATTACKS = {
    "QoS 2": (published("fleet/a", flags=4), 0x81),
    "QoS 3": (published("fleet/a", flags=6), 0x81),
    "a NUL in the topic": (published(b"fleet/\0"), 0x81),
    "a topic that is no UTF-8": (published(b"fleet/\xc3("), 0x81),
    "half a surrogate": (published(b"fleet/\xed\xa0\x80"), 0x81),
    "a topic with a wildcard": (published("fleet/#"), 0x81),
    "no topic at all": (published(""), 0x81),
    "a topic longer than the packet": (packet(PUBLISH, b"\xff\xffabc", 2), 0x81),
    "a topic alias": (published("fleet/a", properties=b"\x03\x23\x00\x01"), 0x81),
    "a topic alias in place of the topic": (published("", properties=b"\x03\x23\xff\xff"), 0x81),
    "a property that such a packet does not have": (published("fleet/a", properties=b"\x03\x21\x00\x01"), 0x81),
    "properties longer than the packet": (published("fleet/a", properties=b"\xff\xff\x7f"), 0x81),
    "packet id 0": (published("fleet/a", id=b"\0\0"), 0x81),
    "a repetition of QoS 0": (published("fleet/a", flags=8), 0x81),
    "a length of five bytes": (b"\x30\x80\x80\x80\x80\x01", 0x81),
    "a length longer than need be": (b"\x30\x80\x00", 0x81),
    "256 MiB of SUBACK": (b"\x90\xff\xff\xff\x7f" + bytes(100000), 0x95),
    "256 MiB of properties": (b"\x32\xff\xff\xff\x7f\x00\x07fleet/a\x00\x01\xff\xff\xff\x7e" + bytes(400000), 0x95),
    "a CONNECT": (b"\x10\x00", 0x81),
    "a PUBREL": (b"\x62\x02\x00\x01", 0x81),
    "an AUTH": (b"\xf0\x00", 0x81),
    "reserved bits": (b"\xd1\x00", 0x81),
    "a second CONNACK": (b"\x20\x03\x00\x00\x00", 0x82),
    "a goodbye that holds more": (b"\xe0\x05\x8b\x00\x00\x00\x00", 0x81),
}


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_what_is_no_mqtt(program, sink, broker, every):
    b = broker()
    attacks = [(name, *what) for name, what in ATTACKS.items()][::every]
    p = program(spec(b.port, sink))
    b.until(lambda: b.subscriptions)
    for n, (name, raw, reason) in enumerate(attacks):
        publish(b, 2, first=2 * n)
        b.until(lambda: len(b.acked) == 2 * n + 2)   # also: whoever has just stored something comes back soon
        b.goodbyes.clear()
        for c in list(b.connections.values()):
            c.send(raw)
        b.until(lambda: b.goodbyes, 10)
        assert b.goodbyes[0] == reason, name
    until(lambda: channel(p)["connected"])
    p.drained()
    assert seqs(sink) == list(range(2 * len(attacks))) and not b.faults
    assert "not MQTT as it was asked for: " in p.log()
    # it says why, for as long as it lasts
    b.connack = lambda c: (0, b"\x21\x00\x00")
    b.cut()
    until(lambda: "a property that must not be 0 is" in channel(p).get("reason", ""))


# What is odd, but allowed: the same id again before it was acknowledged, repetitions, acknowledgements of nothing, a broker that comes and goes.
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_what_is_odd(program, sink, broker, version):
    b = broker()
    p = program(spec(b.port, sink, more=f", version: '{version}'"))
    b.until(lambda: b.subscriptions)
    none = b"\0" if version == "5" else b""
    nobody = b"\x40\x02\x77\x77\xd0\x00" + (b"\xb0\x04\x00\x63\x00\x00" if version == "5" else b"\xb0\x02\x00\x63")
    for seq, flags in ((0, 2), (0, 10), (1, 2), (2, 10), (2, 3)):
        for c in list(b.connections.values()):
            c.send(published("fleet/a", message("a", seq), flags, properties=none) + nobody)
    until(lambda: len(seqs(sink)) == 5)
    assert seqs(sink) == [0, 0, 1, 2, 2]
    b.until(lambda: len(b.faults) == 5)   # all five acknowledged: of id 9, which the broker's own session knows nothing of
    assert len(b.connects) == 1


# A filter that is refused, one that is granted less, one for which there is no answer at all.
@pytest.mark.parametrize("version,code,words", [("5", 0x87, "not authorized"), ("5", 0x9E, "shared subscriptions not supported"), ("5", 0xA2, "wildcard"),
                                                ("3.1.1", 0x80, "refused without a reason")])
def test_a_refused_filter(program, sink, broker, version, code, words):
    b = broker(suback=lambda f, qos: code if f == "secret/+" else 0 if f == "low/#" else qos)
    p = program(spec(b.port, sink, more=f", version: '{version}'", topics="['fleet/#', 'secret/+', 'low/#']"))
    until(lambda: "secret/+" in channel(p).get("reason", ""))
    assert words in channel(p).get("reason", "") and channel(p)["connected"] is True
    assert 'not-subscribed topic="secret/+" reason=' in p.log() and 'qos-lowered topic="low/#" qos=0' in p.log()
    publish(b, 10)
    b.until(lambda: len(b.acked) == 10)
    # it asks again with the next connection, and is content when it is allowed
    b.suback = lambda f, qos: qos
    b.cut()
    b.until(lambda: len(b.subscriptions) == 2)
    until(lambda: channel(p)["connected"] and not channel(p).get("reason"))
    p.drained()
    assert seqs(sink) == list(range(10))


@pytest.mark.parametrize("codes", [b"\x01", b"\x01\x01\x01"])
def test_an_answer_for_other_filters_than_were_asked_for(program, sink, broker, codes):
    class Other(Broker):
        def take_subscribe(self, c, body):
            self.subscriptions.append(c.number)
            c.send(packet(SUBACK, body[:2] + b"\0" + codes))

    b = Other()
    try:
        p = program(spec(b.port, sink, topics="['a/#', 'b/#']"))
        b.until(lambda: b.goodbyes)
        assert b.goodbyes[0] == 0x82
        until(lambda: "another number of subscriptions" in channel(p).get("reason", ""))
    finally:
        b.close()


# No answer to a SUBSCRIBE is no subscription: told, and asked again.
@pytest.mark.long
def test_a_filter_without_an_answer(program, sink, broker):
    b = broker()
    take, b.take_subscribe = b.take_subscribe, lambda c, body: None
    p = program(spec(b.port, sink))
    until(lambda: "no answer to a subscription" in channel(p).get("reason", ""), 40)
    b.take_subscribe = take
    b.until(lambda: b.subscriptions, 60)
    publish(b, 10)
    b.until(lambda: len(b.acked) == 10)


def test_hundreds_of_filters_and_then_others(program, sink, broker):
    b = broker()
    text = spec(b.port, sink, topics=json.dumps([f"fleet/{i}" for i in range(700)]))
    p = program(text)
    b.until(lambda: sum(len(fs) for _, fs in b.subscriptions) == 700)
    assert p.reload(spec(b.port, sink, topics=json.dumps([f"other/{i}" for i in range(700)])))
    b.until(lambda: sum(len(fs) for _, fs in b.subscriptions) == 1400)
    publish(b, 10, topic="other/3")
    b.until(lambda: len(b.acked) == 10)


def test_a_session_shorter_than_asked_for_is_told(program, sink, broker):
    b = broker(connack=lambda c: (0, b"\x11" + (60).to_bytes(4, "big")))
    p = program(spec(b.port, sink))
    until(lambda: "short-session" in p.log())
    assert "seconds=60" in p.log()


# Ours is a clean session, and a broker of MQTT 5 that keeps one all the same is not believed; nothing is lost by it.
def test_a_session_that_was_not_asked_for(program, broker):
    from test_mqtt_out import Bed, numbers
    b = broker()
    write = b.take_connect

    def take(c, body):
        send = c.send
        c.send = lambda raw: send(raw[:2] + b"\x01" + raw[3:] if raw[0] == 0x20 and len(b.connects) < 3 else raw)
        write(c, body)

    b.take_connect = take
    bed = Bed(program, b)
    bed.many(5)
    bed.until(lambda s: "a clean start was asked for" in s.get("reason", ""))
    bed.until(lambda s: s["accepted"] == 5)
    assert numbers(b) == list(range(5)) and len(b.connects) == 3


# ---- as mosquitto does it

@pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed")
@pytest.mark.parametrize("version", [pytest.param("3.1.1", marks=pytest.mark.long), "5"])
def test_shared_filters_wildcards_and_takeover(program, sink, tmp_path, version):
    mqtt = pytest.importorskip("paho.mqtt.client")
    m = Mosquitto(tmp_path).start()
    try:
        text = spec(m.port, sink, more=f", version: '{version}'", topics="['$share/g/fleet/+/msg', 'own/#']")
        text = text.replace("channels: {in:", "channels: {two: {type: mqtt, url: 'mqtt://127.0.0.1:%d', topics: ['$share/g/fleet/+/msg'], version: '%s'}, in:" % (m.port, version))
        p = program(text.replace("channels: [in]", "channels: [in, two]"))
        until(lambda: all(c["connected"] for c in p.status()["channels"]) and m.said().count("Sending SUBACK") == 2)
        lines = tmp_path / "m.ndjson"
        for topic, first in (("fleet/x/msg", 0), ("fleet/x/other", 1000), ("own/a/b/c", 200)):
            lines.write_bytes(b"".join(message("a", first + i) + b"\n" for i in range(200)))
            subprocess.run([sluice, "send", lines, "--to", f"mqtt://127.0.0.1:{m.port}/{topic}"], check=True, capture_output=True, timeout=60)
        until(lambda: sum(c["taken"] for c in p.status()["channels"]) == 400)
        p.drained()
        assert sorted(seqs(sink)) == list(range(400))
        shares = [c["taken"] for c in p.status()["channels"]]
        assert min(shares) >= 50, shares
        # another client of our name, which comes back as we do: mosquitto 2.0 has no words for it, in either version
        other = mqtt.Client(client_id="me", protocol=mqtt.MQTTv5) if version == "5" else mqtt.Client(client_id="me", clean_session=False)
        other.reconnect_delay_set(1, 1)
        other.connect("127.0.0.1", m.port)
        other.loop_start()
        until(lambda: "another client may use the same `client-id`" in p.log())
        mine = lambda: next(c for c in p.status()["channels"] if c["name"] == "in")
        until(lambda: "does another client use the same `client-id`?" in mine().get("reason", ""))
        other.loop_stop()
        other.disconnect()
        until(lambda: mine()["connected"])
    finally:
        m.stop()
