"""Decorators that give a function a context or a socket, and take it back."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def made(zmq, backend):
    """The module of decorators."""
    return importlib.import_module(f"{backend}.decorators")


def test_context_is_the_last_argument_and_ends_with_the_call(zmq, made):
    @made.context()
    def run(first, ctx):
        """Run."""
        assert first == 1
        assert isinstance(ctx, zmq.Context)
        assert not ctx.closed
        return ctx

    assert run.__name__ == "run"
    assert run.__doc__ == "Run."
    assert run(1).closed


@pytest.mark.parametrize("how", [{"args": ("here",)}, {"kwargs": {"name": "here"}}], ids=["first", "named"])
def test_context_by_name(zmq, made, how):
    @made.context(*how.get("args", ()), **how.get("kwargs", {}))
    def run(*, here):
        return here

    assert run().closed
    with pytest.raises(TypeError, match=r"run\(\) got multiple values for argument 'here'"):
        run(here=1)


def test_arguments_go_to_the_context(zmq, made):
    @made.context("here", 3)
    def run(here):
        return here.get(zmq.IO_THREADS)

    assert run() == 3


def test_context_ends_when_the_function_raises(zmq, made):
    seen = []

    @made.context()
    def run(ctx):
        seen.append(ctx)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert seen[0].closed


def test_socket_of_a_context_given_by_a_decorator(zmq, made, inproc):
    @made.context()
    @made.socket(zmq.PULL)
    @made.socket("push", zmq.PUSH)
    def run(ctx, pull, push):
        assert ctx is pull.context is push.context
        pull.bind(inproc)
        push.connect(inproc)
        push.send(b"message")
        return pull, push, pull.recv()

    pull, push, message = run()
    assert message == b"message"
    assert pull.closed
    assert push.closed


def test_socket_of_a_context_given_by_keyword(zmq, made, ctx):
    @made.socket("one", zmq.PAIR)
    @made.socket("other", zmq.PAIR, context_name="ours")
    def run(one, other, context=None, ours=None):
        return one.context, other.context

    assert run(context=ctx, ours=ctx) == (ctx, ctx)


def test_socket_of_the_first_context_among_the_arguments(zmq, made, ctx):
    @made.socket(zmq.PAIR)
    def run(_text, first, _number, pair):
        assert first is ctx
        return pair.context

    assert run("text", ctx, 1) is ctx


def test_socket_without_a_context_is_of_the_process_s_own(zmq, made):
    @made.socket(zmq.PAIR)
    def run(pair):
        return pair.context

    used = run()
    assert used is zmq.Context.instance()
    used.term()


def test_several_sockets_with_one_name_are_a_mistake(zmq, made, ctx):
    @made.socket("pair", zmq.PAIR)
    @made.socket("pair", zmq.PAIR)
    def run(context, pair):
        return pair

    with pytest.raises(TypeError, match="multiple values"):
        run(ctx)


def test_decorated_method(zmq, made):
    class Thing:
        @made.context("ctx")
        def run(self, ctx):
            return self, ctx

    thing = Thing()
    assert thing.run()[0] is thing
