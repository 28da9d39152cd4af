"""The one door to native code: nobody else imports `_native`.

Knows    how to explain a missing build; the fork hooks; how native code's log lines reach `logging`.
Refuses  to know sockets, options and transports.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import Final

try:
    from . import _native
except ImportError as error:  # pragma: no cover - only without a build
    raise ImportError(
        "shmzmq's native module is missing. From a source tree: `pip install .` (needs a Rust toolchain); "
        "from a wheel: the wheel does not fit this Python; if you are inside the source folder, leave it "
        f"or use `maturin develop`. ({error})"
    ) from error

NativeContext = _native.Context
NativeSocket = _native.Socket
NativeFrame = _native.Frame
NativeOrigin = _native.Origin
NativePoller = _native.Poller
NativeLoan = _native.Loan
NativeUsage = _native.Usage
Block = _native.Block
set_shm_max = _native.set_shm_max
shm_max = _native.shm_max
zmq_poll = _native.zmq_poll
proxy = _native.proxy
proxy_steerable = _native.proxy_steerable
begin_turn = _native.begin_turn
end_turn = _native.end_turn
spend_turn = _native.spend_turn
set_frame_class = _native.set_frame_class
wake_counters = _native.wake_counters
close_counters = _native.close_counters
__version__: Final[str] = _native.__version__
LAYOUT_VERSION: Final[int] = _native.LAYOUT_VERSION
BUILD_PROFILE: Final[str] = _native.BUILD_PROFILE

# One line per cause and minute: a broken peer that comes back every 100 ms must not fill a disk. What follows
# a slash in a cause only tells it from others.
_SILENCE_S: Final = 60.0
_last_said: dict[str, tuple[float, int]] = {}


def drain_log() -> None:
    """Hand native code's lines to the logger `shmzmq`. Cheap when there are none; never per message."""
    lines = _native.take_log()
    if not lines:
        return
    warn = _warn()
    for cause, text in lines:
        said, kept_back = _last_said.get(cause, (-_SILENCE_S, 0))
        now = time.monotonic()
        if now - said < _SILENCE_S:
            _last_said[cause] = (said, kept_back + 1)
            continue
        _last_said[cause] = (now, 0)
        more = f" ({kept_back} more like it since)" if kept_back else ""
        warn("%s: %s%s", cause.partition("/")[0], text, more)


def _warn() -> Callable[..., None]:
    try:
        import logging  # a third of what `import shmzmq` would cost
    except OSError:  # no fd is left to read it with
        return lambda form, *parts: print(form % parts, file=sys.stderr)
    return logging.getLogger("shmzmq").warning


# Registered before any context's end, so it runs after them.
atexit.register(close_counters)

os.register_at_fork(
    before=_native.before_fork,
    after_in_parent=_native.after_fork_in_parent,
    after_in_child=_native.after_fork_in_child,
)
