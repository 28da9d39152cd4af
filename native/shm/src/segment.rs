//! Segments: memory made by one process, sealed, mapped by two.
//!
//! A segment is a memfd: it has no name, is bound by no mount's size, and is gone when the last
//! mapping is. It is sealed against any change of size before it is sent, so that touching it cannot
//! raise SIGBUS; the receiver insists on those seals before it maps (`attach`). An ordinary file
//! answers F_GET_SEALS with EINVAL and a plain tmpfs file with F_SEAL_SEAL alone (memfd_create(2),
//! checked on Linux 6.18), so the bits are compared, not the success of the call.
//!
//! What a peer can still do to a segment that both map: write anything anywhere, at any time, and
//! punch holes that read as zero. Nothing here forms a Rust reference to plain bytes of it: index
//! words are atomics, everything else goes through raw copies.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::Advice;

use crate::fork::Map;
use crate::huge;
use crate::layout;
use crate::policy;
use crate::ready::ReadyMemory;
use crate::returns::ReturnWords;
use crate::ring::{Bytes, Control};

/// Why a segment could not be made or taken.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error("{call} failed: {errno}")]
    System { call: &'static str, errno: Errno },
    #[error("fd offered as shared memory is not sealed against change of size")]
    Unsealed,
    #[error("fd offered as shared memory has huge pages, which may be missing when they are touched")]
    HugePages,
    #[error("shared memory has {found} bytes instead of {agreed}")]
    Size { found: u64, agreed: u64 },
    #[error("ring of {0} bytes: not a power of two in range")]
    RingBytes(u64),
    #[error("segment header says {field} = {found:#x}")]
    Header { field: &'static str, found: u64 },
}

pub(crate) fn system(call: &'static str) -> impl Fn(Errno) -> SegmentError {
    move |errno| SegmentError::System { call, errno }
}

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// `HUGETLBFS_MAGIC` of linux/magic.h.
const HUGETLBFS: rustix::fs::FsWord = 0x9584_58f6;

fn create_unsealed(name: &str, bytes: usize) -> Result<(OwnedFd, Map), SegmentError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create(name, flags).map_err(system("memfd_create"))?;
    rustix::fs::ftruncate(&fd, bytes as u64).map_err(system("ftruncate"))?;
    let map = Map::shared(fd.as_fd(), bytes).map_err(system("mmap"))?;
    Ok((fd, map))
}

/// New zeroed memory of `bytes` bytes under a telling name (see /proc/PID/maps), sealed and mapped. Its pages come
/// with their first touch, where the system refuses none.
pub fn create(name: &str, bytes: usize) -> Result<(OwnedFd, Arc<Map>), SegmentError> {
    let (fd, map) = create_unsealed(name, bytes)?;
    if policy::counts_each_page() {
        populate(fd.as_fd(), &map, 0, bytes).map_err(system("madvise(MADV_POPULATE_WRITE)"))?;
    }
    rustix::fs::fcntl_add_seals(&fd, SEALS).map_err(system("fcntl(F_ADD_SEALS)"))?;
    Ok((fd, Arc::new(map)))
}

/// New memory of an arena: written through this one mapping and by nobody else, whoever has the fd.
/// A kernel before 5.1 knows no such seal; there a peer that is not ours could write.
///
/// The seal also forbids holes, to the owner too (shmem_fallocate in mm/shmem.c): the memory comes
/// back when the last fd and mapping of it are gone and not before.
pub fn create_arena(bytes: usize) -> Result<(OwnedFd, Arc<Map>), SegmentError> {
    let (fd, map) = create_unsealed("shmzmq-arena", bytes)?;
    // The mapping was made before and stays writable: that is what "future" says.
    match rustix::fs::fcntl_add_seals(&fd, SEALS.union(SealFlags::FUTURE_WRITE)) {
        Err(Errno::INVAL) => rustix::fs::fcntl_add_seals(&fd, SEALS),
        other => other,
    }
    .map_err(system("fcntl(F_ADD_SEALS)"))?;
    Ok((fd, Arc::new(map)))
}

