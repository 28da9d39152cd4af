"""One way over the whole range of sizes, for the curve: from a small record to what no cache holds.

Rivals take turns as everywhere, but a pair of processes measures a group of neighbouring sizes, in rising
order, with the queues it would have for the largest of them: a fresh pair per size would take half an hour.
Each cell is bounded in time, and the slowest by one round of messages.
"""

from itertools import groupby
from typing import Any

from benchmarks import placement
from benchmarks.cases import Baseline
from benchmarks.core import bench
from benchmarks.harness import Run, anonymous
from benchmarks.stats import Key, size_name

KIB, MIB = 1 << 10, 1 << 20
# Powers of four, and more where a message stops being carried in the ring and goes by an arena.
INLINE_EDGE = (3584, 4096, 4352, 5120, 8192)
SIZES = (*(32, 256, 1024, *INLINE_EDGE, 16 * KIB, 64 * KIB, 256 * KIB), *(MIB << 2 * n for n in range(4)))
SUBJECTS = (
    *("shmzmq", "shmzmq-zero", "shmzmq-into", "pyzmq-ipc", "pyzmq-ipc-frames", "mp-pipe", "mp-queue"),
    *("faster-fifo", "cloudtoid", "iceoryx2", "iceoryx2-loans"),
)
GROUP_ENDS = (
    1024,
    64 * KIB,
    MIB,
)  # queues that depend on the size have the defaults of their smallest up to here
LIMIT_FROM = 64 * KIB  # below, what a C loop that frames nothing could do says little
PIPELINE_BLOCKS = (2, 4)
PART_OF_SAMPLE = 0.4
ONE_WAY, LIMIT = "one way", "limit"


def groups(sizes: list[int]) -> list[list[int]]:
    """Neighbouring sizes that one pair of processes measures; each large size is alone."""

    def end(size: int) -> int:
        return next((bound for bound in GROUP_ENDS if size <= bound), size)

    return [list(members) for _, members in groupby(sorted(sizes), end)]


def sizes(run: Run) -> None:
    where = "two" if placement.cpus("two") else "free"
    subjects = [rival for rival in run.plan.rivals if rival.name in SUBJECTS]
    limits = _limits(run, where)
    for turn in range(run.plan.repeat):
        for group in groups(run.plan.curve):
            if run.late():
                done = f"cut to {turn} repetitions" if turn else "not measured"
                run.results.note(f"sizes from {size_name(group[0])}: {done}, the run's time was over")
                break
            for subject in [*subjects, *limits]:
                span = f"{size_name(group[0])} to {size_name(group[-1])}"
                run.say(f"sizes, {span}: {subject.name}, {turn + 1} of {run.plan.repeat}")
                _measure(run, subject, group, where)


def key(name: str, size: int, where: str, variant: str = ONE_WAY) -> Key:
    return Key("sizes", variant, size, where, name)


def _limits(run: Run, where: str) -> list[Baseline]:
    program = run.programs().get("pipeline")
    if program is None or where != "two":
        return []
    return [Baseline(f"C {blocks} in flight", program, (blocks, "libc")) for blocks in PIPELINE_BLOCKS]


def _measure(run: Run, subject: Any, group: list[int], where: str) -> None:
    if isinstance(subject, Baseline):
        for size in (size for size in group if size >= LIMIT_FROM):
            measured = Baseline(subject.name, subject.program, (size, *subject.arguments))
            told = measured.run(where, run.plan.sample_seconds * PART_OF_SAMPLE)
            run.results.add(key(subject.name, size, where, LIMIT), "msg/s", told["per_second"])
        return
    left = [
        size
        for size in group
        if subject.sizes[0] <= size <= subject.sizes[1]
        and not run.results.failed(key(subject.name, size, where))
    ]
    while left:
        try:
            _group(run, subject, left, where)
        except bench.BenchError as error:
            # This size is the row's gap; the others get a pair of their own.
            run.results.fail(key(subject.name, left.pop(0), where), "", anonymous(str(error), run.scratch))


def _group(run: Run, rival: Any, left: list[int], where: str) -> None:
    """One pair for the sizes in `left`; takes from it what was measured."""
    with run.pair(rival, where, left[-1]) as pair:
        pair.link("push", "pull")
        while left:
            size = left[0]
            bench.verify(pair, size)
            rate = _rate(run, pair, size)
            run.results.add(key(rival.name, size, where), "msg/s", rate)
            left.pop(0)


def _rate(run: Run, pair: Any, size: int) -> float:
    """Messages per second of one timed pass; as in `cases`, a tenth of one warms a later pair."""
    known = (pair.rival.name, "sizes", size)
    if known not in run.rounds:
        run.rounds[known] = bench.settle(pair, size, run.plan.sample_seconds * PART_OF_SAMPLE)
    else:
        bench.stream(pair, size, max(1, run.rounds[known] // 10))
    rounds = run.rounds[known]
    return bench.messages_in(size, rounds) / bench.stream(pair, size, rounds)
