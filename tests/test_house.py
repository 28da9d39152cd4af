"""The house: who may import whom, and whether the documentation still speaks of this code.

What a rule allows is a table here; a new arrow, command, layout constant, invariant or decision turns a test
red by itself. Nothing here needs a socket, but for the page that says which types of sockets exist.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DESIGN = DOCS / "design"
NATIVE = ROOT / "native"


def without(text: str, pattern: str) -> str:
    """The text with every match of `pattern` blanked."""
    return re.sub(pattern, "", text, flags=re.MULTILINE | re.DOTALL)


# --- Python: context -> socket -> transports -> _backend -> _native ----------------------------------------

LEAVES = {"constants", "errors", "endpoint", "options", "frame"}
"""Open to every room above them; what they may use themselves stands in the table."""

SUGAR = {
    "context": {"context"}, "frame": {"frame"}, "poll": {"poller"}, "socket": {"socket"},
    "stopwatch": {"stopwatch"}, "tracker": {"frame"}, "version": set(),
}  # fmt: skip

COMMAND = {"commands._failure", "commands._arguments"}
"""Open to every command."""
DEVICES: dict[str, set[str]] = {
    "basedevice": set(),
    "monitoredqueue": set(),
    "proxydevice": {"basedevice"},
    "proxysteerabledevice": {"basedevice", "proxydevice"},
    "monitoredqueuedevice": {"monitoredqueue", "proxydevice"},
}

ARROWS: dict[str, set[str]] = {
    "_native": set(),
    "_backend": {"_native"},
    "constants": set(),
    "errors": {"constants"},
    "error": {"errors"},  # pyzmq's name for the module
    "attributes": set(),  # names for type checkers
    "endpoint": {"errors"},
    "options": {"constants", "errors"},
    "frame": {"_backend", "constants", "errors"},
    "arrays": {"constants", "errors", "frame"},
    "pickles": {"errors"},
    "_snapshot": set(),
    "counters.files": {"_backend", "_snapshot"},
    "counters": {"_snapshot", "counters.files"},
    "counters.rates": {"_snapshot", "counters"},
    "transports.base": {"_backend", *LEAVES},
    "transports.inproc": {"_backend", "transports.base", *LEAVES},
    "transports.given": LEAVES,
    "transports.ipc": {"_backend", "transports.base", "transports.given", *LEAVES},
    "transports.tcp": {"_backend", "transports.base", "transports.given", *LEAVES},
    "transports": {"transports.base", "transports.inproc", "transports.ipc", "transports.tcp", *LEAVES},
    "socket": {"_backend", "arrays", "attributes", "pickles", "transports", "transports.base", *LEAVES},
    "context": {"_backend", "_snapshot", "attributes", "socket", *LEAVES},
    "poller": {"_backend", *LEAVES},
    "forward": {"_backend", "socket"},
    "_waits": {"_backend", "socket", *LEAVES},
    "_future": {"_backend", "_waits", "arrays", "poller", "socket", *LEAVES},
    "asyncio": {"_future", "context"},
    "stopwatch": set(),
    "utils": {"utils.interop", "utils.jsonapi"},
    "utils.monitor": {"constants"},
    **{f"utils.{name}": set() for name in ("garbage", "interop", "jsonapi", "strtypes", "win32", "z85")},
    "": {"_backend", "context", "socket", "poller", "forward", "stopwatch", "error", *LEAVES},  # the package
    # pyzmq's side rooms, under its names; nothing inside imports them
    "sugar": {"", *(f"sugar.{name}" for name in SUGAR)},
    **{f"sugar.{name}": {"", *own} for name, own in SUGAR.items()},
    "backend": {"", "backend.select"},
    "backend.select": set(),
    "demo.messages": set(),
    "demo.progress": set(),
    "demo.corpus": set(),
    "demo.tally": {"demo.progress"},
    "demo.children": {"", "demo.messages", "demo.tally"},
    "demo.crew": {"", "demo.children", "demo.messages", "demo.progress", "demo.tally"},
    "demo.run": {"demo.corpus", "demo.crew", "demo.messages", "demo.progress", "demo.tally"},
    "demo.report": {"demo.run"},
    "demo": {"demo.corpus", "demo.crew", "demo.messages", "demo.run", "demo.tally"},
    "bench.messages": set(),
    "bench.cpus": set(),
    "bench.ends": {"bench.messages"},
    "bench.rivals": {"bench.ends"},
    "bench.worker": {"bench.ends", "bench.messages", "bench.rivals"},
    "bench.pair": {"bench.ends", "bench.messages", "bench.rivals"},
    "bench.figures": {f"bench.{name}" for name in ("cpus", "messages", "pair", "rivals", "worker")},
    "bench.table": {"bench.figures"},
    "bench.plot": {"bench.figures", "bench.table"},
    "bench": {f"bench.{name}" for name in ("cpus", "ends", "messages", "pair", "rivals", "worker")},
    "commands._failure": set(),
    "commands._arguments": set(),
    "commands._formats": set(),
    "commands._events": {"", "utils.monitor"},
    "commands._sockets": {"", "commands._failure"},
    "commands": {"", "commands._failure"},
    "commands.bench": {"bench.figures", "bench.plot", "bench.rivals", "bench.table", *COMMAND},
    "commands.demo": {"demo", "demo.progress", "demo.report", *COMMAND},
    "commands.monitor": {"", "commands._events", "commands._sockets", *COMMAND},
    "commands.proxy": {"", "commands._sockets", *COMMAND},
    "commands.recv": {"", "commands._events", "commands._formats", "commands._sockets", *COMMAND},
    "commands.send": {"", "commands._events", "commands._formats", "commands._sockets", *COMMAND},
    "__main__": {"commands"},
    "decorators": {""},
    "eventloop": set(),
    "eventloop.ioloop": {"eventloop"},
    "eventloop.future": {"_future", "context", "eventloop"},
    "eventloop.zmqstream": {"", "_future", "_waits", "eventloop", "utils", "utils.jsonapi"},
    "green": {"", "green.core", "green.device", "green.poll"},
    "green.waits": LEAVES,
    "green.poll": {"poller", "socket", "green.waits", *LEAVES},
    "green.core": {"_backend", "context", "socket", "green.poll", "green.waits", *LEAVES},
    "green.device": {"green.poll", *LEAVES},
    "green.eventloop": {"eventloop"},
    "green.eventloop.ioloop": {"eventloop.ioloop"},
    "green.eventloop.zmqstream": {"eventloop.zmqstream"},
    "auth": set(),
    "curve_keygen": set(),
    "ssh": {"ssh.tunnel"},
    "ssh.tunnel": {"ssh.forward"},
    "ssh.forward": set(),
    "log": set(),
    "log.handlers": {""},
    "log.__main__": {""},
    "devices": {f"devices.{name}" for name in DEVICES},
    **{f"devices.{name}": {"", *(f"devices.{other}" for other in own)} for name, own in DEVICES.items()},
    "commands._table": set(),
    "commands._looking": {"commands._failure", "counters"},
    "commands.ps": {"commands._looking", "commands._table", "counters", "counters.rates"},
    "commands.stats": {"_snapshot", "commands._failure", "commands._looking", "counters", "counters.rates"},
    "commands._screen": {"commands._table", "counters", "counters.rates"},
    "commands.top": {"commands._screen", "counters", "counters.rates", *COMMAND},
    "commands.clean": {"commands._failure", "counters", "transports.ipc"},
    "run_as_zmq": set(),
}

UPWARDS = {("socket", "context"): {"Context", "_flush_in_children"}}
"""The arrows that point up, with all that may pass through them. None may be added without a reason here:
a socket made in a `multiprocessing` child is the moment to register the child's flush, and a context learns
the class of its sockets from the room that has it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "shmzmq").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def package_modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted((ROOT / "shmzmq").rglob("*.py"))}


