"""tcp endpoints on pyzmq and shmzmq: what bind and connect take and refuse, and what LAST_ENDPOINT shows.

Knows    that pyzmq is the oracle: the same errno, the same text. What differs stands in a table here, with
         its reason.
Refuses  to know messages: nothing is sent, and where connect leads is not waited for.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

import shmzmq

pytestmark = pytest.mark.shmzmq_only("compares both in one process")

PORT = 5999  # below the ports that the system gives out; every bind to it is given up at once
HOSTS = [
    "127.0.0.1", "*", "0.0.0.0", "[::1]", "[::]", "::1", "[::1%1]", "[::1%lo]", "[fe80::1%lo]", "[::1%no0]",
    "[::1%]", "[::1%0]", "[::1%999]", "[::1%lo%lo]", "*%lo", "127.0.0.1%lo", "localhost", "[localhost]",
    "LO", "no0", "nosuch.invalid", "", "[]", "[127.0.0.1]", "[[::1]]", "[::1", "::1]", "[::ffff:127.0.0.1]",
    "8.8.8.8", "256.1.1.1", "1.2.3", "127.1", "0x7f000001", "1", "-host", "a_b", "my-host.invalid", "-",
    "my..host", "host!", "ho@st", ".", "a.", "host-", "é", "a b", " 127.0.0.1", "[1::2::3]", "a:b", "[*]",
    "a" * 60, "127.0.0.1/24",
]  # fmt: skip
PORTS = [
    "", "*", "0", "00", "1", "x", "5999x", "05999", "+5999", " 5999", "5999 ", "5999/", "5999/path", "5999\n",
    "**", "http", "0x10", "-", "+", "5999;", "5999:0", "65535", ";5999", "*0",
]  # fmt: skip
SOURCES = [
    "127.0.0.1:0;", "127.0.0.1:*;", "127.0.0.1:5998;", "*:0;", "*:*;", "[::1]:0;", "8.8.8.8:0;", ";",
    "127.0.0.1:0;;", "127.0.0.1:0;127.0.0.1:0;",
]  # fmt: skip
ADDRESSES = [
    *(f"{host}:{PORT}" for host in HOSTS),
    *(f"{host}:0" for host in HOSTS),
    *(f"127.0.0.1:{port}" for port in PORTS),
    *(f"{source}127.0.0.1:{PORT}" for source in SOURCES),
    "127.0.0.1", "*", ":", "::", "x", "[::1]5999", "h;5999", "no0:x", "[::1%no0]:x",
]  # fmt: skip

# Where shmzmq fails and libzmq carries on: a pattern of the address -> (errno, why).
BIND_DIFFERS = {
    r"lo:\d+|eth0:\d+": ("ENOTSUP", "no interface's name is looked up yet"),
    r".*:(70000|-1|4294967297)": ("EINVAL", "libzmq takes the port modulo 65536 and listens elsewhere"),
}
CONNECT_DIFFERS = {
    r".*:(0|00|0x10|65536|70000|4294967297)": (
        "EINVAL",
        "no such port: libzmq wraps it, or retries for ever",
    ),
    r":\d+|\[\]:\d+": ("EINVAL", "no host: libzmq retries for ever"),
    r".*%\]:\d+": ("EINVAL", "no scope: libzmq retries for ever"),
    r"[^:]*;.*|127\.0\.0\.1:0;;.*": ("EINVAL", "a source without a port: libzmq retries for ever"),
    r"127\.0\.0\.1:5999;": ("EINVAL", "no peer: libzmq retries for ever"),
    r"(no0|localhost):0;.*": ("ENODEV", "the source is no address: libzmq retries for ever"),
    r"lo:0;.*": ("ENOTSUP", "no interface's name is looked up yet"),
    r"127\.0\.0\.1:0;127\.0\.0\.1:0;.*": ("ENODEV", "the source is no address: libzmq retries for ever"),
    r"\[::1\]:0;.*": ("ENODEV", "the source needs IPV6=1: libzmq retries for ever"),
}


@pytest.fixture
def contexts() -> Iterator[tuple[Any, Any]]:
    both = zmq.Context(), shmzmq.Context()
    yield both
    for context in both:
        context.destroy(linger=0)


def outcome(context: Any, verb: str, text: str, ipv6: int, kind: int = zmq.PAIR) -> str:
    """The name of the errno, or LAST_ENDPOINT with a port that the system chose as `*`."""
    with context.socket(kind) as socket:
        socket.linger, socket.ipv6 = 0, ipv6
        try:
            getattr(socket, verb)(text)
        except (zmq.ZMQError, shmzmq.ZMQError) as error:
            return errno.errorcode[error.errno or 0]
        shown: str = socket.last_endpoint.decode()
        if verb == "connect":
            return shown
        number = int(shown.rpartition(":")[2])
        socket.unbind(shown)
        return shown if number < 32768 else f"{shown.rpartition(':')[0]}:*"


def ours_by_design(table: dict[str, tuple[str, str]], address: str) -> str | None:
    for pattern, (name, _why) in table.items():
        if re.fullmatch(pattern, address):
            return name
    return None


def patiently(call: Callable[[], str]) -> str:
    """The outcome; a port that the other library has just given up may be in use for a moment."""
    for _ in range(100):
        found = call()
        if found != "EADDRINUSE":
            break
    return found


def differing(contexts: tuple[Any, Any], verb: str, addresses: list[str], ipv6: int, table: Any) -> list[Any]:
    """What comes out differently, and not as the table says: (address, ours, theirs)."""
    theirs, ours = contexts
    found = []
    for address in addresses:
        text = f"tcp://{address}"
        oracle = patiently(lambda t=text: outcome(theirs, verb, t, ipv6))
        mine = patiently(lambda t=text: outcome(ours, verb, t, ipv6))
        expected = ours_by_design(table, address)
        if mine != (oracle if expected is None or not oracle.startswith("tcp:") else expected):
            found.append((address, mine, oracle))
    return found


@pytest.fixture(autouse=True)
def no_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a name server briefly: no host here has a name that only it would know."""
    monkeypatch.setenv("RES_OPTIONS", "timeout:1 attempts:1")


