"""One socket, several threads. pyzmq forbids all of this and aborts; shmzmq promises it (design 6)."""

from __future__ import annotations

import collections

import pytest

from kit import CAP_MS, end_context, expect, expect_error, fill, wait_until

pytestmark = pytest.mark.shmzmq_only("libzmq's sockets must not be shared between threads")


@pytest.fixture
def flow(zmq, sockets, endpoint):
    """A PUSH connected to a bound PULL that waits for ever."""
    push, pull = sockets(zmq.PUSH), sockets(zmq.PULL, rcvtimeo=-1)
    pull.bind(endpoint)
    push.connect(endpoint)
    return push, pull


# --- close and term from outside ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["recv", "recv_multipart", "recv without copy", "recv_into"])
def test_close_from_another_thread_ends_a_blocked_recv(zmq, flow, task, call):
    _push, pull = flow
    receiving = task(
        {
            "recv": pull.recv,
            "recv_multipart": pull.recv_multipart,
            "recv without copy": lambda: pull.recv(copy=False),
            "recv_into": lambda: pull.recv_into(bytearray(8)),
        }[call]
    )
    receiving.wait_blocked()
    pull.close()
    with expect_error(zmq, "ENOTSOCK"):
        receiving.result()


def test_close_from_another_thread_ends_a_send_without_peers(zmq, sockets, task):
    push = sockets(zmq.PUSH, sndtimeo=-1)
    sending = task(push.send, b"to nobody")
    sending.wait_blocked()
    push.close()
    with expect_error(zmq, "ENOTSOCK"):
        sending.result()


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
def test_close_from_another_thread_ends_a_send_to_a_full_peer(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH, sndhwm=2, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=2)
    push.bind(endpoint)
    pull.connect(endpoint)
    assert push.poll(CAP_MS, zmq.POLLOUT)
    fill(zmq, push)
    sending = task(push.send, b"one too many")
    sending.wait_blocked()
    push.close(linger=0)
    with expect_error(zmq, "ENOTSOCK"):
        sending.result()


def test_close_ends_every_blocked_thread(zmq, flow, task):
    _push, pull = flow
    receivers = [task(pull.recv) for _ in range(4)]
    for receiving in receivers:
        receiving.wait_blocked()
    pull.close()
    for receiving in receivers:
        with expect_error(zmq, "ENOTSOCK"):
            receiving.result()


@pytest.mark.parametrize("call", ["recv", "send"])
def test_term_from_another_thread_ends_a_blocked_call(zmq, new_context, task, call):
    context = new_context()
    socket = context.socket(zmq.DEALER)
    blocked = task(socket.recv) if call == "recv" else task(socket.send, b"to nobody")
    blocked.wait_blocked()
    ending = task(context.term)
    with expect_error(zmq, "ETERM"):
        blocked.result()
    socket.close()
    ending.result()


def test_destroy_from_another_thread_ends_a_blocked_recv(zmq, new_context, task):
    context = new_context()
    pull = context.socket(zmq.PULL)
    receiving = task(pull.recv)
    receiving.wait_blocked()
    context.destroy()
    with pytest.raises(zmq.ZMQError) as caught:
        receiving.result()
    assert caught.value.errno in (zmq.ENOTSOCK, zmq.ETERM)


# --- receiving together ------------------------------------------------------------------------------------


def test_each_of_two_blocked_threads_gets_a_message(flow, task):
    push, pull = flow
    receivers = [task(pull.recv) for _ in range(2)]
    for receiving in receivers:
        receiving.wait_blocked()
    push.send(b"one")
    push.send(b"two")
    assert sorted(receiving.result() for receiving in receivers) == [b"one", b"two"]


def test_one_message_wakes_one_of_two_threads_and_the_other_waits_on(flow, task):
    push, pull = flow
    receivers = [task(pull.recv) for _ in range(2)]
    for receiving in receivers:
        receiving.wait_blocked()
    push.send(b"first")
    push.send(b"second")
    for receiving in receivers:
        assert receiving.result() in (b"first", b"second")


