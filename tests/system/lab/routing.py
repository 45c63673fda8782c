"""Random specifications, and a reference that says which streams a message goes to.

The reference reads the YAML and decides anew for every ident, by the words of the language: no tables, nothing shared, nothing it could have
in common with the program. It remembers what it found for an ident, since it is slow."""
import fnmatch
import random
import re

import yaml

ADAPTER = """return {
  transport = "http",
  device = { serial = { type = "string" }, axles = { type = "integer" } },
  transform = function(msg, ctx) return msg end,
  body = { open = "[", separator = ",", close = "]", type = "application/json" },
}
"""

# The condition, and the same for a dict.
CONDITIONS = [
    ("position.valid", lambda m: m.get("position.valid") is True),
    ("position.speed >= 50", lambda m: m.get("position.speed", -1) >= 50),
    ("exists('fuel') && position.valid", lambda m: "fuel" in m and m.get("position.valid") is True),
    ("!exists('fuel') || position.speed < 10", lambda m: "fuel" not in m or m.get("position.speed", 99) < 10),
    ("ident == '123'", lambda m: m["ident"] == "123"),
]
WHERE = dict(CONDITIONS)


def ident(rng):
    return "".join(rng.choice("123") for _ in range(rng.choice((2, 3, 3, 4))))


def wildcard(rng):
    return rng.choice((ident(rng)[:2] + "*", ident(rng)[:1] + "*", ident(rng)[:3] + "*", "*" + ident(rng)[:1], ident(rng)[:1] + "*" + ident(rng)[:1],
                       "*"))


def specification(rng):
    """The text of a specification, whose lines are all different places."""
    out = ["sluice: 1", "settings: {adapters: [.]}", "channels:"]
    channels = [f"c{i}" for i in range(rng.randint(1, 3))]
    out += [f"  {c}: {{type: http, listen: '127.0.0.1:{8000 + i}'}}" for i, c in enumerate(channels)]
    groups = [f"g{i}" for i in range(rng.randint(0, 5))]
    devices = {ident(rng) for _ in range(rng.randint(1, 12))} | {wildcard(rng) for _ in range(rng.randint(0, 3))}
    devices = sorted(devices)
    rng.shuffle(devices)
    out.append("devices:")
    for i, d in enumerate(devices):
        of = rng.sample(groups, rng.randint(0, min(2, len(groups))))
        out.append(f"  '{d}': {{id: {i + 1}, name: n{i}, groups: [{', '.join(of)}]}}")

    def names(data=False):
        some = {}
        for _ in range(rng.randint(1, 4)):
            name = rng.choice(devices) if rng.random() < 0.6 else wildcard(rng) if rng.random() < 0.5 else ident(rng)
            if "*" in name or name in devices or any(matches(d, name) for d in devices):
                some[name] = None
        return sorted(some) or [devices[0]]

    def values(some):
        def value():
            return rng.choice(("{serial: A1}", "{serial: A1}", "{serial: B2, axles: 3}", "", "", ""))
        return "{" + ", ".join(f"'{n}': {value()}" for n in some) + "}"

    out.append("groups:" + (" {}" if not groups else ""))
    for i, g in enumerate(groups):
        members = ", ".join(f"'{n}'" for n in (names() if rng.random() < 0.6 else []))
        below = ", ".join(rng.sample(groups[i + 1:], rng.randint(0, min(2, len(groups) - i - 1))))
        out.append(f"  {g}: {{devices: [{members}], groups: [{below}]}}")
    out += ["destinations:", "  hole: {type: 'null'}", "  toll: {type: toller, url: 'http://127.0.0.1:9'}", "streams:"]
    streams = {}
    for i in range(rng.randint(1, 6)):
        to = streams[f"s{i}"] = rng.choice(("hole", "toll"))
        where = f", where: \"{rng.choice(CONDITIONS)[0]}\"" if rng.random() < 0.5 else ""
        off = ", enabled: false" if rng.random() < 0.15 else ""
        out.append(f"  s{i}: {{to: {to}{where}{off}}}")
    out.append("subscriptions:")
    for _ in range(rng.randint(1, 10)):
        s = rng.choice(sorted(streams))
        out.append(f"  - stream: {s}")
        kinds = [k for k in ("devices", "groups", "channels") if rng.random() < 0.45 and (k != "groups" or groups)] or ["channels"]
        for k in rng.sample(kinds, len(kinds)):
            some = names() if k == "devices" else sorted(rng.sample(groups, rng.randint(1, len(groups)))) if k == "groups" else None
            if k == "channels":
                out.append(f"    channels: [{', '.join(rng.sample(channels, rng.randint(1, len(channels))))}]")
            elif streams[s] == "toll" and rng.random() < 0.5:
                out.append(f"    {k}: {values(some)}")
            else:
                out.append(f"    {k}: [" + ", ".join(f"'{n}'" for n in some) + "]")
    return "\n".join(out) + "\n"


