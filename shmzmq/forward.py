"""proxy, proxy_steerable and device: move messages between two sockets.

Knows    pyzmq's names.
Refuses  to know how: a message passes through native code only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._backend import proxy, proxy_steerable

if TYPE_CHECKING:
    from .socket import Socket

__all__ = ["device", "proxy", "proxy_steerable"]


def device(device_type: int, frontend: Socket, backend: Socket) -> int:
    """Do what `proxy` does; the type (STREAMER, FORWARDER, QUEUE) changes nothing (pyzmq's rule, kept)."""
    return proxy(frontend, backend)
