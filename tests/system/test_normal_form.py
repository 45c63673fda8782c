"""What `plan` prints is a specification of the same plan, whatever keys of the language were used."""
import json
import os
import subprocess

from lab import ROOT, anything, sluice

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


SPEC = """sluice: 1
settings: {data: store, adapters: [lua]}
include: [more/*.yaml]
channels:
  in: {type: http, listen: '127.0.0.1:8080', auth: {bearer: '${file:secret/token}'}}
  log: {type: file, path: feed.ndjson}
devices: {a: {}, b: {}}
streams:
  one: {to: far}
  two: {to: far, paused: true, where: 'speed > 5'}
subscriptions:
  - {stream: one, channels: [in, log]}
  - {stream: two, channels: [in], devices: [a, b]}
"""


def made(folder):
    os.umask(0o077)
    for name in ("spec/more", "spec/lua", "spec/secret", "elsewhere"):
        (folder / name).mkdir(parents=True)
    (folder / "spec" / "secret" / "token").write_text("hunter2\n")
    (folder / "spec" / "fleet.yaml").write_text(SPEC)
    (folder / "spec" / "more" / "far.yaml").write_text(
        "destinations: {far: {type: http, url: 'https://127.0.0.1:9000/?k=${file:../secret/token}', headers: {X-Key: '${file:../secret/token}'}}}\n")


def plan(*words, cwd):
    done = subprocess.run([sluice, "plan", *words], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_means_the_same_wherever_it_is_kept(tmp_path):
    made(tmp_path)
    for form in ([], ["--json"]):
        printed = plan(*form, "spec/fleet.yaml", cwd=tmp_path)
        for path in ("store", "lua", "feed.ndjson"):
            assert f"{tmp_path}/spec/{path}" in printed
        assert printed.count("${file:" + str(tmp_path) + "/spec/") == 3
        (tmp_path / "elsewhere" / "kept.yaml").write_text(printed)
        assert plan(*form, "kept.yaml", cwd=tmp_path / "elsewhere") == printed
        assert plan(*form, str(tmp_path / "spec" / "fleet.yaml"), cwd="/") == printed


def test_the_picture_has_each_thing_once(tmp_path):
    made(tmp_path)
    lines = plan("--dot", "fleet.yaml", cwd=tmp_path / "spec").splitlines()
    drawn = [line.split(" [")[0].strip() for line in lines if "[label=" in line]
    assert sorted(drawn) == ['"channel in"', '"channel log"', '"destination far"', '"devices of subscription 2"', '"stream one"', '"stream two"']
    assert len([line for line in lines if " -> " in line]) == 6
    assert "where speed > 5\\npaused" in "".join(lines) and "hunter2" not in "".join(lines)
