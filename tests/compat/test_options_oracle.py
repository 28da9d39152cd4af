"""Every option of every socket type that is built, and of the context, on fresh objects of pyzmq and shmzmq.

Knows    that pyzmq is the oracle: the same value or the same failure, class and errno included. What differs
         stands in one of the tables here with its reason; an option that is held back has its reason in its
         row.
Refuses  to know why an option has the value it has: options.py does, and tests/unit/test_options.py compares
         its rows with pyzmq value by value. Here the sockets themselves are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

import shmzmq
from shmzmq.options import CONTEXT_OPTIONS, SOCKET_OPTIONS, OptionRow

pytestmark = pytest.mark.shmzmq_only("compares both in one process")

BUILT = [kind.name for kind in shmzmq.SocketType if kind <= shmzmq.STREAM]
SOCKET_NUMBERS = range(256)  # every option there is, and numbers that are none
CONTEXT_NUMBERS = range(80)
REFUSED = ("ZMQError", zmq.EINVAL)
TOO_LONG_TO_READ = b"a" * 256  # pyzmq reads bytes into a buffer of 255
VALUES = [
    -(1 << 31) - 1, -(1 << 31), -2, -1, 0, 1, 2, 100, 65536, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63,
    True, b"", b"\0\0\0\0", b"abc", b"X-a:b", b"a" * 32, b"a" * 254, "abc", "", None, 1.5, bytearray(b"a"),
    TOO_LONG_TO_READ,
]  # fmt: skip

DIFFERENT_WHEN_READ = {
    "HWM": "by number too it reads the sending mark; pyzmq has it as an attribute only",
    "FD": "a descriptor of its own for each socket",
}
DIFFERENT_WHEN_SET = {
    "HWM": "by number too it sets both marks; pyzmq has it as an attribute only",
}
# Only on the types that the option applies to; elsewhere it is EINVAL on both sides.
LIVE_HERE_AND_EINVAL_IN_PYZMQ = {
    "ROUTER_NOTIFY": "a draft that works here; pyzmq's wheels have no drafts",
    "HELLO_MSG": "a draft that works here; pyzmq's wheels have no drafts",
    "DISCONNECT_MSG": "a draft that works here; pyzmq's wheels have no drafts",
    "HICCUP_MSG": "a draft that works here; pyzmq's wheels have no drafts",
}
DIFFERENT_IN_CONTEXT = {
    "THREAD_SCHED_POLICY": "pyzmq takes the value -1 for a failure if C's errno is left over from before",
}
ROWS = {int(row.number): row for row in SOCKET_OPTIONS}
CONTEXT_ROWS = {int(row.number): row for row in CONTEXT_OPTIONS}


def name(number: int) -> str:
    return ROWS[number].name if number in ROWS else str(number)


def is_live_draft(row: OptionRow, kind: int) -> bool:
    return row.name in LIVE_HERE_AND_EINVAL_IN_PYZMQ and kind in row.applies_to


def outcome(call: Callable[[], Any]) -> Any:
    """The value, or class and errno of what was raised."""
    try:
        return call()
    except Exception as error:
        return type(error).__name__, getattr(error, "errno", None)


def set_and_read(holder: Any, number: int, value: Any) -> Any:
    """What setting comes to, and what is read after it."""
    done = outcome(lambda: holder.set(number, value))
    return done, outcome(lambda: holder.get(number))


@pytest.fixture
def contexts() -> Iterator[tuple[Any, Any]]:
    both = zmq.Context(), shmzmq.Context()
    yield both
    for context in both:
        context.destroy(linger=0)


@pytest.fixture(params=BUILT)
def pair(contexts: tuple[Any, Any], request: pytest.FixtureRequest) -> Callable[[], tuple[Any, Any]]:
    """A function that makes a fresh socket of one type on each side."""
    kind = int(shmzmq.SocketType[request.param])
    theirs, ours = contexts
    return lambda: (theirs.socket(kind), ours.socket(kind))


def differing_reads(numbers: range, rows: dict[int, OptionRow], theirs: Any, ours: Any) -> dict[str, Any]:
    """What reads differently: option -> (ours, theirs)."""
    found = {}
    for number in numbers:
        mine, oracle = outcome(lambda n=number: ours.get(n)), outcome(lambda n=number: theirs.get(n))
        if mine != oracle:
            found[rows[number].name if number in rows else str(number)] = (mine, oracle)
    return found


# --- sockets ------------------------------------------------------------------------------------------------


def test_every_option_of_a_fresh_socket_reads_as_in_pyzmq(pair):
    theirs, ours = pair()
    with theirs, ours:
        found = differing_reads(SOCKET_NUMBERS, ROWS, theirs, ours)
        assert {type(value).__name__ for value in found.pop("FD")} == {"int"}
    drafts = {name(row.number) for row in SOCKET_OPTIONS if row.readable and is_live_draft(row, ours.type)}
    assert set(found) == (set(DIFFERENT_WHEN_READ) - {"FD"}) | drafts, found
    assert {found[draft][1] for draft in drafts} <= {REFUSED}


def is_held_back(number: int, mine: Any, oracle: Any) -> bool:
    """Whether shmzmq refuses what would have no effect here, with the reason in the option's row."""
    row = ROWS.get(number)
    refused = row is not None and row.meanwhile == "refused" and bool(row.reason)
    return refused and oracle[0] is None and mine[0] == REFUSED


