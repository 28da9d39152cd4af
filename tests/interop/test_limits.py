"""What a peer may cost that says nothing wrong, only too little or too much.

Raw wires stand for such peers. A peer has no place in routing before its handshake is over (CVE-2020-15166
was that it had); it subscribes to so much and no more; it hands over no fds that nobody asked for. Each limit
costs its own connection, and whoever means well is served all the time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket as posix
from pathlib import Path

import pytest
import wire
from wire import GREETING_BYTES, command, greeting, message, ready, resolved

from kit import CAP, drain, expect, refused, wait_until

TOPIC_BYTES = 64 * 1024  # traffic.rs: the longest
TOPICS_MAX, TOPICS_BYTES_MAX = 1_000_000, 64 << 20  # xpub.rs: of one peer
PENDING_BYTES_MAX = 64 << 20  # xpub.rs: announcements that wait for the program
WAITING_MAX, WAITING_BYTES_MAX = 1_000_000, 64 << 20  # inbound.rs: what waits for a publisher's next call


def subscribe(topic):
    return command(b"SUBSCRIBE", topic)


def cancel(topic):
    return command(b"CANCEL", topic)


# --- nobody is a peer before its handshake is over ---------------------------------------------------------

TAKERS = {"PUSH": "PULL", "DEALER": "DEALER"}


@pytest.fixture
def hello(zmq, sockets, scratch):
    """A function from a kind to the greeting and READY of one of us, which asks for rings."""

    def of(kind):
        with wire.listen(f"ipc://{scratch}/mirror") as mirror:
            socket = sockets(getattr(zmq, kind), linger=0)
            socket.connect(mirror.endpoint)
            with mirror.accept() as line:
                said = line.hear(GREETING_BYTES) + line.hear_frame().raw
            socket.close()
        assert b"X-SHM" in said
        return said

    return of


@pytest.fixture
def stages(backend, transport, hello):
    """A function from a peer's kind to what it says at each stage before it is one."""

    def of(kind):
        said = {
            "silent": b"",
            "half a greeting": greeting()[:32],
            "a greeting": greeting(),
            "half of READY": greeting() + ready(kind.encode())[:-1],
        }
        if backend == "shmzmq" and transport == "ipc":
            said["READY that wants rings"] = hello(kind)
        return said

    return of


@pytest.mark.parametrize("kind", TAKERS)
def test_nothing_is_sent_to_a_peer_that_has_not_shaken_hands(
    zmq, sockets, new_endpoint, transport, kind, stages
):
    socket = sockets(getattr(zmq, kind))
    socket.bind(new_endpoint(transport))
    taker = TAKERS[kind]
    with contextlib.ExitStack() as stack:
        lines = []
        for said in stages(taker).values():
            for _ in range(8):
                line = stack.enter_context(wire.dial(resolved(socket)))
                line.say(said)
                lines.append(line)
        for line in lines:
            line.hear(10)  # it was accepted
            line.wait_taken()
        assert refused(zmq, "EAGAIN", socket.send, b"nobody", zmq.DONTWAIT)
        assert not socket.poll(0, zmq.POLLOUT)
        good = sockets(getattr(zmq, taker))
        good.connect(resolved(socket))
        for number in range(2000):
            socket.send(b"to a peer %d" % number)
            if number % 100 == 99:
                for earlier in range(number - 99, number + 1):
                    expect(good, b"to a peer %d" % earlier)
        for line in lines:
            line.peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while heard := line.peer.recv(65536):
                    assert b"to a peer" not in heard


@pytest.mark.parametrize("kind", TAKERS)
def test_immediate_accepts_nothing_for_a_listener_that_has_not_shaken_hands(
    zmq, sockets, new_endpoint, transport, kind, stages
):
    """Alone it leaves nobody to send to; beside a good one that one gets everything."""
    for said in stages(TAKERS[kind]).values():
        socket = sockets(getattr(zmq, kind), immediate=1)
        with wire.listen(new_endpoint(transport)) as listener:
            socket.connect(listener.endpoint)
            with listener.accept() as line:
                line.say(said)
                line.hear(10)
                line.wait_taken()
                assert refused(zmq, "EAGAIN", socket.send, b"nobody", zmq.DONTWAIT)
                assert not socket.poll(0, zmq.POLLOUT)
                good = sockets(getattr(zmq, TAKERS[kind]))
                good.bind(new_endpoint(transport))
                socket.connect(resolved(good))
                for number in range(100):
                    socket.send(b"%d" % number)
                for number in range(100):
                    expect(good, b"%d" % number)
        socket.close(linger=0)
        good.close()


# --- subscriptions -----------------------------------------------------------------------------------------


