"""The loops of `video`: who films and who watches. Runs in the children.

A frame begins with its number and the time of its sending, and ends with its number again.
"""

import math
import struct
import time
from collections.abc import Callable
from typing import Any

from benchmarks.core import bench

STAMP = struct.Struct("<QQ")  # number, nanoseconds of a clock that all processes share
TAIL = struct.Struct("<Q")
REEL = 32  # frames made beforehand; more than half a second of them, since a queue may still refer to them


def reel(shape: tuple[int, ...]) -> list[Any]:
    """Frames as a program has them: arrays, if numpy is there. All pages touched."""
    size = math.prod(shape)
    try:
        import numpy
    except ImportError:
        return [bytearray(bytes([number]) * size) for number in range(REEL)]
    return [numpy.full(shape, number, numpy.uint8) for number in range(REEL)]


def stamp(frame: Any, number: int, size: int) -> None:
    TAIL.pack_into(frame, size - TAIL.size, number)
    STAMP.pack_into(frame, 0, number, bench.perf())


def paced(count: int, per_second: int, shoot: Callable[[int], Any]) -> None:
    clock, due = time.perf_counter, time.perf_counter()
    for number in range(count):
        left = due - clock()
        if left > 0:
            time.sleep(left)
        shoot(number)
        due += 1 / per_second


def watch(recv: Callable[[], Any], count: int, size: int) -> list[int]:
    """Nanoseconds from send to receive of each frame; BrokenLibrary if one is not the next one, or torn."""
    trips = []
    for number in range(count):
        frame = recv()
        now = bench.perf()
        view = memoryview(frame)
        seen, sent = STAMP.unpack_from(view)
        if len(view) != size or (seen, *TAIL.unpack_from(view, size - TAIL.size)) != (number, number):
            raise bench.BrokenLibrary(f"expected frame {number}, got {seen} in {len(view)} bytes")
        trips.append(now - sent)
    return trips
