"""Options of connections do what they say; a monitor is the witness.

Source: zmq_setsockopt(3), the draft options' sections of it included. pyzmq's libzmq has no draft options:
their tests run on shmzmq only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys

import pytest

from kit import CAP, expect, expect_error, expect_nothing, marry, path_of, refused, wait_until
from watching import (
    GREETING,
    Watch,
    command,
    dial,
    expect_doubled,
    hear_command,
    hear_greeting,
    listen,
    ready,
)

DRAFT = "a draft option, which libzmq as pyzmq ships it refuses"


@pytest.fixture
def retried_often(zmq, sockets, watch):
    """A function that returns when another connecter was retried several times at the endpoint."""

    def wait(endpoint):
        push = sockets(zmq.PUSH, reconnect_ivl=10)
        events = watch(push)
        push.connect(endpoint)
        for _ in range(5):
            events.until("CONNECT_RETRIED")

    return wait


# --- RECONNECT_IVL, RECONNECT_IVL_MAX ----------------------------------------------------------------------


def test_reconnect_ivl_is_the_least_that_is_waited(zmq, sockets, watch, ipc):
    """zmq_setsockopt(3) ZMQ_RECONNECT_IVL; without a maximum libzmq adds up to as much at random."""
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(ipc)
    intervals = [events.until("CONNECT_RETRIED")[-1].value for _ in range(6)]
    assert min(intervals) >= 10
    assert max(intervals) < 20


@pytest.mark.parametrize("never", [-1, 0])
def test_reconnect_ivl_of_nothing_is_never(zmq, sockets, watch, ipc, retried_often, never):
    push = sockets(zmq.PUSH, reconnect_ivl=never)
    events = watch(push)
    push.connect(ipc)
    events.names("CLOSED")
    retried_often(ipc)
    assert not events.reader.poll(0)


def test_reconnect_ivl_max_doubles_and_a_connection_begins_anew(zmq, sockets, watch, ipc):
    """zmq_setsockopt(3) ZMQ_RECONNECT_IVL_MAX."""
    push, pull = sockets(zmq.PUSH, reconnect_ivl=5, reconnect_ivl_max=20), sockets(zmq.PULL)
    events = watch(push)
    push.connect(ipc)
    expect_doubled([events.until("CONNECT_RETRIED")[-1].value for _ in range(4)], 5, 20)
    pull.bind(ipc)
    events.until("HANDSHAKE_SUCCEEDED")
    pull.close()
    expect_doubled([events.until("CONNECT_RETRIED")[-1].value for _ in range(3)], 5, 20)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_connecter_without_an_fd_waits_and_tries_again(zmq, sockets, run_child, endpoint):
    """socket(2) EMFILE is as good as a refusal: RECONNECT_IVL passes between two attempts."""
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    child = run_child(_connecter_without_fds, endpoint)
    told = child.hear()
    assert [name for name, _ in told] == ["CONNECT_RETRIED"] * len(told)
    assert all(10 <= value < 20 for _, value in told)
    expect(pull, b"an fd was free")
    child.tell("thanks")


def _connecter_without_fds(zmq, link, endpoint):
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.reconnect_ivl = 10
    events = Watch(zmq, push)
    # The I/O thread, and the modules that connect imports, are there before the fds are gone.
    other = context.socket(zmq.PUSH)
    other.connect(endpoint)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is on the fd's number, so what the other connection closes meanwhile is of no use either.
    resource.setrlimit(resource.RLIMIT_NOFILE, (sys.stderr.fileno() + 1, hard))
    push.connect(endpoint)
    told = [tuple(events.next()[:2]) for _ in range(5)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    link.tell(told)
    push.send(b"an fd was free")
    link.hear()
    events.end()
    context.destroy()


# --- HANDSHAKE_IVL, CONNECT_TIMEOUT, BACKLOG ---------------------------------------------------------------


@pytest.mark.parametrize("spoken", [b"", GREETING], ids=["silent", "greets"])
def test_handshake_ivl_ends_a_connection_that_says_no_more(zmq, sockets, watch, ipc, spoken):
    pull = sockets(zmq.PULL, handshake_ivl=20)
    pull.bind(ipc)
    events = watch(pull)
    with dial(ipc) as peer:
        peer.sendall(spoken)
        _a, failed, _d = events.names("ACCEPTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED")
    assert failed.value == errno.EAGAIN


def test_handshake_ivl_makes_a_connecter_try_again(zmq, sockets, watch, ipc):
    push = sockets(zmq.PUSH, handshake_ivl=20)
    events = watch(push)
    with listen(ipc):
        push.connect(ipc)
        events.names("CONNECTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED", "CONNECT_RETRIED")


def test_connect_timeout_does_not_end_the_attempts(zmq, sockets, watch, ipc):
    """zmq_setsockopt(3) ZMQ_CONNECT_TIMEOUT: of one connect() call; a UNIX socket's never waits."""
    push, pull = sockets(zmq.PUSH, connect_timeout=1, reconnect_ivl=10), sockets(zmq.PULL)
    events = watch(push)
    push.connect(ipc)
    events.until("CONNECT_RETRIED")
    pull.bind(ipc)
    events.until("HANDSHAKE_SUCCEEDED")


