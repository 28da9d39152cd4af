//! Hand-over of the producer role: the queue of the time before the connection, moved into the ring by
//! the I/O thread, which then gives the writing end to the application (design.md section 3).
//!
//! The pipe that does this lives in `core`; the model states the rule it must keep. The writing end is
//! in a loom cell, so two producers at a time are a data race that loom reports.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/loom_memory.rs"]
mod memory;

use std::collections::VecDeque;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use memory::{Got, LoomTx, SMALLEST, explore, pair, read, write};

struct Pipe {
    queue: Mutex<VecDeque<u64>>,
    /// False: the I/O thread is the producer. Set once, under the queue's mutex.
    role_is_application: AtomicBool,
    tx: UnsafeCell<LoomTx<false>>,
}

// SAFETY: `tx` is touched by the holder of the role only, which loom checks.
unsafe impl Sync for Pipe {}
// SAFETY: as above.
unsafe impl Send for Pipe {}

#[derive(Clone, Copy, PartialEq)]
enum Mutant {
    None,
    /// The I/O thread hands over without looking at the queue again.
    NoSecondLook,
    /// The application believes what it read of the role before it took the mutex.
    StaleRole,
    /// The role is handed over outside the mutex.
    OutsideMutex,
}

impl Pipe {
    fn put(&self, value: u64) {
        // SAFETY: the caller holds the role; loom guards the cell.
        self.tx.with_mut(|tx| unsafe { write(&mut *tx, value) }).unwrap();
    }

    /// The application's send.
    fn send(&self, value: u64, mutant: Mutant) {
        // Acquire: all that the I/O thread did with `tx` is visible before we touch it.
        if self.role_is_application.load(Ordering::Acquire) {
            return self.put(value);
        }
        let mut queue = self.queue.lock().unwrap();
        if mutant != Mutant::StaleRole && self.role_is_application.load(Ordering::Acquire) {
            drop(queue);
            return self.put(value);
        }
        queue.push_back(value);
    }

    /// The I/O thread's part, once the connection is up.
    fn move_and_hand_over(&self, mutant: Mutant) {
        loop {
            let waiting = std::mem::take(&mut *self.queue.lock().unwrap());
            for value in waiting {
                self.put(value);
            }
            let queue = self.queue.lock().unwrap();
            if queue.is_empty() || mutant == Mutant::NoSecondLook {
                if mutant == Mutant::OutsideMutex {
                    drop(queue);
                }
                return self.role_is_application.store(true, Ordering::Release);
            }
        }
    }
}

fn hand_over(mutant: Mutant) {
    let (tx, mut rx) = pair::<false>(2 * SMALLEST, 0, 0);
    let pipe = Arc::new(Pipe {
        queue: Mutex::new(VecDeque::from([1])),
        role_is_application: AtomicBool::new(false),
        tx: UnsafeCell::new(tx),
    });
    let moved = pipe.clone();
    let io = thread::spawn(move || moved.move_and_hand_over(mutant));
    for value in 2..=4 {
        pipe.send(value, mutant);
    }
    io.join().unwrap();
    for value in 1..=4 {
        assert_eq!(read(&mut rx).unwrap(), Got::Message(value, false), "lost or out of order");
    }
    assert_eq!(read(&mut rx).unwrap(), Got::Empty);
}

#[test]
fn messages_sent_during_the_hand_over_keep_their_order_and_none_is_lost() {
    explore("hand-over, 1 queued and 3 sent", None, || hand_over(Mutant::None));
}

#[test]
#[should_panic(expected = "lost or out of order")]
fn a_hand_over_without_a_second_look_at_the_queue_is_caught() {
    explore("mutant: no second look", None, || hand_over(Mutant::NoSecondLook));
}

#[test]
#[should_panic(expected = "lost or out of order")]
fn an_application_that_believes_a_stale_role_is_caught() {
    explore("mutant: stale role", None, || hand_over(Mutant::StaleRole));
}

#[test]
#[should_panic(expected = "lost or out of order")]
fn a_role_that_is_handed_over_outside_the_mutex_is_caught() {
    explore("mutant: outside the mutex", None, || hand_over(Mutant::OutsideMutex));
}