/// Takes the pages of a part of an owner's memory from the system now, zeroed where they are new, so
/// that no later touch faults or finds none left: out of memory is an error here and no signal. `fd`
/// is that memory's; the range lies in `map`.
pub fn populate(fd: BorrowedFd<'_>, map: &Map, offset: usize, len: usize) -> rustix::io::Result<()> {
    if offset.checked_add(len).is_none_or(|end| end > map.len()) {
        return Err(Errno::RANGE);
    }
    if len == 0 {
        return Ok(());
    }
    let page = rustix::param::page_size();
    let start = offset & !(page - 1);
    let range = map.at().wrapping_add(start);
    let len = offset + len - start;
    // SAFETY: pages of the map by the check above.
    unsafe { huge::take(range, len) };
    // SAFETY: pages of the map by the check above; the advice changes no byte.
    match unsafe { rustix::mm::madvise(range.cast(), len, Advice::LinuxPopulateWrite) } {
        // A kernel before 5.14. This takes the pages and leaves the page table to the first touch.
        Err(Errno::INVAL) => {
            rustix::fs::fallocate(fd, rustix::fs::FallocateFlags::empty(), start as u64, len as u64)
        }
        // Says this for want of memory in tmpfs, where a touch would raise SIGBUS (madvise(2)).
        Err(Errno::FAULT) => Err(Errno::NOMEM),
        other => other,
    }
}

/// Maps memory that a peer offers, after checking that it is what was agreed.
pub fn attach(fd: BorrowedFd<'_>, bytes: usize) -> Result<Arc<Map>, SegmentError> {
    check(fd, bytes)?;
    Ok(Arc::new(Map::shared(fd, bytes).map_err(system("mmap"))?))
}

/// Refuses an fd that is not memory of that size for ever.
pub(crate) fn check(fd: BorrowedFd<'_>, bytes: usize) -> Result<(), SegmentError> {
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| SegmentError::Unsealed)?;
    if !seals.contains(SEALS) {
        return Err(SegmentError::Unsealed);
    }
    // hugetlbfs has seals too (memfd_create(2), MFD_HUGETLB), and a page that the pool lacks is SIGBUS.
    if rustix::fs::fstatfs(fd).map_err(system("fstatfs"))?.f_type == HUGETLBFS {
        return Err(SegmentError::HugePages);
    }
    let found = rustix::fs::fstat(fd).map_err(system("fstat"))?.st_size as u64;
    if found != bytes as u64 {
        return Err(SegmentError::Size { found, agreed: bytes as u64 });
    }
    Ok(())
}

/// Refuses a ring size that cannot be: not a power of two, too small, or absurd.
pub fn check_ring_bytes(bytes: u64) -> Result<usize, SegmentError> {
    let range = layout::RING_BYTES_MIN as u64..=layout::RING_BYTES_MAX as u64;
    if bytes.is_power_of_two() && range.contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err(SegmentError::RingBytes(bytes))
    }
}

#[inline(always)]
fn word(map: &Map, offset: usize) -> &AtomicU64 {
    debug_assert!(offset + 8 <= map.len() && offset % 8 == 0);
    // SAFETY: inside the map and aligned: offsets are the constants of layout.rs and bounded sums of
    // them. All access to index words, by whichever process, is atomic.
    unsafe { &*map.at().add(offset).cast::<AtomicU64>() }
}

/// The rings and words of one connection.
pub struct PipeSegment {
    map: Arc<Map>,
    /// Of each direction.
    pub ring_bytes: usize,
}

