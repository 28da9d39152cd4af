"""Timed loops that `shmzmq bench` does not need: waiting inline, a slow receiver, batches, lent memory.

As in the shared loops, the last message of each round is checked, so that a message lost or repeated shows in
the round it happened in, and nothing else is done per message.
"""

import mmap
import os
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import BATCH

STRIDE = (
    8  # a slow receiver works after this many messages: one inner loop each would cost too much by itself
)


def pour_trying(try_send: Callable[[Any], Any], block: Sequence[bytes], rounds: int) -> None:
    rest = os.sched_yield
    for _ in repeat(None, rounds):
        for message in block:
            while not try_send(message):
                rest()


def drain_trying(try_recv: Callable[[], Any], block: Sequence[bytes], rounds: int) -> None:
    rest = os.sched_yield
    message = None
    for _ in repeat(None, rounds):
        for _ in repeat(None, len(block)):
            while (message := try_recv()) is None:
                rest()
        bench.check(message, block[-1])


def drain_slowly(recv: Callable[[], Any], block: Sequence[bytes], rounds: int, work: int) -> None:
    """`work` turns of an empty loop after every STRIDE messages; the block is a multiple of STRIDE."""
    turns, rest = divmod(len(block), STRIDE)
    if rest:
        raise bench.BenchError(f"a block of {len(block)} messages is no multiple of {STRIDE}")
    message = None
    for _ in repeat(None, rounds):
        for _ in repeat(None, turns):
            for _ in repeat(None, STRIDE):
                message = recv()
            for _ in repeat(None, work):
                pass
        bench.check(message, block[-1])


def pour_many(send_many: Callable[[list[bytes]], Any], block: list[bytes], rounds: int) -> None:
    for _ in repeat(None, rounds):
        send_many(block)


def drain_many(recv_many: Callable[[int], Sequence[Any]], block: Sequence[bytes], rounds: int) -> None:
    """In whatever batches the library returns; the last message of each batch is checked."""
    wanted, got, length = rounds * len(block), 0, len(block)
    while got < wanted:
        batch = recv_many(min(BATCH, wanted - got))
        if batch:
            got += len(batch)
            bench.check(batch[-1], block[(got - 1) % length])


def pour_unfilled(alloc: Callable[[int], Any], post: Callable[[Any], Any], size: int, count: int) -> None:
    for _ in repeat(None, count):
        post(alloc(size))


def pour_numbered(
    alloc: Callable[[int], Any],
    post: Callable[[Any], Any],
    size: int,
    heads: Sequence[bytes],
    rounds: int,
) -> None:
    """Each message gets a head and is otherwise what the memory held before."""
    length = bench.HEAD.size
    for _ in repeat(None, rounds):
        for head in heads:
            block = alloc(size)
            memoryview(block)[:length] = head
            post(block)


def pour_lent(lend: Callable[[int, bytes], Any], size: int, heads: Sequence[bytes], rounds: int) -> None:
    for _ in repeat(None, rounds):
        for head in heads:
            lend(size, head)


def let_go(recv: Callable[[], Any], count: int) -> None:
    """Receive and look at nothing."""
    for _ in repeat(None, count):
        recv()


def drain_reading(
    recv: Callable[[], Any], heads: Sequence[bytes], rounds: int, touch: Callable[[Any], Any]
) -> None:
    """Check every head, and let `touch` read the message."""
    length = bench.HEAD.size
    for _ in repeat(None, rounds):
        for head in heads:
            view = memoryview(recv())
            if view[:length] != head:
                seen = bench.HEAD.unpack_from(view)
                raise bench.BrokenLibrary(f"expected message {bench.HEAD.unpack(head)}, got {seen}")
            touch(view)


def toucher() -> Callable[[Any], Any]:
    """Reads one word of each page: by numpy if it is there, otherwise by memoryview, which takes longer."""
    step = mmap.PAGESIZE // 8
    try:
        import numpy
    except ImportError:
        return lambda view: sum(view.cast("Q")[::step])
    return lambda view: numpy.frombuffer(view, numpy.uint64)[::step].sum()


def there_and_back(
    send: Callable[[Any], Any], recv: Callable[[], Any], block: Sequence[bytes], rounds: int
) -> None:
    """One thread sends each message and receives it at once."""
    got = None
    for _ in repeat(None, rounds):
        for message in block:
            send(message)
            got = recv()
        bench.check(got, block[-1])


def echo_parts(end: Any) -> None:
    """bench.echo for an end whose messages are lists of frames, the message last: a ROUTER's."""
    send, recv = end.send, end.recv
    while True:
        announced = recv()
        count = bench.HEAD.unpack_from(announced[-1])[0]
        send(announced)
        if count == 0:
            return
        for _ in repeat(None, count):
            send(recv())


def pour_paced(send: Callable[[Any], Any], block: Sequence[bytes], rounds: int, gap: float) -> None:
    """One message every `gap` seconds: between two of them, whatever sleeps is asleep."""
    clock, sleep = time.perf_counter, time.sleep
    due = clock()
    for _ in repeat(None, rounds):
        for message in block:
            due += gap
            left = due - clock()
            if left > 0:
                sleep(left)
            send(message)


def serve(recv: Callable[[], Any], send: Callable[[Any], Any], count: int) -> None:
    for _ in repeat(None, count):
        send(recv())


def exchange(
    ends: Sequence[tuple[Callable[[Any], Any], Callable[[], Any]]], block: Sequence[bytes], rounds: int
) -> None:
    """One message out by every end, then one back to every end; the same number by all ends of a round."""
    length = len(block)
    for turn in range(rounds):
        message = block[turn % length]
        for send, _ in ends:
            send(message)
        for _, recv in ends:
            bench.check(recv(), message)
