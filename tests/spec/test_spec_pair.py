"""PAIR, by RFC 31: one peer, both ways, nothing lost.

Negative space first. Where only one transport can show a thing exactly, the test says which and why.
"""

from __future__ import annotations

import pytest

from kit import expect, expect_error, expect_nothing, fill, marry, refused, wait_until

# --- what it cannot do -------------------------------------------------------------------------------------


def test_pair_without_peer_refuses_to_send(zmq, sockets):
    """RFC 31 PAIR: SHALL block on sending, or return a suitable error, when it has no available peer."""
    pair = sockets(zmq.PAIR)
    with expect_error(zmq, "EAGAIN"):
        pair.send(b"to nobody", zmq.DONTWAIT)


def test_pair_bound_but_alone_refuses_to_send(zmq, sockets, endpoint):
    """RFC 31 PAIR: SHALL not accept further messages when it has no available peer."""
    pair = sockets(zmq.PAIR)
    pair.bind(endpoint)
    with expect_error(zmq, "EAGAIN"):
        pair.send(b"to nobody", zmq.DONTWAIT)


def test_pair_without_peer_has_no_events(zmq, sockets):
    pair = sockets(zmq.PAIR)
    assert pair.poll(0, zmq.POLLIN | zmq.POLLOUT) == 0


def test_pair_has_nothing_to_receive_from_nobody(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PAIR).recv(zmq.DONTWAIT)


# --- what it does ------------------------------------------------------------------------------------------


@pytest.fixture
def couple(zmq, sockets, endpoint):
    """A bound and a connected PAIR that know each other."""
    bound, connected = sockets(zmq.PAIR), sockets(zmq.PAIR)
    bound.bind(endpoint)
    connected.connect(endpoint)
    marry(connected, bound)
    return bound, connected


def test_pair_sends_both_ways(couple):
    """RFC 31 PAIR: MAY be connected to at most one PAIR peers, and MAY both send and receive messages."""
    bound, connected = couple
    bound.send(b"from the bound one")
    connected.send(b"from the connected one")
    expect(bound, b"from the connected one")
    expect(connected, b"from the bound one")


def test_pair_queues_each_direction_on_its_own(couple):
    """RFC 31 PAIR: SHALL maintain a double queue for its peer, allowing outgoing and incoming [...]"""
    bound, connected = couple
    for number in range(100):
        bound.send(b"down %d" % number)
        connected.send(b"up %d" % number)
    assert [connected.recv() for _ in range(100)] == [b"down %d" % number for number in range(100)]
    assert [bound.recv() for _ in range(100)] == [b"up %d" % number for number in range(100)]


def test_pair_keeps_frames_together_and_unmodified(couple):
    """RFC 31 PAIR: SHALL not filter or modify outgoing or incoming messages in any way."""
    bound, connected = couple
    frames = [b"", b"one", b"", b"\x00\xff" * 300, b""]
    bound.send_multipart(frames)
    expect(connected, *frames)


