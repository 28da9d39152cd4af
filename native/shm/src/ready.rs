//! Ready words: how many publishers wake one socket, with one doorbell and one sleep decision.
//!
//! **Theory of operation.** A socket's pipes have slots. A publisher that learns (from a pipe's index
//! word) that the socket does not look at that pipe sets the slot's bit, then the bit of the slot's
//! group in the *summary*. If the summary said SLEEPING it rings the socket's doorbell.
//!
//! ```text
//! publisher   group |= slot bit;  old = summary |= group bit;  old.SLEEPING -> ring the doorbell
//! socket      arm:   CAS(summary, 0 -> SLEEPING)   fails -> something is ready: do not sleep
//!             wake:  summary &= !SLEEPING
//!             take:  bits = summary &= SLEEPING;  for each group bit: slots = swap(group, 0)
//! ```
//!
//! Invariants
//! - Y-1 No lost wake-up: `mark` and `arm` are read-modify-writes of the one summary word, hence
//!   totally ordered. Either `arm` fails because a bit stands, or `mark` sees SLEEPING and rings.
//! - Y-2 No lost bit: a slot's bit is set before its group's bit, and taken after it. A bit set between
//!   the two takes leaves a group bit standing for the next take (which may then find nothing: harmless).
//! - Y-3 Publishers do not clear SLEEPING. One that is stopped or dies between `mark` and the doorbell
//!   delays its own wake-up only; every other publisher still sees SLEEPING and rings for itself. The
//!   price is one redundant doorbell write per *pipe* and sleep, never per message.
//!
//! A hostile peer that maps this page can wake the socket for nothing or keep its wake-ups from it;
//! it reads and writes no message with it. Slots beyond [`SLOTS`] share bits.

use crate::sync::{Ordering, Word};

/// In the summary: the socket sleeps on its doorbell.
pub const SLEEPING: u64 = 1 << 63;
/// In the summary: something inside the process happened (attach, detach, close, term).
pub const CONTROL: u64 = 1 << 62;
pub const GROUPS: usize = 62;
pub const SLOTS: usize = GROUPS * 64;

/// Where the words are: a mapped page, or loom's atomics.
pub trait ReadyMemory {
    type Word: Word;
    fn summary(&self) -> &Self::Word;
    /// `group` is below [`GROUPS`].
    fn group(&self, group: usize) -> &Self::Word;
    /// The ordering of the read-modify-writes. A constant so that a negative test can weaken it.
    const ORDER: Ordering = Ordering::AcqRel;
}

/// Publisher: says that the pipe in `slot` has something. True: the caller must ring the doorbell.
#[inline]
pub fn mark<M: ReadyMemory>(memory: &M, slot: u32) -> bool {
    let slot = slot as usize % SLOTS;
    let (group, bit) = (slot / 64, slot % 64);
    // SYNC Y-2, pairs with the swap in `take`: the slot's bit is visible before its group's.
    memory.group(group).fetch_or(1 << bit, M::ORDER);
    // SYNC Y-1, pairs with the CAS in `arm`.
    memory.summary().fetch_or(1 << group, M::ORDER) & SLEEPING != 0
}

/// Publisher inside the process: says that the socket's own state changed. True: ring the doorbell.
#[inline]
pub fn mark_control<M: ReadyMemory>(memory: &M) -> bool {
    memory.summary().fetch_or(CONTROL, M::ORDER) & SLEEPING != 0
}

/// Socket: true if a take would find something. One load of a line that only wake-ups write.
#[inline(always)]
pub fn pending<M: ReadyMemory>(memory: &M) -> bool {
    memory.summary().load(Ordering::Relaxed) & !SLEEPING != 0
}

/// Socket: about to sleep. False: something is ready, look again.
#[inline]
pub fn arm<M: ReadyMemory>(memory: &M) -> bool {
    // SYNC Y-1, pairs with the RMW in `mark`.
    match memory.summary().compare_exchange(0, SLEEPING, M::ORDER, Ordering::Acquire) {
        Ok(_) => true,
        Err(found) => found == SLEEPING,
    }
}

/// Socket: awake again, whatever the reason.
#[inline]
pub fn disarm<M: ReadyMemory>(memory: &M) {
    memory.summary().fetch_and(!SLEEPING, M::ORDER);
}

/// Socket: takes all that is marked, slot by slot; true if CONTROL was among it.
#[inline]
pub fn take<M: ReadyMemory>(memory: &M, mut ready: impl FnMut(usize)) -> bool {
    let found = memory.summary().fetch_and(SLEEPING, M::ORDER);
    let mut groups = found & !(SLEEPING | CONTROL);
    while groups != 0 {
        let group = groups.trailing_zeros() as usize;
        groups &= groups - 1;
        // SYNC Y-2, pairs with the first RMW in `mark`.
        let mut slots = memory.group(group).swap(0, M::ORDER);
        while slots != 0 {
            ready(group * 64 + slots.trailing_zeros() as usize);
            slots &= slots - 1;
        }
    }
    found & CONTROL != 0
}
