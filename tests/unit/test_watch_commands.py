"""`shmzmq ps`, `stats`, `top` and `clean` as a user runs them; who is looked at is the test's own process."""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import socket as posix
import struct
import subprocess
import sys
import termios

import pytest

from kit import marry, wait_until
from shmzmq import counters
from shmzmq.__main__ import main
from shmzmq.commands import _screen
from shmzmq.counters import files

pytestmark = [pytest.mark.slow, pytest.mark.shmzmq_only("pyzmq has no such command")]

CAP_SECONDS = 30
ME = str(os.getpid())


def shmzmq(*args, **more):
    command = [sys.executable, "-m", "shmzmq", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=CAP_SECONDS, check=False, **more)


@pytest.fixture
def busy(zmq, sockets, ipc):
    """A PUSH and a PULL of this process, married, that others can look at; ten messages wait."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.bind(ipc)
    pull.connect(ipc)
    marry(push, pull)
    for _ in range(10):
        push.send(b"12345")
    wait_until(lambda: counters.look(os.getpid()), "the counters file")
    return push, pull


def test_ps_has_a_line_for_each_socket(busy, ipc):
    done = shmzmq("ps", ME)
    head, *lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert head.split()[:5] == ["PID", "UP", "TYPE", "STATE", "PEERS"]
    by_type = {line.split()[2]: line.split() for line in lines}
    assert by_type["PUSH"][3:6] == ["runs", "1", "ring"]
    assert by_type["PUSH"][8:11] == ["10", "0", f"@{ipc}"]
    assert by_type["PULL"][10] == f">{ipc}"


def test_stats_shows_what_is_not_zero_and_every_peer(busy, ipc):
    done = shmzmq("stats", ME)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"bind {ipc}" in done.stdout
    assert f"peer PULL up by ring pid {ME}: " in done.stdout
    assert "depth 10, " in done.stdout
    assert "discarded" not in done.stdout


def test_stats_as_json_is_for_programs(busy):
    (process,) = json.loads(shmzmq("stats", ME, "--json").stdout)
    (context,) = process["contexts"]
    assert (process["pid"], process["answered"], process["problem"]) == (os.getpid(), True, None)
    assert context["totals"]["depth"] == 10
    assert context["totals"] == {
        **context["totals"],
        **json.loads(json.dumps(busy[0].context.stats()["totals"])),
    }


@pytest.mark.parametrize("command", ["ps", "stats"])
def test_nobody_to_look_at_is_one_line_and_code_1(command):
    done = shmzmq(command, 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"shmzmq {command}: no process 1 of yours uses shmzmq")
    assert len(done.stderr.splitlines()) == 1


def test_json_of_nobody_is_an_empty_array_and_code_1():
    done = shmzmq("stats", "--json", 1)
    assert (done.returncode, json.loads(done.stdout)) == (1, [])
    assert done.stderr.startswith("shmzmq stats: no process 1 of yours uses shmzmq")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ps", "x"], "'x'"),
        (["top", "--sort", "x"], "'x'"),
        (["top", "-n", "0"], "0 is less than 1"),
        (["top", "-n", "x"], "'x' is not a whole number"),
        (["top", "--interval", "0"], "0 is less than 0.05"),
        (["top", "--interval", "x"], "'x' is not a number of seconds"),
        (["top", "--interval", "nan"], "'nan' is not a number of seconds"),
        (["top", "--interval", "1e300"], "'1e300' is not a number of seconds"),
        (["clean", "-x"], "-x"),
    ],
)
def test_wrong_usage_is_code_2_and_one_line(args, said):
    done = shmzmq(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_top_without_a_terminal_prints_one_table_of_text(busy):
    done = shmzmq("top", "--interval", "0.1", "--filter", ME)
    head, columns, *lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert head.startswith(f"by rate, every 0.1 s, showing '{ME}': 1 process, 2 sockets, 2 peers; out 0/s")
    assert columns.split()[0] == "PID"
    assert sorted(line.split()[3] for line in lines) == ["PULL", "PUSH"]
    assert "\x1b" not in done.stdout


def test_top_shows_peers_and_many_tables_if_asked(busy):
    done = shmzmq("top", "--interval", "0.1", "--filter", ME, "--peers", "-n", "2", "--sort", "pid")
    tables = done.stdout.split("\n\n")
    assert (done.returncode, len(tables)) == (0, 2)
    for table in tables:
        assert len(table.strip().splitlines()) == 6
        assert f"pid {ME}" in table


def test_top_with_closed_stdout_says_nothing(busy):
    script = 'exec "$@" >&-'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "shmzmq", "top", "--once", "--interval", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CAP_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_top_on_a_terminal_with_closed_stdin_has_no_keys(busy):
    pytest.importorskip("rich")
    with contextlib.closing(Terminal("sh", "-c", 'exec "$@" <&-', "sh", *TOP, "-n", "1")) as terminal:
        terminal.see("Ctrl-C quits")
        assert terminal.end() == (0, True)
        assert "Traceback" not in terminal.shown


def test_top_ends_quietly_when_nobody_reads_on(busy):
    with subprocess.Popen(
        [sys.executable, "-m", "shmzmq", "top", "--interval", "0.05", "-n", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(CAP_SECONDS) == 141
        assert process.stderr.read() == ""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *command, columns=140):
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "30"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        self.shown = ""

    def see(self, text):
        def found():
            if select.select([self.fd], [], [], 0)[0]:
                self.shown += os.read(self.fd, 65536).decode()
            return text in self.shown

        wait_until(found, f"{text!r} on the terminal", CAP_SECONDS)

    def end(self):
        """Wait for its end; returns the exit code, and whether the terminal is as it was."""

        def ended():
            if select.select([self.fd], [], [], 0)[0]:
                self.shown += os.read(self.fd, 65536).decode()
            return self.process.poll() is not None

        wait_until(ended, "the command to end", CAP_SECONDS)
        code = self.process.wait()
        return code, termios.tcgetattr(self.theirs) == self.before

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.theirs)
        os.close(self.fd)


@pytest.mark.parametrize("columns", [44, 60, 80, 120, 200])
def test_table_of_a_narrow_terminal_cuts_no_number(columns):
    console = pytest.importorskip("rich.console").Console(width=columns, file=io.StringIO())
    number = {"PID": "4194304", "OUT/s": "99.9k", "IN/s": "99.9M", "B/s": "99.9G", "DEPTH": "12.3k"}
    row = {**dict.fromkeys(_screen.COLUMNS, "0"), **number, "TYPE": "DEALER", "STATE": "lingering"}
    row |= {"VIA": "zmtp: " + 30 * "why ", "PROGRAM": 9 * "program", "ENDPOINTS": f"@ipc:///{90 * 'x'}/last"}
    console.print(_screen.rich_table([row], columns, 10))
    head, line, *more = console.file.getvalue().splitlines()
    assert more == []
    assert [name for name in head.split() if name not in _screen.COLUMNS] == []
    assert {"PID", "TYPE", "OUT/s", "IN/s", "ENDPOINTS"} <= set(head.split())
    for name in set(head.split()) - {"VIA", "PROGRAM", "ENDPOINTS"}:
        assert row[name] in line.split()


TOP = (sys.executable, "-m", "shmzmq", "top", "--interval", "0.1", "--filter", ME)


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_top_on_a_terminal_goes_on_until_q(busy, columns):
    pytest.importorskip("rich")
    with contextlib.closing(Terminal(*TOP, columns=columns)) as terminal:
        terminal.see("PUSH")
        terminal.see("q quit")
        os.write(terminal.fd, b"s")
        terminal.see("by out")
        os.write(terminal.fd, b"p")
        os.write(terminal.fd, b"q")
        assert terminal.end() == (0, True)
        assert "Traceback" not in terminal.shown


def test_top_leaves_the_terminal_as_it_was_after_an_interrupt(busy):
    pytest.importorskip("rich")
    with contextlib.closing(Terminal(*TOP)) as terminal:
        terminal.see("PUSH")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == (130, True)
        assert "Traceback" not in terminal.shown


def test_top_without_rich_and_psutil_is_plain_text_and_says_so(busy):
    hidden = (
        "import sys; sys.modules['rich'] = sys.modules['psutil'] = None; from shmzmq.__main__ import main; "
    )
    program = hidden + f"sys.exit(main(['top', '-n', '1', '--interval', '0.1', '--filter', '{ME}']))"
    with contextlib.closing(Terminal(sys.executable, "-c", program)) as terminal:
        terminal.see("without rich (pip install 'shmzmq[cli]') it is plain text")
        terminal.see("PULL")
        assert terminal.end()[0] == 0


def test_clean_tells_what_it_would_remove_then_removes_it(tmp_path, monkeypatch, capsys):
    """In a folder of its own: any process of the user may sweep the real one at any time."""
    monkeypatch.setattr(files, "FOLDER", str(tmp_path))
    dead = tmp_path / f"shmzmq-{os.geteuid()}-77-0123456789abcdef"
    dead.write_bytes(bytes(100))
    path = tmp_path / "s"
    with posix.socket(posix.AF_UNIX) as listener:
        listener.bind(str(path))  # and is closed: the file stays, as after a kill
    assert main(["clean", "--dry-run", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"would remove {dead}: process 77 is dead, 100 bytes\n" in said
    assert f"would remove {path}: nobody listens there\n" in said
    assert (path.exists(), dead.exists()) == (True, True)
    assert main(["clean", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"removed {dead}: process 77 is dead, 100 bytes\n" in said
    assert f"removed {path}: nobody listens there\n" in said
    assert (path.exists(), dead.exists()) == (False, False)


def test_clean_leaves_what_lives_and_what_is_no_socket(busy, ipc, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    with posix.socket(posix.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "foreign"))
        listener.listen()
        done = shmzmq("clean", file, ipc.removeprefix("ipc://"), tmp_path / "foreign")
    assert done.returncode == 0
    assert done.stdout.count("left ") == 3
    assert file.read_text() == "precious"
    assert counters.look(os.getpid())


def test_clean_of_a_path_that_is_not_there_fails_in_one_line(tmp_path):
    done = shmzmq("clean", tmp_path / "nothing")
    assert done.returncode == 1
    assert done.stderr == "shmzmq clean: 1 of them could not be removed\n"


def test_commands_of_counters_import_no_more_than_they_need():
    """Neither rich nor psutil nor numpy is needed to list processes."""
    program = "import sys; from shmzmq.__main__ import main; main(['ps', '1']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=CAP_SECONDS, check=True
    ).stdout.split()
    assert {"rich", "psutil", "numpy", "multiprocessing"} & set(loaded) == set()
