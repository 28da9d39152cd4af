"""The parent's side: the children, their orders, the sink, and who ends what."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Self

import shmzmq as zmq
from shmzmq.demo.children import ventilate, work
from shmzmq.demo.messages import GO, SENT, STOP, endpoint
from shmzmq.demo.progress import Progress
from shmzmq.demo.tally import Tally

# How long the parent waits before it looks at its children again.
POLL_MS = 100
# How long a child may take to end after its stop, in seconds.
END_SECONDS = 5.0


class ChildDied(RuntimeError):
    """A process of the demo ended before its time; the text says which and how.

    The count is lost and every other process has been ended. Run again; if it was not you who killed it
    (or the kernel, for want of memory), its own last words are on stderr.
    """


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


class Crew:
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
                self._start(orders, "ventilator", ventilate, self._batch_bytes)
                for name in workers:
                    self._start(orders, name, work)
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
        socket.bind(endpoint(self._folder, name))
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
