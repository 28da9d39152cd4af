"""Bugs of publishing, OVERFLOW and HWM_BYTES that were found by review, each with the test that was red.

One test per bug; its docstring says what happened.
"""

from __future__ import annotations

import select

import pytest

from kit import CAP, CAP_MS, expect, refused, wait_until

pytestmark = pytest.mark.shmzmq_only("shmzmq's own bugs")

DROP_OLDEST, KEEP_LATEST = 3, 4
MANY = 200_000


def expect_rest(socket, count):
    """Receive the next `count` messages; return them."""
    return [socket.recv() for _ in range(count)]


def connected(*sockets):
    """Wait until each has a live connection whose queue was moved into its ring."""
    for socket in sockets:
        wait_until(lambda each=socket: socket_is_up(each), f"{socket!r} to be connected")


def socket_is_up(socket):
    peers = socket.peers()
    return bool(peers) and all(peer["transport"] in ("ring", "inproc", "tcp") for peer in peers)


# --- XPUB and what its subscribers send ---------------------------------------------------------------------


def flood(zmq, sockets, endpoint):
    """An XPUB with many repeated subscriptions unread, and a new one, B, behind them."""
    xpub, xsub = sockets(zmq.XPUB), sockets(zmq.XSUB)
    xpub.bind(endpoint)
    xsub.connect(endpoint)
    xsub.send(b"\x01A")
    expect(xpub, b"\x01A")
    for _ in range(MANY):
        xsub.send(b"\x01A")
    xsub.send(b"\x01B")
    return xpub


@pytest.mark.slow
def test_subscription_behind_many_repeated_ones_is_received(zmq, sockets, ipc):
    """The receive slept with the new one unread: it took what it had not taken for input of no interest."""
    expect(flood(zmq, sockets, ipc), b"\x01B")


@pytest.mark.slow
def test_subscription_behind_many_repeated_ones_is_polled(zmq, sockets, ipc):
    """As above, for a poll."""
    assert flood(zmq, sockets, ipc).poll(CAP_MS) == zmq.POLLIN


@pytest.mark.slow
def test_subscription_behind_many_repeated_ones_makes_the_fd_readable(zmq, sockets, ipc):
    """The FD was left quiet with the new one unread."""
    xpub = flood(zmq, sockets, ipc)
    fd = xpub.get(zmq.FD)
    while not xpub.get(zmq.EVENTS) & zmq.POLLIN:
        assert select.select([fd], [], [], CAP)[0], "the FD is quiet"
    expect(xpub, b"\x01B")


@pytest.mark.slow
def test_subscriber_that_floods_does_not_hold_up_another_one(zmq, sockets, ipc):
    """Each call of the publisher went on with the flood and never came to the other's request."""
    pub, loud, modest = sockets(zmq.XPUB), sockets(zmq.XSUB), sockets(zmq.SUB)
    pub.bind(ipc)
    for socket in (modest, loud):
        socket.connect(ipc)
        (loud.send if socket is loud else modest.subscribe)(b"\x01first")
        pub.recv()
    for _ in range(MANY):
        loud.send(b"\x01first")
    modest.subscribe(b"second")
    pub.send(b"second")
    expect(modest, b"second")


def test_topics_count_counts_what_has_arrived(zmq, sockets, transport, endpoint):
    """It counted what some earlier call had taken in: who only asked for the count saw it never change."""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(endpoint)
    sub.subscribe(b"topic")
    sub.connect(endpoint)
    wait_until(lambda: pub.get(zmq.TOPICS_COUNT) == 1, "the publisher to know of the subscription")


def test_pub_with_xpub_manual_has_nothing_to_receive(zmq, sockets, ipc):
    """It showed POLLIN for requests that no PUB can receive."""
    pub, sub = sockets(zmq.PUB, xpub_manual=1), sockets(zmq.SUB)
    pub.bind(ipc)
    sub.subscribe(b"topic")
    sub.connect(ipc)
    connected(pub)
    pub.send(b"")
    assert not pub.poll(0)


def test_upstream_message_with_a_frame_beyond_maxmsgsize_is_dropped_whole(zmq, sockets, ipc):
    """The first part was joined with the next announcement."""
    xpub, rude, other = sockets(zmq.XPUB, maxmsgsize=100), sockets(zmq.XSUB), sockets(zmq.SUB)
    xpub.bind(ipc)
    rude.connect(ipc)
    connected(xpub, rude)
    rude.send_multipart([b"\x02user", b"x" * 1000])
    other.subscribe(b"topic")
    other.connect(ipc)
    expect(xpub, b"\x01topic")


