"""Every library we measure ourselves against, in the order of the tables."""

from benchmarks.core import bench
from benchmarks.rivals import (
    cloudtoid,
    faster_fifo,
    flag_ring,
    iceoryx,
    mixed,
    mp_pipe,
    mp_queue,
    pynng,
    pyomq,
    pyzmq,
    shmzmq,
    subetha,
    zeroq,
)

EVERY: list[bench.Rival] = [
    *shmzmq.RIVALS,
    *pyzmq.RIVALS,
    *mp_pipe.RIVALS,
    *mp_queue.RIVALS,
    *flag_ring.RIVALS,
    *faster_fifo.RIVALS,
    *cloudtoid.RIVALS,
    *zeroq.RIVALS,
    *subetha.RIVALS,
    *iceoryx.RIVALS,
    *pyomq.RIVALS,
    *pynng.RIVALS,
    *mixed.RIVALS,
]

# Present on every machine that runs the project's benchmark; the others are extras, measured if importable.
QUICK = ("shmzmq", "pyzmq-ipc", "mp-pipe", "mp-queue", "flag-ring-10")


def named(name: str) -> bench.Rival:
    return next(rival for rival in EVERY if rival.name == name)
