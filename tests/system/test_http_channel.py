"""The HTTP channel as others meet it: curl, openssl and HAProxy."""
import json
import os
import shutil
import socket
import subprocess
import time

import pytest

from lab import deliveries, free_port

SPEC = """
sluice: 1
settings: {{data: data, workers: 2}}
channels:
{channels}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far}}}}
subscriptions: [{{stream: s, channels: [{names}]}}]
"""


def spec(sink, **channels):
    lines = "\n".join(f"  {name}: {{type: http, {keys}}}" for name, keys in channels.items())
    return SPEC.format(channels=lines, names=", ".join(channels), url=sink.url)


def curl(*args):
    """(status, headers, body)"""
    got = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", *args], capture_output=True, text=True, timeout=30)
    if got.returncode != 0:
        return 0, {}, got.stderr
    head, _, body = got.stdout.partition("\n\n") if "\r\n" not in got.stdout else got.stdout.partition("\r\n\r\n")
    lines = head.splitlines()
    return int(lines[0].split()[1]), {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}, body


def received(sink, p):
    p.drained()
    return {seq: json.loads(m) for list_ in deliveries(sink, "/far").values() for seq, m in list_}


def message(seq):
    return json.dumps({"ident": "35", "timestamp": 1732300000, "seq": seq}, separators=(",", ":"))


def test_who_may_come_in_and_how(tmp_path, sink, program):
    port = free_port()
    at = f"listen: '127.0.0.1:{port}'"
    p = program(spec(
        sink,
        bearer=f"{at}, path: /bearer, auth: {{bearer: \"${{env:HOME}}\"}}",
        basic=f"{at}, path: /basic, auth: {{basic: {{username: ops, password: \"${{env:HOME}}\"}}}}",
        query=f"{at}, path: /query, methods: [GET, POST], auth: {{query: {{token: \"${{env:HOME}}\"}}}}",
        header=f"{at}, path: /header, methods: [PUT], auth: {{header: {{X-Key: \"${{env:HOME}}\"}}}}",
        health=f"{at}, path: /health, answer: {{status: 202, body: fine, type: text/html}}"))
    base, secret = f"http://127.0.0.1:{port}", os.environ["HOME"]
    assert curl("-d", message(1), f"{base}/bearer")[0] == 401
    assert curl("-d", message(1), "-H", "Authorization: Bearer wrong", f"{base}/bearer")[0] == 401
    assert curl("-d", message(1), "--oauth2-bearer", secret, f"{base}/bearer")[0] == 200
    status, headers, _ = curl("-d", message(2), f"{base}/basic")
    assert status == 401 and headers["www-authenticate"].startswith("Basic")
    assert curl("-d", message(2), "-u", f"ops:{secret}", f"{base}/basic")[0] == 200
    assert curl("-d", message(2), "-u", f"oops:{secret}", f"{base}/basic")[0] == 401
    assert curl("-d", message(3), f"{base}/query?token=wrong")[0] == 401
    assert curl("-d", message(3), f"{base}/query?token={secret.replace('/', '%2F')}")[0] == 200
    assert curl("-X", "PUT", "-d", message(4), "-H", f"X-Key: {secret}", f"{base}/header")[0] == 200
    # Methods, and what a browser of another site may do: nothing.
    for path, method, allow in (("/bearer", "GET", "POST, PUT"), ("/query", "PUT", "GET, HEAD, POST"), ("/header", "DELETE", "PUT"),
                                ("/bearer", "OPTIONS", "POST, PUT")):
        status, headers, _ = curl("-X", method, "-H", "Origin: https://elsewhere.example", "-H", "Access-Control-Request-Method: POST", base + path)
        assert (status, headers["allow"]) == (405, allow)
        assert not [k for k in headers if k.startswith("access-control")]
    assert curl(f"{base}/nowhere")[0] == 404
    status, headers, body = curl(f"{base}/health")
    assert (status, headers["content-type"], body) == (202, "text/html", "fine")
    assert curl("-d", message(5), f"{base}/health")[2] == "fine"
    assert set(received(sink, p)) == {1, 2, 3, 4, 5}


