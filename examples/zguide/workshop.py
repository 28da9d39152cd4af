"""Many threads behind one door: a proxy in the main thread, workers on inproc, callers in other processes.

    python workshop.py workshop ENDPOINT WORKERS                  until Ctrl-C

`broker.py caller ENDPOINT NAME CALLS` is a customer. Threads share nothing but the context.
"""

import sys
import threading

import shmzmq as zmq


def bench(context):
    """One worker: a REP of its own, until the context ends."""
    with context.socket(zmq.REP) as orders:
        orders.connect("inproc://benches")
        try:
            while True:
                orders.send_string(orders.recv_string().title())
        except zmq.ContextTerminated:
            return


def workshop(endpoint, workers):
    """Bind both sides, start the workers, and let the proxy run."""
    context = zmq.Context()
    door, benches = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    door.bind(endpoint)
    benches.bind("inproc://benches")
    threads = [threading.Thread(target=bench, args=(context,)) for _ in range(int(workers))]
    for thread in threads:
        thread.start()
    print(f"{workers} benches are manned", flush=True)
    try:
        zmq.proxy(door, benches)
    except KeyboardInterrupt:
        print("closing time")
    door.close(linger=0)
    benches.close(linger=0)
    context.term()  # ends every recv of the workers, and waits until they have closed
    for thread in threads:
        thread.join()
    print("everybody has gone home")


if __name__ == "__main__":
    {"workshop": workshop}[sys.argv[1]](*sys.argv[2:])
