"""What a message costs, in instructions of the native module and in system calls: several times as many fail.

Counts and no times: they are the same on a slow machine and on a busy one, but for some per cent. `costs.py`
makes the calls, `steps.py` counts. That a number is in the table does not make it good; that it grows to a
multiple is to be known.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import steps

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.shmzmq_only("counts the instructions of this library"),
]

MOST = 2
"""Times as many instructions as in the table are too many."""

RUNS = 3
"""Whoever is over its bound is counted again so often: over tcp a message may not be there yet."""

# Case of costs.py and transport: for each of its calls instructions and system calls as they were seen,
# rustc 1.95, x86-64 with AVX.
SEEN = {
    ("PUSH to PULL, 32 B", "ipc"): {"send": (345, 0), "recv": (381, 0)},
    ("PUSH to PULL, 32 B", "inproc"): {"send": (522, 0), "recv": (475, 0)},
    ("PUSH to PULL, 32 B", "tcp"): {"send": (1382, 1), "recv": (583, 0)},
    ("PUSH to PULL, 16 KiB", "ipc"): {"send": (2943, 0), "recv": (2215, 0)},
    ("PUSH to PULL, 16 KiB, frames", "ipc"): {"send": (3129, 0), "recv": (2034, 0)},
    ("PUSH to PULL, 256 KiB", "ipc"): {"send": (24063, 0), "recv": (23735, 0)},
    ("PUSH to PULL, 256 KiB, recv_into", "ipc"): {"send": (24063, 0), "recv_into": (23877, 0)},
    ("DEALER to ROUTER, 3 parts", "ipc"): {"send": (1018, 0), "recv": (2021, 0)},
    ("REQ to REP and back, 32 B", "ipc"): {
        "req.send": (1042, 0),
        "rep.recv": (1044, 0),
        "rep.send": (733, 0),
        "req.recv": (1013, 0),
    },
    ("PUB to 8 SUB, 32 B", "ipc"): {"send": (1723, 0), "recv of each": (3192, 0)},
    ("PUB to 8 SUB, 16 KiB", "ipc"): {"send": (27754, 0), "recv of each": (17798, 0)},
    ("poll, poll of 9, nothing there", "ipc"): {"poll": (629, 0), "Poller.poll": (2042, 0)},
}


@pytest.fixture(scope="module")
def native() -> str:
    """The file of the native module, if it is what would be shipped."""
    spec = importlib.util.find_spec("shmzmq._native")
    assert spec is not None
    assert spec.origin is not None
    if importlib.import_module("shmzmq").BUILD_PROFILE != "release":
        pytest.skip("the module is no release build")
    return os.path.realpath(spec.origin)


def counted(case: str, endpoint: str, native: str) -> list[steps.Count]:
    """What each call of the case takes, the least of its times."""
    script = str(Path(__file__).with_name("costs.py"))
    try:
        found = steps.counts([sys.executable, script, case, endpoint], native)
    except steps.NotHere as reason:
        pytest.skip(str(reason))
    calls = len(SEEN[case, endpoint.partition(":")[0]])
    assert len(found) > calls
    assert len(found) % calls == 0, found
    return [min(found[call::calls]) for call in range(calls)]


@pytest.mark.parametrize(("case", "transport"), SEEN)
def test_call_takes_no_multiple_of_the_instructions_it_took(case, transport, native, new_endpoint):
    seen = SEEN[case, transport]
    for _ in range(RUNS):
        found = dict(zip(seen, counted(case, new_endpoint(transport), native), strict=True))
        print({call: tuple(count) for call, count in found.items()})
        assert all(count.instructions for count in found.values()), "nothing of the native module was seen"
        too_many = {
            call: f"{tuple(count)}, was {seen[call]}"
            for call, count in found.items()
            if count.instructions > MOST * seen[call][0] or count.system_calls > seen[call][1]
        }
        if not too_many:
            return
    pytest.fail(f"instructions and system calls of {case} over {transport}: {too_many}")
