"""Raw ZMTP: bytes as a peer would say them, and a connection that says and hears them. No product code.

Knows framing and how to find out that the other side has read everything (so that a test may send the
second half of something after the first was taken, without a pause). Refuses to know what any of it is for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket as posix
import struct
import termios
from collections.abc import Iterator
from typing import Any, NamedTuple

from kit import CAP, wait_until

MORE, LONG, COMMAND = 1, 2, 4
GREETING_BYTES = 64


# --- what is said ------------------------------------------------------------------------------------------


def greeting(
    major: int = 3, minor: int = 1, mechanism: bytes = b"NULL", padding: bytes = bytes(8), server: int = 0
) -> bytes:
    """The 64 bytes that begin a connection."""
    return (
        b"\xff" + padding + b"\x7f" + bytes([major, minor]) + mechanism.ljust(20, b"\0") + bytes([server])
    ).ljust(GREETING_BYTES, b"\0")


def header(flags: int, length: int) -> bytes:
    """Flags and length as they are given: LONG decides the form, nothing is checked."""
    return bytes([flags]) + (struct.pack(">Q", length) if flags & LONG else bytes([length]))


def frame(body: bytes, flags: int = 0) -> bytes:
    """A whole frame; LONG is added where the body needs it."""
    if len(body) > 255:
        flags |= LONG
    return header(flags, len(body)) + body


def message(*bodies: bytes) -> bytes:
    """A whole message."""
    return b"".join(frame(body, MORE) for body in bodies[:-1]) + frame(bodies[-1])


def command(name: bytes, data: bytes = b"", flags: int = COMMAND) -> bytes:
    """A whole command."""
    return frame(bytes([len(name)]) + name + data, flags)


def properties(*pairs: tuple[bytes, bytes]) -> bytes:
    """Metadata."""
    return b"".join(
        bytes([len(name)]) + name + struct.pack(">I", len(value)) + value for name, value in pairs
    )


def ready(socket_type: bytes, *more: tuple[bytes, bytes], identity: bytes | None = None) -> bytes:
    """READY as libzmq says it: Identity from REQ, DEALER and ROUTER, also when empty."""
    pairs = [(b"Socket-Type", socket_type)]
    if identity is not None or socket_type in (b"REQ", b"DEALER", b"ROUTER"):
        pairs.append((b"Identity", identity or b""))
    return command(b"READY", properties(*pairs, *more))


# --- what is heard -----------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """One frame, with the bytes it came in."""

    flags: int
    body: bytes
    raw: bytes

    @property
    def command(self) -> tuple[bytes, bytes] | None:
        """Name and data, if it is a command."""
        if not self.flags & COMMAND:
            return None
        end = 1 + self.body[0]
        return self.body[1:end], self.body[end:]


def parse_properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Metadata, in its order."""
    pairs = []
    while data:
        name, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        (length,) = struct.unpack_from(">I", data)
        pairs.append((name, data[4 : 4 + length]))
        data = data[4 + length :]
    return pairs


