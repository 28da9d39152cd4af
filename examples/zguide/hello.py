"""Request and reply: a clerk who greets, and a visitor who says who is there.

python hello.py clerk   [ENDPOINT [VISITS]]
python hello.py visitor [ENDPOINT [VISITS]]
"""

import sys

import shmzmq as zmq


def clerk(endpoint, visits):
    """Answer each name with a greeting, as often as there are visits."""
    with zmq.Context() as context, context.socket(zmq.REP) as desk:
        desk.bind(endpoint)
        for _ in range(visits):
            name = desk.recv_string()
            desk.send_string(f"good morning, {name}")
    print(f"the clerk greeted {visits} visitors")


def visitor(endpoint, visits):
    """Say a name, wait for the greeting, come again. The clerk may open later than we knock."""
    with zmq.Context() as context, context.socket(zmq.REQ) as door:
        door.connect(endpoint)
        for number in range(visits):
            door.send_string(f"guest {number}")
            print(door.recv_string())


if __name__ == "__main__":
    role, endpoint, visits = (sys.argv[1:] + ["clerk", "ipc:///tmp/zguide-hello", "10"][len(sys.argv) - 1 :])[
        :3
    ]
    {"clerk": clerk, "visitor": visitor}[role](endpoint, int(visits))
