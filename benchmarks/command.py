"""The command line: what to measure, then measure it, print it, write it. See benchmarks/README.md."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    awaits,
    cases,
    copies,
    fanout,
    idle,
    imports,
    machine,
    peers,
    plot,
    plot_sizes,
    report,
    rivals,
    sizes,
    syscalls,
    video,
    zero,
)
from benchmarks.harness import Plan, Run
from benchmarks.placement import PLACEMENTS
from benchmarks.stats import Results

FOLDER = Path(__file__).parent / "results"
SIZES = [32, 256, 1024, 4096, 65536, 1 << 20, 16 << 20]
QUICK_SIZES = [32, 1024, 65536, 1 << 20]

CASES: dict[str, Callable[[Run], None]] = {
    "throughput": cases.oneway,
    "latency": cases.trips,
    "connect": cases.connect,
    "inproc": cases.inproc,
    "syscalls": syscalls.syscalls,
    "idle": idle.idle,
    "patterns": cases.patterns,
    "peers": peers.peers,
    "fanout": fanout.fanout,
    "zero": zero.zero,
    "video": video.video,
    "copies": copies.copies,
    "sizes": sizes.sizes,
    "asyncio": awaits.awaits,
    "import": imports.imports,
}
NAMED_ONLY = {
    "sizes",
    "video",
    "copies",
}  # parts that take minutes by themselves, or ask something that is asked once


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure shmzmq beside its rivals."
    )
    made.add_argument(
        "--quick", action="store_true", help="at most a minute: fewer rivals, sizes, repetitions"
    )
    made.add_argument(
        "--only",
        metavar="CASE,...",
        help=f"of {', '.join(CASES)}; not by default: {', '.join(sorted(NAMED_ONLY))}",
    )
    made.add_argument(
        "--rivals", metavar="NAME,...", help="as --list names them; default: all that are installed"
    )
    made.add_argument("--sizes", metavar="BYTES,...", help=f"default {','.join(map(str, SIZES))}")
    made.add_argument("--repeat", type=int, metavar="N", help="repetitions (default 5, quick 3)")
    made.add_argument("--placement", metavar="P,...", help=f"of {', '.join(PLACEMENTS)}; default one,two")
    made.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="where results go")
    made.add_argument("--no-write", action="store_true", help="print only")
    made.add_argument("--list", action="store_true", help="name the rivals and whether they are here")
    return made


def _split(text: str, known: list[str], what: str) -> list[str]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for part in chosen:
        if part not in known:
            raise SystemExit(f"unknown {what} {part!r}; known: {', '.join(known)}")
    return chosen


def _rivals(options: argparse.Namespace) -> list[Any]:
    known = [rival.name for rival in rivals.EVERY]
    if options.rivals:
        names = _split(options.rivals, known, "rival")
    else:
        names = list(rivals.QUICK) if options.quick else known
    return [rivals.named(name) for name in names]


def _plan(options: argparse.Namespace, chosen: list[Any]) -> Plan:
    quick = options.quick
    asked = [int(size) for size in options.sizes.split(",")] if options.sizes else []
    chosen_sizes = asked or (QUICK_SIZES if quick else SIZES)
    placements = (
        _split(options.placement, list(PLACEMENTS), "placement") if options.placement else ["one", "two"]
    )
    repeat = options.repeat or (3 if quick else 5)
    if repeat < 1 or min(chosen_sizes) < 16:
        raise SystemExit("--repeat must be at least 1 and --sizes at least 16 bytes")
    return Plan(
        rivals=chosen,
        sizes=chosen_sizes,
        repeat=repeat,
        sample_seconds=0.12 if quick else 0.35,
        limit_seconds=48 if quick else 14 * 60,
        peers=100 if quick else 1000,
        watch_seconds=1 if quick else 10,
        connections=80 if quick else 128,
        placements=placements,
        traced_rounds=20 if quick else 80,
        cap=6 if quick else 20,
        fanout_sizes=asked or [fanout.SMALL, fanout.LARGER, *([] if quick else [fanout.LARGE])],
        readers=fanout.READERS[-1:] if quick else fanout.READERS,
        router_peers=200 if quick else 1000,
        curve=asked or list(sizes.SIZES),
        frames=60 if quick else 300,
    )


def _scratch() -> str | None:
    """Shared memory for files that libraries map, unless it is the small one of a container."""
    import shutil

    place = Path("/dev/shm")
    return str(place) if place.is_dir() and shutil.disk_usage(place).free > 2**30 else None


def _measure(plan: Plan, only: list[str], order: list[str]) -> Results:
    results = Results(order)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=_scratch()) as scratch:
        run = Run(plan, results, Path(scratch))
        for name in only:
            if run.late():
                results.note(f"{name} was not measured: the run's time was over")
                continue
            begun = time.monotonic()
            CASES[name](run)
            results.seconds[name] = round(time.monotonic() - begun, 1)
        run.say("")
    return results


def _name(head: dict[str, Any], options: argparse.Namespace) -> str:
    """A partial run must not replace a whole one of the same day and commit."""
    parts = [head["date"], head["commit"]]
    if options.quick:
        parts.append("quick")
    if options.only or options.rivals or options.sizes or options.placement:
        parts.append("partial")
    return "-".join(parts)


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.list:
        for rival in rivals.EVERY:
            print(f"{rival.name:18} {rival.version() if rival.available() else 'not installed'}")
        return 0
    only = (
        _split(options.only, list(CASES), "case")
        if options.only
        else [name for name in CASES if name not in NAMED_ONLY]
    )
    wanted = _rivals(options)
    here = [rival for rival in wanted if rival.available()]
    plan = _plan(options, here)
    begun, facts, watch = time.monotonic(), machine.facts(), machine.Watch()
    results = _measure(plan, only, [rival.name for rival in wanted])
    facts |= {"load_after": machine.facts()["load_before"], **watch.report()}
    for rival in wanted:
        if rival not in here:
            results.note(f"{rival.name} is not installed here")
    head = {
        "date": machine.today(),
        "commit": machine.commit(),
        "machine": facts,
        "versions": {rival.name: rival.version() for rival in here if rival.version() != "stdlib"},
        "options": {
            "quick": options.quick,
            "only": only,
            "repeat": plan.repeat,
            "sizes": plan.sizes,
            "sample_seconds": plan.sample_seconds,
        },
        "seconds": {**results.seconds, "all": round(time.monotonic() - begun, 1)},
    }
    print(report.summary(results))
    if not options.no_write:
        _write(options, head, results)
    return 0


def _write(options: argparse.Namespace, head: dict[str, Any], results: Results) -> None:
    name = _name(head, options)
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = []
    if plot.available():
        title = (
            f"{head['machine']['cpu']}, {head['machine']['python']}, {head['date']}, commit {head['commit']}"
        )
        for draw, suffix in ((plot.draw, ""), (plot_sizes.draw, "-sizes")):
            if draw(options.out / f"{name}{suffix}.png", title, results):
                pictures.append(f"{name}{suffix}.png")
    else:
        results.note("no picture: matplotlib is not installed")
    for path in report.write(options.out, name, head, results, pictures):
        print(path)
