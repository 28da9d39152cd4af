"""The compiled module: the contract of the border. Only `_backend` imports it.

Names that begin with an underscore are for this package; their documentation is in the Rust sources. Times
are milliseconds, masks are PollEvent masks, `number` is an option's number.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self, final, overload

from typing_extensions import Buffer, disjoint_base

from . import frame

__all__ = [
    "BUILD_PROFILE",
    "Block",
    "Context",
    "Frame",
    "LAYOUT_VERSION",
    "Loan",
    "Origin",
    "Poller",
    "Socket",
    "Usage",
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "before_fork",
    "begin_turn",
    "close_counters",
    "end_turn",
    "proxy",
    "proxy_steerable",
    "set_frame_class",
    "set_shm_max",
    "shm_max",
    "spend_turn",
    "take_log",
    "wake_counters",
    "zmq_poll",
]

__version__: str
LAYOUT_VERSION: int
BUILD_PROFILE: str

def before_fork() -> None: ...
def after_fork_in_parent() -> None: ...
def after_fork_in_child() -> None: ...
def set_shm_max(bytes: int) -> None:
    """Set how much shared memory this process may make for large messages; 0 for the default."""

def shm_max() -> tuple[int, int]:
    """Bytes of shared memory that this process may make for large messages, and has made."""

def begin_turn() -> int:
    """Say that this thread's loop runs: a turn of calls that may be done at once begins.

    Returns  the turn's mark, for a call of `end_turn` after those who go on in this round of the loop.
    """

def end_turn(mark: int) -> None:
    """Say that this thread's loop met this mark: the next call begins a turn."""

def spend_turn() -> int:
    """Count one call that is done at once.

    Returns  0: the loop must run first; 1: go on; more: go on, a turn begins, and the loop has to call
             `end_turn` with that.
    """

def take_log() -> list[tuple[str, str]]: ...
def wake_counters(fd: int) -> bool:
    """Wake the owner of a counters file that is open for writing; False if it has no such word."""

def close_counters() -> None:
    """Remove this process's counters file: the process ends."""

def set_frame_class(class_: type, done: object) -> None: ...

@final
class Block:
    """Memory of a socket for one frame: filled in place, and sent without a copy.

    Made by `Socket.alloc`. Supports the buffer protocol (writable, bytes), so memoryview, numpy and
    `readinto` work on it. As a context manager it is given up at the end unless it was sent, or waits to be
    (in a future, or a ZMQStream). Its memory is used again when no peer has it and no view of it is left.

    Raises   ValueError  on a new view or another send, after a send, a release or a fork.
    """

    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, _kind: object, _value: object, _trace: object) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def nbytes(self) -> int:
        """Bytes, as asked for."""

    @property
    def sent(self) -> bool:
        """True once a send took it."""

    def release(self) -> None:
        """Give it up unsent; after a send this does nothing."""

    def _entrust(self) -> None: ...

@final
class Loan:
    """A received frame where its sender wrote it. The loan ends with the last view of it."""

    def __len__(self) -> int: ...
    def tobytes(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Usage:
    """What became of a block that was sent."""

    def is_over(self) -> bool:
        """Say whether it is in no queue and with no peer any more."""

def zmq_poll(sockets: Sequence[Any], timeout: float = -1) -> list[tuple[Any, int]]:
    """Wait until one of the sockets or files in a list of (socket, flags) is ready.

    Returns  as `Poller.poll`.
    Waits    up to `timeout` milliseconds (negative for ever); the GIL is released.
    Raises   as `Poller.poll`; TypeError for what is no list of pairs.
    Source   zmq_poll(3).
    """

def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None) -> int:
    """Move whole messages between two sockets, both ways, and copies of them to `capture`.

    Waits    for ever; the GIL is released. A message is received only when the other side takes it.
    Raises   ContextTerminated  the context is ending: the usual end.
             ZMQError           EFAULT: a socket was closed before; ENOTSOCK: one was closed meanwhile; or
                                what a send of the other side raises.
             KeyboardInterrupt  or whatever a signal handler raises.
    Source   zmq_proxy(3).
    """

