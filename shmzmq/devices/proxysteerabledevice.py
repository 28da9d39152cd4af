"""ProxySteerable: a proxy with a fourth socket that pauses, resumes and ends it."""

from __future__ import annotations

from typing import Any

from .. import PUB, proxy_steerable
from .basedevice import _Steps
from .proxydevice import ProcessProxy, Proxy, ProxyBase, ThreadProxy

__all__ = ["ProcessProxySteerable", "ProxySteerable", "ThreadProxySteerable"]


class ProxySteerableBase(ProxyBase):
    """The plan of a fourth socket."""

    def __init__(
        self, in_type: int, out_type: int, mon_type: int = PUB, ctrl_type: int | None = None
    ) -> None:
        """Plan a proxy. ctrl_type: type of the socket that hears PAUSE, RESUME, TERMINATE and STATISTICS."""
        super().__init__(in_type=in_type, out_type=out_type, mon_type=mon_type)
        self.ctrl_type = ctrl_type
        self._ctrl = _Steps()

    def bind_ctrl(self, addr: str) -> None:
        """Bind the fourth socket to `addr` when the device starts."""
        self._ctrl.binds.append(addr)

    def bind_ctrl_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Bind the fourth socket to a port that is free now; as `bind_in_to_random_port`."""
        return self._random_port(self._ctrl, addr, *args, **kwargs)

    def connect_ctrl(self, addr: str) -> None:
        """Connect the fourth socket to `addr` when the device starts."""
        self._ctrl.connects.append(addr)

    def setsockopt_ctrl(self, opt: int, value: Any) -> None:
        """Set an option of the fourth socket when the device starts."""
        self._ctrl.options.append((opt, value))

    def _planned(self) -> list[tuple[int, _Steps]]:
        if self.ctrl_type is None:
            raise TypeError("ctrl_type must be specified")
        return [*super()._planned(), (self.ctrl_type, self._ctrl)]

    def run_device(self) -> None:
        """Move messages until the context ends or TERMINATE comes. Call `start` instead."""
        front, back, capture, control = self._setup_sockets()
        proxy_steerable(front, back, capture, control)


class ProxySteerable(ProxySteerableBase, Proxy):
    """A steerable proxy that runs where `start` is called."""


class ThreadProxySteerable(ProxySteerableBase, ThreadProxy):
    """A steerable proxy in a thread of this process."""


class ProcessProxySteerable(ProxySteerableBase, ProcessProxy):
    """A steerable proxy in a process of its own."""
