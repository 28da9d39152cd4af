//! Which process made a thing, and what a forked child must leave alone.
//!
//! A word on a page that the kernel wipes on fork (`MADV_WIPEONFORK`, madvise(2), Linux 4.14) holds
//! this process's *generation*. Whatever was made before a fork carries the parent's generation and
//! so is recognised as foreign in the child, also when the fork ran no hooks. Where the kernel
//! refuses the advice the fork hook sets the word.
//!
//! [`Fd`] and [`Map`] are the only owners of fds and mappings in this project: they release what they
//! own in the process that made it and nowhere else. In a child the mapping does not exist
//! (`MADV_DONTFORK`) and the fd was closed by [`after_in_child`]; its number may be someone else's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::huge;
use crate::table::Table;

static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
/// Stands in where no wiped page can be had; the fork hook clears it.
static PLAIN: AtomicU64 = AtomicU64::new(0);
static FDS: Global<Table<RawFd, ()>> = Global::new();

/// A process-wide value behind a lock that a forked child can replace: a thread of the parent may
/// have held the lock at the fork, and it will never release it in the child.
pub struct Global<T> {
    at: AtomicPtr<Mutex<T>>,
}

impl<T: Default + Send + 'static> Default for Global<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Default + Send + 'static> Global<T> {
    pub const fn new() -> Self {
        Global { at: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn mutex(&self) -> &'static Mutex<T> {
        let mut at = self.at.load(Ordering::Acquire);
        if at.is_null() {
            at = self.make();
        }
        // SAFETY: made by Box::into_raw and never freed, also not when it is replaced.
        unsafe { &*at }
    }

    #[cold]
    #[inline(never)]
    fn make(&self) -> *mut Mutex<T> {
        let made = Box::into_raw(Box::default());
        match self.at.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(theirs) => {
                // SAFETY: ours lost the race and nobody has seen it.
                drop(unsafe { Box::from_raw(made) });
                theirs
            }
        }
    }

    pub fn lock(&self) -> MutexGuard<'static, T> {
        self.mutex().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In a forked child: a fresh value behind a fresh lock. What the old one held, unless a thread of
    /// the parent was inside.
    pub fn renew(&self) -> Option<T> {
        let old = self.mutex().try_lock().ok().map(|mut value| std::mem::take(&mut *value));
        self.at.store(Box::into_raw(Box::default()), Ordering::Release);
        old
    }
}

/// A generation that no other process alive has: the pid, and the clock against a reused pid.
fn fresh() -> u64 {
    let pid = rustix::process::getpid().as_raw_nonzero().get() as u64;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (pid << 32) | (now.tv_nsec as u64 & 0xffff_fffe) | 1
}

/// Out of line: whoever asks whose a thing is would else carry a copy of it.
#[cold]
#[inline(never)]
fn make_word() -> &'static AtomicU64 {
    let page = rustix::param::page_size();
    // SAFETY: a new anonymous mapping; nothing else knows its address.
    let made = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            page,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    };
    let word = match made {
        // SAFETY: `page` bytes were mapped at `at` just now.
        Ok(at) if unsafe { rustix::mm::madvise(at, page, Advice::LinuxWipeOnFork) }.is_ok() => {
            at.cast::<AtomicU64>()
        }
        _ => std::ptr::from_ref(&PLAIN).cast_mut(),
    };
    match WORD.compare_exchange(std::ptr::null_mut(), word, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: the word lives as long as the process: it is never unmapped.
        Ok(_) => unsafe { &*word },
        // Another thread was first; the spare page is a page lost once.
        // SAFETY: as above, its word lives as long as the process.
        Err(theirs) => unsafe { &*theirs },
    }
}

#[inline(always)]
fn word() -> &'static AtomicU64 {
    let at = WORD.load(Ordering::Acquire);
    if at.is_null() {
        make_word()
    } else {
        // SAFETY: only `make_word` stores here, and what it stores lives as long as the process.
        unsafe { &*at }
    }
}

