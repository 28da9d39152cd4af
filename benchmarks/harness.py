"""The schedule: who is measured when, how often, and what happens if it fails.

Rivals take turns (A B C A B C ...), a fresh pair of processes each time, so that a machine that grows slower
or busier during a run treats all alike, and no library profits from another's repetition. A library that
fails keeps its error as its row and is not asked again for that key; the run goes on. Knows no library and no
measurement: those are in `cases`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import baselines, placement, roles
from benchmarks.core import bench
from benchmarks.crowd import Crowd
from benchmarks.stats import Key, Results

APART = Key("cpus", "apart", 0, "two", "C spin")
APART_SECONDS = 0.01


@dataclass
class Plan:
    """What a run was asked for."""

    rivals: list[Any]
    sizes: list[int]
    repeat: int
    sample_seconds: float  # how long one repetition of one measurement lasts
    limit_seconds: float  # after this, no further repetition begins
    peers: int  # idle connections of the wake-up measurement
    watch_seconds: float  # how long idle peers are watched
    connections: int  # idle connections of the memory measurement
    placements: list[str]
    traced_rounds: int  # of 256 messages, while system calls are counted; times ten in round trips
    cap: int  # seconds; the longest any single command may take
    fanout_sizes: list[int]  # of one to many
    readers: tuple[int, ...]  # of one to many, the most last
    router_peers: int  # of the ROUTER among many
    curve: list[int] = field(default_factory=list)  # sizes of the curve over sizes
    frames: int = 300  # of a video


@dataclass
class Run:
    """A run in progress: the plan, what was found, where temporary files live."""

    plan: Plan
    results: Results
    scratch: Path
    begun: float = field(default_factory=time.monotonic)
    rounds: dict[tuple[str, str, int], int] = field(default_factory=dict)
    work: dict[str, int] = field(default_factory=dict)
    where: str = ""

    def late(self) -> bool:
        return time.monotonic() - self.begun > self.plan.limit_seconds

    def say(self, text: str) -> None:
        """Progress for whoever waits; one line, rewritten, and nothing into files."""
        self.where = text
        if sys.stderr.isatty():
            print(
                f"\r\033[K{time.monotonic() - self.begun:4.0f} s  {text}", end="", file=sys.stderr, flush=True
            )

    @contextmanager
    def pair(self, rival: Any, where: str, size: int = 0) -> Iterator[Any]:
        """Two fresh children of `rival`, pinned for a placement."""
        cpus = placement.cpus(where)
        if cpus is None:
            raise bench.BenchError(f"this machine has no CPUs for placement {where!r}")
        with bench.Pair(roles.child, rival, self.scratch, size=size, cpus=cpus, cap=self.plan.cap) as pair:
            yield pair

    @contextmanager
    def crowd(self, rival: Any, many: int, cpus: tuple[int | None, ...] = ()) -> Iterator[Crowd]:
        """A hub and `many` others, fresh, pinned as far as `cpus` says."""
        with Crowd(rival, self.scratch, many, cpus=cpus, cap=self.plan.cap) as crowd:
            yield crowd

    def programs(self) -> dict[str, Path]:
        """The C baselines, built once per run; none if this machine has no compiler."""
        folder = self.scratch / "baselines"
        if folder.exists():
            return {name: folder / name for name in baselines.PROGRAMS if (folder / name).exists()}
        folder.mkdir()
        try:
            return baselines.build(folder)
        except bench.BenchError as error:
            self.results.note(f"no C baselines: {error}")
            return {}


def in_turns(
    run: Run, subjects: list[Any], measure: Callable[[Any], None], label: str, key: Callable[[Any], Key]
) -> None:
    """Call `measure` for each subject in turn, `repeat` times; keep a failure as the key's error."""
    for turn in range(run.plan.repeat):
        _look_how_far_apart(run)
        for subject in subjects:
            where = key(subject)
            if run.results.failed(where):
                continue
            if run.late():
                done = f"cut to {turn} repetitions" if turn else "not measured"
                run.results.note(f"{label}: {done}, the run's time was over")
                return
            run.say(f"{label}: {where.subject}, {turn + 1} of {run.plan.repeat}")
            try:
                measure(subject)
            except bench.BenchError as error:
                run.results.fail(where, "", anonymous(str(error), run.scratch))


def _look_how_far_apart(run: Run) -> None:
    """What a cache line takes to the other CPU and back. Virtual CPUs are moved: figures from while they are
    far apart and figures from while they are near are those of two machines."""
    cpus, program = placement.cpus("two"), run.programs().get("spin_pingpong")
    if cpus and program:
        run.results.add(APART, "us", baselines.run(program, *cpus, APART_SECONDS)["p50"])


def anonymous(text: str, scratch: Path) -> str:
    """An error without this machine's paths."""
    for private, public in ((str(scratch), "(scratch)"), (str(Path.home()), "~"), (str(Path.cwd()), ".")):
        text = text.replace(private, public)
    return text.splitlines()[0][:200] if text else "failed without a word"
