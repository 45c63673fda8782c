"""`sluice send` and `sluice sink` over what is not HTTP: lines over TCP, files, sockets, datagrams, CSV, Wialon, MQTT."""
import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import pytest

from lab.tools import SLUICE, ENV, sink, send, result, messages, write, received  # noqa: F401 (sink is a fixture)


def tcp_sink(sink, *options):
    return sink("--as", *options)


def test_lines_over_tcp_to_a_sink_that_misbehaves(tmp_path, sink):
    lines = messages(1000)
    s = tcp_sink(sink, "tcp", "--once-per", "10", "--drop-after", "57", "--refuse", "seq=500", "--out", str(tmp_path / "got"), "--json")
    run = send(write(tmp_path, lines), "--to", s.url, "--acknowledge", "--batch", 50, "--connections", 3, "--json")
    assert run.returncode == 65, run.stderr
    got = result(run)
    assert (got["taken"], got["refused"], got["unsent"]) == (999, 1, 0)
    assert got["reasons"] == {"refused (--refuse)": 1}
    assert set(received(tmp_path / "got")) == set(lines) - {lines[500]}
    totals = s.totals()
    assert totals["accepted"] >= 999 and totals["dropped"] > 5
    assert totals["paths"] == {"tcp": totals["accepted"]}


def test_late_answers_over_tcp_keep_their_order(tmp_path, sink):
    lines = messages(40)
    s = tcp_sink(sink, "tcp", "--delay", "100ms", "--out", str(tmp_path / "got"))
    began = time.monotonic()
    run = send(write(tmp_path, lines), "--to", s.url, "--acknowledge", "--batch", 10)
    assert run.returncode == 0, run.stderr
    assert time.monotonic() - began > 0.4
    assert received(tmp_path / "got") == lines


def test_csv_rows_are_messages(tmp_path, sink):
    path = tmp_path / "fleet.csv"
    path.write_text('ident,timestamp,plate,v,ok,note\n007,1700000000,"WX, ""12""",1,true,\n008,1700000001,007,-2.50,false,"two\nlines"\n9,1,a,1e3,,,\n')
    s = tcp_sink(sink, "tcp", "--out", str(tmp_path / "got"))
    run = send(path, "--to", s.url, "--acknowledge")
    assert run.returncode == 65
    assert "fleet.csv:5: more cells than the first row names" in run.stderr
    assert received(tmp_path / "got") == ['{"ident":"007","timestamp":1700000000,"plate":"WX, \\"12\\"","v":1,"ok":true}',
                                          '{"ident":"008","timestamp":1700000001,"plate":"007","v":-2.50,"ok":false,"note":"two\\nlines"}']


def test_lines_into_a_file_a_unix_socket_and_datagrams(tmp_path, sink):
    lines = messages(100)
    source = write(tmp_path, lines)
    assert send(source, "--to", f"file://{tmp_path}/feed").returncode == 0
    assert received(tmp_path / "feed") == lines
    s = subprocess.Popen([SLUICE, "sink", "--as", "tcp", "--listen", f"unix://{tmp_path}/s.sock", "--out", str(tmp_path / "got"), "--quiet"],
                         stdout=subprocess.PIPE, text=True, env=ENV)
    try:
        assert s.stdout.readline() == f"listening on unix://{tmp_path}/s.sock\n"
        assert send(source, "--to", f"unix://{tmp_path}/s.sock").returncode == 0
        s.terminate()
        s.wait(10)
        assert received(tmp_path / "got") == lines
    finally:
        s.kill()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.bind(("127.0.0.1", 0))
        u.settimeout(10)
        got = []

        def answer():
            seen = {}
            while len(got) < len(lines):
                data, peer = u.recvfrom(65536)
                seen[data] = seen.get(data, 0) + 1
                if len(seen) % 40 == 0 and seen[data] == 1:
                    continue  # lost on the way
                got.append(data.decode())
                u.sendto(b"ok\n", peer)

        t = threading.Thread(target=answer)
        t.start()
        run = send(source, "--to", f"udp://127.0.0.1:{u.getsockname()[1]}", "--acknowledge")
        t.join(10)
    assert run.returncode == 0, run.stderr
    assert got == lines


