"""The FD of a socket: readable after every change, quiet once EVENTS was read, in every kind of loop.

Source: zmq_getsockopt(3) ZMQ_FD and ZMQ_EVENTS. Ours beyond it: a program that forgets EVENTS does not hang.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import time
from pathlib import Path

import pytest

from kit import CAP, CAP_MS, expect, expect_nothing

MESSAGES = 200


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH connected to a bound PULL, with their beginnings behind them."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"first")
    expect(pull, b"first")
    return push, pull


def readable(fd):
    """True if the fd is readable now."""
    return bool(select.select([fd], [], [], 0)[0])


def settle(zmq, socket):
    """Read EVENTS until the fd is quiet; a ring may be late. Returns the last EVENTS."""
    events = socket.get(zmq.EVENTS)
    deadline = time.monotonic() + CAP
    while readable(socket.fileno()):
        assert time.monotonic() < deadline, "the fd stays readable although EVENTS is read"
        events = socket.get(zmq.EVENTS)
    return events


# --- the contract ------------------------------------------------------------------------------------------


def test_fd_is_quiet_after_events_were_read(zmq, flow):
    push, pull = flow
    assert not settle(zmq, pull) & zmq.POLLIN
    push.send(b"message")
    assert select.select([pull.fileno()], [], [], CAP)[0]
    assert settle(zmq, pull) & zmq.POLLIN
    assert not readable(pull.fileno()), "unread input alone keeps it readable: an idle loop would burn"


def test_fd_tells_that_a_full_peer_takes_messages_again(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=2), sockets(zmq.PULL, rcvhwm=2)
    pull.bind(endpoint)
    push.connect(endpoint)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    while settle(zmq, push) & zmq.POLLOUT:
        push.send(b"fill")
    fd = push.fileno()
    while not push.get(zmq.EVENTS) & zmq.POLLOUT:
        assert pull.poll(CAP_MS)
        pull.recv()
        select.select([fd], [], [], 0.05)
    push.send(b"one more")


@pytest.mark.shmzmq_only("libzmq's fd says nothing of what is still unread")
def test_fd_is_readable_again_when_a_recv_leaves_messages(zmq, flow):
    push, pull = flow
    for number in range(3):
        push.send(b"%d" % number)
    while not settle(zmq, pull) & zmq.POLLIN:
        select.select([pull.fileno()], [], [], CAP)
    expect(pull, b"0")
    assert select.select([pull.fileno()], [], [], CAP)[0]
    assert settle(zmq, pull) & zmq.POLLIN
    expect(pull, b"1")
    assert select.select([pull.fileno()], [], [], CAP)[0]


@pytest.mark.shmzmq_only("libzmq's fd says nothing of what is still unread")
def test_program_that_forgets_events_does_not_hang(zmq, flow):
    """One recv for each wake-up, EVENTS never read."""
    push, pull = flow
    fd = pull.fileno()
    for number in range(MESSAGES):
        push.send(b"%d" % number)
    for number in range(MESSAGES):
        assert select.select([fd], [], [], CAP)[0], f"not readable with {MESSAGES - number} messages unread"
        expect(pull, b"%d" % number)


def test_recv_that_found_nothing_makes_the_fd_quiet(zmq, flow):
    """A loop of select and recv without EVENTS sleeps when there is nothing."""
    push, pull = flow
    fd = pull.fileno()
    push.send(b"message")
    expect(pull, b"message")
    for _ in range(8):
        with pytest.raises(zmq.Again):
            pull.recv(zmq.DONTWAIT)
        if not readable(fd):
            break
    assert not readable(fd)
    push.send(b"message")
    assert select.select([fd], [], [], CAP)[0]


@pytest.mark.shmzmq_only("libzmq's sockets must not be shared between threads")
@pytest.mark.slow
def test_events_do_not_take_the_wake_of_a_blocked_thread(zmq, flow, task):
    """The blocked thread and the reader of EVENTS both hear the doorbell."""
    push, pull = flow
    fd = pull.fileno()
    for number in range(30):
        receiving = task(pull.recv)
        receiving.wait_blocked()
        push.send(b"%d" % number)
        while not receiving.done:
            pull.get(zmq.EVENTS)
        assert receiving.result() == b"%d" % number
        settle(zmq, pull)
    assert fd == pull.fileno()


@pytest.mark.shmzmq_only("libzmq's sockets must not be shared between threads")
def test_fd_stays_armed_when_a_blocked_recv_has_ended(zmq, flow, task):
    push, pull = flow
    settle(zmq, pull)
    receiving = task(pull.recv)
    receiving.wait_blocked()
    push.send(b"to the thread")
    assert receiving.result() == b"to the thread"
    settle(zmq, pull)
    push.send(b"to the loop")
    assert select.select([pull.fileno()], [], [], CAP)[0], "the thread that slept disarmed the fd"
    expect(pull, b"to the loop")


@pytest.mark.shmzmq_only("counts system calls of our recv")
@pytest.mark.slow
def test_recv_in_a_loop_writes_no_eventfd_per_message(zmq, run_child, scratch):
    """With the FD in use and input unread, a burst of recv costs no system call each."""
    if not Path("/usr/bin/strace").exists():
        pytest.skip("needs strace")
    child = run_child(_burst, f"ipc://{scratch}/s", str(scratch / "trace"))
    calls, left = child.result(4 * CAP)
    if calls is None:
        pytest.skip(f"strace may not trace here: {left}")
    assert calls < MESSAGES / 4, left


def _burst(zmq, link, endpoint, trace):
    import subprocess

    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        push.connect(endpoint)
        assert pull.fileno() >= 0
        for number in range(MESSAGES):
            push.send(b"%d" % number)
        assert pull.poll(CAP_MS)
        tracer = subprocess.Popen(
            ["strace", "-p", str(os.getpid()), "-o", trace, "-e", "trace=write,epoll_wait,epoll_pwait2"],
            stderr=subprocess.PIPE,
            text=True,
        )
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.kill()
            tracer.wait()
            return None, said
        for _ in range(MESSAGES):
            pull.recv()
        tracer.terminate()
        tracer.communicate()
        lines = [line for line in Path(trace).read_text().splitlines() if "(" in line]
        Path(trace).unlink()
        return len(lines), lines[:10]


# --- loops -------------------------------------------------------------------------------------------------


def take_all(zmq, socket, into):
    """What a handler does: read while EVENTS says so."""
    while socket.get(zmq.EVENTS) & zmq.POLLIN:
        into.append(socket.recv(zmq.DONTWAIT))


def send_all(push):
    for number in range(MESSAGES):
        push.send(b"%d" % number)


EXPECTED = [b"%d" % number for number in range(MESSAGES)]


def wait_select(fd):
    return lambda: bool(select.select([fd], [], [], CAP)[0])


def wait_poll(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return lambda: bool(poll.poll(CAP_MS))


def wait_epoll(fd):
    def wait():
        with select.epoll() as epoll:
            epoll.register(fd, select.EPOLLIN)
            return bool(epoll.poll(CAP))

    return wait


def wait_selectors(fd):
    def wait():
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            return bool(selector.select(CAP))

    return wait


@pytest.mark.parametrize(
    "loop", [wait_select, wait_poll, wait_epoll, wait_selectors], ids=["select", "poll", "epoll", "selectors"]
)
def test_fd_drives_a_loop(zmq, flow, task, loop):
    push, pull = flow
    wait = loop(pull.fileno())
    got = []
    take_all(zmq, pull, got)
    sending = task(send_all, push)
    while len(got) < MESSAGES:
        assert wait(), f"no news after {len(got)} messages"
        take_all(zmq, pull, got)
    sending.result()
    assert got == EXPECTED


def test_fd_in_edge_triggered_epoll(zmq, flow, task):
    push, pull = flow
    got = []
    with select.epoll() as epoll:
        epoll.register(pull.fileno(), select.EPOLLIN | select.EPOLLET)
        sending = task(send_all, push)
        take_all(zmq, pull, got)
        while len(got) < MESSAGES:
            assert epoll.poll(CAP), f"no news after {len(got)} messages"
            take_all(zmq, pull, got)
        sending.result()
    assert got == EXPECTED


def test_fd_in_asyncio(zmq, flow, task):
    push, pull = flow

    async def main():
        got, loop = [], asyncio.get_running_loop()
        done = loop.create_future()

        def handle():
            take_all(zmq, pull, got)
            if len(got) >= MESSAGES and not done.done():
                done.set_result(None)

        loop.add_reader(pull.fileno(), handle)
        sending = task(send_all, push)
        handle()
        await asyncio.wait_for(done, CAP)
        loop.remove_reader(pull.fileno())
        sending.result()
        return got

    assert asyncio.run(main()) == EXPECTED


def test_fd_in_trio(zmq, flow, task):
    trio = pytest.importorskip("trio")
    push, pull = flow
    got = []

    async def main():
        with trio.fail_after(CAP):
            take_all(zmq, pull, got)
            while len(got) < MESSAGES:
                await trio.lowlevel.wait_readable(pull.fileno())
                take_all(zmq, pull, got)

    sending = task(send_all, push)
    trio.run(main)
    sending.result()
    assert got == EXPECTED


@pytest.mark.slow
def test_fd_in_gevent(run_child, scratch):
    """In a process of its own: gevent's hub keeps fds and threads."""
    pytest.importorskip("gevent")
    child = run_child(_in_gevent, f"ipc://{scratch}/s")
    assert child.result(4 * CAP) == MESSAGES


