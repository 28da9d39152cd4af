"""proxy, proxy_steerable and device: what passes, what is captured, what ends them. And the Stopwatch.

Source: zmq_proxy(3), zmq_proxy_steerable(3).
"""

from __future__ import annotations

import signal
import struct
import threading
import types

import pytest

from kit import CAP, CAP_MS, SMALL_BUFFERS, end_context, expect, expect_error, wait_until


@pytest.fixture
def stage(new_context):
    """The context of the proxies and of who talks through them."""
    return types.SimpleNamespace(context=new_context(), joined=[])


@pytest.fixture
def relay(zmq, stage, endpoints):
    """A function that runs a proxy between two new sockets in a thread of its own.

    At the end the others' sockets are closed and the context is terminated, which must end the proxy with
    ETERM if nothing has before.
    """
    context = stage.context
    made = []

    def run(front, back, capture=None, control=None, function=None, **options):
        one = types.SimpleNamespace(ended=None, opened=[])

        def bound(kind):
            socket, place = context.socket(kind), endpoints(1)[0]
            for name, value in options.items():
                setattr(socket, name, value)
            socket.bind(place)
            one.opened.append(socket)
            return socket, place

        def serve(*sockets):
            try:
                one.ended = call(*sockets)
            except BaseException as error:
                one.ended = error
            for socket in one.opened:
                socket.close(linger=0)

        (front_socket, one.front), (back_socket, one.back) = bound(front), bound(back)
        arguments = [front_socket, back_socket]
        if capture is not None or control is not None:
            capture_socket, one.capture = bound(capture) if capture is not None else (None, None)
            arguments.append(capture_socket)
        call = function or zmq.proxy
        if control is not None:
            control_socket, one.control = bound(control)
            arguments.append(control_socket)
            call = zmq.proxy_steerable
        one.thread = threading.Thread(target=serve, args=arguments, daemon=True)
        one.thread.start()
        made.append(one)
        return one

    yield run
    for socket in stage.joined:
        socket.close(linger=0)
    end_context(zmq, context)
    for one in made:
        one.thread.join(CAP)
        assert not one.thread.is_alive(), "the proxy outlives its context"
        assert one.ended == 0 or isinstance(one.ended, zmq.ContextTerminated), one.ended


@pytest.fixture
def join(stage):
    """A function that makes a socket connected to an endpoint."""

    def connected(kind, place, **options):
        socket = stage.context.socket(kind)
        stage.joined.append(socket)
        for name, value in {"rcvtimeo": CAP_MS, "sndtimeo": CAP_MS, **options}.items():
            setattr(socket, name, value)
        socket.connect(place)
        return socket

    return connected


# --- what passes -------------------------------------------------------------------------------------------


def test_streamer_passes_messages_on_in_order(zmq, relay, join):
    """zmq_proxy(3): PULL in front, PUSH behind."""
    one = relay(zmq.PULL, zmq.PUSH)
    push, pull = join(zmq.PUSH, one.front), join(zmq.PULL, one.back)
    for number in range(500):
        push.send(b"%d" % number)
    for number in range(500):
        expect(pull, b"%d" % number)


@pytest.mark.parametrize(
    "frames",
    [[b""], [b"a", b"b", b"c"], [b"", b"", b""], [b"x" * 100_000, b"y"], [b"f%d" % n for n in range(300)]],
    ids=["empty", "three", "three empty", "large", "many"],
)
def test_messages_pass_whole(zmq, relay, join, frames):
    one = relay(zmq.PULL, zmq.PUSH)
    push, pull = join(zmq.PUSH, one.front), join(zmq.PULL, one.back)
    push.send_multipart(frames)
    push.send(b"after")
    expect(pull, *frames)
    expect(pull, b"after")


