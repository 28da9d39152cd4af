"""The picture: throughput over message size, and round trips in each placement. Needs matplotlib."""

from pathlib import Path
from typing import Any

from benchmarks.stats import Results, figure, size_name

# Ours stands out, pyzmq is what it is compared with; the rest share a calm palette. Distinct in grey as well,
# because every line has a marker of its own.
OURS, PYZMQ = "#d62728", "#1f4e9c"
OTHERS = (
    *("#7f7f7f", "#8c6d31", "#2a8a57", "#9467bd", "#17a2b8", "#e07b39"),
    *("#b5a800", "#e377c2", "#556b2f", "#5b3a29", "#3cb44b", "#a05195"),
)
MARKERS = "sD^vP<>ph*Xd"


def available() -> bool:
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw(path: Path, title: str, results: Results) -> bool:
    """Write the PNG; False if there is nothing to show."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    places = [p for p in ("two", "one", "free") if _trip_bars(results, p)]
    has_lines = any(key.case == "oneway" and one.values for key, one in results.series.items())
    if not has_lines and not places:
        return False
    styles = _styles(results)
    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    canvas, panels = _canvas(pyplot, has_lines, places)
    if has_lines:
        _throughput(panels.pop("lines"), results, styles)
    reach = _reach(results, places)
    for place in places:
        _trips(panels[place], results, place, styles, reach)
    canvas.suptitle(title, x=0.01, ha="left", fontsize=9, color="#444444")
    canvas.savefig(path, dpi=130)
    pyplot.close(canvas)
    return True


def _canvas(pyplot: Any, has_lines: bool, places: list[str]) -> tuple[Any, dict[str, Any]]:
    """Lines at the left over the whole height, round trips at the right above each other."""
    rows = [(["lines"] if has_lines else []) + [place] for place in places] or [["lines"]]
    shape = {"width_ratios": [1.25, 1.0]} if len(rows[0]) == 2 else {}
    size = (6.6 * len(rows[0]), max(5.0, 3.9 * len(rows)))
    return pyplot.subplot_mosaic(rows, figsize=size, layout="constrained", **shape)


def _reach(results: Results, places: list[str]) -> tuple[float, float]:
    """The same scale for every placement, so that bars may be compared by eye, if by nothing else."""
    bars = [bar for place in places for bar in _trip_bars(results, place)]
    return (min(bar[1] for bar in bars) / 2, max(bar[2] for bar in bars) * 5) if bars else (1, 10)


def _styles(results: Results) -> dict[str, dict[str, Any]]:
    """One look per library, the same in all panels."""
    styles: dict[str, dict[str, Any]] = {}
    plain = 0
    for name in dict.fromkeys([*results.subjects("oneway", "plain"), *results.subjects("trip")]):
        base = {"linewidth": 1.3, "markersize": 5, "linestyle": "-"}
        if name.startswith("shmzmq"):
            styles[name] = {**base, "color": OURS, "linewidth": 2.4, "marker": "o", "zorder": 5}
        elif name.startswith("pyzmq"):
            styles[name] = {**base, "color": PYZMQ, "linewidth": 2.0, "marker": "o", "zorder": 4}
        elif name.startswith("C "):
            styles[name] = {**base, "color": "#222222"}
        else:
            marker = MARKERS[plain % len(MARKERS)]
            styles[name] = {**base, "color": OTHERS[plain % len(OTHERS)], "marker": marker}
            plain += 1
        if name.endswith("tcp"):
            styles[name] |= {"linestyle": "--", "markerfacecolor": "white"}
        if name.endswith("frames"):
            styles[name] |= {"linestyle": ":", "markerfacecolor": "white"}
        if "-tcp-" in name:
            styles[name] |= {"linestyle": "-.", "markerfacecolor": "white"}
    return styles


def _throughput(panel: Any, results: Results, styles: dict[str, dict[str, Any]]) -> None:
    sizes = results.sizes("oneway", "plain")
    for name in results.subjects("oneway", "plain"):
        points = [
            (key.size, one)
            for key, one in results.series.items()
            if (key.case, key.variant, key.subject) == ("oneway", "plain", name) and one.values
        ]
        if not points:
            continue
        points.sort(key=lambda point: point[0])
        xs = [size for size, _ in points]
        ys = [one.median * size / 1e9 for size, one in points]
        lows = [one.low * size / 1e9 for size, one in points]
        highs = [one.high * size / 1e9 for size, one in points]
        panel.plot(xs, ys, label=name, **styles[name])
        panel.fill_between(xs, lows, highs, color=styles[name]["color"], alpha=0.10, linewidth=0)
    _pipeline(panel, results, sizes)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(sizes, [size_name(size) for size in sizes], rotation=0)
    panel.minorticks_off()
    ticks = [t for t in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if _within(t, panel.get_ylim())]
    panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.grid(True, color="#e5e5e5", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_ylabel("GB/s (log)")
    panel.set_xlabel("message size (log)")
    panel.set_title("One way, one sender to one receiver; band: lowest to highest", loc="left", fontsize=9)
    panel.legend(frameon=False, fontsize=8, loc="lower right", ncols=2)


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _pipeline(panel: Any, results: Results, sizes: list[int]) -> None:
    """What two C processes reach that copy in and out, at their best number of blocks."""
    points = []
    for size in sizes:
        found = [
            one.median * size / 1e9
            for key, one in results.series.items()
            if (key.case, key.variant) == ("limit", "pipeline") and key.size == size and one.values
        ]
        if found:
            points.append((size, max(found)))
    if points:
        xs, ys = zip(*points, strict=True)
        panel.plot(xs, ys, color="#222222", linewidth=1.0, linestyle="-.", label="C copy in, copy out")


def _trip_bars(results: Results, place: str) -> list[tuple[str, float, float]]:
    """(label, p50, p99), fastest first."""
    bars = []
    for name in results.subjects("trip"):
        for waiting, label in (("default", name), ("no spin", f"{name}, no spin")):
            p50 = results.get("trip", f"{waiting} p50", 32, place, name)
            p99 = results.get("trip", f"{waiting} p99", 32, place, name)
            if p50 and p99:
                bars.append((label, p50.median, p99.median))
    return sorted(bars, key=lambda bar: bar[1])


def _trips(
    panel: Any, results: Results, place: str, styles: dict[str, Any], reach: tuple[float, float]
) -> None:
    bars = _trip_bars(results, place)
    for row, (label, p50, p99) in enumerate(bars):
        color = styles[label.removesuffix(", no spin")]["color"]
        hatch = "////" if label.endswith("no spin") else None
        panel.barh(row, p50, color=color, height=0.62, alpha=0.9, hatch=hatch, edgecolor="white", linewidth=0)
        panel.plot([p50, p99], [row, row], color=color, linewidth=1.2)
        panel.plot([p99], [row], marker="|", color=color, markersize=9, markeredgewidth=1.6)
        panel.annotate(
            figure(p50),
            (max(p50, p99), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    names = {"one": "both ends on one CPU", "two": "on two CPUs", "free": "not pinned"}
    panel.set_yticks(range(len(bars)), [label for label, _, _ in bars])
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.set_xlim(*reach)
    ticks = [tick for tick in (0.1, 1, 10, 100, 1000, 10000) if _within(tick, reach)]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.grid(True, axis="x", color="#e5e5e5", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_xlabel("us (log)")
    panel.set_title(f"Round trip of 32 B, {names[place]}; bar: p50, tick: p99", loc="left", fontsize=9)
