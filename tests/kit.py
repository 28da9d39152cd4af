"""The kit that every test shares: waiting with a cap, expectations, marriage, tasks and children.

This file knows sockets only by their public API and works on any module that has it: tests get that module
from the `zmq` fixture and may run against shmzmq or, as the oracle, against pyzmq (`--backend`).
It refuses to know any inside of either.

Every wait ends: by its condition, or by a cap and a sentence that says what was waited for.
"""

from __future__ import annotations

import contextlib
import errno as system_errno
import gc
import importlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CAP = 5.0
"""Seconds that a single wait may last before the test fails."""

CAP_MS = int(CAP * 1000)

SMALL_BUFFERS = {"sndbuf": 4096, "rcvbuf": 4096}
"""Options of sockets whose peer is to be full soon: over tcp the kernel's buffers hold megabytes."""

PROBE = b"marry: is anybody there?"


# --- waiting -----------------------------------------------------------------------------------------------


def wait_until(condition: Callable[[], Any], what: str, cap: float = CAP) -> Any:
    """Call `condition` until it returns something true; return that. `what` completes "waited for ..."."""
    deadline = time.monotonic() + cap
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {cap:g} s for {what}")
        time.sleep(0.002)  # the distance between two looks; nothing depends on its length


def stays_asleep(pid: int, tid: int | None = None) -> bool:
    """True if the kernel shows the thread asleep in several looks in a row: it waits for something."""
    for _ in range(4):
        time.sleep(0.004)  # lets go of the GIL too, so that a thread which only wants the GIL moves on
        try:
            stat = Path(f"/proc/{pid}/task/{tid or pid}/stat").read_text()
        except FileNotFoundError:
            return False
        if stat.rpartition(")")[2].split()[0] != "S":
            return False
    return True


def is_stopped(pid: int) -> bool:
    """True if no thread of the process runs any more after a SIGSTOP; each stops by itself."""
    tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in tasks)


def path_of(endpoint: str | bytes) -> str:
    """The file system path of an ipc endpoint."""
    text = endpoint.decode() if isinstance(endpoint, bytes) else endpoint
    assert text.startswith("ipc://"), text
    return text.removeprefix("ipc://")


# --- expectations ------------------------------------------------------------------------------------------


def errno_of(zmq: ModuleType, name: str) -> int:
    """The number of an errno: ZeroMQ's own have theirs in the module, the others in the system."""
    return getattr(zmq, name, None) or getattr(system_errno, name)


@contextlib.contextmanager
def expect_error(zmq: ModuleType, name: str) -> Iterator[pytest.ExceptionInfo[Any]]:
    """The block raises a ZMQError of this errno, in the class that pyzmq gives it."""
    errno = errno_of(zmq, name)
    expected = {"EAGAIN": zmq.Again, "ETERM": zmq.ContextTerminated}.get(name, zmq.ZMQError)
    with pytest.raises(expected) as caught:
        yield caught
    assert caught.value.errno == errno, f"expected {name}, got {caught.value.errno}: {caught.value}"


def refused(zmq: ModuleType, name: str, call: Callable[..., Any], *args: Any) -> bool:
    """True if the call is refused with this errno, False if it succeeds. For conditions to wait for."""
    try:
        call(*args)
    except zmq.ZMQError as error:
        if error.errno != errno_of(zmq, name):
            raise
        return True
    return False


def expect(socket: Any, *frames: bytes) -> None:
    """The next message is exactly these frames (within the socket's RCVTIMEO)."""
    assert socket.recv_multipart() == list(frames)


def expect_nothing(socket: Any) -> None:
    """No message can be read now.

    This proves something only where nothing can be under way: on inproc, or after a later message of the same
    pipe (a fence) was received. It does not wait.
    """
    if socket.poll(0):
        frames = socket.recv_multipart()
        raise AssertionError(f"expected no message, received {frames!r:.200}")


def drain(socket: Any, flags: int) -> list[list[bytes]]:
    """All messages that can be read at once; `flags` is the module's DONTWAIT."""
    messages = []
    while socket.poll(0):
        messages.append(socket.recv_multipart(flags))
    return messages


def fill(zmq: ModuleType, socket: Any, most: int = 100_000) -> int:
    """Send numbered messages without waiting until the socket refuses one; return how many it accepted."""
    for number in range(most):
        try:
            socket.send(b"%d" % number, zmq.DONTWAIT)
        except zmq.Again:
            return number
    raise AssertionError(f"the socket accepted {most} messages without a limit")


