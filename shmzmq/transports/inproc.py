"""inproc://: sockets of one context, messages by reference. Connect may come before bind."""

from __future__ import annotations

from .._backend import NativeSocket
from ..endpoint import Endpoint
from .base import BindPlan, Bound, ConnectPlan

__all__ = ["InprocTransport"]


class InprocTransport:
    """Names live in the native context; nothing outside the process' memory is touched."""

    def bind(self, socket: NativeSocket, endpoint: Endpoint, plan: BindPlan) -> Bound:
        """Take the name. Raises ZMQError EADDRINUSE if it is taken in this context."""
        return Bound(endpoint.text, socket._bind_inproc(endpoint.address), local=True)

    def connect(self, socket: NativeSocket, endpoint: Endpoint, plan: ConnectPlan) -> Bound:
        """Join the binder of the name, now or when it comes."""
        return Bound(endpoint.text, socket._connect_inproc(endpoint.address), local=True)

    def other_text(self, socket: NativeSocket, endpoint: Endpoint) -> str | None:
        """None: a name has one spelling."""
        return None
