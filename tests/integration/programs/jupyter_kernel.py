"""A Jupyter kernel's life: start, execute, interrupt a recv that waits for ever, restart, shut down.

Argument: the transport of the kernel's sockets, tcp or ipc. Prints what it saw as JSON.
"""

import json
import sys
import time

from jupyter_client import KernelManager

CAP = 60
TELL = "import sys, zmq; print(zmq.__name__, [m for m in sys.modules.values() if '/zmq/' in str(m)])"
WAIT = """
import time, zmq
context = zmq.Context()
socket = context.socket(zmq.PULL)
socket.bind("inproc://nobody")
print("waits", flush=True)
try:
    socket.recv()
except KeyboardInterrupt:
    print(time.monotonic())
    raise
finally:
    socket.close()
    context.term()
"""


class Kernel:
    """One kernel and a client of it, in the words of this program."""

    def __init__(self, transport: str) -> None:
        self.manager = KernelManager(kernel_name="python3", transport=transport)
        self.manager.start_kernel(stderr=sys.stderr)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=CAP)

    def run(self, code, heard=None):
        """Status and output of a cell; `heard` is called with each line of output when it comes."""
        lines = []

        def hear(message):
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                for line in content["text"].splitlines():
                    lines.append(line)
                    if heard:
                        heard(line)
            elif message["msg_type"] == "error":
                lines.append(content["ename"])

        reply = self.client.execute_interactive(code, timeout=CAP, output_hook=hear)
        return reply["content"]["status"], lines

    def restart(self):
        self.manager.restart_kernel()
        self.client.wait_for_ready(timeout=CAP)

    def shutdown(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        return self.manager.is_alive()


def interrupt(kernel):
    """Status, name of the exception, and ms from the interrupt to the exception in the kernel."""
    sent = []

    def heard(line):
        if line == "waits":
            time.sleep(0.05)  # most likely it is asleep in recv by now; an earlier interrupt ends it as well
            sent.append(time.monotonic())
            kernel.manager.interrupt_kernel()

    status, lines = kernel.run(WAIT, heard)
    return [status, lines[-1], round((float(lines[-2]) - sent[0]) * 1000, 1)]


if __name__ == "__main__":
    began = time.monotonic()
    kernel = Kernel(sys.argv[1])
    saw = {"ready s": round(time.monotonic() - began, 2)}
    saw["zmq"] = kernel.run(TELL)
    saw["sum"] = kernel.run("print(sum(range(10)))")
    saw["interrupted"] = interrupt(kernel)
    saw["after"] = kernel.run("x = 1; print(x)")
    saw["heart beats"] = kernel.client.hb_channel.is_beating()
    kernel.restart()
    saw["restarted"] = kernel.run("print('x' in globals())")
    saw["alive"] = kernel.shutdown()
    print(json.dumps(saw))
