"""What idle connections cost: memory, descriptors, wake-ups. Read from /proc by the parent.

The children are asked nothing while they are looked at; a process that reports on itself is not idle.
"""

import os
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import placement
from benchmarks.core import bench
from benchmarks.harness import Run, in_turns
from benchmarks.stats import Key

FIRST = 64  # T18 speaks of a binder's first 64 peers and of those beyond
SETTLE = 0.3  # seconds for handshakes, frees and housekeeping to end


@dataclass
class Facts:
    """Of one process. Pss counts a page shared by n processes as 1/n in each, so both ends may be added."""

    pss: int
    pss_shmem: int
    descriptors: int
    switches: int  # voluntary context switches of all threads: each is a sleep, hence a wake-up


def look(pid: int) -> Facts:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        switches += _number((task / "status").read_text(), "voluntary_ctxt_switches")
    return Facts(
        _number(rollup, "Pss"), _number(rollup, "Pss_Shmem"), len(os.listdir(f"/proc/{pid}/fd")), switches
    )


def system_shmem() -> int:
    """KiB of shared memory in the whole system: sees a memfd's pages that no process has mapped."""
    return _number(Path("/proc/meminfo").read_text(), "Shmem")


def _number(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", text, re.M)
    if found is None:
        raise bench.BenchError(f"the kernel does not tell {name}")
    return int(found[1])


def idle(run: Run) -> None:
    """Memory and descriptors per idle ipc connection; wake-ups of a receiver with many idle peers."""
    if not Path("/proc/self/smaps_rollup").exists():
        run.results.note("idle connections were not measured: they need Linux's /proc")
        return
    subjects = [rival for rival in run.plan.rivals if "idle" in rival.kinds]
    where = "two" if placement.cpus("two") else "free"
    in_turns(run, subjects, partial(_memory, run, where), "idle memory", partial(_memory_key, where))
    for rival in subjects:  # once: it takes its time and counts, it does not time
        if run.late():
            run.results.note(f"idle peers, {rival.name}: not watched, the run's time was over")
            continue
        run.say(f"idle peers: {rival.name}")
        key = Key("idle", f"wake-ups in {run.plan.watch_seconds:g} s", run.plan.peers, where, rival.name)
        try:
            _wakeups(run, rival, where, key)
        except bench.BenchError as error:
            run.results.fail(key, "", str(error).replace(str(run.scratch), "(scratch)"))


def _memory_key(where: str, rival: Any) -> Key:
    return Key("idle", "KiB per connection", 0, where, rival.name)


def _memory(run: Run, where: str, rival: Any) -> None:
    total = max(run.plan.connections, FIRST + 16)
    with run.pair(rival, where) as pair:
        address = _prepare(pair, total)
        _add(pair, address, 1)  # what a first connection sets up once is not a connection's cost
        before, shmem = _both(pair), system_shmem()
        _add(pair, address, FIRST - 1)
        middle = _both(pair)
        _add(pair, address, total - FIRST)
        after, shmem = _both(pair), system_shmem() - shmem
    name = rival.name
    count, beyond = total - 1, total - FIRST
    grown = sum(late.pss - early.pss for early, late in zip(before, after, strict=True))
    mapped = sum(late.pss_shmem - early.pss_shmem for early, late in zip(before, after, strict=True))
    # Committed but unmapped shared pages are in the system's figure only; other programs are in it too.
    run.results.add(Key("idle", "KiB per connection", 0, where, name), "KiB", grown / count)
    run.results.add(Key("idle", "of it shared, KiB", 0, where, name), "KiB", mapped / count)
    run.results.add(Key("idle", "system's Shmem, KiB", 0, where, name), "KiB", shmem / count)
    binder = [facts[1].descriptors for facts in (before, middle, after)]
    connecter = [facts[0].descriptors for facts in (before, after)]
    first = (binder[1] - binder[0]) / (FIRST - 1)
    run.results.add(Key("idle", f"binder fds per peer, first {FIRST}", 0, where, name), "fds", first)
    later = (binder[2] - binder[1]) / beyond
    run.results.add(Key("idle", f"binder fds per peer, beyond {FIRST}", 0, where, name), "fds", later)
    each = (connecter[1] - connecter[0]) / count
    run.results.add(Key("idle", "connecter fds per socket", 0, where, name), "fds", each)


def _prepare(pair: Any, total: int) -> str:
    """A bound PULL on the right, an empty context on the left, descriptors for both; the address."""
    limit = min(pair.ask(side, "raise_limit") for side in (pair.left, pair.right))
    if limit < 4 * total + 64:
        raise bench.BenchError(f"{total} peers need {4 * total + 64} descriptors, this user may have {limit}")
    pair.ask(pair.left, "prepare_peers", total)
    return str(pair.ask(pair.right, "bind", "PULL"))


def _add(pair: Any, address: str, count: int) -> None:
    pair.both(("add_peers", (address, count)), ("meet_peers", (count,)))


def _both(pair: Any) -> tuple[Facts, Facts]:
    time.sleep(SETTLE)
    return look(pair.left.process.pid), look(pair.right.process.pid)


def _wakeups(run: Run, rival: Any, where: str, key: Key) -> None:
    """Voluntary context switches of the receiving process while it sits in recv among idle peers."""
    with run.pair(rival, where) as pair:
        address = _prepare(pair, run.plan.peers)
        _add(pair, address, run.plan.peers)
        pair.right.tell(("wait_for_peer", ()))
        time.sleep(SETTLE)
        before = look(pair.right.process.pid).switches
        time.sleep(run.plan.watch_seconds)
        woken = look(pair.right.process.pid).switches - before
        pair.ask(pair.left, "speak")
        pair.right.take("wait_for_peer")  # it was waiting, and a word still reaches it
    run.results.add(key, "wake-ups", woken)
