"""The fuzz targets: every place that has to name them does, and the Python ones hold for their corpus.

Knows    the tables, the folders, the page and the verbs. Native targets' corpora run in native/fuzz/tests.
Refuses  to fuzz: `make fuzz` does, for as long as it is told.
"""

from __future__ import annotations

import re
from pathlib import Path

import endpoint_target
import pytest

from shmzmq import endpoint
from tools import fuzz

ROOT = Path(__file__).parents[2]
INPUTS = sorted(path for path in (fuzz.CRATE / "corpus").rglob("*") if path.is_file())

FILES_AT_MOST = 200
BYTES_AT_MOST = 200 * 1024


def text(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text()


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


# --- every place that names the targets ---------------------------------------------------------------------


def test_the_table_of_the_crate_is_the_table_of_the_runner():
    assert re.findall(r'^ +\("(\w+)", \w+::check\),$', text("native", "fuzz", "src", "lib.rs"), re.M) == list(
        fuzz.NATIVE
    )


def test_every_file_of_a_target_is_in_the_table():
    native = names(fuzz.CRATE / "src" / "targets") - {"mod"}
    assert native == set(fuzz.NATIVE)
    for part in ("target", "engine"):
        programs = Path(__file__).parent.glob(f"*_{part}.py")
        assert {path.stem.removesuffix(f"_{part}") for path in programs} == set(fuzz.PYTHON)


def test_every_target_has_a_corpus_and_every_corpus_a_target():
    assert names(fuzz.CRATE / "corpus") == set(fuzz.TARGETS) == {path.parent.name for path in INPUTS}


def test_every_target_has_its_section_on_the_page():
    page = text("native", "fuzz", "TARGETS.md")
    assert re.findall(r"^## (\w+):", page, re.M) == list(fuzz.TARGETS)


def test_words_belong_to_a_target():
    assert names(fuzz.CRATE / "words") <= set(fuzz.TARGETS)


def test_ci_runs_every_target_and_replays_every_corpus():
    """CI calls the verbs, the verb names no target, and without one the runner takes the whole table."""
    ran = re.findall(r"^make (\S+)$", text(".ci", "run"), re.M)
    assert {"fuzz", "test-native", "lint"} <= set(ran)
    verbs = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", text("Makefile"), re.M))
    assert verbs["fuzz"] == "\tpython -m tools.fuzz --seconds $(FUZZ_SECONDS)\n"
    for verb in ("test-native", "lint", "format"):
        assert "native/fuzz/Cargo.toml" in verbs[verb], verb


def test_the_corpora_stay_small():
    assert len(INPUTS) < FILES_AT_MOST
    assert sum(path.stat().st_size for path in INPUTS) < BYTES_AT_MOST


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_no_input_is_longer_than_its_target_is_given(name):
    sizes = [path.stat().st_size for path in fuzz.corpus(name).iterdir()]
    assert max(sizes) <= fuzz.MOST_BYTES[name]


# --- how a run is judged ------------------------------------------------------------------------------------


def result(tmp_path, log, status=0):
    path = tmp_path / "log"
    path.write_text(log)
    return fuzz.read("greeting", status, path)


GOOD = """INFO: Loaded 1 modules   (3606 inline 8-bit counters): 3606 [0x1, 0x2),
#34\tINITED cov: 46 ft: 94 corp: 13/209b exec/s: 0 rss: 48Mb
#84483\tDONE   cov: 479 ft: 1394 corp: 130/209b exec/s: 4023 rss: 48Mb
stat::number_of_executed_units: 84483
stat::average_exec_per_sec:     4023
"""


def test_a_run_that_saw_something_and_nothing_failed_is_good(tmp_path):
    it = result(tmp_path, GOOD)
    assert it.ok
    assert (it.executions, it.per_second, it.edges, it.all_edges) == (84483, 4023, 479, 3606)


def test_a_run_that_failed_or_saw_nothing_is_not(tmp_path):
    assert not result(tmp_path, GOOD, status=77).ok
    assert not result(tmp_path, GOOD.replace("84483", "0")).ok
    assert not result(tmp_path, re.sub(r"cov: \d+", "cov: 0", GOOD)).ok
    assert not result(tmp_path, "").ok


# --- the corpus of the Python target ------------------------------------------------------------------------

ENDPOINTS = sorted(fuzz.corpus("endpoint").iterdir())


@pytest.mark.parametrize("path", ENDPOINTS, ids=lambda path: path.name)
def test_every_endpoint_of_the_corpus_holds(path):
    endpoint_target.check(path.read_bytes())


def test_endpoints_of_the_corpus_are_refused_as_in_pyzmq():
    """The same errno, or taken by both. Not asked: a NUL, which pyzmq lets end the text; schemes that are
    not served; tcp addresses that are taken, since pyzmq would go and connect."""
    zmq = pytest.importorskip("zmq")
    not_served = endpoint.KNOWN_SCHEMES - endpoint.SERVED_SCHEMES
    compared = 0
    with zmq.Context() as context:
        for path in ENDPOINTS:
            data = path.read_bytes()
            scheme = data.partition(b"://")[0].decode("latin-1")
            ours = endpoint_target.outcome(data)
            taken = isinstance(ours, endpoint.Endpoint)
            if b"\0" in data or scheme in not_served or (taken and scheme == "tcp"):
                continue
            with context.socket(zmq.PAIR) as socket:
                theirs = 0
                try:
                    socket.connect(data)
                except zmq.ZMQError as refused:
                    theirs = refused.errno
            assert theirs == (0 if taken else ours), (path.name, data)
            compared += 1
    assert compared > len(ENDPOINTS) // 3
