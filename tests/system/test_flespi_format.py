"""`format: flespi` is what channels take without a word: flat objects of flespi's parameters, as its streams send and its http channel takes them."""
import json
import urllib.error
import urllib.request

import pytest

from lab import Platform, balanced, free_port

SPEC = """
sluice: 1
settings: {{data: data, durability: os}}
channels:
  plain: {{type: http, listen: '127.0.0.1:{port}', path: /plain, stamp: off}}
  named: {{type: http, listen: '127.0.0.1:{port}', path: /named, format: flespi, stamp: off}}
  inner: {{type: http, listen: '127.0.0.1:{port}', path: /inner, format: flespi, at: data.messages, stamp: off}}
  other: {{type: http, listen: '127.0.0.1:{port}', path: /other, format: flespi, ident: imei, stamp: off}}
destinations: {{far: {{type: http, url: '{url}/all'}}, high: {{type: http, url: '{url}/high'}}, snake: {{type: http, url: '{url}/snake'}}}}
streams:
  all: {{to: far}}
  high: {{to: high, where: "$ain#1 > 5 || $ain.1 > 5"}}
  snake: {{to: snake, fields: {{notation: snake, keep: ["ain#*", "ain.*"]}}}}
subscriptions:
  - {{stream: all, channels: [plain, named, inner, other]}}
  - {{stream: high, channels: [named]}}
  - {{stream: snake, channels: [named]}}
"""

# What flespi's knowledge base shows of a stream's message.
FORWARDED = ('{"battery.voltage":3.938,"channel.id":429,"device.id":182083,"device.name":"Vehicle 01","device.type.id":744,"engine.ignition.status":true,'
             '"event.priority.enum":0,"gsm.operator.code":"25701","ident":"111115555599999","peer":"185.213.2.10:59924","position.latitude":33.5731104,'
             '"position.longitude":-7.5898434,"position.valid":true,"protocol.id":14,"server.timestamp":1678346072.792816,"timestamp":1678346071,'
             '"vehicle.mileage":36713.703}')

BODIES = [
    FORWARDED,
    f"[{FORWARDED}]",
    f"[{FORWARDED},{FORWARDED}]",
    f"{FORWARDED}\n{FORWARDED}\n",
    '[{"ident":"a","timestamp":1554445625.950464,"ain#1":1.0,"din":3,"custom.word":"x","unknown":true,"list":[1,{"a":null}]}]',
    '{"ident":"a","timestamp":"2026-01-02T03:04:05.25Z"}',
    '[{"ident":"a","timestamp":1},{"timestamp":2},{"ident":7,"timestamp":3},{"ident":"b","timestamp":"noon"}]',
    '{"ident":"a","timestamp":1',
    "[]",
]


@pytest.fixture
def far():
    p = Platform()
    yield p
    p.close()


def post(port, path, body):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body.encode(), timeout=20) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def delivered(p, far, path):
    p.drained()
    got = [m for r in far.requests if r["path"] == path for m in r["body"].decode()[1:-1].split("},{")]
    far.requests.clear()
    return ["{" * (m[0] != "{") + m + "}" * (m[-1] != "}") for m in got]


def test_named_it_is_what_it_is_without_a_name(far, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    for body in BODIES:
        plain = post(port, "/plain", body), delivered(p, far, "/all")
        named = post(port, "/named", body), delivered(p, far, "/all")
        assert plain == named, body
    assert balanced(p.stream("all"))


def test_objects_arrays_and_lines_keep_their_bytes(far, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    for body, count in zip(BODIES[:4], (1, 1, 2, 2)):
        assert post(port, "/named", body)[0] == 200
        assert delivered(p, far, "/all") == [FORWARDED] * count


def test_times_as_texts_become_seconds_and_what_cannot_be_taken_is_named(far, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    assert post(port, "/named", BODIES[5])[0] == 200
    assert delivered(p, far, "/all") == ['{"ident":"a","timestamp":1767323045.25}']
    status, said = post(port, "/named", BODIES[6])
    assert status == 200 and [r["index"] for r in json.loads(said)["refused"]] == [1, 2, 3]
    assert delivered(p, far, "/all") == ['{"ident":"a","timestamp":1}']


def test_an_array_further_in_and_an_ident_of_another_name(far, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    assert post(port, "/inner", '{"meta":1,"data":{"messages":[{"ident":"a","timestamp":1},{"ident":"b","timestamp":2}]}}')[0] == 200
    assert delivered(p, far, "/all") == ['{"ident":"a","timestamp":1}', '{"ident":"b","timestamp":2}']
    assert post(port, "/other", '{"imei":"352093081234567","timestamp":1}')[0] == 200
    (row,) = delivered(p, far, "/all")
    assert json.loads(row)["imei"] == "352093081234567"


def test_numbered_parameters_in_the_old_way_are_taken_as_they_are_and_can_be_spoken_of(far, program):
    port = free_port()
    p = program(SPEC.format(port=port, url=far.url))
    rows = '[{"ident":"a","timestamp":1,"ain#1":7.0},{"ident":"a","timestamp":2,"ain.1":3},{"ident":"a","timestamp":3,"ain#1":2,"ain.1":9}]'
    assert post(port, "/named", rows)[0] == 200
    p.drained()
    of = {r["path"]: r["body"].decode() for r in far.requests}
    assert of["/all"] == rows
    assert [m["timestamp"] for m in json.loads(of["/high"])] == [1, 3]
    assert json.loads(of["/snake"])[:2] == [{"ain_1": 7.0}, {"ain_1": 3}]
