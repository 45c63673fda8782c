"""The auditor: what a destination received, against what a source was told is taken."""
import os
import re
import struct

IDENT = re.compile(rb'"ident":"([^"]*)"')
SEQ = re.compile(rb'"seq":(\d+)')


def bodies(sink, path):
    name = path.strip("/").replace("/", "_") or "root"
    file = os.path.join(sink.spool, name)
    sink.tell("count")
    if not os.path.exists(file):
        return
    with open(file, "rb") as f:
        while head := f.read(8):
            npath, nbody = struct.unpack("<II", head)
            f.read(npath)
            yield f.read(nbody)


def split(body):
    """The messages of a JSON array of flat objects that do not hold `},{` in a text."""
    inner = body[1:-1]
    if not inner:
        return []
    parts = inner.split(b"},{")
    return [(b"" if i == 0 else b"{") + p + (b"" if i == len(parts) - 1 else b"}") for i, p in enumerate(parts)]


def deliveries(sink, path):
    """Per ident, in order of arrival: [(seq, bytes)]."""
    got = {}
    for body in bodies(sink, path):
        assert body[:1] == b"[" and body[-1:] == b"]", body[:80]
        for m in split(body):
            got.setdefault(IDENT.search(m).group(1).decode(), []).append((int(SEQ.search(m).group(1)), m))
    return got


def audit(sink, path, expected, exact=True, rewritten=None):
    """Hold a path of the sink against {ident: [message bytes, in order]}. Returns the number of repeats; with `exact` there must be none.

    Nothing missing, nothing that was not sent, order of first delivery per device, and (unless `rewritten` says what the bytes became)
    the message's own bytes as they were sent: the router only adds fields behind them."""
    got = deliveries(sink, path)
    repeats = 0
    for ident in got:
        assert ident in expected, f"{path}: {ident} does not belong to this stream"
    for ident, messages in expected.items():
        first = []
        seen = set()
        for seq, raw in got.get(ident, []):
            if seq in seen:
                repeats += 1
                continue
            seen.add(seq)
            first.append(seq)
        want = [int(SEQ.search(m).group(1)) for m in messages]
        missing = [s for s in want if s not in seen]
        assert not missing, f"{path}: {ident}: {len(missing)} of {len(want)} missing, the first is {missing[0]}"
        known = set(want)
        taken = [s for s in first if s in known]
        assert taken == want, f"{path}: {ident}: out of order"
        by_seq = dict(zip(want, messages))
        for seq, raw in got.get(ident, []):
            if seq not in by_seq:
                continue
            if rewritten:
                rewritten(by_seq[seq], raw)
            else:
                assert raw.startswith(by_seq[seq][:-1]), f"{path}: {ident}: {raw!r} is not {by_seq[seq]!r}"
    if exact:
        assert repeats == 0, f"{path}: {repeats} repeats"
        for ident, list_ in got.items():
            extra = len(list_) - len(expected[ident])
            assert extra == 0, f"{path}: {ident}: {extra} that the source was never told are taken"
    return repeats
