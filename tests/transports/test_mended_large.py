"""Bugs of large messages that were found by review, each with the test that was red.

One test per bug; its docstring says what happened.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import time

import pytest

from kit import CAP, CAP_MS, expect, expect_error, marry, tune_in, wait_until

pytestmark = pytest.mark.shmzmq_only("shmzmq's own bugs")

DROP_OLDEST, KEEP_LATEST = 3, 4
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def pair(zmq, sockets, ipc):
    """A PUSH and a PULL with a ring between them."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    marry(push, pull)
    return push, pull


def body(number, size):
    return b"%04d" % number + bytes(size - 4)


# --- HWM_BYTES ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4 * KIB, 4 * KIB + 1, 100 * KIB, 900 * KIB])
def test_hwm_bytes_counts_large_frames(zmq, sockets, ipc, size):
    """Their descriptors were counted: 40 bytes each."""
    push, pull = sockets(zmq.PUSH, sndhwm=0), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 1_000_000)
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    accepted = 0
    with expect_error(zmq, "EAGAIN"):
        while accepted * size <= 1_000_000:
            push.send(body(accepted, size), zmq.DONTWAIT)
            accepted += 1
    assert accepted >= 0.9 * 1_000_000 // size
    assert not push.poll(0, zmq.POLLOUT) or size < 1_000_000 - accepted * size
    for number in range(accepted):
        assert pull.recv() == body(number, size)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    push.send(body(accepted, size))
    assert pull.recv() == body(accepted, size)


def test_sender_that_waits_for_hwm_bytes_goes_on_with_each_large_frame_that_is_read(zmq, sockets, ipc, task):
    push, pull = sockets(zmq.PUSH, sndhwm=0, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 3 * 100_000)
    pull.bind(ipc)
    push.connect(ipc)
    sending = task(lambda: [push.send_multipart([b"x", body(number, 90_000)]) for number in range(50)])
    for number in range(50):
        assert pull.recv_multipart() == [b"x", body(number, 90_000)]
    sending.result()


def test_message_beyond_hwm_bytes_goes_alone(zmq, sockets, ipc, task):
    push, pull = sockets(zmq.PUSH, sndhwm=0, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 50_000)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(body(0, 90_000))
    sending = task(lambda: [push.send(body(number, 90_000)) for number in range(1, 4)])
    sending.wait_blocked()
    assert [pull.recv()[:4] for _ in range(4)] == [b"%04d" % number for number in range(4)]
    sending.result()


def test_the_first_message_of_a_connection_goes_alone_beyond_hwm_bytes(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH, sndhwm=0, sndtimeo=2000), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.HWM_BYTES, 50_000)
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    push.send(body(0, 90_000))
    assert pull.recv() == body(0, 90_000)


def test_drop_oldest_keeps_no_more_than_hwm_bytes_of_large_frames(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH, sndhwm=0), sockets(zmq.PULL, rcvhwm=0)
    push.set(zmq.OVERFLOW, DROP_OLDEST)
    push.set(zmq.HWM_BYTES, 1_000_000)
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    for number in range(100):
        push.send(body(number, 100_000))
    numbers = [int(pull.recv()[:4])]
    while numbers[-1] < 99:
        numbers.append(int(pull.recv()[:4]))
    assert numbers == list(range(100 - len(numbers), 100))
    assert 5 <= len(numbers) <= 10


