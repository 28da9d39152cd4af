"""Random SIGKILLs of senders, receivers and binders, under load; what was published arrives, once and whole.

After every kill the victim is replaced and the stage settles: senders pause and send one message more, and
everything that was accepted must have arrived; what the survivors hold must be what they held before the
kill. So a failure belongs to one kill. A kill waits for the stage to be settled because what is only in the
memory of one process (the queue before a connection) dies with it, by design.

`SHMZMQ_STRESS_KILLS` sets the kills per test.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
from collections import Counter
from pathlib import Path

import history
import pytest

from kit import Possessions, wait_until
from shmzmq import counters

KILLS = int(os.environ.get("SHMZMQ_STRESS_KILLS", "12"))
SEED = int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CAP = 20.0  # seconds for the stage to settle
TICK_MS = 10  # between two looks at the link
WINDOW = 300  # requests of a DEALER without an answer
FIRST_SLEEP = ["anon_inode:[eventpoll]"]  # a process makes one when a thread first sleeps, and keeps it
WHOLE_TEST = 60 + 3 * KILLS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(WHOLE_TEST),
    pytest.mark.shmzmq_only("libzmq loses what was under way to a peer that died"),
]


# --- the roles: words are "pause" (answered with the count), "go" and "stop" -------------------------------


def leaves_nothing(role):
    """The role fails if it ends with an fd, a thread or a segment that it did not begin with."""

    @functools.wraps(role)
    def checked(zmq, *args):
        before = Possessions()
        role(zmq, *args)
        wait_until(
            lambda: not Possessions().gained_since(before),
            "what the context had to go",
        )

    return checked


class Sending:
    """The numbers of one sender: proves, notes and counts what it publishes."""

    def __init__(self, me, socket, journal_path, seed):
        self.me, self.socket, self.count = me, socket, 0
        self.journal = history.Journal(journal_path)
        self.dice = random.Random(f"{seed} {me}")

    def publish(self):
        self.socket.send_multipart(history.message(self.me, self.count, history.bodies(self.dice)))
        self.journal.write(self.me, self.count)
        self.count += 1


def attach(socket, how, endpoint):
    socket.reconnect_ivl = 10
    getattr(socket, how)(endpoint)


@leaves_nothing
def push(zmq, link, me, how, endpoint, journal_path, seed):
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.sndtimeo = int(CAP * 1000)
        attach(socket, how, endpoint)
        sending = Sending(me, socket, journal_path, seed)
        link.tell("ready")
        while True:
            if link.has_word():
                word = link.hear()
                if word == "pause":
                    sending.publish()
                    link.tell(sending.count)
                    word = link.hear(3 * CAP)
                if word == "stop":
                    break
            sending.publish()
    sending.journal.close()


@leaves_nothing
def pull(zmq, link, me, how, endpoint, journal_path, _seed):
    journal = history.Journal(journal_path)
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.rcvtimeo = TICK_MS
        attach(socket, how, endpoint)
        link.tell("ready")
        while not link.has_word():
            try:
                frames = socket.recv_multipart()
            except zmq.Again:
                continue
            journal.write(*history.prove(frames))
    journal.close()


@leaves_nothing
def dealer(zmq, link, me, how, endpoint, journal_path, seed):
    answers = history.Journal(f"{journal_path}-answers")
    answered = -1
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.sndtimeo = int(CAP * 1000)
        attach(socket, how, endpoint)
        sending = Sending(me, socket, journal_path, seed)
        link.tell("ready")
        paused = False
        while True:
            if link.has_word():
                word = link.hear()
                if word == "stop":
                    break
                paused = word == "pause"
                if paused:
                    sending.publish()
                    link.tell(sending.count)
            if not paused and sending.count - answered < WINDOW:
                sending.publish()
                wait = 0
            else:
                wait = TICK_MS
            while socket.poll(wait):
                sender, answered = history.prove(socket.recv_multipart())
                assert sender == me, f"the answer to {answered} of {sender} came to {me}"
                answers.write(sender, answered)
                wait = 0
    sending.journal.close()
    answers.close()


@leaves_nothing
def router(zmq, link, me, how, endpoint, journal_path, _seed):
    journal = history.Journal(journal_path)
    answers = history.Journal(f"{journal_path}-answers")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.rcvtimeo = TICK_MS
        socket.sndtimeo = int(CAP * 1000)
        socket.router_mandatory = 1
        attach(socket, how, endpoint)
        link.tell("ready")
        while not link.has_word():
            try:
                peer, *frames = socket.recv_multipart()
            except zmq.Again:
                continue
            sender, number = history.prove(frames)
            journal.write(sender, number)
            try:
                socket.send_multipart([peer, *history.message(sender, number, frames[1:])])
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
            else:
                answers.write(sender, number)
    journal.close()
    answers.close()


# --- the stage ---------------------------------------------------------------------------------------------


ARENA_FD = "/memfd:shmzmq-arena (deleted)"


class Held:
    """What a process holds: fds by kind, threads, and the segments that it has mapped."""

    def __init__(self, pid):
        proc = Path("/proc", str(pid))
        self.fds = Counter()
        for fd in (proc / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                name = os.readlink(fd)
                if not name.startswith(
                    "/dev/shm/shmzmq-"
                ):  # one per process, some time after its first socket
                    self.fds[re.sub(r"[0-9]+", "N", name)] += 1
        self.threads = len(list((proc / "task").iterdir()))
        self.segments = Counter()
        self.connections = set()  # inodes of the segments that belong to one connection
        self.own = set()  # inodes of its own arena
        self.others = set()  # and of those that it reads
        for line in (proc / "maps").read_text().splitlines():
            if "/memfd:shmzmq" in line:
                _, access, _, _, inode, name = line.split(maxsplit=5)
                kind = name.split()[0].removeprefix("/memfd:shmzmq-")
                self.segments[kind] += 1
                if kind in {"pipe", "ring"}:
                    self.connections.add(int(inode))
                elif kind == "arena":
                    # Its owner alone has it shared; who reads has it to itself.
                    (self.own if access.endswith("s") else self.others).add(int(inode))

    def beyond(self, start, dead):
        """What is held now that was not at the start, or that belonged to a connection with the dead."""
        more = dict(self.fds - start.fds - Counter(FIRST_SLEEP) - Counter({ARENA_FD: self.fds[ARENA_FD]}))
        if self.threads > start.threads:
            more["threads"] = self.threads - start.threads
        changing = {"ring", "arena"}
        lasting = Counter({kind: count for kind, count in self.segments.items() if kind not in changing})
        more |= lasting - start.segments
        if (self.connections | self.others) & dead:
            more["segments of the dead"] = (self.connections | self.others) & dead
        return more


class Records:
    """A journal that another process writes, read as far as it goes; only what is new is read."""

    def __init__(self, path):
        self.path, self.notes, self.offset = path, [], 0

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
            whole = len(data) - len(data) % history.RECORD.size
            self.offset += whole
            self.notes += [history.Note(*each) for each in history.RECORD.iter_unpack(data[:whole])]
        return self.notes


class Actor:
    """One process: its child, its journals, and what it held when it had settled first."""

    def __init__(self, number, child, path):
        self.number, self.child = number, child
        self.notes = Records(path)
        self.answers = Records(f"{path}-answers")
        self.start = None
        self.killed = False


def tell(child, word):
    """Tell the child; if it has ended, say why."""
    try:
        child.tell(word)
    except BrokenPipeError:
        raise AssertionError(f"{child.name} ended early: {child.result()!r}") from None


class Stage:
    def __init__(self, run_child, endpoint, directory, dice):
        self.run_child, self.endpoint, self.directory, self.dice = run_child, endpoint, directory, dice
        self.senders, self.receivers = [], []
        self.kills = []
        self.dead = set()  # segments of a victim and of its connections

    def cast(self, role):
        return self.senders if role in {push, dealer} else self.receivers

    def enter(self, role, how):
        """A new actor, which has bound or connected."""
        cast = self.cast(role)
        number = len(cast)
        path = str(self.directory / f"{role.__name__}-{number}")
        child = self.run_child(role, number, how, self.endpoint, path, SEED)
        cast.append(Actor(number, child, path))
        assert child.hear(CAP) == "ready"
        return cast[-1]

    def alive(self, cast):
        return [actor for actor in cast if not actor.killed]

    def received(self):
        return [set(actor.notes.read()) for actor in self.receivers]

    def play(self):
        """Let go on until a random count of messages more has been received."""
        lengths = lambda: sum(len(actor.notes.read()) for actor in self.receivers)  # noqa: E731
        aim = lengths() + self.dice.randrange(1, 1500)
        wait_until(lambda: lengths() >= aim, "messages to flow", CAP)

    def kill(self, actor, what):
        held = Held(actor.child.pid)
        self.dead |= held.connections | held.own
        actor.child.kill()
        actor.killed = True
        self.kills.append(what)

    def settle(self, answers=False, go_on=True):
        """Pause the senders and see everything arrive and every survivor hold what it held at first."""
        story = f"after kill {len(self.kills)} ({self.kills[-1:]})"
        live = self.alive(self.senders)
        for sender in live:
            tell(sender.child, "pause")
        for sender in live:
            sender.child.hear(CAP)
        excuse = sum(actor.killed for actor in self.receivers)
        fences = {sender.notes.read()[-1] for sender in self.senders if sender.notes.read()}
        accepted = sum(len(sender.notes.read()) for sender in self.senders)

        def arrived():
            everything = set().union(*self.received())
            return fences <= everything and len(everything) >= accepted - excuse

        try:
            wait_until(arrived, f"everything accepted to arrive {story}", CAP)
        except AssertionError as error:
            sent = {each.number: len(each.notes.read()) for each in self.senders}
            lives = [each.notes.read() for each in self.receivers]
            lost = list(history.missing(lives, sent))
            raise AssertionError(
                f"{error}: {len(lost)} missing, {excuse} excused, first {lost[:5]}; sent {sent}; "
                f"received {[history._ends([n.number for n in life]) for life in lives]}"
            ) from None
        if answers:
            for sender in live:
                wait_until(
                    lambda sender=sender: sender.answers.read()[-1:] == sender.notes.read()[-1:],
                    f"DEALER {sender.number} to get the answer to its last request {story}",
                    CAP,
                )
        for actor in live + self.alive(self.receivers):
            self.expect_no_more_held(actor, story)
        for sender in live if go_on else []:
            tell(sender.child, "go")

    def expect_no_more_held(self, actor, story):
        """Rings and arenas may be others: they grow with the load. The victims' are gone."""
        if actor.start is None:
            # Every actor of one side is connected with every one of the other; a late peer is no leak.
            others = self.alive(self.receivers if actor in self.senders else self.senders)

            def all_connected():
                held = Held(actor.child.pid)
                # The segment is there first; the pidfd comes when the handshake is done.
                whole = min(held.segments["pipe"], held.fds["anon_inode:[pidfd]"])
                return whole == len(others) and not held.connections & self.dead

            wait_until(all_connected, f"{actor.child.name} to be connected with {len(others)} {story}", CAP)
            actor.start = Held(actor.child.pid)
            return
        beyond = lambda: Held(actor.child.pid).beyond(actor.start, self.dead)  # noqa: E731
        try:
            wait_until(lambda: not beyond(), "possessions to go")
        except AssertionError:
            raise AssertionError(
                f"{actor.child.name} {actor.number} still holds {beyond()} {story}"
            ) from None

    def end(self):
        for sender in self.alive(self.senders):
            tell(sender.child, "stop")
        for sender in self.alive(self.senders):
            sender.child.result(CAP)
        sent = sum(len(sender.notes.read()) for sender in self.senders)
        live = self.alive(self.receivers)
        wait_until(
            lambda: (
                len(set().union(*self.received())) >= sent - sum(actor.killed for actor in self.receivers)
            ),
            "the rest to arrive",
            CAP,
        )
        for receiver in live:
            tell(receiver.child, "stop")
        for receiver in live:
            receiver.child.result(CAP)
        print(
            f"{len(self.kills)} kills, {sent} messages: {dict((k, self.kills.count(k)) for k in self.kills)}"
        )

    def expect_exactly_once(self):
        lives = [actor.notes.read() for actor in self.receivers]
        killed = sum(actor.killed for actor in self.receivers)
        every = [note for life in lives for note in life]
        twice = len(every) - len(set(every))
        assert not twice, f"{twice} messages were received twice"
        sent = {actor.number: len(actor.notes.read()) for actor in self.senders}
        for sender, number in every:
            most = sent[sender] + (1 if self.senders[sender].killed else 0)  # the call in hand
            assert number < most, f"{number} of sender {sender} was received, {sent[sender]} were sent"
        history.expect_complete(lives, sent, killed)
        for life in lives:
            history.expect_order([life])
        if len(self.alive(self.receivers)) == 1:  # one after the other
            history.expect_order(lives)


