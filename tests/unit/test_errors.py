"""The exceptions against pyzmq's, and what is ours alone: ForkedError, OutOfMemory, error_for and raise_for.

Knows    that the installed pyzmq is the oracle for classes, texts and constructors.
Refuses  to know sockets: no error here comes out of a call on one.
"""

from __future__ import annotations

import copy
import errno
import os
import pickle

import pytest
import zmq
import zmq.error as theirs

import shmzmq.error as thin
import shmzmq.errors as ours
from shmzmq.constants import Errno

CLASS_NAMES = list(theirs.__all__)
OWN_NAMES = {"ForkedError", "FormatError", "OutOfMemory"}
OWN_CLASS_OF_ERRNO = {errno.ENOMEM: "OutOfMemory"}
"""Where pyzmq raises a plain ZMQError."""


def build(module, kind, args, kwargs):
    return getattr(module, kind)(*args, **kwargs)


# InterruptedSystemCall and DraftFDWarning have texts of our own and are tested apart.
CONSTRUCTIONS = [
    ("ZMQError", (), {}),
    ("ZMQError", (None,), {}),
    ("ZMQError", (0,), {}),
    ("ZMQError", (errno.EINVAL,), {}),
    ("ZMQError", (errno.EINVAL, "why"), {}),
    ("ZMQError", (None, "why"), {}),
    ("ZMQError", (), {"msg": "why"}),
    ("ZMQError", (), {"errno": errno.ENOENT}),
    ("ZMQError", ("a text",), {}),
    ("ZMQError", (3.5,), {}),
    ("ZMQError", (b"bytes",), {}),
    ("ZMQError", (int(Errno.EFSM),), {}),
    ("ZMQError", (-1,), {}),
    ("ZMQError", (99999,), {}),
    ("Again", (), {}),
    ("Again", (5, "ignored"), {}),
    ("Again", (), {"errno": 1, "msg": "ignored"}),
    ("ContextTerminated", (), {}),
    ("ContextTerminated", ("ignored",), {}),
    ("NotDone", (), {}),
    ("NotDone", ("why",), {}),
    ("ZMQBindError", ("why",), {}),
    ("ZMQBaseError", ("why",), {}),
    ("ZMQVersionError", ("4.2",), {}),
    ("ZMQVersionError", ("4.2", "curve"), {}),
    ("DraftFDWarning", ("why",), {}),
    ("DraftFDWarning", (), {"msg": "why"}),
]
INSTANCES = [
    *(build(ours, *construction) for construction in CONSTRUCTIONS),
    ours.InterruptedSystemCall(),
    ours.DraftFDWarning(),
    ours.ForkedError(4711, "context"),
    ours.error_for(errno.EAGAIN, "rcvtimeo=5"),
    ours.error_for(errno.EINTR, "recv"),
    ours.error_for(errno.EINVAL, "addr='x'"),
]


def ids(construction):
    return f"{construction[0]}{construction[1]}{construction[2]}"


def names(mro):
    return [cls.__name__ for cls in mro]


@pytest.fixture(autouse=True)
def no_call_has_failed():
    """An error without an errno takes that of the last call that failed in this thread."""
    vars(ours._last).clear()


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_exception_has_the_bases_of_pyzmq(name):
    assert names(getattr(ours, name).__mro__) == names(getattr(theirs, name).__mro__)


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=ids)
def test_constructor_gives_text_repr_and_args_of_pyzmq(construction):
    mine, oracle = build(ours, *construction), build(theirs, *construction)
    assert (str(mine), repr(mine), mine.args) == (str(oracle), repr(oracle), oracle.args)


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=ids)
def test_constructor_gives_the_attributes_of_pyzmq(construction):
    assert vars(build(ours, *construction)) == vars(build(theirs, *construction))


def test_version_error_needs_a_version():
    with pytest.raises(TypeError, match="min_version"):
        ours.ZMQVersionError()


def test_error_made_of_a_text_has_no_errno():
    assert ours.ZMQError("a text").errno is None


def test_interrupted_call_has_the_errno_of_pyzmq():
    assert ours.InterruptedSystemCall().errno == theirs.InterruptedSystemCall().errno == errno.EINTR


def test_interrupted_call_has_the_args_of_pyzmq():
    assert ours.InterruptedSystemCall(1, "x").args == theirs.InterruptedSystemCall(1, "x").args


def test_interrupted_call_asks_for_a_report_to_us():
    assert "report it to shmzmq" in str(ours.InterruptedSystemCall())


def test_interrupted_call_is_caught_as_interrupted_error():
    with pytest.raises(InterruptedError):
        raise ours.InterruptedSystemCall


def test_draft_warning_says_how_to_silence_it():
    assert "simplefilter" in str(ours.DraftFDWarning())


def expect_libzmq_texts(codes):
    assert {code: ours.strerror(code) for code in codes} == {code: zmq.strerror(code) for code in codes}


