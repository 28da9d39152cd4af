"""`shmzmq bench` as a user runs it, with the fastest rival to start: real processes, no figure asserted."""

import json

import pytest

import shell
from shmzmq.commands import main

QUICK = ["bench", "--rivals", "mp-pipe", "--repeat", "1"]


@pytest.mark.slow
def test_table_has_a_row_for_each_rival_with_every_cell_measured(capsys):
    assert main(QUICK) == 0
    header, row, *rest = capsys.readouterr().out.splitlines()
    assert "1 KiB" in header
    assert row.startswith("mp-pipe")
    assert " - " not in row
    assert rest[-1].startswith("Medians")


@pytest.mark.slow
def test_json_has_every_value_of_every_repetition():
    done = shell.shmzmq(*QUICK, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (rival,) = json.loads(done.stdout)["rivals"]
    assert (rival["name"], rival["error"]) == ("mp-pipe", None)
    assert [len(values) for values in rival["messages_per_second"].values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--rivals", "nobody"], "unknown rival 'nobody'"),
        (["--repeat", "0"], "0 is less than 1"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_measured(args, text, capsys):
    assert main(["bench", *args]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err
