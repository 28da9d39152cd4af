"""C baselines: built by the machine's own compiler into a temporary folder when a run begins.

They say what the machine allows: both ends asleep, both ends spinning, bytes copied in and out, bytes
through TCP.
"""

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.core import bench

HERE = Path(__file__).parent
PROGRAMS = (
    *("eventfd_pingpong", "unix_pingpong", "tcp_pingpong", "spin_pingpong"),
    *("pipeline", "tcp_stream", "flag_ring"),
)


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(into: Path) -> dict[str, Path]:
    """Compile every baseline; raise BenchError with the compiler's words if one does not."""
    cc = compiler()
    if cc is None:
        raise bench.BenchError("no C compiler (cc, gcc, clang) on PATH")
    built = {}
    for name in PROGRAMS:
        built[name] = into / name
        command = [
            cc,
            "-O2",
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-o",
            str(built[name]),
            str(HERE / f"{name}.c"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise bench.BenchError(f"{name}.c: {done.stderr.strip()[-400:]}")
    return built


def run(program: Path, *arguments: object) -> dict[str, float]:
    """One run of one baseline; its JSON."""
    command = [str(program), *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=70, check=False)
    except subprocess.TimeoutExpired:
        raise bench.BenchError(f"{program.name}: no end in 70 s") from None
    if done.returncode:
        raise bench.BenchError(f"{program.name}: exit code {done.returncode}: {done.stderr.strip()[-200:]}")
    return json.loads(done.stdout)
