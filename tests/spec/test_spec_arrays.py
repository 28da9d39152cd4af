"""Arrays: every dtype, shape and layout crosses unchanged; what cannot is refused before anything is sent;
and no header that a peer may think of makes more than an exception.

Source: docs/guide/arrays.md, which has the header field by field.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap

import numpy
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kit import CAP, expect, expect_error

pytestmark = pytest.mark.shmzmq_only("pyzmq has no send_array")

BEYOND_INLINE = 100_000
"""Items that are more bytes than a ring takes, whatever they are."""


@pytest.fixture
def inproc_flow(zmq, sockets, inproc):
    """A flow for what does not depend on the transport."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(inproc)
    push.connect(inproc)
    return push, pull


def raw(array) -> bytes:
    """The items of an array in C order, padding of structures included."""
    if array.dtype.itemsize == 0:
        return b""
    return array.view(numpy.dtype((numpy.void, array.dtype.itemsize))).tobytes("C")


def same_description(one, other) -> bool:
    """Equal, also in what == does not look at: titles and alignment, in depth."""
    if one != other or one.isalignedstruct != other.isalignedstruct or one.names != other.names:
        return False
    if one.subdtype:
        return one.shape == other.shape and same_description(one.base, other.base)
    if one.names is None:
        return one.str == other.str
    return list(one.fields) == list(other.fields) and all(
        same_description(one.fields[name][0], other.fields[name][0])
        and one.fields[name][1:] == other.fields[name][1:]
        for name in one.names
    )


