"""Buffers of streams that were removed, or whose destination changed: kept, listed, never sent by themselves; and what an operator may do with them."""
import json
import os
import random
import re
import shutil
import subprocess
import time

from lab import Platform, balanced, free_port, sluice
from test_bad_night import OK, post, send, until
from test_commands import run
from test_dead import adapter, letters
from test_state import counter

RETRY = "retry: {first: 50ms, max: 200ms, timeout: 5s}"


def spec(port, url, streams, to="", settings=""):
    return f"""sluice: 1
settings: {{data: data{settings}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations:
  far: {{type: http, url: '{url}/far'}}
  near: {{type: http, url: '{url}/near'}}
  lines: {{type: http, url: '{url}/lines', body: lines}}
{to}streams:
""" + "".join(f"  {name}: {{{text}, {RETRY}}}\n" for name, text in streams.items()) + "subscriptions:\n" + "".join(
        f"  - {{stream: {name}, channels: [in]}}\n" for name in streams)


def at(far, path):
    """The numbers of the messages a path has accepted, in order."""
    got = []
    for r in far.requests:
        if r["path"] == path and r.get("status") == 200:
            body = r["body"].decode()
            got += [m["seq"] for m in (json.loads(body) if body.startswith("[") else map(json.loads, body.splitlines()))]
    return got


def buffers(p):
    return {b["name"]: b for b in map(json.loads, run("buffers", "list", "--json", p.file).splitlines())}


def kept(p):
    return {n: b["messages"] for n, b in buffers(p).items() if "stream" not in b}


def waiting(program, n=300, streams=None, batch=100, **more):
    """n messages that wait for destination far, paused, and are not sent any more."""
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, streams or {"s": "to: far, paused: true"}, **more))
    for i in range(0, n, batch):
        assert post(port, i, i + batch)[0] == 200
    return far, port, p


def test_another_destination_does_not_get_what_waited_and_the_old_one_gets_it_back(program):
    far, port, p = waiting(program)
    assert p.reload(spec(port, far.url, {"s": "to: near"}))
    assert post(port, 1000, 1010)[0] == 200
    until(lambda: p.stream("s")["accepted"] == 10)
    (name, n), = kept(p).items()
    assert n == 300 and name.startswith("s > far > ")
    table = run("buffers", "list", p.file)
    assert "none: kept" in table and name in table
    p.kill()
    p.start()
    assert kept(p) == {name: 300} and at(far, "/far") == [] and at(far, "/near") == list(range(1000, 1010))
    # A stream of the same name with the same destination takes its buffer back; none else does.
    assert p.reload(spec(port, far.url, {"other": "to: far"}))
    assert kept(p)[name] == 300
    assert p.reload(spec(port, far.url, {"s": "to: far"}))
    until(lambda: p.stream("s")["buffered"] == 0)
    assert at(far, "/far") == list(range(300)) and balanced(p.stream("s"))


def test_adopted_messages_go_once_in_order_behind_what_waits(program):
    far, port, p = waiting(program)
    assert p.reload(spec(port, far.url, {"s": "to: near, paused: true"}))
    assert post(port, 1000, 1010)[0] == 200
    assert run("buffers", "adopt", p.file, "s") == "300 on their way\n"
    assert kept(p) == {} and p.stream("s")["buffered"] == 310 and balanced(p.stream("s"))
    assert "no buffer" in run("buffers", "adopt", p.file, "elsewhere", status=65)
    p.kill()
    p.start()
    assert p.reload(spec(port, far.url, {"s": "to: near"}))
    until(lambda: p.stream("s")["buffered"] == 0)
    assert at(far, "/near") == list(range(1000, 1010)) + list(range(300)) and at(far, "/far") == []
    assert p.stream("s")["accepted"] == 310 and balanced(p.stream("s"))


