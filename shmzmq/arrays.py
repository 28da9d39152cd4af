"""Array: how a numpy array crosses as two frames, a header that describes it and its bytes.

Knows    the header (docs/guide/arrays.md has it field by field), which arrays can cross, how an array that is
         not contiguous is gathered in one pass, and what a header from a stranger may say.
Refuses  to know sockets, beyond `send_multipart` and `alloc`; to import numpy before a received header says
         that there is an array. Whoever sends one has brought numpy along.

A header is judged whole before a view is made: every field, the dtype down to its last member, and the size
that follows from them against the size of the data. No text of a peer reaches numpy but names of fields and
what PLAIN lets through, and that has no objects in it, so no pointer can come from outside.
"""

from __future__ import annotations

import math
import re
import reprlib
import sys
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

from .constants import Flag
from .errors import FormatError
from .frame import _DONE, MessageTracker

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from typing_extensions import Buffer

__all__ = ["array_of", "gathered", "need_numpy", "send"]

VERSION: Final = 1
HEADER_BYTES_MAX: Final = 1 << 20
NDIM_MAX: Final = 64
"""numpy's own limit; older ones have a lower one and say so."""
DEPTH_MAX: Final = 32
"""Structures within structures."""
ITEM_BYTES_MAX: Final = (1 << 31) - 1
"""numpy keeps the size of an item in a C int."""
GATHER_BYTES: Final = 4096
"""Strided arrays up to this size are gathered in private memory: a block of an arena is larger anyway."""

PLAIN: Final = re.compile(
    r"[<>|](?:[biufc][0-9]{1,2}|[SUV][0-9]{1,10}"
    r"|[mM]8(?:\[(?:[0-9]{0,10}(?:[YMWDhms]|[munpfa]s)|generic)\])?)"
)
"""What `dtype.str` is for every dtype that is neither structured nor made of objects."""

HEADER_KEYS: Final = {"array", "dtype", "shape", "order"}
STRUCTURE_KEYS: Final = {"names", "formats", "offsets", "titles", "itemsize", "aligned"}
SUBARRAY_KEYS: Final = {"base", "shape"}


_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = _shown.maxlist = 80
shown = _shown.repr
"""A value of a peer's for a text: its length is bounded, and so is its depth."""


@cache
def _to_json() -> Callable[[object], str]:
    import json  # here, so that programs without arrays do not load it

    return json.JSONEncoder(separators=(",", ":")).encode


@runtime_checkable
class _Block(Protocol):
    """What tells a block of `alloc` from every other buffer that an array may lie in."""

    @property
    def nbytes(self) -> int: ...
    @property
    def sent(self) -> bool: ...
    def release(self) -> None: ...


# --- sending ----------------------------------------------------------------------------------------------


def send(
    socket: Any, array: NDArray[Any] | numpy.generic, flags: int, copy: bool, track: bool
) -> MessageTracker | None:
    """Send an array as two frames: see `Socket.send_array`."""
    if flags & Flag.SNDMORE:
        raise ValueError("SNDMORE: an array is the end of its message; send other frames before it")
    array = _checked_class(array)
    if array.flags.c_contiguous or array.nbytes == 0:
        order, contiguous = "C", array
    elif array.flags.f_contiguous:
        order, contiguous = "F", array.T
    else:
        order, contiguous = "C", None
    header = _header(array, order)
    if contiguous is not None:
        block = None if copy else _block_of(array)
        data = _bytes_of(contiguous) if block is None else block
        tracker: MessageTracker | None = socket.send_multipart([header, data], flags, copy=copy, track=track)
        return tracker
    import numpy

    if array.nbytes <= GATHER_BYTES:
        gathered = numpy.empty(array.shape, array.dtype)
        _copy(gathered, array)
        socket.send_multipart([header, _bytes_of(gathered)], flags)
    else:
        block = socket.alloc(array.nbytes, flags & Flag.DONTWAIT)
        with block:
            _copy(numpy.ndarray(array.shape, array.dtype, buffer=block), array)
            socket.send_multipart([header, block], flags)
    # The caller's array was read and is free, however long somebody holds the gathered bytes.
    return _DONE if track and not copy else None


def gathered(array: Any) -> NDArray[Any]:
    """Make an array that is contiguous in either order, with memory of its own if it was not.

    Raises   TypeError  no array, or one that means more than its elements say.
    """
    checked = _checked_class(array)
    if checked.flags.c_contiguous or checked.flags.f_contiguous:
        return checked
    import numpy

    made: NDArray[Any] = numpy.empty(checked.shape, checked.dtype)
    _copy(made, checked)
    return made


