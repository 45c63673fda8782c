"""e-TOLL held to its interface: every row to the schema, every value to the message it was made of by a model of its own, over https with a
client certificate, through refusals, lost answers, kills and reloads."""
import http.client
import json
import random
import re
import threading
import time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from lab import ROOT, Authority, Platform, balanced, free_port
from lab.kas import POISON, UNWANTED, Kas, key
from test_commands import run

SPEC = """
sluice: 1
settings: {{data: data, workers: 2}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
devices: {{"*": {{}}, d0: {{}}}}
destinations: {{kas: {{type: e-toll, url: '{url}'{tls}}}}}
streams: {{toll: {{to: kas, retry: {{first: 20ms, max: 100ms}}, {more}}}}}
subscriptions: [{{stream: toll, channels: [in]}}, {{stream: toll, devices: {{d0: {{serial: {serial}}}}}}}]
"""
FIRST = 1505865600


# ---- messages ------------------------------------------------------------------------------------------------------------------

def recorded():
    """The tracks of examples/data, one after the other, without what is set anew."""
    for path in sorted(Path(ROOT, "examples/data").glob("*.ndjson")):
        for line in path.read_text().splitlines():
            m = json.loads(line, parse_float=Decimal)
            yield {k: str(v) if isinstance(v, (int, Decimal)) and not isinstance(v, bool) else json.dumps(v) for k, v in m.items()
                   if k not in ("ident", "timestamp")}


EXTREMES = {
    "position.latitude": ["90", "-90", "90.0", "90.0000000001", "-91", "52.13879101234", "1e-10", "4.9e-11", "-0.0", "5.2138791E1", "null", '"52.1"', "1e999",
                          "-89.9999999999", "52.1234567891", "0.00000000012", "179"],
    "position.longitude": ["180", "-180", "180.0000001", "18.61839", "1861839e-5", "-1e-10", "24.1500001", "25", "null", "true", "-179.9999999999", "1e2"],
    "position.altitude": ["-1000", "4000", "-1000.01", "4000.001", "0.005", "-0.0049", "96.554", "1e3", "null", '"high"', str(POISON), "8848.86", "-0.0"],
    "position.speed": ["0", "201.6", "201.59", "1073.68", "0.017", "0.019", "-5", "3.6e1", "null", '"fast"', "72", '"72.5"', '"7e1"', "13.333", "1e300",
                       "-0.0"],
    "position.direction": ["0", "360", "-1", "720.009", "359.999", "359.99", "1e5", "-720", "null", '"90"', "179.996", "-0.0", "271.234567"],
    "position.satellites": ["0", "90", "91", "-1", "7.9", "255", "null", str(UNWANTED), '"9"', "1e1"],
    "position.accuracy": ["0", "-0.5", "2.5", "12.345678", "1e9", "null"],
    "gsm.mcc": ["260", "1", "1000", "-1", '"260"', '"26"', "260.5", "260.0"],
    "gsm.mnc": ["1", '"06"', "410", "1000", '"1"', "null"],
    "gsm.lac": ["0", "65535", "65536", '"0a9F"', '"12345"', "4660"],
    "gsm.cellid": ["11511", "68719476735", "68719476736", '"00ABCDEF1"', "-1", "1e3"],
    "gsm.operator.code": ['"26001"', '"310410"', '"Plus"', "26001"],
}


