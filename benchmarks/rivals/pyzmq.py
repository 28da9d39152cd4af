"""pyzmq, whose API and behaviour ours are: ipc with bytes, ipc with frames (copy=False), tcp."""

from benchmarks.core import bench
from benchmarks.rivals.patterns import Patterned

RIVALS = [
    Patterned("pyzmq-ipc", "zmq", "pyzmq"),
    bench.ZmqRival("pyzmq-ipc-frames", "zmq", "pyzmq", copy=False),
    bench.ZmqRival("pyzmq-tcp", "zmq", "pyzmq", scheme="tcp"),
]
