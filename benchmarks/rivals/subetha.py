"""subetha-ipc: an SPSC ring of fixed small slots in a mapped file; never blocks, so its users spin."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import End, blocking, insist

SLOTS = 4096
PAYLOAD = 64  # what one slot of SpscRing carries


class Subetha(bench.Rival):
    name = "subetha"
    module = "subetha"
    distribution = "subetha-ipc"
    kinds = frozenset({"oneway", "many", "roundtrip"})
    sizes = (16, PAYLOAD)

    def wire(self, scratch: Path, size: int) -> Any:
        return {"folder": str(scratch), "size": size}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        from subetha import SpscRing

        near = role in {"push", "ping"}
        make = SpscRing.open if near else SpscRing  # pull and pong are opened first
        there, back = make(f"{wiring['folder']}/there", SLOTS), make(f"{wiring['folder']}/back", SLOTS)
        out, back = (there, back) if near else (back, there)
        pop, size = back.pop, wiring["size"]

        def pop_cut() -> bytes | None:
            """It returns whole slots; their users know how long a message was."""
            slot = pop()
            return None if slot is None else slot[:size]

        def pop_many(limit: int) -> list[bytes]:
            return [slot[:size] for slot in back.pop_many(limit)]

        def send_many(messages: list[bytes]) -> None:
            while messages:
                messages = messages[out.push_many(messages) :]

        return End(
            partial(insist, out.push, os.sched_yield),
            partial(blocking, pop_cut, os.sched_yield),
            try_send=out.push,
            try_recv=pop_cut,
            send_many=send_many,
            recv_many=pop_many,
        )


RIVALS = [Subetha()]
