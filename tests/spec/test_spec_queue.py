"""Queues and time: high water marks, time-outs, DONTWAIT, LINGER, IMMEDIATE, close with messages under way.

How many messages a socket accepts is counted on inproc against the oracle, where it is exact: SNDHWM plus the
peer's RCVHWM. libzmq adds kernel buffers on ipc; shmzmq accepts the same number there as on inproc.
"""

from __future__ import annotations

import time

import pytest

from kit import CAP, CAP_MS, drain, end_context, expect, expect_error, expect_nothing, fill, wait_until

# --- how much is accepted ----------------------------------------------------------------------------------

MARKS = [(1, 1), (2, 3), (10, 5), (5, 10), (1000, 1000)]


@pytest.mark.parametrize(("sndhwm", "rcvhwm"), MARKS)
@pytest.mark.parametrize("binder", ["pull", "push"])
def test_inproc_accepts_the_sum_of_both_marks(zmq, sockets, inproc, binder, sndhwm, rcvhwm):
    push, pull = sockets(zmq.PUSH, sndhwm=sndhwm), sockets(zmq.PULL, rcvhwm=rcvhwm)
    first, second = (pull, push) if binder == "pull" else (push, pull)
    first.bind(inproc)
    second.connect(inproc)
    assert fill(zmq, push) == sndhwm + rcvhwm


@pytest.mark.shmzmq_only("libzmq's count on ipc includes the kernel's buffers")
@pytest.mark.parametrize(("sndhwm", "rcvhwm"), MARKS)
@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("binder", ["pull", "push"])
def test_ipc_accepts_the_sum_of_both_marks(zmq, sockets, ipc, binder, sndhwm, rcvhwm, size):
    # IMMEDIATE makes a connecting PUSH writable only when the connection is up and the peer's mark is known.
    push, pull = sockets(zmq.PUSH, sndhwm=sndhwm, immediate=1), sockets(zmq.PULL, rcvhwm=rcvhwm)
    first, second = (pull, push) if binder == "pull" else (push, pull)
    first.bind(ipc)
    second.connect(ipc)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    accepted = 0
    while push.poll(0, zmq.POLLOUT):
        push.send(bytes(size), zmq.DONTWAIT)
        accepted += 1
    assert accepted == sndhwm + rcvhwm


@pytest.mark.parametrize("sndhwm", [1, 2, 10, 1000])
def test_without_a_peer_the_sending_mark_alone_is_accepted(zmq, sockets, endpoint, sndhwm):
    push = sockets(zmq.PUSH, sndhwm=sndhwm)
    push.connect(endpoint)
    assert fill(zmq, push) == sndhwm


def test_default_marks_are_1000(zmq, sockets):
    push = sockets(zmq.PUSH)
    assert (push.sndhwm, push.rcvhwm) == (1000, 1000)


@pytest.mark.parametrize(("sndhwm", "rcvhwm"), [(0, 5), (5, 0), (0, 0)])
def test_mark_of_zero_on_either_side_is_no_limit(zmq, sockets, inproc, sndhwm, rcvhwm):
    push, pull = sockets(zmq.PUSH, sndhwm=sndhwm), sockets(zmq.PULL, rcvhwm=rcvhwm)
    pull.bind(inproc)
    push.connect(inproc)
    for number in range(5000):
        push.send(b"%d" % number, zmq.DONTWAIT)
    assert [pull.recv() for _ in range(5000)] == [b"%d" % number for number in range(5000)]


@pytest.mark.parametrize(("sndhwm", "rcvhwm"), [(0, 5), (5, 0), (0, 0)])
def test_mark_of_zero_is_no_limit_on_a_connection(zmq, sockets, ipc, sndhwm, rcvhwm):
    push, pull = sockets(zmq.PUSH, sndhwm=sndhwm), sockets(zmq.PULL, rcvhwm=rcvhwm)
    push.bind(ipc)
    pull.connect(ipc)
    for number in range(5000):
        push.send(b"%d" % number)
    assert [pull.recv() for _ in range(5000)] == [b"%d" % number for number in range(5000)]


