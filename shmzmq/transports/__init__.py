"""Transports: scheme -> who serves it.

A new wire is a file here and a row in `TRANSPORTS`; no socket type is ever named in this folder.
"""

from __future__ import annotations

from typing import Final

from ..endpoint import Endpoint
from .base import Bound, Transport
from .inproc import InprocTransport
from .ipc import IpcTransport
from .tcp import TcpTransport

__all__ = ["TRANSPORTS", "Bound", "Transport", "transport_of"]

TRANSPORTS: Final[dict[str, Transport]] = {
    "inproc": InprocTransport(),
    "ipc": IpcTransport(),
    "tcp": TcpTransport(),
}


def transport_of(endpoint: Endpoint) -> Transport:
    """Who serves the endpoint; `parse` has refused unknown schemes."""
    return TRANSPORTS[endpoint.scheme]
