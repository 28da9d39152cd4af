"""multiprocessing.Pipe: one way over a pipe, round trips over its socket pair; bytes, no pickle."""

from benchmarks.core import bench

RIVALS = [bench.PipeRival()]
