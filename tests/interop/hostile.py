"""The table of hostile byte cases: what is said, when, by whom to whom, and what must become of it.

A case is data: no socket is opened here. What is expected comes from the threat model and from what RFC 23
and 37 demand, never from what some implementation does; `LAX` names the cases in which libzmq 4.3.5 does
otherwise, so that the rest of the table can be validated against it.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wire import (
    COMMAND,
    GREETING_BYTES,
    LONG,
    MORE,
    Wire,
    command,
    frame,
    greeting,
    header,
    message,
    properties,
    ready,
)

CLOSED = "closed"  # we end the connection, and count it
OPEN = "open"  # tolerated: the connection goes on to serve
LEFT = "left"  # the peer leaves: no failure of ours, nothing is delivered
HELD = "held"  # the peer says no more and stays; nothing is delivered
EITHER = "either"  # the standard leaves it open; only that nobody is harmed counts

GREETING, READY, TRAFFIC = "greeting", "ready", "traffic"  # what the peer says next: the stage

LIMIT = 1 << 20
"""MAXMSGSIZE where a case is about it."""


@dataclass
class Case:
    """`says` at `stage`: bytes, or a function that is given the wire."""

    name: str
    stage: str
    says: bytes | Callable[[Wire], None]
    fate: str = CLOSED
    delivers: list[list[bytes]] = field(default_factory=list)
    kind: str = "ROUTER"
    peer: str = "DEALER"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def lax(self) -> bool:
        """Whether libzmq is known to do something else."""
        return any(self.name == name or self.name.startswith(f"{name}:") for name in LAX)


# --- lengths -----------------------------------------------------------------------------------------------

LENGTHS = {
    "0": 0,
    "2^31-1": 2**31 - 1,
    "2^31": 2**31,
    "2^32": 2**32,
    "2^33": 2**33,
    "2^40": 2**40,
    "2^63-1": 2**63 - 1,
    "2^63": 2**63,
    "2^64-1": 2**64 - 1,
}


def lengths() -> Iterator[Case]:
    """Declared lengths; nothing follows the header."""
    for text, length in LENGTHS.items():
        told = header(LONG, length), header(LONG | COMMAND, length)
        yield Case(f"length in handshake: message {text}", READY, told[0])
        yield Case(f"length in handshake: command {text}", READY, told[1])
        limited = {"maxmsgsize": LIMIT}
        if length:
            yield Case(f"length in traffic: message {text}", TRAFFIC, told[0], options=limited)
            yield Case(f"length in traffic: command {text}", TRAFFIC, told[1], options=limited)
            fate = CLOSED if length >= 2**63 else EITHER
            yield Case(f"length without a limit: message {text}", TRAFFIC, told[0], fate)
            yield Case(f"length without a limit: command {text}", TRAFFIC, told[1], fate)
            yield Case(
                f"length of a later part: {text}", TRAFFIC, frame(b"a", MORE) + told[0], options=limited
            )
        else:
            yield Case(f"length in traffic: message {text}", TRAFFIC, told[0], OPEN, [[b""]], options=limited)
            yield Case(f"length in traffic: command {text}", TRAFFIC, told[1], EITHER, options=limited)
    yield Case(
        "length at the limit",
        TRAFFIC,
        message(bytes(1000)),
        OPEN,
        [[bytes(1000)]],
        options={"maxmsgsize": 1000},
    )
    yield Case("length above the limit", TRAFFIC, message(bytes(1001)), options={"maxmsgsize": 1000})
    yield Case(
        "length above the limit in the last part",
        TRAFFIC,
        message(b"a", bytes(1001)),
        options={"maxmsgsize": 1000},
    )
    yield Case("length of handshake command: 8 KiB + 1", READY, header(LONG | COMMAND, 8193))
    yield Case("length of handshake command: 64 KiB", READY, header(LONG | COMMAND, 65536))


# --- flags -------------------------------------------------------------------------------------------------


def flags() -> Iterator[Case]:
    """Reserved bits; MORE on commands; flags that contradict each other."""
    said = ready(b"DEALER")
    ping = command(b"PING", b"\0\0")
    for bit in (8, 16, 32, 64, 128):
        yield Case(f"reserved bit: {bit} on READY", READY, bytes([said[0] | bit]) + said[1:])
        yield Case(f"reserved bit: {bit} on a message", TRAFFIC, frame(b"x", bit))
        yield Case(f"reserved bit: {bit} on a part", TRAFFIC, frame(b"x", bit | MORE) + frame(b"y"))
        yield Case(f"reserved bit: {bit} on a long message", TRAFFIC, frame(b"x" * 300, bit))
        yield Case(f"reserved bit: {bit} on a command", TRAFFIC, bytes([ping[0] | bit]) + ping[1:])
    yield Case("all bits: in handshake", READY, b"\xff" * 9)
    yield Case("all bits: in traffic", TRAFFIC, b"\xff" * 9)
    yield Case("MORE on READY", READY, b"\x05" + said[1:])
    yield Case("MORE on long READY", READY, header(7, len(said) - 2) + said[2:])
    yield Case("MORE on a command: PING", TRAFFIC, b"\x05" + ping[1:])
    yield Case("MORE on a command: long PING", TRAFFIC, header(7, len(ping) - 2) + ping[2:])
    yield Case("MORE on a command: unknown one", TRAFFIC, command(b"WHAT", flags=COMMAND | MORE))
    yield Case("READY in a message frame", READY, b"\x00" + said[1:])
    yield Case(
        "command between parts", TRAFFIC, frame(b"a", MORE) + ping + frame(b"b"), EITHER, [[b"a", b"b"]]
    )


# --- READY -------------------------------------------------------------------------------------------------

TYPE = properties((b"Socket-Type", b"DEALER"))


def metadata() -> Iterator[tuple[str, bytes, str]]:
    """READY's properties that are none, with their fate."""
    yield "name of no bytes", TYPE + b"\0" + struct.pack(">I", 1) + b"x", CLOSED
    yield "name of no bytes, at the end", TYPE + b"\0", CLOSED
    yield "name beyond the end", TYPE + b"\x09short", CLOSED
    yield "name of 255 beyond the end", TYPE + b"\xff", CLOSED
    for count in range(4):
        yield f"value length of {count} bytes", TYPE + b"\x01X" + bytes(count), CLOSED
    for text, length in (("6", 6), ("2^31-1", 2**31 - 1), ("2^31", 2**31), ("2^32-1", 2**32 - 1)):
        yield f"value length of {text}", TYPE + b"\x01X" + struct.pack(">I", length) + b"short", CLOSED
    yield "value length beyond in the first", b"\x0bSocket-Type" + struct.pack(">I", 7) + b"DEALER", CLOSED
    yield "value length short of the type", b"\x0bSocket-Type" + struct.pack(">I", 5) + b"DEALER", CLOSED
    yield "trailing byte", TYPE + b"x", CLOSED
    yield "trailing zero", TYPE + b"\0", CLOSED
    yield "trailing junk", TYPE + b"GET / HTTP/1.1", CLOSED
    yield "Socket-Type twice, same", TYPE * 2, CLOSED
    yield "Socket-Type twice, different", TYPE + properties((b"Socket-Type", b"REQ")), CLOSED
    yield "Socket-Type twice, second wrong", TYPE + properties((b"Socket-Type", b"PUB")), CLOSED
    yield "Socket-Type twice, other case", TYPE + properties((b"SOCKET-TYPE", b"DEALER")), CLOSED
    yield "Identity twice", TYPE + properties((b"Identity", b"a"), (b"Identity", b"b")), CLOSED
    yield "unknown property twice", TYPE + properties((b"X-A", b"a"), (b"X-A", b"b")), CLOSED
    wrong = (b"FOO", b"", b"dealer", b"DEALER\0", b" DEALER", b"DEAL", b"D" * 300, b"\xff\xfe", b"STREAM")
    for kind in wrong:
        yield f"Socket-Type {kind[:12]!r} of {len(kind)} bytes", properties((b"Socket-Type", kind)), CLOSED
    for kind in (b"REP", b"PUB", b"SUB", b"XPUB", b"XSUB", b"PUSH", b"PULL", b"PAIR"):
        yield f"Socket-Type {kind.decode()}, which may not", properties((b"Socket-Type", kind)), CLOSED
    yield "64 properties", TYPE + numbered(63), OPEN
    yield "65 properties", TYPE + numbered(64), CLOSED
    yield "1000 properties", TYPE + numbered(1000), CLOSED
    yield "a value of 8 KiB", TYPE + properties((b"X-Large", bytes(8192))), CLOSED
    yield "a value of 64 KiB", TYPE + properties((b"X-Large", bytes(65536))), CLOSED
    yield "many values above 8 KiB", TYPE + properties(*((b"X%d" % n, bytes(300)) for n in range(30))), CLOSED
    yield "Identity of 256 bytes", TYPE + properties((b"Identity", b"i" * 256)), CLOSED
    yield "Identity of 1000 bytes", TYPE + properties((b"Identity", b"i" * 1000)), CLOSED
    yield "Identity with leading zero", TYPE + properties((b"Identity", b"\0abcd")), CLOSED
    yield "Identity of one zero", TYPE + properties((b"Identity", b"\0")), CLOSED
    yield "Identity of a good peer", TYPE + properties((b"Identity", b"good")), EITHER


