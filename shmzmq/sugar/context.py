"""`zmq.sugar.context`: pyzmq's name for where Context is."""

from .. import SyncContext
from ..context import Context

__all__ = ["Context", "SyncContext"]
