"""`sluice send` and `sluice sink`: each against the other, against curl, and against a server of Python's."""
import contextlib
import http.server
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
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


def test_round_trip_is_byte_for_byte_and_in_order(tmp_path, sink):
    lines = messages(617)
    s = sink("--out", str(tmp_path / "got"), "--json")
    run = send(write(tmp_path, lines), "--to", s.url + "in", "--batch", 20)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r"sent 617 messages in 31 requests: 617 taken, 0 refused, [\d ]+/s\n", run.stdout)
    assert run.stderr == ""  # no progress where there is no terminal
    assert received(tmp_path / "got") == lines
    assert s.totals() == {"accepted": 617, "refused": 0, "requests": 31, "connections": 1, "dropped": 0, "paths": {"/in": 617}}


def test_a_device_keeps_its_order_over_many_connections(tmp_path, sink):
    lines = messages(2000, idents=40)
    s = sink("--quiet", "--out", str(tmp_path / "got"), "--once-per", "5", "--json")
    run = send(write(tmp_path, lines), "--to", s.url, "--batch", 10, "--connections", 4, "--json")
    assert run.returncode == 0, run.stderr
    assert result(run)["again"] > 10
    assert per_ident(received(tmp_path / "got")) == per_ident(lines)
    totals = s.totals()
    assert totals["accepted"] == 2000 and totals["connections"] == 4
    assert totals["requests"] == result(run)["requests"]


def test_stdin_and_a_last_line_without_an_end(sink, tmp_path):
    lines = messages(5)
    s = sink("--out", str(tmp_path / "got"), "--quiet")
    run = send("-", "--to", s.url, text="\r\n".join(["", *lines]))
    assert run.returncode == 0, run.stderr
    assert received(tmp_path / "got") == lines


