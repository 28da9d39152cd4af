"""atheris' side of the endpoint target: a program with libFuzzer's options, for `python -m tools.fuzz`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["shmzmq.endpoint"]):
    from endpoint_target import check

if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
