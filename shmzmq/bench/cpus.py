"""Where two processes are pinned. This file knows CPUs and cores."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cpu_pair() -> tuple[int, int] | None:
    """Two CPUs for two processes, of different cores if possible; None if there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    for other in allowed[1:]:
        if allowed[0] not in _siblings(other):
            return allowed[0], other
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def _siblings(cpu: int) -> set[int]:
    """The CPUs that share a core with this one, itself included."""
    found = {cpu}
    with suppress(OSError, ValueError):
        text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        for part in text.strip().split(","):
            low, _, high = part.partition("-")
            found.update(range(int(low), int(high or low) + 1))
    return found
