"""DEALER and ROUTER, by RFC 28: DEALER takes turns, ROUTER goes by name."""

from __future__ import annotations

import pytest

from kit import drain, expect, expect_error, expect_nothing, fill, marry, refused, wait_until


def knows(zmq, router, peer: bytes) -> bool:
    """Send a ROUTER_MANDATORY probe `[peer, b""]`; False if the ROUTER does not know the peer."""
    return not refused(zmq, "EHOSTUNREACH", router.send_multipart, [peer, b""])


# --- DEALER: what it cannot do -----------------------------------------------------------------------------


def test_dealer_without_peer_refuses_to_send(zmq, sockets):
    """RFC 28 DEALER: SHALL block on sending, or return a suitable error, when it has no available peers."""
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.DEALER).send(b"", zmq.DONTWAIT)


def test_dealer_without_peer_has_nothing(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.DEALER).recv(zmq.DONTWAIT)


def test_dealer_without_peer_has_no_events(zmq, sockets):
    assert sockets(zmq.DEALER).poll(0, zmq.POLLIN | zmq.POLLOUT) == 0


# --- DEALER ------------------------------------------------------------------------------------------------


def test_dealer_sends_both_ways_in_any_order(zmq, sockets, endpoint):
    """RFC 28 DEALER: MAY be connected to any number of REP or ROUTER peers, and MAY both send and [...]"""
    one, other = sockets(zmq.DEALER), sockets(zmq.DEALER)
    one.bind(endpoint)
    other.connect(endpoint)
    other.send(b"1")
    other.send(b"2")
    expect(one, b"1")
    one.send(b"3")
    expect(one, b"2")
    expect(other, b"3")


def test_dealer_does_not_modify_messages(zmq, sockets, endpoint):
    """RFC 28 DEALER: SHALL not filter or modify outgoing or incoming messages in any way."""
    one, other = sockets(zmq.DEALER), sockets(zmq.DEALER)
    one.bind(endpoint)
    other.connect(endpoint)
    for frames in ([b""], [b"", b""], [b"", b"a", b"", b"b", b""]):
        other.send_multipart(frames)
        expect(one, *frames)


def test_dealer_round_robin_out(zmq, sockets, endpoints):
    """RFC 28 DEALER: SHALL route outgoing messages to available peers using a round-robin strategy."""
    dealer = sockets(zmq.DEALER)
    peers = [sockets(zmq.DEALER) for _ in range(3)]
    for peer, endpoint in zip(peers, endpoints(3), strict=True):
        peer.bind(endpoint)
        dealer.connect(endpoint)
    for number in range(12):
        dealer.send_multipart([b"%d" % number, b"second frame"])
    shares = [[int(peer.recv_multipart()[0]) for _ in range(4)] for peer in peers]
    assert sorted(shares) == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_dealer_passes_over_a_full_peer(zmq, sockets, endpoints):
    """RFC 28 DEALER: SHALL consider a peer as available only when it has a outgoing queue that is [...]"""
    full_endpoint, free_endpoint = endpoints(2)
    dealer, free = sockets(zmq.DEALER, sndhwm=1), sockets(zmq.DEALER, rcvhwm=0)
    dealer.connect(full_endpoint)  # nobody is there: its queue holds SNDHWM messages and no more
    free.bind(free_endpoint)
    dealer.connect(free_endpoint)
    for _ in range(20):
        dealer.send(b"work")
    for _ in range(19):
        expect(free, b"work")
    expect_nothing(free)


def test_dealer_blocks_when_every_pipe_is_full(zmq, sockets, inproc, task):
    """RFC 28 DEALER: SHALL not accept further messages when it has no available peers."""
    dealer, peer = sockets(zmq.DEALER, sndhwm=2), sockets(zmq.DEALER, rcvhwm=2)
    peer.bind(inproc)
    dealer.connect(inproc)
    accepted = fill(zmq, dealer)
    sending = task(dealer.send, b"the one too many")
    sending.wait_blocked()
    for number in range(accepted):
        expect(peer, b"%d" % number)
    sending.result()
    expect(peer, b"the one too many")


