"""The Socket object: closed ones, options as attributes, subclasses, context managers, poll, fileno.

Source: zmq_close(3), zmq_getsockopt(3), zmq_setsockopt(3), and pyzmq's documented Socket.
"""

from __future__ import annotations

import copy
import select

import pytest

from kit import CAP, CAP_MS, expect, expect_error, wait_until

TYPES = ["PAIR", "PUSH", "PULL", "REQ", "REP", "DEALER", "ROUTER"]

# --- closed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "send",
        "send_multipart",
        "recv",
        "recv_multipart",
        "bind",
        "connect",
        "unbind",
        "disconnect",
        "get",
        "set",
    ],
)
def test_closed_socket_is_no_socket(zmq, sockets, call):
    arguments = {
        "send": (b"",),
        "send_multipart": ([b"", b""],),
        "get": (zmq.LINGER,),
        "set": (zmq.LINGER, 0),
        "recv": (),
        "recv_multipart": (),
    }.get(call, ("inproc://x",))
    pair = sockets(zmq.PAIR)
    pair.close()
    with expect_error(zmq, "ENOTSOCK"):
        getattr(pair, call)(*arguments)


def test_closed_socket_has_no_fileno(zmq, sockets):
    pair = sockets(zmq.PAIR)
    pair.close()
    with expect_error(zmq, "ENOTSOCK"):
        pair.fileno()


def test_closed_socket_cannot_be_polled(zmq, sockets):
    pair = sockets(zmq.PAIR)
    pair.close()
    with expect_error(zmq, "ENOTSUP"):
        pair.poll(0)


def test_closed_socket_may_be_closed_again(zmq, sockets):
    pair = sockets(zmq.PAIR)
    pair.close()
    pair.close()
    assert pair.closed


def test_with_socket_closes_it(zmq, ctx):
    with ctx.socket(zmq.PAIR) as pair:
        assert not pair.closed
    assert pair.closed


def test_with_socket_closes_it_after_an_error(zmq, ctx):
    with pytest.raises(KeyError), ctx.socket(zmq.PAIR) as pair:
        raise KeyError
    assert pair.closed


def test_repr_tells_type_and_state(zmq, sockets):
    push = sockets(zmq.PUSH)
    assert "PUSH" in repr(push)
    assert "closed" not in repr(push)
    push.close()
    assert "closed" in repr(push)


# --- made --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_socket_knows_its_type(zmq, sockets, kind):
    socket = sockets(getattr(zmq, kind))
    assert socket.type == socket.get(zmq.TYPE) == getattr(zmq, kind)


def test_socket_knows_its_context(zmq, ctx, sockets):
    assert sockets(zmq.PUSH).context is ctx


@pytest.mark.parametrize("kind", [99, 1000])
def test_unknown_socket_type_is_invalid(zmq, ctx, kind):
    with expect_error(zmq, "EINVAL"):
        ctx.socket(kind)


@pytest.mark.parametrize("arguments", [(), ("context",)], ids=["nothing", "no type"])
def test_socket_needs_a_context_and_a_type(zmq, ctx, arguments):
    with pytest.raises(TypeError):
        zmq.Socket(*arguments)


def test_socket_may_be_made_without_the_context_method(zmq, ctx):
    with zmq.Socket(ctx, zmq.PUSH) as push:
        assert push.type == zmq.PUSH


# --- options -----------------------------------------------------------------------------------------------

