"""The counters files of processes: which there are, whose owner lives, what they say when they are asked.

Knows    names, locks and the header of such a file (native/core/src/counters/file.rs).
Refuses  to know sockets, and to trust a file: it may be damaged, foreign, or made to harm who reads it.

Theory of operation. The owner of a file holds `flock` on it for life. Whoever gets that lock knows that the
owner is dead, and only then may the file go (K-1); a pid says nothing, since it may be one of another pid
namespace. A living owner is asked by writing another number into its file and waking it; it answers with a
snapshot. A process that is stopped does not answer, and is shown as it was.

Source: flock(2), shm_overview(7), pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import struct
import time
from collections.abc import Iterator
from typing import Final

from .._backend import wake_counters
from .._snapshot import Malformed

__all__ = ["Dead", "File", "answers", "dead_files", "living_files", "names"]

FOLDER: Final = "/dev/shm"
_NAME: Final = re.compile(r"shmzmq-(\d{1,10})-(\d{1,10})-[0-9a-f]{16}", re.ASCII)
_HEADER: Final = struct.Struct("<8sIIIIQQ")
_WORD: Final = struct.Struct("<I")
_MAGIC: Final = b"shmzmqK\0"
_FORMAT: Final = 1
_ASKED_AT: Final = 16
_TEXT_MAX: Final = 4 << 20
_TRIES: Final = 20
_PAUSE_S: Final = 0.0005


class File:
    """An open counters file. Closing it lets go of a lock that was taken by it."""

    def __init__(self, name: str, fd: int, *, writable: bool) -> None:
        self.name = name
        self.path = f"{FOLDER}/{name}"
        self.fd = fd
        self.writable = writable
        self.dead = False
        _, uid, pid, _ = name.split("-")
        self.uid, self.pid = int(uid), int(pid)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)

    def is_dead(self) -> bool:
        """Take the lock if its owner is dead, and keep it until the file is closed."""
        if not self.dead:
            with contextlib.suppress(OSError):
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.dead = True
        return self.dead

    def remove(self) -> bool:
        """Remove the file, which is known to be dead; False if it could not be."""
        with contextlib.suppress(OSError):
            found, ours = os.lstat(self.path), os.fstat(self.fd)
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                os.unlink(self.path)
                return True
        return False

    def _header(self) -> tuple[int, int, int, int, int]:
        """Offset of the text, asked, answered, sequence, bytes. Raises Malformed."""
        head = os.pread(self.fd, _HEADER.size, 0)
        if len(head) != _HEADER.size:
            raise Malformed("the file is too short")
        magic, version, offset, asked, answered, sequence, size = _HEADER.unpack(head)
        if magic != _MAGIC:
            raise Malformed("it is no counters file")
        if version != _FORMAT:
            raise Malformed(f"format {version}, and this shmzmq reads {_FORMAT}")
        return offset, asked, answered, sequence, size

    def ask(self) -> int | None:
        """Ask the owner for a snapshot; returns what `answered` will be, None if it cannot be asked."""
        with contextlib.suppress(OSError, Malformed):
            asked = (self._header()[1] + 1) & 0xFFFFFFFF
            if self.writable:
                os.pwrite(self.fd, _WORD.pack(asked), _ASKED_AT)
                if wake_counters(self.fd):
                    return asked
        return None

    def has_answered(self, asked: int) -> bool:
        """True when the owner has answered that question or a later one."""
        try:
            answered = self._header()[2]
        except (OSError, Malformed):
            return True  # there is nothing to wait for
        return (answered - asked) & 0xFFFFFFFF < 1 << 31

    def text(self) -> bytes:
        """Return the newest snapshot. Raises Malformed, also if there is none."""
        for _ in range(_TRIES):
            offset, _asked, _answered, sequence, size = self._header()
            if sequence == 0:
                raise Malformed("it never answered")
            if offset > _TEXT_MAX or size > _TEXT_MAX:
                raise Malformed(f"a text of {size} bytes at {offset}")
            text = os.pread(self.fd, size, offset)
            # K-2: not while it was being written.
            if sequence % 2 == 0 and self._header()[3] == sequence:
                if len(text) != size:
                    raise Malformed("the file is too short")
                return text
            time.sleep(_PAUSE_S)
        raise Malformed("it is being written all the time")


def names(uid: int | None = None) -> list[str]:
    """Return the names of all counters files, or of those of one user."""
    try:
        found = [(name, _NAME.fullmatch(name)) for name in sorted(os.listdir(FOLDER))]
    except OSError:
        return []
    return [name for name, match in found if match and (uid is None or int(match[1]) == uid)]


def _opened(name: str) -> File | None:
    """Open a file by name; None if it is not what its name says or is not ours to open."""
    for flags, writable in ((os.O_RDWR, True), (os.O_RDONLY, False)):
        # Somebody else's FIFO or link under that name leads us nowhere.
        with contextlib.suppress(OSError):
            fd = os.open(f"{FOLDER}/{name}", flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            file = File(name, fd, writable=writable)
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode) and facts.st_uid == file.uid and facts.st_nlink == 1:
                return file
            file.close()
            return None
    return None


@contextlib.contextmanager
def _all(uid: int | None) -> Iterator[list[File]]:
    files = [file for name in names(uid) if (file := _opened(name)) is not None]
    try:
        yield files
    finally:
        for file in files:
            file.close()


class Dead:
    """A file whose owner is dead.

    removed  False: it could not be, or was not to be.
    """

    def __init__(self, file: File, size: int, *, removed: bool) -> None:
        self.path, self.pid, self.size, self.removed = file.path, file.pid, size, removed


def dead_files(uid: int | None, *, remove: bool) -> list[Dead]:
    """Return the files whose owners are dead, and remove them if asked."""
    with _all(uid) as files:
        return [
            Dead(file, os.fstat(file.fd).st_size, removed=remove and file.remove())
            for file in files
            if file.is_dead()
        ]


@contextlib.contextmanager
def living_files(uid: int | None) -> Iterator[list[File]]:
    """Give the files whose owners live; those of the dead are removed."""
    with _all(uid) as files:
        yield [file for file in files if not (file.is_dead() and (file.remove() or True))]


def answers(files: list[File], patience: float) -> dict[str, bool]:
    """Ask them all and wait at most so many seconds; by name, whether each has answered.

    One that dies meanwhile is not waited for: its file goes, and its name is not in the answer.
    """
    asked = {file.name: file.ask() for file in files}
    waiting = [(file, number) for file in files if (number := asked[file.name]) is not None]
    end = time.monotonic() + patience
    while True:
        waiting = [
            (file, number)
            for file, number in waiting
            if not file.has_answered(number) and not (file.is_dead() and (file.remove() or True))
        ]
        if not waiting or time.monotonic() >= end:
            break
        time.sleep(_PAUSE_S)
    silent = {file.name for file, _ in waiting}
    return {
        file.name: asked[file.name] is not None and file.name not in silent for file in files if not file.dead
    }
