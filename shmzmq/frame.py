"""Frame: one part of a message as an object; MessageTracker: when a sent buffer may be changed.

Knows    views, caching, properties of a frame.
Refuses  to know sockets: native code makes the frames of `recv(copy=False)`.
"""

from __future__ import annotations

import builtins
from errno import EINVAL
from threading import Event
from typing import Any, Self
from weakref import ref

from ._backend import Block, NativeFrame, NativeLoan, NativeUsage, set_frame_class
from .constants import MessageOption
from .errors import NotDone, error_for

__all__ = ["COPY_THRESHOLD", "Frame", "Message", "MessageTracker"]

COPY_THRESHOLD: int = 65536
"""A Frame copies data of fewer bytes unless told otherwise."""

# libzmq keeps so many bytes inside a message; larger ones are shared by its copies.
_INSIDE_BYTES = 33


class MessageTracker:
    """Says when the buffers of a message may be changed by their sender.

    That is when the bytes are in a ring or a queue, so before `send` returns: such a tracker is done from
    the beginning, whatever a receiver keeps. Only what was sent in a `Block` waits for its receivers. A
    received Frame that is sent on is shared with what is under way, as pyzmq's: do not write into it then.
    """

    def __init__(self, *towatch: MessageTracker | Event | Frame) -> None:
        """Watch other trackers, events, or frames that were made with track=True."""
        self.events: set[Event] = set()
        self.peers: set[MessageTracker] = set()
        self._usages: list[NativeUsage] = []
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
        return (
            all(usage.is_over() for usage in self._usages)
            and all(event.is_set() for event in self.events)
            and all(peer.done for peer in self.peers)
        )

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
        # Receivers give memory back without a word: it is asked for, ever less often.
        pause = 0.0001
        while not all(usage.is_over() for usage in self._usages):
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise NotDone
            time.sleep(min(pause, left))
            pause = min(2 * pause, 0.005)


_DONE = MessageTracker()


