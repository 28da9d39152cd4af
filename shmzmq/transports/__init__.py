"""Transports: scheme -> who serves it.

A new wire is a file here and a row in `TRANSPORTS`; no socket type is ever named in this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from ..endpoint import Endpoint
from .base import Bound, Transport

__all__ = ["TRANSPORTS", "Bound", "Transport", "transport_of"]


# Each is imported when an endpoint asks for it: Python's own `socket` and `tempfile`, which two of them need,
# would be a third of the time that `import shmzmq` takes.
def _inproc() -> Transport:
    from .inproc import InprocTransport

    return InprocTransport()


def _ipc() -> Transport:
    from .ipc import IpcTransport

    return IpcTransport()


def _tcp() -> Transport:
    from .tcp import TcpTransport

    return TcpTransport()


TRANSPORTS: Final[dict[str, Callable[[], Transport]]] = {"inproc": _inproc, "ipc": _ipc, "tcp": _tcp}


@cache
def _serving(scheme: str) -> Transport:
    return TRANSPORTS[scheme]()


def transport_of(endpoint: Endpoint) -> Transport:
    """Who serves the endpoint; `parse` has refused unknown schemes."""
    return _serving(endpoint.scheme)
