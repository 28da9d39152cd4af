"""tornado's loop under an old name (deprecated in pyzmq)."""

from ...eventloop.ioloop import *  # noqa: F403
