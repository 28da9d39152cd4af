"""A program that waits in recv again and again reads its connection itself (S-7); else the engine does.

The peer is a few bytes of ZMTP by hand.
"""

from __future__ import annotations

import contextlib
import signal
import socket as system_socket
import threading
import time

import pytest

from kit import CAP, CAP_MS, Task, path_of, wait_readable, wait_until

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
PING = b"\x04\x0a\x04PING\x00\x00abc"
PONG = b"\x04\x08\x04PONGabc"
ROUNDS = 30  # far more than make a program read by itself

pytestmark = pytest.mark.shmzmq_only("pyzmq's programs never read a connection themselves")


def frame(body: bytes) -> bytes:
    return b"\x02" + len(body).to_bytes(8, "big") + body


@contextlib.contextmanager
def a_wire(address, speaks_as=b"PUSH"):
    """A PUSH by hand, or another type."""
    kind, where = address
    ready = b"\x05READY\x0bSocket-Type" + len(speaks_as).to_bytes(4, "big") + speaks_as
    with system_socket.socket(kind) as wire:
        wire.settimeout(CAP)
        wire.connect(where)
        wire.sendall(GREETING + bytes([4, len(ready)]) + ready)
        answer = b""
        while len(answer) < 66 or len(answer) < 66 + answer[65]:
            answer += wire.recv(100)
        yield wire


@pytest.fixture(params=["tcp", "ipc"])
def reader(request, zmq, sockets, ipc):
    """A PULL and where it is found."""
    pull = sockets(zmq.PULL, rcvtimeo=CAP_MS)
    if request.param == "tcp":
        pull.bind("tcp://127.0.0.1:*")
        port = int(pull.last_endpoint.decode().rstrip("\0").rpartition(":")[2])
        return pull, (system_socket.AF_INET, ("127.0.0.1", port))
    pull.bind(ipc)
    return pull, (system_socket.AF_UNIX, path_of(ipc))


def take_the_turn(pull, wire, size=10):
    """Sends only what the program waits for already."""
    bodies = [bytes([number]) * size for number in range(ROUNDS)]
    got = []
    task = threading.Thread(target=lambda: got.extend(pull.recv() for _ in range(ROUNDS)))
    task.start()
    for number, body in enumerate(bodies):
        wait_until(lambda number=number: len(got) >= number - 1, "the program has read on")
        wire.sendall(frame(body))
    task.join(CAP)
    assert got == bodies


@pytest.mark.parametrize("size", [10, 20_000, 300_000, 1_000_000, 1_500_000])
def test_messages_of_every_size_come_whole(reader, size):
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire, size)


def test_what_comes_while_the_program_is_away_is_read(zmq, reader):
    """More than the kernel takes; the program does not call."""
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        for _ in range(20):
            wire.sendall(frame(bytes(1_000_000)))
        for _ in range(20):
            assert len(pull.recv()) == 1_000_000


@pytest.mark.parametrize("waits", [True, False], ids=["blocked", "away"])
def test_a_ping_is_answered(reader, waits):
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        task = threading.Thread(target=pull.recv)
        if waits:
            task.start()
        wire.sendall(PING)
        assert wire.recv(100) == PONG
        wire.sendall(frame(b"end"))
        if waits:
            task.join(CAP)
        else:
            assert pull.recv() == b"end"


def test_a_poller_hears_of_what_comes(zmq, reader):
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        wire.sendall(frame(b"polled"))
        wait_readable(zmq, pull)
        assert pull.recv(zmq.DONTWAIT) == b"polled"
        take_the_turn(pull, wire)


def test_a_program_that_only_looks_finds_what_comes(zmq, reader):
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        for size in (10, 500_000):
            wire.sendall(frame(bytes(size)))
            found = []

            def look(found=found):
                with contextlib.suppress(zmq.Again):
                    found.append(pull.recv(zmq.DONTWAIT))
                return found

            assert len(wait_until(look, "a message")[0]) == size


def test_a_second_peer_is_heard(reader):
    pull, address = reader
    with a_wire(address) as first, a_wire(address) as second:
        take_the_turn(pull, first)
        second.sendall(frame(b"second"))
        assert pull.recv() == b"second"
        first.sendall(frame(b"first"))
        assert pull.recv() == b"first"


def test_a_peer_that_leaves_is_missed_and_its_last_words_are_heard(reader):
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        wire.sendall(frame(b"last") + frame(b"words"))
    assert [pull.recv(), pull.recv()] == [b"last", b"words"]
    wait_until(lambda: not pull.peers(), "the peer is gone")


def test_a_peer_that_breaks_the_protocol_ends_its_connection(reader):
    pull, address = reader
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        task = threading.Thread(target=pull.recv)
        task.start()
        wire.sendall(b"\xff" * 20)
        assert wire.recv(100) == b""
        with a_wire(address) as next_wire:
            next_wire.sendall(frame(b"end"))
            task.join(CAP)


