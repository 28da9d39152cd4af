"""What `shmzmq top` shows: rows of text from lines of rates. This file knows no keys, no terminal, no time.

rich draws the table on a terminal; psutil, if it is there, says what a process uses. Both are optional.
"""

import contextlib
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from shmzmq.commands._table import lines_of, short
from shmzmq.counters import Process
from shmzmq.counters.rates import Line

COLUMNS = (
    *("PID", "CPU%", "MEM", "TYPE", "STATE", "PEERS", "OUT/s", "IN/s", "B/s", "DEPTH"),
    *("DROP/s", "SLEEP/s", "WAKE/s", "VIA", "PROGRAM", "ENDPOINTS"),
)
RIGHT = frozenset(COLUMNS) - {"TYPE", "STATE", "VIA", "PROGRAM", "ENDPOINTS"}
SPARED = ("WAKE/s", "MEM", "SLEEP/s", "CPU%", "PROGRAM", "STATE")
"""What a narrow terminal does without, first to last."""
SPARED_LAST = ("PEERS", "B/s", "DROP/s", "VIA", "DEPTH")
"""What it does without after these, one by one and only as long as the others do not fit."""
ELASTIC = {"VIA": 0.4, "PROGRAM": 0.4, "ENDPOINTS": 1.0}
"""Columns that share what the others leave, first to last: how much of it each may take."""
WIDTH_OF_ALL = 150
WIDTH_OF_ONE = 9

Group = list[Line]


def _rate(line: Line) -> float:
    return (line.sent or 0) + (line.received or 0)


SORTS: dict[str, tuple[str, Callable[[Line], Any]]] = {
    "rate": ("messages per second, both ways", lambda line: -_rate(line)),
    "out": ("messages sent per second", lambda line: -(line.sent or 0)),
    "in": ("messages received per second", lambda line: -(line.received or 0)),
    "bytes": ("bytes per second, both ways", lambda line: -(line.bytes or 0)),
    "depth": ("messages that wait", lambda line: -line.depth),
    "drops": ("messages dropped per second", lambda line: -(line.drops or 0)),
    "sleeps": ("sleeps per second", lambda line: -(line.sleeps or 0)),
    "peers": ("connections", lambda line: -line.peers),
    "pid": ("process", lambda line: line.process.pid),
}
"""Sort keys, with their help."""


def chosen(groups: Iterable[Group], sort: str, wanted: str) -> list[Group]:
    """Return the groups in which `wanted` stands, sorted; of equals those of one process stay together."""
    found = [group for group in groups if wanted.lower() in _haystack(group)]
    key = SORTS[sort][1]
    return sorted(found, key=lambda group: (key(group[0]), group[0].process.uid, group[0].process.pid))


def _haystack(group: Group) -> str:
    texts = [group[0].process.program, str(group[0].process.pid)]
    for line in group:
        texts += [line.type, line.state, line.endpoint, line.via, line.why]
    return "\n".join(texts).lower()


def rows(groups: Iterable[Group], use: "Usage") -> list[dict[str, str]]:
    """Return a row of cells, by column, for every line."""
    return [_row(line, use) for group in groups for line in group]


def _row(line: Line, use: "Usage") -> dict[str, str]:
    def rate(value: float | None) -> str:
        return "-" if value is None else short(value)

    process = line.process
    cpu, memory = ("", "") if line.is_peer else use.of(process)
    return {
        "PID": "" if line.is_peer else str(process.pid) + ("" if process.is_near or process.problem else "?"),
        "CPU%": cpu,
        "MEM": memory,
        "TYPE": f"  {line.type}" if line.is_peer else line.type,
        "STATE": line.state,
        "PEERS": "" if line.is_peer else str(line.peers),
        "OUT/s": rate(line.sent),
        "IN/s": rate(line.received),
        "B/s": rate(line.bytes),
        "DEPTH": short(line.depth),
        "DROP/s": rate(line.drops),
        "SLEEP/s": "" if line.is_peer else rate(line.sleeps),
        "WAKE/s": rate(line.wakeups),
        "VIA": f"{line.via}: {line.why}" if line.why else line.via,
        "PROGRAM": "" if line.is_peer else program_name(process.program),
        "ENDPOINTS": line.endpoint,
    }


def program_name(program: str) -> str:
    """Return a command line without the interpreter and its options."""
    words = program.split()
    if not words or not os.path.basename(words[0]).startswith("python"):
        return program
    if "multiprocessing.spawn" in program or "multiprocessing.forkserver" in program:
        return "(multiprocessing)"
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest.pop(0)
    if rest and rest[0] == "-m":
        return " ".join(rest[1:])
    return " ".join([os.path.basename(rest[0]), *rest[1:]]) if rest else "python"