def test_reader_that_polls_without_waiting_says_what_it_has_read(zmq, sockets, ipc):
    """A sender at HWM_BYTES waited for room that there was, until the reader tried to receive again."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.set(zmq.HWM_BYTES, 1000)
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    push.send(bytes(900))
    expect(pull, bytes(900))
    assert not pull.poll(0)
    push.send(bytes(900), zmq.DONTWAIT)
    expect(pull, bytes(900))


def test_frame_whose_note_finds_no_room_waits_for_the_reader(zmq, run_child, ipc):
    """There was room for the message, and none for the note before it that names a new segment. It waited for
    room for the message: that was there, so it tried again at once, for ever, with the GIL."""
    child = run_child(_sends_where_only_the_message_fits, ipc)
    assert child.result() == ["Again", "Again", "sent"]


def _sends_where_only_the_message_fits(zmq, link, endpoint):
    told, record, descriptor, size = [], 16, 32, 5000
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.sndhwm = pull.rcvhwm = 0
        push.set(zmq.HWM_BYTES, record + descriptor + size)
        pull.bind(endpoint)
        push.connect(endpoint)
        wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
        push.send(b"x")
        push.sndtimeo = 50
        for flags in (zmq.DONTWAIT, 0):
            with expect_error(zmq, "EAGAIN"):
                push.send(bytes(size), flags)
            told.append("Again")
        expect(pull, b"x")
        push.sndtimeo = CAP_MS
        push.send(bytes(size))
        expect(pull, bytes(size))
        context.destroy()
    return [*told, "sent"]


def test_publisher_that_must_not_lose_waits_where_only_a_note_finds_no_room(zmq, sockets, ipc):
    """It saw room for the message, and dropped it when there was none for the note."""
    xpub, sub = sockets(zmq.XPUB, sndhwm=0), sockets(zmq.SUB, rcvhwm=0)
    xpub.set(zmq.XPUB_NODROP, 1)
    xpub.set(zmq.HWM_BYTES, 16 + 32 + 5000)
    sub.subscribe(b"")
    xpub.bind(ipc)
    sub.connect(ipc)
    expect(xpub, b"\x01")
    xpub.send(b"x")
    with expect_error(zmq, "EAGAIN"):
        xpub.send(bytes(5000), zmq.DONTWAIT)
    expect(sub, b"x")
    with expect_error(zmq, "EAGAIN"):
        sub.recv(zmq.DONTWAIT)  # a reader that finds nothing more says what it has read
    xpub.send(bytes(5000))
    expect(sub, bytes(5000))


@pytest.mark.parametrize("limit", ["HWM_BYTES", "ARENA_MAX"])
def test_mandatory_router_sleeps_while_a_message_has_no_room_that_a_small_one_had(
    zmq, sockets, ipc, task, limit
):
    """Before it slept it asked whether a small message had room: the call tried again at once, for ever."""
    router, dealer = sockets(zmq.ROUTER, sndhwm=0, sndtimeo=-1), sockets(zmq.DEALER, rcvhwm=0)
    router.router_mandatory = 1
    dealer.routing_id = b"d"
    router.bind(ipc)
    dealer.connect(ipc)
    dealer.send(b"here")
    expect(router, b"d", b"here")
    if limit == "HWM_BYTES":
        router.set(zmq.HWM_BYTES, 50_000)
        router.send_multipart([b"d", b"small"])
        blocked = [b"d", bytes(90_000)]
    else:
        router.arena_max = 16 * MIB
        router.send_multipart([b"d", bytes(7 * MIB)])
        held = dealer.recv(copy=False)
        blocked = [b"d", bytes(5 * MIB), bytes(5 * MIB)]
    sending = task(router.send_multipart, blocked)
    try:
        sending.wait_blocked()
        before = time.process_time()
        time.sleep(0.3)
        # Not a speed: a busy wait burns all of the 300 ms, a sleep next to none.
        assert time.process_time() - before < 0.15
    finally:
        if limit == "HWM_BYTES":
            expect(dealer, b"small")
        else:
            del held
        assert dealer.recv_multipart() == blocked[1:]


# --- memory that comes back ---------------------------------------------------------------------------------


def fill_but_one(zmq, push, pull, size=MIB):
    """One body unread at the peer, the rest of the arena in blocks that were not sent; those blocks."""
    push.set(zmq.ARENA_MAX, 8 * size)
    push.send(b"x")
    expect(pull, b"x")
    push.send(body(0, size))
    blocks = []
    with expect_error(zmq, "EAGAIN"):
        while len(blocks) < 8:
            blocks.append(push.alloc(size, zmq.DONTWAIT))
    with expect_error(zmq, "EAGAIN"):
        push.send(body(1, size), zmq.DONTWAIT)
    return blocks


def look_by_poller(zmq, push):
    poller = zmq.Poller()
    poller.register(push, zmq.POLLOUT)
    return lambda timeout: bool(poller.poll(timeout))


def look_by_socket(zmq, push):
    return lambda timeout: bool(push.poll(timeout, zmq.POLLOUT))


def look_by_fd(zmq, push):
    fd = push.get(zmq.FD)

    def look(timeout):
        ready = bool(push.get(zmq.EVENTS) & zmq.POLLOUT)
        return ready or (bool(select.select([fd], [], [], timeout / 1000)[0]) and look(0))

    return look


LOOKS_BY_NAME = {"poller": look_by_poller, "socket": look_by_socket, "fd": look_by_fd}
LOOKS = pytest.mark.parametrize("by", [look_by_poller, look_by_socket, look_by_fd])


@LOOKS
def test_poll_for_output_sees_blocks_that_the_program_drops(zmq, pair, task, by):
    """Only what a peer gave back, or another send, told who polls."""
    push, pull = pair
    blocks = fill_but_one(zmq, push, pull)
    look = by(zmq, push)
    assert not look(0)
    polling = task(look, CAP_MS)
    polling.wait_blocked()
    blocks.clear()
    assert polling.result()
    push.send(body(1, MIB), zmq.DONTWAIT)
    assert [pull.recv() for _ in range(2)] == [body(0, MIB), body(1, MIB)]


@pytest.mark.slow
@LOOKS
def test_poll_for_output_sees_what_another_socket_gives_up(zmq, ctx, sockets, pair, task, by):
    """What a socket gave up nobody else was told."""
    push, pull = pair
    other = sockets(zmq.PUSH)
    before = ctx.get(zmq.SHM_MAX)
    ctx.set(zmq.SHM_MAX, 8 * MIB)
    try:
        push.send(body(0, MIB))
        blocks = []
        with expect_error(zmq, "EAGAIN"):
            while len(blocks) < 8:
                blocks.append(other.alloc(MIB, zmq.DONTWAIT))
        with expect_error(zmq, "EAGAIN"):
            push.send(body(1, MIB), zmq.DONTWAIT)
        look = by(zmq, push)
        assert not look(0)
        polling = task(look, CAP_MS)
        polling.wait_blocked()
        blocks.clear()
        other.close()
        assert polling.result()
        push.send(body(1, MIB), zmq.DONTWAIT)
        assert [pull.recv() for _ in range(2)] == [body(0, MIB), body(1, MIB)]
    finally:
        ctx.set(zmq.SHM_MAX, before)


class Interrupted(Exception):
    pass


def test_poll_for_input_sleeps_after_an_alloc_that_was_interrupted(zmq, pair, task):
    """It had to look again in a moment, and so had each poll for input after it: a thousand a second."""
    push, pull = pair
    for number in range(8):
        push.send(body(number, MIB))
    held = [pull.recv(copy=False) for _ in range(8)]
    sleeps = push.stats()["sleeps"]

    def stop(*_):
        raise Interrupted

    def interrupt():
        wait_until(lambda: push.stats()["sleeps"] > sleeps, "the alloc to wait")
        os.kill(os.getpid(), signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, stop)
    try:
        interrupting = task(interrupt)
        with pytest.raises(Interrupted):
            push.alloc(1024 * MIB)  # so much memory is worth a wait of half a second
        interrupting.result()
    finally:
        signal.signal(signal.SIGUSR1, old)
    sleeps = push.stats()["sleeps"]
    assert not push.poll(100, zmq.POLLIN)
    assert push.stats()["sleeps"] - sleeps < 10
    held.clear()


@pytest.mark.parametrize("call", ["alloc", "send"])
def test_arena_full_of_unsent_blocks_is_a_memory_error(zmq, pair, call):
    """It waited for the program's own blocks, for ever."""
    push, pull = pair
    push.set(zmq.ARENA_MAX, 4 * MIB)
    blocks = [push.alloc(MIB) for _ in range(4)]
    with pytest.raises(MemoryError):
        push.alloc(MIB) if call == "alloc" else push.send(body(0, MIB))
    blocks.pop()
    push.send(body(0, MIB))
    expect(pull, body(0, MIB))


