"""One end of a link as a library offers it, and the timed loops over it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any

from .messages import HEAD, check, make_block, make_message

perf = time.perf_counter_ns  # CLOCK_MONOTONIC on Linux, hence comparable between processes


def nothing() -> None:
    """The `close` of ends that end with their process."""


@dataclass(slots=True)
class End:
    """A library's own bound methods, so that the timed loop calls them without a wrapper of ours."""

    send: Callable[[Any], Any]
    recv: Callable[[], Any]
    close: Callable[[], Any] = nothing
    address: str = ""


def pour(send: Callable[[Any], Any], block: Sequence[bytes], rounds: int) -> None:
    """Send the block `rounds` times."""
    for _ in repeat(None, rounds):
        for message in block:
            send(message)


def drain(recv: Callable[[], Any], block: Sequence[bytes], rounds: int) -> None:
    """Receive what `pour` sends. The last of each round is checked: one lost or repeated shows there."""
    unchecked, last = len(block) - 1, block[-1]
    for _ in repeat(None, rounds):
        for _ in repeat(None, unchecked):
            recv()
        check(recv(), last)


def echo(end: End) -> None:
    """The far end of a ping-pong: serve announced numbers of messages until zero is announced."""
    send, recv = end.send, end.recv
    while True:
        announced = recv()
        count = HEAD.unpack_from(announced)[0]
        send(announced)
        if count == 0:
            return
        for _ in repeat(None, count):
            send(recv())


def burst(end: End, block: Sequence[bytes], pause: float, *, whole: bool = False) -> list[int]:
    """Times of one announced burst of round trips in ns; the announcement itself is not timed.

    The last reply is compared with what was sent: one lost or repeated before it shows there. With `whole`
    every reply is, which takes time of its own.
    """
    send, recv = end.send, end.recv
    announcement = make_message(len(block), len(block[0]))
    send(announcement)
    check(recv(), announcement, whole=True)
    stamps: list[int] = []
    stamp, reply = stamps.append, None
    if pause:
        time.sleep(pause)
    stamp(perf())
    for message in block:
        send(message)
        reply = recv()
        if whole:
            check(reply, message, whole=True)
        stamp(perf())
    check(reply, block[-1], whole=True)
    return [after - before for before, after in pairwise(stamps)]


def ping(end: End, size: int, seconds: float, pause: float) -> list[list[int]]:
    """Bursts of round trips, in ns, for about `seconds`; then the echo is told to stop."""
    block = make_block(size)
    trial = burst(end, block[:8], 0, whole=True)
    # A library that sleeps milliseconds per trip gets shorter bursts; the median of eight says which.
    chosen = block if statistics.median(trial) < 1_000_000 else block[:16]
    deadline = perf() + int(seconds * 1e9)
    bursts = []
    while True:
        bursts.append(burst(end, chosen, pause))
        if perf() > deadline:
            break
    halt(end, size)
    return bursts


def halt(end: End, size: int) -> None:
    """Tell the echo to stop."""
    stop = make_message(0, size)
    end.send(stop)
    check(end.recv(), stop, whole=True)


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value below which `part` of a sorted sequence lies (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def describe_trips(bursts: list[list[int]]) -> dict[str, float]:
    """Percentiles in us: of all trips, of each burst's first trip, of each burst's last quarter."""
    every = sorted(trip for burst in bursts for trip in burst)
    first = sorted(burst[0] for burst in bursts)
    late = sorted(trip for burst in bursts for trip in burst[-(len(burst) // 4) :])
    return {
        "trips": len(every),
        "min": every[0] / 1e3,
        "p50": quantile(every, 0.5) / 1e3,
        "p99": quantile(every, 0.99) / 1e3,
        "first_p50": quantile(first, 0.5) / 1e3,
        "late_p50": quantile(late, 0.5) / 1e3,
    }
