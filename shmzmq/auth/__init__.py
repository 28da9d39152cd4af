"""Who may connect, by certificate or password: does not exist yet. Programs that ask first see why."""

raise ImportError(
    "shmzmq.auth does not exist yet: CURVE, PLAIN and ZAP are not built. Over ipc the mode of the socket "
    "file says who may connect (IPC_FILE_MODE); `shmzmq.has('curve')` tells when there is more",
    name=__name__,
)
