"""What we say byte for byte: transcripts of real libzmq, every split of a greeting, long topics.

The other end is a raw peer, so that no mistake can be made on both sides. For topics real libzmq too.
"""

from __future__ import annotations

import exchange
import golden
import pytest
import wire
from golden import SCENES
from wire import GREETING_BYTES, command, frame, greeting, message, ready, resolved

from kit import CAP_MS, expect

# --- transcripts -------------------------------------------------------------------------------------------


def test_every_scene_is_recorded_and_nothing_else():
    assert {path.stem for path in golden.GOLDEN.glob("*.txt")} == set(SCENES)


@pytest.mark.parametrize("name", SCENES)
def test_we_say_and_understand_what_libzmq_does(zmq, meet, role, name):
    scene = SCENES[name]
    socket, line = meet(scene.kind, **scene.options)
    lines, want = scene.run(golden.Tape(zmq, socket, line)), golden.read(name, role)
    if name == "xsubscribe-3.1":
        lines = [by_message(line) for line in lines]
    assert lines == want


def by_message(line):
    """A subscription by command in the form of a message.

    libzmq's XSUB says what its application said, to peers of 3.1 too. We say SUBSCRIBE and CANCEL, as RFC 37
    wants it; everybody hears both forms.
    """
    who, _, said = line.partition(" ")
    for name, form in ((b"SUBSCRIBE", b"\x01"), (b"CANCEL", b"\x00")):
        start = command(name)[2:]
        if who == "S" and said.startswith("04") and bytes.fromhex(said)[2:].startswith(start):
            return "S " + message(form + bytes.fromhex(said)[2 + len(start) :]).hex()
    return line


@pytest.mark.shmzmq_only("libzmq waits for the peer's bytes before it sends all of its greeting")
def test_greeting_comes_whole_and_at_once(meet):
    _socket, line = meet("DEALER")
    heard = line.hear(GREETING_BYTES)
    assert heard == greeting(padding=heard[1:9])


@pytest.mark.shmzmq_only("libzmq waits for the peer's greeting")
def test_ready_does_not_wait_for_the_peers(meet, transport, role):
    """RFC 23: both at once; RFC 37: the client first. Not to wait suits both."""
    if (transport, role) == ("ipc", "bind"):
        pytest.skip("a binder on ipc sends its READY together with the offer of rings, or without")
    _socket, line = meet("DEALER", routing_id=b"me")
    line.say(greeting())
    line.hear(GREETING_BYTES)
    name, data = line.hear_frame().command
    assert name == b"READY"
    assert wire.parse_properties(data)[:2] == [(b"Socket-Type", b"DEALER"), (b"Identity", b"me")]


# --- handshakes in other clothes ---------------------------------------------------------------------------

CLOTHES = {
    "minor 0": [greeting(minor=0), ready(b"DEALER")],
    "minor 9": [greeting(minor=9), ready(b"DEALER")],
    "major 4": [greeting(major=4, minor=0), ready(b"DEALER")],
    "major 255": [greeting(major=255, minor=255), ready(b"DEALER")],
    "padding of libzmq": [greeting(padding=bytes(7) + b"\x01"), ready(b"DEALER")],
    "padding of ones": [greeting(padding=b"\xff" * 8), ready(b"DEALER")],
    "as-server": [greeting(server=1), ready(b"DEALER")],
    "READY in long form": [
        greeting(),
        wire.header(6, len(ready(b"DEALER")) - 2) + ready(b"DEALER")[2:],
    ],
    "further properties": [greeting(), ready(b"DEALER", (b"X-Unknown", b"\0" * 300), (b"Resource", b"r"))],
    "identity of 255": [greeting(), ready(b"DEALER", identity=b"i" * 255)],
    "no Socket-Type": [greeting(), command(b"READY")],
}


@pytest.mark.parametrize("clothes", CLOTHES)
def test_peer_is_taken_in_other_clothes(meet, clothes):
    router, line = meet("ROUTER")
    for piece in (*CLOTHES[clothes], message(b"hello")):
        line.say(piece)
        line.wait_taken()  # libzmq may hear nothing of what comes in one segment with these
    assert router.recv_multipart()[1:] == [b"hello"]


@pytest.mark.shmzmq_only("libzmq 4.3.5 hears nothing of what comes in one segment with a greeting")
def test_all_of_a_handshake_and_messages_may_come_in_one_segment(meet):
    router, line = meet("ROUTER")
    line.say(greeting() + ready(b"DEALER", identity=b"me") + message(b"one") + message(b"t", b"w", b"o"))
    expect(router, b"me", b"one")
    expect(router, b"me", b"t", b"w", b"o")


@pytest.mark.shmzmq_only("libzmq compares names of properties with their case")
def test_property_names_have_no_case(meet):
    """RFC 23: names are case-insensitive."""
    router, line = meet("ROUTER")
    names = wire.properties((b"socket-TYPE", b"DEALER"), (b"IDENTITY", b"me"))
    line.say(greeting() + command(b"READY", names) + message(b"hello"))
    expect(router, b"me", b"hello")


# --- every split of the greeting ---------------------------------------------------------------------------