def absolute(node: ast.ImportFrom, importer: str, is_package: bool) -> str:
    """The full name of the module that a `from` statement of `importer` names."""
    if not node.level:
        return node.module or ""
    package = ["shmzmq", *importer.split(".")] if importer else ["shmzmq"]
    climb = node.level - (1 if is_package else 0)
    return ".".join([*package[: len(package) - climb], *([node.module] if node.module else [])])


def imports(path: Path, importer: str = "") -> Iterator[tuple[str, str]]:
    """Every (module, name) that a file imports, at its top or inside; `name` is "" for a whole module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, importer, path.name == "__init__.py")
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                if whole.removeprefix("shmzmq.") in ARROWS and whole.startswith("shmzmq."):
                    yield whole, ""
                else:
                    yield module, alias.name


def arrows() -> dict[tuple[str, str], set[str]]:
    """(importer, imported) -> the names that pass, for all modules of the package."""
    found: dict[tuple[str, str], set[str]] = {}
    for importer, path in package_modules().items():
        for module, name in imports(path, importer):
            if module == "shmzmq" or module.startswith("shmzmq."):
                target = module.removeprefix("shmzmq").removeprefix(".")
                found.setdefault((importer, target), set()).add(name)
    return found


def test_every_module_of_the_package_is_in_the_table():
    assert set(package_modules()) | {"_native"} == set(ARROWS)


def test_modules_import_only_what_the_table_allows():
    new = {
        f"{importer or 'shmzmq'} -> {target or 'shmzmq'}": names
        for (importer, target), names in arrows().items()
        if target not in ARROWS[importer] and not names <= UPWARDS.get((importer, target), set())
    }
    assert new == {}


def test_table_of_imports_has_no_circle():
    order = list(TopologicalSorter(ARROWS).static_order())
    chain = ["_native", "_backend", "transports", "socket", "context"]
    assert [name for name in order if name in chain] == chain


def test_only_the_backend_imports_the_native_module():
    """Tests, examples and benchmarks included."""
    folders = ("shmzmq", "tests", "examples", "benchmarks")
    importers = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if any("_native" in f"{module}.{name}".split(".") for module, name in imports(path, "x"))
    ]
    assert importers == ["shmzmq/_backend.py"]


BESIDE_THE_PACKAGE = "_shmzmq_as_zmq"
"""A module of ours that is imported without the package; it imports nothing itself when Python starts."""

NOT_AT_RUN_TIME = {"typing_extensions", "annotationlib"}
"""The first is for type checkers, which bring it; the second is Python 3.14's, and asked for there."""


