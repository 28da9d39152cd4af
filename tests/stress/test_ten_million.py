"""Many messages of mixed sizes between four processes: none lost, duplicated, reordered per pair or torn.

Two PUSH send to two PULL, all to all, over ipc. A message carries its sender, its number and its length; its
body is a slice of one pattern, chosen by the number, so a receiver proves it by one comparison. Messages
of no byte at all carry nothing: they are counted. `SHMZMQ_STRESS_MESSAGES` sets the number of messages.
"""

from __future__ import annotations

import itertools
import mmap
import os
import random
import struct
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

MESSAGES = int(os.environ.get("SHMZMQ_STRESS_MESSAGES", "200000"))
SEED = int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

FEWEST_PER_SECOND = 5_000  # far below what any machine does: only a cap is computed from it
CAP = 60 + MESSAGES / FEWEST_PER_SECOND
STALL = 20  # seconds without a message anywhere after which a receiver gives up
SENDERS = (0, 1)
HEADER = struct.Struct("<III")  # sender, number, length of the bodies in all
MOST = 1 << 20
PERIOD = 65_521  # a prime: sizes and slices of the pattern do not march in step

pytestmark = [pytest.mark.slow, pytest.mark.timeout(CAP + 30)]


class Plan(NamedTuple):
    """Which form a message has; the same in every process of one seed."""

    length: int
    cuts: tuple[int, ...]  # where the body is cut into frames behind a header frame; () is one frame for all
    empty: bool  # a message of one frame of 0 bytes, with no header


def plans(seed: int) -> list[Plan]:
    """The forms of PERIOD messages in a row."""
    dice = random.Random(f"{seed} plans")
    found = []
    for _ in range(PERIOD):
        luck = dice.random()
        if luck < 0.970:
            length = dice.randrange(201)
        elif luck < 0.999:
            length = dice.randrange(8 << 10)
        else:
            length = dice.randrange(MOST + 1)
        cuts = ()
        if dice.random() < 0.10:  # multipart; a cut at the same place twice makes a frame of 0 bytes
            inner = sorted(dice.randrange(length + 1) for _ in range(dice.choice((0, 0, 1, 2, 5))))
            cuts = (0, *inner, length)
        found.append(Plan(length, cuts, empty=dice.random() < 0.01))
    return found


def pattern(seed: int) -> bytes:
    return random.Random(f"{seed} pattern").randbytes(MOST + PERIOD)


# --- the two sides -----------------------------------------------------------------------------------------


def send_all(zmq, link, me, endpoints, count, seed):
    """Connect to every endpoint; on the word send the numbers 0 to `count`; return the seconds it took."""
    forms, body = plans(seed), pattern(seed)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndtimeo = STALL * 1000
        for endpoint in endpoints:
            push.connect(endpoint)
        link.tell("connected")
        link.hear(CAP)
        began = time.monotonic()
        send, send_multipart, pack = push.send, push.send_multipart, HEADER.pack
        for number in range(count):
            place = number % PERIOD
            length, cuts, empty = forms[place]
            if empty:
                send(b"")
            elif cuts:
                frames = [body[place + a : place + b] for a, b in itertools.pairwise(cuts)]
                send_multipart([pack(me, number, length), *frames])
            else:
                send(pack(me, number, length) + body[place : place + length])
        return time.monotonic() - began


