//! A pipe: two one-way queues between a socket and one peer. All kinds keep one contract.
//!
//! | kind | outgoing | incoming |
//! |---|---|---|
//! | waiting | a queue of this process, until the connection is up | nothing |
//! | ring | ring.rs: shared memory | ring.rs |
//! | local | local.rs: a queue by reference | local.rs |
//! | stream | stream/: wire format, for an engine | stream/ |
//!
//! **Who produces.** Until a connection is up, sends go to `Out::Queue`. The I/O thread then moves the
//! queue into the ring, in rounds, and installs `Out::Ring` in the round that finds the queue empty;
//! all of it under the socket's lock. So there is one producer at a time and the order is kept.
//!
//! **What a connection leaves behind.** A pipe made by `connect` outlives its connections: what the
//! peer had not taken goes back to the queue, in front; what the peer had published is read to its
//! end before the next connection's ring. A pipe made by an accepted peer ends with it, once drained.

pub mod large;
pub mod local;
pub mod overflow;
pub mod ring;
pub mod stream;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use shmzmq_shm::arena::PeerId;
use shmzmq_shm::ring::{Part, Poisoned};
use shmzmq_zmtp::SocketType;

use crate::error::Error;
use crate::message::{Message, Outgoing, Sink, Undelivered};
use crate::options::Options;
use crate::origin::Origin;
use crate::reactor::SessionHandle;
use crate::stats::{Discard, Stats};
use local::{LocalIn, LocalOut};
use ring::{Limits, RingIn, RingOut, State};
use stream::{StreamIn, StreamOut};

/// The outgoing half.
pub enum Out {
    /// No way to the peer (any more).
    None,
    /// No connection yet; `hwm` messages are kept, 0 for no limit.
    Queue(VecDeque<Message>),
    Ring(Box<RingOut>),
    Local(LocalOut),
    Stream(Box<StreamOut>),
}

/// One incoming queue.
pub enum In {
    Ring(Box<RingIn>),
    Local(LocalIn),
    Stream(Box<StreamIn>),
}

/// The outgoing half of a connection to another process, before the pipe has it and after.
pub enum Writer {
    Ring(Box<RingOut>),
    Stream(Box<StreamOut>),
}

impl From<Writer> for Out {
    fn from(writer: Writer) -> Out {
        match writer {
            Writer::Ring(ring) => Out::Ring(ring),
            Writer::Stream(stream) => Out::Stream(stream),
        }
    }
}

impl Writer {
    /// Writes what was accepted long ago, whatever the high-water marks say now. Once written, nothing may be
    /// left of the message: a stream takes its large frames.
    pub fn write_accepted(&mut self, message: &mut Message, stats: &mut Stats) -> Write {
        match self {
            Writer::Ring(ring) => ring.write_accepted(message, stats),
            Writer::Stream(stream) => stream.write_accepted(message),
        }
    }

    /// The peer sees what was written.
    pub fn publish(&mut self, stats: &mut Stats) {
        match self {
            Writer::Ring(ring) => ring.publish(stats),
            Writer::Stream(stream) => stream.publish(),
        }
    }

    pub fn close(&mut self, stats: &mut Stats) {
        match self {
            Writer::Ring(ring) => ring.close(stats),
            Writer::Stream(stream) => stream.close(),
        }
    }

    /// What the peer did not get, oldest first.
    pub fn undelivered(&mut self) -> Undelivered {
        match self {
            Writer::Ring(ring) => ring.undelivered(),
            Writer::Stream(stream) => stream.undelivered(),
        }
    }

    /// Messages that nobody will get, since their connection is over.
    pub fn abandoned(&self) -> u64 {
        match self {
            Writer::Stream(stream) if stream.is_raw() => stream.depth(),
            _ => 0,
        }
    }

    /// Behind what was written so far.
    pub fn position(&self) -> u64 {
        match self {
            Writer::Ring(ring) => ring.position(),
            Writer::Stream(stream) => stream.sent(),
        }
    }

    /// Whether the first message, behind which `end` is, is also the first of those that the peer did not get, which
    /// are `left`.
    pub fn owes_first(&self, end: u64, left: u64) -> bool {
        match self {
            Writer::Ring(ring) => ring.owes_first(end),
            Writer::Stream(stream) => left == stream.sent(),
        }
    }