def test_a_slow_pipe_is_not_held_back_for_a_full_batch(sink, tmp_path):
    s = sink()
    process = subprocess.Popen([SLUICE, "send", "-", "--to", s.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV)
    process.stdin.write('{"ident":"first"}\n')
    process.stdin.flush()
    s.wait(s.out, r'/ \{"ident":"first"\}\n')  # and stdin is still open
    process.stdin.write('{"ident":"second"}\n')
    out, _ = process.communicate(timeout=20)
    assert "sent 2 messages in 2 requests" in out


def test_bad_lines_are_told_with_their_place(tmp_path, sink):
    path = write(tmp_path, ['{"ident":"a","seq":1}', '{"ident":"a",', "", '[{"ident":"a"}]', '{"ident":"a"} {"ident":"b"}', '{"a":1,"a":2}',
                            '{"ident":"a","seq":2}'])
    with open(path, "ab") as f:
        f.write(b'{"ident":"\xff"}\n')
    s = sink("--out", str(tmp_path / "got"))
    run = send(path, "--to", s.url, "--json")
    assert run.returncode == 65
    assert [re.match(re.escape(str(path)) + r":(\d+):(?:(\d+):)? \S", line).groups() for line in run.stderr.splitlines()] == [
        ("2", "14"), ("4", None), ("5", "14"), ("6", None), ("8", "11")]
    got = result(run)
    assert (got["messages"], got["bad"], got["taken"], got["refused"]) == (2, 5, 2, 0)
    assert len(received(tmp_path / "got")) == 2


def test_503_then_recovery(tmp_path, sink):
    lines = messages(300)
    s = sink("--quiet", "--out", str(tmp_path / "got"), "--json")
    s.toggle(503)
    process = subprocess.Popen([SLUICE, "send", str(write(tmp_path, lines)), "--to", s.url, "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=ENV)
    time.sleep(0.5)
    assert process.poll() is None
    s.toggle(200)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "trying again" in err and "takes messages again" in err and "SIGUSR1" in err
    assert json.loads(out)["taken"] == 300 and json.loads(out)["again"] > 0
    assert received(tmp_path / "got") == lines
    assert s.totals()["refused"] > 0


def test_retry_after_is_honoured(tmp_path):
    seen = []

    def answers(body, headers):
        seen.append(time.monotonic())
        return (429, {"Retry-After": "2"}, "slow down") if len(seen) == 1 else (200, {}, "")

    with server(answers) as url:
        run = send(write(tmp_path, messages(3)), "--to", url)
    assert run.returncode == 0, run.stderr
    assert len(seen) == 2 and 1.9 < seen[1] - seen[0] < 5


def test_patience_ends(tmp_path, sink):
    path = write(tmp_path, messages(250))
    s = sink("--status", "500", "--json")
    run = send(path, "--to", s.url, "--patience", "1s", "--json")
    assert run.returncode == 69 and "patience" in run.stderr
    got = result(run)
    assert got["taken"] == 0 and got["unsent"] == got["messages"] > 0
    s.end()
    began = time.monotonic()
    run = send(path, "--to", s.url, "--patience", "1s")  # nobody listens there any more
    assert run.returncode == 69 and 0.9 < time.monotonic() - began < 20
    assert "not sent" in run.stdout


@pytest.mark.parametrize("status,exit_status,hint", [(401, 77, "--token"), (403, 77, "--token"), (404, 69, "path"), (301, 69, "redirects")])
def test_what_patience_cannot_mend_is_told_at_once(tmp_path, sink, status, exit_status, hint):
    s = sink("--status", str(status))
    run = send(write(tmp_path, messages(3)), "--to", s.url)
    assert run.returncode == exit_status and hint in run.stderr


def test_refusals_are_told_with_line_and_reason_and_not_sent_again(tmp_path):
    seen = []

    def answers(body, headers):
        seen.append(len(body))
        return 200, {}, json.dumps({"taken": len(body) - 2, "refused": [{"index": 1, "reason": "no `ident`"}, {"index": 3, "reason": "too \"big\""}]})

    with server(answers) as url:
        path = write(tmp_path, messages(10))
        run = send(path, "--to", url, "--batch", 5, "--json")
    assert run.returncode == 65 and seen == [5, 5]
    got = result(run)
    assert (got["taken"], got["refused"], got["reasons"]) == (6, 4, {"no `ident`": 2, 'too "big"': 2})
    for line in 2, 4, 7, 9:
        assert f"{path}:{line}: refused: " in run.stderr


def test_the_sink_refuses_a_value(tmp_path, sink):
    s = sink("--refuse", "seq=4", "--refuse", "ident=nobody", "--json", "--out", str(tmp_path / "got"))
    path = write(tmp_path, messages(9))
    run = send(path, "--to", s.url, "--batch", 3, "--json")
    assert run.returncode == 65
    assert (result(run)["taken"], result(run)["refused"], result(run)["again"]) == (6, 3, 0)
    assert f"{path}:5: refused: " in run.stderr
    assert [json.loads(m)["seq"] for m in received(tmp_path / "got")] == [0, 1, 2, 6, 7, 8]
    assert send("-", "--to", s.url, text='{"ident":"nobody"}\n{"ident":"nobody-else"}\n', timeout=20).returncode == 65
    totals = s.totals()
    assert (totals["accepted"], totals["refused"]) == (6, 5)


def test_drop_after(tmp_path, sink):
    lines = messages(600)
    s = sink("--drop-after", "4", "--json", "--out", str(tmp_path / "got"), "--quiet")
    run = send(write(tmp_path, lines), "--to", s.url, "--batch", 20, "--json")
    assert run.returncode == 0, run.stderr
    assert result(run)["taken"] == 600
    assert received(tmp_path / "got") == lines  # what was dropped is not kept, and came again in its place
    totals = s.totals()
    assert totals["requests"] == 30 + totals["dropped"] and totals["dropped"] == 7
    assert totals["connections"] >= 7


def test_too_large_a_request_is_halved(tmp_path):
    seen = []

    def answers(body, headers):
        if len(body) > 3:
            return 413, {}, ""
        seen.extend(m["seq"] for m in body)
        return 200, {}, "OK"

    with server(answers) as url:
        run = send(write(tmp_path, messages(20)), "--to", url, "--json")
    assert run.returncode == 0, run.stderr
    assert seen == list(range(20)) and result(run)["taken"] == 20


def test_rate(tmp_path, sink):
    s = sink("--quiet")
    began = time.monotonic()
    run = send(write(tmp_path, messages(100)), "--to", s.url, "--rate", "100/s", "--json")
    assert run.returncode == 0
    assert 0.9 < time.monotonic() - began < 5
    assert result(run)["requests"] > 3  # not one batch at the end of the second


def test_recorded_time(tmp_path, sink):
    s = sink()
    lines = ['{"ident":"a","timestamp":1700000000}', '{"ident":"a","timestamp":"2023-11-14T22:13:50Z"}', '{"ident":"a","timestamp":1700000060.0}']
    began = time.monotonic()
    run = send(write(tmp_path, lines), "--to", s.url, "--recorded", "30")
    assert run.returncode == 0, run.stderr
    assert 1.9 < time.monotonic() - began < 6
    at = [int(h) * 3600 + int(m) * 60 + float(sec) for h, m, sec in re.findall(r"(?m)^(\d\d):(\d\d):([\d.]+) / \{", s.out.read_text())]
    assert len(at) == 3
    assert 0.9 < (at[1] - at[0]) % 86400 < 3 and 0.5 < (at[2] - at[1]) % 86400 < 3  # 30 s and 30 s, thirty times faster


def test_loop_and_credentials(tmp_path):
    seen = []

    def answers(body, headers):
        seen.append((headers["Authorization"], headers["X-Fleet"], headers["Content-Type"], len(body)))
        return 200, {}, ""

    with server(answers) as url:
        run = send(write(tmp_path, messages(4)), "--to", url, "--loop", "3", "--token", "s3cret", "--header", "X-Fleet: 17", "--batch", 6)
    assert run.returncode == 0, run.stderr
    assert seen == [("Bearer s3cret", "17", "application/json", 6)] * 2


def test_interrupt_ends_with_totals(tmp_path, sink):
    s = sink("--quiet")
    process = subprocess.Popen([SLUICE, "send", str(write(tmp_path, messages(100))), "--to", s.url, "--rate", "20/s", "--loop", "0"],
                               stdout=subprocess.PIPE, text=True, env=ENV)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 130 and re.match(r"sent \d+ messages", out)


def test_progress_on_a_terminal(tmp_path, sink):
    s = sink("--quiet")
    master, slave = terminal()
    process = subprocess.Popen([SLUICE, "send", str(write(tmp_path, messages(60))), "--to", s.url, "--rate", "50/s"], stdout=subprocess.PIPE,
                               stderr=slave, text=True, env=ENV)
    os.close(slave)
    text = b""
    with contextlib.suppress(OSError):
        while more := os.read(master, 4096):
            text += more
    os.close(master)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0 and "60 taken" in out
    assert re.search(rb"\r\[#+\.*\] +\d+%  \d+ messages  \d+/s", text) and text.endswith(b"\r\033[K")


def test_options_are_held_to_what_they_mean(tmp_path):
    path = write(tmp_path, messages(1))
    url = "http://127.0.0.1:1/"
    for args in ([], [path], [path, "--to", "ftp://x/"], [path, path, "--to", url], [path, "--to", url, "--batch", "0"],
                 [path, "--to", url, "--rate", "fast"], [path, "--to", url, "--header", "nothing"], ["-", "--to", url, "--loop", "2"],
                 [path, "--to", url, "--recorded=0"], [path, "--to", url, "--token", "a\nX: b"]):
        run = send(*args, text="")
        assert run.returncode == 64 and run.stderr, args
    assert send(tmp_path / "missing", "--to", url).returncode == 66
    assert send(tmp_path, "--to", url).returncode == 66
    for args in (["--listen", "nowhere"], ["--status", "1000"], ["--refuse", "ident"], ["--delay", "soon"], ["extra"]):
        run = subprocess.run([SLUICE, "sink", *args], capture_output=True, text=True, timeout=10)
        assert run.returncode == 64 and run.stderr, args
    for command in "send", "sink":
        run = subprocess.run([SLUICE, command, "--help"], capture_output=True, text=True, timeout=10)
        assert run.returncode == 0 and f"sluice {command} " in run.stdout.partition("examples:")[2]


curl = pytest.mark.skipif(not shutil.which("curl"), reason="no curl")


def post(url, body, *options):
    run = subprocess.run(["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *options, "--data-binary", body, url], capture_output=True,
                         text=True, env=ENV)
    text, _, status = run.stdout.rpartition("\n")
    return run.returncode, int(status or 0), text


@curl
def test_the_sink_reads_what_curl_posts(tmp_path, sink):
    s = sink("--json", "--out", str(tmp_path / "got"))
    assert post(s.url + "one", '{"ident":"a"}') == (0, 200, '{"taken":1}')
    assert post(s.url + "many", '[{"ident":"b"},\n {"ident":"c",\n  "x":1}]') == (0, 200, '{"taken":2}')
    assert post(s.url + "many", '{"ident":"d"}\n{"ident":"e"}\n') == (0, 200, '{"taken":2}')
    assert post(s.url + "raw", "#L#1;2\r\n\x01" + "x" * 500) == (0, 200, '{"taken":1}')
    subprocess.run(["curl", "-sS", s.url + "probe"], check=True, capture_output=True, env=ENV)
    out = s.end(signal.SIGINT).splitlines()
    lines = [line.partition(" ")[2] for line in out if re.match(r"\d\d:\d\d:\d\d\.\d{3} /", line)]
    assert lines[:5] == ['/one {"ident":"a"}', '/many {"ident":"b"}', '/many {"ident":"c",   "x":1}', '/many {"ident":"d"}', '/many {"ident":"e"}']
    assert re.fullmatch(r"/raw #L#1;2\.\.\.x+… \(509 bytes\)", lines[5]) and len(lines[5]) < 250
    assert lines[6:] == ["/probe (GET, no body)"]
    totals = json.loads(out[-1])
    assert totals["paths"] == {"/one": 1, "/many": 4, "/raw": 1, "/probe": 0}
    assert (totals["accepted"], totals["requests"], totals["connections"]) == (6, 5, 5)
    assert received(tmp_path / "got") == ['{"ident":"a"}', '{"ident":"b"}', '{"ident":"c",   "x":1}', '{"ident":"d"}', '{"ident":"e"}']


@curl
def test_the_sink_answers_as_told(tmp_path, sink):
    s = sink("--status", "202", "--delay", "400ms", "--refuse", "device.id=17")
    began = time.monotonic()
    assert post(s.url, '{"ident":"a"}')[1] == 202
    assert 0.4 <= time.monotonic() - began < 5
    code, status, text = post(s.url, '[{"ident":"a"},{"ident":"b","device.id":17}]')
    assert status == 400 and json.loads(text)["refused"][0]["index"] == 1
    s.toggle(503)
    assert post(s.url, '{"ident":"a"}')[1] == 503
    s.toggle(202)
    assert post(s.url, '{"ident":"a"}')[1] == 202
    out = s.end()
    assert out.count("(400)") == 2 and out.count("(503)") == 1
    assert re.search(r"\npath +accepted\n/ +2\n\n2 messages accepted, 3 refused in 4 requests on 4 connections\n$", out)


@curl
def test_the_sink_drops_and_refuses_once(sink):
    s = sink("--once-per", "2", "--json")
    assert [post(s.url, f'{{"ident":"{i}"}}')[1] for i in (1, 2, 2, 3, 4, 4, 5)] == [200, 503, 200, 200, 503, 200, 200]
    s.end()
    s = sink("--drop-after", "0", "--json")
    assert post(s.url, '{"ident":"1"}')[0] == 52  # curl: the server returned nothing
    assert s.totals()["accepted"] == 0


@curl
def test_answers_that_are_owed_are_given_at_the_end(sink):
    s = sink("--delay", "1s", "--json")
    process = subprocess.Popen(["curl", "-sS", "-w", "%{http_code}", "-d", '{"ident":"a"}', s.url], stdout=subprocess.PIPE, text=True, env=ENV)
    s.wait(s.out, r'"ident":"a"')
    assert s.totals()["accepted"] == 1
    assert process.communicate(timeout=10)[0] == '{"taken":1}200'


@curl
def test_count_prints_sums(sink):
    s = sink("--count")
    post(s.url, '[{"ident":"a"},{"ident":"b"}]')
    s.wait(s.out, r"\n\d\d:\d\d:\d\d\.\d{3} \+2 messages: 2 accepted, 0 refused in 1 requests\n")
    assert '"ident"' not in s.end()


def test_colours_on_a_terminal_alone(sink, tmp_path):
    lines = '{"ident":"a"}\n'
    for no_color in None, "1":
        master, slave = terminal()
        env = {k: v for k, v in ENV.items() if k != "NO_COLOR"} | ({"NO_COLOR": no_color} if no_color else {})
        process = subprocess.Popen([SLUICE, "sink", "--listen", "127.0.0.1:0"], stdout=slave, env=env)
        os.close(slave)
        text = b""
        while b"\n" not in text:
            text += os.read(master, 4096)
        url = re.search(rb"http://\S+", text).group().decode()
        assert send("-", "--to", url, text=lines).returncode == 0
        while b'"ident"' not in text:
            text += os.read(master, 4096)
        process.terminate()
        with contextlib.suppress(OSError):  # a terminal nobody writes to any more
            while os.read(master, 4096):
                pass
        os.close(master)
        assert process.wait(10) == 0
        assert (b"\033[" in text) == (no_color is None)


# ---- over connections --------------------------------------------------------------------------------------------------------


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
