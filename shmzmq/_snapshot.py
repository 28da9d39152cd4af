"""What native code says of sockets and their peers, from its text to plain dicts.

Knows    the columns of a snapshot (native/core/src/counters/snapshot.rs), and that anybody may have written
         it: every value is looked at before it is believed, and nothing in it can do more than be refused.
Refuses  to know files, processes and sockets.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypedDict

__all__ = [
    "ContextStats",
    "Endpoint",
    "Malformed",
    "PeerStats",
    "SocketStats",
    "context_of",
    "contexts",
    "parse",
]

_COLUMNS_MAX: Final = 256
_TEXT_MAX: Final = 4096
_NUMBER_MAX: Final = 1 << 64

_SOCKET_TEXTS: Final = {"type", "state"}
_SOCKET_OWN: Final = ("id", "type", "state", "waiting", "depth")
_PEER_TEXTS: Final = {"endpoint", "transport", "state", "reason", "type", "routing_id"}
_PEER_OWN: Final = (
    *("endpoint", "transport", "state", "reason", "pid", "uid", "type", "routing_id", "since", "depth"),
    *("messages_sent", "bytes_sent", "messages_received", "bytes_received", "dropped", "wakeups"),
)
_MAY_BE_NONE: Final = {"endpoint", "reason", "type", "since"}
"""Of a peer."""


class Malformed(ValueError):
    """That is no snapshot: damaged, or of another making. Look again, or leave the file alone."""


class Endpoint(TypedDict):
    """An endpoint of a socket.

    kind   "bind" or "connect".
    text   as LAST_ENDPOINT gives it; cut after 256 bytes.
    """

    kind: str
    text: str


class PeerStats(TypedDict):
    """A connection of a socket, or an endpoint that waits for one.

    endpoint     the endpoint it belongs to; None once the socket has given that up.
    transport    as in `Socket.peers()`: "ring", "zmtp", "ipc", "tcp", "inproc", "waiting", "gone".
    state        "up", "waiting" (connected, but nobody is there), "handshake", "ending".
    reason       why there are no rings, for "zmtp"; None otherwise.
    pid, uid     of the peer's process, from the kernel; 0 over tcp and while there is no peer.
    type         the peer's socket type; None while there is no connection.
    routing_id   in hexadecimal digits.
    since        when the connection came up, in seconds since the epoch; None while there is none.
    depth        messages accepted for it and not known to be taken.
    messages_sent, bytes_sent, messages_received, bytes_received
                 over all connections of this pipe.
    dropped      messages that this peer did without: its high-water marks, OVERFLOW, no memory.
    wakeups      doorbells rung for it.
    """

    endpoint: str | None
    transport: str
    state: str
    reason: str | None
    pid: int
    uid: int
    type: str | None
    routing_id: str
    since: float | None
    depth: int
    messages_sent: int
    bytes_sent: int
    messages_received: int
    bytes_received: int
    dropped: int
    wakeups: int


class SocketStats(TypedDict):
    """A socket of a context.

    id, type        a number that names it in its context; "PUSH", "PULL", ...
    state           "open", "terminated" (its context ends), "lingering" (closed, and messages wait for a
                    peer).
    waiting         threads that are blocked in a call on it.
    depth           messages accepted and not known to be taken by a peer.
    counters        as `Socket.stats()`.
    peers_left_out  peers for which there was no room.
    """

    id: int
    type: str
    state: str
    waiting: int
    depth: int
    endpoints: list[Endpoint]
    counters: dict[str, int]
    peers: list[PeerStats]
    peers_left_out: int


class ContextStats(TypedDict):
    """A context.

    id       a number that tells contexts of one process apart.
    sockets  those that are open or linger.
    totals   the sums of their counters, and of their `depth`.
    peers    how many connections they have.
    """

    id: int
    sockets: list[SocketStats]
    totals: dict[str, int]
    peers: int


def parse(text: bytes) -> dict[str, Any]:
    """Return the object in a snapshot's text. Raises Malformed."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Malformed("no object")
    return found


