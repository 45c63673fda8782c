"""Everything in examples/ works as it stands: each specification passes the check, and the quickstart runs to its end and leaves nothing."""
import os
import pathlib
import subprocess
import tempfile

import pytest

from lab import ROOT, sluice

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
