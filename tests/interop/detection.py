"""Measures how soon a peer that went silent is noticed: `make detection`, or `PYTHONPATH=tests python
tests/interop/detection.py [half-open | partitions] [COUNT [MODULE]]`.

HEARTBEAT_IVL is 200 ms, HEARTBEAT_TIMEOUT 500 ms. The first PING without an answer leaves just before the
peer goes silent at the earliest, an interval after it at the latest: one should notice after 500 to 700 ms.

half-open: a PULL of MODULE (shmzmq or zmq) in a process of its own, and raw peers on loopback that answer
its PINGs, send small messages, and at some point of the interval say nothing more, but keep the connection.
Such a peer sees what a partition hides, the first PING that it does not answer. Takes the time to the end of
the connection from its last word, and from that PING.

partitions (as root): a DEALER here (shmzmq) connected to one there (MODULE) on a cable between two network
namespaces, small messages both ways. Each cycle waits until messages flow, lets the cable swallow everything
at another point of the interval, and takes the time of each end's DISCONNECTED from then; then the cable is
mended. Prints also what was lost with the connections.

Prints milliseconds: least, median, nineteen of twenty, most; and how many were within the bound and a tenth.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import select
import socket as system
import statistics
import sys
import time
from types import ModuleType

import network as cable
import test_partitions as scene

from kit import Child, Link
from watching import command, dial, hear_command, shake_hands

AT_ONCE = 10
"""Half-open peers beside each other, so that fifty do not take a minute."""


def show(what: str, times: list[float], bound: int) -> None:
    ranked = sorted(times)
    figures = (ranked[0], statistics.median(ranked), ranked[round(0.95 * (len(ranked) - 1))], ranked[-1])
    within = sum(each <= 1.1 * bound for each in ranked)
    shown = " ".join(f"{each:.0f}" for each in figures)
    print(f"{what}: {shown} ms; {within} of {len(ranked)} within {bound} ms + 10 %")


def partitions(cycles: int, module: str) -> None:
    net = cable.Network()
    here, there = cable.Host(net, 0, "shmzmq"), cable.Host(net, 1, module)
    try:
        couple = scene.Couple(here, there, **scene.HEARTBEATS)
        taken: tuple[list[float], list[float]] = ([], [])
        for _cycle in range(cycles):
            time.sleep(random.uniform(0.4, 0.8))  # another point of the interval each time
            before = time.monotonic()
            net.blackhole()
            cut = (before + time.monotonic()) / 2
            for times, watch in zip(taken, couple.watches, strict=True):
                times.append(1000 * (watch.wait("DISCONNECTED", since=before)[0] - cut))
            net.clear()
            couple.married(since=before)
            couple.expect_traffic()
        sent = [pump() for pump in couple.pumps]
        couple.expect_order()
        for name, times in zip(("shmzmq", module), taken, strict=True):
            show(f"{name}, from the partition", times, scene.IVL + scene.TIMEOUT)
        for heard, name, count in zip(couple.heard, (b"there", b"here"), reversed(sent), strict=True):
            numbers = heard()[name]
            assert all(one < other for one, other in itertools.pairwise(numbers))
            print(f"from {name.decode()}: {count} sent, {count - len(numbers)} lost, none twice, in order")
    finally:
        here.end()
        there.end()
        net.end()


def listen(zmq: ModuleType, link: Link) -> None:
    """In the child: a PULL with heartbeats, which receives until it is told enough."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        for name, value in scene.HEARTBEATS.items():
            setattr(pull, name, value)
        pull.bind("tcp://127.0.0.1:*")
        link.tell(pull.last_endpoint.decode())
        while not link.has_word():
            if pull.poll(50):
                pull.recv()


class HalfOpen:
    """A raw PUSH that falls silent at a given time."""

    def __init__(self, endpoint: str, silent_at: float) -> None:
        self.wire = dial(endpoint)
        shake_hands(self.wire, b"PUSH")
        self.silent_at = silent_at
        self.last_word = self.ping = self.end = 0.0

    def talk(self) -> None:
        """A message, as long as it is not silent."""
        if time.monotonic() < self.silent_at:
            self.wire.sendall(b"\0\5hello")
            self.last_word = time.monotonic()

    def listen(self) -> None:
        """What came, answered while it is not silent."""
        name, body = b"", b""
        with contextlib.suppress(ConnectionResetError):
            name, body = hear_command(self.wire)
        now = time.monotonic()
        if name == b"":
            self.end = now
        elif now < self.silent_at:
            self.wire.sendall(command(b"PONG", body[2:]))
            self.last_word = time.monotonic()
        elif not self.ping:
            self.ping = now


def fall_silent(endpoint: str, count: int) -> list[HalfOpen]:
    """So many peers beside each other, after the end of all their connections."""
    began = time.monotonic()
    peers = [HalfOpen(endpoint, began + 0.5 + random.uniform(0, scene.IVL / 1000)) for _ in range(count)]
    by_wire: dict[system.socket, HalfOpen] = {each.wire: each for each in peers}
    while by_wire:
        for wire in select.select(list(by_wire), [], [], 0.005)[0]:
            by_wire[wire].listen()
            if by_wire[wire].end:
                del by_wire[wire]
        for each in by_wire.values():
            each.talk()
    for each in peers:
        each.wire.close()
    return peers


def half_open(count: int, module: str) -> None:
    child = Child(module, listen)
    try:
        endpoint = child.hear()
        peers: list[HalfOpen] = []
        while len(peers) < count:
            peers += fall_silent(endpoint, min(AT_ONCE, count - len(peers)))
        child.tell("enough")
        child.result()
    finally:
        child.dismiss()
    words = [1000 * (each.end - each.last_word) for each in peers]
    pings = [1000 * (each.end - each.ping) for each in peers]
    show(f"{module}, from the last word", words, scene.IVL + scene.TIMEOUT)
    show(f"{module}, from the PING without an answer", pings, scene.TIMEOUT)


MODES = {"partitions": partitions, "half-open": half_open}

if __name__ == "__main__":
    mode, cycles, module = [*sys.argv[1:], *["half-open", "50", "shmzmq"][len(sys.argv) - 1 :]]
    MODES[mode](int(cycles), module)
