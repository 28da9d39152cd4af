"""The other end of the interop tests: one process with real pyzmq (libzmq) that serves many tests by command.

`serve` runs in the child; `Theirs` is the test's handle of it; a `Remote` stands for one of its sockets.
A test never talks to itself: whatever is under test here, the other end is real libzmq there.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from kit import CAP, CAP_MS, Child, Link

HOUR = 3600.0


# --- in the child ------------------------------------------------------------------------------------------


def serve(zmq: ModuleType, link: Link) -> str:
    """Do what the test asks until it says end; returns the version of libzmq."""
    assert not hasattr(zmq, "_native"), "the other end must be real pyzmq"
    return obey(zmq, link)


def obey(zmq: ModuleType, link: Link) -> str:
    """The same with any module."""
    desk = Desk(zmq, link)
    with contextlib.suppress(KeyboardInterrupt):
        while (order := link.hear(HOUR)) != "end":
            function, args = order
            try:
                answer = True, function(desk, *args)
            except Exception:
                answer = False, traceback.format_exc()
            link.tell(answer)
    desk.context.destroy(linger=0)
    return zmq.zmq_version()


class Desk:
    """What the child has: its module, its sockets by number, and the way to hear a word meanwhile."""

    def __init__(self, zmq: ModuleType, link: Link) -> None:
        self.zmq = zmq
        self.link = link
        self.context = zmq.Context()
        self.context.max_sockets = 10_000
        self.sockets: dict[int, Any] = {}
        self._numbers = iter(range(1, 10**9))

    def keep(self, socket: Any) -> int:
        number = next(self._numbers)
        self.sockets[number] = socket
        return number


def _open(desk: Desk, kind: str, options: dict[str, Any]) -> int:
    socket = desk.context.socket(getattr(desk.zmq, kind))
    for name, value in {"rcvtimeo": CAP_MS, "sndtimeo": CAP_MS, "linger": 0, **options}.items():
        setattr(socket, name, value)
    return desk.keep(socket)


def _close(desk: Desk, number: int, paths: list[str]) -> None:
    desk.sockets.pop(number).close(linger=0)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # libzmq leaves it


def _bind(desk: Desk, number: int, endpoint: str) -> str:
    desk.sockets[number].bind(endpoint)
    return str(desk.sockets[number].last_endpoint.decode().rstrip("\0"))


def _call(desk: Desk, number: int, method: str, args: tuple[Any, ...]) -> Any:
    value = getattr(desk.sockets[number], method)(*args)
    return value if isinstance(value, bytes | int | list) else None


def _run(desk: Desk, function: Callable[..., Any], number: int, args: tuple[Any, ...]) -> Any:
    return function(desk.zmq, desk.sockets[number], *args)


def _run_until_told(desk: Desk, function: Callable[..., Any], number: int, args: tuple[Any, ...]) -> Any:
    value = function(desk.zmq, desk.sockets[number], desk.link.has_word, *args)
    assert desk.link.hear() == "enough"
    return value


# --- in the test -------------------------------------------------------------------------------------------


class Theirs:
    """The child process; one request at a time, but a test may `begin` one and `finish` it later."""

    def __init__(self) -> None:
        self._child = Child("zmq", serve)

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """`function(desk, *args)` in the child."""
        self.begin(function, *args)
        return self.finish()

    def begin(self, function: Callable[..., Any], *args: Any) -> None:
        self._child.tell((function, args))

    def enough(self) -> None:
        """End what `Remote.begin_until_told` began."""
        self._child.tell("enough")

    def hear(self) -> Any:
        """A word in between, from a function that tells one."""
        return self._child.hear()

    def has_finished(self, within: float = 0) -> bool:
        return self._child.has_word(within)

    def finish(self, cap: float = 4 * CAP) -> Any:
        done, value = self._child.hear(cap)
        assert done, f"in the process with pyzmq:\n{value}"
        return value

    def socket(self, kind: str, **options: Any) -> Remote:
        """A new socket there."""
        return Remote(self, self.ask(_open, kind, options), kind)

    def end(self) -> None:
        try:
            self._child.tell("end")
            assert self._child.result().startswith("4."), "the other end must be real libzmq"
        finally:
            self._child.dismiss()


@dataclass
class Remote:
    """One socket in the child."""

    theirs: Theirs
    number: int
    kind: str

    def __post_init__(self) -> None:
        self._paths: list[str] = []

    def bind(self, endpoint: str) -> str:
        """Returns the endpoint as resolved."""
        if endpoint.startswith("ipc://"):
            self._paths.append(endpoint.removeprefix("ipc://"))
        return str(self.theirs.ask(_bind, self.number, endpoint))

    def call(self, method: str, *args: Any) -> Any:
        """Call any of the socket's methods."""
        return self.theirs.ask(_call, self.number, method, args)

    def connect(self, endpoint: str) -> None:
        self.call("connect", endpoint)

    def send(self, *frames: bytes) -> None:
        self.call("send_multipart", list(frames))

    def recv(self) -> list[bytes]:
        frames: list[bytes] = self.call("recv_multipart")
        return frames

    def poll(self, timeout: int = 0) -> int:
        events: int = self.call("poll", timeout)
        return events

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """`function(zmq, socket, *args)` in the child."""
        return self.theirs.ask(_run, function, self.number, args)

    def begin(self, function: Callable[..., Any], *args: Any) -> None:
        self.theirs.begin(_run, function, self.number, args)

    def begin_until_told(self, function: Callable[..., Any], *args: Any) -> None:
        """`function(zmq, socket, told, *args)`; it ends when `told(seconds)` is true: `Theirs.enough`."""
        self.theirs.begin(_run_until_told, function, self.number, args)

    def close(self) -> None:
        self.theirs.ask(_close, self.number, self._paths)
