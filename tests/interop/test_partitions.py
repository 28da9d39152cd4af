"""A network that fails: partitions, peers that vanish or come back, slow lines, crowds that connect again.

Two network namespaces on one cable (network.py) with a process in each: the module under test here, shmzmq or
real pyzmq there. Order and generous caps are asserted, never a tight time.
"""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import network as cable
import pytest
import theirs as other_end

from kit import CAP, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

IVL, TIMEOUT = 200, 500
HEARTBEATS = {"heartbeat_ivl": IVL, "heartbeat_timeout": TIMEOUT}
AGAIN = {"reconnect_ivl": 50, "connect_timeout": 300, "handshake_ivl": 1000}
PORT = 5555


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    """Skips, and says why, where the machine has no namespaces for us."""
    why = cable.why_not()
    if why is not None:
        pytest.skip(why)


@pytest.fixture
def net() -> Iterator[cable.Network]:
    network = cable.Network()
    yield network
    network.end()


@pytest.fixture
def host(net: cable.Network, backend: str) -> Iterator[Callable[..., cable.Host]]:
    """A function `host(side, module)`: a process there; without a module with the one under test."""
    hosts: list[cable.Host] = []

    def fresh(side: int, module: str = backend) -> cable.Host:
        hosts.append(cable.Host(net, side, module))
        return hosts[-1]

    yield fresh
    for each in hosts:
        each.end()


@pytest.fixture(params=["shmzmq", "zmq"])
def other(request: pytest.FixtureRequest) -> str:
    """The module at the other side."""
    return str(request.param)


def listen(host: cable.Host, kind: str, port: int = PORT, **options: Any) -> tuple[other_end.Remote, str]:
    """A bound socket and its endpoint."""
    socket = host.socket(kind, **options)
    return socket, socket.bind(f"tcp://{host.address}:{port}")


def expect_in_order(heard: dict[bytes, list[int]]) -> None:
    for name, numbers in heard.items():
        assert all(one < next_ for one, next_ in itertools.pairwise(numbers)), (name, numbers)


def expect_more(heard: Callable[[], dict[bytes, list[int]]], *names: bytes) -> None:
    """Every sender is heard again."""
    before = {name: len(numbers) for name, numbers in heard().items()}
    wait_until(
        lambda: all(len(heard().get(name, ())) > before.get(name, 0) for name in names),
        f"more from {names}",
        3 * CAP,
    )


class Couple:
    """A DEALER here that connected to a DEALER there, numbers under way in both directions."""

    def __init__(self, here: cable.Host, there: cable.Host, **options: Any) -> None:
        self.hosts = (here, there)
        bound, endpoint = listen(there, "DEALER", **options)
        dialler = here.socket("DEALER", **options, **AGAIN)
        self.endpoint = endpoint
        self.sockets = (dialler, bound)
        self.watches = (here.watch(dialler), there.watch(bound))
        dialler.connect(endpoint)
        self.married()
        self.heard = (here.sink(dialler), there.sink(bound))
        self.pumps = (here.pump(dialler, b"here"), there.pump(bound, b"there"))
        self.expect_traffic()

    def married(self, since: float = 0.0) -> None:
        for watch in self.watches:
            watch.wait("HANDSHAKE_SUCCEEDED", since=since, cap=3 * CAP)

    def expect_traffic(self) -> None:
        expect_more(self.heard[0], b"there")
        expect_more(self.heard[1], b"here")

    def expect_order(self) -> None:
        for heard in self.heard:
            expect_in_order(heard())


def spoil(net: cable.Network, how: str) -> float:
    """Returns a time just before the cable was spoilt."""
    before = time.monotonic()
    net.blackhole() if how == "blackhole" else net.cut(0 if how == "cut here" else 1)
    return before


def mend(net: cable.Network, how: str) -> None:
    net.clear() if how == "blackhole" else net.plug(0 if how == "cut here" else 1)


