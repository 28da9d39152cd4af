"""Endpoints: the grammar against pyzmq's errors, and the three forms of an ipc address.

Knows    that pyzmq's bind is the oracle for what is refused, and with which errno.
Refuses  to know files: no endpoint here is ever bound by us.
"""

from __future__ import annotations

import errno

import pytest
import zmq

from shmzmq import endpoint
from shmzmq.endpoint import (
    IPC_PATH_MAX_LEN,
    KNOWN_SCHEMES,
    SERVED_SCHEMES,
    Endpoint,
    HostPort,
    dialled_address,
    listening_address,
    parse,
)
from shmzmq.errors import ZMQError

SURROGATE_ESCAPED = b"ipc:///tmp/\xff"


def refused(text):
    with pytest.raises(ZMQError) as caught:
        parse(text)
    return caught.value


def refused_by_pyzmq(text):
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket, pytest.raises(zmq.ZMQError) as caught:
        socket.bind(text)
    return caught.value


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "", "foo", "://", "://x", "tcp:127.0.0.1", "tcp:/x", "ipc://", "inproc://", "tcp://", "zzz://",
        b"foo", "ipc://@",
    ],
)  # fmt: skip
def test_text_without_scheme_or_address_is_einval_as_in_pyzmq(text):
    assert refused(text).errno == refused_by_pyzmq(text).errno == errno.EINVAL


@pytest.mark.parametrize(
    "text", ["foo://x", "a://b://c", " inproc://x", "TCP://127.0.0.1:*", "IPC:///x", b"zzz://x"]
)
def test_unknown_scheme_is_eprotonosupport_as_in_pyzmq(text):
    assert refused(text).errno == refused_by_pyzmq(text).errno == errno.EPROTONOSUPPORT


@pytest.mark.parametrize("text", [b"\xff://x", "a\nb://x", "\x1b[2J://x"])
def test_unknown_scheme_is_shown_so_that_a_log_can_take_it(text):
    message = str(refused(text))
    assert message.isprintable()
    assert message.encode()


@pytest.mark.parametrize("scheme", sorted(KNOWN_SCHEMES - SERVED_SCHEMES))
def test_scheme_not_served_is_eprotonosupport_and_says_what_is(scheme):
    error = refused(f"{scheme}://127.0.0.1:5555")
    assert error.errno == errno.EPROTONOSUPPORT
    assert f"{scheme}:// is not served yet; ipc://, inproc:// and tcp:// are served" in str(error)


@pytest.mark.parametrize("text", ["ipc://" + "a" * 108, "ipc://" + "é" * 54, "ipc://@" + "a" * 107])
def test_long_ipc_path_is_enametoolong_as_in_pyzmq(text):
    assert refused(text).errno == refused_by_pyzmq(text).errno == errno.ENAMETOOLONG


def test_long_ipc_path_names_length_and_limit():
    assert "is 108 bytes and at most 107 fit" in str(refused("ipc://" + "a" * 108))


def test_length_is_counted_in_bytes():
    assert "is 108 bytes" in str(refused("ipc://" + "é" * 54))


@pytest.mark.parametrize("text", ["ipc://" + "a" * 107, "ipc://@" + "a" * 106, "inproc://" + "a" * 1000])
def test_longest_address_is_taken(text):
    assert parse(text).text == text


def test_path_limit_is_pyzmq_s():
    assert IPC_PATH_MAX_LEN == zmq.IPC_PATH_MAX_LEN


@pytest.mark.parametrize(
    "text", ["foo", b"foo", "zzz://x", b"udp://x", "ipc://" + "a" * 200, "ipc://@", "ipc://a\0b"]
)
def test_every_refusal_carries_the_operand(text):
    assert f"addr={text!r}" in str(refused(text))


@pytest.mark.parametrize("text", ["ipc://a\0b", b"inproc://a\0b", "ipc://\0name"])
def test_nul_byte_is_einval_instead_of_cutting_the_name(text):
    assert refused(text).errno == errno.EINVAL


@pytest.mark.parametrize("value", [None, 5, bytearray(b"inproc://x"), ["inproc://x"]])
def test_what_is_neither_str_nor_bytes_is_a_type_error(value):
    with pytest.raises(TypeError, match="addr="):
        parse(value)


def test_str_that_no_bytes_stand_for_is_a_unicode_error():
    with pytest.raises(UnicodeEncodeError):
        parse("ipc://\ud800")


