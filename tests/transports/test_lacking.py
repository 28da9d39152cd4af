"""A side lacks an fd or memory that a connection over rings needs, and ends it while both live.

A ring that grows is announced with an fd, which is mapped. Who cannot take it ends the connection; the next
one carries what was not handed out, in its order: none is lost, and none comes twice.
"""

from __future__ import annotations

import contextlib
import os
import resource
from itertools import count

import pytest

from kit import CAP_MS, wait_until

MANY = 20_000  # messages of 100 bytes: several times a first ring
END = b"end"

pytestmark = pytest.mark.shmzmq_only("rings")


def allow_no_fd() -> None:
    free = os.dup(0)
    os.close(free)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    quiet = 0

    def stays_full() -> bool:
        """An I/O thread may close what it does not need any more; what fills its place stays to the end."""
        nonlocal quiet
        quiet += 1
        with contextlib.suppress(OSError):
            while True:
                os.dup(0)
                quiet = 0
        return quiet > 20

    wait_until(stays_full, "the table of fds to be full")


def allow_no_memory() -> None:
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used, hard))


LACKS = {"fds": (allow_no_fd, resource.RLIMIT_NOFILE), "memory": (allow_no_memory, resource.RLIMIT_AS)}


def numbered(number: int) -> bytes:
    return b"%08d" % number + bytes(92)


def numbers(socket) -> list[int]:
    """What comes before END, which nothing follows."""
    found: list[int] = []
    for _ in count():
        assert socket.poll(CAP_MS), f"nothing after {len(found)} messages"
        message = socket.recv()
        if message == END:
            assert socket.poll(0) == 0
            return found
        found.append(int(message[:8]))
    raise AssertionError


def receive_lacking(zmq, link, endpoint, lack):
    """A binder that cannot take larger rings until it was sent everything."""
    begin, limit = LACKS[lack]
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvhwm = 0
        pull.bind(endpoint)
        link.tell()
        assert pull.recv() == b"married"
        soft = resource.getrlimit(limit)
        begin()
        link.tell()
        wait_until(link.has_word, "everything to be sent")
        ended = pull.stats()["disconnected"]
        resource.setrlimit(limit, soft)
        link.hear()
        return ended, numbers(pull)


@pytest.mark.parametrize("lack", LACKS)
def test_receiver_that_cannot_take_a_larger_ring_gets_everything_once_in_order(
    zmq, sockets, ipc, run_child, lack
):
    child = run_child(receive_lacking, ipc, lack)
    child.hear()
    push = sockets(zmq.PUSH)
    push.sndhwm = 0
    push.reconnect_ivl = 10
    push.connect(ipc)
    push.send(b"married")
    child.hear()
    for number in range(MANY):
        push.send(numbered(number))
    push.send(END)
    wait_until(lambda: push.stats()["redelivered"], "the connection to be ended")
    child.tell()
    ended, found = child.result()
    assert ended
    assert found == list(range(MANY))


def send_lacking(zmq, link, endpoint):
    """A connecter that cannot take the binder's larger ring, with messages under way."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.sndhwm = dealer.rcvhwm = 0
        dealer.reconnect_ivl = 10
        dealer.connect(endpoint)
        link.hear()
        for number in range(MANY):
            dealer.send(numbered(number))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)
        allow_no_fd()
        link.tell()
        wait_until(lambda: dealer.stats()["disconnected"], "the connection to be ended")
        resource.setrlimit(resource.RLIMIT_NOFILE, soft)
        dealer.send(END)
        link.hear()
        return dealer.stats()["redelivered"]


def test_sender_that_cannot_take_a_larger_ring_is_heard_once_in_order(zmq, sockets, ipc, run_child):
    child = run_child(send_lacking, ipc)
    dealer = sockets(zmq.DEALER)
    dealer.sndhwm = dealer.rcvhwm = 0
    dealer.bind(ipc)
    wait_until(lambda: [peer["transport"] for peer in dealer.peers()] == ["ring"], "the sender")
    child.tell()
    child.hear()
    first = [int(dealer.recv()[:8]) for _ in range(100)]
    for number in range(MANY):
        dealer.send(numbered(number))
    found = numbers(dealer)
    child.tell()
    assert first + found == list(range(MANY))
    assert child.result() > 0
