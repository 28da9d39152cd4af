"""Socket: the pattern end point as Python sees it.

Knows    pyzmq's names, options through their table, endpoints through the transports.
Refuses  to know a transport's rules and what happens to a message: `send`, `recv`, `send_multipart` and
         `recv_multipart` are inherited from the native class, no Python frame runs in them.
"""

from __future__ import annotations

import builtins
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from errno import EADDRINUSE, EAGAIN, EINVAL, ENOENT, ENOTSOCK, ENOTSUP, EPROTONOSUPPORT
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypedDict, overload
from weakref import WeakValueDictionary

from . import arrays, pickles
from ._backend import NativeSocket, drain_log
from .attributes import SocketAttributes
from .constants import Event, Flag, PollEvent, ShmEvent, ShmOption, SocketOption, SocketType, _OptType
from .context import Context, _flush_in_children
from .endpoint import Endpoint, parse
from .errors import ZMQBindError, ZMQError, error_for
from .options import (
    ATTRIBUTES,
    SOCKET_OPTIONS,
    MethodOption,
    OptionRow,
    check_readable,
    declared,
    default_for,
    install,
    row_for,
    validate,
)
from .transports import Bound, transport_of
from .transports.base import BindPlan, ConnectPlan

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from typing_extensions import Buffer, TypeVar

    from .frame import Frame, MessageTracker

    # With defaults (PEP 696), so that a bare `Socket` means the ordinary one, whose recv gives bytes.
    _ReturnT_co = TypeVar("_ReturnT_co", covariant=True, default=bytes)
    _SocketT_co = TypeVar("_SocketT_co", bound="Socket[Any]", covariant=True, default="Socket[bytes]")
    _MessageT = TypeVar("_MessageT")
    _ResultT = TypeVar("_ResultT")
else:
    from typing import TypeVar

    _ReturnT_co = TypeVar("_ReturnT_co", covariant=True)
    _SocketT_co = TypeVar("_SocketT_co", covariant=True)

__all__ = ["Socket"]

_DRAFT = "libzmq and pyzmq as their wheels are built have no draft support, and neither has shmzmq"

_O = SocketOption
# Options that native code keeps; all other rows are kept here and read back.
_NATIVE = frozenset(
    {
        _O.LINGER, _O.RECONNECT_IVL, _O.BACKLOG, _O.RECONNECT_IVL_MAX, _O.MAXMSGSIZE, _O.SNDHWM, _O.RCVHWM,
        _O.RCVTIMEO, _O.SNDTIMEO, _O.ROUTER_MANDATORY, _O.IMMEDIATE, _O.PROBE_ROUTER, _O.REQ_CORRELATE,
        _O.REQ_RELAXED, _O.ROUTER_HANDOVER, _O.HANDSHAKE_IVL, _O.XPUB_VERBOSE, _O.XPUB_VERBOSER,
        _O.XPUB_MANUAL, _O.XPUB_MANUAL_LAST_VALUE, _O.XPUB_NODROP, _O.ONLY_FIRST_SUBSCRIBE,
        _O.INVERT_MATCHING, _O.TOPICS_COUNT, _O.CONFLATE, _O.RECONNECT_STOP, _O.ROUTER_NOTIFY,
        ShmOption.SPIN_US, ShmOption.RING_BYTES, ShmOption.HWM_BYTES, ShmOption.OVERFLOW,
        ShmOption.ARENA_MAX, ShmOption.IPC_MODE, _O.IPV6, _O.TCP_KEEPALIVE, _O.TCP_KEEPALIVE_CNT,
        _O.TCP_KEEPALIVE_IDLE, _O.TCP_KEEPALIVE_INTVL, _O.TCP_MAXRT, _O.TOS, _O.SNDBUF, _O.RCVBUF,
        _O.CONNECT_TIMEOUT, _O.HEARTBEAT_IVL, _O.HEARTBEAT_TTL, _O.HEARTBEAT_TIMEOUT, _O.STREAM_NOTIFY,
    }
)  # fmt: skip
# The same, with bytes; they cannot be read.
_NATIVE_BYTES = frozenset({_O.SUBSCRIBE, _O.UNSUBSCRIBE, _O.XPUB_WELCOME_MSG})
# Options that are a message for one end of a connection.
_MESSAGES = frozenset({_O.HELLO_MSG, _O.DISCONNECT_MSG, _O.HICCUP_MSG})
# Options that are read from the socket's state.
_STATE: dict[int, Callable[[Socket[Any]], Any]] = {
    _O.TYPE: lambda socket: int(socket._type),
    _O.RCVMORE: lambda socket: int(socket._rcvmore()),
    _O.EVENTS: lambda socket: socket._events(),
    _O.FD: lambda socket: socket._fd(),
    _O.LAST_ENDPOINT: lambda socket: socket._last_endpoint,
    _O.ROUTING_ID: lambda socket: bytes(socket._routing_id()),
    _O.IPV4ONLY: lambda socket: int(not socket._get_int(_O.IPV6)),
}
# The environment variable that gives IPC_MODE its default, and what it may say.
_IPC_MODE_VARIABLE = "SHMZMQ_IPC"
_IPC_MODES = {"auto": 0, "zmtp": 1, "ring": 2}

