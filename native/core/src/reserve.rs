//! Memory set aside for when the system has none left.
//!
//! Rust's containers abort the process when they find no memory. So whatever a program decides the size of, a frame's
//! copy or one more place in a queue, is asked for with `try_reserve`, and a refusal is the call's error. All else is
//! small, and for that there is a reserve: an allocation that the system refuses gives it back and is tried once
//! more. From then on nothing new is taken in ([`admits`]: no message to be queued, no bytes of a connection whose reader
//! has something) until a reserve could be set aside anew; what was taken in already goes its way, a little at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Never touched, so that it costs address space only, or what the kernel counts as promised.
const RESERVE: Layout = match Layout::from_size_align(4 << 20, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("not a layout"),
};
/// What is larger than this is a program's decision.
const SMALL: usize = RESERVE.size() / 4;
/// Another thread may be giving the reserve back just now.
const TRIES: usize = 1000;

static HELD: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static GIVEN: AtomicBool = AtomicBool::new(false);

/// False: what a program wants to keep here has to be refused.
#[inline(always)]
pub fn admits() -> bool {
    !GIVEN.load(Ordering::Relaxed) || set_aside()
}

/// Once, when the library is loaded; after that by whoever asks. False: there is no memory for it.
#[cold]
pub fn set_aside() -> bool {
    // SAFETY: the layout is not of size zero.
    let at = unsafe { System.alloc(RESERVE) };
    if at.is_null() {
        return false;
    }
    GIVEN.store(false, Ordering::Relaxed);
    free(HELD.swap(at, Ordering::AcqRel));
    true
}

/// Gives the reserve back, for somebody who asked for so much elsewhere and got nothing. True: it is worth another try.
#[cold]
pub fn give_back_for(size: usize) -> bool {
    size <= SMALL && give_back()
}

fn give_back() -> bool {
    GIVEN.store(true, Ordering::Relaxed);
    free(HELD.swap(std::ptr::null_mut(), Ordering::AcqRel))
}

fn free(held: *mut u8) -> bool {
    let holds = !held.is_null();
    if holds {
        // SAFETY: from `set_aside`, and whoever swapped it out of HELD is alone in having it.
        unsafe { System.dealloc(held, RESERVE) };
    }
    holds
}

/// The system's allocator, and the reserve behind it. As calls: at every place where something is made it would be too much
/// code, and an allocation is a call in any case.
pub struct Allocator;

// SAFETY: everything is the system allocator's; a second try is made only when the first one returned nothing, which
// leaves the old memory of a `realloc` as it was.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        or_again(layout.size(), || unsafe { System.alloc(layout) })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { System.dealloc(at, layout) };
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        or_again(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    #[inline(never)]
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's word.
        or_again(size, || unsafe { System.realloc(old, layout, size) })
    }
}

#[inline(always)]
fn or_again(size: usize, ask: impl Fn() -> *mut u8) -> *mut u8 {
    let at = ask();
    if at.is_null() { again(size, ask) } else { at }
}

#[cold]
#[inline(never)]
fn again(size: usize, ask: impl Fn() -> *mut u8) -> *mut u8 {
    if size > SMALL {
        return std::ptr::null_mut();
    }
    give_back();
    for _ in 0..TRIES {
        let at = ask();
        if !at.is_null() {
            return at;
        }
        // SAFETY: sched_yield has no preconditions.
        unsafe { libc::sched_yield() };
    }
    std::ptr::null_mut()
}
