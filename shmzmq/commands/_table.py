"""Tables of text, and numbers and times as people read them. This file knows no counters."""

from collections.abc import Sequence


def lines_of(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> list[str]:
    """Return a table as lines: columns as wide as their widest cell, those in `right` set to the right.

    The last column is not filled up, so that a long text in it costs the others nothing.
    """
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        return "  ".join(cells).rstrip()

    return [line(header), *(line(row) for row in rows)]


def short(number: float) -> str:
    """Return a count or a rate in at most five characters: 0, 0.3, 42, 1.2k, 345k, 6.7M."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if number < 999.5 or unit == "P":
            whole = unit == "" and float(number).is_integer()
            return f"{number:.0f}{unit}" if whole or number >= 9.95 else f"{number:.1f}{unit}"
        number /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Return a time in two units at most: 3s, 2m05s, 1h02m, 3d04h."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"
