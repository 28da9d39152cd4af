"""ERROR, PING and PONG on the wire, and the most frames of a message: what we say, and what a peer's cost it.

The other end is a raw peer, in both roles, over tcp and over ZMTP on ipc. Source: RFC 37 (ZMTP 3.1), ERROR,
PING, PONG; zmq_setsockopt(3), ZMQ_HEARTBEAT_IVL, _TIMEOUT and _TTL.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import resource
import struct
from pathlib import Path

import pytest
import wire
from wire import GREETING_BYTES, LONG, MORE, command, frame, greeting, header, message, ready, resolved

from kit import CAP_MS, expect, expect_error, expect_nothing, wait_until
from watching import expect_doubled

SOON = 20
"""Milliseconds between two heartbeats of ours."""

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


def ping(ttl=0, context=b""):
    """A PING; the TTL in tenths of a second."""
    return command(b"PING", struct.pack(">H", ttl) + context)


def serves(router, line, name):
    """A ROUTER hears a DEALER of that name and answers it; nothing else was said to it before."""
    line.say(message(b"ask"))
    expect(router, name, b"ask")
    router.send_multipart([name, b"answer"])
    assert line.hear_frame().raw == message(b"answer")


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


# --- PING that we say --------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq asks it, and gives it up for its silence")
@pytest.mark.slow
def test_peer_of_3_0_is_not_asked_for_life_signs_and_stays(zmq, sockets, join):
    """RFC 23 has no PING; a peer of 3.1 that keeps silent shows how long the time was."""
    router = sockets(zmq.ROUTER, heartbeat_ivl=SOON, heartbeat_timeout=2 * SOON, reconnect_ivl=NOT_SOON)
    old = join(router)
    old.shake_hands(b"DEALER", b"old", minor=0)
    for _ in range(4):
        new = join(router)
        new.shake_hands(b"DEALER")
        assert new.hear_frame().raw == ping()
        new.wait_closed()
    assert not old.has_word()
    serves(router, old, b"old")


@pytest.mark.parametrize(("ttl", "sent"), [(0, 0), (99, 0), (100, 1), (65_499, 654), (65_500, 655)])
def test_ttl_is_sent_in_tenths_of_a_second(meet, ttl, sent):
    expect_ttl(meet, ttl, sent)


@pytest.mark.shmzmq_only("libzmq sends what wraps at its receiver")
@pytest.mark.parametrize("ttl", [65_600, 100_000, 6_553_599])
def test_ttl_that_is_sent_never_wraps(meet, ttl):
    """RFC 37: tenths of a second in 16 bits; libzmq multiplies by 100 in 16 bits, which holds 655 of them."""
    expect_ttl(meet, ttl, sent=655)


def expect_ttl(meet, ttl, sent):
    """A PING of ours says so."""
    _pull, line = meet("PULL", heartbeat_ivl=SOON, heartbeat_ttl=ttl, heartbeat_timeout=CAP_MS)
    line.shake_hands(b"PUSH")
    assert line.hear_frame().raw == ping(sent)


@pytest.mark.slow
def test_heartbeat_timeout_of_nothing_asks_and_never_gives_up(meet):
    router, line = meet("ROUTER", heartbeat_ivl=SOON, heartbeat_timeout=0)
    line.shake_hands(b"DEALER", b"me")
    for _ in range(8):
        assert line.hear_frame().raw == ping()
    line.say(message(b"still here"))
    expect(router, b"me", b"still here")


def test_heartbeat_timeout_is_the_interval_unless_it_is_set(meet, told):
    pull, line = meet("PULL", heartbeat_ivl=3 * SOON, reconnect_ivl=NOT_SOON)
    line.shake_hands(b"PUSH")
    following = told(pull, "DISCONNECTED")
    # When the next one is due, the first has waited for as long.
    assert line.wait_closed() == ping()
    assert following()[0] == "DISCONNECTED"


def test_heartbeat_timeout_below_nothing_is_invalid(zmq, sockets):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PULL, heartbeat_timeout=-1)


# --- PING that we hear -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_later_ping_takes_the_ttl_of_an_earlier_one_back(zmq, sockets, join):
    """RFC 37: 0 asks for nothing. Another peer with a longer TTL shows when the time is over."""
    router = sockets(zmq.ROUTER, reconnect_ivl=NOT_SOON)
    stays, goes = join(router), join(router)
    stays.shake_hands(b"DEALER", b"stays")
    goes.shake_hands(b"DEALER", b"goes")
    for ttl in (5, 0):
        stays.say(ping(ttl))
        assert stays.hear_frame().raw == command(b"PONG")
    goes.say(ping(6))
    assert goes.wait_closed() == command(b"PONG")
    serves(router, stays, b"stays")


@pytest.mark.parametrize("size", [16, 17, 100, 249, 1000])
def test_no_more_of_a_context_than_16_bytes_is_answered(meet, size):
    """RFC 37: a context has at most 16 bytes. libzmq cuts a longer one off, and so do we."""
    router, line = meet("ROUTER")
    line.shake_hands(b"DEALER", b"me")
    context = bytes(range(1, 251)) * 4
    line.say(ping(context=context[:size]))
    assert line.hear_frame().raw == command(b"PONG", context[:16])
    serves(router, line, b"me")


def resident():
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_flood_of_pings_from_who_does_not_read_takes_no_memory(zmq, sockets, join):
    """The threat model: one PONG waits at most. Others are served, and nothing is lost in between."""
    router = sockets(zmq.ROUTER, router_mandatory=1, sndbuf=4096, sndhwm=10)
    flood, good = join(router), join(router)
    flood.shake_hands(b"DEALER", b"flood")
    good.shake_hands(b"DEALER", b"good")
    serves(router, flood, b"flood")
    serves(router, good, b"good")
    sent = 0
    with contextlib.suppress(zmq.Again):
        for sent in itertools.count():
            router.send_multipart([b"flood", b"%d" % sent, bytes(100_000)], zmq.DONTWAIT)
    before = resident()
    for _ in range(10):
        flood.say(ping(context=b"c" * 16) * 40_000)
        serves(router, good, b"good")
    flood.say(message(b"fence"))
    expect(router, b"flood", b"fence")
    assert resident() - before < 4_000_000  # of 10 MB that were said, and as much to be answered
    pongs, numbers = 0, []
    while len(numbers) < sent or not pongs:
        heard = flood.hear_frame()
        if heard.command:
            assert heard.raw == command(b"PONG", b"c" * 16)
            pongs += 1
        elif heard.flags & MORE:
            numbers.append(int(heard.body))
    assert numbers == list(range(sent))
    assert pongs < 40


# --- the most frames of a message --------------------------------------------------------------------------

MOST = 65_536
LAST = {"small": b"end", "large": bytes(range(256)) * 1200}


@pytest.mark.parametrize("last", LAST)
def test_message_of_as_many_frames_as_may_be_is_delivered(meet, last):
    """Twice, so that the count is known to begin anew; an implementation's limit, see the migration page."""
    pull, line = meet("PULL")
    line.shake_hands(b"PUSH")
    said = frame(b"", MORE) * (MOST - 2) + frame(LAST["large"], MORE) + frame(LAST[last])
    line.say(said * 2)
    for _ in range(2):
        heard = pull.recv_multipart()
        assert len(heard) == MOST
        assert heard[-2:] == [LAST["large"], LAST[last]]


@pytest.mark.shmzmq_only("libzmq takes any number of frames")
@pytest.mark.parametrize("last", ["small", "large", "large, and not all there"])
def test_message_of_one_frame_more_costs_the_connection(zmq, sockets, join, told, last):
    pull = sockets(zmq.PULL, reconnect_ivl=NOT_SOON)
    line, other = join(pull), join(pull)
    for each in (line, other):
        each.shake_hands(b"PUSH")
    following = told(pull, "BROKEN", "DISCONNECTED")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.say(message(b"before") + frame(LAST["large"], MORE) + frame(b"", MORE) * (MOST - 1))
        line.say(frame(LAST[last]) if last in LAST else header(LONG, 1 << 20) + b"begin")
    line.wait_closed()
    expect(pull, b"before")
    assert following() == ("BROKEN", f"peer sent a message of more than {MOST} frames")
    assert following()[0] == "DISCONNECTED"
    assert pull.stats()["protocol_errors"] == 1
    other.say(message(b"fence"))
    expect(pull, b"fence")
    expect_nothing(pull)
