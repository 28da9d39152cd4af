//! A reader's view of memory that another process writes: what the reader writes stays its own.
//!
//! **Theory of operation.** The owner writes a block, lends it, and writes it again once it came back.
//! The reader maps the same pages privately. A page shows the owner's bytes until this process writes to
//! it; then the kernel gives it a copy, which hides the owner's page for ever. So before a block goes
//! back its copied pages are dropped ([`PrivateMap::scrub`]), or the next message in it would not be seen.
//! Which pages are copies the kernel says, in one of two ways, newest first ([`Finder`]).
//!
//! ```text
//! attach -> hold block -> (reads, writes) -> drop_hold -> scrub -> give the block back (returns.rs)
//! ```
//!
//! Forks. The child has a reader's objects and must read from them what its parent reads, but it has no
//! say in when a block goes back: the parent gives it back and the owner overwrites it. So a fork
//! copies what is held ([`before_fork`]), in the parent first, which the child then inherits. All else
//! of the map is absent from a child (`MADV_DONTFORK`), where nothing here locks, unmaps or asks.
//! A fork that runs no hooks leaves the child without the memory.
//!
//! What this cannot prevent: `mlockall(MCL_CURRENT)` copies every page of every writable private
//! mapping (populate_vma_page_range in mm/gup.c), so a program must lock its memory before it
//! receives. `MCL_FUTURE` alone is survived (`attach`).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::fork::{self, Fd, Global};
use crate::huge;
use crate::segment::{self, SegmentError, system};

/// Every map of this process, for the forks. The dead are swept when the next one is made.
static MAPS: Global<Vec<Weak<PrivateMap>>> = Global::new();

/// Bytes of a map, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pages {
    offset: usize,
    len: usize,
}

/// Bytes that a fork keeps.
#[derive(Debug)]
struct Hold {
    pages: Pages,
    /// A fork kept them: they are copies now, also if nobody wrote.
    copied: bool,
}

/// A private writable mapping of a whole sealed memfd.
#[derive(Debug)]
pub struct PrivateMap {
    at: *mut u8,
    len: usize,
    born: u64,
    /// What must survive a fork. Locked by the process that made the map, for a few instructions or
    /// for a fork's copying; never in a child.
    held: Mutex<Vec<Hold>>,
    /// A fork is under way and children get some of it.
    inherited: AtomicBool,
}

// SAFETY: an address, a length, and fields that may be shared. Who reads or writes the bytes, and
// when, is the business of whoever lends and takes the blocks in it.
unsafe impl Send for PrivateMap {}
// SAFETY: as above.
unsafe impl Sync for PrivateMap {}

impl PrivateMap {
    /// Maps memory that a peer offers, after checking that it is what was agreed.
    pub fn attach(fd: BorrowedFd<'_>, bytes: usize) -> Result<Arc<PrivateMap>, SegmentError> {
        segment::check(fd, bytes)?;
        let map = Arc::new(PrivateMap::map(fd, bytes)?);
        let mut maps = MAPS.lock();
        maps.retain(|map| map.strong_count() > 0);
        maps.push(Arc::downgrade(&map));
        Ok(map)
    }

    fn map(fd: BorrowedFd<'_>, len: usize) -> Result<PrivateMap, SegmentError> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let at = huge::map(fd, len, ProtFlags::empty(), flags).map_err(system("mmap"))?;
        let map = PrivateMap {
            at: at.cast(),
            len,
            born: fork::generation(),
            held: Mutex::default(),
            inherited: AtomicBool::new(false),
        };
        // Under mlockall(MCL_FUTURE) a writable private mapping is copied at once, all of it. So it
        // becomes writable after it was unlocked.
        // SAFETY: exactly the range mapped above, here and in the calls below.
        let _ = unsafe { rustix::mm::munlock(at, len) };
        // SAFETY: as above; nobody has seen the range yet.
        unsafe { rustix::mm::mprotect(at, len, MprotectFlags::READ | MprotectFlags::WRITE) }
            .map_err(system("mprotect"))?;
        // SAFETY: as above.
        unsafe { fork::keep_ours(at, len) }.map_err(system("madvise"))?;
        Ok(map)
    }

