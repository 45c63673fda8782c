"""The disk fills up: intake stops with a reason, delivery goes on, nothing is lost, and it goes on by itself when there is room again."""
import os
import random
import subprocess
import time

import pytest

from lab import Load, Platform, audit, balanced, free_port, sluice
from lab import load as load_module
from test_bad_night import post, until

SPEC = """
sluice: 1
settings: {{data: small/data, limits: {{disk: 10GiB}}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far, retry: {{first: 100ms, max: 500ms}}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""

noise = random.Random(7)
plain = load_module.message


def noisy(ident, seq):
    """A message that does not pack."""
    extra = b',"noise":"%s"' % noise.randbytes(1500).hex().encode()
    return plain(ident, seq, extra)


@pytest.fixture(params=[64, pytest.param(200, marks=pytest.mark.long)])
def small(request, tmp_path):
    """A disk of its own, of so many MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", folder], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def listing(folder):
    return subprocess.run(["ls", "-lAR", folder], capture_output=True, text=True, check=True).stdout


def fill(load, p, seconds):
    """Sends until intake has stopped; True if it did."""
    load.run(10 ** 9, background=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if load.resends > 20:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("killed", [0, 1, 3], ids=["runs on", "killed when full", "killed again and again"])
def test_a_full_disk_loses_nothing_and_heals_by_itself(tmp_path, small, sink, program, monkeypatch, killed):
    monkeypatch.setattr(load_module, "message", noisy)
    load = Load(free_port(), 40, connections=4, batches=(1, 10), patience=120)
    sink.tell("down")
    p = program(SPEC.format(port=load.port, url=sink.url))
    p.data = str(small / "data")
    assert fill(load, p, 60), "intake never stopped"
    assert load.acked > 100
    for i in range(killed):
        p.kill()
        p.start()
        time.sleep(0.1 if i else 1)
    store = p.status()["store"]
    print(f"stopped after {load.acked} messages: {store}")
    assert "intake-stopped" in p.log()
    sink.tell("up")
    for _ in range(killed - 1):
        time.sleep(0.15)
        p.kill()
        p.start()
    # Delivery goes on although the disk is full; what it frees lets the sources in again.
    taken = load.acked
    end = time.monotonic() + 60
    while time.monotonic() < end and load.acked < taken + 200:
        time.sleep(0.05)
    assert load.acked >= taken + 200, f"intake did not begin again\n{listing(small)}\n{p.status()['store']}\n{p.log()[-3000:]}"
    load.stop.set()
    load.join()
    p.drained(wait=120)
    repeats = audit(sink, "/far", load.sent, exact=False)
    print(f"{load.acked} messages, {repeats} repeats, {load.unsure} unsure")
    assert repeats <= 500 * (2 * killed - 1 if killed else 0) + load.unsure
    assert balanced(p.stream("s"))
    assert p.stop() == 0
    assert os.path.exists(small / "data" / "db")


def test_a_disk_that_another_program_fills_to_the_last_byte_costs_nothing_but_time(tmp_path, small, sink, program):
    load = Load(free_port(), 40, connections=4, patience=120)
    p = program(SPEC.format(port=load.port, url=sink.url))
    p.data = str(small / "data")
    load.run(10 ** 9, background=True)
    for _ in range(3):
        time.sleep(0.5)
        before = load.acked
        try:
            with open(small / "foreign", "wb") as f:
                while True:
                    f.write(bytes(1 << 16))
                    f.flush()
        except OSError:
            pass   # no space left, which is what was wanted
        end = time.monotonic() + 60
        while time.monotonic() < end and p.status()["store"]["intake"] == "open":
            time.sleep(0.05)
        time.sleep(1)
        os.unlink(small / "foreign")
        end = time.monotonic() + 60
        while time.monotonic() < end and load.acked < before + 2000:
            time.sleep(0.05)
        assert load.acked >= before + 2000, f"intake did not begin again\n{p.log()[-3000:]}"
    load.stop.set()
    load.join()
    p.drained(wait=120)
    repeats = audit(sink, "/far", load.sent, exact=False)
    end = time.monotonic() + 10
    while time.monotonic() < end and p.status()["store"]["intake"] != "open":
        time.sleep(0.05)
    store = p.status()["store"]
    assert store["intake"] == "open", "nobody sends, and still there is room again"
    print(f"{load.acked} messages, {repeats} repeats, {load.unsure} unsure, {load.resends} sent again; {store}")
    assert repeats <= load.unsure + 1500   # what was delivered and could not be recorded before the database was opened anew
    assert balanced(p.stream("s")) and store["records_lost"] == 0


def test_a_replay_over_a_full_disk_sends_what_it_says_and_tells_what_it_cannot(small, program):
    far, port = Platform(), free_port()
    p = program(SPEC.format(port=port, url=far.url).replace("limits:", "history: 1h, limits:"))
    p.data = str(small / "data")
    for i in range(0, 300, 20):
        assert post(port, i, i + 20)[0] == 200
    until(lambda: p.stream("s")["accepted"] == 300)
    r = subprocess.Popen([sluice, "replay", "--from", "1h", "--rate", "100/s", "--data", p.data, "s"], text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    until(lambda: p.stream("s")["matched"] == 400)
    try:
        with open(small / "foreign", "wb") as f:
            while True:
                f.write(bytes(1 << 16))
                f.flush()
    except OSError:
        pass   # no space left, which is what was wanted
    # History is the first to go: it makes room, so there is nothing left to replay; or the store cannot even be written.
    out, told = r.communicate(timeout=60)
    assert r.returncode in (65, 75) and out == "100 on their way again\n" and "the rest: --from" in told, (r.returncode, out, told)
    os.unlink(small / "foreign")
    until(lambda: p.status()["store"]["intake"] == "open" and p.stream("s")["buffered"] == 0, wait=30)
    s = p.stream("s")
    assert s["accepted"] == 400 and balanced(s)
    got = [m["seq"] for m in far.accepted()]
    assert sorted(set(got)) == list(range(300)) and all(got.count(i) >= 2 for i in range(100))
    h = p.status()["history"]
    assert h["dropped"] == 300 and h["messages"] == 0 and "history-cut messages=" in p.log()
    assert post(port, 300, 301)[0] == 200 and p.status()["history"]["messages"] == 1