/// This process's generation; given out anew to a child.
pub fn generation() -> u64 {
    let word = word();
    match word.load(Ordering::Acquire) {
        0 => match word.compare_exchange(0, fresh(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => word.load(Ordering::Acquire),
            Err(theirs) => theirs,
        },
        known => known,
    }
}

/// True in the process that made what carries `born`. Two loads; safe after a fork.
#[inline(always)]
pub fn is_ours(born: u64) -> bool {
    word().load(Ordering::Relaxed) == born
}

/// The pid that is inside a generation, for error texts.
pub fn creator(born: u64) -> u32 {
    (born >> 32) as u32
}

/// How many fds this project has open in this process.
pub fn open_fds() -> usize {
    FDS.lock().len()
}

/// The child's half of a fork: closes every inherited fd that an [`Fd`] owns, so that the parent's
/// peers see the parent's death, and begins a new generation.
///
/// Takes no lock it could wait for: if another thread of the parent held the list at the fork, the
/// fds stay open here, and the peers' pidfds cover that.
pub fn after_in_child() {
    for &raw in FDS.renew().unwrap_or_default().keys() {
        // Not by OwnedFd, which aborts a debug build over a closed number: the kernel copies the fd table
        // before the memory (copy_process in kernel/fork.c), so another thread of the parent may have
        // opened and listed this one in between.
        // SAFETY: the parent's Fd owned this number at the fork and its twin here never closes it.
        unsafe { rustix::io::close(raw) };
    }
    word().store(fresh(), Ordering::Release);
}

/// An open file that a forked child neither uses nor closes.
#[derive(Debug)]
pub struct Fd {
    raw: RawFd,
    born: u64,
}

impl Fd {
    pub fn is_ours(&self) -> bool {
        is_ours(self.born)
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Self {
        let born = generation();
        let raw = fd.into_raw_fd();
        FDS.lock().insert(raw, ());
        Fd { raw, born }
    }
}

impl AsFd for Fd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the fd is open as long as `self` in the process that made it; callers in a child
        // are turned away before (`is_ours`), as every entry of the library checks.
        unsafe { BorrowedFd::borrow_raw(self.raw) }
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.raw
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if is_ours(self.born) {
            FDS.lock().remove(&self.raw);
            // SAFETY: we own the number and give it up here.
            drop(unsafe { OwnedFd::from_raw_fd(self.raw) });
        }
    }
}

/// Keeps a mapping from forked children, and messages out of core dumps.
///
/// # Safety
/// The range is one mapping of the caller.
pub(crate) unsafe fn keep_ours(at: *mut std::ffi::c_void, len: usize) -> rustix::io::Result<()> {
    // SAFETY: the caller's promise; the advice changes no byte here.
    unsafe { rustix::mm::madvise(at, len, Advice::LinuxDontFork)? };
    if !is_dumped() {
        // A kernel that cannot exclude it from dumps is no reason to stop.
        // SAFETY: as above.
        let _ = unsafe { rustix::mm::madvise(at, len, Advice::LinuxDontDump) };
    }
    Ok(())
}

/// Whether core dumps are to have shared memory: what `SHMZMQ_DUMP` says at the first mapping, which is a
/// socket's own. Later mappings are made by threads beside which the program may change its environment.
fn is_dumped() -> bool {
    static SAID: AtomicU8 = AtomicU8::new(0);
    // Two threads may both look; they find the same, and nothing is ordered by it.
    match SAID.load(Ordering::Relaxed) {
        0 => {
            let said = std::env::var_os("SHMZMQ_DUMP").is_some_and(|value| value == "1");
            SAID.store(1 + u8::from(said), Ordering::Relaxed);
            said
        }
        said => said == 2,
    }
}

/// A shared mapping that a forked child does not have.
#[derive(Debug)]
pub struct Map {
    at: *mut u8,
    len: usize,
    born: u64,
}

// SAFETY: a Map is an address and a length; what may be done at the address is the business of the
// words and rings that are built on it, which use atomics and raw copies only.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `len` bytes of `fd` from its beginning, shared and writable, absent from forked children.
    pub fn shared(fd: BorrowedFd<'_>, len: usize) -> rustix::io::Result<Map> {
        let at = huge::map(fd, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)?;
        let map = Map { at: at.cast(), len, born: generation() };
        // SAFETY: exactly the range mapped above.
        unsafe { keep_ours(at, len)? };
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

    pub fn is_ours(&self) -> bool {
        is_ours(self.born)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if is_ours(self.born) {
            // SAFETY: the range was mapped by `shared` in this process, and nothing borrows it:
            // whoever holds references derived from `at` holds this Map too.
            let _ = unsafe { rustix::mm::munmap(self.at.cast(), self.len) };
        }
    }
}
