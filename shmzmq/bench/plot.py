"""Figures as a picture. This file knows matplotlib and what it can write."""

from __future__ import annotations

import importlib
import importlib.util
import os
import statistics
from pathlib import Path
from typing import Any

from .figures import SIZES, Figures
from .table import size_name

KINDS = (".png", ".svg", ".pdf")


def refusal(file: str) -> str:
    """Why `file` cannot be drawn, found out before anything is measured; empty if it can."""
    if Path(file).suffix.lower() not in KINDS:
        return f"cannot draw {file!r}: its name must end in one of {', '.join(KINDS)}"
    if not os.access(Path(file).parent, os.W_OK):
        return f"cannot draw {file!r}: no folder to write into"
    if importlib.util.find_spec("matplotlib") is None:
        return "--plot needs matplotlib: pip install matplotlib"
    return ""


def plot(figures: list[Figures], file: str) -> None:
    """Draw the medians: messages a second by size, and round trips by placement.

    Raises   OSError   the file cannot be written.
    """
    # The class and not pyplot, which would look for a display.
    picture = importlib.import_module("matplotlib.figure").Figure(figsize=(11, 4.5), layout="constrained")
    rates, trips = picture.subplots(1, 2)
    measured = [one for one in figures if one.rates]
    _bars(rates, measured, {size_name(size): [one.rates.get(size, []) for one in measured] for size in SIZES})
    rates.set(title="one way, more is better", ylabel="messages per second")
    placements = list(dict.fromkeys(place for one in measured for place in one.trips))
    _bars(trips, measured, {place: [one.trips.get(place, []) for one in measured] for place in placements})
    trips.set(title="round trip of 32 B, less is better", ylabel="us")
    picture.suptitle("Two processes; medians; compare within this run only")
    picture.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    picture.savefig(file, dpi=144)


def _bars(axes: Any, measured: list[Figures], groups: dict[str, list[list[float]]]) -> None:
    """One group of bars each, a bar for each library; logarithmic, since they are factors apart."""
    width = 0.8 / max(1, len(measured))
    for index, one in enumerate(measured):
        places = [group + (index - (len(measured) - 1) / 2) * width for group in range(len(groups))]
        heights = [statistics.median(values[index] or [0.0]) for values in groups.values()]
        axes.bar(places, heights, width, label=f"{one.name} {one.version}")
    axes.set_xticks(range(len(groups)), list(groups))
    if measured:
        axes.set_yscale("log")
