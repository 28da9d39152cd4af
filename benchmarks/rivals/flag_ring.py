"""A hand-written broadcast ring, of the kind that inference servers wrote beside zmq for their workers.

One block of shared memory from `multiprocessing.shared_memory`, cut into chunks of a fixed size. Each chunk
has one flag byte "written" and one flag byte "read" per reader, in the same block:

    data  | chunk 0 | chunk 1 | ... |
    flags | w r0 r1 ... | w r0 r1 ... | ... |

The writer waits until every reader has read the chunk it wants, fills it, clears the read flags and sets
"written". A reader waits for "written" without its own flag, copies the message out and sets its flag. Who
must wait gives its CPU away with `sched_yield`, and after a second of that begins to nap.

It is pure Python over a memoryview, as those are. It has no memory model: what one process stores first
another may see last, so it is measured only where the CPU keeps stores in order. It frames one length and
nothing else, knows no topics, no late or lost readers, and its readers burn a CPU while they wait.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import End

LENGTH = 4  # bytes in front of each message
YIELD_SECONDS = 1.0
NAP_SECONDS = 0.001
STORES_IN_ORDER = {"x86_64", "amd64", "i686"}


class Ring:
    """The block and its views, at either side."""

    def __init__(self, readers: int, size: int, chunks: int, name: str | None = None) -> None:
        self.readers = readers
        self.chunks = chunks
        chunk = LENGTH + size
        whole = chunks * (chunk + 1 + readers)
        self.block = shared_memory.SharedMemory(
            name=name, create=name is None, size=whole if name is None else 0
        )
        view = self.block.buf
        assert view is not None
        self.data = [view[at * chunk : (at + 1) * chunk] for at in range(chunks)]
        flags = chunks * chunk
        self.flags = [
            view[flags + at * (1 + readers) : flags + (at + 1) * (1 + readers)] for at in range(chunks)
        ]

    def close(self) -> None:
        for view in (*self.data, *self.flags):
            view.release()
        self.block.close()


class Writer:
    def __init__(self, readers: int, size: int, chunks: int) -> None:
        self.ring = Ring(readers, size, chunks)
        self.at = 0

    def send(self, message: bytes) -> None:
        ring = self.ring
        flags, data = ring.flags[self.at], ring.data[self.at]
        if flags[0] and sum(flags[1:]) != ring.readers:
            wait(lambda: sum(flags[1:]) == ring.readers)
        flags[0] = 0
        end = LENGTH + len(message)
        data[:LENGTH] = len(message).to_bytes(LENGTH, "little")
        data[LENGTH:end] = message
        for reader in range(1, ring.readers + 1):
            flags[reader] = 0
        flags[0] = 1
        self.at = (self.at + 1) % ring.chunks

    def close(self) -> None:
        self.ring.close()
        with suppress(FileNotFoundError):
            self.ring.block.unlink()


class Reader:
    def __init__(self, name: str, rank: int, readers: int, size: int, chunks: int) -> None:
        self.ring = Ring(readers, size, chunks, name)
        self.mine = 1 + rank
        self.at = 0

    def recv(self) -> bytes:
        ring, mine = self.ring, self.mine
        flags, data = ring.flags[self.at], ring.data[self.at]
        if not flags[0] or flags[mine]:
            wait(lambda: flags[0] and not flags[mine])
        message = bytes(data[LENGTH : LENGTH + int.from_bytes(data[:LENGTH], "little")])
        flags[mine] = 1
        self.at = (self.at + 1) % ring.chunks
        return message

    def close(self) -> None:
        self.ring.close()


def wait(done: Callable[[], Any]) -> None:
    """Give the CPU away until it is so; after YIELD_SECONDS look only now and then."""
    rest, begun = os.sched_yield, time.monotonic()
    while not done():
        if time.monotonic() - begun < YIELD_SECONDS:
            rest()
        else:
            time.sleep(NAP_SECONDS)


class FlagRing(bench.Rival):
    module = "multiprocessing"
    kinds = frozenset({"fanout"})

    def __init__(self, chunks: int) -> None:
        self.name = f"flag-ring-{chunks}"
        self.chunks = chunks

    def available(self) -> bool:
        return hasattr(os, "sched_yield") and platform.machine().lower() in STORES_IN_ORDER

    def version(self) -> str:
        return "stdlib"

    def wire(self, scratch: Path, size: int) -> Any:
        return None

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> End:
        shape = (options["readers"], options["size"], self.chunks)
        if role == "publish":
            writer = Writer(*shape)
            return End(writer.send, _deaf, writer.close, writer.ring.block.name)
        reader = Reader(address, options["rank"], *shape)
        return End(_deaf, reader.recv, reader.close)


def _deaf(*_: Any) -> Any:
    raise bench.BenchError("this end does not go in that direction")


# Ten chunks is what such servers have; the other form shows what more of them would give.
RIVALS = [FlagRing(10), FlagRing(256)]