def test_sending_mark_of_zero_is_no_limit_without_a_peer(zmq, sockets, endpoint):
    push = sockets(zmq.PUSH, sndhwm=0)
    push.connect(endpoint)
    for number in range(5000):
        push.send(b"%d" % number, zmq.DONTWAIT)


def test_message_of_many_parts_counts_as_one(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH, sndhwm=2), sockets(zmq.PULL, rcvhwm=2)
    pull.bind(inproc)
    push.connect(inproc)
    for _ in range(4):
        push.send_multipart([b"part"] * 10, zmq.DONTWAIT)
    with expect_error(zmq, "EAGAIN"):
        push.send_multipart([b"part"] * 10, zmq.DONTWAIT)
    assert drain(pull, zmq.DONTWAIT) == [[b"part"] * 10] * 4


def test_mark_holds_for_each_peer(zmq, sockets, inproc):
    push = sockets(zmq.PUSH, sndhwm=2)
    push.bind(inproc)
    for _ in range(3):
        sockets(zmq.PULL, rcvhwm=3).connect(inproc)
    assert fill(zmq, push) == 3 * (2 + 3)


def test_everything_accepted_arrives_in_order(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=10), sockets(zmq.PULL, rcvhwm=10)
    pull.bind(endpoint)
    push.connect(endpoint)
    accepted = fill(zmq, push)
    assert [pull.recv() for _ in range(accepted)] == [b"%d" % number for number in range(accepted)]
    expect_nothing(pull)


def test_drained_queue_accepts_again(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=4), sockets(zmq.PULL, rcvhwm=4)
    pull.bind(endpoint)
    push.connect(endpoint)
    for _ in range(5):
        for number in range(fill(zmq, push)):
            expect(pull, b"%d" % number)
        assert push.poll(CAP_MS, zmq.POLLOUT), "no credit came back"


def test_full_socket_is_not_writable(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH, sndhwm=1), sockets(zmq.PULL, rcvhwm=1)
    pull.bind(inproc)
    push.connect(inproc)
    fill(zmq, push)
    assert push.poll(0, zmq.POLLOUT) == 0


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
@pytest.mark.shmzmq_only("libzmq's sender may never hear of credit again after the mark was raised")
def test_sending_mark_raised_later_takes_effect(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=2), sockets(zmq.PULL, rcvhwm=2)
    push.bind(endpoint)
    pull.connect(endpoint)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    assert fill(zmq, push) == 4
    push.sndhwm = 10
    assert fill(zmq, push) == 8


# --- waiting -----------------------------------------------------------------------------------------------


def test_recv_gives_up_after_rcvtimeo(zmq, sockets):
    pull = sockets(zmq.PULL, rcvtimeo=50)
    began = time.monotonic()
    with expect_error(zmq, "EAGAIN"):
        pull.recv()
    assert 0.045 <= time.monotonic() - began < CAP


def test_send_gives_up_after_sndtimeo(zmq, sockets):
    push = sockets(zmq.PUSH, sndtimeo=50)
    began = time.monotonic()
    with expect_error(zmq, "EAGAIN"):
        push.send(b"")
    assert 0.045 <= time.monotonic() - began < CAP


def test_timeouts_of_zero_do_not_wait(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PULL, rcvtimeo=0).recv()
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PUSH, sndtimeo=0).send(b"")


def test_default_timeouts_are_forever(zmq, ctx):
    with ctx.socket(zmq.PULL) as pull:
        assert (pull.rcvtimeo, pull.sndtimeo) == (-1, -1)


def test_dontwait_does_not_wait_for_a_long_timeout(zmq, sockets):
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PULL, rcvtimeo=-1).recv(zmq.DONTWAIT)
    with expect_error(zmq, "EAGAIN"):
        sockets(zmq.PUSH, sndtimeo=-1).send(b"", zmq.DONTWAIT)