def test_a_full_backlog_is_retried(zmq, sockets, watch, ipc):
    """listen(2): AF_UNIX connects fail with EAGAIN while the queue is full."""
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    with listen(ipc, backlog=0) as listener, dial(ipc):
        push.connect(ipc)
        events.names("CLOSED", "CONNECT_RETRIED")
        listener.accept()[0].close()
        events.until("CONNECTED")


def test_a_backlog_of_one_is_enough_for_many_one_after_another(zmq, sockets, ipc):
    pull = sockets(zmq.PULL, backlog=1)
    pull.bind(ipc)
    for number in range(8):
        push = sockets(zmq.PUSH, reconnect_ivl=5)
        push.connect(ipc)
        push.send(b"%d" % number)
    assert sorted(pull.recv() for _ in range(8)) == [b"%d" % number for number in range(8)]


# --- IMMEDIATE, LAST_ENDPOINT, MAXMSGSIZE, THREAD_SAFE -----------------------------------------------------


def test_immediate_queues_for_connected_peers_only(zmq, sockets, watch, ipc):
    """zmq_setsockopt(3) ZMQ_IMMEDIATE."""
    push, pull = sockets(zmq.PUSH, immediate=1, reconnect_ivl=10), sockets(zmq.PULL)
    events = watch(push)
    push.connect(ipc)
    events.until("CONNECT_RETRIED")
    with expect_error(zmq, "EAGAIN"):
        push.send(b"x", zmq.DONTWAIT)
    pull.bind(ipc)
    push.send(b"first")
    expect(pull, b"first")
    pull.close()
    events.until("DISCONNECTED")
    wait_until(lambda: refused(zmq, "EAGAIN", push.send, b"x", zmq.DONTWAIT), "the pipe to end")


def test_last_endpoint_stays_after_unbind_and_disconnect(zmq, sockets, new_endpoint):
    one, other = new_endpoint("ipc"), new_endpoint("ipc")
    pull = sockets(zmq.PULL)
    assert pull.last_endpoint == b""
    pull.bind(one)
    pull.bind(other)
    pull.unbind(other)
    assert pull.last_endpoint == other.encode()
    pull.connect(one)
    pull.disconnect(one)
    assert pull.last_endpoint == one.encode()


def test_last_endpoint_of_a_wildcard_can_be_connected_and_unbound(zmq, sockets):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind("ipc://*")
    endpoint = pull.last_endpoint.decode()
    push.connect(endpoint)
    push.send(b"x")
    expect(pull, b"x")
    assert push.last_endpoint == pull.last_endpoint
    pull.unbind(endpoint)
    wait_until(lambda: not os.path.exists(path_of(endpoint)), "the path to go")


def test_maxmsgsize_disconnects_whoever_sends_more(zmq, sockets, watch, task, ipc):
    """zmq_setsockopt(3) ZMQ_MAXMSGSIZE: a peer that sends a larger message is disconnected."""
    pull, push = sockets(zmq.PULL, maxmsgsize=100), sockets(zmq.PUSH, reconnect_ivl=10)
    pull.bind(ipc)
    here, there = watch(pull), watch(push)
    push.connect(ipc)
    here.until("HANDSHAKE_SUCCEEDED")
    there.until("HANDSHAKE_SUCCEEDED")
    push.send(bytes(100))
    expect(pull, bytes(100))
    receiving = task(pull.recv)
    push.send(bytes(101))
    here.until("DISCONNECTED")
    there.until("DISCONNECTED")
    there.until("HANDSHAKE_SUCCEEDED")
    here.until("HANDSHAKE_SUCCEEDED")
    push.send(b"fits")
    assert receiving.result() == b"fits"


