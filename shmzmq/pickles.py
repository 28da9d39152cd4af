"""Pickle: how a pickled object crosses as frames, its large buffers apart from it.

Knows    when a buffer pays for a frame of its own, the short frame that announces such frames, and that
         everything else is one frame: the pickle itself, as pyzmq sends it.
Refuses  to know sockets, and what pickles contain.

    [pickle]                                         no buffer of APART_BYTES or more
    [announcement, pickle, buffer, buffer, ...]      else, up to the end of the message
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from .errors import FormatError

if TYPE_CHECKING:
    import pickle

    from typing_extensions import Buffer

__all__ = ["APART_BYTES", "PROTOCOL", "dumped", "loaded"]

PROTOCOL: Final = 5
"""PEP 574: the first with buffers out of band."""

APART_BYTES: Final = 64 * 1024
"""Smaller buffers stay in the pickle: copying them costs less than the frames would."""

# No pickle begins with this byte, in any protocol.
_MARK: Final = b"\xff"
_ANNOUNCEMENT: Final = re.compile(rb"\xffpickle/([0-9]{1,4}) ([0-9]{1,9})")
_VERSION: Final = 1


def dumped(obj: object, protocol: int, apart: bool) -> bytes | list[Buffer]:
    """Pickle an object.

    Shape    apart: large buffers may have frames of their own.
    Returns  the one frame, or the list of frames if there are several.
    """
    import pickle  # here, so that programs which pickle nothing do not load it

    if not apart or 0 <= protocol < PROTOCOL:
        return pickle.dumps(obj, protocol)
    buffers: list[Buffer] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:
            return True
        if raw.nbytes < APART_BYTES:
            return True
        buffers.append(raw)
        return False

    stream = pickle.dumps(obj, protocol, buffer_callback=stays_inside)
    if not buffers:
        return stream
    return [b"%bpickle/%d %d" % (_MARK, _VERSION, len(buffers)), stream, *buffers]


def loaded(first: bytes, rest: Callable[[], Sequence[Any]]) -> Any:
    """Load the object whose first frame was received.

    Shape    rest: receives the frames that are left of its message; called only for an announcement.
    Raises   FormatError  frames are missing, or there are more than announced; the message is consumed.
             and whatever unpickling raises.
    """
    import pickle

    if first[:1] != _MARK:
        return pickle.loads(first)
    frames = rest()
    announced = _ANNOUNCEMENT.fullmatch(first)
    if announced is None:
        raise FormatError(f"the first frame is neither a pickle nor announces one: {first[:80]!r}")
    version, count = map(int, announced.groups())
    if version != _VERSION:
        raise FormatError(f"a pickle with buffers of version {version}; this shmzmq reads version {_VERSION}")
    if len(frames) != 1 + count:
        raise FormatError(f"{len(frames)} frames follow where a pickle and {count} buffers were announced")
    stream, *buffers = (memoryview(frame) for frame in frames)
    return pickle.loads(stream, buffers=buffers)
