"""What `plan` prints is a specification of the same plan, whatever keys of the language were used."""
import json
import os
import subprocess

from lab import ROOT, anything

PLAN_MANY = os.path.abspath(os.path.join(os.environ.get("SLUICE_BUILD", ROOT), "tests", "unit", "plan_many"))
COUNT = 200


def test_the_plans_of_200_specifications_with_every_key_are_specifications(tmp_path):
    with open(os.path.join(ROOT, "schemas", "sluice.json"), encoding="utf-8") as f:
        schema = json.load(f)
    os.umask(0o077)
    (tmp_path / anything.FOLDER).mkdir()
    for name in anything.CERTIFICATE:
        (tmp_path / name).write_text("-----BEGIN NOTHING-----\n")
    same, tried, used = 0, 0, set()
    while same < COUNT:
        assert tried < 2 * COUNT, "most are refused"
        some = [anything.Anything(schema, seed) for seed in range(tried, tried + 50)]
        for i, a in enumerate(some):
            (tmp_path / f"{tried + i}.yaml").write_text(a.specification(), encoding="utf-8")
        done = subprocess.run([PLAN_MANY, *(f"{tried + i}.yaml" for i in range(50))], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        for a, line in zip(some, done.stdout.splitlines(), strict=True):
            result, file = line.split()
            if result == "differs":
                subprocess.run(["diff", "-u", f"{file}.plan", f"{file}.again"], cwd=tmp_path, check=False)
            assert result != "differs", f"{file}\n{done.stderr}"
            if result == "same":
                same += 1
                used |= a.used
        tried += 50
        print(done.stderr[:4000])
    assert anything.keys(schema) - used == set()
    print(f"{same} of {tried} specifications")
