"""A platform told in one Lua file, against the real program: its body, what its answers mean, and what happens when the file is wrong or gone."""
import json
import time
import urllib.error
import urllib.request

import pytest

from lab import Platform, balanced, free_port

SPEC = """
sluice: 1
settings: {{data: data, adapters: [adapters]}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: acme, url: '{url}/x', unit: mph}}}}
streams: {{out: {{to: far, retry: {{first: 20ms, max: 50ms}}, batch: {{messages: 10}}}}}}
subscriptions: [{{stream: out, channels: [in]}}]
"""

ACME = """
local A = {
  summary = "A platform made up for this test",
  transport = "http",
  options = {unit = {type = "string", required = true}},
  body = {open = "<<", separator = "|", close = ">>", type = "text/x-acme"},
}
function A.transform(msg, ctx)
  if msg.hidden then return nil, "hidden" end
  return msg.ident .. ":" .. msg.seq .. ":" .. ctx.options.unit
end
%s
return A
"""

# What a batch of this platform answers: {"ok": true}, {"busy": true}, {"locked": true}, or a word for each message.
JUDGE = """
function A.verdict(answer, batch, ctx)
  local said = answer.json()
  if not said then return nil end
  if said.locked then return "blocked", "ask the platform to unlock" end
  if said.busy then return "retry", "busy with " .. #batch end
  if said.bad then return "split", "something is bad" end
  if said.ok then return "done" end
  local list = {}
  for i, word in ipairs(said.each) do
    list[i] = word == "ok" and "done" or {"refused", word .. " " .. batch[i].ident}
  end
  return list
end
"""


@pytest.fixture
def platform():
    made = []

    def make(answer):
        made.append(Platform(answer))
        return made[-1]

    yield make
    for p in made:
        p.close()


def write(folder, **adapters):
    (folder / "adapters").mkdir(exist_ok=True)
    for name, text in adapters.items():
        (folder / "adapters" / f"{name}.lua").write_text(text)


def ask(url, body=None, headers=None, method=None):
    """(status, body as text)"""
    data = body if body is None or isinstance(body, bytes) else body.encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}, method=method), timeout=20) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def send(port, *messages):
    assert ask(f"http://127.0.0.1:{port}/messages", json.dumps(messages))[0] == 200


def until(true, wait=20):
    end = time.monotonic() + wait
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def rows(request):
    body = request["body"]
    assert body[:2] == b"<<" and body[-2:] == b">>", body
    return body[2:-2].decode().split("|")


def test_an_adapters_messages_are_joined_as_its_body_says(tmp_path, platform, program):
    far = platform(lambda r: (200, ""))
    write(tmp_path, acme=ACME % "")
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    send(port, *({"ident": f"d{n % 3}", "seq": n, **({"hidden": True} if n == 4 else {})} for n in range(12)))
    p.drained()
    assert [row for r in far.requests for row in rows(r)] == [f"d{n % 3}:{n}:mph" for n in range(12) if n != 4]
    assert max(len(rows(r)) for r in far.requests) > 1
    assert all(r["headers"]["content-type"] == "text/x-acme" and r["path"] == "/x" for r in far.requests)
    counts = p.stream("out")
    assert counts["accepted"] == 11 and counts["skipped"] == 1 and balanced(counts)


def test_one_verdict_for_each_message_takes_the_bad_ones_out_alone(tmp_path, platform, program):
    far = platform(lambda r: (200, json.dumps({"each": ["unknown" if row.startswith("bad") else "ok" for row in rows(r)]})))
    write(tmp_path, acme=ACME % JUDGE)
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    send(port, *({"ident": "bad" if n in (2, 7) else "good", "seq": n} for n in range(10)))
    p.drained()
    until(lambda: p.stream("out")["dead"] == 2)
    counts = p.stream("out")
    assert counts["accepted"] == 8 and balanced(counts)
    assert sorted(row for r in far.requests for row in rows(r)) == sorted(f"{'bad' if n in (2, 7) else 'good'}:{n}:mph" for n in range(10))


def test_a_status_of_200_that_says_busy_is_tried_again_and_a_400_that_says_taken_is_done(tmp_path, platform, program):
    answers = [(200, '{"busy":true}'), (200, '{"busy":true}'), (400, '{"ok":true}')]
    far = platform(lambda r: answers.pop(0) if len(answers) > 1 else answers[0])
    write(tmp_path, acme=ACME % JUDGE)
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    send(port, {"ident": "a", "seq": 1})
    p.drained()
    counts = p.stream("out")
    assert counts["accepted"] == 1 and counts["dead"] == 0 and balanced(counts)
    assert [rows(r) for r in far.requests] == [["a:1:mph"]] * 3


