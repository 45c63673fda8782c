"""One slip of a finger in a file that is right: it is told where it is, with what was meant.

The judge is the file itself: what stood there before is where the caret belongs and what should be proposed. Of every slip that the schema
knows to be one, 95 of 100 are to be told at their line and column, and 80 of 100 with the right proposal."""
import json
import os
import random
import subprocess

import pytest
import yaml

from lab import ROOT, sluice as SLUICE

EXAMPLES = ["doors.yaml", "fan-out.yaml", "fleet.yaml", "history.yaml", "mqtt.yaml", "quickstart.yaml", "tls.yaml", "tolls.yaml"]
UNITS = ("ms", "s", "m", "h", "d", "KiB", "MiB", "GiB", "kB", "MB", "GB")


def words_of(schema):
    """Names of keys, and the words that some key's value must be one of."""
    keys, words = set(), set()

    def walk(node):
        if isinstance(node, dict):
            keys.update(node.get("properties", {}))
            words.update(w for w in node.get("enum", []) if isinstance(w, str))
            for below in node.values():
                walk(below)
        elif isinstance(node, list):
            for below in node:
                walk(below)

    walk(schema)
    return keys, words


def scalars(node, path=(), is_key=False):
    """Each scalar with the keys above it."""
    if isinstance(node, yaml.ScalarNode):
        yield node, path, is_key
    elif isinstance(node, yaml.SequenceNode):
        for below in node.value:
            yield from scalars(below, path)
    else:
        for key, value in node.value:
            yield key, path, True
            yield from scalars(value, (*path, key.value))


def slip(rng, word):
    """Two letters changed places, one is missing, one came twice, or one is another."""
    while True:
        i = rng.randrange(len(word) - 1)
        wrong = rng.choice([word[:i] + word[i + 1] + word[i] + word[i + 2:], word[:i] + word[i + 1:], word[:i] + word[i] + word[i:],
            word[:i] + rng.choice("aeiorstn") + word[i + 1:]])
        if wrong != word:
            return wrong


NAMED = {"channels", "devices", "groups", "destinations", "streams"}  # the keys under these are names the user gave


def slips(text, keys, words, rng):
    """(offset, what stands there, what is written instead, what should be proposed or None)."""
    tree = yaml.compose(text)
    names = {key.value for top, value in tree.value if top.value in NAMED and isinstance(value, yaml.MappingNode) for key, _ in value.value}
    for node, path, is_key in scalars(tree):
        word = node.value
        if node.style or text[node.start_mark.index:node.end_mark.index] != word or len(word) < 2:
            continue
        free = {"headers", "header", "query", "rename", "set", "data", "with", "options"} & set(path) or path[-1:] == ("fields",) and path[:1] == ("devices",)
        if is_key and word in keys and len(word) > 2 and not (len(path) == 1 and path[0] in NAMED) and not free:
            yield node.start_mark.index, word, slip(rng, word), word
        elif not is_key and word in names and len(word) > 3 and path[-1] in ("to", "stream", *NAMED):
            yield node.start_mark.index, word, slip(rng, word), word
        elif not is_key and word in words and len(word) > 2 and path[-1] in keys and not free:
            yield node.start_mark.index, word, slip(rng, word), word
        elif not is_key and word.rstrip("smhdkKMGiB").isdigit() and word.endswith(UNITS) and not free:
            yield node.start_mark.index, word, word + "x", None


def told(path):
    done = subprocess.run([SLUICE, "check", "--json", "--no-secrets", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return [p for p in json.loads(done.stdout) if p["severity"] == "error"]


@pytest.mark.parametrize("most", [220, pytest.param(100000, marks=pytest.mark.long)], ids=["some", "all"])
def test_a_slip_is_told_where_it_is_with_what_was_meant(tmp_path, most):
    with open(os.path.join(ROOT, "schemas", "sluice.json"), encoding="utf-8") as f:
        keys, words = words_of(json.load(f))
    rng = random.Random(7)
    all_slips = []
    for name in EXAMPLES:
        with open(os.path.join(ROOT, "examples", name), encoding="utf-8") as f:
            text = f.read()
        assert not told(os.path.join(ROOT, "examples", name))
        all_slips += [(name, text, *s) for _ in range(1 if most < 1000 else 4) for s in slips(text, keys, words, rng)]
    rng.shuffle(all_slips)
    # A slip that makes another word of the language may be right where it stands.
    some = [x for x in all_slips if x[4] not in keys | words][:most]
    right = proposed = 0
    missed = []
    copy = tmp_path / "examples"
    subprocess.run(["cp", "-r", os.path.join(ROOT, "examples"), str(copy)], check=True)
    for name, text, at, word, wrong, meant in some:
        file = copy / name
        file.write_text(text[:at] + wrong + text[at + len(word):], encoding="utf-8")
        problems = told(file)
        file.write_text(text, encoding="utf-8")
        place = (text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1)
        here = [p for p in problems if (p["line"], p["column"]) == place]
        known = meant is None or any(p["hint"] and meant in p["hint"] for p in here)
        right += bool(here)
        proposed += meant is not None and known
        if not here or not known:
            missed.append(f"{name}:{place[0]}:{place[1]} {word} -> {wrong}: {[(p['line'], p['column'], p['message'], p['hint']) for p in problems]}")
    proposable = sum(x[5] is not None for x in some)
    print(f"\n{len(some)} slips: {right} told at their line and column, {proposed} of {proposable} with what was meant")
    print("\n".join(missed[:40]))
    assert proposable > 150
    assert right >= 0.95 * len(some)
    assert proposed >= 0.8 * proposable
