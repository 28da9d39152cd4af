//! An arena: the blocks in which one sending socket's large frames lie, seen by their owner.
//!
//! **Theory of operation.** Memory comes in *segments*, each a memfd of blocks of one size class, made when
//! no free block is left: the first of a class is small, later ones double, so a socket has few fds
//! whatever it sends. A block is taken from its class's free list: a large one last in first out, because a
//! warm block is many times faster than a cold one; smaller ones in turn, because what both sides have just
//! touched is slow to take from the other's cache (docs/design/decisions/0012). Its bytes are written once,
//! by the owner; readers get a descriptor through their ring and can only read (segment.rs has the seals).
//!
//! ```text
//!          alloc                lend(peer)                returned by peer, or its process is gone
//!   free ─────────► held (handle) ─────────► lent ─────────────────────────────► free
//!     ▲                 │ handle dropped, lent to nobody
//!     └─────────────────┘
//! ```
//!
//! Invariants
//! - A-1 A block is free only if this process has no handle to it and no peer has it lent. The owner alone
//!   counts; what others do is one bit per block and peer (returns.rs, A-2 to A-5), so a block is lent to
//!   a peer once at a time, and a dead peer's blocks are known exactly.
//! - A-6 A block's bytes are written before its descriptor is published (R-2), and not again before the
//!   block was free.
//! - A-7 A peer's blocks come back all at once only when no process can read them for it any more: its
//!   channel has ended, and whoever could still read keeps the channel open.
//! - A-8 A segment is given up when all its blocks are free; its number is never used again.
//!
//! The lock is a leaf: nothing is called under it but the kernel. Dropping a handle takes no lock, so it
//! may happen anywhere, under the lock too.
//!
//! Here are the arena and its state; what happens to them is told by noun: `classes` of sizes, the `free`
//! blocks of one, the `supply` of them, `segments`, the `block` in use, the `peers` that have some.

mod block;
mod classes;
mod free;
mod peers;
mod segments;
mod supply;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};

pub use self::block::{Block, Usage};
pub use self::classes::block_bytes;
use self::classes::{Class, class_of};
pub use self::peers::PeerId;
use self::peers::{PeerRow, returns_of};
use self::segments::Segment;
pub use self::segments::{Look, SEGMENTS_MAX};
use crate::returns::HeapReturns;
use crate::table::Table;
use crate::{budget, fork};

/// Why there is no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Short {
    /// The limits are reached; what others hold will come back.
    Wait,
    /// As many blocks are out, or lie in as many segments, as can be told apart: the frame has to go
    /// otherwise.
    Numbers,
    /// Waiting would not help; why.
    Never(String),
}

/// A block's row in the owner's table.
struct Row {
    segment: u32,
    class: usize,
    offset: u64,
    at: *mut u8,
    handle: Weak<Block>,
    /// There is, or was until its return is taken, a handle.
    held: bool,
    /// Peers that have it.
    lent: u32,
    use_number: u64,
    /// Its pages are there.
    warm: bool,
}

struct State {
    segments: Table<u32, Segment>,
    next_segment: u32,
    rows: Vec<Row>,
    free_rows: Vec<u32>,
    classes: Vec<Class>,
    peers: Table<PeerId, PeerRow>,
    /// Of the peers, those that have something.
    lenders: Vec<PeerId>,
    next_peer: u64,
    next_use: u64,
    /// Of this arena; 0 is no limit.
    max: u64,
    /// Bytes of all segments, and of the blocks that are not free.
    committed: u64,
    used: u64,
    grown: u64,
    /// Blocks that came back from peers.
    returned: u64,
    /// Empty: room for those that come back together.
    back: Vec<u32>,
    /// Something was taken or came back since the last look.
    stirred: bool,
    /// Somebody sleeps until a block comes back: whoever takes returns tells it.
    armed: bool,
    wake: Wake,
    /// Somebody calls `look` now and then.
    watched: bool,
    /// Copies that the message at hand may share: which frame, where its bytes are, and their block.
    shares: bool,
    staged: Vec<(usize, usize, Arc<Block>)>,
}

// SAFETY: the pointers in `rows` are addresses inside the segments' mappings.
unsafe impl Send for State {}

/// Tells the owner that a block came back for which it waits. Takes no lock.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

pub struct Arena {
    state: Mutex<State>,
    /// Blocks that this process let go of. Made with the first block.
    dropped: OnceLock<HeapReturns>,
    /// Called when one came back for which somebody of this process waits.
    wake: Wake,
    born: u64,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Arena").finish_non_exhaustive()
    }
}

/// What an arena has, for counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    pub bytes: u64,
    pub lent: u64,
    pub grown: u64,
}

