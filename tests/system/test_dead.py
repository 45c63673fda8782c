"""Dead letters: listed, shown, retried, dropped; of streams and of channels; what is retried arrives once, whatever happens in between."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from lab import Platform, balanced, free_port, sluice
from test_bad_night import OK, post, send, seqs, until
from test_commands import run

RETRY = "retry: {first: 50ms, max: 200ms, timeout: 5s}"
# Every message is refused but those that make the destination's good will plain.
PICKY = "local A = {}\nfunction A.transform(msg)\n  %s\n  return msg\nend\nreturn A\n"


def spec(port, url, stream=RETRY, channel="", settings=""):
    if "transforms" in stream:
        settings += ", adapters: [lua]"
    return f"""sluice: 1
settings: {{data: data{settings}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages{channel}}}}}
destinations: {{far: {{type: http, url: '{url}/in'}}, near: {{type: http, url: '{url}/near'}}}}
streams: {{s: {{to: far, {stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def adapter(folder, text):
    (folder / "lua").mkdir(exist_ok=True)
    (folder / "lua" / "shape.lua").write_text(PICKY % text)


def letters(p, *words, name="s"):
    return [json.loads(line) for line in run("dead", "list", "--json", *words, p.file, name).splitlines()]


def refuse_odd(request):
    return (400, "odd") if any(m["seq"] % 2 for m in json.loads(request["body"])) else OK


def test_letters_are_listed_shown_chosen_and_dropped(program):
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url, RETRY + ", batch: {messages: 1}"))
    assert post(port, 0, 60)[0] == 200
    assert send(port, b'[{"ident":"b","timestamp":1,"seq":61},{"ident":"c","timestamp":1,"seq":62}]')[0] == 200
    until(lambda: p.stream("s")["dead"] == 31)
    all_ = letters(p)
    assert [json.loads(x["source"])["seq"] for x in all_] == [i for i in range(62) if i % 2]
    x = all_[0]
    assert x["ident"] == "a" and x["status"] == 400 and x["answer"] == "odd" and x["attempts"] == 1 and json.loads(x["bytes"])["seq"] == 1
    table = run("dead", "list", p.file, "s")
    assert "the newest 20 of 31" in table and all_[-1]["letter"] in table and x["letter"] not in table
    assert table.index(all_[-1]["letter"]) < table.index(all_[-2]["letter"])
    assert x["letter"] in run("dead", "list", "--oldest", "3", p.file, "s")
    assert len(letters(p, "--ident", "b")) == 1 and len(letters(p, "--since", "1h")) == 31 and letters(p, "--since", "2030-01-01T00:00:00Z") == []
    assert letters(p, "--reason", "no such reason") == [] and len(letters(p, "--reason", "odd")) == 31
    count = run("dead", "list", "--count", p.file, "s")
    assert "31  " in count and "400" in count
    shown = run("dead", "show", p.file, "s", x["letter"])
    assert "answer     odd" in shown and '"seq": 1' in shown and "tries      1" in shown
    assert run("dead", "show", p.file, "s", x["id"]) == shown
    assert "no such letter" in run("dead", "show", p.file, "s", "12", status=65)
    owners = run("dead", "list", p.file)
    assert "stream" in owners and "31" in owners
    assert "--yes" in run("dead", "drop", "--all", p.file, "s", status=64)
    assert "drop which?" in run("dead", "drop", "--yes", p.file, "s", status=64)
    assert run("dead", "drop", "--yes", p.file, "s", x["letter"], all_[5]["id"]) == "2 letters dropped\n"
    assert run("dead", "drop", "--yes", "--ident", "b", p.file, "s") == "1 letters dropped\n"
    assert len(letters(p)) == 28
    assert run("dead", "drop", "--yes", "--all", p.file, "s") == "28 letters dropped\n"
    assert letters(p) == [] and balanced(p.stream("s")) and p.stream("s")["dead"] == 31
    assert "did you mean" not in run("dead", "list", p.file, "elsewhere", status=65)


def test_a_store_that_lies_still_is_read_and_one_in_use_is_not(program, tmp_path):
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url, RETRY + ", batch: {messages: 1}"))
    assert post(port, 0, 11)[0] == 200
    until(lambda: p.stream("s")["dead"] == 5)
    online = run("dead", "list", "--json", p.file, "s")
    assert p.stop() == 0
    assert run("dead", "list", "--json", p.file, "s") == online
    copy = tmp_path / "copy"
    shutil.copytree(p.data, copy)
    assert run("dead", "list", "--json", "--data", str(copy), "stream/s") == online
    letter = json.loads(online.splitlines()[0])["letter"]
    assert "answer     odd" in run("dead", "show", "--data", str(copy), "s", letter)
    assert "s > far > " in run("dead", "list", "--data", str(copy))
    assert "needs one" in run("dead", "retry", "--all", "--data", str(copy), "s", status=69)
    p.start()
    os.unlink(os.path.join(p.data, "control.sock"))
    assert "in use" in run("dead", "list", "--data", p.data, status=66)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no store" in run("dead", "list", "--data", str(empty), status=66)
    assert os.listdir(empty) == []


def test_retry_renders_anew_with_the_plan_in_force(program, tmp_path):
    adapter(tmp_path, "if msg.seq % 2 == 1 then local x = msg.none.there end")
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, RETRY + ", transforms: [shape]"))
    assert post(port, 0, 10)[0] == 200
    until(lambda: p.stream("s")["dead"] == 5)
    # Still broken: they are letters again, have been tried once more, and the page does not go round in circles.
    assert "5 could not be rendered" in run("dead", "retry", "--all", p.file, "s")
    assert [x["attempts"] for x in letters(p)] == [2] * 5
    assert balanced(p.stream("s")) and p.stream("s")["matched"] == 10 and p.stream("s")["dead"] == 5
    adapter(tmp_path, "msg.mended = true")
    assert p.reload(spec(port, far.url, RETRY + ", transforms: [shape]"))
    first = letters(p)[0]
    assert run("dead", "retry", p.file, "s", first["letter"]) == "1 on their way again\n"
    assert run("dead", "retry", "--all", p.file, "s") == "4 on their way again\n"
    until(lambda: p.stream("s")["buffered"] == 0)
    s = p.stream("s")
    assert s["accepted"] == 10 and s["dead"] == 0 and s["matched"] == 10 and balanced(s) and letters(p) == []
    assert seqs(far) == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert all(m.get("mended") for m in far.accepted() if m["seq"] % 2)
    assert run("dead", "retry", "--all", p.file, "s") == "0 on their way again\n"


