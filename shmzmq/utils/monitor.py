"""Messages of a socket's monitor, as dictionaries.

Knows    the frames of an event.
Refuses  to know sockets: it receives from whatever has `recv_multipart`, awaited or not.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable
from typing import Any, Final, TypedDict

from ..constants import Event, ShmEvent

__all__ = ["parse_monitor_message", "recv_monitor_message"]

_THEIRS: Final = struct.Struct("=HI")
_OURS: Final = struct.Struct("=II")


class _Message(TypedDict):
    event: Event
    value: int
    endpoint: bytes


class _MonitorMessage(_Message, total=False):
    detail: str


def parse_monitor_message(msg: list[bytes]) -> _MonitorMessage:
    """Take an event's frames apart.

    Shape    msg: the frames as `recv_multipart` gives them.
    Returns  event (Event, or ShmEvent for our own), value (an fd, errno, milliseconds or code, as an Event:
             pyzmq's rule), endpoint (bytes; empty for MONITOR_STOPPED); of our own events also detail.
    Raises   RuntimeError  the frames are no event's.
    Source   zmq_socket_monitor(3).
    """
    if len(msg) == 2 and len(msg[0]) == _THEIRS.size:
        event, value = _THEIRS.unpack(msg[0])
        return {"event": Event(event), "value": Event(value), "endpoint": msg[1]}
    if len(msg) == 3 and len(msg[0]) == _OURS.size:
        event, value = _OURS.unpack(msg[0])
        detail = msg[2].decode(errors="replace")
        return {"event": ShmEvent(event), "value": value, "endpoint": msg[1], "detail": detail}  # type: ignore[typeddict-item]
    raise RuntimeError(f"Invalid event message format: {msg}")


async def _parse_later(coming: Awaitable[list[bytes]]) -> _MonitorMessage:
    return parse_monitor_message(await coming)


def recv_monitor_message(socket: Any, flags: int = 0) -> Any:
    """Receive one event from a monitor socket.

    Shape    socket: from `get_monitor_socket`; flags as for `recv`.
    Returns  the event as `parse_monitor_message` gives it; an awaitable of it from a socket whose
             `recv_multipart` is awaited.
    Raises   as `recv_multipart`, and RuntimeError for a message that is no event.
    """
    received = socket.recv_multipart(flags)
    if isinstance(received, Awaitable):
        return _parse_later(received)
    return parse_monitor_message(received)
