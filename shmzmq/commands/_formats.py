"""Messages as lines and lines as messages. This file knows bytes and no socket.

text   UTF-8, frames parted by a tab. Out: what would break the line or the terminal is escaped (a newline
       is shown as \\n, a byte that is no UTF-8 as \\xNN), and nothing else is. In: taken as it is.
hex    two digits a byte, frames parted by a space, an empty frame is -.
json   an array of frames: a string if the frame is UTF-8, else {"base64": "..."}. What is written can be
       read back without a loss.
raw    the bytes alone, nothing between frames or messages. In: one message.
"""

import base64
import json
import unicodedata
from collections.abc import Sequence

FORMATS = ("text", "hex", "json", "raw")

_BREAKS = {"Cc", "Zl", "Zp"}  # categories of control characters and of line ends


class BadLine(ValueError):
    """A line is not in the format; the text says where."""


def to_line(frames: Sequence[bytes], form: str) -> bytes:
    """One message as its line, newline included; in `raw` as its bytes."""
    if form == "raw":
        return b"".join(frames)
    if form == "hex":
        return " ".join(frame.hex() or "-" for frame in frames).encode() + b"\n"
    if form == "json":
        return json.dumps([_as_json(frame) for frame in frames], ensure_ascii=False).encode() + b"\n"
    return "\t".join(_readable(frame) for frame in frames).encode() + b"\n"


def from_line(line: bytes, form: str, *, split: bool = False) -> list[bytes]:
    """The frames that a line (without its newline) says.

    Shape    split: a tab in `text` parts frames; the other formats say by themselves what a frame is.
    Raises   BadLine  the line is not in the format.
    """
    if form == "hex":
        return [_from_hex(word) for word in line.split()] or [b""]
    if form == "json":
        return _from_json(line)
    return line.split(b"\t") if split and form == "text" else [line]


def _readable(frame: bytes) -> str:
    text = frame.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) in _BREAKS:
        return character.encode("unicode_escape").decode()
    return character


def _as_json(frame: bytes) -> str | dict[str, str]:
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(frame).decode()}


def _from_hex(word: bytes) -> bytes:
    try:
        return b"" if word == b"-" else bytes.fromhex(word.decode("ascii"))
    except ValueError:
        raise BadLine(f"'{_readable(word)}' is not hex") from None


def _from_json(line: bytes) -> list[bytes]:
    try:
        listed = json.loads(line)
    except ValueError:  # of JSON as of Unicode
        raise BadLine(f"'{_readable(line[:60])}' is not JSON") from None
    if not isinstance(listed, list) or not listed:
        raise BadLine(f"'{_readable(line[:60])}' is not an array of frames")
    return [_frame_from_json(each) for each in listed]


def _frame_from_json(given: object) -> bytes:
    try:
        if isinstance(given, str):
            return given.encode()
        if isinstance(given, dict) and list(given) == ["base64"]:
            return base64.b64decode(given["base64"], validate=True)
    except (TypeError, ValueError):
        pass
    raise BadLine(f'{given!r:.60} is no frame: a string or {{"base64": "..."}}')