    #[inline(always)]
    pub fn at(&self) -> *mut u8 {
        self.at
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// False in a forked child, which has of this map what was held at the fork and no more.
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        fork::is_ours(self.born)
    }

    fn held(&self) -> MutexGuard<'_, Vec<Hold>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pages that a range touches, as far as they are in the map.
    fn pages(&self, offset: usize, len: usize) -> Pages {
        let page = rustix::param::page_size();
        let end = offset.saturating_add(len).min(self.len).next_multiple_of(page);
        let start = offset.min(self.len) & !(page - 1);
        Pages { offset: start, len: if len == 0 { 0 } else { end - start } }
    }

    /// From now on a fork keeps these bytes for parent and child. The same range may be held often.
    pub fn hold(&self, offset: usize, len: usize) {
        if self.is_ours() {
            let pages = self.pages(offset, len);
            self.held().push(Hold { pages, copied: false });
        }
    }

    /// Ends one hold of exactly this range. Before the scrub: a fork in between copies what is held. True: a
    /// fork did, so there is something to scrub although nobody wrote.
    pub fn drop_hold(&self, offset: usize, len: usize) -> bool {
        if !self.is_ours() {
            return false;
        }
        let pages = self.pages(offset, len);
        let mut held = self.held();
        let at = held.iter().rposition(|hold| hold.pages == pages);
        at.is_some_and(|at| held.swap_remove(at).copied)
    }

    /// Before a range is given to somebody who may write: `scrub` runs in destructors, where no file should
    /// be opened.
    pub fn expect_scrub() {
        Table::of_this_process();
    }

    /// Drops the copied pages of a range, which then shows the owner's bytes again. The pages that it
    /// touches are dropped whole: blocks begin and end at pages.
    pub fn scrub(&self, offset: usize, len: usize) {
        let finders = [Finder::Scan, Finder::Table, Finder::Nothing];
        let _ = finders.into_iter().any(|finder| self.scrub_by(finder, offset, len));
    }

    /// As [`scrub`](Self::scrub), in one way; false if this system does not have it.
    pub fn scrub_by(&self, finder: Finder, offset: usize, len: usize) -> bool {
        let pages = self.pages(offset, len);
        if !self.is_ours() || pages.len == 0 {
            return true;
        }
        let start = self.at as usize + pages.offset;
        let end = start + pages.len;
        match finder {
            Finder::Scan => Table::scan(start, end, |from, to| self.discard(from, to)),
            Finder::Table => Table::read(start, end, |from, to| self.discard(from, to)),
            Finder::Nothing => {
                self.discard(start, end);
                true
            }
        }
    }

    /// `from` and `to` are addresses of pages inside the map.
    fn discard(&self, from: usize, to: usize) {
        let at = self.at.wrapping_add(from - self.at as usize).cast();
        // SAFETY: pages of this mapping, which nobody uses now: the caller of `scrub` vouches for it.
        let dropped = unsafe { rustix::mm::madvise(at, to - from, Advice::LinuxDontNeed) };
        if dropped == Err(Errno::INVAL) {
            // Locked, by mlockall after we mapped it (madvise(2)).
            // SAFETY: exactly this mapping.
            let _ = unsafe { rustix::mm::munlock(self.at.cast(), self.len) };
            // SAFETY: as above.
            let _ = unsafe { rustix::mm::madvise(at, to - from, Advice::LinuxDontNeed) };
        }
    }

