"""One run of the demo, and what came out. This file knows no socket."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shmzmq.demo.corpus import find_files
from shmzmq.demo.crew import Crew
from shmzmq.demo.messages import BATCH_BYTES
from shmzmq.demo.progress import Progress
from shmzmq.demo.tally import Tally, plain_count


@dataclass(frozen=True)
class DemoResult:
    """What run_demo() found and how long it took.

    tally          what the workers counted.
    workers        number of worker processes.
    messages       messages that carried files or counts.
    seconds        from the first order to the last count; the start of the processes is not in it.
    plain          the plain single-process count of the same files, None when it was not asked for.
    plain_seconds  how long that took; the files were in the page cache by then.
    """

    tally: Tally
    workers: int
    messages: int
    seconds: float
    plain: Tally | None = None
    plain_seconds: float = 0.0

    @property
    def equal(self) -> bool | None:
        """Whether both counts agree, None without a check."""
        return None if self.plain is None else self.plain == self.tally

    def per_second(self, quantity: float) -> float:
        """A quantity of the whole run as a rate."""
        return quantity / max(self.seconds, 1e-9)


def default_workers() -> int:
    """The number of CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_demo(
    paths: Sequence[str | Path] = (),
    workers: int | None = None,
    batch_bytes: int = BATCH_BYTES,
    *,
    check: bool = True,
    progress: Progress | None = None,
) -> DemoResult:
    """Count the words of a corpus with processes that talk over ipc.

    Shape    paths: see find_files(). workers: None means default_workers(). batch_bytes: a message is
             full when its files have this many bytes. check: count again in this process, to compare.
    Raises   CorpusError   the paths are no corpus; nothing was started.
             ValueError    workers < 1; nothing was started.
             ChildDied     a process was lost; the others are ended too, nothing is left behind.
             ZMQError, OSError   the system refused a socket or a process; nothing is left behind.
    """
    workers = default_workers() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers={workers}: at least one is needed")
    files = find_files(paths)
    with Crew(workers, batch_bytes) as crew:
        crew.wait_until_ready()
        begin = time.perf_counter()
        tally, messages = crew.count(files, progress)
        seconds = time.perf_counter() - begin
        crew.stop()
    if not check:
        return DemoResult(tally, workers, messages, seconds)
    begin = time.perf_counter()
    plain = plain_count(files, progress)
    return DemoResult(tally, workers, messages, seconds, plain, time.perf_counter() - begin)