@pytest.fixture
def stage(run_child, ipc, tmp_path, request, backstop):
    backstop(WHOLE_TEST + 30)  # longer than conftest's
    print(f"replay with SHMZMQ_SEED={SEED} SHMZMQ_STRESS_KILLS={KILLS}")
    before = set(os.listdir("/dev/shm"))
    yield Stage(run_child, ipc, tmp_path, random.Random(f"{SEED} {request.node.name}"))
    # What the killed left of counters goes with the next look; those of the living stay.
    stuck = {dead.path for dead in counters.sweep() if not dead.removed and os.path.exists(dead.path)}
    others = {name for name in os.listdir("/dev/shm") if "shmzmq" in name and not name.startswith("shmzmq-")}
    left = stuck | (others - before)
    assert not left, f"entries left in /dev/shm: {left}"


def kill_and_replace(stage, *victims, answers=False):
    """Kill one process after the other, at random, of these (role, how)."""
    stage.settle(answers)
    for _ in range(KILLS):
        stage.play()
        role, how = stage.dice.choice(victims)
        victim = stage.dice.choice(stage.alive(stage.cast(role)))
        stage.kill(victim, f"{role.__name__} that {how}s")
        stage.enter(role, how)
        stage.settle(answers)
    stage.play()
    stage.settle(answers, go_on=False)
    stage.end()


