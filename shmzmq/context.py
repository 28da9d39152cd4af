"""Context: owner of sockets and of the native runtime; the unit of shutdown.

Knows    which sockets it made, default options for new ones, what happens at interpreter exit and at the end
         of a `multiprocessing` child.
Refuses  to know transports and socket types.

Ending. `term` waits until every socket is closed and what they accepted has found its peer, within LINGER.
At interpreter exit every socket that is still open is closed and the same wait follows, because a message
that was accepted is not thrown away in silence; after five seconds one line on stderr says what is waited
for, and Ctrl-C ends it. Forked `multiprocessing` children run no atexit functions before Python 3.13: in
every such child a Finalize does it, within one second unless LINGER was set.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINVAL, ENOTSUP
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, overload
from weakref import WeakSet, WeakValueDictionary

from ._backend import NativeContext, close_counters, drain_log, set_shm_max, shm_max
from .attributes import ContextAttributes
from .constants import ContextOption, ShmOption, SocketOption, SocketType
from .errors import ForkedError, ZMQError, error_for
from .options import (
    ATTRIBUTES,
    CONTEXT_ATTRIBUTES,
    CONTEXT_OPTIONS,
    SOCKET_OPTIONS,
    SocketDefault,
    check_readable,
    context_row_for,
    declared,
    install,
    validate,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ._snapshot import ContextStats
    from .socket import Socket

    # With a default (PEP 696), so that a bare `Context` makes ordinary sockets.
    _SocketT_co = TypeVar("_SocketT_co", bound="Socket[Any]", covariant=True, default="Socket[bytes]")
    _OtherT = TypeVar("_OtherT")
else:
    from typing import TypeVar

    _SocketT_co = TypeVar("_SocketT_co", covariant=True)

__all__ = ["Context"]

_BLOCKY = SocketOption.BLOCKY
_EXIT_NOTICE_MS = 5000
_CHILD_FLUSH_MS = 1000

_contexts: WeakSet[Context[Any]] = WeakSet()
_by_address: WeakValueDictionary[int, Context[Any]] = WeakValueDictionary()
# Handles on native contexts whose objects went while sockets of theirs were open: garbage in one cycle.
_orphans: list[Context[Any]] = []
_finalizer: Any = None


class Context(NativeContext, ContextAttributes, Generic[_SocketT_co]):
    """Makes sockets.

    Shape    io_threads: threads that connect and accept, 1 or more; they start when first needed.
    Threads  any.
    Fork     a context made before a fork raises ForkedError in the child; make a new one there.
    """

    _instance: ClassVar[Context[Any] | None] = None
    _instance_lock: ClassVar[threading.Lock] = threading.Lock()
    _instance_pid: ClassVar[int | None] = None

    sockopts: dict[int, Any] = {}  # noqa: RUF012  # a declaration for __setattr__; each context has its own
    _socket_class: Callable[..., _SocketT_co]  # set by socket.py; a subclass names its own
    _repr_cls = "shmzmq.Context"
    _sockets: WeakSet[Socket[Any]]
    _closed: bool = True
    _shadow: bool = False
    _shadow_obj: Any = None
    _warns: bool = False
    _abandoned: bool = False
    _linger_was_set: bool = False

    @overload
    def __init__(self: Context[Socket[bytes]], io_threads: int = 1) -> None: ...
    @overload
    def __init__(self: Context[Socket[bytes]], io_threads: Context[Any], /) -> None: ...
    @overload
    def __init__(self: Context[Socket[bytes]], *, shadow: Context[Any] | int) -> None: ...
    def __init__(self, io_threads: int | Context[Any] = 1, shadow: Any = 0) -> None:
        """Make a context, or with `shadow` (or a Context in place of the number) another handle on one."""
        super().__init__()
        if isinstance(io_threads, Context):
            shadow, io_threads = io_threads, 1
        self.sockopts = {}
        self._sockets = WeakSet()
        self._cpus: set[int | bytes] = set()
        self._options = {row.number: row.default for row in CONTEXT_OPTIONS}
        if shadow:
            self._shadow_of(shadow)
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
        if _orphans and not self._shadow:
            _end_orphans()
        if not self._shadow:
            _by_address[self._identity()] = self
        _flush_in_children()

    def _shadow_of(self, shadow: Any) -> None:
        # Anything that carries the address of a context of ours will do: other kinds of contexts wrap one.
        other = shadow if isinstance(shadow, (Context, int)) else getattr(shadow, "underlying", shadow)
        if isinstance(other, int):
            other = _by_address.get(other, other)
        if not isinstance(other, (Context, int)):
            raise ValueError(f"Cannot cast {shadow!r} to int")
        if isinstance(other, int):
            raise error_for(EINVAL, f"shadow={shadow!r} is not a context of this process")
        self._share(other)
        self._shadow, self._shadow_obj = True, shadow
        # One native context has one set of options.
        self._options, self._cpus = other._options, other._cpus

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
        """A number that names the native context in this process; 0 once it has ended."""
        return 0 if self._closed else self._identity()

    @property
    def closed(self) -> bool:
        """True after term or destroy."""
        return self._closed

    @overload
    def socket(self, socket_type: int, socket_class: None = None, **kwargs: Any) -> _SocketT_co: ...
    @overload
    def socket(self, socket_type: int, socket_class: Callable[..., _OtherT], **kwargs: Any) -> _OtherT: ...
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
        for option, value in self.sockopts.items():
            with suppress(ZMQError):  # what does not apply to this type is skipped (pyzmq's rule, kept)
                made.setsockopt(option, value)
        self._add_socket(made)
        return made

    def _give_defaults(self, socket: Socket[Any]) -> None:
        """Set what the context's own options say about every new socket of it."""
        if not self._options[_BLOCKY]:
            socket.set(SocketOption.LINGER, 0)
        if self._options[SocketOption.IPV6]:
            socket.set(SocketOption.IPV6, 1)

    def _add_socket(self, socket: Any) -> None:
        """Track a socket for `destroy`."""
        self._sockets.add(socket)

    def _rm_socket(self, socket: Any) -> None:
        """Stop tracking a socket; whether its LINGER was set by hand counts at the end of a child."""
        self._linger_was_set |= socket._linger_was_set
        self._sockets.discard(socket)

    def term(self, timeout: float | None = None) -> None:
        """End the context: waits until all sockets are closed and have lingered.

        Shape    timeout: seconds; None waits for ever (Ctrl-C ends the wait).
        Raises   ZMQError EAGAIN  the time was over; the text names what is waited for, and `term` may be
                                  called again.
        """
        if self._closed:
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
        if not self._closed:
            self._close_sockets(linger)
            self.term()

    def _close_sockets(self, linger: int | None = None) -> None:
        for socket in list(self._sockets):
            if not socket.closed:
                if self._warns:
                    text = f"Destroying context with unclosed socket {socket}"
                    warnings.warn(text, ResourceWarning, stacklevel=4, source=socket)
                socket.close(linger)

    def stats(self) -> ContextStats:
        """Counters of every socket of this context that is open or lingers, of its peers, and their sums.

        Returns  {"id", "sockets": [{"type", "endpoints", "counters", "peers", ...}], "totals", "peers"}.
        Threads  any; takes each socket's lock for a moment.
        Source   docs/guide/watching.md; what a name means: `_snapshot.py`.
        """
        from ._snapshot import context_of

        self._check_open()
        return context_of(self._snapshot())

    def set(self, option: int, optval: int) -> None:
        """Set a context option. Raises ZMQError EINVAL with number and value."""
        self._check_open()
        row = context_row_for(index(option), optval)
        value = validate(row, optval)
        if option == ContextOption.SOCKET_LIMIT:
            return  # written it is THREAD_PRIORITY; what is read under the number is not what was written
        if option == ContextOption.THREAD_AFFINITY_CPU_ADD:
            self._cpus.add(value)
        elif option == ContextOption.THREAD_AFFINITY_CPU_REMOVE:
            if value not in self._cpus:
                raise error_for(EINVAL, f"CPU {value!r} was not added")
            self._cpus.remove(value)
        elif option == ContextOption.IO_THREADS:
            self._set_io_threads(int(value))
        elif option == ContextOption.MAX_SOCKETS:
            self._set_max_sockets(int(value))
        elif option == ShmOption.SHM_MAX:
            set_shm_max(int(value))
        self._options[row.number] = value

    def get(self, option: int) -> int:
        """Read a context option. Raises ZMQError EINVAL for a number that is none, or cannot be read."""
        self._check_open()
        row = context_row_for(index(option))
        check_readable(row)
        if row.number == ShmOption.SHM_MAX:
            return shm_max()[0]  # of the process, whichever context set it
        return int(self._options[row.number] or 0)

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

    if not TYPE_CHECKING:  # type checkers know the options by name, from ContextAttributes

        def __setattr__(self, name: str, value: Any) -> None:
            if not declared(self, name):
                name = self._spelled(name)
            object.__setattr__(self, name, value)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):  # asked for while there is nothing yet, by copying say
                raise AttributeError(name)
            return getattr(self, self._spelled(name))

        def __delattr__(self, name: str) -> None:
            object.__delattr__(self, name if declared(self, name) else self._spelled(name))

    def _spelled(self, name: str) -> str:
        """The upper-case name of an option written in any mixture of cases (pyzmq's rule, kept)."""
        upper = name.upper()
        if name in ATTRIBUTES:  # it has no default
            raise AttributeError(upper)
        if upper not in CONTEXT_ATTRIBUTES and upper not in ATTRIBUTES:
            raise AttributeError(f"{type(self).__name__} has no such option: {upper}")
        return upper

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *CONTEXT_ATTRIBUTES})

    def __copy__(self, memo: Any = None) -> Self:
        return type(self).shadow(self)

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        kind = type(self)
        # A subclass that does not name itself is named by its module (pyzmq's rule, kept).
        shown = vars(kind).get("_repr_cls", f"{kind.__module__}.{kind.__name__}")
        count = len(self._sockets)
        sockets = f"{count} socket{'s' if count > 1 else ''}" if count else ""
        return f"<{shown}({sockets}) at {id(self):#x}{' closed' if self._closed else ''}>"

    def __del__(self) -> None:
        if self._closed or self._shadow or self._abandoned or _exiting or self._pid != os.getpid():
            return
        self._warns = True
        warnings.warn(f"Unclosed context {self!r}", ResourceWarning, stacklevel=2, source=self)
        self._close_sockets()
        if any(line.endswith("is open") for line in self._blockers()):
            self._bequeath()
        else:
            self.term()

    def _bequeath(self) -> None:
        """Leave the native context to another object, because waiting for its sockets would never end.

        They are garbage too, closed by their own destructors after this one.
        """
        heir: Context[Any] = Context(self)
        heir._shadow = False
        _orphans.append(heir)
        self._closed = True


