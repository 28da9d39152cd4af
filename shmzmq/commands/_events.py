"""What a monitor tells of connections, in words. This file knows events and no command.

docs/reference/events.md says when each event comes; two things are told here that single events do not say:
whether a NO_RINGS means "over the socket then" (it follows a handshake that succeeded) or "refused", and why
a handshake failed.
"""

import errno
import os
import time
from dataclasses import dataclass, field
from typing import Any

import shmzmq as zmq
from shmzmq.utils.monitor import parse_monitor_message

WORDS: dict[int, str] = {
    zmq.EVENT_CONNECTED: "connected, shaking hands",
    zmq.EVENT_CONNECT_DELAYED: "connecting",
    zmq.EVENT_CONNECT_RETRIED: "trying again in {value} ms",
    zmq.EVENT_LISTENING: "listening",
    zmq.EVENT_BIND_FAILED: "bind failed: {reason}",
    zmq.EVENT_ACCEPTED: "accepted, shaking hands",
    zmq.EVENT_ACCEPT_FAILED: "a peer could not be accepted: {reason}",
    zmq.EVENT_CLOSED: "nobody listens there",
    zmq.EVENT_CLOSE_FAILED: "close failed: {reason}",
    zmq.EVENT_DISCONNECTED: "disconnected",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "handshake failed: {reason}",
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "up",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "handshake failed: no ZMTP as it should be ({reason})",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "handshake failed: authentication refused it ({value})",
    zmq.ShmEvent.RINGS: "shared memory: {reason}",
    zmq.ShmEvent.NO_RINGS: "no shared memory: {reason}",
    zmq.ShmEvent.BROKEN: "broken: {reason}",
}

FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_ERRNO_EVENTS = (
    zmq.EVENT_BIND_FAILED
    | zmq.EVENT_ACCEPT_FAILED
    | zmq.EVENT_CLOSE_FAILED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_LEFT = "the peer left; perhaps it is of a type that cannot talk to ours"
_REASONS = {errno.EPIPE: _LEFT, errno.ECONNRESET: _LEFT, errno.EAGAIN: "the peer says nothing"}


@dataclass(frozen=True)
class Happening:
    """One event, and in `after` the one before it at the same endpoint."""

    event: int
    name: str
    value: int
    endpoint: str
    reason: str
    after: int
    time: float = field(default_factory=time.time)

    @property
    def up(self) -> bool:
        """Whether messages may flow from now on."""
        return self.event == zmq.EVENT_HANDSHAKE_SUCCEEDED

    @property
    def refused(self) -> bool:
        """Whether this says that a handshake came to nothing, and why."""
        told_before = self.repeats or self.after == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return bool(self.event & FAILED) or (self.event == zmq.ShmEvent.NO_RINGS and not told_before)

    @property
    def repeats(self) -> bool:
        """Whether the failure before it has said the same."""
        return self.event == zmq.ShmEvent.NO_RINGS and bool(self.after & FAILED)

    def __str__(self) -> str:
        if self.refused and self.event == zmq.ShmEvent.NO_RINGS:
            return f"refused: {self.reason}"
        return WORDS[self.event].format(value=self.value, reason=self.reason)


class Watch:
    """The monitor of one socket; begun before the socket is bound or connected, ended by `close`."""

    def __init__(self, socket: zmq.Socket) -> None:
        self.monitor: Any = socket.get_monitor_socket(zmq.EVENT_ALL | zmq.ShmEvent.ALL)
        self._last: dict[str, int] = {}

    def next(self, timeout_ms: int | None = 0) -> Happening | None:
        """The next event; None when there was none in time (None waits for ever), or there is no more."""
        if not self.monitor.poll(timeout_ms):
            return None
        told = parse_monitor_message(self.monitor.recv_multipart())
        event, endpoint = int(told["event"]), told["endpoint"].decode(errors="backslashreplace")
        if event == zmq.EVENT_MONITOR_STOPPED:
            return None
        value = int(told["value"])
        after, self._last[endpoint] = self._last.get(endpoint, 0), event
        reason = told.get("detail") or _reason(event, value)
        return Happening(event, told["event"].name or hex(event), value, endpoint, reason, after)

    def close(self) -> None:
        """End the watching; the socket stays as it is."""
        self.monitor.close(0)


class Complaints:
    """Refused handshakes of a socket, each text once: what a silent wait would hide."""

    def __init__(self, socket: zmq.Socket) -> None:
        self.watch = Watch(socket)
        self._said: set[str] = set()

    def new(self) -> list[str]:
        """What was refused since the last look, for another reason than before."""
        found = []
        while happening := self.watch.next():
            text = f"{happening.endpoint}: {happening}"
            if happening.refused and text not in self._said:
                self._said.add(text)
                found.append(text)
        return found


def _reason(event: int, value: int) -> str:
    if event & _ERRNO_EVENTS:
        return _REASONS.get(value) or os.strerror(value)
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return zmq.Event(value).name or hex(value)
    return ""
