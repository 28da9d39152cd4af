"""Which files are counted. This file knows paths and no words."""

import os
import stat
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


class CorpusError(ValueError):
    """The given paths are no corpus: name other ones. Nothing was started."""


def find_files(paths: Sequence[str | Path] = ()) -> list[Path]:
    """List the files of a corpus in a stable order.

    Shape    paths: files, or directories of which every regular file counts, hidden ones aside;
             none at all means the .py files of this Python's standard library.
    Raises   CorpusError   a path does not exist, is no file or directory, or there are no files.
    """
    files = [file for path in paths for file in _files_at(path)] if paths else _standard_library()
    if not files:
        where = ", ".join(repr(str(path)) for path in paths) or "the standard library of this Python"
        raise CorpusError(f"no files found in {where}")
    return files


def _files_at(given: str | Path) -> list[Path]:
    path = Path(given)
    try:
        mode = os.stat(given).st_mode  # not path.stat(): Path("") is the current directory
    except (OSError, ValueError) as error:  # ValueError: a NUL within the name
        reason = getattr(error, "strerror", None) or str(error)
        raise CorpusError(f"cannot use {str(given)!r}: {reason}") from error
    if stat.S_ISDIR(mode):
        return list(_walk(path, lambda name: not name.startswith(".")))
    if stat.S_ISREG(mode):
        return [path]
    raise CorpusError(f"cannot use {str(given)!r}: neither a regular file nor a directory")


def _walk(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Regular files below root in sorted order; a pipe or device would make the reader wait for ever."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(filter(wanted, folders))
        for name in sorted(filter(wanted, names)):
            if (file := Path(folder, name)).is_file():
                yield file


def _standard_library() -> list[Path]:
    # Installed packages live below the standard library but are no part of it.
    foreign = {"site-packages", "dist-packages", "__pycache__"}
    root = Path(sysconfig.get_path("stdlib"))
    return [file for file in _walk(root, lambda name: name not in foreign) if file.suffix == ".py"]
