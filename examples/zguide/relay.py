"""Listening in: a relay of subscriptions and news, with a third socket that sees all that passes.

    python relay.py relay FRONT_ENDPOINT BACK_ENDPOINT NEWS
    python relay.py paper FRONT_ENDPOINT NEWS
    python relay.py reader BACK_ENDPOINT TOPIC NEWS

The relay stands still for both sides, so papers and readers may come and go without knowing of each other.
The subscription passes it from the reader to the paper, the news from the paper to the reader, and the
capture socket hears both.
"""

import sys
import threading

import shmzmq as zmq


def listen(context, news):
    """Print what the relay passes, until the last news has passed."""
    with context.socket(zmq.PAIR) as ear:
        ear.connect("inproc://ear")
        heard = ear.recv_multipart()
        while heard != [b"science", b"%d" % (int(news) - 1)]:
            if heard[0][:1] in (b"\x00", b"\x01"):
                print(f"passed: {'un' * (heard[0][0] == 0)}subscribe {heard[0][1:].decode()}")
            heard = ear.recv_multipart()
        print("passed: the last news")


def relay(front_endpoint, back_endpoint, news):
    """Run the proxy in a thread of its own; it ends with the context."""
    context = zmq.Context()
    front, back, capture = context.socket(zmq.XSUB), context.socket(zmq.XPUB), context.socket(zmq.PAIR)
    front.bind(front_endpoint)
    back.bind(back_endpoint)
    capture.bind("inproc://ear")

    def run():
        try:
            zmq.proxy(front, back, capture)
        except zmq.ContextTerminated:
            for socket in (front, back, capture):
                socket.close(linger=1000)

    thread = threading.Thread(target=run)
    thread.start()
    listen(context, news)
    context.term()
    thread.join()
    print("the relay is down")


def paper(front_endpoint, news):
    """Wait until somebody wants science, then print all sections."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as press:
        press.connect(front_endpoint)
        while press.recv() != b"\x01science":
            pass
        for number in range(int(news)):
            for section in (b"sports", b"science"):
                press.send_multipart([section, b"%d" % number])
    print(f"the paper printed {news} of each")


def reader(back_endpoint, topic, news):
    """Read one section."""
    with zmq.Context() as context, context.socket(zmq.SUB) as chair:
        chair.connect(back_endpoint)
        chair.subscribe(topic)
        for number in range(int(news)):
            assert chair.recv_multipart() == [topic.encode(), b"%d" % number]
        print(f"read {news} pages of {topic}")


if __name__ == "__main__":
    {"relay": relay, "paper": paper, "reader": reader}[sys.argv[1]](*sys.argv[2:])