BEYOND_100 = {
    "only": [bytes(101)],
    "first": [bytes(101), b"b", b"c"],
    "middle": [b"a", bytes(101), b"c"],
    "last": [b"a", b"b", bytes(101)],
    "two": [b"a", bytes(101), bytes(20_000)],
    "block": [b"a", bytes(20_000), b"c"],
    "behind a block": [bytes(20_000), b"b", b"c"],
}


@pytest.mark.shmzmq_only("what is not received before a disconnect is lost in libzmq")
@pytest.mark.parametrize("receive", ["recv", "recv_multipart", "frames", "recv_many"])
@pytest.mark.parametrize("message", BEYOND_100.values(), ids=BEYOND_100)
def test_message_with_a_frame_beyond_maxmsgsize_is_dropped_whole_and_not_sent_again(
    zmq, sockets, ipc, message, receive
):
    """Its first frames were handed out, and an empty one instead of the one too long."""
    pull, push = sockets(zmq.PULL, maxmsgsize=100), sockets(zmq.PUSH, reconnect_ivl=1)
    pull.bind(ipc)
    push.connect(ipc)
    push.send_multipart([b"before", bytes(100)])
    push.send_multipart(message)
    push.send_multipart([b"after", bytes(100)])
    receivers = {
        "recv": lambda: [pull.recv(), pull.recv()],
        "recv_multipart": pull.recv_multipart,
        "frames": lambda: [frame.bytes for frame in pull.recv_multipart(copy=False)],
        "recv_many": lambda: pull.recv_many(1, multipart=True)[0],
    }
    assert receivers[receive]() == [b"before", bytes(100)]
    assert receivers[receive]() == [b"after", bytes(100)]
    assert not pull.rcvmore
    assert pull.stats()["protocol_errors"] == 1
    wait_until(lambda: push.stats()["arena_lent"] == 0, "blocks of what was dropped to be back")


@pytest.mark.parametrize("kind", ["PAIR", "PUSH", "PULL", "REQ", "REP", "DEALER", "ROUTER"])
def test_thread_safe_is_zero(zmq, sockets, kind):
    assert sockets(getattr(zmq, kind)).get(zmq.THREAD_SAFE) == 0


# --- RECONNECT_STOP ----------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq looks at this bit over tcp only")
def test_reconnect_stop_ends_at_a_refused_connection(zmq, sockets, watch, ipc, retried_often):
    """zmq_setsockopt(3) ZMQ_RECONNECT_STOP_CONN_REFUSED: ECONNREFUSED, a file where nobody listens."""
    push = sockets(zmq.PUSH, reconnect_stop=zmq.RECONNECT_STOP_CONN_REFUSED, reconnect_ivl=1)
    events = watch(push)
    push.connect(ipc)
    events.names("CLOSED", "CONNECT_RETRIED")  # ENOENT is not a refusal
    with listen(ipc) as listener:
        wire, _ = listener.accept()
        listener.close()  # first, or the next attempt is quicker
        wire.close()
        events.until("DISCONNECTED")
        events.names("CONNECT_RETRIED", "CLOSED")
        retried_often(ipc)
        assert not events.reader.poll(0)


@pytest.fixture
def stopping(zmq, sockets, watch):
    """A function that gives a PUSH with these bits of RECONNECT_STOP, and what its monitor tells."""

    def make(bits, **options):
        push = sockets(zmq.PUSH, reconnect_stop=bits, reconnect_ivl=1, **options)
        return push, watch(push, zmq.EVENT_ALL & ~zmq.EVENT_CONNECT_DELAYED)

    return make


NO_DETAIL, BY_PROTOCOL = "HANDSHAKE_FAILED_NO_DETAIL", "HANDSHAKE_FAILED_PROTOCOL"
OTHER_MECHANISM = GREETING[:12] + b"PLAIN".ljust(20, b"\0") + GREETING[32:]