    /// By which name the peer reads in our arena.
    pub fn peer_id(&self) -> Option<PeerId> {
        match self {
            Writer::Ring(ring) => Some(ring.peer_id()),
            Writer::Stream(_) => None,
        }
    }
}

/// What a read attempt found.
pub enum Read {
    /// A frame went to the sink.
    Frame { more: bool, bytes: u64 },
    /// Nothing now.
    Empty,
    /// Nothing now, and nothing will come.
    Ended,
    /// The sink had no room; the frame is still there.
    NoRoom,
    /// The peer broke the protocol.
    Broken(String),
}

/// What a write attempt did.
pub enum Write {
    Done,
    /// High-water marks reached.
    Full,
    /// The ring is full, but its reader moves: better to wait a moment than to grow.
    Soon,
    /// There is no peer behind it.
    Gone,
    Failed(Error),
}

/// Facts about the process at the other end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

impl Peer {
    /// Both ends are in this process.
    pub fn ourselves() -> Peer {
        Peer {
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

pub struct Pipe {
    pub slot: usize,
    pub endpoint: u64,
    /// We connected: the pipe outlives its connections.
    pub connecter: bool,
    pub routing_id: Vec<u8>,
    pub peer: Option<Peer>,
    /// The peer's socket type, if it said.
    pub kind: Option<SocketType>,
    /// Since when there is a connection; None while there is none.
    pub since: Option<SystemTime>,
    /// Why the peer is reached without rings, if it could have been otherwise.
    pub reason: Option<Arc<str>>,
    /// Of the newest connection.
    pub origin: Option<Arc<Origin>>,
    pub session: Option<SessionHandle>,
    pub out: Out,
    /// Being read.
    current: Option<In>,
    /// To be read after it: connections that came while an older one was not drained.
    later: VecDeque<In>,
    /// Listed in the inbox, in the outbox.
    pub in_active: bool,
    pub out_active: bool,
    /// The socket's type reads from it by fair queueing, writes to it by load balancing.
    pub receives: bool,
    pub sends: bool,
    /// `disconnect`, or the end of an endpoint: what is queued still goes, then the pipe ends.
    pub retiring: bool,
    /// The routing id was given by CONNECT_ROUTING_ID, whatever the peer says.
    pub named: bool,
    /// The first message of the present connection is our HELLO_MSG, which ends here.
    pub hello: Option<u64>,
    /// Its routing id is another peer's now: what it had sent is still read, and its end is told to nobody.
    pub superseded: bool,
    /// No connection will come any more: the pipe ends when it is drained.
    pub ending: bool,
    /// Read attempts in a row that found nothing.
    pub idle: u32,
    pub tally: Tally,
}

/// What went over a pipe since it was made, over all its connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub sent: u64,
    pub bytes_sent: u64,
    pub received: u64,
    pub bytes_received: u64,
    /// Messages that this peer did without: its high-water marks, OVERFLOW, or no memory for it.
    pub dropped: u64,
}

impl Pipe {
    pub fn new(slot: usize, endpoint: u64, connecter: bool) -> Pipe {
        Pipe {
            slot,
            endpoint,
            connecter,
            routing_id: Vec::new(),
            peer: None,
            kind: None,
            since: None,
            reason: None,
            origin: None,
            session: None,
            out: if connecter { Out::Queue(VecDeque::new()) } else { Out::None },
            current: None,
            later: VecDeque::new(),
            in_active: false,
            out_active: false,
            ending: false,
            receives: false,
            sends: false,
            retiring: false,
            named: false,
            hello: None,
            superseded: false,
            idle: 0,
            tally: Tally::default(),
        }
    }

    /// There is a connection now.
    pub fn came_up(&mut self, peer: Peer, kind: Option<SocketType>) {
        self.peer = Some(peer);
        self.kind = kind;
        self.since = Some(SystemTime::now());
    }

    /// True while there is a connection.
    pub fn is_up(&self) -> bool {
        self.since.is_some() && !self.is_gone()
    }

    pub fn push_in(&mut self, input: In) {
        if self.current.is_none() {
            self.current = Some(input);
        } else {
            self.later.push_back(input);
        }
    }

    /// The newest incoming ring: the one that belongs to the live connection.
    pub fn newest_ring(&mut self) -> Option<&mut RingIn> {
        match self.later.back_mut().or(self.current.as_mut()) {
            Some(In::Ring(ring)) => Some(ring),
            _ => None,
        }
    }

    pub fn inputs(&mut self) -> impl Iterator<Item = &mut In> {
        self.current.iter_mut().chain(self.later.iter_mut())
    }

    /// The ring that is being read, if the pipe does not end with it.
    #[inline(always)]
    pub fn open_ring(&mut self) -> Option<&mut RingIn> {
        match &mut self.current {
            Some(In::Ring(ring)) if !self.ending => Some(ring),
            _ => None,
        }
    }

    /// Reads one frame, going on to the next connection's input where one has ended.
    #[inline]
    pub fn read(&mut self, sink: &mut dyn Sink, maxmsgsize: i64, stats: &mut Stats) -> Read {
        loop {
            let read = match &mut self.current {
                Some(In::Ring(ring)) => ring.read(sink, maxmsgsize, stats),
                Some(In::Local(local)) => local.read(sink),
                Some(In::Stream(stream)) => stream.read(sink),
                None => return if self.ending { Read::Ended } else { Read::Empty },
            };
            let Read::Ended = read else { return read };
            self.current = self.later.pop_front();
        }
    }

    /// Reads messages of one frame, at most `max`, as long as a ring has them; how many.
    pub fn read_run(&mut self, sink: &mut dyn Sink, maxmsgsize: i64, max: usize, stats: &mut Stats) -> usize {
        match &mut self.current {
            Some(In::Ring(ring)) => ring.read_run(sink, maxmsgsize, max, stats),
            _ => 0,
        }
    }

    /// The one incoming stream that there is and that comes after no other.
    pub fn lone_stream(&mut self) -> Option<&mut StreamIn> {
        match &mut self.current {
            Some(In::Stream(stream)) if self.later.is_empty() => Some(stream),
            _ => None,
        }
    }

    /// After a read: could that have been the last frame of a pipe that ends?
    #[inline(always)]
    pub fn may_have_ended(&self) -> bool {
        self.ending
            && match &self.current {
                Some(In::Local(local)) => local.may_have_ended(),
                _ => true,
            }
    }

    /// What a read would find.
    pub fn look(&mut self) -> State {
        loop {
            let state = match &mut self.current {
                Some(In::Ring(ring)) => ring.state(),
                Some(In::Local(local)) => local.state(),
                Some(In::Stream(stream)) => stream.state(),
                None => return if self.ending { State::Ended } else { State::Empty },
            };
            if state != State::Ended {
                return state;
            }
            self.current = self.later.pop_front();
        }
    }

    /// The connection that the last frame read came over; None inside the process.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        match &self.current {
            // An older connection's ring may still be being read.
            Some(In::Ring(ring)) => Some(&ring.origin),
            Some(In::Stream(stream)) => Some(&stream.origin),
            _ => self.origin.as_ref(),
        }
    }

