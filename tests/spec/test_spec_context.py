"""Context: one per process, or many; its term, its shadows, the defaults it gives its sockets.

Source: zmq_ctx_term(3), zmq_ctx_set(3), and pyzmq's documented Context.
"""

from __future__ import annotations

import copy
import gc
import warnings

import pytest

from kit import CAP_MS, end_context, expect, expect_error, refused, wait_until

# --- a context that has ended ------------------------------------------------------------------------------


@pytest.fixture
def ended(new_context):
    """A context that was terminated."""
    context = new_context()
    context.term()
    return context


def test_ended_context_says_that_it_is_closed(zmq, ended):
    assert ended.closed


def test_ended_context_makes_no_sockets(zmq, ended):
    with expect_error(zmq, "ENOTSUP"):
        ended.socket(zmq.PUSH)


def test_ended_context_may_be_terminated_again(ended):
    ended.term()
    ended.destroy()


def test_ended_context_refuses_options(zmq, ended):
    with pytest.raises(RuntimeError):
        ended.get(zmq.IO_THREADS)
    with pytest.raises(RuntimeError):
        ended.set(zmq.IO_THREADS, 1)


@pytest.mark.shmzmq_only("pyzmq refuses too, but keeps an fd of the context that it refused")
def test_context_refuses_a_negative_number_of_threads(zmq):
    with expect_error(zmq, "EINVAL"):
        zmq.Context(-1)


def test_context_refuses_a_number_of_threads_that_is_no_number(zmq):
    with pytest.raises(TypeError):
        zmq.Context("many")


# --- term --------------------------------------------------------------------------------------------------


def test_term_returns_when_there_was_no_socket(zmq, new_context):
    new_context().term()


def test_term_returns_when_all_sockets_are_closed(zmq, new_context):
    context = new_context()
    for kind in (zmq.PAIR, zmq.PUSH, zmq.PULL, zmq.REQ, zmq.REP, zmq.DEALER, zmq.ROUTER):
        context.socket(kind).close()
    end_context(zmq, context)


def test_term_ends_a_recv_in_another_thread(zmq, new_context, task):
    """zmq_ctx_term(3): any blocking operations in progress shall return immediately with ETERM."""
    context = new_context()

    def receive():
        with context.socket(zmq.PULL) as pull:
            pull.recv()

    receiving = task(receive)
    receiving.wait_blocked()
    end_context(zmq, context)
    with expect_error(zmq, "ETERM"):
        receiving.result()


def test_term_ends_a_send_in_another_thread(zmq, new_context, task):
    """zmq_ctx_term(3): any blocking operations in progress shall return immediately with ETERM."""
    context = new_context()

    def send():
        with context.socket(zmq.PUSH) as push:
            push.send(b"to nobody")

    sending = task(send)
    sending.wait_blocked()
    end_context(zmq, context)
    with expect_error(zmq, "ETERM"):
        sending.result()


def test_term_ends_a_poll_in_another_thread(zmq, new_context, task):
    """zmq_ctx_term(3): any blocking operations in progress shall return immediately with ETERM."""
    context = new_context()

    def poll():
        with context.socket(zmq.PULL) as pull:
            pull.poll()

    polling = task(poll)
    polling.wait_blocked()
    end_context(zmq, context)
    with expect_error(zmq, "ETERM"):
        polling.result()


def test_term_waits_until_the_last_socket_is_closed(zmq, new_context, task):
    """zmq_ctx_term(3): shall block until all sockets open within the context have been closed."""
    context = new_context()
    pull = context.socket(zmq.PULL)
    ending = task(context.term)
    ending.wait_blocked()
    pull.close()
    ending.result()


def test_socket_may_be_closed_with_a_linger_while_its_context_ends(zmq, new_context, task):
    """An ending context refuses calls, but not the option that is part of close."""
    context = new_context()
    pull = context.socket(zmq.PULL)
    ending = task(context.term)
    ending.wait_blocked()
    with expect_error(zmq, "ETERM"):
        pull.recv()
    pull.close(linger=0)
    ending.result()


@pytest.fixture
def ending(zmq, new_context, task):
    """A PULL and its context, whose term is under way and waits for it."""
    context = new_context()
    pull = context.socket(zmq.PULL)
    under_way = task(context.term)
    under_way.wait_blocked()
    yield pull, context
    pull.close()
    under_way.result()


