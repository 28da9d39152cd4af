"""What keeps buffers alive while they are sent without a copy: nothing, `send` takes the bytes at once.

Knows    the names by which programs and their tests ask pyzmq's collector whether it is idle.
Refuses  to run a thread, to hold an object.
"""

from __future__ import annotations

from threading import Event
from typing import Any, Final, NamedTuple

__all__ = ["GarbageCollector", "gc", "gcref"]


class gcref(NamedTuple):
    """An object that is being sent, and the event of its tracker."""

    obj: object
    event: Event | None


class GarbageCollector:
    """Holds nothing. `refs` is empty, and whoever waits for that waits no time."""

    url: str = "inproc://pyzmq.gc.01"
    refs: dict[int, gcref]
    context: Any

    def __init__(self, context: Any = None) -> None:
        """Remember a context, which is not used."""
        self.refs = {}
        self.pid: int | None = None
        self.thread: Any = None
        self.context = context

    def start(self) -> None:
        """Do nothing: there is no thread."""

    def stop(self) -> None:
        """Do nothing: there is no thread."""

    def is_alive(self) -> bool:
        """Say False: there is no thread."""
        return False

    def store(self, obj: object, event: Event | None = None) -> int:
        """Return 0, which is nobody's number, and set the event: nothing holds the object."""
        if event is not None:
            event.set()
        return 0


gc: Final = GarbageCollector()
