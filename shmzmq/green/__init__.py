"""shmzmq for gevent: all of the package, with sockets that wait in the hub. `import shmzmq.green as zmq`.

Knows    which names are other ones here.
Refuses  to patch anything.
"""

from __future__ import annotations

from .. import *  # noqa: F403
from .. import __all__ as _all
from .core import _Context as Context
from .core import _Socket as Socket
from .device import device  # type: ignore[assignment]
from .poll import _Poller as Poller
from .poll import select, zmq_poll

__all__ = [*_all, "Context", "Poller", "Socket", "device", "select", "zmq_poll"]  # noqa: PLE0604