def resident_kib():
    """proc(5)."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0])


def large_topics(first=0):
    """Topics of the greatest length that differ at once."""
    return (b"large %08d" % number + bytes(TOPIC_BYTES - 14) for number in itertools.count(first))


@pytest.fixture
def publisher(zmq, sockets, new_endpoint, transport):
    """A function from a kind to a bound publisher, and a subscriber to b"good" that it serves."""

    def fresh(kind, **options):
        socket = sockets(getattr(zmq, kind), **options)
        socket.bind(new_endpoint(transport))
        good = sockets(zmq.SUB)
        good.subscribe(b"good")
        good.connect(resolved(socket))
        if "xpub_manual" in options:
            expect(socket, b"\x01good")
            socket.subscribe(b"good")
        wait_until(lambda: socket.send(b"good?") or good.poll(1), "the good subscriber to be heard of")
        serve(socket, good)
        return socket, good

    return fresh


def serve(socket, good):
    """One exchange; what it received before is passed over."""
    said = b"good %d" % next(numbers)
    socket.send(said)
    while good.recv() != said:
        pass


numbers = itertools.count()


def say_while_serving(socket, good, line, pieces):
    """The publisher makes calls meanwhile, or it would apply nothing."""
    for piece in pieces:
        line.say(piece)
        serve(socket, good)


def expect_only_its_own_end(socket, good, line):
    """It is cut off at the publisher's next calls, which is one error; the others go on."""
    failed = socket.stats()["protocol_errors"]
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.say(subscribe(b"one more") + subscribe(b"and more") * 100)
    wait_until(lambda: serve(socket, good) or line.has_word(), "the end of who subscribed to too much")
    line.wait_closed()
    assert socket.stats()["protocol_errors"] == failed + 1
    for _ in range(10):
        serve(socket, good)