# --- the tests ---------------------------------------------------------------------------------------------


def test_every_message_to_a_pull_that_binds_arrives_once_and_in_order(stage):
    stage.enter(pull, "bind")
    for _ in range(3):
        stage.enter(push, "connect")
    kill_and_replace(stage, (push, "connect"), (pull, "bind"))
    stage.expect_exactly_once()


def test_every_message_of_a_push_that_binds_arrives_once_and_in_order_per_pull(stage):
    """Only binders are killed: what a dead PULL that connected left unread is dropped (RFC 30)."""
    stage.enter(push, "bind")
    for _ in range(2):
        stage.enter(pull, "connect")
    kill_and_replace(stage, (push, "bind"))
    stage.expect_exactly_once()


def test_every_request_to_a_router_that_binds_and_every_answer_arrives_once_and_in_order(stage):
    stage.enter(router, "bind")
    for _ in range(3):
        stage.enter(dealer, "connect")
    kill_and_replace(stage, (dealer, "connect"), (router, "bind"), answers=True)
    stage.expect_exactly_once()
    published = [note for actor in stage.receivers for note in actor.answers.read()]
    for actor in stage.senders:
        sent = [number for sender, number in published if sender == actor.number]
        got = [number for _, number in actor.answers.read()]
        assert got == sorted(set(got)), f"answers to DEALER {actor.number} came twice or out of order"
        unread = set(sent) - set(got)
        if actor.killed:  # it died with some unread: all of them behind what it read
            unread = {number for number in unread if got and number < got[-1]}
        assert not unread, f"answers that DEALER {actor.number} did not get: {sorted(unread)[:10]}"
