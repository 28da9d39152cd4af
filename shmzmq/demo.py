"""The main job: count the words of a real corpus with a ventilator, workers and a sink.

This file knows corpora, processes and what they say to each other. It sees sockets only through the public
API, as any user's program would, and takes no short cut through the library's insides.

Theory of operation. The caller's process is the sink; it starts one ventilator and N workers by spawn::

    parent --go, stop--> ventilator ==files==> worker-1..N ==counts==> parent
    parent --stop------> worker-1..N           (and every child says hello to the parent first)

    tasks          ventilator's PUSH binds, every worker's PULL connects
    results        parent's PULL binds, every child's PUSH connects: hello, counts, sent
    orders-<name>  parent's PUSH binds, one child's PULL connects: go, stop

1. Every child connects and says `hello`. When all have, the parent orders `go` and the clock starts, so that
   the rate speaks of messages and not of interpreters being started.
2. The ventilator reads the files and pushes them in batches; the workers answer each batch with its counts.
   After the last batch the ventilator reports `sent` with the number of batches: `sent` may overtake counts,
   so the sink is done when it has that many counts, whatever the order.
3. Then every child is told to `stop` on its own pipe. A worker reads that pipe with the same PULL as its
   tasks; no task can be waiting behind a stop, because every batch was answered before. Nobody competes for
   somebody else's stop, and nothing is lost with a pipe that closes too early.

Hence the rule that makes death visible: **no child ends before it was told to stop**. Whoever does has died,
and the parent, which looks at its children every POLL_MS while it waits, says so instead of waiting for ever.
In the other direction each child watches the parent and leaves when it is gone.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import re
import signal
import stat
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import shmzmq as zmq

# The kinds of message, as first frame: who sends it to whom.
HELLO = b"hello"  # child -> parent: my sockets are connected; [HELLO, name]
GO = b"go"  # parent -> ventilator: send these files; [GO, paths joined by NUL]
COUNTED = b"counted"  # worker -> parent: one batch is counted; [COUNTED, tally]
SENT = b"sent"  # ventilator -> parent: that was the last; [SENT, number of batches, tally of the unreadable]
STOP = b"stop"  # parent -> child: end; [STOP]. A batch is pairs of frames: one frame alone is none.

# Big enough that the frame count is small beside the words in it, small enough that two dozen batches keep
# several workers busy to the end.
BATCH_BYTES = 256 * 1024
# Each worker has at most this many batches in either queue of its task pipe. With libzmq's default of 1000
# the worker that connects first would be given the whole corpus.
BATCHES_AHEAD = 4
# How long the parent waits before it looks at its children again.
POLL_MS = 100
# How long a child may take to end after its stop, in seconds.
END_SECONDS = 5.0
# A file with a NUL among its first bytes is no text; this many are looked at before the rest is read.
SNIFF_BYTES = 8192

_WORD = re.compile(r"[^\W\d_]+")

Progress = Callable[[str, int, int], None]
"""Called with the stage ("counting", "checking"), the files done, and the files in all."""


class CorpusError(ValueError):
    """The given paths are no corpus: name other ones. Nothing was started."""


class ChildDied(RuntimeError):
    """A process of the demo ended before its time; the text says which and how.

    The count is lost and every other process has been ended. Run again; if it was not you who killed it
    (or the kernel, for want of memory), its own last words are on stderr.
    """


# ---------------------------------------------------------------------------------------------- corpus


def count_words(text: str) -> Counter[str]:
    """Count the words of a text: runs of letters of any script, in lower case."""
    return Counter(_WORD.findall(text.lower()))


def find_files(paths: Sequence[str | Path] = ()) -> list[Path]:
    """List the files of a corpus in a stable order.

    Shape    paths: files, or directories of which every regular file counts, hidden ones aside;
             none at all means the .py files of this Python's standard library.
    Raises   CorpusError   a path does not exist, is no file or directory, or there are no files.
    """
    files = [file for path in paths for file in _files_at(path)] if paths else _standard_library()
    if not files:
        where = ", ".join(repr(str(path)) for path in paths) or "the standard library of this Python"
        raise CorpusError(f"no files found in {where}")
    return files


def _files_at(given: str | Path) -> list[Path]:
    path = Path(given)
    try:
        mode = os.stat(given).st_mode  # not path.stat(): Path("") is the current directory
    except (OSError, ValueError) as error:  # ValueError: a NUL within the name
        reason = getattr(error, "strerror", None) or str(error)
        raise CorpusError(f"cannot use {str(given)!r}: {reason}") from error
    if stat.S_ISDIR(mode):
        return list(_walk(path, lambda name: not name.startswith(".")))
    if stat.S_ISREG(mode):
        return [path]
    raise CorpusError(f"cannot use {str(given)!r}: neither a regular file nor a directory")


def _walk(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Regular files below root in sorted order; a pipe or device would make the reader wait for ever."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(filter(wanted, folders))
        for name in sorted(filter(wanted, names)):
            if (file := Path(folder, name)).is_file():
                yield file


def _standard_library() -> list[Path]:
    # Installed packages live below the standard library but are no part of it.
    foreign = {"site-packages", "dist-packages", "__pycache__"}
    root = Path(sysconfig.get_path("stdlib"))
    return [file for file in _walk(root, lambda name: name not in foreign) if file.suffix == ".py"]


@dataclass
class Tally:
    """What was counted: in one batch, in a whole corpus, with messages or without.

    Two tallies of the same files are equal, however the files were divided. `size` is in bytes; files that
    were skipped, as unreadable or as no text, are in neither `files` nor `size`.
    """

    words: Counter[str] = field(default_factory=Counter)
    files: int = 0
    size: int = 0
    unreadable: int = 0
    not_text: int = 0

    @property
    def done(self) -> int:
        """Files dealt with, counted or skipped."""
        return self.files + self.unreadable + self.not_text

    def add_file(self, content: bytes) -> None:
        """Count one file; what is not UTF-8 is no text and skipped."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            self.not_text += 1
            return
        self.words.update(count_words(text))
        self.files += 1
        self.size += len(content)

    def read_file(self, path: Path) -> bytes | None:
        """The file's bytes, or None when it was skipped: it cannot be read, or begins like a binary."""
        try:
            with path.open("rb", buffering=0) as file:
                head = file.read(SNIFF_BYTES)
                if b"\0" not in head:
                    return head + file.readall()
        except OSError:
            self.unreadable += 1
        else:
            self.not_text += 1
        return None

    def add(self, other: "Tally") -> None:
        """Add what another tally counted."""
        self.words.update(other.words)
        self.files += other.files
        self.size += other.size
        self.unreadable += other.unreadable
        self.not_text += other.not_text

    def pack(self) -> bytes:
        """As one frame. JSON, because reading it runs nobody's code."""
        return json.dumps(vars(self)).encode()

    @classmethod
    def unpack(cls, frame: bytes) -> Self:
        """From what pack() made."""
        fields: dict[str, Any] = json.loads(frame)
        return cls(words=Counter(fields.pop("words")), **fields)

    def differences(self, other: "Tally", limit: int = 5) -> list[str]:
        """Say in words where the other tally differs, at most `limit` words of the corpus among it."""
        found = [
            f"{name}: {getattr(self, name):,} against {getattr(other, name):,}"
            for name in ("files", "size", "unreadable", "not_text")
            if getattr(self, name) != getattr(other, name)
        ]
        unequal = sorted(w for w in self.words.keys() | other.words.keys() if self.words[w] != other.words[w])
        found += [f"word {w!r}: {self.words[w]:,} against {other.words[w]:,}" for w in unequal[:limit]]
        if len(unequal) > limit:
            found.append(f"and {len(unequal) - limit:,} more words")
        return found


