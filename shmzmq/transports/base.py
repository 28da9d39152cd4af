"""What every transport owes.

A transport turns an endpoint into work for a native socket. It blocks for local file operations at most,
never for a peer; it names no socket type; what it made it can undo.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .._backend import NativeSocket
from ..endpoint import Endpoint

__all__ = ["BindPlan", "Bound", "ConnectPlan", "Lease", "Transport"]


class Lease(Protocol):
    """Something outside the process' memory that a bound endpoint holds: a path, a directory."""

    def release(self) -> None:
        """Give it back. Idempotent; after it returns, another bind may succeed. Raises nothing."""


class BindPlan(NamedTuple):
    """What the socket's options say about a bind.

    backlog    connections that may wait to be accepted.
    file_mode  permission bits of a socket file; -1 leaves them to the umask.
    takeover   replace a live listener on the same path.
    use_fd     a listening descriptor to take over instead of making one; -1 makes one.
    device     name of the network interface to listen on; empty listens on all.
    """

    backlog: int = 100
    file_mode: int = -1
    takeover: bool = False
    use_fd: int = -1
    device: bytes = b""


class ConnectPlan(NamedTuple):
    """What the socket's options say about a connect.

    proxy   SOCKS proxy to go through; empty goes straight.
    device  name of the network interface to use; empty uses any.
    """

    proxy: bytes = b""
    device: bytes = b""


class Bound:
    """A bound or connected endpoint.

    text    the endpoint resolved (wildcards filled in): LAST_ENDPOINT.
    number  by which native code knows it.
    local   its pipes end with it (inproc); otherwise connections end on their own.
    """

    __slots__ = ("closed", "lease", "local", "number", "text")

    def __init__(self, text: str, number: int, lease: Lease | None = None, local: bool = False) -> None:
        self.text = text
        self.number = number
        self.lease = lease
        self.local = local
        self.closed = False


class Transport(Protocol):
    """bind and connect of one scheme."""

    def bind(self, socket: NativeSocket, endpoint: Endpoint, plan: BindPlan) -> Bound:
        """Make the endpoint reachable. Raises ZMQError with the operand; then nothing is left behind."""

    def connect(self, socket: NativeSocket, endpoint: Endpoint, plan: ConnectPlan) -> Bound:
        """Begin to reach the endpoint; it need not exist yet."""

    def other_text(self, socket: NativeSocket, endpoint: Endpoint) -> str | None:
        """The text under which bind or connect may have kept the endpoint, if that is not its own."""