    /// Decides for the message at hand, if there is one: a newer one does not take its place any more.
    pub fn settle(&mut self) -> State {
        self.set_settled(false);
        let state = self.look();
        self.set_settled(state == State::Frame);
        state
    }

    fn set_settled(&mut self, stays: bool) {
        match &mut self.current {
            Some(In::Ring(ring)) => ring.settle(stays),
            Some(In::Stream(stream)) if stays => stream.settle(),
            _ => {}
        }
    }

    /// True if the index word moved since the last read: for spinning.
    #[inline(always)]
    pub fn moved(&self) -> bool {
        match &self.current {
            Some(In::Ring(ring)) => ring.moved(),
            Some(In::Local(local)) => local.moved(),
            Some(In::Stream(stream)) => stream.moved(),
            None => self.ending,
        }
    }

    /// Asks to be marked when something comes. False: look again first.
    pub fn sleep_in(&mut self, stats: &mut Stats) -> bool {
        match &mut self.current {
            Some(In::Ring(ring)) => ring.sleep(stats),
            Some(In::Local(local)) => local.sleep(),
            Some(In::Stream(stream)) => stream.sleep(),
            None => !self.ending,
        }
    }

    /// Tells the writer what was read so far.
    pub fn publish_in(&mut self, stats: &mut Stats) {
        if let Some(In::Ring(ring)) = &mut self.current {
            ring.publish(stats);
        }
    }

