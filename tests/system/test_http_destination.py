"""The HTTP destination on its way out: proxies, source addresses, rates, and tokens that have to be asked for."""
import base64
import http.server
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from lab import Load, Platform, balanced, free_port
from test_http_channel import certificates

SPEC = """
sluice: 1
settings: {{data: data, workers: 1}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, {keys}}}}}
streams: {{s: {{to: far, batch: {{messages: {batch}}}, retry: {{first: 100ms, max: 300ms}}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def spec(load, keys, batch=100):
    return SPEC.format(port=load.port, keys=keys, batch=batch)


def wait(until, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if until():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


@pytest.fixture
def load():
    return Load(free_port(), 10, connections=1, batches=(10,))


# ---- proxy -----------------------------------------------------------------------------------------------------------------------

@pytest.fixture
def tinyproxy(tmp_path):
    """Its URL, and what it logged."""
    program = shutil.which("tinyproxy") or "/usr/bin/tinyproxy"
    if not os.path.exists(program):
        pytest.skip("no tinyproxy")
    port = free_port()
    (tmp_path / "tinyproxy.conf").write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nLogFile \"{tmp_path}/tinyproxy.log\"\nLogLevel Connect\n"
        f"BasicAuth ops {os.path.basename(os.environ['HOME'])}\n")
    process = subprocess.Popen([program, "-d", "-c", str(tmp_path / "tinyproxy.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def up():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    wait(up)
    yield port, lambda: (tmp_path / "tinyproxy.log").read_text()
    process.terminate()
    process.wait(10)


def test_through_a_proxy(tmp_path, program, load, tinyproxy):
    certificates(tmp_path)
    port, log = tinyproxy
    secret = os.path.basename(os.environ["HOME"])
    plain, secure = Platform(), Platform(tls=tuple(str(tmp_path / n) for n in ("server.pem", "server.key", "ca.pem")))
    try:
        p = program(spec(load, f"url: '{plain.url}/far', proxy: 'http://ops:${{file:secret}}@127.0.0.1:{port}'"), start=False)
        (tmp_path / "secret").write_text(secret)
        p.start()
        load.run(100)
        p.drained()
        assert "via" in plain.requests[0]["headers"]
        assert p.reload(spec(load, f"url: '{secure.url}/far', proxy: 'http://ops:${{file:secret}}@127.0.0.1:{port}', "
                                   "tls: {ca: ca.pem, cert: client.pem, key: client.key}"))
        load.run(100)
        p.drained()
        assert f"CONNECT 127.0.0.1:{secure.url.rsplit(':', 1)[1]}" in log()
        assert "via" not in secure.requests[0]["headers"] and "proxy-authorization" not in secure.requests[0]["headers"]
        # A proxy that wants other credentials holds the stream, and so does one that is not there; nothing goes round it.
        assert p.reload(spec(load, f"url: '{plain.url}/far', proxy: 'http://127.0.0.1:{port}'"))
        load.run(10)
        wait(lambda: p.stream("s")["state"] in ("blocked", "retrying"))
        assert len(plain.accepted()) == 100
        assert p.reload(spec(load, f"url: '{plain.url}/far', proxy: 'http://127.0.0.1:{free_port()}'"))
        wait(lambda: p.stream("s")["state"] == "retrying")
        assert p.reload(spec(load, f"url: '{plain.url}/far'"))
        p.drained()
        assert "via" not in plain.requests[-1]["headers"]
        assert len(plain.accepted()) == 110 and len(secure.accepted()) == 100
        assert secret not in p.log() if len(secret) > 4 else True
    finally:
        plain.close()
        secure.close()


# ---- bind, method, rate ------------------------------------------------------------------------------------------------------------

class Seen(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def take(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.client_address[0], self.command))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_PATCH = take

    def log_message(self, *args):
        pass


def test_from_which_address_and_by_which_method(tmp_path, program, load):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seen)
    server.daemon_threads, server.seen = True, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"url: 'http://127.0.0.1:{server.server_address[1]}/'"
    try:
        p = program(spec(load, f"{url}, bind: 127.0.0.31"))
        load.run(10)
        p.drained()
        assert p.reload(spec(load, f"{url}, bind: 127.0.0.32, method: PUT"))
        load.run(10)
        p.drained()
        assert p.reload(spec(load, f"{url}, bind: lo, method: PATCH"))
        load.run(10)
        p.drained()
        # An address that is not ours: nothing is sent from another one.
        assert p.reload(spec(load, f"{url}, bind: 192.0.2.1"))
        load.run(10)
        wait(lambda: p.stream("s")["state"] in ("retrying", "blocked"))
        assert p.reload(spec(load, url))
        p.drained()
        assert server.seen[:3] == [("127.0.0.31", "POST"), ("127.0.0.32", "PUT"), ("127.0.0.1", "PATCH")]
        assert len(server.seen) == 4 and server.seen[3][1] == "POST"
    finally:
        server.shutdown()
        server.server_close()


def test_a_rate_is_held(tmp_path, program, load):
    arrivals = []

    def answer(request):
        arrivals.append((time.monotonic(), len(json.loads(request["body"]))))
        return 200, ""

    platform = Platform(answer)
    try:
        p = program(spec(load, f"url: '{platform.url}/far', rate: 100/s"))
        load.run(350)
        p.drained()
        took = arrivals[-1][0] - arrivals[0][0]
        print(f"350 messages in {took:.2f} s, {len(arrivals)} requests")
        assert sum(n for _, n in arrivals) == 350
        # In no second more than the rate and what it lets through at once after a rest; and not much less than it on the whole.
        for at, _ in arrivals:
            assert sum(n for t, n in arrivals if at <= t < at + 0.95) <= 210
        assert 1.4 < took < 3.8
    finally:
        platform.close()


# ---- tokens ------------------------------------------------------------------------------------------------------------------------

class Login:
    """A destination that takes the tokens its own endpoint gave, while they live."""

    def __init__(self):
        self.asked, self.tokens, self.life, self.fail = [], 0, 3600, None
        self.valid = {}
        self.platform = Platform(self.answer)
        self.taken = 0

    def answer(self, request):
        if request["path"] == "/token":
            self.asked.append(request)
            if self.fail:
                return self.fail
            self.tokens += 1
            token = f"t0ken-{self.tokens}-{'x' * 20}"
            self.valid["Bearer " + token] = time.monotonic() + self.life
            said = {"access_token": token, "token_type": "bearer"}
            said["expires_in"] = self.life if self.tokens % 2 else str(self.life)
            return 200, json.dumps(said)
        if self.valid.get(request["headers"].get("authorization"), 0) < time.monotonic():
            return 401, '{"error":"invalid_token"}'
        self.taken += len(json.loads(request["body"]))
        return 200, ""


@pytest.fixture
def login():
    x = Login()
    yield x
    x.platform.close()


def keys(login, **more):
    extra = "".join(f", {k.replace('_', '-')}: {v}" for k, v in more.items())
    return (f"url: '{login.platform.url}/far', auth: {{oauth2: {{token-url: '{login.platform.url}/token', client-id: 'me & you', "
            f"client-secret: '${{file:secret}}'{extra}}}}}")


SECRET = "s3cr:t+ñ"


def started(tmp_path, program, load, login, **more):
    p = program(spec(load, keys(login, **more)), start=False)
    (tmp_path / "secret").write_text(SECRET)
    p.start()
    return p


def test_a_token_is_had_once_and_shown(tmp_path, program, load, login):
    p = started(tmp_path, program, load, login, scope="'a b'")
    time.sleep(0.3)
    assert login.asked == []          # not before there is something to send
    load.run(200)
    p.drained()
    assert login.taken == 200 and len(login.asked) == 1
    asked = login.asked[0]
    assert urllib.parse.parse_qs(asked["body"].decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
    name, _, secret = base64.b64decode(asked["headers"]["authorization"].split()[1]).decode().partition(":")
    assert (urllib.parse.unquote_plus(name), urllib.parse.unquote_plus(secret)) == ("me & you", SECRET)
    # Revoked at the far end: one 401, one new token, nothing lost.
    login.valid = {}
    load.run(100)
    p.drained()
    assert login.taken == 300 and len(login.asked) == 2
    assert p.reload(spec(load, keys(login, client_auth="body", audience="https://far/")))
    load.run(10)
    p.drained()
    asked = login.asked[-1]
    assert urllib.parse.parse_qs(asked["body"].decode()) == {
        "grant_type": ["client_credentials"], "client_id": ["me & you"], "client_secret": [SECRET], "audience": ["https://far/"]}
    assert "authorization" not in asked["headers"]
    assert balanced(p.stream("s")) and p.stream("s")["dead"] == 0
    everything = p.log() + json.dumps(p.status())
    assert SECRET not in everything and "t0ken" not in everything


def test_a_token_is_had_anew_before_it_ends(tmp_path, program, load, login):
    login.life = 2
    p = started(tmp_path, program, load, login)
    load.run(350, rate=100)
    p.drained()
    assert login.taken == 350
    assert 2 <= len(login.asked) <= 6
    # A tenth of its life before it ends: what is on its way longer than that, on a starved machine, meets a 401 and goes again.
    assert 1 >= len([r for r in login.platform.requests if r.get("status") == 401])


def test_while_there_is_no_token_the_stream_holds(tmp_path, program, load, login):
    login.fail = (503, "busy")
    p = started(tmp_path, program, load, login)
    load.run(50)
    wait(lambda: "503" in p.stream("s").get("reason", ""))
    assert p.stream("s")["reason"].startswith("no credentials") and p.stream("s")["buffered"] == 50
    login.fail = None
    p.drained()
    for said, words in (((400, '{"error":"invalid_client","error_description":"%s"}' % SECRET), "invalid_client"), ((200, "no JSON"), "not a JSON object"),
                        ((200, '{"token_type":"bearer"}'), "no access_token"), ((200, '{"access_token":"x","token_type":"mac"}'), "not Bearer"),
                        ((200, '{"access_token":"a\\r\\nb"}'), "can't stand in a header")):
        login.fail, login.valid = said, {}
        load.run(10)
        wait(lambda: words in p.stream("s").get("reason", ""))
        login.fail = None
        assert p.reload(spec(load, keys(login, scope=f"'{len(login.asked)}'")))   # a destination that was touched is tried at once
        p.drained()
    assert login.taken == 100 and balanced(p.stream("s"))
    assert SECRET not in p.log() + json.dumps(p.status())


# ---- odd answers -------------------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
# (what is answered, does the far end then close, does that say the batch was taken)
ODD = [
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + OK, False, True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-T: 1\r\n\r\n", False, True),
    (OK, True, True),                                                    # without a word of closing
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", True, True),
    (b"HTTP/1.0 200 OK\r\n\r\nthanks", True, True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", False, True),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", False, True),
    (OK + b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", False, True),  # one answer too many: it is nobody's
    (b"HTTP/1.1 100 Continue\r\n\r\n", True, False),
    (b"HTTP/1.1 200 OK\r\nContent-Le", True, False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", True, False),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", True, False),
    (b"nonsense\r\n\r\n", True, False),
    (b"", True, False),
]


def test_odd_answers_lose_nothing_and_refuse_nothing(tmp_path, program, load):
    """Each of ODD in turn; a connection kept alive is often closed, in good order or not, just when the next request is on its way."""
    listener, taken, said = socket.create_server(("127.0.0.1", 0)), [], []
    rng = random.Random(3)

    def read_request(f):
        length = 0
        while (line := f.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return f.read(length) if line else None

    def serve(s):
        try:
            f = s.makefile("rb")
            while body := read_request(f):
                answer, closes, means_taken = ODD[len(said) % len(ODD)]
                said.append(answer)
                if means_taken:
                    taken.extend((m["ident"], m["seq"]) for m in json.loads(body))
                s.sendall(answer)
                if closes or rng.random() < 0.3:
                    time.sleep(rng.random() * 0.002)
                    if rng.random() < 0.5:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
        except OSError:
            pass
        finally:
            f.close()
            s.close()

    def accept():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(s,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    url = f"url: 'http://127.0.0.1:{listener.getsockname()[1]}/', accept: [200, 204]"
    p = program(spec(load, url, batch=10).replace("first: 100ms, max: 300ms", "first: 10ms, max: 20ms, timeout: 2s"))
    load.run(1000)
    p.drained()
    listener.close()
    s = p.stream("s")
    assert balanced(s) and (s["accepted"], s["dead"]) == (1000, 0)
    assert len(said) > 2 * len(ODD) and set(taken) == {(i, n) for i in load.idents for n in range(100)}
    for ident in load.idents:
        first = list(dict.fromkeys(n for i, n in taken if i == ident))
        assert first == sorted(first)
    print(f"{len(said)} requests, {len(taken) - 1000} repeats, {s['retried']} retries")
