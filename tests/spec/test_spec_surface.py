"""Names and ways of calling: constructors, subclasses, attributes, texts that programs match on.

Source: pyzmq's documented API; which of its names exist at all is tests/compat/test_surface.py.
"""

from __future__ import annotations

import contextlib
import gc

import pytest

from kit import expect, expect_error, wait_until

# --- constructors ------------------------------------------------------------------------------------------


def test_socket_needs_a_context(zmq):
    with pytest.raises(TypeError, match="context must be specified"):
        zmq.Socket(None, zmq.PAIR)


def test_socket_type_minus_one_means_not_specified(zmq, ctx):
    with pytest.raises(TypeError, match="socket_type must be specified"):
        ctx.socket(-1)


@pytest.mark.parametrize("kind", [None, "PAIR"])
def test_socket_type_is_an_integer(ctx, kind):
    with pytest.raises(TypeError):
        ctx.socket(kind)


def test_socket_without_a_type_is_a_pair(zmq, ctx):
    with zmq.Socket(ctx) as socket:
        assert socket.type == zmq.PAIR


@pytest.mark.parametrize("name", ["Socket", "Context"])
def test_shadow_of_something_else_is_value_error(zmq, name):
    with pytest.raises(ValueError, match="Cannot cast"):
        getattr(zmq, name)(shadow="something else")


def test_shadow_takes_what_carries_an_address(zmq, sockets):
    class Wrapper:
        underlying = 0

    pair, wrapper = sockets(zmq.PAIR), Wrapper()
    wrapper.underlying = pair.underlying
    assert zmq.Socket.shadow(wrapper).underlying == pair.underlying


@pytest.mark.parametrize(
    ("name", "argument"), [("Socket", bytes), ("Context", int), ("SyncSocket", None), ("SyncContext", None)]
)
def test_classes_can_be_subscripted_for_types(zmq, name, argument):
    alias = getattr(zmq, name) if argument is None else getattr(zmq, name)[argument]
    assert alias.__origin__ is getattr(zmq, name.removeprefix("Sync"))


def test_sync_context_makes_contexts(zmq):
    with zmq.SyncContext() as context:
        assert type(context) is zmq.Context


# --- subclasses --------------------------------------------------------------------------------------------


@pytest.fixture
def subclass(zmq):
    """A subclass with an argument of its own and an attribute that is only annotated."""

    class Counting(zmq.Socket):
        count: int

        def __init__(self, *args, start=0, **kwargs):
            super().__init__(*args, **kwargs)
            self.count = start

    return Counting


def test_subclass_may_take_its_own_arguments(zmq, ctx, subclass):
    with ctx.socket(zmq.PAIR, socket_class=subclass, start=7) as socket:
        assert socket.count == 7


def test_attribute_that_a_subclass_annotates_is_no_option(zmq, ctx, subclass):
    with subclass(ctx, zmq.PAIR) as socket:
        socket.count = 3
        assert socket.count == 3


def test_context_class_names_the_class_of_its_sockets(zmq, subclass):
    class CountingContext(zmq.Context):
        _socket_class = subclass

    with CountingContext() as context, context.socket(zmq.PAIR, start=5) as socket:
        assert socket.count == 5


def test_repr_of_a_subclass_names_it(zmq, ctx, subclass):
    with subclass(ctx, zmq.PAIR) as socket:
        assert f"{__name__}.Counting(zmq.PAIR)" in repr(socket)


def test_what_was_received_passes_through_deserialize(zmq, ctx, inproc):
    class Shouting(zmq.Socket):
        def _deserialize(self, recvd, load):
            return load(recvd.upper())

    with Shouting(ctx, zmq.PAIR) as socket, ctx.socket(zmq.PAIR) as peer:
        socket.bind(inproc)
        peer.connect(inproc)
        peer.send(b"text")
        peer.send(b'"json"')
        assert (socket.recv_string(), socket.recv_json()) == ("TEXT", "JSON")


# --- attributes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linger", "LINGER", "Linger", "lInGeR"])
def test_options_may_be_set_in_any_case(zmq, sockets, name):
    pair = sockets(zmq.PAIR)
    setattr(pair, name, 5)
    assert (pair.linger, pair.LINGER) == (5, 5)


def test_defaults_of_a_context_may_be_in_any_case(zmq, ctx):
    ctx.Linger = 5
    assert ctx.linger == 5
    del ctx.LinGer
    assert zmq.LINGER not in ctx.sockopts


@pytest.mark.parametrize("what", ["Socket", "Context"])
def test_unknown_attribute_is_named_as_an_option(zmq, ctx, sockets, what):
    holder = ctx if what == "Context" else sockets(zmq.PAIR)
    with pytest.raises(AttributeError):
        holder.foo  # noqa: B018
    with pytest.raises(AttributeError, match=f"{what} has no such option: FOO"):
        holder.foo = 1


