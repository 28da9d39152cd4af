//! The way out of a stream: what waits, what is being written, and who writes it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use shmzmq_shm::ring::Part;
use shmzmq_zmtp::{Header, encode_message_frame, encode_subscription};

use super::{End, Stream, mark};
use crate::channel::Channel;
use crate::error;
use crate::lock::Guard;
use crate::message::{Message, Outgoing, Payload, Undelivered, reserve_places};
use crate::pipe::overflow;
use crate::pipe::ring::Limits;
use crate::pipe::{How, Write};
use crate::socket::xsub::{CANCEL, SUBSCRIPTION};
use crate::stats::{Discard, Stats};

/// Frames of so many bytes wait by reference instead of being copied behind their header.
const REFERENCE_MIN: usize = 16 * 1024;
/// A piece takes no further message beyond this.
const PIECE_BYTES: usize = 64 * 1024;
/// What a piece that is filled gets at once: its last message still fits. Below what glibc maps anew each time.
const PIECE_ROOM: usize = PIECE_BYTES + REFERENCE_MIN + 16;
const HEADER_MAX: usize = 9;
/// Emptied buffers that a stream keeps while it is being written.
const SPARES: usize = 4;
/// The engine takes about so much at a time; what it has taken counts towards no high-water mark.
const BATCH_BYTES: usize = 128 * 1024;
/// Pieces that one system call writes; the kernel's limit is 1024 (writev(2), IOV_MAX).
const SLICES: usize = 64;
/// A caller that finds so much waiting writes it in place of an engine that does not come.
const GATHERED: u64 = 64 * 1024;
/// What a caller writes itself of a stream at rest, at most.
const DIRECT_BYTES: usize = 16 * 1024;
/// A program streams if it sent messages for so long, each in that time, and nothing came back.
const STREAMING: Duration = Duration::from_micros(300);
const MESSAGE: Duration = Duration::from_micros(3);
/// A caller's write is taken to cost no less than the one and no more than the other.
const DIRECT_COST: Duration = Duration::from_micros(5);
const DIRECT_COST_MAX: Duration = Duration::from_micros(50);
/// A buffer of at most so many bytes stays with a stream that is at rest.
const KEPT_BYTES: usize = 4096;

/// A stretch of wire format.
struct Piece {
    body: Body,
    /// Messages whose last byte lies in it, and what it holds of frames' bodies, its own or the next one's.
    ends: u32,
    bodies: u64,
    /// No message goes on behind it.
    clean: bool,
}

enum Body {
    Bytes(Vec<u8>),
    /// The body of one frame, whose header the piece before it ends with.
    Frame(Payload),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Bytes(bytes) => bytes,
            Body::Frame(payload) => payload.bytes(),
        }
    }
}

/// What was taken to be written.
struct Wire {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that the kernel has.
    sent: usize,
    /// Written whole, while their message is not: it may have to be written again (S-3).
    done: Vec<Piece>,
    /// No message goes on behind the last piece taken, so a command may follow (S-2).
    clean: bool,
    /// Emptied buffers.
    spares: Vec<Vec<u8>>,
}

/// How far a write came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    All,
    /// The kernel takes no more now; a writable edge follows.
    Blocked,
    /// Nothing waits, but more will soon: come again after `LINGER`.
    Lingers,
}

impl Wire {
    fn new() -> Wire {
        Wire { pieces: VecDeque::new(), sent: 0, done: Vec::new(), clean: true, spares: Vec::new() }
    }

    fn write(&mut self, channel: &Channel) -> Result<Wrote, Errno> {
        while !self.pieces.is_empty() {
            match self.write_some(channel) {
                Ok(bytes) => self.advance(bytes),
                Err(Errno::AGAIN) => return Ok(Wrote::Blocked),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Wrote::All)
    }

    fn write_some(&self, channel: &Channel) -> Result<usize, Errno> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let first = &self.pieces[0].bytes()[self.sent..];
        if self.pieces.len() == 1 {
            return rustix::net::send(channel.fd(), first, flags);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        slices[0] = IoSlice::new(first);
        let count = self.pieces.len().min(SLICES);
        for (slice, piece) in slices[1..count].iter_mut().zip(self.pieces.iter().skip(1)) {
            *slice = IoSlice::new(piece.bytes());
        }
        let mut control = SendAncillaryBuffer::default();
        rustix::net::sendmsg(channel.fd(), &slices[..count], &mut control, flags)
    }

    fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(first) = self.pieces.front()
            && self.sent >= first.bytes().len()
        {
            self.sent -= first.bytes().len();
            let Some(piece) = self.pieces.pop_front() else { return };
            if !piece.clean {
                self.done.push(piece);
                continue;
            }
            self.done.clear();
            if let Body::Bytes(mut bytes) = piece.body
                && self.spares.len() < SPARES
            {
                bytes.clear();
                self.spares.push(bytes);
            }
        }
    }
}

