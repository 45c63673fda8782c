"""Whatever an operator does with streams, destinations and what they left behind, in whatever order, with the program killed in between: every message
arrives, at the destination its buffer is for and at no other, once but for what a kill repeats; and the counts add up."""
import json
import random
import subprocess
import time

import pytest
from lab import Platform, balanced, free_port, sluice
from test_bad_night import OK
from test_buffers import buffers

DESTINATIONS = ("far", "near", "rows", "lines")
BATCH = 20


class Fleet:
    """Two streams, each fed by a channel of its own; and a model of where each message lies: in the buffer of a name."""

    def __init__(self, program, seed):
        self.rng = random.Random(seed)
        self.order = ", ordering: device, in-flight: 3" if seed % 3 == 0 else ""
        self.broken = {}          # path -> how it answers now
        self.picky = 0            # refuses numbers that this divides
        self.far = Platform(self.answer)
        self.ports = {"a": free_port(), "b": free_port()}
        self.names = {"a": "a", "b": "b"}
        self.to = {"a": "far", "b": "near"}
        self.paused, self.there, self.shaped = set(), {"a", "b"}, set()
        self.lies, self.given_up, self.at = {}, set(), 0
        self.checked, self.kills, self.renames, self.arrived, self.told = 0, 0, 0, {}, []
        self.p = program(self.spec())
        self.own = self.owners()

    def answer(self, request):
        path = request["path"][1:]
        how = self.broken.get(path)
        if how == "down":
            return 503, "down"
        if how == "cut":
            return b""
        if self.picky and any(s % self.picky == 0 for s in numbers(request)):
            return 400, "not that one"
        return OK

    def spec(self):
        streams, subscriptions = "", ""
        for key in sorted(self.there):
            shaped = ", fields: {rename: {moved: was}}" if key in self.shaped else ""
            streams += (f"  {self.names[key]}: {{to: {self.to[key]}, batch: {{messages: {BATCH}}}, retry: {{first: 20ms, max: 100ms, timeout: 5s}}{self.order}"
                        f"{', paused: true' if key in self.paused else ''}{', was: ' + self.was[key] if key in getattr(self, 'was', {}) else ''}{shaped}}}\n")
            subscriptions += f"  - {{stream: {self.names[key]}, channels: [{key}]}}\n"
        return (
            "sluice: 1\nsettings: {data: data, workers: 2}\nchannels:\n"
            + "".join(f"  {key}: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}\n" for key, port in self.ports.items())
            + "destinations:\n" + "".join(f"  {d}: {{type: http, url: '{self.far.url}/{d}'{', body: lines' if d == 'lines' else ''}}}\n" for d in DESTINATIONS)
            + ("streams:\n" + streams + "subscriptions:\n" + subscriptions if streams else ""))

    def owners(self):
        return {b["stream"]: n for n, b in buffers(self.p).items() if b.get("stream")}

    def reload(self):
        assert self.p.reload(self.spec()), self.p.log()[-3000:]
        self.own = self.owners()

    # ---- what may be done

    def post(self):
        if self.there:
            self.post_to(self.rng.choice(sorted(self.there)), self.rng.randrange(1, 120))

    def post_to(self, key, n):
        body = json.dumps([{"ident": f"i{i % 7}", "timestamp": 1, "seq": i} for i in range(self.at, self.at + n)]).encode()
        got = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", f"http://127.0.0.1:{self.ports[key]}/messages"],
                             input=body, capture_output=True, timeout=30)
        assert got.stdout == b"200"
        for i in range(self.at, self.at + n):
            self.lies[i] = self.own[self.names[key]]
        self.at += n

    def redirect(self):
        key = self.rng.choice("ab")
        self.to[key] = self.rng.choice(DESTINATIONS)
        self.reload()

    def reshape(self):
        self.shaped ^= {self.rng.choice("ab")}
        self.reload()

    def pause(self):
        self.paused ^= {self.rng.choice("ab")}
        self.reload()

    def come_and_go(self):
        self.there ^= {self.rng.choice("ab")}
        self.reload()

    def rename(self):
        key = self.rng.choice("ab")
        if key not in self.there:
            return
        self.renames += 1
        old, new = self.names[key], f"{key}{self.renames}"
        self.names[key], self.was = new, {key: old}
        self.lies = {i: new + b[len(old):] if b.startswith(old + " > ") else b for i, b in self.lies.items()}
        self.reload()
        self.was = {}
        self.reload()

    def break_(self):
        self.broken[self.rng.choice(DESTINATIONS)] = self.rng.choice(("down", "cut", None, None))
        self.picky = self.rng.choice((0, 0, 11))

    def wait(self):
        time.sleep(self.rng.random() * 0.2)

    def kill(self):
        self.kills += 1
        self.p.kill()
        self.p.start()

    def command(self, *words, meanwhile=False):
        """What a command says, or None where it may have been cut short by a kill."""
        work = subprocess.Popen([sluice, *words], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if meanwhile:
            time.sleep(self.rng.random() * 0.03)
            self.kill()
        out, said = work.communicate(timeout=60)
        self.told.append((words, work.returncode, out, said))
        return out if work.returncode == 0 else None

    def left_behind(self):
        kept = [n for n, b in buffers(self.p).items() if "stream" not in b]
        return self.rng.choice(kept) if kept else None

    def move(self):
        name, keys = self.left_behind(), sorted(self.there)
        if not name or not keys:
            return
        key = self.rng.choice(keys)
        self.into(name, key, self.rng.choice(("adopt", "render", "render")), self.rng.random() < 0.3)

    def into(self, name, key, verb, meanwhile=False):
        """Until it is known what became of it, its messages may go to either."""
        own = self.own[self.names[key]]
        moving = [i for i, b in self.lies.items() if b == name]
        self.may = {i: {where(name), where(own)} for i in moving}
        before = self.command("buffers", verb, "--to", self.names[key], "--json", self.p.file, name, meanwhile=meanwhile)
        if before is None:
            if not meanwhile:
                assert verb == "adopt" and form(name) != form(own), self.told[-1]
            self.sort_out(moving, name, own)
        else:
            assert json.loads(before)["left"] == 0 and (verb == "render" or form(name) == form(own)), self.told[-1]
            self.carry(moving, own, name)
        self.may = {}

    def letters(self, name):
        got = self.command("dead", "list", "--all", "--json", self.p.file, name)
        return {json.loads(json.loads(x)["source"])["seq"] for x in got.splitlines()} if got else set()

    def waiting(self, name):
        got = subprocess.run([sluice, "buffers", "export", self.p.file, name], text=True, capture_output=True, timeout=60)
        assert got.returncode == 0, got
        return {json.loads(x)["seq"] for x in got.stdout.splitlines()}

    def carry(self, moving, own, name, but=()):
        """All that waited are there now; letters stay where they were, and so does what arrived before."""
        dead = self.letters(name) | set(but)
        for i in moving:
            if i not in dead:
                self.lies[i] = own

    def sort_out(self, moving, name, own):
        self.carry(moving, own, name, but=self.waiting(name))

    def set_aside(self):
        if name := self.left_behind():
            self.command("buffers", "dead", "--json", self.p.file, name, meanwhile=self.rng.random() < 0.2)

    def retry(self):
        names = sorted(buffers(self.p))
        if not names:
            return
        name = self.rng.choice(names)
        key = next((k for k in sorted(self.there) if self.own[self.names[k]] == name), None)
        if key is None and self.there:
            self.retry_into(name, self.rng.choice(sorted(self.there)), self.rng.random() < 0.2)
        elif key:
            self.command("dead", "retry", "--all", "--json", self.p.file, self.names[key], meanwhile=self.rng.random() < 0.2)

    def retry_into(self, name, key, meanwhile=False):
        own, were = self.own[self.names[key]], self.letters(name)
        self.may = {i: {where(name), where(own)} for i in were}
        self.command("dead", "retry", "--all", "--to", self.names[key], "--json", self.p.file, name, meanwhile=meanwhile)
        for i in were - self.letters(name):
            self.lies[i] = own
        self.may = {}

    def drop(self):
        name = self.left_behind()
        if name and self.rng.random() < 0.3:
            gone = self.waiting(name)
            assert self.command("buffers", "drop", "--yes", "--json", self.p.file, name) is not None, self.told[-1]
            self.given_up |= gone

    # ---- what must hold

    def check(self):
        while self.checked < len(self.far.requests):
            r = self.far.requests[self.checked]
            self.checked += 1
            for i in numbers(r):
                may = getattr(self, "may", {}).get(i) or {where(self.lies[i])}
                assert r["path"][1:] in may, f"{i} of {self.lies[i]} went to {r['path']}: {self.told[-4:]}"
                if r.get("status") == 200:
                    self.arrived[i] = self.arrived.get(i, 0) + 1
        for s in self.p.streams().values():
            assert balanced(s), s

    def finish(self):
        self.broken, self.picky = {}, 0
        self.paused, self.there = set(), {"a", "b"}
        self.reload()
        for name in list(buffers(self.p)):
            key = next((k for k in "ab" if self.own[self.names[k]] == name), None)
            if key is None:
                self.into(name, "a", "render")
                self.retry_into(name, "a")
        for key in "ab":
            self.post_to(key, 1)   # what was refused last is in doubt until another is accepted
        self.p.drained(60)
        for key in "ab":
            self.command("dead", "retry", "--all", self.p.file, self.names[key])
        self.p.drained(60)
        self.check()
        assert [n for n, b in buffers(self.p).items() if b["messages"]] == []
        missing = [i for i in range(self.at) if i not in self.arrived and i not in self.given_up]
        assert not missing, f"{len(missing)} missing: {missing[:5]} of {self.lies[missing[0]]}"
        repeats = sum(n - 1 for n in self.arrived.values())
        assert repeats <= self.kills * 2 * (15 if self.order else 5) * BATCH, f"{repeats} repeats after {self.kills} kills"
        return repeats


def numbers(request):
    body = request["body"].decode()
    return [m["seq"] for m in (json.loads(body) if body.startswith("[") else map(json.loads, body.splitlines()))]


def where(buffer):
    return buffer.split(" > ")[1]


def form(buffer):
    return buffer.split(" > ", 2)[2]


STEPS = ["post"] * 8 + ["wait"] * 4 + ["redirect"] * 3 + ["move"] * 4 + ["retry"] * 2 + ["break_"] * 3 + ["pause", "reshape", "come_and_go", "rename", "set_aside", "kill", "drop"]


@pytest.mark.parametrize("seed,steps", [(1, 60)] + [pytest.param(seed, 300, marks=pytest.mark.long) for seed in range(2, 12)])
def test_every_message_arrives_where_it_belongs(program, seed, steps):
    f = Fleet(program, seed)
    for _ in range(steps):
        step = f.rng.choice(STEPS)
        f.told.append(step)
        getattr(f, step)()
        f.check()
    repeats = f.finish()
    print(f"seed {seed}: {f.at} messages, {f.kills} kills: {repeats} repeats, {len(f.given_up)} given up")
