"""Fork and the other start methods: what a child inherits, what it may do with it, and what it leaves behind.

A forked child reports through the kit's link, a plain pipe; what it inherits reaches it as arguments.
"""

from __future__ import annotations

import gc
import os
import warnings

import pytest

from kit import CAP_MS, expect, expect_error, marry, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")

METHODS = ["fork", "forkserver", "spawn"]


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH connected to a bound PULL."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    return push, pull


# --- inherited sockets -------------------------------------------------------------------------------------


def use(zmq, link, socket, call):
    """Use an inherited socket; say what that raised."""
    calls = {
        "send": lambda: socket.send(b"from the child"),
        "send_multipart": lambda: socket.send_multipart([b"from", b"the child"]),
        "recv": lambda: socket.recv(zmq.DONTWAIT),
        "poll": lambda: socket.poll(0),
        "bind": lambda: socket.bind("inproc://child"),
        "connect": lambda: socket.connect("inproc://child"),
        "set": lambda: socket.set(zmq.LINGER, 0),
        "get": lambda: socket.get(zmq.EVENTS),
    }
    try:
        calls[call]()
    except zmq.ZMQError as error:
        return type(error).__name__, isinstance(error, zmq.ForkedError), str(error)


USES = ["send", "send_multipart", "recv", "poll", "bind", "connect", "set", "get"]


@pytest.mark.shmzmq_only("a forked child of pyzmq must not touch inherited sockets and is not stopped")
@pytest.mark.parametrize("call", USES)
def test_inherited_socket_is_refused_in_a_forked_child(zmq, sockets, run_child, call, endpoint):
    dealer = sockets(zmq.DEALER)
    dealer.bind(endpoint)
    name, is_forked_error, text = run_child(use, dealer, call, method="fork").result()
    assert (name, is_forked_error) == ("ForkedError", True)
    assert str(os.getpid()) in text, "the error names the process that made the socket"


@pytest.mark.shmzmq_only("ForkedError is ours")
def test_forked_error_is_a_zmq_error(zmq):
    assert issubclass(zmq.ForkedError, zmq.ZMQError)


def make_a_socket(zmq, link, context):
    try:
        context.socket(zmq.PUSH)
    except zmq.ZMQError as error:
        return type(error).__name__, str(error)


@pytest.mark.shmzmq_only("ForkedError is ours")
def test_inherited_context_with_sockets_is_refused_in_a_forked_child(zmq, ctx, sockets, run_child, endpoint):
    sockets(zmq.PULL).bind(endpoint)
    name, text = run_child(make_a_socket, ctx, method="fork").result()
    assert name == "ForkedError"
    assert str(os.getpid()) in text


def close_it_all(zmq, link, *things):
    """Close and end everything inherited, and collect it."""
    for thing in things:
        thing.close() if hasattr(thing, "send") else thing.term()
    del things, thing
    gc.collect()
    return "harmless"


def test_child_that_closes_what_it_inherited_does_not_disturb_the_parent(zmq, ctx, flow, run_child):
    push, pull = flow
    push.send(b"before")
    assert run_child(close_it_all, push, pull, ctx, method="fork").result() == "harmless"
    push.send(b"after")
    expect(pull, b"before")
    expect(pull, b"after")


def do_nothing(zmq, link, *things):
    return os.getpid()


def test_parent_does_not_notice_a_fork(zmq, flow, run_child):
    push, pull = flow
    for number in range(3):
        push.send(b"before %d" % number)
        assert run_child(do_nothing, method="fork").result() != os.getpid()
        push.send(b"after %d" % number)
        expect(pull, b"before %d" % number)
        expect(pull, b"after %d" % number)


def test_parent_forks_while_its_threads_are_busy(zmq, flow, run_child, task):
    push, pull = flow

    def send():
        for number in range(20_000):
            push.send(b"%d" % number)

    def receive():
        return [int(pull.recv()) for _ in range(20_000)]

    sending, receiving = task(send), task(receive)
    for _ in range(3):
        run_child(do_nothing, method="fork").result()
    sending.result(30)
    assert receiving.result(30) == list(range(20_000))


