"""The benchmark's own arithmetic: what it divides by what, and when it says that a target is met."""

from __future__ import annotations

import os
import threading
import time

import pytest

from benchmarks import (
    awaits,
    baselines,
    copies,
    fanout,
    harness,
    peers,
    placement,
    rivals,
    sizes,
    targets,
    video,
    zero,
)
from benchmarks.command import CASES
from benchmarks.core import bench
from benchmarks.rivals.flag_ring import Reader, Writer
from benchmarks.rivals.patterns import PATTERNS
from benchmarks.roles import Spent
from benchmarks.stats import Key, Results

US, PYZMQ = targets.US, targets.PYZMQ
EIGHT = fanout.Cell(1024, 8)


def results_with(*series: tuple[Key, list[float]]) -> Results:
    results = Results([US, PYZMQ])
    for key, values in series:
        for value in values:
            results.add(key, "us", value)
    return results


def verdicts(rows: list[targets.Row]) -> dict[str, str]:
    return {row.on: row.verdict for row in rows}


# --- one to many -------------------------------------------------------------------------------------------


def test_small_messages_go_to_all_readers_and_others_to_few_and_many():
    assert fanout.cells([32]) == [fanout.Cell(32, 8)]
    assert [cell.readers for cell in fanout.cells([1024])] == [1, 4, 8]


def test_pass_divides_time_by_messages_and_cpu_and_sleeps_by_deliveries():
    results = Results([US])
    passed = fanout.Passed(messages=1000, readers=4, seconds=0.002, cpu_ns=8_000_000, sleeps=40)
    cell = fanout.Cell(1024, 4)
    passed.file(results, cell, US, "")
    found = [results.series[cell.key(US, what)].values for what in (fanout.TIME, fanout.CPU, fanout.SLEEPS)]
    assert found == [[2.0], [2.0], [0.01]]


def test_spent_counts_cpu_time_and_sleeps_of_this_process():
    begun = Spent.now()
    time.sleep(0.001)
    sum(range(10_000))
    spent = Spent.now() - begun
    assert spent.cpu_ns > 0
    assert spent.sleeps >= 1


@pytest.mark.parametrize(("ours", "verdict"), [(0.25, "met"), (0.26, "missed")])
def test_fan_out_must_take_a_quarter_of_the_cpu(ours, verdict):
    cell = fanout.Cell(32, 8)
    results = results_with(
        (cell.key(US, fanout.CPU), [ours] * 3),
        (cell.key(PYZMQ, fanout.CPU), [1.0] * 3),
        (cell.key(US, fanout.PACED + fanout.CPU), [9.0]),
        (cell.key(PYZMQ, fanout.PACED + fanout.CPU), [1.0]),
    )
    assert [row.verdict for row in targets.t15(results)] == [verdict, "shown"]


def test_fan_out_that_was_not_measured_is_not_judged():
    assert {row.verdict for row in targets.t15(Results([US]))} == {"not measured"}
    assert {row.verdict for row in targets.t22(Results([US]))} == {"not measured"}


def test_broadcast_is_compared_with_the_faster_ring_in_time_and_in_cpu():
    results = results_with(
        (EIGHT.key(US, fanout.TIME), [12.0]),
        (EIGHT.key(US, fanout.CPU), [1.1]),
        (EIGHT.key("flag-ring-10", fanout.TIME), [20.0]),
        (EIGHT.key("flag-ring-10", fanout.CPU), [9.0]),
        (EIGHT.key("flag-ring-256", fanout.TIME), [10.0]),
        (EIGHT.key("flag-ring-256", fanout.CPU), [1.0]),
        (EIGHT.key("C flags 256", fanout.TIME), [0.1]),
    )
    judged = [row for row in targets.t22(results) if row.verdict != "not measured"]
    assert [row.verdict for row in judged] == ["met", "missed"]
    assert all("flag-ring-256" in row.target for row in judged)


def test_broadcast_of_every_size_measured_has_its_rows():
    sizes = [1024, 1 << 20]
    results = results_with(*((fanout.Cell(size, 1).key(US, fanout.TIME), [1.0]) for size in [32, *sizes]))
    on = [row.on for row in targets.t22(results)]
    assert len(on) == 2 * len(fanout.cells(sizes))
    assert not any("32 B" in text for text in on)