def numbered(count: int) -> bytes:
    return properties(*((b"X%d" % number, b"") for number in range(count)))


def readies() -> Iterator[Case]:
    """READY malformed in its metadata, then in its name and frame."""
    for name, said, fate in metadata():
        yield Case(f"READY: {name}", READY, command(b"READY", said), fate)
    for name in (b"READX", b"ready", b"READY ", b"REA", b"READYREADY", b"\0READY", b"R" * 255):
        yield Case(f"READY: called {name[:12]!r} of {len(name)}", READY, command(name, TYPE))
    for length in (0, 4, 6, 255):
        yield Case(f"READY: name length {length}", READY, frame(bytes([length]) + b"READY" + TYPE, COMMAND))
    yield Case("READY: empty command", READY, frame(b"", COMMAND))
    yield Case("READY: a name length and no more", READY, frame(b"\x05", COMMAND))
    yield Case("READY: half a name", READY, frame(b"\x05REA", COMMAND))


# --- order -------------------------------------------------------------------------------------------------


def order() -> Iterator[Case]:
    """Things that are right elsewhere."""
    said = ready(b"DEALER")
    yield Case("order: message before READY", READY, message(b"smuggled") + said)
    yield Case("order: part before READY", READY, frame(b"smuggled", MORE) + said)
    yield Case("order: long message before READY", READY, message(b"s" * 1000) + said)
    yield Case("order: many messages before READY", READY, message(b"smuggled") * 1000)
    for name in (
        b"SUBSCRIBE",
        b"CANCEL",
        b"PING",
        b"PONG",
        b"WHAT",
        b"SHM-OFFER",
        b"SHM-ACCEPT",
        b"SHM-ARENA",
    ):
        yield Case(f"order: {name.decode()} before READY", READY, command(name, b"\0\0") + said)
    for name in (b"HELLO", b"WELCOME", b"INITIATE"):
        yield Case(f"order: {name.decode()} under NULL", READY, command(name, b"\x05admin\x06secret"))
    yield Case("order: READY before greeting", GREETING, said + greeting())
    yield Case("order: message before greeting", GREETING, message(b"smuggled") + greeting() + said)
    yield Case("order: greeting twice", READY, greeting() + said)
    yield Case("order: greeting in traffic", TRAFFIC, greeting())
    yield Case("order: READY twice", TRAFFIC, said)
    yield Case("order: READY twice, another type", TRAFFIC, ready(b"REQ", identity=b"other"))
    yield Case("order: READY after a message", TRAFFIC, message(b"one") + said, CLOSED, [[b"one"]])
    yield Case(
        "order: everything at once, READY wrong", GREETING, greeting() + ready(b"PUB") + message(b"smuggled")
    )


