"""What was counted, and the plain count without a message. This file knows files and no processes."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from shmzmq.demo.progress import Progress

# A file with a NUL among its first bytes is no text; this many are looked at before the rest is read.
SNIFF_BYTES = 8192

_WORD = re.compile(r"[^\W\d_]+")


def count_words(text: str) -> Counter[str]:
    """Count the words of a text: runs of letters of any script, in lower case."""
    return Counter(_WORD.findall(text.lower()))


@dataclass
class Tally:
    """What was counted: in one batch, in a whole corpus, with messages or without.

    Two tallies of the same files are equal, however the files were divided. `size` is in bytes; files that
    were skipped, as unreadable or as no text, are in neither `files` nor `size`.
    """

    words: Counter[str] = field(default_factory=Counter)
    files: int = 0
    size: int = 0
    unreadable: int = 0
    not_text: int = 0

    @property
    def done(self) -> int:
        """Files dealt with, counted or skipped."""
        return self.files + self.unreadable + self.not_text

    def add_file(self, content: bytes) -> None:
        """Count one file; what is not UTF-8 is no text and skipped."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            self.not_text += 1
            return
        self.words.update(count_words(text))
        self.files += 1
        self.size += len(content)

    def read_file(self, path: Path) -> bytes | None:
        """The file's bytes, or None when it was skipped: it cannot be read, or begins like a binary."""
        try:
            with path.open("rb", buffering=0) as file:
                head = file.read(SNIFF_BYTES)
                if b"\0" not in head:
                    return head + file.readall()
        except OSError:
            self.unreadable += 1
        else:
            self.not_text += 1
        return None

    def add(self, other: "Tally") -> None:
        """Add what another tally counted."""
        self.words.update(other.words)
        self.files += other.files
        self.size += other.size
        self.unreadable += other.unreadable
        self.not_text += other.not_text

    def pack(self) -> bytes:
        """As one frame. JSON, because reading it runs nobody's code."""
        return json.dumps(vars(self)).encode()

    @classmethod
    def unpack(cls, frame: bytes) -> Self:
        """From what pack() made."""
        fields: dict[str, Any] = json.loads(frame)
        return cls(words=Counter(fields.pop("words")), **fields)

    def differences(self, other: "Tally", limit: int = 5) -> list[str]:
        """Say in words where the other tally differs, at most `limit` words of the corpus among it."""
        found = [
            f"{name}: {getattr(self, name):,} against {getattr(other, name):,}"
            for name in ("files", "size", "unreadable", "not_text")
            if getattr(self, name) != getattr(other, name)
        ]
        unequal = sorted(w for w in self.words.keys() | other.words.keys() if self.words[w] != other.words[w])
        found += [f"word {w!r}: {self.words[w]:,} against {other.words[w]:,}" for w in unequal[:limit]]
        if len(unequal) > limit:
            found.append(f"and {len(unequal) - limit:,} more words")
        return found


def plain_count(files: Sequence[Path], progress: Progress | None = None) -> Tally:
    """Count the same files in this one process, without a message: what the demo is checked against."""
    tally = Tally()
    for file in files:
        content = tally.read_file(file)
        if content is not None:
            tally.add_file(content)
        if progress:
            progress("checking", tally.done, len(files))
    return tally
