"""Keys for CURVE: does not exist yet."""

import sys

_TEXT = "shmzmq.curve_keygen does not exist yet: CURVE is not built"

if __name__ == "__main__":
    sys.exit(_TEXT)
raise ImportError(_TEXT, name=__name__)
