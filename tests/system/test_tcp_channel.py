"""Messages over TCP, Unix sockets, TLS and datagrams, from sockets of Python's, socat and openssl; judged at an HTTP destination."""
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lab.program import sanitized
from lab import audit, balanced, deliveries, free_port, message

SPEC = """
sluice: 1
settings: {{data: data, limits: {{message: 64KiB, body: 256KiB}}}}
channels:
  in: {{type: tcp, listen: '{listen}'{more}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far, retry: {{first: 20ms, max: 100ms}}{stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


class Source:
    """Lines over one connection at a time. With acknowledgements a line that was not answered is sent again, in order, until it is."""

    def __init__(self, connect, window=500):
        self.connect, self.window = connect, window
        self.s = None
        self.again = 0

    def send(self, lines, patience=60):
        at, end = 0, time.monotonic() + patience
        while at < len(lines):
            assert time.monotonic() < end, f"{at} of {len(lines)} were answered"
            try:
                if self.s is None:
                    self.s = self.connect()
                    self.rest = b""
                part = lines[at:at + self.window]
                self.s.sendall(b"".join(m + b"\n" for m in part))
                for line, answer in zip(part, self.answers(len(part))):
                    if answer.startswith(b"retry "):
                        raise ConnectionResetError  # what was sent behind it may have been taken: start there again
                    self.judge(line, answer)
                    at += 1
            except OSError:
                self.again += 1
                if self.s:
                    self.s.close()
                self.s = None
                time.sleep(0.02)

    def judge(self, line, answer):
        assert answer == b"ok", (line[:80], answer)

    def answers(self, n):
        while n:
            while b"\n" not in self.rest:
                got = self.s.recv(65536)
                if not got:
                    raise ConnectionResetError
                self.rest += got
            line, _, self.rest = self.rest.partition(b"\n")
            n -= 1
            yield line


def by_ident(lines, idents):
    return {ident: [m for m in lines if b'"ident":"%s"' % ident.encode() in m] for ident in idents}


def tcp(port):
    def connect():
        s = socket.create_connection(("127.0.0.1", port), timeout=20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s
    return connect


def stream_of(n, idents=10):
    return [message(f"35{i % idents:04d}", i // idents) for i in range(n)], [f"35{i:04d}" for i in range(idents)]


def test_20000_lines_from_socat_arrive_once_and_in_order(tmp_path, sink, program):
    port = free_port()
    p = program(SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more="", stream=""))
    lines, idents = stream_of(20000)
    file = tmp_path / "in"
    file.write_bytes(b"".join(m + b"\n" for m in lines))
    subprocess.run(["socat", "-u", f"OPEN:{file}", f"TCP:127.0.0.1:{port}"], check=True, timeout=60)
    while p.status()["channels"][0]["taken"] < 20000:
        time.sleep(0.02)
    p.drained()
    audit(sink, "/far", by_ident(lines, idents))
    assert p.memory()[1] < 80 << 20 or sanitized()
    assert balanced(p.stream("s"))


def test_nothing_that_was_answered_is_lost_when_the_router_is_killed(tmp_path, sink, program):
    """The path of a Unix socket is taken again after each kill; what was not answered is sent again."""
    path = tmp_path / "feed.sock"
    p = program(SPEC.format(listen=f"unix://{path}", url=sink.url, more=", acknowledge: line", stream=""))

    def connect():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(str(path))
        return s

    source = Source(connect)
    lines, idents = stream_of(20000)
    done = []
    t = threading.Thread(target=lambda: (source.send(lines, 120), done.append(True)), daemon=True)
    t.start()
    for i in range(6):
        time.sleep(0.03)   # in the midst of it, also on a quick machine
        p.kill()
        p.start()
    t.join(120)
    assert done
    p.drained()
    # After each kill what was in the window may come twice, and so may what the destination had just taken.
    repeats = audit(sink, "/far", by_ident(lines, idents), exact=False)
    assert repeats <= 6 * (source.window + 6 * 100)
    assert source.again >= 1


def test_a_full_stream_is_felt_as_back_pressure_and_nothing_is_lost(sink, program):
    port = free_port()
    sink.tell("down")
    p = program(SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more="", stream=", buffer: {max: 1MiB}"))
    lines, idents = stream_of(40000)
    s = tcp(port)()
    s.settimeout(60)
    done = threading.Event()

    def send():
        s.sendall(b"".join(m + b"\n" for m in lines))
        s.shutdown(socket.SHUT_WR)
        done.set()

    threading.Thread(target=send, daemon=True).start()
    while p.status()["channels"][0]["unavailable"] == 0:
        time.sleep(0.02)
    time.sleep(0.3)
    assert not done.is_set()
    assert p.memory()[1] < 80 << 20 or sanitized()
    sink.tell("up")
    assert done.wait(60)
    while p.status()["channels"][0]["taken"] < len(lines):
        time.sleep(0.02)
    p.drained()
    audit(sink, "/far", by_ident(lines, idents))


def test_lines_that_cannot_be_taken_are_told_and_set_aside(sink, program):
    port = free_port()
    p = program(SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more=", acknowledge: line", stream=""))
    good = message("350000", 0)
    told = [(good, b"ok"), (b'{"seq":1}', b"refused no ident"), (b'{"ident":"350000",', b"refused not JSON"), (b"  \r", None),
            (b'[{"ident":"350000","seq":1},{"ident":"350000","seq":2}]', b"ok"), (b'{"ident":"x","pad":"' + b"x" * 70000 + b'"}', b"refused a line longer"),
            (b'[{"ident":"350000","seq":3},7]', b"refused"), (b'[{"ident":"350000","seq":9},{]', b"refused not JSON"), (b'{"ident":"350000","seq":4}', b"ok")]
    with tcp(port)() as s:
        s.sendall(b"\n".join(line for line, _ in told))  # the last one has no end but that of the connection
        s.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: s.recv(65536), b"")).split(b"\n")
    expected = [a for _, a in told if a]
    assert len(answers) == len(expected) + 1 and answers[-1] == b""
    for got, want in zip(answers, expected):
        assert got.startswith(want), (got, want)
    p.drained()
    assert [seq for seq, _ in deliveries(sink, "/far")["350000"]] == [0, 1, 2, 3, 4]
    channel = p.status()["channels"][0]
    assert (channel["taken"], channel["refused"]) == (5, 5)


def test_a_connection_stays_over_a_reload_and_goes_when_its_channel_does(sink, program):
    port = free_port()
    spec = SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more=", acknowledge: line", stream="")
    p = program(spec)
    with tcp(port)() as s:
        f = s.makefile("rb")
        s.sendall(b'{"ident":"350000","seq":0}\n{"ident":"350')
        assert f.readline() == b"ok\n"
        assert p.reload(spec + "\ndevices: {\"350000\": {name: Truck}}\n")
        s.sendall(b'000","seq":1}\n')
        assert f.readline() == b"ok\n"
        assert p.reload(spec.replace(f":{port}", f":{free_port()}"))
        assert f.readline() == b""
    with pytest.raises(ConnectionRefusedError):
        tcp(port)()


def certificates(folder):
    """A CA, the server's certificate, and one for a client."""
    def run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder, timeout=30)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test ca", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy", "-days", "2", "-out", f"{name}.pem")