impl PipeSegment {
    /// Made by the binder; the fd goes to the connecter and is then closed.
    pub fn create(ring_bytes: usize) -> Result<(OwnedFd, PipeSegment), SegmentError> {
        check_ring_bytes(ring_bytes as u64)?;
        let bytes = layout::segment_bytes(ring_bytes);
        let (fd, map) = create("shmzmq-pipe", bytes)?;
        word(&map, layout::HEADER_ABI).store(u64::from(layout::ABI), Ordering::Relaxed);
        word(&map, layout::HEADER_SEGMENT_BYTES).store(bytes as u64, Ordering::Relaxed);
        word(&map, layout::HEADER_RING_BYTES).store(ring_bytes as u64, Ordering::Relaxed);
        word(&map, layout::HEADER_MAGIC).store(layout::MAGIC, Ordering::Release);
        Ok((fd, PipeSegment { map, ring_bytes }))
    }

    /// Taken by the connecter.
    pub fn attach(fd: BorrowedFd<'_>, ring_bytes: u64) -> Result<PipeSegment, SegmentError> {
        let ring_bytes = check_ring_bytes(ring_bytes)?;
        let bytes = layout::segment_bytes(ring_bytes);
        let map = attach(fd, bytes)?;
        let expected = [
            ("magic", layout::HEADER_MAGIC, layout::MAGIC),
            ("abi", layout::HEADER_ABI, u64::from(layout::ABI)),
            ("segment_bytes", layout::HEADER_SEGMENT_BYTES, bytes as u64),
            ("ring_bytes", layout::HEADER_RING_BYTES, ring_bytes as u64),
        ];
        for (field, offset, value) in expected {
            let found = word(&map, offset).load(Ordering::Acquire);
            if found != value {
                return Err(SegmentError::Header { field, found });
            }
        }
        Ok(PipeSegment { map, ring_bytes })
    }

    /// The words and the ring of `direction`: 0 binder to connecter, 1 back.
    pub fn direction(&self, direction: usize) -> (MappedControl, MappedRing) {
        let direction = direction & 1;
        let control = MappedControl { map: self.map.clone(), offset: layout::DIRECTION[direction] };
        let ring =
            MappedRing::new(self.map.clone(), layout::RINGS + direction * self.ring_bytes, self.ring_bytes);
        (control, ring)
    }

    /// The words by which the reader of `direction` gives blocks back.
    pub fn returns(&self, direction: usize) -> MappedReturns {
        let direction = direction & 1;
        let summary = layout::DIRECTION[direction] + layout::RETURNED;
        MappedReturns { map: self.map.clone(), summary, words: layout::RETURNS[direction] }
    }
}

/// [`ReturnWords`] over a pipe segment.
pub struct MappedReturns {
    map: Arc<Map>,
    summary: usize,
    words: usize,
}

impl ReturnWords for MappedReturns {
    type Word = AtomicU64;
    #[inline(always)]
    fn summary(&self) -> &AtomicU64 {
        word(&self.map, self.summary)
    }
    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        word(&self.map, self.words + index * 8)
    }
    #[inline(always)]
    fn wake_at(&self) -> &AtomicU64 {
        word(&self.map, self.summary + layout::RETURNS_WAKE_AT - layout::RETURNED)
    }
}

/// [`Control`] over a pipe segment.
pub struct MappedControl {
    map: Arc<Map>,
    offset: usize,
}

impl Control for MappedControl {
    type Word = AtomicU64;
    #[inline(always)]
    fn w(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::W)
    }
    #[inline(always)]
    fn r(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::R)
    }
    #[inline(always)]
    fn msgs_read(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::MSGS_READ)
    }
    #[inline(always)]
    fn delivered(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::DELIVERED)
    }
    #[inline(always)]
    fn space_wake_at(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::SPACE_WAKE_AT)
    }
    #[inline(always)]
    fn msgs_wake_at(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::MSGS_WAKE_AT)
    }
    #[inline(always)]
    fn skip(&self) -> &AtomicU64 {
        word(&self.map, self.offset + layout::SKIP)
    }
}

