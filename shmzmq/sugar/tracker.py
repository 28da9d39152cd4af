"""`zmq.sugar.tracker`: pyzmq's name for where MessageTracker is."""

from .. import _FINISHED_TRACKER
from ..frame import MessageTracker

__all__ = ["MessageTracker", "_FINISHED_TRACKER"]