pub struct Outbound {
    /// None once the connection is over.
    channel: Option<Arc<Channel>>,
    owner: End,
    pub limits: Limits,
    /// Bodies go without headers.
    raw: bool,
    queue: VecDeque<Piece>,
    /// Of the queue.
    messages: u64,
    bytes: u64,
    /// Messages of a writer that keeps (overflow.rs), not encoded yet.
    held: VecDeque<Message>,
    /// Commands that go before all that waits.
    urgent: Vec<u8>,
    pong_waits: bool,
    wire: Wire,
    /// Emptied buffers for the next pieces.
    spares: Vec<Vec<u8>>,
    /// Whose turn it is (S-1), see mod.rs.
    engine_writes: bool,
    /// Somebody has the wire and writes it without the lock; the engine came meanwhile.
    writing: bool,
    passed: bool,
    /// The kernel took no more: the writable edge is the engine's.
    blocked: bool,
    /// Messages taken since then; whether that is a program that streams.
    taken: u32,
    taken_since: Instant,
    streams: bool,
    /// Something was taken since the engine found nothing.
    came: bool,
    /// A program waits for room.
    waiting: bool,
    /// The socket writes no more; what waits still goes.
    closed: bool,
    /// When writing ended last, and what a caller's write took.
    rested_at: Instant,
    cost: Duration,
}

impl Outbound {
    pub fn new(channel: Arc<Channel>, owner: End, limits: Limits, raw: bool) -> Outbound {
        Outbound {
            channel: Some(channel),
            owner,
            limits,
            raw,
            queue: VecDeque::new(),
            messages: 0,
            bytes: 0,
            held: VecDeque::new(),
            urgent: Vec::new(),
            pong_waits: false,
            wire: Wire::new(),
            spares: Vec::new(),
            engine_writes: false,
            writing: false,
            passed: false,
            blocked: false,
            taken: 0,
            taken_since: Instant::now(),
            streams: false,
            came: false,
            waiting: false,
            closed: false,
            rested_at: Instant::now(),
            cost: DIRECT_COST,
        }
    }

    fn is_gone(&self) -> bool {
        self.closed || self.channel.is_none()
    }

    fn is_full(&self) -> bool {
        !self.limits.policy.keeps() && self.limits.reached(self.messages, self.bytes)
    }

    /// What waits may be written by a caller, under the locks of a socket.
    fn is_small(&self) -> bool {
        let held = self.held.front().map_or(0, Message::bytes);
        self.held.len() <= 1 && self.bytes + held <= DIRECT_BYTES as u64
    }

