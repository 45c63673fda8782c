"""The TCP destination against servers of Python's and socat: windows, verdicts, cut and silent far ends, adapters with a greeting and frames."""
import json
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from lab.program import sanitized
from lab import Load, balanced, free_port, sluice
from test_tcp_channel import certificates

SPEC = """
sluice: 1
settings: {{data: data}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: tcp, url: '{url}'{more}}}}}
streams: {{s: {{to: far, retry: {{first: 20ms, max: 100ms, timeout: 2s}}{stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""
SEQ = re.compile(rb'"ident":"([^"]*)".*?"seq":(\d+)')


class Far:
    """A server of lines. `answer(line)` gives what is answered; None cuts the connection."""

    def __init__(self, answer, family=socket.AF_INET, address=("127.0.0.1", 0), wrap=None):
        self.answer, self.wrap = answer, wrap
        self.got, self.opened, self.most = [], 0, 0
        self.lock = threading.Lock()
        self.listener = socket.socket(family)
        self.listener.bind(address)
        self.listener.listen(64)
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"tcp://127.0.0.1:{self.address[1]}" if isinstance(self.address, tuple) else f"unix://{self.address}"

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.opened += 1
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            if self.wrap:
                s = self.wrap(s)
            rest = b""
            while got := s.recv(65536):
                lines = (rest + got).split(b"\n")
                rest = lines.pop()
                self.most = max(self.most, len(lines))
                out = []
                for line in lines:
                    with self.lock:
                        self.got.append(line)
                    said = self.answer(line)
                    if said is None:
                        s.sendall(b"".join(out))
                        s.close()
                        return
                    out.append(said)
                s.sendall(b"".join(out))
        except OSError:
            pass

    def close(self):
        self.listener.close()


def check(far, load, exact=True, but=lambda ident, seq: False):
    """Nothing missing, each device's first deliveries in order; the number of repeats."""
    first, seen, repeats = {}, set(), 0
    for line in list(far.got):
        ident, seq = SEQ.search(line).groups()
        key = ident.decode(), int(seq)
        if key in seen:
            repeats += 1
            continue
        seen.add(key)
        first.setdefault(key[0], []).append(key[1])
    for ident, sent in load.sent.items():
        want = [int(SEQ.search(m).group(2)) for m in sent]
        missing = [s for s in want if (ident, s) not in seen]
        assert not missing, f"{ident}: {len(missing)} missing"
        assert [s for s in first[ident] if not but(ident, s)] == [s for s in want if not but(ident, s)], f"{ident} is out of order"
    assert not exact or repeats == 0, f"{repeats} repeats"
    return repeats


@pytest.mark.parametrize("window", [1, pytest.param(20, marks=pytest.mark.long), 1000])
def test_20000_lines_each_answered(program, window):
    far = Far(lambda line: b"ok\n")
    load = Load(free_port(), 20, connections=4, batches=(100,))
    n = 20000 if window > 1 else 2000
    p = program(SPEC.format(port=load.port, url=far.url, more=f", window: {window}", stream=", batch: {messages: 500}"))
    load.run(n)
    p.drained()
    check(far, load)
    assert far.opened == 1
    assert p.stream("s")["accepted"] == n
    if window == 1:
        assert far.most == 1
    assert p.memory()[1] < 80 << 20 or sanitized()