# --- partitions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["blackhole", "cut here", "cut there"])
def test_partition_is_noticed_by_both_ends_and_traffic_goes_on_afterwards(net, host, other, how):
    couple = Couple(host(0), host(1, other), **HEARTBEATS)
    spoilt = spoil(net, how)
    for watch in couple.watches:
        lost = watch.wait("DISCONNECTED", since=spoilt)
        # A PING that was not answered may have left an instant before, and no byte came after it.
        assert lost[0] - spoilt > (TIMEOUT - IVL) / 1000
    mend(net, how)
    couple.married(since=spoilt)
    couple.expect_traffic()
    couple.expect_order()


def test_partition_shorter_than_the_heartbeat_loses_nothing(net, host, other):
    couple = Couple(host(0), host(1, other), heartbeat_ivl=IVL, heartbeat_timeout=int(6 * CAP * 1000))
    spoilt = spoil(net, "blackhole")
    before = net.packets_from(0)
    wait_until(lambda: net.packets_from(0) > before + 2, "the kernel to send again into the hole")
    mend(net, "blackhole")
    couple.expect_traffic()
    sent = [pump() for pump in couple.pumps]
    for heard, name, count in ((couple.heard[1], b"here", sent[0]), (couple.heard[0], b"there", sent[1])):
        wait_until(
            lambda heard=heard, name=name, count=count: heard()[name] == list(range(count)), "all of it"
        )
    for watch in couple.watches:
        assert not watch.events("DISCONNECTED", since=spoilt)


# --- peers that come back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["up", "down"])
def test_peer_that_restarts_at_its_address_is_found_again(net, host, other, link):
    here, there = host(0), host(1, other)
    couple = Couple(here, there, **HEARTBEATS)
    began = time.monotonic()
    if link == "down":
        spoil(net, "blackhole")
    there.kill()
    if link == "down":
        couple.watches[0].wait("DISCONNECTED", since=began)
    anew = host(1, other)
    bound, _ = listen(anew, "DEALER", **HEARTBEATS)
    heard = anew.sink(bound)
    pump = anew.pump(bound, b"anew")
    if link == "down":
        mend(net, "blackhole")
    couple.watches[0].wait("HANDSHAKE_SUCCEEDED", since=began, cap=3 * CAP)
    expect_more(heard, b"here")
    expect_more(couple.heard[0], b"anew")
    expect_in_order(heard())
    expect_in_order(couple.heard[0]())
    assert pump() > 0


# --- half-open peers ---------------------------------------------------------------------------------------


def vanish(net: cable.Network, there: cable.Host, how: str) -> float:
    """The other end is gone and nothing of its end is heard."""
    before = time.monotonic()
    net.blackhole()
    there.kill()
    if how == "torn down":
        net.remove(1)
    return before


@pytest.mark.parametrize("how", ["killed", "torn down"])
def test_half_open_peer_is_noticed_by_heartbeats_in_time(net, host, other, how):
    """The next PING is due after HEARTBEAT_IVL, and then HEARTBEAT_TIMEOUT must pass.

    No clock is looked at: beside it there is a libzmq that may not find out before a tenth more has passed,
    as its own HEARTBEAT_TIMEOUT is so long. Whoever has less time is told of first; detection.py measures.
    """
    here, beside, there = host(0), host(0, "zmq"), host(1, other)
    couple = Couple(here, there, **HEARTBEATS)
    _bound, endpoint = listen(there, "PULL", port=PORT + 1)
    later = beside.socket("PUSH", heartbeat_ivl=IVL, heartbeat_timeout=round(1.1 * (IVL + TIMEOUT)), **AGAIN)
    witness = beside.watch(later)
    later.connect(endpoint)
    witness.wait("HANDSHAKE_SUCCEEDED")
    began = vanish(net, there, how)
    told = witness.wait("DISCONNECTED", since=began)
    assert couple.watches[0].wait("DISCONNECTED", since=began) < told


