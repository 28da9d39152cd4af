"""`shmzmq send`: messages from arguments or stdin, for shell scripts."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator

import shmzmq as zmq
from shmzmq.commands._arguments import at_least, seconds
from shmzmq.commands._events import Complaints
from shmzmq.commands._failure import Failure
from shmzmq.commands._formats import FORMATS, BadLine, from_line, to_line
from shmzmq.commands._sockets import ENDPOINTS, NOTICE_SECONDS, Address, Deadline, Session, address

TYPES = ("PUSH", "PUB", "REQ", "DEALER", "PAIR")
LOOK_SECONDS = 0.2  # between two looks at what went wrong meanwhile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq send` takes."""
    parser.description = (
        "Send each MESSAGE, or each line of stdin, as one message. Waits for a peer (PUB: for a\n"
        f"subscription), and ends when all messages have left.\n\n{ENDPOINTS}"
    )
    parser.epilog = """\
examples:
  shmzmq send tcp://host:5555 hello                    push one message
  tail -f log | shmzmq send tcp://host:5555            a message a line
  shmzmq send --multipart tcp://host:5555 head body    one message of two frames
  shmzmq send --type PUB @tcp://*:5556 'log.a done'    once somebody has subscribed
  shmzmq send --type REQ --timeout 2 tcp://host:5557 ping     prints the answer
  shmzmq send --format raw ipc:///tmp/file < file      all of stdin as one message
  shmzmq send tcp://host:5555 -- -5                    what begins with a dash goes after --

formats of messages, and of answers: text is taken as it is; hex is digits, frames parted by a space; json is
an array of frames as `shmzmq recv --format json` prints it; raw takes all of stdin as one message.

Exit code: 0 all sent (REQ: and answered), 1 not within the timeout, 2 wrong usage, 130 interrupted."""
    parser.add_argument("endpoint", type=address, metavar="ENDPOINT", help="where to send")
    parser.add_argument(
        "messages", nargs="*", metavar="MESSAGE", help="what to send (default: lines of stdin)"
    )
    parser.add_argument(
        "--type", type=str.upper, choices=TYPES, default="PUSH", help="type of socket (default: PUSH)"
    )
    parser.add_argument("--bind", action="store_true", help="bind the endpoint, as an @ before it does")
    parser.add_argument(
        "--multipart",
        action="store_true",
        help="the arguments are frames of one message; on stdin a tab parts the frames of a line",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="give up when nobody takes a message, or answers, for this long (default: wait)",
    )
    parser.add_argument(
        "--wait",
        type=at_least(0),
        default=1,
        metavar="N",
        help="begin when N peers are there (PUB: N subscriptions); 0 begins at once (default: 1)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="see below (default: text)")


def run(args: argparse.Namespace) -> int:
    """Send. Returns 0; raises Failure when it was not done in time, or a line is not in the format."""
    messages = _from_arguments(args) if args.messages else _from_stdin(args)
    with Session("send") as session:
        socket = _open(session, args)
        for frames in messages:
            try:
                socket.send_multipart(frames)
                if args.type == "REQ":
                    _print_answer(socket.recv_multipart(), args.format)
            except zmq.Again:
                raise Failure(_too_late(args)) from None
        session.deliver(socket, args.timeout)
    return 0


def _too_late(args: argparse.Namespace) -> str:
    what = "no answer came" if args.type == "REQ" else "nobody took the message"
    return f"{what} within {args.timeout:g} s from {args.endpoint.endpoint}"


def _print_answer(frames: list[bytes], form: str) -> None:
    if sys.stdout is not None:
        sys.stdout.buffer.write(to_line(frames, form))
        sys.stdout.flush()


# --- what is sent ----------------------------------------------------------------------------------------


def _from_arguments(args: argparse.Namespace) -> list[list[bytes]]:
    """All of them before the first is sent: a mistake in the last one sends none."""
    try:
        messages = [from_line(os.fsencode(text), args.format) for text in args.messages]
    except BadLine as error:
        raise Failure(f"MESSAGE: {error}", 2) from error
    return [[frame for message in messages for frame in message]] if args.multipart else messages


def _from_stdin(args: argparse.Namespace) -> Iterator[list[bytes]]:
    if sys.stdin is None:
        raise Failure("no MESSAGE is given and there is no stdin", 2)
    return _whole(sys.stdin.buffer.read) if args.format == "raw" else _lines(args)


def _whole(read: Callable[[], bytes]) -> Iterator[list[bytes]]:
    yield [read()]


def _lines(args: argparse.Namespace) -> Iterator[list[bytes]]:
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield from_line(line.removesuffix(b"\n"), args.format, split=args.multipart)
        except BadLine as error:
            raise Failure(f"line {number}: {error}; the lines before it were sent", 2) from error


# --- to whom ---------------------------------------------------------------------------------------------


def _open(session: Session, args: argparse.Namespace) -> zmq.Socket:
    """The socket, with as many peers as were asked for."""
    socket = session.socket("XPUB" if args.type == "PUB" else args.type)
    if args.timeout is not None:
        socket.setsockopt(zmq.SNDTIMEO, int(args.timeout * 1000))
        socket.setsockopt(zmq.RCVTIMEO, int(args.timeout * 1000))
    if args.type == "PUB":
        # XPUB hears who subscribes. A script's lines are not to be lost because a reader is slow.
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        socket.setsockopt(zmq.XPUB_NODROP, 1)
    complaints = Complaints(socket)
    session.attach(socket, Address(args.endpoint.endpoint, args.endpoint.bind or args.bind))
    Arrival(session, socket, complaints, args).wait()
    complaints.watch.close()
    return socket


class Arrival:
    """The wait for peers; for a PUB, the wait for subscriptions."""

    def __init__(
        self, session: Session, socket: zmq.Socket, complaints: Complaints, args: argparse.Namespace
    ) -> None:
        self.session = session
        self.socket = socket
        self.complaints = complaints
        self.args = args
        self.subscriptions = 0

    def wait(self) -> None:
        """Until they are there. Raises Failure when they are not in time."""
        end, notice = Deadline(self.args.timeout), Deadline(NOTICE_SECONDS)
        told = False
        while not self._there(end):
            for text in self.complaints.new():
                self.session.say(text)
            if end.left() == 0:
                raise Failure(f"nobody came to {self.args.endpoint.endpoint} in {self.args.timeout:g} s")
            if not told and notice.left() == 0:
                told = True
                self.session.say(f"waiting: {self._what_is_missing()}, {self.args.endpoint.endpoint}")

    def _what_is_missing(self) -> str:
        return "nobody has subscribed yet" if self.args.type == "PUB" else "nobody is there yet"

    def _there(self, end: Deadline) -> bool:
        look = min(LOOK_SECONDS, LOOK_SECONDS if (left := end.left()) is None else left) * 1000
        if self.args.type == "PUB":
            if self.subscriptions < self.args.wait and self.socket.poll(look):
                self.subscriptions += self.socket.recv().startswith(b"\x01")
            return self.subscriptions >= int(self.args.wait)
        try:
            self.socket.wait_for_peers(self.args.wait, look)
        except zmq.Again:
            return False
        return True
