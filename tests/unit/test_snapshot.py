"""Snapshots and the files they lie in, without a process that owns one: what is believed, what is refused."""

import copy
import fcntl
import json
import os
import random
import re
import struct
import threading
from pathlib import Path

import pytest

from shmzmq import _snapshot
from shmzmq.commands._screen import SORTS, chosen, plain, program_name, rows, summary
from shmzmq.commands._table import duration, lines_of, short
from shmzmq.counters import Process, files, look, sweep
from shmzmq.counters.rates import lines

SOCKET_COLUMNS = ["id", "type", "state", "waiting", "depth", "messages_sent", "bytes_sent"]
SOCKET_COLUMNS += ["messages_received", "bytes_received", "sleeps", "wakeups", "discarded_linger"]
PEER_COLUMNS = list(_snapshot.PeerStats.__annotations__)


def document(sent=10, taken=100.0, reason=None):
    """What a process with a PUSH and one peer would say."""
    via = "zmtp" if reason else "ring"
    peer = ["ipc:///a", via, "up", reason, 7, 0, "PULL", "6964", 99.5, 3, sent, sent * 10, 0, 0, 0, 2]
    values = [1, "PUSH", "open", 1, 3, sent, sent * 10, 0, 0, 4, 2, 1]
    socket = {"socket": {"values": values, "endpoints": [["bind", "ipc:///a"]]}}
    return {
        "pid": 42,
        "uid": os.geteuid(),
        "pid_namespace": os.stat("/proc/self/ns/pid").st_ino,
        "program": "python -u worker.py --fast",
        "version": "0.1.0",
        "started": 90.0,
        "taken": taken,
        "columns": {"socket": SOCKET_COLUMNS, "peer": PEER_COLUMNS},
        "contexts": [{"id": 5, "sockets": [{**socket, "peers": [peer], "peers_left_out": 0}]}],
        "sockets_left_out": 0,
    }


def process(**more):
    said = document(**more)
    return Process(
        42,
        os.geteuid(),
        is_near=True,
        program=said["program"],
        started=said["started"],
        taken=said["taken"],
        answered=True,
        contexts=_snapshot.contexts(said),
    )


# --- texts --------------------------------------------------------------------------------------------------


def test_snapshot_becomes_dicts_by_the_names_of_its_columns():
    (context,) = _snapshot.contexts(document())
    (socket,) = context["sockets"]
    assert socket["endpoints"] == [{"kind": "bind", "text": "ipc:///a"}]
    assert socket["counters"]["messages_sent"] == 10
    assert socket["peers"][0]["routing_id"] == "6964"
    assert set(socket["peers"][0]) == set(_snapshot.PeerStats.__annotations__)
    assert (context["peers"], context["totals"]["bytes_sent"], context["totals"]["depth"]) == (1, 100, 3)


def test_columns_that_a_later_version_adds_are_passed_over():
    later = document()
    later["columns"]["peer"] = [*PEER_COLUMNS, "mood"]
    later["contexts"][0]["sockets"][0]["peers"][0].append(3)
    assert _snapshot.contexts(later) == _snapshot.contexts(document())


def test_context_text_of_nothing_has_totals_of_zero():
    empty = {**document(), "contexts": [{"id": 1, "sockets": []}]}
    assert _snapshot.contexts(empty)[0]["totals"]["messages_sent"] == 0


def test_control_characters_reach_no_terminal():
    evil = document()
    evil["contexts"][0]["sockets"][0]["socket"]["endpoints"] = [["bind", "ipc:///\x1b[2J\n\x9b"]]
    shown = _snapshot.contexts(evil)[0]["sockets"][0]["endpoints"][0]["text"]
    assert shown == "ipc:///\ufffd[2J\ufffd\ufffd"


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"7", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000],
    ids=["empty", "list", "number", "not-utf8", "cut", "deep", "deep-objects", "long-number"],
)
def test_text_that_is_no_object_is_refused(text):
    with pytest.raises(_snapshot.Malformed):
        _snapshot.parse(text)


