"""What a binder leaves unread when it dies or closes goes to its successor: all, in order, none twice.

The test process is the connected PUSH; each binder is a child that reads as much as it is told to. What a
binder has read it has journalled, so the successor must get exactly the rest; only of a killed binder the one
message that it had in hand may be missing.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import history
import pytest

from kit import CAP, CAP_MS, Possessions, stays_asleep, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shmzmq_only("libzmq loses what was under way to the binder that died or closed"),
]

PLENTY = 60  # seconds that a child waits before it gives up: its parent's caps are shorter
SENDER = 7
SEED = int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.fixture
def dice(request):
    """Random numbers of this test; its seed is printed when the test fails."""
    print(f"replay with SHMZMQ_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


# --- the two sides -----------------------------------------------------------------------------------------


def read_so_many(zmq, link, endpoint, journal_path, count, parts_of_the_next=0):
    """Bind, wait for the word, receive `count` messages and this many frames of another; hold still.

    The next word ends the process by a clean close.
    """
    journal = history.Journal(journal_path)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        link.hear(PLENTY)
        for _ in range(count):
            journal.write(*history.prove(pull.recv_multipart()))
        for _ in range(parts_of_the_next):
            pull.recv()
        link.tell("read")
        link.hear(PLENTY)
    journal.close()


def read_to_the_end(zmq, link, endpoint, journal_path):
    """Bind and receive until the empty message."""
    journal = history.Journal(journal_path)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        while (frames := pull.recv_multipart()) != [b""]:
            journal.write(*history.prove(frames))
        assert not pull.poll(0), f"something followed the last message: {pull.recv_multipart()!r:.200}"
    journal.close()


class Story:
    """One PUSH and the binders that its endpoint had, one after the other."""

    def __init__(self, push, endpoint, run_child, directory, dice):
        self.push, self.endpoint, self.run_child, self.dice = push, endpoint, run_child, dice
        self.directory = Path(directory)
        self.journals = []
        self.accepted = 0
        self.killed = 0

    def binder(self, function, *args):
        """The next binder, which has bound."""
        path = str(self.directory / f"life-{len(self.journals)}")
        self.journals.append(path)
        child = self.run_child(function, self.endpoint, path, *args)
        assert child.hear() == "bound"
        return child

    def send(self, count, least_bodies=0):
        for _ in range(count):
            bodies = history.bodies(self.dice)
            bodies += [b"one more"] * (least_bodies - len(bodies))
            self.push.send_multipart(history.message(SENDER, self.accepted, bodies))
            self.accepted += 1

    def kill(self, child):
        child.kill()
        self.killed += 1

    def let_go(self, child):
        """The binder closes its socket and its context and ends."""
        child.tell("close")
        child.result()

    def expect_rest(self, in_hand):
        """A last binder gets what is left; all lives together got everything, but `in_hand` at most."""
        last = self.binder(read_to_the_end)
        self.push.send(b"")
        last.result()
        lives = [history.read(path) for path in self.journals]
        history.expect_order(lives)
        history.expect_complete(lives, {SENDER: self.accepted}, in_hand)
        return lives


@pytest.fixture
def story(zmq, sockets, ipc, run_child, tmp_path, dice):
    push = sockets(zmq.PUSH, reconnect_ivl=10)
    push.connect(ipc)
    return Story(push, ipc, run_child, tmp_path, dice)


def connected(story):
    """Wait until the PUSH has a ring to its present binder."""
    wait_until(lambda: story.push.stats()["connected"] == len(story.journals), "the PUSH to connect")


def disconnected(story):
    """Wait until the PUSH has seen the end of its only connection."""
    wait_until(lambda: story.push.stats()["disconnected"] == 1, "the PUSH to lose its binder")


ENDS = ["killed", "closed"]


def end(story, binder, how):
    (story.kill if how == "killed" else story.let_go)(binder)


# --- a binder that has read nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [900, 1900])
@pytest.mark.parametrize("how", ENDS)
def test_successor_receives_all_that_its_predecessor_did_not_read(story, count, how):
    binder = story.binder(read_so_many, 0)
    connected(story)
    story.send(count)
    if how == "closed":
        binder.tell("read nothing")
        binder.hear()
    end(story, binder, how)
    lives = story.expect_rest(in_hand=0)
    assert [len(life) for life in lives] == [0, count]


def test_successor_receives_what_was_sent_before_during_and_after_the_kill(story):
    story.send(100)
    binder = story.binder(read_so_many, 0)
    connected(story)
    story.send(400)
    story.kill(binder)
    story.send(300)  # while the death is noticed, or not yet
    disconnected(story)
    story.send(50)
    lives = story.expect_rest(in_hand=0)
    assert [len(life) for life in lives] == [0, 850]


def test_large_messages_reach_the_successor(story):
    """They lie in the sender's arena: what the dead binder had is not lost and goes on from there."""
    binder = story.binder(read_so_many, 0)
    connected(story)
    for size in (10, 100_000, 10, 1 << 20, 10, 4 << 20, 0):
        body = story.dice.randbytes(size)
        story.push.send_multipart(history.message(SENDER, story.accepted, [body, body[:7]]))
        story.accepted += 1
    assert story.push.stats()["arena_lent"] > 0
    story.kill(binder)
    story.expect_rest(in_hand=0)


