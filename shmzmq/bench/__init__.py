"""`shmzmq bench`: how fast is this machine, with us and with what else is installed?

A short measurement that ships in the wheel: messages one way and round trips, shmzmq beside pyzmq and
multiprocessing, in turns (A B C A B C ...), so that a machine that slows down slows all of them.
The long one, with C baselines, system calls, memory and the project's targets, is `python -m benchmarks`
in the repository. It loads this package by its path for the parts both need.

    parent                         left child                    right child
      |-- open(role, address) ------>|  send ================> recv |   the library under test
      |-- pour / ping -------------->|                              |
      |-- drain / pong ---------------------------------------------->|
      |<------------------------------ when the first message left  |
      |<---------------------------------------------- when the last one had been verified

Each child is a fresh spawned process, pinned, and obeys one command at a time. Every wait has a cap: the
parent's by `connection.wait`, a child's by SIGALRM, which also ends a child that hangs inside a C call.

The files import each other by relative paths and nothing of shmzmq at all, except by name in the child that
measures shmzmq: a rival's process must not contain our library. (Under `shmzmq bench` it does, imported and
unused, because the main module is ours; under `python -m benchmarks` it does not.)
"""

from .cpus import cpu_pair
from .ends import End, burst, describe_trips, drain, echo, halt, perf, ping, pour, quantile
from .messages import (
    BLOCK_BYTES,
    BLOCK_MESSAGES,
    HEAD,
    BenchError,
    BrokenLibrary,
    block_length,
    check,
    make_block,
    make_message,
)
from .pair import (
    Command,
    Pair,
    Side,
    lasting,
    messages_in,
    pass_rounds,
    reap,
    settle,
    stream,
    verify,
)
from .rivals import RIVALS, SPIN_US, PipeRival, QueueRival, Rival, ShmzmqRival, ZmqRival, rival_named
from .worker import Worker, child, obey, pin

__all__ = [
    "BLOCK_BYTES",
    "BLOCK_MESSAGES",
    "BenchError",
    "BrokenLibrary",
    "Command",
    "End",
    "HEAD",
    "Pair",
    "PipeRival",
    "QueueRival",
    "RIVALS",
    "Rival",
    "SPIN_US",
    "ShmzmqRival",
    "Side",
    "Worker",
    "ZmqRival",
    "block_length",
    "burst",
    "check",
    "child",
    "cpu_pair",
    "describe_trips",
    "drain",
    "echo",
    "halt",
    "lasting",
    "make_block",
    "make_message",
    "messages_in",
    "obey",
    "pass_rounds",
    "perf",
    "pin",
    "ping",
    "pour",
    "quantile",
    "reap",
    "rival_named",
    "settle",
    "stream",
    "verify",
]
