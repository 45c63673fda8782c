import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from lab import Program, Sink  # noqa: E402
from lab.mqtt import Broker  # noqa: E402


@pytest.fixture
def sink(tmp_path):
    s = Sink(tmp_path)
    yield s
    s.close()


@pytest.fixture
def program(tmp_path):
    """program(spec) starts one in tmp_path; all are ended with the test, and their logs shown when it failed."""
    made = []

    def make(spec, **options):
        made.append(Program(tmp_path, spec, **options))
        return made[-1]

    yield make
    for p in made:
        p.close()
        assert not p.reports()


@pytest.fixture
def broker():
    """broker(…) begins an MQTT broker of our own, which misbehaves as told; all are closed with the test."""
    made = []

    def make(**options):
        made.append(Broker(**options))
        return made[-1]

    yield make
    for b in made:
        b.close()
