"""Runs the fuzz targets: `make fuzz`. Which there are is the table below; more in native/fuzz/TARGETS.md.

Knows    how a target is built, started and judged; where corpora, finds and crashes lie.
Refuses  to know what a target checks.

Both engines are libFuzzer: one program of Rust for the native targets (native/fuzz), atheris for those in
Python. Stable Rust is enough, since the compiler's coverage pass needs no nightly flag.

    native/fuzz/corpus/NAME/      inputs worth keeping, committed; every run begins with them
    native/fuzz/words/NAME.dict   words that the engine may insert, where there is such a file
    target/fuzz/NAME/found/       what runs on this machine added; `--keep` brings some into the corpus
    target/fuzz/NAME/crashes/     inputs that failed; `--replay NAME FILE` runs one again
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
CRATE = ROOT / "native" / "fuzz"
WORK = ROOT / "target" / "fuzz"

NATIVE = {
    "greeting": 256,
    "framing": 1024,
    "metadata": 8200,
    "commands": 600,
    "connection": 600,
    "facts": 600,
    "traffic": 1024,
}
"""Rows of native/fuzz/src/lib.rs, and the bytes that an input has at most: as few as reach every branch,
since a check cuts its input in several ways and compares each. Larger lengths are claimed, not sent."""

PYTHON = {"endpoint": 256}
"""Targets in Python, likewise; tests/fuzz/NAME_engine.py is the program that atheris drives."""

MOST_BYTES = NATIVE | PYTHON
TARGETS = tuple(MOST_BYTES)

COVERAGE = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
)
"""What makes the compiler count edges and show comparisons to libFuzzer (clang's SanitizerCoverage page)."""

SECONDS_AN_INPUT = 20
"""An input that takes longer is a failure: the slowest of a corpus takes milliseconds."""

MEGABYTES = 1024

FINDS_AT_MOST = 10
"""Finds of a target that are committed, the smallest first: a run finds the others again within seconds."""
SUCCESS = 0


@dataclass(frozen=True)
class Result:
    """One run. `edges` of `all_edges` were reached; a run that counts none was built without coverage."""

    name: str
    status: int
    executions: int
    per_second: int
    edges: int
    all_edges: int
    log: Path

    @property
    def ok(self) -> bool:
        """Nothing failed, and there was something to see."""
        return self.status == SUCCESS and self.executions > 0 and self.edges > 0


# --- where things are ---------------------------------------------------------------------------------------


def corpus(name: str) -> Path:
    """The committed inputs of a target."""
    return CRATE / "corpus" / name


def found(name: str) -> Path:
    """What runs on this machine added."""
    return WORK / name / "found"


def crashes(name: str) -> Path:
    """Inputs that failed."""
    return WORK / name / "crashes"


# --- engines ------------------------------------------------------------------------------------------------


def host() -> str:
    """This machine's target triple. Named to cargo, it keeps our flags away from build scripts."""
    told = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return told.partition("host: ")[2].splitlines()[0]


def build() -> Path:
    """Build the program of the native targets; returns its path."""
    triple = host()
    environment = {**os.environ, "RUSTFLAGS": " ".join(COVERAGE)}
    environment.pop("CARGO_ENCODED_RUSTFLAGS", None)
    subprocess.run(
        [
            *(
                "cargo",
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--features",
                "engine",
                "--target",
                triple,
            ),
            *("--manifest-path", str(CRATE / "Cargo.toml"), "--target-dir", str(WORK / "build")),
        ],
        check=True,
        env=environment,
    )
    return WORK / "build" / triple / "release" / "engine"


def engine(name: str) -> list[str]:
    """The command that runs a target, without libFuzzer's options; what it needs is built or is there."""
    if name in PYTHON:
        if find_spec("atheris") is None:
            sys.exit(f"{name} needs atheris, which is not installed: pip install --group fuzz")
        return [sys.executable, str(ROOT / "tests" / "fuzz" / f"{name}_engine.py")]
    return [str(build())]


def start(name: str, command: list[str], *options: str | Path, log: Path) -> int:
    """Run an engine to its end; its output goes to `log`. Returns its exit status."""
    environment = {**os.environ, "SHMZMQ_FUZZ_TARGET": name, "RUST_BACKTRACE": "1"}
    for folder in (found(name), crashes(name)):
        folder.mkdir(parents=True, exist_ok=True)
    fixed = (
        f"-artifact_prefix={crashes(name)}/",
        f"-max_len={MOST_BYTES[name]}",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MEGABYTES}",
        "-print_final_stats=1",
    )
    words = CRATE / "words" / f"{name}.dict"
    dictionary = (f"-dict={words}",) if words.exists() else ()
    line = [*command, *fixed, *dictionary, *map(str, options)]
    with log.open("wb") as to:
        return subprocess.run(line, check=False, stdout=to, stderr=to, env=environment, cwd=WORK).returncode


