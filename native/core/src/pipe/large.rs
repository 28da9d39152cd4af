//! Large frames on their way into a ring: copied once into a block of the arena, or already in one.
//!
//! A ring carries a descriptor in place of the bytes, so it need not grow, and a reader may leave the bytes
//! where they are. Everything is decided before anything is lent: a message that is refused has changed
//! nothing but the arena's size.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use shmzmq_shm::arena::{Arena, Block, PeerId, SEGMENTS_MAX, Short};
use shmzmq_shm::layout::JUMP_BYTES;
use shmzmq_shm::ring::{Described, Descriptor, Left, Part};

use super::ring::{MappedTx, RingOut};
use super::{How, Write};
use crate::channel::is_end;
use crate::copy::copy;
use crate::error::Error;
use crate::handshake;
use crate::message::Payload;
use crate::stats::Stats;

/// Frames of more bytes go into blocks (docs/design/decisions/0012).
pub const INLINE_MAX: usize = 4096;
/// As long as a peer has fewer blocks or bytes than this, growth is better than waiting for them.
const WARM_BLOCKS: usize = 4;
const WARM_BYTES: u64 = 4 << 20;
/// What new memory costs in small pages, in nanoseconds per KiB (docs/design/decisions/0012). In huge ones it costs a
/// tenth (0017), but as much memory.
const GROWTH_NS_PER_KIB: u64 = 600;
/// With more than this under way to a reader, a free block lies in no cache any more; and what that costs who copy,
/// in nanoseconds per KiB (docs/design/decisions/0012).
const CACHED_BYTES: u64 = 8 << 20;
const COLD_NS_PER_KIB: u64 = 100;

/// What a refused message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Room or credit in the ring.
    Ring,
    /// A moment, until half of the blocks that this reader has came back.
    Half,
    /// Memory, whoever gives it back: what one reader may have depends on what is left.
    Memory,
    /// That an fd can be sent: nobody tells when.
    Fd,
}

#[inline(always)]
pub fn is_large(parts: &[Part]) -> bool {
    parts.iter().any(|part| part.len > INLINE_MAX)
}

/// Stands for a block that is not chosen yet.
static ANY: Descriptor = Described { segment: 0, block: 0, offset: 0, len: 0, copy: false }.encode();

/// The records that a message takes, for their sizes.
#[inline]
pub fn shape(parts: &[Part]) -> Cow<'_, [Part]> {
    if !is_large(parts) {
        return parts.into();
    }
    let record = |part: &Part| if part.len > INLINE_MAX { Part::descriptor(&ANY, part.len) } else { *part };
    parts.iter().map(record).collect()
}

/// The same behind as many notes, each of which names a segment.
fn with_notes(notes: usize, parts: &[Part]) -> Vec<Part> {
    let note = Part::new(std::ptr::null(), JUMP_BYTES as usize);
    std::iter::repeat_n(note, notes).chain(shape(parts).iter().copied()).collect()
}

/// What a reader never handed out, for the next one.
pub fn payload(arena: &Arc<Arena>, reader: PeerId, left: Left) -> Option<Payload> {
    match left {
        Left::Bytes(bytes) => Some(Payload::from(bytes)),
        Left::Block(described) => match arena.revive(reader, described) {
            Some(block) => Some(Payload::Block(block, described.len as usize)),
            None => arena.copy(reader, described).map(Payload::from),
        },
    }
}

/// Receivers have enough of our memory and give some back now and then: a moment's wait for a warm block is
/// better than a cold one. `seen`: how many had come back when that was asked last. `copied`: so are the bytes.
///
/// Some(time): worth waiting for so long, which is what growth would cost, or a copy into cold memory.
pub fn rather_waits(
    arena: &Arena,
    len: usize,
    (blocks, bytes, returned): (usize, u64, u64),
    seen: &mut u64,
    copied: bool,
) -> Option<Duration> {
    if len <= INLINE_MAX || blocks < WARM_BLOCKS || bytes < WARM_BYTES || returned == *seen {
        return None;
    }
    let cost = match arena.growth(len) {
        0 if copied && bytes >= CACHED_BYTES => len as u64 / 1024 * COLD_NS_PER_KIB,
        0 => return None,
        growth => growth / 1024 * GROWTH_NS_PER_KIB,
    };
    *seen = returned;
    Some(Duration::from_nanos(cost))
}

