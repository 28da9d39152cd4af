"""Blocks and SIGKILL: what the dead held comes back, what nobody read arrives once, every byte right.

The test process is the survivor. A killed process may have had one message in hand; everything else that was
accepted is received, in order and once, by the lives of its side together. Messages prove themselves
(`history`), so a block that was used again too early is seen.

`SHMZMQ_STRESS_KILLS` sets the kills per test.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import history
import pytest

from kit import CAP, CAP_MS, wait_until

KILLS = int(os.environ.get("SHMZMQ_STRESS_KILLS", "6"))
SEED = int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
MIB = 1 << 20
PLENTY = 60  # seconds that a child waits before it gives up: its parent's caps are shorter
SENDER = 7
SIZES = (5_000, 9_000, 70_000, 300_000, MIB, 3 * MIB)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60 + 10 * KILLS),
    pytest.mark.shmzmq_only("libzmq has no blocks, and loses what was under way to the dead"),
]


@pytest.fixture
def dice(request):
    """Random numbers of this test; its seed is printed when the test fails."""
    print(f"replay with SHMZMQ_SEED={SEED} SHMZMQ_STRESS_KILLS={KILLS}")
    return random.Random(f"{SEED} {request.node.name}")


def body(number, size):
    """Bytes that tell which message they are of, at every page."""
    page = random.Random(number).randbytes(4096)
    return (page * (size // 4096 + 1))[:size]


def lent(socket):
    return socket.stats()["arena_lent"]


def settle(socket):
    wait_until(lambda: lent(socket) == 0, "every block to be back", 2 * CAP)


# --- receivers, which bind ---------------------------------------------------------------------------------


def hold(zmq, link, endpoint, path, count):
    """Bind; receive `count` messages and keep their frames. Then hold still."""
    journal = history.Journal(path)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        link.hear(PLENTY)
        kept = []
        for _ in range(count):
            frames = pull.recv_multipart(copy=False)
            journal.write(*history.prove([frame.bytes for frame in frames]))
            kept.append(frames)
        link.tell(pull.stats()["loans"])
        link.hear(PLENTY)


def hold_and_fork(zmq, link, endpoint, path, count):
    """As `hold`, in two processes: the child of this one looks at the frames when a file says so."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        link.hear(PLENTY)
        kept = [pull.recv(copy=False) for _ in range(count)]
        pid = os.fork()
        if pid == 0:
            deadline = time.monotonic() + PLENTY
            while not os.path.exists(f"{path}-look") and time.monotonic() < deadline:
                time.sleep(0.005)  # the distance between two looks
            right = all(bytes(kept[number]) == body(number, len(kept[number])) for number in range(count))
            Path(f"{path}-writing").write_text(str(right))
            os.rename(f"{path}-writing", f"{path}-seen")
            os._exit(0)
        link.tell(pull.stats()["loans"])
        link.hear(PLENTY)


def take_on(zmq, link, endpoint, path):
    """Bind; receive until the empty message, in the three ways in turn; keep some frames for a while."""
    journal = history.Journal(path)
    kept = []
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo = 2 * CAP_MS
        pull.bind(endpoint)
        link.tell("bound")
        room = bytearray(70 * MIB)
        ways = 0
        while True:
            ways += 1
            if ways % 3 == 0:
                frames = pull.recv_multipart(copy=False)
                parts = [memoryview(frame.buffer) for frame in frames]
                kept = [*kept[-3:], (frames, parts)]
            elif ways % 3 == 1:
                parts = pull.recv_multipart()
            else:
                parts = [pull.recv()]
                while pull.rcvmore:
                    size = pull.recv_into(room)
                    parts.append(bytes(memoryview(room)[:size]))
            if len(parts) == 1 and len(parts[0]) == 0:
                break
            journal.write(*history.prove(parts))
        kept.clear()
        del parts
    journal.close()