def drafts_agree(mine: Any, oracle: Any) -> bool:
    """Whether pyzmq refuses a draft as unknown, and shmzmq takes it or fails in the same way."""
    return oracle[1] == REFUSED and (mine[0] == oracle[0] or (mine[0] is None and oracle[0] == REFUSED))


def set_until_held_back(pair: tuple[Any, Any], number: int, values: list[Any], found: dict[Any, Any]) -> list:
    """Set the values one after the other on one pair of sockets, and note in `found` what differs.

    Returns  the values that are left once one was held back: from there on the two hold different values.
    """
    theirs, ours = pair
    with theirs, ours:
        for place, value in enumerate(values):
            oracle, mine = set_and_read(theirs, number, value), set_and_read(ours, number, value)
            if number in ROWS and is_live_draft(ROWS[number], ours.type) and drafts_agree(mine, oracle):
                continue
            if number == zmq.FD or value == TOO_LONG_TO_READ:
                oracle, mine = oracle[0], mine[0]
            if is_held_back(number, mine, oracle):
                return values[place + 1 :]
            if oracle != mine:
                found[name(number), repr(value)[:40]] = (mine, oracle)
    return []


@pytest.mark.slow
def test_every_option_takes_and_refuses_values_as_in_pyzmq(pair):
    found: dict[Any, Any] = {}
    for number in SOCKET_NUMBERS:
        if name(number) not in DIFFERENT_WHEN_SET:
            values = VALUES
            while values:
                values = set_until_held_back(pair(), number, values, found)
    assert found == {}


# --- contexts -----------------------------------------------------------------------------------------------


def test_every_option_of_a_fresh_context_reads_as_in_pyzmq(contexts):
    theirs, ours = contexts
    found = differing_reads(CONTEXT_NUMBERS, CONTEXT_ROWS, theirs, ours)
    assert set(found) <= set(DIFFERENT_IN_CONTEXT), found


@pytest.mark.parametrize("number", CONTEXT_NUMBERS)
def test_every_option_of_a_context_takes_and_refuses_values_as_in_pyzmq(contexts, number):
    theirs, ours = contexts
    found = {}
    for value in VALUES:
        oracle, mine = set_and_read(theirs, number, value), set_and_read(ours, number, value)
        if oracle != mine and not (
            number in CONTEXT_ROWS and CONTEXT_ROWS[number].name in DIFFERENT_IN_CONTEXT
        ):
            found[repr(value)[:40]] = (mine, oracle)
    assert found == {}