@pytest.mark.parametrize("size", [10, 100_000])
def test_stopped_peer_is_noticed_by_heartbeats_while_data_is_under_way(net, host, other, size):
    """Its kernel goes on taking what we send, until that is full: no sign that the peer lives."""
    here, there = host(0), host(1, other)
    _bound, endpoint = listen(there, "PULL")
    push = here.socket("PUSH", **HEARTBEATS, **AGAIN)
    watch = here.watch(push)
    push.connect(endpoint)
    watch.wait("HANDSHAKE_SUCCEEDED")
    began = time.monotonic()
    os.kill(there.pid, signal.SIGSTOP)
    for _ in range(200):
        push.send(bytes(size))
    watch.wait("DISCONNECTED", since=began)


def test_half_open_peer_is_noticed_by_tcp_maxrt_while_data_is_under_way(net, host, other):
    here, there = host(0), host(1, other)
    couple = Couple(here, there, tcp_maxrt=1000)
    began = vanish(net, there, "killed")
    couple.watches[0].wait("DISCONNECTED", since=began, cap=4 * CAP)


def test_half_open_peer_is_noticed_by_keepalive_while_nothing_is_under_way(net, host, other):
    here, there = host(0), host(1, other)
    keepalive = {
        "tcp_keepalive": 1, "tcp_keepalive_idle": 1, "tcp_keepalive_intvl": 1, "tcp_keepalive_cnt": 2,
    }  # fmt: skip
    _bound, endpoint = listen(there, "PULL")
    push = here.socket("PUSH", **keepalive, **AGAIN)
    watch = here.watch(push)
    push.connect(endpoint)
    watch.wait("HANDSHAKE_SUCCEEDED")
    began = vanish(net, there, "killed")
    watch.wait("DISCONNECTED", since=began, cap=4 * CAP)


def test_ttl_of_the_peers_ping_is_honoured(net, host, other):
    """RFC 37: the peer that asked for it is given up after its TTL, though we send no PING of our own."""
    here, there = host(0), host(1, other)
    pull, endpoint = listen(here, "PULL")
    watch = here.watch(pull)
    push = there.socket(
        "PUSH", heartbeat_ivl=100, heartbeat_ttl=400, heartbeat_timeout=int(6 * CAP * 1000), **AGAIN
    )
    push.connect(endpoint)
    watch.wait("HANDSHAKE_SUCCEEDED")
    for number in range(3):
        push.send(b"%d" % number)
        assert pull.recv() == [b"%d" % number]
    # A PING has come once there was traffic for longer than its interval.
    before = net.packets_from(1)
    wait_until(lambda: net.packets_from(1) > before + 8, "some heartbeats")
    assert not watch.events("DISCONNECTED")
    spoilt = spoil(net, "blackhole")
    lost = watch.wait("DISCONNECTED", since=spoilt)
    assert lost[0] - spoilt > 0.2


# --- crowds ------------------------------------------------------------------------------------------------

CROWD = 50


def attempts(watch: cable.Watched, rounds: int) -> dict[int, list[float]]:
    """When each of the crowd gave an attempt up, by socket, until there were so many rounds of them."""
    watch.wait("CONNECT_RETRIED", count=CROWD * rounds, cap=40)
    times: dict[int, list[float]] = {}
    for when, socket, _name, _value in watch.events("CONNECT_RETRIED"):
        times.setdefault(socket, []).append(when)
    assert len(times) == CROWD
    return times


def most_attempts(lasted: float, most: float) -> float:
    """Attempts of one socket in so many seconds, without jitter: from 100 ms on, doubled up to `most`."""
    delay, at, count = 0.1, 0.0, 1
    while at <= lasted:
        count, at = count + 1, at + delay
        delay = min(2 * delay, most) if most else delay
    return count


def expect_no_storm(times: dict[int, list[float]], most: int) -> None:
    begin = min(min(each) for each in times.values())
    lasted = max(max(each) for each in times.values()) - begin
    total = sum(len(each) for each in times.values())
    assert total <= 1.2 * CROWD * most_attempts(lasted, most / 1000)


def spread(times: dict[int, list[float]], attempt: int) -> float:
    """Standard deviation of the times of everybody's attempt of this number, in seconds."""
    return statistics.pstdev(sorted(each)[attempt] for each in times.values() if len(each) > attempt)


