"""Every example and every program in the guide runs as it stands, in a fresh process, and ends by itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Far above what any of them needs; a test that hits it says so by name.
CAP_SECONDS = 30

pytestmark = pytest.mark.slow


def run_program(path, folder):
    """Run one program in an empty working directory; returns its stdout, fails with its stderr."""
    # True where shmzmq is used from its source tree without being installed, and no fault of the program's.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore:zmq is shmzmq in this process only"}
    done = subprocess.run(
        [sys.executable, path],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CAP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{path} ended with {done.returncode}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


def programs_in_the_guide():
    for page in sorted((ROOT / "docs" / "guide").glob("*.md")):
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(blocks, 1):
            yield pytest.param(block, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_example_runs_and_prints_something(name, tmp_path):
    assert run_program(ROOT / "examples" / name, tmp_path).strip()


@pytest.mark.parametrize("program", list(programs_in_the_guide()))
def test_program_in_the_guide_runs_and_prints_something(program, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(program)
    assert run_program(file, tmp_path).strip()


def test_wordcount_example_answers_for_every_file_it_sent(tmp_path):
    first_line = run_program(ROOT / "examples" / "wordcount.py", tmp_path).splitlines()[0]
    assert re.fullmatch(r"[\d,]+ words in \d+ files, these most often:", first_line)


def test_reqrep_example_gets_the_right_last_answer(tmp_path):
    assert "10000 squared is 100000000" in run_program(ROOT / "examples" / "reqrep.py", tmp_path)


def test_inherited_socket_in_the_guide_is_refused_in_the_child_and_works_in_the_parent(tmp_path):
    (program,) = [p.values[0] for p in programs_in_the_guide() if p.id == "fork-and-spawn-2"]
    file = tmp_path / "program.py"
    file.write_text(program)
    said = run_program(file, tmp_path)
    assert "in the child: ForkedError" in said
    assert "in the parent: from the parent" in said


def test_every_example_is_named_in_the_examples_readme():
    readme = (ROOT / "examples" / "README.md").read_text()
    for path in (ROOT / "examples").glob("*.py"):
        assert f"`{path.name}`" in readme
