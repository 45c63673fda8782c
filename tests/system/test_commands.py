"""Commands to a running instance: reload, pause, resume, purge. Each does what it says, survives what it must, and leaves the counts exact."""
import json
import os
import pty

import pytest
import subprocess
import time

from lab import Platform, balanced, free_port, sluice
from test_bad_night import OK, post, seqs, until

RETRY = "retry: {first: 50ms, max: 200ms, timeout: 5s}"


def spec(port, url, stream=RETRY):
    return f"""sluice: 1
settings: {{data: data}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, url: '{url}/in'}}}}
streams: {{s: {{to: far, {stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def run(*words, status=0):
    got = subprocess.run([sluice, *words], text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert got.returncode == status, (words, got)
    return got.stdout if status == 0 else got.stderr


def test_paused_by_command_takes_and_does_not_send_over_reloads_until_it_is_resumed(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    assert "paused" in run("pause", p.file, "s")
    assert post(port, 0, 10)[0] == 200
    assert p.reload(spec(port, far.url, RETRY + ", batch: {messages: 5}"))
    assert post(port, 10, 20)[0] == 200
    s = p.stream("s")
    assert s["state"] == "paused" and s["paused_by"] == "command" and s["buffered"] == 20
    assert "sluice resume" in run("status", p.file)
    assert far.requests == []
    assert json.loads(run("resume", "--json", p.file, "s"))["ok"]
    until(lambda: p.stream("s")["buffered"] == 0)
    assert seqs(far) == list(range(20)) and "paused_by" not in p.stream("s")


def test_a_start_ends_a_pause_by_command_but_not_one_by_the_specification(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    run("pause", "--data", p.data, "s")
    assert post(port, 0, 5)[0] == 200
    p.kill()
    p.start()
    until(lambda: seqs(far) == list(range(5)))
    assert p.reload(spec(port, far.url, "paused: true"))
    assert post(port, 5, 6)[0] == 200
    told = run("resume", p.file, "s", status=78)
    assert "paused by the specification" in told and "sluice.yaml:5" in told
    assert p.stream("s")["paused_by"] == "specification" and seqs(far) == list(range(5))


def test_resume_ends_a_block_at_once(program):
    far, port = Platform(lambda request: (403, "who are you")), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 5)[0] == 200
    until(lambda: p.stream("s")["state"] == "blocked")
    far.answer = lambda request: OK
    run("resume", p.file, "s")
    until(lambda: p.stream("s")["accepted"] == 5, wait=5)


def test_purge_asks_gives_up_what_waits_and_counts_it(program):
    far, port = Platform(lambda request: (503, "")), free_port()
    p = program(spec(port, far.url))
    for i in range(20):
        assert post(port, i * 500, i * 500 + 500)[0] == 200
    assert "10000 messages" in run("purge", p.file, "s", status=64) and p.stream("s")["purged"] == 0
    assert run("purge", "--yes", p.file, "s") == "s: 10000 messages purged\n"
    assert p.stream("s")["purged"] == 10000
    assert p.stream("s")["buffered"] == 0 and balanced(p.stream("s"))
    far.answer = lambda request: OK
    assert post(port, 10000, 10010)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0)
    assert seqs(far) == list(range(10000, 10010)) and balanced(p.stream("s"))
    p.kill()
    p.start()
    assert p.stream("s")["purged"] == 10000 and balanced(p.stream("s")) and len(seqs(far)) == 10


def test_purge_takes_a_backlog_that_is_not_in_memory_and_waits_for_what_is_under_way(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, RETRY + ", paused: true"))
    for i in range(40):
        assert post(port, i * 500, i * 500 + 500, pad="x" * 300)[0] == 200
    slow = []
    far.answer = lambda request: (slow.append(1), time.sleep(0.5), OK)[2]
    assert p.reload(spec(port, far.url))
    until(lambda: slow)
    told = run("purge", "--yes", p.file, "s")
    until(lambda: p.stream("s")["buffered"] == 0)
    s = p.stream("s")
    assert s["accepted"] == len(seqs(far)) and s["accepted"] + s["purged"] == 20000 and s["accepted"] >= 100 and balanced(s)
    assert told == f"s: {s['purged']} messages purged\n"


def test_a_person_is_asked_before_a_purge(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, "paused: true"))
    assert post(port, 0, 5)[0] == 200
    for answer, left in ((b"\n", 5), (b"y\n", 0)):
        try:
            main, side = pty.openpty()
        except OSError:
            pytest.skip("no pseudo-terminals here (a chroot without /dev/pts)")
        run_ = subprocess.Popen([sluice, "purge", p.file, "s"], stdin=side, stderr=side, stdout=subprocess.DEVNULL)
        os.close(side)
        told = b""
        while b"[y/N]" not in told:
            told += os.read(main, 1000)
        assert b"5 messages" in told
        os.write(main, answer)
        assert run_.wait(20) == (64 if left else 0)
        os.close(main)
        until(lambda: p.stream("s")["buffered"] == left)


def test_a_word_that_cannot_be_carried_out_says_why(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, "enabled: false"))
    assert "not enabled" in run("pause", p.file, "s", status=65)
    assert 'no stream "elsewhere"' in run("purge", "--yes", p.file, "elsewhere", status=65)
    run("pause", p.file, status=64)
    p.stop()
    assert "is the instance running?" in run("pause", p.file, "s", status=69)


def test_a_refused_reload_tells_the_problems_to_the_one_who_asked(program, tmp_path):
    port = free_port()
    p = program(spec(port, "http://127.0.0.1:9"))
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "mph.lua").write_text("local A = {summary = 'x'}\nfunction A.transform(msg) retrn msg end\nreturn A\n")
    p.write(spec(port, "http://127.0.0.1:9").replace("{data: data}", "{data: data, adapters: [adapters]}").replace("to: far", "too: far, transforms: [mph, mph]"))
    got = subprocess.run([sluice, "reload", p.file], text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert got.returncode == 78 and "2 problems in the specification" in got.stdout, got
    assert 'sluice.yaml:5:' in got.stderr and 'did you mean "to"?' in got.stderr and "mph.lua:2:" in got.stderr
    assert "there is no transform" not in got.stderr
    p.write(spec(port, "http://127.0.0.1:9"))
    got = subprocess.run([sluice, "reload", p.file], text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert got.returncode == 0 and got.stderr == "" and "problems" not in p.status()["reload"]
