"""The command `shmzmq` as a user runs it: in a process of its own, with a cap on how long it may take.

This file knows how to start, feed and end the command, and nothing of what it does.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

# No run in a test needs more than a few seconds; who reaches the cap hangs.
CAP_SECONDS = 30


def command(*args: object) -> list[str]:
    """The words that start the command."""
    return [sys.executable, "-m", "shmzmq", *map(str, args)]


def shmzmq(*args: object, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end; returns the completed process with its text."""
    return subprocess.run(
        command(*args), capture_output=True, text=True, timeout=CAP_SECONDS, check=False, **more
    )


def unread(*args: object) -> "subprocess.CompletedProcess[bytes]":
    """Run the command with a stdout whose reader has gone.

    Buffered: unbuffered, argparse meets the broken pipe itself and keeps quiet about it.
    """
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            command(*args),
            stdout=writing,
            stderr=subprocess.PIPE,
            env=buffered,
            timeout=CAP_SECONDS,
            check=False,
        )
    finally:
        os.close(writing)


def _obey_interrupts() -> None:
    """In the child, before the command: Ctrl-C means what it means at a terminal.

    A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(*args: object, **more: Any) -> Iterator["subprocess.Popen[str]"]:
    """The command while it runs; killed at the end if the test did not see to it."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
    process = subprocess.Popen(command(*args), preexec_fn=_obey_interrupts, **pipes)  # noqa: PLW1509
    with process:
        try:
            yield process
        finally:
            process.kill()


def bound_port(process: "subprocess.Popen[str]") -> str:
    """The endpoint that the command says it has bound, as peers can connect to it."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"bound (\S+)", line)
    assert found, f"expected a bound endpoint, got {line!r}"
    return found[1].replace("0.0.0.0", "127.0.0.1")


def end(process: "subprocess.Popen[str]", send: str | None = None) -> tuple[int, str, str]:
    """Wait until the command ends; exit code, stdout, stderr (what was not read before)."""
    out, err = process.communicate(send, timeout=CAP_SECONDS)
    return process.returncode, out, err
