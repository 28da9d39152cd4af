"""Pairs of two libraries: one end ours, the other libzmq's, as in a fleet that moves from one to the other.

Each process imports its own library only. They are no rivals: what they are compared with is pyzmq at both
ends.
"""

import logging
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals import pyzmq, shmzmq

NEAR = {"push", "ping"}  # the roles of the end that connects


class Mixed(bench.Rival):
    """The sender is of one library, the receiver of the other."""

    kinds = frozenset({"mixed"})
    sizes = (0, 1 << 20)  # where targets ask; above, memory is what is measured

    def __init__(self, near: Any, far: Any) -> None:
        self.near = near
        self.far = far
        self.name = f"{near.distribution}-to-{far.distribution}-{far.scheme}"

    def available(self) -> bool:
        return bool(self.near.available() and self.far.available())

    def version(self) -> str:
        return f"{self.near.version()} to {self.far.version()}"

    def wire(self, scratch: Path, size: int) -> Any:
        return self.near.wire(scratch, size)

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        # Ours says that such an ipc connection has no rings, which is what is asked for here.
        logging.getLogger("shmzmq").setLevel(logging.ERROR)
        end = self.near if role in NEAR else self.far
        return end.open(role, wiring, address, options)


def _both_ways(ours: Any, theirs: Any) -> list[Mixed]:
    return [Mixed(ours, theirs), Mixed(theirs, ours)]


RIVALS = [*_both_ways(shmzmq.IPC, pyzmq.IPC), *_both_ways(shmzmq.TCP, pyzmq.TCP)]