class Source:
    """Messages of some devices, each with a time of its own; what a flag of theirs is changes now and then, one at a time."""

    def __init__(self, devices, seed):
        self.rng, self.tracks = random.Random(seed), list(recorded())
        self.idents = [f"d{i}" for i in range(devices)] + ["no serial number"]
        self.clock = {i: 1700000000 + n for n, i in enumerate(self.idents)}
        self.flags = {i: {} for i in self.idents}
        self.at = 0

    def message(self):
        rng, ident = self.rng, self.rng.choice(self.idents[:-1]) if self.rng.random() < 0.99 else self.idents[-1]
        m = dict(self.tracks[self.at % len(self.tracks)])
        m.pop("position.valid", None)
        self.at += 1
        for name, values in EXTREMES.items():
            if rng.random() < 0.12 or name not in m and rng.random() < 0.3:
                m[name] = rng.choice(values)
        if m.get("position.altitude") == str(POISON) and rng.random() < 0.7 or m.get("position.satellites") == str(UNWANTED) and rng.random() < 0.5:
            m["position.altitude"], m["position.satellites"] = "100", "10"
        late = rng.random() < 0.03
        if rng.random() < 0.01:
            m["timestamp"] = rng.choice((f"{FIRST + self.at}", f"{FIRST - 1}.999999", "-2147483647", "9000000000001"))
        else:
            self.clock[ident] += 2
            micros = rng.choice(("", f".{rng.randrange(10):d}", f".{rng.randrange(1000000):06d}", ".000001", ".999999"))
            m["timestamp"] = f"{self.clock[ident] - (100001 if late else 0)}{micros}"
        if not late and m["timestamp"][0] == "1" and len(m["timestamp"]) < 20 and rng.random() < 0.1:
            flag = rng.choice(("engine.ignition.status", "external.powersource.status", "position.valid", "gsm.jamming.event", "gnss.spoofing.status"))
            self.flags[ident][flag] = not self.flags[ident].get(flag, False)
        if not late:
            m.update((k, json.dumps(v)) for k, v in self.flags[ident].items())
        items = list(m.items())
        rng.shuffle(items)
        return ident, '{"ident":%s,' % json.dumps(ident) + ",".join(f'"{k}":{v}' for k, v in items) + "}"


# ---- the model -------------------------------------------------------------------------------------------------------------------

def number(m, name):
    v = m.get(name)
    if isinstance(v, bool) or not isinstance(v, (int, Decimal)) or abs(v) > Decimal("1.7e308"):
        return None
    return Decimal(v)


def told(m, name):
    """A number, also one said as decimal text."""
    v = m.get(name)
    return number({name: Decimal(v)} if isinstance(v, str) and re.fullmatch(r"-?[0-9]+\.?[0-9]*", v) else m, name)


def near(got, want, step):
    """The nearest multiple of step, give or take what a double cannot tell apart."""
    return abs(Decimal(got) - want) <= step / 2 + step / 1000


def row_of(m, serial):
    """What a message's row must be, without dataId and event: {name: a test of the value}; None when it has none."""
    lat, lon, seconds = number(m, "position.latitude"), number(m, "position.longitude"), number(m, "timestamp")
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return None
    if near(0, lat, Decimal("1e-10")) and near(0, lon, Decimal("1e-10")):
        return None
    if seconds is None or not FIRST <= seconds <= 9 * 10**12 or " " in serial:
        return None
    speed = min(max((told(m, "position.speed") or Decimal(0)) / Decimal("3.6"), Decimal(0)), Decimal(56))
    direction, satellites = (told(m, "position.direction") or Decimal(0)) % 360, told(m, "position.satellites")
    direction += 360 if direction < 0 else 0
    row = {
        "serialNumber": lambda v: v == serial,
        "fixTimeEpoch": lambda v: v == (seconds * 1000000).to_integral_value(ROUND_HALF_UP),
        "latitude": lambda v: near(v, lat, Decimal("1e-10")), "longitude": lambda v: near(v, lon, Decimal("1e-10")),
        "gpsSpeed": lambda v: near(v, speed, Decimal("0.01")),
        "gpsHeading": lambda v: near(v, direction, Decimal("0.01")),
        "satellitesForFix": lambda v: v == (int(satellites) if satellites is not None and 0 <= satellites <= 90 else 0),
    }
    altitude, accuracy = number(m, "position.altitude"), number(m, "position.accuracy")
    if altitude is not None and -1000 <= altitude <= 4000:
        row["altitude"] = lambda v: near(v, altitude, Decimal("0.01"))
    if accuracy is not None and 0 <= accuracy <= 10**7:
        row["accuracy"] = lambda v: near(v, accuracy, Decimal("0.01"))
    row.update(cell_of(m))
    return row


def cell_of(m):
    def code(name, digits, base, widths):
        v = m.get(name)
        if isinstance(v, str):
            return v if len(v) in widths and all(c in digits for c in v.lower()) else None
        n = number(m, name)
        if n is None or n != n.to_integral_value() or not 0 <= n < base ** max(widths):
            return None
        return format(int(n), "X" if base == 16 else "d").zfill(min(widths))

    decimal, hexadecimal, operator = "0123456789", "0123456789abcdef", m.get("gsm.operator.code")
    found = {"mcc": code("gsm.mcc", decimal, 10, (3,)), "mnc": code("gsm.mnc", decimal, 10, (2, 3)), "lac": code("gsm.lac", hexadecimal, 16, (4,)),
             "mobileCellId": code("gsm.cellid", hexadecimal, 16, (9,))}
    if (not found["mcc"] or not found["mnc"]) and isinstance(operator, str) and operator.isdigit():
        found["mcc"], found["mnc"] = operator[:3], operator[3:]
    return {k: lambda v, want=want: v == want for k, want in found.items() if want}


