"""Programs of the patterns in ZeroMQ's guide run unchanged: only the import differs, the output does not.

Each program of `examples/zguide` runs twice, as real processes over ipc: as it stands, and with `import
zmq` in the place of its import line. What the processes print is compared: with what the scene says, and so
with each other. The order of processes does not matter to any of them, so nobody waits for one to be ready.
"""

from __future__ import annotations

import collections
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "zguide"
OUR_IMPORT = "import shmzmq as zmq\n"
CAP_SECONDS = 30

pytestmark = pytest.mark.slow

SOURCES = {path.name: path.read_text() for path in sorted(EXAMPLES.glob("*.py"))}


class Company:
    """The processes of one scene: they play, and what they print is collected; none is left at the end."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self.endpoint = f"ipc://{folder}/"
        self._processes: list[tuple[str, subprocess.Popen[str]]] = []
        for name, source in SOURCES.items():
            (folder / name).write_text(source.replace(OUR_IMPORT, f"import {backend} as zmq\n"))

    def play(self, program: str, *args: object) -> subprocess.Popen[str]:
        """Start a role; arguments that begin with `@` are endpoints."""
        words = [self.endpoint + word[1:] if word.startswith("@") else word for word in map(str, args)]
        process = subprocess.Popen(
            [sys.executable, self.folder / f"{program}.py", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=_hear_interrupts,  # noqa: PLW1509  # one C call, no lock
        )
        self._processes.append((f"{program} {args[0]}", process))
        return process

    def output(self, *ended_by_signal: subprocess.Popen[str], number: int = signal.SIGINT) -> list[str]:
        """What all roles print, sorted by role. Those which have no end of their own get a signal last."""
        self._wait_for([process for _, process in self._processes if process not in ended_by_signal])
        for process in ended_by_signal:
            process.send_signal(number)
        self._wait_for([process for _, process in self._processes])
        said = collections.defaultdict(list)
        for name, process in self._processes:
            said[name].append(process.communicate()[0])
        return [
            f"{name}: {line}"
            for name in sorted(said)
            for out in sorted(said[name])
            for line in out.splitlines()
        ]

    def _wait_for(self, processes: list[subprocess.Popen[str]]) -> None:
        """Return when these have ended; fail at once when any one has failed."""

        def ended_or_failed() -> bool:
            codes = [process.poll() for process in processes]
            return any(codes) or None not in codes

        wait_until(ended_or_failed, "the processes of the scene to end", CAP_SECONDS)
        for name, process in self._processes:
            if process.poll():
                out, err = process.communicate()
                raise AssertionError(f"{name} ended with {process.returncode}\n{out}\n{err}")

    def dismiss(self) -> None:
        """Kill and reap who is still there, and close the pipes."""
        for _, process in self._processes:
            process.kill()
            process.communicate()


def _hear_interrupts() -> None:
    """Python takes over an ignored SIGINT, which is what a background shell hands down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(params=["zmq", "shmzmq"])
def company(request, tmp_path_factory):
    """A company that plays on pyzmq, then one that plays on shmzmq."""
    company = Company(tmp_path_factory.mktemp("z"), request.param)
    yield company
    company.dismiss()


def test_hello(company):
    company.play("hello", "visitor", "@hello", 5)
    company.play("hello", "clerk", "@hello", 5)
    assert company.output() == [
        "hello clerk: the clerk greeted 5 visitors",
        *(f"hello visitor: good morning, guest {number}" for number in range(5)),
    ]


def test_weather(company):
    station = company.play("weather", "station", "@weather")
    for place in (10_000, 10_007, 10_019):
        company.play("weather", "reader", "@weather", place, 3)
    assert company.output(station) == [
        "weather reader: mean at 10000: 15.88",
        "weather reader: mean at 10007: 22.88",
        "weather reader: mean at 10019: 34.88",
        "weather station: the station goes off the air",
    ]


def test_pipeline(company):
    company.play("pipeline", "foreman", "@jobs", 100)
    for _ in range(3):
        company.play("pipeline", "worker", "@jobs", "@results", "@bell")
    company.play("pipeline", "clerk", "@results", "@bell", 100, 3)
    assert company.output() == [
        "pipeline clerk: the squares add up to 328350",
        "pipeline foreman: the foreman handed out 100 numbers",
        *["pipeline worker: a worker heard: time to go home"] * 3,
    ]


