"""The measurements, as the parent drives them. Each function measures one thing and files its samples.

What each figure means is in README.md; what the children do is in `roles`; who comes when is in `harness`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import baselines, machine, placement
from benchmarks.core import bench
from benchmarks.harness import Run, in_turns
from benchmarks.rivals.base import BATCH
from benchmarks.rivals.patterns import PATTERNS
from benchmarks.stats import Key

SLOW_AIM = 1.20  # a slow receiver makes a message take this much longer than the plain pair
SLOW_ENOUGH = 1.15
TRIP_SIZE = 32
# Few blocks are what large messages need (each is a copy in flight); small ones need a ring of them.
PIPELINE_BLOCKS = (1, 2, 4, 256)
PIPELINE_BYTES = 4 << 20
PAST_FROM = 8 << 20  # as in native/core/src/copy.rs
ALONE, COPIES_ALONE = "alone", "C copies alone"
TCP_FROM = 64 << 10  # below, a system call per message is not how anybody would fill a TCP connection


def _taking_part(run: Run, kind: str, size: int = TRIP_SIZE) -> list[Any]:
    return [
        rival for rival in run.plan.rivals if kind in rival.kinds and rival.sizes[0] <= size <= rival.sizes[1]
    ]


@dataclass
class Baseline:
    """A C program that takes its turn among the rivals; `arguments` come between CPUs and seconds."""

    name: str
    program: Path
    arguments: tuple[int | str, ...] = ()

    def run(self, where: str, seconds: float) -> dict[str, float]:
        cpus = placement.cpus(where)
        assert cpus is not None
        return baselines.run(self.program, *cpus, *self.arguments, seconds)


# --- one way -----------------------------------------------------------------------------------------------


def oneway(run: Run) -> None:
    """Messages per second from a sender to a receiver; where asked, slow and in batches too; C beside it."""
    where = "two" if placement.cpus("two") else "free"
    for size in run.plan.sizes:
        libraries = [*_taking_part(run, "oneway", size), *_taking_part(run, "mixed", size)]
        subjects = [*libraries, *_pipelines(run, size, where), *_tcp_streams(run, size, where)]
        measure = partial(_oneway, run, size, where)
        in_turns(run, subjects, measure, f"one way, {size} B", partial(_oneway_key, size, where))


def _pipelines(run: Run, size: int, where: str) -> list[Baseline]:
    """Copy in, copy out, with several numbers of blocks in flight. Both ends spin: two CPUs or nothing."""
    program = run.programs().get("pipeline")
    if program is None or where != "two":
        return []
    fitting = [blocks for blocks in PIPELINE_BLOCKS if blocks <= 4 or blocks * size <= PIPELINE_BYTES]
    found = [Baseline(f"C {blocks} in flight", program, (size, blocks, "libc")) for blocks in fitting]
    if size >= PAST_FROM and machine.goes_past_caches():
        found += [
            Baseline(f"C {blocks} past the caches", program, (size, blocks, "past")) for blocks in (2, 4)
        ]
        found.append(Baseline(COPIES_ALONE, program, (size, 2, ALONE)))
    return found


def _tcp_streams(run: Run, size: int, where: str) -> list[Baseline]:
    """One connection, `send` and `recv` of whole messages; pinned as the libraries are."""
    program = run.programs().get("tcp_stream")
    if program is None or where != "two" or size < TCP_FROM:
        return []
    return [Baseline("C tcp", program, (size,))]


def _oneway_key(size: int, where: str, subject: Any) -> Key:
    if isinstance(subject, Baseline):
        variant = {"C tcp": "tcp", COPIES_ALONE: ALONE}.get(subject.name, "pipeline")
        return Key("limit", variant, size, where, subject.name)
    return _rate_key("plain", size, where, subject)


def _rate_key(variant: str, size: int, where: str, rival: Any) -> Key:
    return Key("mixed" if "mixed" in rival.kinds else "oneway", variant, size, where, rival.name)


def _oneway(run: Run, size: int, where: str, rival: Any) -> None:
    if isinstance(rival, Baseline):
        told = rival.run(where, run.plan.sample_seconds / 2)
        run.results.add(_oneway_key(size, where, rival), "msg/s", told["per_second"])
        return
    with run.pair(rival, where, size) as pair:
        pair.link("push", "pull")
        bench.verify(pair, size)
        plain = _stream(run, pair, size, where, "plain")
        # The slow receiver is a question about waking and about bounds, asked where targets ask it.
        if size == 1024 and "oneway" in rival.kinds:
            _slow(run, pair, size, where, plain)
        if size <= 1024 and "many" in rival.kinds:
            _many(run, pair, size, where)


def _stream(run: Run, pair: Any, size: int, where: str, variant: str) -> float:
    """One timed pass; its seconds per message."""
    most = BATCH if variant == "many" else bench.BLOCK_MESSAGES
    known = (pair.rival.name, variant, size)
    if known not in run.rounds:
        run.rounds[known] = bench.settle(pair, size, run.plan.sample_seconds, variant, most)
    else:
        # A fresh pair has cold pages and empty queues; a tenth of a pass warms it.
        bench.stream(pair, size, max(1, run.rounds[known] // 10), variant)
    count = bench.messages_in(size, run.rounds[known], most)
    took = bench.stream(pair, size, run.rounds[known], variant)
    run.results.add(_rate_key(variant, size, where, pair.rival), "msg/s", count / took)
    return took / count


def _slow(run: Run, pair: Any, size: int, where: str, plain: float) -> None:
    """The receiver works on each message until it is the slower of the two by a fifth."""
    name = pair.rival.name
    rounds = run.rounds[name, "plain", size]
    count = bench.messages_in(size, rounds)
    if name not in run.work:
        run.work[name] = _find_work(pair, size, rounds, plain)
    took = bench.stream(pair, size, rounds, "slow", run.work[name])
    run.results.add(Key("oneway", "slow", size, where, name), "msg/s", count / took)
    run.results.add(Key("oneway", "slow vs plain", size, where, name), "ratio", plain * count / took)


def _find_work(pair: Any, size: int, rounds: int, plain: float) -> int:
    """Turns of an empty loop per STRIDE messages.

    A fifth of the plain time per message, to begin with. Where the receiver has time to spare (the sender
    being the slower end) that is not enough to make it the slower one, so it is raised until messages take
    SLOW_ENOUGH times as long. A library that collapses under it is beyond that at once, and stays there.
    """
    from benchmarks.loops import STRIDE

    turn = pair.ask(pair.right, "turn_ns")
    work = max(1, round(STRIDE * 0.2 * plain * 1e9 / turn))
    few = max(1, rounds // 4)
    for _ in range(4):
        each = bench.stream(pair, size, few, "slow", work) / bench.messages_in(size, few)
        if each >= SLOW_ENOUGH * plain:
            break
        work += max(1, round(STRIDE * (SLOW_AIM * plain - each) * 1e9 / turn))
    return work


def _many(run: Run, pair: Any, size: int, where: str) -> None:
    if pair.ask(pair.left, "has_many", "push") and pair.ask(pair.right, "has_many", "pull"):
        _stream(run, pair, size, where, "many")


# --- round trips -------------------------------------------------------------------------------------------


def trips(run: Run) -> None:
    """Ping-pong of 32 B: as the library waits by default, after pauses, and without spinning; C beside it."""
    for where in run.plan.placements:
        if placement.cpus(where) is None:
            run.results.note(f"placement {where!r} was not measured: too few CPUs")
            continue
        subjects = [*_taking_part(run, "roundtrip"), *_c_trips(run, where)]
        in_turns(run, subjects, partial(_trip, run, where), f"round trip, {where}", partial(_trip_key, where))


def _trip_key(where: str, subject: Any) -> Key:
    return Key("trip", "default p50", TRIP_SIZE, where, subject.name)


def _c_trips(run: Run, where: str) -> list[Baseline]:
    programs = run.programs()
    if not programs or where == "free":
        return []
    names = ["eventfd", "unix", "tcp"] + (
        ["spin"] if where == "two" else []
    )  # two spinners cannot share a CPU
    return [Baseline(f"C {name}", programs[f"{name}_pingpong"]) for name in names]


def _trip(run: Run, where: str, subject: Any) -> None:
    seconds = run.plan.sample_seconds
    if isinstance(subject, Baseline):
        _file_trip(run, "default", where, subject.name, subject.run(where, seconds))
        return
    with run.pair(subject, where, TRIP_SIZE) as pair:
        pair.link("ping", "pong")
        told, _ = pair.both(("ping", (TRIP_SIZE, seconds, 0.0)), ("pong", ()))
        _file_trip(run, "default", where, subject.name, told)
        paused, _ = pair.both(("ping", (TRIP_SIZE, seconds / 2, 0.001)), ("pong", ()))
        key = Key("trip", "first after 1 ms", TRIP_SIZE, where, subject.name)
        run.results.add(key, "us", paused["first_p50"])
        run.results.add(key._replace(variant="again after 1 ms"), "us", paused["late_p50"])
        if "nospin" in subject.kinds:
            pair.unlink()
            pair.link("ping", "pong", {"spin_us": 0})
            asleep, _ = pair.both(("ping", (TRIP_SIZE, seconds, 0.0)), ("pong", ()))
            _file_trip(run, "no spin", where, subject.name, asleep)


def _file_trip(run: Run, waiting: str, where: str, name: str, told: dict[str, float]) -> None:
    for part in ("p50", "p99"):
        run.results.add(Key("trip", f"{waiting} {part}", TRIP_SIZE, where, name), "us", told[part])


def patterns(run: Run) -> None:
    """The same ping-pong by socket type, in one fresh pair per repetition."""
    for where in run.plan.placements:
        if placement.cpus(where) is not None:
            key = partial(_pattern_key, where)
            in_turns(run, _taking_part(run, "patterns"), partial(_patterns, run, where), "patterns", key)


def _pattern_key(where: str, rival: Any) -> Key:
    return Key("patterns", "all", TRIP_SIZE, where, rival.name)


def _patterns(run: Run, where: str, rival: Any) -> None:
    waits: list[tuple[str, dict[str, Any]]] = [("default", {})]
    if "nospin" in rival.kinds:
        waits.append(("no spin", {"spin_us": 0}))
    with run.pair(rival, where, TRIP_SIZE) as pair:
        for waiting, options in waits:
            for pattern in PATTERNS:
                pair.link("ping", "pong", {"pattern": pattern, **options})
                told, _ = pair.both(("ping", (TRIP_SIZE, run.plan.sample_seconds / 2, 0.0)), ("pong", ()))
                pair.unlink()
                key = Key("patterns", f"{pattern}, {waiting}", TRIP_SIZE, where, rival.name)
                run.results.add(key, "us", told["p50"])


# --- connecting, one thread --------------------------------------------------------------------------------


def connect(run: Run) -> None:
    """From connect, and from a new context, to the first reply: REQ to a bound REP, new context each."""
    where = "two" if placement.cpus("two") else "free"
    key = partial(_connect_key, where)
    in_turns(run, _taking_part(run, "connect"), partial(_connect, run, where), "connect", key)


def _connect_key(where: str, rival: Any) -> Key:
    return Key("connect", "connect to reply", TRIP_SIZE, where, rival.name)


def _connect(run: Run, where: str, rival: Any) -> None:
    turns = 40
    with run.pair(rival, where) as pair:
        address = pair.ask(pair.right, "bind", "REP")
        visits, _ = pair.both(("visit", (address, turns)), ("reply", (turns,)))
    key = _connect_key(where, rival)
    run.results.add(key, "us", bench.quantile(sorted(visit[0] for visit in visits), 0.5))
    whole = key._replace(variant="context to reply")
    run.results.add(whole, "us", bench.quantile(sorted(visit[1] for visit in visits), 0.5))


def inproc(run: Run) -> None:
    """ns per send and recv of one inproc pair in one thread."""
    where = "one" if placement.cpus("one") else "free"
    in_turns(
        run, _taking_part(run, "inproc"), partial(_inproc, run, where), "inproc", partial(_inproc_key, where)
    )


def _inproc_key(where: str, rival: Any) -> Key:
    return Key("inproc", "send and recv", TRIP_SIZE, where, rival.name)


def _inproc(run: Run, where: str, rival: Any) -> None:
    with run.pair(rival, where) as pair:
        took = pair.ask(pair.left, "local", TRIP_SIZE, run.plan.sample_seconds / 2)
    run.results.add(_inproc_key(where, rival), "ns", took)
