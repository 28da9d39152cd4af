"""`shmzmq top`: look again and again, and show what changed.

This file knows the terminal, its keys and the time between two looks; what is shown is in `_screen.py`.
"""

import argparse
import contextlib
import importlib.util
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator

from shmzmq.commands import _screen
from shmzmq.commands._arguments import at_least, seconds
from shmzmq.commands._failure import Failure
from shmzmq.counters import Process, look
from shmzmq.counters.rates import lines

KEYS = "q quit   s sort   p peers   space look now"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq top` takes."""
    sorts = "\n".join(f"  {name:8}{text}" for name, (text, _) in _screen.SORTS.items())
    parser.description = (
        "Watch every process of yours that uses shmzmq: a line for each socket, with rates over the last\n"
        "interval. VIA is the transport, and why there are no rings. ENDPOINTS: @ bound, > connected. A pid\n"
        "of another pid namespace has a ? behind it. STATE: runs; waits (a thread is blocked in a call);\n"
        "lingering (closed, and messages wait for a peer); terminated (its context ends); silent (the\n"
        "process does not answer: is it stopped?).\n"
        "On a terminal it goes on until q or Ctrl-C; elsewhere it prints one table of plain text."
    )
    parser.epilog = f"sort keys:\n{sorts}\n\nkeys: {KEYS}"
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="S", help="seconds between two looks (default: 1)"
    )
    parser.add_argument(
        "-n",
        dest="count",
        type=at_least(1),
        metavar="N",
        help="tables to show (default: no end, or 1 off a terminal)",
    )
    parser.add_argument("--once", action="store_true", help="the same as -n 1")
    parser.add_argument(
        "--sort", choices=_screen.SORTS, default="rate", metavar="KEY", help="sort key (default: rate)"
    )
    parser.add_argument(
        "--filter",
        default="",
        metavar="TEXT",
        help="only sockets with TEXT in pid, program, type, endpoint, via",
    )
    parser.add_argument("--peers", action="store_true", help="also a line for each peer")
    parser.add_argument("--everyone", action="store_true", help="processes of all users (root sees them)")


def _interval(text: str) -> float:
    value = seconds(text)
    if value < 0.05:
        raise argparse.ArgumentTypeError(f"{text} is less than 0.05")
    return value


class _Watch:
    """The looks, and what of them is wanted."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.sort, self.wanted, self.peers = args.sort, args.filter, args.peers
        self.interval, self.everyone = args.interval, args.everyone
        self.use = _screen.Usage()
        self.before: list[Process] = []
        self.now = look(everyone=self.everyone)

    def again(self) -> None:
        self.before, self.now = self.now, look(everyone=self.everyone)

    def groups(self) -> list[_screen.Group]:
        return _screen.chosen(lines(self.now, self.before, peers=self.peers), self.sort, self.wanted)

    def cells(self, groups: list[_screen.Group]) -> list[dict[str, str]]:
        self.use.begin()
        return _screen.rows(groups, self.use)

    def press(self, key: str) -> bool:
        """Do what a key says; False: quit."""
        if key == "s":
            names = list(_screen.SORTS)
            self.sort = names[(names.index(self.sort) + 1) % len(names)]
        elif key == "p":
            self.peers = not self.peers
        return key not in ("q", "Q", "\x04")


def run(args: argparse.Namespace) -> int:
    """Show tables until it is enough."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    count = 1 if args.once else args.count
    watch = _Watch(args)
    if terminal and not args.once and os.environ.get("TERM", "dumb") != "dumb":
        if importlib.util.find_spec("rich") is not None:
            return _live(watch, count)
        print("shmzmq top: without rich (pip install 'shmzmq[cli]') it is plain text", file=sys.stderr)
    return _plain(watch, count if count is not None or terminal else 1)


def _plain(watch: _Watch, count: int | None) -> int:
    shown = 0
    while count is None or shown < count:
        # Rates need two looks, and so does the CPU.
        watch.cells(watch.groups())
        time.sleep(watch.interval)
        watch.again()
        groups = watch.groups()
        if shown:
            print()
        print(_screen.summary(groups, watch.sort, watch.wanted, watch.interval))
        print(_screen.plain(watch.cells(groups)), flush=True)
        shown += 1
    if not watch.now:
        raise Failure("no process of yours uses shmzmq, or they run with SHMZMQ_COUNTERS=0")
    return 0


def _live(watch: _Watch, count: int | None) -> int:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with _keys() as has_keys, Live(console=console, screen=True, auto_refresh=False) as live:
        shown = 0
        while True:
            groups = watch.groups()
            width, height = shutil.get_terminal_size()
            table = _screen.rich_table(watch.cells(groups), width, height - 4)
            head = Text(_screen.summary(groups, watch.sort, watch.wanted, watch.interval), style="bold")
            head.no_wrap, head.overflow = True, "ellipsis"
            foot = Text(KEYS if has_keys else "Ctrl-C quits", style="dim")
            live.update(Group(head, table, foot), refresh=True)
            shown += 1
            if count is not None and shown > count:  # the first one has no rates yet
                return 0
            if not _wait(watch, has_keys=has_keys):
                return 0
            watch.again()


def _wait(watch: _Watch, *, has_keys: bool) -> bool:
    """Wait for the next look; False: the user has seen enough."""
    if not has_keys:
        time.sleep(watch.interval)
        return True
    ready, _, _ = select.select([sys.stdin], [], [], watch.interval)
    return not ready or watch.press(os.read(sys.stdin.fileno(), 1).decode("latin-1") or "q")


@contextlib.contextmanager
def _keys() -> Iterator[bool]:
    """Read keys as they are pressed, if somebody can press some; whether that is so."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