    /// Nothing waits and nothing is being written.
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
            && self.held.is_empty()
            && self.wire.pieces.is_empty()
            && !self.engine_writes
            && !self.writing
    }

    /// There is something for the engine to write.
    fn waits(&self) -> bool {
        !(self.queue.is_empty()
            && self.held.is_empty()
            && self.urgent.is_empty()
            && self.wire.pieces.is_empty())
    }

    /// A caller may write the next batch under the lock of a socket: it is not much larger than it should be.
    fn suits_caller(&self) -> bool {
        let mut bytes = 0;
        let pieces = if self.wire.pieces.is_empty() { &self.queue } else { &self.wire.pieces };
        for piece in pieces {
            bytes += piece.bytes().len();
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        self.held.is_empty() && bytes > 0 && bytes < 2 * BATCH_BYTES
    }

    /// The buffer behind which the next frame goes.
    fn tail(&mut self) -> &mut Piece {
        let roomy = matches!(
            self.queue.back(),
            Some(Piece { body: Body::Bytes(bytes), .. }) if bytes.len() < PIECE_BYTES
        );
        if !roomy {
            let body = Body::Bytes(self.spares.pop().unwrap_or_default());
            self.queue.push_back(Piece { body, ends: 0, bodies: 0, clean: true });
        }
        let last = self.queue.len() - 1;
        &mut self.queue[last]
    }

    #[inline]
    fn push_small(&mut self, bytes: &[u8], more: bool) {
        self.bytes += bytes.len() as u64;
        let raw = self.raw;
        let tail = self.tail();
        tail.clean = !more;
        tail.ends += u32::from(tail.clean);
        tail.bodies += bytes.len() as u64;
        if let Body::Bytes(to) = &mut tail.body {
            if to.capacity() - to.len() < bytes.len() + HEADER_MAX && to.capacity() >= KEPT_BYTES {
                // Doubled again and again it would be copied as often.
                to.reserve_exact(PIECE_ROOM.max(to.len() + bytes.len() + HEADER_MAX) - to.len());
            }
            if !raw {
                encode_message_frame(bytes.len(), more, to);
            }
            to.extend_from_slice(bytes);
        }
    }

    fn push_large(&mut self, payload: Payload, more: bool) {
        let len = payload.bytes().len();
        self.bytes += len as u64;
        let mut bodies = len as u64;
        if !self.raw {
            let tail = self.tail();
            tail.clean = false;
            // What it counts for goes with the header.
            tail.bodies += std::mem::take(&mut bodies);
            if let Body::Bytes(to) = &mut tail.body {
                encode_message_frame(len, more, to);
            }
        }
        let body = Body::Frame(payload);
        self.queue.push_back(Piece { body, ends: u32::from(!more), bodies, clean: !more });
    }

    /// The whole message, or an error and nothing of it.
    fn push(&mut self, message: Outgoing<'_>, scratch: &mut Vec<Part>) -> error::Result<()> {
        let parts = message.parts(scratch);
        self.prepare(parts.len())?;
        if parts.iter().any(|part| part.len >= REFERENCE_MIN) {
            let mut message = message.to_message()?;
            self.push_owned(&mut message);
            return Ok(());
        }
        for (index, part) in parts.iter().enumerate() {
            // SAFETY: the caller keeps its parts readable during the call.
            let bytes = unsafe { std::slice::from_raw_parts(part.at, part.len) };
            self.push_small(bytes, index + 1 < parts.len());
        }
        self.messages += 1;
        Ok(())
    }

    /// Takes what is large out of the message instead of copying it.
    fn push_owned(&mut self, message: &mut Message) {
        let count = 1 + message.rest.len();
        for (index, payload) in message.frames_mut().enumerate() {
            let more = index + 1 < count;
            if payload.bytes().len() >= REFERENCE_MIN {
                self.push_large(std::mem::replace(payload, Payload::empty()), more);
            } else {
                self.push_small(payload.bytes(), more);
            }
        }
        self.messages += 1;
    }

    fn push_subscription(&mut self, subscribe: bool, topic: &[u8]) {
        self.messages += 1;
        let tail = self.tail();
        tail.ends += 1;
        if let Body::Bytes(to) = &mut tail.body {
            encode_subscription(subscribe, topic, to);
        }
    }

    /// Before a message of so many frames is encoded: nothing is short of memory, and there are places for its pieces.
    #[inline]
    fn prepare(&mut self, frames: usize) -> error::Result<()> {
        // A large frame is a piece of its own, behind one with its header.
        reserve_places(&mut self.queue, 2 * frames)
    }

    /// Takes the next pieces to be written.
    fn refill(&mut self) {
        let mut taken = 0;
        loop {
            if self.wire.clean && !self.urgent.is_empty() {
                let body = Body::Bytes(std::mem::take(&mut self.urgent));
                self.pong_waits = false;
                self.wire.pieces.push_back(Piece { body, ends: 0, bodies: 0, clean: true });
            }
            if self.queue.is_empty()
                && let Some(mut message) = self.held.pop_front()
            {
                self.push_owned(&mut message);
            }
            if taken >= BATCH_BYTES {
                return;
            }
            let Some(piece) = self.queue.pop_front() else { return };
            taken += piece.bytes().len();
            self.came = true;
            self.taken = self.taken.saturating_add(piece.ends);
            self.messages = self.messages.saturating_sub(u64::from(piece.ends));
            self.bytes = self.bytes.saturating_sub(piece.bodies);
            self.wire.clean = piece.clean;
            self.wire.pieces.push_back(piece);
        }
    }

    /// A writer that waits is woken when half of what may wait is free.
    fn take_waiter(&mut self) -> Option<End> {
        let wakes =
            self.waiting && (self.channel.is_none() || self.limits.half_free(self.messages, self.bytes));
        if !wakes {
            return None;
        }
        self.waiting = false;
        Some(self.owner.clone())
    }

    /// Nothing waits for the engine. True: it is not to rest yet, for a program that streams would only call it again
    /// at once. Who is answered (`heard`) waits for the answers: that is a window, however fast.
    fn lingers(&mut self, heard: bool) -> bool {
        let now = Instant::now();
        let time = now - self.taken_since;
        if heard {
            (self.streams, self.taken, self.taken_since) = (false, 0, now);
        } else if time >= STREAMING {
            self.streams = time <= MESSAGE.saturating_mul(std::mem::take(&mut self.taken));
            self.taken_since = now;
        }
        std::mem::take(&mut self.came) && self.streams && self.engine_writes && !self.closed
    }

    fn rest(&mut self) {
        self.engine_writes = false;
        self.rested_at = Instant::now();
        // One slow write must not make the next lone messages wait for the engine for ever.
        self.cost = (self.cost * 7 / 8).max(DIRECT_COST);
        self.wire.spares.clear();
        self.spares.truncate(1);
        self.spares.retain(|spare| spare.capacity() <= KEPT_BYTES);
    }

    /// Everything not known to be with the kernel (S-3).
    fn undelivered(&mut self) -> Undelivered {
        if self.raw {
            // The middle of a stream means nothing to another connection.
            self.wire = Wire::new();
            self.queue.clear();
            self.held.clear();
            (self.messages, self.bytes) = (0, 0);
            return Undelivered::default();
        }
        let mut pieces = std::mem::take(&mut self.wire.done);
        let sent = self.wire.sent + pieces.iter().map(|piece| piece.bytes().len()).sum::<usize>();
        pieces.extend(std::mem::take(&mut self.wire.pieces));
        pieces.extend(std::mem::take(&mut self.queue));
        self.wire.sent = 0;
        let mut found = Unsent { sent, ..Unsent::default() };
        pieces.into_iter().for_each(|piece| found.take(piece));
        let mut left = found.left;
        std::mem::take(&mut self.held).into_iter().for_each(|message| left.take(Some(message)));
        (self.messages, self.bytes) = (0, 0);
        left
    }
}

