"""A peer that shakes hands like one of us and then says of its memory what cannot be.

It replays the greeting and READY of a real connecter, so little of the handshake is spelled out here. Each
lie ends its own connection and disturbs nobody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket as system_socket
import threading

import pytest

from kit import CAP, CAP_MS, expect, path_of, wait_until

pytestmark = pytest.mark.shmzmq_only("the handshake of rings is ours")

F_ADD_SEALS = 1033  # fcntl(2)
SHRINK_GROW_SEAL = 2 | 4 | 1
SEGMENTS = 1024  # an arena has no more


def memory(size, seals=SHRINK_GROW_SEAL):
    fd = os.memfd_create("stranger", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def command(name, body):
    """A ZMTP command frame, short form."""
    packed = bytes([len(name)]) + name + body
    return bytes([4, len(packed)]) + packed


class Stranger:
    """A connection to a PULL, in the name of a PUSH."""

    def __init__(self, zmq, sockets, endpoint):
        self.wire = system_socket.socket(system_socket.AF_UNIX, system_socket.SOCK_STREAM)
        self.wire.settimeout(CAP)
        self.wire.connect(path_of(endpoint))
        self.wire.sendall(self.hello_of_a_push(zmq, sockets, endpoint))
        heard, fds = b"", []
        while b"SHM-OFFER" not in heard:
            more, more_fds, _flags, _address = system_socket.recv_fds(self.wire, 4096, 4)
            assert more, "the binder refused a hello of its own kind"
            heard, fds = heard + more, fds + more_fds
        for fd in fds:
            os.close(fd)
        self.say(b"SHM-ACCEPT", b"slot=0 bell=0", memory(4096), os.eventfd(0))

    def hello_of_a_push(self, zmq, sockets, endpoint):
        path = path_of(endpoint) + "-mirror"
        with system_socket.socket(system_socket.AF_UNIX, system_socket.SOCK_STREAM) as mirror:
            mirror.bind(path)
            mirror.listen()
            push = sockets(zmq.PUSH, linger=0)
            push.connect(f"ipc://{path}")
            connection, _address = mirror.accept()
            with connection:
                connection.settimeout(CAP)
                hello = b""
                while b"X-SHM" not in hello or b"lends=" not in hello:
                    hello += connection.recv(4096)
            push.close()
        os.unlink(path)
        return hello

    def say(self, name, body, *fds):
        try:
            system_socket.send_fds(self.wire, [command(name, body)], list(fds))
        finally:
            for fd in fds:
                os.close(fd)

    def announce(self, number, size, *fds):
        self.say(b"SHM-ARENA", b"number=%d bytes=%d" % (number, size), *fds)

    def is_cut_off(self):
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            return self.wire.recv(4096, system_socket.MSG_DONTWAIT) == b""
        return False


@pytest.fixture
def pull(zmq, sockets, ipc):
    pull = sockets(zmq.PULL, rcvtimeo=CAP_MS)
    pull.bind(ipc)
    return pull


@pytest.fixture
def stranger(zmq, sockets, ipc, pull):
    stranger = Stranger(zmq, sockets, ipc)
    wait_until(lambda: pull.stats()["connected"] == 1, "the stranger to be a peer")
    yield stranger
    stranger.wire.close()


def expect_only_its_own_end(zmq, sockets, ipc, pull, stranger):
    wait_until(lambda: pull.stats()["protocol_errors"] == 1, "the lie to be seen")
    wait_until(lambda: pull.stats()["disconnected"] == 1, "the connection to end")
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(bytes(100_000))
    expect(pull, bytes(100_000))


LIES = {
    "no fd": lambda peer: peer.announce(1, 8192),
    "another size": lambda peer: peer.announce(1, 8192, memory(4096)),
    "no seals": lambda peer: peer.announce(1, 8192, memory(8192, seals=0)),
    "no memory": lambda peer: peer.announce(1, 8192, os.open("/dev/null", os.O_RDWR)),
    "no number": lambda peer: peer.say(b"SHM-ARENA", b"bytes=8192", memory(8192)),
    "a number too large": lambda peer: peer.announce(1 << 32, 8192, memory(8192)),
    "no size": lambda peer: peer.say(b"SHM-ARENA", b"number=1", memory(8192)),
    "one number twice": lambda peer: [peer.announce(1, 8192, memory(8192)) for _ in range(2)],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_false_announcement_ends_its_own_connection_only(zmq, sockets, ipc, pull, stranger, lie):
    lie(stranger)
    expect_only_its_own_end(zmq, sockets, ipc, pull, stranger)


@pytest.mark.slow
def test_arena_without_end_ends_its_own_connection_only(zmq, sockets, ipc, pull, stranger):
    before = len(os.listdir("/proc/self/fd"))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for number in range(100_000):
            stranger.announce(number, 4096, memory(4096))
            assert number < 2 * SEGMENTS + 1000, "nobody minds an arena without end"
    expect_only_its_own_end(zmq, sockets, ipc, pull, stranger)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 16, "the fds to go")


def test_many_segments_that_come_and_go_are_no_lie(pull, stranger):
    for number in range(3 * SEGMENTS // 2):
        stranger.announce(number, 4096, memory(4096))
        stranger.say(b"SHM-FORGET", b"number=%d" % number)
    stranger.say(b"SHM-FORGET", b"number=77")
    stranger.announce(1 << 20, 4096)  # the lie that is seen when all before it were read
    wait_until(lambda: pull.stats()["protocol_errors"] == 1, "the last word to be read")


def test_commands_that_mean_nothing_are_counted(pull, stranger):
    for _ in range(3):
        stranger.say(b"WHAT", b"is this")
    wait_until(lambda: pull.stats()["unknown_commands"] == 3, "three unknown commands")


@pytest.mark.slow
def test_peer_that_never_stops_talking_keeps_nobody_waiting(zmq, sockets, ipc, pull, stranger, task):
    over = threading.Event()
    said = command(b"SHM-CREDIT", b"rcvhwm=1000") * 5000

    def talk():
        while not over.is_set():
            stranger.wire.sendall(said)

    talking = task(talk)
    try:
        for number in range(3):
            push = sockets(zmq.PUSH)
            push.connect(ipc)
            push.send(b"%d" % number)
            expect(pull, b"%d" % number)
    finally:
        over.set()
    talking.result()
