//! One direction of a pipe: one writer, one reader, a byte ring that may move to a larger ring.
//!
//! **Theory of operation.** The writer copies the records of a whole message behind its private
//! position `w` and then publishes them by one swap of the index word W. The reader loads W only when
//! it has used up what it saw last, copies records out, and publishes its own position R in batches.
//! Each index word also carries the *other* side's sleep bit, so a sleep decision and the publish it
//! races with are read-modify-writes of one word:
//!
//! ```text
//! writer  write records; old = W.swap(w)          old.ASLEEP  -> caller marks the reader's socket ready
//! reader  dry: publish R;  CAS(W, seen, seen|ASLEEP)   fails  -> there is something after all
//! writer  no room: thresholds; CAS(R, seen, seen|WAITING) fails -> there is room after all
//! reader  publish: thresholds met ? old = R.swap(r) : CAS(R, seen, r|WAITING)
//!                                                  old.WAITING -> caller marks the writer's socket ready
//! writer  no room, credit left, reader stands still: JUMP record, then on in a new, larger ring
//! ```
//!
//! Invariants (each with its test in `tests/`)
//! - R-1 A position is advanced by its owner only and lives in the owner's private memory; the shared
//!   copy is for the other side.
//! - R-2 All bytes of a message are written before the swap of W that covers them: a reader sees all of
//!   a message or nothing, and a writer that dies leaves nothing behind W.
//! - R-3 The writer writes no byte that the reader has not released by R (or that lies in another ring).
//! - R-4 A reader arms ASLEEP only after R says all it has read; thresholds never exceed what a dry
//!   reader has published: the two waits cannot wait for each other.
//! - R-5 JUMP is written between messages, so a message lies in one ring.
//! - R-6 What the peer wrote is loaded once, checked, and only the checked copy is used. A value that
//!   cannot be is [`Poisoned`]: the connection is of no more use, and nothing else is.
//! - R-7 `delivered` passes a message when its first frame is handed out, or when a reader that leaves
//!   takes possession of it (`Rx::finish`; `Rx::refuse` only of what is begun). After the reader's death or departure,
//!   every message beyond it has been handed to nobody and will be by nobody here.
//! - R-8 A reader that may skip passes over whole messages that begin before `skip` and over no other.
//!   The writer raises `skip` only to the beginning or end of a message of its own, and publishes what
//!   takes the place of the others before, so a writer that dies in between has dropped nothing. The
//!   word is a hint: read late, it lets an old message through. A message that the reader has settled on
//!   (`Rx::settle`: its routing id was handed out, its topic was matched) is not passed over either, nor
//!   is one after a reader passed over all there was: a fast writer would let it never have any.
//!
//! This file does not know what a socket is, how a sleeper is woken, or where the memory comes from.

use std::collections::VecDeque;

use crate::layout::{
    ALIGN, ASLEEP, CLOSED, DESC, DESC_BYTES, FLAG_BITS, HEADER_BYTES, JUMP, JUMP_BYTES, JUMP_RESERVE,
    LENGTH_BITS, MORE, NEEDS, PAD, RECORD_FLAGS, SEQ_SHIFT, VALID, WAITING, record_bytes,
};
pub use crate::part::{Described, Descriptor, Left, Part};
use crate::sync::{Ordering, Word};

/// The shared words of one direction.
pub trait Control {
    type Word: Word;
    /// Write position, ASLEEP, CLOSED. Position and CLOSED by the writer, ASLEEP by the reader.
    fn w(&self) -> &Self::Word;
    /// Read position, WAITING, CLOSED. Position and CLOSED by the reader, WAITING by the writer.
    fn r(&self) -> &Self::Word;
    /// Messages read so far. By the reader, before the R that covers them.
    fn msgs_read(&self) -> &Self::Word;
    /// Position behind the first frame of the last message handed out. By the reader.
    fn delivered(&self) -> &Self::Word;
    /// A waiting writer wants R to reach this. By the writer, before it sets WAITING.
    fn space_wake_at(&self) -> &Self::Word;
    /// A waiting writer wants this many messages read. By the writer, before it sets WAITING.
    fn msgs_wake_at(&self) -> &Self::Word;
    /// Messages that begin before this position are no longer wanted. By the writer.
    fn skip(&self) -> &Self::Word;
    /// The ordering of every swap and CAS of W and R. A constant so that a negative test can weaken it.
    const ORDER: Ordering = Ordering::AcqRel;
}

/// The bytes of one ring. Offsets are below `capacity`, ranges end at or below it: callers see to that.
pub trait Bytes {
    /// A power of two.
    fn capacity(&self) -> u64;
    fn load_header(&self, offset: u64) -> u64;
    fn store_header(&self, offset: u64, header: u64);
    /// # Safety
    /// `from` is readable for `len` bytes; `offset + len <= capacity`.
    unsafe fn put(&self, offset: u64, from: *const u8, len: usize);
    /// # Safety
    /// `to` is writable for `len` bytes; `offset + len <= capacity`.
    unsafe fn get(&self, offset: u64, to: *mut u8, len: usize);
}

/// The shared memory holds what a correct peer cannot have written; the text says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Poisoned {
    #[error("peer's position {theirs} is not in [{low}, {high}]")]
    Position { theirs: u64, low: u64, high: u64 },
    #[error("peer says {theirs} messages were read, of {sent} sent and {known} known to be read")]
    Count { theirs: u64, sent: u64, known: u64 },
    #[error("record header {header:#018x} at position {position} is not one")]
    Header { header: u64, position: u64 },
    #[error("record of {bytes} bytes at position {position} is longer than the {room} bytes there")]
    Length { bytes: u64, position: u64, room: u64 },
}

