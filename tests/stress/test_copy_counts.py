"""How often the bytes of a large message are copied: counted in every process, before libc's memcpy.

Counts and no times: they are the same on a slow machine and on a busy one. `benchmarks/copies.py` starts the
processes and reads the counters, `benchmarks/copycount.c` counts. That a zero means something is shown by the
manners that copy once: the same counter, before the same library, sees every one of those copies.
"""

from __future__ import annotations

import importlib.util
import subprocess
import threading
from pathlib import Path

import pytest

from benchmarks import baselines, copies, rivals
from benchmarks.carry import Counts
from benchmarks.copies import BATCH, COUNTED, SIZE, Found, Manner
from kit import CAP, CAP_MS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.shmzmq_only("counts the copies of this library; pyzmq's are a part of the benchmark"),
    pytest.mark.skipif(baselines.compiler() is None, reason="no C compiler (cc) to build the counter with"),
]

STRAY_BYTES = SIZE // 2
"""Copies of other things over a whole run: less than half a message, so that no message hides in them."""


FEW_FAULTS = 2
"""Page faults per message that are other things' too; a message whose pages fault has 256."""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copies.build(tmp_path_factory.mktemp("counter"))


def counted(manner: Manner, counter: Path, scratch: Path) -> Found:
    return copies.count(rivals.named("shmzmq"), manner, counter, scratch)


def expect_copies(found: Found, sender: int, receiver: int) -> None:
    """So many copies of each message in the sender and each receiver; none in pieces, none by the kernel."""
    expected = [sender] + [receiver] * len(found.receivers)
    processes = [found.sender, *found.receivers]
    assert [one.large_calls for one in processes] == [times * COUNTED for times in expected]
    for one, times in zip(processes, expected, strict=True):
        assert abs(one.copied_bytes - times * COUNTED * SIZE) < STRAY_BYTES, (one, times)
        assert one.kernel_bytes < STRAY_BYTES, one


def expect_few_faults(found: Found) -> None:
    """Memory is used again: neither end's pages are new to it."""
    faults = [one.faults / COUNTED for one in (found.sender, *found.receivers)]
    assert max(faults) < FEW_FAULTS, faults


def test_native_module_leaves_memcpy_to_libc():
    """Otherwise the counter sees nothing: Rust's copies must be calls that the dynamic linker resolves."""
    spec = importlib.util.find_spec("shmzmq._native")
    assert spec is not None
    assert spec.origin is not None
    undefined = subprocess.run(
        ["nm", "-D", "--undefined-only", spec.origin], capture_output=True, text=True, check=True
    ).stdout
    assert "memcpy" in undefined


def test_plain_send_and_recv_copy_once_in_and_once_out(counter, tmp_path):
    expect_copies(counted(copies.PLAIN, counter, tmp_path), sender=1, receiver=1)


@pytest.mark.parametrize("way", ["tcp", "ipc without rings"])
def test_frames_over_a_stream_cross_without_a_copy_of_our_own(counter, tmp_path, monkeypatch, way):
    """The kernel takes all from the sender's memory and puts it into the frame, but for what one read
    brought together with the frame's header. Into a ring's arena the sender would copy once."""
    if way != "tcp":
        monkeypatch.setenv("SHMZMQ_IPC", "zmtp")
    rival = rivals.named("shmzmq-tcp" if way == "tcp" else "shmzmq")
    found = copies.count(rival, copies.FRAMES, counter, tmp_path)
    for one in (found.sender, *found.receivers):
        assert one.large_calls == 0
        assert one.copied_bytes < COUNTED * SIZE // 32, one


def test_recv_into_copies_straight_into_the_given_memory(counter, tmp_path):
    expect_copies(counted(copies.INTO, counter, tmp_path), sender=1, receiver=1)


needs_numpy = pytest.mark.skipif(
    importlib.util.find_spec("numpy") is None, reason="numpy is not installed; the children send its arrays"
)


def test_frame_is_received_without_a_copy(counter, tmp_path):
    found = counted(copies.FRAMES, counter, tmp_path)
    expect_copies(found, sender=1, receiver=0)
    expect_few_faults(found)


def test_lent_memory_is_sent_and_received_without_a_copy(counter, tmp_path):
    found = counted(copies.ZERO, counter, tmp_path)
    expect_copies(found, sender=0, receiver=0)
    expect_few_faults(found)


def test_publisher_copies_once_for_eight_subscribers_that_copy_nothing(counter, tmp_path):
    found = counted(copies.PUBLISHED, counter, tmp_path)
    expect_copies(found, sender=1, receiver=0)
    expect_few_faults(found)


@needs_numpy
def test_array_is_copied_once_in_and_never_out(counter, tmp_path):
    expect_copies(counted(copies.ARRAY, counter, tmp_path), sender=1, receiver=0)


