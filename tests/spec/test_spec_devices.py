"""Devices: the plan of their sockets, what passes, what ends them. And monitored_queue.

Source: pyzmq's documented API; what passes a proxy is tests/spec/test_spec_proxy.py.
"""

from __future__ import annotations

import importlib
import multiprocessing
import struct
from pathlib import Path
from socket import socket as plain_socket

import pytest

from kit import CAP, CAP_MS, end_context, expect, expect_error, path_of, wait_until


@pytest.fixture
def devices(zmq, backend):
    """The module of devices."""
    return importlib.import_module(f"{backend}.devices")


@pytest.fixture
def stage(zmq, new_context):
    """A context that devices and their users share; terminated at the end, which must end every device."""
    context = new_context()
    started, sockets = [], []

    class Stage:
        def start(self, device):
            device.context_factory = lambda: context
            started.append(device)
            device.start()
            return device

        def socket(self, kind, connect=None, **options):
            socket = context.socket(kind)
            sockets.append(socket)
            for name, value in {"rcvtimeo": CAP_MS, "sndtimeo": CAP_MS, **options}.items():
                setattr(socket, name, value)
            if connect:
                socket.connect(connect)
            return socket

    yield Stage()
    for socket in sockets:
        socket.close(linger=0)
    end_context(zmq, context)
    for device in started:
        device.join(CAP)
        assert device.done, "the device outlives its context"


KINDS = ["ThreadDevice", "ThreadProxy", "ThreadMonitoredQueue", "ThreadProxySteerable"]


def planned(zmq, devices, kind, front, back):
    """A device of some kind between two types."""
    if kind == "ThreadDevice":
        return devices.ThreadDevice(zmq.QUEUE, front, back)
    if kind == "ThreadProxySteerable":
        return devices.ThreadProxySteerable(front, back, zmq.PUB, zmq.PAIR)
    return getattr(devices, kind)(front, back)


def is_listened_at(address, port):
    """Whether somebody accepts connections there."""
    with plain_socket() as probe:
        return probe.connect_ex((address.removeprefix("tcp://"), port)) == 0


# --- the plan ----------------------------------------------------------------------------------------------


def test_device_remembers_its_types(zmq, devices):
    device = devices.Device(zmq.FORWARDER, zmq.SUB, zmq.PUB)
    assert (device.device_type, device.in_type, device.out_type) == (zmq.FORWARDER, zmq.SUB, zmq.PUB)
    assert device.daemon
    assert not device.done


def test_device_needs_both_types(zmq, devices):
    with pytest.raises(TypeError, match="in_type must be specified"):
        devices.Device(zmq.QUEUE)
    with pytest.raises(TypeError, match="out_type must be specified"):
        devices.Device(zmq.QUEUE, zmq.PULL)


def test_contexts_of_devices(zmq, devices):
    assert devices.ThreadDevice.context_factory() is devices.Device.context_factory()
    zmq.Context.instance().term()
    assert devices.ProcessDevice.context_factory is zmq.Context


@pytest.mark.parametrize("kind", KINDS)
def test_device_passes_messages(zmq, devices, stage, endpoints, kind):
    front, back = endpoints(2)
    device = planned(zmq, devices, kind, zmq.PULL, zmq.PUSH)
    device.setsockopt_in(zmq.RCVHWM, 7)
    device.bind_in(front)
    device.bind_out(back)
    stage.start(device)
    push, pull = stage.socket(zmq.PUSH, front), stage.socket(zmq.PULL, back)
    for number in range(100):
        push.send_multipart([b"%d" % number, b"second"])
    for number in range(100):
        expect(pull, b"%d" % number, b"second")
    assert not device.done


@pytest.mark.parametrize("kind", KINDS)
def test_device_passes_requests_and_replies(zmq, devices, stage, inproc, new_endpoint, kind):
    other = new_endpoint("inproc")
    device = planned(zmq, devices, kind, zmq.ROUTER, zmq.DEALER)
    device.bind_in(inproc)
    device.bind_out(other)
    stage.start(device)
    req, rep = stage.socket(zmq.REQ, inproc), stage.socket(zmq.REP, other)
    for number in range(10):
        req.send(b"%d" % number)
        expect(rep, b"%d" % number)
        rep.send(b"re %d" % number)
        expect(req, b"re %d" % number)


