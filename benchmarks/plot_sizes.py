"""The picture of `sizes`: bytes and messages per second over the size, all logarithmic. Needs matplotlib."""

from pathlib import Path
from typing import Any

from benchmarks import sizes
from benchmarks.plot import OTHERS, OURS, PYZMQ
from benchmarks.stats import Results, size_name

MARKERS = "sD^vP<>*"
Points = tuple[list[int], list[float], list[float], list[float]]  # sizes; median, lowest, highest msg/s
UNCOPIED = ("zero", "loans")
LIMIT_NAME = "C copy in, copy out"
TICKS = (32, 256, 1024, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20)


def draw(path: Path, title: str, results: Results) -> bool:
    """Write the PNG; False if there is nothing to show."""
    lines = _lines(results)
    if not lines:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    canvas, (bytes_, messages) = pyplot.subplots(1, 2, figsize=(15, 6.4), layout="constrained")
    styles = _styles(list(lines))
    for name, points in lines.items():
        _line(bytes_, name, points, styles[name], in_bytes=True)
        _line(messages, name, points, styles[name], in_bytes=False)
    _dress(
        bytes_,
        "GB/s (log)",
        "Bytes per second; band: lowest to highest; what leaves at the top copies nothing",
    )
    bytes_.set_ylim(top=_top(lines))
    _dress(messages, "messages per second (log)", "Messages per second")
    handles, names = bytes_.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside right center", frameon=False)
    canvas.suptitle(
        f"PUSH to PULL one way, one sender, one receiver. {title}",
        x=0.01,
        ha="left",
        fontsize=9,
        color="#444444",
    )
    canvas.savefig(path, dpi=120)
    pyplot.close(canvas)
    return True


def _lines(results: Results) -> dict[str, Points]:
    """By name, and the best of the C pipelines at each size as one line."""
    lines: dict[str, Points] = {}
    for name in results.subjects("sizes", sizes.ONE_WAY):
        found = {
            key.size: one
            for key, one in results.series.items()
            if (key.case, key.variant, key.subject) == ("sizes", sizes.ONE_WAY, name) and one.values
        }
        if found:
            xs = sorted(found)
            lines[name] = (
                xs,
                *([getattr(found[size], what) for size in xs] for what in ("median", "low", "high")),
            )
    best: dict[int, float] = {}
    for key, one in results.series.items():
        if (key.case, key.variant) == ("sizes", sizes.LIMIT) and one.values:
            best[key.size] = max(best.get(key.size, 0.0), one.median)
    if best:
        xs = sorted(best)
        ys = [best[size] for size in xs]
        lines[LIMIT_NAME] = (xs, ys, ys, ys)
    return lines


def _top(lines: dict[str, Points]) -> float:
    """A little above who copies: what is only handed over has any number of bytes per second."""
    copied = (
        size * rate / 1e9
        for name, (xs, _, _, highs) in lines.items()
        if not name.endswith(UNCOPIED)
        for size, rate in zip(xs, highs, strict=True)
    )
    return 3 * max(copied, default=10)


def _styles(names: list[str]) -> dict[str, dict[str, Any]]:
    """Solid copies, dashed does not copy, dotted copies into memory of the caller's."""
    styles = {}
    others = 0
    for name in names:
        style: dict[str, Any] = {"linewidth": 1.3, "markersize": 5, "linestyle": "-"}
        if name.startswith("shmzmq"):
            style |= {"color": OURS, "linewidth": 2.4, "marker": "o", "zorder": 5}
        elif name.startswith("pyzmq"):
            style |= {"color": PYZMQ, "linewidth": 2.0, "marker": "o", "zorder": 4}
        elif name == LIMIT_NAME:
            style |= {"color": "#222222", "linewidth": 1.2, "linestyle": "-."}
        elif name == "iceoryx2-loans" and "iceoryx2" in styles:
            style = dict(styles["iceoryx2"])
        else:
            style |= {"color": OTHERS[others % len(OTHERS)], "marker": MARKERS[others % len(MARKERS)]}
            others += 1
        if name.endswith((*UNCOPIED, "frames")):
            style |= {"linestyle": "--", "markerfacecolor": "white"}
        if name.endswith("into"):
            style |= {"linestyle": ":", "marker": "D"}
        styles[name] = style
    return styles


def _line(panel: Any, name: str, points: Points, style: dict[str, Any], *, in_bytes: bool) -> None:
    xs, *curves = points
    middle, low, high = (
        [value * (size / 1e9 if in_bytes else 1) for size, value in zip(xs, curve, strict=True)]
        for curve in curves
    )
    panel.plot(xs, middle, label=name, **style)
    panel.fill_between(xs, low, high, color=style["color"], alpha=0.10, linewidth=0)


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:g} {unit}"
    return f"{value:g}"


def _dress(panel: Any, unit: str, title: str) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    low, high = panel.get_xlim()
    inside = [size for size in TICKS if low <= size <= high]
    panel.set_xticks(inside, [size_name(size) for size in inside], fontsize=8)
    panel.minorticks_off()
    panel.yaxis.set_major_formatter(lambda value, _: _short(value))
    panel.grid(True, color="#e5e5e5", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.axvspan(sizes.INLINE_EDGE[0], sizes.INLINE_EDGE[-1], color="#f4f4f4", zorder=0)
    panel.set_xlabel("message size (log); grey: where shmzmq's messages leave the ring for an arena")
    panel.set_ylabel(unit)
    panel.set_title(title, loc="left", fontsize=9)
