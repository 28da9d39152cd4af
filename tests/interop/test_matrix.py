"""The interop matrix: every legal pair of types, whoever binds, tcp and ipc; every illegal pair refused.

Ours is the socket under test in this process; theirs is real libzmq in another.
"""

from __future__ import annotations

import exchange
import pytest
from exchange import ILLEGAL, PAIRS
from wire import resolved

from kit import expect_nothing

pytestmark = pytest.mark.slow  # not each cell, but all of them together


def test_matrix_has_all_pairs():
    assert len(PAIRS) == 21
    assert sum(map(len, ILLEGAL.values())) == 121 - 21
    assert len(exchange.corpus()) >= 100
    assert {len(part) for message in exchange.corpus() for part in message} >= set(exchange.SIZES)


@pytest.fixture(params=["ours binds", "theirs binds"])
def binder(request):
    return request.param


@pytest.fixture
def couple(zmq, sockets, remote, endpoint, binder):
    """A function from two types to (our socket, their socket), connected."""

    def options(kind, name):
        given = {"routing_id": name} if kind in ("REQ", "DEALER", "ROUTER") else {}
        return given | ({"router_mandatory": 1} if kind == "ROUTER" else {})

    def build(our_kind, their_kind):
        ours = sockets(getattr(zmq, our_kind), **options(our_kind, b"ours"))
        theirs = remote(their_kind, **options(their_kind, b"theirs"))
        if binder == "ours binds":
            ours.bind(endpoint)
            theirs.connect(resolved(ours))
        else:
            ours.connect(theirs.bind(endpoint))
        return ours, theirs

    return build


def prefix(kind, other, name):
    """What a speaker of this kind puts before its messages to a peer called `name`."""
    if kind == "ROUTER":
        return [name]
    return [b""] if (kind, other) == ("DEALER", "REP") else []


def talk_both_ways(zmq, ours, our_kind, theirs, their_kind):
    if (our_kind, their_kind) == ("ROUTER", "ROUTER"):
        exchange.introduce(zmq, ours, b"theirs", b"hello")
        assert theirs.recv() == [b"ours", b"hello"]
    turns = 0
    if exchange.speaks_first(our_kind, their_kind) and our_kind != "ROUTER":
        turns += 1
        converse_here(zmq, ours, our_kind, theirs, their_kind)
    if exchange.speaks_first(their_kind, our_kind):
        turns += 1
        theirs.begin(exchange.converse, prefix(their_kind, our_kind, b"ours"))
        exchange.echo(zmq, ours)
        theirs.theirs.finish()
    if exchange.speaks_first(our_kind, their_kind) and our_kind == "ROUTER":
        turns += 1
        converse_here(zmq, ours, our_kind, theirs, their_kind)
    assert turns


def converse_here(zmq, ours, our_kind, theirs, their_kind):
    theirs.begin(exchange.echo)
    exchange.converse(zmq, ours, prefix(our_kind, their_kind, b"theirs"))
    theirs.theirs.finish()


def publish_to_them(zmq, ours, theirs):
    theirs.run(exchange.tune)
    theirs.begin(exchange.hear_probe)
    exchange.probe_until(zmq, ours, theirs.theirs.has_finished)
    theirs.theirs.finish()
    theirs.run(exchange.skip_to_fence)
    theirs.begin(exchange.listen)
    exchange.speak(zmq, ours)
    theirs.theirs.finish()


def publish_to_us(zmq, ours, theirs):
    exchange.tune(zmq, ours)
    theirs.begin_until_told(exchange.probe_until)
    exchange.hear_probe(zmq, ours)
    theirs.theirs.enough()
    theirs.theirs.finish()
    exchange.skip_to_fence(zmq, ours)
    theirs.begin(exchange.speak)
    exchange.listen(zmq, ours)
    theirs.theirs.finish()


@pytest.mark.parametrize(("our_kind", "their_kind"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_every_message_arrives_whole_and_in_order(zmq, couple, our_kind, their_kind):
    ours, theirs = couple(our_kind, their_kind)
    if our_kind in ("PUB", "XPUB"):
        publish_to_them(zmq, ours, theirs)
    elif our_kind in ("SUB", "XSUB"):
        publish_to_us(zmq, ours, theirs)
    elif our_kind == "PUSH":
        theirs.begin(exchange.listen)
        exchange.speak(zmq, ours)
        theirs.theirs.finish()
    elif our_kind == "PULL":
        theirs.begin(exchange.speak)
        exchange.listen(zmq, ours)
        theirs.theirs.finish()
    else:
        talk_both_ways(zmq, ours, our_kind, theirs, their_kind)
    if our_kind != "XPUB":
        expect_nothing(ours)


# --- pairs that may not talk -------------------------------------------------------------------------------


def expect_refused(names):
    """One connection came and went; no handshake succeeded.

    libzmq says HANDSHAKE_FAILED_NO_DETAIL where it found the connection closed in the middle, and only
    DISCONNECTED where it was the one that refused; which of two sides does is a race.
    """
    assert "HANDSHAKE_SUCCEEDED" not in names, names
    assert names[-1] == "DISCONNECTED", names
    assert {"CONNECTED", "ACCEPTED"} & set(names), names
    known = {"CONNECTED", "CONNECT_DELAYED", "ACCEPTED", "LISTENING", "DISCONNECTED"}
    assert all(name in known or name.startswith("HANDSHAKE_FAILED_") for name in names), names


def ends_of(watch, count):
    """The names of events up to the given number of ended connections."""
    return [[told.name for told in watch.until("DISCONNECTED")] for _ in range(count)]


def receives_nothing(zmq, socket):
    return not socket.get(zmq.EVENTS) & zmq.POLLIN


@pytest.mark.parametrize("our_kind", ILLEGAL)
def test_bound_socket_refuses_types_it_cannot_talk_to(zmq, bound, theirs, remote, watch, our_kind):
    ours, endpoint = bound(our_kind)
    watching = watch(ours)
    peers = [remote(kind, reconnect_ivl=-1, routing_id=b"theirs") for kind in ILLEGAL[our_kind]]
    theirs.begin(exchange.knock, [peer.number for peer in peers], endpoint)
    assert theirs.hear() == "knocked"
    exchange.smuggle(zmq, ours)
    names = [name for each in ends_of(watching, len(peers)) for name in each]
    expect_refused(names)
    assert names.count("ACCEPTED") == len(peers)
    for their_names, readable in theirs.finish():
        expect_refused(their_names)
        assert not readable
    assert receives_nothing(zmq, ours)


@pytest.mark.parametrize("our_kind", ILLEGAL)
def test_connecting_socket_refuses_types_it_cannot_talk_to(
    zmq, sockets, new_endpoint, transport, theirs, remote, watch, our_kind
):
    peers = [remote(kind) for kind in ILLEGAL[our_kind]]
    places = [peer.bind(new_endpoint(transport)) for peer in peers]
    theirs.begin(exchange.knock, [peer.number for peer in peers], None)
    assert theirs.hear() == "knocked"
    ours = [sockets(getattr(zmq, our_kind), reconnect_ivl=-1, linger=0) for _ in peers]
    watches = [watch(socket) for socket in ours]
    for socket, place in zip(ours, places, strict=True):
        socket.connect(place)
        exchange.smuggle(zmq, socket)
    for watching in watches:
        (names,) = ends_of(watching, 1)
        expect_refused(names)
    for their_names, readable in theirs.finish():
        expect_refused(their_names)
        assert not readable
    assert all(receives_nothing(zmq, socket) for socket in ours)
