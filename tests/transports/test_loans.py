"""Loans: a Frame received without a copy lies in its sender's memory. It reads the same until it is let go.

Whatever happens meanwhile: more messages, writing, the end of sockets, contexts and senders, forks,
collection by any thread. What pyzmq promises too runs on it too; its frames own their memory.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import os
import random
import struct
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import shmzmq
from kit import CAP, CAP_MS, expect, marry, subscribe, tune_in, wait_until

MESSAGES = int(os.environ.get("SHMZMQ_STRESS_LOANS", "100000"))
SEED = int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
STREAM_CAP = 30 + MESSAGES / 5_000

WORD = struct.Struct("<Q")
SIZES = [6_000, 100_000, pytest.param(3 << 20, marks=pytest.mark.slow)]
REUSES = 60  # messages that would take a block again if it were free: many times what a free list holds

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
ours = pytest.mark.shmzmq_only("frames of libzmq own their memory; nothing is lent")


def body(number: int, size: int) -> bytes:
    """A body in which every eight bytes say whose they are."""
    return (WORD.pack(number) * (size // 8 + 1))[:size]


def read(thing) -> bytes:
    """What is there now: `bytes` of a Frame may be what was there when it was asked first."""
    return memoryview(thing).tobytes()


def settle(condition, what, cap=CAP):
    """Wait, collecting garbage between the looks."""

    def look():
        gc.collect()
        return condition()

    wait_until(look, what, cap)


def lent(socket):
    return socket.stats()["arena_lent"]


def loans(socket):
    return socket.stats()["loans"]


@pytest.fixture
def flow(zmq, sockets, ipc):
    """A PUSH connected to a bound PULL, over ipc."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    return push, pull


def overwrite(push, pull, size, count=REUSES):
    """Send and receive so many other bodies that any free block is used again."""
    for number in range(count):
        push.send(body(0xFFFF_0000 + number, size))
        assert pull.recv() == body(0xFFFF_0000 + number, size)


# --- more messages -----------------------------------------------------------------------------------------


def keep_some(zmq, link, endpoint, count, seed):
    """Receive numbered bodies; keep the first for ever and some for a while; look at each when it goes.

    Returns how many were looked at.
    """
    dice = random.Random(f"{seed} keep")
    kept, looked = [], 0
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = 4 * CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        first = pull.recv(copy=False)
        for expected in range(1, count):
            frame = pull.recv(copy=False)
            (number,) = WORD.unpack_from(frame)
            assert number == expected, f"{number} came instead of {expected}"
            if dice.random() < 0.02:
                kept.append((number, len(frame), frame if dice.random() < 0.5 else memoryview(frame)))
            if len(kept) > 60:
                number, size, data = kept.pop(dice.randrange(len(kept)))
                assert read(data) == body(number, size), f"{number} of {size} bytes changed while it was held"
                looked += 1
        for number, size, data in [*kept, (0, len(first), first)]:
            assert read(data) == body(number, size), f"{number} of {size} bytes changed while it was held"
    return looked + len(kept) + 1


@pytest.mark.slow
@pytest.mark.timeout(STREAM_CAP + 30)
def test_held_frame_reads_the_same_while_the_sender_sends_on(zmq, sockets, ipc, run_child):
    print(f"replay with SHMZMQ_SEED={SEED} SHMZMQ_STRESS_LOANS={MESSAGES}")
    dice = random.Random(f"{SEED} sizes")
    sizes = [dice.choice((4_200, 5_000, 6_144, 8_000, 8_192)) for _ in range(509)]
    child = run_child(keep_some, ipc, MESSAGES, SEED)
    assert child.hear(2 * CAP) == "bound"
    push = sockets(zmq.PUSH, sndtimeo=4 * CAP_MS)
    push.connect(ipc)
    for number in range(MESSAGES):
        push.send(body(number, sizes[number % 509]))
    assert child.result(STREAM_CAP) > 60


@pytest.mark.parametrize("size", SIZES)
def test_held_frames_are_unchanged_after_many_more_messages(flow, size):
    push, pull = flow
    kept = []
    for number in range(8):
        push.send(body(number, size))
        kept.append(pull.recv(copy=False))
        overwrite(push, pull, size, 8)
    for number, frame in enumerate(kept):
        assert bytes(frame.buffer) == body(number, size), f"frame {number}"


def test_held_parts_of_one_message_are_unchanged_after_many_more_messages(flow):
    push, pull = flow
    sizes = [10, 6_000, 100_000, 0, 4_097, 1 << 20]
    push.send_multipart([body(number, size) for number, size in enumerate(sizes)])
    frames = pull.recv_multipart(copy=False)
    for size in sizes:
        overwrite(push, pull, size, 20)
    assert [read(frame) for frame in frames] == [body(number, size) for number, size in enumerate(sizes)]


# --- what keeps a frame ------------------------------------------------------------------------------------

