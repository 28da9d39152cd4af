"""`shmzmq ps`: one line for each socket of each process."""

import argparse
import time

from shmzmq.commands._looking import add_who, processes
from shmzmq.commands._table import duration, lines_of, short
from shmzmq.counters import Process
from shmzmq.counters.rates import drops_of, endpoints_of, state_of, up_peers, way_of

HEADER = (
    "PID",
    "UP",
    "TYPE",
    "STATE",
    "PEERS",
    "VIA",
    "SENT",
    "RECEIVED",
    "DEPTH",
    "DROPS",
    "ENDPOINTS",
    "PROGRAM",
)
RIGHT = frozenset({"PID", "UP", "PEERS", "SENT", "RECEIVED", "DEPTH", "DROPS"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq ps` takes."""
    parser.description = (
        "One line for each socket of every process of yours that uses shmzmq.\n"
        "STATE: runs; waits (a thread is blocked in a call); lingering (closed, and messages wait for a\n"
        "peer); terminated (its context ends); silent (the process does not answer: is it stopped?).\n"
        "ENDPOINTS: @ bound, > connected. A pid of another pid namespace has a ? behind it.\n"
        "Exit code: 0 done, 1 there is no such process, 2 wrong usage."
    )
    add_who(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    now = time.time()
    rows = [row for process in processes(args) for row in _rows(process, now)]
    print("\n".join(lines_of(HEADER, rows, RIGHT)))
    return 0


def _rows(process: Process, now: float) -> list[list[str]]:
    pid = str(process.pid) if process.is_near else f"{process.pid}?"
    if process.problem:
        return [[pid, *"-" * (len(HEADER) - 2), process.problem]]
    up = duration(now - process.started)
    sockets = [socket for context in process.contexts for socket in context["sockets"]]
    rows = []
    for socket in sockets:
        counters = socket["counters"]
        rows.append(
            [
                *(pid, up, socket["type"], state_of(process, socket)),
                *(str(up_peers(socket)), way_of(socket)[0]),
                *(short(counters["messages_sent"]), short(counters["messages_received"])),
                *(short(socket["depth"]), short(drops_of(socket))),
                *(endpoints_of(socket), process.program),
            ]
        )
    if not rows:
        rows.append([pid, up, *"-" * (len(HEADER) - 3), process.program])
    if process.sockets_left_out:
        rows.append([pid, *"-" * (len(HEADER) - 2), f"({process.sockets_left_out} sockets found no room)"])
    return rows
