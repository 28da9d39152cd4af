"""STREAM: bytes of plain connections, by the routing ids of zmq_socket(3); the other end is a plain socket.

Where libzmq does what its manual does not say, a test here shows it of both.
"""

from __future__ import annotations

import contextlib
import socket as posix
import struct

import pytest

from kit import CAP, CAP_MS, SMALL_BUFFERS, expect, expect_error, wait_until
from watching import dial, hear, listen

READ_BYTES = 8192
"""The most that one message from a connection holds."""


@pytest.fixture
def server(zmq, sockets, tcp):
    """A STREAM that is bound, and its endpoint."""

    def build(**options):
        stream = sockets(zmq.STREAM, **options)
        stream.bind(tcp)
        return stream, tcp

    return build


@pytest.fixture
def client(zmq, sockets, tcp):
    """A STREAM that connected to a plain listener: the socket, its routing id there, the plain connection."""
    with listen(tcp) as listener:

        def build(**options):
            stream = sockets(zmq.STREAM, reconnect_ivl=10, **options)
            stream.connect(tcp)
            plain, _ = listener.accept()
            plain.settimeout(CAP)
            plains.append(plain)
            return stream, stream.get(zmq.ROUTING_ID), plain

        plains: list[posix.socket] = []
        build.listener = listener
        yield build
        for plain in plains:
            plain.close()


@pytest.fixture
def caller(server):
    """A function that gives a bound STREAM, the id it has for a plain connection, and that connection."""
    plains: list[posix.socket] = []

    def build(**options):
        stream, endpoint = server(**options)
        plains.append(dial(endpoint))
        return stream, arrival(stream), plains[-1]

    yield build
    for plain in plains:
        plain.close()


def arrival(stream) -> bytes:
    """The routing id of the connection that the next message tells of."""
    routing_id, empty = stream.recv_multipart()
    assert empty == b""
    return routing_id


def received(stream, routing_id: bytes, count: int) -> bytes:
    """The next `count` bytes of one connection."""
    body = b""
    while len(body) < count:
        came, more = stream.recv_multipart()
        assert came == routing_id
        assert 0 < len(more) <= READ_BYTES
        body += more
    return body


def expect_unreachable(zmq, stream, routing_id: bytes) -> None:
    """Soon nothing has this id any more. libzmq says EAGAIN as long as its threads are at it."""

    def is_unreachable():
        try:
            stream.send_multipart([routing_id, b"x"], zmq.DONTWAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            return error.errno == zmq.EHOSTUNREACH
        return False

    wait_until(is_unreachable, "the id to be gone")


def heard(plain: posix.socket, count: int) -> bytes:
    body = hear(plain, count)
    assert len(body) == count
    return body


# --- what it cannot do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [[b"nobody", b"x"], [b"nobody", b""], [b"", b"x"]])
def test_unknown_routing_id_is_unreachable(zmq, server, frames):
    stream, _ = server()
    with expect_error(zmq, "EHOSTUNREACH"):
        stream.send_multipart(frames)


def test_unknown_routing_id_is_unreachable_with_its_first_frame(zmq, server):
    stream, _ = server()
    with expect_error(zmq, "EHOSTUNREACH"):
        stream.send(b"nobody", zmq.SNDMORE)


def test_routing_id_without_bytes_is_dropped(zmq, server):
    stream, _ = server()
    stream.send(b"alone")
    stream.send(b"and alone")
    assert stream.get(zmq.EVENTS) == zmq.POLLOUT


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("STREAM_NOTIFY", 2), ("STREAM_NOTIFY", -1), ("CONNECT_ROUTING_ID", b""), ("ROUTER_MANDATORY", 1),
        ("ROUTER_HANDOVER", 1), ("ROUTER_RAW", 1), ("PROBE_ROUTER", 1),
    ],
)  # fmt: skip
def test_option_that_is_not_for_it_is_invalid(zmq, sockets, option, value):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.STREAM).set(getattr(zmq, option), value)


