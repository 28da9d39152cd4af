"""pynng: nng's push, pull and pair over ipc."""

from typing import Any

from benchmarks.core import bench


class Pynng(bench.Rival):
    name = "pynng-ipc"
    module = "pynng"

    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any:
        import pynng

        kind = {"push": pynng.Push0, "pull": pynng.Pull0}.get(role, pynng.Pair0)
        address = address or f"ipc://{wiring}/{role}"
        if role in {"pull", "pong"}:
            socket = kind(listen=address, recv_max_size=0)
        else:
            socket = kind(dial=address, recv_max_size=0)
        return bench.End(socket.send, socket.recv, socket.close, address)


RIVALS = [Pynng()]