def test_a_query_is_a_message(tmp_path, sink, program):
    port = free_port()
    p = program(spec(
        sink,
        a=f"listen: '127.0.0.1:{port}', path: /a, methods: [GET, POST], auth: {{query: {{token: \"${{env:HOME}}\"}}}}",
        b=f"listen: '127.0.0.1:{port}', path: /b, methods: [GET], ident: imei, answer: {{body: OK}}"))
    base, secret = f"http://127.0.0.1:{port}", os.environ["HOME"]
    assert curl("-G", f"{base}/a", "-d", f"token={secret}", "-d", "ident=0352", "-d", "timestamp=1732300000", "-d", "seq=1", "-d", "position.latitude=54.10",
                "-d", "position.valid=true", "-d", "v=007", "-d", "minus=-1.5e3", "--data-urlencode", "text=ż & \"ó\" 1", "-d", "empty=")[2] == '{"taken":1}\n'
    assert curl("-X", "POST", f"{base}/a?token={secret}&ident=0352&seq=2")[0] == 200
    # With a body the query is none of it; without an ident it is no message; badly written it is none either.
    assert curl("-d", message(3), f"{base}/a?token={secret}&ident=no&seq=9")[0] == 200
    assert curl(f"{base}/a?token={secret}&seq=9")[0] == 400
    assert curl(f"{base}/a?token={secret}&ident=1&seq=%zz")[0] == 400
    assert curl(f"{base}/a?token={secret}&ident=1&ident=2")[0] == 400
    assert curl(f"{base}/a?token={secret}&ident=1&t=%ff")[0] == 400
    assert curl(f"{base}/b?probe=1")[2] == "OK"
    assert curl(f"{base}/b?imei=77&x=%f")[0] == 400
    assert curl(f"{base}/b?imei=77&ident=x77&seq=4")[2] == "OK"
    got = received(sink, p)
    assert set(got) == {1, 2, 3, 4}
    assert {k: v for k, v in got[1].items() if k not in ("server.timestamp", "channel.id", "channel.name", "peer")} == {
        "ident": "0352", "timestamp": 1732300000, "seq": 1, "position.latitude": 54.1, "position.valid": True, "v": "007", "minus": -1500.0,
        "text": "ż & \"ó\" 1", "empty": ""}
    assert secret not in json.dumps(got[1])


def test_forwarded_for_is_believed_of_proxies_alone(tmp_path, sink, program):
    port = free_port()
    p = program(spec(
        sink,
        some=f"listen: '127.0.0.1:{port}', path: /some, behind-proxy: {{from: [127.0.0.0/8, 10.1.0.0/16, 'fd00::/8']}}",
        other=f"listen: '127.0.0.1:{port}', path: /other, behind-proxy: {{from: [10.1.0.0/16]}}",
        none=f"listen: '127.0.0.1:{port}', path: /none"))
    cases = [
        ("some", ["192.0.2.7"], "192.0.2.7"),
        ("some", ["198.51.100.9, 192.0.2.7"], "192.0.2.7"),              # what the client said of itself
        ("some", ["198.51.100.9, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),    # through two of our own
        ("some", ["192.0.2.7", "10.1.2.3"], "192.0.2.7"),
        ("some", ["192.0.2.7:4711 ,fd00::1"], "192.0.2.7"),
        ("some", ["[2001:db8::5]:80"], "2001:db8::5"),
        ("some", ["unknown"], "127.0.0.1:"),
        ("some", ["nonsense, 10.1.2.3"], "10.1.2.3"),
        ("some", [], "127.0.0.1:"),
        ("other", ["192.0.2.7"], "127.0.0.1:"),
        ("none", ["192.0.2.7"], "127.0.0.1:"),
    ]
    for seq, (path, headers, _) in enumerate(cases):
        args = [x for h in headers for x in ("-H", f"X-Forwarded-For: {h}")]
        assert curl("-d", message(seq), *args, f"http://127.0.0.1:{port}/{path}")[0] == 200
    got = received(sink, p)
    for seq, (_, headers, want) in enumerate(cases):
        peer = got[seq]["peer"]
        assert peer.startswith(want) if want.endswith(":") else peer == want, (headers, peer)


def certificates(folder):
    def run(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    for name in ("server", "client"):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-copy_extensions", "copy")
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "stranger.key", "-out", "stranger.pem", "-days", "2", "-subj", "/CN=x")


def test_client_certificates(tmp_path, sink, program):
    certificates(tmp_path)
    port = free_port()
    p = program(spec(sink, a=f"listen: '127.0.0.1:{port}', path: /, tls: {{cert: server.pem, key: server.key, ca: ca.pem}}"))

    def post(seq, *args):
        return curl("--cacert", str(tmp_path / "ca.pem"), *args, "-d", message(seq), f"https://127.0.0.1:{port}/")[0]

    def own(name):
        return "--cert", str(tmp_path / f"{name}.pem"), "--key", str(tmp_path / f"{name}.key")

    assert post(1, *own("client")) == 200
    assert post(2) == 0 and post(3, *own("stranger")) == 0
    shown = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(tmp_path / "ca.pem"), "-cert", str(tmp_path / "client.pem"),
                            "-key", str(tmp_path / "client.key")], input="", capture_output=True, text=True, timeout=20).stdout
    assert "Verify return code: 0 (ok)" in shown and "Acceptable client certificate CA names" in shown
    assert set(received(sink, p)) == {1}


