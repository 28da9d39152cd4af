"""Two processes, on whatever /dev/shm there is: arrays of 64 MiB cross; prints what that did to /dev/shm.

python small_shm.py COUNT
"""

import json
import logging
import multiprocessing
import os
import sys
import tempfile

import numpy

import shmzmq as zmq

MIB = 1 << 20


class Lines(logging.Handler):
    """What the logger `shmzmq` said."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def listened():
    lines = Lines()
    logging.getLogger("shmzmq").addHandler(lines)
    logging.getLogger("shmzmq").propagate = False
    return lines.lines


def used():
    """Bytes of /dev/shm in use."""
    facts = os.statvfs("/dev/shm")
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def receive(endpoint, count):
    lines = listened()
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.connect(endpoint)
        rep.rcvtimeo = 60_000
        whole = 0
        for number in range(count):
            array = rep.recv_array(copy=False)
            whole += array.nbytes == 64 * MIB and array[0] == array[-1] == number % 256
            del array
            rep.send(b"ok")
        context.socket(zmq.PUSH).close()  # the moment at which native code's lines are handed on
        rep.recv()
        rep.send_json({"whole": int(whole), "lines": lines})


def main():
    count = int(sys.argv[1])
    before, most = used(), 0
    lines = listened()
    folder = tempfile.mkdtemp(dir="/tmp")
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        endpoint = f"ipc://{folder}/a"
        req.bind(endpoint)
        req.rcvtimeo = req.sndtimeo = 60_000
        child = multiprocessing.get_context("spawn").Process(target=receive, args=(endpoint, count))
        child.start()
        array = numpy.empty(64 * MIB, dtype=numpy.uint8)
        for number in range(count):
            array[0] = array[-1] = number % 256
            req.send_array(array)
            most = max(most, used())
            req.recv()
        transport = req.peers()[0]["transport"]
        req.send(b"how was it?")
        theirs = req.recv_json()
        context.socket(zmq.PUSH).close()
    child.join()
    os.rmdir(folder)
    said = {"whole": theirs["whole"], "lines": [lines, theirs["lines"]], "transport": transport}
    print(json.dumps({**said, "grown": most - before, "left": os.listdir("/dev/shm")}))


if __name__ == "__main__":
    main()
