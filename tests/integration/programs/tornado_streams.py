"""ZMQStreams on tornado's loop: an echo of a thousand messages, with callbacks for sending and receiving."""

import json

import zmq
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

MANY = 1000
ENDPOINTS = ("ipc:///tmp/shmzmq-tornado-{pid}", "tcp://127.0.0.1:*", "inproc://echo")


async def echo(endpoint):
    """How many answers came, in order; what the callback for sending saw."""
    import asyncio

    context = zmq.Context()
    server, client = ZMQStream(context.socket(zmq.ROUTER)), ZMQStream(context.socket(zmq.DEALER))
    server.socket.bind(endpoint)
    client.socket.connect(server.socket.last_endpoint.decode())
    got, sent, done = [], [], asyncio.get_running_loop().create_future()
    server.on_recv_stream(lambda stream, frames: stream.send_multipart(frames))

    def heard(frames):
        got.append(int(frames[-1]))
        if len(got) == MANY:
            done.set_result(None)

    client.on_recv(heard)
    client.on_send(lambda frames, status: sent.append(frames))
    for number in range(MANY):
        client.send(b"%d" % number)
    await asyncio.wait_for(done, 30)
    client.close()
    server.close()
    context.term()
    return got == list(range(MANY)), len(sent)


if __name__ == "__main__":
    import os

    loop = IOLoop()
    saw = {
        each.split(":")[0]: loop.run_sync(lambda e=each: echo(e.format(pid=os.getpid())))
        for each in ENDPOINTS
    }
    print(json.dumps({"zmq": zmq.__name__, **saw}))
