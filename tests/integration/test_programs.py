"""Programs of others, which import zmq: Jupyter, tornado, uvloop, anyio, ipyparallel, locust.

Each runs in processes of its own with SHMZMQ_AS_ZMQ=1. `make integration` makes the environment: the packages
of the dependency group `integration`, shmzmq from its wheel, no pyzmq. In another environment a test whose
packages are missing is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PROGRAMS = Path(__file__).parent / "programs"
CAP_SECONDS = 60
ENVIRONMENT = {**os.environ, "SHMZMQ_AS_ZMQ": "1", "PYTHONFAULTHANDLER": "1"}


@pytest.fixture(scope="module", autouse=True)
def alias(tmp_path_factory):
    """The start of Python reads the hook here."""
    done = subprocess.run(
        [sys.executable, "-c", "import zmq; print(zmq.__name__)"],
        cwd=tmp_path_factory.mktemp("away"),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout != "shmzmq\n":
        assert os.environ.get("SHMZMQ_INTEGRATION") != "1", done.stderr
        pytest.skip("shmzmq is not installed in this environment: its children cannot have it as zmq")


def need(*modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def run(folder: Path, name: str, *arguments: str, **environment: str) -> dict:
    """What a program saw, as it prints it in its last line; in an empty folder, away from the source tree."""
    done = subprocess.run(
        [sys.executable, PROGRAMS / name, *arguments],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=CAP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(
    os.environ.get("SHMZMQ_INTEGRATION") != "1", reason="not the environment of `make integration`"
)
def test_environment_has_no_pyzmq():
    from importlib import metadata

    assert [each.name for each in metadata.distributions() if each.name == "pyzmq"] == []
    assert find_spec("zmq") is None


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_jupyter_kernel_starts_executes_is_interrupted_restarts_and_ends(transport, tmp_path, scratch):
    need("jupyter_client", "ipykernel")
    # The connection file and, over ipc, the sockets lie in `scratch`, which has to be empty in the end.
    folders = {"JUPYTER_RUNTIME_DIR": str(scratch), "IPYTHONDIR": str(tmp_path)}
    saw = run(tmp_path, "jupyter_kernel.py", transport, **folders)
    status, error, took_ms = saw.pop("interrupted")
    print(f"{transport}: a recv in the kernel ended {took_ms} ms after the interrupt")
    assert (status, error) == ("error", "KeyboardInterrupt")
    saw.pop("ready s")
    assert saw == {
        "zmq": ["ok", ["shmzmq []"]],
        "sum": ["ok", ["45"]],
        "after": ["ok", ["1"]],
        "heart beats": True,
        "restarted": ["ok", ["False"]],
        "alive": False,
    }


def test_tornado_streams_echo(tmp_path):
    need("tornado")
    everything = [True, 1000]
    saw = run(tmp_path, "tornado_streams.py")
    assert saw == {"zmq": "shmzmq", "ipc": everything, "tcp": everything, "inproc": everything}


def test_loops_echo(tmp_path, scratch):
    need("uvloop", "anyio", "trio")
    saw = run(tmp_path, "loops.py", str(scratch))
    assert saw.pop("zmq") == "shmzmq"
    assert saw == dict.fromkeys(saw, True)
    assert len(saw) == 8


def test_ipyparallel_maps_over_two_engines(tmp_path):
    need("ipyparallel")
    assert run(tmp_path, "parallel.py", str(tmp_path)) == {
        "squares": [number * number for number in range(20)],
        "zmq": ["shmzmq"],
        "here": "shmzmq",
        "error": "ZeroDivisionError",
        "engines": 2,
    }


def test_locust_counts_what_two_workers_did(tcp, tmp_path):
    need("locust")
    port = tcp.rpartition(":")[2]
    locust = [sys.executable, "-m", "locust", "-f", str(PROGRAMS / "locustfile.py"), "--skip-log"]
    shape = ["--headless", "--expect-workers", "2", "-u", "4", "-r", "4", "-t", "2s", "--json"]
    master = [*locust, "--master", "--master-bind-port", port, *shape]
    worker = [*locust, "--worker", "--master-port", port]
    pipes = {
        "cwd": tmp_path,
        "env": ENVIRONMENT,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    processes = [subprocess.Popen(command, **pipes) for command in (master, worker, worker)]
    try:
        outputs = [process.communicate(timeout=CAP_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    (row,) = json.loads(outputs[0][0])
    assert row["name"] == "count"
    assert row["num_requests"] > 0
    assert row["num_failures"] == 0
