"""Cancelling in asyncio: no message is lost, none is halved, none comes twice.

What     20 000 receives and 5 000 sends that are cancelled at random points: by `wait_for`, `timeout`,
         `Task.cancel`, `Future.cancel`, before and after the message has come.
Why      a future may be done when the task that awaits it is cancelled: nobody sees the message then.
Config   SHMZMQ_STRESS_CANCELS (20 000), SHMZMQ_SEED (printed).
Failure  a number that is missing, doubled, or a message with the wrong number of frames.
"""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from kit import CAP

CANCELS = int(os.environ.get("SHMZMQ_STRESS_CANCELS", "20000"))
SEED = int(os.environ.get("SHMZMQ_SEED", str(time.time_ns() % 1_000_000)))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shmzmq_only("pyzmq: cancelling may drop a message (pyzmq#1938)"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def aio(zmq):
    """The asyncio module."""
    import shmzmq.asyncio

    return shmzmq.asyncio


class Receiver:
    """Receives by calls that are cancelled at random, until it is stopped."""

    stopped = False  # and not cancelled: `wait_for` of Python 3.11 may lose that

    def __init__(self, chance, socket):
        self.chance, self.socket = chance, socket
        self.got, self.cancelled = [], 0

    async def by_wait_for(self):
        message = await asyncio.wait_for(self.socket.recv_multipart(), self.pause())
        self.got.append(message)

    async def by_timeout(self):
        async with asyncio.timeout(self.pause()):
            message = await self.socket.recv_multipart()
        self.got.append(message)

    async def by_task(self):
        async def take():
            self.got.append(await self.socket.recv_multipart())

        task = asyncio.create_task(take())
        await self.wait_a_little()
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            raise TimeoutError

    async def by_future(self):
        future = self.socket.recv_multipart()
        await self.wait_a_little()
        if future.cancel():
            raise TimeoutError
        self.got.append(future.result())

    def pause(self):
        return self.chance.choice((0.0, 1e-5, 1e-4, 3e-4)) * self.chance.random()

    async def wait_a_little(self):
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0 if self.chance.random() < 0.9 else 1e-5)

    async def work(self):
        ways = (self.by_wait_for, self.by_timeout, self.by_task, self.by_future)
        while not self.stopped:
            try:
                await self.chance.choice(ways)()
            except TimeoutError:
                self.cancelled += 1


@pytest.mark.parametrize("receivers", [1, 3])
def test_no_message_is_lost_by_cancelled_receives(zmq, aio, new_context, ipc, receivers):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    context = aio.Context(new_context())
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    wanted = CANCELS
    crowd = [Receiver(random.Random(chance.random()), pull) for _ in range(receivers)]

    async def send():
        number = 0
        while sum(one.cancelled for one in crowd) < wanted:
            for _ in range(chance.randrange(1, 4)):
                await push.send_multipart([b"%d" % number, b"rest", b"end"])
                number += 1
            await asyncio.sleep(0 if chance.random() < 0.7 else 1e-4)
        return number

    async def main():
        tasks = [asyncio.create_task(one.work()) for one in crowd]
        sent = await asyncio.wait_for(send(), 20 * CAP)
        for one in crowd:
            one.stopped = True
        while any(not task.done() for task in tasks):
            await push.send_multipart([b"%d" % sent, b"rest", b"end"])  # for those who wait without a limit
            sent += 1
            await asyncio.wait(tasks, timeout=0.01)
        got = [message for one in crowd for message in one.got]
        while len(got) < sent:
            got.append(await asyncio.wait_for(pull.recv_multipart(), CAP))
        return sent, got

    try:
        sent, got = asyncio.run(main())
        assert all(message[1:] == [b"rest", b"end"] for message in got)
        assert sorted(int(message[0]) for message in got) == list(range(sent)), f"seed {SEED}"
        print(f"{sent} messages, {sum(one.cancelled for one in crowd)} receives cancelled")
    finally:
        push.close(linger=0)
        pull.close(linger=0)


def test_cancelled_sends_go_whole_or_not_at_all(zmq, aio, new_context, ipc):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    context = aio.Context(new_context())
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    push.sndhwm = pull.rcvhwm = 2
    pull.bind(ipc)
    push.connect(ipc)
    sure, perhaps = [], []
    body = bytes(5000)

    async def send():
        cancelled = number = 0
        while cancelled < CANCELS // 4:
            future = push.send_multipart([b"%d" % number, body, b"end"])
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if future.cancel():
                cancelled += 1
                perhaps.append(number)
            else:
                future.result()
                sure.append(number)
            number += 1
            if not number % 50:
                await asyncio.sleep(0)
        await push.send_multipart([b"-1", body, b"end"])
        return number

    async def receive():
        got = []
        while True:
            message = await pull.recv_multipart()
            assert len(message) == 3
            assert message[1:] == [body, b"end"]
            if message[0] == b"-1":
                return got
            got.append(int(message[0]))
            if chance.random() < 0.5:
                await asyncio.sleep(0)

    async def main():
        return await asyncio.wait_for(asyncio.gather(send(), receive()), 20 * CAP)

    try:
        _, got = asyncio.run(main())
        assert got == sorted(set(got)), f"seed {SEED}"
        assert set(sure) <= set(got), f"seed {SEED}"
        assert set(got) <= set(sure) | set(perhaps)
    finally:
        push.close(linger=0)
        pull.close(linger=0)
