"""tornado's loop beside gevent."""

from ...eventloop import IOLoop

__all__ = ["IOLoop"]
