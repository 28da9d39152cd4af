"""Poller, zmq_poll and select: what they answer, in which order, of which type, and what they refuse.

Source: zmq_poll(3), and pyzmq's documented Poller, zmq_poll and select.
"""

from __future__ import annotations

import decimal
import os
import signal
import socket as system
import threading
import time
import types

import pytest

from kit import CAP, CAP_MS, SMALL_BUFFERS, expect, expect_error, fill, marry


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH connected to a bound PULL."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    return push, pull


@pytest.fixture
def poller(zmq):
    """A function that makes a poller of (socket, flags) or (socket,) tuples."""

    def make(*registrations):
        made = zmq.Poller()
        for each in registrations:
            made.register(*each)
        return made

    return make


@pytest.fixture
def pipe():
    """Both ends of an os.pipe; what the test leaves open is closed."""
    ends = types.SimpleNamespace(**dict(zip(("read", "write"), os.pipe(), strict=True)))

    def close(name):
        os.close(getattr(ends, name))
        setattr(ends, name, None)

    ends.close = close
    yield ends
    for name in ("read", "write"):
        if getattr(ends, name) is not None:
            close(name)


# --- registration ------------------------------------------------------------------------------------------


def test_poller_knows_what_is_registered(zmq, flow, poller):
    push, pull = flow
    made = poller((pull, zmq.POLLIN))
    assert pull in made
    assert push not in made
    assert made.sockets == [(pull, zmq.POLLIN)]


def test_registration_asks_for_both_directions_by_default(zmq, flow, poller):
    push, _pull = flow
    made = poller((push,))
    assert made.sockets == [(push, zmq.POLLIN | zmq.POLLOUT)]


def test_registering_again_changes_the_flags_and_keeps_the_place(zmq, flow, poller):
    push, pull = flow
    made = poller((push, zmq.POLLIN), (pull, zmq.POLLIN))
    made.register(push, zmq.POLLOUT)
    assert made.sockets == [(push, zmq.POLLOUT), (pull, zmq.POLLIN)]
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]


def test_modify_registers_what_is_not_registered(zmq, flow, poller):
    push, _pull = flow
    made = poller()
    made.modify(push, zmq.POLLOUT)
    assert made.sockets == [(push, zmq.POLLOUT)]
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]


@pytest.mark.parametrize("call", ["register", "modify"])
def test_flags_of_zero_unregister(zmq, flow, poller, call):
    push, pull = flow
    made = poller((push, zmq.POLLOUT), (pull, zmq.POLLIN))
    getattr(made, call)(push, 0)
    assert push not in made
    assert made.sockets == [(pull, zmq.POLLIN)]
    assert made.poll(0) == []


def test_flags_of_zero_do_not_register(flow, poller):
    push, _pull = flow
    made = poller((push, 0))
    assert push not in made
    assert made.sockets == []


def test_unregistered_socket_is_not_polled(zmq, flow, poller):
    push, pull = flow
    made = poller((push, zmq.POLLOUT), (pull, zmq.POLLIN))
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]
    made.unregister(push)
    assert made.poll(0) == []
    push.send(b"message")
    assert made.poll(CAP_MS) == [(pull, zmq.POLLIN)]


def test_unregistering_a_stranger_is_a_key_error(flow, poller):
    push, _pull = flow
    with pytest.raises(KeyError):
        poller().unregister(push)


def test_another_handle_on_a_socket_is_another_registration(zmq, flow, poller):
    push, _pull = flow
    shadow = zmq.Socket.shadow(push)
    made = poller((push, zmq.POLLOUT))
    assert shadow not in made
    made.register(shadow, zmq.POLLOUT)
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT), (shadow, zmq.POLLOUT)]


def test_both_handles_on_a_socket_hear_of_its_messages(zmq, flow, poller, task):
    """Also after the poll had to wait."""
    push, pull = flow
    shadow = zmq.Socket.shadow(pull)
    made = poller((pull, zmq.POLLIN), (shadow, zmq.POLLIN))
    for _ in range(3):
        polling = task(made.poll)
        polling.wait_blocked()
        push.send(b"message")
        assert polling.result() == [(pull, zmq.POLLIN), (shadow, zmq.POLLIN)]
        expect(pull, b"message")
        assert made.poll(0) == []
    made.unregister(pull)
    polling = task(made.poll)
    polling.wait_blocked()
    push.send(b"message")
    assert polling.result() == [(shadow, zmq.POLLIN)]


def test_what_cannot_be_hashed_cannot_be_registered(poller):
    with pytest.raises(TypeError):
        poller(([],))


