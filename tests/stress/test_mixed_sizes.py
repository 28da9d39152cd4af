"""The run of `mixed_sizes.py`, short: nothing torn, lost, twice or out of order; memory back at its level.

`SHMZMQ_SOAK_SECONDS` sets how long it takes, `SHMZMQ_SOAK_LARGEST` the largest body, and
`SHMZMQ_SOAK_REPORT` where the ledger goes.
"""

from __future__ import annotations

import os
import random

import mixed_sizes
import pytest

SECONDS = float(os.environ.get("SHMZMQ_SOAK_SECONDS", "20"))
LARGEST = int(os.environ.get("SHMZMQ_SOAK_LARGEST", str(mixed_sizes.LARGEST)))
SEED = int(os.environ.get("SHMZMQ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
WHOLE_TEST = 2 * SECONDS + mixed_sizes.RESERVE
MEMORY = mixed_sizes.MOST_PSS + (1 << 30)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(WHOLE_TEST),
    pytest.mark.shmzmq_only("libzmq loses what was under way to a peer that died"),
]


def test_mixed_sizes_with_kills_and_held_frames_tear_nothing_and_leave_memory_flat(backstop):
    if mixed_sizes.footprint.available() < MEMORY:
        pytest.skip(f"needs {MEMORY >> 20} MiB of memory to be safe from itself")
    backstop(WHOLE_TEST + 30)  # longer than conftest's
    print(f"replay with SHMZMQ_SEED={SEED} SHMZMQ_SOAK_SECONDS={SECONDS:g} SHMZMQ_SOAK_LARGEST={LARGEST}")
    ledger = mixed_sizes.run(SECONDS, SEED, LARGEST, os.environ.get("SHMZMQ_SOAK_REPORT"))
    print(mixed_sizes.table(ledger))
    counts = ledger["counts"]
    for name in ("push", "dealer", "pub"):
        assert counts.get(f"received {name}"), f"nothing was received of {name}: {counts}"
    assert counts.get("answers"), f"no answer came back: {counts}"
    assert counts.get("held and written into"), f"nothing was held: {counts}"
