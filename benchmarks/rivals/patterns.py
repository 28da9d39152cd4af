"""Socket types beyond PUSH, PULL and PAIR, for modules with pyzmq's API: round trips by type, one to many.

Everything is written as pyzmq's users write it. A publisher here loses nothing: XPUB_NODROP makes its `send`
wait for a subscriber that is full, which is the only bounded way in which every delivery can be counted.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.core import bench
from benchmarks.rivals.base import End

PATTERNS = ("PUSH/PULL", "REQ/REP", "DEALER/ROUTER")  # the near end's type, the far end's
PATIENCE_MS = 5000  # a frame of a video that takes longer was lost
KINDS = frozenset({"patterns", "fanout", "peers"})


class Patterned(bench.ZmqRival):
    """Roles `publish` and `subscribe`, and `ping` and `pong` with a pattern among the options."""

    def __init__(self, name: str, module: str, distribution: str, **form: Any) -> None:
        super().__init__(name, module, distribution, **form)
        if self.copy and self.scheme == "ipc":
            self.kinds |= KINDS

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        one_to_many = {
            "publish": partial(self._publish, wiring),
            "subscribe": partial(self._subscribe, address),
            "film": partial(self._film, wiring),
            "watch": partial(self._watch, address),
        }.get(role)
        if one_to_many is not None:
            return one_to_many()
        if "pattern" not in options:
            return super().open(role, wiring, address, options)
        near, far = options["pattern"].split("/")
        if near == "PUSH":
            return self._one_way_each(role, wiring, address, options)
        return self._both_ways(near if role == "ping" else far, wiring, address, options)

    def _publish(self, wiring: Any) -> End:
        zmq, context = self._begin()
        socket = context.socket(zmq.PUB)
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        address = self.bind(socket, self.address(wiring, "publish"))
        many = getattr(socket, "send_many", None)
        return End(socket.send, _silent, _ender(context, socket), address, send_many=many)

    def _subscribe(self, address: str) -> End:
        zmq, context = self._begin()
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        many = getattr(socket, "recv_many", None)
        return End(_silent, socket.recv, _ender(context, socket), recv_many=many)

    def _film(self, wiring: Any) -> End:
        """A publisher with its defaults, which drops at its high-water mark. It lends memory if it can."""
        zmq, context = self._begin()
        socket = context.socket(zmq.PUB)
        address = self.bind(socket, self.address(wiring, "film"))
        send, alloc = partial(socket.send, copy=False), getattr(socket, "alloc", None)
        return End(send, _silent, _ender(context, socket), address, alloc=alloc, post=socket.send)

    def _watch(self, address: str) -> End:
        zmq, context = self._begin()
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        socket.connect(address)
        return End(_silent, partial(socket.recv, copy=False), _ender(context, socket))

    def _one_way_each(self, role: str, wiring: Any, addresses: str, options: dict[str, Any]) -> End:
        """A round trip over two links: out by PUSH, back by PULL."""
        _, context = self._begin()
        out, back = (self.socket(context, kind, options) for kind in ("PUSH", "PULL"))
        close = _ender(context, out, back)
        if role == "pong":
            there = self.bind(back, self.address(wiring, "there"))
            here = self.bind(out, self.address(wiring, "back"))
            return End(out.send, back.recv, close, f"{there} {here}")
        there, here = addresses.split()
        out.connect(there)
        back.connect(here)
        return End(out.send, back.recv, close)

    def _both_ways(self, kind: str, wiring: Any, address: str, options: dict[str, Any]) -> End:
        _, context = self._begin()
        socket = self.socket(context, kind, options)
        if kind in {"REP", "ROUTER"}:
            address = self.bind(socket, self.address(wiring, kind.lower()))
        else:
            socket.connect(address)
        close = _ender(context, socket)
        if kind == "ROUTER":
            return End(socket.send_multipart, socket.recv_multipart, close, address, parts=True)
        return End(socket.send, socket.recv, close, address)

    def _begin(self) -> tuple[Any, Any]:
        zmq = importlib.import_module(self.module)
        return zmq, zmq.Context()


def _silent(*_: Any) -> Any:
    raise bench.BenchError("this end does not go in that direction")


def _ender(context: Any, *sockets: Any) -> Callable[[], None]:
    def close() -> None:
        for socket in sockets:
            socket.close(0)
        context.term()

    return close
