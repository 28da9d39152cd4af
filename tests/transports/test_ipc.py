"""ipc paths: who owns one, when it is free again, what lies in the file system and what does not.

Where shmzmq is stricter than libzmq (which lets a second bind steal a live path) the tests are shmzmq_only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket as system_socket
import uuid
import warnings
from pathlib import Path

import pytest

from kit import CAP_MS, end_context, expect, expect_error, expect_nothing, marry, path_of, refused, wait_until


def bind_and_wait(zmq, link, endpoint):
    """A child that owns the path until it is told to let go or is killed."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        link.tell(os.getpid())
        link.hear(60)


@pytest.fixture
def delivers(zmq, sockets):
    """A function that sends one message to the endpoint from a new PUSH and expects it at the PULL."""

    def check(endpoint, pull):
        push = sockets(zmq.PUSH)
        push.connect(endpoint)
        push.send(b"through the path")
        expect(pull, b"through the path")
        push.close(linger=0)

    return check


# --- a live path -------------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq lets the second bind steal the path silently")
def test_second_bind_on_a_live_path_is_refused(zmq, sockets, ipc):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    with expect_error(zmq, "EADDRINUSE"):
        second.bind(ipc)


@pytest.mark.shmzmq_only("libzmq lets the second bind steal the path silently")
def test_second_bind_by_the_same_socket_is_refused(zmq, sockets, ipc):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    with expect_error(zmq, "EADDRINUSE"):
        pull.bind(ipc)


@pytest.mark.shmzmq_only("libzmq lets the second bind steal the path silently")
def test_refusal_names_the_path_and_the_process_that_owns_it(zmq, sockets, ipc, run_child):
    owner = run_child(bind_and_wait, ipc)
    pid = owner.hear()
    with expect_error(zmq, "EADDRINUSE") as caught:
        sockets(zmq.PULL).bind(ipc)
    assert str(pid) in str(caught.value)
    assert ipc in str(caught.value)
    owner.tell("let go")
    owner.result()


@pytest.mark.shmzmq_only("libzmq lets the second bind steal the path silently")
def test_refused_bind_leaves_the_owner_its_path(zmq, sockets, ipc, delivers):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    with expect_error(zmq, "EADDRINUSE"):
        second.bind(ipc)
    second.close()
    delivers(ipc, first)


@pytest.mark.shmzmq_only("libzmq lets the second bind steal the path silently")
def test_refused_bind_leaves_no_file(zmq, sockets, ipc, scratch):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    with expect_error(zmq, "EADDRINUSE"):
        second.bind(ipc)
    assert os.listdir(scratch) == [Path(path_of(ipc)).name]


@pytest.mark.shmzmq_only("libzmq removes whatever is there")
def test_bind_does_not_replace_a_file_that_is_no_socket(zmq, sockets, ipc):
    file = Path(path_of(ipc))
    file.write_text("somebody's work")
    with expect_error(zmq, "EADDRINUSE"):
        sockets(zmq.PULL).bind(ipc)
    assert file.read_text() == "somebody's work"
    file.unlink()


@pytest.mark.shmzmq_only("libzmq removes whatever is there")
def test_bind_does_not_replace_the_live_socket_of_another_program(zmq, sockets, ipc):
    with system_socket.socket(system_socket.AF_UNIX, system_socket.SOCK_STREAM) as foreign:
        foreign.bind(path_of(ipc))
        foreign.listen()
        with expect_error(zmq, "EADDRINUSE"):
            sockets(zmq.PULL).bind(ipc)
    os.unlink(path_of(ipc))


# --- takeover ----------------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("takeover is ours")
def test_takeover_gets_the_new_connections(zmq, sockets, ipc, delivers):
    old, new = sockets(zmq.PULL), sockets(zmq.PULL)
    old.bind(ipc)
    new.bind(ipc, takeover=True)
    delivers(ipc, new)
    expect_nothing(old)


@pytest.mark.shmzmq_only("takeover is ours")
def test_takeover_leaves_the_old_owner_its_connections(zmq, sockets, ipc):
    old, new, push = sockets(zmq.PULL), sockets(zmq.PULL), sockets(zmq.PUSH)
    old.bind(ipc)
    push.connect(ipc)
    marry(push, old)
    new.bind(ipc, takeover=True)
    push.send(b"still for the old one")
    expect(old, b"still for the old one")


@pytest.mark.shmzmq_only("takeover is ours")
def test_old_owner_that_closes_leaves_the_path_to_the_new_one(zmq, sockets, ipc, delivers):
    old, new = sockets(zmq.PULL), sockets(zmq.PULL)
    old.bind(ipc)
    new.bind(ipc, takeover=True)
    old.close()
    assert Path(path_of(ipc)).is_socket()
    delivers(ipc, new)


