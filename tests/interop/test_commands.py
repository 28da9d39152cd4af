"""ERROR on the wire: what we say, and what a peer's costs it.

The other end is a raw peer, in both roles, over tcp and over ZMTP on ipc. Source: RFC 37 (ZMTP 3.1), ERROR.
"""

from __future__ import annotations

import contextlib
import importlib

import pytest
import wire
from wire import GREETING_BYTES, command, greeting, message, ready, resolved

from kit import expect, expect_nothing, wait_until
from watching import expect_doubled

NOT_SOON = 60_000
"""Milliseconds that a connecter waits where it should not come back during the test."""


@pytest.fixture
def join(role, transport, new_endpoint):
    """A function `join(socket)`: one more raw wire to a socket under test, which binds or connects for it."""
    with contextlib.ExitStack() as stack:

        def fresh(socket):
            if role == "connect":
                listener = stack.enter_context(wire.listen(new_endpoint(transport)))
                socket.connect(listener.endpoint)
                return stack.enter_context(listener.accept())
            if not resolved(socket):
                socket.bind(new_endpoint(transport))
            return stack.enter_context(wire.dial(resolved(socket)))

        yield fresh


@pytest.fixture
def told(zmq, watch):
    """A function `told(socket, *names)`: a function that gives the next of these events of its monitor."""
    parse = importlib.import_module(f"{zmq.__name__}.utils.monitor").recv_monitor_message

    def begin(socket, *names):
        events = {name: getattr(zmq, f"EVENT_{name}", None) or zmq.ShmEvent[name] for name in names}
        reader = watch(socket, sum(int(event) for event in events.values())).reader

        def following():
            event = parse(reader)
            return event["event"].name, event.get("detail", event["value"])

        return following

    return begin


def error(text):
    """An ERROR with its reason."""
    return command(b"ERROR", bytes([len(text)]) + text)


# --- ERROR that we say -------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq ends the connection without a word")
@pytest.mark.parametrize(("kind", "peer"), [("PULL", b"PULL"), ("ROUTER", b"PUSH"), ("SUB", b"SUB")])
def test_peer_whose_type_does_not_fit_is_told_so_before_the_end(meet, transport, role, kind, peer):
    """RFC 37 NULL: a peer that does not accept the other's metadata SHOULD say ERROR."""
    socket, line = meet(kind)
    line.say(greeting() + ready(peer))
    line.hear(GREETING_BYTES)
    if (transport, role) != ("ipc", "bind"):  # where READY waits for the peer's
        assert line.hear_frame().command[0] == b"READY"
    assert line.hear_frame().raw == b"\x04\x1a\x05ERROR\x13Invalid socket type"
    assert line.wait_closed() == b""
    wait_until(lambda: socket.stats()["handshakes_failed"] == 1, "the failure to be counted")


# --- ERROR that we hear ------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("to libzmq an ERROR in traffic means nothing")
@pytest.mark.parametrize("text", [b"tired of you", b"400", b""])
def test_error_in_traffic_costs_that_peer_its_connection(zmq, sockets, join, told, role, text):
    """RFC 37 ERROR is fatal to its connection; what was said before it is heard, and others are served."""
    pull = sockets(zmq.PULL, reconnect_ivl=NOT_SOON)
    line, other = join(pull), join(pull)
    for each in (line, other):
        each.shake_hands(b"PUSH")
    following = told(pull, "BROKEN", "DISCONNECTED", "CONNECT_RETRIED")
    line.say(message(b"before") + error(text) + message(b"after"))
    line.wait_closed()
    expect(pull, b"before")
    assert following() == ("BROKEN", f"peer ends the connection: {text.decode()}")
    assert following()[0] == "DISCONNECTED"
    assert role == "bind" or following()[0] == "CONNECT_RETRIED"
    stats = pull.stats()
    assert (stats["protocol_errors"], stats["handshakes_failed"]) == (1, 0)
    other.say(message(b"fence"))
    expect(pull, b"fence")
    expect_nothing(pull)


@pytest.mark.shmzmq_only("to libzmq an ERROR in traffic means nothing")
@pytest.mark.parametrize("text", [b"tired of you", b"400"])
def test_connecter_comes_back_after_an_error_in_traffic(zmq, sockets, new_endpoint, transport, text):
    """The peer had taken its credentials: what it says later is of this connection, a status too."""
    with wire.listen(new_endpoint(transport)) as listener:
        push = sockets(zmq.PUSH, reconnect_ivl=1)
        push.connect(listener.endpoint)
        with listener.accept() as line:
            line.shake_hands(b"PULL")
            line.say(error(text))
            line.wait_closed()
        with listener.accept() as line:
            line.shake_hands(b"PULL")
            push.send(b"again")
            assert line.hear_message() == [b"again"]


@pytest.mark.shmzmq_only("a connecter of libzmq gives an endpoint up for good after any ERROR")
@pytest.mark.parametrize("text", [b"come back later", b"404", b"0400", b""])
def test_connecter_that_is_refused_in_words_comes_again_later_each_time(
    zmq, sockets, told, new_endpoint, transport, text
):
    """Only the statuses 400 and 500 of RFC 27 say that these credentials will never do."""
    delays = []
    with wire.listen(new_endpoint(transport)) as listener:
        push = sockets(zmq.PUSH, reconnect_ivl=4, reconnect_ivl_max=16)
        following = told(push, "NO_RINGS", "DISCONNECTED", "CONNECT_RETRIED", "HANDSHAKE_FAILED_AUTH")
        push.connect(listener.endpoint)
        for _ in range(4):
            with listener.accept() as line:
                line.say(greeting() + error(text))
                line.wait_closed()
            assert following() == ("NO_RINGS", f"peer refuses: {text.decode()}")
            assert following()[0] == "DISCONNECTED"
            name, delay = following()
            assert name == "CONNECT_RETRIED"
            delays.append(delay)
        expect_doubled(delays, first=4, most=16)
        with listener.accept() as line:
            line.shake_hands(b"PULL")
            push.send(b"at last")
            assert line.hear_message() == [b"at last"]
        stats = push.stats()
        assert (stats["handshakes_failed"], stats["protocol_errors"]) == (4, 0)
