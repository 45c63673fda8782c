"""What an operator does to a running instance, and what it tells him."""
import os
import signal
import socket
import subprocess
import time

from lab import Program, free_port
from lab.program import sanitized, sluice

SPEC = """
sluice: 1
settings: {{data: data}}
channels: {{in: {{type: http, listen: '{host}:{port}', path: /messages{more}}}}}
destinations: {{far: {{type: 'null'}}}}
streams: {{s: {{to: far}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def spec(port, host="127.0.0.1", more=""):
    return SPEC.format(port=port, host=host, more=more)


def post(port, headers=(), host="127.0.0.1"):
    """The status of a POST of one message."""
    with socket.create_connection((host, port), timeout=10) as s:
        body = b'{"ident":"1"}'
        s.sendall(b"POST /messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"".join(h.encode() + b"\r\n" for h in headers)
                  + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return int(s.recv(65536).split()[1])


def in_charge(child, number):
    """Waits until the program has taken charge of a signal: holds it back, or has a handler. A process that has not begun yet is nobody's."""
    while child.poll() is None:
        with open(f"/proc/{child.pid}/status") as f:
            masks = {line[:6]: int(line.split()[1], 16) for line in f if line.startswith(("SigBlk", "SigCgt"))}
        if any(m & (1 << (number - 1)) for m in masks.values()):
            return


def test_a_signal_that_comes_during_the_start_is_heeded_when_it_has_started(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        for wait in (0, 0.003, 0.006, 0.012, 0.025):
            p = Program(tmp_path, spec(free_port()), start=False)
            child = subprocess.Popen([sluice, "run", p.file], stderr=subprocess.PIPE, cwd=tmp_path)
            in_charge(child, number)
            time.sleep(wait)
            child.send_signal(number)
            _, told = child.communicate(timeout=60)
            assert child.returncode == 0, told
    p = Program(tmp_path, spec(free_port()), start=False)
    child = subprocess.Popen([sluice, "run", p.file], stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        in_charge(child, signal.SIGHUP)
        child.send_signal(signal.SIGHUP)
        line = b""
        while child.poll() is None and b"reload done" not in line:
            line = child.stderr.readline()
        assert b"reload done" in line
    finally:
        child.terminate()
        child.communicate(timeout=60)


def test_the_service_manager_is_told(tmp_path, program, monkeypatch):
    path = str(tmp_path / "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    manager.settimeout(30)
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    port = free_port()
    p = program(spec(port))
    assert manager.recv(4096) == b"READY=1\n"
    assert p.reload(spec(port, more=", at: messages"))
    began = manager.recv(4096)
    assert began.startswith(b"RELOADING=1\nMONOTONIC_USEC=") and manager.recv(4096) == b"READY=1\n"
    assert not p.reload("sluice: 2")
    assert manager.recv(4096).startswith(b"RELOADING=1") and manager.recv(4096) == b"READY=1\n"
    assert p.stop() == 0
    assert manager.recv(4096) == b"STOPPING=1\n"
    manager.close()


def test_a_listener_moves_to_an_address_that_its_old_one_covers_and_back(program):
    port = free_port()
    p = program(spec(port, host="0.0.0.0"))
    assert post(port, host="127.0.0.2") == 200
    assert p.reload(spec(port)), p.log()[-2000:]
    assert post(port) == 200
    try:
        post(port, host="127.0.0.2")
        raise AssertionError("the old address still listens")
    except ConnectionRefusedError:
        pass
    assert p.reload(spec(port, host="0.0.0.0")), p.log()[-2000:]
    assert post(port, host="127.0.0.2") == 200
    assert p.stream("s")["matched"] == 3


def test_a_port_that_another_program_has_refuses_the_reload_and_changes_nothing(program):
    port, other = free_port(), free_port()
    with socket.socket() as blocker:
        blocker.bind(("127.0.0.1", other))
        blocker.listen(1)
        p = program(spec(port, host="0.0.0.0"))
        assert not p.reload(spec(other))
        assert "another program" in p.log()
        assert post(port, host="127.0.0.2") == 200


def test_who_shows_the_wrong_secret_is_told_and_so_is_the_operator(program):
    port = free_port()
    p = program(spec(port, more=", auth: {bearer: '${env:HOME}'}"))
    for _ in range(50):
        assert post(port) == 401
        assert post(port, ["Authorization: Bearer wrong"]) == 401
    assert post(port, [f"Authorization: Bearer {os.environ['HOME']}"]) == 200
    lines = [line for line in p.log().splitlines() if "unauthorized" in line]
    assert 1 <= len(lines) <= 2 and "channel/in" in lines[0] and "127.0.0.1" in lines[0]   # one for each worker, at most
    assert "wrong" not in lines[0]


def test_what_a_plan_shows_in_place_of_a_secret_opens_nothing(program):
    port = free_port()
    program(spec(port, more=", auth: {bearer: •••}"))
    assert post(port, ["Authorization: Bearer •••"]) == 401


def test_the_largest_body_is_taken_also_where_memory_is_scarce(program):
    port = free_port()
    p = program(spec(port).replace("settings: {data: data}", "settings: {data: data, limits: {memory: 64MiB, body: 16MiB}}"))
    one = b'{"ident":"1","x":"' + b"y" * 1000 + b'"}'
    body = b"[" + b",".join([one] * 15500) + b"]"
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.sendall(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert b'{"taken":15500}' in s.recv(65536)
    assert sanitized() or p.memory()[1] < 128 << 20