# --- marriage ----------------------------------------------------------------------------------------------
#
# `marry` makes sure that two sockets know each other, so that a test may rely on routing, queues and peers.
# A socket that connects knows its peer from that moment on (its pipe exists at once, unless IMMEDIATE is
# set); the one that bound learns of it some time later, and for most types no call tells. So each pair
# exchanges one probe in the direction in which its types may speak first:
#
#   PUSH -> PULL, PAIR -> PAIR, DEALER -> DEALER, DEALER -> ROUTER     one message
#   REQ -> REP, REQ -> ROUTER, DEALER -> REP                           a request and its reply
#
# and consumes it, so the pipes are as empty as before and REQ and REP are back in their first state. Call it
# before the first message of the test. What it leaves behind: the round-robin position, and one message in
# the count that returns credit; tests of either marry by hand (or not at all: who connects needs nothing).


_FIRST_SPEAKERS = ("PAIR", "PUSH", "DEALER", "REQ")


def _type_name(zmq: ModuleType, socket: Any) -> str:
    value = socket.get(zmq.TYPE)
    return next(
        name
        for name in ("PAIR", "PUSH", "PULL", "REQ", "REP", "DEALER", "ROUTER")
        if getattr(zmq, name) == value
    )


def _module_of(socket: Any) -> ModuleType:
    """The module that the socket belongs to: the package that defined its topmost class called Socket."""
    for cls in type(socket).__mro__:
        root = cls.__module__.partition(".")[0]
        if cls.__name__ == "Socket" and root in ("zmq", "shmzmq"):
            return importlib.import_module(root)
    raise TypeError(f"{socket!r} is no zmq socket")


def _courtship(zmq: ModuleType, suitor: Any, candidates: list[Any], cap_ms: int) -> tuple[Any, bytes | None]:
    """Send one probe from `suitor`; return the candidate that took it and, for a ROUTER, the suitor's id."""
    suitor_type = _type_name(zmq, suitor)
    needs_answer = suitor_type == "REQ" or any(_type_name(zmq, each) == "REP" for each in candidates)
    probe = [b"", PROBE] if suitor_type == "DEALER" and needs_answer else [PROBE]
    if not suitor.poll(cap_ms, zmq.POLLOUT):
        raise AssertionError(f"marry: {suitor!r} had nobody to send to for {cap_ms} ms")
    suitor.send_multipart(probe)
    taker = wait_until(
        lambda: next((each for each in candidates if each.poll(1)), None),
        f"a probe from {suitor!r} to reach one of {candidates!r}",
        cap_ms / 1000,
    )
    frames = taker.recv_multipart()
    assert frames[-1] == PROBE, f"marry must come before the first message; {taker!r} held {frames!r:.200}"
    if needs_answer:
        taker.send_multipart(frames)
        assert suitor.poll(cap_ms), f"marry: no answer reached {suitor!r} in {cap_ms} ms"
        assert suitor.recv_multipart()[-1] == PROBE
    return taker, frames[0] if _type_name(zmq, taker) == "ROUTER" else None


def marry(one: Any, *others: Any) -> Any:
    """Return when `one` and each of `others`, already bound and connected, know each other (see above).

    If `one` is a ROUTER, returns the routing id by which it knows the other (a list for several others).
    """
    zmq = _module_of(one)
    cap_ms = CAP_MS
    if _type_name(zmq, one) in _FIRST_SPEAKERS:
        strangers = list(others)
        # By time and not by turns: one peer may take a thousand probes before another has connected.
        deadline = time.monotonic() + CAP
        while time.monotonic() < deadline:
            if not strangers:
                return None
            taker, _id = _courtship(zmq, one, list(others), cap_ms)
            if taker in strangers:
                strangers.remove(taker)
        raise AssertionError(f"marry: {strangers!r} heard nothing from {one!r}, which others did")
    ids = [_courtship(zmq, each, [one], cap_ms)[1] for each in others]
    return ids[0] if len(ids) == 1 else ids


# --- tuning in ---------------------------------------------------------------------------------------------


def subscribe(subscriber: Any, topic: bytes) -> None:
    """Subscribe a SUB, by its option, or an XSUB, by a message."""
    zmq = _module_of(subscriber)
    if subscriber.get(zmq.TYPE) == zmq.XSUB:
        subscriber.send(b"\x01" + topic)
    else:
        subscriber.subscribe(topic)


def unsubscribe(subscriber: Any, topic: bytes) -> None:
    """Undo one `subscribe`."""
    zmq = _module_of(subscriber)
    if subscriber.get(zmq.TYPE) == zmq.XSUB:
        subscriber.send(b"\x00" + topic)
    else:
        subscriber.unsubscribe(topic)