def shortened(text: str, width: int) -> str:
    """Return a text cut in its middle: endpoints of one program differ at their ends."""
    if len(text) <= width:
        return text
    head = min(7, max(0, width - 2))  # "@ipc://"
    return f"{text[:head]}\u2026{text[len(text) - (width - head - 1) :]}" if width > head else text[:width]


def summary(groups: list[Group], sort: str, wanted: str, interval: float) -> str:
    """Return the line above the table."""
    heads = [group[0] for group in groups]
    processes = {(line.process.uid, line.process.pid, line.process.started) for line in heads}
    sockets = sum(line.type != "-" for line in heads)
    out, into, both = (
        sum(getattr(line, name) or 0 for line in heads) for name in ("sent", "received", "bytes")
    )
    what = ", ".join(
        (
            _count(len(processes), "process", "processes"),
            _count(sockets, "socket", "sockets"),
            _count(sum(line.peers for line in heads), "peer", "peers"),
        )
    )
    shown = f", showing {wanted!r}" if wanted else ""
    rates = f"out {short(out)}/s, in {short(into)}/s, {short(both)} B/s"
    return f"by {sort}, every {interval:g} s{shown}: {what}; {rates}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def plain(cells: list[dict[str, str]]) -> str:
    """Return the table as text, with every column."""
    return "\n".join(lines_of(COLUMNS, [[row[name] for name in COLUMNS] for row in cells], RIGHT))


def rich_table(cells: list[dict[str, str]], width: int, height: int) -> Any:
    """Return the table for rich: fewer columns if the terminal is narrow, fewer rows if it is low."""
    from rich.table import Table
    from rich.text import Text

    spared = set(SPARED[: max(0, -(-(WIDTH_OF_ALL - width) // WIDTH_OF_ONE))])
    columns = [name for name in COLUMNS if name not in spared]
    widths = {name: max(len(name), *(len(row[name]) for row in cells), 0) + 1 for name in columns}
    for name in SPARED_LAST:
        if sum(len(each) + 1 if each in ELASTIC else widths[each] for each in columns) > width:
            columns.remove(name)
    left = width - sum(widths[name] for name in columns if name not in ELASTIC)
    elastic = [name for name in ELASTIC if name in columns]
    for number, name in enumerate(elastic, 1):
        most = min(int(left * ELASTIC[name]), left - sum(len(later) + 1 for later in elastic[number:]))
        widths[name] = max(len(name) + 1, min(widths[name], most))
        left -= widths[name]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="reverse", expand=True)
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=None if name == columns[-1] else widths[name] - 1,
        )
    room = max(1, height)
    for row in cells[: room if len(cells) <= room else room - 1]:
        shown = {**row, "ENDPOINTS": shortened(row["ENDPOINTS"], widths["ENDPOINTS"] - 1)}
        table.add_row(*(Text(shown[name], style=_style(name, row)) for name in columns))
    if len(cells) > room:
        more = Text(f"... {len(cells) - room + 1} more lines", style="dim")
        table.add_row(*(more if name == "ENDPOINTS" else "" for name in columns))
    return table


def _style(name: str, row: dict[str, str]) -> str:
    if name == "STATE" and row[name] in ("silent", "lingering", "ending"):
        return "yellow"
    if name == "DROP/s" and row[name] not in ("0", "-", ""):
        return "red"
    if name == "VIA" and ":" in row[name]:
        return "yellow"
    return "dim" if not row["PID"] else ""


class Usage:
    """What processes use of the machine, as psutil says; nothing without it."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, float], Any] = {}
        self._said: dict[tuple[int, float], tuple[str, str]] = {}
        try:
            self._psutil: Any = importlib.import_module("psutil")
        except ImportError:
            self._psutil = None

    def begin(self) -> None:
        """A new look begins: each process is asked once in it."""
        self._said = {}

    def of(self, process: Process) -> tuple[str, str]:
        """Return CPU in percent of one CPU since the last look, and resident memory."""
        key = (process.pid, process.started)
        if key not in self._said:
            self._said[key] = self._ask(process, key)
        return self._said[key]

    def _ask(self, process: Process, key: tuple[int, float]) -> tuple[str, str]:
        if self._psutil is None or not process.is_near:
            return "-", "-"
        with contextlib.suppress(self._psutil.Error):
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self._psutil.Process(process.pid)
                # Made after our file: the pid has become another process's.
                if known.create_time() > process.started + 1:
                    return "-", "-"
                known.cpu_percent(None)
                return "-", short(known.memory_info().rss)
            return f"{known.cpu_percent(None):.0f}", short(known.memory_info().rss)
        return "-", "-"
