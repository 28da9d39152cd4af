"""One message of more than 4 GiB: no length on its way has 32 bits.

Takes about 10 GiB of memory, so it runs only with SHMZMQ_STRESS_HUGE=1, and skips where there is less.
"""

from __future__ import annotations

import mmap
import os

import footprint
import pytest

from kit import expect, wait_until

MIB = 1 << 20

pytestmark = [
    pytest.mark.stress,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.shmzmq_only("libzmq takes twice the memory"),
    pytest.mark.skipif(not os.environ.get("SHMZMQ_STRESS_HUGE"), reason="needs SHMZMQ_STRESS_HUGE=1"),
]

HUGE = (4 << 30) + 1
ENOUGH = 12 << 30


@pytest.mark.parametrize("scheme", ["ipc", "inproc"])
@pytest.mark.parametrize("way", ["frame", "into"])
def test_message_of_more_than_4_gib_crosses(zmq, ctx, sockets, new_endpoint, task, scheme, way):
    endpoint = new_endpoint(scheme)
    available = footprint.available()
    if available < ENOUGH:
        pytest.skip(f"needs {ENOUGH >> 30} GiB of memory, {available >> 30} are available")
    if hasattr(zmq, "SHM_MAX"):
        ctx.set(zmq.SHM_MAX, ENOUGH)
    marks = {0: 1, 4095: 2, (1 << 31) - 1: 3, 1 << 31: 4, (4 << 30) - 1: 5, 4 << 30: 6}
    push, pull = sockets(zmq.PUSH, sndtimeo=60_000), sockets(zmq.PULL, rcvtimeo=60_000)
    pull.bind(endpoint)
    push.connect(endpoint)
    with mmap.mmap(-1, HUGE) as source:  # pages that nobody wrote to cost nothing
        for place, mark in marks.items():
            source[place] = mark
        sending = task(push.send, source)
        if way == "frame":
            got = pull.recv(copy=False)
        else:
            got = mmap.mmap(-1, HUGE)
            assert pull.recv_into(got) == HUGE
        sending.result(60)
    with memoryview(got) as view:
        assert view.nbytes == HUGE
        assert {place: view[place] for place in marks} == marks
        assert not any(view[place] for place in range(1 << 20, HUGE, 16 * MIB))
    push.send(b"after")
    expect(pull, b"after")
    del got
    if way == "frame":
        wait_until(lambda: push.stats()["arena_lent"] == 0, "the block to be back")
