"""RLIMIT_AS is reached while messages wait in this process: an error of the sender's; all before it arrives.

A high-water mark of 0 sets no bound, so memory is the bound. libzmq ends the process there (alloc_assert).
"""

from __future__ import annotations

import resource
from itertools import count

import pytest

from kit import CAP_MS, marry, wait_until

MIB = 1 << 20
PAGE = resource.getpagesize()

pytestmark = pytest.mark.shmzmq_only("libzmq ends the process")

BODIES = {
    "small bytes": (bytes, 1000),
    "small bytearray": (bytearray, 1000),
    "large bytearray": (bytearray, 300_000),
}


def allow_more(nbytes: int) -> bytearray:
    """Let this process take so many more bytes of address space, and not one beyond.

    What comes back is to be let go of when they are gone: Python cannot go on without any.
    """
    ballast = bytearray(16 * MIB)
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * PAGE
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + nbytes, hard))
    return ballast


def numbered(kind, size, number):
    return kind(b"%08d" % number + bytes(size - 8))


def fill(zmq, push, kind, size):
    """Sends until that finds no memory: how many, and what was said."""
    for number in count():
        try:
            push.send(numbered(kind, size, number))
        except MemoryError as error:
            return number, isinstance(error, zmq.ZMQError) or type(error) is MemoryError


def received(pull):
    """The next message; None: none came, or there was no memory for it, and it stays for the next call."""
    try:
        return pull.recv() if pull.poll(100) else None
    except MemoryError:
        return None


def came_in_order(pull, how_many):
    """How many of so many came, up to the first that is out of order. Keeps nothing: memory is short."""
    for number in range(how_many):
        # A `bytes` that an I/O thread has let go of is free with our next call.
        message = wait_until(lambda: received(pull), "a message")
        if int(message[:8]) != number:
            return number
    return how_many


def send_until_memory_is_short(zmq, link, transport, kind, size):
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.sndhwm = pull.rcvhwm = 0
        endpoint = "inproc://short" if transport == "inproc" else "tcp://127.0.0.1:*"
        pull.bind(endpoint)
        push.connect(pull.last_endpoint)
        marry(push, pull)
        ballast = allow_more(96 * MIB)
        sent, well_said = fill(zmq, push, kind, size)
        del ballast
        came = came_in_order(pull, sent)
        # What was taken is free again.
        push.send(numbered(bytes, size, 0))
        return sent, well_said, came == sent, came_in_order(pull, 1), pull.poll(0)


@pytest.mark.parametrize("transport", ["tcp", "inproc"])
@pytest.mark.parametrize(("kind", "size"), BODIES.values(), ids=BODIES)
def test_queue_without_bound_ends_in_an_error_and_nothing_is_lost(run_child, transport, kind, size):
    sent, well_said, all_came, later, left = run_child(
        send_until_memory_is_short, transport, kind, size
    ).result()
    assert sent > 10 * MIB // size
    assert (well_said, all_came, later, left) == (True, True, 1, 0)


def queue_until_memory_is_short(zmq, link, kind, size):
    """Sends to nobody, then lets a peer come."""
    with zmq.Context() as context:
        context.linger = 0
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.sndhwm = pull.rcvhwm = 0
        push.reconnect_ivl = 10
        pull.bind("tcp://127.0.0.1:*")
        endpoint = pull.last_endpoint
        pull.unbind(endpoint)
        push.connect(endpoint)
        ballast = allow_more(96 * MIB)
        sent, well_said = fill(zmq, push, kind, size)
        del ballast
        pull.bind(endpoint)
        return sent, well_said, came_in_order(pull, sent) == sent, pull.poll(0)


@pytest.mark.parametrize(("kind", "size"), BODIES.values(), ids=BODIES)
def test_what_was_queued_for_nobody_goes_to_the_first_peer(run_child, kind, size):
    sent, *rest = run_child(queue_until_memory_is_short, kind, size).result()
    assert sent > 10 * MIB // size
    assert rest == [True, True, 0]


def send_parts_beyond_memory(zmq, link):
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        pull.bind("tcp://127.0.0.1:*")
        push.connect(pull.last_endpoint)
        marry(push, pull)
        large = bytearray(64 * MIB)
        ballast = allow_more(32 * MIB)
        said = []
        for parts in ([b"first", large], [b"a" * 20_000, b"b", large, b"c"], [large]):
            with pytest.raises(MemoryError) as info:
                push.send_multipart(parts)
            said.append(str(info.value))
        del ballast
        push.send_multipart([b"whole", b"message"])
        assert pull.poll(CAP_MS)
        return said, pull.recv_multipart(), pull.poll(0), push.stats()["messages_sent"]


def test_message_of_which_one_frame_finds_no_memory_is_not_sent_at_all(run_child):
    said, came, left, sent = run_child(send_parts_beyond_memory).result()
    assert all("67108864 bytes" in text for text in said), said
    assert (came, left) == ([b"whole", b"message"], 0)
    assert sent == 2  # with the one of `marry`


def receive_more_than_there_is_memory_for(zmq, link):
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvhwm = 0
        pull.bind("tcp://127.0.0.1:*")
        link.tell(pull.last_endpoint)
        assert pull.poll(CAP_MS)
        pull.recv()
        ballast = allow_more(64 * MIB)
        link.tell("full")
        wait_until(link.has_word, "the sender to be held up")
        del ballast
        sent = link.hear()
        return came_in_order(pull, sent) == sent, pull.poll(0)


def test_receiver_short_of_memory_stops_reading_and_loses_nothing(zmq, sockets, run_child):
    child = run_child(receive_more_than_there_is_memory_for)
    push = sockets(zmq.PUSH)
    push.sndtimeo = 1000
    push.connect(child.hear())
    push.send(b"married")
    assert child.hear() == "full"
    size, sent = 1000, 0
    while sent < 300 * MIB // size:
        try:
            push.send(numbered(bytes, size, sent))
        except zmq.Again:
            break
        sent += 1
    assert 32 * MIB // size < sent < 300 * MIB // size
    child.tell(sent)
    assert child.result() == (True, 0)