def test_option_that_cannot_be_read_is_a_write_only_attribute(zmq, sockets):
    with pytest.raises(AttributeError, match="router_mandatory attribute is write-only"):
        sockets(zmq.ROUTER).router_mandatory  # noqa: B018


def test_subscribe_is_a_method_of_every_socket(zmq, sockets):
    pair = sockets(zmq.PAIR)
    for way in (pair.subscribe, pair.unsubscribe):
        with expect_error(zmq, "EINVAL"):
            way("topic")
    with expect_error(zmq, "EINVAL"):
        pair.subscribe = b"topic"


@pytest.mark.parametrize("name", ["join", "leave"])
def test_groups_need_a_build_with_drafts(zmq, sockets, name):
    with pytest.raises(RuntimeError, match="draft support"):
        getattr(sockets(zmq.PAIR), name)("group")


def test_socket_type_is_a_deprecated_name(zmq, sockets):
    with pytest.warns(DeprecationWarning, match=r"use Socket\.type"):
        assert sockets(zmq.PAIR).socket_type == zmq.PAIR


# --- options by number -------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["socket", "context"])
def test_options_are_named_by_number(zmq, ctx, sockets, holder):
    one = ctx if holder == "context" else sockets(zmq.PAIR)
    with pytest.raises(TypeError):
        one.get("linger")
    with pytest.raises(TypeError):
        one.set("linger", 0)


@pytest.mark.parametrize("holder", ["socket", "context"])
def test_value_of_an_unknown_option_is_an_int(zmq, ctx, sockets, holder):
    one = ctx if holder == "context" else sockets(zmq.PAIR)
    with pytest.raises(TypeError):
        one.set(9999, b"bytes")
    with pytest.raises(TypeError):
        one.set(9999, "text")
    with expect_error(zmq, "EINVAL"):
        one.set(9999, 1)


def test_option_that_is_no_text_is_not_read_as_text(zmq, sockets):
    with pytest.raises(TypeError, match="will not return a string"):
        sockets(zmq.PAIR).get_string(zmq.LINGER)


def test_unknown_option_is_no_text_either(zmq, sockets):
    with pytest.raises(ValueError, match="9999 is not a valid SocketOption"):
        sockets(zmq.PAIR).get_string(9999)


def test_thread_priority_is_not_what_is_read_under_its_number(zmq, ctx):
    before = ctx.get(zmq.SOCKET_LIMIT)
    ctx.set(zmq.THREAD_PRIORITY, 1)
    assert ctx.get(zmq.SOCKET_LIMIT) == before


def test_cpu_that_was_not_added_cannot_be_removed(zmq, ctx):
    ctx.set(zmq.THREAD_AFFINITY_CPU_ADD, 0)
    ctx.set(zmq.THREAD_AFFINITY_CPU_REMOVE, 0)
    with expect_error(zmq, "EINVAL"):
        ctx.set(zmq.THREAD_AFFINITY_CPU_REMOVE, 0)


@pytest.mark.parametrize("way", ["context.socket", "Socket"])
def test_options_of_the_context_give_new_sockets_their_defaults(zmq, ctx, way):
    ctx.set(zmq.IPV6, 1)
    ctx.set(zmq.BLOCKY, 0)
    with ctx.socket(zmq.PAIR) if way == "context.socket" else zmq.Socket(ctx, zmq.PAIR) as socket:
        assert (socket.ipv6, socket.linger) == (1, 0)


def test_shadow_has_the_options_of_its_context(zmq, ctx):
    ctx.set(zmq.MAX_SOCKETS, 7)
    shadow = zmq.Context(ctx)
    assert shadow.get(zmq.MAX_SOCKETS) == 7
    shadow.set(zmq.MAX_SOCKETS, 8)
    assert ctx.get(zmq.MAX_SOCKETS) == 8


# --- endpoints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bind", "connect"])
def test_bind_and_connect_return_what_they_did(zmq, sockets, inproc, kind):
    pair = sockets(zmq.PAIR)
    done = getattr(pair, kind)(inproc)
    assert (done.socket, done.kind, done.addr) == (pair, kind, inproc)
    assert repr(done) == f"<SocketContext({kind}={inproc!r})>"


def test_error_of_bind_names_the_endpoint(zmq, sockets, inproc):
    sockets(zmq.PAIR).bind(inproc)
    with expect_error(zmq, "EADDRINUSE") as caught:
        sockets(zmq.PAIR).bind(inproc)
    assert f"(addr={inproc!r})" in str(caught.value)


def test_random_port_is_taken_from_the_range(zmq, sockets, inproc):
    port = sockets(zmq.PAIR).bind_to_random_port(inproc, 1000, 1002)
    assert port in range(1000, 1002)


def test_random_port_gives_up_after_max_tries(zmq, sockets, inproc):
    sockets(zmq.PAIR).bind(f"{inproc}:1000")
    with pytest.raises(zmq.ZMQBindError, match="Could not bind socket to random port"):
        sockets(zmq.PAIR).bind_to_random_port(inproc, 1000, 1001, max_tries=3)


