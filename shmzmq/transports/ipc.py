"""ipc://: a UNIX stream socket by which two processes find each other; messages go through shared memory.

Theory of operation. The file at the path is all that a binder owns in the file system, and the rules are:

    path free           bind it
    somebody listens    EADDRINUSE that names the owner's pid; with takeover, bind a second name in the same
                        directory and rename it over the path: the old owner keeps its connections
    nobody listens      the owner died: remove the file, bind it
    not a socket        EADDRINUSE; files of other kinds are never removed

"Somebody listens" is asked by connecting. Two binders that ask at the same time are kept apart by flock on
the directory; no lock file is made. The lock is held for these few calls only. On close the file is removed
if it is still ours (device and inode as after bind), before close returns.

Source: unix(7), flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket as posix
import stat
import struct
import tempfile
from collections.abc import Iterator
from errno import EADDRINUSE, ECONNREFUSED, ENOENT, ENOTDIR
from typing import Final

from .._backend import NativeSocket
from ..constants import Event
from ..endpoint import Endpoint
from ..errors import ZMQError, error_for
from .base import BindPlan, Bound, ConnectPlan
from .given import adopt

__all__ = ["IpcTransport", "remove_abandoned"]

_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)


class IpcTransport:
    """Paths, abstract names and the wildcard."""

    def bind(self, socket: NativeSocket, endpoint: Endpoint, plan: BindPlan) -> Bound:
        """Listen on the endpoint.

        Raises   ZMQError EADDRINUSE  somebody listens there, or the file is no socket; the text says who.
                 ZMQError ENOENT      the directory does not exist.
                 ZMQError             what the system said, with the path.
        """
        if plan.use_fd >= 0:
            return _bind_given(socket, endpoint, plan)
        if endpoint.kind == "abstract":
            return self._bind_abstract(socket, endpoint, plan)
        if endpoint.kind == "wildcard":
            return self._bind_wildcard(socket, plan)
        path = os.path.abspath(os.fsdecode(endpoint.encoded_address))
        with _listener(socket, endpoint) as listener:
            lease = _listen_path(listener, endpoint, path, plan)
        return _hand_over(socket, endpoint.text, listener, lease)

    def connect(self, socket: NativeSocket, endpoint: Endpoint, plan: ConnectPlan) -> Bound:
        """Dial the endpoint, again and again until somebody listens."""
        address = endpoint.encoded_address
        if endpoint.kind == "abstract":
            return Bound(endpoint.text, socket._connect_abstract(address[1:]))
        return Bound(endpoint.text, socket._connect_path(address))

    def other_text(self, socket: NativeSocket, endpoint: Endpoint) -> str | None:
        """None: a path is kept as it was given."""
        return None

    def _bind_abstract(self, socket: NativeSocket, endpoint: Endpoint, plan: BindPlan) -> Bound:
        with _listener(socket, endpoint) as listener:
            try:
                listener.bind(b"\0" + endpoint.encoded_address[1:])
                listener.listen(plan.backlog)
            except OSError as error:
                raise error_for(error.errno or 0, f"addr={endpoint.text!r}") from None
        return _hand_over(socket, endpoint.text, listener, None)

    def _bind_wildcard(self, socket: NativeSocket, plan: BindPlan) -> Bound:
        directory = tempfile.mkdtemp(prefix="shmzmq-")
        path = os.path.join(directory, "socket")
        endpoint = Endpoint("ipc", path, f"ipc://{path}", "path")
        try:
            with _listener(socket, endpoint) as listener:
                lease = _listen_path(listener, endpoint, path, plan)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        lease.directory = directory
        return _hand_over(socket, endpoint.text, listener, lease)


class _PathLease:
    """A socket file that we made: removed once, and only if it is still that file."""

    directory: str | None = None

    def __init__(self, path: str, identity: tuple[int, int]) -> None:
        self.path = path
        self.identity = identity
        self.pid = os.getpid()

    def release(self) -> None:
        """Remove the file, and the directory that was made for it."""
        if self.pid != os.getpid():
            return  # a forked child must not take its parent's path away
        self.pid = -1
        with contextlib.suppress(OSError), _locked_directory(self.path):
            if _identity(self.path) == self.identity:
                os.unlink(self.path)
        if self.directory is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self.directory)


def _bind_given(socket: NativeSocket, endpoint: Endpoint, plan: BindPlan) -> Bound:
    """Listen on the descriptor of USE_FD. Its socket file is its maker's: it is left alone at the end."""
    listener = adopt(plan.use_fd, (posix.AF_UNIX,), endpoint)
    name = listener.getsockname()
    path = f"@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else name
    return _hand_over(socket, f"ipc://{path}", listener, None)


