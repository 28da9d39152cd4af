"""Log records over a PUB socket: topics, texts, loggers with topics, and the program that shows them."""

from __future__ import annotations

import importlib
import logging
import os
import select
import signal
import subprocess
import sys

import pytest

from kit import expect, tune_in, wait_until


@pytest.fixture
def handlers(zmq, backend):
    """The module of handlers."""
    return importlib.import_module(f"{backend}.log.handlers")


@pytest.fixture
def studio(zmq, handlers, sockets, inproc):
    """A handler on a PUB, a logger that uses it, and a SUB that hears all of it."""
    pub, sub = sockets(zmq.PUB), sockets(zmq.SUB)
    pub.bind(inproc)
    sub.connect(inproc)
    sub.subscribe(b"")
    tune_in(pub, sub)
    handler = handlers.PUBHandler(pub)
    logger = logging.Logger("studio")
    logger.addHandler(handler)
    yield handler, logger, sub
    handler.close()


# --- topics and texts --------------------------------------------------------------------------------------


def test_level_is_the_topic_and_the_text_says_where(studio):
    _, logger, sub = studio
    logger.info("hello %s", "you")
    expect(sub, b"INFO", b"hello you\n")
    for level in ("debug", "warning", "critical"):
        getattr(logger, level)("hello")
        topic, text = sub.recv_multipart()
        assert topic == level.upper().encode()
        assert text.startswith(topic + b" test_spec_log.py:")
        assert text.endswith(b" - hello\n")


def test_error_tells_the_exception(studio):
    _, logger, sub = studio
    logger.error("no exception")
    assert sub.recv_multipart()[1].endswith(b" - no exception - None\n")
    try:
        raise ZeroDivisionError("the cause")
    except ZeroDivisionError:
        logger.exception("failed")
    topic, text = sub.recv_multipart()
    assert topic == b"ERROR"
    assert b"the cause" in text
    assert b"Traceback" in text


@pytest.mark.parametrize("root", ["root", b"root"])
def test_root_topic_and_topic_of_the_record(studio, root):
    handler, logger, sub = studio
    handler.root_topic = root
    assert handler.root_topic == "root"
    logger.info("sub.subsub::text::more")
    expect(sub, b"root.INFO.sub.subsub", b"text::more\n")
    logger.info("text")
    expect(sub, b"root.INFO", b"text\n")
    handler.setRootTopic("")
    logger.info("sub::text %d", 1)
    expect(sub, b"INFO.sub", b"text 1\n")


def test_other_handlers_get_the_record_as_it_was(studio, caplog):
    _, logger, sub = studio
    logger.addHandler(caplog.handler)
    logger.info("sub::text")
    expect(sub, b"INFO.sub", b"text\n")
    assert [record.msg for record in caplog.records] == ["sub::text"]


def test_formatter_for_one_level_and_for_all(studio):
    handler, logger, sub = studio
    handler.setFormatter(logging.Formatter("%(name)s"), logging.INFO)
    logger.info("text")
    expect(sub, b"INFO", b"studio")
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.info("text")
    expect(sub, b"INFO", b"INFO text")
    logger.warning("text")
    expect(sub, b"WARNING", b"WARNING text")


def test_message_need_not_be_text(studio):
    _, logger, sub = studio
    logger.info({"a": 1})
    expect(sub, b"INFO", b"{'a': 1}\n")


def test_record_that_cannot_be_formatted_is_told_as_logging_does(studio, capsys):
    _, logger, sub = studio
    logger.info("%d", "no number")
    logger.info("next")
    expect(sub, b"INFO", b"next\n")
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.shmzmq_only("in pyzmq such a record is a KeyError, told and lost")
def test_level_of_one_s_own_uses_the_next_one_below(studio):
    _, logger, sub = studio
    logger.log(logging.INFO + 1, "text")
    expect(sub, b"Level 21", b"text\n")
    logger.log(1, "text")
    assert sub.recv_multipart()[1].startswith(b"Level 1 test_spec_log.py:")


@pytest.mark.shmzmq_only("in pyzmq the error of the socket is raised where the program logs")
def test_closed_socket_does_not_raise_into_the_program(studio, capsys):
    handler, logger, _ = studio
    handler.socket.close()
    logger.info("text")
    assert "Logging error" in capsys.readouterr().err


# --- where it publishes ------------------------------------------------------------------------------------


def test_handler_binds_an_endpoint(zmq, handlers, ctx, sockets, ipc):
    handler = handlers.PUBHandler(ipc, ctx, "root")
    assert handler.ctx is ctx
    assert handler.socket.type == zmq.PUB
    assert handler.root_topic == "root"
    sub = sockets(zmq.SUB)
    sub.connect(ipc)
    sub.subscribe(b"")
    record = logging.LogRecord("name", logging.INFO, "file", 1, "text", None, None)

    def heard():
        handler.handle(record)
        return sub.poll(20)

    wait_until(heard, "a record")
    expect(sub, b"root.INFO", b"text\n")
    handler.close()
    handler.socket.close()


@pytest.mark.shmzmq_only("pyzmq's handler keeps the endpoint, and its context, for good")
def test_closed_handler_gives_its_endpoint_and_context_back(handlers, ipc):
    for _ in range(2):
        handler = handlers.PUBHandler(ipc)
        handler.close()
        assert handler.socket.closed
        assert handler.ctx.closed


