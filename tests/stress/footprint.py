"""Footprint: what a process has in memory and in hand, read from /proc. This file knows no socket."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple


class Footprint(NamedTuple):
    """Bytes and counts of one process."""

    anonymous: int  # resident memory of its own
    pss: int  # resident memory, of what is shared its share
    segments: dict[int, int]  # inode of each memfd of the library that is mapped -> bytes of its mappings
    fds: int
    threads: int
    maps: int


def of(pid: int) -> Footprint:
    """The footprint of a living process; FileNotFoundError or ProcessLookupError if it has gone."""
    proc = Path("/proc", str(pid))
    status = (proc / "status").read_text()
    rollup = (proc / "smaps_rollup").read_text()
    lines = (proc / "maps").read_text().splitlines()
    return Footprint(
        anonymous=_kilobytes(status, "RssAnon"),
        pss=_kilobytes(rollup, "Pss"),
        segments=_segments(lines),
        fds=len(os.listdir(proc / "fd")),
        threads=len(os.listdir(proc / "task")),
        maps=len(lines),
    )


def together(footprints: list[Footprint]) -> int:
    """Bytes of all segments of these processes, each counted once."""
    sizes: dict[int, int] = {}
    for each in footprints:
        for inode, size in each.segments.items():
            sizes[inode] = max(size, sizes.get(inode, 0))
    return sum(sizes.values())


def own_segments() -> list[str]:
    """The lines of this process's maps that are segments of the library."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "/memfd:shmzmq" in line]


def system_shared() -> int:
    """Bytes of shared memory in use on this machine."""
    return _kilobytes(Path("/proc/meminfo").read_text(), "Shmem")


def available() -> int:
    """Bytes that a program may still take without swapping."""
    return _kilobytes(Path("/proc/meminfo").read_text(), "MemAvailable")


def _segments(lines: list[str]) -> dict[int, int]:
    """A segment that is mapped twice (a ring, so that it wraps) counts with its longest mapping."""
    sizes: dict[int, int] = {}
    for line in lines:
        if "/memfd:shmzmq" in line:
            span, _, _, _, inode, _ = line.split(maxsplit=5)
            begin, end = (int(part, 16) for part in span.split("-"))
            sizes[int(inode)] = max(end - begin, sizes.get(int(inode), 0))
    return sizes


def _kilobytes(text: str, name: str) -> int:
    with contextlib.suppress(AttributeError):
        return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1])  # type: ignore[index]
    return 0
