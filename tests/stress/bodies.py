"""Bodies: contents of any size that prove themselves, cheap to write and to compare.

A body is cut into chunks, and each chunk is a slice of one pool of random bytes whose place follows from the
body's seed. So two bodies of different seeds differ in every page, and a stale, mixed or shifted block shows.
A head says who sent the body, the how manieth it is and how long; the seed follows from it.

This file knows no socket.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

CHUNK = 1 << 20
PERIOD = 65_521  # a prime, so that chunks do not march in step with blocks and pages
STEP = 30_011

POOL = bytearray(random.Random(2025).randbytes(CHUNK + PERIOD))
"""A bytearray, because that compares itself with any buffer by one memcmp."""

_FIELDS = struct.Struct("<4sBIIQ")
_CHECK = struct.Struct("<I")
_MAGIC = b"body"
HEAD_SIZE = _FIELDS.size + _CHECK.size

EDGE = 64 << 10  # what a quick look compares at both ends
SAMPLE = 4 << 10  # and this much of every SAMPLE_STRIDE between them
SAMPLE_STRIDE = 256 << 10


class Torn(AssertionError):
    """These bytes are not what was sent."""


class Head(NamedTuple):
    """Who sent a body: its kind of socket, the sender's life, the number, and the length of the content."""

    kind: int
    life: int
    number: int
    length: int

    def pack(self) -> bytes:
        fields = _FIELDS.pack(_MAGIC, *self)
        return fields + _CHECK.pack(zlib.crc32(fields))

    @classmethod
    def unpack(cls, data: Any) -> Head:
        """The head that `data` begins with; raises Torn if that is none."""
        raw = bytes(memoryview(data)[:HEAD_SIZE])
        if len(raw) < HEAD_SIZE or zlib.crc32(raw[: _FIELDS.size]) != _CHECK.unpack(raw[_FIELDS.size :])[0]:
            raise Torn(f"no head but {raw!r} (of {len(memoryview(data))} bytes)")
        return cls(*_FIELDS.unpack(raw[: _FIELDS.size])[1:])

    @property
    def seed(self) -> int:
        return zlib.crc32(_FIELDS.pack(_MAGIC, *self))


# --- contents ----------------------------------------------------------------------------------------------


def _place(seed: int, chunk: int) -> int:
    return (seed + chunk * STEP) % PERIOD


def fill(view: Any, seed: int) -> None:
    """Write the content of this seed into all of a writable buffer."""
    with memoryview(view) as whole:
        for chunk, at in enumerate(range(0, len(whole), CHUNK)):
            place, size = _place(seed, chunk), min(CHUNK, len(whole) - at)
            whole[at : at + size] = POOL[place : place + size]


def content(length: int, seed: int) -> bytearray:
    """The content of this seed as an object of its own."""
    made = bytearray(length)
    fill(made, seed)
    return made


def byte_at(seed: int, offset: int) -> int:
    """One byte of the content of this seed."""
    return POOL[_place(seed, offset // CHUNK) + offset % CHUNK]


def prove(data: Any, seed: int, story: str = "", quick: bool = False) -> None:
    """Compare a buffer with the content of its seed; a quick look compares both ends and samples.

    Raises   Torn  naming the first difference and how far it goes.
    """
    with memoryview(data) as flat, flat.cast("B") as whole:
        for begin, end in _looks(len(whole)) if quick else _pieces(0, len(whole)):
            place = _place(seed, begin // CHUNK) + begin % CHUNK
            if POOL[place : place + end - begin] != whole[begin:end]:
                raise Torn(f"{story}: {_difference(whole, seed)}")


def _pieces(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The span cut where chunks end."""
    while begin < end:
        stop = min(end, (begin // CHUNK + 1) * CHUNK)
        yield begin, stop
        begin = stop


def _looks(length: int) -> Iterator[tuple[int, int]]:
    if length <= 2 * EDGE:
        yield from _pieces(0, length)
        return
    yield from _pieces(0, EDGE)
    for begin in range(EDGE, length - EDGE, SAMPLE_STRIDE):
        yield from _pieces(begin, min(begin + SAMPLE, length - EDGE))
    yield from _pieces(length - EDGE, length)


def _difference(whole: memoryview, seed: int) -> str:
    """Where a torn body differs, in words."""
    right = content(len(whole), seed)
    pages = [at for at in range(0, len(whole), 4096) if right[at : at + 4096] != whole[at : at + 4096]]
    if not pages:
        return "torn at the first look and whole at the second: somebody writes into it now"
    first = next(at for at in range(pages[0], len(whole)) if right[at] != whole[at])
    return (
        f"{len(whole)} bytes, of {(len(whole) + 4095) // 4096} pages {len(pages)} are wrong, the first at "
        f"{pages[0]}, the last at {pages[-1]}; byte {first} and on: "
        f"{bytes(whole[first : first + 24]).hex()} instead of {right[first : first + 24].hex()}"
    )
