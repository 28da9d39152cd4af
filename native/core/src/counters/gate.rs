//! A gate between the counters' thread and forks: neither is inside while the other is.
//!
//! What the thread does inside takes locks (of contexts, of sockets, of the allocator) that a forked child would
//! find held for ever, and opens files that it would inherit unlisted. Sleeping is outside.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::futex;

use crate::signaler::timespec;

/// How long a fork waits for the thread to come out.
const CAP: Duration = Duration::from_millis(500);
/// The thread is inside; above this bit, how many forks are under way.
const INSIDE: u32 = 1;
const FORK: u32 = 2;

pub struct Gate {
    word: AtomicU32,
}

impl Gate {
    pub const fn new() -> Gate {
        Gate { word: AtomicU32::new(0) }
    }

    fn wait(&self, seen: u32, cap: Option<Duration>) {
        let _ = futex::wait(&self.word, futex::Flags::PRIVATE, seen, cap.map(timespec).as_ref());
    }

    fn wake(&self) {
        let _ = futex::wake(&self.word, futex::Flags::PRIVATE, i32::MAX as u32);
    }

    /// Does `work` while no fork is under way.
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        // SYNC K-4, pairs with the release below and in `after_fork_in_parent`.
        while let Err(seen) = self.word.compare_exchange(0, INSIDE, Ordering::Acquire, Ordering::Relaxed) {
            self.wait(seen, None);
        }
        let result = work();
        self.word.fetch_and(!INSIDE, Ordering::Release);
        self.wake();
        result
    }

    /// Before a fork: nobody goes in any more; waits until nobody is inside, at most a moment.
    pub fn before_fork(&self) {
        let end = Instant::now() + CAP;
        let mut seen = self.word.fetch_add(FORK, Ordering::Acquire) + FORK;
        while seen & INSIDE != 0 && Instant::now() < end {
            self.wait(seen, Some(end.saturating_duration_since(Instant::now())));
            seen = self.word.load(Ordering::Acquire);
        }
    }

    pub fn after_fork_in_parent(&self) {
        self.word.fetch_sub(FORK, Ordering::Release);
        self.wake();
    }

    /// The thread is the parent's.
    pub fn after_fork_in_child(&self) {
        self.word.store(0, Ordering::Release);
    }
}
