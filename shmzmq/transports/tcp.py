"""tcp://: listening sockets made here; dialling, accepting and all that follows is native code's.

bind looks the host up at once: an address, a name that has one, or `*`. The socket it makes carries the
options that connections inherit from their listener (Linux), as they were at bind.

connect looks nothing up: native code does, anew for each attempt and off its I/O threads. Only a source
before a ";" is checked, since no waiting makes a source of what is no address.

Addresses follow IPV6: 0 means IPv4 alone, 1 means IPv6 sockets that take IPv4 as mapped addresses too.

Source: tcp(7), ipv6(7), getaddrinfo(3), zmq_tcp(7).
"""

from __future__ import annotations

import contextlib
import socket as posix
from collections.abc import Iterator
from errno import EAFNOSUPPORT, EINVAL, ENODEV, ENOMEM, ENOTSUP
from typing import Any, Final

from .._backend import NativeSocket
from ..constants import Event, SocketOption
from ..endpoint import Endpoint, HostPort, dialled_address, listening_address
from ..errors import ZMQError, error_for
from .base import BindPlan, Bound, ConnectPlan
from .given import adopt

__all__ = ["TcpTransport"]

_O = SocketOption
_INTERNET: Final = (posix.AF_INET, posix.AF_INET6)
# (option, level, name, the value that means "as the system has it"): what connections inherit.
_INHERITED: Final = (
    (_O.SNDBUF, posix.SOL_SOCKET, posix.SO_SNDBUF, -1),
    (_O.RCVBUF, posix.SOL_SOCKET, posix.SO_RCVBUF, -1),
    (_O.TCP_KEEPALIVE, posix.SOL_SOCKET, posix.SO_KEEPALIVE, -1),
    (_O.TCP_MAXRT, posix.IPPROTO_TCP, posix.TCP_USER_TIMEOUT, 0),
)
# These count only where TCP_KEEPALIVE is 1, as in libzmq.
_PROBES: Final = (
    (_O.TCP_KEEPALIVE_CNT, posix.IPPROTO_TCP, posix.TCP_KEEPCNT, -1),
    (_O.TCP_KEEPALIVE_IDLE, posix.IPPROTO_TCP, posix.TCP_KEEPIDLE, -1),
    (_O.TCP_KEEPALIVE_INTVL, posix.IPPROTO_TCP, posix.TCP_KEEPINTVL, -1),
)

_Address = tuple[posix.AddressFamily, Any]


class TcpTransport:
    """Hosts and ports, IPv4 and IPv6."""

    def bind(self, socket: NativeSocket, endpoint: Endpoint, plan: BindPlan) -> Bound:
        """Listen on the endpoint.

        Raises   ZMQError EINVAL         no port, or no scope of that name.
                 ZMQError ENODEV         the host is neither an address nor a name that has one, or
                                         BINDTODEVICE names no interface.
                 ZMQError EADDRNOTAVAIL  the address is not this host's.
                 ZMQError ENOTSUP        the host is an interface's name.
                 ZMQError                EADDRINUSE, EACCES: what the system said.
        """
        if plan.use_fd >= 0:
            return _hand_over(socket, adopt(plan.use_fd, _INTERNET, endpoint))
        with _reported(socket, endpoint):
            own, source = listening_address(endpoint)
            if source is not None:
                _check_source(source, _ipv6(socket), endpoint)
            listener = _listener(socket, endpoint, own, plan)
        return _hand_over(socket, listener)

    def connect(self, socket: NativeSocket, endpoint: Endpoint, plan: ConnectPlan) -> Bound:
        """Dial the endpoint, again and again until somebody listens.

        Raises   ZMQError EINVAL   not an address that can be dialled.
                 ZMQError ENODEV   the source is not a numeric address.
                 ZMQError ENOTSUP  SOCKS_PROXY or BINDTODEVICE is set, or the source is an interface's name.
        """
        operand = f"addr={endpoint.text!r}"
        for value, name in ((plan.proxy, "SOCKS_PROXY"), (plan.device, "BINDTODEVICE")):
            if value:
                raise error_for(ENOTSUP, f"{name}={value!r}: connecting that way is not built yet: {operand}")
        peer, source = dialled_address(endpoint)
        host, port = b"", 0
        if source is not None:
            host, port = _source(source, _ipv6(socket), endpoint), source.port
        number = socket._connect_tcp(_dialled_host(peer), peer.port, host, port, endpoint.encoded)
        return Bound(endpoint.text, number)

    def other_text(self, socket: NativeSocket, endpoint: Endpoint) -> str | None:
        """The endpoint with its host as a number: what LAST_ENDPOINT shows of a bind to a name.

        So `unbind("tcp://localhost:5555")` finds it; `*` is not looked up (libzmq's rules, kept).
        """
        try:
            own, _source = listening_address(endpoint)
            if own.port == 0 or own.host == "*":
                return None
            _family, address = _resolve(own, _ipv6(socket), endpoint, names=True)
        except ZMQError:
            return None
        return _text_of(address)


