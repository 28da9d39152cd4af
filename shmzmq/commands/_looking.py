"""What the commands that look at processes share: who is looked at."""

import argparse

from shmzmq.commands._failure import Failure
from shmzmq.counters import Process, look


def add_who(parser: argparse.ArgumentParser) -> None:
    """Declare whose processes are looked at."""
    parser.add_argument("pid", nargs="?", type=int, metavar="PID", help="only this process (default: all)")
    parser.add_argument("--everyone", action="store_true", help="processes of all users (root sees them)")


def processes(args: argparse.Namespace) -> list[Process]:
    """Look at the processes that were asked for. Raises Failure if there is none."""
    found = look(args.pid, everyone=args.everyone)
    if found:
        return found
    if args.pid is None:
        raise Failure("no process of yours uses shmzmq, or they run with SHMZMQ_COUNTERS=0")
    raise Failure(f"no process {args.pid} of yours uses shmzmq, or it runs with SHMZMQ_COUNTERS=0")