/// More than any ring holds: the extent of a message with a part that no header can describe.
const TOO_LONG: u64 = 1 << 62;

/// Why a message was not written. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As many messages are under way as both high-water marks allow.
    Credit,
    /// The ring has no room now; `grow` says that no emptier ring of this size is sure to have it.
    Space {
        grow: bool,
    },
    /// The reader has closed its end.
    Closed,
    /// A part is longer than a record's header can say; no ring will ever take it.
    Length,
    Poisoned(Poisoned),
}

impl From<Poisoned> for Refusal {
    fn from(poisoned: Poisoned) -> Self {
        Refusal::Poisoned(poisoned)
    }
}

/// What [`Tx::arm`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The bit is set: the other side will mark us.
    Armed,
    /// The other side moved meanwhile: look again.
    Moved,
}

/// An older ring that the reader may still be in: positions `[base, end)`.
struct Retired<B> {
    ring: B,
    base: u64,
    end: u64,
}

/// The writer's end.
pub struct Tx<C, B> {
    control: C,
    ring: B,
    /// Position at which the current ring began. Multiple of 8; offset = (position - base) & mask.
    base: u64,
    w: u64,
    /// The reader's position as last checked.
    r: u64,
    seq: u16,
    /// Messages that may be under way; 0 is no limit.
    credit: u64,
    /// Bytes that may be under way; a message that finds nothing under way may be larger.
    bytes_max: u64,
    /// Bytes of frames under way that are not in the ring: the position behind their message, and how
    /// many. As far as somebody wants them counted.
    elsewhere: VecDeque<(u64, u64)>,
    elsewhere_bytes: u64,
    /// Of all messages so far.
    elsewhere_sent: u64,
    /// As in the control word (R-8).
    skip: u64,
    sent: u64,
    read: u64,
    retired: VecDeque<Retired<B>>,
    jumps: u32,
    closed_by_reader: bool,
}

impl<C: Control, B: Bytes> Tx<C, B> {
    pub fn new(control: C, ring: B, credit: u64) -> Self {
        Tx {
            control,
            ring,
            base: 0,
            w: 0,
            r: 0,
            seq: 0,
            credit,
            bytes_max: u64::MAX,
            elsewhere: VecDeque::new(),
            elsewhere_bytes: 0,
            elsewhere_sent: 0,
            skip: 0,
            sent: 0,
            read: 0,
            retired: VecDeque::new(),
            jumps: 0,
            closed_by_reader: false,
        }
    }

    /// Bytes of the current ring.
    pub fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// Messages written and not known to be read.
    pub fn depth(&self) -> u64 {
        self.sent - self.read
    }

    /// True if the first message, which ends at `end`, is one of those that `undelivered` gives.
    pub fn owes_first(&self, end: u64) -> bool {
        self.skip == 0 && self.control.delivered().load(Ordering::Acquire) < end
    }

    pub fn set_credit(&mut self, credit: u64) {
        self.credit = credit;
    }

    /// 0: no limit.
    pub fn set_bytes_max(&mut self, bytes: u64) {
        self.bytes_max = if bytes == 0 { u64::MAX } else { bytes };
    }

    /// Behind the last message that was put.
    pub fn position(&self) -> u64 {
        self.w
    }

    /// Bytes sent so far, in the ring and elsewhere.
    pub fn volume(&self) -> u64 {
        self.w + self.elsewhere_sent
    }

    /// So many bytes of the message that was put last lie elsewhere, and count as under way with it.
    pub fn note_elsewhere(&mut self, bytes: u64) {
        self.elsewhere.push_back((self.w, bytes));
        self.elsewhere_bytes += bytes;
        self.elsewhere_sent += bytes;
    }

    /// Every message that begins before `position` is no longer wanted (R-8). Whatever takes their place
    /// was published before, or nothing does.
    pub fn skip_before(&mut self, position: u64) {
        self.skip = self.skip.max(position);
        // SYNC R-8: nothing is ordered by it; the reader may see it late.
        self.control.skip().store(self.skip, Ordering::Relaxed);
    }

    /// Where the reader says it is, unchecked: only to see whether it moves.
    pub fn reader_position(&self) -> u64 {
        self.control.r().load(Ordering::Relaxed) & !FLAG_BITS
    }

    /// Room for frames in the current ring by what was last seen of the reader.
    #[inline(always)]
    fn room(&self) -> u64 {
        self.ring.capacity() - (self.w - self.r.max(self.base))
    }

    #[inline(always)]
    fn has_credit(&self) -> bool {
        self.credit == 0 || self.sent - self.read < self.credit
    }

    #[inline(always)]
    fn has_bytes(&self, bytes: u64) -> bool {
        let under_way = self.w - self.r + self.elsewhere_bytes;
        bytes <= self.bytes_max.saturating_sub(under_way) || under_way == 0
    }

    /// The same for a message.
    #[inline(always)]
    fn has_bytes_for(&self, parts: &[Part], extent: u64) -> bool {
        self.bytes_max == u64::MAX || self.has_bytes(extent.saturating_add(Self::elsewhere_for(parts)))
    }

    /// Bytes of `parts` that a ring does not carry.
    pub fn elsewhere_for(parts: &[Part]) -> u64 {
        parts.iter().map(Part::elsewhere).sum()
    }

    /// True if one more message may go under way by what was last seen of an open reader.
    pub fn may_write(&self) -> bool {
        self.has_credit() && self.has_bytes(HEADER_BYTES) && !self.closed_by_reader
    }

