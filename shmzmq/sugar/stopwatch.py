"""`zmq.sugar.stopwatch`: pyzmq's name for where Stopwatch is."""

from ..stopwatch import Stopwatch

__all__ = ["Stopwatch"]
