"""`zmq.error`: pyzmq's name for the exceptions.

Knows    which names pyzmq programs import from here, and our own beside them.
Refuses  to define anything: errors.py does.
"""

from __future__ import annotations

from .errors import (
    Again,
    ContextTerminated,
    DraftFDWarning,
    ForkedError,
    FormatError,
    InterruptedSystemCall,
    NotDone,
    OutOfMemory,
    ZMQBaseError,
    ZMQBindError,
    ZMQError,
    ZMQVersionError,
)

__all__ = [
    "Again",
    "ContextTerminated",
    "DraftFDWarning",
    "ForkedError",
    "FormatError",
    "InterruptedSystemCall",
    "NotDone",
    "OutOfMemory",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "ZMQVersionError",
]
