"""A stopped process is slow, not dead: nothing of it is given away, and the others go on."""

from __future__ import annotations

import signal

import history
import pytest

import kit
from kit import wait_until

pytestmark = pytest.mark.slow

SENDER = 5


def receive_until_told(zmq, link, endpoint, journal_path):
    """Connect to the PUSH; note what comes, until there is a word."""
    journal = history.Journal(journal_path)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = 10  # between two looks at the link
        pull.connect(endpoint)
        link.tell("ready")
        while not link.has_word():
            try:
                frames = pull.recv_multipart()
            except zmq.Again:
                continue
            journal.write(*history.prove(frames))
    journal.close()


@pytest.fixture
def pair(zmq, sockets, ipc, run_child, tmp_path):
    """A PUSH that bound, and two PULL in children that have both received from it."""
    push = sockets(zmq.PUSH)
    push.bind(ipc)
    journals = [str(tmp_path / f"journal-{index}") for index in range(2)]
    children = [run_child(receive_until_told, ipc, journal) for journal in journals]
    assert [child.hear() for child in children] == ["ready", "ready"]
    stage = Stage(push, children, journals)
    stage.send_until(lambda: all(map(history.length, journals)), "both to receive")
    return stage


class Stage:
    def __init__(self, push, children, journals):
        self.push, self.children, self.journals = push, children, journals
        self.sent = 0

    def send(self, flags=0):
        self.push.send_multipart(history.message(SENDER, self.sent, [b"body" * (self.sent % 50)]), flags)
        self.sent += 1

    def send_until(self, condition, what):
        def step():
            self.send()
            return condition()

        wait_until(step, what)

    def send_until_refused(self, zmq):
        for _ in range(20_000):
            try:
                self.send(zmq.DONTWAIT)
            except zmq.Again:
                return
        raise AssertionError("20000 messages were accepted while nobody could read")

    def stop(self, index):
        self.children[index].stop()

    def go_on(self, index):
        self.children[index].signal(signal.SIGCONT)

    def received(self):
        return sum(map(history.length, self.journals))

    def expect_all(self):
        """Everything arrives, once and in order per receiver."""
        wait_until(lambda: self.received() >= self.sent, f"{self.sent} messages to arrive", 2 * kit.CAP)
        for child in self.children:
            child.tell("end")
            child.result()
        lives = [history.read(journal) for journal in self.journals]
        for life in lives:
            history.expect_order([life])
        numbers = sorted(note.number for life in lives for note in life)
        assert numbers == list(range(self.sent))


def test_other_receiver_goes_on_while_one_is_stopped_and_nothing_is_lost(pair):
    """5000 messages are more than the stopped one takes at the high-water marks: the rest passes it by."""
    pair.stop(0)
    try:
        before = history.length(pair.journals[0]), history.length(pair.journals[1])
        for _ in range(5000):
            pair.send()
        wait_until(
            lambda: history.length(pair.journals[1]) - before[1] >= 2900,
            "the other receiver to get what the stopped one does not take",
        )
        assert history.length(pair.journals[0]) == before[0]
    finally:
        pair.go_on(0)
    pair.expect_all()


def test_send_waits_while_both_are_stopped_and_goes_on_with_the_first_that_continues(zmq, pair, task):
    pair.stop(0)
    pair.stop(1)
    try:
        pair.send_until_refused(zmq)
        blocked = task(pair.send)
        blocked.wait_blocked()
    finally:
        pair.go_on(1)
    try:
        blocked.result()
    finally:
        pair.go_on(0)
    pair.expect_all()


@pytest.mark.shmzmq_only("libzmq has no counters")
def test_stopped_receiver_is_not_taken_for_dead(pair):
    pair.stop(0)
    try:
        for _ in range(5000):
            pair.send()
        stats = pair.push.stats()
    finally:
        pair.go_on(0)
    assert (stats["disconnected"], stats["discarded_peer_gone"]) == (0, 0)
    pair.expect_all()