/// Messages taken out of wire format again: those that are not with the kernel to their last byte.
#[derive(Default)]
struct Unsent {
    left: Undelivered,
    frames: Vec<Payload>,
    /// A frame of the message at hand found no memory.
    torn: bool,
    /// Bytes that the kernel has, and those looked at so far.
    sent: usize,
    at: usize,
    /// The last header said so.
    more: bool,
}

impl Unsent {
    fn take(&mut self, piece: Piece) {
        let bytes = match piece.body {
            Body::Bytes(bytes) => bytes,
            Body::Frame(payload) => {
                self.at += payload.bytes().len();
                return self.frame(Some(payload));
            }
        };
        let mut rest = &bytes[..];
        while let Ok(Some(header)) = Header::parse(rest, u64::MAX) {
            self.more = header.more;
            self.at += header.header_bytes;
            rest = &rest[header.header_bytes..];
            // A body that is not behind its header is the next piece.
            let Some((body, behind)) = rest.split_at_checked(header.body_bytes) else { return };
            self.at += body.len();
            rest = behind;
            // Commands are said anew on the next connection.
            if !header.command {
                self.frame(Payload::copy(body).ok());
            }
        }
    }

    fn frame(&mut self, payload: Option<Payload>) {
        self.torn |= payload.is_none();
        self.frames.extend(payload);
        if self.more {
            return;
        }
        let (frames, torn) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.torn));
        if self.at > self.sent {
            self.left.take(if torn { None } else { Message::from_frames(frames) });
        }
    }
}

