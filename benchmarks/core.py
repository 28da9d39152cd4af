"""The parts that `shmzmq bench` and this benchmark share, loaded without importing shmzmq.

`from shmzmq import bench` would put our package, native module included, into every process that measures a
rival. So that part of it is loaded by its path under a name of its own; a child that measures shmzmq imports
the package later, by name, like any other library.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["bench"]

_PATH = Path(__file__).parent.parent / "shmzmq" / "bench"
_NAME = "benchmarks._shared"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        _NAME, _PATH / "__init__.py", submodule_search_locations=[str(_PATH)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module  # its files import each other through it
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from shmzmq import bench
else:
    bench = _load()