@pytest.mark.parametrize("option", ["STREAM_NOTIFY", "CONNECT_ROUTING_ID"])
def test_option_that_cannot_be_read_is_invalid(zmq, sockets, option):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.STREAM).get(getattr(zmq, option))


# --- bound -------------------------------------------------------------------------------------------------


def test_new_connection_is_told_with_an_id_of_five_bytes(zmq, caller):
    stream, routing_id, _ = caller()
    assert len(routing_id) == 5
    assert routing_id[:1] == b"\0"
    assert stream.get(zmq.ROUTING_ID) == routing_id


def test_bytes_come_with_their_id_and_go_without_a_frame(caller):
    stream, routing_id, plain = caller()
    plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert received(stream, routing_id, 18) == b"GET / HTTP/1.0\r\n\r\n"
    stream.send_multipart([routing_id, b"HTTP/1.0 200 OK\r\n\r\n"])
    assert heard(plain, 19) == b"HTTP/1.0 200 OK\r\n\r\n"


def test_bytes_that_came_at_once_are_read_in_messages_of_at_most_8192(caller):
    stream, routing_id, plain = caller()
    body = bytes(range(256)) * 400
    plain.sendall(body)
    assert received(stream, routing_id, len(body)) == body


@pytest.mark.parametrize("count", [1, 255, 256, 8192, 16 * 1024, 64 * 1024 + 1, 1 << 20])
def test_message_of_any_size_goes_out_as_it_is(caller, count):
    stream, routing_id, plain = caller()
    body = (b"%07d." % count * (count // 8 + 1))[:count]
    stream.send_multipart([routing_id, body])
    stream.send_multipart([routing_id, b"end"])
    assert heard(plain, count + 3) == body + b"end"


def test_flag_of_the_second_frame_means_nothing(zmq, caller):
    stream, routing_id, plain = caller()
    for word in (b"one ", b"two ", b"three"):
        stream.send(routing_id, zmq.SNDMORE)
        stream.send(word, zmq.SNDMORE)
    assert heard(plain, 13) == b"one two three"


def test_several_messages_in_one_go_one_by_one(caller):
    stream, routing_id, plain = caller()
    stream.send_multipart([routing_id, b"a", routing_id, b"b"])
    stream.send_multipart([routing_id, b"c"])
    assert heard(plain, 3) == b"abc"


def test_frames_carry_the_address_of_the_other_side(caller):
    stream, _, plain = caller()
    plain.sendall(b"x")
    frames = stream.recv_multipart(copy=False)
    assert [frame.get("Peer-Address") for frame in frames] == ["127.0.0.1", "127.0.0.1"]
    assert [frame.more for frame in frames] == [True, False]


def test_end_of_a_connection_is_told_after_its_last_bytes(caller):
    stream, routing_id, plain = caller()
    plain.sendall(b"bye")
    plain.close()
    expect(stream, routing_id, b"bye")
    expect(stream, routing_id, b"")


@pytest.mark.shmzmq_only("libzmq may take bytes for a connection whose end it has told")
def test_connection_whose_end_was_told_is_unreachable(zmq, caller):
    stream, routing_id, plain = caller()
    plain.close()
    expect(stream, routing_id, b"")
    with expect_error(zmq, "EHOSTUNREACH"):
        stream.send_multipart([routing_id, b"too late"])


def test_reset_of_a_connection_is_told_as_its_end(caller):
    stream, routing_id, plain = caller()
    plain.setsockopt(posix.SOL_SOCKET, posix.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()
    expect(stream, routing_id, b"")


def test_without_notify_only_bytes_come(zmq, server):
    stream, endpoint = server(stream_notify=0)
    for word in (b"one", b"two"):
        with dial(endpoint) as plain:
            plain.sendall(word)
            assert stream.recv_multipart()[1] == word


def test_empty_bytes_end_the_connection_after_what_was_sent(zmq, caller):
    stream, routing_id, plain = caller()
    body = b"answer. " * 125_000
    stream.send_multipart([routing_id, body])
    stream.send_multipart([routing_id, b""])
    expect_unreachable(zmq, stream, routing_id)
    assert heard(plain, len(body)) == body
    assert plain.recv(1) == b""
    assert stream.poll(0) == 0


@pytest.mark.shmzmq_only("libzmq leaves an idle connection open")
def test_empty_bytes_end_an_idle_connection(caller):
    stream, routing_id, plain = caller()
    plain.sendall(b"never read")
    assert stream.poll(CAP * 1000)
    stream.send_multipart([routing_id, b""])
    with contextlib.suppress(ConnectionResetError):
        assert plain.recv(1) == b""
    assert stream.poll(0) == 0
    wait_until(lambda: not stream.peers(), "the pipe to go")


def test_many_connections_are_served_each_with_its_own_bytes(server):
    stream, endpoint = server()
    with contextlib.ExitStack() as stack:
        plains = [stack.enter_context(dial(endpoint)) for _ in range(50)]
        for number, plain in enumerate(plains):
            plain.sendall(b"%03d" % number)
        ids: dict[bytes, bytes] = {}
        while len(b"".join(ids.values())) < 150:
            routing_id, body = stream.recv_multipart()
            ids[routing_id] = ids.get(routing_id, b"") + body
        assert sorted(ids.values()) == [b"%03d" % number for number in range(50)]
        for routing_id, body in ids.items():
            stream.send_multipart([routing_id, body * 2])
        assert [heard(plain, 6) for plain in plains] == [b"%03d" % number * 2 for number in range(50)]


# --- connected ---------------------------------------------------------------------------------------------


def test_connect_has_its_id_at_once(zmq, sockets, tcp):
    stream = sockets(zmq.STREAM)
    stream.connect(tcp)
    routing_id = stream.get(zmq.ROUTING_ID)
    assert len(routing_id) == 5
    stream.send_multipart([routing_id, b"queued"])
    with listen(tcp) as listener:
        plain, _ = listener.accept()
        with plain:
            assert heard(plain, 6) == b"queued"


def test_bytes_go_both_ways_over_a_connect(client):
    stream, routing_id, plain = client()
    assert arrival(stream) == routing_id
    stream.send_multipart([routing_id, b"question"])
    assert heard(plain, 8) == b"question"
    plain.sendall(b"answer")
    assert received(stream, routing_id, 6) == b"answer"


def test_connect_routing_id_names_the_next_connect(zmq, client, tcp):
    stream, first, _ = client()
    stream.set(zmq.CONNECT_ROUTING_ID, b"name")
    stream.connect(tcp)
    assert stream.get(zmq.ROUTING_ID) == first
    stream.send_multipart([b"name", b"hello"])
    plain, _ = client.listener.accept()
    with plain:
        assert heard(plain, 5) == b"hello"
        assert {arrival(stream), arrival(stream)} == {first, b"name"}
        plain.sendall(b"world")
        expect(stream, b"name", b"world")


def test_id_of_a_connect_lasts_over_its_connections(client):
    stream, routing_id, plain = client()
    assert arrival(stream) == routing_id
    plain.close()
    expect(stream, routing_id, b"")
    stream.send_multipart([routing_id, b"again"])
    plain, _ = client.listener.accept()
    with plain:
        assert heard(plain, 5) == b"again"
        assert arrival(stream) == routing_id


@pytest.mark.shmzmq_only("libzmq leaves an idle connection open")
def test_empty_bytes_end_a_connect_for_good(zmq, client, tcp):
    stream, routing_id, plain = client()
    assert arrival(stream) == routing_id
    stream.send_multipart([routing_id, b"last"])
    stream.send_multipart([routing_id, b""])
    assert heard(plain, 4) == b"last"
    assert plain.recv(1) == b""
    wait_until(lambda: not stream.peers(), "the pipe to go")
    with expect_error(zmq, "EHOSTUNREACH"):
        stream.send_multipart([routing_id, b"more"])


@pytest.mark.shmzmq_only("libzmq says the rest of a stream to the next connection")
def test_bytes_of_an_ended_connection_do_not_go_to_the_next(client):
    stream, routing_id, plain = client(**SMALL_BUFFERS)
    assert arrival(stream) == routing_id
    for _ in range(900):
        stream.send_multipart([routing_id, b"old" * 5000])
    plain.close()
    expect(stream, routing_id, b"")
    plain, _ = client.listener.accept()
    with plain:
        plain.settimeout(CAP)
        assert arrival(stream) == routing_id
        stream.send_multipart([routing_id, b"new"])
        assert heard(plain, 3) == b"new"


def test_with_immediate_the_id_comes_with_the_connection(zmq, client):
    stream, _, _ = client(immediate=1)
    assert arrival(stream) == stream.get(zmq.ROUTING_ID)


def test_two_streams_talk(zmq, server, sockets):
    bound, endpoint = server()
    other = sockets(zmq.STREAM)
    other.connect(endpoint)
    there, here = arrival(other), arrival(bound)
    other.send_multipart([there, b"hello"])
    assert received(bound, here, 5) == b"hello"
    bound.send_multipart([here, b"hello yourself"])
    assert received(other, there, 14) == b"hello yourself"


def test_peer_that_speaks_zmtp_is_seen_as_bytes(zmq, server, sockets):
    stream, endpoint = server()
    dealer = sockets(zmq.DEALER)
    dealer.connect(endpoint)
    routing_id = arrival(stream)
    greeting = received(stream, routing_id, 10)
    assert (greeting[:1], greeting[9:10]) == (b"\xff", b"\x7f")


def test_streams_talk_over_ipc(zmq, sockets, ipc):
    bound, other = sockets(zmq.STREAM), sockets(zmq.STREAM)
    bound.bind(ipc)
    other.connect(ipc)
    there, here = arrival(other), arrival(bound)
    other.send_multipart([there, b"hello"])
    assert received(bound, here, 5) == b"hello"


def test_streams_talk_inside_the_process(zmq, sockets, inproc):
    """Nobody tells of the connection there."""
    bound, other = sockets(zmq.STREAM), sockets(zmq.STREAM)
    bound.bind(inproc)
    other.connect(inproc)
    other.send_multipart([other.get(zmq.ROUTING_ID), b"hello"])
    routing_id, body = bound.recv_multipart()
    assert (routing_id, body) == (bound.get(zmq.ROUTING_ID), b"hello")


# --- waiting -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_send_to_a_peer_that_does_not_read_waits(zmq, caller, task):
    stream, routing_id, plain = caller(sndhwm=5, **SMALL_BUFFERS)
    stream.sndtimeo = 200  # the kernel moves what it has for a while
    sent = 0
    with contextlib.suppress(zmq.Again):
        while sent < 10_000:
            stream.send_multipart([routing_id, b"%08d" % sent * 1024])
            sent += 1
    assert sent < 10_000
    stream.sndtimeo = CAP_MS
    assert stream.get(zmq.EVENTS) == zmq.POLLOUT
    with expect_error(zmq, "EAGAIN"):
        stream.send(routing_id, zmq.SNDMORE | zmq.DONTWAIT)
    waiting = task(stream.send_multipart, [routing_id, b"the last"])
    waiting.wait_blocked()
    assert heard(plain, sent * 8192) == b"".join(b"%08d" % number * 1024 for number in range(sent))
    waiting.result()
    assert heard(plain, 8) == b"the last"


def test_full_peer_holds_up_no_other(zmq, server):
    stream, endpoint = server(sndhwm=5, **SMALL_BUFFERS)
    with dial(endpoint), dial(endpoint) as other:
        full, free = arrival(stream), arrival(stream)
        other.sendall(b"?")
        routing_id, _ = stream.recv_multipart()
        full = full if routing_id == free else free
        with contextlib.suppress(zmq.Again):
            for _ in range(10_000):
                stream.send_multipart([full, bytes(8192)], zmq.DONTWAIT)
        stream.send_multipart([routing_id, b"!"])
        assert heard(other, 1) == b"!"


def test_program_that_does_not_receive_stops_its_peer(zmq, caller):
    stream, routing_id, plain = caller(rcvhwm=5, **SMALL_BUFFERS)
    plain.setsockopt(posix.SOL_SOCKET, posix.SO_SNDBUF, 4096)
    plain.setblocking(False)
    sent = 0

    def is_stopped():
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            while sent < 1 << 26:
                sent += plain.send(bytes(8192))
            raise AssertionError("nothing stops the peer")
        return True

    wait_until(is_stopped, "the buffers to fill")
    got = 0
    while got < sent:
        got += len(stream.recv_multipart()[1])
    assert got == sent
    plain.setblocking(True)
    plain.sendall(b"goes on")
    assert received(stream, routing_id, 7) == b"goes on"


def test_poll_tells_of_a_connection_and_of_bytes(zmq, server):
    stream, endpoint = server()
    assert stream.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT
    with dial(endpoint) as plain:
        assert stream.poll(CAP * 1000)
        routing_id = arrival(stream)
        assert stream.poll(0) == 0
        plain.sendall(b"x")
        assert stream.poll(CAP * 1000)
        expect(stream, routing_id, b"x")
        assert stream.poll(0) == 0


def test_recv_wakes_up_for_bytes(caller, task):
    stream, routing_id, plain = caller()
    waiting = task(stream.recv_multipart)
    waiting.wait_blocked()
    plain.sendall(b"here")
    assert waiting.result() == [routing_id, b"here"]


# --- ends --------------------------------------------------------------------------------------------------


def test_close_with_linger_sends_what_was_accepted(caller):
    stream, routing_id, plain = caller(linger=-1)
    body = b"12345678" * 100_000
    stream.send_multipart([routing_id, body])
    stream.close()
    assert heard(plain, len(body)) == body
    assert plain.recv(1) == b""


def test_close_ends_the_connection(caller):
    stream, _, plain = caller()
    stream.close(linger=0)
    assert plain.recv(1) == b""


@pytest.mark.shmzmq_only("libzmq leaves a connection open that is idle")
def test_disconnect_ends_the_connection_and_tells_nobody(zmq, client, tcp):
    stream, routing_id, plain = client()
    assert arrival(stream) == routing_id
    stream.disconnect(tcp)
    assert plain.recv(1) == b""
    assert stream.poll(0) == 0
    expect_unreachable(zmq, stream, routing_id)


def test_unbind_takes_no_further_connection(zmq, caller):
    stream, _, plain = caller()
    endpoint = stream.last_endpoint
    stream.unbind(endpoint)
    with pytest.raises(ConnectionRefusedError):
        wait_until(lambda: dial(endpoint.decode()).close(), "the listener to end")
    plain.close()


def test_monitor_hears_no_handshake_succeed(server, watch):
    stream, endpoint = server()
    events = watch(stream)
    with dial(endpoint) as plain:
        arrival(stream)
        assert plain.getpeername()
    events.names("ACCEPTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED")


def test_monitor_of_a_connect_hears_it_come_and_go(zmq, sockets, watch, tcp):
    stream = sockets(zmq.STREAM, reconnect_ivl=10)
    events = watch(stream)
    with listen(tcp) as listener:
        stream.connect(tcp)
        plain, _ = listener.accept()
        arrival(stream)
        plain.close()
        events.names(
            "CONNECT_DELAYED", "CONNECTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED", "CONNECT_RETRIED"
        )


# --- ours --------------------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("pyzmq has no peers()")
def test_peers_shows_a_plain_connection(caller):
    stream, routing_id, _ = caller()
    [peer] = stream.peers()
    assert [peer[key] for key in ("transport", "routing_id", "socket_type", "reason")] == [
        "tcp",
        routing_id,
        None,
        None,
    ]


@pytest.mark.shmzmq_only("pyzmq has no send_many")
def test_bursts_go_as_single_messages_do(caller):
    stream, routing_id, plain = caller()
    stream.send_many([[routing_id, b"%03d" % number] for number in range(100)])
    assert heard(plain, 300) == b"".join(b"%03d" % number for number in range(100))
