"""PUB and SUB, and what XPUB and XSUB share with them, by RFC 29: said once, heard by whoever asked for it.

Most sentences of the RFC are the same for two types, so most tests run for both, on every transport:
`publisher` is a PUB or an XPUB, `subscriber` a SUB or an XSUB (see `conftest.py`). Nobody sleeps until a
subscription has arrived: `tune_in` publishes probes until they are heard, or an XPUB tells. That something is
NOT heard is shown by a later message of the same publisher, the fence, that comes next.
"""

from __future__ import annotations

import itertools

import pytest

from kit import (
    CAP,
    drain,
    expect,
    expect_error,
    expect_nothing,
    subscribe,
    tune_in,
    unsubscribe,
    wait_readable,
    wait_until,
)


def publish_until_heard(publisher, subscriber, *frames, cap=CAP):
    """Publish until the subscriber has heard it once; what it hears besides is dropped."""

    def heard():
        publisher.send_multipart(list(frames))
        while subscriber.poll(20):
            if subscriber.recv_multipart() == list(frames):
                return True
        return False

    wait_until(heard, f"{subscriber!r} to hear {frames!r:.80}", cap)


# --- PUB: what it cannot do --------------------------------------------------------------------------------


def test_pub_cannot_receive(zmq, sockets):
    """RFC 29 PUB: MAY be connected to any number of SUB or XSUB subscribers, and SHALL only send messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.PUB).recv(zmq.DONTWAIT)


def test_pub_cannot_receive_even_when_it_would_wait(zmq, sockets, endpoint):
    """RFC 29 PUB: MAY be connected to any number of SUB or XSUB subscribers, and SHALL only send messages."""
    pub = sockets(zmq.PUB, rcvtimeo=-1)
    pub.bind(endpoint)
    with expect_error(zmq, "ENOTSUP"):
        pub.recv()


def test_pub_never_polls_readable(zmq, sockets, endpoint):
    """RFC 29 PUB: SHALL NOT deliver these commands to its calling application."""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(endpoint)
    sub.connect(endpoint)
    sub.subscribe(b"topic")
    tune_in(pub, sub)
    assert pub.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT
    with expect_error(zmq, "ENOTSUP"):
        pub.recv(zmq.DONTWAIT)


def test_pub_discards_what_subscribers_send(zmq, sockets, endpoint):
    """RFC 29 PUB: SHALL silently discard any messages that subscribers send it."""
    pub, xsub = sockets(zmq.PUB), sockets(zmq.XSUB)
    pub.bind(endpoint)
    xsub.connect(endpoint)
    for number in range(50):
        xsub.send_multipart([b"listen to me %d" % number, b"please"])
    subscribe(xsub, b"")
    tune_in(pub, xsub)
    assert pub.poll(0, zmq.POLLIN) == 0
    pub.send(b"unimpressed")
    expect(xsub, b"unimpressed")


@pytest.mark.parametrize("option", ["SUBSCRIBE", "UNSUBSCRIBE"])
@pytest.mark.parametrize(
    "kind", ["PUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR", "REQ", "REP", "DEALER", "ROUTER"]
)
def test_only_sub_has_the_option_subscribe(zmq, sockets, kind, option):
    """zmq_setsockopt(3) ZMQ_SUBSCRIBE: applicable socket types: ZMQ_SUB."""
    with expect_error(zmq, "EINVAL"):
        sockets(getattr(zmq, kind)).setsockopt(getattr(zmq, option), b"topic")


@pytest.mark.parametrize("kind", ["PUB", "XPUB", "XSUB", "PUSH", "DEALER"])
def test_only_sub_has_the_methods(zmq, sockets, kind):
    socket = sockets(getattr(zmq, kind))
    with expect_error(zmq, "EINVAL"):
        socket.subscribe(b"topic")
    with expect_error(zmq, "EINVAL"):
        socket.unsubscribe(b"topic")


# --- SUB: what it cannot do --------------------------------------------------------------------------------


def test_sub_cannot_send(zmq, sockets):
    """RFC 29 SUB: [...] to any number of PUB or XPUB publishers, and SHALL only receive messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.SUB).send(b"", zmq.DONTWAIT)


