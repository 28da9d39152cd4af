"""Poller, select and zmq_poll for gevent: other greenlets run while nothing is ready.

Knows    how each kind of thing that may be registered tells that it changed.
Refuses  to know what is ready: `Poller.poll` without a time does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from gevent.event import Event
from gevent.hub import get_hub

from ..constants import PollEvent, SocketOption
from ..poller import Poller
from ..socket import Socket
from .waits import Waits

__all__ = ["_Poller", "select", "zmq_poll"]

_IN, _OUT, _ERR = PollEvent.POLLIN, PollEvent.POLLOUT, PollEvent.POLLERR


class _Poller(Poller):
    """A Poller whose `poll` waits in gevent's hub."""

    def poll(self, timeout: float | None = -1) -> list[tuple[Any, int]]:
        """Wait until something registered is ready; as `Poller.poll`. Other greenlets run meanwhile."""
        found = super().poll(0)
        if found or timeout == 0 or not self.sockets:
            return found
        deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout / 1000
        event = Event()
        with ExitStack() as stack:
            strangers = [item for item, flags in self.sockets if self._watch(stack, event, item, int(flags))]
            while True:
                for socket in strangers:
                    socket.getsockopt(SocketOption.EVENTS)  # quiet until the next change
                found = super().poll(0)
                left = None if deadline is None else deadline - time.monotonic()
                if found or (left is not None and left <= 0):
                    return found
                event.wait(left)
                event.clear()

    def _watch(self, stack: ExitStack, event: Event, item: Any, flags: int) -> bool:
        """Set `event` when something changed; True for a socket whose EVENTS has to be read."""
        waits = getattr(item, "_waits", None)
        if isinstance(waits, Waits):
            stack.enter_context(waits.waiting(flags, event))
            return False
        stranger = isinstance(item, Socket) or (hasattr(item, "getsockopt") and hasattr(item, "underlying"))
        wanted = 1 if stranger or flags & (_IN | _ERR) else 0
        watcher = get_hub().loop.io(
            item if isinstance(item, int) else item.fileno(),
            wanted | (2 if flags & _OUT and not stranger else 0),
        )
        stack.callback(watcher.close)
        stack.callback(watcher.stop)
        watcher.start(event.set)
        return stranger


def zmq_poll(sockets: Sequence[tuple[Any, int]], timeout: float | None = -1) -> list[tuple[Any, int]]:
    """Wait until one of `sockets`, (socket, flags) each, is ready; as the package's. Others run meanwhile."""
    poller = _Poller()
    for socket, flags in sockets:
        poller.register(socket, flags)
    return poller.poll(timeout)


def select(
    rlist: Sequence[Any], wlist: Sequence[Any], xlist: Sequence[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Do what the package's `select` does; other greenlets run meanwhile."""
    flags: dict[Any, int] = {}
    for sockets, flag in ((rlist, _IN), (wlist, _OUT), (xlist, _ERR)):
        for socket in sockets:
            flags[socket] = flags.get(socket, 0) | flag
    ready = zmq_poll(list(flags.items()), -1 if timeout is None else max(-1, int(timeout * 1000.0)))
    readable, writable, wrong = (
        [socket for socket, events in ready if events & flag] for flag in (_IN, _OUT, _ERR)
    )
    return readable, writable, wrong
