"""Results as JSON (everything), Markdown (to read and to quote) and a short text for the terminal."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import cases, peers, sizes, targets
from benchmarks.harness import APART
from benchmarks.stats import Results, Series, figure, ratio, size_name

SCHEMA = 1
QUIET = 5  # percent of all CPU time that may go elsewhere before a run says so
US = targets.US

CAVEAT = (
    "Every library was measured in this one run, in turns, in fresh processes each time, pinned except for "
    "one to many. Figures are medians (lowest to highest of the repetitions). Compare rows of one table; do "
    "not compare with another machine, another run or another placement. What each figure means: "
    "benchmarks/README.md."
)


def rate(series: Series, size: int) -> str:
    """Messages for small ones, bytes for large ones: what a reader would count."""
    if size < 65536:
        return _spread(series, lambda value: value / 1e6) + " M/s"
    return _spread(series, lambda value: value * size / 1e9) + " GB/s"


def _spread(series: Series, scale: Callable[[float], float] = float) -> str:
    middle = figure(scale(series.median))
    if len(series.values) < 2:
        return middle
    return f"{middle} ({figure(scale(series.low))} to {figure(scale(series.high))})"


def table(header: list[str], rows: Iterable[list[str]], texts: int = 1) -> str:
    """A Markdown table that can be read as it is, in a terminal too; the first `texts` columns are words."""
    lines = [header, *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    rule = ["-" * width if at < texts else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    filled = [_fill(line, widths, texts) for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [filled[0], rule, *filled[1:]]) + "\n"


def _fill(line: list[str], widths: list[int], texts: int) -> list[str]:
    padded = enumerate(zip(line, widths, strict=True))
    return [text.ljust(width) if at < texts else text.rjust(width) for at, (text, width) in padded]


# --- JSON ------------------------------------------------------------------------------------------------


def as_json(head: dict[str, Any], results: Results) -> str:
    series = [
        {**key._asdict(), "unit": one.unit, "values": one.values, "error": one.error or None}
        for key, one in results.series.items()
    ]
    rows = [row._asdict() for row in targets.rows(results)]
    whole = {"schema": SCHEMA, **head, "notes": results.notes, "targets": rows, "series": series}
    return json.dumps(whole, indent=1) + "\n"


# --- Markdown --------------------------------------------------------------------------------------------


def as_markdown(head: dict[str, Any], results: Results, plots: list[str]) -> str:
    parts = [_heading(head, results), CAVEAT + "\n"]
    parts += [f"![one-way throughput over message size; round trips]({plot})\n" for plot in plots]
    parts += ["## Targets\n", _targets(results)]
    parts += _oneway(results)
    parts += _mixed(results)
    parts += _curve(results)
    parts += _trips(results)
    parts += _limits(results)
    parts += _calls(results)
    parts += _small(results)
    parts += _notes(results)
    return "\n".join(parts)


def _heading(head: dict[str, Any], results: Results) -> str:
    machine = head["machine"]
    kind = "virtual" if machine["virtual"] else "physical"
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    return (
        f"# Benchmark of {head['date']}, commit {head['commit']}\n\n"
        f"- {machine['cpu']}, {machine['cpus_allowed']} of {machine['cpus']} CPUs, {kind}, "
        f"{machine['memory_gib']} GiB, {machine['kernel']}, {machine['architecture']}\n"
        f"- {machine['python']}; {versions}\n"
        f"{_company(machine)}"
        f"{_apart(results)}"
        f"- {head['options']['repeat']} repetitions of {head['options']['sample_seconds']:g} s each"
        f"{', quick run' if head['options']['quick'] else ''}; load before the run {machine['load_before']}, "
        f"after {machine['load_after']}; took {head['seconds']['all']:.0f} s\n"
    )


def _apart(results: Results) -> str:
    apart = results.series.get(APART)
    if apart is None:
        return ""
    spread = _spread(apart, lambda value: value * 1e3)
    return f"- a cache line went from the one CPU to the other and back in {spread} ns between repetitions\n"


def _company(machine: dict[str, Any]) -> str:
    """Who else was on the machine: the first thing a careful reader asks."""
    others, stolen = machine["others_percent"], machine["stolen_percent"]
    if others is None:
        return ""
    text = f"other programs used {others} % of the CPUs during the run, the hypervisor took {stolen} %"
    if others + stolen > QUIET:
        return f"- **Not a quiet machine: {text}. Take no figure of this run as more than a hint.**\n"
    return f"- {text}\n"


def _targets(results: Results) -> str:
    return _target_table([list(row) for row in targets.rows(results)])


def _target_table(rows: list[list[str]]) -> str:
    return table(["id", "on", "measured", "target", ""], rows, texts=5)


def _oneway(results: Results) -> list[str]:
    parts = []
    titles = {
        "plain": "One way, `send` and `recv`",
        "slow": "One way, receiver slowed by a fifth",
        "many": "One way, batches of up to 100",
    }
    for variant, title in titles.items():
        sizes = results.sizes("oneway", variant)
        if not sizes:
            continue
        parts += [f"## {title}\n", _rate_table(results, "oneway", variant, sizes)]
        if variant == "slow":
            parts.append(_kept(results, sizes))
        ratios = _ratio_table(results, variant, sizes)
        if ratios:
            parts += ["Times faster than the rival, repetition by repetition:\n", ratios]
    return parts


def _place_of(results: Results, case: str) -> str:
    return next(key.placement for key in results.series if key.case == case)


def _rate_table(results: Results, case: str, variant: str, sizes: list[int]) -> str:
    place = _place_of(results, case)
    rows = []
    for subject in results.subjects(case, variant):
        cells = []
        for size in sizes:
            found = results.get(case, variant, size, place, subject)
            cells.append(rate(found, size) if found else "-")
        rows.append([subject, *cells])
    return table(["", *map(size_name, sizes)], rows)


def _ratio_table(results: Results, variant: str, sizes: list[int]) -> str:
    place = _place_of(results, "oneway")
    rows = []
    for subject in results.subjects("oneway", variant):
        if subject.startswith(US) or US not in results.subjects("oneway", variant):
            continue
        cells = []
        for size in sizes:
            ours, theirs = (results.get("oneway", variant, size, place, name) for name in (US, subject))
            cells.append(str(ratio(ours, theirs)) if ours and theirs else "-")
        rows.append([subject, *cells])
    return table([f"{US} over", *map(size_name, sizes)], rows) if rows else ""


def _mixed(results: Results) -> list[str]:
    sizes = results.sizes("mixed", "plain")
    if not sizes:
        return []
    return ["## One way, a libzmq at one end\n", _rate_table(results, "mixed", "plain", sizes)]


def _curve(results: Results) -> list[str]:
    """A line per size, because there are more of them than libraries. `failed`: see the end of the page."""
    keys = [key for key in results.series if key.case == "sizes"]
    columns = [
        (variant, name)
        for variant in (sizes.ONE_WAY, sizes.LIMIT)
        for name in results.subjects("sizes", variant)
    ]
    if not keys:
        return []
    place = _place_of(results, "sizes")
    rows = []
    for size in sorted({key.size for key in keys}):
        cells = []
        for variant, name in columns:
            one = results.series.get(sizes.key(name, size, place, variant))
            cells.append("-" if one is None else rate(one, size) if one.values else "failed")
        rows.append([size_name(size), *cells])
    return ["## One way, by size\n", table(["", *(name for _, name in columns)], rows)]


def _kept(results: Results, sizes: list[int]) -> str:
    place = _place_of(results, "oneway")
    rows = []
    for subject in results.subjects("oneway", "slow vs plain"):
        kept = (results.get("oneway", "slow vs plain", size, place, subject) for size in sizes)
        rows.append([subject, *(_spread(one) if one else "-" for one in kept)])
    return "Of the plain rate, as one with a perfect queue would keep about 0.83:\n\n" + table(
        ["", *map(size_name, sizes)], rows
    )


TRIP_COLUMNS = (
    "default p50",
    "default p99",
    "first after 1 ms",
    "again after 1 ms",
    "no spin p50",
    "no spin p99",
)


def _trips(results: Results) -> list[str]:
    parts = []
    places = list(dict.fromkeys(key.placement for key in results.series if key.case == "trip"))
    names = {"one": "both ends on one CPU", "two": "on two CPUs", "free": "not pinned"}
    for place in places:
        rows = []
        for subject in results.subjects("trip"):
            found = [results.get("trip", column, 32, place, subject) for column in TRIP_COLUMNS]
            if any(found):
                rows.append([subject, *(_spread(one) if one else "-" for one in found)])
        parts += [f"## Round trip of 32 B, {names[place]}, us\n", table(["", *TRIP_COLUMNS], rows)]
    return parts


def _limits(results: Results) -> list[str]:
    parts = []
    titles = {
        "pipeline": "Copy in, copy out in C",
        cases.ALONE: "The same copies in C, nothing handed over",
        "tcp": "`send` and `recv` in C",
    }
    for variant, title in titles.items():
        if sizes := results.sizes("limit", variant):
            parts += [f"## {title}\n", _rate_table(results, "limit", variant, sizes)]
    return parts


CALL_COLUMNS = {"streaming": "per message", "asleep": "per round trip", "idle": "per second, idle"}


def _calls(results: Results) -> list[str]:
    """System calls of both ends together, and which they mostly were."""
    rows = []
    for subject in results.subjects("calls"):
        place = _place_of(results, "calls")
        found = [results.get("calls", variant, 32, place, subject) for variant in CALL_COLUMNS]
        mostly = [
            key.variant.partition(": ")[2]
            for key in results.series
            if key.case == "calls" and key.subject == subject and key.variant.startswith("asleep: ")
        ]
        rows.append([subject, *(figure(one.median) if one else "-" for one in found), ", ".join(mostly[:3])])
    if not rows:
        return []
    header = ["", *CALL_COLUMNS.values(), "mostly, in a round trip"]
    return ["## System calls, both ends together\n", table(header, rows)]


def _small(results: Results) -> list[str]:
    """The cases that are one table of variants by subject."""
    titles = {
        "patterns": "Round trip of 32 B by socket type, p50, us",
        "fanout": "One to many, nothing lost",
        "peers": f"DEALERs and their ROUTER, {peers.ACTIVE} of them speak, 32 B there and back",
        "zero": "Lent memory, messages per second",
        "video": "Video: 1080 x 1920 x 3 bytes, 60 per second, to 3 subscribers",
        "copies": "Copies and page faults per message of 1 MiB, counted",
        "asyncio": "asyncio: a stream of 32 B; a 10 ms ticker beside a flooded ROUTER",
        "connect": "Connect to first reply, us",
        "inproc": "Inproc in one thread, ns per send and recv of 32 B",
        "import": "Import time in ms, size of all files packed in KiB",
        "idle": "Idle ipc connections, both ends together unless said",
    }
    parts = []
    for case, title in titles.items():
        subjects = results.subjects(case)
        if not subjects:
            continue
        keys = dict.fromkeys(
            (key.variant, key.size, key.placement) for key in results.series if key.case == case
        )
        rows = []
        for variant, size, place in keys:
            found = [results.get(case, variant, size, place, subject) for subject in subjects]
            if any(found):
                rows.append(
                    [_label(case, variant, size, place), *(_spread(one) if one else "-" for one in found)]
                )
        parts += [f"## {title}\n", table(["", *subjects], rows)]
    return parts


def _label(case: str, variant: str, size: int, place: str) -> str:
    if case == "idle" and size:
        return f"{variant}, {size} peers"
    if case == "zero":
        return f"{size_name(size)}, {variant}"
    if case == "fanout":
        return f"{size_name(size)} to {variant}"
    return f"{variant}, placement {place}" if case == "patterns" else variant


def _errors(results: Results) -> Iterable[tuple[tuple[str, str], list[str]]]:
    """Each library's different errors, and in which measurements they came: one cause often spoils many."""
    found: dict[tuple[str, str], list[str]] = {}
    for key, one in results.series.items():
        if one.error:
            size = f" {size_name(key.size)}" if key.case in {"oneway", "mixed", "sizes"} else ""
            found.setdefault((key.subject, one.error), []).append(f"{key.case} {key.placement}{size}")
    return found.items()


def _notes(results: Results) -> list[str]:
    errors = [f"- {subject}: {error} ({', '.join(places)})" for (subject, error), places in _errors(results)]
    notes = [f"- {note}" for note in results.notes]
    return ["## What did not work\n", *notes, *errors, ""] if notes or errors else []


# --- files, terminal -------------------------------------------------------------------------------------


def write(folder: Path, name: str, head: dict[str, Any], results: Results, plots: list[str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"json": as_json(head, results), "md": as_markdown(head, results, plots)}
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{name}.{suffix}"
        path.write_text(text)
        paths.append(path)
    return paths


def summary(results: Results) -> str:
    """What was measured, for the terminal: the tables, then the targets that this run can judge."""
    rows = [list(row) for row in targets.rows(results) if row.verdict != "not measured"]
    judged = _target_table(rows) if rows else "No target can be judged from this run.\n"
    parts = [
        _apart(results),
        *_oneway(results),
        *_mixed(results),
        *_curve(results),
        *_trips(results),
        *_limits(results),
        *_calls(results),
        *_small(results),
    ]
    return "\n".join([*parts, "## Targets\n", judged, *_notes(results)])