impl Stream {
    /// Engine: writes what waits until nothing does, the kernel takes no more, or `rounds` are over.
    pub fn write(&self, channel: &Channel, rounds: usize) -> Result<Option<Wrote>, Errno> {
        for _ in 0..rounds {
            let mut out = self.out.lock();
            if out.writing {
                // A caller, who tells us of what it leaves.
                out.passed = true;
                return Ok(Some(Wrote::Blocked));
            }
            if out.wire.pieces.is_empty() {
                out.refill();
            }
            if out.wire.pieces.is_empty() {
                // S-1: the turn is given back under the lock under which nothing was found.
                let waiter = out.take_waiter();
                let lingers = out.lingers(self.heard.swap(false, Ordering::Relaxed));
                if !lingers {
                    out.rest();
                }
                drop(out);
                waiter.iter().for_each(mark);
                return Ok(Some(if lingers { Wrote::Lingers } else { Wrote::All }));
            }
            out.engine_writes = true;
            let (out, wrote) = self.write_taken(out, channel);
            drop(out);
            if wrote? == Wrote::Blocked {
                return Ok(Some(Wrote::Blocked));
            }
        }
        Ok(None)
    }

    /// Writes the wire without holding the lock.
    fn write_taken<'a>(
        &'a self,
        mut out: Guard<'a, Outbound>,
        channel: &Channel,
    ) -> (Guard<'a, Outbound>, Result<Wrote, Errno>) {
        let waiter = out.take_waiter();
        out.writing = true;
        let mut wire = std::mem::replace(&mut out.wire, Wire::new());
        drop(out);
        waiter.iter().for_each(mark);
        let wrote = wire.write(channel);
        let mut out = self.out.lock();
        out.writing = false;
        out.blocked = wrote != Ok(Wrote::All);
        let room = SPARES.saturating_sub(out.spares.len());
        out.spares.extend(wire.spares.drain(..).take(room));
        out.wire = wire;
        (out, wrote)
    }

    /// Caller: writes a batch in place of the engine, which will come in any case and then finds less (S-1).
    #[cold]
    fn write_instead(&self) {
        let mut out = self.out.lock();
        if !out.engine_writes || out.writing || out.blocked || !out.suits_caller() {
            return;
        }
        let Some(channel) = out.channel.clone() else { return };
        if out.wire.pieces.is_empty() {
            out.refill();
        }
        let (mut out, wrote) = self.write_taken(out, &channel);
        let passed = std::mem::take(&mut out.passed);
        let tells = wrote.is_err() || passed && out.waits();
        if passed && !tells {
            out.rest();
        }
        drop(out);
        if tells {
            self.session.flush();
        }
    }

    /// Engine: a command that goes before everything that waits. Writing it is the engine's turn.
    pub fn push_urgent(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.out.lock().urgent);
    }

    /// As `push_urgent`, but one answer that waits is enough.
    pub fn push_pong(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.out.lock();
        if !std::mem::replace(&mut out.pong_waits, true) {
            encode(&mut out.urgent);
        }
    }

    /// Engine: the connection is over.
    pub fn end_output(&self) {
        let mut out = self.out.lock();
        out.channel = None;
        out.engine_writes = false;
        let waiter = out.take_waiter();
        drop(out);
        waiter.iter().for_each(mark);
    }
}

/// The socket's half.
pub struct StreamOut {
    shared: Arc<Stream>,
    commands: bool,
    pub transport: &'static str,
    /// Messages accepted so far, without those that newer ones took the place of.
    accepted: u64,
    /// Put by a burst, and nobody was told.
    unpublished: bool,
    listed: bool,
}

impl StreamOut {
    pub fn new(shared: Arc<Stream>, commands: bool, transport: &'static str) -> StreamOut {
        StreamOut { shared, commands, transport, accepted: 0, unpublished: false, listed: false }
    }

    pub fn set_limits(&mut self, sndhwm: i64, hwm_bytes: i64) {
        let mut out = self.shared.out.lock();
        out.limits.sndhwm = sndhwm;
        out.limits.hwm_bytes = hwm_bytes;
        let waiter = out.take_waiter();
        drop(out);
        waiter.iter().for_each(mark);
    }

