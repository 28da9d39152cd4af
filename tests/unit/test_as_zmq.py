"""The name `zmq` for shmzmq: in a process, in its children, and at the start of Python.

Knows    how to make two environments, one without pyzmq and one where it lies and must not be touched.
Refuses  to install the alias in the process of the tests, which has pyzmq as its oracle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

import shmzmq

pytestmark = pytest.mark.slow

CAP_SECONDS = 30
HOME = Path(shmzmq.__file__).parents[1]
HOOKS = ("shmzmq_as_zmq.pth", "shmzmq_as_zmq.start")


class Place:
    """An environment with shmzmq in it; programs are run in it, never imported."""

    def __init__(self, folder: Path, pyzmq: Path | None) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.python = folder / "bin" / "python"
        (self.packages,) = (folder / "lib").glob("python*/site-packages")
        for name in ("shmzmq", "_shmzmq_as_zmq.py"):
            (self.packages / name).symlink_to(HOME / name)
        for name in HOOKS:
            tree = HOME / "startup" / "platlib" / name
            (self.packages / name).symlink_to(tree if tree.exists() else HOME / name)
        if pyzmq is not None:
            for path in (pyzmq, *pyzmq.parent.glob("pyzmq*")):
                (self.packages / path.name).symlink_to(path)
        self.folder = folder
        self.has_pyzmq = pyzmq is not None

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments; the environment is ours without what concerns modules."""
        inherited = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "SHMZMQ_AS_ZMQ"}}
        return subprocess.run(
            [self.python, *arguments],
            env={**inherited, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=CAP_SECONDS,
            check=False,
        )

    def tell(self, *arguments: str, **environment: str) -> str:
        """What a program prints that ends well and says nothing on stderr."""
        done = self.run(*arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return str(path)


def pyzmq_folder() -> Path | None:
    spec = find_spec("zmq")
    return Path(spec.origin).parent if spec and spec.origin else None


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment without pyzmq."""
    return Place(tmp_path_factory.mktemp("bare"), None)


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """An environment where pyzmq is installed too."""
    pyzmq = pyzmq_folder()
    if pyzmq is None:
        pytest.skip("pyzmq is not installed")
    return Place(tmp_path_factory.mktemp("beside"), pyzmq)


@pytest.fixture(params=["bare", "beside"])
def place(request):
    """The test runs without pyzmq, and with a pyzmq that nobody may import."""
    return request.getfixturevalue(request.param)


# --- programs ----------------------------------------------------------------------------------------------

INNOCENT = """
    # It has never heard of shmzmq.
    import json, sys, tempfile
    import zmq, zmq.asyncio, zmq.constants, zmq.error, zmq.utils.monitor

    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        with context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
            pull.bind(f"ipc://{folder}/x")
            push.connect(f"ipc://{folder}/x")
            push.send(b"hello")
            said = pull.recv().decode()
            try:
                pull.recv(zmq.DONTWAIT)
            except zmq.error.Again:
                said += " again"
    foreign = [
        name
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "zmq" and not module.__name__.startswith("shmzmq")
    ]
    libzmq = "libzmq" in open("/proc/self/maps").read()
    print(json.dumps([said, zmq.__name__, foreign, libzmq, sys.argv[1:]]))
"""


def expect_shmzmq(told: str, *arguments: str) -> None:
    assert json.loads(told) == ["hello again", "shmzmq", [], False, list(arguments)]


FAMILY = """
    # Asks children of every kind what `zmq` is for them.
    import json, multiprocessing, subprocess, sys

    def name_in_child():
        import zmq
        return zmq.__name__

    def name_in_subprocess():
        return subprocess.run(
            [sys.executable, "-c", "import zmq; print(zmq.__name__)"], capture_output=True, text=True
        ).stdout.strip()

    def main():
        names = {}
        for method in ("spawn", "forkserver", "fork"):
            with multiprocessing.get_context(method).Pool(1) as pool:
                names[method] = pool.apply(name_in_child)
                names[method + ", subprocess"] = pool.apply(name_in_subprocess)
        print(json.dumps(names))
"""
BEGIN = """
    if __name__ == "__main__":
        main()
"""
BEGIN_INSTALLED = """
    if __name__ == "__main__":
        import shmzmq
        shmzmq.install_as_zmq()
        main()
"""
KINDS = [kind + more for kind in ("spawn", "forkserver", "fork") for more in ("", ", subprocess")]


# --- the ways to ask for it --------------------------------------------------------------------------------


def test_variable_alone_makes_zmq_mean_shmzmq(place):
    expect_shmzmq(place.tell(place.write("program.py", INNOCENT), "a", SHMZMQ_AS_ZMQ="1"), "a")


def test_variable_counts_in_isolated_mode(place):
    expect_shmzmq(place.tell("-I", place.write("program.py", INNOCENT), SHMZMQ_AS_ZMQ="1"))


def test_variable_does_not_count_without_site(place):
    """`-S` leaves site-packages out altogether, shmzmq included: the documented limit."""
    done = place.run("-S", place.write("program.py", INNOCENT), SHMZMQ_AS_ZMQ="1")
    assert "No module named 'zmq'" in done.stderr


def test_call_makes_zmq_mean_shmzmq(place):
    program = place.write("program.py", INNOCENT)
    call = f"import runpy, shmzmq; assert shmzmq.install_as_zmq(); runpy.run_path({program!r})"
    expect_shmzmq(place.tell("-c", call))


def test_script_runs_as_zmq(place):
    program = place.write("program.py", INNOCENT)
    expect_shmzmq(place.tell("-m", "shmzmq.run_as_zmq", program, "-m", "x"), "-m", "x")


def test_module_runs_as_zmq(place):
    place.write("program.py", INNOCENT)
    expect_shmzmq(place.tell("-m", "shmzmq.run_as_zmq", "-m", "program", "--", "y"), "--", "y")


def test_console_script_runs_as_zmq(place):
    """The script beside the interpreter, as pip writes it."""
    script = place.python.parent / "innocent"
    place.write("bin/innocent", f"#!{place.python}\n{textwrap.dedent(INNOCENT)}")
    script.chmod(0o755)
    expect_shmzmq(place.tell("-m", "shmzmq.run_as_zmq", "--", "innocent", "-z"), "-z")


def test_folder_with_a_main_runs_as_zmq(place):
    (place.folder / "app").mkdir(exist_ok=True)
    place.write("app/__main__.py", INNOCENT)
    expect_shmzmq(place.tell("-m", "shmzmq.run_as_zmq", "app", "z"), "z")


def test_package_with_a_main_runs_as_zmq(place):
    (place.folder / "parcel").mkdir(exist_ok=True)
    place.write("parcel/__init__.py", "")
    place.write("parcel/__main__.py", INNOCENT)
    expect_shmzmq(place.tell("-m", "shmzmq.run_as_zmq", "-m", "parcel"))


def test_program_finds_itself_as_python_would_have_started_it(bare):
    program = """
        import json, sys
        main = sys.modules["__main__"]
        keep = [__name__, __file__, __package__, sys.argv, sys.path[0], main.__dict__ is globals()]
        print(json.dumps([*keep, __spec__ and __spec__.name, "shmzmq" in sys.modules]))
    """
    path = bare.write("program.py", program)
    for way in ([path, "a"], ["-m", "program", "a"]):
        asked = json.loads(bare.tell("-m", "shmzmq.run_as_zmq", *way))
        plain = json.loads(bare.tell(*way))
        assert (asked[:-1], asked[-1], plain[-1]) == (plain[:-1], True, False)


def test_exit_code_and_traceback_of_the_program_come_through(bare):
    done = bare.run("-m", "shmzmq.run_as_zmq", bare.write("program.py", "raise SystemExit(7)"))
    assert (done.returncode, done.stderr) == (7, "")
    done = bare.run("-m", "shmzmq.run_as_zmq", bare.write("program.py", "1 / 0"))
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python -m shmzmq.run_as_zmq"),
        (["-m"], "usage: python -m shmzmq.run_as_zmq"),
        (["--wrong"], "usage: python -m shmzmq.run_as_zmq"),
        (["no-such.py"], "cannot read no-such.py: No such file"),
        (["-m", "no.such"], "No module named 'no'"),
        (["-m", "nosuch"], "there is no module 'nosuch'"),
        (["--", "no-such"], "there is no command 'no-such' beside "),
        (["--", "ls"], "is no Python program"),
    ],
)
def test_wrong_command_line_is_told_without_a_traceback(bare, arguments, said):
    done = bare.run("-m", "shmzmq.run_as_zmq", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# --- children ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["variable", "call", "script"])
def test_children_of_every_kind_have_it_too(place, way):
    if way == "variable":
        told = place.tell(place.write("family.py", FAMILY + BEGIN), SHMZMQ_AS_ZMQ="1")
    elif way == "call":
        told = place.tell(place.write("family.py", FAMILY + BEGIN_INSTALLED))
    else:
        told = place.tell("-m", "shmzmq.run_as_zmq", place.write("family.py", FAMILY + BEGIN))
    assert json.loads(told) == dict.fromkeys(KINDS, "shmzmq")


def test_children_do_without_it_if_asked(beside):
    program = """
        import subprocess, sys
        import shmzmq
        shmzmq.install_as_zmq(children=False)
        import zmq
        print(zmq.__name__, flush=True)
        subprocess.run([sys.executable, "-c", "import zmq; print(zmq.__name__)"])
    """
    assert beside.tell(beside.write("program.py", program)).split() == ["shmzmq", "zmq"]


def test_fork_server_that_runs_already_is_a_warning(bare):
    program = """
        import multiprocessing, multiprocessing.forkserver, warnings
        import shmzmq
        if __name__ == "__main__":
            multiprocessing.forkserver.ensure_running()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                shmzmq.install_as_zmq()
            print(*(each.message for each in caught))
    """
    assert "the fork server of multiprocessing runs already" in bare.tell(bare.write("program.py", program))


def test_python_that_does_not_read_the_hook_is_a_warning(bare):
    call = "import sys; sys.path.append(sys.argv[1]); import shmzmq; shmzmq.install_as_zmq()"
    done = bare.run("-S", "-c", call, str(bare.packages))
    assert done.returncode == 0
    assert "RuntimeWarning: zmq is shmzmq in this process only: Python runs with -S" in done.stderr


# --- one module, two names ---------------------------------------------------------------------------------


def test_every_module_is_the_same_object_under_both_names(place):
    program = """
        import importlib, pkgutil, sys
        import warnings
        import zmq, shmzmq
        warnings.simplefilter("ignore")  # some of pyzmq's modules are deprecated
        names = {"shmzmq"}
        for found in pkgutil.walk_packages(shmzmq.__path__, "shmzmq.", onerror=lambda name: None):
            if not found.name.endswith("__main__"):
                names.add(found.name)
        seen = 0
        for name in sorted(names):
            alias = "zmq" + name.removeprefix("shmzmq")
            try:
                module = importlib.import_module(alias)
            except ImportError as error:  # it needs tornado, gevent, or is not there yet and says so
                assert type(error) is ImportError or error.name != alias, error
                try:
                    importlib.import_module(name)
                except ImportError:
                    continue
                raise AssertionError(f"{name} can be imported, {alias} cannot")
            assert module is importlib.import_module(name), name
            assert module is sys.modules[alias] is sys.modules[name], name
            assert module.__spec__.name == module.__name__ == name, (module.__spec__, name)
            seen += 1
        assert seen > 20
        import shmzmq.poller
        assert zmq.poller is shmzmq.poller
        print("ok")
    """
    assert place.tell(place.write("program.py", program), SHMZMQ_AS_ZMQ="1") == "ok"


def test_name_that_only_pyzmq_has_is_unknown(beside):
    """Half of pyzmq beside shmzmq would be two libraries under one name."""
    assert (beside.packages / "zmq" / "_typing.py").exists()
    program = """
        from importlib.util import find_spec
        import zmq
        print(find_spec("zmq._typing"))
        try:
            import zmq._typing
        except ModuleNotFoundError as error:
            print(error.name)
    """
    told = beside.tell(beside.write("program.py", program), SHMZMQ_AS_ZMQ="1")
    assert told.split() == ["None", "zmq._typing"]


def test_pickled_names_resolve_under_both_names(place):
    program = """
        import pickle, sys
        assert "zmq" not in sys.modules
        theirs = pickle.loads(b"czmq.error\\nAgain\\n.")  # as pyzmq's processes write it
        import shmzmq
        assert theirs is shmzmq.Again
        assert pickle.loads(pickle.dumps(theirs)) is theirs
        assert pickle.loads(pickle.dumps(shmzmq.SocketType.PUSH)) is shmzmq.SocketType.PUSH
        print("ok")
    """
    assert place.tell(place.write("program.py", program), SHMZMQ_AS_ZMQ="1") == "ok"


def test_module_runs_under_its_other_name(place):
    assert place.tell("-m", "zmq", "--version", SHMZMQ_AS_ZMQ="1").startswith("shmzmq ")


def test_modules_that_programs_of_pyzmq_do_not_import_are_attributes(bare):
    call = "import zmq; print(zmq.utils.__name__, zmq.error.__name__, hasattr(zmq, 'no_such'))"
    assert bare.tell("-c", call, SHMZMQ_AS_ZMQ="1") == "shmzmq.utils shmzmq.error False"


# --- the version of pyzmq ----------------------------------------------------------------------------------

VERSION = """
    from importlib import metadata
    try:
        print(metadata.version("PyZMQ"))
    except metadata.PackageNotFoundError:
        print("absent")
    print([d.name for d in metadata.distributions() if d.name == "pyzmq"])
"""


def test_absent_pyzmq_has_a_version_for_who_asks_by_name(bare):
    program = bare.write("program.py", VERSION)
    assert bare.tell(program, SHMZMQ_AS_ZMQ="1") == f"{shmzmq.pyzmq_version()}\n[]"
    assert bare.tell(program) == "absent\n[]"


def test_installed_pyzmq_keeps_its_version(beside):
    program = beside.write("program.py", VERSION)
    assert beside.tell(program, SHMZMQ_AS_ZMQ="1") == beside.tell(program)


# --- what speaks against it --------------------------------------------------------------------------------


def test_call_refuses_when_pyzmq_is_imported_and_changes_nothing(beside):
    program = """
        import os, sys
        import zmq, shmzmq
        before = list(sys.meta_path), dict(os.environ)
        try:
            shmzmq.install_as_zmq()
        except RuntimeError as error:
            print(error)
        import zmq.asyncio
        assert (list(sys.meta_path), dict(os.environ)) == before
        assert zmq.asyncio.Context is not shmzmq.Context and zmq.__name__ == "zmq"
    """
    told = beside.tell(beside.write("program.py", program))
    assert told.startswith("zmq is pyzmq in this process already (")
    assert "site-packages/zmq/__init__.py" in told


def test_second_call_changes_nothing(bare):
    call = """
        import sys
        import shmzmq
        assert shmzmq.install_as_zmq()
        import zmq
        before = list(sys.meta_path)
        assert shmzmq.install_as_zmq()
        assert sys.meta_path == before
        print("ok")
    """
    assert bare.tell(bare.write("program.py", call)) == "ok"


def test_zero_forbids_the_call_and_says_so(beside):
    call = "import shmzmq; print(shmzmq.install_as_zmq()); import zmq; print(zmq.__name__)"
    done = beside.run("-c", call, SHMZMQ_AS_ZMQ="0")
    assert done.stdout.split() == ["False", "zmq"]
    assert done.stderr == "SHMZMQ_AS_ZMQ=0: zmq stays pyzmq\n"


def test_zero_runs_a_program_with_pyzmq_and_says_so(beside):
    program = beside.write("program.py", "import zmq; print(zmq.__name__)")
    done = beside.run("-m", "shmzmq.run_as_zmq", program, SHMZMQ_AS_ZMQ="0")
    assert done.stdout == "zmq\n"
    assert done.stderr == "shmzmq.run_as_zmq: SHMZMQ_AS_ZMQ=0, so zmq is pyzmq\n"


def test_other_value_is_told_and_ignored(beside):
    done = beside.run("-c", "import zmq; print(zmq.__name__)", SHMZMQ_AS_ZMQ="yes")
    assert done.stdout == "zmq\n"
    assert done.stderr.startswith("SHMZMQ_AS_ZMQ='yes' is ignored")


def test_missing_shmzmq_is_an_error_and_not_pyzmq(beside):
    """A variable that promises shmzmq must not end in a program that silently runs with the other."""
    call = "import sys; sys.modules['shmzmq'] = None; import zmq"
    done = beside.run("-c", call, SHMZMQ_AS_ZMQ="1")
    assert done.returncode == 1
    assert "shmzmq" in done.stderr.splitlines()[-1]


# --- what it costs who does not use it ---------------------------------------------------------------------


def test_nothing_of_it_changes_a_python_without_the_variable(place):
    call = "import sys; print([name for name in sys.modules if 'zmq' in name])"
    read = "['_shmzmq_as_zmq']" if sys.version_info >= (3, 15) else "[]"  # PEP 829 has no conditions
    assert place.tell("-c", call) == read
    done = place.run("-c", "import zmq; print(zmq.__name__)")
    assert done.stdout == ("zmq\n" if place.has_pyzmq else "")


def test_start_with_the_variable_imports_the_finder_and_nothing_else(bare):
    call = "import sys; print(sorted(sys.modules))"
    with_it = json.loads(bare.tell("-c", call, SHMZMQ_AS_ZMQ="1").replace("'", '"'))
    without = json.loads(bare.tell("-c", call).replace("'", '"'))
    assert set(with_it) - set(without) <= {"_shmzmq_as_zmq", "__future__"}