    /// True if the reader was seen to have closed its end.
    pub fn is_closed(&self) -> bool {
        self.closed_by_reader
    }

    /// Loads and checks what the reader published.
    pub fn refresh(&mut self) -> Result<(), Poisoned> {
        // SYNC R-3, pairs with the swap in `Rx::publish`: bytes before this position are free to use.
        let seen = self.control.r().load(Ordering::Acquire);
        let theirs = seen & !FLAG_BITS;
        let foreign = seen & FLAG_BITS & !(WAITING | CLOSED);
        if theirs < self.r || theirs > self.w || foreign != 0 {
            return Err(Poisoned::Position { theirs: seen, low: self.r, high: self.w });
        }
        let read = self.control.msgs_read().load(Ordering::Relaxed);
        if read < self.read || read > self.sent {
            return Err(Poisoned::Count { theirs: read, sent: self.sent, known: self.read });
        }
        self.r = theirs;
        self.read = read;
        self.closed_by_reader = seen & CLOSED != 0;
        while self.retired.front().is_some_and(|old| old.end <= theirs) {
            self.retired.pop_front();
        }
        while let Some((end, bytes)) = self.elsewhere.front().copied()
            && end <= theirs
        {
            self.elsewhere.pop_front();
            self.elsewhere_bytes -= bytes;
        }
        Ok(())
    }

    /// Bytes that `parts` take from position `at` on, filler included.
    #[inline(always)]
    fn extent(&self, parts: &[Part]) -> u64 {
        let mask = self.ring.capacity() - 1;
        let mut at = self.w - self.base;
        for part in parts {
            if part.len as u64 > LENGTH_BITS {
                return TOO_LONG;
            }
            let bytes = record_bytes(part.len as u64);
            let room = self.ring.capacity() - (at & mask);
            at += if bytes > room { room + bytes } else { bytes };
        }
        at - (self.w - self.base)
    }

    /// The smallest ring that holds `parts` wherever they begin.
    pub fn capacity_for(parts: &[Part]) -> u64 {
        let bytes = parts.iter().map(|part| record_bytes(part.len as u64));
        let longest = bytes.clone().max().unwrap_or(0);
        (bytes.sum::<u64>() + longest + JUMP_RESERVE).next_power_of_two()
    }

    /// Writes and publishes one whole message. True: the reader's socket must be marked ready.
    #[inline]
    pub fn write(&mut self, parts: &[Part]) -> Result<bool, Refusal> {
        self.put(parts)?;
        Ok(self.publish())
    }

    /// Writes one whole message without publishing it (R-2: a burst may share one publish). Without
    /// parts there is no message, and nothing is written.
    #[inline]
    pub fn put(&mut self, parts: &[Part]) -> Result<(), Refusal> {
        self.check(parts)?;
        let Some((last, before)) = parts.split_last() else { return Ok(()) };
        for part in before {
            self.record(part.flags() | MORE, part.at, part.len);
        }
        self.record(last.flags(), last.at, last.len);
        self.sent += 1;
        Ok(())
    }

    /// Would [`Self::put`] take the message?
    #[inline(always)]
    pub fn check(&mut self, parts: &[Part]) -> Result<(), Refusal> {
        let extent = self.extent(parts);
        if !self.has_credit()
            || extent + JUMP_RESERVE > self.room()
            || self.closed_by_reader
            || !self.has_bytes_for(parts, extent)
        {
            self.admit(parts, extent)?;
        }
        Ok(())
    }

    /// [`Self::put`] of one frame of bytes where nothing stands in its way by what was last seen of the
    /// reader. False: nothing happened, and `put` knows what there is to do.
    #[inline(always)]
    pub fn put_plain(&mut self, part: &Part) -> bool {
        let Part { at, len, .. } = *part;
        let capacity = self.ring.capacity();
        let offset = (self.w - self.base) & (capacity - 1);
        let bytes = record_bytes(len as u64);
        let plain = len as u64 <= LENGTH_BITS
            && bytes <= capacity - offset
            && bytes + JUMP_RESERVE <= self.room()
            && self.has_credit()
            && !self.closed_by_reader
            && self.bytes_max == u64::MAX;
        if plain {
            // SAFETY: the caller keeps `len` bytes readable; offset + bytes <= capacity by the lines above.
            unsafe { self.ring.put(offset + HEADER_BYTES, at, len) };
            self.header(offset, part.flags(), len as u64);
            self.w += bytes;
            self.sent += 1;
        }
        plain
    }

    /// Puts one-frame messages until one is refused or has more than `most` bytes; how many, and their bytes.
    #[inline]
    pub fn put_run(&mut self, run: &[Part], most: usize) -> (usize, u64) {
        let mut bytes = 0;
        for (index, part) in run.iter().enumerate() {
            let put =
                part.len <= most && (self.put_plain(part) || self.put(std::slice::from_ref(part)).is_ok());
            if !put {
                return (index, bytes);
            }
            bytes += part.len as u64;
        }
        (run.len(), bytes)
    }

    /// The slow half of `check`: asks the reader's word before it refuses.
    #[cold]
    fn admit(&mut self, parts: &[Part], extent: u64) -> Result<(), Refusal> {
        self.refresh()?;
        if self.closed_by_reader {
            return Err(Refusal::Closed);
        }
        if extent == TOO_LONG {
            return Err(Refusal::Length);
        }
        if !self.has_credit() || !self.has_bytes_for(parts, extent) {
            return Err(Refusal::Credit);
        }
        if extent + JUMP_RESERVE > self.room() {
            let grow = Self::capacity_for(parts) > self.ring.capacity();
            return Err(Refusal::Space { grow });
        }
        Ok(())
    }

