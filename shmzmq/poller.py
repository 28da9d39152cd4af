"""Poller, select and zmq_poll: wait until one of many sockets and files is ready.

Knows    pyzmq's names, what is registered and in which order.
Refuses  to know how to wait: `poll` is native, and its cost follows the sockets that are ready, not those
         that are registered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from ._backend import NativePoller, zmq_poll
from .constants import PollEvent

__all__ = ["Poller", "select", "zmq_poll"]

_IN, _OUT, _ERR = PollEvent.POLLIN, PollEvent.POLLOUT, PollEvent.POLLERR


class Poller(NativePoller):
    """Waits for sockets, integer fds, and objects with a `fileno()`, all at once.

    Shape    `sockets` lists (socket, flags) in the order of registration; `socket in poller` asks.
    Threads  any; a poll under way does not see what another thread registers.
    Source   zmq_poll(3).
    """

    sockets: list[tuple[Any, int]]
    _entries: dict[Any, tuple[int, int]]
    _turns: list[int]

    def __init__(self) -> None:
        """Make a poller that watches nothing."""
        self.sockets = []
        # Of each socket: its turn, which orders `sockets`, and the native poller's key.
        self._entries = {}
        self._turns = []

    def __contains__(self, socket: Any) -> bool:
        """True if exactly this object is registered."""
        return socket in self._entries

    def register(self, socket: Any, flags: int = PollEvent.POLLIN | PollEvent.POLLOUT) -> None:
        """Watch `socket` for `flags` from now on; what is registered already gets the new flags.

        Shape    socket: a Socket, a socket of pyzmq's, an int, or an object with `fileno()`, hashable;
                 flags: POLLIN, POLLOUT, POLLPRI, POLLERR; 0 takes the socket off.
        Raises   TypeError  not hashable. What is no socket or file at all, `poll` says.
        """
        known = self._entries.get(socket)
        if not flags:
            if known is not None:
                self.unregister(socket)
        elif known is None:
            turn = self._turns[-1] + 1 if self._turns else 0
            self._entries[socket] = (turn, self._put(socket, flags))
            self._turns.append(turn)
            self.sockets.append((socket, flags))
        else:
            turn, key = known
            self._modify(key, flags)
            self.sockets[bisect_left(self._turns, turn)] = (socket, flags)

    def modify(self, socket: Any, flags: int = PollEvent.POLLIN | PollEvent.POLLOUT) -> None:
        """Do what `register` does."""
        self.register(socket, flags)

    def unregister(self, socket: Any) -> None:
        """Watch `socket` no more. Raises KeyError if it is not registered."""
        turn, key = self._entries.pop(socket)
        at = bisect_left(self._turns, turn)
        del self._turns[at], self.sockets[at]
        self._remove(key)


def select(
    rlist: Sequence[Any], wlist: Sequence[Any], xlist: Sequence[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Do what `select.select` does, for sockets and files.

    Shape    timeout: seconds; None or negative waits for ever.
    Returns  what is readable, writable, and in error; files as numbers.
    Raises   what `zmq_poll` raises.
    """
    limit = -1 if timeout is None else max(-1, int(timeout * 1000.0))
    flags: dict[Any, int] = {}
    for sockets, flag in ((rlist, _IN), (wlist, _OUT), (xlist, _ERR)):
        for socket in sockets:
            flags[socket] = flags.get(socket, 0) | flag
    ready = zmq_poll(list(flags.items()), limit)
    readable, writable, wrong = (
        [socket for socket, events in ready if events & flag] for flag in (_IN, _OUT, _ERR)
    )
    return readable, writable, wrong
