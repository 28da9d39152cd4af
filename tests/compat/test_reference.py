"""The pages under docs/reference and the generated files of types are what the sources say.

Knows    the generators under tools/; `make docs` writes what they return. A page written by hand names the
         test that compares it.
"""

from __future__ import annotations

import pytest

from kit import errno_of
from tools import attributes, reference, typed_program
from tools.socket_types import SOCKET_TYPES

BY_NAME = {facts.name: facts for facts in SOCKET_TYPES}


@pytest.mark.shmzmq_only("the pages are shmzmq's")
@pytest.mark.parametrize("page", reference.PAGES)
def test_page_is_up_to_date(page):
    if page == "api.md":
        for needed in ("tornado", "gevent"):
            pytest.importorskip(needed, reason="the modules for it would be absent")
    assert (reference.FOLDER / page).read_text() == reference.PAGES[page](), "run `make docs`"


@pytest.mark.shmzmq_only("the pages are shmzmq's")
def test_every_page_of_the_folder_is_generated_or_known():
    pages = {page.name for page in reference.FOLDER.iterdir()}
    assert pages == reference.PAGES.keys() | reference.BY_HAND.keys()


@pytest.mark.shmzmq_only("the pages are shmzmq's")
@pytest.mark.parametrize(("page", "test"), reference.BY_HAND.items())
def test_page_written_by_hand_is_compared_by_its_test(page, test):
    assert f'"{page}"' in (reference.FOLDER.parents[1] / test).read_text()


@pytest.mark.shmzmq_only("the files are shmzmq's")
@pytest.mark.parametrize("module", [attributes, typed_program], ids=["attributes", "typed_program"])
def test_generated_file_is_up_to_date(module):
    assert module.PATH.read_text() == module.text(), "run `make docs`"


# --- the six facts, asked of sockets ------------------------------------------------------------------------


@pytest.fixture(params=sorted(BY_NAME))
def facts(request, zmq, ctx):
    """The facts of one type that exists."""
    ctx.socket(getattr(zmq, request.param)).close(linger=0)
    return BY_NAME[request.param]


def outcome(zmq, call, *args):
    """The errno of a call that does not wait; 0 if it succeeds."""
    try:
        call(*args)
    except zmq.ZMQError as error:
        return error.errno
    return 0


def test_all_stable_types_have_their_facts(zmq):
    assert set(BY_NAME) == {kind.name for kind in zmq.SocketType if kind <= zmq.STREAM}


def test_peers_are_mutual():
    pairs = {(facts.name, peer) for facts in SOCKET_TYPES for peer in facts.peers if peer in BY_NAME}
    assert {(peer, name) for name, peer in pairs} == pairs


def test_direction_of_a_type(zmq, sockets, facts):
    socket = sockets(getattr(zmq, facts.name))
    ends = {
        "send only": outcome(zmq, socket.recv, zmq.DONTWAIT) == errno_of(zmq, "ENOTSUP"),
        "receive only": outcome(zmq, socket.send, b"", zmq.DONTWAIT) == errno_of(zmq, "ENOTSUP"),
    }
    assert ends == {end: end == facts.direction for end in ends}


def test_order_of_a_type(zmq, sockets, facts):
    socket = sockets(getattr(zmq, facts.name))
    efsm = errno_of(zmq, "EFSM")
    turns = {
        "send, then recv": outcome(zmq, socket.recv, zmq.DONTWAIT) == efsm,
        "recv, then send": outcome(zmq, socket.send, b"", zmq.DONTWAIT) == efsm,
    }
    assert turns == {turn: turn == facts.order for turn in turns}


def test_type_that_waits_says_again_without_a_peer(zmq, sockets, facts):
    socket = sockets(getattr(zmq, facts.name))
    assert (outcome(zmq, socket.send, b"", zmq.DONTWAIT) == zmq.EAGAIN) == (facts.mute == "waits")
