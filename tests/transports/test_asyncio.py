"""asyncio over the FD: fairness, one wake for many messages, no leak, other loops.

What pyzmq's module does as well is in tests/spec/test_spec_asyncio.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import tracemalloc
from functools import partial

import pytest

import shmzmq as zmq
import shmzmq.asyncio as aio
from kit import CAP, CAP_MS

pytestmark = pytest.mark.shmzmq_only("is about the inside of ours")

TURN = 64
"""So many awaited messages, at most, between two rounds of the loop."""


@pytest.fixture
def flow(new_context, ipc):
    """Connected PUSH and PULL for one loop after the other."""
    context = aio.Context(new_context())
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    assert push._shadow_sock.poll(CAP_MS, zmq.POLLOUT)
    yield push, pull
    push.close(linger=0)
    pull.close(linger=0)


def go(main):
    """Run it with a cap."""
    return asyncio.run(asyncio.wait_for(main(), 4 * CAP))


# --- fairness ----------------------------------------------------------------------------------------------


async def longest_run(call, count):
    """How often `call` is awaited, at most, between two rounds of the loop, of `count` times in all."""
    loop = asyncio.get_running_loop()
    run = longest = 0
    going = True

    def tick():
        nonlocal run
        run = 0
        if going:
            loop.call_soon(tick)

    loop.call_soon(tick)
    for _ in range(count):
        await call()
        run += 1
        longest = max(longest, run)
    going = False
    await asyncio.sleep(0)
    return longest


def test_receiver_of_what_is_there_lets_the_loop_run(flow):
    push, pull = flow

    async def main():
        for _ in range(900):
            await push.send(b"message")
        return await longest_run(pull.recv, 900)

    assert go(main) <= TURN


def test_sender_whose_peer_takes_all_lets_the_loop_run(flow):
    push, _ = flow

    async def main():
        return await longest_run(lambda: push.send(b"message"), 900)

    assert go(main) <= TURN


def test_iteration_lets_the_loop_run(flow):
    push, pull = flow

    async def main():
        for _ in range(900):
            await push.send(b"message")
        return await longest_run(pull.__anext__, 900)

    assert go(main) <= TURN


@pytest.mark.parametrize("who", ["socket", "poller"])
def test_receiver_that_polls_first_lets_the_loop_run(flow, who):
    """`poll` finds something at once, and a receive that must not wait never waits for the loop."""
    push, pull = flow
    poller = aio.Poller()
    poller.register(pull, zmq.POLLIN)
    poll = {"socket": pull.poll, "poller": poller.poll}[who]

    async def main():
        for _ in range(900):
            await push.send(b"message")

        async def take():
            assert await poll(CAP_MS)
            await pull.recv(zmq.DONTWAIT)

        return await longest_run(take, 900)

    assert go(main) <= TURN


def test_sockets_of_a_loop_share_its_turn(flow, new_context, new_endpoint):
    """Received from one and sent on by another, in one coroutine."""
    push, pull = flow
    context = aio.Context(new_context())
    onward, end = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    endpoint = new_endpoint("ipc")
    end.bind(endpoint)
    onward.connect(endpoint)

    async def main():
        for _ in range(900):
            await push.send(b"message")

        async def move():
            await onward.send(await pull.recv())

        return await longest_run(move, 900)

    try:
        assert 2 * go(main) <= TURN + 2
    finally:
        onward.close(linger=0)
        end.close(linger=0)


@pytest.fixture
def second_flow(new_context, new_endpoint):
    context = aio.Context(new_context())
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    endpoint = new_endpoint("ipc")
    pull.bind(endpoint)
    push.connect(endpoint)
    yield push, pull
    push.close(linger=0)
    pull.close(linger=0)


def test_slow_handler_lets_the_loop_run_after_each_message(flow):
    """Time counts too."""
    push, pull = flow

    async def main():
        for _ in range(100):
            await push.send(b"message")

        async def handle():
            work_for(2e-3, await pull.recv())

        return await longest_run(handle, 100)

    assert go(main) == 1


def test_slow_handlers_of_two_sockets_let_the_loop_run_after_each_message(flow, second_flow):
    """The turn of one is not the time of the other."""

    async def main():
        for push, _ in (flow, second_flow):
            for _ in range(50):
                await push.send(b"message")

        async def handle(pull):
            work_for(2e-3, await pull.recv())

        return await asyncio.gather(
            *(longest_run(partial(handle, pull), 50) for _, pull in (flow, second_flow))
        )

    assert go(main) == [1, 1]


def test_slow_receivers_do_not_hold_up_a_sender(new_context, ipc):
    """Nor does what is received first use up what the senders of the same socket have of a turn."""
    context = aio.Context(new_context())
    pair, peer = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    pair.sndhwm = peer.rcvhwm = 2
    pair.bind(ipc)
    peer.connect(ipc)
    assert pair._shadow_sock.poll(CAP_MS, zmq.POLLOUT)
    messages = 90

    async def main():
        for _ in range(messages):
            await peer.send(b"message")
        filling = 0
        with contextlib.suppress(zmq.Again):
            while await pair.send(b"filling", zmq.DONTWAIT) is None:
                filling += 1
        sending = pair.send(b"last")
        received = 0

        async def receive():
            nonlocal received
            for _ in range(messages // 3):
                await pair.recv_serialized(partial(work_for, 2e-3))
                received += 1
                if received == 10:
                    for _ in range(filling):
                        await peer.recv()

        receiving = asyncio.gather(*(receive() for _ in range(3)))
        await sending
        assert 10 <= received < messages - 10
        await receiving

    try:
        go(main)
    finally:
        pair.close(linger=0)
        peer.close(linger=0)


def work_for(seconds, _):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_ticker_beside_a_flooded_router_runs_between_messages(new_context, ipc):
    context = aio.Context(new_context())
    router = context.socket(zmq.ROUTER)
    router.bind(ipc)
    dealers = [context.socket(zmq.DEALER) for _ in range(20)]
    for dealer in dealers:
        dealer.connect(ipc)

    async def main():
        for dealer in dealers:
            await dealer.send_many([b"flood"] * 500)
        return await longest_run(router.recv_multipart, 20 * 500)

    try:
        assert go(main) <= TURN
    finally:
        for socket in (router, *dealers):
            socket.close(linger=0)


# --- waking ------------------------------------------------------------------------------------------------


def test_one_wake_serves_many_futures(flow):
    push, pull = flow
    plain = zmq.Socket.shadow(push)

    async def main():
        await push.send(b"first")
        await pull.recv()
        served = 0
        real = pull._waits.serve

        def counted():
            nonlocal served
            served += 1
            real()

        futures = [pull.recv() for _ in range(50)]
        await asyncio.sleep(0.01)  # whatever the first future scheduled has run
        pull._waits._stop_reading()
        pull._waits.serve = counted
        pull._waits._read()
        plain.send_many([b"%d" % number for number in range(50)])
        got = await asyncio.gather(*futures)
        assert got == [b"%d" % number for number in range(50)]
        del pull._waits.serve
        return served

    assert go(main) <= 3


def test_idle_socket_with_unread_messages_leaves_the_loop_alone(flow):
    push, pull = flow

    async def main():
        waiting = pull.recv()
        await push.send(b"first")
        await waiting
        for _ in range(10):
            await push.send(b"unread")
        calls = 0
        real = pull._waits.serve

        def counted():
            nonlocal calls
            calls += 1
            real()

        pull._waits._stop_reading()
        pull._waits.serve = counted
        pull._waits._read()
        await asyncio.sleep(0.2)
        del pull._waits.serve
        return calls

    assert go(main) <= 2


# --- memory ------------------------------------------------------------------------------------------------


def grown(main):
    """Bytes that Python holds more after the second half of `main(rounds)` than after the first."""

    async def measured():
        await main()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await main()
        await main()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        return go(measured)
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_busy_socket_keeps_nothing(flow):
    push, pull = flow

    async def main():
        for _ in range(30):
            waiting = [pull.recv() for _ in range(50)]
            for _ in range(50):
                await push.send(bytes(1000))
            await asyncio.gather(*waiting)
            for _ in range(50):
                await push.send(bytes(1000))
            for _ in range(50):
                await pull.recv()

    assert grown(main) < 20_000


@pytest.mark.slow
def test_cancelled_receives_are_forgotten_even_behind_one_that_waits(flow):
    _, pull = flow
    pull.rcvtimeo = 60_000

    async def main():
        waiting = pull.recv()
        for _ in range(1000):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(pull.recv(), 0)
            pull.recv().cancel()
        waiting.cancel()

    assert grown(main) < 40_000


# --- other loops -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_loop_of_uvloop(run_child, ipc):
    """In a process of its own: uvloop keeps fds."""
    pytest.importorskip("uvloop")
    assert run_child(_in_uvloop, ipc).result(4 * CAP) == "done"


def _in_uvloop(zmq, link, endpoint):
    import uvloop

    import shmzmq.asyncio as aio

    async def main():
        async with aio.Context() as context:
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            pull.bind(endpoint)
            push.connect(endpoint)
            waiting = [pull.recv() for _ in range(100)]
            for number in range(100):
                await push.send(b"%d" % number)
            assert await asyncio.gather(*waiting) == [b"%d" % number for number in range(100)]
            pull.rcvtimeo = 5
            with pytest.raises(zmq.Again):
                await pull.recv()
            assert await pull.poll(5) == 0
            poller = aio.Poller()
            poller.register(pull, zmq.POLLIN)
            polling = poller.poll(CAP_MS)
            await push.send(b"polled")
            assert await polling == [(pull, zmq.POLLIN)]
            push.close()
            pull.close()
        return "done"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(main(), CAP))


def test_trio_waits_for_the_fd(flow):
    """The example of docs/guide/asyncio.md: any loop that can wait for a file descriptor."""
    trio = pytest.importorskip("trio")
    push, pull = (zmq.Socket.shadow(socket) for socket in flow)

    async def recv(socket):
        while True:
            try:
                return socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                if not socket.get(zmq.EVENTS) & zmq.POLLIN:
                    await trio.lowlevel.wait_readable(socket.fileno())

    async def main():
        with trio.fail_after(CAP):
            async with trio.open_nursery() as nursery:
                got = []

                async def receive():
                    for _ in range(200):
                        got.append(await recv(pull))

                nursery.start_soon(receive)
                for number in range(200):
                    push.send(b"%d" % number)
                    await trio.lowlevel.checkpoint()
            assert got == [b"%d" % number for number in range(200)]

    trio.run(main)