/// [`Bytes`] over a part of a map.
pub struct MappedRing {
    /// First byte of the ring, inside `map`.
    at: *mut u8,
    capacity: u64,
    /// Keeps `at` mapped.
    _map: Arc<Map>,
}

// SAFETY: `at` is only an address inside a mapping that `_map` keeps; access is by atomics and raw
// copies, and which bytes are whose at a time is the ring protocol's business.
unsafe impl Send for MappedRing {}

impl MappedRing {
    fn new(map: Arc<Map>, offset: usize, bytes: usize) -> MappedRing {
        assert!(offset + bytes <= map.len());
        // SAFETY: inside the map by the line above.
        let at = unsafe { map.at().add(offset) };
        MappedRing { at, capacity: bytes as u64, _map: map }
    }

    /// A ring of its own, for a JUMP: the fd goes to the reader.
    pub fn create(ring_bytes: usize) -> Result<(OwnedFd, MappedRing), SegmentError> {
        check_ring_bytes(ring_bytes as u64)?;
        let (fd, map) = create("shmzmq-ring", ring_bytes)?;
        Ok((fd, MappedRing::new(map, 0, ring_bytes)))
    }

    /// The reader's side of such a ring.
    pub fn attach(fd: BorrowedFd<'_>, ring_bytes: u64) -> Result<MappedRing, SegmentError> {
        let bytes = check_ring_bytes(ring_bytes)?;
        Ok(MappedRing::new(attach(fd, bytes)?, 0, bytes))
    }
}

impl Bytes for MappedRing {
    #[inline(always)]
    fn capacity(&self) -> u64 {
        self.capacity
    }
    #[inline(always)]
    fn load_header(&self, offset: u64) -> u64 {
        // SAFETY: offset < capacity, both multiples of 8, so an aligned word inside the ring. Atomic,
        // because a peer that breaks the protocol may write it now.
        unsafe { &*self.at.add(offset as usize).cast::<AtomicU64>() }.load(Ordering::Relaxed)
    }
    #[inline(always)]
    fn store_header(&self, offset: u64, header: u64) {
        // SAFETY: as in `load_header`.
        unsafe { &*self.at.add(offset as usize).cast::<AtomicU64>() }.store(header, Ordering::Relaxed);
    }
    #[inline(always)]
    unsafe fn put(&self, offset: u64, from: *const u8, len: usize) {
        // SAFETY: the caller vouches for `from` and the range; the bytes are ours to write by R-3.
        unsafe { std::ptr::copy_nonoverlapping(from, self.at.add(offset as usize), len) };
    }
    #[inline(always)]
    unsafe fn get(&self, offset: u64, to: *mut u8, len: usize) {
        // SAFETY: the caller vouches for `to` and the range. A peer that writes these bytes meanwhile
        // breaks the protocol and gets its own torn bytes delivered; there is no byte-wise atomic
        // copy in the language that would be as fast, and this is the gap that remains.
        unsafe { std::ptr::copy_nonoverlapping(self.at.add(offset as usize), to, len) };
    }
}

/// [`ReadyMemory`] over a socket's ready page.
pub struct ReadyPage {
    map: Arc<Map>,
}

impl ReadyPage {
    pub fn create() -> Result<(OwnedFd, ReadyPage), SegmentError> {
        let (fd, map) = create("shmzmq-ready", layout::PAGE)?;
        Ok((fd, ReadyPage { map }))
    }

    pub fn attach(fd: BorrowedFd<'_>) -> Result<ReadyPage, SegmentError> {
        Ok(ReadyPage { map: attach(fd, layout::PAGE)? })
    }
}

impl ReadyMemory for ReadyPage {
    type Word = AtomicU64;
    #[inline(always)]
    fn summary(&self) -> &AtomicU64 {
        word(&self.map, layout::SUMMARY)
    }
    #[inline(always)]
    fn group(&self, group: usize) -> &AtomicU64 {
        word(&self.map, layout::GROUP + group * 8)
    }
}