def test_tls_with_client_certificates_from_openssl(tmp_path, sink, program):
    certificates(tmp_path)
    port = free_port()
    more = ", acknowledge: line, tls: {cert: server.pem, key: server.key, ca: ca.pem}"
    p = program(SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more=more, stream=""))
    lines, idents = stream_of(2000)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(str(tmp_path / "client.pem"), str(tmp_path / "client.key"))
    source = Source(lambda: context.wrap_socket(tcp(port)(), server_hostname="localhost"))
    source.send(lines[:1000])
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "ca.pem", "-verify_return_error", "-cert", "client.pem",
                               "-key", "client.key", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path)
    client.stdin.write(b"".join(m + b"\n" for m in lines[1000:]))
    client.stdin.flush()
    for _ in range(1000):
        assert client.stdout.readline() == b"ok\n"
    client.kill()
    client.communicate()
    p.drained()
    audit(sink, "/far", by_ident(lines, idents))
    stranger = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        s = stranger.wrap_socket(tcp(port)(), server_hostname="localhost")
        s.sendall(lines[0] + b"\n")
        if not s.recv(100):
            raise ConnectionResetError


FRAMES = r"""
-- A made-up protocol: `L<ident>;` logs in and is answered at once, `M<text>;` is a message, answered when durable.
local A = {summary = "frames of a test"}
function A.decode(bytes, ctx)
  local out, used, now, after = {}, 0, "", ""
  for kind, text, stop in bytes:gmatch("(%a)([^;]*);()") do
    if kind == "L" then
      ctx.conn.ident, now = text, now .. "hello " .. text .. "\n"
    elseif kind == "M" then
      if not ctx.conn.ident then return nil, "no login" end
      ctx.conn.n = (ctx.conn.n or 0) + 1
      out[#out + 1] = {ident = ctx.conn.ident, seq = tonumber(text), n = ctx.conn.n}
      after = after .. "got " .. text .. "\n"
    elseif used > 0 then
      break  -- first what came before it
    else
      return nil, "what is " .. kind
    end
    used = stop - 1
  end
  out.used, out.now, out.after = used, now ~= "" and now or nil, after ~= "" and after or nil
  return out
end
A.vectors = {{"one", decode = "Lx;M1;", want = {{ident = "x", seq = 1, n = 1}}}}
return A
"""