def _checked_class(array: Any) -> NDArray[Any]:
    """Raise TypeError for what is no array, or an array that means more than its elements say."""
    numpy = sys.modules.get("numpy")
    kind = type(array)
    if numpy is not None and isinstance(array, numpy.generic):
        array = numpy.asarray(array)  # what numpy makes of an array without dimensions at the first chance
        kind = type(array)
    if numpy is None or not isinstance(array, numpy.ndarray):
        raise TypeError(f"send_array takes a numpy.ndarray, got {kind.__name__}: see numpy.asarray")
    if kind is numpy.ndarray or kind is numpy.memmap:
        return cast("NDArray[Any]", array)
    if hasattr(array, "mask"):
        raise TypeError(f"{kind.__name__}: its mask would be lost; send .filled(), or .data and .mask")
    raise TypeError(f"{kind.__name__}: what it has beyond an array would be lost; send numpy.asarray(array)")


def _header(array: NDArray[Any], order: str) -> bytes:
    dtype = array.dtype
    description = _checked(dtype) if dtype.names is not None else _checked_plain(dtype)
    text = _to_json()({"array": VERSION, "dtype": description, "shape": array.shape, "order": order}).encode()
    if len(text) > HEADER_BYTES_MAX:
        raise _unsendable(dtype, f"its header has {len(text)} bytes, more than {HEADER_BYTES_MAX}")
    return text


def _checked(dtype: numpy.dtype[Any]) -> Any:
    """Describe a dtype, and read the description as its receiver will."""
    description = _describe(dtype)
    try:
        same = _dtype(description) == dtype
    except FormatError as error:
        raise _unsendable(dtype, str(error)) from None
    if not same:
        raise _unsendable(dtype, "it is not one of numpy's own")
    return description


# By equality, which for structures is too coarse: alignment does not count there.
_checked_plain = lru_cache(maxsize=128)(_checked)


def _unsendable(dtype: numpy.dtype[Any], why: str) -> TypeError:
    return TypeError(f"an array of dtype {dtype!r:.200} cannot be sent: {why}")


