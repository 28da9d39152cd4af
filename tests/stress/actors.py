"""Actors of the mixed-size run: one process each, a script of its own that is told what to do by lines.

A sender has a PUSH and a DEALER, connected to every receiver, and a PUB that binds. A receiver has a PULL and
a ROUTER that bind, and a SUB connected to every sender; it holds some of what it received for a while and
looks at it again when it lets go. Words on stdin: "pause", "go", "report", "stop"; every word is
answered by one line of JSON on stdout. The end of stdin ends the process.

    python actors.py sender|receiver '{"life": 3, "seed": 1, ...}'
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import heapq
import json
import math
import os
import random
import select
import struct
import sys
import time
from typing import Any

import bodies
import footprint
from bodies import Head, Torn

import shmzmq as zmq

PUSH, DEALER, PUB, ANSWER = range(4)
NAMES = ("push", "dealer", "pub", "answer")
RECORD = struct.Struct("<BIIQ")  # kind, life of the sender, life of the receiver, number

SEND_MS = 200  # a full socket is left for another one after this
TICK_MS = 20
HOLD_MOST = 64  # frames
HOLD_SECONDS = 1.0  # on the average
HIGH_WATER = 3
TAIL = b"the last frame"

LITTLE = 256 << 10


def whole_bytearray(size: int) -> bytearray:
    """All its pages are there at once: so a level of memory does not depend on what came before it."""
    return bytearray(b"\0") * size


def length_of(dice: random.Random, largest: int) -> int:
    """Log-uniform from 1 B, most of them not large, with many near the end of what goes inline."""
    luck = dice.random()
    if luck < 0.12:
        return dice.choice((4064, 4095, 4096, 4097, 8191, 8192, 8193, 4096 + dice.randrange(-200, 200)))
    most = largest if luck > 0.80 else min(LITTLE, largest)
    return min(most, int(math.exp(dice.random() * math.log(most + 1))))


def give_back_freed() -> None:
    """What the C library keeps of freed memory goes back.

    Above the heap it is up to twice the largest object that was ever freed, 64 MiB (mallopt(3),
    M_TRIM_THRESHOLD), and below it as much as a small object holds down.
    """
    with contextlib.suppress(AttributeError):  # other C libraries keep nothing
        ctypes.CDLL(None).malloc_trim(0)


# --- what both kinds of actor share ------------------------------------------------------------------------


class Actor:
    """Words, counts and the end; what an actor does between two words is in `turn`."""

    def __init__(self, life: int, seed: int, largest: int, endpoints: dict[str, list[str]], **_: Any) -> None:
        self.life, self.largest, self.endpoints = life, largest, endpoints
        self.dice = random.Random(f"{seed} actor {life}")
        self.counts: collections.Counter[str] = collections.Counter()
        self.paused = False
        self._words = b""
        self.context = zmq.Context()
        self.sockets: list[Any] = []

    def socket(self, kind: int) -> Any:
        made = self.context.socket(kind)
        made.sndhwm = made.rcvhwm = HIGH_WATER
        made.sndtimeo = SEND_MS
        made.rcvtimeo = 10_000  # parts of a message come together
        made.reconnect_ivl = 10
        made.linger = 0
        self.sockets.append(made)
        return made

    def run(self) -> None:
        self.say()
        while (word := self.next_word()) != "stop":
            if word:
                self.obey(word)
                self.say()
            self.turn()
        self.let_go()
        for each in self.sockets:
            each.close()
        self.sockets.clear()
        self.context.term()
        self.expect_no_segments()
        self.say()

    def obey(self, word: str) -> None:
        self.paused = word == "pause" or (self.paused and word != "go")
        if word == "pause":
            self.let_go()

    def next_word(self) -> str:
        """The next word if there is one. Without anybody to tell, the process ends."""
        if select.select([0], [], [], 0)[0]:
            data = os.read(0, 4096)
            if not data:
                os._exit(3)
            self._words += data
        word, newline, rest = self._words.partition(b"\n")
        if not newline:
            return ""
        self._words = rest
        return word.decode()

    def say(self) -> None:
        if self.paused:
            give_back_freed()
        report = {"counts": dict(self.counts), "stats": self.stats(), "anonymous": self.anonymous()}
        os.write(1, json.dumps(report | self.more()).encode() + b"\n")

    def stats(self) -> dict[str, int]:
        """Counters of all sockets, added."""
        added: collections.Counter[str] = collections.Counter()
        for each in self.sockets:
            added.update(each.stats())
        return dict(added)

    def anonymous(self) -> int:
        return footprint.of(os.getpid()).anonymous

    def more(self) -> dict[str, Any]:
        return {}

    def turn(self) -> None:
        raise NotImplementedError

    def let_go(self) -> None:
        raise NotImplementedError

    def expect_no_segments(self) -> None:
        """After term, with nothing held, no segment is mapped."""
        deadline = time.monotonic() + 10
        while left := footprint.own_segments():
            gc.collect()
            if time.monotonic() > deadline:
                raise AssertionError(
                    "waited 10 s for segments to be unmapped after term:\n" + "\n".join(left)
                )
            time.sleep(0.01)

    def expect_next(self, last: dict[tuple[int, int], int], head: Head) -> None:
        """Of one sender's life and kind the numbers only grow."""
        before = last.get((head.kind, head.life), -1)
        if head.number <= before:
            raise Torn(f"out of order or twice: {head} after number {before}, received by life {self.life}")
        last[head.kind, head.life] = head.number


