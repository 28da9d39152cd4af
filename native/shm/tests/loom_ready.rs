//! Ready words: two publishers, one sleeper.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arc_with_non_send_sync)]

#[path = "support/loom_memory.rs"]
mod memory;

use loom::cell::UnsafeCell;
use loom::thread;
use memory::{Socket, explore};
use std::sync::Arc;

/// Two publishers write what they have (a cell each, ordered by nothing but the ready words) and mark
/// their slots; the sleeper must see both slots, and with them what was written before.
fn two_publishers<const RELAXED: bool>(slots: [u32; 2]) {
    let socket = Socket::<RELAXED>::new();
    let cells: Arc<[UnsafeCell<u64>; 2]> = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
    let publishers = [0, 1].map(|which| {
        let (to, cells) = (socket.clone(), cells.clone());
        thread::spawn(move || {
            // SAFETY: loom guards the cell.
            cells[which].with_mut(|cell| unsafe { *cell = 7 });
            to.mark_if(true, slots[which]);
        })
    });
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let (found, control) = socket.sleep();
        assert!(!control);
        for slot in found {
            let which = slots.iter().position(|&known| known as usize == slot);
            let which = which.expect("a slot that was marked");
            assert!(!seen[which]);
            seen[which] = true;
            // SAFETY: loom guards the cell.
            assert_eq!(cells[which].with(|cell| unsafe { *cell }), 7);
        }
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
}

/// Y-1, Y-2 inside one group: both slots share both words.
#[test]
fn two_publishers_in_one_group_wake_the_sleeper_for_both_slots() {
    explore("two publishers, one group", Some(4), || two_publishers::<false>([3, 9]));
}

/// Y-1, Y-2 across groups.
#[test]
fn two_publishers_in_two_groups_wake_the_sleeper_for_both_slots() {
    explore("two publishers, two groups", Some(4), || two_publishers::<false>([3, 64]));
}

/// A socket's own state changes while a pipe becomes ready.
#[test]
fn control_and_a_slot_both_reach_the_sleeper() {
    explore("CONTROL and one slot", None, || {
        let socket = Socket::<false>::new();
        let (one, two) = (socket.clone(), socket.clone());
        let publisher = thread::spawn(move || one.mark_if(true, 70));
        let inside = thread::spawn(move || two.mark_control());
        let mut seen = (false, false);
        while seen != (true, true) {
            let (found, control) = socket.sleep();
            seen.0 |= control;
            seen.1 |= found == [70];
        }
        publisher.join().unwrap();
        inside.join().unwrap();
    });
}

/// Y-1: marks that come one after the other, with a sleep between or not.
#[test]
fn a_slot_that_is_marked_twice_is_found_after_the_second_mark() {
    explore("one slot, two marks", None, || {
        let socket = Socket::<false>::new();
        let counter = Arc::new(loom::sync::atomic::AtomicU64::new(0));
        let (to, counted) = (socket.clone(), counter.clone());
        let publisher = thread::spawn(move || {
            for _ in 0..2 {
                counted.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
                to.mark_if(true, 0);
            }
        });
        while counter.load(loom::sync::atomic::Ordering::Relaxed) < 2 {
            socket.sleep();
        }
        publisher.join().unwrap();
    });
}

/// The model can fail: relaxed ready words carry the bit and not what was written before it.
#[test]
#[should_panic(expected = "Causality violation")]
fn relaxed_ready_words_are_caught() {
    explore("mutant: relaxed ready words", None, || two_publishers::<true>([3, 9]));
}