    /// Copies what is held, unless it is copied already, and lets a child have it.
    fn keep_for_child(&self) {
        for hold in self.held().iter_mut().filter(|hold| hold.pages.len > 0) {
            let pages = hold.pages;
            hold.copied = true;
            let at = self.at.wrapping_add(pages.offset);
            self.inherited.store(true, Ordering::Relaxed);
            // SAFETY: pages of this mapping; the advice changes no byte.
            let copied = unsafe { rustix::mm::madvise(at.cast(), pages.len, Advice::LinuxPopulateWrite) };
            match copied {
                Ok(()) => {}
                // A kernel before 5.14.
                Err(Errno::INVAL) => touch(at, pages.len),
                // No memory for the copies: the child would rather read what the owner writes than crash.
                Err(_) => {}
            }
            // SAFETY: pages of this mapping.
            let _ = unsafe { rustix::mm::madvise(at.cast(), pages.len, Advice::LinuxDoFork) };
        }
    }

    fn keep_from_children(&self) {
        if self.inherited.swap(false, Ordering::Relaxed) {
            // SAFETY: exactly this mapping.
            let _ = unsafe { rustix::mm::madvise(self.at.cast(), self.len, Advice::LinuxDontFork) };
        }
    }
}

impl Drop for PrivateMap {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the range was mapped by `map` in this process, and nothing borrows it: whoever
            // holds an address in it holds this PrivateMap too.
            let _ = unsafe { rustix::mm::munmap(self.at.cast(), self.len) };
        }
    }
}

/// Writes to each page without changing a byte, whoever else writes there.
fn touch(at: *mut u8, len: usize) {
    for offset in (0..len).step_by(rustix::param::page_size()) {
        // SAFETY: inside the caller's pages; atomic, because other threads may write to them now.
        let byte = unsafe { &*at.add(offset).cast::<AtomicU8>() };
        let mut there = byte.load(Ordering::Relaxed);
        // An exchange of a byte for itself, because a compiler may make a plain load of an addition of 0.
        while let Err(found) = byte.compare_exchange_weak(there, there, Ordering::Relaxed, Ordering::Relaxed)
        {
            there = found;
        }
    }
}

fn all_maps() -> Vec<Arc<PrivateMap>> {
    MAPS.lock().iter().filter_map(Weak::upgrade).filter(|map| map.is_ours()).collect()
}

/// Before a fork: copies all that is held, so that parent and child keep reading it.
pub fn before_fork() {
    all_maps().iter().for_each(|map| map.keep_for_child());
}

/// After a fork, in the parent.
pub fn after_fork_in_parent() {
    all_maps().iter().for_each(|map| map.keep_from_children());
}

/// After a fork, in the child, behind [`fork::after_in_child`]: the parent's maps are not ours.
pub fn after_in_child() {
    // Not dropped: the parent's memory stays as it is until this process ends.
    std::mem::forget(MAPS.renew());
}

/// How copied pages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    /// The PAGEMAP_SCAN ioctl: Linux 6.7.
    Scan,
    /// The entries of /proc/self/pagemap.
    Table,
    /// Not at all: every page of the range is dropped, and read again from the owner's when touched.
    Nothing,
}

/// This process's page table, as a file: /proc/self/pagemap belongs to whoever opened it.
struct Table {
    /// None: there is no such file.
    fd: Option<Fd>,
    born: u64,
}

/// Made by the first `expect_scrub` of a process and never freed; a child makes its own.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());
/// The kernel has no PAGEMAP_SCAN. Not asked twice.
static SCAN_REFUSED: AtomicBool = AtomicBool::new(false);

/// A page whose content is here, or in swap, and not in a file or in shared memory is a copy:
/// Documentation/admin-guide/mm/pagemap.rst.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE: u64 = 1 << 61;

