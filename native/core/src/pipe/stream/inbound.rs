//! The way in of a stream: what was received, up to the last message that is whole.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use shmzmq_shm::fork;
use shmzmq_zmtp::{Command, Header};

use super::{End, Stream, TICK, mark};
use crate::message::{Payload, Sink};
use crate::origin::Origin;
use crate::pipe::Read;
use crate::pipe::ring::State;
use crate::socket::xsub::{CANCEL, SUBSCRIPTION};

/// Subscriptions that may wait for a publisher that does not look, and their bytes: they obey no high-water mark.
const SUBSCRIPTIONS_MAX: u64 = 1_000_000;
const SUBSCRIPTION_BYTES_MAX: usize = 64 << 20;
/// So many waits in a row, none of them long after the last, are a program that reads by itself.
const STREAK: u32 = 2;
/// An emptied buffer of more than this is not kept for a connection that went quiet.
const KEPT_BYTES: usize = 16 * 1024;

/// Frames as they came, commands among them.
pub struct Run {
    pub bytes: Vec<u8>,
    /// Where the next frame begins, and where the last one ends.
    pub at: usize,
    pub end: usize,
    /// Messages that end in it, and subscriptions.
    pub messages: u64,
}

/// Something received.
pub enum InPiece {
    Run(Run),
    /// A large frame.
    Frame {
        payload: Payload,
        more: bool,
    },
}

impl InPiece {
    fn messages(&self) -> u64 {
        match self {
            InPiece::Run(run) => run.messages,
            InPiece::Frame { more, .. } => u64::from(!more),
        }
    }

    /// What it takes of memory.
    fn bytes(&self) -> usize {
        match self {
            InPiece::Run(run) => run.bytes.capacity(),
            InPiece::Frame { payload, .. } => payload.bytes().len(),
        }
    }
}

pub struct Inbound {
    pieces: VecDeque<InPiece>,
    messages: u64,
    /// Of the pieces, at a publisher.
    bytes: usize,
    pub(super) reader: End,
    rcvhwm: i64,
    publishes: bool,
    pub(super) conflates: bool,
    /// S-6: these two are set and found under the lock of the queue only.
    asleep: bool,
    /// The engine stopped reading.
    stalled: bool,
    /// Nothing comes any more.
    ended: bool,
    /// Nobody reads any more.
    closed: bool,
    /// An emptied buffer for the engine.
    spare: Vec<u8>,
}

impl Inbound {
    pub fn new(reader: End, rcvhwm: i64, publishes: bool, conflates: bool) -> Inbound {
        Inbound {
            pieces: VecDeque::new(),
            messages: 0,
            bytes: 0,
            reader,
            rcvhwm,
            publishes,
            conflates,
            asleep: false,
            stalled: false,
            ended: false,
            closed: false,
            spare: Vec::new(),
        }
    }

    fn limit(&self) -> u64 {
        match self.rcvhwm {
            _ if self.publishes => SUBSCRIPTIONS_MAX,
            1.. if !self.conflates && !self.closed => self.rcvhwm as u64,
            _ => u64::MAX,
        }
    }

    fn has_room(&self) -> bool {
        self.closed || self.messages < self.limit() && self.bytes < SUBSCRIPTION_BYTES_MAX
    }

    /// The engine that stopped reading goes on.
    fn is_half_empty(&self) -> bool {
        self.messages <= self.limit() / 2 && self.bytes <= SUBSCRIPTION_BYTES_MAX / 2
    }

    /// The connection may be quiet for long.
    pub(super) fn forget_spare(&mut self) {
        if self.spare.capacity() > KEPT_BYTES {
            self.spare = Vec::new();
        }
    }

    fn push(&mut self, piece: InPiece) {
        let messages = piece.messages();
        if self.conflates && messages > 0 {
            // What is asked for is the newest message; those before it in the same buffer go too.
            self.pieces.clear();
            self.messages = 1;
            self.pieces.push_back(match piece {
                InPiece::Run(run) => InPiece::Run(last_message(run)),
                frame => frame,
            });
            return;
        }
        self.messages += messages;
        if self.publishes {
            self.bytes += piece.bytes();
        }
        self.pieces.push_back(piece);
    }
}