    /// Copies one record behind `w`, filler first if it would cross the ring's end. Room was checked.
    #[inline(always)]
    fn record(&mut self, flags: u64, from: *const u8, len: usize) {
        let capacity = self.ring.capacity();
        let bytes = record_bytes(len as u64);
        let mut offset = (self.w - self.base) & (capacity - 1);
        let room = capacity - offset;
        if bytes > room {
            self.header(offset, VALID | PAD, room - HEADER_BYTES);
            self.w += room;
            offset = 0;
        }
        // SAFETY: the caller keeps `len` bytes readable; offset + bytes <= capacity by the lines above.
        unsafe { self.ring.put(offset + HEADER_BYTES, from, len) };
        self.header(offset, flags, len as u64);
        self.w += bytes;
    }

    #[inline(always)]
    fn header(&mut self, offset: u64, flags: u64, len: u64) {
        let header = flags | (len & LENGTH_BITS) | (u64::from(self.seq) << SEQ_SHIFT);
        self.ring.store_header(offset, header);
        self.seq = self.seq.wrapping_add(1);
    }

    /// Makes all that was put visible. True: the reader's socket must be marked ready.
    #[inline(always)]
    pub fn publish(&mut self) -> bool {
        // SYNC R-2, pairs with the load in `Rx::peek` and the CAS in `Rx::arm`.
        // Dying before this swap leaves nothing visible of what was put.
        self.control.w().swap(self.w, C::ORDER) & ASLEEP != 0
    }

    /// The number that the next JUMP will name; its segment is announced under it beforehand.
    pub fn next_ring(&self) -> u32 {
        self.jumps + 1
    }

    /// Leaves the current ring for `ring`, which the reader gets under [`Self::next_ring`]'s number.
    /// Visible with the next publish.
    pub fn jump(&mut self, ring: B) {
        self.jumps += 1;
        let number = u64::from(self.jumps).to_le_bytes();
        // JUMP_RESERVE bytes are always left for this record and its filler.
        self.record(VALID | JUMP, number.as_ptr(), JUMP_BYTES as usize);
        let old = std::mem::replace(&mut self.ring, ring);
        self.retired.push_back(Retired { ring: old, base: self.base, end: self.w });
        self.base = self.w;
    }

    /// Asks to be marked once `parts` fit and half the credit is back. Call after [`Self::publish`]: the
    /// thresholds count what was put, and a reader cannot read what it does not see (R-4).
    pub fn arm(&mut self, parts_bytes: u64) -> Result<Arm, Poisoned> {
        self.arm_for(parts_bytes, 0)
    }

    /// The same for parts of which so many more bytes lie elsewhere.
    pub fn arm_for(&mut self, parts_bytes: u64, elsewhere: u64) -> Result<Arm, Poisoned> {
        // Withdraw an older wish first: the reader must not decide by its thresholds any more.
        self.control.r().fetch_and(!WAITING, C::ORDER);
        self.refresh()?;
        if self.closed_by_reader {
            return Ok(Arm::Moved);
        }
        let capacity = self.ring.capacity();
        let space = if parts_bytes + JUMP_RESERVE > self.room() {
            let enough = (self.w + parts_bytes + JUMP_RESERVE).saturating_sub(capacity);
            enough.max(self.w.saturating_sub(capacity / 2)).min(self.w)
        } else {
            0
        };
        // Even the smallest message has a header: as `may_write` asks.
        let least = parts_bytes.max(HEADER_BYTES).saturating_add(elsewhere);
        let space = if self.has_bytes(least) {
            space
        } else {
            let left = self.bytes_max.saturating_sub(least).min(self.bytes_max / 2);
            space.max(self.position_with(left))
        };
        let msgs = if self.has_credit() { 0 } else { self.sent - self.credit / 2 };
        if space == 0 && msgs == 0 {
            return Ok(Arm::Moved);
        }
        self.control.space_wake_at().store(space, Ordering::Relaxed);
        self.control.msgs_wake_at().store(msgs, Ordering::Relaxed);
        // SYNC R-4, pairs with the swap or CAS in `Rx::publish`; the thresholds go with it.
        let armed = self.control.r().compare_exchange(self.r, self.r | WAITING, C::ORDER, Ordering::Acquire);
        Ok(if armed.is_ok() { Arm::Armed } else { Arm::Moved })
    }

    /// The first position of the reader at which at most `left` bytes are under way.
    fn position_with(&self, left: u64) -> u64 {
        let (mut passed, mut elsewhere) = (self.r, self.elsewhere_bytes);
        for (end, bytes) in &self.elsewhere {
            let position = (self.w + elsewhere).saturating_sub(left).max(passed);
            if position < *end {
                return position;
            }
            (passed, elsewhere) = (*end, elsewhere - bytes);
        }
        (self.w + elsewhere).saturating_sub(left).max(passed).min(self.w)
    }

    /// Says between two messages that what follows lies in an announced segment. Room for a part of
    /// JUMP_BYTES before the parts of the next message was checked.
    pub fn need(&mut self, segment: u32) {
        let number = u64::from(segment).to_le_bytes();
        self.record(VALID | NEEDS, number.as_ptr(), JUMP_BYTES as usize);
    }

    /// Bytes that `parts` would take now, filler included; for [`Self::arm`].
    pub fn bytes_for(&self, parts: &[Part]) -> u64 {
        self.extent(parts)
    }

    /// Says that nothing more will come. True: the reader's socket must be marked ready.
    pub fn close(&mut self) -> bool {
        self.control.w().swap(self.w | CLOSED, C::ORDER) & ASLEEP != 0
    }

