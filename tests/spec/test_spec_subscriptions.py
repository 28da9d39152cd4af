"""Subscriptions: how a SUB is told its topics, what they match, how they count, how many there may be.

Source: RFC 29, zmq_setsockopt(3), pyzmq's documented Socket. `test_spec_pubsub.py` says how nobody sleeps.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit import (
    expect,
    expect_error,
    expect_nothing,
    subscribe,
    tune_in,
    unsubscribe,
)

# --- how a SUB is told its topics --------------------------------------------------------------------------


@pytest.fixture
def station(zmq, sockets, endpoint):
    """A bound XPUB and a connected SUB."""
    xpub, sub = sockets(zmq.XPUB), sockets(zmq.SUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    return xpub, sub


def test_subscribe_method_takes_bytes_and_str(station):
    xpub, sub = station
    sub.subscribe(b"bytes")
    expect(xpub, b"\x01bytes")
    sub.subscribe("päße")
    expect(xpub, b"\x01" + "päße".encode())
    sub.unsubscribe("päße")
    expect(xpub, b"\x00" + "päße".encode())
    sub.unsubscribe(b"bytes")
    expect(xpub, b"\x00bytes")


def test_subscribe_may_be_assigned(station):
    xpub, sub = station
    sub.subscribe = b"one"
    expect(xpub, b"\x01one")
    sub.SUBSCRIBE = b"two"
    expect(xpub, b"\x01two")
    sub.unsubscribe = b"one"
    expect(xpub, b"\x00one")
    sub.UNSUBSCRIBE = b"two"
    expect(xpub, b"\x00two")


def test_subscribe_may_be_assigned_a_str(station):
    xpub, sub = station
    sub.subscribe = "one"
    expect(xpub, b"\x01one")


def test_assigned_subscription_leaves_the_method_in_place(station):
    xpub, sub = station
    sub.subscribe = b"one"
    sub.subscribe(b"two")
    expect(xpub, b"\x01one")
    expect(xpub, b"\x01two")


@pytest.mark.parametrize("verb", ["set", "setsockopt"])
def test_setsockopt_takes_bytes_topics(zmq, station, verb):
    xpub, sub = station
    getattr(sub, verb)(zmq.SUBSCRIBE, b"topic")
    expect(xpub, b"\x01topic")
    getattr(sub, verb)(zmq.UNSUBSCRIBE, b"topic")
    expect(xpub, b"\x00topic")


@pytest.mark.parametrize("topic", ["text", 1, None, 1.5, bytearray(b"x"), [b"x"]], ids=repr)
@pytest.mark.parametrize("option", ["SUBSCRIBE", "UNSUBSCRIBE"])
def test_setsockopt_takes_no_other_topics(zmq, sockets, option, topic):
    with pytest.raises(TypeError):
        sockets(zmq.SUB).setsockopt(getattr(zmq, option), topic)


@pytest.mark.parametrize(
    "topic", [1, None, 1.5, bytearray(b"x"), memoryview(b"x")], ids=lambda t: type(t).__name__
)
def test_subscribe_method_takes_no_other_topics(zmq, sockets, topic):
    sub = sockets(zmq.SUB)
    with pytest.raises(TypeError):
        sub.subscribe(topic)
    with pytest.raises(TypeError):
        sub.unsubscribe(topic)
    with pytest.raises(TypeError):
        sub.subscribe = topic


@pytest.mark.parametrize("verb", ["setsockopt_string", "set_string", "setsockopt_unicode"])
def test_set_string_takes_str_topics(zmq, station, verb):
    xpub, sub = station
    getattr(sub, verb)(zmq.SUBSCRIBE, "é")
    expect(xpub, b"\x01\xc3\xa9")


def test_set_string_takes_an_encoding(zmq, station):
    xpub, sub = station
    sub.setsockopt_string(zmq.SUBSCRIBE, "é", encoding="latin-1")
    expect(xpub, b"\x01\xe9")


def test_setsockopt_says_what_to_use_for_str(zmq, sockets):
    with pytest.raises(TypeError, match=r"unicode.*use set.*string"):
        sockets(zmq.SUB).setsockopt(zmq.SUBSCRIBE, "text")


# --- prefixes ----------------------------------------------------------------------------------------------

MATCHES = [
    # subscription, first frame, does it match
    (b"", b"", True),
    (b"", b"anything", True),
    (b"a", b"a", True),
    (b"a", b"ab", True),
    (b"ab", b"a", False),
    (b"ab", b"ba", False),
    (b"a", b"A", False),
    (b"a", b"", False),
    (b"a", b" a", False),
    (b"\x00", b"\x00\x01", True),
    (b"\x00", b"", False),
    (b"\xff\x00", b"\xff\x00\xff", True),
    (b"\xff\x00", b"\xff", False),
    (b"a*", b"ab", False),
    ("é".encode()[:1], "é".encode(), True),
    (b"x" * 300, b"x" * 301, True),
    (b"x" * 300, b"x" * 299, False),
]


@pytest.mark.parametrize(("topic", "first_frame", "matches"), MATCHES, ids=lambda value: repr(value)[:16])
def test_topic_is_compared_with_the_start_of_the_first_frame(air, topic, first_frame, matches):
    """RFC 29 PUB, XPUB: SHALL perform a binary comparison of the subscription against the start of [...]"""
    publisher, subscriber = air([topic, b"fence"])
    publisher.send_multipart([first_frame, b"body"])
    publisher.send(b"fence")
    if matches:
        expect(subscriber, first_frame, b"body")
    expect(subscriber, b"fence")


def test_only_the_first_frame_is_compared(air):
    """RFC 29 PUB, XPUB: SHALL perform a binary comparison of the subscription against the start of [...]"""
    publisher, subscriber = air([b"topic"])
    publisher.send_multipart([b"other", b"topic", b"topic"])
    publisher.send_multipart([b"topic", b"other"])
    expect(subscriber, b"topic", b"other")


def test_empty_topic_matches_everything(air):
    """zmq_setsockopt(3) ZMQ_SUBSCRIBE: an empty option value of length zero shall subscribe to all [...]"""
    publisher, subscriber = air([b""])
    messages = [[b""], [b"a"], [b"\x00\xff", b""], [b"", b"", b""]]
    for message in messages:
        publisher.send_multipart(message)
    for message in messages:
        expect(subscriber, *message)


def test_message_that_matches_several_topics_is_heard_once(air):
    """RFC 29 SUB, XSUB: MAY, depending on the transport, filter messages according to subscriptions [...]"""
    publisher, subscriber = air([b"", b"a", b"ab", b"abc", b"abc"])
    publisher.send(b"abcd")
    publisher.send(b"fence")
    expect(subscriber, b"abcd")
    expect(subscriber, b"fence")


def test_each_subscriber_hears_what_it_asked_for(air):
    """RFC 29 PUB, XPUB: MAY, depending on the transport, send messages only to subscribers who have [...]"""
    publisher, of_a, of_b, of_both, of_all = air([b"a", b"."], [b"b", b"."], [b"a", b"b", b"."], [b""])
    sent = [b"a1", b"b1", b"c1", b"ab", b"a2", b"b2", b"."]
    for message in sent:
        publisher.send(message)
    for subscriber, wanted in ((of_a, b"a."), (of_b, b"b."), (of_both, b"ab."), (of_all, b"abc.")):
        for message in sent:
            if message[:1] in [wanted[i : i + 1] for i in range(len(wanted))]:
                expect(subscriber, message)
        expect_nothing(subscriber)


def test_topics_that_share_prefixes_are_told_apart(air):
    """RFC 29 PUB, XPUB: SHALL perform a binary comparison of the subscription against the start of [...]"""
    topics = [b"car", b"cart", b"carton", b"cat", b"dog"]
    publisher, *subscribers = air(*[[topic, b"!"] for topic in topics])
    words = [b"ca", b"car", b"cart", b"carto", b"cartons", b"cat", b"cats", b"do", b"dogma", b"!"]
    for word in words:
        publisher.send(word)
    for topic, subscriber in zip(topics, subscribers, strict=True):
        for word in words:
            if word.startswith((topic, b"!")):
                expect(subscriber, word)


def test_topic_of_64_kib_is_as_good_as_a_short_one(air):
    topic = bytes(range(256)) * 256
    publisher, subscriber = air([topic, b"fence"])
    publisher.send(topic[:-1])
    publisher.send(topic + b"and more")
    publisher.send(b"fence")
    expect(subscriber, topic + b"and more")
    expect(subscriber, b"fence")


def test_long_topics_that_differ_in_the_last_byte_are_told_apart(air):
    stem = b"s" * 65_535
    publisher, one, other = air([stem + b"1", b"fence"], [stem + b"2", b"fence"])
    for message in (stem + b"1", stem + b"2", b"fence"):
        publisher.send(message)
    for subscriber, last in ((one, b"1"), (other, b"2")):
        expect(subscriber, stem + last)
        expect(subscriber, b"fence")


# --- subscriptions are counted -----------------------------------------------------------------------------


def test_topic_subscribed_twice_needs_two_unsubscribes(air):
    """zmq_setsockopt(3) ZMQ_UNSUBSCRIBE: only one subscription is removed of several of the same topic."""
    publisher, subscriber = air([b"topic", b"topic"])
    unsubscribe(subscriber, b"topic")
    tune_in(publisher, subscriber)
    publisher.send(b"topic still heard")
    expect(subscriber, b"topic still heard")
    unsubscribe(subscriber, b"topic")
    tune_in(publisher, subscriber)
    publisher.send(b"topic not heard")
    tune_in(publisher, subscriber)


def test_unsubscribed_topic_is_not_heard_any_more(air):
    """RFC 29 PUB, XPUB: SHALL receive subscribe and unsubscribe requests from subscribers [...]"""
    publisher, subscriber = air([b"gone", b"stays"])
    unsubscribe(subscriber, b"gone")
    tune_in(publisher, subscriber)
    publisher.send(b"gone")
    publisher.send(b"stays")
    expect(subscriber, b"stays")


def test_unsubscribing_one_prefix_leaves_the_longer_and_shorter_ones(air):
    publisher, subscriber = air([b"a", b"ab", b"abc"])
    unsubscribe(subscriber, b"ab")
    unsubscribe(subscriber, b"a")
    tune_in(publisher, subscriber)
    for message in (b"a", b"ab", b"abc"):
        publisher.send(message)
    expect(subscriber, b"abc")
    expect_nothing(subscriber)


@pytest.mark.parametrize("unknown", [b"never", b"", b"kep", b"kept and more"])
def test_unsubscribing_an_unknown_topic_is_harmless(air, unknown):
    publisher, subscriber = air([b"kept"])
    unsubscribe(subscriber, unknown)
    tune_in(publisher, subscriber)
    publisher.send(b"kept")
    expect(subscriber, b"kept")


def test_unsubscribe_before_subscribe_does_not_count(air):
    publisher, subscriber = air([])
    unsubscribe(subscriber, b"topic")
    subscribe(subscriber, b"topic")
    tune_in(publisher, subscriber)
    publisher.send(b"topic")
    expect(subscriber, b"topic")


def test_unsubscribed_sub_reads_nothing_that_is_under_way(zmq, sockets, inproc):
    """zmq_setsockopt(3) ZMQ_UNSUBSCRIBE; the SUB filters again what its queue holds."""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(inproc)
    sub.connect(inproc)
    sub.subscribe(b"a")
    sub.subscribe(b"b")
    tune_in(pub, sub)
    for message in (b"a1", b"b1", b"a2", b"b2"):
        pub.send_multipart([message, b"body"])
    sub.unsubscribe(b"a")
    expect(sub, b"b1", b"body")
    expect(sub, b"b2", b"body")
    expect_nothing(sub)


def test_sub_with_only_unwanted_messages_does_not_poll_readable(zmq, sockets, inproc):
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(inproc)
    sub.connect(inproc)
    sub.subscribe(b"a")
    tune_in(pub, sub)
    for _ in range(20):
        pub.send_multipart([b"a", b"body"])
    sub.unsubscribe(b"a")
    assert sub.poll(0) == 0
    with expect_error(zmq, "EAGAIN"):
        sub.recv(zmq.DONTWAIT)


@pytest.mark.slow
def test_hundred_thousand_subscriptions_all_match(zmq, sockets, endpoint):
    """A SUB that connects after it subscribed, so that all are sent at once."""
    pub, sub = sockets(zmq.XPUB, rcvhwm=0), sockets(zmq.SUB, sndhwm=0)
    pub.bind(endpoint)
    count = 100_000
    for number in range(count):
        sub.subscribe(b"%06d" % number)
    sub.connect(endpoint)
    told = {pub.recv() for _ in range(count)}
    assert len(told) == count
    for number in (0, 1, 12_345, 99_998, 99_999, 100_000):
        pub.send(b"%06d!" % number)
    pub.send(b"000000 fence")
    for number in (0, 1, 12_345, 99_998, 99_999):
        expect(sub, b"%06d!" % number)
    expect(sub, b"000000 fence")


@pytest.mark.slow
@pytest.mark.shmzmq_only("in libzmq subscriptions obey the high-water mark and are dropped beyond it")
def test_subscriptions_do_not_obey_the_high_water_mark(zmq, sockets, endpoint):
    """Nobody reads the XPUB while they are made; all of them arrive."""
    pub, sub = sockets(zmq.XPUB, rcvhwm=10, sndhwm=10), sockets(zmq.SUB, rcvhwm=10, sndhwm=10)
    pub.bind(endpoint)
    sub.connect(endpoint)
    for number in range(5000):
        sub.subscribe(b"%05d" % number)
    for number in range(5000):
        expect(pub, b"\x01%05d" % number)


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_flood_of_topics_that_come_and_go_leaves_no_memory(zmq, sockets, endpoint):
    pub, sub = sockets(zmq.PUB, rcvhwm=0), sockets(zmq.SUB, sndhwm=0)
    pub.bind(endpoint)
    sub.connect(endpoint)
    stem = b"t" * 4000

    def flood():
        for number in range(500):
            sub.subscribe(stem + b"%d" % number)
            if number % 50 == 0:
                pub.poll(0)
        for number in range(500):
            sub.unsubscribe(stem + b"%d" % number)
            if number % 50 == 0:
                pub.poll(0)
        tune_in(pub, sub)

    flood()
    before = resident_bytes()
    for _ in range(20):
        flood()
    grown = resident_bytes() - before
    assert grown < 20 * 500 * 4000 / 2, (
        f"{grown:,} bytes more after 10 000 topics of 4 000 bytes came and went"
    )


# --- INVERT_MATCHING ---------------------------------------------------------------------------------------


def test_inverted_matching_sends_what_was_not_asked_for(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_INVERT_MATCHING: messages are sent to those who did not subscribe to them."""
    xpub, sub = sockets(zmq.XPUB, invert_matching=1), sockets(zmq.SUB, invert_matching=1)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    sub.subscribe(b"not this")
    expect(xpub, b"\x01not this")
    for message in (b"this", b"not this", b"not that"):
        xpub.send_multipart([message, b"body"])
    expect(sub, b"this", b"body")
    expect(sub, b"not that", b"body")
    expect_nothing(sub)


def test_inverted_publisher_and_plain_sub_hear_nothing_of_each_other(zmq, sockets, endpoint):
    """zmq_setsockopt(3) ZMQ_INVERT_MATCHING: the subscriber has to set it too, or it drops everything."""
    xpub, sub, xsub = sockets(zmq.XPUB, invert_matching=1), sockets(zmq.SUB), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    for subscriber, topic in ((sub, b"a"), (xsub, b"b")):
        subscriber.connect(endpoint)
        subscribe(subscriber, topic)
        expect(xpub, b"\x01" + topic)
    for message in (b"a", b"b", b"c"):
        xpub.send(message)
    expect(xsub, b"a")  # an XSUB does not filter
    expect(xsub, b"c")
    expect_nothing(sub)


def test_inverted_matching_can_be_read(zmq, sockets, publisher_type):
    assert sockets(publisher_type).invert_matching == 0
    assert sockets(publisher_type, invert_matching=1).invert_matching == 1