@pytest.mark.slow
def test_alloc_beyond_all_the_blocks_that_can_be_told_apart_is_a_memory_error(zmq, pair):
    """It waited for the program's own blocks, for ever."""
    push, pull = pair
    push.sndtimeo = CAP_MS
    blocks = []
    with contextlib.suppress(MemoryError):
        while len(blocks) < 100_000:
            blocks.append(push.alloc(1))
    assert len(blocks) < 100_000
    push.send(body(0, MIB))
    expect(pull, body(0, MIB))
    blocks.clear()
    push.send(push.alloc(1))
    expect(pull, b"\0")


def _share_a_limit(zmq, link, other, endpoints):
    """Send 40 MiB within a SHM_MAX of 64 MiB, of which another socket has some; how it was refused first."""
    with zmq.Context() as context:
        context.set(zmq.SHM_MAX, 64 * MIB)
        pairs = []
        for where in endpoints:
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            pull.bind(where)
            push.connect(where)
            marry(push, pull)
            pairs.append((push, pull))
        (first, reader), (push, pull) = pairs
        held = [first.alloc(40 * MIB)] if other == "unsent" else []
        if not held:
            # More than half of the limit would not be lent but copied.
            first.send(body(0, (24 if other == "held" else 40) * MIB))
        if other in ("received", "held"):
            held.append(reader.recv(copy=other == "received"))
        told = []
        while True:
            try:
                push.send(body(1, 40 * MIB), zmq.DONTWAIT)
                return [*told, pull.recv() == body(1, 40 * MIB)]
            except (MemoryError, zmq.Again) as error:
                told.append(type(error).__name__)
                assert len(told) < 3, told
            if other == "unread":
                reader.recv()
            held.clear()