@pytest.mark.slow
@pytest.mark.parametrize("ipv6", [0, 1])
def test_bind_takes_and_refuses_addresses_as_pyzmq(contexts, ipv6):
    addresses = [*ADDRESSES, "lo:0", "lo:5999", "127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1:65536"]
    addresses += ["localhost:0;127.0.0.1:5999", "no0:0;127.0.0.1:5999", "lo:0;127.0.0.1:5999"]
    assert differing(contexts, "bind", addresses, ipv6, BIND_DIFFERS) == []


@pytest.mark.slow
@pytest.mark.parametrize("ipv6", [0, 1])
def test_connect_takes_and_refuses_addresses_as_pyzmq(contexts, ipv6):
    addresses = [*ADDRESSES, "lo:5999", "127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1:65536"]
    addresses += ["localhost:0;127.0.0.1:5999", "no0:0;127.0.0.1:5999", "lo:0;127.0.0.1:5999"]
    table = dict(CONNECT_DIFFERS)
    if ipv6:
        del table[r"\[::1\]:0;.*"]
    assert differing(contexts, "connect", addresses, ipv6, table) == []


@pytest.mark.parametrize("ipv6", [0, 1])
@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "*", "0.0.0.0"])
def test_unbind_takes_the_spellings_that_pyzmq_takes(contexts, bound, ipv6):
    spellings = [
        "127.0.0.1", "localhost", "*", "0.0.0.0", "127.1", "[::]", "[::1]", "[::ffff:127.0.0.1]", "no0", "x",
    ]  # fmt: skip
    found = {}
    for spelling in spellings:
        both = []
        for context in contexts:
            with context.socket(zmq.PAIR) as socket:
                socket.ipv6 = ipv6
                socket.bind(f"tcp://{bound}:*")
                port = socket.last_endpoint.decode().rpartition(":")[2]
                try:
                    both.append(socket.unbind(f"tcp://{spelling}:{port}"))
                except (zmq.ZMQError, shmzmq.ZMQError) as error:
                    both.append(errno.errorcode[error.errno or 0])
        if both[0] != both[1]:
            found[spelling] = both
    assert found == {}


@pytest.mark.parametrize("verb", ["unbind", "disconnect"])
@pytest.mark.parametrize("address", ["127.0.0.1", "x", "127.0.0.1:*", "*:*", "no.invalid:44", ":", "a:70000"])
def test_undoing_what_was_not_done_is_no_entry_whatever_the_address(contexts, verb, address):
    for context in contexts:
        with context.socket(zmq.PAIR) as socket, pytest.raises((zmq.ZMQError, shmzmq.ZMQError)) as caught:
            getattr(socket, verb)(f"tcp://{address}")
        assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("option", ["IPV6", "IPV4ONLY"])
def test_ipv6_and_ipv4only_are_one_option(contexts, option):
    def after_setting(context: Any) -> list[Any]:
        seen = []
        with context.socket(zmq.PAIR) as socket:
            for value in (1, 0, 1):
                socket.set(getattr(zmq, option), value)
                seen.append((socket.get(zmq.IPV6), socket.get(zmq.IPV4ONLY)))
        return seen

    theirs, ours = contexts
    assert after_setting(ours) == after_setting(theirs)


def test_ipv6_of_a_context_is_that_of_its_new_sockets(contexts):
    seen = []
    for context in contexts:
        context.set(zmq.IPV6, 1)
        with context.socket(zmq.PAIR) as socket:
            socket.bind("tcp://127.0.0.1:*")
            seen.append((socket.ipv6, socket.last_endpoint.decode().rpartition(":")[0]))
    assert seen == [(1, "tcp://[::ffff:127.0.0.1]")] * 2
