"""tornado's loop under an old name (deprecated in pyzmq: any loop will do)."""

from __future__ import annotations

import warnings

from tornado.ioloop import *  # noqa: F403

from . import IOLoop

ZMQIOLoop = IOLoop


def _deprecated() -> None:
    warnings.warn(
        "zmq.eventloop.ioloop is not needed: sockets work with tornado's own loop",
        DeprecationWarning,
        stacklevel=3,
    )


def install() -> None:
    """Do nothing."""
    _deprecated()


_deprecated()
