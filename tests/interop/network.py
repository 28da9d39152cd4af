"""Two hosts on one cable: network namespaces joined by a veth pair, with a helper process in each.

The namespaces have no names: file descriptors of the test hold them, so they end with the test, however that
ends. `Network` makes them and spoils the cable, `Host` is a helper process in one of them that does what the
test orders (as theirs.py's, whose sockets it has) and stamps monitor events with its clock, which all
processes share.

Ways to spoil the cable: `cut` takes one end down, which its own side can see; `blackhole` gives both ends a
wrong hardware address for each other, so that everything leaves, nothing arrives, and nobody is told;
`throttle` is a token bucket.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket as system
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import theirs as other_end

from kernel import done, libc, own_file
from kit import CAP, Child, Link, Task, wait_until

CLONE_NEWNET = 0x40000000
DEVICE = "cable"
NOWHERE = "10.77.0.99"
"""On the network of the cable, but nobody has it, and no question for it is asked."""

# --- namespaces --------------------------------------------------------------------------------------------


def _new_namespace() -> int:
    """An fd of a new network namespace."""

    def make() -> int:
        done(libc.unshare(CLONE_NEWNET))  # of this thread alone, and the thread ends
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return int(Task(make).result())


class Network:
    """Sides 0 and 1, with addresses `Network.ADDRESSES`, and the cable between them."""

    ADDRESSES = ("10.77.0.1", "10.77.0.2")
    HARDWARE = ("02:00:00:77:00:01", "02:00:00:77:00:02")
    NOBODY = "02:00:00:77:00:99"

    def __init__(self) -> None:
        self._fds = [_new_namespace(), _new_namespace()]
        try:
            self._lay()
        except BaseException:
            self.end()
            raise

    def _lay(self) -> None:
        here, there = self.HARDWARE
        pair = f"{DEVICE} address {here} type veth peer name {DEVICE} address {there}"
        self._ip(0, f"link add {pair} netns {self.path(1)}")
        for side in (0, 1):
            self._ip(side, "link set lo up")
            self._ip(side, f"addr add {self.ADDRESSES[side]}/24 dev {DEVICE}")
            self.plug(side)

    def path(self, side: int) -> str:
        """What a process opens to enter."""
        return f"/proc/{os.getpid()}/fd/{self._fds[side]}"

    def run(self, side: int, *command: str) -> str:
        """Run a command there; returns what it printed."""
        fds = [fd for fd in self._fds if fd >= 0]
        done = subprocess.run(
            ["nsenter", f"--net={self.path(side)}", *command],
            check=False, capture_output=True, text=True, timeout=CAP, pass_fds=fds,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def _ip(self, side: int, words: str) -> str:
        return self.run(side, "ip", *words.split())

    def cut(self, side: int) -> None:
        """The end of this side goes down; the other loses its carrier."""
        self._ip(side, f"link set {DEVICE} down")

    def plug(self, side: int) -> None:
        """It comes up again."""
        self._ip(side, f"link set {DEVICE} up")
        self._ip(side, f"neigh replace {NOWHERE} lladdr {self.NOBODY} dev {DEVICE} nud permanent")
        self._greet(side, self.HARDWARE[1 - side])

    def _greet(self, side: int, hardware: str) -> None:
        self._ip(
            side, f"neigh replace {self.ADDRESSES[1 - side]} lladdr {hardware} dev {DEVICE} nud permanent"
        )

    def blackhole(self) -> None:
        """What leaves one side does not arrive at the other, either way."""
        for side in (0, 1):
            self._greet(side, self.NOBODY)

    def clear(self) -> None:
        """The end of `blackhole`."""
        for side in (0, 1):
            self._greet(side, self.HARDWARE[1 - side])

    def throttle(self, side: int, rate: str) -> None:
        """What leaves this side leaves at this rate."""
        self.run(side, *f"tc qdisc add dev {DEVICE} root tbf rate {rate} burst 16kb latency 20s".split())

    def packets_from(self, side: int) -> int:
        """How many packets this side has sent so far."""
        shown = json.loads(self._ip(side, f"-s -j link show {DEVICE}"))
        return int(shown[0]["stats64"]["tx"]["packets"])

    def remove(self, side: int) -> None:
        """Let go of a namespace: its end of the cable goes with its last process."""
        os.close(self._fds[side])
        self._fds[side] = -1

    def end(self) -> None:
        for side, fd in enumerate(self._fds):
            if fd >= 0:
                self.remove(side)


def why_not() -> str | None:
    """Why this machine cannot do it; None if it can."""
    missing = [tool for tool in ("ip", "tc", "nsenter") if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} here"
    try:
        Network().end()
    except (OSError, AssertionError) as error:
        return f"no network namespaces here: {error}"
    return None


def enter(path: str) -> None:
    """This thread, and all that it starts, goes into the namespace."""
    fd = os.open(path, os.O_RDONLY)
    done(libc.setns(fd, CLONE_NEWNET))
    os.close(fd)


# --- in the helper -----------------------------------------------------------------------------------------


def _serve(zmq: ModuleType, link: Link, path: str) -> str:
    enter(path)
    return other_end.obey(zmq, link)


Event = tuple[float, int, str, int]
"""When (time.monotonic), at which socket, its name, its value."""


class Watch:
    """One thread that hears the monitors of sockets and stamps what they say."""

    def __init__(self, desk: other_end.Desk) -> None:
        self.events: list[Event] = []
        self._desk = desk
        self._monitors: dict[Any, int] = {}
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def add(self, number: int) -> None:
        self._monitors[self._desk.sockets[number].get_monitor_socket()] = number

    def begin(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        zmq = self._desk.zmq
        names = {int(event): event.name for event in zmq.Event}
        poller = zmq.Poller()
        for each in self._monitors:
            poller.register(each, zmq.POLLIN)
        while not self._over:
            for monitor, _ready in poller.poll(50):
                frames = monitor.recv_multipart()
                now = time.monotonic()
                kind = int.from_bytes(frames[0][:2], "little")
                value = int.from_bytes(frames[0][2:6], "little")
                self.events.append((now, self._monitors[monitor], names.get(kind, hex(kind)), value))

    def end(self) -> None:
        self._over = True
        self._thread.join()
        for monitor, number in self._monitors.items():
            self._desk.sockets[number].disable_monitor()
            monitor.close(linger=0)


class Pump:
    """A thread that sends numbers, each behind the sender's name, until it is stopped; a full queue waits."""

    def __init__(self, desk: other_end.Desk, number: int, name: bytes) -> None:
        self.sent = 0
        self._over = False
        self._zmq, self._socket, self._name = desk.zmq, desk.sockets[number], name
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            with contextlib.suppress(self._zmq.Again):
                self._socket.send_multipart([self._name, b"%d" % self.sent], self._zmq.DONTWAIT)
                self.sent += 1
            time.sleep(0.002)  # the rate of the traffic

    def end(self) -> int:
        self._over = True
        self._thread.join()
        return self.sent


