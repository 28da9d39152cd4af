"""The libraries to measure: what each needs for a link, and what its two ends are."""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import subprocess
import sys
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .ends import End

SPIN_US = 1000  # our socket option, by number: an older shmzmq may not name it


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
