"""pyzmq's public surface as data, and how ours compares with it, name by name.

`python -m tools.surface` reads the installed pyzmq and writes `pyzmq-surface.json`: names, kinds, parameters,
values of constants. No text of pyzmq is in it. The comparison needs the data alone, so the page of names and
its test work where pyzmq is not installed.

A public name is one in `__all__`, or one without an underscore that pyzmq itself defined. Of a module that
cannot be imported here the names are read from its source, and nothing is known of their parameters. Private
names are those of PRIVATE.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

DATA = Path(__file__).with_name("pyzmq-surface.json")

CLASSES = ("Context", "Socket", "Frame", "MessageTracker", "Poller", "Stopwatch")

PRIVATE = {
    "": ("_FINISHED_TRACKER",),
    "Context": ("_socket_class", "_sockets", "_shadow", "_add_socket", "_rm_socket", "_repr_cls"),
    "Socket": ("_shadow", "_repr_cls", "_poller_class", "_deserialize"),
}
"""Names with an underscore that subclasses and pyzmq's own modules use."""

SPECIAL = (
    "__init__", "__enter__", "__exit__", "__copy__", "__deepcopy__", "__len__", "__getitem__", "__contains__",
    "__class_getitem__", "__repr__", "__str__", "__bytes__", "__eq__", "__hash__", "__dir__", "__getattr__",
    "__setattr__", "__delattr__", "__del__", "__int__", "__iter__",
)  # fmt: skip
"""Methods of the language that count when a class of pyzmq brings its own."""

SKIPPED_MODULES = {"zmq.tests", "zmq._typing", "zmq.backend.cffi", "zmq.backend.cython"}

Shape = dict[str, Any]


# --- reading an object --------------------------------------------------------------------------------------


