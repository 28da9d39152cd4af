"""Context: owner of sockets and of the native runtime; the unit of shutdown.

Knows    which sockets it made, default options for new ones, what happens at interpreter exit and at the end
         of a `multiprocessing` child.
Refuses  to know transports and socket types.

Ending. `term` waits until every socket is closed and what they accepted has found its peer, within LINGER.
At interpreter exit every socket that is still open is closed and the same wait follows, because a message
that was accepted is not thrown away in silence; after five seconds one line on stderr says what is waited
for, and Ctrl-C ends it. Forked `multiprocessing` children run no atexit functions: in every such child a
Finalize does it, within one second unless LINGER was set.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
from collections.abc import Callable
from errno import EAGAIN, EINVAL, ENOTSUP
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakSet, WeakValueDictionary

from ._backend import NativeContext, drain_log
from .constants import ContextOption, SocketOption
from .errors import ForkedError, ZMQError, error_for
from .options import (
    CONTEXT_ATTRIBUTES,
    CONTEXT_OPTIONS,
    SOCKET_OPTIONS,
    SocketDefault,
    context_row_for,
    declared,
    install,
    validate,
)

if TYPE_CHECKING:
    from .socket import Socket

__all__ = ["Context"]

_BLOCKY = SocketOption.BLOCKY
_EXIT_NOTICE_MS = 5000
_CHILD_FLUSH_MS = 1000

_contexts: WeakSet[Context] = WeakSet()
_by_address: WeakValueDictionary[int, Context] = WeakValueDictionary()
_finalizer: Any = None


class Context(NativeContext):
    """Makes sockets.

    Shape    io_threads: threads that connect and accept, 1 or more; they start when first needed.
    Threads  any.
    Fork     a context made before a fork raises ForkedError in the child; make a new one there.
    """

    _instance: ClassVar[Context | None] = None
    _instance_lock: ClassVar[threading.Lock] = threading.Lock()
    _instance_pid: ClassVar[int] = 0

    sockopts: dict[int, Any] = {}  # noqa: RUF012  # a declaration for __setattr__; each context has its own
    _sockets: WeakSet[Socket]
    _closed: bool = True
    _shadow: bool = False
    _warns: bool = False
    _abandoned: bool = False

    def __init__(self, io_threads: int | Context = 1, shadow: Any = None) -> None:
        """Make a context, or with `shadow` (or a Context in place of the number) another handle on one."""
        super().__init__()
        if isinstance(io_threads, Context):
            shadow, io_threads = io_threads, 1
        self.sockopts = {}
        self._sockets = WeakSet()
        self._options = {row.number: row.default for row in CONTEXT_OPTIONS}
        if isinstance(shadow, Context):
            self._share(shadow)
            self._shadow = True
        elif shadow:
            known = _by_address.get(shadow) if isinstance(shadow, int) else None
            if known is None:
                raise error_for(EINVAL, f"shadow={shadow!r} is not a context of this process")
            self._share(known)
            self._shadow = True
        else:
            if not isinstance(io_threads, int):
                raise TypeError(f"io_threads is an int, got {io_threads!r}")
            if io_threads < 0:
                raise error_for(EINVAL, f"io_threads={io_threads}")
            self._open(io_threads)
            self._options[ContextOption.IO_THREADS] = io_threads
        self._closed = False
        self._pid = os.getpid()
        _contexts.add(self)
        if not self._shadow:
            _by_address[self._identity()] = self
        _flush_in_children()

    @classmethod
    def instance(cls, io_threads: int = 1) -> Self:
        """Return the process' own context; a new one after a fork or when the last was closed."""
        with cls._instance_lock:
            found = cls._instance
            if (
                found is None
                or found.closed
                or cls._instance_pid != os.getpid()
                or not isinstance(found, cls)
            ):
                found = cls(io_threads=io_threads)
                cls._instance = found
                cls._instance_pid = os.getpid()
            return found

    @classmethod
    def shadow(cls, address: Any) -> Self:
        """Return another handle on an existing context."""
        return cls(shadow=address)

    @property
    def underlying(self) -> int:
        """A number that names the native context in this process."""
        return self._identity()

    @property
    def closed(self) -> bool:
        """True after term or destroy."""
        return self._closed

    @property
    def _socket_class(self) -> Callable[..., Any]:
        from .socket import Socket

        return Socket

    def socket(self, socket_type: int, socket_class: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        """Make a socket of this context; default options set on the context are applied where they fit.

        Raises   ZMQError ENOTSUP  this context is closed (pyzmq's rule, kept).
                 ZMQError EINVAL   no such socket type.
                 ZMQError EMFILE   MAX_SOCKETS are open.
        """
        if self._closed:
            raise ZMQError(ENOTSUP)
        self._check_open()
        drain_log()
        made = (socket_class or self._socket_class)(self, socket_type, **kwargs)
        if not self._options[_BLOCKY]:
            made.set(SocketOption.LINGER, 0)
        for option, value in self.sockopts.items():
            try:
                made.set(option, value)
            except ZMQError as error:
                # An option that does not apply to this type is skipped (pyzmq's rule, kept).
                if error.errno != EINVAL:
                    raise
        self._sockets.add(made)
        return made

    def term(self, timeout: float | None = None) -> None:
        """End the context: waits until all sockets are closed and have lingered.

        Shape    timeout: seconds; None waits for ever (Ctrl-C ends the wait).
        Raises   ZMQError EAGAIN  the time was over; the text names what is waited for, and `term` may be
                                  called again.
        """
        if self._closed or self._shadow:
            self._closed = True
            return
        try:
            self._check_process()
        except ForkedError:
            self._closed = True
            return
        self._terminate()
        # Whoever interrupts this wait does not want it begun again by the destructor or at exit.
        self._abandoned = True
        waited = self._wait_empty(None if timeout is None else int(timeout * 1000))
        self._abandoned = False
        if not waited:
            raise ZMQError(EAGAIN, f"term: after {timeout:g} s still there: {'; '.join(self._blockers())}")
        self._finish()
        self._closed = True
        drain_log()

    def destroy(self, linger: int | None = None) -> None:
        """Close every socket made by this context, with `linger` milliseconds if given, then `term`."""
        if self._closed:
            return
        for socket in list(self._sockets):
            if not socket.closed:
                if self._warns:
                    warnings.warn(
                        f"Destroying context with unclosed socket {socket}", ResourceWarning, stacklevel=3
                    )
                socket.close(linger)
        self._sockets.clear()
        self.term()

    def set(self, option: int, optval: int) -> None:
        """Set a context option. Raises ZMQError EINVAL with number and value."""
        self._check_open()
        row = context_row_for(option)
        value = validate(row, optval)
        if option == ContextOption.IO_THREADS:
            self._set_io_threads(int(value))
        elif option == ContextOption.MAX_SOCKETS:
            self._set_max_sockets(int(value))
        self._options[row.number] = value

    def get(self, option: int) -> int:
        """Read a context option. Raises ZMQError EINVAL for a number that is none."""
        self._check_open()
        return int(self._options[context_row_for(option).number] or 0)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Context has been destroyed")
        try:
            self._check_process()
        except ForkedError:
            # Without sockets there is nothing of the parent's to harm: go on with a new runtime.
            if any(not socket.closed or socket._pid != os.getpid() for socket in list(self._sockets)):
                raise
            self._open(int(self._options[ContextOption.IO_THREADS] or 1))
            self._pid = os.getpid()

    def setsockopt(self, opt: int, value: Any) -> None:
        """Set the default of a socket option for sockets made from now on."""
        self.sockopts[int(opt)] = value

    def getsockopt(self, opt: int) -> Any:
        """Read the default of a socket option for new sockets. Raises KeyError if none was set."""
        return self.sockopts[int(opt)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._warns = True
        self.destroy()

    def __setattr__(self, name: str, value: Any) -> None:
        if not declared(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no such option: {name.upper()}")
        object.__setattr__(self, name, value)

    def __copy__(self, memo: Any = None) -> Self:
        return type(self).shadow(self)

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        if self._closed:
            state = "closed"
        else:
            count = sum(not socket.closed for socket in self._sockets)
            state = f"{count} socket{'' if count == 1 else 's'}"
        return f"<shmzmq.Context({state}) at {id(self):#x}>"

    def __del__(self) -> None:
        if self._closed or self._shadow or self._abandoned or _exiting or self._pid != os.getpid():
            return
        warnings.warn(f"unclosed context {self!r}", ResourceWarning, stacklevel=2, source=self)
        self.term()


install(Context, [row for row in CONTEXT_OPTIONS if row.name in CONTEXT_ATTRIBUTES])
install(Context, SOCKET_OPTIONS, SocketDefault)

_exiting = False
_child_is_flushed = False


def _close_all(contexts: list[Context], timeout_ms: int | None) -> bool:
    """Close every open socket of `contexts` and wait for what they accepted; False if time ran out."""
    for context in contexts:
        for socket in list(context._sockets):
            socket.close()
    return all([context._wait_empty(timeout_ms) for context in contexts])


def _ours() -> list[Context]:
    pid = os.getpid()
    return [
        context
        for context in list(_contexts)
        if not context.closed and context._pid == pid and not context._shadow
    ]


@atexit.register
def _at_exit() -> None:
    global _exiting  # noqa: PLW0603
    _exiting = True
    contexts = _ours()
    # A spawned child comes here after its Finalize, which has waited as long as a child may.
    if _child_is_flushed or _close_all(contexts, _EXIT_NOTICE_MS):
        return
    waiting = "; ".join(line for context in contexts for line in context._blockers())
    print(f"shmzmq: waiting at exit for messages to be taken (LINGER): {waiting}", file=sys.stderr)
    for context in contexts:
        try:
            context._wait_empty()
        except KeyboardInterrupt:
            return


def _flush_child() -> None:
    """The end of a `multiprocessing` child."""
    global _child_is_flushed  # noqa: PLW0603
    _child_is_flushed = True
    contexts = _ours()
    set_by_hand = any(socket._linger_was_set for context in contexts for socket in list(context._sockets))
    _close_all(contexts, None if set_by_hand else _CHILD_FLUSH_MS)


def _flush_in_children() -> None:
    """Register the flush in a `multiprocessing` child, which runs no atexit functions.

    The registry is emptied when the child's target begins, so this is asked again with every context and
    socket. Nothing of `multiprocessing` is imported that the program has not imported.
    """
    global _finalizer  # noqa: PLW0603
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return
    if _finalizer is not None and _finalizer.still_active():
        return
    from multiprocessing.util import Finalize

    _finalizer = Finalize(None, _flush_child, exitpriority=-10)
