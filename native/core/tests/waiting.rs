//! Waits whose cause another call has already taken in: interleavings that threads meet too rarely.

#![allow(clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use shmzmq_core::context::Context;
use shmzmq_core::error::Error;
use shmzmq_core::message::{Collect, Own};
use shmzmq_core::options::{RCVHWM, SNDHWM, SUBSCRIBE, XPUB_NODROP};
use shmzmq_core::socket::{Interest, Socket, Woken};
use shmzmq_zmtp::SocketType;

fn open(context: &Arc<Context>, kind: SocketType) -> Arc<Socket> {
    context.socket(kind.number()).expect("a socket")
}

/// One thread finds nothing and is about to wait; another one's send takes the subscription in.
#[test]
fn a_receive_does_not_sleep_on_a_subscription_that_a_send_took_in() {
    let context = Context::new(1);
    let (publisher, subscriber) = (open(&context, SocketType::XPub), open(&context, SocketType::Sub));
    context.bind_inproc(&publisher, "name").expect("bind");
    context.connect_inproc(&subscriber, "name").expect("connect");
    // Applies the mark that the connection left.
    assert_eq!(publisher.try_recv(&mut Collect::default()), Err(Error::Again));

    subscriber.set_bytes(SUBSCRIBE, b"topic").expect("subscribe");
    publisher.try_send(&Own::new(b"other".to_vec()), false).expect("send");

    let deadline = Instant::now() + Duration::from_secs(5);
    let woken = publisher.wait(Interest::Receive, Some(deadline)).expect("wait");
    assert_eq!(woken, Woken::Look);
    let mut frame = Collect::default();
    assert_eq!(publisher.try_recv(&mut frame), Ok(false));
    assert_eq!(frame.bytes, b"\x01topic");
    for socket in [&publisher, &subscriber] {
        context.close(socket);
    }
}

/// One thread's send is refused, and before it waits another one's send to another peer is not.
#[test]
fn a_send_does_not_wait_for_nothing_when_another_one_goes() {
    let context = Context::new(1);
    let publisher = open(&context, SocketType::XPub);
    publisher.set_option(SNDHWM, 1).expect("SNDHWM");
    publisher.set_option(XPUB_NODROP, 1).expect("XPUB_NODROP");
    context.bind_inproc(&publisher, "name").expect("bind");
    let subscribers = [b"a", b"b"].map(|topic| {
        let subscriber = open(&context, SocketType::Sub);
        subscriber.set_option(RCVHWM, 1).expect("RCVHWM");
        subscriber.set_bytes(SUBSCRIBE, topic).expect("subscribe");
        context.connect_inproc(&subscriber, "name").expect("connect");
        subscriber
    });
    let send = |topic: &[u8]| publisher.try_send(&Own::new(topic.to_vec()), true);
    while send(b"a").is_ok() {}
    assert_eq!(send(b"a"), Err(Error::Again));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| send(b"b"));
        assert_eq!(other.join().ok(), Some(Ok(())));
    });
    while subscribers[0].try_recv(&mut Collect::default()).is_ok() {}
    let deadline = Instant::now() + Duration::from_secs(5);
    assert_eq!(publisher.wait(Interest::Send, Some(deadline)).expect("wait"), Woken::Look);
    assert_eq!(send(b"a"), Ok(()));
    for socket in subscribers.iter().chain([&publisher]) {
        context.close(socket);
    }
}

/// A thread sleeps until its peer has read half; another one asks for the same, finds that the peer has read a
/// little, and goes on: it took the first one's wish back with its own.
#[test]
fn a_send_that_sleeps_is_not_forgotten_when_another_one_need_not() {
    let context = Context::new(1);
    let publisher = open(&context, SocketType::XPub);
    publisher.set_option(XPUB_NODROP, 1).expect("XPUB_NODROP");
    context.bind_inproc(&publisher, "name").expect("bind");
    let subscriber = open(&context, SocketType::Sub);
    for socket in [&publisher, &subscriber] {
        socket.set_option(SNDHWM, 5).expect("SNDHWM");
        socket.set_option(RCVHWM, 5).expect("RCVHWM");
    }
    subscriber.set_bytes(SUBSCRIBE, b"").expect("subscribe");
    context.connect_inproc(&subscriber, "name").expect("connect");
    let send = || publisher.try_send(&Own::new(b"x".to_vec()), true);
    while send().is_ok() {}
    let deadline = Instant::now() + Duration::from_secs(5);
    let woken = std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            assert_eq!(send(), Err(Error::Again));
            publisher.wait(Interest::Send, Some(deadline)).expect("wait")
        });
        while publisher.state().core.stats.sleeps == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(send(), Err(Error::Again));
        subscriber.try_recv(&mut Collect::default()).expect("a message");
        assert!(!publisher.sleep_output());
        while subscriber.try_recv(&mut Collect::default()).is_ok() {}
        sleeper.join().expect("join")
    });
    assert_eq!(woken, Woken::Look);
    for socket in [&subscriber, &publisher] {
        context.close(socket);
    }
}
