"""Files as channels and destinations: followed over rotation and crashes, written whole lines at a time, pipes."""
import os
import re
import subprocess
import threading
import time

import pytest

from lab.program import sanitized
from lab import Load, audit, deliveries, free_port, message, sluice
from test_tcp_channel import by_ident, stream_of

IN = """
sluice: 1
settings: {{data: data}}
channels: {{in: {{type: file, path: '{path}'}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{s: {{to: far, retry: {{first: 20ms, max: 100ms}}{stream}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""
OUT = """
sluice: 1
settings: {{data: data}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: file, path: {path}{more}}}}}
streams: {{s: {{to: far, retry: {{first: 20ms, max: 100ms}}}}}}
subscriptions: [{{stream: s, channels: [in]}}]
"""
SEQ = re.compile(rb'"ident":"([^"]*)".*?"seq":(\d+)')


def taken(p, n, wait=60):
    end = time.monotonic() + wait
    while p.status()["channels"][0]["taken"] < n:
        assert time.monotonic() < end, p.status()["channels"][0]
        time.sleep(0.02)


def test_a_followed_file_over_rotation_both_ways(tmp_path, sink, program):
    lines, idents = stream_of(6000)
    path = tmp_path / "feed"

    def write(part, mode="ab"):
        with open(path, mode) as f:
            f.write(b"".join(m + b"\n" for m in part))

    p = program(IN.format(path=path, url=sink.url, stream=""))
    write(lines[:1000])
    taken(p, 1000)
    old = open(path, "ab")
    os.rename(path, tmp_path / "feed.1")          # logrotate with create; the writer notices a little later
    write(lines[1200:2000], "wb")
    old.write(b"".join(m + b"\n" for m in lines[1000:1200]))
    old.close()
    taken(p, 2000)
    write(lines[2000:2500])
    taken(p, 2500)
    os.truncate(path, 0)                          # copytruncate
    write(lines[2500:3000])
    taken(p, 3000)
    os.truncate(path, 0)
    write(lines[3000:5000])                       # more than stood there before
    taken(p, 5000)
    assert p.stop() == 0
    os.rename(path, tmp_path / "feed.2")          # rotated while we are away
    with open(tmp_path / "feed.2", "ab") as f:
        f.write(b"".join(m + b"\n" for m in lines[5000:5500]))
    write(lines[5500:5999], "wb")
    with open(path, "ab") as f:
        f.write(lines[5999][:20])                 # a line that is being written
    p.start()
    taken(p, 999)
    with open(path, "ab") as f:
        f.write(lines[5999][20:] + b"\n")
    taken(p, 1000)
    p.drained()
    audit(sink, "/far", by_ident(lines, idents))


@pytest.mark.long
def test_no_file_is_passed_over_however_often_it_was_rotated(tmp_path, sink, program):
    """While the router is away, and quicker than it looks; by numbers that move up and by dates. What nobody can read any more is told."""
    lines, idents = stream_of(5000)
    path, part = tmp_path / "feed", 0

    def write(n=500):
        nonlocal part
        with open(path, "ab") as f:
            f.write(b"".join(m + b"\n" for m in lines[part:part + n]))
        part += n

    def rotate(name=None):
        if name:
            os.rename(path, tmp_path / name)
            return
        for i in range(9, 0, -1):
            if (tmp_path / f"feed.{i}").exists():
                os.rename(tmp_path / f"feed.{i}", tmp_path / f"feed.{i + 1}")
        os.rename(path, tmp_path / "feed.1")

    (tmp_path / "feed.0").write_bytes(b'{"ident":"old","seq":0}\n')   # from before the router knew the file
    (tmp_path / "feed-notes").write_bytes(b'{"ident":"other","seq":0}\n')
    p = program(IN.format(path=path, url=sink.url, stream=""))
    write()
    taken(p, 500)
    for _ in range(3):
        write()
        rotate()
    write()
    taken(p, 2500)
    assert p.stop() == 0
    for name in ("feed-20261121", "feed-20261122", "feed-20261123"):
        write()
        rotate(name)
    write()
    (tmp_path / "feed.bak").write_bytes(b'{"ident":"other","seq":1}\n')
    p.start()
    taken(p, 2000)
    assert p.stop() == 0
    rotate("feed-20261124")
    write()
    then = time.time() + 2
    os.utime(path, (then, then))
    subprocess.run(["gzip", path], check=True)
    os.rename(f"{path}.gz", tmp_path / "feed-20261125.gz")
    lost, part = part, part   # nobody reads these
    p.start()
    path.write_bytes(b'{"ident":"last","seq":0}\n')
    taken(p, 1)
    assert 'channel/in passed-over path="feed-20261125.gz"' in p.log()
    p.drained()
    expected = by_ident(lines[:lost - 500], idents)
    got = deliveries(sink, "/far")
    assert set(got) == set(idents) | {"last"}
    for ident in idents:
        assert [m for _, m in got[ident]] and [s for s, _ in got[ident]] == [int(SEQ.search(m).group(2)) for m in expected[ident]]


def test_a_followed_file_with_kills_passes_over_nothing(tmp_path, sink, program):
    lines, idents = stream_of(20000)
    path = tmp_path / "feed"
    path.touch()

    def write():
        with open(path, "ab", buffering=0) as f:
            for i in range(0, len(lines), 200):
                f.write(b"".join(m + b"\n" for m in lines[i:i + 200]))
                time.sleep(0.01)

    p = program(IN.format(path=path, url=sink.url, stream=""))
    t = threading.Thread(target=write)
    t.start()
    for _ in range(6):
        time.sleep(0.15)
        p.kill()
        p.start()
    t.join()
    end = time.monotonic() + 30
    while not at_end(p, path):
        assert time.monotonic() < end
        time.sleep(0.1)
    p.drained()
    repeats = audit(sink, "/far", by_ident(lines, idents), exact=False)
    assert repeats <= 6 * (1000 + 500)


def at_end(p, path):
    """The place that is kept stands at the end of the file."""
    name = next((n for n in os.listdir(p.data) if n.startswith("place-")), None)
    if not name:
        return False
    with open(os.path.join(p.data, name), "rb") as f:
        slots = [slot.split(b"\n")[0].split() for slot in (f.read(8192), f.read(8192)) if b"\n" in slot]
    newest = max(slots, key=lambda words: int(words[1]), default=None)
    return bool(newest) and int(newest[4]) == os.path.getsize(path)


@pytest.mark.long
def test_a_full_stream_makes_the_file_wait(tmp_path, sink, program):
    lines, idents = stream_of(20000)
    path = tmp_path / "feed"
    path.write_bytes(b"".join(m + b"\n" for m in lines))
    sink.tell("down")
    p = program(IN.format(path=path, url=sink.url, stream=", buffer: {max: 1MiB}"))
    while p.status()["channels"][0]["unavailable"] == 0:
        time.sleep(0.02)
    assert p.memory()[1] < 80 << 20 or sanitized()
    sink.tell("up")
    taken(p, 20000)
    p.drained()
    audit(sink, "/far", by_ident(lines, idents))


def test_standard_input_to_its_end_and_standard_output(tmp_path, sink):
    """As a filter: messages in on a pipe, messages out on a pipe; what cannot be read is set aside, and the router runs on."""
    spec = tmp_path / "sluice.yaml"
    spec.write_text("""
