"""The listening descriptor that a program gives to bind by USE_FD: looked at, and taken over.

libzmq takes whatever number it is given and aborts the process if that is no listening socket. Here it is an
error, and the descriptor stays the program's.
"""

from __future__ import annotations

import contextlib
import os
import socket as posix
from collections.abc import Iterable
from errno import EINVAL

from ..endpoint import Endpoint
from ..errors import error_for

__all__ = ["adopt"]


def adopt(fd: int, families: Iterable[int], endpoint: Endpoint) -> posix.socket:
    """Take a listening descriptor over: the socket returned owns it, made non-blocking and close-on-exec.

    Raises   ZMQError EBADF, ENOTSOCK  no descriptor, or not one of a socket.
             ZMQError EINVAL           not a listening stream socket of one of the `families`.
    """
    operand = f"USE_FD={fd}, addr={endpoint.text!r}"
    try:
        given = posix.socket(fileno=fd)
    except OSError as error:
        raise error_for(error.errno or EINVAL, operand) from None
    try:
        if given.family not in families or given.type != posix.SOCK_STREAM:
            raise error_for(EINVAL, f"not a stream socket for {endpoint.scheme}://: {operand}")
        if not given.getsockopt(posix.SOL_SOCKET, posix.SO_ACCEPTCONN):
            raise error_for(EINVAL, f"the socket does not listen: {operand}")
    except BaseException:
        given.detach()
        raise
    with contextlib.suppress(OSError):
        os.set_inheritable(fd, False)
    given.setblocking(False)
    return given
