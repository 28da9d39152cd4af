"""Real processes: messages across, late and dying peers, and signals.

Children are spawned, so they share nothing with the test but the endpoint and the link.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from kit import CAP, CAP_MS, expect, marry, refused, wait_until

pytestmark = pytest.mark.slow  # it takes a fifth of a second to spawn a Python

PLENTY = 60_000  # milliseconds that a child waits before it gives up: its parent's caps are shorter


# --- both directions ---------------------------------------------------------------------------------------


def echo(zmq, link, endpoint, verb):
    """Answer everything until an empty message comes; return how many were answered."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as pair:
        pair.rcvtimeo = PLENTY
        getattr(pair, verb)(endpoint)
        link.tell("ready")
        answered = 0
        while (frames := pair.recv_multipart()) != [b""]:
            pair.send_multipart(frames)
            answered += 1
        return answered


@pytest.mark.parametrize(("ours", "theirs"), [("bind", "connect"), ("connect", "bind")])
def test_messages_go_both_ways_between_processes(zmq, sockets, ipc, run_child, ours, theirs):
    child = run_child(echo, ipc, theirs)
    pair = sockets(zmq.PAIR)
    getattr(pair, ours)(ipc)
    messages = [[b"%d" % number, bytes(number * 37 % 5000)] for number in range(300)]
    for message in messages:
        pair.send_multipart(message)
    for message in messages:
        expect(pair, *message)
    pair.send(b"")
    assert child.result() == 300


@pytest.mark.parametrize("size", [0, 1, 4096, 65_537, 1 << 20, 4 << 20])
def test_message_of_this_size_goes_to_another_process_and_back(zmq, sockets, ipc, run_child, size):
    child = run_child(echo, ipc, "connect")
    pair = sockets(zmq.PAIR)
    pair.bind(ipc)
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    pair.send_multipart([b"body", body])
    expect(pair, b"body", body)
    pair.send(b"")
    assert child.result() == 1


def serve(zmq, link, endpoint, requests):
    """Answer so many requests with their number doubled."""
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.rcvtimeo = PLENTY
        rep.bind(endpoint)
        link.tell("ready")
        for _ in range(requests):
            rep.send(b"%d" % (2 * int(rep.recv())))
        return rep.getsockopt(zmq.TYPE)


def test_requests_are_answered_by_another_process(zmq, sockets, ipc, run_child):
    child = run_child(serve, ipc, 100)
    req = sockets(zmq.REQ, rcvtimeo=2 * CAP_MS)
    req.connect(ipc)
    for number in range(100):
        req.send(b"%d" % number)
        expect(req, b"%d" % (2 * number))
    child.result()


def produce(zmq, link, endpoint, name, count):
    """Send numbered messages under a name, and leave."""
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.connect(endpoint)
    for number in range(count):
        push.send_multipart([name, b"%d" % number, bytes(number % 3000)])
    link.tell("sent")
    push.close()
    context.term()


def test_messages_of_several_processes_arrive_in_the_order_of_each(zmq, sockets, ipc, run_child):
    pull = sockets(zmq.PULL, rcvtimeo=2 * CAP_MS)
    pull.bind(ipc)
    names = [b"a", b"b", b"c"]
    children = [run_child(produce, ipc, name, 1000) for name in names]
    seen = {name: [] for name in names}
    for _ in range(3000):
        name, number, filling = pull.recv_multipart()
        assert len(filling) == int(number) % 3000
        seen[name].append(int(number))
    assert all(numbers == list(range(1000)) for numbers in seen.values())
    for child in children:
        child.result()


def consume(zmq, link, endpoint, verb="bind"):
    """Receive until the word `stop`; return what came."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = PLENTY
        getattr(pull, verb)(endpoint)
        link.tell("ready")
        received = []
        while (message := pull.recv()) != b"stop":
            received.append(message)
        return received


def work(zmq, link, endpoint):
    """Receive until the word `stop`; say when the first piece of work came; return all."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = PLENTY
        pull.connect(endpoint)
        received = [pull.recv()]
        link.tell("at work")
        while (message := pull.recv()) != b"stop":
            received.append(message)
        return received


