//! The supply of blocks: where the next one comes from, and where it goes when all let go of it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::Block;
use super::classes::{Class, class_bytes, class_of};
use super::{Short, State};
use crate::huge::HUGE;
use crate::{budget, segment};

/// So much memory is taken from the system at a time.
const CHUNK_BYTES: u64 = 128 * 1024;
/// Blocks from here on are taken in whole huge pages, with what is left of the last one: that costs less than
/// the block alone (docs/design/decisions/0017).
const HUGE_MIN: u64 = 1 << 20;

impl State {
    /// A block for `len` bytes that counts as used and has no handle yet.
    pub(super) fn claim(&mut self, len: u64) -> Result<u32, Short> {
        let Some((class, bytes)) = class_of(len) else {
            return Err(Short::Never(format!("{len} bytes are more than any block has")));
        };
        if self.classes.len() <= class {
            let known = self.classes.len();
            self.classes.extend((known..=class).map(Class::new));
        }
        if self.classes[class].free.is_empty() {
            self.refill(class, bytes)?;
        }
        let block = self.classes[class].free.pop().ok_or(Short::Wait)?;
        self.warm(block)?;
        self.count_use(block);
        Ok(block)
    }

    /// Makes the free list of a class not empty.
    #[cold]
    fn refill(&mut self, class: usize, bytes: u64) -> Result<(), Short> {
        if self.undrain(class) {
            return Ok(());
        }
        let made = match self.grow(class, bytes) {
            Err(Short::Wait | Short::Numbers) if self.give_up_free() => self.grow(class, bytes),
            made => made,
        };
        match made {
            Err(Short::Wait | Short::Numbers) if self.borrow_larger(class) => Ok(()),
            // Other arenas of the process may have what is missing, and not need it.
            Err(Short::Wait) if budget::lacks(bytes) && budget::give_up_free() => self.grow(class, bytes),
            made => made,
        }
        .map_err(|short| if short == Short::Wait { self.shortage(bytes) } else { short })
    }

    /// There is no room for a block of so many bytes now: will there be?
    fn shortage(&self, bytes: u64) -> Short {
        let (max, limit) = self.limit();
        if bytes > max {
            return Short::Never(format!("a block of {bytes} bytes is beyond {limit} of {max} bytes"));
        }
        // Another arena's memory is released when nobody uses it any more.
        let elsewhere = budget::lacks(bytes);
        if self.awaits() || elsewhere && budget::awaits() {
            if elsewhere {
                budget::want(bytes);
            }
            return Short::Wait;
        }
        // All of it is in the program's own hands: to wait for oneself is to wait for ever.
        let held = if elsewhere { budget::used() } else { self.used };
        Short::Never(format!(
            "no block of {bytes} bytes within {limit} of {max} bytes: the program holds {held} bytes of blocks that it \
             did not send"
        ))
    }

    /// Bytes that there may be, and which option says so.
    fn limit(&self) -> (u64, &'static str) {
        match self.max {
            0 => (budget::max(), "SHM_MAX"),
            max if max < budget::max() => (max, "ARENA_MAX"),
            _ => (budget::max(), "SHM_MAX"),
        }
    }

    /// Of frames for whose blocks there is no room now: will there be?
    pub(super) fn shortage_of(&self, lens: &[usize]) -> Short {
        let bytes = |len: &usize| class_of(*len as u64).map_or(u64::MAX, |(_, bytes)| bytes);
        let all = lens.iter().map(bytes).fold(0, u64::saturating_add);
        match self.limit() {
            (max, limit) if all > max => {
                Short::Never(format!("a message with {all} bytes of blocks is beyond {limit} of {max} bytes"))
            }
            _ => Short::Wait,
        }
    }

    /// True if a peer, or a queue of this process, has something that will come back.
    pub(super) fn awaits(&self) -> bool {
        self.rows.iter().any(|row| {
            let fillers = |block: Arc<Block>| block.fillers.load(Ordering::Relaxed) as usize;
            // One of the handles is the one just made; none at all: its return is on its way.
            let queued = || match row.handle.upgrade() {
                Some(block) => Arc::strong_count(&block) - 1 > fillers(block),
                None => true,
            };
            row.lent > 0 || (row.held && queued())
        })
    }

    /// Under pressure a block of a larger class will do: it changes its list, not its class.
    fn borrow_larger(&mut self, class: usize) -> bool {
        let larger = (class + 1..self.classes.len()).find(|larger| !self.classes[*larger].free.is_empty());
        let Some(block) = larger.and_then(|larger| self.classes[larger].free.pop()) else {
            return false;
        };
        self.classes[class].free.push(block);
        true
    }

    /// Sees to it that the memory of a free block is there; it is free again if not.
    fn warm(&mut self, block: u32) -> Result<(), Short> {
        let row = &mut self.rows[block as usize];
        let (number, class, bytes) = (row.segment, row.class, class_bytes(row.class));
        let Some(segment) = self.segments.get_mut(&number) else { return Err(Short::Wait) };
        if !row.warm {
            // Memory that is not there is found missing now, as an error, and not by a signal later. Small
            // blocks are made several at a time: the call costs more than the memory.
            let from = row.offset;
            let end = match from + bytes.max(CHUNK_BYTES) {
                end if bytes >= HUGE_MIN => end.next_multiple_of(HUGE as u64),
                end => end,
            };
            let chunk = end.min(segment.map.len() as u64) - from;
            let take = |bytes: u64| {
                segment::populate(segment.fd.as_fd(), &segment.map, from as usize, bytes as usize)
                    .map(|()| bytes)
            };
            let taken = match take(chunk) {
                // Not for want of what lies behind it.
                Err(_) if chunk > bytes => take(bytes),
                taken => taken,
            };
            let chunk = match taken {
                Ok(chunk) => chunk,
                Err(errno) => {
                    self.classes[class].free.push(block);
                    return Err(match self.shortage(bytes) {
                        Short::Wait => Short::Wait,
                        _ => Short::Never(format!("no memory for a block of {bytes} bytes: {errno}")),
                    });
                }
            };
            for id in &segment.blocks {
                let row = &mut self.rows[*id as usize];
                row.warm |= row.offset >= from && row.offset + bytes <= from + chunk;
            }
        }
        Ok(())
    }

    /// A free block is free no more.
    #[inline]
    pub(super) fn count_use(&mut self, block: u32) {
        let row = &mut self.rows[block as usize];
        self.next_use += 1;
        row.use_number = self.next_use;
        if let Some(segment) = self.segments.get_mut(&row.segment) {
            segment.used += 1;
        }
        self.used += class_bytes(row.class);
        self.stirred = true;
        let class = &mut self.classes[row.class];
        class.used += 1;
        class.peak = class.peak.max(class.used);
    }

    /// The last handle is gone.
    #[inline]
    pub(super) fn dropped(&mut self, block: u32) {
        if let Some(row) = self.rows.get_mut(block as usize)
            && row.held
        {
            row.held = false;
            self.free_if_unused(block);
        }
    }

    pub(super) fn free_if_unused(&mut self, block: u32) {
        let row = &self.rows[block as usize];
        if row.held || row.lent > 0 {
            return;
        }
        let (class, segment) = (row.class, row.segment);
        self.stirred = true;
        self.used -= class_bytes(class);
        self.classes[class].used -= 1;
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.used -= 1;
            if !segment.draining {
                self.classes[class].free.push(block);
            }
        }
    }
}
