"""`shmzmq monitor`: what it says of peers of either library, and of those that are none."""

import json
import re
import signal
import socket

import pytest

import shell
from shmzmq.commands import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["PUB", "XPUB", "ROUTER", "REP", "PULL", "SUB", "XSUB"])
def test_endpoint_is_found_up_by_a_socket_that_takes_nothing_away(kind, peers, capsys):
    _, endpoint = peers.bound(kind)
    assert main(["monitor", "--wait", "--timeout", "20", endpoint]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert f"{endpoint}  up: {kind} over tcp" in last


@pytest.mark.parametrize("kind", ["PUSH", "DEALER", "REQ", "PAIR"])
def test_endpoint_that_only_a_taker_fits_is_left_to_the_user(kind, peers, capsys):
    _, endpoint = peers.bound(kind)
    assert main(["monitor", "--wait", "--timeout", "20", endpoint]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "--type" in said.err
    assert len(said.err.splitlines()) == 1


def test_peer_that_comes_goes_and_comes_back_is_told_of_with_the_time(peers, folder):
    endpoint = f"ipc://{folder}/x"
    with shell.running("monitor", endpoint) as monitor:
        assert monitor.stdout.readline().endswith(f"{endpoint}  nobody listens there\n")
        for _ in range(2):
            pull, _ = peers.bound("PULL", endpoint)
            lines = []
            while not lines or "up: PULL over " not in lines[-1]:
                lines.append(monitor.stdout.readline())
            assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  ipc:", lines[-1])
            pull.close()
            while "disconnected" not in lines[-1]:
                lines.append(monitor.stdout.readline())
        monitor.send_signal(signal.SIGINT)
        code, _, err = shell.end(monitor)
    assert (code, err) == (130, "")


def test_json_is_one_object_for_each_event(peers):
    _, endpoint = peers.bound("PULL")
    done = shell.shmzmq("monitor", "--json", "--type", "PUSH", "-n", 3, endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"] for each in events] == ["CONNECT_DELAYED", "CONNECTED", "HANDSHAKE_SUCCEEDED"]
    assert events[-1]["peer"] == {"socket_type": "PULL", "transport": "tcp", "pid": None}
    assert {each["endpoint"] for each in events} == {endpoint}


def test_nobody_there_in_time_exits_1(folder, capsys):
    assert main(["monitor", "--wait", "--timeout", "0.3", f"ipc://{folder}/x"]) == 1
    said = capsys.readouterr()
    assert "nobody listens there" in said.out
    assert said.err == f"shmzmq monitor: ipc://{folder}/x was not up within 0.3 s\n"


def test_peer_that_speaks_no_zeromq_is_said_to_speak_none(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with shell.running("monitor", f"tcp://127.0.0.1:{port}") as monitor:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n" * 4)
                lines = [monitor.stdout.readline() for _ in range(2)]
    assert "handshake failed: no ZMTP as it should be" in lines[1]


def test_bound_monitor_tells_who_comes(peers):
    with shell.running("monitor", "--type", "PULL", "@tcp://127.0.0.1:*") as monitor:
        peers.connected("PUSH", shell.bound_port(monitor))
        lines = [monitor.stdout.readline() for _ in range(3)]
    assert [line.split("  ")[-1].split(":")[0].strip() for line in lines] == [
        "listening",
        "accepted, shaking hands",
        "up",
    ]


def test_binding_without_a_type_is_wrong_usage(capsys):
    assert main(["monitor", "@tcp://127.0.0.1:*"]) == 2
    assert "--type is needed to bind" in capsys.readouterr().err
