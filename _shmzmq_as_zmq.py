"""The name `zmq` for shmzmq: a finder that gives out shmzmq's own modules under pyzmq's names.

Knows    the variable SHMZMQ_AS_ZMQ, how a name of pyzmq becomes one of shmzmq, and what speaks against it.
Refuses  to import shmzmq, or anything that costs time, before somebody imports `zmq`: `start` runs at the
         beginning of every Python process that has the variable, most of which never need a socket. That is
         why this file lies beside the package and not in it.

Theory of operation. `shmzmq_as_zmq.pth` (Python 3.15 and later: `shmzmq_as_zmq.start`, PEP 829) lies in
site-packages and calls `start` when the interpreter starts. With SHMZMQ_AS_ZMQ=1 that puts FINDER in front of
`sys.meta_path`; `install` does the same in a process that runs already, and sets the variable for its
children. `import zmq.x` then asks FINDER before any other finder, and what it gives is the module `shmzmq.x`
itself: one object under two names, never a second copy. A name that shmzmq does not have stays unknown, also
if pyzmq is installed and has it, since half of pyzmq beside shmzmq would be two libraries in one name.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's own costs more to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from importlib.metadata import Distribution, DistributionFinder
    from types import CodeType, ModuleType

VARIABLE = "SHMZMQ_AS_ZMQ"
OURS, THEIRS = "shmzmq", "zmq"


def start() -> None:
    """What the start of Python calls: install if the environment asks for it."""
    asked = os.environ.get(VARIABLE, "")
    if asked == "1":
        install()
    elif asked not in {"", "0"}:
        sys.stderr.write(f"{VARIABLE}={asked!r} is ignored: 1 makes `import zmq` mean shmzmq, 0 forbids it\n")


def install(*, children: bool = True) -> bool:
    """Make `zmq` mean shmzmq in this process; `shmzmq.install_as_zmq` says what there is to say of it."""
    if os.environ.get(VARIABLE) == "0":
        return False
    theirs = _pyzmq_here()
    if theirs is not None:
        raise RuntimeError(
            f"zmq is pyzmq in this process already ({theirs}): call shmzmq.install_as_zmq() before the first "
            f"`import zmq`, or start Python with {VARIABLE}=1"
        )
    if FINDER in sys.meta_path:
        sys.meta_path.remove(FINDER)
    sys.meta_path.insert(0, FINDER)  # in front also of what came since
    if children:
        os.environ[VARIABLE] = "1"
    return True


def _pyzmq_here() -> str | None:
    """Where pyzmq was imported from, if it was."""
    names = [name for name in list(sys.modules) if name.startswith(THEIRS + ".")]
    for name in (THEIRS, *names):
        module = sys.modules.get(name)
        if module is not None and module is not sys.modules.get(OURS + name.removeprefix(THEIRS)):
            return str(getattr(module, "__file__", None) or name)
    return None


def children_miss_it() -> str | None:
    """Why children of this process would not start with the alias; None if they would."""
    forkserver = sys.modules.get("multiprocessing.forkserver")
    if forkserver is not None and forkserver._forkserver._forkserver_pid is not None:
        return "the fork server of multiprocessing runs already, and its children will not have it"
    if sys.flags.no_site:
        return "Python runs with -S, and children will not read shmzmq_as_zmq.pth"
    import site

    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    if not any(os.path.exists(os.path.join(folder, "shmzmq_as_zmq.pth")) for folder in folders):
        return "shmzmq_as_zmq.pth is in no site-packages of this Python, so children will not read it"
    return None


class AliasLoader:
    """Loads `zmq.x` by importing `shmzmq.x`."""

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module of shmzmq, with whatever it already holds."""
        from importlib import import_module

        module = import_module(self._real.name)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It was executed when it was imported; the import system has put our spec in place of its own."""
        module.__spec__ = self._own

    def get_code(self, name: str) -> CodeType | None:
        """For `python -m zmq.x`."""
        return self._real.loader.get_code(self._real.name)  # type: ignore[union-attr,no-any-return]


class AliasFinder:
    """Finds `zmq` and everything below it in shmzmq, and pyzmq's version for those who ask for it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec under pyzmq's name, or None for what is not below it or not in shmzmq."""
        if name != THEIRS and not name.startswith(THEIRS + "."):
            return None
        from importlib.machinery import ModuleSpec
        from importlib.util import find_spec

        real = find_spec(OURS + name.removeprefix(THEIRS))
        if real is None:
            if name == THEIRS:
                raise ModuleNotFoundError(
                    f"zmq is to be shmzmq here ({VARIABLE}=1), but there is no shmzmq in sys.path", name=name
                )
            return None
        spec = ModuleSpec(name, AliasLoader(real), origin=real.origin)  # type: ignore[arg-type]
        spec.submodule_search_locations = real.submodule_search_locations
        spec.has_location = real.has_location
        return spec

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """What `importlib.metadata` asks: pyzmq, if asked for by name and not installed.

        Who lists everything, as pip does, is told nothing: no such distribution lies on the disk.
        """
        if context.name is None or context.name.lower() != "pyzmq" or _installed(self, context):
            return ()
        from importlib.metadata import Distribution

        class StandIn(Distribution):
            """pyzmq's version, in whose place shmzmq stands."""

            def read_text(self, filename: str) -> str | None:
                from shmzmq import pyzmq_version

                if filename != "METADATA":
                    return None
                return f"Metadata-Version: 2.1\nName: pyzmq\nVersion: {pyzmq_version()}\nSummary: shmzmq\n"

            def locate_file(self, path: str | os.PathLike[str]) -> os.PathLike[str]:  # type: ignore[override]
                from pathlib import Path

                return Path(__file__).parent / path

        return (StandIn(),)


def _installed(finder: AliasFinder, context: DistributionFinder.Context) -> bool:
    """True if any other finder knows the distribution."""
    others = (getattr(each, "find_distributions", None) for each in sys.meta_path if each is not finder)
    return any(True for find in others if find is not None for _ in find(context))


FINDER = AliasFinder()
