"""e-TOLL's events where commits fail: what an adapter kept with a message that was not taken has never been, so that the rows, once the source
has posted again, are those of a run in which nothing failed; the model of them is test_etoll's."""
import json
import os
import random
import socket
import threading
import time

import pytest
from lab import balanced, free_port
from test_etoll import Source, audit, kas, settled  # noqa: F401
from test_full_disk import small  # noqa: F401

SPEC = """
sluice: 1
settings: {{data: small/data, workers: 2, limits: {{disk: 10GiB}}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{kas: {{type: e-toll, url: '{url}'}}}}
streams: {{toll: {{to: kas, retry: {{first: 20ms, max: 100ms}}, batch: {{messages: 200}}}}}}
subscriptions: [{{stream: toll, channels: [in]}}]
"""


class Own(Source):
    """Messages of devices that nobody else sends, whose flags change at every third message: most requests have an edge in them."""

    def __init__(self, name, devices, seed):
        super().__init__(devices, seed)
        self.idents = [f"{name}{i}" for i in self.idents[:-1]] + ["no serial number"]
        self.clock = {i: 1700000000 for i in self.idents}
        self.flags = {i: {} for i in self.idents}

    def message(self):
        ident = self.rng.choice(self.idents[:-1])
        if self.rng.random() < 0.3:
            flag = self.rng.choice(("engine.ignition.status", "external.powersource.status", "position.valid", "gsm.jamming.event", "gnss.spoofing.status"))
            self.flags[ident][flag] = not self.flags[ident].get(flag, False)
        return super().message()


class Connection:
    """Sends some requests one behind the other without waiting, so that one goes on from what another staged and did not commit yet. What is not
    answered 200 is posted again, as it was, before anything new."""

    def __init__(self, port, source):
        self.port, self.source, self.rng = port, source, random.Random(source.rng.random())
        self.sent, self.unsure, self.refused, self.together = [], set(), 0, 0
        self.failed, self.stop = None, threading.Event()
        self.thread = threading.Thread(target=self.guard, daemon=True)
        self.thread.start()

    def guard(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.work(s, s.makefile("rb"))
        except Exception as e:  # told by join()
            self.failed = e

    def work(self, s, answers):
        waiting = []
        while waiting or not self.stop.is_set():
            while len(waiting) < 4 and not self.stop.is_set():
                waiting.append([self.source.message() for _ in range(self.rng.choice((1, 3, 10)))])
            bodies = [("[" + ",".join(text for _, text in batch) + "]").encode() for batch in waiting]
            s.sendall(b"".join(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(b) + b for b in bodies))
            again = []
            for batch in waiting:
                status = self.answer(answers)
                assert status in (200, 503), status
                if status == 200:
                    self.sent += batch
                else:
                    again.append(batch)
            self.refused += len(again)
            self.together += len(again) > 1
            if again:
                time.sleep(0.02)
            waiting = again

    @staticmethod
    def answer(answers):
        status, length = int(answers.readline().split()[1]), 0
        while (line := answers.readline().strip()):
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
        answers.read(length)
        return status

    def join(self):
        self.stop.set()
        self.thread.join(120)
        assert self.failed is None, self.failed
        assert not self.thread.is_alive()


def fill(folder):
    """To the last byte."""
    try:
        with open(folder / "foreign", "wb") as f:
            while True:
                f.write(bytes(1 << 16))
                f.flush()
    except OSError:
        pass   # no space left, which is what was wanted


def until(condition, what, wait=60):
    end = time.monotonic() + wait
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


class All:
    """The connections as one load, for the audit."""

    def __init__(self, connections):
        self.sent = [m for c in connections for m in c.sent]
        self.unsure = set()


def test_rows_are_those_of_a_run_in_which_no_commit_failed(kas, program, tmp_path, small):  # noqa: F811
    there, port = kas(), free_port()
    p = program(SPEC.format(port=port, url=there.url))
    p.data = str(small / "data")
    connections = [Connection(port, Own(f"c{c}-", 6, c)) for c in range(3)]

    def count(what):
        assert not any(c.failed for c in connections), [c.failed for c in connections]
        return sum(what(c) for c in connections)

    for _ in range(3):
        taken = count(lambda c: len(c.sent))
        until(lambda: count(lambda c: len(c.sent)) > taken + 200, "intake did not go on")
        refused = count(lambda c: c.refused)
        fill(small)
        until(lambda: count(lambda c: c.refused) > refused + 20, "nothing was refused")
        os.unlink(small / "foreign")
    taken = count(lambda c: len(c.sent))
    until(lambda: count(lambda c: len(c.sent)) > taken + 200, "intake did not go on")
    for c in connections:
        c.join()
    counts, store = settled(p, 120), p.status()["store"]
    wanted, refused = audit(there, All(connections), lambda ident: ident)
    print(f"{wanted} rows, {refused} refused; {count(lambda c: c.refused)} requests not taken, {count(lambda c: c.together)} times several; {json.dumps(store)}")
    assert store["refused_failed"] > 0 and count(lambda c: c.together) > 0
    assert counts["accepted"] + counts["dead"] == wanted and balanced(counts)