@pytest.mark.slow
def test_greeting_may_be_split_anywhere(backend, zmq, sockets, new_endpoint, transport, role):
    """The second half is sent when the first was read, and so no sleep is needed to keep them apart."""
    whole = greeting()
    for split in range(GREETING_BYTES):
        with wire.listen(new_endpoint(transport)) as listener:
            pull = sockets(zmq.PULL)
            if role == "bind":
                pull.bind(new_endpoint(transport))
                line = wire.dial(resolved(pull))
            else:
                pull.connect(listener.endpoint)
                line = listener.accept()
            with line:
                line.say(whole[:split])
                line.wait_taken()
                for piece in (whole[split:], ready(b"PUSH"), message(b"after %d" % split)):
                    line.say(piece)
                    if backend == "zmq":  # it may hear nothing of what comes in one segment with these
                        line.wait_taken()
                expect(pull, b"after %d" % split)
            pull.close(linger=0)


@pytest.mark.slow
def test_handshake_may_come_byte_by_byte(meet):
    pull, line = meet("PULL")
    for byte in greeting() + ready(b"PUSH") + message(b"all", b"here") + message(b"a" * 300):
        line.say(bytes([byte]))
        line.wait_taken()
    expect(pull, b"all", b"here")
    expect(pull, b"a" * 300)


# --- long topics -------------------------------------------------------------------------------------------

LENGTHS = (245, 246, 254, 255, 256)


def topic_of(length):
    return bytes(range(1, 256)).ljust(length, b"t")[:length]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
def test_we_subscribe_at_a_3_1_peer_by_command(backend, zmq, meet, kind, length):
    socket, line = meet(kind)
    exchange.tune(zmq, socket, topic_of(length))
    line.shake_hands(b"PUB")
    heard = golden.hear_frame(zmq, socket, line)
    said = {command(b"SUBSCRIBE", topic_of(length))}
    if backend == "zmq" and kind == "XSUB":
        said.add(message(b"\x01" + topic_of(length)))  # what its application said, as it is
    assert heard.raw in said
    line.say(message(topic_of(length) + b"!", b"body"))
    expect(socket, topic_of(length) + b"!", b"body")


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
def test_we_subscribe_at_a_3_0_peer_by_message(backend, zmq, meet, kind, length):
    if backend == "zmq" and length == 255:
        pytest.skip("libzmq 4.3.5 says the length of this one in eight bytes under a flag for one")
    socket, line = meet(kind)
    exchange.tune(zmq, socket, topic_of(length))
    line.shake_hands(b"PUB", minor=0)
    heard = golden.hear_frame(zmq, socket, line)
    assert heard.raw == frame(b"\x01" + topic_of(length))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", ["command", "message"])
@pytest.mark.parametrize("minor", [0, 1])
def test_raw_peer_subscribes_at_us_in_either_form(meet, minor, form, length):
    xpub, line = meet("XPUB")
    line.shake_hands(b"SUB", minor=minor)
    topic = topic_of(length)
    line.say(command(b"SUBSCRIBE", topic) if form == "command" else message(b"\x01" + topic))
    expect(xpub, b"\x01" + topic)
    xpub.send(topic[:-1] + b"?")
    xpub.send_multipart([topic, b"body"])
    assert line.hear_message() == [topic, b"body"]
    line.say(command(b"CANCEL", topic) if form == "command" else message(b"\x00" + topic))
    expect(xpub, b"\x00" + topic)


@pytest.mark.parametrize("length", LENGTHS)
def test_real_libzmq_subscribes_at_us(bound, remote, length):
    xpub, endpoint = bound("XPUB")
    sub = remote("SUB")
    sub.connect(endpoint)
    sub.run(exchange.tune, topic_of(length))
    expect(xpub, b"\x01" + topic_of(length))
    xpub.send(topic_of(length)[:-1] + b"?")
    xpub.send(topic_of(length) + b"!")
    assert sub.recv() == [topic_of(length) + b"!"]


@pytest.mark.parametrize("length", LENGTHS)
def test_we_subscribe_at_real_libzmq(zmq, sockets, endpoint, remote, length):
    xpub = remote("XPUB")
    sub = sockets(zmq.SUB)
    sub.connect(xpub.bind(endpoint))
    exchange.tune(zmq, sub, topic_of(length))
    assert xpub.recv() == [b"\x01" + topic_of(length)]
    xpub.send(topic_of(length)[:-1] + b"?")
    xpub.send(topic_of(length) + b"!")
    expect(sub, topic_of(length) + b"!")


def test_topics_reach_a_connection_that_comes_later(zmq, sockets, new_endpoint, transport):
    """All subscriptions are said again to each new connection, in no special order."""
    topics = {topic_of(length) for length in LENGTHS} | {b"", b"short"}
    with wire.listen(new_endpoint(transport)) as listener:
        sub = sockets(zmq.SUB, reconnect_ivl=1, rcvtimeo=CAP_MS)
        for topic in topics:
            sub.subscribe(topic)
        sub.connect(listener.endpoint)
        for _connection in range(3):
            with listener.accept() as line:
                line.shake_hands(b"XPUB")
                heard = set()
                while len(heard) < len(topics):
                    name, topic = golden.hear_frame(zmq, sub, line).command
                    assert name == b"SUBSCRIBE"
                    heard.add(topic)
                assert heard == topics