def test_noblock_is_another_name_of_dontwait(zmq):
    assert zmq.NOBLOCK == zmq.DONTWAIT == 1


def test_recv_waits_for_a_message(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL, rcvtimeo=-1)
    pull.bind(endpoint)
    push.connect(endpoint)
    receiving = task(pull.recv)
    receiving.wait_blocked()
    push.send(b"worth waiting for")
    assert receiving.result() == b"worth waiting for"


def test_recv_waits_for_a_peer_that_comes_later(zmq, sockets, endpoint, task):
    pull = sockets(zmq.PULL, rcvtimeo=-1)
    pull.bind(endpoint)
    receiving = task(pull.recv)
    receiving.wait_blocked()
    push = sockets(zmq.PUSH)
    push.connect(endpoint)
    push.send(b"worth waiting for")
    assert receiving.result() == b"worth waiting for"


def test_recv_that_gave_up_receives_the_next_time(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL, rcvtimeo=10)
    pull.bind(endpoint)
    with expect_error(zmq, "EAGAIN"):
        pull.recv()
    push.connect(endpoint)
    pull.rcvtimeo = CAP_MS
    push.send(b"late")
    expect(pull, b"late")


def test_blocked_send_goes_on_when_the_reader_reads(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH, sndhwm=4, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=4)
    pull.bind(endpoint)
    push.connect(endpoint)

    def send_all():
        for number in range(5000):
            push.send(b"%d" % number + bytes(1000))

    sending = task(send_all)
    sending.wait_blocked()
    for number in range(5000):
        assert pull.recv().rstrip(b"\0") == b"%d" % number
    sending.result()


def test_send_with_sndtimeo_succeeds_when_the_reader_is_in_time(zmq, sockets, inproc, task):
    push, pull = sockets(zmq.PUSH, sndhwm=1, sndtimeo=CAP_MS), sockets(zmq.PULL, rcvhwm=1)
    pull.bind(inproc)
    push.connect(inproc)
    accepted = fill(zmq, push)
    sending = task(push.send, b"in time")
    sending.wait_blocked()
    assert len([pull.recv() for _ in range(accepted)]) == accepted
    sending.result()
    expect(pull, b"in time")


def test_poll_waits_at_most_its_timeout(zmq, sockets):
    began = time.monotonic()
    assert sockets(zmq.PULL).poll(50) == 0
    assert 0.045 <= time.monotonic() - began < CAP


