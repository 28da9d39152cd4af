"""asyncio: `await send()` to `await recv()` in two processes, and a ticker beside a ROUTER that is flooded.

Children are this file run as a program, so that no loop of the harness is in them. `stream`: one future
awaited per message at both ends, the clock at the receiver, after WARM messages. `ticker`: a coroutine is due
every TICK_S while another awaits what CLIENTS clients send as fast as they can; how late it comes is what a
heartbeat or a timeout of such a server would be late.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.harness import Run, in_turns
from benchmarks.stats import Key

ROOT = Path(__file__).parents[1]
SIZE = 32
WARM = 2000
TICK_S = 0.010
CLIENTS = 100
WHERE = "free"
STREAM, CPU, LATE, SERVED = (
    "messages per second",
    "CPU us per message, both ends",
    "p99 late ms",
    "served per second",
)
FAIR = ("shmzmq", "pyzmq-ipc")
TAKING_PART = (*FAIR, "pyomq-ipc")


def awaits(run: Run) -> None:
    """Both measurements, for the libraries that have an asyncio module with pyzmq's names."""
    here = [rival for rival in run.plan.rivals if rival.name in TAKING_PART]
    in_turns(run, here, partial(_stream, run), "asyncio stream", lambda rival: key(rival.name, STREAM))
    fair = [rival for rival in here if rival.name in FAIR]
    in_turns(run, fair, partial(_ticker, run), "asyncio ticker", lambda rival: key(rival.name, LATE))


def key(name: str, what: str) -> Key:
    return Key("asyncio", what, SIZE, WHERE, name)


def _stream(run: Run, rival: Any) -> None:
    count = max(10_000, int(run.plan.sample_seconds * 100_000))
    got, sent = _together(run, rival, ("receive", count), ("send", count))
    run.results.add(key(rival.name, STREAM), "msg/s", count / got["seconds"])
    run.results.add(key(rival.name, CPU), "us", (got["cpu"] + sent["cpu"]) / count * 1e6)


def _ticker(run: Run, rival: Any) -> None:
    seconds = max(2.0, 10 * run.plan.sample_seconds)
    (served,) = _together(run, rival, ("serve", seconds), beside="flood")
    run.results.add(key(rival.name, LATE), "ms", bench.quantile(sorted(served["late"]), 0.99) * 1e3)
    run.results.add(key(rival.name, SERVED), "msg/s", served["served"] / seconds)


def _together(run: Run, rival: Any, *parts: tuple[str, float], beside: str = "") -> list[dict[str, Any]]:
    """Run the parts, each a process, on one endpoint; what they print. `beside` runs until they end."""
    endpoint = f"ipc://{tempfile.mkdtemp(dir='/tmp', prefix='b')}/s"
    command = [sys.executable, "-m", "benchmarks.awaits", rival.module, endpoint]
    orders = [*parts, *([(beside, 60.0)] if beside else [])]
    children = [
        subprocess.Popen([*command, part, str(argument)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for part, argument in orders
    ]
    asked = children[: len(parts)]
    try:
        said = [child.communicate(timeout=run.plan.cap + 10)[0] for child in asked]
    except subprocess.TimeoutExpired:
        others = ": no other task has run" if beside else ""
        raise bench.BenchError(f"no end in time{others}") from None
    finally:
        for child in children:
            child.kill()
            child.communicate()
        path = Path(endpoint.removeprefix("ipc://"))
        path.unlink(missing_ok=True)
        path.parent.rmdir()
    if any(child.returncode for child in asked):
        raise bench.BenchError("a child failed")
    return [json.loads(text) for text in said]


# --- in the children ---------------------------------------------------------------------------------------


async def receive(zmq: Any, endpoint: str, count: float) -> dict[str, Any]:
    socket = zmq.asyncio.Context.instance().socket(zmq.PULL)
    socket.bind(endpoint)
    recv = socket.recv
    for _ in range(WARM):
        await recv()
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(int(count)):
        await recv()
    told = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    socket.close(linger=0)
    return told


async def send(zmq: Any, endpoint: str, count: float) -> dict[str, Any]:
    socket = zmq.asyncio.Context.instance().socket(zmq.PUSH)
    socket.connect(endpoint)
    send, message = socket.send, bytes(SIZE)
    for _ in range(WARM):
        await send(message)
    cpu = time.process_time()
    for _ in range(int(count)):
        await send(message)
    told = {"cpu": time.process_time() - cpu}
    await asyncio.sleep(0.3)
    socket.close()
    return told


async def serve(zmq: Any, endpoint: str, seconds: float) -> dict[str, Any]:
    socket = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
    socket.bind(endpoint)
    served = 0

    async def answer_nobody() -> None:
        nonlocal served
        while True:
            await socket.recv_multipart()
            served += 1

    await socket.recv_multipart()  # they have come
    serving = asyncio.create_task(answer_nobody())
    late, served, clock = [], 0, time.perf_counter
    due = clock() + TICK_S
    end = clock() + seconds
    while due < end:
        await asyncio.sleep(max(0.0, due - clock()))
        late.append(clock() - due)
        due = max(due, clock()) + TICK_S
    told = {"late": late, "served": served}
    serving.cancel()
    await asyncio.wait([serving])
    socket.close(linger=0)
    return told


async def flood(zmq: Any, endpoint: str, seconds: float) -> dict[str, Any]:
    context = zmq.Context.instance()
    sockets = [context.socket(zmq.DEALER) for _ in range(CLIENTS)]
    for socket in sockets:
        socket.connect(endpoint)
    message, end = bytes(SIZE), time.perf_counter() + seconds
    while time.perf_counter() < end:
        sent = 0
        for socket in sockets:
            try:
                socket.send(message, zmq.DONTWAIT)
                sent += 1
            except zmq.Again:
                continue
        if not sent:
            time.sleep(0.001)
    for socket in sockets:
        socket.close(linger=0)
    return {}


def main() -> None:
    module, endpoint, part, argument = sys.argv[1:]
    zmq = importlib.import_module(module)
    importlib.import_module(f"{module}.asyncio")
    print(json.dumps(asyncio.run(globals()[part](zmq, endpoint, float(argument)))), flush=True)
    os._exit(0)  # what a library does at exit is not measured


if __name__ == "__main__":
    main()