@pytest.mark.shmzmq_only("libzmq's child keeps the connection open: it shares the fd")
def test_peer_of_a_parent_that_forked_sees_it_close(zmq, sockets, ipc, run_child):
    push, pull = sockets(zmq.PUSH, immediate=1), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    child = run_child(wait_for_a_word, method="fork")
    child.hear()
    pull.close()
    wait_until(
        lambda: not push.poll(0, zmq.POLLOUT), "the PUSH to see its peer go while a forked child lives"
    )
    child.tell("go")
    child.result()


def wait_for_a_word(zmq, link):
    link.tell("here")
    return link.hear(60)


@pytest.mark.shmzmq_only("libzmq's child keeps the listening fd")
def test_forked_child_does_not_hold_the_path_of_its_parent(zmq, sockets, ipc, run_child):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    child = run_child(wait_for_a_word, method="fork")
    child.hear()
    first.close()
    second.bind(ipc)
    child.tell("go")
    child.result()


def count_fds(zmq, link):
    """How many fds of the kinds that only a library like ours opens are there."""
    targets = []
    for name in os.listdir("/proc/self/fd"):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return sum("eventfd" in target or "memfd" in target or "eventpoll" in target for target in targets)


@pytest.mark.shmzmq_only("libzmq's child inherits all fds")
def test_forked_child_closes_the_fds_of_the_library(zmq, sockets, ipc, run_child):
    before = run_child(count_fds, method="fork").result()
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    for _ in range(5):
        push = sockets(zmq.PUSH)
        push.connect(ipc)
        marry(push, pull)
    assert run_child(count_fds, method="fork").result() == before


# --- a context of the child's own --------------------------------------------------------------------------


def talk(zmq, link, endpoint, own_context):
    """Make a context by the way asked for and send one message with it."""
    context = zmq.Context() if own_context == "new" else zmq.Context.instance()
    push = context.socket(zmq.PUSH)
    push.connect(endpoint)
    push.send(b"from the child")
    push.close()
    context.term()


@pytest.mark.parametrize("own_context", ["new", "instance"])
@pytest.mark.parametrize("method", METHODS)
def test_child_makes_its_own_context_and_talks_to_its_parent(
    zmq, sockets, ipc, run_child, method, own_context
):
    pull = sockets(zmq.PULL, rcvtimeo=2 * CAP_MS)
    pull.bind(ipc)
    child = run_child(talk, ipc, own_context, method=method)
    expect(pull, b"from the child")
    child.result()


def instance_address(zmq, link, parents):
    mine = zmq.Context.instance()
    different = mine is not parents
    mine.term()
    return different


def test_forked_child_gets_an_instance_of_its_own(zmq, run_child):
    parents = zmq.Context.instance()
    try:
        assert run_child(instance_address, parents, method="fork").result()
        assert zmq.Context.instance() is parents
    finally:
        parents.term()


def use_inherited_context(zmq, link, context, endpoint):
    """Send through a context that had no sockets when the fork came."""
    push = context.socket(zmq.PUSH)
    push.connect(endpoint)
    push.send(b"through the inherited context")
    link.hear()  # the message has arrived
    push.close(linger=0)


