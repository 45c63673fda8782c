"""An outage: the destination is away, a backlog waits; when it is back, everything flows within a second or so, with default settings."""
import time

from lab import Load, audit, free_port

SPEC = """
sluice: 1
settings: {{data: data}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""


def test_what_waited_flows_soon_after_the_destination_is_back(tmp_path, sink, program):
    load = Load(free_port(), 100, connections=4, batches=(100,))
    sink.tell("down")
    p = program(SPEC.format(port=load.port, url=sink.url))
    load.run(20000)
    time.sleep(4)
    assert p.stream("s")["state"] == "retrying"
    sink.tell("up")
    began = time.monotonic()
    p.drained()
    took = time.monotonic() - began
    print(f"20000 messages, away for 4 s and more; all delivered {took:.2f} s after it came back")
    assert p.stream("s")["accepted"] == 20000
    # One knock a second: what is more than that and the delivery itself would be back-off. Patience is for slow machines.
    assert took < 3
    audit(sink, "/far", load.sent)
