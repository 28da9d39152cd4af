"""What a test has the kernel do to the process that calls this, for good; so it is called in a child.

System calls that fail by a filter (seccomp(2)), and files that are found in the place of others (mount
namespaces). Raises OSError where the kernel does not let us.
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2

MADV_POPULATE_WRITE = 23
MADVISE_AND_FALLOCATE = {"x86_64": (28, 285), "aarch64": (233, 47)}
"""Numbers of system calls, of the machines that `refuse_memory` knows."""

libc = ctypes.CDLL(None, use_errno=True)


def done(status: int) -> None:
    """OSError unless a call of libc's said 0."""
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def own_file(path: str, place: str) -> None:
    """From now on this file is what the process finds in that place."""
    done(libc.unshare(CLONE_NEWNS))
    done(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    done(libc.mount(path.encode(), place.encode(), None, MS_BIND, None))


def refuse_memory(populate: int = 0, fallocate: int = 0, least: int = 0) -> None:
    """From now on these calls fail with these errnos, in this thread and those it starts; 0 lets them pass.

    `populate` is of MADV_POPULATE_WRITE, and only of `least` bytes and more.
    """
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | ..., BPF_RET
    allow, fail = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
    number, length, advice = 0, 24, 32  # offsets in struct seccomp_data
    madvise_number, fallocate_number = MADVISE_AND_FALLOCATE[os.uname().machine]
    program = [
        (load, 0, 0, number),
        (equal, 0, 5, madvise_number),
        (load, 0, 0, advice),
        (equal, 0, 5, MADV_POPULATE_WRITE),
        (load, 0, 0, length),
        (at_least, 0, 3, least),
        (answer, 0, 0, fail | populate if populate else allow),
        (equal, 0, 1, fallocate_number),
        (answer, 0, 0, fail | fallocate if fallocate else allow),
        (answer, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    done(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    done(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, whole, 0, 0))
