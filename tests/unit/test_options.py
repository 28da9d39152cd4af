"""The options table against pyzmq: completeness, defaults per socket type, wrong values, attributes.

Knows    that the installed pyzmq is the oracle for every option that is not ours.
Refuses  to know our sockets: attributes are tried on a stand-in that records `get` and `set`.
"""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest
import zmq

from shmzmq import constants, options
from shmzmq.constants import ContextOption, ShmOption, SocketOption, SocketType, _OptType
from shmzmq.errors import ZMQError
from shmzmq.options import (
    ATTRIBUTES,
    CONTEXT_ATTRIBUTES,
    CONTEXT_OPTIONS,
    SOCKET_OPTIONS,
    MethodOption,
    OptionDescriptor,
    SocketDefault,
    check_readable,
    context_row_for,
    default_for,
    install,
    row_for,
    validate,
)

ROOT = Path(__file__).parents[2]
OWN_ROWS = [row for row in SOCKET_OPTIONS if row.number >= 1000]
# Draft options that work here and that libzmq as pyzmq ships it does not know.
DRAFTS = {"ROUTER_NOTIFY", "HELLO_MSG", "DISCONNECT_MSG", "HICCUP_MSG"}
SHARED_ROWS = [row for row in SOCKET_OPTIONS if row.number < 1000 and row.name not in DRAFTS]
# SHM_MAX bounds the whole process, so it is a context's, and pyzmq knows nothing of it.
OWN_OF_CONTEXTS = {"SHM_MAX"}
SOCKET_SHM_OPTIONS = {
    name: option for name, option in ShmOption.__members__.items() if name not in OWN_OF_CONTEXTS
}
SHARED_CONTEXT_ROWS = [row for row in CONTEXT_OPTIONS if row.name not in OWN_OF_CONTEXTS]
# What milestone 1 serves. An option that starts to work moves here together with its row and its tests.
LIVE = {
    "CONNECT_ROUTING_ID", "BACKLOG", "ROUTING_ID", "LINGER", "SNDHWM", "RCVHWM", "SNDTIMEO",
    "RCVTIMEO", "RECONNECT_IVL", "RECONNECT_IVL_MAX", "HANDSHAKE_IVL", "IMMEDIATE", "TYPE",
    "RCVMORE", "LAST_ENDPOINT", "EVENTS", "FD", "MECHANISM", "THREAD_SAFE", "ROUTER_MANDATORY",
    "ROUTER_HANDOVER", "PROBE_ROUTER", "REQ_CORRELATE", "REQ_RELAXED", "MAXMSGSIZE",
    "CONNECT_TIMEOUT", "SPIN_US", "IPC_FILE_MODE", "IPC_TAKEOVER", "RING_BYTES", "HWM", "SUBSCRIBE",
    "UNSUBSCRIBE", "XPUB_VERBOSE", "XPUB_VERBOSER", "XPUB_MANUAL", "XPUB_MANUAL_LAST_VALUE",
    "XPUB_NODROP", "XPUB_WELCOME_MSG", "ONLY_FIRST_SUBSCRIBE", "INVERT_MATCHING", "TOPICS_COUNT",
    "CONFLATE", "HWM_BYTES", "OVERFLOW", "ARENA_MAX", "RECONNECT_STOP", "IPV6", "IPV4ONLY",
    "TCP_KEEPALIVE", "TCP_KEEPALIVE_CNT", "TCP_KEEPALIVE_IDLE", "TCP_KEEPALIVE_INTVL", "TCP_MAXRT", "TOS",
    "SNDBUF", "RCVBUF", "HEARTBEAT_IVL", "HEARTBEAT_TTL", "HEARTBEAT_TIMEOUT", "STREAM_NOTIFY", "USE_FD",
    "BINDTODEVICE", "IPC_MODE", *DRAFTS,
}  # fmt: skip
INTS = [
    -(1 << 63) - 1, -(1 << 63), -(1 << 31) - 1, -(1 << 31), -101, -100, -99, -2, -1, 0, 1, 2, 3, 64, 100,
    255, 256,
    65535, 65536, 6553599, 6553600, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, True,
]  # fmt: skip
BYTES = [
    b"", b"\0", b"\0a", b"a", b"a\0b", b"X-a:b", b"X-a:b:c", b"X-a:", b"X-:b", b"a:b", b"127.0.0.1",
    b"a" * 16,
    b"a" * 17, b"a" * 31, b"a" * 32, b"a" * 40, b"a" * 41, b"a" * 255, b"a" * 256, b"a" * 4000,
]  # fmt: skip
WRONG_TYPES = [None, 1.5, "text", "", bytearray(b"a"), memoryview(b"a"), [1], object]
VALUES = [*INTS, *BYTES, *WRONG_TYPES]


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def outcome(call):
    """What a call that sets an option comes to: "ok", the errno, or the class of another exception."""
    try:
        call()
    except (zmq.ZMQError, ZMQError) as error:
        return errno.errorcode[error.errno]
    except Exception as error:
        return type(error).__name__
    return "ok"


