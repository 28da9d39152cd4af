"""`shmzmq monitor`: what happens to a connection of our own to an endpoint."""

import argparse
import errno
import json
import re
import time
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import shmzmq as zmq
from shmzmq.commands._arguments import at_least, seconds
from shmzmq.commands._events import Happening, Watch
from shmzmq.commands._failure import Failure
from shmzmq.commands._sockets import ENDPOINTS, Deadline, Session, address

TYPES = ("SUB", "REQ", "PUSH", "PUB", "PULL", "PAIR", "DEALER", "ROUTER", "REP", "XSUB", "XPUB")
HARMLESS = {"SUB": ("PUB", "XPUB"), "REQ": ("ROUTER", "REP"), "PUSH": ("PULL",), "PUB": ("SUB", "XSUB")}
"""Types tried in turn, and whom they fit: none takes a message or a turn away from others there."""

HARMFUL = {"PUSH": "PULL", "DEALER": "ROUTER", "REQ": "REP", "PAIR": "PAIR"}
"""Whom none of those fits, and what does."""

ATTEMPTS = (zmq.EVENT_CONNECT_DELAYED, zmq.EVENT_CONNECT_RETRIED)
RETRY_MS = 500  # between two attempts to connect
SILENT_MS = 5000  # a peer that has not shaken hands by then is told of, and tried again
SETTLE_SECONDS = 1.0  # how long a peer may be gone already when we look who he is
QUIET_MS = 1000  # what has happened is shown when nothing follows for this long


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq monitor` takes."""
    parser.description = (
        "Connect a socket of our own to ENDPOINT and print what happens to that connection, with the time:\n"
        "is somebody there, does he speak ZeroMQ, which type is he, is it shared memory, when does he leave\n"
        "and come back. It sends no message, and sees nothing of the other peers or of their messages.\n"
        f"\n{ENDPOINTS}"
    )
    parser.epilog = """\
examples:
  shmzmq monitor tcp://host:5555
  shmzmq monitor --wait --timeout 10 ipc:///tmp/x && ./start-client
  shmzmq monitor --json tcp://host:5555 | jq -r .event
  shmzmq monitor --type PULL @tcp://*:5555             who connects to us

The type of our socket must fit the one at ENDPOINT. Without --type, SUB, REQ, PUSH and PUB are tried in
turn (a peer may log that it refused one): they take nothing away from anybody. For a PUSH, DEALER, REQ or
PAIR at ENDPOINT give PULL, ROUTER, REP or PAIR, and mind that messages meant for others may then come here
and are dropped.

Exit code: 0 done, 1 not up before the timeout, or refused, 2 wrong usage, 130 interrupted."""
    parser.add_argument("endpoint", type=address, metavar="ENDPOINT", help="where to connect")
    parser.add_argument(
        "--type",
        type=str.upper,
        choices=TYPES,
        metavar="TYPE",
        help="type of our socket (default: see below)",
    )
    parser.add_argument("--wait", action="store_true", help="end as soon as the connection is up")
    parser.add_argument("-n", type=at_least(1), metavar="N", help="end after N events (default: go on)")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="end after this long")
    parser.add_argument("--json", action="store_true", help="print every event as one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Watch. Returns 0, or 1 when the connection was not up in time."""
    if args.endpoint.bind and not args.type:
        raise Failure("--type is needed to bind: which peers will come?", 2)
    end, show = Deadline(args.timeout), Show(args.json)
    kinds = [args.type] if args.type else list(HARMLESS)
    while kinds:
        with Session("monitor") as session:
            connection = Connection(session, kinds.pop(0), args, end, show)
            code = connection.watch()
        if code is not None:
            if code:
                session.say(f"{args.endpoint.endpoint} was not up within {args.timeout:g} s")
            return code
        if connection.peer_type:
            kinds = [kind for kind in kinds if connection.peer_type in HARMLESS[kind]]
    raise Failure(_no_type_fits(args.endpoint.endpoint, connection.peer_type))


def _no_type_fits(endpoint: str, peer_type: str) -> str:
    if peer_type in HARMFUL:
        return f"{endpoint} is a {peer_type}: watch it with --type {HARMFUL[peer_type]}, see --help"
    return f"{endpoint} refuses {', '.join(HARMLESS)}; give the --type that fits it"


class Connection:
    """One socket and what happens to it."""

    def __init__(
        self, session: Session, kind: str, args: argparse.Namespace, end: Deadline, show: "Show"
    ) -> None:
        self.args = args
        self.end = end
        self.show = show
        # Whether the type is not to be changed any more: given by the user, or seen to fit.
        self.settled = bool(args.type)
        # Events of a type that is being tried; the user is spared those of types that do not fit.
        self.held: list[Happening] = []
        self.was_up = False
        self.peer_type = ""  # when a refusal names it
        self.socket = session.socket(kind)
        self.socket.setsockopt(zmq.RECONNECT_IVL, RETRY_MS)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, SILENT_MS)
        self.events = Watch(self.socket)
        session.attach(self.socket, args.endpoint)

    def watch(self) -> int | None:
        """The exit code when the watching is over; None when another type is to be tried."""
        while happening := self._next():
            self.held.append(happening)
            self.settled = self.settled or happening.up or _is_not_the_type(happening)
            if not self.settled and happening.event == zmq.EVENT_DISCONNECTED:
                self.peer_type = _named_type(self.held)
                return None
            if self.settled or happening.event == zmq.EVENT_CLOSED:
                self._show_held()
            self.was_up = self.was_up or happening.up
            if (happening.up and self.args.wait) or self._is_enough():
                return 0
        self._show_held()
        return 0 if self.was_up and not self.args.wait else 1

    def _next(self) -> Happening | None:
        """The next event, None when the time is over."""
        left = self.end.left_ms()
        if self.held and (left is None or left > QUIET_MS):
            if happening := self.events.next(QUIET_MS):
                return happening
            self._show_held()
        return self.events.next(self.end.left_ms())

    def _show_held(self) -> None:
        for happening in self.held:
            if not self._is_enough():
                self.show(happening, self._peer() if happening.up else None)
        self.held.clear()

    def _is_enough(self) -> bool:
        return self.args.n is not None and self.show.count >= int(self.args.n)

    def _peer(self) -> dict[str, Any] | None:
        """Who has come last, if he still is there."""
        end = Deadline(SETTLE_SECONDS)
        # The event comes a moment before the socket has the connection for its own.
        while not (there := self._there()) and end.left():
            time.sleep(0.001)
        return max(there, key=itemgetter(0))[1] if there else None

    def _there(self) -> list[tuple[float, dict[str, Any]]]:
        """Every connection that is up, by the time since when."""
        return [
            (
                peer["since"],
                {
                    "socket_type": peer["socket_type"].name,
                    "transport": peer["transport"],
                    "pid": peer["pid"] or None,
                },
            )
            for peer in self.socket.peers()
            if peer["since"] and peer["socket_type"] and peer["transport"] != "waiting"
        ]


def _is_not_the_type(happening: Happening) -> bool:
    """Whether another type of socket would have met this failure too."""
    silent = happening.event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and happening.value == errno.EAGAIN
    return silent or happening.event in (
        zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
        zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    )


def _named_type(held: list[Happening]) -> str:
    found = [re.search(r"cannot talk to ([A-Z]+)$", happening.reason) for happening in held]
    return next((match[1] for match in found if match), "")


class Show:
    """Events as lines: for people without those that say nothing new, as JSON every one."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.count = 0
        self._nobody = False

    def __call__(self, happening: Happening, peer: dict[str, Any] | None) -> None:
        moment = datetime.fromtimestamp(happening.time, UTC).astimezone()
        if self.as_json:
            self._line(json.dumps(_as_object(happening, moment, peer)))
        elif not self._says_nothing_new(happening):
            text = f"{happening}: {_person(peer)}" if peer else str(happening)
            self._line(f"{moment:%H:%M:%S.%f}"[:-3] + f"  {happening.endpoint}  {text}")

    def _line(self, text: str) -> None:
        self.count += 1
        print(text, flush=True)

    def _says_nothing_new(self, happening: Happening) -> bool:
        """Attempts come twice a second while nobody listens; the first says it."""
        closed = happening.event == zmq.EVENT_CLOSED
        known, self._nobody = self._nobody, closed or (self._nobody and happening.event in ATTEMPTS)
        return happening.event in ATTEMPTS or happening.repeats or (closed and known)


def _as_object(happening: Happening, moment: datetime, peer: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "time": moment.isoformat(timespec="milliseconds"),
        "event": happening.name,
        "endpoint": happening.endpoint,
        "value": happening.value,
        "text": str(happening),
        "peer": peer,
    }


def _person(peer: dict[str, Any]) -> str:
    whose = f", pid {peer['pid']}" if peer["pid"] else ""
    return f"{peer['socket_type']} over {peer['transport']}{whose}"