FIRST_AGAIN = pytest.mark.shmzmq_only("libzmq waits no longer than at first once a connection was accepted")


@pytest.mark.parametrize(
    ("there_is", "most"),
    [
        ("refusal", 0), ("nobody", 0), ("hangup", 0), ("refusal", 400), ("nobody", 400),
        pytest.param("hangup", 400, marks=FIRST_AGAIN),
    ],
)  # fmt: skip
def test_crowd_that_finds_nobody_is_no_storm(net, host, there_is, most):
    here = host(0)
    address = cable.NOWHERE if there_is == "nobody" else net.ADDRESSES[1]
    if there_is == "hangup":
        host(1).hang_up_on(PORT)
    options = {"reconnect_ivl": 100, "reconnect_ivl_max": most, "connect_timeout": 100}
    watch = here.connect_all("PUSH", CROWD, f"tcp://{address}:{PORT}", **options)
    times = attempts(watch, 8)
    expect_no_storm(times, most)


@pytest.mark.shmzmq_only("libzmq doubles without jitter: with RECONNECT_IVL_MAX its crowds come in lockstep")
@pytest.mark.parametrize("most", [0, 400], ids=["without-max", "with-max"])
def test_crowd_that_lost_its_peer_at_once_does_not_come_back_in_lockstep(net, host, most):
    """All lose the connection in one instant; what they do next must not be one instant too."""
    here, there = host(0), host(1)
    _bound, endpoint = listen(there, "PULL")
    options = {"reconnect_ivl": 100, "reconnect_ivl_max": most, "connect_timeout": 100}
    watch = here.connect_all("PUSH", CROWD, endpoint, **options)
    watch.wait("HANDSHAKE_SUCCEEDED", count=CROWD)
    there.kill()
    times = attempts(watch, 6)
    expect_no_storm(times, most)
    assert spread(times, 1) > 0.005, "the second attempts come in lockstep"
    assert spread(times, 4) > 0.02, "the fifth attempts come in lockstep"


# --- slow lines --------------------------------------------------------------------------------------------

LARGE = 300_000


# libzmq hears no life in an unfinished message: receiving a large one, it gives the connection up itself.
@pytest.mark.parametrize(
    ("other", "pings"),
    [("shmzmq", "both"), ("shmzmq", "sender"), ("shmzmq", "receiver"), ("zmq", "sender")],
)
@pytest.mark.shmzmq_only("libzmq ends the connection when its PING waits behind a large message")
def test_heartbeats_do_not_end_a_connection_in_the_middle_of_a_large_message(net, host, other, pings):
    """At 1 Mbit/s it takes seconds: a sign of life is any byte, and any that the other has taken."""
    here, there = host(0), host(1, other)
    try:
        net.throttle(0, "1mbit")
    except AssertionError as error:
        pytest.skip(f"no token bucket here: {error}")
    pull, endpoint = listen(there, "PULL", **(HEARTBEATS if pings != "sender" else {}))
    push = here.socket("PUSH", **(HEARTBEATS if pings != "receiver" else {}), **AGAIN)
    watches = here.watch(push), there.watch(pull)
    push.connect(endpoint)
    watches[0].wait("HANDSHAKE_SUCCEEDED")
    for number in range(2):
        push.send(bytes([number]) * LARGE)
    for number in range(2):
        wait_until(lambda: pull.poll(100), "a large message over a slow line", 4 * CAP)
        assert pull.recv() == [bytes([number]) * LARGE]
    for watch in watches:
        assert not watch.events("DISCONNECTED")


# --- dialling ----------------------------------------------------------------------------------------------


