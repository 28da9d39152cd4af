"""tcp://: addresses and names, what bind and connect find there, options of connections, and silent peers.

The witnesses are a monitor, whose events carry the descriptors of connections, and raw peers. What passes
over a connection is no different from other transports and tested with them. What is no address, and which
errno says so, is compared with pyzmq in tests/compat/test_tcp_oracle.py.

Source: zmq_tcp(7), zmq_setsockopt(3), zmq_socket_monitor(3); RFC 37 (ZMTP 3.1), PING and PONG.
"""

from __future__ import annotations

import contextlib
import errno
import socket as posix
import struct
import sys
from pathlib import Path

import pytest

from kit import CAP, CAP_MS, SMALL_BUFFERS, expect, expect_error, fill, marry, refused, wait_until
from watching import GREETING, command, dial, expect_doubled, hear, hear_command, listen, shake_hands

NO_SUCH_ADDRESS = "192.0.2.123"  # of a network for examples (RFC 5737)


def has_ipv6_loopback() -> bool:
    with contextlib.suppress(OSError), posix.socket(posix.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="the machine has no ::1")


def port_of(endpoint: bytes | str) -> int:
    text = endpoint.decode() if isinstance(endpoint, bytes) else endpoint
    return int(text.rpartition(":")[2])


@contextlib.contextmanager
def descriptor(fd: int, family: int = posix.AF_INET):
    """The connection behind a number that an event told, as a socket object of its own."""
    with posix.fromfd(fd, family, posix.SOCK_STREAM) as connection:
        yield connection


@pytest.fixture
def exchange(zmq, sockets):
    """A function that binds, connects to the port that was bound, and sends a message across."""

    def cross(bound, connected, **options):
        pull, push = sockets(zmq.PULL, **options), sockets(zmq.PUSH, **options)
        pull.bind(bound)
        push.connect(connected.replace("PORT", str(port_of(pull.last_endpoint))))
        push.send(b"message")
        expect(pull, b"message")
        return pull, push

    return cross


@pytest.fixture
def linked(zmq, sockets, watch, tcp):
    """A function that gives both ends of a connection and what their monitors told of its making."""

    def link(bound=None, connected=None):
        pull, push = sockets(zmq.PULL, **(bound or {})), sockets(zmq.PUSH, **(connected or {}))
        here, there = watch(pull), watch(push)
        pull.bind(tcp)
        push.connect(tcp)
        return pull, push, here.until("HANDSHAKE_SUCCEEDED"), there.until("HANDSHAKE_SUCCEEDED")

    return link


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://localhost:*"])
def test_port_that_the_system_chooses_is_shown(exchange, address):
    pull, _push = exchange(address, "tcp://127.0.0.1:PORT")
    assert pull.last_endpoint == b"tcp://127.0.0.1:%d" % port_of(pull.last_endpoint)


@pytest.mark.parametrize("address", ["tcp://*:*", "tcp://*:0", "tcp://0.0.0.0:0"])
def test_every_address_of_the_host_is_shown_as_zeros(exchange, address):
    pull, _push = exchange(address, "tcp://127.0.0.1:PORT")
    assert pull.last_endpoint.startswith(b"tcp://0.0.0.0:")


def test_endpoint_that_was_shown_can_be_connected_to(zmq, sockets):
    """Also 0.0.0.0: connecting there is connecting to this host (Linux)."""
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.bind("tcp://*:*")
    push.connect(pull.last_endpoint)
    assert push.last_endpoint == pull.last_endpoint
    push.send(b"message")
    expect(pull, b"message")


def test_name_is_resolved_by_connect_and_shown_as_it_was_given(exchange):
    pull, push = exchange("tcp://127.0.0.1:*", "tcp://localhost:PORT")
    assert push.last_endpoint == b"tcp://localhost:%d" % port_of(pull.last_endpoint)


def test_name_that_does_not_exist_is_not_an_error_of_connect(zmq, sockets, watch):
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect("tcp://nosuch.invalid:5555")
    assert {each.name for each in events.until("CONNECT_RETRIED")} <= {"CONNECT_DELAYED", "CONNECT_RETRIED"}
    push.disconnect("tcp://nosuch.invalid:5555")


def test_close_does_not_wait_for_a_name(zmq, sockets, ctx):
    push = sockets(zmq.PUSH)
    push.connect("tcp://nosuch.invalid:5555")
    push.close(linger=0)


