//! A snapshot: what the sockets of a process, or of one context, look like now, as text.
//!
//! Names stand once, in `columns`, and rows hold values, so that a thousand peers take little room. A reader
//! takes columns by name and passes over what it does not know; a column that is gone or means something else
//! is a new FORMAT (file.rs).
//!
//! A reader of a ring tells its writer in batches what it has read. A look makes it do so now, so that depths are what
//! they seem to be; where both are asked at the same time, the writer's may be the one of the look before.
//!
//! **Cost.** Nothing is counted for a snapshot that is not counted anyway; who looks, pays. A socket's lock is held for
//! `ROUND` peers at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::endpoints::Named;
use super::text::Text;
use crate::context::Context;
use crate::pipe::{Out, Pipe};
use crate::socket::core::Core;
use crate::socket::{Socket, Status};
use crate::stats::Stats;

/// Peers that are looked at under one hold of their socket's lock.
const ROUND: usize = 64;
/// Endpoints of one socket that are shown.
const ENDPOINTS: usize = 64;
/// Bytes of a routing id, a reason, a program that are shown.
const SHOWN: usize = 256;
/// What the parts around the peers may still add to a text.
const RESERVE: usize = 64;

const SOCKET_COLUMNS: [&str; 5] = ["id", "type", "state", "waiting", "depth"];
const PEER_COLUMNS: [&str; 16] = [
    "endpoint",
    "transport",
    "state",
    "reason",
    "pid",
    "uid",
    "type",
    "routing_id",
    "since",
    "depth",
    "messages_sent",
    "bytes_sent",
    "messages_received",
    "bytes_received",
    "dropped",
    "wakeups",
];

/// Facts about this process that do not change.
pub struct Facts {
    program: Vec<u8>,
    pid_namespace: u64,
    started: Duration,
}

impl Facts {
    pub fn gather() -> Facts {
        let mut program = std::fs::read("/proc/self/cmdline").unwrap_or_default();
        program.truncate(SHOWN);
        while program.last() == Some(&0) {
            program.pop();
        }
        program.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino);
        Facts { program, pid_namespace: namespace, started: now() }
    }
}

fn now() -> Duration {
    since_epoch(SystemTime::now()).unwrap_or_default()
}

fn since_epoch(at: SystemTime) -> Option<Duration> {
    at.duration_since(UNIX_EPOCH).ok()
}

/// The whole process, in at most `most` bytes.
pub fn of_process(facts: &Facts, contexts: &[Arc<Context>], most: usize) -> Vec<u8> {
    let mut text = Text::new();
    text.open('{');
    text.key("pid");
    text.number(std::process::id());
    text.key("uid");
    text.number(rustix::process::geteuid().as_raw());
    text.key("pid_namespace");
    text.number(facts.pid_namespace);
    text.key("program");
    text.string(&facts.program);
    text.key("version");
    text.string(env!("CARGO_PKG_VERSION").as_bytes());
    text.key("layout");
    text.number(shmzmq_shm::layout::ABI);
    text.key("started");
    text.seconds(facts.started);
    text.key("taken");
    text.seconds(now());
    columns(&mut text);
    contexts_into(&mut text, contexts, most);
    text.close('}');
    text.into_bytes()
}

/// One context, whole.
pub fn of_context(context: &Arc<Context>) -> Vec<u8> {
    let mut text = Text::new();
    text.open('{');
    columns(&mut text);
    contexts_into(&mut text, std::slice::from_ref(context), usize::MAX);
    text.close('}');
    text.into_bytes()
}

fn columns(text: &mut Text) {
    text.key("columns");
    text.open('{');
    text.key("socket");
    text.open('[');
    SOCKET_COLUMNS.iter().for_each(|name| text.string(name.as_bytes()));
    Stats::default().rows().iter().for_each(|(name, _)| text.string(name.as_bytes()));
    text.close(']');
    text.key("peer");
    text.open('[');
    PEER_COLUMNS.iter().for_each(|name| text.string(name.as_bytes()));
    text.close(']');
    text.close('}');
}

/// What is to be shown of one socket, its peers not yet.
struct Shown {
    socket: Arc<Socket>,
    head: Text,
}

