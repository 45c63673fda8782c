"""What an adapter keeps of an ident: gone on from by the ident's next message and by no other, written with its message or not at all, over reloads,
restarts, kills, full buffers and connections that change."""
import json
import random
import socket
import threading
import time

import pytest
from lab import Load, Platform, balanced, free_port
from lab.audit import bodies, split
from test_bad_night import send, until
from test_commands import run
from test_full_disk import small  # noqa: F401

# Counts what it lets through, marks edges, skips some and fails on some; what a failing call did to the state must be gone.
KEEPER = """
local A = {state = {n = "integer", skips = "integer", on = "boolean"%s}}
function A.transform(msg, ctx)
  local s = ctx.state
  if msg.seq %% 11 == 5 then
    s.n, s.on = 1000000, not s.on
    error("told to fail")
  end
  if msg.seq %% 7 == 3 then
    s.skips = (s.skips or 0) + 1
    return nil, "told to skip"
  end
  local on = msg.on
  local edge = s.on ~= nil and s.on ~= on and (on and "rise" or "fall") or nil
  s.n, s.on = (s.n or 0) + 1, on
  return {ident = msg.ident, seq = msg.seq, id = ctx.id, n = s.n, on = on, edge = edge, skips = s.skips or 0}
end
return A
"""

SPEC = """
sluice: 1
settings: {{data: data, workers: {workers}, adapters: [adapters]}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far, transforms: [keeper], retry: {{first: 20ms, max: 100ms, timeout: 5s}}{more}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def keeper(folder, more=""):
    (folder / "adapters").mkdir(exist_ok=True)
    (folder / "adapters" / "keeper.lua").write_text(KEEPER % more)


def spec(port, url, workers=2, more=""):
    return SPEC.format(port=port, url=url, workers=workers, more=more)


def raw(ident, seq, on=False):
    return json.dumps({"ident": ident, "timestamp": 1700000000 + seq, "seq": seq, "on": on}).encode()


class Source(Load):
    """Messages of any ident on any connection at any time, in requests of any size; what was answered 200 was taken."""

    def __init__(self, port, idents, connections=8, **options):
        super().__init__(port, idents, connections=connections, **options)
        self.taken = {i: set() for i in self.idents}   # seqs that were answered 200

    def _work(self, c, share, rate, rng):
        conn, done = None, 0
        while done < share and not self.stop.is_set():
            n = min(rng.choice(self.batches), share - done)
            batch = []
            with self.lock:
                for _ in range(n):
                    d = rng.randrange(len(self.idents))
                    batch.append((self.idents[d], self.seq[d]))
                    self.seq[d] += 1
            body = b"[" + b",".join(raw(i, s, rng.random() < 0.5) for i, s in batch) + b"]"
            if rng.random() < 0.2:
                conn = self._closed(conn)
            ok, conn = self._deliver(conn, body, n)
            if not ok:
                return
            with self.lock:
                for i, s in batch:
                    self.taken[i].add(s)
                self.acked += n
            done += n
        self._closed(conn)


def kind(seq):
    return "fails" if seq % 11 == 5 else "skips" if seq % 7 == 3 else "goes"


def audit(got, source):
    """`got`: per ident all that arrived, in order of arrival. Every rule exactly; the number of repeats."""
    repeats = 0
    for ident, taken in source.taken.items():
        messages, by_n = got.get(ident, []), {}
        for m in messages:
            if m["n"] in by_n:
                assert by_n[m["n"]] == m, f"{ident}: two messages stood on one state: {by_n[m['n']]} and {m}"
                repeats += 1
                continue
            assert m["n"] == len(by_n) + 1, f"{ident}: {len(by_n)} is followed by {m['n']}"
            by_n[m["n"]] = m
        on, skips = None, 0
        for m in by_n.values():
            want = None if on in (None, m["on"]) else "rise" if m["on"] else "fall"
            assert m.get("edge") == want, f"{ident}: {m} behind on={on}"
            assert m["skips"] >= skips, f"{ident}: skips went back at {m}"
            on, skips = m["on"], m["skips"]
        arrived = {m["seq"] for m in by_n.values()}
        missing = {s for s in taken if kind(s) == "goes"} - arrived
        assert not missing, f"{ident}: {len(missing)} missing, e.g. {min(missing)}"
        assert all(kind(s) == "goes" for s in arrived)
        assert len({m["id"] for m in by_n.values()}) == len(by_n)
    return repeats


def arrived(sink):
    got = {}
    for body in bodies(sink, "/far"):
        for m in split(body):
            m = json.loads(m)
            got.setdefault(m["ident"], []).append(m)
    return got


def last_words(p, source):
    """One more message of each ident, alone, so that what it kept can be read from what arrives; the counts of what was skipped, told so."""
    port, seqs = source.port, {}
    for i, ident in enumerate(source.idents):
        seq = 77 * (source.seq[i] + 1) + 1
        assert kind(seq) == "goes"
        seqs[ident] = seq
    body = b"[" + b",".join(raw(i, s) for i, s in seqs.items()) + b"]"
    done, conn = source._deliver(None, body, len(seqs))
    source._closed(conn)
    assert done
    for i, s in seqs.items():
        source.taken[i].add(s)
    p.drained()
    return seqs


def test_state_is_gone_on_from_over_stop_kill_and_reload(program, sink, tmp_path):
    keeper(tmp_path)
    port = free_port()
    text = spec(port, sink.url)
    p = program(text)
    source = Source(port, 20, connections=4, batches=(1, 5, 20))
    source.run(600)
    assert p.stop() == 0
    p.start()
    source.run(600, seed=2)
    p.kill()
    p.start()
    source.run(600, seed=3)
    assert p.reload(text.replace("transforms: [keeper]", "transforms: [keeper], batch: {messages: 7}"))
    source.run(600, seed=4)
    last_words(p, source)
    got = arrived(sink)
    audit(got, source)
    # Nothing was sent twice here, so that each count is exact.
    assert source.unsure == 0
    for ident, taken in source.taken.items():
        first = {m["n"]: m for m in got[ident]}
        assert len(first) == sum(kind(s) == "goes" for s in taken)
        assert max(m["skips"] for m in first.values()) == sum(kind(s) == "skips" for s in taken)
    counts = p.stream("s")
    assert balanced(counts)


@pytest.mark.parametrize("count", [40000, pytest.param(150000, marks=pytest.mark.long)])
def test_state_stands_kills_reloads_and_full_buffers(program, sink, tmp_path, count):
    keeper(tmp_path)
    port = free_port()
    texts = [spec(port, sink.url, more=", buffer: {max: 128KiB}" + more) for more in ("", ", batch: {messages: 50}")]
    p = program(texts[0])
    source = Source(port, 200, batches=(1, 10, 100))
    source.run(count, background=True)
    rng, turn = random.Random(7), 0
    while any(t.is_alive() for t in source.threads):
        turn += 1
        sink.tell("status", 503)          # the buffer fills: refusals in the midst of chains
        time.sleep(0.3)
        sink.tell("status", 200)
        time.sleep(0.2)
        p.write(texts[turn % 2])
        keeper(tmp_path, "" if turn % 2 else ', more = "string"')
        p.hup()
        time.sleep(rng.random() * 0.4)
        p.kill()
        p.start()
    source.join()
    sink.tell("status", 200)
    last_words(p, source)
    repeats = audit(arrived(sink), source)
    print(f"turns {turn}, resends {source.resends}, resets {source.resets}, repeats {repeats}")
    assert turn >= 2 and source.resends > 0 and source.resets > 0
    assert balanced(p.stream("s"))


COUNTER = """
local A = {state = {n = "integer"}}
function A.transform(msg, ctx)
  local s = ctx.state
  s.n = (s.n or 0) + 1
  if msg.bad then %s end
  return {ident = msg.ident, seq = msg.seq, n = s.n}
