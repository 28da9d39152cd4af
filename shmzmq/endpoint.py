"""Endpoints: what the text given to bind and connect means.

Knows    the grammar `scheme://address`, which schemes exist and which are served, the three forms of an ipc
         address and the length of a UNIX socket path, and the parts of a tcp address.
Refuses  to know sockets, files, directories and names of hosts: nothing is opened, looked up or created here.
         Whether a path's directory or a host exists is found out by bind, or after connect.

Address forms of ipc, as libzmq takes them:

    ipc://path     a socket file; relative paths too        kind "path"
    ipc://@name    a Linux abstract name, no file           kind "abstract"
    ipc://*        bind makes a file in a new directory     kind "wildcard" (connect takes it for a file `*`)

Address forms of tcp, as libzmq takes them. `listening_address` and `dialled_address` read them, when it is
known what the endpoint is for; unbind and disconnect take any text.

    tcp://host:port               host: an address, a name, or, to bind, `*`; port: to bind also `*` or 0
    tcp://[v6]:port               the brackets may be left out; a scope as in [fe80::1%eth0]
    tcp://source:port;host:port   connect from that address; bind looks only whether there is one
"""

from __future__ import annotations

import re
import sys
from errno import EINVAL, ENAMETOOLONG, EPROTONOSUPPORT
from typing import Final, Literal, NamedTuple

from .errors import error_for

__all__ = [
    "IPC_PATH_MAX_LEN",
    "KNOWN_SCHEMES",
    "SERVED_SCHEMES",
    "Endpoint",
    "HostPort",
    "Kind",
    "dialled_address",
    "listening_address",
    "parse",
]

Kind = Literal["path", "abstract", "wildcard", "name", "host"]

# sizeof(sockaddr_un.sun_path) less the terminating zero: 108 bytes on Linux (unix(7)), 104 on BSD and macOS.
IPC_PATH_MAX_LEN: Final[int] = 107 if sys.platform.startswith("linux") else 103

SERVED_SCHEMES: Final = frozenset({"ipc", "inproc", "tcp"})
# libzmq 4.3.5 knows these too; they get a text that says what is served instead of one that says "unknown".
KNOWN_SCHEMES: Final = SERVED_SCHEMES | {
    "epgm", "hvsocket", "norm", "pgm", "tipc", "udp", "vmci", "vsock", "ws", "wss",
}  # fmt: skip
_SERVED: Final = "ipc://, inproc:// and tcp://"

# What libzmq lets connect have: it looks at the letters alone and leaves the rest to the resolver.
_DIALLED: Final = re.compile(r"[0-9A-Za-z\[:][-0-9A-Za-z.:%;\[\]_*]*")
# C's atoi, which reads a port in libzmq: what stands behind the digits does not count.
_NUMBER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_PORT_MAX: Final = 65535


class Endpoint(NamedTuple):
    """One endpoint, taken apart.

    scheme   "ipc", "inproc" or "tcp".
    address  what stands after "://", with the "@" of an abstract name.
    text     the whole, as given; bytes that are not UTF-8 become surrogate escapes, as in file names.
    kind     form of an ipc address; "name" for inproc, "host" for tcp.
    """

    scheme: str
    address: str
    text: str
    kind: Kind

    @property
    def encoded(self) -> bytes:
        """The whole as bytes: what LAST_ENDPOINT gives."""
        return self.text.encode("utf-8", "surrogateescape")

    @property
    def encoded_address(self) -> bytes:
        """The address as bytes: the file's path, or the abstract name with its "@"."""
        return self.address.encode("utf-8", "surrogateescape")


class HostPort(NamedTuple):
    """One half of a tcp address; port 0 leaves the choice to the system.

    host   an address, a name, or `*`, without brackets and scope.
    scope  what stands after a "%": the interface of a link-local IPv6 address, by name or number; else "".
    """

    host: str
    port: int
    scope: str = ""


def _kind(scheme: str, address: str) -> Kind:
    if scheme != "ipc":
        return "host" if scheme == "tcp" else "name"
    if address == "*":
        return "wildcard"
    return "abstract" if address.startswith("@") else "path"


