"""Shared queue by hand: callers on one side, helpers on the other, and between them one who passes on.

    python broker.py broker FRONT_ENDPOINT BACK_ENDPOINT CALLS
    python broker.py helper BACK_ENDPOINT CALLS
    python broker.py caller FRONT_ENDPOINT NAME CALLS

The envelope that the ROUTER puts in front of a question brings the answer home: nobody in between reads it.
"""

import sys

import shmzmq as zmq


def broker(front_endpoint, back_endpoint, calls):
    """Pass questions to the back and answers to the front until all calls are answered."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as front, context.socket(zmq.DEALER) as back:
        front.bind(front_endpoint)
        back.bind(back_endpoint)
        poller = zmq.Poller()
        poller.register(front, zmq.POLLIN)
        poller.register(back, zmq.POLLIN)
        answered = 0
        while answered < int(calls):
            for socket, _event in poller.poll():
                frames = socket.recv_multipart()
                if socket is front:
                    back.send_multipart(frames)
                else:
                    front.send_multipart(frames)
                    answered += 1
        print(f"the broker passed {answered} answers")


def helper(back_endpoint, calls):
    """Answer with the letters turned round."""
    with zmq.Context() as context, context.socket(zmq.REP) as phone:
        phone.connect(back_endpoint)
        for _ in range(int(calls)):
            phone.send_string(phone.recv_string()[::-1])


def caller(front_endpoint, name, calls):
    """Ask and print."""
    with zmq.Context() as context, context.socket(zmq.REQ) as phone:
        phone.connect(front_endpoint)
        for number in range(int(calls)):
            phone.send_string(f"{name} {number}")
            print(phone.recv_string())


if __name__ == "__main__":
    {"broker": broker, "helper": helper, "caller": caller}[sys.argv[1]](*sys.argv[2:])