# --- senders -----------------------------------------------------------------------------------------------


class Sender(Actor):
    """Sends without end, by every way there is, whichever socket takes it."""

    def __init__(self, binds: str, **spec: Any) -> None:
        super().__init__(**spec)
        self.kinds = {PUSH: self.socket(zmq.PUSH), DEALER: self.socket(zmq.DEALER), PUB: self.socket(zmq.PUB)}
        self.numbers = dict.fromkeys(self.kinds, 0)
        self.answers: dict[tuple[int, int], int] = {}
        self.scratch = whole_bytearray(self.largest + bodies.HEAD_SIZE)
        for endpoint in self.endpoints["pull"]:
            self.kinds[PUSH].connect(endpoint)
        for endpoint in self.endpoints["router"]:
            self.kinds[DEALER].connect(endpoint)
        self.kinds[PUB].bind(binds)
        self.poller = zmq.Poller()
        self.poller.register(0, zmq.POLLIN)
        self.poller.register(self.kinds[DEALER], zmq.POLLIN)

    def more(self) -> dict[str, Any]:
        return {"sent": {NAMES[kind]: count for kind, count in self.numbers.items()}}

    def turn(self) -> None:
        if self.paused:
            self.poller.poll(TICK_MS)
            self.kinds[PUB].get(zmq.EVENTS)  # a publisher takes in who subscribed when it is called
        while self.kinds[DEALER].poll(0):
            self.take_answer()
        if not self.paused:
            self.send_one(self.dice.choice((PUSH, PUSH, DEALER, PUB)))

    def let_go(self) -> None:
        """It holds nothing."""

    def send_one(self, kind: int) -> None:
        head = Head(kind, self.life, self.numbers[kind], length_of(self.dice, self.largest))
        form = self.dice.choice(("whole", "two", "two", "three"))
        prefix = head.pack() if form == "whole" else b""
        behind = [TAIL] if form == "three" else []
        body, way = self.made(prefix, head)
        try:
            if form == "whole":
                self.kinds[kind].send(body, copy=self.dice.random() < 0.5)
            else:
                self.kinds[kind].send_multipart([head.pack(), body, *behind])
        except zmq.Again:
            self.counts[f"full {NAMES[kind]}"] += 1
            if way == "alloc":
                body.release()
        except MemoryError:
            self.counts[f"no memory {NAMES[kind]}"] += 1
            if way == "alloc":
                body.release()
        else:
            self.numbers[kind] += 1
            self.counts[f"sent {NAMES[kind]}"] += 1
            self.counts[f"sent by {way}"] += 1
            self.counts["bytes sent"] += head.length

    def made(self, prefix: bytes, head: Head) -> tuple[Any, str]:
        """The body as an object to send, and how it was made: in a block of the arena, or in our memory."""
        size = len(prefix) + head.length
        block = None
        if self.dice.random() < 0.4:
            try:
                block = self.kinds[head.kind].alloc(size)
            except (zmq.Again, MemoryError):
                self.counts["alloc refused"] += 1
        view = memoryview(self.scratch if block is None else block)[:size]
        view[: len(prefix)] = prefix
        bodies.fill(view[len(prefix) :], head.seed)
        if block is not None:
            view.release()
            return block, "alloc"
        if self.dice.random() < 0.3:
            return bytes(view), "bytes"
        return view, "view"

    def take_answer(self) -> None:
        frames = self.kinds[DEALER].recv_multipart(copy=self.dice.random() < 0.3)
        head = Head.unpack(frames[0])
        if (head.kind, head.life) != (ANSWER, self.life):
            raise Torn(f"life {self.life} got an answer that is not its own: {head}")
        self.expect_next(self.answers, head._replace(life=int(bytes(frames[2]))))
        bodies.prove(frames[1], Head(DEALER, self.life, head.number, head.length).seed, f"answer {head}")
        self.counts["answers"] += 1