SHARED = {
    "received": [True],
    "unread": ["Again", True],
    "held": ["Again", True],
    "unsent": ["OutOfMemory", True],
}


@pytest.mark.slow
@pytest.mark.parametrize(("other", "expected"), SHARED.items(), ids=SHARED)
def test_what_other_sockets_do_not_need_of_the_limit_is_given_up(run_child, new_endpoint, other, expected):
    """A MemoryError said that less than SHM_MAX was beyond it, as long as the other had it, idle or not."""
    endpoints = [new_endpoint("ipc"), new_endpoint("ipc")]
    assert run_child(_share_a_limit, other, endpoints).result(4 * CAP) == expected


@pytest.mark.slow
@pytest.mark.parametrize("way", ["alloc", "drop oldest", "keep latest", "before the connection"])
def test_arena_shrinks_whatever_made_it_grow(zmq, sockets, ipc, way):
    """Nobody looked after it but who sent, without OVERFLOW, on a live connection."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    if way in ("drop oldest", "keep latest"):
        push.set(zmq.OVERFLOW, DROP_OLDEST if way == "drop oldest" else KEEP_LATEST)
    if way == "alloc":
        blocks = [push.alloc(8 * MIB) for _ in range(4)]
        assert push.stats()["arena_bytes"] >= 32 * MIB
        blocks.clear()
    else:
        push.connect(ipc)
        if way != "before the connection":
            pull.bind(ipc)
            wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
        for number in range(4):
            push.send(body(number, 8 * MIB))
        pull.bind(ipc) if way == "before the connection" else None
        while pull.recv()[:4] != b"0003":
            pass
    wait_until(lambda: push.stats()["arena_bytes"] == 0, "the arena to be given up", cap=15)


# --- frames that come over inproc ---------------------------------------------------------------------------


def test_writing_into_a_frame_on_a_block_of_this_process_changes_nobody_elses(zmq, sockets, inproc, ipc):
    """The other subscribers, also those of other processes, saw it."""
    pub = sockets(zmq.PUB)
    pub.bind(inproc)
    pub.bind(ipc)
    subs = [sockets(zmq.SUB), sockets(zmq.SUB), sockets(zmq.SUB)]
    for sub, endpoint in zip(subs, (inproc, inproc, ipc), strict=True):
        sub.subscribe(b"")
        sub.connect(endpoint)
    tune_in(pub, *subs)
    size = 100_000
    block = pub.alloc(size)
    memoryview(block)[:] = body(7, size)
    pub.send(block)
    frame = subs[0].recv(copy=False)
    early = memoryview(frame)
    early[:5] = b"mine!"
    assert bytes(frame)[:5] == early[:5] == b"mine!"
    expect(subs[1], body(7, size))
    expect(subs[2], body(7, size))
    pub.send(frame)
    assert subs[1].recv()[:5] == b"mine!"


# --- what a receiver holds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3 * MIB, 5 * MIB + 1, 8 * MIB, 12 * MIB, 16 * MIB])
def test_receiver_that_holds_all_it_gets_does_not_starve_its_sender(zmq, sockets, ipc, size):
    """The bound counted bytes and not blocks, and did not hold for the first."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.set(zmq.ARENA_MAX, 20 * MIB)
    pull.bind(ipc)
    push.connect(ipc)
    held = []
    for number in range(8):
        push.send(body(number, size))
        held.append(pull.recv(copy=False))
    assert [bytes(memoryview(frame)[:4]) for frame in held] == [b"%04d" % number for number in range(8)]


