"""Ourselves: rings over ipc, bytes or frames or lent memory, and ZMTP over tcp."""

import sys
from functools import partial
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import End
from benchmarks.rivals.patterns import Patterned


class Shmzmq(Patterned, bench.ShmzmqRival):
    def __init__(self, name: str, **form: Any) -> None:
        super().__init__(name, "shmzmq", "shmzmq", **form)
        if self.copy and self.scheme == "ipc":
            self.kinds |= {"many", "nospin"}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        plain = super().open(role, wiring, address, options)
        if isinstance(plain, End):
            return plain
        # send and recv are bound methods of the socket, except where frames asked for a partial.
        socket = getattr(plain.send, "__self__", None)
        return End(
            plain.send,
            plain.recv,
            plain.close,
            plain.address,
            send_many=getattr(socket, "send_many", None),
            recv_many=getattr(socket, "recv_many", None),
        )


class Zero(bench.ShmzmqRival):
    """Nothing is copied: `alloc` and `recv(copy=False)`. The bytes are in place, as if made there."""

    def __init__(self) -> None:
        super().__init__("shmzmq-zero", "shmzmq", "shmzmq", copy=False)
        self.kinds = frozenset({"zero"})
        self.sizes = (1024, sys.maxsize)  # below, nobody lends: a copy costs less than anything else

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        plain = super().open(role, wiring, address, options)
        socket = plain.send.func.__self__
        alloc, post, head = socket.alloc, socket.send, bench.HEAD.size

        def send(message: bytes) -> None:
            block = alloc(len(message))
            memoryview(block)[:head] = message[:head]
            post(block)

        def show(message: bytes) -> None:
            block = alloc(len(message))
            memoryview(block)[:] = message
            post(block)

        recv = partial(socket.recv, copy=False)
        return End(send, recv, plain.close, plain.address, alloc=alloc, post=post, show=show)


class Into(bench.ShmzmqRival):
    """`send` of bytes, `recv_into` memory that the receiver keeps: for what is too large to be made anew."""

    def __init__(self, name: str, *kinds: str, **form: Any) -> None:
        super().__init__(name, "shmzmq", "shmzmq", **form)
        self.kinds = frozenset(kinds)
        self.sizes = (1 << 20, sys.maxsize)

    def wire(self, scratch: Any, size: int) -> Any:
        return {"scratch": str(scratch), "size": size}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        plain = super().open(role, wiring["scratch"], address, options)
        socket, room = plain.send.__self__, memoryview(bytearray(wiring["size"]))

        def recv() -> memoryview:
            return room[: socket.recv_into(room)]

        return End(plain.send, recv, plain.close, plain.address)


IPC = Shmzmq("shmzmq")
TCP = Shmzmq("shmzmq-tcp", scheme="tcp")

RIVALS = [
    IPC,
    Shmzmq("shmzmq-frames", copy=False),
    Zero(),
    Into("shmzmq-into"),
    TCP,
    Shmzmq("shmzmq-tcp-frames", scheme="tcp", copy=False),
    Into("shmzmq-tcp-into", "oneway", scheme="tcp"),
]