install(Context, [row for row in CONTEXT_OPTIONS if row.name in CONTEXT_ATTRIBUTES])
install(Context, SOCKET_OPTIONS, SocketDefault)

_RECEIVERS = (SocketType.PULL, SocketType.SUB)

_exiting = False
_child_is_flushed = False


def _end_orphans() -> None:
    """Finish the contexts without an object whose sockets are gone by now."""
    for orphan in list(_orphans):
        if orphan._pid != os.getpid() or orphan._wait_empty(0):
            orphan._abandoned = True
            _orphans.remove(orphan)
            if orphan._pid == os.getpid():
                orphan.term()


def _close_all(contexts: list[Context[Any]], timeout_ms: int | None) -> bool:
    """Close every open socket of `contexts` and wait for what they accepted; False if time ran out.

    Those that only receive come last: what a daemon thread sends meanwhile, to a socket of this very program,
    would find nobody who takes it.
    """
    sockets = [socket for context in contexts for socket in list(context._sockets)]
    for socket in sorted(sockets, key=lambda socket: socket.type in _RECEIVERS):
        socket.close()
    return all([context._wait_empty(timeout_ms) for context in contexts])


def _ours() -> list[Context[Any]]:
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
    # In children of 3.13 this comes before the finalizers, in spawned ones of older Pythons after them.
    if _finalizer is not None and _finalizer.still_active():
        _finalizer()
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
    sockets = [socket for context in contexts for socket in list(context._sockets)]
    set_by_hand = any(each._linger_was_set for each in contexts) or any(s._linger_was_set for s in sockets)
    _close_all(contexts, None if set_by_hand else _CHILD_FLUSH_MS)
    close_counters()


def _flush_in_children() -> None:
    """Register the flush in a `multiprocessing` child, which may run no atexit functions.

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
