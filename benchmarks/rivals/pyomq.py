"""pyomq: another drop-in for pyzmq, over a ZMTP implementation in Rust."""

from benchmarks.core import bench

RIVALS = [
    bench.ZmqRival("pyomq-ipc", "pyomq", "pyomq"),
    bench.ZmqRival("pyomq-tcp", "pyomq", "pyomq", scheme="tcp"),
]
