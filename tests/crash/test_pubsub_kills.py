"""Publishers and subscribers that are killed at random: topics come back, messages are whole and in order.

What     A publisher that binds (or two) and subscribers that connect; either side is SIGKILLed and replaced.
Promise  After each restart every subscriber gets all its topics again, and nothing else; no message is torn;
         the numbers of one publisher's life only grow. What was on its way when somebody died may be lost.
Replay   SHMZMQ_SEED; more kills with SHMZMQ_STRESS_KILLS.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import time

import pytest

import kit
from kit import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.shmzmq_only("libzmq promises nothing when a peer is killed")]

SEED = os.environ.get("SHMZMQ_SEED") or str(random.SystemRandom().randrange(1 << 32))
KILLS = int(os.environ.get("SHMZMQ_STRESS_KILLS", "12"))
TOPICS = 40
NUMBER = struct.Struct("<IIQ")  # life of the publisher, index of the topic, number of the message
TICK_MS = 10
CAP = 3 * kit.CAP


def topic_of(index):
    """Of many lengths, and none the beginning of another."""
    return b"t%03d/" % index + b"long" * (index % 7)


def body_of(life, number):
    return b"%d:%d;" % (life, number) * (number % 300)


def publish(zmq, link, life, endpoint):
    """Bind; publish all topics in turn without end, each message telling what it must be."""
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.bind(endpoint)
        pub.linger = 0
        link.tell("ready")
        number = 0
        while not link.has_word():
            for index in range(TOPICS):
                number += 1
                pub.send_multipart([topic_of(index), NUMBER.pack(life, index, number), body_of(life, number)])
            time.sleep(0.001)  # many kills, not many messages


def subscribe(zmq, link, me, endpoint):
    """Connect and check every message; answer "report" with what came since the last report.

    Every subscriber has topics of its own, and shares some with the next.
    """
    mine = set(range(me * 7 % TOPICS, me * 7 % TOPICS + 10))
    latest = {}
    seen = set()
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.rcvtimeo = TICK_MS
        sub.reconnect_ivl = 5
        for index in mine:
            sub.subscribe(topic_of(index))
        sub.connect(endpoint)
        link.tell("ready")
        while True:
            if link.has_word():
                if link.hear() == "stop":
                    return
                link.tell(seen)
                seen = set()
            try:
                frames = sub.recv_multipart()
            except zmq.Again:
                continue
            topic, head, body = frames
            life, index, number = NUMBER.unpack(head)
            assert topic == topic_of(index), f"{topic!r} with the head of {topic_of(index)!r}"
            assert index in mine, f"{topic!r} was not subscribed to"
            assert body == body_of(life, number), f"message {number} of life {life} is torn"
            assert number > latest.get(life, 0), f"{number} of life {life} after {latest[life]}"
            latest[life] = number
            seen.add((life, index))


def test_killed_publishers_and_subscribers_get_all_topics_again_and_nothing_else(run_child, ipc):
    print(f"replay with SHMZMQ_SEED={SEED} SHMZMQ_STRESS_KILLS={KILLS}")
    dice = random.Random(SEED)
    life = 0

    def new_publisher():
        child = run_child(publish, life, ipc)
        assert child.hear(CAP) == "ready"
        return child

    def new_subscriber(me):
        child = run_child(subscribe, me, ipc)
        assert child.hear(CAP) == "ready"
        return child

    publisher = new_publisher()
    subscribers = {me: new_subscriber(me) for me in range(3)}

    def all_have_everything():
        for me, child in subscribers.items():
            wanted = {(life, index) for index in range(me * 7 % TOPICS, me * 7 % TOPICS + 10)}
            got = set()

            def complete(child=child, wanted=wanted, got=got):
                child.tell("report")
                got.update(child.hear(CAP))
                return wanted <= got

            wait_until(complete, f"subscriber {me} to get all its topics from life {life}", CAP)

    all_have_everything()
    for _ in range(KILLS):
        time.sleep(dice.random() * 0.02)  # the moment of the kill; nothing depends on it
        if dice.random() < 0.5:
            publisher.kill()
            life += 1
            publisher = new_publisher()
        else:
            me = dice.choice(list(subscribers))
            subscribers[me].kill()
            subscribers[me] = new_subscriber(me)
        all_have_everything()
    for child in [publisher, *subscribers.values()]:
        child.tell("stop")
        child.result(CAP)


# --- very many subscriptions --------------------------------------------------------------------------------


def publish_to_many(zmq, link, endpoint, count):
    """Bind; say when all subscriptions are here, then publish to the first, a middle and the last of them."""
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.bind(endpoint)
        link.tell("ready")
        deadline = time.monotonic() + CAP
        while pub.get(zmq.TOPICS_COUNT) < count:
            assert time.monotonic() < deadline, f"{pub.get(zmq.TOPICS_COUNT)} of {count} topics came"
            time.sleep(0.001)
        link.tell("all")
        for index in (0, count // 2, count - 1):
            pub.send(b"topic %d." % index)
        link.hear(CAP)


def test_hundred_thousand_subscriptions_are_back_after_the_publisher_was_killed(zmq, sockets, run_child, ipc):
    count = 100_000
    sub = sockets(zmq.SUB, reconnect_ivl=5, rcvtimeo=int(CAP * 1000))
    for index in range(count):
        sub.subscribe(b"topic %d." % index)
    sub.connect(ipc)
    for life in range(3):
        publisher = run_child(publish_to_many, ipc, count)
        assert publisher.hear(CAP) == "ready"
        begin = time.monotonic()
        assert publisher.hear(CAP) == "all"
        print(f"life {life}: {count} subscriptions after {time.monotonic() - begin:.3f} s")
        for index in (0, count // 2, count - 1):
            kit.expect(sub, b"topic %d." % index)
        if life < 2:
            publisher.kill()
    publisher.tell("end")
    publisher.result()


# --- a subscriber that stands still -------------------------------------------------------------------------


def count_to(zmq, link, endpoint, last):
    """Receive numbers up to `last`; what is missing among them."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.rcvtimeo = int(CAP * 1000)
        sub.rcvhwm = 0
        sub.subscribe(b"")
        sub.connect(endpoint)
        link.tell("ready")
        received = []
        while not received or received[-1] != last:
            received.append(int(sub.recv()[:8]))
        link.tell(len(received))
        return received == list(range(last + 1))