_tunings = itertools.count()


def tune_in(publisher: Any, *subscribers: Any) -> None:
    """Return when all that the subscribers have subscribed to so far is known to the publisher.

    Subscriptions of one subscriber arrive in their order. So one more is made, to a topic never used before,
    and numbered probes are published to it until every subscriber has seen the last one. Nothing is left in
    any queue, except that an XPUB holds what it heard of the subscriptions. The publisher must not serve
    others who would hear the probes.
    """
    topic = PROBE + b"%d:" % next(_tunings)
    for each in subscribers:
        subscribe(each, topic)
    numbers = itertools.count()

    def all_hear_the_same_probe() -> bool:
        probe = topic + b"%d" % next(numbers)
        publisher.send(probe)
        last = {}
        for each in subscribers:
            while last.get(each) != probe and each.poll(20):
                last[each] = each.recv()
                assert last[each].startswith(PROBE), (
                    f"tune_in must come first; {each!r} held {last[each]!r:.200}"
                )
        return all(last.get(each) == probe for each in subscribers)

    wait_until(all_hear_the_same_probe, f"{subscribers!r} to hear {publisher!r}")
    for each in subscribers:
        unsubscribe(each, topic)


def wait_readable(zmq: ModuleType, socket: Any, *idle: Any) -> None:
    """Return when the socket is readable, though the application makes no call on those that are `idle`.

    libzmq does what a new or lost peer asks for inside the next call of the socket concerned, so they are
    polled on the oracle; here they are really idle.
    """

    def readable() -> int:
        if zmq.__name__ == "zmq":
            for each in idle:
                each.poll(0)
        return socket.poll(5)

    wait_until(readable, f"{socket!r} to be readable")


# --- tasks: calls in other threads -------------------------------------------------------------------------


class Task:
    """One call in its own thread; its result or exception is fetched with `result`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._outcome: tuple[str, Any] | None = None
        self._what = getattr(function, "__name__", repr(function))
        self._thread = threading.Thread(
            target=self._run, args=(function, args), name=f"task {self._what}", daemon=True
        )
        self._thread.start()

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self._outcome = ("returned", function(*args))
        except BaseException as error:
            self._outcome = ("raised", error)

    @property
    def done(self) -> bool:
        return self._outcome is not None

    def wait_blocked(self) -> None:
        """Return when the call is asleep in the kernel; fails if it ends instead."""
        tid = self._thread.native_id
        wait_until(
            lambda: self.done or stays_asleep(os.getpid(), tid), f"{self._what} to block in its own thread"
        )
        assert not self.done, f"{self._what} was expected to block but {self._outcome!r}"

    def result(self, cap: float = CAP) -> Any:
        """What the call returned; raises what it raised."""
        self.join(cap)
        assert self._outcome is not None
        kind, value = self._outcome
        if kind == "raised":
            raise value
        return value

    def join(self, cap: float = CAP) -> None:
        self._thread.join(cap)
        if self._thread.is_alive():
            raise AssertionError(f"waited {cap:g} s for {self._what} to end in its own thread")


# --- children: functions in other processes ----------------------------------------------------------------


class Link:
    """Either end of a pipe between a test and its child process: `tell` an object, `hear` the next one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def tell(self, thing: Any = None) -> None:
        self._connection.send(("said", thing))

    def hear(self, cap: float = 2 * CAP) -> Any:
        kind, thing = self._next(cap)
        if kind != "said":
            raise AssertionError(
                f"the other process {kind} {thing!r:.200}, but was expected to say something"
            )
        return thing

    def has_word(self, within: float = 0) -> bool:
        """True if the other process has said something, or ended."""
        return self._connection.poll(within)

    def _next(self, cap: float) -> tuple[str, Any]:
        if not self._connection.poll(cap):
            raise AssertionError(f"waited {cap:g} s for the other process, which said nothing")
        try:
            kind, thing = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise AssertionError("the other process ended without a word") from None
        if kind == "raised":
            raise AssertionError(f"the other process raised:\n{thing}")
        return kind, thing


def _child_main(backend: str, function: Callable[..., Any], connection: Any, args: tuple[Any, ...]) -> None:
    zmq = importlib.import_module(backend)
    try:
        value = function(zmq, Link(connection), *args)
    except BaseException:
        connection.send(("raised", traceback.format_exc()))
    else:
        connection.send(("returned", value))


