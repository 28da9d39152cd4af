"""Messages that prove themselves, journals that survive a kill, and what a history of both may say.

A message is a header and bodies: `[header, body, body, ...]`. The header says who sent it, the how manieth it
is, how many bodies follow, their total length and their crc; the bodies are slices of one pool of random
bytes. So a receiver can tell a whole message from a torn or mixed one without having seen any other.

A journal is a file of fixed records, appended with one `write(2)` each right after the call it reports
returned. It outlives the SIGKILL of its writer; at most the record of the call in hand is missing.

This file knows no socket.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

HEADER = struct.Struct("<IIHIII")  # sender, number, bodies, total length, crc of the bodies, first length
RECORD = struct.Struct("<II")  # sender, number

HELLO = 0
"""The number of a sender's first message, which proves its connection."""

_POOL = random.Random(2024).randbytes(1 << 20)


class Torn(AssertionError):
    """A received message is not one that was sent."""


# --- messages ----------------------------------------------------------------------------------------------


def body_length(dice: random.Random) -> int:
    """Mostly small, sometimes a few pages, rarely enough to make a ring grow."""
    luck = dice.random()
    if luck < 0.10:
        return 0
    if luck < 0.85:
        return dice.randrange(200)
    if luck < 0.99:
        return dice.randrange(9_000)
    return dice.randrange(200_000)


def bodies(dice: random.Random) -> list[bytes]:
    """The bodies of one message: mostly one, sometimes none, sometimes many."""
    count = dice.choice((0, 1, 1, 1, 1, 2, 3, 7))
    found = []
    for _ in range(count):
        start = dice.randrange(4096)
        found.append(_POOL[start : start + body_length(dice)])
    return found


def message(sender: int, number: int, parts: list[bytes]) -> list[bytes]:
    """The frames of a message that proves itself."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    first = len(parts[0]) if parts else 0
    return [HEADER.pack(sender, number, len(parts), sum(map(len, parts)), crc, first), *parts]


def prove(frames: list[bytes]) -> tuple[int, int]:
    """Sender and number of a received message; raises Torn if it is not exactly one that was sent."""
    header, *parts = frames
    if len(header) != HEADER.size:
        raise Torn(f"a message begins with {len(header)} bytes {header!r:.80} instead of a header")
    sender, number, count, total, crc, first = HEADER.unpack(header)
    what = f"message {number} of sender {sender}"
    if len(parts) != count:
        raise Torn(f"{what}: {len(parts)} bodies instead of {count}")
    if sum(map(len, parts)) != total or (parts and len(parts[0]) != first):
        raise Torn(
            f"{what}: bodies of {[len(part) for part in parts]}, {total} in all and {first} first sent"
        )
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    if found != crc:
        raise Torn(f"{what}: crc {found:#x} instead of {crc:#x}")
    return sender, number


# --- journals ----------------------------------------------------------------------------------------------


class Note(NamedTuple):
    """One record: this message was sent, or received."""

    sender: int
    number: int


class Journal:
    """The writer's end."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, sender: int, number: int) -> None:
        os.write(self._fd, RECORD.pack(sender, number))

    def close(self) -> None:
        os.close(self._fd)


def read(path: str | Path) -> list[Note]:
    """All whole records of a journal, oldest first; none if there is no such file yet."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % RECORD.size
    return [Note(*fields) for fields in RECORD.iter_unpack(data[:whole])]


def length(path: str | Path) -> int:
    """How many records a journal has."""
    try:
        return Path(path).stat().st_size // RECORD.size
    except FileNotFoundError:
        return 0


# --- what a history may say --------------------------------------------------------------------------------


def by_sender(notes: Iterable[Note]) -> dict[int, list[int]]:
    """The numbers of each sender in the order in which they were noted."""
    found: dict[int, list[int]] = {}
    for sender, number in notes:
        found.setdefault(sender, []).append(number)
    return found


def expect_order(lives: list[list[Note]]) -> None:
    """Of each sender the numbers only grow, within a receiver's life and on to its successor's.

    So nothing was received twice, and nothing out of order.
    """
    for sender, numbers in by_sender(note for life in lives for note in life).items():
        for before, after in itertools.pairwise(numbers):
            assert after > before, (
                f"sender {sender}: message {after} was received after {before}; "
                f"per life: {[_ends(by_sender(life).get(sender, [])) for life in lives]}"
            )


def missing(lives: list[list[Note]], sent: dict[int, int]) -> Iterator[tuple[Note, int | None]]:
    """Every message that was not received, with the receiver's life that ended just there.

    `sent` says how many messages of each sender were accepted. The life is None for a message that was lost
    in the middle of one receiver's life, or behind the last message of all.
    """
    for sender, count in sent.items():
        last_of = {}  # number -> the life in which it was the sender's last
        received = set()
        for index, life in enumerate(lives):
            numbers = by_sender(life).get(sender, [])
            received.update(numbers)
            if numbers:
                last_of[numbers[-1]] = index
        for number in range(count):
            if number not in received:
                yield Note(sender, number), last_of.get(number - 1)


def expect_complete(lives: list[list[Note]], sent: dict[int, int], killed: int) -> None:
    """Everything was received, but for at most one message in hand of each of `killed` receivers."""
    gaps = list(missing(lives, sent))
    lengths = [{sender: _ends(numbers) for sender, numbers in by_sender(life).items()} for life in lives]
    story = f"accepted {sent}, received in {len(lives)} lives {lengths}"
    assert len(gaps) <= killed, (
        f"{len(gaps)} messages were lost and {killed} receivers killed: {gaps[:10]}; {story}"
    )


def _ends(numbers: list[int]) -> str:
    return f"{numbers[0]}..{numbers[-1]} ({len(numbers)})" if numbers else "nothing"