def plain_count(files: Sequence[Path], progress: Progress | None = None) -> Tally:
    """Count the same files in this one process, without a message: what the demo is checked against."""
    tally = Tally()
    for file in files:
        content = tally.read_file(file)
        if content is not None:
            tally.add_file(content)
        if progress:
            progress("checking", tally.done, len(files))
    return tally


# -------------------------------------------------------------------------------------------- children


def _endpoint(folder: str, name: str) -> str:
    return f"ipc://{folder}/{name}"


def _die_with_parent() -> None:
    """End this process when the parent is gone: a parent killed by -9 could tell nobody to stop."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def _ventilate(folder: str, name: str, batch_bytes: int) -> None:
    """Life of the ventilator: hello, go, every file in batches, sent, stop."""
    _die_with_parent()
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as orders,
        context.socket(zmq.PUSH) as tasks,
        context.socket(zmq.PUSH) as results,
    ):
        tasks.setsockopt(zmq.SNDHWM, BATCHES_AHEAD)
        tasks.bind(_endpoint(folder, "tasks"))
        orders.connect(_endpoint(folder, f"orders-{name}"))
        results.connect(_endpoint(folder, "results"))
        results.send_multipart([HELLO, name.encode()])
        _, listing = orders.recv_multipart()
        files = [Path(os.fsdecode(path)) for path in listing.split(b"\0")]
        skipped, batches = Tally(), 0
        for batch in _batches(files, batch_bytes, skipped):
            tasks.send_multipart(batch)
            batches += 1
        results.send_multipart([SENT, b"%d" % batches, skipped.pack()])
        orders.recv()


def _batches(files: Sequence[Path], batch_bytes: int, skipped: Tally) -> Iterator[list[bytes]]:
    """Frames [name, bytes, name, bytes, ...]: whole files, and the last of them makes the batch full."""
    batch: list[bytes] = []
    size = 0
    for file in files:
        content = skipped.read_file(file)
        if content is None:
            continue
        batch += [os.fsencode(file), content]
        size += len(content)
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _work(folder: str, name: str) -> None:
    """Life of a worker: hello, counts for every batch, stop."""
    _die_with_parent()
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as tasks,
        context.socket(zmq.PUSH) as results,
    ):
        tasks.setsockopt(zmq.RCVHWM, BATCHES_AHEAD)
        # The ventilator may bind a moment after we connect; the default of 100 ms would show in the rate.
        tasks.setsockopt(zmq.RECONNECT_IVL, 10)
        tasks.connect(_endpoint(folder, "tasks"))
        tasks.connect(_endpoint(folder, f"orders-{name}"))
        results.connect(_endpoint(folder, "results"))
        results.send_multipart([HELLO, name.encode()])
        while (batch := tasks.recv_multipart()) != [STOP]:
            tally = Tally()
            for content in batch[1::2]:
                tally.add_file(content)
            results.send_multipart([COUNTED, tally.pack()])


# ---------------------------------------------------------------------------------------------- parent


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment and for the children started meanwhile.

    A terminal sends it to the whole process group; the children must leave it to the parent, which ends them,
    instead of printing a traceback each. A spawned child inherits the mask; ours is put back, and what came
    meanwhile is delivered then. The tracker is started first because its start unblocks SIGINT by itself
    (CPython, Lib/multiprocessing/resource_tracker.py, 3.11).
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Child:
    """A process and the private pipe on which it takes orders; the crew owns both."""

    process: SpawnProcess
    orders: zmq.Socket

    def raise_if_dead(self) -> None:
        if not self.process.is_alive():
            raise ChildDied(f"{self} {self._how_it_ended()} before the work was done")

    def raise_if_unclean(self, deadline: float) -> None:
        """After its stop a child has until the deadline, and must end without an error."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.exitcode is None:
            raise ChildDied(f"{self} did not end within {END_SECONDS:g} s of being told to stop")
        if self.process.exitcode != 0:
            raise ChildDied(f"{self} {self._how_it_ended()} after the work was done")

    def _how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:  # real-time signals have no name
            return f"was killed by signal {-code}"

    def __str__(self) -> str:
        return f"{self.process.name} (pid {self.process.pid})"


