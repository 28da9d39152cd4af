"""What `shmzmq` can be told, and how a command-line program leaves.

This file knows the names of the commands, exit codes, signals and closed pipes. What a command does is in the
module of its name, imported only when it is called for. Such a module has two functions:

    add_arguments(parser) -> None   declare the arguments; set parser.description and parser.epilog (examples)
    run(args) -> int                do it; the exit code

Modules whose names begin with an underscore are what several commands share, and no commands.

Exit codes: 0 done, 1 failed or nothing found, 2 wrong usage, 130 interrupted, 141 nobody reads our output any
more, 143 terminated (the last three are 128 + signal, as shells report them). What a user or the system did
wrong is one line on stderr, `shmzmq NAME: text`; a traceback is a bug of ours.
"""

import argparse
import importlib
import io
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import shmzmq
from shmzmq.commands._failure import Failure

COMMANDS: dict[str, str] = {
    "bench": "measure throughput and round trip beside the rivals that are installed",
    "clean": "remove what processes that died have left behind",
    "demo": "count the words of a corpus with worker processes over ipc, and check the count",
    "monitor": "connect to an endpoint and print what happens to the connection",
    "proxy": "pass messages between two endpoints",
    "ps": "list the processes that use shmzmq, and their sockets",
    "recv": "print the messages that arrive at an endpoint",
    "send": "send arguments, or lines of stdin, as messages",
    "stats": "print all counters of one process or of all",
    "top": "watch processes, sockets and peers: rates, depth, drops, sleeps, transport and why",
}
"""Every command with its line of help, in the order in which they are shown."""

INTERRUPTED = 128 + signal.SIGINT
PIPE_BROKEN = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises for what the user or the terminal did.

    Shape    argv: the arguments without the program's name; None means sys.argv[1:].
    """
    _write_any_text()
    try:
        with _termination_as_exit():
            code = _exit_code_of(list(sys.argv[1:] if argv is None else argv))
            # Here and not at interpreter exit, where a reader that has gone would be reported as a traceback.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_BROKEN
    except SystemExit as leave:  # SIGTERM came while we were leaving
        return leave.code if isinstance(leave.code, int) else 1
    except OSError as error:  # the disk behind our output is full, say
        _forget_stdout()
        return _complain("shmzmq", error)
    return code


def _exit_code_of(argv: list[str]) -> int:
    name = argv[0] if argv and argv[0] in COMMANDS else None
    module = importlib.import_module(f"shmzmq.commands.{name}") if name else None
    parser, chosen = _parser(name)
    if module and chosen:
        module.add_arguments(chosen)
    try:
        if module and chosen:
            # Intermixed, so that options may stand between ENDPOINT and MESSAGE.
            return int(module.run(chosen.parse_intermixed_args(argv[1:])))
        parser.parse_args(argv)
        parser.print_help(sys.stderr)
        return 2
    except SystemExit as leave:  # argparse has said what there was to say, or SIGTERM came
        return leave.code if isinstance(leave.code, int) else 0
    except Failure as failure:
        return _complain(f"shmzmq {name}", failure, failure.code)
    except BrokenPipeError:
        raise
    except (shmzmq.ZMQError, OSError) as error:
        return _complain(f"shmzmq {name}", error)


def _complain(who: str, error: Exception, code: int = 1) -> int:
    print(f"{who}: {error}", file=sys.stderr)
    return code


# --- the parser ------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """argparse with wrong usage as one line; the usage it would print before is in --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(name: str | None) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """The parser of the whole command line, and within it the one of the command that was called."""
    parser = _Parser(
        prog="shmzmq",
        description="ZeroMQ sockets for Python at shared-memory speed.",
        epilog="`shmzmq COMMAND --help` tells what a command takes.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    chosen = None
    for command, text in COMMANDS.items():
        added = commands.add_parser(
            command,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        chosen = added if command == name else chosen
    return parser, chosen


def _version() -> str:
    zeromq, python = shmzmq.zmq_version(), platform.python_version()
    return f"shmzmq {shmzmq.__version__} (API of ZeroMQ {zeromq}, Python {python})"


# --- the terminal and the shell --------------------------------------------------------------------------


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """SIGTERM's default would end us on the spot and leave temporary folders and children behind."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _write_any_text() -> None:
    """Words come from anywhere in any script; a narrow locale must not make them a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """Point stdout to nowhere: the flush at interpreter exit stays quiet (docs of the module `signal`)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
