"""REQ and REP, by RFC 28: one request, one reply, in lock step.

A ROUTER or a DEALER stands in as the peer where a test wants to see or forge the frames on the wire.
"""

from __future__ import annotations

import pytest

from kit import expect, expect_error, expect_nothing, marry, refused, wait_until

# --- what they cannot do -----------------------------------------------------------------------------------


@pytest.fixture
def couple(zmq, sockets, endpoint):
    """A REQ connected to a bound REP."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    rep.bind(endpoint)
    req.connect(endpoint)
    return req, rep


def test_req_cannot_receive_before_it_sent(zmq, couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, _rep = couple
    with expect_error(zmq, "EFSM"):
        req.recv()


def test_req_cannot_send_twice(zmq, couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, _rep = couple
    req.send(b"one")
    with expect_error(zmq, "EFSM"):
        req.send(b"two")


def test_req_cannot_receive_twice(zmq, couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, rep = couple
    req.send(b"request")
    rep.recv()
    rep.send(b"reply")
    req.recv()
    with expect_error(zmq, "EFSM"):
        req.recv()


def test_rep_cannot_send_before_it_received(zmq, couple):
    """RFC 28 REP: SHALL receive and then send exactly one message at a time."""
    _req, rep = couple
    with expect_error(zmq, "EFSM"):
        rep.send(b"reply to nothing")


def test_rep_cannot_receive_twice(zmq, couple):
    """RFC 28 REP: SHALL receive and then send exactly one message at a time."""
    req, rep = couple
    req.send(b"request")
    rep.recv()
    with expect_error(zmq, "EFSM"):
        rep.recv()


def test_rep_cannot_send_twice(zmq, couple):
    """RFC 28 REP: SHALL receive and then send exactly one message at a time."""
    req, rep = couple
    req.send(b"request")
    rep.recv()
    rep.send(b"reply")
    with expect_error(zmq, "EFSM"):
        rep.send(b"reply again")


def test_rep_cannot_reply_before_it_read_the_whole_request(zmq, couple):
    """RFC 28 REP: SHALL wait for a single reply message from its calling application."""
    req, rep = couple
    req.send_multipart([b"one", b"two"])
    assert rep.recv() == b"one"
    with expect_error(zmq, "EFSM"):
        rep.send(b"too early")


def test_req_cannot_send_before_it_read_the_whole_reply(zmq, couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, rep = couple
    req.send(b"request")
    rep.recv()
    rep.send_multipart([b"one", b"two"])
    assert req.recv() == b"one"
    with expect_error(zmq, "EFSM"):
        req.send(b"too early")


def test_error_of_state_loses_nothing(zmq, couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, rep = couple
    req.send(b"request")
    with expect_error(zmq, "EFSM"):
        req.send(b"out of turn")
    expect(rep, b"request")
    with expect_error(zmq, "EFSM"):
        rep.recv()
    rep.send(b"reply")
    expect(req, b"reply")


def test_req_without_peer_refuses_to_send(zmq, sockets):
    """RFC 28 REQ: SHALL block on sending, or return a suitable error, when it has no connected peers."""
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.REQ).send(b"", zmq.DONTWAIT)


def test_req_that_failed_to_send_may_send_again(zmq, sockets, endpoint):
    """RFC 28 REQ: SHALL NOT discard messages that it cannot send to a connected peer."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    with expect_error(zmq, "EAGAIN"):
        req.send(b"too early", zmq.DONTWAIT)
    rep.bind(endpoint)
    req.connect(endpoint)
    req.send(b"in time")
    expect(rep, b"in time")


def test_rep_without_request_has_nothing(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.REP).recv(zmq.DONTWAIT)