fn contexts_into(text: &mut Text, contexts: &[Arc<Context>], most: usize) {
    contexts.iter().flat_map(|context| context.all_sockets()).for_each(|socket| {
        rounds(&socket, |pipe, stats| pipe.publish_in(stats));
    });
    let shown: Vec<Vec<Shown>> = contexts.iter().map(|context| sockets(context)).collect();
    let heads: usize = shown.iter().flatten().map(|shown| shown.head.len() + RESERVE).sum();
    let mut count = shown.iter().map(Vec::len).sum::<usize>();
    // Sockets come first; what is left is shared out to their peers.
    let mut left = most.saturating_sub(text.len() + heads + RESERVE * (contexts.len() + 1));
    let mut left_out = 0u64;
    text.key("contexts");
    text.open('[');
    for (context, shown) in contexts.iter().zip(shown) {
        text.open('{');
        text.key("id");
        text.number(Arc::as_ptr(context) as usize);
        text.key("sockets");
        text.open('[');
        for Shown { socket, head } in shown {
            if text.len() + head.len() + 4 * RESERVE > most {
                left_out += 1;
                continue;
            }
            let share = left / count.max(1);
            count -= 1;
            text.open('{');
            text.key("socket");
            text.value(head);
            let (peers, without) = peers(&socket, share);
            left = left.saturating_sub(peers.len());
            text.key("peers");
            text.value(peers);
            text.key("peers_left_out");
            text.number(without);
            text.close('}');
        }
        text.close(']');
        text.close('}');
    }
    text.close(']');
    text.key("sockets_left_out");
    text.number(left_out);
}

fn sockets(context: &Context) -> Vec<Shown> {
    context.all_sockets().into_iter().map(|socket| Shown { head: head(&socket), socket }).collect()
}

fn head(socket: &Socket) -> Text {
    let status = socket.state().status;
    let state = match status {
        Status::Open => "open",
        Status::Terminated => "terminated",
        Status::Closed => "lingering",
    };
    let mut text = Text::new();
    text.open('{');
    text.key("values");
    text.open('[');
    text.number(socket.id);
    text.string(socket.kind.name().as_bytes());
    text.string(state.as_bytes());
    text.number(socket.waiting.load(Ordering::Relaxed));
    text.number(depth(socket));
    socket.stats().rows().iter().for_each(|(_, value)| text.number(value));
    text.close(']');
    text.key("endpoints");
    text.open('[');
    for Named { bound, text: endpoint } in socket.endpoints.all().values().take(ENDPOINTS) {
        text.open('[');
        text.string(if *bound { b"bind" } else { b"connect" });
        text.string(&endpoint[..endpoint.len().min(SHOWN)]);
        text.close(']');
    }
    text.close(']');
    text.close('}');
    text
}

fn depth(socket: &Socket) -> u64 {
    let mut depth = 0;
    rounds(socket, |pipe, _| depth += pipe.depth());
    depth
}

/// Every pipe of the socket, some at a time under its lock.
fn rounds(socket: &Socket, mut each: impl FnMut(&mut Pipe, &mut Stats)) {
    let mut slot = 0;
    loop {
        let mut state = socket.state();
        let Core { pipes, stats, .. } = &mut state.core;
        let end = (slot + ROUND).min(pipes.len());
        pipes.get_mut(slot..end).into_iter().flatten().flatten().for_each(|pipe| each(pipe, stats));
        if end == pipes.len() {
            return;
        }
        slot = end;
    }
}

/// The rows of a socket's peers, in about `share` bytes, and how many found no room.
fn peers(socket: &Socket, share: usize) -> (Text, u64) {
    let endpoints = socket.endpoints.all();
    let mut text = Text::new();
    let mut without = 0;
    text.open('[');
    rounds(socket, |pipe, _| {
        let row = peer(pipe, endpoints.get(&pipe.endpoint));
        if row.len() + 2 > share.saturating_sub(text.len()) {
            without += 1;
        } else {
            text.value(row);
        }
    });
    text.close(']');
    (text, without)
}

fn peer(pipe: &mut Pipe, endpoint: Option<&Named>) -> Text {
    let up = pipe.is_up();
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(SHOWN)].to_vec();
    let known = pipe.peer.unwrap_or_default();
    let mut text = Text::new();
    text.open('[');
    text.string_or_null(endpoint.map(|named| shown(&named.text)).as_deref());
    text.string(pipe.transport().as_bytes());
    text.string(state(pipe, up).as_bytes());
    text.string_or_null(
        pipe.reason.as_ref().filter(|_| up).map(|reason| shown(reason.as_bytes())).as_deref(),
    );
    text.number(known.pid);
    text.number(known.uid);
    text.string_or_null(pipe.kind.filter(|_| up).map(|kind| kind.name().as_bytes()));
    text.hex(&shown(&pipe.routing_id));
    match pipe.since.filter(|_| up).and_then(since_epoch) {
        Some(since) => text.seconds(since),
        None => text.null(),
    }
    text.number(pipe.depth());
    let tally = &pipe.tally;
    [tally.sent, tally.bytes_sent, tally.received, tally.bytes_received, tally.dropped, pipe.wakeups()]
        .iter()
        .for_each(|value| text.number(value));
    text.close(']');
    text
}

fn state(pipe: &Pipe, up: bool) -> &'static str {
    match &pipe.out {
        _ if pipe.retiring || (pipe.ending && !up) => "ending",
        _ if up => "up",
        Out::Queue(_) => "waiting",
        Out::None if !pipe.connecter && pipe.peer.is_none() => "handshake",
        Out::Local(_) if !pipe.is_gone() => "waiting",
        _ => "ending",
    }
}
