"""What our Poller promises beyond pyzmq's: cost by ready sockets, threads, forks, sockets of pyzmq.

`Poller._stats()` counts polls, sockets looked at, sockets armed and system calls since the poller was made.
"""

from __future__ import annotations

import os
import random
import resource
import threading

import pytest

from kit import CAP, CAP_MS, expect, expect_error, marry, wait_until

pytestmark = pytest.mark.shmzmq_only("is about shmzmq's own poller")


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH connected to a bound PULL."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    return push, pull


def counters(poller):
    return dict(poller._stats())


# --- cost --------------------------------------------------------------------------------------------------


@pytest.mark.not_over("tcp", "messages that the kernel still has must be waited for")
def test_poll_and_recv_make_no_system_call_while_messages_are_there(zmq, flow):
    push, pull = flow
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    for number in range(500):
        push.send(b"%d" % number)
    assert poller.poll(CAP_MS)
    before = counters(poller)
    for number in range(500):
        assert poller.poll() == [(pull, zmq.POLLIN)]
        expect(pull, b"%d" % number)
    after = counters(poller)
    assert after["polls"] - before["polls"] == 500
    assert after["looks"] - before["looks"] == 500
    assert after["system_calls"] == before["system_calls"]


@pytest.mark.slow
def test_cost_of_a_poll_follows_the_ready_sockets(zmq, run_child, scratch):
    """500 idle sockets cost nothing per poll: they are armed once and not looked at again."""
    polls, looks, arms, calls, first_looks = run_child(_among_idle_sockets, f"ipc://{scratch}/s").result(
        4 * CAP
    )
    assert first_looks >= 500, "every socket is looked at once"
    assert looks <= 3 * polls, f"{looks} looks in {polls} polls"
    assert arms <= 3 * polls, f"{arms} sockets armed in {polls} polls"
    assert calls <= 3 * polls, f"{calls} system calls in {polls} polls"


def _among_idle_sockets(zmq, link, endpoint):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with zmq.Context() as context:
        poller = zmq.Poller()
        idle = [context.socket(zmq.PULL) for _ in range(500)]
        for each in idle:
            poller.register(each, zmq.POLLIN)
        one, other = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        one.bind(endpoint)
        other.connect(endpoint)
        poller.register(one, zmq.POLLIN)
        echo = threading.Thread(target=_answer, args=(other, 201))
        echo.start()
        one.send(b"")
        poller.poll(CAP_MS)  # arms what is idle
        one.recv()
        before = counters(poller)
        for _ in range(200):
            one.send(b"")
            assert poller.poll(CAP_MS) == [(one, zmq.POLLIN)]
            one.recv()
            assert poller.poll(0) == []
        echo.join(CAP)
        after = counters(poller)
        for each in (one, other, *idle):
            each.close(linger=0)
        names = ("polls", "looks", "arms", "system_calls")
        return (*(after[name] - before[name] for name in names), before["looks"])


def _answer(socket, count):
    for _ in range(count):
        socket.send(socket.recv())


def test_armed_socket_among_many_is_heard(zmq, sockets, new_endpoint):
    """More sockets than are asked one by one: the kernel says which rang."""
    poller, pairs = zmq.Poller(), []
    for _ in range(40):
        pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
        place = new_endpoint("inproc")
        pull.bind(place)
        push.connect(place)
        poller.register(pull, zmq.POLLIN)
        pairs.append((pull, push))
    assert poller.poll(1) == []
    for pull, push in random.Random(1).sample(pairs, len(pairs)):
        push.send(b"message")
        assert poller.poll() == [(pull, zmq.POLLIN)]
        expect(pull, b"message")
    for _pull, push in pairs:
        push.send(b"message")
    assert poller.poll() == [(pull, zmq.POLLIN) for pull, _push in pairs]
    assert poller.poll(0) == [(pull, zmq.POLLIN) for pull, _push in pairs]


# --- registrations while it polls --------------------------------------------------------------------------


def test_registration_during_a_poll_counts_from_the_next_one(zmq, flow, sockets, new_endpoint, task):
    push, pull = flow
    late, its_peer = sockets(zmq.PULL), sockets(zmq.PUSH)
    place = new_endpoint("inproc")
    late.bind(place)
    its_peer.connect(place)
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    polling = task(poller.poll)
    polling.wait_blocked()
    poller.register(late, zmq.POLLIN)
    its_peer.send(b"message")
    assert late.poll(CAP_MS)
    assert not polling.done
    push.send(b"message")
    assert polling.result() == [(pull, zmq.POLLIN)]
    assert poller.poll(0) == [(pull, zmq.POLLIN), (late, zmq.POLLIN)]


def test_what_is_unregistered_during_a_poll_is_not_answered(zmq, flow, sockets, new_endpoint, task):
    push, pull = flow
    other, its_peer = sockets(zmq.PULL), sockets(zmq.PUSH)
    place = new_endpoint("inproc")
    other.bind(place)
    its_peer.connect(place)
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    poller.register(other, zmq.POLLIN)
    polling = task(poller.poll, 150)
    polling.wait_blocked()
    poller.unregister(pull)
    push.send(b"message")
    assert polling.result() == []
    its_peer.send(b"message")
    assert poller.poll(CAP_MS) == [(other, zmq.POLLIN)]


