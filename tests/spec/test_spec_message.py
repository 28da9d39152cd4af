"""Messages: sizes, parts, what may be sent, what comes out, Frames, trackers, and pyzmq's serializers.

Source: zmq_msg_send(3), zmq_msg_recv(3), and pyzmq's documented Socket and Frame.
"""

from __future__ import annotations

import array
import copy
import ctypes
import json
import os
import pickle
import threading
import weakref

import pytest

from kit import CAP, drain, expect, expect_error, expect_nothing, marry, wait_until


def pattern(size: int) -> bytes:
    """Bytes in which a shift, a hole or a repeat shows: 251 is prime to every block size."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


# --- sizes -------------------------------------------------------------------------------------------------

EDGES = (0, 1, 31, 32, 33, *range(245, 258), 4095, 4096, 4097, 65535, 65536, 65537)


@pytest.mark.parametrize("size", [*EDGES, 1 << 20, 4 << 20])
def test_message_of_this_size_arrives_unchanged(flow, size):
    push, pull = flow
    push.send(pattern(size))
    assert pull.recv() == pattern(size)


def test_messages_of_mixed_sizes_arrive_in_order(flow):
    push, pull = flow
    sizes = [edge * step % 70_000 for step in range(1, 8) for edge in EDGES]
    for size in sizes:
        push.send(pattern(size))
    for size in sizes:
        assert pull.recv() == pattern(size)


def test_thousand_messages_of_10_kib_are_sent_and_then_received_in_one_thread(flow):
    push, pull = flow
    for number in range(1000):
        push.send(b"%04d" % number + bytes(10 * 1024 - 4))
    for number in range(1000):
        message = pull.recv()
        assert len(message) == 10 * 1024
        assert message.startswith(b"%04d" % number)


def test_large_messages_are_sent_and_then_received_in_one_thread(flow):
    push, pull = flow
    for number in range(20):
        push.send(pattern(1 << 20) + b"%d" % number)
    for number in range(20):
        assert pull.recv() == pattern(1 << 20) + b"%d" % number


def test_large_messages_may_wait_for_the_binder(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    for number in range(20):
        push.send(pattern(300_000) + b"%d" % number)
    pull.bind(endpoint)
    for number in range(20):
        assert pull.recv() == pattern(300_000) + b"%d" % number


# --- parts -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_message_of_65535_parts_arrives_whole(flow):
    push, pull = flow
    parts = [b"%d" % number for number in range(65_535)]
    push.send_multipart(parts)
    expect(pull, *parts)


def test_message_of_large_and_small_parts_arrives_whole(flow):
    push, pull = flow
    parts = [pattern(edge) for edge in (*EDGES, 1 << 20, 0, 1)]
    push.send_multipart(parts)
    expect(pull, *parts)


def test_many_messages_of_many_parts_arrive_whole(flow):
    push, pull = flow
    messages = [[b"%d" % number] * (1 + number % 40) for number in range(500)]
    for message in messages:
        push.send_multipart(message)
    for message in messages:
        expect(pull, *message)


def test_part_without_the_last_one_is_not_delivered(zmq, flow):
    """zmq_msg_send(3): peers shall receive either all message parts of a message or none at all."""
    push, pull = flow
    push.send(b"first", zmq.SNDMORE)
    push.send(b"second", zmq.SNDMORE)
    expect_nothing(pull)
    push.send(b"last")
    expect(pull, b"first", b"second", b"last")


def test_message_whose_last_part_was_never_sent_is_not_delivered(zmq, sockets, endpoint):
    """zmq_msg_send(3): peers shall receive either all message parts of a message or none at all."""
    pull, quitter, fence = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    pull.bind(endpoint)
    quitter.connect(endpoint)
    quitter.send(b"whole")
    quitter.send(b"half", zmq.SNDMORE)
    quitter.close()
    expect(pull, b"whole")
    fence.connect(endpoint)
    fence.send(b"fence")
    expect(pull, b"fence")


def test_rcvmore_says_whether_parts_follow(zmq, flow):
    push, pull = flow
    push.send_multipart([b"a", b"b", b"c"])
    seen = []
    for _ in range(3):
        pull.recv()
        seen.append(pull.get(zmq.RCVMORE))
    assert seen == [1, 1, 0]


def test_rcvmore_is_false_before_anything_was_received(zmq, sockets):
    assert sockets(zmq.PULL).get(zmq.RCVMORE) == 0


def test_parts_may_be_received_one_by_one(zmq, flow):
    push, pull = flow
    push.send_multipart([b"a", b"b"])
    push.send(b"next message")
    assert pull.recv() == b"a"
    assert pull.recv(zmq.DONTWAIT) == b"b"
    expect(pull, b"next message")


def test_recv_multipart_gives_the_rest_of_a_message(flow):
    push, pull = flow
    push.send_multipart([b"a", b"b", b"c"])
    assert pull.recv() == b"a"
    expect(pull, b"b", b"c")


# --- what may be sent --------------------------------------------------------------------------------------

BUFFERS = {
    "bytes": b"\x01\x02\x03\x04",
    "bytearray": bytearray(b"\x01\x02\x03\x04"),
    "memoryview": memoryview(b"\x00\x01\x02\x03\x04")[1:],
    "array": array.array("B", [1, 2, 3, 4]),
    "wide array": array.array("I", [int.from_bytes(b"\x01\x02\x03\x04", "little")]),
    "table": memoryview(b"\x01\x02\x03\x04").cast("B", (2, 2)),
    "ctypes": (ctypes.c_ubyte * 4)(1, 2, 3, 4),
}


@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize("copying", [True, False], ids=["copy", "no copy"])
def test_any_contiguous_buffer_may_be_sent(flow, kind, copying):
    push, pull = flow
    push.send(BUFFERS[kind], copy=copying)
    assert pull.recv() == b"\x01\x02\x03\x04"


@pytest.mark.parametrize("kind", BUFFERS)
def test_any_contiguous_buffer_may_be_a_part(flow, kind):
    push, pull = flow
    push.send_multipart([BUFFERS[kind], b"", BUFFERS[kind]])
    expect(pull, b"\x01\x02\x03\x04", b"", b"\x01\x02\x03\x04")


ARRAYS = {
    "Fortran's order": lambda np: np.asfortranarray(np.arange(40_000, dtype="u2").reshape(200, 200)),
    "transposed": lambda np: np.arange(90_000, dtype="u4").reshape(300, 300).T,
    "read-only": lambda np: np.frombuffer(pattern(80_000), "u1"),
    "structured": lambda np: np.zeros(20_000, [("a", "i4"), ("b", "f8")]),
    "half floats": lambda np: np.arange(20_000, dtype="f2"),
    "no dimension": lambda np: np.array(3.25),
    "empty": lambda np: np.zeros((0, 5)),
}


@pytest.mark.parametrize("copying", [True, False], ids=["copy", "no copy"])
@pytest.mark.parametrize("kind", ARRAYS)
def test_contiguous_array_is_sent_as_it_lies_in_memory(np, flow, kind, copying):
    push, pull = flow
    thing = ARRAYS[kind](np)
    push.send(thing, copy=copying)
    expect(pull, thing.tobytes("A"))
    push.send_multipart([b"head", thing], copy=copying)
    expect(pull, b"head", thing.tobytes("A"))


def test_send_copies_what_may_change(flow):
    push, pull = flow
    data = bytearray(b"before")
    push.send(data)
    data[:] = b"after!"
    assert pull.recv() == b"before"


def test_message_that_waits_for_a_peer_is_a_copy_too(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    data = bytearray(b"before" * 1000)
    push.send(data)
    data[:] = b"after!" * 1000
    pull.bind(endpoint)
    assert pull.recv() == b"before" * 1000


def test_bytearray_may_be_resized_after_send(flow):
    push, pull = flow
    data = bytearray(b"x" * 100)
    push.send(data)
    data.extend(b"y" * 100)  # raises BufferError if the send still holds the buffer
    assert pull.recv() == b"x" * 100


@pytest.mark.parametrize(
    "wrong", ["text", 5, None, object(), [b"list"]], ids=lambda value: type(value).__name__
)
def test_send_refuses_what_is_not_bytes(flow, wrong):
    push, _pull = flow
    with pytest.raises(TypeError):
        push.send(wrong)


@pytest.mark.parametrize("wrong", ["text", 5, None], ids=lambda value: type(value).__name__)
def test_send_without_copy_refuses_what_is_not_bytes(flow, wrong):
    push, _pull = flow
    with pytest.raises(TypeError):
        push.send(wrong, copy=False)


def test_send_refuses_a_view_with_holes(flow):
    push, _pull = flow
    with pytest.raises(BufferError):
        push.send(memoryview(b"abcdef")[::2])


def test_text_is_refused_with_a_hint_at_send_string(flow):
    push, _pull = flow
    with pytest.raises(TypeError, match="send_string"):
        push.send("text")


def test_send_multipart_names_the_part_that_is_no_buffer(flow):
    push, _pull = flow
    with pytest.raises(TypeError, match=r"Frame 1 \('two'\)"):
        push.send_multipart([b"one", "two", b"three"])


def test_send_multipart_checks_every_part_before_it_sends_one(flow):
    push, pull = flow
    with pytest.raises(TypeError):
        push.send_multipart([b"one", b"two", "three"])
    push.send(b"fence")
    expect(pull, b"fence")


def test_parts_may_come_in_a_tuple(flow):
    push, pull = flow
    push.send_multipart((b"a", b"b"))
    expect(pull, b"a", b"b")


def test_refused_send_does_not_disturb_the_next(flow):
    push, pull = flow
    with pytest.raises(TypeError):
        push.send("text")
    push.send(b"bytes")
    expect(pull, b"bytes")


def test_send_returns_none(flow):
    push, _pull = flow
    assert push.send(b"") is None
    assert push.send_multipart([b"", b""]) is None


# --- recv_into ---------------------------------------------------------------------------------------------


def test_recv_into_fills_the_buffer_and_returns_the_size(flow):
    push, pull = flow
    buffer = bytearray(b"." * 8)
    push.send(b"12345")
    assert pull.recv_into(buffer) == 5
    assert buffer == b"12345..."


def test_recv_into_returns_the_whole_size_of_what_it_cut_off(flow):
    push, pull = flow
    buffer = bytearray(3)
    push.send(b"12345")
    assert pull.recv_into(buffer) == 5
    assert buffer == b"123"
    expect_nothing(pull)


def test_recv_into_writes_at_most_nbytes(flow):
    push, pull = flow
    buffer = bytearray(b"." * 5)
    push.send(b"12345")
    assert pull.recv_into(buffer, nbytes=2) == 5
    assert buffer == b"12..."


def test_recv_into_refuses_nbytes_beyond_the_buffer(flow):
    push, pull = flow
    push.send(b"kept")
    with pytest.raises(ValueError, match="nbytes"):
        pull.recv_into(bytearray(2), nbytes=3)
    expect(pull, b"kept")


def test_recv_into_refuses_a_readonly_buffer_and_receives_nothing(flow):
    push, pull = flow
    push.send(b"kept")
    with pytest.raises(BufferError):
        pull.recv_into(b"readonly")
    expect(pull, b"kept")


@pytest.mark.parametrize("what", ["read-only", "strided"])
def test_recv_into_refuses_an_array_that_it_cannot_fill_and_receives_nothing(np, flow, what):
    """numpy itself says ValueError."""
    push, pull = flow
    push.send(b"kept")
    array = np.zeros(200, "u1")
    array.flags.writeable = what != "read-only"
    with pytest.raises(BufferError):
        pull.recv_into(array[::2] if what == "strided" else array)
    expect(pull, b"kept")


@pytest.mark.parametrize(
    ("buffer", "options", "error"),
    [
        (bytearray(8), {"nbytes": -1}, ValueError),
        (bytearray(8), {"nbytes": 9}, ValueError),
        (bytearray(8), {"nbytes": "1"}, TypeError),
        (bytearray(8), {"nbytes": None}, TypeError),
        (bytearray(8), {"copy": True}, TypeError),
        (memoryview(bytearray(16))[::2], {}, BufferError),
        ("text", {}, TypeError),
        (5, {}, TypeError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, memoryview) else str(value),
)
def test_recv_into_receives_nothing_if_it_is_called_wrongly(flow, buffer, options, error):
    push, pull = flow
    push.send(b"kept")
    assert pull.poll(CAP * 1000)
    with pytest.raises(error):
        pull.recv_into(buffer, **options)
    expect(pull, b"kept")


def test_recv_into_takes_its_buffer_by_position_and_the_rest_by_name(flow):
    _push, pull = flow
    with pytest.raises(TypeError):
        pull.recv_into(buffer=bytearray(1))
    with pytest.raises(TypeError):
        pull.recv_into(bytearray(1), 1)
    with pytest.raises(TypeError):
        pull.recv_into()


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (bytearray(0), b"12345"),
        (bytearray(3), b""),
        (array.array("I", [0, 0]), b"12345"),
        (memoryview(bytearray(9)).cast("B", (3, 3)), b"12345"),
        (memoryview(bytearray(20))[3:9], b"12345"),
        (bytearray(100_000), bytes(range(250)) * 400),
        (bytearray(70_000), bytes(range(250)) * 400),
    ],
    ids=lambda value: f"{type(value).__name__} {len(value)}",
)
def test_recv_into_fills_any_writable_memory(flow, buffer, message):
    push, pull = flow
    push.send(message)
    assert pull.recv_into(buffer) == len(message)
    written = memoryview(buffer).cast("B")[: len(message)]
    assert written == message[: len(written)]


def test_recv_into_waits_no_longer_than_rcvtimeo(zmq, flow):
    _push, pull = flow
    pull.rcvtimeo = 1
    with expect_error(zmq, "EAGAIN"):
        pull.recv_into(bytearray(1))


def test_recv_into_says_that_a_type_does_not_receive(zmq, flow):
    push, _pull = flow
    with expect_error(zmq, "ENOTSUP"):
        push.recv_into(bytearray(1))


def test_recv_into_sets_rcvmore(zmq, flow):
    push, pull = flow
    push.send_multipart([b"a", b"b"])
    pull.recv_into(bytearray(1))
    assert pull.get(zmq.RCVMORE) == 1
    expect(pull, b"b")


def test_recv_into_does_not_wait_if_told_so(zmq, flow):
    _push, pull = flow
    with expect_error(zmq, "EAGAIN"):
        pull.recv_into(bytearray(1), flags=zmq.DONTWAIT)


# --- Frames ------------------------------------------------------------------------------------------------


def test_frame_holds_the_bytes_it_was_made_of(zmq):
    frame = zmq.Frame(b"content")
    assert (frame.bytes, bytes(frame), len(frame)) == (b"content", b"content", 7)


def test_empty_frame_has_no_bytes(zmq):
    frame = zmq.Frame()
    assert (frame.bytes, len(frame), frame.more) == (b"", 0, False)


def test_frame_refuses_text(zmq):
    with pytest.raises(TypeError):
        zmq.Frame("text")


def test_message_is_another_name_of_frame(zmq):
    assert zmq.Message is zmq.Frame


def test_frames_are_equal_by_identity(zmq):
    frame = zmq.Frame(b"same")
    assert frame == frame  # noqa: PLR0124
    assert frame != zmq.Frame(b"same")
    assert frame != b"same"
    assert hash(frame) != hash(zmq.Frame(b"same"))
    assert len({frame, zmq.Frame(b"same")}) == 2


def test_frame_shows_as_its_repr(zmq):
    frame = zmq.Frame(b"content")
    assert str(frame) == repr(frame)
    assert repr(frame).endswith("zmq.Frame(b'content')>")


def test_bytes_of_a_frame_are_what_was_written_into_it(flow):
    push, pull = flow
    push.send(b"before")
    frame = pull.recv(copy=False)
    assert bytes(frame) == frame.bytes == b"before"
    frame.buffer[:6] = b"behind"
    assert bytes(frame) == b"behind"
    assert frame.bytes == b"before", "made once"


def test_long_frame_is_cut_in_its_repr(zmq):
    assert repr(zmq.Frame(b"0123456789abcdef" * 10)).endswith("zmq.Frame(b'0123456789ab'...160B)>")


def test_empty_frame_is_false(zmq):
    assert not zmq.Frame()
    assert zmq.Frame(b"x")


def test_frame_has_no_attributes_of_its_own(zmq):
    with pytest.raises(AttributeError):
        zmq.Frame(b"").colour = "red"


def test_frame_cannot_be_pickled_nor_deeply_copied(zmq):
    for copying in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copying(zmq.Frame(b"content"))


@pytest.mark.parametrize("wrong", [5, 1.5, object()], ids=lambda value: type(value).__name__)
def test_frame_is_made_of_a_buffer_only(zmq, wrong):
    with pytest.raises(TypeError):
        zmq.Frame(wrong)


def test_frame_refuses_a_view_with_holes(zmq):
    with pytest.raises(BufferError):
        zmq.Frame(memoryview(b"abcdef")[::2])


def test_frame_may_be_made_of_a_frame(zmq):
    assert zmq.Frame(zmq.Frame(b"content")).bytes == b"content"


@pytest.mark.parametrize(
    ("size", "options", "copies"),
    [
        (10, {}, True),
        (10, {"copy": False}, False),
        (10, {"copy_threshold": 5}, False),
        (100_000, {}, False),
        (100_000, {"copy": True}, True),
        (100_000, {"copy_threshold": 200_000}, True),
    ],
)
def test_frame_copies_what_is_small_or_told_to(zmq, size, options, copies):
    data = bytearray(size)
    frame = zmq.Frame(data, **options)
    data[0] = 1
    assert frame.buffer[0] == (0 if copies else 1)


def test_buffer_of_a_frame_that_copied_may_be_written(zmq):
    frame = zmq.Frame(b"content")
    frame.buffer[0] = ord("C")
    assert frame.bytes == b"Content"


@pytest.mark.shmzmq_only("pyzmq lets a program write into an immutable bytes through such a frame")
def test_frame_that_holds_a_bytes_is_read_only(zmq):
    assert zmq.Frame(b"x" * 100_000).buffer.readonly
    assert zmq.Frame(b"small", copy=False).buffer.readonly


def test_buffer_of_a_frame_is_kept_as_long_as_somebody_has_it(zmq):
    frame = zmq.Frame(b"content")
    view = frame.buffer
    assert frame.buffer is view
    watched = weakref.ref(view)
    del view
    assert watched() is None


def test_frame_is_freed_with_its_last_reference(zmq):
    frame = zmq.Frame(b"content")
    assert bytes(frame.buffer) == frame.bytes
    watched = weakref.ref(frame)
    del frame
    assert watched() is None


def test_frame_of_a_large_buffer_does_not_copy_it(zmq):
    data = bytearray(100_000)
    frame = zmq.Frame(data)
    data[0] = 255
    assert frame.buffer[0] == 255


@pytest.mark.parametrize("size", [0, 1, 33, 4096, 100_000, 1 << 20])
def test_recv_without_copy_gives_a_frame(zmq, flow, size):
    push, pull = flow
    push.send(pattern(size))
    frame = pull.recv(copy=False)
    assert isinstance(frame, zmq.Frame)
    assert len(frame) == size
    assert frame.bytes == pattern(size)


def test_bytes_of_a_frame_are_made_once(flow):
    push, pull = flow
    push.send(b"content")
    frame = pull.recv(copy=False)
    assert frame.bytes is frame.bytes


def test_buffer_of_a_frame_is_a_flat_view_of_bytes(flow):
    push, pull = flow
    push.send(b"content")
    view = pull.recv(copy=False).buffer
    assert isinstance(view, memoryview)
    assert (view.format, view.ndim, view.nbytes, bytes(view)) == ("B", 1, 7, b"content")


@pytest.mark.parametrize("size", [8, 5000, 100_000])
def test_buffer_of_a_received_frame_may_be_written(flow, size):
    push, pull = flow
    push.send(bytes(size))
    frame = pull.recv(copy=False)
    frame.buffer[size // 2] = 7
    assert bytes(frame).count(7) == 1


def test_writing_into_a_frame_does_not_change_what_was_sent(flow):
    push, pull = flow
    data = bytes(100_000)
    push.send(data)
    pull.recv(copy=False).buffer[0] = 1
    assert data[0] == 0


def test_frames_of_a_message_say_whether_more_follow(flow):
    push, pull = flow
    push.send_multipart([b"a", b"b", b"c"])
    frames = pull.recv_multipart(copy=False)
    assert [frame.more for frame in frames] == [True, True, False]
    assert [frame.bytes for frame in frames] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("size", [10, 100_000, 1 << 20])
def test_frame_outlives_its_socket(flow, size):
    push, pull = flow
    push.send(pattern(size))
    frame = pull.recv(copy=False)
    pull.close()
    push.close()
    assert frame.bytes == pattern(size)


@pytest.mark.parametrize("size", [10, 100_000, 1 << 20])
def test_held_frames_keep_their_content_while_messages_go_on(flow, size):
    push, pull = flow
    held = []
    for number in range(20):
        push.send(b"%03d" % number + pattern(size))
        held.append(pull.recv(copy=False))
    for number, frame in enumerate(held):
        assert bytes(frame) == b"%03d" % number + pattern(size)


@pytest.mark.parametrize("size", [10, 100_000])
def test_received_frame_may_be_sent_on(zmq, flow, sockets, endpoints, size):
    push, pull = flow
    (further,) = endpoints(1)
    relay, sink = sockets(zmq.PUSH), sockets(zmq.PULL)
    sink.bind(further)
    relay.connect(further)
    push.send(pattern(size))
    relay.send(pull.recv(copy=False))
    assert sink.recv() == pattern(size)


def test_frame_may_be_sent_more_than_once(zmq, flow):
    push, pull = flow
    frame = zmq.Frame(b"again")
    for _ in range(3):
        push.send(frame)
    for _ in range(3):
        expect(pull, b"again")
    assert frame.bytes == b"again"


def test_parts_may_be_frames(zmq, flow):
    push, pull = flow
    push.send_multipart([zmq.Frame(b"a"), b"b", zmq.Frame(b"c")], copy=False)
    expect(pull, b"a", b"b", b"c")


def test_copy_of_a_frame_has_the_same_content(zmq):
    assert copy.copy(zmq.Frame(b"content")).bytes == b"content"


# --- properties and options of frames ----------------------------------------------------------------------


def test_frame_tells_the_type_of_the_socket_that_sent_it(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"")
    frame = pull.recv(copy=False)
    assert [frame["Socket-Type"], frame.get("Socket-Type"), frame.get(b"Socket-Type")] == ["PUSH"] * 3


def test_every_frame_of_a_message_carries_the_properties_of_its_connection(zmq, sockets, ipc):
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, routing_id=b"me")
    router.bind(ipc)
    dealer.connect(ipc)
    dealer.send_multipart([b"a", b"b"])
    frames = router.recv_multipart(copy=False)
    assert [frame.bytes for frame in frames] == [b"me", b"a", b"b"]
    assert [frame["Socket-Type"] for frame in frames] == ["DEALER"] * 3
    assert [frame["Identity"] for frame in frames] == ["me"] * 3
    router.send_multipart([b"me", b"back"])
    back = dealer.recv(copy=False)
    assert (back["Socket-Type"], back["Identity"]) == ("ROUTER", "")


def test_peer_address_over_ipc_names_user_and_process(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"")
    address = f"localhost:{os.geteuid()}:{os.getegid()}:{os.getpid()}"
    assert pull.recv(copy=False)["Peer-Address"] == address


def test_peer_address_over_tcp_is_as_the_socket_has_it(zmq, sockets):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL, ipv6=1)
    try:
        pull.bind("tcp://*:*")
    except zmq.ZMQError as error:
        pytest.skip(f"no IPv6 here: {error}")
    port = pull.last_endpoint.decode().rpartition(":")[2]
    push.connect(f"tcp://127.0.0.1:{port}")
    push.send(b"")
    assert pull.recv(copy=False)["Peer-Address"] == "::ffff:127.0.0.1"


def test_properties_are_those_of_the_peer_that_sent(zmq, sockets, ipc):
    pull, sent = sockets(zmq.PULL), {}
    pull.bind(ipc)
    senders = [sockets(zmq.PUSH), sockets(zmq.PUSH)]
    for number, sender in enumerate(senders):
        sender.connect(ipc)
        sender.send(b"%d" % number)
    for _ in senders:
        frame = pull.recv(copy=False)
        sent[frame.bytes] = frame.get(zmq.SRCFD)
    assert len(set(sent.values())) == 2


def test_property_outlives_the_connection(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"")
    frame = pull.recv(copy=False)
    push.close()
    pull.close()
    assert frame["Socket-Type"] == "PUSH"


def test_last_message_of_a_departed_peer_has_its_properties(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"first")
    pull.recv()
    push.send(b"last")
    push.close()
    assert pull.recv(copy=False)["Socket-Type"] == "PUSH"


def test_frame_over_inproc_has_no_properties(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    push.send(b"")
    frame = pull.recv(copy=False)
    for option in ("Socket-Type", "Identity", "Peer-Address", zmq.SRCFD):
        with expect_error(zmq, "EINVAL"):
            frame.get(option)


@pytest.mark.parametrize("name", ["Routing-Id", "User-Id", "socket-type", "X-SHM", "more", "MORE", ""])
def test_property_that_the_connection_does_not_have_is_refused(zmq, flow, name):
    push, pull = flow
    push.send(b"")
    with expect_error(zmq, "EINVAL"):
        pull.recv(copy=False).get(name)


def test_options_of_a_frame_that_was_made_here(zmq):
    frame = zmq.Frame(b"made")
    assert (frame.get(zmq.MORE), frame.get(zmq.SHARED), frame[zmq.MORE]) == (0, 0, 0)
    for option in (zmq.SRCFD, 99, "Socket-Type"):
        with expect_error(zmq, "EINVAL"):
            frame.get(option)


def test_more_is_an_option_and_an_attribute(zmq, flow):
    push, pull = flow
    push.send_multipart([b"a", b"b"])
    assert [(frame.get(zmq.MORE), frame.more) for frame in pull.recv_multipart(copy=False)] == [
        (1, True),
        (0, False),
    ]


@pytest.mark.parametrize("option", [1, 2, 3, 99])
def test_no_option_of_a_frame_can_be_set(zmq, option):
    with expect_error(zmq, "EINVAL"):
        zmq.Frame(b"").set(option, 1)
    with pytest.raises(TypeError):
        zmq.Frame(b"").set(option, "text")


@pytest.mark.shmzmq_only("pyzmq writes into the message and crashes when it is let go of")
@pytest.mark.parametrize("option", ["group", "routing_id"])
def test_draft_option_of_a_frame_cannot_be_set(zmq, option):
    with expect_error(zmq, "EINVAL"):
        zmq.Frame(b"").set(option, 1)


def test_copies_of_a_large_frame_say_that_they_share(zmq):
    frame = zmq.Frame(b"x" * 100)
    twin = copy.copy(frame)
    assert (frame.get(zmq.SHARED), twin.get(zmq.SHARED)) == (1, 1)


@pytest.mark.parametrize("wrong", [None, 1.5, [], object()], ids=lambda value: type(value).__name__)
def test_option_of_a_frame_is_a_number_or_a_name(zmq, wrong):
    with pytest.raises(TypeError):
        zmq.Frame(b"").get(wrong)


@pytest.mark.parametrize("name", ["group", "routing_id"])
def test_draft_attributes_of_a_frame_say_that_drafts_are_not_built(zmq, name):
    frame = zmq.Frame(b"")
    with pytest.raises(RuntimeError, match="draft"):
        getattr(frame, name)
    with pytest.raises(RuntimeError, match="draft"):
        setattr(frame, name, 1)


def test_frame_refuses_an_unknown_property(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"")
    frame = pull.recv(copy=False)
    with expect_error(zmq, "EINVAL"):
        frame.get("No-Such-Property")


# --- trackers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 100_000, 1 << 20])
def test_tracker_is_done_when_the_message_was_received(zmq, flow, size):
    push, pull = flow
    tracker = push.send(pattern(size), copy=False, track=True)
    assert isinstance(tracker, zmq.MessageTracker)
    assert pull.recv() == pattern(size)
    tracker.wait(timeout=CAP)
    assert tracker.done


def test_tracker_of_a_small_message_is_done_at_once(flow):
    push, _pull = flow
    assert push.send(b"small", copy=False, track=True).done


def test_tracked_copy_needs_no_tracker(flow):
    push, _pull = flow
    assert push.send(b"x" * 100_000, copy=True, track=True) is None


@pytest.mark.pyzmq_only("here a tracker is done at once: the buffer is bytes, or was copied")
def test_inproc_tracker_waits_for_the_receiver_to_let_go(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    tracker = push.send(b"x" * 100_000, copy=False, track=True)
    assert not tracker.done
    with pytest.raises(zmq.NotDone):
        tracker.wait(timeout=0)
    frame = pull.recv(copy=False)
    assert not tracker.done
    del frame
    wait_until(lambda: tracker.done, "the tracker to see that the receiver let go")


@pytest.mark.parametrize("copying", [True, False], ids=["copy", "no copy"])
def test_tracked_frame_brings_its_tracker(zmq, flow, copying):
    push, pull = flow
    frame = zmq.Frame(b"x" * 100_000, track=True)
    assert push.send(frame, copy=copying, track=True) is frame.tracker
    assert pull.recv() == b"x" * 100_000


def test_received_frame_has_a_tracker_if_asked_for(zmq, flow):
    push, pull = flow
    push.send(b"")
    assert pull.recv(copy=False).tracker is None
    push.send(b"")
    assert isinstance(pull.recv(copy=False, track=True).tracker, zmq.MessageTracker)
    push.send(b"")
    assert [type(frame.tracker) for frame in pull.recv_multipart(copy=False, track=True)] == [
        zmq.MessageTracker
    ]


def test_tracker_of_nothing_is_done(zmq):
    tracker = zmq.MessageTracker()
    assert tracker.done
    tracker.wait()


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_tracker_of_an_event_is_done_with_it(zmq, timeout):
    event = threading.Event()
    tracker = zmq.MessageTracker(zmq.MessageTracker(event), zmq.Frame(b"", track=True))
    assert not tracker.done
    with pytest.raises(zmq.NotDone):
        tracker.wait(timeout)
    event.set()
    assert tracker.done
    tracker.wait()


def test_tracker_refuses_what_it_cannot_watch(zmq):
    with pytest.raises(TypeError):
        zmq.MessageTracker(5)
    with pytest.raises(ValueError, match="Not a tracked message"):
        zmq.MessageTracker(zmq.Frame(b""))


def test_untracked_frame_cannot_be_tracked(zmq, flow):
    push, _pull = flow
    with pytest.raises(ValueError, match="tracked"):
        push.send(zmq.Frame(b"x" * 100_000), copy=False, track=True)


# --- pyzmq's serializers -----------------------------------------------------------------------------------


def test_string_arrives_as_text(flow):
    push, pull = flow
    push.send_string("größer als 10 €")
    assert pull.recv_string() == "größer als 10 €"


def test_string_goes_out_in_the_encoding_asked_for(flow):
    push, pull = flow
    push.send_string("ä", encoding="latin-1")
    assert pull.recv() == b"\xe4"


def test_send_string_refuses_bytes(flow):
    push, _pull = flow
    with pytest.raises(TypeError):
        push.send_string(b"bytes")


def test_json_arrives_as_the_same_object(flow):
    push, pull = flow
    thing = {"list": [1, 2.5, None, True], "text": "ü"}
    push.send_json(thing)
    assert pull.recv_json() == thing


def test_json_goes_out_as_utf8(flow):
    push, pull = flow
    push.send_json({"a": [1, "ü"]})
    assert json.loads(pull.recv().decode("utf-8")) == {"a": [1, "ü"]}


def test_pyobj_arrives_as_an_equal_object(flow):
    push, pull = flow
    push.send_pyobj({"a": (1, 2), "b": {3}})
    assert pull.recv_pyobj() == {"a": (1, 2), "b": {3}}


def test_pyobj_goes_out_as_a_pickle_of_the_protocol_asked_for(flow):
    push, pull = flow
    push.send_pyobj([1, 2], protocol=2)
    assert pull.recv() == pickle.dumps([1, 2], 2)


def test_serialized_goes_through_both_functions(flow):
    push, pull = flow
    push.send_serialized((1, 2), lambda pair: [b"%d" % number for number in pair])
    assert pull.recv_serialized(lambda frames: tuple(int(frame) for frame in frames)) == (1, 2)


def test_serializer_that_gives_no_frames_sends_nothing(flow):
    push, pull = flow
    for wrong in (lambda _: 5, lambda _: ["text"]):
        with pytest.raises(TypeError):
            push.send_serialized(None, wrong)
    push.send_serialized(None, lambda _: [b"fence"])
    expect(pull, b"fence")


def test_serialized_frames_need_not_be_copied(zmq, flow):
    push, pull = flow
    tracker = push.send_serialized("ab", lambda text: [text.encode(), b"2"], copy=False, track=True)
    assert isinstance(tracker, zmq.MessageTracker)
    assert pull.recv_serialized(lambda frames: [frame.bytes for frame in frames], copy=False) == [b"ab", b"2"]


def test_message_whose_deserializer_raises_is_consumed(flow):
    push, pull = flow
    push.send_multipart([b"a", b"b"])
    push.send(b"next")
    with pytest.raises(ZeroDivisionError):
        pull.recv_serialized(lambda _: 1 / 0)
    expect(pull, b"next")


def test_flags_reach_the_send_under_a_serializer(zmq, flow):
    push, pull = flow
    push.send_string("a", zmq.SNDMORE)
    push.send_json("b", zmq.SNDMORE)
    push.send_pyobj("c")
    first, second, third = pull.recv_multipart()
    assert (first, json.loads(second), pickle.loads(third)) == (b"a", "b", "c")


def test_flags_reach_the_recv_under_a_serializer(zmq, flow):
    _push, pull = flow
    for receive in (pull.recv_string, pull.recv_json, pull.recv_pyobj, pull.recv_multipart):
        with expect_error(zmq, "EAGAIN"):
            receive(zmq.DONTWAIT)


def test_message_that_does_not_decode_is_consumed_and_the_next_is_fine(flow):
    push, pull = flow
    push.send(b"\xff\xfe")
    push.send(b"fine")
    with pytest.raises(UnicodeDecodeError):
        pull.recv_string()
    assert pull.recv_string() == "fine"


def test_marry_leaves_the_pipe_empty(zmq, flow):
    """The kit's own promise, which other tests rely on."""
    push, pull = flow
    marry(push, pull)
    push.send(b"only message")
    assert wait_until(lambda: drain(pull, zmq.DONTWAIT), "the message") == [[b"only message"]]