def test_another_form_is_not_adopted_but_rendered_anew(program, tmp_path):
    adapter(tmp_path, "msg.made = 'first'")
    lua = ", adapters: [lua]"
    far, port, p = waiting(program, streams={"s": "to: far, transforms: [shape], paused: true", "n": "to: near, paused: true"}, settings=lua)
    adapter(tmp_path, "msg.made = 'second' if msg.seq == 7 then local x = msg.none.there end if msg.seq == 8 then return nil, 'not this' end")
    after = spec(port, far.url, {"s": "to: lines, transforms: [shape], paused: true", "n": "to: near, paused: true"}, settings=lua)
    assert p.reload(after)
    name, = kept(p)
    told = run("buffers", "adopt", p.file, name, status=65) if name.split(" > ")[2] != p_form(p, "s") else ""
    assert not told or "sluice buffers render" in told
    told = run("buffers", "render", p.file, "s")
    assert told.startswith("298 on their way, 1 skipped, 1 left where they are\n") and "shape.lua" in told
    assert kept(p) == {name: 1} and p.stream("s")["skipped"] == 1 and balanced(p.stream("s"))
    assert p.reload(after.replace("shape], paused: true", "shape]"))
    until(lambda: p.stream("s")["buffered"] == 0)
    assert at(far, "/lines") == [i for i in range(300) if i not in (7, 8)] and at(far, "/near") == []
    assert run("buffers", "dead", p.file, name) == "1 messages are dead letters now\n"
    assert run("dead", "retry", "--to", "n", "--all", p.file, name) == "1 on their way again\n"
    assert p.stream("n")["buffered"] == 301 and balanced(p.stream("n")) and kept(p) == {}


def p_form(p, stream):
    return next(n for n, b in buffers(p).items() if b.get("stream") == stream).split(" > ")[2]


def test_dropped_and_set_aside_are_counted_and_nothing_is_sent(program):
    far, port, p = waiting(program, streams={"a": "to: far, paused: true", "b": "to: near, paused: true"})
    assert p.reload(spec(port, far.url, {"c": "to: far"}))
    names = sorted(kept(p))
    assert [kept(p)[n] for n in names] == [300, 300]
    assert "--yes" in run("buffers", "drop", p.file, names[0], status=64)
    assert run("buffers", "drop", "--yes", p.file, names[0]) == "300 messages dropped\n"
    assert run("buffers", "dead", p.file, names[1]) == "300 messages are dead letters now\n"
    assert kept(p) == {names[1]: 0}
    got = [json.loads(x) for x in run("dead", "list", "--json", p.file, names[1]).splitlines()]
    assert [json.loads(x["source"])["seq"] for x in got] == list(range(300)) and got[0]["reason"] == "set aside by command"
    assert run("dead", "retry", "--all", "--to", "c", p.file, names[1]) == "300 on their way again\n"
    until(lambda: p.stream("c")["accepted"] == 300)
    assert at(far, "/far") == list(range(300)) and balanced(p.stream("c"))
    # The same streams again find nothing of theirs.
    assert p.reload(spec(port, far.url, {"a": "to: far", "b": "to: near", "c": "to: far"}))
    time.sleep(0.2)
    assert at(far, "/near") == [] and at(far, "/far") == list(range(300))
    assert p.stream("a")["purged"] == 300 and balanced(p.stream("a")) and balanced(p.stream("b"))


def test_a_stream_sends_its_own_buffer_and_nobody_else_touches_it(program):
    far, port, p = waiting(program, streams={"s": "to: far, paused: true", "t": "to: near, paused: true"})
    own = next(n for n, b in buffers(p).items() if b.get("stream") == "s")
    for words in (("adopt", "--to", "t"), ("render", "--to", "t")):
        assert "sends this buffer itself" in run("buffers", words[0], *words[1:], p.file, own, status=65)
    assert "sluice purge" in run("buffers", "drop", "--yes", p.file, own, status=65)
    assert p.reload(spec(port, far.url, {"s": "to: far, enabled: false", "t": "to: near, paused: true"}))
    assert run("buffers", "adopt", "--to", "t", p.file, own) == "300 on their way\n"
    assert p.stream("t")["buffered"] == 600


