"""PUSH and PULL, by RFC 30: work goes out in turn, comes in fairly, and is never thrown away.

Sockets that connect know their peers at once, so tests of exact turns let the side under test connect.
"""

from __future__ import annotations

import itertools

import pytest

from kit import drain, expect, expect_error, expect_nothing, fill, marry, refused, wait_until

# --- what they cannot do -----------------------------------------------------------------------------------


def test_push_cannot_receive(zmq, sockets):
    """RFC 30 PUSH: MAY be connected to any number of PULL peers, and SHALL only send messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.PUSH).recv(zmq.DONTWAIT)


def test_push_cannot_receive_even_when_it_would_wait(zmq, sockets):
    """RFC 30 PUSH: MAY be connected to any number of PULL peers, and SHALL only send messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.PUSH, rcvtimeo=-1).recv()


def test_pull_cannot_send(zmq, sockets):
    """RFC 30 PULL: MAY be connected to any number of PUSH peers, and SHALL only receive messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.PULL).send(b"", zmq.DONTWAIT)


def test_pull_cannot_send_even_when_it_would_wait(zmq, sockets):
    """RFC 30 PULL: MAY be connected to any number of PUSH peers, and SHALL only receive messages."""
    with expect_error(zmq, "ENOTSUP"):
        sockets(zmq.PULL, sndtimeo=-1).send(b"")


def test_push_never_polls_readable(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    assert push.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT


def test_pull_never_polls_writable(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"")
    assert pull.poll(5000, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN


def test_push_without_peer_refuses_to_send(zmq, sockets):
    """RFC 30 PUSH: SHALL block on sending, or return a suitable error, when it has no available peers."""
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PUSH).send(b"", zmq.DONTWAIT)


def test_pull_without_peer_has_nothing(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PULL).recv(zmq.DONTWAIT)


# --- out: in turn ------------------------------------------------------------------------------------------


@pytest.fixture
def fan_out(zmq, sockets, endpoints):
    """One PUSH connected to three bound PULLs."""

    def build(push_options=None, pull_options=None):
        push = sockets(zmq.PUSH, **(push_options or {}))
        pulls = [sockets(zmq.PULL, **(pull_options or {})) for _ in range(3)]
        for pull, endpoint in zip(pulls, endpoints(3), strict=True):
            pull.bind(endpoint)
            push.connect(endpoint)
        return push, pulls

    return build


def test_push_round_robin_out(zmq, fan_out):
    """RFC 30 PUSH: SHALL route outgoing messages to available peers using a round-robin strategy."""
    push, pulls = fan_out()
    for number in range(12):
        push.send(b"%d" % number)
    shares = [[int(pull.recv()) for _ in range(4)] for pull in pulls]
    assert sorted(shares) == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_push_round_robin_goes_by_message_not_by_frame(zmq, fan_out):
    """RFC 30 PUSH: SHALL route outgoing messages to available peers using a round-robin strategy."""
    push, pulls = fan_out()
    for number in range(6):
        push.send_multipart([b"%d" % number] * (number + 1))
    shares = sorted([pull.recv_multipart() for _ in range(2)] for pull in pulls)
    assert shares == [[[b"%d" % n] * (n + 1), [b"%d" % (n + 3)] * (n + 4)] for n in range(3)]


def test_push_includes_a_peer_that_comes_later(zmq, sockets, endpoints):
    """RFC 30 PUSH: SHALL create this queue when a peer connects to it."""
    first_endpoint, second_endpoint = endpoints(2)
    push, first, second = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(first_endpoint)
    push.connect(first_endpoint)
    push.send(b"alone")
    expect(first, b"alone")
    second.bind(second_endpoint)
    push.connect(second_endpoint)
    push.send(b"shared")
    push.send(b"shared")
    expect(first, b"shared")
    expect(second, b"shared")


def test_bound_push_serves_every_peer_that_connects(zmq, sockets, endpoint):
    """RFC 30 PUSH: SHALL create this queue when a peer connects to it."""
    push = sockets(zmq.PUSH)
    push.bind(endpoint)
    pulls = [sockets(zmq.PULL) for _ in range(3)]
    for pull in pulls:
        pull.connect(endpoint)
    marry(push, *pulls)
    for _ in range(9):
        push.send(b"work")
    for pull in pulls:
        for _ in range(3):
            expect(pull, b"work")


def test_push_passes_over_a_full_peer(zmq, sockets, endpoints):
    """RFC 30 PUSH: SHALL consider a peer as available only when it has a outgoing queue that is not full."""
    full_endpoint, free_endpoint = endpoints(2)
    push, free = sockets(zmq.PUSH, sndhwm=1), sockets(zmq.PULL, rcvhwm=0)
    push.connect(full_endpoint)  # nobody is there: its queue holds SNDHWM messages and no more
    free.bind(free_endpoint)
    push.connect(free_endpoint)
    for _ in range(20):
        push.send(b"work")
    for _ in range(19):
        expect(free, b"work")
    expect_nothing(free)


def test_message_refused_with_eagain_is_not_sent_later(zmq, sockets, inproc):
    """RFC 30 PUSH: SHALL not accept further messages when it has no available peers."""
    push, pull = sockets(zmq.PUSH, sndhwm=1), sockets(zmq.PULL, rcvhwm=1)
    pull.bind(inproc)
    push.connect(inproc)
    accepted = fill(zmq, push)
    with expect_error(zmq, "EAGAIN"):
        push.send(b"refused", zmq.DONTWAIT)
    assert [pull.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]
    push.send(b"next")
    expect(pull, b"next")
    expect_nothing(pull)


def test_push_blocks_when_every_pipe_is_full(zmq, sockets, inproc, task):
    """RFC 30 PUSH: SHALL block on sending, or return a suitable error, when it has no available peers."""
    push, pull = sockets(zmq.PUSH, sndhwm=2), sockets(zmq.PULL, rcvhwm=2)
    pull.bind(inproc)
    push.connect(inproc)
    accepted = fill(zmq, push)
    sending = task(push.send, b"the one too many")
    sending.wait_blocked()
    assert [pull.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]
    sending.result()
    expect(pull, b"the one too many")


def test_push_without_peers_blocks_until_one_comes(zmq, sockets, endpoint, task):
    """RFC 30 PUSH: SHALL block on sending, or return a suitable error, when it has no available peers."""
    push = sockets(zmq.PUSH)
    push.bind(endpoint)
    sending = task(push.send, b"first work")
    sending.wait_blocked()
    pull = sockets(zmq.PULL)
    pull.connect(endpoint)
    sending.result()
    expect(pull, b"first work")


def test_push_forgets_a_peer_that_left(zmq, sockets, endpoint):
    """RFC 30 PUSH: [...] If this peer disconnects, the PUSH socket SHALL destroy its queue [...]"""
    push, stays, leaves = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    push.bind(endpoint)
    stays.connect(endpoint)
    leaves.connect(endpoint)
    marry(push, stays, leaves)
    leaves.close(linger=0)

    def nothing_is_lost_any_more():
        for _ in range(2):
            push.send(b"work")
        return wait_until(lambda: len(drain(stays, zmq.DONTWAIT)), "the PULL that stays to get its turn") == 2

    wait_until(nothing_is_lost_any_more, "the PUSH to send both of two messages to its only peer")


# --- in: fairly --------------------------------------------------------------------------------------------


def test_pull_fair_queue_in(zmq, sockets, inproc):
    """RFC 30 PULL: SHALL receive incoming messages from its peers using a fair-queuing strategy."""
    # On inproc what was sent is there; elsewhere nobody can say that all queues hold something.
    pull = sockets(zmq.PULL)
    pull.bind(inproc)
    pushes = [sockets(zmq.PUSH) for _ in range(3)]
    for push in pushes:
        push.connect(inproc)
    for name, push in zip(b"abc", pushes, strict=True):
        for _ in range(4):
            push.send(bytes([name]))
    rounds = [sorted(pull.recv() for _ in range(3)) for _ in range(4)]
    assert rounds == [[b"a", b"b", b"c"]] * 4


def test_pull_hears_a_quiet_peer_beside_a_busy_one(zmq, sockets, endpoints):
    """RFC 30 PULL: SHALL receive incoming messages from its peers using a fair-queuing strategy."""
    busy_endpoint, quiet_endpoint = endpoints(2)
    pull, busy, quiet = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    for push, endpoint in ((busy, busy_endpoint), (quiet, quiet_endpoint)):
        push.bind(endpoint)
        pull.connect(endpoint)
        marry(push, pull)
    for _ in range(500):
        busy.send(b"noise")
    quiet.send(b"whisper")

    def heard():
        busy.send(b"noise")  # the busy queue never runs dry
        return pull.recv() == b"whisper"

    wait_until(heard, "the quiet peer's message among the busy one's")


def test_pull_fair_queue_goes_by_message_not_by_frame(zmq, sockets, inproc):
    """RFC 30 PULL: SHALL receive incoming messages from its peers using a fair-queuing strategy."""
    pull, long, short = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    pull.bind(inproc)
    for push in (long, short):
        push.connect(inproc)
    for _ in range(3):
        long.send_multipart([b"long"] * 5)
        short.send(b"short")
    received = [pull.recv_multipart() for _ in range(6)]
    assert sorted(received[0:2]) == sorted(received[2:4]) == [[b"long"] * 5, [b"short"]]


def test_pull_keeps_the_order_of_each_peer(zmq, sockets, endpoint):
    """RFC 30 PULL: SHALL not filter or modify incoming messages in any way."""
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    pushes = [sockets(zmq.PUSH) for _ in range(3)]
    for push in pushes:
        push.connect(endpoint)
    for number, (name, push) in itertools.product(range(100), zip(b"abc", pushes, strict=True)):
        push.send(b"%c%d" % (name, number))
    received = [pull.recv() for _ in range(300)]
    for name in (b"a", b"b", b"c"):
        mine = [message for message in received if message.startswith(name)]
        assert mine == [b"%s%d" % (name, number) for number in range(100)]


def test_pull_reads_what_a_peer_sent_before_it_closed(zmq, sockets, endpoint):
    """RFC 30 PULL: SHALL deliver these to its calling application."""
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(endpoint)
    push.connect(endpoint)
    for number in range(100):
        push.send(b"%d" % number)
    push.close(linger=-1)
    assert [pull.recv() for _ in range(100)] == [b"%d" % number for number in range(100)]


# --- queues before and after a connection ------------------------------------------------------------------


def test_push_queues_for_a_peer_that_is_not_there_yet(zmq, sockets, endpoint):
    """RFC 30 PUSH: SHALL create this queue when initiating an outgoing connection to a peer [...]"""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    for number in range(1000):
        push.send(b"%d" % number, zmq.DONTWAIT)
    pull.bind(endpoint)
    assert [pull.recv() for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_pull_that_connects_first_is_served_when_the_push_binds(zmq, sockets, endpoint):
    """RFC 30 PULL: SHALL create this queue when initiating an outgoing connection to a peer [...]"""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.connect(endpoint)
    push.bind(endpoint)
    push.send(b"work")
    expect(pull, b"work")


def test_messages_before_and_after_the_binder_comes_keep_their_order(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    for number in range(500):
        push.send(b"%d" % number)
    pull.bind(endpoint)
    for number in range(500, 1000):
        push.send(b"%d" % number)
    assert [pull.recv() for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_push_reconnects_when_its_binder_comes_back(zmq, sockets, ipc):
    """RFC 30 PUSH: [...] and SHALL maintain the queue whether or not the connection is established."""
    # ipc only: on inproc a binder that closes takes the connection with it for good.
    push, first = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    first.bind(ipc)
    push.connect(ipc)
    marry(push, first)
    first.close(linger=0)
    second = sockets(zmq.PULL)
    second.bind(ipc)

    def arrives():
        push.send(b"again")
        return second.poll(50)

    wait_until(arrives, "a message to reach the binder that came back")


@pytest.mark.shmzmq_only("libzmq loses what was under way to the old binder")
@pytest.mark.parametrize("before", [0, 1, 900, 1900])
def test_binder_that_closed_unread_leaves_all_messages_to_its_successor(zmq, sockets, ipc, before):
    push, first = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    first.bind(ipc)
    push.connect(ipc)
    marry(push, first)
    for number in range(before):
        push.send(b"%d" % number)
    first.close(linger=0)
    second = sockets(zmq.PULL)
    second.bind(ipc)
    for number in range(before, before + 50):
        push.send(b"%d" % number)
    assert [second.recv() for _ in range(before + 50)] == [b"%d" % number for number in range(before + 50)]


@pytest.mark.shmzmq_only("libzmq loses what was under way to the old binder")
def test_messages_sent_between_two_binders_come_after_those_that_the_first_left_unread(zmq, sockets, ipc):
    push, first = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    first.bind(ipc)
    push.connect(ipc)
    marry(push, first)
    for number in range(400):
        push.send(b"%d" % number)
    first.close(linger=0)
    for number in range(400, 800):
        push.send(b"%d" % number)
    second = sockets(zmq.PULL)
    second.bind(ipc)
    assert [second.recv() for _ in range(800)] == [b"%d" % number for number in range(800)]


@pytest.mark.shmzmq_only("libzmq loses what was under way to the old binder")
def test_successor_of_a_binder_gets_only_what_was_not_received(zmq, sockets, ipc):
    push, first = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    first.bind(ipc)
    push.connect(ipc)
    for number in range(100):
        push.send(b"%d" % number)
    assert [first.recv() for _ in range(40)] == [b"%d" % number for number in range(40)]
    first.close(linger=0)
    second = sockets(zmq.PULL)
    second.bind(ipc)
    push.send(b"100")
    assert [second.recv() for _ in range(61)] == [b"%d" % number for number in range(40, 101)]


def test_inproc_push_loses_its_peer_when_the_binder_closes(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    pull.close()
    wait_until(lambda: not push.poll(0, zmq.POLLOUT), "the PUSH to see its peer go")
    with expect_error(zmq, "EAGAIN"):
        push.send(b"to nobody", zmq.DONTWAIT)


# --- several endpoints -------------------------------------------------------------------------------------


def test_pull_receives_through_several_binds(zmq, sockets, new_endpoint):
    pull = sockets(zmq.PULL)
    places = [new_endpoint(scheme) for scheme in ("ipc", "inproc", "ipc", "inproc")]
    for number, place in enumerate(places):
        pull.bind(place)
        push = sockets(zmq.PUSH)
        push.connect(place)
        push.send(b"%d" % number)
    assert sorted(pull.recv() for _ in places) == [b"0", b"1", b"2", b"3"]


def test_push_may_bind_and_connect_at_once(zmq, sockets, endpoints):
    bound_at, connected_to = endpoints(2)
    push, caller, server = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    push.bind(bound_at)
    server.bind(connected_to)
    caller.connect(bound_at)
    push.connect(connected_to)
    marry(push, caller, server)
    for _ in range(4):
        push.send(b"work")
    for pull in (caller, server, caller, server):
        expect(pull, b"work")


def test_push_that_connects_twice_has_two_turns(zmq, sockets, endpoints):
    once, twice = endpoints(2)
    push, single, double = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    single.bind(once)
    double.bind(twice)
    for place in (once, twice, twice):
        push.connect(place)
    for _ in range(6):
        push.send(b"work")
    for pull, share in ((single, 2), (double, 4)):
        for _ in range(share):
            expect(pull, b"work")


def test_disconnect_ends_all_connections_to_an_endpoint(zmq, sockets, endpoint):
    """The second went on, and messages to whom the program had just left."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.connect(endpoint)
    for _ in range(2):
        push.send(b"while connected")
        expect(pull, b"while connected")
    push.disconnect(endpoint)
    wait_until(lambda: refused(zmq, "EAGAIN", push.send, b"x", zmq.DONTWAIT), "both to end")
    with expect_error(zmq, "ENOENT"):
        push.disconnect(endpoint)