# --- ERROR, PING, unknown commands -------------------------------------------------------------------------


def errors() -> Iterator[Case]:
    forms = {
        "plain": b"\x03why",
        "empty reason": b"\x00",
        "no reason": b"",
        "reason beyond": b"\xffwhy",
        "reason trailing": b"\x01why",
        "400": b"\x03400",
        "reason of 255": b"\xff" + b"r" * 255,
        "reason for a terminal": b"\x06\x1b[2J\r\n",
        "reason not text": b"\x04\xff\xfe\x00\x80",
    }
    for name, said in forms.items():
        yield Case(f"ERROR: {name}", READY, command(b"ERROR", said))
    yield Case(
        "ERROR: then READY", READY, command(b"ERROR", b"\x03why") + ready(b"DEALER") + message(b"smuggled")
    )
    yield Case("ERROR in traffic", TRAFFIC, command(b"ERROR", b"\x03why"), EITHER)
    yield Case("ERROR in libzmq's form", READY, frame(b"\x5eRROR\x03400", COMMAND))


def pings() -> Iterator[Case]:
    yield Case("PING: no TTL", TRAFFIC, command(b"PING"))
    yield Case("PING: half a TTL", TRAFFIC, command(b"PING", b"\0"))
    for size in (17, 249, 300, 8000):
        yield Case(f"PING: context of {size}", TRAFFIC, command(b"PING", b"\0\0" + b"c" * size), EITHER)
    yield Case("PING: TTL of 65535", TRAFFIC, command(b"PING", b"\xff\xff"), OPEN)
    yield Case("PING: flood", TRAFFIC, command(b"PING", b"\0\0" + b"c" * 16) * 20_000, EITHER)
    yield Case("PING: flood of broken ones", TRAFFIC, command(b"PING", b"\0") * 1000)
    yield Case("PONG: nobody asked", TRAFFIC, command(b"PONG", b"what"), OPEN)
    yield Case("PONG: empty", TRAFFIC, command(b"PONG"), OPEN)
    yield Case("PONG: flood", TRAFFIC, command(b"PONG", b"c" * 16) * 500, OPEN)
    yield Case("PONG: long", TRAFFIC, command(b"PONG", b"c" * 300), EITHER)


