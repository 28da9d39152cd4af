"""Every public name of pyzmq: same, or with a reason why it differs or is absent.

Knows    the committed names of pyzmq (tools/pyzmq-surface.json) and the table of reasons.
Refuses  to know what a name does.
"""

from __future__ import annotations

import pytest

import shmzmq
from tools import differences, surface

for needed in ("tornado", "gevent"):
    pytest.importorskip(needed, reason="the modules for it would be absent")

pytestmark = pytest.mark.shmzmq_only("compares shmzmq with names read from pyzmq")

DATA = surface.load()
FINDINGS = surface.compare(DATA, shmzmq)


def unmatched(table: dict[str, str], names: set[str]) -> list[str]:
    """The rows of a table of reasons that no name needs."""

    def fits(row: str, name: str) -> bool:
        return name.startswith(row[:-1]) if row.endswith("*") else name == row

    return [row for row in table if not any(fits(row, name) for name in names)]


def test_committed_names_are_those_of_the_installed_pyzmq():
    zmq = pytest.importorskip("zmq")
    if zmq.pyzmq_version() != DATA["version"]:
        pytest.skip(f"pyzmq {zmq.pyzmq_version()} is installed, the names are those of {DATA['version']}")
    assert surface.read_pyzmq() == DATA


def test_there_are_enough_names_to_be_all_of_them():
    assert len(FINDINGS) > 250
    assert len(DATA["flat"]) > 200


def test_every_absent_name_has_a_reason():
    absent = [finding.name for finding in FINDINGS if finding.state == "absent"]
    assert [name for name in absent if not differences.reason(differences.ABSENT, name)] == []


def test_every_difference_that_the_comparison_sees_has_a_reason():
    differs = [finding for finding in FINDINGS if finding.state == "differs"]
    assert [each for each in differs if not differences.reason(differences.DIFFERS, each.name)] == []


def test_no_reason_is_left_for_a_name_that_is_there_now():
    assert unmatched(differences.ABSENT, {each.name for each in FINDINGS if each.state == "absent"}) == []


def test_no_difference_is_told_of_a_name_that_pyzmq_does_not_have():
    assert unmatched(differences.DIFFERS, {each.name for each in FINDINGS if each.state != "absent"}) == []


@pytest.mark.parametrize(
    ("theirs", "ours", "fits"),
    [
        (lambda a, b=1: 0, lambda a, b=1: 0, True),
        (lambda a, b=1: 0, lambda a, b=1, *, c=2: 0, True),
        (lambda a, b=1: 0, lambda a, b=2: 0, False),
        (lambda a, b=1: 0, lambda a: 0, False),
        (lambda a, b=1: 0, lambda b=1, a=0: 0, False),
        (lambda a, b=1: 0, lambda a, c, b=1: 0, False),
        (lambda a, /: 0, lambda x: 0, True),
        (lambda a, **k: 0, lambda a: 0, False),
        (lambda *a, **k: 0, lambda a: 0, True),
    ],
)
def test_comparison_of_parameters(theirs, ours, fits):
    assert surface.takes_all_calls(surface.parameters(theirs), surface.parameters(ours)) is fits
