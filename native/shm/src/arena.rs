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

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::budget::{self, Reserved};
use crate::exports::Exports;
use crate::fork::{self, Fd, Map};
use crate::part::Described;
use crate::returns::{self, BLOCKS, HeapReturns, WORDS};
use crate::segment::{self, MappedReturns};

/// Smallest block, in bytes; sizes are this and once and a half of it, times powers of two, so that a block
/// is at most a third larger than what is in it, and always whole pages.
const BLOCK_BYTES_MIN: u64 = 8 * 1024;
const CLASSES: usize = 64;
/// The first segment of a class whose blocks are used in turn has as many as fit here, at most so many; of
/// larger ones it has one.
const FIRST_SEGMENT_BYTES: u64 = 2 << 20;
const FIRST_SEGMENT_BLOCKS: u64 = 32;
/// Free blocks up to this size are used in turn, larger ones last in first out.
const CYCLED_BYTES: u64 = 512 * 1024;
/// So much memory is taken from the system at a time.
const CHUNK_BYTES: u64 = 128 * 1024;
/// No segment is larger, unless a single block is.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Looks in a row that found a class unused before its last block goes too.
const IDLE_LOOKS: u32 = 25;
/// Most segments of an arena at a time: each costs its owner an fd, and every process that reads it a mapping.
pub const SEGMENTS_MAX: usize = 1024;

/// The size class for `len` bytes, and the bytes of its blocks. None: absurd.
fn class_of(len: u64) -> Option<(usize, u64)> {
    (0..CLASSES).map(|class| (class, class_bytes(class))).find(|(_, bytes)| *bytes >= len)
}

/// Bytes of the block that a frame of `len` bytes takes.
pub fn block_bytes(len: u64) -> u64 {
    class_of(len).map_or(u64::MAX, |(_, bytes)| bytes)
}

fn class_bytes(class: usize) -> u64 {
    let base = if class % 2 == 0 { BLOCK_BYTES_MIN } else { BLOCK_BYTES_MIN / 2 * 3 };
    base << (class / 2)
}

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

/// A handle to a block: its bytes stay as long as one is held.
#[derive(Debug)]
pub struct Block {
    arena: Arc<Arena>,
    at: *mut u8,
    bytes: usize,
    id: u32,
    segment: u32,
    /// Tells this use of the block from earlier and later ones.
    use_number: u64,
    /// Handles that are no promise to send: buffers of the language.
    exporters: AtomicU32,
    /// Of these, those of whoever fills it to send it.
    fillers: AtomicU32,
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

    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Room, at least what was asked for.
    pub fn room(&self) -> usize {
        self.bytes
    }

    /// A handle became, or ceases to be, one that a buffer of the language holds.
    pub fn exported(&self) {
        self.exporters.fetch_add(1, Ordering::Relaxed);
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
        self.exporters.fetch_sub(1, Ordering::Relaxed);
        self.exports.remove(self.at);
    }

    /// True in the process that made it: elsewhere its memory is not there.
    pub fn is_ours(&self) -> bool {
        fork::is_ours(self.arena.born)
    }

    /// True if this is the only handle, and no peer has it: who writes there is seen by nobody else.
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
    arena: Arc<Arena>,
    id: u32,
    use_number: u64,
}

impl Usage {
    /// True once neither a queue here nor a peer has it.
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
        let queued = block.as_ref().is_some_and(|block| {
            Arc::strong_count(block) as u32 > 1 + block.exporters.load(Ordering::Relaxed)
        });
        row.lent == 0 && !queued
    }
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

struct Segment {
    fd: Fd,
    map: Arc<Map>,
    exports: Arc<Exports>,
    class: usize,
    blocks: Vec<u32>,
    /// Of the blocks, how many are not free.
    used: usize,
    /// Its free blocks are not given out: it is to be given up.
    draining: bool,
    _reserved: Reserved,
}

#[derive(Default)]
struct Class {
    /// Free blocks of segments that do not drain, the longest free first. `next_free` says which end is used.
    free: VecDeque<u32>,
    used: usize,
    /// Most that were used since the last look, and between the two looks before.
    peak: usize,
    last_peak: usize,
    /// Looks in a row that found it unused.
    idle_looks: u32,
    segments: Vec<u32>,
}

