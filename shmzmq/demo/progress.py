"""How far the demo is, for a person who waits: a bar on a terminal, elsewhere nothing."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]
"""Called with the stage ("counting", "checking"), the files done, and the files in all."""


@contextlib.contextmanager
def progress_shown() -> Iterator[Progress | None]:
    """A bar on a terminal: rich's if it is installed, a plain line otherwise; elsewhere nothing."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    try:
        import rich.console
        import rich.progress
    except ImportError:
        with _plain_progress() as plain:
            yield plain
        return
    with rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True) as bar:
        stages: dict[str, rich.progress.TaskID] = {}

        @_ten_times_a_second
        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(f"{stage} {total:,} files", total=total)
            bar.update(stages[stage], completed=done)

        yield show


@contextlib.contextmanager
def _plain_progress() -> Iterator[Progress]:
    @_ten_times_a_second
    def show(stage: str, done: int, total: int) -> None:
        print(f"\r{stage}: {done:,} of {total:,} files ", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        # Leave a clean line to whoever writes next.
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _ten_times_a_second(show: Progress) -> Progress:
    """Show what an eye can follow; once per file was seen to double the time of the plain count."""
    due = 0.0

    def seldom(stage: str, done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + 0.1
            show(stage, done, total)

    return seldom
