"""MonitoredQueue: `monitored_queue` as a device."""

from __future__ import annotations

from .. import PUB
from .monitoredqueue import monitored_queue
from .proxydevice import ProcessProxy, Proxy, ProxyBase, ThreadProxy

__all__ = ["MonitoredQueue", "ProcessMonitoredQueue", "ThreadMonitoredQueue"]


class MonitoredQueueBase(ProxyBase):
    """What makes a proxy a monitored queue."""

    def __init__(
        self,
        in_type: int,
        out_type: int,
        mon_type: int = PUB,
        in_prefix: bytes = b"in",
        out_prefix: bytes = b"out",
    ) -> None:
        """Plan a queue. The prefixes are frames in front of what goes to the third socket."""
        super().__init__(in_type=in_type, out_type=out_type, mon_type=mon_type)
        self._in_prefix, self._out_prefix = in_prefix, out_prefix

    def run_device(self) -> None:
        """Move messages until the context ends. Call `start` instead."""
        front, back, monitor = self._setup_sockets()
        monitored_queue(front, back, monitor, self._in_prefix, self._out_prefix)


class MonitoredQueue(MonitoredQueueBase, Proxy):
    """A monitored queue that runs where `start` is called."""


class ThreadMonitoredQueue(MonitoredQueueBase, ThreadProxy):
    """A monitored queue in a thread of this process."""


class ProcessMonitoredQueue(MonitoredQueueBase, ProcessProxy):
    """A monitored queue in a process of its own."""