FAILS_A_HANDSHAKE = {
    "leaves": (b"", 0, [NO_DETAIL]),
    "is silent": (b"", 30, [NO_DETAIL]),
    "greets": (GREETING, 30, [NO_DETAIL]),
    "another mechanism": (OTHER_MECHANISM, 0, [BY_PROTOCOL]),
    "a message before READY": (GREETING + b"\x00\x05hello", 0, [BY_PROTOCOL]),
    "a type that does not fit": (GREETING + ready(b"PUSH"), 0, []),
}
"""What a listener says before it leaves, after how many milliseconds the connecter waits for no more, and its
events between CONNECTED and DISCONNECTED."""


@pytest.fixture(params=FAILS_A_HANDSHAKE)
def said(request):
    return request.param


def fail_handshake(listener, events, said):
    """The next connection to the listener fails, and the connecter has told so."""
    spoken, _ivl, failed = FAILS_A_HANDSHAKE[said]
    peer, _ = listener.accept()
    with contextlib.closing(peer):
        peer.sendall(spoken)
        if said == "leaves":
            peer.close()
        events.names("CONNECTED", *failed, "DISCONNECTED")


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
@pytest.mark.parametrize("bits", [2, 7])
def test_reconnect_stop_ends_at_a_failed_handshake(stopping, endpoint, retried_often, said, bits):
    """zmq_setsockopt(3) ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED."""
    push, events = stopping(bits, handshake_ivl=FAILS_A_HANDSHAKE[said][1])
    with listen(endpoint) as listener:
        push.connect(endpoint)
        fail_handshake(listener, events, said)
    retried_often(endpoint)
    assert not events.reader.poll(0)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
@pytest.mark.parametrize("bits", [0, 5])
def test_other_bits_of_reconnect_stop_do_not_end_at_a_failed_handshake(
    backend, stopping, endpoint, said, bits
):
    if backend == "zmq" and FAILS_A_HANDSHAKE[said][2] != [NO_DETAIL]:
        pytest.skip("libzmq's connecter gives up for ever where the peer does not speak as it should")
    push, events = stopping(bits, handshake_ivl=FAILS_A_HANDSHAKE[said][1])
    with listen(endpoint) as listener:
        push.connect(endpoint)
        for _ in range(2):
            fail_handshake(listener, events, said)
            events.names("CONNECT_RETRIED")


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_reconnect_stop_does_not_end_at_the_loss_of_a_connection(zmq, sockets, stopping, endpoint, bits):
    """Neither bit is about a connection whose handshake was over: the PUSH finds the next PULL."""
    push, events = stopping(bits)
    for number in range(2):
        pull = sockets(zmq.PULL)
        wait_until(lambda pull=pull: not refused(zmq, "EADDRINUSE", pull.bind, endpoint), "the address")
        if not number:
            push.connect(endpoint)
        events.until("HANDSHAKE_SUCCEEDED")
        push.send(b"%d" % number)
        expect(pull, b"%d" % number)
        pull.close()
        events.until("CONNECT_RETRIED")


LINGERS = pytest.mark.shmzmq_only("libzmq delivers all the same, or waits for it in term")


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
@pytest.mark.parametrize("bits", [0, 2, pytest.param(4, marks=LINGERS), pytest.param(6, marks=LINGERS)])
def test_reconnect_stop_after_disconnect_gives_up_what_is_queued(zmq, sockets, endpoint, retried_often, bits):
    """zmq_setsockopt(3) ZMQ_RECONNECT_STOP_AFTER_DISCONNECT."""
    push, pull = sockets(zmq.PUSH, reconnect_stop=bits, reconnect_ivl=1), sockets(zmq.PULL)
    push.connect(endpoint)
    push.send(b"queued")
    push.disconnect(endpoint)
    if bits & 4:
        wait_until(lambda: push.stats()["discarded_peer_gone"] == 1, "the message to be given up")
    retried_often(endpoint)
    pull.bind(endpoint)
    if bits & 4:
        push.connect(endpoint)
        push.send(b"later")
        expect(pull, b"later")
    else:
        expect(pull, b"queued")


@LINGERS
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_reconnect_stop_after_disconnect_makes_the_attempt_under_way_the_last(
    stopping, endpoint, retried_often
):
    push, events = stopping(4)
    with listen(endpoint) as listener:
        push.connect(endpoint)
        push.send(b"queued")
        peer, _ = listener.accept()
        with peer:
            events.names("CONNECTED")
            push.disconnect(endpoint)
    events.names("HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED")
    wait_until(lambda: push.stats()["discarded_peer_gone"] == 1, "the message to be given up")
    retried_often(endpoint)
    assert not events.reader.poll(0)