impl RingOut {
    pub(super) fn write_large(&mut self, parts: &[Part], how: How, stats: &mut Stats) -> Write {
        match self.write_warm(parts, how, stats) {
            Some(written) => written,
            None => self.write_any(parts, how, stats),
        }
    }

    /// A message of one frame for which there is a warm block: nothing is asked twice. None: it takes more.
    #[inline]
    fn write_warm(&mut self, parts: &[Part], how: How, stats: &mut Stats) -> Option<Write> {
        let &[part] = parts else { return None };
        let counted = self.limits.hwm_bytes > 0;
        if part.is_in_block() || counted || self.tx.check(&[Part::descriptor(&ANY, part.len)]).is_err() {
            return None;
        }
        let (described, at) = self.arena.lend_warm(self.peer_id, part.len, &self.announced)?;
        // SAFETY: the caller keeps the part readable; the block was free, has room for it, and its reader
        // learns of it by the record below.
        unsafe { copy(part.at, at, part.len) };
        let descriptor = described.encode();
        Some(self.put(&[Part::descriptor(&descriptor, part.len)], parts, how, stats))
    }

    fn write_any(&mut self, parts: &[Part], how: How, stats: &mut Stats) -> Write {
        // What was staged has room, also where a message beyond HWM_BYTES goes alone behind its notes.
        if !std::mem::take(&mut self.noted)
            && let Err(refusal) = self.tx.check(&shape(parts))
        {
            return self.refused(refusal, parts, how, stats);
        }
        if how.patient && self.waits_for_blocks(parts) {
            return Write::Soon;
        }
        // Also what takes no new block: one that stands still would have all of them in the end.
        if self.is_past_its_share(parts) {
            self.want = Want::Memory;
            return Write::Full;
        }
        let blocks = self.blocks(parts);
        // Also what could not be sent may have made it grow.
        if self.arena.watch() {
            self.looker.call();
        }
        let blocks = match blocks {
            Ok(blocks) => blocks,
            Err(Short::Wait) => return Write::Full,
            // Nothing tells so many blocks apart: the bytes go through a larger ring.
            Err(Short::Numbers) => return self.write(parts, How { inline: true, ..how }, stats),
            Err(Short::Never(why)) => return Write::Failed(Error::NoMemory(why)),
        };
        let new = self.new_segments(&blocks);
        if !new.is_empty() {
            let longer = with_notes(new.len(), parts);
            if let Err(refusal) = self.tx.check(&longer) {
                let written = self.refused(refusal, parts, how, stats);
                if self.want == Want::Ring && matches!(written, Write::Full | Write::Soon) {
                    self.wait_for(&longer);
                }
                return written;
            }
            match self.announce_all(new) {
                Write::Done => {}
                refused => return refused,
            }
        }
        let mut descriptors = Vec::with_capacity(blocks.len());
        for (block, len) in &blocks {
            let Some(described) = self.arena.lend(self.peer_id, block, *len) else { return Write::Gone };
            descriptors.push(described.encode());
        }
        let mut descriptor = descriptors.iter();
        let record = |part: &Part| match part.len > INLINE_MAX {
            true => descriptor.next().map_or(*part, |named| Part::descriptor(named, part.len)),
            false => *part,
        };
        let records: Vec<Part> = parts.iter().map(record).collect();
        // Decided above. The note before it is not what a message that may go alone has to wait for.
        self.tx.set_bytes_max(0);
        let written = self.put(&records, parts, how, stats);
        self.restore_limits();
        if self.limits.hwm_bytes > 0 && matches!(written, Write::Done) {
            self.tx.note_elsewhere(MappedTx::elsewhere_for(&records));
        }
        written
    }