def test_as_it_was_sends_the_old_bytes_and_refused_again_counts_on(program, tmp_path):
    adapter(tmp_path, "msg.made = 'first'")
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url, RETRY + ", transforms: [shape], batch: {messages: 1}"))
    assert post(port, 0, 6)[0] == 200
    assert post(port, 6, 7)[0] == 200
    until(lambda: p.stream("s")["dead"] == 3)
    adapter(tmp_path, "msg.made = 'second'")
    assert p.reload(spec(port, far.url, RETRY + ", transforms: [shape], batch: {messages: 1}"))
    run("dead", "retry", "--all", p.file, "s")
    assert post(port, 8, 9)[0] == 200
    until(lambda: p.stream("s")["dead"] == 3 and p.stream("s")["buffered"] == 0)
    assert [x["attempts"] for x in letters(p)] == [2] * 3
    assert [json.loads(x["bytes"])["made"] for x in letters(p)] == ["second"] * 3
    adapter(tmp_path, "msg.made = 'third'")
    far.answer = lambda request: OK
    assert p.reload(spec(port, far.url, RETRY + ", transforms: [shape], batch: {messages: 1}"))
    assert run("dead", "retry", "--as-it-was", "--all", p.file, "s") == "3 on their way again\n"
    until(lambda: p.stream("s")["buffered"] == 0)
    assert [(m["seq"], m["made"]) for m in far.accepted() if m["seq"] % 2] == [(1, "second"), (3, "second"), (5, "second")]
    assert balanced(p.stream("s")) and p.stream("s")["accepted"] == p.stream("s")["matched"] == 8


