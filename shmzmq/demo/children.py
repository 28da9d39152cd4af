"""The lives of the children: ventilator and worker, from hello to stop."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import shmzmq as zmq
from shmzmq.demo.messages import BATCHES_AHEAD, COUNTED, HELLO, SENT, STOP, endpoint
from shmzmq.demo.tally import Tally


def _die_with_parent() -> None:
    """End this process when the parent is gone: a parent killed by -9 could tell nobody to stop."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def ventilate(folder: str, name: str, batch_bytes: int) -> None:
    """Life of the ventilator: hello, go, every file in batches, sent, stop."""
    _die_with_parent()
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as orders,
        context.socket(zmq.PUSH) as tasks,
        context.socket(zmq.PUSH) as results,
    ):
        tasks.setsockopt(zmq.SNDHWM, BATCHES_AHEAD)
        tasks.bind(endpoint(folder, "tasks"))
        orders.connect(endpoint(folder, f"orders-{name}"))
        results.connect(endpoint(folder, "results"))
        results.send_multipart([HELLO, name.encode()])
        _, listing = orders.recv_multipart()
        files = [Path(os.fsdecode(path)) for path in listing.split(b"\0")]
        skipped, batches = Tally(), 0
        for batch in _batches(files, batch_bytes, skipped):
            tasks.send_multipart(batch)
            batches += 1
        results.send_multipart([SENT, b"%d" % batches, skipped.pack()])
        orders.recv()


def _batches(files: Sequence[Path], batch_bytes: int, skipped: Tally) -> Iterator[list[bytes]]:
    """Frames [name, bytes, name, bytes, ...]: whole files, and the last of them makes the batch full."""
    batch: list[bytes] = []
    size = 0
    for file in files:
        content = skipped.read_file(file)
        if content is None:
            continue
        batch += [os.fsencode(file), content]
        size += len(content)
        if size >= batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def work(folder: str, name: str) -> None:
    """Life of a worker: hello, counts for every batch, stop."""
    _die_with_parent()
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as tasks,
        context.socket(zmq.PUSH) as results,
    ):
        tasks.setsockopt(zmq.RCVHWM, BATCHES_AHEAD)
        # The ventilator may bind a moment after we connect; the default of 100 ms would show in the rate.
        tasks.setsockopt(zmq.RECONNECT_IVL, 10)
        tasks.connect(endpoint(folder, "tasks"))
        tasks.connect(endpoint(folder, f"orders-{name}"))
        results.connect(endpoint(folder, "results"))
        results.send_multipart([HELLO, name.encode()])
        while (batch := tasks.recv_multipart()) != [STOP]:
            tally = Tally()
            for content in batch[1::2]:
                tally.add_file(content)
            results.send_multipart([COUNTED, tally.pack()])
