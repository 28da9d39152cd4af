"""The main job: count the words of a real corpus with a ventilator, workers and a sink.

`run_demo` is all of it. Its nouns are the other files: `corpus`, `tally`, `messages` (what the processes say
to each other), `children`, `crew` (the parent's side), `run`, `report` and `progress`. They see sockets only
through the public API, as any user's program would, and take no short cut through the library's insides.

Theory of operation. The caller's process is the sink; it starts one ventilator and N workers by spawn::

    parent --go, stop--> ventilator ==files==> worker-1..N ==counts==> parent
    parent --stop------> worker-1..N           (and every child says hello to the parent first)

    tasks          ventilator's PUSH binds, every worker's PULL connects
    results        parent's PULL binds, every child's PUSH connects: hello, counts, sent
    orders-<name>  parent's PUSH binds, one child's PULL connects: go, stop

1. Every child connects and says `hello`. When all have, the parent orders `go` and the clock starts, so that
   the rate speaks of messages and not of interpreters being started.
2. The ventilator reads the files and pushes them in batches; the workers answer each batch with its counts.
   After the last batch the ventilator reports `sent` with the number of batches: `sent` may overtake counts,
   so the sink is done when it has that many counts, whatever the order.
3. Then every child is told to `stop` on its own pipe. A worker reads that pipe with the same PULL as its
   tasks; no task can be waiting behind a stop, because every batch was answered before. Nobody competes for
   somebody else's stop, and nothing is lost with a pipe that closes too early.

Hence the rule that makes death visible: **no child ends before it was told to stop**. Whoever does has died,
and the parent, which looks at its children every POLL_MS while it waits, says so instead of waiting for ever.
In the other direction each child watches the parent and leaves when it is gone.
"""

from shmzmq.demo.corpus import CorpusError, find_files
from shmzmq.demo.crew import ChildDied
from shmzmq.demo.messages import BATCH_BYTES
from shmzmq.demo.run import DemoResult, default_workers, run_demo
from shmzmq.demo.tally import Tally, count_words, plain_count

__all__ = [
    "BATCH_BYTES",
    "ChildDied",
    "CorpusError",
    "DemoResult",
    "Tally",
    "count_words",
    "default_workers",
    "find_files",
    "plain_count",
    "run_demo",
]