def unknown() -> Iterator[Case]:
    for name in (b"WHAT", b"JOIN", b"LEAVE", b"ping", b"x" * 255, b"\0", b"\xff\xfe"):
        text = f"unknown: {name[:6]!r} of {len(name)}"
        yield Case(text, TRAFFIC, command(name, b"data"), OPEN)
    yield Case("unknown: 900 times", TRAFFIC, command(b"WHAT") * 900, OPEN)
    yield Case("unknown: 1100 times", TRAFFIC, command(b"WHAT") * 1100)
    yield Case("unknown: with 60 KiB", TRAFFIC, command(b"WHAT", bytes(60 * 1024)), EITHER)
    yield Case("unknown: name beyond the frame", TRAFFIC, frame(b"\x09PING", COMMAND))
    yield Case("unknown: no name", TRAFFIC, frame(b"\0data", COMMAND), EITHER)
    for name in (b"SHM-OFFER", b"SHM-ACCEPT", b"SHM-NO", b"SHM-RING", b"SHM-ARENA", b"SHM-FORGET"):
        yield Case(
            f"rings: {name.decode()} without X-SHM", TRAFFIC, command(name, b"number=1 bytes=4096"), EITHER
        )
    for name in (b"SHM-HALT", b"SHM-BYE", b"SHM-CREDIT", b"SHM-WAKE"):
        yield Case(f"rings: {name.decode()} without X-SHM", TRAFFIC, command(name, b"rcvhwm=-1"), EITHER)


# --- other versions, other mechanisms ----------------------------------------------------------------------


def downgrades() -> Iterator[Case]:
    for major in (0, 1, 2):
        yield Case(f"version: major {major}", GREETING, greeting(major=major) + ready(b"DEALER"))
    yield Case(
        "version: ZMTP 2",
        GREETING,
        b"\xff" + bytes(7) + b"\x01\x7f\x01\x05" + frame(b"") + message(b"smuggled"),
    )
    yield Case("version: ZMTP 1", GREETING, b"\x01\x00\x09\x00smuggled")
    yield Case("version: ZMTP 1, long", GREETING, b"\xff" + struct.pack(">Q", 9) + b"\x00smuggled")
    yield Case("version: ZMTP 1 with identity", GREETING, b"\x05\x00name\x09\x00smuggled")
    yield Case("version: ZMTP 1, endless", GREETING, b"\x01\x00" + b"\x09\x01smuggled" * 500)
    for byte in (0x00, 0x02, 0x7E, 0xFE):
        said = bytearray(greeting())
        said[9] = byte
        yield Case(f"version: byte 9 is {byte:02x}", GREETING, bytes(said) + ready(b"DEALER"))
    for byte in (0x00, 0x01, 0x7F, 0xFE):
        yield Case(
            f"version: byte 0 is {byte:02x}", GREETING, bytes([byte]) + greeting()[1:] + ready(b"DEALER")
        )
    names = (b"PLAIN", b"CURVE", b"GSSAPI", b"", b"null", b"NULLX", b"NULL ", b"NUL", b"NULL\0X", b"N" * 20)
    for name in (*names, b"\xff" * 20, b"\0NULL", b"NULL" * 5, bytes(19) + b"N"):
        text = f"mechanism: {name[:8]!r} of {len(name)}"
        yield Case(text, GREETING, greeting(mechanism=name) + ready(b"DEALER") + message(b"smuggled"))


