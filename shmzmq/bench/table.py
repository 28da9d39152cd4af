"""Figures as a table for people and as JSON for programs."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys

from .figures import SIZES, Figures


def size_name(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def _rate_text(size: int, values: list[float]) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    return f"{middle * size / 1e9:.2f} GB/s" if size >= 65536 else f"{middle / 1e6:.3f} M/s"


def _rows(figures: list[Figures]) -> tuple[list[str], list[list[str]]]:
    placements = list(dict.fromkeys(place for one in figures for place in one.trips))
    sizes = [size_name(size) for size in SIZES]
    header = ["", "version", *sizes, *(f"trip, {place}" for place in placements)]
    rows = []
    for one in figures:
        rates = [_rate_text(size, one.rates.get(size, [])) for size in SIZES]
        trips = [f"{statistics.median(one.trips[p]):.2f} us" if p in one.trips else "-" for p in placements]
        rows.append([one.name, one.version, *rates, *trips])
    return header, [*rows, *_ratio_rows(figures, placements)]


def _ratio_rows(figures: list[Figures], placements: list[str]) -> list[list[str]]:
    """How many times faster we are than each rival, if we were measured."""
    ours = next((one for one in figures if one.name == "shmzmq" and one.rates), None)
    rows = []
    for one in figures if ours else []:
        if ours is None or one is ours or not one.rates:
            continue
        cells = [_ratio(ours.rates.get(size), one.rates.get(size)) for size in SIZES]
        cells += [_ratio(one.trips.get(place), ours.trips.get(place)) for place in placements]
        rows.append([f"shmzmq vs {one.name}", "", *cells])
    return rows


def _ratio(above: list[float] | None, below: list[float] | None) -> str:
    if not above or not below:
        return "-"
    return f"{statistics.median(above) / statistics.median(below):.1f}x"


def _print_plain(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    for line in [header, *rows]:
        first, *rest = zip(line, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip())


def _print_rich(header: list[str], rows: list[list[str]]) -> bool:
    """Print with rich if it is there and somebody watches; whether it did."""
    if not sys.stdout.isatty():
        return False  # box characters and wrapped columns help nobody in a file
    try:
        rich_table = importlib.import_module("rich.table")
        console = importlib.import_module("rich.console").Console()
    except ImportError:
        return False
    table = rich_table.Table()
    for index, title in enumerate(header):
        table.add_column(title, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return True


def as_json(figures: list[Figures]) -> str:
    listed = [
        {
            "name": one.name,
            "version": one.version,
            "messages_per_second": {str(size): values for size, values in one.rates.items()},
            "round_trip_p50_us": one.trips,
            "error": one.error or None,
        }
        for one in figures
    ]
    return json.dumps({"python": sys.version.split()[0], "cpus": os.cpu_count(), "rivals": listed}, indent=2)


def print_table(figures: list[Figures]) -> None:
    header, rows = _rows(figures)
    if not _print_rich(header, rows):
        _print_plain(header, rows)
    for one in figures:
        if one.error:
            print(f"{one.name} was not measured to the end: {one.error}")
    print("Medians; one sender and one receiver process. Compare within this run only.")
