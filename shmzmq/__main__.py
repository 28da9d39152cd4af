"""The command `shmzmq`, also `python -m shmzmq`; all of it is in `shmzmq.commands`.

Spawned children of a command import this file again as their main module, so it stays this light.
"""

import sys

from shmzmq.commands import main

if __name__ == "__main__":
    sys.exit(main())
