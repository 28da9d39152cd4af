"""Watching a socket's connections through its monitor; raw UNIX and TCP peers that say what a test wants.

Works on any module that has pyzmq's `get_monitor_socket`; refuses to know the inside of either.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import socket as posix
import struct
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from kit import CAP_MS, path_of

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)


def command(name: bytes, body: bytes = b"") -> bytes:
    """A ZMTP command frame."""
    content = bytes([len(name)]) + name + body
    return b"\x04" + bytes([len(content)]) + content


def ready(socket_type: bytes) -> bytes:
    """READY of a libzmq peer."""
    return command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type)


def _raw(endpoint: str) -> tuple[posix.socket, Any]:
    """A raw socket for an ipc or tcp endpoint, and its address."""
    if endpoint.startswith("tcp://"):
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        raw, address = posix.socket(posix.AF_INET), (host, int(port))
    else:
        raw, address = posix.socket(posix.AF_UNIX), path_of(endpoint)  # type: ignore[assignment]
    raw.settimeout(CAP_MS / 1000)
    return raw, address


def dial(endpoint: str) -> posix.socket:
    """A raw connection to an ipc or tcp endpoint."""
    peer, address = _raw(endpoint)
    peer.connect(address)
    return peer


@contextlib.contextmanager
def listen(endpoint: str, backlog: int = 8) -> Iterator[posix.socket]:
    """A raw listener at an ipc or tcp endpoint."""
    listener, address = _raw(endpoint)
    listener.setsockopt(posix.SOL_SOCKET, posix.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(backlog)
    try:
        yield listener
    finally:
        listener.close()
        if endpoint.startswith("ipc://"):
            os.unlink(path_of(endpoint))


def hear(peer: posix.socket, count: int) -> bytes:
    """The next bytes of the other side: exactly so many, or fewer if it ends before."""
    heard = b""
    while len(heard) < count:
        more = peer.recv(count - len(heard))
        if not more:
            break
        heard += more
    return heard


def hear_command(peer: posix.socket) -> tuple[bytes, bytes]:
    """The next frame, which is a short command: its name and its body; two times b"" at the end."""
    head = hear(peer, 2)
    if not head:
        return b"", b""
    assert head[0] == 4, f"not a short command: {head!r}"
    content = hear(peer, head[1])
    return content[1 : 1 + content[0]], content[1 + content[0] :]


def shake_hands(peer: posix.socket, socket_type: bytes) -> None:
    """The NULL handshake from the side of a raw peer."""
    peer.sendall(GREETING + ready(socket_type))
    assert len(hear(peer, len(GREETING))) == len(GREETING)
    assert hear_command(peer)[0] == b"READY"


def hear_greeting(peer: posix.socket) -> None:
    """Wait for the other side's whole greeting."""
    heard = 0
    while heard < len(GREETING):
        heard += len(peer.recv(len(GREETING) - heard))


class Told(NamedTuple):
    """One event."""

    name: str
    value: int
    endpoint: str


_numbers = itertools.count()


class Watch:
    """The events of one socket."""

    def __init__(self, zmq: ModuleType, socket: Any, events: int | None = None) -> None:
        self.socket = socket
        self.reader = socket.get_monitor_socket(events, f"inproc://watch-{next(_numbers)}")
        self.reader.rcvtimeo = CAP_MS
        self._utils = importlib.import_module(f"{zmq.__name__}.utils.monitor")

    def next(self) -> Told:
        """The next event."""
        told = self._utils.recv_monitor_message(self.reader)
        assert set(told) == {"event", "value", "endpoint"}
        return Told(told["event"].name, int(told["value"]), told["endpoint"].decode())

    def until(self, name: str) -> list[Told]:
        """All events up to the next one of this name, with it."""
        seen = [self.next()]
        while seen[-1].name != name:
            assert len(seen) < 1000, f"no {name} among {seen[:10]}..."
            seen.append(self.next())
        return seen

    def names(self, *expected: str) -> list[Told]:
        """The next events have exactly these names."""
        seen = [self.next() for _ in expected]
        assert [told.name for told in seen] == list(expected)
        return seen

    def end(self) -> None:
        """End the monitor and close its reader, in the order that libzmq survives."""
        if not self.socket.closed:
            self.socket.disable_monitor()
        self.reader.close(linger=0)


def expect_doubled(delays: list[int], first: int, most: int) -> None:
    """Values of CONNECT_RETRIED with RECONNECT_IVL_MAX: doubled as libzmq does, or up to a half longer."""
    for number, delay in enumerate(delays):
        doubled = min(first << number, most)
        assert min(doubled, most * 3 // 4) <= delay <= min(doubled * 3 // 2, most), delays
