"""The exceptions: which class stands for which errno, and what each one asks of its catcher.

Knows    pyzmq's exception classes (same bases, constructors and attributes), our own ForkedError, the texts
         of ZeroMQ's errnos, and how a code from native code becomes an exception (`error_for`, `raise_for`).
Refuses  to know sockets, contexts, native code, and who is to blame for an errno: the caller's detail does.

The text of every error made here is the system's text and then the operand: "Invalid argument (addr='x')".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from errno import EAGAIN, EHOSTUNREACH, EINTR, ENOMEM, ENOTSOCK
from types import MappingProxyType
from typing import Any, Final, NoReturn

from .constants import Errno

__all__ = [
    "CLASS_OF_ERRNO",
    "Again",
    "ContextTerminated",
    "DraftFDWarning",
    "ForkedError",
    "FormatError",
    "InterruptedSystemCall",
    "NotDone",
    "OutOfMemory",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "ZMQVersionError",
    "error_for",
    "raise_for",
    "strerror",
    "zmq_errno",
]

# The libzmq we answer for: what `zmq_version()` says, and what ZMQVersionError compares with.
_LIBZMQ_VERSION: Final = "4.3.5"

# zmq_strerror(3): libzmq has its own words for these; all others are the C library's.
_TEXTS: Final = MappingProxyType(
    {
        int(Errno.EFSM): "Operation cannot be accomplished in current state",
        int(Errno.ENOCOMPATPROTO): "The protocol is not compatible with the socket type",
        int(Errno.ETERM): "Context was terminated",
        int(Errno.EMTHREAD): "No thread available",
        EHOSTUNREACH: "Host unreachable",
    }
)


def strerror(errno: int) -> str:
    """Return ZeroMQ's text for `errno`; a number nobody knows gives "Unknown error N", never an exception.

    Source   zmq_strerror(3).
    """
    return _TEXTS.get(errno) or os.strerror(errno)


_last = threading.local()


def zmq_errno() -> int:
    """Return the errno of the last call that failed in this thread; 0 if none did.

    Source   zmq_errno(3).
    """
    return int(getattr(_last, "errno", 0))


class ZMQBaseError(Exception):
    """The base of all ZeroMQ exceptions. Catch a class below it: this one does not say what to do next."""


class ZMQError(ZMQBaseError):
    """A call failed; `errno` says why and `strerror` says it in words, with the operand.

    Next     look at `errno`: EINVAL and EPROTONOSUPPORT are mistakes of the calling program; EADDRINUSE and
             ENOENT need another endpoint; ENOTSOCK means the socket is closed; EFSM means send and recv are
             out of turn. The socket is as it was before the call.

    With errno None (or left out) `errno` is the last one of this thread, as `zmq_errno` says; with something
    that is not an integer, that is the text and `errno` is None. `msg` replaces the system's text.
    """

    errno: int | None = None
    strerror: str = ""

    def __init__(self, errno: Any = None, msg: str | None = None) -> None:
        """Make the error for `errno`, or for a bare text."""
        if errno is None:
            errno = zmq_errno()
        if isinstance(errno, int):
            self.errno = errno
            self.strerror = strerror(errno) if msg is None else msg
        else:
            self.strerror = str(errno)

    def __str__(self) -> str:
        """Return the text alone."""
        return self.strerror

    def __repr__(self) -> str:
        """Return the class and the text; the text is not escaped (pyzmq's rule, kept)."""
        return f"{type(self).__name__}('{self}')"


class Again(ZMQError):
    """Nothing could be sent or received within the time allowed (errno EAGAIN). Nothing has changed.

    Next     try again later, wait with a Poller, or raise SNDTIMEO or RCVTIMEO.

    The arguments are accepted and ignored.
    """

    def __init__(self, errno: Any = "ignored", msg: Any = "ignored") -> None:
        """Make the error; its errno and text are fixed."""
        super().__init__(Errno.EAGAIN)


class ContextTerminated(ZMQError):
    """The socket's context is being terminated (errno ETERM). What was not sent stays under LINGER.

    Next     close the socket and leave the loop: `term()` in another thread waits for exactly that.

    The arguments are accepted and ignored.
    """

    def __init__(self, errno: Any = "ignored", msg: Any = "ignored") -> None:
        """Make the error; its errno and text are fixed."""
        super().__init__(Errno.ETERM)


class InterruptedSystemCall(ZMQError, InterruptedError):  # type: ignore[misc]  # OSError: str | None
    """A signal ended the call (errno EINTR). Calls are retried after a signal, so this is a bug of ours.

    Next     repeat the call, and please report where it happened.

    The arguments are accepted and ignored.
    """

    # OSError keeps errno and strerror in slots of its own, which copying and pickling pass over. As class
    # attributes of ZMQError, which comes first in the MRO, both names lead to the instance's dictionary.

    def __init__(self, errno: Any = "ignored", msg: Any = "ignored") -> None:
        """Make the error; its errno and text are fixed."""
        super().__init__(EINTR)

    def __str__(self) -> str:
        """Return the text and the request to report it."""
        return f"{self.strerror}: this call should have been retried; please report it to shmzmq."


class OutOfMemory(ZMQError, MemoryError):
    """There is no memory for the message, and waiting would not help (errno ENOMEM). Ours; MemoryError too.

    Next     send less at a time, or raise SHM_MAX or ARENA_MAX. The message was not sent; what was sent
             before is delivered.

    The arguments are accepted and ignored.
    """

    def __init__(self, errno: Any = "ignored", msg: Any = "ignored") -> None:
        """Make the error; its errno and text are fixed."""
        super().__init__(ENOMEM)


class ForkedError(ZMQError):
    """The object was made by another process, from which this one was forked (errno ENOTSOCK). Ours.

    Next     make a new Context in the child and new sockets on it; the parent's go on undisturbed.

    `creator_pid` is the process that made the object, `pid` the one that used it.
    """

    def __init__(self, creator_pid: int = 0, what: str = "socket") -> None:
        """Make the error for a `what` that belongs to process `creator_pid`."""
        self.creator_pid = creator_pid
        self.pid = os.getpid()
        super().__init__(
            ENOTSOCK,
            f"{strerror(ENOTSOCK)} (this {what} was made by process {creator_pid} and does not work in its "
            f"forked child {self.pid}: make a new Context in the child)",
        )


class FormatError(ZMQBaseError, ValueError):
    """What was received is not what `recv_array` or `recv_pyobj` reads. Ours.

    Next     receive the next message: exactly this one is consumed. If it comes again, look at who sends:
             the peer speaks something else (read it with `recv_multipart`), or a newer version.
    """


class ZMQBindError(ZMQBaseError):
    """`bind_to_random_port` found no free port.

    Next     widen the range, raise max_tries, or bind to port `*` and read LAST_ENDPOINT.
    """


class NotDone(ZMQBaseError):
    """`MessageTracker.wait` ran out of time: the message's memory is still in use.

    Next     leave the buffer unchanged and wait again.
    """


class ZMQVersionError(NotImplementedError):
    """A feature needs a newer libzmq than the one we answer for.

    Next     do without the feature; `min_version` says what it needs, `version` what there is.
    """

    def __init__(self, min_version: str, msg: str = "Feature") -> None:
        """Make the error for the feature `msg`, which needs `min_version`."""
        self.min_version = min_version
        self.msg = msg
        self.version = _LIBZMQ_VERSION

    def __str__(self) -> str:
        """Return what is needed and what there is."""
        return f"{self.msg} requires libzmq >= {self.min_version}, have {self.version}"

    def __repr__(self) -> str:
        """Return the class and the text."""
        return f"{type(self).__name__}('{self}')"


class DraftFDWarning(RuntimeWarning):
    """The FD of a draft, thread-safe socket was asked for; pyzmq emulates it and warns.

    Next     nothing needs doing; silence it with `warnings.simplefilter("ignore", DraftFDWarning)`.
    """

    def __init__(self, msg: str = "") -> None:
        """Make the warning, with a text of its own unless `msg` brings one."""
        super().__init__(
            msg
            or "FD of a thread-safe draft socket is experimental: libzmq itself has none. "
            'Silence this with warnings.simplefilter("ignore", zmq.error.DraftFDWarning).'
        )


# Every other errno is a plain ZMQError.
CLASS_OF_ERRNO: Final[Mapping[int, type[Again | ContextTerminated | InterruptedSystemCall | OutOfMemory]]] = (
    MappingProxyType(
        {
            EAGAIN: Again,
            EINTR: InterruptedSystemCall,
            ENOMEM: OutOfMemory,
            int(Errno.ETERM): ContextTerminated,
        }
    )
)


def error_for(code: int, detail: str = "") -> ZMQError:
    """Make the exception for an errno: its own class, and the text "strerror (detail)".

    Returns  the class that CLASS_OF_ERRNO has, else a plain ZMQError.
    """
    _last.errno = code
    kind = CLASS_OF_ERRNO.get(code)
    error = ZMQError(code) if kind is None else kind()
    if detail:
        error.strerror = f"{error.strerror} ({detail})"
    return error


def raise_for(code: int, detail: str = "") -> NoReturn:
    """Raise what `error_for` makes; the native layer's one way to fail."""
    raise error_for(code, detail)
