"""Text and bytes under the names they had when one program ran on Python 2 and 3 (deprecated in pyzmq)."""

from __future__ import annotations

import warnings
from builtins import bytes  # noqa: UP029  # a name of this module too

__all__ = ["asbytes", "b", "basestring", "bytes", "cast_bytes", "cast_unicode", "u", "unicode"]

unicode = str
basestring = (str,)


def _cast(s: str | bytes) -> None:
    warnings.warn("strtypes is deprecated: use encode and decode", DeprecationWarning, stacklevel=3)
    if not isinstance(s, (str, bytes)):
        raise TypeError(f"Expected unicode or bytes, got {s!r}")


def cast_bytes(s: str | bytes, encoding: str = "utf8", errors: str = "strict") -> bytes:
    """Return text encoded, and bytes as they are. Raises TypeError for what is neither."""
    _cast(s)
    return s.encode(encoding, errors) if isinstance(s, str) else s


def cast_unicode(s: str | bytes, encoding: str = "utf8", errors: str = "strict") -> str:
    """Return bytes decoded, and text as it is. Raises TypeError for what is neither."""
    _cast(s)
    return s.decode(encoding, errors) if isinstance(s, bytes) else s


b = asbytes = cast_bytes
u = cast_unicode
