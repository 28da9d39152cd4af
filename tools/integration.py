"""Run tests/integration in an environment of its own: programs of others, shmzmq from its wheel, no pyzmq.

`python -m tools.integration FOLDER` takes the wheel in FOLDER. The environment is removed at the end; pip
keeps what it downloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(folder: Path) -> int:
    """pytest's exit code; the lines on the way are pip's own."""
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        print(f"integration: {folder} has {len(wheels)} wheels where one is wanted", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="shmzmq-integration-") as place:
        venv.create(place, symlinks=True, with_pip=True)
        python = str(Path(place) / "bin" / "python")
        for arguments in (
            ["install", "-U", "pip"],  # --group is newer than the pip of the older Pythons
            ["install", "--group", "integration"],
            ["uninstall", "-y", "pyzmq"],
            ["install", "--no-deps", str(wheels[0])],
        ):
            subprocess.run([python, "-m", "pip", "-q", *arguments], cwd=ROOT, check=True)
        # pytest's own command and not `-m pytest`, which would put the source tree in front of the wheel.
        pytest = str(Path(place) / "bin" / "pytest")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [pytest, "-m", "integration", "tests/integration", "-rP", "-q", *sys.argv[2:]]
        return subprocess.run(
            command, cwd=ROOT, env={**environment, "SHMZMQ_INTEGRATION": "1"}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