def test_source_address_is_what_the_peer_sees(zmq, sockets, watch, tcp):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    events = watch(pull)
    pull.bind(tcp)
    push.connect(f"tcp://127.0.0.3:0;{tcp.removeprefix('tcp://')}")
    with descriptor(events.until("ACCEPTED")[-1].value) as connection:
        assert connection.getpeername()[0] == "127.0.0.3"
    push.send(b"message")
    expect(pull, b"message")
    push.disconnect(push.last_endpoint)


def test_source_port_is_what_the_peer_sees(zmq, sockets, watch, new_endpoint):
    tcp, port = new_endpoint("tcp"), port_of(new_endpoint("tcp"))
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    events = watch(pull)
    pull.bind(tcp)
    push.connect(f"tcp://127.0.0.3:{port};{tcp.removeprefix('tcp://')}")
    with descriptor(events.until("ACCEPTED")[-1].value) as connection:
        assert connection.getpeername() == ("127.0.0.3", port)


STAYS = pytest.mark.shmzmq_only("libzmq's disconnect did not end this connection within seconds")


@pytest.mark.parametrize("ends", ["the peer", pytest.param("we", marks=STAYS)])
def test_source_port_is_that_of_the_next_connection_too(zmq, sockets, watch, new_endpoint, ends):
    """Also while the kernel still has the last one in TIME_WAIT: that of whoever closed first."""
    tcp, port = new_endpoint("tcp"), port_of(new_endpoint("tcp"))
    push = sockets(zmq.PUSH, reconnect_ivl=10, handshake_ivl=1000)
    connected = f"tcp://127.0.0.3:{port};{tcp.removeprefix('tcp://')}"
    with listen(tcp) as listener:
        push.connect(connected)
        for _ in range(3):
            peer, address = listener.accept()
            with peer:
                peer.settimeout(CAP)
                assert address == ("127.0.0.3", port)
                shake_hands(peer, b"PULL")
                push.send(b"message")
                assert hear(peer, 9) == b"\0\7message"
                if ends == "we":
                    push.disconnect(connected)
                    assert hear(peer, 1) == b""
            if ends == "we":
                push.connect(connected)


@needs_ipv6
@pytest.mark.parametrize("source", ["[::1]:0", "[::1]:PORT"])
def test_source_address_of_ipv6_is_what_the_peer_sees(zmq, sockets, watch, new_endpoint, source):
    pull, push = sockets(zmq.PULL, ipv6=1), sockets(zmq.PUSH, ipv6=1)
    events = watch(pull)
    pull.bind("tcp://[::1]:*")
    port = port_of(new_endpoint("tcp"))
    target = pull.last_endpoint.decode().removeprefix("tcp://")
    push.connect(f"tcp://{source.replace('PORT', str(port))};{target}")
    with descriptor(events.until("ACCEPTED")[-1].value, posix.AF_INET6) as connection:
        host, seen = connection.getpeername()[:2]
    assert host == "::1"
    assert seen == port or source.endswith(":0")
    push.send(b"message")
    expect(pull, b"message")


# --- IPv6 --------------------------------------------------------------------------------------------------


@needs_ipv6
def test_ipv6_address_needs_the_option(zmq, sockets):
    with expect_error(zmq, "ENODEV"):
        sockets(zmq.PULL).bind("tcp://[::1]:*")


@needs_ipv6
@pytest.mark.parametrize("address", ["tcp://[::1]:*", "tcp://::1:*", "tcp://[::1]:0"])
def test_ipv6_address_is_shown_in_brackets(exchange, address):
    pull, _push = exchange(address, "tcp://[::1]:PORT", ipv6=1)
    assert pull.last_endpoint.startswith(b"tcp://[::1]:")


@needs_ipv6
@pytest.mark.parametrize("connected", ["tcp://[::1]:PORT", "tcp://127.0.0.1:PORT", "tcp://localhost:PORT"])
def test_wildcard_with_ipv6_takes_both_protocols(exchange, connected):
    """zmq_setsockopt(3) ZMQ_IPV6: a socket accepts both IPv4 and IPv6."""
    pull, _push = exchange("tcp://*:*", connected, ipv6=1)
    assert pull.last_endpoint.startswith(b"tcp://[::]:")


@needs_ipv6
def test_ipv4_address_with_ipv6_is_shown_as_mapped(exchange):
    pull, _push = exchange("tcp://127.0.0.1:*", "tcp://127.0.0.1:PORT", ipv6=1)
    assert pull.last_endpoint.startswith(b"tcp://[::ffff:127.0.0.1]:")


@needs_ipv6
def test_peer_without_ipv6_reaches_one_with_it(zmq, sockets):
    pull, push = sockets(zmq.PULL, ipv6=1), sockets(zmq.PUSH)
    pull.bind("tcp://*:*")
    push.connect(f"tcp://127.0.0.1:{port_of(pull.last_endpoint)}")
    push.send(b"message")
    expect(pull, b"message")


