"""`shmzmq bench`: how fast is this machine, with us and with what else is installed?

A short measurement that ships in the wheel: messages one way and round trips, shmzmq beside pyzmq and
multiprocessing, in turns (A B C A B C ...), so that a machine that slows down slows all of them.
The long one, with C baselines, system calls, memory and the project's targets, is `python -m benchmarks`
in the repository. It loads this file by its path for the parts both need.

    parent                         left child                    right child
      |-- open(role, address) ------>|  send ================> recv |   the library under test
      |-- pour / ping -------------->|                              |
      |-- drain / pong ---------------------------------------------->|
      |<------------------------------ when the first message left  |
      |<---------------------------------------------- when the last one had been verified

Each child is a fresh spawned process, pinned, and obeys one command at a time. Every wait has a cap: the
parent's by `connection.wait`, a child's by SIGALRM, which also ends a child that hangs inside a C call.

This file imports nothing but the standard library at its top and nothing of shmzmq at all, except by name
in the child that measures shmzmq: a rival's process must not contain our library. (Under `shmzmq bench` it
does, imported and unused, because the main module is ours; under `python -m benchmarks` it does not.)
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import multiprocessing
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, repeat
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar

HEAD = struct.Struct("<QQ")  # every message begins with its number and its size
BLOCK_MESSAGES = 256
BLOCK_BYTES = 1 << 18
PASS_BYTES = 2 << 30  # what one pass may move: HWM counts messages, so a queue may hold all of it
SPIN_US = 1000  # our socket option, by number: an older shmzmq may not name it

perf = time.perf_counter_ns  # CLOCK_MONOTONIC on Linux, hence comparable between processes


class BenchError(Exception):
    """A measurement did not happen; the text says which and why. Other measurements are not affected."""


class BrokenLibrary(BenchError):
    """A library lost, repeated or changed a message; what it was seen to do fast does not count."""


# --- messages --------------------------------------------------------------------------------------------


def make_message(number: int, size: int) -> bytes:
    """One message of `size` bytes (at least 16) that says its number and differs from its neighbours."""
    if size < HEAD.size:
        raise BenchError(f"size={size} is below {HEAD.size}, no room for number and size")
    filler = random.Random(number).randbytes(min(size, 4096))
    return (HEAD.pack(number, size) + filler * (size // len(filler) + 1))[:size]


def block_length(size: int, most: int = BLOCK_MESSAGES) -> int:
    return max(2, min(most, BLOCK_BYTES // size))


def make_block(size: int, most: int = BLOCK_MESSAGES) -> list[bytes]:
    """Distinct messages, made before the clock starts and sent round after round.

    At least two, so that a library cannot live off one; few when they are large, so that copying warm
    or cold memory is the same question for every library.
    """
    return [make_message(number, size) for number in range(block_length(size, most))]


def check(message: Any, expected: bytes, *, whole: bool = False) -> None:
    """Raise BrokenLibrary unless `message` is the expected one (its head and length, or every byte)."""
    view = memoryview(message)
    if len(view) != len(expected) or view[: HEAD.size] != expected[: HEAD.size]:
        seen = HEAD.unpack_from(view) if len(view) >= HEAD.size else "nothing"
        raise BrokenLibrary(f"expected message {HEAD.unpack_from(expected)}, got {seen} in {len(view)} bytes")
    if whole and view != expected:
        raise BrokenLibrary(f"message {HEAD.unpack_from(expected)[0]} arrived with other bytes")


# --- one end of a link, as a library offers it -----------------------------------------------------------


def _nothing() -> None:
    """The `close` of ends that end with their process."""


@dataclass(slots=True)
class End:
    """A library's own bound methods, so that the timed loop calls them without a wrapper of ours."""

    send: Callable[[Any], Any]
    recv: Callable[[], Any]
    close: Callable[[], Any] = _nothing
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


# --- the libraries ---------------------------------------------------------------------------------------


class Rival:
    """A library to measure. The parent calls `available`, `version` and `wire`; a child calls `open`."""

    name = ""
    module = ""
    distribution = ""
    kinds: frozenset[str] = frozenset({"oneway", "roundtrip"})
    sizes: tuple[int, int] = (0, sys.maxsize)  # smallest and largest message it is asked to carry

    def available(self) -> bool:
        """Whether it is installed, found out without importing it here."""
        with suppress(ImportError, ValueError):
            return importlib.util.find_spec(self.module) is not None
        return False

    def version(self) -> str:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        with suppress(PackageNotFoundError):
            return installed(self.distribution or self.module)
        return "unknown"

    def wire(self, scratch: Path, size: int) -> Any:
        """What both children need to find each other; anything a spawned process can be given."""
        return str(scratch)

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> End:
        """Open the end for `role`: pull and pong first, then push and ping with the address they returned."""
        raise NotImplementedError

    def clean(self, wiring: Any) -> None:
        """In the parent, when both children are gone: remove what the library leaves behind."""