@pytest.mark.not_over("tcp", "the other transports do not have ports")
@pytest.mark.shmzmq_only("pyzmq binds to a port named * there and fails to read it as a number")
def test_random_port_without_a_range_works_without_tcp(zmq, sockets, endpoint):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    push.connect(f"{endpoint}:{pull.bind_to_random_port(endpoint)}")
    push.send(b"message")
    expect(pull, b"message")


def test_random_port_of_an_unknown_transport_is_refused(zmq, sockets):
    with expect_error(zmq, "EPROTONOSUPPORT") as caught:
        sockets(zmq.PAIR).bind_to_random_port("none://host")
    assert "addr='none://host:" in str(caught.value)


# --- ends --------------------------------------------------------------------------------------------------


def test_underlying_is_zero_after_the_end(zmq, sockets, new_context):
    pair, context = sockets(zmq.PAIR), new_context()
    pair.close()
    context.term()
    assert (pair.underlying, context.underlying) == (0, 0)


def test_close_with_a_linger_out_of_range_closes(zmq, sockets):
    pair = sockets(zmq.PAIR)
    pair.close(linger=-7)
    assert pair.closed


def test_closed_socket_is_forgotten_by_its_context(zmq, new_context):
    context = new_context()
    first, second = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    assert "(2 sockets)" in repr(context)
    first.close()
    assert "(1 socket)" in repr(context)
    second.close()
    assert "()" in repr(context)


@pytest.mark.shmzmq_only("multiprocessing children run no atexit; pyzmq ends at once")
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_linger_set_by_hand_holds_at_the_end_of_a_child(zmq, new_context, monkeypatch, closed):
    waits = []
    context = new_context()
    monkeypatch.setattr(zmq.context, "_ours", lambda: [context])
    monkeypatch.setattr(zmq.context, "_close_all", lambda contexts, timeout: waits.append(timeout))
    monkeypatch.setattr(zmq.context, "_child_is_flushed", False)
    monkeypatch.setattr(zmq.context, "close_counters", lambda: None)  # this process goes on
    with context.socket(zmq.PUSH) as push:
        push.linger = 10_000
        if closed:
            push.close()
        zmq.context._flush_child()
    assert waits == [None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_ending_a_shadow_ends_the_context(zmq):
    context = zmq.Context()
    zmq.Context(context).term()
    with pytest.raises(zmq.ZMQError):
        context.socket(zmq.PAIR)
    with contextlib.suppress(zmq.ZMQError):  # pyzmq can neither end such a context nor let it go in silence
        context.term()


@pytest.mark.shmzmq_only("pyzmq waits for ever for sockets that are garbage too")
def test_context_that_is_garbage_together_with_its_sockets_waits_for_nothing(zmq):
    context = zmq.Context()
    cycle = [context, context.socket(zmq.PAIR)]
    cycle.append(cycle)
    del context, cycle
    with pytest.warns(ResourceWarning, match="Unclosed"):
        gc.collect()
    zmq.Context().term()  # the next one ends what has no object any more, and its counters


@pytest.mark.shmzmq_only("pyzmq waits for ever for sockets that are garbage too")
def test_message_of_a_context_that_is_garbage_still_arrives(zmq, sockets, ipc):
    pull, context = sockets(zmq.PULL), zmq.Context()
    push = context.socket(zmq.PUSH)
    push.connect(ipc)
    push.send(b"message")
    cycle = [context, push]
    cycle.append(cycle)
    del context, push, cycle
    with pytest.warns(ResourceWarning, match="Unclosed"):
        gc.collect()
    pull.bind(ipc)
    expect(pull, b"message")
    # The next context finishes those that were left behind.
    wait_until(lambda: zmq.Context().term() or not zmq.context._orphans, "the orphan to end")


# --- functions ---------------------------------------------------------------------------------------------


def test_has_takes_text(zmq):
    assert zmq.has("ipc")
    assert not zmq.has("no such thing")
    with pytest.raises(TypeError):
        zmq.has(b"ipc")


def test_secret_key_has_40_characters(zmq):
    with pytest.raises(ValueError, match="40 byte z85"):
        zmq.curve_public(b"short")


@pytest.mark.shmzmq_only("pyzmq's wheels contain CURVE")
def test_curve_is_refused_as_by_a_libzmq_without_it(zmq):
    assert not zmq.has("curve")
    with expect_error(zmq, "ENOTSUP"):
        zmq.curve_keypair()
    with expect_error(zmq, "ENOTSUP"):
        zmq.curve_public("x" * 40)


def test_last_errno_is_that_of_the_failed_call(zmq, sockets):
    with pytest.raises(zmq.Again):
        sockets(zmq.PAIR).recv(zmq.DONTWAIT)
    assert zmq.zmq_errno() == zmq.EAGAIN
