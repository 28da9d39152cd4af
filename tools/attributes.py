"""Writes `shmzmq/attributes.py`: the options as attributes, for type checkers and editors.

`python -m tools.attributes`; the rows are those of shmzmq/options.py.
"""

from __future__ import annotations

from pathlib import Path

from shmzmq.constants import ContextOption
from shmzmq.options import CONTEXT_OPTIONS, SOCKET_OPTIONS, OptionRow

PATH = Path(__file__).parents[1] / "shmzmq" / "attributes.py"

BY_HAND = {"Socket": {"type", "hwm", "subscribe", "unsubscribe"}, "Context": set[str]()}
"""Names that the classes define themselves."""

HEAD = '''"""Options as attributes of Socket and Context, for type checkers. Generated: `make docs`.

Knows    each option's name in lower and in upper case, and the Python type of its value.
Refuses  to exist at run time: there the descriptors of options.py do it.
"""

from typing import TYPE_CHECKING

__all__ = ["ContextAttributes", "SocketAttributes"]
'''


def _declaration(row: OptionRow, name: str, read_only: bool, on_socket: bool) -> list[str]:
    kind = "str | bytes" if row.takes_text and on_socket else row.python_type.__name__
    if read_only:
        return ["        @property", f"        def {name}(self) -> {kind}: ..."]
    return [f"        {name}: {kind}"]


def _class(name: str, doc: str, rows: list[tuple[OptionRow, bool]], by_hand: set[str]) -> str:
    plain: list[str] = []
    properties: list[str] = []
    for row, read_only in rows:
        for each in row.names:
            for spelling in (each.lower(), each):
                if spelling not in by_hand:
                    (properties if read_only else plain).extend(
                        _declaration(row, spelling, read_only, name.startswith("Socket"))
                    )
    lines = [f"class {name}:", f'    """{doc}"""', "", "    if TYPE_CHECKING:", *plain]
    for place in range(0, len(properties), 2):
        lines += ["", *properties[place : place + 2]]
    return "\n".join(lines) + "\n"


def text() -> str:
    """The file."""
    on_socket = [(row, not row.writable and row.readable) for row in SOCKET_OPTIONS]
    named = [row for row in CONTEXT_OPTIONS if row.name in ContextOption.__members__]
    # What a context holds of a socket's option is the default for new sockets, which can always be read.
    on_context = [(row, not row.writable) for row in named] + [(row, False) for row in SOCKET_OPTIONS]
    classes = (
        _class("SocketAttributes", "A socket's options.", on_socket, BY_HAND["Socket"]),
        _class(
            "ContextAttributes",
            "A context's options, and the defaults of its sockets' options.",
            on_context,
            BY_HAND["Context"],
        ),
    )
    return "\n\n".join((HEAD, *classes))


if __name__ == "__main__":
    PATH.write_text(text())
