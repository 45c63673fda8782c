"""Requests in an adapter's words, and logging in: the real program against a platform that gives tokens, ends them and refuses them."""
import json
import time
import urllib.request

import pytest

from lab import Platform, balanced, free_port
from lab.mqtt import Broker

SPEC = """
sluice: 1
settings: {{data: data, adapters: [adapters]}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
devices: {{"d*": {{}}, d1: {{}}}}
destinations: {{far: {{type: acme, url: '{url}/in', secret: {secret}, headers: {{X-Set: configured}}}}}}
streams: {{out: {{to: far, retry: {{first: 20ms, max: 50ms}}, batch: {{messages: 10}}}}}}
subscriptions: [{{stream: out, channels: [in]}}, {{stream: out, devices: {{d1: {{code: {code}}}}}}}]
"""

ACME = """
local A = {
  summary = "A platform made up for this test", transport = "http",
  options = {secret = {type = "string", required = true}},
  device = {code = {type = "integer"}},
}
%s
return A
"""

LOGIN = """
function A.credentials(ctx)
  return {request = {url = "%s/login", headers = {["Content-Type"] = "text/plain"}, body = "secret=" .. ctx.options.secret}}
end
function A.token(answer, ctx)
  local said = answer.json()
  if said.wait then return nil, "the platform says: " .. said.wait end
  return {headers = {Authorization = "Bearer " .. said.token}}, said.lives
end
"""


class TokenPlatform:
    """/login gives tokens, /in takes those that are good."""

    def __init__(self, lives=0):
        self.good, self.given, self.login, self.lives, self.refuse_all = set(), [], None, lives, False
        self.platform = Platform(self.answer)
        self.url = self.platform.url

    def answer(self, request):
        if request["path"] == "/login":
            assert request["headers"]["content-type"] == "text/plain" and request["body"].startswith(b"secret=")
            self.given.append(request["body"])
            if self.login:
                return self.login
            self.good.add(f"Bearer {'x' * 6000}{len(self.given)}")  # longer than what is kept of an ordinary answer
            return 200, json.dumps({"token": f"{'x' * 6000}{len(self.given)}", "lives": self.lives})
        if request["headers"].get("authorization") in self.good and not self.refuse_all:
            return 200, ""
        return 401, "who are you?"

    def posts(self):
        return [r for r in self.platform.requests if r["path"] == "/in"]


@pytest.fixture
def far():
    made = []

    def make(**more):
        made.append(TokenPlatform(**more))
        return made[-1]

    yield make
    for f in made:
        f.platform.close()


def write(folder, body):
    (folder / "adapters").mkdir(exist_ok=True)
    (folder / "adapters" / "acme.lua").write_text(ACME % body)


def send(port, *messages):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/messages", json.dumps(messages).encode(), timeout=20) as r:
        assert r.status == 200


def until(true, wait=20):
    end = time.monotonic() + wait
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_token_is_fetched_before_the_first_batch_and_once(tmp_path, far, program):
    there = far()
    write(tmp_path, LOGIN % there.url)
    port = free_port()
    p = program(SPEC.format(port=port, url=there.url, secret="open", code=1))
    assert not there.platform.requests
    for n in range(5):
        send(port, {"ident": "d1", "n": n})
    p.drained()
    assert there.given == [b"secret=open"] and there.platform.requests[0]["path"] == "/login"
    assert sum(len(json.loads(r["body"])) for r in there.posts()) == 5
    assert all(r["headers"]["authorization"].startswith("Bearer xxx") and r["headers"]["x-set"] == "configured" for r in there.posts())
    assert balanced(p.stream("out")) and p.stream("out")["accepted"] == 5
    # Neither what was shown nor what it was shown for is anywhere to be read.
    assert "xxxxxx" not in p.log() + json.dumps(p.status()) and "secret=" not in p.log()


def test_a_session_that_ended_is_begun_anew_without_a_word_and_a_wrong_one_blocks(tmp_path, far, program):
    there = far()
    write(tmp_path, LOGIN % there.url)
    port = free_port()
    p = program(SPEC.format(port=port, url=there.url, secret="open", code=1))
    send(port, {"ident": "d1", "n": 1})
    p.drained()
    there.good.clear()
    send(port, {"ident": "d1", "n": 2})
    p.drained()
    assert len(there.given) == 2 and p.stream("out")["accepted"] == 2 and "blocked" not in p.log()
    there.refuse_all = True
    there.good.clear()
    send(port, {"ident": "d1", "n": 3})
    until(lambda: p.stream("out")["state"] == "blocked")
    assert len(there.given) == 3 and p.stream("out")["buffered"] == 1
    assert "who are you?" in p.stream("out")["reason"]
    # Another secret is another destination: the hold ends.
    there.refuse_all = False
    assert p.reload(SPEC.format(port=port, url=there.url, secret="sesame", code=1))
    p.drained()
    assert there.given[-1] == b"secret=sesame" and p.stream("out")["accepted"] == 3 and balanced(p.stream("out"))


def test_a_token_is_renewed_before_it_ends(tmp_path, far, program):
    there = far(lives=1)
    write(tmp_path, LOGIN % there.url)
    port = free_port()
    p = program(SPEC.format(port=port, url=there.url, secret="open", code=1))
    n = 0
    while len(there.given) < 3:
        send(port, {"ident": "d1", "n": n})
        n += 1
        time.sleep(0.02)
    p.drained()
    assert all(r["status"] == 200 for r in there.posts()) and p.stream("out")["accepted"] == n


