"""CONFLATE: a queue that holds the newest message and no other.

Source: zmq_setsockopt(3) ZMQ_CONFLATE, which tells of one message in each queue, the last one received or
the last one to be sent. It is per pipe, not per topic; high-water marks are ignored; PUSH, PULL, PUB, SUB
and DEALER have it. Messages of several parts are not supported: libzmq delivers the last part alone. So
nothing is said here of what becomes of such a message, only of those around it.

On ipc libzmq has three queues between two applications (each side's, and the kernel), so a receiver may see
a few older messages before the newest: what is certain is that numbers only grow and that the last one
arrives.
"""

from __future__ import annotations

import itertools

import pytest

from kit import expect, expect_error, expect_nothing, marry, tune_in, wait_until

LAST = 999

PATTERNS = [("PUSH", "PULL"), ("DEALER", "DEALER"), ("PUSH binds", "PULL"), ("DEALER binds", "DEALER")]


@pytest.fixture(params=PATTERNS, ids="-".join)
def flow(request, zmq, sockets, endpoint):
    """A function that gives a sender and a receiver with these options, which know each other."""

    def build(sender_options, receiver_options):
        first, second = request.param
        sender = sockets(getattr(zmq, first.removesuffix(" binds")), **sender_options)
        receiver = sockets(getattr(zmq, second), **receiver_options)
        binds, connects = (sender, receiver) if first.endswith(" binds") else (receiver, sender)
        binds.bind(endpoint)
        connects.connect(endpoint)
        marry(sender, receiver)
        return sender, receiver

    return build


def numbers_up_to_the_last(zmq, sender, receiver) -> list[int]:
    """Receive until the last number has come.

    libzmq may miss to wake a reader that falls asleep while a message takes another's place (seen with
    4.3.5), so on the oracle the last one is sent again when nothing comes.
    """
    numbers = []
    while not numbers or numbers[-1] != LAST:
        if zmq.__name__ == "zmq" and not receiver.poll(200):
            sender.send(b"%d" % LAST)
        numbers.append(int(receiver.recv()))
    return numbers


# --- what it is not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PUSH", "PULL", "PUB", "SUB", "DEALER"])
def test_conflate_is_off_unless_it_is_set(zmq, sockets, kind):
    socket = sockets(getattr(zmq, kind))
    assert socket.conflate == 0
    socket.conflate = 1
    assert socket.get(zmq.CONFLATE) == 1
    socket.conflate = 0
    assert socket.get(zmq.CONFLATE) == 0


@pytest.mark.parametrize("value", [-1, 2, 17])
def test_conflate_is_on_or_off(zmq, sockets, value):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PULL).set(zmq.CONFLATE, value)


@pytest.fixture
def pairs(zmq, sockets, endpoint):
    """Two PAIRs with the option set, which know each other."""
    one, other = sockets(zmq.PAIR, conflate=1), sockets(zmq.PAIR, conflate=1)
    other.bind(endpoint)
    one.connect(endpoint)
    marry(one, other)
    return one, other


def test_pair_does_not_conflate(pairs):
    """zmq_setsockopt(3) ZMQ_CONFLATE: its socket types are PULL, PUSH, SUB, PUB and DEALER."""
    one, other = pairs
    for number in range(100):
        one.send(b"%d" % number)
    for number in range(100):
        expect(other, b"%d" % number)


def test_request_and_reply_do_not_conflate(zmq, sockets, endpoint):
    rep = sockets(zmq.REP, conflate=1)
    rep.bind(endpoint)
    reqs = [sockets(zmq.REQ, conflate=1) for _ in range(3)]
    for number, req in enumerate(reqs):
        req.connect(endpoint)
        req.send_multipart([b"%d" % number, b"body"])
    for _ in reqs:
        rep.send_multipart(rep.recv_multipart())
    for number, req in enumerate(reqs):
        expect(req, b"%d" % number, b"body")


