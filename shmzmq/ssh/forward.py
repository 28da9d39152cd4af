"""A local port whose connections go on through a paramiko transport.

Knows    sockets and channels.
Refuses  to know how the transport came up.
"""

from __future__ import annotations

import logging
import select
import socketserver
from contextlib import closing
from typing import Any

__all__ = ["ForwardServer", "Handler", "forward_tunnel"]

logger = logging.getLogger("ssh")

_CHUNK = 65536


class ForwardServer(socketserver.ThreadingTCPServer):
    """Serves each connection in a thread of its own."""

    daemon_threads = True
    allow_reuse_address = True


class Handler(socketserver.BaseRequestHandler):
    """One connection; a subclass says where it goes."""

    ssh_transport: Any
    chain_host: str
    chain_port: int

    def handle(self) -> None:
        """Move bytes both ways until either end closes."""
        place = (self.chain_host, self.chain_port)
        try:
            channel = self.ssh_transport.open_channel("direct-tcpip", place, self.request.getpeername())
        except Exception as error:
            logger.debug("%s:%d cannot be reached: %r", *place, error)
            return
        with closing(channel):
            ends = {self.request: channel, channel: self.request}
            while True:
                for source in select.select(list(ends), [], [])[0]:
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    ends[source].sendall(data)


def forward_tunnel(local_port: int, remote_host: str, remote_port: int, transport: Any) -> None:
    """Serve a port of this host until the process ends."""

    class Onward(Handler):
        chain_host, chain_port, ssh_transport = remote_host, remote_port, transport

    ForwardServer(("127.0.0.1", local_port), Onward).serve_forever()