@pytest.mark.parametrize("answer, state, words", [
    ((503, "busy with xyzzy"), "retrying", "no credentials: the request for them was answered HTTP 503"),
    ((400, '{"error":"invalid_client","error_description":"xyzzy"}'), "blocked", "answered HTTP 400, invalid_client"),
    ((200, '{"wait":"your account sleeps"}'), "retrying", "no credentials: adapter acme: the platform says: your account sleeps"),
    ((200, '{"token":{}}'), "retrying", "acme.lua:14: attempt to concatenate a table value (field 'token')"),
])
def test_while_no_token_is_to_be_had_the_stream_holds_and_says_why(tmp_path, far, program, answer, state, words):
    there = far()
    there.login = answer
    write(tmp_path, LOGIN % there.url)
    port = free_port()
    p = program(SPEC.format(port=port, url=there.url, secret="open", code=1))
    send(port, {"ident": "d1", "n": 1})
    until(lambda: p.stream("out")["state"] == state)
    assert words in p.stream("out")["reason"] and words.split(": ")[-1] in p.log()
    assert not there.posts() and p.stream("out")["buffered"] == 1 and "xyzzy" not in p.log() + json.dumps(p.status())
    there.login = None
    if state == "blocked":
        assert p.reload(SPEC.format(port=port, url=there.url, secret="other", code=1))
    p.drained()
    assert p.stream("out")["accepted"] == 1


REQUEST = """
function A.request(batch, ctx)
  local rows = {}
  for i = 1, #batch do rows[i] = batch[i].ident .. "=" .. tostring(batch[i].device.code) .. "@" .. batch[i].id end
  if batch.body:find("boom", 1, true) then error("no words for it") end
  return {url = "%s/in/" .. #batch, headers = {["Content-Type"] = "text/rows", ["X-Set"] = "own"}, body = table.concat(rows, ";")}
end
"""


def test_a_request_is_worded_by_its_adapter_with_what_the_plan_says_of_the_device_now(tmp_path, program):
    far = Platform(lambda r: (200, ""))
    write(tmp_path, REQUEST % far.url)
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url, secret="open", code=7))
    send(port, {"ident": "d1"}, {"ident": "d2"})
    p.drained()
    last = far.requests[-1]
    assert last["path"] == "/in/2" and last["headers"]["content-type"] == "text/rows" and last["headers"]["x-set"] == "own"
    assert [row.split("@")[0] for row in last["body"].decode().split(";")] == ["d1=7", "d2=nil"]
    assert p.reload(SPEC.format(port=port, url=far.url, secret="open", code=8))
    send(port, {"ident": "d1"})
    p.drained()
    assert far.requests[-1]["body"].startswith(b"d1=8@")
    far.close()


def test_a_request_that_fails_in_lua_holds_with_its_line_until_it_is_mended(tmp_path, program):
    far = Platform(lambda r: (200, ""))
    write(tmp_path, REQUEST % far.url)
    port = free_port()
    spec = SPEC.format(port=port, url=far.url, secret="open", code=7)
    p = program(spec)
    send(port, {"ident": "d1", "note": "boom"}, {"ident": "d1"})
    until(lambda: "acme.lua:11: no words for it" in p.stream("out")["reason"])
    until(lambda: "no words for it" in p.log())
    counts = p.stream("out")
    assert counts["buffered"] == 2 and counts["dead"] == 0 and not far.requests
    write(tmp_path, (REQUEST % far.url).replace("boom", "bang"))
    assert p.reload(spec)
    p.drained()
    assert p.stream("out")["accepted"] == 2 and balanced(p.stream("out"))
    far.close()


# ---- mqtt: who we are is said when we connect -----------------------------------------------------------------------------------

TOPICS = """
sluice: 1
settings: {{data: data, adapters: [adapters]}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: hub, url: 'mqtt://127.0.0.1:{far}', username: "${{env:HOME}}", password: "${{env:PATH}}"}}}}
streams: {{out: {{to: far, retry: {{first: 20ms, max: 50ms}}}}}}
subscriptions: [{{stream: out, channels: [in]}}]
"""

HUB = """
local A = {transport = "mqtt"}
function A.topic(msg) return "devices/" .. msg.ident end
function A.transform(msg) return msg end
function A.credentials() return {request = {url = "%s/sign"}} end
function A.token(answer) return {username = "hub", password = answer.body} end
return A
"""


class Signer(Platform):
    """Answers GET with a password, another each time."""

    def __init__(self):
        super().__init__()
        given = self.given = []

        def do_GET(handler):
            given.append(f"password {len(given) + 1}")
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(given[-1])))
            handler.end_headers()
            handler.wfile.write(given[-1].encode())

        self.server.RequestHandlerClass.do_GET = do_GET


def test_an_mqtt_server_is_told_who_we_are_and_told_again_when_it_does_not_know_us_any_more(tmp_path, program):
    signer = Signer()
    bad = set()
    broker = Broker(connack=lambda c: (0x87 if c["username"] != "hub" or c["password"] not in signer.given or c["password"] in bad else 0, b""))
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters/hub.lua").write_text(HUB % signer.url)
    port = free_port()
    p = program(TOPICS.format(port=port, far=broker.port))
    send(port, {"ident": "a", "n": 1})
    p.drained()
    assert [c["password"] for c in broker.connects] == ["password 1"]
    # The first password is not good any more, which shows at the next connection.
    bad.add("password 1")
    broker.cut()
    send(port, {"ident": "a", "n": 2})
    p.drained()
    assert broker.connects[-1]["password"] == signer.given[-1] != "password 1" and p.stream("out")["accepted"] == 2 and "blocked" not in p.log()
    # None is good: blocked, and what waits is kept.
    bad |= {f"password {n}" for n in range(100)}
    broker.cut()
    send(port, {"ident": "a", "n": 3})
    until(lambda: p.stream("out")["state"] == "blocked")
    assert p.stream("out")["buffered"] == 1 and "password " not in p.log() + json.dumps(p.status())
    broker.close()
    signer.close()