def is_held_back(row, value):
    """Whether we refuse what libzmq takes, because it would have no effect here."""
    return row.meanwhile == "refused" and value != row.default


# --- completeness -------------------------------------------------------------------------------------------


def test_every_socket_option_has_a_row():
    assert {row.number for row in SOCKET_OPTIONS} == {
        *map(int, SocketOption),
        *map(int, SOCKET_SHM_OPTIONS.values()),
    }


def test_no_socket_option_has_two_rows():
    assert len({row.number for row in SOCKET_OPTIONS}) == len(SOCKET_OPTIONS)


def test_every_name_and_alias_of_a_socket_option_is_in_its_row():
    members = {**zmq.SocketOption.__members__, **SOCKET_SHM_OPTIONS}
    assert {name: row.number for row in SOCKET_OPTIONS for name in row.names} == members


def test_every_context_option_has_a_row():
    named = {name: row.number for row in CONTEXT_OPTIONS for name in row.names}
    assert named.items() >= {name: int(m) for name, m in zmq.ContextOption.__members__.items()}.items()


def test_context_rows_beyond_the_enum_are_the_three_numbers_libzmq_takes():
    beyond = {row.name: row.number for row in SHARED_CONTEXT_ROWS if row.number not in set(ContextOption)}
    assert beyond == {"ZERO_COPY_RECV": 10, "IPV6": 42, "BLOCKY": 70}


def test_own_rows_of_contexts_are_those_of_the_process():
    own = {row.name: row.number for row in CONTEXT_OPTIONS if row not in SHARED_CONTEXT_ROWS}
    assert own == {"SHM_MAX": int(ShmOption.SHM_MAX)}


def test_live_options_are_those_of_this_milestone():
    assert {row.name for row in SOCKET_OPTIONS if row.state == "live"} == LIVE


def test_live_rows_give_no_reason_and_known_rows_give_one():
    assert [
        r.name for r in (*SOCKET_OPTIONS, *CONTEXT_OPTIONS) if (r.state == "known") != bool(r.reason)
    ] == []


def test_only_known_rows_say_what_happens_meanwhile():
    assert [
        r.name for r in (*SOCKET_OPTIONS, *CONTEXT_OPTIONS) if (r.state == "known") != bool(r.meanwhile)
    ] == []


def test_every_form_a_row_names_is_defined():
    assert {row.form for row in SOCKET_OPTIONS if row.form} == set(options.FORMS)


def test_every_row_has_a_meaning():
    assert [row.name for row in (*SOCKET_OPTIONS, *CONTEXT_OPTIONS) if not row.meaning] == []


def test_own_options_without_effect_are_refused():
    assert {row.name for row in OWN_ROWS if row.meanwhile == "refused"} == {
        "REDELIVER", "IPC_STRICT",
    }  # fmt: skip


def test_options_that_protect_are_refused_while_they_do_not():
    protecting = {
        "PLAIN_SERVER", "PLAIN_USERNAME", "PLAIN_PASSWORD", "CURVE_SERVER", "CURVE_PUBLICKEY",
        "CURVE_SECRETKEY",
        "CURVE_SERVERKEY", "ZAP_DOMAIN", "ZAP_ENFORCE_DOMAIN", "TCP_ACCEPT_FILTER", "IPC_FILTER_PID",
        "IPC_FILTER_UID", "IPC_FILTER_GID",
    }  # fmt: skip
    assert {row_for(name).meanwhile for name in protecting} == {"refused"}


