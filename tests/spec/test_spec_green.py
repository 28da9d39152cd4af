"""Sockets in gevent: what waits lets other greenlets run, and what comes wakes the right one.

Each scene runs in a process of its own, because gevent's hub keeps fds and threads.
"""

from __future__ import annotations

import importlib
import os
import time

import pytest

from kit import CAP

pytest.importorskip("gevent")

pytestmark = pytest.mark.slow

MESSAGES = 300


@pytest.fixture
def play(run_child, new_endpoint):
    """A function that runs `scene(green, context, endpoint)` in a child."""

    def run(scene, scheme="ipc"):
        return run_child(_in_gevent, scene, new_endpoint(scheme)).result(4 * CAP)

    return run


def _in_gevent(zmq, link, scene, endpoint):
    import gevent

    green = importlib.import_module(f"{zmq.__name__}.green")
    with gevent.Timeout(3 * CAP), green.Context() as context:
        return scene(green, context, endpoint)


def pair_of(context, endpoint, one, other, **options):
    """Two connected sockets."""
    sockets = context.socket(one), context.socket(other)
    for socket in sockets:
        socket.linger = 0
        for name, value in options.items():
            setattr(socket, name, value)
    sockets[0].bind(endpoint)
    sockets[1].connect(endpoint)
    return sockets


def test_names(backend):
    zmq, green = importlib.import_module(backend), importlib.import_module(f"{backend}.green")
    assert green.PUSH is zmq.PUSH
    assert issubclass(green.Socket, zmq.Socket)
    assert issubclass(green.Context, zmq.Context)
    assert issubclass(green.Poller, zmq.Poller)
    assert green.Context._instance is None


# --- waiting -----------------------------------------------------------------------------------------------


def _talk(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH)
    assert isinstance(pull, green.Socket)
    got, ticks = [], []

    def receive():
        for number in range(MESSAGES):
            got.append(pull.recv() if number % 2 else pull.recv_multipart()[0])

    def send():
        for number in range(MESSAGES):
            (push.send if number % 3 else lambda data: push.send_multipart([data]))(b"%d" % number)
            gevent.sleep(0)

    def tick():
        while len(got) < MESSAGES:
            ticks.append(1)
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(each) for each in (receive, send, tick)], raise_error=True)
    pull.close()
    push.close()
    return got == [b"%d" % number for number in range(MESSAGES)] and len(ticks) > 10


@pytest.mark.parametrize("scheme", ["ipc", "inproc", "tcp"])
def test_greenlets_talk(play, scheme):
    assert play(_talk, scheme)


def _full(green, context, endpoint):
    import gevent

    pull, push = pair_of(
        context, endpoint, green.PULL, green.PUSH, sndhwm=1, rcvhwm=1, sndbuf=4096, rcvbuf=4096
    )
    sent = []

    def send():
        for number in range(MESSAGES):
            push.send(b"%d" % number + bytes(1000))
            sent.append(number)

    sender = gevent.spawn(send)
    gevent.sleep(0.05)
    before = len(sent)
    got = [int(pull.recv().rstrip(b"\0")) for _ in range(MESSAGES)]
    sender.get()
    pull.close()
    push.close()
    return before < MESSAGES and got == list(range(MESSAGES))


@pytest.mark.parametrize("scheme", ["ipc", "inproc", "tcp"])
def test_greenlet_waits_for_a_full_peer(play, scheme):
    assert play(_full, scheme)


def _both_ways(green, context, endpoint):
    import gevent

    one, other = pair_of(context, endpoint, green.DEALER, green.DEALER, sndhwm=5, rcvhwm=5)

    def send(socket):
        for number in range(MESSAGES):
            socket.send(b"%d" % number)

    def receive(socket):
        return [int(socket.recv()) for _ in range(MESSAGES)]

    working = [gevent.spawn(task, socket) for socket in (one, other) for task in (send, receive)]
    gevent.joinall(working, raise_error=True)
    one.close()
    other.close()
    return all(each.value in (None, list(range(MESSAGES))) for each in working)


def test_one_greenlet_sends_and_another_receives(play):
    assert play(_both_ways)


def _others(green, context, endpoint):
    import gevent

    rep, req = pair_of(context, endpoint, green.REP, green.REQ)
    room = bytearray(3)

    def serve():
        assert rep.recv_into(room) == 3
        rep.send_json({"got": bytes(room).decode()})
        assert rep.poll(5000) == green.POLLIN
        rep.send_string(rep.recv_string().upper())

    server = gevent.spawn(serve)
    req.send(b"abc")
    assert req.recv_json() == {"got": "abc"}
    req.send_string("text")
    assert req.poll(5000)
    answer = req.recv_string()
    server.get()
    req.close()
    rep.close()
    return answer


def test_other_calls_wait_too(play):
    assert play(_others) == "TEXT"


def _timeouts(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH)
    said = []
    for call in (lambda: pull.recv(green.DONTWAIT), lambda: pull.recv_multipart(green.NOBLOCK)):
        try:
            call()
        except green.Again:
            said.append("again")
    assert pull.poll(10) == 0
    with gevent.Timeout(0.02, False):
        pull.recv()
        said.append("received")
    push.send(b"message")
    said.append(pull.recv())
    pull.close()
    push.close()
    return said


def test_calls_that_do_not_wait_and_time_outs_of_gevent(play):
    assert play(_timeouts) == ["again", "again", b"message"]


def _own_timeouts(green, context, endpoint):
    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH, rcvtimeo=20, sndtimeo=20)
    said = []
    other = context.socket(green.PUSH)
    other.sndtimeo = 20
    for call in (pull.recv, lambda: other.send(b""), lambda: pull.recv_many(timeout=5)):
        try:
            call()
        except green.Again:
            said.append("again")
    for socket in (pull, push, other):
        socket.close()
    return said


