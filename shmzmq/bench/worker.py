"""The life of a measuring process: it opens one end and obeys one command after the other."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from .ends import End, describe_trips, drain, echo, perf, ping, pour
from .messages import BLOCK_MESSAGES, BenchError, check, make_block, make_message
from .rivals import Rival, rival_named


def pin(cpu: int | None) -> None:
    """Put every thread of this process on one CPU; the threads of a library are part of what it costs."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        return
    tasks = Path("/proc/self/task")
    for task in os.listdir(tasks) if tasks.exists() else [0]:
        with suppress(OSError):  # a thread may end while we look
            os.sched_setaffinity(int(task), {cpu})


def _unopened(*_: Any) -> Any:
    raise BenchError("no link is open")


class Worker:
    """What a child can be told: each `do_` method is one command. Holds at most one end at a time."""

    most: ClassVar[dict[str, int]] = {"plain": BLOCK_MESSAGES}  # messages in a block, by variant

    def __init__(self, rival: Rival, wiring: Any) -> None:
        self.rival = rival
        self.wiring = wiring
        self.end = End(_unopened, _unopened)
        self.blocks: dict[tuple[int, int], list[bytes]] = {}

    def block(self, size: int, variant: str = "plain") -> list[bytes]:
        most = self.most[variant]
        if (size, most) not in self.blocks:
            self.blocks[size, most] = make_block(size, most)
        return self.blocks[size, most]

    def pour(self, block: list[bytes], rounds: int, variant: str) -> None:
        pour(self.end.send, block, rounds)

    def drain(self, block: list[bytes], rounds: int, variant: str, work: int) -> None:
        drain(self.end.recv, block, rounds)

    def do_open(self, role: str, address: str, options: dict[str, Any]) -> str:
        self.end = self.rival.open(role, self.wiring, address, options)
        return self.end.address

    def do_close(self) -> None:
        self.end.close()
        self.end = End(_unopened, _unopened)

    def do_pin(self, cpu: int | None) -> None:
        pin(cpu)

    def do_show(self, size: int) -> None:
        """Send one block, for `do_verify`."""
        pour(self.end.send, self.block(size), 1)

    def do_verify(self, size: int) -> None:
        """Receive one block and compare every byte."""
        for expected in self.block(size):
            check(self.end.recv(), expected, whole=True)

    def do_pour(self, size: int, rounds: int, variant: str) -> int:
        """Send rounds of blocks and a last message that says how many there were; when the first left."""
        block = self.block(size, variant)
        trailer = make_message(rounds * len(block), size)
        started = perf()
        self.pour(block, rounds, variant)
        self.end.send(trailer)
        return started

    def do_drain(self, size: int, rounds: int, variant: str, work: int) -> int:
        """Receive what do_pour sends; when the last one had been verified."""
        block = self.block(size, variant)
        trailer = make_message(rounds * len(block), size)
        self.drain(block, rounds, variant, work)
        check(self.end.recv(), trailer)
        return perf()

    def do_ping(self, size: int, seconds: float, pause: float) -> dict[str, float]:
        return describe_trips(ping(self.end, size, seconds, pause))

    def do_pong(self) -> None:
        echo(self.end)


def obey(worker: Worker, control: Connection, cpu: int | None, cap: int) -> None:
    """A child's life: one command after the other, until told to stop or left alone for `cap` seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    pin(cpu)
    while control.poll(cap):
        command, arguments = control.recv()
        if command == "stop":
            break
        signal.alarm(cap)
        try:
            answer = ("ok", getattr(worker, "do_" + command)(*arguments))
        except BaseException as error:
            # Whatever a library raises is its row's text; the child goes on so that it can be stopped.
            kind = type(error).__name__
            answer = ("failed", str(error) if isinstance(error, BenchError) else f"{kind}: {error}")
        signal.alarm(0)
        control.send(answer)
    control.close()
    signal.alarm(3)
    with suppress(Exception):
        worker.end.close()  # some libraries leave files behind unless closed
    # Linger, atexit hooks and feeder threads of a library must not decide how long a run takes.
    os._exit(0)


def child(rival: str, wiring: Any, control: Connection, cpu: int | None, cap: int) -> None:
    """Entry of a spawned process under `shmzmq bench`."""
    obey(Worker(rival_named(rival), wiring), control, cpu, cap)
