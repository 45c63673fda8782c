"""A url with parameters: each message goes where its own values say, and one dead address holds nobody else."""
import json
import time

from lab import Load, balanced, deliveries, free_port

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
    p.drained(streams=("made",))
    assert p.stream("made")["accepted"] == 40
