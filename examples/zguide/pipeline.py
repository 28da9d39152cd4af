"""Divide and collect: a foreman hands out numbers, workers square them, a clerk adds up and ends the day.

    python pipeline.py foreman JOBS_ENDPOINT NUMBERS
    python pipeline.py worker  JOBS_ENDPOINT RESULTS_ENDPOINT BELL_ENDPOINT
    python pipeline.py clerk   RESULTS_ENDPOINT BELL_ENDPOINT NUMBERS WORKERS

The bell that ends the shift is published, and who has not tuned in does not hear it. So it hangs on an XPUB,
where the clerk sees each worker's subscription and waits for all of them before it rings.
"""

import sys

import shmzmq as zmq


def foreman(jobs_endpoint, numbers):
    """Push every number to whichever worker has its turn."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as jobs:
        jobs.bind(jobs_endpoint)
        for number in range(int(numbers)):
            jobs.send_json({"number": number})
    print(f"the foreman handed out {numbers} numbers")


def worker(jobs_endpoint, results_endpoint, bell_endpoint):
    """Square what comes until the bell rings."""
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as jobs,
        context.socket(zmq.PUSH) as results,
        context.socket(zmq.SUB) as bell,
    ):
        jobs.connect(jobs_endpoint)
        results.connect(results_endpoint)
        bell.subscribe(b"")
        bell.connect(bell_endpoint)
        poller = zmq.Poller()
        poller.register(jobs, zmq.POLLIN)
        poller.register(bell, zmq.POLLIN)
        while bell not in (ready := dict(poller.poll())):
            if jobs in ready:
                job = jobs.recv_json()
                results.send_json({**job, "square": job["number"] ** 2})
        print(f"a worker heard: {bell.recv_string()}")


def clerk(results_endpoint, bell_endpoint, numbers, workers):
    """Add up all squares, then ring the bell."""
    with zmq.Context() as context, context.socket(zmq.PULL) as results, context.socket(zmq.XPUB) as bell:
        results.bind(results_endpoint)
        bell.xpub_verbose = 1  # else the same subscription of a second worker would not be told
        bell.bind(bell_endpoint)
        answers = [results.recv_json() for _ in range(int(numbers))]
        for _ in range(int(workers)):
            assert bell.recv() == b"\x01"
        bell.send_string("time to go home")
    assert sorted(answer["number"] for answer in answers) == list(range(int(numbers)))
    print(f"the squares add up to {sum(answer['square'] for answer in answers)}")


if __name__ == "__main__":
    {"foreman": foreman, "worker": worker, "clerk": clerk}[sys.argv[1]](*sys.argv[2:])
