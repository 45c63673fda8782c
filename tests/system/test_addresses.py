"""A url with parameters: each message goes where its own values say, and one dead address holds nobody else."""
import json
import time

import pytest

from lab import Load, audit, balanced, deliveries, free_port

SPEC = """
sluice: 1
settings: {{data: data, adapters: [adapters]}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations:
  plain: {{type: http, url: '{url}/plain/{{ident}}'}}
  made:  {{type: http, url: '{url}/made/{{ident}}/{{one}}'}}
streams:
  plain: {{to: plain}}
  made:  {{to: made, transforms: [few]}}
subscriptions:
  - {{stream: plain, channels: [in]}}
  - {{stream: made, channels: [in]}}
"""


def test_each_message_goes_to_its_own_address_also_when_a_script_reshaped_it(tmp_path, sink, program):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "few.lua").write_text(
        "local A = {}\nfunction A.transform(msg, ctx) return { ident = msg.ident, seq = msg.seq } end\nreturn A\n")
    load = Load(free_port(), 20, connections=2)
    p = program(SPEC.format(port=load.port, url=sink.url))
    load.run(600)
    p.drained()
    for ident, sent in load.sent.items():
        assert [s for s, _ in deliveries(sink, f"/plain/{ident}")[ident]] == list(range(len(sent)))
        made = deliveries(sink, f"/made/{ident}/1.0")[ident]
        assert [json.loads(m) for _, m in made] == [{"ident": ident, "seq": s} for s in range(len(sent))]


def test_what_the_address_needs_and_the_message_has_not_makes_a_dead_letter_that_names_it(tmp_path, sink, program):
    load = Load(free_port(), 4, connections=1)
    spec = SPEC.format(port=load.port, url=sink.url).replace("/plain/{ident}", "/plain/{device.id}").replace(", transforms: [few]", "").replace(", adapters: [adapters]", "")
    p = program(spec)
    load.run(40)
    end = time.monotonic() + 20
    while time.monotonic() < end and p.stream("plain")["dead"] < 40:
        time.sleep(0.02)
    counts = p.stream("plain")
    assert counts["dead"] == 40 and balanced(counts)
    told = [line for line in p.log().splitlines() if "stream/plain unaddressed" in line]
    assert len(told) == 1 and "{device.id}" in told[0]
    p.drained(streams=("made",))
    assert p.stream("made")["accepted"] == 40


@pytest.mark.parametrize("count", [20000, pytest.param(600000, marks=pytest.mark.long)])
def test_a_backlog_for_an_address_that_does_not_answer_lies_on_disk(tmp_path, sink, program, count):
    load = Load(free_port(), 4, connections=4, batches=(100,))
    dead, others = load.idents[0], load.idents[1:]
    sink.tell("refuse", f"/plain/{dead}", 503)
    spec = SPEC.format(port=load.port, url=sink.url).replace(", adapters: [adapters]", "")
    spec = "\n".join(line for line in spec.split("\n") if "made" not in line).replace("{to: plain}", "{to: plain, retry: {first: 100ms, max: 500ms}}")
    p = program(spec)
    load.run(count)
    end = time.monotonic() + 20 + count / 2000
    while time.monotonic() < end and p.stream("plain")["buffered"] > count // 4:
        time.sleep(0.05)
    assert p.stream("plain")["buffered"] == count // 4, p.log()[-2000:]
    resident, most = p.memory()
    print(f"{count // 4} messages wait for an address that does not answer: {resident >> 20} MiB resident, {most >> 20} MiB at most")
    assert most < 64 << 20 or count < 100000
    sink.tell("ok")
    p.drained(wait=60 + count / 1000)
    for ident in load.idents:
        audit(sink, f"/plain/{ident}", {ident: load.sent[ident]})
    assert balanced(p.stream("plain"))