@pytest.mark.parametrize("call", ["recv", "poll", "bind", "connect", "get", "set", "send"])
def test_calls_on_sockets_of_an_ending_context_are_refused(zmq, ending, call):
    """zmq_ctx_term(3): any further operations on sockets open within the context shall fail with ETERM."""
    pull, _context = ending
    arguments = {
        "bind": ("inproc://x",),
        "connect": ("inproc://x",),
        "get": (zmq.LINGER,),
        "set": (zmq.LINGER, 0),
        "send": (b"",),
    }
    with expect_error(zmq, "ETERM"):
        pull.poll(0)  # libzmq learns of the end in a call that looks at its mailbox; get and set alone do not
    with expect_error(zmq, "ETERM"):
        getattr(pull, call)(*arguments.get(call, ()))


def test_ending_context_makes_no_sockets(zmq, ending):
    _pull, context = ending
    with pytest.raises(zmq.ZMQError) as caught:
        context.socket(zmq.PUSH)
    assert caught.value.errno == zmq.ETERM


def test_socket_of_an_ending_context_is_not_closed(ending):
    pull, context = ending
    assert not pull.closed
    assert not context.closed


# --- destroy, with, and the garbage collector --------------------------------------------------------------


def test_destroy_closes_the_sockets(zmq, new_context):
    context = new_context()
    made = [context.socket(kind) for kind in (zmq.PUSH, zmq.PULL)]
    context.destroy()
    assert context.closed
    assert all(socket.closed for socket in made)


def test_destroy_with_linger_drops_what_is_pending(zmq, new_context, ipc):
    context = new_context()
    push = context.socket(zmq.PUSH)
    push.connect(ipc)
    push.send(b"dropped")
    context.destroy(linger=0)
    assert context.closed


def test_with_context_closes_its_sockets_and_ends_it(zmq):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with zmq.Context() as context:
            push = context.socket(zmq.PUSH)
        assert push.closed
        assert context.closed


def test_with_context_warns_of_sockets_left_open(zmq):
    with pytest.warns(ResourceWarning, match="unclosed socket"), zmq.Context() as context:
        push = context.socket(zmq.PUSH)
    assert push.closed


def test_collected_socket_warns_and_is_closed(zmq, new_context):
    context = new_context()

    def forget_a_socket():
        context.socket(zmq.PUSH)
        gc.collect()

    with pytest.warns(ResourceWarning, match="[Uu]nclosed socket"):
        forget_a_socket()
    end_context(zmq, context)


def test_collected_context_warns_and_ends(zmq):
    def forget_a_context():
        zmq.Context().socket(zmq.PUSH).close()
        gc.collect()

    with pytest.warns(ResourceWarning, match="[Uu]nclosed context"):
        forget_a_context()


def test_closed_socket_does_not_warn(zmq, new_context):
    context = new_context()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        context.socket(zmq.PUSH).close()
        gc.collect()


# --- instance ----------------------------------------------------------------------------------------------


@pytest.fixture
def instance(zmq):
    """The process-wide context, which ends with the test."""
    context = zmq.Context.instance()
    yield context
    if not context.closed:
        end_context(zmq, context)


def test_instance_is_the_same_each_time(zmq, instance):
    assert zmq.Context.instance() is instance


def test_instance_is_a_new_one_after_term(zmq, instance):
    instance.term()
    successor = zmq.Context.instance()
    assert successor is not instance
    assert not successor.closed
    successor.term()


def test_context_made_by_hand_is_not_the_instance(zmq, instance, new_context):
    assert new_context() is not instance


# --- shadows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["positional", "keyword", "shadow", "shadow of address", "copy", "deepcopy"])
def test_shadow_shares_the_context(zmq, ctx, sockets, inproc, way):
    shadow = {
        "positional": lambda: zmq.Context(ctx),
        "keyword": lambda: zmq.Context(shadow=ctx),
        "shadow": lambda: zmq.Context.shadow(ctx),
        "shadow of address": lambda: zmq.Context.shadow(ctx.underlying),
        "copy": lambda: copy.copy(ctx),
        "deepcopy": lambda: copy.deepcopy(ctx),
    }[way]()
    assert shadow is not ctx
    assert shadow.underlying == ctx.underlying
    push, pull = sockets(zmq.PUSH, context=shadow), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    push.send(b"across")
    expect(pull, b"across")