def test_last_value_that_waits_for_its_peer_goes_to_nobody_else(zmq, sockets, ipc):
    """XPUB_NODROP: the refused send forgot for whom the value was, and the next try sent it to all."""
    pub = sockets(zmq.XPUB, sndhwm=1, xpub_nodrop=1)
    pub.set(zmq.XPUB_MANUAL_LAST_VALUE, 1)
    pub.bind(ipc)
    slow, other = sockets(zmq.SUB, rcvhwm=1), sockets(zmq.SUB)
    for sub in (other, slow):
        sub.subscribe(b"")
        sub.connect(ipc)
        expect(pub, b"\x01")
        pub.subscribe(b"")
    pub.send(b"fill 0")  # to `slow`, of which the last request was
    pub.send(b"fill 1")  # to all: now `slow` has two, as many as it takes
    slow.subscribe(b"more")
    expect(pub, b"\x01more")
    with pytest.raises(zmq.Again):
        pub.send(b"last value", zmq.DONTWAIT)
    expect(slow, b"fill 0")
    expect(slow, b"fill 1")
    pub.send(b"last value")
    expect(slow, b"last value")
    pub.send(b"fence")  # to all
    assert expect_rest(other, 2) == [b"fill 1", b"fence"]


# --- CONFLATE and OVERFLOW ----------------------------------------------------------------------------------


def test_conflate_of_a_publisher_drops_no_subscription(zmq, sockets, transport, endpoint):
    """A message of the XSUB's own took the place of its subscriptions that were not yet read."""
    pub, xsub = sockets(zmq.PUB, conflate=1), sockets(zmq.XSUB)
    pub.bind(endpoint)
    xsub.connect(endpoint)
    connected(pub, xsub)
    xsub.send(b"\x01topic")
    xsub.send(b"message of the user's")

    def published():
        # Over tcp the subscription is under way for a while.
        pub.send(b"topic")
        return xsub.poll(10)

    wait_until(published, "what was subscribed to")
    expect(xsub, b"topic")


def test_conflating_receiver_that_comes_late_gets_only_the_last_of_what_waited(zmq, sockets, ipc):
    """What had waited for the connection was moved into the ring without regard to CONFLATE."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL, conflate=1)
    push.connect(ipc)
    for number in range(5):
        push.send(b"%d" % number)
    pull.bind(ipc)
    connected(push)
    expect(pull, b"4")


def test_drop_oldest_drops_what_waited_for_the_connection_first(zmq, sockets, ipc):
    """What had waited was not known to be in the ring: newer messages were dropped in its place."""
    push, pull = sockets(zmq.PUSH, sndhwm=5), sockets(zmq.PULL, rcvhwm=5)
    push.set(zmq.OVERFLOW, DROP_OLDEST)
    push.connect(ipc)
    for number in range(5):
        push.send(b"%d" % number)
    pull.bind(ipc)
    connected(push)
    for number in range(5, 15):
        push.send(b"%d" % number)
    assert expect_rest(pull, 10) == [b"%d" % number for number in range(5, 15)]


@pytest.mark.parametrize("early", [True, False], ids=["before the connection", "connected"])
def test_drop_oldest_keeps_no_more_than_hwm_bytes(zmq, sockets, ipc, early):
    """Without a limit of messages nothing was ever dropped."""
    push, pull = sockets(zmq.PUSH, sndhwm=0), sockets(zmq.PULL)
    push.set(zmq.OVERFLOW, DROP_OLDEST)
    push.set(zmq.HWM_BYTES, 10_000)
    push.connect(ipc)
    if not early:
        pull.bind(ipc)
        connected(push)
    for number in range(1000):
        push.send(b"%03d" % number + b"x" * 997)
    if early:
        pull.bind(ipc)
    numbers = [int(pull.recv()[:3])]
    while numbers[-1] < 999:
        numbers.append(int(pull.recv()[:3]))
    assert numbers == list(range(1000 - len(numbers), 1000))
    assert 5 <= len(numbers) <= 10


@pytest.mark.slow
def test_drop_oldest_needs_no_memory_for_what_was_read(zmq, sockets, ipc):
    """Eight bytes per message were kept for ever if the reader kept up."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.set(zmq.OVERFLOW, DROP_OLDEST)
    push.connect(ipc)
    pull.bind(ipc)

    def pages(rounds):
        for _ in range(rounds):
            for _ in range(500):
                push.send(b"")
            for _ in range(500):
                pull.recv()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1])

    before = pages(200)
    assert (pages(2000) - before) * 4096 < 4 << 20, "a million messages left their traces"