# --- the three things to do ---------------------------------------------------------------------------------


def fuzz(name: str, seconds: int, command: list[str]) -> Result:
    """Try new inputs for that long."""
    log = WORK / name / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    status = start(name, command, f"-max_total_time={seconds}", found(name), corpus(name), log=log)
    return read(name, status, log)


def read(name: str, status: int, log: Path) -> Result:
    """What libFuzzer's output says of a run."""
    text = log.read_text(errors="replace")

    def last(pattern: str) -> int:
        numbers = re.findall(pattern, text)
        return int(numbers[-1]) if numbers else 0

    return Result(
        name,
        status,
        executions=last(r"stat::number_of_executed_units:\s*(\d+)"),
        per_second=last(r"stat::average_exec_per_sec:\s*(\d+)"),
        edges=last(r" cov: (\d+)"),
        all_edges=last(r"\((\d+) inline 8-bit counters\)"),
        log=log,
    )


def keep(name: str, command: list[str]) -> None:
    """Bring into the corpus what adds an edge to the seeds with names, and drop what no longer does."""
    for old in corpus(name).iterdir():
        if is_find(old):
            shutil.move(old, found(name) / old.name)
    options = ("-merge=1", "-set_cover_merge=1", "-use_counters=0")
    log = WORK / name / "keep.log"
    if start(name, command, *options, corpus(name), found(name), log=log) != SUCCESS:
        sys.exit(f"{name}: merging failed, see {log}")
    finds = sorted(filter(is_find, corpus(name).iterdir()), key=lambda path: (path.stat().st_size, path.name))
    for surplus in finds[FINDS_AT_MOST:]:
        shutil.move(surplus, found(name) / surplus.name)
    print(f"{name}: {len(finds[:FINDS_AT_MOST])} of {len(finds)} finds kept beside the seeds")


def is_find(path: Path) -> bool:
    """Whether an engine named that file, by the SHA-1 of what is in it. Seeds have names that speak."""
    return re.fullmatch(r"[0-9a-f]{40}", path.name) is not None


def replay(name: str, file: Path) -> int:
    """Run one input; its failure is on the terminal. Returns the exit status."""
    environment = {**os.environ, "SHMZMQ_FUZZ_TARGET": name, "RUST_BACKTRACE": "1"}
    return subprocess.run([*engine(name), str(file.resolve())], check=False, env=environment).returncode


# --- the command --------------------------------------------------------------------------------------------


def report(results: list[Result]) -> None:
    """A line a target, and the end of the log of each that failed."""
    print(f"{'target':12}{'executions':>12}{'a second':>10}{'edges':>8}{'of':>7}  result")
    for it in results:
        verdict = "ok" if it.ok else f"FAILED (status {it.status})"
        print(
            f"{it.name:12}{it.executions:12}{it.per_second:10}{it.edges:8}{it.all_edges:7}  {verdict}",
            flush=True,
        )
    for it in results:
        if not it.ok:
            tail = it.log.read_text(errors="replace").splitlines()[-40:]
            print(f"\n--- {it.name}: the end of {it.log}", *tail, sep="\n")
            print(f"--- again: python -m tools.fuzz --replay {it.name} {crashes(it.name)}/FILE")


def main(arguments: list[str] | None = None) -> int:
    """See `--help`. Returns 0, or 1 when a target failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="targets side by side (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="instead: bring finds into the corpus")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="instead: run one input of one target")
    parser.add_argument("--build", action="store_true", help="instead: only build the native targets")
    given = parser.parse_args(arguments)
    if given.build:
        build()
        return 0
    names = given.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.replay:
        return replay(names[0], given.replay)
    commands = {name: engine(name) for name in names if name in PYTHON}
    if native := [name for name in names if name in NATIVE]:
        program = str(build())
        commands.update({name: [program] for name in native})
    if given.keep:
        for name in names:
            keep(name, commands[name])
        return 0
    with ThreadPoolExecutor(given.jobs) as pool:
        results = list(pool.map(lambda name: fuzz(name, given.seconds, commands[name]), names))
    report(results)
    return 0 if all(it.ok for it in results) else 1


if __name__ == "__main__":
    sys.exit(main())
