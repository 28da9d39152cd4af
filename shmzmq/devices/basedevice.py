"""Device: two sockets and what runs between them, in this thread, in another one, or in a process.

Knows    what each socket is to do before it runs: options, then binds, then connects.
Refuses  to know how messages pass: `proxy` and its kin do that.

Sockets are made where the device runs, so a device in a process carries only this plan there. It ends when
its context is terminated or a socket of it is closed; then its sockets are closed and `done` is true.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from errno import ENOTSOCK
from multiprocessing import Process
from threading import Thread
from typing import Any, ClassVar

from .. import ETERM, PUSH, QUEUE, Context, Socket, ZMQBindError, ZMQError, proxy

__all__ = ["Device", "ProcessDevice", "ThreadDevice"]

_TRIES = 5
_LOOK_S = 0.002


class _Steps:
    """What one socket is to do before it runs."""

    def __init__(self) -> None:
        self.options: list[tuple[int, Any]] = []
        self.binds: list[str] = []
        self.connects: list[str] = []


def _prepare(planned: list[tuple[Socket[Any], _Steps]]) -> None:
    """Take the steps of all sockets: every option before the first bind, every bind before a connect."""
    for socket, steps in planned:
        for option, value in steps.options:
            socket.setsockopt(option, value)
    for socket, steps in planned:
        for endpoint in steps.binds:
            socket.bind(endpoint)
    for socket, steps in planned:
        for endpoint in steps.connects:
            socket.connect(endpoint)


class Device:
    """A device that runs where `start` is called.

    Shape    device_type: means nothing, as for `zmq.device`; in_type, out_type: socket types; an out_type
             below 0 is one socket for both sides.
    Threads  plan it in one thread, then start it once.
    """

    context_factory: Callable[[], Context[Any]] = Context.instance
    """Makes or finds the context; called where the device runs."""

    device_type: int
    in_type: int
    out_type: int
    daemon: bool
    """Whether the thread or process ends with the program."""
    done: bool
    """True once the device has ended, if it runs in this process."""

    def __init__(
        self, device_type: int = QUEUE, in_type: int | None = None, out_type: int | None = None
    ) -> None:
        """Plan a device. Raises TypeError without both socket types."""
        if in_type is None:
            raise TypeError("in_type must be specified")
        if out_type is None:
            raise TypeError("out_type must be specified")
        self.device_type, self.in_type, self.out_type = device_type, in_type, out_type
        self.daemon, self.done = True, False
        self._in, self._out = _Steps(), _Steps()
        self._reserved: set[str] = set()
        self._sockets: list[Socket[Any]] = []

    # --- the plan -----------------------------------------------------------------------------------------

    def bind_in(self, addr: str) -> None:
        """Bind the socket in front to `addr` when the device starts."""
        self._in.binds.append(addr)

    def bind_in_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Bind the socket in front to a port that is free now; returns the port.

        Shape    all as for `Socket.bind_to_random_port`. Until the device starts somebody may take the port.
        """
        return self._random_port(self._in, addr, *args, **kwargs)

    def connect_in(self, addr: str) -> None:
        """Connect the socket in front to `addr` when the device starts."""
        self._in.connects.append(addr)

    def setsockopt_in(self, opt: int, value: Any) -> None:
        """Set an option of the socket in front when the device starts."""
        self._in.options.append((opt, value))

    def bind_out(self, addr: str) -> None:
        """Bind the socket behind to `addr` when the device starts."""
        self._out.binds.append(addr)

    def bind_out_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Bind the socket behind to a port that is free now; as `bind_in_to_random_port`."""
        return self._random_port(self._out, addr, *args, **kwargs)

    def connect_out(self, addr: str) -> None:
        """Connect the socket behind to `addr` when the device starts."""
        self._out.connects.append(addr)

    def setsockopt_out(self, opt: int, value: Any) -> None:
        """Set an option of the socket behind when the device starts."""
        self._out.options.append((opt, value))

    def _random_port(self, steps: _Steps, addr: str, *args: int, **kwargs: int) -> int:
        with Context() as context, context.socket(PUSH) as finder:
            for _ in range(_TRIES):
                port = finder.bind_to_random_port(addr, *args, **kwargs)
                if f"{addr}:{port}" not in self._reserved:
                    break
            else:
                raise ZMQBindError("Could not reserve random port.")
        self._reserved.add(f"{addr}:{port}")
        steps.binds.append(f"{addr}:{port}")
        return port

    # --- the run ------------------------------------------------------------------------------------------

    def _planned(self) -> list[tuple[int, _Steps]]:
        """The socket types with their steps; a subclass with more sockets adds them."""
        return [(self.in_type, self._in), (self.out_type, self._out)]

    def _setup_sockets(self) -> list[Socket[Any]]:
        """Make all sockets and take their steps; returns them in the order of the plan."""
        self._context = self.context_factory()
        made: list[Socket[Any]] = []
        planned = self._planned()
        for kind, _ in planned:
            if kind < 0:
                made.append(made[-1])
                continue
            made.append(self._context.socket(kind))
            self._sockets.append(made[-1])
        _prepare([(socket, steps) for socket, (_, steps) in zip(made, planned, strict=True)])
        return made

    def run_device(self) -> None:
        """Move messages until the context ends. Call `start` instead."""
        front, back = self._setup_sockets()
        proxy(front, back)

    def run(self) -> None:
        """Do `run_device`, take an end by the context or a closed socket as an end, and clean up."""
        try:
            self.run_device()
        except ZMQError as error:
            if error.errno not in {ETERM, ENOTSOCK}:
                raise
        finally:
            self.done = True
            for socket in self._sockets:
                socket.close()

    def start(self) -> None:
        """Run the device here; returns when it ends."""
        self.run()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the device, started in another thread, has ended, at most `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done and (deadline is None or time.monotonic() < deadline):
            time.sleep(_LOOK_S)


class BackgroundDevice(Device):
    """A device that `start` runs somewhere else."""

    launcher: Any = None
    """The Thread or Process, once started."""
    _launch_class: ClassVar[Any] = None

    def start(self) -> None:
        """Start the device; returns at once."""
        launcher = self._launch_class(target=self.run, daemon=self.daemon)
        launcher.start()
        self.launcher = launcher

    def join(self, timeout: float | None = None) -> None:
        """Wait until the device has ended, at most `timeout` seconds."""
        self.launcher.join(timeout=timeout)


class ThreadDevice(BackgroundDevice):
    """A device in a thread of this process. It ends when its context is terminated."""

    _launch_class = Thread


class ProcessDevice(BackgroundDevice):
    """A device in a process of its own, with a context of its own. It ends when the process is ended:
    `device.launcher.terminate()`, or with this program."""

    _launch_class = Process
    context_factory = Context
