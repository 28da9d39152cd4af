"""What XPUB and XSUB have beyond PUB and SUB, by RFC 29: subscriptions that are seen, and messages upstream.

What they share with PUB and SUB is in `test_spec_pubsub.py`, what subscriptions match in
`test_spec_subscriptions.py`.
"""

from __future__ import annotations

import pytest

from kit import (
    expect,
    expect_error,
    expect_nothing,
    fill,
    subscribe,
    unsubscribe,
    wait_readable,
    wait_until,
)


@pytest.fixture
def xcouple(zmq, sockets, endpoint):
    """A function that gives a bound XPUB with these options and a connected XSUB."""

    def build(**options):
        xpub, xsub = sockets(zmq.XPUB, **options), sockets(zmq.XSUB)
        xpub.bind(endpoint)
        xsub.connect(endpoint)
        return xpub, xsub

    return build


# --- XPUB and XSUB: what they cannot do --------------------------------------------------------------------


def test_publisher_alone_is_always_writable(zmq, sockets, publisher_type):
    """RFC 29 PUB, XPUB: SHALL NOT block on sending."""
    publisher = sockets(publisher_type, sndtimeo=-1)
    assert publisher.poll(0, zmq.POLLOUT) == zmq.POLLOUT
    for _ in range(10):
        publisher.send(b"to nobody")


def test_xpub_alone_has_nothing(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.XPUB).recv(zmq.DONTWAIT)


def test_xsub_alone_is_always_writable(zmq, sockets):
    """RFC 29 XSUB: SHALL NOT block on sending."""
    xsub = sockets(zmq.XSUB, sndtimeo=-1)
    assert xsub.poll(0, zmq.POLLOUT) == zmq.POLLOUT
    for _ in range(10):
        xsub.send(b"to nobody")


@pytest.mark.parametrize("name", ["XPUB_VERBOSE", "XPUB_VERBOSER", "XPUB_MANUAL", "XPUB_NODROP"])
@pytest.mark.parametrize("value", [-1, "SUB", "XSUB", "PUSH"], ids=str)
def test_xpub_options_refuse_negative_numbers_and_other_types(zmq, sockets, name, value):
    kind, number = ("XPUB", value) if isinstance(value, int) else (value, 1)
    with expect_error(zmq, "EINVAL"):
        sockets(getattr(zmq, kind)).set(getattr(zmq, name), number)


@pytest.mark.parametrize("name", ["XPUB_VERBOSE", "XPUB_VERBOSER", "XPUB_MANUAL", "XPUB_NODROP"])
def test_xpub_options_cannot_be_read(zmq, sockets, name):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.XPUB).get(getattr(zmq, name))


def test_subscriptions_cannot_be_read(zmq, sockets):
    sub = sockets(zmq.SUB)
    sub.subscribe(b"topic")
    with expect_error(zmq, "EINVAL"):
        sub.get(zmq.SUBSCRIBE)


# --- XPUB hears of subscriptions ---------------------------------------------------------------------------


def test_xpub_hears_of_subscribe_and_unsubscribe(sockets, zmq, endpoint, subscriber_type):
    """RFC 29 XPUB: SHALL deliver these commands to its calling application."""
    xpub, subscriber = sockets(zmq.XPUB), sockets(subscriber_type)
    xpub.bind(endpoint)
    subscriber.connect(endpoint)
    subscribe(subscriber, b"topic")
    expect(xpub, b"\x01topic")
    unsubscribe(subscriber, b"topic")
    expect(xpub, b"\x00topic")


def test_xpub_hears_of_topics_made_before_the_connection(zmq, sockets, endpoint, subscriber_type):
    """Before the connection, and before the bind.

    RFC 29 XPUB: SHALL receive subscribe and unsubscribe requests from subscribers [...]
    RFC 29 SUB: MAY send subscribe and unsubscribe requests to publishers [...]
    """
    xpub, subscriber = sockets(zmq.XPUB), sockets(subscriber_type)
    for topic in (b"a", b"bb", b""):
        subscribe(subscriber, topic)
    subscriber.connect(endpoint)
    xpub.bind(endpoint)
    assert sorted(xpub.recv() for _ in range(3)) == [b"\x01", b"\x01a", b"\x01bb"]
    expect_nothing(xpub)