def test_connect_timeout_gives_up_an_attempt_into_a_blackhole(net, host):
    here = host(0)
    push = here.socket("PUSH", connect_timeout=200, reconnect_ivl=50)
    watch = here.watch(push)
    push.connect(f"tcp://{cable.NOWHERE}:{PORT}")
    watch.wait("CONNECT_RETRIED", count=3)
    told = watch.events()
    assert [name for _when, _socket, name, _value in told][:6] == 2 * [
        "CONNECT_DELAYED",
        "CLOSED",
        "CONNECT_RETRIED",
    ]
    for begun, closed in itertools.pairwise(told[:6:1]):
        if begun[2] == "CONNECT_DELAYED":
            assert closed[0] - begun[0] > 0.15


def test_attempt_without_connect_timeout_waits_for_the_system(net, host):
    """The line comes back: the kernel asks again by itself, and that is the same attempt."""
    here, there = host(0), host(1)
    _bound, endpoint = listen(there, "PULL")
    push = here.socket("PUSH", reconnect_ivl=50)
    watch = here.watch(push)
    spoil(net, "blackhole")
    before = net.packets_from(0)
    push.connect(endpoint)
    wait_until(lambda: net.packets_from(0) > before + 1, "the kernel to ask a second time")
    mend(net, "blackhole")
    watch.wait("HANDSHAKE_SUCCEEDED")
    assert not watch.events("CONNECT_RETRIED")


def test_reconnect_stop_at_a_refusal_across_hosts(net, host):
    """RECONNECT_STOP 1, a draft in libzmq."""
    here = host(0)
    push = here.socket("PUSH", reconnect_ivl=20, connect_timeout=200, reconnect_stop=1)
    other = here.socket("PUSH", reconnect_ivl=20)
    watch, others = here.watch(push), here.watch(other)
    spoil(net, "blackhole")
    push.connect(f"tcp://{net.ADDRESSES[1]}:{PORT}")
    watch.wait("CONNECT_RETRIED", count=2)
    assert len(watch.events("CONNECT_DELAYED")) >= 2  # silence is no refusal
    mend(net, "blackhole")
    other.connect(f"tcp://{net.ADDRESSES[1]}:{PORT}")
    others.wait("CONNECT_RETRIED", count=20)
    last = watch.events()[-1]
    assert last[2] == "CLOSED", watch.events()
    others.wait("CONNECT_RETRIED", count=40)
    assert watch.events()[-1] == last


def test_name_that_appears_later_is_found(net, host, other, scratch):
    here, there = host(0), host(1, other)
    pull, _endpoint = listen(there, "PULL")
    hosts = scratch / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    here.own_file(hosts, "/etc/hosts")
    push = here.socket("PUSH", reconnect_ivl=20)
    watch = here.watch(push)
    push.connect(f"tcp://appears.later.test:{PORT}")
    push.send(b"sent before the name was known")
    watch.wait("CONNECT_RETRIED", count=2, cap=4 * CAP)
    hosts.write_text(f"127.0.0.1 localhost\n{net.ADDRESSES[1]} appears.later.test\n")
    watch.wait("HANDSHAKE_SUCCEEDED", cap=4 * CAP)
    assert pull.recv() == [b"sent before the name was known"]
    hosts.unlink()


@pytest.mark.shmzmq_only("libzmq looks names up in its I/O thread")
def test_name_server_that_does_not_answer_keeps_nobody_else_waiting(net, host, other, scratch):
    here, there = host(0), host(1, other)
    pull, endpoint = listen(there, "PULL")
    servers = scratch / "resolv.conf"
    servers.write_text(f"nameserver {cable.NOWHERE}\noptions timeout:30 attempts:1\n")
    here.own_file(servers, "/etc/resolv.conf")
    asks = here.socket("PUSH")
    watch = here.watch(asks)
    before = net.packets_from(0)
    asks.connect(f"tcp://never.answered.test:{PORT}")
    wait_until(lambda: net.packets_from(0) > before, "the question for the name")
    push = here.socket("PUSH", **AGAIN)
    push.connect(endpoint)
    for number in range(3):
        push.send(b"%d" % number)
        assert pull.recv() == [b"%d" % number]
    assert not watch.events(), "the question was answered"
    asks.close()
    push.send(b"still here")
    assert pull.recv() == [b"still here"]
    servers.unlink()
