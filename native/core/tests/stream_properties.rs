//! Streams over a pair of sockets of the kernel: what their two queues make of random messages, random
//! reads, and an end at any byte. What a peer makes of the bytes is said by a decoder of this file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::net::sockopt;
use shmzmq_core::channel::Channel;
use shmzmq_core::context::Context;
use shmzmq_core::door::Door;
use shmzmq_core::error::{Error, Result};
use shmzmq_core::message::{Collect, Frames, Message, Outgoing, Payload};
use shmzmq_core::options::SNDHWM;
use shmzmq_core::origin::Origin;
use shmzmq_core::pipe::overflow::Policy;
use shmzmq_core::pipe::ring::Limits;
use shmzmq_core::pipe::stream::{InPiece, Stream, StreamIn, StreamOut, Terms, Wrote, stream};
use shmzmq_core::pipe::{How, Read as Found, Write as Written};
use shmzmq_core::reactor::{Command, IoThread, SessionHandle};
use shmzmq_core::session::Session;
use shmzmq_core::signaler::Signaler;
use shmzmq_core::socket::{Interest, Socket, Woken};
use shmzmq_core::stats::Stats;
use shmzmq_shm::ring::Part;
use shmzmq_zmtp::{SocketType, encode_command, encode_message_frame, encode_pong, encode_ready, greeting};

/// A message: its frames.
type Parts = Vec<Vec<u8>>;

/// Around the borders of the wire's two forms, of what goes by reference, and of what is read into memory of its own.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        8 => 0_usize..20,
        2 => 250_usize..260,
        2 => 16_380_usize..16_390,
        1 => 20_000_usize..200_000,
    ];
    (len, any::<u8>()).prop_map(|(len, seed)| (0..len).map(|at| (at as u8).wrapping_add(seed)).collect())
}

fn any_parts() -> impl Strategy<Value = Parts> {
    prop::collection::vec(any_frame(), 1..5)
}

struct Sent(Vec<Payload>, Vec<Part>);

impl Sent {
    fn new(parts: &Parts) -> Sent {
        let payloads: Vec<_> = parts.iter().map(|part| Payload::from(part.as_slice())).collect();
        let parts = payloads.iter().map(Payload::part).collect();
        Sent(payloads, parts)
    }
}

impl Frames for Sent {
    fn parts(&self) -> &[Part] {
        &self.1
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        self.0[index].again()
    }
}

fn parts_of(message: &Message) -> Parts {
    message.frames().map(|frame| frame.bytes().to_vec()).collect()
}

/// The whole messages in these bytes; commands and what is behind the last whole message are left out.
fn whole_messages(mut bytes: &[u8]) -> Vec<Parts> {
    let (mut found, mut parts) = (Vec::new(), Vec::new());
    while let [flags, rest @ ..] = bytes {
        let size = if flags & 2 == 0 { 1 } else { 8 };
        let Some((length, rest)) = rest.split_at_checked(size) else { break };
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        bytes = rest;
        if flags & 4 != 0 {
            assert!(parts.is_empty(), "a command inside a message");
            continue;
        }
        parts.push(body.to_vec());
        if flags & 1 == 0 {
            found.push(std::mem::take(&mut parts));
        }
    }
    found
}

static THREAD: LazyLock<Arc<IoThread>> = LazyLock::new(|| IoThread::start("test").unwrap());

/// One stream whose engine is the test, and the peer's end.
struct Rig {
    out: StreamOut,
    /// It ends the stream when it is dropped.
    input: StreamIn,
    shared: Arc<Stream>,
    channel: Arc<Channel>,
    peer: UnixStream,
    got: Vec<u8>,
}

impl Rig {
    fn new(policy: Policy, commands: bool) -> Rig {
        let (ours, peer) = UnixStream::pair().unwrap();
        sockopt::set_socket_send_buffer_size(&ours, 4096).unwrap();
        peer.set_nonblocking(true).unwrap();
        let channel = Arc::new(Channel::new(OwnedFd::from(ours)));
        // Nobody has that token: what is posted to it is thrown away.
        let session = SessionHandle { thread: THREAD.clone(), token: 12345 << 32 };
        let (out, input, shared) = stream(Terms {
            channel: channel.clone(),
            session,
            owner: (Arc::new(Signaler::new().unwrap()), 0),
            limits: Limits { sndhwm: 0, rcvhwm: 0, hwm_bytes: 0, policy },
            rcvhwm: 0,
            commands,
            publishes: false,
            conflates: false,
            transport: "tcp",
            raw: false,
            origin: Arc::new(Origin::over_tcp(std::iter::empty(), "", 0)),
        });
        Rig { out, input, shared, channel, peer, got: Vec::new() }
    }

