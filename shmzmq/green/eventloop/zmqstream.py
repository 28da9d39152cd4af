"""ZMQStream for sockets of gevent's: the same, its calls never wait."""

from ...eventloop.zmqstream import ZMQStream

__all__ = ["ZMQStream"]