def test_pair_queues_for_a_peer_that_is_not_there_yet(zmq, sockets, endpoint):
    """RFC 31 PAIR: SHALL create a double queue when initiating an outgoing connection to a peer [...]"""
    early = sockets(zmq.PAIR)
    early.connect(endpoint)
    for number in range(10):
        early.send(b"%d" % number, zmq.DONTWAIT)
    late = sockets(zmq.PAIR)
    late.bind(endpoint)
    assert [late.recv() for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_bound_pair_becomes_writable_when_its_peer_comes(zmq, sockets, endpoint):
    """RFC 31 PAIR: SHALL create a double queue when a peer connects to it. [...]"""
    bound, connected = sockets(zmq.PAIR), sockets(zmq.PAIR)
    bound.bind(endpoint)
    connected.connect(endpoint)
    assert bound.poll(5000, zmq.POLLOUT) == zmq.POLLOUT


def test_blocked_pair_sends_when_its_peer_comes(zmq, sockets, endpoint, task):
    """RFC 31 PAIR: SHALL block on sending, or return a suitable error, when it has no available peer."""
    bound = sockets(zmq.PAIR)
    bound.bind(endpoint)
    sending = task(bound.send, b"at last")
    sending.wait_blocked()
    connected = sockets(zmq.PAIR)
    connected.connect(endpoint)
    sending.result()
    expect(connected, b"at last")


def test_second_peer_of_a_pair_is_not_heard(zmq, sockets, couple, endpoint):
    """RFC 31 PAIR: SHALL receive incoming messages from its single peer if it has one."""
    bound, connected = couple
    intruder = sockets(zmq.PAIR)
    intruder.connect(endpoint)
    refused(zmq, "EAGAIN", intruder.send, b"me too", zmq.DONTWAIT)  # it may have been told already
    for number in range(50):
        connected.send(b"%d" % number)
        expect(bound, b"%d" % number)
    expect_nothing(bound)


def test_second_peer_of_a_pair_gets_nothing(zmq, sockets, couple, endpoint):
    """RFC 31 PAIR: MAY be connected to at most one PAIR peers, and MAY both send and receive messages."""
    bound, connected = couple
    intruder = sockets(zmq.PAIR)
    intruder.connect(endpoint)
    for number in range(50):
        bound.send(b"%d" % number)
        expect(connected, b"%d" % number)
    expect_nothing(intruder)


def test_pair_that_lost_its_peer_refuses_to_send(zmq, couple):
    """RFC 31 PAIR: [...] If this peer disconnects, the PAIR socket SHALL destroy its double queue [...]"""
    bound, connected = couple
    connected.close(linger=0)
    wait_until(lambda: not bound.poll(0, zmq.POLLIN | zmq.POLLOUT), "the bound PAIR to see its peer go")
    with expect_error(zmq, "EAGAIN"):
        bound.send(b"to nobody", zmq.DONTWAIT)


def test_pair_that_lost_its_peer_takes_another(zmq, sockets, couple, endpoint):
    """RFC 31 PAIR: SHALL create a double queue when a peer connects to it. [...]"""
    bound, connected = couple
    connected.close(linger=0)

    def succeeded():
        # Until the bound PAIR is done with the first peer, the next one is one too many.
        successor = sockets(zmq.PAIR)
        successor.connect(endpoint)
        if not refused(zmq, "EAGAIN", successor.send, b"next", zmq.DONTWAIT) and bound.poll(100):
            return True
        successor.close(linger=0)
        return False

    wait_until(succeeded, "the bound PAIR to hear a second peer after the first one left")
    expect(bound, b"next")


def test_pair_reads_what_its_peer_sent_before_it_closed(couple):
    """RFC 31 PAIR: SHALL deliver these to its calling application."""
    bound, connected = couple
    for number in range(100):
        connected.send(b"%d" % number)
    connected.close(linger=-1)
    assert [bound.recv() for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_pair_queue_holds_what_sndhwm_says(zmq, sockets, endpoint):
    """RFC 31 PAIR: SHOULD constrain incoming and outgoing queue sizes to a runtime-configurable limit."""
    pair = sockets(zmq.PAIR, sndhwm=7)
    pair.connect(endpoint)
    assert fill(zmq, pair) == 7


def test_pair_is_not_writable_while_its_queue_is_full(zmq, sockets, endpoint):
    """RFC 31 PAIR: SHALL consider its peer as available only when it has a outgoing queue that is [...]"""
    pair, peer = sockets(zmq.PAIR, sndhwm=5), sockets(zmq.PAIR, rcvhwm=5)
    peer.bind(endpoint)
    pair.connect(endpoint)
    accepted = fill(zmq, pair)
    for number in range(accepted):
        expect(peer, b"%d" % number)
    assert pair.poll(5000, zmq.POLLOUT) == zmq.POLLOUT
    pair.send(b"room again")


def test_pair_loses_nothing_that_it_accepted(zmq, sockets, endpoint):
    """RFC 31 PAIR: SHALL NOT discard messages that it cannot queue."""
    pair, peer = sockets(zmq.PAIR, sndhwm=5), sockets(zmq.PAIR, rcvhwm=5)
    peer.bind(endpoint)
    pair.connect(endpoint)
    accepted = fill(zmq, pair)
    pair.close(linger=-1)
    assert [peer.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]


def test_connected_pair_finds_its_peer_again(zmq, sockets, ipc):
    """RFC 31 PAIR: [...] and SHALL maintain the double queue whether or not the connection is established."""
    # ipc only: on inproc a binder that closes takes the connection with it for good.
    pair, first = sockets(zmq.PAIR, reconnect_ivl=10), sockets(zmq.PAIR)
    first.bind(ipc)
    pair.connect(ipc)
    marry(pair, first)
    first.close(linger=0)
    second = sockets(zmq.PAIR)
    second.bind(ipc)
    second.send(b"welcome")
    expect(pair, b"welcome")