/// The last message of a run of messages of one frame.
fn last_message(mut run: Run) -> Run {
    let mut at = run.at;
    while let Ok(Some(header)) = Header::parse(&run.bytes[at..run.end], u64::MAX) {
        if !header.command {
            run.at = at;
        }
        at += header.header_bytes + header.body_bytes;
    }
    run.messages = 1;
    run
}

impl Stream {
    /// Whole messages have come. False: the reader has enough for now; if it `stalls` it is to tell when it has not.
    pub fn push_input(&self, pieces: impl Iterator<Item = InPiece>, stalls: bool) -> bool {
        let mut input = self.input.lock();
        for piece in pieces {
            if !input.closed {
                input.push(piece);
            }
        }
        let reader = if std::mem::take(&mut input.asleep) { Some(input.reader.clone()) } else { None };
        let goes_on = input.has_room();
        input.stalled = stalls && !goes_on;
        self.filled.store(true, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
        drop(input);
        reader.iter().for_each(mark);
        goes_on
    }

    /// Engine: nothing more will come.
    pub fn end_input(&self) {
        let mut input = self.input.lock();
        input.ended = true;
        input.asleep = false;
        let reader = input.reader.clone();
        self.filled.store(true, Ordering::Relaxed);
        drop(input);
        mark(&reader);
    }

    /// Whole messages wait for their reader.
    pub fn has_unread(&self) -> bool {
        self.input.lock().messages > 0
    }

    /// An empty buffer to read into with that much room, perhaps one that was used before.
    pub fn take_spare(&self, room: usize) -> Vec<u8> {
        let mut spare = std::mem::take(&mut self.input.lock().spare);
        if spare.capacity() < room {
            return Vec::with_capacity(room);
        }
        spare.clear();
        spare
    }
}

/// The socket's half.
pub struct StreamIn {
    shared: Arc<Stream>,
    publishes: bool,
    /// The connection that it is.
    pub origin: Arc<Origin>,
    /// Being read.
    current: Option<InPiece>,
    /// We took the turn of reading; the engine may have it back already (S-7).
    direct: bool,
    /// The turn stays with us while we sleep.
    keeps: bool,
    /// Waits that followed each other soon, and when the last one was.
    streak: u32,
    waited_at: Option<Instant>,
    born: u64,
}

impl StreamIn {
    pub fn new(shared: Arc<Stream>, publishes: bool, origin: Arc<Origin>) -> StreamIn {
        StreamIn {
            shared,
            publishes,
            origin,
            current: None,
            direct: false,
            keeps: false,
            streak: 0,
            waited_at: None,
            born: fork::generation(),
        }
    }

    pub fn set_rcvhwm(&mut self, rcvhwm: i64) {
        let mut input = self.shared.input.lock();
        input.rcvhwm = rcvhwm;
        let resumes = input.stalled && input.has_room();
        input.stalled &= !resumes;
        drop(input);
        if resumes {
            self.shared.session.resume();
        }
    }

    /// A program begins to wait for this one connection: what it may read by itself, if it is worth it.
    pub fn wait_directly(&mut self) -> Option<Arc<Stream>> {
        let now = Instant::now();
        let soon = self.waited_at.replace(now).is_some_and(|at| now - at < TICK);
        self.streak = if soon { self.streak.saturating_add(1) } else { 0 };
        let reads =
            (self.streak >= STREAK || self.direct && self.shared.has_turn()) && self.shared.take_turn();
        if !reads {
            // An engine that only looked may have been in the way: then it is still our turn, and nobody would read.
            self.give_back();
        }
        self.direct = reads;
        reads.then(|| self.shared.clone())
    }

    /// Others wait as well, and would not hear of what one of them reads: the engine tells all of them.
    pub fn wait_among_others(&mut self) {
        self.streak = 0;
        self.give_back();
    }

