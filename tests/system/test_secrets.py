"""What a destination was told in confidence is seen by it alone, whatever goes wrong there and whoever repeats it."""
import json
import os
import subprocess

import pytest
from lab import Platform, balanced, free_port, sluice
from lab.mqtt import Broker
from test_bad_night import post, until
from test_commands import run

# Each would be found wherever it stood.
SECRETS = {"QUERY": "qu3ry-s3cr3t", "ENCODED": "enc%2Foded%20s3cr3t", "PASSWORD": "p4ssw0rd-s3cr3t", "HEADER": "h34der-s3cr3t", "LOGIN": "l0gin-s3cr3t",
           "PLACE": "pl4ce-s3cr3t.invalid", "LITERAL": "l1teral-s3cr3t", "WRITTEN": "wr1tten-s3cr3t"}
SEEN = [*SECRETS.values(), "enc/oded s3cr3t"]


def echo(request):
    """The far end of everybody's nightmares: it says what it was asked with, and to whom it should have been said."""
    if request["path"].startswith("/moved"):
        return f"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example.com{request['path']}\r\nContent-Length: 0\r\n\r\n".encode()
    if json.loads(request["body"])[0]["seq"] == 0 and request["path"].startswith("/echo"):
        return 200, ""
    words = request["path"] + " " + json.dumps(request["headers"]) + " enc/oded s3cr3t"
    return (400 if request["path"].startswith("/echo") else 503 if request["path"].startswith("/busy") else 403), words


@pytest.fixture
def setup(program, monkeypatch):
    for name, text in SECRETS.items():
        monkeypatch.setenv(f"S_{name}", text)
    far, port, nobody = Platform(echo), free_port(), free_port()
    broker = Broker(connack=lambda c: (0x86, b""))
    key = "?key=${env:S_QUERY}&other=${env:S_ENCODED}&token=" + SECRETS["LITERAL"]
    headers = f"headers: {{X-Key: '${{env:S_HEADER}}', Authorization: 'Bearer {SECRETS['WRITTEN']}'}}"
    spec = f"""sluice: 1
settings: {{data: data, workers: 1}}
channels: {{in: {{type: http, listen: '127.0.0.1:{port}', path: /messages}}}}
destinations:
  echo:   {{type: http, url: '{far.url}/echo{key}', {headers}}}
  moved:  {{type: http, url: '{far.url}/moved{key}', {headers}}}
  denied: {{type: http, url: '{far.url}/denied{key}', {headers}}}
  busy:   {{type: http, url: '{far.url}/busy{key}', {headers}}}
  lost:   {{type: http, url: 'http://${{env:S_PLACE}}/{key}'}}
  user:   {{type: http, url: 'http://ops:${{env:S_PASSWORD}}@127.0.0.1:{nobody}/'}}
  broker: {{type: mqtt, url: 'mqtt://127.0.0.1:{broker.port}', username: ops, password: '${{env:S_LOGIN}}', topic: 'a/{{ident}}'}}
  lines:  {{type: tcp, url: 'tcp://${{env:S_PLACE}}:7000'}}
streams:
"""
    names = ["echo", "moved", "denied", "busy", "lost", "user", "broker", "lines"]
    for name in names:
        spec += f"  {name}: {{to: {name}, batch: {{messages: 1}}, retry: {{first: 50ms, max: 200ms, timeout: 5s}}}}\n"
    spec += "subscriptions:\n" + "".join(f"  - {{stream: {name}, channels: [in]}}\n" for name in names)
    before = os.umask(0o077)   # secrets are written out in it
    p = program(spec)
    os.umask(before)
    yield p, far, port, names
    far.close()
    broker.close()


def test_no_secret_is_shown_by_what_goes_wrong(setup):
    p, far, port, names = setup
    assert post(port, 0, 3)[0] == 200 and post(port, 0, 1)[0] == 200
    until(lambda: p.stream("echo")["dead"] == 2)
    until(lambda: all(p.stream(n)["reason"] for n in names if n != "echo"), wait=20)
    asked = [r["path"] for r in far.requests] + [v for r in far.requests for v in r["headers"].values()]
    for name in ("QUERY", "ENCODED", "LITERAL", "HEADER", "WRITTEN"):
        assert any(SECRETS[name] in text for text in asked), f"{name} was not sent, so nothing is tried"
    shown = {"log": p.log(), "status": run("status", p.file), "status --json": json.dumps(p.status()), "dead": run("dead", "list", p.file, "echo"),
             "dead --json": run("dead", "list", "--json", p.file, "echo"), "plan": run("plan", p.file), "plan --json": run("plan", "--json", p.file),
             "plan --dot": run("plan", "--dot", p.file), "check": run("check", p.file)}
    letter = json.loads(shown["dead --json"].splitlines()[0])
    shown["dead show"] = run("dead", "show", p.file, "echo", letter["letter"])
    for form in ([], ["--json"], ["-v"]):
        shown[f"explain {form}"] = subprocess.run([sluice, "explain", *form, p.file], input='{"ident":"a","seq":1}', capture_output=True, text=True,
                                                  timeout=20, check=True).stdout
    for where, text in shown.items():
        for secret in SEEN:
            assert secret not in text, f"{where} shows {secret}:\n{text}"
    # What may be said is still said.
    assert "${env:S_QUERY}" in letter["reason"] and "HTTP 400" in letter["reason"] and "${env:S_HEADER}" in letter["answer"] and "•••" in letter["answer"]
    assert "https://elsewhere.example.com/moved?key=${env:S_QUERY}" in p.stream("moved")["reason"]
    assert "${env:S_PLACE}" in p.stream("lost")["reason"]
    assert balanced(p.stream("echo"))