    /// Hands every message that the reader never handed out to `take`, in order (R-7). The reader is
    /// gone or has closed. Stops at the first record that is not one.
    pub fn undelivered(&mut self, mut take: impl FnMut(Vec<Left>)) {
        // A poisoned position cannot be used; the last good one may give a message again that was
        // delivered. The connection was to be closed for it before.
        let _ = self.refresh();
        let delivered = self.control.delivered().load(Ordering::Acquire);
        let rings = self.retired.iter().map(|old| (&old.ring, old.base, old.end));
        let rings: Vec<_> = rings.chain([(&self.ring, self.base, self.w)]).collect();
        let mut message = Vec::new();
        let mut wanted = false;
        for (ring, base, end) in rings {
            let mut position = self.r.max(base);
            while position < end {
                let offset = (position - base) & (ring.capacity() - 1);
                let Ok(record) =
                    Record::check(ring.load_header(offset), position, offset, ring.capacity(), end)
                else {
                    return;
                };
                position += record.bytes;
                if record.flags & (PAD | JUMP) != 0 {
                    continue;
                }
                if message.is_empty() {
                    wanted = position > delivered && position - record.bytes >= self.skip;
                }
                let mut frame = vec![0; record.len as usize];
                // SAFETY: `frame` has that many bytes; `check` saw that the range is inside the ring.
                unsafe { ring.get(offset + HEADER_BYTES, frame.as_mut_ptr(), frame.len()) };
                message.push(Left::of(frame, record.flags & DESC != 0));
                if record.flags & MORE == 0 {
                    let whole = std::mem::take(&mut message);
                    if wanted {
                        take(whole);
                    }
                }
            }
        }
    }
}

/// A checked header.
#[derive(Debug, Clone, Copy)]
struct Record {
    flags: u64,
    len: u64,
    /// Bytes to the next record.
    bytes: u64,
    seq: u16,
}

impl Record {
    #[inline(always)]
    fn check(header: u64, position: u64, offset: u64, capacity: u64, end: u64) -> Result<Record, Poisoned> {
        let len = header & LENGTH_BITS;
        let flags = header & RECORD_FLAGS;
        let known = RECORD_FLAGS | LENGTH_BITS | (0xffff << SEQ_SHIFT);
        if header & VALID == 0 || header & !known != 0 {
            return Err(Poisoned::Header { header, position });
        }
        if flags & DESC != 0 && flags & JUMP == 0 && (len != DESC_BYTES || flags & PAD != 0) {
            return Err(Poisoned::Header { header, position });
        }
        let bytes = record_bytes(len);
        let room = (capacity - offset).min(end - position);
        if bytes > room {
            return Err(Poisoned::Length { bytes, position, room });
        }
        Ok(Record { flags, len, bytes, seq: (header >> SEQ_SHIFT) as u16 })
    }
}

/// The payload of a JUMP or NEEDS record that `Record::check` passed; None: it has another length.
fn number(ring: &impl Bytes, offset: u64, len: u64) -> Option<u64> {
    let mut number = [0u8; JUMP_BYTES as usize];
    if len != JUMP_BYTES {
        return None;
    }
    // SAFETY: `check` saw that JUMP_BYTES bytes lie behind the header inside the ring.
    unsafe { ring.get(offset + HEADER_BYTES, number.as_mut_ptr(), number.len()) };
    Some(u64::from_le_bytes(number))
}

/// What stands at the reader's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Frame(Frame),
    /// A frame that names a block was passed over as unwanted (R-8): the block is to be given back.
    Passed(Described),
    /// The messages behind it lie in that segment: once it is there, `Rx::satisfied`.
    Needs(u32),
    /// Nothing published.
    Empty,
    /// The writer went on in a ring that was not yet given to [`Rx::announce`].
    Stalled,
    /// Nothing published, and the writer says that nothing will be.
    Closed,
}

/// A frame in the ring; valid until it is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the record's payload: of the frame, or of its descriptor.
    pub len: usize,
    pub more: bool,
    /// The payload is a descriptor.
    pub described: bool,
    offset: u64,
    bytes: u64,
}

/// The reader's end.
pub struct Rx<C, B> {
    control: C,
    ring: B,
    base: u64,
    r: u64,
    /// W as last loaded, flags included.
    w: u64,
    published: u64,
    msgs: u64,
    msgs_published: u64,
    /// R is published after this many messages, so that a blocked writer hears of credit in time.
    batch: u64,
    seq: u16,
    /// True between the first and the last frame of a message.
    inside: bool,
    announced: VecDeque<(u32, B)>,
    /// Nothing beyond `w` will be read, and the writer knows.
    finished: bool,
    /// The writer may raise `skip` (R-8).
    skips: bool,
    /// In the middle of a message that is being passed over.
    passing: bool,
    /// The message that begins here is not passed over any more.
    settled: u64,
    /// Messages were passed over since one was handed out; and then there was nothing else.
    passed: bool,
    starved: bool,
}

impl<C: Control, B: Bytes> Rx<C, B> {
    pub fn new(control: C, ring: B, credit: u64) -> Self {
        Rx {
            control,
            ring,
            base: 0,
            r: 0,
            w: 0,
            published: 0,
            msgs: 0,
            msgs_published: 0,
            batch: Self::batch(credit),
            seq: 0,
            inside: false,
            announced: VecDeque::new(),
            finished: false,
            skips: false,
            passing: false,
            settled: u64::MAX,
            passed: false,
            starved: false,
        }
    }