def test_context_without_sockets_works_in_a_forked_child(zmq, sockets, new_context, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = run_child(use_inherited_context, new_context(), ipc, method="fork")
    expect(pull, b"through the inherited context")
    child.tell("arrived")
    child.result()


def fork_again(zmq, link, endpoint):
    """A child that uses sockets and forks a child that uses sockets."""
    talk(zmq, link, endpoint, "new")
    pid = os.fork()
    if pid == 0:
        try:
            talk(zmq, link, endpoint, "new")
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_grandchild_may_talk_too(zmq, sockets, ipc, run_child):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    child = run_child(fork_again, ipc, method="fork")
    expect(pull, b"from the child")
    expect(pull, b"from the child")
    assert child.result() == 0


# --- frames ------------------------------------------------------------------------------------------------


def read_frames(zmq, link, frames):
    """Read inherited frames, after the parent went on."""
    link.tell("forked")
    link.hear()
    return [bytes(frame) for frame in frames]


@pytest.mark.parametrize("size", [10, 5000, 100_000, 1 << 20])
def test_frames_received_before_a_fork_read_the_same_in_both(zmq, flow, run_child, size):
    push, pull = flow
    for number in range(4):
        push.send(bytes([number]) * size)
    frames = [pull.recv(copy=False) for _ in range(4)]
    child = run_child(read_frames, frames, method="fork")
    child.hear()
    for _ in range(40):  # would reuse the memory of the frames if it were free
        push.send(b"\xff" * size)
        pull.recv()
    child.tell("read now")
    expected = [bytes([number]) * size for number in range(4)]
    assert child.result() == expected
    assert [bytes(frame) for frame in frames] == expected


@pytest.mark.parametrize("size", [10, 5000, 100_000, 1 << 20])
def test_child_may_read_frames_that_the_parent_let_go(zmq, flow, run_child, size):
    push, pull = flow
    for number in range(4):
        push.send(bytes([number]) * size)
    frames = [pull.recv(copy=False) for _ in range(4)]
    child = run_child(read_frames, frames, method="fork")
    child.hear()
    frames.clear()
    gc.collect()
    for _ in range(40):
        push.send(b"\xff" * size)
        pull.recv()
    child.tell("read now")
    assert child.result() == [bytes([number]) * size for number in range(4)]


def write_frames(zmq, link, frames):
    for frame in frames:
        frame.buffer[0] = 77
    return [frame.buffer[0] for frame in frames]


@pytest.mark.parametrize("size", [10, 100_000])
def test_child_that_writes_into_a_frame_does_not_change_the_parents(zmq, flow, run_child, size):
    push, pull = flow
    push.send(bytes(size))
    frame = pull.recv(copy=False)
    assert run_child(write_frames, [frame], method="fork").result() == [77]
    assert frame.buffer[0] == 0


# --- what a multiprocessing child leaves behind ------------------------------------------------------------


def send_and_return(zmq, link, endpoint, linger):
    """Send a thousand messages to a binder that is not there, and return without a close or a term."""
    push = zmq.Context.instance().socket(zmq.PUSH)
    if linger is not None:
        push.linger = linger
    push.reconnect_ivl = 10
    push.connect(endpoint)
    for number in range(1000):
        push.send(b"%d" % number)
    KEPT.append(push)
    link.tell("sent")


KEPT = []
"""What nothing but the end of the child's process lets go."""


@pytest.mark.slow
@pytest.mark.shmzmq_only("multiprocessing children run no atexit: pyzmq loses what has not left")
@pytest.mark.parametrize("linger", [None, 10_000], ids=["default linger", "linger of 10 s"])
@pytest.mark.parametrize("method", METHODS)
def test_messages_sent_to_a_late_binder_just_before_a_child_returns_all_arrive(
    zmq, sockets, ipc, run_child, method, linger
):
    child = run_child(send_and_return, ipc, linger, method=method)
    child.hear()
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    assert [pull.recv() for _ in range(1000)] == [b"%d" % number for number in range(1000)]
    child.result()


@pytest.mark.slow
@pytest.mark.shmzmq_only("multiprocessing children run no atexit: pyzmq ends at once")
@pytest.mark.parametrize("method", METHODS)
def test_child_whose_messages_nobody_takes_ends_all_the_same(ipc, run_child, method):
    child = run_child(send_and_return, ipc, None, method=method)
    child.hear()
    child.result(10)


@pytest.mark.slow
@pytest.mark.shmzmq_only("multiprocessing children run no atexit: pyzmq loses what has not left")
@pytest.mark.parametrize("method", METHODS)
def test_child_of_linger_zero_waits_for_nobody(ipc, run_child, method):
    child = run_child(send_and_return, ipc, 0, method=method)
    child.hear()
    child.result(5)


def test_expected_warnings_are_the_only_ones(zmq, sockets, endpoint, run_child):
    """A fork beside open sockets warns of nothing but the fork."""
    sockets(zmq.PULL).bind(endpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        run_child(do_nothing, method="fork").result()


@pytest.mark.shmzmq_only("ForkedError is ours")
def test_socket_refused_in_a_child_still_works_in_the_parent(zmq, flow, run_child):
    push, pull = flow
    run_child(use, push, "send", method="fork").result()
    run_child(use, pull, "recv", method="fork").result()
    push.send(b"still mine")
    expect(pull, b"still mine")
    with expect_error(zmq, "EAGAIN"):
        pull.recv(zmq.DONTWAIT)
