"""Measures how soon both ends notice a partition: `PYTHONPATH=tests python
tests/interop/detection.py [CYCLES [MODULE]]`, as root.

A DEALER here (shmzmq) connected to one there (MODULE: shmzmq or zmq) on a cable between two network
namespaces, small messages both ways, HEARTBEAT_IVL 200 ms, HEARTBEAT_TIMEOUT 500 ms. Each cycle waits until
messages flow, lets the cable swallow everything at another point of the heartbeat's interval, and takes the
time of each end's DISCONNECTED from then; then the cable is mended. The first PING without an answer leaves
just before the partition at the earliest, an interval after it at the latest: so an end should notice between
500 and 700 ms. Prints milliseconds: least, median, most, by end; and what was lost with the connections.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import time

import network as cable
import test_partitions as scene


def measure(cycles: int, module: str) -> None:
    net = cable.Network()
    here, there = cable.Host(net, 0, "shmzmq"), cable.Host(net, 1, module)
    try:
        couple = scene.Couple(here, there, **scene.HEARTBEATS)
        taken: tuple[list[float], list[float]] = ([], [])
        for _cycle in range(cycles):
            time.sleep(random.uniform(0.4, 0.8))  # another point of the interval each time
            before = time.monotonic()
            net.blackhole()
            cut = (before + time.monotonic()) / 2
            for times, watch in zip(taken, couple.watches, strict=True):
                times.append(1000 * (watch.wait("DISCONNECTED", since=before)[0] - cut))
            net.clear()
            couple.married(since=before)
            couple.expect_traffic()
        sent = [pump() for pump in couple.pumps]
        couple.expect_order()
        for name, times in zip(("shmzmq", module), taken, strict=True):
            print(f"{name}: {min(times):.0f} {statistics.median(times):.0f} {max(times):.0f} ms")
        for heard, name, count in zip(couple.heard, (b"there", b"here"), reversed(sent), strict=True):
            numbers = heard()[name]
            assert all(one < other for one, other in itertools.pairwise(numbers))
            print(f"from {name.decode()}: {count} sent, {count - len(numbers)} lost, none twice, in order")
    finally:
        here.end()
        there.end()
        net.end()


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2] if len(sys.argv) > 2 else "shmzmq")