# --- nothing is changed, and nothing is lost ---------------------------------------------------------------


@pytest.mark.parametrize("frames", [[b""], [b"", b""], [b"a", b"", b"\x00\xff" * 300], [b"f"] * 300], ids=len)
def test_messages_pass_unmodified(zmq, sockets, endpoint, frames):
    """Both sides of it.

    RFC 30 PUSH: SHALL not filter or modify outgoing messages in any way.
    RFC 30 PULL: SHALL not filter or modify incoming messages in any way.
    """
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send_multipart(frames)
    expect(pull, *frames)


def test_push_has_a_queue_for_each_peer(zmq, sockets, endpoints):
    """RFC 30 PUSH: SHALL maintain an outgoing message queue for each connected peer."""
    push = sockets(zmq.PUSH, sndhwm=5)
    for endpoint in endpoints(3):
        push.connect(endpoint)  # nobody is there: each queue holds SNDHWM messages
    assert fill(zmq, push) == 3 * 5


def test_push_queue_holds_what_sndhwm_says(zmq, sockets, endpoint):
    """RFC 30 PUSH: SHOULD constrain queue sizes to a runtime-configurable limit."""
    push = sockets(zmq.PUSH, sndhwm=7)
    push.connect(endpoint)
    assert fill(zmq, push) == 7


