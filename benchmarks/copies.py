"""How often a message's bytes are copied, and how many pages are faulted in, by each process.

The children run with a counter before libc's memcpy (copycount.c, built here). They send and receive until
memory is warm, then the counters are read, so many messages go through, and they are read again when all have
arrived. These are counts: they do not depend on the machine's speed or company, and a test asserts them.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import baselines, fanout
from benchmarks.carry import Counts
from benchmarks.core import bench
from benchmarks.crowd import Crowd
from benchmarks.harness import Run, anonymous
from benchmarks.stats import Key

SIZE = 1 << 20
BATCH = 20  # messages in flight at most, so that memory for as many can be warm
WARM_BATCHES, BATCHES = 3, 10
COUNTED = BATCH * BATCHES
WHERE = "free"
SOURCE = Path(__file__).parent / "copycount.c"
SENT, RECEIVED, KERNEL = "copies, sender", "copies, receiver", "through the kernel, both"
FAULTS_SENT, FAULTS_RECEIVED = "page faults, sender", "page faults, receiver"


class Manner(NamedTuple):
    """How a message goes; `readers` is 0 for PUSH to PULL, otherwise PUB to so many SUB."""

    name: str
    send: str
    recv: str
    readers: int = 0
    ours_only: bool = False
    copies: tuple[int, int] | None = None  # by the sender, and by each receiver, as shmzmq promises


PLAIN = Manner("send, recv", "bytes", "bytes", copies=(1, 1))
INTO = Manner("send, recv_into", "bytes", "into", copies=(1, 1))
FRAMES = Manner("send, recv, copy=False", "copy=False", "copy=False", copies=(1, 0))
ZERO = Manner("alloc, recv copy=False", "alloc", "copy=False", ours_only=True, copies=(0, 0))
PUBLISHED = Manner("PUB to 8, recv copy=False", "bytes", "copy=False", readers=8, copies=(1, 0))
ARRAY = Manner("send_array, recv_array copy=False", "array", "array", ours_only=True, copies=(1, 0))
# numpy gathers a strided array in loops of its own, which are no memcpy: one pass that is not seen here.
STRIDED = Manner("the same, strided", "strided array", "array", ours_only=True, copies=(0, 0))
MANNERS = (PLAIN, INTO, FRAMES, ZERO, PUBLISHED, ARRAY, STRIDED)
LIBRARIES = ("shmzmq", "pyzmq-ipc")


@dataclass
class Found:
    """What `messages` messages took, in each process."""

    messages: int
    sender: Counts
    receivers: list[Counts]

    def copies(self) -> tuple[float, float]:
        """Of the sender and of a receiver, per message, by bytes."""
        each = self.messages * SIZE
        received = sum(one.copied_bytes for one in self.receivers) / len(self.receivers)
        return self.sender.copied_bytes / each, received / each


def build(into: Path) -> Path:
    """The counter as a library; raise BenchError if this machine cannot."""
    compiler = baselines.compiler()
    if compiler is None:
        raise bench.BenchError("no C compiler (cc, gcc, clang) on PATH")
    built = into / "copycount.so"
    # Its own loops must not be turned into calls of what it stands for, nor its calls be replaced.
    flags = ["-fno-builtin", "-fno-tree-loop-distribute-patterns", "-U_FORTIFY_SOURCE"]
    if "clang" in Path(compiler).name:
        flags.remove("-fno-tree-loop-distribute-patterns")
    command = [compiler, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-shared", "-fPIC", *flags]
    done = subprocess.run(
        [*command, "-o", str(built), str(SOURCE), "-ldl"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise bench.BenchError(f"copycount.c: {done.stderr.strip()[-400:]}")
    return built


def count(rival: Any, manner: Manner, counter: Path, scratch: Path, cap: int = 20) -> Found:
    """Counters of COUNTED messages in fresh processes."""
    with _preloaded(counter):
        crowd = Crowd(rival, scratch, max(1, manner.readers), cap=cap)
    with crowd:
        _link(crowd, manner)
        crowd.ask(crowd.hub, "prepare_to_carry", manner.send, SIZE)
        crowd.together([(side, ("prepare_to_fetch", (manner.recv, SIZE))) for side in crowd.others])
        for _ in range(WARM_BATCHES):
            # All in flight at once: later there are never more, whoever is faster.
            crowd.ask(crowd.hub, "carry", BATCH)
            crowd.together([(side, ("carry", (BATCH,))) for side in crowd.others])
        before = [crowd.ask(side, "counts") for side in crowd.members]
        for _ in range(BATCHES):
            crowd.together([(side, ("carry", (BATCH,))) for side in (*crowd.others, crowd.hub)])
        after = [crowd.ask(side, "counts") for side in crowd.members]
    hub, *others = (Counts(*late) - Counts(*early) for late, early in zip(after, before, strict=True))
    return Found(COUNTED, hub, others)


@contextmanager
def _preloaded(library: Path) -> Iterator[None]:
    """Children that are started meanwhile have the library before all others, and shmzmq copies by libc."""
    before = {name: os.environ.get(name) for name in ("LD_PRELOAD", "SHMZMQ_COPY")}
    others = before["LD_PRELOAD"]
    os.environ["LD_PRELOAD"] = f"{library}:{others}" if others else str(library)
    os.environ["SHMZMQ_COPY"] = "libc"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _link(crowd: Crowd, manner: Manner) -> None:
    if manner.readers:
        options = {"readers": manner.readers, "size": SIZE}
        address = crowd.ask(crowd.hub, "open", "publish", "", options)
        crowd.together([(side, ("open", ("subscribe", address, options))) for side in crowd.others])
        fanout.meet(crowd, crowd.others, fanout.SMALL)
    else:
        address = crowd.ask(crowd.others[0], "open", "pull", "", {})
        crowd.ask(crowd.hub, "open", "push", address, {})


def key(name: str, manner: Manner, what: str) -> Key:
    return Key("copies", f"{manner.name}: {what}", SIZE, WHERE, name)


def copies(run: Run) -> None:
    """Once, not in turns: a count is the same at every repetition, or a fault."""
    try:
        counter = build(run.scratch)
    except bench.BenchError as error:
        run.results.note(f"copies were not counted: {error}")
        return
    for manner in MANNERS:
        for rival in run.plan.rivals:
            if rival.name not in LIBRARIES or (manner.ours_only and rival.name != "shmzmq"):
                continue
            if run.late():
                run.results.note(f"copies, {manner.name}: not counted, the run's time was over")
                return
            run.say(f"copies, {manner.name}: {rival.name}")
            try:
                _file(run, rival.name, manner, count(rival, manner, counter, run.scratch, run.plan.cap))
            except bench.BenchError as error:
                run.results.fail(key(rival.name, manner, SENT), "", anonymous(str(error), run.scratch))


def _file(run: Run, name: str, manner: Manner, found: Found) -> None:
    sent, received = found.copies()
    many = len(found.receivers)
    through = found.sender.kernel_bytes + sum(one.kernel_bytes for one in found.receivers)
    figures = {
        SENT: sent,
        RECEIVED: received,
        KERNEL: through / (found.messages * SIZE),
        FAULTS_SENT: found.sender.faults / found.messages,
        FAULTS_RECEIVED: sum(one.faults for one in found.receivers) / (found.messages * many),
    }
    for what, value in figures.items():
        run.results.add(key(name, manner, what), "per message", value)