# --- authentication ----------------------------------------------------------------------------------------


@pytest.fixture
def denied(zmq, sockets, watch, endpoint):
    """A function that has a connecter hear a status of RFC 27 in an ERROR, and gives its monitor."""

    def deny(status):
        push = sockets(zmq.PUSH, reconnect_ivl=1)
        events = watch(push, zmq.EVENT_ALL & ~zmq.EVENT_CONNECT_DELAYED)
        with listen(endpoint) as listener:
            push.connect(endpoint)
            peer, _ = listener.accept()
            with peer:
                peer.sendall(GREETING)
                hear_greeting(peer)
                assert hear_command(peer)[0] == b"READY"
                peer.sendall(command(b"ERROR", b"\x03%d" % status))
                _c, failed, _d = events.names("CONNECTED", "HANDSHAKE_FAILED_AUTH", "DISCONNECTED")
        assert failed[1:] == (status, endpoint)
        return events

    return deny


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
@pytest.mark.parametrize("status", [400, 500])
def test_a_connecter_that_is_denied_for_good_does_not_come_again(denied, retried_often, endpoint, status):
    """RFC 37 ERROR is fatal."""
    events = denied(status)
    retried_often(endpoint)
    assert not events.reader.poll(0)


@pytest.mark.shmzmq_only("libzmq's connecter does not come again")
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_connecter_that_is_denied_for_now_comes_again(denied, endpoint):
    """RFC 27: status 300 is a temporary error."""
    denied(300).names("CONNECT_RETRIED")


# --- ROUTER_NOTIFY -----------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only(DRAFT)
def test_router_notify_tells_peers_that_come_and_go_in_order(zmq, sockets, ipc):
    """zmq_setsockopt(3) ZMQ_ROUTER_NOTIFY: an empty message with the peer's routing id."""
    both = zmq.NOTIFY_CONNECT | zmq.NOTIFY_DISCONNECT
    router, dealer = sockets(zmq.ROUTER, router_notify=both), sockets(zmq.DEALER, routing_id=b"me")
    assert router.router_notify == 3
    router.bind(ipc)
    dealer.connect(ipc)
    expect(router, b"me", b"")
    dealer.send(b"one")
    dealer.send(b"two")
    dealer.close()
    expect(router, b"me", b"one")
    expect(router, b"me", b"two")
    expect(router, b"me", b"")


@pytest.mark.shmzmq_only(DRAFT)
@pytest.mark.parametrize(("notify", "told"), [(0, 0), (1, 1), (2, 1)])
def test_router_notify_tells_what_was_asked_for(zmq, sockets, ipc, notify, told):
    router, dealer = sockets(zmq.ROUTER, router_notify=notify), sockets(zmq.DEALER)
    router.bind(ipc)
    dealer.connect(ipc)
    wait_until(lambda: router.stats()["connected"], "the peer to be there")
    dealer.close()
    wait_until(lambda: router.stats()["disconnected"], "the peer to be gone")
    for _ in range(told):
        assert router.recv_multipart()[1] == b""
    expect_nothing(router)


@pytest.mark.shmzmq_only(DRAFT)
def test_router_notify_tells_a_killed_peer(zmq, sockets, run_child, ipc):
    router = sockets(zmq.ROUTER, router_notify=zmq.NOTIFY_DISCONNECT)
    router.bind(ipc)
    child = run_child(_dealer_until_killed, ipc)
    expect(router, b"child", b"here")
    child.kill()
    expect(router, b"child", b"")


def _dealer_until_killed(zmq, link, endpoint):
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.routing_id = b"child"
    dealer.connect(endpoint)
    dealer.send(b"here")
    link.hear(10 * CAP)


@pytest.mark.shmzmq_only(DRAFT)
def test_router_notify_is_silent_of_a_routing_id_that_was_handed_over(zmq, sockets, ipc):
    router = sockets(zmq.ROUTER, router_notify=zmq.NOTIFY_DISCONNECT, router_handover=1)
    router.bind(ipc)
    dealers = []
    for text in (b"first", b"second"):
        dealers.append(sockets(zmq.DEALER, routing_id=b"same"))
        dealers[-1].connect(ipc)
        dealers[-1].send(text)
        expect(router, b"same", text)
    dealers[0].close()
    wait_until(lambda: router.stats()["disconnected"], "the first to be gone")
    expect_nothing(router)