def test_push_loses_nothing_that_it_accepted(zmq, sockets, endpoint):
    """RFC 30 PUSH: SHALL NOT discard messages that it cannot queue."""
    push, pull = sockets(zmq.PUSH, sndhwm=5), sockets(zmq.PULL, rcvhwm=5)
    pull.bind(endpoint)
    push.connect(endpoint)
    accepted = fill(zmq, push)
    push.close(linger=-1)
    assert [pull.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]


def test_pull_has_a_queue_for_each_peer(zmq, sockets, endpoint):
    """RFC 30 PULL: SHALL maintain an incoming queue for each connected peer."""
    pull = sockets(zmq.PULL, rcvhwm=5)
    pull.bind(endpoint)
    pushes = [sockets(zmq.PUSH, sndhwm=5) for _ in range(3)]
    for push in pushes:
        push.connect(endpoint)
    accepted = [fill(zmq, push) for push in pushes]  # none of them fills another's queue
    assert min(accepted) >= 5
    received = [pull.recv() for _ in range(sum(accepted))]
    assert sorted(received) == sorted(b"%d" % number for count in accepted for number in range(count))


def test_pull_queue_is_limited_by_rcvhwm(zmq, sockets, inproc):
    """RFC 30 PULL: SHOULD constrain incoming queue sizes to a runtime-configurable limit."""
    # inproc only: there the two marks add up exactly, with no kernel between them.
    pull, push = sockets(zmq.PULL, rcvhwm=3), sockets(zmq.PUSH, sndhwm=4)
    pull.bind(inproc)
    push.connect(inproc)
    assert fill(zmq, push) == 7


