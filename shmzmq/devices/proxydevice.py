"""Proxy: a device that shows all that passes to a third socket."""

from __future__ import annotations

from typing import Any

from .. import PUB, proxy
from .basedevice import Device, ProcessDevice, ThreadDevice, _Steps

__all__ = ["ProcessProxy", "Proxy", "ThreadProxy"]


class ProxyBase(Device):
    """The plan of a third socket."""

    def __init__(self, in_type: int, out_type: int, mon_type: int = PUB) -> None:
        """Plan a proxy. mon_type: type of the socket that gets a copy of every message."""
        super().__init__(in_type=in_type, out_type=out_type)
        self.mon_type = mon_type
        self._mon = _Steps()

    def bind_mon(self, addr: str) -> None:
        """Bind the third socket to `addr` when the device starts."""
        self._mon.binds.append(addr)

    def bind_mon_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Bind the third socket to a port that is free now; as `bind_in_to_random_port`."""
        return self._random_port(self._mon, addr, *args, **kwargs)

    def connect_mon(self, addr: str) -> None:
        """Connect the third socket to `addr` when the device starts."""
        self._mon.connects.append(addr)

    def setsockopt_mon(self, opt: int, value: Any) -> None:
        """Set an option of the third socket when the device starts."""
        self._mon.options.append((opt, value))

    def _planned(self) -> list[tuple[int, _Steps]]:
        return [*super()._planned(), (self.mon_type, self._mon)]

    def run_device(self) -> None:
        """Move messages until the context ends. Call `start` instead."""
        front, back, capture = self._setup_sockets()
        proxy(front, back, capture)


class Proxy(ProxyBase, Device):
    """A proxy that runs where `start` is called."""


class ThreadProxy(ProxyBase, ThreadDevice):
    """A proxy in a thread of this process."""


class ProcessProxy(ProxyBase, ProcessDevice):
    """A proxy in a process of its own."""