def expect_served(socket, line, topic):
    wait_until(lambda: socket.send(topic) or line.has_word(), "the subscriber to be heard of")
    assert line.hear_message() == [topic]
    while line.has_word():
        line.hear_message()


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq takes as many as there is memory for")
def test_bytes_of_a_peers_topics_have_a_limit_and_are_given_back(publisher):
    socket, good = publisher("PUB")
    topics = list(itertools.islice(large_topics(), TOPICS_BYTES_MAX // TOPIC_BYTES))
    sizes = []
    for _ in range(2):
        with wire.dial(resolved(socket)) as line:
            line.shake_hands(b"SUB")
            say_while_serving(socket, good, line, map(subscribe, topics))
            expect_served(socket, line, topics[-1])
            expect_only_its_own_end(socket, good, line)
        sizes.append(resident_kib())
    # malloc(3) may keep what was freed, for the next one who takes as much.
    assert (sizes[1] - sizes[0]) << 10 < TOPICS_BYTES_MAX // 2, f"KiB after each: {sizes}"


@pytest.mark.slow
@pytest.mark.not_over("ipc", "the same code, and seconds of work")
@pytest.mark.shmzmq_only("libzmq takes as many as there is memory for")
def test_count_of_a_peers_topics_has_a_limit(publisher):
    socket, good = publisher("PUB")
    head, step = subscribe(b"0000000")[:-7], TOPICS_MAX // 100
    runs = (
        b"".join(head + b"%07d" % number for number in range(first, first + step))
        for first in range(0, TOPICS_MAX, step)
    )
    with wire.dial(resolved(socket)) as line:
        line.shake_hands(b"SUB")
        say_while_serving(socket, good, line, runs)
        expect_served(socket, line, b"%07d" % (TOPICS_MAX - 1))
        expect_only_its_own_end(socket, good, line)


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq takes as many as there is memory for")
def test_what_a_peer_asks_of_a_manual_publisher_has_a_limit(zmq, publisher):
    socket, good = publisher("XPUB", xpub_manual=1)
    topics = itertools.islice(large_topics(), TOPICS_BYTES_MAX // TOPIC_BYTES)
    with wire.dial(resolved(socket)) as line:
        line.shake_hands(b"XSUB")
        say_while_serving(socket, good, line, map(subscribe, topics))
        expect_only_its_own_end(socket, good, line)


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq keeps as many as there is memory for")
def test_announcements_that_no_program_takes_have_a_limit_and_the_oldest_go(zmq, publisher):
    socket, good = publisher("XPUB")
    expect(socket, b"\x01good")
    topic = next(large_topics())
    pairs, kept = 600, PENDING_BYTES_MAX // (1 + TOPIC_BYTES)
    with wire.dial(resolved(socket)) as line:
        line.shake_hands(b"XSUB")
        say_while_serving(socket, good, line, itertools.repeat(subscribe(topic) + cancel(topic), pairs))
        line.say(subscribe(b"last"))
        wait_until(lambda: socket.send(b"last") or line.has_word(), "the last topic to be heard of")
        announced = [frames[0] for frames in drain(socket, zmq.DONTWAIT)]
        assert announced[-3:] == [b"\x01" + topic, b"\x00" + topic, b"\x01last"]
        assert len(announced) in (kept, kept + 1)
        assert socket.stats()["discarded_notification"] == 2 * pairs + 1 - len(announced)
        assert line.hear_message() == [b"last"]
        serve(socket, good)


# Nothing here goes beyond what a peer may subscribe to, or what a frame may hold.
UPSTREAM = {
    "subscriptions": (b"SUB", lambda topic: subscribe(topic) + cancel(topic)),
    "messages": (b"XSUB", lambda body: message(body) * 2),
}


class Flood:
    """The same bytes again and again, as many as the other side takes."""

    def __init__(self, line, said):
        self.peer, self.said, self.total = line.peer, said, 0

    def is_taken(self, least, within):
        """Say on until so many bytes were taken, no half of a run. False: it takes no more for now."""
        self.peer.settimeout(within)
        try:
            while self.total < least or self.total % len(self.said):
                self.total += self.peer.send(self.said[self.total % len(self.said) :])
        except (TimeoutError, BlockingIOError):
            return False
        return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", UPSTREAM)
@pytest.mark.shmzmq_only("libzmq reads no more subscriptions than its HWM until the application makes a call")
def test_what_waits_for_a_publisher_that_makes_no_call_has_a_limit(zmq, publisher, kind):
    """The connection stalls, as at a high-water mark, and goes on when the publisher does."""
    socket, good = publisher("XPUB", rcvbuf=1 << 17)  # or the kernel may take half as much again (tcp(7))
    peer, pair_of = UPSTREAM[kind]
    with wire.dial(resolved(socket)) as line:
        line.shake_hands(peer)
        flood = Flood(line, pair_of(next(large_topics())))
        assert not flood.is_taken(WAITING_BYTES_MAX * 3 // 2, 0.3)
        assert flood.total < WAITING_BYTES_MAX * 5 // 4  # with what two kernels hold

        def all_is_taken():
            serve(socket, good)
            drain(socket, zmq.DONTWAIT)
            return flood.is_taken(WAITING_BYTES_MAX * 3 // 2, 0)

        wait_until(all_is_taken, "the publisher to take it all", 2 * CAP)
        line.peer.settimeout(CAP)
        line.say(subscribe(b"last"))
        expect_served(socket, line, b"last")


@pytest.mark.slow
@pytest.mark.not_over("tcp", "two kernels may hold as many")
@pytest.mark.shmzmq_only("libzmq reads no more subscriptions than its HWM until the application makes a call")
def test_so_many_subscriptions_wait_for_a_publisher_that_makes_no_call(publisher):
    socket, good = publisher("PUB")
    run = (subscribe(b"a") + cancel(b"a")) * 5000
    limit = len(run) * WAITING_MAX // 10_000
    with wire.dial(resolved(socket)) as line:
        line.shake_hands(b"SUB")
        flood = Flood(line, run)
        assert not flood.is_taken(limit * 3 // 2, 0.3)
        assert flood.total < limit * 5 // 4

        def all_is_taken():
            serve(socket, good)
            return flood.is_taken(limit * 3 // 2, 0)

        wait_until(all_is_taken, "the publisher to take it all", 2 * CAP)
        line.peer.settimeout(CAP)
        line.say(subscribe(b"last"))
        expect_served(socket, line, b"last")


# --- fds ---------------------------------------------------------------------------------------------------

FDS = {
    "5 with the greeting": [(greeting(), 5)],
    "253 with the greeting": [(greeting(), 253)],  # unix(7): the most at a time
    "1 with the greeting": [(greeting(), 1)],
    "4 with half a greeting": [(greeting()[:20], 4)],
    "4 with each half": [(greeting()[:20], 4), (greeting()[20:], 4)],
    "3 with READY": [(greeting(), 0), (ready(b"PUSH"), 3)],
    "5 after the handshake": [(greeting() + ready(b"PUSH"), 0), (command(b"WHAT"), 5)],
}


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["ipc"], indirect=True)
@pytest.mark.parametrize("fds", FDS.values(), ids=FDS)
def test_fds_that_nobody_asked_for_are_not_kept(zmq, sockets, new_endpoint, transport, fds):
    """However long who sent them stays: 200 connections at a time."""
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(new_endpoint(transport))
    push.connect(resolved(pull))
    with contextlib.ExitStack() as stack:
        gift = os.memfd_create("gift", os.MFD_CLOEXEC)
        stack.callback(os.close, gift)
        for number in range(200):
            line = stack.enter_context(wire.dial(resolved(pull)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for said, count in fds:
                    posix.send_fds(line.peer, [said], [gift] * count)
                    line.wait_taken()
            line.hear(10)  # it was accepted
            if number % 20 == 0:
                push.send(b"%d" % number)
                expect(pull, b"%d" % number)
        wait_until(lambda: handles("gift") == 1, "what nobody asked for to be closed")
    push.send(b"after")
    expect(pull, b"after")


def handles(name):
    """How many fds of this process are that memfd."""
    links = [Path("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    return sum(link.is_symlink() and os.readlink(link) == f"/memfd:{name} (deleted)" for link in links)
