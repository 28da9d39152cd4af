"""What two ends say to each other in the matrix; each function runs on either end, on any module like pyzmq.

`converse` sends the whole corpus and expects each message back; `echo` is its other end. `speak` and
`listen` are the one-way pair. So every byte of the corpus crosses in both directions where types allow.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kit import CAP_MS

SIZES = (0, 1, 254, 255, 256, 8191, 8192, 8193, 65535, 1 << 20)
WINDOW = 32
"""Messages under way in a conversation."""

PROBE = b"probe: is anybody there?"
FENCE = b"fence: the probes are over"

LEGAL = {
    "REQ": ("REP", "ROUTER"),
    "REP": ("REQ", "DEALER"),
    "DEALER": ("REP", "DEALER", "ROUTER"),
    "ROUTER": ("REQ", "DEALER", "ROUTER"),
    "PUB": ("SUB", "XSUB"),
    "XPUB": ("SUB", "XSUB"),
    "SUB": ("PUB", "XPUB"),
    "XSUB": ("PUB", "XPUB"),
    "PUSH": ("PULL",),
    "PULL": ("PUSH",),
    "PAIR": ("PAIR",),
}
"""RFC 28 to 31: who may talk to whom."""

PAIRS = [(one, other) for one, others in LEGAL.items() for other in others]
ILLEGAL = {one: [other for other in LEGAL if other not in LEGAL[one]] for one in LEGAL}


@functools.cache
def corpus() -> list[list[bytes]]:
    """The messages: each size alone, multipart of all kinds, then numbers to be a hundred and more."""
    bodies = {size: random.Random(size).randbytes(size) for size in SIZES}
    messages = [[bodies[size]] for size in SIZES]
    messages += [[bodies[size], b"", bodies[size]] for size in SIZES[:-1]]
    messages.append([bodies[size] for size in SIZES])
    messages.append([b"", b"", b""])
    messages.append([b"%d" % part for part in range(300)])
    messages += [[b"%d" % number] for number in range(80)]
    messages += [[b"%d" % number, bodies[255]] for number in range(20)]
    return messages


def expect(number: int, got: list[bytes], want: list[bytes]) -> None:
    """Message `number` is what it should be; a megabyte is not printed."""
    if got != want:
        shapes = [[(len(part), part[:16]) for part in each[:12]] for each in (got, want)]
        raise AssertionError(f"message {number} of the corpus is {shapes[0]}, expected {shapes[1]}")


def speaks_first(one: str, other: str) -> bool:
    """Whether `one` may begin a conversation with `other`."""
    return one in ("REQ", "DEALER", "PAIR") or (one == "ROUTER" and other in ("DEALER", "ROUTER"))


def converse(zmq: ModuleType, socket: Any, prefix: list[bytes]) -> None:
    """Say the corpus, hear each message again, in order."""
    messages = corpus()
    window = 1 if socket.type == zmq.REQ else WINDOW
    for turn in range(len(messages) + window - 1):
        if turn < len(messages):
            socket.send_multipart(prefix + messages[turn])
        heard = turn - window + 1
        if heard >= 0:
            expect(heard, socket.recv_multipart(), prefix + messages[heard])


def echo(zmq: ModuleType, socket: Any) -> None:
    """The other end of `converse`."""
    for _ in corpus():
        socket.send_multipart(socket.recv_multipart())


def introduce(zmq: ModuleType, socket: Any, other: bytes, said: bytes) -> None:
    """A ROUTER that sends to another which nobody has heard of yet: again and again until it is there."""
    for _turn in range(5000):
        try:
            return socket.send_multipart([other, said])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
        socket.poll(1)
    raise AssertionError(f"{other!r} is not there after 5 s")


def speak(zmq: ModuleType, socket: Any) -> None:
    for message in corpus():
        socket.send_multipart(message)


def listen(zmq: ModuleType, socket: Any) -> None:
    for number, message in enumerate(corpus()):
        expect(number, socket.recv_multipart(), message)


def tune(zmq: ModuleType, socket: Any, topic: bytes = b"") -> None:
    """Subscribe a SUB by its option, an XSUB by a message."""
    if socket.type == zmq.XSUB:
        socket.send(b"\x01" + topic)
    else:
        socket.setsockopt(zmq.SUBSCRIBE, topic)


def probe_until(zmq: ModuleType, socket: Any, told: Callable[[float], bool]) -> None:
    """Publish probes until told that one was heard, then the fence."""
    for number in itertools.count():
        assert number < 5000, "nobody hears the publisher"
        socket.send(PROBE)
        if told(0.002):
            break
    socket.send(FENCE)


def hear_probe(zmq: ModuleType, socket: Any) -> None:
    assert socket.recv() == PROBE


def skip_to_fence(zmq: ModuleType, socket: Any) -> None:
    while (heard := socket.recv()) != FENCE:
        assert heard == PROBE, heard[:100]


# --- pairs that may not talk -------------------------------------------------------------------------------

SMUGGLED = b"smuggled"


def smuggle(zmq: ModuleType, socket: Any) -> None:
    """Try to send something that must not arrive."""
    if socket.type in (zmq.SUB, zmq.XSUB):
        tune(zmq, socket)
    if socket.type not in (zmq.SUB, zmq.PULL, zmq.REP):
        to = [b"theirs"] if socket.type == zmq.ROUTER else []
        with contextlib.suppress(zmq.ZMQError):  # nobody there: refused at once
            socket.send_multipart([*to, SMUGGLED], zmq.DONTWAIT)


def knock(desk: Any, numbers: list[int], endpoint: str | None) -> list[tuple[list[str], int]]:
    """In the child: watch sockets that connect (or are bound) to one that must refuse them.

    Returns for each the names of its events up to the end of the connection and whether it may receive.
    """
    monitor = importlib.import_module("zmq.utils.monitor")
    readers = [desk.sockets[number].get_monitor_socket() for number in numbers]
    for number in numbers:
        socket = desk.sockets[number]
        if endpoint is not None:
            socket.connect(endpoint)
        smuggle(desk.zmq, socket)
    desk.link.tell("knocked")
    told = []
    for number, reader in zip(numbers, readers, strict=True):
        names = []
        while "DISCONNECTED" not in names:
            assert reader.poll(CAP_MS), f"no end after {names}"
            names.append(monitor.recv_monitor_message(reader)["event"].name)
        told.append((names, desk.sockets[number].get(desk.zmq.EVENTS) & desk.zmq.POLLIN))
        desk.sockets[number].disable_monitor()
        reader.close()
    return told
