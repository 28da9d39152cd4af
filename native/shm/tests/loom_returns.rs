//! Returns: two readers that give blocks back, one owner that sleeps until they do.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arc_with_non_send_sync)]

#[path = "support/loom_memory.rs"]
mod memory;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use memory::{Doorbell, explore};
use shmzmq_shm::returns::{self, BLOCKS, ReturnWords, WORDS};
use shmzmq_shm::sync::{Ordering, Word};
use std::sync::Arc;

/// A word that may be weaker than what the code asks for. Words of no block of a model are constant, or
/// loom would branch at each of them.
struct Place {
    word: Option<AtomicU64>,
    relaxed: bool,
}

impl Place {
    fn used(&self) -> &AtomicU64 {
        self.word.as_ref().expect("a word of some block")
    }
    fn order(&self, asked: Ordering) -> Ordering {
        if self.relaxed { Ordering::Relaxed } else { asked }
    }
}

impl Word for Place {
    fn load(&self, order: Ordering) -> u64 {
        self.word.as_ref().map_or(0, |word| word.load(order))
    }
    fn store(&self, value: u64, order: Ordering) {
        self.used().store(value, self.order(order));
    }
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.used().swap(value, self.order(order))
    }
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.used().fetch_or(bits, self.order(order))
    }
    fn fetch_and(&self, bits: u64, order: Ordering) -> u64 {
        self.used().fetch_and(bits, self.order(order))
    }
    fn compare_exchange(&self, current: u64, new: u64, ok: Ordering, err: Ordering) -> Result<u64, u64> {
        self.used().compare_exchange(current, new, self.order(ok), self.order(err))
    }
}

/// Which words order nothing: the mutants.
#[derive(Clone, Copy)]
struct Relaxed {
    summary: bool,
    words: bool,
}

struct Words {
    summary: Place,
    wake_at: Place,
    words: Vec<Place>,
}

impl Words {
    fn of(blocks: &[u32], relaxed: Relaxed) -> Arc<Self> {
        let used = |index| blocks.iter().any(|&block| block as usize / 64 == index);
        let word = |index| used(index).then(|| AtomicU64::new(0));
        let place = |index| Place { word: word(index), relaxed: relaxed.words };
        let summary = Place { word: Some(AtomicU64::new(0)), relaxed: relaxed.summary };
        let wake_at = Place { word: Some(AtomicU64::new(0)), relaxed: false };
        Arc::new(Words { summary, wake_at, words: (0..WORDS).map(place).collect() })
    }
}

impl ReturnWords for Words {
    type Word = Place;
    fn summary(&self) -> &Place {
        &self.summary
    }
    fn word(&self, index: usize) -> &Place {
        &self.words[index]
    }
    fn wake_at(&self) -> &Place {
        &self.wake_at
    }
}

const STRONG: Relaxed = Relaxed { summary: false, words: false };

