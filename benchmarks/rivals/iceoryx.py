"""iceoryx2: loans in shared memory; its subscriber polls, so its users spin.

Bytes are copied in and out, or not at all: `iceoryx2-loans` writes into the loan and reads from it.
"""

import ctypes
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import End, blocking, insist


class Iceoryx(bench.Rival):
    name = "iceoryx2"
    module = "iceoryx2"

    def wire(self, scratch: Path, size: int) -> Any:
        # Services have global names; the folder's random name keeps them unique.
        return {"name": scratch.name, "size": size}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        import iceoryx2 as iox2

        iox2.set_log_level(iox2.LogLevel.Error)
        node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        near = role in {"push", "ping"}
        out, back = ("there", "back") if near else ("back", "there")
        depth = 64 if wiring["size"] <= 65536 else 4

        def service(direction: str) -> Any:
            builder = node.service_builder(iox2.ServiceName.new(f"{wiring['name']}/{direction}"))
            typed = builder.publish_subscribe(iox2.Slice[ctypes.c_uint8])
            return typed.enable_safe_overflow(False).subscriber_max_buffer_size(depth).open_or_create()

        publisher = (
            service(out)
            .publisher_builder()
            .initial_max_slice_len(wiring["size"])
            .backpressure_strategy(iox2.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )
        subscriber = service(back).subscriber_builder().create()
        keep = [node]  # a node that goes takes its files with it
        send, receive = self.calls(publisher, subscriber)

        def close() -> None:
            self.let_go()
            publisher.delete()
            subscriber.delete()
            keep.clear()

        return End(
            partial(insist, send, os.sched_yield),
            partial(blocking, receive, os.sched_yield),
            close,
            try_send=send,
            try_recv=receive,
            **self.loans(publisher),
        )

    def calls(self, publisher: Any, subscriber: Any) -> tuple[Any, Any]:
        return partial(_send, publisher), partial(_receive, subscriber)

    def loans(self, publisher: Any) -> dict[str, Any]:
        return {}

    def let_go(self) -> None:
        """Give back what was received and is still held: its files stay as long as anything is."""


class Loans(Iceoryx):
    """Nothing is copied. What was received is valid until the next call, which gives it back."""

    name = "iceoryx2-loans"
    kinds = frozenset({"zero"})
    sizes = (1024, sys.maxsize)

    def __init__(self) -> None:
        self.held: list[Any] = []  # in the child that receives: the last sample

    def let_go(self) -> None:
        while self.held:
            self.held.pop().delete()

    def calls(self, publisher: Any, subscriber: Any) -> tuple[Any, Any]:
        def send(message: bytes) -> int:
            return _lend(publisher, len(message), message[: bench.HEAD.size])

        def receive() -> Any:
            sample = subscriber.receive()
            if sample is None:
                return None
            self.let_go()
            self.held.append(sample)
            return _view(sample.payload_ptr, sample.header.number_of_elements)

        return send, receive

    def loans(self, publisher: Any) -> dict[str, Any]:
        def lend(size: int, head: bytes) -> None:
            while not _lend(publisher, size, head):
                os.sched_yield()

        return {"lend": lend, "show": partial(insist, partial(_send, publisher), os.sched_yield)}


def _lend(publisher: Any, size: int, head: bytes) -> int:
    loan = publisher.loan_slice_uninit(size)
    ctypes.memmove(loan.payload_ptr, head, len(head))
    return loan.assume_init().send()


def _view(pointer: int, size: int) -> memoryview:
    """Its own as_memory_view has a format that compares byte by byte."""
    return _memory_view(pointer, size, 0x100)


_memory_view = ctypes.pythonapi.PyMemoryView_FromMemory
_memory_view.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_memory_view.restype = ctypes.py_object


def _send(publisher: Any, message: bytes) -> int:
    """How many got it: none if the subscriber's buffer is full, strategy or not (seen in 0.10)."""
    loan = publisher.loan_slice_uninit(len(message))
    ctypes.memmove(loan.payload_ptr, message, len(message))
    return loan.assume_init().send()


def _receive(subscriber: Any) -> bytes | None:
    sample = subscriber.receive()
    if sample is None:
        return None
    message = ctypes.string_at(sample.payload_ptr, sample.header.number_of_elements)
    sample.delete()
    return message


RIVALS = [Iceoryx(), Loans()]