def test_texts_of_system_errnos_are_libzmq_s():
    expect_libzmq_texts(range(-1, 140))


def test_texts_of_named_errnos_are_libzmq_s():
    expect_libzmq_texts(list(map(int, zmq.Errno)))


def test_texts_of_numbers_near_zeromq_s_own_are_libzmq_s():
    expect_libzmq_texts(range(156384712, 156384712 + 60))


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: type(instance).__name__)
def test_pickled_exception_comes_back_whole(instance):
    back = pickle.loads(pickle.dumps(instance))
    assert (type(back), repr(back), back.args, vars(back)) == (
        type(instance),
        repr(instance),
        instance.args,
        vars(instance),
    )


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: type(instance).__name__)
def test_copied_exception_says_the_same(instance):
    assert repr(copy.copy(instance)) == repr(instance)


def test_every_errno_gets_the_class_pyzmq_gives_it():
    def oracle(code):
        with pytest.raises(theirs.ZMQError) as caught:
            theirs._check_rc(-1, code)
        return caught.type.__name__

    codes = {0, *errno.errorcode, *map(int, Errno)} - set(OWN_CLASS_OF_ERRNO)
    assert {code: type(ours.error_for(code)).__name__ for code in codes} == {
        code: oracle(code) for code in codes
    }


@pytest.mark.parametrize("code", OWN_CLASS_OF_ERRNO, ids=errno.errorcode.get)
def test_where_the_class_is_ours_it_is_still_what_pyzmq_raises(code):
    """A program that catches pyzmq's class catches ours."""
    with pytest.raises(theirs.ZMQError) as caught:
        theirs._check_rc(-1, code)
    kind = type(ours.error_for(code))
    assert kind.__name__ == OWN_CLASS_OF_ERRNO[code]
    assert issubclass(kind, getattr(ours, caught.type.__name__))
    assert ours.error_for(code).errno == caught.value.errno


def test_out_of_memory_is_a_memory_error_too():
    assert issubclass(ours.OutOfMemory, MemoryError)


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EINVAL, errno.ENOMEM, int(Errno.ETERM)])
def test_error_for_keeps_the_errno(code):
    assert ours.error_for(code, "detail").errno == code


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EINVAL, errno.ENOMEM, int(Errno.ETERM)])
def test_error_for_puts_the_detail_behind_the_text(code):
    error = ours.error_for(code, "addr='x'")
    assert str(error) == error.strerror == f"{zmq.strerror(code)} (addr='x')"


def test_error_for_without_detail_is_the_bare_text():
    assert str(ours.error_for(errno.EINVAL)) == "Invalid argument"


def test_raise_for_raises_what_error_for_makes():
    with pytest.raises(ours.Again, match=r"^Resource temporarily unavailable \(sndtimeo=5\)$"):
        ours.raise_for(errno.EAGAIN, "sndtimeo=5")


def test_class_table_lists_only_classes_of_their_errno():
    assert {code: kind().errno for code, kind in ours.CLASS_OF_ERRNO.items()} == {
        code: code for code in ours.CLASS_OF_ERRNO
    }


def test_forked_error_is_a_zmq_error_with_enotsock():
    error = ours.ForkedError(4711)
    assert isinstance(error, ours.ZMQError)
    assert error.errno == errno.ENOTSOCK


def test_forked_error_names_creator_and_user():
    text = str(ours.ForkedError(4711))
    assert "process 4711" in text
    assert str(os.getpid()) in text


def test_forked_error_names_the_remedy():
    assert "make a new Context in the child" in str(ours.ForkedError(4711, "context"))


def test_forked_error_names_the_object():
    assert "this context" in str(ours.ForkedError(4711, "context"))


def exception_classes(module):
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }


def test_no_exception_exists_beyond_pyzmq_s_and_the_own():
    assert set(exception_classes(ours)) == set(CLASS_NAMES) | OWN_NAMES


def test_error_module_exports_pyzmq_s_names_and_the_own():
    assert set(thin.__all__) == set(CLASS_NAMES) | OWN_NAMES


def test_error_module_gives_the_same_classes():
    assert all(getattr(thin, name) is getattr(ours, name) for name in thin.__all__)


@pytest.mark.parametrize("name", sorted(exception_classes(ours)))
def test_docstring_tells_the_catcher_what_to_do_next(name):
    doc = exception_classes(ours)[name].__doc__
    assert "Next " in doc or "Catch a class below" in doc


# --- the last errno ----------------------------------------------------------------------------------------


def test_last_errno_is_zero_before_any_call_has_failed():
    assert ours.zmq_errno() == 0


def test_last_errno_is_that_of_the_last_failure():
    with pytest.raises(ours.ZMQError):
        ours.raise_for(errno.EINVAL)
    assert (ours.zmq_errno(), ours.ZMQError().errno) == (errno.EINVAL, errno.EINVAL)


def test_error_made_by_a_program_is_no_failure():
    ours.ZMQError(errno.EINVAL)
    assert ours.zmq_errno() == 0