    /// Writes one whole message or nothing.
    #[inline]
    pub fn write(
        &mut self,
        message: Outgoing<'_>,
        how: How,
        options: &Options,
        scratch: &mut Vec<Part>,
        stats: &mut Stats,
    ) -> Write {
        match &mut self.out {
            Out::Ring(ring) if ring.keeps() => {
                let held = ring.held();
                let dropped = stats.discarded(Discard::Overflow);
                let written = ring.write_keeping(message, scratch, stats);
                self.tally.dropped += stats.discarded(Discard::Overflow) - dropped;
                if held == 0 {
                    self.move_later();
                }
                written
            }
            Out::Ring(ring) => ring.write(message.parts(scratch), how, stats),
            Out::Stream(stream) => stream.write(message, how, scratch, stats),
            Out::Local(local) => local.write(message, stats),
            Out::Queue(queue) => {
                let limits = options.limits();
                if !limits.policy.keeps() && limits.fills(queue) {
                    return Write::Full;
                }
                let dropped = match overflow::push(queue, message, &limits) {
                    Ok(dropped) => dropped,
                    Err(error) => return Write::Failed(error),
                };
                stats.discard(Discard::Overflow, dropped);
                self.tally.dropped += dropped;
                Write::Done
            }
            Out::None => Write::Gone,
        }
    }

    /// Something is held outside the ring: the I/O thread moves it if nobody here comes by again.
    fn move_later(&self) {
        if let (Out::Ring(ring), Some(session)) = (&self.out, &self.session)
            && ring.held() > 0
        {
            session.move_held();
        }
    }

    /// Moves what is held outside the ring. True: nothing is held any more.
    pub fn move_held(&mut self, stats: &mut Stats) -> bool {
        match &mut self.out {
            Out::Ring(ring) => ring.move_held(stats),
            _ => true,
        }
    }

    /// Writes to a live connection, whatever the high-water marks say. Gone: there is none.
    pub fn write_state(
        &mut self,
        message: Outgoing<'_>,
        scratch: &mut Vec<Part>,
        stats: &mut Stats,
    ) -> Write {
        match &mut self.out {
            Out::Ring(ring) => ring.write_state(message.parts(scratch), stats),
            Out::Local(local) => local.write_state(message),
            Out::Stream(stream) => stream.write_state(message, scratch),
            // The connection is up, and its ring is being filled from this queue.
            Out::Queue(queue) if self.peer.is_some() => match overflow::push(queue, message, &Limits::NONE) {
                Ok(_) => Write::Done,
                Err(error) => Write::Failed(error),
            },
            _ => Write::Gone,
        }
    }

    /// The first `most` bytes of the next frame, into `to`; empty if there is none.
    pub fn front(&mut self, most: usize, to: &mut Vec<u8>) {
        let found = match &mut self.current {
            Some(In::Ring(ring)) => ring.front(most, to),
            Some(In::Local(local)) => local.front(most, to),
            Some(In::Stream(stream)) => stream.front(most, to),
            None => false,
        };
        if !found {
            to.clear();
        }
    }

    /// True if the local peer has closed.
    pub fn is_gone(&self) -> bool {
        matches!(&self.out, Out::Local(local) if local.is_gone())
    }

    /// True if a write of a small message would not be refused for good reasons.
    pub fn writable(&mut self, limits: &Limits) -> bool {
        match &mut self.out {
            Out::Ring(ring) => ring.writable(),
            Out::Local(local) => local.writable(),
            Out::Stream(stream) => stream.writable(),
            Out::Queue(queue) => limits.policy.keeps() || !limits.fills(queue),
            Out::None => false,
        }
    }

    /// Asks to be marked when a refused write may succeed. False: try again first.
    pub fn sleep_out(&mut self, limits: &Limits) -> bool {
        match &mut self.out {
            Out::Ring(ring) => ring.sleep(),
            Out::Local(local) => local.sleep(),
            Out::Stream(stream) => stream.sleep(),
            // The I/O thread marks the slot when it has moved the queue.
            Out::Queue(queue) => limits.fills(queue),
            Out::None => true,
        }
    }