def test_package_imports_nothing_that_is_not_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *project["optional-dependencies"]["tools"],
        *project["optional-dependencies"]["cli"],
        *project["optional-dependencies"]["arrays"],
        *project["optional-dependencies"]["tornado"],
        *project["optional-dependencies"]["gevent"],
        *project["optional-dependencies"]["ssh"],
    ]
    allowed = {
        "shmzmq",
        BESIDE_THE_PACKAGE,
        *NOT_AT_RUN_TIME,
        *sys.stdlib_module_names,
        *(re.split(r"[^\w]", name)[0] for name in declared),
    }
    used = {
        module.split(".")[0]
        for name, path in package_modules().items()
        for module, _ in imports(path, name)
        if module
    }
    assert used - allowed == set()


# --- Rust: python -> core -> {shm, zmtp} -------------------------------------------------------------------

CRATES: dict[str, set[str]] = {
    "shm": set(),
    "zmtp": set(),
    "core": {"shm", "zmtp"},
    "python": {"core", "shm"},
    "fuzz": {"core", "zmtp"},  # above all of them, and no part of the product
}

PAST_CORE = {
    "shmzmq_shm::ring::Part",
    "shmzmq_shm::layout::ABI",
    "shmzmq_shm::arena",
    "shmzmq_shm::budget::max",
    "shmzmq_shm::budget::set_max",
    "shmzmq_shm::budget::used",
    "shmzmq_shm::huge",
}
"""All that `python` may take from `shm` without a detour: what a frame to send is, a version number, the
block that a program fills, how much shared memory the process may have, and huge pages."""
OF_ARENA = {"Block", "Usage"}


def rust_code(folder: Path) -> str:
    """The code of a folder's Rust files, comments left out."""
    return "\n".join(without(path.read_text(), r"//[^\n]*") for path in sorted(folder.rglob("*.rs")))


def manifest(crate: str) -> dict:
    return tomllib.loads((NATIVE / crate / "Cargo.toml").read_text())


def test_every_crate_is_in_the_table():
    assert {path.parent.name for path in NATIVE.glob("*/Cargo.toml")} == set(CRATES)


@pytest.mark.parametrize("crate", sorted(CRATES))
def test_crate_depends_only_on_the_crates_below_it(crate):
    declared = {name for name in manifest(crate)["dependencies"] if name.startswith("shmzmq-")}
    used = set(re.findall(r"\bshmzmq_(\w+)", rust_code(NATIVE / crate))) - {crate}
    assert declared == {f"shmzmq-{name}" for name in CRATES[crate]}
    assert used <= CRATES[crate]


def test_python_crate_takes_from_shm_what_is_listed_and_no_more():
    code = rust_code(NATIVE / "python")
    assert set(re.findall(r"\bshmzmq_shm[\w:{*]*", code)) == PAST_CORE
    assert set(re.findall(r"(?<!shm::)\barena::(\w+)", code)) == OF_ARENA