class ZmqRival(Rival):
    """Any module with pyzmq's API: PUSH to PULL one way, PAIR to PAIR for round trips."""

    kinds = frozenset({"oneway", "roundtrip", "connect", "inproc", "idle"})

    def __init__(
        self, name: str, module: str, distribution: str, *, scheme: str = "ipc", copy: bool = True
    ) -> None:
        self.name = name
        self.module = module
        self.distribution = distribution
        self.scheme = scheme
        self.copy = copy
        if scheme != "ipc":
            self.kinds = frozenset({"oneway", "roundtrip", "connect"})
        if not copy:
            self.kinds = frozenset({"oneway"})
            self.sizes = (65536, sys.maxsize)  # below, frames are known to cost more than copies

    def socket(self, context: Any, kind: str, options: dict[str, Any]) -> Any:
        zmq = importlib.import_module(self.module)
        made = context.socket(getattr(zmq, kind))
        if "spin_us" in options and self.module == "shmzmq":
            made.setsockopt(SPIN_US, options["spin_us"])
        return made

    def address(self, scratch: str, label: str) -> str:
        return f"ipc://{scratch}/{label}" if self.scheme == "ipc" else "tcp://127.0.0.1:*"

    def bind(self, socket: Any, address: str) -> str:
        """Bind and return where peers can connect."""
        socket.bind(address)
        if self.scheme == "ipc":
            return address
        zmq = importlib.import_module(self.module)
        bound = socket.getsockopt(zmq.LAST_ENDPOINT)
        return bound.decode().rstrip("\0") if isinstance(bound, bytes) else str(bound)

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> End:
        zmq = importlib.import_module(self.module)
        context = zmq.Context()
        kind = {"push": "PUSH", "pull": "PULL"}.get(role, "PAIR")
        socket = self.socket(context, kind, options)
        if role in {"pull", "pong"}:
            address = self.bind(socket, self.address(wiring, role))
        else:
            socket.connect(address)

        def close() -> None:
            socket.close(0)
            context.term()

        if self.copy:
            return End(socket.send, socket.recv, close, address)
        return End(partial(socket.send, copy=False), partial(socket.recv, copy=False), close, address)

    def open_local(self) -> tuple[End, End]:
        """Two ends of an inproc pair in the calling thread."""
        zmq = importlib.import_module(self.module)
        context = zmq.Context()
        near, far = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        far.bind("inproc://bench")
        near.connect("inproc://bench")

        def close() -> None:
            near.close(0)
            far.close(0)
            context.term()

        return End(near.send, near.recv, close), End(far.send, far.recv)


class ShmzmqRival(ZmqRival):
    """Ourselves. A source tree without its native module has the package but not the library."""

    def available(self) -> bool:
        with suppress(ImportError):
            return importlib.util.find_spec("shmzmq._native") is not None
        return False

    def version(self) -> str:
        """Its own word: a source tree has no distribution, and asking one must not import it here."""
        asked = [sys.executable, "-c", "import shmzmq; print(shmzmq.__version__)"]
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                asked, capture_output=True, text=True, timeout=20, check=True
            ).stdout.strip()
        return "unknown"


class PipeRival(Rival):
    """multiprocessing.Pipe with send_bytes and recv_bytes: no pickle, its fastest documented form."""

    name = "mp-pipe"
    module = "multiprocessing"

    def version(self) -> str:
        return "stdlib"

    def wire(self, scratch: Path, size: int) -> Any:
        spawn = multiprocessing.get_context("spawn")
        reader, writer = spawn.Pipe(duplex=False)
        near, far = spawn.Pipe(duplex=True)
        return {"pull": reader, "push": writer, "ping": near, "pong": far}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> End:
        mine: Connection = wiring[role]
        return End(mine.send_bytes, mine.recv_bytes)


class QueueRival(Rival):
    """multiprocessing.Queue: objects are pickled and a feeder thread writes them, as its users have it."""

    name = "mp-queue"
    module = "multiprocessing"

    def version(self) -> str:
        return "stdlib"

    def wire(self, scratch: Path, size: int) -> Any:
        spawn = multiprocessing.get_context("spawn")
        return {"there": spawn.Queue(), "back": spawn.Queue()}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> End:
        there, back = wiring["there"], wiring["back"]
        if role in {"push", "ping"}:
            return End(there.put, back.get)
        return End(back.put, there.get)


