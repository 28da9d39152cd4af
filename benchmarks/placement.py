"""Where the two processes of a measurement run. Ratios hold only within a placement.

one    both ends on one CPU: a wake-up is a context switch, spinning only delays the peer
two    one end on each of two CPUs, of different cores if the machine has them: a wake-up crosses CPUs
free   wherever the kernel puts them, library threads too
"""

from benchmarks.core import bench

PLACEMENTS = ("one", "two", "free")
Cpus = tuple[int | None, int | None]


def cpus(placement: str) -> Cpus | None:
    """The CPUs of left and right; None if the machine cannot do it."""
    if placement == "free":
        return None, None
    found = bench.cpu_pair()
    if found is None:
        return None
    return found if placement == "two" else (found[0], found[0])
