"""A sender dies just while its receiver's I/O thread looks at the connection: the unlucky moments, made sure.

The moment is held open with strace, which delays a system call of the receiver.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from kit import CAP_MS, wait_until

pytestmark = pytest.mark.slow

RECEIVER = """
import importlib, sys
zmq = importlib.import_module(sys.argv[1])
with zmq.Context() as context, context.socket(zmq.PULL) as pull:
    pull.bind(sys.argv[2])
    pull.rcvtimeo = 10_000
    print("bound", flush=True)
    while (message := pull.recv()) != b"last":
        print(len(message), flush=True)
    print("last", flush=True)
"""
DELAY_SECONDS = 1.0


def grow_twice(zmq, link, endpoint):
    """Make the arena grow when told to, twice; the second time put a last message behind it."""
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.sndtimeo = CAP_MS
    push.connect(endpoint)
    push.send(b"hello")
    for size in (1 << 20, 8 << 20):
        link.hear(30)
        push.send(bytes(size))
        link.tell("sent")
    push.send(b"last")
    link.tell("sent")
    link.hear(30)


@pytest.mark.shmzmq_only("libzmq loses what its I/O thread has not written")
@pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace(1) to hold the moment open: install it"
)
def test_memory_that_was_announced_while_the_death_was_being_asked_for_is_read(
    backend, ipc, run_child, tmp_path
):
    """The I/O thread has read the channel, its sender announces memory, fills it and dies, and only then does
    the thread ask whether the sender lives: the announcement must be read before the connection is ended."""
    trace = tmp_path / "trace"
    delayed = f"inject=poll,ppoll:delay_enter={int(DELAY_SECONDS * 1e6)}"
    strace = ["strace", "-f", "-o", str(trace), "-e", "trace=poll,ppoll,recvmsg", "-e", delayed]
    receiver = subprocess.Popen(
        [*strace, sys.executable, "-c", RECEIVER, backend, ipc], stdout=subprocess.PIPE, text=True
    )
    try:
        assert receiver.stdout.readline() == "bound\n"
        sender = run_child(grow_twice, ipc)
        assert receiver.stdout.readline() == "5\n"

        def quiet():
            lines = trace.read_text().splitlines()[-2:]
            return "EAGAIN" in "".join(lines) and "<unfinished" not in lines[-1]

        wait_until(quiet, "the receiver's I/O thread to have nothing more to do", 6 * DELAY_SECONDS)
        sender.tell("grow")
        sender.hear()
        wait_until(
            lambda: "EAGAIN" in trace.read_text().partition("ARENAnumber=1")[2],
            "the receiver's I/O thread to take the first segment and find the channel empty behind it",
        )
        sender.tell("grow again")
        sender.hear()
        sender.hear()
        sender.kill()
        rest, _ = receiver.communicate(timeout=20)
    finally:
        receiver.send_signal(signal.SIGKILL)
        receiver.wait()
        receiver.stdout.close()
    assert rest.split() == [str(1 << 20), str(8 << 20), "last"]