@pytest.mark.shmzmq_only(DRAFT)
def test_router_notify_is_not_told_of_what_we_end(zmq, sockets, ipc):
    router, dealer = sockets(zmq.ROUTER, router_notify=2), sockets(zmq.DEALER)
    router.bind(ipc)
    dealer.connect(ipc)
    marry(dealer, router)
    router.unbind(ipc)
    expect_nothing(router)


@pytest.mark.shmzmq_only(DRAFT)
@pytest.mark.parametrize("value", [-1, 4])
def test_router_notify_takes_its_bits_only(zmq, sockets, value):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.ROUTER).router_notify = value


# --- HELLO_MSG, DISCONNECT_MSG, HICCUP_MSG -----------------------------------------------------------------


@pytest.fixture(params=["ring", "zmtp", "tcp"])
def wire(request, new_endpoint, monkeypatch):
    """A fresh endpoint, for each way to a peer outside; zmtp is ipc without rings."""
    if request.param == "zmtp":
        monkeypatch.setenv("SHMZMQ_IPC", "zmtp")
    return new_endpoint("tcp" if request.param == "tcp" else "ipc")


@pytest.fixture(params=["inproc", "ring", "zmtp", "tcp"])
def any_wire(request, new_endpoint, monkeypatch):
    """The same, and within the process."""
    if request.param == "zmtp":
        monkeypatch.setenv("SHMZMQ_IPC", "zmtp")
    return new_endpoint(request.param if request.param in ("inproc", "tcp") else "ipc")


@pytest.mark.shmzmq_only(DRAFT)
def test_hello_of_who_connects_comes_before_all_it_sends(zmq, sockets, any_wire):
    """zmq_setsockopt(3) ZMQ_HELLO_MSG: sent when a new connection is made or accepted."""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, routing_id=b"me", hello_msg=b"hello")
    dealer.connect(any_wire)
    dealer.send(b"queued")
    router.bind(any_wire)
    expect(router, b"me", b"hello")
    expect(router, b"me", b"queued")


@pytest.mark.shmzmq_only(DRAFT)
@pytest.mark.parametrize("kind", ["ROUTER", "DEALER"])
def test_hello_of_who_binds_reaches_every_peer(zmq, sockets, any_wire, kind):
    binder = sockets(getattr(zmq, kind), hello_msg=b"hello")
    binder.bind(any_wire)
    for _ in range(3):
        dealer = sockets(zmq.DEALER)
        dealer.connect(any_wire)
        expect(dealer, b"hello")


@pytest.mark.shmzmq_only(DRAFT)
def test_hello_is_said_again_on_each_connection_and_only_once(zmq, sockets, ipc):
    dealer = sockets(zmq.DEALER, routing_id=b"me", hello_msg=b"hello", reconnect_ivl=5)
    dealer.connect(ipc)
    for number in range(3):
        with sockets(zmq.ROUTER) as router:
            router.bind(ipc)
            # Not read by the first of them: the next gets what is queued, with one hello.
            wait_until(lambda r=router: r.stats()["connected"], "the DEALER to be back")
            dealer.send(b"%d" % number)
            wait_until(lambda r=router: r.poll(0), "something to be there")
    router = sockets(zmq.ROUTER)
    router.bind(ipc)
    expect(router, b"me", b"hello")
    for number in range(3):
        expect(router, b"me", b"%d" % number)
    dealer.send(b"end")
    expect(router, b"me", b"end")


@pytest.mark.shmzmq_only(DRAFT)
def test_hello_begins_every_connection(zmq, sockets, wire):
    dealer = sockets(zmq.DEALER, routing_id=b"me", hello_msg=b"hello", reconnect_ivl=5)
    dealer.connect(wire)
    for number in range(3):
        with sockets(zmq.ROUTER) as router:
            router.bind(wire)
            expect(router, b"me", b"hello")
            dealer.send(b"%d" % number)
            expect(router, b"me", b"%d" % number)
            expect_nothing(router)


