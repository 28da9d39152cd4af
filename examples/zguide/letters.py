"""Ask now, read later: clients that write many letters before the first answer, and an office.

    python letters.py office ENDPOINT LETTERS CLERKS
    python letters.py writer ENDPOINT NAME LETTERS

A DEALER does not wait its turn as a REQ does. Inside the office the same two types talk over inproc: the
address on the envelope goes in with the letter and comes out with the answer.
"""

import sys
import threading

import shmzmq as zmq


def clerk(context):
    """Answer each letter twice; end when the context does."""
    with context.socket(zmq.DEALER) as desk:
        desk.connect("inproc://desks")
        try:
            while True:
                sender, text = desk.recv_multipart()
                for copy in (b"first", b"second"):
                    desk.send_multipart([sender, copy + b" answer to " + text])
        except zmq.ContextTerminated:
            return


def office(endpoint, letters, clerks):
    """Carry letters in and answers out until all are answered."""
    context = zmq.Context()
    street, desks = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    street.bind(endpoint)
    desks.bind("inproc://desks")
    threads = [threading.Thread(target=clerk, args=(context,)) for _ in range(int(clerks))]
    for thread in threads:
        thread.start()
    poller = zmq.Poller()
    poller.register(street, zmq.POLLIN)
    poller.register(desks, zmq.POLLIN)
    answers = 0
    while answers < 2 * int(letters):
        ready = dict(poller.poll())
        if street in ready:
            desks.send_multipart(street.recv_multipart())
        if desks in ready:
            street.send_multipart(desks.recv_multipart())
            answers += 1
    street.close()  # which lingers until the last answers are on their way
    desks.close()
    context.term()
    for thread in threads:
        thread.join()
    print(f"the office sent {answers} answers")


def writer(endpoint, name, letters):
    """Write all letters, then read all answers, in whatever order they come."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as box:
        box.setsockopt_string(zmq.IDENTITY, name)
        box.connect(endpoint)
        for number in range(int(letters)):
            box.send_string(f"letter {number} of {name}")
        answers = []
        while len(answers) < 2 * int(letters):
            assert box.poll(20_000), "no answer came"
            answers.append(box.recv_string())
    print("\n".join(sorted(answers)))


if __name__ == "__main__":
    {"office": office, "writer": writer}[sys.argv[1]](*sys.argv[2:])
