"""The job of the main tests: two channels, 2 000 devices, six streams that overlap in every way."""
from .load import Load
from .program import free_port

LUA = """local A = {}
function A.transform(msg, ctx)
  return { ident = msg.ident, seq = msg.seq, speed = msg["position.latitude"] * 2, big = msg.big, stream = ctx.stream }
end
return A
"""


class Fleet:
    """Half of the devices (35…) come in by channel `main`, half (86…) by `side`. Streams:
    list     200 devices by name           group    a group of 500, through a wildcard
    all      both channels                 overlap  channel main, a group and some devices at once
    lua      channel side, by a script     lanes    both channels, ordering: device, 4 lanes
    """

    def __init__(self, folder, sink, devices=2000, workers=2):
        self.folder, self.sink, self.workers = folder, sink, workers
        self.ports = free_port(), free_port()
        half = devices // 2
        self.main = Load(self.ports[0], half, connections=4, prefix="35")
        self.side = Load(self.ports[1], half, connections=4, prefix="86")
        lua = folder / "adapters"
        lua.mkdir(exist_ok=True)
        (lua / "short.lua").write_text(LUA)

    STREAMS = ("list", "group", "all", "overlap", "lua", "lanes")

    def listed(self):
        return self.main.idents[::5][:200]

    def grouped(self):
        return [i for i in self.side.idents if i.endswith(("0", "2", "4", "6", "8"))]

    def spec(self, streams=STREAMS, extra="", retry="{first: 50ms, max: 300ms, timeout: 10s}", **more):
        lines = ["sluice: 1", f"settings: {{data: data, workers: {self.workers}, adapters: [adapters]}}", "channels:",
                 f"  main: {{type: http, listen: '127.0.0.1:{self.ports[0]}', path: /messages}}",
                 f"  side: {{type: http, listen: '127.0.0.1:{self.ports[1]}', path: /messages}}",
                 "groups:", "  even: {}", "  few: {}", "devices:"]
        lines += [f"  '{i}': {{}}" for i in self.main.idents[:300] if i not in set(self.listed())]
        lines += [f"  '{i}': {{name: Truck {n}, id: {n + 1}}}" for n, i in enumerate(self.listed())]
        lines += [f"  '{i}': {{groups: [even]}}" for i in self.grouped()]
        lines += ["destinations:"]
        lines += [f"  {s}: {{type: http, url: '{self.sink.url}/{s}'}}" for s in self.STREAMS]
        lines += ["streams:"]
        own = {"lua": "transforms: [short]", "lanes": "ordering: device, in-flight: 4"}
        for s in streams:
            also = ", ".join(x for x in (own.get(s), more.get(s), f"retry: {retry}") if x)
            lines.append(f"  {s}: {{to: {s}, {also}}}")
        lines += ["subscriptions:"]
        subs = {
            "list": ["devices: [" + ", ".join(f"'{i}'" for i in self.listed()) + "]"],
            "group": ["groups: [even]"],
            "all": ["channels: [main, side]"],
            "overlap": ["channels: [main]", "groups: [even]", "devices: [" + ", ".join(f"'{i}'" for i in self.grouped()[:50]) + "]"],
            "lua": ["channels: [side]"],
            "lanes": ["channels: [main, side]"],
        }
        for s in streams:
            lines += [f"  - {{stream: {s}, {x}}}" for x in subs[s]]
        return "\n".join(lines) + "\n" + extra

    def expected(self):
        """What SPEC says each stream must have got: {stream: {ident: [messages]}}."""
        main, side = self.main.sent, self.side.sent
        both = {**main, **side}
        grouped = set(self.grouped())
        pick = lambda sent, idents: {i: sent[i] for i in idents}  # noqa: E731
        return {
            "list": pick(main, self.listed()),
            "group": pick(side, grouped),
            "all": both,
            "overlap": {**main, **pick(side, grouped)},
            "lua": side,
            "lanes": both,
        }

    def run(self, count, background=False, **options):
        self.main.run(count // 2, background=True, seed=1, **options)
        self.side.run(count - count // 2, background=True, seed=2, **options)
        if not background:
            self.join()

    def join(self):
        self.main.join()
        self.side.join()

    def acked(self):
        return self.main.acked + self.side.acked


def lua_rewritten(sent, got):
    """What LUA makes of a message: for audit(rewritten=…)."""
    import json
    a, b = json.loads(sent), json.loads(got)
    assert b == {"ident": a["ident"], "seq": a["seq"], "speed": a["position.latitude"] * 2, "big": a["big"], "stream": "lua"}, (a, b)
    assert b'"big":18446744073709551615' in got


def audit_fleet(fleet, sink, exact=True, streams=Fleet.STREAMS):
    """Audit all streams; the repeats of each."""
    from .audit import audit
    expected = fleet.expected()
    return {s: audit(sink, "/" + s, expected[s], exact=exact, rewritten=lua_rewritten if s == "lua" else None) for s in streams}