def test_wialon_sinks_understand_the_published_examples(tmp_path, sink):
    packet = bytes.fromhex("74000000333533393736303133343435343835004B0BFB70000000030BBB000000270102706F73696E666F00A027AFDF5D9848403AC7253383DD4B400000"
                           "000000805A40003601460B0BBB0000001200047077725F657874002B8716D9CE973B400BBB00000011010361766C5F696E707574730000000001")
    s = tcp_sink(sink, "wialon-retranslator", "--out", str(tmp_path / "retranslator"), "--drop-after", "2")
    with socket.create_connection(("127.0.0.1", s.port), timeout=10) as c:
        for piece in (packet[:3], packet[3:50], packet[50:] + packet + packet):
            c.sendall(piece)
            time.sleep(0.02)
        assert b"".join(iter(lambda: c.recv(100), b"")) == b"\x11\x11"  # the third is left without an answer
    m = json.loads(received(tmp_path / "retranslator")[0])
    assert (m["ident"], m["timestamp"], m["position.longitude"], m["position.latitude"]) == ("353976013445485", 1259076464, 49.1903648, 55.7305664)
    assert (m["position.speed"], m["position.direction"], m["position.satellites"], m["pwr_ext"], m["avl_inputs"]) == (54, 326, 11, 27.593, 1)
    s = tcp_sink(sink, "wialon-ips", "--out", str(tmp_path / "ips"))
    with socket.create_connection(("127.0.0.1", s.port), timeout=10) as c:
        f = c.makefile("rwb")

        def ask(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
            return f.readline()

        assert ask("#L#2.0;imei;NA;A932") == b"#AL#1\r\n"
        assert ask("#P#") == b"#AP#\r\n"
        assert ask("#D#231012;153959;5354.49260;N;02731.44990;E;0;0;300;7;1.1;0;0;1,0,0,0;NA;ign:1:1,dparam:2:3.14159265,tparam:3:lorem,iparam:1:-55,SOS:1:1;4BC3") == b"#AD#1\r\n"
        assert ask("#SD#270413;205601;5544.6025;N;03739.6834;E;1;2;3;4") == b"#ASD#1\r\n"
        assert ask("#B#270413;205601;5544.6025;N;03739.6834;E;1;2;3;4|270413;205602;5544.6025;S;03739.6834;W;1;2;3;4|1234") == b"#AB#2\r\n"
        assert ask("#SD#nonsense") == b"#ASD#-1\r\n"
    got = [json.loads(line) for line in received(tmp_path / "ips")]
    assert [m["timestamp"] for m in got] == [1351006799, 1367096161, 1367096161, 1367096162]
    assert got[0]["dparam"] == 3.14159265 and got[0]["iparam"] == -55 and got[0]["tparam"] == "lorem" and got[0]["ident"] == "imei"
    assert (got[3]["position.latitude"], got[3]["position.longitude"]) == (-55.743375, -37.66139)


@pytest.mark.skipif(not (pathlib.Path("/usr/sbin/mosquitto").exists() and shutil.which("mosquitto_sub")), reason="mosquitto is not here")
def test_messages_published_to_mosquitto(tmp_path):
    from lab import free_port
    port = free_port()
    (tmp_path / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n")
    lines = messages(500)
    lines[17] = '{"timestamp":1,"seq":17}'
    broker = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(tmp_path / "m.conf")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        watch = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", "fleet/+/in", "-q", "1", "-V", "5", "-C", "499"], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        run = send(write(tmp_path, lines), "--to", f"mqtt://127.0.0.1:{port}/fleet/{{ident}}/in", "--batch", 50, "--connections", 2, "--json")
        assert run.returncode == 65, run.stderr
        got = result(run)
        assert (got["taken"], got["refused"]) == (499, 1)
        out, _ = watch.communicate(timeout=20)
        assert sorted(out.splitlines()) == sorted(lines[:17] + lines[18:])
    finally:
        broker.kill()
        broker.wait()
    away = send(write(tmp_path, lines), "--to", f"mqtt://127.0.0.1:{port}/x", "--patience", "1s")
    assert away.returncode == 69 and "Connection refused" in away.stderr
