"""Endpoints: what the text given to bind and connect means.

Knows    the grammar `scheme://address`, which schemes exist and which are served, the three forms of an ipc
         address and the length of a UNIX socket path.
Refuses  to know sockets, files and directories: nothing is opened, looked up or created here. Whether a
         path's directory exists is found out by bind.

Address forms of ipc, as libzmq takes them:

    ipc://path     a socket file; relative paths too        kind "path"
    ipc://@name    a Linux abstract name, no file           kind "abstract"
    ipc://*        bind makes a file in a new directory     kind "wildcard" (connect takes it for a file `*`)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from errno import EINVAL, ENAMETOOLONG, EPROTONOSUPPORT
from typing import Final, Literal

from .errors import error_for

__all__ = ["IPC_PATH_MAX_LEN", "KNOWN_SCHEMES", "SERVED_SCHEMES", "Endpoint", "Kind", "parse"]

Kind = Literal["path", "abstract", "wildcard", "name"]

# sizeof(sockaddr_un.sun_path) less the terminating zero: 108 bytes on Linux (unix(7)), 104 on BSD and macOS.
IPC_PATH_MAX_LEN: Final[int] = 107 if sys.platform.startswith("linux") else 103

SERVED_SCHEMES: Final = frozenset({"ipc", "inproc"})
# libzmq 4.3.5 knows these too; they get a text that says what is served instead of one that says "unknown".
KNOWN_SCHEMES: Final = SERVED_SCHEMES | {
    "epgm", "hvsocket", "norm", "pgm", "tcp", "tipc", "udp", "vmci", "vsock", "ws", "wss",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint, taken apart.

    scheme   "ipc" or "inproc".
    address  what stands after "://", with the "@" of an abstract name.
    text     the whole, as given; bytes that are not UTF-8 become surrogate escapes, as in file names.
    kind     form of an ipc address; "name" for inproc.
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


def _kind(scheme: str, address: str) -> Kind:
    if scheme != "ipc":
        return "name"
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
        what = "is not served yet" if scheme in KNOWN_SCHEMES else "is not a transport"
        raise error_for(EPROTONOSUPPORT, f"{operand}: {scheme}:// {what}; ipc:// and inproc:// are served")
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
