"""Ask another process ten thousand questions over ipc:// and time the answers."""

import tempfile
import time
from multiprocessing import get_context

import shmzmq as zmq


def serve(address):
    with zmq.Context() as context, context.socket(zmq.REP) as server:
        server.bind(address)
        while question := server.recv():  # the empty question ends it
            server.send(b"%d" % int(question) ** 2)


def main():
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context, context.socket(zmq.REQ) as client:
        address = f"ipc://{folder}/square"
        server = get_context("spawn").Process(target=serve, args=(address,))
        server.start()
        client.connect(address)  # before or after the server's bind: both are fine
        for number in range(10_001):
            client.send(b"%d" % number)
            answer = int(client.recv())
            if number == 0:  # the server is up now: start the clock
                begin = time.perf_counter()
        microseconds = (time.perf_counter() - begin) * 1e6 / number
        client.send(b"")
        server.join()
    print(f"{number} squared is {answer}, says process {server.pid}.")
    print(f"{number} questions took {microseconds:.1f} microseconds each, there and back.")


if __name__ == "__main__":
    main()
