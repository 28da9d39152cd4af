"""The names under `sugar` and `backend` that programs import: the package's own classes and functions."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

SAME = {
    "sugar": ["Context", "Frame", "Message", "MessageTracker", "Poller", "Socket", "device", "select"],
    "sugar.context": ["Context"],
    "sugar.frame": ["Frame", "Message"],
    "sugar.poll": ["Poller", "select"],
    "sugar.socket": ["Socket"],
    "sugar.tracker": ["MessageTracker"],
    "sugar.version": ["pyzmq_version", "pyzmq_version_info", "zmq_version", "zmq_version_info"],
    "backend": ["has", "proxy", "proxy_steerable", "strerror", "zmq_errno", "zmq_poll", "zmq_version_info"],
}


@pytest.mark.parametrize(("room", "name"), [(room, name) for room, names in SAME.items() for name in names])
def test_name_is_the_package_s_own(zmq, backend, room, name):
    assert getattr(importlib.import_module(f"{backend}.{room}"), name) is getattr(zmq, name)


@pytest.mark.parametrize("kind", ["Context", "Socket", "Frame"])
def test_class_of_the_backend_is_above_the_package_s(zmq, backend, kind):
    assert issubclass(getattr(zmq, kind), getattr(importlib.import_module(f"{backend}.backend"), kind))


def test_version_in_parts_is_pyzmq_s(zmq, backend):
    version = importlib.import_module(f"{backend}.sugar.version")
    parts = (version.VERSION_MAJOR, version.VERSION_MINOR, version.VERSION_PATCH)
    assert parts == version.version_info == zmq.pyzmq_version_info()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sugar.socket.Socket", "sugar.Context", "backend.zmq_poll", "utils.jsonapi"]
)
def test_name_is_reachable_after_importing_the_package_alone(backend, name):
    """jupyter_client names `zmq.sugar.socket.Socket` so."""
    program = f"import {backend} as zmq; print(zmq.{name})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.shmzmq_only("they exist in pyzmq")
@pytest.mark.parametrize("name", ["auth", "auth.thread", "curve_keygen"])
def test_module_that_is_not_built_says_so(name):
    with pytest.raises(ImportError, match="does not exist yet: CURVE"):
        importlib.import_module(f"shmzmq.{name}")


def test_package_has_no_other_names(zmq):
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = zmq.no_such_name
