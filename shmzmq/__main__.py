"""The command `shmzmq`, also `python -m shmzmq`.

This file knows sub-commands, exit codes and how a command-line program leaves; what a sub-command does is in
the module of its name, imported only when it is asked for. Spawned children import this file again
as their main module, which is one more reason to keep it light.

Exit codes: 0 done, 1 a check failed or something was lost, 2 wrong usage, 130 interrupted, 141 nobody reads
our output any more, 143 terminated (the last three are 128 + signal, as shells report them).
"""

import argparse
import io
import os
import platform
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import shmzmq

INTERRUPTED = 128 + signal.SIGINT
PIPE_BROKEN = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises for what the user or the terminal did.

    Shape    argv: the arguments without the program's name; None means sys.argv[1:].
    """
    _write_any_text()
    try:
        code = _exit_code_of(list(sys.argv[1:] if argv is None else argv))
        # Here and not at interpreter exit, where a reader that has gone would be reported as a traceback.
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_BROKEN
    except OSError as error:  # the disk behind our output is full, say
        _forget_stdout()
        print(f"shmzmq: {error}", file=sys.stderr)
        return 1
    return code


def _exit_code_of(argv: list[str]) -> int:
    try:
        return _dispatch(argv)
    except SystemExit as leave:  # argparse has said what there was to say, or SIGTERM came
        return leave.code if isinstance(leave.code, int) else 0


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["bench"]:
        # The bench has its own parser; argparse.REMAINDER does not let a leading option through
        # (https://github.com/python/cpython/issues/61252).
        from shmzmq import bench

        return bench.run(argv[1:])
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    return _demo(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shmzmq",
        description="ZeroMQ sockets for Python at shared-memory speed.",
        epilog="`shmzmq COMMAND --help` tells what a command takes.",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    # Here and not at the top: `shmzmq bench` and the children's import of this file do without it.
    from shmzmq import demo

    demo.add_arguments(
        commands.add_parser(
            "demo",
            help="count the words of a corpus with worker processes over ipc, and check the count",
            description="A ventilator, worker processes and a sink count the words of a corpus over ipc://. "
            "The count is checked against a plain one in a single process. "
            "Exit code: 0 equal, 1 different or a process was lost, 2 wrong usage.",
        )
    )
    commands.add_parser(
        "bench", help="measure throughput and round trip beside the rivals that are installed", add_help=False
    )
    return parser


def _version() -> str:
    zeromq, python = shmzmq.zmq_version(), platform.python_version()
    return f"shmzmq {shmzmq.__version__} (API of ZeroMQ {zeromq}, Python {python})"


def _demo(args: argparse.Namespace) -> int:
    from shmzmq import demo

    # SIGTERM's default would end us on the spot and leave the folder with the endpoints behind.
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return demo.run(args)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _write_any_text() -> None:
    """Words come from the user's corpus in any script; a narrow locale must not make them a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """Point stdout to nowhere: the flush at interpreter exit stays quiet (docs of the module `signal`)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
