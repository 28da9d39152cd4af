//! Huge pages under large frames: new memory costs a tenth in them (docs/design/decisions/0017).
//!
//! They are an offer to the kernel, which may refuse each of these calls; then the pages stay small. What
//! is in them, how much memory that is, and when it is found missing, does not change.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::policy;

/// Bytes of a huge page where a page has 4 KiB.
pub const HUGE: usize = 2 << 20;

/// Memory of the program's is asked for in huge pages from here on: the C library maps each such piece by itself and
/// unmaps it when it is freed (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX). What comes from its heap would
/// leave the advice behind for whatever is put there later.
pub const ADVISED_MIN: usize = (32 << 20) + 1;

/// The whole huge pages inside a range of addresses.
fn inside(at: usize, len: usize) -> Option<(usize, usize)> {
    let start = at.checked_next_multiple_of(HUGE)?;
    let end = at.checked_add(len)? & !(HUGE - 1);
    (start < end).then(|| (start, end - start))
}

/// Maps `len` bytes of `fd` from its beginning, at an address of the kernel's choice where the huge pages
/// of the file can be huge pages of the mapping.
pub(crate) fn map(
    fd: BorrowedFd<'_>,
    len: usize,
    protection: ProtFlags,
    flags: MapFlags,
) -> rustix::io::Result<*mut c_void> {
    if len >= HUGE
        && let Some(at) = map_aligned(fd, len, protection, flags)
    {
        return Ok(at);
    }
    // SAFETY: a new mapping at an address of the kernel's choice overlays nothing.
    unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, fd, 0) }
}

/// Looks for a place, leaves it, and maps there unless another thread was quicker. None: there is no place, or the
/// file cannot be mapped like that; a plain mapping says why.
fn map_aligned(
    fd: BorrowedFd<'_>,
    len: usize,
    protection: ProtFlags,
    flags: MapFlags,
) -> Option<*mut c_void> {
    let room = len.checked_next_multiple_of(rustix::param::page_size())?.checked_add(HUGE)?;
    let reserve = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice overlays nothing.
    let start =
        unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), room, ProtFlags::empty(), reserve) }
            .ok()?;
    // SAFETY: exactly the mapping made above, which nobody else knows.
    unsafe { rustix::mm::munmap(start, room) }.ok()?;
    let at = start.wrapping_byte_add((start as usize).wrapping_neg() & (HUGE - 1));
    // SAFETY: it overlays nothing: where something is by now it fails, and a kernel before 4.17 takes the address for
    // a hint.
    unsafe { rustix::mm::mmap(at, len, protection, flags | MapFlags::FIXED_NOREPLACE, fd, 0) }.ok()
}

/// Takes the whole huge pages inside new memory of an owner's mapping of a memfd. To be populated after it: this may
/// take none, or some.
///
/// # Safety
/// The range is the caller's mapping.
pub(crate) unsafe fn take(at: *mut u8, len: usize) {
    let Some((start, len)) = inside(at as usize, len).filter(|_| policy::allows_huge_pages()) else { return };
    let page = rustix::param::page_size();
    for first in (start..start + len).step_by(HUGE) {
        let first = at.wrapping_add(first - at as usize).cast();
        // What is wholly absent cannot be collapsed: EINVAL on Linux 6.18.
        // SAFETY: a page of the caller's mapping; the advice changes no byte.
        if unsafe { rustix::mm::madvise(first, page, Advice::LinuxPopulateWrite) }.is_err() {
            return;
        }
    }
    // `shmem_enabled` is "never" by default, and is not asked by this call (madvise(2), MADV_COLLAPSE, Linux 6.1).
    // SAFETY: as above.
    let _ = unsafe { libc::madvise(at.wrapping_add(start - at as usize).cast(), len, libc::MADV_COLLAPSE) };
}

/// Asks for huge pages under memory that is about to be written whole: where it has no pages yet, and the
/// kernel is asked at all, its first touch takes such.
///
/// # Safety
/// The range is memory of the caller's.
#[cold]
pub unsafe fn advise(at: *mut u8, len: usize) {
    let Some((start, len)) = inside(at as usize, len) else { return };
    // SAFETY: pages inside the caller's memory; the advice changes no byte.
    let _ = unsafe {
        rustix::mm::madvise(at.wrapping_add(start - at as usize).cast(), len, Advice::LinuxHugepage)
    };
}