    /// A block for each large frame, filled.
    fn blocks(&mut self, parts: &[Part]) -> Result<Vec<(Arc<Block>, usize)>, Short> {
        let mut blocks: Vec<(Option<Arc<Block>>, usize)> = Vec::with_capacity(1);
        let mut copies = Vec::new();
        for (index, part) in parts.iter().enumerate().filter(|(_, part)| part.len > INLINE_MAX) {
            let own = part.block().filter(|block| {
                let is_it = |other: &Arc<Block>| Arc::ptr_eq(other, block);
                let twice = blocks.iter().filter_map(|(other, _)| other.as_ref()).any(is_it);
                !twice && self.arena.may_name(self.peer_id, block)
            });
            if own.is_none() {
                copies.push((index, part));
            }
            blocks.push((own, part.len));
        }
        let mut copied = self.copies(&copies)?.into_iter();
        Ok(blocks.into_iter().filter_map(|(own, len)| Some((own.or_else(|| copied.next())?, len))).collect())
    }

    /// The one copy of each of these frames, which other peers may share; all or none.
    fn copies(&mut self, frames: &[(usize, &Part)]) -> Result<Vec<Arc<Block>>, Short> {
        let known = |(index, part): &(usize, &Part)| {
            self.arena.staged(*index, part.at).filter(|block| self.arena.may_name(self.peer_id, block))
        };
        let mut blocks: Vec<Option<Arc<Block>>> = frames.iter().map(known).collect();
        let news: Vec<usize> = (0..frames.len()).filter(|at| blocks[*at].is_none()).collect();
        let lens: Vec<usize> = news.iter().map(|at| frames[*at].1.len).collect();
        let may = lens.iter().all(|len| self.arena.may_lend(self.peer_id, *len));
        let made = if may { self.arena.alloc_all(&lens) } else { Err(self.arena.shortage(&lens)) };
        for (at, block) in news.into_iter().zip(made.inspect_err(|_| self.want = Want::Memory)?) {
            let (index, part) = frames[at];
            // SAFETY: the caller keeps the part readable; the block is new, has room for it, and nobody else
            // knows it.
            unsafe { copy(part.at, block.at(), part.len) };
            self.arena.stage(index, part.at, &block);
            blocks[at] = Some(block);
        }
        Ok(blocks.into_iter().flatten().collect())
    }

    /// The reader has enough of our memory and gives some back now and then: a moment's wait for a warm block
    /// is better than a cold one.
    pub(super) fn waits_for_blocks(&mut self, parts: &[Part]) -> bool {
        let Some(part) = parts.iter().find(|part| part.len > INLINE_MAX && !part.is_in_block()) else {
            return false;
        };
        let lent = self.arena.lent_to(self.peer_id);
        let waits = rather_waits(&self.arena, part.len, lent, &mut self.seen_returned, true);
        if let Some(time) = waits {
            self.patience = time;
            self.want = Want::Half;
        }
        waits.is_some()
    }

    /// Before a write to several pipes, all or none: would this reader be refused memory?
    pub(super) fn lacks_blocks(&mut self, parts: &[Part]) -> bool {
        let mut large = parts.iter().filter(|part| part.len > INLINE_MAX);
        let lacks = large.any(|part| !self.arena.may_lend(self.peer_id, part.len)) && !self.is_beyond(parts);
        if lacks {
            self.want = Want::Memory;
        }
        lacks
    }

    /// Of a message to many: would this reader have more than its share with the message's blocks, which may be there
    /// already? Never stricter than `lacks_blocks` was before they were.
    fn is_past_its_share(&self, parts: &[Part]) -> bool {
        let lens = parts.iter().map(|part| part.len).filter(|len| *len > INLINE_MAX);
        self.arena.exceeds_share(self.peer_id, lens) && !self.is_beyond(parts)
    }

    /// True if there will never be blocks for the message: a write says so.
    pub(super) fn is_beyond(&self, parts: &[Part]) -> bool {
        let copied = |part: &&Part| part.len > INLINE_MAX && !part.is_in_block();
        let lens: Vec<usize> = parts.iter().filter(copied).map(|part| part.len).collect();
        matches!(self.arena.shortage(&lens), Short::Never(_))
    }

    /// Segments that the reader has to learn of.
    fn new_segments(&self, blocks: &[(Arc<Block>, usize)]) -> Vec<u32> {
        let mut new = Vec::new();
        for (block, _) in blocks {
            if !self.announced.contains(&block.segment()) && !new.contains(&block.segment()) {
                new.push(block.segment());
            }
        }
        new
    }

