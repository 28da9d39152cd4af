"""faster-fifo: a byte ring under a process-shared mutex; objects are pickled, as its put and get do."""

from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import BATCH, End


class FasterFifo(bench.Rival):
    name = "faster-fifo"
    module = "faster_fifo"
    distribution = "faster-fifo"
    kinds = frozenset({"oneway", "many", "roundtrip"})

    def wire(self, scratch: Path, size: int) -> Any:
        from faster_fifo import Queue

        room = max(1_000_000, 4 * (size + 1024))  # its default, or four messages
        return {"there": Queue(room), "back": Queue(room)}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        near = role in {"push", "ping"}
        out, back = wiring["there" if near else "back"], wiring["back" if near else "there"]

        def get_many(limit: int) -> Any:
            return back.get_many(max_messages_to_get=min(BATCH, limit))

        return End(out.put, back.get, send_many=out.put_many, recv_many=get_many)


RIVALS = [FasterFifo()]
