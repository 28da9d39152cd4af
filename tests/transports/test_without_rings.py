"""An ipc peer that could have rings but for one thing: it goes on without, and what that is can be seen.

Raw peers replay what a connecter of another build would say; what they say is spelled out here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import importlib
import logging
import os
import resource
import socket as posix
import sys
from pathlib import Path

import pytest

from kit import CAP, CAP_MS, Task, expect, marry, wait_until
from shmzmq import _backend
from watching import GREETING, command, dial, hear, hear_command, listen, ready

pytestmark = pytest.mark.shmzmq_only("rings are ours")

OTHER_LAYOUT = b"abi=98-99 page=4096 endian=little ring=262144 sndhwm=1000 rcvhwm=1000"


def property_of(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value


def ready_with(kind: bytes, shm: bytes) -> bytes:
    body = b"\x05READY" + property_of(b"Socket-Type", kind) + property_of(b"X-SHM", shm)
    assert len(body) < 256
    return bytes([4, len(body)]) + body


def test_a_peer_of_another_layout_stays_on_zmtp_and_peers_says_why(zmq, sockets, ipc, caplog, monkeypatch):
    caplog.set_level(logging.WARNING, "shmzmq")
    _backend.drain_log()
    monkeypatch.setattr(_backend, "_last_said", {})
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    with dial(ipc) as peer:
        peer.sendall(GREETING + ready_with(b"PUSH", OTHER_LAYOUT) + b"\x00\x02hi")
        expect(pull, b"hi")
        [row] = pull.peers()
        assert row["transport"] == "zmtp"
        assert row["reason"] == "peer has layout versions 98 to 99, we have 3"
        assert pull.stats()["connected_without_rings"] == 1
        heard = b""
        while b"SHM-NO" not in heard:
            heard += peer.recv(4096)
    _backend.drain_log()
    lines = [record.message for record in caplog.records if "without rings" in record.message]
    assert len(lines) == 1
    assert "layout versions 98 to 99" in lines[0]


def test_commands_that_mean_nothing_are_counted(zmq, sockets, tcp):
    pull = sockets(zmq.PULL)
    pull.bind(tcp)
    with dial(tcp) as peer:
        peer.sendall(GREETING + ready(b"PUSH") + b"\x04\x05\x04WHAT" * 3 + b"\x00\x02hi")
        expect(pull, b"hi")
        wait_until(lambda: pull.stats()["unknown_commands"] == 3, "three unknown commands")


@pytest.fixture
def binder_of_another_layout(zmq, sockets, ipc):
    """A PUSH connected to a raw binder, which says READY with another layout and then what it is given."""

    def meet(said: bytes):
        push = sockets(zmq.PUSH)
        with listen(ipc) as listener:
            push.connect(ipc)
            peer, _ = listener.accept()
        peer.settimeout(CAP)
        peer.sendall(GREETING + ready_with(b"PULL", OTHER_LAYOUT) + said)
        assert hear(peer, len(GREETING)) == GREETING
        assert hear_command(peer)[0] == b"READY"
        return push, peer

    return meet


WHY = b"peer has layout versions 98 to 99, we have 3"


def test_a_connecter_tells_a_binder_that_offers_rings_why_it_has_none(binder_of_another_layout):
    offer = command(b"SHM-OFFER", b"ring=262144 slot=0 bell=1")
    push, peer = binder_of_another_layout(offer)
    with peer:
        assert hear_command(peer) == (b"SHM-NO", WHY)
        push.send(b"hi")
        assert hear(peer, 4) == b"\x00\x02hi"
        assert push.peers()[0]["reason"] == WHY.decode()


def test_a_connecter_and_a_binder_that_both_have_no_rings_agree_without_another_word(
    binder_of_another_layout,
):
    push, peer = binder_of_another_layout(command(b"SHM-NO", b"my reason"))
    with peer:
        push.send(b"hi")
        assert hear(peer, 4) == b"\x00\x02hi"
        assert push.peers()[0]["reason"] == WHY.decode()
        assert push.stats()["unknown_commands"] == 0


# --- every reason, wherever it is shown --------------------------------------------------------------------
#
# A PAIR, so that both directions can be tried, meets a raw peer that could have rings but for one thing. What
# such a peer says stands in a table; what else may prevent rings has a test of its own below.

ABI = 3
GOOD = f"abi={ABI}-{ABI} page={os.sysconf('SC_PAGE_SIZE')} endian=little ring=262144 sndhwm=1000 rcvhwm=1000"
NOBODY = 65534
"""A uid that is not ours."""

SAID = {
    "plain": (None, "peer speaks plain ZMTP"),
    "no layout": (GOOD.replace("abi=", "api="), "peer names no layout versions"),
    "older": (GOOD.replace("3-3", "1-2"), "peer has layout versions 1 to 2, we have 3"),
    "newer": (GOOD.replace("3-3", "4-9"), "peer has layout versions 4 to 9, we have 3"),
    "page": (GOOD.replace("page=", "page=1"), "peer has another page size or byte order"),
    "order": (GOOD.replace("little", "big"), "peer has another page size or byte order"),
    "no ring": (GOOD.replace("ring=", "king="), "peer's X-SHM lacks ring, sndhwm or rcvhwm"),
    "no mark": (GOOD.replace("rcvhwm=1000", ""), "peer's X-SHM lacks ring, sndhwm or rcvhwm"),
}
"""X-SHM of a peer, and what is wrong with it."""


def ready_of(shm):
    return ready(b"PAIR") if shm is None else ready_with(b"PAIR", shm.encode())


@pytest.fixture
def lines(caplog, monkeypatch):
    """A function: what was logged of connections without rings. Nothing was logged before."""
    caplog.set_level(logging.WARNING, "shmzmq")
    _backend.drain_log()
    caplog.clear()
    monkeypatch.setattr(_backend, "_last_said", {})
    return lambda: [record.message for record in caplog.records if "goes on without rings" in record.message]


class Shown:
    """A socket, and where it shows why a connection has no rings."""

    def __init__(self, zmq, socket, lines):
        self._zmq, self.socket, self._lines = zmq, socket, lines
        self._reader = socket.get_monitor_socket(zmq.EVENT_ALL | zmq.ShmEvent.ALL)
        self._reader.rcvtimeo = CAP_MS
        self._utils = importlib.import_module(f"{zmq.__name__}.utils.monitor")

    def until(self, *events):
        told = self._utils.recv_monitor_message(self._reader)
        while told["event"] not in events:
            told = self._utils.recv_monitor_message(self._reader)
        return told

    def expect(self, reason, sides=1):
        """The connection serves, and `peers`, the monitor, `stats` and one line of the log say this.

        `sides` of this process log, each one line.
        """
        assert self.until(self._zmq.EVENT_HANDSHAKE_SUCCEEDED)
        told = self.until(self._zmq.ShmEvent.NO_RINGS, self._zmq.ShmEvent.RINGS)
        assert told["event"] is self._zmq.ShmEvent.NO_RINGS
        shown = told["detail"]
        assert shown.startswith(reason) if reason.endswith(": ") else shown == reason
        [row] = self.socket.peers()
        assert (row["transport"], row["reason"]) == ("zmtp", shown)
        assert self.socket.stats()["connected_without_rings"] == 1
        assert self.socket.stats()["handshakes_failed"] == 0
        _backend.drain_log()
        lines = self._lines()
        assert len([line for line in lines if line.endswith(f" goes on without rings: {shown}")]) == 1, lines
        assert len(lines) <= sides, lines
        return shown

    def end(self):
        self.socket.disable_monitor()
        self._reader.close(linger=0)


@pytest.fixture
def shown(zmq, sockets, lines):
    """A function `shown(**options)`: a PAIR and where it shows things."""
    made = []

    def make(**options):
        made.append(Shown(zmq, sockets(zmq.PAIR, **options), lines))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture(params=["bind", "connect"])
def role(request):
    """What the socket under test does."""
    return request.param


@pytest.fixture
def meet(ipc, role):
    """A function: the socket meets a raw peer in its role, and has not heard a word from it."""
    with contextlib.ExitStack() as open_wires:

        def fresh(socket, endpoint=ipc):
            if role == "bind":
                socket.bind(endpoint)
                wire = dial(endpoint)
            else:
                with listen(endpoint) as listener:
                    socket.connect(endpoint)
                    wire, _ = listener.accept()
                wire.settimeout(CAP)
            open_wires.enter_context(wire)
            return wire

        yield fresh


def expect_traffic(socket, wire):
    """Both directions serve; whatever else the socket has to say first is passed over."""
    wire.sendall(b"\x00\x02hi")
    expect(socket, b"hi")
    socket.send(b"hello")
    heard = b""
    while not heard.endswith(b"\x00\x05hello"):
        more = wire.recv(4096)
        assert more, heard
        heard += more


@pytest.mark.parametrize("said", SAID)
def test_what_a_peer_says_that_prevents_rings_is_shown_everywhere(shown, meet, role, said):
    shm, reason = SAID[said]
    it = shown()
    wire = meet(it.socket)
    answer = command(b"SHM-NO", b"we have none") if role == "connect" and shm is not None else b""
    wire.sendall(GREETING + ready_of(shm) + answer)
    it.expect(reason)
    expect_traffic(it.socket, wire)


@pytest.mark.parametrize("said", SAID)
def test_with_rings_or_nothing_each_of_these_ends_the_handshake(zmq, shown, meet, role, said):
    shm, reason = SAID[said]
    it = shown(ipc_mode=2, reconnect_ivl=-1)
    wire = meet(it.socket)
    answer = command(b"SHM-NO", b"we have none") if role == "connect" and shm is not None else b""
    wire.sendall(GREETING + ready_of(shm) + answer)
    failed = it.until(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_SUCCEEDED)
    assert (failed["event"], failed["value"]) == (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EPROTONOSUPPORT)
    told = it.until(zmq.ShmEvent.NO_RINGS)
    assert told["detail"] == f"no rings, and IPC_MODE allows nothing else: {reason}"
    assert it.socket.stats()["handshakes_failed"] == 1
    with contextlib.suppress(ConnectionResetError):
        while wire.recv(4096):
            pass


@pytest.mark.parametrize("by", ["option", "environment"])
def test_rings_that_are_switched_off_are_shown_everywhere(shown, meet, role, by, monkeypatch):
    if by == "environment":
        monkeypatch.setenv("SHMZMQ_IPC", "zmtp")
    it = shown(**({"ipc_mode": 1} if by == "option" else {}))
    wire = meet(it.socket)
    wire.sendall(GREETING + ready_of(GOOD))
    it.expect("switched off by IPC_MODE")
    expect_traffic(it.socket, wire)


def test_a_peer_without_rings_says_why_and_that_is_shown_everywhere(shown, meet, role):
    it = shown()
    wire = meet(it.socket)
    wire.sendall(GREETING + ready_of(GOOD) + command(b"SHM-NO", b"out of luck"))
    it.expect("peer has no rings: out of luck")
    expect_traffic(it.socket, wire)


@pytest.mark.parametrize("role", ["connect"], indirect=True)
def test_fds_that_were_lost_on_the_way_are_shown_everywhere(shown, meet):
    it = shown()
    wire = meet(it.socket)
    wire.sendall(GREETING + ready_of(GOOD) + command(b"SHM-OFFER", b"ring=262144 slot=0 bell=1"))
    it.expect("fds were lost on the way")
    expect_traffic(it.socket, wire)


def test_commands_that_mean_nothing_end_a_handshake_that_waits_for_rings(shown, meet):
    """RFC 37: they are ignored. But nobody may say them without end."""
    it = shown()
    wire = meet(it.socket)
    wire.sendall(GREETING + ready_of(GOOD) + command(b"WHAT") * 1000)
    wait_until(lambda: it.socket.stats()["unknown_commands"] == 1000, "them to be counted")
    assert it.socket.stats()["handshakes_failed"] == 0
    wire.sendall(command(b"WHAT"))
    wait_until(lambda: it.socket.stats()["handshakes_failed"] == 1, "the last one to be too many")


# --- another user ------------------------------------------------------------------------------------------


def as_nobody(function, *args):
    """Calls it in a thread of another user: the bare system call changes its own (credentials(7))."""

    def run():
        done = ctypes.CDLL(None, use_errno=True).syscall(SYS_SETRESUID, -1, NOBODY, -1)
        assert done == 0, os.strerror(ctypes.get_errno())
        return function(*args)

    return Task(run).result()


SYS_SETRESUID = {"x86_64": 117, "aarch64": 147}.get(os.uname().machine)

needs_another_user = pytest.mark.skipif(
    os.geteuid() != 0 or SYS_SETRESUID is None, reason="only root can be somebody else"
)


def dial_abstract(name):
    wire = posix.socket(posix.AF_UNIX)
    wire.connect(f"\0{name}")
    return wire


def listen_abstract(name):
    listener = posix.socket(posix.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    return listener


@needs_another_user
def test_a_peer_of_another_user_is_shown_everywhere(shown, role, scratch):
    """An abstract name has no mode that would keep others out."""
    it, endpoint = shown(), f"ipc://@{scratch.name}"
    if role == "bind":
        it.socket.bind(endpoint)
        wire = as_nobody(dial_abstract, scratch.name)
    else:
        with as_nobody(listen_abstract, scratch.name) as listener:
            it.socket.connect(endpoint)
            wire, _ = listener.accept()
    wire.settimeout(CAP)
    with wire:
        wire.sendall(GREETING + ready_of(GOOD) + (command(b"SHM-NO", b"mine") if role == "connect" else b""))
        it.expect(f"peer has uid {NOBODY}, we have {os.geteuid()}")
        expect_traffic(it.socket, wire)


# --- memory ------------------------------------------------------------------------------------------------

LARGE_RING = 64 << 20
SEGMENT = 2 * LARGE_RING


@contextlib.contextmanager
def room_for(count):
    """This process may map so many more such segments, and half of one."""
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    mapped = int(rows["VmSize"].split()[0]) * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + count * SEGMENT + SEGMENT // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("role", ["bind"], indirect=True)
def test_want_of_memory_for_rings_is_shown_everywhere(shown, meet):
    it = shown(ring_bytes=LARGE_RING)
    with room_for(0):
        wire = meet(it.socket)
        wire.sendall(GREETING + ready_of(GOOD))
        it.expect("no memory for rings: ")
    expect_traffic(it.socket, wire)


def test_rings_that_cannot_be_mapped_are_shown_everywhere_on_both_sides(
    zmq, shown, sockets, ipc, new_endpoint
):
    """The binder's half of the room is taken when the connecter maps."""
    warm = new_endpoint("ipc")
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(warm)
    push.connect(warm)
    marry(push, pull)  # the I/O thread is there, and the room that its malloc reserves
    it, binder = shown(), shown(ring_bytes=LARGE_RING)
    with room_for(1):
        binder.socket.bind(ipc)
        it.socket.connect(ipc)
        wait_until(lambda: [row for row in binder.socket.peers() if row["reason"]], "the binder to hear why")
    why = it.expect("cannot map rings: mmap: ", sides=2)
    binder.expect(f"peer has no rings: {why}", sides=2)
    it.socket.send(b"there")
    expect(binder.socket, b"there")
    binder.socket.send(b"and back")
    expect(it.socket, b"and back")


