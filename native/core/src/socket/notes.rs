//! Messages of connections' ends: the hello that a socket says to each new peer, and what it tells its own
//! reader of peers that come, go, or are away for a while.
//!
//! | option | who reads it | when |
//! |---|---|---|
//! | HELLO_MSG | the peer | before all else, on every connection |
//! | ROUTER_NOTIFY 1 | here | before the first message of a connection; empty |
//! | ROUTER_NOTIFY 2 | here | after the last message of a connection that the peer ended; empty |
//! | DISCONNECT_MSG | here | the same, if the peer had connected to us |
//! | HICCUP_MSG | here | the same, if we had connected and will again |
//!
//! A note is an input of the pipe like any other, in its place in the order, and ends when it is read.
//! Source: zmq_setsockopt(3), draft options; ROUTER_NOTIFY is not told over inproc there, nor here.

use crate::message::{Message, Outgoing, Own, Payload, Undelivered};
use crate::options::{NOTIFY_CONNECT, NOTIFY_DISCONNECT, Options};
use crate::pipe::local::{self, LocalOut};
use crate::pipe::{In, Write, Writer};
use crate::stats::Stats;

/// An input that gives one message of one frame.
fn note(bytes: &[u8]) -> In {
    let (mut out, mut input) = local::direction();
    out.write(Outgoing::plain(&Own::new(bytes.to_vec())), &mut Stats::default());
    input.note = true;
    In::Local(input)
}

/// Is written before the connection is anybody else's. Where it ends, if it was.
pub fn say_hello(options: &Options, writer: &mut Writer, stats: &mut Stats) -> Option<u64> {
    let hello = &options.hello_msg;
    if hello.is_empty() {
        return None;
    }
    let mut message = Message { first: Payload::from(hello.as_slice()), rest: Vec::new() };
    let said = matches!(writer.write_accepted(&mut message, stats), Write::Done);
    writer.publish(stats);
    said.then(|| writer.position())
}

/// The same over inproc.
pub fn say_hello_locally(options: &Options, out: &mut LocalOut) {
    if !options.hello_msg.is_empty() {
        out.write(Outgoing::plain(&Own::new(options.hello_msg.clone())), &mut Stats::default());
    }
}

/// What the peer had not taken, without the hello: the next connection has its own.
pub fn undelivered(writer: &mut Writer, hello: Option<u64>) -> Undelivered {
    let mut left = writer.undelivered();
    if hello.is_some_and(|end| writer.owes_first(end, left.count())) {
        left.messages.pop_front();
    }
    left
}

/// A peer is there.
pub fn came(options: &Options) -> Option<In> {
    (options.router_notify & NOTIFY_CONNECT != 0).then(|| note(b""))
}

/// It is gone. `returns`: we dial again; `accepted`: it had connected to us.
pub fn went(options: &Options, accepted: bool, returns: bool) -> impl Iterator<Item = In> {
    let notified = (options.router_notify & NOTIFY_DISCONNECT != 0).then(|| note(b""));
    let hiccup = if returns { message(&options.hiccup_msg) } else { None };
    notified.into_iter().chain(if accepted { left(options) } else { None }).chain(hiccup)
}

/// An accepted peer has gone for good.
pub fn left(options: &Options) -> Option<In> {
    message(&options.disconnect_msg)
}

fn message(bytes: &[u8]) -> Option<In> {
    (!bytes.is_empty()).then(|| note(bytes))
}
