"""What is counted: the calls that programs make per message, both ends in one thread, so that none waits.

A script: it builds the scene, makes every call of it often enough that nothing is done for the first time,
and then each a few times between two marks (steps.py).

    python costs.py "PUSH to PULL, 32 B" ipc:///tmp/endpoint
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import steps

import shmzmq as zmq

Calls = list[Callable[[], Any]]

TIMES = 2
WARM = 300

MEDIUM = 16 * 1024
"""The least that the loop of our own copies (native/core/src/copy.rs)."""

LARGE = 256 * 1024
"""The least that is copied outside the socket's lock, by other callers of it (native/python/src/sink.rs)."""

PEERS = 8


def link(context: zmq.Context, endpoint: str, one: int, *others: int) -> list[zmq.Socket]:
    """A socket that is bound and others that are connected to it."""
    made = [context.socket(kind) for kind in (one, *others)]
    made[0].bind(endpoint)
    for each in made[1:]:
        each.connect(endpoint)
    return made


def push_pull(size: int, context: zmq.Context, endpoint: str) -> Calls:
    pull, push = link(context, endpoint, zmq.PULL, zmq.PUSH)
    return [partial(push.send, bytes(size)), pull.recv]


def frames(context: zmq.Context, endpoint: str) -> Calls:
    pull, push = link(context, endpoint, zmq.PULL, zmq.PUSH)
    return [partial(push.send, bytes(MEDIUM), copy=False), partial(pull.recv, copy=False)]


def into(context: zmq.Context, endpoint: str) -> Calls:
    pull, push = link(context, endpoint, zmq.PULL, zmq.PUSH)
    return [partial(push.send, bytes(LARGE)), partial(pull.recv_into, bytearray(LARGE))]


def parts(context: zmq.Context, endpoint: str) -> Calls:
    router, dealer = link(context, endpoint, zmq.ROUTER, zmq.DEALER)
    return [partial(dealer.send_multipart, [b"", bytes(8), bytes(32)]), router.recv_multipart]


def request(context: zmq.Context, endpoint: str) -> Calls:
    rep, req = link(context, endpoint, zmq.REP, zmq.REQ)
    return [partial(req.send, bytes(32)), rep.recv, partial(rep.send, bytes(32)), req.recv]


def published(size: int, context: zmq.Context, endpoint: str) -> Calls:
    pub, *subs = link(context, endpoint, zmq.PUB, *[zmq.SUB] * PEERS)
    for sub in subs:
        sub.subscribe(b"")
    while not all(sub.poll(10) for sub in subs):
        pub.send(b"is everybody there?")
    for sub in subs:
        while sub.poll(0):
            sub.recv()
    return [partial(pub.send, bytes(size)), lambda: [sub.recv() for sub in subs]]


def looks(context: zmq.Context, endpoint: str) -> Calls:
    pull, *pushes = link(context, endpoint, zmq.PULL, *[zmq.PUSH] * PEERS)
    for push in pushes:
        push.send(b"here")
    for _ in pushes:
        pull.recv()
    poller = zmq.Poller()
    for each in [pull, *pushes]:
        poller.register(each, zmq.POLLIN)
    return [partial(pull.poll, 0), partial(poller.poll, 0)]


CASES: dict[str, Callable[[zmq.Context, str], Calls]] = {
    "PUSH to PULL, 32 B": partial(push_pull, 32),
    "PUSH to PULL, 16 KiB": partial(push_pull, MEDIUM),
    "PUSH to PULL, 256 KiB": partial(push_pull, LARGE),
    "PUSH to PULL, 16 KiB, frames": frames,
    "PUSH to PULL, 256 KiB, recv_into": into,
    "DEALER to ROUTER, 3 parts": parts,
    "REQ to REP and back, 32 B": request,
    "PUB to 8 SUB, 32 B": partial(published, 32),
    "PUB to 8 SUB, 16 KiB": partial(published, MEDIUM),
    "poll, poll of 9, nothing there": looks,
}


def main(case: str, endpoint: str) -> None:
    context = zmq.Context()
    calls = CASES[case](context, endpoint)
    for _ in range(WARM):
        for call in calls:
            call()
    gc.collect()
    gc.disable()
    steps.begin()
    for _ in range(TIMES):
        for call in calls:
            call()
            steps.mark()
    steps.end()
    context.destroy(linger=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
