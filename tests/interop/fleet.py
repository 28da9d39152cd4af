"""A fleet on one ipc path: a load-balancing broker, workers, clients; each runs in its own process.

Written against the API alone, so that every one of them may be pyzmq or the module under test.

    client  -- ask number body -->  broker  -- client number body -->  worker
            <-- number answer ----          <-- done client number answer --
                                            <-- idle ----

A broker keeps requests and idle workers in its memory and may be replaced at any time: what it held is lost.
So delivery to workers is at least once, and the client is the accountant: it asks again after RESEND, knows
every number that is open, and takes the first answer to it; a further one can only stem from asking again.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket as posix
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from kit import CAP, CAP_MS, Link, wait_until

WINDOW = 48
"""Requests of one client under way."""

RESEND = 1.0
"""Seconds after which a client asks again."""

IDLE_MS = 100
"""After so long without work a worker says again that it is idle: the broker may be a new one."""


def body_of(number: int) -> bytes:
    """Mostly small; some beyond what a ring takes inline, some beyond what one read brings."""
    size = 100_000 if number % 500 == 499 else 9_000 if number % 50 == 49 else number % 300
    return random.Random(number).randbytes(size)


def answer_to(body: bytes) -> bytes:
    return b"answer:" + body[::-1]


def open_socket(zmq: ModuleType, kind: str, **options: Any) -> tuple[Any, Any]:
    context = zmq.Context()
    socket = context.socket(getattr(zmq, kind))
    for name, value in {"linger": 0, "rcvtimeo": CAP_MS, "sndtimeo": CAP_MS, **options}.items():
        setattr(socket, name, value)
    return context, socket


def broker(zmq: ModuleType, link: Link, endpoint: str) -> int:
    """Serve from the word "go" to the word "stop"; "peers" asks who is there. Returns answers passed on."""
    context, router = open_socket(zmq, "ROUTER")
    idle: dict[bytes, None] = {}
    waiting: deque[list[bytes]] = deque()
    passed = 0
    assert link.hear() == "go"
    router.bind(endpoint)
    link.tell("bound")
    while True:
        if link.has_word():
            if link.hear() == "stop":
                break
            link.tell([dict(row) for row in router.peers()])
        if not router.poll(20):
            continue
        for sender, word, *rest in messages(zmq, router, 100):
            if word == b"ask":
                waiting.append([sender, *rest])
            else:
                idle[sender] = None
            if word == b"done":
                passed += 1
                router.send_multipart(rest)
        while waiting and idle:
            worker = next(iter(idle))
            del idle[worker]
            router.send_multipart([worker, *waiting.popleft()])
    router.close()
    context.term()
    return passed


def messages(zmq: ModuleType, socket: Any, most: int) -> Iterable[list[bytes]]:
    """What can be read at once."""
    with contextlib.suppress(zmq.Again):
        for _ in range(most):
            yield socket.recv_multipart(zmq.DONTWAIT)


def worker(zmq: ModuleType, link: Link, endpoint: str, name: bytes) -> int:
    """Work until told to stop; returns how many requests were served."""
    context, dealer = open_socket(zmq, "DEALER", routing_id=name, reconnect_ivl=20)
    dealer.connect(endpoint)
    served = 0
    while not link.has_word():
        if not dealer.poll(IDLE_MS):
            with contextlib.suppress(zmq.Again):
                dealer.send(b"idle", zmq.DONTWAIT)
            continue
        client, number, body = dealer.recv_multipart()
        dealer.send_multipart([b"done", client, number, answer_to(body)])
        served += 1
    dealer.close()
    context.term()
    return served


def client(zmq: ModuleType, link: Link, endpoint: str, name: bytes, numbers: range) -> dict[str, int]:
    """Ask every number until it is answered; tells how many are; returns the account."""
    context, dealer = open_socket(zmq, "DEALER", routing_id=name, reconnect_ivl=20)
    dealer.connect(endpoint)
    account = {"answered": 0, "resent": 0, "extra": 0}
    todo, asked = iter(numbers), {}
    open_numbers: set[int] = set()

    def ask(number: int) -> None:
        asked[number] = time.monotonic()
        dealer.send_multipart([b"ask", b"%d" % number, body_of(number)])

    while account["answered"] < len(numbers):
        for number in todo if len(open_numbers) < WINDOW else ():
            open_numbers.add(number)
            ask(number)
            if len(open_numbers) >= WINDOW:
                break
        dealer.poll(50)
        for said, answer in messages(zmq, dealer, 100):
            number = int(said)
            assert answer == answer_to(body_of(number)), f"wrong bytes for {number}"
            if number not in open_numbers:
                account["extra"] += 1
                continue
            open_numbers.remove(number)
            account["answered"] += 1
            if account["answered"] % 100 == 0:
                link.tell(account["answered"])
        late = time.monotonic() - RESEND
        for number in [number for number in open_numbers if asked[number] < late]:
            account["resent"] += 1
            ask(number)
    dealer.close()
    context.term()
    return account


class FdLosingRelay:
    """Passes bytes between connections to its own path and another one; fds that come with them are lost."""

    def __init__(self, path: str, target: str) -> None:
        self._target = target
        self._listener = posix.socket(posix.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._ends, self._stop = posix.socketpair()
        self._other: dict[posix.socket, posix.socket] = {}
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def close(self) -> None:
        self._stop.send(b"x")
        self._thread.join()
        for each in (self._listener, self._ends, self._stop, *self._other):
            each.close()

    def _run(self) -> None:
        while True:
            ready = select.select([self._ends, self._listener, *self._other], [], [])[0]
            if self._ends in ready:
                return
            if self._listener in ready:
                self._accept()
            for each in ready:
                if each in self._other:
                    self._pass_on(each)

    def _accept(self) -> None:
        near, _address = self._listener.accept()
        far = posix.socket(posix.AF_UNIX)
        try:
            far.connect(self._target)
        except OSError:
            near.close()
            far.close()
            return
        self._other |= {near: far, far: near}

    def _pass_on(self, source: posix.socket) -> None:
        try:
            if data := source.recv(65536):  # recv(2) without room for fds: the kernel closes them
                self._other[source].sendall(data)
                return
        except OSError:
            pass
        for each in (source, self._other.pop(source)):
            self._other.pop(each, None)
            each.close()


class Socat:
    """The same by socat(1), a process for each connection."""

    def __init__(self, path: str, target: str) -> None:
        command = ["socat", f"UNIX-LISTEN:{path},fork", f"UNIX-CONNECT:{target}"]
        # A group of its own: its children end no sooner than their connections.
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: os.path.exists(path), "socat to listen", CAP)

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(CAP)