# --- fds ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def free_fds(count):
    """This process may open so many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 16, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        for _ in range(count):
            os.close(held.pop())
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sealed(size):
    fd = os.memfd_create("by hand", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


@pytest.mark.parametrize("role", ["connect"], indirect=True)
@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_connecter_without_fds_for_an_offer_shows_it_everywhere(shown, meet, free):
    it = shown()
    wire = meet(it.socket)
    fds = [sealed(4096) for _ in range(3)]
    offer = command(b"SHM-OFFER", b"ring=262144 slot=0 bell=1")
    with free_fds(free):
        posix.send_fds(wire, [GREETING + ready_of(GOOD) + offer], fds)
        it.expect(f"cannot map rings: recvmsg: {os.strerror(errno.EMFILE)} (os error {errno.EMFILE})")
    for fd in fds:
        os.close(fd)
    expect_traffic(it.socket, wire)


@pytest.mark.parametrize("role", ["bind"], indirect=True)
@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_binder_without_fds_for_rings_shows_it_everywhere(shown, meet, free):
    """Which call fails depends on what else the connection has opened by then."""
    it = shown()
    wire = meet(it.socket)
    assert hear(wire, len(GREETING)) == GREETING  # so it has been accepted
    with free_fds(free):
        wire.sendall(GREETING + ready_of(GOOD))
        it.expect("no memory for rings: ")
    expect_traffic(it.socket, wire)


@pytest.mark.parametrize("role", ["bind"], indirect=True)
def test_a_binder_that_offered_rings_has_fds_for_the_answer(zmq, shown, meet):
    """The connecter is on its rings by then."""
    it = shown()
    wire = meet(it.socket)
    wire.sendall(GREETING + ready_of(GOOD))
    assert hear(wire, len(GREETING)) == GREETING
    assert hear_command(wire)[0] == b"READY"
    assert hear_command(wire)[0] == b"SHM-OFFER"
    page, bell = sealed(4096), os.eventfd(0)
    with free_fds(0):
        posix.send_fds(wire, [command(b"SHM-ACCEPT", b"slot=0 bell=1")], [page, bell])
        assert it.until(zmq.ShmEvent.RINGS, zmq.EVENT_DISCONNECTED)["event"] is zmq.ShmEvent.RINGS
    os.close(page)
    os.close(bell)


# --- the log -----------------------------------------------------------------------------------------------


def test_one_reason_does_not_keep_another_from_the_log(zmq, sockets, lines, ipc):
    """In a mixed fleet most peers speak plain ZMTP; what is odd must not go unheard beside them."""
    router = sockets(zmq.ROUTER)
    router.bind(ipc)
    with contextlib.ExitStack() as wires:
        for shm in (None, None, GOOD.replace("3-3", "4-9"), GOOD.replace("3-3", "5-9"), None):
            wire = wires.enter_context(dial(ipc))
            said = ready(b"DEALER") if shm is None else ready_with(b"DEALER", shm.encode())
            wire.sendall(GREETING + said + b"\x00\x02hi")
            assert router.recv_multipart()[1:] == [b"hi"]
        _backend.drain_log()
        assert [line.rpartition("rings: ")[2] for line in lines()] == [
            "peer speaks plain ZMTP",
            "peer has layout versions 4 to 9, we have 3",
        ]


def wait_in_recv(zmq, socket):
    return socket.recv()


def wait_in_poll(zmq, socket):
    assert socket.poll(CAP_MS)
    return socket.recv()


def wait_in_poller(zmq, socket):
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    assert poller.poll(CAP_MS)
    return socket.recv()


@pytest.mark.parametrize("wait", [wait_in_recv, wait_in_poll, wait_in_poller])
def test_who_only_waits_for_messages_logs_why_a_peer_has_no_rings(zmq, sockets, task, lines, ipc, wait):
    """A server binds once and then waits: it must not hear of its peers when it ends."""
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    waiting = task(wait, zmq, pull)
    waiting.wait_blocked()
    with dial(ipc) as wire:
        wire.sendall(GREETING + ready(b"PUSH"))
        wait_until(lines, "a line of the log")
        wire.sendall(b"\x00\x02hi")
        assert waiting.result() == b"hi"


def test_a_handler_of_the_log_that_raises_does_not_break_a_receive(zmq, sockets, task, lines, ipc):
    class Broken(logging.Filter):
        def filter(self, record):
            raise RuntimeError("no room for this line")

    broken, logger = Broken(), logging.getLogger("shmzmq")
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    waiting = task(pull.recv)
    waiting.wait_blocked()
    said = []
    logger.addFilter(broken)
    before, sys.unraisablehook = sys.unraisablehook, lambda told: said.append(str(told.exc_value))
    try:
        with dial(ipc) as wire:
            wire.sendall(GREETING + ready(b"PUSH"))
            wait_until(lambda: said, "the handler to raise")
            wire.sendall(b"\x00\x02hi")
            assert waiting.result() == b"hi"
    finally:
        sys.unraisablehook = before
        logger.removeFilter(broken)
    assert said == ["no room for this line"]


def test_a_proxy_logs_why_a_peer_has_no_rings(zmq, lines, ipc):
    context = zmq.Context()
    front, back, far = context.socket(zmq.PULL), context.socket(zmq.PUSH), context.socket(zmq.PULL)
    front.bind(ipc)
    back.bind("inproc://behind")
    far.connect("inproc://behind")
    far.rcvtimeo = CAP_MS

    def pass_on():
        with contextlib.suppress(zmq.ContextTerminated):
            zmq.proxy(front, back)
        front.close(linger=0)
        back.close(linger=0)

    passing = Task(pass_on)
    passing.wait_blocked()
    with dial(ipc) as wire:
        wire.sendall(GREETING + ready(b"PUSH"))
        wait_until(lines, "a line of the log")
        wire.sendall(b"\x00\x02hi")
        assert far.recv() == b"hi"
    far.close(linger=0)
    context.term()
    passing.result()


def test_who_only_waits_for_messages_logs_why_nobody_can_join(zmq, sockets, task, caplog, lines, ipc):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    waiting = task(pull.recv)
    waiting.wait_blocked()
    with dial(ipc) as wire:
        wire.sendall(GREETING + ready(b"PULL"))
        wait_until(lambda: "cannot talk to" in caplog.text, "a line of the log")
    with dial(ipc) as wire:
        wire.sendall(GREETING + ready(b"PUSH") + b"\x00\x02hi")
        assert waiting.result() == b"hi"


def test_a_loop_that_only_waits_for_messages_logs_why_a_peer_has_no_rings(zmq, lines, ipc):
    asyncio = importlib.import_module("asyncio")
    awaited = importlib.import_module("shmzmq.asyncio")

    async def serve():
        with awaited.Context() as context, context.socket(zmq.PULL) as pull:
            pull.bind(ipc)
            waiting = asyncio.ensure_future(pull.recv())
            await asyncio.sleep(0)
            with dial(ipc) as wire:
                wire.sendall(GREETING + ready(b"PUSH"))
                for _ in range(int(CAP / 0.01)):
                    if lines():
                        break
                    await asyncio.sleep(0.01)
                assert lines()
                wire.sendall(b"\x00\x02hi")
                assert await waiting == b"hi"

    asyncio.run(asyncio.wait_for(serve(), 2 * CAP))