def test_poll_ends_when_a_message_comes(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    polling = task(pull.poll)
    polling.wait_blocked()
    push.send(b"")
    assert polling.result() == zmq.POLLIN


# --- IMMEDIATE ---------------------------------------------------------------------------------------------


def test_immediate_push_has_nobody_until_the_connection_is_up(zmq, sockets, ipc):
    """zmq_setsockopt(3) ZMQ_IMMEDIATE: messages are queued only to completed connections."""
    push = sockets(zmq.PUSH, immediate=1)
    push.connect(ipc)
    assert push.poll(0, zmq.POLLOUT) == 0
    with expect_error(zmq, "EAGAIN"):
        push.send(b"", zmq.DONTWAIT)


def test_immediate_push_sends_when_the_connection_is_up(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH, immediate=1, reconnect_ivl=10), sockets(zmq.PULL)
    push.connect(ipc)
    pull.bind(ipc)
    push.send(b"connected")
    expect(pull, b"connected")


def test_immediate_push_gives_nothing_to_an_absent_peer(zmq, sockets, new_endpoint):
    present, absent = new_endpoint("ipc"), new_endpoint("ipc")
    push, pull = sockets(zmq.PUSH, immediate=1), sockets(zmq.PULL)
    pull.bind(present)
    push.connect(absent)
    push.connect(present)
    for number in range(20):
        push.send(b"%d" % number)
    assert [pull.recv() for _ in range(20)] == [b"%d" % number for number in range(20)]


def test_immediate_push_has_nobody_when_its_peer_left(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH, immediate=1), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    pull.close()
    wait_until(lambda: not push.poll(0, zmq.POLLOUT), "the PUSH to see its peer go")


# --- LINGER, close, term -----------------------------------------------------------------------------------


def test_default_linger_is_forever(zmq, ctx):
    with ctx.socket(zmq.PUSH) as push:
        assert push.linger == -1


@pytest.mark.parametrize("linger", [0, 1, 200, -1])
def test_close_returns_at_once_whatever_lingers(zmq, new_context, ipc, linger, sockets):
    context = new_context()
    push = context.socket(zmq.PUSH)
    push.connect(ipc)
    push.send(b"pending")
    began = time.monotonic()
    push.close(linger=linger)
    assert time.monotonic() - began < 0.5
    assert push.closed
    if linger == -1:  # nothing but a reader ends it
        with sockets(zmq.PULL) as pull:
            pull.bind(ipc)
            expect(pull, b"pending")
    end_context(zmq, context)


def test_term_does_not_wait_for_messages_of_linger_zero(zmq, new_context, ipc):
    context = new_context()
    push = context.socket(zmq.PUSH)
    push.linger = 0
    push.connect(ipc)
    push.send(b"dropped")
    push.close()
    end_context(zmq, context, cap=CAP)


def test_term_waits_as_long_as_linger_says(zmq, new_context, ipc):
    context = new_context()
    push = context.socket(zmq.PUSH)
    push.connect(ipc)
    push.send(b"dropped in the end")
    push.close(linger=150)
    began = time.monotonic()
    end_context(zmq, context, cap=CAP)
    assert time.monotonic() - began >= 0.14


def test_term_waits_for_a_late_reader(zmq, new_context, sockets, ipc, task):
    context = new_context()
    push = context.socket(zmq.PUSH)
    push.reconnect_ivl = 10
    push.connect(ipc)
    for number in range(100):
        push.send(b"%d" % number)
    push.close()
    ending = task(context.term)
    ending.wait_blocked()
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    assert [pull.recv() for _ in range(100)] == [b"%d" % number for number in range(100)]
    ending.result()


def test_linger_of_the_context_is_the_default_of_its_sockets(zmq, ctx):
    ctx.linger = 7
    with ctx.socket(zmq.PUSH) as push:
        assert push.linger == 7


def test_close_with_linger_sets_the_option_first(zmq, new_context, ipc):
    context = new_context()
    push = context.socket(zmq.PUSH)
    push.connect(ipc)
    push.send(b"dropped")
    push.close(linger=0)
    end_context(zmq, context, cap=CAP)


def test_messages_pending_at_close_arrive(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    for number in range(1000):
        push.send(b"%d" % number + bytes(1000))
    push.close(linger=-1)
    for number in range(1000):
        assert pull.recv().rstrip(b"\0") == b"%d" % number


def test_messages_pending_at_the_close_of_a_binder_arrive(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.bind(endpoint)
    pull.connect(endpoint)
    for number in range(1000):
        push.send(b"%d" % number + bytes(1000))
    push.close(linger=-1)
    for number in range(1000):
        assert pull.recv().rstrip(b"\0") == b"%d" % number


def test_messages_pending_at_term_arrive(zmq, new_context, sockets, ipc):
    context = new_context()
    push, pull = context.socket(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    for number in range(1000):
        push.send(b"%d" % number)
    push.close()
    end_context(zmq, context)
    assert [pull.recv() for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_unread_messages_do_not_hold_up_close_and_term(zmq, new_context, sockets, endpoint):
    context = new_context()
    push, pull = (sockets(kind, context=context) for kind in (zmq.PUSH, zmq.PULL))
    pull.bind(endpoint)
    push.connect(endpoint)
    for _ in range(100):
        push.send(b"never read")
    assert pull.poll(CAP_MS)
    pull.close(linger=0)
    push.close(linger=0)
    end_context(zmq, context, cap=CAP)