class Sink:
    """A thread that receives what pumps send."""

    def __init__(self, desk: other_end.Desk, number: int) -> None:
        self.heard: dict[bytes, list[int]] = {}
        self._over = False
        self._socket = desk.sockets[number]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            if self._socket.poll(50):
                name, number = self._socket.recv_multipart()[-2:]
                self.heard.setdefault(name, []).append(int(number))

    def end(self) -> dict[bytes, list[int]]:
        self._over = True
        self._thread.join()
        return self.heard


def _watch(desk: other_end.Desk, numbers: list[int]) -> int:
    watch = Watch(desk)
    for number in numbers:
        watch.add(number)
    watch.begin()
    return desk.keep(watch)


def _events(desk: other_end.Desk, watch: int) -> list[Event]:
    return list(desk.sockets[watch].events)


def _pump(desk: other_end.Desk, number: int, name: bytes) -> int:
    return desk.keep(Pump(desk, number, name))


def _sink(desk: other_end.Desk, number: int) -> int:
    return desk.keep(Sink(desk, number))


def _heard(desk: other_end.Desk, sink: int) -> dict[bytes, list[int]]:
    return {name: list(numbers) for name, numbers in desk.sockets[sink].heard.items()}


def _end(desk: other_end.Desk, thing: int) -> Any:
    return desk.sockets.pop(thing).end()


