"""Bursts: `send_many` and `recv_many`, which pyzmq does not have. Each is as many sends or receives."""

from __future__ import annotations

import signal
import threading

import pytest

from kit import (
    CAP,
    CAP_MS,
    errno_of,
    expect,
    expect_error,
    expect_nothing,
    marry,
    wait_until,
)

pytestmark = pytest.mark.shmzmq_only("pyzmq has no bursts")

ROUNDS = 20


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH married to a bound PULL."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    return push, pull


def gather(socket, count, **how):
    """That many messages, in however many bursts they come."""
    found = []
    while len(found) < count:
        found += socket.recv_many(count - len(found), **how)
    return found


# --- what cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [b"bytes", "text", 5, None], ids=lambda value: type(value).__name__)
def test_send_many_refuses_what_is_no_list_of_messages(flow, wrong):
    push, _pull = flow
    with pytest.raises(TypeError):
        push.send_many(wrong)


def test_send_many_checks_every_message_before_it_sends_one(flow):
    push, pull = flow
    with pytest.raises(TypeError, match=r"Message 2 \('text'\)"):
        push.send_many([b"one", [b"two", b"2"], "text", b"four"])
    with pytest.raises(TypeError, match=r"Message 1 frame 1 \(5\)"):
        push.send_many([b"one", [b"two", 5]])
    expect_nothing(pull)


def test_send_many_refuses_a_message_without_frames(flow):
    push, pull = flow
    with pytest.raises(IndexError, match="message 1"):
        push.send_many([b"one", []])
    expect_nothing(pull)


def test_send_many_refuses_sndmore(zmq, flow):
    push, pull = flow
    with pytest.raises(ValueError, match="SNDMORE"):
        push.send_many([b"one"], zmq.SNDMORE)
    expect_nothing(pull)


def test_error_of_the_iterable_is_raised_before_anything_is_sent(flow):
    push, pull = flow

    def messages():
        yield b"one"
        raise KeyError("two")

    with pytest.raises(KeyError):
        push.send_many(messages())
    expect_nothing(pull)


def test_send_many_raises_again_if_nobody_takes_one(zmq, sockets, endpoint):
    push = sockets(zmq.PUSH, sndtimeo=1)
    push.bind(endpoint)
    for flags in (0, zmq.DONTWAIT):
        with expect_error(zmq, "EAGAIN"):
            push.send_many([b"one", b"two"], flags)


@pytest.mark.parametrize("how", [{"timeout": 0}, {"timeout": 1}, {"timeout": 0.5}], ids=str)
def test_recv_many_raises_again_when_its_time_is_over(zmq, flow, how):
    _push, pull = flow
    with expect_error(zmq, "EAGAIN"):
        pull.recv_many(10, **how)


def test_recv_many_waits_as_long_as_rcvtimeo_says(zmq, flow):
    _push, pull = flow
    pull.rcvtimeo = 1
    with expect_error(zmq, "EAGAIN"):
        pull.recv_many()


@pytest.mark.parametrize("most", [0, -1])
def test_recv_many_refuses_to_receive_less_than_one(flow, most):
    _push, pull = flow
    with pytest.raises(ValueError, match="max"):
        pull.recv_many(most)


def test_types_that_do_not_send_or_receive_say_so(zmq, flow):
    push, pull = flow
    with expect_error(zmq, "ENOTSUP"):
        pull.send_many([b"one"])
    with expect_error(zmq, "ENOTSUP"):
        push.recv_many(1)


def test_closed_socket_takes_and_gives_no_burst(zmq, flow):
    push, pull = flow
    push.close()
    pull.close()
    with expect_error(zmq, "ENOTSOCK"):
        push.send_many([b"one"])
    with expect_error(zmq, "ENOTSOCK"):
        push.send_many([])
    with expect_error(zmq, "ENOTSOCK"):
        pull.recv_many()


# --- shapes ------------------------------------------------------------------------------------------------


def test_messages_arrive_in_order_and_one_frame_is_bytes(flow):
    push, pull = flow
    messages = [b"%d" % number for number in range(300)]
    assert push.send_many(messages) == 300
    assert gather(pull, 300) == messages


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda items: dict.fromkeys(items).keys()])
def test_messages_may_come_in_any_iterable(flow, kind):
    push, pull = flow
    assert push.send_many(kind([b"one", b"two"])) == 2
    assert gather(pull, 2) == [b"one", b"two"]


def test_nothing_is_sent_of_nothing(flow):
    push, pull = flow
    assert push.send_many([]) == 0
    expect_nothing(pull)


def test_message_of_several_frames_is_a_list_in_both_directions(flow):
    push, pull = flow
    mixed = [b"one", [b"a", b""], (b"c", b"d", b"e"), [b"alone"], b"last"]
    assert push.send_many(mixed) == 5
    assert gather(pull, 5) == [b"one", [b"a", b""], [b"c", b"d", b"e"], b"alone", b"last"]


