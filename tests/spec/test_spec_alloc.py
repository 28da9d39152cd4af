"""Blocks from `alloc`, large messages and their limits: what is refused, what waits, and what never crashes.

Source   docs of `Socket.alloc`; pyzmq's `send` for what it takes and refuses.
"""

from __future__ import annotations

import array
import collections
import ctypes
import errno
import gc
import mmap
import pickle
import resource
import struct
import threading
from pathlib import Path

import pytest

from kit import (
    CAP,
    CAP_MS,
    SMALL_BUFFERS,
    expect,
    expect_error,
    expect_nothing,
    marry,
    subscribe,
    tune_in,
    wait_until,
)

WORD = struct.Struct("<Q")
INLINE = 4096
SIZES = [1, 100, INLINE, 6_000, 100_000, 1 << 20]
MIB = 1 << 20

ours = pytest.mark.shmzmq_only("alloc is ours")


def body(number: int, size: int) -> bytes:
    """A body in which every eight bytes say whose they are."""
    return (WORD.pack(number) * (size // 8 + 1))[:size]


def filled(socket, number, size):
    """A block with a body in it."""
    block = socket.alloc(size)
    memoryview(block)[:] = body(number, size)
    return block


def count_till_refused(zmq, call, most=100):
    """Call with 0, 1, 2, ... until it raises Again or MemoryError; how often it did not, and which it was."""
    for number in range(most):
        try:
            call(number)
        except (zmq.Again, MemoryError) as error:
            return number, MemoryError if isinstance(error, MemoryError) else type(error)
    raise AssertionError(f"{most} calls were not refused")


def settle(condition, what, cap=CAP):
    """Wait, collecting garbage between the looks."""

    def look():
        gc.collect()
        return condition()

    wait_until(look, what, cap)


@pytest.fixture
def ipc_flow(zmq, sockets, ipc):
    """A PUSH connected to a bound PULL, over ipc, which know each other."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    marry(push, pull)
    return push, pull


@ours
def test_arena_is_made_by_the_first_large_send(ipc_flow):
    push, pull = ipc_flow
    for size in (0, 1, 4096):
        push.send(bytes(size))
        assert pull.recv() == bytes(size)
    assert (push.stats()["arena_bytes"], push.stats()["arena_grown"]) == (0, 0)
    push.send(bytes(4097))
    assert pull.recv() == bytes(4097)
    assert push.stats()["arena_grown"] == 1
    assert push.stats()["arena_bytes"] > 0
    assert pull.stats()["arena_bytes"] == 0


# --- what alloc refuses ------------------------------------------------------------------------------------


@ours
@pytest.mark.parametrize("size", [-1, -(1 << 40)])
def test_alloc_refuses_a_negative_size(zmq, sockets, size):
    with pytest.raises(ValueError):
        sockets(zmq.PUSH).alloc(size)


@ours
@pytest.mark.parametrize("size", [1 << 45, (1 << 63) - 1, (1 << 62) + 1, (1 << 63) - 4095])
def test_alloc_of_more_than_there_can_be_is_a_memory_error(zmq, sockets, size):
    push = sockets(zmq.PUSH)
    with pytest.raises(MemoryError):
        push.alloc(size)
    filled(push, 1, 10_000).release()


@ours
@pytest.mark.parametrize("size", [1 << 63, 1 << 64, 1 << 100])
def test_alloc_refuses_what_is_no_size(zmq, sockets, size):
    with pytest.raises((OverflowError, MemoryError, ValueError)):
        sockets(zmq.PUSH).alloc(size)


@ours
@pytest.mark.parametrize("size", [None, "10", 1.5, b"10", [10]])
def test_alloc_takes_an_integer(zmq, sockets, size):
    with pytest.raises(TypeError):
        sockets(zmq.PUSH).alloc(size)


@ours
def test_alloc_on_a_closed_socket_is_enotsock(zmq, sockets):
    push = sockets(zmq.PUSH)
    push.close()
    with expect_error(zmq, "ENOTSOCK"):
        push.alloc(10)


@ours
@pytest.mark.parametrize("kind", ["PULL", "SUB"])
def test_block_of_a_socket_that_cannot_send_is_of_no_use(zmq, sockets, kind):
    socket = sockets(getattr(zmq, kind))
    with expect_error(zmq, "ENOTSUP"), socket.alloc(10_000) as block:  # either call may say so
        socket.send(block)


@ours
def test_block_is_made_by_a_socket_only(zmq):
    with pytest.raises(TypeError):
        zmq.Block()
    with pytest.raises(TypeError):
        zmq.Block(10)


# --- a block's life ----------------------------------------------------------------------------------------


@ours
@pytest.mark.parametrize("size", [0, *SIZES])
def test_block_is_a_writable_buffer_of_its_size(zmq, sockets, size):
    push = sockets(zmq.PUSH)
    block = push.alloc(size)
    assert isinstance(block, zmq.Block)
    assert (len(block), block.nbytes, block.sent) == (size, size, False)
    with memoryview(block) as view:
        assert (view.nbytes, view.format, view.readonly, view.contiguous) == (size, "B", False, True)
        view[:] = body(3, size)
    assert memoryview(block).tobytes() == body(3, size)
    block.release()


@ours
@pytest.mark.parametrize("size", [0, *SIZES])
def test_block_that_was_sent_arrives(flow, size):
    push, pull = flow
    block = filled(push, 1, size)
    push.send(block)
    assert block.sent
    expect(pull, body(1, size))


USES = {
    "memoryview": lambda zmq, push, block: memoryview(block),
    "bytes": lambda zmq, push, block: bytes(block),
    "bytearray": lambda zmq, push, block: bytearray(block),
    "send": lambda zmq, push, block: push.send(block),
    "send no copy": lambda zmq, push, block: push.send(block, copy=False),
    "send tracked": lambda zmq, push, block: push.send(block, copy=False, track=True),
    "send_multipart": lambda zmq, push, block: push.send_multipart([b"head", block]),
    "send more": lambda zmq, push, block: push.send(block, zmq.SNDMORE),
    "send_many": lambda zmq, push, block: push.send_many([block]),
    "enter": lambda zmq, push, block: block.__enter__(),
    "frame": lambda zmq, push, block: zmq.Frame(block, copy=True),
}


@ours
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("ended", ["released", "sent"])
@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_block_cannot_be_used_after_its_end(zmq, flow, use, ended, size):
    push, pull = flow
    block = filled(push, 1, size)
    if ended == "sent":
        push.send(block)
        expect(pull, body(1, size))
    else:
        block.release()
    with pytest.raises(ValueError):
        USES[use](zmq, push, block)
    push.send(b"fence")
    expect(pull, b"fence")
    assert block.sent is (ended == "sent")
    block.release()  # does nothing any more


@ours
def test_block_may_be_sent_while_an_array_still_looks_at_it(np, ipc_flow):
    """The usual program fills an array that lies in the block, and forgets it some time after sending."""
    push, pull = ipc_flow
    for number in range(20):
        block = push.alloc(80_000)
        array = np.frombuffer(block, np.float64)
        array[:] = number
        push.send(block)
        got = np.frombuffer(pull.recv(copy=False), np.float64)
        assert (got == number).all()
        assert (array == number).all()


@ours
def test_view_that_outlives_its_blocks_sending_does_not_reach_later_messages(ipc_flow):
    """The block is not used again while somebody can still write into it."""
    push, pull = ipc_flow
    block = filled(push, 1, 100_000)
    view = memoryview(block)
    push.send(block)
    expect(pull, body(1, 100_000))
    del block
    gc.collect()
    for number in range(60):
        push.send(body(number, 100_000))
        view[:8] = b"scribble"
        expect(pull, body(number, 100_000))


@ours
def test_context_manager_gives_an_unsent_block_back(zmq, ipc_flow):
    push, _pull = ipc_flow
    with push.alloc(100_000) as block:
        memoryview(block)[:3] = b"abc"
    assert not block.sent
    with pytest.raises(ValueError):
        memoryview(block)
    with push.alloc(100_000):
        pass
    base = push.stats()["arena_bytes"]
    for _ in range(10_000):
        with push.alloc(100_000) as block:
            pass
    stats = push.stats()
    assert (stats["arena_bytes"], stats["arena_lent"]) == (base, 0)


@ours
def test_context_manager_leaves_a_sent_block_alone(flow):
    push, pull = flow
    with push.alloc(6_000) as block:
        memoryview(block)[:] = body(1, 6_000)
        push.send(block)
    assert block.sent
    expect(pull, body(1, 6_000))


@ours
def test_exception_in_the_body_gives_the_block_back_and_goes_on(ipc_flow):
    push, pull = ipc_flow
    with push.alloc(50_000):
        pass
    base = push.stats()["arena_bytes"]
    for _ in range(100):
        with pytest.raises(KeyError, match="mine"), push.alloc(50_000):
            raise KeyError("mine")
    assert push.stats()["arena_bytes"] == base
    expect_nothing(pull)


@ours
def test_blocks_that_are_just_dropped_come_back(ipc_flow):
    push, _pull = ipc_flow
    push.alloc(50_000).release()
    base = push.stats()["arena_bytes"]
    for _ in range(10_000):
        push.alloc(50_000)
    gc.collect()
    assert push.stats()["arena_bytes"] <= 2 * base


@ours
def test_sending_blocks_for_long_grows_nothing(ipc_flow):
    push, pull = ipc_flow
    for number in range(10):
        push.send(filled(push, number, 60_000))
        expect(pull, body(number, 60_000))
    base = push.stats()["arena_bytes"]
    for number in range(3_000):
        push.send(filled(push, number, 60_000))
        assert pull.recv() == body(number, 60_000)
    assert push.stats()["arena_bytes"] == base
    settle(lambda: push.stats()["arena_lent"] == 0, "all blocks to be back")


@ours
def test_two_blocks_do_not_share_memory(zmq, sockets):
    push = sockets(zmq.PUSH)
    blocks = [filled(push, number, 9_000) for number in range(50)]
    for number, block in enumerate(blocks):
        assert memoryview(block) == body(number, 9_000)
    for block in blocks:
        block.release()


@ours
@pytest.mark.parametrize("take", ["view", "array", "ndarray", "ctypes"])
def test_view_of_a_dropped_block_keeps_its_memory(np, zmq, sockets, take):
    push = sockets(zmq.PUSH)
    block = filled(push, 7, 20_000)
    kept = {
        "view": lambda block: memoryview(block)[8:],
        "array": lambda block: np.frombuffer(block, np.uint8)[8:],
        "ndarray": lambda block: np.ndarray((19_992,), np.uint8, buffer=block, offset=8),
        "ctypes": lambda block: (ctypes.c_char * 19_992).from_buffer(block, 8),
    }[take](block)
    del block
    gc.collect()
    for number in range(50):
        filled(push, number, 20_000).release()
    assert memoryview(kept).tobytes() == body(7, 19_992)


@ours
def test_block_takes_what_is_read_from_a_file(flow, tmp_path):
    push, pull = flow
    path = tmp_path / "content"
    path.write_bytes(body(9, 300_000))
    block = push.alloc(300_000)
    with path.open("rb", buffering=0) as file:
        assert file.readinto(block) == 300_000
    push.send(block)
    expect(pull, body(9, 300_000))


@ours
def test_block_takes_an_array(np, flow):
    push, pull = flow
    block = push.alloc(8 * 50_000)
    numbers = np.ndarray((50, 1000), np.float64, buffer=block)
    np.multiply.outer(np.arange(50.0), np.arange(1000.0), out=numbers)
    del numbers
    push.send(block)
    got = np.frombuffer(pull.recv(copy=False)).reshape(50, 1000)
    assert (got == np.multiply.outer(np.arange(50.0), np.arange(1000.0))).all()


@ours
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_block_refuses_to_be_pickled(zmq, sockets, protocol):
    block = sockets(zmq.PUSH).alloc(10)
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(block, protocol)
    block.release()


# --- ways to send a block ----------------------------------------------------------------------------------


@ours
@pytest.mark.parametrize("size", [0, *SIZES])
def test_block_may_wait_for_the_first_peer(zmq, sockets, endpoint, size):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    for number in range(5):
        push.send(filled(push, number, size))
    pull.bind(endpoint)
    for number in range(5):
        expect(pull, body(number, size))


@ours
def test_blocks_go_beside_other_parts(zmq, flow):
    push, pull = flow
    sizes = [10, 6_000, 0, 100_000, 4_096, 4_097]
    expected = [body(number, size) for number, size in enumerate(sizes)]
    parts = [
        filled(push, number, size) if number % 2 else expected[number] for number, size in enumerate(sizes)
    ]
    push.send_multipart(parts)
    expect(pull, *expected)
    parts = [filled(push, number, size) for number, size in enumerate(sizes)]
    push.send_multipart(parts, copy=False)
    expect(pull, *expected)
    assert all(part.sent for part in parts)


@ours
def test_blocks_may_be_sent_part_by_part(zmq, flow):
    push, pull = flow
    push.send(filled(push, 1, 70_000), zmq.SNDMORE)
    push.send(b"between", zmq.SNDMORE)
    push.send(filled(push, 2, 10), zmq.SNDMORE)
    expect_nothing(pull)
    push.send(filled(push, 3, 70_000))
    expect(pull, body(1, 70_000), b"between", body(2, 10), body(3, 70_000))


@ours
def test_parts_without_the_last_one_come_back_when_the_socket_is_closed(zmq, sockets, endpoint):
    pull, quitter, fence = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    pull.bind(endpoint)
    quitter.connect(endpoint)
    quitter.send(filled(quitter, 1, 70_000))
    quitter.send(filled(quitter, 2, 70_000), zmq.SNDMORE)
    quitter.close()
    expect(pull, body(1, 70_000))
    fence.connect(endpoint)
    fence.send(b"fence")
    expect(pull, b"fence")


@ours
def test_blocks_go_in_a_burst(flow):
    push, pull = flow
    messages = [
        filled(push, number, 5_000 + number) if number % 3 else b"%d" % number for number in range(60)
    ]
    assert push.send_many(messages) == 60
    for number in range(60):
        expect(pull, body(number, 5_000 + number) if number % 3 else b"%d" % number)


@ours
def test_same_block_twice_in_one_message_is_refused_and_nothing_is_sent(flow):
    push, pull = flow
    block = filled(push, 1, 10_000)
    with pytest.raises(ValueError):
        push.send_multipart([block, block])
    push.send(b"fence")
    expect(pull, b"fence")
    block.release()


@ours
def test_refused_message_leaves_its_blocks_usable(flow):
    push, pull = flow
    block = filled(push, 1, 10_000)
    with pytest.raises(TypeError):
        push.send_multipart([block, "no buffer"])
    assert not block.sent
    push.send(block)
    expect(pull, body(1, 10_000))


@ours
def test_publisher_sends_a_block_to_all(zmq, sockets, endpoint):
    pub, subs = sockets(zmq.PUB), [sockets(zmq.SUB) for _ in range(3)]
    pub.bind(endpoint)
    for sub in subs:
        sub.connect(endpoint)
        subscribe(sub, b"")
    tune_in(pub, *subs)
    for number in range(20):
        pub.send(filled(pub, number, 200_000))
        frames = [sub.recv(copy=False) for sub in subs]
        assert all(memoryview(frame) == body(number, 200_000) for frame in frames)


@ours
def test_publisher_without_subscribers_takes_a_block_and_gives_it_back(zmq, sockets, endpoint):
    pub = sockets(zmq.PUB)
    pub.bind(endpoint)
    for number in range(100):
        block = filled(pub, number, 200_000)
        pub.send(block)
        assert block.sent
    stats = pub.stats()
    assert stats["arena_lent"] == 0
    assert stats["arena_bytes"] < 50 * 200_000


@ours
def test_router_and_dealer_send_blocks_both_ways(zmq, sockets, endpoint):
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    for number in range(10):
        dealer.send_multipart([b"question", filled(dealer, number, 50_000)])
        peer, word, question = router.recv_multipart(copy=False)
        assert (memoryview(word), memoryview(question)) == (b"question", body(number, 50_000))
        router.send_multipart([peer, filled(router, number + 100, 30_000)])
        expect(dealer, body(number + 100, 30_000))


@ours
def test_block_to_an_unknown_peer_of_a_router_comes_back(zmq, sockets, endpoint):
    router = sockets(zmq.ROUTER, router_mandatory=1)
    router.bind(endpoint)
    block = filled(router, 1, 30_000)
    with expect_error(zmq, "EHOSTUNREACH"):
        router.send_multipart([b"nobody", block])
    block.release()
    router.router_mandatory = 0
    router.send_multipart([b"nobody", filled(router, 2, 30_000)])
    settle(lambda: router.stats()["arena_lent"] == 0, "the block to be back")


@ours
def test_request_and_reply_may_be_blocks(zmq, sockets, endpoint):
    rep, req = sockets(zmq.REP), sockets(zmq.REQ)
    rep.bind(endpoint)
    req.connect(endpoint)
    for number in range(10):
        req.send(filled(req, number, 50_000))
        expect(rep, body(number, 50_000))
        rep.send(filled(rep, number + 100, 30_000))
        expect(req, body(number + 100, 30_000))


@ours
def test_request_out_of_turn_leaves_its_block_usable(zmq, sockets, endpoint):
    rep, req = sockets(zmq.REP), sockets(zmq.REQ)
    rep.bind(endpoint)
    req.connect(endpoint)
    block = filled(rep, 1, 50_000)
    with expect_error(zmq, "EFSM"):
        rep.send(block)
    assert not block.sent
    req.send(b"question")
    expect(rep, b"question")
    rep.send(block)
    expect(req, body(1, 50_000))


@ours
def test_block_of_one_socket_sent_on_another_arrives_whole_or_is_refused(zmq, sockets, endpoints):
    one, two = sockets(zmq.PUSH), sockets(zmq.PUSH)
    pulls = [sockets(zmq.PULL) for _ in range(2)]
    for push, pull, endpoint in zip((one, two), pulls, endpoints(2), strict=True):
        pull.bind(endpoint)
        push.connect(endpoint)
        marry(push, pull)
    for number in range(20):
        block = filled(one, number, 100_000)
        try:
            two.send(block)
        except ValueError:
            one.send(block)
            frame = pulls[0].recv(copy=False)
        else:
            assert block.sent
            frame = pulls[1].recv(copy=False)
        for other in range(5):
            one.send(body(other, 100_000))
            expect(pulls[0], body(other, 100_000))
            two.send(body(other, 100_000))
            expect(pulls[1], body(other, 100_000))
        assert memoryview(frame) == body(number, 100_000)
        del frame
    settle(lambda: one.stats()["arena_lent"] == two.stats()["arena_lent"] == 0, "all blocks to be back")


@ours
def test_block_outlives_its_socket_and_context(zmq, new_context, sockets, endpoint):
    context = new_context()
    quitter = context.socket(zmq.PUSH)
    block = filled(quitter, 5, 100_000)
    view = memoryview(block)
    quitter.close()
    context.term()
    gc.collect()
    assert view == body(5, 100_000)
    view[:5] = b"still"
    view.release()
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    try:
        push.send(block)
    except ValueError:
        push.send(b"refused")
        expect(pull, b"refused")
    else:
        expect(pull, b"still" + body(5, 100_000)[5:])
    block.release()


@ours
def test_block_that_found_no_room_may_be_sent_again(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=2, **SMALL_BUFFERS), sockets(zmq.PULL, rcvhwm=2, **SMALL_BUFFERS)
    pull.bind(endpoint)
    push.connect(endpoint)
    sent = 0
    while True:
        block = filled(push, sent, 50_000)
        try:
            push.send(block, zmq.DONTWAIT)
        except zmq.Again:
            break
        sent += 1
        assert sent < 100, "a limit of 2 and 2"
    assert not block.sent
    assert memoryview(block) == body(sent, 50_000)
    memoryview(block)[:4] = b"both"
    for number in range(sent):
        expect(pull, body(number, 50_000))
    push.send(block)
    expect(pull, b"both" + body(sent, 50_000)[4:])


@ours
def test_blocks_are_filled_and_sent_by_many_threads(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    errors = []

    def work(me):
        try:
            for number in range(200):
                push.send(filled(push, me * 1000 + number, 20_000))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    last = [-1] * 4
    for _ in range(800):
        got = pull.recv()
        (word,) = WORD.unpack_from(got)
        me, number = divmod(word, 1000)
        assert (got, number) == (body(word, 20_000), last[me] + 1)
        last[me] = number
    for thread in threads:
        thread.join(CAP)
    assert not errors


# --- trackers ----------------------------------------------------------------------------------------------


@ours
@pytest.mark.parametrize("scheme", ["ipc", "inproc"])
def test_tracker_of_a_block_is_done_when_the_receiver_lets_go(zmq, sockets, new_endpoint, scheme):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    endpoint = new_endpoint(scheme)
    pull.bind(endpoint)
    push.connect(endpoint)
    tracker = push.send(filled(push, 1, 100_000), copy=False, track=True)
    assert not tracker.done
    frame = pull.recv(copy=False)
    assert not tracker.done
    with pytest.raises(zmq.NotDone):
        tracker.wait(0.01)
    view = memoryview(frame)
    del frame
    gc.collect()
    assert not tracker.done
    del view
    tracker.wait(CAP)
    assert tracker.done


@ours
@pytest.mark.parametrize("kind", [list, tuple, collections.UserList, iter])
def test_tracker_is_of_the_blocks_in_a_message_however_its_parts_are_given(zmq, sockets, ipc, kind):
    """In anything but lists and tuples they were not found, and the tracker was done at once."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    parts = [b"head", filled(push, 1, 100_000)]
    tracker = push.send_multipart(kind(parts), copy=False, track=True)
    frames = pull.recv_multipart(copy=False)
    assert not tracker.done
    del frames
    tracker.wait(CAP)


@ours
def test_tracker_of_a_block_for_many_is_done_when_the_last_lets_go(zmq, sockets, ipc):
    pub, subs = sockets(zmq.PUB), [sockets(zmq.SUB) for _ in range(3)]
    pub.bind(ipc)
    for sub in subs:
        sub.connect(ipc)
        subscribe(sub, b"")
    tune_in(pub, *subs)
    tracker = pub.send(filled(pub, 1, 100_000), copy=False, track=True)
    frames = [sub.recv(copy=False) for sub in subs]
    while frames:
        assert not tracker.done
        frames.pop()
    tracker.wait(CAP)


@ours
def test_tracker_of_a_block_is_done_when_its_receiver_is_killed(zmq, sockets, ipc, run_child):
    push = sockets(zmq.PUSH)
    push.bind(ipc)
    child = run_child(hold_one, ipc)
    tracker = push.send(filled(push, 1, 100_000), copy=False, track=True)
    assert child.hear() == 100_000
    assert not tracker.done
    child.kill()
    tracker.wait(CAP)


def hold_one(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.connect(endpoint)
        frame = pull.recv(copy=False)
        link.tell(len(frame))
        link.hear(60)


@ours
def test_tracker_of_a_block_that_nobody_gets_is_done(zmq, sockets, endpoint):
    pub = sockets(zmq.PUB)
    pub.bind(endpoint)
    pub.send(filled(pub, 1, 100_000), copy=False, track=True).wait(CAP)


@pytest.mark.shmzmq_only("libzmq's trackers wait for its I/O thread")
@pytest.mark.parametrize("size", [10, 100_000])
def test_tracker_of_anything_else_is_not_held_up_by_what_a_receiver_keeps(zmq, sockets, ipc, size):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    trackers = [push.send(bytearray(body(number, size)), copy=False, track=True) for number in range(3)]
    frames = [pull.recv(copy=False) for _ in range(3)]
    assert all(tracker.done for tracker in trackers)
    assert [memoryview(frame) for frame in frames] == [body(number, size) for number in range(3)]


# --- what may be sent when it is large ---------------------------------------------------------------------

LARGE = {
    "view": lambda: memoryview(bytearray(body(1, 200_000)))[8:],
    "read-only view": lambda: memoryview(body(1, 200_000)),
    "wide view": lambda: memoryview(body(1, 200_000)).cast("d"),
    "table": lambda: memoryview(body(1, 200_000)).cast("B", (200, 1000)),
    "array": lambda: array.array("Q", range(20_000)),
    "ctypes": lambda: (ctypes.c_int * 9_000)(*range(9_000)),
    "map": lambda: mapped(100_000),
}


def mapped(size):
    memory = mmap.mmap(-1, size)
    memory.write(body(4, size))
    return memory


@pytest.mark.parametrize("copying", [True, False], ids=["copy", "no copy"])
@pytest.mark.parametrize("kind", LARGE)
def test_large_buffer_of_any_kind_arrives(flow, kind, copying):
    push, pull = flow
    thing = LARGE[kind]()
    push.send(thing, copy=copying)
    expect(pull, memoryview(thing).tobytes())
    push.send_multipart([b"head", thing, b"tail"], copy=copying)
    expect(pull, b"head", memoryview(thing).tobytes(), b"tail")


REFUSED = {
    "strided view": (lambda np: memoryview(bytearray(200_000))[::2], BufferError),
    "reversed view": (lambda np: memoryview(bytearray(200_000))[::-1], BufferError),
    "strided array": (lambda np: np.zeros(200_000, "u1")[::2], (ValueError, BufferError)),
    "column": (lambda np: np.zeros((300, 300))[:, 1], (ValueError, BufferError)),
    "str": (lambda np: "x" * 200_000, TypeError),
    "number": (lambda np: 200_000, TypeError),
    "list": (lambda np: [b"x" * 200_000], TypeError),
    "None": (lambda np: None, TypeError),
}


@pytest.mark.parametrize("copying", [True, False], ids=["copy", "no copy"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_lie_in_one_piece_is_refused_and_nothing_is_sent(np, flow, kind, copying):
    push, pull = flow
    make, error = REFUSED[kind]
    with pytest.raises(error):
        push.send(make(np), copy=copying)
    push.send(b"fence")
    expect(pull, b"fence")


@pytest.mark.shmzmq_only(
    "pyzmq has sent the parts before a strided one, and the next message is joined to them"
)
@pytest.mark.parametrize("copying", [True, False], ids=["copy", "no copy"])
@pytest.mark.parametrize("kind", REFUSED)
def test_message_with_a_part_that_is_refused_is_not_sent(np, flow, kind, copying):
    push, pull = flow
    make, error = REFUSED[kind]
    with pytest.raises(error):
        push.send_multipart([body(1, 100_000), make(np)], copy=copying)
    push.send(b"fence")
    expect(pull, b"fence")


@pytest.mark.parametrize("size", [6_000, 300_000])
@pytest.mark.parametrize("missing", [0, 1, 5_000])
def test_recv_into_copies_what_fits_of_a_large_frame(flow, size, missing):
    push, pull = flow
    push.send_multipart([body(1, size), body(2, size)])
    memory = bytearray(b"\xee" * (size + 10))
    with memoryview(memory) as view:
        assert pull.recv_into(view[: size - missing]) == size
        assert memory == body(1, size)[: size - missing] + b"\xee" * (10 + missing)
        assert pull.recv_into(view) == size
    assert memory == body(2, size) + b"\xee" * 10


# --- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [6_000, 300_000, 2 * MIB])
def test_large_message_beyond_maxmsgsize_ends_the_connection(zmq, sockets, watch, task, ipc, size):
    """zmq_setsockopt(3) ZMQ_MAXMSGSIZE: a peer that sends a larger message is disconnected."""
    pull, push = sockets(zmq.PULL, maxmsgsize=size), sockets(zmq.PUSH, reconnect_ivl=10)
    pull.bind(ipc)
    here = watch(pull)
    push.connect(ipc)
    here.until("HANDSHAKE_SUCCEEDED")
    push.send(body(1, size))
    expect(pull, body(1, size))
    receiving = task(pull.recv)
    push.send(body(2, size + 1))
    here.until("DISCONNECTED")
    here.until("HANDSHAKE_SUCCEEDED")
    push.send(b"fits")
    assert receiving.result() == b"fits"


@ours
def test_block_beyond_maxmsgsize_comes_back(zmq, sockets, watch, task, ipc):
    pull, push = sockets(zmq.PULL, maxmsgsize=10_000), sockets(zmq.PUSH, reconnect_ivl=10)
    pull.bind(ipc)
    here = watch(pull)
    push.connect(ipc)
    here.until("HANDSHAKE_SUCCEEDED")
    receiving = task(pull.recv)
    push.send(filled(push, 1, 10_001))
    here.until("DISCONNECTED")
    here.until("HANDSHAKE_SUCCEEDED")
    push.send(b"fits")
    assert receiving.result() == b"fits"
    settle(lambda: push.stats()["arena_lent"] == 0, "the block to be back")


def send_till_refused(zmq, link, endpoint, size, way):
    """Send bodies without waiting until one is refused; tell how many went and by what the next was refused.

    At each word again; ends at "stop".
    """
    plain = bytearray(size)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = CAP_MS
        push.connect(endpoint)
        assert push.poll(CAP_MS, zmq.POLLOUT)
        wait_until(lambda: push.stats()["connected"] == 1, "the connection")
        sent = 0
        while True:
            refused = None
            while refused is None and sent < 500:
                try:
                    if way == "alloc":
                        with push.alloc(size, zmq.DONTWAIT) as block:
                            memoryview(block)[:] = body(sent, size)
                            push.send(block, zmq.DONTWAIT)
                    else:
                        plain[:] = body(sent, size)
                        push.send(plain, zmq.DONTWAIT)
                except (zmq.Again, MemoryError) as error:
                    refused = "MemoryError" if isinstance(error, MemoryError) else "Again"
                else:
                    sent += 1
            link.tell((sent, refused, push.stats()["arena_bytes"]))
            if link.hear(60) == "stop":
                return sent


@pytest.mark.slow
@ours
@pytest.mark.parametrize("way", ["plain", "alloc"])
@pytest.mark.parametrize("size", [100_000, MIB])
def test_process_keeps_within_shm_max_and_what_was_sent_before_arrives(
    zmq, sockets, ipc, run_child, monkeypatch, way, size
):
    monkeypatch.setenv("SHMZMQ_SHM_MAX", str(8 * MIB))
    child = run_child(send_till_refused, ipc, size, way)
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    received = 0
    for _ in range(4):
        sent, refused, arena = child.hear(4 * CAP)
        assert refused in {"Again", "MemoryError"}
        assert received < sent <= received + 8 * MIB // size + 1
        assert arena <= 8 * MIB
        frames = []
        while received < sent:
            frame = pull.recv(copy=received % 2 == 0)
            assert memoryview(frame) == body(received, size)
            frames.append(frame)
            received += 1
        frames.clear()
        del frame
        gc.collect()
        child.tell("again")
    child.hear(4 * CAP)
    child.tell("stop")
    total = child.result(4 * CAP)
    while received < total:
        assert pull.recv() == body(received, size)
        received += 1


def alloc_till_refused(zmq, link):
    """Take blocks until one is refused, with nobody who could give any back; then let one go and go on."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        blocks = []
        most, refused = count_till_refused(zmq, lambda _: blocks.append(push.alloc(MIB)))
        assert refused is MemoryError
        with pytest.raises(MemoryError):
            push.alloc(9 * MIB)
        for number, block in enumerate(blocks):
            memoryview(block)[:] = body(number, MIB)
        del block  # memory comes back when the object is gone: an array may still look at it
        blocks.pop().release()
        blocks.append(filled(push, most - 1, MIB))
        for number, block in enumerate(blocks):
            assert memoryview(block) == body(number, MIB)
        for block in blocks:
            block.release()
        return most


@pytest.mark.slow
@ours
def test_full_arena_with_nobody_to_give_back_is_a_memory_error(run_child, monkeypatch):
    monkeypatch.setenv("SHMZMQ_SHM_MAX", str(8 * MIB))
    assert 1 <= run_child(alloc_till_refused).result() <= 8


@ours
def test_arena_max_bounds_a_socket_and_waits_like_a_high_water_mark(zmq, ipc_flow, task):
    push, pull = ipc_flow
    assert push.get(zmq.ARENA_MAX) == 0
    push.set(zmq.ARENA_MAX, 4 * MIB)
    assert push.get(zmq.ARENA_MAX) == 4 * MIB
    sent, refused = count_till_refused(zmq, lambda number: push.send(body(number, 300_000), zmq.DONTWAIT))
    assert sent
    assert refused is zmq.Again
    assert push.stats()["arena_bytes"] <= 4 * MIB
    waiting = task(push.send, body(sent, 300_000))
    waiting.wait_blocked()
    for number in range(sent + 1):
        expect(pull, body(number, 300_000))
    waiting.result()


@ours
def test_alloc_waits_for_a_block_to_come_back(zmq, ipc_flow, task):
    push, pull = ipc_flow
    push.set(zmq.ARENA_MAX, 4 * MIB)

    def send_block(number):
        block = push.alloc(300_000, zmq.DONTWAIT)
        memoryview(block)[:] = body(number, 300_000)
        push.send(block)

    sent, refused = count_till_refused(zmq, send_block)
    assert refused is zmq.Again
    push.sndtimeo = 20
    with expect_error(zmq, "EAGAIN"):
        push.alloc(300_000)
    push.sndtimeo = CAP_MS
    waiting = task(push.alloc, 300_000)
    waiting.wait_blocked()
    for number in range(sent):
        expect(pull, body(number, 300_000))
    block = waiting.result()
    memoryview(block)[:] = body(sent, 300_000)
    push.send(block)
    expect(pull, body(sent, 300_000))


@ours
def test_shm_max_is_an_option_of_the_context(zmq, ctx, sockets):
    before = ctx.get(zmq.SHM_MAX)
    assert before > 0
    ctx.set(zmq.SHM_MAX, 64 * MIB)
    try:
        assert ctx.get(zmq.SHM_MAX) == 64 * MIB
        with pytest.raises(MemoryError):
            sockets(zmq.PUSH).alloc(65 * MIB)
    finally:
        ctx.set(zmq.SHM_MAX, before)


# --- an address space that ends ----------------------------------------------------------------------------


def virtual_size():
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


def leave_room(nbytes):
    """Let the address space grow by so much and no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (virtual_size() + nbytes, hard))


def lift_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def send_in_little_room(zmq, link, endpoint, size, room):
    """Send until an exception comes; then, with room again, send one more. How many went in all."""
    plain = bytearray(body(0, size))
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndtimeo = 200
        push.linger = 2 * CAP_MS
        push.connect(endpoint)
        wait_until(lambda: push.stats()["connected"] == 1, "the connection")
        push.send(b"small")
        leave_room(room)
        sent, refused = 0, None
        while refused is None and sent < 40:
            WORD.pack_into(plain, 0, sent)
            try:
                push.send(plain)
            except (MemoryError, zmq.ZMQError) as error:
                kind = MemoryError if isinstance(error, MemoryError) else type(error)
                refused = kind.__name__, getattr(error, "errno", None)
            else:
                sent += 1
        lift_limit()
        link.tell((sent, refused))
        link.hear(60)
        WORD.pack_into(plain, 0, sent)
        push.send(plain)
        return sent + 1


@pytest.mark.slow
@ours
@pytest.mark.parametrize("room", [1, 24], ids="{} MiB left".format)
def test_sender_without_address_space_gets_an_exception_and_what_it_sent_arrives(
    zmq, sockets, ipc, run_child, room
):
    size = 8 * MIB
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = run_child(send_in_little_room, ipc, size, room * MIB)
    sent, refused = child.hear(4 * CAP)
    assert refused is None or refused[0] in {"MemoryError", "Again"} or refused[1] == errno.ENOMEM, refused
    expect(pull, b"small")

    def expect_number(number):
        got = pull.recv()
        assert got[:8] == WORD.pack(number)
        assert got[8:] == body(0, size)[8:]

    for number in range(sent):
        expect_number(number)
    child.tell("go on")
    expect_number(sent)
    assert child.result(2 * CAP) == sent + 1


def receive_in_little_room(zmq, link, endpoint, size, count, room, way):
    """Receive so many; whenever memory is short, get room and try again. The exceptions that came."""
    came = []
    into = bytearray(size)
    kept = []
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = 2 * CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        assert pull.recv() == b"small"
        pull.rcvtimeo = CAP_MS // 4  # then there is more room
        leave_room(room)
        link.tell("in little room")
        for number in range(count):
            while True:
                try:
                    if way == "into":
                        assert pull.recv_into(into) == size
                        got = into
                    else:
                        got = pull.recv(copy=way == "copy")
                except (MemoryError, zmq.ZMQError) as error:
                    came.append(f"{number}: {error!r}")
                    assert len(came) <= 3 * (number + 1), came
                    lift_limit()
                else:
                    break
            if way == "frame":
                kept.append(got)
            lift_limit()  # comparing takes memory too
            assert memoryview(got) == body(number, size), f"body {number} is torn"
            leave_room(room)
        lift_limit()
        for number, got in enumerate(kept):
            assert memoryview(got) == body(number, size), f"kept body {number} changed"
    return came


@pytest.mark.slow
@ours
@pytest.mark.parametrize("way", ["copy", "frame", "into"])
@pytest.mark.parametrize("room", [1, 24], ids="{} MiB left".format)
def test_receiver_without_address_space_loses_nothing(zmq, sockets, ipc, run_child, room, way):
    size, count = 16 * MIB, 6
    push = sockets(zmq.PUSH, sndtimeo=4 * CAP_MS, reconnect_ivl=10)
    child = run_child(receive_in_little_room, ipc, size, count, room * MIB, way)
    assert child.hear() == "bound"
    push.connect(ipc)
    push.send(b"small")
    assert child.hear() == "in little room"
    for number in range(count):
        push.send(body(number, size))
    print(child.result(8 * CAP))


def receive_several_in_little_room(zmq, link, endpoint, way, message):
    """Of each message its parts, by first byte and length; "MemoryError" for one, and then there is room."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        push.connect(endpoint)
        for number in range(3):
            push.send_multipart([b"%d" % number + part for part in message])
        leave_room(60 * MIB)
        told, came = [], 0
        while came < 3 and len(told) < 9:
            try:
                many = way == "recv_many"
                messages = pull.recv_many(multipart=True) if many else [pull.recv_multipart()]
            except MemoryError:
                lift_limit()
                told.append("MemoryError")
                came += len(message) > 1  # that one is gone
            else:
                told += [[(part[:1], len(part)) for part in parts] for parts in messages]
                came += len(messages)
                del messages
        return told, pull.stats()["discarded_no_memory"], pull.poll(0)


@pytest.mark.slow
@ours
@pytest.mark.parametrize("way", ["recv_multipart", "recv_many"])
def test_message_of_several_frames_without_memory_for_all_goes_as_a_whole(ipc, run_child, way):
    """What was left of it was received as a message."""
    message = [b"head", bytes(40 * MIB), bytes(40 * MIB)]
    told, discarded, left = run_child(receive_several_in_little_room, ipc, way, message).result(8 * CAP)
    whole = [[(b"%d" % number, len(part) + 1) for part in message] for number in range(3)]
    assert (told, discarded, left) == (["MemoryError", *whole[1:]], 1, 0)


@pytest.mark.slow
@ours
@pytest.mark.parametrize("way", ["recv_multipart", "recv_many"])
def test_burst_that_finds_memory_for_some_returns_those_and_leaves_the_others(ipc, run_child, way):
    """recv_many lost them all, with a SystemError."""
    only = [bytes(40 * MIB)]
    told, discarded, left = run_child(receive_several_in_little_room, ipc, way, only).result(8 * CAP)
    whole = [[(b"%d" % number, 40 * MIB + 1)] for number in range(3)]
    assert (told, discarded, left) == (whole, 0, 0)
