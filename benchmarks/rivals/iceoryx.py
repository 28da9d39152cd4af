"""iceoryx2: loans in shared memory; its subscriber polls, so its users spin. Bytes are copied in and out."""

import ctypes
import os
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
        send, receive = partial(_send, publisher), partial(_receive, subscriber)

        def close() -> None:
            publisher.delete()
            subscriber.delete()
            keep.clear()

        return End(
            partial(insist, send, os.sched_yield),
            partial(blocking, receive, os.sched_yield),
            close,
            try_send=send,
            try_recv=receive,
        )


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


RIVALS = [Iceoryx()]