def test_xpub_polls_readable_when_a_subscription_is_there(zmq, sockets, endpoint):
    xpub, sub = sockets(zmq.XPUB), sockets(zmq.SUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    assert xpub.poll(0) == 0
    sub.subscribe(b"")
    assert xpub.poll(5000) == zmq.POLLIN


def test_blocked_xpub_wakes_for_a_subscription(zmq, sockets, endpoint, task):
    """RFC 29 XPUB: SHALL deliver these commands to its calling application."""
    xpub, sub = sockets(zmq.XPUB), sockets(zmq.SUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    receiving = task(xpub.recv)
    receiving.wait_blocked()
    sub.subscribe(b"topic")
    assert receiving.result() == b"\x01topic"


def test_xpub_hears_once_of_a_topic_that_several_want(zmq, sockets, endpoint, subscriber_type):
    """RFC 29 XPUB: MAY, depending on configuration, normalize commands delivered to its calling [...]"""
    xpub, *subscribers = sockets(zmq.XPUB), *(sockets(subscriber_type) for _ in range(3))
    xpub.bind(endpoint)
    for number, subscriber in enumerate(subscribers):
        subscriber.connect(endpoint)
        subscribe(subscriber, b"same")
        subscribe(subscriber, b"fence %d" % number)
    heard = sorted(xpub.recv() for _ in range(4))
    assert heard == [b"\x01fence 0", b"\x01fence 1", b"\x01fence 2", b"\x01same"]


def test_xpub_hears_of_the_last_unsubscribe_only(zmq, sockets, endpoint, subscriber_type):
    """RFC 29 XPUB: MAY, depending on configuration, normalize commands delivered to its calling [...]"""
    xpub, one, other = sockets(zmq.XPUB), sockets(subscriber_type), sockets(subscriber_type)
    xpub.bind(endpoint)
    for number, subscriber in enumerate((one, other)):
        subscriber.connect(endpoint)
        subscribe(subscriber, b"same")
        subscribe(subscriber, b"fence %d" % number)
    assert len([xpub.recv() for _ in range(3)]) == 3
    unsubscribe(one, b"same")
    unsubscribe(one, b"fence 0")
    expect(xpub, b"\x00fence 0")
    unsubscribe(other, b"same")
    expect(xpub, b"\x00same")


def test_xpub_hears_once_of_a_topic_that_one_subscriber_counts(zmq, sockets, endpoint, subscriber_type):
    """RFC 29 XPUB: MAY, depending on configuration, normalize commands delivered to its calling [...]"""
    xpub, subscriber = sockets(zmq.XPUB), sockets(subscriber_type)
    xpub.bind(endpoint)
    subscriber.connect(endpoint)
    for _ in range(3):
        subscribe(subscriber, b"topic")
    subscribe(subscriber, b"fence")
    expect(xpub, b"\x01topic")
    expect(xpub, b"\x01fence")
    for _ in range(3):
        unsubscribe(subscriber, b"topic")
    unsubscribe(subscriber, b"fence")
    expect(xpub, b"\x00topic")
    expect(xpub, b"\x00fence")


def test_xpub_hears_nothing_of_an_unsubscribe_that_undoes_nothing(zmq, sockets, endpoint, subscriber_type):
    xpub, subscriber = sockets(zmq.XPUB), sockets(subscriber_type)
    xpub.bind(endpoint)
    subscriber.connect(endpoint)
    unsubscribe(subscriber, b"never")
    subscribe(subscriber, b"fence")
    expect(xpub, b"\x01fence")


def test_xpub_hears_of_every_topic_of_a_subscriber_that_closed(zmq, sockets, endpoint, subscriber_type):
    """RFC 29 XPUB: SHALL, if the subscriber peer disconnects prematurely, generate a suitable [...]

    RFC 29 XSUB: When closing a connection to a publisher SHOULD send unsubscribe requests for all [...]
    """
    xpub, subscriber = sockets(zmq.XPUB), sockets(subscriber_type)
    xpub.bind(endpoint)
    subscriber.connect(endpoint)
    for topic in (b"a", b"b", b"ab", b""):
        subscribe(subscriber, topic)
    assert sorted(xpub.recv() for _ in range(4)) == [b"\x01", b"\x01a", b"\x01ab", b"\x01b"]
    subscriber.close()
    assert sorted(xpub.recv() for _ in range(4)) == [b"\x00", b"\x00a", b"\x00ab", b"\x00b"]


def test_xpub_hears_of_a_subscriber_that_disconnects(zmq, sockets, endpoint, subscriber_type):
    """RFC 29 XSUB: When closing a connection to a publisher SHOULD send unsubscribe requests for all [...]"""
    xpub, subscriber = sockets(zmq.XPUB), sockets(subscriber_type)
    xpub.bind(endpoint)
    subscriber.connect(endpoint)
    subscribe(subscriber, b"topic")
    expect(xpub, b"\x01topic")
    subscriber.disconnect(endpoint)
    wait_readable(zmq, xpub, subscriber)
    expect(xpub, b"\x00topic")


def test_xpub_hears_nothing_of_a_topic_that_another_subscriber_still_wants(
    zmq, sockets, endpoint, subscriber_type
):
    """RFC 29 XPUB: SHALL, if the subscriber peer disconnects prematurely, generate a suitable [...]"""
    xpub, leaves, stays = sockets(zmq.XPUB), sockets(subscriber_type), sockets(subscriber_type)
    xpub.bind(endpoint)
    for subscriber, own in ((leaves, b"of the one that leaves"), (stays, b"of the one that stays")):
        subscriber.connect(endpoint)
        subscribe(subscriber, b"same")
        subscribe(subscriber, own)
    assert len([xpub.recv() for _ in range(3)]) == 3
    leaves.close()
    expect(xpub, b"\x00of the one that leaves")
    xpub.send(b"same")
    expect(stays, b"same")
    expect_nothing(xpub)


def subscribe_and_wait(zmq, link, endpoint):
    """A child with a SUB that wants two topics, until it is killed."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.connect(endpoint)
        sub.subscribe(b"one")
        sub.subscribe(b"two")
        link.hear()


@pytest.mark.slow
def test_xpub_hears_of_every_topic_of_a_subscriber_that_was_killed(zmq, sockets, ipc, run_child):
    """RFC 29 XPUB: SHALL, if the subscriber peer disconnects prematurely, generate a suitable [...]"""
    xpub = sockets(zmq.XPUB, rcvtimeo=10_000)
    xpub.bind(ipc)
    child = run_child(subscribe_and_wait, ipc)
    assert sorted(xpub.recv() for _ in range(2)) == [b"\x01one", b"\x01two"]
    child.kill()
    assert sorted(xpub.recv() for _ in range(2)) == [b"\x00one", b"\x00two"]


# --- XPUB hears from XSUB ----------------------------------------------------------------------------------


def test_xpub_receives_what_an_xsub_sends(xcouple):
    """RFC 29 XPUB: SHALL deliver these messages to its calling application.

    RFC 29 XSUB: SHALL not modify outgoing messages in any way.
    """
    xpub, xsub = xcouple()
    for frames in ([b"hello"], [b"many", b"", b"frames"], [b"\x02topic"], [b"\xff" * 5000]):
        xsub.send_multipart(frames)
        expect(xpub, *frames)


def test_xpub_receives_an_empty_message(xcouple):
    xpub, xsub = xcouple()
    xsub.send(b"")
    expect(xpub, b"")


def test_messages_and_subscriptions_keep_their_order(xcouple):
    """RFC 29 XSUB: SHALL accept subscription commands from its calling application."""
    xpub, xsub = xcouple()
    sent = [b"first", b"\x01a", b"second", b"\x01b", b"\x00a", b"third", b"\x00b"]
    for message in sent:
        xsub.send(message)
    for message in sent:
        expect(xpub, message)


def test_xsub_sends_to_all_its_publishers(zmq, sockets, endpoints):
    """RFC 29 XSUB: SHALL send all messages to all connected publishers."""
    xsub, *xpubs = sockets(zmq.XSUB), *(sockets(zmq.XPUB) for _ in range(3))
    for xpub, endpoint in zip(xpubs, endpoints(3), strict=True):
        xpub.bind(endpoint)
        xsub.connect(endpoint)
    for number in range(20):
        xsub.send_multipart([b"to all", b"%d" % number])
    for xpub in xpubs:
        for number in range(20):
            expect(xpub, b"to all", b"%d" % number)


def test_xpub_hears_its_subscribers_in_turn(zmq, sockets, inproc):
    """RFC 29 XPUB: SHALL receive incoming messages from its subscribers using a fair-queuing strategy."""
    xpub = sockets(zmq.XPUB)
    xpub.bind(inproc)
    for name in (b"a", b"b", b"c"):
        xsub = sockets(zmq.XSUB)
        xsub.connect(inproc)
        for _ in range(4):
            xsub.send(name)
    heard = [xpub.recv() for _ in range(12)]
    assert sorted(heard) == [b"a"] * 4 + [b"b"] * 4 + [b"c"] * 4


def test_user_message_of_an_xsub_is_no_subscription(xcouple):
    """RFC 29 XSUB: SHALL send all messages to all connected publishers."""
    xpub, xsub = xcouple()
    xsub.send(b"topic")
    expect(xpub, b"topic")
    xpub.send(b"topic")
    xsub.send(b"\x01fence")
    expect(xpub, b"\x01fence")
    xpub.send(b"fence")
    expect(xsub, b"fence")


def test_xpub_and_xsub_queue_each_direction_on_its_own(xcouple):
    """Each has one queue per direction and peer.

    RFC 29 XPUB: MAY be connected to any number of SUB or XSUB subscribers, and MAY both send and receive
    RFC 29 XSUB: MAY be connected to any number of PUB or XPUB publishers, and MAY both send and receive
    """
    xpub, xsub = xcouple()
    xsub.send(b"\x01")
    expect(xpub, b"\x01")
    for number in range(100):
        xpub.send(b"down %d" % number)
        xsub.send(b"up %d" % number)
    assert [xsub.recv() for _ in range(100)] == [b"down %d" % number for number in range(100)]
    assert [xpub.recv() for _ in range(100)] == [b"up %d" % number for number in range(100)]


def test_xsub_that_connects_first_has_its_messages_queued(zmq, sockets, endpoint):
    """RFC 29 XSUB: SHALL create a queue when initiating an outgoing connection to a publisher [...]"""
    xsub, xpub = sockets(zmq.XSUB), sockets(zmq.XPUB)
    xsub.connect(endpoint)
    for number in range(10):
        xsub.send(b"early %d" % number)
    xpub.bind(endpoint)
    for number in range(10):
        expect(xpub, b"early %d" % number)


def test_bound_xsub_reaches_an_xpub_that_connects(zmq, sockets, endpoint):
    """RFC 29 XSUB: SHALL create a queue when a publisher connects to it. [...]"""
    xsub, xpub = sockets(zmq.XSUB), sockets(zmq.XPUB)
    xsub.bind(endpoint)
    xsub.send(b"\x01topic")
    xpub.connect(endpoint)
    wait_readable(zmq, xpub, xsub)
    expect(xpub, b"\x01topic")
    xsub.send(b"hello")
    expect(xpub, b"hello")


def test_xsub_does_not_block_on_an_xpub_that_reads_nothing(zmq, sockets, endpoint):
    """RFC 29 XSUB: SHALL silently drop the message if the outgoing queue for a publisher is full.

    RFC 29 XSUB: SHALL NOT block on sending.
    """
    xpub, xsub = sockets(zmq.XPUB, rcvhwm=5), sockets(zmq.XSUB, sndhwm=5, sndtimeo=-1)
    xpub.bind(endpoint)
    xsub.connect(endpoint)
    xsub.send(b"\x01")
    expect(xpub, b"\x01")
    for number in range(3000):
        xsub.send(b"%d" % number)
    heard = []

    def fence_heard():
        xsub.send(b"fence")
        while xpub.poll(20):
            if (message := xpub.recv()) == b"fence":
                return True
            heard.append(int(message))
        return False

    wait_until(fence_heard, "a message sent after the flood")
    assert heard[0] == 0
    assert len(heard) < 3000
    assert heard == sorted(set(heard))


# --- the options of XPUB -----------------------------------------------------------------------------------


def test_verbose_xpub_hears_of_every_subscribe(xcouple, zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_VERBOSE: pass all subscribe messages on, also duplicate ones."""
    xpub, one = xcouple(xpub_verbose=1)
    other = sockets(zmq.XSUB)
    other.connect(endpoint)
    one.send(b"\x01topic")
    expect(xpub, b"\x01topic")
    other.send(b"\x01topic")
    expect(xpub, b"\x01topic")
    one.send(b"\x01topic")
    expect(xpub, b"\x01topic")


def test_verbose_xpub_hears_of_the_last_unsubscribe_only(xcouple, zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_VERBOSE: only subscribe messages are passed on."""
    xpub, one = xcouple(xpub_verbose=1)
    other = sockets(zmq.XSUB)
    other.connect(endpoint)
    for xsub in (one, other):
        xsub.send(b"\x01topic")
        expect(xpub, b"\x01topic")
    one.send(b"\x00topic")
    one.send(b"fence")
    expect(xpub, b"fence")
    other.send(b"\x00topic")
    expect(xpub, b"\x00topic")


def test_verboser_xpub_hears_of_every_unsubscribe_too(xcouple, zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_VERBOSER: pass all subscribe and unsubscribe messages on."""
    xpub, one = xcouple(xpub_verboser=1)
    other = sockets(zmq.XSUB)
    other.connect(endpoint)
    for command in (b"\x01topic", b"\x00topic"):
        for xsub in (one, other):
            xsub.send(command)
            expect(xpub, command)


def test_verboser_xpub_hears_of_each_subscriber_that_closes(xcouple, zmq, sockets, endpoint):
    xpub, one = xcouple(xpub_verboser=1)
    other = sockets(zmq.XSUB)
    other.connect(endpoint)
    for xsub in (one, other):
        xsub.send(b"\x01topic")
        expect(xpub, b"\x01topic")
    for xsub in (one, other):
        xsub.close()
        expect(xpub, b"\x00topic")


def test_verboser_xpub_hears_nothing_of_an_unsubscribe_that_undoes_nothing(xcouple):
    xpub, xsub = xcouple(xpub_verboser=1)
    xsub.send(b"\x00never")
    xsub.send(b"fence")
    expect(xpub, b"fence")


def test_verbose_may_be_set_after_bind(xcouple):
    xpub, xsub = xcouple()
    xsub.send(b"\x01topic")
    expect(xpub, b"\x01topic")
    xpub.xpub_verbose = 1
    xsub.send(b"\x01topic")
    expect(xpub, b"\x01topic")
    xpub.xpub_verbose = 0
    xsub.send(b"\x01topic")
    xsub.send(b"fence")
    expect(xpub, b"fence")


def test_sub_that_counts_tells_a_verbose_xpub_of_each(zmq, sockets, endpoint):
    xpub, sub = sockets(zmq.XPUB, xpub_verbose=1), sockets(zmq.SUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    for _ in range(2):
        sub.subscribe(b"topic")
        expect(xpub, b"\x01topic")


def test_manual_xpub_decides_what_a_subscriber_gets(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_MANUAL: the application subscribes for the peer it heard last."""
    xpub, sub = sockets(zmq.XPUB, xpub_manual=1), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    sub.send(b"\x01asked")
    expect(xpub, b"\x01asked")
    xpub.set(zmq.SUBSCRIBE, b"given")
    for topic in (b"asked", b"given", b"other"):
        xpub.send(topic)
    expect(sub, b"given")
    expect_nothing(sub)


def test_manual_xpub_that_does_nothing_gives_nothing(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_MANUAL: the application subscribes for the peer it heard last."""
    xpub, sub = sockets(zmq.XPUB, xpub_manual=1), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    sub.send(b"\x01asked")
    expect(xpub, b"\x01asked")
    xpub.send(b"asked")
    sub.send(b"\x01fence")
    expect(xpub, b"\x01fence")
    xpub.set(zmq.SUBSCRIBE, b"fence")
    xpub.send(b"fence")
    expect(sub, b"fence")


def test_manual_xpub_subscribes_the_peer_it_heard_last(zmq, sockets, endpoint):
    xpub, one, other = sockets(zmq.XPUB, xpub_manual=1), sockets(zmq.XSUB), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    for xsub, name in ((one, b"one"), (other, b"other")):
        xsub.connect(endpoint)
        xsub.send(b"\x01" + name)
        expect(xpub, b"\x01" + name)
        xpub.set(zmq.SUBSCRIBE, b"for " + name)
    for name in (b"one", b"other"):
        xpub.send(b"for " + name)
    expect(one, b"for one")
    expect(other, b"for other")
    expect_nothing(one)


def test_manual_xpub_may_unsubscribe_a_peer(zmq, sockets, endpoint):
    xpub, xsub = sockets(zmq.XPUB, xpub_manual=1), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    xsub.connect(endpoint)
    xsub.send(b"\x01topic")
    expect(xpub, b"\x01topic")
    xpub.set(zmq.SUBSCRIBE, b"a")
    xpub.set(zmq.SUBSCRIBE, b"b")
    xsub.send(b"\x00topic")
    expect(xpub, b"\x00topic")
    xpub.send(b"a: still there, since nobody took it away")
    expect(xsub, b"a: still there, since nobody took it away")
    xpub.set(zmq.UNSUBSCRIBE, b"a")
    xpub.send(b"a")
    xpub.send(b"b")
    expect(xsub, b"b")


def test_manual_xpub_hears_of_every_subscribe_like_a_verbose_one(zmq, sockets, endpoint):
    xpub, one, other = sockets(zmq.XPUB, xpub_manual=1), sockets(zmq.XSUB), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    for xsub in (one, other):
        xsub.connect(endpoint)
        xsub.send(b"\x01same")
        expect(xpub, b"\x01same")


def test_xpub_without_manual_cannot_subscribe(zmq, sockets):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.XPUB).set(zmq.SUBSCRIBE, b"topic")


def test_nodrop_xpub_says_again_when_a_subscriber_is_full(zmq, sockets, inproc):
    """zmq_setsockopt(3) ZMQ_XPUB_NODROP: EAGAIN instead of dropping when the high water mark is reached."""
    xpub, sub = sockets(zmq.XPUB, xpub_nodrop=1, sndhwm=2), sockets(zmq.SUB, rcvhwm=2)
    xpub.bind(inproc)
    sub.connect(inproc)
    sub.subscribe(b"")
    expect(xpub, b"\x01")
    assert fill(zmq, xpub) == 4
    with expect_error(zmq, "EAGAIN"):
        xpub.send(b"too many", zmq.DONTWAIT)
    assert [sub.recv() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    expect_nothing(sub)


def test_nodrop_xpub_loses_nothing_that_it_accepted(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_NODROP: EAGAIN instead of dropping when the high water mark is reached."""
    xpub, sub = sockets(zmq.XPUB, xpub_nodrop=1, sndhwm=10), sockets(zmq.SUB, rcvhwm=10)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    sub.subscribe(b"")
    expect(xpub, b"\x01")
    accepted = fill(zmq, xpub)
    assert [sub.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]


def test_nodrop_xpub_waits_for_a_full_subscriber(zmq, sockets, inproc, task):
    xpub, sub = sockets(zmq.XPUB, xpub_nodrop=1, sndhwm=2), sockets(zmq.SUB, rcvhwm=2)
    xpub.bind(inproc)
    sub.connect(inproc)
    sub.subscribe(b"")
    expect(xpub, b"\x01")
    accepted = fill(zmq, xpub)
    sending = task(xpub.send, b"patient")
    sending.wait_blocked()
    for number in range(accepted):
        expect(sub, b"%d" % number)
    sending.result()
    expect(sub, b"patient")


def test_nodrop_xpub_without_takers_never_blocks(zmq, sockets, endpoint):
    xpub, sub = sockets(zmq.XPUB, xpub_nodrop=1, sndhwm=1), sockets(zmq.SUB, rcvhwm=1)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    sub.subscribe(b"topic")
    expect(xpub, b"\x01topic")
    for _ in range(100):
        xpub.send(b"other", zmq.DONTWAIT)


def welcomed(xpub, subscriber):
    """True if the subscriber has a message; the XPUB is looked at, since it welcomes when it notices [...]"""
    xpub.poll(0)
    return subscriber.poll(5)


def test_xpub_welcomes_a_subscriber_that_asked_for_it(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_XPUB_WELCOME_MSG: received by the subscriber when it connects."""
    xpub, sub = sockets(zmq.XPUB, xpub_welcome_msg=b"welcome"), sockets(zmq.SUB)
    sub.subscribe(b"welcome")
    xpub.bind(endpoint)
    sub.connect(endpoint)
    wait_until(lambda: welcomed(xpub, sub), "the welcome message")
    expect(sub, b"welcome")


def test_welcome_is_filtered_by_a_sub_that_did_not_ask(zmq, sockets, endpoint):
    xpub, sub = sockets(zmq.XPUB, xpub_welcome_msg=b"welcome"), sockets(zmq.SUB)
    sub.subscribe(b"other")
    xpub.bind(endpoint)
    sub.connect(endpoint)
    expect(xpub, b"\x01other")
    xpub.send(b"other")
    expect(sub, b"other")
    expect_nothing(sub)


def test_welcome_may_be_taken_back(zmq, sockets, endpoint):
    xpub, sub = sockets(zmq.XPUB, xpub_welcome_msg=b"welcome"), sockets(zmq.SUB)
    xpub.xpub_welcome_msg = b""
    sub.subscribe(b"")
    xpub.bind(endpoint)
    sub.connect(endpoint)
    expect(xpub, b"\x01")
    xpub.send(b"first")
    expect(sub, b"first")


# --- through a proxy by hand -------------------------------------------------------------------------------


def test_subscription_and_message_travel_through_xsub_and_xpub(zmq, sockets, endpoints):
    """RFC 29 XSUB: SHALL send subscribe and unsubscribe requests to publishers depending on the [...]"""
    in_front, behind = endpoints(2)
    xsub, xpub = sockets(zmq.XSUB), sockets(zmq.XPUB)
    xsub.bind(behind)
    xpub.bind(in_front)
    pub, sub = sockets(zmq.XPUB), sockets(zmq.SUB)
    pub.connect(behind)
    sub.connect(in_front)
    sub.subscribe(b"topic")
    xsub.send(xpub.recv())
    expect(pub, b"\x01topic")
    pub.send_multipart([b"topic", b"body"])
    xpub.send_multipart(xsub.recv_multipart())
    expect(sub, b"topic", b"body")
    sub.unsubscribe(b"topic")
    xsub.send(xpub.recv())
    expect(pub, b"\x00topic")


def test_xsub_does_not_filter_what_it_receives(zmq, sockets, inproc):
    """RFC 29 XSUB: MAY, depending on the transport, filter messages according to subscriptions [...]"""
    xpub, xsub = sockets(zmq.XPUB), sockets(zmq.XSUB)
    xpub.bind(inproc)
    xsub.connect(inproc)
    xsub.send(b"\x01")
    expect(xpub, b"\x01")
    xpub.send(b"under way")
    xsub.send(b"\x00")
    expect(xsub, b"under way")