def _describe(dtype: numpy.dtype[Any]) -> Any:
    """A dtype as what JSON can say. Raises TypeError, naming it, for one that holds objects."""
    if dtype.hasobject:
        raise _unsendable(dtype, "objects do not leave their process")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _describe(base), "shape": shape}
    if dtype.names is None:
        return dtype.str
    assert dtype.fields is not None
    fields = [dtype.fields[name] for name in dtype.names]
    titles = [field[2] if len(field) > 2 else None for field in fields]
    if not all(title is None or isinstance(title, str) for title in titles):
        raise _unsendable(dtype, f"a title is no text: {titles!r:.200}")
    return {
        "names": dtype.names,
        "formats": [_describe(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "titles": titles,
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _bytes_of(contiguous: NDArray[Any]) -> Buffer:
    """The memory of a C-contiguous array. Not its own buffer: that of a datetime64 cannot be exported."""
    if contiguous.nbytes == 0:
        return b""
    data: Any = contiguous.reshape(-1).view("u1")
    return memoryview(data)


def _block_of(array: NDArray[Any]) -> Any:
    """The block of `alloc` that a contiguous array fills from end to end; None if there is none."""
    owner: Any = array.base
    while owner is not None and not isinstance(owner, _Block):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner if owner is not None and array.nbytes == owner.nbytes else None


def _copy(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Write the elements of one array into another of the same dtype and shape, in one pass."""
    import numpy

    if source.dtype.names is not None and source.nbytes:
        # By item, not by field: one copy each, and what lies between the fields comes along.
        item = numpy.dtype((numpy.void, source.dtype.itemsize))
        target, source = target.view(item), source.view(item)
    numpy.copyto(target, source)


# --- receiving --------------------------------------------------------------------------------------------


def need_numpy() -> None:
    """Raise ImportError if there is no numpy; do not import it."""
    if "numpy" in sys.modules and sys.modules["numpy"] is not None:
        return
    from importlib.util import find_spec

    try:
        found = find_spec("numpy") is not None
    except ImportError:
        found = False
    if not found:
        raise ImportError(
            "recv_array needs numpy, which is not installed; nothing was received", name="numpy"
        )


def array_of(frames: Sequence[Any], copy: bool) -> NDArray[Any]:
    """Make the array that received frames are.

    Shape    frames: Frames, whose memory is writable.
    Returns  with copy=True an array with memory of its own, else one on the memory of the second frame.
    Raises   FormatError  they are no array, or not one that a peer may send.
    """
    if len(frames) != 2:
        raise FormatError(f"{len(frames)} frames received, and an array has 2")
    head, data = (memoryview(frame) for frame in frames)
    header = _read_header(head)
    shape, order = _shape(header["shape"], "shape"), header["order"]
    if order not in ("C", "F"):
        raise FormatError(f"order is C or F, got {shown(order)}")
    dtype = _dtype(header["dtype"])
    size = math.prod(shape) * dtype.itemsize
    if size != data.nbytes:
        raise FormatError(f"shape {shown(shape)} of {dtype.itemsize} byte items is not {data.nbytes} bytes")
    import numpy

    try:
        view: NDArray[Any] = numpy.ndarray(shape, dtype, buffer=data, order=order)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"shape {shown(shape)}: {error}") from None
    if not copy or not size:  # a copy of nothing would have room for an item, of whatever size that is
        return view
    owned = numpy.empty(shape, dtype, order=order)
    _copy(owned, view)
    return owned


def _read_header(head: memoryview) -> dict[str, Any]:
    if head.nbytes > HEADER_BYTES_MAX:
        raise FormatError(f"the first frame has {head.nbytes} bytes, more than a header of an array may have")
    import json

    try:
        header = json.loads(str(head, "utf-8"))
    except (ValueError, RecursionError):
        raise FormatError(f"the first frame is no header of an array: {shown(bytes(head[:80]))}") from None
    if not isinstance(header, dict) or "array" not in header:
        raise FormatError(f"the first frame is no header of an array: {shown(bytes(head[:80]))}")
    if not _is_int(header["array"], VERSION, VERSION):
        raise FormatError(f"header of version {shown(header['array'])}; this shmzmq reads version {VERSION}")
    _check_keys(header, HEADER_KEYS, "header")
    return header


def _check_keys(found: dict[str, Any], keys: set[str], what: str) -> None:
    if set(found) != keys:
        raise FormatError(f"{what} with {shown(sorted(found))}; it has exactly {sorted(keys)}")


def _is_int(value: Any, least: int, most: int) -> bool:
    """True for a number in this range; JSON's true and 1.0 are none."""
    return type(value) is int and least <= value <= most


def _shape(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > NDIM_MAX:
        raise FormatError(f"{what} is a list of at most {NDIM_MAX} lengths, got {shown(value)}")
    if not all(_is_int(length, 0, sys.maxsize) for length in value):
        raise FormatError(f"{what} has a length that is none: {shown(value)}")
    if math.prod(length or 1 for length in value) > sys.maxsize:
        raise FormatError(f"{what} {shown(value)} has more elements than there are addresses")
    return tuple(value)


def _dtype(description: Any, depth: int = 0) -> numpy.dtype[Any]:
    """Make the dtype that a description stands for. Raises FormatError."""
    if depth > DEPTH_MAX:
        raise FormatError(f"dtype with more than {DEPTH_MAX} structures within each other")
    if isinstance(description, str):
        return _plain(description)
    if not isinstance(description, dict):
        raise FormatError(f"dtype {shown(description)} is no description of one")
    made = _subarray(description, depth) if "base" in description else _structure(description, depth)
    if made.hasobject:
        raise FormatError(f"dtype {shown(made)} holds objects")
    return made


def _make(argument: Any, align: bool = False) -> numpy.dtype[Any]:
    import numpy

    try:
        made: numpy.dtype[Any] = numpy.dtype(argument, align=align)
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        raise FormatError(f"dtype {shown(argument)}: {error}") from None
    return made


@lru_cache(maxsize=128)
def _plain(text: str) -> numpy.dtype[Any]:
    if not PLAIN.fullmatch(text):
        raise FormatError(f"dtype {shown(text)} is none that an array may be sent with")
    return _make(text)


def _subarray(description: dict[str, Any], depth: int) -> numpy.dtype[Any]:
    _check_keys(description, SUBARRAY_KEYS, "subarray")
    base = _dtype(description["base"], depth + 1)
    shape = _shape(description["shape"], "shape of a subarray")
    if math.prod(shape) * base.itemsize > ITEM_BYTES_MAX:
        raise FormatError(f"subarray {shown(shape)} of {base.itemsize} byte items is too large for an item")
    return _make((base, shape))


def _structure(description: dict[str, Any], depth: int) -> numpy.dtype[Any]:
    _check_keys(description, STRUCTURE_KEYS, "structure")
    lists = [description[key] for key in ("names", "formats", "offsets", "titles")]
    if not all(isinstance(each, (list, tuple)) and len(each) == len(lists[0]) for each in lists):
        raise FormatError("names, formats, offsets and titles of a structure are lists of one length")
    names, formats, offsets, titles = lists
    itemsize, aligned = description["itemsize"], description["aligned"]
    if not _is_int(itemsize, 0, ITEM_BYTES_MAX) or type(aligned) is not bool:
        raise FormatError(f"structure with itemsize={shown(itemsize)}, aligned={shown(aligned)}")
    if not all(isinstance(name, str) for name in names):
        raise FormatError("a name of a field is no text")
    if not all(title is None or isinstance(title, str) for title in titles):
        raise FormatError("a title of a field is no text")
    fields = [_dtype(each, depth + 1) for each in formats]
    for field, offset in zip(fields, offsets, strict=True):
        if not _is_int(offset, 0, itemsize - field.itemsize):
            raise FormatError(f"a field of {field.itemsize} bytes at {shown(offset)} in {itemsize} bytes")
    argument = {"names": list(names), "formats": fields, "offsets": list(offsets), "itemsize": itemsize}
    if any(title is not None for title in titles):
        argument["titles"] = list(titles)
    return _make(argument, align=aligned)