    pub fn write(
        &mut self,
        message: Outgoing<'_>,
        how: How,
        scratch: &mut Vec<Part>,
        stats: &mut Stats,
    ) -> Write {
        let mut out = self.shared.out.lock();
        if out.is_gone() {
            return Write::Gone;
        }
        if out.limits.policy.keeps() {
            let limits = out.limits;
            let dropped = match overflow::push(&mut out.held, message, &limits) {
                Ok(dropped) => dropped,
                Err(error) => return Write::Failed(error),
            };
            stats.discard(Discard::Overflow, dropped);
            self.accepted -= dropped;
        } else {
            if out.is_full() {
                drop(out);
                // Nobody may wait for a reader that was not told.
                self.publish();
                if how.patient {
                    self.shared.write_instead();
                }
                out = self.shared.out.lock();
                if out.is_gone() {
                    return Write::Gone;
                }
                if out.is_full() {
                    return Write::Full;
                }
            }
            if let Err(error) = out.push(message, scratch) {
                return Write::Failed(error);
            }
        }
        self.accepted += 1;
        if out.engine_writes && !how.burst && out.bytes < GATHERED {
            return Write::Done;
        }
        self.unpublished = true;
        drop(out);
        if !how.burst {
            self.publish();
        }
        Write::Done
    }

    /// `write` without regard to the high-water marks: subscriptions.
    pub fn write_state(&mut self, message: Outgoing<'_>, scratch: &mut Vec<Part>) -> Write {
        let mut out = self.shared.out.lock();
        if out.is_gone() {
            return Write::Gone;
        }
        let parts = message.parts(scratch);
        let subscription = match parts {
            // SAFETY: the caller keeps its parts readable during the call.
            [part] if self.commands => unsafe { std::slice::from_raw_parts(part.at, part.len) }.split_first(),
            _ => None,
        };
        let pushed = match subscription {
            Some((&SUBSCRIPTION, topic)) => out.prepare(1).map(|()| out.push_subscription(true, topic)),
            Some((&CANCEL, topic)) => out.prepare(1).map(|()| out.push_subscription(false, topic)),
            _ => out.push(message, &mut Vec::new()),
        };
        if let Err(error) = pushed {
            return Write::Failed(error);
        }
        self.accepted += 1;
        self.unpublished = true;
        drop(out);
        self.publish();
        Write::Done
    }

    /// The same for a message that was accepted long ago. Once written it is empty.
    pub fn write_accepted(&mut self, message: &mut Message) -> Write {
        let mut out = self.shared.out.lock();
        if out.is_gone() {
            return Write::Gone;
        }
        // Where memory is short it moves in small steps: what it takes here is free where it came from.
        if out.bytes >= PIECE_BYTES as u64
            && let Err(error) = out.prepare(1 + message.rest.len())
        {
            return Write::Failed(error);
        }
        let subscription =
            if self.commands && message.rest.is_empty() { message.first.bytes().split_first() } else { None };
        match subscription {
            Some((&SUBSCRIPTION, topic)) => out.push_subscription(true, topic),
            Some((&CANCEL, topic)) => out.push_subscription(false, topic),
            _ => out.push_owned(message),
        }
        self.accepted += 1;
        self.unpublished = true;
        Write::Done
    }

    /// True if the burst has to note this pipe: it was not listed yet.
    pub fn list(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }

    /// What was put is on its way: written here and now if the stream is at rest, else by the engine.
    #[inline]
    pub fn publish(&mut self) {
        self.listed = false;
        if !std::mem::take(&mut self.unpublished) {
            return;
        }
        let mut out = self.shared.out.lock();
        if out.engine_writes {
            let gathered = out.bytes >= GATHERED;
            drop(out);
            if gathered {
                self.shared.write_instead();
            }
            return;
        }
        let begun = Instant::now();
        let alone = begun.saturating_duration_since(out.rested_at) >= out.cost;
        if alone && out.is_small() && self.write_here(&mut out, begun) {
            return;
        }
        out.engine_writes = true;
        drop(out);
        self.shared.session.flush();
    }

    /// True: nothing is left for the engine to be told of.
    fn write_here(&self, out: &mut Outbound, begun: Instant) -> bool {
        let Some(channel) = out.channel.clone() else { return true };
        out.refill();
        let wrote = out.wire.write(&channel);
        match wrote {
            Ok(Wrote::All) if out.queue.is_empty() => {
                out.rest();
                out.cost = (out.rested_at - begun).clamp(DIRECT_COST, DIRECT_COST_MAX);
                true
            }
            Ok(Wrote::Blocked) => {
                // The writable edge is the engine's.
                out.engine_writes = true;
                out.blocked = true;
                true
            }
            // The engine finds out why.
            _ => false,
        }
    }