def test_every_message_is_a_list_if_asked_for(flow):
    push, pull = flow
    push.send_many([b"one", [b"a", b"b"]])
    assert gather(pull, 2, multipart=True) == [[b"one"], [b"a", b"b"]]


def test_any_buffer_may_be_a_message_or_a_frame(zmq, flow):
    push, pull = flow
    push.send_many(
        [bytearray(b"one"), memoryview(b"-two-")[1:4], [zmq.Frame(b"a"), bytearray(b"b")]], copy=False
    )
    assert gather(pull, 3) == [b"one", b"two", [b"a", b"b"]]


def test_recv_many_without_copy_gives_frames(zmq, flow):
    push, pull = flow
    push.send_many([b"one", [b"a", b"b"]])
    single, several = gather(pull, 2, copy=False)
    assert isinstance(single, zmq.Frame)
    assert [frame.more for frame in several] == [True, False]
    assert [single.bytes, *(frame.bytes for frame in several)] == [b"one", b"a", b"b"]


@pytest.mark.parametrize("size", [0, 1, 32, 300, 5000, 70_000, 400_000])
def test_burst_of_any_size_arrives_unchanged(flow, size):
    push, pull = flow
    messages = [bytes([number]) * size for number in range(40)]
    assert push.send_many(messages) == 40
    assert gather(pull, 40) == messages


def test_bursts_and_single_messages_mix(zmq, flow):
    push, pull = flow
    push.send(b"0")
    push.send_many([b"1", b"2"])
    push.send_multipart([b"3", b"3"])
    push.send_many([b"4"])
    assert pull.recv() == b"0"
    assert gather(pull, 3) == [b"1", b"2", [b"3", b"3"]]
    expect(pull, b"4")
    assert pull.get(zmq.RCVMORE) == 0


def test_burst_ends_a_message_that_was_begun(zmq, flow):
    push, pull = flow
    push.send(b"begun", zmq.SNDMORE)
    push.send_many([b"ended", b"next"])
    expect(pull, b"begun", b"ended")
    expect(pull, b"next")


def test_recv_many_begins_with_the_rest_of_a_message(zmq, flow):
    push, pull = flow
    push.send_many([[b"a", b"b", b"c"], b"next"])
    assert pull.recv() == b"a"
    assert gather(pull, 2) == [[b"b", b"c"], b"next"]
    assert pull.get(zmq.RCVMORE) == 0


# --- how many ----------------------------------------------------------------------------------------------


def test_recv_many_gives_what_is_there_and_waits_for_no_more(flow):
    push, pull = flow
    push.send_many([b"one", b"two", b"three"])
    assert gather(pull, 2) == [b"one", b"two"]
    assert pull.recv_many(1000, timeout=CAP_MS) == [b"three"]


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
def test_send_many_without_waiting_says_how_many_were_taken(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=5), sockets(zmq.PULL, rcvhwm=5)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    messages = [b"%d" % number for number in range(30)]
    sent = push.send_many(messages, zmq.DONTWAIT)
    assert sent == 10
    with expect_error(zmq, "EAGAIN"):
        push.send_many(messages[sent:], zmq.DONTWAIT)
    assert gather(pull, sent) == messages[:sent]
    expect_nothing(pull)


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
def test_send_many_says_how_many_were_taken_when_sndtimeo_is_over(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH, sndhwm=5, sndtimeo=1), sockets(zmq.PULL, rcvhwm=5)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    assert push.send_many([[b"%d" % number, b""] for number in range(30)]) == 10
    assert gather(pull, 10) == [[b"%d" % number, b""] for number in range(10)]


def test_send_many_waits_for_a_reader_whose_mark_it_exceeds(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH, sndhwm=5), sockets(zmq.PULL, rcvhwm=5)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    messages = [b"%d" % number for number in range(1000)]
    sending = task(push.send_many, messages)
    assert gather(pull, 1000) == messages
    assert sending.result() == 1000


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
def test_list_may_change_while_send_many_waits(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH, sndhwm=5), sockets(zmq.PULL, rcvhwm=5)
    pull.bind(endpoint)
    push.connect(endpoint)
    marry(push, pull)
    messages = [b"%d" % number * 20 for number in range(100)]
    sending = task(push.send_many, messages)
    sending.wait_blocked()
    messages.clear()
    assert gather(pull, 100) == [b"%d" % number * 20 for number in range(100)]
    assert sending.result() == 100