def _in_gevent(zmq, link, endpoint):
    import gevent
    from gevent import socket as gsocket

    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        pull.bind(endpoint)
        push.connect(endpoint)
        got = []

        def receive():
            take_all(zmq, pull, got)
            while len(got) < MESSAGES:
                gsocket.wait_read(pull.fileno(), timeout=CAP)
                take_all(zmq, pull, got)

        def send():
            for number in range(MESSAGES):
                push.send(b"%d" % number)
                gevent.sleep(0)

        with gevent.Timeout(CAP):
            gevent.joinall([gevent.spawn(receive), gevent.spawn(send)], raise_error=True)
        push.close(linger=0)
        pull.close(linger=0)
        return len(got)


# --- idle loops --------------------------------------------------------------------------------------------

QUIET_S = 1.0
"""Wall time of an idle loop; its CPU time may be a hundredth of it, and a little for the loop itself."""


@pytest.mark.slow
def test_idle_loop_with_unread_messages_sleeps(zmq, flow):
    """A handler that reads EVENTS and leaves the messages alone is called a few times, not for ever."""
    push, pull = flow
    for _ in range(10):
        push.send(b"unread")
    called = 0

    async def main():
        nonlocal called

        def handle():
            nonlocal called
            called += 1
            pull.get(zmq.EVENTS)

        loop = asyncio.get_running_loop()
        loop.add_reader(pull.fileno(), handle)
        pull.get(zmq.EVENTS)
        await asyncio.sleep(QUIET_S)
        loop.remove_reader(pull.fileno())

    before = time.process_time()
    asyncio.run(main())
    used = time.process_time() - before
    assert called < 100
    assert used < QUIET_S / 10, f"{used:.3f} s of CPU in {QUIET_S} s"


# --- the other library -------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("is about both libraries in one process")
def test_fd_in_the_poller_of_pyzmq(zmq, flow):
    theirs = pytest.importorskip("zmq")
    push, pull = flow
    settle(zmq, pull)
    poller = theirs.Poller()
    poller.register(pull, theirs.POLLIN)
    assert poller.poll(0) == []
    push.send(b"message")
    assert poller.poll(CAP_MS) == [(pull.fileno(), theirs.POLLIN)]
    assert settle(zmq, pull) & zmq.POLLIN
    expect(pull, b"message")
    expect_nothing(pull)