class Story:
    """A PUSH that connects, and the binders that its endpoint had."""

    def __init__(self, push, endpoint, run_child, directory, dice):
        self.push, self.endpoint, self.run_child, self.dice = push, endpoint, run_child, dice
        self.directory, self.journals, self.accepted, self.killed = Path(directory), [], 0, 0

    def binder(self, function, *args):
        path = str(self.directory / f"life-{len(self.journals)}")
        self.journals.append(path)
        child = self.run_child(function, self.endpoint, path, *args)
        assert child.hear() == "bound"
        return child

    def send(self, *sizes):
        """One message; its bodies are copied to blocks, or written there, in turn."""
        bodies = [self.dice.randbytes(4096) * (size // 4096 + 1) for size in sizes]
        bodies = [each[:size] for each, size in zip(bodies, sizes, strict=True)]
        header, *parts = history.message(SENDER, self.accepted, bodies)
        if self.accepted % 2:
            blocks = [self.push.alloc(len(part)) for part in parts]
            for block, part in zip(blocks, parts, strict=True):
                memoryview(block)[:] = part
            parts = blocks
        self.push.send_multipart([header, *parts])
        self.accepted += 1

    def kill(self, child):
        child.kill()
        self.killed += 1

    def expect_rest(self, in_hand):
        last = self.binder(take_on)
        self.push.send(b"")
        last.result(4 * CAP)
        lives = [history.read(path) for path in self.journals]
        history.expect_order(lives)
        history.expect_complete(lives, {SENDER: self.accepted}, in_hand)
        settle(self.push)
        return [len(life) for life in lives]


@pytest.fixture
def story(zmq, sockets, ipc, run_child, tmp_path, dice):
    push = sockets(zmq.PUSH, reconnect_ivl=10, sndtimeo=4 * CAP_MS)
    push.connect(ipc)
    return Story(push, ipc, run_child, tmp_path, dice)


@pytest.mark.parametrize("unread", [0, 1, 7])
def test_blocks_of_a_killed_holder_come_back_and_the_unread_ones_go_to_the_next(story, unread):
    held = 6
    binder = story.binder(hold, held)
    for number in range(held + unread):
        story.send(SIZES[number % len(SIZES)], 100, 20_000)
    binder.tell("receive")
    assert binder.hear(4 * CAP) == 2 * held
    assert lent(story.push) >= 2 * held
    story.kill(binder)
    settle(story.push)
    # The blocks that came back are used again while those that nobody read still wait.
    for _ in range(5):
        story.send(*story.dice.sample(SIZES, 3))
    assert story.expect_rest(in_hand=0) == [held, unread + 5]


@pytest.mark.parametrize("chance", range(KILLS))
def test_receiver_killed_while_it_copies_a_large_block_leaves_it_to_the_next(story, chance):
    binder = story.binder(take_on)
    story.send(10)
    wait_until(lambda: history.read(story.journals[0]), "the first message to be received")
    for size in (64 * MIB, 9_000, 32 * MIB, 70_000):
        story.send(size)
    time.sleep(story.dice.random() * 0.1)  # somewhere between the first page and the last message
    story.kill(binder)
    settle(story.push)
    story.send(64 * MIB)
    story.send(6_000, 6_000)
    story.expect_rest(in_hand=1)


def test_killed_binders_one_after_the_other_lose_nothing_that_was_not_in_hand(story):
    """Kills at any time, also between two frames of a message and while blocks are given back."""
    for _ in range(KILLS):
        binder = story.binder(take_on)
        for _ in range(story.dice.randrange(1, 40)):
            story.send(*story.dice.sample(SIZES, story.dice.randrange(1, 4)))
        story.kill(binder)
    settle(story.push)
    story.expect_rest(in_hand=KILLS)


def test_killed_receiver_whose_forked_child_lives_on_holds_no_block(story, tmp_path):
    """The child has copies of what was held at the fork: the blocks are the sender's again."""
    count, size = 5, 300_000
    binder = story.binder(hold_and_fork, count)
    path = story.journals.pop()
    for number in range(count):
        story.push.send(body(number, size))
    binder.tell("receive")
    assert binder.hear(4 * CAP) == count
    binder.kill()
    settle(story.push)
    for _ in range(2 * count):
        story.send(size)
    Path(f"{path}-look").touch()
    wait_until(lambda: os.path.exists(f"{path}-seen"), "the child to look at its frames", 4 * CAP)
    assert Path(f"{path}-seen").read_text() == "True", "bytes changed under the forked child"
    assert story.expect_rest(in_hand=0) == [2 * count]


# --- senders, which connect --------------------------------------------------------------------------------


def send_on(zmq, link, me, endpoint, path, seed):
    """Connect; send messages of all sizes without end, half of them written in place."""
    journal = history.Journal(path)
    dice = random.Random(seed)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndtimeo = 4 * CAP_MS
        push.set(zmq.ARENA_MAX, 48 * MIB)
        push.connect(endpoint)
        link.tell("connected")
        number = 0
        while True:
            sizes = dice.sample(SIZES, dice.randrange(1, 4))
            header, *parts = history.message(me, number, [dice.randbytes(size) for size in sizes])
            if number % 2:
                blocks = [push.alloc(len(part)) for part in parts]
                for block, part in zip(blocks, parts, strict=True):
                    memoryview(block)[:] = part
                parts = blocks
            push.send_multipart([header, *parts])
            journal.write(me, number)
            number += 1


def test_messages_of_a_killed_sender_are_whole_and_all_there(zmq, sockets, ipc, run_child, tmp_path, dice):
    """Killed while it fills a block, while it copies, while it sends: what it published is received."""
    pull = sockets(zmq.PULL, rcvtimeo=2 * CAP_MS)
    pull.bind(ipc)
    for me in range(KILLS):
        path = str(tmp_path / f"sender-{me}")
        child = run_child(send_on, me, ipc, path, dice.randrange(1 << 32))
        assert child.hear() == "connected"
        received, kept = [], []
        aim = dice.randrange(1, 60)
        while len(received) < aim:
            frames = pull.recv_multipart(copy=False)
            kept = [*kept[-4:], frames]
            received.append(history.prove([frame.bytes for frame in frames]))
        child.kill()
        sent = len(history.read(path))
        wait_until(lambda want=me + 1: pull.stats()["disconnected"] == want, "the death to be seen")
        while pull.poll(0):
            received.append(history.prove(pull.recv_multipart()))
        assert received == [(me, number) for number in range(len(received))]
        assert sent <= len(received) <= sent + 1, f"{sent} sent, {len(received)} received"
        for frames in kept:
            history.prove([frame.bytes for frame in frames])
        kept.clear()
        del frames
    wait_until(lambda: pull.stats()["loans"] == 0, "no frame to be held")
