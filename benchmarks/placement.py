"""Where the two processes of a measurement run. Ratios hold only within a placement.

one    both ends on one CPU: a wake-up is a context switch, spinning only delays the peer
two    one end on each of two CPUs, of different cores if the machine has them: a wake-up crosses CPUs
free   wherever the kernel puts them, library threads too
"""

import os

from benchmarks.core import bench

PLACEMENTS = ("one", "two", "free")
Cpus = tuple[int | None, int | None]


def cpus(placement: str) -> Cpus | None:
    """The CPUs of left and right; None if the machine cannot do it."""
    if placement == "free":
        return None, None
    if not hasattr(os, "sched_getaffinity"):
        return None
    found: Cpus | None = bench.cpu_pair()
    if placement == "two":
        return found
    first = found[0] if found else min(os.sched_getaffinity(0))
    return first, first
