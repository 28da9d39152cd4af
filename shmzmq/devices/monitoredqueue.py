"""monitored_queue: a proxy whose third socket is told which way each message went."""

from __future__ import annotations

from typing import Any, NoReturn

from .. import DONTWAIT, POLLIN, ROUTER, Again, Poller, Socket

__all__ = ["monitored_queue"]

_BURST = 100
"""So many messages pass one way before the other one has its turn."""


def monitored_queue(
    in_socket: Socket[Any],
    out_socket: Socket[Any],
    mon_socket: Socket[Any],
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
) -> NoReturn:
    """Move messages between two sockets; each goes to a third one too, behind a frame that tells its way.

    Shape    in_prefix: that frame for what came from in_socket, out_prefix: from out_socket. Between two
             ROUTERs a message begins with its destination; the first two frames change places, so that it
             arrives behind its sender's id.
    Returns  never.
    Waits    where a socket that is to take a message takes none, in both directions.
    Raises   ContextTerminated  the context is ending; ZMQError ENOTSOCK  a socket was closed;
             TypeError          a prefix is not bytes.
             What else a send raises, one message then is lost.
    """
    for prefix in (in_prefix, out_prefix):
        if not isinstance(prefix, bytes):
            raise TypeError(f"a prefix is bytes, got {prefix!r}")
    swaps = in_socket.type == out_socket.type == ROUTER
    ways = {
        in_socket: (out_socket, in_prefix),
        out_socket: (in_socket, out_prefix),
    }
    poller = Poller()
    for socket in ways:
        poller.register(socket, POLLIN)
    while True:
        for socket, _ in poller.poll():
            _pass(socket, *ways[socket], mon_socket, swaps)


def _pass(source: Socket[Any], target: Socket[Any], prefix: bytes, monitor: Socket[Any], swaps: bool) -> None:
    """Move what one socket has, up to a burst."""
    for _ in range(_BURST):
        try:
            frames = source.recv_multipart(DONTWAIT, copy=False)
        except Again:
            return
        if swaps:
            frames[:2] = frames[1::-1]
        target.send_multipart(frames)
        monitor.send_multipart([prefix, *frames])