impl Table {
    fn known() -> Option<&'static Table> {
        // SAFETY: null, or from Box::into_raw in `of_this_process` and never freed.
        unsafe { TABLE.load(Ordering::Acquire).as_ref() }
    }

    /// Opens it unless it is open.
    fn of_this_process() {
        if Table::known().is_some_and(|table| fork::is_ours(table.born)) {
            return;
        }
        let before = TABLE.load(Ordering::Acquire);
        let fd = File::open("/proc/self/pagemap").ok().map(|file| Fd::from(OwnedFd::from(file)));
        let made = Box::into_raw(Box::new(Table { fd, born: fork::generation() }));
        if TABLE.compare_exchange(before, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: another thread was first, and nobody has seen ours.
            drop(unsafe { Box::from_raw(made) });
        }
    }

    fn file() -> Option<&'static Fd> {
        Table::known()?.fd.as_ref().filter(|fd| fd.is_ours())
    }

    /// Calls `copied` for each run of copied pages in a range of addresses. False: cannot say.
    fn scan(start: usize, end: usize, mut copied: impl FnMut(usize, usize)) -> bool {
        let Some(fd) = Table::file().filter(|_| !SCAN_REFUSED.load(Ordering::Relaxed)) else { return false };
        let mut regions = [Region::default(); 64];
        let mut from = start as u64;
        while from < end as u64 {
            let scan = Scan(ScanArguments::copied_pages(from, end as u64, &mut regions));
            // SAFETY: the arguments are those of this ioctl (linux/fs.h), and `regions` outlives it.
            match unsafe { rustix::ioctl::ioctl(fd.as_fd(), scan) } {
                Ok((filled, walked_to)) if walked_to > from => {
                    for region in &regions[..filled.min(regions.len())] {
                        copied(region.start as usize, region.end as usize);
                    }
                    from = walked_to;
                }
                Err(Errno::INTR) => {}
                _ => {
                    SCAN_REFUSED.store(true, Ordering::Relaxed);
                    return false;
                }
            }
        }
        true
    }

    /// As [`scan`](Self::scan), entry by entry.
    fn read(start: usize, end: usize, mut copied: impl FnMut(usize, usize)) -> bool {
        let Some(fd) = Table::file() else { return false };
        let page = rustix::param::page_size();
        let mut entries = [0_u8; 4096];
        let (mut at, mut run) = (start, None);
        while at < end {
            let wanted = ((end - at) / page * 8).min(entries.len());
            let got = match rustix::io::pread(fd.as_fd(), &mut entries[..wanted], (at / page * 8) as u64) {
                Ok(got) if got >= 8 => got,
                Err(Errno::INTR) => continue,
                _ => return false,
            };
            for entry in entries[..got].chunks_exact(8) {
                let entry = entry.try_into().map_or(0, u64::from_ne_bytes);
                let is_copy = entry & (PRESENT | SWAPPED) != 0 && entry & FILE == 0;
                match (is_copy, run) {
                    (true, None) => run = Some(at),
                    (false, Some(began)) => {
                        copied(began, at);
                        run = None;
                    }
                    _ => {}
                }
                at += page;
            }
        }
        if let Some(began) = run {
            copied(began, end);
        }
        true
    }
}

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `PAGE_IS_FILE`, `PAGE_IS_PRESENT`, `PAGE_IS_SWAPPED` of linux/fs.h.
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;

impl ScanArguments {
    fn copied_pages(start: u64, end: u64, regions: &mut [Region]) -> ScanArguments {
        ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            flags: 0,
            start,
            end,
            walk_end: 0,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            max_pages: 0,
            // Not of a file, and present or swapped.
            category_inverted: IS_FILE,
            category_mask: IS_FILE,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            // The same in all regions, so that neighbours become one.
            return_mask: IS_FILE,
        }
    }
}

struct Scan(ScanArguments);

// SAFETY: PAGEMAP_SCAN takes these arguments, writes `walk_end` in them and regions to where they say,
// and returns how many regions; `output_from_ptr` gets the pointer that `as_ptr` gave.
unsafe impl Ioctl for Scan {
    /// How many regions were written, and the address up to which the kernel looked.
    type Output = (usize, u64);
    const IS_MUTATING: bool = true;
    fn opcode(&self) -> Opcode {
        opcode::read_write::<ScanArguments>(b'f', 16)
    }
    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::from_mut(&mut self.0).cast()
    }
    unsafe fn output_from_ptr(
        out: IoctlOutput,
        arguments: *mut std::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: the pointer of `as_ptr`; `self` lives until this returns.
        let walk_end = unsafe { (*arguments.cast::<ScanArguments>()).walk_end };
        Ok((usize::try_from(out).unwrap_or(0), walk_end))
    }
}