end
return A
"""


def counter(folder, bad):
    (folder / "adapters").mkdir(exist_ok=True)
    (folder / "adapters" / "keeper.lua").write_text(COUNTER % bad)


def counted(far):
    return [(m["seq"], m["n"]) for m in far.accepted()]


def test_dead_letters_that_come_again_come_late(program, tmp_path):
    counter(tmp_path, 'error("told to")')
    far, port = Platform(), free_port()
    text = spec(port, far.url)
    odd = text.replace("path: /messages", "path: /messages, ident: imei")
    p = program(odd)
    assert send(port, json.dumps([{"imei": "a", "timestamp": 1, "seq": i, **({"bad": 1} if i == 1 else {})} for i in range(3)]).encode())[0] == 200
    assert send(port, b'{"ident":"a","timestamp":1,"seq":3}')[0] == 400
    until(lambda: p.stream("s")["accepted"] == 2)
    assert counted(far) == [(0, 1), (2, 2)] and p.stream("s")["dead"] == 1
    counter(tmp_path, "")
    assert p.reload(text)
    assert run("dead", "retry", "--all", p.file, "s") == "1 on their way again\n"
    assert run("dead", "retry", "--all", p.file, "in") == "1 on their way again\n"
    assert send(port, b'{"ident":"a","timestamp":1,"seq":4}')[0] == 200
    until(lambda: p.stream("s")["accepted"] == 5)
    assert counted(far) == [(0, 1), (2, 2), (1, 3), (3, 4), (4, 5)] and balanced(p.stream("s"))


def test_letters_and_messages_at_once_make_one_chain(program, tmp_path):
    counter(tmp_path, 'error("told to")')
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    for i in range(0, 400, 100):
        assert send(port, json.dumps([{"ident": "ab"[k % 2], "timestamp": 1, "seq": k, "bad": 1} for k in range(i, i + 100)]).encode())[0] == 200
    until(lambda: p.stream("s")["dead"] == 400)
    counter(tmp_path, "")
    assert p.reload(spec(port, far.url))
    retry = threading.Thread(target=run, args=("dead", "retry", "--all", p.file, "s"))
    retry.start()
    for i in range(400, 800, 4):
        assert send(port, json.dumps([{"ident": "ab"[k % 2], "timestamp": 1, "seq": k} for k in range(i, i + 4)]).encode())[0] == 200
    retry.join()
    until(lambda: p.stream("s")["accepted"] == 800)
    for ident in "ab":
        assert [m["n"] for m in far.accepted() if m["ident"] == ident] == list(range(1, 401))
    assert balanced(p.stream("s"))


def pipelined(port, name, count, width, rng, failed):
    """Requests one behind the other without waiting for answers, `width` under way; messages of idents that the others use too."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers, asked, buf = 0, 0, b""
            while answers < count:
                out = b""
                while asked < count and asked - answers < width:
                    body = json.dumps([{"ident": f"i{rng.randrange(6)}", "timestamp": 1, "seq": asked * 3 + k, "conn": name} for k in range(3)]).encode()
                    out += b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                    asked += 1
                s.sendall(out)
                buf += s.recv(65536)
                answers += buf.count(b"HTTP/1.1 200")
                buf = buf[buf.rfind(b"HTTP/1.1 200") + 12:] if b"HTTP/1.1 200" in buf else buf
                assert b"HTTP/1.1 5" not in buf and b"HTTP/1.1 4" not in buf
    except Exception as e:  # told by the test
        failed.append(f"{name}: {type(e).__name__}: {e}")


