"""Golden transcripts: small scenes between a socket and a raw peer, recorded from real libzmq.

`python tests/interop/golden.py` plays every scene with pyzmq and writes `golden/NAME.txt`; test_golden.py
plays them with the module under test and compares. A transcript has a section per role of the socket, and in
it a line for each thing said, in hexadecimal:

    P   what the raw peer said
    S   what the socket said: its greeting, or one frame
    A   what the application received, frames separated by blanks
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from exchange import LEGAL
from wire import (
    GREETING_BYTES,
    Frame,
    Wire,
    command,
    frame,
    greeting,
    message,
    parse_properties,
    properties,
    ready,
)

from kit import wait_until

GOLDEN = Path(__file__).parent / "golden"
IDENTIFIED = ("REQ", "DEALER", "ROUTER")


def hear_frame(zmq: ModuleType, socket: Any, line: Wire) -> Frame:
    """The socket's next frame. Words between two of us, which libzmq ignores, are passed over.

    libzmq does what a new peer asks for inside the next call of the socket, so that one is polled.
    """
    while True:
        wait_until(lambda: idle(zmq, socket) or line.has_word(), "a frame of the socket")
        heard = line.hear_frame()
        if heard.command is None or not heard.command[0].startswith(b"SHM-"):
            return heard


def idle(zmq: ModuleType, socket: Any) -> None:
    """Make a call on the socket if it is libzmq's."""
    if zmq.__name__ == "zmq":
        socket.poll(0)


class Tape:
    """A raw peer that writes down what is said."""

    def __init__(self, zmq: ModuleType, socket: Any, line: Wire) -> None:
        self.zmq = zmq
        self.socket = socket
        self.line = line
        self.lines: list[str] = []

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.lines.append(f"P {piece.hex()}")
        self.line.say(b"".join(pieces))

    def hear_greeting(self) -> None:
        self.lines.append(f"S {plain_greeting(self.line.hear(GREETING_BYTES)).hex()}")

    def hear(self, count: int = 1) -> None:
        """So many frames of the socket."""
        for _ in range(count):
            heard = hear_frame(self.zmq, self.socket, self.line)
            self.lines.append(f"S {plain_ready(heard.command, heard.raw).hex()}")

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(list(frames))

    def receive(self) -> None:
        """One message by the application."""
        self.lines.append("A " + " ".join(part.hex() or "-" for part in self.socket.recv_multipart()))

    def shake_hands(self, kind: str, *more: tuple[bytes, bytes], minor: int = 1) -> None:
        """The peer is of this kind."""
        self.say(greeting(minor=minor))
        self.hear_greeting()
        self.say(ready(kind.encode(), *more))
        self.hear()


def plain_greeting(heard: bytes) -> bytes:
    """Without the padding, which means nothing: libzmq puts the length of its identity there."""
    return heard[:1] + bytes(8) + heard[9:]


def plain_ready(said: tuple[bytes, bytes] | None, raw: bytes) -> bytes:
    """READY with the properties that everybody knows; what begins with X- is between two of a kind."""
    if said is None or said[0] != b"READY":
        return raw
    known = [(name, value) for name, value in parse_properties(said[1]) if not name.startswith(b"X-")]
    return command(b"READY", properties(*known))


@dataclass
class Scene:
    """What happens on the socket of this kind; `peer` is what the raw side says it is."""

    kind: str
    peer: str
    play: Callable[[Tape], None]
    options: dict[str, Any] = field(default_factory=dict)
    minor: int = 1

    def run(self, tape: Tape) -> list[str]:
        tape.shake_hands(self.peer, minor=self.minor)
        self.play(tape)
        return tape.lines


# --- the scenes --------------------------------------------------------------------------------------------


def nothing_more(tape: Tape) -> None:
    pass


def request(tape: Tape) -> None:
    tape.send(b"hello")
    tape.hear(2)
    tape.say(message(b"", b"world"))
    tape.receive()


def reply(tape: Tape) -> None:
    tape.say(message(b"", b"hello"))
    tape.receive()
    tape.send(b"world", b"!")
    tape.hear(3)


def reply_through_routers(tape: Tape) -> None:
    tape.say(message(b"\x00abcd", b"far", b"", b"hello"))
    tape.receive()
    tape.send(b"world")
    tape.hear(4)


def subscribe(tape: Tape) -> None:
    for topic in (b"A", b""):
        tape.socket.setsockopt(tape.zmq.SUBSCRIBE, topic)
        tape.hear()
    for topic in (b"A", b""):
        tape.socket.setsockopt(tape.zmq.UNSUBSCRIBE, topic)
        tape.hear()


def subscribe_by_message(tape: Tape) -> None:
    for said in (b"\x01A", b"\x01", b"\x00A", b"\x00", b"\x02user", b"word"):
        tape.send(said)
        tape.hear()


def hear_subscribers(tape: Tape) -> None:
    tape.say(command(b"SUBSCRIBE", b"A"))
    tape.receive()
    tape.say(message(b"\x01B"))
    tape.receive()
    tape.send(b"Another")
    tape.hear()
    tape.say(command(b"CANCEL", b"A"))
    tape.receive()
    tape.send(b"Another")  # nobody wants it
    tape.send(b"B", b"parts")
    tape.hear(2)
    tape.say(message(b"\x00B"))
    tape.receive()
    tape.say(message(b"\x03user"))
    tape.receive()


