"""Tunnels: what is asked of ssh, what its answers mean, and that messages pass.

There is no server here. `ssh` is a program of ours, first on PATH: it writes down what it was asked, does
what a file beside it says, and forwards the port itself. For paramiko there is a server of paramiko's own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket as plain
import sys
import threading

import pytest

from kit import CAP, expect, wait_until

pytestmark = pytest.mark.slow

FAKE = """#!{python}
import json, os, select, signal, socket, sys

here = os.path.dirname(os.path.abspath(__file__))
with open(f"{{here}}/plan") as file:
    plan = json.load(file)
with open(f"{{here}}/asked", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if "-O" in sys.argv:
    if "master" in plan:
        print("Master running (pid=%d)" % plan["master"])
        sys.exit(0)
    sys.exit("Control socket connect: No such file or directory")
if "fails" in plan:
    print(plan["fails"], file=sys.stderr)
    sys.exit(255)
if "password" in plan:
    if "BatchMode=yes" in sys.argv:
        print("user@host: Permission denied (publickey,password).", file=sys.stderr)
        sys.exit(255)
    with open("/dev/tty", "r+b", buffering=0) as terminal:
        for _ in range(3):
            terminal.write(b"user@host's password: ")
            if terminal.readline().strip().decode() == plan["password"]:
                break
        else:
            terminal.write(b"Permission denied\\n")
            sys.exit(255)
if "-L" not in sys.argv:
    sys.exit(0)
_, here_port, host, there_port = sys.argv[sys.argv.index("-L") + 1].split(":")
listener = socket.create_server(("127.0.0.1", int(here_port)))
if os.fork():
    sys.exit(0)
os.setsid()
signal.alarm(20)
with open(f"{{here}}/pid", "w") as file:
    file.write(str(os.getpid()))
one = listener.accept()[0]
other = socket.create_connection((host, int(there_port)))
ends = {{one: other, other: one}}
while True:
    for end in select.select(list(ends), [], [])[0]:
        data = end.recv(65536)
        if not data:
            os._exit(0)
        ends[end].sendall(data)
"""


@pytest.fixture
def tunnel(backend):
    """The module of tunnels."""
    return importlib.import_module(f"{backend}.ssh.tunnel")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put our `ssh` on PATH; returns a function that says what it does and gives what it was asked so far."""
    program = tmp_path / "ssh"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = tmp_path / "asked"

    def plan(**what):
        (tmp_path / "plan").write_text(json.dumps(what))
        return lambda: [json.loads(line) for line in asked.read_text().splitlines()]

    yield plan
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 9)


def tcp_pull(zmq, sockets):
    """A PULL on this host, and its endpoint."""
    pull = sockets(zmq.PULL)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    return pull, f"tcp://127.0.0.1:{port}"


# --- ports and places --------------------------------------------------------------------------------------


def test_random_ports_are_free_and_different(tunnel):
    ports = tunnel.select_random_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with plain.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.shmzmq_only("pyzmq has other errors for what is no place")
def test_place_that_is_none_is_refused(tunnel):
    for addr in ("ipc://path", "tcp://host", "host:17"):
        with pytest.raises(ValueError, match="tcp://host:port"):
            tunnel.open_tunnel(addr, "server")
    for server in ("-oProxyCommand=true", "host:port"):
        with pytest.raises(ValueError, match="user@host:port"):
            tunnel.openssh_tunnel(1, 2, server)


# --- ssh ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [{}, {"password": "secret"}], ids=["key", "password"])
def test_message_passes_a_tunnel(zmq, tunnel, fake, sockets, plan):
    pytest.importorskip("pexpect")
    asked = fake(**plan)
    pull, place = tcp_pull(zmq, sockets)
    push = sockets(zmq.PUSH)
    pid = tunnel.tunnel_connection(
        push, place, "user@host:2222", keyfile="/key", password=plan.get("password"), timeout=17
    )
    assert isinstance(pid, int)
    push.send(b"through")
    expect(pull, b"through")
    last = asked()[-1]
    assert {"-f", "-i", "/key", "-p", "2222"} <= set(last)
    assert last[-3:] == ["user@host", "sleep", "17"]
    assert last[last.index("-L") + 1].endswith(place.removeprefix("tcp://"))


def test_control_master_forwards(tunnel, fake, monkeypatch):
    asked = fake(master=4711)
    monkeypatch.setattr(tunnel.atexit, "register", lambda *call: ends.append(call))
    ends = []
    assert tunnel.openssh_tunnel(1111, 2222, "host", "10.0.0.1") == 4711
    assert asked()[-1][:4] == ["-O", "forward", "-L", "127.0.0.1:1111:10.0.0.1:2222"]
    ((end, *arguments),) = ends
    end(*arguments)
    assert asked()[-1][:4] == ["-O", "cancel", "-L", "127.0.0.1:1111:10.0.0.1:2222"]


def test_whether_a_password_is_needed(tunnel, fake):
    pytest.importorskip("pexpect")
    fake()
    assert tunnel.try_passwordless_ssh("host", None, False)