    fn announce_all(&mut self, new: Vec<u32>) -> Write {
        // The reader takes so many and no more; those that are given up it may not know yet.
        if self.announced.len() + new.len() > SEGMENTS_MAX {
            self.forget_segments();
        }
        match new.into_iter().try_for_each(|segment| self.announce(segment)) {
            Ok(()) => Write::Done,
            Err(errno) if is_end(errno) => Write::Gone,
            // No fd for a copy of the segment's, or too many are under way.
            Err(_) => {
                self.want = Want::Fd;
                Write::Full
            }
        }
    }

    /// The reader learns of a segment, and in its ring, before the first message that lies there, to wait
    /// for it: so a message that it begins to read is all there.
    fn announce(&mut self, segment: u32) -> Result<(), Errno> {
        let channel = &self.channel;
        let announced =
            self.arena.announce(segment, |fd, bytes| channel.send(handshake::arena(segment, bytes), &[fd]));
        // Blocks of it are held by the caller: it is there.
        announced.unwrap_or(Err(Errno::BADF))?;
        self.announced.push(segment);
        self.tx.need(segment);
        self.unpublished = true;
        Ok(())
    }

    /// The reader forgets segments that are given up.
    pub fn forget_segments(&mut self) {
        let (arena, channel) = (&self.arena, &self.channel);
        self.announced.retain(|segment| {
            let kept = arena.has_segment(*segment);
            if !kept {
                let _ = channel.send(handshake::forget(*segment), &[]);
            }
            kept
        });
    }

    /// For a write to several pipes, all or none: the copies that they will share, and room for what comes with them.
    pub(super) fn stage_large(&mut self, parts: &[Part], stats: &mut Stats) -> Write {
        let blocks = match self.blocks(parts) {
            Err(Short::Wait) => return Write::Full,
            _ if self.keeps() => return Write::Done,
            Ok(blocks) => blocks,
            // They will go through a larger ring.
            Err(Short::Numbers) => return self.make_room(parts, stats),
            Err(Short::Never(why)) => return Write::Failed(Error::NoMemory(why)),
        };
        let new = self.new_segments(&blocks);
        let longer = with_notes(new.len(), parts);
        let room = self.make_room(&longer, stats);
        match room {
            Write::Done => self.to_announce = new,
            Write::Full => self.wait_for(&longer),
            _ => {}
        }
        room
    }

    /// Once all of them have room: the reader learns where the copies lie.
    pub fn announce_staged(&mut self, _parts: &[Part], _stats: &mut Stats) -> Write {
        let new = std::mem::take(&mut self.to_announce);
        self.noted = !new.is_empty();
        if new.is_empty() { Write::Done } else { self.announce_all(new) }
    }

    /// The message does not go: the reader is shown the notes alone.
    pub fn unstage(&mut self, stats: &mut Stats) {
        self.to_announce.clear();
        self.noted = false;
        self.publish(stats);
    }

    /// Room for the message alone may be there already: to wait for that would not be to wait.
    fn wait_for(&mut self, longer: &[Part]) {
        self.want = Want::Ring;
        self.wanted = (self.tx.bytes_for(longer), MappedTx::elsewhere_for(longer));
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use shmzmq_shm::returns;
    use shmzmq_shm::segment::PipeSegment;

    const LEN: usize = 1 << 20;

    /// Who copies into a block that is there waits as well, once for each time that something came back.
    #[test]
    fn a_free_block_is_cold_when_much_is_under_way() {
        let arena = Arena::new(Arc::new(|| {}));
        let (_fd, pipe) = PipeSegment::create(4096).unwrap();
        let words = pipe.returns(0);
        let peer = arena.join(pipe.returns(0));
        let lent: Vec<Described> = (0..=CACHED_BYTES / LEN as u64)
            .map(|_| arena.lend(peer, &arena.alloc(LEN).unwrap(), LEN).unwrap())
            .collect();
        let mut seen = u64::MAX;
        let mut waits = |copied| rather_waits(&arena, LEN, arena.lent_to(peer), &mut seen, copied);
        drop(arena.alloc(LEN).unwrap());
        assert_eq!(waits(false), None);
        assert!(waits(true).is_some());
        assert_eq!(waits(true), None);
        returns::give(&words, lent[0].block);
        assert!(waits(true).is_some());
        returns::give(&words, lent[1].block);
        assert_eq!(waits(true), None, "so little lies in the caches");
        arena.reclaim(peer);
    }
}
