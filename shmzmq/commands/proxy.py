"""`shmzmq proxy`: a device between two endpoints."""

import argparse

import shmzmq as zmq
from shmzmq.commands._sockets import ENDPOINTS, Address, Session, address, bound_to

KINDS: dict[str, tuple[str, str]] = {
    "queue": ("ROUTER", "DEALER"),
    "forwarder": ("XSUB", "XPUB"),
    "streamer": ("PULL", "PUSH"),
}
"""Which sockets, frontend and backend, a kind of proxy has."""

LEAVE_MS = 1000  # what it has accepted may still leave for this long when it is ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `shmzmq proxy` takes."""
    parser.description = (
        "Pass messages between two endpoints until interrupted.\n\n"
        "  queue      requests of REQ or DEALER at FRONTEND to REP or DEALER at BACKEND, and answers back\n"
        "  forwarder  messages of PUB at FRONTEND to SUB at BACKEND, and subscriptions back\n"
        f"  streamer   messages of PUSH at FRONTEND to PULL at BACKEND\n\n{ENDPOINTS}"
    )
    parser.epilog = """\
examples:
  shmzmq proxy @tcp://*:5559 @tcp://*:5560                     clients to 5559, workers to 5560
  shmzmq proxy --type forwarder @tcp://*:5556 @ipc:///tmp/feed   one port outside, shared memory inside
  shmzmq proxy --capture @ipc:///tmp/tap @tcp://*:5559 @tcp://*:5560
  shmzmq recv --type SUB ipc:///tmp/tap                        what passes through the one above

Exit code: 1 an endpoint was refused, 2 wrong usage, 130 interrupted, 143 terminated."""
    parser.add_argument("frontend", type=address, metavar="FRONTEND", help="where messages come from")
    parser.add_argument("backend", type=address, metavar="BACKEND", help="where they go")
    parser.add_argument("--type", choices=KINDS, default="queue", help="see above (default: queue)")
    parser.add_argument(
        "--capture", type=address, metavar="ENDPOINT", help="publish (PUB) a copy of every message there"
    )


def run(args: argparse.Namespace) -> int:
    """Pass messages until a signal ends it, which the caller turns into an exit code."""
    front, back = KINDS[args.type]
    with Session("proxy", linger=LEAVE_MS) as session:
        frontend = _open(session, "frontend", front, args.frontend)
        backend = _open(session, "backend", back, args.backend)
        capture = _open(session, "capture", "PUB", args.capture) if args.capture else None
        zmq.proxy(frontend, backend, capture)
    return 0


def _open(session: Session, role: str, kind: str, where: Address) -> zmq.Socket:
    """One side, told on stderr: whoever starts a proxy wants to see that it stands."""
    socket = session.socket(kind)
    session.attach(socket, where)
    verb, endpoint = ("bound", bound_to(socket)) if where.bind else ("connects to", where.endpoint)
    session.say(f"{role} {kind} {verb} {endpoint}")
    return socket
