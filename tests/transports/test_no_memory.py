"""Memory that the system has promised and does not give: an error of the sender's, and no signal later.

The pages of a block are taken before it is used (`segment::populate`), and those of rings where the
administrator has memory counted (`policy`). Here the kernel refuses that, as it does where tmpfs finds no
page (madvise(2): EFAULT), and as kernels before 5.14 do, which know no such advice (EINVAL) and are asked by
fallocate(2).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kernel import MADVISE_AND_FALLOCATE, own_file, refuse_memory
from kit import CAP_MS, marry

MIB = 1 << 20

REFUSALS = {
    "no page": {"populate": errno.EFAULT},
    "no page, old kernel": {"populate": errno.EINVAL, "fallocate": errno.ENOSPC},
}

pytestmark = [
    pytest.mark.shmzmq_only("pyzmq has no shared memory"),
    pytest.mark.skipif(
        os.uname().machine not in MADVISE_AND_FALLOCATE, reason="system call numbers of other machines"
    ),
]


def body(number: int, size: int = MIB) -> bytes:
    return b"%04d" % number + os.urandom(64) + bytes([number]) * (size - 68)


def connected(zmq, context, endpoint, kinds):
    near, far = (context.socket(kind) for kind in kinds)
    far.bind(endpoint)
    near.connect(endpoint)
    marry(near, far)
    assert [peer["transport"] for peer in near.peers()] == ["ring"]
    return near, far


def refused(zmq, call):
    """What a call says that found no memory."""
    try:
        call()
    except MemoryError as error:
        return isinstance(error, zmq.ZMQError), error.errno, str(error)
    return "it found memory"


def send_without_memory(zmq, link, endpoint, refusal):
    with zmq.Context() as context:
        push, pull = connected(zmq, context, endpoint, (zmq.PUSH, zmq.PULL))
        first, second = body(1, 100), body(2)
        push.send(first)
        refuse_memory(**refusal)
        found = [
            refused(zmq, lambda: push.send(second)),
            refused(zmq, lambda: push.send_multipart([first, second])),
            refused(zmq, lambda: push.alloc(MIB)),
        ]
        push.send(first)
        return found, [pull.recv() == first for _ in range(2)], pull.poll(0), push.stats()["arena_lent"]


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_send_that_finds_no_memory_says_so_and_small_messages_go_on(ipc, run_child, refusal):
    found, small, left, lent = run_child(send_without_memory, ipc, refusal).result()
    assert [(is_zmq_error, number) for is_zmq_error, number, _ in found] == [(True, errno.ENOMEM)] * 3
    assert all("1048576" in text for _, _, text in found), found
    assert (small, left, lent) == ([True, True], 0, 0)


def send_with_one_block(zmq, link, endpoint, refusal):
    with zmq.Context() as context:
        push, pull = connected(zmq, context, endpoint, (zmq.PUSH, zmq.PULL))
        bodies = [body(number) for number in range(4)]
        push.send(bodies[0])
        refuse_memory(**refusal)
        whole = []
        for number in range(1, 4):
            try:
                push.send(bodies[number], zmq.DONTWAIT)
            except zmq.Again:
                whole.append(pull.recv() == bodies[number - 1])
                push.send(bodies[number])  # waits until the block is back
        whole.append(pull.recv() == bodies[3])
        return whole


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_send_waits_for_a_block_that_is_under_way_where_there_is_memory_for_no_other(ipc, run_child, refusal):
    assert run_child(send_with_one_block, ipc, refusal).result() == [True] * 4


def send_on_old_kernel(zmq, link, endpoint):
    with zmq.Context() as context:
        push, pull = connected(zmq, context, endpoint, (zmq.PUSH, zmq.PULL))
        refuse_memory(populate=errno.EINVAL)
        bodies = [body(number) for number in range(3)]
        for each in bodies:
            push.send(each)
        return [pull.recv() == each for each in bodies]


def test_kernel_without_the_advice_is_asked_by_fallocate(ipc, run_child):
    assert run_child(send_on_old_kernel, ipc).result() == [True] * 3


# --- where each page is counted -----------------------------------------------------------------------------


def ring_pages() -> tuple[int, int]:
    """KiB of the rings of this process: those that their maker has pages for, and all."""
    found = [(0, 0)]
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if "/memfd:shmzmq-pipe" in line:
            most = int(next(lines).split()[1])  # Size
            found.append((next(int(line.split()[1]) for line in lines if line.startswith("Rss:")), most))
    return max(found)  # the other mapping is the peer's, who touches less


def connect_where_memory_is_counted(zmq, link, endpoint, said, refusal):
    if said:
        own_file(said, "/proc/sys/vm/overcommit_memory")
    refuse_memory(**refusal)
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        pull.bind(endpoint)
        push.connect(endpoint)
        push.send(b"whatever")
        assert pull.poll(CAP_MS)
        (peer,) = push.peers()
        return pull.recv(), peer["transport"], peer["reason"], ring_pages()


@pytest.fixture
def counted(tmp_path):
    """A path with the word of an administrator who has memory counted."""
    if os.geteuid() != 0:
        pytest.skip("mounts a file, which takes root")
    said = tmp_path / "overcommit_memory"
    said.write_text("2\n")
    return str(said)


def test_pages_of_a_ring_come_with_their_first_touch(ipc, run_child):
    message, transport, _, (there, most) = run_child(connect_where_memory_is_counted, ipc, "", {}).result()
    assert (message, transport) == (b"whatever", "ring")
    assert there < most / 4


def test_pages_of_a_ring_are_all_there_at_once_where_each_is_counted(ipc, run_child, counted):
    """A touch that finds the system's limit reached would be a SIGBUS."""
    message, transport, _, (there, most) = run_child(
        connect_where_memory_is_counted, ipc, counted, {}
    ).result()
    assert (message, transport) == (b"whatever", "ring")
    assert there == most > 0


def test_connection_goes_on_without_rings_where_there_is_no_memory_for_them(ipc, run_child, counted):
    refusal = {"populate": errno.EFAULT, "least": 100_000}  # not of the words by which a socket is woken
    message, transport, reason, (there, most) = run_child(
        connect_where_memory_is_counted, ipc, counted, refusal
    ).result()
    assert (message, transport, there, most) == (b"whatever", "zmtp", 0, 0)
    assert "populate" in reason.lower(), reason
