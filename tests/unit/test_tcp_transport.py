"""What a tcp connect hands to native code, on a stand-in that records it.

Knows    the border: `_connect_tcp(host, port, source_host, source_port, text)`, hosts without brackets.
Refuses  to know what native code makes of it, and pyzmq: tests/compat/test_tcp_oracle.py compares with that.
"""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from shmzmq.endpoint import parse
from shmzmq.errors import ZMQError
from shmzmq.transports.base import ConnectPlan
from shmzmq.transports.tcp import TcpTransport


def dialled(address, *, ipv6=0, **plan):
    """What was handed over for an address, without the text."""
    seen = []

    def connect_tcp(*arguments):
        seen.append(arguments)
        return 7

    socket = SimpleNamespace(_get_int=lambda _number: ipv6, _connect_tcp=connect_tcp)
    text = f"tcp://{address}"
    bound = TcpTransport().connect(socket, parse(text), ConnectPlan(**plan))
    assert (bound.text, bound.number, bound.lease) == (text, 7, None)
    ((*parts, told),) = seen
    assert told == text.encode()
    return tuple(parts)


@pytest.mark.parametrize(
    ("address", "handed"),
    [
        ("127.0.0.1:5555", (b"127.0.0.1", 5555, b"", 0)),
        ("some.host:5555", (b"some.host", 5555, b"", 0)),
        ("[::1]:5555", (b"::1", 5555, b"", 0)),
        ("::1:5555", (b"::1", 5555, b"", 0)),
        ("127.0.0.2:0;some.host:5555", (b"some.host", 5555, b"127.0.0.2", 0)),
        ("127.0.0.2:*;some.host:5555", (b"some.host", 5555, b"127.0.0.2", 0)),
        ("127.0.0.2:5554;some.host:5555", (b"some.host", 5555, b"127.0.0.2", 5554)),
    ],
)
def test_parts_of_an_address_are_handed_over(address, handed):
    assert dialled(address) == handed


@pytest.mark.parametrize(("ipv6", "source"), [(0, b"0.0.0.0"), (1, b"::")])
def test_source_of_any_address_is_the_protocols_own(ipv6, source):
    assert dialled("0.0.0.0:99;host:80" if not ipv6 else "[::]:99;host:80", ipv6=ipv6) == (
        b"host", 80, source, 99,
    )  # fmt: skip


def test_source_of_ipv4_under_ipv6_is_mapped():
    assert dialled("127.0.0.2:0;host:80", ipv6=1)[2] == b"::ffff:127.0.0.2"


@pytest.mark.parametrize(
    ("host", "handed"),
    [
        ("fe80::1%eth9", b"fe80::1%eth9"),
        ("FE80::1%3", b"FE80::1%3"),
        ("::1%lo", b"::1"),
        ("name%lo", b"name"),
    ],
)
def test_scope_goes_with_link_local_addresses_only(host, handed):
    assert dialled(f"[{host}]:80", ipv6=1)[0] == handed


def test_link_local_source_keeps_its_scope_as_a_number():
    assert dialled("[fe80::1%3]:0;[fe80::2%3]:80", ipv6=1) == (b"fe80::2%3", 80, b"fe80::1%3", 0)


@pytest.mark.parametrize(
    ("address", "plan", "name", "why"),
    [
        ("lo:0;host:80", {}, "ENOTSUP", "'lo' is an interface"),
        ("localhost:0;host:80", {}, "ENODEV", "no address is known for 'localhost'"),
        ("[::1]:0;host:80", {}, "ENODEV", "IPv6 needs the option IPV6=1"),
        ("[fe80::1%no0]:0;host:80", {}, "EINVAL", "no interface 'no0'"),
        ("host:80", {"proxy": b"p:1"}, "ENOTSUP", "SOCKS_PROXY=b'p:1'"),
        ("host:80", {"device": b"lo"}, "ENOTSUP", "BINDTODEVICE=b'lo'"),
    ],
)
def test_what_cannot_be_dialled_from_is_refused_with_the_reason(address, plan, name, why):
    with pytest.raises(ZMQError) as caught:
        dialled(address, **plan)
    assert errno.errorcode[caught.value.errno] == name
    assert why in str(caught.value)
    assert f"addr='tcp://{address}'" in str(caught.value)