def test_messages_may_wait_for_the_binder(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    push.connect(endpoint)
    messages = [b"one", [b"a", b"b"], b"%d" % 12345]
    assert push.send_many(messages) == 3
    pull.bind(endpoint)
    assert gather(pull, 3) == messages


def test_recv_many_wakes_for_the_first_message(flow, task):
    push, pull = flow
    waiting = task(pull.recv_many)
    waiting.wait_blocked()
    push.send(b"awaited")
    assert waiting.result() == [b"awaited"]


def test_timeout_stands_in_for_rcvtimeo(flow, task):
    push, pull = flow
    pull.rcvtimeo = 1
    waiting = task(lambda: pull.recv_many(timeout=CAP_MS))
    waiting.wait_blocked()
    push.send(b"awaited")
    assert waiting.result() == [b"awaited"]


@pytest.mark.parametrize("end", ["close", "term"])
def test_end_of_the_socket_ends_a_waiting_burst(zmq, ctx, sockets, endpoint, task, end):
    pull = sockets(zmq.PULL)
    pull.bind(endpoint)
    waiting = task(lambda: pull.recv_many(timeout=-1))
    waiting.wait_blocked()
    if end == "close":
        pull.close()
    else:
        ending = threading.Thread(target=ctx.term)
        ending.start()
    with pytest.raises(zmq.ZMQError) as caught:
        waiting.result()
    assert caught.value.errno == errno_of(zmq, "ENOTSOCK" if end == "close" else "ETERM")
    pull.close()
    if end == "term":
        ending.join(CAP)


# --- one publish, one wake ---------------------------------------------------------------------------------


def test_burst_wakes_a_sleeping_reader_once(zmq, sockets, ipc, task):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    marry(push, pull)
    waiting = task(pull.recv_many)
    waiting.wait_blocked()
    before = push.stats()["wakeups"]
    push.send_many([b"%d" % number for number in range(100)])
    assert waiting.result() == [b"%d" % number for number in range(100)], "the burst came in pieces"
    assert push.stats()["wakeups"] - before == 1


def test_burst_to_several_readers_goes_to_each_in_turn(zmq, sockets, endpoints):
    push, pulls = sockets(zmq.PUSH), [sockets(zmq.PULL) for _ in range(3)]
    for pull, endpoint in zip(pulls, endpoints(3), strict=True):
        pull.bind(endpoint)
        push.connect(endpoint)
        marry(push, pull)
    push.send_many([b"%d" % number for number in range(30)])
    shares = [[int(message) for message in gather(pull, 10)] for pull in pulls]
    assert sorted(number % 3 for number, *_ in shares) == [0, 1, 2]
    assert all(share == list(range(share[0], 30, 3)) for share in shares)


def test_burst_is_received_from_each_sender_in_turn(zmq, sockets, endpoint):
    pull, pushes = sockets(zmq.PULL), [sockets(zmq.PUSH) for _ in range(3)]
    pull.bind(endpoint)
    for push in pushes:
        push.connect(endpoint)
        marry(push, pull)
    # Over tcp a burst may still be on its way when another has come: not in every round all are there.
    for _ in range(ROUNDS):
        for number, push in enumerate(pushes):
            push.send_many([b"%d" % number] * 10)
        wait_until(lambda: pull.poll(0), "a message")
        found = gather(pull, 30)
        if all(sorted(found[turn : turn + 3]) == [b"0", b"1", b"2"] for turn in range(0, 30, 3)):
            return
    pytest.fail(f"in none of {ROUNDS} rounds each had its turn; the last one: {found}")


def test_sender_that_joins_late_has_its_turn_within_a_burst(zmq, sockets, ipc):
    pull, first, second = sockets(zmq.PULL), sockets(zmq.PUSH), sockets(zmq.PUSH)
    pull.bind(ipc)
    for push in (first, second):
        push.connect(ipc)
        marry(push, pull)
    first.send_many([b"first"] * 500)
    assert pull.recv_many(1) == [b"first"]
    second.send(b"second")
    assert b"second" in pull.recv_many(100)


# --- types -------------------------------------------------------------------------------------------------


def test_router_gives_and_takes_lists_that_begin_with_the_id(zmq, sockets, endpoint):
    router, dealer = sockets(zmq.ROUTER), sockets(zmq.DEALER, routing_id=b"d")
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send_many([b"one", [b"a", b"b"]])
    assert gather(router, 2) == [[b"d", b"one"], [b"d", b"a", b"b"]]
    assert router.send_many([[b"d", b"1"], [b"d", b"2", b"3"], [b"nobody", b"dropped"]]) == 3
    assert gather(dealer, 2) == [b"1", [b"2", b"3"]]


def test_burst_ends_before_the_message_that_has_no_route(zmq, sockets, endpoint):
    router, dealer = sockets(zmq.ROUTER, router_mandatory=1), sockets(zmq.DEALER, routing_id=b"d")
    router.bind(endpoint)
    dealer.connect(endpoint)
    dealer.send(b"here")
    router.recv_multipart()
    burst = [[b"d", b"1"], [b"nobody", b"2"], [b"d", b"3"]]
    assert router.send_many(burst) == 1
    with expect_error(zmq, "EHOSTUNREACH"):
        router.send_many(burst[1:])
    assert gather(dealer, 1) == [b"1"]
    expect_nothing(dealer)


def test_burst_of_a_request_reply_pair_is_one_message(zmq, sockets, endpoint):
    """A REQ sends and receives in turns (RFC 28): a burst is one message and the rest is refused."""
    req, rep = sockets(zmq.REQ), sockets(zmq.REP)
    rep.bind(endpoint)
    req.connect(endpoint)
    assert req.send_many([b"asked", b"too many"]) == 1
    with expect_error(zmq, "EFSM"):
        req.send_many([b"too many"])
    assert rep.recv_many() == [b"asked"]
    with expect_error(zmq, "EFSM"):
        rep.recv_many()
    assert rep.send_many([[b"told", b"more"], b"too many"]) == 1
    assert req.recv_many() == [[b"told", b"more"]]


def test_pair_sends_and_receives_bursts(zmq, sockets, endpoint):
    one, other = sockets(zmq.PAIR), sockets(zmq.PAIR)
    one.bind(endpoint)
    other.connect(endpoint)
    for left, right in ((one, other), (other, one)):
        left.send_many([b"a", [b"b", b"c"]])
        assert gather(right, 2) == [b"a", [b"b", b"c"]]


# --- threads, subclasses, counters -------------------------------------------------------------------------


@pytest.mark.slow
def test_messages_of_bursts_from_many_threads_stay_whole(zmq, flow, task):
    push, pull = flow
    bursts = [[[b"%d" % who, b"%d" % number] for number in range(500)] for who in range(4)]
    senders = [task(push.send_many, burst) for burst in bursts]
    found = gather(pull, 2000)
    assert [sender.result() for sender in senders] == [500] * 4
    for who, burst in enumerate(bursts):
        assert [message for message in found if message[0] == b"%d" % who] == burst


def test_subclass_that_changes_send_and_recv_means_bursts_too(zmq, ctx, endpoint):
    class Shout(zmq.Socket):
        def send(self, data, *args, **kwargs):
            return super().send(bytes(data).upper(), *args, **kwargs)

        def recv(self, *args, **kwargs):
            return super().recv(*args, **kwargs) + b"!"

    with Shout(ctx, zmq.PAIR) as one, Shout(ctx, zmq.PAIR) as other:
        one.bind(endpoint)
        other.connect(endpoint)
        assert one.send_many([b"a", [b"b", b"c"]]) == 2
        found = []
        while len(found) < 2:
            found += other.recv_many(timeout=CAP_MS)
        assert found == [b"A!", [b"B!", b"C!"]]
        with expect_error(zmq, "EAGAIN"):
            other.recv_many(timeout=0)


def test_bursts_are_counted_message_by_message(zmq, sockets, ipc):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(ipc)
    push.connect(ipc)
    push.send_many([b"12345"] * 50 + [[b"123", b"45"]])
    gather(pull, 51)
    sent, received = push.stats(), pull.stats()
    assert (sent["messages_sent"], sent["bytes_sent"]) == (51, 255)
    assert (received["messages_received"], received["bytes_received"]) == (51, 255)


def test_fd_rings_for_what_a_burst_left(zmq, sockets, endpoint):
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
    pull.bind(endpoint)
    push.connect(endpoint)
    import select

    push.send_many([b"one", b"two", b"three"])
    assert select.select([pull.fileno()], [], [], CAP)[0]
    # It may have rung for the connection.
    wait_until(lambda: pull.get(zmq.EVENTS) & zmq.POLLIN, "the first of the burst")
    for left in (2, 1, 0):
        assert pull.get(zmq.EVENTS) & zmq.POLLIN  # quiet now
        assert len(pull.recv_many(1)) == 1
        assert bool(select.select([pull.fileno()], [], [], CAP if left else 0)[0]) == (left > 0)


def _blocked(zmq, link, endpoint, call):
    """Block for ever in the call; say what ended it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.bind(endpoint)
        calls = {
            "recv_many": socket.recv_many,
            "recv_many with a timeout": lambda: socket.recv_many(timeout=100_000),
            "send_many": lambda: socket.send_many([b"", b""]),
            "wait_for_peers": socket.wait_for_peers,
        }
        link.tell("about to block")
        try:
            calls[call]()
        except KeyboardInterrupt:
            return "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("call", ["recv_many", "recv_many with a timeout", "send_many", "wait_for_peers"])
def test_control_c_ends_a_blocked_burst(ipc, run_child, call):
    child = run_child(_blocked, ipc, call)
    child.hear()
    child.wait_blocked()
    child.signal(signal.SIGINT)
    assert child.result() == "interrupted"
