"""Socket and Context for gevent: what would block lets the other greenlets run.

Knows    which calls wait, for what, and how long.
Refuses  to know how a greenlet waits: `waits` does.

Every call is tried without waiting, and again when EVENTS says that it may work. So a greenlet that is killed
while it waits has sent or received nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from errno import EAGAIN
from typing import Any

from gevent import sleep
from gevent.event import Event

from .._backend import NativeSocket
from ..constants import Flag, PollEvent, SocketOption
from ..context import Context
from ..errors import Again, ZMQError, error_for
from ..socket import Socket
from .poll import _Poller
from .waits import Waits

__all__ = ["_Context", "_Socket"]

_IN, _OUT = int(PollEvent.POLLIN), int(PollEvent.POLLOUT)
_DONTWAIT = int(Flag.DONTWAIT)
_DOUBT_S = 0.005
"""How soon to try again what EVENTS says is possible and is not: a ROUTER whose one peer is full."""
_LOOK_S = 0.005
"""How often a context that ends is looked at."""


class _Socket(Socket[bytes]):
    """A socket whose calls wait in gevent's hub.

    Threads  the one whose hub it is; any number of its greenlets.
    """

    _repr_cls = "shmzmq.green.Socket"
    _poller_class = _Poller
    _waits: Waits = None  # type: ignore[assignment]  # declared for __setattr__; set by __init__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make a socket, as Socket."""
        super().__init__(*args, **kwargs)
        self._waits = Waits(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Past Socket's own: calls for whole messages do not go through those for frames.
        super(Socket, cls).__init_subclass__(**kwargs)

    def close(self, linger: int | None = None) -> None:
        """Close the socket. Those who wait get ENOTSOCK."""
        super().close(linger)
        if self._waits is not None:
            self._waits.end()

    def _repeat(
        self, call: Callable[..., Any], mask: int, flags: int, *args: Any, limit: Any = None, **kwargs: Any
    ) -> Any:
        """Call until it does not say Again, for as long as `flags` and the time-out allow."""
        try:
            if flags & _DONTWAIT:
                return call(self, *args, **kwargs)
            return self._wait(call, mask, limit, args, kwargs)
        finally:
            if self._waits:
                self._waits.look()  # EVENTS may have changed by this call, which the FD need not tell

    def _wait(
        self, call: Callable[..., Any], mask: int, limit: float | None, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        event = Event()
        deadline, timed, doubted = None, False, False
        while True:
            try:
                return call(self, *args, **kwargs)
            except Again:
                if not timed:
                    deadline, timed = self._deadline(mask, limit), True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise
            event.clear()
            with self._waits.waiting(mask, event):
                if event.is_set() and doubted:
                    sleep(_DOUBT_S if left is None else min(left, _DOUBT_S))
                    continue
                doubted = event.is_set()
                event.wait(left)

    def _deadline(self, mask: int, limit: float | None) -> float | None:
        """When to give up: in `limit` milliseconds, or those of SNDTIMEO or RCVTIMEO; None for never."""
        if limit is None:
            limit = self._get_int(SocketOption.RCVTIMEO if mask == _IN else SocketOption.SNDTIMEO)
        return None if limit < 0 else time.monotonic() + limit / 1000

    def _plain_events(self) -> int:
        return super()._events()

    def _events(self) -> int:
        events = super()._events()
        if self._waits:
            self._waits.tell(events)
        return events

    # --- the calls ----------------------------------------------------------------------------------------

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """Receive one frame; other greenlets run while there is none."""
        return self._repeat(NativeSocket.recv, _IN, flags, flags | _DONTWAIT, copy, track)

    def recv_multipart(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """Receive one message; other greenlets run while there is none."""
        return self._repeat(NativeSocket.recv_multipart, _IN, flags, flags | _DONTWAIT, copy, track)

    def recv_into(self, buffer: Any, /, *, nbytes: int = 0, flags: int = 0) -> int:
        """Receive one frame into memory you own; other greenlets run while there is none."""
        got: int = self._repeat(
            lambda socket: NativeSocket.recv_into(socket, buffer, nbytes=nbytes, flags=flags | _DONTWAIT),
            _IN,
            flags,
        )
        return got

    def recv_many(
        self, max: int = 1000, timeout: float | None = None, multipart: bool = False, copy: bool = True
    ) -> list[Any]:
        """Receive the messages that are there; other greenlets run while there is none."""
        got: list[Any] = self._repeat(NativeSocket.recv_many, _IN, 0, max, 0, multipart, copy, limit=timeout)
        return got

    def send(  # type: ignore[override]
        self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Any:
        """Send one frame; other greenlets run while nobody takes it."""
        return self._repeat(NativeSocket.send, _OUT, flags, data, flags | _DONTWAIT, copy, track, **kwargs)

    def send_multipart(  # type: ignore[override]
        self, msg_parts: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Any:
        """Send one message, all of it or nothing; other greenlets run while nobody takes it."""
        parts = list(msg_parts)  # it may be tried more than once
        send = NativeSocket.send_multipart
        return self._repeat(send, _OUT, flags, parts, flags | _DONTWAIT, copy, track, **kwargs)

    def send_many(self, messages: Iterable[Any], flags: int = 0, copy: bool = True) -> int:
        """Send a burst, and return how many were accepted; other greenlets run while nobody takes them."""
        left = list(messages)
        count = len(left)

        def rest(socket: NativeSocket) -> None:
            while left:
                del left[: NativeSocket.send_many(socket, left, flags | _DONTWAIT, copy)]

        try:
            self._repeat(rest, _OUT, flags)
        except ZMQError:
            if len(left) == count:
                raise
        return count - len(left)

    def alloc(self, nbytes: int, flags: int = 0) -> Any:
        """Take memory for one frame; other greenlets run while there is none."""
        if flags & _DONTWAIT:
            return super().alloc(nbytes, flags)
        deadline = self._deadline(_OUT, None)
        while True:
            try:
                return super().alloc(nbytes, flags | _DONTWAIT)
            except Again:  # receivers give memory back without a word
                if deadline is not None and time.monotonic() >= deadline:
                    raise
                sleep(_LOOK_S)

    def poll(self, timeout: float | None = None, flags: int = _IN) -> int:
        """Wait until one of the events in `flags` holds; other greenlets run meanwhile."""
        poller = _Poller()
        poller.register(self, flags)
        return next((int(events) for _, events in poller.poll(timeout)), 0)

    def wait_for_peers(self, n: int = 1, timeout: float | None = None) -> int:
        """Wait until at least `n` connections are up; other greenlets run meanwhile."""
        limit = -1 if timeout is None or timeout < 0 else math.ceil(timeout)
        deadline = None if limit < 0 else time.monotonic() + limit / 1000
        while True:
            try:
                return self._wait_for_peers(n, 0)
            except Again:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
                sleep(_LOOK_S)


class _Context(Context[_Socket]):
    """Makes sockets whose calls wait in gevent's hub."""

    _repr_cls = "shmzmq.green.Context"
    _socket_class = _Socket
    _instance = None  # not shared with plain contexts

    def term(self, timeout: float | None = None) -> None:
        """End the context, as Context does; other greenlets run until all sockets are closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                super().term(0)
            except ZMQError as error:
                if error.errno != EAGAIN:
                    raise
                if left == 0:
                    raise error_for(EAGAIN, f"term: after {timeout:g} s: {error.strerror}") from None
                sleep(_LOOK_S if left is None else min(left, _LOOK_S))
            else:
                return
