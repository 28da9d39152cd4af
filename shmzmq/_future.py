"""Future: sockets and pollers whose calls give futures; what all event loops share.

Knows    pyzmq's names and signatures, what is tried at once.
Refuses  to know how a call waits (`_waits`), and which loop: asyncio's and tornado's futures are the same.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import warnings
from asyncio import Future
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EAGAIN, ENOTSOCK, ENOTSUP
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import _waits, arrays
from ._backend import NativeSocket, begin_turn, end_turn
from ._waits import RCVTIMEO, SNDTIMEO, Attempt, Awaited, Waits, waits_of
from .constants import EFSM, Flag, PollEvent, SocketOption
from .errors import ZMQError, error_for
from .poller import Poller
from .socket import Socket

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["_AsyncPoller", "_AsyncSocket"]

_DONTWAIT = int(Flag.DONTWAIT)
_POLLIN = int(PollEvent.POLLIN)


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def _failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


class _AsyncSocket(Socket["Future[Any]"]):
    """A socket whose `send`, `recv` and `poll`, and all that is made of them, give futures.

    What can be done at once is done by the call itself, and its future is done. Errors are in the future, but
    for those of a wrong argument and of receiving on a closed socket (pyzmq's rule, kept).

    Threads  the loop's; a socket belongs to one loop at a time.
    """

    _waits: Waits = None  # type: ignore[assignment]  # declared for __setattr__; set by __init__

    def __init__(
        self,
        context: Any = None,
        socket_type: int = -1,
        io_loop: Any = None,
        _from_socket: Socket[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Make a socket, or with a Socket in place of the context another handle on one."""
        if isinstance(context, Socket):
            context, _from_socket = None, context
        if io_loop is not None:
            text = f"{type(self).__name__}(io_loop) is not needed any more: the running loop is used"
            warnings.warn(text, DeprecationWarning, stacklevel=3)
        if _from_socket is not None:
            super().__init__(shadow=_from_socket)  # type: ignore[misc]
        elif kwargs.get("shadow"):
            super().__init__(**kwargs)  # type: ignore[misc]
        else:
            super().__init__(context, socket_type, **kwargs)  # type: ignore[misc]
        self._waits = waits_of(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Past Socket's own: what it would put there does not wait for futures.
        super(Socket, cls).__init_subclass__(**kwargs)

    @classmethod
    def from_socket(cls, socket: Socket[Any], io_loop: Any = None) -> Self:
        """Return a handle on an existing socket whose calls give futures."""
        return cls(_from_socket=socket, io_loop=io_loop)

    @property
    def _shadow_sock(self) -> Socket[Any]:
        """The same socket with plain calls."""
        return self._waits.handle

    # --- life ---------------------------------------------------------------------------------------------

    def close(self, linger: int | None = None) -> None:
        """Close the socket. Futures that wait are cancelled; an iteration ends."""
        if self._waits is not None and not self.closed and self._pid == os.getpid():
            self._waits.end()
        super().close(linger)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        """Iterate over messages, each as `recv_multipart` gives it, until the socket is closed."""
        return self

    def __anext__(self) -> Future[list[bytes]]:
        if self.closed:
            return _failed(StopAsyncIteration())
        future = self.recv_multipart()
        if isinstance(future, Awaited):
            future.stops = True
        return future

    # --- receiving ----------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def recv(  # type: ignore[override]
            self, flags: int = 0, copy: bool = True, track: bool = False
        ) -> Future[Any]:
            """Receive one frame: a future of bytes, or with copy=False of a Frame.

            Raises   ZMQError ENOTSOCK  the socket is closed. All else is in the future: Again after RCVTIMEO
                                        or with DONTWAIT, CancelledError when the socket is closed.
            """

        def recv_multipart(  # type: ignore[override]
            self, flags: int = 0, copy: bool = True, track: bool = False
        ) -> Future[Any]:
            """Receive one message: a future of the list of its frames. Raises as `recv`."""
    else:
        # What works at once never comes to Python; all else does, below.
        recv = NativeSocket._future_recv
        recv_multipart = NativeSocket._future_recv_multipart

    def _recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Future[Any]:
        return self._receive(_waits.recv, flags, copy, track)

    def _recv_multipart(self, flags: int = 0, copy: bool = True, track: bool = False) -> Future[Any]:
        return self._receive(_waits.recv_multipart, flags, copy, track)

    def recv_into(  # type: ignore[override]
        self, buffer: Any, /, *, nbytes: int = 0, flags: int = 0
    ) -> Future[int]:
        """Receive one frame into memory you own, which is yours again when the future is done."""
        return self._receive(_waits.recv_into, flags, buffer, nbytes)

    def recv_many(  # type: ignore[override]
        self, max: int = 1000, timeout: float | None = None, multipart: bool = False, copy: bool = True
    ) -> Future[list[Any]]:
        """Receive the messages that are there, once there is one: a future of their list.

        One future for a burst: the fastest way to receive many small messages.
        """
        if max < 1:
            raise ValueError(f"max={max} is less than one message")
        return self._receive(_waits.recv_many, 0, max, multipart, copy, timeout=timeout)

    def _receive(
        self, attempt: Attempt, flags: int, *arguments: Any, timeout: float | None = None
    ) -> Future[Any]:
        """Receive in any way: at once, or when it is our turn."""
        waits = self._waits
        if flags & _DONTWAIT or not waits.receivers:
            if not flags & _DONTWAIT and not _waits.goes_on():
                return self._wait_to_receive(attempt, flags, *arguments, timeout=timeout, soon=True)
            try:
                got = attempt(waits, flags, *arguments)
            except ZMQError as error:
                return self._refused(error, attempt, flags, *arguments, timeout=timeout)
            except Exception as error:
                return _failed(error)
            if got is not NotImplemented:
                waits.permit()
                return _done(got)
            if flags & _DONTWAIT:
                return _failed(error_for(EAGAIN))
        return self._wait_to_receive(attempt, flags, *arguments, timeout=timeout)

    def _wait_to_receive(
        self,
        attempt: Attempt,
        flags: int,
        *arguments: Any,
        timeout: float | None = None,
        soon: bool = False,
    ) -> Awaited:
        limit = self._get_int(RCVTIMEO) if timeout is None else timeout
        return self._waits.wait(self._waits.receivers, attempt, (flags, *arguments), limit, soon=soon)

    def _refused(
        self,
        error: ZMQError,
        attempt: Attempt,
        flags: int,
        *arguments: Any,
        timeout: float | None = None,
    ) -> Future[Any]:
        if error.errno == ENOTSOCK:
            raise error
        if error.errno == EFSM and not flags & _DONTWAIT:
            # A REQ may wait for the reply before it has sent (pyzmq's rule, kept).
            return self._wait_to_receive(attempt, flags, *arguments, timeout=timeout)
        return _failed(error)

    def _deserialize(self, recvd: Any, load: Callable[[Any], Any]) -> Any:
        """Give a future of `load` of what was received."""
        if isinstance(recvd, Awaited) and not recvd.done() and recvd.load is None:
            recvd.load = load  # it is ours, and nobody else has it
            return recvd
        if not asyncio.isfuture(recvd):
            return _loaded_later(recvd, load)
        if not recvd.done():
            return _loaded_later(recvd, load)
        if recvd.cancelled() or recvd.exception() is not None:
            return recvd
        try:
            return _done(load(recvd.result()))
        except Exception as error:
            return _failed(error)

    def _rest(self) -> list[Any]:
        return self._waits.take_rest()

    # --- sending ------------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def send(  # type: ignore[override]
            self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
        ) -> Future[Any]:
            """Send one frame: a future of None, or of a MessageTracker.

            Do not change what you send before the future is done. Cancelled, it was sent whole or not at all.
            All errors are in the future.
            """

        def send_multipart(  # type: ignore[override]
            self, msg_parts: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
        ) -> Future[Any]:
            """Send one message of several frames, all or none: a future as that of `send`."""
    else:
        send = NativeSocket._future_send
        send_multipart = NativeSocket._future_send_multipart

    def _send(
        self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Future[Any]:
        return self._dispatch(_waits.send, flags, data, copy, track, kwargs)

    def _send_multipart(
        self, msg_parts: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Future[Any]:
        try:
            parts = list(msg_parts)  # it may wait, and the caller's list is the caller's
        except TypeError as error:
            return _failed(error)
        return self._dispatch(_waits.send_multipart, flags, parts, copy, track, kwargs)

    def _dispatch(self, attempt: Attempt, flags: int, *arguments: Any) -> Future[Any]:
        """Send in any way: at once, or when it is our turn."""
        waits = self._waits
        if flags & _DONTWAIT or not waits.senders:
            try:
                got = attempt(waits, flags, *arguments)
            except Exception as error:
                return _failed(error)
            if got is not NotImplemented:
                return self._sent(got)
            if flags & _DONTWAIT:
                return _failed(error_for(EAGAIN))
        _waits.entrust(arguments[0])
        return waits.wait(waits.senders, attempt, (flags, *arguments), self._get_int(SNDTIMEO))

    def _sent(self, result: Any) -> Future[Any]:
        """Give the future of what was sent, done unless the turn is over."""
        self._waits.permit()
        return _at_once(result)

    def send_many(  # type: ignore[override]
        self, messages: Iterable[Any], flags: int = 0, copy: bool = True
    ) -> Future[int]:
        """Send a burst: a future of how many were accepted, which is all unless SNDTIMEO is over.

        Cancelled, what was sent stays sent, and each message is sent whole or not at all.
        """
        waits, burst = self._waits, _waits.Burst(list(messages), flags)
        if not burst.messages:
            return _done(0)
        if flags & _DONTWAIT or not waits.senders:
            try:
                got = burst.attempt(waits)
            except Exception as error:
                return _failed(error)
            if got is not NotImplemented:
                return self._sent(got)
            if flags & _DONTWAIT:
                return _done(burst.sent) if burst.sent else _failed(error_for(EAGAIN))
        _waits.entrust(*burst.messages)
        future = waits.wait(waits.senders, _waits.send_many, (burst,), self._get_int(SNDTIMEO))
        future.over = lambda: burst.sent or None
        return future

    def send_array(  # type: ignore[override]
        self, a: NDArray[Any], flags: int = 0, copy: bool = True, track: bool = False
    ) -> Any:
        """Send a numpy array: a future as that of `send`. One that is not contiguous is gathered first."""
        if not flags & Flag.SNDMORE:
            a = arrays.gathered(a)
        return super().send_array(a, flags, copy, track)

    def alloc(self, nbytes: int, flags: int = 0) -> Any:
        """Take memory for one frame; no future. Raises Again where a plain socket would wait for memory."""
        return super().alloc(nbytes, flags | _DONTWAIT)

    # --- watching -----------------------------------------------------------------------------------------

    def poll(  # type: ignore[override]
        self, timeout: float | None = None, flags: int = _POLLIN
    ) -> Future[int]:
        """Wait until one of the events in `flags` holds: a future of those that do, 0 when time is over."""
        if self.closed and self._pid == os.getpid():
            raise error_for(ENOTSUP)
        mask = int(flags)
        found = self._events() & mask
        if timeout == 0:
            return _done(found)
        if found:
            return _at_once(found)
        waits = self._waits
        limit = -1 if timeout is None else timeout
        future = waits.wait(waits.others, _waits.events, (mask,), limit)
        future.over = int
        return future

    def wait_for_peers(  # type: ignore[override]
        self, n: int = 1, timeout: float | None = None
    ) -> Future[int]:
        """Wait until at least `n` connections are up: a future of how many are. Again when time is over."""
        waits = self._waits
        limit = -1 if timeout is None or timeout < 0 else math.ceil(timeout)
        try:
            self._fd()  # from now on a change is told
            found = _waits.peers(waits, n)
        except Exception as error:
            return _failed(error)
        if found is not NotImplemented:
            return _done(found)
        if limit == 0:
            return _failed(error_for(EAGAIN))
        return waits.wait(waits.others, _waits.peers, (n,), limit)

    def _events(self) -> int:
        return super()._events() if self._waits is None else self._waits.events()

    def _rcvmore(self) -> bool:
        return super()._rcvmore() if self._waits is None else self._waits.more()


async def _loaded_later(coming: Any, load: Callable[[Any], Any]) -> Any:
    """Load what a subclass's own `recv` gives."""
    return load(await coming)


def _at_once(result: Any) -> Future[Any]:
    """Give the future of what is there already, done unless the turn is over."""
    return _done(result) if _waits.goes_on() else _in_next_round(result)


def _finish_in_round(future: Future[Any], result: Any) -> None:
    mark = begin_turn()
    if not future.done():
        future.set_result(result)
    future.get_loop().call_soon(end_turn, mark)


def _in_next_round(result: Any) -> Future[Any]:
    """Give a future of what is done already, so that whoever awaits it lets the loop run."""
    future: Future[Any] = Future()
    future.get_loop().call_soon(_finish_in_round, future, result)
    return future


class _AsyncPoller(Poller):
    """A Poller whose `poll` gives a future."""

    _socket_class: type[_AsyncSocket] = _AsyncSocket

    def poll(self, timeout: float | None = -1) -> Future[list[tuple[Any, int]]]:  # type: ignore[override]
        """Wait until one of the sockets and files is ready: a future of what `Poller.poll` returns.

        Shape    timeout: milliseconds; None or negative waits for ever. Sockets of pyzmq's, plain sockets and
                 files may be among them.
        """
        try:
            found = super().poll(0)
        except Exception as error:
            return _failed(error)
        if timeout == 0:
            return _done(found)
        if found:
            return _at_once(found)
        return _Poll(self, -1 if timeout is None else timeout).future

    def _look(self) -> list[tuple[Any, int]]:
        return super().poll(0)


class _Poll:
    """One poll that waits.

    Our sockets wake it as they wake their own futures. All else is behind one epoll fd: a file may have one
    reader in a loop, and that may be the program's.
    """

    def __init__(self, poller: _AsyncPoller, timeout: float) -> None:
        """Begin to watch."""
        self.future: Future[Any] = Future()
        self.poller = poller
        self.loop = self.future.get_loop()
        self.epoll: select.epoll | None = None
        self.timer: Any = None
        self.strangers: list[Any] = []
        self.waiting: list[Awaited] = []
        self.future.add_done_callback(self._end)
        try:
            for item, flags in poller.sockets:
                self._watch(item, int(flags))
        except Exception as error:
            self.future.set_exception(error)
            return
        if self.epoll is not None:
            self.loop.add_reader(self.epoll.fileno(), self._look)
            self.loop.call_soon(self._look)  # what changed before an FD was in use
        if timeout >= 0:
            self.timer = self.loop.call_later(timeout / 1000, self._time)

    def _watch(self, item: Any, flags: int) -> None:
        if isinstance(item, Socket):
            waits = waits_of(item)
            awaited = waits.wait(waits.others, _waits.events, (flags,))
            awaited.add_done_callback(self._look)
            self.waiting.append(awaited)
            return
        if self.epoll is None:
            self.epoll = select.epoll()
        events = select.EPOLLET
        if hasattr(item, "getsockopt") and hasattr(item, "underlying"):  # a socket of pyzmq's
            self.strangers.append(item)
            events |= select.EPOLLIN
        else:
            events |= sum(ours for mask, ours in _EPOLL if flags & mask)
        with suppress(FileExistsError, PermissionError):  # twice, or a file that is always ready
            self.epoll.register(item if isinstance(item, int) else item.fileno(), events)

    def _look(self, _: Any = None) -> None:
        if self.future.done():
            return
        try:
            if self.epoll is not None:
                self.epoll.poll(0)
            for socket in self.strangers:
                socket.getsockopt(SocketOption.EVENTS)  # quiet until the next change
            found = self.poller._look()
            self.waiting = [awaited for awaited in self.waiting if not awaited.done()]
            if not found:
                self._watch_again()
        except Exception as error:
            self.future.set_exception(error)
            return
        if found:
            self.future.set_result(found)

    def _watch_again(self) -> None:
        """Wait for those sockets of ours which were ready and are not any more."""
        watched = [awaited.waits for awaited in self.waiting]
        for item, flags in self.poller.sockets:
            if isinstance(item, Socket) and waits_of(item) not in watched:
                self._watch(item, int(flags))

    def _time(self) -> None:
        self._look()
        if not self.future.done():
            self.future.set_result([])

    def _end(self, future: Future[Any]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        for awaited in self.waiting:
            awaited.cancel()
        self.waiting.clear()
        self.strangers.clear()
        if self.epoll is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(self.epoll.fileno())
            self.epoll.close()


_EPOLL = (
    (PollEvent.POLLIN, select.EPOLLIN),
    (PollEvent.POLLOUT, select.EPOLLOUT),
    (PollEvent.POLLPRI, select.EPOLLPRI),
    (PollEvent.POLLERR, select.EPOLLERR),
)