def test_poller_that_goes_leaves_the_sockets_alone(zmq, flow, poller):
    push, pull = flow
    poller((push,), (pull,)).poll(0)
    push.send(b"message")
    expect(pull, b"message")


# --- answers -----------------------------------------------------------------------------------------------


def test_empty_poller_answers_at_once(poller):
    assert poller().poll() == []


def test_answers_are_pairs_of_the_object_and_an_int(zmq, flow, poller):
    push, _pull = flow
    ((answered, events),) = poller((push,)).poll(CAP_MS)
    assert answered is push
    assert type(events) is int
    assert events == zmq.POLLOUT


def test_answers_come_in_the_order_of_registration(zmq, sockets, endpoints, poller):
    pulls, pushes = [], []
    made = poller()
    for place in endpoints(24):
        pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
        pull.bind(place)
        push.connect(place)
        marry(push, pull)
        made.register(pull, zmq.POLLIN)
        pulls.append(pull)
        pushes.append(push)
    for push in reversed(pushes):
        push.send(b"message")
    for pull in pulls:
        assert pull.poll(CAP_MS)
    assert made.poll() == [(pull, zmq.POLLIN) for pull in pulls]
    first = pulls[0]
    made.unregister(first)
    made.register(first, zmq.POLLIN)
    assert [answered for answered, _ in made.poll()] == [*pulls[1:], first]


def test_every_ready_socket_is_answered_although_another_is_always_ready(zmq, flow, sockets, new_endpoint):
    push, pull = flow
    other, its_peer = sockets(zmq.PULL), sockets(zmq.PUSH)
    place = new_endpoint("inproc")
    other.bind(place)
    its_peer.connect(place)
    made = zmq.Poller()
    made.register(push, zmq.POLLOUT)
    made.register(pull, zmq.POLLIN)
    made.register(other, zmq.POLLIN)
    assert dict(made.poll(CAP_MS)) == {push: zmq.POLLOUT}
    for _ in range(3):
        its_peer.send(b"message")
        assert dict(made.poll(CAP_MS)) == {push: zmq.POLLOUT, other: zmq.POLLIN}
        expect(other, b"message")
        assert dict(made.poll(CAP_MS)) == {push: zmq.POLLOUT}


def test_readiness_is_a_level(zmq, flow, poller):
    """It is answered as long as it holds, and not after."""
    push, pull = flow
    made = poller((pull, zmq.POLLIN))
    push.send_multipart([b"a", b"b"])
    for _ in range(3):
        assert made.poll(CAP_MS) == [(pull, zmq.POLLIN)]
    pull.recv()
    assert made.poll(0) == [(pull, zmq.POLLIN)]
    pull.recv()
    assert made.poll(0) == []


def test_full_peer_is_not_writable_until_it_is_read(zmq, sockets, endpoint, poller):
    push = sockets(zmq.PUSH, sndhwm=2, **SMALL_BUFFERS)
    pull = sockets(zmq.PULL, rcvhwm=2, **SMALL_BUFFERS)
    push.bind(endpoint)
    pull.connect(endpoint)
    made = poller((push, zmq.POLLOUT))
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]
    # libzmq takes some more when its I/O thread has moved a few to the peer.
    count = 0
    while made.poll(20):
        count += fill(zmq, push)
    for _ in range(count):
        pull.recv()
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]


def test_socket_without_peers_is_not_writable_until_one_comes(zmq, sockets, endpoint, poller, task):
    push = sockets(zmq.PUSH)
    push.bind(endpoint)
    made = poller((push, zmq.POLLOUT))
    assert made.poll(0) == []
    polling = task(made.poll)
    polling.wait_blocked()
    sockets(zmq.PULL).connect(endpoint)
    assert polling.result() == [(push, zmq.POLLOUT)]


def test_rep_is_readable_then_writable(zmq, sockets, endpoint, poller):
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    rep.bind(endpoint)
    req.connect(endpoint)
    made = poller((req,), (rep,))
    assert made.poll(CAP_MS) == [(req, zmq.POLLOUT)]
    for _ in range(3):
        req.send(b"request")
        assert made.poll(CAP_MS) == [(rep, zmq.POLLIN)]
        expect(rep, b"request")
        assert made.poll(CAP_MS) == [(rep, zmq.POLLOUT)]
        rep.send(b"reply")
        assert made.poll(CAP_MS) == [(req, zmq.POLLIN)]
        expect(req, b"reply")
        assert made.poll(CAP_MS) == [(req, zmq.POLLOUT)]