def test_body_after_a_routing_id_is_of_the_same_peer_though_newer_messages_come(zmq, sockets, ipc):
    """A keep-latest peer withdrew the message whose id was handed out; another peer's body followed."""
    router, fickle, other = sockets(zmq.ROUTER), sockets(zmq.DEALER), sockets(zmq.DEALER)
    router.bind(ipc)
    fickle.set(zmq.OVERFLOW, KEEP_LATEST)
    fickle.set(zmq.RING_BYTES, 4096)
    router.set(zmq.RING_BYTES, 4096)
    fickle.routing_id, other.routing_id = b"fickle", b"other"
    fickle.connect(ipc)
    connected(fickle, router)
    fickle.send(b"old")
    assert router.recv() == b"fickle"
    other.connect(ipc)
    other.send(b"of the other")
    connected(other)
    for _ in range(200):
        fickle.send(b"x" * 100)  # more than the ring has room for: the newest waits outside
    assert router.recv() in (b"old", b"x" * 100)
    assert not router.rcvmore


# --- HWM_BYTES ----------------------------------------------------------------------------------------------


def test_nodrop_send_is_refused_if_hwm_bytes_has_no_room_for_it(zmq, sockets, ipc):
    """It was asked whether a small message has room; the large one was then dropped in silence."""
    pub, sub = sockets(zmq.XPUB, xpub_nodrop=1), sockets(zmq.SUB)
    pub.set(zmq.HWM_BYTES, 10_000)
    pub.bind(ipc)
    sub.subscribe(b"")
    sub.connect(ipc)
    expect(pub, b"\x01")
    accepted = 0
    while not refused(zmq, "EAGAIN", pub.send, b"%d" % accepted + b"x" * 3000, zmq.DONTWAIT):
        accepted += 1
        assert accepted < 10
    assert pub.stats()["discarded_high_water"] == 0
    assert [message[:1] for message in expect_rest(sub, accepted)] == [b"0", b"1", b"2"]
    pub.send(b"3")  # and it goes on when there is room
    expect(sub, b"3")


def test_message_that_was_read_frees_its_bytes_at_once(zmq, sockets, ipc):
    """The reader told the writer in batches that suit the ring, while the writer waited for a few bytes."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.set(zmq.HWM_BYTES, 1000)
    push.connect(ipc)
    pull.bind(ipc)
    connected(push)
    push.send(b"x" * 2000)
    assert not push.poll(0, zmq.POLLOUT)
    pull.recv()
    assert push.poll(CAP_MS, zmq.POLLOUT)


# --- connecting ---------------------------------------------------------------------------------------------


def subscribe_again_and_again(zmq, link, endpoint, rounds):
    """Connect, say what came, and close, in turn."""
    with zmq.Context() as context:
        for _ in range(rounds):
            with context.socket(zmq.SUB) as sub:
                sub.rcvtimeo = CAP_MS
                sub.subscribe(b"topic")
                sub.connect(endpoint)
                link.tell(sub.recv())


@pytest.mark.slow
def test_who_counts_as_a_peer_counts_with_its_subscriptions(zmq, sockets, ipc, run_child):
    """The subscriptions followed the command that made the subscriber a peer; now and then one came late."""
    pub, rounds = sockets(zmq.PUB), 200
    pub.bind(ipc)
    child = run_child(subscribe_again_and_again, ipc, rounds)
    for number in range(rounds):
        while pub.stats()["connected"] <= number:
            pass  # no pause: the first moment is the one that matters
        pub.send(b"topic")
        assert child.hear() == b"topic"
    child.result()


def test_message_whose_topic_was_cancelled_is_not_counted_as_received(zmq, sockets, endpoint):
    """What a SUB filtered out counted as received, and nothing counted it as dropped."""
    xpub, sub = sockets(zmq.XPUB), sockets(zmq.SUB)
    xpub.bind(endpoint)
    sub.connect(endpoint)
    sub.subscribe(b"a")
    expect(xpub, b"\x01a")
    xpub.send_multipart([b"a", b"late"])
    sub.unsubscribe(b"a")
    sub.subscribe(b"b")
    expect(xpub, b"\x00a")
    expect(xpub, b"\x01b")
    xpub.send(b"b")
    expect(sub, b"b")
    stats = sub.stats()
    assert (stats["messages_received"], stats["bytes_received"], stats["discarded_cancelled"]) == (1, 1, 1)
