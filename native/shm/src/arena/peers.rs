//! Peers of an arena: who has which block, and how blocks come back.

use std::sync::{Arc, OnceLock};

use super::block::Block;
use super::classes::{class_bytes, class_of};
use super::{Arena, Row, State};
use crate::budget;
use crate::part::Described;
use crate::returns::{self, BLOCKS, HeapReturns, WORDS};
use crate::segment::MappedReturns;

/// By which a peer is known to the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(u64);

pub(super) struct PeerRow {
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
    #[inline]
    fn has(&self, block: u32) -> bool {
        self.lent.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    /// Marks us when so many more came back.
    fn arm(&self, more: u64) -> bool {
        returns::arm_at(&self.words, self.returned + more.max(1))
    }

    /// True if it had the block.
    #[inline]
    fn take_back(&mut self, block: u32) -> bool {
        let had = self.has(block);
        if had {
            self.lent[block as usize / 64] &= !(1 << (block % 64));
            self.count -= 1;
        }
        had
    }
}

impl Arena {
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
    #[inline]
    pub fn may_lend(&self, peer: PeerId, len: usize) -> bool {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let Some((_, bytes)) = class_of(len as u64) else { return false };
        let held = state.peers.get(&peer).map_or(0, |peer| peer.bytes);
        state.may_lend(held, bytes)
    }

    /// While peers are sent the same frames, of `lens` bytes: would the peer have more than it may with their
    /// blocks, which may count as used already?
    pub fn exceeds_share(&self, peer: PeerId, lens: impl Iterator<Item = usize> + Clone) -> bool {
        let mut state = self.lock();
        if !state.shares || !state.exceeds(peer, lens.clone()) {
            return false;
        }
        state.take_returns(&self.dropped);
        state.exceeds(peer, lens)
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
    #[inline]
    pub fn lend(self: &Arc<Self>, peer: PeerId, block: &Arc<Block>, len: usize) -> Option<Described> {
        if !Arc::ptr_eq(self, &block.arena) {
            return None;
        }
        let mut state = self.lock();
        state.lend(peer, block.id, len)
    }

    /// A warm block for `len` bytes in one of the segments that the peer knows, lent already, and where to
    /// write: the whole of `alloc` and `lend` for most frames, which have one reader. None: it takes more.
    #[inline]
    pub fn lend_warm(&self, peer: PeerId, len: usize, known: &[u32]) -> Option<(Described, *mut u8)> {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let state = &mut *state;
        // Before anything is taken: `lend` refuses a peer that is not there.
        let held = state.peers.get(&peer)?.bytes;
        let (class, bytes) = class_of(len as u64)?;
        let block = state.classes.get(class)?.free.next()?;
        let row = &state.rows[block as usize];
        let at = row.at;
        if state.shares || !row.warm || !known.contains(&row.segment) || !state.may_lend(held, bytes) {
            return None;
        }
        state.count_use(block);
        state.classes[class].free.pop();
        let described = state.lend(peer, block, len)?;
        Some((described, at))
    }

    /// True if `lend` would not refuse.
    pub fn may_name(self: &Arc<Self>, peer: PeerId, block: &Arc<Block>) -> bool {
        Arc::ptr_eq(self, &block.arena)
            && !self.lock().peers.get(&peer).is_some_and(|peer| peer.has(block.id))
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
        state.handle(self, described.block)
    }

    /// A copy of what a descriptor named that `peer` did not read.
    pub fn copy(&self, peer: PeerId, described: Described) -> Option<Vec<u8>> {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let at = state.row_of(peer, described)?.at;
        // SAFETY: `row_of` saw that the block has so many bytes; it is lent, so nobody writes it, and
        // its segment stays while the lock is held.
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

    /// Nobody can read for the peer any more: all that it has comes back.
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
}

pub(super) fn returns_of(state: &mut State, dropped: &HeapReturns) {
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
    #[inline]
    pub(super) fn take_returns(&mut self, dropped: &OnceLock<HeapReturns>) {
        if let Some(dropped) = dropped.get() {
            returns_of(self, dropped);
        }
    }

    /// Words were taken, and with them the wish of whoever sleeps to be told: it is told now, whatever
    /// was there. Not a return only: the bit that stood for it may have been taken before. Nor a free
    /// block only: who waits for what one peer has goes on although another has it still.
    #[inline]
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
    #[inline]
    fn returns_from(&mut self, id: PeerId) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if returns::pending(&peer.words) {
            let mut back = std::mem::take(&mut self.back);
            returns::take(&peer.words, |block| back.push(block));
            // believed only of blocks that this peer has.
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

    #[inline]
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
    #[inline]
    fn came_back(&mut self, block: u32) {
        self.rows[block as usize].lent -= 1;
        self.free_if_unused(block);
    }

    /// Bytes that there may be, and that are in use.
    #[inline]
    fn share(&self) -> (u64, u64) {
        match self.max {
            0 => (budget::max(), budget::used().saturating_sub(self.committed - self.used)),
            max => (max.min(budget::max()), self.used),
        }
    }

    /// May a peer that has `held` bytes have more?
    #[inline]
    fn may_lend(&self, held: u64, bytes: u64) -> bool {
        let (most, used) = self.share();
        held == 0 || held.saturating_add(bytes) <= most.saturating_sub(used).saturating_mul(2)
    }

    /// See `exceeds_share`.
    fn exceeds(&self, peer: PeerId, lens: impl Iterator<Item = usize> + Clone) -> bool {
        let held = self.peers.get(&peer).map_or(0, |peer| peer.bytes);
        if held == 0 {
            return false;
        }
        let mut bytes = lens.filter_map(|len| Some(class_of(len as u64)?.1));
        let (most, used) = self.share();
        let left = most.saturating_sub(used.saturating_sub(bytes.clone().sum()));
        bytes.any(|bytes| held.saturating_add(bytes) > left.saturating_mul(2))
    }

    #[inline]
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
}