# --- what bind finds ---------------------------------------------------------------------------------------


def test_port_in_use_is_an_address_in_use(zmq, sockets, tcp):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(tcp)
    for each in (first, second):
        with expect_error(zmq, "EADDRINUSE") as caught:
            each.bind(tcp)
        assert tcp in str(caught.value)


def test_port_of_a_stranger_is_an_address_in_use(zmq, sockets, tcp):
    with listen(tcp), expect_error(zmq, "EADDRINUSE"):
        sockets(zmq.PULL).bind(tcp)


def test_address_of_another_host_is_not_available(zmq, sockets):
    with expect_error(zmq, "EADDRNOTAVAIL") as caught:
        sockets(zmq.PULL).bind(f"tcp://{NO_SUCH_ADDRESS}:5555")
    assert NO_SUCH_ADDRESS in str(caught.value)


@pytest.mark.parametrize("host", ["nosuch0", "nosuch.invalid"])
def test_host_that_does_not_exist_is_no_device(zmq, sockets, host):
    with expect_error(zmq, "ENODEV") as caught:
        sockets(zmq.PULL).bind(f"tcp://{host}:5555")
    assert host in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "*", ":"])
def test_address_without_a_port_is_invalid(zmq, sockets, address):
    for verb in ("bind", "connect"):
        with expect_error(zmq, "EINVAL"):
            getattr(sockets(zmq.PAIR), verb)(f"tcp://{address}")


@pytest.mark.parametrize("address", ["*:5555", "127.0.0.1:*", "*:*", "-x:5555", "127.0.0.1:5555/x"])
def test_address_that_only_bind_takes_is_invalid_for_connect(zmq, sockets, address):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PAIR).connect(f"tcp://{address}")


@pytest.mark.shmzmq_only("libzmq takes these: it wraps the port, or retries for ever")
@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:65536", ":5555", "127.0.0.1;127.0.0.1:5555"])
def test_address_that_can_never_be_reached_is_invalid(zmq, sockets, address):
    with expect_error(zmq, "EINVAL") as caught:
        sockets(zmq.PAIR).connect(f"tcp://{address}")
    assert f"addr='tcp://{address}'" in str(caught.value)


@pytest.mark.shmzmq_only("libzmq looks the interface's address up")
def test_name_of_an_interface_is_not_supported(zmq, sockets):
    with expect_error(zmq, "ENOTSUP") as caught:
        sockets(zmq.PULL).bind("tcp://lo:*")
    assert "'lo' is an interface" in str(caught.value)


@pytest.mark.shmzmq_only("libzmq has SOCKS proxies")
@pytest.mark.parametrize(("option", "value"), [("SOCKS_PROXY", b"127.0.0.1:1080"), ("BINDTODEVICE", b"lo")])
def test_connect_in_a_way_that_is_not_built_is_not_supported(zmq, sockets, tcp, option, value):
    push = sockets(zmq.PUSH)
    push.set(getattr(zmq, option), value)
    with expect_error(zmq, "ENOTSUP") as caught:
        push.connect(tcp)
    assert option in str(caught.value)


def test_device_that_does_not_exist_is_no_device(zmq, sockets, tcp):
    pull = sockets(zmq.PULL, bindtodevice=b"nosuch0")
    with pytest.raises(zmq.ZMQError) as caught:
        pull.bind(tcp)
    assert caught.value.errno in (errno.ENODEV, errno.EPERM)  # EPERM: a kernel that asks for a privilege


def test_failed_bind_is_told(zmq, sockets, watch, tcp):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    with listen(tcp):
        with pytest.raises(zmq.ZMQError):
            pull.bind(tcp)  # libzmq's errno is spoilt by its own event here
        _closed, failed = events.names("CLOSED", "BIND_FAILED")
    assert (failed.value, failed.endpoint) == (errno.EADDRINUSE, tcp.removeprefix("tcp://"))


def test_failed_look_up_is_told(zmq, sockets, watch):
    pull = sockets(zmq.PULL)
    events = watch(pull)
    with pytest.raises(zmq.ZMQError):
        pull.bind("tcp://nosuch0:5555")
    (failed,) = events.names("BIND_FAILED")
    assert (failed.value, failed.endpoint) == (errno.ENODEV, "nosuch0:5555")