def test_an_adapter_finds_its_frames_and_remembers_its_connection(tmp_path, sink, program):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "frames.lua").write_text(FRAMES)
    port = free_port()
    spec = SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more=", format: frames", stream="").replace("data: data,", "data: data, adapters: [adapters],")
    p = program(spec)
    with tcp(port)() as s:
        f = s.makefile("rb")
        for byte in b"Lalpha;M0;":  # one at a time
            s.sendall(bytes([byte]))
            time.sleep(0.002)
        assert f.readline() == b"hello alpha\n"
        assert f.readline() == b"got 0\n"
        assert p.reload(spec + "\ndevices: {\"350000\": {name: Truck}}\n")
        s.sendall(b"M1;M2;M3")  # what the login said is still known
        assert f.readline() == b"got 1\n" and f.readline() == b"got 2\n"
        s.sendall(b";X9;")
        assert f.readline() == b"got 3\n"
        assert f.readline() == b""  # none of the format: nothing behind it can be understood
    p.drained()
    got = [json.loads(m) for _, m in deliveries(sink, "/far")["alpha"]]
    assert [(m["seq"], m["n"]) for m in got] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert p.status()["channels"][0]["refused"] == 1


def test_datagrams_are_answered_and_losses_counted(tmp_path, sink, program):
    port = free_port()
    sink.tell("down")
    p = program(SPEC.format(listen=f"udp://127.0.0.1:{port}", url=sink.url, more="", stream=", buffer: {max: 1MiB}"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port))
        sent = 0
        for sent in range(1, 20001):
            s.send(message("350000", sent))
            if sent % 50 == 0:
                time.sleep(0.001)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            c = p.status()["channels"][0]
            if c["taken"] + c["lost"] == sent:
                break
            time.sleep(0.05)
        assert c["lost"] > 0 and c["taken"] + c["lost"] == sent, c
        assert "channel/in lost datagrams=" in p.log()
    sink.tell("up")
    p.drained()
    assert len(deliveries(sink, "/far")["350000"]) == c["taken"]
    assert p.reload(SPEC.format(listen=f"udp://127.0.0.1:{port}", url=sink.url, more=", acknowledge: line", stream=", buffer: {max: 1MiB}"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect(("127.0.0.1", port))
        s.send(message("350001", 1) + b"\n" + b'{"seq":2}')
        assert s.recv(1000) == b"ok\nrefused no ident\n"


@pytest.mark.long
def test_idle_connections_end_and_their_number_is_bounded(sink, program):
    port = free_port()
    spec = SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more=", idle: 5s", stream="").replace("limits: {", "limits: {connections: 16, ")
    p = program(spec)
    first = [tcp(port)() for _ in range(16)]
    with tcp(port)() as s:
        assert s.recv(1) == b""
    began = time.monotonic()
    first[0].sendall(b'{"ident":"350000","se')  # what is not a whole line when it ends is set aside
    for s in first:
        assert s.recv(1) == b""
        s.close()
    assert time.monotonic() - began < 15
    assert p.status()["channels"][0]["refused"] == 1
    assert "connections-full" in p.log()


ASKED = r"""
-- A datagram of a made-up protocol: `imei;seq`, answered `got seq` when it is durable and `no` when it cannot be taken.
local A = {summary = "datagrams of a test"}
function A.decode(bytes, ctx)
  local ident, seq = bytes:match("^(%d+);(%d+)$")
  if not ident then return nil, "no imei" end
  return {{ident = ident, seq = tonumber(seq)}, after = "got " .. seq}
end
A.vectors = {{"one", decode = "1;2", want = {{ident = "1", seq = 2}}}}
return A
"""


def test_an_adapters_answer_goes_back_to_where_a_datagram_came_from(tmp_path, sink, program):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "asked.lua").write_text(ASKED)
    port = free_port()
    p = program(SPEC.format(listen=f"udp://127.0.0.1:{port}", url=sink.url, more=", format: asked", stream="").replace("data: data,", "data: data, adapters: [adapters],"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
        for n, s in enumerate((a, b)):
            s.settimeout(10)
            s.connect(("127.0.0.1", port))
            s.send(b"35%d;%d" % (n, n))
        assert a.recv(100) == b"got 0" and b.recv(100) == b"got 1"
        a.send(b"nonsense")
        while p.status()["channels"][0]["refused"] == 0:
            time.sleep(0.01)
    p.drained()
    assert sorted(deliveries(sink, "/far")) == ["350", "351"]


def test_a_socket_of_datagrams_goes_and_comes_and_moves_in_one_reload_each(sink, program):
    """While datagrams keep coming; the one that leaves is still answering for what it took when the next one is bound."""
    port = free_port()
    here, nowhere = f"udp://127.0.0.1:{port}", f"127.0.0.1:{free_port()}"
    spec = {listen: SPEC.format(listen=listen, url=sink.url, more=", acknowledge: line", stream="")
            for listen in (here, nowhere, f"udp://0.0.0.0:{port}", f"udp://:{port}")}
    p = program(spec[here])
    stop, answered = threading.Event(), []

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", port))
            s.settimeout(0.02)
            seq = 0
            while not stop.is_set():
                try:
                    for seq in range(seq + 1, seq + 31):
                        s.send(message("350000", seq))
                    while len(answered) < 10 ** 6:
                        answered.append(s.recv(1000))
                except OSError:  # no answer, or nobody there
                    pass

    t = threading.Thread(target=send, daemon=True)
    t.start()
    try:
        for listen in (nowhere, here, nowhere, here, f"udp://0.0.0.0:{port}", here, f"udp://:{port}", nowhere, f"udp://:{port}", here):
            assert p.reload(spec[listen]), p.log()[-2000:]
        seen = len(answered)
        while len(answered) < seen + 30:
            time.sleep(0.01)
    finally:
        stop.set()
        t.join()
    # What is gone gives its address back, and what another program has is not taken.
    assert p.reload(spec[nowhere])
    other, end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic() + 5
    while True:
        try:
            other.bind(("127.0.0.1", port))
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)
    with other:
        assert not p.reload(spec[here])
        assert "another program (or channel) listens there" in p.log()


def full_of_answers(port):
    """A connection whose far end sends lines and never reads what they are answered."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(0.3)
    s.connect(("127.0.0.1", port))
    bad = b"{}\n" * 2000
    try:
        while True:
            s.sendall(bad)
    except TimeoutError:
        return s


def sockets(p):
    """How many the router has open."""
    n, fds = 0, f"/proc/{p.process.pid}/fd"
    for fd in os.listdir(fds):
        try:
            n += os.readlink(f"{fds}/{fd}").startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            pass
    return n


def until(what, seconds):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.long
def test_who_never_reads_its_answers_keeps_nothing_up(sink, program):
    """It does not hold its connection for ever, nor up a reload that takes the channel away, nor the end. Others go on meanwhile."""
    port, other = free_port(), free_port()
    spec = SPEC.format(listen=f"127.0.0.1:{port}", url=sink.url, more=", acknowledge: line, idle: 5s", stream="")
    p = program(spec)
    source, lines = Source(tcp(port)), stream_of(4000)[0]
    source.send(lines[:2000])
    p.drained()
    before = sockets(p)   # the one to the destination is among them
    held = [full_of_answers(port) for _ in range(2)]
    held[1].shutdown(socket.SHUT_WR)   # no more comes of this one, and still it reads nothing
    source.send(lines[2000:])
    assert p.memory()[1] < 80 << 20 or sanitized()
    until(lambda: sockets(p) == before - 1, 60)   # the source had nothing more to say either
    held = full_of_answers(port)
    refused = 0
    while refused != (refused := p.status()["channels"][0]["refused"]):  # until all room for answers is taken
        time.sleep(0.3)
    assert p.reload(spec.replace(f":{port}", f":{other}"))
    until(lambda: sockets(p) == before - 1, 4)
    held.close()
    held = full_of_answers(other)
    began = time.monotonic()
    assert p.stop() == 0
    assert time.monotonic() - began < 4
    held.close()
