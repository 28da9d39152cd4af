"""Pickles: small ones are the one frame that pyzmq sends; large buffers in them cross as frames of their own.

What is the same as in pyzmq runs on both. Source: PEP 574; pyzmq's documented send_pyobj and recv_pyobj.
"""

from __future__ import annotations

import pickle
import threading

import numpy
import pytest

from kit import CAP, expect, expect_error

APART = 64 * 1024


class Holder:
    """An object that gives its buffer out of band, and keeps whatever comes back."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Holder, (pickle.PickleBuffer(self.data),)


# --- as in pyzmq -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thing", [None, {"a": [1, 2.5, ("b", {3})]}, b"x" * APART, "x" * APART, list(range(APART))]
)
def test_object_without_large_buffers_is_one_frame_that_is_its_pickle(flow, thing):
    push, pull = flow
    push.send_pyobj(thing)
    (frame,) = pull.recv_multipart()
    assert pickle.loads(frame) == thing


@pytest.mark.parametrize("protocol", range(5))
def test_pickle_of_an_old_protocol_is_one_frame_whatever_is_in_it(flow, protocol):
    push, pull = flow
    array = numpy.arange(2 * APART, dtype="u1")
    push.send_pyobj(array, protocol=protocol)
    expect(pull, pickle.dumps(array, protocol))


def test_pickle_that_somebody_made_by_hand_is_read(flow):
    push, pull = flow
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        push.send(pickle.dumps({"protocol": protocol}, protocol))
        assert pull.recv_pyobj() == {"protocol": protocol}


def test_small_arrays_stay_in_the_pickle(flow):
    push, pull = flow
    array = numpy.arange(APART - 1, dtype="u1")
    push.send_pyobj([array, array.copy()], protocol=5)
    (frame,) = pull.recv_multipart()
    assert all((each == array).all() for each in pickle.loads(frame))


def test_object_leaves_the_frames_behind_it_to_the_next_call(zmq, flow):
    push, pull = flow
    push.send_pyobj({"shape": 3}, zmq.SNDMORE)
    push.send_pyobj(numpy.zeros(2 * APART), zmq.SNDMORE)
    push.send(b"data")
    assert pull.recv_pyobj() == {"shape": 3}
    assert pull.get(zmq.RCVMORE)
    assert pull.recv_pyobj().sum() == 0
    assert pull.recv() == b"data"
    assert not pull.get(zmq.RCVMORE)


def test_object_that_follows_other_frames_is_read_after_them(zmq, flow):
    push, pull = flow
    array = numpy.arange(APART)
    push.send(b"topic", zmq.SNDMORE)
    push.send_pyobj(array)
    assert pull.recv() == b"topic"
    assert (pull.recv_pyobj() == array).all()
    assert not pull.get(zmq.RCVMORE)


def test_object_that_cannot_be_pickled_is_not_sent(flow):
    push, pull = flow
    for thing in (threading.Lock(), [numpy.zeros(APART), threading.Lock()]):
        with pytest.raises(TypeError):
            push.send_pyobj(thing)
    push.send(b"fence")
    expect(pull, b"fence")


def test_message_that_is_no_pickle_is_consumed_and_the_next_is_fine(flow):
    push, pull = flow
    push.send(b"\x80\x04no pickle")
    push.send_pyobj("fine")
    with pytest.raises(pickle.UnpicklingError):
        pull.recv_pyobj()
    assert pull.recv_pyobj() == "fine"


def test_large_object_that_nobody_takes_is_not_sent(zmq, sockets, endpoint):
    push = sockets(zmq.PUSH)
    push.bind(endpoint)
    with expect_error(zmq, "EAGAIN"):
        push.send_pyobj(numpy.zeros(APART), zmq.DONTWAIT)


def test_object_is_sent_with_a_tracker(zmq, flow):
    push, pull = flow
    for thing in (bytearray(10), numpy.arange(APART)):
        tracker = push.send_pyobj(thing, copy=False, track=True)
        assert isinstance(tracker, zmq.MessageTracker)
        assert len(pull.recv_pyobj()) == len(thing)
        tracker.wait(CAP)


# --- out of band -------------------------------------------------------------------------------------------

OURS = pytest.mark.shmzmq_only("pyzmq has no frames for buffers")


@OURS
def test_large_buffers_are_frames_behind_the_pickle(flow):
    push, pull = flow
    first, second = numpy.arange(APART, dtype="u1"), numpy.zeros(APART, "u2")
    push.send_pyobj({"first": first, "small": numpy.zeros(3), "second": second})
    announcement, stream, *buffers = pull.recv_multipart()
    assert announcement == b"\xffpickle/1 2"
    assert buffers == [first.tobytes(), second.tobytes()]
    assert len(stream) < 1000


@OURS
def test_object_with_large_buffers_arrives_as_an_equal_object(flow):
    push, pull = flow
    arrays = [
        numpy.arange(APART),
        numpy.asfortranarray(numpy.arange(4 * APART).reshape(4, -1)),
        numpy.arange(APART).astype("M8[s]"),
        numpy.arange(2 * APART)[::2],
        numpy.zeros(APART, [("a", "i1"), ("b", ">f8")]),
        numpy.array([None, "object"]),
    ]
    push.send_pyobj(arrays)
    received = pull.recv_pyobj()
    for one, other in zip(received, arrays, strict=True):
        assert one.dtype == other.dtype
        assert (one == other).all()


@OURS
def test_received_array_is_writable_and_outlives_the_socket(flow):
    push, pull = flow
    array = numpy.arange(APART)
    push.send_pyobj([array])
    (received,) = pull.recv_pyobj()
    push.close()
    pull.close()
    received[0] = 7
    assert received[0] == 7
    assert (received[1:] == array[1:]).all()
    assert array[0] == 0


@OURS
def test_array_that_was_read_only_stays_read_only(flow):
    push, pull = flow
    array = numpy.arange(APART)
    array.setflags(write=False)
    push.send_pyobj(array)
    received = pull.recv_pyobj()
    assert not received.flags.writeable
    assert (received == array).all()


@OURS
def test_sender_may_change_its_buffers_at_once(flow):
    push, pull = flow
    array = numpy.arange(APART)
    push.send_pyobj(array)
    array[:] = 0
    assert (pull.recv_pyobj() == numpy.arange(APART)).all()


@OURS
@pytest.mark.parametrize("size", [0, 1, APART - 1, APART, APART + 1, 10 * APART])
def test_own_class_gets_a_buffer_of_the_same_bytes(flow, size):
    push, pull = flow
    data = bytearray(b"x" * size)
    push.send_pyobj(Holder(data))
    received = pull.recv_pyobj().data
    assert bytes(received) == data
    assert len(received) == size
    push.send_pyobj(Holder(bytes(data)))
    assert bytes(pull.recv_pyobj().data) == data


@OURS
def test_buffer_that_is_not_contiguous_cannot_be_pickled_and_nothing_is_sent(flow):
    push, pull = flow
    with pytest.raises(pickle.PicklingError):
        push.send_pyobj(Holder(memoryview(bytearray(4 * APART))[::2]))
    push.send(b"fence")
    expect(pull, b"fence")


@OURS
def test_same_buffer_twice_is_the_same_object_again(flow):
    push, pull = flow
    array = numpy.arange(APART)
    push.send_pyobj([array, array])
    one, other = pull.recv_pyobj()
    assert one is other


@OURS
def test_highest_protocol_by_its_negative_number_is_understood(flow):
    push, pull = flow
    push.send_pyobj(numpy.arange(APART), protocol=-1)
    assert (pull.recv_pyobj() == numpy.arange(APART)).all()


@OURS
def test_dealer_and_router_exchange_large_objects(zmq, sockets, endpoint):
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER)
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send_pyobj(numpy.arange(APART))
    name, question = router.recv(), router.recv_pyobj()
    router.send(name, zmq.SNDMORE)
    router.send_pyobj(question * 2)
    assert (dealer.recv_pyobj() == numpy.arange(APART) * 2).all()


def _double(zmq, link, endpoint):
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.connect(endpoint)
        rep.send_pyobj({"doubled": rep.recv_pyobj()["array"] * 2})


@pytest.mark.slow
def test_large_object_crosses_to_another_process_and_back(zmq, sockets, ipc, run_child):
    req = sockets(zmq.REQ)
    req.bind(ipc)
    child = run_child(_double, ipc)
    req.send_pyobj({"array": numpy.arange(10 * APART)})
    assert (req.recv_pyobj()["doubled"] == numpy.arange(10 * APART) * 2).all()
    child.result()


# --- frames that do not fit --------------------------------------------------------------------------------

STREAM = pickle.dumps("fine")
BUFFERED = pickle.dumps(numpy.arange(3), 5, buffer_callback=lambda _: False)

MISFITS = {
    "no pickle": [b"\xffpickle/1 0"],
    "a buffer is missing": [b"\xffpickle/1 2", STREAM, b"buffer"],
    "a buffer too many": [b"\xffpickle/1 1", STREAM, b"buffer", b"buffer"],
    "version of tomorrow": [b"\xffpickle/2 1", STREAM, b"buffer"],
    "no count": [b"\xffpickle/1 ", STREAM, b"buffer"],
    "negative count": [b"\xffpickle/1 -1", STREAM],
    "count of 5000 digits": [b"\xffpickle/1 " + b"1" * 5000, STREAM],
    "a line end": [b"\xffpickle/1 1\n", STREAM, b"buffer"],
    "another word": [b"\xffjson/1 1", STREAM, b"buffer"],
    "a mark alone": [b"\xff"],
    "no text": [b"\xff" * 1000, STREAM],
}


@OURS
@pytest.mark.parametrize("what", MISFITS)
def test_frames_that_are_not_what_was_announced_are_consumed_and_the_next_is_fine(zmq, flow, what):
    push, pull = flow
    push.send_multipart(MISFITS[what])
    push.send_pyobj("fine")
    with pytest.raises(zmq.FormatError) as caught:
        pull.recv_pyobj()
    assert 0 < len(str(caught.value)) < 500
    assert pull.recv_pyobj() == "fine"


@OURS
def test_pickle_that_asks_for_more_buffers_than_came_is_consumed(flow):
    push, pull = flow
    push.send_multipart([b"\xffpickle/1 0", BUFFERED])
    push.send_pyobj("fine")
    with pytest.raises(pickle.UnpicklingError):
        pull.recv_pyobj()
    assert pull.recv_pyobj() == "fine"


@OURS
def test_empty_frame_is_no_pickle_and_leaves_the_rest(flow):
    push, pull = flow
    push.send_multipart([b"", b"rest"])
    with pytest.raises(EOFError):
        pull.recv_pyobj()
    assert pull.recv() == b"rest"
