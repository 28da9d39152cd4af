"""Peers of the command: sockets of either library in the test's own process."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

import kit


class Peers:
    """Sockets of one library, with a cap on every wait; all are closed at the end of the test."""

    def __init__(self, name: str) -> None:
        self.zmq: Any = importlib.import_module(name)
        self.context = self.zmq.Context()
        self.opened: list[Any] = []

    def socket(self, kind: str) -> Any:
        socket = self.context.socket(getattr(self.zmq, kind))
        socket.linger, socket.rcvtimeo, socket.sndtimeo = 0, kit.CAP_MS * 2, kit.CAP_MS * 2
        self.opened.append(socket)
        return socket

    def bound(self, kind: str, endpoint: str = "tcp://127.0.0.1:*") -> tuple[Any, str]:
        """A bound socket and where it is."""
        socket = self.socket(kind)
        socket.bind(endpoint)
        return socket, socket.getsockopt(self.zmq.LAST_ENDPOINT).decode().rstrip("\0")

    def connected(self, kind: str, endpoint: str) -> Any:
        socket = self.socket(kind)
        socket.connect(endpoint)
        return socket

    def close(self) -> None:
        for socket in self.opened:
            socket.close()
        kit.end_context(self.zmq, self.context)


@pytest.fixture(params=["shmzmq", "zmq"])
def peers(request: pytest.FixtureRequest) -> Iterator[Peers]:
    """Sockets of shmzmq, and in a second run of pyzmq."""
    made = Peers(request.param)
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder short enough for the path of a UNIX socket."""
    with tempfile.TemporaryDirectory(prefix="cmd-") as made:
        yield made
