"""Random programs over the socket API whose outcome is determined, and the stage that plays them.

This file knows no expected results: it makes programs (`programs`, a hypothesis strategy), plays one on a
module that has pyzmq's API (`play`), and returns what came out: a value, or the class and errno of an
exception, per step.

What makes the outcome determined is the model behind the programs. A scene has up to three clusters, each a
hub and one to three spokes of matching types, married before the first message; the model counts what is
under way, so that a step which receives knows how many messages must come and waits for those (with a cap)
and for no others. Queues are far from full. Where the order of arrival is not determined, since several
senders or several takers have a turn, what came is sorted by sender. Everything else is a call whose answer
does not depend on time: options, wrong types, wrong states, closed sockets, endpoints that do not exist.

A step is a tuple: the name of a method of `Stage`, and plain values; so a program that fails prints as it is.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from kit import PROBE, end_context, marry, tune_in, wait_until

CAP = 3.0

Step = tuple[Any, ...]

# hub, spoke, most spokes, who speaks: "both" for flows, "out" from the hub, "in" to the hub, "round" for
# requests
PATTERNS = [
    ("PAIR", "PAIR", 1, "both"),
    ("PUSH", "PULL", 3, "out"),
    ("PULL", "PUSH", 3, "in"),
    ("DEALER", "DEALER", 3, "both"),
    ("ROUTER", "DEALER", 3, "both"),
    ("REP", "REQ", 3, "round"),
    ("ROUTER", "REQ", 3, "round"),
    ("REQ", "REP", 3, "round"),
    ("DEALER", "REP", 3, "round"),
    ("PUB", "SUB", 3, "publish"),
    ("PUB", "XSUB", 3, "publish"),
    ("XPUB", "SUB", 3, "publish"),
    ("XPUB", "XSUB", 3, "publish"),
]

ALL_TYPES = sorted({kind for hub, spoke, _, _ in PATTERNS for kind in (hub, spoke)})
LARGE = b"large" * 20_000
TOPICS = [b"a", b"ab", b"b", b"c"]

INT_OPTIONS = [
    *("LINGER", "SNDHWM", "RCVHWM", "RECONNECT_IVL", "RECONNECT_IVL_MAX", "BACKLOG", "RCVTIMEO", "SNDTIMEO"),
    *("MAXMSGSIZE", "IMMEDIATE", "CONFLATE", "ROUTER_MANDATORY", "ROUTER_HANDOVER", "PROBE_ROUTER"),
    *("REQ_RELAXED", "REQ_CORRELATE", "SNDBUF", "RCVBUF", "HANDSHAKE_IVL", "IPV6", "AFFINITY", "RATE"),
    *("TYPE", "RCVMORE", "XPUB_VERBOSE", "XPUB_NODROP", "INVERT_MATCHING", "CONNECT_TIMEOUT", "THREAD_SAFE"),
]
BYTES_OPTIONS = [
    *("IDENTITY", "SUBSCRIBE", "UNSUBSCRIBE", "CONNECT_ROUTING_ID", "LAST_ENDPOINT", "XPUB_WELCOME_MSG"),
]
VALUES = [-2, -1, 0, 1, 2, 1000, b"", b"name", b"\x00zero", b"x" * 255, b"x" * 256, "text", None, 1.5]
NO_MESSAGES = ["text", None, 5, 1.5, [b"list"], {"a": 1}]
NO_ENDPOINTS = [
    *("", "x", "ipc:", "ipc:/", "inproc", "inproc:", "foo://bar", "://x", "inproc://", "IPC:///tmp/x", "tcp"),
    *("ipc:///nonexistent/directory/socket", "ipc://" + "/x" * 80),
]


# --- programs ----------------------------------------------------------------------------------------------


class Cluster:
    """What the model knows of a hub and its spokes: sockets by number, and how much is under way."""

    def __init__(self, number: int, pattern: tuple[str, str, int, str], hub: int, spokes: list[int]) -> None:
        self.number = number
        self.hub_type, self.spoke_type, _, self.flow = pattern
        self.hub = hub
        self.spokes = spokes
        self.alive = True
        self.to_hub = 0
        self.to_spokes = 0
        self.topics: list[dict[bytes, int]] = [{} for _ in spokes]
        self.owed = [0 for _ in spokes]


@st.composite
def programs(draw: st.DrawFn, types: frozenset[str]) -> list[Step]:
    """A program for a backend that has these socket types."""
    patterns = [pattern for pattern in PATTERNS if {pattern[0], pattern[1]} <= types]
    steps: list[Step] = []
    clusters: list[Cluster] = []
    sockets = 0
    for number in range(draw(st.integers(1, 3))):
        pattern = draw(st.sampled_from(patterns))
        count = draw(st.integers(1, pattern[2]))
        steps.append(
            (
                "cluster",
                *pattern[:2],
                count,
                draw(st.sampled_from(["ipc", "inproc"])),
                draw(st.sampled_from(["hub", "spokes"])),
                draw(st.booleans()),
            )
        )
        clusters.append(Cluster(number, pattern, sockets, list(range(sockets + 1, sockets + 1 + count))))
        sockets += 1 + count
    numbers = iter(range(10**9))
    for _ in range(draw(st.integers(5, 40))):
        cluster = draw(st.sampled_from(clusters))
        kind = draw(st.sampled_from(["flow", "flow", "flow", "wrong", "option", "solo", "end"]))
        if kind == "flow" and cluster.alive:
            steps += _flow(draw, cluster, numbers)
        elif kind == "wrong" and cluster.alive:
            steps.append(_wrong(draw, cluster))
        elif kind == "option":
            steps.append(_option(draw, sorted(types)))
        elif kind == "solo":
            steps.append(("solo", draw(st.sampled_from(sorted(types))), draw(st.sampled_from(SOLO_CALLS))))
        elif kind == "end" and cluster.alive and draw(st.booleans()):
            steps += _collect(cluster)
            steps.append(("end", cluster.number, draw(st.sampled_from(["close", "unbind", "disconnect"]))))
            cluster.alive = False
    for cluster in clusters:
        if cluster.alive:
            steps += _collect(cluster)
    return steps


def _body(draw: st.DrawFn, sender: int, numbers: Any) -> list[bytes]:
    """The parts of a message: the last one says who sent it and which it was."""
    parts = draw(st.lists(st.sampled_from([b"", b"p", b"x" * 33, b"y" * 60, b"\x00\xff"]), max_size=3))
    if draw(st.integers(0, 30)) == 0:
        parts.append(LARGE)
    return [*parts, b"%d.%d" % (sender, next(numbers))]


WAYS_TO_SEND = ["multipart", "parts", "frames", "nocopy", "track", "dontwait"]


def _flow(draw: st.DrawFn, cluster: Cluster, numbers: Any) -> list[Step]:
    """One or more steps of ordinary traffic."""
    way = draw(st.sampled_from(WAYS_TO_SEND))
    which = draw(st.integers(0, len(cluster.spokes) - 1))
    if cluster.flow == "round":
        slips = draw(st.lists(st.sampled_from(["asker", "answerer"]), max_size=2))
        body = _body(draw, cluster.spokes[which], numbers)
        return [("round", cluster.number, which, body, way, slips)]
    if cluster.flow == "publish":
        return _publish(draw, cluster, which, numbers)
    action = draw(st.sampled_from(["down", "up", "collect"]))
    if action == "down" and cluster.flow in ("out", "both"):
        cluster.to_spokes += 1
        return [("down", cluster.number, which, _body(draw, cluster.hub, numbers), way)]
    if action == "up" and cluster.flow in ("in", "both"):
        cluster.to_hub += 1
        return [("send", cluster.spokes[which], _body(draw, cluster.spokes[which], numbers), way)]
    return _collect(cluster)


def _publish(draw: st.DrawFn, cluster: Cluster, which: int, numbers: Any) -> list[Step]:
    action = draw(st.sampled_from(["subscribe", "subscribe", "unsubscribe", "publish", "publish", "collect"]))
    topic = draw(st.sampled_from(TOPICS))
    wanted = cluster.topics[which]
    if action in ("subscribe", "unsubscribe"):
        # What a later filter would do to messages under way is not determined for all types.
        steps = _collect(cluster)
        change = 1 if action == "subscribe" else -1
        before = wanted.get(topic, 0)
        wanted[topic] = max(0, before + change)
        told = change == 1 or (before == 1 and wanted[topic] == 0)
        return [*steps, (action, cluster.number, which, topic, told)]
    if action == "publish":
        for spoke, topics in enumerate(cluster.topics):
            cluster.owed[spoke] += any(count and topic.startswith(prefix) for prefix, count in topics.items())
        return [("send", cluster.hub, [topic, *_body(draw, cluster.hub, numbers)], "multipart")]
    return _collect(cluster)


def _collect(cluster: Cluster) -> list[Step]:
    """Receive everything that is under way in the cluster."""
    steps: list[Step] = []
    if cluster.flow == "publish":
        for spoke, count in zip(cluster.spokes, cluster.owed, strict=True):
            steps.append(("collect", [spoke], count))
        cluster.owed = [0 for _ in cluster.spokes]
        return steps
    if cluster.flow in ("out", "both"):
        steps.append(("collect", list(cluster.spokes), cluster.to_spokes))
    if cluster.flow in ("in", "both"):
        steps.append(("collect", [cluster.hub], cluster.to_hub))
    cluster.to_hub = cluster.to_spokes = 0
    return steps


CANNOT_SEND = {"PULL", "SUB"}
CANNOT_RECEIVE = {"PUSH", "PUB"}


def _wrong(draw: st.DrawFn, cluster: Cluster) -> Step:
    """A call on a living socket that must fail, whatever is under way."""
    socket, kind = draw(
        st.sampled_from([(cluster.hub, cluster.hub_type), (cluster.spokes[0], cluster.spoke_type)])
    )
    mistakes: list[Step] = [
        ("refused", socket, "bind", draw(st.sampled_from(NO_ENDPOINTS))),
        ("refused", socket, "connect", draw(st.sampled_from(NO_ENDPOINTS[:9]))),
        ("refused", socket, "unbind", "inproc://never-bound"),
        ("refused", socket, "disconnect", "inproc://never-connected"),
        ("refused", socket, "setsockopt", draw(st.sampled_from([(0x7777, 1), (0x7777, b"x"), (-1, 0)]))),
    ]
    if kind not in ("REP", "REQ"):
        mistakes.append(("send_nonsense", socket, draw(st.sampled_from(NO_MESSAGES))))
    if kind in CANNOT_SEND:
        mistakes.append(("send", socket, [b"no"], draw(st.sampled_from(WAYS_TO_SEND))))
    if kind in CANNOT_RECEIVE:
        mistakes.append(("receive", socket))
    return draw(st.sampled_from(mistakes))


def _option(draw: st.DrawFn, types: list[str]) -> Step:
    """Set and get an option of a socket that does nothing else."""
    name = draw(st.sampled_from(INT_OPTIONS + BYTES_OPTIONS))
    return ("option", draw(st.sampled_from(types)), name, draw(st.sampled_from(VALUES)))


SOLO_CALLS = [
    *(
        "send",
        "send_dontwait",
        "recv",
        "recv_dontwait",
        "recv_multipart",
        "recv_timeout",
        "recv_into",
        "poll_in",
    ),
    *(
        "poll_out",
        "events",
        "rcvmore",
        "close_twice",
        "send_closed",
        "recv_closed",
        "get_closed",
        "set_closed",
    ),
    *(
        "bind_closed",
        "poll_closed",
        "bind_twice",
        "unbind_twice",
        "send_json",
        "recv_json",
        "send_empty_list",
    ),
]


# --- the stage ---------------------------------------------------------------------------------------------


class Stage:
    """A backend with a context, the sockets of one program by number, and the names of peers."""

    def __init__(self, zmq: ModuleType) -> None:
        self.zmq = zmq
        self.folder = tempfile.mkdtemp(prefix="z", dir="/tmp")
        self.context = zmq.Context()
        self.sockets: list[Any] = []
        self.clusters: list[tuple[Any, list[Any], list[str], str, list[bytes]]] = []
        self.names: dict[bytes, bytes] = {}
        self.solos = 0

    def leave(self) -> None:
        for socket in self.sockets:
            socket.close(linger=0)
        end_context(self.zmq, self.context)
        shutil.rmtree(self.folder)

    def attempt(self, call: Any, *args: Any, **keywords: Any) -> Any:
        """What came out of a call, in a form that is equal for equal behaviour."""
        try:
            return ("returned", self.plain(call(*args, **keywords)))
        except self.zmq.ZMQError as error:
            return ("raised", type(error).__name__, error.errno)
        except Exception as error:
            return ("raised", type(error).__name__)

    def plain(self, value: Any) -> Any:
        if isinstance(value, self.zmq.Frame):
            value = value.bytes
        if isinstance(value, self.zmq.MessageTracker):
            return "tracker"
        if isinstance(value, list):
            return [self.plain(each) for each in value]
        if isinstance(value, bytes):
            return self.names.get(value, value).replace(self.folder.encode(), b"FOLDER")
        return (
            int(value) if isinstance(value, int) else value if isinstance(value, str | None) else repr(value)
        )

    def endpoint(self, transport: str, name: str) -> str:
        return f"ipc://{self.folder}/{name}" if transport == "ipc" else f"inproc://{name}"

    def new(self, kind: str) -> Any:
        socket = self.context.socket(getattr(self.zmq, kind))
        socket.linger = 0
        socket.reconnect_ivl = 5
        socket.rcvtimeo = socket.sndtimeo = int(CAP * 1000)
        self.sockets.append(socket)
        return socket

    # Each of the methods below is a step.

    def cluster(
        self, hub_type: str, spoke_type: str, count: int, transport: str, binder: str, bind_first: bool
    ):
        number = len(self.clusters)
        hub, spokes = self.new(hub_type), [self.new(spoke_type) for _ in range(count)]
        if hub_type == "ROUTER":
            hub.router_mandatory = 1
        if hub_type == "XPUB":
            hub.xpub_verboser = 1
        places = [self.endpoint(transport, f"{number}")]
        if binder == "hub":
            acts = [("bind", hub, places[0])], [("connect", spoke, places[0]) for spoke in spokes]
        else:
            places = [self.endpoint(transport, f"{number}-{each}") for each in range(count)]
            acts = (
                [("bind", spoke, place) for spoke, place in zip(spokes, places, strict=True)],
                [("connect", hub, place) for place in places],
            )
        outcome = []
        for group in acts if bind_first else acts[::-1]:
            outcome += [self.attempt(getattr(socket, verb), place) and verb for verb, socket, place in group]
        ids = []
        if hub_type == "PUB":
            tune_in(hub, *spokes)
        elif hub_type != "XPUB":
            ids = marry(hub, *spokes) or []
            ids = [ids] if isinstance(ids, bytes) else ids
            self.names.update({each: b"<spoke %d>" % at for at, each in enumerate(ids)})
        self.clusters.append((hub, spokes, places, binder, ids))
        return outcome

    def send(self, socket: Any, parts: list[bytes], way: str):
        socket = self.sockets[socket] if isinstance(socket, int) else socket
        if way == "parts":
            for part in parts[:-1]:
                outcome = self.attempt(socket.send, part, self.zmq.SNDMORE)
                if outcome[0] == "raised":
                    return outcome
            return self.attempt(socket.send, parts[-1])
        if way == "frames":
            return self.attempt(socket.send_multipart, [self.zmq.Frame(part) for part in parts])
        if way in ("nocopy", "track"):
            outcome = self.attempt(socket.send_multipart, parts, copy=False, track=way == "track")
            # pyzmq gives a finished tracker for small messages that nobody asked to track; we do not.
            return ("returned", None) if outcome == ("returned", "tracker") and way == "nocopy" else outcome
        return self.attempt(socket.send_multipart, parts, self.zmq.DONTWAIT if way == "dontwait" else 0)

    def down(self, cluster: int, which: int, parts: list[bytes], way: str):
        hub, _, _, _, ids = self.clusters[cluster]
        return self.send(hub, [ids[which], *parts] if ids else parts, way)

    def receive(self, socket: int):
        return self.attempt(self.sockets[socket].recv_multipart, self.zmq.DONTWAIT)

    def collect(self, receivers: list[int], count: int):
        """Receive `count` messages, in several ways, sorted by sender; then there is nothing more."""
        taken: list[list[bytes]] = []
        deadline = time.monotonic() + CAP
        while len(taken) < count and time.monotonic() < deadline:
            for number in receivers:
                socket = self.sockets[number]
                while len(taken) < count and socket.poll(1):
                    taken.append(self.take(socket, len(taken)))
        taken.sort(key=lambda message: tuple(int(each) for each in message[-1].split(b".")))
        rest = [self.attempt(self.sockets[number].recv, self.zmq.DONTWAIT) for number in receivers]
        return [self.plain(taken), rest, [self.sockets[n].poll(0, self.zmq.POLLIN) for n in receivers]]

    def take(self, socket: Any, turn: int) -> list[bytes]:
        if turn % 3 == 0:
            return socket.recv_multipart()
        if turn % 3 == 1:
            return [frame.bytes for frame in socket.recv_multipart(copy=False)]
        parts = [socket.recv()]
        while socket.get(self.zmq.RCVMORE):
            parts.append(socket.recv())
        return parts

    def round(self, cluster: int, which: int, body: list[bytes], way: str, slips: list[str]):
        """A request and its reply, with calls out of turn in between."""
        hub, spokes, _, _, _ = self.clusters[cluster]
        hub_asks = hub.get(self.zmq.TYPE) in (self.zmq.REQ, self.zmq.DEALER)
        asker, answerers = (hub, spokes) if hub_asks else (spokes[which], [hub])
        envelope = [b""] if asker.get(self.zmq.TYPE) == self.zmq.DEALER else []
        outcome = [
            self.slip(asker, "recv", slips, "asker"),
            self.slip(answerers[0], "send", slips, "answerer"),
        ]
        outcome.append(self.send(asker, [*envelope, *body], way))
        outcome.append(self.slip(asker, "send", slips, "asker"))

        def asked() -> Any:
            return next((each for each in answerers if each.poll(1)), None)

        answerer = wait_until(asked, "a request to arrive", CAP)
        request = answerer.recv_multipart()
        outcome.append(self.slip(answerer, "recv", slips, "answerer"))
        outcome += [
            self.plain(request),
            self.send(answerer, [*request[:-1], b"answer to " + request[-1]], way),
        ]
        outcome.append(self.slip(answerer, "send", slips, "answerer"))
        outcome.append(self.attempt(asker.recv_multipart))
        return outcome

    def slip(self, socket: Any, verb: str, slips: list[str], who: str):
        """Call out of turn, if this program does, on a socket that goes by turns."""
        if who not in slips or socket.get(self.zmq.TYPE) not in (self.zmq.REQ, self.zmq.REP):
            return None
        return self.attempt(getattr(socket, verb), *([b"out of turn"] if verb == "send" else []))

    def subscribe(self, cluster: int, which: int, topic: bytes, told: bool):
        return self.change_topic(cluster, which, topic, told, b"\x01")

    def unsubscribe(self, cluster: int, which: int, topic: bytes, told: bool):
        return self.change_topic(cluster, which, topic, told, b"\x00")

    def change_topic(self, cluster: int, which: int, topic: bytes, told: bool, command: bytes):
        hub, spokes, _, _, _ = self.clusters[cluster]
        spoke = spokes[which]
        if spoke.get(self.zmq.TYPE) == self.zmq.XSUB:
            outcome = self.attempt(spoke.send, command + topic)
        else:
            outcome = self.attempt(spoke.subscribe if command == b"\x01" else spoke.unsubscribe, topic)
        if hub.get(self.zmq.TYPE) == self.zmq.PUB:
            tune_in(hub, spoke)
        elif told:
            self.hear(hub, spoke)
            return [outcome, self.attempt(hub.recv_multipart)]
        return outcome

    def hear(self, hub: Any, spoke: Any) -> None:
        """Wait until something reaches the hub; a spoke of libzmq greets a new peer in its next call only."""
        deadline = time.monotonic() + CAP
        while not hub.poll(2) and time.monotonic() < deadline:
            spoke.get(self.zmq.EVENTS)

    def refused(self, socket: int, verb: str, argument: Any):
        call = getattr(self.sockets[socket], verb)
        return self.attempt(call, *argument) if isinstance(argument, tuple) else self.attempt(call, argument)

    def send_nonsense(self, socket: int, thing: Any):
        return [
            self.attempt(self.sockets[socket].send, thing, self.zmq.DONTWAIT),
            self.attempt(self.sockets[socket].send_multipart, [b"part", thing], self.zmq.DONTWAIT),
        ]

    def option(self, kind: str, name: str, value: Any):
        with self.context.socket(getattr(self.zmq, kind)) as socket:
            number = getattr(self.zmq, name)
            outcome = [self.attempt(socket.get, number)]
            outcome += [self.attempt(socket.set, number, value), self.attempt(socket.get, number)]
            if name != "TYPE":  # pyzmq lets it be overwritten, so that the socket lies about its type
                outcome.append(self.attempt(setattr, socket, name.lower(), value))
            outcome.append(self.attempt(getattr, socket, name.lower()) if name in INT_OPTIONS else None)
            return outcome

    def solo(self, kind: str, call: str):
        """A call on a socket that knows nobody, or is closed."""
        zmq, again = self.zmq, self.zmq.DONTWAIT
        self.solos += 1
        place = f"inproc://solo-{self.solos}"
        with self.context.socket(getattr(zmq, kind)) as socket:
            socket.linger = 0
            socket.rcvtimeo = socket.sndtimeo = 2
            if call.endswith(("_closed", "close_twice")):
                socket.close()
            calls = {
                "send": lambda: socket.send(b"x"),
                "send_dontwait": lambda: socket.send_multipart([b"x", b"y"], again),
                "recv": socket.recv,
                "recv_dontwait": lambda: socket.recv(again),
                "recv_multipart": lambda: socket.recv_multipart(copy=False),
                "recv_timeout": lambda: (setattr(socket, "rcvtimeo", 0), socket.recv()),
                "recv_into": lambda: socket.recv_into(bytearray(5)),
                "poll_in": lambda: socket.poll(0),
                "poll_out": lambda: socket.poll(0, zmq.POLLOUT),
                "events": lambda: socket.get(zmq.EVENTS),
                "rcvmore": lambda: socket.rcvmore,
                "close_twice": lambda: (socket.close(), socket.closed)[1],
                "send_closed": lambda: socket.send(b"x"),
                "recv_closed": lambda: socket.recv(again),
                "get_closed": lambda: socket.get(zmq.LINGER),
                "set_closed": lambda: socket.set(zmq.LINGER, 0),
                "bind_closed": lambda: socket.bind(place),
                "poll_closed": lambda: socket.poll(0),
                "bind_twice": lambda: (socket.bind(place), socket.bind(place)),
                "unbind_twice": lambda: (socket.bind(place), socket.unbind(place), socket.unbind(place)),
                "send_json": lambda: socket.send_json({1, 2}),
                "recv_json": lambda: socket.recv_json(again),
                "send_empty_list": lambda: socket.send_multipart([], again),
            }
            return self.attempt(calls[call])

    def end(self, cluster: int, way: str):
        """Take the cluster down, in one of three ways, and use what is left wrongly."""
        hub, spokes, places, binder, _ = self.clusters[cluster]
        binders, connecters = ([hub], spokes) if binder == "hub" else (spokes, [hub])
        if way == "close":
            for socket in [hub, *spokes]:
                socket.close(linger=0)
            return [self.attempt(socket.recv, self.zmq.DONTWAIT) for socket in [hub, *spokes]]
        undo = "unbind" if way == "unbind" else "disconnect"
        outcome = []
        for index, place in enumerate(places):
            for socket in [binders[index]] if way == "unbind" else connecters:
                outcome += [self.attempt(getattr(socket, undo), place) for _ in range(2)]
        return outcome


def play(zmq: ModuleType, program: list[Step]) -> list[Any]:
    """What comes out of every step of the program on this backend."""
    stage = Stage(zmq)
    outcomes: list[Any] = []
    try:
        for name, *arguments in program:
            try:
                outcomes.append(getattr(stage, name)(*arguments))
            except AssertionError as error:
                outcomes.append(("stuck", str(error).partition("<")[0]))
                break
            except zmq.ZMQError as error:
                outcomes.append(("stuck", type(error).__name__, error.errno))
                break
    finally:
        stage.leave()
    return outcomes


def types_of(zmq: ModuleType) -> frozenset[str]:
    """The socket types that the backend can make."""
    found = set()
    with zmq.Context() as context:
        for name in ALL_TYPES:
            with contextlib.suppress(zmq.ZMQError):
                context.socket(getattr(zmq, name)).close()
                found.add(name)
    return frozenset(found)


def report(program: list[Step], one: list[Any], other: list[Any]) -> str:
    """The first step that came out differently, with what led to it."""
    assert not any(PROBE in str(step).encode() for step in program)
    lines = []
    for at, step in enumerate(program):
        here = [outcomes[at] if at < len(outcomes) else "never reached" for outcomes in (one, other)]
        lines.append("  " + repr(step).replace(repr(LARGE), "LARGE"))
        if here[0] != here[1]:
            return "\n".join(["the program", *lines, "came out as", *(f"  {each!r:.600}" for each in here)])
    return "\n".join(["the program", *lines, "came out equal"])