@pytest.mark.shmzmq_only(DRAFT)
def test_what_is_kept_for_the_next_peer_is_whole_also_if_the_hello_made_room_for_it(zmq, sockets, ipc):
    dealer = sockets(zmq.DEALER, routing_id=b"me", hello_msg=b"hello", sndhwm=2, reconnect_ivl=5)
    dealer.set(zmq.OVERFLOW, zmq.Overflow.DROP_OLDEST)
    dealer.connect(ipc)
    with sockets(zmq.ROUTER, rcvhwm=2) as router:
        router.bind(ipc)
        wait_until(lambda: router.stats()["connected"], "the DEALER to be there")
        for number in range(4):
            dealer.send(b"%d" % number)
    router = sockets(zmq.ROUTER)
    router.bind(ipc)
    expect(router, b"me", b"hello")
    for number in range(4):
        expect(router, b"me", b"%d" % number)


@pytest.mark.shmzmq_only(DRAFT)
def test_disconnect_message_comes_after_the_last_of_an_accepted_peer(zmq, sockets, any_wire):
    """zmq_setsockopt(3) ZMQ_DISCONNECT_MSG: when an accepted peer was disconnected."""
    router, dealer = sockets(zmq.ROUTER, disconnect_msg=b"gone"), sockets(zmq.DEALER, routing_id=b"me")
    router.bind(any_wire)
    dealer.connect(any_wire)
    dealer.send(b"one")
    dealer.send(b"two")
    dealer.close()
    expect(router, b"me", b"one")
    expect(router, b"me", b"two")
    expect(router, b"me", b"gone")
    expect_nothing(router)


@pytest.mark.shmzmq_only(DRAFT)
def test_disconnect_message_comes_of_a_disconnect_too(zmq, sockets, any_wire):
    router, dealer = sockets(zmq.ROUTER, disconnect_msg=b"gone"), sockets(zmq.DEALER, routing_id=b"me")
    router.bind(any_wire)
    dealer.connect(any_wire)
    marry(dealer, router)
    dealer.disconnect(any_wire)
    expect(router, b"me", b"gone")


@pytest.mark.shmzmq_only(DRAFT)
def test_disconnect_message_is_not_for_peers_that_we_connected_to(zmq, sockets, wire):
    router, dealer = sockets(zmq.ROUTER, disconnect_msg=b"gone", reconnect_ivl=5), sockets(zmq.DEALER)
    dealer.bind(wire)
    router.connect(wire)
    marry(dealer, router)
    dealer.close()
    wait_until(lambda: router.stats()["disconnected"], "the peer to be gone")
    expect_nothing(router)


@pytest.mark.shmzmq_only(DRAFT)
def test_hiccup_message_comes_when_a_connection_is_to_be_made_again(zmq, sockets, wire):
    """zmq_setsockopt(3) ZMQ_HICCUP_MSG: when a connected peer is temporarily disconnected."""
    dealer = sockets(zmq.DEALER, hiccup_msg=b"hic", reconnect_ivl=5)
    dealer.connect(wire)
    for _ in range(3):
        with sockets(zmq.DEALER) as peer:
            peer.bind(wire)
            peer.send(b"last words")
            expect(dealer, b"last words")
        expect(dealer, b"hic")
    expect_nothing(dealer)


@pytest.mark.shmzmq_only(DRAFT)
def test_hiccup_message_comes_with_immediate_too(zmq, sockets, wire):
    dealer = sockets(zmq.DEALER, hiccup_msg=b"hic", reconnect_ivl=5, immediate=1)
    dealer.connect(wire)
    with sockets(zmq.DEALER) as peer:
        peer.bind(wire)
        peer.send(b"last words")
        expect(dealer, b"last words")
    expect(dealer, b"hic")


@pytest.mark.shmzmq_only(DRAFT)
def test_hiccup_message_wakes_a_receiver_that_waits(zmq, sockets, task, wire):
    dealer, peer = sockets(zmq.DEALER, hiccup_msg=b"hic"), sockets(zmq.DEALER)
    peer.bind(wire)
    dealer.connect(wire)
    marry(peer, dealer)
    receiving = task(dealer.recv)
    receiving.wait_blocked()
    peer.close()
    assert receiving.result() == b"hic"


@pytest.mark.shmzmq_only(DRAFT)
@pytest.mark.parametrize(
    ("option", "kind"),
    [("hello_msg", "PUSH"), ("disconnect_msg", "DEALER"), ("hiccup_msg", "ROUTER"), ("router_notify", "REP")],
)
def test_a_type_that_has_no_use_for_a_draft_refuses_it(zmq, sockets, option, kind):
    with expect_error(zmq, "EINVAL"):
        setattr(sockets(getattr(zmq, kind)), option, 1 if option == "router_notify" else b"x")
