//! Returns: how blocks of memory come back to who lent them.
//!
//! **Theory of operation.** The owner lends blocks by number; whoever reads one gives it back from any
//! thread by setting one bit. A block is lent once at a time, so a bit says all there is to say: giving
//! back needs no queue, no lock and no memory, and after a reader's death the owner still knows which
//! blocks it had. A *summary* word says which groups of words to look at, and that the owner waits:
//!
//! ```text
//! reader  word |= block's bit;  old = summary |= group's bit;
//!         old.WAITING and it was us who cleared it -> caller marks the owner's socket ready
//! owner   take:  groups = swap(summary, 0);  for each word of each group: blocks = swap(word, 0)
//!         arm:   CAS(summary, 0 -> WAITING)   fails -> something came back: take again, do not sleep
//! ```
//!
//! Invariants
//! - A-2 Each return is taken once: a block's bit is set before its group's, and taken after it, by a
//!   swap. A bit set between the two leaves a group's bit standing for the next take (which may then
//!   find nothing: harmless).
//! - A-3 All that a reader did with a block is before the owner's next use of it: `give` releases and
//!   `take` acquires through the block's own word.
//! - A-4 No lost wake-up: `give` and `arm` are read-modify-writes of the one summary word. Either `arm`
//!   fails because a bit stands, or a `give` sees WAITING; of all that see it, one clears it and marks.
//!   Between the two the owner may arm anew: then it is marked for nothing.
//! - A-5 What the other side writes here costs the owner a walk over [`WORDS`] words and [`BLOCKS`]
//!   calls at most per take. A bit says "I do not use this block any more" and is believed only of a
//!   block that is lent to that very peer: callers of `take` mask by that.
//!
//! This file does not know what a block is, where it lies, or to whom it is lent.

use std::sync::atomic::AtomicU64;

use crate::sync::{Ordering, Word};

/// As many as fit beside WAITING.
pub const GROUPS: usize = 63;
/// A group is a cache line of words.
const GROUP_WORDS: usize = 8;
pub const WORDS: usize = GROUPS * GROUP_WORDS;
pub const BLOCKS: u32 = (WORDS * 64) as u32;
/// In the summary: the owner waits for a block. Set by the owner, cleared by either.
const WAITING: u64 = 1 << 63;

/// Where the words are: a mapped page, the heap, or loom's atomics. All zero at first.
pub trait ReturnWords {
    type Word: Word;
    /// One bit per group | WAITING.
    fn summary(&self) -> &Self::Word;
    /// `index` is below [`WORDS`].
    fn word(&self, index: usize) -> &Self::Word;
    /// An owner that waits wants so many returns in all. By the owner, before it sets WAITING.
    fn wake_at(&self) -> &Self::Word;
}

/// Reader, any thread: gives `block` back; one that cannot be ([`BLOCKS`] or more) is ignored.
/// True: the owner waits for this and the caller must mark it.
#[inline]
pub fn give<M: ReturnWords>(memory: &M, block: u32) -> bool {
    give_counted(memory, block, || u64::MAX)
}

/// As [`give`]; `given` counts the returns that have begun, this one among them. It is asked after the bits
/// are set, so that whoever sets the last of several sees them all.
#[inline]
pub fn give_counted<M: ReturnWords>(memory: &M, block: u32, given: impl FnOnce() -> u64) -> bool {
    if block >= BLOCKS {
        return false;
    }
    let (index, bit) = (block as usize / 64, block % 64);
    // SYNC A-2, A-3, pairs with the swap in `take`: what was read of the block is before its bit, and
    // its bit before its group's.
    memory.word(index).fetch_or(1 << bit, Ordering::AcqRel);
    // SYNC A-2, A-4, pairs with the swap in `take` and the CAS in `arm`.
    let before = memory.summary().fetch_or(1 << (index / GROUP_WORDS), Ordering::AcqRel);
    // SYNC A-4: of several that saw WAITING, the one that clears it marks. The threshold goes with the bit.
    before & WAITING != 0
        && given() >= memory.wake_at().load(Ordering::Relaxed)
        && memory.summary().fetch_and(!WAITING, Ordering::AcqRel) & WAITING != 0
}

/// Owner: true if a take would find something. One load of a line that only returns write.
#[inline(always)]
pub fn pending<M: ReturnWords>(memory: &M) -> bool {
    memory.summary().load(Ordering::Relaxed) & !WAITING != 0
}

/// Owner: takes all that came back since the last take, block by block. It waits no longer then: who
/// was armed and will sleep arms again.
#[inline]
pub fn take<M: ReturnWords>(memory: &M, mut each: impl FnMut(u32)) {
    // SYNC A-2, A-4, pairs with the second RMW in `give`.
    let mut groups = memory.summary().swap(0, Ordering::AcqRel) & !WAITING;
    while groups != 0 {
        let group = groups.trailing_zeros() as usize;
        groups &= groups - 1;
        for index in group * GROUP_WORDS..(group + 1) * GROUP_WORDS {
            take_word(memory, index, &mut each);
        }
    }
}

#[inline]
fn take_word<M: ReturnWords>(memory: &M, index: usize, each: &mut impl FnMut(u32)) {
    // SYNC A-2: a bit whose group's bit was taken is visible to this load; one that is not comes with
    // a group's bit of its own.
    if memory.word(index).load(Ordering::Relaxed) == 0 {
        return;
    }
    // SYNC A-3, pairs with the first RMW in `give`.
    let mut blocks = memory.word(index).swap(0, Ordering::AcqRel);
    while blocks != 0 {
        each(index as u32 * 64 + blocks.trailing_zeros());
        blocks &= blocks - 1;
    }
}

/// Owner: about to sleep until something comes back. False: something did meanwhile, take again.
#[inline]
pub fn arm<M: ReturnWords>(memory: &M) -> bool {
    arm_at(memory, 0)
}

/// As [`arm`], for the return that makes them so many in all. One that is among many may come without a mark,
/// so who sleeps has a deadline, unless it wants but one more than it has taken.
#[inline]
pub fn arm_at<M: ReturnWords>(memory: &M, returns: u64) -> bool {
    // Withdraws an older wish first: a reader must not decide by its threshold any more.
    if memory.wake_at().load(Ordering::Relaxed) != returns {
        memory.summary().fetch_and(!WAITING, Ordering::AcqRel);
        memory.wake_at().store(returns, Ordering::Relaxed);
    }
    // SYNC A-4, pairs with the second RMW in `give`.
    match memory.summary().compare_exchange(0, WAITING, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(found) => found == WAITING,
    }
}

/// [`ReturnWords`] of an owner that gives blocks back to itself.
pub struct HeapReturns {
    summary: AtomicU64,
    wake_at: AtomicU64,
    words: Box<[AtomicU64]>,
}

impl Default for HeapReturns {
    fn default() -> Self {
        let words = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        HeapReturns { summary: AtomicU64::new(0), wake_at: AtomicU64::new(0), words }
    }
}

impl ReturnWords for HeapReturns {
    type Word = AtomicU64;
    #[inline(always)]
    fn summary(&self) -> &AtomicU64 {
        &self.summary
    }
    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index]
    }
    #[inline(always)]
    fn wake_at(&self) -> &AtomicU64 {
        &self.wake_at
    }
}