def test_plain_refusal_has_pyzmq_s_text():
    assert str(refused("foo")) == str(refused_by_pyzmq("foo"))


# --- what is taken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ipc:///tmp/socket", "path"),
        ("ipc://relative", "path"),
        ("ipc://./*", "path"),
        ("ipc://**", "path"),
        ("ipc://@name", "abstract"),
        ("ipc://@*", "abstract"),
        ("ipc://*", "wildcard"),
        ("inproc://name", "name"),
        ("inproc://*", "name"),
        ("inproc://@name", "name"),
        ("tcp://127.0.0.1:5555", "host"),
        ("tcp://no port", "host"),
    ],
)
def test_form_of_the_address_is_told(text, kind):
    assert parse(text).kind == kind


@pytest.mark.parametrize("text", ["ipc:///tmp/x", b"ipc:///tmp/x"])
def test_str_and_bytes_give_the_same_endpoint(text):
    assert parse(text) == Endpoint("ipc", "/tmp/x", "ipc:///tmp/x", "path")


def test_address_may_hold_the_separator():
    assert parse("inproc://b://c").address == "b://c"


def test_address_keeps_its_spaces():
    assert parse("inproc:// ").address == " "


def test_bytes_that_are_no_utf8_come_back_whole():
    assert parse(SURROGATE_ESCAPED).encoded == SURROGATE_ESCAPED


def test_text_of_an_endpoint_parses_to_the_same_endpoint():
    first = parse(SURROGATE_ESCAPED)
    assert parse(first.text) == first


def test_address_as_bytes_is_the_file_s_path():
    assert parse("ipc:///tmp/é").encoded_address == "/tmp/é".encode()


def test_endpoint_cannot_be_changed():
    with pytest.raises(AttributeError):
        parse("inproc://x").scheme = "ipc"


def test_endpoints_are_hashable():
    assert len({parse("inproc://x"), parse(b"inproc://x")}) == 1


def test_served_schemes_are_ipc_inproc_and_tcp():
    assert frozenset({"ipc", "inproc", "tcp"}) == endpoint.SERVED_SCHEMES


# --- tcp; tests/compat/test_tcp_oracle.py compares what is refused with pyzmq -------------------------------


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1:5555", HostPort("127.0.0.1", 5555)),
        ("*:*", HostPort("*", 0)),
        ("*:0", HostPort("*", 0)),
        ("[::1]:80", HostPort("::1", 80)),
        ("::1:80", HostPort("::1", 80)),
        ("[fe80::1%eth0]:80", HostPort("fe80::1", 80, "eth0")),
        ("host: +80 and more", HostPort("host", 80)),
        (":80", HostPort("", 80)),
    ],
)
def test_address_to_listen_on_is_taken_apart(address, own):
    assert listening_address(parse(f"tcp://{address}")) == (own, None)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("host:80", (HostPort("host", 80), None)),
        ("[::1]:80", (HostPort("::1", 80), None)),
        ("10.0.0.1:0;host:80", (HostPort("host", 80), HostPort("10.0.0.1", 0))),
        ("10.0.0.1:*;host:80", (HostPort("host", 80), HostPort("10.0.0.1", 0))),
        ("[fe80::1%2]:99;[fe80::2%2]:80", (HostPort("fe80::2", 80, "2"), HostPort("fe80::1", 99, "2"))),
    ],
)
def test_address_to_dial_is_taken_apart(address, parts):
    assert dialled_address(parse(f"tcp://{address}")) == parts


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("host:0", "port='0' is not 1 to 65535"),
        ("host:65536", "port='65536' is not 1 to 65535"),
        ("10.0.0.1;host:80", "'10.0.0.1' has no port"),
        (":80", "':80' names no host"),
        ("[::1%]:80", "no interface after the %"),
    ],
)
def test_address_that_cannot_be_dialled_says_why(address, why):
    with pytest.raises(ZMQError) as caught:
        dialled_address(parse(f"tcp://{address}"))
    assert caught.value.errno == errno.EINVAL
    assert why in str(caught.value)
    assert f"addr='tcp://{address}'" in str(caught.value)


@pytest.mark.parametrize("address", ["host:*", "*:80", "host", "-host:80", "a b:80", "host:80/", "host: 80"])
def test_letters_of_no_address_are_not_dialled(address):
    with pytest.raises(ZMQError) as caught:
        dialled_address(parse(f"tcp://{address}"))
    assert str(caught.value) == f"Invalid argument (addr='tcp://{address}')"