class Wire:
    """A connection to the socket under test."""

    def __init__(self, peer: posix.socket) -> None:
        self.peer = peer
        peer.settimeout(CAP)
        if peer.family != posix.AF_UNIX:
            peer.setsockopt(posix.IPPROTO_TCP, posix.TCP_NODELAY, 1)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.peer.close()

    def reset(self) -> None:
        """Close so that the other side gets ECONNRESET (tcp)."""
        self.peer.setsockopt(posix.SOL_SOCKET, posix.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def say(self, data: bytes) -> None:
        self.peer.sendall(data)

    def hear(self, count: int) -> bytes:
        """Exactly so many bytes; EOFError if the other side closes before."""
        heard = bytearray()
        while len(heard) < count:
            more = self.peer.recv(count - len(heard))
            if not more:
                raise EOFError(f"closed after {bytes(heard)!r:.200}")
            heard += more
        return bytes(heard)

    def has_word(self) -> bool:
        """Whether something can be heard at once, be it the end."""
        return bool(select.select([self.peer], [], [], 0)[0])

    def hear_frame(self) -> Frame:
        first = self.hear(2)
        if first[0] & LONG:
            first += self.hear(7)
            (length,) = struct.unpack(">Q", first[1:])
        else:
            length = first[1]
        body = self.hear(length)
        return Frame(first[0], body, first + body)

    def hear_message(self) -> list[bytes]:
        """The next whole message; commands in between are passed over."""
        parts: list[bytes] = []
        while True:
            heard = self.hear_frame()
            if heard.command is None:
                parts.append(heard.body)
                if not heard.flags & MORE:
                    return parts

    def shake_hands(self, socket_type: bytes, identity: bytes | None = None, minor: int = 1) -> Frame:
        """The whole handshake; returns the other side's READY."""
        self.say(greeting(minor=minor))
        self.hear(GREETING_BYTES)
        self.say(ready(socket_type, identity=identity))
        return self.hear_frame()

    def wait_closed(self, cap: float = CAP) -> bytes:
        """Wait until the other side has closed; returns what it still said. TimeoutError if it has not."""
        self.peer.settimeout(cap)
        heard = bytearray()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while more := self.peer.recv(65536):
                heard += more
        return bytes(heard)

    def wait_taken(self) -> None:
        """Wait until the other side has read everything that was said here."""
        wait_until(lambda: self._unread() == 0, "the other side to read what was sent")

    def _unread(self) -> int:
        """Bytes said here that the other side has not read; 0 if the connection is gone."""
        unsent = struct.unpack("i", fcntl.ioctl(self.peer, termios.TIOCOUTQ, bytes(4)))[0]
        if unsent or self.peer.family == posix.AF_UNIX:  # of a UNIX socket this counts what is unread
            return unsent
        return _receive_queue(self.peer.getpeername()[1], self.peer.getsockname()[1])


def _receive_queue(local: int, remote: int) -> int:
    """proc(5), /proc/net/tcp: bytes that the owner of local port `local` has not read."""
    ends = f":{local:04X}", f":{remote:04X}"
    with open("/proc/net/tcp") as table:
        for row in table:
            words = row.split()
            if words[1].endswith(ends[0]) and words[2].endswith(ends[1]):
                return int(words[4].partition(":")[2], 16)
    return 0


# --- connections -------------------------------------------------------------------------------------------


def resolved(socket: Any) -> str:
    """Where a bound socket really is."""
    return str(socket.last_endpoint.decode().rstrip("\0"))


def _address(endpoint: str) -> tuple[posix.socket, object]:
    scheme, _, place = endpoint.partition("://")
    if scheme == "ipc":
        return posix.socket(posix.AF_UNIX), place
    host, _, port = place.rpartition(":")
    return posix.socket(posix.AF_INET), (host, 0 if port == "*" else int(port))


def dial(endpoint: str) -> Wire:
    """A raw connection to an endpoint."""
    peer, address = _address(endpoint)
    peer.settimeout(CAP)
    try:
        peer.connect(address)
    except OSError:
        peer.close()
        raise
    return Wire(peer)


class Listener:
    """A raw listener; `endpoint` is where it really is."""

    def __init__(self, endpoint: str) -> None:
        self._socket, address = _address(endpoint)
        self._socket.settimeout(CAP)
        self._path = address if endpoint.startswith("ipc://") else None
        self._socket.bind(address)
        self._socket.listen(128)
        self.endpoint = endpoint
        if self._path is None:
            self.endpoint = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"

    def accept(self) -> Wire:
        return Wire(self._socket.accept()[0])

    def close(self) -> None:
        self._socket.close()
        if isinstance(self._path, str):
            os.unlink(self._path)


@contextlib.contextmanager
def listen(endpoint: str) -> Iterator[Listener]:
    """A raw listener at an endpoint, `tcp://127.0.0.1:*` for any port."""
    listener = Listener(endpoint)
    try:
        yield listener
    finally:
        listener.close()
