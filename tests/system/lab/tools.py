"""`sluice send` and `sluice sink` as a user runs them, and a server of Python's to send to."""
import contextlib
import http.server
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import threading
import time

import pytest


ROOT = pathlib.Path(__file__).resolve().parents[2]
SLUICE = os.environ.get("SLUICE", str(ROOT / "sluice"))
ENV = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


class Sink:
    """A sink in a folder of its own; its standard output is a file, as with `sluice sink >file`."""

    def __init__(self, folder, *options, env=None):
        self.out, self.err = folder / "sink.out", folder / "sink.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen([SLUICE, "sink", "--listen", "127.0.0.1:0", *options], stdout=out, stderr=err, env=env or ENV)
        first = self.wait(self.out, r"listening on ((?:http|tcp)://127\.0\.0\.1:(\d+)/?)\n")
        self.url, self.port = first.group(1), int(first.group(2))
        assert first.start() == 0

    def wait(self, file, pattern, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, file.read_text())
            if found:
                return found
            assert self.process.poll() is None, self.err.read_text()
            time.sleep(0.01)
        raise AssertionError(f"{pattern!r} did not come: {file.read_text()[-2000:]}{self.err.read_text()[-2000:]}")

    def toggle(self, status):
        before = self.err.read_text().count("now answering")
        self.process.send_signal(signal.SIGUSR1)
        self.wait(self.err, r"(?s)(now answering.*){%d}now answering %d\n" % (before, status))

    def end(self, how=signal.SIGTERM):
        """What it printed behind its first line."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        assert self.process.wait(15) == 0, self.err.read_text()
        return self.out.read_text().partition("\n")[2]

    def totals(self):
        return json.loads(self.end().splitlines()[-1])


@pytest.fixture
def sink(tmp_path):
    made = []

    def make(*options, **more):
        folder = tmp_path / f"sink{len(made)}"
        folder.mkdir()
        made.append(Sink(folder, *options, **more))
        return made[-1]

    yield make
    for s in made:
        if s.process.poll() is None:
            s.process.kill()
            s.process.wait()


def send(*args, text=None, timeout=60):
    return subprocess.run([SLUICE, "send", *map(str, args)], input=text, capture_output=True, text=True, timeout=timeout, env=ENV)


def result(run):
    return json.loads(run.stdout.splitlines()[-1])


def messages(n, idents=7, start=1700000000):
    return [json.dumps({"ident": f"35{i % idents:04d}", "timestamp": start + i, "seq": i, "big": 18446744073709551615, "one": 1.0,
                        "text": "ż\\\"},{"}, separators=(",", ":"), ensure_ascii=bool(i % 2)) for i in range(n)]


def write(tmp_path, lines, name="in.ndjson"):
    path = tmp_path / name
    path.write_text("".join(line + "\n" for line in lines))
    return path


def per_ident(lines):
    found = {}
    for line in lines:
        found.setdefault(json.loads(line)["ident"], []).append(line)
    return found


def received(path):
    return path.read_text().splitlines()


@contextlib.contextmanager
def server(answers):
    """A server that answers a POST with what answers(body) returns: status, headers, body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, text = answers(json.loads(body), self.headers)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            pass

    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=s.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{s.server_address[1]}/in"
    s.shutdown()
    s.server_close()
    thread.join()


def terminal():
    try:
        return pty.openpty()
    except OSError:
        pytest.skip("no pseudo-terminals here (a chroot without /dev/pts)")
