"""A fleet migrates process by process: one ipc path, mixed workers, brokers of both libraries in turn."""

from __future__ import annotations

import contextlib
import os
import shutil

import fleet
import pytest

from kit import CAP, Child, path_of, wait_until

REQUESTS = 20_000
SWAPS = 6


@pytest.fixture
def crew():
    """A function like kit.Child; whoever is left over is dismissed."""
    children = []

    def hire(*args):
        children.append(Child(*args))
        return children[-1]

    yield hire
    leaked = [child.name for child in children if child.dismiss()]
    assert not leaked, leaked


@pytest.fixture(
    params=[
        fleet.FdLosingRelay,
        pytest.param(
            fleet.Socat,
            marks=pytest.mark.skipif(shutil.which("socat") is None, reason="there is no socat here"),
        ),
    ],
    ids=["relay", "socat"],
)
def relay(request, scratch, ipc):
    path = f"{scratch}/relay"
    relay = request.param(path, path_of(ipc))
    yield f"ipc://{path}"
    relay.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(ipc))  # the last broker's, which is libzmq


@pytest.fixture
def workers(backend, crew, ipc, relay, monkeypatch):
    """Ten: four of real pyzmq, four of ours, one forced to ZMTP, one whose fds are lost on the way."""
    hired = [crew("zmq", fleet.worker, ipc, b"theirs-%d" % number) for number in range(4)]
    hired += [crew(backend, fleet.worker, ipc, b"ours-%d" % number) for number in range(4)]
    hired.append(crew(backend, fleet.worker, relay, b"relayed"))
    with monkeypatch.context() as environment:
        environment.setenv("SHMZMQ_IPC", "zmtp")
        hired.append(crew(backend, fleet.worker, ipc, b"forced"))
    return hired


SHOWN = {
    "ours": ("ring", None),
    "theirs": ("zmtp", "peer speaks plain ZMTP"),
    "forced": ("zmtp", "peer speaks plain ZMTP"),  # it does not speak of rings at all
    "relayed": ("zmtp", "peer has no rings: fds were lost on the way"),
}
"""What `peers()` of our broker says of each sort of worker: its transport, and the reason."""


def expect_transports(broker, names):
    """`peers()` of our broker: rings to ours, ZMTP to all others, and to each for its own reason."""
    rows = {}

    def all_are_there():
        broker.tell("peers")
        rows.clear()
        rows.update({row["routing_id"]: row for row in broker.hear()})
        return set(rows) >= names

    wait_until(all_are_there, f"{names} to be peers of our broker", 2 * CAP)
    for name in names:
        sort = name.decode().partition("-")[0]
        assert (rows[name]["transport"], rows[name]["reason"]) == SHOWN[sort], rows[name]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_request_is_answered_once_while_brokers_of_both_libraries_take_turns(
    backend, crew, ipc, workers
):
    names = {b"theirs-%d" % number for number in range(4)} | {b"ours-%d" % number for number in range(4)}
    names |= {b"relayed", b"forced"}
    half = REQUESTS // 2
    turns = [("zmq", backend)[turn % 2] for turn in range(SWAPS + 1)]
    now = crew(turns[0], fleet.broker, ipc)
    now.tell("go")
    assert now.hear() == "bound"
    clients = [
        crew("zmq", fleet.client, ipc, b"theirs-client", range(half)),
        crew(backend, fleet.client, ipc, b"ours-client", range(half, REQUESTS)),
    ]
    answered = [0, 0]
    passed = []

    def progress():
        for number, client in enumerate(clients):
            while answered[number] < half and client.has_word():
                answered[number] = client.hear()
        return sum(answered)

    for swap in range(1, SWAPS + 1):
        after = crew(turns[swap], fleet.broker, ipc)  # while the old one serves
        mark = REQUESTS * swap // (SWAPS + 1)
        wait_until(lambda mark=mark: progress() >= mark, f"{mark} answers", 60)
        now.tell("stop")
        passed.append(now.result())
        after.tell("go")
        assert after.hear() == "bound"
        now = after
        if turns[swap] == "shmzmq":
            expect_transports(now, names)
    wait_until(lambda: progress() == REQUESTS, "all answers", 60)
    accounts = [client.result() for client in clients]
    now.tell("stop")
    passed.append(now.result())
    for each in workers:
        each.tell("stop")
    served = [each.result() for each in workers]
    for account in accounts:
        assert account["answered"] == half
        assert account["extra"] <= account["resent"], account
    assert all(passed), f"answers passed on by each broker: {passed}"
    assert all(served), f"requests served by each worker: {served}"
    assert sum(served) >= REQUESTS