def test_drafts_that_work_here_are_unknown_to_pyzmq(context):
    socket = context.socket(zmq.ROUTER)
    rows = [row_for(name) for name in sorted(DRAFTS)]
    values = [b"x" if row.python_type is bytes else 1 for row in rows]
    assert {outcome(lambda r=r, v=v: socket.set(r.number, v)) for r, v in zip(rows, values, strict=True)} == {
        "EINVAL"
    }


# --- defaults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("socket_type", list(SocketType), ids=lambda t: t.name)
def test_defaults_are_those_of_a_fresh_pyzmq_socket(context, socket_type):
    # FD differs per socket; HWM cannot be read by number in pyzmq.
    rows = [
        row
        for row in SHARED_ROWS
        if row.name not in {"FD", "HWM"} and outcome(lambda r=row: check_readable(r, socket_type)) == "ok"
    ]
    socket = context.socket(int(socket_type))
    assert {row.name: default_for(row, socket_type) for row in rows} == {
        row.name: socket.get(row.number) for row in rows
    }


@pytest.mark.parametrize("socket_type", list(SocketType), ids=lambda t: t.name)
def test_options_that_cannot_be_read_are_those_of_pyzmq(context, socket_type):
    # The FD of a thread-safe draft socket is pyzmq's own make-up, and RuntimeError in builds without drafts.
    socket = context.socket(int(socket_type))
    rows = [row for row in SHARED_ROWS if row.name not in {"FD", "HWM"}]
    assert {row.name: outcome(lambda r=row: check_readable(r, socket_type)) for row in rows} == {
        row.name: outcome(lambda r=row: socket.get(r.number)) for row in rows
    }


def test_hwm_default_is_that_of_the_pyzmq_attribute(context):
    assert default_for(row_for("HWM"), SocketType.PAIR) == context.socket(zmq.PAIR).hwm


def test_context_defaults_are_pyzmq_s(context):
    rows = [row for row in SHARED_CONTEXT_ROWS if row.readable]
    assert {row.name: row.default for row in rows} == {row.name: context.get(row.number) for row in rows}


def test_context_options_that_cannot_be_read_are_those_of_pyzmq(context):
    assert {row.name: outcome(lambda r=row: check_readable(r)) for row in SHARED_CONTEXT_ROWS} == {
        row.name: outcome(lambda r=row: context.get(r.number)) for row in SHARED_CONTEXT_ROWS
    }


def test_own_options_have_their_defaults():
    assert {row.name: row.default for row in OWN_ROWS} == {
        "SPIN_US": -1,
        "IPC_FILE_MODE": -1,
        "IPC_MODE": 0,
        "IPC_TAKEOVER": 0,
        "REDELIVER": 0,
        "RING_BYTES": 262144,
        "HWM_BYTES": 0,
        "IPC_STRICT": 0,
        "OVERFLOW": 0,
        "ARENA_MAX": 0,
    }


def test_own_defaults_are_allowed_values():
    assert [row.name for row in OWN_ROWS if validate(row, row.default) != row.default] == []


def test_default_for_refuses_a_number_that_is_no_socket_type():
    with pytest.raises(ZMQError, match="socket_type=99"):
        default_for(row_for("TYPE"), 99)


# --- wrong values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("socket_type", list(SocketType), ids=lambda t: t.name)
def test_values_are_taken_and_refused_as_by_pyzmq(context, socket_type):
    socket = context.socket(int(socket_type))
    differing = []
    for row in SHARED_ROWS:
        for value in VALUES:
            oracle = outcome(lambda r=row, v=value: socket.set(r.number, v))
            manual = row.name in ("SUBSCRIBE", "UNSUBSCRIBE") and socket_type in (
                SocketType.PUB,
                SocketType.XPUB,
            )
            # XPUB_MANUAL makes the difference there, which the table cannot know: native code asks.
            if row.name == "HWM" or manual or (oracle == "ok" and is_held_back(row, value)):
                continue
            ours = outcome(lambda r=row, v=value: validate(r, v, socket_type))
            if ours != oracle:
                differing.append((row.name, value, ours, oracle))
    assert differing == []


