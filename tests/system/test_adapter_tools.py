"""sluice adapters, sluice new adapter: what there is, and a file to begin with that works as it stands."""
import json
import shutil
import subprocess

import pytest
import yaml

from lab import ROOT
from lab import sluice as PROGRAM

USED = {"http": {"destinations": {"far": {"type": "acme", "url": "http://127.0.0.1:9/"}}},
        "transform": {"streams": {"out": {"to": "far", "transforms": [{"use": "acme", "with": {"below": 5}}]}}},
        "format": {"channels": {"in": {"type": "http", "listen": "127.0.0.1:8080", "format": "acme"}}}}
WAYS = {"http": [], "transform": ["--transform"], "format": ["--format"], "mqtt": ["--transport", "mqtt"], "tcp": ["--transport", "tcp"]}


def sluice(*arguments, cwd=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL, cwd=cwd)


def specification(kind):
    tree = {"sluice": 1, "settings": {"data": "data", "adapters": ["lua"]},
            "channels": {"in": {"type": "http", "listen": "127.0.0.1:8080"}}, "destinations": {"far": {"type": "http", "url": "http://127.0.0.1:9/"}},
            "streams": {"out": {"to": "far"}}, "subscriptions": [{"stream": "out", "channels": ["in"]}]}
    return {**tree, **USED.get(kind, {})}


@pytest.mark.parametrize("kind", USED)
def test_a_new_adapter_passes_check_at_once_and_fails_when_its_example_is_changed(tmp_path, kind):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(specification(kind)))
    made = sluice("new", "adapter", "acme", *WAYS[kind], "--file", tmp_path / "s.yaml")
    assert made.returncode == 0 and "lua/acme.lua: written" in made.stdout and "sluice test --watch" in made.stdout, made.stderr
    file = tmp_path / "lua/acme.lua"
    assert "NAME" not in file.read_text()
    checked = sluice("check", tmp_path / "s.yaml")
    assert checked.returncode == 0 and "warning" not in checked.stdout, checked.stdout
    file.write_text(file.read_text().replace("speed = 52}", "speed = 53}").replace('52.0,"movement', '52.5,"movement').replace('speed"] = 52}', 'speed"] = 51}'))
    checked = sluice("check", tmp_path / "s.yaml")
    assert checked.returncode == 65 and "acme.lua:" in checked.stdout and "vector" in checked.stdout


@pytest.mark.parametrize("kind", WAYS)
def test_without_a_file_it_goes_to_lua_here_and_is_listed(tmp_path, kind):
    made = sluice("new", "adapter", "my-platform_2", *WAYS[kind], cwd=tmp_path)
    assert made.returncode == 0 and made.stdout.startswith("lua/my-platform_2.lua: written\n") and "adapters: [lua]" in made.stdout
    listed = json.loads(sluice("adapters", "--json", cwd=tmp_path).stdout)
    mine, = (a for a in listed if a["name"] == "my-platform_2")
    assert mine["kind"] == ("destination" if kind in ("http", "mqtt", "tcp") else kind) and mine["from"] == "lua/my-platform_2.lua"
    assert mine.get("transport") == (kind if kind in ("http", "mqtt", "tcp") else None) and "my-platform_2" in mine["summary"]
    assert all({"name", "kind", "summary", "options"} <= set(a) for a in listed)


@pytest.mark.parametrize("like,kind", [("toll-bg", "destination"), ("e-toll", "destination"), ("thin", "transform"), ("traccar", "format"), ("osmand", "format")])
def test_a_copy_of_a_built_in_adapter_stands_in_its_place(tmp_path, like, kind):
    made = sluice("new", "adapter", like, "--like", like, cwd=tmp_path)
    key = {"destination": "destinations:", "transform": "streams:", "format": "channels:"}[kind]
    assert made.returncode == 0 and "before the built-in adapter" in made.stdout and key in made.stdout, made.stderr
    with open(f"{ROOT}/lua/{like}.lua") as f:
        assert (tmp_path / f"lua/{like}.lua").read_text() == f.read()
    mine, = (a for a in json.loads(sluice("adapters", "--json", cwd=tmp_path).stdout) if a["name"] == like)
    assert mine["kind"] == kind and mine["from"] == f"lua/{like}.lua"
    tried = sluice("test", "lua", cwd=tmp_path)
    assert tried.returncode == 0, tried.stdout


@pytest.mark.parametrize("like", ["nothing", "prelude", "new/http", "../lua/thin"])
def test_only_adapters_are_copied(tmp_path, like):
    made = sluice("new", "adapter", "mine", "--like", like, cwd=tmp_path)
    assert made.returncode == 64 and f"no built-in adapter {like} " in made.stderr and not (tmp_path / "lua").exists()


