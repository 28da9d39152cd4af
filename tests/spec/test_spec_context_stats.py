"""`Context.stats()`: every socket of a context, its peers, and the sums."""

import pytest

from kit import marry, wait_until

pytestmark = pytest.mark.shmzmq_only("pyzmq has no counters")


def test_stats_of_a_context_without_sockets_is_empty(ctx):
    found = ctx.stats()
    assert (found["sockets"], found["peers"], found["totals"]["messages_sent"]) == ([], 0, 0)


def test_stats_count_messages_and_bytes_by_socket_and_by_peer(zmq, ctx, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.bind(endpoint)
    pull.connect(endpoint)
    for size in (1, 20, 300):
        push.send(bytes(size))
    push.send_multipart([b"12", b"345"])
    for _ in range(4):
        pull.recv_multipart()
    found = {socket["type"]: socket for socket in ctx.stats()["sockets"]}
    (sent,), (received,) = found["PUSH"]["peers"], found["PULL"]["peers"]
    assert (sent["messages_sent"], sent["bytes_sent"], sent["messages_received"]) == (4, 326, 0)
    assert (received["messages_received"], received["bytes_received"], received["dropped"]) == (4, 326, 0)
    assert found["PUSH"]["counters"] == {
        name: value for name, value in push.stats().items() if name != "depth"
    }
    assert found["PUSH"]["endpoints"] == [{"kind": "bind", "text": endpoint}]
    assert found["PULL"]["endpoints"] == [{"kind": "connect", "text": endpoint}]
    totals = ctx.stats()["totals"]
    assert (totals["messages_sent"], totals["messages_received"], totals["bytes_sent"]) == (4, 4, 326)
    assert ctx.stats()["peers"] == 2


def test_rows_of_peers_say_what_peers_says(zmq, ctx, sockets, endpoint):
    dealer, router = sockets(zmq.DEALER, routing_id=b"m\xffe"), sockets(zmq.ROUTER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    marry(dealer, router)
    (shown,) = (
        row for socket in ctx.stats()["sockets"] if socket["type"] == "ROUTER" for row in socket["peers"]
    )
    (peer,) = router.peers()
    for name in ("endpoint", "transport", "pid", "uid", "depth", "since", "reason"):
        assert shown[name] == peer[name], name
    assert (shown["routing_id"], shown["type"], shown["state"]) == ("6dff65", "DEALER", "up")


def test_bursts_are_counted_by_peer(zmq, ctx, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    push.send_many([b"12345"] * 100)
    received = 0
    while received < 100:
        received += len(pull.recv_many(100))
    for socket in ctx.stats()["sockets"]:
        (peer,) = socket["peers"]
        ways = {"PUSH": "sent", "PULL": "received"}[socket["type"]]
        assert peer[f"messages_{ways}"] == socket["counters"][f"messages_{ways}"]
        assert peer[f"bytes_{ways}"] == socket["counters"][f"bytes_{ways}"]
        assert peer[f"bytes_{ways}"] >= 500


def test_messages_that_wait_are_the_depth_until_they_are_read(zmq, ctx, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.bind(endpoint)
    pull.connect(endpoint)
    marry(push, pull)
    for _ in range(10):
        push.send(b"x")
    if not endpoint.startswith("tcp"):  # there what the kernel has does not wait here
        assert ctx.stats()["totals"]["depth"] == 10
    for _ in range(10):
        pull.recv()
    assert ctx.stats()["totals"]["depth"] == 0


def test_drops_are_counted_by_the_peer_that_did_without(zmq, ctx, sockets, ipc):
    pub, sub = sockets(zmq.PUB, sndhwm=1), sockets(zmq.SUB, rcvhwm=1, subscribe=b"")
    pub.bind(ipc)
    sub.connect(ipc)
    pub.wait_for_peers(1, 10_000)

    def drops():
        pub.send(b"x")
        (row,) = (s for s in ctx.stats()["sockets"] if s["type"] == "PUB")
        return row["peers"][0]["dropped"], row["counters"]["discarded_high_water"]

    by_peer, by_socket = wait_until(lambda: any(found := drops()) and found, "a drop")
    assert by_peer == by_socket


def test_endpoint_that_nobody_listens_at_is_a_peer_that_waits(zmq, ctx, sockets, ipc):
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(b"x")
    (socket,) = ctx.stats()["sockets"]
    (peer,) = socket["peers"]
    assert (peer["state"], peer["transport"], peer["endpoint"], peer["depth"]) == (
        "waiting",
        "waiting",
        ipc,
        1,
    )
    assert ctx.stats()["peers"] == 0


def test_endpoint_that_was_given_up_is_not_shown(zmq, ctx, sockets, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    pull.unbind(endpoint)
    (socket,) = ctx.stats()["sockets"]
    assert socket["endpoints"] == []


def test_socket_that_lingers_is_shown_until_its_message_is_taken(zmq, ctx, sockets, ipc):
    push = ctx.socket(zmq.PUSH)
    push.linger = 60_000
    push.connect(ipc)
    push.send(b"x")
    push.close()
    (socket,) = ctx.stats()["sockets"]
    assert (socket["state"], socket["depth"]) == ("lingering", 1)
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    assert pull.recv() == b"x"
    wait_until(lambda: [s["type"] for s in ctx.stats()["sockets"]] == ["PULL"], "the closed socket to go")


def test_thread_that_is_blocked_in_a_call_is_counted(zmq, ctx, sockets, task, inproc):
    pull = sockets(zmq.PULL)
    pull.bind(inproc)
    waiting = task(pull.recv)
    wait_until(lambda: ctx.stats()["sockets"][0]["waiting"] == 1, "the call to be seen to wait")
    push = sockets(zmq.PUSH)
    push.connect(inproc)
    push.send(b"x")
    assert waiting.result() == b"x"


def test_stats_of_a_closed_context_raise(zmq, new_context):
    context = new_context()
    context.term()
    with pytest.raises(RuntimeError):
        context.stats()