    pub fn writable(&self) -> bool {
        let out = self.shared.out.lock();
        !out.is_gone() && !out.is_full()
    }

    /// Asks to be marked when a refused write may succeed. False: try again first.
    pub fn sleep(&mut self) -> bool {
        let mut out = self.shared.out.lock();
        out.waiting = out.is_full();
        out.waiting || out.is_gone()
    }

    pub fn depth(&self) -> u64 {
        let out = self.shared.out.lock();
        out.messages + out.held.len() as u64
    }

    /// Messages accepted so far, without those that newer ones took the place of.
    pub fn sent(&self) -> u64 {
        self.accepted
    }

    /// Nothing more is written; what waits still goes.
    pub fn close(&mut self) {
        let mut out = self.shared.out.lock();
        out.closed = true;
    }

    /// Nothing of it goes to another connection.
    pub fn is_raw(&self) -> bool {
        self.shared.out.lock().raw
    }

    /// What the peer cannot have got.
    pub fn undelivered(&mut self) -> Undelivered {
        self.shared.out.lock().undelivered()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::pipe::overflow::Policy;
    use crate::signaler::Signaler;

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    fn outbound(policy: Policy) -> std::result::Result<Outbound, Box<dyn std::error::Error>> {
        let (end, _) = std::os::unix::net::UnixStream::pair()?;
        let signaler = Arc::new(Signaler::new().map_err(|error| error.to_string())?);
        let limits = Limits { sndhwm: 0, rcvhwm: 0, hwm_bytes: 1000, policy };
        Ok(Outbound::new(Arc::new(Channel::new(OwnedFd::from(end))), (signaler, 0), limits, false))
    }

    fn message(bytes: usize) -> Message {
        Message { first: Payload::from(vec![7; bytes]), rest: Vec::new() }
    }

    #[test]
    fn bytes_that_wait_are_those_of_bodies() -> Outcome {
        let mut out = outbound(Policy::Own)?;
        let sizes = [0, 1, 255, 256, 4000, REFERENCE_MIN, 3 * PIECE_BYTES];
        let mut all = 0;
        for round in 0..50_000 {
            let size = sizes[if round % 1000 == 0 { round / 1000 % sizes.len() } else { 1 }];
            out.push_owned(&mut message(size));
            all += size as u64;
        }
        assert_eq!(out.bytes, all);
        while !out.queue.is_empty() {
            out.refill();
            let waits: u64 = out.queue.iter().map(|piece| piece.bodies).sum();
            assert_eq!(out.bytes, waits);
        }
        assert_eq!((out.bytes, out.messages), (0, 0));
        Ok(())
    }

    #[test]
    fn a_caller_writes_nothing_large_that_was_held() -> Outcome {
        let mut out = outbound(Policy::KeepLatest)?;
        assert!(out.is_small());
        out.held.push_back(message(DIRECT_BYTES + 1));
        assert!(!out.is_small());
        Ok(())
    }

    #[test]
    fn what_the_kernel_has_not_got_to_its_last_byte_is_undelivered() -> Outcome {
        let frames = [3, REFERENCE_MIN, 0, 5];
        let whole = 12 + 5 + 9 + REFERENCE_MIN + 2 + 7 + 22;
        for sent in (0..40).chain(whole - 40..=whole) {
            let mut out = outbound(Policy::Own)?;
            let mut multipart = Message::from_frames(frames.map(|len| Payload::from(vec![7; len])));
            let (mut first, mut last) = (message(10), message(20));
            out.push_owned(&mut first);
            out.push_owned(multipart.as_mut().ok_or("no frames")?);
            out.push_owned(&mut last);
            out.refill();
            let sizes: Vec<usize> = out.wire.pieces.iter().map(|piece| piece.bytes().len()).collect();
            let ends = [12, 12 + 5 + 9 + REFERENCE_MIN + 2 + 7, whole];
            assert_eq!(sizes.iter().sum::<usize>(), whole);
            out.wire.advance(sent);
            let left: Vec<u64> = out.undelivered().messages.iter().map(Message::bytes).collect();
            let all = [10, 8 + REFERENCE_MIN as u64, 20];
            let gone = ends.iter().filter(|end| sent >= **end).count();
            assert_eq!(left, all[gone..], "{sent} bytes sent");
        }
        Ok(())
    }
}
