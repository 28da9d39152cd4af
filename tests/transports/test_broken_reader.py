"""A reader that writes nonsense into the words it shares with a sender: that costs it its connection."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from kit import CAP_MS, wait_until

# native/shm/src/layout.rs: the words that the connecter writes for what it reads.
READER = 1024 + 2 * 128
COUNT = 5000  # far beyond the high-water mark

pytestmark = [pytest.mark.shmzmq_only("pyzmq has no shared memory"), pytest.mark.slow]


def read_and_break(zmq, link, endpoint, kind):
    """Connects, writes to each ring that it reads a position that cannot be, and reads nothing."""
    with zmq.Context() as context, context.socket(kind) as reader:
        if kind == zmq.SUB:
            reader.subscribe(b"")
        reader.set(zmq.RECONNECT_IVL, -1)
        reader.connect(endpoint)
        link.tell("connecting")
        assert link.hear() == "break"
        rings = [line for line in Path("/proc/self/maps").read_text().splitlines() if "shmzmq-pipe" in line]
        for line in rings:
            start = int(line.partition("-")[0], 16)
            ctypes.c_uint64.from_address(start + READER).value = 1 << 60
        link.tell(len(rings))
        link.hear()


def count(zmq, link, endpoint, kind):
    with zmq.Context() as context, context.socket(kind) as reader:
        if kind == zmq.SUB:
            reader.subscribe(b"")
        reader.set(zmq.RCVTIMEO, CAP_MS)
        reader.connect(endpoint)
        link.tell("connecting")
        seen = [int(reader.recv()) for _ in range(COUNT)]
        link.tell(seen == list(range(COUNT)))


@pytest.fixture
def beside(run_child, ipc):
    def start(function, kind):
        child = run_child(function, ipc, kind)
        assert child.hear() == "connecting"
        return child

    return start


def peers_of(sender):
    return [row["transport"] for row in sender.peers()]


@pytest.mark.parametrize("nodrop", [0, 1])
def test_blocks_of_a_broken_reader_come_back_when_it_ends(zmq, sockets, ipc, beside, nodrop):
    """Not before: it may still read them."""
    pub = sockets(zmq.XPUB, sndtimeo=CAP_MS, rcvtimeo=CAP_MS)
    pub.set(zmq.XPUB_NODROP, nodrop)
    pub.bind(ipc)
    bad = beside(read_and_break, zmq.SUB)
    assert pub.recv() == b"\1"
    for _ in range(20):
        pub.send(bytes(100_000))
    assert pub.stats()["arena_lent"] == 20
    bad.tell("break")
    assert bad.hear() == 1
    for _ in range(COUNT):
        pub.send(bytes(100))
    wait_until(lambda: not peers_of(pub), "the broken reader to be cut off")
    assert pub.stats()["protocol_errors"] == 1
    assert pub.stats()["arena_lent"] == 20
    bad.tell("end")
    bad.result()
    wait_until(lambda: pub.stats()["arena_lent"] == 0, "what it was lent to come back")


def test_publisher_that_loses_nothing_does_not_wait_for_a_broken_reader(zmq, sockets, ipc, beside):
    pub = sockets(zmq.XPUB, sndtimeo=CAP_MS, rcvtimeo=CAP_MS)
    pub.set(zmq.XPUB_NODROP, 1)
    pub.set(zmq.XPUB_VERBOSE, 1)
    pub.bind(ipc)
    good, bad = beside(count, zmq.SUB), beside(read_and_break, zmq.SUB)
    assert [pub.recv(), pub.recv()] == [b"\1", b"\1"]
    bad.tell("break")
    assert bad.hear() == 1
    for number in range(COUNT):
        pub.send(b"%d" % number)
    assert good.hear() is True
    wait_until(lambda: len(peers_of(pub)) <= 1, "the broken reader to be cut off")
    bad.tell("end")
    good.result()
    bad.result()
