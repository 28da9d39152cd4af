"""The measurements, as the parent drives them. Each function measures one thing and files its samples.

What each figure means is in README.md; what the children do is in `roles`; who comes when is in `harness`.
"""

from typing import Any

from benchmarks import baselines, placement
from benchmarks.core import bench
from benchmarks.harness import Run, in_turns
from benchmarks.rivals.base import BATCH
from benchmarks.stats import Key

SLOW_AIM = 1.20  # a slow receiver makes a message take this much longer than the plain pair
SLOW_ENOUGH = 1.15
TRIP_SIZE = 32
# Few blocks are what large messages need (each is a copy in flight); small ones need a ring of them.
PIPELINE_BLOCKS = (1, 2, 4, 256)
PIPELINE_BYTES = 4 << 20


def _taking_part(run: Run, kind: str, size: int = TRIP_SIZE) -> list[Any]:
    return [
        rival for rival in run.plan.rivals if kind in rival.kinds and rival.sizes[0] <= size <= rival.sizes[1]
    ]


# --- one way -----------------------------------------------------------------------------------------------


def oneway(run: Run) -> None:
    """Messages per second from a sender to a receiver on two CPUs; where asked, slow and in batches too."""
    where = "two" if placement.cpus("two") else "free"
    for size in run.plan.sizes:
        in_turns(
            run,
            _taking_part(run, "oneway", size),
            lambda rival, size=size: _oneway(run, rival, size, where),
            f"one way, {size} B",
            lambda rival, size=size: Key("oneway", "plain", size, where, rival.name),
        )


def _oneway(run: Run, rival: Any, size: int, where: str) -> None:
    with run.pair(rival, where, size) as pair:
        pair.link("push", "pull")
        bench.verify(pair, size)
        plain = _stream(run, pair, size, where, "plain")
        # The slow receiver is a question about waking and about bounds, asked where targets ask it.
        if size == 1024:
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
    run.results.add(Key("oneway", variant, size, where, pair.rival.name), "msg/s", count / took)
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
    programs = _programs(run)
    for where in run.plan.placements:
        if placement.cpus(where) is None:
            run.results.note(f"placement {where!r} was not measured: too few CPUs")
            continue
        subjects = _taking_part(run, "roundtrip") + _c_trips(programs, where)
        in_turns(
            run,
            subjects,
            lambda subject, where=where: _trip(run, subject, where),
            f"round trip, {where}",
            lambda subject, where=where: Key(
                "trip", "default p50", TRIP_SIZE, where, getattr(subject, "name", subject)
            ),
        )


def _programs(run: Run) -> dict[str, Any]:
    """The C baselines, built once per run."""
    folder = run.scratch / "baselines"
    if folder.exists():
        return {name: folder / name for name in baselines.PROGRAMS}
    folder.mkdir()
    try:
        return baselines.build(folder)
    except bench.BenchError as error:
        run.results.note(f"no C baselines: {error}")
        folder.rmdir()
        return {}


class _CTrip:
    """A ping-pong in C, taking its turn among the rivals."""

    def __init__(self, name: str, program: Any) -> None:
        self.name = f"C {name}"
        self.program = program


def _c_trips(programs: dict[str, Any], where: str) -> list[_CTrip]:
    if not programs or where == "free":
        return []
    names = ["eventfd", "unix"] + (["spin"] if where == "two" else [])  # two spinners cannot share a CPU
    return [_CTrip(name, programs[f"{name}_pingpong"]) for name in names]


def _trip(run: Run, subject: Any, where: str) -> None:
    seconds = run.plan.sample_seconds
    if isinstance(subject, _CTrip):
        near, far = placement.cpus(where) or (0, 0)
        _file_trip(run, "default", where, subject.name, baselines.run(subject.program, near, far, seconds))
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


# --- the machine's limits ----------------------------------------------------------------------------------


def limits(run: Run) -> None:
    """Copy in, copy out between two C processes, with several numbers of blocks in flight."""
    programs = _programs(run)
    cpus = placement.cpus("two")
    if not programs or cpus is None:
        run.results.note("the C pipeline was not measured: it needs a compiler and two CPUs")
        return
    for size in run.plan.sizes:
        in_turns(
            run,
            [blocks for blocks in PIPELINE_BLOCKS if blocks <= 4 or blocks * size <= PIPELINE_BYTES],
            lambda blocks, size=size: _limit(run, programs["pipeline"], cpus, size, blocks),
            f"C pipeline, {size} B",
            lambda blocks, size=size: Key("limit", "pipeline", size, "two", f"C {blocks} in flight"),
        )


def _limit(run: Run, program: Any, cpus: Any, size: int, blocks: int) -> None:
    told = baselines.run(program, *cpus, size, blocks, run.plan.sample_seconds / 2)
    key = Key("limit", "pipeline", size, "two", f"C {blocks} in flight")
    run.results.add(key, "msg/s", told["per_second"])


# --- connecting, one thread --------------------------------------------------------------------------------


def connect(run: Run) -> None:
    """From connect, and from a new context, to the first reply: REQ to a bound REP, new context each."""
    where = "two" if placement.cpus("two") else "free"
    in_turns(
        run,
        _taking_part(run, "connect"),
        lambda rival: _connect(run, rival, where),
        "connect",
        lambda rival: Key("connect", "connect to reply", TRIP_SIZE, where, rival.name),
    )


def _connect(run: Run, rival: Any, where: str) -> None:
    turns = 40
    with run.pair(rival, where) as pair:
        address = pair.ask(pair.right, "bind", "REP")
        visits, _ = pair.both(("visit", (address, turns)), ("reply", (turns,)))
    key = Key("connect", "connect to reply", TRIP_SIZE, where, rival.name)
    run.results.add(key, "us", bench.quantile(sorted(visit[0] for visit in visits), 0.5))
    whole = key._replace(variant="context to reply")
    run.results.add(whole, "us", bench.quantile(sorted(visit[1] for visit in visits), 0.5))


def inproc(run: Run) -> None:
    """ns per send and recv of one inproc pair in one thread."""
    where = "one" if placement.cpus("one") else "free"

    def measure(rival: Any) -> None:
        with run.pair(rival, where) as pair:
            took = pair.ask(pair.left, "local", TRIP_SIZE, run.plan.sample_seconds / 2)
        run.results.add(Key("inproc", "send and recv", TRIP_SIZE, where, rival.name), "ns", took)

    in_turns(
        run,
        _taking_part(run, "inproc"),
        measure,
        "inproc",
        lambda rival: Key("inproc", "send and recv", TRIP_SIZE, where, rival.name),
    )