def test_editors_get_what_they_read_and_luacheck_is_content_with_what_is_written(tmp_path):
    for kind, way in WAYS.items():
        assert sluice("new", "adapter", f"my-{kind}", *way, cwd=tmp_path).returncode == 0
    made = sluice("new", "editor", cwd=tmp_path)
    assert made.returncode == 0 and made.stdout.count(": written") == 3
    for name in (".luarc.json", ".luacheckrc", "lua/meta/sluice.lua"):
        with open(f"{ROOT}/{name}") as f:
            assert (tmp_path / name).read_text() == f.read()
    for folder in json.loads((tmp_path / ".luarc.json").read_text())["workspace.library"]:
        assert list((tmp_path / folder).glob("*.lua"))
    (tmp_path / ".luacheckrc").write_text("mine")
    again = sluice("new", "editor", cwd=tmp_path)
    assert again.returncode == 73 and again.stderr.count("left as it is") == 3 and (tmp_path / ".luacheckrc").read_text() == "mine"
    if shutil.which("luacheck"):
        (tmp_path / ".luacheckrc").unlink()
        assert sluice("new", "editor", cwd=tmp_path).returncode == 73
        checked = subprocess.run(["luacheck", "lua"], cwd=tmp_path, text=True, capture_output=True, timeout=60)
        assert checked.returncode == 0, checked.stdout
    tried = sluice("test", "lua", cwd=tmp_path)
    assert tried.returncode == 0, tried.stdout


def test_what_is_there_is_left_as_it_is(tmp_path):
    assert sluice("new", "adapter", "acme", cwd=tmp_path).returncode == 0
    (tmp_path / "lua/acme.lua").write_text("mine")
    again = sluice("new", "adapter", "acme", "--format", cwd=tmp_path)
    assert again.returncode == 73 and "left as it is" in again.stderr and (tmp_path / "lua/acme.lua").read_text() == "mine"


@pytest.mark.parametrize("arguments,word", [(["../x"], "cannot be the name"), ([""], "cannot be the name"), (["-x"], "usage"), (["http"], "keeps for itself"),
                                            (["a", "b"], "usage"), (["a", "--format", "--transform"], "usage"), (["a", "--transport", "ftp"], "usage")])
def test_names_and_kinds_that_cannot_be(tmp_path, arguments, word):
    made = sluice("new", "adapter", *arguments, cwd=tmp_path)
    assert made.returncode == 64 and word in made.stderr and not list(tmp_path.iterdir())


def test_a_name_that_hides_a_built_in_one_is_told(tmp_path):
    assert "before the built-in adapter" in sluice("new", "adapter", "traccar", "--format", cwd=tmp_path).stdout


def test_adapters_tells_natives_and_lua_with_what_they_take(tmp_path):
    listed = {(a["kind"], a["name"]): a for a in json.loads(sluice("adapters", "--json", cwd=tmp_path).stdout)}
    assert {("channel", "http"), ("destination", "http"), ("destination", "null"), ("format", "flespi"), ("format", "traccar"),
            ("transform", "round-positions")} <= set(listed)
    assert ("transform", "prelude") not in listed and all(a["summary"] for a in listed.values())
    url = listed["destination", "http"]["options"]["url"]
    assert url["type"] == "url" and url["required"] and url["description"]
    digits = listed["transform", "round-positions"]["options"]["digits"]
    assert digits == {"type": "integer", "required": False, "minimum": 0, "maximum": 9, "default": 5,
                      "description": "Decimals that are kept; 5 are about a metre"}
    text = sluice("adapters", "round-positions", cwd=tmp_path).stdout
    assert "digits" in text and "integer = 5" in text and "about a metre" in text
    near = sluice("adapters", "tracar", cwd=tmp_path)
    assert near.returncode == 66 and "did you mean traccar?" in near.stderr


def test_adapters_tells_what_a_platform_wants_of_subscriptions_and_streams(tmp_path):
    out = sluice("adapters", "e-toll", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    by_device = out.stdout.partition("by device, in a subscription:\n")[2]
    assert by_device.split()[:2] == ["serial", "string"]
    assert [line.split() for line in by_device.partition("a stream to it, unless it says otherwise:\n")[2].splitlines()] == [
        ["batch.messages", "1000"], ["buffer.ttl", "10d"], ["batch.messages", "at", "most", "10000"],
        ["over", "https", "it", "wants", "tls.cert", "and", "tls.key"]]
    told = sluice("adapters", "--json", "toll-bg", cwd=tmp_path)
    (one,) = json.loads(told.stdout)
    assert {k for k, v in one["device"].items() if v["required"]} == {"pan", "plate", "axles", "weight"}


def test_adapters_asked_for_a_broken_file_says_what_is_wrong(tmp_path):
    (tmp_path / "lua").mkdir()
    (tmp_path / "lua/bad.lua").write_text("return {transfrom = function() end}\n")
    assert "bad" not in sluice("adapters", cwd=tmp_path).stdout
    told = sluice("adapters", "bad", cwd=tmp_path)
    assert told.returncode == 78 and "bad.lua:1" in told.stderr and "did you mean \"transform\"" in told.stderr
    assert told.stdout == "" and sluice("adapters", "--file", tmp_path / "no.yaml").returncode == 66