DEFAULTS = {
    "linger": -1,
    "sndhwm": 1000,
    "rcvhwm": 1000,
    "sndtimeo": -1,
    "rcvtimeo": -1,
    "immediate": 0,
    "reconnect_ivl": 100,
    "reconnect_ivl_max": 0,
    "identity": b"",
    "backlog": 100,
    "handshake_ivl": 30000,
    "maxmsgsize": -1,
    "rcvmore": 0,
    "last_endpoint": b"",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_option_has_the_default_of_libzmq(zmq, ctx, name):
    with ctx.socket(zmq.DEALER) as dealer:
        assert dealer.get(getattr(zmq, name.upper())) == DEFAULTS[name]


@pytest.mark.parametrize("name", ["linger", "LINGER"])
def test_options_are_attributes_in_either_case(zmq, sockets, name):
    push = sockets(zmq.PUSH)
    setattr(push, name, 42)
    assert getattr(push, name) == push.linger == push.LINGER == push.get(zmq.LINGER) == 42


def test_getsockopt_and_setsockopt_are_other_names(zmq, sockets):
    push = sockets(zmq.PUSH)
    push.setsockopt(zmq.LINGER, 42)
    assert push.getsockopt(zmq.LINGER) == 42


def test_hwm_sets_both_marks_and_gets_one(zmq, sockets):
    push = sockets(zmq.PUSH)
    push.hwm = 7
    assert (push.sndhwm, push.rcvhwm, push.hwm) == (7, 7, 7)


def test_set_hwm_and_get_hwm_do_as_the_property(zmq, sockets):
    push = sockets(zmq.PUSH)
    push.set_hwm(7)
    assert (push.sndhwm, push.rcvhwm, push.get_hwm()) == (7, 7, 7)


def test_string_options_are_encoded(zmq, sockets):
    dealer = sockets(zmq.DEALER)
    dealer.set_string(zmq.IDENTITY, "größe")
    assert dealer.identity == "größe".encode()
    assert dealer.get_string(zmq.IDENTITY) == "größe"


def test_routing_id_and_identity_are_one_option(zmq, sockets):
    dealer = sockets(zmq.DEALER, routing_id=b"name")
    assert dealer.identity == b"name"
    assert zmq.ROUTING_ID == zmq.IDENTITY


@pytest.mark.parametrize("identity", [b"", b"x" * 256], ids=len)
def test_identity_has_1_to_255_bytes(zmq, sockets, identity):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.DEALER).set(zmq.IDENTITY, identity)


@pytest.mark.parametrize(
    ("name", "value"), [("LINGER", -2), ("SNDHWM", -1), ("RCVHWM", -1), ("IMMEDIATE", 2)]
)
def test_value_out_of_range_is_invalid(zmq, sockets, name, value):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PUSH).set(getattr(zmq, name), value)


@pytest.mark.parametrize("name", ["RCVMORE", "FD", "EVENTS", "TYPE", "LAST_ENDPOINT"])
def test_state_cannot_be_set(zmq, sockets, name):
    value = b"x" if name == "LAST_ENDPOINT" else 1
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PUSH).set(getattr(zmq, name), value)


@pytest.mark.parametrize(
    "name", ["ROUTER_MANDATORY", "ROUTER_HANDOVER", "PROBE_ROUTER", "REQ_RELAXED", "REQ_CORRELATE"]
)
def test_option_of_another_type_is_invalid(zmq, sockets, name):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PUSH).set(getattr(zmq, name), 1)


def test_unknown_option_number_is_invalid(zmq, sockets):
    push = sockets(zmq.PUSH)
    with expect_error(zmq, "EINVAL"):
        push.get(9999)
    with expect_error(zmq, "EINVAL"):
        push.set(9999, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINGER", "1"),
        ("LINGER", b"1"),
        ("LINGER", None),
        ("LINGER", 1.5),
        ("IDENTITY", "x"),
        ("IDENTITY", 1),
    ],
)
def test_option_value_of_the_wrong_type_is_a_type_error(zmq, sockets, name, value):
    with pytest.raises(TypeError):
        sockets(zmq.DEALER).set(getattr(zmq, name), value)


def test_option_value_that_no_int_holds_overflows(zmq, sockets):
    with pytest.raises(OverflowError):
        sockets(zmq.PUSH).set(zmq.LINGER, 1 << 40)


def test_failed_set_leaves_the_option(zmq, sockets):
    push = sockets(zmq.PUSH, linger=5)
    with expect_error(zmq, "EINVAL"):
        push.linger = -2
    assert push.linger == 5


