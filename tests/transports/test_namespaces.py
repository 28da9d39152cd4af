"""Peers in containers: each in pid, network, IPC and mount namespaces of its own.

They share a folder and the user: docs/guide/containers.md.
"""

from __future__ import annotations

import contextlib
import functools
import json
import select
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.shmzmq_only("pyzmq has no rings")]

APART = ("unshare", "--pid", "--net", "--ipc", "--mount", "--fork", "--kill-child", "--mount-proc")
CAP_SECONDS = 30

PEER = """
import json, sys, time
import shmzmq as zmq

def say(**words):
    print(json.dumps(words), flush=True)

with zmq.Context() as context, context.socket(zmq.PAIR) as pair:
    pair.linger = 0
    pair.rcvtimeo = pair.sndtimeo = 20_000
    getattr(pair, sys.argv[1])(sys.argv[2])
    say(ready=True)
    pair.wait_for_peers(1, 20_000)
    pair.send(bytes(range(256)) * 4096)
    whole = pair.recv() == bytes(range(256)) * 4096
    (peer,) = pair.peers()
    say(whole=whole, transport=peer["transport"], pid=peer["pid"])
    deadline = time.monotonic() + 20
    while any(peer["transport"] == "ring" for peer in pair.peers()) and time.monotonic() < deadline:
        time.sleep(0.01)
    say(transports=[peer["transport"] for peer in pair.peers()])
"""


@functools.cache
def why_not() -> str:
    """Why such namespaces cannot be made here; empty if they can."""
    if shutil.which("unshare") is None:
        return "needs unshare(1): install util-linux"
    tried = subprocess.run([*APART, "true"], capture_output=True, text=True, check=False)
    return f"namespaces cannot be made here: {tried.stderr.strip()}" if tried.returncode else ""


@pytest.fixture
def apart(ipc):
    """A function that starts a peer in namespaces of its own; its argument: bind or connect."""
    if why := why_not():
        pytest.skip(why)
    started = []

    def start(how):
        command = [*APART, sys.executable, "-c", PEER, how, ipc]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()


def hear(process):
    """What a peer says next."""
    ready, _, _ = select.select([process.stdout], [], [], CAP_SECONDS)
    assert ready, f"waited {CAP_SECONDS} s for a word of the peer"
    return json.loads(process.stdout.readline())


def test_peers_that_share_a_folder_and_nothing_else_have_rings_and_see_each_other_die(apart):
    binder = apart("bind")
    assert hear(binder) == {"ready": True}
    connecter = apart("connect")
    assert hear(connecter) == {"ready": True}
    for peer in (binder, connecter):
        # A process that one's own pid namespace does not see has the pid 0 there (unix(7), SO_PEERCRED).
        assert hear(peer) == {"whole": True, "transport": "ring", "pid": 0}
    connecter.kill()  # unshare dies, and with it the namespace
    assert hear(binder) == {"transports": []}
    assert binder.wait(CAP_SECONDS) == 0
