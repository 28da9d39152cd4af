"""Options of connections do what they say; a monitor is the witness.

Source: zmq_setsockopt(3), RECONNECT_STOP's draft section of it included.
"""

from __future__ import annotations

import errno
import os

import pytest

from kit import expect, expect_error, path_of, refused, wait_until
from watching import GREETING, dial, listen


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
    assert [events.until("CONNECT_RETRIED")[-1].value for _ in range(4)] == [5, 10, 20, 20]
    pull.bind(ipc)
    events.until("HANDSHAKE_SUCCEEDED")
    pull.close()
    assert [events.until("CONNECT_RETRIED")[-1].value for _ in range(3)] == [5, 10, 20]


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


@pytest.mark.shmzmq_only("what is not received before a disconnect is lost in libzmq")
def test_a_message_beyond_maxmsgsize_is_not_sent_again(zmq, sockets, ipc):
    pull, push = sockets(zmq.PULL, maxmsgsize=10), sockets(zmq.PUSH, reconnect_ivl=1)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"before")
    push.send_multipart([b"a", bytes(11), b"c"])
    push.send(b"after")
    expect(pull, b"before")
    frames = pull.recv_multipart()
    if frames[0] == b"a":  # handed out before the frame behind it was looked at
        frames = pull.recv_multipart()
    assert frames == [b"after"]
    assert pull.stats()["protocol_errors"] == 1


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
        listener.accept()[0].close()
        listener.close()
        events.until("DISCONNECTED")
        events.names("CONNECT_RETRIED", "CLOSED")
        retried_often(ipc)
        assert not events.reader.poll(0)


def test_reconnect_stop_ends_at_a_failed_handshake(zmq, sockets, watch, ipc, retried_often):
    push = sockets(zmq.PUSH, reconnect_stop=zmq.RECONNECT_STOP_HANDSHAKE_FAILED, reconnect_ivl=1)
    events = watch(push)
    with listen(ipc) as listener:
        push.connect(ipc)
        listener.accept()[0].close()
        events.names("CONNECTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED")
    retried_often(ipc)
    assert not events.reader.poll(0)


@pytest.mark.parametrize(
    "stop", [0, pytest.param(4, marks=pytest.mark.shmzmq_only("libzmq delivers over ipc all the same"))]
)
def test_reconnect_stop_after_disconnect_gives_up_what_is_queued(zmq, sockets, ipc, retried_often, stop):
    push, pull = sockets(zmq.PUSH, reconnect_stop=stop, reconnect_ivl=1), sockets(zmq.PULL)
    push.connect(ipc)
    push.send(b"queued")
    push.disconnect(ipc)
    retried_often(ipc)
    pull.bind(ipc)
    if stop:
        push.connect(ipc)
        push.send(b"later")
        expect(pull, b"later")
    else:
        expect(pull, b"queued")