def test_a_bad_night(program):
    """Connections cut before and after the message counted, answers that never come, and the router killed in between."""
    state = {"n": 0}

    def answer(line):
        state["n"] += 1
        if state["n"] % 997 == 0:
            return None          # cut: taken here, but the router does not know
        if state["n"] % 4001 == 0:
            time.sleep(2.5)      # too late
        return b"ok\n"

    far = Far(answer)
    load = Load(free_port(), 20, connections=4, batches=(100,))
    p = program(SPEC.format(port=load.port, url=far.url, more="", stream=""))
    load.run(20000, background=True)
    for _ in range(5):
        time.sleep(0.4)
        p.kill()
        p.start()
    load.join()
    p.drained(60)
    repeats = check(far, load, exact=False)
    # A cut or a late answer repeats at most a window; a kill the batches that were not recorded.
    assert repeats <= (state["n"] // 997 + 1) * 100 + (state["n"] // 4001 + 1) * 100 + 5 * 500 + load.unsure
    assert balanced(p.stream("s"))


def test_per_message_verdicts(program):
    tried = {}

    def answer(line):
        seq = int(SEQ.search(line).group(2))
        tried[seq] = tried.get(seq, 0) + 1
        if seq % 100 == 7:
            return b"refused no such plate\n"
        if seq % 100 == 9 and tried[seq] == 1:
            return b"retry busy\r\n"
        return b"OK taken\r\n"

    far = Far(answer)
    load = Load(free_port(), 1, connections=1, batches=(100,))
    p = program(SPEC.format(port=load.port, url=far.url, more="", stream=""))
    load.run(1000)
    while p.stream("s")["buffered"] > 0:
        time.sleep(0.02)
    s = p.stream("s")
    assert (s["accepted"], s["dead"]) == (990, 10)
    assert all(tried[seq] == (2 if seq % 100 == 9 else 1) for seq in tried)
    check(far, load, exact=False, but=lambda ident, seq: seq % 100 == 9)


def test_an_answer_of_another_kind_holds_the_stream_and_says_why(program):
    far = Far(lambda line: b"220 hello\n")
    load = Load(free_port(), 1, connections=1, batches=(10,))
    p = program(SPEC.format(port=load.port, url=far.url, more="", stream=""))
    load.run(10)
    while p.stream("s")["state"] != "blocked":
        time.sleep(0.02)
    assert "answered '220 hello', where ok, retry or refused is expected" in p.stream("s")["reason"]
    assert p.stream("s")["buffered"] == 10


def test_unanswered_lines_count_when_the_far_end_has_them(tmp_path, program):
    """socat writes them to a file and answers nothing. While it is away nothing is taken as sent."""
    port, out = free_port(), tmp_path / "out"
    load = Load(free_port(), 10, connections=2, batches=(100,))
    p = program(SPEC.format(port=load.port, url=f"tcp://127.0.0.1:{port}", more=", acknowledge: none", stream=""))
    load.run(5000)
    assert p.stream("s")["accepted"] == 0
    socat = subprocess.Popen(["socat", "-u", f"TCP-LISTEN:{port},reuseaddr", f"CREATE:{out}"])
    try:
        load.run(15000, seed=2)
        p.drained()
        assert p.stop() == 0
        socat.wait(20)
    finally:
        socat.kill()
    assert out.read_bytes().count(b"\n") == 20000

    class Lines:
        got = out.read_bytes().splitlines()
    check(Lines, load)


def test_unix_socket_and_tls(tmp_path, program):
    certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(tmp_path / "server.pem"), str(tmp_path / "server.key"))
    context.load_verify_locations(str(tmp_path / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    secure = Far(lambda line: b"ok\n", wrap=lambda s: context.wrap_socket(s, server_side=True))
    local = Far(lambda line: b"ok\n", family=socket.AF_UNIX, address=str(tmp_path / "far.sock"))
    load = Load(free_port(), 10, connections=2, batches=(100,))
    url = secure.url.replace("tcp://127.0.0.1", "tcps://localhost")
    p = program(SPEC.format(port=load.port, url=url, more=", tls: {ca: ca.pem, cert: client.pem, key: client.key}", stream=""))
    load.run(3000)
    p.drained()
    check(secure, load)
    assert p.reload(SPEC.format(port=load.port, url=url, more=", tls: {ca: ca.pem}", stream=""))
    load.run(100, seed=2)
    while p.stream("s")["state"] != "blocked":
        time.sleep(0.02)
    assert "certificate" in p.stream("s")["reason"]
    assert p.reload(SPEC.format(port=load.port, url=local.url, more="", stream=""))
    p.drained()
    assert len(local.got) == 100 and len(secure.got) == 3000


FRAMES = r"""
-- A made-up platform: a login for each device, then frames of a length and a text; a byte for each, 1 taken, 2 refused, 3 busy.
local A = {summary = "frames of a test", transport = "tcp", connection = "device", options = {password = {type = "string", required = true}}}
function A.transform(msg) return string.pack("<s2", json.encode(msg)) end
function A.hello(ctx) return string.pack("<s2", "LOGIN " .. ctx.ident .. " " .. ctx.options.password), true end
function A.reply(bytes, ctx)
  if not ctx.conn.ready then
    if bytes:byte(1) ~= 0x55 then return nil, "login refused" end
    ctx.conn.ready = true
    return 1
  end
  local list = {}
  for i = 1, #bytes do
    local b = bytes:byte(i)
    list[i] = b == 1 and "done" or b == 2 and {"refused", "the platform said no"} or b == 3 and {"retry", "busy"} or error("what is " .. b)
  end
  return #bytes, list
end
return A
"""


def test_an_adapter_greets_each_device_and_reads_its_answers(tmp_path, program):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "frames.lua").write_text(FRAMES)
    got, logins, lock = {}, [], threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)

    def serve(s):
        f = s.makefile("rb")
        ident = None
        while head := f.read(2):
            text = f.read(struct.unpack("<H", head)[0])
            if ident is None:
                word, ident, password = text.split()
                assert word == b"LOGIN" and password == b"xyz"
                with lock:
                    logins.append(ident.decode())
                if ident == b"350000000003":
                    s.sendall(b"\x00")
                    continue
                time.sleep(0.01)  # nothing may come before this is answered
                s.sendall(b"\x55")
                continue
            m = json.loads(text)
            assert m["ident"] == ident.decode()
            with lock:
                got.setdefault(m["ident"], []).append(m["seq"])
            s.sendall(b"\x02" if m["seq"] == 5 else b"\x01")
        s.close()

    def accept():
        while True:
            s, _ = listener.accept()
            threading.Thread(target=serve, args=(s,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    load = Load(free_port(), 8, connections=1, batches=(80,))
    url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    spec = SPEC.format(port=load.port, url=url, more=", password: xyz, window: 5", stream=", ordering: device, in-flight: 4")
    p = program(spec.replace("data: data", "data: data, adapters: [adapters]").replace("type: tcp", "type: frames"))
    load.run(160)
    refused = "350000000003"
    deadline = time.monotonic() + 20
    while p.stream("s")["buffered"] > 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    s = p.stream("s")
    # The device that is not let in waits alone.
    assert (s["buffered"], s["accepted"], s["dead"]) == (20, 133, 7), s
    assert set(got) == set(load.idents) - {refused}
    assert all(got[i] == list(range(20)) for i in got)
    assert all(logins.count(i) == 1 for i in got), logins
    assert "login refused" in p.log()


@pytest.mark.long
def test_a_far_end_that_is_killed_has_what_it_answered(tmp_path, program):
    """`sluice sink` keeps a line before it answers; it is killed six times, and the router three times in between."""
    port, out = free_port(), tmp_path / "got"
    load = Load(free_port(), 20, connections=4, batches=(100,))
    p = program(SPEC.format(port=load.port, url=f"tcp://127.0.0.1:{port}", more="", stream=""))

    def far():
        return subprocess.Popen([sluice, "sink", "--as", "tcp", "--listen", f"127.0.0.1:{port}", "--quiet", "--out", str(out)], stdout=subprocess.DEVNULL)

    f = far()
    try:
        load.run(20000, background=True, rate=8000)
        for i in range(6):
            time.sleep(0.3)
            f.kill()
            f.wait()
            if i % 2:
                p.kill()
                p.start()
            f = far()
        load.join()
        p.drained()
    finally:
        f.kill()
        f.wait()

    class Lines:
        got = [line for line in out.read_bytes().split(b"\n") if line.endswith(b"}")]
    repeats = check(Lines, load, exact=False)
    assert repeats <= 6 * 100 + 3 * 500 + load.unsure
    assert balanced(p.stream("s"))