KEEPERS = {
    "frame": lambda np, frame: frame,
    "view": lambda np, frame: memoryview(frame),
    "buffer": lambda np, frame: frame.buffer,
    "slice of the buffer": lambda np, frame: frame.buffer[16:-16],
    "cast": lambda np, frame: memoryview(frame)[: len(frame) // 8 * 8].cast("Q"),
    "view of a view": lambda np, frame: memoryview(memoryview(frame)[8:]),
    "copy of the frame": lambda np, frame: copy.copy(frame),
    "ctypes": lambda np, frame: (ctypes.c_char * len(frame)).from_buffer(frame),
    "frombuffer": lambda np, frame: np.frombuffer(frame, np.uint8),
    "ndarray": lambda np, frame: np.ndarray((len(frame),), np.uint8, buffer=frame),
    "ndarray of a view": lambda np, frame: np.ndarray((len(frame),), np.uint8, buffer=memoryview(frame)),
    "ndarray of the buffer": lambda np, frame: np.ndarray((len(frame),), np.uint8, buffer=frame.buffer),
    "asarray of a view": lambda np, frame: np.asarray(memoryview(frame)),
    "stride of an array": lambda np, frame: np.frombuffer(frame, np.uint8)[::3],
    "array of an array": lambda np, frame: np.frombuffer(frame, np.uint8)[: len(frame) // 8 * 8].view(
        np.uint64
    ),
}


def content_of(keeper: str, number: int, size: int) -> bytes:
    """What `bytes` of the kept thing must be."""
    whole = body(number, size)
    if keeper == "slice of the buffer":
        return whole[16:-16]
    if keeper == "view of a view":
        return whole[8:]
    if keeper == "stride of an array":
        return whole[::3]
    if keeper in {"cast", "array of an array"}:
        return whole[: size // 8 * 8]
    return whole


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_whatever_looks_at_a_frame_keeps_its_bytes(flow, np, keeper, size):
    push, pull = flow
    push.send(body(7, size))
    kept = KEEPERS[keeper](np, pull.recv(copy=False))
    gc.collect()
    overwrite(push, pull, size)
    assert read(kept) == content_of(keeper, 7, size)


@ours
@pytest.mark.parametrize("keeper", KEEPERS)
def test_block_comes_back_when_the_last_that_looks_at_it_goes(flow, np, keeper):
    push, pull = flow
    push.send(body(7, 100_000))
    kept = KEEPERS[keeper](np, pull.recv(copy=False))
    gc.collect()
    assert (loans(pull), lent(push)) == (1, 1)
    del kept
    settle(lambda: (loans(pull), lent(push)) == (0, 0), "the block to be back")


@ours
def test_small_frames_and_copies_are_no_loans(flow):
    push, pull = flow
    push.send(b"small")
    small = pull.recv(copy=False)
    push.send(body(1, 100_000))
    large = pull.recv()
    push.send(body(2, 100_000))
    memory = bytearray(100_000)
    assert pull.recv_into(memory) == 100_000
    assert (bytes(small), large, memory) == (b"small", body(1, 100_000), body(2, 100_000))
    assert loans(pull) == 0
    settle(lambda: lent(push) == 0, "the copied blocks to be back")


@ours
def test_frame_without_a_copy_is_the_block_itself(flow):
    """Receiving the same size again and again takes no memory per frame, and finds the same block again."""
    push, pull = flow
    places = set()
    for number in range(50):
        push.send(body(number, 1 << 20))
        frame = pull.recv(copy=False)
        places.add(ctypes.addressof(ctypes.c_char.from_buffer(frame)))
        assert read(frame) == body(number, 1 << 20)
        del frame
    assert len(places) < 10, f"50 frames lay in {len(places)} places"


# --- the ends of sockets, contexts and senders -------------------------------------------------------------


@ours
@pytest.mark.parametrize("leaver", ["sender", "receiver"])
@pytest.mark.parametrize("size", [6_000, 100_000])
def test_frames_outlive_their_connection_and_their_blocks_come_back(
    zmq, sockets, ipc, tmp_path, leaver, size
):
    """A-7: the sender goes on with the same arena and another peer, and hears what is let go."""
    push, pull, successor = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    for number in range(6):
        push.send(body(number, size))
    held = [pull.recv(copy=False) for _ in range(6)]
    if leaver == "receiver":
        pull.close()
        wait_until(lambda: push.stats()["disconnected"] == 1, "the end of the connection to be seen")
    push.disconnect(ipc)
    successor.bind(f"ipc://{tmp_path}/successor")
    push.connect(f"ipc://{tmp_path}/successor")
    overwrite(push, successor, size)
    assert lent(push) == 6
    assert [read(frame) for frame in held] == [body(number, size) for number in range(6)]
    held.clear()
    settle(lambda: lent(push) == 0, "the blocks to be back")


def hold_and_leave(zmq, link, endpoint, count):
    """Receive so many frames, leave the connection, and hold them."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        held = [pull.recv(copy=False) for _ in range(count)]
        pull.unbind(endpoint)
        link.tell(len(held))
        link.hear(60)


@pytest.mark.slow
@ours
def test_blocks_of_a_receiver_killed_after_it_left_are_back(zmq, sockets, ipc, run_child):
    push = sockets(zmq.PUSH)
    child = run_child(hold_and_leave, ipc, 6)
    assert child.hear() == "bound"
    push.connect(ipc)
    for number in range(6):
        push.send(body(number, 100_000))
    assert child.hear() == 6
    wait_until(lambda: push.stats()["disconnected"] == 1, "the end of the connection to be seen")
    assert lent(push) == 6
    child.kill()
    wait_until(lambda: lent(push) == 0, "the blocks of the dead to be back")


@pytest.mark.parametrize("keeper", ["frame", "view", "ndarray"])
@pytest.mark.parametrize("size", SIZES)
def test_frame_outlives_sockets_and_context(zmq, new_context, ipc, np, size, keeper):
    context = new_context()
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    pull.rcvtimeo = push.sndtimeo = CAP_MS
    pull.bind(ipc)
    push.connect(ipc)
    push.send(body(1, size))
    kept = KEEPERS[keeper](np, pull.recv(copy=False))
    push.send(body(2, size))
    assert read(kept) == body(1, size)
    push.close(linger=0)
    assert read(kept) == body(1, size)
    pull.close(linger=0)
    assert read(kept) == body(1, size)
    context.term()
    gc.collect()
    assert read(kept) == body(1, size)
    memoryview(kept).cast("B")[0] = 77
    assert read(kept) == b"M" + body(1, size)[1:]


def test_frame_of_one_context_may_be_dropped_after_another_has_taken_its_place(zmq, new_context, ipc):
    kept = None
    for number in range(5):
        context = new_context()
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        pull.rcvtimeo = push.sndtimeo = CAP_MS
        pull.bind(ipc)
        push.connect(ipc)
        push.send(body(number, 200_000))
        frame = pull.recv(copy=False)
        push.close(linger=0)
        pull.close(linger=0)
        context.term()
        if kept is not None:
            assert read(kept) == body(number - 1, 200_000)
        kept = frame
    assert read(kept) == body(4, 200_000)


def sending(run_child, pull, endpoint, size, count):
    """A process that runs `send_and_stay`, connected."""
    child = run_child(send_and_stay, endpoint, size, count)
    assert pull.recv() == b"hello"
    child.tell("go")
    return child


def send_and_stay(zmq, link, endpoint, size, count):
    """Send so many bodies, and as many more at each word; end by a kill, or at the word "stop"."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndtimeo = 2 * CAP_MS
        push.connect(endpoint)
        # From the answer on nothing waits in this process for the connection: what is sent is out.
        push.send(b"hello")
        link.hear(60)
        number = 0
        word = None
        while word != "stop":
            for _ in range(count):
                push.send(body(number, size))
                number += 1
            link.tell(number)
            word = link.hear(60)
        push.linger = CAP_MS


@pytest.mark.slow
@ours
@pytest.mark.parametrize("size", SIZES)
def test_frame_outlives_a_killed_sender_and_so_do_those_not_yet_received(sockets, zmq, ipc, run_child, size):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = sending(run_child, pull, ipc, size, 6)
    assert child.hear() == 6
    held = [pull.recv(copy=False) for _ in range(3)]
    view = memoryview(held[0])
    child.kill()
    wait_until(lambda: pull.stats()["disconnected"] == 1, "the sender's death to be seen")
    held += [pull.recv(copy=False) for _ in range(3)]
    gc.collect()
    successor = sending(run_child, pull, ipc, size, REUSES)
    for number in range(REUSES):
        assert pull.recv() == body(number, size)
    assert read(view) == body(0, size)
    assert [read(frame) for frame in held] == [body(number, size) for number in range(6)]
    successor.tell("stop")
    for number in range(REUSES, 2 * REUSES):
        if not pull.poll(0 if successor.has_word() else CAP_MS):
            break
        assert pull.recv() == body(number, size)
    successor.result()


@pytest.mark.slow
@ours
def test_frames_of_a_killed_sender_leave_no_segment_when_they_go(sockets, zmq, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = sending(run_child, pull, ipc, 1 << 20, 4)
    assert child.hear() == 4
    held = [pull.recv(copy=False) for _ in range(4)]
    child.kill()
    wait_until(lambda: pull.stats()["disconnected"] == 1, "the sender's death to be seen")
    assert [read(frame) for frame in held] == [body(number, 1 << 20) for number in range(4)]
    held.clear()
    settle(lambda: not arenas(), "the arena of the dead sender to be unmapped")


def arenas():
    """The arenas that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if "/memfd:shmzmq" in line and "arena" in line]


# --- core dumps --------------------------------------------------------------------------------------------


def left_out_of_dumps(zmq, link, endpoint):
    """For each mapping of shared memory, by its name: is it left out of core dumps (proc(5), "dd")?"""
    found, name = {}, ""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        push.connect(endpoint)
        push.send(body(1, 100_000))
        frame = pull.recv(copy=False)
        for line in Path("/proc/self/smaps").read_text().splitlines():
            first, *rest = line.split()
            if not first.endswith(":"):
                name = rest[4] if len(rest) > 4 else ""
            elif first == "VmFlags:" and name.startswith("/memfd:shmzmq"):
                found.setdefault(name, set()).add("dd" in rest)
        assert read(frame) == body(1, 100_000)
    return found


@pytest.mark.slow
@ours
@pytest.mark.parametrize("said", [None, "0", "1"])
def test_shared_memory_is_in_core_dumps_only_if_asked_for(ipc, run_child, monkeypatch, said):
    monkeypatch.delenv("SHMZMQ_DUMP", raising=False)
    if said is not None:
        monkeypatch.setenv("SHMZMQ_DUMP", said)
    found = run_child(left_out_of_dumps, ipc).result()
    assert any("arena" in name for name in found), found
    assert set.union(*found.values()) == {said != "1"}, found


# --- writing -----------------------------------------------------------------------------------------------


@pytest.fixture
def air(zmq, sockets, ipc):
    """A PUB and three SUB that hear everything, in one process."""
    pub = sockets(zmq.PUB)
    pub.bind(ipc)
    subs = [sockets(zmq.SUB) for _ in range(3)]
    for sub in subs:
        sub.connect(ipc)
        subscribe(sub, b"")
    tune_in(pub, *subs)
    return pub, subs


@pytest.mark.parametrize("size", SIZES)
def test_writing_into_a_frame_changes_nobody_elses(air, size):
    pub, subs = air
    sent = bytearray(body(1, size))
    pub.send(sent, copy=False)
    frames = [sub.recv(copy=False) for sub in subs]
    for mark, frame in enumerate(frames):
        frame.buffer[:] = bytes([0xA0 + mark]) * size
    assert [read(frame) for frame in frames] == [bytes([0xA0 + mark]) * size for mark in range(3)]
    assert sent == body(1, size)


@pytest.mark.parametrize("size", SIZES)
def test_next_message_in_a_block_that_was_written_into_is_right(air, size):
    pub, subs = air
    for number in range(20):
        pub.send(body(number, size))
        frames = [sub.recv(copy=False) for sub in subs]
        writer = number % 3
        for place in (0, size // 2, size - 1):
            frames[writer].buffer[place] ^= 0xFF
        for sub, frame in enumerate(frames):
            if sub != writer:
                assert read(frame) == body(number, size), f"message {number} at SUB {sub}"
        del frames, frame


@pytest.mark.parametrize("size", SIZES)
def test_writing_through_an_array_is_private_and_gone_with_the_block(air, np, size):
    pub, subs = air
    for number in range(10):
        pub.send(body(number, size))
        first, second, third = (np.frombuffer(sub.recv(copy=False), np.uint8) for sub in subs)
        assert first.flags.writeable
        first += 1
        second[::4096] = 0
        assert read(third) == body(number, size), f"message {number}"
        assert read(first) == bytes((byte + 1) % 256 for byte in body(number, 8)) * (size // 8)
        del first, second, third


@ours
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("via", ["ipc", "tcp"])
@pytest.mark.parametrize("first", [0, 1])
def test_frame_that_is_sent_on_within_a_process_is_written_into_by_one_alone(
    zmq, sockets, new_endpoint, inproc, via, size, first
):
    """Receivers of one process have the same pages: what one wrote, the others saw."""
    push, pull, pub = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PUB)
    endpoint = new_endpoint(via)
    pull.bind(endpoint)
    push.connect(endpoint)
    pub.bind(inproc)
    subs = [sockets(zmq.SUB) for _ in range(2)]
    for sub in subs:
        sub.connect(inproc)
        subscribe(sub, b"")
    tune_in(pub, *subs)
    push.send(body(1, size))
    received = pull.recv(copy=False)
    pub.send(received)
    frames = [sub.recv(copy=False) for sub in subs]
    frames.insert(first, received)
    views = []
    for mark, frame in enumerate(frames):
        assert read(frame) == body(1, size), f"reader {mark}"
        views.append(memoryview(frame))
        views[-1][:] = bytes([0xA0 + mark]) * size
    assert [read(frame) for frame in frames] == [bytes([0xA0 + mark]) * size for mark in range(3)]
    assert views == [read(frame) for frame in frames]


def test_sender_and_its_later_messages_do_not_see_what_receivers_write(flow):
    push, pull = flow
    sent = bytearray(body(1, 300_000))
    for _ in range(20):
        push.send(sent, copy=False)
        frame = pull.recv(copy=False)
        assert read(frame) == sent
        frame.buffer[:] = bytes(300_000)
        del frame
    assert sent == body(1, 300_000)


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_frame_that_was_written_into_and_is_sent_on_carries_what_was_written(
    zmq, sockets, flow, new_endpoint, size, copied
):
    push, pull = flow
    onward, end = sockets(zmq.PUSH), sockets(zmq.PULL)
    endpoint = new_endpoint("ipc")
    end.bind(endpoint)
    onward.connect(endpoint)
    push.send(body(1, size))
    frame = pull.recv(copy=False)
    for place in (0, size // 2, size - 1):
        frame.buffer[place] = 0x5A
    onward.send(frame, copy=copied)
    expected = read(frame)
    got = end.recv(copy=False)
    assert read(got) == expected
    assert expected[0] == expected[-1] == 0x5A
    del frame
    overwrite(push, pull, size)
    assert read(got) == expected


def write_and_tell(zmq, link, endpoint, me, count, size):
    """Hear so many messages; look at each, write into it, look again while holding all; say what is wrong."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.rcvtimeo = 4 * CAP_MS
        sub.subscribe(b"")
        sub.connect(endpoint)
        link.tell("ready")
        kept = []
        while len(kept) < count:
            frame = sub.recv(copy=False)
            if len(frame) < size:
                link.tell("heard")  # a probe
                continue
            if read(frame) != body(len(kept), size):
                return f"message {len(kept)} was changed before it was written into"
            frame.buffer[me::4096] = bytes([me]) * len(range(me, size, 4096))
            kept.append(frame)
        for number, frame in enumerate(kept):
            expected = bytearray(body(number, size))
            expected[me::4096] = bytes([me]) * len(range(me, size, 4096))
            if read(frame) != expected:
                return f"message {number} is not what was received and written"
    return "all right"


@pytest.mark.slow
def test_three_processes_that_write_into_what_they_hear_do_not_see_each_other(zmq, sockets, ipc, run_child):
    pub = sockets(zmq.PUB)
    pub.bind(ipc)
    children = [run_child(write_and_tell, ipc, me + 1, 12, 500_000) for me in range(3)]
    for child in children:
        assert child.hear() == "ready"

    def all_hear():
        pub.send(b"probe")
        return all(child.has_word(0.01) for child in children)

    wait_until(all_hear, "three SUB processes to hear", 2 * CAP)
    for number in range(12):
        pub.send(body(number, 500_000))
    assert [child.result(6 * CAP) for child in children] == ["all right"] * 3


# --- letting go --------------------------------------------------------------------------------------------


class Ring:
    """A thing that is part of a cycle."""

    def __init__(self, kept):
        self.kept, self.me = kept, self


@ours
def test_frame_in_a_cycle_comes_back_when_it_is_collected(flow):
    push, pull = flow
    gc.disable()
    try:
        for number in range(5):
            push.send(body(number, 50_000))
            Ring(memoryview(pull.recv(copy=False)))
        assert loans(pull) == 5
    finally:
        gc.enable()
    settle(lambda: (loans(pull), lent(push)) == (0, 0), "five blocks to be back")


@ours
def test_frames_may_be_let_go_by_any_thread_while_others_send_and_receive(flow):
    push, pull = flow
    kept, failed = [], []
    done = threading.Event()

    def drop():
        dice = random.Random(threading.get_ident())
        while not done.is_set() or kept:
            try:
                number, frame = kept.pop(dice.randrange(len(kept)))
            except (IndexError, ValueError):
                time.sleep(0)
                continue
            if read(frame) != body(number, 20_000):
                failed.append(number)
            del frame

    threads = [threading.Thread(target=drop) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3_000):
            push.send(body(number, 20_000))
            kept.append((number, pull.recv(copy=False)))
            if len(kept) > 200:
                kept.pop(0)
    finally:
        done.set()
        for thread in threads:
            thread.join(2 * CAP)
    assert not failed
    settle(lambda: (loans(pull), lent(push)) == (0, 0), "every block to be back")


LIVES = {
    "frames": "kept = frames",
    "views": "kept = [memoryview(frame) for frame in frames]",
    "arrays": "import numpy; kept = [numpy.ndarray((200000,), 'u1', buffer=frame) for frame in frames]",
    "cycle": "ring = [frames]; ring.append(ring); del ring",
    "default argument": "def keep(frames=frames): pass",
    "daemon thread": (
        "import threading\n"
        "def hold(frames=frames):\n"
        "    started.set()\n"
        "    threading.Event().wait()\n"
        "started = threading.Event()\n"
        "threading.Thread(target=hold, daemon=True).start()\n"
        "started.wait(5)"
    ),
    "destructor": (
        "class Last:\n"
        "    def __init__(self): self.frames = frames\n"
        "    def __del__(self): assert bytes(self.frames[0])[:1] == b'a'; self.frames.clear()\n"
        "last = Last()"
    ),
    "context that stays open": "kept = frames, context, push, pull",
    "closed context": "push.close(); pull.close(); context.term(); kept = frames",
    "blocks": "kept = [push.alloc(100000) for _ in range(3)] + [memoryview(push.alloc(9000))]",
    "block sent and views": "block = push.alloc(100000); kept = [push, pull, block]; push.send(block)",
}

LIFE = """
import sys
import shmzmq as zmq
context = zmq.Context()
push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
push.linger = 0
pull.rcvtimeo = 5000
pull.bind(sys.argv[1])
push.connect(sys.argv[1])
frames = []
for number in range(4):
    push.send(b"abcd"[number:number + 1] * 200_000)
    frames.append(pull.recv(copy=False))
assert [bytes(frame)[:1] for frame in frames] == [b"a", b"b", b"c", b"d"]
{life}
print("kept")
"""


@pytest.mark.slow
@ours
@pytest.mark.parametrize("life", LIVES)
def test_program_ends_in_silence_with_live(ipc, life):
    if life == "arrays" and find_spec("numpy") is None:
        pytest.skip("needs numpy")
    script = LIFE.replace("{life}", LIVES[life])
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", "-c", script, ipc],
        capture_output=True,
        text=True,
        timeout=6 * CAP,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(shmzmq.__file__).parents[1])},
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "kept\n")


