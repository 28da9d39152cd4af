"""THE table of options: one row for every option of a socket and of a context.

Knows    number, names, type, unit, range, default, where and when an option counts, and whether it works here
         yet. Checking of values, attribute access, `dir()` and the reference page derive from these rows.
Refuses  to know a socket: no value is stored here and nothing is asked of native code. `get` and `set` of the
         object that carries a descriptor do that.

A row is `live` (does what it says) or `known` (its number and values are checked, it has no effect yet, and
`reason` says why). What setting a known option does meanwhile stands in `meanwhile`: `remembered` is harmless
(the value reads back); `refused` raises EINVAL for any value but the default, because a program that asks for
protection or for a guarantee must not believe that it got one.

libzmq answers a wrong type of socket, a wrong range and a wrong length all with EINVAL; pyzmq checks Python's
types (TypeError) and C's integer ranges (OverflowError) before that. The order here is the same.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Mapping
from errno import EFAULT, EINVAL
from types import MappingProxyType, MethodType
from typing import Any, Final, Literal, NamedTuple

from .constants import ContextOption, ShmOption, SocketOption, SocketType, _OptType
from .errors import ZMQError, error_for

__all__ = [
    "ATTRIBUTES",
    "CONTEXT_ATTRIBUTES",
    "CONTEXT_OPTIONS",
    "SOCKET_OPTIONS",
    "MethodOption",
    "OptionDescriptor",
    "OptionRow",
    "SocketDefault",
    "check_readable",
    "context_row_for",
    "default_for",
    "install",
    "row_for",
    "validate",
]

Effect = Literal["now", "next bind or connect"]
State = Literal["live", "known"]

ALL_TYPES: Final = frozenset(SocketType)
_NO_DEFAULTS: Final[Mapping[SocketType, int]] = MappingProxyType({})

# C's limits, which pyzmq enforces before libzmq sees a value. AFFINITY is unsigned in libzmq and signed in
# pyzmq, so that its highest bit can only be set as a negative number there; kept.
_C_LIMITS: Final = MappingProxyType(
    {
        _OptType.int: (-(1 << 31), (1 << 31) - 1),
        _OptType.fd: (-(1 << 31), (1 << 31) - 1),
        _OptType.int64: (-(1 << 63), (1 << 63) - 1),
    }
)


def _is_power_of_two(value: int | bytes) -> bool:
    return isinstance(value, int) and value > 0 and value & (value - 1) == 0


def _is_metadata(value: int | bytes) -> bool:
    # zmq_setsockopt(3), ZMQ_METADATA: one "X-name:value", neither part empty.
    name, _, text = value.partition(b":") if isinstance(value, bytes) else (b"", b"", b"")
    return name.startswith(b"X-") and len(name) > 2 and len(text) > 0


# Conditions that a range or a list of choices cannot say; the key is the wording in messages and in the docs.
FORMS: Final[Mapping[str, Callable[[int | bytes], bool]]] = MappingProxyType(
    {"a power of two": _is_power_of_two, "X-name:value": _is_metadata}
)


class OptionRow(NamedTuple):
    """One option. `minimum`, `maximum` and `choices` bound an int's value or the length of bytes.

    step            kept in whole steps of this size; the rest is cut off, towards zero.
    default         what a fresh object has; for an option that cannot be read, what it behaves like; None if
                    there is no such thing (SUBSCRIBE) or it differs per object (FD).
    default_by_type where a socket type differs from `default`.
    applies_to      the socket types on which it counts; `elsewhere` says what other types do with it.
    parts           names of the options that a pseudo-option stands for; reading gives the first.
    takes_text      attribute assignment also takes str, sent as UTF-8 (pyzmq's rule for topics).
    """

    name: str
    number: int
    type: _OptType
    meaning: str
    unit: str = ""
    aliases: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[int, ...] = ()
    form: str = ""
    step: int = 1
    default: int | bytes | None = None
    default_by_type: Mapping[SocketType, int] = _NO_DEFAULTS
    applies_to: frozenset[SocketType] = ALL_TYPES
    elsewhere: Literal["refused", "ignored"] = "refused"
    effect: Effect = "now"
    readable: bool = True
    writable: bool = True
    state: State = "live"
    reason: str = ""
    meanwhile: Literal["", "remembered", "refused"] = ""
    parts: tuple[str, ...] = ()
    takes_text: bool = False

    # A row is itself and no other, and stays hashable although it holds a mapping.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)

    @property
    def python_type(self) -> builtins.type[int | bytes]:
        """The Python type of a value: exactly bytes, or int (and so bool)."""
        return bytes if self.type is _OptType.bytes else int

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases, upper case."""
        return (self.name, *self.aliases)

    @property
    def allowed(self) -> str:
        """The allowed values in words, for messages and for the docs."""
        what = "length" if self.type is _OptType.bytes else "value"
        if self.form and self.minimum is None:
            return self.form
        if self.choices:
            text = f"{what} {' or '.join(map(str, self.choices))}"
        elif self.minimum is None and self.maximum is None:
            text = f"any {what}"
        elif self.maximum is None:
            text = f"{what} {self.minimum} or more"
        else:
            text = f"{what} {self.minimum} to {self.maximum}"
        return f"{text}, {self.form}" if self.form else text

    def allows(self, value: int | bytes) -> bool:
        """Return whether the range, the choices and the form allow a value of the right type."""
        size = value if isinstance(value, int) else len(value)
        return (
            (self.minimum is None or size >= self.minimum)
            and (self.maximum is None or size <= self.maximum)
            and (not self.choices or size in self.choices)
            and (not self.form or FORMS[self.form](value))
        )


# --- the words the rows are made of -------------------------------------------------------------------------

_MS: Final = "milliseconds"
_BOOL: Final = "0 or 1"
# libzmq takes any int of 0 or more for these and keeps whether it is zero.
_TRUTH: Final = "0 or non-zero"
_NEXT: Final[Effect] = "next bind or connect"

_NO_RAW_TCP: Final = "ROUTER speaks ZMTP only"
_NO_PROXY: Final = "no proxy is used yet: while SOCKS_PROXY is set, connecting over tcp raises ENOTSUP"
_NO_SECURITY: Final = "no security mechanism but NULL exists yet"
_NO_FILTERS: Final = "no peer is filtered yet"
_OWN_BUFFERS: Final = "how messages share buffers is not up to the program"
_NO_TRANSPORT: Final = "its transport is not served"
_NOT_BUILT: Final = "libzmq as pyzmq ships it refuses this option with EINVAL, and so does shmzmq"
_LEAST_BUSY: Final = "the least busy I/O thread is taken"
_NOT_YET: Final = "not built yet"
_NO_EFFECT: Final = "accepted and without effect, as in libzmq on Linux"

_T = SocketType
_ROUTERS: Final = frozenset({_T.ROUTER, _T.REP})  # libzmq's REP is a ROUTER inside and takes its options
_PUBLISHERS: Final = frozenset({_T.PUB, _T.XPUB})  # libzmq's PUB is an XPUB inside
_CONFLATING: Final = frozenset({_T.PULL, _T.PUSH, _T.SUB, _T.PUB, _T.DEALER})
_OVERFLOWING: Final = frozenset({_T.PAIR, _T.PUB, _T.XPUB, _T.DEALER, _T.ROUTER, _T.PUSH})
_REMEMBER: Final[dict[str, Any]] = {"state": "known", "meanwhile": "remembered"}
_REFUSE: Final[dict[str, Any]] = {"state": "known", "meanwhile": "refused"}
_FLAG: Final[dict[str, Any]] = {"unit": _BOOL, "choices": (0, 1), "default": 0}
_TRUTHY: Final[dict[str, Any]] = {"unit": _TRUTH, "minimum": 0, "default": 0}
_READ_ONLY: Final[dict[str, Any]] = {"writable": False}
_WRITE_ONLY: Final[dict[str, Any]] = {"readable": False}


def _aliases(option: SocketOption | ShmOption | ContextOption) -> tuple[str, ...]:
    """Return the other names of `option`, from its own enum class."""
    return tuple(
        name for name, member in type(option).__members__.items() if member is option and name != option.name
    )


def _row(option: SocketOption | ShmOption, meaning: str, **columns: Any) -> OptionRow:
    """Make the row of a socket option; number, names and type come from the enum member."""
    return OptionRow(
        name=option.name,
        number=int(option),
        type=option._opt_type,
        meaning=meaning,
        aliases=_aliases(option),
        **columns,
    )


def _refused(option: SocketOption, meaning: str) -> OptionRow:
    """Make the row of an option that can be neither read nor written in the build pyzmq ships."""
    return _row(option, meaning, **_REFUSE, reason=_NOT_BUILT, readable=False, writable=False)


_S = SocketOption

# --- sockets ------------------------------------------------------------------------------------------------

_IDENTITY_ROWS: Final = (
    _row(_S.ROUTING_ID, "name under which ROUTER peers know this socket", unit="bytes", default=b"",
         minimum=1, maximum=255, effect=_NEXT),
    _row(_S.ROUTER_MANDATORY, "sending to an unknown peer is EHOSTUNREACH instead of silence", **_TRUTHY,
         **_WRITE_ONLY, applies_to=_ROUTERS),
    _row(_S.ROUTER_HANDOVER, "a new peer takes over a routing id that is in use", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_ROUTERS),
    _row(_S.ROUTER_RAW, "ROUTER speaks raw tcp (deprecated: STREAM)", **_TRUTHY, **_WRITE_ONLY, **_REMEMBER,
         reason=_NO_RAW_TCP, applies_to=_ROUTERS),
    _row(_S.PROBE_ROUTER, "send an empty message to each new peer", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_ROUTERS | {_T.REQ, _T.DEALER}),
    _row(_S.CONNECT_ROUTING_ID, "routing id for the peer of the next connect", unit="bytes", minimum=1,
         effect=_NEXT, **_WRITE_ONLY, applies_to=_ROUTERS | {_T.STREAM}),
    _row(_S.ROUTER_NOTIFY, "receive an empty message of each peer that comes (1) and goes (2); draft",
         unit="RouterNotify", minimum=0, maximum=3, default=0, effect=_NEXT,
         applies_to=frozenset({_T.ROUTER})),
    _row(_S.REQ_CORRELATE, "REQ marks requests and drops replies to others", **_TRUTHY, **_WRITE_ONLY,
         applies_to=frozenset({_T.REQ})),
    _row(_S.REQ_RELAXED, "REQ may send again without having received a reply", **_TRUTHY, **_WRITE_ONLY,
         applies_to=frozenset({_T.REQ})),
    _row(_S.STREAM_NOTIFY, "STREAM delivers an empty message at connect and disconnect", unit=_BOOL,
         choices=(0, 1), default=1, **_WRITE_ONLY, applies_to=frozenset({_T.STREAM})),
)  # fmt: skip

_PUBSUB_ROWS: Final = (
    _row(_S.SUBSCRIBE, "receive messages that begin with this; XPUB_MANUAL: the last peer does", unit="bytes",
         minimum=0, takes_text=True, applies_to=_PUBLISHERS | {_T.SUB}, **_WRITE_ONLY),
    _row(_S.UNSUBSCRIBE, "take one SUBSCRIBE back", unit="bytes", minimum=0, takes_text=True,
         applies_to=_PUBLISHERS | {_T.SUB}, **_WRITE_ONLY),
    _row(_S.XPUB_VERBOSE, "deliver repeated subscriptions too", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_PUBLISHERS),
    _row(_S.XPUB_VERBOSER, "deliver repeated subscriptions and unsubscriptions too", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_PUBLISHERS),
    _row(_S.XPUB_MANUAL, "the program answers subscriptions itself", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_PUBLISHERS),
    _row(_S.XPUB_MANUAL_LAST_VALUE, "XPUB_MANUAL for last-value caches; draft", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_PUBLISHERS),
    _row(_S.XPUB_NODROP, "a full peer is EAGAIN instead of a dropped message", **_TRUTHY, **_WRITE_ONLY,
         applies_to=_PUBLISHERS | {_T.RADIO}),
    _row(_S.XPUB_WELCOME_MSG, "first message to each new subscriber", unit="bytes", minimum=0, default=b"",
         **_WRITE_ONLY, applies_to=_PUBLISHERS),
    _row(_S.ONLY_FIRST_SUBSCRIBE, "only the first part of a multipart is a subscription; draft", **_TRUTHY,
         **_WRITE_ONLY, applies_to=_PUBLISHERS | {_T.XSUB}),
    _row(_S.INVERT_MATCHING, "receive what no subscription matches", unit=_TRUTH, default=0, effect=_NEXT,
         elsewhere="ignored", applies_to=_PUBLISHERS | {_T.SUB, _T.XSUB}),
    _row(_S.TOPICS_COUNT, "number of topics subscribed to; draft", unit="topics", default=0, **_READ_ONLY,
         applies_to=_PUBLISHERS | {_T.SUB, _T.XSUB}),
    _refused(_S.XSUB_VERBOSE_UNSUBSCRIBE, "XSUB passes every unsubscription on; draft"),
)  # fmt: skip

_QUEUE_ROWS: Final = (
    _row(_S.HWM, "SNDHWM and RCVHWM in one", unit="messages", minimum=0, default=1000,
         parts=("SNDHWM", "RCVHWM")),
    _row(_S.SNDHWM, "messages that may wait for one peer; 0 = no limit", unit="messages", minimum=0,
         default=1000),
    _row(_S.RCVHWM, "messages from one peer that may wait here; 0 = no limit; without rings one read "
         "more, of 128 KiB at most, may be behind it", unit="messages", minimum=0, default=1000),
    _row(_S.CONFLATE, "keep only the newest message", **_FLAG, effect=_NEXT, elsewhere="ignored",
         applies_to=_CONFLATING),
    _row(_S.MAXMSGSIZE, "a peer that sends more is disconnected; negative = no limit", unit="bytes",
         default=-1),
    _row(_S.SNDBUF, "kernel send buffer; -1 = the system's", unit="bytes", minimum=-1, default=-1,
         effect=_NEXT),
    _row(_S.RCVBUF, "kernel receive buffer; -1 = the system's", unit="bytes", minimum=-1, default=-1,
         effect=_NEXT),
    _row(_S.IMMEDIATE, "queue only to peers that are connected", **_FLAG, effect=_NEXT),
    _refused(_S.IN_BATCH_SIZE, "bytes read from a connection at once; draft"),
    _refused(_S.OUT_BATCH_SIZE, "bytes written to a connection at once; draft"),
    _refused(_S.PRIORITY, "kernel priority of packets; draft"),
    _refused(_S.BUSY_POLL, "kernel busy polling; draft"),
)  # fmt: skip

_WAIT_ROWS: Final = (
    _row(_S.SNDTIMEO, "how long send may wait; -1 = for ever", unit=_MS, minimum=-1, default=-1),
    _row(_S.RCVTIMEO, "how long recv may wait; -1 = for ever", unit=_MS, minimum=-1, default=-1),
    _row(_S.LINGER, "how long unsent messages outlive close; -1 = for ever", unit=_MS, minimum=-1, default=-1,
         default_by_type=MappingProxyType({_T.SUB: 0, _T.XSUB: 0, _T.DISH: 0})),
)  # fmt: skip

_STATE_ROWS: Final = (
    _row(_S.TYPE, "the socket type", unit="SocketType", **_READ_ONLY,
         default_by_type=MappingProxyType({t: int(t) for t in _T})),
    _row(_S.RCVMORE, "whether the message received last goes on", unit=_BOOL, default=0, **_READ_ONLY),
    _row(_S.FD, "descriptor that becomes readable when EVENTS may have changed", unit="file descriptor",
         **_READ_ONLY),
    _row(_S.EVENTS, "whether recv (POLLIN) and send (POLLOUT) would not wait", unit="PollEvent", default=0,
         # Without peers these types drop or refuse what they are given instead of waiting.
         default_by_type=MappingProxyType({
             t: 2 for t in (_T.PUB, _T.ROUTER, _T.XPUB, _T.XSUB, _T.STREAM, _T.SERVER, _T.RADIO, _T.DISH,
                            _T.PEER)
         }), **_READ_ONLY),
    _row(_S.LAST_ENDPOINT, "endpoint of the last bind or connect", unit="bytes", default=b"", **_READ_ONLY),
    _row(_S.MECHANISM, "security in use", unit="SecurityMechanism", default=0, **_READ_ONLY),
    _row(_S.THREAD_SAFE, "whether libzmq calls the type thread-safe", unit=_BOOL, default=0, **_READ_ONLY,
         default_by_type=MappingProxyType({
             t: 1 for t in (_T.SERVER, _T.CLIENT, _T.RADIO, _T.DISH, _T.GATHER, _T.SCATTER, _T.PEER,
                            _T.CHANNEL)
         })),
)  # fmt: skip

_CONNECTION_ROWS: Final = (
    _row(_S.AFFINITY, "bit mask of the I/O threads for new connections; 0 = all", unit="bit mask", default=0,
         effect=_NEXT, **_REMEMBER, reason=_LEAST_BUSY),
    _row(_S.BACKLOG, "connections that may wait to be accepted", unit="connections", minimum=0, default=100,
         effect=_NEXT),
    _row(_S.RECONNECT_IVL, "wait before connecting again; -1 = never", unit=_MS, minimum=-1, default=100),
    _row(_S.RECONNECT_IVL_MAX, "longest wait, doubled from RECONNECT_IVL; 0 = no doubling", unit=_MS,
         minimum=0, default=0),
    _row(_S.RECONNECT_STOP, "when not to connect again: refused (1), handshake failed (2), after disconnect"
         " (4); draft", unit="ReconnectStop", default=0),
    _row(_S.CONNECT_TIMEOUT, "how long one attempt to connect may take; 0 = the system's", unit=_MS,
         minimum=0, default=0),
    _row(_S.HANDSHAKE_IVL, "how long a handshake may take; 0 = for ever", unit=_MS, minimum=0, default=30000,
         effect=_NEXT),
    _row(_S.HEARTBEAT_IVL, "interval of PINGs; 0 = none", unit=_MS, minimum=0, default=0, effect=_NEXT),
    # On the wire in tenths of a second, 16 bit unsigned (RFC 37, PING): -99 is cut to 0 and so is allowed.
    _row(_S.HEARTBEAT_TTL, "how long the peer may hear nothing before it gives up; 0 = for ever", unit=_MS,
         minimum=-99, maximum=6553599, step=100, default=0, effect=_NEXT),
    _row(_S.HEARTBEAT_TIMEOUT, "how long to wait for a PONG; -1: as long as HEARTBEAT_IVL", unit=_MS,
         minimum=0, default=-1, effect=_NEXT),
    _row(_S.USE_FD, "bind on this listening descriptor; -1 = make one", unit="file descriptor", minimum=-1,
         default=-1, effect=_NEXT),
    _row(_S.METADATA, "property shown to peers in the handshake; draft", unit="bytes", form="X-name:value",
         effect=_NEXT, **_WRITE_ONLY, **_REMEMBER, reason=_NOT_YET),
    _row(_S.HELLO_MSG, "first message to each new peer; empty = none; draft", unit="bytes", minimum=0,
         default=b"", effect=_NEXT, **_WRITE_ONLY, applies_to=frozenset({_T.ROUTER, _T.DEALER})),
    _row(_S.DISCONNECT_MSG, "message received here when a peer that had connected is gone; empty = none;"
         " draft", unit="bytes", minimum=0, default=b"", **_WRITE_ONLY, applies_to=frozenset({_T.ROUTER})),
    _row(_S.HICCUP_MSG, "message received here when a connection that we made is lost for a while;"
         " empty = none; draft", unit="bytes", minimum=0, default=b"", **_WRITE_ONLY,
         applies_to=frozenset({_T.DEALER})),
    _refused(_S.BLOCKY, "an option of the Context, not of a Socket: 0 lets new sockets have LINGER 0"),
)  # fmt: skip

_NETWORK_ROWS: Final = (
    _row(_S.IPV6, "use IPv6 too", **_FLAG, effect=_NEXT),
    _row(_S.IPV4ONLY, "the opposite of IPV6 (deprecated); setting one sets both", **_FLAG | {"default": 1},
         effect=_NEXT),
    _row(_S.TCP_KEEPALIVE, "SO_KEEPALIVE; -1 = the system's", unit="-1, 0 or 1", choices=(-1, 0, 1),
         default=-1, effect=_NEXT),
    _row(_S.TCP_KEEPALIVE_CNT, "TCP_KEEPCNT; -1 = the system's", unit="probes", minimum=-1, default=-1,
         effect=_NEXT),
    _row(_S.TCP_KEEPALIVE_IDLE, "TCP_KEEPIDLE; -1 = the system's", unit="seconds", minimum=-1, default=-1,
         effect=_NEXT),
    _row(_S.TCP_KEEPALIVE_INTVL, "TCP_KEEPINTVL; -1 = the system's", unit="seconds", minimum=-1, default=-1,
         effect=_NEXT),
    _row(_S.TCP_MAXRT, "TCP_USER_TIMEOUT; 0 = the system's", unit=_MS, minimum=0, default=0, effect=_NEXT),
    _row(_S.TOS, "type of service of packets", unit="IP TOS byte", minimum=0, default=0, effect=_NEXT),
    _row(_S.BINDTODEVICE, "use only this network interface", unit="bytes", minimum=1, maximum=16, default=b"",
         effect=_NEXT),
    _row(_S.SOCKS_PROXY, "SOCKS5 proxy, host:port", unit="bytes", minimum=1, default=b"", effect=_NEXT,
         **_REMEMBER, reason=_NO_PROXY),
    _row(_S.SOCKS_USERNAME, "name for the proxy; draft", unit="bytes", minimum=0, maximum=255,
         default=b"", effect=_NEXT, **_REMEMBER, reason=_NO_PROXY),
    _row(_S.SOCKS_PASSWORD, "password for the proxy; draft", unit="bytes", minimum=0, maximum=255,
         default=b"", effect=_NEXT, **_REMEMBER, reason=_NO_PROXY),
    _row(_S.LOOPBACK_FASTPATH, "Windows' short cut for loopback; draft", unit=_TRUTH, default=0, effect=_NEXT,
         **_REMEMBER, reason=_NO_EFFECT),
    _row(_S.RATE, "multicast rate", unit="kilobits per second", minimum=1, default=100, effect=_NEXT,
         **_REMEMBER, reason=_NO_TRANSPORT),
    _row(_S.RECOVERY_IVL, "multicast recovery", unit=_MS, minimum=0, default=10000, effect=_NEXT, **_REMEMBER,
         reason=_NO_TRANSPORT),
    _row(_S.MULTICAST_HOPS, "multicast time to live", unit="hops", minimum=1, default=1, effect=_NEXT,
         **_REMEMBER, reason=_NO_TRANSPORT),
    _row(_S.MULTICAST_MAXTPDU, "largest multicast packet", unit="bytes", minimum=1, default=1500,
         effect=_NEXT, **_REMEMBER, reason=_NO_TRANSPORT),
    _row(_S.MULTICAST_LOOP, "multicast reaches its sender too; draft", unit=_TRUTH, default=1, effect=_NEXT,
         **_REMEMBER, reason=_NO_TRANSPORT),
    _refused(_S.VMCI_BUFFER_SIZE, "vmci: buffer size"),
    _refused(_S.VMCI_BUFFER_MIN_SIZE, "vmci: smallest buffer"),
    _refused(_S.VMCI_BUFFER_MAX_SIZE, "vmci: largest buffer"),
    _refused(_S.VMCI_CONNECT_TIMEOUT, "vmci: how long connecting may take"),
    _refused(_S.NORM_MODE, "norm: congestion control; draft"),
    _refused(_S.NORM_UNICAST_NACK, "norm: NACKs go to the sender alone; draft"),
    _refused(_S.NORM_BUFFER_SIZE, "norm: buffer size; draft"),
    _refused(_S.NORM_SEGMENT_SIZE, "norm: segment size; draft"),
    _refused(_S.NORM_BLOCK_SIZE, "norm: segments in a block; draft"),
    _refused(_S.NORM_NUM_PARITY, "norm: parity segments in a block; draft"),
    _refused(_S.NORM_NUM_AUTOPARITY, "norm: parity segments sent unasked; draft"),
    _refused(_S.NORM_PUSH, "norm: newest data first; draft"),
    _refused(_S.WSS_KEY_PEM, "wss: private key; draft"),
    _refused(_S.WSS_CERT_PEM, "wss: certificate; draft"),
    _refused(_S.WSS_TRUST_PEM, "wss: trusted certificates; draft"),
    _refused(_S.WSS_HOSTNAME, "wss: host name to verify; draft"),
    _refused(_S.WSS_TRUST_SYSTEM, "wss: trust the system's certificates; draft"),
)  # fmt: skip

_SECURITY_ROWS: Final = (
    _row(_S.PLAIN_SERVER, "ask peers for name and password", **_FLAG, effect=_NEXT, **_REFUSE,
         reason=_NO_SECURITY),
    _row(_S.PLAIN_USERNAME, "name shown to a PLAIN server", unit="bytes", minimum=1, maximum=255, default=b"",
         effect=_NEXT, **_REFUSE, reason=_NO_SECURITY),
    _row(_S.PLAIN_PASSWORD, "password shown to a PLAIN server", unit="bytes", minimum=1, maximum=255,
         default=b"", effect=_NEXT, **_REFUSE, reason=_NO_SECURITY),
    _row(_S.CURVE_SERVER, "be the server side of CURVE", **_FLAG, effect=_NEXT, **_REFUSE,
         reason=_NO_SECURITY),
    # Readable in libzmq only while CURVE is in use, which it never is here yet.
    _row(_S.CURVE_PUBLICKEY, "own public key, raw or Z85", unit="bytes", choices=(32, 40), effect=_NEXT,
         readable=False, **_REFUSE, reason=_NO_SECURITY),
    _row(_S.CURVE_SECRETKEY, "own secret key, raw or Z85", unit="bytes", choices=(32, 40), effect=_NEXT,
         readable=False, **_REFUSE, reason=_NO_SECURITY),
    _row(_S.CURVE_SERVERKEY, "the server's public key, raw or Z85", unit="bytes", choices=(32, 40),
         effect=_NEXT, readable=False, **_REFUSE, reason=_NO_SECURITY),
    _row(_S.ZAP_DOMAIN, "domain named to the authenticator", unit="bytes", minimum=1, maximum=255,
         default=b"", effect=_NEXT, **_REFUSE, reason=_NO_SECURITY),
    _row(_S.ZAP_ENFORCE_DOMAIN, "refuse peers when ZAP_DOMAIN is empty; draft", unit=_TRUTH, default=0,
         effect=_NEXT, **_REFUSE, reason=_NO_SECURITY),
    _refused(_S.GSSAPI_SERVER, "be the server side of GSSAPI"),
    _refused(_S.GSSAPI_PRINCIPAL, "own GSSAPI principal"),
    _refused(_S.GSSAPI_SERVICE_PRINCIPAL, "the server's GSSAPI principal"),
    _refused(_S.GSSAPI_PLAINTEXT, "GSSAPI without encryption"),
    _refused(_S.GSSAPI_PRINCIPAL_NAMETYPE, "how GSSAPI_PRINCIPAL is written"),
    _refused(_S.GSSAPI_SERVICE_PRINCIPAL_NAMETYPE, "how GSSAPI_SERVICE_PRINCIPAL is written"),
    _row(_S.TCP_ACCEPT_FILTER, "accept only peers of this network (deprecated: ZAP)", unit="bytes", minimum=1,
         effect=_NEXT, **_WRITE_ONLY, **_REFUSE, reason=_NO_FILTERS),
    _row(_S.IPC_FILTER_PID, "accept only this process (deprecated: ZAP)", unit="pid", effect=_NEXT,
         **_WRITE_ONLY, **_REFUSE, reason=_NO_FILTERS),
    _row(_S.IPC_FILTER_UID, "accept only this user (deprecated: ZAP)", unit="uid", effect=_NEXT,
         **_WRITE_ONLY, **_REFUSE, reason=_NO_FILTERS),
    _row(_S.IPC_FILTER_GID, "accept only this group (deprecated: ZAP)", unit="gid", effect=_NEXT,
         **_WRITE_ONLY, **_REFUSE, reason=_NO_FILTERS),
)  # fmt: skip

# Our own. Nobody's old program sets them, so one that has no effect yet is refused and never remembered.
_SHM_ROWS: Final = (
    _row(ShmOption.SPIN_US, "how long a wait spins before it sleeps, 50 ms at most; -1 = adaptive, 0 = never",
         unit="microseconds", minimum=-1, default=-1),
    _row(ShmOption.IPC_FILE_MODE, "permissions of an ipc socket file; -1 = by umask", unit="file mode",
         minimum=-1, maximum=0o777, default=-1, effect=_NEXT),
    _row(ShmOption.IPC_MODE, "how ipc moves messages: rings where possible, ZMTP only, or rings or nothing",
         unit="0 auto, 1 zmtp, 2 ring", choices=(0, 1, 2), default=0, effect=_NEXT),
    _row(ShmOption.IPC_TAKEOVER, "bind replaces a live listener on an ipc path", **_FLAG, effect=_NEXT),
    _row(ShmOption.REDELIVER, "what a dead ipc peer left unread goes to another live peer", **_FLAG,
         effect=_NEXT, **_REFUSE, reason=_NOT_YET),
    _row(ShmOption.RING_BYTES, "size of each ring in shared memory", unit="bytes", minimum=1 << 12,
         maximum=1 << 30, form="a power of two", default=1 << 18, effect=_NEXT),
    _row(ShmOption.HWM_BYTES, "bytes that may wait for one peer; 0 = no limit", unit="bytes", minimum=0,
         default=0),
    _row(ShmOption.OVERFLOW, "what a pipe at its high-water marks does with one more message: as the type "
         "does, block, drop the newest, drop the oldest, keep the latest", unit="Overflow",
         choices=(0, 1, 2, 3, 4), default=0, effect=_NEXT, applies_to=_OVERFLOWING),
    _row(ShmOption.ARENA_MAX, "bytes of shared memory for the socket's large messages; "
         "0 = no limit but SHM_MAX", unit="bytes", minimum=0, default=0),
    _row(ShmOption.IPC_STRICT, "ipc file mode 0600 and peers of the same uid only, both ways", **_FLAG,
         effect=_NEXT, **_REFUSE, reason=_NOT_YET),
)  # fmt: skip

SOCKET_OPTIONS: Final[tuple[OptionRow, ...]] = (
    *_IDENTITY_ROWS,
    *_PUBSUB_ROWS,
    *_QUEUE_ROWS,
    *_WAIT_ROWS,
    *_STATE_ROWS,
    *_CONNECTION_ROWS,
    *_NETWORK_ROWS,
    *_SECURITY_ROWS,
    *_SHM_ROWS,
)

# --- contexts -----------------------------------------------------------------------------------------------


def _context_row(number: int, name: str, meaning: str, **columns: Any) -> OptionRow:
    """Make the row of a context option; ints, but for SHM_MAX."""
    aliases = _aliases(ContextOption(number)) if name in ContextOption.__members__ else ()
    kind = _OptType.int64 if name == "SHM_MAX" else _OptType.int
    return OptionRow(name=name, number=number, type=kind, meaning=meaning, aliases=aliases, **columns)


_C = ContextOption
_ONE_THREAD: Final = "I/O threads run with the system's scheduling, on any CPU"

CONTEXT_OPTIONS: Final[tuple[OptionRow, ...]] = (
    _context_row(_C.IO_THREADS, "IO_THREADS", "number of I/O threads; they start when first needed",
                 unit="threads", minimum=0, default=1),
    _context_row(_C.MAX_SOCKETS, "MAX_SOCKETS", "sockets that may be open at once", unit="sockets", minimum=1,
                 default=1023),
    # One number, two names: reading gives libzmq's SOCKET_LIMIT, writing sets its THREAD_PRIORITY.
    _context_row(_C.SOCKET_LIMIT, "SOCKET_LIMIT", "read: highest MAX_SOCKETS; write: I/O thread priority",
                 unit="sockets or priority", minimum=0, default=65535, **_REMEMBER, reason=_ONE_THREAD),
    _context_row(_C.THREAD_SCHED_POLICY, "THREAD_SCHED_POLICY", "scheduling policy of I/O threads",
                 unit="policy", minimum=0, default=-1, **_REMEMBER, reason=_ONE_THREAD),
    _context_row(_C.MAX_MSGSZ, "MAX_MSGSZ", "largest message a socket of the context may send", unit="bytes",
                 minimum=0, default=(1 << 31) - 1, **_REMEMBER, reason=_NOT_YET),
    _context_row(_C.MSG_T_SIZE, "MSG_T_SIZE", "size of libzmq's zmq_msg_t", unit="bytes", default=64,
                 **_READ_ONLY),
    _context_row(_C.THREAD_AFFINITY_CPU_ADD, "THREAD_AFFINITY_CPU_ADD", "let I/O threads run on this CPU",
                 unit="CPU", minimum=0, **_WRITE_ONLY, **_REMEMBER, reason=_ONE_THREAD),
    # libzmq also answers EINVAL for a CPU that was not added; whoever keeps the set says so.
    _context_row(_C.THREAD_AFFINITY_CPU_REMOVE, "THREAD_AFFINITY_CPU_REMOVE", "take one CPU_ADD back",
                 unit="CPU", minimum=0, **_WRITE_ONLY, **_REMEMBER, reason=_ONE_THREAD),
    _context_row(_C.THREAD_NAME_PREFIX, "THREAD_NAME_PREFIX", "number before the names of I/O threads",
                 unit="number", default=0, **_REMEMBER, reason=_ONE_THREAD),
    # pyzmq has no ContextOption for these three, but a Context takes their numbers.
    _context_row(10, "ZERO_COPY_RECV", "messages may share the buffer they were read into; draft", **_TRUTHY
                 | {"default": 1}, **_REMEMBER, reason=_OWN_BUFFERS),
    _context_row(ShmOption.SHM_MAX, "SHM_MAX", "bytes of shared memory that the process may make for large "
                 "messages; 0 = a quarter of the memory there is", unit="bytes", minimum=0, default=0),
    _context_row(_S.IPV6, "IPV6", "IPV6 of new sockets", **_TRUTHY),
    _context_row(_S.BLOCKY, "BLOCKY", "0: new sockets have LINGER 0", **_TRUTHY | {"default": 1}),
)  # fmt: skip

# --- looking up ---------------------------------------------------------------------------------------------


def _by_attribute(rows: Iterable[OptionRow]) -> Mapping[str, OptionRow]:
    """Map every name and alias, in upper and in lower case, to its row."""
    return MappingProxyType(
        {spelling: row for row in rows for name in row.names for spelling in (name, name.lower())}
    )


ATTRIBUTES: Final[Mapping[str, OptionRow]] = _by_attribute(SOCKET_OPTIONS)
# `ctx.ipv6` and `ctx.blocky` are not options of the context in pyzmq: an attribute that is named like a
# socket option is the default for new sockets (SocketDefault).
CONTEXT_ATTRIBUTES: Final[Mapping[str, OptionRow]] = _by_attribute(
    row for row in CONTEXT_OPTIONS if row.name in ContextOption.__members__
)
_BY_NUMBER: Final = MappingProxyType({row.number: row for row in SOCKET_OPTIONS})
_CONTEXT_BY_NUMBER: Final = MappingProxyType({row.number: row for row in CONTEXT_OPTIONS})


def _find(
    key: object, value: object, owner: str, numbers: Mapping[int, OptionRow], names: Mapping[str, OptionRow]
) -> OptionRow:
    """Return the row under `key`, or fail the way pyzmq fails for `owner`."""
    if isinstance(key, str):
        named = names.get(key.upper())
        if named is None:
            raise AttributeError(f"{owner} has no such option: {key.upper()}")
        return named
    if not isinstance(key, int):
        raise TypeError(f"an option is an integer, got {key!r}")
    row = numbers.get(key)
    if row is None:
        _check_int(f"option {int(key)}", _OptType.int, value)  # what is unknown takes an int
        raise error_for(EINVAL, f"{owner} has no option number {int(key)}")
    return row


def row_for(name_or_number: str | int, value: object = 0) -> OptionRow:
    """Return the row of a socket option, by number or by name in any case.

    Shape    value: what the option is to be set to; for an unknown number it is checked first.
    Raises   ZMQError EINVAL for an unknown number, AttributeError for an unknown name, TypeError for neither.
    """
    return _find(name_or_number, value, "Socket", _BY_NUMBER, ATTRIBUTES)


def context_row_for(name_or_number: str | int, value: object = 0) -> OptionRow:
    """Return the row of a context option, by number or by name; raises like `row_for`."""
    return _find(name_or_number, value, "Context", _CONTEXT_BY_NUMBER, CONTEXT_ATTRIBUTES)


def default_for(row: OptionRow, socket_type: int) -> int | bytes | None:
    """Return the value of `row` on a fresh socket of `socket_type`; None where the row says None."""
    try:
        return row.default_by_type.get(SocketType(socket_type), row.default)
    except ValueError:
        raise error_for(EINVAL, f"socket_type={socket_type} is not a socket type") from None


# --- checking -----------------------------------------------------------------------------------------------


def _counts_on(row: OptionRow, socket_type: int | None) -> bool:
    return socket_type is None or row.elsewhere == "ignored" or socket_type in row.applies_to


def _show(value: object) -> str:
    """Return `value` for a message, shortened: a key or a message may be long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _normal(row: OptionRow, value: int | bytes) -> int | bytes:
    """Return an allowed value as it reads back: truth as 0 or 1, steps cut towards zero."""
    if isinstance(value, bytes):
        return value
    if row.unit == _TRUTH:
        return int(value != 0)
    # The sign is set aside, since Python's % and // round downwards.
    return value if row.step == 1 else abs(value) // row.step * row.step * (1 if value >= 0 else -1)


def _check_int(name: str, kind: _OptType, value: object) -> int:
    """Return an int that C's type can hold; raises TypeError or OverflowError for anything else."""
    if not isinstance(value, int):
        raise TypeError(f"{name}: expected int, got: {_show(value)}")
    low, high = _C_LIMITS[kind]
    if not low <= value <= high:
        raise OverflowError(f"{name}={value} does not fit C's {kind.name}")
    return int(value)


def validate(row: OptionRow, value: object, socket_type: int | None = None) -> int | bytes:
    """Return `value` as native code takes it (int or bytes), or refuse it; nothing is changed either way.

    Raises   TypeError       wrong Python type; the text names option and value. Only int (so bool too) and
                             bytes count: no float, no numpy integer, no bytearray (pyzmq's rule, kept).
             OverflowError   an int that C's type cannot hold.
             ZMQError EINVAL out of range; read-only; not for `socket_type`, if that is given; or an option
                             without effect yet that must not be believed to have one.
    """
    if isinstance(value, str):
        raise TypeError(
            f"{row.name} takes {row.python_type.__name__}, got str {_show(value)}: "
            "unicode is not allowed here, use set_string"
        )
    checked: int | bytes
    if row.type is _OptType.bytes:
        if not isinstance(value, bytes):
            raise TypeError(f"{row.name}: expected bytes, got: {_show(value)}")
        checked = value
    else:
        checked = _check_int(row.name, row.type, value)
    operand = f"{row.name}={_show(value)}"
    if not row.writable:
        raise error_for(EINVAL, f"{operand}: {row.reason or 'the option is read-only'}")
    if not _counts_on(row, socket_type):
        kinds = ", ".join(sorted(kind.name for kind in row.applies_to))
        raise error_for(EINVAL, f"{operand}: only for socket types {kinds}")
    if not row.allows(checked):
        raise error_for(EINVAL, f"{operand}: needs {row.allowed}")
    if row.meanwhile == "refused" and checked != row.default:
        raise error_for(EINVAL, f"{operand}: {row.reason}, and acting as if it were would mislead you")
    return _normal(row, checked)


def check_readable(row: OptionRow, socket_type: int | None = None) -> None:
    """Raise ZMQError EINVAL unless `row` can be read on `socket_type`; libzmq's setters mostly cannot."""
    if not row.readable:
        raise error_for(EINVAL, f"{row.name} cannot be read")
    if not _counts_on(row, socket_type):
        raise error_for(EINVAL, f"{row.name} cannot be read on this type of socket")


# --- attributes ---------------------------------------------------------------------------------------------


class OptionDescriptor:
    """An option as an attribute: `socket.linger = 0` is `socket.set(LINGER, 0)`.

    Reading an option that cannot be read (EINVAL, EFAULT) is AttributeError, so that hasattr() and copying
    work; setting raises what `set` raises (pyzmq's rules, kept). A pseudo-option sets each of its parts.
    """

    def __init__(self, row: OptionRow, name: str | None = None) -> None:
        """Make the attribute for `row`, spelled `name` in messages."""
        self.row = row
        self.name = name or row.name.lower()
        self._numbers = tuple(row_for(part).number for part in row.parts) or (row.number,)
        self.__doc__ = f"{row.meaning} ({row.unit or row.type.name})"

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        """Return the option's value; on the class, this descriptor."""
        if obj is None:
            return self
        try:
            return obj.get(self._numbers[0])
        except ZMQError as error:
            if error.errno in (EINVAL, EFAULT):
                raise AttributeError(f"{self.name} attribute is write-only") from error
            raise

    def __set__(self, obj: Any, value: Any) -> None:
        """Set the option, or every part of a pseudo-option."""
        if self.row.takes_text and isinstance(value, str):
            value = value.encode()
        for number in self._numbers:
            obj.set(number, value)


class MethodOption(OptionDescriptor):
    """An option whose lower-case name is also a method: `s.subscribe = b"x"` and `s.subscribe(b"x")`."""

    def __init__(self, row: OptionRow, function: Callable[..., Any]) -> None:
        """Make the attribute for `row`; reading gives `function` bound to the object."""
        super().__init__(row, function.__name__)
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        """Return the bound method; on the class, the function, as for any method."""
        return self.function if obj is None else MethodType(self.function, obj)


class SocketDefault(OptionDescriptor):
    """A socket option as an attribute of a Context: the value that new sockets get.

    It lives in the context's `sockopts` dictionary under the option's number, and is first checked when a
    socket is made.
    """

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        """Return the default set before; AttributeError if none was."""
        if obj is None:
            return self
        try:
            return obj.sockopts[self.row.number]
        except KeyError:
            raise AttributeError(self.row.name) from None

    def __set__(self, obj: Any, value: Any) -> None:
        """Remember the default."""
        obj.sockopts[self.row.number] = value

    def __delete__(self, obj: Any) -> None:
        """Forget the default."""
        try:
            del obj.sockopts[self.row.number]
        except KeyError:
            raise AttributeError(self.row.name) from None


def _annotated(cls: type, name: str) -> bool:
    """Return whether the body of `cls` has the annotation `name`."""
    if sys.version_info >= (3, 14):  # annotations are made when asked for, and may name what is not there
        import annotationlib

        return name in annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return name in vars(cls).get("__annotations__", ())


def declared(obj: object, name: str) -> bool:
    """Return whether `obj` may have the attribute `name`: private, there already, or named by a class.

    pyzmq refuses any other name, so that a mistyped option is not silently an attribute (its rule, kept).
    """
    bases = type(obj).__mro__
    return (
        name.startswith("_")
        or any(name in vars(base) for base in bases)
        or name in vars(obj)
        or any(_annotated(base, name) for base in bases)
    )


def _is_taken(cls: type, name: str) -> bool:
    """Return whether `cls` or a base below object defines `name` by hand."""
    for base in cls.__mro__[:-1]:
        if name in vars(base):
            found = vars(base)[name]
            return isinstance(found, MethodOption) or not isinstance(found, OptionDescriptor)
    return False


def install(
    cls: type, rows: Iterable[OptionRow], descriptor: type[OptionDescriptor] = OptionDescriptor
) -> tuple[str, ...]:
    """Give `cls` an attribute for every name of `rows`, in upper and in lower case.

    Returns  the names installed. What the class or a base of it already defines by hand stays as it is.
    """
    installed = []
    for name, row in _by_attribute(rows).items():
        if not _is_taken(cls, name):
            setattr(cls, name, descriptor(row, name))
            installed.append(name)
    return tuple(installed)