def test_random_port_is_of_the_range(zmq, sockets, tcp):
    host, port = tcp.rpartition(":")[0], port_of(tcp)
    assert sockets(zmq.PULL).bind_to_random_port(host, port, port + 1) == port
    with pytest.raises(zmq.ZMQBindError):
        sockets(zmq.PULL).bind_to_random_port(host, port, port + 1, max_tries=3)


def test_random_port_without_a_range_is_the_systems(zmq, sockets):
    pull = sockets(zmq.PULL)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    assert pull.last_endpoint == b"tcp://127.0.0.1:%d" % port


# --- unbind and disconnect ---------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq frees the port a moment after unbind and close")
@pytest.mark.parametrize("ended", ["unbind", "close"])
def test_port_is_free_on_return(zmq, sockets, tcp, ended):
    for _ in range(3):
        pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
        pull.bind(tcp)
        push.connect(tcp)
        push.send(b"message")
        expect(pull, b"message")
        pull.unbind(tcp) if ended == "unbind" else pull.close()
        push.close(linger=0)


def test_port_whose_connections_linger_in_the_kernel_can_be_bound(zmq, sockets, tcp):
    """TIME_WAIT of the side that closed first must not keep a server from coming back."""
    for _ in range(2):
        pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
        wait_until(lambda pull=pull: not refused(zmq, "EADDRINUSE", pull.bind, tcp), "the port to be free")
        push.connect(tcp)
        push.send(b"message")
        expect(pull, b"message")
        pull.close()
        push.close(linger=0)


@pytest.mark.parametrize("spelling", ["tcp://127.0.0.1:PORT", "tcp://localhost:PORT", "tcp://127.1:PORT"])
def test_unbind_takes_a_name_of_the_address(zmq, sockets, spelling):
    pull = sockets(zmq.PULL)
    pull.bind("tcp://localhost:*")
    text = spelling.replace("PORT", str(port_of(pull.last_endpoint)))
    pull.unbind(text)
    with expect_error(zmq, "ENOENT"):
        pull.unbind(text)


def test_unbind_of_a_wildcard_takes_what_was_shown_alone(zmq, sockets, tcp):
    """libzmq's rule, kept: `*` is another text than 0.0.0.0."""
    pull = sockets(zmq.PULL)
    pull.bind("tcp://*:*")
    with expect_error(zmq, "ENOENT"):
        pull.unbind(f"tcp://*:{port_of(pull.last_endpoint)}")
    pull.unbind(pull.last_endpoint)


def test_unbind_ends_the_connections_accepted_there(zmq, sockets, tcp):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.bind(tcp)
    pull.connect(tcp)
    marry(push, pull)
    push.unbind(tcp)
    wait_until(lambda: not push.poll(0, zmq.POLLOUT), "the PUSH that unbound to have no peer")


# --- USE_FD ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["tcp://127.0.0.1:1", "tcp://whatever"])
def test_use_fd_listens_on_a_given_socket(zmq, sockets, tcp, bound):
    """zmq_setsockopt(3) ZMQ_USE_FD: the address given to bind does not count."""
    given = posix.create_server(("127.0.0.1", 0))
    port = given.getsockname()[1]
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.set(zmq.USE_FD, given.detach())
    pull.bind(bound)
    assert pull.last_endpoint == b"tcp://127.0.0.1:%d" % port
    push.connect(pull.last_endpoint)
    push.send(b"message")
    expect(pull, b"message")
    pull.unbind(pull.last_endpoint)


def test_use_fd_listens_on_a_given_unix_socket_and_leaves_its_file(zmq, sockets, scratch):
    path = scratch / "given"
    given = posix.socket(posix.AF_UNIX)
    given.bind(str(path))
    given.listen()
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    pull.set(zmq.USE_FD, given.detach())
    pull.bind("ipc://whatever")
    assert pull.last_endpoint == f"ipc://{path}".encode()
    push.connect(f"ipc://{path}")
    push.send(b"message")
    expect(pull, b"message")
    push.close(linger=0)
    pull.close()
    assert path.exists()
    path.unlink()


@pytest.mark.shmzmq_only("libzmq aborts the process")
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: posix.socket(posix.AF_INET), "EINVAL"),
        (lambda: posix.socket(posix.AF_INET, posix.SOCK_DGRAM), "EINVAL"),
        (lambda: posix.socket(posix.AF_UNIX), "EINVAL"),
        (lambda: Path("/dev/null").open(), "ENOTSOCK"),  # noqa: SIM115  # the test closes it
    ],
    ids=["not listening", "udp", "unix", "file"],
)
def test_use_fd_of_what_is_no_listening_socket_is_refused_and_stays_open(zmq, sockets, tcp, make, name):
    pull = sockets(zmq.PULL)
    with make() as given:
        pull.set(zmq.USE_FD, given.fileno())
        with expect_error(zmq, name) as caught:
            pull.bind(tcp)
        assert f"USE_FD={given.fileno()}" in str(caught.value)
    pull.set(zmq.USE_FD, -1)
    pull.bind(tcp)