RIVALS: tuple[Rival, ...] = (
    ShmzmqRival("shmzmq", "shmzmq", "shmzmq"),
    ZmqRival("pyzmq-ipc", "zmq", "pyzmq"),
    PipeRival(),
    QueueRival(),
)


def rival_named(name: str) -> Rival:
    return next(rival for rival in RIVALS if rival.name == name)


# --- a child ---------------------------------------------------------------------------------------------


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


# --- the parent ------------------------------------------------------------------------------------------

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
    for end in (_nothing, process.terminate, process.kill):
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


def settle(pair: Pair, size: int, seconds: float, variant: str = "plain", most: int = BLOCK_MESSAGES) -> int:
    """How many rounds last about `seconds`; also the warm-up of a fresh pair."""
    cap = max(1, PASS_BYTES // (size * block_length(size, most)))
    rounds = 1
    while True:
        took = stream(pair, size, rounds, variant)
        if took >= seconds / 6 or rounds >= cap:
            return max(1, min(cap, round(rounds * seconds / took)))
        rounds = min(cap, rounds * 4)


def verify(pair: Pair, size: int) -> None:
    """One block through the link with every byte compared; no clock runs."""
    pair.both(("show", (size,)), ("verify", (size,)))


def cpu_pair() -> tuple[int, int] | None:
    """Two CPUs for two processes, of different cores if possible; None if there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    for other in allowed[1:]:
        if allowed[0] not in _siblings(other):
            return allowed[0], other
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def _siblings(cpu: int) -> set[int]:
    """The CPUs that share a core with this one, itself included."""
    found = {cpu}
    with suppress(OSError, ValueError):
        text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        for part in text.strip().split(","):
            low, _, high = part.partition("-")
            found.update(range(int(low), int(high or low) + 1))
    return found


# --- the command -----------------------------------------------------------------------------------------

SIZES = (32, 1024, 65536)
BUDGET = 18.0  # seconds; after this no further repetition starts
PROGRAM = "shmzmq bench"


@dataclass
class Figures:
    """What was measured of one rival: one value per repetition."""

    name: str
    version: str
    rates: dict[int, list[float]] = field(default_factory=dict)  # messages per second, by size
    trips: dict[str, list[float]] = field(default_factory=dict)  # p50 in us, by placement
    error: str = ""


def _measure(rival: Rival, into: Figures, rounds: dict[tuple[str, int], int], scratch: Path) -> None:
    """One repetition of one rival: one fresh pair of processes does everything."""
    cpus = cpu_pair()
    with Pair(child, rival, scratch, size=max(SIZES), cpus=cpus or (None, None), cap=15) as pair:
        pair.link("push", "pull")
        for size in SIZES:
            verify(pair, size)
            if (rival.name, size) not in rounds:
                rounds[rival.name, size] = settle(pair, size, 0.12)
            count = rounds[rival.name, size]
            took = stream(pair, size, count)
            into.rates.setdefault(size, []).append(messages_in(size, count) / took)
        pair.unlink()
        pair.link("ping", "pong")
        placements = {"two CPUs": cpus[1], "one CPU": cpus[0]} if cpus else {"not pinned": None}
        for placement, cpu in placements.items():
            pair.ask(pair.right, "pin", cpu)
            trips, _ = pair.both(("ping", (32, 0.1, 0.0)), ("pong", ()))
            into.trips.setdefault(placement, []).append(trips["p50"])


def measure(rivals: Iterable[Rival], repeat_: int, say: Callable[[str], None]) -> list[Figures]:
    """All rivals in turns; a rival that fails keeps its error and is not asked again."""
    figures = {rival.name: Figures(rival.name, rival.version()) for rival in rivals}
    rounds: dict[tuple[str, int], int] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shmzmq-bench-") as scratch:
        for turn in range(repeat_):
            for rival in rivals:
                mine = figures[rival.name]
                late = turn > 0 and time.monotonic() - started > BUDGET
                if mine.error or late:
                    continue
                say(f"{rival.name}, {turn + 1} of {repeat_}")
                try:
                    _measure(rival, mine, rounds, Path(scratch))
                except BenchError as error:
                    mine.error = str(error).replace(scratch, "(scratch)")
    return list(figures.values())


def _size_name(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def _rate_text(size: int, values: list[float]) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    return f"{middle * size / 1e9:.2f} GB/s" if size >= 65536 else f"{middle / 1e6:.3f} M/s"


def _rows(figures: list[Figures]) -> tuple[list[str], list[list[str]]]:
    placements = list(dict.fromkeys(place for one in figures for place in one.trips))
    sizes = [_size_name(size) for size in SIZES]
    header = ["", "version", *sizes, *(f"trip, {place}" for place in placements)]
    rows = []
    for one in figures:
        rates = [_rate_text(size, one.rates.get(size, [])) for size in SIZES]
        trips = [f"{statistics.median(one.trips[p]):.2f} us" if p in one.trips else "-" for p in placements]
        rows.append([one.name, one.version, *rates, *trips])
    return header, [*rows, *_ratio_rows(figures, placements)]


def _ratio_rows(figures: list[Figures], placements: list[str]) -> list[list[str]]:
    """How many times faster we are than each rival, if we were measured."""
    ours = next((one for one in figures if one.name == "shmzmq" and one.rates), None)
    rows = []
    for one in figures if ours else []:
        if ours is None or one is ours or not one.rates:
            continue
        cells = [_ratio(ours.rates.get(size), one.rates.get(size)) for size in SIZES]
        cells += [_ratio(one.trips.get(place), ours.trips.get(place)) for place in placements]
        rows.append([f"shmzmq vs {one.name}", "", *cells])
    return rows


def _ratio(above: list[float] | None, below: list[float] | None) -> str:
    if not above or not below:
        return "-"
    return f"{statistics.median(above) / statistics.median(below):.1f}x"


def _print_plain(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    for line in [header, *rows]:
        first, *rest = zip(line, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip())


def _print_rich(header: list[str], rows: list[list[str]]) -> bool:
    """Print with rich if it is there and somebody watches; whether it did."""
    if not sys.stdout.isatty():
        return False  # box characters and wrapped columns help nobody in a file
    try:
        rich_table = importlib.import_module("rich.table")
        console = importlib.import_module("rich.console").Console()
    except ImportError:
        return False
    table = rich_table.Table()
    for index, title in enumerate(header):
        table.add_column(title, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return True


def _as_json(figures: list[Figures]) -> str:
    listed = [
        {
            "name": one.name,
            "version": one.version,
            "messages_per_second": {str(size): values for size, values in one.rates.items()},
            "round_trip_p50_us": one.trips,
            "error": one.error or None,
        }
        for one in figures
    ]
    return json.dumps({"python": sys.version.split()[0], "cpus": os.cpu_count(), "rivals": listed}, indent=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Measure shmzmq beside its rivals.")
    parser.add_argument("--json", action="store_true", help="print every value as JSON instead of a table")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repetitions of each (default 5)")
    names = ", ".join(rival.name for rival in RIVALS)
    parser.add_argument("--rivals", metavar="A,B", help=f"only these; of {names}")
    parser.epilog = (
        "Exit: 0 all measured, 1 shmzmq was not, 2 wrong usage, 3 a rival was not, 130 interrupted."
    )
    return parser


def _chosen(names: str | None) -> list[Rival]:
    known = {rival.name: rival for rival in RIVALS}
    wanted = [name.strip() for name in names.split(",")] if names else list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise BenchError(f"unknown rival {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in wanted if known[name].available()]


def _note(text: str) -> None:
    """Progress, for a person who waits; nothing into files and pipes."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _exit_code(figures: list[Figures], asked: str | None) -> int:
    errors = {one.name: one.error for one in figures}
    ours_wanted = asked is None or "shmzmq" in asked.split(",")
    if ours_wanted and errors.get("shmzmq", "not installed"):
        return 1
    return 3 if any(errors.values()) else 0


def run(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code and raises nothing for wrong usage."""
    try:
        options = _parser().parse_args(argv)
        if options.repeat < 1:
            _parser().error(f"--repeat {options.repeat} is below 1")
        rivals = _chosen(options.rivals)
    except SystemExit as end:  # argparse has printed its message
        return end.code if isinstance(end.code, int) else 2
    except BenchError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    try:
        figures = measure(rivals, options.repeat, _note)
    except KeyboardInterrupt:
        _note("")
        return 130
    _note("")
    if options.json:
        print(_as_json(figures))
    else:
        _print_table(figures)
    return _exit_code(figures, options.rivals)


def _print_table(figures: list[Figures]) -> None:
    header, rows = _rows(figures)
    if not _print_rich(header, rows):
        _print_plain(header, rows)
    for one in figures:
        if one.error:
            print(f"{one.name} was not measured to the end: {one.error}")
    print("Medians; one sender and one receiver process. Compare within this run only.")


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
