"""Shared queue by proxy: what `broker.py` does by hand, in one call that returns only when it is interrupted.

    python messagequeue.py queue FRONT_ENDPOINT BACK_ENDPOINT     until Ctrl-C

`broker.py caller` and `broker.py helper` are its customers.
"""

import sys

import shmzmq as zmq


def queue(front_endpoint, back_endpoint):
    """Run the proxy between two bound sockets."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as front, context.socket(zmq.DEALER) as back:
        front.bind(front_endpoint)
        back.bind(back_endpoint)
        print("the queue is open", flush=True)
        try:
            zmq.device(zmq.QUEUE, front, back)
        except KeyboardInterrupt:
            print("the queue closes")


if __name__ == "__main__":
    {"queue": queue}[sys.argv[1]](*sys.argv[2:])