def test_peek_and_export_of_what_waits_also_in_a_copy(program, tmp_path):
    adapter(tmp_path, "do return {made = msg.seq} end")
    lua = ", adapters: [lua]"
    far, port, p = waiting(program, n=2500, batch=500, streams={"s": "to: far, transforms: [shape], paused: true"}, settings=lua)
    peek = run("buffers", "peek", p.file, "s")
    assert peek.count("\n") == 11 and '{"made":0}' in peek
    one = json.loads(run("buffers", "peek", "--oldest", "1", "--json", p.file, "s"))
    assert json.loads(one["source"])["seq"] == 0 and one["bytes"] == '{"made":0}' and one["ident"] == "a"
    online = run("buffers", "export", p.file, "s")
    assert [json.loads(x)["seq"] for x in online.splitlines()] == list(range(2500))
    assert run("buffers", "export", "--as-it-is", p.file, "s").splitlines()[2499] == '{"made":2499}'
    p.kill()
    copy = tmp_path / "copy"
    shutil.copytree(p.data, copy, ignore=shutil.ignore_patterns("control.sock"))
    assert run("buffers", "export", "--data", str(copy), "s") == online
    assert "2500" in run("buffers", "list", "--data", str(copy))
    assert "needs one" in run("buffers", "adopt", "--data", str(copy), "s", status=69)
    # What was exported goes in again by `sluice send`.
    p.start()
    ndjson = tmp_path / "out.ndjson"
    ndjson.write_text(online)
    assert subprocess.run([sluice, "send", str(ndjson), "--to", f"http://127.0.0.1:{port}/messages"], capture_output=True, timeout=60).returncode == 0
    assert p.stream("s")["matched"] == 5000


def test_what_adapters_kept_of_a_stream_that_is_gone_is_listed_and_goes_with_its_last_buffer(program, tmp_path):
    counter(tmp_path, "")
    keep, where = ", transforms: [keeper]", ", adapters: [adapters]"
    far, port = Platform(), free_port()
    both = spec(port, far.url, {"s": "to: far" + keep, "t": "to: near" + keep}, settings=where)
    t = spec(port, far.url, {"t": "to: near" + keep}, settings=where)
    p = program(both)

    def more(first, idents="abc"):
        assert send(port, json.dumps([{"ident": i, "timestamp": 1, "seq": first + k} for k, i in enumerate(idents)]).encode())[0] == 200

    def counted(path):
        p.drained()
        return [(m["ident"], m["n"]) for r in far.requests if r["path"] == path for m in json.loads(r["body"])]

    more(0)
    more(3)
    assert counted("/far") == counted("/near") == [(i, n) for n in (1, 2) for i in "abc"]
    # Nothing waits, and still it is seen; also in a copy, where nobody knows which streams there are.
    assert p.reload(t)
    (name, line), = ((n, b) for n, b in buffers(p).items() if "stream" not in b)
    assert name.startswith("s > far > ") and line["states"] == 3 and line["messages"] == line["letters"] == 0
    assert [b["states"] for b in buffers(p).values()] == [3, 3]
    assert "STATES" in run("buffers", "list", p.file)
    copy = tmp_path / "copy"
    shutil.copytree(p.data, copy, ignore=shutil.ignore_patterns("control.sock", "LOCK"))
    told = [json.loads(x) for x in run("buffers", "list", "--json", "--data", str(copy)).splitlines()]
    assert [(b["name"], b["states"]) for b in told] == [(n, 3) for n in buffers(p)]
    assert "of its idents" in run("buffers", "drop", p.file, "s", status=64)
    assert run("buffers", "drop", "--yes", p.file, "s") == "0 messages dropped\nwhat adapters kept of 3 idents is forgotten\n"
    assert [n for n, b in buffers(p).items() if b.get("stream") != "t"] == []
    p.kill()
    p.start()
    assert list(buffers(p).values())[0]["states"] == 3 and len(buffers(p)) == 1
    # The stream that returns begins anew, and the other went on.
    assert p.reload(both)
    more(6)
    assert counted("/far")[6:] == [(i, 1) for i in "abc"] and counted("/near")[6:] == [(i, 3) for i in "abc"]

    # Of two buffers that it left, the first that goes takes nothing along.
    assert p.reload(spec(port, far.url, {"s": "to: far, paused: true" + keep, "t": "to: near" + keep}, settings=where))
    more(9)
    assert p.reload(spec(port, far.url, {"s": "to: lines, paused: true" + keep, "t": "to: near" + keep}, settings=where))
    more(12)
    assert p.reload(t)
    first, second = (n for n, b in buffers(p).items() if "stream" not in b)
    assert json.loads(run("buffers", "drop", "--yes", "--json", p.file, first)) == {"dropped": 3, "states": 0}
    assert buffers(p)[second]["states"] == 3
    assert json.loads(run("buffers", "drop", "--yes", "--json", p.file, second)) == {"dropped": 3, "states": 3}
    assert kept(p) == {}

    # What a stream that runs left behind takes nothing along either.
    assert p.reload(spec(port, far.url, {"t": "to: near, paused: true" + keep}, settings=where))
    more(15)
    assert p.reload(spec(port, far.url, {"t": "to: far" + keep}, settings=where))
    (name, n), = kept(p).items()
    assert n == 3 and "states" not in buffers(p)[name]
    assert run("buffers", "drop", "--yes", p.file, name) == "3 messages dropped\n"
    more(18)
    assert counted("/far")[-3:] == [(i, 7) for i in "abc"]