def test_bound_pull_hears_every_peer_that_connects(zmq, sockets, endpoint):
    """RFC 30 PULL: SHALL create this queue when a peer connects to it. [...]"""
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    for name in (b"first", b"second", b"third"):
        push = sockets(zmq.PUSH)
        push.connect(endpoint)
        push.send(name)
        expect(pull, name)


def test_pull_goes_on_without_a_peer_that_left(zmq, sockets, endpoint):
    """RFC 30 PULL: [...] If this peer disconnects, the PULL socket SHALL destroy its queue [...]"""
    pull, stays, leaves = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    pull.bind(endpoint)
    for push in (stays, leaves):
        push.connect(endpoint)
        push.send(b"hello")
        expect(pull, b"hello")
    leaves.close(linger=0)
    for number in range(50):
        stays.send(b"%d" % number)
        expect(pull, b"%d" % number)
    expect_nothing(pull)


def test_pull_that_connects_hears_a_push_that_came_back(zmq, sockets, ipc):
    """RFC 30 PULL: [...] and SHALL maintain the queue whether or not the connection is established."""
    # ipc only: on inproc a binder that closes takes the connection with it for good.
    pull, first = sockets(zmq.PULL, reconnect_ivl=10), sockets(zmq.PUSH)
    first.bind(ipc)
    pull.connect(ipc)
    first.send(b"first")
    expect(pull, b"first")
    first.close(linger=0)
    second = sockets(zmq.PUSH)
    second.bind(ipc)
    second.send(b"second")
    expect(pull, b"second")