def test_work_is_shared_between_processes(zmq, sockets, ipc, run_child):
    push = sockets(zmq.PUSH)
    push.bind(ipc)
    children = [run_child(work, ipc) for _ in range(2)]
    sent = 0

    def all_at_work():
        nonlocal sent
        push.send(b"%d" % sent)
        sent += 1
        return all(child.has_word() for child in children)

    wait_until(all_at_work, "both children to get work", 2 * CAP)
    for _ in range(100):
        push.send(b"%d" % sent)
        sent += 1
    for _ in children:
        push.send(b"stop")
    shares = [child.result() for child in children]
    assert min(len(share) for share in shares) >= 51
    assert sorted(int(piece) for share in shares for piece in share) == list(range(sent))


# --- early and late ----------------------------------------------------------------------------------------


def test_messages_wait_for_a_binder_in_another_process(zmq, sockets, ipc, run_child):
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    push.connect(ipc)
    for number in range(100):
        push.send(b"%d" % number)
    child = run_child(consume, ipc)
    push.send(b"stop")
    assert child.result() == [b"%d" % number for number in range(100)]


def test_queued_messages_of_a_process_that_left_arrive(zmq, sockets, ipc, run_child):
    child = run_child(produce, ipc, b"early", 1000)
    child.hear()
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    for number in range(1000):
        expect(pull, b"early", b"%d" % number, bytes(number % 3000))
    child.result()


