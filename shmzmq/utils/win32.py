"""Ctrl-C on Windows. Elsewhere it works by itself, so this does nothing, as pyzmq's does there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["allow_interrupt"]


class allow_interrupt:
    """A context manager around a loop that waits; `action` is never called."""

    def __init__(self, action: Callable[[], Any] | None = None) -> None:
        """Take what would be called on Windows."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: Any) -> None:
        pass
