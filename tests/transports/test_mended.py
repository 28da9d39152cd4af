"""Bugs that were found by review, each with the test that was red; what the oracle does does not matter here.

One test per bug; its docstring says what happened.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from kit import CAP_MS, Task, expect, expect_error, marry, wait_until

pytestmark = pytest.mark.shmzmq_only("shmzmq's own bugs")


def test_parts_that_close_the_socket_while_they_are_sent_raise_and_harm_nothing(zmq, sockets, inproc):
    """The call went on with a handle into the native socket that close had replaced."""
    push = sockets(zmq.PUSH)
    push.bind(inproc)

    def parts():
        yield b"first"
        push.close()
        yield b"second"

    with pytest.raises(zmq.ZMQError):
        push.send_multipart(parts())


def test_blocked_receive_ends_with_enotsock_each_time_another_thread_closes(zmq, sockets, ipc):
    """A blocked call kept a reference into the handle; after the close it read freed memory."""
    for _ in range(20):
        pull = sockets(zmq.PULL)
        pull.bind(ipc)
        task = Task(pull.recv)
        task.wait_blocked()
        pull.close()
        with pytest.raises(zmq.ZMQError) as caught:
            task.result()
        assert caught.value.errno == zmq.ENOTSOCK


def test_fd_of_a_rep_with_two_requests_does_not_hang_its_receive(zmq, sockets, ipc):
    """Arming the FD looped for ever on input that a REP does not take before its reply."""
    rep, first, second = sockets(zmq.REP), sockets(zmq.REQ), sockets(zmq.REQ)
    rep.bind(ipc)
    for req in (first, second):
        req.connect(ipc)
        req.send(b"request")
    wait_until(lambda: rep.stats()["connected"] == 2, "both requests to arrive")
    assert rep.get(zmq.FD) >= 0
    expect(rep, b"request")
    rep.send(b"reply")
    expect(rep, b"request")


def test_frames_of_two_peers_are_never_joined_to_one_message(zmq, sockets, ipc):
    """A peer that broke off inside a message had it continued by the next peer's frames."""
    router, rude, other = sockets(zmq.ROUTER), sockets(zmq.DEALER), sockets(zmq.DEALER)
    router.maxmsgsize = 100
    router.rcvtimeo = CAP_MS
    router.bind(ipc)
    rude.routing_id, other.routing_id = b"rude", b"other"
    for dealer in (rude, other):
        dealer.connect(ipc)
    marry(router, rude, other)
    rude.send_multipart([b"hello", b"x" * 1000])
    other.send_multipart([b"secret"])

    def next_of_other():
        message = router.recv_multipart()
        assert message[0] == b"other" or b"secret" not in message
        return message == [b"other", b"secret"]

    wait_until(next_of_other, "the other peer's whole message")


def test_unread_messages_of_a_binder_that_left_are_read_without_reconnecting(zmq, sockets, ipc):
    """RECONNECT_IVL=-1 gave the pipe up with what had arrived in it."""
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    push.bind(ipc)
    pull.reconnect_ivl = -1
    pull.connect(ipc)
    for number in range(10):
        push.send(b"%d" % number)
    push.close()
    wait_until(lambda: pull.stats()["disconnected"] == 1, "the PULL to see that the binder left")
    for number in range(10):
        expect(pull, b"%d" % number)


def test_disconnect_with_queued_messages_delivers_them_and_leaves_no_connection(zmq, sockets, ipc):
    """The connection that delivered them was never closed."""
    dealer, late = sockets(zmq.DEALER), sockets(zmq.DEALER)
    dealer.connect(ipc)
    dealer.send(b"queued")
    dealer.disconnect(ipc)
    late.bind(ipc)
    expect(late, b"queued")
    wait_until(lambda: not dealer.peers() and not late.peers(), "both ends to let go of the connection")


def test_mandatory_router_that_waits_for_credit_is_woken(zmq, sockets, ipc):
    """The mark that returned the credit was taken by whoever entered first, and nobody remembered it."""
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.sndhwm, dealer.rcvhwm = 1, 1
    router.router_mandatory = 1
    router.sndtimeo = dealer.rcvtimeo = CAP_MS
    dealer.routing_id = b"d"
    router.bind(ipc)
    dealer.connect(ipc)
    marry(router, dealer)
    rounds = 3000

    def send_all():
        for _ in range(rounds):
            router.send_multipart([b"d", b"work"])

    task = Task(send_all)
    for _ in range(rounds):
        assert dealer.recv() == b"work"
    task.result()


