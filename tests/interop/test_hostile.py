"""Hostile bytes at every stage, while a good peer (real libzmq) is being served.

Each case of hostile.py: the hostile connection ends within a cap, or goes on to serve where the standard
allows that; nothing that it says before a whole handshake reaches the application; the good peer gets its
answer before, during and after; `stats()` counts what we ended.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import hostile
import pytest
import wire
from hostile import CASES, CLOSED, EITHER, GREETING, HELD, OPEN, READY, TO_CONNECTER, TRAFFIC
from wire import GREETING_BYTES, command, greeting, message, ready, resolved

from kit import CAP_MS, wait_until

pytestmark = pytest.mark.slow  # all together

ALIVE = b"alive: this connection still serves"


def test_table_is_large_enough_and_names_are_its_own():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 300
    assert {name for name in hostile.LAX} <= {*names, *(name.partition(":")[0] for name in names)}


# --- the house: a socket under test with its good peer -----------------------------------------------------


GOOD = {"ROUTER": "DEALER", "REP": "REQ", "PULL": "PUSH", "SUB": "PUB", "PUB": "SUB", "XPUB": "SUB"}


class House:
    """The socket under test; `good` is the peer that must be served whatever happens."""

    def __init__(self, zmq, backend, socket, good):
        self.zmq, self.backend, self.socket, self.good = zmq, backend, socket, good
        self.kind = next(kind for kind in GOOD if getattr(zmq, kind) == socket.type)
        self.strange = []  # what arrived from others than the good peer
        self.numbers = itertools.count()

    def failures(self):
        if self.backend == "zmq":
            return None
        stats = self.socket.stats()
        return stats["handshakes_failed"] + stats["protocol_errors"]

    def serve_good(self):
        """One more exchange with the good peer."""
        said = b"good %d" % next(self.numbers)
        if self.kind in ("PUB", "XPUB"):
            self.publish(said)
        else:
            self.good.send(said)
            while (heard := self.receive())[-1] != said:
                self.strange.append(heard)
            if self.kind in ("ROUTER", "REP"):
                self.socket.send_multipart(heard if self.kind == "ROUTER" else [said])
                assert self.good.recv() == [said]

    def receive(self):
        """The next message of anybody; of a ROUTER with the sender's id."""
        return self.socket.recv_multipart()

    def publish(self, said):
        self.socket.send(said)
        assert self.good.recv() == [said]
        while self.kind == "XPUB" and self.socket.poll(0):
            self.strange.append(self.socket.recv_multipart())

    def take_alive(self):
        """The word of a tolerated peer arrives."""
        while not (heard := self.receive())[-1].endswith(ALIVE):
            self.strange.append(heard)

    def strangers_said(self):
        """Without routing ids."""
        return [frames[1:] if self.kind == "ROUTER" else frames for frames in self.strange]


def set_up_good(house):
    """The good peer is connected and served; a subscriber has been heard of."""
    socket = house.socket
    if house.kind == "XPUB":
        assert socket.recv() == b"\x01good"
    elif house.kind == "PUB":
        wait_until(lambda: socket.send(b"good?") or house.good.poll(1), "the good subscriber to be heard of")
        socket.send(b"good!")
        while house.good.recv() != [b"good!"]:
            pass
    elif house.kind == "SUB":
        wait_until(lambda: house.good.send(b"good?") or socket.poll(1), "the good publisher to hear of us")
        house.good.send(b"good!")
        while socket.recv() != b"good!":
            pass
    house.serve_good()


@pytest.fixture
def new_house(zmq, backend, sockets, remote, new_endpoint, transport):
    """A function from a case to its house, and the endpoint for the hostile peer (none: ours connects)."""

    def build(case, role):
        options = {**case.options}
        topic = options.pop("topic", b"")
        socket = sockets(getattr(zmq, case.kind), linger=0, reconnect_ivl=100, **options)
        good = remote(GOOD[case.kind], linger=0)
        if case.kind == "ROUTER":
            good.call("setsockopt", 5, b"good")  # ROUTING_ID
        if case.kind == "SUB":
            for each in {b"good", topic}:
                socket.subscribe(each)
        if good.kind == "SUB":
            good.call("subscribe", b"good")
        if role == "bind":
            socket.bind(new_endpoint(transport))
            good.connect(resolved(socket))
        else:
            socket.connect(good.bind(new_endpoint(transport)))
        house = House(zmq, backend, socket, good)
        set_up_good(house)
        return house

    return build


# --- one case ----------------------------------------------------------------------------------------------


def say(case, line):
    """What the hostile peer has to say, at its stage; that it is cut off meanwhile is no surprise."""
    if case.stage != GREETING:
        line.say(greeting())
        line.hear(GREETING_BYTES)
    if case.stage == TRAFFIC:
        line.say(ready(case.peer.encode()))
        line.hear_frame()
    # Where the standard leaves it open we may also stop reading.
    too_late = (TimeoutError,) if case.fate == EITHER else ()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, *too_late):
        if callable(case.says):
            case.says(line)
        else:
            line.say(case.says)


