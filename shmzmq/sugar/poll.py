"""`zmq.sugar.poll`: pyzmq's name for where Poller is."""

from ..poller import Poller, select

__all__ = ["Poller", "select"]
