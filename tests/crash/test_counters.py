"""Counters files of processes that die, fork, stop, live in other namespaces, or have no room for one."""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kit import path_of, wait_until
from shmzmq import counters

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CAP_S = 30


@functools.cache
def why_no_namespaces() -> str:
    """Why namespaces cannot be made here; empty if they can."""
    if shutil.which("unshare") is None:
        return "needs unshare(1): install util-linux"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "x", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"namespaces cannot be made here: {tried.stderr.strip()}" if tried.returncode else ""


@pytest.fixture
def namespaces():
    if why := why_no_namespaces():
        pytest.skip(why)


class Shown:
    """A process of shown.py."""

    def __init__(self, endpoint, *prefix, **environment):
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(HERE / "shown.py"), endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.pid = self.hear()
        """As it sees itself."""

    def hear(self):
        ready, _, _ = select.select([self.process.stdout], [], [], CAP_S)
        assert ready, f"waited {CAP_S} s for a word of the process"
        return json.loads(self.process.stdout.readline())

    def tell(self, *order):
        self.process.stdin.write(" ".join(map(str, order)) + "\n")
        self.process.stdin.flush()

    def ask(self, *order):
        self.tell(*order)
        return self.hear()

    def files(self):
        return glob.glob(f"/dev/shm/shmzmq-{os.geteuid()}-{self.pid}-*")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.tell("end")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def shown(new_endpoint):
    """A function that starts a process that is shown."""
    made = []

    def start(*prefix, **environment):
        made.append(Shown(new_endpoint("ipc"), *prefix, **environment))
        return made[-1]

    yield start
    for each in made:
        each.end()
        counters.sweep()
        for endpoint in glob.glob(f"{each.process.args[-1].removeprefix('ipc://')}*"):
            os.unlink(endpoint)  # those of the killed


def looked_at(pid):
    """What a look says of a process; None if it is not there."""
    return next(iter(counters.look(pid, patience=CAP_S)), None)


def seen(process):
    """Wait until the process has its file, which its own thread makes; return what a look says of it."""
    wait_until(process.files, "the counters file")
    return wait_until(lambda: (found := looked_at(process.pid)) and not found.problem and found, "an answer")


def test_file_is_for_its_owner_only_and_goes_when_the_process_ends(shown):
    process = shown()
    found = seen(process)
    (path,) = process.files()
    facts = os.stat(path)
    assert (facts.st_mode & 0o7777, facts.st_uid, facts.st_nlink) == (0o600, os.geteuid(), 1)
    assert facts.st_blocks * 512 >= facts.st_size, "pages are taken before they are used"
    assert (found.is_near, found.answered, found.contexts[0]["sockets"][0]["type"]) == (True, True, "PUSH")
    process.end()
    assert process.files() == []


def test_every_look_shows_how_it_is_now(shown):
    process = shown()
    seen(process)
    for depth in (1, 2, 3):
        process.ask("send", 10)
        (context,) = looked_at(process.pid).contexts
        assert (context["totals"]["depth"], context["totals"]["bytes_sent"]) == (depth, 10 * depth)


def test_file_of_a_killed_process_goes_with_the_next_look(shown):
    killed, living = shown(), shown()
    seen(killed)
    seen(living)
    killed.kill()
    assert looked_at(living.pid).answered
    assert looked_at(killed.pid) is None
    assert killed.files() == []
    assert living.files()


def test_file_of_a_killed_process_goes_when_another_one_begins(shown):
    killed = shown()
    seen(killed)
    killed.kill()
    later = shown()
    wait_until(later.files, "the counters file")
    assert killed.files() == []


def test_process_that_is_stopped_is_shown_as_it_was_and_keeps_its_file(shown):
    process = shown()
    seen(process)
    process.process.send_signal(signal.SIGSTOP)
    try:
        (found,) = counters.look(process.pid, patience=0.05)
        assert (found.answered, found.problem, len(found.contexts)) == (False, None, 1)
        counters.sweep()
        assert process.files()
    finally:
        process.process.send_signal(signal.SIGCONT)
    assert looked_at(process.pid).answered


def test_switched_off_by_the_environment(shown):
    process = shown(SHMZMQ_COUNTERS="0")
    assert process.pid not in [pid for pid, _, _, _ in process.ask("look")]
    assert process.files() == []
    comms = Path(f"/proc/{process.pid}/task").glob("*/comm")
    assert "shmzmq-counters" not in {comm.read_text().strip() for comm in comms}


# --- fork ---------------------------------------------------------------------------------------------------


def test_forked_child_has_a_file_of_its_own_and_does_not_keep_its_parents(shown, new_endpoint):
    parent = shown()
    seen(parent)
    endpoint = new_endpoint("ipc")
    child = parent.ask("fork", endpoint)
    try:
        wait_until(lambda: (found := looked_at(child)) and found.contexts, "the child's counters")
        assert looked_at(child).contexts[0]["sockets"][0]["type"] == "PULL"
        parent.kill()
        assert looked_at(parent.pid) is None, "the child holds the lock of its dead parent"
        assert parent.files() == []
        assert looked_at(child).answered
    finally:
        os.kill(child, signal.SIGKILL)
        os.unlink(path_of(endpoint))
    wait_until(lambda: looked_at(child) is None, "the end of the child")