def _connect_all(
    desk: other_end.Desk, kind: str, count: int, endpoint: str, options: dict[str, Any]
) -> tuple[list[int], int]:
    numbers = [other_end._open(desk, kind, options) for _ in range(count)]
    watch = _watch(desk, numbers)
    for number in numbers:
        desk.sockets[number].connect(endpoint)
    return numbers, watch


class Refuser:
    """A thread that accepts whoever comes and closes the connection."""

    def __init__(self, port: int) -> None:
        self._listener = system.create_server(("", port), backlog=128)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._listener.accept()[0].close()


def _hang_up(desk: other_end.Desk, port: int) -> int:
    return desk.keep(Refuser(port))


def _own_file(desk: other_end.Desk, path: str, place: str) -> None:
    own_file(path, place)


# --- in the test -------------------------------------------------------------------------------------------


class Host(other_end.Theirs):
    """A helper process on one side of the network, with this module as its zmq."""

    def __init__(self, network: Network, side: int, module: str) -> None:
        self.address = network.ADDRESSES[side]
        self.module = module
        self._child = Child(module, _serve, network.path(side))
        self._ended = False

    @property
    def pid(self) -> int:
        return self._child.pid

    def watch(self, *sockets: other_end.Remote) -> Watched:
        return Watched(self, self.ask(_watch, [each.number for each in sockets]))

    def pump(self, socket: other_end.Remote, name: bytes) -> Callable[[], int]:
        """Numbers go out under this name until the returned function is called, which says how many."""
        thing = self.ask(_pump, socket.number, name)
        return lambda: int(self.ask(_end, thing))

    def sink(self, socket: other_end.Remote) -> Callable[[], dict[bytes, list[int]]]:
        """Receive; the returned function says the numbers heard so far, by name."""
        thing = self.ask(_sink, socket.number)
        return lambda: dict(self.ask(_heard, thing))

    def connect_all(self, kind: str, count: int, endpoint: str, **options: Any) -> Watched:
        """So many new sockets that connect there, watched."""
        _numbers, thing = self.ask(_connect_all, kind, count, endpoint, options)
        return Watched(self, thing)

    def hang_up_on(self, port: int) -> None:
        """Whoever connects to this port is accepted and left."""
        self.ask(_hang_up, port)

    def own_file(self, path: Path, place: str) -> None:
        self.ask(_own_file, str(path), place)

    def kill(self) -> None:
        """kill -9, reaped."""
        self._child.kill()
        self._child.dismiss()
        self._ended = True

    def end(self) -> None:
        """The process ends with everything it has; its threads are daemons."""
        if not self._ended:
            self.kill()


class Watched:
    """Monitor events of sockets in a host."""

    def __init__(self, host: Host, thing: int) -> None:
        self._host, self._thing = host, thing

    def events(self, *names: str, since: float = 0.0) -> list[Event]:
        found = self._host.ask(_events, self._thing)
        return [each for each in found if each[0] >= since and (not names or each[2] in names)]

    def wait(self, name: str, since: float = 0.0, count: int = 1, cap: float = 2 * CAP) -> Event:
        """The `count`th such event from then on."""

        def told() -> list[Event]:
            found = self.events(name, since=since)
            return found if len(found) >= count else []

        what = f"{count} {name} in {self._host.module} at {self._host.address}"
        try:
            return wait_until(told, what, cap)[count - 1]  # type: ignore[no-any-return]
        except AssertionError as error:
            raise AssertionError(f"{error}; told: {self.events(since=since)[-12:]}") from None