# --- memory -------------------------------------------------------------------------------------------------


def test_message_of_two_frames_waits_for_room_for_both(zmq, run_child, ipc):
    """The block of the first was given back when there was none for the second, and that was taken for room:
    the call looked for ever, with the socket's lock and the GIL."""
    child = run_child(_sends_two_where_one_fits, ipc)
    assert child.result() == ["Again", "Again", "sent"]


def _sends_two_where_one_fits(zmq, link, endpoint):
    told = []
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.arena_max = 16 * MIB
        pull.bind(endpoint)
        push.connect(endpoint)
        marry(push, pull)
        push.send(bytes(7 * MIB))
        held = pull.recv(copy=False)
        push.sndtimeo = 50
        for flags in (zmq.DONTWAIT, 0):
            with expect_error(zmq, "EAGAIN"):
                push.send_multipart([bytes(5 * MIB)] * 2, flags)
            told.append("Again")
        del held
        push.sndtimeo = CAP_MS
        push.send_multipart([bytes(5 * MIB)] * 2)
        assert [len(frame) for frame in pull.recv_multipart()] == [5 * MIB] * 2
        context.destroy()
    return [*told, "sent"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["plain", "alloc"])
@pytest.mark.parametrize("bound", ["ARENA_MAX", "SHM_MAX"])
def test_subscriber_that_stands_still_does_not_take_the_memory_of_the_others(
    zmq, ctx, sockets, ipc, bound, way
):
    """Blocks that another had too, and those of `alloc`, were lent to it without end: then there was none for
    anybody, and `alloc` waited for it."""
    pub, still, subs = sockets(zmq.PUB, sndhwm=0), sockets(zmq.SUB, rcvhwm=0), []
    before = ctx.get(zmq.SHM_MAX)
    pub.bind(ipc)
    for sub in (sockets(zmq.SUB, rcvhwm=0), still, sockets(zmq.SUB, rcvhwm=0)):
        sub.connect(ipc)
        sub.subscribe(b"")
        subs.append(sub)
    tune_in(pub, *subs)
    subs.remove(still)
    pub.set(zmq.ARENA_MAX, 32 * MIB) if bound == "ARENA_MAX" else ctx.set(zmq.SHM_MAX, 32 * MIB)
    try:
        for number in range(100):
            if way == "alloc":
                block = pub.alloc(MIB)
                memoryview(block)[:] = body(number, MIB)
                pub.send(block)
            else:
                pub.send(body(number, MIB))
            for sub in subs:
                expect(sub, body(number, MIB))
        last = -1
        while still.poll(50):
            number = int(still.recv()[:4])
            assert number > last
            last = number
        assert 10 <= last < 99
        pub.send(body(100, MIB))
        for sub in (*subs, still):
            expect(sub, body(100, MIB))
    finally:
        ctx.set(zmq.SHM_MAX, before)