def test_split_finds_the_bad_one_and_blocked_holds_with_its_reason(tmp_path, platform, program):
    locked = [False]

    def answer(request):
        if locked[0]:
            return 200, '{"locked":true}'
        return 200, '{"bad":true}' if any(row.startswith("bad") for row in rows(request)) else '{"ok":true}'

    far = platform(answer)
    write(tmp_path, acme=ACME % JUDGE)
    port = free_port()
    spec = SPEC.format(port=port, url=far.url)
    p = program(spec)
    send(port, *({"ident": "bad" if n == 5 else "good", "seq": n} for n in range(10)))
    until(lambda: p.stream("out")["dead"] == 1 and p.stream("out")["accepted"] == 9)
    locked[0] = True
    send(port, {"ident": "good", "seq": 10})
    until(lambda: "ask the platform to unlock" in json.dumps(p.stream("out")))
    assert p.stream("out")["buffered"] == 1
    # A reload that touches the destination ends the hold, with the Lua state of the new plan.
    locked[0] = False
    assert p.reload(spec.replace("unit: mph", "unit: kmh"))
    send(port, {"ident": "good", "seq": 11})
    until(lambda: rows(far.requests[-1])[-1] == "good:11:kmh")


def test_an_adapter_that_fails_over_an_answer_delivers_nothing_and_says_so(tmp_path, platform, program):
    far = platform(lambda r: (200, "{}"))
    write(tmp_path, acme=ACME % "function A.verdict(answer, batch, ctx) return answer.json().list[1] end\n")
    port = free_port()
    spec = SPEC.format(port=port, url=far.url)
    p = program(spec)
    send(port, {"ident": "a", "seq": 1})
    until(lambda: "acme.lua" in json.dumps(p.stream("out")) and len(far.requests) > 2)
    counts = p.stream("out")
    assert counts["accepted"] == 0 and counts["buffered"] == 1 and counts["dead"] == 0
    # What was mended takes what waits: the bytes are the same, only the file's other functions changed.
    write(tmp_path, acme=ACME % "function A.verdict() return 'done' end\n")
    assert p.reload(spec)
    until(lambda: p.stream("out")["accepted"] == 1)


# ---- formats ---------------------------------------------------------------------------------------------------------------

FORMATS = """
sluice: 1
settings: {{data: data, adapters: [adapters], durability: os}}
channels:
  traccar: {{type: http, listen: '127.0.0.1:{port}', path: /traccar, format: traccar}}
  phones:  {{type: http, listen: '127.0.0.1:{port}', path: /osmand, format: osmand, methods: [GET, POST]}}
  lines:   {{type: http, listen: '127.0.0.1:{port}', path: /lines, format: lines, with: {{tag: x}}, methods: [GET, POST]}}
  checked: {{type: http, listen: '127.0.0.1:{port}', path: /checked, format: osmand, answer: {{status: 202, body: fine}}}}
destinations: {{far: {{type: http, url: '{url}/far'}}}}
streams: {{out: {{to: far}}}}
subscriptions: [{{stream: out, channels: [traccar, phones, lines, checked]}}]
"""

# "ident value" lines; what follows the last line feed is not understood.
LINES = r"""
local A = {options = {tag = {type = "string", required = true}}}
function A.decode(bytes, ctx)
  if bytes:find("#", 1, true) then return nil, "a comment at byte " .. bytes:find("#", 1, true) end
  local list = {used = 0, after = "OK " .. ctx.method .. " " .. (ctx.headers["x-note"] or "-"), refuse = "NO"}
  for line, stop in bytes:gmatch("([^\n]*)\n()") do
    local ident, value = line:match("^(%S+) (%S+)$")
    if line == "crash" then error("no such line") end
    list[#list + 1] = {ident = ident, value = value, tag = ctx.options.tag, query = ctx.query.q}
    list.used = stop - 1
  end
  return list
end
return A
"""


@pytest.fixture
def formats(tmp_path, platform, program):
    far = platform(lambda r: (200, ""))
    write(tmp_path, lines=LINES)
    port = free_port()
    p = program(FORMATS.format(port=port, url=far.url))
    p.at = f"http://127.0.0.1:{port}"

    def arrived():
        p.drained()
        return [m for r in far.requests for m in json.loads(r["body"])]

    p.arrived = arrived
    return p


def channel(p, name):
    return next(c for c in p.status()["channels"] if c["name"] == name)


def test_traccar_forwards_a_position(formats):
    position = {"valid": True, "fixTime": "2026-01-02T03:04:05.000+00:00", "latitude": 1.5, "longitude": 2.5, "speed": 10.0,
                "attributes": {"ignition": True}, "address": None}
    status, body = ask(formats.at + "/traccar", json.dumps({"position": position, "device": {"uniqueId": "77", "name": "Van"}}))
    assert (status, json.loads(body)) == (200, {"taken": 1})
    got, = formats.arrived()
    assert got["channel.name"] == "traccar" and "server.timestamp" in got
    assert {k: got[k] for k in ("ident", "timestamp", "position.speed", "engine.ignition.status", "device.name")} == {
        "ident": "77", "timestamp": 1767323045, "position.speed": 18.52, "engine.ignition.status": True, "device.name": "Van"}