def message(rng, channels):
    m = {"ident": ident(rng)}
    if rng.random() < 0.8:
        m["position.valid"] = rng.random() < 0.5
    if rng.random() < 0.8:
        m["position.speed"] = rng.choice((0, 9.5, 10, 49, 50, 120))
    if rng.random() < 0.5:
        m["fuel"] = 7
    return rng.choice(channels), m


def matches(pattern, text):
    return fnmatch.fnmatchcase(text, pattern)


class Reference:
    def __init__(self, text):
        root = yaml.compose(text)
        self.top = {k.value: v for k, v in root.value}
        plain = yaml.safe_load(text)
        self.channels = sorted(plain["channels"])
        self.devices = {str(k): v for k, v in plain["devices"].items()}
        self.groups = plain["groups"] or {}
        self.streams = plain["streams"]
        self.subscriptions = [{k.value: v for k, v in s.value} for s in self.top["subscriptions"].value]
        self.named = {str(n) for g in self.groups.values() for n in g["devices"]}
        for s in self.subscriptions:
            if "devices" in s:
                self.named |= {n for n, _, _ in self.items(s["devices"])}
        self.found = {}
        self.contradicts = False
        for i in sorted(set(self.devices) | self.named):
            self.granted(i)

    @staticmethod
    def items(node):
        """(name, line, data or None) of a list or of a map to data."""
        if isinstance(node, yaml.SequenceNode):
            return [(n.value, n.start_mark.line + 1, None) for n in node.value]
        return [(k.value, k.start_mark.line + 1, {x.value: int(y.value) if x.value == "axles" else y.value for x, y in v.value}
                 if isinstance(v, yaml.MappingNode) else None) for k, v in node.value]

    def device(self, i):
        """The declaration an ident falls under: its own, else that of the longest wildcard, the first of several."""
        if i in self.devices:
            return i
        best = None
        for d in self.devices:
            if "*" in d and matches(d, i) and (best is None or len(d) > len(best)):
                best = d
        return best

    def member(self, i, d, group):
        g = self.groups[group]
        return (group in self.devices[d]["groups"] or any(str(n) == i or ("*" in str(n) and matches(str(n), i)) for n in g["devices"])
                or any(self.member(i, d, b) for b in g["groups"]))

    def granted(self, i):
        """{stream: (line, data)} that an ident has as a device."""
        d = self.device(i)
        ranks = {}
        for s in self.subscriptions if d else ():
            stream = s["stream"].value
            if self.streams[stream].get("enabled") is False:
                continue
            for n, line, data in self.items(s["devices"]) if "devices" in s else ():
                if n == i or ("*" in n and matches(n, i)):
                    ranks.setdefault(stream, []).append((1 if "*" in n else 0, line, data))
            for n, line, data in self.items(s["groups"]) if "groups" in s else ():
                if self.member(i, d, n):
                    ranks.setdefault(stream, []).append((2, line, data))
        out = {}
        for stream, grants in ranks.items():
            best = min(r for r, _, _ in grants)
            data = None
            for rank in (2, 1, 0):
                values = [v for r, _, v in grants if r == rank and v]
                if any(v != values[0] for v in values):
                    self.contradicts = True
                if values:
                    data = values[0]
            out[stream] = next(line for r, line, _ in grants if r == best), data
        return out

    def route(self, channel, m):
        """(name of the device or '-', {stream: (line, data)}), or None where the specification is ambiguous and the program says so."""
        key = channel, m["ident"]
        if key not in self.found:
            self.found[key] = self.candidates(*key)
        name, candidates = self.found[key]
        out = {}
        for stream, target in candidates.items():
            where = self.streams[stream].get("where")
            if where is None or WHERE[where](m):
                out[stream] = target
        return name, out

    def candidates(self, channel, i):
        d = self.device(i)
        out = {}
        for s in self.subscriptions:
            stream = s["stream"].value
            if "channels" in s and self.streams[stream].get("enabled") is not False:
                for n in s["channels"].value:
                    if n.value == channel:
                        out.setdefault(stream, (n.start_mark.line + 1, None))
        out.update(self.granted(i))
        return self.devices[d]["name"] if d else "-", out

    def told(self, i, warned):
        """Is the ident one of those that a wildcard in `warned` (pairs of the program's warnings W008) may not get?"""
        return i not in self.devices and i not in self.named and any(matches(p, i) and matches(d, i) for p, d in warned)


def warnings(text):
    return re.findall(r'W008\]: "([^"]*)" matches some idents of "([^"]*)"', text)


def random_of(seed):
    return random.Random(seed)
