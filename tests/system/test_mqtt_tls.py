"""MQTT over TLS, both ways, through mosquitto: certificates of one's own, and ALPN where port 443 is shared with others."""
import contextlib
import selectors
import socket
import ssl
import subprocess
import threading
import time

import pytest
from lab import free_port
from lab.mqtt import MOSQUITTO, Mosquitto
from test_mqtt_out import Bed


def certificates(folder):
    """An authority, a server's certificate for localhost and a client's."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, timeout=60)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", "ca.key", "-out", "ca.pem")
    for name, alt in (("server", "DNS:localhost"), ("client", "DNS:client")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / "ext").write_text(f"subjectAltName={alt}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")
        (folder / f"{name}.key").chmod(0o644 if name == "server" else 0o600)


def round_trip(program, spec, http):
    """300 messages out and in again."""
    bed = Bed.__new__(Bed)
    bed.port, bed.p = http, program(spec)
    end = time.monotonic() + 20
    while not bed.p.status()["channels"][1]["connected"]:
        assert time.monotonic() < end, bed.p.log()
        time.sleep(0.02)
    bed.many(300)
    bed.until(lambda s: s["accepted"] == 300)
    while bed.p.stream("e")["accepted"] < 300:
        assert time.monotonic() < end, bed.p.log()
        time.sleep(0.02)
    return bed


@pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed")
def test_mosquitto_over_tls(program, tmp_path):
    certificates(tmp_path)
    port = free_port()
    m = Mosquitto(tmp_path, port=port, lines=[f"listener {port}", f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.key",
                                              "require_certificate true", "use_identity_as_username true", "allow_anonymous true"]).start()
    try:
        spec = f"""
sluice: 1
settings: {{data: data}}
channels:
  in: {{type: http, listen: '127.0.0.1:{(http := free_port())}', path: /messages}}
  back: {{type: mqtt, url: 'mqtts://localhost:{port}', topics: ['out/#'], tls: {{ca: ca.pem, cert: client.pem, key: client.key}}}}
destinations:
  far: {{type: mqtt, url: 'mqtts://localhost:{port}', topic: 'out/{{ident}}', tls: {{ca: ca.pem, cert: client.pem, key: client.key}}}}
  end: {{type: 'null'}}
streams: {{s: {{to: far, retry: {{first: 100ms}}}}, e: {{to: end}}}}
subscriptions: [{{stream: s, channels: [in]}}, {{stream: e, channels: [back]}}]
"""
        bed = round_trip(program, spec, http)
        assert "u'client'" in m.said()
        # not the far end's name, and not our authority: told as certificates, and held
        for wrong in (spec.replace("mqtts://localhost", "mqtts://127.0.0.1"), spec.replace("ca: ca.pem, ", "")):
            assert bed.p.reload(wrong)
            bed.many(1)
            s = bed.until(lambda s: s["state"] == "blocked")
            assert s["reason"].startswith("certificate: "), s["reason"]
            assert bed.p.reload(spec)
            bed.until(lambda s: s["buffered"] == 0)
    finally:
        m.stop()


@contextlib.contextmanager
def gate(folder, to, protocol):
    """What stands before a broker where its port is shared: TLS, and who does not ask for the protocol is sent away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.set_alpn_protocols([protocol, "http/1.1"])
    listening = socket.create_server(("127.0.0.1", 0))
    asked, ended = [], threading.Event()

    def carry(plain):
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as near:
            asked.append(near.selected_alpn_protocol())
            if asked[-1] != protocol:
                return
            with socket.create_connection(("127.0.0.1", to)) as far, selectors.DefaultSelector() as both:
                near.settimeout(10)
                both.register(near, selectors.EVENT_READ, (near, far))
                both.register(far, selectors.EVENT_READ, (far, near))
                while not ended.is_set():
                    for key, _ in both.select(0.1):
                        come, go = key.data
                        data = come.recv(65536)
                        if not data:
                            return
                        while come is near and near.pending():
                            data += near.recv(near.pending())
                        go.sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1], asked
    ended.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed")
def test_alpn(program, tmp_path):
    certificates(tmp_path)
    m = Mosquitto(tmp_path).start()
    try:
        with gate(tmp_path, m.port, "x-fleet-mqtt") as (port, asked):
            spec = f"""
sluice: 1
settings: {{data: data}}
channels:
  in: {{type: http, listen: '127.0.0.1:{(http := free_port())}', path: /messages}}
  back: {{type: mqtt, url: 'mqtts://localhost:{port}', topics: ['out/#'], alpn: x-fleet-mqtt, tls: {{ca: ca.pem}}}}
destinations:
  far: {{type: mqtt, url: 'mqtts://localhost:{port}', topic: 'out/{{ident}}', alpn: x-fleet-mqtt, tls: {{ca: ca.pem}}}}
  end: {{type: 'null'}}
streams: {{s: {{to: far, retry: {{first: 100ms, max: 200ms}}}}, e: {{to: end}}}}
subscriptions: [{{stream: s, channels: [in]}}, {{stream: e, channels: [back]}}]
"""
            bed = round_trip(program, spec, http)
            assert set(asked) == {"x-fleet-mqtt"}
            # who asks for nothing is sent away, and nothing is lost
            assert bed.p.reload(spec.replace("alpn: x-fleet-mqtt, ", ""))
            bed.many(10)
            bed.until(lambda s: s["buffered"] == 10 and s["state"] == "retrying")
            assert None in asked
            assert bed.p.reload(spec)
            bed.until(lambda s: s["buffered"] == 0 and s["accepted"] == 310)
    finally:
        m.stop()
