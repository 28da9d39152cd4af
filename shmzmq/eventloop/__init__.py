"""Sockets in tornado: streams with callbacks (`zmqstream`) and futures (`future`)."""

try:
    from tornado.ioloop import IOLoop
except ImportError as error:
    raise ImportError("shmzmq.eventloop needs tornado: pip install tornado", name="tornado") from error

__all__ = ["IOLoop"]
