"""What processes that use shmzmq show of their sockets to whoever looks from outside.

    for process in look():
        print(process.pid, process.program, [context["totals"] for context in process.contexts])

Knows    how a process is made of what its counters file says.
Refuses  to know this process's own sockets: `Context.stats()` does.

Only processes of one's own user are seen, unless root asks for all. A look costs each of them some tens of
microseconds of a thread of its own; while nobody looks it costs nothing. `SHMZMQ_COUNTERS=0` in the
environment of a process keeps it from being seen.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from .._snapshot import ContextStats, Malformed, contexts, number_of, parse, text_of
from .files import Dead, File, answers, dead_files, living_files

__all__ = ["Dead", "Process", "look", "sweep"]

_PATIENCE_S = 0.25


@dataclass(slots=True)
class Process:
    """A process that has, or had a moment ago, a context with sockets.

    pid, uid     as itself sees them: in another pid namespace the pid means another process, see `is_near`.
    is_near      it is in our pid namespace, so that `pid` means it here too.
    program      its command line, cut.
    version      of its shmzmq.
    started      when its first socket was made; `taken`, when this was said; both in seconds since the epoch.
    answered     False: it did not answer in time (stopped, perhaps), and this is what it said before.
    problem      why nothing is known but the pid; None otherwise.
    """

    pid: int
    uid: int
    is_near: bool = False
    program: str = ""
    version: str = ""
    started: float = 0.0
    taken: float = 0.0
    answered: bool = False
    problem: str | None = None
    contexts: list[ContextStats] = field(default_factory=list)
    sockets_left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def look(pid: int | None = None, *, everyone: bool = False, patience: float = _PATIENCE_S) -> list[Process]:
    """Ask every process what its sockets do, and return what each of them says, by pid.

    Files of processes that have died are removed on the way.

    Shape    pid: only this one. everyone: of all users (root sees them). patience: seconds for all together.
    """
    here = os.stat("/proc/self/ns/pid").st_ino if os.path.exists("/proc/self/ns/pid") else 0
    with living_files(None if everyone else os.geteuid()) as files:
        wanted = [file for file in files if pid is None or file.pid == pid]
        answered = answers(wanted, patience)
        found = [
            _process(file, here, answered=answered[file.name]) for file in wanted if file.name in answered
        ]
    return sorted(found, key=lambda process: (process.uid, process.pid))


def _process(file: File, here: int, *, answered: bool) -> Process:
    process = Process(pid=file.pid, uid=file.uid, answered=answered)
    try:
        document = parse(file.text())
        process.is_near = number_of(document, "pid_namespace") == here
        process.program = text_of(document, "program")
        process.version = text_of(document, "version")
        process.started = number_of(document, "started")
        process.taken = number_of(document, "taken")
        process.sockets_left_out = int(number_of(document, "sockets_left_out"))
        process.contexts = contexts(document)
    except (Malformed, OSError) as error:
        process.problem = str(error)
    return process


def sweep(*, everyone: bool = False, dry_run: bool = False) -> list[Dead]:
    """Remove the files of processes that have died, and return them.

    Shape    everyone: of all users (root may). dry_run: remove nothing.
    """
    return dead_files(None if everyone else os.geteuid(), remove=not dry_run)