def test_unknown_attribute_is_no_attribute(zmq, sockets):
    push = sockets(zmq.PUSH)
    assert not hasattr(push, "no_such_option")
    with pytest.raises(AttributeError):
        push.no_such_option = 1


def test_option_that_can_only_be_set_is_no_attribute_to_read(zmq, sockets):
    assert not hasattr(sockets(zmq.ROUTER), "router_mandatory")


def test_dir_lists_the_options(zmq, sockets):
    assert {"LINGER", "SNDHWM", "send", "recv"} <= set(dir(sockets(zmq.PUSH)))


# --- subclasses --------------------------------------------------------------------------------------------


@pytest.fixture
def named(zmq):
    """A subclass with an argument and an attribute of its own."""

    class Named(zmq.Socket):
        name: str = "nobody"

        def __init__(self, *args, name="nobody", **kwargs):
            super().__init__(*args, **kwargs)
            self.name = name

        def send(self, data, *args, **kwargs):
            return super().send(self.name.encode() + b": " + data, *args, **kwargs)

    return Named


def test_subclass_takes_its_own_arguments(zmq, ctx, named):
    with ctx.socket(zmq.PUSH, socket_class=named, name="Ada") as push:
        assert type(push) is named
        assert push.name == "Ada"


def test_subclass_may_be_made_directly(zmq, ctx, named):
    with named(ctx, zmq.PUSH, name="Ada") as push:
        assert (push.name, push.type, push.context) == ("Ada", zmq.PUSH, ctx)


