"""`shmzmq bench`: measure, and show the figures as a table, as JSON, as a picture."""

import argparse
import sys

from shmzmq.bench.figures import Figures, measure
from shmzmq.bench.plot import plot, refusal
from shmzmq.bench.rivals import RIVALS, Rival
from shmzmq.bench.table import as_json, print_table
from shmzmq.commands._arguments import at_least
from shmzmq.commands._failure import Failure

RIVAL_FAILED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq bench` takes."""
    parser.description = (
        "Measure messages one way and round trips between two processes,\n"
        "shmzmq beside its rivals, in turns. Compare figures within one run only."
    )
    parser.epilog = (
        "examples:\n"
        "  shmzmq bench\n"
        "  shmzmq bench --rivals shmzmq,pyzmq-ipc --repeat 3\n"
        "  shmzmq bench --plot bench.png\n"
        "\n"
        "Exit code: 0 all measured, 1 shmzmq was not, 2 wrong usage, 3 a rival was not, 130 interrupted."
    )
    names = ", ".join(rival.name for rival in RIVALS)
    parser.add_argument(
        "--rivals", metavar="A,B", help=f"only these; of {names} (default: what is installed)"
    )
    parser.add_argument(
        "--repeat",
        type=at_least(1),
        default=5,
        metavar="N",
        help="repetitions of each (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print every value as JSON instead of a table")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="also draw the medians into FILE (.png, .svg or .pdf; needs matplotlib)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and show. Returns the exit code; wrong usage is a Failure before anything is measured."""
    rivals = _chosen(args.rivals)
    if args.plot and (text := refusal(args.plot)):
        raise Failure(text, 2)
    try:
        figures = measure(rivals, args.repeat, _note)
    finally:
        _note("")
    if args.json:
        print(as_json(figures))
    else:
        print_table(figures)
    if args.plot:
        plot(figures, args.plot)
    return _exit_code(figures, args.rivals)


def _chosen(names: str | None) -> list[Rival]:
    known = {rival.name: rival for rival in RIVALS}
    wanted = [name.strip() for name in names.split(",")] if names is not None else list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise Failure(f"unknown rival {unknown[0]!r}; known: {', '.join(known)}", 2)
    return [known[name] for name in wanted if known[name].available()]


def _note(text: str) -> None:
    """Progress, for a person who waits; nothing into files and pipes."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _exit_code(figures: list[Figures], asked: str | None) -> int:
    errors = {one.name: one.error for one in figures}
    ours_wanted = asked is None or "shmzmq" in asked.split(",")
    if ours_wanted and errors.get("shmzmq", "not installed"):
        return 1
    return RIVAL_FAILED if any(errors.values()) else 0
