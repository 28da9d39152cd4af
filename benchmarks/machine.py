"""The facts without which a figure means nothing, and no others: no host name, no user, no path."""

import datetime
import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def facts() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "cpus_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "virtual": _virtual(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "architecture": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


class Watch:
    """How much of the machine went to anybody else while we measured. A pinned pair cannot step aside."""

    def __init__(self) -> None:
        self.wall = time.monotonic()
        self.busy, self.stolen = _machine_seconds()
        self.ours = _our_seconds()

    def report(self) -> dict[str, float | None]:
        """Percent of all CPU time that other programs used, and that the hypervisor withheld."""
        busy, stolen = _machine_seconds()
        capacity = (time.monotonic() - self.wall) * (os.cpu_count() or 1)
        if not busy or not capacity:
            return {"others_percent": None, "stolen_percent": None}
        others = busy - self.busy - (_our_seconds() - self.ours)
        return {
            "others_percent": round(max(0.0, 100 * others / capacity), 1),
            "stolen_percent": round(100 * (stolen - self.stolen) / capacity, 1),
        }


def _machine_seconds() -> tuple[float, float]:
    """CPU seconds used by all programs, and stolen, since boot: proc_stat(5), first line."""
    with suppress(OSError, ValueError):
        first = Path("/proc/stat").read_text().splitlines()[0]
        user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, first.split()[1:])
        tick = os.sysconf("SC_CLK_TCK")
        return (user + nice + system + irq + softirq) / tick, steal / tick
    return 0.0, 0.0


def _our_seconds() -> float:
    """CPU seconds of this process and of the children it has reaped."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _cpu_model() -> str:
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _virtual() -> bool:
    """Whether the CPU says it runs below a hypervisor; wake-ups and spinning then cost otherwise."""
    return _has_flag("hypervisor")


def goes_past_caches() -> bool:
    """Whether very large frames are copied by stores that go past the caches, here."""
    return _has_flag("avx")


def _has_flag(name: str) -> bool:
    with suppress(OSError):
        return re.search(rf"^flags.*\b{name}\b", Path("/proc/cpuinfo").read_text(), re.M) is not None
    return False


def commit() -> str:
    """Short hash of the tree that was measured, `-dirty` if it had uncommitted changes outside results."""
    name = _git("rev-parse", "--short=10", "HEAD") or "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return f"{name}-dirty" if changed else name


def _git(*arguments: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