@needs_numpy
def test_strided_array_is_gathered_by_numpy_and_copied_no_more(counter, tmp_path):
    """numpy gathers in a loop of its own, which is no memcpy: a copy beyond it would show."""
    expect_copies(counted(copies.STRIDED, counter, tmp_path), sender=0, receiver=0)


# --- from one transport to another -------------------------------------------------------------------------


def by_proxy(zmq, pull, push):
    zmq.proxy(pull, push)


def by_frames(zmq, pull, push):
    while True:
        push.send(pull.recv(copy=False), copy=False)


def by_bytes(zmq, pull, push):
    while True:
        push.send(pull.recv())


RELAYS = {"proxy": by_proxy, "frames": by_frames, "bytes": by_bytes}


def relay(zmq, link, front, back, how):
    """Move messages from one endpoint to another in a thread; say what was copied so far whenever asked."""

    def move():
        try:
            RELAYS[how](zmq, pull, push)
        except zmq.ZMQError as error:
            ends.append(error.errno)

    ends = []
    with zmq.Context() as context:
        pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        pull.bind(front)
        push.connect(back)
        mover = threading.Thread(target=move)
        mover.start()
        while link.hear(2 * CAP) != "stop":
            link.tell(tuple(Counts.now()))
        pull.close()
        mover.join(CAP)
        push.close()
    return ends


@pytest.mark.parametrize(
    ("how", "scheme", "times"),
    [
        ("proxy", "tcp", 0),
        ("frames", "tcp", 0),
        ("bytes", "tcp", 1),  # that the counter sees it
        ("proxy", "ipc", 1),  # into the arena of the one in the middle, whom its receivers have to outlive
    ],
)
def test_large_message_from_ipc_is_not_copied_on_its_way_to_tcp(
    zmq, sockets, ipc, new_endpoint, run_child, counter, monkeypatch, how, scheme, times
):
    source, target = sockets(zmq.PUSH, sndtimeo=2 * CAP_MS), sockets(zmq.PULL, rcvtimeo=2 * CAP_MS)
    back = new_endpoint(scheme)
    target.bind(back)
    monkeypatch.setenv("LD_PRELOAD", str(counter))
    monkeypatch.setenv("SHMZMQ_COPY", "libc")
    middle = run_child(relay, ipc, back, how)
    source.connect(ipc)
    message = bytes(range(256)) * (SIZE // 256)

    def carry(batches):
        for _ in range(batches):
            for _ in range(BATCH):
                source.send(message)
            for _ in range(BATCH):
                assert target.recv(copy=False).bytes == message

    def counts():
        middle.tell("how many?")
        return Counts(*middle.hear(2 * CAP))

    carry(copies.WARM_BATCHES)
    before = counts()
    carry(copies.BATCHES)
    found = counts() - before
    middle.tell("stop")
    middle.result(2 * CAP)
    assert found.large_calls == times * COUNTED
    assert abs(found.copied_bytes - times * COUNTED * SIZE) < STRAY_BYTES, found


# --- within a process --------------------------------------------------------------------------------------


def send_on(one, other, message):
    one[0].send(message, copy=False)
    other[0].send(one[1].recv(copy=False), copy=False)
    return other[1].recv()


WITHIN = {
    "bytes": lambda one, _other, message: (one[0].send(message), one[1].recv()),
    "frame": lambda one, _other, message: (one[0].send(message, copy=False), one[1].recv(copy=False)),
    "frame that is sent on": send_on,
    "frame that is looked into": lambda one, _other, message: (
        one[0].send(message),
        memoryview(one[1].recv(copy=False))[0],
    ),
    "bytearray": lambda one, _other, message: (one[0].send(bytearray(message)), one[1].recv(copy=False)),
}


def hand_over(zmq, link, how):
    """What this process copies while it sends messages to itself."""
    message = bytes(range(256)) * (SIZE // 256)
    with zmq.Context() as context:
        pairs = []
        for name in ("inproc://one", "inproc://other"):
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            pull.bind(name)
            push.connect(name)
            pairs.append((push, pull))
        before = Counts.now()
        for _ in range(BATCH):
            WITHIN[how](*pairs, message)
        found = Counts.now() - before
        context.destroy()
    return tuple(found)


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ("bytes", 0),
        ("frame", 0),
        ("frame that is sent on", 0),
        ("frame that is looked into", 1),  # a view may be written through, and the sender has it too
        ("bytearray", 2),  # one of them the test's own
    ],
)
def test_bytes_are_not_copied_within_a_process(run_child, counter, monkeypatch, how, times):
    monkeypatch.setenv("LD_PRELOAD", str(counter))
    monkeypatch.setenv("SHMZMQ_COPY", "libc")
    found = Counts(*run_child(hand_over, how).result(2 * CAP))
    assert found.large_calls == times * BATCH
    assert abs(found.copied_bytes - times * BATCH * SIZE) < STRAY_BYTES, found