HAPROXY = """
global
    log stderr local0 emerg
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen v1
    bind 127.0.0.1:{v1}
    server s 127.0.0.1:{port} send-proxy
listen v2
    bind 127.0.0.1:{v2}
    server s 127.0.0.1:{port} send-proxy-v2 check inter 100ms
listen tls
    bind 127.0.0.1:{v3}
    server s 127.0.0.1:{tls} send-proxy-v2
listen bare
    bind 127.0.0.1:{bare}
    server s 127.0.0.1:{port}
"""


@pytest.mark.skipif(not shutil.which("haproxy") and not os.path.exists("/usr/sbin/haproxy"), reason="no haproxy")
def test_haproxy_tells_whose_a_connection_is(tmp_path, sink, program):
    certificates(tmp_path)
    port, tls = free_port(), free_port()
    behind = "behind-proxy: {from: [127.0.0.1], tells: proxy-protocol}"
    p = program(spec(sink, a=f"listen: '127.0.0.1:{port}', path: /, {behind}", b=f"listen: '127.0.0.1:{port}', path: /b, {behind}",
                     c=f"listen: '127.0.0.1:{tls}', {behind}, tls: {{cert: server.pem, key: server.key}}"))
    ports = {name: free_port() for name in ("v1", "v2", "v3", "bare")}
    (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(port=port, tls=tls, **ports))
    proxy = subprocess.Popen([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")])
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", ports["bare"])) == 0:
                    break
            time.sleep(0.02)
        # Each from an address of its own, which the socket of the router never sees.
        for seq, (name, scheme, source) in enumerate((("v1", "http", "127.0.0.21"), ("v2", "http", "127.0.0.22"), ("v3", "https", "127.0.0.23"))):
            assert curl("-k", "--interface", source, "-d", message(seq), f"{scheme}://127.0.0.1:{ports[name]}/")[0] == 200
        assert curl("-d", message(3), f"http://127.0.0.1:{ports['bare']}/")[0] == 0
        # Not a proxy of ours: it is who it is, and what it says of itself is no HTTP.
        assert curl("--interface", "127.0.0.24", "-d", message(4), f"http://127.0.0.1:{port}/")[0] == 200
        assert curl("--interface", "127.0.0.24", "--haproxy-protocol", "-d", message(5), f"http://127.0.0.1:{port}/")[0] in (0, 400)
        assert curl("--haproxy-protocol", "-d", message(6), f"http://127.0.0.1:{port}/b")[0] == 200
    finally:
        proxy.terminate()
        proxy.wait(10)
    got = received(sink, p)
    assert set(got) == {0, 1, 2, 4, 6}
    assert [got[i]["peer"].rsplit(":", 1)[0] for i in (0, 1, 2, 4)] == ["127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"]
    assert "no-proxy-header" in p.log()
    # A header cut anywhere, or nonsense, ends the connection and nothing else.
    v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 127, 0, 0, 1]) + b"\x9c\x44\x1f\x90"
    v1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 40004 8080\r\n"
    for header in [v1[:n] for n in (0, 1, 7, 20, len(v1) - 1)] + [v2[:n] for n in (1, 12, 15, 16, 20, len(v2) - 1)] + [b"PROXY NONSENSE\r\n", b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n"]:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(header)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(100) == b""
    for seq, header in ((7, v1), (8, v2)):
        body = message(seq).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            for i in range(len(header)):  # byte by byte
                s.sendall(header[i:i + 1])
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    got = received(sink, p)
    assert got[7]["peer"] == "192.0.2.7:40004" and got[8]["peer"] == "192.0.2.7:40004"