def test_killed_in_the_middle_of_adopt_and_render_each_message_is_in_one_place(program, tmp_path):
    """Nothing is sent meanwhile: after every kill, what was kept and what waits are all, and at the end each arrives once."""
    adapter(tmp_path, "msg.made = true")
    lua = ", adapters: [lua]"
    rng = random.Random(3)
    for verb in ("adopt", "render"):
        (tmp_path / verb).mkdir()
        adapter(tmp_path / verb, "msg.made = true")
        far, port = Platform(), free_port()
        p = program(spec(port, far.url, {"s": "to: far, transforms: [shape], paused: true"}, settings=lua), start=False)
        p.folder = str(tmp_path / verb)
        p.file, p.data, p.log_path = (os.path.join(p.folder, x) for x in ("sluice.yaml", "data", "log"))
        p.write(spec(port, far.url, {"s": "to: far, transforms: [shape], paused: true"}, settings=lua))
        p.start()
        for i in range(0, 3000, 500):
            assert post(port, i, i + 500)[0] == 200
        assert p.reload(spec(port, far.url, {"s": "to: near, transforms: [shape], paused: true"}, settings=lua))
        for _ in range(8):
            work = subprocess.Popen([sluice, "buffers", verb, p.file, "s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.005 + rng.random() * 0.04)
            p.kill()
            work.wait(20)
            p.start()
            assert sum(kept(p).values()) + p.stream("s")["buffered"] == 3000 and balanced(p.stream("s"))
            if not kept(p):
                break
        if kept(p):
            run("buffers", verb, p.file, "s")
        assert p.reload(spec(port, far.url, {"s": "to: near, transforms: [shape]"}, settings=lua))
        until(lambda: p.stream("s")["buffered"] == 0, wait=30)
        assert at(far, "/near") == list(range(3000)) and at(far, "/far") == []
        assert p.stream("s")["accepted"] == p.stream("s")["matched"] == 3000
        assert p.stop() == 0


def test_the_commonest_bad_night(program, tmp_path):
    """An adapter writes what the platform refuses, 10 000 times. The buffer is not poured into the dead letters: the stream is blocked. Set aside by
    word, mended, reloaded, retried: all are accepted, once."""
    adapter(tmp_path, "msg.speed = 'fast'")
    far, port = Platform(lambda request: (400, "speed is no number") if b'"speed":"fast"' in request["body"] else OK), free_port()
    text = spec(port, far.url, {"s": "to: far, transforms: [shape], batch: {messages: 50}"}, settings=", adapters: [lua]")
    p = program(text)
    for i in range(0, 10000, 500):
        assert post(port, i, i + 500)[0] == 200
    until(lambda: p.stream("s")["state"] == "blocked")
    assert "speed is no number" in p.stream("s")["reason"]
    assert p.stream("s")["dead"] == 0 and p.stream("s")["buffered"] == 10000
    assert run("buffers", "dead", p.file, "s") == "10000 messages are dead letters now\n"
    assert balanced(p.stream("s")) and p.stream("s")["buffered"] == 0 and p.stream("s")["dead"] == 10000
    count = run("dead", "list", "--count", p.file, "s")   # what was wrong is still to be seen
    assert re.search(r"10000  set aside by command while held: .*speed is no number\n", count), count
    adapter(tmp_path, "msg.speed = 50")
    p.hup()
    until(lambda: p.status()["generation"] == 2)
    assert run("dead", "retry", "--all", p.file, "s") == "10000 on their way again\n"
    until(lambda: p.stream("s")["buffered"] == 0, wait=60)
    assert at(far, "/far") == list(range(10000))
    s = p.stream("s")
    assert s["accepted"] == s["matched"] == 10000 and s["dead"] == s["dead_letters"] == 0 and balanced(s)
    assert len(far.requests) < 500


def test_refusals_among_acceptances_become_letters_at_no_more_than_the_speed_of_sending(program, tmp_path):
    """A platform that takes the good ones shows that the bad ones are bad: these become letters one by one, each with its answer."""
    adapter(tmp_path, "if msg.seq % 4 > 0 then msg.speed = 'fast' end")
    far, port = Platform(lambda request: (400, "speed is no number") if b'"speed":"fast"' in request["body"] else OK), free_port()
    text = spec(port, far.url, {"s": "to: far, transforms: [shape], batch: {messages: 4}"}, settings=", adapters: [lua]")
    p = program(text)
    for i in range(0, 1200, 300):
        assert post(port, i, i + 300)[0] == 200
    assert post(port, 1200, 1201)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0, wait=60)
    assert p.stream("s")["dead"] == 900 and p.stream("s")["accepted"] == 301
    assert "900  HTTP 400" in run("dead", "list", "--count", p.file, "s")
    assert {x["answer"] for x in letters(p)} == {"speed is no number"}
    adapter(tmp_path, "msg.speed = 50")
    assert p.reload(text)
    assert run("dead", "retry", "--reason", "no number", p.file, "s") == "900 on their way again\n"
    until(lambda: p.stream("s")["buffered"] == 0, wait=60)
    assert sorted(at(far, "/far")) == list(range(1201))
    assert p.stream("s")["accepted"] == p.stream("s")["matched"] == 1201 and balanced(p.stream("s"))


def test_a_store_is_verified_and_mended(program):
    far, port, p = waiting(program, n=3000, batch=500)
    assert "in use" in run("buffers", "verify", p.file, status=66)
    assert p.stop() == 0
    told = run("buffers", "verify", p.file)
    assert "3000 messages wait" in told and told.endswith("sound\n")
    assert json.loads(run("buffers", "verify", "--json", "--data", p.data))["messages"] == 3000
    # Opened and closed, the log has become tables; the middle of the largest rots.
    p.start()
    assert post(port, 3000, 3010)[0] == 200 and p.stop() == 0
    db = os.path.join(p.data, "db")
    table = max((os.path.join(db, f) for f in os.listdir(db) if f.endswith((".ldb", ".log"))), key=os.path.getsize)
    with open(table, "r+b") as f:
        f.seek(os.path.getsize(table) // 2)
        f.write(b"rot" * 20)
    found = json.loads(subprocess.run([sluice, "buffers", "verify", "--json", p.file], text=True, capture_output=True).stdout)
    assert not found["sound"]
    mended = json.loads(run("buffers", "repair", "--json", p.file))
    assert mended["mended"]
    told = run("buffers", "verify", p.file)
    assert told.endswith("sound\n")
    left = json.loads(run("buffers", "verify", "--json", p.file))["messages"]
    assert left < 3010
    p.start()
    s = p.stream("s")
    assert s["buffered"] == left and balanced(s)
    assert p.reload(spec(port, far.url, {"s": "to: far"}))
    until(lambda: p.stream("s")["buffered"] == 0)
    assert sorted(set(at(far, "/far"))) == sorted(at(far, "/far")) and len(at(far, "/far")) == left
