//! Exports: blocks of our own memory that buffers of the language show, and how they survive a fork.
//!
//! A forked child does not have its parent's arenas (`MADV_DONTFORK`), but it has the objects: an array on a
//! block that was to be sent, a frame that was received from another socket of the process. They must read
//! in the child what they read at the fork, whatever the parent does with the block later, and what the
//! child writes is its own. So a fork copies what is exported, lets the child have the range, and the
//! child puts the copy in its place.
//!
//! ```text
//! before, parent   copy = anonymous memory, range DOFORK
//! child            copy moves over the range           (no memory for a copy: it shares the range)
//! after, parent    range DONTFORK, copy is freed
//! ```

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};

use crate::fork::{Global, Map};

/// Of every segment of this process, for the forks. The dead are swept when the next one is made.
static ALL: Global<Vec<Weak<Exports>>> = Global::new();
/// Made before a fork, gone after it.
static COPIES: Global<Vec<Copied>> = Global::new();

struct Copied {
    at: usize,
    copy: usize,
    len: usize,
}

/// How many buffers show each block of a segment.
#[derive(Debug)]
pub struct Exports {
    map: Arc<Map>,
    block_bytes: usize,
    counts: Box<[AtomicU32]>,
    /// A fork is under way and children get some of the map.
    inherited: AtomicBool,
}

impl Exports {
    pub fn new(map: Arc<Map>, block_bytes: usize) -> Arc<Exports> {
        let counts = (0..map.len() / block_bytes.max(1)).map(|_| AtomicU32::new(0)).collect();
        let made = Arc::new(Exports { map, block_bytes, counts, inherited: AtomicBool::new(false) });
        let mut all = ALL.lock();
        all.retain(|exports| exports.strong_count() > 0);
        all.push(Arc::downgrade(&made));
        made
    }

    fn count(&self, at: *const u8) -> Option<&AtomicU32> {
        let offset = (at as usize).wrapping_sub(self.map.at() as usize);
        self.counts.get(offset / self.block_bytes.max(1))
    }

    /// One buffer more, or less, shows the block at that address.
    pub fn add(&self, at: *const u8) {
        self.count(at).into_iter().for_each(|count| _ = count.fetch_add(1, Ordering::Relaxed));
    }

    pub fn remove(&self, at: *const u8) {
        self.count(at).into_iter().for_each(|count| _ = count.fetch_sub(1, Ordering::Relaxed));
    }

    fn keep_for_child(&self) {
        for (index, _) in
            self.counts.iter().enumerate().filter(|(_, count)| count.load(Ordering::Relaxed) > 0)
        {
            let (at, len) = (self.map.at().wrapping_add(index * self.block_bytes), self.block_bytes);
            self.inherited.store(true, Ordering::Relaxed);
            // SAFETY: a block of this mapping; the advice changes no byte.
            let _ = unsafe { rustix::mm::madvise(at.cast(), len, Advice::LinuxDoFork) };
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: a new mapping at an address of the kernel's choice overlays nothing.
            let made = unsafe {
                rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE)
            };
            let Ok(copy) = made else { continue };
            // SAFETY: both have `len` bytes. Who writes into an exported block meanwhile is a thread that
            // fills it beside the fork: the child has it half filled either way.
            unsafe { std::ptr::copy_nonoverlapping(at, copy.cast(), len) };
            COPIES.lock().push(Copied { at: at as usize, copy: copy as usize, len });
        }
    }

    fn keep_from_children(&self) {
        if self.inherited.swap(false, Ordering::Relaxed) {
            // SAFETY: exactly this mapping.
            let _ =
                unsafe { rustix::mm::madvise(self.map.at().cast(), self.map.len(), Advice::LinuxDontFork) };
        }
    }
}

fn all() -> Vec<Arc<Exports>> {
    ALL.lock().iter().filter_map(Weak::upgrade).filter(|exports| exports.map.is_ours()).collect()
}

pub fn before_fork() {
    all().iter().for_each(|exports| exports.keep_for_child());
}

/// After a fork, in the parent.
pub fn after_fork_in_parent() {
    all().iter().for_each(|exports| exports.keep_from_children());
    for Copied { copy, len, .. } in std::mem::take(&mut *COPIES.lock()) {
        // SAFETY: mapped by `keep_for_child`, and known to nobody else.
        let _ = unsafe { rustix::mm::munmap(std::ptr::with_exposed_provenance_mut(copy), len) };
    }
}

/// After a fork, in the child, behind [`crate::fork::after_in_child`].
pub fn after_in_child() {
    // Not dropped: the parent's memory stays as it is until this process ends.
    std::mem::forget(ALL.renew());
    for Copied { at, copy, len } in COPIES.renew().unwrap_or_default() {
        let (from, to) =
            (std::ptr::with_exposed_provenance_mut(copy), std::ptr::with_exposed_provenance_mut(at));
        // SAFETY: `from` is our copy; at `to` is the parent's range, inherited for this, so nothing else of
        // ours is there. If it fails the child reads what the parent writes.
        let _ = unsafe { rustix::mm::mremap_fixed(from, len, len, MremapFlags::MAYMOVE, to) };
    }
}
