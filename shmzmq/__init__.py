"""shmzmq: ZeroMQ sockets for Python at shared-memory speed. `import shmzmq as zmq`."""

from __future__ import annotations

from . import constants, error
from ._backend import BUILD_PROFILE, LAYOUT_VERSION, __version__
from .constants import *  # noqa: F403
from .context import Context
from .endpoint import IPC_PATH_MAX_LEN
from .errors import (
    Again,
    ContextTerminated,
    DraftFDWarning,
    ForkedError,
    InterruptedSystemCall,
    NotDone,
    ZMQBaseError,
    ZMQBindError,
    ZMQError,
    ZMQVersionError,
    strerror,
)
from .frame import COPY_THRESHOLD, Frame, Message, MessageTracker
from .socket import Socket

SyncContext = Context
SyncSocket = Socket
DRAFT_API = False


def zmq_version_info() -> tuple[int, int, int]:
    """The libzmq version whose behaviour this is."""
    return (4, 3, 5)


def zmq_version() -> str:
    """The libzmq version whose behaviour this is, as text."""
    return "4.3.5"


def pyzmq_version_info() -> tuple[int, int, int]:
    """The pyzmq version whose API this is."""
    return (27, 3, 0)


def pyzmq_version() -> str:
    """The pyzmq version whose API this is, as text."""
    return "27.3.0"


def has(capability: str) -> bool:
    """True for what libzmq would be asked for and what exists here: "ipc"."""
    return capability == "ipc"


__all__ = [
    "BUILD_PROFILE",
    "COPY_THRESHOLD",
    "DRAFT_API",
    "IPC_PATH_MAX_LEN",
    "LAYOUT_VERSION",
    "Again",
    "Context",
    "ContextTerminated",
    "DraftFDWarning",
    "ForkedError",
    "Frame",
    "InterruptedSystemCall",
    "Message",
    "MessageTracker",
    "NotDone",
    "Socket",
    "SyncContext",
    "SyncSocket",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "ZMQVersionError",
    "__version__",
    "error",
    "has",
    "pyzmq_version",
    "pyzmq_version_info",
    "strerror",
    "zmq_version",
    "zmq_version_info",
]
__all__ += constants.__all__
