"""Monitors: which event comes when, with which value and endpoint; how a monitor begins and ends.

Source: zmq_socket_monitor(3). Where that page is silent, libzmq 4.3.5 over ipc was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib

import pytest

from kit import expect, expect_error, wait_until
from watching import GREETING, command, dial, hear_greeting, listen, ready

# --- connections -------------------------------------------------------------------------------------------


def test_bind_is_listening_at_the_endpoint(zmq, sockets, watch, ipc):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    pull.bind(ipc)
    [told] = events.names("LISTENING")
    assert told.endpoint == ipc
    assert told.value > 2, "the fd that listens"


def test_a_wildcard_is_told_as_it_was_resolved(zmq, sockets, watch):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    pull.bind("ipc://*")
    assert events.next().endpoint == pull.last_endpoint.decode()


def test_a_connection_is_told_on_both_sides(zmq, sockets, watch, ipc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(ipc)
    here, there = watch(pull), watch(push)
    push.connect(ipc)
    accepted, done = here.names("ACCEPTED", "HANDSHAKE_SUCCEEDED")
    connected, also_done = there.names("CONNECTED", "HANDSHAKE_SUCCEEDED")
    assert {told.endpoint for told in (accepted, done, connected, also_done)} == {ipc}
    assert accepted.value > 2
    assert connected.value > 2
    assert done.value == also_done.value == 0


def test_abstract_names_are_told_with_their_at(zmq, sockets, watch, scratch):
    endpoint = f"ipc://@{scratch.name}"
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    here, there = watch(pull), watch(push)
    pull.bind(endpoint)
    push.connect(endpoint)
    assert {told.endpoint for told in here.until("HANDSHAKE_SUCCEEDED")} == {endpoint}
    assert {told.endpoint for told in there.until("HANDSHAKE_SUCCEEDED")} == {endpoint}


def test_a_peer_that_closes_is_disconnected(zmq, sockets, watch, ipc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(ipc)
    events = watch(pull)
    push.connect(ipc)
    accepted = events.until("HANDSHAKE_SUCCEEDED")[0]
    push.close()
    [gone] = events.names("DISCONNECTED")
    assert gone == accepted._replace(name="DISCONNECTED")


def test_connect_before_bind_is_retried_until_it_is_connected(zmq, sockets, watch, ipc):
    """zmq_socket_monitor(3) ZMQ_EVENT_CONNECT_RETRIED: the value is the interval in milliseconds."""
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH, reconnect_ivl=20)
    events = watch(push)
    push.connect(ipc)
    closed, retried, again = events.names("CLOSED", "CONNECT_RETRIED", "CLOSED")
    assert closed.value > 2, "the fd that was tried"
    assert 20 <= retried.value <= 40
    assert again.endpoint == retried.endpoint == ipc
    pull.bind(ipc)
    events.until("CONNECTED")
    events.names("HANDSHAKE_SUCCEEDED")


def test_a_binder_that_goes_is_disconnected_then_retried(zmq, sockets, watch, ipc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH, reconnect_ivl=20)
    pull.bind(ipc)
    events = watch(push)
    push.connect(ipc)
    connected = events.until("HANDSHAKE_SUCCEEDED")[0]
    pull.close()
    gone, retried = events.names("DISCONNECTED", "CONNECT_RETRIED")
    assert gone.value == connected.value
    assert 20 <= retried.value <= 40


def test_unbind_closes_the_listener(zmq, sockets, watch, ipc):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    pull.bind(ipc)
    [listening] = events.names("LISTENING")
    pull.unbind(ipc)
    assert events.next() == listening._replace(name="CLOSED")


def test_the_end_of_a_connection_that_we_end_is_not_told(zmq, sockets, watch, new_endpoint):
    one, other = new_endpoint("ipc"), new_endpoint("ipc")
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(one)
    pull.bind(other)
    events = watch(push)
    push.connect(one)
    events.until("HANDSHAKE_SUCCEEDED")
    push.disconnect(one)
    push.connect(other)
    assert {told.endpoint for told in events.names("CONNECTED", "HANDSHAKE_SUCCEEDED")} == {other}


def test_a_bind_that_fails_says_why_with_the_bare_address(zmq, sockets, watch):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    with expect_error(zmq, "ENOENT"):
        pull.bind("ipc:///no/such/directory/x")
    closed, failed = events.names("CLOSED", "BIND_FAILED")
    assert closed.endpoint == "ipc:///no/such/directory/x"
    assert failed[1:] == (errno.ENOENT, "/no/such/directory/x")


def test_an_abstract_name_in_use_is_a_bind_that_fails(zmq, sockets, watch, scratch):
    endpoint = f"ipc://@{scratch.name}"
    sockets(zmq.PULL).bind(endpoint)
    pull = sockets(zmq.PULL)
    events = watch(pull)
    with expect_error(zmq, "EADDRINUSE"):
        pull.bind(endpoint)
    _closed, failed = events.names("CLOSED", "BIND_FAILED")
    assert failed[1:] == (errno.EADDRINUSE, f"@{scratch.name}")


def test_inproc_connections_are_not_told(zmq, sockets, watch, inproc, ipc):
    """zmq_socket_monitor(3): connection-oriented transports only; inproc is none."""
    one, other = sockets(zmq.PAIR), sockets(zmq.PAIR)
    events = watch(one)
    one.bind(inproc)
    other.connect(inproc)
    other.send(b"x")
    expect(one, b"x")
    other.close()
    one.bind(ipc)
    events.names("LISTENING")


# --- handshakes that fail ----------------------------------------------------------------------------------

EMPTY_NAME = b"\x04\x01\x00"
OTHER_MECHANISM = GREETING[:12] + b"PLAIN".ljust(20, b"\0") + GREETING[32:]
UNEXPECTED, MALFORMED_ERROR, MISMATCH = 0x10000001, 0x10000015, 0x11000002

FAILED_BY_PROTOCOL = {
    "another mechanism": (OTHER_MECHANISM, MISMATCH),
    "a command that is not READY": (GREETING + command(b"HELLO"), UNEXPECTED),
    "a command without a name": (GREETING + EMPTY_NAME, UNEXPECTED),
    "a message before READY": (GREETING + b"\x00\x05hello", UNEXPECTED),
    "an ERROR that is none": (GREETING + command(b"ERROR", b"\x40short"), MALFORMED_ERROR),
}


both = pytest.mark.parametrize("transport", ["ipc", "tcp"])


def but_delayed(zmq):
    """A mask: over tcp a connecter is told first that the kernel is at it."""
    return zmq.EVENT_ALL & ~zmq.EVENT_CONNECT_DELAYED


@both
@pytest.mark.parametrize("said", FAILED_BY_PROTOCOL)
def test_a_peer_that_breaks_the_protocol_in_the_handshake_fails_it(zmq, sockets, watch, endpoint, said):
    spoken, code = FAILED_BY_PROTOCOL[said]
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    events = watch(pull)
    with dial(endpoint) as peer:
        peer.sendall(spoken)
        accepted, failed, gone = events.names("ACCEPTED", "HANDSHAKE_FAILED_PROTOCOL", "DISCONNECTED")
    assert failed[1:] == (code, endpoint)
    assert gone.value == accepted.value


@both
@pytest.mark.parametrize("said", FAILED_BY_PROTOCOL)
def test_a_connecter_tells_what_its_listener_broke(zmq, sockets, watch, endpoint, said):
    spoken, code = FAILED_BY_PROTOCOL[said]
    push = sockets(zmq.PUSH)
    events = watch(push, but_delayed(zmq))
    with listen(endpoint) as listener:
        push.connect(endpoint)
        peer, _ = listener.accept()
        with peer:
            peer.sendall(spoken)
            connected, failed, gone = events.names("CONNECTED", "HANDSHAKE_FAILED_PROTOCOL", "DISCONNECTED")
    assert failed[1:] == (code, endpoint)
    assert gone.value == connected.value


@both
@pytest.mark.parametrize(
    "spoken",
    [
        ready(b"PULL"),
        ready(b"NONSENSE"),
        command(b"READY", b"abcd"),
        command(b"ERROR", b"\x06reason"),
    ],
    ids=["a type that does not fit", "no type at all", "metadata that is none", "ERROR"],
)
def test_a_peer_that_does_not_fit_is_disconnected_without_another_event(
    zmq, sockets, watch, endpoint, spoken
):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    events = watch(pull)
    with dial(endpoint) as peer:
        peer.sendall(GREETING)
        hear_greeting(peer)
        peer.sendall(spoken)
        events.names("ACCEPTED", "DISCONNECTED")


@both
@pytest.mark.parametrize(
    "spoken", [b"", GREETING[:20], GREETING], ids=["nothing", "half a greeting", "greeting"]
)
def test_a_peer_that_leaves_in_the_handshake_fails_it_with_an_errno(zmq, sockets, watch, endpoint, spoken):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    events = watch(pull)
    with dial(endpoint) as peer:
        peer.sendall(spoken)
    accepted, failed, gone = events.names("ACCEPTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED")
    assert failed.value in (errno.ECONNRESET, errno.EPIPE)
    assert failed.endpoint == endpoint
    assert gone.value == accepted.value


@both
def test_a_connecter_whose_listener_leaves_tries_again(zmq, sockets, watch, endpoint):
    push = sockets(zmq.PUSH)
    events = watch(push, but_delayed(zmq))
    with listen(endpoint) as listener:
        push.connect(endpoint)
        listener.accept()[0].close()
        _c, failed, _d, _r = events.names(
            "CONNECTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED", "CONNECT_RETRIED"
        )
    assert failed.value in (errno.ECONNRESET, errno.EPIPE)


@both
@pytest.mark.shmzmq_only("libzmq waits for the rest of what it takes for a ZMTP 1 frame, without a limit")
def test_a_stranger_that_speaks_no_zmtp_fails_at_its_first_byte(zmq, sockets, watch, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    events = watch(pull)
    with dial(endpoint) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n")
        _a, failed, _d = events.names("ACCEPTED", "HANDSHAKE_FAILED_PROTOCOL", "DISCONNECTED")
    assert failed.value == zmq.PROTOCOL_ERROR_ZMTP_UNSPECIFIED


PLACES = 1024  # native/core/src/door.rs


@both
@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq makes no room for who comes")
def test_a_handshake_that_makes_room_for_another_fails_with_an_errno(zmq, sockets, watch, endpoint, many_fds):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    events = watch(pull)
    with contextlib.ExitStack() as silent:
        stand = [silent.enter_context(dial(endpoint)) and events.next() for _ in range(PLACES)]
        assert {told.name for told in stand} == {"ACCEPTED"}
        silent.enter_context(dial(endpoint))
        _last, failed, gone = events.names("ACCEPTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED")
        assert failed[1:] == (errno.ECONNABORTED, endpoint)
        assert gone == stand[0]._replace(name="DISCONNECTED")


def test_a_plain_zmtp_peer_is_a_peer_like_any_other(zmq, sockets, watch, ipc):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    events = watch(pull)
    with dial(ipc) as peer:
        peer.sendall(GREETING + ready(b"PUSH"))
        events.names("ACCEPTED", "HANDSHAKE_SUCCEEDED")
        peer.sendall(b"\x00\x02hi")
        assert pull.recv() == b"hi"


@pytest.mark.shmzmq_only("a connecter of libzmq gives up for ever where the peer's type does not fit")
def test_a_connecter_refused_for_its_type_tries_again_and_may_find_another(zmq, sockets, watch, ipc):
    wrong, push = sockets(zmq.PUSH), sockets(zmq.PUSH, reconnect_ivl=10)
    wrong.bind(ipc)
    events = watch(push)
    push.connect(ipc)
    events.names("CONNECTED", "DISCONNECTED", "CONNECT_RETRIED")
    wrong.close()
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    events.until("HANDSHAKE_SUCCEEDED")


# --- the end -----------------------------------------------------------------------------------------------


def test_close_tells_its_listeners_and_then_that_it_was_the_last(zmq, sockets, watch, new_endpoint):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    endpoints = {new_endpoint("ipc"), new_endpoint("ipc")}
    for endpoint in endpoints:
        pull.bind(endpoint)
    events.names("LISTENING", "LISTENING")
    pull.close()
    *closed, stopped = events.names("CLOSED", "CLOSED", "MONITOR_STOPPED")
    assert {told.endpoint for told in closed} == endpoints
    assert stopped[1:] == (0, "")


def test_close_does_not_tell_of_its_connections(zmq, sockets, watch, ipc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(ipc)
    events = watch(push)
    push.connect(ipc)
    events.until("HANDSHAKE_SUCCEEDED")
    push.close()
    events.names("MONITOR_STOPPED")


def test_a_closed_socket_that_lingers_is_told_of_to_its_end(zmq, sockets, watch, ipc):
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(ipc)
    push.send(b"late")
    push.close(linger=10000)
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    expect(pull, b"late")
    seen = events.until("MONITOR_STOPPED")
    assert [told.name for told in seen[-3:]] == ["CONNECTED", "HANDSHAKE_SUCCEEDED", "MONITOR_STOPPED"]


def test_disable_monitor_is_the_last_that_is_told(zmq, sockets, watch, ipc):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    pull.disable_monitor()
    pull.bind(ipc)
    events.names("MONITOR_STOPPED")
    pull.disable_monitor()


def test_a_second_monitor_ends_the_first(zmq, sockets, watch, ipc):
    pull = sockets(zmq.PULL)
    first = watch(pull)
    second = sockets(zmq.PAIR)
    pull.monitor("inproc://second", zmq.EVENT_ALL)
    second.connect("inproc://second")
    first.names("MONITOR_STOPPED")
    pull.bind(ipc)
    assert len(second.recv_multipart()) == 2
    pull.monitor(None, 0)


def test_term_ends_a_recv_on_the_monitor(zmq, new_context, task, ipc):
    context = new_context()
    pull = context.socket(zmq.PULL)
    reader = pull.get_monitor_socket()
    receiving = task(reader.recv_multipart)
    receiving.wait_blocked()
    ending = task(context.term)
    with expect_error(zmq, "ETERM"):
        receiving.result()
    reader.close()
    pull.close()
    ending.result()


@pytest.mark.shmzmq_only("libzmq blocks for ever in close or term when nobody reads its monitor")
@pytest.mark.parametrize("reader", ["never", "closed first"])
def test_nobody_who_reads_is_no_obstacle(zmq, new_context, task, ipc, reader):
    context = new_context()
    pull = context.socket(zmq.PULL)
    if reader == "never":
        pull.monitor("inproc://nobody", zmq.EVENT_ALL)
    else:
        pull.get_monitor_socket().close()
    pull.bind(ipc)
    pull.unbind(ipc)
    task(pull.close).result()
    task(context.term).result()


@pytest.mark.shmzmq_only("libzmq waits for ever for a reader that is slow")
def test_events_that_nobody_reads_are_bounded_and_counted(zmq, sockets, ipc):
    pull = sockets(zmq.PULL)
    pull.monitor("inproc://slow", zmq.EVENT_ALL)
    for _ in range(600):
        pull.bind(ipc)
        pull.unbind(ipc)
    assert pull.stats()["events_dropped"] == 200
    reader = sockets(zmq.PAIR)
    reader.connect("inproc://slow")
    pull.monitor(None, 0)
    events = []
    while not events or len(events[-1][1]):
        events.append(reader.recv_multipart())
    assert len(events) == 1001, "the oldest thousand, and the last of all"


@pytest.mark.shmzmq_only("libzmq blocks where nobody reads")
def test_a_reader_that_comes_late_hears_what_it_missed(zmq, sockets, ipc, new_endpoint):
    pull = sockets(zmq.PULL)
    pull.monitor("inproc://late", zmq.EVENT_ALL)
    pull.bind(ipc)
    first, second = sockets(zmq.PAIR), sockets(zmq.PAIR)
    first.connect("inproc://late")
    assert first.recv_multipart()[1] == ipc.encode()
    first.close()
    other = new_endpoint("ipc")
    pull.bind(other)
    second.connect("inproc://late")
    assert second.recv_multipart()[1] == other.encode()


def test_a_reader_may_be_there_first(zmq, sockets, ipc):
    pull, reader = sockets(zmq.PULL), sockets(zmq.PAIR)
    reader.connect("inproc://early")
    pull.monitor("inproc://early", zmq.EVENT_ALL)
    pull.bind(ipc)
    assert reader.recv_multipart()[1] == ipc.encode()
    pull.monitor(None, 0)


# --- the calls ---------------------------------------------------------------------------------------------


def test_get_monitor_socket_gives_the_same_pair_again(zmq, sockets):
    pull = sockets(zmq.PULL)
    reader = pull.get_monitor_socket()
    assert reader.type == zmq.PAIR
    assert pull.get_monitor_socket(zmq.EVENT_CLOSED, "inproc://ignored") is reader
    pull.disable_monitor()
    reader.close()


def test_get_monitor_socket_takes_an_address(zmq, sockets):
    pull = sockets(zmq.PULL)
    reader = pull.get_monitor_socket(addr="inproc://mine")
    assert reader.last_endpoint == b"inproc://mine"
    pull.disable_monitor()
    reader.close()


@pytest.mark.shmzmq_only("pyzmq names the second monitor like the first, whose name may not be free yet")
def test_get_monitor_socket_replaces_one_that_was_closed(zmq, sockets, ipc):
    pull = sockets(zmq.PULL)
    pull.get_monitor_socket().close()
    with pull.get_monitor_socket() as reader:
        pull.bind(ipc)
        assert reader.recv_multipart()[1] == ipc.encode()


def test_a_mask_keeps_other_events_away(zmq, sockets, watch, ipc):
    pull = sockets(zmq.PULL)
    events = watch(pull, zmq.EVENT_CLOSED)
    pull.bind(ipc)
    pull.unbind(ipc)
    events.names("CLOSED")
    pull.disable_monitor()
    assert not events.reader.poll(0), "MONITOR_STOPPED was not in the mask"


@pytest.mark.parametrize(
    ("addr", "name"),
    [("tcp://127.0.0.1:5555", "EPROTONOSUPPORT"), ("ipc:///tmp/x", "EPROTONOSUPPORT"), ("foo", "EINVAL"),
     ("", "EINVAL")],
)  # fmt: skip
def test_a_monitor_is_read_over_inproc_only(zmq, sockets, addr, name):
    with expect_error(zmq, name):
        sockets(zmq.PULL).monitor(addr, zmq.EVENT_ALL)


@pytest.mark.parametrize("events", [-1, 0x10000, 1 << 20])
def test_unknown_events_are_invalid(zmq, sockets, events):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PULL).monitor("inproc://x", events)


@pytest.mark.parametrize(
    ("addr", "events", "error"),
    [(5, 1, TypeError), ("inproc://x", "1", TypeError), ("inproc://x", None, TypeError),
     ("inproc://x", 1 << 31, OverflowError)],
)  # fmt: skip
def test_wrong_types_are_type_errors(zmq, sockets, addr, events, error):
    with pytest.raises(error):
        sockets(zmq.PULL).monitor(addr, events)


def test_a_name_in_use_is_refused(zmq, sockets, inproc):
    sockets(zmq.PAIR).bind(inproc)
    with expect_error(zmq, "EADDRINUSE"):
        sockets(zmq.PULL).monitor(inproc)


def test_a_monitor_s_name_is_in_use_and_free_again(zmq, sockets, inproc):
    pull, reader = sockets(zmq.PULL), sockets(zmq.PAIR)
    pull.monitor(inproc)
    reader.connect(inproc)
    with expect_error(zmq, "EADDRINUSE"):
        sockets(zmq.PAIR).bind(inproc)
    pull.monitor(None)
    reader.recv_multipart()
    other = sockets(zmq.PAIR)
    wait_until(lambda: _binds(zmq, other, inproc), "the name to be free")


def _binds(zmq, socket, endpoint):
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        return False
    return True


def test_a_closed_socket_has_no_monitor(zmq, sockets):
    pull = sockets(zmq.PULL)
    pull.close()
    for call in (
        lambda: pull.monitor("inproc://x"),
        lambda: pull.monitor(None),
        pull.get_monitor_socket,
        pull.disable_monitor,
    ):
        with expect_error(zmq, "ENOTSOCK"):
            call()


# --- utils.monitor -----------------------------------------------------------------------------------------


@pytest.fixture
def utils(zmq):
    return importlib.import_module(f"{zmq.__name__}.utils.monitor")


def test_parse_gives_event_value_and_endpoint(zmq, utils):
    parsed = utils.parse_monitor_message([b"\x04\x00" + b"\x64\x00\x00\x00", b"ipc:///x"])
    assert parsed == {"event": zmq.EVENT_CONNECT_RETRIED, "value": 100, "endpoint": b"ipc:///x"}
    assert isinstance(parsed["event"], zmq.Event)
    assert isinstance(parsed["value"], zmq.Event)


@pytest.mark.parametrize("frames", [[], [b"123456"], [b"12345", b""], [b"123456", b"", b""]])
def test_what_is_no_event_is_a_runtime_error(utils, frames):
    with pytest.raises(RuntimeError, match="Invalid event message format"):
        utils.parse_monitor_message(frames)


def test_recv_takes_flags(zmq, sockets, utils):
    pull = sockets(zmq.PULL)
    reader = pull.get_monitor_socket()
    with expect_error(zmq, "EAGAIN"):
        utils.recv_monitor_message(reader, zmq.DONTWAIT)
    pull.disable_monitor()
    assert utils.recv_monitor_message(reader)["event"] == zmq.EVENT_MONITOR_STOPPED
    reader.close()


def test_recv_from_a_socket_that_is_awaited_is_awaited(zmq, utils):
    class Awaited:
        async def recv_multipart(self, flags):
            return [b"\x08\x00\x07\x00\x00\x00", b"ipc:///x"]

    async def receive():
        return await utils.recv_monitor_message(Awaited())

    assert asyncio.run(receive()) == {"event": zmq.EVENT_LISTENING, "value": 7, "endpoint": b"ipc:///x"}


# --- events of our own -------------------------------------------------------------------------------------


def _own(utils, reader):
    while True:
        told = utils.recv_monitor_message(reader)
        if "detail" in told:
            return told


@pytest.mark.shmzmq_only("rings are ours")
def test_rings_are_told_to_who_asks(zmq, sockets, watch, utils, ipc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(ipc)
    reader = watch(pull, zmq.EVENT_ALL | zmq.ShmEvent.ALL).reader
    push.connect(ipc)
    told = _own(utils, reader)
    assert told["event"] is zmq.ShmEvent.RINGS
    assert told["endpoint"] == ipc.encode()
    assert "ring=262144" in told["detail"].split()


@pytest.mark.shmzmq_only("rings are ours")
def test_why_there_are_no_rings_is_told_to_who_asks(zmq, sockets, watch, utils, ipc):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    reader = watch(pull, zmq.ShmEvent.ALL).reader
    with dial(ipc) as peer:
        peer.sendall(GREETING + ready(b"PUSH"))
        told = _own(utils, reader)
    assert told["event"] is zmq.ShmEvent.NO_RINGS
    assert told["detail"] == "peer speaks plain ZMTP"


@pytest.mark.shmzmq_only("rings are ours")
def test_what_broke_a_connection_is_told_to_who_asks(zmq, sockets, watch, utils, ipc):
    pull, push = sockets(zmq.PULL, maxmsgsize=10), sockets(zmq.PUSH)
    pull.bind(ipc)
    reader = watch(pull, zmq.ShmEvent.BROKEN).reader
    push.connect(ipc)
    push.send(bytes(11))
    push.send(b"fits")
    expect(pull, b"fits")
    assert _own(utils, reader)["detail"] == "frame of 11 bytes exceeds MAXMSGSIZE 10"