@pytest.mark.shmzmq_only("pyzmq takes a server that cannot be reached for one that lets us in")
def test_whether_a_password_is_needed_is_asked_of_those_who_answer(tunnel, fake):
    fake(password="secret")
    assert not tunnel.try_passwordless_ssh("user@host", "/key")
    fake(fails="ssh: Could not resolve hostname host")
    with pytest.raises(RuntimeError, match="Could not resolve"):
        tunnel.try_passwordless_ssh("host", None)


@pytest.mark.shmzmq_only("pyzmq prints what ssh says and has a text without it")
def test_failure_says_why(tunnel, fake):
    fake(fails="Host key verification failed.")
    with pytest.raises(RuntimeError, match="Host key verification failed"):
        tunnel.openssh_tunnel(1, 2, "host")


@pytest.mark.shmzmq_only("pyzmq needs pexpect for everything")
def test_password_is_asked_for_and_may_be_wrong(zmq, tunnel, fake, sockets, monkeypatch):
    pytest.importorskip("pexpect")
    fake(password="secret")
    answers = ["wrong", "secret"]
    monkeypatch.setattr(tunnel, "getpass", lambda _: answers.pop(0))
    pull, place = tcp_pull(zmq, sockets)
    push = sockets(zmq.PUSH)
    tunnel.tunnel_connection(push, place, "host")
    push.send(b"through")
    expect(pull, b"through")
    assert answers == []
    monkeypatch.setattr(tunnel, "getpass", lambda _: "wrong")
    with pytest.raises(RuntimeError, match="Permission denied"):
        tunnel.openssh_tunnel(1, 2, "host", password="wrong")


@pytest.mark.shmzmq_only("pyzmq has other texts")
@pytest.mark.parametrize("name", ["pexpect", "paramiko"])
def test_missing_package_is_named(tunnel, fake, monkeypatch, name):
    fake(password="secret")
    monkeypatch.setitem(sys.modules, name, None)
    make = tunnel.openssh_tunnel if name == "pexpect" else tunnel.paramiko_tunnel
    with pytest.raises(ImportError, match=f"pip install {name}"):
        make(1, 2, "host", password="secret")


# --- paramiko ----------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):  # noqa: PLR0915  # a server is long
    """An ssh server of paramiko's that knows one password; its address, and a key in known_hosts."""
    paramiko = pytest.importorskip("paramiko")
    key = paramiko.ECDSAKey.generate()
    listener = plain.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    (tmp_path / ".ssh").mkdir()
    known = f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n"
    (tmp_path / ".ssh" / "known_hosts").write_text(known)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    transports, ended = [], threading.Event()

    class Door(paramiko.ServerInterface):
        def check_auth_password(self, username, password):
            return paramiko.AUTH_SUCCESSFUL if password == "secret" else paramiko.AUTH_FAILED

        def check_channel_direct_tcpip_request(self, number, origin, destination):
            places[number] = destination
            return paramiko.OPEN_SUCCEEDED

    places = {}

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def serve():
        workers = []
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                break
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(key)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # a client that resets, too
                transport.start_server(server=Door())
            workers.append(threading.Thread(target=channels, args=(transport,)))
            workers[-1].start()
        for worker in workers:
            worker.join()

    def channels(transport):
        targets, pumps = [], []
        while transport.is_active() and not ended.is_set():
            channel = transport.accept(0.05)
            if channel is None:
                continue
            targets.append(plain.create_connection(places[channel.chanid]))
            for ends in ((channel, targets[-1]), (targets[-1], channel)):
                pumps.append(threading.Thread(target=pump, args=ends))
                pumps[-1].start()
        transport.close()
        for target in targets:
            with contextlib.suppress(OSError):
                target.shutdown(plain.SHUT_RDWR)
            target.close()
        for each in pumps:
            each.join()
        transport.join()

    serving = threading.Thread(target=serve)
    serving.start()
    yield f"user@127.0.0.1:{port}"
    ended.set()
    listener.shutdown(plain.SHUT_RDWR)
    listener.close()
    for each in transports:
        each.close()
    serving.join(CAP)


def test_message_passes_a_tunnel_of_paramiko(zmq, tunnel, server, sockets):
    pull, place = tcp_pull(zmq, sockets)
    push = sockets(zmq.PUSH)
    process = tunnel.tunnel_connection(push, place, server, password="secret", paramiko=True)
    try:
        push.send(b"through")
        expect(pull, b"through")
    finally:
        process.terminate()
        process.join(CAP)
        process.close()


@pytest.mark.shmzmq_only("where there is no key at all pyzmq lets paramiko's error through")
def test_whether_paramiko_needs_a_password(tunnel, server):
    assert not tunnel.try_passwordless_ssh(server, None, paramiko=True)


@pytest.mark.shmzmq_only("pyzmq's tunnel takes any host for the right one and warns")
def test_paramiko_refuses_an_unknown_host(tunnel, server, tmp_path, capfd):
    (tmp_path / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(RuntimeError, match="not found in known_hosts"):
        tunnel.try_passwordless_ssh(server, None, paramiko=True)
    process = tunnel.paramiko_tunnel(1, 2, server, password="secret")
    wait_until(lambda: not process.is_alive(), "the tunnel to give up")
    assert process.exitcode == 1
    assert "not found in known_hosts" in capfd.readouterr().err
    process.close()
