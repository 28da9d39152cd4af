"""Addresses from other libraries, as numbers."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["cast_int_addr"]


def cast_int_addr(n: Any) -> int:
    """Return an address as a number.

    Shape    n: an int, or a pointer of cffi's.
    Raises   ValueError  it is neither.
    """
    if isinstance(n, int):
        return n
    cffi = sys.modules.get("cffi")  # whoever has a pointer of its kind has imported it
    if cffi is not None:
        maker = cffi.FFI()
        if isinstance(n, maker.CData):
            return int(maker.cast("uintptr_t", n))
    raise ValueError(f"Cannot cast {n!r} to int")