def test_what_pyzmq_takes_and_we_hold_back_is_einval(context):
    socket = context.socket(zmq.PAIR)
    taken = {
        (row.name, value): outcome(lambda r=row, v=value: validate(r, v))
        for row in SHARED_ROWS
        for value in (*INTS, *BYTES)
        if is_held_back(row, value) and outcome(lambda r=row, v=value: socket.set(r.number, v)) == "ok"
    }
    assert set(taken.values()) == {"EINVAL"}


def test_a_taken_value_reads_back_as_in_pyzmq(context):
    # pyzmq reads into 255 bytes, the last of them a zero: longer values cannot be read back there.
    differing = []
    socket = context.socket(zmq.PAIR)
    for row in SHARED_ROWS:
        for value in (*INTS, *(value for value in BYTES if len(value) < 255)):
            ours = outcome(lambda r=row, v=value: validate(r, v))
            if ours != "ok" or not row.readable or row.name == "HWM":
                continue
            socket.set(row.number, value)
            if validate(row, value) != socket.get(row.number):
                differing.append((row.name, value, validate(row, value), socket.get(row.number)))
    assert differing == []


def test_context_values_are_taken_and_refused_as_by_pyzmq(context):
    differing = []
    for row in SHARED_CONTEXT_ROWS:
        for value in [*WRONG_TYPES, b"a", *INTS]:
            if (
                row.name == "THREAD_AFFINITY_CPU_REMOVE"
                and outcome(lambda r=row, v=value: validate(r, v)) == "ok"
            ):
                # libzmq refuses to remove a CPU that was not added before.
                context.set(zmq.THREAD_AFFINITY_CPU_ADD, value)
            oracle = outcome(lambda r=row, v=value: context.set(r.number, v))
            ours = outcome(lambda r=row, v=value: validate(r, v))
            if ours != oracle:
                differing.append((row.name, value, ours, oracle))
    assert differing == []


def test_pyzmq_refuses_the_number_of_our_own_context_option(context):
    """So a program that sets it has to know where it runs; nothing of pyzmq's is shadowed."""
    assert outcome(lambda: context.set(ShmOption.SHM_MAX, 1 << 30)) == "EINVAL"
    assert outcome(lambda: context.get(ShmOption.SHM_MAX)) == "EINVAL"


def expected_of_bytes(value):
    """What an option that counts bytes in an int64 makes of a value."""
    if not isinstance(value, int):
        return "TypeError"
    if not -(1 << 63) <= value < 1 << 63:
        return "OverflowError"
    return "ok" if value >= 0 else "EINVAL"


def test_shm_max_takes_bytes_of_64_bits():
    row = context_row_for(ShmOption.SHM_MAX)
    values = [*WRONG_TYPES, b"a", *INTS]
    assert [outcome(lambda v=value: validate(row, v)) for value in values] == [
        expected_of_bytes(value) for value in values
    ]


@pytest.mark.parametrize("name", ["BLOCKY", "IPV6", "ZERO_COPY_RECV"])
def test_context_truth_reads_back_as_in_pyzmq(context, name):
    row = next(row for row in CONTEXT_OPTIONS if row.name == name)
    context.set(row.number, 5)
    assert validate(row, 5) == context.get(row.number)


def test_hwm_by_number_takes_what_its_parts_take():
    assert {v: outcome(lambda v=v: validate(row_for("HWM"), v)) for v in INTS} == {
        v: outcome(lambda v=v: validate(row_for("SNDHWM"), v)) for v in INTS
    }


@pytest.mark.parametrize("value", [4095, 4097, 2048, (1 << 30) + 1, 0, -4096, 3 << 12])
def test_ring_bytes_refuses_what_is_no_power_of_two_in_range(value):
    with pytest.raises(ZMQError, match="RING_BYTES="):
        validate(row_for("RING_BYTES"), value)