def stand_still(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.subscribe(b"")
        sub.connect(endpoint)
        link.tell("ready")
        link.hear(10 * CAP)


def test_stopped_subscriber_starves_nobody_and_memory_is_bounded(zmq, sockets, run_child, ipc):
    last, size = 30_000, 1000
    xpub = sockets(zmq.XPUB, rcvtimeo=int(CAP * 1000))
    xpub.set(zmq.XPUB_VERBOSE, 1)
    xpub.bind(ipc)
    still = run_child(stand_still, ipc)
    assert still.hear(CAP) == "ready"
    kit.expect(xpub, b"\x01")
    still.stop()
    try:
        others = [run_child(count_to, ipc, last) for _ in range(2)]
        for child in others:
            assert child.hear(CAP) == "ready"
            kit.expect(xpub, b"\x01")
        for number in range(last + 1):
            xpub.send(b"%08d" % number + b"x" * (size - 8))
            if number % 500 == 499:
                # At the others' pace: RCVHWM is 0, but the rings need not grow for ever.
                wait_until(
                    lambda: max(sorted(peer["depth"] for peer in xpub.peers())[:2]) < 1000,
                    "the others to read",
                )
        assert [child.hear(CAP) for child in others] == [last + 1] * 2
        assert all(child.result(CAP) for child in others)
        depth = max(peer["depth"] for peer in xpub.peers())
        assert depth <= 2000, f"{depth} messages wait for the one that stands still"
        assert xpub.stats()["discarded_high_water"] >= last - 2000
        with open("/proc/self/smaps") as maps:
            mapped = ring_bytes(maps)
        assert mapped < 32 * 2000 * size, f"{mapped} bytes of rings for 2000 messages of {size}"
    finally:
        still.signal(signal.SIGCONT)
    still.tell("end")
    still.result(CAP)


def ring_bytes(maps):
    """Resident bytes of the rings that this process has mapped."""
    total, inside = 0, False
    for line in maps:
        if "-" in line.split()[0]:
            inside = "shmzmq-ring" in line
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total
