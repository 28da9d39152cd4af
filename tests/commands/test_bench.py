"""`shmzmq bench` as a user runs it, with the fastest rival to start: real processes, no figure asserted."""

import json
from importlib.util import find_spec

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
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_json_has_every_value_and_the_picture_is_drawn_beside_it(tmp_path):
    file = tmp_path / "bench.svg"
    done = shell.shmzmq(*QUICK, "--json", "--plot", file)
    assert (done.returncode, done.stderr) == (0, "")
    (rival,) = json.loads(done.stdout)["rivals"]
    assert (rival["name"], rival["error"]) == ("mp-pipe", None)
    assert [len(values) for values in rival["messages_per_second"].values()] == [1, 1, 1]
    assert "mp-pipe" in file.read_text()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--rivals", "nobody"], "unknown rival 'nobody'"),
        (["--repeat", "0"], "0 is less than 1"),
        (["--plot", "bench.txt"], "its name must end in one of"),
        (["--plot", "/no/such/folder/bench.png"], "no folder to write into"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_measured(args, text, capsys):
    assert main(["bench", *args]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err


def test_picture_without_matplotlib_is_refused_with_the_way_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr("shmzmq.bench.plot.importlib.util.find_spec", lambda name: None)
    assert main(["bench", "--plot", "bench.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
