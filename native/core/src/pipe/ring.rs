//! A pipe over rings in shared memory: the application's threads touch them directly.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use shmzmq_shm::arena::{Arena, PeerId};
use shmzmq_shm::layout;
use shmzmq_shm::ring::{Arm, Described, Frame, Left, Next, Part, Poisoned, Refusal, Rx, Tx};
use shmzmq_shm::segment::{MappedControl, MappedReturns, MappedRing};

use super::large::{self, INLINE_MAX, Want};
use super::overflow::{Kept, Policy};
use super::{How, Read, Write, broken};
use crate::channel::Channel;
use crate::error::Error;
use crate::handshake;
use crate::loan::{Borrowed, Lender, Nowhere, Place, View};
use crate::looker::LookerCall;
use crate::message::{Message, Outgoing, Payload, Sink, Undelivered};
use crate::origin::Origin;
use crate::signaler::PeerSignaler;
use crate::stats::{Discard, Stats};

/// The connection is gone and what its writer went on in never came: a correct writer announces
/// before it goes there, so this is the peer's mistake or ours, and never silent.
const UNANNOUNCED: &str = "the writer went on in a ring or arena that was never announced";

/// A write that neither waits nor is part of a burst.
const AT_ONCE: How = How { patient: false, burst: false, inline: false };

pub(super) type MappedTx = Tx<MappedControl, MappedRing>;
type MappedRx = Rx<MappedControl, MappedRing>;

/// A grown ring has room for this many of the message that did not fit. Enough blocks in flight keep
/// both sides copying (docs/design/decisions/0003 and 0004).
const MESSAGES_PER_RING: u64 = 16;
/// Above this a grown ring has room for few messages only: memory beats concurrency.
const LARGE_RING_BYTES: u64 = 4 << 20;

/// The writer's side.
pub struct RingOut {
    pub(super) tx: MappedTx,
    peer: Arc<PeerSignaler>,
    pub(super) channel: Arc<Channel>,
    /// Where large frames lie, and by what name it knows the reader.
    pub(super) arena: Arc<Arena>,
    pub(super) peer_id: PeerId,
    /// Segments of the arena that the reader knows.
    pub(super) announced: Vec<u32>,
    /// Segments of the message at hand, which goes to all of several pipes or to none, that the reader does not know;
    /// and whether it learned of them just now.
    pub(super) to_announce: Vec<u32>,
    pub(super) noted: bool,
    /// What the message that was refused last waits for.
    pub(super) want: Want,
    /// Blocks that had come back when the last message had to wait for one.
    pub(super) seen_returned: u64,
    /// How long a wait for one is worth.
    pub(super) patience: Duration,
    /// Who sees to it that the arena shrinks.
    pub(super) looker: LookerCall,
    /// The reader's position when the ring was last found full.
    seen: u64,
    /// Bytes that the refused message takes, in the ring and elsewhere, for the wake-up threshold.
    pub(super) wanted: (u64, u64),
    /// False if the last publish found the reader asleep.
    pub peer_awake: bool,
    /// Put by a burst and not yet published.
    pub(super) unpublished: bool,
    /// Among the pipes that the burst publishes at its end.
    listed: bool,
    pub(super) limits: Limits,
    kept: Kept,
}

/// How much may be under way to one peer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub sndhwm: i64,
    pub rcvhwm: i64,
    pub hwm_bytes: i64,
    pub policy: Policy,
}

impl Limits {
    pub const NONE: Limits = Limits { sndhwm: 0, rcvhwm: 0, hwm_bytes: 0, policy: Policy::Own };

    /// True if that queue, before there is a peer, takes no further message.
    pub fn fills(&self, queue: &VecDeque<Message>) -> bool {
        let bytes = || queue.iter().map(Message::bytes).sum::<u64>();
        (self.sndhwm > 0 && queue.len() >= self.sndhwm as usize)
            || (self.hwm_bytes > 0 && !queue.is_empty() && bytes() >= self.hwm_bytes as u64)
    }

    /// Messages, 0 for no limit. Who keeps the newest only needs none.
    fn credit(&self) -> u64 {
        match self.policy {
            Policy::KeepLatest => 0,
            _ => crate::options::credit(self.sndhwm, self.rcvhwm),
        }
    }
}

