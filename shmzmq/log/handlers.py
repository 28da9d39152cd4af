"""PUBHandler: log records as messages of two frames, topic and text. TopicLogger: records with topics.

Knows    how a topic is made: root topic, name of the level, what stands before `::` in the record's message.
Refuses  to raise into the program that logs: what goes wrong is told as `logging` tells it (handleError).
"""

from __future__ import annotations

import logging
from copy import copy
from typing import Any, Final

from .. import PUB, Context, Socket

__all__ = ["TOPIC_DELIM", "PUBHandler", "TopicLogger"]

TOPIC_DELIM: Final = "::"
"""Stands between topic and text in the message of a record."""

_WHERE = "%(levelname)s %(filename)s:%(lineno)d - %(message)s"
_FORMATS = {
    logging.DEBUG: _WHERE,
    logging.INFO: "%(message)s",
    logging.WARNING: _WHERE,
    logging.ERROR: f"{_WHERE} - %(exc_info)s",
    logging.CRITICAL: _WHERE,
}


class PUBHandler(logging.Handler):
    """Publishes log records.

    Shape    interface_or_socket: an endpoint to bind a PUB to, or a socket that the program owns.
             context: for that PUB; None makes one. root_topic: in front of every topic.
    """

    formatters: dict[int, logging.Formatter | None]
    """By level; a level without one uses that of the next level below it."""
    ctx: Context[Any]
    socket: Socket[Any]

    def __init__(
        self,
        interface_or_socket: str | Socket[Any],
        context: Context[Any] | None = None,
        root_topic: str = "",
    ) -> None:
        """Bind, or take the socket. Raises what `bind` raises."""
        super().__init__()
        self.root_topic = root_topic
        self.formatters = {level: logging.Formatter(f"{text}\n") for level, text in _FORMATS.items()}
        self._made: list[Any] = []
        if isinstance(interface_or_socket, Socket):
            self.socket = interface_or_socket
            self.ctx = self.socket.context
            return
        self.ctx = context or Context()
        if context is None:
            self._made.append(self.ctx.term)
        self.socket = self.ctx.socket(PUB)
        self._made.append(self.socket.close)
        try:
            self.socket.bind(interface_or_socket)
        except BaseException:
            self.close()
            raise

    @property
    def root_topic(self) -> str:
        """What every topic begins with, without the dot behind it."""
        return self._root_topic

    @root_topic.setter
    def root_topic(self, value: str) -> None:
        self.setRootTopic(value)

    def setRootTopic(self, root_topic: str | bytes) -> None:
        """Set what every topic begins with."""
        self._root_topic = root_topic.decode() if isinstance(root_topic, bytes) else root_topic

    def setFormatter(self, fmt: logging.Formatter | None, level: int = logging.NOTSET) -> None:
        """Set the formatter of one level, or of all of them."""
        for each in self.formatters if level == logging.NOTSET else [level]:
            self.formatters[each] = fmt

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text, by the formatter of its level."""
        below = [level for level in self.formatters if level <= record.levelno]
        level = max(below) if below else min(self.formatters)
        return (self.formatters[level] or logging.Formatter()).format(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Publish a record."""
        try:
            topic, found, text = str(record.msg).partition(TOPIC_DELIM)
            if found:
                record = copy(record)  # other handlers get it as it was
                record.msg = text
            parts = [self.root_topic, record.levelname, topic if found else ""]
            name = ".".join(part for part in parts if part).encode(errors="replace")
            self.socket.send_multipart([name, self.format(record).encode(errors="replace")])
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """End the handler: closes the socket, and ends the context, if they were made for it."""
        while self._made:
            self._made.pop()()
        super().close()


def _method(name: str, level: int, **usual: Any) -> Any:
    def method(self: TopicLogger, topic: str, msg: str, *args: Any, **kwargs: Any) -> None:
        self._say(level, topic, msg, args, usual | kwargs)

    method.__name__ = name
    method.__qualname__ = f"TopicLogger.{name}"
    method.__doc__ = f"Log `msg % args` under a topic, as `logging.Logger.{name}` does without one."
    return method


class TopicLogger(logging.Logger):
    """A logger whose methods take a topic in front of the message: `logger.info("topic.sub", "text")`."""

    def log(self, level: int, topic: str, msg: str, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Log `msg % args` under a topic."""
        self._say(level, topic, msg, args, kwargs)

    def _say(self, level: int, topic: str, msg: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Two calls stand between `logging` and who logs.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 2
        super().log(level, f"{topic}{TOPIC_DELIM}{msg}", *args, **kwargs)

    debug = _method("debug", logging.DEBUG)
    info = _method("info", logging.INFO)
    warn = _method("warn", logging.WARNING)
    warning = _method("warning", logging.WARNING)
    error = _method("error", logging.ERROR)
    exception = _method("exception", logging.ERROR, exc_info=True)
    critical = _method("critical", logging.CRITICAL)
    fatal = _method("fatal", logging.CRITICAL)