impl Class {
    /// Which free block is given out next.
    fn next_free(&self, bytes: u64) -> Option<u32> {
        if bytes <= CYCLED_BYTES { self.free.front() } else { self.free.back() }.copied()
    }

    fn pop_free(&mut self, bytes: u64) -> Option<u32> {
        if bytes <= CYCLED_BYTES { self.free.pop_front() } else { self.free.pop_back() }
    }

    /// Blocks of the next segment.
    fn next_blocks(&self, bytes: u64) -> u64 {
        let steps = self.segments.len() as u32 / 2;
        let cycled = (FIRST_SEGMENT_BYTES / bytes).clamp(1, FIRST_SEGMENT_BLOCKS);
        let first = if bytes <= CYCLED_BYTES { cycled } else { 1 };
        let most = (SEGMENT_BYTES_MAX / bytes).max(1);
        first.saturating_mul(1 << steps.min(20)).min(most)
    }
}

/// By which a peer is known to the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(u64);

struct PeerRow {
    words: MappedReturns,
    /// One bit per block; made with the first.
    lent: Vec<u64>,
    count: usize,
    bytes: u64,
    /// Blocks that came back.
    returned: u64,
    /// Its connection is over: the row goes with its last block.
    leaves: bool,
}

impl PeerRow {
    fn has(&self, block: u32) -> bool {
        self.lent.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    /// Marks us when so many more came back.
    fn arm(&self, more: u64) -> bool {
        returns::arm_at(&self.words, self.returned + more.max(1))
    }

    /// True if it had the block.
    fn take_back(&mut self, block: u32) -> bool {
        let had = self.has(block);
        if had {
            self.lent[block as usize / 64] &= !(1 << (block % 64));
            self.count -= 1;
        }
        had
    }
}

struct State {
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    rows: Vec<Row>,
    free_rows: Vec<u32>,
    classes: Vec<Class>,
    peers: BTreeMap<PeerId, PeerRow>,
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

impl Arena {
    pub fn new(wake: Wake) -> Arc<Arena> {
        let state = State {
            segments: BTreeMap::new(),
            next_segment: 1,
            rows: Vec::new(),
            free_rows: Vec::new(),
            classes: Vec::new(),
            peers: BTreeMap::new(),
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the arena may have; 0 for no limit of its own.
    pub fn set_max(&self, bytes: u64) {
        self.lock().max = bytes;
    }

    /// A block of at least `len` bytes, or why there is none.
    pub fn alloc(self: &Arc<Self>, len: usize) -> Result<Arc<Block>, Short> {
        let dropped = self.dropped.get_or_init(HeapReturns::default);
        let mut state = self.lock();
        returns_of(&mut state, dropped);
        state.alloc(self, len as u64)
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

    /// Asks to be told, through the peers' marks or `wake`, of the next block that comes back. False:
    /// one did meanwhile.
    pub fn arm(&self) -> bool {
        budget::tell(&self.wake);
        let mut state = self.lock();
        state.armed = true;
        self.dropped.get().is_none_or(returns::arm)
            && state.lenders.iter().all(|id| state.peers.get(id).is_none_or(|peer| peer.arm(1)))
    }

    /// As `arm`, once about half of what each peer has came back; for those who wait only for a moment.
    pub fn arm_half(&self) -> bool {
        let mut state = self.lock();
        state.armed = true;
        let arm = |peer: &PeerRow| peer.arm(peer.count as u64 / 2);
        state.lenders.iter().all(|id| state.peers.get(id).is_none_or(arm))
    }

    // --- peers ---------------------------------------------------------------------------------------------

    /// A connection over which blocks may go; they come back by `words`.
    pub fn join(&self, words: MappedReturns) -> PeerId {
        let mut state = self.lock();
        state.next_peer += 1;
        let id = PeerId(state.next_peer);
        let row = PeerRow { words, lent: Vec::new(), count: 0, bytes: 0, returned: 0, leaves: false };
        state.peers.insert(id, row);
        id
    }

    /// May a block for `len` bytes be lent to the peer now? A peer may have twice what is left for others, so
    /// one gets at most two thirds and something is always left for the next. What lies there for long is
    /// less: see `lend`.
    pub fn may_lend(&self, peer: PeerId, len: usize) -> bool {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let Some((_, bytes)) = class_of(len as u64) else { return false };
        let held = state.peers.get(&peer).map_or(0, |peer| peer.bytes);
        state.may_lend(held, bytes)
    }

    /// How many blocks, and bytes, the peer has, and how many came back from it so far.
    pub fn lent_to(&self, peer: PeerId) -> (usize, u64, u64) {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        state.peers.get(&peer).map_or((0, 0, 0), |peer| (peer.count, peer.bytes, peer.returned))
    }

    /// The same of all peers together.
    pub fn lent(&self) -> (usize, u64, u64) {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let sum = |total: (usize, u64), peer: &PeerRow| (total.0 + peer.count, total.1 + peer.bytes);
        let (blocks, bytes) = state.lenders.iter().filter_map(|id| state.peers.get(id)).fold((0, 0), sum);
        (blocks, bytes, state.returned)
    }

    /// Lends `len` bytes of the block. None: it is not ours, or the peer has it already. Once half of all that
    /// there may be is out, readers are told to copy: what their programs hold stays below that half,
    /// however many they are, and the other half is for what is under way.
    pub fn lend(self: &Arc<Self>, peer: PeerId, block: &Arc<Block>, len: usize) -> Option<Described> {
        if !Arc::ptr_eq(self, &block.arena) {
            return None;
        }
        let mut state = self.lock();
        state.lend(peer, block.id, len)
    }

    /// A warm block for `len` bytes in one of the segments that the peer knows, lent already, and where to
    /// write: the whole of `alloc` and `lend` for most frames, which have one reader. None: it takes more.
    pub fn lend_warm(&self, peer: PeerId, len: usize, known: &[u32]) -> Option<(Described, *mut u8)> {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let state = &mut *state;
        // Before anything is taken: `lend` refuses a peer that is not there.
        let held = state.peers.get(&peer)?.bytes;
        let (class, bytes) = class_of(len as u64)?;
        let block = state.classes.get(class)?.next_free(bytes)?;
        let row = &state.rows[block as usize];
        let at = row.at;
        if state.shares || !row.warm || !known.contains(&row.segment) || !state.may_lend(held, bytes) {
            return None;
        }
        state.count_use(block);
        state.classes[class].pop_free(bytes);
        let described = state.lend(peer, block, len)?;
        Some((described, at))
    }

    /// True if `lend` would not refuse.
    pub fn may_name(self: &Arc<Self>, peer: PeerId, block: &Arc<Block>) -> bool {
        Arc::ptr_eq(self, &block.arena)
            && !self.lock().peers.get(&peer).is_some_and(|peer| peer.has(block.id))
    }

    /// Asks that the peer's next return marks us, or (`half`) the one with which half of what it has came
    /// back. False: one came meanwhile.
    pub fn arm_peer(&self, peer: PeerId, half: bool) -> bool {
        let mut state = self.lock();
        state.armed = true;
        let wanted = |peer: &PeerRow| if half { peer.count as u64 / 2 } else { 1 };
        state.peers.get(&peer).is_none_or(|peer| peer.arm(wanted(peer)))
    }

    /// A handle to what a descriptor had named that `peer` did not read, for another peer (A-7: it stays
    /// lent until the old one is known to be gone). None: it is not to be had; `copy` reads it instead.
    pub fn revive(self: &Arc<Self>, peer: PeerId, described: Described) -> Option<Arc<Block>> {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let row = state.row_of(peer, described)?;
        if row.held {
            // If the last handle is being dropped right now, its return will come and free the row: ours
            // would be the second holder of one bit.
            return row.handle.upgrade();
        }
        let exports = state.segments.get(&described.segment)?.exports.clone();
        Some(state.handle(self, described.block, exports))
    }

    /// A copy of what a descriptor named that `peer` did not read.
    pub fn copy(&self, peer: PeerId, described: Described) -> Option<Vec<u8>> {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let at = state.row_of(peer, described)?.at;
        // SAFETY: `row_of` saw that the block has so many bytes; it is lent, so nobody writes it (A-6), and
        // its segment stays while the lock is held (A-8).
        Some(unsafe { std::slice::from_raw_parts(at, described.len as usize) }.to_vec())
    }

    /// The connection is over. True: the peer has blocks, which come back one by one, or by `reclaim`.
    pub fn leave(&self, peer: PeerId) -> bool {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let Some(row) = state.peers.get_mut(&peer) else { return false };
        row.leaves = true;
        let has = row.count > 0;
        if !has {
            state.peers.remove(&peer);
        }
        has
    }

    /// Nobody can read for the peer any more (A-7): all that it has comes back.
    pub fn reclaim(&self, peer: PeerId) {
        let mut state = self.lock();
        let Some(mut row) = state.peers.remove(&peer) else { return };
        state.lenders.retain(|lender| *lender != peer);
        for block in 0..BLOCKS {
            if row.take_back(block) {
                state.came_back(block);
            }
        }
        state.armed = false;
        drop(state);
        (self.wake)();
    }

    // --- segments ------------------------------------------------------------------------------------------

    /// The fd and size of a segment, to be announced.
    pub fn announce<T>(&self, segment: u32, announce: impl FnOnce(BorrowedFd<'_>, usize) -> T) -> Option<T> {
        let state = self.lock();
        let segment = state.segments.get(&segment)?;
        Some(announce(segment.fd.as_fd(), segment.map.len()))
    }

    pub fn has_segment(&self, segment: u32) -> bool {
        self.lock().segments.contains_key(&segment)
    }

    /// True once, when there is memory and nobody looks: the caller sees to it.
    pub fn watch(&self) -> bool {
        let mut state = self.lock();
        !state.segments.is_empty() && !std::mem::replace(&mut state.watched, true)
    }

    /// Looks whether memory can be given up: what nobody used since the look before the last.
    pub fn look(&self) -> Look {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let found = state.look();
        state.watched = found != Look::Empty;
        found
    }

    pub fn holdings(&self) -> Holdings {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let lent = state.rows.iter().filter(|row| row.lent > 0).count() as u64;
        Holdings { bytes: state.committed, lent, grown: state.grown }
    }

    // --- one copy for many peers -----------------------------------------------------------------------------

    /// From here to `unshare` every peer is sent the same frames.
    pub fn share(&self) {
        self.lock().shares = true;
    }

    pub fn unshare(&self) {
        let mut state = self.lock();
        state.shares = false;
        let staged = std::mem::take(&mut state.staged);
        drop(state);
        drop(staged);
    }

    /// The block that frame `index` was copied to for an earlier peer.
    pub fn staged(&self, index: usize, at: *const u8) -> Option<Arc<Block>> {
        let state = self.lock();
        if !state.shares {
            return None;
        }
        let found = state.staged.iter().find(|(frame, from, _)| *frame == index && *from == at as usize);
        found.map(|(_, _, block)| block.clone())
    }

    pub fn stage(&self, index: usize, at: *const u8, block: &Arc<Block>) {
        let mut state = self.lock();
        if state.shares {
            state.staged.push((index, at as usize, block.clone()));
        }
    }
}

/// What a look at an arena found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It has no memory.
    Empty,
    /// It is in use: look again soon.
    Busy,
    /// Nothing moved since the last look: look again later.
    Quiet,
}

fn returns_of(state: &mut State, dropped: &HeapReturns) {
    if returns::pending(dropped) {
        returns::take(dropped, |block| state.dropped(block));
        state.took();
    }
    let mut index = 0;
    while index < state.lenders.len() {
        let id = state.lenders[index];
        if !state.returns_from(id) {
            state.lenders.swap_remove(index);
        } else {
            index += 1;
        }
    }
}

impl State {
    fn take_returns(&mut self, dropped: &OnceLock<HeapReturns>) {
        if let Some(dropped) = dropped.get() {
            returns_of(self, dropped);
        }
    }

    /// Words were taken, and with them the wish of whoever sleeps to be told (A-4): it is told now, whatever
    /// was there. Not a return only: the bit that stood for it may have been taken before (A-2). Nor a free
    /// block only: who waits for what one peer has goes on although another has it still.
    fn took(&mut self) {
        if std::mem::take(&mut self.armed) {
            (self.wake)();
        }
    }

    /// The row of a block that the peer has. None: the descriptor, which the peer could write, is not ours.
    fn row_of(&self, peer: PeerId, described: Described) -> Option<&Row> {
        let has = self.peers.get(&peer).is_some_and(|peer| peer.has(described.block));
        let row = self.rows.get(described.block as usize).filter(|_| has)?;
        let inside = described.len <= class_bytes(row.class);
        (row.segment == described.segment && row.offset == described.offset && inside).then_some(row)
    }

    /// Takes what a peer gave back. False: it has nothing any more.
    fn returns_from(&mut self, id: PeerId) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if returns::pending(&peer.words) {
            let mut back = std::mem::take(&mut self.back);
            returns::take(&peer.words, |block| back.push(block));
            // A-5: believed only of blocks that this peer has.
            for block in back.drain(..) {
                self.return_from(id, block);
            }
            self.back = back;
            self.took();
        }
        let Some(peer) = self.peers.get(&id) else { return false };
        let has = peer.count > 0;
        if !has && peer.leaves {
            self.peers.remove(&id);
        }
        has
    }

    fn return_from(&mut self, id: PeerId, block: u32) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.take_back(block) {
            return;
        }
        peer.bytes -= class_bytes(self.rows[block as usize].class);
        peer.returned += 1;
        self.returned += 1;
        self.came_back(block);
    }

    /// One peer less has the block. The caller tells whoever sleeps.
    fn came_back(&mut self, block: u32) {
        self.rows[block as usize].lent -= 1;
        self.free_if_unused(block);
    }

    /// The last handle is gone.
    fn dropped(&mut self, block: u32) {
        if let Some(row) = self.rows.get_mut(block as usize)
            && row.held
        {
            row.held = false;
            self.free_if_unused(block);
        }
    }

    fn free_if_unused(&mut self, block: u32) {
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
                self.classes[class].free.push_back(block);
            }
        }
    }

