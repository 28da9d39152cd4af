"""The page of events against the constants and the native table of events."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zmq as pyzmq

from shmzmq.constants import Event, ShmEvent

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "events.md").read_text()
NATIVE = ROOT / "native" / "core" / "src"
NO_EVENTS = {"ALL", "ALL_V1", "ALL_V2"}


def rows(pattern: str) -> dict[str, int]:
    return {name: int(number, 0) for name, number in re.findall(pattern, PAGE, re.MULTILINE)}


def events(kind: type) -> dict[str, int]:
    members = kind.__members__.items()
    return {n: int(e) for n, e in members if n not in NO_EVENTS and not n.startswith("PROTOCOL_ERROR")}


def test_page_has_every_event_with_its_number():
    assert rows(r"^\| `(\w+)` \| (0x\w+) \|") == events(Event) | events(ShmEvent)


def test_events_of_ours_are_no_bits_of_libzmq_s():
    assert int(ShmEvent.ALL) == sum(events(ShmEvent).values())
    assert int(ShmEvent.ALL) & int(pyzmq.Event.ALL_V2) == 0


def test_native_numbers_are_those_of_the_constants():
    code = (NATIVE / "monitor.rs").read_text()
    table = re.search(r"events! \{\n(.*?)\n\}", code, re.DOTALL)
    assert table
    native = {name: int(number, 0) for name, number in re.findall(r"(\w+) = (\w+)", table[1])}
    known = events(Event) | events(ShmEvent)
    assert native == {name: known[name] for name in native}
    # The two of a bind that fails are told by Python.
    unused = set(known) - set(native) - {"BIND_FAILED"}
    never = set(re.findall(r"^\| `(\w+)` \| 0x\w+ \| (?:never|draft)", PAGE, re.MULTILINE))
    assert unused == never


def test_page_has_every_protocol_error_that_is_told():
    code = (ROOT / "native" / "zmtp" / "src" / "error.rs").read_text()
    codes = {
        int(n.replace("_", ""), 0) for n in re.findall(r"^const \w+: u32 = (0x\w+);", code, re.MULTILINE)
    }
    invalid_metadata = int(Event.PROTOCOL_ERROR_ZMTP_INVALID_METADATA)
    told = {int(n, 0) for n in re.findall(r"^\| (0x1\w+) \| `HANDSHAKE_FAILED_PROTOCOL`", PAGE, re.MULTILINE)}
    assert told == codes - {invalid_metadata}
    assert {Event(code).name for code in told} <= set(pyzmq.Event.__members__)


@pytest.mark.parametrize("name", ["MARK", "MOST", "BACKLOG_RETRY"])
def test_limits_on_the_page_are_those_of_the_code(name):
    code = (NATIVE / "monitor.rs").read_text() + (NATIVE / "session" / "attempt.rs").read_text()
    value = re.search(rf"const {name}: \w+ = (?:Duration::from_millis\()?([\d_]+)", code)
    assert value
    shown = {"MARK": "1000 here", "MOST": "100 000", "BACKLOG_RETRY": "after 10 ms"}[name]
    assert shown in PAGE
    assert int(re.sub(r"\D", "", shown)) == int(value[1].replace("_", ""))
