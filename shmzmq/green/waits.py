"""Waits: who waits for a socket in gevent's hub, and how they are woken.

Knows    the FD and EVENTS of a socket.
Refuses  to know what a call does.

The FD tells of changes, and reading EVENTS makes it quiet. So EVENTS is read in one place: for all who wait,
when the FD is readable, and again after each call of another greenlet that may have read it. A greenlet looks
at EVENTS once more after it began to wait and before it switches to the hub: nothing can come in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..constants import PollEvent
from ..errors import ZMQError

try:
    from gevent.event import Event
    from gevent.hub import get_hub
except ImportError as error:
    raise ImportError("shmzmq.green needs gevent: pip install gevent", name="gevent") from error

__all__ = ["Waits"]

_ALL = int(PollEvent.POLLIN | PollEvent.POLLOUT)


class Waits:
    """Those who wait for one socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._waiting: list[tuple[int, Event]] = []
        self._watcher: Any = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @contextmanager
    def waiting(self, mask: int, event: Event) -> Iterator[None]:
        """Set `event` as long as one of the events in `mask` may hold, or the socket has ended."""
        entry = (mask, event)
        self._waiting.append(entry)
        try:
            if self._watcher is None:
                self._watcher = get_hub().loop.io(self._socket._fd(), 1)
                self._watcher.start(self.look)
            self.look()
            yield
        finally:
            self._waiting.remove(entry)
            if not self._waiting:
                self.end()

    def look(self) -> None:
        """Read EVENTS, and wake those whom it concerns."""
        try:
            events = self._socket._plain_events()
        except ZMQError:  # the end: each call says what it is
            events = _ALL
        self.tell(events)

    def tell(self, events: int) -> None:
        """Wake those who wait for one of these events."""
        for mask, event in self._waiting:
            if mask & events:
                event.set()

    def end(self) -> None:
        """Stop watching, and wake everybody."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        self.tell(_ALL)