def text_of(document: dict[str, Any], key: str) -> str:
    """Return a text in it, fit to be shown on a terminal. Raises Malformed."""
    return _text(document.get(key), key)


def number_of(document: dict[str, Any], key: str) -> float:
    """Return a number in it. Raises Malformed."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _NUMBER_MAX:
        raise Malformed(f"{key} is no number")
    return value


def contexts(document: dict[str, Any]) -> list[ContextStats]:
    """Return what a snapshot says of each context. Raises Malformed."""
    columns = document.get("columns")
    if not isinstance(columns, dict):
        raise Malformed("no columns")
    named = [_columns(columns.get(key), own) for key, own in (("socket", _SOCKET_OWN), ("peer", _PEER_OWN))]
    return [_context(each, *named) for each in _objects(document.get("contexts"), "contexts")]


def context_of(text: bytes) -> ContextStats:
    """Return what a snapshot of one context says. Raises Malformed."""
    (found,) = contexts(parse(text))
    return found


def _columns(names: object, own: tuple[str, ...]) -> list[str]:
    if not isinstance(names, list) or len(names) > _COLUMNS_MAX:
        raise Malformed("columns are no list")
    found = [_text(name, "columns") for name in names]
    if missing := set(own) - set(found):
        raise Malformed(f"no column {min(missing)}")
    return found


def _context(of: dict[str, Any], socket_columns: list[str], peer_columns: list[str]) -> ContextStats:
    sockets = [_socket(each, socket_columns, peer_columns) for each in _objects(of.get("sockets"), "sockets")]
    totals = dict.fromkeys(("depth", *socket_columns[len(_SOCKET_OWN) :]), 0)
    for socket in sockets:
        totals["depth"] += socket["depth"]
        for name, value in socket["counters"].items():
            totals[name] = totals.get(name, 0) + value
    up = sum(peer["state"] == "up" for socket in sockets for peer in socket["peers"])
    return ContextStats(id=int(number_of(of, "id")), sockets=sockets, totals=totals, peers=up)


def _socket(of: dict[str, Any], columns: list[str], peer_columns: list[str]) -> SocketStats:
    head = of.get("socket")
    if not isinstance(head, dict):
        raise Malformed("no socket")
    row = _row(head.get("values"), columns, _SOCKET_TEXTS, set())
    own = {name: row.pop(name) for name in _SOCKET_OWN}
    pairs = head.get("endpoints")
    if not isinstance(pairs, list):
        raise Malformed("endpoints are no list")
    endpoints = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Malformed("an endpoint is no pair")
        endpoints.append(Endpoint(kind=_text(pair[0], "endpoint"), text=_text(pair[1], "endpoint")))
    rows = of.get("peers")
    if not isinstance(rows, list):
        raise Malformed("peers are no list")
    peers: list[Any] = []
    for each in rows:
        peer = _row(each, peer_columns, _PEER_TEXTS, _MAY_BE_NONE)
        peers.append({name: peer[name] for name in _PEER_OWN})
    left_out = int(number_of(of, "peers_left_out"))
    found: Any = {**own, "endpoints": endpoints, "counters": row, "peers": peers, "peers_left_out": left_out}
    socket: SocketStats = found
    return socket


def _row(values: object, columns: list[str], texts: set[str], may_be_none: set[str]) -> dict[str, Any]:
    if not isinstance(values, list) or len(values) != len(columns):
        raise Malformed("a row does not fit its columns")
    row = dict(zip(columns, values, strict=True))
    for name, value in row.items():
        if value is None and name in may_be_none:
            continue
        if name in texts:
            row[name] = _text(value, name)
        else:
            number = number_of(row, name)
            row[name] = number if name == "since" else int(number)
    return row


def _objects(value: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Malformed(f"{what} are no list of objects")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise Malformed(f"{what} is no text")
    # What comes from a file may be shown on a terminal, which obeys control characters.
    return value if value.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in value)
