"""The types of the public API, as two type checkers in their strict modes see them.

Knows    program.py and names.py beside this file, which use every public name and state what each one is.
Refuses  to know what any of them does; but program.py also runs.
"""

from __future__ import annotations

import ast
import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import numpy  # noqa: F401  # program.py uses it, and its first import starts threads that stay
import pytest

import shmzmq

pytestmark = pytest.mark.shmzmq_only("the types are shmzmq's")

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PROGRAMS = [FOLDER / "program.py", FOLDER / "names.py"]
CLASSES = [
    shmzmq.Context, shmzmq.Socket, shmzmq.Frame, shmzmq.MessageTracker, shmzmq.Poller, shmzmq.Stopwatch,
]  # fmt: skip
CHECK_SECONDS = 150


def used_names() -> set[str]:
    """Every name that stands behind a dot in the programs."""
    trees = [ast.parse(program.read_text()) for program in PROGRAMS]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def run_checker(*command: str) -> None:
    """Run a checker on both programs; its complaints are the failure."""
    module = command[0]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    # pyright's package fetches the checker itself when it first runs, which needs a network.
    there = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, check=False)
    if there.returncode != 0:
        pytest.skip(f"{module} cannot run here: {there.stderr.decode()[-200:]}")
    done = subprocess.run(
        [sys.executable, "-m", *command, *map(str, PROGRAMS)],
        cwd=ROOT, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(CHECK_SECONDS + 10)
def test_mypy_strict_finds_nothing_in_a_program_that_uses_every_name():
    run_checker("mypy", "--strict")


@pytest.mark.slow
@pytest.mark.timeout(CHECK_SECONDS + 10)
def test_pyright_strict_finds_nothing_in_a_program_that_uses_every_name():
    run_checker("pyright")


@pytest.mark.slow
def test_type_checkers_own_modules_are_not_imported_at_run_time():
    code = "import sys, shmzmq; sys.exit('typing_extensions' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30, check=False).returncode == 0


def test_the_program_runs():
    runpy.run_path(str(FOLDER / "program.py"), run_name="__main__")


def test_the_program_uses_every_exported_name():
    assert {name for name in shmzmq.__all__ if not name.startswith("_")} - used_names() == set()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_program_uses_every_public_member(cls):
    """Options included: they are attributes too. Deprecated and refused names need no types."""
    without_types = {"socket_type", "events", "tracker_event"}
    assert {name for name in dir(cls) if not name.startswith("_")} - used_names() - without_types == set()
