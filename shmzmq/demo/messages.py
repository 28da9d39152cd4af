"""What the processes of the demo say to each other: kinds of message, endpoints, sizes."""

# The kinds of message, as first frame: who sends it to whom.
HELLO = b"hello"  # child -> parent: my sockets are connected; [HELLO, name]
GO = b"go"  # parent -> ventilator: send these files; [GO, paths joined by NUL]
COUNTED = b"counted"  # worker -> parent: one batch is counted; [COUNTED, tally]
SENT = b"sent"  # ventilator -> parent: that was the last; [SENT, number of batches, tally of the unreadable]
STOP = b"stop"  # parent -> child: end; [STOP]. A batch is pairs of frames: one frame alone is none.

# Big enough that the frame count is small beside the words in it, small enough that two dozen batches keep
# several workers busy to the end.
BATCH_BYTES = 256 * 1024
# Each worker has at most this many batches in either queue of its task pipe. With libzmq's default of 1000
# the worker that connects first would be given the whole corpus.
BATCHES_AHEAD = 4


def endpoint(folder: str, name: str) -> str:
    """Where `name` is found: tasks, results, orders-worker-1, ..."""
    return f"ipc://{folder}/{name}"