def test_every_reader_of_a_flag_ring_gets_every_message_in_order():
    messages = [bytes([number]) * (number % 17) for number in range(100)]
    writer = Writer(readers=3, size=16, chunks=4)
    readers = [Reader(writer.ring.block.name, rank, 3, 16, 4) for rank in range(3)]
    got: list[list[bytes]] = [[], [], []]

    def read(rank: int) -> None:
        got[rank].extend(readers[rank].recv() for _ in messages)

    threads = [threading.Thread(target=read, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for message in messages:
        writer.send(message)
    for thread in threads:
        thread.join(20)
    for reader in readers:
        reader.close()
    writer.close()
    assert got == [messages] * 3


@pytest.mark.parametrize(("ours", "verdict"), [(160.0, "met"), (200.0, "missed")])
def test_fan_out_of_large_messages_has_the_same_bound(ours, verdict):
    cell = fanout.Cell(fanout.LARGE, 8)
    results = results_with((cell.key(US, fanout.CPU), [ours]), (cell.key(PYZMQ, fanout.CPU), [641.0]))
    assert verdicts(targets.t15(results))["PUB to 8 SUB, 1 MiB, CPU per delivery"] == verdict


@pytest.mark.parametrize(("late", "verdict"), [(2.5, "met"), (2.6, "missed")])
def test_video_must_cost_a_third_of_the_cpu_and_a_quarter_of_the_delay(late, verdict):
    results = results_with(
        (video.key(US, video.CPU), [0.33]),
        (video.key(PYZMQ, video.CPU), [1.0]),
        (video.key(US, video.LATE), [late]),
        (video.key(PYZMQ, video.LATE), [10.0]),
    )
    judged = [row.verdict for row in targets.film(results) if row.on.startswith(f"{US},")]
    assert judged == ["met", verdict]


# --- tcp, and a libzmq at one end ---------------------------------------------------------------------------


def oneway(subject: str, size: int, case: str = "oneway") -> Key:
    return Key(case, "plain", size, "two", subject)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_pair_of_two_libraries_is_compared_with_pyzmq_at_both_ends(scheme):
    results = results_with(
        (oneway(f"pyzmq-{scheme}", 1024), [2.0]),
        (oneway(f"shmzmq-to-pyzmq-{scheme}", 1024, "mixed"), [2.0]),
        (oneway(f"pyzmq-to-shmzmq-{scheme}", 1024, "mixed"), [1.9]),
    )
    rows = targets.t11(results) if scheme == "tcp" else targets.t14(results)
    judged = {on: verdict for on, verdict in verdicts(rows).items() if verdict != "not measured"}
    assert judged == {
        f"{scheme} 1 KiB one way, shmzmq to pyzmq": "met",
        f"{scheme} 1 KiB one way, pyzmq to shmzmq": "missed",
    }


def test_names_of_targets_are_those_of_rivals():
    named = {rival.name for rival in rivals.EVERY}
    assert named >= {*targets.US_TCP_FORMS, *targets.PYZMQ_TCP_FORMS, targets.PYZMQ, targets.PYZMQ_TCP}
    mixed = {rival.name for rival in rivals.EVERY if "mixed" in rival.kinds}
    assert mixed == {
        f"{pair}-{scheme}" for pair in ("shmzmq-to-pyzmq", "pyzmq-to-shmzmq") for scheme in ("ipc", "tcp")
    }


def test_every_form_over_tcp_is_compared_with_c_and_with_the_best_form_of_pyzmq():
    mib = 1 << 20
    results = results_with(
        (Key("limit", "tcp", mib, "two", targets.C_TCP), [10.0]),
        (oneway("pyzmq-tcp", mib), [5.0]),
        (oneway("pyzmq-tcp-frames", mib), [9.0]),
        (oneway("shmzmq-tcp", mib), [8.0]),
        (oneway("shmzmq-tcp-frames", mib), [9.0]),
    )
    assert [(row.on[len("tcp 1 MiB one way, ") :], row.verdict) for row in targets.t12(results)] == [
        ("shmzmq-tcp", "met"),
        ("shmzmq-tcp", "missed"),
        ("shmzmq-tcp-frames", "met"),
        ("shmzmq-tcp-frames", "met"),
        ("shmzmq-tcp-into", "not measured"),
        ("shmzmq-tcp-into", "not measured"),
    ]


@pytest.mark.parametrize(
    ("ours", "c", "pyzmq", "verdict", "name"),
    [
        (13.0, 10.0, 1.0, "met", targets.C_TCP),
        (14.0, 10.0, 19.0, "missed", targets.PYZMQ_TCP),
        (14.0, 10.0, 20.0, "met", targets.PYZMQ_TCP),
    ],
)
def test_round_trip_over_tcp_has_the_looser_of_two_bounds(ours, c, pyzmq, verdict, name):
    trips = {targets.US_TCP: ours, targets.C_TCP: c, targets.PYZMQ_TCP: pyzmq}
    results = results_with(
        *((Key("trip", "default p50", 32, "one", subject), [us]) for subject, us in trips.items())
    )
    one, two = targets.t13(results)
    assert one.verdict == verdict
    assert name in one.target
    assert two.verdict == "not measured"


def test_baselines_move_bytes_over_tcp(tmp_path):
    try:
        programs = baselines.build(tmp_path)
    except bench.BenchError as error:
        pytest.skip(str(error))
    cpu = min(os.sched_getaffinity(0))
    assert baselines.run(programs["tcp_stream"], cpu, cpu, 1 << 20, 0.01)["per_second"] > 0
    assert baselines.run(programs["tcp_pingpong"], cpu, cpu, 0.01)["trips"] > 0


# --- the curve over sizes, lent memory ---------------------------------------------------------------------


def test_neighbouring_sizes_share_a_pair_and_large_ones_are_alone():
    mib = 1 << 20
    assert sizes.groups([16 * mib, 32, 1024, 4096, 4 * mib, mib]) == [
        [32, 1024],
        [4096],
        [mib],
        [4 * mib],
        [16 * mib],
    ]


def test_a_dip_is_fewer_bytes_per_second_than_just_below_the_arena():
    results = results_with(
        (sizes.key(US, 3584, "free"), [1000.0]),
        (sizes.key(US, 4096, "free"), [1000.0]),
        (sizes.key(US, 4352, "free"), [500.0]),
    )
    assert [row.verdict for row in targets.no_dip(results)] == [
        "met",
        "missed",
        "not measured",
        "not measured",
    ]


def test_beyond_32_mib_the_receiver_with_memory_of_its_own_is_judged():
    size = sizes.SIZES[-1]
    results = results_with(
        (sizes.key(US, size, "two"), [1.0]),
        (sizes.key("shmzmq-into", size, "two"), [7.0]),
        (sizes.key("C 2 in flight", size, "two", sizes.LIMIT), [10.0]),
        (sizes.key(PYZMQ, size, "two"), [3.0]),
    )
    judged = [row.verdict for row in targets.t4(results) if "recv_into" in row.on]
    assert judged == ["met", "missed"]


def test_lent_memory_must_be_fast_and_indifferent_to_size():
    rates = {64 << 10: 900e3, 1 << 20: 600e3, 16 << 20: 300e3}
    results = results_with(
        *((zero.key("shmzmq-zero", size, "two", zero.UNREAD), [rate]) for size, rate in rates.items()),
        (zero.key("shmzmq-zero", 1 << 20, "two", zero.READ), [1e5]),
    )
    assert [row.verdict for row in targets.t5(results)] == ["met", "missed", "shown"]


@pytest.mark.parametrize(("sent", "verdict"), [(1.001, "met"), (1.5, "missed"), (0.5, "missed")])
def test_copies_must_be_exactly_as_many_as_promised(sent, verdict):
    results = results_with(
        (copies.key(US, copies.FRAMES, copies.SENT), [sent]),
        (copies.key(US, copies.FRAMES, copies.RECEIVED), [0.0]),
    )
    judged = [row.verdict for row in targets.copied(results) if row.verdict != "not measured"]
    assert judged == [verdict]


# --- many peers, socket types ------------------------------------------------------------------------------


def test_shares_are_almost_equal_and_whole():
    assert peers.shares(990, 4) == [248, 248, 247, 247]
    assert sum(peers.shares(7, 3)) == 7


@pytest.mark.parametrize(("many", "verdict"), [(1.3, "met"), (1.4, "missed")])
def test_many_peers_are_compared_with_the_active_ones_alone(many, verdict):
    results = results_with(
        *((peers.figure_key(US, "free", peers.ACTIVE, what), [1.0]) for what in (peers.TIME, peers.CPU)),
        *((peers.figure_key(US, "free", 1000, what), [many]) for what in (peers.TIME, peers.CPU)),
    )
    rows = targets.t20(results)
    assert [row.verdict for row in rows] == [verdict] * 2
    assert all("10 of 1000" in row.on for row in rows)


def test_round_trips_of_other_types_are_compared_with_push_and_pull_of_the_same_placement():
    plain, reply, router = PATTERNS
    results = results_with(
        (Key("patterns", f"{plain}, default", 32, "two", US), [1.0]),
        (Key("patterns", f"{plain}, default", 32, "one", US), [9.0]),
        (Key("patterns", f"{reply}, default", 32, "two", US), [1.2]),
        (Key("patterns", f"{router}, default", 32, "two", US), [1.4]),
    )
    judged = {on: verdict for on, verdict in verdicts(targets.patterns(results)).items() if "two" in on}
    assert judged[f"round trip, {reply}, default, placement two"] == "met"
    assert judged[f"round trip, {router}, default, placement two"] == "missed"
    assert (
        verdicts(targets.patterns(results))[f"round trip, {reply}, default, placement one"] == "not measured"
    )


def test_round_trip_that_slept_is_no_measure_for_one_that_spun():
    plain, reply, _ = PATTERNS
    results = results_with(
        (Key("patterns", f"{plain}, default", 32, "two", US), [40.0]),
        (Key("patterns", f"{reply}, default", 32, "two", US), [0.6]),
    )
    assert verdicts(targets.patterns(results))[f"round trip, {reply}, default, placement two"] == "shown"


# --- the cases, with real processes ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.shmzmq_only("the benchmark starts its own processes, of both libraries")
@pytest.mark.parametrize("case", ["fanout", "peers", "patterns", "sizes", "zero", "video"])
def test_case_measures_and_nobody_loses_a_message(tmp_path, case):
    named = (
        rivals.named(name)
        for name in ("shmzmq", "shmzmq-zero", "pyzmq-ipc", "pyzmq-ipc-frames", "flag-ring-10")
    )
    plan = harness.Plan(
        rivals=[rival for rival in named if rival.available()],
        sizes=[32],
        repeat=1,
        sample_seconds=0.02,
        limit_seconds=50,
        peers=20,
        watch_seconds=0.1,
        connections=80,
        placements=["free"],
        traced_rounds=1,
        cap=20,
        fanout_sizes=[32, 1024],
        readers=(1, 2),
        router_peers=20,
        curve=[4352, 65536],
        frames=20,
    )
    run = harness.Run(plan, Results([rival.name for rival in plan.rivals]), tmp_path)
    CASES[case](run)
    assert {key: one.error for key, one in run.results.series.items() if one.error} == {}
    here = {"sizes": sizes.SUBJECTS, "zero": zero.QUEUING, "video": ("shmzmq", "pyzmq-ipc")}.get(case, ())
    taking_part = {rival.name for rival in plan.rivals if case in rival.kinds or rival.name in here}
    assert {key.subject for key in run.results.series} >= taking_part


@pytest.mark.slow
@pytest.mark.shmzmq_only("the benchmark starts its own processes, of both libraries")
def test_streams_to_a_libzmq_and_over_tcp_lose_no_message(tmp_path):
    chosen = [rival for rival in rivals.EVERY if "mixed" in rival.kinds or "-tcp" in rival.name]
    chosen = [rival for rival in chosen if rival.available() and not rival.name.startswith("pyomq")]
    plan = harness.Plan(
        rivals=chosen,
        sizes=[32, 1 << 20],
        repeat=1,
        sample_seconds=0.02,
        limit_seconds=50,
        peers=1,
        watch_seconds=0.1,
        connections=1,
        placements=["one"],
        traced_rounds=1,
        cap=20,
        fanout_sizes=[],
        readers=(1,),
        router_peers=1,
    )
    run = harness.Run(plan, Results([rival.name for rival in chosen]), tmp_path)
    for case in ("throughput", "latency", "connect"):
        CASES[case](run)
    assert {key: one.error for key, one in run.results.series.items() if one.error} == {}
    measured = {(key.subject, key.size) for key in run.results.series if key.case in {"oneway", "mixed"}}
    assert measured == {
        (rival.name, size) for rival in chosen for size in plan.sizes if rival.sizes[0] <= size
    }
    if run.programs() and placement.cpus("two"):
        assert (targets.C_TCP, 1 << 20) in {
            (key.subject, key.size) for key in run.results.series if key.case == "limit"
        }


@pytest.mark.parametrize(("rate", "late", "verdict"), [(160, 4, "met"), (90, 6, "missed")])
def test_asyncio_is_judged_by_two_rivals_and_a_bound(rate, late, verdict):
    found = results_with(
        (awaits.key(US, awaits.STREAM), [rate]),
        (awaits.key(PYZMQ, awaits.STREAM), [10]),
        (awaits.key("pyomq-ipc", awaits.STREAM), [50]),
        (awaits.key(US, awaits.LATE), [late]),
    )
    judged = [row.verdict for row in (*targets.t16(found), *targets.t24(found))]
    assert judged == [verdict] * 3