@pytest.mark.parametrize("sizes", [[17 * MIB], [5 * MIB, 6 * MIB, 7 * MIB]], ids=["one frame", "three"])
@pytest.mark.parametrize("kind", ["PUSH", "XPUB that drops nothing"])
def test_message_that_never_fits_is_refused_at_once_whatever_a_receiver_holds(
    zmq, sockets, ipc, task, sizes, kind
):
    """It waited for what the receiver held, although that would not have helped."""
    if kind == "PUSH":
        source, sink = sockets(zmq.PUSH), sockets(zmq.PULL)
    else:
        source, sink = sockets(zmq.XPUB, xpub_nodrop=1), sockets(zmq.SUB)
    source.set(zmq.ARENA_MAX, 16 * MIB)
    sink.bind(ipc)
    source.connect(ipc)
    if kind == "PUSH":
        marry(source, sink)
    else:
        sink.subscribe(b"")
        expect(source, b"\x01")
    source.send(bytes(5 * MIB))
    held = sink.recv(copy=False)
    with pytest.raises(MemoryError, match="ARENA_MAX"):
        task(source.send_multipart, [bytes(size) for size in sizes]).result()
    source.send(body(1, 5 * MIB))
    expect(sink, body(1, 5 * MIB))
    assert bytes(held) == bytes(5 * MIB)


def test_message_beyond_all_limits_that_was_queued_before_the_connection_arrives(zmq, ctx, sockets, ipc):
    """It was tried again for ever, and all behind it waited."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.set(zmq.ARENA_MAX, 4 * MIB)
    push.connect(ipc)
    sizes = [MIB, 9 * MIB, 100, MIB, 5 * MIB, 3 * MIB]
    for number, size in enumerate(sizes):
        push.send(body(number, size))
    push.send_multipart([body(6, 3 * MIB), body(7, 3 * MIB), b"end"])
    pull.bind(ipc)
    for number, size in enumerate(sizes):
        expect(pull, body(number, size))
    expect(pull, body(6, 3 * MIB), body(7, 3 * MIB), b"end")
    with pytest.raises(MemoryError):
        push.send(bytes(9 * MIB))
    push.send(body(8, MIB))
    expect(pull, body(8, MIB))


RING_BYTES, RECORD, RESERVE, DESCRIPTOR = 256 * KIB, 16, 48, 32


def test_frame_whose_note_finds_no_room_in_a_ring_that_cannot_grow_waits_for_the_reader(zmq, run_child, ipc):
    """As with HWM_BYTES: there was room for the message, and with its note there was none."""
    child = run_child(_sends_into_a_ring_that_cannot_grow, ipc)
    assert child.result() == ["Again", "sent"]


def _sends_into_a_ring_that_cannot_grow(zmq, link, endpoint):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.sndhwm = pull.rcvhwm = 0
        pull.bind(endpoint)
        push.connect(endpoint)
        wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
        block = push.alloc(5000)
        for _ in range((RING_BYTES - RESERVE - DESCRIPTOR) // RECORD):
            push.send(b"8 bytes!")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        try:
            push.send(block, zmq.DONTWAIT)
        except zmq.Again:
            link.tell("Again")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        while pull.poll(0):
            pull.recv()
        push.send(block)
        assert len(pull.recv()) == 5000
        context.destroy()
    return ["Again", "sent"]


@pytest.mark.parametrize("frames", [1, 2])
def test_message_that_waited_for_its_peer_is_delivered_though_no_block_will_hold_it(
    zmq, sockets, ipc, frames
):
    """It stayed in front of all that came after it, on a connection that was up, and term waited for ever."""
    push, pull = sockets(zmq.PUSH, linger=-1), sockets(zmq.PULL)
    push.arena_max = 4 * MIB
    push.connect(ipc)
    push.send_multipart([body(number, (6 // frames) * MIB) for number in range(frames)])
    push.send(b"after")
    pull.bind(ipc)
    expect(pull, *[body(number, (6 // frames) * MIB) for number in range(frames)])
    expect(pull, b"after")


def test_message_that_no_block_will_hold_is_refused_while_others_are_held(zmq, sockets, ipc):
    """It was held too, and stayed in front of all that came after it."""
    push, pull = sockets(zmq.PUSH, sndhwm=5), sockets(zmq.PULL, rcvhwm=5)
    push.set(zmq.OVERFLOW, DROP_OLDEST)
    push.arena_max = MIB
    pull.bind(ipc)
    push.connect(ipc)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"], "a ring")
    for number in range(12):
        push.send(b"%d" % number)
    with pytest.raises(MemoryError):
        push.send(bytes(2 * MIB))
    push.send(b"last")
    while pull.recv() != b"last":
        pass


# --- announcements ------------------------------------------------------------------------------------------

FDS = 64
PULLS = 6
SIZES = [base << power for power in range(6) for base in (8 * KIB, 12 * KIB)]  # each has segments of its own


def test_segment_that_cannot_be_announced_now_is_announced_later(zmq, run_child, new_endpoint):
    """unix(7), ETOOMANYREFS: more fds of this user are under way than a process may have. The connection was
    never written to again, and never ended."""
    endpoints = [new_endpoint("ipc") for _ in range(PULLS)]
    pulls = run_child(_receives_all, endpoints)
    pulls.hear()
    push = run_child(_announces_more_than_may_be_under_way, endpoints)
    push.hear()
    pulls.stop()
    push.tell("they are stopped")
    assert push.hear() < PULLS * len(SIZES)
    pulls.signal(signal.SIGCONT)
    push.result()
    assert pulls.result() == sorted(SIZES * PULLS)


def _receives_all(zmq, link, endpoints):
    with zmq.Context() as context:
        poller = zmq.Poller()
        for endpoint in endpoints:
            pull = context.socket(zmq.PULL)
            pull.bind(endpoint)
            poller.register(pull, zmq.POLLIN)
        link.tell("bound")
        sizes = []
        while len(sizes) < PULLS * len(SIZES):
            ready = poller.poll(CAP_MS)
            assert ready, f"waited {CAP_MS} ms after {len(sizes)} messages"
            sizes += [len(pull.recv()) for pull, _ in ready]
        context.destroy()
    return sorted(sizes)


def limited_push(zmq, context, endpoints):
    """A PUSH with rings to all of them, of a process that may not have more than FDS fds under way."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FDS, FDS))
    be_bound_by_limits()
    push = context.socket(zmq.PUSH)
    for endpoint in endpoints:
        push.connect(endpoint)
    wait_until(lambda: [peer["transport"] for peer in push.peers()] == ["ring"] * PULLS, "rings")
    return push