def filled(shape, dtype) -> numpy.ndarray:
    """A C-contiguous array in whose memory a shift, a hole or a repeat shows."""
    dtype = numpy.dtype(dtype)
    size = int(numpy.prod(shape, dtype=object)) * dtype.itemsize
    return numpy.ndarray(shape, dtype, buffer=bytearray((bytes(range(251)) * (size // 251 + 1))[:size]))


def expect_array(pull, array, **how) -> numpy.ndarray:
    """The next message is this array. Returns it."""
    received = pull.recv_array(**how)
    assert type(received) is numpy.ndarray
    assert same_description(received.dtype, array.dtype)
    assert received.shape == array.shape
    assert raw(received) == raw(array)
    assert received.flags.writeable
    return received


# --- what crosses ------------------------------------------------------------------------------------------

SCALARS = (
    "?", "i1", "u1", "<i2", ">i2", "<u4", ">u4", "<i8", ">i8", "<f2", "<f4", "<f8", ">f8", "g", "<c8", ">c16",
    "G", "S1", "S7", "<U1", ">U3", "V1", "V10", "<M8[ns]", ">M8[D]", "<M8[25s]", "M8", "<m8[us]",
    "<m8[3h]", "m8",
)  # fmt: skip

STRUCTURES = {
    "packed": [("a", "i1"), ("b", ">f8")],
    "aligned": numpy.dtype([("a", "i1"), ("b", "f8")], align=True),
    "nested": [("p", [("x", "f4"), ("y", "f4")]), ("when", "M8[ms]")],
    "aligned within packed": [("a", "i1"), ("b", numpy.dtype("i1,f8", align=True))],
    "titles": [(("the first", "a"), "i4"), ("b", "f8"), (("the last", "c"), "S3")],
    "offsets": {"names": ["b", "a"], "formats": ["i4", "i2"], "offsets": [12, 1], "itemsize": 33},
    "overlapping": {"names": ["all", "low"], "formats": ["<u4", "<u2"], "offsets": [0, 0]},
    "subarrays": [("m", "f4", (2, 3)), ("s", [("t", "u1", 4)], (2,))],
    "without fields": [],
    "text in any language": [("größe", "f4"), ("長さ", "f4"), ("", "i1")],
    "empty member": [("a", "S0"), ("b", "i4")],
}


@pytest.mark.parametrize("dtype", SCALARS)
@pytest.mark.parametrize("copy", [True, False])
def test_array_of_this_dtype_arrives_unchanged(inproc_flow, dtype, copy):
    push, pull = inproc_flow
    for shape in ((), (1,), (5,), (2, 3, 4), (0,), (3, 0, 2)):
        push.send_array(filled(shape, dtype))
        expect_array(pull, filled(shape, dtype), copy=copy)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("copy", [True, False])
def test_structured_array_arrives_unchanged(inproc_flow, name, copy):
    push, pull = inproc_flow
    dtype = numpy.dtype(STRUCTURES[name])
    for array in (filled((4, 3), dtype), filled((4, 3), dtype)[::2, ::-1], filled((), dtype)):
        push.send_array(array)
        expect_array(pull, array, copy=copy)


@pytest.mark.parametrize("copy", [True, False])
def test_items_of_no_bytes_arrive_as_many(inproc_flow, copy):
    push, pull = inproc_flow
    for array in (filled((3,), "V0"), filled((3,), STRUCTURES["empty member"])["a"]):
        push.send_array(array)
        expect_array(pull, array, copy=copy)


LAYOUTS = {
    "C": lambda a: a,
    "F": numpy.asfortranarray,
    "transposed": lambda a: a.T,
    "axes in no order": lambda a: a.transpose(1, 2, 0),
    "every second": lambda a: a[:, ::2],
    "backwards": lambda a: a[::-1, :, ::-1],
    "broadcast": lambda a: numpy.broadcast_to(a[:, :1], a.shape),
    "one value for all": lambda a: numpy.broadcast_to(a[0, 0, 0], a.shape),
    "window": lambda a: a[1:, 2:5, 1:],
    "read-only": lambda a: a.setflags(write=False) or a,
    "unaligned": lambda a: numpy.ndarray(a.shape, a.dtype, b"x" + a.tobytes(), offset=1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [4, BEYOND_INLINE // 64])
@pytest.mark.parametrize("dtype", ["<f8", ">u2", "M8[s]", "aligned"])
def test_array_of_this_layout_arrives_unchanged(flow, layout, rows, dtype):
    push, pull = flow
    array = LAYOUTS[layout](filled((rows, 8, 8), STRUCTURES.get(dtype, dtype)))
    push.send_array(array)
    expect_array(pull, array)
    push.send_array(array, copy=False)
    expect_array(pull, array, copy=False)


def test_array_in_fortran_order_stays_in_fortran_order(flow):
    push, pull = flow
    array = numpy.asfortranarray(filled((30, 50), "f4"))
    for copy in (True, False):
        push.send_array(array)
        received = expect_array(pull, array, copy=copy)
        assert received.flags.f_contiguous
        assert not received.flags.c_contiguous


def dtypes():
    """Any dtype that can cross."""
    return st.one_of(
        arrays.scalar_dtypes(), arrays.array_dtypes(allow_subarrays=True), arrays.nested_dtypes()
    )


@st.composite
def layouts(draw):
    """A function that makes some other view of a contiguous array."""
    order = draw(st.sampled_from("CF"))
    steps = draw(st.lists(st.sampled_from((1, 1, -1, 2, -2)), min_size=5, max_size=5))
    turned, stretched = draw(st.booleans()), draw(st.booleans())

    def view(array):
        array = array.copy(order) if array.size else array
        array = array[(*(slice(None, None, step) for step in steps[: array.ndim]), ...)]
        array = array.T if turned else array
        return numpy.broadcast_to(array, (2, *array.shape)) if stretched else array

    return view


@pytest.mark.slow
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=dtypes(),
    shape=arrays.array_shapes(min_dims=0, max_dims=5, min_side=0),
    view=layouts(),
    copy=st.booleans(),
)
@example(dtype=numpy.dtype("f8"), shape=(1,) * 64, view=lambda a: a, copy=False)
def test_any_array_arrives_unchanged(inproc_flow, dtype, shape, view, copy):
    push, pull = inproc_flow
    array = view(filled(shape, dtype))
    push.send_array(array)
    expect_array(pull, array, copy=copy)


def test_scalar_of_numpy_arrives_as_an_array_without_dimensions(flow):
    push, pull = flow
    for array in (filled((2,), "f8"), filled((2,), ">M8[s]"), filled((2,), STRUCTURES["nested"])):
        push.send_array(array[1])
        expect_array(pull, numpy.asarray(array[1]))


def test_array_mapped_from_a_file_arrives_as_an_array(flow, tmp_path):
    push, pull = flow
    mapped = numpy.memmap(tmp_path / "file", numpy.uint16, "w+", shape=(100, 100))
    mapped[:] = numpy.arange(10_000).reshape(100, 100)
    push.send_array(mapped)
    expect_array(pull, numpy.asarray(mapped))


# --- what an array is made of ------------------------------------------------------------------------------


def test_array_is_one_message_of_a_header_and_the_bytes(flow):
    push, pull = flow
    push.send_array(numpy.arange(6, dtype="<i4").reshape(2, 3))
    header, data = pull.recv_multipart()
    assert json.loads(header) == {"array": 1, "dtype": "<i4", "shape": [2, 3], "order": "C"}
    assert data == numpy.arange(6, dtype="<i4").tobytes()


def test_header_of_a_structure_says_where_each_field_is(flow):
    push, pull = flow
    push.send_array(numpy.zeros(1, numpy.dtype([(("time", "t"), "<M8[ns]"), ("xy", "<f4", 2)], align=True)))
    assert json.loads(pull.recv_multipart()[0])["dtype"] == {
        "names": ["t", "xy"], "titles": ["time", None], "offsets": [0, 8], "itemsize": 16, "aligned": True,
        "formats": ["<M8[ns]", {"base": "<f4", "shape": [2]}],
    }  # fmt: skip


def test_received_array_owns_its_memory(flow):
    push, pull = flow
    for count in (3, BEYOND_INLINE):
        push.send_array(numpy.arange(count))
        received = pull.recv_array()
        assert received.flags.owndata
        received[:] = 0


def test_array_without_a_copy_lives_as_long_as_any_view_of_it(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send_array(numpy.arange(BEYOND_INLINE))
    view = pull.recv_array(copy=False)[::-7]
    pull.close()
    push.close()
    gc.collect()
    assert (view == numpy.arange(BEYOND_INLINE)[::-7]).all()
    view[:] = 1
    assert view.sum() == len(view)


def test_two_receivers_write_into_their_own(zmq, sockets, endpoint):
    pub, subs = sockets(zmq.XPUB), [sockets(zmq.SUB), sockets(zmq.SUB)]
    pub.bind(endpoint)
    for sub in subs:
        sub.connect(endpoint)
        sub.subscribe(b"")
        assert pub.recv() == b"\x01" or pub.getsockopt(zmq.XPUB_VERBOSE) == 0
        pub.xpub_verbose = 1
    pub.send_array(numpy.arange(BEYOND_INLINE))
    one, other = (sub.recv_array(copy=False) for sub in subs)
    one[:] = 0
    assert (other == numpy.arange(BEYOND_INLINE)).all()


def test_sender_may_change_the_array_at_once(flow):
    push, pull = flow
    for step in (1, 2):
        array = numpy.arange(BEYOND_INLINE)
        tracker = push.send_array(array[::step], copy=False, track=True)
        tracker.wait(CAP)
        array[:] = 0
        expect_array(pull, numpy.arange(BEYOND_INLINE)[::step])


def test_array_follows_the_frames_that_were_sent_before_it(zmq, flow):
    push, pull = flow
    push.send(b"topic", zmq.SNDMORE)
    push.send_array(numpy.arange(3))
    assert pull.recv() == b"topic"
    expect_array(pull, numpy.arange(3))


def test_router_answers_with_arrays(zmq, sockets, endpoint):
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send_array(numpy.arange(5))
    name, question = router.recv(), router.recv_array()
    router.send(name, zmq.SNDMORE)
    router.send_array(question * 2)
    expect_array(dealer, numpy.arange(5) * 2)


@pytest.mark.parametrize("step", [1, 2])
def test_array_that_nobody_takes_is_not_sent(zmq, sockets, endpoint, step):
    push = sockets(zmq.PUSH)
    push.bind(endpoint)
    with expect_error(zmq, "EAGAIN"):
        push.send_array(numpy.arange(10)[::step], zmq.DONTWAIT)


def test_flags_reach_the_receive(zmq, flow):
    _push, pull = flow
    with expect_error(zmq, "EAGAIN"):
        pull.recv_array(zmq.DONTWAIT)
    pull.rcvtimeo = 0
    with expect_error(zmq, "EAGAIN"):
        pull.recv_array(copy=False)


def test_array_in_a_block_is_sent_as_the_block(zmq, ctx, sockets, ipc):
    """Nothing is copied if the array fills the block; what is a part of it is copied like any other."""
    sent = []

    class Recording(zmq.Socket):
        def send_multipart(self, parts, *args, **kwargs):
            sent.append(parts[1])
            return super().send_multipart(parts, *args, **kwargs)

    pull = sockets(zmq.PULL)
    pull.bind(ipc)
    with Recording(ctx, zmq.PUSH) as push:
        push.connect(ipc)
        block = push.alloc(8 * BEYOND_INLINE)
        whole = numpy.frombuffer(block, "f8").reshape(-1, 100)
        whole[:] = numpy.arange(100)
        for part in (whole[1:], whole[:, 1:], whole[::-1], whole.T):
            expected = part.copy("K")
            push.send_array(part, copy=False)
            assert (sent[-1] is block) == (part.shape == (100, len(whole)))
            expect_array(pull, expected)
        assert block.sent
        with pytest.raises(ValueError):
            push.send_array(whole.T, copy=False)
        push.send(b"fence")
        expect(pull, b"fence")


def _squares(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.connect(endpoint)
        link.tell("here")
        for _ in range(3):
            rep.send_array(rep.recv_array(copy=False) ** 2)


@pytest.mark.slow
def test_arrays_cross_to_another_process_and_back(zmq, sockets, ipc, run_child):
    req = sockets(zmq.REQ)
    req.bind(ipc)
    child = run_child(_squares, ipc)
    child.hear()
    for array in (
        numpy.array(3.0),
        numpy.arange(BEYOND_INLINE),
        numpy.asfortranarray(filled((300, 200), "u2")),
    ):
        req.send_array(array)
        expect_array(req, numpy.asarray(array**2))
    child.result()


# --- what does not cross -----------------------------------------------------------------------------------

UNSENDABLE = {
    "no array": [1, 2],
    "number": 3.0,
    "objects": numpy.array([1, "a", None], object),
    "objects in a structure": numpy.zeros(2, [("n", [("x", "i4"), ("o", object)])]),
    "objects in a subarray": numpy.zeros(2, [("o", object, (2,))]),
    "title that is no text": numpy.zeros(2, {"names": ["a"], "formats": ["i4"], "titles": [(1, 2)]}),
    "mask": numpy.ma.masked_array([1, 2], [True, False]),
    "matrix": numpy.zeros((2, 2)).view(numpy.matrix),
    "record array": numpy.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
}
if hasattr(getattr(numpy, "dtypes", None), "StringDType"):
    UNSENDABLE["strings of any length"] = numpy.array(["a", "b" * 100], numpy.dtypes.StringDType())


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_cannot_cross_is_refused_and_nothing_is_sent(flow, what):
    push, pull = flow
    with pytest.raises(TypeError):
        push.send_array(UNSENDABLE[what])
    push.send(b"fence")
    expect(pull, b"fence")


def test_refusal_names_the_dtype(flow):
    push, _pull = flow
    for dtype in ("O", [("a", "i4"), ("b", "O")]):
        array = numpy.zeros(2, dtype)
        with pytest.raises(TypeError) as caught:
            push.send_array(array)
        assert repr(array.dtype) in str(caught.value)


def test_refusal_of_a_subclass_names_the_way_out(flow):
    push, _pull = flow
    with pytest.raises(TypeError, match="mask"):
        push.send_array(UNSENDABLE["mask"])
    with pytest.raises(TypeError, match=r"numpy\.asarray"):
        push.send_array(UNSENDABLE["matrix"])


def test_header_that_no_receiver_would_read_is_not_sent(flow):
    push, pull = flow
    with pytest.raises(TypeError, match="bytes, more than"):
        push.send_array(numpy.zeros(1, [("x" * 2_000_000, "i4")]))
    deep = numpy.dtype("i4")
    for _ in range(40):
        deep = numpy.dtype([("a", deep)])
    with pytest.raises(TypeError, match="structures within each other"):
        push.send_array(numpy.zeros(1, deep))
    push.send(b"fence")
    expect(pull, b"fence")


def test_nothing_can_follow_an_array_in_its_message(zmq, flow):
    push, pull = flow
    with pytest.raises(ValueError, match="SNDMORE"):
        push.send_array(numpy.zeros(3), zmq.SNDMORE)
    push.send(b"fence")
    expect(pull, b"fence")


# --- peers that mean harm ----------------------------------------------------------------------------------


def header(**fields) -> bytes:
    """A good header of three numbers, but for these fields; those that are ... are left out."""
    whole = {"array": 1, "dtype": "<i4", "shape": [3], "order": "C", **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def structure(**fields) -> bytes:
    """A header with a good structure of 4 bytes, but for these fields."""
    whole = {
        "names": ["a", "b"], "formats": ["<i2", "<i2"], "offsets": [0, 2], "titles": [None, None],
        "itemsize": 4, "aligned": False,
    }  # fmt: skip
    return header(dtype={name: value for name, value in {**whole, **fields}.items() if value is not ...})


def nested(depth: int, of: str = "<i4") -> dict | str:
    inner = nested(depth - 1, of) if depth > 1 else of
    return {
        "names": ["a"], "formats": [inner], "offsets": [0], "titles": [None], "itemsize": 4, "aligned": False,
    }  # fmt: skip


TWELVE = b"\0" * 12

HOSTILE = {
    "one frame": [header()],
    "three frames": [header(), TWELVE, b""],
    "four frames": [header(), TWELVE, header(), TWELVE],
    "empty header": [b"", TWELVE],
    "no JSON": [b"array", TWELVE],
    "half a header": [header()[:-1], TWELVE],
    "two headers": [header() * 2, TWELVE],
    "no UTF-8": [b"\xff\xfe" + header(), TWELVE],
    "UTF-16": [header().decode().encode("utf-16"), TWELVE],
    "a list": [b"[1, 2]", TWELVE],
    "a number": [b"1", TWELVE],
    "null": [b"null", TWELVE],
    "a pickle": [b"\x80\x04K\x01.", TWELVE],
    "lists without end": [b"[" * 100_000, TWELVE],
    "objects without end": [b'{"array":' * 50_000, TWELVE],
    "header too long": [header() + b" " * (2 << 20), TWELVE],
    "no version": [header(array=...), TWELVE],
    "version of tomorrow": [header(array=2), TWELVE],
    "version of yesterday": [header(array=0), TWELVE],
    "version that is true": [header(array=True), TWELVE],
    "version as text": [header(array="1"), TWELVE],
    "version that is a list": [header(array=[[[[[[[[[1]]]]]]]]]), TWELVE],
    "no dtype": [header(dtype=...), TWELVE],
    "no shape": [header(shape=...), TWELVE],
    "no order": [header(order=...), TWELVE],
    "a field too many": [header(strides=[4]), TWELVE],
    "order of its own": [header(order="K"), TWELVE],
    "order that is a list": [header(order=["C"]), TWELVE],
    "order that is null": [header(order=None), TWELVE],
    "negative length": [header(shape=[-3]), TWELVE],
    "two negative lengths": [header(shape=[-1, -3]), TWELVE],
    "length that is a float": [header(shape=[3.0]), TWELVE],
    "length that is true": [header(shape=[True, 3]), TWELVE],
    "length as text": [header(shape=["3"]), TWELVE],
    "length that is infinite": [b'{"array":1,"dtype":"<i4","shape":[Infinity],"order":"C"}', TWELVE],
    "length of 5000 digits": [b'{"array":1,"dtype":"<i4","shape":[%b],"order":"C"}' % (b"9" * 5000), TWELVE],
    "length beyond 64 bits": [header(shape=[1 << 64]), b""],
    "shape that is a number": [header(shape=3), TWELVE],
    "shape that is text": [header(shape="3"), TWELVE],
    "65 dimensions": [header(shape=[3] + [1] * 64), TWELVE],
    "product beyond 64 bits": [header(shape=[1 << 62, 1 << 62]), TWELVE],
    "product that wraps to 12": [header(shape=[(1 << 62) + 3, 1]), TWELVE],
    "product that wraps to nothing": [header(shape=[1 << 32, 1 << 32]), b""],
    "nothing of very much": [header(shape=[0, 1 << 62, 1 << 62]), b""],
    "nothing that numpy does not make": [header(shape=[0, 1 << 61]), b""],
    "very many of no bytes": [header(dtype="|V0", shape=[1 << 62, 4]), b""],
    "one too many": [header(shape=[4]), TWELVE],
    "one too few": [header(shape=[2]), TWELVE],
    "a byte too many": [header(), TWELVE + b"\0"],
    "no data": [header(), b""],
    "data for nothing": [header(shape=[0]), TWELVE],
    "objects": [header(dtype="|O", shape=[1]), TWELVE[:8]],
    "objects by letter": [header(dtype="O"), TWELVE],
    "objects by name": [header(dtype="object"), TWELVE],
    "objects of 8 bytes": [header(dtype="|O8", shape=[1]), TWELVE[:8]],
    "objects in a list of types": [header(dtype="i4,O"), TWELVE],
    "objects in a structure": [structure(formats=["|O", "<i2"], offsets=[0, 8], itemsize=12), TWELVE],
    "objects in a subarray": [header(dtype={"base": "|O", "shape": [1]}, shape=[1]), TWELVE[:8]],
    "strings of any length": [header(dtype="T"), TWELVE],
    "strings of any length, with an order": [header(dtype="<T16"), TWELVE],
    "expression": [header(dtype="__import__('os').abort()"), TWELVE],
    "list of a dtype": [header(dtype=["<i4"]), TWELVE],
    "dtype that is null": [header(dtype=None), TWELVE],
    "dtype that is a number": [header(dtype=4), TWELVE],
    "dtype without a byte order": [header(dtype="i4"), TWELVE],
    "dtype by name": [header(dtype="int32"), TWELVE],
    "dtype of a size that is none": [header(dtype="<i3"), TWELVE],
    "dtype with a line end": [header(dtype="<i4\n"), TWELVE],
    "dtype with foreign digits": [header(dtype="<i\u0664"), TWELVE],
    "text of 10 billion characters": [header(dtype="<U9999999999"), TWELVE],
    "repeated dtype": [header(dtype="3<i4", shape=[1]), TWELVE],
    "unit that is none": [header(dtype="<M8[parsecs]", shape=[1]), TWELVE[:8]],
    "unit of too many": [header(dtype="<M8[9999999999s]", shape=[1]), TWELVE[:8]],
    "dtype of a megabyte": [header(dtype="<i4" + "4" * 900_000), TWELVE],
    "structure with a field too many": [structure(metadata={}), TWELVE],
    "structure without titles": [structure(titles=...), TWELVE],
    "names of a structure that are text": [structure(names="ab"), TWELVE],
    "name that is a number": [structure(names=["a", 1]), TWELVE],
    "name that is null": [structure(names=["a", None]), TWELVE],
    "same name twice": [structure(names=["a", "a"]), TWELVE],
    "title that is a name": [structure(titles=["b", None]), TWELVE],
    "title that is a number": [structure(titles=[1, None]), TWELVE],
    "more formats than names": [structure(formats=["<i2"] * 3), TWELVE],
    "fewer offsets than names": [structure(offsets=[0]), TWELVE],
    "negative offset": [structure(offsets=[0, -2]), TWELVE],
    "offset beyond the item": [structure(offsets=[0, 3]), TWELVE],
    "offset beyond 32 bits": [structure(offsets=[0, 1 << 32]), TWELVE],
    "offset beyond 64 bits": [structure(offsets=[0, 1 << 64]), TWELVE],
    "offset that is a float": [structure(offsets=[0, 2.0]), TWELVE],
    "item smaller than its fields": [structure(itemsize=3), TWELVE[:9]],
    "item of a negative size": [structure(itemsize=-4), TWELVE],
    "item beyond 31 bits": [structure(itemsize=1 << 31), TWELVE],
    "item beyond 64 bits": [structure(itemsize=1 << 64), TWELVE],
    "aligned that is a number": [structure(aligned=1), TWELVE],
    "aligned that is not": [structure(aligned=True, offsets=[0, 1], itemsize=4), TWELVE],
    "structure 33 deep": [header(dtype=nested(40)), TWELVE],
    "structure 5000 deep": [header(dtype=5).replace(b"5", b'{"base":' * 5000 + b"1" + b"}" * 5000), TWELVE],
    "subarray of negative length": [header(dtype={"base": "<i4", "shape": [-1]}), TWELVE],
    "subarray beyond an item": [header(dtype={"base": "<i4", "shape": [1 << 30]}), TWELVE],
    "subarray beyond 64 bits": [header(dtype={"base": "<i4", "shape": [1 << 62, 1 << 62]}), TWELVE],
    "subarray without a shape": [header(dtype={"base": "<i4"}), TWELVE],
    "subarray of 65 dimensions": [header(dtype={"base": "<i4", "shape": [1] * 65}), TWELVE],
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("copy", [True, False])
def test_message_that_is_no_array_is_refused_and_the_next_one_is_fine(zmq, inproc_flow, what, copy):
    push, pull = inproc_flow
    push.send_multipart(HOSTILE[what])
    push.send_array(numpy.arange(3))
    with pytest.raises(zmq.FormatError) as caught:
        pull.recv_array(copy=copy)
    assert isinstance(caught.value, ValueError)
    assert 0 < len(str(caught.value)) < 1000
    expect_array(pull, numpy.arange(3), copy=copy)


def test_good_header_of_the_table_is_good(inproc_flow):
    """The table's own promise: each row is refused for what it says and for nothing else."""
    push, pull = inproc_flow
    push.send_multipart([header(), TWELVE])
    expect_array(pull, numpy.zeros(3, "<i4"))
    push.send_multipart([structure(), TWELVE])
    expect_array(pull, numpy.zeros(3, "<i2,<i2").astype([("a", "<i2"), ("b", "<i2")]))
    push.send_multipart([header(dtype=nested(32)), TWELVE])
    assert pull.recv_array().shape == (3,)


def test_nothing_of_large_items_takes_no_memory(inproc_flow):
    push, pull = inproc_flow
    push.send_multipart([header(dtype="|V2147483647", shape=[0]), b""])
    assert pull.recv_array().nbytes == 0


@pytest.mark.slow
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_header_with_a_few_other_bytes_is_refused_or_an_array(zmq, inproc_flow, data):
    push, pull = inproc_flow
    good = data.draw(st.sampled_from([header(), structure(), header(dtype={"base": "<i2", "shape": [2]})]))
    text = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 3, len(text))))
        text[start:end] = data.draw(st.text('0123456789-.,:[]{}"<>|=OTVSUMmifctrue[]s', max_size=3)).encode()
    push.send_multipart([text, TWELVE])
    try:
        received = pull.recv_array(copy=data.draw(st.booleans()))
    except zmq.FormatError:
        pass
    else:
        assert not received.dtype.hasobject
        assert received.nbytes == 12
    push.send(b"fence")
    expect(pull, b"fence")


# --- without numpy -----------------------------------------------------------------------------------------


def run_program(program: str) -> None:
    """Run a program in a fresh interpreter; it fails the test by an exception."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=2 * CAP, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


PAIR = """
    import sys
    import shmzmq as zmq

    context = zmq.Context()
    one, other = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    one.bind("inproc://pair")
    other.connect("inproc://pair")
    one.rcvtimeo = other.rcvtimeo = 5000
"""

END = """
    context.destroy(linger=0)
"""


@pytest.mark.slow
def test_nothing_imports_numpy_but_a_received_array():
    run_program(
        PAIR
        + """
    one.send(b"bytes")
    assert other.recv() == b"bytes"
    one.send_pyobj(bytearray(1 << 20))
    assert len(other.recv_pyobj()) == 1 << 20
    try:
        one.send_array([1, 2])
    except TypeError as error:
        assert "numpy.ndarray" in str(error), error
    one.send_multipart([b"no", b"array"])
    try:
        other.recv_array()
    except zmq.FormatError:
        pass
    assert "numpy" not in sys.modules
    one.send_multipart([b'{"array":1,"dtype":"<i2","shape":[2],"order":"C"}', b"abcd"])
    assert other.recv_array().tobytes() == b"abcd"
    assert "numpy" in sys.modules
    """
        + END
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["finder", "entry"])
def test_without_numpy_everything_else_works_and_recv_array_receives_nothing(how):
    blocked = {
        "finder": """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "numpy":
                raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    sys.meta_path.insert(0, Blocker())
    """,
        "entry": """
    import sys

    sys.modules["numpy"] = None
    """,
    }[how]
    run_program(
        blocked
        + PAIR
        + """
    one.send(b"bytes")
    assert other.recv() == b"bytes"
    one.send_pyobj({"a": bytearray(1 << 20)})
    assert other.recv_pyobj() == {"a": bytearray(1 << 20)}
    header = b'{"array":1,"dtype":"<i2","shape":[2],"order":"C"}'
    one.send_multipart([header, b"abcd"])
    one.send(b"next")
    for copy in (True, False):
        try:
            other.recv_array(copy=copy)
        except ImportError as error:
            assert "needs numpy" in str(error), error
        else:
            raise AssertionError("recv_array worked without numpy")
    assert other.recv_multipart() == [header, b"abcd"]
    assert other.recv() == b"next"
    try:
        one.send_array(b"bytes")
    except TypeError as error:
        assert "numpy.ndarray" in str(error), error
    """
        + END
    )
