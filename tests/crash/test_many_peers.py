"""A thousand processes and one PULL, with no more than 1024 fds; then all are silent, and nobody wakes."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings

import pytest

import kit
from kit import wait_until

PEERS = int(os.environ.get("SHMZMQ_STRESS_PEERS", "1000"))
SOFT_LIMIT = 1024
MESSAGES = 3  # of each
CAP = 20
QUIET_SECONDS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * CAP + QUIET_SECONDS),
    pytest.mark.shmzmq_only("libzmq needs an fd per connection and fails at the limit"),
]


def run_forked(function, *args):
    """Fork a child that runs the function and ends; return its pid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the fixtures run a thread of their own
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        function(*args)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def push_and_stay(zmq, endpoint, me, stay):
    """Send, and stay connected until the pipe `stay` is closed."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndtimeo = CAP * 1000
        push.connect(endpoint)
        for number in range(MESSAGES):
            push.send_multipart([b"%d" % me, b"%d" % number])
        os.read(stay, 1)


def receive_from_all(zmq, endpoint, report, stay):
    """Under the limit: bind, receive everything, say so, and receive until the pipe `stay` is closed."""
    # A binder of its own begins with few fds; what a test runner has open is not what is counted here.
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in (report, stay):
            with contextlib.suppress(OSError):
                os.close(fd)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_LIMIT, hard))
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP * 1000
        pull.bind(endpoint)
        os.write(report, b"bound\n")
        numbers = [0] * PEERS
        for count in range(PEERS * MESSAGES):
            try:
                peer, number = map(int, pull.recv_multipart())
            except zmq.Again:
                silent = [peer for peer, seen in enumerate(numbers) if seen < MESSAGES]
                raise AssertionError(
                    f"waited {CAP} s for message {count}; {len(silent)} peers are missing: {silent[:10]}; "
                    f"{pull.stats()}"
                ) from None
            assert number == numbers[peer], f"peer {peer}: {number} instead of {numbers[peer]}"
            numbers[peer] += 1
        stats = pull.stats()
        fds = len(os.listdir("/proc/self/fd"))
        os.write(report, f"all {stats['connected'] - stats['disconnected']} {fds}\n".encode())
        os.read(stay, 1)
        assert not pull.poll(0), f"a message too many: {pull.recv_multipart()}"
    os.write(report, b"closed\n")


def system_calls_of(pid, seconds):
    """What strace saw of the process and its threads in so many seconds, as its table."""
    strace = subprocess.Popen(
        ["timeout", "-s", "INT", str(seconds), "strace", "-f", "-c", "-p", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, table = strace.communicate(timeout=seconds + 20)
    assert "attached" in table, f"strace did not attach: {table}"
    return table


def calls_in(table):
    """How often each system call was made, from strace's table."""
    rows = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0].replace(".", "").isdigit() and fields[-1] != "total":
            rows[fields[-1]] = int(fields[3])
    return rows


def has_ended(pid):
    """True if the process is gone, or waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Crowd:
    """The children: each waits on its pipe, which closes when this process lets go of it."""

    def __init__(self):
        self.pids = {}

    def add(self, function, *args):
        pid = run_forked(function, *args)
        self.pids[pid] = function.__name__
        return pid

    def reap(self, cap=CAP):
        """How each child that failed has ended."""
        failed = {}

        def all_gone():
            for pid in list(self.pids):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    name = self.pids.pop(pid)
                    if status:
                        failed[pid] = f"{name}: {os.waitstatus_to_exitcode(status)}"
            return not self.pids

        wait_until(all_gone, "the children to end", cap)
        return failed

    def dismiss(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.fixture
def crowd():
    found = Crowd()
    yield found
    found.dismiss()


def read_line(fd, what):
    """The next line of the receiver."""
    reader = kit.Task(os.read, fd, 4000)
    line = reader.result(CAP + 10)
    assert line, f"waited for {what}, but the receiver ended"
    assert not line.startswith(b"failed"), line.decode()
    return line.decode().split()


def test_thousand_forked_peers_are_heard_within_1024_fds_and_a_quiet_binder_makes_no_system_call(
    zmq, ipc, crowd
):
    out, report = os.pipe()
    stay, let_go = os.pipe()

    def child(function, *args):
        def run():
            os.close(let_go)
            os.close(out)
            function(*args)

        run.__name__ = function.__name__
        return crowd.add(run)

    try:
        binder_stay, binder_let_go = os.pipe()

        def binder():
            os.close(binder_let_go)
            try:
                receive_from_all(zmq, ipc, report, binder_stay)
            except AssertionError as error:
                os.write(report, f"failed: {error}".encode())
                raise

        pid = child(binder)
        assert read_line(out, "the bind") == ["bound"]
        began = time.monotonic()
        for me in range(PEERS):

            def peer(me=me):
                os.close(binder_let_go)
                push_and_stay(zmq, ipc, me, stay)

            child(peer)
        os.close(report)
        report = None
        word, connected, fds = read_line(out, "all messages")
        print(f"{PEERS} peers in {time.monotonic() - began:.1f} s; the binder has {fds} fds")
        assert (word, int(connected)) == ("all", PEERS)
        if shutil.which("strace") is None:
            quiet = "needs strace(1) to count system calls: install it"
        else:
            quiet = ""
            wait_until(lambda: kit.stays_asleep(pid), "the binder's main thread to sleep")
            made = calls_in(system_calls_of(pid, QUIET_SECONDS))
        os.close(let_go)
        let_go = None
        wait_until(lambda: all(map(has_ended, set(crowd.pids) - {pid})), "the peers to end", CAP)
        os.close(binder_let_go)
        binder_let_go = None
        assert not crowd.reap()
        if quiet:
            pytest.skip(quiet)
        assert not made, f"system calls of a binder with nothing to do, in {QUIET_SECONDS} s: {made}"
    finally:
        for fd in (out, report, stay, let_go, binder_stay, binder_let_go):
            if fd is not None:
                os.close(fd)
