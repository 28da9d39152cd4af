//! The atomics that ring.rs and ready.rs use.
//!
//! Algorithms take their words through [`Word`], because a loom atomic cannot live inside a mapping
//! and a mapped word cannot be a loom atomic. The compiler sees one implementation per build of a
//! generic, so the indirection costs nothing.

pub use core::sync::atomic::Ordering;

/// A 64-bit word that two threads of control may touch at once.
pub trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    fn swap(&self, value: u64, order: Ordering) -> u64;
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64;
    fn fetch_and(&self, bits: u64, order: Ordering) -> u64;
    /// Replaces `current` by `new`, or returns what stood there instead.
    fn compare_exchange(&self, current: u64, new: u64, ok: Ordering, err: Ordering) -> Result<u64, u64>;
}

macro_rules! word {
    ($atomic:ty) => {
        impl Word for $atomic {
            #[inline(always)]
            fn load(&self, order: Ordering) -> u64 {
                <$atomic>::load(self, order)
            }
            #[inline(always)]
            fn store(&self, value: u64, order: Ordering) {
                <$atomic>::store(self, value, order)
            }
            #[inline(always)]
            fn swap(&self, value: u64, order: Ordering) -> u64 {
                <$atomic>::swap(self, value, order)
            }
            #[inline(always)]
            fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
                <$atomic>::fetch_or(self, bits, order)
            }
            #[inline(always)]
            fn fetch_and(&self, bits: u64, order: Ordering) -> u64 {
                <$atomic>::fetch_and(self, bits, order)
            }
            #[inline(always)]
            fn compare_exchange(
                &self,
                current: u64,
                new: u64,
                ok: Ordering,
                err: Ordering,
            ) -> Result<u64, u64> {
                <$atomic>::compare_exchange(self, current, new, ok, err)
            }
        }
    };
}

word!(core::sync::atomic::AtomicU64);

#[cfg(loom)]
word!(loom::sync::atomic::AtomicU64);