def test_events_follow_the_states_of_req_and_rep(zmq, couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, rep = couple
    both = zmq.POLLIN | zmq.POLLOUT
    assert (req.poll(0, both), rep.poll(0, both)) == (zmq.POLLOUT, 0)
    req.send(b"request")
    assert rep.poll(5000, both) == zmq.POLLIN
    assert req.poll(0, both) == 0
    rep.recv()
    assert rep.poll(0, both) == zmq.POLLOUT
    rep.send(b"reply")
    assert req.poll(5000, both) == zmq.POLLIN
    assert rep.poll(0, both) == 0


# --- the conversation --------------------------------------------------------------------------------------


def test_req_and_rep_take_turns(couple):
    """RFC 28 REQ: SHALL send and then receive exactly one message at a time."""
    req, rep = couple
    for number in range(100):
        req.send(b"request %d" % number)
        expect(rep, b"request %d" % number)
        rep.send(b"reply %d" % number)
        expect(req, b"reply %d" % number)


@pytest.mark.parametrize("frames", [[b""], [b"", b""], [b"a", b"", b"b"], [b"x"] * 50], ids=len)
def test_request_and_reply_pass_unmodified(couple, frames):
    """RFC 28 REP: SHALL not filter or modify outgoing or incoming messages in any way."""
    req, rep = couple
    req.send_multipart(frames)
    expect(rep, *frames)
    rep.send_multipart(frames[::-1])
    expect(req, *frames[::-1])


def test_bound_req_may_ask_a_connected_rep(zmq, sockets, endpoint):
    """RFC 28 REQ: MAY be connected to any number of REP or ROUTER peers."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    req.bind(endpoint)
    rep.connect(endpoint)
    req.send(b"request")
    expect(rep, b"request")
    rep.send(b"reply")
    expect(req, b"reply")


def test_req_sends_its_request_when_the_rep_comes(zmq, sockets, endpoint):
    """RFC 28 REQ: SHALL NOT discard messages that it cannot send to a connected peer."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    req.connect(endpoint)
    req.send(b"request", zmq.DONTWAIT)
    rep.bind(endpoint)
    expect(rep, b"request")
    rep.send(b"reply")
    expect(req, b"reply")


def test_blocked_req_sends_when_a_peer_comes(zmq, sockets, endpoint, task):
    """RFC 28 REQ: SHALL block on sending, or return a suitable error, when it has no connected peers."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    req.bind(endpoint)
    sending = task(req.send, b"request")
    sending.wait_blocked()
    rep.connect(endpoint)
    sending.result()
    expect(rep, b"request")


# --- REQ on the wire ---------------------------------------------------------------------------------------


@pytest.fixture
def req_and_router(zmq, sockets, endpoint):
    """A function that gives a REQ with these options, connected to a bound ROUTER."""

    def build(**options):
        router, req = sockets(zmq.ROUTER), sockets(zmq.REQ, **options)
        router.bind(endpoint)
        req.connect(endpoint)
        return req, router

    return build


def test_req_prefixes_an_empty_delimiter(req_and_router):
    """RFC 28 REQ: SHALL prefix the outgoing message with an empty delimiter frame."""
    req, router = req_and_router()
    req.send_multipart([b"one", b"two"])
    _id, *frames = router.recv_multipart()
    assert frames == [b"", b"one", b"two"]


def test_req_takes_the_delimiter_off_the_reply(req_and_router):
    """RFC 28 REQ: one or more data frames, comprising the message visible to the application."""
    req, router = req_and_router()
    req.send(b"request")
    peer, *_ = router.recv_multipart()
    router.send_multipart([peer, b"", b"reply", b"", b"more"])
    expect(req, b"reply", b"", b"more")


def test_req_skips_a_reply_without_delimiter(zmq, sockets, inproc):
    """RFC 28 REQ: a delimiter, consisting of an empty frame, added by the REQ socket."""
    # inproc only: between processes such a peer has broken the protocol and loses its connection.
    router, req = sockets(zmq.ROUTER), sockets(zmq.REQ)
    router.bind(inproc)
    req.connect(inproc)
    req.send(b"request")
    peer, *_ = router.recv_multipart()
    router.send_multipart([peer, b"no delimiter", b"reply"])
    router.send_multipart([peer, b"", b"a proper reply"])
    expect(req, b"a proper reply")


def test_req_round_robin_out(zmq, sockets, endpoints):
    """RFC 28 REQ: SHALL route outgoing messages to connected peers using a round-robin strategy."""
    req = sockets(zmq.REQ)
    reps = [sockets(zmq.REP) for _ in range(3)]
    for rep, endpoint in zip(reps, endpoints(3), strict=True):
        rep.bind(endpoint)
        req.connect(endpoint)
    asked = []
    for _ in range(9):
        req.send(b"who?")
        rep = wait_until(lambda: next((each for each in reps if each.poll(0)), None), "a request at some REP")
        rep.recv()
        rep.send(b"me")
        expect(req, b"me")
        asked.append(reps.index(rep))
    assert sorted(asked[:3]) == [0, 1, 2]
    assert asked == asked[:3] * 3


def test_req_accepts_a_reply_only_from_the_peer_it_asked(zmq, sockets, endpoints):
    """RFC 28 REQ: SHALL accept an incoming message only from the last peer that it sent a request to."""
    req = sockets(zmq.REQ, identity=b"req")
    asked, stranger = (sockets(zmq.ROUTER, router_mandatory=1) for _ in range(2))
    for router, endpoint in zip((asked, stranger), endpoints(2), strict=True):
        router.bind(endpoint)
        req.connect(endpoint)
    req.send(b"to the first")
    expect(asked, b"req", b"", b"to the first")

    not_asked = [b"req", b"", b"not asked"]
    wait_until(
        lambda: not refused(zmq, "EHOSTUNREACH", stranger.send_multipart, not_asked),
        "the second ROUTER to know the REQ",
    )
    asked.send_multipart([b"req", b"", b"asked"])
    expect(req, b"asked")


def test_req_drops_a_stale_reply_before_it_asks_again(zmq, sockets, inproc, new_endpoint):
    """RFC 28 REQ: SHALL discard silently any messages received from other peers."""
    # inproc only: what was sent is there when the REQ looks.
    req = sockets(zmq.REQ, identity=b"req")
    first, second = sockets(zmq.ROUTER), sockets(zmq.ROUTER)
    for router, endpoint in ((first, inproc), (second, new_endpoint("inproc"))):
        router.bind(endpoint)
        req.connect(endpoint)
    req.send(b"one")
    expect(first, b"req", b"", b"one")
    second.poll(0)  # lets it learn the id of the REQ
    second.send_multipart([b"req", b"", b"not asked"])
    first.send_multipart([b"req", b"", b"reply one"])
    expect(req, b"reply one")
    req.send(b"two")
    expect(second, b"req", b"", b"two")
    second.send_multipart([b"req", b"", b"reply two"])
    expect(req, b"reply two")


def test_req_does_not_send_through_a_second_connect_to_the_same_endpoint(zmq, sockets, new_endpoint):
    # zmq_connect(3): for REQ a second connect to the same endpoint does nothing. On inproc it does something.
    req, one, other = sockets(zmq.REQ), sockets(zmq.REP), sockets(zmq.REP)
    first, second = new_endpoint("ipc"), new_endpoint("ipc")
    one.bind(first)
    other.bind(second)
    for endpoint in (first, first, second):
        req.connect(endpoint)
    asked = []
    for _ in range(4):
        req.send(b"")
        rep = wait_until(lambda: next((each for each in (one, other) if each.poll(0)), None), "a request")
        rep.recv()
        rep.send(b"")
        req.recv()
        asked.append(rep is one)
    assert sorted(asked) == [False, False, True, True]


# --- REQ_RELAXED and REQ_CORRELATE -------------------------------------------------------------------------


def test_relaxed_req_may_send_again_without_reply(req_and_router):
    """zmq_setsockopt(3) ZMQ_REQ_RELAXED: a request may follow a request."""
    req, router = req_and_router(req_relaxed=1, req_correlate=1)
    req.send(b"one")
    assert router.recv_multipart()[-1] == b"one"
    req.send(b"two")
    assert router.recv_multipart()[-1] == b"two"


def test_relaxed_req_still_cannot_receive_before_it_sent(zmq, req_and_router):
    req, _router = req_and_router(req_relaxed=1)
    with expect_error(zmq, "EFSM"):
        req.recv()


def test_correlating_req_puts_an_id_before_the_delimiter(req_and_router):
    """zmq_setsockopt(3) ZMQ_REQ_CORRELATE: (request id, empty frame, user frames)."""
    req, router = req_and_router(req_correlate=1)
    req.send(b"request")
    _peer, request_id, *frames = router.recv_multipart()
    assert len(request_id) == 4
    assert frames == [b"", b"request"]


def test_correlating_req_counts_its_requests(req_and_router):
    req, router = req_and_router(req_correlate=1)
    seen = set()
    for _ in range(3):
        req.send(b"request")
        message = router.recv_multipart()
        seen.add(message[1])
        router.send_multipart(message)
        req.recv()
    assert len(seen) == 3


def test_correlating_req_skips_a_reply_with_another_id(req_and_router):
    req, router = req_and_router(req_correlate=1)
    req.send(b"request")
    peer, request_id, *_ = router.recv_multipart()
    other_id = bytes([request_id[0] ^ 1]) + request_id[1:]
    router.send_multipart([peer, other_id, b"", b"to another request"])
    router.send_multipart([peer, request_id, b"", b"to this one"])
    expect(req, b"to this one")


def test_relaxed_correlating_req_drops_the_late_reply_to_an_abandoned_request(req_and_router):
    req, router = req_and_router(req_relaxed=1, req_correlate=1)
    req.send(b"abandoned")
    first = router.recv_multipart()
    req.send(b"current")
    second = router.recv_multipart()
    router.send_multipart([*first[:-1], b"late reply"])
    router.send_multipart([*second[:-1], b"current reply"])
    expect(req, b"current reply")


# --- REP on the wire ---------------------------------------------------------------------------------------


@pytest.fixture
def dealer_and_rep(zmq, sockets, endpoint):
    """A DEALER connected to a bound REP."""
    dealer, rep = sockets(zmq.DEALER), sockets(zmq.REP)
    rep.bind(endpoint)
    dealer.connect(endpoint)
    return dealer, rep


def test_rep_passes_only_the_data_frames(dealer_and_rep):
    """RFC 28 REP: SHALL pass the remaining data frames to its calling application."""
    dealer, rep = dealer_and_rep
    dealer.send_multipart([b"address", b"", b"data", b"", b"more data"])
    expect(rep, b"data", b"", b"more data")


@pytest.mark.parametrize("envelope", [[], [b"one"], [b"one", b"two", b"three"], [b"n"] * 20], ids=len)
def test_rep_gives_the_envelope_back(dealer_and_rep, envelope):
    """RFC 28 REP: SHALL prepend the address envelope and delimiter."""
    dealer, rep = dealer_and_rep
    dealer.send_multipart([*envelope, b"", b"request"])
    rep.recv()
    rep.send_multipart([b"reply", b"more"])
    expect(dealer, *envelope, b"", b"reply", b"more")


def test_reply_on_the_wire_is_a_delimiter_and_the_data(dealer_and_rep):
    """What a REQ would see of it.

    RFC 28 REP: a delimiter, consisting of an empty frame.
    RFC 28 REP: one or more data frames, comprising the message visible to the application.
    """
    dealer, rep = dealer_and_rep
    for data in ([b"one"], [b"one", b"", b"three"], [b""]):
        dealer.send_multipart([b"", *data])
        expect(rep, *data)
        rep.send_multipart(data)
        expect(dealer, b"", *data)


@pytest.mark.parametrize("malformed", [[b"no delimiter"], [b"one", b"two"]], ids=len)
def test_rep_skips_a_request_without_delimiter(dealer_and_rep, malformed):
    """RFC 28 REP: SHALL remove and store the address envelope, including the delimiter."""
    dealer, rep = dealer_and_rep
    dealer.send_multipart(malformed)
    dealer.send_multipart([b"", b"proper"])
    expect(rep, b"proper")


def test_rep_replies_to_the_peer_that_asked(zmq, sockets, endpoint):
    """RFC 28 REP: SHALL deliver this message back to the originating peer."""
    rep = sockets(zmq.REP)
    rep.bind(endpoint)
    reqs = [sockets(zmq.REQ) for _ in range(5)]
    for number, req in enumerate(reqs):
        req.connect(endpoint)
        req.send(b"%d" % number)
    for _ in reqs:
        rep.send(b"reply to " + rep.recv())
    for number, req in enumerate(reqs):
        expect(req, b"reply to %d" % number)


def test_rep_fair_queue_in(zmq, sockets, inproc):
    """RFC 28 REP: SHALL receive incoming messages from its peers using a fair-queuing strategy."""
    rep = sockets(zmq.REP)
    rep.bind(inproc)
    dealers = [sockets(zmq.DEALER) for _ in range(3)]
    for name, dealer in zip(b"abc", dealers, strict=True):
        dealer.connect(inproc)
        for _ in range(3):
            dealer.send_multipart([b"", bytes([name])])
    received = []
    for _ in range(9):
        received.append(rep.recv())
        rep.send(b"")
    assert [sorted(received[at : at + 3]) for at in (0, 3, 6)] == [[b"a", b"b", b"c"]] * 3


def test_rep_discards_a_reply_whose_peer_is_gone(zmq, sockets, dealer_and_rep, endpoint):
    """RFC 28 REP: SHALL silently discard the reply, or return an error, if the originating peer is [...]"""
    dealer, rep = dealer_and_rep
    dealer.send_multipart([b"", b"request"])
    rep.recv()
    dealer.close(linger=0)
    rep.send(b"reply")
    req = sockets(zmq.REQ)
    req.connect(endpoint)
    req.send(b"from another peer")
    expect(rep, b"from another peer")


def test_rep_does_not_block_on_a_peer_that_reads_nothing(zmq, sockets, inproc):
    """RFC 28 REP: SHALL not block on sending."""
    rep, dealer = sockets(zmq.REP, sndhwm=1, sndtimeo=-1), sockets(zmq.DEALER, rcvhwm=1, sndhwm=0)
    rep.bind(inproc)
    dealer.connect(inproc)
    for _ in range(10):
        dealer.send_multipart([b"", b"request"])
        rep.recv()
        rep.send(b"reply")


def test_dealer_may_send_many_requests_to_a_rep(dealer_and_rep):
    """RFC 28 REP: MAY be connected to any number of REQ or DEALER peers."""
    dealer, rep = dealer_and_rep
    for number in range(50):
        dealer.send_multipart([b"", b"%d" % number])
    for _ in range(50):
        rep.send(b"done " + rep.recv())
    for number in range(50):
        expect(dealer, b"", b"done %d" % number)


def test_request_travels_through_router_and_dealer(zmq, sockets, endpoints):
    """RFC 28 REP: an address envelope consisting of zero or more frames, each containing one identity."""
    front, back = endpoints(2)
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(front)
    dealer.bind(back)
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    req.connect(front)
    rep.connect(back)
    req.send(b"request")
    dealer.send_multipart(router.recv_multipart())
    expect(rep, b"request")
    rep.send(b"reply")
    router.send_multipart(dealer.recv_multipart())
    expect(req, b"reply")


def test_rep_answers_a_req_that_came_back(zmq, sockets, endpoint):
    rep = sockets(zmq.REP)
    rep.bind(endpoint)
    for number in range(5):
        req = sockets(zmq.REQ)
        req.connect(endpoint)
        req.send(b"%d" % number)
        expect(rep, b"%d" % number)
        rep.send(b"reply")
        expect(req, b"reply")
        req.close(linger=0)


def test_marry_leaves_req_and_rep_in_their_first_states(zmq, couple):
    """The kit's own promise, which other tests rely on."""
    req, rep = couple
    marry(req, rep)
    assert req.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT
    expect_nothing(rep)
