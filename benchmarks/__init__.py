"""The project's benchmark: shmzmq, its rivals and the machine's own limits in one run. See README.md."""
