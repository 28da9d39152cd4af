"""multiprocessing.Queue, unbounded, as most programs have it."""

from benchmarks.core import bench

RIVALS = [bench.QueueRival()]
