"""Large frames lie in huge pages where the system gives them (docs/design/decisions/0017)."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import pytest

MIB = 1 << 20
HUGE = 2 * MIB
MADV_COLLAPSE = 25

pytestmark = pytest.mark.shmzmq_only("pyzmq has no shared memory and takes its memory as it comes")


def huge_mib(what: str) -> int:
    """Of this process: "AnonHugePages", or "ShmemPmdMapped" of shared memory."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(rollup.partition(f"{what}:")[2].split()[0]) // 1024


def gives_huge_pages() -> bool:
    """Asked without the library: whether memory that is asked for by name is made huge."""
    try:
        if "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
            return False
    except OSError:
        return False
    room = mmap.mmap(-1, 3 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    room[:] = b"x" * len(room)
    first = ctypes.c_char.from_buffer(room)
    at = -(-ctypes.addressof(first) // HUGE) * HUGE
    madvise = ctypes.CDLL(None).madvise
    return bool(madvise(ctypes.c_void_p(at), ctypes.c_size_t(HUGE), MADV_COLLAPSE) == 0)


def stream(zmq, link, endpoint, forbid):
    """What two processes' worth of one stream has in huge pages: bytes received, and blocks."""
    if forbid:
        thp_disable = 41  # prctl(2): no huge pages for this process
        assert ctypes.CDLL(None).prctl(thp_disable, 1, 0, 0, 0) == 0
    given = gives_huge_pages()
    before = huge_mib("ShmemPmdMapped")
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        push.connect(endpoint)
        # They live on, so that nothing is received into memory that was touched as theirs.
        bodies = [bytes([number]) * (40 * MIB) for number in range(3)]
        kept = []
        for body in bodies:
            push.send(body)
            kept.append(pull.recv())
        whole = kept == bodies
        return given, whole, huge_mib("ShmemPmdMapped") - before, huge_mib("AnonHugePages")


@pytest.mark.slow
@pytest.mark.parametrize("forbid", [False, True], ids=["as the system says", "forbidden"])
def test_bytes_and_blocks_of_large_frames_are_in_huge_pages_if_there_are_any(ipc, run_child, forbid):
    given, whole, blocks, received = run_child(stream, ipc, forbid).result()
    assert whole
    if forbid:
        assert (given, blocks, received) == (False, 0, 0)
    elif not given:
        pytest.skip("this system gives no huge pages by name")
    else:
        # Of each block and each bytes object all but the ends; both ends of the stream map the blocks.
        assert blocks >= 2 * 40
        assert received >= 3 * 36


def small_blocks(zmq, link, endpoint):
    given = gives_huge_pages()
    before = huge_mib("ShmemPmdMapped")
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.bind(endpoint)
        blocks = [push.alloc(MIB) for _ in range(6)]
        for number, block in enumerate(blocks):
            memoryview(block)[:] = bytes([number]) * MIB
        whole = all(bytes(block) == bytes([number]) * MIB for number, block in enumerate(blocks))
        return given, whole, huge_mib("ShmemPmdMapped") - before


@pytest.mark.slow
def test_blocks_of_1_mib_share_huge_pages_where_a_segment_has_several(ipc, run_child):
    """The first two segments have one block each, the next two have two."""
    given, whole, blocks = run_child(small_blocks, ipc).result()
    assert whole
    if not given:
        pytest.skip("this system gives no huge pages by name")
    assert blocks == 4


def in_heap(zmq, link, endpoint):
    """What is in huge pages of a receiver whose messages come and go in the C library's heap."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        push.connect(endpoint)
        for size in (31, 16, 8, 4, 31):
            for _ in range(3):
                push.send(bytes(size * MIB))
                assert len(pull.recv()) == size * MIB
        return huge_mib("AnonHugePages")


@pytest.mark.slow
def test_memory_of_the_heap_is_left_as_it_is(ipc, run_child):
    if "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
        pytest.skip("this system makes all memory huge that can be")
    assert run_child(in_heap, ipc).result() == 0
