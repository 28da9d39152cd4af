"""The kit and the leak check are tested too: a check that never fires is worse than none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import kit


def test_wait_until_returns_what_the_condition_gave():
    answers = iter([0, None, "at last"])
    assert kit.wait_until(lambda: next(answers), "an answer") == "at last"


def test_wait_until_says_what_it_waited_for():
    with pytest.raises(AssertionError, match=r"waited 0\.01 s for a miracle"):
        kit.wait_until(lambda: False, "a miracle", cap=0.01)


def test_task_gives_the_result_of_its_call():
    assert kit.Task(lambda: 42).result() == 42


def test_task_raises_what_its_call_raised():
    with pytest.raises(KeyError):
        kit.Task({}.__getitem__, "missing").result()


def test_task_that_does_not_end_is_an_error_with_its_name():
    gate = threading.Event()
    task = kit.Task(gate.wait)
    with pytest.raises(AssertionError, match="wait to end"):
        task.result(cap=0.01)
    gate.set()
    task.result()


def test_task_that_waits_is_blocked():
    gate = threading.Event()
    task = kit.Task(gate.wait)
    task.wait_blocked()
    gate.set()
    task.result()


def test_task_that_ends_is_not_blocked():
    task = kit.Task(lambda: None)
    task.join()
    with pytest.raises(AssertionError, match="expected to block"):
        task.wait_blocked()


def test_thread_that_computes_is_not_asleep():
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            pass

    task = kit.Task(compute)
    try:
        assert not kit.stays_asleep(os.getpid(), task._thread.native_id)
    finally:
        stop.set()
        task.join()


def test_possessions_see_a_new_fd():
    before = kit.Possessions()
    reading, writing = os.pipe()
    gained = kit.Possessions().gained_since(before)
    os.close(reading)
    os.close(writing)
    assert len(gained) == 2
    assert all(line.startswith("fds: ") and "pipe" in line for line in gained)


def test_possessions_see_an_fd_number_that_was_used_again():
    number = os.open("/dev/null", os.O_RDONLY)
    before = kit.Possessions()
    other = os.open("/dev/zero", os.O_RDONLY)
    os.dup2(other, number)
    os.close(other)
    gained = kit.Possessions().gained_since(before)
    os.close(number)
    assert gained == [f"fds: {number} /dev/zero"]


def test_possessions_see_a_new_thread():
    before = kit.Possessions()
    gate = threading.Event()
    task = kit.Task(gate.wait)
    gained = kit.Possessions().gained_since(before)
    gate.set()
    task.join()
    assert [line.partition(":")[0] for line in gained] == ["threads"]


def test_possessions_see_a_new_child():
    before = kit.Possessions()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gained = [line for line in kit.Possessions().gained_since(before) if line.startswith("children")]
    child.communicate()
    assert len(gained) == 1
    assert str(child.pid) in gained[0]


def test_possessions_see_a_new_shared_segment():
    before = kit.Possessions()
    import mmap

    fd = os.memfd_create("leak")
    os.ftruncate(fd, 4096)
    with mmap.mmap(fd, 4096):
        os.close(fd)
        gained = [line for line in kit.Possessions().gained_since(before) if line.startswith("segments")]
    assert len(gained) == 1
    assert "memfd:leak" in gained[0]


def test_possessions_are_the_same_when_nothing_happened():
    before = kit.Possessions()
    assert kit.Possessions().gained_since(before) == []


# --- the fixtures, in a pytest of their own ----------------------------------------------------------------

GUILTY = {
    "fd": ("def test_it():\n    import os\n    os.pipe()\n", "left behind: fds"),
    "thread": (
        "def test_it():\n    import threading, time\n"
        "    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()\n",
        "left behind: threads",
    ),
    "child": (
        "def test_it():\n    import subprocess\n    subprocess.Popen(['sleep', '20'])\n",
        "left behind: children",
    ),
    "file": (
        "def test_it(scratch):\n    (scratch / 'forgotten').write_text('')\n",
        "files left behind in the scratch directory",
    ),
    "socket": (
        "def test_it(ctx, zmq):\n    global left\n    left = ctx.socket(zmq.PUSH)\n",
        "open sockets: [<zmq.Socket(zmq.PUSH)",
    ),
    "lingering message": (
        "def test_it(ctx, zmq):\n    push = ctx.socket(zmq.PUSH)\n    push.connect('ipc:///tmp/nobody')\n"
        "    push.send(b'')\n    push.close(linger=7000)\n",
        "it lingers for messages that nobody takes",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", GUILTY)
def test_fixtures_fail_the_test_that_leaves_something(tmp_path, what):
    program, complaint = GUILTY[what]
    here = Path(__file__).resolve().parent.parent
    (tmp_path / "test_guilty.py").write_text(program)
    short_caps = (
        "import kit\nkit.CAP = 0.5\n"
        "kit.wait_until.__defaults__ = (0.5,)\nkit.end_context.__defaults__ = (1,)\n"
    )
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(here)!r})\n{short_caps}"
        + (here / "conftest.py").read_text().replace("from __future__ import annotations\n", "")
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--backend", "pyzmq"]
    began = time.monotonic()
    run = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert complaint in run.stdout
    assert time.monotonic() - began < 30