@pytest.mark.parametrize("flags", ["POLLERR", "POLLPRI"])
def test_sockets_have_neither_errors_nor_urgent_data(zmq, flow, poller, flags):
    push, pull = flow
    push.send(b"message")
    assert pull.poll(CAP_MS)
    made = poller((push, getattr(zmq, flags)), (pull, getattr(zmq, flags)))
    assert made.poll(0) == []


# --- time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 1, 1.9, 0.5, False, decimal.Decimal("1.5")], ids=repr)
def test_poll_ends_without_an_answer_when_its_time_is_over(zmq, flow, poller, timeout):
    _push, pull = flow
    assert poller((pull, zmq.POLLIN)).poll(timeout) == []


@pytest.mark.parametrize("timeout", [None, -1, -5, -0.5], ids=repr)
def test_poll_waits_for_ever_without_a_time(zmq, flow, poller, task, timeout):
    push, pull = flow
    polling = task(poller((pull, zmq.POLLIN)).poll, timeout)
    polling.wait_blocked()
    push.send(b"message")
    assert polling.result() == [(pull, zmq.POLLIN)]


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (2**31, OverflowError),
        (2**70, OverflowError),
        (float("inf"), OverflowError),
        (float("nan"), ValueError),
        ("1", TypeError),
    ],
    ids=repr,
)
def test_poll_refuses_a_time_that_is_none(flow, poller, timeout, error):
    push, _pull = flow
    made = poller((push,))
    with pytest.raises(error):
        made.poll(timeout)


@pytest.mark.parametrize(("flags", "error"), [(2**40, OverflowError), ("x", TypeError)], ids=repr)
def test_poll_refuses_flags_that_are_none(zmq, flow, poller, flags, error):
    """At the poll, as often as it is called; the rest works again without them."""
    push, pull = flow
    made = poller((push, zmq.POLLOUT), (pull, flags))
    for _ in range(2):
        with pytest.raises(error):
            made.poll(0)
    made.unregister(pull)
    assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]


# --- files -------------------------------------------------------------------------------------------------


def test_files_are_given_back_as_numbers(zmq, poller):
    one, other = system.socketpair()
    with one, other:
        assert poller((one,)).poll(CAP_MS) == [(one.fileno(), zmq.POLLOUT)]
        other.send(b"x")
        assert poller((one, zmq.POLLIN)).poll(CAP_MS) == [(one.fileno(), zmq.POLLIN)]
        assert poller((one.fileno(), zmq.POLLIN)).poll(CAP_MS) == [(one.fileno(), zmq.POLLIN)]


def test_regular_file_is_always_ready(zmq, poller):
    with open(__file__) as file:
        assert poller((file,)).poll(CAP_MS) == [(file.fileno(), zmq.POLLIN | zmq.POLLOUT)]


def test_file_and_socket_wait_together(zmq, flow, pipe, poller, task):
    push, pull = flow
    made = poller((pull, zmq.POLLIN), (pipe.read, zmq.POLLIN))
    for _ in range(2):
        polling = task(made.poll)
        polling.wait_blocked()
        push.send(b"message")
        assert polling.result() == [(pull, zmq.POLLIN)]
        polling = task(made.poll)
        expect(pull, b"message")
        os.write(pipe.write, b"x")
        answers = dict(polling.result())
        assert answers.pop(pull, zmq.POLLIN) == zmq.POLLIN  # the thread may have looked before the recv
        assert dict(made.poll(CAP_MS)) == {pipe.read: zmq.POLLIN}
        assert os.read(pipe.read, 1) == b"x"


def test_poll_of_files_alone_waits(zmq, pipe, poller, task):
    polling = task(poller((pipe.read, zmq.POLLIN)).poll)
    polling.wait_blocked()
    os.write(pipe.write, b"x")
    assert polling.result() == [(pipe.read, zmq.POLLIN)]


@pytest.mark.parametrize("flags", ["POLLIN", "POLLOUT", "POLLERR"])
def test_hang_up_is_an_error(zmq, pipe, poller, flags):
    """zmq_poll(3): whatever poll(2) says beyond in, out and urgent is POLLERR."""
    pipe.close("write")
    assert poller((pipe.read, getattr(zmq, flags))).poll(CAP_MS) == [(pipe.read, zmq.POLLERR)]


def test_unread_bytes_and_hang_up_are_both_told(zmq, pipe, poller):
    os.write(pipe.write, b"x")
    pipe.close("write")
    assert poller((pipe.read,)).poll(CAP_MS) == [(pipe.read, zmq.POLLIN | zmq.POLLERR)]


