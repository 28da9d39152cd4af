"""What `import shmzmq` loads: nothing of the standard library that can wait until somebody needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXPENSIVE = {
    "ast",
    "asyncio",
    "dataclasses",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "pickle",
    "random",
    "socket",
    "subprocess",
    "tempfile",
    "traceback",
}
FOREIGN = {"gevent", "numpy", "psutil", "rich", "tornado", "zmq"}


@pytest.mark.slow
def test_import_loads_nothing_expensive():
    tell = "import sys; before = set(sys.modules); import shmzmq; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "shmzmq.socket" in loaded
    assert loaded & (EXPENSIVE | FOREIGN) == set()
