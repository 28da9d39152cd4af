"""What changed between two looks, by socket and by peer, as rates. This file knows no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._snapshot import PeerStats, SocketStats
from . import Process

__all__ = ["Line", "lines"]


@dataclass(slots=True)
class Line:
    """A socket, or a peer of the socket above it.

    state     of a socket: runs, waits, lingering, terminated, silent; of a peer as in PeerStats.
    via, why  transports, and why they are no rings.
    sent, received, bytes, drops, sleeps, wakeups
              per second; None if nothing is known yet. `bytes` is both ways.
    depth     messages, now.
    """

    process: Process
    type: str
    state: str = ""
    endpoint: str = ""
    peers: int = 0
    via: str = ""
    why: str = ""
    depth: int = 0
    sent: float | None = None
    received: float | None = None
    bytes: float | None = None
    drops: float | None = None
    sleeps: float | None = None
    wakeups: float | None = None
    is_peer: bool = False


_Key = tuple[object, ...]


def lines(
    now: Sequence[Process], before: Sequence[Process] = (), *, peers: bool = False
) -> Iterator[list[Line]]:
    """Yield each socket's line and behind it, if asked, its peers'; one for a process without sockets."""
    then = {key: (process, socket) for process in before for key, socket in _sockets(process)}
    for process in now:
        found = list(_sockets(process))
        for key, socket in found:
            yield list(_lines(process, socket, then.get(key), peers=peers))
        if not found:
            yield [Line(process, "-", "silent" if process.problem else "", process.problem or "")]


def _sockets(process: Process) -> Iterator[tuple[_Key, SocketStats]]:
    for context in process.contexts:
        for socket in context["sockets"]:
            yield (process.uid, process.pid, process.started, context["id"], socket["id"]), socket


def _lines(
    process: Process, socket: SocketStats, then: tuple[Process, SocketStats] | None, *, peers: bool
) -> Iterator[Line]:
    seconds = process.taken - then[0].taken if then else 0.0
    known = then is not None and seconds > 0
    old = then[1] if then else None
    line = Line(process, socket["type"], state_of(process, socket), endpoints_of(socket), up_peers(socket))
    line.via, line.why = way_of(socket)
    line.depth = socket["depth"]
    if known and old:
        new_counters, old_counters = socket["counters"], old["counters"]

        def rate(*names: str) -> float:
            change = sum(new_counters.get(name, 0) - old_counters.get(name, 0) for name in names)
            return max(0.0, change / seconds)

        line.sent, line.received = rate("messages_sent"), rate("messages_received")
        line.bytes = rate("bytes_sent", "bytes_received")
        line.drops = rate(*(name for name in new_counters if name.startswith("discarded_")))
        line.sleeps, line.wakeups = rate("sleeps"), rate("wakeups")
    yield line
    if peers:
        earlier = {_peer_key(peer): peer for peer in old["peers"]} if old else {}
        for peer in socket["peers"]:
            yield _peer_line(process, peer, earlier.get(_peer_key(peer)) if known else None, seconds)


def _peer_key(peer: PeerStats) -> _Key:
    return peer["endpoint"], peer["pid"], peer["routing_id"], peer["since"]


def _peer_line(process: Process, peer: PeerStats, old: PeerStats | None, seconds: float) -> Line:
    line = Line(process, peer["type"] or "?", peer["state"], is_peer=True, depth=peer["depth"])
    line.via, line.why = peer["transport"], peer["reason"] or ""
    who = [f"pid {peer['pid']}"] if peer["pid"] else []
    line.endpoint = " ".join([peer["endpoint"] or "-", *who])
    if old:
        line.sent = max(0.0, (peer["messages_sent"] - old["messages_sent"]) / seconds)
        line.received = max(0.0, (peer["messages_received"] - old["messages_received"]) / seconds)
        both = peer["bytes_sent"] + peer["bytes_received"] - old["bytes_sent"] - old["bytes_received"]
        line.bytes = max(0.0, both / seconds)
        line.drops = max(0.0, (peer["dropped"] - old["dropped"]) / seconds)
        line.wakeups = max(0.0, (peer["wakeups"] - old["wakeups"]) / seconds)
    return line


# --- a socket in words -----------------------------------------------------------------------------------


def state_of(process: Process, socket: SocketStats) -> str:
    """Return what the socket does: runs, waits (a thread is blocked in a call), lingers, or is silent."""
    if not process.answered:
        return "silent"
    if socket["state"] != "open":
        return socket["state"]
    return "waits" if socket["waiting"] else "runs"


def way_of(socket: SocketStats) -> tuple[str, str]:
    """Return by which transports its peers are reached, and why not by rings."""
    used = {peer["transport"]: None for peer in socket["peers"]}
    why = {peer["reason"]: None for peer in socket["peers"] if peer["reason"]}
    return "+".join(used) or "-", "; ".join(why)


def endpoints_of(socket: SocketStats) -> str:
    """Return its endpoints in one line: what it binds with an @ before, what it connects to with a >."""
    shown = [f"{'@' if each['kind'] == 'bind' else '>'}{each['text']}" for each in socket["endpoints"]]
    return " ".join(shown) or "-"


def drops_of(socket: SocketStats) -> int:
    """Return how many messages were dropped, for whatever reason."""
    return sum(value for name, value in socket["counters"].items() if name.startswith("discarded_"))


def up_peers(socket: SocketStats) -> int:
    """Return how many connections are up, those that are not shown included."""
    return sum(peer["state"] == "up" for peer in socket["peers"]) + socket["peers_left_out"]