def _new_socket() -> posix.socket:
    return posix.socket(posix.AF_UNIX, posix.SOCK_STREAM | posix.SOCK_NONBLOCK | posix.SOCK_CLOEXEC)


@contextlib.contextmanager
def _listener(socket: NativeSocket, endpoint: Endpoint) -> Iterator[posix.socket]:
    """Make the socket to listen on; if the block fails it is closed, and a monitor hears of it."""
    listener = _new_socket()
    try:
        yield listener
    except BaseException as error:
        fd = listener.fileno()
        listener.close()
        if isinstance(error, ZMQError):
            socket._emit(Event.CLOSED, fd, _encoded(endpoint.text))
            socket._emit(Event.BIND_FAILED, error.errno or 0, endpoint.encoded_address)
        raise


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _hand_over(socket: NativeSocket, text: str, listener: posix.socket, lease: _PathLease | None) -> Bound:
    """Give the listening fd to native code; undo everything if it does not take it."""
    try:
        number = socket._listen(listener.detach(), _encoded(text))
    except BaseException:
        if lease is not None:
            lease.release()
        raise
    return Bound(text, number, lease)


@contextlib.contextmanager
def _locked_directory(path: str) -> Iterator[None]:
    """Keep other binders of this directory out. Without permission to read it there is no lock."""
    directory = os.path.dirname(path) or "."
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _listen_path(listener: posix.socket, endpoint: Endpoint, path: str, plan: BindPlan) -> _PathLease:
    try:
        if plan.file_mode >= 0:
            # The file is born with the mode of the socket's own inode, less the umask; so it is never
            # wider than asked, not even for a moment (Linux, checked).
            os.fchmod(listener.fileno(), plan.file_mode)
        with _locked_directory(path):
            _claim(listener, endpoint, path, plan)
            if plan.file_mode >= 0:
                os.chmod(path, plan.file_mode)
            lease = _PathLease(path, _identity(path))
            try:
                listener.listen(plan.backlog)
            except BaseException:
                os.unlink(path)
                raise
        return lease
    except OSError as error:
        if isinstance(error, ZMQError):
            raise
        raise _explain(error, endpoint, path) from None


def _explain(error: OSError, endpoint: Endpoint, path: str) -> ZMQError:
    operand = f"addr={endpoint.text!r}"
    if error.errno in (ENOENT, ENOTDIR):
        return error_for(
            error.errno, f'for ipc path "{path}": is there a directory {os.path.dirname(path)}? {operand}'
        )
    return error_for(error.errno or 0, operand)


def _claim(listener: posix.socket, endpoint: Endpoint, path: str, plan: BindPlan) -> None:
    """Bind the path by the rules above. The directory is locked."""
    try:
        listener.bind(path)
        return
    except OSError as error:
        if error.errno != EADDRINUSE:
            raise
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise error_for(EADDRINUSE, f"the file exists and is no socket: addr={endpoint.text!r}")
    owner = _owner(path)
    if owner is None:
        os.unlink(path)
        listener.bind(path)
    elif plan.takeover:
        _replace(listener, path)
    else:
        who = f"process {owner} listens there" if owner else "somebody listens there"
        raise error_for(EADDRINUSE, f"{who}: addr={endpoint.text!r}")


def _owner(path: str) -> int | None:
    """The pid of the process that listens on the path; 0 if it cannot be told; None if nobody listens."""
    with _new_socket() as probe:
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno in (ECONNREFUSED, ENOENT):
                return None
            return 0  # EAGAIN: its backlog is full; EACCES: it is somebody else's
        pid, _uid, _gid = _CREDENTIALS.unpack(
            probe.getsockopt(posix.SOL_SOCKET, posix.SO_PEERCRED, _CREDENTIALS.size)
        )
        return int(pid)


def remove_abandoned(path: str, *, dry_run: bool = False) -> bool:
    """Remove a socket file at which nobody listens, and the directory that `ipc://*` made for it.

    Returns  True if it was removed, or would have been; False if somebody listens there or it is no socket.
    Raises   OSError  it is not there, or may not be removed.
    """
    path = os.path.abspath(path)
    with _locked_directory(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode) or _owner(path) is not None:
            return False
        if not dry_run:
            os.unlink(path)
    directory, name = os.path.split(path)
    if not dry_run and name == "socket" and os.path.basename(directory).startswith("shmzmq-"):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return True


def _replace(listener: posix.socket, path: str) -> None:
    """Bind another name in the directory and rename it over the path: at no moment is nobody there."""
    directory, name = os.path.split(path)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # By way of the fd the name fits a socket address however long the directory's path is.
        other = f"/proc/self/fd/{fd}/.{os.getpid():x}"
        listener.bind(other)
        os.rename(f".{os.getpid():x}", name, src_dir_fd=fd, dst_dir_fd=fd)
    finally:
        os.close(fd)