@pytest.mark.shmzmq_only("libzmq aborts the process")
def test_use_fd_of_nothing_is_a_bad_descriptor(zmq, sockets, tcp):
    pull = sockets(zmq.PULL, use_fd=999_999)
    with expect_error(zmq, "EBADF"):
        pull.bind(tcp)


# --- options of connections --------------------------------------------------------------------------------

SETTINGS = [
    ("tcp_keepalive", {"tcp_keepalive": 1}, posix.SOL_SOCKET, posix.SO_KEEPALIVE, 1),
    ("tcp_keepalive off", {"tcp_keepalive": 0}, posix.SOL_SOCKET, posix.SO_KEEPALIVE, 0),
    ("cnt", {"tcp_keepalive": 1, "tcp_keepalive_cnt": 3}, posix.IPPROTO_TCP, posix.TCP_KEEPCNT, 3),
    ("idle", {"tcp_keepalive": 1, "tcp_keepalive_idle": 44}, posix.IPPROTO_TCP, posix.TCP_KEEPIDLE, 44),
    ("intvl", {"tcp_keepalive": 1, "tcp_keepalive_intvl": 5}, posix.IPPROTO_TCP, posix.TCP_KEEPINTVL, 5),
    ("maxrt", {"tcp_maxrt": 12_000}, posix.IPPROTO_TCP, posix.TCP_USER_TIMEOUT, 12_000),
    ("tos", {"tos": 0x28}, posix.IPPROTO_IP, posix.IP_TOS, 0x28),
    # The kernel doubles what it is asked for (socket(7)).
    ("sndbuf", {"sndbuf": 32_768}, posix.SOL_SOCKET, posix.SO_SNDBUF, 65_536),
    ("rcvbuf", {"rcvbuf": 32_768}, posix.SOL_SOCKET, posix.SO_RCVBUF, 65_536),
    ("nodelay", {}, posix.IPPROTO_TCP, posix.TCP_NODELAY, 1),
]


@pytest.mark.parametrize(
    ("options", "level", "name", "value"), [row[1:] for row in SETTINGS], ids=[row[0] for row in SETTINGS]
)
def test_option_reaches_both_ends_of_a_connection(linked, options, level, name, value):
    _pull, _push, here, there = linked(options, options)
    (accepted,) = (each for each in here if each.name == "ACCEPTED")
    (connected,) = (each for each in there if each.name == "CONNECTED")
    for told in (accepted, connected):
        with descriptor(told.value) as connection:
            assert connection.getsockopt(level, name) == value


@pytest.mark.parametrize("backlog", [1, 7, 100])
def test_backlog_reaches_the_listener(zmq, sockets, watch, tcp, backlog):
    pull = sockets(zmq.PULL, backlog=backlog)
    events = watch(pull)
    pull.bind(tcp)
    with descriptor(events.until("LISTENING")[-1].value) as listener:
        info = listener.getsockopt(posix.IPPROTO_TCP, posix.TCP_INFO, 104)
    # Of a listener tcpi_sacked, the sixth number behind eight bytes, is how many may wait (tcp_get_info).
    assert struct.unpack_from("=8x6I", info)[5] == backlog


@needs_ipv6
def test_tos_reaches_both_ends_of_a_connection_over_ipv6(zmq, sockets, watch):
    pull, push = sockets(zmq.PULL, ipv6=1, tos=0x28), sockets(zmq.PUSH, ipv6=1, tos=0x28)
    here, there = watch(pull), watch(push)
    pull.bind("tcp://[::1]:*")
    push.connect(pull.last_endpoint)
    for told in (here.until("ACCEPTED")[-1], there.until("CONNECTED")[-1]):
        with posix.fromfd(told.value, posix.AF_INET6, posix.SOCK_STREAM) as connection:
            assert connection.getsockopt(posix.IPPROTO_IPV6, posix.IPV6_TCLASS) == 0x28
    push.send(b"message")
    expect(pull, b"message")


