"""`shmzmq demo`: run the main job and show what came out."""

import argparse

from shmzmq.commands._arguments import at_least
from shmzmq.commands._failure import Failure
from shmzmq.demo import BATCH_BYTES, ChildDied, CorpusError, default_workers, run_demo
from shmzmq.demo.progress import progress_shown
from shmzmq.demo.report import as_json, as_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq demo` takes."""
    parser.description = (
        "A ventilator, worker processes and a sink count the words of a corpus over ipc://.\n"
        "The count is checked against a plain one in a single process.\n"
        "Exit code: 0 equal, 1 different or a process was lost, 2 wrong usage."
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files or directories to count (default: the .py files of Python's standard library)",
    )
    parser.add_argument(
        "--workers",
        type=at_least(1),
        metavar="N",
        help=f"worker processes (default: one per CPU, here {default_workers()})",
    )
    parser.add_argument(
        "--batch",
        type=at_least(1),
        default=BATCH_BYTES,
        metavar="BYTES",
        help="files go together until they have this many bytes; 1 sends each alone (default: %(default)s)",
    )
    parser.add_argument(
        "--top", type=at_least(0), default=10, metavar="K", help="words to show (default: %(default)s)"
    )
    parser.add_argument("--no-check", action="store_true", help="do not count again in a single process")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the demo. Returns 0 when both counts are equal, 1 when they are not; else raises Failure."""
    try:
        with progress_shown() as progress:
            result = run_demo(
                args.paths, args.workers, args.batch, check=not args.no_check, progress=progress
            )
    except CorpusError as error:
        raise Failure(str(error), 2) from error
    except ChildDied as error:
        raise Failure(str(error)) from error
    print(as_json(result, args.top) if args.json else as_text(result, args.top))
    return 1 if result.equal is False else 0
