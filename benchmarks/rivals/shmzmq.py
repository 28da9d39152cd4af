"""Ourselves: rings over ipc, bytes or frames, and ZMTP over tcp."""

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


RIVALS = [
    Shmzmq("shmzmq"),
    Shmzmq("shmzmq-frames", copy=False),
    Shmzmq("shmzmq-tcp", scheme="tcp"),
]