def test_children_forked_under_looks_live_and_are_seen(shown):
    process = shown()
    seen(process)
    process.tell("fork-often", 60)
    looks = 0
    while not select.select([process.process.stdout], [], [], 0)[0]:
        looks += looked_at(process.pid).answered
    assert process.hear() == 60
    assert looks


# --- pid namespaces -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("namespaces")
def test_two_pid_namespaces_do_not_remove_each_others_files(shown):
    apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    here, one, two = shown(), shown(*apart), shown(*apart)
    assert one.pid == two.pid, "the same pid means another process in each"
    wait_until(here.files, "the counters file")
    theirs = wait_until(lambda: len(files := set(one.files())) == 2 and files, "a file in each namespace")
    for each in (here, one, two):
        each.ask("sweep")
        # Other processes of this user may be seen too.
        found = [row for row in each.ask("look") if row[0] in (here.pid, one.pid)]
        assert Counter(pid for pid, _, _, _ in found) == {here.pid: 1, one.pid: 2}
        assert all(answered for _, _, answered, _ in found), "a look needs no pid"
        assert [pid for pid, is_near, _, _ in found if is_near] == [each.pid]
    assert (set(one.files()), len(here.files())) == (theirs, 1)
    one.kill()  # unshare dies, and with it the namespace
    left = wait_until(
        lambda: two.ask("sweep") is not None and len(two.files()) == 1 and two.files(), "a sweep"
    )
    assert set(left) < theirs
    assert Counter(pid for pid, _, _, _ in two.ask("look"))[two.pid] == 1


# --- /dev/shm that is small, full, or not to be written -----------------------------------------------------

ARRAYS = 200
KINDS = {
    "small": "true",
    "full": "cat /dev/zero > /dev/shm/filler 2> /dev/null; true",
    "read-only": "mount -o remount,ro /dev/shm",
}


def on_small_shm(kind, *command):
    """Run a command with a /dev/shm of its own, of 64 MB; returns the completed process."""
    mounts = f"mount -t tmpfs -o size=64m tmpfs /dev/shm && {KINDS[kind]}"
    shell = f'{mounts} && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, "sh", *command],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.usefixtures("namespaces", "np")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_cross_and_shm_stays_small_whatever_dev_shm_is_like(kind):
    done = on_small_shm(kind, sys.executable, str(HERE / "small_shm.py"), str(ARRAYS))
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["whole"], said["transport"]) == (ARRAYS, "ring")
    assert said["grown"] <= 1 << 20
    for lines in said["lines"]:
        if kind == "small":
            assert lines == []
        else:
            (line,) = lines
            why = "No space left on device" if kind == "full" else "Read-only file system"
            assert line.startswith("counters off: ")
            assert why in line
    assert set(said["left"]) <= {"filler"}


def test_file_that_is_cut_short_harms_nobody(shown):
    process = shown()
    seen(process)
    (path,) = process.files()
    os.truncate(path, 0)
    (found,) = counters.look(process.pid, patience=0.05)
    assert (found.answered, found.problem) == (False, "the file is too short")
    process.ask("fork-often", 1)
    process.end()
    assert process.process.returncode == 0
    assert process.files() == []


AGAIN = """
import os, time
import shmzmq as zmq
from shmzmq import counters

os.environ["SHMZMQ_COUNTERS"] = "0"  # as good as any other reason why there is no file
first = zmq.Context()
first.socket(zmq.PAIR)
del os.environ["SHMZMQ_COUNTERS"]
second = zmq.Context()
second.socket(zmq.PAIR)
deadline = time.monotonic() + 5
while not counters.look(os.getpid()):
    assert time.monotonic() < deadline, "no counters file"
for context in (first, second):
    context.destroy(linger=0)
"""


def test_later_context_tries_again_what_failed_for_the_first():
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- idle ---------------------------------------------------------------------------------------------------


def test_thread_sleeps_while_nobody_looks(shown):
    """Switches of the thread are counted by the kernel: none in a while without looks, some with one."""
    process = shown()
    seen(process)
    task = next(
        comm.parent
        for comm in Path(f"/proc/{process.pid}/task").glob("*/comm")
        if comm.read_text().strip() == "shmzmq-counters"
    )

    def switches():
        lines = (task / "status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    def state():
        return (task / "stat").read_text().rpartition(")")[2].split()[0]

    wait_until(lambda: state() == "S" and (task / "wchan").read_text() != "hrtimer_nanosleep", "it to sleep")
    time.sleep(0.05)  # the pause after its last answer; what follows does not depend on its length
    before = switches()
    time.sleep(1)
    assert switches() == before
    assert looked_at(process.pid).answered
    assert switches() > before
