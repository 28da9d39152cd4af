"""One process in the middle and many around it: a publisher and its readers, a ROUTER and its peers.

Like `bench.Pair`, whose parts it uses: fresh children, commands, a bound on every wait, all reaped. Knows no
measurement.
"""

import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmarks import roles
from benchmarks.core import bench

Order = tuple[bench.Side, bench.Command]


class Crowd:
    """A hub and `many` others of one rival, started together. Use as a context manager."""

    def __init__(
        self,
        rival: Any,
        scratch: Path,
        many: int,
        *,
        cpus: tuple[int | None, ...] = (),
        size: int = 0,
        cap: int = 30,
    ) -> None:
        self.rival = rival
        self.cap = cap
        self.wiring = rival.wire(Path(tempfile.mkdtemp(dir=scratch)), size)
        names = ["hub", *(f"peer {number}" for number in range(1, many + 1))]
        self.members = [
            _start(rival, self.wiring, name, cpus[at] if at < len(cpus) else None, cap)
            for at, name in enumerate(names)
        ]
        self.hub, *self.others = self.members

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for side in self.members:
            try:
                side.tell(("stop", ()))
            except bench.BenchError:
                continue
        for side in self.members:
            bench.reap(side.process)
            side.control.close()
        self.rival.clean(self.wiring)

    def ask(self, side: bench.Side, command: str, *arguments: Any) -> Any:
        return self.together([(side, (command, arguments))])[0]

    def together(self, orders: list[Order]) -> list[Any]:
        """Give each its command; their answers in the same order. The first failure ends the wait."""
        self.tell(orders)
        return self.take(orders)

    def tell(self, orders: list[Order]) -> None:
        for side, command in orders:
            side.tell(command)

    def take(self, orders: list[Order]) -> list[Any]:
        open_ = {id(side.control): (side, command) for side, command in orders}
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + self.cap
        while open_:
            controls = [side.control for side, _ in open_.values()]
            ready = wait(controls, max(0.0, deadline - time.monotonic()))
            if not ready:
                missing = ", ".join(f"{side.name} `{command[0]}`" for side, command in open_.values())
                raise bench.BenchError(f"{self.rival.name}: no answer in {self.cap} s from {missing}")
            for control in ready:
                side, command = open_.pop(id(control))
                answers[id(side.control)] = side.take(command[0])
        return [answers[id(side.control)] for side, _ in orders]

    def answered(self, orders: list[Order], patience: float) -> bool:
        """Whether all have an answer ready, waiting at most that long for the first that has none."""
        return all(side.control.poll(patience) for side, _ in orders)


def _start(rival: Any, wiring: Any, name: str, cpu: int | None, cap: int) -> bench.Side:
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=roles.child, args=(rival.name, wiring, theirs, cpu, cap), daemon=True)
    process.start()
    theirs.close()
    assert isinstance(ours, Connection)
    return bench.Side(process, ours, name)
