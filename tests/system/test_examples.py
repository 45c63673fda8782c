"""Everything in examples/ works as it stands: each specification passes the check, and the quickstart runs to its end and leaves nothing."""
import json
import os
import pathlib
import shlex
import subprocess
import tempfile
import time

import pytest

from lab import ROOT, free_port, sluice

EXAMPLES = pathlib.Path(ROOT) / "examples"
SPECIFICATIONS = sorted(EXAMPLES.glob("*.yaml"))


def of_session(leader):
    """The processes of a session that are still there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = pathlib.Path("/proc", pid, "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[3]) == leader:
            found.append(stat)
    return found


def test_there_are_specifications():
    assert EXAMPLES / "quickstart.yaml" in SPECIFICATIONS


@pytest.mark.parametrize("file", SPECIFICATIONS, ids=lambda f: f.name)
def test_specification_passes_the_check(file):
    run = subprocess.run([sluice, "check", "--no-secrets", str(file)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture
def short():
    """A folder whose name leaves room for that of a unix socket; tmp_path's is too long."""
    with tempfile.TemporaryDirectory(prefix="sluice-", dir="/tmp") as folder:
        yield pathlib.Path(folder)


def test_quickstart_runs_to_its_end_and_leaves_nothing(short):
    env = os.environ | {"SLUICE": sluice, "TMPDIR": str(short)}
    process = subprocess.Popen([str(EXAMPLES / "quickstart")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, env=env, cwd=short, start_new_session=True)
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 0, out
    assert "1304 deliveries were due, 1304 were made" in out
    assert "installing" not in out and "building" not in out
    assert "\033" not in out
    assert list(short.iterdir()) == []
    assert of_session(process.pid) == []


@pytest.fixture
def commands(short):
    """told(example): the commands that its head comment tells, as arguments, with free ports in them and in a copy of it; and do(one of them)."""
    begun = []

    def told(name):
        ports = {p: str(free_port()) for p in ("8080", "9000")}

        def moved(text):
            for old, new in ports.items():
                text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
            return text
        (short / "examples").symlink_to(EXAMPLES)
        text = moved((EXAMPLES / name).read_text())
        (short / name).write_text(text)
        lines = [line[4:].replace(f"examples/{name}", name) for line in text.splitlines() if line.startswith("#   sluice ")]
        return [shlex.split(line) for line in lines]

    def do(words):
        words = [sluice, *words[1:]]
        if words[-1] != "&":
            run = subprocess.run(words, cwd=short, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
            assert run.returncode == 0, (words, run)
            return run.stdout
        begun.append(subprocess.Popen(words[:-1], cwd=short, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return ""

    yield told, do
    for process in begun:
        process.kill()
        process.wait()


def test_history_brings_back_what_a_destination_lost(commands, short):
    lake, sent = short / "lake.ndjson", len((EXAMPLES / "data" / "korita-zbevnica.ndjson").read_text().splitlines())
    told, do = commands
    sink, run, send, dry, replay = told("history.yaml")

    def holds(n):
        end = time.monotonic() + 20
        while not lake.exists() or lake.read_text().count("\n") < n:
            assert time.monotonic() < end
            time.sleep(0.02)
        return lake.read_text()
    do(sink)
    do(run)
    do(send)
    both = holds(2 * sent).splitlines()
    lake.write_text("")
    assert do(dry) == f"{sent} would be sent again\n" and lake.read_text() == ""
    assert do(replay) == f"{sent} on their way again\n"
    again = holds(sent).splitlines()
    assert len(again) == sent and all(json.loads(line)["ident"] == "352093081234502" for line in again)
    assert sorted(both) == sorted(2 * again)
