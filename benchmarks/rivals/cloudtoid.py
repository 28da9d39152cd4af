"""cloudtoid-interprocess: a byte ring in a mapped file, a named semaphore to wake the receiver."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import End, insist


class Cloudtoid(bench.Rival):
    name = "cloudtoid"
    module = "cloudtoid_interprocess"
    distribution = "cloudtoid-interprocess"
    kinds = frozenset({"oneway", "many", "roundtrip"})

    def wire(self, scratch: Path, size: int) -> Any:
        # The queue's name is also a semaphore's name, which is global; the folder's random name is not taken.
        room = max(1 << 20, 4 * (size + 64))
        return {"folder": str(scratch), "name": scratch.name.replace("_", ""), "room": (room + 7) // 8 * 8}

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        from cloudtoid_interprocess import Publisher, Subscriber

        out, back = ("a", "b") if role in {"push", "ping"} else ("b", "a")
        folder, room = wiring["folder"], wiring["room"]
        publisher = Publisher(wiring["name"] + out, room, folder)
        subscriber = Subscriber(wiring["name"] + back, room, folder)

        def send_many(messages: list[bytes]) -> None:
            while messages:
                messages = messages[publisher.try_send_batch(messages) :]

        def close() -> None:
            publisher.close()
            subscriber.close()

        return End(
            partial(insist, publisher.try_send, os.sched_yield),
            subscriber.receive,
            close,
            try_send=publisher.try_send,
            send_many=send_many,
            recv_many=_one_by_one(subscriber),
        )


def _one_by_one(subscriber: Any) -> Any:
    """It sends batches but receives single messages: take what is there."""

    def recv_many(limit: int) -> list[bytes]:
        first = subscriber.receive()
        taken = [first]
        for _ in range(limit - 1):
            message = subscriber.try_receive()
            if message is None:
                break
            taken.append(message)
        return taken

    return recv_many


RIVALS = [Cloudtoid()]