def test_threads_share_a_stream_without_loss_or_repeat(flow, task):
    push, pull = flow

    def receive():
        mine = []
        while (message := pull.recv()) != b"stop":
            mine.append(int(message))
        return mine

    receivers = [task(receive) for _ in range(4)]
    for number in range(4000):
        push.send(b"%d" % number)
    for _ in receivers:
        push.send(b"stop")
    shares = [receiving.result(2 * CAP_MS / 1000) for receiving in receivers]
    assert all(share == sorted(share) for share in shares)
    assert sorted(number for share in shares for number in share) == list(range(4000))


def test_recv_multipart_of_several_threads_keeps_messages_whole(flow, task):
    push, pull = flow

    def receive():
        mine = []
        while (frames := pull.recv_multipart()) != [b"stop"]:
            mine.append(frames)
        return mine

    receivers = [task(receive) for _ in range(4)]
    for number in range(2000):
        push.send_multipart([b"%d" % number] * (1 + number % 5))
    for _ in receivers:
        push.send(b"stop")
    messages = [frames for receiving in receivers for frames in receiving.result(2 * CAP_MS / 1000)]
    assert sorted(messages, key=lambda frames: int(frames[0])) == [
        [b"%d" % number] * (1 + number % 5) for number in range(2000)
    ]


def test_recv_multipart_of_several_threads_keeps_large_messages_whole(flow, task):
    # Frames of this size are copied without the GIL: another thread may run between two of them.
    push, pull = flow
    size, count = 1 << 20, 60

    def receive():
        mine = []
        while (frames := pull.recv_multipart()) != [b"stop"]:
            mine.append([(frame[0], len(frame)) for frame in frames])
        return mine

    receivers = [task(receive) for _ in range(3)]
    for number in range(count):
        push.send_multipart([bytes([number]) * size] * 3)
    for _ in receivers:
        push.send(b"stop")
    messages = [frames for receiving in receivers for frames in receiving.result(4 * CAP_MS / 1000)]
    assert sorted(messages) == [[(number, size)] * 3 for number in range(count)]


# --- sending together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 20_000])
def test_send_multipart_of_many_threads_is_atomic(flow, task, size):
    push, pull = flow
    count = 200 if size > 1000 else 500

    def send(name):
        for number in range(count):
            mark = b"%s %d " % (name, number)
            push.send_multipart([mark] + [mark.ljust(size, b".")] * 4)

    names = [b"a", b"b", b"c", b"d"]
    senders = [task(send, name) for name in names]
    seen = collections.defaultdict(list)
    for _ in range(count * len(names)):
        mark, *others = pull.recv_multipart()
        assert others == [mark.ljust(size, b".")] * 4
        name, number = mark.split()
        seen[name].append(int(number))
    for sending in senders:
        sending.result()
    assert dict(seen) == {name: list(range(count)) for name in names}


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
def test_blocked_senders_all_go_on_when_the_reader_reads(zmq, sockets, endpoint, task):
    push, pull = sockets(zmq.PUSH, sndhwm=1, sndtimeo=-1), sockets(zmq.PULL, rcvhwm=1)
    push.bind(endpoint)
    pull.connect(endpoint)

    def send(name):
        for number in range(100):
            push.send(b"%s%d" % (name, number))

    senders = [task(send, name) for name in (b"a", b"b", b"c")]
    for sending in senders:
        sending.wait_blocked()
    received = sorted(pull.recv() for _ in range(300))
    assert received == sorted(
        b"%s%d" % (name, number) for name in (b"a", b"b", b"c") for number in range(100)
    )
    for sending in senders:
        sending.result()


# --- both at once ------------------------------------------------------------------------------------------


def test_blocked_recv_does_not_hold_up_a_send(zmq, sockets, endpoint, task):
    ours, theirs = sockets(zmq.DEALER, rcvtimeo=-1), sockets(zmq.DEALER)
    ours.bind(endpoint)
    theirs.connect(endpoint)
    receiving = task(ours.recv)
    receiving.wait_blocked()
    ours.send(b"question")
    expect(theirs, b"question")
    theirs.send(b"answer")
    assert receiving.result() == b"answer"