# --- forks -------------------------------------------------------------------------------------------------


def read_late(zmq, link, frames):
    """Read inherited frames after the word."""
    link.tell("forked")
    link.hear(60)
    return [read(frame) for frame in frames]


def drop_all(zmq, link, frames):
    """Read and let go of all that was inherited."""
    seen = [read(frame) for frame in frames]
    frames.clear()
    gc.collect()
    return seen


def write_all(zmq, link, frames):
    for frame in frames:
        memoryview(frame).cast("B")[:4] = b"mine"
    link.tell("written")
    link.hear(60)
    return [bytes(memoryview(frame)[:4]) for frame in frames]


def fork_and_end_at_once():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def far(zmq, sockets, ipc, run_child):
    """A PULL and a sender in another process: `far(size)` gives (pull, receive); the sender goes on."""

    def build(size, count=6):
        pull = sockets(zmq.PULL, rcvhwm=2 * REUSES)
        pull.bind(ipc)
        child = sending(run_child, pull, ipc, size, count)
        numbers = iter(range(1 << 30))

        def take(keep):
            """One round of messages, kept or let go."""
            assert child.hear() % count == 0
            frames = [pull.recv(copy=False) for _ in range(count)]
            for frame in frames:
                assert read(frame) == body(next(numbers), size)
            return frames if keep else None

        def again(rounds=12):
            """The sender overwrites what it may."""
            for _ in range(rounds):
                child.tell("more")
                take(keep=False)

        built.append(child)
        return pull, take, again

    built = []
    yield build
    for child in built:
        child.tell("stop")
        child.result()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_frame_received_before_a_fork_reads_the_same_in_parent_and_child(far, run_child, size):
    _pull, take, again = far(size)
    frames = take(keep=True)
    child = run_child(read_late, frames, method="fork")
    child.hear()
    again()
    child.tell("read")
    expected = [body(number, size) for number in range(6)]
    assert child.result() == expected
    assert [read(frame) for frame in frames] == expected


