"""What is sent: numbered messages, and how a receiver knows that it got the right ones."""

from __future__ import annotations

import random
import struct
from typing import Any

HEAD = struct.Struct("<QQ")  # every message begins with its number and its size
BLOCK_MESSAGES = 256
BLOCK_BYTES = 1 << 18


class BenchError(Exception):
    """A measurement did not happen; the text says which and why. Other measurements are not affected."""


class BrokenLibrary(BenchError):
    """A library lost, repeated or changed a message; what it was seen to do fast does not count."""


def make_message(number: int, size: int) -> bytes:
    """One message of `size` bytes (at least 16) that says its number and differs from its neighbours."""
    if size < HEAD.size:
        raise BenchError(f"size={size} is below {HEAD.size}, no room for number and size")
    filler = random.Random(number).randbytes(min(size, 4096))
    return (HEAD.pack(number, size) + filler * (size // len(filler) + 1))[:size]


def block_length(size: int, most: int = BLOCK_MESSAGES) -> int:
    return max(2, min(most, BLOCK_BYTES // size))


def make_block(size: int, most: int = BLOCK_MESSAGES) -> list[bytes]:
    """Distinct messages, made before the clock starts and sent round after round.

    At least two, so that a library cannot live off one; few when they are large, so that copying warm
    or cold memory is the same question for every library.
    """
    return [make_message(number, size) for number in range(block_length(size, most))]


def check(message: Any, expected: bytes, *, whole: bool = False) -> None:
    """Raise BrokenLibrary unless `message` is the expected one (its head and length, or every byte)."""
    view = memoryview(message)
    if len(view) != len(expected) or view[: HEAD.size] != expected[: HEAD.size]:
        seen = HEAD.unpack_from(view) if len(view) >= HEAD.size else "nothing"
        raise BrokenLibrary(f"expected message {HEAD.unpack_from(expected)}, got {seen} in {len(view)} bytes")
    if whole and view != expected:
        raise BrokenLibrary(f"message {HEAD.unpack_from(expected)[0]} arrived with other bytes")