@pytest.mark.parametrize("crate", sorted(CRATES))
def test_only_the_python_crate_names_pyo3(crate):
    names = "pyo3" in rust_code(NATIVE / crate) or "pyo3" in manifest(crate)["dependencies"]
    assert names == (crate == "python")


@pytest.mark.parametrize(
    ("crate", "foreign"),
    [
        ("zmtp", r"\bunsafe\b(?!_)|std::(?:fs|io|net|os|process|sync|thread|time)\b"),
        ("shm", r"std::(?:net|process|thread|time)\b|rustix::(?:net|event)\b"),
    ],
    ids=["zmtp", "shm"],
)
def test_lower_crates_keep_to_themselves(crate, foreign):
    """zmtp: no I/O, no clock, no thread, nothing unsafe. shm: no socket, no thread, no clock to wait by."""
    assert re.findall(foreign, rust_code(NATIVE / crate / "src")) == []


# --- links -------------------------------------------------------------------------------------------------

PAGES = sorted({*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("*/README.md")})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return without(page.read_text(), r"^```.*?^```$")


def anchors(page: Path) -> set[str]:
    """What links to a page may name behind #: its headings, as GitHub and most generators spell them."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each link of a page to a file: as written, the file, the anchor."""
    for target in LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            yield target, (page.parent / name).resolve() if name else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    dead = [
        target
        for target, file, anchor in links(page)
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file))
    ]
    assert dead == []


