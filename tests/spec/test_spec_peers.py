"""Who is connected: `peers` and `wait_for_peers`, which pyzmq does not have."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kit import CAP, CAP_MS, errno_of, expect_error, wait_until

pytestmark = pytest.mark.shmzmq_only("pyzmq does not say who is connected")


def row_of(socket):
    """The only row."""
    (row,) = socket.peers()
    return row


# --- peers -------------------------------------------------------------------------------------------------


def test_socket_without_endpoints_has_no_peers(zmq, sockets):
    assert sockets(zmq.PULL).peers() == []


def test_row_tells_endpoint_process_type_and_id_of_the_peer(zmq, sockets, endpoint, transport):
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, routing_id=b"d")
    router.bind(endpoint)
    before = time.time()
    dealer.connect(endpoint)
    router.wait_for_peers(1, CAP_MS)
    dealer.wait_for_peers(1, CAP_MS)
    for socket, kind, identity in ((router, zmq.DEALER, b"d"), (dealer, zmq.ROUTER, b"")):
        row = row_of(socket)
        assert before - 1 <= row.pop("since") <= time.time() + 1
        assert row.pop("reason", None) is None, "that is for ipc without rings"
        local = transport != "tcp"  # of a peer over tcp the kernel tells nothing
        assert row == {
            "endpoint": endpoint,
            "transport": {"ipc": "ring"}.get(transport, transport),
            "pid": os.getpid() if local else 0,
            "uid": os.geteuid() if local else 0,
            "depth": 0,
            "routing_id": identity,
            "socket_type": kind,
        }


def test_row_of_an_endpoint_where_nobody_is_waits(zmq, sockets, ipc):
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(b"queued")
    row = row_of(push)
    assert (row["transport"], row["pid"], row["depth"], row["since"], row["socket_type"]) == (
        "waiting",
        0,
        1,
        None,
        None,
    )


def test_endpoint_is_the_resolved_one(zmq, sockets, scratch):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind("ipc://*")
    address = pull.getsockopt(zmq.LAST_ENDPOINT).decode()
    push.connect(address)
    pull.wait_for_peers(1, CAP_MS)
    assert row_of(pull)["endpoint"] == address


def test_each_of_several_peers_has_its_row(zmq, sockets, endpoints):
    pull, pushes, places = sockets(zmq.PULL), [sockets(zmq.PUSH) for _ in range(4)], endpoints(2)
    for place in places:
        pull.bind(place)
    for push, place in zip(pushes, places * 2, strict=True):
        push.connect(place)
    assert pull.wait_for_peers(4, CAP_MS) == 4
    assert sorted(row["endpoint"] for row in pull.peers()) == sorted(places * 2)


def _child(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(endpoint)
        link.hear()


def test_pid_is_that_of_the_peer_process(zmq, sockets, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = run_child(_child, ipc)
    pull.wait_for_peers(1, 4 * CAP_MS)
    assert row_of(pull)["pid"] == child.pid
    child.tell()
    wait_until(lambda: not pull.peers(), "the row to go with its peer")


def test_row_of_a_lost_binder_waits_again(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.wait_for_peers(1, CAP_MS)
    pull.close()
    wait_until(lambda: row_of(push)["transport"] == "waiting", "the row to wait")
    assert row_of(push)["since"] is None
    with expect_error(zmq, "EAGAIN"):
        push.wait_for_peers(1, 0)


def test_closed_socket_has_no_rows(zmq, sockets):
    pull = sockets(zmq.PULL)
    pull.close()
    for call in (pull.peers, pull.wait_for_peers):
        with expect_error(zmq, "ENOTSOCK"):
            call()


# --- wait_for_peers ----------------------------------------------------------------------------------------


def test_nobody_is_waited_for_in_vain(zmq, sockets, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    assert pull.wait_for_peers(0) == 0
    for timeout in (0, 1, 0.5):
        with expect_error(zmq, "EAGAIN"):
            pull.wait_for_peers(1, timeout)


def test_connection_that_nobody_answers_is_no_peer(zmq, sockets, endpoint):
    push = sockets(zmq.PUSH)
    push.connect(endpoint)
    with expect_error(zmq, "EAGAIN"):
        push.wait_for_peers(1, 1)


@pytest.mark.parametrize("first", ["bind", "connect"])
def test_both_sides_see_each_other_whoever_was_first(zmq, sockets, endpoint, task, first):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    waiting = [task(lambda each=each: each.wait_for_peers(1, CAP_MS)) for each in (push, pull)]
    for each in waiting:
        each.wait_blocked()
    if first == "bind":
        pull.bind(endpoint)
        push.connect(endpoint)
    else:
        push.connect(endpoint)
        pull.bind(endpoint)
    assert [each.result() for each in waiting] == [1, 1]


def test_wait_goes_on_until_enough_are_there(zmq, sockets, endpoint, task):
    pull, pushes = sockets(zmq.PULL), [sockets(zmq.PUSH) for _ in range(3)]
    pull.bind(endpoint)
    waiting = task(lambda: pull.wait_for_peers(3, CAP_MS))
    waiting.wait_blocked()
    for push in pushes[:2]:
        push.connect(endpoint)
    pull.wait_for_peers(2, CAP_MS)
    assert not waiting.done
    pushes[2].connect(endpoint)
    assert waiting.result() == 3


def test_unread_messages_do_not_end_the_wait(zmq, sockets, endpoint, task):
    pull, push, late = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"unread")
    pull.poll(CAP_MS)
    waiting = task(lambda: pull.wait_for_peers(2, CAP_MS))
    waiting.wait_blocked()
    push.send(b"unread too")
    late.connect(endpoint)
    assert waiting.result() == 2
    assert [pull.recv(), pull.recv()] == [b"unread", b"unread too"]


@pytest.mark.parametrize("end", ["close", "term"])
def test_end_of_the_socket_ends_the_wait(zmq, ctx, sockets, task, end):
    pull = sockets(zmq.PULL)
    waiting = task(pull.wait_for_peers)
    waiting.wait_blocked()
    ending = threading.Thread(target=pull.close if end == "close" else ctx.term)
    ending.start()
    with pytest.raises(zmq.ZMQError) as caught:
        waiting.result()
    assert caught.value.errno == errno_of(zmq, "ENOTSOCK" if end == "close" else "ETERM")
    pull.close()
    ending.join(CAP)
