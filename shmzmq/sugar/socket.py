"""`zmq.sugar.socket`: pyzmq's name for where Socket is."""

from .. import SyncSocket
from ..socket import Socket, _SocketContext

__all__ = ["Socket", "SyncSocket", "_SocketContext"]
