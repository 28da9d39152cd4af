"""`python -m shmzmq.log ENDPOINT`: shows what a PUBHandler publishes.

Knows    how a line is put together.
Refuses  to know where the records come from.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from datetime import datetime

from .. import SUB, Context, ZMQError

__all__ = ["main"]

_COLORS = {"DEBUG": "96", "INFO": "97", "WARNING": "33", "ERROR": "91", "CRITICAL": "91"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m shmzmq.log", description="Show what a PUBHandler publishes.")
    parser.add_argument("zmq_pub_url", help="endpoint of the publisher")
    parser.add_argument("-t", "--topic", default="", help="show topics that begin with this")
    parser.add_argument("--timestamp", action="store_true", help="put the time of arrival in front")
    parser.add_argument("--separator", default=" | ", help="what stands between topic and text")
    parser.add_argument("--dateformat", default="%Y-%d-%m %H:%M", help="of the time, as strftime knows it")
    parser.add_argument("--align", action="store_true", help="give the parts of topics columns")
    parser.add_argument("--color", action="store_true", help="colour lines by level")
    return parser.parse_args()


class _Lines:
    """Makes lines of messages; columns grow with what was seen."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.widths: list[int] = []

    def line(self, frames: list[bytes]) -> str:
        topic, text = (frame.decode(errors="replace").strip() for frame in (frames[0], b" ".join(frames[1:])))
        parts = topic.split(".")
        now = f"{datetime.now():{self.arguments.dateformat}} " if self.arguments.timestamp else ""
        shown = self.aligned(parts) if self.arguments.align else topic
        line = f"{shown}{self.arguments.separator}{text}"
        color = next((_COLORS[part] for part in parts if part in _COLORS), "")
        return f"{now}\x1b[{color}m{line}\x1b[0m" if self.arguments.color and color else now + line

    def aligned(self, parts: list[str]) -> str:
        self.widths += [1] * (len(parts) - len(self.widths))
        parts = parts + [" "] * (len(self.widths) - len(parts))
        self.widths = [max(width, len(part)) for width, part in zip(self.widths, parts, strict=True)]
        return ".".join(part.ljust(width) for width, part in zip(self.widths, parts, strict=True))


def main() -> None:
    """Show records until Ctrl-C, or until nobody reads the lines."""
    arguments = _arguments()
    lines = _Lines(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a narrow locale must not end it
    with Context() as context, context.socket(SUB) as socket:
        socket.subscribe(os.fsencode(arguments.topic))
        try:
            socket.connect(arguments.zmq_pub_url)
        except ZMQError as error:
            sys.exit(f"shmzmq.log: {error}")
        try:
            while True:
                print(lines.line(socket.recv_multipart()), flush=True)
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is to be written


if __name__ == "__main__":
    main()