def receive_all(zmq, link, me, endpoint, count, seed, counters_path, marks_path):
    """Bind, and receive until all receivers together have everything; write a mark for each number.

    Returns how many messages of no byte there were.
    """
    forms, body = plans(seed), pattern(seed)
    marks = [bytearray(count) for _ in SENDERS]
    last = [-1 for _ in SENDERS]
    header_size, unpack = HEADER.size, HEADER.unpack_from
    total = count * len(SENDERS)
    received = empties = 0
    with (
        open(counters_path, "r+b") as file,
        mmap.mmap(file.fileno(), 0) as memory,
        memoryview(memory).cast("Q") as counters,
        zmq.Context() as context,
        context.socket(zmq.PULL) as pull,
    ):
        pull.rcvtimeo = 20  # the distance between two looks at what the others have
        pull.bind(endpoint)
        link.tell("bound")
        link.hear(CAP)
        seen, deadline = 0, time.monotonic() + STALL
        while True:
            try:
                frames = pull.recv_multipart()
            except zmq.Again:
                counters[me] = received
                everywhere = sum(counters)
                if everywhere >= total:
                    break
                if everywhere > seen:
                    seen, deadline = everywhere, time.monotonic() + STALL
                assert time.monotonic() < deadline, (
                    f"waited {STALL} s for {total - everywhere} of {total} messages; "
                    f"per receiver {list(counters)}, last number of each sender here {last}"
                )
                continue
            received += 1
            first = frames[0]
            if not first:
                assert len(frames) == 1, f"an empty first frame, and behind it {frames[1:]!r:.200}"
                empties += 1
                continue
            assert len(first) >= header_size, f"torn: a message begins with {first!r:.80}"
            sender, number, length = unpack(first)
            assert sender in SENDERS, f"torn: sender {sender} does not exist"
            assert number < count, f"torn: number {number} of sender {sender} was never sent"
            place = number % PERIOD
            form = forms[place]
            if form.cuts:
                expected = [body[place + a : place + b] for a, b in itertools.pairwise(form.cuts)]
                whole = len(first) == header_size and frames[1:] == expected
            else:
                whole = len(frames) == 1 and first[header_size:] == body[place : place + length]
            assert (whole, length, form.empty) == (True, form.length, False), (
                f"torn: message {number} of sender {sender} says {length} bytes, was {form}; "
                f"received frames of {[len(frame) for frame in frames]}"
            )
            assert number > last[sender], (
                f"out of order or twice: {number} of sender {sender} after {last[sender]}"
            )
            last[sender] = number
            marks[sender][number] = 1
    Path(marks_path).write_bytes(b"".join(marks))
    return empties


def once_each(marks: list[bytes]) -> int:
    """A number whose every byte is 1 where an odd count of receivers has a mark."""
    together = 0
    for each in marks:
        together ^= int.from_bytes(each, "little")
    return together


# --- the test ----------------------------------------------------------------------------------------------


def test_every_message_arrives_whole_once_and_in_order(ipc, run_child, tmp_path, backstop):
    backstop(CAP + 60)  # longer than conftest's
    count = MESSAGES // len(SENDERS)
    forms = plans(SEED)
    print(f"replay with SHMZMQ_SEED={SEED} SHMZMQ_STRESS_MESSAGES={MESSAGES}")
    counters = tmp_path / "counters"
    counters.write_bytes(bytes(8 * 2))
    endpoints = [f"{ipc}-{index}" for index in range(2)]
    marks = [tmp_path / f"marks-{index}" for index in range(2)]
    receivers = [
        run_child(receive_all, index, endpoint, count, SEED, str(counters), str(marks[index]))
        for index, endpoint in enumerate(endpoints)
    ]
    assert [child.hear(60) for child in receivers] == ["bound", "bound"]
    senders = [run_child(send_all, me, endpoints, count, SEED) for me in SENDERS]
    assert [child.hear(60) for child in senders] == ["connected", "connected"]
    began = time.monotonic()
    for child in (*receivers, *senders):
        child.tell("go")
    for child in senders:
        child.result(CAP)
    empties = sum(child.result(CAP) for child in receivers)
    seconds = time.monotonic() - began

    written = [path.read_bytes() for path in marks]
    shares = [each.count(1) for each in written]
    empty_places = bytes(forms[number % PERIOD].empty for number in range(count))
    expected = bytes(1 - empty for empty in empty_places) * len(SENDERS)
    assert once_each(written) == int.from_bytes(expected, "little"), (
        f"lost or twice: receivers marked {shares} of {expected.count(1)} numbers"
    )
    assert empties == empty_places.count(1) * len(SENDERS)
    lengths = Counter()
    for length, cuts, empty in itertools.islice(itertools.cycle(forms), count):
        lengths["messages of 0 bytes" if empty else "multipart" if cuts else "one frame"] += 2
        if not empty:
            lengths["bytes"] += 2 * length
            lengths["largest"] = max(lengths["largest"], length)
            lengths["bodies of 0 bytes"] += 2 * (length == 0)
    print(
        f"{2 * count} messages in {seconds:.1f} s: {2 * count / seconds:,.0f} messages/s, "
        f"{lengths['bytes'] / seconds / 1e6:,.0f} MB/s; per receiver {shares}; {dict(lengths)}"
    )