def test_device_connects_and_sets_options_first(zmq, devices, stage, inproc, new_endpoint):
    other = new_endpoint("inproc")
    dealer = stage.socket(zmq.ROUTER)
    dealer.bind(inproc)
    back = stage.socket(zmq.PULL)
    back.bind(other)
    device = devices.ThreadDevice(zmq.QUEUE, zmq.DEALER, zmq.PUSH)
    device.connect_in(inproc)
    device.connect_out(other)
    device.setsockopt_in(zmq.ROUTING_ID, b"device")
    device.setsockopt_in(zmq.PROBE_ROUTER, 1)
    device.setsockopt_out(zmq.SNDHWM, 3)
    stage.start(device)
    expect(dealer, b"device", b"")
    dealer.send_multipart([b"device", b"message"])
    expect(back, b"message")


def test_one_socket_on_both_sides(zmq, devices, stage, inproc):
    device = devices.ThreadDevice(zmq.QUEUE, zmq.DEALER, -1)
    device.bind_in(inproc)
    stage.start(device)
    dealer = stage.socket(zmq.DEALER, inproc)
    dealer.send(b"echo")
    expect(dealer, b"echo")


def test_subclass_may_do_something_else(zmq, devices, stage):
    class Mine(devices.ThreadDevice):
        def run_device(self):
            self.seen = self._setup_sockets()

    device = stage.start(Mine(zmq.QUEUE, zmq.PULL, zmq.PUSH))
    device.join(CAP)
    assert device.done
    assert [socket.type for socket in device.seen] == [zmq.PULL, zmq.PUSH]
    assert all(socket.closed for socket in device.seen)


def test_device_in_the_foreground_ends_with_its_context(zmq, devices, new_context, inproc, task):
    context = new_context()
    device = devices.Proxy(zmq.PULL, zmq.PUSH)
    device.context_factory = lambda: context
    device.bind_in(inproc)
    running = task(device.start)
    joining = task(device.join)
    push = context.socket(zmq.PUSH)
    push.connect(inproc)
    push.close(linger=0)
    running.wait_blocked()
    device.join(timeout=0.001)
    assert not device.done
    context.term()
    running.result()
    joining.result()
    assert device.done


def test_mistake_in_the_plan_is_raised(zmq, devices, ctx):
    device = devices.Device(zmq.QUEUE, zmq.PULL, zmq.PUSH)
    device.context_factory = lambda: ctx
    device.bind_in("nothing://like.this")
    with expect_error(zmq, "EPROTONOSUPPORT"):
        device.start()
    assert device.done


@pytest.mark.parametrize("side", ["in", "out", "mon", "ctrl"])
def test_random_port_is_bound(zmq, devices, stage, tcp, side):
    device = devices.ThreadProxySteerable(zmq.PULL, zmq.PUSH, zmq.PUSH, zmq.PULL)
    address = tcp.rpartition(":")[0]
    port = getattr(device, f"bind_{side}_to_random_port")(address)
    other = getattr(device, f"bind_{side}_to_random_port")(address, min_port=30_000, max_port=32_000)
    assert 30_000 <= other < 32_000
    assert other != port
    stage.start(device)
    for each in (port, other):
        wait_until(lambda each=each: is_listened_at(address, each), f"port {each} to be bound")


# --- what the third and fourth socket are for --------------------------------------------------------------


def test_third_socket_gets_a_copy(zmq, devices, stage, inproc, new_endpoint):
    back, spy = new_endpoint("inproc"), new_endpoint("inproc")
    device = devices.ThreadProxy(zmq.PULL, zmq.PUSH, zmq.PUSH)
    device.setsockopt_mon(zmq.SNDHWM, 5)
    device.bind_in(inproc)
    device.bind_out(back)
    device.bind_mon(spy)
    stage.start(device)
    push, pull = stage.socket(zmq.PUSH, inproc), stage.socket(zmq.PULL, back)
    watcher = stage.socket(zmq.PULL, spy)
    push.send_multipart([b"a", b"b"])
    expect(pull, b"a", b"b")
    expect(watcher, b"a", b"b")


def test_fourth_socket_ends_the_proxy(zmq, devices, stage, inproc, new_endpoint):
    back, helm_place, spy = (new_endpoint("inproc") for _ in range(3))
    device = devices.ThreadProxySteerable(zmq.PULL, zmq.PUSH, zmq.PUB, zmq.REP)
    device.bind_in(inproc)
    device.bind_out(back)
    device.bind_mon(spy)
    device.setsockopt_ctrl(zmq.RCVHWM, 9)
    device.bind_ctrl(helm_place)
    stage.start(device)
    push, pull = stage.socket(zmq.PUSH, inproc), stage.socket(zmq.PULL, back)
    push.send(b"message")
    expect(pull, b"message")
    helm = stage.socket(zmq.REQ, helm_place)
    helm.send(b"STATISTICS")
    assert struct.unpack("=Q", helm.recv_multipart()[0])[0] == 1
    helm.send(b"TERMINATE")
    helm.recv_multipart()
    device.join(CAP)
    assert device.done


