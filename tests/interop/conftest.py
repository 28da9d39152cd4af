"""Fixtures of the interop tests: the process with real pyzmq, places to meet, raw wires."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import theirs as other_end
import wire


@pytest.fixture(scope="module")
def theirs() -> Iterator[other_end.Theirs]:
    """The one process with real pyzmq; lives as long as the tests of a file, for others count children."""
    process = other_end.Theirs()
    yield process
    process.end()


@pytest.fixture
def remote(theirs: other_end.Theirs, scratch: Path) -> Iterator[Callable[..., other_end.Remote]]:
    """A function `remote(kind, **options)`: a socket of real pyzmq in the other process."""
    opened: list[other_end.Remote] = []

    def fresh(kind: str, **options: Any) -> other_end.Remote:
        opened.append(theirs.socket(kind, **options))
        return opened[-1]

    yield fresh
    for each in opened:
        each.close()


@pytest.fixture(params=["tcp", "ipc"])
def transport(request: pytest.FixtureRequest) -> str:
    """The test runs once on each transport that another process can reach."""
    return str(request.param)


@pytest.fixture
def new_endpoint(scratch: Path) -> Callable[[str], str]:
    """A function from a transport's name to an endpoint to bind; of tcp the port is still open."""
    numbers = itertools.count()

    def fresh(scheme: str) -> str:
        return "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{scratch}/{next(numbers)}"

    return fresh


@pytest.fixture
def bound(zmq: Any, sockets: Callable[..., Any], endpoint: str) -> Callable[..., tuple[Any, str]]:
    """A function `bound(kind, **options)`: a socket under test, bound, and its endpoint."""

    def fresh(kind: str, **options: Any) -> tuple[Any, str]:
        socket = sockets(getattr(zmq, kind), **options)
        socket.bind(endpoint)
        return socket, wire.resolved(socket)

    return fresh


@pytest.fixture(params=["bind", "connect"])
def role(request: pytest.FixtureRequest) -> str:
    """What the socket under test does."""
    return str(request.param)


@pytest.fixture
def meet(
    zmq: Any, sockets: Callable[..., Any], endpoint: str, role: str
) -> Iterator[Callable[..., tuple[Any, wire.Wire]]]:
    """A function `meet(kind, **options)`: a socket under test in the test's role, and a raw wire to it."""
    open_wires: list[Any] = []

    def fresh(kind: str, **options: Any) -> tuple[Any, wire.Wire]:
        socket = sockets(getattr(zmq, kind), **options)
        if role == "bind":
            socket.bind(endpoint)
            line = wire.dial(wire.resolved(socket))
        else:
            listener = wire.Listener(endpoint)
            open_wires.append(listener)
            socket.connect(listener.endpoint)
            line = listener.accept()
        open_wires.append(line)
        return socket, line

    yield fresh
    for each in reversed(open_wires):
        each.close()