@pytest.mark.parametrize("value", [1 << 12, 1 << 18, 1 << 30])
def test_ring_bytes_takes_powers_of_two(value):
    assert validate(row_for("RING_BYTES"), value) == value


@pytest.mark.parametrize("value", [-2, 0o1000])
def test_ipc_file_mode_refuses_what_is_no_mode(value):
    with pytest.raises(ZMQError, match=f"IPC_FILE_MODE={value}"):
        validate(row_for("IPC_FILE_MODE"), value)


@pytest.mark.parametrize("value", [-1, 0, 0o600, 0o777])
def test_ipc_file_mode_takes_umask_and_modes(value):
    assert validate(row_for("IPC_FILE_MODE"), value) == value


def test_spin_us_refuses_less_than_adaptive():
    with pytest.raises(ZMQError, match="SPIN_US=-2"):
        validate(row_for("SPIN_US"), -2)


def test_bool_becomes_a_plain_int():
    assert type(validate(row_for("IPC_TAKEOVER"), True)) is int


def test_wrong_type_names_option_and_value():
    with pytest.raises(TypeError, match=r"LINGER: expected int, got: b'x'"):
        validate(row_for("LINGER"), b"x")


def test_str_names_option_and_remedy():
    with pytest.raises(TypeError, match=r"ROUTING_ID takes bytes, got str 'me'.*set_string"):
        validate(row_for("IDENTITY"), "me")


def test_range_error_names_operand_and_range():
    with pytest.raises(ZMQError, match=r"^Invalid argument \(LINGER=-5: needs value -1 or more\)$"):
        validate(row_for("LINGER"), -5)


def test_length_error_names_the_lengths_and_shortens_the_value():
    with pytest.raises(ZMQError, match=r"length 1 to 255") as caught:
        validate(row_for("ROUTING_ID"), b"a" * 4000)
    assert len(str(caught.value)) < 200


def test_read_only_option_says_so():
    with pytest.raises(ZMQError, match=r"FD=3: the option is read-only"):
        validate(row_for("FD"), 3)


def test_option_of_another_socket_type_names_the_types():
    with pytest.raises(ZMQError, match=r"REQ_RELAXED=1: only for socket types REQ"):
        validate(row_for("REQ_RELAXED"), 1, SocketType.PAIR)


def test_held_back_option_gives_the_reason():
    with pytest.raises(ZMQError, match=r"CURVE_SERVER=1: no security mechanism but NULL"):
        validate(row_for("CURVE_SERVER"), 1)


def test_held_back_option_takes_its_default():
    assert validate(row_for("CURVE_SERVER"), 0) == 0


# --- looking up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["LINGER", "linger", "Linger", 17, SocketOption.LINGER, zmq.LINGER])
def test_row_is_found_by_name_and_by_number(key):
    assert row_for(key).name == "LINGER"


@pytest.mark.parametrize("key", ["IDENTITY", "identity", "ROUTING_ID", 5])
def test_alias_leads_to_the_same_row(key):
    assert row_for(key) is row_for(SocketOption.ROUTING_ID)


def test_unknown_number_is_einval_with_the_number():
    with pytest.raises(ZMQError, match="9999") as caught:
        row_for(9999)
    assert caught.value.errno == errno.EINVAL


def test_unknown_name_is_attribute_error_with_the_name():
    with pytest.raises(AttributeError, match="Socket has no such option: FOO"):
        row_for("foo")


@pytest.mark.parametrize("key", [None, b"LINGER", 1.5])
def test_what_is_neither_name_nor_number_is_a_type_error(key):
    with pytest.raises(TypeError, match="an option is an integer"):
        row_for(key)


def test_context_row_is_found_by_both_names_of_number_three():
    assert context_row_for("SOCKET_LIMIT") is context_row_for("thread_priority") is context_row_for(3)


def test_attributes_are_every_name_in_both_cases():
    names = {*SocketOption.__members__, *SOCKET_SHM_OPTIONS}
    assert set(ATTRIBUTES) == names | {name.lower() for name in names}