FLAGS = [("engine.ignition.status", "startjourney", "endjourney"), ("external.powersource.status", "plugon", "plugout"), ("gsm.jamming.event", "jamming", None),
         ("gnss.spoofing.status", "spoofing", None), ("position.valid", "gpsonline", "gpsoffline")]


class Events:
    """Of one device, message after message as they come in: those that have a row."""

    def __init__(self):
        self.known, self.since = {}, None

    def of(self, m):
        seconds, said = Decimal(m["timestamp"]), None
        if self.since is not None and seconds < self.since:
            return "location"
        for name, up, down in FLAGS:
            now = m.get(name) is True if down is None else m.get(name)
            was = self.known.get(name, False if down is None else None)
            if not isinstance(now, bool) or now == was:
                continue
            word = up if now else down
            if was is None or word is None:
                self.known[name] = now
            elif said is None:
                said, self.known[name] = word, now
                self.since = min(seconds, Decimal(time.time()))
        return said or "location"


# ---- sending ----------------------------------------------------------------------------------------------------------------------

class Load:
    """One connection that sends batch after batch, each until it is answered; `unsure` are those that may have been taken twice."""

    def __init__(self, port, source):
        self.port, self.source, self.sent, self.unsure, self.stop = port, source, [], set(), threading.Event()

    def send(self, count):
        while count > 0 and not self.stop.is_set():
            batch = [self.source.message() for _ in range(min(count, self.source.rng.choice((1, 5, 20, 60))))]
            count -= len(batch)
            self.deliver(batch)
            self.sent += batch

    def deliver(self, batch):
        body, end = ("[" + ",".join(text for _, text in batch) + "]").encode(), time.monotonic() + 60
        while time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request("POST", "/messages", body)
                answer = connection.getresponse()
                if answer.status == 200:
                    assert not json.loads(answer.read() or b"{}").get("refused")
                    return
            except OSError:
                pass
            except http.client.HTTPException:
                pass
            finally:
                connection.close()
            self.unsure |= {text for _, text in batch}
            time.sleep(0.05)
        raise AssertionError("no answer within a minute")


def audit(kas, load, serial_of):
    """Hold what was offered against what was sent. Returns (rows expected, rows refused)."""
    assert not kas.faults, kas.faults[:5]
    offered = {}
    for row, outcome in kas.offered:
        offered.setdefault(key(row), []).append((row, outcome))
    wanted, refused, state, ids = 0, 0, {}, {}
    for ident, text in load.sent:
        m = json.loads(text, parse_float=Decimal)
        row = row_of(m, serial_of(ident))
        if row is None:
            continue
        event = state.setdefault(ident, Events()).of(m)
        name = serial_of(ident), int((Decimal(m["timestamp"]) * 1000000).to_integral_value(ROUND_HALF_UP))
        attempts = offered.pop(name, None)
        assert attempts, f"never offered: {text}"
        wanted += 1
        sure = text not in load.unsure
        for got, _ in attempts:
            assert set(got) == set(row) | {"dataId", "eventType"}, (got, text)
            wrong = [k for k in row if not row[k](got[k])]
            assert not wrong, (wrong, got, text)
            assert not sure or got == attempts[0][0], f"an attempt that is not like the first: {got} {attempts[0][0]}"
            assert not sure or got["eventType"] == event, (event, got, text)
        final = attempts[-1][1]
        bad = row.get("altitude") and attempts[0][0]["altitude"] == POISON
        unwanted = attempts[0][0]["satellitesForFix"] == UNWANTED
        assert final == ("not taken" if bad else "dropped" if unwanted else "taken"), (final, attempts)
        refused += bool(bad or unwanted)
        if sure:
            data = int(attempts[0][0]["dataId"])
            assert data > ids.get(ident, 0), f"{ident}: {data} after {ids[ident]}"
            ids[ident] = data
    assert not offered, f"rows of no message: {list(offered)[:3]}"
    said = {row["eventType"] for row, _ in kas.offered}
    assert said == {"location"} | {word for _, up, down in FLAGS for word in (up, down) if word}, said
    return wanted, refused


