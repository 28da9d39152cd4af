"""What many silent peers cost the few that speak: DEALERs and their ROUTER, alone and in a crowd."""

from functools import partial
from typing import Any

from benchmarks import placement
from benchmarks.core import bench
from benchmarks.crowd import Crowd
from benchmarks.harness import Run, in_turns
from benchmarks.stats import Key

SIZE = 32
ACTIVE = 10
HOLDERS = 4  # processes that hold the silent ones
DESCRIPTORS = 2048  # as many as each process may have
TIME, CPU = "us per message", "CPU us of the ROUTER per message"


def peers(run: Run) -> None:
    where = "two" if placement.cpus("two") else "free"
    subjects = [rival for rival in run.plan.rivals if "peers" in rival.kinds]
    in_turns(run, subjects, partial(_measure, run, where), "many peers", partial(_key, where))


def _key(where: str, rival: Any) -> Key:
    return Key("peers", "all", SIZE, where, rival.name)


def figure_key(name: str, where: str, count: int, what: str) -> Key:
    """Where a figure is filed. `what`: TIME or CPU."""
    return Key("peers", f"{count} peers: {what}", SIZE, where, name)


def shares(whole: int, parts: int) -> list[int]:
    """`whole` in `parts` almost equal numbers."""
    return [whole // parts + (at < whole % parts) for at in range(parts)]


def _measure(run: Run, where: str, rival: Any) -> None:
    router_cpu, active_cpu = placement.cpus(where) or (None, None)
    # The silent ones are where the active ones are: whatever they do is not taken from the ROUTER's CPU.
    cpus = (router_cpu, *[active_cpu] * (1 + HOLDERS))
    with run.crowd(rival, 1 + HOLDERS, cpus) as crowd:
        address = _prepare(crowd, run.plan.router_peers)
        active, *holders = crowd.others
        _add(crowd, address, active, ACTIVE)
        _exchange(run, crowd, where, ACTIVE)
        for holder, count in zip(holders, shares(run.plan.router_peers - ACTIVE, HOLDERS), strict=True):
            _add(crowd, address, holder, count)
        _exchange(run, crowd, where, run.plan.router_peers)


def _prepare(crowd: Crowd, most: int) -> str:
    """A bound ROUTER, contexts with room, all with few descriptors; the ROUTER's address."""
    given = crowd.together([(side, ("raise_limit", (DESCRIPTORS,))) for side in crowd.members])
    if min(given) < DESCRIPTORS:
        raise bench.BenchError(f"needs {DESCRIPTORS} descriptors, this user may have {min(given)}")
    crowd.together([(side, ("prepare_peers", (most,))) for side in crowd.others])
    return str(crowd.ask(crowd.hub, "bind", "ROUTER"))


def _add(crowd: Crowd, address: str, side: bench.Side, count: int) -> None:
    crowd.together([(crowd.hub, ("meet_peers", (count,))), (side, ("add_peers", (address, count, "DEALER")))])


def _exchange(run: Run, crowd: Crowd, where: str, count: int) -> None:
    name, active = crowd.rival.name, crowd.others[0]
    if (name, "exchange", count) not in run.rounds:
        run.rounds[name, "exchange", count] = _settle(crowd, active, run.plan.sample_seconds)
    rounds = run.rounds[name, "exchange", count]
    _pass(crowd, active, max(1, rounds // 10))
    seconds, cpu = _pass(crowd, active, rounds)
    messages = rounds * ACTIVE
    run.results.add(figure_key(name, where, count, TIME), "us", seconds * 1e6 / messages)
    run.results.add(figure_key(name, where, count, CPU), "us", cpu * 1e6 / messages)


def _settle(crowd: Crowd, active: bench.Side, seconds: float) -> int:
    return bench.lasting(seconds, lambda rounds: _pass(crowd, active, rounds)[0])


def _pass(crowd: Crowd, active: bench.Side, rounds: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of the ROUTER's process."""
    work = [(crowd.hub, ("serve", (rounds * ACTIVE,))), (active, ("exchange", (SIZE, rounds)))]
    _, seconds = crowd.together(work)
    return seconds, crowd.ask(crowd.hub, "spent").cpu_ns / 1e9