class _Crew:
    """The parent's side of everything: folder, context, sink, children with their orders.

    All of it is made in __enter__ and ended in __exit__, in this order: children (killed if they still run),
    sockets, context, folder. Only the parent's one thread uses it.
    """

    def __init__(self, workers: int, batch_bytes: int) -> None:
        self._workers = workers
        self._batch_bytes = batch_bytes
        self._children: list[_Child] = []
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._exit as stack:
            self._folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shmzmq-demo-"))
            self._context = stack.enter_context(zmq.Context())
            self._results = self._bind(zmq.PULL, "results")
            workers = [f"worker-{number}" for number in range(1, self._workers + 1)]
            orders = {name: self._bind(zmq.PUSH, f"orders-{name}") for name in ("ventilator", *workers)}
            stack.callback(self._kill_all)
            with _interrupts_held():
                self._start(orders, "ventilator", _ventilate, self._batch_bytes)
                for name in workers:
                    self._start(orders, name, _work)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def _bind(self, kind: int, name: str) -> zmq.Socket:
        socket: zmq.Socket = self._exit.enter_context(self._context.socket(kind))
        # Nothing of ours is worth waiting for at the end: a stop that matters was obeyed by then.
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDTIMEO, POLL_MS)
        socket.setsockopt(zmq.RCVTIMEO, POLL_MS)
        socket.bind(_endpoint(self._folder, name))
        return socket

    def _start(self, orders: dict[str, zmq.Socket], name: str, life: Callable[..., None], *more: int) -> None:
        # Arguments stay small: the child reads them from a pipe, and a child killed before it does would
        # leave the parent writing for ever. The list of files therefore goes as a message.
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=life, name=name, args=(self._folder, name, *more), daemon=True)
        process.start()
        self._children.append(_Child(process, orders[name]))

    def _kill_all(self) -> None:
        """End what still runs; nobody has anything to save."""
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.join()

    def _receive(self) -> list[bytes]:
        """The next message to the sink; ChildDied within POLL_MS when a child is gone."""
        while True:
            for child in self._children:
                child.raise_if_dead()
            with contextlib.suppress(zmq.Again):
                return self._results.recv_multipart()

    def _order(self, child: _Child, *frames: bytes) -> None:
        """Tell one child; ChildDied when it dies before it can be told."""
        while True:
            child.raise_if_dead()
            with contextlib.suppress(zmq.Again):
                child.orders.send_multipart(frames)
                return

    def wait_until_ready(self) -> None:
        """Until every child has said hello."""
        missing = {child.process.name.encode() for child in self._children}
        while missing:
            _, name = self._receive()
            missing.remove(name)

    def count(self, files: Sequence[Path], progress: Progress | None) -> tuple[Tally, int]:
        """Have the files counted; returns the tally and how many messages carried files or counts."""
        self._order(self._children[0], GO, b"\0".join(map(os.fsencode, files)))
        tally, counted, expected = Tally(), 0, -1
        while counted != expected:
            kind, *frames = self._receive()
            if kind == SENT:
                expected = int(frames[0])
            else:
                counted += 1
            tally.add(Tally.unpack(frames[-1]))
            if progress:
                progress("counting", tally.done, len(files))
        return tally, 2 * counted

    def stop(self) -> None:
        """Send every child home and see that it goes in peace."""
        for child in self._children:
            self._order(child, STOP)
        deadline = time.monotonic() + END_SECONDS
        for child in self._children:
            child.raise_if_unclean(deadline)


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
    with _Crew(workers, batch_bytes) as crew:
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


