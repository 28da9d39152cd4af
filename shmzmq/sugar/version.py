"""`zmq.sugar.version`: the pyzmq and the libzmq whose behaviour this is; `__version__` is shmzmq's own."""

from .. import (
    __revision__,
    __version__,
    pyzmq_version,
    pyzmq_version_info,
    zmq_version,
    zmq_version_info,
)

__all__ = [
    "__revision__",
    "__version__",
    "pyzmq_version",
    "pyzmq_version_info",
    "zmq_version",
    "zmq_version_info",
]

version_info = pyzmq_version_info()
VERSION_MAJOR, VERSION_MINOR, VERSION_PATCH = version_info
VERSION_EXTRA = ""
