"""`was: OLD`: a stream gets another name, and takes along what it owes, its counts and its dead letters."""
import socket

from lab import Load, audit, balanced, deliveries, free_port

SPEC = """
sluice: 1
settings: {{data: data, workers: 2}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}, other: {{type: http, url: '{url}/other'}}}}
streams:
{streams}
subscriptions: [{{stream: {fed}, channels: [in]}}]
"""


def spec(load, sink, fed, streams):
    return SPEC.format(port=load.port, url=sink.url, fed=fed, streams=streams)


def test_a_backlog_moves_to_the_new_name_and_is_delivered_once(tmp_path, sink, program):
    load = Load(free_port(), 50, connections=4, batches=(20,))
    old, new = "  toll: {to: far}", "  kas: {to: far, was: toll, paused: %s}"
    p = program(spec(load, sink, "toll", old))
    load.run(2000)
    p.drained()
    sink.tell("down")
    load.run(4000)
    before = p.stream("toll")
    assert before["accepted"] == 2000 and before["buffered"] == 4000
    # With messages under way while the name changes.
    load.run(4000, background=True, rate=4000)
    assert p.reload(spec(load, sink, "kas", new % "true"))
    load.join()
    after = p.stream("kas")
    assert (after["matched"], after["accepted"], after["buffered"]) == (10000, 2000, 8000) and balanced(after)
    status = p.status()
    assert status["retired"] == [] and "toll" not in p.streams()
    assert "renamed was=\"toll\" kept=" in p.log()
    # The key stays in the file: reloads and starts find nothing to do.
    assert p.reload(spec(load, sink, "kas", new % "true"))
    assert p.stop() == 0
    p.start()
    assert p.stream("kas")["buffered"] == 8000
    assert p.log().count(" renamed ") == 1
    sink.tell("up")
    assert p.reload(spec(load, sink, "kas", new % "false"))
    p.drained()
    assert p.stream("kas")["accepted"] == 10000
    audit(sink, "/far", load.sent)


def test_a_name_changes_over_a_restart_with_its_dead_letters(tmp_path, sink, program):
    load = Load(free_port(), 10, connections=1, batches=(10,))
    p = program(spec(load, sink, "toll", "  toll: {to: far, transforms: [picky]}").replace(
        "data: data", "data: data, adapters: [.]"), start=False)
    (tmp_path / "picky.lua").write_text("return {transform = function(msg) if msg.ident == '350000000005' then error('no') end if msg.ident == '350000000003' then return nil, 'not that one' end return msg end}\n")
    p.start()
    load.run(100)
    p.drained()
    sink.tell("down")
    load.run(50)
    before = p.stream("toll")
    assert before["dead"] == 15 and before["skipped"] == 15 and before["buffered"] == 40
    p.kill()
    p.write(spec(load, sink, "kas", "  kas: {to: far, was: toll}"))
    p.start()
    after = p.stream("kas")
    for key in ("matched", "skipped", "accepted", "dead", "dead_letters"):
        assert after[key] == before[key], key
    sink.tell("up")
    p.drained()
    assert p.stream("kas")["accepted"] == 120 and balanced(p.stream("kas"))
    assert p.status()["retired"] == []


def test_two_who_both_keep_something_are_not_mixed(tmp_path, sink, program):
    load = Load(free_port(), 10, connections=1, batches=(10,))
    p = program(spec(load, sink, "toll", "  toll: {to: far, paused: true}"))
    load.run(100)
    assert p.reload(spec(load, sink, "kas", "  kas: {to: far, paused: true}"))
    load.run(50)
    assert p.reload(spec(load, sink, "kas", "  kas: {to: far, paused: true, was: toll}"))
    assert "not-renamed was=\"toll\" kept=100" in p.log()
    assert p.stream("kas")["buffered"] == 50
    assert [(r["name"].split(" > ")[0], r["buffered"]) for r in p.status()["retired"]] == [("toll", 100)]
    # When the new one is empty and not in use, at the next start, it takes over after all.
    assert p.reload(spec(load, sink, "kas", "  kas: {to: far}"))
    p.drained(streams=["kas"])
    assert p.stop() == 0
    p.write(spec(load, sink, "kas", "  kas: {to: far, was: toll}"))
    p.start()
    p.drained()
    assert p.stream("kas")["accepted"] == 100 and p.status()["retired"] == []
    got = deliveries(sink, "/far")
    assert {i: sorted(seq for seq, _ in m) for i, m in got.items()} == {i: list(range(len(m))) for i, m in load.sent.items()}


def test_a_failed_reload_has_renamed_nothing(tmp_path, sink, program):
    load = Load(free_port(), 10, connections=1, batches=(10,))
    p = program(spec(load, sink, "toll", "  toll: {to: far, paused: true}"))
    load.run(100)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = spec(load, sink, "kas", "  kas: {to: far, was: toll, paused: true}").replace(
            "channels: {", f"channels: {{more: {{type: http, listen: '127.0.0.1:{taken.getsockname()[1]}'}}, ", 1)
        assert not p.reload(busy)
    assert p.stream("toll")["buffered"] == 100 and " renamed " not in p.log()
    assert p.stop() == 0
    p.write(spec(load, sink, "toll", "  toll: {to: far}"))
    p.start()
    p.drained()
    assert p.stream("toll")["accepted"] == 100
    audit(sink, "/far", load.sent)


def test_there_and_back_again(tmp_path, sink, program):
    load = Load(free_port(), 10, connections=1, batches=(10,))
    names = ["a", "b", "a", "c", "b"]
    p = program(spec(load, sink, "a", "  a: {to: far, paused: true}"))
    load.run(10)
    for was, name in zip(names, names[1:]):
        assert p.reload(spec(load, sink, name, f"  {name}: {{to: far, was: {was}, paused: true}}"))
        load.run(10)
    assert p.stream("b")["buffered"] == 50
    assert p.status()["retired"] == []
    assert p.reload(spec(load, sink, "b", "  b: {to: far, was: c}"))
    p.drained()
    audit(sink, "/far", load.sent)