def test_options_read_back(zmq, sockets):
    values = {
        "ipv6": 1, "tcp_keepalive": 1, "tcp_keepalive_cnt": 3, "tcp_keepalive_idle": 44, "tos": 40,
        "tcp_keepalive_intvl": 5, "tcp_maxrt": 12_000, "sndbuf": 32_768, "rcvbuf": 32_768, "backlog": 7,
        "connect_timeout": 1234, "handshake_ivl": 4321, "heartbeat_ivl": 100, "heartbeat_timeout": 200,
        "bindtodevice": b"lo", "use_fd": 5,
    }  # fmt: skip
    push = sockets(zmq.PUSH, **values)
    assert {name: getattr(push, name) for name in values} == values


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (99, 0), (100, 100), (250, 200), (6_553_599, 6_553_500)])
def test_heartbeat_ttl_is_kept_in_tenths_of_a_second(zmq, sockets, given, kept):
    assert sockets(zmq.PUSH, heartbeat_ttl=given).heartbeat_ttl == kept


def test_heartbeat_ttl_that_does_not_fit_the_wire_is_invalid(zmq, sockets):
    with expect_error(zmq, "EINVAL"):
        sockets(zmq.PUSH, heartbeat_ttl=6_553_600)


def test_mechanism_is_null(zmq, sockets):
    assert sockets(zmq.PUSH).mechanism == zmq.NULL


def test_marks_hold_behind_what_the_kernel_takes(zmq, sockets, tcp):
    push, pull = sockets(zmq.PUSH, sndhwm=2, **SMALL_BUFFERS), sockets(zmq.PULL, rcvhwm=2, **SMALL_BUFFERS)
    pull.bind(tcp)
    push.connect(tcp)
    marry(push, pull)
    counts = []
    while push.poll(20, zmq.POLLOUT):
        counts.append(fill(zmq, push))
    with expect_error(zmq, "EAGAIN"):
        push.send(b"one too many", zmq.DONTWAIT)
    for count in counts:
        for number in range(count):
            expect(pull, b"%d" % number)


# --- what waits for a connection ---------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq copies what is sent with copy=True")
def test_large_frames_that_waited_for_the_connection_are_not_copied_then(zmq, sockets, tcp):
    """A thousand of them would be a second of copying, and twice the memory, before the first one goes."""
    data = bytes(1 << 20)
    free = sys.getrefcount(data)
    push = sockets(zmq.PUSH, **SMALL_BUFFERS)
    push.connect(tcp)
    for _ in range(16):
        push.send(data)
    pull = sockets(zmq.PULL, rcvhwm=1, **SMALL_BUFFERS)
    pull.bind(tcp)
    expect(pull, data)
    wait_until(lambda: push.peers()[0]["transport"] == "tcp", "the connection to have the messages")
    held = sys.getrefcount(data) - free
    assert held >= push.peers()[0]["depth"] > 0


# --- events ------------------------------------------------------------------------------------------------


def test_a_connections_life_is_told_as_by_libzmq(zmq, sockets, watch, tcp):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH, reconnect_ivl=-1)
    here, there = watch(pull), watch(push)
    pull.bind(tcp)
    push.connect(tcp)
    listening, accepted, mine = here.names("LISTENING", "ACCEPTED", "HANDSHAKE_SUCCEEDED")
    delayed, connected, theirs = there.names("CONNECT_DELAYED", "CONNECTED", "HANDSHAKE_SUCCEEDED")
    assert delayed.value == errno.EINPROGRESS
    assert (mine.value, theirs.value) == (0, 0)
    assert {each.endpoint for each in (listening, accepted, mine, delayed, connected, theirs)} == {tcp}
    pull.close()
    (lost,) = there.names("DISCONNECTED")
    assert (lost.value, lost.endpoint) == (connected.value, tcp)


def test_departure_of_a_peer_is_told_and_the_listener_stays(zmq, sockets, watch, tcp):
    pull, push = sockets(zmq.PULL), sockets(zmq.PUSH)
    here = watch(pull)
    pull.bind(tcp)
    push.connect(tcp)
    _l, accepted, _h = here.names("LISTENING", "ACCEPTED", "HANDSHAKE_SUCCEEDED")
    push.close(linger=0)
    (lost,) = here.names("DISCONNECTED")
    assert (lost.value, lost.endpoint) == (accepted.value, tcp)
    pull.unbind(tcp)
    (closed,) = here.names("CLOSED")
    assert closed.endpoint == tcp


def test_refused_connection_is_retried(zmq, sockets, watch, tcp):
    push, pull = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    events = watch(push)
    push.connect(tcp)
    for _ in range(3):
        events.names("CONNECT_DELAYED", "CLOSED", "CONNECT_RETRIED")
    pull.bind(tcp)
    assert [each.name for each in events.until("HANDSHAKE_SUCCEEDED")][-3:] == [
        "CONNECT_DELAYED", "CONNECTED", "HANDSHAKE_SUCCEEDED",
    ]  # fmt: skip
    push.send(b"message")
    expect(pull, b"message")


