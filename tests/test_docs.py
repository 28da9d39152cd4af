"""No block of code in the documentation is left to rot: each runs as it stands, or says why not.

A block is known by the line above its fence:

    (nothing)                       python: a program; sh: a script; text: something to look at
    <!-- run: beside the next -->   python: started together with the following program
    <!-- output -->                 text: what the sh block above it prints; … stands for anything
    <!-- ci: name -->               sh: .ci/run runs it
    <!-- not run: why -->           whatever cannot run in a test

Programs of the guide are run by tests/test_examples.py, all others here, in an empty folder that stands for
/tmp, with free ports for those that begin with 55. A block that is none of these fails a test.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import test_examples

ROOT = Path(__file__).parents[1]
PAGES = sorted({*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("*/README.md")})
GUIDE = ROOT / "docs" / "guide"
CAP_SECONDS = 60

BLOCK = re.compile(r"(?:^<!-- (?P<mark>.+?) -->\n)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it is, what its fence and the line above it say, and its text."""

    page: Path
    line: int
    kind: str
    mark: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runner(self) -> str:
        """Who runs it; a reason not to counts too. Empty when nobody does."""
        word, _, more = self.mark.partition(": ")
        if word == "not run" and len(more) > 10:
            return "nobody"
        if self.kind == "python" and self.mark in ("", "run: beside the next"):
            return "examples" if self.page.parent == GUIDE else "program"
        if self.kind == "sh":
            return {"": "script", "ci": "ci"}.get(word, "")
        return {"": "eyes", "output": "script above"}.get(self.mark, "") if self.kind == "text" else ""


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("kind")) + 1
            found.append(Block(page, line, match["kind"], match["mark"] or "", match["text"]))
    return found


BLOCKS = blocks()


def of(runner: str) -> list[Block]:
    return [block for block in BLOCKS if block.runner == runner]


def by_place(found: list[Block]) -> list[object]:
    return [pytest.param(block, id=block.where) for block in found]


# --- nobody is left out ----------------------------------------------------------------------------------


def test_every_block_of_every_page_has_a_runner_or_a_reason():
    assert [f"{block.where} {block.kind!r} {block.mark!r}" for block in BLOCKS if not block.runner] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fence_of_a_page_is_a_block_that_was_found(page):
    fences = re.findall(r"^\s*(?:```|~~~)", page.read_text(), re.M)
    assert len(fences) == 2 * len([block for block in BLOCKS if block.page == page])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_hides_behind_an_indent(page):
    prose = BLOCK.sub("", page.read_text())
    paragraphs = re.split(r"\n\s*\n", prose)
    in_list = False
    for paragraph in paragraphs:
        lines = paragraph.splitlines()
        assert in_list or not lines or not all(line.startswith("    ") for line in lines), paragraph
        in_list = bool(re.match(r"\s*(?:[-*]|\d+\.) ", paragraph)) or (in_list and paragraph.startswith(" "))


def test_programs_of_the_guide_are_those_that_are_run_as_examples():
    ran = [program.values[0] for program in test_examples.programs_in_the_guide()]
    assert sorted(ran) == sorted(block.text for block in of("examples"))


def test_blocks_of_the_ci_are_run_by_the_ci():
    script = (ROOT / ".ci" / "run").read_text()
    assert of("ci")
    assert [
        block.where for block in of("ci") if f"readme {block.mark.partition(': ')[2]}" not in script
    ] == []


# --- they run --------------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """Stands for /tmp; short enough for the path of a UNIX socket."""
    with tempfile.TemporaryDirectory(prefix="docs-") as made:
        yield Path(made)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def placed(folder: Path) -> Callable[[str], str]:
    """A function that gives a text folders and ports of its own: the same ones for the same text."""
    ports: dict[str, str] = {}

    def place(text: str) -> str:
        text = re.sub(r"(?<![\w/])/tmp/|(?<=ipc://)/tmp/", f"{folder}/", text)
        return re.sub(r"(?<=:)55\d\d\b", lambda port: ports.setdefault(port[0], free_port()), text)

    return place


@pytest.fixture
def path(folder: Path) -> Iterator[dict[str, str]]:
    """An environment in which `shmzmq` and `python` are ours."""
    with tempfile.TemporaryDirectory(prefix="bin-") as made:
        for name, words in {"python": [], "shmzmq": ["-m", "shmzmq"]}.items():
            script = Path(made, name)
            script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
            script.chmod(0o755)
        yield {**os.environ, "PATH": f"{made}:{os.environ['PATH']}"}


def run(words: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run to the end in a session of its own, so that nothing it started in the background stays."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=CAP_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def programs() -> list[list[Block]]:
    """Programs with those that are to run beside them."""
    together: list[list[Block]] = [[]]
    for block in of("program"):
        together[-1].append(block)
        if block.mark != "run: beside the next":
            together.append([])
    return together[:-1]


@pytest.mark.slow
@pytest.mark.parametrize("together", [pytest.param(each, id=each[-1].where) for each in programs()])
def test_programs_run_as_they_stand(together, folder, path, placed):
    names = []
    for number, block in enumerate(together):
        names.append(f"program{number}.py")
        (folder / names[-1]).write_text(placed(block.text))
    done = run(["sh", "-c", " & ".join(f"python {name}" for name in names) + "; wait"], folder, path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("block", by_place(of("script")))
def test_script_runs_as_it_stands_and_prints_what_the_page_says(block, folder, path, placed):
    done = run(["sh", "-eu", "-c", placed(block.text)], folder, path)
    assert done.returncode == 0, done.stderr
    position = BLOCKS.index(block) + 1
    if position < len(BLOCKS) and BLOCKS[position].runner == "script above":
        said = re.escape(placed(BLOCKS[position].text)).replace("…", ".*")
        assert re.fullmatch(said, done.stdout), f"{done.stdout}\n--- stderr\n{done.stderr}"


def test_every_output_on_a_page_stands_below_its_script():
    before = dict(zip(BLOCKS[1:], BLOCKS, strict=False))
    assert [each.where for each in of("script above") if before[each].runner != "script"] == []