def parse(text: str | bytes) -> Endpoint:
    """Take an endpoint apart, or say what is wrong with it.

    Returns  the Endpoint; schemes are lower case and compared exactly (libzmq's rule, kept).
    Raises   TypeError                   neither str nor bytes.
             UnicodeEncodeError          a str that no bytes stand for.
             ZMQError EINVAL             no scheme, no "://", no address, or a NUL byte in it.
             ZMQError EPROTONOSUPPORT    a scheme that nobody knows, or that is not served here.
             ZMQError ENAMETOOLONG       an ipc path that does not fit a UNIX socket address.
    """
    if isinstance(text, bytes):
        plain = text.decode("utf-8", "surrogateescape")
    elif isinstance(text, str):
        plain = str(text)
    else:
        raise TypeError(f"an endpoint is str or bytes, got addr={text!r}")

    operand = f"addr={text!r}"
    scheme, separator, address = plain.partition("://")
    if not (scheme and separator and address):
        raise error_for(EINVAL, operand)
    if scheme not in SERVED_SCHEMES:
        # Of an unknown scheme nobody knows what it holds: no log or terminal should be given it as it is.
        known = scheme in KNOWN_SCHEMES
        what = f"{scheme}:// is not served yet" if known else f"{scheme!r} is not a transport"
        raise error_for(EPROTONOSUPPORT, f"{operand}: {what}; {_SERVED} are served")
    if "\0" in address:
        # libzmq reads a C string and would silently use what stands before the zero.
        raise error_for(EINVAL, f"{operand}: an address holds no NUL byte")

    endpoint = Endpoint(scheme, address, plain, _kind(scheme, address))
    length = len(endpoint.encoded_address)
    if endpoint.kind == "abstract" and length == 1:
        raise error_for(EINVAL, f"{operand}: an abstract name needs a character after the @")
    if scheme == "ipc" and length > IPC_PATH_MAX_LEN:
        raise error_for(
            ENAMETOOLONG,
            f"{operand}: the ipc path is {length} bytes and at most {IPC_PATH_MAX_LEN} fit a UNIX socket "
            "address; IPC_PATH_MAX_LEN is this limit",
        )
    return endpoint


def listening_address(endpoint: Endpoint) -> tuple[HostPort, HostPort | None]:
    """Read the address of a tcp endpoint to bind.

    Returns  where to listen; and the source before a ";", which bind has no use for.
    Raises   ZMQError EINVAL  no port, or one that is none.
    """
    source, separator, own = endpoint.address.rpartition(";")
    before = _host_port(endpoint, source, any_port=True) if separator else None
    return _host_port(endpoint, own, any_port=True), before


def dialled_address(endpoint: Endpoint) -> tuple[HostPort, HostPort | None]:
    """Read the address of a tcp endpoint to connect to.

    Returns  whom to dial, and the source before a ";" or None.
    Raises   ZMQError EINVAL  not the letters of an address; or one that cannot be dialled, now or later: port
                              0 or beyond 65535, no host, a source without a port. (libzmq takes those, wraps
                              the port or retries for ever.)
    """
    address = endpoint.address
    if not _DIALLED.fullmatch(address) or not address.rpartition(":")[2][:1].isdigit() or ":" not in address:
        raise error_for(EINVAL, _operand(endpoint))
    source, separator, peer = address.rpartition(";")
    before = _host_port(endpoint, source, any_port=True) if separator else None
    return _host_port(endpoint, peer, any_port=False), before


def _host_port(endpoint: Endpoint, text: str, *, any_port: bool) -> HostPort:
    host, colon, port_text = text.rpartition(":")
    if not colon:
        raise error_for(EINVAL, f"{text!r} has no port: {_operand(endpoint)}")
    port = _port(endpoint, port_text, any_port=any_port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host and not any_port:
        raise error_for(EINVAL, f"{text!r} names no host: {_operand(endpoint)}")
    host, percent, scope = host.rpartition("%") if "%" in host else (host, "", "")
    if percent and not scope:
        raise error_for(EINVAL, f"no interface after the %: {_operand(endpoint)}")
    return HostPort(host, port, scope)


def _port(endpoint: Endpoint, text: str, *, any_port: bool) -> int:
    if any_port and text in ("*", "0"):
        return 0
    found = _NUMBER.match(text)
    port = int(found[1]) if found else 0
    if not 1 <= port <= _PORT_MAX:
        raise error_for(EINVAL, f"port={text!r} is not 1 to {_PORT_MAX}: {_operand(endpoint)}")
    return port


def _operand(endpoint: Endpoint) -> str:
    return f"addr={endpoint.text!r}"