# --- peers that leave --------------------------------------------------------------------------------------


def truncated() -> Iterator[Case]:
    """Everything that a good peer says, up to each byte of it, and then the end."""
    whole = greeting() + ready(b"DEALER", identity=b"left") + message(b"part", b"last")
    for end in range(len(whole)):
        leave = leaves(whole[:end], by_reset=end % 8 == 7)
        yield Case(f"leaves after {end} bytes", GREETING, leave, LEFT)
    parts = frame(b"part", MORE) * 1000
    yield Case("leaves after 1000 parts", TRAFFIC, leaves(parts, by_reset=False), LEFT)
    yield Case("is cut off after 1000 parts", TRAFFIC, leaves(parts, by_reset=True), LEFT)
    large = header(LONG, 1 << 20) + bytes(500_000)
    yield Case("leaves in half a megabyte", TRAFFIC, leaves(large, by_reset=False), LEFT)


def leaves(said: bytes, by_reset: bool) -> Callable[[Wire], None]:
    def act(line: Wire) -> None:
        line.say(said)
        if by_reset:
            line.reset()
        else:
            line.close()

    return act


def holds() -> Iterator[Case]:
    """Peers that stay and say nothing, or little."""
    short = {"handshake_ivl": 500}
    yield Case("silent", GREETING, b"", HELD)
    yield Case("silent after one byte", GREETING, b"\xff", HELD)
    yield Case("silent after ten bytes", GREETING, greeting()[:10], HELD)
    yield Case("silent after its greeting", GREETING, greeting(), HELD)
    yield Case("silent in READY", READY, ready(b"DEALER")[:-1], HELD)
    yield Case("silent in a message", TRAFFIC, message(b"whole")[:-1], HELD)
    yield Case("silent between parts", TRAFFIC, frame(b"a", MORE), HELD)
    yield Case("deadline: silent", GREETING, b"", options=short)
    yield Case("deadline: silent after its greeting", GREETING, greeting(), options=short)
    yield Case("deadline: silent in READY", READY, ready(b"DEALER")[:-1], options=short)
    yield Case("deadline: slow drip", GREETING, drip, options=short)