def test_number_that_is_not_open_is_an_error(zmq, poller):
    assert poller((9999,)).poll(CAP_MS) == [(9999, zmq.POLLERR)]


def test_urgent_data_is_told(zmq, poller):
    with system.create_server(("127.0.0.1", 0)) as server:
        one = system.create_connection(server.getsockname())
        other, _address = server.accept()
        with one, other:
            one.send(b"!", system.MSG_OOB)
            made = poller((other, zmq.POLLPRI))
            assert made.poll(CAP_MS) == [(other.fileno(), zmq.POLLPRI)]


def test_negative_number_is_passed_over(zmq, flow, poller):
    push, _pull = flow
    assert poller((-1,)).poll(0) == []
    assert poller((-1,), (push, zmq.POLLOUT)).poll(CAP_MS) == [(push, zmq.POLLOUT)]


def test_closed_system_socket_is_passed_over(poller):
    """Its fileno() is -1."""
    closed = system.socket()
    closed.close()
    assert poller((closed,)).poll(0) == []


class _Bad:
    def __init__(self, answer):
        self.answer = answer

    def fileno(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", ["x", None, KeyError("inside")], ids=repr)
def test_fileno_that_is_no_number_is_a_value_error(poller, answer):
    made = poller((_Bad(answer),))
    with pytest.raises(ValueError, match=r"fileno\(\) must return a valid integer fd"):
        made.poll(0)


@pytest.mark.parametrize("thing", ["text", None, object()], ids=["text", "None", "object"])
def test_what_is_no_file_is_refused_by_the_poll(poller, thing):
    made = poller((thing,))
    assert thing in made
    for _ in range(2):
        with pytest.raises(TypeError, match="fileno"):
            made.poll(0)


def test_number_too_large_for_a_file_overflows(poller):
    made = poller((2**40,))
    with pytest.raises(OverflowError):
        made.poll(0)


# --- ends --------------------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("pyzmq polls the process' standard input in place of a closed socket")
@pytest.mark.parametrize("when", ["before registration", "before the first poll", "between two polls"])
def test_closed_socket_is_no_socket(zmq, flow, poller, when):
    push, pull = flow
    made = poller((push, zmq.POLLOUT))
    if when == "before registration":
        pull.close()
    made.register(pull, zmq.POLLIN)
    if when == "between two polls":
        assert made.poll(CAP_MS) == [(push, zmq.POLLOUT)]
    pull.close()
    assert pull in made
    for _ in range(2):
        with expect_error(zmq, "ENOTSOCK"):
            made.poll(0)
    made.unregister(pull)
    push.close(linger=0)
    with expect_error(zmq, "ENOTSOCK"):
        made.poll(0)


@pytest.mark.shmzmq_only("libzmq's sockets must not be shared between threads")
def test_close_ends_a_poll_in_another_thread(zmq, flow, poller, task):
    _push, pull = flow
    polling = task(poller((pull, zmq.POLLIN)).poll)
    polling.wait_blocked()
    pull.close()
    with expect_error(zmq, "ENOTSOCK"):
        polling.result()


def test_term_ends_a_poll(zmq, new_context, task):
    context = new_context()
    pull = context.socket(zmq.PULL)
    made = zmq.Poller()
    made.register(pull, zmq.POLLIN)

    def wait():
        try:
            made.poll()
        finally:
            pull.close()

    polling = task(wait)
    polling.wait_blocked()
    context.term()
    with expect_error(zmq, "ETERM"):
        polling.result()


def test_closed_sockets_leave_nothing_in_a_poller_that_stays(zmq, new_context, new_endpoint, poller):
    """The leak check sees what they would leave: the poller lives on in the module."""
    made = poller()
    context = new_context()
    for _ in range(20):
        pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        place = new_endpoint("inproc")
        pull.bind(place)
        push.connect(place)
        made.register(pull, zmq.POLLIN)
        assert made.poll(0) == []
        made.unregister(pull)
        pull.close()
        push.close()
    context.term()
    test_closed_sockets_leave_nothing_in_a_poller_that_stays.kept = made


# --- signals -----------------------------------------------------------------------------------------------


@pytest.fixture
def alarm():
    """A function `alarm(handler)`: the handler runs again and again, from a real signal, until the end."""
    before = signal.getsignal(signal.SIGALRM)

    def start(handler):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_poll_goes_on_after_a_signal(zmq, flow, poller, alarm):
    """PEP 475: the handler runs, and the poll waits for what it was called for."""
    push, pull = flow
    ran = []

    def handle(*_):
        ran.append(None)
        if len(ran) == 3:
            push.send(b"message")

    alarm(handle)
    assert poller((pull, zmq.POLLIN)).poll(CAP_MS) == [(pull, zmq.POLLIN)]
    assert len(ran) >= 3


def test_signals_do_not_prolong_a_poll(zmq, flow, poller, alarm):
    """PEP 475: only what is left of the time is waited after a signal. pytest's time-out is the cap."""
    _push, pull = flow
    alarm(lambda *_: None)
    assert poller((pull, zmq.POLLIN)).poll(200) == []


@pytest.mark.parametrize("with_file", [False, True], ids=["sockets", "sockets and a file"])
def test_exception_of_a_signal_handler_ends_a_poll(zmq, flow, poller, alarm, pipe, with_file):
    _push, pull = flow
    made = poller((pull, zmq.POLLIN))
    if with_file:
        made.register(pipe.read, zmq.POLLIN)

    def handle(*_):
        raise KeyboardInterrupt

    alarm(handle)
    with pytest.raises(KeyboardInterrupt):
        made.poll()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert made.poll(0) == []


def test_other_threads_run_while_one_polls(zmq, flow, poller):
    _push, pull = flow
    counted = 0
    end = threading.Event()

    def count():
        nonlocal counted
        while not end.is_set():
            counted += 1
            time.sleep(0.001)  # the length of a step; nothing depends on it

    counting = threading.Thread(target=count)
    counting.start()
    assert poller((pull, zmq.POLLIN)).poll(100) == []
    end.set()
    counting.join(CAP)
    assert counted > 3


# --- zmq_poll and select -----------------------------------------------------------------------------------


def test_zmq_poll_answers_for_a_list(zmq, flow):
    push, pull = flow
    assert zmq.zmq_poll([(push, zmq.POLLOUT), (pull, zmq.POLLIN)], CAP_MS) == [(push, zmq.POLLOUT)]
    assert zmq.zmq_poll(sockets=([pull, zmq.POLLIN],), timeout=0) == []
    assert zmq.zmq_poll([]) == []


def test_zmq_poll_waits(zmq, flow, task):
    push, pull = flow
    polling = task(zmq.zmq_poll, [(pull, zmq.POLLIN)])
    polling.wait_blocked()
    push.send(b"message")
    assert polling.result() == [(pull, zmq.POLLIN)]


def test_zmq_poll_answers_twice_for_a_socket_given_twice(zmq, flow):
    push, _pull = flow
    answers = zmq.zmq_poll([(push, zmq.POLLOUT), (push, zmq.POLLIN | zmq.POLLOUT)], CAP_MS)
    assert answers == [(push, zmq.POLLOUT), (push, zmq.POLLOUT)]


@pytest.mark.parametrize(
    "arguments", [([(1, 2)], None), ([(1, 2)], "x"), ((pair for pair in []), 0), ([1], 0)], ids=range(4)
)
def test_zmq_poll_refuses_what_is_no_list_of_pairs(zmq, arguments):
    with pytest.raises(TypeError):
        zmq.zmq_poll(*arguments)


def test_select_answers_in_three_lists(zmq, flow):
    push, pull = flow
    assert zmq.select([pull], [push], [push, pull], CAP) == ([], [push], [])
    push.send(b"message")
    assert pull.poll(CAP_MS)
    assert zmq.select([pull, push], [push], [], CAP) == ([pull], [push], [])


def test_select_counts_in_seconds(zmq, flow):
    _push, pull = flow
    assert zmq.select([pull], [], [], 0.01) == ([], [], [])
    assert zmq.select([pull], [], [], 0) == ([], [], [])


@pytest.mark.parametrize("timeout", [(), (None,), (-1,), (-0.5,)], ids=repr)
def test_select_waits_for_ever_without_a_time(zmq, flow, task, timeout):
    push, pull = flow
    if timeout == (-0.5,):
        assert zmq.select([], [push], [], *timeout) == ([], [push], [])
        return
    selecting = task(zmq.select, [pull], [], [], *timeout)
    selecting.wait_blocked()
    push.send(b"message")
    assert selecting.result() == ([pull], [], [])


def test_select_of_nothing_answers_at_once(zmq):
    assert zmq.select([], [], []) == ([], [], [])


def test_select_gives_files_back_as_numbers(zmq, flow):
    _push, pull = flow
    one, other = system.socketpair()
    with one, other:
        assert zmq.select([pull, one], [one], [], CAP) == ([], [one.fileno()], [])


def test_select_tells_errors_of_files(zmq, pipe):
    pipe.close("write")
    assert zmq.select([], [], [pipe.read], CAP) == ([], [], [pipe.read])
