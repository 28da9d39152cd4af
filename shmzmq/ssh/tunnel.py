"""Tunnels: a local port that leads through an ssh server to where a socket is bound.

Knows    the command `ssh`, and paramiko where there is no such command.
Refuses  to know messages: what comes out of a tunnel is a tcp endpoint.

Without a password only `ssh` itself is needed. A password is typed into it by pexpect, which must then be
installed. ssh is asked not to go on where it cannot forward, and never to ask: an unknown host is refused.
"""

# ruff: noqa: PLR0917  # the parameters are pyzmq's

from __future__ import annotations

import atexit
import os
import re
import signal
import socket as plain
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from getpass import getpass, getuser
from multiprocessing import Process
from typing import Any

from .forward import forward_tunnel

__all__ = [
    "MaxRetryExceeded",
    "open_tunnel",
    "openssh_tunnel",
    "paramiko_tunnel",
    "select_random_ports",
    "ssh_tunnel",
    "try_passwordless_ssh",
    "tunnel_connection",
]

_TRIES = 3
_PATIENCE_S = 60.0
_POLICY = "SHMZMQ_PARAMIKO_HOST_KEY_POLICY"


class MaxRetryExceeded(Exception):
    """The password was refused too often, or the server said nothing for too long."""


def select_random_ports(n: int) -> list[int]:
    """Return `n` different ports of this host that nobody uses now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(plain.socket()) for _ in range(n)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def try_passwordless_ssh(server: str, keyfile: str | None, paramiko: bool | None = None) -> bool:
    """Say whether the server lets us in without a password.

    Shape    server: user@host:port, without what is as usual; paramiko: whether to use it; None is "only
             where there is no ssh".
    Raises   RuntimeError  the server cannot be reached, or is not known; ssh's words are in the text.
             ImportError   paramiko is asked for and not installed.
    """
    if paramiko or (paramiko is None and sys.platform == "win32"):
        return _lets_in(server, keyfile)
    ssh, host = _command(server, keyfile)
    status, said = _run([*ssh, "-o", "BatchMode=yes", host, "exit"])
    if status and not _is_refusal(said):
        raise RuntimeError(f"ssh to {server} failed: {said}")
    return not status


def tunnel_connection(
    socket: Any,
    addr: str,
    server: str,
    keyfile: str | None = None,
    password: str | None = None,
    paramiko: bool | None = None,
    timeout: int = 60,
) -> Process | int:
    """Connect a socket to `addr` as seen from an ssh server.

    Shape    addr: tcp://host:port; the rest as for `openssh_tunnel`.
    Returns  the tunnel: a process, or the number of one.
    """
    url, tunnel = open_tunnel(addr, server, keyfile, password, paramiko, timeout)
    socket.connect(url)
    return tunnel


def open_tunnel(
    addr: str,
    server: str,
    keyfile: str | None = None,
    password: str | None = None,
    paramiko: bool | None = None,
    timeout: int = 60,
) -> tuple[str, Process | int]:
    """Open a tunnel to `addr` as seen from an ssh server; returns the endpoint to connect to, and it."""
    scheme, _, place = addr.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "tcp" or not port.isdecimal():
        raise ValueError(f"addr={addr!r}: a tunnel leads to tcp://host:port")
    here = select_random_ports(1)[0]
    uses_paramiko = sys.platform == "win32" if paramiko is None else paramiko
    make = paramiko_tunnel if uses_paramiko else openssh_tunnel
    tunnel = make(here, int(port), server, host, keyfile, password, timeout)
    return f"tcp://127.0.0.1:{here}", tunnel


# --- ssh ---------------------------------------------------------------------------------------------------


def openssh_tunnel(
    lport: int,
    rport: int,
    server: str,
    remoteip: str = "127.0.0.1",
    keyfile: str | None = None,
    password: str | None = None,
    timeout: int = 60,
) -> int:
    """Open a tunnel from a port of this host to one that an ssh server reaches, by the command `ssh`.

    It stays while it is used, and at least `timeout` seconds for a first connection. Where a control master
    of ssh's runs, that forwards the port, until this program ends.

    Shape    remoteip: where rport is, as seen from the server. password: None tries without, then asks.
    Returns  the number of the process: the master's, or that of the ssh which has gone to the background.
    Raises   RuntimeError      ssh could not do it; its words are in the text.
             MaxRetryExceeded  the password is not the right one.
             ImportError       there is a password, and pexpect is not installed.
    """
    ssh, host = _command(server, keyfile)
    forward = ["-L", f"127.0.0.1:{lport}:{remoteip}:{rport}"]
    status, said = _run([*ssh, "-O", "check", host])
    master = re.search(r"pid=(\d+)", said)
    if not status and master and not _run([*ssh, "-O", "forward", *forward, host])[0]:
        atexit.register(_run, [*ssh, "-O", "cancel", *forward, host])
        return int(master[1])
    tunnel = [*ssh, "-f", "-S", "none", "-o", "ExitOnForwardFailure=yes", *forward]
    end = [host, "sleep", str(timeout)]
    if password is None:
        pid, status, said = _start([*tunnel, "-o", "BatchMode=yes", *end])
        if not status:
            return pid
        if not _is_refusal(said):
            raise RuntimeError(f"ssh to {server} failed: {said}")
        password = getpass(f"{server}'s password: ")
    return _with_password([*tunnel, *end], server, password)


def _command(server: str, keyfile: str | None) -> tuple[list[str], str]:
    """The beginning of an ssh command, and the host."""
    host, colon, port = server.partition(":")
    if host.startswith("-") or (colon and not port.isdecimal()):
        raise ValueError(f"server={server!r} is not user@host:port")
    return ["ssh", *(["-i", keyfile] if keyfile else []), *(["-p", port] if colon else [])], host


def _environment() -> dict[str, str]:
    """Without what would open a window that asks for a password."""
    return {name: value for name, value in os.environ.items() if name != "SSH_ASKPASS"}


def _start(command: list[str]) -> tuple[int, int, str]:
    """Run a command that may leave a process behind: its number, its status, and what it said."""
    with tempfile.TemporaryFile() as words:  # a pipe would stay open in what is left behind
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=_environment()
        )
        status = process.wait()
        words.seek(0)
        return process.pid, status, words.read().decode(errors="replace").strip()


def _run(command: list[str]) -> tuple[int, str]:
    _, status, said = _start(command)
    return status, said


def _is_refusal(said: str) -> bool:
    return "permission denied" in said.lower()


def _with_password(command: list[str], server: str, password: str) -> int:
    """Run ssh in a terminal of its own and type the password."""
    try:
        import pexpect
    except ImportError as error:
        raise ImportError("a password for ssh needs pexpect: pip install pexpect", name="pexpect") from error
    terminal = pexpect.spawn(command[0], command[1:], env=_environment(), encoding="utf-8")
    deadline, typed = time.monotonic() + _PATIENCE_S, 0
    awaited = ["(?i)pass(word|phrase)[^\r\n]*:", "(?i)are you sure you want to continue", pexpect.EOF]
    try:
        while time.monotonic() < deadline:
            said = terminal.expect([*awaited, pexpect.TIMEOUT], timeout=0.2)
            if said == 0 and typed < _TRIES:
                password = password if not typed else getpass(f"{server}'s password, the last was refused: ")
                terminal.sendline(password)
                typed += 1
            elif said == 0:
                break
            elif said == 1:
                raise RuntimeError(f"ssh to {server} failed: the host is not in known_hosts")
            elif said == 2:
                terminal.close()
                if terminal.exitstatus:
                    raise RuntimeError(f"ssh to {server} failed: {str(terminal.before).strip()}")
                return int(terminal.pid)
    finally:
        terminal.close(force=True)
    raise MaxRetryExceeded(f"ssh to {server}: gave up after {typed} passwords")


# --- paramiko ----------------------------------------------------------------------------------------------


def _paramiko() -> Any:
    try:
        import paramiko
    except ImportError as error:
        raise ImportError(
            "this kind of tunnel needs paramiko: pip install paramiko", name="paramiko"
        ) from error
    return paramiko


def _split_server(server: str) -> tuple[str, str, int]:
    user, at, place = server.rpartition("@")
    host, colon, port = place.partition(":")
    return user if at else getuser(), host, int(port) if colon else 22


def _client(server: str, keyfile: str | None, password: str | None) -> Any:
    """A client that is logged in. Unknown hosts are refused, unless the environment names another policy."""
    paramiko = _paramiko()
    user, host, port = _split_server(server)
    client = paramiko.SSHClient()
    client.load_system_host_keys()
    policy = os.environ.get(_POLICY) or os.environ.get("PYZMQ_PARAMIKO_HOST_KEY_POLICY")
    if policy:
        client.set_missing_host_key_policy(getattr(paramiko, f"{policy}Policy")())
    try:
        client.connect(host, port, username=user, key_filename=keyfile, password=password)
    except BaseException:
        client.close()
        raise
    return client


def _lets_in(server: str, keyfile: str | None) -> bool:
    paramiko = _paramiko()
    try:
        _client(server, keyfile, None).close()
    except paramiko.AuthenticationException:
        return False
    except paramiko.SSHException as error:
        if "No authentication methods" in str(error):  # there is no key either
            return False
        raise RuntimeError(f"ssh to {server} failed: {error}") from error
    return True


def paramiko_tunnel(
    lport: int,
    rport: int,
    server: str,
    remoteip: str = "127.0.0.1",
    keyfile: str | None = None,
    password: str | None = None,
    timeout: int = 60,
) -> Process:
    """Open a tunnel as `openssh_tunnel` does, by paramiko in a process of its own.

    Returns  the process: `terminate` ends the tunnel; so does the end of this program. timeout means nothing.
    Raises   ImportError  paramiko is not installed.
    """
    _paramiko()
    if password is None and not _lets_in(server, keyfile):
        password = getpass(f"{server}'s password: ")
    process = Process(target=_serve, args=(lport, rport, server, remoteip, keyfile, password), daemon=True)
    process.start()
    return process


def _serve(
    lport: int, rport: int, server: str, remoteip: str, keyfile: str | None, password: str | None
) -> None:
    """What the process of a tunnel does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program
    try:
        client = _client(server, keyfile, password)
    except Exception as error:
        sys.exit(f"shmzmq: no tunnel through {server}: {error}")
    forward_tunnel(lport, remoteip, rport, client.get_transport())


ssh_tunnel = paramiko_tunnel if sys.platform == "win32" else openssh_tunnel