def test_only_the_refused_row_of_a_list_goes_again(program, tmp_path):
    adapter(tmp_path, "if msg.seq > 0 then return {n = 3, {seq = msg.seq, row = 1}, {seq = msg.seq, row = 2}, {seq = msg.seq, row = 3}} end")
    far, port = Platform(), free_port()
    far.answer = lambda request: (400, "not two") if any(m.get("row") == 2 for m in json.loads(request["body"])) else OK
    p = program(spec(port, far.url, RETRY + ", transforms: [shape], batch: {messages: 1}"))
    assert post(port, 1, 2)[0] == 200
    assert post(port, 0, 1)[0] == 200
    until(lambda: p.stream("s")["dead"] == 1)
    assert (letters(p)[0]["row"], letters(p)[0]["rows"]) == (1, 3)
    far.answer = lambda request: OK
    good = (tmp_path / "lua" / "shape.lua").read_text()
    adapter(tmp_path, "if msg.seq > 0 then return {n = 2, {seq = msg.seq, row = 1}, {seq = msg.seq, row = 2}} end")
    assert p.reload(spec(port, far.url, RETRY + ", transforms: [shape], batch: {messages: 1}"))
    assert "has 2 rows" in subprocess.run([sluice, "dead", "retry", "--all", p.file, "s"], text=True, capture_output=True).stdout
    (tmp_path / "lua" / "shape.lua").write_text(good)
    assert p.reload(spec(port, far.url, RETRY + ", transforms: [shape], batch: {messages: 1}"))
    run("dead", "retry", "--all", p.file, "s")
    until(lambda: p.stream("s")["buffered"] == 0)
    assert [m["row"] for m in far.accepted() if m["seq"] == 1] == [1, 3, 2] and balanced(p.stream("s"))


def test_letters_of_a_channel_go_through_it_once_more(program, tmp_path):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, channel=", ident: imei"))
    assert send(port, b'[{"ident":"a","timestamp":1,"seq":1},{"imei":"b","timestamp":1,"seq":2},{"ident":"c","timestamp":"never","seq":3}]')[0] == 200
    until(lambda: p.stream("s")["accepted"] == 1)
    assert len(letters(p, name="in")) == 2 and letters(p, name="in")[0]["peer"].startswith("127.0.0.1:")
    tried = subprocess.run([sluice, "dead", "retry", "--all", "--json", p.file, "in"], text=True, capture_output=True)
    assert tried.returncode == 65 and json.loads(tried.stdout)["left"] == 2 and len(letters(p, name="in")) == 2
    assert p.reload(spec(port, far.url, settings=", history: 1h"))
    told = run("dead", "retry", "--all", p.file, "channel/in")
    assert "1 on their way again, 1 left as they are" in told and "bad timestamp" in told
    until(lambda: p.stream("s")["accepted"] == 2)
    assert seqs(far) == [2, 1] and balanced(p.stream("s"))
    assert [x["ident"] if "ident" in x else x["reason"] for x in letters(p, name="in")] == ["no ident"]
    # It is taken now, and history keeps what is taken: a replay brings it as any other.
    assert p.status()["history"]["messages"] == 1 and run("replay", "--from", "1h", p.file, "s") == "1 on their way again\n"


def test_letters_of_another_destination_do_not_go_to_this_one(program):
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url, RETRY + ", batch: {messages: 1}"))
    assert post(port, 0, 4)[0] == 200
    assert post(port, 4, 5)[0] == 200
    until(lambda: p.stream("s")["dead"] == 2)
    assert p.reload(spec(port, far.url, RETRY).replace("to: far", "to: near"))
    far.answer = lambda request: OK
    assert run("dead", "retry", "--all", p.file, "s") == "0 on their way again\n"
    old = next(x["name"] for x in map(json.loads, run("dead", "list", "--json", p.file).splitlines()) if x["kind"] == "buffer")
    assert old.startswith("s > far > ")
    assert "--to STREAM" in run("dead", "retry", "--all", p.file, old, status=65)
    assert "another destination" in run("dead", "retry", "--all", "--as-it-was", "--to", "s", p.file, old, status=65)
    assert run("dead", "retry", "--all", "--to", "s", p.file, old) == "2 on their way again\n"
    until(lambda: p.stream("s")["accepted"] == 2)
    near = [m["seq"] for r in far.requests if r["path"] == "/near" for m in json.loads(r["body"])]
    assert near == [1, 3] and balanced(p.stream("s")) and p.stream("s")["matched"] == 2


