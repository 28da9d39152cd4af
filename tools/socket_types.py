"""The facts of each socket type: who talks to whom, which way, in which order, and what when it cannot.

Facts    RFC 28 (REQ, REP, DEALER, ROUTER), RFC 29 (PUB, SUB, XPUB, XSUB), RFC 30 (PUSH, PULL), RFC 31 (PAIR);
         zmq_socket(3) for STREAM and for what happens when a type cannot send.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """One socket type and its six facts."""

    name: str
    peers: tuple[str, ...]
    direction: str
    """"both", "send only", "receive only"."""
    order: str
    """The order in which send and recv may be called."""
    incoming: str
    outgoing: str
    mute: str
    """What send does when no peer can take the message."""


_ANY = "any order"
_FAIR = "fair-queued"
_ROBIN = "round robin"

SOCKET_TYPES: tuple[TypeFacts, ...] = (
    TypeFacts("PAIR", ("PAIR",), "both", _ANY, "from the one peer", "to the one peer", "waits"),
    TypeFacts(
        "PUB", ("SUB", "XSUB"), "send only", _ANY, "none", "to all with a matching subscription", "drops"
    ),
    TypeFacts(
        "SUB", ("PUB", "XPUB"), "receive only", _ANY, f"{_FAIR}, filtered by subscription", "none", "-"
    ),
    TypeFacts(
        "REQ", ("REP", "ROUTER"), "both", "send, then recv", "from the peer that was asked", _ROBIN, "waits"
    ),
    TypeFacts("REP", ("REQ", "DEALER"), "both", "recv, then send", _FAIR, "to the peer that asked", "drops"),
    TypeFacts("DEALER", ("REP", "DEALER", "ROUTER"), "both", _ANY, _FAIR, _ROBIN, "waits"),
    TypeFacts(
        "ROUTER", ("REQ", "DEALER", "ROUTER"), "both", _ANY, f"{_FAIR}, the sender's routing id put first",
        "to the peer named by the first frame", "drops; ROUTER_MANDATORY: EHOSTUNREACH, or waits",
    ),
    TypeFacts("PULL", ("PUSH",), "receive only", _ANY, _FAIR, "none", "-"),
    TypeFacts("PUSH", ("PULL",), "send only", _ANY, "none", _ROBIN, "waits"),
    TypeFacts(
        "XPUB", ("SUB", "XSUB"), "both", _ANY, "subscriptions as messages, fair-queued",
        "to all with a matching subscription", "drops; XPUB_NODROP: EAGAIN",
    ),
    TypeFacts(
        "XSUB", ("PUB", "XPUB"), "both", _ANY, f"{_FAIR}, filtered by subscription",
        "subscriptions and messages to all", "drops",
    ),
    TypeFacts(
        "STREAM", ("a plain tcp peer",), "both", _ANY, f"{_FAIR}, the sender's routing id put first",
        "to the peer named by the first frame", "EAGAIN or EHOSTUNREACH",
    ),
)  # fmt: skip
"""The stable types in the order of their numbers."""