def test_method_of_a_subclass_is_called(zmq, ctx, sockets, named, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    with ctx.socket(zmq.PUSH, socket_class=named, name="Ada") as push:
        push.connect(endpoint)
        push.send(b"hello")
        expect(pull, b"Ada: hello")


def test_send_multipart_uses_the_send_of_a_subclass_for_each_part(zmq, ctx, sockets, named, endpoint):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    with ctx.socket(zmq.PUSH, socket_class=named, name="Ada") as push:
        push.connect(endpoint)
        push.send_multipart([b"a", b"b"])
        expect(pull, b"Ada: a", b"Ada: b")


def test_recv_multipart_uses_the_recv_of_a_subclass_for_each_part(zmq, ctx, sockets, endpoint):
    class Shouting(zmq.Socket):
        def recv(self, *args, **kwargs):
            return super().recv(*args, **kwargs).upper()

    push = sockets(zmq.PUSH)
    push.bind(endpoint)
    with ctx.socket(zmq.PULL, socket_class=Shouting) as pull:
        pull.rcvtimeo = CAP_MS
        pull.connect(endpoint)
        push.send_multipart([b"a", b"b"])
        assert pull.recv_multipart() == [b"A", b"B"]


def test_subclass_attribute_that_was_not_declared_is_refused(zmq, ctx, named):
    with ctx.socket(zmq.PUSH, socket_class=named) as push, pytest.raises(AttributeError):
        push.undeclared = 1


# --- shadows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["positional", "keyword", "shadow", "shadow of address", "copy"])
def test_shadow_is_the_same_socket(zmq, sockets, inproc, way):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    shadow = {
        "positional": lambda: zmq.Socket(push),
        "keyword": lambda: zmq.Socket(shadow=push),
        "shadow": lambda: zmq.Socket.shadow(push),
        "shadow of address": lambda: zmq.Socket.shadow(push.underlying),
        "copy": lambda: copy.copy(push),
    }[way]()
    assert shadow.underlying == push.underlying
    shadow.send(b"through the shadow")
    expect(pull, b"through the shadow")


def test_socket_outlives_its_shadow(zmq, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    shadow = zmq.Socket(push)
    del shadow
    push.send(b"still here")
    expect(pull, b"still here")


def test_closing_a_shadow_closes_the_socket(zmq, sockets):
    push = sockets(zmq.PUSH)
    zmq.Socket(push).close()
    assert push.closed


# --- poll and fileno ---------------------------------------------------------------------------------------


@pytest.fixture
def couple(zmq, sockets, endpoint):
    """A DEALER connected to a bound one."""
    one, other = sockets(zmq.DEALER), sockets(zmq.DEALER)
    one.bind(endpoint)
    other.connect(endpoint)
    return one, other


def test_poll_asks_for_messages_by_default(zmq, couple):
    one, other = couple
    assert one.poll(0) == 0
    other.send(b"")
    assert one.poll(CAP_MS) == zmq.POLLIN


def test_poll_answers_only_what_was_asked(zmq, couple):
    one, other = couple
    other.send(b"")
    assert one.poll(CAP_MS, zmq.POLLIN) == zmq.POLLIN
    assert one.poll(CAP_MS, zmq.POLLOUT) == zmq.POLLOUT
    assert one.poll(CAP_MS, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN | zmq.POLLOUT


def test_poll_does_not_consume(couple):
    one, other = couple
    other.send(b"message")
    for _ in range(3):
        assert one.poll(CAP_MS)
    expect(one, b"message")


def test_poll_is_quiet_again_when_all_was_read(couple):
    one, other = couple
    other.send_multipart([b"a", b"b"])
    assert one.poll(CAP_MS)
    one.recv()
    assert one.poll(0)
    one.recv()
    assert not one.poll(0)


def test_events_tell_the_same_as_poll(zmq, couple):
    one, other = couple
    assert other.get(zmq.EVENTS) == zmq.POLLOUT
    other.send(b"")
    one.poll(CAP_MS)
    assert one.get(zmq.EVENTS) == zmq.POLLIN | zmq.POLLOUT


def test_fileno_is_the_fd_option(zmq, sockets):
    pair = sockets(zmq.PAIR)
    assert pair.fileno() == pair.FD == pair.get(zmq.FD)
    assert pair.fileno() >= 0


def test_fileno_becomes_readable_when_a_message_comes(zmq, couple):
    """zmq_getsockopt(3) ZMQ_FD: readable means that EVENTS must be asked."""
    one, other = couple
    while one.get(zmq.EVENTS) & zmq.POLLOUT == 0:  # the news of the peer itself
        assert select.select([one.fileno()], [], [], CAP)[0], "no news of the peer"
    other.send(b"message")
    while not one.get(zmq.EVENTS) & zmq.POLLIN:
        assert select.select([one.fileno()], [], [], CAP)[0], "no news of the message"
    expect(one, b"message")


@pytest.mark.shmzmq_only("asks peers(), which is ours")
def test_fileno_asked_for_first_tells_of_a_peer_that_came_before(zmq, sockets, ipc):
    """EVENTS said no; until FD was asked for, nobody's doorbell rang for the peer."""
    one, other = sockets(zmq.DEALER), sockets(zmq.DEALER)
    one.bind(ipc)
    assert one.get(zmq.EVENTS) == 0
    other.connect(ipc)
    wait_until(lambda: one.peers() and one.peers()[0]["transport"] == "ring", "the peer")
    assert select.select([one.fileno()], [], [], CAP)[0], "no news of the peer"
    assert one.get(zmq.EVENTS) == zmq.POLLOUT


def test_fileno_tells_of_each_of_many_messages(zmq, couple):
    one, other = couple
    received = 0
    for _ in range(100):
        other.send(b"message")
        while not one.get(zmq.EVENTS) & zmq.POLLIN:
            assert select.select([one.fileno()], [], [], CAP)[0], f"no news after {received} messages"
        while one.get(zmq.EVENTS) & zmq.POLLIN:
            expect(one, b"message")
            received += 1
    assert received == 100


@pytest.mark.parametrize("value", [b"x", "x", None, 1.5], ids=repr)
def test_unknown_option_is_taken_for_one_with_an_int(zmq, sockets, value):
    with pytest.raises(TypeError):
        sockets(zmq.PAIR).setsockopt(0x7777, value)
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PAIR).setsockopt(0x7777, 1)