# --------------------------------------------------------------------------------------------- command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq demo` takes."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files or directories to count (default: the .py files of Python's standard library)",
    )
    parser.add_argument(
        "--workers",
        type=_at_least(1),
        metavar="N",
        help=f"worker processes (default: one per CPU, here {default_workers()})",
    )
    parser.add_argument(
        "--batch",
        type=_at_least(1),
        default=BATCH_BYTES,
        metavar="BYTES",
        help="files go together until they have this many bytes; 1 sends each alone (default: %(default)s)",
    )
    parser.add_argument(
        "--top", type=_at_least(0), default=10, metavar="K", help="words to show (default: %(default)s)"
    )
    parser.add_argument("--no-check", action="store_true", help="do not count again in a single process")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def run(args: argparse.Namespace) -> int:
    """Run `shmzmq demo`. Returns the exit code: 0 counted, 1 failed or unequal, 2 no such corpus."""
    try:
        with _progress_shown() as progress:
            result = run_demo(
                args.paths, args.workers, args.batch, check=not args.no_check, progress=progress
            )
    except CorpusError as error:
        return _complain(error, 2)
    except (ChildDied, zmq.ZMQError, OSError) as error:
        return _complain(error, 1)
    print(_as_json(result, args.top) if args.json else _as_text(result, args.top))
    return 1 if result.equal is False else 0


