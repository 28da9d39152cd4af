"""bind, connect, unbind, disconnect: what they accept, what they refuse and with which words.

Source: zmq_bind(3), zmq_connect(3), zmq_unbind(3), zmq_disconnect(3); pyzmq adds the operand to the text.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kit import expect, expect_error, marry, path_of, refused, wait_until


@pytest.fixture
def call(zmq, sockets):
    """A function `call(verb, endpoint)` on a fresh PAIR."""
    return lambda verb, endpoint: getattr(sockets(zmq.PAIR), verb)(endpoint)


# --- refused -----------------------------------------------------------------------------------------------

MALFORMED = ["", "x", "ipc:/x", "ipc://", "inproc://", "inproc:", "://x", "/tmp/x"]


@pytest.mark.parametrize("verb", ["bind", "connect"])
@pytest.mark.parametrize("endpoint", MALFORMED)
def test_malformed_endpoint_is_invalid(zmq, call, verb, endpoint):
    with expect_error(zmq, "EINVAL"):
        call(verb, endpoint)


@pytest.mark.parametrize("verb", ["bind", "connect"])
@pytest.mark.parametrize("endpoint", ["foo://bar", "IPC:///tmp/x", "http://localhost"])
def test_unknown_scheme_is_not_supported(zmq, call, verb, endpoint):
    with expect_error(zmq, "EPROTONOSUPPORT"):
        call(verb, endpoint)


@pytest.mark.parametrize("verb", ["bind", "connect"])
@pytest.mark.parametrize("endpoint", ["nonsense", "foo://bar"])
def test_error_names_the_endpoint(zmq, call, verb, endpoint):
    with pytest.raises(zmq.ZMQError) as caught:
        call(verb, endpoint)
    assert f"addr={endpoint!r}" in str(caught.value)


@pytest.mark.parametrize("verb", ["bind", "connect", "unbind", "disconnect"])
@pytest.mark.parametrize("endpoint", [5, None, ["ipc://x"]], ids=lambda value: type(value).__name__)
def test_endpoint_that_is_no_text_is_a_type_error(call, verb, endpoint):
    with pytest.raises(TypeError):
        call(verb, endpoint)


@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_ipc_path_beyond_the_limit_is_too_long(zmq, call, verb):
    with expect_error(zmq, "ENAMETOOLONG"):
        call(verb, "ipc:///tmp/" + "x" * zmq.IPC_PATH_MAX_LEN)


def test_bind_says_how_long_an_ipc_path_may_be(zmq, call):
    with expect_error(zmq, "ENAMETOOLONG") as caught:
        call("bind", "ipc:///tmp/" + "x" * 200)
    assert str(zmq.IPC_PATH_MAX_LEN) in str(caught.value)
    assert "x" * 200 in str(caught.value)


def test_bind_in_a_missing_directory_finds_no_entry(zmq, call, scratch):
    with expect_error(zmq, "ENOENT") as caught:
        call("bind", f"ipc://{scratch}/missing/socket")
    assert f"{scratch}/missing/socket" in str(caught.value)


def test_connect_to_a_missing_directory_waits_for_it(zmq, sockets, scratch):
    endpoint = f"ipc://{scratch}/later/socket"
    push, pull = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    push.connect(endpoint)
    push.send(b"patience")
    (scratch / "later").mkdir()
    pull.bind(endpoint)
    expect(pull, b"patience")
    pull.unbind(endpoint)
    wait_until(lambda: remove_directory(scratch / "later"), "the directory to be free of the socket")


def remove_directory(directory) -> bool:
    """True when the directory is gone; on pyzmq the socket file in it stays and goes with it."""
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    return True


def test_bind_on_a_directory_is_an_address_in_use(zmq, call, scratch):
    with expect_error(zmq, "EADDRINUSE"):
        call("bind", f"ipc://{scratch}")
    assert scratch.is_dir()


def test_second_bind_of_an_inproc_name_is_refused(zmq, sockets, inproc):
    first, second = sockets(zmq.PAIR), sockets(zmq.PAIR)
    first.bind(inproc)
    with expect_error(zmq, "EADDRINUSE") as caught:
        second.bind(inproc)
    assert inproc in str(caught.value)


def test_second_bind_of_an_inproc_name_by_the_same_socket_is_refused(zmq, sockets, inproc):
    pair = sockets(zmq.PAIR)
    pair.bind(inproc)
    with expect_error(zmq, "EADDRINUSE"):
        pair.bind(inproc)


def test_failed_bind_leaves_the_socket_usable(zmq, sockets, scratch, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    with pytest.raises(zmq.ZMQError):
        pull.bind(f"ipc://{scratch}/missing/socket")
    with pytest.raises(zmq.ZMQError):
        push.connect("foo://bar")
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"message")
    expect(pull, b"message")


@pytest.mark.parametrize("verb", ["unbind", "disconnect"])
def test_undoing_what_was_not_done_finds_no_entry(zmq, call, verb, endpoint):
    with expect_error(zmq, "ENOENT"):
        call(verb, endpoint)


@pytest.mark.parametrize("verb", ["unbind", "disconnect"])
def test_undoing_a_malformed_endpoint_is_invalid(zmq, call, verb):
    with expect_error(zmq, "EINVAL"):
        call(verb, "nonsense")


def test_second_unbind_finds_no_entry(zmq, sockets, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    pull.unbind(endpoint)
    with expect_error(zmq, "ENOENT"):
        pull.unbind(endpoint)


def test_second_disconnect_finds_no_entry(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.disconnect(endpoint)
    with expect_error(zmq, "ENOENT"):
        push.disconnect(endpoint)


# --- accepted ----------------------------------------------------------------------------------------------


def test_endpoint_may_be_bytes(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint.encode())
    push.connect(endpoint.encode())
    push.send(b"message")
    expect(pull, b"message")


def test_ipc_path_of_exactly_the_limit_works(zmq, sockets, scratch):
    start = f"{scratch}/"
    endpoint = "ipc://" + start + "x" * (zmq.IPC_PATH_MAX_LEN - len(start))
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"message")
    expect(pull, b"message")


def test_inproc_names_are_not_limited_like_paths(zmq, sockets):
    endpoint = "inproc://" + "long name " * 20
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"message")
    expect(pull, b"message")


def test_inproc_names_belong_to_their_context(zmq, sockets, new_context, inproc):
    ours, theirs = sockets(zmq.PULL), sockets(zmq.PULL, context=new_context())
    ours.bind(inproc)
    theirs.bind(inproc)


def test_inproc_name_is_free_again_after_close(zmq, sockets, inproc):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(inproc)
    first.close()

    # libzmq frees the name from its reaper thread, a moment after the close.
    wait_until(lambda: not refused(zmq, "EADDRINUSE", second.bind, inproc), "the name to be free")


def test_inproc_name_is_free_again_after_unbind(zmq, sockets, inproc):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(inproc)
    first.unbind(inproc)
    second.bind(inproc)


def test_last_endpoint_is_empty_before_bind(zmq, sockets):
    assert sockets(zmq.PULL).last_endpoint == b""


def test_last_endpoint_is_what_was_bound(zmq, sockets, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    assert pull.last_endpoint == endpoint.encode()


def test_last_endpoint_is_what_was_connected(zmq, sockets, endpoint):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(endpoint)
    push.connect(endpoint)
    assert push.last_endpoint == endpoint.encode()


# --- unbind and disconnect ---------------------------------------------------------------------------------


def test_unbind_takes_no_new_connections(zmq, sockets, endpoint):
    pull, late = sockets(zmq.PULL), sockets(zmq.PUSH, immediate=1)
    pull.bind(endpoint)
    pull.unbind(endpoint)
    successor = sockets(zmq.PULL)
    successor.bind(endpoint)
    late.connect(endpoint)
    late.send(b"to the successor")
    expect(successor, b"to the successor")


def test_unbind_keeps_messages_that_have_arrived(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    for number in range(10):
        push.send(b"%d" % number)
    pull.unbind(inproc)
    assert [pull.recv() for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_unbind_ends_the_connections_made_through_the_endpoint(zmq, sockets, ipc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    push.bind(ipc)
    pull.connect(ipc)
    marry(push, pull)
    push.unbind(ipc)
    wait_until(lambda: not push.poll(0, zmq.POLLOUT), "the PUSH that unbound to have no peer")


def test_inproc_connections_outlive_an_unbind(zmq, sockets, inproc):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(inproc)
    push.connect(inproc)
    marry(push, pull)
    pull.unbind(inproc)
    push.send(b"still here")
    expect(pull, b"still here")


def test_other_endpoints_outlive_an_unbind(zmq, sockets, endpoints):
    one, other = endpoints(2)
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(one)
    pull.bind(other)
    push.connect(other)
    marry(push, pull)
    pull.unbind(one)
    push.send(b"still here")
    expect(pull, b"still here")


def test_disconnected_push_has_nobody_to_send_to(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    push.disconnect(endpoint)
    wait_until(lambda: not push.poll(0, zmq.POLLOUT), "the PUSH to have no peer")
    with expect_error(zmq, "EAGAIN"):
        push.send(b"to nobody", zmq.DONTWAIT)


def test_disconnect_delivers_what_was_sent_before(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    for number in range(100):
        push.send(b"%d" % number)
    push.disconnect(endpoint)
    assert [pull.recv() for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_disconnect_leaves_the_other_connections(zmq, sockets, endpoints):
    one, other = endpoints(2)
    push, left, kept = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    left.bind(one)
    kept.bind(other)
    push.connect(one)
    push.connect(other)
    marry(push, left, kept)
    push.disconnect(one)

    def only_kept_is_served():
        push.send(b"")
        push.send(b"")
        expect(kept, b"")
        return kept.poll(50) and kept.recv() == b""

    wait_until(only_kept_is_served, "both of two messages to go to the connection that was kept")


def test_socket_may_connect_again_after_disconnect(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    for number in range(3):
        push.connect(endpoint)
        push.send(b"%d" % number)
        expect(pull, b"%d" % number)
        push.disconnect(endpoint)


# --- as context managers -----------------------------------------------------------------------------------


def test_with_bind_gives_the_socket_and_unbinds_at_the_end(zmq, sockets, endpoint):
    pull = sockets(zmq.PULL)
    with pull.bind(endpoint) as entered:
        assert entered is pull
    with expect_error(zmq, "ENOENT"):
        pull.unbind(endpoint)
    assert not pull.closed


def test_with_connect_gives_the_socket_and_disconnects_at_the_end(zmq, sockets, endpoint):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind(endpoint)
    with push.connect(endpoint) as entered:
        assert entered is push
        push.send(b"inside")
    with expect_error(zmq, "ENOENT"):
        push.disconnect(endpoint)
    expect(pull, b"inside")


def test_with_bind_of_a_wildcard_unbinds_what_was_bound(zmq, sockets, scratch, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(scratch))
    pull = sockets(zmq.PULL)
    with pull.bind("ipc://*"):
        bound = pull.last_endpoint
    with expect_error(zmq, "ENOENT"):
        pull.unbind(bound)


def test_with_bind_ends_quietly_if_the_socket_was_closed_inside(zmq, sockets, endpoint):
    pull = sockets(zmq.PULL)
    with pull.bind(endpoint):
        pull.close()
    assert pull.closed


# --- order of bind and connect -----------------------------------------------------------------------------


def test_bind_may_come_before_connect(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    push.send(b"message")
    expect(pull, b"message")


def test_connect_may_come_before_bind(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    pull.bind(endpoint)
    push.send(b"message")
    expect(pull, b"message")


def test_many_connects_may_wait_for_one_bind(zmq, sockets, endpoint):
    pushes = [sockets(zmq.PUSH) for _ in range(10)]
    for number, push in enumerate(pushes):
        push.connect(endpoint)
        push.send(b"%d" % number)
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    assert sorted(pull.recv() for _ in pushes) == [b"%d" % number for number in range(10)]


def test_socket_that_closed_before_the_bind_still_delivers_on_inproc(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(inproc)
    push.send(b"left behind")
    push.close(linger=-1)
    pull.bind(inproc)
    expect(pull, b"left behind")


def test_socket_that_closed_before_the_bind_still_delivers_on_ipc(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(ipc)
    push.send(b"left behind")
    push.close(linger=-1)
    pull.bind(ipc)
    expect(pull, b"left behind")


def test_ipc_path_is_a_socket_file(zmq, sockets, ipc):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    assert Path(path_of(ipc)).is_socket()
