"""`sluice send`: against `sluice sink` and against a server of Python's."""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from lab.tools import SLUICE, ENV, sink, send, result, messages, write, per_ident, received, server, terminal  # noqa: F401 (sink is a fixture)


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