class Frame(NativeFrame):
    """One frame. Supports the buffer protocol; the memory of a received frame is its own and writable.

    A large frame that came over ipc lies where its sender wrote it, and is copied page by page where it is
    written to: nobody else sees that. The memory goes back when the last view of it is gone.

    Shape    data: bytes-like and contiguous; None makes an empty frame. str is refused.
             copy: True holds a copy, False holds `data` itself, None copies below the threshold.
             track: make a tracker. It is done from the beginning: `send` takes the bytes at once.
             copy_threshold: bytes; None is COPY_THRESHOLD.
    Equality is identity, as pyzmq's; compare `.bytes`. A frame that holds a `bytes` itself is read-only.
    """

    # The fields are the native class's, which makes received frames without a Python call.
    __slots__ = ("__weakref__",)

    def __init__(
        self,
        data: Any = None,
        track: bool = False,
        copy: bool | None = None,
        copy_threshold: int | None = None,
    ) -> None:
        """Hold `data` or a copy of it."""
        super().__init__()
        if isinstance(data, str):
            raise TypeError("Str objects not allowed. Only: bytes, buffer interfaces.")
        self.tracker = _DONE if track else None
        if data is None:
            self._memory = bytearray()
            return
        with memoryview(data) as view:
            if not view.contiguous:
                raise BufferError("memoryview: underlying buffer is not contiguous")
            if copy is None:
                copy = view.nbytes < (COPY_THRESHOLD if copy_threshold is None else copy_threshold)
            self._memory = bytearray(view) if copy else data

    @staticmethod
    def _done(sent: Any, usages: list[NativeUsage]) -> MessageTracker:
        """What a tracked `send(sent)` returns: by then the bytes are in a ring or a queue."""
        if usages:
            tracker = MessageTracker()
            tracker._usages = usages
            return tracker
        if isinstance(sent, Frame):
            if sent.tracker is None:
                raise ValueError("Not a tracked message")
            return sent.tracker
        return _DONE

    @property
    def bytes(self) -> builtins.bytes:
        """The frame's bytes as an immutable object, made once."""
        if self._bytes is None:
            memory = self._memory
            if type(memory) is builtins.bytes:
                self._bytes = memory
            elif isinstance(memory, NativeLoan):
                self._bytes = memory.tobytes()
            else:
                self._bytes = builtins.bytes(memoryview(memory).cast("B"))
        return self._bytes

    @property
    def buffer(self) -> memoryview:
        """A view of the frame's memory, without a copy. The same one as long as somebody has it."""
        view = None if self._buffer is None else self._buffer()
        if view is None:
            view = memoryview(self).cast("B")
            self._buffer = ref(view)
        return view

    @property
    def group(self) -> str:
        """Belongs to draft socket types. Raises RuntimeError."""
        raise RuntimeError("Frame.group: RADIO and DISH are draft types, which this build does not have")

    @group.setter
    def group(self, group: str) -> None:
        raise RuntimeError("Frame.group: RADIO and DISH are draft types, which this build does not have")

    @property
    def routing_id(self) -> int:
        """Belongs to draft socket types. Raises RuntimeError."""
        raise RuntimeError(
            "Frame.routing_id: CLIENT and SERVER are draft types, which this build does not have"
        )

    @routing_id.setter
    def routing_id(self, routing_id: int) -> None:
        raise RuntimeError(
            "Frame.routing_id: CLIENT and SERVER are draft types, which this build does not have"
        )

    def __len__(self) -> int:
        # A view of a loan could be written through, so none is made for this.
        if isinstance(self._memory, (builtins.bytes, bytearray, NativeLoan, Block)):
            return len(self._memory)
        with memoryview(self._memory) as view:
            return view.nbytes

    def __bytes__(self) -> builtins.bytes:
        with memoryview(self) as view:  # what is there now; `bytes` is what was there when it was asked first
            return view.tobytes()

    def __repr__(self) -> str:
        size = len(self)
        with memoryview(self).cast("B") as view:
            shown = f"{view[:12].tobytes()!r}...{size}B" if size > 16 else repr(view.tobytes())
        return f"<shmzmq.Frame({shown})>"

    def __copy__(self) -> Self:
        return self.fast_copy()

    def fast_copy(self) -> Self:
        """Another frame on the same memory."""
        frame: Self = type(self).__new__(type(self))
        frame._memory, frame.more, frame._origin = self._memory, self.more, self._origin
        frame.tracker = self.tracker
        frame._shared = self._shared = len(self) > _INSIDE_BYTES
        return frame

    def get(self, option: int | str | builtins.bytes) -> int | str:
        """Read a message option or a property of the connection that the frame came over.

        Shape    MORE, SRCFD (the connection's fd, while it is open), SHARED; or a property by name:
                 "Socket-Type", "Identity", "Peer-Address" (host:uid:gid:pid over ipc).
        Raises   ZMQError EINVAL  there is no such option or property. Nothing has properties that was
                 not received, or came over inproc.
                 TypeError        neither a number nor a name.
        """
        if isinstance(option, int):
            return self._option(option)
        if not isinstance(option, (str, builtins.bytes)):
            raise TypeError(f"expected str, got: {option!r}")
        name = option.encode() if isinstance(option, str) else option
        value = None if self._origin is None else self._origin.get(name)
        if value is None:
            raise error_for(EINVAL, f"message property {option!r}")
        return value.decode()

    def _option(self, option: int) -> int:
        if option == MessageOption.MORE:
            return int(self.more)
        if option == MessageOption.SHARED:
            return int(self._shared)
        if option == MessageOption.SRCFD and self._origin is not None:
            return self._origin.fd
        raise error_for(EINVAL, f"message option {option!r}")

    def set(self, option: int | str, value: int) -> None:
        """Refuse: no option of a message can be set.

        Raises   ZMQError EINVAL  always, but
                 TypeError        the value is no integer.
        """
        if not isinstance(value, int):
            raise TypeError(f"an integer is required, got {value!r}")
        raise error_for(EINVAL, f"message option {option!r} = {value!r}")

    def __getitem__(self, option: int | str) -> int | str:
        return self.get(option)


Message = Frame

set_frame_class(Frame, _DONE)
