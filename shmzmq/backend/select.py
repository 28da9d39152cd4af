"""`zmq.backend.select`: which names a backend has, and those of one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["public_api", "select_backend"]

public_api = [
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
    "strerror",
    "zmq_errno",
    "zmq_poll",
    "zmq_version_info",
]


def select_backend(name: str) -> dict[str, Any]:
    """Return the names of `public_api` from the module `name`. Raises ImportError if there is none."""
    module = import_module(name)
    return {each: getattr(module, each) for each in public_api}
