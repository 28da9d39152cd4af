"""pyzmq and shmzmq in one process, in one Poller, in one loop, on one endpoint."""

from __future__ import annotations

import asyncio

import pytest

import kit

pytestmark = [
    pytest.mark.integration,
    pytest.mark.shmzmq_only("both are there at once"),
]


@pytest.fixture
def pyzmq():
    """The other library; its own asyncio module is imported before possessions are counted."""
    module = pytest.importorskip("zmq")
    if module.__name__ != "zmq":
        pytest.skip("zmq is shmzmq here")
    return module


@pytest.fixture
def theirs(pyzmq):
    """A function that makes sockets of pyzmq, which are closed at the end."""
    with pyzmq.Context() as context:
        yield context.socket
        context.destroy(linger=0)


@pytest.fixture(autouse=True)
def their_leavings(scratch):
    """libzmq leaves the socket files of named paths behind."""
    yield
    for path in scratch.iterdir():
        if path.is_socket():
            path.unlink()


@pytest.fixture
def pairs(zmq, pyzmq, sockets, theirs, new_endpoint):
    """(receiver, sender) of each library, and across in both directions over one kind of wire."""

    def make(scheme):
        made = {}
        for name, (left, right) in {
            "ours": (sockets, sockets),
            "theirs": (theirs, theirs),
            "to us": (sockets, theirs),
            "to them": (theirs, sockets),
        }.items():
            pull, push = left(zmq.PULL), right(zmq.PUSH)
            endpoint = new_endpoint(scheme)
            pull.bind(endpoint)
            push.connect(endpoint)
            made[name] = (pull, push)
        return made

    return make


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_sockets_of_both_in_one_poller(zmq, pyzmq, pairs, scheme, whose):
    poller = (zmq if whose == "ours" else pyzmq).Poller()
    made = pairs(scheme)
    for pull, push in made.values():
        poller.register(pull, zmq.POLLIN)
        push.send(b"hello")
    waiting = {name: pull for name, (pull, _) in made.items()}
    deadline = kit.CAP_MS
    while waiting:
        ready = dict(poller.poll(deadline))
        assert ready, f"nothing came for {sorted(waiting)}"
        for name, pull in list(waiting.items()):
            # A foreign socket may be given back as its descriptor, and an edge of it without a message.
            if (pull in ready or pull.fileno() in ready) and pull.get(zmq.EVENTS) & zmq.POLLIN:
                assert pull.recv() == b"hello"
                del waiting[name]


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_sockets_of_both_in_one_loop(zmq, pyzmq, new_endpoint, scheme):
    import zmq.asyncio as their_asyncio

    import shmzmq.asyncio as our_asyncio

    libraries = {"ours": our_asyncio, "theirs": their_asyncio}

    async def echo(serving, asking):
        endpoint = new_endpoint(scheme)
        with (
            libraries[serving].Context() as one,
            libraries[asking].Context() as other,
            one.socket(zmq.REP) as server,
            other.socket(zmq.REQ) as client,
        ):
            server.bind(endpoint)
            client.connect(endpoint)
            for number in range(20):
                await client.send(b"%d" % number)
                await server.send(await server.recv())
                assert await client.recv() == b"%d" % number

    async def all_at_once():
        await asyncio.wait_for(
            asyncio.gather(*(echo(serving, asking) for serving in libraries for asking in libraries)), kit.CAP
        )

    asyncio.run(all_at_once())


def test_errors_of_one_are_not_the_other_s(zmq, pyzmq, sockets):
    """The migration page's warning: same name, same errno, another class."""
    with pytest.raises(zmq.Again) as caught:
        sockets(zmq.PULL).recv(zmq.DONTWAIT)
    assert not isinstance(caught.value, pyzmq.ZMQError)
    assert caught.value.errno == pyzmq.EAGAIN
