"""Samples and what may be said of them. Knows no library and no unit."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Key(NamedTuple):
    """What a series of samples is about. `subject` is a rival, or a C baseline's name."""

    case: str  # oneway, mixed, trip, patterns, fanout, peers, connect, inproc, calls, idle, import, limit
    variant: str
    size: int
    placement: str
    subject: str


@dataclass
class Series:
    unit: str
    values: list[float] = field(default_factory=list)  # one per repetition, in the order of the run
    error: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


class Results:
    """All series of a run. `order` is that of the tables: rivals as the run named them, baselines last."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.series: dict[Key, Series] = {}
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}  # what each part of the run took

    def add(self, key: Key, unit: str, value: float) -> None:
        self.series.setdefault(key, Series(unit)).values.append(value)

    def fail(self, key: Key, unit: str, error: str) -> None:
        self.series.setdefault(key, Series(unit)).error = error

    def failed(self, key: Key) -> bool:
        return bool(self.series[key].error) if key in self.series else False

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def get(self, case: str, variant: str, size: int, placement: str, subject: str) -> Series | None:
        """The series, if it has any value."""
        found = self.series.get(Key(case, variant, size, placement, subject))
        return found if found and found.values else None

    def subjects(self, case: str, variant: str | None = None) -> list[str]:
        """Who was measured in this case, in order."""
        fitting = (key for key in self.series if key.case == case and variant in (None, key.variant))
        found = list(dict.fromkeys(key.subject for key in fitting))
        return sorted(
            found, key=lambda name: self.order.index(name) if name in self.order else len(self.order)
        )

    def sizes(self, case: str, variant: str) -> list[int]:
        return sorted({key.size for key in self.series if (key.case, key.variant) == (case, variant)})


@dataclass
class Ratio:
    """A over B: of the medians; the extremes are of repetitions taken pairwise, which ran side by side."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{figure(self.middle)}x ({figure(self.low)} to {figure(self.high)})"


def ratio(above: Series, below: Series) -> Ratio:
    pairs = [a / b for a, b in zip(above.values, below.values, strict=False) if b]
    middle = above.median / below.median if below.median else float("inf")
    return Ratio(middle, min(pairs, default=middle), max(pairs, default=middle))


def best(series: Iterable[tuple[str, Series]], *, highest: bool) -> tuple[str, Series] | None:
    """The one with the best median."""
    listed = list(series)
    if not listed:
        return None
    choose = max if highest else min
    return choose(listed, key=lambda pair: pair[1].median)


def figure(value: float) -> str:
    """Three significant digits: more would claim what five repetitions on a shared machine cannot know."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def size_name(size: int) -> str:
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"
