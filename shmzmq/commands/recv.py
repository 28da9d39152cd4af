"""`shmzmq recv`: messages to stdout, for shell scripts and for looking."""

import argparse
import os
import sys
from typing import BinaryIO

import shmzmq as zmq
from shmzmq.commands._arguments import at_least, seconds
from shmzmq.commands._events import Complaints
from shmzmq.commands._failure import Failure
from shmzmq.commands._formats import FORMATS, to_line
from shmzmq.commands._sockets import ENDPOINTS, NOTICE_SECONDS, Address, Deadline, Session, address

TYPES = ("PULL", "SUB", "REP", "DEALER", "ROUTER", "PAIR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq recv` takes."""
    parser.description = f"Print every message that arrives, one line each.\n\n{ENDPOINTS}"
    parser.epilog = """\
examples:
  shmzmq recv @tcp://*:5555                            pull from all who push to port 5555
  shmzmq recv --type SUB --subscribe log. tcp://host:5556
  shmzmq recv -n 1 --timeout 5 @ipc:///tmp/done        wait at most 5 s for one message
  shmzmq recv --type REP --reply pong @tcp://*:5557    answer every request
  shmzmq recv --format json tcp://host:5555 | jq .
  shmzmq recv --format raw -n 1 @ipc:///tmp/file > file

formats: text escapes control characters and parts frames by a tab; hex parts frames by a space, - is an
empty one; json is an array of strings, of {"base64": ...} where a frame is no UTF-8; raw is the bytes alone.

Exit code: 0 done, 1 nothing came (or less than -n) before the timeout, 2 wrong usage, 130 interrupted."""
    parser.add_argument("endpoint", type=address, metavar="ENDPOINT", help="where to receive")
    parser.add_argument(
        "--type", type=str.upper, choices=TYPES, default="PULL", help="type of socket (default: PULL)"
    )
    parser.add_argument("--bind", action="store_true", help="bind the endpoint, as an @ before it does")
    parser.add_argument("-n", type=at_least(1), metavar="N", help="end after N messages (default: go on)")
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="end when no message comes for this long"
    )
    parser.add_argument(
        "--subscribe", action="append", metavar="TOPIC", help="SUB: only messages that begin so; repeatable"
    )
    parser.add_argument("--reply", metavar="TEXT", help="REP: what to answer (default: an empty message)")
    parser.add_argument("--format", choices=FORMATS, default="text", help="see below (default: text)")


def run(args: argparse.Namespace) -> int:
    """Receive. Returns 0, or 1 when the timeout came before the messages."""
    _check(args)
    out = _stdout()
    with Session("recv", linger=1000) as session:
        socket = session.socket(args.type)
        complaints = Complaints(socket)
        if args.type == "SUB":
            for topic in args.subscribe or [""]:
                socket.subscribe(os.fsencode(topic))
        where = Address(args.endpoint.endpoint, args.endpoint.bind or args.bind)
        session.attach(socket, where)
        inbox = Inbox(session, socket, where, complaints, args.timeout)
        count = 0
        while count != args.n:
            frames = inbox.next(out)
            if frames is None:
                return _too_few(session, count, args)
            out.write(to_line(frames, args.format))
            if args.type == "REP":
                out.flush()  # who gets the answer may rely on our having said what we got
                socket.send((args.reply or "").encode("utf-8", "surrogateescape"))
            count += 1
        out.flush()
    return 0


def _too_few(session: Session, count: int, args: argparse.Namespace) -> int:
    if count and args.n is None:
        return 0
    wanted = f"{count} of {args.n} messages came" if count else "no message came"
    session.say(f"{wanted} within {args.timeout:g} s")
    return 1


def _check(args: argparse.Namespace) -> None:
    for option, kind in (("subscribe", "SUB"), ("reply", "REP")):
        if getattr(args, option) is not None and args.type != kind:
            raise Failure(f"--{option} goes with --type {kind}, not with {args.type}", 2)


def _stdout() -> BinaryIO:
    if sys.stdout is None:
        raise Failure("there is no stdout to print to")
    return sys.stdout.buffer


class Inbox:
    """The next message, or what hinders it."""

    def __init__(
        self,
        session: Session,
        socket: zmq.Socket,
        where: Address,
        complaints: Complaints,
        timeout: float | None,
    ) -> None:
        self.session = session
        self.socket = socket
        self.complaints = complaints
        self.where = where
        self.timeout = timeout
        self.notice = Deadline(NOTICE_SECONDS)
        self.poller = zmq.Poller()
        self.poller.register(socket, zmq.POLLIN)
        self.poller.register(complaints.watch.monitor, zmq.POLLIN)

    def next(self, out: BinaryIO) -> list[bytes] | None:
        """Frames, or None when none came in time. What was written so far is shown before a wait."""
        try:
            return self.socket.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            out.flush()
        return self._wait()

    def _wait(self) -> list[bytes] | None:
        end = Deadline(self.timeout)
        while True:
            ready = dict(self.poller.poll(end.sooner(self.notice).left_ms()))
            if self.socket in ready:
                return self.socket.recv_multipart()
            for text in self.complaints.new():
                self.session.say(text)
            if self.notice.left() == 0:
                self._say_who_is_missing()
            elif end.left() == 0:
                return None

    def _say_who_is_missing(self) -> None:
        """Once, after a while: silence may be nobody's fault, but a wrong address is silent too."""
        self.notice = Deadline(None)
        try:
            self.socket.wait_for_peers(1, 0)
        except zmq.Again:
            self.session.say(f"waiting: nobody is there yet, {self.where.endpoint}")