def test_index_names_every_page():
    index = DOCS / "index.md"
    named = {file for _, file, _ in links(index)} | {index}
    assert [str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md")) if page not in named] == []


# --- decisions ---------------------------------------------------------------------------------------------


def decisions() -> list[Path]:
    return sorted(path for path in (DESIGN / "decisions").iterdir() if path.name != "README.md")


def sources() -> Iterator[Path]:
    """Every file that may cite a number: code, manifests, pages."""
    yield from NATIVE.rglob("*.rs")
    yield from (
        path for folder in ("shmzmq", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    )
    yield from (ROOT / "Cargo.toml", ROOT / "pyproject.toml", *PAGES)


def test_decisions_are_numbered_without_gaps():
    names = [path.name for path in decisions()]
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names), names
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_every_decision_begins_with_its_number():
    assert [path.name for path in decisions() if not path.read_text().startswith(f"# {path.name[:4]} ")] == []


def test_every_cited_decision_exists():
    there = {path.name[:4] for path in decisions()}
    cited = {
        (str(path.relative_to(ROOT)), number)
        for path in sources()
        for number in re.findall(r"decisions/(\d{4})", path.read_text())
    }
    assert sorted(where for where in cited if where[1] not in there) == []


# --- numbers: R-, Y-, A-, S-, L-, K- live in the code, C- in crash-points.md ------------------------------

NUMBER = re.compile(r"\b([A-Z])-(\d+)\b")
KINDS = "RYASLKC"


def numbers(text: str) -> set[str]:
    return {f"{kind}-{number}" for kind, number in NUMBER.findall(text) if kind in KINDS}


def rows(page: Path) -> list[str]:
    """The numbers that a page defines: first cells of its tables."""
    return re.findall(r"^\| ([A-Z]-\d+) \|", page.read_text(), re.MULTILINE)


def numbers_of_the_code() -> set[str]:
    texts = [path.read_text() for path in NATIVE.rglob("*.rs")]
    return set().union(*(numbers(text) for text in texts))


def test_every_invariant_of_the_code_has_a_row_and_every_row_is_in_the_code():
    code = {number for number in numbers_of_the_code() if not number.startswith("C")}
    assert sorted(rows(DESIGN / "invariants.md")) == sorted(code)


def test_crash_points_are_numbered_without_gaps():
    found = rows(DESIGN / "crash-points.md")
    assert found == [f"C-{number}" for number in range(1, len(found) + 1)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_number_that_a_page_cites_is_defined(page):
    defined = numbers_of_the_code() | set(rows(DESIGN / "crash-points.md"))
    assert numbers(page.read_text()) - defined == set()


def test_every_crash_point_that_the_code_cites_is_on_the_page():
    cited = {number for path in sources() for number in numbers(path.read_text()) if path.suffix != ".md"}
    crash = {number for number in cited if number.startswith("C")}
    assert crash - set(rows(DESIGN / "crash-points.md")) == set()


# --- tests that pages cite ---------------------------------------------------------------------------------

CITED = re.compile(r"`([\w./-]+\.(?:rs|py))::(\w+)`")
FILE = re.compile(r"`((?:native|shmzmq|tests|benchmarks|examples|docs)/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_tests_that_a_page_cites_exist(page):
    text = page.read_text()
    gone = [name for name in FILE.findall(text) if not (ROOT / name).exists()]
    for name, function in CITED.findall(text):
        path = ROOT / name
        code = path.read_text() if path.is_file() else ""
        if not re.search(rf"^\s*(?:def|fn) {function}\b", code, re.MULTILINE):
            gone.append(f"{name}::{function}")
    assert gone == []


# --- what pages say of layout, handshake and migration -----------------------------------------------------


def layout() -> dict[str, int | list[int]]:
    """Every constant of layout.rs by name; its expressions happen to be Python's too."""
    code = without((NATIVE / "shm" / "src" / "layout.rs").read_text(), r"//[^\n]*")
    found: dict[str, int | list[int]] = {}
    for name, expression in re.findall(r"pub const (\w+): [^=]+ = ([^;]+);", code):
        plain = re.sub(r"(?<=[0-9a-f])_(?=[0-9a-f])", "", expression)
        found[name] = eval(plain, {"__builtins__": {}}, dict(found))
    return found


def test_layout_page_has_the_values_of_the_code():
    page = (DESIGN / "shm-layout.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| ([0-9][^|]*) \|", page, re.MULTILINE)
    written = {name: [int(number, 0) for number in values.split(",")] for name, values in table}
    real = {name: value if isinstance(value, list) else [value] for name, value in layout().items()}
    assert written == {name: value for name, value in real.items() if name in written}
    assert set(real) - set(written) == {"RECORD_FLAGS"}  # the sum of the others


def test_handshake_page_has_every_command():
    code = (NATIVE / "core" / "src" / "handshake.rs").read_text()
    commands = set(re.findall(r'pub const \w+: &str = "(SHM-\w+)"', code))
    table = re.findall(r"^\| `(SHM-\w+)` \|", (DESIGN / "ipc-handshake.md").read_text(), re.MULTILINE)
    assert commands == set(table)


@pytest.mark.parametrize("name", ["ipc-handshake.md", "shm-layout.md", "crash-points.md"])
def test_texts_that_a_page_quotes_are_in_the_code(name):
    """Quoted in a table, `…` standing for an operand."""
    code = "\n".join(path.read_text() for crate in CRATES for path in (NATIVE / crate / "src").rglob("*.rs"))
    lines = [line for line in (DESIGN / name).read_text().splitlines() if line.startswith("|")]
    quoted = [text for line in lines for text in re.findall(r'"([^"|]+)"', line)]
    assert quoted
    strange = [text for text in quoted if any(part.strip() not in code for part in text.split("…"))]
    assert strange == []


def migration_table(heading: str) -> dict[str, str]:
    """First and second cell of each row of the table under a heading cell."""
    text = (DOCS / "migrating-from-pyzmq.md").read_text()
    table = re.search(rf"^\| {heading} \|[^\n]*\n\|[-|]+\|\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    assert table, f"no table under {heading!r}"
    return dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+) \|", table[1], re.MULTILINE))


@pytest.mark.shmzmq_only("the page is about shmzmq")
def test_migration_page_tells_which_socket_types_exist(zmq, ctx):
    def exists(name: str) -> bool:
        try:
            ctx.socket(getattr(zmq, name)).close()
        except zmq.ZMQError:
            return False
        return True

    table = migration_table("type")
    assert {name: exists(name) for name in table} == {name: said == "yes" for name, said in table.items()}
    assert {kind.name for kind in zmq.SocketType if exists(kind.name)} <= set(table)


@pytest.mark.shmzmq_only("the page is about shmzmq")
def test_migration_page_tells_what_is_missing(zmq):
    def exists(name: str) -> bool:
        holder, _, name = name.rpartition(".")
        if holder:
            return hasattr(getattr(zmq, holder), name)
        if hasattr(zmq, name):
            return True
        with suppress(ImportError):
            import_module(f"shmzmq.{name}")
            return True
        return False

    assert [name for name in migration_table("name") if exists(name)] == []


def test_migration_page_tells_what_options_do_until_they_are_built():
    from shmzmq.options import CONTEXT_OPTIONS, SOCKET_OPTIONS

    known = {row.name: row.meanwhile for row in (*CONTEXT_OPTIONS, *SOCKET_OPTIONS)}
    table = migration_table("option")
    assert table == {name: known[name] for name in table}
