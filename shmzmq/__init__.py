"""shmzmq: ZeroMQ sockets for Python at shared-memory speed. `import shmzmq as zmq`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from . import constants, error
from ._backend import BUILD_PROFILE, LAYOUT_VERSION, Block, __version__
from .constants import *  # noqa: F403
from .context import Context
from .endpoint import IPC_PATH_MAX_LEN
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
    error_for,
    strerror,
    zmq_errno,
)
from .forward import device, proxy, proxy_steerable
from .frame import _DONE as _FINISHED_TRACKER
from .frame import COPY_THRESHOLD, Frame, Message, MessageTracker
from .poller import Poller, select, zmq_poll
from .socket import Socket
from .stopwatch import Stopwatch

SyncSocket: TypeAlias = Socket[bytes]
SyncContext: TypeAlias = Context[SyncSocket]
DRAFT_API: bool = False
PYZMQ_DRAFT_API: bool = False
__revision__ = ""


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
    if not isinstance(capability, str):
        raise TypeError(f"capability is a str, got {capability!r}")
    return capability == "ipc"


def curve_keypair() -> tuple[bytes, bytes]:
    """Refuse, as pyzmq does over a libzmq without CURVE.

    Raises   ZMQError ENOTSUP  always; `has("curve")` tells beforehand.
    """
    _no_curve()


def curve_public(secret_key: str | bytes) -> bytes:
    """Refuse, as pyzmq does over a libzmq without CURVE.

    Shape    secret_key: 40 characters of Z85.
    Raises   ValueError        another length; ZMQError ENOTSUP  otherwise.
    """
    key = secret_key.encode() if isinstance(secret_key, str) else secret_key
    if len(key) != 40:
        raise ValueError("secret key must be a 40 byte z85 encoded string")
    _no_curve()


def _no_curve() -> NoReturn:
    raise error_for(constants.ENOTSUP, "CURVE does not exist here yet")


if not TYPE_CHECKING:  # a type checker is to find a mistyped name

    def __getattr__(name: str) -> ModuleType:
        """Import what `import zmq` alone makes reachable in pyzmq (`zmq.sugar.socket`), when asked for."""
        if name in {"backend", "sugar", "utils"}:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_includes() -> list[str]:
    """Folders of C headers to compile against: none, there is no C API."""
    return []


def get_library_dirs() -> list[str]:
    """Folders of a libzmq to link against: none, there is none inside."""
    return []


def install_as_zmq(*, children: bool = True) -> bool:
    """Make `import zmq` and every `zmq.x` mean shmzmq, in this process and in its children.

    Shape    children: also set SHMZMQ_AS_ZMQ=1 in the environment, for processes that begin from now on.
    Returns  True, or False if SHMZMQ_AS_ZMQ=0 forbids it: then nothing is done, and one line is logged.
    Raises   RuntimeError    pyzmq is imported already; nothing is done. Call this before any `import zmq`.
    Warns    RuntimeWarning  children will not have it, and why: call this in their main module too.
    """
    from _shmzmq_as_zmq import children_miss_it, install

    done = install(children=children)
    if not done:
        import logging

        logging.getLogger("shmzmq").warning("SHMZMQ_AS_ZMQ=0: zmq stays pyzmq")
    elif children and (why := children_miss_it()):
        import warnings

        warnings.warn(f"zmq is shmzmq in this process only: {why}", RuntimeWarning, stacklevel=2)
    return done


__all__ = [
    "BUILD_PROFILE",
    "COPY_THRESHOLD",
    "DRAFT_API",
    "IPC_PATH_MAX_LEN",
    "LAYOUT_VERSION",
    "PYZMQ_DRAFT_API",
    "Again",
    "Block",
    "Context",
    "ContextTerminated",
    "DraftFDWarning",
    "ForkedError",
    "FormatError",
    "Frame",
    "InterruptedSystemCall",
    "Message",
    "MessageTracker",
    "NotDone",
    "OutOfMemory",
    "Poller",
    "Socket",
    "Stopwatch",
    "SyncContext",
    "SyncSocket",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "ZMQVersionError",
    "_FINISHED_TRACKER",
    "__revision__",
    "__version__",
    "curve_keypair",
    "curve_public",
    "device",
    "error",
    "get_includes",
    "get_library_dirs",
    "has",
    "install_as_zmq",
    "proxy",
    "proxy_steerable",
    "pyzmq_version",
    "pyzmq_version_info",
    "select",
    "strerror",
    "zmq_errno",
    "zmq_poll",
    "zmq_version",
    "zmq_version_info",
]
__all__ += constants.__all__
