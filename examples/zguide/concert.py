"""A publisher that waits for its audience: nobody misses the first note, and nobody sleeps to be sure.

    python concert.py band     STAGE_ENDPOINT TICKETS_ENDPOINT SEATS NOTES
    python concert.py listener STAGE_ENDPOINT TICKETS_ENDPOINT

The band tunes its instruments until every listener has heard it do so and has shown its ticket. Only then the
concert begins, so that everyone counts the same number of notes.
"""

import sys

import shmzmq as zmq


def band(stage_endpoint, tickets_endpoint, seats, notes):
    """Tune until the hall is full, play, and say goodbye."""
    with zmq.Context() as context, context.socket(zmq.PUB) as stage, context.socket(zmq.REP) as tickets:
        stage.set_hwm(0)  # a concert is not shortened for slow ears
        stage.bind(stage_endpoint)
        tickets.bind(tickets_endpoint)
        seated = 0
        while seated < int(seats):
            stage.send(b"tuning")
            if tickets.poll(5):
                tickets.recv()
                tickets.send(b"")
                seated += 1
        print(f"{seated} listeners are seated")
        for number in range(int(notes)):
            stage.send_multipart([b"note", b"%d" % number])
        stage.send(b"goodbye")


def listener(stage_endpoint, tickets_endpoint):
    """Hear it tune, show the ticket, count the notes."""
    with zmq.Context() as context, context.socket(zmq.SUB) as seat, context.socket(zmq.REQ) as ticket:
        seat.set_hwm(0)
        seat.connect(stage_endpoint)
        for topic in ("tuning", "note", "goodbye"):
            seat.subscribe(topic)
        assert seat.recv() == b"tuning"
        ticket.connect(tickets_endpoint)
        ticket.send(b"")
        ticket.recv()
        seat.unsubscribe("tuning")
        heard = 0
        while (frames := seat.recv_multipart()) != [b"goodbye"]:
            assert frames in ([b"tuning"], [b"note", b"%d" % heard]), frames
            heard += len(frames) == 2
        print(f"a listener heard {heard} notes")


if __name__ == "__main__":
    {"band": band, "listener": listener}[sys.argv[1]](*sys.argv[2:])
