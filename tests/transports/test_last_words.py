"""What a peer said before it left, over tcp and over ipc without rings.

The peer is a few bytes of ZMTP by hand.
"""

from __future__ import annotations

import contextlib
import socket as system_socket

import pytest

from kit import CAP, CAP_MS, path_of, wait_until

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"


WORDS = [b"%0100d" % number for number in range(300)]  # less than a first window of tcp


@contextlib.contextmanager
def wire_to(dealer, transport, path):
    """Bind, connect by hand, and say what a DEALER says."""
    with contextlib.ExitStack() as stack:
        if transport == "tcp":
            dealer.bind("tcp://127.0.0.1:*")
            port = int(dealer.last_endpoint.decode().rstrip("\0").rpartition(":")[2])
            wire = stack.enter_context(system_socket.create_connection(("127.0.0.1", port), CAP))
        else:
            dealer.bind(path)
            wire = stack.enter_context(system_socket.socket(system_socket.AF_UNIX))
            wire.settimeout(CAP)
            wire.connect(path_of(path))
        wire.sendall(GREETING + bytes([4, len(READY)]) + READY)
        yield wire


def speak_and_leave(zmq, dealer, wire):
    """More is sent to the peer than both kernels take; it reads nothing, says all its words, and goes."""
    wait_until(lambda: dealer.poll(0, zmq.POLLOUT), "the peer has joined")
    for _ in range(3000):
        dealer.send(bytes(4096))
    wire.sendall(b"".join(b"\x00\x64" + word for word in WORDS))
    wire.close()


def expect_words(dealer):
    dealer.rcvtimeo = CAP_MS
    assert [dealer.recv() for _ in WORDS] == WORDS


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_what_a_peer_said_before_it_left_is_received_although_it_read_nothing(zmq, sockets, ipc, transport):
    dealer = sockets(zmq.DEALER, linger=0, sndhwm=0)
    with wire_to(dealer, transport, ipc) as wire:
        speak_and_leave(zmq, dealer, wire)
        expect_words(dealer)


@pytest.mark.shmzmq_only("libzmq loses what waits in the kernel when it stopped at RCVHWM")
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_what_waited_beyond_the_mark_when_a_peer_left_is_received_too(zmq, sockets, ipc, transport):
    dealer = sockets(zmq.DEALER, linger=0, sndhwm=0, rcvhwm=10)
    with wire_to(dealer, transport, ipc) as wire:
        speak_and_leave(zmq, dealer, wire)
        expect_words(dealer)


SO_SNDBUFFORCE = 32  # socket(7): beyond wmem_max, with CAP_NET_ADMIN
MORE_THAN_A_TURN = 40_000  # messages of 100 bytes: more than an engine reads before others have their turn


def test_an_end_behind_more_than_one_turn_of_reading_is_seen(zmq, sockets, ipc):
    """The event that told of the end came before; the turns that followed it forgot."""
    pull = sockets(zmq.PULL, rcvhwm=1)
    pull.bind(ipc)
    with system_socket.socket(system_socket.AF_UNIX) as wire:
        try:
            wire.setsockopt(system_socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)
        except PermissionError:
            pytest.skip("needs CAP_NET_ADMIN for a buffer that holds it all")
        wire.settimeout(CAP)
        wire.connect(path_of(ipc))
        hello = b"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"
        wire.sendall(GREETING + bytes([4, len(hello)]) + hello)
        # Who hangs up before it was greeted was never a peer.
        heard = b""
        while b"READY" not in heard:
            heard += wire.recv(4096)
        wire.sendall((b"\x00\x64" + b"x" * 100) * MORE_THAN_A_TURN)
    wait_until(lambda: pull.poll(0), "the first of it")
    pull.set(zmq.RCVHWM, 0)

    def gone():
        with contextlib.suppress(zmq.Again):
            while True:
                pull.recv(zmq.DONTWAIT)
        return not pull.peers()

    wait_until(gone, "the end of the connection")
