"""One to many without loss: what a message costs until the last reader has it, in time and in CPU.

The publisher waits for readers that are full (XPUB_NODROP, a chunk that is still read), so every message
reaches every reader, and each reader checks that. Nobody is pinned: there are more processes than CPUs.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import baselines
from benchmarks.core import bench
from benchmarks.crowd import Crowd, Order
from benchmarks.harness import Run, in_turns
from benchmarks.rivals.base import BATCH
from benchmarks.stats import Key, Results

WHERE = "free"
SMALL, LARGER, LARGE = 32, 1024, 1 << 20
READERS = (1, 4, 8)
GAP = 200e-6  # seconds from one paced message to the next: longer than anybody spins
C_CHUNKS = 256
TIME, CPU, SLEEPS = "us per message", "CPU us per delivery", "sleeps per delivery"
PACED = "paced, "
BURSTS = "bursts, "


@dataclass(frozen=True)
class Cell:
    """What is measured at once: one size, to so many readers."""

    size: int
    readers: int

    def key(self, name: str, what: str) -> Key:
        """Where a figure is filed: TIME, CPU or SLEEPS, each with PACED or BURSTS in front or without."""
        return Key(
            "fanout", f"{self.readers} reader{'s' * (self.readers > 1)}: {what}", self.size, WHERE, name
        )


def cells(sizes: list[int], readers: tuple[int, ...] = READERS) -> list[Cell]:
    """Small messages to all, others to one and to more."""
    return [Cell(size, some) for size in sizes for some in (readers[-1:] if size <= SMALL else readers)]


@dataclass
class Passed:
    """One timed pass, all processes together."""

    messages: int
    readers: int
    seconds: float  # from the first send until the last reader has verified the last message
    cpu_ns: int
    sleeps: int

    def file(self, results: Results, cell: Cell, name: str, how: str) -> None:
        deliveries = self.messages * self.readers
        results.add(cell.key(name, how + TIME), "us", self.seconds * 1e6 / self.messages)
        results.add(cell.key(name, how + CPU), "us", self.cpu_ns / 1e3 / deliveries)
        results.add(cell.key(name, how + SLEEPS), "", self.sleeps / deliveries)


class Limit:
    """The flag ring in C, which copies and sets flags and does nothing else."""

    name = f"C flags {C_CHUNKS}"

    def __init__(self, program: Path) -> None:
        self.program = program


def fanout(run: Run) -> None:
    subjects: list[Any] = [rival for rival in run.plan.rivals if "fanout" in rival.kinds]
    program = run.programs().get("flag_ring")
    limit = [Limit(program)] if program else []
    in_turns(run, [*subjects, *limit], partial(_measure, run), "one to many", _key)


def _key(subject: Any) -> Key:
    return Key("fanout", "all", 0, WHERE, subject.name)


def _measure(run: Run, subject: Any) -> None:
    chosen = cells(run.plan.fanout_sizes, run.plan.readers)
    if isinstance(subject, Limit):
        for cell in chosen:
            _measure_c(run, subject, cell)
        return
    with run.crowd(subject, run.plan.readers[-1]) as crowd:
        for cell in chosen:
            _link(crowd, cell)
            _stream(run, crowd, cell)
            if cell.size <= SMALL:
                _paced(run, crowd, cell)
                _bursts(run, crowd, cell)
            _unlink(crowd, cell)


def _measure_c(run: Run, limit: Limit, cell: Cell) -> None:
    told = baselines.run(limit.program, cell.size, cell.readers, C_CHUNKS, run.plan.sample_seconds / 2)
    run.results.add(cell.key(limit.name, TIME), "us", told["us_per_message"])
    run.results.add(cell.key(limit.name, CPU), "us", told["cpu_us_per_delivery"])


def _link(crowd: Crowd, cell: Cell) -> None:
    """Open both sides; when it returns every reader is known to get everything, and has read it all."""
    size = cell.size
    options = {"readers": cell.readers, "size": size}
    address = crowd.ask(crowd.hub, "open", "publish", "", options)
    here = crowd.others[: cell.readers]
    ranked = [{**options, "rank": rank} for rank in range(cell.readers)]
    crowd.together(
        [(side, ("open", ("subscribe", address, own))) for side, own in zip(here, ranked, strict=True)]
    )
    meet(crowd, here, size)
    crowd.together([*((side, ("verify", (size,))) for side in here), (crowd.hub, ("show", (size,)))])


def meet(crowd: Crowd, here: list[bench.Side], size: int) -> None:
    """When it returns, each of these readers hears the publisher and has read all that was published."""
    last = _greet(crowd, here, size) + 1
    crowd.together([*((side, ("catch_up", (last,))) for side in here), (crowd.hub, ("greet", (last, size)))])


def _greet(crowd: Crowd, readers: list[bench.Side], size: int) -> int:
    """Publish until every reader has had something: a subscription is not heard at once. How often."""
    joining: list[Order] = [(side, ("join", ())) for side in readers]
    crowd.tell(joining)
    for number in range(1, 100 * crowd.cap):
        crowd.ask(crowd.hub, "greet", number, size)
        if crowd.answered(joining, 0.01):
            crowd.take(joining)
            return number
    raise bench.BenchError(f"{crowd.rival.name}: not every reader was reached in {crowd.cap} s")


def _unlink(crowd: Crowd, cell: Cell) -> None:
    crowd.together([(side, ("close", ())) for side in (*crowd.others[: cell.readers], crowd.hub)])


def _stream(run: Run, crowd: Crowd, cell: Cell) -> None:
    known = (crowd.rival.name, f"to {cell.readers}", cell.size)
    if known not in run.rounds:
        run.rounds[known] = _settle(crowd, cell, run.plan.sample_seconds)
    else:
        _pass(crowd, cell, max(1, run.rounds[known] // 10))
    _pass(crowd, cell, run.rounds[known]).file(run.results, cell, crowd.rival.name, "")


def _settle(crowd: Crowd, cell: Cell, seconds: float) -> int:
    """How many rounds last about that long."""
    cap = bench.pass_rounds(cell.size)
    return bench.lasting(seconds, lambda rounds: _pass(crowd, cell, rounds).seconds, cap)


def _paced(run: Run, crowd: Crowd, cell: Cell) -> None:
    rounds = max(1, round(run.plan.sample_seconds / GAP / bench.block_length(cell.size)))
    _pass(crowd, cell, rounds, GAP).file(run.results, cell, crowd.rival.name, PACED)


def _bursts(run: Run, crowd: Crowd, cell: Cell) -> None:
    """By send_many and recv_many, where a library has them."""
    if crowd.ask(crowd.hub, "has_many", "push"):
        known = run.rounds[crowd.rival.name, f"to {cell.readers}", cell.size]
        rounds = max(1, known * bench.block_length(cell.size) // bench.block_length(cell.size, BATCH))
        _pass(crowd, cell, rounds, bursts=True).file(run.results, cell, crowd.rival.name, BURSTS)


def _pass(crowd: Crowd, cell: Cell, rounds: int, gap: float = 0.0, *, bursts: bool = False) -> Passed:
    here = crowd.others[: cell.readers]
    listening: list[Order] = [(side, ("listen", (cell.size, rounds, bursts))) for side in here]
    publishing: Order = (crowd.hub, ("publish", (cell.size, rounds, gap, bursts)))
    *heard, started = crowd.together([*listening, publishing])
    # Only now: a publisher's own threads may have worked until the last reader had the last message.
    spent = [crowd.ask(crowd.hub, "spent"), *(one for _, one in heard)]
    return Passed(
        messages=bench.messages_in(cell.size, rounds, BATCH if bursts else bench.BLOCK_MESSAGES),
        readers=cell.readers,
        seconds=(max(ended for ended, _ in heard) - started) / 1e9,
        cpu_ns=sum(one.cpu_ns for one in spent),
        sleeps=sum(one.sleeps for one in spent),
    )