class Child(Link):
    """`function(zmq, link, *args)` in a child process. Spawned, unless `method` says fork or forkserver."""

    def __init__(self, backend: str, function: Callable[..., Any], *args: Any, method: str = "spawn") -> None:
        start = multiprocessing.get_context(method)
        ours, theirs = start.Pipe()
        self.name = function.__name__
        self._process = start.Process(target=_child_main, args=(backend, function, theirs, args))
        self._process.start()
        theirs.close()
        super().__init__(ours)

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def wait_blocked(self) -> None:
        """Return when the main thread of the child is asleep in the kernel."""
        wait_until(lambda: stays_asleep(self.pid), f"child {self.name} to block")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGSTOP, and wait until all of the child stands still."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(self.pid), f"child {self.name} to be stopped")

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.signal(signal.SIGKILL)
        self._process.join(CAP)
        assert self._process.exitcode == -signal.SIGKILL, (self.name, self._process.exitcode)

    def result(self, cap: float = 2 * CAP) -> Any:
        """What the function returned; the child has ended and is reaped. Unheard words are dropped."""
        kind, value = self._next(cap)
        while kind == "said":
            kind, value = self._next(cap)
        self._process.join(cap)
        assert self._process.exitcode == 0, f"child {self.name} ended with {self._process.exitcode}"
        return value

    def dismiss(self) -> bool:
        """Reap the child; True if it had to be killed."""
        leaked = self._process.is_alive()
        if leaked:
            self._process.join(1.0)  # it may just be on its way out after its last word
            leaked = self._process.is_alive()
        if leaked:
            self._process.kill()
        self._process.join(CAP)
        self._process.close()
        self._connection.close()
        return leaked


# --- contexts ----------------------------------------------------------------------------------------------


def open_sockets(zmq: ModuleType, context: Any) -> list[Any]:
    """The sockets of the context that are still open, found by asking the garbage collector."""
    found = []
    for thing in gc.get_objects():
        with contextlib.suppress(Exception):
            if isinstance(thing, zmq.Socket) and thing.context is context and not thing.closed:
                found.append(thing)
    return found


def end_context(zmq: ModuleType, context: Any, cap: float = 2 * CAP) -> None:
    """Terminate the context in a side thread; if that hangs, say what is in the way and clear it."""
    task = Task(context.term)
    try:
        task.result(cap)
    except AssertionError:
        held_by = open_sockets(zmq, context)
        for socket in held_by:
            socket.close(linger=0)
        with contextlib.suppress(AssertionError):
            task.join(CAP)
        reason = (
            f"open sockets: {held_by!r}"
            if held_by
            else "no socket is open: it lingers for messages that nobody takes, or it is stuck"
        )
        pytest.fail(f"context.term() did not return in {cap:g} s; {reason}")


# --- leaks -------------------------------------------------------------------------------------------------


class Possessions:
    """What this process holds that a test could leave behind: fds, threads, children, shared segments."""

    KINDS = ("fds", "threads", "children", "segments")

    def __init__(self) -> None:
        self.fds = self._links("/proc/self/fd")
        self.threads = self._texts("/proc/self/task", "comm")
        self.children = self._children()
        self.segments = self._segments()

    @staticmethod
    def _links(directory: str) -> dict[str, str]:
        links = {}
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                target = os.readlink(f"{directory}/{name}")
                if not target.startswith(f"/proc/{os.getpid()}/"):  # the listing's own fd
                    links[name] = target
        return links

    @staticmethod
    def _texts(directory: str, leaf: str) -> dict[str, str]:
        texts = {}
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                texts[name] = Path(directory, name, leaf).read_text().strip()
        return texts

    @staticmethod
    def _children() -> dict[str, str]:
        children = {}
        for listing in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for pid in listing.read_text().split():
                    children[pid] = Path("/proc", pid, "comm").read_text().strip()
        return children

    @staticmethod
    def _segments() -> dict[str, str]:
        segments = {}
        for line in Path("/proc/self/maps").read_text().splitlines():
            if "/memfd:" in line:
                span, _, _, _, inode, name = line.split(maxsplit=5)
                segments[span] = f"{name} inode {inode}"
        return segments

    def gained_since(self, before: Possessions) -> list[str]:
        """What is held now and was not held then, as lines to read."""
        gained = []
        for kind in self.KINDS:
            then, now = getattr(before, kind), getattr(self, kind)
            # An fd's number is used again for another file; a thread or child may just change its name.
            gained += [
                f"{kind}: {key} {value}"
                for key, value in now.items()
                if key not in then or (kind == "fds" and then[key] != value)
            ]
        return gained
