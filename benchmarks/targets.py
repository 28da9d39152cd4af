"""The project's targets, computed from one run. A target is a ratio inside the run wherever it can be one.

Each function returns rows of (id, what, measured, target, verdict). The verdict is `met`, `missed`,
`not measured`, or `shown` for a figure that has no target but is needed to read its neighbour. Nothing fails
because of it.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import awaits, cases, copies, fanout, imports, peers, sizes, video, zero
from benchmarks.rivals.patterns import PATTERNS
from benchmarks.stats import Results, Series, best, figure, ratio, size_name

US = "shmzmq"
PYZMQ = "pyzmq-ipc"
INTO, ZERO = "shmzmq-into", "shmzmq-zero"
PYZMQ_FORMS = (PYZMQ, "pyzmq-ipc-frames")
US_TCP, PYZMQ_TCP = "shmzmq-tcp", "pyzmq-tcp"
US_TCP_FORMS = (US_TCP, "shmzmq-tcp-frames", "shmzmq-tcp-into")
PYZMQ_TCP_FORMS = (PYZMQ_TCP, "pyzmq-tcp-frames")
C_TCP = "C tcp"
KIB, MIB = 1024, 1 << 20
SLEPT = 4  # a round trip that takes so many times another's was not spinning like it


Pair = tuple[Series | None, Series | None]  # ours, theirs


class Row(NamedTuple):
    id: str
    on: str
    measured: str
    target: str
    verdict: str


def _missing(id_: str, on: str, target: str) -> Row:
    return Row(id_, on, "-", target, "not measured")


def _judge(good: bool) -> str:
    return "met" if good else "missed"


def _place(results: Results) -> str:
    return "two" if any(k.placement == "two" for k in results.series) else "free"


def _at_least(id_: str, on: str, pair: Pair, factor: float, name: str) -> Row:
    """Ours is a rate: it must be `factor` times theirs."""
    target = f">= {factor:g}x {name}"
    ours, theirs = pair
    if ours is None or theirs is None:
        return _missing(id_, on, target)
    found = ratio(ours, theirs)
    return Row(id_, on, str(found), target, _judge(found.middle >= factor))


def _at_most(id_: str, on: str, pair: Pair, factor: float, name: str) -> Row:
    """Ours is a cost: it must be no more than `factor` times theirs."""
    target = f"<= {factor:g}x {name}"
    ours, theirs = pair
    if ours is None or theirs is None:
        return _missing(id_, on, target)
    found = ratio(ours, theirs)
    return Row(id_, on, str(found), target, _judge(found.middle <= factor))


def _absolute(id_: str, on: str, ours: Series | None, bound: float, unit: str, *, most: bool = True) -> Row:
    target = f"{'<=' if most else '>='} {bound:g} {unit}"
    if ours is None:
        return _missing(id_, on, target)
    good = ours.median <= bound if most else ours.median >= bound
    spread = f" ({figure(ours.low)} to {figure(ours.high)})" if len(ours.values) > 1 else ""
    return Row(id_, on, f"{figure(ours.median)}{spread} {unit}", target, _judge(good))


def _oneway(results: Results, size: int, subject: str, variant: str = "plain") -> Series | None:
    return results.get("oneway", variant, size, _place(results), subject)


def _curve(results: Results, size: int, subject: str) -> Series | None:
    return results.get(*sizes.key(subject, size, _place(results)))


def _fastest_other(results: Results, size: int) -> tuple[str, Series] | None:
    """The fastest library that is neither us nor pyzmq."""
    others = (name for name in results.subjects("oneway", "plain") if not name.startswith((US, "pyzmq")))
    found = ((name, series) for name in others if (series := _oneway(results, size, name)))
    return best(found, highest=True)


def _versus_fastest(results: Results, id_: str, on: str, size: int, factor: float) -> Row:
    other = _fastest_other(results, size)
    if other is None:
        return _missing(id_, on, f">= {factor:g}x the fastest other rival")
    return _at_least(id_, on, (_oneway(results, size, US), other[1]), factor, f"{other[0]}, the fastest here")


def t1(results: Results) -> list[Row]:
    on = "ipc 32 B one way"
    ours, theirs = _oneway(results, 32, US), _oneway(results, 32, PYZMQ)
    return [_at_least("T1", on, (ours, theirs), 10, PYZMQ), _versus_fastest(results, "T1", on, 32, 2)]


def t2(results: Results) -> list[Row]:
    ours, theirs = _oneway(results, KIB, US), _oneway(results, KIB, PYZMQ)
    slow, slow_pyzmq = _oneway(results, KIB, US, "slow"), _oneway(results, KIB, PYZMQ, "slow")
    return [
        _at_least("T2", "ipc 1 KiB one way", (ours, theirs), 10, PYZMQ),
        _at_least("T2", "ipc 1 KiB, receiver 20 % slower", (slow, slow_pyzmq), 10, PYZMQ),
    ]


def t3(results: Results) -> list[Row]:
    on, size = "ipc 64 KiB, bytes in and out", 64 * KIB
    ours, theirs = _oneway(results, size, US), _oneway(results, size, PYZMQ)
    return [_at_least("T3", on, (ours, theirs), 8, PYZMQ), _versus_fastest(results, "T3", on, size, 1.3)]


def t4(results: Results) -> list[Row]:
    rows = []
    for size, text in ((MIB, "1 MiB"), (16 * MIB, "16 MiB")):
        on, ours = f"ipc {text}, bytes in and out", _oneway(results, size, US)
        pipelines = results.subjects("limit", "pipeline")
        limits = ((n, s) for n in pipelines if (s := results.get("limit", "pipeline", size, "two", n)))
        limit = best(limits, highest=True)
        name = f"the C pipeline{f' ({limit[0][2:]})' if limit else ''}"
        rows.append(_at_least("T4", on, (ours, limit[1] if limit else None), 0.6, name))
        forms = ((n, s) for n in PYZMQ_FORMS if (s := _oneway(results, size, n)))
        form = best(forms, highest=True)
        name = form[0] if form else "pyzmq's best form"
        rows.append(_at_least("T4", on, (ours, form[1] if form else None), 3, name))
        rows += _t4_bound(results, size, text, form)
    return [*rows, *_t4_beyond(results)]


def _t4_bound(results: Results, size: int, text: str, form: tuple[str, Series] | None) -> list[Row]:
    """About what a copy in and a copy out through memory can reach: two CPUs that do nothing else."""
    copies_alone = results.get("limit", cases.ALONE, size, "two", cases.COPIES_ALONE)
    if copies_alone is None or form is None:
        return []
    found, name = ratio(copies_alone, form[1]), form[0]
    return [Row("T4", f"{text}, two CPUs that only copy", str(found), f"(x {name})", "shown")]


def _t4_beyond(results: Results) -> list[Row]:
    """Above 32 MiB the C library gives a new object fresh pages each time: there `recv_into` is judged."""
    size = sizes.SIZES[-1]
    on, ours, place = f"ipc {size_name(size)}, recv_into", _curve(results, size, INTO), _place(results)
    names = results.subjects("sizes", sizes.LIMIT)
    limits = ((n, s) for n in names if (s := results.get(*sizes.key(n, size, place, sizes.LIMIT))))
    limit = best(limits, highest=True)
    name = f"the C pipeline{f' ({limit[0][2:]})' if limit else ''}"
    form = best(((n, s) for n in PYZMQ_FORMS if (s := _curve(results, size, n))), highest=True)
    return [
        _at_least("T4", on, (ours, limit[1] if limit else None), 0.6, name),
        _at_least("T4", on, (ours, form[1] if form else None), 3, form[0] if form else "pyzmq's best form"),
    ]


def no_dip(results: Results) -> list[Row]:
    """Issue 4: where messages leave the ring for an arena, more bytes per message are no fewer per second."""
    below, *above = sizes.INLINE_EDGE
    base = _curve(results, below, US)
    rows = []
    for size in above:
        ours = _curve(results, size, US)
        pair = tuple(_bytes(one, at) for one, at in ((ours, size), (base, below)))
        on = f"bytes per second at {size_name(size)}"
        rows.append(_at_least("no dip", on, pair, 0.9, f"at {size_name(below)}"))
    return rows


def _bytes(rates: Series | None, size: int) -> Series | None:
    return Series("B/s", [value * size for value in rates.values]) if rates else None


def t5(results: Results) -> list[Row]:
    """Without the read it is judged; with it, what reading the pages costs is shown."""
    place = _place(results)
    small, middle, large = (
        results.get(*zero.key(ZERO, size, place, zero.UNREAD)) for size in (64 * KIB, MIB, 16 * MIB)
    )
    on = "ipc 1 MiB, alloc and recv(copy=False)"
    rows = [
        _absolute("T5", on, middle, 0.5e6, "msg/s", most=False),
        _at_least("T5", "the same, messages per second at 16 MiB", (large, small), 0.8, "at 64 KiB"),
    ]
    for size in zero.SIZES:
        read = results.get(*zero.key(ZERO, size, place, zero.READ))
        if read:
            on = f"the same, {size_name(size)}, {zero.READ}"
            rows.append(Row("T5", on, f"{figure(read.median)} msg/s", "none", "shown"))
    return rows


def _trip(results: Results, variant: str, place: str, subject: str) -> Series | None:
    return results.get("trip", variant, 32, place, subject)


def t6(results: Results) -> list[Row]:
    ours, theirs = (_trip(results, "default p50", "two", name) for name in (US, PYZMQ))
    again = _trip(results, "again after 1 ms", "two", US)
    rows = [
        _absolute("T6", "round trip 32 B, two CPUs", ours, 1.5, "us"),
        _at_most("T6", "round trip 32 B, two CPUs", (ours, theirs), round(1 / 30, 4), PYZMQ),
        _absolute("T6", "the same, coming back after 1 ms", again, 1.5, "us"),
    ]
    alone, theirs = (_trip(results, "default p50", "one", name) for name in (US, PYZMQ))
    if alone and theirs:
        measured = f"{figure(alone.median)} us, {ratio(alone, theirs)} of {PYZMQ}"
        rows.append(Row("T6", "round trip 32 B, one CPU", measured, "none: spinning cannot help", "shown"))
    return rows


def t7(results: Results) -> list[Row]:
    rows = []
    for place in ("one", "two"):
        ours, floor = (
            _trip(results, "no spin p50", place, US),
            _trip(results, "default p50", place, "C eventfd"),
        )
        rows.append(
            _at_most("T7", f"round trip, no spin, placement {place}", (ours, floor), 1.3, "C eventfd")
        )
    return rows


def t8(results: Results) -> list[Row]:
    ours = _oneway(results, 32, US, "many")
    return [_absolute("T8", "batches of 100, 32 B", ours, 20e6, "msg/s", most=False)]


def t9(results: Results) -> list[Row]:
    """Zero means that not even one message in a thousand costs a call."""
    place = _place(results)
    rows = []
    for variant, bound, unit in (
        ("streaming", 0.001, "calls per message"),
        ("idle", 0.0, "calls per second"),
        ("asleep", 4.0, "calls per round trip"),
    ):
        ours = results.get("calls", variant, 32, place, US)
        rows.append(_absolute("T9", f"system calls, {variant}, both ends", ours, bound, unit))
    return rows


def t10(results: Results) -> list[Row]:
    ours, theirs = (results.get("inproc", "send and recv", 32, "one", name) for name in (US, "pyzmq-ipc"))
    return [_at_most("T10", "inproc, one thread, 32 B", (ours, theirs), 1 / 8, "pyzmq")]


def t11(results: Results) -> list[Row]:
    rows = []
    for size, text, factor in ((32, "32 B", 5), (KIB, "1 KiB", 2.5)):
        ours, theirs = _oneway(results, size, US_TCP), _oneway(results, size, PYZMQ_TCP)
        rows.append(_at_least("T11", f"tcp {text} one way", (ours, theirs), factor, PYZMQ_TCP))
    return [*rows, *_mixed(results, "T11", "tcp", (32, KIB))]


def _mixed(results: Results, id_: str, scheme: str, sizes: tuple[int, ...]) -> list[Row]:
    """A libzmq at one end must not be worse off than with libzmq at both."""
    rows = []
    for size in sizes:
        theirs = _oneway(results, size, f"pyzmq-{scheme}")
        for near, far in ((US, "pyzmq"), ("pyzmq", US)):
            ours = results.get("mixed", "plain", size, _place(results), f"{near}-to-{far}-{scheme}")
            on = f"{scheme} {size_name(size)} one way, {near} to {far}"
            rows.append(_at_least(id_, on, (ours, theirs), 1, f"pyzmq-{scheme}"))
    return rows


def t12(results: Results) -> list[Row]:
    limit = results.get("limit", "tcp", MIB, _place(results), C_TCP)
    form = best(((n, s) for n in PYZMQ_TCP_FORMS if (s := _oneway(results, MIB, n))), highest=True)
    name, theirs = form or ("pyzmq's best form", None)
    rows = []
    for us in US_TCP_FORMS:
        on, ours = f"tcp 1 MiB one way, {us}", _oneway(results, MIB, us)
        rows.append(_at_least("T12", on, (ours, limit), 0.8, C_TCP))
        rows.append(_at_least("T12", on, (ours, theirs), 1, name))
    return rows


def t13(results: Results) -> list[Row]:
    return [_looser_trip(results, place) for place in ("one", "two")]


def _looser_trip(results: Results, place: str) -> Row:
    """Of the two bounds the one that allows more, in this run and this placement."""
    on = f"tcp round trip, placement {place}"
    ours = _trip(results, "default p50", place, US_TCP)
    bounds = [
        (factor, found, name)
        for factor, name in ((1.3, C_TCP), (0.7, PYZMQ_TCP))
        if (found := _trip(results, "default p50", place, name))
    ]
    if len(bounds) < 2:
        return _missing("T13", on, f"<= 1.3x {C_TCP} or <= 0.7x {PYZMQ_TCP}")
    factor, theirs, name = max(bounds, key=lambda bound: bound[0] * bound[1].median)
    return _at_most("T13", on, (ours, theirs), factor, f"{name}, the looser bound")


def t14(results: Results) -> list[Row]:
    return _mixed(results, "T14", "ipc", (32, KIB, 64 * KIB, MIB))


def t15(results: Results) -> list[Row]:
    """As fast as it goes is judged, by single calls and in bursts; with pauses, when all sleep, is shown."""
    cell = fanout.Cell(fanout.SMALL, fanout.READERS[-1])
    rows = []
    for how, text in (("", ""), (fanout.PACED, ", paced")):
        on = f"PUB to {cell.readers} SUB, {cell.size} B, CPU per delivery{text}"
        ours, theirs = (results.get(*cell.key(name, how + fanout.CPU)) for name in (US, PYZMQ))
        row = _at_most("T15", on, (ours, theirs), 1 / 4, PYZMQ)
        rows.append(row._replace(target="none", verdict="shown") if how and ours and theirs else row)
    ours = results.get(*cell.key(US, fanout.BURSTS + fanout.CPU))
    if ours:
        theirs = results.get(*cell.key(PYZMQ, fanout.CPU))
        on = f"PUB to {cell.readers} SUB, {cell.size} B, CPU per delivery, send_many and recv_many"
        rows.append(_at_most("T15", on, (ours, theirs), 1 / 4, f"{PYZMQ}, single calls"))
    cell = fanout.Cell(fanout.LARGE, fanout.READERS[-1])
    ours, theirs = (results.get(*cell.key(name, fanout.CPU)) for name in (US, PYZMQ))
    if ours or theirs:
        on = f"PUB to {cell.readers} SUB, {size_name(cell.size)}, CPU per delivery"
        rows.append(_at_most("T15", on, (ours, theirs), 1 / 4, PYZMQ))
    return rows


def film(results: Results) -> list[Row]:
    """Issue 4: what it costs to publish frames, by plain send and by lent memory."""
    rows = []
    for name in (US, f"{US}-alloc"):
        for what, factor in ((video.CPU, round(1 / 3, 3)), (video.LATE, 0.25)):
            ours, theirs = (results.get(*video.key(one, what)) for one in (name, PYZMQ))
            rows.append(_at_most("video", f"{name}, {what}", (ours, theirs), factor, PYZMQ))
    return rows


def copied(results: Results) -> list[Row]:
    """Issue 4: how often the bytes are copied. Nothing is rounded away but stray copies of other things."""
    rows = []
    for manner in copies.MANNERS:
        if manner.copies is None:
            continue
        found = [results.get(*copies.key(US, manner, what)) for what in (copies.SENT, copies.RECEIVED)]
        target = f"{manner.copies[0]} and {manner.copies[1]}"
        if None in found:
            rows.append(_missing("copies", manner.name, target))
            continue
        counts = [one.median for one in found if one]
        good = all(abs(has - want) < 0.02 for has, want in zip(counts, manner.copies, strict=True))
        text = " and ".join(f"{has:.2f}" for has in counts)
        rows.append(Row("copies", f"sender and receiver: {manner.name}", text, target, _judge(good)))
    return rows


def _fastest_ring(results: Results, cell: fanout.Cell) -> str:
    """The form of the flag ring, in Python as our users are, that takes least time here."""
    rings = (name for name in results.subjects("fanout") if name.startswith("flag-ring"))
    found = ((name, one) for name in rings if (one := results.get(*cell.key(name, fanout.TIME))))
    fastest = best(found, highest=False)
    return fastest[0] if fastest else ""


def t22(results: Results) -> list[Row]:
    """Both bounds against one ring: the fastest need not be the one that takes the least CPU."""
    sizes = {key.size for key in results.series if key.case == "fanout" and key.size > fanout.SMALL}
    rows = []
    for cell in fanout.cells(sorted(sizes) or [fanout.LARGER]):
        ring = _fastest_ring(results, cell)
        for what, factor in ((fanout.TIME, 1.2), (fanout.CPU, 1.0)):
            on = f"lossless, {size_name(cell.size)} to {cell.readers}, {what}"
            ours, theirs = (results.get(*cell.key(name, what)) for name in (US, ring))
            rows.append(_at_most("T22", on, (ours, theirs), factor, ring or "the flag ring"))
    return rows


def t20(results: Results) -> list[Row]:
    place = _place(results)
    counts = {
        int(key.variant.split()[0])
        for key in results.series
        if key.case == "peers" and key.subject == US and " peers: " in key.variant
    }
    many = max(counts, default=1000)
    rows = []
    for what in (peers.TIME, peers.CPU):
        on = f"ROUTER, {peers.ACTIVE} of {many} peers active, {what}"
        all_, few = (results.get(*peers.figure_key(US, place, count, what)) for count in (many, peers.ACTIVE))
        rows.append(_at_most("T20", on, (all_, few), 1.3, f"the same with {peers.ACTIVE}"))
    return rows


def patterns(results: Results) -> list[Row]:
    """Issue 3: other socket types' round trips beside that of the plainest.

    Unless that one slept where the other did not: then it is no measure, and the row is shown, not judged.
    """
    rows = []
    plain, *others = PATTERNS
    for waiting in ("default", "no spin"):
        for place in ("one", "two"):
            for pattern in others:
                ours, base = (
                    results.get("patterns", f"{one}, {waiting}", 32, place, US) for one in (pattern, plain)
                )
                on = f"round trip, {pattern}, {waiting}, placement {place}"
                row = _at_most("types", on, (ours, base), 1.3, plain)
                slept = ours and base and base.median > SLEPT * ours.median
                rows.append(row._replace(target=f"none: {plain} slept", verdict="shown") if slept else row)
    return rows


def t16(results: Results) -> list[Row]:
    ours = results.get(*awaits.key(US, awaits.STREAM))
    rows = []
    for name, factor in ((PYZMQ, 15), ("pyomq-ipc", 2)):
        theirs = results.get(*awaits.key(name, awaits.STREAM))
        rows.append(
            _at_least("T16", "asyncio, await send and await recv, 32 B", (ours, theirs), factor, name)
        )
    return rows


def t24(results: Results) -> list[Row]:
    ours, theirs = (results.get(*awaits.key(name, awaits.LATE)) for name in (US, PYZMQ))
    on = f"asyncio, a 10 ms ticker beside a ROUTER that {awaits.CLIENTS} clients flood, p99 late"
    rows = [_absolute("T24", on, ours, 5, "ms")]
    if theirs:
        rows.append(Row("T24", f"the same, {PYZMQ}", f"{figure(theirs.median)} ms", "none", "shown"))
    return rows


def t17(results: Results) -> list[Row]:
    rows = []
    for scheme, us, them in (("ipc", US, PYZMQ), ("tcp", US_TCP, PYZMQ_TCP)):
        ours, theirs = (
            results.get("connect", "connect to reply", 32, _place(results), name) for name in (us, them)
        )
        rows.append(_at_most("T17", f"connect to first reply, {scheme}", (ours, theirs), 1, them))
    return rows


def t18(results: Results) -> list[Row]:
    place = _place(results)
    beyond = results.get("idle", "binder fds per peer, beyond 64", 0, place, US)
    rows = [_absolute("T18", "binder's fds per idle peer beyond 64", beyond, 1, "fds")]
    on, target = "memory of an idle connection, both ends", "<= 64 KiB"
    parts = [
        results.get("idle", name, 0, place, US)
        for name in ("KiB per connection", "of it shared, KiB", "system's Shmem, KiB")
    ]
    if any(part is None for part in parts):
        return [*rows, _missing("T18", on, target)]
    whole, mapped, system = (part.median for part in parts if part)
    # Pages of a memfd that nobody has mapped are committed too, and only the system's figure has them.
    committed = whole - mapped + max(mapped, system)
    return [*rows, Row("T18", on, f"{figure(committed)} KiB", target, _judge(committed <= 64))]


def t19(results: Results) -> list[Row]:
    return [
        _at_most(
            "T19", on, (results.get(*imports.key(US, on)), results.get(*imports.key(PYZMQ, on))), 1, PYZMQ
        )
        for on in (imports.TIME, imports.SIZE)
    ]


def t23(results: Results) -> list[Row]:
    rows = []
    for key in results.series:
        if key.case == "idle" and key.variant.startswith("wake-ups") and key.subject == US:
            ours = results.get(*key)
            rows.append(_absolute("T23", f"{key.variant}, {key.size} idle peers", ours, 0, "wake-ups"))
    return rows or [_missing("T23", "wake-ups with idle peers", "<= 0 wake-ups")]


EVERY: tuple[Callable[[Results], list[Row]], ...] = (
    *(
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
        t8,
        t9,
        t10,
        t11,
        t12,
        t13,
        t14,
        t15,
        t16,
        t17,
        t18,
        t19,
        t20,
        t22,
        t23,
        t24,
    ),
    no_dip,
    film,
    copied,
    patterns,
)


def rows(results: Results) -> list[Row]:
    return [row for compute in EVERY for row in compute(results)]