    /// Whether the turn stays with us when we sleep.
    pub fn keep_turn(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    pub fn is_direct(&self) -> bool {
        self.direct
    }

    fn give_back(&mut self) {
        // In a forked child the lock may be held by a thread that is not here.
        if std::mem::take(&mut self.direct) && fork::is_ours(self.born) {
            self.shared.give_back(&mut self.shared.intake.lock());
        }
    }

    /// It is our turn to read, and nothing is queued. True: something is now.
    fn read_here(&mut self) -> bool {
        if !self.direct {
            return false;
        }
        let found = self.shared.read_here(false);
        self.direct = found != super::Caught::NotOurs;
        found == super::Caught::Message
    }

    /// Makes the next piece the one being read. False: there is none.
    fn next_piece(&mut self) -> bool {
        self.queued_piece() || self.read_here() && self.queued_piece()
    }

    fn queued_piece(&mut self) -> bool {
        let emptied = match self.current.take() {
            Some(InPiece::Run(run)) => run.bytes,
            _ => Vec::new(),
        };
        let mut input = self.shared.input.lock();
        let Some(piece) = input.pieces.pop_front() else {
            // A program that reads by itself fills it next.
            let keeps = self.direct || emptied.capacity() <= KEPT_BYTES;
            if keeps && emptied.capacity() > input.spare.capacity() {
                input.spare = emptied;
            }
            self.shared.filled.store(false, Ordering::Relaxed);
            return false;
        };
        if emptied.capacity() > input.spare.capacity() {
            input.spare = emptied;
        }
        input.messages -= piece.messages();
        if input.publishes {
            input.bytes -= piece.bytes();
        }
        let resumes = input.stalled && input.is_half_empty();
        input.stalled &= !resumes;
        drop(input);
        self.current = Some(piece);
        if resumes {
            self.shared.session.resume();
        }
        true
    }

    /// Goes to the next frame for the reader; its header, or None for one that is a piece of its own.
    #[inline]
    fn find(&mut self) -> Found {
        loop {
            match &mut self.current {
                Some(InPiece::Frame { .. }) => return Found::Large,
                Some(InPiece::Run(run)) if run.at < run.end => {
                    // The engine has looked at every header already.
                    let Ok(Some(header)) = Header::parse(&run.bytes[run.at..run.end], u64::MAX) else {
                        run.at = run.end;
                        continue;
                    };
                    if !header.command || self.publishes && subscription(run, header).is_some() {
                        return Found::Small(header);
                    }
                    run.at += header.header_bytes + header.body_bytes;
                    continue;
                }
                _ => {}
            }
            if !self.next_piece() {
                return Found::Nothing;
            }
        }
    }

    #[inline]
    pub fn read(&mut self, sink: &mut dyn Sink) -> Read {
        match self.find() {
            Found::Small(header) => self.read_small(header, sink),
            Found::Large => self.read_large(sink),
            Found::Nothing if self.has_ended() => Read::Ended,
            Found::Nothing => {
                if self.direct
                    && let Some(mut intake) = self.shared.intake.try_lock()
                    && intake.turn.callers
                {
                    intake.ask_for_blank(sink);
                }
                Read::Empty
            }
        }
    }

    /// Nothing is left and nothing will come; under one lock, for the engine may have brought both just now.
    fn has_ended(&self) -> bool {
        let input = self.shared.input.lock();
        input.ended && input.pieces.is_empty()
    }

    #[inline]
    fn read_small(&mut self, header: Header, sink: &mut dyn Sink) -> Read {
        let Some(InPiece::Run(run)) = &mut self.current else { return Read::Empty };
        if header.command {
            return read_subscription(run, header, sink);
        }
        let begin = run.at + header.header_bytes;
        let body = &run.bytes[begin..begin + header.body_bytes];
        let Some(to) = sink.room(body.len(), header.more) else { return Read::NoRoom };
        // SAFETY: the sink gave room for so many bytes, which nobody else knows of.
        unsafe { std::ptr::copy_nonoverlapping(body.as_ptr(), to, body.len()) };
        run.at = begin + header.body_bytes;
        Read::Frame { more: header.more, bytes: header.body_bytes as u64 }
    }

    fn read_large(&mut self, sink: &mut dyn Sink) -> Read {
        let Some(InPiece::Frame { payload, more }) = self.current.take() else { return Read::Empty };
        let bytes = payload.bytes().len();
        if matches!(payload, Payload::Foreign(_)) || sink.borrows(bytes) {
            sink.owned(payload, more);
            return Read::Frame { more, bytes: bytes as u64 };
        }
        match sink.room(bytes, more) {
            // SAFETY: the sink gave room for so many bytes, which nobody else knows of.
            Some(to) => unsafe { std::ptr::copy_nonoverlapping(payload.bytes().as_ptr(), to, bytes) },
            None => {
                self.current = Some(InPiece::Frame { payload, more });
                return Read::NoRoom;
            }
        }
        Read::Frame { more, bytes: bytes as u64 }
    }

    /// The first `most` bytes of the frame at hand, into `to`. False: there is no frame.
    pub fn front(&mut self, most: usize, to: &mut Vec<u8>) -> bool {
        let found = self.find();
        let bytes = match (&self.current, found) {
            (Some(InPiece::Frame { payload, .. }), Found::Large) => payload.bytes(),
            (Some(InPiece::Run(run)), Found::Small(header)) => {
                let begin = run.at + header.header_bytes;
                &run.bytes[begin..begin + header.body_bytes]
            }
            _ => return false,
        };
        to.clear();
        to.extend_from_slice(&bytes[..most.min(bytes.len())]);
        true
    }

    /// What a read would find. What is in the queue holds a frame for the reader.
    pub fn state(&mut self) -> State {
        if let Some(InPiece::Run(run)) = &self.current
            && run.at >= run.end
        {
            self.current = None;
        }
        if self.current.is_some() {
            // Commands may be all that is left of it.
            match self.find() {
                Found::Nothing => {}
                _ => return State::Frame,
            }
        }
        let queued = self.queued();
        // Before a sleep everything was read.
        if queued == State::Empty && !self.keeps && self.read_here() { State::Frame } else { queued }
    }

    fn queued(&self) -> State {
        let input = self.shared.input.lock();
        match (input.pieces.is_empty(), input.ended) {
            (false, _) => State::Frame,
            (true, true) => State::Ended,
            (true, false) => {
                // Or every spin would end at once, for what was read long ago.
                self.shared.filled.store(false, Ordering::Relaxed);
                State::Empty
            }
        }
    }

    /// The message at hand is not replaced by a newer one any more.
    pub fn settle(&mut self) {
        self.find();
    }

    #[inline(always)]
    pub fn moved(&self) -> bool {
        self.shared.filled.load(Ordering::Relaxed)
    }

    /// Asks to be marked when something comes. False: there is something.
    pub fn sleep(&mut self) -> bool {
        if !self.keeps {
            self.give_back();
        }
        if self.state() != State::Empty {
            return false;
        }
        let mut input = self.shared.input.lock();
        input.asleep = input.pieces.is_empty() && !input.ended;
        if input.asleep {
            self.shared.filled.store(false, Ordering::Relaxed);
        }
        input.asleep
    }

    /// Takes nothing more; what has come can still be read.
    pub fn part(&mut self) {
        self.give_back();
        let mut input = self.shared.input.lock();
        input.closed = true;
        input.ended = true;
        // The engine reads on and drops what comes: it must see the end.
        let resumes = std::mem::take(&mut input.stalled);
        drop(input);
        if resumes {
            self.shared.session.resume();
        }
    }

    pub fn close(&mut self) {
        self.part();
        let dropped = std::mem::take(&mut self.shared.input.lock().pieces);
        drop(dropped);
    }
}

impl Drop for StreamIn {
    fn drop(&mut self) {
        self.close();
    }
}

enum Found {
    Small(Header),
    Large,
    Nothing,
}

fn subscription(run: &Run, header: Header) -> Option<(u8, &[u8])> {
    let begin = run.at + header.header_bytes;
    match Command::parse(&run.bytes[begin..begin + header.body_bytes]) {
        Ok(Command::Subscribe(topic)) => Some((SUBSCRIPTION, topic)),
        Ok(Command::Cancel(topic)) => Some((CANCEL, topic)),
        _ => None,
    }
}

/// As the message that it is to ZMTP 3.0, and to the program.
fn read_subscription(run: &mut Run, header: Header, sink: &mut dyn Sink) -> Read {
    let Some((kind, topic)) = subscription(run, header) else { return Read::Empty };
    let bytes = 1 + topic.len();
    let Some(to) = sink.room(bytes, false) else { return Read::NoRoom };
    // SAFETY: the sink gave room for so many bytes, which nobody else knows of.
    unsafe {
        to.write(kind);
        std::ptr::copy_nonoverlapping(topic.as_ptr(), to.add(1), topic.len());
    }
    run.at += header.header_bytes + header.body_bytes;
    Read::Frame { more: false, bytes: bytes as u64 }
}