def settled(program, wait=60):
    end = time.monotonic() + wait
    while time.monotonic() < end:
        counts = program.stream("toll")
        if counts["buffered"] == 0:
            return counts
        time.sleep(0.05)
    raise AssertionError(f"not settled: {counts}\n{program.log()[-3000:]}")


@pytest.fixture
def kas(tmp_path):
    made = []

    def make(**more):
        made.append(Kas(**more))
        return made[-1]

    yield make
    for k in made:
        k.close()


def serial_of(ident):
    return "35A0-58_0" if ident == "d0" else ident


def last_word(port):
    """A row that is taken: only then is it known that those refused before were refused for what they are."""
    load = Load(port, None)
    load.deliver([("d1", '{"ident":"d1","timestamp":1800000000,"position.latitude":52,"position.longitude":20}')])
    return load


def test_rows_are_exact_over_https_with_a_client_certificate(tmp_path, kas, program):
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    cert, private = authority.issue("kas")
    other, other_key = stranger.issue("other")
    there = kas(tls=(*authority.issue("server", "127.0.0.1"), authority.ca), trouble=0.2)
    port = free_port()

    def spec(c, k):
        return SPEC.format(port=port, url=there.url, serial="35A0-58_0", tls=f", tls: {{ca: {authority.ca}, cert: {c}, key: {k}}}", more="batch: {messages: 100}")

    # A certificate of somebody else: nothing is offered, and the reason says so. The right one, by a reload, ends that.
    p = program(spec(other, other_key))
    load = Load(port, Source(12, 5))
    load.send(300)
    end = time.monotonic() + 20
    while p.stream("toll")["state"] != "blocked":
        assert time.monotonic() < end, p.stream("toll")
        time.sleep(0.02)
    assert "certificate" in p.stream("toll")["reason"] and there.bodies == 0
    assert p.reload(spec(cert, private))
    load.send(1200)
    p.drained()
    last_word(port)
    counts = settled(p)
    there.offered = [o for o in there.offered if o[0]["fixTimeEpoch"] != 1800000000000000]
    wanted, refused = audit(there, load, serial_of)
    assert wanted > 1000 and refused > 20 and there.bodies > 20
    assert counts["accepted"] == wanted - refused + 1 and counts["dead"] == refused and counts["skipped"] == 1500 - wanted and balanced(counts)


