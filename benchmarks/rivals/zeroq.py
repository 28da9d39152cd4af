"""zeroq: a slot per message in POSIX shared memory; waits by sleeping."""

from pathlib import Path
from typing import Any

from benchmarks.core import bench


class Zeroq(bench.Rival):
    name = "zeroq"
    module = "zeroq"

    def wire(self, scratch: Path, size: int) -> Any:
        slots = 1024 if size <= 65536 else 4
        return {"name": scratch.name.replace("_", ""), "size": size, "slots": slots}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        from zeroq import Queue

        create = role in {"pull", "pong"}  # opened first
        shape = (wiring["size"], wiring["slots"]) if create else (None, None)
        there = Queue(wiring["name"] + "a", *shape, create)
        back = Queue(wiring["name"] + "b", *shape, create)

        def close() -> None:
            there.close()
            back.close()

        if create:
            return bench.End(back.put, there.get, close)
        return bench.End(there.put, back.get, close)

    def clean(self, wiring: Any) -> None:
        """Its segments outlive every process that had them open."""
        for end in "ab":
            Path("/dev/shm", wiring["name"] + end).unlink(missing_ok=True)


RIVALS = [Zeroq()]
