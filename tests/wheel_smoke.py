"""One message between two processes and the help of every command, with nothing but the installed wheel.

Run as a script. What a command needs beside the wheel it must not need for telling so.
"""

import os
import subprocess
import sys
import tempfile

import shmzmq as zmq
from shmzmq.commands import COMMANDS

if len(sys.argv) > 1:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(sys.argv[1])
        push.send(f"hello from {os.getpid()}".encode())
    sys.exit()

with tempfile.TemporaryDirectory() as directory, zmq.Context() as context, context.socket(zmq.PULL) as pull:
    endpoint = f"ipc://{directory}/socket"
    pull.rcvtimeo = 10_000
    pull.bind(endpoint)
    child = subprocess.Popen([sys.executable, "-I", __file__, endpoint])
    text = pull.recv().decode()
    assert child.wait(10) == 0
    assert text == f"hello from {child.pid}", text
    print(f"shmzmq {zmq.__version__} from {zmq.__file__ is not None and 'the wheel'}: {text}")

for name in COMMANDS:
    subprocess.run(
        [sys.executable, "-I", "-m", "shmzmq", name, "--help"], stdout=subprocess.DEVNULL, check=True
    )
print(f"commands: {', '.join(COMMANDS)}")