@pytest.mark.shmzmq_only("takeover is ours")
def test_takeover_from_another_process(zmq, sockets, ipc, run_child, delivers):
    owner = run_child(bind_and_wait, ipc)
    owner.hear()
    new = sockets(zmq.PULL)
    new.bind(ipc, takeover=True)
    delivers(ipc, new)
    owner.tell("let go")
    owner.result()
    delivers(ipc, new)


@pytest.mark.shmzmq_only("takeover is ours")
def test_takeover_of_a_free_path_is_a_bind(zmq, sockets, ipc, delivers):
    pull = sockets(zmq.PULL)
    pull.bind(ipc, takeover=True)
    delivers(ipc, pull)


@pytest.mark.shmzmq_only("takeover is ours")
def test_takeover_leaves_one_file(zmq, sockets, ipc, scratch):
    old, new = sockets(zmq.PULL), sockets(zmq.PULL)
    old.bind(ipc)
    new.bind(ipc, takeover=True)
    assert os.listdir(scratch) == [Path(path_of(ipc)).name]


# --- a dead path -------------------------------------------------------------------------------------------


def test_path_of_a_killed_owner_is_reclaimed(zmq, sockets, ipc, run_child, delivers):
    owner = run_child(bind_and_wait, ipc)
    owner.hear()
    owner.kill()
    assert Path(path_of(ipc)).is_socket()
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    delivers(ipc, pull)


def test_file_of_a_killed_owner_does_not_answer(zmq, sockets, ipc, run_child):
    owner = run_child(bind_and_wait, ipc)
    owner.hear()
    owner.kill()
    push = sockets(zmq.PUSH, immediate=1)
    push.connect(ipc)
    assert push.poll(20, zmq.POLLOUT) == 0
    os.unlink(path_of(ipc))


# --- free again --------------------------------------------------------------------------------------------


@pytest.mark.shmzmq_only("libzmq unbinds in its I/O thread, later")
def test_path_is_free_when_close_returns(zmq, sockets, ipc, delivers):
    for _ in range(20):
        pull = sockets(zmq.PULL)
        pull.bind(ipc)
        pull.close()
        assert not os.path.lexists(path_of(ipc))
    last = sockets(zmq.PULL)
    last.bind(ipc)
    delivers(ipc, last)


@pytest.mark.shmzmq_only("libzmq unbinds in its I/O thread, later")
def test_path_is_free_when_unbind_returns(zmq, sockets, ipc, delivers):
    pull = sockets(zmq.PULL)
    for _ in range(20):
        pull.bind(ipc)
        pull.unbind(ipc)
        assert not os.path.lexists(path_of(ipc))
    pull.bind(ipc)
    delivers(ipc, pull)