def _announces_more_than_may_be_under_way(zmq, link, endpoints):
    with zmq.Context() as context:
        push = limited_push(zmq, context, endpoints)
        link.tell("connected")
        link.hear()
        push.sndtimeo = 200
        messages = [bytes(size) for size in SIZES for _ in range(PULLS)]
        with expect_error(zmq, "EAGAIN"):
            while messages:
                push.send(messages[-1])
                messages.pop()
        link.tell(PULLS * len(SIZES) - len(messages))
        push.sndtimeo = CAP_MS
        for message in messages:
            push.send(message)


@pytest.mark.parametrize("by", ["poller", "socket", "fd"])
def test_poll_for_output_sees_that_a_segment_can_be_announced_again(zmq, run_child, new_endpoint, by):
    """Nobody told who polls: not even a small message was ever sent again."""
    endpoints = [new_endpoint("ipc") for _ in range(PULLS)]
    pulls = run_child(_receives_all, endpoints)
    pulls.hear()
    push = run_child(_polls_while_too_many_are_under_way, endpoints, by)
    push.hear()
    pulls.stop()
    push.tell("they are stopped")
    push.hear()
    pulls.signal(signal.SIGCONT)
    push.tell("they go on")
    push.result()
    assert pulls.result() == sorted(SIZES * PULLS)


def _polls_while_too_many_are_under_way(zmq, link, endpoints, by):
    with zmq.Context() as context:
        push = limited_push(zmq, context, endpoints)
        look = LOOKS_BY_NAME[by](zmq, push)
        link.tell("connected")
        link.hear()
        messages = [bytes(size) for size in SIZES for _ in range(PULLS)]
        with expect_error(zmq, "EAGAIN"):
            while messages:
                push.send(messages[-1], zmq.DONTWAIT)
                messages.pop()
        assert messages
        link.tell("no more")
        link.hear()
        while messages:
            assert look(CAP_MS), f"waited {CAP_MS} ms with {len(messages)} messages to send"
            with contextlib.suppress(zmq.Again):
                push.send(messages[-1], zmq.DONTWAIT)
                messages.pop()
        context.destroy()