def proxy_steerable(
    frontend: Socket, backend: Socket, capture: Socket | None = None, control: Socket | None = None
) -> int:
    """Do what `proxy` does and obey `control`: PAUSE, RESUME, TERMINATE, STATISTICS, one frame each.

    Returns  0 after TERMINATE. A REP as `control` answers each command with an empty frame; STATISTICS is
             answered with eight frames of a 64-bit number: frames and bytes received by the front, sent by
             the front, received by the back, sent by the back.
    Raises   as `proxy`.
    Source   zmq_proxy_steerable(3).
    """

@disjoint_base
class Context:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _open(self, io_threads: int) -> None: ...
    def _share(self, other: Context) -> None: ...
    def _identity(self) -> int: ...
    def _check_process(self) -> None: ...
    def _set_io_threads(self, threads: int) -> None: ...
    def _set_max_sockets(self, sockets: int) -> None: ...
    def _terminate(self) -> None: ...
    def _wait_empty(self, timeout_ms: int | None = None) -> bool: ...
    def _blockers(self) -> list[str]: ...
    def _snapshot(self) -> bytes: ...
    def _finish(self) -> None: ...

@disjoint_base
class Socket:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    @overload
    def send(
        self,
        data: Buffer,
        flags: int = 0,
        copy: Literal[True] = True,
        track: bool = False,
        routing_id: int | None = None,
        group: str | None = None,
    ) -> None: ...
    @overload
    def send(
        self,
        data: Buffer,
        flags: int = 0,
        *,
        copy: Literal[False],
        track: Literal[True],
        routing_id: int | None = None,
        group: str | None = None,
    ) -> frame.MessageTracker: ...
    @overload
    def send(
        self,
        data: Buffer,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        routing_id: int | None = None,
        group: str | None = None,
    ) -> frame.MessageTracker | None:
        """Send one frame.

        Shape    data: bytes-like and contiguous, or a Frame; flags: DONTWAIT, SNDMORE.
        Returns  None; with copy=False and track=True a MessageTracker.
        Waits    up to SNDTIMEO milliseconds (-1 for ever, DONTWAIT not at all); the GIL is released; a
                 signal, close() or term() ends the wait.
        Raises   Again              no peer took it in time; nothing was sent.
                 ZMQError           ENOTSUP, EFSM, EHOSTUNREACH, ENOTSOCK; nothing was sent.
                 ContextTerminated  the context is ending; close the socket.
                 TypeError          str, or an object without a buffer.
        Threads  any.
        Source   zmq_send(3).
        """

    @overload
    def send_multipart(
        self,
        msg_parts: Sequence[Buffer],
        flags: int = 0,
        copy: Literal[True] = True,
        track: bool = False,
        routing_id: int | None = None,
        group: str | None = None,
    ) -> None: ...
    @overload
    def send_multipart(
        self,
        msg_parts: Sequence[Buffer],
        flags: int = 0,
        *,
        copy: Literal[False],
        track: Literal[True],
        routing_id: int | None = None,
        group: str | None = None,
    ) -> frame.MessageTracker: ...
    @overload
    def send_multipart(
        self,
        msg_parts: Sequence[Buffer],
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        routing_id: int | None = None,
        group: str | None = None,
    ) -> frame.MessageTracker | None:
        """Send one message of several frames: all of them or none. Types are checked before the first."""

    @overload
    def recv(self, flags: int = 0, copy: Literal[True] = True, track: bool = False) -> bytes: ...
    @overload
    def recv(self, flags: int = 0, *, copy: Literal[False], track: bool = False) -> frame.Frame: ...
    @overload
    def recv(self, flags: int, copy: Literal[False], track: bool = False) -> frame.Frame: ...
    @overload
    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> bytes | frame.Frame:
        """Receive one frame.

        Returns  bytes; with copy=False a Frame with writable memory of its own.
        Waits    up to RCVTIMEO milliseconds, as `send` does.
        Raises   Again, ZMQError (ENOTSUP, EFSM, ENOTSOCK), ContextTerminated; nothing was received.
        Source   zmq_recv(3).
        """

    @overload
    def recv_multipart(
        self, flags: int = 0, copy: Literal[True] = True, track: bool = False
    ) -> list[bytes]: ...
    @overload
    def recv_multipart(
        self, flags: int = 0, *, copy: Literal[False], track: bool = False
    ) -> list[frame.Frame]: ...
    @overload
    def recv_multipart(self, flags: int, copy: Literal[False], track: bool = False) -> list[frame.Frame]: ...
    @overload
    def recv_multipart(
        self, flags: int = 0, copy: bool = True, track: bool = False
    ) -> list[bytes] | list[frame.Frame]:
        """Receive one message: the list of its frames."""

    def recv_into(self, buffer: Any, /, *, nbytes: int = 0, flags: int = 0) -> int:
        """Receive one frame into memory you own, without a copy in between.

        Shape    buffer: writable, C-contiguous; at most len(buffer) bytes (or nbytes, if given) are written.
        Returns  size of the frame in bytes; more than was written means the rest is lost (pyzmq's rule).
        Waits    up to RCVTIMEO milliseconds, as `recv` does.
        Raises   Again, ZMQError (ENOTSUP, EFSM, ENOTSOCK), ContextTerminated as `recv`.
                 BufferError  read-only or strided; nothing was received.
                 TypeError    no buffer; nothing was received.
                 ValueError   nbytes is negative or more than the buffer has; nothing was received.
        """

    def alloc(self, nbytes: int, flags: int = 0) -> Block:
        """Take memory for one frame, to be filled in place and sent without a copy.

        Shape    nbytes: 0 or more. flags: DONTWAIT.
        Returns  a writable buffer in shared memory; its bytes are whatever was there before.
        Waits    while ARENA_MAX or SHM_MAX is reached and others still have what they were sent: up to
                 SNDTIMEO milliseconds, as `send` at its high-water mark.
        Raises   Again        the memory did not come back in time.
                 MemoryError  waiting would not help.
                 ValueError   nbytes is negative.
                 ZMQError     ENOTSOCK  the socket is closed.
        """

    def send_many(self, messages: Any, flags: int = 0, copy: bool = True) -> int:
        """Send a burst: as many sends, with one publish and at most one wake-up per peer.

        Shape    messages: an iterable of messages; a message is bytes-like (one frame), or a list or tuple of
                 bytes-likes (its frames). All of them are taken and checked before the first is sent.
                 flags: DONTWAIT. copy: has no effect, as in `send` without `track`. A burst of more than
                 64 KiB is published in rounds.
        Returns  how many messages were accepted: all, unless the time was over or the socket refused the
                 next one. Those stay sent. Call again with the rest: what stopped the burst is raised then.
        Waits    up to SNDTIMEO milliseconds in all (-1 for ever, DONTWAIT not at all), as `send` does.
        Raises   Again              no peer took the first message in time.
                 ZMQError           ENOTSUP, EFSM, EHOSTUNREACH, ENOTSOCK for the first message.
                 ContextTerminated  the context is ending; close the socket.
                 TypeError          a message or frame is no buffer; nothing was sent.
                 IndexError         a message has no frames; nothing was sent.
                 ValueError         SNDMORE; nothing was sent.
                 What a signal handler raises ends the burst: what was sent stays sent, how much is not told.
        Threads  any; each message is atomic, the burst is not.
        """

    def recv_many(
        self, max: int = 1000, timeout: float | None = None, multipart: bool = False, copy: bool = True
    ) -> list[Any]:
        """Receive the messages that are there: as many receives, without waiting once there is one.

        Shape    max: at least 1; timeout: milliseconds, negative for ever, None for RCVTIMEO.
        Returns  one to `max` messages, in the order in which as many receives would give them. A message of
                 one frame is its bytes, one of several frames a list; with multipart=True every message is a
                 list. With copy=False frames are Frames. The rest of a message that was begun with `recv`
                 counts as a message.
        Waits    for the first message only; the GIL is released; a signal, close() or term() ends the wait.
        Raises   Again              none came in time.
                 ZMQError           ENOTSUP, EFSM, ENOTSOCK; nothing was received.
                 ContextTerminated  the context is ending; close the socket.
                 ValueError         max is less than 1.
        Threads  any; each message is atomic.
        """

    def _try_recv(self) -> Any:
        """Receive one frame if there is one. NotImplemented instead of Again; never waits."""

    def _try_recv_multipart(self) -> Any:
        """Receive one message if there is one. NotImplemented instead of Again; never waits."""

    def _try_send(self, data: Any, /) -> Any:
        """Send one frame if a peer takes it: None. NotImplemented instead of Again; never waits."""

    def _try_send_multipart(self, msg_parts: Any, /) -> Any:
        """Send one message if a peer takes it: None. NotImplemented instead of Again; never waits."""

    def _future_recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any: ...
    def _future_recv_multipart(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any: ...
    def _future_send(
        self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Any: ...
    def _future_send_multipart(
        self, msg_parts: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> Any: ...
    def _permit_receives(self, permitted: bool) -> None: ...
    def _permit_sends(self, permitted: bool) -> None: ...
    def _open(self, context: Context, kind: int) -> None: ...
    def _share(self, other: Socket) -> None: ...
    def _identity(self) -> int: ...
    def _listen(self, fd: int, text: bytes) -> int: ...
    def _connect_path(self, path: bytes) -> int: ...
    def _connect_abstract(self, name: bytes) -> int: ...
    def _connect_tcp(
        self, host: bytes, port: int, source_host: bytes, source_port: int, text: bytes
    ) -> int: ...
    def _bind_inproc(self, name: str) -> int: ...
    def _connect_inproc(self, name: str) -> int: ...
    def _stop(self, endpoint: int, pipes: bool) -> None: ...
    def _close(self, linger: int | None = None) -> None: ...
    @property
    def _closed(self) -> bool: ...
    def _check_process(self) -> None: ...
    def _set_int(self, number: int, value: int) -> None: ...
    def _get_int(self, number: int) -> int: ...
    def _set_bytes(self, number: int, value: bytes) -> None: ...
    def _set_routing_id(self, id: bytes) -> None: ...
    def _set_message(self, number: int, value: bytes) -> None: ...
    def _monitor(self, name: str | None, mask: int) -> None: ...
    def _emit(self, event: int, value: int, endpoint: bytes) -> None: ...
    def _set_connect_routing_id(self, id: bytes) -> None: ...
    def _routing_id(self) -> bytes: ...
    def _rcvmore(self) -> bool: ...
    def _events(self) -> int: ...
    def _poll(self, mask: int, timeout_ms: int) -> int: ...
    def _fd(self) -> int: ...
    def _stats(self) -> list[tuple[str, int]]: ...
    def _peers(
        self,
    ) -> list[tuple[int, str, int, int, int, bytes, str | None, float | None, str | None]]: ...
    def _wait_for_peers(self, wanted: int, timeout_ms: int) -> int: ...

@final
class Origin:
    """What a received frame knows of the connection that it came over."""

    def get(self, name: bytes) -> bytes | None: ...
    @property
    def fd(self) -> int: ...

@disjoint_base
class Frame:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def _memory(self) -> Any: ...
    @_memory.setter
    def _memory(self, value: Any) -> None: ...
    @property
    def more(self) -> bool:
        """True if more frames of the same message follow."""

    @more.setter
    def more(self, value: bool) -> None: ...
    @property
    def tracker(self) -> frame.MessageTracker | None:
        """Says when the frame's memory may be changed; None if it was made without."""

    @tracker.setter
    def tracker(self, value: frame.MessageTracker | None) -> None: ...
    @property
    def tracker_event(self) -> Any:
        """None: pyzmq's event of its own trackers."""

    @tracker_event.setter
    def tracker_event(self, value: Any) -> None: ...
    @property
    def _origin(self) -> Origin | None: ...
    @_origin.setter
    def _origin(self, value: Origin | None) -> None: ...
    @property
    def _bytes(self) -> bytes | None: ...
    @_bytes.setter
    def _bytes(self, value: bytes | None) -> None: ...
    @property
    def _buffer(self) -> Any: ...
    @_buffer.setter
    def _buffer(self, value: Any) -> None: ...
    @property
    def _shared(self) -> bool: ...
    @_shared.setter
    def _shared(self, value: bool) -> None: ...

@disjoint_base
class Poller:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _put(self, socket: Any, flags: Any) -> int: ...
    def _modify(self, key: int, flags: Any) -> None: ...
    def _remove(self, key: int) -> None: ...
    def _stats(self) -> list[tuple[str, int]]: ...
    def poll(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """Wait until something registered is ready.

        Shape    timeout: milliseconds; None or negative waits for ever.
        Returns  (socket, events) of everything that is ready, in the order of registration; files as
                 numbers; [] when the time was over, or at once if nothing is registered.
        Waits    up to `timeout`; the GIL is released; a signal's handler runs and the wait goes on.
        Raises   ZMQError           ENOTSOCK: a registered socket is closed.
                 ContextTerminated  the context of a registered socket is ending.
                 TypeError, ValueError, OverflowError  something registered, or the time, is none.
        Source   zmq_poll(3).
        """
