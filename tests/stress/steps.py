"""Counting the instructions of a thread by single steps, which needs no counter of the CPU and no tool.

The counted process is a child that asks to be traced (ptrace(2), PTRACE_TRACEME) when it is warm, and calls
`mark` between the things to be counted. From the first mark on the kernel stops its main thread behind every
instruction, and the parent notes the address. Its other threads run on as ever: what they do is not counted,
and they have all the time they want beside a thread that is some thousand times slower. So a count is the
same on a slow machine and on a busy one.

By the addresses, what is counted are the instructions of one file, whichever interpreter and libc are around
it, and the system calls. A string instruction that repeats (`rep movsb`) would stop once a round; there is
none in our file.
This file knows no socket.
"""

from __future__ import annotations

import collections
import ctypes
import errno
import os
import platform
import signal
from pathlib import Path
from typing import NamedTuple

MARK, END = signal.SIGUSR1, signal.SIGUSR2

# Of <sys/ptrace.h> and <sys/user.h>, x86-64.
TRACEME, PEEKTEXT, PEEKUSER, SINGLESTEP, DETACH, SETOPTIONS = 0, 1, 3, 9, 17, 0x4200
EXITKILL = 0x100000
RIP = 16 * 8
SYSCALL, SYSCALL_MASK = 0x050F, 0xFFFF  # the first bytes of the instruction, little-endian

REFUSED = 77
"""Exit status of a child that may not be traced."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long] * 4
_libc.ptrace.restype = ctypes.c_long


class Count(NamedTuple):
    """What one thread did between two marks."""

    instructions: int  # of the file that is asked about
    system_calls: int  # made from anywhere


class NotHere(Exception):
    """Single steps are not to be had; the reason."""


# --- in the child ------------------------------------------------------------------------------------------


def begin() -> None:
    """Be traced by the parent from the next mark on. Ends the process where that is refused."""
    if _libc.ptrace(TRACEME, 0, 0, 0):
        os._exit(REFUSED)
    mark()
    mark()  # a count of nothing, which is what a mark costs


def mark() -> None:
    """The end of one count and the beginning of the next."""
    signal.raise_signal(MARK)


def end() -> None:
    """Go on at full speed, not traced any more."""
    signal.raise_signal(END)


# --- in the parent -----------------------------------------------------------------------------------------


def counts(command: list[str], file: str) -> list[Count]:
    """Run the command to its end, an absolute path first. Returns what each pair of its marks has between it.

    Raises NotHere if this machine or the rules of the place it runs at have no single steps.
    """
    if platform.machine() != "x86_64":
        raise NotHere(f"single steps are read on x86-64, this is {platform.machine()}")
    pid = os.posix_spawn(command[0], command, os.environ)
    status = None
    try:
        found, status = _follow(pid, file)
    finally:
        if status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) == REFUSED:
        raise NotHere("a child may not be traced here (seccomp, Yama, or another tracer)")
    assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"
    _begun, nothing, *rest = found
    return [Count(*(more - less for more, less in zip(each, nothing, strict=True))) for each in rest]


def _follow(pid: int, file: str) -> tuple[list[Count], int]:
    """Step the child from its first mark to its end; the counts and the status it ended with."""
    found: list[Count] = []
    places: collections.Counter[int] = collections.Counter()
    while os.WIFSTOPPED(status := os.waitpid(pid, 0)[1]):
        how, passed_on = SINGLESTEP, 0
        match os.WSTOPSIG(status):
            case signal.SIGTRAP:
                places[_libc.ptrace(PEEKUSER, pid, RIP, 0)] += 1
            case signal.SIGUSR1:
                _libc.ptrace(SETOPTIONS, pid, 0, EXITKILL)
                found.append(_weigh(pid, places, file))
                places.clear()
            case signal.SIGUSR2:
                how = DETACH
            case other:
                passed_on = other
        if _libc.ptrace(how, pid, 0, passed_on):
            number = ctypes.get_errno()
            raise (
                NotHere("the kernel has no single steps")
                if number == errno.EIO
                else OSError(number, "ptrace")
            )
    return found, status


def _weigh(pid: int, places: collections.Counter[int], file: str) -> Count:
    """What the addresses were; the child stands still."""
    ours = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, _, _, _, *name = line.split(maxsplit=5)
        if "x" in rights and name == [file]:
            ours.append(range(*(int(end, 16) for end in span.split("-"))))
    instructions = system_calls = 0
    for place, times in places.items():
        if any(place in span for span in ours):
            instructions += times
        if _libc.ptrace(PEEKTEXT, pid, place, 0) & SYSCALL_MASK == SYSCALL:
            system_calls += times
    return Count(instructions, system_calls)