def test_reconnect_ivl_max_doubles(zmq, sockets, watch, tcp):
    """zmq_setsockopt(3) ZMQ_RECONNECT_IVL_MAX."""
    push = sockets(zmq.PUSH, reconnect_ivl=5, reconnect_ivl_max=20)
    events = watch(push)
    push.connect(tcp)
    expect_doubled([events.until("CONNECT_RETRIED")[-1].value for _ in range(4)], 5, 20)


def test_reconnect_ivl_of_minus_one_is_never(zmq, sockets, watch, new_endpoint):
    tcp, elsewhere = new_endpoint("tcp"), new_endpoint("tcp")
    push, other = sockets(zmq.PUSH, reconnect_ivl=-1), sockets(zmq.PUSH, reconnect_ivl=10)
    events, others = watch(push), watch(other)
    push.connect(tcp)
    events.names("CONNECT_DELAYED", "CLOSED")
    other.connect(elsewhere)
    for _ in range(5):
        others.until("CONNECT_RETRIED")
    assert not events.reader.poll(0)


def test_reconnect_stop_ends_at_a_refused_connection(zmq, sockets, watch, new_endpoint):
    """zmq_setsockopt(3) ZMQ_RECONNECT_STOP_CONN_REFUSED."""
    tcp, elsewhere = new_endpoint("tcp"), new_endpoint("tcp")
    push = sockets(zmq.PUSH, reconnect_stop=zmq.RECONNECT_STOP_CONN_REFUSED, reconnect_ivl=1)
    other = sockets(zmq.PUSH, reconnect_ivl=10)
    events, others = watch(push), watch(other)
    push.connect(tcp)
    events.names("CONNECT_DELAYED", "CLOSED")
    other.connect(elsewhere)
    for _ in range(5):
        others.until("CONNECT_RETRIED")
    assert not events.reader.poll(0)


def test_reconnect_goes_to_who_came_back(zmq, sockets, watch, tcp):
    push, pull = sockets(zmq.PUSH, reconnect_ivl=10), sockets(zmq.PULL)
    events = watch(push)
    pull.bind(tcp)
    push.connect(tcp)
    events.until("HANDSHAKE_SUCCEEDED")
    pull.close()
    events.until("DISCONNECTED")
    successor = sockets(zmq.PULL)
    wait_until(lambda: not refused(zmq, "EADDRINUSE", successor.bind, tcp), "the port to be free")
    events.until("HANDSHAKE_SUCCEEDED")
    push.send(b"to the successor")
    expect(successor, b"to the successor")


# --- those who do not answer -------------------------------------------------------------------------------


def test_connect_timeout_ends_an_attempt_that_nobody_answers(zmq, sockets, watch, tcp):
    """zmq_setsockopt(3) ZMQ_CONNECT_TIMEOUT; a listener whose queue is full does not answer (listen(2))."""
    push = sockets(zmq.PUSH, connect_timeout=20, reconnect_ivl=10)
    events = watch(push)
    with listen(tcp, backlog=0) as listener, dial(tcp):
        push.connect(tcp)
        events.names("CONNECT_DELAYED", "CLOSED", "CONNECT_RETRIED", "CONNECT_DELAYED")
        listener.accept()[0].close()
        events.until("CONNECTED")


@pytest.mark.parametrize("spoken", [b"", GREETING[:1], GREETING], ids=["silent", "begins", "greets"])
def test_handshake_ivl_ends_a_connection_that_says_no_more(zmq, sockets, watch, tcp, spoken):
    pull = sockets(zmq.PULL, handshake_ivl=20)
    events = watch(pull)
    pull.bind(tcp)
    with dial(tcp) as peer:
        peer.sendall(spoken)
        _l, _a, failed, _d = events.names(
            "LISTENING", "ACCEPTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED"
        )
    assert failed.value == errno.EAGAIN


def test_handshake_ivl_makes_a_connecter_try_again(zmq, sockets, watch, tcp):
    push = sockets(zmq.PUSH, handshake_ivl=20, reconnect_ivl=10)
    events = watch(push)
    with listen(tcp):
        push.connect(tcp)
        events.names(
            "CONNECT_DELAYED", "CONNECTED", "HANDSHAKE_FAILED_NO_DETAIL", "DISCONNECTED", "CONNECT_RETRIED"
        )


