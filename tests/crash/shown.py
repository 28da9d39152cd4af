"""A process that others look at, and that looks at others when it is told to: one JSON line for each order.

No part of the tests' own process: it is started inside other namespaces too.
"""

import json
import os
import sys
import time

import shmzmq as zmq
from shmzmq import counters


def forked(endpoint):
    """Fork a child that makes its own socket, tells the pid of its only file, and waits for its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with zmq.Context() as context, context.socket(zmq.PULL) as pull:
            pull.bind(endpoint)
            os.write(writing, b"x")
            time.sleep(60)
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    return pid


def fork_often(count):
    """Fork children that only say that they can make a socket, while others look; how many did."""
    done = 0
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            with zmq.Context() as context, context.socket(zmq.PUSH) as push:
                push.bind("inproc://x")
            os._exit(7)
        _, status = os.waitpid(pid, 0)
        done += os.waitstatus_to_exitcode(status) == 7
    return done


def main():
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.bind(sys.argv[1])
    pull = context.socket(zmq.PULL)
    pull.connect(sys.argv[1])
    push.wait_for_peers(1)
    print(json.dumps(os.getpid()), flush=True)
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "look":
            answer = [(p.pid, p.is_near, p.answered, len(p.contexts)) for p in counters.look(patience=20)]
        elif order == "sweep":
            answer = [dead.path for dead in counters.sweep()]
        elif order == "fork":
            answer = forked(rest[0])
        elif order == "fork-often":
            answer = fork_often(int(rest[0]))
        elif order == "send":
            push.send(bytes(int(rest[0])))
            answer = None
        elif order == "end":
            break
        print(json.dumps(answer), flush=True)
    context.destroy(0)


if __name__ == "__main__":
    main()
