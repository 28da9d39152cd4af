"""Going home on a signal: a blocking receive ends when Ctrl-C is pressed, and everything is closed in order.

    python nightwatch.py watchman ENDPOINT                        until Ctrl-C or SIGTERM
    python nightwatch.py reporter ENDPOINT REPORTS

SIGINT becomes KeyboardInterrupt inside the receive. SIGTERM runs its handler, which raises what it likes.
"""

import signal
import sys

import shmzmq as zmq


class Relieved(Exception):
    """SIGTERM came: the shift is over."""


def relieve(_number, _frame):
    raise Relieved


def watchman(endpoint):
    """Write down reports until a signal comes."""
    signal.signal(signal.SIGTERM, relieve)
    reports = 0
    with zmq.Context() as context, context.socket(zmq.PULL) as radio:
        radio.bind(endpoint)
        try:
            while True:
                report = radio.recv_string()
                reports += 1
                print(report, flush=True)
        except KeyboardInterrupt:
            print("interrupted")
        except Relieved:
            print("relieved")
    print(f"{reports} reports in the book")


def reporter(endpoint, reports):
    """Send the reports."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as radio:
        radio.connect(endpoint)
        for number in range(int(reports)):
            radio.send_string(f"all quiet at gate {number}")


if __name__ == "__main__":
    {"watchman": watchman, "reporter": reporter}[sys.argv[1]](*sys.argv[2:])