def _ipv6(socket: NativeSocket) -> bool:
    return socket._get_int(_O.IPV6) != 0


@contextlib.contextmanager
def _reported(socket: NativeSocket, endpoint: Endpoint) -> Iterator[None]:
    """A monitor hears of what fails in the block."""
    try:
        yield
    except ZMQError as error:
        socket._emit(Event.BIND_FAILED, error.errno or 0, endpoint.encoded_address)
        raise


def _listener(socket: NativeSocket, endpoint: Endpoint, own: HostPort, plan: BindPlan) -> posix.socket:
    """Make the listening socket; what fails is closed and reported."""
    ipv6 = _ipv6(socket)
    family, address = _resolve(own, ipv6, endpoint, names=True, interfaces=True)
    try:
        try:
            listener = _new_socket(family)
        except OSError as error:
            if error.errno != EAFNOSUPPORT or family != posix.AF_INET6:
                raise
            # A kernel without IPv6: IPv4 then (libzmq's rule, kept).
            family, address = _resolve(own, False, endpoint, names=True, interfaces=True)
            listener = _new_socket(family)
    except OSError as error:
        raise error_for(error.errno or EINVAL, f"addr={endpoint.text!r}") from None
    try:
        _configure(listener, socket, plan)
        listener.bind(address)
        listener.listen(plan.backlog)
    except BaseException as error:
        fd = listener.fileno()
        listener.close()
        if isinstance(error, OSError):
            socket._emit(Event.CLOSED, fd, b"")
            raise error_for(error.errno or EINVAL, _said_with(error, endpoint, plan)) from None
        raise
    return listener


def _new_socket(family: int) -> posix.socket:
    return posix.socket(family, posix.SOCK_STREAM | posix.SOCK_NONBLOCK | posix.SOCK_CLOEXEC)


def _said_with(error: OSError, endpoint: Endpoint, plan: BindPlan) -> str:
    operand = f"addr={endpoint.text!r}"
    return f"BINDTODEVICE={plan.device!r}, {operand}" if plan.device and error.errno == ENODEV else operand


def _configure(listener: posix.socket, socket: NativeSocket, plan: BindPlan) -> None:
    """Give the listener what the socket's options say. Raises OSError."""
    # A port whose connections are still closing can be bound at once (tcp(7)); one in use cannot.
    listener.setsockopt(posix.SOL_SOCKET, posix.SO_REUSEADDR, 1)
    if listener.family == posix.AF_INET6:
        listener.setsockopt(posix.IPPROTO_IPV6, posix.IPV6_V6ONLY, 0)
    if plan.device:
        listener.setsockopt(posix.SOL_SOCKET, posix.SO_BINDTODEVICE, plan.device)
    tos = socket._get_int(_O.TOS)
    if tos > 0:
        listener.setsockopt(posix.IPPROTO_IP, posix.IP_TOS, tos)
        if listener.family == posix.AF_INET6:
            # More than a byte is nothing to IPv6, and no reason not to listen (libzmq's rule, kept).
            with contextlib.suppress(OSError):
                listener.setsockopt(posix.IPPROTO_IPV6, posix.IPV6_TCLASS, tos)
    probes = _PROBES if socket._get_int(_O.TCP_KEEPALIVE) == 1 else ()
    for option, level, name, unset in (*_INHERITED, *probes):
        value = socket._get_int(option)
        if value != unset:
            listener.setsockopt(level, name, value)