def parameters(function: Any) -> list[list[str]] | None:
    """Name, kind and default of each parameter but the first `self`; None if Python cannot tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    empty = inspect.Parameter.empty
    found = [
        [each.name, each.kind.name, "" if each.default is empty else _default(each.default)]
        for each in signature.parameters.values()
    ]
    return found[1:] if found and found[0][0] in {"self", "cls"} else found


def _default(value: Any) -> str:
    """A default as text; a constant of either library is its number."""
    return repr(int(value)) if isinstance(value, enum.Enum) and isinstance(value, int) else repr(value)


def shape(value: Any) -> Shape:
    """What kind of thing a name stands for, and how it is called."""
    if isinstance(value, ModuleType):
        return {"kind": "module"}
    if isinstance(value, type):
        return {"kind": "class"}
    if callable(value) and getattr(value, "__origin__", None) is None:
        return {"kind": "function", "parameters": parameters(value)}
    return {"kind": "value"}


def _own(module: str, value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] == module


def module_names(module: ModuleType) -> list[str]:
    """The public names of a package or module, constants left out."""
    root = module.__name__.partition(".")[0]
    constants = importlib.import_module(f"{root}.constants")
    found = {name for name, value in vars(module).items() if not name.startswith("_") and _own(root, value)}
    found |= set(getattr(module, "__all__", ())) | set(PRIVATE[""])
    return sorted(found - set(constants.__all__))


def class_shapes(cls: type, private: tuple[str, ...] = ()) -> dict[str, Shape]:
    """The members of a class that its package defines."""
    found: dict[str, Shape] = {}
    for name in sorted({*dir(cls), *private}):
        if name.startswith("_") and name not in private and not _brings(cls, name):
            continue
        value = getattr(cls, name, None)
        static = inspect.getattr_static(cls, name, None)
        is_data = not callable(value) or isinstance(static, property) or isinstance(value, type)
        found[name] = {"kind": "attribute"} if is_data else shape(value)
    return found


def _brings(cls: type, name: str) -> bool:
    root = cls.__module__.partition(".")[0]
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == root]
    return name in SPECIAL and any(name in vars(base) for base in bases)


def enum_shapes(constants: ModuleType) -> dict[str, dict[str, list[Any]]]:
    """Every enum class: name of each member and alias -> number and repr."""
    return {
        name: {key: [int(member), repr(member)] for key, member in cls.__members__.items()}
        for name, cls in sorted(vars(constants).items())
        if isinstance(cls, type) and issubclass(cls, enum.IntEnum | enum.IntFlag) and cls.__members__
    }


def source_names(path: Path) -> list[str]:
    """The public names a source file defines at its top level, read without running it."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
                found |= _strings(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return sorted(name for name in found if not name.startswith("_"))


def _strings(node: ast.expr) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def _modules(package: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if not any(name == skipped or name.startswith(f"{skipped}.") for skipped in SKIPPED_MODULES):
            yield name, path


def _imported(name: str) -> ModuleType | None:
    """A module, without what it says of its age; None where what it needs is missing."""
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        return importlib.import_module(name)
    return None


def _core(package: ModuleType) -> set[type]:
    """The classes that are compared by name, and those of the package that they are made of."""
    root = package.__name__
    return {
        base
        for name in CLASSES
        for base in getattr(package, name).__mro__
        if base.__module__.partition(".")[0] == root
    }


def _members(cls: type, core: set[type]) -> dict[str, Shape]:
    """The public members that a class has from its own package, without those of the core."""
    root = cls.__module__.partition(".")[0]
    own = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == root and base not in core]
    names = {name for base in own for name in {*vars(base), *inspect.get_annotations(base)}}
    kept = {name for name in names if not name.startswith("_")} | ({"__init__"} & names)
    said = {name: {"kind": "attribute"} for name in kept}  # of what only instances have, the name is known
    return said | {name: shape for name, shape in class_shapes(cls).items() if name in kept}


def module_shapes(name: str, path: Path, constants: set[str], core: set[type]) -> dict[str, Shape]:
    """The public names of one module, its classes with their members."""
    module = _imported(name)
    if module is None:
        return {each: {"kind": "value"} for each in source_names(path)}
    found = {}
    for each in sorted({*source_names(path), *getattr(module, "__all__", ())} - constants):
        value = getattr(module, each, None)
        found[each] = shape(value)
        if isinstance(value, type) and value.__module__ == name and value not in core:
            found[each]["members"] = _members(value, core)
    return found


def read_pyzmq() -> Shape:
    """The surface of the installed pyzmq. Raises ImportError if there is none."""
    import zmq

    package = Path(zmq.__file__).parent
    constants, core = set(zmq.constants.__all__), _core(zmq)
    modules = {
        name: module_shapes(name, path, constants, core)
        for name, path in _modules(package)
        if name not in {"zmq", "zmq.constants", "zmq.error"}
    }
    return {
        "version": zmq.pyzmq_version(),
        "names": {name: shape(getattr(zmq, name)) for name in module_names(zmq)},
        "classes": {name: class_shapes(getattr(zmq, name), PRIVATE.get(name, ())) for name in CLASSES},
        "errors": {
            name: [base.__name__ for base in cls.__mro__]
            for name, cls in sorted(vars(zmq.error).items())
            if isinstance(cls, type) and issubclass(cls, Exception) and _own("zmq", cls)
        },
        "enums": enum_shapes(zmq.constants),
        "flat": sorted(name for name in zmq.constants.__all__ if isinstance(getattr(zmq, name), int)),
        "modules": dict(sorted(modules.items())),
    }


def load() -> Shape:
    """The committed data."""
    data: Shape = json.loads(DATA.read_text())
    return data


def dump(surface: Shape) -> str:
    """The data as text, one name a line, so that a diff shows names."""
    text = json.dumps(surface, indent=1, sort_keys=True)
    return re.sub(r"\[[^][{}]*\]", lambda parameter: " ".join(parameter[0].split()), text) + "\n"


# --- comparing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """One name: `state` is "same", "differs" or "absent"; `detail` says how the parameters differ."""

    name: str
    state: str
    detail: str = ""


def spelled(found: list[list[str]] | None) -> str:
    """Parameters as a person would write them."""
    if found is None:
        return "(...)"
    marks = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    return f"({', '.join(marks.get(k, '') + name + (f'={d}' if d else '') for name, k, d in found)})"


def takes_all_calls(theirs: list[list[str]] | None, ours: list[list[str]] | None) -> bool:
    """Whether each call that fits `theirs` fits `ours` with the same meaning; more parameters may follow."""
    if theirs is None or ours is None or {kind for _, kind, _ in theirs} == {"VAR_POSITIONAL", "VAR_KEYWORD"}:
        return True
    mine = {name: (place, default) for place, (name, _, default) in enumerate(ours)}
    by_place = [each for each in theirs if each[1].startswith("POSITIONAL")]
    for place, (name, kind, _) in enumerate(by_place):
        if place >= len(ours) or (kind != "POSITIONAL_ONLY" and ours[place][0] != name):
            return False
    named = [each for each in theirs if each[1] != "POSITIONAL_ONLY"]
    if any(name not in mine or mine[name][1] != default for name, _, default in named):
        return False
    known = {name for name, _, _ in named}
    more = [each for each in ours[len(by_place) :] if each[0] not in known]
    return all(default or kind.startswith("VAR") for _, kind, default in more)


def _annotated(holder: Any, name: str) -> bool:
    """Whether a class says that its instances have the attribute."""
    bases = holder.__mro__ if isinstance(holder, type) else ()
    return any(name in inspect.get_annotations(base) for base in bases)


def _compared(name: str, theirs: Shape, holder: Any, key: str) -> Finding:
    if not hasattr(holder, key) and not _annotated(holder, key):
        return Finding(name, "absent")
    # The language calls special methods by place, and only the constructor is called by programs.
    if theirs["kind"] != "function" or (key.startswith("__") and key != "__init__"):
        return Finding(name, "same")
    static = inspect.getattr_static(holder, key)
    function = static.function if hasattr(static, "function") else getattr(holder, key)
    mine = parameters(function)
    if takes_all_calls(theirs["parameters"], mine):
        return Finding(name, "same")
    return Finding(name, "differs", f"`{spelled(mine)}`, pyzmq: `{spelled(theirs['parameters'])}`")


def compare_names(data: Shape, ours: ModuleType) -> list[Finding]:
    """Names of the package itself, constants left out."""
    return [_compared(name, theirs, ours, name) for name, theirs in data["names"].items()]


def compare_class(data: Shape, ours: ModuleType, name: str) -> list[Finding]:
    """The members of one class; all absent if the class is."""
    members = data["classes"][name]
    cls = getattr(ours, name, None)
    if cls is None:
        return [Finding(f"{name}.{member}", "absent") for member in members]
    return [_compared(f"{name}.{member}", theirs, cls, member) for member, theirs in members.items()]


def compare_errors(data: Shape, ours: ModuleType) -> list[Finding]:
    """Exception classes: there, and with the same bases."""
    found = []
    for name, bases in data["errors"].items():
        cls = getattr(ours.error, name, None)
        same = cls is not None and [base.__name__ for base in cls.__mro__] == bases
        found.append(Finding(f"error.{name}", "absent" if cls is None else "same" if same else "differs"))
    return found


def compare_enums(data: Shape, ours: ModuleType) -> list[Finding]:
    """Enum classes with all members, and the flat names beside them."""
    found = []
    mine = enum_shapes(ours.constants)
    for name, members in data["enums"].items():
        wrong = [key for key, value in members.items() if mine.get(name, {}).get(key) != value]
        state = "absent" if name not in mine else "differs" if wrong else "same"
        found.append(Finding(name, state, ", ".join(wrong)))
    missing = [name for name in data["flat"] if not hasattr(ours, name)]
    found.append(Finding("flat names", "differs" if missing else "same", ", ".join(missing)))
    return found


def _compare_module(short: str, names: Shape, mine: ModuleType) -> list[Finding]:
    """The names of one module, and the members of its classes."""
    found = []
    for name, theirs in names.items():
        found.append(_compared(f"{short}.{name}", theirs, mine, name))
        cls = getattr(mine, name, None)
        if cls is not None:
            found += [
                _compared(f"{short}.{name}.{member}", member_shape, cls, member)
                for member, member_shape in theirs.get("members", {}).items()
            ]
    return found


def compare_modules(data: Shape, ours: ModuleType) -> list[Finding]:
    """Every other module, as "module" if it is not there, else as "module.name" and "module.Class.member"."""
    found = []
    for module, names in data["modules"].items():
        short = module.removeprefix("zmq.")
        mine = _imported(f"{ours.__name__}.{short}")
        found += [Finding(short, "absent")] if mine is None else _compare_module(short, names, mine)
    return found


def compare(data: Shape, ours: ModuleType) -> list[Finding]:
    """Every name of pyzmq and what became of it here."""
    return [
        *compare_names(data, ours),
        *(finding for name in data["classes"] for finding in compare_class(data, ours, name)),
        *compare_errors(data, ours),
        *compare_enums(data, ours),
        *compare_modules(data, ours),
    ]


if __name__ == "__main__":
    DATA.write_text(dump(read_pyzmq()))