    /// The writer keeps only some of its messages: `skip` is looked at from now on.
    pub fn set_skips(&mut self) {
        self.skips = true;
    }

    /// The caller has decided for the message at the reader's position, and relies on finding it there
    /// until it is read, or (`false`) does not any more.
    pub fn settle(&mut self, stays: bool) {
        self.settled = if stays { self.r } else { u64::MAX };
    }

    fn batch(credit: u64) -> u64 {
        if credit == 0 { 256 } else { (credit / 8).clamp(1, 256) }
    }

    pub fn set_credit(&mut self, credit: u64) {
        self.batch = Self::batch(credit);
    }

    /// True between the first and the last frame of a message.
    pub fn inside_message(&self) -> bool {
        self.inside
    }

    /// The ring that a JUMP of this number leads to. Announcements come in order.
    pub fn announce(&mut self, number: u32, ring: B) {
        self.announced.push_back((number, ring));
    }

    /// True if a load of W would find more than was seen. For spinning: touches nothing else.
    #[inline(always)]
    pub fn moved(&self) -> bool {
        self.r != self.w & !FLAG_BITS
            || self.control.w().load(Ordering::Relaxed) & !ASLEEP != self.w & !ASLEEP
    }

    /// [`Self::peek`] where a frame of bytes is next and there is nothing else to see to. None: nothing was
    /// moved, and `peek` knows what is there.
    #[inline(always)]
    pub fn peek_plain(&mut self) -> Option<Frame> {
        if self.skips {
            return None;
        }
        if self.r == self.w & !FLAG_BITS {
            // SYNC R-2, pairs with the swap in `Tx::publish`.
            let seen = self.control.w().load(Ordering::Acquire);
            // Position and flags at once: what `peek` refuses or calls empty is not taken here.
            if self.finished || seen < self.r + ALIGN || seen & FLAG_BITS & !(ASLEEP | CLOSED) != 0 {
                return None;
            }
            self.w = seen;
        }
        let capacity = self.ring.capacity();
        let offset = (self.r - self.base) & (capacity - 1);
        let header = self.ring.load_header(offset);
        let len = header & LENGTH_BITS;
        let bytes = record_bytes(len);
        // `Record::check`, for the one kind of record.
        let expected = VALID | u64::from(self.seq) << SEQ_SHIFT;
        let room = (capacity - offset).min((self.w & !FLAG_BITS) - self.r);
        if header & !(LENGTH_BITS | MORE) != expected || bytes > room {
            return None;
        }
        let more = header & MORE != 0;
        Some(Frame { len: len as usize, more, described: false, offset: offset + HEADER_BYTES, bytes })
    }

    /// The frame at the reader's position, if there is one. Changes nothing that the writer sees.
    #[inline]
    pub fn peek(&mut self) -> Result<Next, Poisoned> {
        loop {
            if self.r == self.w & !FLAG_BITS {
                if self.finished {
                    return Ok(Next::Closed);
                }
                // SYNC R-2, pairs with the swap in `Tx::publish`.
                let seen = self.control.w().load(Ordering::Acquire);
                let theirs = seen & !FLAG_BITS;
                // R-2: W stands behind a whole message, so it cannot end inside the one being read.
                let low = self.r + if self.inside { ALIGN } else { 0 };
                if theirs < low || seen & FLAG_BITS & !(ASLEEP | CLOSED) != 0 {
                    return Err(Poisoned::Position { theirs: seen, low, high: u64::MAX });
                }
                self.w = seen;
                if theirs == self.r {
                    self.starved |= self.passed;
                    return Ok(if seen & CLOSED != 0 { Next::Closed } else { Next::Empty });
                }
            }
            let capacity = self.ring.capacity();
            let offset = (self.r - self.base) & (capacity - 1);
            let header = self.ring.load_header(offset);
            let record = Record::check(header, self.r, offset, capacity, self.w & !FLAG_BITS)?;
            if record.seq != self.seq {
                return Err(Poisoned::Header { header, position: self.r });
            }
            if record.flags & (PAD | JUMP) == 0 {
                let frame = Frame {
                    len: record.len as usize,
                    more: record.flags & MORE != 0,
                    described: record.flags & DESC != 0,
                    offset: offset + HEADER_BYTES,
                    bytes: record.bytes,
                };
                if self.skips && self.is_unwanted() {
                    self.passing = frame.more;
                    self.passed = true;
                    let passed = frame.described.then(|| self.described(frame));
                    self.advance(frame);
                    self.check_run()?;
                    match passed {
                        Some(passed) => return Ok(Next::Passed(passed)),
                        None => continue,
                    }
                }
                return Ok(Next::Frame(frame));
            }
            // Filler leads from somewhere to the ring's end, so two never follow each other: whatever a
            // peer writes, this loop takes one filler and the announced jumps.
            if record.flags == VALID | NEEDS {
                self.check_run()?;
                return Ok(Next::Needs(self.number(header, offset, record.len)? as u32));
            }
            let filler = record.flags == VALID | PAD && offset != 0 && offset + record.bytes == capacity;
            if !filler && record.flags != VALID | JUMP {
                return Err(Poisoned::Header { header, position: self.r });
            }
            if !filler && !self.follow(header, offset, record.len)? {
                return Ok(Next::Stalled);
            }
            self.r += record.bytes;
            self.seq = self.seq.wrapping_add(1);
            if record.flags & JUMP != 0 {
                self.base = self.r;
            }
        }
    }

