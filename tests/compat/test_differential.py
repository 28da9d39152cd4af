"""Random programs over the socket API come out the same on shmzmq as on pyzmq: values, classes, errno.

`scenes.py` makes the programs and plays them. Here they are played on both and compared; a difference is
shrunk by hypothesis to the shortest program that still shows it. `make differential` runs a longer
campaign.
"""

from __future__ import annotations

import os

import pytest
import scenes
import zmq as pyzmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shmzmq

PROGRAMS = int(os.environ.get("SHMZMQ_DIFFERENTIAL_PROGRAMS", "500"))
CAMPAIGN = PROGRAMS > 500
BACKENDS = {"pyzmq": pyzmq, "shmzmq": shmzmq}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 * max(1, PROGRAMS // 500))]

# The same programs every time, except in a campaign, which looks for new ones.
COMMON = dict(
    deadline=None,
    derandomize=not CAMPAIGN,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.fixture(scope="module", autouse=True)
def collector():
    """pyzmq starts a thread at the first large Frame and keeps it: have it before the first count."""
    pyzmq.Frame(bytes(pyzmq.COPY_THRESHOLD), copy=False)


def types_to_play(backend: str) -> frozenset[str]:
    """The socket types that the backend has: what it does not have yet is not played."""
    return scenes.types_of(BACKENDS[backend])


@settings(max_examples=PROGRAMS, **COMMON)
@given(st.data())
def test_program_comes_out_as_on_pyzmq(data):
    program = data.draw(scenes.programs(types_to_play("shmzmq")), label="program")
    ours, theirs = scenes.play(shmzmq, program), scenes.play(pyzmq, program)
    assert ours == theirs, scenes.report(program, theirs, ours)


@settings(max_examples=max(50, PROGRAMS // 10), **COMMON)
@given(st.data())
def test_program_comes_out_the_same_twice_on_pyzmq(data):
    """No false alarms: what the model says is determined really is, on the oracle."""
    program = data.draw(scenes.programs(types_to_play("pyzmq")), label="program")
    first, second = scenes.play(pyzmq, program), scenes.play(pyzmq, program)
    assert first == second, scenes.report(program, first, second)
    assert not any(outcome[0] == "stuck" for outcome in first if outcome), scenes.report(
        program, first, ["stuck"]
    )
