"""The same echo on asyncio, on uvloop, and on asyncio's and trio's loops through anyio and the FD."""

import asyncio
import json
import os
import sys

import anyio
import uvloop
import zmq
import zmq.asyncio

MANY = 1000


async def with_futures(endpoint):
    """zmq.asyncio's sockets: a REP and a REQ as two tasks."""
    async with zmq.asyncio.Context() as context:
        server, client = context.socket(zmq.REP), context.socket(zmq.REQ)
        server.bind(endpoint)
        client.connect(server.last_endpoint.decode())

        async def serve():
            for _ in range(MANY):
                await server.send(await server.recv())

        async def ask():
            got = []
            for number in range(MANY):
                await client.send(b"%d" % number)
                got.append(int(await client.recv()))
            return got

        _, got = await asyncio.wait_for(asyncio.gather(serve(), ask()), 60)
        server.close()
        client.close()
    return got == list(range(MANY))


async def wait(socket, event):
    """Wait in any loop until the socket has the event: by its FD, and by EVENTS after each of its edges."""
    while not socket.get(zmq.EVENTS) & event:
        await anyio.wait_readable(socket.fileno())


async def with_the_fd(endpoint):
    """Plain sockets in anyio's task groups."""
    got = []
    with zmq.Context() as context, context.socket(zmq.REP) as server, context.socket(zmq.REQ) as client:
        server.bind(endpoint)
        client.connect(server.last_endpoint.decode())

        async def serve():
            for _ in range(MANY):
                await wait(server, zmq.POLLIN)
                server.send(server.recv(zmq.DONTWAIT), zmq.DONTWAIT)

        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            for number in range(MANY):
                await wait(client, zmq.POLLOUT)
                client.send(b"%d" % number, zmq.DONTWAIT)
                await wait(client, zmq.POLLIN)
                got.append(int(client.recv(zmq.DONTWAIT)))
    return got == list(range(MANY))


if __name__ == "__main__":
    saw = {"zmq": zmq.__name__}
    for scheme, endpoint in (("ipc", f"ipc://{sys.argv[1]}/echo"), ("tcp", "tcp://127.0.0.1:*")):
        saw[f"asyncio, {scheme}"] = asyncio.run(with_futures(endpoint))
        saw[f"uvloop, {scheme}"] = uvloop.run(with_futures(endpoint))
        for backend in ("asyncio", "trio"):
            saw[f"anyio on {backend}, {scheme}"] = anyio.run(with_the_fd, endpoint, backend=backend)
    assert os.listdir(sys.argv[1]) == []
    print(json.dumps(saw))