    /// Shows every frame of the message whose first frame the last [`Self::peek`] found; changes nothing. It is all
    /// there (R-2), in one ring, without a jump. They may be read (`described`) but not consumed.
    #[cold]
    pub fn look_ahead(&self, mut show: impl FnMut(Frame)) -> Result<(), Poisoned> {
        let capacity = self.ring.capacity();
        // R-3: nor does a peer that lets its ring begin anew keep the reader.
        let end = (self.w & !FLAG_BITS).min(self.published.max(self.base) + capacity);
        let (mut position, mut seq) = (self.r, self.seq);
        loop {
            if position >= end {
                return Err(Poisoned::Position { theirs: self.w, low: position + ALIGN, high: u64::MAX });
            }
            let offset = (position - self.base) & (capacity - 1);
            let header = self.ring.load_header(offset);
            let record = Record::check(header, position, offset, capacity, end)?;
            let filler = record.flags == VALID | PAD && offset != 0 && offset + record.bytes == capacity;
            if record.seq != seq || (record.flags & (PAD | JUMP) != 0 && !filler) {
                return Err(Poisoned::Header { header, position });
            }
            let more = record.flags & MORE != 0;
            if !filler {
                let described = record.flags & DESC != 0;
                let (len, offset) = (record.len as usize, offset + HEADER_BYTES);
                show(Frame { len, more, described, offset, bytes: record.bytes });
                if !more {
                    return Ok(());
                }
            }
            position += record.bytes;
            seq = seq.wrapping_add(1);
        }
    }

    /// R-3: what was not given back yet fits into the ring. Asked where records lead to nothing that the
    /// caller could take: a peer that lets its ring begin anew would keep the reader for ever.
    #[cold]
    fn check_run(&self) -> Result<(), Poisoned> {
        let high = self.published.max(self.base) + self.ring.capacity();
        let ran = self.r > high;
        if ran { Err(Poisoned::Position { theirs: self.w, low: self.r, high }) } else { Ok(()) }
    }

    /// Moves to the announced ring that the JUMP record names; false if it has not come yet.
    #[cold]
    fn follow(&mut self, header: u64, offset: u64, len: u64) -> Result<bool, Poisoned> {
        let number = self.number(header, offset, len)?;
        match self.announced.front() {
            None => Ok(false),
            Some((announced, _)) if u64::from(*announced) != number => {
                Err(Poisoned::Header { header, position: self.r })
            }
            Some(_) => {
                if let Some((_, ring)) = self.announced.pop_front() {
                    self.ring = ring;
                }
                Ok(true)
            }
        }
    }

    /// What a frame's descriptor says. `frame` came from the last [`Self::peek`] and is one.
    pub fn described(&self, frame: Frame) -> Described {
        let mut descriptor = Descriptor::default();
        // SAFETY: `check` saw that a DESC record has as many bytes as a descriptor and lies inside the ring.
        unsafe { self.ring.get(frame.offset, descriptor.at_mut(), frame.len.min(DESC_BYTES as usize)) };
        descriptor.decode()
    }

    /// The payload of a JUMP or NEEDS record.
    fn number(&self, header: u64, offset: u64, len: u64) -> Result<u64, Poisoned> {
        let found = if self.inside { None } else { number(&self.ring, offset, len) };
        found.ok_or(Poisoned::Header { header, position: self.r })
    }

    /// The segment that [`Self::peek`] found to be needed is there.
    pub fn satisfied(&mut self) {
        self.r += record_bytes(JUMP_BYTES);
        self.seq = self.seq.wrapping_add(1);
    }

    /// Copies the frame's bytes out.
    ///
    /// # Safety
    /// `to` is writable for `frame.len` bytes; `frame` came from the last [`Self::peek`].
    #[inline(always)]
    pub unsafe fn copy(&self, frame: Frame, to: *mut u8) {
        // SAFETY: `peek` checked that the range lies inside the ring.
        unsafe { self.ring.get(frame.offset, to, frame.len) };
    }

    /// Copies the first `len` bytes of the frame out, without consuming anything.
    ///
    /// # Safety
    /// `to` is writable for `len` bytes; `frame` came from the last [`Self::peek`].
    pub unsafe fn copy_prefix(&self, frame: Frame, to: *mut u8, len: usize) {
        // SAFETY: `peek` checked that the whole frame lies inside the ring.
        unsafe { self.ring.get(frame.offset, to, len.min(frame.len)) };
    }

    /// Gives the frame's room back. True: the writer's socket must be marked ready.
    #[inline]
    pub fn consume(&mut self, frame: Frame) -> bool {
        if self.skips {
            (self.passed, self.starved) = (false, false);
        }
        self.advance(frame);
        if frame.more {
            return false;
        }
        let due = self.r - self.published >= self.ring.capacity() / 8
            || self.msgs - self.msgs_published >= self.batch
            || self.frees_writer();
        due && self.publish()
    }

    /// A writer whose limit is in bytes waits for less than a batch. The word is on our own line: a load
    /// that hits, unless the writer has just armed.
    #[inline(always)]
    fn frees_writer(&self) -> bool {
        self.control.r().load(Ordering::Relaxed) & WAITING != 0 && self.satisfies_writer()
    }

    /// Moves behind the frame, without telling the writer.
    #[inline(always)]
    fn advance(&mut self, frame: Frame) {
        self.r += frame.bytes;
        self.seq = self.seq.wrapping_add(1);
        if !self.inside && !self.finished {
            // R-7: from here on the message has been handed out.
            self.control.delivered().store(self.r, Ordering::Release);
        }
        self.inside = frame.more;
        self.msgs += u64::from(!frame.more);
    }