# --- a binder that has read some ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("chance", range(4))
def test_successor_receives_exactly_the_rest(story, how, chance):
    """What the binder has read it has noted: nothing is in hand, so nothing may be missing."""
    count = 1000
    read = story.dice.randrange(1, count)
    binder = story.binder(read_so_many, read)
    connected(story)
    story.send(count)
    binder.tell("read")
    assert binder.hear() == "read"
    end(story, binder, how)
    lives = story.expect_rest(in_hand=0)
    assert [len(life) for life in lives] == [read, count - read]


@pytest.mark.parametrize("how", ENDS)
def test_successor_receives_nothing_when_all_was_read(story, how):
    binder = story.binder(read_so_many, 500)
    connected(story)
    story.send(500)
    binder.tell("read")
    assert binder.hear() == "read"
    end(story, binder, how)
    lives = story.expect_rest(in_hand=0)
    assert [len(life) for life in lives] == [500, 0]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_message_of_which_a_part_was_read_is_not_given_again(story, how, frames):
    """Its receiver had it in hand; whole messages beyond it go to the successor."""
    read = story.dice.randrange(400)
    binder = story.binder(read_so_many, read, frames)
    connected(story)
    story.send(900, least_bodies=3)
    binder.tell("read")
    assert binder.hear() == "read"
    end(story, binder, how)
    lives = story.expect_rest(in_hand=1)
    assert [len(life) for life in lives] == [read, 900 - read - 1]
    assert not lives[1] or lives[1][0].number == read + 1


# --- several ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_third_binder_receives_what_two_left(story, first, second):
    shares = [story.dice.randrange(300), story.dice.randrange(300)]
    for how, share, sent in zip((first, second), shares, (900, 100), strict=True):
        binder = story.binder(read_so_many, share)
        connected(story)
        story.send(sent)
        binder.tell("read")
        assert binder.hear() == "read"
        end(story, binder, how)
    lives = story.expect_rest(in_hand=0)
    assert [len(life) for life in lives] == [*shares, 1000 - sum(shares)]


def test_nothing_is_lost_when_binders_die_before_they_have_shaken_hands(story):
    """Killed as soon as they have bound: at some point between dialling and the first message."""
    story.send(300)
    for _ in range(5):
        story.kill(story.binder(read_so_many, 0))
    lives = story.expect_rest(in_hand=0)
    assert len(lives[-1]) == 300


# --- the sender meanwhile ----------------------------------------------------------------------------------