@pytest.mark.shmzmq_only("libzmq unbinds in its I/O thread, later")
def test_path_is_free_when_the_socket_was_collected(zmq, ctx, sockets, ipc, delivers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(5):
            ctx.socket(zmq.PULL).bind(ipc)
            gc.collect()
            assert not os.path.lexists(path_of(ipc))
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    delivers(ipc, pull)


@pytest.mark.shmzmq_only("libzmq unbinds in its I/O thread, later")
def test_path_is_free_while_unsent_messages_linger(zmq, sockets, ipc):
    first, second, peer = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    peer.connect(ipc)
    for _ in range(500):
        first.send(bytes(1000))
    first.close(linger=1000)
    second.bind(ipc)


@pytest.mark.shmzmq_only("libzmq leaves the file")
def test_term_leaves_no_file(zmq, new_context, ipc, scratch):
    context = new_context()
    pull = context.socket(zmq.PULL)
    pull.bind(ipc)
    pull.close()
    end_context(zmq, context)
    assert os.listdir(scratch) == []


@pytest.mark.shmzmq_only("libzmq removes nothing at close and could not tell")
def test_close_does_not_remove_the_file_of_a_successor(zmq, sockets, ipc, delivers):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    os.unlink(path_of(ipc))
    second.bind(ipc)
    first.close()
    delivers(ipc, second)


# --- wildcard and abstract names ---------------------------------------------------------------------------


@pytest.fixture
def temporary_directory(scratch, monkeypatch):
    """libzmq and Python look for the place of temporary files here."""
    monkeypatch.setenv("TMPDIR", str(scratch))
    return scratch


def test_wildcard_binds_to_an_endpoint_that_connects(zmq, sockets, temporary_directory, delivers):
    pull = sockets(zmq.PULL)
    pull.bind("ipc://*")
    endpoint = pull.last_endpoint.decode()
    assert endpoint.startswith("ipc://")
    assert Path(path_of(endpoint)).is_socket()
    delivers(endpoint, pull)


def test_wildcards_differ(zmq, sockets, temporary_directory):
    pull = sockets(zmq.PULL)
    seen = set()
    for _ in range(5):
        pull.bind("ipc://*")
        seen.add(pull.last_endpoint)
    assert len(seen) == 5


def test_wildcard_leaves_nothing_after_close(zmq, new_context, temporary_directory):
    context = new_context()
    pull = context.socket(zmq.PULL)
    pull.bind("ipc://*")
    path = path_of(pull.last_endpoint)
    pull.close()
    end_context(zmq, context)
    assert not os.path.lexists(path)
    assert os.listdir(temporary_directory) == []


def test_wildcard_cannot_be_connected_to(zmq, sockets, scratch, monkeypatch):
    """A wildcard names no place; libzmq takes it for a file of that name, which nobody binds."""
    monkeypatch.chdir(scratch)
    push = sockets(zmq.PUSH, immediate=1)
    assert refused(zmq, "EINVAL", push.connect, "ipc://*") or push.poll(0, zmq.POLLOUT) == 0


@pytest.fixture
def abstract():
    """An abstract name that nobody else has."""
    return f"ipc://@shmzmq-test-{uuid.uuid4()}"


def test_abstract_name_connects(zmq, sockets, abstract, delivers):
    pull = sockets(zmq.PULL)
    pull.bind(abstract)
    delivers(abstract, pull)


def test_abstract_name_is_told_as_it_was_given(zmq, sockets, abstract):
    pull = sockets(zmq.PULL)
    pull.bind(abstract)
    assert pull.last_endpoint == abstract.encode()


def test_abstract_name_makes_no_file(zmq, sockets, abstract, scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    pull = sockets(zmq.PULL)
    pull.bind(abstract)
    assert os.listdir(scratch) == []


def test_second_bind_of_an_abstract_name_is_refused(zmq, sockets, abstract):
    first, second = sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(abstract)
    with expect_error(zmq, "EADDRINUSE"):
        second.bind(abstract)


@pytest.mark.shmzmq_only("libzmq unbinds in its I/O thread, later")
def test_abstract_name_is_free_when_close_returns(zmq, sockets, abstract, delivers):
    for _ in range(5):
        pull = sockets(zmq.PULL)
        pull.bind(abstract)
        pull.close()
    last = sockets(zmq.PULL)
    last.bind(abstract)
    delivers(abstract, last)


def test_abstract_name_of_a_killed_owner_is_free(zmq, sockets, abstract, run_child, delivers):
    owner = run_child(bind_and_wait, abstract)
    owner.hear()
    owner.kill()
    pull = sockets(zmq.PULL)
    pull.bind(abstract)
    delivers(abstract, pull)


def test_abstract_name_beyond_the_limit_is_too_long(zmq, sockets):
    with expect_error(zmq, "ENAMETOOLONG"):
        sockets(zmq.PULL).bind("ipc://@" + "x" * zmq.IPC_PATH_MAX_LEN)


# --- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o027])
def test_mode_of_the_file_follows_the_umask(zmq, sockets, ipc, umask):
    before = os.umask(umask)
    try:
        sockets(zmq.PULL).bind(ipc)
    finally:
        os.umask(before)
    assert Path(path_of(ipc)).stat().st_mode & 0o777 == 0o777 & ~umask


def test_bind_makes_no_other_file(zmq, sockets, ipc, scratch, delivers):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    delivers(ipc, pull)
    assert os.listdir(scratch) == [Path(path_of(ipc)).name]


def test_connect_makes_no_file(zmq, sockets, ipc, scratch):
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    push.send(b"waiting")
    assert os.listdir(scratch) == []


def test_failed_bind_makes_no_file(zmq, sockets, scratch):
    with expect_error(zmq, "ENOENT"):
        sockets(zmq.PULL).bind(f"ipc://{scratch}/missing/socket")
    assert os.listdir(scratch) == []


def test_relative_path_means_the_working_directory(zmq, sockets, scratch, monkeypatch, delivers):
    monkeypatch.chdir(scratch)
    pull = sockets(zmq.PULL)
    pull.bind("ipc://relative")
    assert (scratch / "relative").is_socket()
    assert pull.last_endpoint == b"ipc://relative"
    delivers("ipc://relative", pull)
    pull.close()
    wait_until(lambda: not (scratch / "relative").exists() or zmq.__name__ == "zmq", "the file to go")


def test_path_may_have_any_bytes_that_a_file_name_has(zmq, sockets, scratch, delivers):
    endpoint = f"ipc://{scratch}/größe und:*@ 100%"
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    assert (scratch / "größe und:*@ 100%").is_socket()
    delivers(endpoint, pull)


def test_connection_outlives_its_file(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    marry(push, pull)
    os.unlink(path_of(ipc))
    push.send(b"still here")
    expect(pull, b"still here")


def test_one_path_takes_many_connections(zmq, sockets, ipc):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    pushes = [sockets(zmq.PUSH) for _ in range(100)]
    for number, push in enumerate(pushes):
        push.connect(ipc)
        push.send(b"%d" % number)
    assert sorted(int(pull.recv()) for _ in pushes) == list(range(100))


# --- a stranger at the door --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.0\r\n\r\n", bytes(64), b"\xff" * 200], ids=len)
def test_stranger_does_not_disturb_the_others(zmq, sockets, ipc, delivers, words):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    with system_socket.socket(system_socket.AF_UNIX, system_socket.SOCK_STREAM) as stranger:
        stranger.connect(path_of(ipc))
        stranger.sendall(words)
        delivers(ipc, pull)
    delivers(ipc, pull)


def test_stranger_that_goes_at_once_does_not_disturb_the_others(zmq, sockets, ipc, delivers):
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    for _ in range(20):
        with system_socket.socket(system_socket.AF_UNIX, system_socket.SOCK_STREAM) as stranger:
            stranger.connect(path_of(ipc))
    delivers(ipc, pull)


def test_socket_of_a_wrong_type_is_not_served(zmq, sockets, ipc, delivers):
    pull, wrong = sockets(zmq.PULL), sockets(zmq.REP, rcvtimeo=CAP_MS)
    pull.bind(ipc)
    wrong.connect(ipc)
    delivers(ipc, pull)
    expect_nothing(wrong)


@pytest.mark.shmzmq_only("what a departed binder did not take goes to its successor")
def test_unbound_endpoint_gives_what_comes_later_to_the_next_binder_once(zmq, sockets, ipc):
    push, first, second = sockets(zmq.PUSH), sockets(zmq.PULL), sockets(zmq.PULL)
    first.bind(ipc)
    push.connect(ipc)
    push.send(b"0")
    expect(first, b"0")
    for number in range(1, 6):
        push.send(b"%d" % number)
    first.unbind(ipc)
    second.bind(ipc)
    for number in range(6, 11):
        push.send(b"%d" % number)
    taken = []

    def all_are_taken():
        for pull in (first, second):
            with contextlib.suppress(zmq.Again):
                taken.append(int(pull.recv(zmq.DONTWAIT)))
        return len(taken) == 10

    wait_until(all_are_taken, "ten messages to arrive at either binder")
    assert sorted(taken) == list(range(1, 11))


# --- IPC_MODE ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "mode"), [(None, 0), ("auto", 0), ("zmtp", 1), ("ring", 2)])
def test_environment_gives_ipc_mode_its_default(zmq, sockets, monkeypatch, said, mode):
    monkeypatch.delenv("SHMZMQ_IPC", raising=False)
    if said is not None:
        monkeypatch.setenv("SHMZMQ_IPC", said)
    assert sockets(zmq.PUSH).ipc_mode == mode


def test_option_goes_before_the_environment(zmq, sockets, monkeypatch):
    monkeypatch.setenv("SHMZMQ_IPC", "zmtp")
    assert sockets(zmq.PUSH, ipc_mode=0).ipc_mode == 0


@pytest.mark.parametrize("said", ["", "rings", "1", "ZMTP"])
def test_environment_that_names_no_ipc_mode_is_invalid(zmq, ctx, monkeypatch, said):
    monkeypatch.setenv("SHMZMQ_IPC", said)
    with expect_error(zmq, "EINVAL") as caught:
        ctx.socket(zmq.PUSH)
    assert f"SHMZMQ_IPC={said!r}: needs auto or zmtp or ring" in str(caught.value)


@pytest.mark.parametrize("linger", [0, 20])
def test_counters_of_a_closed_socket_stay_and_count_what_lingered_in_vain(zmq, sockets, ipc, linger):
    push = sockets(zmq.PUSH)
    push.connect(ipc)
    for _ in range(3):
        push.send(b"to nobody")
    push.close(linger=linger)
    wait_until(lambda: push.stats()["discarded_linger"] == 3, "three messages that lingered in vain")
    assert push.stats()["messages_sent"] == 3
