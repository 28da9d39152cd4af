"""Publish and subscribe: a station that never stops talking, and readers who care for one place each.

    python weather.py station [ENDPOINT]                 until Ctrl-C
    python weather.py reader  [ENDPOINT [PLACE [ROUNDS]]]

Who comes late has missed what was said before. So the temperatures of a place go up and down in a fixed
cycle, and whoever listens for whole cycles finds the same mean, whenever it came.
"""

import sys
import time

import shmzmq as zmq

PLACES = 20
CYCLE = [12, 13, 15, 18, 20, 19, 16, 14]


def station(endpoint):
    """Say the temperature of every place, over and over, whether somebody listens or not."""
    with zmq.Context() as context, context.socket(zmq.PUB) as mast:
        mast.bind(endpoint)
        try:
            while True:
                for degrees in CYCLE:
                    for place in range(PLACES):
                        mast.send_string(f"{10_000 + place} {degrees + place}")
                    time.sleep(0.001)  # the pace of the weather
        except KeyboardInterrupt:
            print("the station goes off the air")


def reader(endpoint, place, rounds):
    """Listen to one place for whole cycles and tell the mean."""
    with zmq.Context() as context, context.socket(zmq.SUB) as radio:
        radio.subscribe(f"{place} ")
        radio.connect(endpoint)
        heard = [radio.recv_string().split() for _ in range(rounds * len(CYCLE))]
    assert {name for name, _ in heard} == {place}
    print(f"mean at {place}: {sum(int(degrees) for _, degrees in heard) / len(heard):.2f}")


if __name__ == "__main__":
    role, endpoint, *rest = (
        sys.argv[1:] if len(sys.argv) > 2 else [*sys.argv[1:2], "ipc:///tmp/zguide-weather"]
    )
    if role == "station":
        station(endpoint)
    else:
        place, rounds = (rest + ["10001", "5"][len(rest) :])[:2]
        reader(endpoint, place, int(rounds))