def test_dealer_fair_queue_in(zmq, sockets, inproc):
    """RFC 28 DEALER: SHALL receive incoming messages from its peers using a fair-queuing strategy."""
    dealer = sockets(zmq.DEALER)
    dealer.bind(inproc)
    for name in (b"a", b"b", b"c"):
        peer = sockets(zmq.DEALER)
        peer.connect(inproc)
        for _ in range(3):
            peer.send(name)
    rounds = [sorted(dealer.recv() for _ in range(3)) for _ in range(3)]
    assert rounds == [[b"a", b"b", b"c"]] * 3


def test_dealer_queues_for_a_peer_that_is_not_there_yet(zmq, sockets, endpoint):
    """RFC 28 DEALER: SHALL create a double queue when initiating an outgoing connection to a peer [...]"""
    dealer, router = sockets(zmq.DEALER), sockets(zmq.ROUTER)
    dealer.connect(endpoint)
    for number in range(10):
        dealer.send(b"%d" % number, zmq.DONTWAIT)
    router.bind(endpoint)
    assert [router.recv_multipart()[1] for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_dealer_reconnects_when_its_router_comes_back(zmq, sockets, ipc):
    """RFC 28 DEALER: [...] SHALL maintain the double queue whether or not the connection is established."""
    dealer, first = sockets(zmq.DEALER, reconnect_ivl=10), sockets(zmq.ROUTER)
    first.bind(ipc)
    dealer.connect(ipc)
    marry(first, dealer)
    first.close(linger=0)
    second = sockets(zmq.ROUTER)
    second.bind(ipc)

    def arrives():
        dealer.send(b"again")
        return second.poll(50)

    wait_until(arrives, "a message to reach the ROUTER that came back")
    peer, _body = second.recv_multipart()
    second.send_multipart([peer, b"welcome back"])
    expect(dealer, b"welcome back")


def test_dealer_does_not_send_through_a_second_connect_to_the_same_endpoint(zmq, sockets, new_endpoint):
    # zmq_connect(3): for DEALER a second connect to the same endpoint does nothing (on inproc it does).
    dealer, one, other = (sockets(zmq.DEALER) for _ in range(3))
    first, second = new_endpoint("ipc"), new_endpoint("ipc")
    one.bind(first)
    other.bind(second)
    for endpoint in (first, first, second):
        dealer.connect(endpoint)
    for _ in range(6):
        dealer.send(b"work")
    for peer in (one, other):
        for _ in range(3):
            expect(peer, b"work")


def test_dealer_queues_each_direction_of_each_peer_on_its_own(zmq, sockets, endpoints):
    """RFC 28 DEALER: SHALL maintain a double queue for each connected peer, allowing outgoing and [...]"""
    dealer, peers = sockets(zmq.DEALER), [sockets(zmq.DEALER) for _ in range(2)]
    for peer, endpoint in zip(peers, endpoints(2), strict=True):
        peer.bind(endpoint)
        dealer.connect(endpoint)
    marry(dealer, *peers)
    for number in range(100):
        dealer.send(b"down")
        for name, peer in enumerate(peers):
            peer.send(b"up %d %d" % (name, number))
    received = [dealer.recv() for _ in range(200)]
    for name, peer in enumerate(peers):
        assert [peer.recv() for _ in range(50)] == [b"down"] * 50
        mine = [message for message in received if message.startswith(b"up %d " % name)]
        assert mine == [b"up %d %d" % (name, number) for number in range(100)]


def test_bound_dealer_becomes_writable_when_its_peer_comes(zmq, sockets, endpoint):
    """RFC 28 DEALER: SHALL create a double queue when a peer connects to it. [...]"""
    bound, connected = sockets(zmq.DEALER), sockets(zmq.DEALER)
    bound.bind(endpoint)
    with expect_error(zmq, "EAGAIN"):
        bound.send(b"to nobody", zmq.DONTWAIT)
    connected.connect(endpoint)
    assert bound.poll(5000, zmq.POLLOUT) == zmq.POLLOUT
    bound.send(b"at last")
    expect(connected, b"at last")


def test_dealer_forgets_a_peer_that_left(zmq, sockets, endpoint):
    """RFC 28 DEALER: [...] If this peer disconnects, [it] SHALL destroy its double queue [...]"""
    dealer, stays, leaves = (sockets(zmq.DEALER) for _ in range(3))
    dealer.bind(endpoint)
    stays.connect(endpoint)
    leaves.connect(endpoint)
    marry(dealer, stays, leaves)
    leaves.close(linger=0)

    def nothing_is_lost_any_more():
        for _ in range(2):
            dealer.send(b"work")
        return wait_until(lambda: len(drain(stays, zmq.DONTWAIT)), "the peer that stays to get its turn") == 2

    wait_until(nothing_is_lost_any_more, "the DEALER to send both of two messages to its only peer")


def test_dealer_queue_holds_what_sndhwm_says(zmq, sockets, endpoint):
    """RFC 28 DEALER: SHOULD constrain incoming and outgoing queue sizes to a runtime-configurable limit."""
    dealer = sockets(zmq.DEALER, sndhwm=7)
    dealer.connect(endpoint)
    assert fill(zmq, dealer) == 7


def test_dealer_loses_nothing_that_it_accepted(zmq, sockets, endpoint):
    """RFC 28 DEALER: SHALL NOT discard messages that it cannot queue.

    RFC 28 DEALER: SHALL deliver these to its calling application.
    """
    dealer, peer = sockets(zmq.DEALER, sndhwm=5), sockets(zmq.DEALER, rcvhwm=5)
    peer.bind(endpoint)
    dealer.connect(endpoint)
    accepted = fill(zmq, dealer)
    dealer.close(linger=-1)
    assert [peer.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]


# --- ROUTER: what it cannot do -----------------------------------------------------------------------------


def test_router_without_peer_has_nothing(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.ROUTER).recv(zmq.DONTWAIT)


def test_router_without_peer_is_writable_all_the_same(zmq, sockets):
    """RFC 28 ROUTER: SHALL NOT block on sending."""
    assert sockets(zmq.ROUTER).poll(0, zmq.POLLOUT) == zmq.POLLOUT


def test_mandatory_router_without_peer_is_not_writable(zmq, sockets):
    router = sockets(zmq.ROUTER, router_mandatory=1)
    assert router.poll(0, zmq.POLLOUT) == 0


def test_router_drops_an_unroutable_message(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL either silently drop the message, or return an error, depending on [...]"""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    peer = marry(router, dealer)
    router.send_multipart([b"nobody", b"one", b"two", b"three"])
    router.send_multipart([peer, b"routable"])
    expect(dealer, b"routable")


def test_router_drops_a_message_of_one_frame(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL remove the first frame from each outgoing message and use this as the [...]"""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    peer = marry(router, dealer)
    router.send(peer)
    router.send_multipart([peer, b"two frames"])
    expect(dealer, b"two frames")


def test_mandatory_router_says_that_a_peer_is_unknown(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL either silently drop the message, or return an error, depending on [...]"""
    router = sockets(zmq.ROUTER, router_mandatory=1)
    router.bind(endpoint)
    with expect_error(zmq, "EHOSTUNREACH"):
        router.send_multipart([b"nobody", b"message"])


def test_mandatory_router_goes_on_after_an_unknown_peer(zmq, sockets, endpoint):
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    peer = marry(router, dealer)
    with expect_error(zmq, "EHOSTUNREACH"):
        router.send_multipart([b"nobody", b"message"])
    router.send_multipart([peer, b"message"])
    expect(dealer, b"message")


def test_router_mandatory_takes_effect_at_once(zmq, sockets, endpoint):
    router = sockets(zmq.ROUTER)
    router.bind(endpoint)
    router.send_multipart([b"nobody", b"dropped"])
    router.router_mandatory = 1
    with expect_error(zmq, "EHOSTUNREACH"):
        router.send_multipart([b"nobody", b"refused"])


# --- ROUTER: names -----------------------------------------------------------------------------------------


def test_router_prefixes_the_identity_of_the_sender(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL prefix each incoming message with a frame containing the identity of [...]"""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, identity=b"the dealer")
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send_multipart([b"one", b"", b"two"])
    expect(router, b"the dealer", b"one", b"", b"two")


def test_router_makes_up_five_bytes_beginning_with_zero(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL identify each double queue using a unique "identity" binary string."""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send(b"")
    peer, _ = router.recv_multipart()
    assert len(peer) == 5
    assert peer[0] == 0


def test_router_makes_up_a_different_identity_for_each_peer(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL identify each double queue using a unique "identity" binary string."""
    router = sockets(zmq.ROUTER)
    router.bind(endpoint)
    dealers = [sockets(zmq.DEALER) for _ in range(10)]
    for dealer in dealers:
        dealer.connect(endpoint)
    assert len(set(marry(router, *dealers))) == 10


@pytest.mark.parametrize("identity", [b"a", b"i" * 255, bytes(range(1, 256)), b"not\x00first"], ids=len)
def test_router_uses_the_identity_that_the_peer_gave(zmq, sockets, endpoint, identity):
    """RFC 28 ROUTER: SHOULD allow the peer to specify its identity explicitly through the Identity [...]"""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, identity=identity)
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send(b"hello")
    expect(router, identity, b"hello")
    router.send_multipart([identity, b"answer"])
    expect(dealer, b"answer")


def test_router_routes_by_the_first_frame(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL remove the first frame from each outgoing message and use this as the [...]"""
    router = sockets(zmq.ROUTER)
    router.bind(endpoint)
    dealers = [sockets(zmq.DEALER) for _ in range(5)]
    for dealer in dealers:
        dealer.connect(endpoint)
    peers = marry(router, *dealers)
    for number in (3, 0, 4, 1, 2):
        router.send_multipart([peers[number], b"to %d" % number, b"", b"second"])
    for number, dealer in enumerate(dealers):
        expect(dealer, b"to %d" % number, b"", b"second")


def test_router_that_connects_learns_the_name_of_the_binder(zmq, sockets, endpoint):
    """RFC 28 ROUTER: MAY be connected to any number of REQ, DEALER, or ROUTER peers, and MAY both [...]"""
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER, identity=b"binder")
    dealer.bind(endpoint)
    router.connect(endpoint)
    wait_until(lambda: knows(zmq, router, b"binder"), "the ROUTER to know the DEALER that bound")
    expect(dealer, b"")


def test_connect_routing_id_names_a_peer_before_it_is_there(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_CONNECT_ROUTING_ID: names the peer of the next connect."""
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER)
    router.connect_routing_id = b"server"
    router.connect(endpoint)
    router.send_multipart([b"server", b"early"])
    dealer.bind(endpoint)
    expect(dealer, b"early")


def test_routers_talk_by_name(zmq, sockets, endpoint):
    """RFC 28 ROUTER: MAY be connected to any number of REQ, DEALER, or ROUTER peers, and MAY both [...]"""
    one, other = (sockets(zmq.ROUTER, identity=name, router_mandatory=1) for name in (b"one", b"other"))
    one.bind(endpoint)
    other.connect(endpoint)
    wait_until(lambda: knows(zmq, other, b"one"), "the connecting ROUTER to know the bound one")
    expect(one, b"other", b"")
    one.send_multipart([b"other", b"hello"])
    expect(other, b"one", b"hello")


def test_router_forgets_the_name_of_a_peer_that_left(zmq, sockets, endpoint):
    """RFC 28 ROUTER: [...] If this peer disconnects, [it] SHALL destroy its double queue [...]"""
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER, identity=b"leaver")
    router.bind(endpoint)
    dealer.connect(endpoint)
    marry(router, dealer)
    dealer.close(linger=0)

    def forgotten():
        router.poll(0)  # libzmq drops a peer when it reads the end of its pipe
        return not knows(zmq, router, b"leaver")

    wait_until(forgotten, "the ROUTER to forget the peer that closed")


def test_name_of_a_peer_that_left_may_be_used_again(zmq, sockets, endpoint):
    router, first = sockets(zmq.ROUTER), sockets(zmq.DEALER, identity=b"worker")
    router.bind(endpoint)
    first.connect(endpoint)
    marry(router, first)
    first.close(linger=0)

    def second_life():
        second = sockets(zmq.DEALER, identity=b"worker")
        second.connect(endpoint)
        if not refused(zmq, "EAGAIN", second.send, b"I am back", zmq.DONTWAIT) and router.poll(100):
            return True
        second.close(linger=0)
        return False

    wait_until(second_life, "a message of the second peer of that name")
    expect(router, b"worker", b"I am back")


def test_second_peer_of_a_name_is_ignored(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL identify each double queue using a unique "identity" binary string."""
    router = sockets(zmq.ROUTER)
    router.bind(endpoint)
    first, second = (sockets(zmq.DEALER, identity=b"same") for _ in range(2))
    first.connect(endpoint)
    marry(router, first)
    second.connect(endpoint)
    refused(zmq, "EAGAIN", second.send, b"from the second", zmq.DONTWAIT)  # it may have been told already
    for _ in range(50):
        first.send(b"from the first")
        expect(router, b"same", b"from the first")
        router.send_multipart([b"same", b"answer"])
        expect(first, b"answer")
    expect_nothing(router)
    expect_nothing(second)


def test_handover_gives_the_name_to_the_second_peer(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_ROUTER_HANDOVER: the newcomer takes over the routing id."""
    router = sockets(zmq.ROUTER, router_handover=1)
    router.bind(endpoint)
    first, second = (sockets(zmq.DEALER, identity=b"same", reconnect_ivl=-1) for _ in range(2))
    first.connect(endpoint)
    marry(router, first)
    second.connect(endpoint)
    second.send(b"mine now")
    expect(router, b"same", b"mine now")
    router.send_multipart([b"same", b"yours"])
    expect(second, b"yours")
    expect_nothing(first)


def test_peer_whose_name_was_handed_over_stays_connected_and_silent(zmq, sockets, endpoint):
    """It was cut off, came back, took the name again, and so on: two live peers had the messages in turn."""
    router = sockets(zmq.ROUTER, router_handover=1)
    ended = router.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    router.bind(endpoint)
    first, second = (sockets(zmq.DEALER, identity=b"same", reconnect_ivl=1) for _ in range(2))
    first.connect(endpoint)
    marry(router, first)
    first.send(b"before")
    expect(router, b"same", b"before")
    second.connect(endpoint)
    second.send(b"mine now")
    expect(router, b"same", b"mine now")
    for number in range(50):
        first.send(b"unheard")
        router.send_multipart([b"same", b"%d" % number])
        expect(second, b"%d" % number)
        second.send(b"%d" % number)
        expect(router, b"same", b"%d" % number)
    expect_nothing(first)
    assert not ended.poll(0)
    router.disable_monitor()
    second.close()
    third = sockets(zmq.DEALER, identity=b"same")
    third.connect(endpoint)
    third.send(b"next")
    expect(router, b"same", b"next")


def test_handover_takes_effect_after_bind(zmq, sockets, endpoint):
    router = sockets(zmq.ROUTER)
    router.bind(endpoint)
    first, second = (sockets(zmq.DEALER, identity=b"same", reconnect_ivl=-1) for _ in range(2))
    first.connect(endpoint)
    marry(router, first)
    router.router_handover = 1
    second.connect(endpoint)
    second.send(b"mine now")
    expect(router, b"same", b"mine now")


# --- PROBE_ROUTER ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DEALER", "REQ", "ROUTER"])
def test_probe_router_sends_an_empty_message_on_connection(zmq, sockets, endpoint, kind):
    """zmq_setsockopt(3) ZMQ_PROBE_ROUTER: an empty message on every new connection."""
    router, prober = sockets(zmq.ROUTER), sockets(getattr(zmq, kind), probe_router=1, identity=b"prober")
    router.bind(endpoint)
    prober.connect(endpoint)
    expect(router, b"prober", b"")


def test_probe_comes_before_the_first_message(zmq, sockets, endpoint):
    router, prober = sockets(zmq.ROUTER), sockets(zmq.DEALER, probe_router=1, identity=b"prober")
    prober.connect(endpoint)
    prober.send(b"message")
    router.bind(endpoint)
    expect(router, b"prober", b"")
    expect(router, b"prober", b"message")


def test_probing_req_may_still_ask(zmq, sockets, endpoint):
    router, req = sockets(zmq.ROUTER), sockets(zmq.REQ, probe_router=1, identity=b"req")
    router.bind(endpoint)
    req.connect(endpoint)
    expect(router, b"req", b"")
    req.send(b"request")
    expect(router, b"req", b"", b"request")


# --- ROUTER: queues ----------------------------------------------------------------------------------------


@pytest.fixture
def full_pipe(zmq, sockets, inproc):
    """A ROUTER whose inproc pipe to the DEALER `reader` holds four messages and accepts no more; and that."""

    def build(**options):
        router, dealer = (
            sockets(zmq.ROUTER, sndhwm=2, **options),
            sockets(zmq.DEALER, rcvhwm=2, identity=b"reader"),
        )
        router.bind(inproc)
        dealer.connect(inproc)
        router.poll(0)
        for number in range(4):
            router.send_multipart([b"reader", b"%d" % number], zmq.DONTWAIT)
        return router, dealer

    return build


def test_router_drops_messages_for_a_full_peer(zmq, full_pipe):
    """RFC 28 ROUTER: SHALL route the message to the outgoing queue if that queue exists, and has space.

    RFC 28 ROUTER: SHOULD constrain incoming and outgoing queue sizes to a runtime-configurable limit.
    """
    router, dealer = full_pipe()
    router.send_multipart([b"reader", b"dropped"])
    assert [dealer.recv() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    expect_nothing(dealer)


def test_router_drops_the_whole_message_for_a_full_peer(zmq, full_pipe):
    router, dealer = full_pipe()
    router.send_multipart([b"reader", b"dropped", b"dropped", b"dropped"])
    assert drain(dealer, zmq.DONTWAIT) == [[b"0"], [b"1"], [b"2"], [b"3"]]
    wait_until(lambda: router.poll(0, zmq.POLLOUT), "the ROUTER to be writable")
    router.send_multipart([b"reader", b"next"])
    expect(dealer, b"next")


def test_mandatory_router_says_again_for_a_full_peer(zmq, full_pipe):
    """zmq_setsockopt(3) ZMQ_ROUTER_MANDATORY: EAGAIN if the peer is at its high water mark and DONTWAIT."""
    router, _dealer = full_pipe(router_mandatory=1)
    with expect_error(zmq, "EAGAIN"):
        router.send_multipart([b"reader", b"too many"], zmq.DONTWAIT)


def test_mandatory_router_waits_for_a_full_peer(zmq, full_pipe, task):
    router, dealer = full_pipe(router_mandatory=1)
    sending = task(router.send_multipart, [b"reader", b"patient"])
    sending.wait_blocked()
    assert [dealer.recv() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    sending.result()
    expect(dealer, b"patient")


def test_router_fair_queue_in(zmq, sockets, inproc):
    """RFC 28 ROUTER: SHALL receive incoming messages from its peers using a fair-queuing strategy."""
    router = sockets(zmq.ROUTER)
    router.bind(inproc)
    for name in (b"a", b"b", b"c"):
        dealer = sockets(zmq.DEALER, identity=name)
        dealer.connect(inproc)
        for _ in range(3):
            dealer.send(b"")
    rounds = [sorted(router.recv_multipart()[0] for _ in range(3)) for _ in range(3)]
    assert rounds == [[b"a", b"b", b"c"]] * 3


def test_slow_peer_does_not_hold_up_the_others(zmq, sockets, inproc):
    """RFC 28 ROUTER: SHALL NOT block on sending."""
    router = sockets(zmq.ROUTER, sndhwm=1, sndtimeo=-1)
    router.bind(inproc)
    slow = sockets(zmq.DEALER, identity=b"slow", rcvhwm=1)
    quick = sockets(zmq.DEALER, identity=b"quick", rcvhwm=0)
    for dealer in (slow, quick):
        dealer.connect(inproc)
    router.poll(0)
    for number in range(20):
        router.send_multipart([b"slow", b"%d" % number])
        router.send_multipart([b"quick", b"%d" % number])
        expect(quick, b"%d" % number)


def test_router_queues_each_direction_of_each_peer_on_its_own(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL maintain a double queue for each connected peer, allowing outgoing and [...]"""
    router = sockets(zmq.ROUTER)
    router.bind(endpoint)
    dealers = [sockets(zmq.DEALER) for _ in range(2)]
    for dealer in dealers:
        dealer.connect(endpoint)
    peers = marry(router, *dealers)
    for number in range(100):
        for peer, dealer in zip(peers, dealers, strict=True):
            router.send_multipart([peer, b"down %d" % number])
            dealer.send(b"up %d" % number)
    received = [router.recv_multipart() for _ in range(200)]
    for peer, dealer in zip(peers, dealers, strict=True):
        assert [dealer.recv() for _ in range(100)] == [b"down %d" % number for number in range(100)]
        assert [body for name, body in received if name == peer] == [b"up %d" % n for n in range(100)]


def test_router_that_connects_queues_for_a_peer_that_it_has_named(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL create a double queue when initiating an outgoing connection to a peer [...]"""
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER)
    router.connect_routing_id = b"peer"
    router.connect(endpoint)
    for number in range(10):
        router.send_multipart([b"peer", b"%d" % number], zmq.DONTWAIT)
    dealer.bind(endpoint)
    assert [dealer.recv() for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_router_that_connects_knows_its_peer_by_name_after_it_came_back(zmq, sockets, ipc):
    """RFC 28 ROUTER: SHALL maintain the double queue whether or not the connection is established."""
    # ipc only: on inproc a binder that closes takes the connection with it for good.
    router, first = sockets(zmq.ROUTER, reconnect_ivl=10), sockets(zmq.DEALER)
    router.connect_routing_id = b"peer"
    first.bind(ipc)
    router.connect(ipc)
    router.send_multipart([b"peer", b"hello"])
    expect(first, b"hello")
    first.close(linger=0)
    second = sockets(zmq.DEALER)
    second.bind(ipc)

    def arrives():
        router.send_multipart([b"peer", b"again"])
        return second.poll(50)

    wait_until(arrives, "a message to reach the peer that came back")
    expect(second, b"again")


def test_bound_router_reaches_a_peer_that_connects(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL create a double queue when a peer connects to it. [...]"""
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER, identity=b"comer")
    router.bind(endpoint)
    assert not knows(zmq, router, b"comer")
    dealer.connect(endpoint)
    wait_until(lambda: router.poll(0) or knows(zmq, router, b"comer"), "the ROUTER to know who came")
    expect(dealer, b"")


def test_router_reads_what_a_peer_sent_before_it_closed(zmq, sockets, endpoint):
    """RFC 28 ROUTER: SHALL deliver the resulting messages to its calling application."""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, identity=b"gone")
    router.bind(endpoint)
    dealer.connect(endpoint)
    for number in range(100):
        dealer.send(b"%d" % number)
    dealer.close(linger=-1)
    for number in range(100):
        expect(router, b"gone", b"%d" % number)
