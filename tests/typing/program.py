# pyright: strict
"""A typed program that uses every public name but constants and options, which `names.py` has.

It is read by mypy and by pyright, both in their strict modes, and it runs: tests/typing/test_typing.py.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, assert_type

import numpy
from numpy.typing import NDArray

import shmzmq as zmq
from shmzmq.socket import Peer
from shmzmq.utils.monitor import parse_monitor_message, recv_monitor_message


def versions() -> None:
    assert_type(zmq.__version__, str)
    assert_type(zmq.__revision__, str)
    assert_type(zmq.zmq_version(), str)
    assert_type(zmq.zmq_version_info(), tuple[int, int, int])
    assert_type(zmq.pyzmq_version(), str)
    assert_type(zmq.pyzmq_version_info(), tuple[int, int, int])
    assert_type(zmq.LAYOUT_VERSION, int)
    assert_type(zmq.BUILD_PROFILE, str)
    assert_type(zmq.COPY_THRESHOLD, int)
    assert_type(zmq.IPC_PATH_MAX_LEN, int)
    assert_type(zmq.DRAFT_API, bool)
    assert_type(zmq.PYZMQ_DRAFT_API, bool)


def functions() -> None:
    assert_type(zmq.has("ipc"), bool)
    assert_type(zmq.strerror(zmq.EAGAIN), str)
    assert_type(zmq.zmq_errno(), int)
    assert_type(zmq.get_includes(), list[str])
    assert_type(zmq.get_library_dirs(), list[str])
    if zmq.has("curve"):
        public, secret = zmq.curve_keypair()
        assert_type(public, bytes)
        assert_type(zmq.curve_public(secret), bytes)
    alias: Callable[[], bool] = zmq.install_as_zmq  # not called: the process that runs this has its own zmq
    assert callable(alias)


def exceptions() -> None:
    made: Sequence[zmq.ZMQBaseError] = (
        zmq.ZMQError(zmq.EINVAL, "text"),
        zmq.Again(),
        zmq.ContextTerminated(),
        zmq.InterruptedSystemCall(),
        zmq.ForkedError(1, "socket"),
        zmq.ZMQBindError("text"),
        zmq.NotDone(),
        zmq.FormatError("text"),
        zmq.OutOfMemory(),
    )
    assert len(made) == 9
    assert_type(zmq.ZMQError(zmq.EINVAL).errno, int | None)
    assert_type(zmq.ZMQError(zmq.EINVAL).strerror, str)
    assert_type(zmq.ForkedError().creator_pid, int)
    assert_type(zmq.ForkedError().pid, int)
    assert_type(zmq.ZMQVersionError("4.3", "text").min_version, str)
    assert_type(zmq.ZMQVersionError("4.3").version, str)
    assert_type(zmq.ZMQVersionError("4.3").msg, str)
    assert issubclass(zmq.DraftFDWarning, RuntimeWarning)
    assert issubclass(zmq.OutOfMemory, MemoryError)
    assert issubclass(zmq.error.Again, zmq.error.ZMQError)


def contexts() -> None:
    context = zmq.Context(io_threads=1)
    assert_type(context, zmq.Context[zmq.Socket[bytes]])
    assert_type(context.underlying, int)
    assert_type(context.closed, bool)
    assert_type(context.sockopts, dict[int, Any])
    assert_type(context.get(zmq.IO_THREADS), int)
    context.set(zmq.MAX_SOCKETS, 100)
    context.setsockopt(zmq.LINGER, 0)
    assert context.getsockopt(zmq.LINGER) == 0
    shadows: list[zmq.Context] = [
        zmq.Context(context),
        zmq.Context(shadow=context.underlying),
        zmq.Context.shadow(context),
        copy.copy(context),
    ]
    assert_type(shadows[0].socket(zmq.PAIR), zmq.Socket[bytes])
    context.destroy(linger=0)
    with zmq.SyncContext() as other:
        assert_type(other.socket(zmq.PAIR, socket_class=Counting), Counting)
    other.term(timeout=1.0)
    instance = zmq.Context.instance()
    assert_type(instance.socket(zmq.PAIR), zmq.Socket[bytes])
    instance.destroy()


class Counting(zmq.Socket[bytes]):
    """A subclass with an attribute and an argument of its own."""

    count: int

    def __init__(self, context: zmq.Context, socket_type: int, start: int = 0) -> None:
        super().__init__(context, socket_type)
        self.count = start


class CountingContext(zmq.Context[Counting]):
    """A context that makes them."""

    _socket_class = Counting


def subclasses() -> None:
    with CountingContext() as context, context.socket(zmq.PAIR, start=1) as counting:
        assert_type(counting, Counting)
        assert_type(counting.count, int)
    assert counting.count == 1


def life_of_a_socket(context: zmq.Context) -> None:
    socket = zmq.Socket(context, zmq.PAIR, copy_threshold=0)
    assert_type(socket, zmq.Socket[bytes])
    assert_type(socket.context.closed, bool)
    assert_type(socket.copy_threshold, int)
    assert_type(socket.underlying, int)
    assert_type(socket.closed, bool)
    assert_type(socket.type, zmq.SocketType)
    assert_type(socket.fileno(), int)
    assert_type(socket.poll(0, zmq.POLLIN), int)
    assert_type(socket.stats(), dict[str, int])
    assert_type(socket.peers(), list[Peer])
    shadows: list[zmq.Socket] = [
        zmq.Socket(socket),
        zmq.Socket(shadow=socket.underlying),
        zmq.Socket.shadow(socket),
        zmq.SyncSocket(socket),
        copy.copy(socket),
    ]
    assert len({shadow.underlying for shadow in shadows}) == 1
    socket.close(linger=0)


def endpoints(context: zmq.Context) -> None:
    with context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        with one.bind("inproc://typed") as bound, other.connect(b"inproc://typed") as connected:
            assert_type(bound, zmq.Socket[bytes])
            assert_type(connected, zmq.Socket[bytes])
        one.bind("inproc://again", takeover=False)
        one.unbind("inproc://again")
        other.connect("inproc://later")
        other.disconnect("inproc://later")
        assert_type(one.bind_to_random_port("inproc://port", 1000, 2000, max_tries=10), int)


def options(context: zmq.Context) -> None:
    with context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, 1000)
        assert socket.get(zmq.LINGER) == socket.getsockopt(zmq.LINGER) == 0
        socket.set_string(zmq.ROUTING_ID, "me")
        socket.setsockopt_string(zmq.ROUTING_ID, "me")
        socket.setsockopt_unicode(zmq.ROUTING_ID, "me", encoding="utf-8")
        assert_type(socket.get_string(zmq.ROUTING_ID), str)
        assert_type(socket.getsockopt_string(zmq.ROUTING_ID), str)
        assert_type(socket.getsockopt_unicode(zmq.ROUTING_ID, "utf-8"), str)
        socket.set_hwm(10)
        assert_type(socket.get_hwm(), int)
        assert_type(socket.hwm, int)
        socket.hwm = 20


def topics(sub: zmq.Socket) -> None:
    sub.subscribe("topic")
    sub.unsubscribe(b"topic")
    sub.SUBSCRIBE = "topic"


def groups(dish: zmq.Socket) -> None:
    dish.leave("group")


def more_groups(dish: zmq.Socket) -> None:
    dish.join(b"group")


def drafts_of_a_frame(frame: zmq.Frame) -> None:
    assert_type(frame.group, str)
    assert_type(frame.routing_id, int)
    frame.group, frame.routing_id = "group", 1


def bytes_and_frames(one: zmq.Socket, other: zmq.Socket) -> None:
    assert_type(one.send(b"data"), None)
    assert_type(other.recv(), bytes)
    assert_type(one.send(bytearray(b"data"), copy=False, track=True), zmq.MessageTracker)
    assert_type(other.recv(copy=False), zmq.Frame)
    one.send(memoryview(b"data"), flags=zmq.DONTWAIT)
    assert_type(other.recv(0, False), zmq.Frame)
    assert_type(one.send_multipart([b"a", bytearray(b"b"), zmq.Frame(b"c")]), None)
    assert_type(other.recv_multipart(), list[bytes])
    assert_type(one.send_multipart((b"a",), copy=False, track=True), zmq.MessageTracker)
    assert_type(other.recv_multipart(copy=False), list[zmq.Frame])
    copying = bool(one.get_hwm())
    one.send(b"data", zmq.SNDMORE, copying)
    one.send(zmq.Message(b"data"))
    assert_type(other.recv(copy=copying), bytes | zmq.Frame)
    assert other.recv_multipart() == [b"data"]
    one.send(b"data")
    assert_type(other.recv_into(bytearray(4), nbytes=0, flags=0), int)


def convenience(one: zmq.Socket, other: zmq.Socket) -> None:
    assert_type(one.send_string("text"), zmq.MessageTracker | None)
    assert_type(other.recv_string(), str)
    assert_type(one.send_unicode("text"), zmq.MessageTracker | None)
    assert_type(other.recv_unicode(), str)
    one.send_json({"a": 1}, flags=0)
    assert other.recv_json() == {"a": 1}
    one.send_pyobj({1, 2}, protocol=4)
    assert other.recv_pyobj() == {1, 2}

    def lines(text: str) -> list[bytes]:
        return [line.encode() for line in text.split()]

    def text(frames: list[bytes]) -> str:
        return b" ".join(frames).decode()

    assert_type(one.send_serialized("a b", lines), zmq.MessageTracker | None)
    assert_type(other.recv_serialized(text), str)


def arrays(one: zmq.Socket, other: zmq.Socket) -> None:
    array = numpy.arange(6.0).reshape(2, 3)
    assert_type(one.send_array(array), zmq.MessageTracker | None)
    assert_type(other.recv_array(), NDArray[Any])
    assert_type(one.send_array(array.T[::2], flags=0, copy=False, track=True), zmq.MessageTracker | None)
    received: NDArray[numpy.float64] = other.recv_array(flags=0, copy=False)
    assert received.shape == (2, 2)
    one.send_array(numpy.float32(1))
    assert other.recv_array().ndim == 0


def blocks(one: zmq.Socket, other: zmq.Socket) -> None:
    with one.alloc(8192, flags=zmq.DONTWAIT) as block:
        assert_type(block, zmq.Block)
        assert_type(block.nbytes, int)
        assert_type(len(block), int)
        memoryview(block)[:2] = b"ab"
        tracker = one.send(block, copy=False, track=True)
        assert_type(tracker, zmq.MessageTracker)
    assert_type(block.sent, bool)
    frame = other.recv(copy=False)
    assert_type(frame, zmq.Frame)
    assert bytes(frame.buffer[:2]) == b"ab"
    one.alloc(nbytes=0).release()


def bursts(one: zmq.Socket, other: zmq.Socket) -> None:
    assert_type(one.send_many([b"a", (b"b", bytearray(b"c"))]), int)
    assert_type(one.send_many(iter([zmq.Frame(b"d")]), flags=zmq.DONTWAIT, copy=False), int)
    received = other.recv_many(max=2, timeout=1000, multipart=False, copy=True)
    assert_type(received, list[Any])
    assert received == [b"a", [b"b", b"c"]]
    assert other.recv_many(multipart=True) == [[b"d"]]


def peers(one: zmq.Socket, other: zmq.Socket) -> None:
    assert_type(one.wait_for_peers(1, timeout=0), int)
    assert_type(other.wait_for_peers(), int)
    for peer in one.peers():
        assert_type(peer, Peer)
        assert_type(peer["endpoint"], str | None)
        assert_type(peer["transport"], str)
        assert_type(peer["pid"], int)
        assert_type(peer["uid"], int)
        assert_type(peer["depth"], int)
        assert_type(peer["routing_id"], bytes)
        assert_type(peer["socket_type"], zmq.SocketType | None)
        assert_type(peer["since"], float | None)


def monitors(context: zmq.Context) -> None:
    with context.socket(zmq.PAIR) as watched, context.socket(zmq.PAIR) as named:
        watched.monitor("inproc://events", events=zmq.Event.ALL)
        named.connect("inproc://events")
        watched.monitor(None)
        message = parse_monitor_message(named.recv_multipart())
        assert_type(message["event"], zmq.Event)
        assert_type(message["value"], int)
        assert_type(message["endpoint"], bytes)
        assert_type(message.get("detail"), str | None)
        reader: zmq.Socket = watched.get_monitor_socket(zmq.Event.ALL | zmq.ShmEvent.ALL, addr=None)
        with reader:
            assert_type(watched.disable_monitor(), None)
            assert recv_monitor_message(reader, flags=0)["event"] == zmq.Event.MONITOR_STOPPED


def waiting(one: zmq.Socket, other: zmq.Socket) -> None:
    poller = zmq.Poller()
    poller.register(one, zmq.POLLIN)
    poller.register(other)
    poller.modify(other, flags=zmq.POLLOUT)
    poller.unregister(other)
    assert_type(one in poller, bool)
    assert_type(poller.sockets, list[tuple[Any, int]])
    assert_type(poller.poll(0), list[tuple[Any, int]])
    assert_type(poller.poll(timeout=0.5), list[tuple[Any, int]])
    assert_type(zmq.zmq_poll([(one, zmq.POLLIN), (other, zmq.POLLOUT)], timeout=0), list[tuple[Any, int]])
    assert_type(zmq.select([one], [other], [], 0), tuple[list[Any], list[Any], list[Any]])
    read_end, write_end = os.pipe()
    readable, writable, wrong = zmq.select([read_end], [write_end], [], timeout=1.0)
    assert (readable, writable, wrong) == ([], [write_end], [])
    os.close(read_end)
    os.close(write_end)


def proxies(context: zmq.Context) -> None:
    with (
        context.socket(zmq.PULL) as front,
        context.socket(zmq.PUSH) as back,
        context.socket(zmq.PAIR) as control,
        context.socket(zmq.PAIR) as commander,
    ):
        control.bind("inproc://control")
        commander.connect("inproc://control")
        commander.send(b"TERMINATE")
        assert_type(zmq.proxy_steerable(front, back, None, control), int)
    # Both are closed by now, which ends a proxy before it begins.
    with suppress(zmq.ZMQError):
        assert_type(zmq.proxy(front, back, capture=None), int)
    with suppress(zmq.ZMQError):
        assert_type(zmq.device(zmq.STREAMER, front, back), int)


def overflow(context: zmq.Context) -> None:
    with context.socket(zmq.PUSH) as socket:
        socket.set(zmq.ShmOption.OVERFLOW, zmq.Overflow.DROP_OLDEST)
        assert zmq.Overflow(socket.get(zmq.ShmOption.OVERFLOW)) is zmq.Overflow.DROP_OLDEST


def stopwatch() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watch = zmq.Stopwatch()
    assert_type(watch.start(), None)
    assert_type(watch.stop(), int)


def frames(one: zmq.Socket, other: zmq.Socket) -> None:
    frame = zmq.Frame(b"data", track=True, copy=True, copy_threshold=0)
    assert_type(frame.bytes, bytes)
    assert_type(frame.buffer, memoryview)
    assert_type(frame.more, bool)
    assert_type(frame.tracker, zmq.MessageTracker | None)
    assert_type(frame.fast_copy(), zmq.Frame)
    assert_type(len(frame), int)
    assert_type(bytes(frame), bytes)
    assert frame.get(zmq.MORE) == 0
    tracker = zmq.MessageTracker(frame)
    assert_type(tracker.done, bool)
    tracker.wait(timeout=1)
    assert memoryview(frame).tobytes() == b"data"
    assert isinstance(zmq.constants.PAIR, zmq.SocketType)


def main() -> None:
    versions()
    functions()
    exceptions()
    contexts()
    subclasses()
    stopwatch()
    with zmq.Context() as context:
        life_of_a_socket(context)
        endpoints(context)
        options(context)
        monitors(context)
        proxies(context)
        overflow(context)
        with context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
            one.bind("inproc://pair")
            other.connect("inproc://pair")
            bytes_and_frames(one, other)
            convenience(one, other)
            arrays(one, other)
            blocks(one, other)
            frames(one, other)
            bursts(one, other)
            peers(one, other)
            waiting(one, other)


if __name__ == "__main__":
    main()
