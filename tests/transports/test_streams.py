"""What a byte stream may do to a message: ends in its middle, ends that are late, and peers that do not read.

The peer is a bare TCP socket that speaks ZMTP by hand, so it decides when a byte is taken and when a
connection is gone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket as system_socket
import struct

import pytest

import kit
from kit import CAP, CAP_MS, wait_until

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + bytes(32)


def command(name: bytes, body: bytes = b"") -> bytes:
    packed = bytes([len(name)]) + name + body
    return bytes([4, len(packed)]) + packed


def ready(kind: bytes) -> bytes:
    return command(b"READY", b"\x0bSocket-Type" + struct.pack("!I", len(kind)) + kind)


def frame(body: bytes, more: bool = False) -> bytes:
    if len(body) > 255:
        return bytes([2 | more]) + struct.pack("!Q", len(body)) + body
    return bytes([0 | more, len(body)]) + body


class Wire:
    """A connection to the socket under test, its handshake done, in the name of a socket of type `kind`."""

    def __init__(self, link: system_socket.socket, kind: bytes) -> None:
        self.link = link
        self.link.settimeout(CAP)
        self.link.sendall(GREETING + ready(kind))
        self.take(64)
        self.next_frame()

    def take(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            part = self.link.recv(min(count - len(taken), 1 << 20))
            assert part, f"the connection ended {count - len(taken)} bytes early"
            taken += part
        return bytes(taken)

    def next_frame(self) -> tuple[int, bytes]:
        """Flags and body of the next frame."""
        flags = self.take(1)[0]
        length = struct.unpack("!Q", self.take(8))[0] if flags & 2 else self.take(1)[0]
        return flags, self.take(length)

    def next_message(self) -> list[bytes]:
        frames = []
        while True:
            flags, body = self.next_frame()
            if flags & 4:
                continue
            frames.append(body)
            if not flags & 1:
                return frames

    def say(self, data: bytes) -> None:
        self.link.sendall(data)

    def close(self) -> None:
        self.link.close()

    def reset(self) -> None:
        """Ends with RST: what is on its way is gone."""
        self.link.setsockopt(system_socket.SOL_SOCKET, system_socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.link.close()


class Harbour:
    """Listens for connections of the socket under test."""

    def __init__(self, port: int = 0) -> None:
        self.listener = system_socket.socket()
        self.listener.setsockopt(system_socket.SOL_SOCKET, system_socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(system_socket.SOL_SOCKET, system_socket.SO_RCVBUF, 4096)
        self.listener.settimeout(CAP)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.wires: list[Wire] = []

    def accept(self, kind: bytes) -> Wire:
        link, _ = self.listener.accept()
        self.wires.append(Wire(link, kind))
        return self.wires[-1]

    def close(self) -> None:
        for wire in self.wires:
            wire.close()
        self.listener.close()


@pytest.fixture
def harbour():
    with contextlib.closing(Harbour()) as made:
        yield made


# --- the end of a socket that still has something to say ----------------------------------------------------


def test_what_waited_for_its_peer_longer_than_its_socket_lets_the_context_end(zmq, harbour):
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.connect(harbour.endpoint)
    push.send(b"late")
    push.close(linger=-1)
    wire = harbour.accept(b"PULL")
    ended = kit.Task(context.term)
    assert wire.next_message() == [b"late"]
    ended.result()


def test_a_connection_that_is_lost_while_its_socket_lingers_is_made_anew(zmq, harbour):
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.set(zmq.SNDBUF, 4096)
    push.set(zmq.RECONNECT_IVL, 5)
    push.connect(harbour.endpoint)
    first = harbour.accept(b"PULL")
    for number in range(60):
        push.send(b"%03d" % number + bytes(100_000))
    push.close(linger=-1)
    assert first.next_message()[0][:3] == b"000"
    first.reset()
    second = harbour.accept(b"PULL")
    ended = kit.Task(context.term)
    got = [int(second.next_message()[0][:3])]
    while got[-1] < 59:
        got.append(int(second.next_message()[0][:3]))
    assert got == list(range(got[0], 60)), "whole messages, in order"
    assert 0 < got[0] < 30
    ended.result()


def test_a_connection_that_is_lost_after_disconnect_is_made_anew(zmq, harbour, sockets):
    push = sockets(zmq.PUSH, linger=-1, sndbuf=4096, reconnect_ivl=5)
    push.connect(harbour.endpoint)
    first = harbour.accept(b"PULL")
    for number in range(60):
        push.send(b"%03d" % number + bytes(100_000))
    push.disconnect(harbour.endpoint)
    assert first.next_message()[0][:3] == b"000"
    first.reset()
    second = harbour.accept(b"PULL")
    got = [int(second.next_message()[0][:3])]
    while got[-1] < 59:
        got.append(int(second.next_message()[0][:3]))
    assert got == list(range(got[0], 60)), "whole messages, in order"


@pytest.mark.shmzmq_only("libzmq closes with unread input, and the kernel resets the connection")
def test_a_peer_that_never_stops_talking_gets_everything_before_the_end(zmq, harbour):
    context = zmq.Context()
    pair = context.socket(zmq.PAIR)
    pair.connect(harbour.endpoint)
    wire = harbour.accept(b"PAIR")
    pair.send(b"begin")
    assert wire.next_message() == [b"begin"]
    for number in range(40):
        pair.send(b"%03d" % number + bytes(50_000))
    talk = kit.Task(talk_until_the_end, wire)
    assert pair.recv()[:4] == b"blah"
    pair.close(linger=-1)
    ended = kit.Task(context.term)
    for number in range(40):
        assert wire.next_message()[0][:3] == b"%03d" % number
    ended.result()
    talk.result()


def talk_until_the_end(wire):
    with contextlib.suppress(OSError):
        while True:
            wire.say(frame(b"blah" * 10))


@pytest.mark.shmzmq_only("pyzmq's sockets have no counters")
@pytest.mark.parametrize("linger", [0, 20])
@pytest.mark.parametrize("left_by", ["disconnect", "close"])
def test_what_lingered_in_vain_is_counted(harbour, zmq, sockets, linger, left_by):
    push = sockets(zmq.PUSH, linger=linger, sndbuf=4096)
    push.connect(harbour.endpoint)
    wire = harbour.accept(b"PULL")
    for number in range(60):
        push.send(b"%03d" % number + bytes(100_000))
    if left_by == "close":
        push.close()
    else:
        push.disconnect(harbour.endpoint)
    lost = wait_until(lambda: push.stats()["discarded_linger"], "what lingered in vain")
    assert lost + whole_messages_of(wire) == 60


def whole_messages_of(wire):
    """How many came before the end."""
    count = 0
    with contextlib.suppress(ConnectionResetError, AssertionError):
        while wire.next_message():
            count += 1
    return count


@pytest.mark.shmzmq_only("pyzmq's sockets have no counters")
def test_what_a_bound_socket_had_for_a_peer_that_does_not_read_is_counted(zmq, sockets, tcp):
    push = sockets(zmq.PUSH, linger=20, sndbuf=4096)
    push.bind(tcp)
    with system_socket.create_connection(tcp.removeprefix("tcp://").split(":"), timeout=CAP) as link:
        wire = Wire(link, b"PULL")
        for number in range(60):
            push.send(b"%03d" % number + bytes(100_000))
        push.close()
        lost = wait_until(lambda: push.stats()["discarded_linger"], "what lingered in vain")
        assert lost + whole_messages_of(wire) == 60


# --- the first words of a connection ------------------------------------------------------------------------


@pytest.mark.shmzmq_only("a draft option, which libzmq as pyzmq ships it refuses")
@pytest.mark.parametrize("overflow", [None, "DROP_OLDEST", "KEEP_LATEST"])
def test_hello_that_was_not_taken_is_said_once_to_the_next_peer(zmq, sockets, harbour, overflow):
    hello = bytes(8_000_000)
    dealer = sockets(zmq.DEALER, hello_msg=hello, sndbuf=4096, reconnect_ivl=5)
    if overflow:
        dealer.set(zmq.SNDHWM, 2)
        dealer.set(zmq.OVERFLOW, zmq.Overflow[overflow])
    dealer.connect(harbour.endpoint)
    first = harbour.accept(b"ROUTER")
    assert first.take(1) == b"\x02"
    for number in range(5):
        dealer.send(b"%d" % number)
    first.reset()
    second = harbour.accept(b"ROUTER")
    assert second.next_message() == [hello]
    kept = {None: range(5), "DROP_OLDEST": (3, 4), "KEEP_LATEST": (4,)}[overflow]
    assert [second.next_message() for _ in kept] == [[b"%d" % number] for number in kept]


# --- the end of a peer --------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq reads no more of a connection that broke while its reader was behind")
def test_what_a_peer_said_before_its_end_is_heard_also_by_one_who_talks_to_it(zmq, sockets, harbour):
    dealer = sockets(zmq.DEALER, linger=0, rcvhwm=1, reconnect_ivl=60_000)
    dealer.connect(harbour.endpoint)
    wire = harbour.accept(b"DEALER")
    # More than one turn of the reader takes, so that some of it waits in the kernel.
    said = [b"%04d" % number + bytes(2_000) for number in range(20)]
    wire.say(b"".join(map(frame, said)))
    dealer.send(b"unread, so that the end is a reset")
    assert dealer.recv() == said[0]
    wait_until(lambda: wire.link.recv(1, system_socket.MSG_PEEK), "the unread message")
    wire.close()
    for _ in range(4):
        with contextlib.suppress(zmq.Again):
            dealer.send(b"to nobody", zmq.DONTWAIT)
    dealer.rcvtimeo = CAP_MS
    assert [dealer.recv() for _ in said[1:]] == said[1:]


def test_what_a_peer_said_before_a_mistake_is_heard(zmq, sockets, harbour):
    pull = sockets(zmq.PULL, maxmsgsize=1000, reconnect_ivl=60_000)
    pull.connect(harbour.endpoint)
    wire = harbour.accept(b"PUSH")
    wire.say(frame(b"good") + b"\x02" + struct.pack("!Q", 1 << 30) + bytes(500))
    assert pull.recv() == b"good"
    assert wire.link.recv(1) == b"", "the end of the connection"


# --- memory -------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.mark.shmzmq_only("libzmq has no pieces of a buffer that wait")
@pytest.mark.slow
def test_short_messages_that_came_one_by_one_do_not_wait_in_a_buffer_each(zmq, sockets, harbour):
    pull = sockets(zmq.PULL, rcvhwm=0)
    pull.connect(harbour.endpoint)
    wire = harbour.accept(b"PUSH")
    ping = command(b"PING", b"\0\0ctx")
    before = resident()
    for _ in range(3000):
        wire.say(frame(b"short") + ping)
        wire.next_frame()  # the PONG: what was said has been read
    assert resident() - before < 5_000_000
    assert all(pull.recv() == b"short" for _ in range(3000))


# --- within the host ----------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq leaves the system's congestion control, whatever it is")
@pytest.mark.parametrize("puller", ["binds", "connects"])
def test_connection_within_the_host_does_not_pace_what_it_sends(zmq, sockets, puller):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    near, far = (pull, push) if puller == "binds" else (push, pull)
    near.bind("tcp://127.0.0.1:*")
    far.connect(near.last_endpoint.decode())
    push.send(b"")
    with system_socket.socket(fileno=os.dup(pull.recv(copy=False)[zmq.SRCFD])) as link:
        name = link.getsockopt(system_socket.IPPROTO_TCP, system_socket.TCP_CONGESTION, 16)
    assert not name.startswith(b"bbr")