def _hand_over(socket: NativeSocket, listener: posix.socket) -> Bound:
    """Give the listening fd to native code, under the name that the system has for it."""
    text = _text_of(listener.getsockname())
    return Bound(text, socket._listen(listener.detach(), text.encode()))


def _text_of(address: Any) -> str:
    """An address of the system as an endpoint: numbers only."""
    host, port = posix.getnameinfo(address, posix.NI_NUMERICHOST | posix.NI_NUMERICSERV)
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _resolve(
    which: HostPort, ipv6: bool, endpoint: Endpoint, *, names: bool, interfaces: bool = False
) -> _Address:
    """The address of a host to listen on.

    Shape    names: ask the resolver; interfaces: tell the name of an interface from one that nobody has.
    Raises   ZMQError EINVAL   no such scope.
             ZMQError ENODEV   no such host.
             ZMQError ENOTSUP  an interface's name.
    """
    scope = _scope(which, endpoint)
    if which.host == "*":
        return (posix.AF_INET6, ("::", which.port)) if ipv6 else (posix.AF_INET, ("0.0.0.0", which.port))
    family = posix.AF_INET6 if ipv6 else posix.AF_INET
    flags = posix.AI_PASSIVE | (posix.AI_V4MAPPED if ipv6 else 0) | (0 if names else posix.AI_NUMERICHOST)
    operand = f"addr={endpoint.text!r}"
    if interfaces and _is_interface(which.host):
        raise error_for(ENOTSUP, f"{which.host!r} is an interface: name its address instead: {operand}")
    try:
        # As bytes: no codec of names has a say, and the resolver gets what was given.
        host = which.host.encode("utf-8", "surrogateescape")
        found = posix.getaddrinfo(host, None, family, posix.SOCK_STREAM, 0, flags) if host else []
    except posix.gaierror as error:
        if error.errno == posix.EAI_MEMORY:
            raise error_for(ENOMEM, operand) from None
        found = []
    if not found:
        hint = "" if ipv6 or ":" not in which.host else " (IPv6 needs the option IPV6=1)"
        raise error_for(ENODEV, f"no address is known for {which.host!r}{hint}: {operand}")
    address = found[0][4]
    if family == posix.AF_INET:
        return family, (address[0], which.port)
    return family, (str(address[0]).partition("%")[0], which.port, 0, scope)


def _scope(which: HostPort, endpoint: Endpoint) -> int:
    """The number of an interface, given by name or number; 0 for none."""
    if not which.scope:
        return 0
    number = 0
    if which.scope.isdecimal():
        number = int(which.scope)
    else:
        with contextlib.suppress(OSError):
            number = posix.if_nametoindex(which.scope)
    if not 0 < number < 1 << 32:
        raise error_for(EINVAL, f"there is no interface {which.scope!r}: addr={endpoint.text!r}")
    return number


def _is_interface(name: str) -> bool:
    try:
        return posix.if_nametoindex(name) > 0
    except (OSError, ValueError):
        return False


def _check_source(source: HostPort, ipv6: bool, endpoint: Endpoint) -> None:
    """Refuse what is no source; an interface's name is one, since bind has no use for it."""
    if not _is_interface(source.host):
        _resolve(source, ipv6, endpoint, names=False)


def _source(source: HostPort, ipv6: bool, endpoint: Endpoint) -> bytes:
    """The source of a connect as native code takes it: a numeric address."""
    if source.host == "*":
        return b"::" if ipv6 else b"0.0.0.0"
    family, address = _resolve(source, ipv6, endpoint, names=False, interfaces=True)
    if family == posix.AF_INET6 and _is_link_local(address[0]):
        return f"{address[0]}%{address[3]}".encode() if address[3] else str(address[0]).encode()
    return str(address[0]).encode()


def _dialled_host(peer: HostPort) -> bytes:
    """The host for the resolver: it takes a scope with link-local addresses only."""
    scope = f"%{peer.scope}" if peer.scope and _is_link_local(peer.host) else ""
    return f"{peer.host}{scope}".encode("utf-8", "surrogateescape")


def _is_link_local(host: str) -> bool:
    # fe80::/10 (RFC 4291, 2.4)
    return ":" in host and host[:3].lower() in ("fe8", "fe9", "fea", "feb")
