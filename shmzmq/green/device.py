"""device for gevent: moves messages between two sockets in a greenlet."""

from __future__ import annotations

from typing import Any, NoReturn

from ..constants import PollEvent
from .poll import _Poller

__all__ = ["device"]


def device(device_type: int, isocket: Any, osocket: Any) -> NoReturn:
    """Move whole messages both ways, until a socket is closed or the context ends.

    Shape    device_type: means nothing; osocket: -1 for one socket on both sides.
    Raises   ContextTerminated, ZMQError ENOTSOCK  at the end.
    """
    other = isocket if osocket == -1 else osocket
    targets = {isocket: other, other: isocket}
    poller = _Poller()
    for socket in targets:
        poller.register(socket, PollEvent.POLLIN)
    while True:
        for socket, _ in poller.poll():
            targets[socket].send_multipart(socket.recv_multipart())