    fn send(&mut self, parts: &Parts, burst: bool) {
        let (sent, how) = (Sent::new(parts), How { patient: false, burst, inline: false });
        let wrote = self.out.write(Outgoing::plain(&sent), how, &mut Vec::new(), &mut Stats::default());
        assert!(matches!(wrote, Written::Done));
    }

    fn subscribe(&mut self, topic: u8) {
        let sent = Sent::new(&vec![vec![1, topic]]);
        assert!(matches!(self.out.write_state(Outgoing::plain(&sent), &mut Vec::new()), Written::Done));
    }

    fn read(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        match self.peer.read(&mut buffer) {
            Ok(bytes) => {
                self.got.extend_from_slice(&buffer[..bytes]);
                bytes
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// All that the kernel has.
    fn drain(&mut self) {
        while self.read(1 << 16) > 0 {}
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(Parts, bool),
    Publish,
    /// The engine's turn.
    Write(usize),
    Read(usize),
    Pong,
    Subscribe(u8),
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any_parts(), any::<bool>()).prop_map(|(parts, burst)| Step::Send(parts, burst)),
        1 => Just(Step::Publish),
        4 => (1_usize..4).prop_map(Step::Write),
        4 => (1_usize..30_000).prop_map(Step::Read),
        1 => Just(Step::Pong),
        1 => any::<u8>().prop_map(Step::Subscribe),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// S-2, S-3: wherever the connection ended.
    #[test]
    fn what_the_kernel_has_whole_and_what_is_undelivered_are_complete_and_disjoint(
        steps in any_steps(),
        commands: bool,
        keeps: bool,
    ) {
        let policy = if keeps { Policy::DropOldest } else { Policy::Own };
        let mut rig = Rig::new(policy, commands);
        let mut sent = Vec::new();
        for step in steps {
            match step {
                Step::Send(parts, burst) => {
                    rig.send(&parts, burst);
                    sent.push(parts);
                }
                Step::Publish => rig.out.publish(),
                Step::Write(rounds) => drop(rig.shared.write(&rig.channel, rounds).unwrap()),
                Step::Read(most) => drop(rig.read(most)),
                Step::Pong => rig.shared.push_pong(|out| encode_pong(b"context", out)),
                // Over ZMTP 3.0 it is a message, and comes back as one.
                Step::Subscribe(topic) if !commands && !keeps => {
                    rig.subscribe(topic);
                    sent.push(vec![vec![1, topic]]);
                }
                // What keeps has held messages; a subscriber does not keep.
                Step::Subscribe(topic) if commands && !keeps => rig.subscribe(topic),
                Step::Subscribe(_) => {}
            }
        }
        rig.shared.end_output();
        let undelivered: Vec<Parts> = rig.out.undelivered().messages.iter().map(parts_of).collect();
        rig.drain();
        let mut all = whole_messages(&rig.got);
        let delivered = all.len();
        all.extend(undelivered);
        prop_assert_eq!(all.len(), sent.len(), "{} were delivered", delivered);
        prop_assert!(all == sent, "{} were delivered", delivered);
    }

    /// S-1: nothing is left lying when the engine has had its turn.
    #[test]
    fn everything_arrives_in_order_when_the_peer_reads(steps in any_steps(), commands: bool) {
        let mut rig = Rig::new(Policy::Own, commands);
        let mut sent = Vec::new();
        for step in steps {
            match step {
                Step::Send(parts, burst) => {
                    rig.send(&parts, burst);
                    sent.push(parts);
                }
                Step::Publish => rig.out.publish(),
                Step::Write(rounds) => drop(rig.shared.write(&rig.channel, rounds).unwrap()),
                Step::Read(most) => drop(rig.read(most)),
                Step::Pong => rig.shared.push_pong(|out| encode_pong(b"context", out)),
                Step::Subscribe(_) => {}
            }
        }
        while rig.shared.write(&rig.channel, 16).unwrap() != Some(Wrote::All) {
            rig.drain();
        }
        rig.drain();
        prop_assert!(rig.shared.out.lock().is_drained());
        prop_assert!(rig.out.undelivered().messages.is_empty());
        prop_assert!(whole_messages(&rig.got) == sent);
    }
}

// The way in, through a session and its engine in an I/O thread.

const CAP: Duration = Duration::from_secs(20);

fn receive(socket: &Socket) -> Parts {
    let deadline = Instant::now() + CAP;
    let mut parts = Vec::new();
    loop {
        let mut frame = Collect::default();
        match socket.try_recv(&mut frame) {
            Ok(more) => {
                parts.push(frame.bytes);
                if !more {
                    return parts;
                }
            }
            Err(Error::Again) => {
                let woken = socket.wait(Interest::Receive, Some(deadline)).unwrap();
                assert_ne!(woken, Woken::TimedOut, "no message, after {} frames of one", parts.len());
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A PULL that has a plain ZMTP peer: our end of the pair.
fn pull_with_a_peer() -> (Arc<Context>, Arc<Socket>, UnixStream) {
    with_a_peer(SocketType::Pull, b"PUSH")
}

fn with_a_peer(kind: SocketType, theirs_is: &[u8]) -> (Arc<Context>, Arc<Socket>, UnixStream) {
    let context = Context::new(1);
    let socket = context.socket(kind.number()).unwrap();
    let (theirs, mut peer) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(CAP)).unwrap();
    peer.set_write_timeout(Some(CAP)).unwrap();
    let session = Session::accepted(
        socket.clone(),
        1,
        theirs.into(),
        Arc::from(&b"ipc://pair"[..]),
        Arc::new(Door::default()),
    );
    THREAD.post(Command::Connect(Box::new(session)));
    let mut hello = greeting().to_vec();
    encode_ready(&[("Socket-Type", theirs_is)], &mut hello);
    peer.write_all(&hello).unwrap();
    // Who hangs up before it was greeted was never a peer.
    let mut hello = [0; 66];
    peer.read_exact(&mut hello).unwrap();
    peer.read_exact(&mut vec![0; usize::from(hello[65])]).unwrap();
    (context, socket, peer)
}

/// Messages in wire format, with commands before and after some.
fn encode(messages: &[(Parts, bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (parts, command) in messages {
        if *command {
            encode_command("NOTHING", b"to us", &mut out);
        }
        for (index, part) in parts.iter().enumerate() {
            encode_message_frame(part.len(), index + 1 < parts.len(), &mut out);
            out.extend_from_slice(part);
        }
    }
    out
}

/// Writes the bytes in pieces of these sizes, in turn.
fn write_in_pieces(peer: &mut UnixStream, mut bytes: &[u8], sizes: &[usize]) {
    for size in sizes.iter().cycle() {
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        peer.write_all(piece).unwrap();
        bytes = rest;
        if bytes.is_empty() {
            return;
        }
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// S-4: whatever the reads were.
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in prop::collection::vec((any_parts(), any::<bool>()), 1..20),
        sizes in prop::collection::vec(prop_oneof![1_usize..20, 100_usize..5000, Just(100_000)], 1..8),
    ) {
        let (context, socket, mut peer) = pull_with_a_peer();
        let bytes = encode(&messages);
        // Single bytes of large frames only cost time.
        let smallest = bytes.len() / 2000;
        let sizes: Vec<_> = sizes.into_iter().map(|size| size.max(smallest).max(1)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| write_in_pieces(&mut peer, &bytes, &sizes));
            for (parts, _) in &messages {
                assert!(receive(&socket) == *parts);
            }
        });
        context.close(&socket);
    }

    /// S-4: a peer that leaves inside a message leaves nothing of it.
    #[test]
    fn only_whole_messages_come_out_when_the_peer_ends_anywhere(
        messages in prop::collection::vec((any_parts(), any::<bool>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let (context, socket, mut peer) = pull_with_a_peer();
        let bytes = encode(&messages);
        let bytes = &bytes[..end.index(bytes.len())];
        let whole = whole_messages(bytes);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                peer.write_all(bytes).unwrap();
                peer.shutdown(std::net::Shutdown::Both).unwrap();
            });
            for parts in &whole {
                assert!(receive(&socket) == *parts);
            }
        });
        // The pipe of an accepted peer ends with it, once it is drained.
        let deadline = Instant::now() + CAP;
        while socket.state().core.pipes.iter().flatten().next().is_some() {
            assert!(Instant::now() < deadline, "the pipe is still there");
            assert_eq!(socket.try_recv(&mut Collect::default()), Err(Error::Again));
            std::thread::yield_now();
        }
        context.close(&socket);
    }
}

fn send(socket: &Socket, parts: &Parts) {
    let sent = Sent::new(parts);
    let deadline = Instant::now() + CAP;
    while let Err(error) = socket.try_send(&sent, true) {
        assert_eq!(error, Error::Again);
        let woken = socket.wait(Interest::Send, Some(deadline)).unwrap();
        assert_ne!(woken, Woken::TimedOut, "nobody writes what waits");
    }
}

/// So many bytes, read in pieces of these sizes, in turn.
fn read_in_pieces(peer: &mut UnixStream, sizes: &[usize], bytes: usize) -> Vec<u8> {
    let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    for size in sizes.iter().cycle() {
        let most = (*size).min(bytes - got.len());
        let read = peer.read(&mut buffer[..most]).unwrap();
        assert!(read > 0, "the end");
        got.extend_from_slice(&buffer[..read]);
        if got.len() == bytes {
            break;
        }
    }
    got
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    /// S-1: the engine, which comes only when it is told, and a caller that writes in its place lose nothing.
    #[test]
    fn everything_is_written_by_the_engine_or_a_caller(
        frames in prop::collection::vec(prop_oneof![8 => 0_usize..2000, 1 => 10_000_usize..40_000], 1..30),
        sizes in prop::collection::vec(prop_oneof![1000_usize..20_000, Just(1 << 20)], 1..8),
        hwm in prop_oneof![1_i64..20, Just(1000), Just(0)],
    ) {
        let (context, socket, mut peer) = with_a_peer(SocketType::Push, b"PULL");
        socket.set_option(SNDHWM, hwm).unwrap();
        let messages: Vec<(Parts, bool)> = (0..1000_usize)
            .map(|number| (vec![vec![number as u8; frames[number % frames.len()]]], false))
            .collect();
        let all = encode(&messages);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_in_pieces(&mut peer, &sizes, all.len()));
            for (parts, _) in &messages {
                send(&socket, parts);
            }
            assert!(reader.join().unwrap() == all);
        });
        context.close(&socket);
    }
}

/// The pair of a session that waits for a handshake is watched like any other fd.
#[test]
fn a_peer_that_leaves_before_its_handshake_leaves_nothing() {
    let context = Context::new(1);
    let socket = context.socket(SocketType::Pull.number()).unwrap();
    let (theirs, mut peer) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let door = Arc::new(Door::default());
    let text = Arc::from(&b"ipc://pair"[..]);
    let session = Session::accepted(socket.clone(), 1, theirs.into(), text, door.clone());
    THREAD.post(Command::Connect(Box::new(session)));
    peer.set_read_timeout(Some(CAP)).unwrap();
    let mut greeting = [0; 64];
    peer.read_exact(&mut greeting).unwrap();
    drop(peer);
    let deadline = Instant::now() + CAP;
    // The session holds the door as long as it stands in it.
    while Arc::strong_count(&door) > 1 {
        assert!(Instant::now() < deadline, "a place in the door is still held");
        std::thread::yield_now();
    }
    assert_eq!(socket.try_recv(&mut Collect::default()), Err(Error::Again));
    context.close(&socket);
}

/// A reader that finds nothing, and then the end, has found the end: what came in between is read first.
#[test]
fn an_end_does_not_overtake_what_came_just_before_it() {
    let (to, from) = std::sync::mpsc::sync_channel::<Arc<Stream>>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for stream in from {
                let payload = Payload::from(&b"last words"[..]);
                stream.push_input(std::iter::once(InPiece::Frame { payload, more: false }), false);
                stream.end_input();
            }
        });
        for round in 0..20_000 {
            let mut rig = Rig::new(Policy::Own, false);
            to.send(rig.shared.clone()).unwrap();
            let mut frame = Collect::default();
            let found = loop {
                match rig.input.read(&mut frame) {
                    Found::Empty => std::hint::spin_loop(),
                    found => break found,
                }
            };
            assert!(matches!(found, Found::Frame { .. }), "round {round}: the end came first");
        }
        drop(to);
    });
}