def test_a_connection_keeps_its_order_while_its_requests_wait_for_others(program, tmp_path):
    counter(tmp_path, "")
    text = (tmp_path / "adapters" / "keeper.lua").read_text().replace("seq = msg.seq,", "seq = msg.seq, conn = msg.conn,")
    (tmp_path / "adapters" / "keeper.lua").write_text(text)
    far, port, failed = Platform(), free_port(), []
    p = program(spec(port, far.url, more=", batch: {messages: 1000}"))
    threads = [threading.Thread(target=pipelined, args=(port, f"c{i}", 150, 20, random.Random(i), failed)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    until(lambda: p.stream("s")["accepted"] == 8 * 450)
    got = far.accepted()
    for i in range(8):
        assert [m["seq"] for m in got if m["conn"] == f"c{i}"] == list(range(450))
    for i in range(6):
        mine = [m["n"] for m in got if m["ident"] == f"i{i}"]
        assert mine == list(range(1, len(mine) + 1))


def test_a_disk_that_is_full_at_times_leaves_every_chain_whole(program, sink, tmp_path, small):
    keeper(tmp_path)
    port = free_port()
    p = program(spec(port, sink.url).replace("data: data", "data: small/data, limits: {disk: 10GiB}"))
    p.data = str(small / "data")
    source = Source(port, 100, batches=(1, 10, 100))
    source.run(10 ** 9, background=True)
    for _ in range(3):
        before = source.acked
        until(lambda: source.acked > before + 1000, wait=60)
        resends = source.resends
        try:
            with open(small / "foreign", "wb") as f:
                while True:
                    f.write(bytes(1 << 16))
                    f.flush()
        except OSError:
            pass   # no space left, which is what was wanted
        until(lambda: source.resends > resends + 16, wait=60)
        (small / "foreign").unlink()
    before = source.acked
    until(lambda: source.acked > before + 1000, wait=60)
    source.stop.set()
    source.join()
    p.drained()
    repeats = audit(arrived(sink), source)
    print(f"{source.acked} messages, {source.resends} resends, {repeats} repeats, store {p.status()['store']}")
    assert repeats == 0 and balanced(p.stream("s"))