def test_a_full_buffer_makes_a_retry_wait_and_loses_nothing(program):
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url, RETRY + ", batch: {messages: 1}, buffer: {max: 64KiB, full: block}"))
    for i in range(0, 150, 30):
        assert post(port, i, i + 30, pad="x" * 1500)[0] == 200
        until(lambda: p.stream("s")["dead"] >= i // 2 + 14 and p.stream("s")["buffered"] <= 1)
    assert post(port, 150, 151)[0] == 200
    until(lambda: p.stream("s")["dead"] == 75)
    far.answer = lambda request: (time.sleep(0.004), OK)[1]
    told = run("dead", "retry", "--all", p.file, "s")
    assert told == "75 on their way again\n"
    until(lambda: p.stream("s")["buffered"] == 0)
    assert sorted(seqs(far)) == list(range(151)) and balanced(p.stream("s")) and p.stream("s")["accepted"] == 151


def test_killed_in_the_middle_of_a_retry_all_arrive_and_none_is_retried_twice(program):
    """Between two pages and inside them: a letter is a letter, or in the buffer. Nothing is sent meanwhile, so nothing else is repeated."""
    far, port = Platform(refuse_odd), free_port()
    text = spec(port, far.url, RETRY + ", batch: {messages: 1}, ordering: none, in-flight: 4")
    p = program(text)
    for i in range(0, 1000, 500):
        assert post(port, i, i + 500)[0] == 200
    assert post(port, 1000, 1001)[0] == 200
    until(lambda: p.stream("s")["buffered"] == 0, wait=60)
    assert p.stream("s")["dead"] == 500
    far.requests.clear()
    assert p.reload(text.replace("in-flight: 4", "in-flight: 4, paused: true"))
    rng = random.Random(7)
    for _ in range(8):
        retry = subprocess.Popen([sluice, "dead", "retry", "--all", p.file, "s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.005 + rng.random() * 0.02)
        p.kill()
        retry.wait(20)
        p.start()
        s = p.stream("s")
        assert s["dead"] + s["buffered"] == 500 and s["dead_letters"] == s["dead"] and balanced(s)
        if s["dead"] == 0:
            break
    run("dead", "retry", "--all", p.file, "s")
    far.answer = lambda request: OK
    assert p.reload(text)
    until(lambda: p.stream("s")["buffered"] == 0, wait=60)
    assert sorted(seqs(far)) == [i for i in range(1000) if i % 2]
    assert p.stream("s")["accepted"] == 1001 and balanced(p.stream("s"))


def test_interrupted_a_retry_leaves_the_rest_as_it_was(program):
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url, RETRY + ", batch: {messages: 1}, buffer: {max: 64KiB, full: block}, ordering: none, in-flight: 4"))
    for i in range(0, 300, 20):
        assert post(port, i, i + 20, pad="x" * 1500)[0] == 200
        until(lambda: p.stream("s")["buffered"] <= 16)
    assert post(port, 300, 301)[0] == 200
    until(lambda: p.stream("s")["dead"] == 150)
    run("pause", p.file, "s")
    retry = subprocess.Popen([sluice, "dead", "retry", "--all", p.file, "s"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: p.stream("s")["buffered"] > 0)
    time.sleep(0.3)
    retry.send_signal(signal.SIGINT)
    out, err = retry.communicate(timeout=20)
    s = p.stream("s")
    assert retry.returncode == 130 and "interrupted" in err and out == f"{s['buffered']} on their way again\n"
    assert s["dead"] + s["buffered"] == 150 and balanced(s)


if __name__ == "__main__":
    pytest.main([__file__])