def test_a_peer_that_fell_silent_is_missed_by_a_program_that_looks_again_and_again(zmq, reader):
    """Each of its waits began by telling the engine that it reads, and that was taken for a sign of life."""
    pull, address = reader
    pull.heartbeat_ivl, pull.heartbeat_timeout = 50, 200
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        pull.rcvtimeo = 20

        def is_missed():
            with contextlib.suppress(zmq.Again):
                pull.recv()
            return not pull.peers()

        wait_until(is_missed, "the silent peer to be given up")


@pytest.mark.slow
def test_a_peer_whose_words_the_program_has_not_read_yet_is_not_missed(reader):
    """A HEARTBEAT_TIMEOUT shorter than what a program may be away for cut off one that spoke."""
    pull, address = reader
    pull.rcvhwm, pull.heartbeat_ivl, pull.heartbeat_timeout = 1, 800, 1
    with a_wire(address) as wire:
        take_the_turn(pull, wire)
        over, pings = threading.Event(), []

        def talk():
            while not over.is_set():
                wire.sendall(frame(bytes(60_000)))

        def hear():
            with contextlib.suppress(TimeoutError):
                while said := wire.recv(100):
                    pings.append(said)

        tasks = [Task(talk), Task(hear)]
        begun = time.monotonic()
        while len(pings) < 2 and time.monotonic() - begun < CAP and pull.peers():
            assert len(pull.recv()) == 60_000
            time.sleep(0.008)  # works; less than after which it would lose the turn
        connected = len(pull.peers())
        over.set()
        while any(not task.done for task in tasks[:1]):
            pull.poll(1) and pull.recv()
        assert connected == 1
        assert len(pings) >= 2
        wire.shutdown(system_socket.SHUT_RDWR)
        tasks[1].join()


def test_a_program_that_wants_the_newest_message_only_leaves_reading_to_the_engine(zmq, reader):
    """It read its connection by itself, one message after the other, however old they were."""
    pull, address = reader
    pull.conflate = 1
    with a_wire(address) as wire:
        for number in range(ROUNDS):  # each waited for, and so soon that it would take the turn
            task = Task(pull.recv)
            wire.sendall(frame(b"%05d" % number))
            task.result()
        wire.sendall(b"".join(frame(b"%05d" % number + bytes(50_000)) for number in range(20)))
        seen = [int(pull.recv()[:5])]
        while seen[-1] != 19:
            time.sleep(0.004)  # works; less than after which it would lose the turn
            seen.append(int(pull.recv()[:5]))
        assert len(seen) < 10


def test_a_peer_that_hears_no_more_is_left(zmq, sockets, ipc):
    """A write found that and left the end to the reader; that was the program, which never finds out."""
    dealer = sockets(zmq.DEALER, rcvtimeo=CAP_MS)
    dealer.bind(ipc)
    with a_wire((system_socket.AF_UNIX, path_of(ipc)), b"DEALER") as wire:
        take_the_turn(dealer, wire)
        wire.shutdown(system_socket.SHUT_RD)
        dealer.rcvtimeo = 5

        def is_left():
            with contextlib.suppress(zmq.Again):
                dealer.send(b"?", zmq.DONTWAIT)
            with contextlib.suppress(zmq.Again):
                dealer.recv()
            return not dealer.peers()

        wait_until(is_left, "the connection to end")


class Alarm(Exception):
    pass


@pytest.mark.parametrize("ends_by", ["its time", "a signal"])
def test_a_receive_ends_although_unwanted_messages_come_without_end(run_child, ends_by):
    """One attempt dropped as long as there was something to drop, with the GIL."""
    child = run_child(_receives_what_it_wants, 300 if ends_by == "its time" else -1)
    with a_wire((system_socket.AF_INET, ("127.0.0.1", child.hear())), b"PUB") as wire:
        for _ in range(ROUNDS):
            wire.sendall(frame(b"wanted"))
            child.hear()
        over, said = threading.Event(), []
        task = Task(_flood, wire, over, said)
        try:
            if ends_by == "a signal":
                wait_until(lambda: len(said) > 100, "messages without end")
                child.signal(signal.SIGUSR1)
            assert child.hear() == ("Again" if ends_by == "its time" else "Alarm")
        finally:
            over.set()
            task.join()


def _flood(wire, over, said):
    unwanted = b"\x00\x01?" * 20_000
    with contextlib.suppress(OSError):
        while not over.is_set():
            wire.sendall(unwanted)
            said.append(len(unwanted))


def _receives_what_it_wants(zmq, link, millis):
    def ring(*_):
        raise Alarm

    signal.signal(signal.SIGUSR1, ring)
    context = zmq.Context()
    sub = context.socket(zmq.SUB)
    sub.linger, sub.rcvtimeo = 0, millis
    sub.subscribe(b"wanted")
    link.tell(sub.bind_to_random_port("tcp://127.0.0.1"))
    try:
        while True:
            assert sub.recv() == b"wanted"
            link.tell("got")
    except (zmq.Again, Alarm) as error:
        link.tell(type(error).__name__)
    context.destroy()