def answer_pings(tape: Tape) -> None:
    for context in (b"", b"c", b"0123456789abcdef"):
        tape.say(command(b"PING", b"\x00\x00" + context))
        tape.hear()
    tape.say(command(b"PONG", b"who asked"))
    tape.say(command(b"PING", b"\x02\x8flast"))
    tape.hear()


def beat(tape: Tape) -> None:
    tape.hear()


def send_sizes(tape: Tape) -> None:
    for size in (0, 1, 254, 255, 256):
        tape.send(bytes(range(256))[:size])
        tape.hear()


def send_parts(tape: Tape) -> None:
    tape.send(b"a", b"", b"b" * 300)
    tape.hear(3)
    tape.send(b"", b"")
    tape.hear(2)


def receive_sizes(tape: Tape) -> None:
    for size in (0, 1, 254, 255, 256):
        tape.say(message(bytes(range(256))[:size]))
        tape.receive()
    tape.say(frame(b"short body, long form", 2))
    tape.receive()


def receive_parts(tape: Tape) -> None:
    tape.say(message(b"a", b"", b"b" * 300), message(b"", b""))
    tape.receive()
    tape.receive()


def route(tape: Tape) -> None:
    tape.say(message(b"question"))
    tape.receive()
    tape.send(b"named", b"answer")
    tape.hear()


class Named(Scene):
    """The raw peer has an identity."""

    def run(self, tape: Tape) -> list[str]:
        tape.say(greeting())
        tape.hear_greeting()
        tape.say(ready(self.peer.encode(), identity=b"named"))
        tape.hear()
        self.play(tape)
        return tape.lines


SCENES: dict[str, Scene] = {
    **{f"handshake-{kind}": Scene(kind, LEGAL[kind][0], nothing_more) for kind in LEGAL},
    **{
        f"identity-{kind}": Scene(kind, LEGAL[kind][0], nothing_more, {"routing_id": b"my name"})
        for kind in IDENTIFIED
    },
    "identity-of-255": Scene("DEALER", "ROUTER", nothing_more, {"routing_id": b"n" * 255}),
    "request": Scene("REQ", "REP", request),
    "reply": Scene("REP", "REQ", reply),
    "reply-through-routers": Scene("REP", "DEALER", reply_through_routers),
    "route": Named("ROUTER", "DEALER", route),
    "subscribe-3.1": Scene("SUB", "PUB", subscribe),
    "subscribe-3.0": Scene("SUB", "PUB", subscribe, minor=0),
    "xsubscribe-3.1": Scene("XSUB", "XPUB", subscribe_by_message),
    "xsubscribe-3.0": Scene("XSUB", "XPUB", subscribe_by_message, minor=0),
    "subscribers": Scene("XPUB", "XSUB", hear_subscribers),
    "pong": Scene("DEALER", "ROUTER", answer_pings),
    "ping": Scene("DEALER", "ROUTER", beat, {"heartbeat_ivl": 20, "heartbeat_ttl": 1200}),
    "send-sizes": Scene("PUSH", "PULL", send_sizes),
    "send-parts": Scene("PUSH", "PULL", send_parts),
    "receive-sizes": Scene("PULL", "PUSH", receive_sizes),
    "receive-parts": Scene("PULL", "PUSH", receive_parts),
}


# --- the files ---------------------------------------------------------------------------------------------


def read(name: str, role: str) -> list[str]:
    """The golden lines of a scene."""
    _, _, section = (GOLDEN / f"{name}.txt").read_text().partition(f"[{role}]\n")
    return section.partition("\n[")[0].strip().splitlines()


def write(name: str, sections: dict[str, list[str]]) -> None:
    text = "\n\n".join(f"[{role}]\n" + "\n".join(lines) for role, lines in sections.items())
    (GOLDEN / f"{name}.txt").write_text(text + "\n")


def record() -> None:
    """Play every scene with real libzmq, in both roles, and write it down."""
    import zmq
    from wire import dial, listen, resolved

    context = zmq.Context()

    def play(scene: Scene, role: str) -> list[str]:
        with context.socket(getattr(zmq, scene.kind)) as socket, listen("tcp://127.0.0.1:*") as listener:
            socket.linger, socket.rcvtimeo = 0, 5000
            for option, value in scene.options.items():
                setattr(socket, option, value)
            if role == "bind":
                socket.bind("tcp://127.0.0.1:*")
                line = dial(resolved(socket))
            else:
                socket.connect(listener.endpoint)
                line = listener.accept()
            with line:
                return scene.run(Tape(zmq, socket, line))

    for name, scene in SCENES.items():
        write(name, {role: play(scene, role) for role in ("bind", "connect")})
    context.term()
    print(f"{len(SCENES)} scenes of libzmq {zmq.zmq_version()} in {GOLDEN}")


if __name__ == "__main__":
    record()
