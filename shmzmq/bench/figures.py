"""What the short measurement measures of each rival, in which order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .cpus import cpu_pair
from .messages import BenchError
from .pair import Pair, messages_in, settle, stream, verify
from .rivals import Rival
from .worker import child

SIZES = (32, 1024, 65536)
BUDGET = 18.0  # seconds; after this no further repetition starts


@dataclass
class Figures:
    """What was measured of one rival: one value per repetition."""

    name: str
    version: str
    rates: dict[int, list[float]] = field(default_factory=dict)  # messages per second, by size
    trips: dict[str, list[float]] = field(default_factory=dict)  # p50 in us, by placement
    error: str = ""


def _measure(rival: Rival, into: Figures, rounds: dict[tuple[str, int], int], scratch: Path) -> None:
    """One repetition of one rival: one fresh pair of processes does everything."""
    cpus = cpu_pair()
    with Pair(child, rival, scratch, size=max(SIZES), cpus=cpus or (None, None), cap=15) as pair:
        pair.link("push", "pull")
        for size in SIZES:
            verify(pair, size)
            if (rival.name, size) not in rounds:
                rounds[rival.name, size] = settle(pair, size, 0.12)
            count = rounds[rival.name, size]
            took = stream(pair, size, count)
            into.rates.setdefault(size, []).append(messages_in(size, count) / took)
        pair.unlink()
        pair.link("ping", "pong")
        placements = {"two CPUs": cpus[1], "one CPU": cpus[0]} if cpus else {"not pinned": None}
        for placement, cpu in placements.items():
            pair.ask(pair.right, "pin", cpu)
            trips, _ = pair.both(("ping", (32, 0.1, 0.0)), ("pong", ()))
            into.trips.setdefault(placement, []).append(trips["p50"])


def measure(rivals: Iterable[Rival], repeat_: int, say: Callable[[str], None]) -> list[Figures]:
    """All rivals in turns; a rival that fails keeps its error and is not asked again."""
    figures = {rival.name: Figures(rival.name, rival.version()) for rival in rivals}
    rounds: dict[tuple[str, int], int] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shmzmq-bench-") as scratch:
        for turn in range(repeat_):
            for rival in rivals:
                mine = figures[rival.name]
                late = turn > 0 and time.monotonic() - started > BUDGET
                if mine.error or late:
                    continue
                say(f"{rival.name}, {turn + 1} of {repeat_}")
                try:
                    _measure(rival, mine, rounds, Path(scratch))
                except BenchError as error:
                    mine.error = str(error).replace(scratch, "(scratch)")
    return list(figures.values())
