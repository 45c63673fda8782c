"""`sluice test`: a user's own cases and adapters' vectors, told where they fail, and again when a file changes."""
import os
import re
import shutil
import subprocess
import time

import pytest

from lab import ROOT, sluice

SPEC = """
sluice: 1
settings: {data: data, adapters: [lua]}
channels: {in: {type: http, listen: '127.0.0.1:8080', path: /messages}}
destinations: {far: {type: http, url: 'http://127.0.0.1:9/'}}
streams:
  plain: {to: far, where: seq > 1, buffer: {full: drop-oldest}}
  count: {to: far, transforms: [count], buffer: {full: drop-oldest}}
subscriptions: [{stream: plain, channels: [in]}, {stream: count, channels: [in]}]
"""
COUNT = """local A = {state = {n = "integer"}}
function A.transform(msg, ctx)
  ctx.state.n = (ctx.state.n or 0) + 1
  return {n = ctx.state.n, big = msg.big, float = 1.0, none = json.null, text = msg.text}
end
A.vectors = {{"counts", transform = {ident = "1"}, want = '{"float":1.0,"n":1,"none":null}'}}
return A
"""
CASES = """cases:
  - name: one
    send: [{ident: "1", seq: 1}, {ident: "1", seq: 2, big: 9223372036854775807, text: "ż \\u0142"}]
    expect:
      plain: {contains: [{seq: 2, text: "ż ł"}]}
      count:
        - {n: 1, float: 1, none: null}
        - {n: 2, big: 9223372036854775807, float: 1.0, none: null, text: ż ł}
  - name: begins anew
    send: {ident: "1", seq: 1}
    expect: {count: ['{"float":1.0,"n":1,"none":null}'], plain: {filtered: not > 1}}
  - name: refused and unrouted
    send: [{seq: 1}, {ident: 5}]
    refused: [no ident, not a text]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lua").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "sluice.yaml").write_text(SPEC)
    (tmp_path / "lua" / "count.lua").write_text(COUNT)
    (tmp_path / "tests" / "cases.yaml").write_text(CASES)
    return tmp_path


def test(folder, *arguments):
    return subprocess.run([sluice, "test", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


test.__test__ = False


def test_cases_that_hold_pass_and_leave_nothing_behind(folder):
    done = test(folder, "sluice.yaml")
    assert done.returncode == 0 and "3 cases in 1 file" in done.stdout, done.stdout + done.stderr
    assert not os.path.exists(folder / "data")


def test_what_scripts_log_says_of_which_case_it_is(folder):
    (folder / "lua" / "count.lua").write_text(COUNT.replace("  return {n", '  log.warn("at", ctx.state.n) return {n'))
    done = test(folder, "sluice.yaml")
    assert done.returncode == 0 and "log" not in done.stdout and "at " not in done.stdout
    assert done.stderr.splitlines() == [f'case "{case}", message {m}, stream count: warn adapter/count script text="at {n}"'
                                        for case, m, n in (("one", 1, 1), ("one", 2, 2), ("begins anew", 1, 1))]


@pytest.mark.parametrize("was, becomes, line, words", [
    ("9223372036854775807, float: 1.0", "9223372036854775806, float: 1.0", 8, "9223372036854775807"),
    ("{n: 1, float: 1, none: null}", "{n: 1, float: 1}", 7, '"none":null'),
    ("{n: 1, float: 1, none: null}", "{n: '1', float: 1, none: null}", 7, '"n":1'),
    ('"float":1.0,"n":1', '"float":1,"n":1', 11, '1.0'),
    ("filtered: not > 1", "filtered: not > 2", 11, "seq is 1, not > 1"),
    ("plain: {filtered", "plains: {filtered", 11, 'no stream "plains"'),
    ("plain: {filtered: not > 1}", "plain: {sent: x}", 11, "no outcome"),
    ("refused: [no ident, not a text]", "refused: [no ident]", 14, "2 of 2 messages are refused, not 1"),
    ("    refused: [no ident, not a text]", "    unrouted: true", 13, "no ident"),
    ("  - name: begins anew\n    send", "  - name: begins anew\n    sent", 10, 'did you mean "send"'),
])
def test_a_case_that_does_not_hold_is_told_at_its_place(folder, was, becomes, line, words):
    assert was in CASES
    (folder / "tests" / "cases.yaml").write_text(CASES.replace(was, becomes))
    done = test(folder, "sluice.yaml")
    assert done.returncode in (65, 78)
    assert words in done.stdout, done.stdout
    assert line in [int(n) for n in re.findall(r"tests/cases.yaml:(\d+):", done.stdout)], done.stdout


def test_a_folder_of_adapters_runs_all_their_vectors(folder):
    shutil.rmtree(folder / "tests")
    assert test(folder, "lua").returncode == 0
    (folder / "lua" / "count.lua").write_text(COUNT.replace('"n":1,', '"n":2,'))
    done = test(folder, "lua")
    assert done.returncode == 65 and "vector" in done.stdout and "count.lua" in done.stdout


def test_watch_runs_again_when_a_file_changes(folder):
    child = subprocess.Popen([sluice, "test", "--watch", "sluice.yaml"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert "3 cases" in child.stdout.readline()
        time.sleep(0.3)
        (folder / "lua" / "count.lua").write_text(COUNT.replace("+ 1", "+ 2"))
        told = ""
        while "problem" not in told:
            told += child.stdout.readline()
        assert "changed" in told and "E041" in told
        (folder / "lua" / "count.lua").write_text(COUNT)
        while "3 cases" not in told:
            told += child.stdout.readline()
    finally:
        child.terminate()
        child.wait(10)


def test_the_examples_cases_pass():
    assert test(ROOT, "examples").returncode == 0
    assert test(ROOT, "lua").returncode == 0