impl RingOut {
    pub fn new(
        words: (MappedControl, MappedRing),
        peer: Arc<PeerSignaler>,
        channel: Arc<Channel>,
        arena: Arc<Arena>,
        looker: LookerCall,
        returns: MappedReturns,
        limits: Limits,
    ) -> Self {
        let mut tx = Tx::new(words.0, words.1, limits.credit());
        let peer_id = arena.join(returns);
        tx.set_bytes_max(limits.hwm_bytes as u64);
        let mut kept = Kept::new(limits.policy);
        kept.set_most(limits.credit(), limits.hwm_bytes as u64);
        RingOut {
            tx,
            peer,
            channel,
            arena,
            peer_id,
            announced: Vec::new(),
            to_announce: Vec::new(),
            noted: false,
            want: Want::Ring,
            seen_returned: u64::MAX,
            patience: Duration::ZERO,
            looker,
            seen: u64::MAX,
            wanted: (0, 0),
            peer_awake: true,
            unpublished: false,
            listed: false,
            limits,
            kept,
        }
    }

    /// Our own limits, or the reader's, were set anew.
    pub fn set_limits(&mut self, sndhwm: Option<i64>, rcvhwm: Option<i64>, hwm_bytes: Option<i64>) {
        self.limits.sndhwm = sndhwm.unwrap_or(self.limits.sndhwm);
        self.limits.rcvhwm = rcvhwm.unwrap_or(self.limits.rcvhwm);
        self.limits.hwm_bytes = hwm_bytes.unwrap_or(self.limits.hwm_bytes);
        self.restore_limits();
        self.kept.set_most(self.limits.credit(), self.limits.hwm_bytes as u64);
    }

    pub(super) fn restore_limits(&mut self) {
        self.tx.set_credit(self.limits.credit());
        self.tx.set_bytes_max(self.limits.hwm_bytes as u64);
    }

    // --- a writer that keeps (overflow.rs) ---------------------------------------------------------------

    pub fn keeps(&self) -> bool {
        self.limits.policy.keeps()
    }

    /// Messages that are held outside the ring.
    pub fn held(&self) -> usize {
        self.kept.held().len()
    }

    /// Writes, or holds what has no room. Only for a writer that keeps.
    #[cold]
    pub fn write_keeping(
        &mut self,
        message: Outgoing<'_>,
        scratch: &mut Vec<Part>,
        stats: &mut Stats,
    ) -> Write {
        self.move_held(stats);
        if self.kept.held().is_empty() {
            let written = self.write_kept(message.parts(scratch), AT_ONCE, stats);
            if !matches!(written, Write::Full) {
                return written;
            }
        }
        if self.is_beyond(message.parts(scratch)) {
            return Write::Failed(Error::NoMemory("a message beyond SHM_MAX or ARENA_MAX".to_owned()));
        }
        // The reader's position as it says it is; a false one drops messages of its own.
        let (reader, writer) = (self.tx.reader_position(), (self.tx.position(), self.tx.volume()));
        let (dropped, wanted_from) = match self.kept.hold(message, reader, writer) {
            Ok(held) => held,
            Err(error) => return Write::Failed(error),
        };
        stats.discard(Discard::Overflow, dropped);
        if let Some(position) = wanted_from {
            self.tx.skip_before(position);
        }
        Write::Done
    }

    /// Moves what is held into the ring, as far as there is room. True: nothing is held any more.
    pub fn move_held(&mut self, stats: &mut Stats) -> bool {
        while let Some(message) = self.kept.held().front() {
            let parts: Vec<Part> = message.frames().map(Payload::part).collect();
            let mut written = self.write_kept(&parts, AT_ONCE, stats);
            if matches!(written, Write::Failed(_)) && self.is_beyond(&parts) {
                written = self.write_kept(&parts, How { inline: true, ..AT_ONCE }, stats);
            }
            if !matches!(written, Write::Done) {
                return false;
            }
            self.kept.pop_held();
        }
        true
    }