def test_queue_passes_requests_and_replies(zmq, relay, join, task):
    """zmq_proxy(3): ROUTER in front, DEALER behind; each reply finds its asker."""
    one = relay(zmq.ROUTER, zmq.DEALER)
    workers = [join(zmq.REP, one.back) for _ in range(2)]

    def work(rep):
        for _ in range(100):
            rep.send(b"re: " + rep.recv())

    working = [task(work, each) for each in workers]
    clients = [join(zmq.REQ, one.front) for _ in range(4)]
    for number in range(50):
        for index, client in enumerate(clients):
            client.send(b"%d from %d" % (number, index))
        for index, client in enumerate(clients):
            expect(client, b"re: %d from %d" % (number, index))
    for each in working:
        each.result()


def test_side_that_cannot_receive_leaves_the_other_direction_alone(zmq, relay, join):
    """DEALER in front, which could send what a PUSH behind it never has."""
    one = relay(zmq.DEALER, zmq.PUSH)
    left, right = join(zmq.DEALER, one.front), join(zmq.PULL, one.back)
    for number in range(50):
        left.send(b"%d" % number)
        expect(right, b"%d" % number)


@pytest.mark.shmzmq_only("libzmq's proxy ends with EFSM")
def test_side_whose_turn_it_is_not_leaves_the_other_direction_alone(zmq, relay, join):
    """REQ behind: it has nothing to say before it was given something."""
    one = relay(zmq.DEALER, zmq.REQ)
    left, right = join(zmq.DEALER, one.front), join(zmq.REP, one.back)
    for number in range(50):
        left.send(b"%d" % number)
        expect(right, b"%d" % number)
        right.send(b"re %d" % number)
        expect(left, b"re %d" % number)


def test_pair_proxy_passes_both_ways(zmq, relay, join):
    one = relay(zmq.PAIR, zmq.PAIR)
    left, right = join(zmq.PAIR, one.front), join(zmq.PAIR, one.back)
    for number in range(50):
        left.send(b"to the right %d" % number)
        right.send(b"to the left %d" % number)
    for number in range(50):
        expect(right, b"to the right %d" % number)
        expect(left, b"to the left %d" % number)


def test_a_flood_one_way_does_not_hold_up_the_other(zmq, relay, join):
    one = relay(zmq.DEALER, zmq.DEALER)
    left, right = join(zmq.DEALER, one.front), join(zmq.DEALER, one.back)
    flooding = threading.Event()

    def flood():
        while not flooding.is_set():
            if left.poll(10, zmq.POLLOUT):
                left.send(b"flood")

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(2000):
            expect(right, b"flood")
        right.send(b"against it")
    finally:
        flooding.set()
        thread.join(CAP)
    expect(left, b"against it")


def test_what_has_nowhere_to_go_stays_with_its_sender(zmq, relay, join):
    """Nothing is received while the other side takes nothing, so high-water marks keep their meaning."""
    one = relay(zmq.PULL, zmq.PUSH, rcvhwm=2, sndhwm=2, **SMALL_BUFFERS)
    push = join(zmq.PUSH, one.front, sndhwm=2, **SMALL_BUFFERS)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    sent = 0
    while push.poll(200, zmq.POLLOUT):
        push.send(b"%d" % sent, zmq.DONTWAIT)
        sent += 1
        assert sent < 20_000, "somebody takes messages without a limit"
    pull = join(zmq.PULL, one.back)
    for number in range(sent):
        expect(pull, b"%d" % number)


def test_idle_proxy_goes_on(zmq, relay, join):
    """Message by message, asleep in between."""
    one = relay(zmq.PULL, zmq.PUSH)
    push, pull = join(zmq.PUSH, one.front), join(zmq.PULL, one.back)
    for number in range(10):
        push.send(b"%d" % number)
        expect(pull, b"%d" % number)
        assert not pull.poll(5)


def test_device_is_a_proxy(zmq, relay, join):
    one = relay(zmq.PULL, zmq.PUSH, function=lambda *pair: zmq.device(zmq.STREAMER, *pair))
    push, pull = join(zmq.PUSH, one.front), join(zmq.PULL, one.back)
    push.send(b"message")
    expect(pull, b"message")


