"""Which streams a message goes to: the program against a reference that is slow and simple (lab/routing.py). And what `plan` prints is a
specification of the same plan."""
import glob
import json
import os
import subprocess

import pytest

from lab import routing

SRC = os.environ.get("SLUICE_SRC", os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("SLUICE_BUILD", SRC)
SLUICE = os.path.abspath(os.environ.get("SLUICE", os.path.join(BUILD, "sluice")))
ROUTE_MANY = os.path.abspath(os.path.join(BUILD, "tests", "unit", "route_many"))


def routed(folder, text, lines):
    (folder / "toller.lua").write_text(routing.ADAPTER)
    (folder / "spec.yaml").write_text(text)
    return subprocess.run([ROUTE_MANY, "spec.yaml"], cwd=folder, input=lines, capture_output=True, text=True, timeout=60)


def parsed(line):
    device, *targets = line.split("\t")
    out = {}
    for t in targets:
        stream, at, data = t.split(" ", 2)
        assert stream not in out, "a stream twice"
        out[stream] = int(at), json.loads(data) if data else None
    return device, out


def compare(folder, seeds, messages):
    pairs = refused = skipped = 0
    for seed in seeds:
        rng = routing.random_of(seed)
        text = routing.specification(rng)
        reference = routing.Reference(text)
        some = [routing.message(rng, reference.channels) for _ in range(messages)]
        got = routed(folder, text, "".join(f"{c} {json.dumps(m)}\n" for c, m in some))
        if got.returncode != 0:
            assert "E053" in got.stderr and got.stderr.count("error[") == got.stderr.count("E053"), f"seed {seed}\n{got.stderr}"
            assert reference.contradicts, f"seed {seed}: refused without need\n{text}{got.stderr}"
            refused += 1
            continue
        warned = routing.warnings(got.stderr)
        assert warned or not reference.contradicts, f"seed {seed}: two values at one rank are not refused\n{text}"
        answers = got.stdout.splitlines()
        assert len(answers) == messages
        memo = {}
        for (channel, m), line in zip(some, answers):
            if m["ident"] not in memo:
                memo[m["ident"]] = reference.told(m["ident"], warned)
            if memo[m["ident"]]:
                skipped += 1
                continue
            if (line) not in memo:
                memo[line] = parsed(line)
            want = reference.route(channel, m)
            assert memo[line] == want, f"seed {seed}: {channel} {m}\n{text}{got.stderr}"
            pairs += 1
    print(f"{pairs} pairs compared, {skipped} left out as warned, {refused} of {len(seeds)} specifications refused")
    return pairs, refused


def test_routing_is_that_of_the_reference(tmp_path):
    pairs, refused = compare(tmp_path, range(30), 1000)
    assert pairs >= 15000 and refused < 15


@pytest.mark.long
def test_routing_is_that_of_the_reference_for_a_million(tmp_path):
    pairs, _ = compare(tmp_path, range(1000, 1340), 3500)
    assert pairs >= 1000000


def plan(folder, name):
    r = subprocess.run([SLUICE, "plan", "--no-secrets", name], cwd=folder, capture_output=True, text=True, timeout=60)
    return r.returncode, r.stdout, r.stderr


def same_again(folder, name):
    """0 when the specification is refused."""
    status, first, told = plan(folder, name)
    if status != 0:
        assert "error[" in told
        return 0
    again = os.path.join(folder, "again.yaml")
    try:
        with open(again, "w", encoding="utf-8") as f:
            f.write(first)
        status, second, told = plan(folder, "again.yaml")
    finally:
        os.unlink(again)
    assert status == 0, told + first
    assert second == first
    return 1


@pytest.mark.parametrize("example", sorted(glob.glob(os.path.join(SRC, "examples", "*.yaml"))), ids=os.path.basename)
def test_the_plan_of_an_example_is_a_specification(example, tmp_path):
    subprocess.run(["cp", "-r", os.path.join(SRC, "examples"), tmp_path], check=True)
    assert same_again(str(tmp_path / "examples"), os.path.basename(example)) == 1


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(2000, 2220), marks=pytest.mark.long)], ids=["few", "many"])
def test_the_plan_of_any_specification_is_one(seeds, tmp_path):
    (tmp_path / "toller.lua").write_text(routing.ADAPTER)
    fine = 0
    for seed in seeds:
        (tmp_path / "spec.yaml").write_text(routing.specification(routing.random_of(seed)))
        fine += same_again(str(tmp_path), "spec.yaml")
    assert fine > len(seeds) / 2