# --- monitored_queue ---------------------------------------------------------------------------------------


@pytest.fixture
def queue(zmq, devices, stage, endpoints):
    """A monitored queue and a way to make those who talk through it."""

    def run(front, back, *prefixes):
        places = endpoints(3)
        device = devices.ThreadMonitoredQueue(front, back, zmq.PUSH, *prefixes)
        device.bind_in(places[0])
        device.bind_out(places[1])
        device.bind_mon(places[2])
        stage.start(device)
        return (*places[:2], stage.socket(zmq.PULL, places[2]))

    return run


@pytest.mark.parametrize("prefixes", [(), (b"to", b"fro")], ids=["usual", "given"])
def test_third_socket_is_told_the_way(zmq, stage, queue, prefixes):
    there, back_again = prefixes or (b"in", b"out")
    front, back, spy = queue(zmq.ROUTER, zmq.DEALER, *prefixes)
    rep, req = stage.socket(zmq.REP, back), stage.socket(zmq.REQ, front, routing_id=b"asker")
    for number in range(3):
        req.send_multipart([b"request", b"%d" % number])
        expect(rep, b"request", b"%d" % number)
        rep.send(b"reply")
        expect(req, b"reply")
        expect(spy, there, b"asker", b"", b"request", b"%d" % number)
        expect(spy, back_again, b"asker", b"", b"reply")


def test_router_to_router_swaps_the_first_two_frames(zmq, stage, queue):
    front, back, spy = queue(zmq.ROUTER, zmq.ROUTER, b"in", b"out")
    left = stage.socket(zmq.DEALER, front, routing_id=b"left")
    right = stage.socket(zmq.DEALER, back, routing_id=b"right")

    def heard():
        left.send_multipart([b"right", b"are you there?"])
        return right.poll(20)

    wait_until(heard, "the other side to be known to the queue")
    expect(right, b"left", b"are you there?")
    expect(spy, *([b"in", b"right", b"left", b"are you there?"]))
    right.send_multipart([b"left", b"yes"])
    expect(left, b"right", b"yes")


def test_prefix_is_bytes(zmq, devices, sockets):
    trio = [sockets(zmq.PAIR) for _ in range(3)]
    with pytest.raises(TypeError, match="bytes"):
        devices.monitored_queue(*trio, "in", b"out")


def test_closing_a_socket_ends_a_monitored_queue(zmq, devices, new_context, task):
    context = new_context()
    trio = [context.socket(kind) for kind in (zmq.PULL, zmq.PUSH, zmq.PUB)]
    running = task(devices.monitored_queue, *trio)
    running.wait_blocked()
    ending = task(context.term)
    with expect_error(zmq, "ETERM"):
        running.result()
    for socket in trio:
        socket.close(linger=0)
    ending.result()


def test_messages_pass_a_monitored_queue_that_waits_for_its_target(zmq, stage, queue):
    front, back, spy = queue(zmq.PULL, zmq.PUSH)
    push = stage.socket(zmq.PUSH, front)
    for number in range(250):
        push.send(b"%d" % number)
    pull = stage.socket(zmq.PULL, back)
    for number in range(250):
        expect(pull, b"%d" % number)
        expect(spy, b"in", b"%d" % number)


# --- in a process ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("kind", ["ProcessDevice", "ProcessProxySteerable", "ProcessMonitoredQueue"])
def test_device_in_a_process(zmq, devices, sockets, new_endpoint, monkeypatch, kind, method):
    front, back = (new_endpoint("ipc") for _ in range(2))
    made = getattr(devices, kind)
    device = made(zmq.QUEUE, zmq.PULL, zmq.PUSH) if kind == "ProcessDevice" else made(zmq.PULL, zmq.PUSH)
    if kind == "ProcessProxySteerable":
        device.ctrl_type = zmq.PAIR
    monkeypatch.setattr(made, "_launch_class", multiprocessing.get_context(method).Process)
    device.bind_in(front)
    device.bind_out(back)
    device.start()
    try:
        push, pull = sockets(zmq.PUSH), sockets(zmq.PULL)
        push.connect(front)
        pull.connect(back)
        push.send_multipart([b"there", b"and on"])
        expect(pull, b"there", b"and on")
    finally:
        device.launcher.terminate()
        device.join(CAP)
    assert not device.launcher.is_alive()
    device.launcher.close()
    for place in (front, back):
        Path(path_of(place)).unlink()  # a process that is killed leaves them; the next bind takes them over
