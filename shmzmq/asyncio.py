"""Asyncio: sockets for programs with `await`. `import shmzmq.asyncio`.

Knows    asyncio's names for what `_future` does.
Refuses  to know more.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio import SelectorEventLoop
from types import TracebackType
from typing import Any, Self

from ._future import _AsyncPoller, _AsyncSocket
from .context import Context as _Context

__all__ = ["Context", "Poller", "Socket", "ZMQEventLoop", "install"]


class Poller(_AsyncPoller):
    """Waits for sockets and files; `poll` gives an asyncio.Future."""


class Socket(_AsyncSocket):
    """A socket whose calls give asyncio futures."""

    _repr_cls = "shmzmq.asyncio.Socket"
    _poller_class = Poller


Poller._socket_class = Socket


class Context(_Context[Socket]):
    """Makes sockets whose calls give asyncio futures."""

    _repr_cls = "shmzmq.asyncio.Context"
    _socket_class = Socket
    _instance = None  # not shared with plain contexts

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all sockets and wait, while the loop runs, for what they accepted (LINGER)."""
        self._warns = True
        self._close_sockets()
        await asyncio.get_running_loop().run_in_executor(None, self.term)


class ZMQEventLoop(SelectorEventLoop):
    """asyncio's own loop (deprecated in pyzmq: any loop will do)."""

    def __init__(self, selector: Any = None) -> None:
        """Make a loop."""
        _deprecated()
        super().__init__(selector)


def install() -> None:
    """Do nothing (deprecated in pyzmq: any loop will do)."""
    _deprecated()


def _deprecated() -> None:
    text = "ZMQEventLoop and install are not needed: sockets work with any asyncio loop"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