    fn write_kept(&mut self, parts: &[Part], how: How, stats: &mut Stats) -> Write {
        let begin = (self.tx.position(), self.tx.volume());
        let full = match self.tx.check(&large::shape(parts)) {
            Err(Refusal::Credit) => true,
            Err(Refusal::Space { grow }) => self.limits.policy == Policy::KeepLatest && !grow,
            _ => false,
        };
        if full {
            return Write::Full;
        }
        let written = self.write(parts, how, stats);
        if let Write::Done = written {
            self.note_kept(begin);
        }
        written
    }

    /// A message of the user's went into the ring at that position and volume.
    fn note_kept(&mut self, begin: (u64, u64)) {
        if let Some(position) = self.kept.wrote(begin, self.tx.reader_position()) {
            self.tx.skip_before(position);
        }
    }

    /// The socket closes: what is held goes into the ring, whatever the limits say.
    pub fn move_all_held(&mut self, stats: &mut Stats) {
        while let Some(message) = self.kept.pop_held() {
            self.write_accepted(&message, stats);
        }
    }

    // --- any writer --------------------------------------------------------------------------------------

    /// `write` without regard to the high-water marks: the message was accepted long ago.
    pub fn write_accepted(&mut self, message: &Message, stats: &mut Stats) -> Write {
        let parts: Vec<Part> = message.frames().map(Payload::part).collect();
        let begin = (self.tx.position(), self.tx.volume());
        let mut written = self.write_unlimited(&parts, AT_ONCE, stats);
        // The limits of arenas were not asked when it was accepted, and all behind it waits: it goes through
        // a larger ring.
        if matches!(written, Write::Failed(_)) && self.is_beyond(&parts) {
            written = self.write_unlimited(&parts, How { inline: true, ..AT_ONCE }, stats);
        }
        if self.keeps() && matches!(written, Write::Done) {
            self.note_kept(begin);
        }
        written
    }

    /// `write` without regard to the high-water marks.
    pub fn write_state(&mut self, parts: &[Part], stats: &mut Stats) -> Write {
        self.write_unlimited(parts, AT_ONCE, stats)
    }

    fn write_unlimited(&mut self, parts: &[Part], how: How, stats: &mut Stats) -> Write {
        self.tx.set_credit(0);
        self.tx.set_bytes_max(0);
        let written = self.write(parts, how, stats);
        self.restore_limits();
        written
    }

    #[inline]
    pub fn write(&mut self, parts: &[Part], how: How, stats: &mut Stats) -> Write {
        if large::is_large(parts) && !how.inline {
            return self.write_large(parts, how, stats);
        }
        self.put(parts, parts, how, stats)
    }

    /// Puts `records`, which stand for `parts`.
    #[inline(always)]
    pub(super) fn put(&mut self, records: &[Part], parts: &[Part], how: How, stats: &mut Stats) -> Write {
        match self.tx.put(records) {
            Ok(()) => {
                self.unpublished = true;
                if !how.burst {
                    self.publish(stats);
                }
                Write::Done
            }
            Err(refusal) => self.refused(refusal, parts, how, stats),
        }
    }

    /// `write` of a small frame that meets nothing unusual, to be published if it is of no burst; false: it did, and
    /// nothing was written.
    #[inline(always)]
    pub fn write_plain(&mut self, part: &Part, burst: bool, stats: &mut Stats) -> bool {
        let usual = part.len <= INLINE_MAX && !self.keeps();
        if !usual || !self.tx.put_plain(part) {
            return false;
        }
        self.unpublished = true;
        if !burst {
            self.publish(stats);
        }
        true
    }

    /// Puts one-frame messages of a burst until one is refused; how many, and their bytes.
    #[inline]
    pub fn put_run(&mut self, run: &[Part]) -> (usize, u64) {
        let put = self.tx.put_run(run, INLINE_MAX);
        self.unpublished |= put.0 != 0;
        put
    }

