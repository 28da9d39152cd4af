"""ZMQStream: a socket with callbacks in tornado's loop.

Knows    when the loop is to look at the socket again, what waits to be sent, whom to call.
Refuses  to know what is in a message.

Every turn receives at most one message and sends at most one; then the loop runs. The FD tells of changes
only, so a turn ends by reading EVENTS, which makes it quiet, and takes another turn if something is left.
"""

from __future__ import annotations

import asyncio
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from inspect import isawaitable
from typing import Any

from tornado.log import gen_log

from .. import DONTWAIT, POLLIN, POLLOUT, Again, ContextTerminated, Poller, Socket, ZMQError
from .._future import _AsyncSocket
from .._waits import entrust
from ..utils import jsonapi
from . import IOLoop

__all__ = ["ZMQStream"]

_DOUBT_S = 0.005
"""So long a message waits that EVENTS would let pass and the socket does not: for a full peer of a ROUTER."""

Callback = Callable[..., Any]


class ZMQStream:
    """Calls you for each message that comes, and sends when the socket takes it.

    Shape    socket: a plain Socket; one whose calls give futures is shadowed, with a RuntimeWarning. io_loop:
             None is the current one. Callbacks may be coroutine functions.
    Threads  the loop's.
    """

    socket: Socket[Any]
    """None once the stream is closed."""
    io_loop: IOLoop
    poller: Poller
    bind: Callable[..., Any]
    bind_to_random_port: Callable[..., int]
    connect: Callable[..., Any]
    setsockopt: Callable[..., None]
    getsockopt: Callable[..., Any]
    setsockopt_string: Callable[..., None]
    setsockopt_unicode: Callable[..., None]
    getsockopt_string: Callable[..., str]
    getsockopt_unicode: Callable[..., str]

    def __init__(self, socket: Socket[Any], io_loop: IOLoop | None = None) -> None:
        """Begin to watch a socket."""
        if isinstance(socket, _AsyncSocket):
            text = "ZMQStream only supports plain sockets; this one is shadowed: Socket(shadow=other_socket)"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            socket = Socket(shadow=socket)
        self.socket = socket
        self.io_loop = io_loop or IOLoop.current()
        self.poller = Poller()
        self._queue: deque[tuple[Any, dict[str, Any]]] = deque()
        self._on_recv: Callback | None = None
        self._on_send: Callback | None = None
        self._on_close: Callback | None = None
        self._copies = True
        self._scheduled = False
        self._fd = socket.fileno()
        self.io_loop.add_handler(socket, self._handle, IOLoop.READ)
        for name in _OF_THE_SOCKET:
            setattr(self, name, getattr(socket, name))

    # --- callbacks ----------------------------------------------------------------------------------------

    def on_recv(self, callback: Callback | None, copy: bool = True) -> None:
        """Call `callback(frames)` for each message; None stops it.

        Shape    copy: frames are bytes, or with copy=False Frames.
        Raises   OSError  the stream is closed.
        """
        self._check_closed()
        _check(callback)
        self._on_recv, self._copies = callback, copy
        self._look()

    def on_recv_stream(self, callback: Callback | None, copy: bool = True) -> None:
        """Call `callback(stream, frames)` for each message; None stops it."""
        _check(callback)
        self.on_recv(callback and (lambda frames: callback(self, frames)), copy=copy)

    def stop_on_recv(self) -> None:
        """Call nobody for messages; they stay in the socket."""
        self.on_recv(None)

    def on_send(self, callback: Callback | None) -> None:
        """Call `callback(frames, status)` for each message that was sent; None stops it.

        Shape    status: what `send_multipart` of the socket returned, or the ZMQError that it raised.
        """
        self._check_closed()
        _check(callback)
        self._on_send = callback

    def on_send_stream(self, callback: Callback | None) -> None:
        """Call `callback(stream, frames, status)` for each message that was sent; None stops it."""
        _check(callback)
        self.on_send(callback and (lambda frames, status: callback(self, frames, status)))

    def stop_on_send(self) -> None:
        """Call nobody when messages are sent."""
        self.on_send(None)

    def on_err(self, callback: Callback) -> None:
        """Do nothing (deprecated in pyzmq)."""
        gen_log.warning("on_err does nothing")

    def stop_on_err(self) -> None:
        """Do nothing (deprecated in pyzmq)."""
        gen_log.warning("on_err does nothing")

    def set_close_callback(self, callback: Callback | None) -> None:
        """Call `callback()` when the stream is closed."""
        self._on_close = callback

    # --- sending ------------------------------------------------------------------------------------------

    def send(
        self,
        msg: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        callback: Callback | None = None,
        **kwargs: Any,
    ) -> None:
        """Send one frame; as `send_multipart`."""
        self.send_multipart([msg], flags=flags, copy=copy, track=track, callback=callback, **kwargs)

    def send_multipart(
        self,
        msg: Sequence[Any],
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        callback: Callback | None = None,
        **kwargs: Any,
    ) -> None:
        """Send one message from the loop, after those that wait. Never blocks.

        Shape    callback: as `on_send(callback)` before. All else as for `send_multipart` of a socket.
        Raises   OSError  the stream is closed. What sending raises goes to the callback, and to the log.
        """
        self._check_closed()
        if callback is not None:
            self.on_send(callback)
        entrust(msg)
        self._queue.append((msg, {"flags": flags, "copy": copy, "track": track, **kwargs}))
        self._look()

    def send_string(
        self, u: str, flags: int = 0, encoding: str = "utf-8", callback: Callback | None = None, **kwargs: Any
    ) -> None:
        """Send text as one frame."""
        if not isinstance(u, str):
            raise TypeError("unicode/str objects only")
        self.send(u.encode(encoding), flags=flags, callback=callback, **kwargs)

    send_unicode = send_string

    def send_json(self, obj: Any, flags: int = 0, callback: Callback | None = None, **kwargs: Any) -> None:
        """Send an object as JSON."""
        self.send(jsonapi.dumps(obj), flags=flags, callback=callback, **kwargs)

    def send_pyobj(
        self, obj: Any, flags: int = 0, protocol: int = -1, callback: Callback | None = None, **kwargs: Any
    ) -> None:
        """Send a pickled object as one frame."""
        self.send(pickle.dumps(obj, protocol), flags=flags, callback=callback, **kwargs)

    # --- now ----------------------------------------------------------------------------------------------

    def flush(self, flag: int = POLLIN | POLLOUT, limit: int | None = None) -> int:
        """Receive what is there and send what can be sent, now. Callbacks are called.

        Shape    flag: POLLIN, POLLOUT or both; limit: most messages in all. Without a callback what is
                 received is dropped.
        Returns  how many messages were received and sent.
        Raises   OSError  the stream is closed; and what a callback raises.
        """
        self._check_closed()
        count = 0
        while not limit or count < limit:
            wanted = flag & (POLLIN | (POLLOUT if self._queue else 0))
            events = self.socket.EVENTS & wanted if wanted else 0
            moved = bool(events & POLLIN) and self._receive()
            count += moved
            if self.socket is not None and events & POLLOUT and (not limit or count < limit):
                sent = self._send()
                count, moved = count + sent, moved or sent
            if not moved or self.socket is None:
                break
        if self.socket is not None:
            self._look()
        return count

    # --- life ---------------------------------------------------------------------------------------------

    def close(self, linger: int | None = None) -> None:
        """Close the stream and its socket. What was not sent yet is dropped."""
        socket = self.socket
        if socket is None:
            return
        if socket.closed:
            warnings.warn(
                f"the socket was closed before its stream: taking FD {self._fd} off the loop, which may be "
                "somebody else's by now; close the stream instead",
                stacklevel=2,
            )
        self.io_loop.remove_handler(self._fd)
        socket.close(linger)
        self.socket = None  # type: ignore[assignment]
        if self._on_close is not None:
            self._call(self._on_close)

    def receiving(self) -> bool:
        """True while somebody is called for messages."""
        return self._on_recv is not None

    def sending(self) -> bool:
        """True while messages wait to be sent."""
        return bool(self._queue)

    def closed(self) -> bool:
        """True once the stream is closed; a socket that was closed by somebody else closes it."""
        if self.socket is not None and self.socket.closed:
            self.close()
        return self.socket is None

    def _check_closed(self) -> None:
        if self.socket is None:
            raise OSError("Stream is closed")

    # --- the loop -----------------------------------------------------------------------------------------

    def _wanted(self) -> int:
        return (POLLIN if self._on_recv is not None else 0) | (POLLOUT if self._queue else 0)

    def _look(self, moved: bool = True) -> None:
        """Take another turn if there is something to do; the FD does not tell it again."""
        wanted = self._wanted()
        if self.socket is None or self._scheduled or not wanted or not self.socket.EVENTS & wanted:
            return
        self._scheduled = True
        if moved:
            self.io_loop.add_callback(self._turn)
        else:
            self.io_loop.call_later(_DOUBT_S, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self.socket is not None:
            self._handle(self.socket, 0)

    def _handle(self, _fd: Any, _events: int) -> None:
        """Take a turn."""
        if self.socket is None:
            gen_log.warning("Got events for closed stream %s", self)
            return
        try:
            events = self.socket.EVENTS & self._wanted()
        except ZMQError as error:
            self._lost(error)
            return
        moved = not events
        try:
            if events & POLLIN:
                moved = self._receive()
            if self.socket is not None and events & POLLOUT and self._queue:
                moved = self._send() or moved
        finally:
            if self.socket is not None and not self.socket.closed:
                self._look(moved)

    def _lost(self, error: ZMQError) -> None:
        """Stop watching a socket that has no events any more."""
        if isinstance(error, ContextTerminated):
            gen_log.warning("Got events for stream %s after terminating context", self)
            self.io_loop.remove_handler(self._fd)
        elif self.closed():
            gen_log.warning("Got events for stream %s attached to closed socket: %s", self, error)
        else:
            gen_log.error("Error getting events for %s: %s", self, error)

    def _receive(self) -> bool:
        """Receive one message and give it to the callback; False if there was none."""
        try:
            frames = self.socket.recv_multipart(DONTWAIT, copy=self._copies)
        except Again:
            return False
        if self._on_recv is not None:
            self._call(self._on_recv, frames)
        return True

    def _send(self) -> bool:
        """Send one message and tell the callback; False if the socket did not take it."""
        frames, how = self._queue[0]
        status: Any
        try:
            status = self.socket.send_multipart(frames, **how | {"flags": how["flags"] | DONTWAIT})
        except Again as error:
            if not how["flags"] & DONTWAIT:
                return False
            status = error
        except ZMQError as error:
            status = error
        except BaseException:
            self._queue.popleft()  # no message at all
            raise
        self._queue.popleft()
        if isinstance(status, ZMQError):
            gen_log.error("SEND Error: %s", status)
        if self._on_send is not None:
            self._call(self._on_send, frames, status)
        return True

    def _call(self, callback: Callback, *arguments: Any) -> None:
        """Call somebody; what he awaits runs by itself."""
        try:
            coming = callback(*arguments)
            if isawaitable(coming):
                asyncio.ensure_future(coming).add_done_callback(_log_failure)
        except Exception:
            gen_log.error("Uncaught exception in ZMQStream callback", exc_info=True)
            raise  # the loop says so too


_OF_THE_SOCKET = (
    "bind", "bind_to_random_port", "connect", "getsockopt", "getsockopt_string", "getsockopt_unicode",
    "setsockopt", "setsockopt_string", "setsockopt_unicode",
)  # fmt: skip


def _check(callback: Callback | None) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(f"a callback is called, got {callback!r}")


def _log_failure(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        gen_log.error("Uncaught exception in ZMQStream callback", exc_info=error)
