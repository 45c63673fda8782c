"""Every door under every fault: cut connections, lost and late answers, refused and oversized messages, kills on both sides.

A Chaos proxy stands between the router and the other side. Each door is tried with all faults at once; marked `long`, each fault alone with
20 000 messages. Nothing may be missing, nothing taken for another message's answer, repeats stay within what was under way, memory flat."""
import json
import os
import random
import re
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lab import Authority, Chaos, Load, Platform, audit, balanced, free_port, sluice
from lab.program import sanitized
from test_files import at_end
from test_tcp_channel import Source, by_ident, stream_of, until
from test_tcp_destination import FRAMES, Far

CUTS = ("fin", "rst", "lost", "late", "mute")   # after which there is another connection, with a fault of its own
FAULTS = CUTS + ("slow",)
ALL = "all at once"
MOST = 96 << 20     # resident, whatever happens
SEQ = re.compile(rb'"ident":"([^"]*)".*?"seq":(\d+)')

IN = """
sluice: 1
settings: {{data: data, limits: {{message: 64KiB, body: 256KiB}}}}
channels: {{in: {{{channel}}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far, retry: {{first: 20ms, max: 100ms}}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""
OUT = """
sluice: 1
settings: {{data: data{adapters}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{{destination}}}}}
streams: {{s: {{to: far, retry: {{first: 20ms, max: 100ms, timeout: 500ms}}{stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""

CASES = [pytest.param(ALL, 800)] + [pytest.param(f, 20000, marks=pytest.mark.long) for f in FAULTS + ("kill", "away")]


def faults_of(fault):
    return FAULTS if fault == ALL else (fault,) if fault in FAULTS else ()


def report(door, fault, n, chaos, repeats, p, began):
    print(f"{door}, {fault}: {n} messages in {time.monotonic() - began:.1f} s, {chaos.done or '-'}, {repeats} repeats, {p.memory()[1] >> 20} MiB")
    assert sanitized() or p.memory()[1] < MOST


def disturb(fault, p, chaos, n):
    """What happens to whole programs while messages flow, until told to stop."""
    kills = {"kill": 8, ALL: 1}.get(fault, 0)
    aways = {"away": 8, ALL: 1}.get(fault, 0)
    for i in range(max(kills, aways)):
        time.sleep(0.1)
        if i < kills:
            p.kill()
            p.start()
        if i < aways:
            chaos.away(0.1)
    return kills


# ---- in ------------------------------------------------------------------------------------------------------------------------------

BAD, LONG = b'{"seq":7}', b'{"ident":"x","pad":"%s"}' % (b"x" * 70000)


class Lines(Source):
    """Bad lines go between the good ones, and are answered as such; the others are sent until they are answered."""

    def judge(self, line, answer):
        assert answer == b"ok" if line not in (BAD, LONG) else answer.startswith(b"refused "), (line[:80], answer)


def connect(to, context=None):
    def made():
        s = socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET)
        s.settimeout(0.5)
        s.connect(to)
        return context.wrap_socket(s, server_hostname="127.0.0.1") if context else s
    return made


@pytest.mark.parametrize("fault,n", CASES)
@pytest.mark.parametrize("door", ["tcp", "tls", pytest.param("unix", marks=pytest.mark.long)])
def test_lines_come_in_through_anything(tmp_path, sink, program, door, fault, n):
    """Each line that was answered is there; each that was not is sent again by its source."""
    port, context, more = free_port(), None, ""
    to = str(tmp_path / "door") if door == "unix" else ("127.0.0.1", port)
    if door == "tls":
        a = Authority(tmp_path)
        a.issue("server", "127.0.0.1")
        more, context = ", tls: {cert: server.pem, key: server.key}", ssl.create_default_context(cafile=str(a.ca))
    listen = f"unix://{to}" if door == "unix" else f"127.0.0.1:{port}"
    p = program(IN.format(channel=f"type: tcp, listen: '{listen}', acknowledge: line{more}", url=sink.url))
    chaos = Chaos(to, faults_of(fault), left=6 if fault == ALL else 20, late=0.6, at=tmp_path / "chaos" if door == "unix" else None,
                  most=40000 if n > 1000 else 8000)
    source = Lines(connect(chaos.at, context), window=200)
    good, idents = stream_of(n)
    lines = list(good)
    for i in range(n // 200):
        lines.insert(i * 201 + 100, LONG if i % 5 == 4 else BAD)
    failed, began = [], time.monotonic()

    def work():
        try:
            source.send(lines, 120)
        except BaseException as e:
            failed.append(e)

    t = threading.Thread(target=work, daemon=True)
    t.start()
    kills = disturb(fault, p, chaos, n)
    t.join()
    assert not failed, failed
    p.drained()
    repeats = audit(sink, "/far", by_ident(good, idents), exact=False)
    report(door + " in", fault, n, chaos, repeats, p, began)
    assert repeats <= source.again * source.window + kills * 600
    assert chaos.happened() >= (3 if fault in CUTS else fault in FAULTS)
    chaos.close()


@pytest.mark.parametrize("fault,n", CASES)
def test_requests_come_in_through_anything(tmp_path, sink, program, fault, n):
    port = free_port()
    p = program(IN.format(channel=f"type: http, listen: '127.0.0.1:{port}', path: /messages", url=sink.url))
    chaos = Chaos(("127.0.0.1", port), faults_of(fault), left=6 if fault == ALL else 20, late=0.6, most=40000 if n > 1000 else 8000)
    load = Load(chaos.port, 20, connections=2, batches=(1, 20, 100), timeout=0.5)
    began, stop, said = time.monotonic(), threading.Event(), []

    def nuisance():
        """Bodies that cannot be taken, past the good ones; whatever is answered, it is never 200 to a body that held nothing good."""
        for body, want in [(b"[{}]", 400), (b"[", 400), (b'{"ident":"x","pad":"%s"}' % (b"x" * 300000), 413), (b'[{"ident":"x","pad":"%s"}]' % (b"x" * 70000), 400)] * 1000:
            if stop.wait(0.01) and len(said) >= 8:
                return
            try:
                with socket.create_connection(("127.0.0.1", chaos.port), timeout=0.5) as s:
                    s.sendall(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    answer = s.recv(100)
                    if len(answer) >= 12:   # else it was cut
                        said.append((answer[9:12], b"%d" % want))
            except OSError:
                pass

    t = threading.Thread(target=nuisance, daemon=True)
    t.start()
    load.run(n, background=True)
    kills = disturb(fault, p, chaos, n)
    load.join()
    stop.set()
    t.join()
    p.drained()
    repeats = audit(sink, "/far", load.sent, exact=False)
    report("http in", fault, n, chaos, repeats, p, began)
    assert repeats <= load.unsure + kills * 600
    assert said and all(status in (want, b"503") for status, want in said), set(said)
    chaos.close()


# ---- out -----------------------------------------------------------------------------------------------------------------------------

def is_poison(seq):
    return seq % 97 == 13


class Http:
    """A platform that takes a batch whole or answers 400; what it takes it takes at once, whether the answer arrives or not."""

    def __init__(self):
        self.got = []
        self.platform = Platform(self.answer)
        self.to = ("127.0.0.1", int(self.platform.url.rsplit(":", 1)[1]))

    def answer(self, request):
        try:
            list_ = json.loads(request["body"])
        except ValueError:
            return 400, "half a body"
        if any(is_poison(m["seq"]) for m in list_):
            return 400, "a poisoned one"
        self.got += [(m["ident"], m["seq"]) for m in list_]
        return 200, ""

    def close(self):
        self.platform.close()


class Tcp:
    """Takes a line or refuses it; knows what it said to which."""

    def __init__(self, **more):
        self.got = []
        self.far = Far(self.answer, **more)
        self.to = self.far.address

    def answer(self, line):
        ident, seq = SEQ.search(line).groups()
        if is_poison(int(seq)):
            return b"refused poison\n"
        self.got.append((ident.decode(), int(seq)))
        return b"ok\n"

    def close(self):
        self.far.close()


class Framed:
    """The made-up platform of FRAMES: a login on each connection, a byte for each message."""

    def __init__(self):
        self.got, self.listener = [], socket.create_server(("127.0.0.1", 0), backlog=200)
        self.to = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            f = s.makefile("rb")
            ident = None
            while len(head := f.read(2)) == 2:
                text = f.read(int.from_bytes(head, "little"))
                if ident is None:
                    ident = text.split()[1].decode()
                    s.sendall(b"\x55")
                    continue
                if not text.endswith(b"}"):
                    return
                m = json.loads(text)
                assert m["ident"] == ident
                if not is_poison(m["seq"]):
                    self.got.append((ident, m["seq"]))
                s.sendall(b"\x02" if is_poison(m["seq"]) else b"\x01")
        except OSError:
            pass

    def close(self):
        self.listener.close()


def door_out(door, tmp_path):
    """(far, destination without its url, scheme, what else the stream says)"""
    if door == "http":
        return Http(), "type: http", "http", ""
    if door == "unix":
        return Tcp(family=socket.AF_UNIX, address=str(tmp_path / "far.sock")), "type: tcp", "unix", ""
    if door == "tls":
        a = Authority(tmp_path)
        a.issue("server", "127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*a.issue("server", "127.0.0.1"))
        return Tcp(wrap=lambda s: context.wrap_socket(s, server_side=True)), "type: tcp, tls: {ca: ca.pem}", "tcps", ""
    if door == "connection per device":
        (tmp_path / "adapters").mkdir()
        (tmp_path / "adapters" / "frames.lua").write_text(FRAMES)
        return Framed(), "type: frames, password: xyz, window: 5", "tcp", ", ordering: device, in-flight: 4"
    return Tcp(), "type: tcp", "tcp", ""


@pytest.mark.parametrize("fault,n", CASES)
@pytest.mark.parametrize("door", ["http", "tcp", "tls", pytest.param("unix", marks=pytest.mark.long), "connection per device"])
def test_messages_go_out_through_anything(tmp_path, program, door, fault, n):
    """Each message is accepted by the far end or, if that refuses it, set aside: an answer is never taken for another message's."""
    far, destination, scheme, stream = door_out(door, tmp_path)
    chaos = Chaos(far.to, faults_of(fault), left=6 if fault == ALL else 20, late=0.6, at=tmp_path / "chaos.sock" if door == "unix" else None,
                  most=4000 if door == "connection per device" else 40000 if n > 1000 else 8000)
    url = f"unix://{chaos.at}" if door == "unix" else f"{scheme}://127.0.0.1:{chaos.port}"
    load = Load(free_port(), 20, connections=4, batches=(100,))
    adapters = ", adapters: [adapters]" if door == "connection per device" else ""
    p = program(OUT.format(port=load.port, destination=f"{destination}, url: '{url}'", stream=stream, adapters=adapters))
    began = time.monotonic()
    load.run(n, background=True)
    kills = disturb(fault, p, chaos, n)
    load.join()
    p.drained()
    sent = {(i, int(SEQ.search(m).group(2))) for i, list_ in load.sent.items() for m in list_}
    got = [x for x in list(far.got) if x in sent]
    wanted = {x for x in sent if not is_poison(x[1])}
    repeats = len(got) - len(set(got))
    report(door + " out", fault, n, chaos, repeats, p, began)
    missing = wanted - set(got)
    assert not missing, f"{len(missing)} are missing"
    assert not set(got) - wanted
    s = p.stream("s")
    assert balanced(s)
    # Those whose requests were answered by a kill may have come twice from the source, and so may have been set aside twice.
    if not kills:
        assert s["dead"] == len(sent - wanted) and s["accepted"] == len(wanted), s
    assert repeats <= (chaos.happened() + (8 if fault in ("away", ALL) else 0)) * 400 + kills * 900 + load.unsure
    for ident in load.idents:
        first = list(dict.fromkeys(seq for i, seq in got if i == ident))
        assert first == sorted(first), f"{ident} is out of order"
    assert chaos.happened() >= (3 if fault in CUTS else fault in FAULTS)
    chaos.close()
    far.close()


# ---- datagrams, files, pipes, and a far end that never answers ----------------------------------------------------------------------------

KILLS = [pytest.param(1500, 1), pytest.param(20000, 8, marks=pytest.mark.long)]


@pytest.mark.parametrize("n,kills", KILLS)
def test_answered_datagrams_are_there(sink, program, n, kills):
    """Datagrams and answers are lost on the way, the router is killed: what was answered `ok` is there, what was not is sent again."""
    port = free_port()
    p = program(IN.format(channel=f"type: tcp, listen: 'udp://127.0.0.1:{port}', acknowledge: line", url=sink.url))
    lines, idents = stream_of(n)
    parts = [lines[i:i + 20] for i in range(0, n, 20)]
    rng, done, again, began = random.Random(5), [], [0], time.monotonic()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", port))
            s.settimeout(0.1)
            while len(done) < len(parts):
                part = parts[len(done)]
                bad = len(done) % 10 == 3
                try:
                    if rng.random() > 0.03:
                        s.send(b"\n".join(part + [BAD] * bad))
                    if rng.random() < 0.03:
                        raise TimeoutError  # the answer is lost; when it comes all the same, it is one too many
                    said = s.recv(65536).split(b"\n")
                    if any(x.startswith(b"retry") for x in said):
                        raise TimeoutError
                    assert said[:len(part)] == [b"ok"] * len(part) and (not bad or said[-2].startswith(b"refused ")), said
                    done.append(1)
                except OSError:
                    again[0] += 1
                    if s.fileno() >= 0:
                        s.close()
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # from another port: late answers go to the old one
                    s.connect(("127.0.0.1", port))
                    s.settimeout(0.1)

    t = threading.Thread(target=send, daemon=True)
    t.start()
    for _ in range(kills):
        time.sleep(0.1)
        p.kill()
        p.start()
    t.join(120)
    assert len(done) == len(parts)
    p.drained()
    repeats = audit(sink, "/far", by_ident(lines, idents), exact=False)
    print(f"udp in: {n} messages, {kills} kills in {time.monotonic() - began:.1f} s, {again[0]} sent again, {repeats} repeats, {p.memory()[1] >> 20} MiB")
    assert repeats <= again[0] * 20 + kills * 600 and (sanitized() or p.memory()[1] < MOST)


@pytest.mark.parametrize("n,kills", KILLS)
def test_a_followed_file_of_good_bad_and_too_long_lines(tmp_path, sink, program, n, kills):
    path, began = tmp_path / "feed", time.monotonic()
    path.touch()
    lines, idents = stream_of(n)
    p = program(IN.format(channel=f"type: file, path: '{path}'", url=sink.url))

    def write():
        with open(path, "ab", buffering=0) as f:
            for i in range(0, n, 100):
                text = b"".join(m + b"\n" for m in lines[i:i + 100]) + BAD + b"\nnonsense\n"
                if i % 500 == 0:
                    text += LONG + b"\n" + b"\n" * 3
                cut = len(text) // 3
                f.write(text[:cut])    # seldom at the end of a line
                f.write(text[cut:])
                time.sleep(0.004)

    t = threading.Thread(target=write, daemon=True)
    t.start()
    for _ in range(kills):
        time.sleep(0.08)
        p.kill()
        p.start()
    t.join()
    until(lambda: at_end(p, path), 60)
    p.drained()
    repeats = audit(sink, "/far", by_ident(lines, idents), exact=False)
    print(f"file in: {n} messages, {kills} kills in {time.monotonic() - began:.1f} s, {repeats} repeats, {p.memory()[1] >> 20} MiB")
    assert repeats <= kills * (1000 + 500)   # at each kill the last piece, and what the destination had just taken
    dead = subprocess.run([sluice, "dead", "list", "--all", "--json", p.file, "in"], capture_output=True, text=True, timeout=60).stdout
    assert dead.count('"not JSON') >= n // 100 and dead.count("no ident") >= n // 100 and dead.count("larger than limits.message") >= n // 500
    assert sanitized() or p.memory()[1] < MOST


@pytest.mark.parametrize("n", [2000, pytest.param(20000, marks=pytest.mark.long)])
def test_a_pipe_whose_reader_is_slow_stops_and_comes_again(tmp_path, program, n):
    """A FIFO as destination: each line comes whole and in order to one reader after another; nothing is lost but what a reader took along when it went."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    load = Load(free_port(), 10, connections=2, batches=(100,))
    p = program(OUT.format(port=load.port, destination=f"type: file, path: '{fifo}'", stream="", adapters=""))
    load.run(n)
    while p.stream("s")["state"] != "retrying":   # nobody reads
        time.sleep(0.02)
    assert "nobody reads this pipe" in p.stream("s")["reason"]
    got, text = [], b""
    with open(fifo, "rb", buffering=0) as f:
        while text.count(b"\n") < n // 4:
            text += f.read(4096)
    got += text.split(b"\n")[:-1]
    time.sleep(0.2)   # the router notices
    text = b""
    with open(fifo, "rb", buffering=0) as f:
        end = time.monotonic() + 60
        while p.stream("s")["buffered"] or select.select([f], [], [], 0.2)[0]:
            assert time.monotonic() < end
            if select.select([f], [], [], 0.1)[0]:
                text += f.read(65536)
                time.sleep(0.001)
    got += text.split(b"\n")[:-1]
    assert p.memory()[1] < MOST or sanitized()
    keys = [SEQ.search(line).groups() for line in got]
    assert all(line.startswith(b"{") and line.endswith(b"}") for line in got)
    first = list(dict.fromkeys(keys))
    assert len(keys) - len(first) <= 200
    missing = 0
    for ident in load.idents:
        seqs = [int(s) for i, s in first if i == ident.encode()]
        assert seqs == sorted(seqs)
        missing += sum(len(m) for m in load.sent[ident] if int(SEQ.search(m).group(2)) not in seqs)
    assert missing <= 65536   # what the pipe held when the first reader went


@pytest.mark.parametrize("n,kills", KILLS)
def test_a_far_end_that_never_answers_has_all_though_the_router_is_killed(program, n, kills):
    far, began = Tcp(), time.monotonic()
    far.far.answer = lambda line: far.answer(line) and b""
    load = Load(free_port(), 20, connections=4, batches=(100,))
    p = program(OUT.format(port=load.port, destination=f"type: tcp, url: '{far.far.url}', acknowledge: none", stream="", adapters=""))
    load.run(n, background=True)
    for _ in range(kills):
        time.sleep(0.08)
        p.kill()
        p.start()
    load.join()
    p.drained()
    sent = {(i, int(SEQ.search(m).group(2))) for i, list_ in load.sent.items() for m in list_}
    wanted = {x for x in sent if not is_poison(x[1])}
    end = time.monotonic() + 20
    while wanted - set(far.got):
        assert time.monotonic() < end, f"{len(wanted - set(far.got))} missing"
        time.sleep(0.05)
    repeats = len(far.got) - len(set(far.got))
    print(f"tcp out, unanswered: {n} messages, {kills} kills in {time.monotonic() - began:.1f} s, {repeats} repeats, {p.memory()[1] >> 20} MiB")
    assert repeats <= kills * 900 + load.unsure and balanced(p.stream("s"))
    far.close()
