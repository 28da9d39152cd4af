"""Video: one publisher, three subscribers, 60 frames of 1080 x 1920 x 3 bytes per second, `copy=False` all.

The publisher drops by its high-water mark and waits for nobody, as cameras do; still every consumer must get
every frame, and one that is missing, out of turn or torn is the row's error. A consumer lets go of a frame
when it has the next one. What the publisher's process spends is its CPU time from the first frame until the
last consumer has the last one, the library's threads included; its frames are made before.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import fanout
from benchmarks.core import bench
from benchmarks.crowd import Crowd
from benchmarks.harness import Run, in_turns
from benchmarks.stats import Key

SHAPE = (1080, 1920, 3)
SIZE = SHAPE[0] * SHAPE[1] * SHAPE[2]
PER_SECOND = 60
CONSUMERS = 3
WHERE = "free"
CPU, MIDDLE, LATE, CONSUMED = "publisher's CPU s", "p50 ms", "p99 ms", "consumers' CPU s, together"


@dataclass(frozen=True)
class Form:
    """A library, and how its publisher comes by the memory of a frame."""

    name: str
    rival: Any
    lent: bool


FORMS = (("shmzmq", "shmzmq", False), ("shmzmq-alloc", "shmzmq", True), ("pyzmq-ipc", "pyzmq-ipc", False))


def video(run: Run) -> None:
    here = {rival.name: rival for rival in run.plan.rivals}
    forms = [Form(name, here[library], lent) for name, library, lent in FORMS if library in here]
    in_turns(run, forms, partial(_measure, run), "video", lambda form: key(form.name, CPU))


def key(name: str, what: str) -> Key:
    return Key("video", what, SIZE, WHERE, name)


def _measure(run: Run, form: Form) -> None:
    with run.crowd(form.rival, CONSUMERS) as crowd:
        address = crowd.ask(crowd.hub, "open", "film", "", {})
        crowd.together([(side, ("open", ("watch", address, {}))) for side in crowd.others])
        fanout.meet(crowd, crowd.others, fanout.SMALL)
        crowd.ask(crowd.hub, "prepare_film", SHAPE, form.lent)
        _pass(crowd, PER_SECOND // 4)
        _file(run, form, crowd, _pass(crowd, run.plan.frames))


def _pass(crowd: Crowd, frames: int) -> list[tuple[list[int], Any]]:
    """Per consumer: every frame's nanoseconds from send to receive, and what its process spent."""
    watching = [(side, ("watch", (frames, SIZE))) for side in crowd.others]
    *seen, _ = crowd.together([*watching, (crowd.hub, ("film", (frames, PER_SECOND)))])
    return seen


def _file(run: Run, form: Form, crowd: Crowd, seen: list[tuple[list[int], Any]]) -> None:
    trips = sorted(trip for trips, _ in seen for trip in trips)
    spent = crowd.ask(crowd.hub, "spent").cpu_ns
    run.results.add(key(form.name, CPU), "s", spent / 1e9)
    run.results.add(key(form.name, MIDDLE), "ms", bench.quantile(trips, 0.5) / 1e6)
    run.results.add(key(form.name, LATE), "ms", bench.quantile(trips, 0.99) / 1e6)
    run.results.add(key(form.name, CONSUMED), "s", sum(one.cpu_ns for _, one in seen) / 1e9)