def test_peer_that_answers_no_heartbeat_is_disconnected(zmq, sockets, watch, tcp):
    """zmq_setsockopt(3) ZMQ_HEARTBEAT_IVL, ZMQ_HEARTBEAT_TIMEOUT."""
    pull = sockets(zmq.PULL, heartbeat_ivl=20, heartbeat_timeout=40)
    events = watch(pull)
    pull.bind(tcp)
    with dial(tcp) as peer:
        shake_hands(peer, b"PUSH")
        events.until("HANDSHAKE_SUCCEEDED")
        assert hear_command(peer)[0] == b"PING"
        events.until("DISCONNECTED")
        while hear_command(peer)[0]:
            pass  # it may have asked once more; the end comes


@pytest.mark.slow
def test_half_open_peer_is_given_up_before_another_heartbeat_is_due(zmq, sockets, watch, tcp):
    """Detection within HEARTBEAT_TIMEOUT and a tenth after the PING without an answer, told by counting.

    Eleven PINGs fit into the time-out, the first one with them; a twelfth would be due before the tenth is
    over. A machine that is slow delays PINGs too, and none is sent by who has found out.
    """
    interval, timeout = 20, 210
    pull = sockets(zmq.PULL, heartbeat_ivl=interval, heartbeat_timeout=timeout)
    events = watch(pull)
    pull.bind(tcp)
    with dial(tcp) as peer:
        shake_hands(peer, b"PUSH")
        for _ in range(3):
            assert hear_command(peer) == (b"PING", b"\0\0")
            peer.sendall(command(b"PONG"))
        peer.sendall(command(b"PING", b"\0\0"))  # the last word: what comes behind its PONG came after it
        heard = []
        while name := hear_command(peer)[0]:
            heard.append(name)
    after = heard[heard.index(b"PONG") + 1 :]
    assert 2 <= len(after) <= timeout // interval + 1
    assert set(after) == {b"PING"}
    events.until("DISCONNECTED")


def test_peer_that_answers_heartbeats_stays(zmq, sockets, watch, tcp):
    pull = sockets(zmq.PULL, heartbeat_ivl=10, heartbeat_timeout=CAP_MS)
    pull.bind(tcp)
    with dial(tcp) as peer:
        shake_hands(peer, b"PUSH")
        for _ in range(10):
            name, body = hear_command(peer)
            assert name == b"PING"
            peer.sendall(command(b"PONG", body[2:]))
        peer.sendall(b"\0\5hello")
        expect(pull, b"hello")


def test_heartbeat_carries_the_ttl(zmq, sockets, tcp):
    """RFC 37: two bytes, in tenths of a second."""
    pull = sockets(zmq.PULL, heartbeat_ivl=10, heartbeat_ttl=1550, heartbeat_timeout=CAP_MS)
    pull.bind(tcp)
    with dial(tcp) as peer:
        shake_hands(peer, b"PUSH")
        assert hear_command(peer) == (b"PING", struct.pack(">H", 15))


@pytest.mark.parametrize("context", [b"", b"x", b"sixteen bytes..."], ids=len)
def test_heartbeat_of_a_peer_is_answered_with_its_context(zmq, sockets, tcp, context):
    pull = sockets(zmq.PULL)
    pull.bind(tcp)
    with dial(tcp) as peer:
        shake_hands(peer, b"PUSH")
        peer.sendall(command(b"PING", struct.pack(">H", 0) + context))
        assert hear_command(peer) == (b"PONG", context)


def test_peer_that_names_a_ttl_and_goes_silent_is_disconnected(zmq, sockets, watch, tcp):
    """RFC 37: a peer SHOULD disconnect if it has heard nothing for the TTL of the last PING."""
    pull = sockets(zmq.PULL)
    events = watch(pull)
    pull.bind(tcp)
    with dial(tcp) as peer:
        shake_hands(peer, b"PUSH")
        peer.sendall(command(b"PING", struct.pack(">H", 1)))
        assert hear_command(peer) == (b"PONG", b"")
        events.until("DISCONNECTED")
        assert hear(peer, 1) == b""


def test_connecter_whose_peer_answers_no_heartbeat_connects_again(zmq, sockets, watch, tcp):
    push = sockets(zmq.PUSH, heartbeat_ivl=20, heartbeat_timeout=40, reconnect_ivl=10)
    events = watch(push)
    with listen(tcp) as listener:
        push.connect(tcp)
        silent = listener.accept()[0]
        with silent:
            silent.settimeout(CAP)
            shake_hands(silent, b"PULL")
            events.until("HANDSHAKE_SUCCEEDED")
            events.names("DISCONNECTED", "CONNECT_RETRIED", "CONNECT_DELAYED", "CONNECTED")
        listener.accept()[0].close()