    /// Lets the reader see what was put, and wakes it if it sleeps.
    #[inline]
    pub fn publish(&mut self, stats: &mut Stats) {
        self.listed = false;
        if !std::mem::take(&mut self.unpublished) {
            return;
        }
        let asleep = self.tx.publish();
        self.peer_awake = !asleep;
        if asleep {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }

    /// True if the burst has to note this pipe: it was not listed yet.
    #[inline]
    pub fn list(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }

    #[cold]
    pub(super) fn refused(&mut self, refusal: Refusal, parts: &[Part], how: How, stats: &mut Stats) -> Write {
        // Nobody may wait for a reader that was not told, nor judge its pace.
        if self.unpublished {
            self.publish(stats);
        }
        self.want = Want::Ring;
        let shape = if how.inline { parts.into() } else { large::shape(parts) };
        match refusal {
            Refusal::Credit => {
                self.note_wanted(&shape);
                Write::Full
            }
            Refusal::Closed => Write::Gone,
            Refusal::Length => Write::Failed(Error::Invalid("a frame has 4 GiB or more".to_owned())),
            Refusal::Poisoned(poisoned) => {
                self.end_broken(poisoned);
                Write::Gone
            }
            Refusal::Space { grow } if how.patient && self.waits_for_space(&shape, grow) => Write::Soon,
            Refusal::Space { .. } => self.grow(parts, &shape, how, stats),
        }
    }

    /// The reader broke the protocol: its connection ends.
    #[cold]
    fn end_broken(&self, poisoned: Poisoned) {
        self.channel.break_off(&poisoned.to_string());
    }

    /// The ring is full but large enough, and its reader has moved since we last asked: a moment's wait
    /// is better than a larger ring. Notes what to wait for.
    fn waits_for_space(&mut self, parts: &[Part], grow: bool) -> bool {
        let position = self.tx.reader_position();
        let bytes = self.tx.bytes_for(parts);
        let roomy = self.tx.capacity() >= (bytes * MESSAGES_PER_RING).min(LARGE_RING_BYTES);
        let waits = !grow && roomy && position != self.seen;
        if waits {
            self.seen = position;
            self.wanted = (bytes, MappedTx::elsewhere_for(parts));
        }
        waits
    }

    /// Before a write to several pipes, all or none: will a write of small frames be done? Asks the reader only if
    /// what was last seen of it is not enough.
    #[inline]
    pub fn takes_small(&mut self, parts: &[Part]) -> bool {
        !self.keeps() && !large::is_large(parts) && self.tx.check(parts).is_ok()
    }

    /// Before a write to several pipes, all or none: would a write say Full? Notes what to wait for.
    pub fn refuses(&mut self, parts: &[Part]) -> bool {
        let shape = large::shape(parts);
        let refused = !self.keeps() && self.tx.check(&shape) == Err(Refusal::Credit);
        if refused {
            self.want = Want::Ring;
            self.note_wanted(&shape);
        }
        refused || self.lacks_blocks(parts)
    }

    /// The credit is messages, or bytes if that limit is set.
    fn note_wanted(&mut self, parts: &[Part]) {
        self.wanted = match self.limits.hwm_bytes {
            1.. => (self.tx.bytes_for(parts), MappedTx::elsewhere_for(parts)),
            _ => (0, 0),
        };
    }

    /// Before a write to several pipes, all or none: would a patient write say Soon?
    pub fn rather_waits(&mut self, parts: &[Part]) -> bool {
        let shape = large::shape(parts);
        match self.tx.check(&shape) {
            Err(Refusal::Space { grow }) => {
                self.want = Want::Ring;
                self.waits_for_space(&shape, grow)
            }
            _ => self.waits_for_blocks(parts),
        }
    }

    /// Before a write to several pipes, all or none: sees to it that a write will be done. What a write of large
    /// frames needs in addition, `announce_staged` does.
    pub fn stage(&mut self, parts: &[Part], stats: &mut Stats) -> Write {
        if large::is_large(parts) {
            return self.stage_large(parts, stats);
        }
        if self.keeps() { Write::Done } else { self.make_room(parts, stats) }
    }

    /// Room for these records, in this ring or a larger one.
    pub(super) fn make_room(&mut self, records: &[Part], stats: &mut Stats) -> Write {
        match self.tx.check(records) {
            Ok(()) => Write::Done,
            Err(Refusal::Space { .. }) => {
                self.publish(stats);
                self.want = Want::Ring;
                self.enlarge(records, stats).map_or_else(|refused| refused, |()| Write::Done)
            }
            Err(refusal) => self.refused(refusal, records, How { inline: true, ..AT_ONCE }, stats),
        }
    }

    /// Goes on in a larger ring, and writes.
    fn grow(&mut self, parts: &[Part], shape: &[Part], how: How, stats: &mut Stats) -> Write {
        match self.enlarge(shape, stats) {
            Ok(()) => self.write(parts, how, stats),
            Err(refused) => refused,
        }
    }

    /// Goes on in a larger ring: announces it, jumps.
    fn enlarge(&mut self, shape: &[Part], stats: &mut Stats) -> Result<(), Write> {
        let one = MappedTx::capacity_for(shape);
        // `one` is at least twice the message, so that it fits wherever it begins.
        let wanted = (one / 2 * MESSAGES_PER_RING).min(LARGE_RING_BYTES).max(one);
        let bytes = wanted.max(self.tx.capacity() * 2).min(layout::RING_BYTES_MAX as u64);
        let made = MappedRing::create(bytes as usize);
        let number = self.tx.next_ring();
        let announced = made.map_err(|error| error.to_string()).and_then(|(fd, ring)| {
            let command = handshake::ring(number, bytes as usize);
            self.channel.send(command, &[fd.as_fd()]).map_err(|errno| errno.to_string())?;
            Ok(ring)
        });
        match announced {
            Ok(ring) => {
                self.tx.jump(ring);
                stats.rings_grown += 1;
                self.seen = u64::MAX;
                Ok(())
            }
            // No memory or fd for a larger ring: wait for room in this one, if it can ever have it.
            Err(_) if one <= self.tx.capacity() => {
                self.wanted = (self.tx.bytes_for(shape), MappedTx::elsewhere_for(shape));
                Err(Write::Full)
            }
            Err(why) => Err(Write::Failed(Error::NoMemory(format!("no ring of {bytes} bytes: {why}")))),
        }
    }

    pub fn writable(&mut self) -> bool {
        let writable = match self.tx.refresh() {
            Ok(()) => self.tx.may_write() || (self.keeps() && !self.tx.is_closed()),
            Err(poisoned) => {
                self.end_broken(poisoned);
                false
            }
        };
        if !writable {
            self.want = Want::Ring;
        }
        writable
    }

    /// How long the wait is worth that the last write said to be better (`Write::Soon`).
    pub fn patience(&self) -> Duration {
        if self.want == Want::Half { self.patience } else { Duration::ZERO }
    }

    /// The last refusal was for want of memory or fds, not of room in the ring.
    pub fn is_starved(&self) -> bool {
        matches!(self.want, Want::Memory | Want::Fd)
    }

    /// Arms WAITING. False: something moved, try again.
    pub fn sleep(&mut self) -> bool {
        match self.want {
            Want::Ring => {}
            Want::Half => return self.arena.arm_peer(self.peer_id, true),
            Want::Memory => return self.arena.arm(),
            // Who is starved looks again now and then.
            Want::Fd => return true,
        }
        match self.tx.arm_for(self.wanted.0, self.wanted.1) {
            // One whose reader has closed is left to its session: nothing will move there.
            Ok(arm) => arm == Arm::Armed || self.tx.is_closed(),
            Err(poisoned) => {
                self.end_broken(poisoned);
                true
            }
        }
    }

    pub fn depth(&mut self) -> u64 {
        // A writer without limits seldom asks where its reader is. A poisoned ring is left to its session.
        let _ = self.tx.refresh();
        self.tx.depth() + self.kept.held().len() as u64
    }

    pub fn close(&mut self, stats: &mut Stats) {
        if self.tx.close() {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }

    /// What the dead or departed reader never handed out, oldest first.
    pub fn undelivered(&mut self) -> Undelivered {
        let mut left = Undelivered::default();
        let (arena, reader) = (&self.arena, self.peer_id);
        let mut take = |frames: Vec<Left>| {
            let frames: Option<Vec<Payload>> =
                frames.into_iter().map(|frame| large::payload(arena, reader, frame)).collect();
            if let Some(message) = frames.and_then(Message::from_frames) {
                left.take(Some(message));
            }
        };
        self.tx.undelivered(&mut take);
        while let Some(message) = self.kept.pop_held() {
            left.take(Some(message));
        }
        left
    }

    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Behind what was written so far.
    pub fn position(&self) -> u64 {
        self.tx.position()
    }

    /// Whether the first message, which ends at `end`, is among the undelivered ones.
    pub fn owes_first(&self, end: u64) -> bool {
        self.tx.owes_first(end)
    }

    /// Doorbells rung for the reader, from both halves of the pipe.
    pub fn rung(&self) -> u64 {
        self.peer.rung()
    }

    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for RingOut {
    fn drop(&mut self) {
        self.arena.leave(self.peer_id);
    }
}

/// The reader's side.
pub struct RingIn {
    rx: MappedRx,
    peer: Arc<PeerSignaler>,
    channel: Arc<Channel>,
    /// The peer's large frames, and how their blocks go back.
    borrowed: Borrowed,
    lender: Arc<Lender>,
    /// The connection is gone: what is published is all there will be.
    pub dead: bool,
    /// The connection that it is.
    pub origin: Arc<Origin>,
}

/// What a peek found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Frame,
    Empty,
    Ended,
    Broken,
}

impl RingIn {
    pub fn new(
        words: (MappedControl, MappedRing),
        peer: Arc<PeerSignaler>,
        channel: Arc<Channel>,
        lender: Arc<Lender>,
        credit: u64,
        skips: bool,
        origin: Arc<Origin>,
    ) -> Self {
        let mut rx = Rx::new(words.0, words.1, credit);
        if skips {
            rx.set_skips();
        }
        RingIn { rx, peer, channel, borrowed: Borrowed::default(), lender, dead: false, origin }
    }

    pub fn announce(&mut self, number: u32, ring: MappedRing) {
        self.rx.announce(number, ring);
    }

    /// Doorbells rung for the writer, from both halves of the pipe.
    pub fn rung(&self) -> u64 {
        self.peer.rung()
    }

    /// Our high-water mark was set anew: the writer learns it on the channel.
    pub fn set_rcvhwm(&mut self, rcvhwm: i64) {
        self.rx.set_credit(rcvhwm.max(0) as u64);
        let _ = self.channel.send(handshake::credit(rcvhwm), &[]);
    }

    /// The peer's arena has this segment, or has it no more.
    pub fn lend(&mut self, number: u32, segment: Option<View>) -> Result<(), Nowhere> {
        match segment {
            Some(segment) => self.borrowed.announce(number, segment)?,
            None => self.borrowed.forget(number),
        }
        Ok(())
    }

    /// What stands at the reader's position; blocks of frames that were passed over go back.
    #[inline]
    fn peek(&mut self) -> Result<Next, Poisoned> {
        loop {
            match self.rx.peek() {
                Ok(Next::Passed(described)) => {
                    if self.borrowed.find(described).is_ok() {
                        self.lender.give_back(described.block);
                    }
                }
                Ok(Next::Needs(segment)) if self.borrowed.has(segment) => self.rx.satisfied(),
                Ok(Next::Needs(_)) => return Ok(Next::Stalled),
                next => return next,
            }
        }
    }

    /// A frame of bytes that is at hand; None: there may be something, which `read` knows how to take.
    #[inline(always)]
    pub fn peek_plain(&mut self, maxmsgsize: i64) -> Option<Frame> {
        // With a limit the first of several frames waits until all were looked at.
        let frame = self.rx.peek_plain()?;
        let fits = || frame.len as u64 <= maxmsgsize as u64 && (!frame.more || self.rx.inside_message());
        (maxmsgsize < 0 || fits()).then_some(frame)
    }

    /// Takes that frame.
    ///
    /// # Safety
    /// `to` is writable for `frame.len` bytes; `frame` came from [`Self::peek_plain`], and no read since.
    #[inline(always)]
    pub unsafe fn take_plain(&mut self, frame: Frame, to: *mut u8, stats: &mut Stats) {
        // SAFETY: the caller's word.
        unsafe { self.rx.copy(frame, to) };
        self.consume(frame, stats);
    }

    #[inline]
    pub fn read(&mut self, sink: &mut dyn Sink, maxmsgsize: i64, stats: &mut Stats) -> Read {
        let frame = match self.peek() {
            Ok(Next::Frame(frame)) => frame,
            Ok(Next::Empty) => return if self.dead { Read::Ended } else { Read::Empty },
            Ok(Next::Stalled) if self.dead => return Read::Broken(UNANNOUNCED.to_owned()),
            Ok(Next::Stalled | Next::Passed(_) | Next::Needs(_)) => return Read::Empty,
            Ok(Next::Closed) => return Read::Ended,
            Err(poisoned) => return broken(poisoned),
        };
        if maxmsgsize >= 0
            && !self.rx.inside_message()
            && let Some(refused) = self.refuse(maxmsgsize as u64, stats)
        {
            return refused;
        }
        if frame.described {
            return self.read_large(frame, sink, stats);
        }
        let Some(to) = sink.room(frame.len, frame.more) else { return Read::NoRoom };
        // SAFETY: the sink gave room for `len` bytes; the frame is from the peek above.
        unsafe { self.rx.copy(frame, to) };
        self.consume(frame, stats);
        Read::Frame { more: frame.more, bytes: frame.len as u64 }
    }

    /// A message of which a frame is too long is refused as a whole, before its first frame is handed out.
    #[cold]
    fn refuse(&mut self, maxmsgsize: u64, stats: &mut Stats) -> Option<Read> {
        let mut longest = Ok(0);
        let looked = self.rx.look_ahead(|frame| {
            let bytes = self.place(frame).map(|place| place.map_or(frame.len, |place| place.bytes()));
            if let Ok(so_far) = longest {
                longest = bytes.map(|bytes| bytes.max(so_far));
            }
        });
        match (looked, longest) {
            (Err(poisoned), _) => Some(broken(poisoned)),
            (_, Err(Nowhere(why))) => Some(Read::Broken(why)),
            (_, Ok(longest)) if longest as u64 > maxmsgsize => {
                self.skip_message(stats);
                Some(Read::Broken(format!("frame of {longest} bytes exceeds MAXMSGSIZE {maxmsgsize}")))
            }
            _ => None,
        }
    }

    /// Counted as taken: a message that is sent anew after each connection it broke would end them all.
    fn skip_message(&mut self, stats: &mut Stats) {
        while let Ok(Next::Frame(frame)) = self.peek() {
            if frame.described {
                self.return_block(frame, self.rx.described(frame), stats);
            } else {
                self.consume(frame, stats);
            }
            if !frame.more {
                return;
            }
        }
    }

    /// A frame that lies in a block: handed on as it is, or copied out.
    fn read_large(&mut self, frame: Frame, sink: &mut dyn Sink, stats: &mut Stats) -> Read {
        let described = self.rx.described(frame);
        let place = match self.borrowed.find(described) {
            Ok(place) => place,
            Err(Nowhere(why)) => return Read::Broken(why),
        };
        let len = place.bytes();
        if sink.borrows(len) {
            let may = !described.copy || !sink.keeps();
            if let Some(loan) = may.then(|| place.lend(&self.lender)).flatten() {
                sink.owned(Payload::Loan(Arc::new(loan)), frame.more);
                self.consume(frame, stats);
                return Read::Frame { more: frame.more, bytes: len as u64 };
            }
            stats.loans_copied += u64::from(sink.keeps());
        }
        let Some(to) = sink.room(len, frame.more) else { return Read::NoRoom };
        // SAFETY: the sink gave room for `len` bytes.
        unsafe { place.copy(to, len) };
        self.return_block(frame, described, stats);
        Read::Frame { more: frame.more, bytes: len as u64 }
    }

    fn return_block(&mut self, frame: Frame, described: Described, stats: &mut Stats) {
        // Taken before it is given back: a reader that dies in between has had it.
        self.consume(frame, stats);
        stats.wakeups += u64::from(self.lender.give_back(described.block));
    }

    /// The frame at hand in its block, or None if it lies in the ring.
    fn place(&self, frame: Frame) -> Result<Option<Place<'_>>, Nowhere> {
        if !frame.described {
            return Ok(None);
        }
        self.borrowed.find(self.rx.described(frame)).map(Some)
    }

    /// Reads messages of one frame, at most `max`, as long as there are some; how many. Whatever else is
    /// there is left for `read`.
    pub fn read_run(&mut self, sink: &mut dyn Sink, maxmsgsize: i64, max: usize, stats: &mut Stats) -> usize {
        for taken in 0..max {
            let frame = match self.rx.peek_plain() {
                Some(frame) => frame,
                None => match self.peek() {
                    Ok(Next::Frame(frame)) => frame,
                    _ => return taken,
                },
            };
            let exceeds = maxmsgsize >= 0 && frame.len as u64 > maxmsgsize as u64;
            if frame.more || frame.described || exceeds {
                return taken;
            }
            let Some(to) = sink.room(frame.len, false) else { return taken };
            // SAFETY: the sink gave room for `len` bytes; the frame is from the peek above.
            unsafe { self.rx.copy(frame, to) };
            self.consume(frame, stats);
            stats.bytes_received += frame.len as u64;
        }
        max
    }

    #[inline]
    fn consume(&mut self, frame: Frame, stats: &mut Stats) {
        if self.rx.consume(frame) {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }

    /// The first `most` bytes of the frame at hand, into `to`. False: there is no frame.
    pub fn front(&mut self, most: usize, to: &mut Vec<u8>) -> bool {
        let Ok(Next::Frame(frame)) = self.peek() else { return false };
        match self.place(frame) {
            Ok(None) => {
                to.resize(most.min(frame.len), 0);
                // SAFETY: `to` has that many bytes; the frame is from the peek above.
                unsafe { self.rx.copy_prefix(frame, to.as_mut_ptr(), to.len()) };
            }
            Ok(Some(place)) => {
                to.resize(most.min(place.bytes()), 0);
                // SAFETY: as above, and no more than the place has.
                unsafe { place.copy(to.as_mut_ptr(), to.len()) };
            }
            Err(_) => return false,
        }
        true
    }

    /// The frame at hand, if there is one, stays wanted until it was read (`true`) or may be passed over
    /// again for a newer message (`false`).
    pub fn settle(&mut self, stays: bool) {
        self.rx.settle(stays);
    }

    pub fn state(&mut self) -> State {
        match self.peek() {
            // What a descriptor is worth is seen when it is read.
            Ok(Next::Frame(_)) => State::Frame,
            Ok(Next::Empty) if self.dead => State::Ended,
            Ok(Next::Stalled) if self.dead => State::Broken,
            Ok(Next::Empty | Next::Stalled | Next::Passed(_) | Next::Needs(_)) => State::Empty,
            Ok(Next::Closed) => State::Ended,
            Err(_) => State::Broken,
        }
    }

    #[inline(always)]
    pub fn moved(&self) -> bool {
        self.dead || self.rx.moved()
    }

    pub fn publish(&mut self, stats: &mut Stats) {
        if self.rx.publish() {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }

    /// publishes, then arms ASLEEP. A stalled reader is marked by the announcement instead.
    pub fn sleep(&mut self, stats: &mut Stats) -> bool {
        self.publish(stats);
        match self.peek() {
            Ok(Next::Empty) if !self.dead => self.rx.arm(),
            Ok(Next::Stalled) if !self.dead => true,
            _ => false,
        }
    }

    /// The connection has to end while the writer lives: what was not handed out goes to the next one, in its order.
    pub fn refuse_rest(&mut self, stats: &mut Stats) {
        if self.rx.refuse() {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }

    /// We leave: what has arrived can still be read, what comes later stays the writer's.
    pub fn part(&mut self, stats: &mut Stats) {
        self.dead = true;
        if self.rx.finish(|segment| self.borrowed.has(segment)) {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }

    pub fn close(&mut self, stats: &mut Stats) {
        if self.rx.close() {
            stats.wakeups += u64::from(self.peer.mark());
        }
    }
}