def test_a_body_that_is_none_of_the_format_is_refused_whole_and_kept_nowhere(formats):
    status, body = ask(formats.at + "/traccar", "[]")
    assert status == 400 and "an object with position and device is expected" in body
    status, body = ask(formats.at + "/traccar", '{"position":')
    assert status == 400 and "not JSON" in body
    status, body = ask(formats.at + "/lines", "a 1\n#\n")
    assert status == 400 and "a comment at byte 5" in body
    assert formats.arrived() == [] and channel(formats, "traccar")["refused"] == 0 and channel(formats, "lines")["refused"] == 0


def test_parameters_in_a_query_are_a_message(formats):
    assert ask(formats.at + "/osmand?id=9&lat=1.5&lon=2.5&speed=10")[0] == 200
    assert ask(formats.at + "/osmand", "id=9&lat=3.5&lon=2.5&timestamp=1767323045")[0] == 200
    status, body = ask(formats.at + "/osmand?lat=1&lon=2")
    assert status == 400 and "no ident" in body
    assert [(m["ident"], m["position.latitude"]) for m in formats.arrived()] == [("9", 1.5), ("9", 3.5)]
    assert channel(formats, "phones")["refused"] == 1


def test_a_fixed_answer_is_given_to_a_query_after_it_was_taken_and_to_a_bare_request_at_once(formats):
    assert ask(formats.at + "/checked") == (202, "fine")
    assert ask(formats.at + "/checked?id=5&lat=1&lon=2") == (202, "fine")
    assert [m["ident"] for m in formats.arrived()] == ["5"]


def test_an_adapters_own_words_are_the_answer(formats):
    assert ask(formats.at + "/lines?q=1%202", "a 1\nb 2\n", {"X-Note": "n"}) == (200, "OK POST n")
    assert [(m["ident"], m["value"], m["tag"], m["query"]) for m in formats.arrived()] == [("a", "1", "x", "1 2"), ("b", "2", "x", "1 2")]
    # One good line and one without ident; then none that is good.
    assert ask(formats.at + "/lines", "c 3\nnonsense\n") == (200, "OK POST -")
    assert ask(formats.at + "/lines", "nonsense\n") == (400, "NO")
    assert channel(formats, "lines")["refused"] == 2
    assert [m["ident"] for m in formats.arrived()] == ["a", "b", "c"]
    # What is cut off is nothing that was taken.
    assert ask(formats.at + "/lines", "d 4\ne") == (400, "NO")
    assert [m["ident"] for m in formats.arrived()] == ["a", "b", "c"]


def test_a_format_that_fails_keeps_the_bytes_and_says_where(formats):
    status, body = ask(formats.at + "/lines", "a 1\ncrash\n")
    assert status == 400
    refused, = json.loads(body)["refused"]
    assert "lines.lua:8" in refused["reason"] and "\n" not in refused["reason"]
    assert channel(formats, "lines")["refused"] == 1 and formats.arrived() == []
    assert ask(formats.at + "/lines", "a 1\n")[0] == 200


KEEPER = """
local A = {summary = "Writes where it should not", options = {list = {type = "array", default = {1}}}, device = {serial = {type = "string"}, w = {type = "integer"}}}
function A.transform(msg, ctx)
  ctx.device.serial = ctx.device.serial or ctx.ident
  ctx.device.n = (ctx.device.n or 0) + 1
  ctx.options.seen = (ctx.options.seen or 0) + 1
  ctx.options.list[#ctx.options.list + 1] = msg.seq
  return {ident = msg.ident, serial = ctx.device.serial, n = ctx.device.n, seen = ctx.options.seen, list = ctx.options.list, w = ctx.device.w}
end
return A
"""


@pytest.mark.parametrize("calls", [1, 50])
def test_what_a_script_writes_into_what_it_is_given_is_gone_with_the_call(program, platform, tmp_path, calls):
    far = platform(lambda request: (200, ""))
    (tmp_path / "adapters").mkdir(exist_ok=True)
    (tmp_path / "adapters" / "keeper.lua").write_text(KEEPER)
    port = free_port()
    p = program(f"""
sluice: 1
settings: {{data: data, adapters: [adapters]}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
devices: {{a: {{groups: [g]}}, b: {{groups: [g]}}, c: {{}}}}
groups: {{g: {{}}}}
destinations: {{far: {{type: http, url: '{far.url}/x'}}}}
streams: {{out: {{to: far, transforms: [keeper], batch: {{messages: 1}}}}}}
subscriptions: [{{stream: out, groups: {{g: {{w: 5}}}}}}, {{stream: out, devices: [c]}}]
""")
    body = json.dumps([{"ident": i, "timestamp": 1, "seq": n} for n, i in enumerate("abbaccab" * calls)]).encode()
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/messages", body), timeout=20)
    p.drained()
    got = [m for r in far.requests for m in json.loads(r["body"])]
    want = [{"ident": i, "serial": i, "n": 1, "seen": 1, "list": [1, n], **({"w": 5} if i != "c" else {})} for n, i in enumerate("abbaccab" * calls)]
    assert got == want