@pytest.mark.shmzmq_only("pyzmq's handler keeps its context")
def test_handler_that_cannot_bind_leaves_nothing(zmq, handlers):
    with pytest.raises(zmq.ZMQError):
        handlers.PUBHandler("nothing://like.this")


# --- loggers with topics -----------------------------------------------------------------------------------


@pytest.fixture
def topics(handlers, studio):
    """A TopicLogger in the studio, and the SUB."""
    handler, _, sub = studio
    logger = handlers.TopicLogger("topics")
    logger.addHandler(handler)
    return logger, sub


def test_topic_and_level_are_given(topics):
    logger, sub = topics
    logger.log(logging.INFO, "topic.sub", "text %d", 1)
    expect(sub, b"INFO.topic.sub", b"text 1\n")


@pytest.mark.shmzmq_only("in pyzmq 27.3 all of them log as CRITICAL, said by its own file")
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("debug", "DEBUG"), ("info", "INFO"), ("warn", "WARNING"), ("warning", "WARNING"), ("error", "ERROR"),
        ("critical", "CRITICAL"), ("fatal", "CRITICAL"),
    ],
)  # fmt: skip
def test_every_method_takes_a_topic(topics, name, level):
    logger, sub = topics
    getattr(logger, name)("topic", "text %d", 1)
    topic, text = sub.recv_multipart()
    assert topic == f"{level}.topic".encode()
    assert text == b"text 1\n" if name == "info" else b"test_spec_log.py:" in text


@pytest.mark.shmzmq_only("in pyzmq 27.3 it logs as CRITICAL and without the exception")
def test_exception_with_a_topic(topics):
    logger, sub = topics
    try:
        raise ZeroDivisionError("the cause")
    except ZeroDivisionError:
        logger.exception("topic", "failed")  # noqa: PLE1205  # no format string, a topic
    topic, text = sub.recv_multipart()
    assert topic == b"ERROR.topic"
    assert b"the cause" in text


def test_logger_with_topics_has_a_level(topics):
    logger, sub = topics
    logger.setLevel(logging.ERROR)
    logger.log(logging.INFO, "topic", "text")
    assert not sub.poll(0)


# --- the program -------------------------------------------------------------------------------------------


def interrupted(program):
    """Send SIGINT; True once the program has ended. One may come just before it falls asleep."""
    program.send_signal(signal.SIGINT)
    try:
        program.wait(0.3)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.fixture
def viewer(backend, handlers, ctx, ipc):
    """A function that shows records with some options; returns the lines, having interrupted the program."""

    def run(count, *options):
        handler = handlers.PUBHandler(ipc, ctx, "root")
        command = [sys.executable, "-u", "-m", f"{backend}.log", *options, ipc]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            try:
                records = [
                    logging.LogRecord("name", level, "file", 1, text, None, None)
                    for level, text in ((logging.INFO, "first"), (logging.WARNING, "sub::second"))
                ]
                lines = []
                while len(lines) < count and program.poll() is None:
                    for record in records:
                        handler.handle(record)
                    while len(lines) < count and select.select([program.stdout], [], [], 0.05)[0]:
                        lines.append(program.stdout.readline())
            finally:
                try:
                    wait_until(lambda: interrupted(program), "the program to end")
                finally:
                    program.kill()
                    handler.close()
                    handler.socket.close(linger=0)
            assert program.returncode == 0
            assert "Traceback" not in program.stderr.read()
        return lines

    return run


@pytest.mark.slow
def test_program_shows_topic_and_text(viewer):
    lines = viewer(4)
    assert "root.INFO | first\n" in lines
    assert "root.WARNING.sub | WARNING file:1 - second\n" in lines


@pytest.mark.slow
def test_program_with_options(viewer):
    lines = viewer(3, "-t", "root.WARN", "--separator", "/", "--timestamp", "--dateformat", "now")
    assert set(lines) == {"now root.WARNING.sub/WARNING file:1 - second\n"}


@pytest.mark.slow
@pytest.mark.shmzmq_only("pyzmq shows a traceback")
def test_program_shows_any_text_in_a_narrow_locale_and_takes_any_topic(viewer, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    lines = viewer(2, "--separator", " \N{BULLET} ")
    assert "root.INFO \\u2022 first\n" in lines
    command = [sys.executable, "-m", "shmzmq.log", "-t", os.fsdecode(b"\xff"), "nothing://like.this"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@pytest.mark.slow
def test_program_aligns(viewer):
    lines = viewer(6, "--align")[2:]
    assert len({line.index("|") for line in lines}) == 1


@pytest.mark.slow
@pytest.mark.shmzmq_only("pyzmq's needs colorama")
def test_program_colours(viewer):
    lines = viewer(2, "--color", "-t", "root.WARN")
    assert set(lines) == {"\x1b[33mroot.WARNING.sub | WARNING file:1 - second\x1b[0m\n"}


@pytest.mark.slow
@pytest.mark.shmzmq_only("pyzmq shows a traceback")
def test_program_says_what_is_wrong_with_its_endpoint():
    command = [sys.executable, "-m", "shmzmq.log", "nothing://like.this"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "nothing://like.this" in done.stderr