def test_context_outlives_its_shadow(zmq, ctx, sockets, inproc):
    shadow = zmq.Context(ctx)
    push, pull = sockets(zmq.PUSH, context=shadow), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    del shadow
    gc.collect()
    push.send(b"still here")
    expect(pull, b"still here")
    assert not ctx.closed


def test_underlying_is_an_address(ctx):
    assert isinstance(ctx.underlying, int)
    assert ctx.underlying > 0


def test_contexts_have_different_addresses(new_context):
    assert new_context().underlying != new_context().underlying


# --- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("IO_THREADS", 1), ("MAX_SOCKETS", 1023), ("BLOCKY", 1)])
def test_context_options_have_the_defaults_of_libzmq(zmq, ctx, name, value):
    assert ctx.get(getattr(zmq, name)) == value


def test_context_options_are_attributes_too(zmq, ctx):
    ctx.io_threads = 2
    assert (ctx.IO_THREADS, ctx.get(zmq.IO_THREADS)) == (2, 2)


def test_context_gives_its_sockets_default_options(zmq, ctx):
    ctx.rcvtimeo = 17
    ctx.setsockopt(zmq.SNDTIMEO, 18)
    with ctx.socket(zmq.PUSH) as push:
        assert (push.rcvtimeo, push.sndtimeo) == (17, 18)


def test_default_option_may_be_read_and_deleted(zmq, ctx):
    ctx.linger = 5
    assert (ctx.linger, ctx.getsockopt(zmq.LINGER)) == (5, 5)
    del ctx.linger
    with ctx.socket(zmq.PUSH) as push:
        assert push.linger == -1


def test_default_option_that_was_not_set_is_no_attribute(ctx):
    assert not hasattr(ctx, "sndtimeo")


def test_default_option_that_does_not_fit_the_type_is_skipped(zmq, ctx):
    ctx.router_mandatory = 1
    ctx.socket(zmq.PUSH).close()


@pytest.mark.parametrize("use", ["get", "set"])
def test_unknown_attribute_of_a_context_is_refused(ctx, use):
    with pytest.raises(AttributeError):
        ctx.no_such_option if use == "get" else setattr(ctx, "no_such_option", 1)


def test_context_without_blocky_makes_sockets_that_do_not_linger(zmq, new_context):
    context = new_context()
    context.set(zmq.BLOCKY, 0)
    with context.socket(zmq.PUSH) as push:
        assert push.linger == 0


def test_socket_beyond_max_sockets_is_refused(zmq, new_context):
    context = new_context()
    context.set(zmq.MAX_SOCKETS, 2)
    made = [context.socket(zmq.PUSH) for _ in range(2)]
    with expect_error(zmq, "EMFILE"):
        context.socket(zmq.PUSH)
    for socket in made:
        socket.close()


def test_closed_socket_makes_room_under_max_sockets(zmq, new_context):
    context = new_context()
    context.set(zmq.MAX_SOCKETS, 1)

    for _ in range(3):
        # libzmq makes room from its reaper thread, a moment after the close.
        wait_until(
            lambda: not refused(zmq, "EMFILE", lambda: context.socket(zmq.PUSH).close()),
            "room for another socket",
        )


def test_repr_counts_the_open_sockets(zmq, new_context):
    context = new_context()
    assert "(1 socket)" not in repr(context)
    push = context.socket(zmq.PUSH)
    assert "(1 socket)" in repr(context)
    push.close()
    context.term()
    assert "closed" in repr(context)


def test_two_contexts_talk_over_ipc(zmq, sockets, new_context, ipc):
    push, pull = sockets(zmq.PUSH, context=new_context()), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"across")
    expect(pull, b"across")


def test_context_may_be_ended_while_its_peer_lives(zmq, sockets, new_context, ipc):
    other = new_context()
    push, pull = sockets(zmq.PUSH, context=other, linger=0), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send(b"message")
    expect(pull, b"message")
    push.close()
    end_context(zmq, other)
    assert pull.poll(0) == 0
    assert pull.rcvtimeo == CAP_MS