def test_broker(company):
    company.play("broker", "broker", "@front", "@back", 20)
    company.play("broker", "helper", "@back", 20)
    for name in ("adam", "eve"):
        company.play("broker", "caller", "@front", name, 10)
    assert company.output() == [
        "broker broker: the broker passed 20 answers",
        *(f"broker caller: {f'eve {number}'[::-1]}" for number in range(10)),
        *(f"broker caller: {f'adam {number}'[::-1]}" for number in range(10)),
    ]


def test_messagequeue(company):
    queue = company.play("messagequeue", "queue", "@front", "@back")
    company.play("broker", "helper", "@back", 20)
    for name in ("adam", "eve"):
        company.play("broker", "caller", "@front", name, 10)
    assert company.output(queue) == [
        *(f"broker caller: {f'eve {number}'[::-1]}" for number in range(10)),
        *(f"broker caller: {f'adam {number}'[::-1]}" for number in range(10)),
        "messagequeue queue: the queue is open",
        "messagequeue queue: the queue closes",
    ]


def test_workshop(company):
    workshop = company.play("workshop", "workshop", "@door", 4)
    for name in ("adam", "eve"):
        company.play("broker", "caller", "@door", name, 10)
    assert company.output(workshop) == [
        *(f"broker caller: {name} {number}" for name in ("Adam", "Eve") for number in range(10)),
        "workshop workshop: 4 benches are manned",
        "workshop workshop: closing time",
        "workshop workshop: everybody has gone home",
    ]


def test_letters(company):
    company.play("letters", "office", "@street", 20, 3)
    for name in ("adam", "eve"):
        company.play("letters", "writer", "@street", name, 10)
    assert company.output() == [
        "letters office: the office sent 40 answers",
        *(
            f"letters writer: {copy} answer to letter {number} of {name}"
            for name in ("adam", "eve")
            for copy in ("first", "second")
            for number in range(10)
        ),
    ]


def test_relay(company):
    company.play("relay", "relay", "@front", "@back", 30)
    company.play("relay", "paper", "@front", 30)
    company.play("relay", "reader", "@back", "science", 30)
    assert company.output() == [
        "relay paper: the paper printed 30 of each",
        "relay reader: read 30 pages of science",
        "relay relay: passed: subscribe science",
        "relay relay: passed: the last news",
        "relay relay: the relay is down",
    ]


def test_pirate(company):
    company.play("pirate", "parrot", "@perch", 5, 3)
    company.play("pirate", "captain", "@perch", 5, 1500)
    assert company.output() == [
        *(f"pirate captain: {number} at attempt 1" for number in range(3)),
        "pirate captain: no answer to 3",
        "pirate captain: 3 at attempt 2",
        "pirate captain: 4 at attempt 1",
        "pirate parrot: the parrot sleeps through 3",
        "pirate parrot: the parrot has repeated everything",
    ]


def test_pirate_without_a_server(company):
    company.play("pirate", "captain", "@nobody", 5, 100)
    assert company.output() == [
        *["pirate captain: no answer to 0"] * 3,
        "pirate captain: the captain gives up",
    ]


def test_concert(company):
    company.play("concert", "band", "@stage", "@tickets", 3, 5000)
    for _ in range(3):
        company.play("concert", "listener", "@stage", "@tickets")
    assert company.output() == [
        "concert band: 3 listeners are seated",
        *["concert listener: a listener heard 5000 notes"] * 3,
    ]


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "relieved")])
def test_nightwatch(company, number, word):
    watchman = company.play("nightwatch", "watchman", "@gate")
    company.play("nightwatch", "reporter", "@gate", 3)
    assert watchman.stdout is not None
    heard = [watchman.stdout.readline().strip() for _ in range(3)]
    assert heard == [f"all quiet at gate {gate}" for gate in range(3)]
    assert company.output(watchman, number=number) == [
        f"nightwatch watchman: {word}",
        "nightwatch watchman: 3 reports in the book",
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_program_imports_us_in_one_line_and_pyzmq_nowhere(name):
    assert SOURCES[name].count(OUR_IMPORT) == 1
    assert not re.search(r"^(import|from) zmq", SOURCES[name], re.MULTILINE)


def test_every_program_is_in_the_readme_and_in_a_test():
    readme = (EXAMPLES / "README.md").read_text()
    own = Path(__file__).read_text()
    for name in SOURCES:
        assert f"`{name}`" in readme
        assert f'play("{name.removesuffix(".py")}"' in own