def test_poll_for_room_sleeps_although_input_is_unread(zmq, sockets, ipc):
    """Unread input ended every spin and every sleep of a poll that did not ask for it."""
    one, two = sockets(zmq.PAIR), sockets(zmq.PAIR)
    one.sndhwm, two.rcvhwm = 1, 1
    one.bind(ipc)
    two.connect(ipc)
    marry(one, two)
    two.send(b"unread")
    assert one.poll(CAP_MS) == zmq.POLLIN
    with contextlib.suppress(zmq.Again):
        while True:
            one.send(b"fill", zmq.DONTWAIT)
    before = time.process_time()
    assert one.poll(300, zmq.POLLOUT) == 0
    # Not a speed: a busy wait burns all of the 300 ms, a sleep next to none.
    assert time.process_time() - before < 0.2


def test_departed_inproc_peers_of_a_push_that_only_polls_are_forgotten(zmq, sockets, inproc):
    """A pipe that was first found dead by a poll stayed for ever."""
    push = sockets(zmq.PUSH)
    push.bind(inproc)
    for _ in range(5):
        pull = sockets(zmq.PULL)
        pull.connect(inproc)
        pull.close()
        push.poll(0, zmq.POLLOUT)
    assert not push.peers()


def test_probe_of_a_bound_path_disturbs_nobody(zmq, sockets, ipc, caplog):
    """A refused second bind was logged by the owner as a failed handshake."""
    pull, second = sockets(zmq.PULL), sockets(zmq.PULL)
    pull.bind(ipc)
    with pytest.raises(zmq.ZMQError, match=str(os.getpid())):
        second.bind(ipc)
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(b"served")
    expect(pull, b"served")
    assert pull.stats()["handshakes_failed"] == 0


ROUNDS = 500


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_request_that_nobody_answers_ends_with_its_time(zmq, sockets, run_child, endpoint):
    """Over tcp the hint of an earlier reply was never taken back: a spin ended at once, again and again, with
    the GIL and without a look at the time."""
    rep = sockets(zmq.REP)
    rep.bind(endpoint)
    child = run_child(_asks_twice, rep.last_endpoint)
    for _ in range(ROUNDS):
        expect(rep, b"first")
        rep.send(b"answer")
    expect(rep, b"second")
    assert child.hear() == "Again"


def _asks_twice(zmq, link, endpoint):
    context = zmq.Context()
    req = context.socket(zmq.REQ)
    req.linger = 0
    req.spin_us = 1000
    req.connect(endpoint)
    for _ in range(ROUNDS):
        req.send(b"first")
        expect(req, b"answer")
    req.rcvtimeo = 50
    req.send(b"second")
    try:
        req.recv()
    except zmq.Again:
        link.tell("Again")
    context.destroy()


FLOOD = 1000


@pytest.mark.parametrize("what", ["SUB", "REP", "REQ"])
def test_receive_ends_with_its_time_though_input_that_is_dropped_never_ends(zmq, run_child, ipc, what):
    """It dropped as long as something came, with the GIL, and was deaf to its time and to signals."""
    flooded = run_child(_is_flooded, what, ipc)
    flooded.hear()
    floods = run_child(_floods, what, ipc)
    assert flooded.result() == ["Again", "no event", "interrupted"]
    floods.kill()


class Alarm(Exception):
    """What the handler of a signal raises."""


def _raises_alarm(number, frame):
    raise Alarm


def _is_flooded(zmq, link, what, endpoint):
    told = []
    with zmq.Context() as context:
        socket = context.socket(getattr(zmq, what))
        socket.linger, socket.rcvhwm = 0, 100 * FLOOD
        if what == "SUB":
            socket.subscribe(b"wanted")
        socket.bind(endpoint)
        link.tell("bound")
        wait_until(lambda: socket.stats()["connected"] == 1, "a connection")
        if what == "REQ":
            socket.send(b"question")
        socket.rcvtimeo = 300
        with expect_error(zmq, "EAGAIN"):
            socket.recv()
        told.append("Again")
        if what == "SUB":
            assert socket.poll(100) == 0
        told.append("no event")
        socket.rcvtimeo = -1
        signal.signal(signal.SIGALRM, _raises_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Alarm):
            socket.recv()
        context.destroy(linger=0)
    return [*told, "interrupted"]


