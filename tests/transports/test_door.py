"""Those who connect and say nothing, or too little: they take no place from who means well.

A listener has a bounded number of places for handshakes under way (native/core/src/door.rs); running out of
fds pauses it. Raw sockets stand for hostile peers; the good one is real.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket as system_socket
import struct
import subprocess
import sys
import textwrap

import pytest

from kit import CAP, expect, path_of, wait_until

PLACES, OF_ONE, LONG = 1024, 64, 10.0  # door.rs
PAUSE = 0.1  # listener.rs


@pytest.fixture(params=["tcp", "ipc"])
def transport(request):
    return request.param


def dial(endpoint, source="127.0.0.1"):
    """A raw connection; over tcp from that address of this host."""
    if endpoint.startswith("ipc://"):
        wire = system_socket.socket(system_socket.AF_UNIX)
        # Not a time-out of Python's: a connect that does not wait is refused by a backlog that is full.
        wire.setsockopt(system_socket.SOL_SOCKET, system_socket.SO_SNDTIMEO, struct.pack("ll", int(CAP), 0))
        wire.connect(path_of(endpoint))
        wire.settimeout(CAP)
        return wire
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    return system_socket.create_connection((host, int(port)), timeout=CAP, source_address=(source, 0))


def stand(crowd, endpoint, count, source="127.0.0.1"):
    """So many connections that stand in the door, one after the other, and say nothing."""
    wires = []
    for _ in range(count):
        wires.append(crowd.enter_context(dial(endpoint, source)))
        assert wires[-1].recv(10), "a greeting says that it was let in"
    return wires


def is_closed(wire):
    """True once the other side has ended the connection; its greeting is read away."""
    look = select.poll()
    look.register(wire, select.POLLIN)
    try:
        return bool(look.poll(0)) and not wire.recv(4096)
    except ConnectionResetError:
        return True


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq lets everybody stand in its door until HANDSHAKE_IVL is over")
def test_a_source_keeps_a_few_who_take_long(zmq, sockets, ipc, tcp, many_fds):
    """A crowd may come at once. After a while those who came first make room, but for a few."""
    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    pull.bind(tcp)
    stay = OF_ONE - 1  # and one place is for who comes
    with contextlib.ExitStack() as silent:
        few = stand(silent, tcp, 8, "127.0.0.2")
        crowds = [stand(silent, endpoint, 2 * OF_ONE) for endpoint in (ipc, tcp)]

        def one_comes_and_others_go():
            for endpoint in (ipc, tcp):
                with zmq.Context() as context, context.socket(zmq.PUSH) as push:
                    push.connect(endpoint)
                    push.send(b"through")
                    expect(pull, b"through")
            return pull.stats()["handshakes_failed"] >= sum(map(len, crowds)) - 2 * stay

        wait_until(one_comes_and_others_go, "the crowds to have been there for too long", cap=LONG + CAP)
        for crowd in crowds:
            wait_until(lambda crowd=crowd: all(map(is_closed, crowd[:-stay])), "those to go who came first")
            assert not any(map(is_closed, crowd[-stay:]))
        assert pull.stats()["handshakes_failed"] == sum(map(len, crowds)) - 2 * stay
        assert not any(map(is_closed, few))


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq lets everybody stand in its door until HANDSHAKE_IVL is over")
def test_who_fills_the_door_pushes_out_only_its_own(zmq, sockets, tcp, many_fds):
    """Sources are addresses: few of one came first and stay, however many come from others."""
    pull = sockets(zmq.PULL)
    pull.bind(tcp)
    others, of_each = 8, OF_ONE // 2
    with contextlib.ExitStack() as silent:
        few = stand(silent, tcp, others, "127.0.0.2")
        crowds = [
            stand(silent, tcp, of_each, f"127.0.1.{source}") for source in range((PLACES - others) // of_each)
        ]
        fill = PLACES - others - of_each * len(crowds)
        crowds.append(stand(silent, tcp, fill, "127.0.1.200"))
        assert pull.stats()["handshakes_failed"] == 0
        few += stand(silent, tcp, others, "127.0.0.2")
        wait_until(lambda: pull.stats()["handshakes_failed"] == others, "as many to go as came too many")
        wait_until(lambda: sum(map(is_closed, itertools.chain(*crowds))) == others, "all of them to go")
        for crowd in crowds:
            gone = list(map(is_closed, crowd))
            assert gone == sorted(gone, reverse=True), "those who stood there longest went"
        assert not any(map(is_closed, few))


@pytest.mark.slow
@pytest.mark.shmzmq_only("libzmq tells no event here, and spins")
def test_running_out_of_fds_pauses_a_listener_and_ends_nothing(zmq, backend, sockets, endpoint):
    """The listener says so, pauses however many knock, serves who is there, and goes on when fds are free."""
    program = f"""
        import resource, sys, time
        import {backend} as zmq
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        context = zmq.Context()
        pull = context.socket(zmq.PULL)
        pull.rcvtimeo = 20000
        pull.bind({endpoint!r})
        monitor = pull.get_monitor_socket(zmq.EVENT_ACCEPT_FAILED)
        print("bound", flush=True)
        print(pull.recv().decode(), flush=True)
        monitor.rcvtimeo = 5000
        failed = monitor.recv_multipart()
        print("failed", int.from_bytes(failed[0][2:], "little"), flush=True)
        sys.stdin.readline()
        while monitor.poll(0):
            monitor.recv_multipart()
        began, used = time.monotonic(), time.process_time()
        for _ in range(8):
            monitor.recv_multipart()
        lasted, used = time.monotonic() - began, time.process_time() - used
        print("again", lasted, used / lasted, flush=True)
        print(pull.recv().decode(), flush=True)
        print(pull.recv().decode(), flush=True)
        monitor.close()
        pull.close()
        context.term()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline().strip() == "bound"
        early, late = (sockets(zmq.PUSH) for _ in range(2))
        early.connect(endpoint)
        early.send(b"before")
        assert child.stdout.readline().strip() == "before"
        with contextlib.ExitStack() as silent:
            for _ in range(90):
                silent.enter_context(dial(endpoint))
            assert child.stdout.readline().split() == ["failed", "24"]
            print("all have knocked", file=child.stdin, flush=True)
            word, lasted, share = child.stdout.readline().split()
            assert word == "again"
            assert float(lasted) > 7 * PAUSE, "each who knocked has its own pause"
            assert float(share) < 0.25, "a pause is no spin"
            early.send(b"meanwhile")
            assert child.stdout.readline().strip() == "meanwhile"
        late.connect(endpoint)
        late.send(b"after all")
        assert child.stdout.readline().strip() == "after all"
        assert child.wait(CAP) == 0
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
