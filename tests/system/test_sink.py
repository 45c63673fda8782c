"""`sluice sink`: against curl and `sluice send`."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from lab.tools import SLUICE, ENV, sink, send, received, terminal  # noqa: F401 (sink is a fixture)

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
