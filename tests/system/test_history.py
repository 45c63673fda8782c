"""What came in is kept for a while: over restarts, until its time is over, until it is switched off; and status says how far back it reaches."""
import time

from lab import Platform, free_port
from test_bad_night import OK, post, send, until
from test_commands import run
from test_dead import refuse_odd

MORE = "where: seq < 1000, batch: {messages: 1}, retry: {first: 50ms, max: 200ms, timeout: 5s}"


def spec(port, url, history="1h"):
    return f"""sluice: 1
settings: {{data: data, history: {history}}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations: {{far: {{type: http, url: '{url}/in'}}, near: {{type: http, url: '{url}/near'}}}}
streams: {{s: {{to: far, {MORE}}}, t: {{to: near, {MORE}}}}}
subscriptions: [{{stream: s, channels: [in]}}, {{stream: t, channels: [in]}}]
"""


def delivered(p, n):
    until(lambda: p.stream("s")["accepted"] == n and p.stream("t")["accepted"] == n)


def test_what_was_delivered_is_kept_once_and_over_restarts(program):
    far, port = Platform(), free_port()
    began = time.time()
    p = program(spec(port, far.url))
    h = p.status()["history"]
    assert h["messages"] == 0 and h["asked"] == 3600 and "oldest" not in h
    assert post(port, 0, 50)[0] == 200
    assert send(port, b'{"ident":"a","timestamp":1,"seq":1000}')[0] == 200  # nobody wants it: it is not kept
    delivered(p, 50)
    h = p.status()["history"]
    assert h["messages"] == 50 and h["bytes"] > 50 * 20 and began - 1 < h["oldest"] < time.time() + 1
    p.kill()
    p.start()
    h = p.status()["history"]
    assert h["messages"] == 50 and h["expired"] == h["dropped"] == 0 and began - 1 < h["oldest"] < time.time() + 1
    assert post(port, 50, 60)[0] == 200
    delivered(p, 60)
    assert p.status()["history"]["messages"] == 60
    shown = run("status", p.file)
    assert "history: 60 messages, " in shown and "asked for" in shown
    assert p.status()["retired"] == []


def test_its_time_goes_by(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url, "1s"))
    assert post(port, 0, 50)[0] == 200
    delivered(p, 50)

    def another():
        """What is past its time goes with a commit; an instance that nothing comes to has one a minute."""
        assert post(port, 50, 51)[0] == 200
        return p.status()["history"]["expired"] >= 50
    until(another)
    assert p.status()["history"]["dropped"] == 0 and p.status()["history"]["oldest_age"] < 5


def test_switched_off_it_frees_what_it_kept_and_on_again_it_begins_anew(program):
    far, port = Platform(), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 50)[0] == 200
    delivered(p, 50)
    assert p.status()["history"]["messages"] == 50
    assert p.reload(spec(port, far.url, "0"))
    until(lambda: "history" not in p.status())
    assert post(port, 50, 70)[0] == 200
    delivered(p, 70)
    assert "history" not in p.status() and "history" not in run("status", p.file)
    assert p.reload(spec(port, far.url, "1h"))
    assert post(port, 70, 75)[0] == 200
    delivered(p, 75)
    assert p.status()["history"]["messages"] == 5 and p.status()["history"]["expired"] == 50


def test_a_dead_letter_that_is_retried_is_kept_only_once(program):
    far, port = Platform(refuse_odd), free_port()
    p = program(spec(port, far.url))
    assert post(port, 0, 61)[0] == 200
    until(lambda: p.stream("s")["dead"] == p.stream("t")["dead"] == 30)
    far.answer = lambda request: OK
    run("dead", "retry", "--all", p.file, "s")
    until(lambda: p.stream("s")["accepted"] == 61)
    assert p.status()["history"]["messages"] == 61
