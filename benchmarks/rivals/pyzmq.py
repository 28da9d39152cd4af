"""pyzmq, whose API and behaviour ours are: ipc and tcp, with bytes and with frames (copy=False)."""

from benchmarks.core import bench
from benchmarks.rivals.patterns import Patterned

IPC = Patterned("pyzmq-ipc", "zmq", "pyzmq")
TCP = bench.ZmqRival("pyzmq-tcp", "zmq", "pyzmq", scheme="tcp")

RIVALS = [
    IPC,
    bench.ZmqRival("pyzmq-ipc-frames", "zmq", "pyzmq", copy=False),
    TCP,
    bench.ZmqRival("pyzmq-tcp-frames", "zmq", "pyzmq", scheme="tcp", copy=False),
]