def test_one_poller_serves_two_threads(zmq, flow, task):
    push, pull = flow
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    polls = [task(poller.poll) for _ in range(3)]
    for each in polls:
        each.wait_blocked()
    push.send(b"message")
    for each in polls:
        assert each.result() == [(pull, zmq.POLLIN)]
    expect(pull, b"message")
    assert poller.poll(0) == []


# --- strangers in the socket -------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_pollers_hear_of_one_message(zmq, flow, task):
    push, pull = flow
    pollers = [zmq.Poller() for _ in range(3)]
    for each in pollers:
        each.register(pull, zmq.POLLIN)
    for _ in range(5):
        polls = [task(each.poll) for each in pollers]
        for each in polls:
            each.wait_blocked()
        push.send(b"message")
        for each in polls:
            assert each.result() == [(pull, zmq.POLLIN)]
        expect(pull, b"message")


def test_poller_that_waits_hears_what_a_rep_may_do_next(zmq, sockets, endpoint, task):
    """No mark rings for it: another thread's recv made the reply possible."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    rep.bind(endpoint)
    req.connect(endpoint)
    poller = zmq.Poller()
    poller.register(rep, zmq.POLLOUT)
    for _ in range(3):
        polling = task(poller.poll)
        polling.wait_blocked()
        req.send(b"request")
        expect(rep, b"request")
        assert polling.result() == [(rep, zmq.POLLOUT)]
        rep.send(b"reply")
        expect(req, b"reply")


def test_poller_that_waits_hears_of_a_raised_mark(zmq, sockets, inproc, task):
    push, pull = sockets(zmq.PUSH, sndhwm=1), sockets(zmq.PULL, rcvhwm=1)
    pull.bind(inproc)
    push.connect(inproc)
    while push.poll(0, zmq.POLLOUT):
        push.send(b"fill")
    poller = zmq.Poller()
    poller.register(push, zmq.POLLOUT)
    polling = task(poller.poll)
    polling.wait_blocked()
    push.sndhwm = 100
    assert polling.result() == [(push, zmq.POLLOUT)]


@pytest.mark.slow
@pytest.mark.parametrize("fd_too", [False, True], ids=["calls", "calls and the FD"])
def test_no_wake_is_lost_among_pollers_blocked_calls_and_strangers(zmq, sockets, endpoints, fd_too):
    """
    What    Two pollers, a thread blocked in recv and a stranger that asks and receives at random share six
            sockets; one message at a time is sent to one of them.
    Why     Each of them takes marks that were rung for the others.
    Failure means  a message lies unread while everybody sleeps.
    """
    rng = random.Random(7)
    crowd = Crowd(zmq, [couple(zmq, sockets, place) for place in endpoints(6)], fd_too)
    try:
        for number in range(1500):
            _pull, push = rng.choice(crowd.pairs)
            push.send(b"%d" % number)
            assert crowd.taken.acquire(timeout=CAP), f"message {number} lies unread"
            if rng.random() < 0.2:
                crowd.end.wait(0.002)  # now and then everybody gets to sleep; nothing depends on it
    finally:
        crowd.disperse()


def couple(zmq, sockets, place):
    """A PULL that gives up soon, and a PUSH that knows it."""
    pull, push = sockets(zmq.PULL, rcvtimeo=20), sockets(zmq.PUSH)
    pull.bind(place)
    push.connect(place)
    marry(push, pull)
    return pull, push


class Crowd:
    """Threads that all take messages from the same sockets, each in its own way."""

    def __init__(self, zmq, pairs, fd_too):
        self.zmq, self.pairs, self.fd_too = zmq, pairs, fd_too
        self.pulls = [pull for pull, _push in pairs]
        self.taken = threading.Semaphore(0)
        self.end = threading.Event()
        ways = (self.poll, self.poll, self.block, self.intrude)
        self.threads = [threading.Thread(target=way, daemon=True) for way in ways]
        for each in self.threads:
            each.start()

    def take(self, pull, flags):
        try:
            pull.recv(flags)
        except self.zmq.Again:
            return
        self.taken.release()

    def poll(self):
        poller = self.zmq.Poller()
        for pull in self.pulls:
            poller.register(pull, self.zmq.POLLIN)
        while not self.end.is_set():
            for pull, _events in poller.poll():
                self.take(pull, self.zmq.DONTWAIT)

    def block(self):
        while not self.end.is_set():
            self.take(self.pulls[0], 0)

    def intrude(self):
        rng = random.Random(8)
        while not self.end.is_set():
            pull = rng.choice(self.pulls)
            what = rng.randrange(4)
            if what == 0:
                self.take(pull, self.zmq.DONTWAIT)
            elif what == 1:
                pull.get(self.zmq.EVENTS)
            elif what == 2:
                pull.poll(1)
            elif self.fd_too:
                pull.fileno()
            self.end.wait(0.0005 * rng.random())

    def disperse(self):
        self.end.set()
        for _pull, push in self.pairs * 2:
            push.send(b"the end")
        for each in self.threads:
            each.join(CAP)
        assert not any(each.is_alive() for each in self.threads)


# --- fork --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_poller_of_the_parent_is_refused_in_a_forked_child(zmq, run_child):
    assert run_child(_fork_with_a_poller).result(4 * CAP) == "ForkedError"


def _fork_with_a_poller(zmq, link):
    with zmq.Context() as context:
        pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        pull.bind("inproc://a")
        push.connect("inproc://a")
        poller = zmq.Poller()
        poller.register(pull, zmq.POLLIN)
        assert poller.poll(1) == []
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                poller.poll(1)
            except zmq.ForkedError:
                # What is no socket of the parent's can be polled as ever.
                poller.unregister(pull)
                poller.register(write, zmq.POLLOUT)
                assert poller.poll(CAP_MS) == [(write, zmq.POLLOUT)]
                os.write(write, b"ForkedError")
            os._exit(0)
        os.waitpid(pid, 0)
        said = os.read(read, 100).decode()
        push.send(b"message")
        assert poller.poll(CAP_MS) == [(pull, zmq.POLLIN)]
        os.close(read)
        os.close(write)
        pull.close()
        push.close()
        return said


# --- sockets of pyzmq --------------------------------------------------------------------------------------


@pytest.fixture
def theirs():
    """pyzmq, with a PUSH connected to a PULL."""
    pyzmq = pytest.importorskip("zmq")
    with pyzmq.Context() as context, context.socket(pyzmq.PULL) as pull, context.socket(pyzmq.PUSH) as push:
        pull.bind("inproc://theirs")
        push.connect("inproc://theirs")
        push.linger = 0
        yield pyzmq, push, pull


def test_socket_of_pyzmq_is_polled_beside_ours(zmq, flow, theirs, task):
    pyzmq, their_push, their_pull = theirs
    push, pull = flow
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    poller.register(their_pull, zmq.POLLIN)
    assert poller.poll(0) == []
    for _ in range(3):
        polling = task(poller.poll)
        polling.wait_blocked()
        their_push.send(b"theirs")
        assert polling.result() == [(their_pull, zmq.POLLIN)]
        assert poller.poll(CAP_MS) == [(their_pull, zmq.POLLIN)], "it is a level"
        assert their_pull.recv() == b"theirs"
        polling = task(poller.poll)
        polling.wait_blocked()
        push.send(b"ours")
        assert polling.result() == [(pull, zmq.POLLIN)]
        expect(pull, b"ours")
    poller.register(their_push, zmq.POLLOUT)
    assert poller.poll(CAP_MS) == [(their_push, zmq.POLLOUT)]
    assert pyzmq.POLLIN == zmq.POLLIN


def test_closed_socket_of_pyzmq_raises_their_error(zmq, theirs):
    pyzmq, _push, their_pull = theirs
    poller = zmq.Poller()
    poller.register(their_pull, zmq.POLLIN)
    their_pull.close()
    with pytest.raises(pyzmq.ZMQError):
        poller.poll(0)


# --- ends --------------------------------------------------------------------------------------------------


def test_closed_sockets_fds_go_although_a_poller_still_lists_it(zmq, new_context):
    context = new_context()
    pull = context.socket(zmq.PULL)
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    assert poller.poll(1) == []
    before = len(os.listdir("/proc/self/fd"))
    pull.close()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before - 2, "the fds of the closed socket to go")
    with expect_error(zmq, "ENOTSOCK"):
        poller.poll(0)
    context.term()


def test_close_of_an_armed_socket_among_many_is_noticed(zmq, sockets):
    poller = zmq.Poller()
    many = [sockets(zmq.PULL) for _ in range(60)]
    for each in many:
        poller.register(each, zmq.POLLIN)
    assert poller.poll(1) == []
    many[30].close()
    with expect_error(zmq, "ENOTSOCK"):
        poller.poll(0)
    poller.unregister(many[30])
    assert poller.poll(0) == []


def test_poll_hears_of_a_burst_that_ended_with_an_error(zmq, sockets, task, endpoint):
    """A REQ's burst is one request, then EFSM: what it made possible went unheard by a sleeping poller."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    rep.bind(endpoint)
    req.connect(endpoint)
    req.wait_for_peers(1, CAP_MS)
    req.send(b"question")
    assert rep.recv() == b"question"
    rep.send(b"answer")
    assert req.poll(CAP_MS)
    poller = zmq.Poller()
    poller.register(req, zmq.POLLOUT)
    polled = task(lambda: poller.poll(CAP_MS))
    polled.wait_blocked()
    assert req.recv_many(2) == [b"answer"]
    assert polled.result() == [(req, zmq.POLLOUT)]
