//! A block in use: its handle, and the question whether what was sent in it is still somewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::classes::class_bytes;
use super::{Arena, State};
use crate::exports::Exports;
use crate::{fork, returns};

/// A handle to a block: its bytes stay as long as one is held.
#[derive(Debug)]
pub struct Block {
    pub(super) arena: Arc<Arena>,
    at: *mut u8,
    bytes: usize,
    pub(super) id: u32,
    segment: u32,
    /// Tells this use of the block from earlier and later ones.
    use_number: u64,
    /// Of the handles, those of whoever fills it to send it.
    pub(super) fillers: AtomicU32,
    /// Keeps `at` mapped.
    exports: Arc<Exports>,
}

// SAFETY: an address in a mapping that `exports` keeps; who writes there when is A-6's business.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    #[inline(always)]
    pub fn at(&self) -> *mut u8 {
        self.at
    }

    #[inline]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Room, at least what was asked for.
    #[inline]
    pub fn room(&self) -> usize {
        self.bytes
    }

    /// A handle became, or ceases to be, one that a buffer of the language holds.
    pub fn exported(&self) {
        self.exports.add(self.at);
    }

    /// The same for the one by which it is filled. Nobody but its holder can give it back.
    pub fn filled(&self) {
        self.exported();
        self.fillers.fetch_add(1, Ordering::Relaxed);
    }

    pub fn unfilled(&self) {
        self.fillers.fetch_sub(1, Ordering::Relaxed);
        self.unexported();
    }

    pub fn unexported(&self) {
        self.exports.remove(self.at);
    }

    /// True in the process that made it: elsewhere its memory is not there.
    pub fn is_ours(&self) -> bool {
        fork::is_ours(self.arena.born)
    }

    /// True if this is the only handle, and no peer has it: who writes there is seen by nobody else.
    #[inline]
    pub fn is_alone(self: &Arc<Self>) -> bool {
        // In a forked child it is a copy (exports.rs), and the lock may never be free.
        if !self.is_ours() {
            return true;
        }
        let mut state = self.arena.lock();
        state.take_returns(&self.arena.dropped);
        Arc::strong_count(self) == 1 && state.rows.get(self.id as usize).is_some_and(|row| row.lent == 0)
    }

    /// By which [`Usage::is_over`] is asked later.
    pub fn usage(&self) -> Usage {
        Usage { arena: self.arena.clone(), id: self.id, use_number: self.use_number }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.is_ours()
            && let Some(dropped) = self.arena.dropped.get()
            && returns::give(dropped, self.id)
        {
            (self.arena.wake)();
        }
    }
}

/// Asks whether what was sent in a block is still somewhere.
#[derive(Debug)]
pub struct Usage {
    pub(super) arena: Arc<Arena>,
    pub(super) id: u32,
    use_number: u64,
}

impl Usage {
    /// True once neither a queue, nor a receiver of this process, nor a peer has it.
    pub fn is_over(&self) -> bool {
        if !fork::is_ours(self.arena.born) {
            return true;
        }
        let mut state = self.arena.lock();
        state.take_returns(&self.arena.dropped);
        let Some(row) = state.rows.get(self.id as usize) else { return true };
        if row.use_number != self.use_number {
            return true;
        }
        // It need not be the handle that was sent: what a reader left comes by another (`revive`).
        let block = row.handle.upgrade();
        // One of the handles is the one just made.
        let queued = block
            .as_ref()
            .is_some_and(|block| Arc::strong_count(block) as u32 > 1 + block.fillers.load(Ordering::Relaxed));
        row.lent == 0 && !queued
    }
}

impl State {
    /// A handle to a block that has none. None: its segment is gone.
    pub(super) fn handle(&mut self, arena: &Arc<Arena>, block: u32) -> Option<Arc<Block>> {
        let row = &mut self.rows[block as usize];
        let exports = self.segments.get(&row.segment)?.exports.clone();
        row.held = true;
        let made = Arc::new(Block {
            arena: arena.clone(),
            at: row.at,
            bytes: class_bytes(row.class) as usize,
            id: block,
            segment: row.segment,
            use_number: row.use_number,
            fillers: AtomicU32::new(0),
            exports,
        });
        row.handle = Arc::downgrade(&made);
        Some(made)
    }
}