impl budget::Holder for Arena {
    fn give_up_free(&self) -> bool {
        self.try_lock().is_some_and(|mut state| {
            state.take_returns(&self.dropped);
            state.give_up_free()
        })
    }

    fn awaits(&self) -> Option<bool> {
        self.try_lock().map(|state| state.awaits())
    }
}

impl Arena {
    pub fn new(wake: Wake) -> Arc<Arena> {
        let state = State {
            segments: Table::default(),
            next_segment: 1,
            rows: Vec::new(),
            free_rows: Vec::new(),
            classes: Vec::new(),
            peers: Table::default(),
            lenders: Vec::new(),
            next_peer: 0,
            next_use: 0,
            max: 0,
            committed: 0,
            used: 0,
            grown: 0,
            returned: 0,
            back: Vec::new(),
            stirred: false,
            armed: false,
            watched: false,
            wake: wake.clone(),
            shares: false,
            staged: Vec::new(),
        };
        Arc::new(Arena { state: Mutex::new(state), dropped: OnceLock::new(), wake, born: fork::generation() })
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: somebody has it, perhaps this very thread, or it is another process's.
    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Bytes that the arena may have; 0 for no limit of its own.
    pub fn set_max(&self, bytes: u64) {
        self.lock().max = bytes;
    }

    /// With the first block.
    #[cold]
    fn begin(self: &Arc<Self>) -> HeapReturns {
        let this: Weak<Arena> = Arc::downgrade(self);
        budget::enrol(this);
        HeapReturns::default()
    }

    /// True if something that is in use will come back without the program's doing.
    pub fn awaits(&self) -> bool {
        self.lock().awaits()
    }

    /// A block of at least `len` bytes, or why there is none.
    pub fn alloc(self: &Arc<Self>, len: usize) -> Result<Arc<Block>, Short> {
        let dropped = self.dropped.get_or_init(|| self.begin());
        let mut state = self.lock();
        returns_of(&mut state, dropped);
        let block = state.claim(len as u64)?;
        state.handle(self, block).ok_or(Short::Wait)
    }

    /// A block for each of `lens`, or none at all and why. One by one, what a caller let go of again would be
    /// news to itself: `arm` would say that a block came back, for ever.
    pub fn alloc_all(self: &Arc<Self>, lens: &[usize]) -> Result<Vec<Arc<Block>>, Short> {
        let dropped = self.dropped.get_or_init(|| self.begin());
        let mut state = self.lock();
        returns_of(&mut state, dropped);
        let mut claimed = Vec::with_capacity(lens.len());
        for len in lens {
            match state.claim(*len as u64) {
                Ok(block) => claimed.push(block),
                Err(short) => {
                    claimed.into_iter().for_each(|block| state.free_if_unused(block));
                    // For one of them there will be room, but for all?
                    return Err(if short == Short::Wait { state.shortage_of(lens) } else { short });
                }
            }
        }
        claimed.into_iter().map(|block| state.handle(self, block).ok_or(Short::Wait)).collect()
    }

    /// Of frames for which no blocks are to be had now: why there never will be, or that it is worth waiting.
    pub fn shortage(&self, lens: &[usize]) -> Short {
        self.lock().shortage_of(lens)
    }

    /// The bytes by which `alloc` would grow; 0 if there is a free block of that size.
    pub fn growth(&self, len: usize) -> u64 {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let Some((class, bytes)) = class_of(len as u64) else { return 0 };
        match state.classes.get(class) {
            Some(known) if !known.free.is_empty() => 0,
            Some(known) => known.next_blocks(bytes) * bytes,
            None => bytes,
        }
    }

    pub fn holdings(&self) -> Holdings {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let lent = state.rows.iter().filter(|row| row.lent > 0).count() as u64;
        Holdings { bytes: state.committed, lent, grown: state.grown }
    }

    // --- one copy for many peers -----------------------------------------------------------------------------

    /// From here to `unshare` every peer is sent the same frames.
    #[inline]
    pub fn share(&self) {
        self.lock().shares = true;
    }

    #[inline]
    pub fn unshare(&self) {
        let mut state = self.lock();
        state.shares = false;
        let staged = std::mem::take(&mut state.staged);
        drop(state);
        drop(staged);
    }

    /// The block that frame `index` was copied to for an earlier peer.
    #[inline]
    pub fn staged(&self, index: usize, at: *const u8) -> Option<Arc<Block>> {
        let state = self.lock();
        if !state.shares {
            return None;
        }
        let found = state.staged.iter().find(|(frame, from, _)| *frame == index && *from == at as usize);
        found.map(|(_, _, block)| block.clone())
    }

    #[inline]
    pub fn stage(&self, index: usize, at: *const u8, block: &Arc<Block>) {
        let mut state = self.lock();
        if state.shares {
            state.staged.push((index, at as usize, block.clone()));
        }
    }
}
