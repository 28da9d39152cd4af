"""What a child of this benchmark can be told, beyond the shared commands. One class, one `do_` per command.

This file runs in the children. It knows libraries and loops; it knows no schedule, no placement, no results.
"""

import importlib
import math
import resource
import time
from contextlib import suppress
from itertools import repeat
from typing import Any, ClassVar, NamedTuple

from benchmarks import carry, film, loops, rivals
from benchmarks.core import bench
from benchmarks.rivals.base import BATCH


class Spent(NamedTuple):
    """What a process has used, all its threads together, those of libraries too."""

    cpu_ns: int  # user and system time
    sleeps: int  # voluntary context switches: each is a sleep, hence a wake-up

    @classmethod
    def now(cls) -> "Spent":
        return cls(time.process_time_ns(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw)

    def __sub__(self, earlier: "Spent") -> "Spent":
        return Spent(self.cpu_ns - earlier.cpu_ns, self.sleeps - earlier.sleeps)


class Worker(bench.Worker):
    """Commands for links of every rival, and for modules with pyzmq's API."""

    most: ClassVar[dict[str, int]] = {
        "plain": bench.BLOCK_MESSAGES,
        "slow": bench.BLOCK_MESSAGES,
        "many": BATCH,
    }

    end: Any  # a rival's own End may offer more than the shared one
    rival: Any  # and modules with pyzmq's API more than other rivals

    def __init__(self, rival: Any, wiring: Any) -> None:
        super().__init__(rival, wiring)
        self.context: Any = None
        self.sockets: list[Any] = []
        self.begun = Spent.now()
        self.shoot: Any = None
        self.carry: Any = None

    # One way

    def pour(self, block: list[bytes], rounds: int, variant: str) -> None:
        try_send = getattr(self.end, "try_send", None)
        if variant == "many":
            loops.pour_many(self.end.send_many, block, rounds)
        elif try_send is not None:
            loops.pour_trying(try_send, block, rounds)
        else:
            bench.pour(self.end.send, block, rounds)

    def drain(self, block: list[bytes], rounds: int, variant: str, work: int) -> None:
        try_recv = getattr(self.end, "try_recv", None)
        if variant == "many":
            loops.drain_many(self.end.recv_many, block, rounds)
        elif variant == "slow":
            loops.drain_slowly(self.end.recv, block, rounds, work)
        elif try_recv is not None:
            loops.drain_trying(try_recv, block, rounds)
        else:
            bench.drain(self.end.recv, block, rounds)

    def do_show(self, size: int) -> None:
        """Send one block, every byte of it, for `do_verify`."""
        bench.pour(getattr(self.end, "show", None) or self.end.send, self.block(size), 1)

    def do_has_many(self, role: str) -> bool:
        return getattr(self.end, "send_many" if role == "push" else "recv_many", None) is not None

    def do_turn_ns(self) -> float:
        """What one turn of an empty loop costs here: the unit of a slow receiver's work."""
        best = float("inf")
        for _ in range(5):
            started = bench.perf()
            for _ in range(100_000):
                pass
            best = min(best, (bench.perf() - started) / 100_000)
        return best

    # Round trips, counted instead of timed: for the system calls of each

    def do_trips(self, size: int, count: int) -> int:
        """`count` round trips in one burst; how many the far end really served."""
        block = self.block(size)
        bench.burst(self.end, (block * (count // len(block) + 1))[:count], 0)
        bench.halt(self.end, size)
        return count + 2

    def do_nothing(self) -> None:
        """What a command costs by itself."""

    def do_sleep_in_recv(self) -> None:
        """Sit in recv until the peer sends one message: how an idle program waits."""
        bench.check(self.end.recv(), self.block(32)[0], whole=True)

    def do_wake_peer(self) -> None:
        self.end.send(self.block(32)[0])

    def do_pong(self) -> None:
        if getattr(self.end, "parts", False):
            loops.echo_parts(self.end)
        else:
            bench.echo(self.end)

    # One to many: every reader gets every message

    def do_greet(self, number: int, size: int) -> None:
        """Publish one message by which readers find that they are heard, or the last such."""
        self.end.send(bench.make_message(number, size))

    def do_join(self) -> None:
        """Wait for any message."""
        self.end.recv()

    def do_catch_up(self, last: int) -> None:
        """Skip the greetings that remain."""
        while bench.HEAD.unpack_from(self.end.recv())[0] != last:
            pass

    def do_publish(self, size: int, rounds: int, gap: float, bursts: bool = False) -> int:
        """As do_pour, with `gap` seconds from one message to the next; 0 is as fast as it goes.

        With `bursts` by send_many, for a library that has it.
        """
        block = self.block(size, "many" if bursts else "plain")
        trailer = bench.make_message(rounds * len(block), size)
        self.begun = Spent.now()
        started = bench.perf()
        if bursts:
            loops.pour_many(self.end.send_many, block, rounds)
        elif gap:
            loops.pour_paced(self.end.send, block, rounds, gap)
        else:
            bench.pour(self.end.send, block, rounds)
        self.end.send(trailer)
        return started

    def do_spent(self) -> Spent:
        """What this process has used since its last do_publish or do_serve began."""
        return Spent.now() - self.begun

    def do_listen(self, size: int, rounds: int, bursts: bool = False) -> tuple[int, Spent]:
        """As do_drain, with `bursts` by recv_many; and what it took."""
        begun = Spent.now()
        ended = self.do_drain(size, rounds, "many" if bursts else "plain", 0)
        return ended, Spent.now() - begun

    # Lent memory

    def do_lend(self, size: int, rounds: int, numbered: bool) -> int:
        """Send rounds of messages that nobody fills, with or without numbers, and one that has the count.

        A library that lends nothing sends its prepared messages.
        """
        end, block = self.end, self.block(size)
        heads = [message[: bench.HEAD.size] for message in block]
        trailer = bench.make_message(rounds * len(block), size)
        started = bench.perf()
        alloc, lend = getattr(end, "alloc", None), getattr(end, "lend", None)
        if alloc is not None and numbered:
            loops.pour_numbered(alloc, end.post, size, heads, rounds)
        elif alloc is not None:
            loops.pour_unfilled(alloc, end.post, size, rounds * len(block))
        elif lend is not None:
            loops.pour_lent(lend, size, heads if numbered else [b""] * len(block), rounds)
        else:
            bench.pour(end.send, block, rounds)
        end.send(trailer)
        return started

    def do_borrow(self, size: int, rounds: int, reading: bool) -> int:
        """Receive what do_lend sends; when the last one had been verified."""
        block = self.block(size)
        heads = [message[: bench.HEAD.size] for message in block]
        trailer = bench.make_message(rounds * len(block), size)
        touch = loops.toucher() if reading else None
        if touch is not None:
            loops.drain_reading(self.end.recv, heads, rounds, touch)
        else:
            loops.let_go(self.end.recv, rounds * len(block))
        bench.check(self.end.recv(), trailer)
        return bench.perf()

    # Video

    def do_prepare_film(self, shape: tuple[int, ...], lent: bool) -> None:
        """Make the frames, or see whether the library lends memory for them."""
        end, size = self.end, math.prod(shape)
        if lent and end.alloc is None:
            raise bench.BenchError("it has no alloc")
        frames = [] if lent else film.reel(shape)

        def shoot(number: int) -> None:
            frame = frames[number % len(frames)]
            film.stamp(frame, number, size)
            end.send(frame)

        def shoot_lent(number: int) -> None:
            block = end.alloc(size)
            film.stamp(block, number, size)
            end.post(block)

        self.shoot = shoot_lent if lent else shoot

    def do_film(self, count: int, per_second: int) -> None:
        self.begun = Spent.now()
        film.paced(count, per_second, self.shoot)

    def do_watch(self, count: int, size: int) -> tuple[list[int], Spent]:
        begun = Spent.now()
        trips = film.watch(self.end.recv, count, size)
        return trips, Spent.now() - begun

    # Counting copies

    def do_prepare_to_carry(self, form: str, size: int) -> None:
        """Make what is sent: not what is counted."""
        self.carry = carry.sender(self.end.send.__self__, form, size)

    def do_prepare_to_fetch(self, form: str, size: int) -> None:
        self.carry = carry.receiver(self.end.recv.__self__, form, size)

    def do_carry(self, count: int) -> None:
        """Send or receive so many messages."""
        for _ in repeat(None, count):
            self.carry()

    def do_counts(self) -> carry.Counts:
        return carry.Counts.now()

    # Connecting

    def do_reply(self, turns: int) -> None:
        """Serve `turns` clients one round trip each; do_bind comes first."""
        for _ in range(turns):
            self.sockets[0].send(self.sockets[0].recv())

    def do_bind(self, kind: str) -> str:
        zmq = importlib.import_module(self.rival.module)
        self.context = zmq.Context()
        self.sockets = [self.context.socket(getattr(zmq, kind))]
        return str(self.rival.bind(self.sockets[0], self.rival.address(self.wiring, kind.lower())))

    def do_visit(self, address: str, turns: int) -> list[tuple[float, float]]:
        """In us per visit: from connect, and from the making of the context, to the first reply."""
        zmq = importlib.import_module(self.rival.module)
        message = self.block(32)[0]
        visits = []
        for _ in range(turns):
            begun = bench.perf()
            context = zmq.Context()
            socket = context.socket(zmq.REQ)
            connecting = bench.perf()
            socket.connect(address)
            socket.send(message)
            reply = socket.recv()
            ended = bench.perf()
            bench.check(reply, message, whole=True)
            socket.close(0)
            context.term()
            visits.append(((ended - connecting) / 1e3, (ended - begun) / 1e3))
        return visits

    # Many idle peers

    def do_raise_limit(self, most: int | None = None) -> int:
        """As many descriptors as this user may have, at most that many; that number."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = hard if most is None else most
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def do_prepare_peers(self, most: int) -> None:
        """A context with room for that many sockets, made before the first measurement."""
        zmq = importlib.import_module(self.rival.module)
        self.context = zmq.Context()
        self.context.max_sockets = most + 16

    def do_add_peers(self, address: str, count: int, kind: str = "PUSH") -> None:
        """Connect further sockets; each sends one message, which shows that it is connected."""
        zmq = importlib.import_module(self.rival.module)
        for _ in range(count):
            socket = self.context.socket(getattr(zmq, kind))
            socket.connect(address)
            socket.send(self.block(32)[0])
            self.sockets.append(socket)

    def do_meet_peers(self, count: int) -> None:
        """Receive that many first messages."""
        for _ in range(count):
            bench.check(self.sockets[0].recv_multipart()[-1], self.block(32)[0], whole=True)

    def do_serve(self, count: int) -> None:
        """Send `count` messages of a ROUTER's peers back to them."""
        self.begun = Spent.now()
        loops.serve(self.sockets[0].recv_multipart, self.sockets[0].send_multipart, count)

    def do_exchange(self, size: int, rounds: int) -> float:
        """Seconds for `rounds` times one message from each socket and its reply."""
        block = self.block(size)
        ends = [(socket.send, socket.recv) for socket in self.sockets]
        started = bench.perf()
        loops.exchange(ends, block, rounds)
        return (bench.perf() - started) / 1e9

    def do_wait_for_peer(self) -> None:
        """Sit in recv among idle peers until one of them speaks."""
        self.sockets[0].recv()

    def do_speak(self) -> None:
        self.sockets[0].send(self.block(32)[0])

    # One thread

    def do_local(self, size: int, seconds: float) -> float:
        """ns per send and recv of one inproc pair in this thread."""
        near, far = self.rival.open_local()
        block = self.block(size)
        loops.there_and_back(near.send, far.recv, block, 4)
        rounds = 1
        while True:
            started = bench.perf()
            loops.there_and_back(near.send, far.recv, block, rounds)
            took = bench.perf() - started
            if took >= seconds * 1e9:
                near.close()
                return took / (rounds * len(block))
            rounds = max(rounds + 1, min(rounds * 8, int(rounds * 1.2e9 * seconds / took)))


def child(rival: str, wiring: Any, control: Any, cpu: int | None, cap: int) -> None:
    """Entry of every spawned process of this benchmark."""
    bench.obey(Worker(rivals.named(rival), wiring), control, cpu, cap)