sluice: 1
settings: {data: data}
channels: {in: {type: file, path: "-"}}
destinations: {out: {type: file, path: "-"}}
streams: {s: {to: out, fields: {keep: [ident, seq]}}}
subscriptions: [{stream: s, channels: [in]}]
""")
    lines, _ = stream_of(5000)
    p = subprocess.Popen([sluice, "run", str(spec)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        threading.Thread(target=lambda: (p.stdin.write(b"".join(m + b"\n" for m in lines) + b"nonsense\n" + lines[0]), p.stdin.close()), daemon=True).start()
        got = [p.stdout.readline() for _ in range(5001)]
        assert got[:5000] == [b'{"ident":"35%04d","seq":%d}\n' % (i % 10, i // 10) for i in range(5000)]
        assert got[5000] == got[0]
        time.sleep(0.2)
        assert p.poll() is None
        p.terminate()
        assert p.wait(20) == 0
        log = p.stderr.read()
        assert b"channel/in ended" in log and b"channel/in refused" in log
    finally:
        p.kill()


def read_lines(tmp_path, name="out"):
    files = sorted(f for f in os.listdir(tmp_path) if f.startswith(name + ".")) + [name]
    return [line for f in files if os.path.exists(tmp_path / f) for line in (tmp_path / f).read_bytes().split(b"\n")[:-1]]


def hold(lines, load, exact):
    seen, repeats = {}, 0
    for line in lines:
        ident, seq = SEQ.search(line).groups()
        assert line.startswith(b"{") and line.endswith(b"}")
        got = seen.setdefault(ident.decode(), [])
        if int(seq) in got[-5000:]:
            repeats += 1
            continue
        got.append(int(seq))
    for ident, sent in load.sent.items():
        want = [int(SEQ.search(m).group(2)) for m in sent]
        assert [s for s in seen[ident] if s <= want[-1]] == want, ident
    assert not exact or repeats == 0
    return repeats


def test_a_written_file_over_rotation_and_reload(tmp_path, program):
    load = Load(free_port(), 10, connections=2, batches=(100,))
    p = program(OUT.format(port=load.port, path=tmp_path / "out", more=", rotate: {size: 256KiB}"))
    load.run(5000)
    p.drained()
    os.rename(tmp_path / "out", tmp_path / "out.20000101T000000Z")
    assert p.reload(OUT.format(port=load.port, path=tmp_path / "out", more=", rotate: {size: 512KiB}"))
    load.run(5000, seed=2)
    p.drained()
    (tmp_path / "out.20000101T000000Z").rename(tmp_path / "out.29990101T000000Z")  # it sorts behind the others
    files = [f for f in os.listdir(tmp_path) if f.startswith("out.")]
    assert len(files) > 4
    assert all(os.path.getsize(tmp_path / f) <= 512 << 10 for f in files)
    lines = read_lines(tmp_path)
    assert len(lines) == 10000
    assert len(set(lines)) == 10000


def test_a_written_file_with_kills_has_no_torn_line(tmp_path, program):
    load = Load(free_port(), 10, connections=4, batches=(100,))
    p = program(OUT.format(port=load.port, path=tmp_path / "out", more=""))
    load.run(20000, background=True, rate=10000)
    for i in range(6):
        time.sleep(0.2)
        p.kill()
        if i % 2:
            with open(tmp_path / "out", "ab") as f:
                f.write(b'{"ident":"350000000000","seq":1,"torn')
        p.start()
    load.join()
    p.drained()
    repeats = hold(read_lines(tmp_path), load, exact=False)
    assert repeats <= 6 * 600 + load.unsure
    assert "torn-line" in p.log()


def test_a_folder_that_is_not_there_holds_the_stream(tmp_path, program):
    load = Load(free_port(), 1, connections=1, batches=(10,))
    p = program(OUT.format(port=load.port, path=tmp_path / "later" / "out", more=""))
    load.run(10)
    while p.stream("s")["state"] != "blocked":
        time.sleep(0.02)
    assert "No such file or directory" in p.stream("s")["reason"]
    (tmp_path / "later").mkdir()
    assert p.reload(OUT.format(port=load.port, path=tmp_path / "later" / "out", more=", rotate: {every: 1d}"))
    p.drained()
    assert len((tmp_path / "later" / "out").read_bytes().splitlines()) == 10
