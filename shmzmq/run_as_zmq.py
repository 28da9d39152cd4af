"""`python -m shmzmq.run_as_zmq`: run a program for which `zmq` means shmzmq.

Knows    how Python starts a script and a module, and where console scripts lie.
Refuses  to know sockets: the program gets the name and runs as it would without us, as `__main__`, with its
         own `sys.argv` and `sys.path[0]`, so that what it pickles and its children find it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import NoReturn

from _shmzmq_as_zmq import children_miss_it, install

USAGE = """\
usage: python -m shmzmq.run_as_zmq SCRIPT [ARGS...]
       python -m shmzmq.run_as_zmq -m MODULE [ARGS...]
       python -m shmzmq.run_as_zmq -- CONSOLE-SCRIPT [ARGS...]

Runs a Python program for which `import zmq` means shmzmq, and so do its children.
With SHMZMQ_AS_ZMQ=0 in the environment it runs with pyzmq, without a change of the command.
"""


def main(argv: list[str]) -> None:
    """Run the program that the arguments name, as `__main__` of this process.

    Raises   SystemExit  0 after --help, 2 wrong usage or nothing to run; and whatever the program raises.
    """
    if argv[:1] in (["-h"], ["--help"]):
        print(USAGE, end="")
        raise SystemExit(0)
    by, name, args = _read(argv)
    if not install():
        _say("SHMZMQ_AS_ZMQ=0, so zmq is pyzmq")
    elif why := children_miss_it():
        _say(f"zmq is shmzmq in this process only: {why}")
    if by == "-m":
        _run_module(name, args)
    else:
        _run_script(_console_script(name) if by == "--" else name, args)


def _read(argv: list[str]) -> tuple[str, str, list[str]]:
    """How the program is named ("-m", "--" or "" for a file), its name, its arguments."""
    by = argv[0] if argv and argv[0] in {"-m", "--"} else ""
    rest = argv[1:] if by else argv
    if not rest or (not by and rest[0].startswith("-")):
        sys.stderr.write(USAGE)
        raise SystemExit(2)
    return by, rest[0], rest[1:]


def _refuse(text: str) -> NoReturn:
    _say(text)
    raise SystemExit(2)


def _say(text: str) -> None:
    print(f"shmzmq.run_as_zmq: {text}", file=sys.stderr)


def _console_script(name: str) -> str:
    """The file of an installed command: beside this interpreter first, then in PATH."""
    from shutil import which

    path = which(name, path=os.path.dirname(sys.executable)) or which(name)
    if path is None:
        _refuse(f"there is no command {name!r} beside {sys.executable} or in PATH")
    return path


def _run_script(path: str, args: list[str]) -> None:
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        sys.path[0:1] = [path]  # as Python does: a folder or an archive with a __main__.py
        _run_module("__main__", args, path)
        return
    loader = SourceFileLoader("__main__", path)
    try:
        code = loader.source_to_code(loader.get_data(path), path)
    except OSError as error:
        _refuse(f"cannot read {path}: {error.strerror}")
    except (SyntaxError, ValueError) as error:
        _refuse(
            f"{path} is no Python program ({error}); for others, set SHMZMQ_AS_ZMQ=1 in their environment"
        )
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    _become(code, [path, *args], {"__file__": path, "__loader__": loader, "__package__": None})


def _run_module(name: str, args: list[str], argv0: str | None = None) -> None:
    try:
        spec = _runnable(name)
    except ImportError as error:
        _refuse(str(error))
    code = spec.loader.get_code(spec.name) if spec.loader else None  # type: ignore[attr-defined]
    if code is None:
        _refuse(f"there is no code in {spec.name}")
    names: dict[str, object] = {
        "__file__": spec.origin,
        "__loader__": spec.loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }
    _become(code, [argv0 or str(spec.origin), *args], names)


def _runnable(name: str) -> ModuleSpec:
    """The spec of the module, of its `__main__` if it is a package."""
    if name == "__main__":
        # This file is `__main__` itself until the program takes its place.
        spec = importlib.machinery.PathFinder.find_spec(name, sys.path[:1])
    else:
        spec = importlib.util.find_spec(name)
    if spec is None:
        raise ImportError(f"there is no module {name!r}")
    if spec.submodule_search_locations is not None:
        return _runnable(f"{name}.__main__")
    return spec


def _become(code: CodeType, argv: list[str], names: dict[str, object]) -> None:
    """Run the code in a `__main__` that stays: threads and exit functions look into it later."""
    main_module = ModuleType("__main__")
    main_module.__dict__.update({"__builtins__": __builtins__, **names})
    sys.modules["__main__"] = main_module
    sys.argv[:] = argv
    exec(code, main_module.__dict__)


if __name__ == "__main__":
    main(sys.argv[1:])
