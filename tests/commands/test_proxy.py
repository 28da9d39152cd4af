"""`shmzmq proxy` between peers of either library, and how it ends."""

import contextlib
import signal

import pytest

import shell
from shmzmq.commands import main

pytestmark = pytest.mark.slow

ANY = "@tcp://127.0.0.1:*"


def bound(process):
    """Where a side was bound; the line before it says what the * became."""
    process.stderr.readline()
    return shell.bound_port(process)


@pytest.fixture
def proxy():
    """Start a proxy with both sides bound to free ports; the process and its two endpoints."""
    with contextlib.ExitStack() as stack:

        def start(kind):
            process = stack.enter_context(shell.running("proxy", "--type", kind, ANY, ANY))
            return process, bound(process), bound(process)

        yield start


def test_queue_passes_requests_and_brings_answers_back(proxy, peers):
    _, front, back = proxy("queue")
    asker, worker = peers.connected("REQ", front), peers.connected("REP", back)
    asker.send_multipart([b"two", b"frames"])
    assert worker.recv_multipart() == [b"two", b"frames"]
    worker.send(b"answer")
    assert asker.recv() == b"answer"


def test_forwarder_passes_what_is_subscribed_to(proxy, peers):
    _, front, back = proxy("forwarder")
    publisher = peers.connected("XPUB", front)
    subscriber = peers.socket("SUB")
    subscriber.subscribe("b")
    subscriber.connect(back)
    assert publisher.recv() == b"\x01b"
    publisher.send(b"a1")
    publisher.send(b"b1")
    assert subscriber.recv() == b"b1"


def test_streamer_passes_every_message_in_order(proxy, peers):
    _, front, back = proxy("streamer")
    push, pull = peers.connected("PUSH", front), peers.connected("PULL", back)
    for number in range(100):
        push.send(b"%d" % number)
    assert [pull.recv() for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_capture_shows_what_passes(peers, folder):
    args = ("--type", "streamer", "--capture", f"ipc://{folder}/tap", ANY, f"@ipc://{folder}/back")
    tap, _ = peers.bound("SUB", f"ipc://{folder}/tap")
    tap.subscribe("")
    with shell.running("proxy", *args) as process:
        push = peers.connected("PUSH", bound(process))
        pull = peers.connected("PULL", f"ipc://{folder}/back")
        # A PUB drops what it sends before the subscription is there.
        while not tap.poll(20):
            push.send(b"seen")
            assert pull.recv() == b"seen"
        assert tap.recv() == b"seen"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_proxy_ended_by_a_signal_is_quiet_and_says_so_in_its_exit_code(signum, proxy):
    process, _, _ = proxy("queue")
    process.send_signal(signum)
    assert shell.end(process) == (128 + signum, "", "")


def test_side_that_is_taken_is_said_in_one_line_and_exits_1(peers, capsys):
    _, endpoint = peers.bound("PULL")
    assert main(["proxy", "--type", "streamer", ANY, f"@{endpoint}"]) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"shmzmq proxy: cannot bind '{endpoint}': Address already in use")