def prove_alive(house, case, line):
    """The connection serves like any other."""
    if case.kind in ("PUB", "XPUB"):
        line.say(command(b"SUBSCRIBE", ALIVE))
        if case.kind == "XPUB":
            house.take_alive()
        wait_until(lambda: house.socket.send(ALIVE) or line.has_word(), "the tolerated subscriber to hear")
        while line.hear_message() != [ALIVE]:
            pass
        return
    alive = {"REP": [b"", ALIVE], "SUB": [b"t" + ALIVE]}.get(case.kind, [ALIVE])
    line.say(message(*alive))
    house.take_alive()
    if case.kind == "REP":
        house.socket.send(ALIVE)


def expect_fate(house, case, line, fate):
    if fate == CLOSED:
        line.wait_closed()
    elif fate == OPEN:
        prove_alive(house, case, line)
    elif fate == HELD:
        house.serve_good()
        said = b""
        with contextlib.suppress(BlockingIOError):
            line.peer.setblocking(False)
            while more := line.peer.recv(65536):
                said += more
            raise AssertionError(f"the connection was closed after {said!r:.200}")


def expect_delivered(house, case, fate):
    said = house.strangers_said()
    if fate == EITHER:
        assert all(each in case.delivers for each in said), said
    elif fate == CLOSED:
        # Whole messages before the mistake may still be given to the application.
        assert said == case.delivers[: len(said)]
    else:
        assert said == case.delivers


def expect_counted(house, fate, before, exactly):
    if house.backend == "zmq" or fate == EITHER:
        return
    if fate == CLOSED:
        wait_until(lambda: house.failures() > before, "the failure to be counted")
        assert not exactly or house.failures() == before + 1
    else:
        assert house.failures() == before


def run(house, case, line, role):
    fate = EITHER if house.backend == "zmq" and case.lax else case.fate
    before = house.failures()
    say(case, line)
    house.serve_good()
    expect_fate(house, case, line, fate)
    house.serve_good()
    if not (house.backend == "zmq" and case.lax):
        expect_delivered(house, case, fate)
    expect_counted(house, fate, before, exactly=role == "bind")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bound_socket_survives(new_house, case):
    house = new_house(case, "bind")
    with wire.dial(resolved(house.socket)) as line:
        run(house, case, line, "bind")


@pytest.mark.parametrize("case", TO_CONNECTER, ids=[case.name for case in TO_CONNECTER])
def test_connecting_socket_survives(new_house, new_endpoint, transport, case):
    house = new_house(case, "connect")
    with wire.listen(new_endpoint(transport)) as listener:
        house.socket.connect(listener.endpoint)
        with listener.accept() as line:
            run(house, case, line, "connect")


# --- many at once ------------------------------------------------------------------------------------------

QUIET = hostile.Case("many", READY, b"")


def memory_kib():
    """proc(5): size and resident set of this process."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["VmSize"].split()[0]), int(rows["VmRSS"].split()[0])


def test_sixty_silent_connections_keep_nobody_from_being_served(new_house):
    house = new_house(QUIET, "bind")
    lines = [wire.dial(resolved(house.socket)) for _ in range(60)]
    try:
        for _ in range(10):
            house.serve_good()
    finally:
        for line in lines:
            line.close()
    house.serve_good()
    assert house.strange == []


@pytest.mark.shmzmq_only("libzmq takes the memory of a declared length before its bytes come")
def test_declared_lengths_take_no_memory(new_house):
    """The threat model's bound: less than 2 MiB per such connection."""
    house = new_house(QUIET, "bind")
    before = memory_kib()
    count = 20
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(wire.dial(resolved(house.socket))) for _ in range(count)]
        for number, line in enumerate(lines):
            line.shake_hands(b"DEALER")
            line.say(wire.header(wire.LONG, 1 << (31 + number % 10)) + bytes(1000))
            line.wait_taken()
        house.serve_good()
        grown = [now - then for now, then in zip(memory_kib(), before, strict=True)]
    assert max(grown) < count * 2048, f"KiB of address space and memory: {grown}"


@pytest.mark.shmzmq_only("libzmq reads no more subscriptions than its HWM until the application makes a call")
def test_many_topics_are_heard_though_the_application_makes_no_call(meet):
    pub, line = meet("PUB")
    line.shake_hands(b"SUB")
    line.say(b"".join(command(b"SUBSCRIBE", b"%d" % number) for number in range(20_000)))
    line.wait_taken()
    wait_until(lambda: pub.send(b"19999") or line.has_word(), "the last topic to be known")
    assert line.hear_message() == [b"19999"]


@pytest.mark.shmzmq_only("libzmq gives an endpoint up for good after one strange answer")
def test_connecter_comes_back_to_a_place_where_a_stranger_was(zmq, sockets, new_endpoint, transport):
    with wire.listen(new_endpoint(transport)) as listener:
        push = sockets(zmq.PUSH, reconnect_ivl=1, sndtimeo=CAP_MS)
        push.connect(listener.endpoint)
        for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", greeting() + message(b"no"), greeting(major=1)):
            with listener.accept() as line:
                line.say(said)
                line.wait_closed()
        with listener.accept() as line:
            line.shake_hands(b"PULL")
            push.send(b"at last")
            assert line.hear_message() == [b"at last"]