    fn alloc(&mut self, arena: &Arc<Arena>, len: u64) -> Result<Arc<Block>, Short> {
        let Some((class, bytes)) = class_of(len) else {
            return Err(Short::Never(format!("{len} bytes are more than any block has")));
        };
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Class::default);
        }
        if self.classes[class].free.is_empty() {
            self.refill(class, bytes)?;
        }
        let block = self.classes[class].pop_free(bytes).ok_or(Short::Wait)?;
        self.take(arena, block)
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
            Err(Short::Wait) => Err(self.shortage(bytes)),
            made => made,
        }
    }

    /// There is no room for a block of so many bytes now: will there be?
    fn shortage(&self, bytes: u64) -> Short {
        let (max, limit) = match self.max {
            0 => (budget::max(), "SHM_MAX"),
            max if max < budget::max() => (max, "ARENA_MAX"),
            _ => (budget::max(), "SHM_MAX"),
        };
        if bytes > max || self.used == 0 {
            return Short::Never(format!("a block of {bytes} bytes is beyond {limit} of {max} bytes"));
        }
        // All of it is in the program's own hands: to wait for oneself is to wait for ever.
        if !self.awaits() {
            return Short::Never(format!(
                "no block of {bytes} bytes: the program holds {} bytes of blocks that it did not send",
                self.used
            ));
        }
        Short::Wait
    }

    /// True if a peer, or a queue of this process, has something that will come back.
    fn awaits(&self) -> bool {
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

    /// A segment that was to be given up is wanted again.
    fn undrain(&mut self, class: usize) -> bool {
        for number in self.classes[class].segments.clone() {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            if std::mem::take(&mut segment.draining) {
                let rows = &self.rows;
                let free = segment.blocks.iter().filter(|id| {
                    let row = &rows[**id as usize];
                    !row.held && row.lent == 0
                });
                self.classes[class].free.extend(free);
                if !self.classes[class].free.is_empty() {
                    return true;
                }
            }
        }
        false
    }

    /// Under pressure a block of a larger class will do: it changes its list, not its class.
    fn borrow_larger(&mut self, class: usize) -> bool {
        let larger = (class + 1..self.classes.len()).find(|larger| !self.classes[*larger].free.is_empty());
        let Some(block) = larger.and_then(|larger| self.classes[larger].free.pop_back()) else {
            return false;
        };
        self.classes[class].free.push_back(block);
        true
    }

    /// A new segment for a class: as many blocks as its history asks for, or, halved as often as that is too
    /// much, as there is room for: what is left of a limit is not filled with segments of a block each.
    fn grow(&mut self, class: usize, bytes: u64) -> Result<(), Short> {
        let wanted = self.classes[class].next_blocks(bytes);
        let numbers = u64::from(BLOCKS) - (self.rows.len() - self.free_rows.len()) as u64;
        if numbers == 0 || self.segments.len() >= SEGMENTS_MAX {
            return Err(Short::Numbers);
        }
        let wanted = wanted.min(numbers);
        let within = |count: u64| self.max == 0 || self.committed + count * bytes <= self.max;
        let mut failed = None;
        for count in std::iter::successors(Some(wanted), |count| Some(count / 2)).take_while(|it| *it > 0) {
            if !within(count) {
                continue;
            }
            let Some(reserved) = budget::reserve(count * bytes) else { continue };
            match segment::create_arena((count * bytes) as usize) {
                Ok((fd, map)) => {
                    self.add_segment(class, bytes, count, (fd, map), reserved);
                    return Ok(());
                }
                Err(error) => failed = Some(error.to_string()),
            }
        }
        match failed {
            Some(why) if self.used == 0 => Err(Short::Never(why)),
            _ => Err(Short::Wait),
        }
    }

    fn add_segment(
        &mut self,
        class: usize,
        bytes: u64,
        count: u64,
        (fd, map): (OwnedFd, Arc<Map>),
        reserved: Reserved,
    ) {
        let number = self.next_segment;
        self.next_segment += 1;
        self.grown += 1;
        self.committed += count * bytes;
        let mut blocks = Vec::new();
        for index in 0..count {
            let offset = index * bytes;
            // SAFETY: inside the map: it has `count` times `bytes` bytes.
            let at = unsafe { map.at().add(offset as usize) };
            let row = Row {
                segment: number,
                class,
                offset,
                at,
                handle: Weak::new(),
                held: false,
                lent: 0,
                use_number: 0,
                warm: false,
            };
            let id = match self.free_rows.pop() {
                Some(id) => {
                    self.rows[id as usize] = row;
                    id
                }
                None => {
                    self.rows.push(row);
                    self.rows.len() as u32 - 1
                }
            };
            blocks.push(id);
        }
        // The first block is given out first, so that what is taken from the system at a time is used.
        let free = &mut self.classes[class].free;
        if bytes <= CYCLED_BYTES {
            free.extend(&blocks)
        } else {
            free.extend(blocks.iter().rev())
        }
        self.classes[class].segments.push(number);
        let exports = Exports::new(map.clone(), bytes as usize);
        let segment = Segment {
            fd: fd.into(),
            map,
            exports,
            class,
            blocks,
            used: 0,
            draining: false,
            _reserved: reserved,
        };
        self.segments.insert(number, segment);
    }

    /// Takes a free block into use.
    fn take(&mut self, arena: &Arc<Arena>, block: u32) -> Result<Arc<Block>, Short> {
        let row = &mut self.rows[block as usize];
        let (number, class, bytes) = (row.segment, row.class, class_bytes(row.class));
        let Some(segment) = self.segments.get_mut(&number) else { return Err(Short::Wait) };
        if !row.warm {
            // Memory that is not there is found missing now, as an error, and not by a signal later. Small
            // blocks are made several at a time: the call costs more than the memory.
            let from = row.offset;
            let chunk = bytes.max(CHUNK_BYTES).min(segment.map.len() as u64 - from);
            if let Err(errno) =
                segment::populate(segment.fd.as_fd(), &segment.map, from as usize, chunk as usize)
            {
                self.classes[class].free.push_back(block);
                let why = format!("no memory for a block of {bytes} bytes: {errno}");
                return Err(if self.used == 0 { Short::Never(why) } else { Short::Wait });
            }
            for id in &segment.blocks {
                let row = &mut self.rows[*id as usize];
                row.warm |= row.offset >= from && row.offset + bytes <= from + chunk;
            }
        }
        let exports = segment.exports.clone();
        self.count_use(block);
        Ok(self.handle(arena, block, exports))
    }

    /// A free block is free no more.
    #[inline]
    fn count_use(&mut self, block: u32) {
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

    /// A handle to a block that has none.
    fn handle(&mut self, arena: &Arc<Arena>, block: u32, exports: Arc<Exports>) -> Arc<Block> {
        let row = &mut self.rows[block as usize];
        row.held = true;
        let made = Arc::new(Block {
            arena: arena.clone(),
            at: row.at,
            bytes: class_bytes(row.class) as usize,
            id: block,
            segment: row.segment,
            use_number: row.use_number,
            exporters: AtomicU32::new(0),
            fillers: AtomicU32::new(0),
            exports,
        });
        row.handle = Arc::downgrade(&made);
        made
    }

    /// Bytes that there may be, and that are in use.
    fn share(&self) -> (u64, u64) {
        match self.max {
            0 => (budget::max(), budget::used().saturating_sub(self.committed - self.used)),
            max => (max.min(budget::max()), self.used),
        }
    }

    /// May a peer that has `held` bytes have more?
    fn may_lend(&self, held: u64, bytes: u64) -> bool {
        let (most, used) = self.share();
        held == 0 || held.saturating_add(bytes) <= most.saturating_sub(used).saturating_mul(2)
    }

    fn lend(&mut self, id: PeerId, block: u32, len: usize) -> Option<Described> {
        let peer = self.peers.get_mut(&id)?;
        if peer.has(block) {
            return None;
        }
        if peer.lent.is_empty() {
            peer.lent.resize(WORDS, 0);
        }
        peer.lent[block as usize / 64] |= 1 << (block % 64);
        if peer.count == 0 && !self.lenders.contains(&id) {
            self.lenders.push(id);
        }
        peer.count += 1;
        let row = &mut self.rows[block as usize];
        peer.bytes += class_bytes(row.class);
        row.lent += 1;
        let (segment, offset) = (row.segment, row.offset);
        let (most, used) = self.share();
        Some(Described { segment, block, offset, len: len as u64, copy: used > most / 2 })
    }

    fn look(&mut self) -> Look {
        let stirred = std::mem::take(&mut self.stirred);
        for class in 0..self.classes.len() {
            self.shrink(class);
        }
        let settles = self.classes.iter().any(|class| !class.segments.is_empty() && class.used == 0);
        match (self.segments.is_empty(), stirred) {
            (true, _) => Look::Empty,
            (false, true) => Look::Busy,
            // The last block of an unused class is still there.
            (false, false) if settles => Look::Busy,
            (false, false) => Look::Quiet,
        }
    }

    /// Gives up segments of a class, the newest first, as long as the others have enough blocks.
    fn shrink(&mut self, class: usize) {
        let Class { peak, last_peak, used, idle_looks, segments, .. } = &mut self.classes[class];
        *idle_looks = if *peak > 0 { 0 } else { *idle_looks + 1 };
        let least = usize::from(*idle_looks <= IDLE_LOOKS);
        let keep = least.max(*peak).max(*last_peak);
        *last_peak = std::mem::replace(peak, *used);
        let numbers: Vec<u32> = segments.iter().rev().copied().collect();
        let total: usize =
            numbers.iter().filter_map(|number| self.segments.get(number)).map(|it| it.blocks.len()).sum();
        let mut excess = total.saturating_sub(keep);
        for number in numbers {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            if segment.blocks.len() > excess {
                continue;
            }
            excess -= segment.blocks.len();
            if segment.used == 0 {
                self.give_up(number);
            } else if !std::mem::replace(&mut segment.draining, true) {
                let rows = &self.rows;
                self.classes[class].free.retain(|id| rows[*id as usize].segment != number);
            }
        }
    }

    /// Under pressure: every segment that is free goes. True if one was.
    fn give_up_free(&mut self) -> bool {
        let free: Vec<u32> =
            self.segments.iter().filter(|(_, it)| it.used == 0).map(|(number, _)| *number).collect();
        free.iter().for_each(|number| self.give_up(*number));
        !free.is_empty()
    }

    /// A-8.
    fn give_up(&mut self, number: u32) {
        let Some(segment) = self.segments.remove(&number) else { return };
        self.committed -= segment.map.len() as u64;
        let class = &mut self.classes[segment.class];
        class.segments.retain(|other| *other != number);
        let rows = &self.rows;
        for class in &mut self.classes {
            class.free.retain(|id| rows[*id as usize].segment != number);
        }
        self.free_rows.extend(segment.blocks);
    }
}
