"""System calls per message, per round trip, and of idle ends, counted by strace.

strace attaches to both children after they are connected and warm, and leaves before they close: start-up,
handshake and clean-up are not counted. What the benchmark's own command costs is counted with an empty
command and taken off. Tracing slows system calls down much and nothing else, so a library that batches may
batch otherwise; a library that makes none is not disturbed.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import placement
from benchmarks.core import bench
from benchmarks.harness import Run
from benchmarks.stats import Key

SIZE = 32
# A call that was interrupted by attaching is begun again under this name; nobody asked for it.
IGNORED = {"restart_syscall"}


class Tracer:
    """strace on one process of ours, all threads, counting."""

    def __init__(self, pid: int, summary: Path) -> None:
        self.pid = pid
        self.summary = summary
        command = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(summary), "-p", str(pid)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 10
        while not self._attached():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                said = self.process.stderr.read() if self.process.stderr else ""
                raise bench.BenchError(f"strace did not attach: {said.strip()[-120:]}")
            time.sleep(0.01)
        time.sleep(0.05)  # interrupted calls are begun again now, not while we count

    def _attached(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task")
        with suppress(OSError):
            return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in threads.iterdir())
        return False

    def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def calls(self) -> Counter[str]:
        """Detach, and what was counted."""
        self.end()
        if self.process.stderr:
            self.process.stderr.close()
        found: Counter[str] = Counter()
        for line in self.summary.read_text().splitlines():
            match = re.fullmatch(r"\s*([a-z_0-9]+)\s+(\d+)\s*", line)
            if match and match[1] not in IGNORED | {"total"}:
                found[match[1]] += int(match[2])
        return found


def available() -> str:
    """Why system calls cannot be counted here; empty if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with suppress(OSError):
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
        if scope != "0" and os.geteuid() != 0:
            return f"ptrace_scope is {scope}: only root may attach"
    return ""


def syscalls(run: Run) -> None:
    """Per message while streaming, per round trip with both ends asleep, per second with both ends idle."""
    reason = available()
    if reason:
        run.results.note(f"system calls were not counted: {reason}")
        return
    where = "two" if placement.cpus("two") else "free"
    for rival in run.plan.rivals:
        if "roundtrip" not in rival.kinds or rival.sizes[0] > SIZE:
            continue
        for variant, count in (("streaming", _streaming), ("asleep", _asleep), ("idle", _idle)):
            if run.late():
                run.results.note(
                    f"system calls, {variant}, {rival.name}: not counted, the run's time was over"
                )
                continue
            run.say(f"system calls, {variant}: {rival.name}")
            key = Key("calls", variant, SIZE, where, rival.name)
            try:
                with run.pair(rival, where, SIZE) as pair:
                    per, calls, divisor = count(run, pair)
            except bench.BenchError as error:
                run.results.fail(key, "", str(error).replace(str(run.scratch), "(scratch)"))
                continue
            run.results.add(key, per, sum(calls.values()) / divisor)
            for name, number in calls.most_common(4):
                run.results.add(key._replace(variant=f"{variant}: {name}"), per, number / divisor)


def traced(run: Run, pair: Any, work: Any) -> Counter[str]:
    """The calls of both children during `work`."""
    tracers = []
    try:
        for side in (pair.left, pair.right):
            tracers.append(Tracer(side.process.pid, run.scratch / f"calls-{side.process.pid}"))
        work()
    finally:
        counted = sum((tracer.calls() for tracer in tracers), Counter())
    return counted


def _overhead(run: Run, pair: Any) -> Counter[str]:
    """What being told to do something costs both children."""
    return traced(run, pair, lambda: pair.both(("nothing", ()), ("nothing", ())))


def _streaming(run: Run, pair: Any) -> tuple[str, Counter[str], float]:
    pair.link("push", "pull")
    rounds = run.plan.traced_rounds
    bench.stream(pair, SIZE, rounds)  # warm: rings grown, pages touched
    overhead = _overhead(run, pair)
    calls = traced(run, pair, lambda: bench.stream(pair, SIZE, rounds))
    return "per message", calls - overhead, bench.messages_in(SIZE, rounds)


def _asleep(run: Run, pair: Any) -> tuple[str, Counter[str], float]:
    spin_off = {"spin_us": 0} if "nospin" in pair.rival.kinds else {}
    pair.link("ping", "pong", spin_off)
    pair.both(("trips", (SIZE, 64)), ("pong", ()))
    overhead = _overhead(run, pair)
    trips = run.plan.traced_rounds * 10
    calls = traced(run, pair, lambda: pair.both(("trips", (SIZE, trips)), ("pong", ())))
    return "per round trip", calls - overhead, trips + 2


def _idle(run: Run, pair: Any) -> tuple[str, Counter[str], float]:
    """The right end sits in recv, the left has nothing to do; a message at the end shows that it waited."""
    pair.link("push", "pull")
    bench.verify(pair, SIZE)
    pair.right.tell(("sleep_in_recv", ()))
    time.sleep(0.2)
    seconds = min(2.0, run.plan.watch_seconds)
    calls = traced(run, pair, lambda: time.sleep(seconds))
    pair.ask(pair.left, "wake_peer")
    pair.right.take("sleep_in_recv")
    return "per second", calls, seconds
