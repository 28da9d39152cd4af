"""Waits: who waits for a socket in an event loop, and how each of them is served.

Knows    one native socket, the futures that wait for it, in three queues, and the loop that they belong to.
Refuses  to know the names by which a program calls it: that is `_future`.

Theory of operation. A call first tries; what works at once is a future that is done, and none of this is
used. What does not work at once is an `Awaited` in a queue, and while there is one, ONE reader on the
socket's FD calls `serve`. It serves as many as it can, in order, and then reads EVENTS, which makes the FD
quiet until something changes. A wake that finds nobody waiting takes the reader off: unread messages cost an
idle loop one call.

```text
call ── tried, worked ──► done future (native code, while nobody waits: native future.rs)
     └─ queued ──► serve: attempt ── worked ──► done ──► awaited
          │          ▲        └─ not yet: stays in front, EVENTS read
          │          └─ FD readable, or the turn was over (call_soon)
          ├─ cancelled: skipped by serve
          └─ time over: Again (one timer for all, set to the earliest)
```

A turn. Whoever awaits a future that is done does not let the loop run. So native code counts what is done
between two rounds of the loop, and when a turn is over the next call is served in the next round.

No message is lost by cancelling. A future that is cancelled while it waits has taken nothing. If it is done,
but the task that awaits it is cancelled before it runs again, what was received goes to `taken`, in front of
what is still in the socket, and whoever receives next looks there first.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio import Future
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from errno import EAGAIN
from typing import Any, Final
from weakref import WeakValueDictionary

from ._backend import Block, begin_turn, end_turn, spend_turn
from .constants import EFSM, Flag, PollEvent, SocketOption
from .errors import Again, ZMQError, error_for
from .frame import Frame
from .socket import Socket

__all__ = ["Awaited", "Waits", "waits_of"]

DOUBT_S: Final = 5e-3
"""How soon to try again what EVENTS says is possible and is not: a ROUTER whose one peer is full."""
EARLY_S: Final = 0.5e-3
"""Loops may call a timer this much too soon."""

COMPACT_MIN: Final = 32
"""A queue of fewer keeps its cancelled until their turn."""

_IN, _OUT = int(PollEvent.POLLIN), int(PollEvent.POLLOUT)
_DONTWAIT = int(Flag.DONTWAIT)
_LATER, _GO_ON = 0, 1

Attempt = Callable[..., Any]
"""(waits, *arguments) -> the result, or NotImplemented for "not yet"."""


class Awaited(Future[Any]):
    """A future of a call that waits; it knows how to try again."""

    waits: Waits
    attempt: Attempt
    arguments: tuple[Any, ...] = ()
    deadline: float | None = None
    over: Any = None
    """What it gives when its time is over; None for Again."""
    load: Callable[[Any], Any] | None = None
    """What makes the result of what was received."""
    received: tuple[list[Any], bool] | None = None
    """What this took from the socket and nobody has seen: frames of one message, and whether more follow."""
    many: list[Any] | None = None
    """The same for a burst: messages."""
    stops: bool = False
    """The end of the socket ends an iteration."""

    def cancel(self, msg: Any = None) -> bool:
        """Cancel; what was to be sent is let go at once."""
        done = super().cancel(msg)
        if done:
            self.arguments = ()
        return done

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done():
            self._asyncio_future_blocking = True
            try:
                yield self
            except BaseException:
                # The task was cancelled when this was done already: nobody will see what was received.
                self.waits.give_back(self)
                raise
            if not self.done():
                raise RuntimeError("await wasn't used with future")
        return self.result()

    __iter__ = __await__


class Queue(deque[Awaited]):
    """Those who wait in one direction, the first in front; the cancelled among them until they are met."""

    compact_at = COMPACT_MIN

    def add(self, future: Awaited) -> None:
        """Append, and drop the cancelled once they may be half: they gather behind one who waits long."""
        while self and self[0].done():
            self.popleft()
        if len(self) >= self.compact_at:
            waiting = [each for each in self if not each.done()]
            self.clear()
            self.extend(waiting)
            self.compact_at = max(COMPACT_MIN, 2 * len(waiting))
        self.append(future)


class Into:
    """A frame in memory of the caller."""

    __slots__ = ("buffer", "size")

    def __init__(self, buffer: Any, size: int) -> None:
        """Keep where it is; `size`: of the frame, which may be more."""
        self.buffer, self.size = buffer, size

    def __bytes__(self) -> bytes:
        return bytes(memoryview(self.buffer).cast("B")[: self.size])


class Taken:
    """A message, or what is left of one, that was received for nobody."""

    __slots__ = ("begun", "frames", "more")

    def __init__(self, frames: list[Any], more: bool) -> None:
        """Keep the frames, bytes or Frames; `more`: the socket has the rest."""
        self.frames, self.more, self.begun = frames, more, False


_known: WeakValueDictionary[int, Waits] = WeakValueDictionary()


def waits_of(socket: Socket[Any]) -> Waits:
    """Give the one `Waits` of a native socket, however many handles there are: one reader per FD and loop."""
    identity = socket._identity()
    found = _known.get(identity)
    if found is None or found.handle.closed:
        found = _known[identity] = Waits(Socket.shadow(socket))
    return found


class Waits:
    """Those who wait for one socket. All of it runs in the loop's thread."""

    def __init__(self, handle: Socket[Any]) -> None:
        """Nobody waits yet. `handle`: the socket for plain, non-blocking calls."""
        self.handle = handle
        self.try_recv = handle._try_recv
        self.try_recv_multipart = handle._try_recv_multipart
        self.try_send = handle._try_send
        self.try_send_multipart = handle._try_send_multipart
        self.receivers, self.senders, self.others = Queue(), Queue(), Queue()
        self.taken: deque[Taken] = deque()
        self.rest: list[Any] = []
        self._loop: Any = None
        self._fd = -1
        self._reading = False
        self._scheduled = False
        self._doubted = False
        self._timer: Any = None
        self._timer_at = 0.0
        self._doubt_timer: Any = None

    def __bool__(self) -> bool:
        """True if anybody waits."""
        return bool(self.receivers or self.senders or self.others)

    # --- to wait ------------------------------------------------------------------------------------------

    def wait(
        self,
        queue: Queue,
        attempt: Attempt,
        arguments: tuple[Any, ...],
        timeout: float = -1,
        *,
        soon: bool = False,
    ) -> Awaited:
        """Queue a call that did not work at once, or is to be tried in the next round.

        Shape    timeout: milliseconds, negative for ever.
        """
        future = Awaited()
        loop = future.get_loop()
        if loop is not self._loop:
            self._bind(loop)
        future.waits, future.attempt, future.arguments = self, attempt, arguments
        if timeout >= 0:
            future.deadline = loop.time() + timeout / 1000
            self._remind(future.deadline)
        queue.add(future)
        if queue is self.receivers:
            self.handle._permit_receives(False)
        elif queue is self.senders:
            self.handle._permit_sends(False)
        if soon:
            self.soon()
        elif not self._reading:
            self._read()
        return future

    def permit(self) -> None:
        """Let native code do what nobody waits for."""
        self.handle._permit_receives(not self.receivers and not self.taken)
        self.handle._permit_sends(not self.senders)

    def soon(self) -> None:
        """Serve in the next round of the loop, if anybody waits then."""
        if not self._scheduled and self._loop is not None and not self._loop.is_closed():
            self._scheduled = True
            self._loop.call_soon(self._serve_scheduled)

    def _bind(self, loop: Any) -> None:
        """Move to another loop. Those who waited in one that is closed will never run."""
        old = self._loop
        self._stop_reading()
        for timer in (self._timer, self._doubt_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._doubt_timer = None
        if old is not None and old.is_closed():
            for queue in (self.receivers, self.senders, self.others):
                queue.clear()
        self._loop, self._scheduled, self._doubted = loop, False, False
        if not loop.is_running():
            text = "No running event loop. shmzmq.asyncio should be used from within an asyncio loop."
            warnings.warn(text, RuntimeWarning, stacklevel=5)

    def _read(self) -> None:
        first = self._fd < 0
        if first:
            self._fd = self.handle._fd()
        self._loop.add_reader(self._fd, self.serve)
        self._reading = True
        if first:  # what changed between the attempt and now was not told to an FD that was not in use
            self.soon()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            if not self._loop.is_closed():
                self._loop.remove_reader(self._fd)

    # --- to serve -----------------------------------------------------------------------------------------

    def _serve_scheduled(self) -> None:
        self._scheduled = False
        if self:
            self.serve()

    def serve(self) -> None:
        """Serve those who wait, until nothing works any more or the turn is over."""
        if self.handle.closed:
            self.end()
            return
        if not self:
            self._stop_reading()
            return
        mark = begin_turn()
        over = self._serve(self.receivers)
        over = self._serve(self.senders) or over
        self._loop.call_soon(end_turn, mark)
        self.permit()
        if over:
            self._doubted = False
            self.soon()
        if self.others:
            self._serve_others()
        if not over and self:
            self._fall_asleep()

    def _serve(self, queue: Queue) -> bool:
        """Serve a queue from its front. True if the turn ended it, which it does not before the first."""
        tried = False
        while queue:
            future = queue[0]
            if future.done():
                queue.popleft()
                continue
            if not goes_on() and tried:
                return True
            tried = True
            try:
                got = future.attempt(self, *future.arguments)
            except ZMQError as error:
                if error.errno == EFSM and queue is self.receivers:
                    return False  # a REQ may wait for the reply before it has sent (pyzmq's rule, kept)
                queue.popleft()
                _fail(future, error)
            except Exception as error:
                queue.popleft()
                _fail(future, error)
            else:
                if got is NotImplemented:
                    return False
                queue.popleft()
                self._doubted = False
                self._finish(future, got)
        return False

    def _finish(self, future: Awaited, got: Any) -> None:
        """Give a future what its attempt got."""
        self.rest = []
        keep = future.attempt in _KEPT
        if keep:
            _KEPT[future.attempt](self, future, got)
        if future.load is not None:
            try:
                got = future.load(got)
            except Exception as error:
                future.received = None  # consumed, as by a plain socket
                _fail(future, error)
                return
            if self.rest and future.received is not None:
                future.received[0].extend(self.rest)
        if future.done():  # cancelled by a signal handler meanwhile
            self.give_back(future)
        else:
            future.arguments = ()
            future.set_result(got)

    def _serve_others(self) -> None:
        for _ in range(len(self.others)):
            future = self.others.popleft()
            if future.done():
                continue
            try:
                got = future.attempt(self, *future.arguments)
            except Exception as error:
                _fail(future, error)
                continue
            if got is NotImplemented:
                self.others.append(future)
            elif not future.done():
                future.set_result(got)

    def _fall_asleep(self) -> None:
        """Read EVENTS: the FD is quiet until the next change. Nothing is tried after that in this round."""
        try:
            if not self._reading:
                self._read()
            events = self.handle._events()
        except ZMQError:  # the context ends: each attempt says so
            self.soon()
            return
        if (events & _IN and self.receivers) or (events & _OUT and self.senders):
            # A change between the attempt and now; if the next attempt fails too, it was none for us.
            if not self._doubted:
                self._doubted = True
                self.soon()
            elif self._doubt_timer is None:
                self._doubt_timer = self._loop.call_later(DOUBT_S, self._try_again)
        elif self.others:
            self._serve_others()

    def _try_again(self) -> None:
        self._doubt_timer = None
        if self:
            self.serve()

    # --- the time -----------------------------------------------------------------------------------------

    def _remind(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._time)

    def _time(self) -> None:
        self._timer = None
        now = self._loop.time() + EARLY_S
        later = []
        for queue in (self.receivers, self.senders, self.others):
            for future in queue:
                if future.deadline is None or future.done():
                    continue
                if future.deadline > now:
                    later.append(future.deadline)
                elif future.over is not None:
                    future.set_result(future.over() if callable(future.over) else future.over)
                else:
                    future.arguments = ()
                    future.set_exception(error_for(EAGAIN))
        if later:
            self._remind(min(later))

    # --- the end ------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End all waits: the socket is closed, or about to be. They are cancelled (pyzmq's rule, kept)."""
        self._stop_reading()
        for timer in (self._timer, self._doubt_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._doubt_timer = None
        for queue in (self.receivers, self.senders, self.others):
            while queue:
                future = queue.popleft()
                if future.done() or future.get_loop().is_closed():
                    continue
                if future.stops:
                    future.set_exception(StopAsyncIteration())
                else:
                    future.cancel()
        self.taken.clear()

    # --- what was taken for nobody ------------------------------------------------------------------------

    def give_back(self, future: Awaited) -> None:
        """Put what a future received in front, if it received something and nobody has seen it."""
        received, many = future.received, future.many
        future.received = future.many = None
        if received is not None:
            frames, more = received
            self.taken.appendleft(
                Taken([bytes(one) if isinstance(one, Into) else one for one in frames], more)
            )
        elif many is not None:
            for message in reversed(many):
                self.taken.appendleft(Taken(message, more=False))
        else:
            return
        self.handle._permit_receives(False)
        if self:
            self.soon()

    def retake(self, copy: bool, track: bool = False) -> Any:
        """Receive one frame of what was given back."""
        first = self.taken[0]
        frame = first.frames.pop(0)
        first.begun = True
        if not first.frames:
            self.taken.popleft()
        return _as(frame, copy, track)

    def retake_all(self, copy: bool, track: bool = False) -> list[Any]:
        """Receive a message of what was given back, or what is left of it."""
        first = self.taken.popleft()
        frames = [_as(frame, copy, track) for frame in first.frames]
        if first.more:
            frames += self.handle.recv_multipart(_DONTWAIT, copy, track)
        return frames

    def more(self) -> bool:
        """RCVMORE, with what was given back."""
        return bool(self.taken and self.taken[0].begun) or self.handle._rcvmore()

    def take_rest(self) -> list[Any]:
        """Receive the rest of a message that was begun."""
        if self.taken and self.taken[0].begun:
            self.rest = self.retake_all(copy=False)
        elif self.handle._rcvmore():
            self.rest = self.handle.recv_multipart(_DONTWAIT, copy=False)
        else:
            self.rest = []
        return list(self.rest)

    def events(self) -> int:
        """EVENTS, with what was given back; those who wait for what it says are served."""
        events = self.handle._events()
        if self.taken:
            events |= _IN
        if self:
            self.soon()
        return events


def _as(frame: Any, copy: bool, track: bool) -> Any:
    """A frame as `recv` gives it, from one that may be of the other kind."""
    if copy:
        return frame if isinstance(frame, bytes) else bytes(frame)
    return Frame(bytearray(frame), track=track) if isinstance(frame, bytes) else frame


def _fail(future: Awaited, error: BaseException) -> None:
    if not future.done():
        future.arguments = ()
        future.set_exception(error)


def goes_on() -> bool:
    """Count one call that is done at once. False: the loop must run first."""
    said = spend_turn()
    if said > _GO_ON:
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(end_turn, said)
    return said != _LATER


def once(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call what raises Again; NotImplemented instead."""
    try:
        return call(*arguments, **keywords)
    except Again:
        return NotImplemented


# --- attempts: (waits, *arguments) -> the result or NotImplemented -----------------------------------------


def recv(waits: Waits, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
    """Receive one frame."""
    if waits.taken:
        return waits.retake(copy, track)
    if copy and not track:
        return waits.try_recv()
    return once(waits.handle.recv, flags | _DONTWAIT, copy, track)


def recv_multipart(waits: Waits, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
    """Receive one message."""
    if waits.taken:
        return waits.retake_all(copy, track)
    if copy and not track:
        return waits.try_recv_multipart()
    return once(waits.handle.recv_multipart, flags | _DONTWAIT, copy, track)


def recv_into(waits: Waits, flags: int, buffer: Any, nbytes: int) -> Any:
    """Receive one frame into memory of the caller."""
    if waits.taken:
        view = memoryview(buffer).cast("B")
        frame = waits.retake(copy=True)
        room = min(nbytes or len(view), len(view), len(frame))
        view[:room] = frame[:room]
        return len(frame)
    return once(waits.handle.recv_into, buffer, nbytes=nbytes, flags=flags | _DONTWAIT)


def recv_many(waits: Waits, flags: int, most: int, multipart: bool, copy: bool) -> Any:
    """Receive what is there."""
    got: list[Any] = []
    while waits.taken and len(got) < most:
        got.append(waits.retake_all(copy))
    if got:
        return [one if multipart or len(one) > 1 else one[0] for one in got]
    return once(waits.handle.recv_many, most, 0, multipart, copy)


def send(waits: Waits, flags: int, data: Any, *how: Any) -> Any:
    """Send one frame."""
    copy, track, keywords = how
    if flags or not copy or track or keywords:
        return once(waits.handle.send, data, flags | _DONTWAIT, copy, track, **keywords)
    return waits.try_send(data)


def send_multipart(waits: Waits, flags: int, parts: Any, *how: Any) -> Any:
    """Send one message: all of it or nothing."""
    copy, track, keywords = how
    if flags or not copy or track or keywords:
        return once(waits.handle.send_multipart, parts, flags | _DONTWAIT, copy, track, **keywords)
    return waits.try_send_multipart(parts)


def entrust(*messages: Any) -> None:
    """Blocks in what is sent later, frames or lists of frames, are not given up by a `with` that ends."""
    for message in messages:
        for frame in message if isinstance(message, (list, tuple)) else (message,):
            if isinstance(frame, Block):
                frame._entrust()


class Burst:
    """A burst on its way: messages are taken off as they are sent."""

    def __init__(self, messages: list[Any], flags: int) -> None:
        """Begin with nothing sent."""
        self.messages, self.flags, self.sent = messages, flags, 0

    def attempt(self, waits: Waits) -> Any:
        """Send what can be sent; how many were sent if that is the end."""
        try:
            count = waits.handle.send_many(self.messages, self.flags | _DONTWAIT)
        except Again:
            return NotImplemented
        except ZMQError:
            if not self.sent:
                raise
            return self.sent
        self.sent += count
        self.messages = self.messages[count:]
        return NotImplemented if self.messages else self.sent


def send_many(waits: Waits, burst: Burst) -> Any:
    """Send what can be sent of a burst."""
    return burst.attempt(waits)


def events(waits: Waits, mask: int) -> Any:
    """Say which events hold."""
    found = waits.handle._events() & mask
    if waits.taken:
        found |= mask & _IN
    return found or NotImplemented


def peers(waits: Waits, wanted: int) -> Any:
    """Say how many connections are up, if so many are."""
    return once(waits.handle._wait_for_peers, wanted, 0)


# --- what an attempt took, so that it can be given back ----------------------------------------------------


def _keep_one(waits: Waits, future: Awaited, got: Any) -> None:
    future.received = ([got], waits.more())


def _keep_all(waits: Waits, future: Awaited, got: Any) -> None:
    future.received = (list(got), False)


def _keep_into(waits: Waits, future: Awaited, got: Any) -> None:
    future.received = ([Into(future.arguments[1], got)], waits.more())


def _keep_many(waits: Waits, future: Awaited, got: Any) -> None:
    future.many = [list(one) if isinstance(one, list) else [one] for one in got]


_KEPT: dict[Attempt, Callable[[Waits, Awaited, Any], None]] = {
    recv: _keep_one,
    recv_multipart: _keep_all,
    recv_into: _keep_into,
    recv_many: _keep_many,
}
RCVTIMEO, SNDTIMEO = int(SocketOption.RCVTIMEO), int(SocketOption.SNDTIMEO)
