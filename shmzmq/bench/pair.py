"""The parent's side: two children of one rival, and what it asks of them together."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from .ends import nothing
from .messages import BLOCK_MESSAGES, BenchError, block_length
from .rivals import Rival

PASS_BYTES = 2 << 30  # what one pass may move: HWM counts messages, so a queue may hold all of it

Command = tuple[str, tuple[Any, ...]]


@dataclass
class Side:
    process: BaseProcess
    control: Connection
    name: str

    def tell(self, command: Command) -> None:
        try:
            self.control.send(command)
        except OSError:
            raise BenchError(f"{self.name} process is gone ({self._fate()})") from None

    def take(self, asked: str) -> Any:
        try:
            state, answer = self.control.recv()
        except (EOFError, OSError):
            raise BenchError(f"{self.name} process ended during `{asked}` ({self._fate()})") from None
        if state != "ok":
            raise BenchError(f"{self.name}, {asked}: {answer}")
        return answer

    def _fate(self) -> str:
        self.process.join(1)
        code = self.process.exitcode
        return "ran out of time" if code == -signal.SIGALRM else f"exit code {code}"


class Pair:
    """Two children of one rival, started together, always reaped. Use as a context manager."""

    def __init__(
        self,
        target: Callable[..., None],
        rival: Rival,
        scratch: Path,
        *,
        size: int = 0,
        cpus: tuple[int | None, int | None] = (None, None),
        cap: int = 30,
    ) -> None:
        self.rival = rival
        self.cap = cap
        folder = Path(tempfile.mkdtemp(dir=scratch))  # a fresh address: the last pair is not in the way
        # Kept until the children are gone: a queue's named semaphores vanish with the parent's copy.
        self.wiring = rival.wire(folder, size)
        spawn = multiprocessing.get_context("spawn")
        sides: list[Side] = []
        for name, cpu in zip(("left", "right"), cpus, strict=True):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=target, args=(rival.name, self.wiring, theirs, cpu, cap), daemon=True
            )
            process.start()
            theirs.close()
            sides.append(Side(process, ours, name))
        self.left, self.right = sides

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for side in (self.left, self.right):
            with suppress(BenchError):
                side.tell(("stop", ()))
        for side in (self.left, self.right):
            reap(side.process)
            side.control.close()
        self.rival.clean(self.wiring)

    def ask(self, side: Side, command: str, *arguments: Any) -> Any:
        side.tell((command, arguments))
        if not side.control.poll(self.cap):
            raise BenchError(f"{self.rival.name} {side.name}: `{command}` gave no answer in {self.cap} s")
        return side.take(command)

    def both(self, left: Command, right: Command) -> tuple[Any, Any]:
        """Give each side a command, the receiving (right) one first; the first failure ends the wait."""
        self.right.tell(right)
        self.left.tell(left)
        open_ = {self.left.control: (self.left, left), self.right.control: (self.right, right)}
        answers: dict[str, Any] = {}
        deadline = time.monotonic() + self.cap
        while open_:
            ready = wait(list(open_), max(0.0, deadline - time.monotonic()))
            if not ready:
                waiting = ", ".join(f"{side.name} `{command[0]}`" for side, command in open_.values())
                raise BenchError(f"{self.rival.name}: no answer in {self.cap} s from {waiting}")
            for control in ready:
                assert isinstance(control, Connection)
                side, command = open_.pop(control)
                answers[side.name] = side.take(command[0])
        return answers["left"], answers["right"]

    def link(self, near: str, far: str, options: dict[str, Any] | None = None) -> None:
        """Open both ends, the binding one first."""
        address = self.ask(self.right, "open", far, "", options or {})
        self.ask(self.left, "open", near, address, options or {})

    def unlink(self) -> None:
        self.ask(self.left, "close")
        self.ask(self.right, "close")


def reap(process: BaseProcess) -> None:
    """End one child of ours, gently first."""
    for end in (nothing, process.terminate, process.kill):
        end()
        process.join(3)
        if process.exitcode is not None:
            break
    process.close()


def stream(pair: Pair, size: int, rounds: int, variant: str = "plain", work: int = 0) -> float:
    """Seconds from the first message sent to the last one verified."""
    started, ended = pair.both(("pour", (size, rounds, variant)), ("drain", (size, rounds, variant, work)))
    return float(ended - started) / 1e9


def messages_in(size: int, rounds: int, most: int = BLOCK_MESSAGES) -> int:
    """How many messages `stream` moves: the rounds and the one that counts them."""
    return rounds * block_length(size, most) + 1


def lasting(seconds: float, take: Callable[[int], float], cap: int = sys.maxsize) -> int:
    """How many rounds last about `seconds`, and no more than `cap`; also the warm-up of a fresh pair.

    take: goes through so many rounds and gives the seconds that they took
    """
    rounds = 1
    while True:
        took = take(rounds)
        last = rounds >= cap
        if last or took >= seconds / 6:
            # What was long may have been queues and memory that grew, and not the messages.
            took = take(rounds)
            if last or took >= seconds / 6:
                return max(1, min(cap, round(rounds * seconds / took)))
        rounds = min(cap, rounds * 4)


def pass_rounds(size: int, most: int = BLOCK_MESSAGES) -> int:
    """Most rounds of one pass."""
    return max(1, PASS_BYTES // (size * block_length(size, most)))


def settle(pair: Pair, size: int, seconds: float, variant: str = "plain", most: int = BLOCK_MESSAGES) -> int:
    """How many rounds of `stream` last about `seconds`."""
    # Who lends memory uses it again and again: its passes are bounded by time alone.
    cap = sys.maxsize if "zero" in pair.rival.kinds else pass_rounds(size, most)
    return lasting(seconds, lambda rounds: stream(pair, size, rounds, variant), cap)


def verify(pair: Pair, size: int) -> None:
    """One block through the link with every byte compared; no clock runs."""
    pair.both(("show", (size,)), ("verify", (size,)))