/// Each reader reads its blocks (a cell each, ordered by nothing but these words) and gives them back.
/// The owner overwrites what it takes, and sleeps when there is nothing, as a full arena does: a wake-up
/// that is lost is a deadlock, a block that is taken twice or not at all ends the model too.
fn lend(lent: [&'static [u32]; 2], relaxed: Relaxed, give: fn(&Words, u32) -> bool) {
    let all: Vec<u32> = lent.concat();
    let (memory, bell) = (Words::of(&all, relaxed), Doorbell::new());
    let blocks: Arc<Vec<UnsafeCell<u64>>> = Arc::new(all.iter().map(|_| UnsafeCell::new(7)).collect());
    let mut first = 0;
    let readers = lent.map(|mine| {
        let (memory, bell, blocks, from) = (memory.clone(), bell.clone(), blocks.clone(), first);
        first += mine.len();
        thread::spawn(move || {
            for (at, &block) in mine.iter().enumerate() {
                // SAFETY: loom guards the cell.
                assert_eq!(blocks[from + at].with(|block| unsafe { *block }), 7);
                if give(&memory, block) {
                    bell.ring();
                }
            }
        })
    });
    let mut taken = vec![false; all.len()];
    while taken.contains(&false) {
        if returns::arm(&*memory) {
            bell.wait();
        }
        returns::take(&*memory, |block| {
            let at = all.iter().position(|&known| known == block).expect("a block that was lent");
            assert!(!std::mem::replace(&mut taken[at], true), "block {block} taken twice");
            // SAFETY: loom guards the cell.
            blocks[at].with_mut(|block| unsafe { *block = 8 });
        });
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

/// both blocks share word and summary.
#[test]
fn two_blocks_of_one_word_come_back_once_each_and_wake_the_owner() {
    explore("returns, one word", Some(4), || lend([&[3], &[9]], STRONG, returns::give));
}

/// across groups.
#[test]
fn two_blocks_of_two_groups_come_back_once_each_and_wake_the_owner() {
    explore("returns, two groups", Some(4), || lend([&[3], &[BLOCKS - 1]], STRONG, returns::give));
}

/// a reader gives back again while the other one is between seeing WAITING and clearing it.
#[test]
fn an_owner_that_armed_anew_is_marked_for_what_comes_after() {
    explore("returns, three blocks", Some(3), || lend([&[3, 512], &[9]], STRONG, returns::give));
}

/// The model can fail: a relaxed word, taken together with another block of it, carries the bit and not
/// what was read before it.
#[test]
#[should_panic(expected = "Causality violation")]
fn relaxed_words_of_blocks_are_caught() {
    let relaxed = Relaxed { words: true, ..STRONG };
    explore("mutant: relaxed words", None, move || lend([&[3], &[9]], relaxed, returns::give));
}

/// The model can fail: behind a relaxed summary the owner does not see the word that it was sent to.
#[test]
#[should_panic(expected = "deadlock")]
fn a_relaxed_summary_is_caught() {
    let relaxed = Relaxed { summary: true, ..STRONG };
    explore("mutant: relaxed summary", None, move || lend([&[3], &[9]], relaxed, returns::give));
}

/// The model can fail: a group's bit that comes before its block's is taken with nothing behind it, and
/// the block's own bit wakes nobody.
#[test]
#[should_panic(expected = "deadlock")]
fn a_summary_that_is_set_before_the_word_is_caught() {
    fn summary_first(memory: &Words, block: u32) -> bool {
        let waiting = 1 << 63;
        let index = block as usize / 64;
        let before = memory.summary().fetch_or(1 << (index / 8), Ordering::AcqRel);
        memory.word(index).fetch_or(1 << (block % 64), Ordering::AcqRel);
        before & waiting != 0 && memory.summary().fetch_and(!waiting, Ordering::AcqRel) & waiting != 0
    }
    explore("mutant: summary first", None, || lend([&[3], &[9]], STRONG, summary_first));
}

/// The model can fail: an owner that sleeps although arming failed sleeps through what made it fail.
#[test]
#[should_panic(expected = "deadlock")]
fn an_owner_that_ignores_that_arm_failed_is_caught() {
    explore("mutant: arm's answer ignored", None, || {
        let (memory, bell) = (Words::of(&[3], STRONG), Doorbell::new());
        let (theirs, to) = (memory.clone(), bell.clone());
        let reader = thread::spawn(move || {
            if returns::give(&*theirs, 3) {
                to.ring();
            }
        });
        let _ = returns::arm(&*memory);
        bell.wait();
        reader.join().unwrap();
    });
}

// --- an owner of two threads -------------------------------------------------------------------------------

/// When the thread that takes returns tells the one that sleeps: arena/peers.rs, `State::took`, and its mutants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Whenever it took the words.
    Taken,
    /// Only if a block was in them.
    Found,
    Never,
}

/// The arena's part: the lock, what is lent, and who is armed.
struct Owner {
    lent: Vec<u32>,
    returned: u64,
    armed: bool,
}

/// `State::returns_from`, with the tests' bell for a wake.
fn take_returns(memory: &Words, owner: &mut Owner, bell: &Doorbell, tells: Tells) {
    if !returns::pending(memory) {
        return;
    }
    let before = owner.lent.len();
    returns::take(memory, |block| owner.lent.retain(|lent| *lent != block));
    let found = owner.lent.len() != before;
    owner.returned += (before - owner.lent.len()) as u64;
    let tell = tells == Tells::Taken || (tells == Tells::Found && found);
    if tell && std::mem::take(&mut owner.armed) {
        bell.ring();
    }
}

/// One thread of the owner sleeps until the peer has none of the first `wanted` blocks any more; another one takes
/// returns once, at any time (a look, a counter that is asked for); the peer gives back one after the other.
fn wait_for(lent: &'static [u32], wanted: usize, tells: Tells) {
    let (memory, bell) = (Words::of(lent, STRONG), Doorbell::new());
    let owner = Arc::new(Mutex::new(Owner { lent: lent.to_vec(), returned: 0, armed: false }));
    let (theirs, to) = (memory.clone(), bell.clone());
    let reader = thread::spawn(move || {
        for (before, &block) in lent.iter().enumerate() {
            if returns::give_counted(&*theirs, block, || before as u64 + 1) {
                to.ring();
            }
        }
    });
    let (words, shared, to) = (memory.clone(), owner.clone(), bell.clone());
    let other = thread::spawn(move || take_returns(&words, &mut shared.lock().unwrap(), &to, tells));
    loop {
        {
            let mut owner = owner.lock().unwrap();
            take_returns(&memory, &mut owner, &bell, tells);
            if !owner.lent.iter().any(|block| lent[..wanted].contains(block)) {
                break;
            }
            // `Arena::arm_peer`.
            owner.armed = true;
            if !returns::arm_at(&*memory, owner.returned + 1) {
                continue;
            }
        }
        bell.wait();
    }
    reader.join().unwrap();
    other.join().unwrap();
}

/// A-4 with two takers: whoever takes the words takes the wish with them, and tells.
#[test]
fn who_waits_for_a_block_is_told_when_another_thread_takes_its_return() {
    explore("arena, one block, two takers", None, || wait_for(&[3], 1, Tells::Taken));
}

/// A-2 makes bits with nothing behind them: the second block is taken with the first, before its group's bit;
/// whoever takes that finds nothing, and the wish to be told of the third is gone all the same.
#[test]
fn who_waits_for_three_blocks_is_told_of_a_bit_with_nothing_behind_it() {
    explore("arena, three blocks, two takers", Some(3), || wait_for(&[3, 9, 11], 3, Tells::Taken));
}

/// The model can fail: a return that is taken in silence leaves the one that waits asleep.
#[test]
#[should_panic(expected = "deadlock")]
fn a_taker_that_tells_nobody_is_caught() {
    explore("mutant: returns taken in silence", None, || wait_for(&[3], 1, Tells::Never));
}

/// The model can fail: a taker that found no block, and so thinks that nobody waits for it.
#[test]
#[should_panic(expected = "deadlock")]
fn a_taker_that_tells_only_of_blocks_is_caught() {
    explore("mutant: an empty take in silence", Some(4), || wait_for(&[3, 9, 11], 3, Tells::Found));
}
