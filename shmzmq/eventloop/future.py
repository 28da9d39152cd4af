"""Futures for tornado's coroutines: those of asyncio, which tornado's loop runs.

Knows    pyzmq's names.
Refuses  to be anything else than `shmzmq.asyncio`.
"""

from __future__ import annotations

import warnings
from asyncio import CancelledError
from typing import Any

from .._future import _AsyncPoller, _AsyncSocket
from ..context import Context as _Context
from . import IOLoop

__all__ = ["CancelledError", "Context", "IOLoop", "Poller", "Socket"]


class Poller(_AsyncPoller):
    """Waits for sockets and files; `poll` gives a future."""


class Socket(_AsyncSocket):
    """A socket whose calls give futures."""

    _repr_cls = "shmzmq.eventloop.future.Socket"
    _poller_class = Poller


Poller._socket_class = Socket


class Context(_Context[Socket]):
    """Makes sockets whose calls give futures."""

    _repr_cls = "shmzmq.eventloop.future.Context"
    _socket_class = Socket
    _instance = None  # not shared with plain contexts
    io_loop: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make a context. `io_loop` is deprecated and means nothing."""
        if kwargs.pop("io_loop", None) is not None:
            text = f"{type(self).__name__}(io_loop) is not needed any more: the running loop is used"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        super().__init__(*args, **kwargs)  # type: ignore[misc]