# --- receivers ---------------------------------------------------------------------------------------------


class Held:
    """A body that a receiver keeps, with what it wrote into it; it is looked at when it is let go."""

    def __init__(self, data: Any, head: Head, dice: random.Random) -> None:
        self.head = head
        self.since = time.monotonic()
        with memoryview(data) as view:
            self.length, writable = view.nbytes, not view.readonly
        self.data = data
        form = dice.choice(("as it is", "view", "slice"))
        if form == "view":
            self.data = memoryview(data)
        elif form == "slice":  # which keeps the whole
            self.length = (self.length + 1) // 2
            self.data = memoryview(data)[: self.length]
        self.marks: list[int] = []
        if writable and self.length and dice.random() < 0.2:
            self.marks = [dice.randrange(self.length) for _ in range(4)]
            for mark in self.marks:
                memoryview(self.data)[mark] = bodies.byte_at(head.seed, mark) ^ 0xFF

    def prove(self) -> None:
        """What was received is still there, and what was written into it; then it is as it was received."""
        view = memoryview(self.data)
        story = f"held for {time.monotonic() - self.since:.3f} s: {self.head}"
        for mark in self.marks:
            right = bodies.byte_at(self.head.seed, mark)
            if view[mark] != right ^ 0xFF:
                raise Torn(f"{story}: byte {mark} that the holder wrote is {view[mark]}, not {right ^ 0xFF}")
        for mark in self.marks:
            view[mark] = bodies.byte_at(self.head.seed, mark)
        bodies.prove(view, self.head.seed, story)


