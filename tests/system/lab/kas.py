"""e-TOLL as its interface is described, for tests: it holds each body to the schema, knows rows again, and answers as the real one may.

Numbers are read as decimals, so that a multiple of 1e-10 is one or is none. What was offered is kept in order: (row, what became of it)."""
import json
import random
import threading
from decimal import Decimal
from pathlib import Path

import jsonschema

from .platform import Platform

SCHEMA = json.loads((Path(__file__).parent.parent / "etoll.schema.json").read_text(), parse_float=Decimal)
POISON = Decimal("1234.56")    # metres: a row at this altitude makes the body invalid, for a reason the schema does not tell
UNWANTED = 13                  # satellites: such a row is dropped
EAST = Decimal("24.15")        # beyond it a row is taken with a warning


def key(row):
    return row["serialNumber"], row["fixTimeEpoch"]


class Kas:
    def __init__(self, tls=None, trouble=0.0, seed=1):
        self.validator = jsonschema.Draft7Validator(SCHEMA)
        self.rng, self.trouble, self.lock = random.Random(seed), trouble, threading.Lock()
        self.offered, self.faults, self.bodies, self.status = [], [], 0, None
        self.platform = Platform(self.answer, tls=tls)
        self.url = self.platform.url + "/zsl/ssl/6c0de13d-8a5c-4ab4-9d7e-1f3b7a9d2c11"

    def answer(self, request):
        rows = json.loads(request["body"], parse_float=Decimal)
        with self.lock:
            self.bodies += 1
            if request["headers"].get("content-type") != "application/json":
                self.faults.append(f"content type {request['headers'].get('content-type')}")
            self.faults += [f"{e.message} at {list(e.absolute_path)}" for e in self.validator.iter_errors(rows)]
            outcomes, said = self.judge(rows)
            self.offered += zip(rows, outcomes)
            request["body"] = b""    # thousands of them
            self.platform.requests.clear()
        return said

    def judge(self, rows):
        if self.status:
            return ["not taken"] * len(rows), (self.status, '{"status":%d,"error":"no","message":"no"}' % self.status)
        dice = self.rng.random()
        if dice < self.trouble / 2:
            return ["not taken"] * len(rows), (503, "come again")
        if any(r.get("altitude") == POISON for r in rows):
            return ["not taken"] * len(rows), (400, json.dumps({"result": "ERROR", "code": "1", "validation_error": ["[0].altitude: too poisonous"]})) \
                if len(rows) % 2 else (415, "")
        warnings = [{"tsp": r["fixTimeEpoch"], "msg": "outside of Poland", "code": "not-pl", "dev": r["serialNumber"].upper(), "now": 1,
                     "action": "drop" if r["satellitesForFix"] == UNWANTED else "pass", "reason": {"id": "7", "rule": "r", "lon": 1.5, "lat": 2.5}}
                    for r in rows if r["satellitesForFix"] == UNWANTED or r["longitude"] > EAST]
        outcomes = ["dropped" if r["satellitesForFix"] == UNWANTED else "taken" for r in rows]
        if dice < self.trouble:
            return outcomes, b""     # taken, and the answer is lost
        return outcomes, (200, json.dumps({"result": "OK", "code": "0", "validation_error": [], "warning": warnings}))

    def close(self):
        self.platform.close()
