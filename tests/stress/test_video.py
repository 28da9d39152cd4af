"""Video: frames of 1920 x 1080 pixels, sixty a second, from one publisher to three consumers, without a copy.

What     A PUB process sends 300 frames in time; three SUB processes compare every byte with what it must be.
         One may keep forty frames, one may write into all of its own, one may be killed while it holds ten.
Promise  Every consumer gets all frames in order, unchanged until it lets go; the blocks of the dead are back
         within a second of its death being seen, and the arena is as large as before.
Replay   SHMZMQ_VIDEO_FRAMES.
"""

from __future__ import annotations

import gc
import os
import time

import bodies
import pytest

from kit import CAP, CAP_MS, wait_until

FRAMES = int(os.environ.get("SHMZMQ_VIDEO_FRAMES", "300"))
SIZE = 1080 * 1920 * 3
PER_SECOND = 60
KEPT = 40
STREAM_CAP = 20 + FRAMES / 10  # a machine that manages ten a second is slow and not wrong
PROBE = b"is anybody there?"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * STREAM_CAP)]


# --- the publisher -----------------------------------------------------------------------------------------


class Camera:
    """Numbered frames in time."""

    def __init__(self, zmq, pub, way):
        self.zmq, self.pub, self.way = zmq, pub, way
        self.number = 0
        self.late = 0  # frames that could not be sent in their time
        self.scratch = bytearray(SIZE)

    def shoot(self, count):
        begin = time.monotonic()
        for index in range(count):
            due = begin + index / PER_SECOND
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)  # the rate of the film; nothing is waited for
            else:
                self.late += -early > 1 / PER_SECOND
            frame = self.pub.alloc(SIZE) if self.way == "alloc" else self.scratch
            bodies.fill(frame, self.number)
            self.pub.send(frame)
            self.number += 1


def publish(zmq, link, endpoint, way):
    """Do as told: "probe", ("shoot", count), "settle", "watch" a death, "stop"; each is answered."""
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.bind(endpoint)
        pub.linger = 2 * CAP_MS
        camera = Camera(zmq, pub, way)
        before = None
        link.tell("bound")
        while (word := link.hear(STREAM_CAP)) != "stop":
            if word == "probe":
                pub.send(PROBE)
                link.tell("probed")
            elif word == "settle":
                wait_until(lambda: pub.stats()["arena_lent"] == 0, "all blocks to be back", 2 * CAP)
                before = pub.stats()["arena_bytes"]
                link.tell(before)
            elif word == "watch":
                link.tell(watch_a_death(pub, before))
            else:
                camera.shoot(word[1])
                link.tell((camera.number, camera.late))


def watch_a_death(pub, before):
    """The arena after the death was seen; within a second nothing is lent and it is no larger than before."""
    wait_until(lambda: pub.stats()["disconnected"] == 1, "the death to be seen", 2 * CAP)
    wait_until(lambda: pub.stats()["arena_lent"] == 0, "the blocks of the dead to be back", 1.0)
    wait_until(lambda: pub.stats()["arena_bytes"] <= before, f"the arena to be back at {before} bytes", 1.0)
    return pub.stats()["arena_bytes"]


# --- consumers ---------------------------------------------------------------------------------------------


def consume(zmq, link, endpoint, role, count):
    """Receive so many frames, each the next; at the end look at what was kept.

    "keeps" keeps the first forty; "writes" writes into each, keeps ten at a time and looks at them later;
    "holds ten" keeps the last ten that it was told of and waits to be killed.
    """
    kept = []
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.rcvtimeo = int(STREAM_CAP * 1000)
        sub.subscribe(b"")
        sub.connect(endpoint)
        link.tell("ready")
        assert sub.recv() == PROBE
        link.tell("heard")
        number = 0
        while number < count:
            frame = sub.recv(copy=False)
            if len(frame) == len(PROBE):
                continue
            story = f"{role}: frame {number} of {len(frame)} bytes"
            assert len(frame) == SIZE, story
            bodies.prove(frame, number, story)
            if role == "keeps" and number < KEPT:
                kept.append((number, frame))
            if role == "writes":
                frame.buffer[number % 4096 :: 4096] = bytes(len(range(number % 4096, SIZE, 4096)))
                kept.append((number, frame))
                if len(kept) > 10:
                    prove_written(*kept.pop(0))
            if role == "holds ten" and number >= count - 10:
                kept.append((number, frame))
            number += 1
            del frame
        if role == "holds ten":
            link.tell(len(kept))
            link.hear(STREAM_CAP)
        for number, frame in kept:
            if role == "writes":
                prove_written(number, frame)
            else:
                bodies.prove(frame, number, f"{role}: frame {number}, kept to the end")
        kept.clear()
        gc.collect()
    return count


