"""Why a name of pyzmq differs here or is absent: the one table of reasons.

A pattern is a name as `tools.surface` gives it, or a prefix that ends in `*`. A row for a name that is there
says how it differs; a name that is absent needs a row in ABSENT. tests/compat/test_surface.py fails on a name
without a reason and on a reason without a name.
"""

from __future__ import annotations

_SECURITY = "comes with the security mechanisms"

ABSENT: dict[str, str] = {
    "Socket.__getattr__": "options are read in lower or upper case, not in a mixture; a hook slows `send`",
    "Socket._poller_class": "`poll` asks the socket itself and makes no poller; override `poll`",
    "Frame.__getattr__": "options of a frame as attributes; `Frame.get`",
    "Context.shadow_pyczmq": "shadows a context of pyczmq, a binding to libzmq that nobody maintains",
    "_future.T": "a type variable of pyzmq's own",
    "asyncio.ProactorSelectorThreadWarning": "Windows only",
    "asyncio.Poller.raw_sockets": "how pyzmq's poller watches files",
    "eventloop.future.Poller.raw_sockets": "how pyzmq's poller watches files",
    "eventloop._deprecated": "loops for versions of tornado that pyzmq does not work with either any more",
    "auth*": _SECURITY,
    "curve_keygen": _SECURITY,
    "sugar.attrsettr": "a base class of pyzmq's own: options are descriptors here, made from their table",
    "utils.garbage.GarbageCollectorThread": "nothing keeps a buffer after `send`, so no thread lets it go",
}

DIFFERS: dict[str, str] = {
    "__version__": "the version of shmzmq; `pyzmq_version()` is that of pyzmq",
    "Socket.bind": "takes a keyword more, `takeover`; a live ipc path is not taken over silently: EADDRINUSE",
    "Socket.bind_to_random_port": "works over ipc and inproc too; pyzmq raises ValueError and stays bound",
    "Socket.send": "`routing_id` and `group` given: ZMQError EINVAL, in pyzmq's wheels RuntimeError",
    "Socket.send_multipart": "draft arguments by name instead of `**kwargs`; any iterable of frames will do",
    "Socket.send_json": "`copy` and `track` are `send`'s; in pyzmq they go to `json.dumps` and are TypeError",
    "Socket.send_pyobj": "protocol 5 unless given; buffers of 64 KiB and more then are frames of their own",
    "Socket.recv_pyobj": "reads such frames; frames that are not what was announced are a FormatError",
    "Socket.set": "`HWM` by number sets both marks; EINVAL in pyzmq",
    "Socket.get": "`HWM` by number reads SNDHWM; EINVAL in pyzmq",
    "Socket.setsockopt": "as `set`",
    "Socket.getsockopt": "as `get`",
    "Socket.__setattr__": "private names may be set on any socket; in pyzmq a class has to declare them",
    "Socket.__repr__": "names `shmzmq.Socket`",
    "Socket._repr_cls": "names `shmzmq.Socket`",
    "Socket.join": "RuntimeError as in pyzmq's wheels: DISH is a draft type; the text differs",
    "Socket.leave": "RuntimeError as in pyzmq's wheels: DISH is a draft type; the text differs",
    "asyncio.Socket.get": "its parameter has the name that `Socket.get` has, `option`; there `key`",
    "eventloop.future.Socket.get": "its parameter has the name that `Socket.get` has, `option`; there `key`",
    "eventloop.future.CancelledError": "asyncio's",
    "eventloop.zmqstream.ZMQStream.send_multipart": "never blocks the loop; what does not go waits",
    "eventloop.zmqstream.ZMQStream.close": "works in an ending context too, where pyzmq's raises",
    "eventloop.zmqstream.ZMQStream.on_recv": "TypeError for no callable; an exception holds up no message",
    "green.Context": "`term` lets other greenlets run",
    "green.Socket": "obeys RCVTIMEO and SNDTIMEO; any number of greenlets may wait",
    "green.select": "lets other greenlets run, as `zmq_poll` does; in pyzmq both are the plain ones",
    "ssh.tunnel.openssh_tunnel": "needs pexpect for a password only; an unknown host is a RuntimeError",
    "ssh.tunnel.try_passwordless_ssh": "a server that cannot be reached is a RuntimeError; in pyzmq True",
    "ssh.tunnel.paramiko_tunnel": "refuses unknown hosts, unless SHMZMQ_PARAMIKO_HOST_KEY_POLICY is set",
    "Context.socket": "draft types are EINVAL; pyzmq's wheels make such sockets and cannot use most of them",
    "Context.term": "takes `timeout` in seconds and then names what it waits for; a program waits at its end",
    "Context.instance": "a subclass gets an instance of its own class, never its parent's",
    "Context.__del__": "never waits for sockets that are garbage themselves, for which pyzmq waits for ever",
    "Context.__repr__": "names `shmzmq.Context`",
    "Context._repr_cls": "names `shmzmq.Context`",
    "Frame.__repr__": "names `shmzmq.Frame`",
    "MessageTracker.done": "true at once: the bytes are in the ring or copied; only a block of `alloc` waits",
    "error.InterruptedSystemCall": "asks for a report to shmzmq",
    "backend.select.select_backend": "takes no part in choosing anything",
    "backend.curve_keypair": "ENOTSUP until CURVE is built, as pyzmq over a libzmq without it",
    "backend.curve_public": "ENOTSUP until CURVE is built, as pyzmq over a libzmq without it",
    "backend.Context": "the whole class; in pyzmq its native half",
    "backend.Socket": "the whole class; in pyzmq its native half",
    "backend.Frame": "the whole class; in pyzmq its native half",
    "utils.garbage.GarbageCollector": "holds nothing: `refs` is empty, `store` gives 0 and sets the event",
    "log.handlers.PUBHandler": "`close` ends what it made; nothing is raised where a program logs",
    "log.handlers.PUBHandler.format": "a level without a formatter uses that of the next level below it",
    "log.handlers.TopicLogger*": "each method logs at its level; in pyzmq 27.3 all of them log as CRITICAL",
    "log.__main__.main": "an endpoint that is none is one line on stderr; colours need no package",
    "sugar.version.__version__": "the version of shmzmq; VERSION_MAJOR and its kin are pyzmq's",
    "curve_keypair": "ENOTSUP until CURVE is built, as pyzmq over a libzmq without it",
    "curve_public": "ENOTSUP until CURVE is built, as pyzmq over a libzmq without it",
    "get_includes": "empty: there is no C API",
    "get_library_dirs": "empty: there is no libzmq inside",
    "has": 'true for "ipc" alone so far',
    "zmq_errno": "the errno of this thread's last failed call; in pyzmq whatever C's errno is by then",
}


def reason(table: dict[str, str], name: str) -> str:
    """The reason for a name: its own row, or that of the longest prefix; empty without one."""
    prefixes = [key for key in table if key.endswith("*") and name.startswith(key[:-1])]
    return table.get(name) or (table[max(prefixes, key=len)] if prefixes else "")
