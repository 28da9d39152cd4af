"""`shmzmq clean`: remove what processes that died have left behind.

There are two kinds. A counters file goes if its owner's lock is free. A socket file of ipc goes if nobody
listens at it; a bind does the same by itself, so this is for endpoints that nobody will bind again. Files of
the second kind have names of their users' choice: those of `ipc://*` are found, all others are to be named.
"""

import argparse
import glob
import os
import tempfile
from errno import ENOENT

from shmzmq.commands._failure import Failure
from shmzmq.counters import sweep
from shmzmq.transports.ipc import remove_abandoned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq clean` takes."""
    parser.description = (
        "Remove what processes that died have left: their counters files in /dev/shm, and socket files of\n"
        "ipc:// at which nobody listens any more: those of ipc://* and the ones named here.\n"
        "A file of a living process is never removed; nor is a file that is no socket.\n"
        "Exit code: 0 done, 1 something could not be removed, 2 wrong usage."
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="socket files of ipc:// to look at")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be removed, and remove nothing"
    )
    parser.add_argument("--everyone", action="store_true", help="counters files of all users (root may)")


def run(args: argparse.Namespace) -> int:
    """Remove, and say what was removed."""
    left = 0
    for dead in sweep(everyone=args.everyone, dry_run=args.dry_run):
        if args.dry_run:
            print(f"would remove {dead.path}: process {dead.pid} is dead, {dead.size} bytes")
        elif dead.removed:
            print(f"removed {dead.path}: process {dead.pid} is dead, {dead.size} bytes")
        else:
            left += 1
            print(f"could not remove {dead.path}")
    for path in [*_wildcards(), *args.paths]:
        left += not _clean_socket(path, dry_run=args.dry_run, named=path in args.paths)
    if left:
        raise Failure(f"{left} of them could not be removed")
    return 0


def _wildcards() -> list[str]:
    """Socket files of ipc://*."""
    return sorted(glob.glob(os.path.join(glob.escape(tempfile.gettempdir()), "shmzmq-*", "socket")))


def _clean_socket(path: str, *, dry_run: bool, named: bool) -> bool:
    """Remove a socket file at which nobody listens; False if that failed."""
    try:
        gone = remove_abandoned(path, dry_run=dry_run)
    except OSError as error:
        if error.errno == ENOENT and not named:
            return True  # it went by itself
        print(f"could not remove {path}: {error.strerror}")
        return False
    if gone:
        print(f"{'would remove' if dry_run else 'removed'} {path}: nobody listens there")
    elif named:
        print(f"left {path}: somebody listens there, or it is no socket")
    return True
