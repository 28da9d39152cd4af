"""Small helpers: Z85, JSON, addresses, text, and what is there for old programs only.

Source: RFC 32 for Z85.
"""

from __future__ import annotations

import importlib
import struct
import threading

import pytest


@pytest.fixture
def utils(backend):
    """A function from a name to that module of `utils`."""
    return lambda name: importlib.import_module(f"{backend}.utils.{name}")


# --- z85 ---------------------------------------------------------------------------------------------------


def test_z85_of_the_rfc(utils):
    """RFC 32 "Test Case"."""
    z85 = utils("z85")
    raw = bytes([0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B])
    assert z85.encode(raw) == b"HelloWorld"
    assert z85.decode(b"HelloWorld") == z85.decode("HelloWorld") == raw


@pytest.mark.parametrize("raw", [b"", bytes(4), b"\xff" * 8, bytes(range(256))])
def test_z85_there_and_back(utils, raw):
    z85 = utils("z85")
    assert z85.decode(z85.encode(raw)) == z85.decode(z85.encode(bytearray(raw))) == raw


def test_z85_refuses_what_is_none(utils):
    z85 = utils("z85")
    with pytest.raises(ValueError, match="multiple of 4, not 3"):
        z85.encode(b"abc")
    with pytest.raises(ValueError, match="multiple of 5, not 4"):
        z85.decode(b"abcd")
    with pytest.raises(ValueError, match="ASCII"):
        z85.decode("ä" * 5)
    with pytest.raises(KeyError):
        z85.decode(b"abc d")
    with pytest.raises(struct.error):
        z85.decode(b"#####")


def test_alphabet_of_z85_is_a_map_too(utils):
    z85 = utils("z85")
    assert [z85.Z85MAP[character] for character in z85.Z85CHARS] == list(range(85))


# --- json, addresses, text ---------------------------------------------------------------------------------


def test_json_is_bytes_there_and_text_or_bytes_back(utils):
    jsonapi = utils("jsonapi")
    thing = {"a": [1, None, "ä"]}
    assert jsonapi.dumps(thing) == b'{"a": [1, null, "\\u00e4"]}'
    assert jsonapi.dumps(thing, ensure_ascii=False, separators=(",", ":")) == '{"a":[1,null,"ä"]}'.encode()
    assert jsonapi.loads(jsonapi.dumps(thing)) == jsonapi.loads(jsonapi.dumps(thing).decode()) == thing
    assert jsonapi.loads(b"1.5", parse_float=str) == "1.5"


def test_address_is_a_number(utils):
    interop = utils("interop")
    assert interop.cast_int_addr(17) == 17
    with pytest.raises(ValueError, match="Cannot cast 'text' to int"):
        interop.cast_int_addr("text")


def test_address_may_be_a_pointer_of_cffi(utils):
    cffi = pytest.importorskip("cffi")
    pointer = cffi.FFI().cast("void *", 4096)
    assert utils("interop").cast_int_addr(pointer) == 4096


def test_text_and_bytes_by_their_old_names(utils):
    strtypes = utils("strtypes")
    assert (strtypes.bytes, strtypes.unicode, strtypes.basestring) == (bytes, str, (str,))
    for cast in (strtypes.b, strtypes.asbytes, strtypes.cast_bytes):
        with pytest.warns(DeprecationWarning, match="strtypes is deprecated"):
            assert cast("ä") == cast(b"\xc3\xa4") == b"\xc3\xa4"
    with pytest.warns(DeprecationWarning, match="strtypes is deprecated"):
        assert strtypes.u(b"\xe4", "latin1") == strtypes.cast_unicode("ä") == "ä"
    with (
        pytest.warns(DeprecationWarning, match="strtypes is deprecated"),
        pytest.raises(TypeError, match="got 1"),
    ):
        strtypes.cast_bytes(1)


# --- what does nothing here --------------------------------------------------------------------------------


def test_interrupts_need_no_permission(utils):
    with utils("win32").allow_interrupt(lambda: pytest.fail("it is called on Windows only")) as given:
        assert given is None


def test_collector_of_buffers_is_idle_when_all_is_sent(zmq, utils, sockets, inproc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    push.send(bytes(100_000), copy=False)
    assert len(pull.recv()) == 100_000
    gc = utils("garbage").gc
    assert isinstance(gc.refs, dict)


@pytest.mark.shmzmq_only("pyzmq's collector has a thread and holds what it is given")
def test_collector_of_buffers_holds_nothing(utils):
    gc, event = utils("garbage").gc, threading.Event()
    gc.start()
    assert gc.store(object(), event) == 0
    assert event.is_set()
    assert not gc.refs
    assert not gc.is_alive()
    gc.stop()