def test_conflate_set_after_connect_changes_nothing(zmq, sockets, endpoint):
    """zmq_setsockopt(3): all options only take effect for subsequent bind/connects, with exceptions."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    push.conflate = 1
    pull.conflate = 1
    for number in range(100):
        push.send(b"%d" % number)
    for number in range(100):
        expect(pull, b"%d" % number)


# --- what it is --------------------------------------------------------------------------------------------


def test_last_message_arrives_and_numbers_only_grow(zmq, flow):
    sender, receiver = flow({"conflate": 1}, {"conflate": 1})
    for number in range(LAST + 1):
        sender.send(b"%d" % number)
    numbers = numbers_up_to_the_last(zmq, sender, receiver)
    assert numbers == sorted(set(numbers))
    expect_nothing(receiver)


def test_receiver_that_sleeps_finds_only_the_newest(zmq, sockets, inproc):
    # inproc only: there is one queue, so there is exactly one message in it.
    push, pull = sockets(zmq.PUSH, conflate=1), sockets(zmq.PULL, conflate=1)
    pull.bind(inproc)
    push.connect(inproc)
    for number in range(LAST + 1):
        push.send(b"%d" % number)
    expect(pull, b"%d" % LAST)
    expect_nothing(pull)


def test_sender_never_waits(zmq, flow):
    """zmq_setsockopt(3) ZMQ_CONFLATE: ignores ZMQ_RCVHWM and ZMQ_SNDHWM options."""
    sender, receiver = flow({"conflate": 1, "sndhwm": 1}, {"conflate": 1, "rcvhwm": 1})
    for number in range(LAST + 1):
        assert sender.poll(0, zmq.POLLOUT)
        sender.send(b"%d" % number, zmq.DONTWAIT)
    numbers = numbers_up_to_the_last(zmq, sender, receiver)
    assert numbers == sorted(set(numbers))


def test_newest_message_is_read_once(zmq, flow):
    sender, receiver = flow({"conflate": 1}, {"conflate": 1})
    for number in range(20):
        sender.send(b"%d" % number)
        expect(receiver, b"%d" % number)
        with expect_error(zmq, "EAGAIN"):
            receiver.recv(zmq.DONTWAIT)
        assert receiver.poll(0) == 0


def test_blocked_receiver_wakes_for_the_newest(flow, task):
    sender, receiver = flow({"conflate": 1}, {"conflate": 1})
    for number in range(3):
        receiving = task(receiver.recv)
        receiving.wait_blocked()
        sender.send(b"%d" % number)
        assert receiving.result() == b"%d" % number


def test_large_messages_conflate_like_small_ones(flow):
    sender, receiver = flow({"conflate": 1}, {"conflate": 1})
    for number in range(30):
        sender.send(b"%d " % number + bytes(300_000))
    seen = []
    while not seen or seen[-1] != 29:
        head, _, body = receiver.recv().partition(b" ")
        assert body == bytes(300_000)
        seen.append(int(head))
    assert seen == sorted(set(seen))


def test_messages_without_a_copy_conflate_too(zmq, flow):
    sender, receiver = flow({"conflate": 1}, {"conflate": 1})
    for number in range(LAST + 1):
        sender.send(b"%d" % number, copy=False)
    numbers = numbers_up_to_the_last(zmq, sender, receiver)
    assert numbers == sorted(set(numbers))


def test_receiver_may_conflate_alone(zmq, sockets, ipc):
    # ipc only: on inproc libzmq has one queue, and the side that connects says what it is.
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL, conflate=1)
    pull.bind(ipc)
    push.connect(ipc)
    for number in range(LAST + 1):
        push.send(b"%d" % number)
    numbers = numbers_up_to_the_last(zmq, push, pull)
    assert numbers == sorted(set(numbers))
    expect_nothing(pull)


def test_sender_may_conflate_alone(zmq, flow):
    sender, receiver = flow({"conflate": 1, "sndhwm": 1}, {})
    for number in range(LAST + 1):
        sender.send(b"%d" % number)
    numbers = numbers_up_to_the_last(zmq, sender, receiver)
    assert numbers == sorted(set(numbers))


def test_each_peer_has_its_own_newest_message(zmq, sockets, inproc):
    """It is per pipe: a PULL of three senders has three newest messages."""
    pull = sockets(zmq.PULL, conflate=1)
    pull.bind(inproc)
    pushes = [sockets(zmq.PUSH, conflate=1) for _ in range(3)]
    for push in pushes:
        push.connect(inproc)
    for number in range(100):
        for name, push in enumerate(pushes):
            push.send(b"%d %d" % (name, number))
    assert sorted(pull.recv() for _ in pushes) == [b"0 99", b"1 99", b"2 99"]
    expect_nothing(pull)


def test_newest_message_waits_for_the_binder(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH, conflate=1), sockets(zmq.PULL)
    push.connect(ipc)
    for number in range(LAST + 1):
        push.send(b"%d" % number, zmq.DONTWAIT)
    pull.bind(ipc)
    expect(pull, b"%d" % LAST)
    expect_nothing(pull)


def test_message_of_several_parts_does_no_harm_to_the_next(flow):
    """What arrives of it is not said; that the next one arrives whole is."""
    sender, receiver = flow({"conflate": 1}, {"conflate": 1})
    for number in range(50):
        sender.send_multipart([b"part", b"part", b"%d" % number])
    sender.send(b"single")

    def single_has_come():
        return receiver.poll(20) and receiver.recv_multipart() == [b"single"]

    wait_until(single_has_come, "the message after those of several parts")
    expect_nothing(receiver)


# --- published ---------------------------------------------------------------------------------------------


def test_subscriber_hears_the_newest(zmq, sockets, endpoint):
    pub, sub = sockets(zmq.PUB, conflate=1), sockets(zmq.SUB, conflate=1)
    sub.bind(endpoint)
    sub.subscribe(b"")
    pub.connect(endpoint)
    numbers = itertools.count()

    def heard():
        pub.send(b"-%d" % next(numbers))
        return sub.poll(5)

    wait_until(heard, "the SUB to hear anything")
    for number in range(LAST + 1):
        pub.send(b"%d" % number)
    seen = [number for number in numbers_up_to_the_last(zmq, pub, sub) if number > 0]
    assert seen == sorted(set(seen))
    expect_nothing(sub)


def test_published_newest_is_of_all_topics_and_not_of_each(zmq, sockets, inproc):
    """It is per pipe and not per topic: a message of one topic takes the place of another's."""
    pub, sub = sockets(zmq.PUB, conflate=1), sockets(zmq.SUB, conflate=1)
    sub.bind(inproc)
    sub.subscribe(b"")
    pub.connect(inproc)
    sub.poll(0)  # here libzmq's SUB notices its peer and tells it of the subscription,
    pub.poll(0)  # which the PUB notices here
    pub.send(b"a 1")
    pub.send(b"b 1")
    expect(sub, b"b 1")
    expect_nothing(sub)


SUBSCRIPTIONS_ARE_STATE = pytest.mark.shmzmq_only(
    "libzmq conflates subscriptions too: only the last one arrives"
)


@pytest.fixture
def station(zmq, sockets, endpoint):
    """A function that gives a PUB and a SUB that conflate and are tuned in to these topics."""

    def build(*topics):
        pub, sub = sockets(zmq.PUB, conflate=1), sockets(zmq.SUB, conflate=1)
        sub.bind(endpoint)
        for topic in topics:
            sub.subscribe(topic)
        pub.connect(endpoint)
        tune_in(pub, sub)
        return pub, sub

    return build


@SUBSCRIPTIONS_ARE_STATE
def test_unwanted_message_does_not_take_the_place_of_a_wanted_one(station):
    pub, sub = station(b"wanted")
    pub.send(b"wanted")
    for _ in range(50):
        pub.send(b"unwanted")
    expect(sub, b"wanted")


@SUBSCRIPTIONS_ARE_STATE
def test_subscriptions_do_not_conflate(station):
    topics = [b"topic %d." % number for number in range(50)]
    pub, sub = station(*topics)
    for topic in topics:
        pub.send(topic)
        expect(sub, topic)
