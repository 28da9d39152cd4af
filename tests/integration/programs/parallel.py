"""ipyparallel: a controller and two engines, each a process that imports zmq; a map, an error, the end."""

import json
import sys
from pathlib import Path

import ipyparallel
import zmq


def square(number):
    import zmq  # in the engine

    return number * number, zmq.__name__


def end_with_logs(kind, error, trace):
    """What the controller and the engines have said is in files."""
    sys.__excepthook__(kind, error, trace)
    for path in sorted(Path(sys.argv[1]).glob("log/*")):
        print(path.name, path.read_text(errors="replace"), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    sys.excepthook = end_with_logs
    cluster = ipyparallel.Cluster(n=2, log_level=40, profile_dir=sys.argv[1])
    with cluster as client:
        view = client.load_balanced_view()
        answers = view.map_sync(square, range(20))
        try:
            client[0].apply_sync(lambda: 1 / 0)
            error = None
        except ipyparallel.RemoteError as remote:
            error = remote.ename
        engines = len(client.ids)
    saw = {"squares": [value for value, _ in answers], "zmq": sorted({name for _, name in answers})}
    print(json.dumps({**saw, "here": zmq.__name__, "error": error, "engines": engines}))