def test_sub_cannot_send_even_when_it_would_wait(zmq, sockets, endpoint):
    """RFC 29 SUB: [...] to any number of PUB or XPUB publishers, and SHALL only receive messages."""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB, sndtimeo=-1)
    pub.bind(endpoint)
    sub.connect(endpoint)
    with expect_error(zmq, "ENOTSUP"):
        sub.send(b"")


def test_sub_cannot_subscribe_by_a_message(zmq, sockets):
    """RFC 29 SUB: [...] to any number of PUB or XPUB publishers, and SHALL only receive messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.SUB).send(b"\x01topic", zmq.DONTWAIT)


def test_sub_never_polls_writable(zmq, sockets, endpoint):
    """RFC 29 SUB: [...] to any number of PUB or XPUB publishers, and SHALL only receive messages."""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(endpoint)
    sub.connect(endpoint)
    sub.subscribe(b"")
    tune_in(pub, sub)
    pub.send(b"news")
    assert sub.poll(5000, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN


def test_sub_alone_has_nothing(zmq, sockets, subscriber_type):
    with expect_error(zmq, "EAGAIN"):
        sockets(subscriber_type).recv(zmq.DONTWAIT)


def test_sub_alone_has_no_events(zmq, sockets):
    assert sockets(zmq.SUB).poll(0, zmq.POLLIN | zmq.POLLOUT) == 0


def test_sub_without_subscription_hears_nothing(zmq, sockets, endpoint):
    """RFC 29 SUB: MAY, depending on the transport, filter messages according to subscriptions, using [...]"""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(endpoint)
    sub.connect(endpoint)
    tune_in(pub, sub)  # which ends with no subscription
    for number in range(10):
        pub.send(b"unheard %d" % number)
    tune_in(pub, sub)  # fails if the socket holds anything else
    expect_nothing(sub)


# --- messages pass as they are -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames", [[b""], [b"", b""], [b"a", b"", b"\x00\xff" * 300], [b"x" * 100_000] * 3, [b"f"] * 300], ids=len
)
def test_messages_pass_unmodified(air, frames):
    """Both sides of it.

    RFC 29 PUB, XPUB: SHALL not modify outgoing messages in any way.
    RFC 29 SUB, XSUB: SHALL not modify incoming messages in any way.
    """
    publisher, subscriber = air([b""])
    publisher.send_multipart(frames)
    expect(subscriber, *frames)


@pytest.mark.parametrize("first", [b"\x00topic", b"\x01topic", b"\x00", b"\x01"])
def test_published_message_that_looks_like_a_subscription_is_just_a_message(air, first):
    """RFC 29 PUB, XPUB: SHALL not modify outgoing messages in any way."""
    publisher, subscriber = air([b""])
    publisher.send_multipart([first, b"body"])
    expect(subscriber, first, b"body")


def test_messages_of_one_publisher_keep_their_order(air):
    """RFC 29 SUB, XSUB: SHALL deliver messages to its calling application."""
    publisher, subscriber = air([b""])
    for number in range(900):
        publisher.send(b"%d" % number)
    assert [subscriber.recv() for _ in range(900)] == [b"%d" % number for number in range(900)]


def test_every_subscriber_gets_its_own_copy(air):
    """RFC 29 PUB, XPUB: SHALL maintain a queue for each connected subscriber."""
    publisher, *subscribers = air(*[[b""]] * 5)
    for number in range(100):
        publisher.send_multipart([b"%d" % number, b"body"])
    for subscriber in subscribers:
        for number in range(100):
            expect(subscriber, b"%d" % number, b"body")


def test_frames_may_be_published_one_by_one(zmq, air):
    publisher, subscriber = air([b"topic"])
    publisher.send(b"topic", zmq.SNDMORE)
    publisher.send(b"body", zmq.SNDMORE)
    expect_nothing(subscriber)
    publisher.send(b"end")
    expect(subscriber, b"topic", b"body", b"end")


def test_frames_of_an_unwanted_message_are_all_dropped(zmq, air):
    publisher, subscriber = air([b"topic"])
    publisher.send(b"other", zmq.SNDMORE)
    publisher.send(b"topic", zmq.SNDMORE)
    publisher.send(b"topic")
    publisher.send(b"topic")
    expect(subscriber, b"topic")
    expect_nothing(subscriber)


def test_frames_without_a_copy_reach_every_subscriber(zmq, air):
    publisher, *subscribers = air(*[[b""]] * 3)
    body = b"large" * 50_000
    publisher.send_multipart([b"topic", body], copy=False)
    for subscriber in subscribers:
        topic, frame = subscriber.recv_multipart(copy=False)
        assert (topic.bytes, frame.bytes) == (b"topic", body)


# --- bind and connect in any order -------------------------------------------------------------------------


@pytest.mark.parametrize("subscribes", ["first", "last"])
@pytest.mark.parametrize("first", ["bind", "connect"])
@pytest.mark.parametrize("binder", ["publisher", "subscriber"])
def test_order_of_bind_connect_and_subscribe_is_free(
    sockets, endpoint, publisher_type, subscriber_type, binder, first, subscribes
):
    """RFC 29 SUB, XSUB: SHALL create a queue when initiating an outgoing connection to a [...]"""
    publisher, subscriber = sockets(publisher_type), sockets(subscriber_type)
    binds, connects = (publisher, subscriber) if binder == "publisher" else (subscriber, publisher)
    if subscribes == "first":
        subscribe(subscriber, b"topic")
    if first == "bind":
        binds.bind(endpoint)
        connects.connect(endpoint)
    else:
        connects.connect(endpoint)
        binds.bind(endpoint)
    if subscribes == "last":
        subscribe(subscriber, b"topic")
    tune_in(publisher, subscriber)
    publisher.send(b"other")
    publisher.send(b"topic and more")
    expect(subscriber, b"topic and more")


def test_publisher_that_connects_serves_a_subscriber_that_binds_later(
    sockets, endpoint, publisher_type, subscriber_type
):
    """RFC 29 PUB, XPUB: SHALL create a queue when initiating an outgoing connection to a subscriber [...]"""
    publisher, subscriber = sockets(publisher_type), sockets(subscriber_type)
    publisher.connect(endpoint)
    for _ in range(10):
        publisher.send(b"nobody asked for this")
    subscribe(subscriber, b"")
    subscriber.bind(endpoint)
    tune_in(publisher, subscriber)
    publisher.send(b"news")
    expect(subscriber, b"news")


def test_publisher_takes_a_subscriber_that_comes_later(sockets, endpoint, air, subscriber_type):
    """RFC 29 PUB, XPUB: SHALL create a queue when a subscriber connects to it. [...]"""
    publisher, first = air([b""])
    late = sockets(subscriber_type)
    late.connect(endpoint)
    subscribe(late, b"")
    tune_in(publisher, first, late)
    publisher.send(b"to both")
    expect(first, b"to both")
    expect(late, b"to both")


def test_subscriber_that_binds_takes_publishers_that_come_later(
    sockets, endpoint, publisher_type, subscriber_type
):
    """RFC 29 SUB, XSUB: SHALL create a queue when a publisher connects to it. [...]"""
    subscriber = sockets(subscriber_type)
    subscriber.bind(endpoint)
    subscribe(subscriber, b"")
    for name in (b"first", b"second", b"third"):
        publisher = sockets(publisher_type)
        publisher.connect(endpoint)
        tune_in(publisher, subscriber)
        publisher.send(name)
        expect(subscriber, name)


def test_topic_subscribed_after_connect_is_known_to_all_publishers(zmq, sockets, endpoints, subscriber_type):
    subscriber = sockets(subscriber_type)
    xpubs = [sockets(zmq.XPUB) for _ in range(3)]
    for xpub, endpoint in zip(xpubs, endpoints(3), strict=True):
        xpub.bind(endpoint)
        subscriber.connect(endpoint)
    subscribe(subscriber, b"topic")
    for xpub in xpubs:
        expect(xpub, b"\x01topic")
    unsubscribe(subscriber, b"topic")
    for xpub in xpubs:
        expect(xpub, b"\x00topic")


def test_message_published_before_the_subscription_is_lost(zmq, sockets, endpoint):
    pub, sub = sockets(zmq.XPUB), sockets(zmq.SUB)
    pub.bind(endpoint)
    sub.connect(endpoint)
    pub.send(b"too early")
    sub.subscribe(b"")
    expect(pub, b"\x01")
    pub.send(b"in time")
    expect(sub, b"in time")


def test_second_connect_of_a_sub_to_the_same_endpoint_does_nothing(zmq, sockets, ipc):
    # zmq_connect(3): for SUB and PUB a second connect to the same endpoint does nothing (on inproc it does).
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(ipc)
    sub.connect(ipc)
    sub.connect(ipc)
    sub.subscribe(b"")
    tune_in(pub, sub)
    pub.send(b"once")
    pub.send(b"fence")
    expect(sub, b"once")
    expect(sub, b"fence")


# --- several publishers ------------------------------------------------------------------------------------


def test_subscriber_hears_its_publishers_in_turn(sockets, inproc, publisher_type, subscriber_type):
    """RFC 29 SUB, XSUB: SHALL receive incoming messages from its publishers using a fair-queuing strategy."""
    # On inproc what was sent is there; elsewhere nobody can say that all queues hold something.
    subscriber = sockets(subscriber_type)
    subscriber.bind(inproc)
    subscribe(subscriber, b"")
    publishers = [sockets(publisher_type) for _ in range(3)]
    for publisher in publishers:
        publisher.connect(inproc)
        tune_in(publisher, subscriber)
    for name, publisher in zip(b"abc", publishers, strict=True):
        for _ in range(4):
            publisher.send_multipart([bytes([name]), b"body"])
    assert subscriber.poll(0)  # libzmq notices here that all three hold something
    rounds = [sorted(subscriber.recv_multipart()[0] for _ in range(3)) for _ in range(4)]
    assert rounds == [[b"a", b"b", b"c"]] * 4


def test_subscriber_of_many_publishers_gets_everything_of_each_in_order(
    sockets, endpoints, publisher_type, subscriber_type
):
    """RFC 29 SUB, XSUB: SHALL maintain a queue for each connected publisher."""
    subscriber = sockets(subscriber_type)
    publishers = [sockets(publisher_type) for _ in range(4)]
    subscribe(subscriber, b"")
    for publisher, endpoint in zip(publishers, endpoints(4), strict=True):
        publisher.bind(endpoint)
        subscriber.connect(endpoint)
        tune_in(publisher, subscriber)
    for number, (name, publisher) in itertools.product(range(100), enumerate(publishers)):
        publisher.send(b"%d %d" % (name, number))
    heard = [tuple(map(int, subscriber.recv().split())) for _ in range(400)]
    for name in range(4):
        assert [number for sender, number in heard if sender == name] == list(range(100))


def test_quiet_publisher_is_heard_beside_a_busy_one(sockets, endpoints, publisher_type, subscriber_type):
    """RFC 29 SUB, XSUB: SHALL receive incoming messages from its publishers using a fair-queuing strategy."""
    subscriber, busy, quiet = sockets(subscriber_type), sockets(publisher_type), sockets(publisher_type)
    subscribe(subscriber, b"")
    for publisher, endpoint in zip((busy, quiet), endpoints(2), strict=True):
        publisher.bind(endpoint)
        subscriber.connect(endpoint)
        tune_in(publisher, subscriber)
    for _ in range(500):
        busy.send(b"noise")
    quiet.send(b"whisper")

    def heard():
        busy.send(b"noise")  # the busy queue never runs dry
        return subscriber.recv() == b"whisper"

    wait_until(heard, "the quiet publisher's message among the busy one's")


# --- slow subscribers --------------------------------------------------------------------------------------


def test_publisher_drops_for_a_full_subscriber(sockets, inproc, publisher_type, subscriber_type):
    """RFC 29 PUB, XPUB: SHALL silently drop the message if the queue for a subscriber is full."""
    publisher, subscriber = sockets(publisher_type, sndhwm=3), sockets(subscriber_type, rcvhwm=3)
    publisher.bind(inproc)
    subscriber.connect(inproc)
    subscribe(subscriber, b"")
    publisher.poll(0)
    for number in range(100):
        publisher.send(b"%d" % number)
    assert [subscriber.recv() for _ in range(6)] == [b"%d" % number for number in range(6)]
    expect_nothing(subscriber)


def test_publisher_serves_again_who_was_full(sockets, inproc, publisher_type, subscriber_type):
    """RFC 29 PUB, XPUB: SHALL silently drop the message if the queue for a subscriber is full."""
    publisher, subscriber = sockets(publisher_type, sndhwm=3), sockets(subscriber_type, rcvhwm=3)
    publisher.bind(inproc)
    subscriber.connect(inproc)
    subscribe(subscriber, b"")
    publisher.poll(0)
    for number in range(100):
        publisher.send(b"%d" % number)
    for _ in range(6):
        subscriber.recv()
    publish_until_heard(publisher, subscriber, b"again")


def test_full_subscriber_does_not_hold_up_the_others(zmq, sockets, inproc, publisher_type, subscriber_type):
    """RFC 29 PUB, XPUB: SHALL NOT block on sending."""
    publisher = sockets(publisher_type, sndhwm=1, sndtimeo=-1)
    slow, quick = sockets(subscriber_type, rcvhwm=1), sockets(subscriber_type, rcvhwm=0)
    publisher.bind(inproc)
    for subscriber in (slow, quick):
        subscriber.connect(inproc)
        subscribe(subscriber, b"")
    publisher.poll(0)
    for number in range(200):
        publisher.send(b"%d" % number)
        expect(quick, b"%d" % number)
    assert publisher.poll(0, zmq.POLLOUT) == zmq.POLLOUT


def test_frame_by_frame_drop_takes_the_whole_message(zmq, sockets, inproc, publisher_type, subscriber_type):
    """RFC 29 PUB, XPUB: SHALL silently drop the message if the queue for a subscriber is full."""
    publisher, subscriber = sockets(publisher_type, sndhwm=2), sockets(subscriber_type, rcvhwm=2)
    publisher.bind(inproc)
    subscriber.connect(inproc)
    subscribe(subscriber, b"")
    publisher.poll(0)
    for number in range(50):
        publisher.send_multipart([b"%d" % number] * 7)
    heard = drain(subscriber, zmq.DONTWAIT)
    assert heard
    assert heard == [[b"%d" % number] * 7 for number in range(len(heard))]


@pytest.mark.slow
def test_slow_subscriber_loses_whole_messages_and_only_those(air):
    """RFC 29 PUB, XPUB: SHALL silently drop the message if the queue for a subscriber is full.

    RFC 29 SUB, XSUB: SHALL silently discard messages if the queue for a publisher is full.
    """
    publisher, subscriber = air(
        [b""], publisher_options={"sndhwm": 10, "sndtimeo": -1}, subscriber_options={"rcvhwm": 10}
    )
    count = 5000
    for number in range(count):
        publisher.send_multipart([b"%d" % number] + [b"%d" % number * 100] * 3)
    heard = []

    def fence_heard():
        publisher.send(b"fence")
        while subscriber.poll(20):
            frames = subscriber.recv_multipart()
            if frames == [b"fence"]:
                return True
            heard.append(frames)
        return False

    wait_until(fence_heard, "a message published after the flood")
    numbers = [int(frames[0]) for frames in heard]
    assert 0 < len(numbers) < count
    assert numbers == sorted(set(numbers))
    for number, frames in zip(numbers, heard, strict=True):
        assert frames[1:] == [b"%d" % number * 100] * 3


def test_subscriber_that_reads_loses_nothing(air):
    """RFC 29 PUB, XPUB: SHOULD constrain queue sizes to a runtime-configurable limit."""
    publisher, subscriber = air([b""], publisher_options={"sndhwm": 10}, subscriber_options={"rcvhwm": 10})
    for number in range(500):
        publisher.poll(0)  # libzmq notices here that there is room again
        publisher.send_multipart([b"%d" % number, b"body"])
        expect(subscriber, b"%d" % number, b"body")


def test_subscriber_without_limit_loses_nothing(air):
    """RFC 29 SUB, XSUB: SHOULD constrain queue sizes to a runtime-configurable limit."""
    publisher, subscriber = air([b""], publisher_options={"sndhwm": 0}, subscriber_options={"rcvhwm": 0})
    for number in range(5000):
        publisher.send(b"%d" % number)
    assert [subscriber.recv() for _ in range(5000)] == [b"%d" % number for number in range(5000)]


def test_message_too_many_is_not_even_kept_for_later(zmq, sockets, inproc):
    """RFC 29 PUB: SHALL silently drop the message if the queue for a subscriber is full."""
    pub, sub = sockets(zmq.PUB, sndhwm=1), sockets(zmq.SUB, rcvhwm=1)
    pub.bind(inproc)
    sub.connect(inproc)
    sub.subscribe(b"")
    pub.poll(0)
    for number in range(10):
        pub.send(b"%d" % number)
    assert drain(sub, zmq.DONTWAIT) == [[b"0"], [b"1"]]
    wait_until(lambda: not sub.poll(0), "nothing more to come")
    publish_until_heard(pub, sub, b"next")


# --- death and return --------------------------------------------------------------------------------------


def test_subscriber_that_left_is_forgotten(sockets, endpoint, air, subscriber_type):
    """RFC 29 PUB, XPUB: [...] If this subscriber disconnects, [it] SHALL destroy its queue [...]"""
    publisher, stays, leaves = air([b""], [b""])
    publisher.send(b"to both")
    leaves.close(linger=0)
    expect(stays, b"to both")
    for number in range(100):
        publisher.send(b"%d" % number)
        expect(stays, b"%d" % number)


def test_successor_of_a_subscriber_hears_only_what_it_asked_for(sockets, endpoint, air, subscriber_type):
    """RFC 29 PUB, XPUB: [...] SHALL destroy its queue and SHALL discard any messages it contains."""
    publisher, first = air([b"", b"old"])
    for number in range(20):
        publisher.send(b"old %d" % number)
    first.close(linger=0)
    second = sockets(subscriber_type)
    second.connect(endpoint)
    subscribe(second, b"new")
    tune_in(publisher, second)  # fails if it holds anything of the first one's
    publisher.send(b"old")
    publisher.send(b"new")
    expect(second, b"new")


def test_what_a_publisher_sent_before_it_closed_is_heard(zmq, air):
    """RFC 29 SUB, XSUB: SHALL deliver messages to its calling application."""
    publisher, subscriber = air([b""])
    for number in range(100):
        publisher.send(b"%d" % number)
    publisher.close(linger=-1)
    assert [subscriber.recv() for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_subscriber_whose_publisher_left_goes_on_with_the_others(
    sockets, endpoints, publisher_type, subscriber_type
):
    """RFC 29 SUB, XSUB: [...] If this publisher disconnects, [it] SHALL destroy its queue [...]"""
    subscriber, leaves, stays = sockets(subscriber_type), sockets(publisher_type), sockets(publisher_type)
    first, second = endpoints(2)
    subscribe(subscriber, b"")
    for publisher, endpoint in ((leaves, first), (stays, second)):
        publisher.bind(endpoint)
        subscriber.connect(endpoint)
        tune_in(publisher, subscriber)
    leaves.close(linger=0)
    for number in range(50):
        stays.send(b"%d" % number)
        expect(subscriber, b"%d" % number)


def test_subscriptions_are_sent_again_when_the_publisher_comes_back(zmq, sockets, ipc, subscriber_type):
    """RFC 29 SUB, XSUB: SHALL maintain the queue whether or not the connection is established."""
    # ipc only: on inproc a binder that closes takes the connection with it for good.
    first, subscriber = sockets(zmq.XPUB), sockets(subscriber_type, reconnect_ivl=10)
    first.bind(ipc)
    subscriber.connect(ipc)
    for topic in (b"a", b"b", b"gone"):
        subscribe(subscriber, topic)
    unsubscribe(subscriber, b"gone")
    assert [first.recv() for _ in range(4)] == [b"\x01a", b"\x01b", b"\x01gone", b"\x00gone"]
    first.close(linger=0)
    second = sockets(zmq.XPUB)
    second.bind(ipc)
    wait_readable(zmq, second, subscriber)
    assert sorted(second.recv() for _ in range(2)) == [b"\x01a", b"\x01b"]
    expect_nothing(second)
    second.send(b"gone")
    second.send(b"b again")
    expect(subscriber, b"b again")


def test_topics_that_change_while_the_publisher_is_away_are_sent_when_it_is_back(
    zmq, sockets, ipc, subscriber_type
):
    first, subscriber = sockets(zmq.XPUB), sockets(subscriber_type, reconnect_ivl=10)
    first.bind(ipc)
    subscriber.connect(ipc)
    for topic in (b"kept", b"given up"):
        subscribe(subscriber, topic)
        expect(first, b"\x01" + topic)
    first.close(linger=0)
    unsubscribe(subscriber, b"given up")
    subscribe(subscriber, b"new")
    second = sockets(zmq.XPUB)
    second.bind(ipc)
    wait_readable(zmq, second, subscriber)
    heard = set()
    while not heard >= {b"\x01kept", b"\x01new"}:
        heard.add(second.recv())
    for message in (b"given up", b"kept", b"new"):
        second.send(message)
    received = [subscriber.recv() for _ in range(2)]
    assert received[-1] == b"new"


def test_publisher_that_connects_finds_its_subscriber_again(zmq, sockets, ipc, publisher_type):
    """RFC 29 PUB, XPUB: SHALL maintain the queue whether or not the connection is established."""
    publisher, first = sockets(publisher_type, reconnect_ivl=10), sockets(zmq.SUB)
    first.bind(ipc)
    publisher.connect(ipc)
    first.subscribe(b"old")
    tune_in(publisher, first)
    first.close(linger=0)
    second = sockets(zmq.SUB)
    second.subscribe(b"new")
    second.bind(ipc)
    publish_until_heard(publisher, second, b"new")


def publish_for_ever(zmq, link, endpoint, name):
    """A child whose PUB says its name on two topics until it is told to stop."""
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.bind(endpoint)
        link.tell("bound")
        while not link.has_word(0.005):
            pub.send_multipart([b"wanted", name])
            pub.send_multipart([b"unwanted", name])


@pytest.mark.slow
def test_subscriber_hears_a_publisher_that_was_killed_and_started_again(
    zmq, sockets, ipc, run_child, subscriber_type
):
    """RFC 29 SUB, XSUB: SHALL maintain the queue whether or not the connection is established."""
    subscriber = sockets(subscriber_type, reconnect_ivl=10)
    subscribe(subscriber, b"wanted")
    subscriber.connect(ipc)
    first = run_child(publish_for_ever, ipc, b"first")
    first.hear()
    expect(subscriber, b"wanted", b"first")
    first.kill()
    second = run_child(publish_for_ever, ipc, b"second")
    second.hear()

    def next_name():
        topic, name = subscriber.recv_multipart()
        assert topic == b"wanted"
        return name

    wait_until(lambda: next_name() == b"second", "a message of the second publisher", 2 * CAP)
    second.tell("stop")
    second.result()


def test_subscribers_do_not_linger_by_default(zmq, sockets, subscriber_type, publisher_type):
    assert sockets(subscriber_type).linger == 0
    assert sockets(publisher_type).linger == -1


def test_subscriber_whose_publisher_never_came_does_not_hold_up_term(
    zmq, new_context, endpoint, subscriber_type
):
    """Its subscriptions are unsent for ever; the context ends all the same (the fixture's cap shows it)."""
    context = new_context()
    subscriber = context.socket(subscriber_type)
    subscriber.connect(endpoint)
    for number in range(100):
        subscribe(subscriber, b"%d" % number)
    subscriber.close()
    context.term()


def test_publisher_without_subscribers_does_not_hold_up_term(zmq, new_context, endpoint, publisher_type):
    context = new_context()
    publisher = context.socket(publisher_type)
    publisher.connect(endpoint)
    for _ in range(100):
        publisher.send(b"nobody asked")
    publisher.close()
    context.term()
