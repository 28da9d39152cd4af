"""Bugs of large messages that were found by review, each with the test that was red.

One test per bug; its docstring says what happened.
"""

from __future__ import annotations

import pytest

from kit import CAP_MS, expect, expect_error, marry, wait_until

pytestmark = pytest.mark.shmzmq_only("shmzmq's own bugs")

DROP_OLDEST, KEEP_LATEST = 3, 4
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def pair(zmq, sockets, ipc):
    """A PUSH and a PULL with a ring between them."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    return marry(push, pull)[0], pull


def body(number, size):
    return b"%04d" % number + bytes(size - 4)


# --- HWM_BYTES ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4 * KIB, 4 * KIB + 1, 100 * KIB, 900 * KIB])
def test_hwm_bytes_counts_large_frames(zmq, sockets, ipc, size):
    """Their descriptors were counted: 40 bytes each."""
    push, pull = sockets(zmq.PUSH, sndhwm=0), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 1_000_000)
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    accepted = 0
    with expect_error(zmq, "EAGAIN"):
        while accepted * size <= 1_000_000:
            push.send(body(accepted, size), zmq.DONTWAIT)
            accepted += 1
    assert accepted >= 0.9 * 1_000_000 // size
    assert not push.poll(0, zmq.POLLOUT) or size < 1_000_000 - accepted * size
    for number in range(accepted):
        assert pull.recv() == body(number, size)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    push.send(body(accepted, size))
    assert pull.recv() == body(accepted, size)


def test_sender_that_waits_for_hwm_bytes_goes_on_with_each_large_frame_that_is_read(zmq, sockets, ipc, task):
    push, pull = sockets(zmq.PUSH, sndhwm=0, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 3 * 100_000)
    pull.bind(ipc)
    push.connect(ipc)
    sending = task(lambda: [push.send_multipart([b"x", body(number, 90_000)]) for number in range(50)])
    for number in range(50):
        assert pull.recv_multipart() == [b"x", body(number, 90_000)]
    sending.result()


def test_message_beyond_hwm_bytes_goes_alone(zmq, sockets, ipc, task):
    push, pull = sockets(zmq.PUSH, sndhwm=0, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 50_000)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(body(0, 90_000))
    sending = task(lambda: [push.send(body(number, 90_000)) for number in range(1, 4)])
    sending.wait_blocked()
    assert [pull.recv()[:4] for _ in range(4)] == [b"%04d" % number for number in range(4)]
    sending.result()


def test_drop_oldest_keeps_no_more_than_hwm_bytes_of_large_frames(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH, sndhwm=0), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.OVERFLOW, DROP_OLDEST)
    push.set(zmq.HWM_BYTES, 1_000_000)
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    for number in range(100):
        push.send(body(number, 100_000))
    numbers = [int(pull.recv()[:4])]
    while numbers[-1] < 99:
        numbers.append(int(pull.recv()[:4]))
    assert numbers == list(range(100 - len(numbers), 100))
    assert 5 <= len(numbers) <= 10
