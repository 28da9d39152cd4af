"""Z85: bytes as printable text, five characters for four bytes.

Source   RFC 32.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["Z85CHARS", "Z85MAP", "decode", "encode"]

Z85CHARS: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
Z85MAP: Final = {character: digit for digit, character in enumerate(Z85CHARS)}


def encode(rawbytes: bytes | bytearray | memoryview) -> bytes:
    """Return bytes as Z85. Raises ValueError if their number is no multiple of four."""
    raw = bytes(rawbytes)
    if len(raw) % 4:
        raise ValueError(f"length must be multiple of 4, not {len(raw)}")
    text = bytearray()
    for (word,) in struct.iter_unpack(">I", raw):
        text += bytes(Z85CHARS[word // 85**place % 85] for place in (4, 3, 2, 1, 0))
    return bytes(text)


def decode(z85bytes: str | bytes | bytearray | memoryview) -> bytes:
    """Return the bytes that Z85 text stands for.

    Raises   ValueError  the length is no multiple of five, or a character is not ASCII.
             KeyError    a character is none of Z85's (pyzmq's rule, kept).
             struct.error  five characters say more than four bytes hold (pyzmq's rule, kept).
    """
    if isinstance(z85bytes, str):
        if not z85bytes.isascii():
            raise ValueError("string argument should contain only ASCII characters")
        z85bytes = z85bytes.encode()
    text = bytes(z85bytes)
    if len(text) % 5:
        raise ValueError(f"Z85 length must be multiple of 5, not {len(text)}")
    raw = bytearray()
    for start in range(0, len(text), 5):
        word = 0
        for character in text[start : start + 5]:
            word = 85 * word + Z85MAP[character]
        raw += struct.pack(">I", word)
    return bytes(raw)
