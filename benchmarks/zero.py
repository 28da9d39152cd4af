"""Lent memory: a message that is made in the library's own memory and read where it lies.

Two questions. *nothing read*: what does handing over cost, the sender filling nothing and the receiver
letting go at once? Only the last message, which carries the count, is looked at. *a word of each page read*:
every message has a number at its start that the receiver checks, and one word of each page is summed up, so
that the pages must really be mapped.
"""

import sys
from functools import partial
from typing import Any

from benchmarks import placement
from benchmarks.core import bench
from benchmarks.harness import Run, in_turns
from benchmarks.stats import Key

SIZES = (4 << 10, 64 << 10, 1 << 20, 16 << 20)
UNREAD, READ = "nothing read", "a word of each page read"
QUEUING = ("pyzmq-ipc-frames",)  # lends nothing, but copies nothing in the process either: to compare with


def zero(run: Run) -> None:
    where = "two" if placement.cpus("two") else "free"
    subjects = [rival for rival in run.plan.rivals if "zero" in rival.kinds or rival.name in QUEUING]
    for size in SIZES:
        taking_part = [rival for rival in subjects if rival.sizes[0] <= size <= rival.sizes[1]]
        in_turns(
            run,
            taking_part,
            partial(_measure, run, size, where),
            f"lent memory, {size} B",
            partial(_key, size, where),
        )


def key(name: str, size: int, where: str, variant: str) -> Key:
    return Key("zero", variant, size, where, name)


def _key(size: int, where: str, rival: Any) -> Key:
    return key(rival.name, size, where, UNREAD)


def _measure(run: Run, size: int, where: str, rival: Any) -> None:
    with run.pair(rival, where, size) as pair:
        pair.link("push", "pull")
        bench.verify(pair, size)
        for variant in (UNREAD, READ):
            rate = _rate(run, pair, size, variant)
            run.results.add(key(rival.name, size, where, variant), "msg/s", rate)


def _rate(run: Run, pair: Any, size: int, variant: str) -> float:
    known = (pair.rival.name, variant, size)
    if known not in run.rounds:
        run.rounds[known] = _settle(pair, size, variant, run.plan.sample_seconds)
    else:
        _pass(pair, size, max(1, run.rounds[known] // 10), variant)
    rounds = run.rounds[known]
    return bench.messages_in(size, rounds) / _pass(pair, size, rounds, variant)


def _settle(pair: Any, size: int, variant: str, seconds: float) -> int:
    """How many rounds last about that long. Who queues is bounded by memory, who lends by time alone."""
    cap = bench.pass_rounds(size) if pair.rival.name in QUEUING else sys.maxsize
    return bench.lasting(seconds, lambda rounds: _pass(pair, size, rounds, variant), cap)


def _pass(pair: Any, size: int, rounds: int, variant: str) -> float:
    """Seconds from the first message sent to the last one verified."""
    asked = (size, rounds, variant == READ)
    started, ended = pair.both(("lend", asked), ("borrow", asked))
    return float(ended - started) / 1e9