@pytest.mark.shmzmq_only("RCVTIMEO and SNDTIMEO mean nothing in pyzmq's, which warns")
def test_time_outs_of_the_socket(play):
    assert play(_own_timeouts) == ["again"] * 3


def _killed(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH)
    for number in range(MESSAGES):
        waiting = gevent.spawn(pull.recv)
        gevent.sleep(0)
        if number % 2:
            push.send(b"%d" % number)
        waiting.kill()
        if number % 2:
            assert waiting.value == b"%d" % number or pull.recv() == b"%d" % number
    pull.close()
    push.close()
    return True


def test_greenlet_that_is_killed_takes_no_message(play):
    assert play(_killed)


def _closed(green, context, endpoint):
    import gevent

    (pull,) = (context.socket(green.PULL),)
    pull.bind(endpoint)
    waiting = gevent.spawn(pull.recv)
    gevent.sleep(0.01)
    pull.close()
    try:
        waiting.get()
    except green.ZMQError as error:
        return error.errno == green.ENOTSOCK
    return False


def test_closing_the_socket_ends_a_wait(play):
    assert play(_closed)


def _terminated(green, _, endpoint):
    import gevent

    context = green.Context()
    pull = context.socket(green.PULL)
    pull.bind(endpoint)

    def receive():
        try:
            pull.recv()
        except green.ContextTerminated:
            pull.close()
            return "ended"

    waiting = gevent.spawn(receive)
    gevent.sleep(0.01)
    context.term()
    return waiting.get()


@pytest.mark.shmzmq_only("pyzmq's `term` stops the whole hub, so that nobody can close the socket")
def test_context_ends_while_greenlets_wait(play):
    assert play(_terminated) == "ended"


def _idle(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH)
    push.send(b"unread")
    assert pull.poll(5000)
    waiting = gevent.spawn(push.poll, 1000, green.POLLIN)
    gevent.sleep(0.1)
    before = time.process_time()
    gevent.sleep(0.5)
    used = time.process_time() - before
    waiting.kill()
    pull.close()
    push.close()
    return used


def test_idle_hub_with_unread_messages_is_quiet(play):
    assert play(_idle) < 0.05


# --- pollers -----------------------------------------------------------------------------------------------


def _polls(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH)
    plain = importlib.import_module(green.__name__.partition(".")[0])
    stranger, friend = plain.Context(), None
    other = stranger.socket(plain.PULL)
    other.bind(endpoint + "-other")
    friend = stranger.socket(plain.PUSH)
    friend.connect(endpoint + "-other")
    readable, writable = os.pipe()
    poller = green.Poller()
    for each in (pull, other, readable):
        poller.register(each, green.POLLIN)
    assert poller.poll(10) == []
    said = []
    for begin in (lambda: push.send(b""), lambda: friend.send(b""), lambda: os.write(writable, b"x")):
        gevent.spawn_later(0.02, begin)
        said.append([poller.sockets.index((socket, green.POLLIN)) for socket, _ in poller.poll(5000)])
        if len(said) == 1:
            pull.recv()
        elif len(said) == 2:
            other.recv()
    os.close(readable)
    os.close(writable)
    for socket in (pull, push, other, friend):
        socket.close(linger=0)
    stranger.term()
    return said


def test_poller_waits_for_sockets_and_files(play):
    assert play(_polls) == [[0], [1], [2]]


def _selects(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH)
    gevent.spawn_later(0.02, push.send, b"")  # another greenlet, without which there is nothing to be found
    found = green.select([pull], [], [], timeout=5)
    pull.close()
    push.close()
    return len(found[0])


@pytest.mark.shmzmq_only("pyzmq's is the plain one, which stops the hub")
def test_select_lets_others_run(play):
    assert play(_selects) == 1


def _device(green, context, endpoint):
    import gevent

    front, back = context.socket(green.ROUTER), context.socket(green.DEALER)
    front.bind(endpoint)
    back.bind(endpoint + "-back")
    relay = gevent.spawn(green.device, green.QUEUE, front, back)
    req, rep = context.socket(green.REQ), context.socket(green.REP)
    req.connect(endpoint)
    rep.connect(endpoint + "-back")

    def serve():
        while True:
            rep.send(rep.recv().upper())

    server = gevent.spawn(serve)
    got = []
    for word in (b"a", b"b"):
        req.send(word)
        got.append(req.recv())
    gevent.killall([relay, server])
    for socket in (front, back, req, rep):
        socket.close(linger=0)
    return got


def test_device_in_a_greenlet(play):
    assert play(_device) == [b"A", b"B"]


# --- beyond pyzmq ------------------------------------------------------------------------------------------


def _beyond(green, context, endpoint):
    import gevent

    pull, push = pair_of(context, endpoint, green.PULL, green.PUSH, sndhwm=10, rcvhwm=10)
    assert push.wait_for_peers(1, 5000) == 1
    sender = gevent.spawn(push.send_many, [b"%d" % number for number in range(MESSAGES)])
    got = []
    while len(got) < MESSAGES:
        got += pull.recv_many()
    count = sender.get()
    block = push.alloc(5)
    push.send(block)
    size = len(pull.recv())
    pull.close()
    push.close()
    return count, got == [b"%d" % number for number in range(MESSAGES)], size


@pytest.mark.shmzmq_only("pyzmq has none of these calls")
def test_bursts_blocks_and_peers(play):
    assert play(_beyond) == (MESSAGES, True, 5)