# For these a second connect to the same endpoint does nothing (libzmq's rule, kept).
_ONE_CONNECTION = frozenset({SocketType.REQ, SocketType.DEALER, SocketType.SUB, SocketType.PUB})


# Numbers of monitors, for their inproc names.
_monitors = itertools.count(1)
_EVENTS = int(Event.ALL | ShmEvent.ALL)


class _SocketContext(Generic[_SocketT_co]):
    """What bind and connect return: a context manager that unbinds or disconnects at its end."""

    def __init__(self, socket: _SocketT_co, kind: Literal["bind", "connect"], addr: str) -> None:
        self.socket = socket
        self.kind = kind
        self.addr = addr

    def __enter__(self) -> _SocketT_co:
        return self.socket

    def __exit__(
        self,
        kind: builtins.type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.socket.closed:
            return
        if self.kind == "bind":
            self.socket.unbind(self.addr)
        else:
            self.socket.disconnect(self.addr)

    def __repr__(self) -> str:
        return f"<SocketContext({self.kind}={self.addr!r})>"


class Peer(TypedDict):
    """A row of `Socket.peers()`.

    endpoint     as LAST_ENDPOINT gives it; None once the socket has given the endpoint up.
    transport    "ring" (ipc), "zmtp" (ipc without rings), "ipc" (STREAM), "tcp", "inproc", "waiting"
                 (connected, but nobody is there), "gone" (what a departed peer left is still being read).
    pid, uid     of the peer's process, from the kernel; 0 over tcp and while there is no peer.
    depth        messages accepted for it and not known to be taken.
    routing_id   the peer's, or what CONNECT_ROUTING_ID named it; empty for none.
    socket_type  the peer's; None while there is no connection.
    since        when the connection came up, in seconds since the epoch; None while there is none.
    reason       why there are no rings, for "zmtp"; None otherwise.
    """

    endpoint: str | None
    transport: str
    pid: int
    uid: int
    depth: int
    routing_id: bytes
    socket_type: SocketType | None
    since: float | None
    reason: str | None


def _send_by_parts(
    self: Socket[Any],
    msg_parts: Sequence[Any],
    flags: int = 0,
    copy: bool = True,
    track: bool = False,
    **kwargs: Any,
) -> Any:
    """Send one message through the subclass's own `send`."""
    parts = list(msg_parts)
    for place, part in enumerate(parts):
        try:
            memoryview(part).release()
        except TypeError:
            shown = repr(part) if len(repr(part)) <= 32 else f"{part!r:.32}..."
            raise TypeError(f"Frame {place} ({shown}) does not support the buffer interface.") from None
    for part in parts[:-1]:
        self.send(part, Flag.SNDMORE | flags, copy=copy, track=track)
    return self.send(parts[-1], flags, copy=copy, track=track, **kwargs)


def _recv_by_parts(self: Socket[Any], flags: int = 0, copy: bool = True, track: bool = False) -> list[Any]:
    """Receive one message through the subclass's own `recv`."""
    parts = [self.recv(flags, copy=copy, track=track)]
    while self.get(_O.RCVMORE):
        parts.append(self.recv(flags, copy=copy, track=track))
    return parts


def _send_many_by_one(self: Socket[Any], messages: Iterable[Any], flags: int = 0, copy: bool = True) -> int:
    """Send a burst through the subclass's own `send`."""
    sent = 0
    for message in list(messages):
        send = self.send_multipart if isinstance(message, (list, tuple)) else self.send
        try:
            send(message, flags, copy=copy)
        except ZMQError:
            if sent == 0:
                raise
            break
        sent += 1
    return sent


def _recv_many_by_one(
    self: Socket[Any],
    max: int = 1000,
    timeout: float | None = None,
    multipart: bool = False,
    copy: bool = True,
) -> list[Any]:
    """Receive a burst through the subclass's own `recv`."""
    if max < 1:
        raise ValueError(f"max={max} is less than one message")
    if timeout is not None and not self.poll(timeout):
        raise error_for(EAGAIN)
    messages = [self.recv_multipart(0 if timeout is None else Flag.DONTWAIT, copy=copy)]
    while len(messages) < max:
        try:
            messages.append(self.recv_multipart(Flag.DONTWAIT, copy=copy))
        except ZMQError:
            break
    return [message if multipart or len(message) > 1 else message[0] for message in messages]


def _naming(error: ZMQError, addr: str | bytes) -> ZMQError:
    """The error of a bind or connect with the endpoint in its text, as pyzmq writes it."""
    if "addr=" not in error.strerror:
        error.strerror = f"{error.strerror} (addr={addr!r})"
    return error


def _default_ipc_mode() -> int:
    """IPC_MODE of a new socket. Raises ZMQError EINVAL if the environment says what is none."""
    said = os.environ.get(_IPC_MODE_VARIABLE, "auto")
    if said not in _IPC_MODES:
        raise error_for(EINVAL, f"{_IPC_MODE_VARIABLE}={said!r}: needs {' or '.join(_IPC_MODES)}")
    return _IPC_MODES[said]


def _socket_number(socket_type: Any) -> int:
    """The number of a socket type. Raises TypeError for what is no integer, and for pyzmq's "not given"."""
    number = index(socket_type)
    if number == -1:
        raise TypeError("socket_type must be specified")
    return number


_by_address: WeakValueDictionary[int, Socket[Any]] = WeakValueDictionary()


class Socket(NativeSocket, SocketAttributes, Generic[_ReturnT_co]):
    """A ZeroMQ socket.

    Shape    context: its maker; socket_type: a SocketType or its number.
    Threads  any, at any time; a multipart message sent with send_multipart is atomic.
    Fork     a socket made before a fork raises ForkedError in the child.
    Source   RFC 28 (REQ, REP, DEALER, ROUTER), RFC 29 (PUB, SUB, XPUB, XSUB), RFC 30 (PUSH, PULL),
             RFC 31 (PAIR).
    """

    copy_threshold: int = 65536
    context: Context[Any] = None  # type: ignore[assignment]  # declared for __setattr__; set by __init__
    _repr_cls = "shmzmq.Socket"
    _shadow: bool = False
    _shadow_obj: Any = None
    _linger_was_set: bool = False
    _monitor_socket: Socket | None = None
    _type: SocketType
    _last_endpoint: bytes
    _bound: dict[str, list[Bound]]
    _connected: dict[str, list[Bound]]

    @overload
    def __init__(
        self: Socket[bytes],
        ctx_or_socket: Context[Any],
        socket_type: int = 0,
        *,
        copy_threshold: int | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Socket[bytes], *, shadow: Socket[Any] | int, copy_threshold: int | None = None
    ) -> None: ...
    @overload
    def __init__(self: Socket[bytes], ctx_or_socket: Socket[Any]) -> None: ...
    def __init__(
        self,
        ctx_or_socket: Context[Any] | Socket[Any] | None = None,
        socket_type: int = 0,
        *,
        shadow: Any = 0,
        copy_threshold: int | None = None,
    ) -> None:
        """Make a socket, or with a Socket as first argument (or `shadow`) another handle on one."""
        super().__init__()
        if isinstance(ctx_or_socket, Socket):
            shadow = ctx_or_socket
        if copy_threshold is not None:
            self.copy_threshold = copy_threshold
        self._bound, self._connected = {}, {}
        self._kept: dict[int, int | bytes | None] = {}
        self._last_endpoint = b""
        self._pid = os.getpid()
        if shadow:
            self._shadow_of(shadow)
            return
        if ctx_or_socket is None or isinstance(ctx_or_socket, Socket):
            raise TypeError("context must be specified")
        number = _socket_number(socket_type)
        ipc_mode = _default_ipc_mode()
        self.context = ctx_or_socket
        self._open(ctx_or_socket, number)
        self._type = SocketType(number)
        for row in SOCKET_OPTIONS:
            if self._type in row.default_by_type and row.number in _NATIVE:
                self._set_int(row.number, row.default_by_type[self._type])
        if ipc_mode:
            self._set_int(ShmOption.IPC_MODE, ipc_mode)
        ctx_or_socket._give_defaults(self)
        _by_address[self._identity()] = self
        _flush_in_children()

    def _shadow_of(self, shadow: Any) -> None:
        # Anything that carries the address of a socket of ours will do: other kinds of sockets wrap one.
        other = shadow if isinstance(shadow, (Socket, int)) else getattr(shadow, "underlying", shadow)
        if isinstance(other, int):
            other = _by_address.get(other, other)
        if not isinstance(other, (Socket, int)):
            raise ValueError(f"Cannot cast {shadow!r} to int")
        if isinstance(other, int):
            raise ZMQError(ENOTSOCK, f"shadow={shadow!r} is not a shmzmq socket")
        self._shadow, self._shadow_obj = True, shadow
        self._share(other)
        self.context, self._type = other.context, other._type
        # One native socket has one set of endpoints and kept options.
        self._bound, self._connected, self._kept = other._bound, other._connected, other._kept

    @classmethod
    def shadow(cls, address: Any) -> Self:
        """Return another handle on an existing socket, given as such or by its `underlying`."""
        return cls(shadow=address)

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def underlying(self) -> int:
        """A number that names the native socket in this process; 0 once it is closed."""
        return 0 if self.closed else self._identity()

    @property
    def type(self) -> SocketType:
        """The socket's type."""
        return self._type

    @property
    def socket_type(self) -> SocketType:
        """The socket's type (deprecated: `type`)."""
        warnings.warn("Socket.socket_type is deprecated, use Socket.type", DeprecationWarning, stacklevel=2)
        return self._type

    @property
    def closed(self) -> bool:
        """True once the native socket is closed, by whichever handle."""
        return self._closed

    def close(self, linger: int | None = None) -> None:
        """Close the socket. Idempotent; any thread.

        Shape    linger: milliseconds that accepted messages may still wait for a peer; None keeps LINGER.
        Waits    not for messages. An ipc path is free again on return.
        """
        if self.closed or self._pid != os.getpid():
            return
        if linger is not None:
            # An ending context refuses options, but not this one's meaning; a value out of range closes all
            # the same (pyzmq's rules, kept).
            with suppress(ZMQError):
                self.set(_O.LINGER, linger)
        for bounds in list(self._bound.values()):
            for bound in bounds:
                if bound.lease is not None:
                    bound.lease.release()
        self._bound.clear()
        self._connected.clear()
        self.context._rm_socket(self)
        self._close(linger if linger is None or linger >= -1 else None)
        # Whoever reads events holds their socket; one that nobody holds must not outlive this one.
        self._monitor_socket = None
        drain_log()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: builtins.type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # __init__ may have failed before the native socket was made; then it counts as closed.
        if not self._shadow and not self.closed and self._pid == os.getpid():
            warnings.warn(f"Unclosed socket {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A subclass that changes send or recv means all of it: multipart calls and bursts go through them.
        if "send" in vars(cls) and "send_multipart" not in vars(cls):
            cls.send_multipart = _send_by_parts  # type: ignore[method-assign, assignment]
        if "recv" in vars(cls) and "recv_multipart" not in vars(cls):
            cls.recv_multipart = _recv_by_parts  # type: ignore[method-assign, assignment]
        if "send" in vars(cls) and "send_many" not in vars(cls):
            cls.send_many = _send_many_by_one  # type: ignore[method-assign, assignment]
        if "recv" in vars(cls) and "recv_many" not in vars(cls):
            cls.recv_many = _recv_many_by_one  # type: ignore[method-assign, assignment]

    # No __getattr__ for names in a mixture of cases: where a class has one, Python looks up every method in
    # a slower way, and `send` with it (twice the time of a small message over inproc).
    if not TYPE_CHECKING:  # type checkers know the options by name, from SocketAttributes

        def __setattr__(self, name: str, value: Any) -> None:
            if not declared(self, name):
                found = ATTRIBUTES.get(name.upper())
                if found is None:
                    raise AttributeError(f"{type(self).__name__} has no such option: {name.upper()}")
                name = found.name  # pyzmq takes option names in any mixture of cases
            object.__setattr__(self, name, value)

    def __copy__(self, memo: Any = None) -> Self:
        return type(self).shadow(self)

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        kind = type(self)
        # A subclass that does not name itself is named by its module (pyzmq's rule, kept).
        shown = vars(kind).get("_repr_cls", f"{kind.__module__}.{kind.__name__}")
        closed = " closed" if self.closed else ""
        name = self._type.name if "_type" in vars(self) else "UNKNOWN"
        return f"<{shown}(zmq.{name}) at {id(self):#x}{closed}>"

    # --- endpoints ----------------------------------------------------------------------------------------

    def bind(self, addr: str | bytes, *, takeover: bool | None = None) -> _SocketContext[Self]:
        """Make the socket reachable at an endpoint; usable as a context manager that unbinds.

        Shape    takeover: replace a live listener on the same ipc path (None: option IPC_TAKEOVER).
        Raises   TypeError            not str or bytes.
                 ZMQError EADDRINUSE  the endpoint is in use; the text names the process.
                 ZMQError             EINVAL, EPROTONOSUPPORT, ENAMETOOLONG, ENOENT, with the endpoint; over
                                      tcp also ENODEV, EADDRNOTAVAIL, EACCES, ENOTSUP.
        """
        endpoint = self._parse(addr)
        asked = (
            bool(self._kept.get(ShmOption.IPC_TAKEOVER, 0)) or os.environ.get("SHMZMQ_IPC_TAKEOVER") == "1"
        )
        plan = BindPlan(
            backlog=self._get_int(_O.BACKLOG),
            file_mode=self.get(ShmOption.IPC_FILE_MODE),
            takeover=asked if takeover is None else takeover,
            use_fd=self.get(_O.USE_FD),
            device=self.get(_O.BINDTODEVICE),
        )
        try:
            bound = transport_of(endpoint).bind(self, endpoint, plan)
        except ZMQError as error:
            raise _naming(error, addr) from None
        return _SocketContext(self, "bind", self._remember(self._bound, bound))

    def connect(self, addr: str | bytes) -> _SocketContext[Self]:
        """Begin to reach an endpoint, which need not exist yet; a context manager that disconnects.

        Raises   as bind, without EADDRINUSE, EADDRNOTAVAIL, EACCES and ENOENT. The host of a tcp endpoint is
                 looked up later, and again for each attempt: one that does not exist raises nothing.
        """
        endpoint = self._parse(addr)
        if self._type in _ONE_CONNECTION and endpoint.scheme != "inproc" and endpoint.text in self._connected:
            return _SocketContext(self, "connect", endpoint.text)
        plan = ConnectPlan(proxy=self.get(_O.SOCKS_PROXY), device=self.get(_O.BINDTODEVICE))
        try:
            connected = transport_of(endpoint).connect(self, endpoint, plan)
        except ZMQError as error:
            raise _naming(error, addr) from None
        _flush_in_children()
        return _SocketContext(self, "connect", self._remember(self._connected, connected))

    def _parse(self, addr: str | bytes) -> Endpoint:
        if not isinstance(addr, (str, bytes)):
            raise TypeError(f"Expected addr to be str, got addr={addr!r}")
        self._check_open()
        drain_log()
        return parse(addr)

    def _check_open(self) -> None:
        self._check_process()
        if self.closed:
            raise error_for(ENOTSOCK)

    def _remember(self, where: dict[str, list[Bound]], bound: Bound) -> str:
        where.setdefault(bound.text, []).append(bound)
        self._last_endpoint = bound.text.encode("utf-8", "surrogateescape")
        return bound.text

    def unbind(self, addr: str | bytes) -> None:
        """Stop listening at an endpoint. An ipc path is free on return.

        Connections that were accepted there end; what has arrived can still be received. Over inproc they
        go on (libzmq's rules, kept).

        Raises   ZMQError ENOENT  the socket is not bound there.
        """
        self._forget(self._bound, addr, keeps_pipes=True)

    def disconnect(self, addr: str | bytes) -> None:
        """End the connection to an endpoint, or all, if the socket was connected there more than once.

        What was sent before is still delivered, within LINGER; what has arrived can still be received.

        Raises   ZMQError ENOENT  the socket is not connected there.
        """
        self._forget(self._connected, addr)

    def _forget(self, where: dict[str, list[Bound]], addr: str | bytes, *, keeps_pipes: bool = False) -> None:
        endpoint = self._parse(addr)
        text = endpoint.text
        bounds = where.get(text)
        if not bounds:
            # The host may be given by name, and what was bound is kept by number.
            text = transport_of(endpoint).other_text(self, endpoint) or text
            bounds = where.get(text)
        if not bounds:
            raise error_for(ENOENT, f"addr={addr!r}")
        for bound in where.pop(text):
            if bound.lease is not None:
                bound.lease.release()
            self._stop(bound.number, bound.local and not keeps_pipes)

    def bind_to_random_port(
        self, addr: str, min_port: int = 49152, max_port: int = 65536, max_tries: int = 100
    ) -> int:
        """Bind to a free port of `addr`.

        Shape    addr: an endpoint without its port; over ipc and inproc the port is a suffix of the name.
                 With the range left out a tcp port is chosen by the system.
        Returns  the port.
        Raises   ZMQBindError  max_tries ports of the range were all in use.
                 ZMQError      what `bind` raises but EADDRINUSE.
        """
        default_range = (min_port, max_port) == (49152, 65536)
        if default_range and not str(addr).startswith(("ipc:", "inproc:")):
            self.bind(f"{addr}:*")
            return int(self._last_endpoint.rpartition(b":")[2])
        import random

        for _ in range(max_tries):
            port = random.randrange(min_port, max_port)
            try:
                self.bind(f"{addr}:{port}")
            except ZMQError as error:
                if error.errno != EADDRINUSE:
                    raise
            else:
                return port
        raise ZMQBindError("Could not bind socket to random port.")

    # --- options ------------------------------------------------------------------------------------------

    def set(self, option: int, optval: int | bytes) -> None:
        """Set an option.

        Raises   TypeError        wrong Python type; option and value in the text.
                 ZMQError EINVAL  no such option, not for this type, or out of range.
        """
        row = row_for(index(option), optval)
        self._check_open()
        value = validate(row, optval, self._type)
        for part in row.parts or (row.name,):
            self._set_row(row_for(part), value)

    def _set_row(self, row: OptionRow, value: int | bytes) -> None:
        if isinstance(value, bytes):
            if row.number == _O.ROUTING_ID:
                self._set_routing_id(value)
            elif row.number == _O.CONNECT_ROUTING_ID:
                self._set_connect_routing_id(value)
            elif row.number in _NATIVE_BYTES:
                self._set_bytes(row.number, value)
                return
            elif row.number in _MESSAGES:
                self._set_message(row.number, value)
        elif row.number == _O.IPV4ONLY:
            self._set_int(_O.IPV6, int(not value))
            return
        elif row.number in _NATIVE and self._type in row.applies_to:
            self._set_int(row.number, value)
            self._linger_was_set |= row.number == _O.LINGER
            return
        self._kept[row.number] = value

    def get(self, option: int) -> Any:
        """Read an option. Raises ZMQError EINVAL for one that does not exist or cannot be read."""
        row = row_for(index(option))
        self._check_open()
        if row.parts:
            row = row_for(row.parts[0])
        check_readable(row, self._type)
        if row.number in _STATE:
            return _STATE[row.number](self)
        if row.number in _NATIVE and self._type in row.applies_to:
            return self._get_int(row.number)
        kept = self._kept.get(row.number)
        return default_for(row, self._type) if kept is None else kept

    setsockopt = set
    getsockopt = get

    def set_string(self, option: int, optval: str, encoding: str = "utf-8") -> None:
        """Set a bytes option from text."""
        if not isinstance(optval, str):
            raise TypeError(f"strings only, not {builtins.type(optval)}: {optval!r}")
        self.set(option, optval.encode(encoding))

    def get_string(self, option: int, encoding: str = "utf-8") -> str:
        """Read a bytes option as text.

        Raises   ValueError  no such option; TypeError  its value is no bytes; and what `get` raises.
        """
        try:
            row = row_for(index(option))
        except ZMQError:
            raise ValueError(f"{option} is not a valid SocketOption") from None
        if row.type is not _OptType.bytes:
            raise TypeError(f"option {option} will not return a string to be decoded")
        value: bytes = self.get(option)
        return value.decode(encoding)

    setsockopt_string = setsockopt_unicode = set_string
    getsockopt_string = getsockopt_unicode = get_string

    def subscribe(self, topic: str | bytes) -> None:
        """Receive messages that begin with `topic`, bytes or text (SUB; XPUB with XPUB_MANUAL).

        Subscriptions are counted: what was subscribed to twice is cancelled by the second `unsubscribe`.

        Raises   TypeError        neither str nor bytes.
                 ZMQError EINVAL  not for this type.
        """
        self.set(_O.SUBSCRIBE, topic.encode() if isinstance(topic, str) else topic)

    def unsubscribe(self, topic: str | bytes) -> None:
        """Take one `subscribe` back; without effect if there was none. Raises as `subscribe` does."""
        self.set(_O.UNSUBSCRIBE, topic.encode() if isinstance(topic, str) else topic)

    def set_hwm(self, value: int) -> None:
        """Set both high-water marks."""
        self.set(_O.SNDHWM, value)
        self.set(_O.RCVHWM, value)

    def get_hwm(self) -> int:
        """Read the sending high-water mark, or the receiving one if that type does not send."""
        return int(self.get(_O.SNDHWM))

    @property
    def hwm(self) -> int:
        """Both high-water marks; reads the sending one."""
        return self.get_hwm()

    @hwm.setter
    def hwm(self, value: int) -> None:
        self.set_hwm(value)

    def join(self, group: str | bytes) -> NoReturn:
        """Refuse: groups belong to DISH, a draft type. Raises RuntimeError (pyzmq's, without drafts)."""
        raise RuntimeError(f"join({group!r}): {_DRAFT}")

    def leave(self, group: str | bytes) -> NoReturn:
        """Refuse: groups belong to DISH, a draft type. Raises RuntimeError (pyzmq's, without drafts)."""
        raise RuntimeError(f"leave({group!r}): {_DRAFT}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *ATTRIBUTES})

    # --- waiting and watching -----------------------------------------------------------------------------

    def poll(self, timeout: float | None = None, flags: int = PollEvent.POLLIN) -> int:
        """Wait until one of the events in `flags` holds.

        Shape    timeout: milliseconds; None or negative waits for ever.
        Returns  the mask of the events that hold; 0 when the time was over.
        """
        if self._closed and self._pid == os.getpid():
            raise error_for(ENOTSUP)
        self._check_process()
        limit = -1 if timeout is None or timeout < 0 else int(timeout)
        return self._poll(int(flags), limit)

    def fileno(self) -> int:
        """The fd that becomes readable when something changed; read EVENTS to learn what."""
        return self._fd()

    def monitor(self, addr: str | bytes | None, events: int = Event.ALL) -> None:
        """Tell events of this socket's ipc connections to the PAIR that connects to an inproc endpoint.

        One monitor a socket: the one before is told MONITOR_STOPPED. Nobody need read; what a reader does
        not take is kept, up to the high-water marks, then dropped and counted in `stats()`.

        Shape    addr: inproc://name; None ends the monitor. events: a mask of Event, and of ShmEvent for
                 what libzmq does not tell.
        Raises   ZMQError EPROTONOSUPPORT  not inproc.
                 ZMQError EINVAL           no endpoint, or unknown events.
                 ZMQError EADDRINUSE       the name is bound in this context.
        Source   zmq_socket_monitor(3); docs/reference/events.md.
        """
        if addr is None:
            self._check_open()
            self._monitor(None, 0)
            return
        endpoint = self._parse(addr)
        if not isinstance(events, int):
            raise TypeError(f"events is an int, got events={events!r}")
        if not -(1 << 31) <= events < 1 << 31:
            raise OverflowError(f"events={events} does not fit C's int")
        if endpoint.scheme != "inproc":
            raise error_for(EPROTONOSUPPORT, f"a monitor is read over inproc: addr={addr!r}")
        if int(events) & ~_EVENTS:
            raise error_for(EINVAL, f"events={int(events):#x} has bits beyond Event.ALL and ShmEvent.ALL")
        self._monitor(endpoint.address, int(events))

    def get_monitor_socket(self, events: int | None = None, addr: str | None = None) -> Any:
        """Return a PAIR socket that receives this socket's events; the same one at each call.

        It belongs to the caller, who closes it. `utils.monitor.recv_monitor_message` reads it.

        Raises   as `monitor`.
        """
        self._check_open()
        if self._monitor_socket is not None and not self._monitor_socket.closed:
            return self._monitor_socket
        addr = addr or f"inproc://monitor.s-{next(_monitors)}"
        self.monitor(addr, Event.ALL if events is None else events)
        reader = self.context.socket(SocketType.PAIR)
        reader.connect(addr)
        self._monitor_socket = reader
        return reader

    def disable_monitor(self) -> None:
        """End the monitor: its reader receives MONITOR_STOPPED as the last event."""
        self._monitor_socket = None
        self.monitor(None, 0)

    def stats(self) -> dict[str, int]:
        """Counters of this socket since it was made: messages, bytes, sleeps, wake-ups, discards by reason.

        `depth` is the number of messages accepted and not known to be taken by a peer. The counters of a
        closed socket stay; `discarded_linger` goes on until its LINGER is over.
        """
        if not self.closed:
            self._check_process()
        counters = dict(self._stats())
        counters["depth"] = 0 if self.closed else sum(row[4] for row in self._peers())
        return counters

    def peers(self) -> list[Peer]:
        """Every connection of this socket, and every endpoint that waits for one."""
        bounds = [*self._bound.values(), *self._connected.values()]
        texts = {bound.number: bound.text for each in bounds for bound in each}
        return [
            Peer(
                endpoint=texts.get(endpoint),
                transport=transport,
                pid=pid,
                uid=uid,
                depth=depth,
                routing_id=routing_id,
                socket_type=None if kind is None else SocketType[kind],
                since=since,
                reason=reason,
            )
            for endpoint, transport, pid, uid, depth, routing_id, kind, since, reason in self._peers()
        ]

    def wait_for_peers(self, n: int = 1, timeout: float | None = None) -> int:
        """Wait until at least `n` connections are up.

        Shape    timeout: milliseconds; None or negative waits for ever, 0 only looks.
        Returns  how many are up now, `n` or more.
        Waits    the GIL is released; a signal, close() or term() ends the wait.
        Raises   Again              fewer were up when the time was over.
                 ZMQError           ENOTSOCK, ContextTerminated as everywhere.
        """
        limit = -1 if timeout is None or timeout < 0 else math.ceil(timeout)
        return self._wait_for_peers(n, limit)

    # --- convenience --------------------------------------------------------------------------------------

    def send_serialized(
        self,
        msg: _MessageT,
        serialize: Callable[[_MessageT], Sequence[Frame | Buffer]],
        flags: int = 0,
        copy: bool = True,
        **kwargs: Any,
    ) -> MessageTracker | None:
        """Send `serialize(msg)`, a list of frames."""
        return self.send_multipart(serialize(msg), flags=flags, copy=copy, **kwargs)

    @overload
    def recv_serialized(
        self, deserialize: Callable[[list[bytes]], _ResultT], flags: int = 0, copy: bool = True
    ) -> _ResultT: ...
    @overload
    def recv_serialized(
        self, deserialize: Callable[[list[Frame]], _ResultT], flags: int = 0, copy: bool = True
    ) -> _ResultT: ...
    def recv_serialized(
        self, deserialize: Callable[[list[Any]], _ResultT], flags: int = 0, copy: bool = True
    ) -> _ResultT:
        """Receive a message and return `deserialize(frames)`."""
        return self._deserialize(self.recv_multipart(flags, copy), deserialize)

    def _deserialize(self, recvd: Any, load: Callable[[Any], _ResultT]) -> _ResultT:
        """Apply `load` to what was received; a subclass whose `recv` gives something else overrides this."""
        return load(recvd)

    def send_string(
        self, u: str, flags: int = 0, copy: bool = True, encoding: str = "utf-8", **kwargs: Any
    ) -> MessageTracker | None:
        """Send text as one frame."""
        if not isinstance(u, str):
            raise TypeError("str objects only")
        return self.send(u.encode(encoding), flags=flags, copy=copy, **kwargs)

    send_unicode = send_string

    def recv_string(self, flags: int = 0, encoding: str = "utf-8") -> str:
        """Receive one frame as text."""
        text: str = self._deserialize(self.recv(flags), lambda data: data.decode(encoding))
        return text

    recv_unicode = recv_string

    def send_pyobj(
        self, obj: object, flags: int = 0, protocol: int = pickles.PROTOCOL, **kwargs: Any
    ) -> MessageTracker | None:
        """Send a pickled object. Receive it only from peers you trust.

        Shape    protocol: pickle's. From 5 on, buffers of 64 KiB and more in the object (numpy arrays, for
                 example) follow the pickle as frames of their own and are not copied into it, unless flags
                 have SNDMORE. All else is one frame, as pyzmq's; keywords are those of `send`.
        Raises   what pickling and `send` raise; nothing was sent.
        """
        frames = pickles.dumped(obj, protocol, apart=not flags & Flag.SNDMORE)
        tracker: MessageTracker | None
        if isinstance(frames, list):
            tracker = self.send_multipart(frames, flags=flags, **kwargs)
        else:
            tracker = self.send(frames, flags=flags, **kwargs)
        return tracker

    def recv_pyobj(self, flags: int = 0) -> Any:
        """Receive a pickled object. Unpickling runs code: only from peers you trust.

        A pickle that is one frame leaves the frames after it to the next call, as in pyzmq. What came in
        frames of its own is not copied again: it is writable and lies in the memory of the frame.

        Raises   FormatError  the frames are not what was announced; the message is consumed.
                 and what `recv` and unpickling raise.
        Threads  one at a time, where objects come with frames of their own: those are a second receive.
        """
        return self._deserialize(self.recv(flags), lambda first: pickles.loaded(first, self._rest))

    def _rest(self) -> list[Frame]:
        """Receive what is left of the message whose frame was received last."""
        return self.recv_multipart(copy=False) if self.get(_O.RCVMORE) else []

    def send_array(
        self, a: NDArray[Any] | numpy.generic, flags: int = 0, copy: bool = True, track: bool = False
    ) -> MessageTracker | None:
        """Send a numpy array as a message of two frames: a header and its bytes.

        Shape    a: any dtype but objects, any shape, any strides; a numpy scalar counts as 0-d. Its bytes are
                 copied once, and an array that is not contiguous is gathered on the way. With copy=False an
                 array that fills a block of `alloc` is not copied at all: the block is sent.
        Returns  None; with copy=False and track=True a MessageTracker.
        Waits    as `send`; a large array that is gathered waits for room in the arena too, as `alloc`.
        Raises   TypeError   no array, a subclass that would lose something (a mask, units), a dtype that is
                             not numpy's own or holds objects; nothing was sent.
                 ValueError  SNDMORE: frames may stand before an array, not behind it; or the block was sent.
                 and what `send` and `alloc` raise; nothing was sent.
        """
        return arrays.send(self, a, flags, copy, track)

    def recv_array(self, flags: int = 0, copy: bool = True) -> NDArray[Any]:
        """Receive a numpy array that was sent by `send_array`, or what is left of such a message.

        Returns  a writable array: with memory of its own, or with copy=False on the memory of the frame,
                 which lives as long as the array or any view of it.
        Waits    up to RCVTIMEO milliseconds, as `recv`.
        Raises   FormatError  it is no array, or not one that a peer may send; the message is consumed.
                 ImportError  numpy is not installed; nothing was received.
                 and what `recv` raises; nothing was received.
        """
        arrays.need_numpy()
        return self._deserialize(
            self.recv_multipart(flags, copy=False), lambda frames: arrays.array_of(frames, copy)
        )

    def send_json(self, obj: object, flags: int = 0, **kwargs: Any) -> MessageTracker | None:
        """Send an object as JSON; keywords that `send` does not have go to `json.dumps`."""
        import json

        mine = {key: kwargs.pop(key) for key in ("copy", "track", "routing_id", "group") if key in kwargs}
        kwargs.setdefault("separators", (",", ":"))
        kwargs.setdefault("ensure_ascii", False)
        tracker: MessageTracker | None = self.send(json.dumps(obj, **kwargs).encode(), flags=flags, **mine)
        return tracker

    def recv_json(self, flags: int = 0, **kwargs: Any) -> Any:
        """Receive an object sent as JSON; keywords go to `json.loads`."""
        import json

        return self._deserialize(self.recv(flags), lambda data: json.loads(data, **kwargs))


# The methods stay methods, and assigning to their names sets the option (pyzmq's rule, kept).
for _row, _method in (("SUBSCRIBE", Socket.subscribe), ("UNSUBSCRIBE", Socket.unsubscribe)):
    setattr(Socket, _method.__name__, MethodOption(row_for(_row), _method))
install(Socket, SOCKET_OPTIONS)
# context.py stands above this room and cannot name the class while it is loaded.
setattr(Context, "_socket_class", Socket)  # noqa: B010