def test_one_socket_on_both_sides_sends_back(zmq, new_context, inproc):
    context = new_context()
    dealer = context.socket(zmq.DEALER)
    dealer.bind(inproc)

    def serve():
        try:
            zmq.proxy(dealer, dealer)
        except zmq.ContextTerminated:
            dealer.close(linger=0)

    thread = threading.Thread(target=serve)
    thread.start()
    other = context.socket(zmq.DEALER)
    other.rcvtimeo = CAP_MS
    other.connect(inproc)
    for _ in range(5):
        other.send_multipart([b"echo", b"this"])
        expect(other, b"echo", b"this")
    other.close(linger=0)
    context.term()
    thread.join(CAP)
    assert not thread.is_alive()


# --- capture -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PUSH", "PAIR"])
def test_capture_gets_a_copy_of_everything(zmq, relay, join, kind):
    one = relay(zmq.ROUTER, zmq.DEALER, capture=getattr(zmq, kind))
    spy = join(zmq.PULL if kind == "PUSH" else zmq.PAIR, one.capture)
    rep, req = join(zmq.REP, one.back), join(zmq.REQ, one.front, routing_id=b"asker")
    for number in range(5):
        req.send_multipart([b"request", b"%d" % number])
        expect(rep, b"request", b"%d" % number)
        rep.send(b"reply")
        expect(req, b"reply")
        expect(spy, b"asker", b"", b"request", b"%d" % number)
        expect(spy, b"asker", b"", b"reply")


# --- control -----------------------------------------------------------------------------------------------


def ask(control, command):
    control.send(command)
    return control.recv_multipart()


@pytest.fixture
def steered(zmq, relay, join):
    """A steered streamer, its ends and its helm."""
    one = relay(zmq.PULL, zmq.PUSH, control=zmq.REP)
    push, pull = join(zmq.PUSH, one.front), join(zmq.PULL, one.back)
    return one, push, pull, join(zmq.REQ, one.control)


def test_terminate_ends_a_proxy(steered):
    one, push, pull, helm = steered
    push.send(b"message")
    expect(pull, b"message")
    assert ask(helm, b"TERMINATE") == [b""]
    one.thread.join(CAP)
    assert one.ended == 0


@pytest.mark.shmzmq_only("pyzmq 27.3 answers PAUSE and goes on moving messages")
def test_paused_proxy_moves_nothing_until_it_is_resumed(steered):
    _one, push, pull, helm = steered
    push.send(b"before")
    expect(pull, b"before")
    assert ask(helm, b"PAUSE") == [b""]
    push.send(b"meanwhile")
    assert not pull.poll(50)
    assert ask(helm, b"RESUME") == [b""]
    expect(pull, b"meanwhile")


def test_statistics_count_frames_and_bytes(steered):
    """Eight 64-bit numbers: frames and bytes, received and sent, of the front and then of the back."""
    _one, push, pull, helm = steered
    push.send_multipart([b"abc", b"de"])
    expect(pull, b"abc", b"de")

    def numbers():
        return tuple(struct.unpack("=Q", frame)[0] for frame in ask(helm, b"STATISTICS"))

    # The receiver may be faster than the proxy's book-keeping.
    wait_until(lambda: numbers() == (2, 5, 0, 0, 0, 0, 2, 5), "the statistics to show the message")


def test_control_may_be_a_pair(zmq, relay, join):
    one = relay(zmq.PULL, zmq.PUSH, control=zmq.PAIR)
    helm = join(zmq.PAIR, one.control)
    helm.send(b"STATISTICS")
    assert len(helm.recv_multipart()) == 8
    helm.send(b"TERMINATE")
    one.thread.join(CAP)
    assert one.ended == 0


def test_what_is_no_command_is_answered_and_ignored(steered):
    _one, push, pull, helm = steered
    assert ask(helm, b"FASTER") == [b""]
    push.send(b"message")
    expect(pull, b"message")