STRANGE = [
    None,
    True,
    -1,
    1 << 64,
    float("nan"),
    float("inf"),
    "x" * 5000,
    [],
    {},
    [[]],
    [{}],
    [None],
    "text",
    0,
]


def spots(value, path=()):
    """Every place in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from spots(inner, (*path, key))


def with_strange(whole, path, strange):
    whole = copy.deepcopy(whole)
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = strange
    return whole


def test_any_value_anywhere_is_believed_or_refused_and_nothing_else():
    whole = document()
    for path in spots(whole):
        for strange in STRANGE if path else []:
            try:
                found = _snapshot.contexts(with_strange(whole, path, strange))
            except _snapshot.Malformed:
                continue
            json.dumps(found)
            for context in found:
                (socket,) = context["sockets"] or [None]
                if socket:
                    assert all(type(value) is int for value in socket["counters"].values())


# --- files --------------------------------------------------------------------------------------------------


class Owned:
    """A counters file with an owner, which here is the test."""

    def __init__(self, folder, text=b"{}", pid=42, sequence=2, answered=0):
        self.name = f"shmzmq-{os.geteuid()}-{pid}-{random.getrandbits(64):016x}"
        self.path = folder / self.name
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self.write(text, sequence, answered)

    def write(self, text, sequence=2, answered=0):
        header = struct.pack("<8sIIIIQQ", b"shmzmqK\0", 1, 128, answered, answered, sequence, len(text))
        os.pwrite(self.fd, header.ljust(128, b"\0") + text, 0)

    def die(self):
        os.close(self.fd)
        self.fd = -1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def owned(folder):
    made = []

    def make(**more):
        made.append(Owned(folder, **more))
        return made[-1]

    yield make
    for each in made:
        if each.fd >= 0:
            each.die()


def test_look_shows_what_a_process_said_last_if_it_does_not_answer(owned):
    owned(text=json.dumps(document()).encode())
    (found,) = look(patience=0)
    assert (found.pid, found.answered, found.problem, found.is_near) == (42, False, None, True)
    assert found.contexts == _snapshot.contexts(document())


def test_look_removes_the_file_of_a_dead_owner_and_leaves_the_living(owned):
    dead, living = owned(pid=1), owned(pid=2)
    dead.die()
    assert [found.pid for found in look(patience=0)] == [2]
    assert (dead.path.exists(), living.path.exists()) == (False, True)


def test_sweep_tells_what_it_removes_and_a_dry_run_removes_nothing(owned):
    dead = owned()
    owned(pid=43)
    dead.die()
    (told,) = sweep(dry_run=True)
    assert (told.path, told.pid, told.removed) == (str(dead.path), 42, False)
    (told,) = sweep()
    assert (told.removed, dead.path.exists()) == (True, False)
    assert sweep() == []


def test_files_of_other_names_and_kinds_are_not_touched(folder, owned):
    name = f"shmzmq-{os.geteuid()}-9-{'0' * 15}"
    (folder / f"{name}0x").write_text("not ours")
    (folder / f"{name}g").write_text("not ours")
    os.mkfifo(folder / f"{name}1")
    (folder / f"{name}2").symlink_to(folder / "elsewhere")
    (folder / f"{name}3").mkdir()
    linked = folder / "linked"
    linked.write_text("somebody's")
    os.link(linked, folder / f"{name}4")
    (folder / f"shmzmq-{os.geteuid() + 1}-9-{'0' * 16}").write_text("of another user, by its name")
    before = sorted(os.listdir(folder))
    assert look(patience=0) == []
    assert look(everyone=True, patience=0) == []
    assert sweep(everyone=True) == []
    assert sorted(os.listdir(folder)) == before
    assert linked.read_text() == "somebody's"


def test_no_folder_is_nobody_to_look_at(folder, monkeypatch):
    monkeypatch.setattr(files, "FOLDER", str(folder / "missing"))
    assert (look(), sweep()) == ([], [])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (b"", "the file is too short"),
        (b"x" * 200, "it is no counters file"),
        (struct.pack("<8sIIIIQQ", b"shmzmqK\0", 2, 128, 0, 0, 2, 2), "format 2, and this shmzmq reads 1"),
        (struct.pack("<8sIIIIQQ", b"shmzmqK\0", 1, 128, 0, 0, 0, 0), "it never answered"),
        (struct.pack("<8sIIIIQQ", b"shmzmqK\0", 1, 1 << 31, 0, 0, 2, 2), "a text of 2 bytes at 2147483648"),
        (struct.pack("<8sIIIIQQ", b"shmzmqK\0", 1, 128, 0, 0, 2, 1 << 62), "a text of 4611686018427387904"),
        (struct.pack("<8sIIIIQQ", b"shmzmqK\0", 1, 128, 0, 0, 2, 99), "the file is too short"),
        (struct.pack("<8sIIIIQQ", b"shmzmqK\0", 1, 128, 0, 0, 3, 0), "it is being written all the time"),
    ],
    ids=["empty", "foreign", "later", "unasked", "far", "huge", "short", "torn"],
)
def test_damaged_file_is_a_process_with_a_problem(owned, damage, problem):
    file = owned()
    os.ftruncate(file.fd, 0)
    os.pwrite(file.fd, damage, 0)
    (found,) = look(patience=0)
    assert (found.pid, found.contexts) == (42, [])
    assert found.problem.startswith(problem)


def test_no_damage_to_a_file_does_more_than_be_reported(owned):
    good = json.dumps(document()).encode()
    file = owned(text=good)
    whole = os.pread(file.fd, 1 << 16, 0)
    chance = random.Random(0)
    for _ in range(500):
        broken = bytearray(whole)
        for _ in range(chance.choice([1, 2, 8])):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        os.ftruncate(file.fd, 0)
        os.pwrite(file.fd, broken[: chance.choice([len(broken), chance.randrange(len(broken))])], 0)
        (found,) = look(patience=0)
        assert found.pid == 42
        json.dumps(found.as_dict())


def test_text_that_changes_while_it_is_read_is_read_again(owned, monkeypatch):
    file = owned(text=json.dumps(document(sent=1)).encode())
    preads = []

    def pread(fd, size, at, real=os.pread):
        found = real(fd, size, at)
        preads.append(at)
        if preads.count(128) == 1 and at == 128:
            file.write(json.dumps(document(sent=2)).encode(), sequence=4)
        return found

    monkeypatch.setattr(files.os, "pread", pread)
    (found,) = look(patience=0)
    assert found.contexts[0]["totals"]["messages_sent"] == 2
    assert preads.count(128) == 2


def test_look_waits_for_the_answer_to_its_own_question(owned):
    file = owned(text=json.dumps(document(sent=1)).encode())
    stop = threading.Event()

    def answer():
        while not stop.wait(0.0005):
            (asked,) = struct.unpack("<I", os.pread(file.fd, 4, 16))
            if asked:
                file.write(json.dumps(document(sent=2)).encode(), sequence=4, answered=asked)
                return

    owner = threading.Thread(target=answer)
    owner.start()
    try:
        (found,) = look(patience=20)
    finally:
        stop.set()
        owner.join()
    assert (found.answered, found.contexts[0]["totals"]["messages_sent"]) == (True, 2)


# --- rates and tables ---------------------------------------------------------------------------------------


def test_rates_are_differences_by_time():
    ((line,),) = lines([process(sent=110, taken=102.0)], [process(sent=10, taken=100.0)])
    assert (line.sent, line.bytes, line.received, line.drops, line.depth) == (50.0, 500.0, 0.0, 0.0, 3)
    assert (line.state, line.via, line.endpoint, line.peers) == ("waits", "ring", "@ipc:///a", 1)


def test_peers_have_rates_of_their_own():
    ((_, peer),) = lines([process(sent=110, taken=102.0)], [process(sent=10)], peers=True)
    assert (peer.is_peer, peer.type, peer.sent, peer.endpoint) == (True, "PULL", 50.0, "ipc:///a pid 7")


def test_nothing_is_known_of_rates_before_a_second_look():
    ((line,),) = lines([process()])
    assert line.sent is None
    silent = process()
    silent.answered = False
    ((line,),) = lines([silent], [silent])
    assert (line.sent, line.state) == (None, "silent")


def test_process_that_took_the_pid_of_another_begins_anew():
    later = process(sent=5, taken=102.0)
    later.started = 101.0
    ((line,),) = lines([later], [process(sent=10)])
    assert line.sent is None


def test_why_there_are_no_rings_stands_behind_the_transport():
    groups = list(lines([process(reason="other uid")]))
    (cells,) = rows(groups, FakeUsage())
    assert cells["VIA"] == "zmtp: other uid"


class FakeUsage:
    def of(self, process):
        return "5", "20M"


def test_process_that_cannot_be_read_is_shown_with_its_problem():
    groups = list(lines([Process(7, 0, problem="it never answered")]))
    (cells,) = rows(groups, FakeUsage())
    assert (cells["PID"], cells["ENDPOINTS"]) == ("7", "it never answered")


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_key_sorts(sort):
    groups = list(lines([process(sent=110, taken=102.0)], [process(sent=10)]))
    assert chosen(groups, sort, "") == groups


def test_filter_looks_at_program_type_endpoint_and_transport():
    groups = list(lines([process()]))
    for wanted in ("worker", "PUSH", "push", "ipc:///a", "ring", "42"):
        assert chosen(groups, "pid", wanted) == groups
    assert chosen(groups, "pid", "tcp") == []


def test_plain_table_has_every_column_and_a_line_for_each_socket():
    groups = list(lines([process(sent=110, taken=102.0)], [process(sent=10)]))
    head, line = plain(rows(groups, FakeUsage())).splitlines()
    assert head.split()[:3] == ["PID", "CPU%", "MEM"]
    assert " ".join(line.split()) == "42 5 20M PUSH waits 1 50 0 500 3 0 0 0 ring worker.py --fast @ipc:///a"
    said = summary(groups, "rate", "", 1)
    assert said == "by rate, every 1 s: 1 process, 1 socket, 1 peer; out 50/s, in 0/s, 500 B/s"


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("python -u worker.py --fast", "worker.py --fast"),
        ("/usr/bin/python3.11 -m shmzmq demo", "shmzmq demo"),
        ("python -c print(1)", "-c print(1)"),
        ("python", "python"),
        ("/opt/service --port 1", "/opt/service --port 1"),
        ("", ""),
        ("python -c from multiprocessing.spawn import spawn_main; spawn_main()", "(multiprocessing)"),
    ],
)
def test_program_is_shown_without_its_interpreter(program, shown):
    assert program_name(program) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        *((0, "0"), (0.25, "0.2"), (9.9, "9.9"), (9.96, "10"), (42, "42"), (999, "999"), (999.7, "1.0k")),
        *((1000, "1.0k"), (1234, "1.2k"), (99_960, "100k"), (1 << 40, "1.1T"), (1 << 63, "9223P")),
    ],
)
def test_numbers_are_short(number, shown):
    assert short(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-3, "0s"), (59.9, "59s"), (125, "2m05s"), (3720, "1h02m"), (273_600, "3d04h")]
)
def test_times_have_two_units(seconds, shown):
    assert duration(seconds) == shown


def test_columns_are_as_wide_as_their_widest_cell():
    assert lines_of(["A", "B"], [["1", "x"], ["22", "yy"]], frozenset({"A"})) == [" A  B", " 1  x", "22  yy"]


def test_reference_page_has_every_counter_and_no_other(ctx, zmq):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "counters.md").read_text()
    socket, peer = page.split("## Of a peer")
    with ctx.socket(zmq.PUSH) as push:
        assert re.findall(r"^\| `(\w+)` \|", socket, re.MULTILINE) == list(push.stats())
    cells = "".join(re.findall(r"^\| (`[^|]+) \|", peer, re.MULTILINE))
    numbers = [name for name in _snapshot.PeerStats.__annotations__ if name in re.findall(r"`(\w+)`", cells)]
    assert numbers == PEER_COLUMNS[PEER_COLUMNS.index("depth") :]