def drip(line: Wire) -> None:
    """A byte now and then, so that no time between two of them is long: the deadline is absolute."""
    line.peer.settimeout(0.01)
    for byte in greeting() + ready(b"DEALER", identity=b"i" * 100):
        line.say(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            if not line.peer.recv(GREETING_BYTES):
                return


# --- junk --------------------------------------------------------------------------------------------------

JUNK = {
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP POST": b"POST /x HTTP/1.0\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    "SSLv2 hello": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "blank lines": b"\r\n\r\n",
    "HELP": b"HELP\r\n",
    "RTSP": b"OPTIONS / RTSP/1.0\r\n\r\n",
    "SIP": b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n\r\n",
    "DNS over tcp": b"\x00\x1e\x00\x06\x01\x00\x00\x01"
    + bytes(6)
    + b"\x07version\x04bind\x00\x00\x10\x00\x03",
    "RPC": b"\x80\x00\x00\x28\x72\xfe\x1d\x13" + bytes(36),
    "SMB": b"\x00\x00\x00\xa4\xffSMBr" + bytes(64),
    "LDAP": b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x02\x04\x00\x80\x00",
    "Kerberos": b"\x00\x00\x00\x71\x6a\x81\x6e\x30" + bytes(64),
    "X11": b"l\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    "RDP": b"\x03\x00\x00\x0b\x06\xe0\x00\x00\x00\x00\x00",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "memcached": b"stats\r\n",
    "MQTT": b"\x10\x0c\x00\x04MQTT\x04\x02\x00<\x00\x00",
    "AMQP": b"AMQP\x00\x00\x09\x01",
    "PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    "PROXY protocol 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    "telnet": b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27" + bytes(60),
    "nanomsg": b"\x00SP\x00\x00\x10\x00\x00",
    "zeros": bytes(64),
    "4096 zeros": bytes(4096),
    "ones": b"\xff" * 64,
    "4096 ones": b"\xff" * 4096,
    "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01x\x94.",
    "JSON": b'{"jsonrpc": "2.0", "method": "eth_getWork", "id": 1}\n',
    "UTF-16": "hello".encode("utf-16-le") * 10,
}


def junk() -> Iterator[Case]:
    for name, said in JUNK.items():
        yield Case(f"junk: {name}", GREETING, said)
    for seed in range(10):
        # A first byte of ff would make it the beginning of a greeting.
        yield Case(f"junk: random {seed}", GREETING, b"\x42" + random.Random(seed).randbytes(500 + seed))
    for seed in range(10):
        said = random.Random(100 + seed).randbytes(500)
        yield Case(f"junk after a greeting: random {seed}", READY, b"\x88" + said)
        yield Case(f"junk in traffic: random {seed}", TRAFFIC, b"\xf8" + said)
    for name in ("HTTP GET", "TLS hello", "zeros", "4096 ones"):
        yield Case(f"junk after a greeting: {name}", READY, JUNK[name])


# --- too many, too deep, to the wrong type -----------------------------------------------------------------


def amounts() -> Iterator[Case]:
    yield Case("parts: above the limit", TRAFFIC, frame(b"", MORE) * 70_000)
    yield Case("parts: 10 000", TRAFFIC, frame(b"p", MORE) * 9_999 + frame(b"p"), OPEN, [[b"p"] * 10_000])
    yield Case("messages of nothing", TRAFFIC, frame(b"") * 500, OPEN, [[b""]] * 500)


def publishing() -> Iterator[Case]:
    """To publishers and subscribers."""

    def to(kind: str, peer: str) -> dict[str, Any]:
        return {"kind": kind, "peer": peer}

    xpub, pub, sub = to("XPUB", "SUB"), to("PUB", "SUB"), to("SUB", "PUB")
    deep, deeper = b"t" * 65536, b"t" * 65537
    yield Case("topic: 64 KiB", TRAFFIC, command(b"SUBSCRIBE", deep), OPEN, [[b"\x01" + deep]], **xpub)
    yield Case("topic: 64 KiB + 1", TRAFFIC, command(b"SUBSCRIBE", deeper), **xpub)
    yield Case("topic: 64 KiB + 1, to PUB", TRAFFIC, command(b"SUBSCRIBE", deeper), **pub)
    yield Case("topic: 64 KiB + 1, by message", TRAFFIC, message(b"\x01" + deeper), **xpub)
    yield Case(
        "topic: header of 1 GiB", TRAFFIC, header(LONG | COMMAND, 1 << 30) + b"\x09SUBSCRIBE", EITHER, **xpub
    )
    heard = [[b"\x00what"]]  # whether the application hears of it is another matter
    yield Case("CANCEL of unknown", TRAFFIC, command(b"CANCEL", b"what"), EITHER, heard, **xpub)
    yield Case("CANCEL of unknown, by message", TRAFFIC, message(b"\x00what"), EITHER, heard, **xpub)
    yield Case("CANCEL: 1000 times", TRAFFIC, command(b"CANCEL", b"what") * 1000, EITHER, heard, **xpub)
    yield Case("CANCEL: 1000 times, to PUB", TRAFFIC, command(b"CANCEL", b"what") * 1000, OPEN, **pub)
    many = b"".join(command(b"SUBSCRIBE", b"%d" % n) for n in range(700))
    yield Case("700 topics", TRAFFIC, many, OPEN, **pub)
    yield Case("700 topics, then leaves", TRAFFIC, leaves(many, by_reset=True), LEFT, **pub)
    yield Case("data to a PUB", TRAFFIC, message(b"\x05data", b"more"), OPEN, **pub)
    yield Case("data to an XPUB, from a SUB", TRAFFIC, message(b"\x05data"), EITHER, [[b"\x05data"]], **xpub)
    yield Case("empty message to a PUB", TRAFFIC, message(b""), OPEN, **pub)
    yield Case(
        "subscription in parts",
        TRAFFIC,
        message(b"\x01part", b"more"),
        EITHER,
        [[b"\x01part"], [b"more"], [b"\x01part", b"more"]],
        **xpub,
    )
    yield Case(
        "message nobody subscribed to", TRAFFIC, message(b"other") * 100, OPEN, options={"topic": b"t"}, **sub
    )
    yield Case("SUBSCRIBE to a subscriber", TRAFFIC, command(b"SUBSCRIBE", b"what"), EITHER, **sub)
    for kind, peer in (("ROUTER", "DEALER"), ("PULL", "PUSH"), ("REP", "REQ")):
        said = command(b"SUBSCRIBE", b"what") + command(b"CANCEL", b"what")
        yield Case(f"SUBSCRIBE to a {kind}", TRAFFIC, said, EITHER, **to(kind, peer))


def envelopes() -> Iterator[Case]:
    """To a REP: requests that are none are dropped."""
    rep = {"kind": "REP", "peer": "DEALER"}
    yield Case("request without delimiter", TRAFFIC, message(b"x"), OPEN, **rep)
    yield Case("request without delimiter, in parts", TRAFFIC, message(b"x", b"y", b"z"), OPEN, **rep)
    yield Case("request of 1000 parts without delimiter", TRAFFIC, message(*[b"x"] * 1000), OPEN, **rep)
    yield Case("request that is only a delimiter", TRAFFIC, message(b""), EITHER, **rep)
    yield Case(
        "request cut off in its envelope", TRAFFIC, leaves(frame(b"x", MORE), by_reset=True), LEFT, **rep
    )


PARTS = (
    lengths,
    flags,
    readies,
    order,
    errors,
    pings,
    unknown,
    downgrades,
    truncated,
    holds,
    junk,
    amounts,
    publishing,
    envelopes,
)
CASES = [case for part in PARTS for case in part()]

TO_CONNECTER = [
    case
    for case in CASES
    if case.kind == "ROUTER"
    and case.stage != TRAFFIC
    and case.fate != HELD
    and (not case.name.startswith("leaves after") or case.name.endswith("0 bytes"))
] + [case for case in lengths() if case.stage == TRAFFIC]
"""What is said to a socket that connects, by a hostile listener."""

LAX: set[str] = {
    # It waits for what was declared, however much; it knows no limit before the end of a handshake.
    "length in handshake",
    "length of handshake command: 8 KiB + 1",
    "length of handshake command: 64 KiB",
    "READY: 65 properties",
    "READY: 1000 properties",
    "READY: a value of 8 KiB",
    "READY: a value of 64 KiB",
    "READY: many values above 8 KiB",
    "parts: above the limit",
    "topic",
    "unknown: 1100 times",
    # It does not look at these.
    "reserved bit",
    "MORE on READY",
    "MORE on long READY",
    "MORE on a command",
    "READY in a message frame",
    "READY: name of no bytes",
    "READY: value length of 0 bytes",
    "READY: Socket-Type twice, same",
    "READY: Socket-Type twice, different",
    "READY: Socket-Type twice, other case",
    "READY: Identity twice",
    "READY: unknown property twice",
    "READY: Identity of 256 bytes",
    "READY: Identity of 1000 bytes",
    "READY: Identity with leading zero",
    "READY: Identity of one zero",
    "order: READY before greeting",
    "order: message before greeting",
    "order: READY twice",
    "order: READY twice, another type",
    "order: READY after a message",
    "PING: no TTL",
    "PING: half a TTL",
    "PING: flood of broken ones",
    "unknown: name beyond the frame",
    # It takes strangers for peers of ZMTP 1 or 2, and what they say for messages.
    "version",
    "junk",
    "junk in traffic",
    # It hands the command to the application as a message.
    "SUBSCRIBE to a subscriber",
    "SUBSCRIBE to a PULL",
    "SUBSCRIBE to a REP",
    "SUBSCRIBE to a ROUTER",
}
"""Cases, or whole families before a colon, in which libzmq 4.3.5 does something else."""
