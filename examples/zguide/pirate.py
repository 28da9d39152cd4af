"""A patient client: asks again, on a fresh socket, when no answer comes; gives up after some attempts.

    python pirate.py parrot ENDPOINT QUESTIONS DEAF_TO     answers all questions but, the first time, DEAF_TO
    python pirate.py captain ENDPOINT QUESTIONS PATIENCE_MS

A REQ that got no answer may not ask again, so it is closed and another takes its place; an answer that comes
too late finds nobody.
"""

import sys

import shmzmq as zmq

ATTEMPTS = 3


def parrot(endpoint, questions, deaf_to):
    """Repeat every question. Who is not heard has to ask again."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as perch:
        perch.bind(endpoint)
        left = int(questions)
        deaf = True
        while left:
            sender, empty, question = perch.recv_multipart()
            if question == deaf_to.encode() and deaf:
                deaf = False
                print(f"the parrot sleeps through {deaf_to}")
                continue
            perch.send_multipart([sender, empty, question])
            left -= 1
    print("the parrot has repeated everything")


def captain(endpoint, questions, patience):
    """Ask number by number."""
    with zmq.Context() as context:
        context.linger = 0  # what was asked of a dead server is not worth waiting for
        socket = context.socket(zmq.REQ)
        socket.connect(endpoint)
        for number in range(int(questions)):
            for attempt in range(1, ATTEMPTS + 1):
                socket.send_string(str(number))
                poller = zmq.Poller()
                poller.register(socket, zmq.POLLIN)
                if poller.poll(int(patience)):
                    print(f"{socket.recv_string()} at attempt {attempt}")
                    break
                print(f"no answer to {number}")
                poller.unregister(socket)
                socket.close()
                socket = context.socket(zmq.REQ)
                socket.connect(endpoint)
            else:
                print("the captain gives up")
                break
        socket.close()


if __name__ == "__main__":
    {"parrot": parrot, "captain": captain}[sys.argv[1]](*sys.argv[2:])