def test_capture_and_control_together(zmq, relay, join):
    one = relay(zmq.PULL, zmq.PUSH, capture=zmq.PUSH, control=zmq.REP)
    push, pull, spy = join(zmq.PUSH, one.front), join(zmq.PULL, one.back), join(zmq.PULL, one.capture)
    push.send(b"message")
    expect(pull, b"message")
    expect(spy, b"message")
    assert ask(join(zmq.REQ, one.control), b"TERMINATE") == [b""]


def test_steerable_proxy_without_control_is_a_proxy(zmq, relay, join):
    one = relay(zmq.PULL, zmq.PUSH, function=zmq.proxy_steerable)
    push, pull = join(zmq.PUSH, one.front), join(zmq.PULL, one.back)
    push.send(b"message")
    expect(pull, b"message")


# --- ends --------------------------------------------------------------------------------------------------


def test_term_ends_a_proxy(zmq, new_context, task):
    context = new_context()
    pair = [context.socket(zmq.PAIR) for _ in range(2)]

    def serve():
        try:
            zmq.proxy(*pair)
        finally:
            for each in pair:
                each.close()

    serving = task(serve)
    serving.wait_blocked()
    context.term()
    with expect_error(zmq, "ETERM"):
        serving.result()


@pytest.mark.shmzmq_only("libzmq's sockets must not be shared between threads")
def test_close_ends_a_proxy(zmq, sockets, task):
    one, other = sockets(zmq.PAIR), sockets(zmq.PAIR)
    serving = task(zmq.proxy, one, other)
    serving.wait_blocked()
    other.close()
    with expect_error(zmq, "ENOTSOCK"):
        serving.result()


@pytest.mark.parametrize("closed", ["front", "back"])
def test_proxy_refuses_a_closed_socket(zmq, sockets, closed):
    one, other = sockets(zmq.PAIR), sockets(zmq.PAIR)
    (one if closed == "front" else other).close()
    for call in (zmq.proxy, zmq.proxy_steerable, lambda *pair: zmq.device(zmq.QUEUE, *pair)):
        with expect_error(zmq, "EFAULT"):
            call(one, other)


@pytest.mark.parametrize("arguments", [(1, 2), ("pair", None), (None, "pair"), ("pair", "pair", 3)], ids=repr)
def test_proxy_takes_sockets_only(zmq, sockets, arguments):
    pair = sockets(zmq.PAIR)
    with pytest.raises(TypeError):
        zmq.proxy(*(pair if each == "pair" else each for each in arguments))


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_exception_of_a_signal_handler_ends_a_proxy(zmq, new_context, inproc, busy):
    """Also while messages never cease; the proxy runs in the main thread."""
    context = new_context()
    front, back = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    front.bind(inproc)
    back.bind(inproc + "-back")
    # A message that goes round for ever: out of the back, in again at the front.
    ring = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    end = threading.Event()
    ring[0].connect(inproc)
    ring[1].connect(inproc + "-back")

    def turn():
        while not end.is_set():
            if ring[0].poll(1, zmq.POLLOUT):
                ring[0].send(b"round")
            while ring[1].poll(0):
                ring[1].recv()

    turning = threading.Thread(target=turn)
    before = signal.getsignal(signal.SIGALRM)

    def handle(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, handle)
    try:
        if busy:
            turning.start()
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(KeyboardInterrupt):
            zmq.proxy(front, back)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        end.set()
        if busy:
            turning.join(CAP)
    for socket in (front, back, *ring):
        socket.close(linger=0)
    context.term()


# --- Stopwatch ---------------------------------------------------------------------------------------------


def test_stopwatch_counts_microseconds_and_is_deprecated(zmq):
    with pytest.warns(DeprecationWarning, match="Stopwatch is deprecated"):
        watch = zmq.Stopwatch()
    watch.start()
    assert not threading.Event().wait(0.01)
    passed = watch.stop()
    assert type(passed) is int
    assert passed >= 10_000