    /// Messages accepted and not known to be taken.
    pub fn depth(&mut self) -> u64 {
        match &mut self.out {
            Out::Ring(ring) => ring.depth(),
            Out::Local(local) => local.depth(),
            Out::Stream(stream) => stream.depth(),
            Out::Queue(queue) => queue.len() as u64,
            Out::None => 0,
        }
    }

    /// Doorbells rung for the peer.
    pub fn wakeups(&self) -> u64 {
        match (&self.out, &self.current) {
            (Out::Ring(ring), _) => ring.rung(),
            (_, Some(In::Ring(ring))) => ring.rung(),
            _ => 0,
        }
    }

    pub fn transport(&self) -> &'static str {
        match (&self.out, &self.current) {
            (Out::Ring(_), _) | (_, Some(In::Ring(_))) => "ring",
            (Out::Stream(stream), _) => stream.transport,
            (Out::Local(_), _) | (_, Some(In::Local(LocalIn { note: false, .. }))) => "inproc",
            (Out::Queue(_), _) => "waiting",
            (Out::None, _) => "gone",
        }
    }

    /// If what is being read is of a connection that is gone, lets go of that. True if it was.
    pub fn drop_dead_input(&mut self) -> bool {
        let dead = matches!(&self.current, Some(In::Ring(ring)) if ring.dead);
        if dead {
            self.current = self.later.pop_front();
        }
        dead
    }

    /// True if there is, or was and is not known to have ended, something to read.
    pub fn has_input(&self) -> bool {
        self.current.is_some()
    }

    /// Lets go of everything that could still be read.
    pub fn drop_inputs(&mut self) {
        self.current = None;
        self.later.clear();
    }

    /// Nothing new goes into a stream and nothing more is taken from it; what waits is still written. False: it
    /// is none.
    pub fn retire_stream(&mut self) -> bool {
        let Out::Stream(stream) = &mut self.out else { return false };
        stream.close();
        self.since = None;
        for input in self.inputs() {
            if let In::Stream(stream) = input {
                stream.part();
            }
        }
        true
    }

    /// Nothing new goes out; what was accepted still does.
    fn close_out(&mut self, stats: &mut Stats) {
        match &mut self.out {
            Out::Ring(ring) => {
                ring.move_all_held(stats);
                ring.close(stats);
            }
            Out::Local(local) => local.close(),
            Out::Stream(stream) => stream.close(),
            _ => {}
        }
    }

    /// Ends both directions, but what has arrived can still be read.
    pub fn part(&mut self, stats: &mut Stats) {
        self.close_out(stats);
        self.out = Out::None;
        self.ending = true;
        // Notes tell of what the peer did; here it is we who leave.
        self.later.retain(|input| !matches!(input, In::Local(LocalIn { note: true, .. })));
        for input in self.inputs() {
            match input {
                In::Ring(ring) => ring.part(stats),
                In::Local(local) => local.part(),
                In::Stream(stream) => stream.part(),
            }
        }
    }

    /// The peer broke the protocol on its ring: nothing of it is read or written any more.
    pub fn poison(&mut self, stats: &mut Stats) {
        let queue = std::mem::replace(&mut self.out, Out::None);
        self.close(stats);
        self.out = queue;
    }

    /// Ends both directions from our side.
    pub fn close(&mut self, stats: &mut Stats) {
        self.close_out(stats);
        for input in self.current.iter_mut().chain(self.later.iter_mut()) {
            match input {
                In::Ring(ring) => ring.close(stats),
                In::Local(local) => local.close(),
                In::Stream(stream) => stream.close(),
            }
        }
        self.current = None;
        self.later.clear();
        // What a stream has not written yet may need another connection.
        if !matches!(self.out, Out::Queue(_) | Out::Stream(_)) {
            self.out = Out::None;
        }
    }
}

/// How a write is meant.
#[derive(Clone, Copy)]
pub struct How {
    /// The caller can wait: prefer a moment's wait to a larger ring.
    pub patient: bool,
    /// More follows: a ring may publish later.
    pub burst: bool,
    /// Large frames go into the ring as well.
    pub inline: bool,
}

/// One text for what a peer did to its ring.
pub fn broken(poisoned: Poisoned) -> Read {
    Read::Broken(poisoned.to_string())
}
