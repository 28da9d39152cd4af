"""Fixtures of the whole suite: the backend under test, contexts, sockets, endpoints, children, leak check.

`pytest` tests shmzmq. `pytest --backend pyzmq` runs the same tests against pyzmq, which is the oracle: a test
that fails there states something that pyzmq does not do. Where shmzmq differs on purpose the test carries
`@pytest.mark.shmzmq_only("why")` and is deselected on pyzmq.

Order of the end, from first to last: threads of the test are joined, children reaped, sockets closed with
LINGER 0, the context terminated, the scratch directory looked at, the possessions of the process compared.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import itertools
import multiprocessing.forkserver
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import kit
import watching

BACKSTOP_SECONDS = 150
"""pytest-timeout interrupts with a signal; a native call that is deaf to signals ends here, with stacks."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=("shmzmq", "pyzmq"),
        default="shmzmq",
        help="the module under test; pyzmq is the oracle that the tests are validated against",
    )


STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # Nothing is captured yet: what is written here is seen, whatever becomes of the process.
    config.stash[STDERR] = os.dup(2)
    config.addinivalue_line(
        "markers", "shmzmq_only(why): shmzmq differs from pyzmq on purpose; deselected with --backend pyzmq"
    )
    config.addinivalue_line(
        "markers", "pyzmq_only(why): the oracle's behaviour that shmzmq does not have; deselected for shmzmq"
    )
    config.addinivalue_line(
        "markers", "not_over(transport, why): what the test takes for granted does not hold there; deselected"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"backend: {config.getoption('--backend')}"


def is_over_another(item: pytest.Item) -> bool:
    """Whether the test would run over a transport that it says it is not for."""
    transport = getattr(item, "callspec", None) and item.callspec.params.get("transport")  # type: ignore[attr-defined]
    return any(transport == marker.args[0] for marker in item.iter_markers("not_over"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    foreign = "pyzmq_only" if config.getoption("--backend") == "shmzmq" else "shmzmq_only"
    theirs = [item for item in items if item.get_closest_marker(foreign) or is_over_another(item)]
    if theirs:
        config.hook.pytest_deselected(items=theirs)
        items[:] = [item for item in items if item not in set(theirs)]


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end: no look for garbage need go through them."""
    gc.collect()
    gc.freeze()


# --- the backend -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def backend(pytestconfig: pytest.Config) -> str:
    """The import name of the module under test."""
    return "zmq" if pytestconfig.getoption("--backend") == "pyzmq" else "shmzmq"


@pytest.fixture(scope="session")
def zmq(backend: str) -> ModuleType:
    """The module under test."""
    module = importlib.import_module(backend)
    if backend == "zmq":
        # pyzmq starts a collector thread with a context of its own at the first large Frame without a copy
        # and keeps both for the life of the process: have it here, before the first count of possessions.
        module.Frame(bytes(module.COPY_THRESHOLD), copy=False)
    return module


@pytest.fixture(scope="session")
def np() -> ModuleType:
    """numpy, imported before the possessions are counted: it starts threads and keeps them."""
    module: ModuleType = pytest.importorskip("numpy")
    return module


# --- the leak check ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def lasting_helpers() -> None:
    """Start what multiprocessing starts once and keeps, so that no test is blamed for it."""
    resource_tracker.ensure_running()


@pytest.fixture
def backstop(pytestconfig: pytest.Config) -> Callable[[float], None]:
    """A function that has the process end after so many seconds, with the stacks of all threads."""
    stderr = pytestconfig.stash[STDERR]
    return lambda seconds: faulthandler.dump_traceback_later(seconds, exit=True, file=stderr)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest, backstop: Callable[[float], None]) -> Iterator[None]:
    """Fail the test that leaves an fd, a thread, a child process or a shared segment behind."""
    if "zmq" in request.fixturenames:
        request.getfixturevalue("zmq")
    before = kit.Possessions()
    backstop(BACKSTOP_SECONDS)
    yield
    faulthandler.cancel_dump_traceback_later()
    gained: list[str] = []

    def nothing_gained() -> bool:
        gained[:] = kit.Possessions().gained_since(before)
        if gained:
            gc.collect()
        return not gained

    try:
        kit.wait_until(nothing_gained, "the test's possessions to go")
    except AssertionError:
        pytest.fail("the test left behind: " + "; ".join(gained))


# --- where things are --------------------------------------------------------------------------------------


@pytest.fixture
def scratch(backend: str) -> Iterator[Path]:
    """An empty directory with a short name (a socket path has 107 bytes); whoever leaves a file in it fails.

    Sockets left there are forgiven on pyzmq: libzmq 4.3.5 removes only those of `ipc://*`.
    """
    directory = Path(tempfile.mkdtemp(prefix="z", dir="/tmp"))
    yield directory
    left = [str(file) for file in directory.iterdir() if backend == "shmzmq" or not file.is_socket()]
    shutil.rmtree(directory)
    assert not left, f"files left behind in the scratch directory: {left}"


@pytest.fixture(params=["ipc", "inproc", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    """The test runs once on each transport."""
    return request.param


# A port for each tcp endpoint of this process: below those that the system gives out by itself.
_ports = itertools.cycle(range(10_000, 32_000))


@pytest.fixture
def new_endpoint(scratch: Path) -> Callable[[str], str]:
    """A function from a transport's name to an endpoint that nobody has used.

    All of 127/8 is this host (Linux): each process has an address of its own, so that two test runs do not
    take each other's ports.
    """
    numbers = itertools.count()

    def fresh(scheme: str) -> str:
        if scheme == "ipc":
            return f"ipc://{scratch}/{next(numbers)}"
        if scheme == "tcp":
            pid = os.getpid() + 2  # neither 127.0.0.0 nor 127.0.0.1
            return f"tcp://127.{pid >> 16 & 255}.{pid >> 8 & 255}.{pid & 255}:{next(_ports)}"
        return f"inproc://endpoint-{next(numbers)}"

    return fresh


@pytest.fixture
def endpoint(transport: str, new_endpoint: Callable[[str], str]) -> str:
    """A fresh endpoint of the test's transport."""
    return new_endpoint(transport)


@pytest.fixture
def endpoints(transport: str, new_endpoint: Callable[[str], str]) -> Callable[[int], list[str]]:
    """A function that gives n fresh endpoints of the test's transport."""
    return lambda count: [new_endpoint(transport) for _ in range(count)]


@pytest.fixture
def ipc(new_endpoint: Callable[[str], str]) -> str:
    """A fresh ipc endpoint, for tests of what only ipc does."""
    return new_endpoint("ipc")


@pytest.fixture
def tcp(new_endpoint: Callable[[str], str]) -> str:
    """A fresh tcp endpoint, for tests of what only tcp does."""
    return new_endpoint("tcp")


@pytest.fixture
def inproc(new_endpoint: Callable[[str], str]) -> str:
    """A fresh inproc endpoint, for tests of what only inproc does exactly."""
    return new_endpoint("inproc")


# --- contexts and sockets ----------------------------------------------------------------------------------


@pytest.fixture
def new_context(zmq: ModuleType, scratch: Path) -> Iterator[Callable[[], Any]]:
    """A function that makes contexts; those which the test leaves open are terminated, with a cap."""
    contexts: list[Any] = []

    def fresh() -> Any:
        contexts.append(zmq.Context())
        return contexts[-1]

    yield fresh
    for context in contexts:
        if not context.closed:
            kit.end_context(zmq, context)


@pytest.fixture
def ctx(new_context: Callable[[], Any]) -> Any:
    """A context that is terminated, with a cap, after the sockets of the test were closed."""
    return new_context()


@pytest.fixture
def sockets(ctx: Any) -> Iterator[Callable[..., Any]]:
    """A function `sockets(type, option=value, ...)`; what it made is closed with LINGER 0.

    RCVTIMEO and SNDTIMEO are the kit's cap unless given, so that a lost message fails the test at once.
    """
    opened: list[Any] = []

    def fresh(socket_type: int, context: Any = None, **options: Any) -> Any:
        socket = (context or ctx).socket(socket_type)
        opened.append(socket)
        for name, value in {"rcvtimeo": kit.CAP_MS, "sndtimeo": kit.CAP_MS, **options}.items():
            setattr(socket, name, value)
        return socket

    yield fresh
    for socket in opened:
        socket.close(linger=0)


@pytest.fixture
def watch(zmq: ModuleType, sockets: Callable[..., Any]) -> Iterator[Callable[..., watching.Watch]]:
    """A function `watch(socket, events=None)`; its monitors end before the sockets are closed."""
    watches: list[watching.Watch] = []

    def begin(socket: Any, events: int | None = None) -> watching.Watch:
        watches.append(watching.Watch(zmq, socket, events))
        return watches[-1]

    yield begin
    for each in watches:
        each.end()


@pytest.fixture
def task(sockets: Callable[..., Any]) -> Iterator[Callable[..., kit.Task]]:
    """A function that runs a call in its own thread; threads are joined before the sockets are closed."""
    tasks: list[kit.Task] = []

    def run(function: Callable[..., Any], *args: Any) -> kit.Task:
        tasks.append(kit.Task(function, *args))
        return tasks[-1]

    yield run
    for each in tasks:
        each.join(2 * kit.CAP)
    # An exception that a task caught holds the frames it came through, and all they hold.
    tasks.clear()


# --- child processes ---------------------------------------------------------------------------------------


@pytest.fixture
def many_fds() -> Iterator[None]:
    """This process may open as many files as both ends of a few full doors need (native/core/src/door.rs)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may open {hard} files, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def run_child(backend: str, scratch: Path) -> Iterator[Callable[..., kit.Child]]:
    """A function that runs `function(zmq, link, *args)` in a child process; one left over is a failure."""
    children: list[kit.Child] = []
    methods: set[str] = set()

    def run(function: Callable[..., Any], *args: Any, method: str = "spawn") -> kit.Child:
        methods.add(method)
        children.append(kit.Child(backend, function, *args, method=method))
        return children[-1]

    yield run
    leaked = [child.name for child in children if child.dismiss()]
    if "forkserver" in methods:
        multiprocessing.forkserver._forkserver._stop()  # the only way to end it; it has no public name
    if leaked:
        pytest.fail(f"children still running at the end of the test, killed now: {leaked}")
