"""asyncio: sockets whose calls give futures, as pyzmq's `zmq.asyncio` has them.

Source: the names and the behaviour of pyzmq 27's asyncio module, which is run beside ours (--backend pyzmq).
What only ours has (async iteration, `async with`, bursts, messages that no cancelling loses) says so.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import warnings

import pytest

from kit import CAP, CAP_MS, expect_error

ROUNDS = 100


@pytest.fixture
def aio(backend):
    """The asyncio module of the backend under test."""
    return importlib.import_module(f"{backend}.asyncio")


@pytest.fixture
def run(zmq, aio, endpoint):
    """A function that runs `main(world)` in a new loop, with a cap; its sockets are closed with LINGER 0."""

    class World:
        def __init__(self):
            self.ctx = aio.Context()
            self.opened = []

        def socket(self, kind, **options):
            self.opened.append(self.ctx.socket(kind))
            for name, value in options.items():
                setattr(self.opened[-1], name, value)
            return self.opened[-1]

        async def pair(self, left, right, **options):
            """Two connected sockets; the right one is bound."""
            one, other = self.socket(left, **options), self.socket(right, **options)
            other.bind(endpoint)
            one.connect(endpoint)
            return one, other

        async def flow(self, **options):
            """PUSH and PULL with their beginnings behind them."""
            push, pull = await self.pair(zmq.PUSH, zmq.PULL, **options)
            await push.send(b"first")
            assert await pull.recv() == b"first"
            return push, pull

    def go(main):
        world = World()

        async def capped():
            return await asyncio.wait_for(main(world), 4 * CAP)

        try:
            return asyncio.run(capped())
        finally:
            for socket in world.opened:
                socket.close(linger=0)
            world.ctx.term()

    return go


# --- futures -----------------------------------------------------------------------------------------------


def test_calls_give_futures_and_not_coroutines(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        calls = [push.send(b"1"), push.send_multipart([b"2"]), push.send_json(3), pull.poll(CAP_MS)]
        calls += [pull.recv(), pull.recv_multipart(), pull.recv_json()]
        assert all(isinstance(call, asyncio.Future) for call in calls)
        assert (await asyncio.gather(*calls))[-3:] == [b"1", [b"2"], 3]

    run(main)


def test_send_that_is_accepted_at_once_is_done_when_the_call_returns(zmq, run):
    async def main(world):
        push, _ = await world.flow()
        for _ in range(ROUNDS):  # a turn of the loop that took long is over at its first call
            future = push.send(b"message")
            if future.done():
                assert future.result() is None
                return
            await future
        pytest.fail(f"none of {ROUNDS} was done")

    run(main)


@pytest.mark.shmzmq_only("pyzmq has no blocks")
@pytest.mark.parametrize("call", ["send", "send_multipart", "send_many"])
def test_block_of_a_send_that_waits_is_not_given_up_by_the_end_of_its_with(zmq, run, endpoint, call):
    """The future raised that its block had been released."""

    async def main(world):
        push, pull = world.socket(zmq.PUSH, immediate=1), world.socket(zmq.PULL)
        push.connect(endpoint) if endpoint.startswith("tcp") else push.bind(endpoint)
        with push.alloc(5) as block:
            memoryview(block)[:] = b"hello"
            future = getattr(push, call)(block if call == "send" else [block])
        assert not future.done()
        pull.connect(endpoint) if not endpoint.startswith("tcp") else pull.bind(endpoint)
        await future
        assert await pull.recv() == b"hello"

    run(main)


def test_recv_of_what_is_there_is_done_when_the_call_returns(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        for _ in range(ROUNDS):
            await push.send(b"message")
            assert await pull.poll(CAP_MS) == zmq.POLLIN
            future = pull.recv()
            if future.done():
                return
            await future
        pytest.fail(f"none of {ROUNDS} was done")

    run(main)


def test_recv_waits_for_a_message_that_comes_later(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        futures = [pull.recv() for _ in range(3)]
        assert not any(future.done() for future in futures)
        for number in range(3):
            await push.send(b"%d" % number)
        assert await asyncio.gather(*futures) == [b"0", b"1", b"2"]

    run(main)


def test_waiting_calls_of_all_kinds_are_served_in_order(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        room = bytearray(8)
        waiting = [
            pull.recv_multipart(),
            pull.recv(),
            pull.recv_string(),
            pull.recv_json(),
            pull.recv_pyobj(),
            pull.recv_serialized(lambda frames: [bytes(frame) for frame in frames]),
            pull.recv_into(room),
            pull.recv(copy=False),
        ]
        await push.send_multipart([b"a", b"b"])
        await push.send(b"c")
        await push.send_string("d")
        await push.send_json({"e": 5})
        await push.send_pyobj({6})
        await push.send_serialized([b"f", b"g"], lambda frames: frames)
        await push.send(b"into")
        await push.send(b"frame")
        got = await asyncio.gather(*waiting)
        assert got[:7] == [[b"a", b"b"], b"c", "d", {"e": 5}, {6}, [b"f", b"g"], 4]
        assert room[:4] == b"into"
        assert got[7].bytes == b"frame"

    run(main)


def test_frames_of_a_message_one_by_one(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        await push.send(b"a", zmq.SNDMORE)
        await push.send(b"b")
        assert await pull.recv() == b"a"
        assert pull.get(zmq.RCVMORE) == 1
        assert await pull.recv() == b"b"
        assert pull.get(zmq.RCVMORE) == 0

    run(main)


def test_errors_of_send_are_in_its_future(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        with pytest.raises(TypeError):
            await push.send("text")
        with pytest.raises(IndexError):
            await push.send_multipart([])
        failed = pull.send(b"no")
        with expect_error(zmq, "ENOTSUP"):
            await failed

    run(main)


def test_error_of_reading_json_is_in_the_future(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        waiting = pull.recv_json()
        await push.send(b"{")
        with pytest.raises(json.JSONDecodeError):
            await waiting
        await push.send(b"after")
        assert await pull.recv() == b"after"

    run(main)


# --- time --------------------------------------------------------------------------------------------------


def test_dontwait_gives_again_at_once(zmq, run):
    async def main(world):
        _, pull = await world.flow()
        failed = pull.recv(zmq.DONTWAIT)
        assert failed.done()
        with expect_error(zmq, "EAGAIN"):
            await failed

    run(main)


def test_rcvtimeo_and_sndtimeo_give_again(zmq, run):
    async def main(world):
        _, pull = await world.flow()
        lonely = world.socket(zmq.PUSH, sndtimeo=20)
        pull.rcvtimeo = 20
        with expect_error(zmq, "EAGAIN"):
            await pull.recv()
        with expect_error(zmq, "EAGAIN"):
            await lonely.send(b"nobody")

    run(main)


def test_several_timeouts_end_in_the_order_of_their_ends(zmq, run):
    async def main(world):
        _, pull = await world.flow()
        ended = []
        futures = []
        for limit in (60, 20, 40):
            pull.rcvtimeo = limit
            futures.append(pull.recv())
            futures[-1].add_done_callback(lambda _, limit=limit: ended.append(limit))
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(result, zmq.Again) for result in results)
        await asyncio.sleep(0)
        assert ended == [20, 40, 60]

    run(main)


def test_message_after_a_timeout_goes_to_the_next_receiver(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        pull.rcvtimeo = 10
        with expect_error(zmq, "EAGAIN"):
            await pull.recv()
        pull.rcvtimeo = -1
        waiting = pull.recv()
        await push.send(b"later")
        assert await waiting == b"later"

    run(main)


# --- poll --------------------------------------------------------------------------------------------------


def test_poll_gives_the_mask_and_0_when_time_is_over(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        assert await pull.poll(0) == 0
        assert await pull.poll(20) == 0
        assert await push.poll(CAP_MS, zmq.POLLOUT) == zmq.POLLOUT
        waiting = pull.poll(CAP_MS)
        await push.send(b"message")
        assert await waiting == zmq.POLLIN
        assert await pull.recv() == b"message"

    run(main)


def test_poller_waits_for_sockets_and_files(zmq, aio, run):
    async def main(world):
        push, pull = await world.flow()
        read, write = os.pipe()
        try:
            poller = aio.Poller()
            poller.register(pull, zmq.POLLIN)
            poller.register(read, zmq.POLLIN)
            assert await poller.poll(0) == []
            assert await poller.poll(20) == []
            waiting = poller.poll(CAP_MS)
            await push.send(b"message")
            assert await waiting == [(pull, zmq.POLLIN)]
            await pull.recv()
            waiting = poller.poll(CAP_MS)
            os.write(write, b"x")
            assert await waiting == [(read, zmq.POLLIN)]
        finally:
            os.close(read)
            os.close(write)

    run(main)


def test_poller_watches_plain_sockets_too(zmq, aio, run, sockets, new_endpoint):
    async def main(world):
        other = new_endpoint("inproc")
        plain, peer = sockets(zmq.PULL), sockets(zmq.PUSH)
        plain.bind(other)
        peer.connect(other)
        poller = aio.Poller()
        poller.register(plain, zmq.POLLIN)
        waiting = poller.poll(CAP_MS)
        peer.send(b"message")
        assert await waiting == [(plain, zmq.POLLIN)]
        assert plain.recv() == b"message"

    run(main)


@pytest.mark.shmzmq_only("is about both libraries in one process")
def test_poller_watches_sockets_of_pyzmq(zmq, aio, run):
    theirs = pytest.importorskip("zmq")

    async def main(world):
        push, pull = await world.flow()
        with theirs.Context() as context:
            left, right = context.socket(theirs.PAIR), context.socket(theirs.PAIR)
            left.bind("inproc://theirs")
            right.connect("inproc://theirs")
            poller = aio.Poller()
            poller.register(pull, zmq.POLLIN)
            poller.register(left, zmq.POLLIN)
            waiting = poller.poll(CAP_MS)
            right.send(b"from the other library")
            assert [flags for _, flags in await waiting] == [zmq.POLLIN]
            left.recv()
            waiting = poller.poll(CAP_MS)
            await push.send(b"ours")
            assert await waiting == [(pull, zmq.POLLIN)]
            left.close(0)
            right.close(0)

    run(main)


# --- life --------------------------------------------------------------------------------------------------


def test_close_cancels_what_waits(zmq, run):
    async def main(world):
        _, pull = await world.flow()
        futures = [pull.recv(), pull.recv_multipart()]
        pull.close()
        assert all(future.cancelled() for future in futures)

    run(main)


def test_closed_socket_refuses(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        push.close(linger=0)
        pull.close(linger=0)
        failed = push.send(b"message")
        with expect_error(zmq, "ENOTSOCK"):
            await failed
        with expect_error(zmq, "ENOTSOCK"):
            pull.recv()
        with expect_error(zmq, "ENOTSUP"):
            pull.poll()

    run(main)


def test_socket_made_before_the_loop_serves_one_loop_after_the_other(zmq, aio, new_context, endpoint):
    context = aio.Context(new_context())
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)

    async def exchange(text):
        waiting = asyncio.ensure_future(pull.recv())
        await asyncio.sleep(0)
        await push.send(text)
        return await asyncio.wait_for(waiting, CAP)

    try:
        assert asyncio.run(exchange(b"first loop")) == b"first loop"
        assert asyncio.run(exchange(b"second loop")) == b"second loop"
    finally:
        push.close(linger=0)
        pull.close(linger=0)


def test_handles_on_one_socket(zmq, aio, run):
    async def main(world):
        push, pull = await world.flow()
        plain = zmq.Socket.shadow(push.underlying)
        again = aio.Socket.shadow(pull.underlying)
        third = aio.Socket.from_socket(zmq.Socket.shadow(pull.underlying))
        plain.send(b"plain")
        assert await again.recv() == b"plain"
        plain.send(b"third")
        assert await third.recv() == b"third"
        assert isinstance(again, aio.Socket)

    run(main)


def test_context_makes_its_own_sockets_and_its_own_instance(zmq, aio, new_context):
    context = aio.Context(new_context())
    socket = context.socket(zmq.PULL)
    assert type(socket) is aio.Socket
    socket.close()
    own = aio.Context.instance()
    assert own is aio.Context.instance()
    assert own is not zmq.Context.instance()
    zmq.Context.instance().term()
    own.term()


def test_monitor_of_an_async_socket_is_async(zmq, run, backend):
    async def main(world):
        utils = importlib.import_module(f"{backend}.utils.monitor")
        push = world.socket(zmq.PUSH)
        monitor = push.get_monitor_socket()
        waiting = utils.recv_monitor_message(monitor)
        push.disable_monitor()
        event = await waiting
        assert event["event"] == zmq.EVENT_MONITOR_STOPPED
        monitor.close()

    run(main)


def test_io_loop_argument_warns(zmq, aio, new_context):
    with pytest.warns(DeprecationWarning, match="io_loop"):
        socket = aio.Socket(aio.Context(new_context()), zmq.PULL, io_loop=object())
    socket.close()


def test_deprecated_names_are_there(aio):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aio.install()
        aio.ZMQEventLoop().close()
    assert set(aio.__all__) == {"Context", "Socket", "Poller", "ZMQEventLoop", "install"}


# --- patterns ----------------------------------------------------------------------------------------------


def test_request_may_wait_for_its_reply_before_it_is_sent(zmq, run):
    async def main(world):
        req, rep = await world.pair(zmq.REQ, zmq.REP)
        reply = req.recv()
        await req.send(b"question")
        assert await rep.recv() == b"question"
        await rep.send(b"answer")
        assert await reply == b"answer"

    run(main)


def test_server_and_client_in_one_loop(zmq, run):
    async def main(world):
        dealer, router = await world.pair(zmq.DEALER, zmq.ROUTER)

        async def serve():
            while True:
                await router.send_multipart(await router.recv_multipart())

        serving = asyncio.create_task(serve())
        for number in range(300):
            await dealer.send(b"%d" % number)
            assert await dealer.recv() == b"%d" % number
        serving.cancel()
        await asyncio.wait([serving])

    run(main)


def test_sends_that_wait_go_in_order_when_there_is_room(zmq, run):
    async def main(world):
        push, pull = await world.pair(zmq.PUSH, zmq.PULL, sndhwm=2, rcvhwm=2, sndbuf=4096, rcvbuf=4096)
        body = bytes(8192)
        futures = [push.send_multipart([b"%d" % number, body]) for number in range(200)]
        assert not futures[-1].done()
        got = [(await pull.recv_multipart())[0] for _ in futures]
        assert got == [b"%d" % number for number in range(200)]
        await asyncio.gather(*futures)

    run(main)


def test_sender_that_waits_does_not_spin_beside_unread_messages(zmq, run):
    """A PAIR with input that nobody reads and a peer that takes no more: the loop sleeps."""

    async def main(world):
        one, other = await world.pair(zmq.PAIR, zmq.PAIR, sndhwm=1, rcvhwm=1, sndbuf=4096, rcvbuf=4096)
        await other.send(b"unread")
        assert await one.poll(CAP_MS) == zmq.POLLIN
        body, sent = bytes(65536), []
        while not sent or sent[-1].done():
            sent.append(one.send(body))
            await asyncio.wait([sent[-1]], timeout=0.1)
        loop, rounds = asyncio.get_running_loop(), 0
        plain = loop._selector.select

        def counted(timeout=None):
            nonlocal rounds
            rounds += 1
            return plain(timeout)

        loop._selector.select = counted
        await asyncio.sleep(0.3)
        loop._selector.select = plain
        assert rounds < 150
        assert not sent[-1].done()
        for _ in sent:
            await other.recv()
        await sent[-1]

    run(main)


# --- what only ours has ------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("pyzmq's sockets are no async context managers")
def test_async_with_closes(zmq, aio, endpoint):
    async def main():
        async with aio.Context() as context:
            async with context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
                pull.bind(endpoint)
                push.connect(endpoint)
                await push.send(b"message")
                assert await pull.recv() == b"message"
            assert pull.closed
            assert push.closed
        assert context.closed

    asyncio.run(main())


@pytest.mark.shmzmq_only("pyzmq's sockets cannot be iterated")
def test_async_for_gives_whole_messages_until_the_socket_is_closed(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        for number in range(200):
            await push.send_multipart([b"%d" % number, b"end"])
        got = []

        async def read():
            async for message in pull:
                got.append(message)

        reading = asyncio.create_task(read())
        while len(got) < 200:
            await asyncio.sleep(0)
        pull.close()
        await reading
        assert got == [[b"%d" % number, b"end"] for number in range(200)]

    run(main)


@pytest.mark.shmzmq_only("pyzmq has no bursts")
def test_bursts(zmq, run):
    async def main(world):
        push, pull = await world.flow()
        waiting = pull.recv_many(10)
        assert await push.send_many([b"%d" % number for number in range(100)]) == 100
        got = await waiting
        assert 1 <= len(got) <= 10
        while len(got) < 100:
            got += await pull.recv_many()
        assert got == [b"%d" % number for number in range(100)]
        assert await push.send_many([]) == 0
        with pytest.raises(ValueError, match="max=0"):
            pull.recv_many(0)

    run(main)


@pytest.mark.shmzmq_only("pyzmq has no bursts")
def test_burst_that_must_wait_goes_on_when_there_is_room(zmq, run):
    async def main(world):
        push, pull = await world.pair(zmq.PUSH, zmq.PULL, sndhwm=2, rcvhwm=2, sndbuf=4096, rcvbuf=4096)
        messages = [b"%d" % number + bytes(8192) for number in range(100)]
        sending = push.send_many(messages)
        got = [await pull.recv() for _ in messages]
        assert got == messages
        assert await sending == 100

    run(main)


@pytest.mark.shmzmq_only("pyzmq has no wait_for_peers")
@pytest.mark.not_over("inproc", "both ends are there at once")
def test_wait_for_peers_gives_a_future(zmq, run, endpoint):
    async def main(world):
        pull = world.socket(zmq.PULL)
        pull.bind(endpoint)
        with expect_error(zmq, "EAGAIN"):
            await pull.wait_for_peers(1, 10)
        waiting = pull.wait_for_peers(2)
        for _ in range(2):
            world.socket(zmq.PUSH).connect(endpoint)
        assert await asyncio.wait_for(waiting, CAP) == 2

    run(main)


@pytest.mark.shmzmq_only("pyzmq has no arrays")
def test_arrays_and_objects_with_buffers(zmq, run, np):
    async def main(world):
        push, pull = await world.flow()
        plain = np.arange(60_000.0).reshape(200, 300)
        for array in (plain, plain.T, plain[::2, ::3]):
            waiting = pull.recv_array()
            await push.send_array(array)
            assert np.array_equal(await waiting, array)
        waiting = pull.recv_pyobj()
        await push.send_pyobj({"array": plain})
        assert np.array_equal((await waiting)["array"], plain)
        await push.send_pyobj({"array": plain})
        assert np.array_equal((await pull.recv_pyobj())["array"], plain)

    run(main)


@pytest.mark.shmzmq_only("pyzmq may lose the message")
@pytest.mark.parametrize(
    "call", ["recv", "recv_multipart", "recv_string", "recv_many", "recv_into", "recv_pyobj"]
)
def test_task_cancelled_when_its_message_has_arrived_gives_it_back(zmq, run, call):
    """The race: the future is done, the task has not run yet, and somebody cancels it."""

    async def main(world):
        push, pull = await world.flow()

        async def receive():
            return await (pull.recv_into(bytearray(100)) if call == "recv_into" else getattr(pull, call)())

        task = asyncio.create_task(receive())
        await asyncio.sleep(0)
        plain = push._shadow_sock  # the loop must not run before the task is cancelled
        plain.send_pyobj("0") if call == "recv_pyobj" else plain.send(b"0")
        plain.send(b"1")
        while not pull._waits.receivers or not pull._waits.receivers[0].done():
            pull._waits.serve()
            if not pull._waits.receivers:
                break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await pull.poll(0) == zmq.POLLIN
        if call == "recv_pyobj":
            assert await pull.recv_pyobj() == "0"
        elif call == "recv_into":
            room = bytearray(4)
            assert await pull.recv_into(room) == 1
            assert room[:1] == b"0"
        else:
            assert await pull.recv() == b"0"
        assert await pull.recv() == b"1"

    run(main)


@pytest.mark.shmzmq_only("pyzmq may lose the message")
def test_multipart_given_back_is_whole_in_every_form(zmq, run):
    async def main(world):
        push, pull = await world.flow()

        async def lose():
            task = asyncio.create_task(_await(pull.recv_multipart()))
            await asyncio.sleep(0)
            await push.send_multipart([b"a", b"b"])
            while pull._waits.receivers:
                pull._waits.serve()
            task.cancel()
            await asyncio.wait([task])

        async def _await(future):
            return await future

        await lose()
        assert await pull.recv_multipart() == [b"a", b"b"]
        await lose()
        assert await pull.recv() == b"a"
        assert pull.get(zmq.RCVMORE) == 1
        assert (await pull.recv(copy=False)).bytes == b"b"
        assert pull.get(zmq.RCVMORE) == 0
        await lose()
        assert await pull.recv_many() == [[b"a", b"b"]]
        await lose()
        waiting = [frame.bytes for frame in await pull.recv_multipart(copy=False)]
        assert waiting == [b"a", b"b"]

    run(main)