def be_bound_by_limits():
    """capabilities(7): without CAP_SYS_ADMIN and CAP_SYS_RESOURCE."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 21 | 1 << 24)
    assert libc.capset(header, sets) == 0


@pytest.mark.slow
def test_short_send_timeout_is_not_over_below_the_high_water_marks(zmq, sockets, ipc, run_child):
    """A lossless publisher whose reader gives memory back had better wait a moment, and did nothing else."""
    xpub = sockets(zmq.XPUB, xpub_nodrop=1, sndhwm=0, sndtimeo=CAP_MS)
    xpub.bind(ipc)
    child = run_child(_receives_slowly_till_the_end, ipc)
    expect(xpub, b"\x01")
    large = bytes(MIB)
    for _ in range(40):
        xpub.send(large)
    child.tell("receive")
    xpub.sndtimeo = 1
    for _ in range(40):
        xpub.send(large)
    xpub.sndtimeo = CAP_MS
    xpub.send(b"")
    assert child.result() == 80


def _receives_slowly_till_the_end(zmq, link, endpoint):
    with zmq.Context() as context:
        sub = context.socket(zmq.SUB)
        sub.rcvhwm, sub.rcvtimeo = 0, CAP_MS
        sub.subscribe(b"")
        sub.connect(endpoint)
        link.hear()
        received = 0
        while sub.recv():
            received += 1
            time.sleep(0.2e-3)
        context.destroy()
    return received


# --- a publisher that must not lose, and no fd is left ------------------------------------------------------

FEW_FDS = 3


@contextlib.contextmanager
def no_fd_left(zmq):
    """Nobody in this process gets a new fd, and none goes to another one: too many are under way."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [ours.fileno()] * (FEW_FDS + 1))
        resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FDS, limit[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)


@contextlib.contextmanager
def publication(zmq, endpoint):
    """An XPUB that must not lose, and two SUBs with rings, of which only the first has the topic `one`."""
    with zmq.Context() as context:
        xpub, subs = context.socket(zmq.XPUB), [context.socket(zmq.SUB), context.socket(zmq.SUB)]
        xpub.sndhwm, xpub.xpub_nodrop, xpub.sndtimeo = 0, 1, CAP_MS
        xpub.bind(endpoint)
        for sub, topic in zip(subs, (b"one", b"all"), strict=True):
            sub.rcvhwm, sub.rcvtimeo = 0, CAP_MS
            sub.subscribe(topic)
            sub.connect(endpoint)
            expect(xpub, b"\x01" + topic)
        subs[0].subscribe(b"all")
        tune_in(xpub, *subs)
        assert [peer["transport"] for peer in xpub.peers()] == ["ring"] * 2
        yield xpub, subs
        context.destroy(linger=0)


@pytest.mark.parametrize("what", ["a new segment", "a full ring", "a message beyond the ring"])
def test_publisher_that_must_not_lose_does_not_when_no_fd_is_left(run_child, ipc, what):
    """It saw room with every reader, and dropped the message for the one to which no fd could be sent."""
    run_child(_publishes_without_fds, ipc, what).result()


def _publishes_without_fds(zmq, link, endpoint, what):
    be_bound_by_limits()
    with publication(zmq, endpoint) as (xpub, subs):
        if what == "a new segment":
            block = xpub.alloc(5000)
            memoryview(block)[:4] = b"all!"
            messages = [[block]]
        elif what == "a full ring":
            messages = [[b"all %05d" % number] for number in range(RING_BYTES // RECORD)]
        else:
            messages = [[b"all", *[bytes(4000)] * 100]]
        if what != "a new segment":
            # The first one's ring is large enough, and only the other one's would have to grow.
            xpub.send_multipart([b"one", *[bytes(4000)] * 100])
            subs[0].recv_multipart()
        sent = 0
        with no_fd_left(zmq), contextlib.suppress(zmq.Again, MemoryError):
            for message in messages:
                xpub.send_multipart(message, zmq.DONTWAIT)
                sent += 1
        assert sent < len(messages)
        for number in range(sent):
            for sub in subs:
                expect(sub, *messages[number])
        for sub in subs:
            assert not sub.poll(0)
        expected = [bytes(memoryview(part)) for part in messages[sent]]
        xpub.send_multipart(messages[sent])
        for sub in subs:
            expect(sub, *expected)
        assert xpub.stats()["discarded_high_water"] == xpub.stats()["discarded_no_memory"] == 0