def test_sender_that_does_not_call_the_library_hands_over_all_the_same(story):
    """The I/O thread does it: from the kill to the successor's last message the PUSH is not touched."""
    binder = story.binder(read_so_many, 100)
    connected(story)
    story.send(900)
    story.push.send(b"")
    binder.tell("read")
    assert binder.hear() == "read"
    story.kill(binder)
    last = story.binder(read_to_the_end)
    last.result()
    lives = [history.read(path) for path in story.journals]
    history.expect_order(lives)
    assert [len(life) for life in lives] == [100, 800]


def test_sender_that_has_closed_and_lingers_hands_over_all_the_same(zmq, story):
    binder = story.binder(read_so_many, 100)
    connected(story)
    story.send(900)
    story.push.send(b"")
    binder.tell("read")
    assert binder.hear() == "read"
    story.kill(binder)
    disconnected(story)
    story.push.close(linger=2 * CAP_MS)
    story.binder(read_to_the_end).result()
    lives = [history.read(path) for path in story.journals]
    history.expect_order(lives)
    assert [len(life) for life in lives] == [100, 800]


def send_blocked(zmq, link, endpoint, count, seed):
    """Send more than is accepted without a reader."""
    dice = random.Random(seed)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndtimeo = PLENTY * 1000
        push.reconnect_ivl = 10
        push.connect(endpoint)
        link.tell("connected")
        for number in range(count):
            push.send_multipart(history.message(SENDER, number, history.bodies(dice)))
        push.send(b"")
        link.tell("all sent")


@pytest.mark.parametrize("how", ENDS)
def test_sender_that_is_blocked_goes_on_with_the_successor(story, run_child, how):
    """Its call does not return, nor fail, and the message it was sending keeps its place."""
    story.push.disconnect(story.endpoint)  # the sender is another process: this test needs to see it asleep
    binder = story.binder(read_so_many, 50)
    sender = run_child(send_blocked, story.endpoint, 4000, story.dice.random())
    sender.hear()
    binder.tell("read")
    assert binder.hear() == "read"
    wait_until(lambda: stays_asleep(sender.pid), "the sender to block in send", 2 * CAP)
    end(story, binder, how)
    assert not sender.has_word()
    last = story.binder(read_to_the_end)
    last.result(4 * CAP)
    assert sender.hear() == "all sent"
    sender.result()
    lives = [history.read(path) for path in story.journals]
    history.expect_order(lives)
    assert [len(life) for life in lives] == [50, 3950]


def test_successor_needs_no_longer_than_the_reconnect_interval_asks(story):
    """Generous: a hundred times the interval of 10 ms."""
    binder = story.binder(read_so_many, 0)
    connected(story)
    story.send(900)
    story.kill(binder)
    began = time.monotonic()
    story.expect_rest(in_hand=0)
    assert time.monotonic() - began < 3.0


# --- what is kept of binders that ended --------------------------------------------------------------------


def possessions():
    """Maps of segments, and fds but for the counters file, which comes a while after the first socket."""
    now = Possessions()
    fds = [target for target in now.fds.values() if not target.startswith("/dev/shm/shmzmq-")]
    return len(now.segments), len(fds)


@pytest.mark.parametrize("connecter", ["PUSH", "DEALER"])
def test_connecter_that_never_reads_keeps_no_map_and_no_fd_of_binders_that_ended(
    zmq, sockets, new_context, ipc, connecter
):
    """Once its binder is gone a connecter holds what it held before: each further binder costs nothing."""
    sender = sockets(getattr(zmq, connecter), reconnect_ivl=5)
    sender.connect(ipc)
    elsewhere = new_context()
    held = []
    for _ in range(4):
        binder = sockets(zmq.PULL if connecter == "PUSH" else zmq.DEALER, context=elsewhere)
        binder.bind(ipc)
        sender.send(b"message")
        assert binder.recv() == b"message"
        binder.close()
        wait_until(lambda: sender.stats()["disconnected"] == len(held) + 1, "the connecter to see the end")
        del binder
        held.append(possessions())
        # The binder's own thread may close its last fds a little later.
        wait_until(lambda: possessions() <= min(held), f"what there was before; maps and fds so far: {held}")