class Receiver(Actor):
    """Receives by every way there is, proves every byte, and holds some bodies for a random time."""

    def __init__(self, pull: str, router: str, journal: str, hold_bytes: int, **spec: Any) -> None:
        super().__init__(**spec)
        self.pull, self.router = self.socket(zmq.PULL), self.socket(zmq.ROUTER)
        self.sub = self.socket(zmq.SUB)
        self.pull.bind(pull)
        self.router.bind(router)
        self.router.sndtimeo = 0  # an answer that finds no room is not sent
        self.sub.subscribe(b"")
        for endpoint in self.endpoints["pub"]:
            self.sub.connect(endpoint)
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.last: dict[tuple[int, int], int] = {}
        self.held: list[tuple[float, int, Held]] = []
        self.held_bytes, self.hold_bytes = 0, hold_bytes
        self.into = whole_bytearray(self.largest + bodies.HEAD_SIZE)
        self.poller = zmq.Poller()
        self.poller.register(0, zmq.POLLIN)
        for each in self.sockets:
            self.poller.register(each, zmq.POLLIN)

    def more(self) -> dict[str, Any]:
        return {"held": len(self.held), "held_bytes": self.held_bytes}

    def turn(self) -> None:
        ready = dict(self.poller.poll(TICK_MS))
        for socket in self.sockets:
            if socket in ready:
                self.take(socket)
        now = time.monotonic()
        while self.held and (
            self.held[0][0] < now or len(self.held) > HOLD_MOST or self.held_bytes > self.hold_bytes
        ):
            self.drop_one()

    def take(self, socket: Any) -> None:
        peer = socket.recv() if socket is self.router else None
        way = self.dice.choices(("frame", "bytes", "into"), (6, 2, 2))[0]
        first = self.next_part(socket, way)
        head = Head.unpack(first)
        if head.kind != ANSWER:
            self.note(head)
        body, behind = first, 0
        if socket.get(zmq.RCVMORE):
            body = self.next_part(socket, way)
        else:
            behind = bodies.HEAD_SIZE
        length = memoryview(body).nbytes - behind
        if length != head.length:
            raise Torn(f"{head} came with {length} bytes")
        if socket.get(zmq.RCVMORE):
            tail = socket.recv()
            if tail != TAIL or socket.get(zmq.RCVMORE):
                raise Torn(f"{head} ends with {tail!r:.80}")
        content = memoryview(body)[behind:] if behind else body
        bodies.prove(content, head.seed, f"just received by {way}: {head}", quick=length > 4 * LITTLE)
        self.expect_next(self.last, head)
        self.counts[f"received {NAMES[head.kind]}"] += 1
        self.counts[f"received by {way}"] += 1
        self.counts["bytes received"] += length
        if peer is not None and self.dice.random() < 0.25:
            self.answer(peer, head, content)
        if way == "frame" and not self.paused and self.dice.random() < 0.5:
            self.hold(content, head)

    def next_part(self, socket: Any, way: str) -> Any:
        if way == "frame":
            return socket.recv(copy=False)
        if way == "bytes":
            return socket.recv()
        size = socket.recv_into(self.into)
        if size <= bodies.HEAD_SIZE:
            return bytes(self.into[:size])  # the next part is received into the same memory
        return memoryview(self.into)[:size]

    def note(self, head: Head) -> None:
        if head.kind != PUB:
            os.write(self.journal, RECORD.pack(head.kind, head.life, self.life, head.number))

    def answer(self, peer: bytes, head: Head, content: Any) -> None:
        """Send the body back as it is: a received block is sent on, in another socket's arena."""
        answer = Head(ANSWER, head.life, head.number, head.length)
        try:
            self.router.send_multipart([peer, answer.pack(), content, b"%d" % self.life], copy=False)
        except (zmq.Again, MemoryError) as error:
            self.counts[f"answer refused: {type(error).__name__}"] += 1

    def hold(self, content: Any, head: Head) -> None:
        held = Held(content, head, self.dice)
        seconds = min(15.0, self.dice.expovariate(1 / HOLD_SECONDS))
        if self.dice.random() < 0.02:
            seconds *= 10
        heapq.heappush(self.held, (time.monotonic() + seconds, head.seed ^ len(self.held), held))
        self.held_bytes += held.length
        self.counts["held"] += 1
        self.counts["held and written into"] += bool(held.marks)
        self.counts["most held"] = max(self.counts["most held"], len(self.held))

    def drop_one(self) -> None:
        _, _, held = heapq.heappop(self.held)
        self.held_bytes -= held.length
        held.prove()

    def let_go(self) -> None:
        while self.held:
            self.drop_one()


def main() -> None:
    role, spec = sys.argv[1], json.loads(sys.argv[2])
    {"sender": Sender, "receiver": Receiver}[role](**spec).run()


if __name__ == "__main__":
    main()
