"""Messages as lines and back: what `recv` prints and `send` reads."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from shmzmq.commands._formats import BadLine, from_line, to_line

MESSAGES = some.lists(
    some.binary(max_size=40) | some.text(max_size=20).map(str.encode), min_size=1, max_size=4
)


@pytest.mark.parametrize("form", ["json", "hex"])
@settings(max_examples=200, deadline=None)
@given(message=MESSAGES)
def test_message_written_as_a_line_is_read_back_without_a_loss(form, message):
    line = to_line(message, form)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert from_line(line[:-1], form) == message


@settings(max_examples=200, deadline=None)
@given(message=MESSAGES)
def test_message_as_text_is_one_line_that_no_terminal_obeys(message):
    shown = to_line(message, "text").decode()
    assert shown.splitlines() == [shown[:-1]]
    assert shown.count("\t") == len(message) - 1
    assert not [character for character in shown[:-1] if character < " " and character != "\t"]


@pytest.mark.parametrize(
    ("frames", "line"),
    [
        ([b"plain"], "plain"),
        ([b"one", b"", b"three"], "one\t\tthree"),
        (["größe 漢字 👍".encode()], "größe 漢字 👍"),
        ([b"two\nlines\tand \x1b[1m bold"], r"two\nlines\tand \x1b[1m bold"),
        ([b"\xff\x00"], r"\xff\x00"),
        ([rb'{"path": "C:\\new"}'], r'{"path": "C:\\new"}'),
    ],
)
def test_text_escapes_what_would_break_a_line_and_nothing_else(frames, line):
    assert to_line(frames, "text").decode() == f"{line}\n"


def test_json_says_by_itself_which_frame_is_text():
    line = to_line([b"topic", b"\xff\x00"], "json")
    assert json.loads(line) == ["topic", {"base64": "/wA="}]


def test_raw_is_the_bytes_alone():
    assert to_line([b"a\n", b"", b"\xff"], "raw") == b"a\n\xff"


def test_text_is_sent_as_it_is_and_split_at_tabs_only_when_asked():
    assert from_line(rb"a\n b" + b"\tc", "text") == [rb"a\n b" + b"\tc"]
    assert from_line(b"a\tb\t", "text", split=True) == [b"a", b"b", b""]


@pytest.mark.parametrize(
    ("form", "line", "text"),
    [
        ("hex", b"0g", "'0g' is not hex"),
        ("hex", b"\xff", r"'\xff' is not hex"),
        ("json", b"[1", "'[1' is not JSON"),
        ("json", b"\xff", "is not JSON"),
        ("json", b'"text"', "is not an array of frames"),
        ("json", b"[]", "is not an array of frames"),
        ("json", b"[1]", "1 is no frame"),
        ("json", b'[{"base64": "?"}]', "is no frame"),
        ("json", b'[{"base64": 1}]', "is no frame"),
        ("json", rb'["\ud800"]', "is no frame"),
    ],
)
def test_line_that_is_not_in_the_format_is_refused_with_the_place(form, line, text):
    with pytest.raises(BadLine) as refused:
        from_line(line, form)
    assert text in str(refused.value)
