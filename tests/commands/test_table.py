"""The table of commands is complete, and each of them keeps the rules of a command-line program."""

import argparse
import importlib
import pkgutil
import subprocess
import sys

import pytest

import shmzmq.commands
from shell import CAP_SECONDS, unread
from shmzmq.commands import COMMANDS, main
from shmzmq.commands._failure import Failure


def test_table_names_every_command_module_and_no_other():
    found = {module.name for module in pkgutil.iter_modules(shmzmq.commands.__path__)}
    assert {name for name in found if not name.startswith("_")} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_the_two_functions_of_a_command(name):
    module = importlib.import_module(f"shmzmq.commands.{name}")
    parser = argparse.ArgumentParser()
    assert module.add_arguments(parser) is None
    assert callable(module.run)


def test_command_line_is_not_the_time_to_import_other_commands():
    program = (
        "import sys; from shmzmq.commands import main; main(['--version']);"
        "print([name for name in sys.modules if name.startswith('shmzmq.commands.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=CAP_SECONDS, check=True
    )
    assert done.stdout.splitlines()[-1] == "['shmzmq.commands._failure']"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_the_command_is_and_exits_0(name, capsys):
    assert main([name, "--help"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: shmzmq {name} ")
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 110


def test_help_has_a_line_for_every_command(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name}" not in said] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_option_is_one_line_that_names_it_and_exits_2(name, capsys):
    assert main([name, "--no-such-option"]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert said.err.startswith(f"shmzmq {name}: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_help_whose_reader_has_gone_is_no_traceback(name):
    done = unread(name, "--help")
    assert (done.returncode, done.stderr) == (141, b"")


class Ends:
    """A command that ends in a given way."""

    def __init__(self, error):
        self.error = error

    def add_arguments(self, parser):
        """Nothing to declare."""

    def run(self, args):
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Failure("nothing there"), 1, "shmzmq demo: nothing there\n"),
        (Failure("what?", 2), 2, "shmzmq demo: what?\n"),
        (shmzmq.ZMQError(22, "no such endpoint"), 1, "shmzmq demo: no such endpoint\n"),
        (OSError(28, "No space left on device"), 1, "shmzmq demo: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["failure", "usage", "zmq", "system", "interrupt"],
)
def test_every_end_of_a_command_has_its_code_and_at_most_one_line(error, code, line, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shmzmq.commands.demo", Ends(error))
    assert main(["demo"]) == code
    assert capsys.readouterr().err == line


def test_bug_of_ours_is_not_swallowed(monkeypatch):
    monkeypatch.setitem(sys.modules, "shmzmq.commands.demo", Ends(LookupError("ours")))
    with pytest.raises(LookupError):
        main(["demo"])
