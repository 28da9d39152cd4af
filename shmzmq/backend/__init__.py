"""`zmq.backend`: pyzmq's name for the native half. Here there is one, and the public names stand for it.

Knows    which names pyzmq programs import from here.
Refuses  to be chosen: the environment variable PYZMQ_BACKEND means nothing.
"""

from .. import (
    IPC_PATH_MAX_LEN,
    PYZMQ_DRAFT_API,
    Context,
    Frame,
    Message,
    Socket,
    curve_keypair,
    curve_public,
    has,
    proxy,
    proxy_steerable,
    strerror,
    zmq_errno,
    zmq_poll,
    zmq_version_info,
)
from .select import public_api, select_backend

__all__ = [
    "IPC_PATH_MAX_LEN",
    "PYZMQ_DRAFT_API",
    "Context",
    "Frame",
    "Message",
    "Socket",
    "curve_keypair",
    "curve_public",
    "has",
    "proxy",
    "proxy_steerable",
    "public_api",
    "select_backend",
    "strerror",
    "zmq_errno",
    "zmq_poll",
    "zmq_version_info",
]
