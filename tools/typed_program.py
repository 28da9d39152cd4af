"""Writes `tests/typing/names.py`: every constant, flat and in its class, and every option as an attribute.

The hand-written half is tests/typing/program.py.
"""

from __future__ import annotations

from pathlib import Path

from shmzmq import constants
from shmzmq.constants import ContextOption
from shmzmq.options import CONTEXT_OPTIONS, SOCKET_OPTIONS, OptionRow

from .attributes import BY_HAND

PATH = Path(__file__).parents[1] / "tests" / "typing" / "names.py"

HEAD = '''# ruff: noqa: PLR0915
# pyright: strict
"""Every constant and every option of the public API, with its type. Generated: `make docs`."""

from typing import assert_type

import shmzmq as zmq
'''


def _uses(holder: str, row: OptionRow, by_hand: set[str], writable: bool) -> list[str]:
    kind = row.python_type.__name__
    value = 'b""' if kind == "bytes" else "0"
    lines = []
    for name in row.names:
        for spelling in (name.lower(), name):
            if spelling not in by_hand:
                if row.readable or holder == "context":
                    lines.append(f"    assert_type({holder}.{spelling}, {kind})")
                if writable:
                    lines.append(f"    {holder}.{spelling} = {value}")
    return lines


def text() -> str:
    """The file."""
    flat = [name for name in constants.__all__ if isinstance(getattr(constants, name), int)]
    named = [row for row in CONTEXT_OPTIONS if row.name in ContextOption.__members__]
    classes = [name for name in constants.__all__ if name not in flat]
    lines = [HEAD, "CLASSES: tuple[type, ...] = (", *(f"    zmq.{name}," for name in classes), ")", ""]
    members = [
        f"    zmq.{name}.{member},"
        for name in classes
        for member in getattr(getattr(constants, name), "__members__", ())
        if member not in flat
    ]
    lines += ["MEMBERS: tuple[int, ...] = (", *members, ")", ""]
    lines += ["NUMBERS: tuple[int, ...] = (", *(f"    zmq.{name}," for name in flat), ")", "", ""]
    lines.append("def socket_options(socket: zmq.Socket) -> None:")
    for row in SOCKET_OPTIONS:
        lines += _uses("socket", row, BY_HAND["Socket"], row.writable or not row.readable)
    lines += ["", "", "def context_options(context: zmq.Context) -> None:"]
    for row in named:
        lines += _uses("context", row, BY_HAND["Context"], row.writable)
    for row in SOCKET_OPTIONS:
        lines += _uses("context", row, BY_HAND["Context"], True)
    return "\n".join(lines) + "\n"