def _floods(zmq, link, what, endpoint):
    context = zmq.Context()
    socket = context.socket({"SUB": zmq.XPUB, "REP": zmq.DEALER, "REQ": zmq.ROUTER}[what])
    socket.linger, socket.sndhwm = 0, 0
    if what == "SUB":
        socket.set(zmq.XPUB_MANUAL, 1)
    socket.connect(endpoint)
    dropped = b"dropped"
    if what == "SUB":
        socket.recv()
        socket.subscribe(b"")
    elif what == "REQ":
        dropped = [socket.recv_multipart()[0], b"dropped"]
    while True:
        socket.send_many([dropped] * FLOOD)


@pytest.mark.parametrize("option", ["XPUB_NODROP", "ROUTER_MANDATORY"])
def test_proxy_sleeps_while_a_peer_that_must_not_lose_is_full(zmq, sockets, new_endpoint, task, option):
    """POLLOUT of such a socket does not speak of one peer: the proxy tried again at once, for ever."""
    publishes = option == "XPUB_NODROP"
    near, far, control = new_endpoint("ipc"), new_endpoint("ipc"), new_endpoint("inproc")
    front, back = sockets(zmq.XSUB if publishes else zmq.PULL), sockets(zmq.XPUB if publishes else zmq.ROUTER)
    source = sockets(zmq.PUB if publishes else zmq.PUSH)
    targets = [sockets(zmq.SUB if publishes else zmq.DEALER) for _ in range(2)]
    steers, steered = sockets(zmq.PAIR), sockets(zmq.PAIR)
    back.set(getattr(zmq, option), 1)
    back.sndhwm = 2
    front.bind(near)
    back.bind(far)
    steered.bind(control)
    steers.connect(control)
    for number, target in enumerate(targets):
        target.rcvhwm = 2
        if publishes:
            target.subscribe(b"%d" % number)
        else:
            target.routing_id = b"%d" % number
        target.connect(far)
    wait_until(lambda: back.stats()["connected"] == 2, "the proxy's peers")
    proxying = task(zmq.proxy_steerable, front, back, None, steered)
    source.connect(near)

    def arrives():
        source.send_multipart([b"0", b"first"])
        return targets[0].poll(10)

    try:
        wait_until(arrives, "a message through the proxy")
        for number in range(100):
            source.send_multipart([b"0", b"%d" % number])
        proxying.wait_blocked()
        before = time.process_time()
        time.sleep(0.3)
        # Not a speed: a busy wait burns all of the 300 ms, a sleep next to none.
        assert time.process_time() - before < 0.15
        while targets[0].recv_multipart()[-1] != b"99":
            pass
    finally:
        steers.send(b"TERMINATE")
        proxying.result()


@pytest.fixture(params=["ipc", "tcp"])
def spinner(zmq, sockets, new_endpoint, request):
    """A PULL that has received, waits for ten minutes before it sleeps, and gets no more."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(new_endpoint(request.param))
    push.connect(pull.last_endpoint)
    for _ in range(20):
        push.send(b"message")
        expect(pull, b"message")
    pull.set(zmq.SPIN_US, 600_000_000)
    return pull


@pytest.mark.slow
def test_spin_ends_with_the_time_of_the_call(zmq, spinner):
    """It did not know that time, and a receive with a RCVTIMEO of 0.1 s took as long as SPIN_US says."""
    spinner.rcvtimeo = 10
    with expect_error(zmq, "EAGAIN"):
        spinner.recv()
    assert spinner.poll(10) == 0
    poller = zmq.Poller()
    poller.register(spinner, zmq.POLLIN)
    assert poller.poll(10) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["recv", "poll"])
def test_call_that_spins_long_hears_signals(zmq, spinner, way):
    """One that came in its second spin was heard with the next message, or never."""
    spinner.rcvtimeo = -1
    before = signal.signal(signal.SIGALRM, _raises_alarm)
    try:
        for after in (0.02, 0.07, 0.12):
            signal.setitimer(signal.ITIMER_REAL, after)
            with pytest.raises(Alarm):
                {"recv": spinner.recv, "poll": spinner.poll}[way]()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
