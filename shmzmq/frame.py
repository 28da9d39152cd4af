"""Frame: one part of a message as an object; MessageTracker: when a sent buffer may be changed.

Knows    views, caching, properties of a frame.
Refuses  to know sockets: `recv(copy=False)` makes frames through `_received`.
"""

from __future__ import annotations

import builtins
from threading import Event
from typing import Any, Self

from ._backend import NativeFrame, set_frame_class
from .errors import NotDone

__all__ = ["Frame", "Message", "MessageTracker"]


class MessageTracker:
    """Says when the buffers of a message may be changed by their sender.

    Over ipc that is when the bytes are in the ring, so before `send` returns: trackers given out by this
    milestone are done from the beginning.
    """

    def __init__(self, *towatch: MessageTracker | Event | Frame) -> None:
        """Watch other trackers, events, or frames that were made with track=True."""
        self.events: set[Event] = set()
        self.peers: set[MessageTracker] = set()
        for one in towatch:
            if isinstance(one, Event):
                self.events.add(one)
            elif isinstance(one, MessageTracker):
                self.peers.add(one)
            elif isinstance(one, Frame):
                if not one.tracker:
                    raise ValueError("Not a tracked message")
                self.peers.add(one.tracker)
            else:
                raise TypeError(f"Require Events or Message Frames, not {type(one)}")

    @property
    def done(self) -> bool:
        """True once every buffer may be changed."""
        return all(event.is_set() for event in self.events) and all(peer.done for peer in self.peers)

    def wait(self, timeout: float = -1) -> None:
        """Wait until done, at most `timeout` seconds (-1: for ever).

        Raises   NotDone  the time was over first; nothing changed.
        """
        import time

        deadline = None if timeout is False or timeout < 0 else time.monotonic() + timeout
        for event in self.events:
            event.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if not event.is_set():
                raise NotDone
        for peer in self.peers:
            peer.wait(-1 if deadline is None else max(0.0, deadline - time.monotonic()))


_DONE = MessageTracker()


class Frame(NativeFrame):
    """One frame. Supports the buffer protocol; the memory of a received frame is its own and writable.

    Shape    data: bytes-like and contiguous; None makes an empty frame. str is refused.
    """

    more: bool = False
    tracker: MessageTracker | None = None
    tracker_event: Event | None = None
    _bytes: builtins.bytes | None = None
    _buffer: memoryview | None = None

    def __init__(
        self,
        data: Any = None,
        track: bool = False,
        copy: bool | None = None,
        copy_threshold: int | None = None,
    ) -> None:
        """Hold `data`, or a copy of it with copy=True; `track=True` makes a tracker that is done."""
        super().__init__()
        if isinstance(data, str):
            raise TypeError("Str objects not allowed. Only: bytes, buffer interfaces.")
        self.tracker = _DONE if track else None
        if data is None:
            self._memory = b""
            return
        with memoryview(data) as view:
            if not view.contiguous:
                raise BufferError("memoryview: underlying buffer is not contiguous")
            self._memory = bytearray(view) if copy else data

    @classmethod
    def _received(cls, memory: bytearray, more: bool) -> Self:
        frame = cls()
        frame._memory = memory
        frame.more = more
        return frame

    @staticmethod
    def _done(sent: Any) -> MessageTracker:
        """What `send(sent, copy=False, track=True)` returns: by then the bytes are in a ring or a queue."""
        if isinstance(sent, Frame) and sent.tracker is None:
            raise ValueError("Not a tracked message")
        return _DONE

    @property
    def bytes(self) -> builtins.bytes:
        """The frame's bytes as an immutable object, made once."""
        if self._bytes is None:
            memory = self._memory
            whole = type(memory) is builtins.bytes
            self._bytes = memory if whole else builtins.bytes(memoryview(memory).cast("B"))
        return self._bytes

    @property
    def buffer(self) -> memoryview:
        """A view of the frame's memory, without a copy."""
        if self._buffer is None:
            self._buffer = memoryview(self).cast("B")
        return self._buffer

    def __len__(self) -> int:
        return self.buffer.nbytes

    def __bytes__(self) -> builtins.bytes:
        return self.bytes

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Frame):
            return self.bytes == other.bytes
        if isinstance(other, (bytes, bytearray, memoryview)):
            return self.bytes == other
        return NotImplemented

    __hash__ = NativeFrame.__hash__

    def __str__(self) -> str:
        return self.bytes.decode()

    def __repr__(self) -> str:
        data = self.bytes
        shown = f"{data[:12]!r}..." if len(data) > 16 else repr(data)
        size = f" {len(data)}B" if len(data) > 16 else ""
        return f"<shmzmq.Frame({shown}{size})>"

    def __copy__(self) -> Self:
        return self.fast_copy()

    def fast_copy(self) -> Self:
        """Another frame on the same memory."""
        frame = type(self)._received(self._memory, self.more)
        frame.tracker = self.tracker
        return frame

    def get(self, option: int | str) -> int | str:
        """Read a message option (MORE) or property.

        Raises   ZMQError EINVAL  there is no such option or property here.
        """
        from errno import EINVAL

        from .constants import MessageOption
        from .errors import error_for

        if option == MessageOption.MORE:
            return int(self.more)
        raise error_for(EINVAL, f"message option {option!r}")

    def set(self, option: int, value: Any) -> None:
        """Refuse: no option of a message can be set.

        Raises   ZMQError EINVAL  always.
        """
        from errno import EINVAL

        from .errors import error_for

        raise error_for(EINVAL, f"message option {option!r} = {value!r}")

    def __getitem__(self, option: int | str) -> int | str:
        return self.get(option)


Message = Frame

set_frame_class(Frame)