    /// R-8: whole messages only; one whose first frame was handed out is read to its end.
    #[cold]
    fn is_unwanted(&self) -> bool {
        let fresh = !self.inside && self.r != self.settled && !self.starved;
        self.passing || (fresh && self.r < self.control.skip().load(Ordering::Relaxed))
    }

    /// Tells the writer what has been read. True: the writer's socket must be marked ready.
    #[cold]
    pub fn publish(&mut self) -> bool {
        if self.finished || self.inside || (self.published == self.r && self.msgs_published == self.msgs) {
            return false;
        }
        self.published = self.r;
        self.msgs_published = self.msgs;
        self.control.msgs_read().store(self.msgs, Ordering::Relaxed);
        // A peer that keeps moving its bit under us gets a redundant wake-up, not our time.
        for _ in 0..16 {
            let seen = self.control.r().load(Ordering::Acquire);
            if seen & WAITING == 0 || self.satisfies_writer() {
                break;
            }
            // SYNC R-4, pairs with the fetch_and and CAS in `Tx::arm`.
            let kept = self.control.r().compare_exchange(seen, self.r | WAITING, C::ORDER, Ordering::Acquire);
            // The wish may have been withdrawn and renewed under the same R since the thresholds were
            // read; after this CAS they are those of the wish that was kept.
            if kept.is_ok() && !self.satisfies_writer() {
                return false;
            }
        }
        // SYNC R-3 and R-4, pairs with the load in `Tx::refresh` and the CAS in `Tx::arm`.
        self.control.r().swap(self.r, C::ORDER) & WAITING != 0
    }

    fn satisfies_writer(&self) -> bool {
        self.r >= self.control.space_wake_at().load(Ordering::Relaxed)
            && self.msgs >= self.control.msgs_wake_at().load(Ordering::Relaxed)
    }

    /// Asks to be marked at the next publish. Call when [`Self::peek`] said Empty and after
    /// [`Self::publish`] (R-4). False: something was published meanwhile.
    #[inline]
    pub fn arm(&mut self) -> bool {
        if self.w & ASLEEP != 0 && self.control.w().load(Ordering::Acquire) == self.w {
            return true;
        }
        let seen = self.w & !ASLEEP;
        // SYNC R-2 and R-4, pairs with the swap in `Tx::publish`.
        let armed = self.control.w().compare_exchange(seen, seen | ASLEEP, C::ORDER, Ordering::Acquire);
        if armed.is_ok() {
            self.w = seen | ASLEEP;
        }
        armed.is_ok()
    }

    /// Takes possession of all that is published now and can be read, and refuses what comes later: the former can
    /// still be read here, the latter is the writer's again (R-7). `has`: that segment is there. True: the writer's
    /// socket must be marked.
    #[cold]
    pub fn finish(&mut self, has: impl Fn(u32) -> bool) -> bool {
        let theirs = self.control.w().load(Ordering::Acquire) & !FLAG_BITS;
        // A position that cannot be is left for `peek` to find.
        if self.finished || theirs < self.r {
            return false;
        }
        self.end_at(self.reach(theirs, false, has))
    }

    /// Takes possession of no more than the rest of a message that was begun: all else is the writer's again. Otherwise
    /// as `finish`.
    #[cold]
    pub fn refuse(&mut self) -> bool {
        let theirs = self.control.w().load(Ordering::Acquire) & !FLAG_BITS;
        if self.finished || theirs < self.r {
            return false;
        }
        let end = if self.inside { self.reach(theirs, true, |_| false) } else { self.r };
        self.end_at(end)
    }

    fn end_at(&mut self, end: u64) -> bool {
        self.w = end;
        self.finished = true;
        self.control.delivered().store(end, Ordering::Release);
        self.close()
    }

    /// Behind the last message before `end` (or the `first`) that is in no ring and needs no segment which has not come.
    fn reach(&self, end: u64, first: bool, has: impl Fn(u32) -> bool) -> u64 {
        let (mut ring, mut announced) = (&self.ring, self.announced.iter());
        let (mut at, mut base, mut whole) = (self.r, self.base, self.r);
        let mut most = self.published.max(base) + ring.capacity();
        while at < end {
            let offset = (at - base) & (ring.capacity() - 1);
            let record = Record::check(ring.load_header(offset), at, offset, ring.capacity(), end);
            // R-3: nor does a peer that lets its ring begin anew keep the reader.
            let Ok(record) = record.and_then(|record| self.within(record, at, most)) else {
                // What is wrong there is left for `peek` to find.
                return end;
            };
            at += record.bytes;
            if record.flags & JUMP != 0 {
                let Some(number) = number(ring, offset, record.len) else { return end };
                if record.flags == VALID | NEEDS {
                    if !has(number as u32) {
                        return whole;
                    }
                    continue;
                }
                match announced.next() {
                    Some((to, next)) if u64::from(*to) == number => (ring, base) = (next, at),
                    _ => return whole,
                }
                most = base + ring.capacity();
            } else if record.flags & (PAD | MORE) == 0 {
                whole = at;
                if first {
                    break;
                }
            }
        }
        whole
    }

    fn within(&self, record: Record, at: u64, most: u64) -> Result<Record, Poisoned> {
        let fits = at + record.bytes <= most;
        if fits { Ok(record) } else { Err(Poisoned::Position { theirs: self.w, low: at, high: most }) }
    }

    /// Says that nothing more will be read. True: the writer's socket must be marked ready.
    pub fn close(&mut self) -> bool {
        self.control.msgs_read().store(self.msgs, Ordering::Relaxed);
        self.control.r().swap(self.published | CLOSED, C::ORDER) & WAITING != 0
    }
}
