"""What it costs to have a library: the time of its import, and its size as packed in a wheel.

Fresh processes import and measure themselves (`-X importtime`), libraries taking turns. Knows of rivals only
which module and which distribution two of them are.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import partial
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.core import bench
from benchmarks.harness import Run, in_turns
from benchmarks.stats import Key

NAMES = {"shmzmq": ("shmzmq", "shmzmq"), "pyzmq-ipc": ("zmq", "pyzmq")}  # module, distribution
IMPORTS = 4  # in a repetition: with five of them, twenty
TIME, SIZE = "import time", "packed size"
BESIDE = ("_shmzmq_as_zmq.py", *(f"startup/platlib/shmzmq_as_zmq.{kind}" for kind in ("pth", "start")))


def key(subject: str, variant: str) -> Key:
    return Key("import", variant, 0, "free", subject)


def imports(run: Run) -> None:
    """Milliseconds of `import`, compiled and from warm caches; KiB of all files, as a wheel packs them."""
    subjects = [rival for rival in run.plan.rivals if rival.name in NAMES]
    in_turns(run, subjects, partial(_import, run), "import", lambda rival: key(rival.name, TIME))
    for rival in subjects:
        module, distribution = NAMES[rival.name]
        run.results.add(key(rival.name, SIZE), "KiB", packed(_files(module, distribution)) / 1024)


def _import(run: Run, rival: Any) -> None:
    module, _ = NAMES[rival.name]
    where = key(rival.name, TIME)
    if run.results.get(*where) is None:
        _milliseconds(module, run.scratch)  # compiles, and warms the caches of files
    for _ in range(IMPORTS):
        run.results.add(where, "ms", _milliseconds(module, run.scratch))


def _milliseconds(module: str, scratch: Path) -> float:
    """Of one import in a fresh process, everything that it imports included."""
    plain = {"PYTHONDONTWRITEBYTECODE", "SHMZMQ_AS_ZMQ"}
    environment = {name: value for name, value in os.environ.items() if name not in plain}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        env={**environment, "PYTHONPYCACHEPREFIX": str(scratch / "compiled")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise bench.BenchError(f"cannot import {module}")
    # The last line is the module's own: self | cumulative | name, in microseconds.
    return int(done.stderr.splitlines()[-1].split("|")[1]) / 1000


def _files(module: str, distribution: str) -> Iterator[Path]:
    """What an installation consists of; for one from a source tree, what its wheel would."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    installed = [Path(str(file.locate())) for file in files(distribution) or ()]
    if folder / "__init__.py" in installed:
        found = iter(installed)
    else:
        found = iter([*folder.rglob("*"), *(folder.parent / name for name in BESIDE)])
    return (path for path in found if path.is_file() and path.suffix != ".pyc" and path.name != "RECORD")


def packed(paths: Iterator[Path]) -> int:
    """Bytes of the files in a wheel, shared libraries stripped as wheels have them."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as wheel:
        for number, path in enumerate(paths):
            wheel.writestr(
                f"{number}/{path.name}", _stripped(path) if ".so" in path.name else path.read_bytes()
            )
    return len(memory.getvalue())


def _stripped(path: Path) -> bytes:
    strip = shutil.which("strip")
    if strip is None:
        return path.read_bytes()
    with tempfile.NamedTemporaryFile() as bare:
        subprocess.run([strip, "-o", bare.name, str(path)], check=True)
        return Path(bare.name).read_bytes()
