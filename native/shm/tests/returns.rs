//! Returns without interleavings: every block, every boundary, and a peer that lies.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;
use shmzmq_shm::returns::{self, BLOCKS, GROUPS, HeapReturns, ReturnWords, WORDS};

fn taken(memory: &HeapReturns) -> Vec<u32> {
    let mut found = Vec::new();
    returns::take(memory, |block| found.push(block));
    found
}

#[test]
fn every_block_can_be_given_back_and_is_taken_once() {
    let memory = HeapReturns::default();
    assert!(!returns::pending(&memory));
    for block in 0..BLOCKS {
        assert!(!returns::give(&memory, block));
        assert!(returns::pending(&memory));
        assert_eq!(taken(&memory), [block]);
        assert!(!returns::pending(&memory));
    }
    (0..BLOCKS).for_each(|block| assert!(!returns::give(&memory, block)));
    assert_eq!(taken(&memory), (0..BLOCKS).collect::<Vec<_>>());
    assert_eq!(taken(&memory), []);
}

#[test]
fn a_block_that_cannot_be_is_not_given_back() {
    let memory = HeapReturns::default();
    assert!(returns::arm(&memory));
    for block in [BLOCKS, BLOCKS + 1, 1 << 31, u32::MAX] {
        assert!(!returns::give(&memory, block));
        assert!(!returns::pending(&memory));
    }
    assert_eq!(taken(&memory), []);
}

#[test]
fn the_first_return_to_a_waiting_owner_marks_it_and_no_other_does() {
    let memory = HeapReturns::default();
    assert!(returns::arm(&memory));
    assert!(returns::arm(&memory), "arming twice is arming");
    assert!(!returns::pending(&memory), "nothing came back yet");
    assert!(returns::give(&memory, 7));
    assert!(!returns::give(&memory, 8));
    assert!(!returns::arm(&memory), "something came back");
    assert!(!returns::give(&memory, 9), "an arm that failed armed nothing");
    assert_eq!(taken(&memory), [7, 8, 9]);
}

#[test]
fn an_owner_that_takes_waits_no_longer() {
    let memory = HeapReturns::default();
    assert!(returns::arm(&memory));
    assert_eq!(taken(&memory), []);
    assert!(!returns::give(&memory, 3));
    assert_eq!(taken(&memory), [3]);
}

/// all bits of all words, with and without the summary to match, are numbers below BLOCKS, each
/// once; and none is left for the next take.
#[test]
fn a_page_full_of_bits_costs_one_walk() {
    for summary in [u64::MAX, u64::MAX >> 1, 1 << 62, 0] {
        let memory = HeapReturns::default();
        (0..WORDS).for_each(|index| memory.word(index).store(u64::MAX, Ordering::Relaxed));
        memory.summary().store(summary, Ordering::Relaxed);
        let found = taken(&memory);
        let groups = (summary & (u64::MAX >> 1)).count_ones() as usize;
        assert_eq!(found.len(), groups * BLOCKS as usize / GROUPS);
        assert!(found.iter().all(|&block| block < BLOCKS));
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
        assert_eq!(taken(&memory), []);
    }
}

proptest! {
    /// Returns are a set: what is taken is what was given since, in whatever order.
    #[test]
    fn returns_are_a_set(steps in prop::collection::vec(prop::option::weighted(0.9, 0..BLOCKS), 1..400)) {
        let memory = HeapReturns::default();
        let mut model = BTreeSet::new();
        for step in steps {
            match step {
                Some(block) => {
                    returns::give(&memory, block);
                    model.insert(block);
                }
                None => {
                    prop_assert_eq!(returns::pending(&memory), !model.is_empty());
                    let found = taken(&memory);
                    prop_assert_eq!(found, std::mem::take(&mut model).into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}

/// on real hardware: two readers give back what one owner lends, and nobody hangs.
#[test]
fn what_two_threads_give_back_to_a_sleeping_owner_is_lent_again_and_again() {
    const EACH: u32 = 50_000;
    let memory = Arc::new(HeapReturns::default());
    let bell = Arc::new(AtomicBool::new(false));
    // What reader 0 and 1 may give back next: a block, or NONE.
    const NONE: u32 = u32::MAX;
    let lent = Arc::new([AtomicU32::new(5), AtomicU32::new(700)]);
    let readers = [0, 1].map(|which| {
        let (memory, bell, lent) = (memory.clone(), bell.clone(), lent.clone());
        std::thread::spawn(move || {
            for _ in 0..EACH {
                let block = loop {
                    match lent[which].swap(NONE, Ordering::Acquire) {
                        NONE => std::thread::yield_now(),
                        block => break block,
                    }
                };
                if returns::give(&*memory, block) {
                    bell.store(true, Ordering::Release);
                }
            }
        })
    });
    let (mut left, began) = (2 * EACH, std::time::Instant::now());
    while left > 0 {
        if returns::arm(&*memory) {
            while !bell.swap(false, Ordering::Acquire) {
                assert!(began.elapsed().as_secs() < 60, "no mark for a return; {left} left");
                std::thread::yield_now();
            }
        }
        returns::take(&*memory, |block| {
            let which = usize::from(block == 700);
            assert!(block == 5 || block == 700);
            assert_eq!(lent[which].swap(block, Ordering::Release), NONE, "taken twice");
            left -= 1;
        });
    }
    for reader in readers {
        reader.join().unwrap();
    }
}
