"""`zmq.sugar.frame`: pyzmq's name for where Frame is."""

from ..frame import Frame, Message

__all__ = ["Frame", "Message"]