def _complain(error: Exception, code: int) -> int:
    print(f"shmzmq demo: {error}", file=sys.stderr)
    return code


def _as_text(result: DemoResult, top: int) -> str:
    tally, rate = result.tally, result.per_second
    lines = [f"{word:<20}{count:>12,}" for word, count in tally.words.most_common(top)]
    lines += [""] if lines else []
    lines.append(
        f"corpus: {_some(tally.files, 'file')}, {_megabytes(tally.size)}, "
        f"{_some(tally.words.total(), 'word')}, {len(tally.words):,} of them different"
    )
    if tally.unreadable or tally.not_text:
        lines.append(f"skipped: {tally.not_text:,} not UTF-8 text, {tally.unreadable:,} unreadable")
    lines.append(f"time: {result.seconds:.2f} s with {_some(result.workers, 'worker process', 'es')}")
    lines.append(
        f"rate: {rate(tally.files):,.0f} files/s, {_megabytes(rate(tally.size))}/s, "
        f"{rate(result.messages):,.0f} messages/s"
    )
    return "\n".join(lines + _check_lines(result))


def _some(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _check_lines(result: DemoResult) -> list[str]:
    if result.plain is None:
        return []
    lines = [f"plain: {result.plain_seconds:.2f} s for the same count in one process without messages"]
    if result.equal:
        return [*lines, "check: equal"]
    lines.append("check: DIFFERENT (workers against plain)")
    lines += [f"  {line}" for line in result.tally.differences(result.plain)]
    if (result.tally.files, result.tally.size) != (result.plain.files, result.plain.size):
        lines.append("  (the two counts read different bytes: were files written or removed meanwhile?)")
    return lines


def _as_json(result: DemoResult, top: int) -> str:
    tally, rate = result.tally, result.per_second
    verdict = {None: "skipped", True: "equal", False: "different"}[result.equal]
    return json.dumps(
        {
            "files": tally.files,
            "bytes": tally.size,
            "words": tally.words.total(),
            "different_words": len(tally.words),
            "skipped_not_text": tally.not_text,
            "skipped_unreadable": tally.unreadable,
            "workers": result.workers,
            "messages": result.messages,
            "seconds": result.seconds,
            "files_per_second": rate(tally.files),
            "bytes_per_second": rate(tally.size),
            "messages_per_second": rate(result.messages),
            "plain_seconds": None if result.plain is None else result.plain_seconds,
            "check": verdict,
            "differences": [] if result.plain is None else tally.differences(result.plain),
            "top": tally.words.most_common(top),
        },
        indent=2,
    )


@contextlib.contextmanager
def _progress_shown() -> Iterator[Progress | None]:
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
