//! A lock that is held for one non-blocking attempt and never across a wait.
//!
//! Under the GIL application threads never contend for it; what contends is an I/O thread that
//! attaches or detaches a peer. So the uncontended path is one compare-and-swap and one store, and a
//! waiter yields instead of parking. Nobody may call into Python, block, or take another socket's
//! lock while holding one.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug, Default)]
pub struct AttemptLock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through the guard, which exists once at a time.
unsafe impl<T: Send> Sync for AttemptLock<T> {}

impl<T> AttemptLock<T> {
    pub const fn new(value: T) -> Self {
        AttemptLock { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T> {
        // SYNC L-1, pairs with the store in `Guard::drop`.
        if self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        Guard { lock: self }
    }

    /// The lock, if nobody has it.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        // SYNC L-1, as in `lock`.
        let taken = self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Made only if it is ours: its end releases the lock.
        taken.then(|| Guard { lock: self })
    }

    #[cold]
    fn lock_contended(&self) {
        let mut tries = 0u32;
        loop {
            if !self.held.load(Ordering::Relaxed)
                && self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            tries += 1;
            match tries {
                0..=64 => std::hint::spin_loop(),
                65..=256 => std::thread::yield_now(),
                // The holder was descheduled; two cores and real-time neighbours exist.
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
        }
    }
}

pub struct Guard<'a, T> {
    lock: &'a AttemptLock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists, so this thread holds the lock, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SYNC L-1, pairs with the CAS in `lock`.
        self.lock.held.store(false, Ordering::Release);
    }
}
