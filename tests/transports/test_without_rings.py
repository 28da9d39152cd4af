"""An ipc peer that could have rings but for one thing: it goes on without, and what that is can be seen.

Raw peers replay what a connecter of another build would say; what they say is spelled out here.
"""

from __future__ import annotations

import logging

import pytest

from kit import CAP, expect, wait_until
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
