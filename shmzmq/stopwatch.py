"""Stopwatch: microseconds between two calls; deprecated in pyzmq, and so here."""

from __future__ import annotations

import time
import warnings

__all__ = ["Stopwatch"]


class Stopwatch:
    """Measures the time from `start` to `stop`. Use `time.perf_counter` instead."""

    def __init__(self) -> None:
        """Make a stopwatch; warns that it is deprecated."""
        warnings.warn(
            "zmq.Stopwatch is deprecated; time.perf_counter and its like do the same",
            DeprecationWarning,
            stacklevel=2,
        )
        self._start = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._start = time.monotonic()

    def stop(self) -> int:
        """Return the microseconds since `start`."""
        return int(1e6 * (time.monotonic() - self._start))