def test_sender_and_receiver_threads_run_a_dealer_at_once(zmq, sockets, endpoint, task):
    ours, theirs = sockets(zmq.DEALER), sockets(zmq.DEALER)
    ours.bind(endpoint)
    theirs.connect(endpoint)

    def send():
        for number in range(2000):
            ours.send(b"%d" % number)

    def echo():
        for _ in range(2000):
            theirs.send(theirs.recv())

    def receive():
        return [ours.recv() for _ in range(2000)]

    running = [task(each) for each in (send, echo, receive)]
    assert running[2].result(2 * CAP_MS / 1000) == [b"%d" % number for number in range(2000)]
    for each in running:
        each.result()


def test_poll_in_one_thread_sees_what_another_sends(zmq, sockets, endpoint, task):
    ours, theirs = sockets(zmq.DEALER), sockets(zmq.DEALER)
    ours.bind(endpoint)
    theirs.connect(endpoint)
    polling = task(ours.poll)
    polling.wait_blocked()
    theirs.send(b"")
    assert polling.result() == zmq.POLLIN


def test_options_may_be_read_while_a_recv_waits(zmq, flow, task):
    push, pull = flow
    receiving = task(pull.recv)
    receiving.wait_blocked()
    assert pull.get(zmq.TYPE) == zmq.PULL
    assert pull.get(zmq.EVENTS) == 0
    push.send(b"message")
    assert receiving.result() == b"message"


def test_socket_may_connect_while_a_recv_waits(zmq, sockets, new_endpoint, task):
    pull, push = sockets(zmq.PULL, rcvtimeo=-1), sockets(zmq.PUSH)
    receiving = task(pull.recv)
    receiving.wait_blocked()
    place = new_endpoint("ipc")
    push.bind(place)
    pull.connect(place)
    push.send(b"message")
    assert receiving.result() == b"message"


def test_sockets_of_one_context_may_be_made_in_many_threads(zmq, new_context, task):
    context = new_context()

    def live():
        for _ in range(50):
            with context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
                endpoint = f"inproc://{id(push)}-{id(pull)}"
                pull.bind(endpoint)
                push.connect(endpoint)
                push.send(b"x")
                assert pull.recv() == b"x"

    for each in [task(live) for _ in range(4)]:
        each.result(2 * CAP_MS / 1000)
    end_context(zmq, context)


# --- sends that wait for different peers -------------------------------------------------------------------


@pytest.mark.not_over("tcp", "what the kernel holds under way is beyond the high-water marks")
@pytest.mark.parametrize("read", [1, 3])
def test_sender_that_waits_for_one_peer_is_not_forgotten_when_another_waits_for_another(
    zmq, sockets, endpoint, task, read
):
    """Who waited next armed the first one's peer again, found that it had moved a little, and told nobody."""
    router = sockets(zmq.ROUTER, sndhwm=5, router_mandatory=1, sndtimeo=-1)
    router.bind(endpoint)
    dealers = {name: sockets(zmq.DEALER, rcvhwm=5, routing_id=name) for name in (b"one", b"other")}
    for name, dealer in dealers.items():
        dealer.connect(endpoint)
        dealer.send(b"here")
        expect(router, name, b"here")
    full = {name: 0 for name in dealers}
    for name in dealers:
        with expect_error(zmq, "EAGAIN"):
            while True:
                router.send_multipart([name, b""], zmq.DONTWAIT)
                full[name] += 1
    sleeps = router.stats()["sleeps"]
    first = task(router.send_multipart, [b"one", b""])
    # The first sleep of a call is short: it looks again by itself.
    wait_until(lambda: router.stats()["sleeps"] > sleeps + 1, "a long sleep")
    first.wait_blocked()
    for _ in range(read):
        expect(dealers[b"one"], b"")
    second = task(router.send_multipart, [b"other", b""])
    second.wait_blocked()
    for _ in range(full[b"one"] + 1 - read):
        expect(dealers[b"one"], b"")
    first.result()
    for _ in range(full[b"other"] + 1):
        expect(dealers[b"other"], b"")
    second.result()
