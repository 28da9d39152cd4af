"""What a rival is: one small file that says how a library moves bytes between two processes.

A rival is written as its own documentation tells a user to write it, in the fastest form that blocks and
keeps order. It knows nothing of counting, timing, pinning or reporting; the harness knows nothing of it
beyond this page. To add one, write a file, give it a class with these members and name it in `__init__.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.core import bench

BATCH = 100


@dataclass(slots=True)
class End(bench.End):
    """An end whose library offers more than `send` and `recv`.

    try_send, try_recv   for a library without a blocking form: true when accepted, None when empty. The timed
                         loop then waits inline, without a function of ours in between, which favours it.
    send_many            takes a list, returns when all of it is accepted.
    recv_many            takes a limit, blocks, returns at least one and at most that many.
    parts                `recv` returns a list of frames, the message last, which `send` takes as it is.
    alloc                for a library that lends memory: takes a size, returns a writable buffer of the
                         library's own, which `post` sends without copying it.
    post                 sends what `alloc` returned.
    lend                 the same in one call, for a library that needs more than two: takes a size and some
                         first bytes, sends a message that has these and is otherwise not filled. `send` of
                         such an end does that with the head of what it is given: the rest is in place.
    show                 sends a whole copy, where `send` does not: for the comparison of every byte.
    """

    try_send: Callable[[Any], Any] | None = None
    try_recv: Callable[[], Any] | None = None
    send_many: Callable[[list[bytes]], Any] | None = None
    recv_many: Callable[[int], Sequence[Any]] | None = None
    parts: bool = False
    alloc: Callable[[int], Any] | None = None
    post: Callable[[Any], Any] | None = None
    lend: Callable[[int, bytes], Any] | None = None
    show: Callable[[bytes], Any] | None = None


class Rival(Protocol):
    """The contract. `benchmarks.core.bench.Rival` is a base class with the usual answers.

    name       what the tables call it, without blanks, so that --rivals can name it
    kinds      which measurements it takes part in: oneway, many (batches), roundtrip, fanout (one to many),
               zero (lent memory); `sizes` names its own;
               and for modules with pyzmq's API connect, inproc, idle, patterns, peers
    sizes      smallest and largest message in bytes
    open       in a child; roles pull and pong are opened first and may return an address in their End, which
               push and ping are then given; options may hold spin_us (shmzmq only). For fanout the roles are
               publish, opened first, and subscribe; options hold readers, size and a subscriber's rank.
               For video they are film, opened first, and watch.
               For patterns they are ping and pong; options hold the pattern
               mixed (one way, a library at each end) is filed apart from oneway: it is no rival
    """

    name: str
    module: str
    kinds: frozenset[str]
    sizes: tuple[int, int]

    def available(self) -> bool: ...
    def version(self) -> str: ...
    def wire(self, scratch: Path, size: int) -> Any: ...
    def open(self, role: str, wiring: Any, address: str, options: dict[str, Any]) -> Any: ...
    def clean(self, wiring: Any) -> None: ...


def blocking(try_once: Callable[[], Any], rest: Callable[[], Any]) -> Any:
    """Turn a non-blocking receive into a blocking one, for round trips."""
    while (message := try_once()) is None:
        rest()
    return message


def insist(try_once: Callable[[Any], Any], rest: Callable[[], Any], message: Any) -> None:
    """Turn a non-blocking send into a blocking one, for round trips and last messages."""
    while not try_once(message):
        rest()