def test_messages_of_a_process_that_left_before_they_were_read_arrive(zmq, sockets, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    run_child(produce, ipc, b"gone", 200).result()
    for number in range(200):
        expect(pull, b"gone", b"%d" % number, bytes(number % 3000))


# --- killed ------------------------------------------------------------------------------------------------


def test_connecter_finds_a_binder_that_was_killed_and_restarted(zmq, sockets, ipc, run_child):
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    push.connect(ipc)
    first = run_child(consume, ipc)
    first.hear()
    push.send(b"to the first")
    first.kill()
    second = run_child(consume, ipc)
    second.hear()

    def stopped():
        push.send(b"stop")
        return second.has_word(0.02)

    wait_until(stopped, "the second binder to hear the connecter of the first")
    second.result()


def bind_and_never_read(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        link.tell("ready")
        link.hear(PLENTY / 1000)


@pytest.mark.shmzmq_only("libzmq loses what was under way to the binder that died")
@pytest.mark.parametrize("accepted", [1, 900, 1900])
def test_successor_of_a_killed_binder_receives_everything_unread(zmq, sockets, ipc, run_child, accepted):
    push = sockets(zmq.PUSH, reconnect_ivl=10, immediate=0)
    push.connect(ipc)
    first = run_child(bind_and_never_read, ipc)
    first.hear()
    for number in range(accepted):
        push.send(b"%d" % number)
    first.kill()
    second = run_child(consume, ipc)
    second.hear()
    push.send(b"stop")
    assert second.result() == [b"%d" % number for number in range(accepted)]


def send_and_hold(zmq, link, endpoint, count):
    """Send, say so, and hold still until killed."""
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.connect(endpoint)
    push.send(b"probe")
    link.hear()  # the probe was received: the connection is up
    for number in range(count):
        push.send_multipart([b"%d" % number, bytes(number)])
    link.tell("accepted")
    link.hear(PLENTY / 1000)


@pytest.mark.shmzmq_only("libzmq loses what its I/O thread has not written")
def test_messages_accepted_from_a_killed_sender_arrive(zmq, sockets, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = run_child(send_and_hold, ipc, 1000)
    expect(pull, b"probe")
    child.tell("go on")
    child.hear()
    child.kill()
    for number in range(1000):
        expect(pull, b"%d" % number, bytes(number))


def send_half_a_message(zmq, link, endpoint):
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.connect(endpoint)
    push.send(b"whole")
    push.send(b"half", zmq.SNDMORE)
    push.send(bytes(100_000), zmq.SNDMORE)
    link.tell("half-way")
    link.hear(PLENTY / 1000)


def test_half_a_message_of_a_killed_sender_is_not_delivered(zmq, sockets, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = run_child(send_half_a_message, ipc)
    child.hear()
    expect(pull, b"whole")
    child.kill()
    fence = sockets(zmq.PUSH)
    fence.connect(ipc)
    fence.send(b"fence")
    expect(pull, b"fence")


def connect_and_hold(zmq, link, endpoint):
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.identity = b"victim"
    dealer.connect(endpoint)
    dealer.send(b"hello")
    link.hear(PLENTY / 1000)


def test_name_of_a_killed_peer_is_free_again(zmq, sockets, ipc, run_child):
    router = sockets(zmq.ROUTER, router_mandatory=1, rcvtimeo=2 * CAP_MS)
    router.bind(ipc)
    child = run_child(connect_and_hold, ipc)
    expect(router, b"victim", b"hello")
    child.kill()

    question = [b"victim", b"are you there?"]
    wait_until(
        lambda: refused(zmq, "EHOSTUNREACH", router.send_multipart, question),
        "the ROUTER to notice that the process was killed",
    )


def connect_and_never_read(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvhwm = 2
        pull.connect(endpoint)
        pull.poll(PLENTY)
        link.tell("could read now")
        link.hear(PLENTY / 1000)


def test_blocked_sender_goes_on_when_its_reader_is_killed_and_another_comes(
    zmq, sockets, ipc, run_child, task
):
    push, reader = sockets(zmq.PUSH, sndhwm=2, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=2)
    push.bind(ipc)
    child = run_child(connect_and_never_read, ipc)

    def send():
        for _ in range(200):
            push.send(bytes(10_000))

    sending = task(send)
    child.hear()
    sending.wait_blocked()
    child.kill()
    reader.connect(ipc)

    def all_sent():
        if reader.poll(1):
            reader.recv()
        return sending.done

    wait_until(all_sent, "the sender to go on with the second reader", 2 * CAP)
    sending.result()


# --- signals -----------------------------------------------------------------------------------------------


def blocked_call(zmq, link, call, endpoint):
    """Block for ever in the call; say what ended it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.bind(endpoint)
    calls = {
        "recv": socket.recv,
        "recv without copy": lambda: socket.recv(copy=False),
        "recv_multipart": socket.recv_multipart,
        "recv_into": lambda: socket.recv_into(bytearray(8)),
        "recv with a timeout": lambda: (setattr(socket, "rcvtimeo", PLENTY), socket.recv()),
        "send": lambda: socket.send(b""),
        "send_multipart": lambda: socket.send_multipart([b"", b""]),
        "poll": socket.poll,
    }
    try:
        link.tell("about to block")
        calls[call]()
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        socket.close()
        context.term()


CALLS = ["recv", "recv without copy", "recv_multipart", "recv_into", "recv with a timeout", "send", "poll"]


@pytest.mark.parametrize("call", [*CALLS, "send_multipart"])
def test_control_c_ends_a_blocked_call(ipc, run_child, call):
    child = run_child(blocked_call, call, ipc)
    child.hear()
    child.wait_blocked()
    began = time.monotonic()
    child.signal(signal.SIGINT)
    assert child.result() == "interrupted"
    assert time.monotonic() - began < 1.0, "the promise is 100 ms; a busy machine gets ten times that"


def blocked_term(zmq, link, endpoint):
    """Linger for ever in term; say what ended it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.connect(endpoint)
    push.send(b"pending")
    push.close()
    try:
        link.tell("about to block")
        context.term()
    except KeyboardInterrupt:
        return "interrupted"


def test_control_c_ends_a_blocked_term(ipc, run_child):
    child = run_child(blocked_term, ipc)
    child.hear()
    child.wait_blocked()
    child.signal(signal.SIGINT)
    assert child.result() == "interrupted"


def call_before_signals(zmq, link, endpoint, call):
    """Calls that wait, each with an alarm a microsecond later than the last, while they fall asleep."""

    class Rang(Exception):
        pass

    def ring(*_):
        raise Rang

    signal.signal(signal.SIGALRM, ring)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP_MS
        pull.connect(endpoint)
        poller = zmq.Poller()
        poller.register(pull, zmq.POLLIN)
        waits = {"recv": pull.recv, "poll": lambda: pull.poll(CAP_MS), "poller": lambda: poller.poll(CAP_MS)}
        for number in range(250):
            try:
                signal.setitimer(signal.ITIMER_REAL, (number + 1) * 1e-6)
                waits[call]()
            except Rang:
                continue
            raise AssertionError(f"a signal {number + 1} us later did not end {call}")


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq has a gap of its own there, a smaller one")
@pytest.mark.parametrize("call", ["recv", "poll", "poller"])
def test_signal_that_comes_while_a_call_falls_asleep_ends_it(run_child, ipc, call):
    """Its handler runs before the sleep, and Python hears of it behind the sleep only."""
    run_child(call_before_signals, ipc, call).result(4 * CAP)


def receive_under_signals(zmq, link, endpoint, call):
    """Receive one message while a handler that returns is run again and again."""
    signal.signal(signal.SIGUSR1, lambda *_: link.tell("handled"))
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        link.tell("about to block")
        if call == "poll":
            assert pull.poll() == zmq.POLLIN
        return pull.recv()


@pytest.mark.parametrize("call", ["recv", "poll"])
def test_call_goes_on_after_a_handler_that_returns(zmq, sockets, ipc, run_child, call):
    """PEP 475: a call that a signal interrupts is tried again after the Python handler has returned."""
    child = run_child(receive_under_signals, ipc, call)
    child.hear()
    for _ in range(5):
        child.wait_blocked()
        child.signal(signal.SIGUSR1)
        assert child.hear() == "handled"
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(b"after the signals")
    assert child.result() == b"after the signals"


def send_under_signals(zmq, link, endpoint):
    signal.signal(signal.SIGUSR1, lambda *_: link.tell("handled"))
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.bind(endpoint)
    link.tell("about to block")
    push.send(b"sent after the signals")
    push.close()
    context.term()


def test_send_goes_on_after_a_handler_that_returns(zmq, sockets, ipc, run_child):
    """PEP 475: a call that a signal interrupts is tried again after the Python handler has returned."""
    child = run_child(send_under_signals, ipc)
    child.hear()
    for _ in range(5):
        child.wait_blocked()
        child.signal(signal.SIGUSR1)
        assert child.hear() == "handled"
    pull = sockets(zmq.PULL)
    pull.connect(ipc)
    expect(pull, b"sent after the signals")
    child.result()


def receive_until_the_handler_raises(zmq, link, endpoint):
    class HandlerError(Exception):
        pass

    def handler(*_):
        raise HandlerError

    signal.signal(signal.SIGUSR1, handler)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        try:
            link.tell("about to block")
            pull.recv()
        except HandlerError:
            link.tell("raised")
        return pull.recv()


def test_exception_of_a_handler_ends_the_call_and_the_socket_lives_on(zmq, sockets, ipc, run_child):
    """PEP 475: if the signal handler raises an exception, the function fails with that exception."""
    child = run_child(receive_until_the_handler_raises, ipc)
    child.hear()
    child.wait_blocked()
    child.signal(signal.SIGUSR1)
    assert child.hear() == "raised"
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(b"afterwards")
    assert child.result() == b"afterwards"


def time_out_under_signals(zmq, link, call):
    """Wait 300 ms under signals every 50 ms; return how long it took."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = 300
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        began = time.monotonic()
        try:
            if call == "poll":
                assert pull.poll(300) == 0
            else:
                pull.recv()
        except zmq.Again:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.shmzmq_only("pyzmq starts the whole time-out again after each signal")
@pytest.mark.parametrize("call", ["recv", "poll"])
def test_signals_do_not_lengthen_a_timeout(run_child, call):
    """PEP 475: the timeout is recomputed, so that signals do not make a call last longer."""
    assert 0.29 <= run_child(time_out_under_signals, call).result() < 2.0


def test_child_sees_the_pid_of_its_own(zmq, run_child):
    """The kit's own promise: children are other processes."""
    assert run_child(own_pid).result() != os.getpid()


def own_pid(zmq, link):
    return os.getpid()


def test_marry_works_across_contexts_of_one_process(zmq, sockets, new_context, ipc):
    """The kit's own promise, which other tests rely on."""
    push, pull = sockets(zmq.PUSH, context=new_context()), sockets(zmq.PULL)
    push.bind(ipc)
    pull.connect(ipc)
    marry(push, pull)
    push.send(b"message")
    expect(pull, b"message")


TALKS_TO_ITSELF = """
import sys, threading
import shmzmq as zmq
context = zmq.Context()
def talk(push, pull, busy):
    while True:
        push.send(bytes(100))
        pull.recv()
        busy.set()
for number in range(6):  # in whatever order they are closed
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    pull.bind(f"{sys.argv[1]}-{number}")
    push.connect(f"{sys.argv[1]}-{number}")
    busy = threading.Event()
    threading.Thread(target=talk, args=(push, pull, busy), daemon=True).start()
    busy.wait()
"""


@pytest.mark.slow
@pytest.mark.shmzmq_only("waits at its end for what it sent; pyzmq ends at once")
def test_program_whose_daemon_thread_talks_to_itself_ends(new_endpoint):
    """Every second or third run waited for ever: the receiving socket was closed first."""
    command = [sys.executable, "-c", TALKS_TO_ITSELF]
    runs = [subprocess.Popen([*command, new_endpoint("ipc")], stderr=subprocess.DEVNULL) for _ in range(4)]
    try:
        assert [run.wait(4 * CAP) for run in runs] == [0] * 4
    finally:
        for run in runs:
            run.kill()
            run.wait()