def test_every_option_name_dir_of_a_pyzmq_socket_lists_is_an_attribute(context):
    socket = context.socket(zmq.PAIR)
    listed = {name for name in dir(socket) if name.isupper()}
    assert listed - set(ATTRIBUTES) == set()


def test_every_option_name_dir_of_a_pyzmq_context_lists_is_an_attribute(context):
    listed = {name for name in dir(context) if name.isupper()}
    assert {name for name in CONTEXT_ATTRIBUTES if name.isupper()} == listed


def test_every_attribute_is_a_flat_name():
    assert [name for name in ATTRIBUTES if not hasattr(constants, name.upper())] == []


# --- attributes ---------------------------------------------------------------------------------------------


class Recorder:
    """A stand-in for a socket: answers from a dictionary, EINVAL for what is not in it."""

    def __init__(self):
        self.values = {}

    def get(self, number):
        if number not in self.values:
            raise ZMQError(errno.EINVAL)
        return self.values[number]

    def set(self, number, value):
        validate(row_for(number), value)
        self.values[number] = value


class Carrier(Recorder):
    """A Recorder with attributes; `subscribe` is a method, as on a socket."""

    def subscribe(self, topic):
        self.values["subscribed"] = topic

    subscribe = MethodOption(row_for("SUBSCRIBE"), subscribe)


INSTALLED = install(Carrier, SOCKET_OPTIONS)


class Defaulted:
    """A stand-in for a context."""

    def __init__(self):
        self.sockopts = {}


install(Defaulted, SOCKET_OPTIONS, SocketDefault)


@pytest.mark.parametrize("name", ["linger", "LINGER"])
def test_setting_an_attribute_sets_the_option(name):
    carrier = Carrier()
    setattr(carrier, name, 7)
    assert carrier.values == {zmq.LINGER: 7}


@pytest.mark.parametrize("name", ["identity", "IDENTITY", "routing_id"])
def test_reading_an_attribute_gets_the_option(name):
    carrier = Carrier()
    carrier.set(zmq.IDENTITY, b"me")
    assert getattr(carrier, name) == b"me"


@pytest.mark.parametrize("name", ["router_mandatory", "ROUTER_MANDATORY"])
def test_reading_what_cannot_be_read_says_what_pyzmq_says(context, name):
    with pytest.raises(AttributeError) as oracle:
        getattr(context.socket(zmq.PAIR), name)
    with pytest.raises(AttributeError) as ours:
        getattr(Carrier(), name)
    assert str(ours.value) == str(oracle.value)


def test_reading_on_a_closed_socket_stays_enotsock():
    class Closed(Carrier):
        def get(self, number):
            raise ZMQError(errno.ENOTSOCK)

    with pytest.raises(ZMQError) as caught:
        _ = Closed().linger
    assert caught.value.errno == errno.ENOTSOCK


def test_setting_a_bad_value_stays_einval_as_in_pyzmq(context):
    with pytest.raises(zmq.ZMQError) as oracle:
        context.socket(zmq.PAIR).linger = -5
    with pytest.raises(ZMQError) as ours:
        Carrier().linger = -5
    assert ours.value.errno == oracle.value.errno == errno.EINVAL


def test_hwm_attribute_sets_both_limits():
    carrier = Carrier()
    carrier.hwm = 9
    assert carrier.values == {zmq.SNDHWM: 9, zmq.RCVHWM: 9}


def test_hwm_attribute_reads_the_send_limit_as_in_pyzmq(context):
    oracle, carrier = context.socket(zmq.PAIR), Carrier()
    for socket in (oracle, carrier):
        socket.hwm = 9
        socket.rcvhwm = 5
        socket.sndhwm = 7
    assert carrier.hwm == oracle.hwm == 7


def test_subscribe_attribute_takes_bytes():
    carrier = Carrier()
    carrier.subscribe = b"a"
    assert carrier.values == {zmq.SUBSCRIBE: b"a"}