def prove_written(number, frame):
    """What was written is there, and the rest is as it came."""
    expected = bodies.content(SIZE, number)
    expected[number % 4096 :: 4096] = bytes(len(range(number % 4096, SIZE, 4096)))
    assert expected == memoryview(frame), f"writes: frame {number} is not what was received and written"


# --- the tests ---------------------------------------------------------------------------------------------


@pytest.fixture
def studio(run_child, ipc):
    """A function from roles and counts to the publisher and its consumers, all of whom hear it."""

    def build(way, *roles):
        publisher = run_child(publish, ipc, way)
        assert publisher.hear(2 * CAP) == "bound"
        consumers = [run_child(consume, ipc, role, count) for role, count in roles]
        for consumer in consumers:
            assert consumer.hear(2 * CAP) == "ready"

        def all_hear():
            publisher.tell("probe")
            assert publisher.hear() == "probed"
            return all(consumer.has_word(0.02) for consumer in consumers)

        wait_until(all_hear, "three consumers to hear", 2 * CAP)
        for consumer in consumers:
            assert consumer.hear() == "heard"
        return publisher, consumers

    return build


def shoot(publisher, count):
    publisher.tell(("shoot", count))
    number, late = publisher.hear(STREAM_CAP)
    print(f"{number} frames sent, {late} late")
    return number


@pytest.mark.parametrize("way", ["plain", "alloc"])
@pytest.mark.parametrize(
    "roles",
    [("looks", "looks", "looks"), ("looks", "keeps", "writes")],
    ids=["all look", "one keeps, one writes"],
)
def test_every_consumer_gets_every_frame_in_order_and_unchanged(studio, roles, way):
    publisher, consumers = studio(way, *((role, FRAMES) for role in roles))
    assert shoot(publisher, FRAMES) == FRAMES
    assert [consumer.result(STREAM_CAP) for consumer in consumers] == [FRAMES] * 3
    publisher.tell("stop")
    publisher.result(2 * CAP)


@pytest.mark.parametrize("way", ["plain", "alloc"])
def test_consumers_do_not_notice_the_death_of_one_that_held_ten(studio, way):
    total = 60 + 10 + 60
    publisher, consumers = studio(way, ("looks", total), ("keeps", total), ("holds ten", 70))
    shoot(publisher, 70)
    assert consumers[2].hear(STREAM_CAP) == 10
    consumers[2].kill()
    shoot(publisher, 60)
    assert [consumer.result(STREAM_CAP) for consumer in consumers[:2]] == [total] * 2
    publisher.tell("stop")
    publisher.result(2 * CAP)


@pytest.mark.shmzmq_only("nothing is lent by libzmq")
@pytest.mark.parametrize("way", ["plain", "alloc"])
def test_arena_is_as_large_as_before_within_a_second_of_a_holders_death(studio, way):
    total = 60 + 10 + 60
    publisher, consumers = studio(way, ("looks", total), ("looks", total), ("holds ten", 70))
    shoot(publisher, 60)
    publisher.tell("settle")
    before = publisher.hear(3 * CAP)
    shoot(publisher, 10)
    assert consumers[2].hear(STREAM_CAP) == 10
    consumers[2].kill()
    publisher.tell("watch")
    assert publisher.hear(4 * CAP) <= before
    shoot(publisher, 60)
    assert [consumer.result(STREAM_CAP) for consumer in consumers[:2]] == [total] * 2
    publisher.tell("stop")
    publisher.result(2 * CAP)