@pytest.mark.long
def test_ten_thousand_rows_over_kills_restarts_and_reloads(kas, program):
    there = kas(trouble=0.1, seed=3)
    port = free_port()
    turns = [SPEC.format(port=port, url=there.url, serial="35A0-58_0", tls="", more=f"batch: {{messages: {size}}}").replace("workers: 2", f"workers: {n}")
             for size, n in ((7, 1), (100, 2), (1000, 3))]
    p = program(turns[0])
    load = Load(port, Source(40, 9))
    sending = threading.Thread(target=load.send, args=(10000,), daemon=True)
    sending.start()
    for turn in range(14):
        goal = min(len(load.sent) + 600, 9900)
        while sending.is_alive() and len(load.sent) < goal:
            time.sleep(0.005)
        if turn % 3 == 2:
            assert p.reload(turns[turn // 3 % 3])
            continue
        if turn % 3 == 0:
            p.kill()
        else:
            assert p.stop() == 0
        p.write(turns[turn % 3])
        p.start()
    sending.join(300)
    assert not sending.is_alive()
    settled(p, 120)
    last_word(port)
    counts = settled(p)
    there.offered = [o for o in there.offered if o[0]["fixTimeEpoch"] != 1800000000000000]
    wanted, refused = audit(there, load, serial_of)
    assert wanted > 7000 and refused > 100 and balanced(counts) and counts["dead"] >= refused and len(load.unsure) < 1000


@pytest.mark.parametrize("status", [401, 404, 405])
def test_what_is_wrong_for_every_row_holds_the_stream(kas, program, status):
    there = kas()
    there.status = status
    port = free_port()
    spec = SPEC.format(port=port, url=there.url, serial="x", tls="", more="batch: {messages: 10}")
    p = program(spec)
    load = Load(port, Source(3, 1))
    load.send(50)
    end = time.monotonic() + 20
    while p.stream("toll")["state"] != "blocked":
        assert time.monotonic() < end
        time.sleep(0.02)
    counts = p.stream("toll")
    assert f"e-TOLL answered {status}" in counts["reason"] and counts["dead"] == 0 and counts["accepted"] == 0
    there.status = None
    assert p.reload(spec.replace("serial: x", "serial: y").replace("/zsl/ssl/", "/zsl/SSL/"))
    last_word(port)
    counts = settled(p)
    assert counts["accepted"] > 20 and counts["dead"] < 10 and balanced(counts)


def test_a_row_that_spoils_its_body_is_found_by_halving(kas, program):
    there = kas()
    port = free_port()
    p = program(SPEC.format(port=port, url=there.url, serial="x", tls="", more="batch: {messages: 1000, linger: 500ms}"))
    load = Load(port, None)
    load.deliver([("d1", '{"ident":"d1","timestamp":%d,"position.latitude":52,"position.longitude":20,"position.altitude":%s}'
                  % (1700000000 + n, POISON if n == 317 else 100)) for n in range(1000)])
    counts = settled(p)
    last_word(port)
    counts = settled(p)
    taken = [key(row) for row, outcome in there.offered if outcome == "taken"]
    assert counts["accepted"] == 1000 and counts["dead"] == 1 and balanced(counts), counts
    assert len(taken) == len(set(taken)) == 1000 and ("d1", 1700000317000000) not in taken
    assert there.bodies <= 2 * 10 + 8, there.bodies   # a thousand rows are halved ten times
    assert there.faults == []
    letter = json.loads(run("dead", "list", "--json", p.file, "toll").splitlines()[0])
    assert "too poisonous" in letter["reason"] or letter["status"] == 415, letter


def test_an_answer_too_long_to_find_the_rows_in_is_made_shorter(kas, program):
    there = kas()
    judge = there.judge

    def wordy(rows):
        outcomes, (status, text) = judge(rows)
        said = json.loads(text)
        said["warning"] = [{"tsp": r["fixTimeEpoch"], "code": "tsp-past", "msg": "x" * 400, "dev": r["serialNumber"],
                            "action": "drop" if r["satellitesForFix"] == UNWANTED else "pass"} for r in rows]
        return outcomes, (status, json.dumps(said))

    there.judge = wordy
    port = free_port()
    p = program(SPEC.format(port=port, url=there.url, serial="x", tls="", more="batch: {linger: 500ms}"))
    load = Load(port, None)
    load.deliver([("d1", '{"ident":"d1","timestamp":%d,"position.latitude":52,"position.longitude":20,"position.satellites":%d}'
                  % (1700000000 + n, UNWANTED if n in (7, 990) else 9)) for n in range(1000)])
    counts = settled(p)
    last_word(port)
    counts = settled(p)
    assert counts["accepted"] == 999 and counts["dead"] == 2 and balanced(counts), counts
    assert there.bodies >= 3


TRAIL = """
sluice: 1
settings: {{data: data}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
devices: {{v1: {{}}, v2: {{}}}}
destinations: {{provider: {{type: toll-bg, url: '{url}/rows'}}}}
streams: {{bulgaria: {{to: provider}}}}
subscriptions:
  - {{stream: bulgaria, channels: [in]}}
  - {{stream: bulgaria, devices: {{v1: {{pan: '17', plate: CB1234AB, axles: 5, weight: 24000}}}}}}
"""


def test_a_vehicle_that_nobody_described_is_skipped(program):
    far = Platform(lambda r: (200, ""))
    port = free_port()
    p = program(TRAIL.format(port=port, url=far.url))
    load = Load(port, None)
    load.deliver([(v, '{"ident":"%s","timestamp":1700000000,"position.latitude":42.7,"position.longitude":23.3}' % v) for v in ("v1", "v2", "v3")])
    p.drained()
    counts = p.stream("bulgaria")
    assert counts["accepted"] == 1 and counts["skipped"] == 2 and balanced(counts)
    (row,) = far.accepted()
    assert row.pop("id").isdigit() and row == {"ts": 1700000000, "lat": 42.7, "lon": 23.3, "pan": "17", "plate": "CB1234AB", "country": "BG", "axles": 5,
                                               "weight_kg": 24000}
    far.close()