@ours
@pytest.mark.parametrize(
    "look", [lambda frame: None, lambda frame: frame.bytes], ids=["not looked at", "read"]
)
@pytest.mark.parametrize("size", [6_000, 100_000])
def test_next_message_in_a_block_that_a_fork_copied_is_right(flow, size, look):
    """The copies for the child hide the sender's next bytes from the parent, also where nobody wrote.

    No view of the frame is taken: one that may be written through has its pages looked through anyway.
    """
    push, pull = flow
    for number in range(10):
        push.send(body(2 * number, size))
        frame = pull.recv(copy=False)
        look(frame)
        fork_and_end_at_once()
        del frame
        push.send(body(2 * number + 1, size))
        assert pull.recv() == body(2 * number + 1, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_child_reads_what_the_parent_let_go_after_the_fork(far, run_child, size):
    _pull, take, again = far(size)
    frames = take(keep=True)
    child = run_child(read_late, frames, method="fork")
    child.hear()
    frames.clear()
    gc.collect()
    again()
    child.tell("read")
    assert child.result() == [body(number, size) for number in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("keeper", ["view", "slice of the buffer", "frombuffer", "ndarray"])
def test_views_taken_before_a_fork_read_the_same_in_parent_and_child(far, np, run_child, keeper):
    _pull, take, again = far(100_000)
    kept = [KEEPERS[keeper](np, frame) for frame in take(keep=True)]
    child = run_child(read_late, kept, method="fork")
    child.hear()
    again()
    child.tell("read")
    expected = [content_of(keeper, number, 100_000) for number in range(6)]
    assert child.result() == expected
    assert [read(each) for each in kept] == expected


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["lets go", "ends at once"])
def test_child_that_goes_does_not_disturb_the_frames_of_its_parent(far, run_child, ending):
    """What a child lets go must not be given back to the sender while the parent holds it."""
    size = 50_000
    pull, take, again = far(size)
    frames = take(keep=True)
    expected = [body(number, size) for number in range(6)]
    if ending == "lets go":
        assert run_child(drop_all, frames, method="fork").result() == expected
    else:
        fork_and_end_at_once()
    again()
    assert [read(frame) for frame in frames] == expected
    if "loans" in getattr(pull, "stats", dict)():
        assert loans(pull) == 6


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_parent_and_child_write_into_the_same_frame_and_do_not_see_each_other(far, run_child, size):
    _pull, take, again = far(size)
    frames = take(keep=True)
    child = run_child(write_all, frames, method="fork")
    assert child.hear() == "written"
    assert [read(frame) for frame in frames] == [body(number, size) for number in range(6)]
    for frame in frames:
        frame.buffer[:4] = b"ours"
    child.tell("look")
    assert child.result() == [b"mine"] * 6
    assert all(bytes(frame.buffer[:4]) == b"ours" for frame in frames)
    frames.clear()
    del frame
    again()


@pytest.mark.slow
def test_grandchild_reads_the_same_bytes(far, run_child):
    _pull, take, again = far(100_000)
    frames = take(keep=True)
    child = run_child(fork_and_read, frames, method="fork")
    child.hear()
    frames.clear()
    again()
    child.tell("read")
    assert child.result() == 0


def fork_and_read(zmq, link, frames):
    """Fork once more; the grandchild reads after the word. Its exit code."""
    ours_end, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(theirs)
            os.read(ours_end, 1)
            code = [read(frame) for frame in frames] != [body(number, 100_000) for number in range(6)]
        finally:
            os._exit(int(code))
    os.close(ours_end)
    frames.clear()
    gc.collect()
    link.tell("forked")
    link.hear(60)
    os.close(theirs)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.slow
def test_forks_while_messages_come_harm_neither_frames_nor_flow(far, run_child):
    size = 30_000
    _pull, take, again = far(size)
    frames = take(keep=True)
    expected = [body(number, size) for number in range(6)]
    for _ in range(6):
        children = [run_child(drop_all, frames, method="fork") for _ in range(2)]
        again(4)
        assert [child.result() for child in children] == [expected, expected]
    assert [read(frame) for frame in frames] == expected


def use_blocks(zmq, link, blocks):
    """Touch inherited blocks that were not sent, and let go of them."""
    for block in blocks:
        try:
            memoryview(block)[:5] = b"child"
        except (ValueError, BufferError, zmq.ZMQError):
            continue
    blocks[0].release()
    blocks.clear()
    gc.collect()
    return "harmless"


@ours
@pytest.mark.parametrize("size", [100, *SIZES])
def test_block_that_was_not_sent_survives_a_fork(flow, run_child, size):
    push, pull = flow
    blocks = [push.alloc(size) for _ in range(3)]
    for number, block in enumerate(blocks):
        memoryview(block)[:] = body(number, size)
    assert run_child(use_blocks, blocks, method="fork").result() == "harmless"
    fork_and_end_at_once()
    for number, block in enumerate(blocks):
        push.send(block)
        expect(pull, body(number, size))


def read_and_write(zmq, link, looks):
    """What inherited views of blocks show; then write, and read again what the parent did not."""
    link.tell("here")
    link.hear()
    seen = [bytes(look) for look in looks]
    for look in looks:
        memoryview(look)[:5] = b"child"
    assert all(bytes(look)[:5] == b"child" for look in looks)
    return seen


@ours
@pytest.mark.parametrize("size", SIZES)
def test_views_of_blocks_read_the_same_in_parent_and_child(flow, run_child, size):
    push, _pull = flow
    views = [memoryview(push.alloc(size)) for _ in range(3)]
    for number, view in enumerate(views):
        view[:] = body(number, size)
    child = run_child(read_and_write, views, method="fork")
    child.hear()
    for view in views:
        view[:] = bytes(size)
    child.tell("read")
    assert child.result() == [body(number, size) for number in range(3)]
    assert [bytes(view) for view in views] == [bytes(size)] * 3


@ours
def test_frames_on_blocks_of_this_process_read_the_same_in_parent_and_child(zmq, sockets, inproc, run_child):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    size = 100_000
    for number in range(3):
        block = push.alloc(size)
        memoryview(block)[:] = body(number, size)
        push.send(block)
        del block
    frames = [pull.recv(copy=False) for _ in range(3)]
    expected = [body(number, size) for number in range(3)]
    child = run_child(drop_all, frames, method="fork")
    assert child.result() == expected
    assert [read(frame) for frame in frames] == expected


# --- many loans --------------------------------------------------------------------------------------------


def keep_forty(zmq, link, endpoint, count, size):
    """Keep the first forty of so many bodies; at the end all must be as they came."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = 4 * CAP_MS
        pull.rcvhwm = 4
        pull.bind(endpoint)
        link.tell("bound")
        kept = [pull.recv(copy=False) for _ in range(40)]
        for number in range(40, count):
            assert bytes(pull.recv(copy=False)) == body(number, size), f"body {number} is torn"
        for number, frame in enumerate(kept):
            assert read(frame) == body(number, size), f"kept body {number} changed"
        return pull.stats() if hasattr(pull, "stats") else {}


@pytest.mark.slow
def test_forty_frames_of_6_mb_are_unchanged_at_the_end(zmq, sockets, ipc, run_child):
    size, count = 6_220_800, 90
    child = run_child(keep_forty, ipc, count, size)
    assert child.hear(2 * CAP) == "bound"
    push = sockets(zmq.PUSH, sndhwm=4, sndtimeo=4 * CAP_MS)
    push.connect(ipc)
    for number in range(count):
        push.send(body(number, size))
    child.result(12 * CAP)


def hold_and_wait(zmq, link, endpoint, name, count):
    """Receive so many at each word; "hold" keeps them, "stop" ends. Tells how many are held."""
    held = []
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.rcvtimeo = 4 * CAP_MS
        dealer.routing_id = name
        dealer.connect(endpoint)
        dealer.send(b"here")
        while (word := link.hear(60)) != "stop":
            for _ in range(count):
                frame = dealer.recv(copy=False)
                if word == "hold":
                    held.append(frame)
            del frame
            link.tell(len(held))


@pytest.mark.slow
@ours
def test_blocks_of_a_receiver_killed_while_it_held_ten_are_back_within_a_second(zmq, sockets, ipc, run_child):
    size = 6_000_000
    router = sockets(zmq.ROUTER, router_mandatory=1, rcvtimeo=2 * CAP_MS, sndtimeo=4 * CAP_MS)
    router.bind(ipc)
    children = {name: run_child(hold_and_wait, ipc, name, 10) for name in (b"survivor", b"victim")}
    assert {router.recv_multipart()[0] for _ in children} == set(children)

    def a_round(**words):
        for name, word in words.items():
            children[name.encode()].tell(word)
        for number in range(10):
            for name in words:
                router.send_multipart([name.encode(), body(number, size)])
        return [children[name.encode()].hear(4 * CAP) for name in words]

    for _ in range(3):
        assert a_round(survivor="take", victim="take") == [0, 0]
    settle(lambda: lent(router) == 0, "all blocks to be back")
    before = router.stats()["arena_bytes"]
    assert a_round(survivor="take", victim="hold") == [0, 10]
    wait_until(lambda: lent(router) == 10, "ten blocks to be out")
    children[b"victim"].kill()
    wait_until(lambda: router.stats()["disconnected"] == 1, "the death to be seen")
    wait_until(lambda: lent(router) == 0, "the ten blocks of the dead to be back", 1.0)
    wait_until(
        lambda: router.stats()["arena_bytes"] <= before,
        f"the arena to be at its earlier size of {before} bytes",
        1.0,
    )
    assert a_round(survivor="take") == [0]
    children[b"survivor"].tell("stop")
    children[b"survivor"].result()


@ours
@pytest.mark.slow
@pytest.mark.parametrize("size", [20_000, 1 << 20])
def test_loans_beyond_the_bound_become_copies_and_the_sender_never_starves(zmq, sockets, ipc, size):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.set(zmq.ARENA_MAX, 16 << 20)
    pull.bind(ipc)
    push.connect(ipc)
    marry(push, pull)
    count = 64 if size > 100_000 else 2_000
    kept = []
    for number in range(count):
        push.send(body(number, size))
        kept.append(pull.recv(copy=False))
    stats = pull.stats()
    assert stats["loans_copied"] > 0, stats
    assert push.stats()["arena_bytes"] <= 16 << 20, push.stats()
    for number, frame in enumerate(kept):
        assert read(frame) == body(number, size), f"frame {number} of {count}"
    kept.clear()
    del frame
    settle(lambda: (loans(pull), lent(push)) == (0, 0), "every block to be back")
    push.send(body(1, size))
    frame = pull.recv(copy=False)
    assert pull.stats()["loans_copied"] == stats["loans_copied"], "when nothing is held nothing is copied"
    assert read(frame) == body(1, size)
