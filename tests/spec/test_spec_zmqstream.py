"""Streams in tornado: who is called for what, in which order, and what happens at the end. And its futures.

Source: pyzmq's documented API.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time

import pytest

from kit import CAP, expect, wait_until

pytest.importorskip("tornado")

from tornado.ioloop import IOLoop


@pytest.fixture
def zmqstream(zmq, backend):
    """The module of streams."""
    return importlib.import_module(f"{backend}.eventloop.zmqstream")


@pytest.fixture
def play(zmqstream):
    """A function that runs a coroutine function with the class of streams, in a loop of its own."""

    async def capped(scene):
        made = []

        def stream(*arguments):
            made.append(zmqstream.ZMQStream(*arguments))
            return made[-1]

        try:
            return await asyncio.wait_for(scene(stream), 2 * CAP)
        finally:
            for each in made:
                with contextlib.suppress(OSError):
                    each.close(linger=0)

    return lambda scene: asyncio.run(capped(scene))


@pytest.fixture
def pair(zmq, sockets, endpoint):
    """Two connected PAIRs."""
    one, other = sockets(zmq.PAIR), sockets(zmq.PAIR)
    one.bind(endpoint)
    other.connect(endpoint)
    return one, other


async def until(condition, what):
    """Let the loop run until the condition holds."""
    deadline = time.monotonic() + CAP
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.001)


# --- receiving ---------------------------------------------------------------------------------------------


def test_callback_gets_every_message_in_order(pair, play):
    one, other = pair
    heard = []

    async def scene(stream):
        other.send(b"before")
        receiver = stream(one)
        assert not receiver.receiving()
        receiver.on_recv(heard.append)
        assert receiver.receiving()
        for number in range(200):
            other.send_multipart([b"%d" % number, b"second"])
        await until(lambda: len(heard) == 201, "the messages")

    play(scene)
    assert heard == [[b"before"], *([b"%d" % number, b"second"] for number in range(200))]


def test_message_that_was_there_before_the_loop_ran_is_told(zmq, pair, play):
    one, other = pair
    heard = []
    other.send(b"early")
    assert one.poll(1000)

    async def scene(stream):
        stream(one).on_recv(heard.append)
        await until(lambda: heard, "the message")

    play(scene)
    assert heard == [[b"early"]]


def test_callback_with_the_stream_and_with_frames(zmq, pair, play):
    one, other = pair
    heard = []

    async def scene(stream):
        receiver = stream(one)
        receiver.on_recv_stream(lambda *got: heard.append(got), copy=False)
        other.send(b"message")
        await until(lambda: heard, "the message")
        assert heard[0][0] is receiver
        assert isinstance(heard[0][1][0], zmq.Frame)
        assert heard[0][1][0].bytes == b"message"
        receiver.on_recv_stream(None)
        assert not receiver.receiving()

    play(scene)


def test_messages_stay_while_nobody_is_called(pair, play):
    one, other = pair
    heard = []

    async def scene(stream):
        receiver = stream(one)
        receiver.on_recv(heard.append)
        other.send(b"first")
        await until(lambda: heard, "the message")
        receiver.stop_on_recv()
        other.send(b"second")
        wait_until(lambda: one.poll(5), "the message to arrive")
        await asyncio.sleep(0.02)  # time to do something wrong
        assert heard == [[b"first"]]
        receiver.on_recv(heard.append)
        await until(lambda: len(heard) == 2, "the other message")

    play(scene)


def test_loop_runs_between_messages(pair, play):
    """A flood does not hold up other callbacks."""
    one, other = pair
    heard, ticks = [], []

    async def scene(stream):
        receiver = stream(one)
        for number in range(100):
            other.send(b"%d" % number)

        async def tick():
            while len(heard) < 100:
                ticks.append(len(heard))
                await asyncio.sleep(0)

        receiver.on_recv(heard.append)
        await tick()

    play(scene)
    assert len(set(ticks)) > 20


def test_callback_may_change_who_is_called_and_close(pair, play):
    one, other = pair
    heard = []

    async def scene(stream):
        receiver = stream(one)

        def last(frames):
            heard.append(("last", *frames))
            receiver.close()

        def first(frames):
            heard.append(("first", *frames))
            receiver.on_recv(last)

        receiver.on_recv(first)
        for _ in range(3):
            other.send(b"message")
        await until(receiver.closed, "the end")

    play(scene)
    assert heard == [("first", b"message"), ("last", b"message")]


def test_callback_may_be_awaited(pair, play):
    one, other = pair
    heard = []

    async def hear(frames):
        await asyncio.sleep(0)
        heard.append(frames)

    async def scene(stream):
        stream(one).on_recv(hear)
        other.send(b"message")
        await until(lambda: heard, "the message")

    play(scene)
    assert heard == [[b"message"]]


@pytest.mark.shmzmq_only("pyzmq may leave the next message until something changes")
@pytest.mark.parametrize("awaited", [False, True], ids=["called", "awaited"])
def test_callback_that_raises_is_logged_and_the_next_message_comes(pair, play, caplog, awaited):
    one, other = pair
    heard = []

    def hear(frames):
        heard.append(frames)
        if len(heard) == 1:
            raise ZeroDivisionError

    async def hear_awaited(frames):
        hear(frames)

    async def scene(stream):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        stream(one).on_recv(hear_awaited if awaited else hear)
        other.send(b"first")
        await until(lambda: heard, "the first message")
        other.send(b"second")
        await until(lambda: len(heard) == 2, "the second message")
        await until(lambda: "Uncaught exception in ZMQStream callback" in caplog.text, "a line in the log")

    play(scene)


@pytest.mark.shmzmq_only("AssertionError in pyzmq")
def test_callback_is_callable(pair, play):
    async def scene(stream):
        each = stream(pair[0])
        for register in (each.on_recv, each.on_send, each.on_recv_stream, each.on_send_stream):
            with pytest.raises(TypeError, match="'text'"):
                register("text")

    play(scene)


# --- sending -----------------------------------------------------------------------------------------------


def test_everything_that_can_be_sent(zmq, pair, play):
    one, other = pair

    async def scene(stream):
        sender = stream(one)
        sender.send(b"bytes")
        sender.send_multipart([b"a", b"b"])
        sender.send_string("ä")
        sender.send_unicode("ä", encoding="latin1")
        sender.send_json({"a": 1})
        sender.send_pyobj({1, 2})
        assert sender.sending()
        await until(lambda: not sender.sending(), "the messages to be sent")

    play(scene)
    expect(other, b"bytes")
    expect(other, b"a", b"b")
    assert other.recv_string() == "ä"
    expect(other, b"\xe4")
    assert other.recv_json() == {"a": 1}
    assert other.recv_pyobj() == {1, 2}


def test_text_is_sent_as_text_only(pair, play):
    async def scene(stream):
        with pytest.raises(TypeError, match="str objects only"):
            stream(pair[0]).send_string(b"bytes")

    play(scene)


def test_callback_of_what_was_sent(zmq, pair, play):
    one, _ = pair
    told = []

    async def scene(stream):
        sender = stream(one)
        sender.on_send(lambda *said: told.append(said))
        sender.send(b"first")
        sender.send_multipart([b"second"], copy=False, track=True)
        await until(lambda: len(told) == 2, "both to be told")
        sender.send(b"third", callback=lambda *said: told.append(("mine", *said)))
        sender.on_send_stream(lambda *said: told.append(said))
        sender.send(b"fourth")
        await until(lambda: len(told) == 4, "both to be told")
        sender.stop_on_send()
        sender.send(b"fifth")
        await until(lambda: not sender.sending(), "the last one to be sent")
        assert told[3][0] is sender

    play(scene)
    assert told[0] == ([b"first"], None)
    assert told[1][0] == [b"second"]
    assert isinstance(told[1][1], zmq.MessageTracker)
    assert len(told) == 4


def test_messages_wait_for_a_peer_and_the_loop_runs(zmq, sockets, endpoint, play):
    push = sockets(zmq.PUSH)
    push.bind(endpoint)

    async def scene(stream):
        sender = stream(push)
        for number in range(50):
            sender.send(b"%d" % number)
        await asyncio.sleep(0.02)  # time to do something wrong
        assert sender.sending()
        pull = sockets(zmq.PULL)
        pull.connect(endpoint)
        await until(lambda: not sender.sending(), "the messages to be sent")
        for number in range(50):
            expect(pull, b"%d" % number)

    play(scene)


@pytest.mark.shmzmq_only("pyzmq has no blocks")
def test_block_that_waits_is_not_given_up_by_the_end_of_its_with(zmq, pair, play):
    """The message was lost, and the log said that its block had been released."""
    one, other = pair

    async def scene(stream):
        sender = stream(one)
        with one.alloc(5) as block:
            memoryview(block)[:] = b"hello"
            sender.send(block, copy=False)
        with one.alloc(5) as first, one.alloc(5) as second:
            memoryview(first)[:], memoryview(second)[:] = b"first", b"secon"
            sender.send_multipart([first, b"between", second])
        await until(lambda: not sender.sending(), "the messages to be sent")
        expect(other, b"hello")
        expect(other, b"first", b"between", b"secon")

    play(scene)


@pytest.mark.shmzmq_only("pyzmq waits with the whole loop")
def test_full_peer_does_not_stop_the_loop(zmq, sockets, inproc, play):
    """EVENTS of a ROUTER says that it takes messages, whatever peer they are for."""
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1, sndhwm=1), sockets(zmq.DEALER, rcvhwm=1)
    dealer.routing_id = b"peer"
    router.bind(inproc)
    dealer.connect(inproc)
    dealer.send(b"here")
    expect(router, b"peer", b"here")

    async def scene(stream):
        sender = stream(router)
        for number in range(20):
            sender.send_multipart([b"peer", b"%d" % number])
        await asyncio.sleep(0.05)
        assert sender.sending()
        for number in range(20):
            while not dealer.poll(0):
                await asyncio.sleep(0.001)
            expect(dealer, b"%d" % number)
        assert not sender.sending()

    play(scene)


def test_refusal_is_logged_and_told(zmq, sockets, inproc, play, caplog):
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER)
    router.bind(inproc)
    dealer.connect(inproc)  # without a peer a ROUTER takes nothing
    told = []

    async def scene(stream):
        sender = stream(router)
        sender.on_send(lambda *said: told.append(said))
        sender.send_multipart([b"nobody", b"message"])
        await until(lambda: told, "the refusal")

    with caplog.at_level(logging.ERROR):
        play(scene)
    ((frames, status),) = told
    assert frames == [b"nobody", b"message"]
    assert status.errno == zmq.EHOSTUNREACH
    assert "SEND Error" in caplog.text


# --- flush -------------------------------------------------------------------------------------------------


def test_flush_does_now_what_the_loop_would_do_later(zmq, pair, play):
    one, other = pair
    heard = []

    async def scene(stream):
        each = stream(one)
        assert each.flush() == 0
        each.on_recv(heard.append)
        each.send(b"out")
        for _ in range(5):
            other.send(b"in")
        wait_until(lambda: one.poll(5), "the messages to arrive")
        assert each.flush(zmq.POLLOUT) == 1
        expect(other, b"out")
        assert heard == []
        assert each.flush(zmq.POLLIN, limit=2) == 2
        assert len(heard) == 2
        await until(lambda: len(heard) == 5, "the rest")

    play(scene)


def test_flush_without_a_callback_drops(zmq, pair, play):
    one, other = pair

    async def scene(stream):
        each = stream(one)
        other.send(b"dropped")
        wait_until(lambda: one.poll(5), "the message to arrive")
        assert each.flush(zmq.POLLIN) == 1
        assert not one.poll(0)

    play(scene)


def test_flush_ends_when_a_callback_closes_the_stream(zmq, pair, play):
    one, other = pair

    async def scene(stream):
        each = stream(one)
        each.on_recv(lambda _: each.close())
        for _ in range(3):
            other.send(b"in")
        wait_until(lambda: one.poll(5), "the messages to arrive")
        assert each.flush() == 1
        assert each.closed()

    play(scene)


# --- life --------------------------------------------------------------------------------------------------


def test_calls_of_the_socket_are_there(zmq, sockets, inproc, play):
    async def scene(stream):
        each = stream(sockets(zmq.PAIR), IOLoop.current())
        each.bind(inproc)
        each.setsockopt(zmq.LINGER, 7)
        assert each.getsockopt(zmq.LINGER) == 7
        each.setsockopt_string(zmq.ROUTING_ID, "name")
        assert each.getsockopt_string(zmq.ROUTING_ID) == "name"
        assert each.io_loop is IOLoop.current()

    play(scene)


def test_closed_stream(pair, play):
    one, _ = pair
    ends = []

    async def scene(stream):
        each = stream(one)
        assert not each.closed()
        each.set_close_callback(lambda: ends.append(each.socket))
        each.close()
        each.close()
        assert each.closed()
        for call in (
            lambda: each.on_recv(print),
            lambda: each.on_send(print),
            lambda: each.send(b""),
            each.flush,
        ):
            with pytest.raises(OSError, match="Stream is closed"):
                call()
        await asyncio.sleep(0)

    play(scene)
    assert one.closed
    assert ends == [None]


def test_socket_closed_by_somebody_else_closes_the_stream(pair, play):
    one, _ = pair

    async def scene(stream):
        each = stream(one)
        one.close()
        with pytest.warns(UserWarning, match="FD"):
            assert each.closed()
        assert each.socket is None

    play(scene)


def test_socket_with_futures_is_shadowed(zmq, backend, ctx, sockets, inproc, play):
    asynchronous = importlib.import_module(f"{backend}.asyncio")
    other = sockets(zmq.PAIR)
    other.bind(inproc)
    heard = []

    async def scene(stream):
        wrapped = asynchronous.Context(ctx).socket(zmq.PAIR)
        wrapped.connect(inproc)
        with pytest.warns(RuntimeWarning, match="ZMQStream only supports"):
            each = stream(wrapped)
        assert type(each.socket) is zmq.Socket
        each.on_recv(heard.append)
        other.send(b"message")
        await until(lambda: heard, "the message")
        each.close()
        wrapped.close(linger=0)

    play(scene)
    assert heard == [[b"message"]]


@pytest.mark.slow
def test_idle_stream_with_unread_messages_is_quiet(zmq, pair, play):
    one, other = pair

    async def scene(stream):
        receiver = stream(one)
        other.send(b"unread")
        wait_until(lambda: one.poll(5), "the message to arrive")
        receiver.send(b"out")
        await until(lambda: not receiver.sending(), "the message to be sent")
        await asyncio.sleep(0.05)
        before = time.process_time()
        await asyncio.sleep(0.5)
        return time.process_time() - before

    assert play(scene) < 0.05


@pytest.mark.shmzmq_only("in pyzmq `close` of such a stream raises ContextTerminated and closes nothing")
def test_ending_context_is_told_and_does_not_burn(zmq, new_context, play, caplog, task):
    context = new_context()
    socket = context.socket(zmq.PAIR)
    ending = []

    async def scene(stream):
        each = stream(socket)
        each.on_recv(print)
        ending.append(task(context.term))
        await until(lambda: "terminating context" in caplog.text, "the end to be told")
        each.close()

    play(scene)
    ending[0].result()


# --- futures -----------------------------------------------------------------------------------------------


def test_futures_in_a_tornado_loop(zmq, backend, new_endpoint):
    future = importlib.import_module(f"{backend}.eventloop.future")
    place = new_endpoint("ipc")

    async def scene():
        with future.Context() as context:
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            assert isinstance(push, future.Socket)
            with push, pull:
                pull.bind(place)
                push.connect(place)
                coming = pull.recv_multipart()
                await push.send(b"message")
                assert await coming == [b"message"]
                poller = future.Poller()
                poller.register(pull, zmq.POLLIN)
                await push.send(b"next")
                assert await poller.poll(1000) == [(pull, zmq.POLLIN)]
                assert await pull.recv() == b"next"
                waiting = pull.recv()
                assert waiting.cancel()
                assert waiting.cancelled()

    async def capped():
        await asyncio.wait_for(scene(), 2 * CAP)

    loop = IOLoop(make_current=False)
    try:
        loop.run_sync(capped)
    finally:
        loop.close()


def test_loop_of_a_context_is_deprecated(zmq, backend):
    future = importlib.import_module(f"{backend}.eventloop.future")
    with pytest.warns(DeprecationWarning, match="io_loop"):
        future.Context(io_loop=object()).term()


def test_loop_under_its_old_name(backend):
    with pytest.warns(DeprecationWarning):  # noqa: PT030  # the texts differ
        ioloop = importlib.reload(importlib.import_module(f"{backend}.eventloop.ioloop"))
    assert ioloop.IOLoop is ioloop.ZMQIOLoop is IOLoop
    assert ioloop.PeriodicCallback
    with pytest.warns(DeprecationWarning):  # noqa: PT030
        ioloop.install()
    assert importlib.import_module(f"{backend}.eventloop").IOLoop is IOLoop
