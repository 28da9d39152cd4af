"""What the children of `copies` do: send or receive in one form, and read their own counters."""

import ctypes
import resource
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.core import bench


class Counts(NamedTuple):
    """Of this process, all threads, since it began; the first four by copycount.c."""

    large_calls: int  # copies of 64 KiB and more
    large_bytes: int
    copied_bytes: int  # by copies of 4 KiB and more: a message copied in pieces is copied too
    kernel_bytes: int  # moved by read, write, send, recv and their kin
    faults: int  # pages that the kernel had to map, fill or copy first

    @classmethod
    def now(cls) -> "Counts":
        library = ctypes.CDLL(None)
        if not hasattr(library, "copycount_read"):
            raise bench.BenchError("the copy counter was not preloaded")
        told = (ctypes.c_uint64 * 4)()
        library.copycount_read(told)
        return cls(*told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    def __sub__(self, earlier: "Counts") -> "Counts":
        return Counts(*(late - early for late, early in zip(self, earlier, strict=True)))


def sender(socket: Any, form: str, size: int) -> Callable[[], Any]:
    """A call that sends one message of `size` bytes in that form."""
    if form == "alloc":
        alloc, post = socket.alloc, socket.send
        return lambda: post(alloc(size))
    if form in {"array", "strided array"}:
        return _array_sender(socket, size, strided=form.startswith("strided"))
    message = bench.make_message(0, size)
    if form == "copy=False":
        return lambda: socket.send(message, copy=False)
    return lambda: socket.send(message)


def _array_sender(socket: Any, size: int, *, strided: bool) -> Callable[[], Any]:
    import numpy

    rows = size // 8192
    whole = numpy.arange(rows * 2048, dtype=numpy.float64).reshape(rows, 2048)
    array = whole[:, ::2] if strided else numpy.ascontiguousarray(whole[:, :1024])
    return lambda: socket.send_array(array)


def receiver(socket: Any, form: str, size: int) -> Callable[[], Any]:
    """A call that receives one message in that form and lets go of it."""
    if form == "into":
        room = bytearray(size)
        return lambda: socket.recv_into(room)
    if form == "array":
        return lambda: socket.recv_array(copy=False)
    if form == "copy=False":
        return lambda: socket.recv(copy=False)
    recv: Callable[[], Any] = socket.recv
    return recv
