"""One socket for a command: where it is bound or connected, and how it ends.

This file knows endpoints as a user writes them and the ends of a context. It refuses to know what is sent.
"""

import argparse
import errno
import logging
import math
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import shmzmq as zmq
from shmzmq.commands._failure import Failure

MISTAKES = {errno.EINVAL, errno.EPROTONOSUPPORT, errno.ENAMETOOLONG, errno.ENODEV}
"""What bind and connect say of an endpoint that cannot be meant so, here or anywhere."""

NOTICE_SECONDS = 5.0  # who waits this long for a peer is told so

ENDPOINTS = (
    "ENDPOINT is tcp://HOST:PORT or ipc://PATH. The command connects to it, or binds it when an @\n"
    "stands before it: @tcp://*:5555, @ipc:///tmp/x. A port * is any free one; stderr says which."
)


@dataclass(frozen=True)
class Address:
    """An endpoint, and whether it is to be bound."""

    endpoint: str
    bind: bool


def address(text: str) -> Address:
    """The type of an ENDPOINT argument."""
    endpoint = text.removeprefix("@")
    if endpoint.startswith("inproc:"):
        raise argparse.ArgumentTypeError(f"{text!r}: inproc ends at this process; use ipc:// or tcp://")
    return Address(endpoint, text != endpoint)


class Session:
    """The context of one command. Use as a context manager: however it is left, it ends.

    Shape    linger: milliseconds that messages may still wait for a peer at the end, interrupted or not.
    """

    def __init__(self, command: str, *, linger: int = 0) -> None:
        self.command = command
        self.context: zmq.Context = zmq.Context()
        self._linger: int | None = linger
        _take_warnings(command)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._linger is not None:
            self.context.destroy(linger=self._linger)

    def socket(self, kind: str) -> zmq.Socket:
        """A socket of the type named `kind`."""
        return self.context.socket(getattr(zmq, kind))

    def attach(self, socket: zmq.Socket, where: Address) -> None:
        """Bind or connect, and tell on stderr what a * became.

        Raises   Failure  the endpoint cannot be meant so, or the system refuses it.
        """
        try:
            if where.bind:
                socket.bind(where.endpoint)
            else:
                socket.connect(where.endpoint)
        except zmq.ZMQError as error:
            raise Failure(_refusal(where, error), 2 if error.errno in MISTAKES else 1) from error
        if where.bind and "*" in where.endpoint:
            self.say(f"bound {bound_to(socket)}")

    def deliver(self, socket: zmq.Socket, seconds: float | None) -> None:
        """Close the socket and wait until what it accepted has left, interrupted by Ctrl-C.

        Raises   Failure  it has not within `seconds` (None waits for ever).
        """
        # Who is interrupted in here is not to wait again in __exit__; what is left ends with the process.
        self._linger = None
        socket.close(-1 if seconds is None else int(seconds * 1000) + 100)
        try:
            self.context.term(seconds)
        except zmq.ZMQError as error:
            raise Failure(f"not all was taken in {seconds:g} s: {error}") from error

    def say(self, text: str) -> None:
        """One line for the person at the terminal; stdout is for messages."""
        say(self.command, text)


class Deadline:
    """A moment in the future, or never."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds until then, 0 when it is over; None for never."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def sooner(self, other: "Deadline") -> "Deadline":
        """The one of the two that comes first."""
        mine, others = self.left(), other.left()
        return other if mine is None or (others is not None and others < mine) else self

    def left_ms(self) -> int | None:
        """The same in milliseconds, rounded up, so that nobody wakes just before the end and polls."""
        left = self.left()
        return None if left is None else math.ceil(left * 1000)


def _refusal(where: Address, error: zmq.ZMQError) -> str:
    verb = "bind" if where.bind else "connect to"
    more = "; to bind it, write an @ before it" if "*" in where.endpoint and not where.bind else ""
    return f"cannot {verb} {where.endpoint!r}: {error}{more}"


def bound_to(socket: zmq.Socket) -> str:
    """The endpoint that the socket was bound to last, with the port it got."""
    return bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")


def say(command: str, text: str) -> None:
    """One line on stderr."""
    print(f"shmzmq {command}: {text}", file=sys.stderr, flush=True)


class _Lines(logging.Handler):
    """What the library warns of, as lines of the command; whoever watches connections reports on those."""

    def __init__(self, command: str) -> None:
        super().__init__(logging.WARNING)
        self.command = command

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(("handshake:", "rings:")):
            say(self.command, text)


def _take_warnings(command: str) -> None:
    logger = logging.getLogger("shmzmq")
    if not logger.handlers:
        logger.addHandler(_Lines(command))