@pytest.mark.parametrize("name", ["subscribe", "SUBSCRIBE", "unsubscribe"])
def test_topic_attribute_takes_text_as_in_pyzmq(context, name):
    setattr(context.socket(zmq.SUB), name, "é")
    carrier = Carrier()
    setattr(carrier, name, "é")
    assert list(carrier.values.values()) == ["é".encode()]


def test_subscribe_is_still_a_method():
    carrier = Carrier()
    carrier.subscribe(b"a")
    assert carrier.values == {"subscribed": b"a"}


def test_method_option_on_the_class_is_the_function():
    carrier = Carrier()
    Carrier.subscribe(carrier, b"b")
    assert carrier.values == {"subscribed": b"b"}


def test_install_leaves_what_is_defined_by_hand():
    assert "subscribe" not in INSTALLED


def test_install_gives_every_other_name():
    assert set(INSTALLED) == set(ATTRIBUTES) - {"subscribe"}


def test_installed_attributes_are_listed_by_dir():
    assert set(dir(Carrier())) >= set(ATTRIBUTES)


def test_class_attribute_is_the_descriptor():
    assert isinstance(Carrier.linger, OptionDescriptor)


def test_class_attribute_is_documented_from_its_row():
    assert Carrier.linger.__doc__ == f"{row_for('LINGER').meaning} (milliseconds)"


def test_deleting_an_option_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError):
        del Carrier().linger


def test_context_attribute_remembers_a_default_for_sockets():
    context = Defaulted()
    context.linger = 0
    assert context.sockopts == {zmq.LINGER: 0}


def test_context_attribute_reads_the_default_back():
    context = Defaulted()
    context.hwm = 3
    assert context.hwm == 3


def test_context_attribute_never_set_says_what_pyzmq_says(context):
    with pytest.raises(AttributeError) as oracle:
        _ = context.sndhwm
    with pytest.raises(AttributeError) as ours:
        _ = Defaulted().sndhwm
    assert str(ours.value) == str(oracle.value)


# --- words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LINGER", "value -1 or more"),
        ("IMMEDIATE", "value 0 or 1"),
        ("ROUTING_ID", "length 1 to 255"),
        ("CURVE_PUBLICKEY", "length 32 or 40"),
        ("RING_BYTES", "value 4096 to 1073741824, a power of two"),
        ("METADATA", "X-name:value"),
        ("MAXMSGSIZE", "any value"),
    ],
)
def test_allowed_values_are_put_in_words(name, text):
    assert row_for(name).allowed == text


def test_row_cannot_be_changed():
    with pytest.raises(AttributeError):
        row_for("LINGER").default = 0


def test_rows_are_hashable():
    assert len(set(SOCKET_OPTIONS)) == len(SOCKET_OPTIONS)


def test_error_of_validate_pickles():
    with pytest.raises(ZMQError) as caught:
        validate(row_for("LINGER"), -5)
    assert repr(pickle.loads(pickle.dumps(caught.value))) == repr(caught.value)


def test_value_types_of_rows_are_those_of_the_constants():
    assert {row.number: row.type for row in SOCKET_OPTIONS} == {
        int(option): option._opt_type for option in (*SocketOption, *SOCKET_SHM_OPTIONS.values())
    }


def test_context_options_are_all_ints():
    assert {row.type for row in SHARED_CONTEXT_ROWS} == {_OptType.int}


def test_own_context_options_are_as_wide_as_their_constants():
    own = {row.number: row.type for row in CONTEXT_OPTIONS if row not in SHARED_CONTEXT_ROWS}
    assert own == {int(ShmOption.SHM_MAX): ShmOption.SHM_MAX._opt_type}


def test_what_may_pass_rcvhwm_is_what_a_read_of_a_stream_takes():
    code = "".join(file.read_text() for file in (ROOT / "native" / "core" / "src").rglob("*.rs"))
    [most] = re.findall(r"^const BUFFER_MAX: usize = (\d+) \* 1024;", code, re.MULTILINE)
    assert f"of {most} KiB at most" in row_for("RCVHWM").meaning
    assert (
        f"RCVHWM is looked at between two reads, so what one read brings may pass it: {most} KiB"
        in (ROOT / "docs" / "migrating-from-pyzmq.md").read_text()
    )
