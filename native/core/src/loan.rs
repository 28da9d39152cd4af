//! Loans: frames that a receiver reads where their sender wrote them.
//!
//! A loan keeps the sender's memory mapped and the block lent, whatever becomes of the socket, the
//! connection and the sender. It ends where its last holder drops it, on any thread, without a lock of
//! a socket and without the GIL. It also keeps the channel open, by which the sender knows that
//! somebody may still read (arena/mod.rs, A-7).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shmzmq_shm::arena::{SEGMENTS_MAX, block_bytes};
use shmzmq_shm::fork::{self, Fd};
use shmzmq_shm::part::Described;
use shmzmq_shm::private::PrivateMap;
use shmzmq_shm::returns::{self, BLOCKS};
use shmzmq_shm::segment::{MappedReturns, SegmentError};
use shmzmq_shm::table::Table;

use crate::channel::Channel;
use crate::copy::copy;
use crate::signaler::PeerSignaler;

/// Blocks that a receiver may hold of one peer at a time: the rest is for messages under way.
const LOANS_MAX: u64 = BLOCKS as u64 / 2;

/// One connection's way of giving blocks back.
pub struct Lender {
    words: MappedReturns,
    peer: Arc<PeerSignaler>,
    /// Kept open, see the top.
    _channel: Arc<Channel>,
    /// Blocks that went back, or are about to.
    given: AtomicU64,
    loans: AtomicU64,
    bytes: AtomicU64,
    /// Bytes of blocks that may be held at a time.
    bound: u64,
    /// Of the whole socket.
    held: Arc<AtomicU64>,
    born: u64,
}

impl Lender {
    pub fn new(
        words: MappedReturns,
        peer: Arc<PeerSignaler>,
        channel: Arc<Channel>,
        bound: u64,
        held: Arc<AtomicU64>,
    ) -> Lender {
        Lender {
            words,
            peer,
            _channel: channel,
            given: AtomicU64::new(0),
            loans: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bound,
            held,
            born: fork::generation(),
        }
    }

    /// The block will not be read any more. True if the doorbell was rung.
    pub fn give_back(&self, block: u32) -> bool {
        self.given.fetch_add(1, Ordering::Relaxed);
        returns::give_counted(&self.words, block, || self.given.load(Ordering::Relaxed)) && self.peer.mark()
    }

    /// True if one more frame of `len` bytes may be held: its sender must not starve.
    fn may_hold(&self, len: usize) -> bool {
        let loans = self.loans.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        loans < LOANS_MAX && bytes.saturating_add(block_bytes(len as u64)) <= self.bound
    }
}

/// A segment of the peer's memory.
pub enum View {
    Mapped(Arc<PrivateMap>),
    /// There was no room to map it (RLIMIT_AS): its bytes are read by calls, and nothing is lent.
    File(Fd, usize),
}

impl View {
    pub fn attach(fd: OwnedFd, bytes: usize) -> Result<View, SegmentError> {
        match PrivateMap::attach(fd.as_fd(), bytes) {
            Ok(map) => Ok(View::Mapped(map)),
            Err(SegmentError::System { call: "mmap", .. }) => Ok(View::File(fd.into(), bytes)),
            Err(error) => Err(error),
        }
    }

    fn len(&self) -> usize {
        match self {
            View::Mapped(map) => map.len(),
            View::File(_, bytes) => *bytes,
        }
    }
}

/// The peer's memory, as far as it was announced.
#[derive(Default)]
pub struct Borrowed {
    segments: Table<u32, View>,
}

/// A descriptor that was checked: bytes of a segment.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    view: &'a View,
    described: Described,
}

/// Why a descriptor or an announcement leads nowhere: a correct peer cannot have written it.
#[derive(Debug)]
pub struct Nowhere(pub String);

impl Borrowed {
    /// Refuses more than an arena ever has, and a number that is in use (arena/mod.rs, A-8).
    pub fn announce(&mut self, number: u32, view: View) -> Result<(), Nowhere> {
        if self.segments.len() >= SEGMENTS_MAX {
            return Err(Nowhere(format!("peer announces more than {SEGMENTS_MAX} segments of its arena")));
        }
        if self.has(number) {
            return Err(Nowhere(format!("peer announces segment {number} twice")));
        }
        self.segments.insert(number, view);
        Ok(())
    }

    pub fn has(&self, number: u32) -> bool {
        self.segments.contains_key(&number)
    }

    /// The peer gave the segment up: no descriptor will name it.
    pub fn forget(&mut self, number: u32) {
        self.segments.remove(&number);
    }

    /// Checks a descriptor.
    pub fn find(&self, described: Described) -> Result<Place<'_>, Nowhere> {
        let Some(view) = self.segments.get(&described.segment) else {
            return Err(Nowhere(format!(
                "a frame lies in segment {}, which was not announced",
                described.segment
            )));
        };
        let Described { block, offset, len, .. } = described;
        let inside = offset.checked_add(len).is_some_and(|end| end <= view.len() as u64);
        let aligned = offset % rustix::param::page_size() as u64 == 0;
        if !inside || !aligned || block >= BLOCKS {
            return Err(Nowhere(format!(
                "descriptor of block {block}, {len} bytes at {offset}, is not inside the {} bytes of segment {}",
                view.len(),
                described.segment
            )));
        }
        Ok(Place { view, described })
    }
}

impl Place<'_> {
    pub fn bytes(&self) -> usize {
        self.described.len as usize
    }

    /// Copies the first `len` bytes out.
    ///
    /// # Safety
    /// `to` is writable for `len` bytes, and `len` is at most [`Self::bytes`].
    pub unsafe fn copy(&self, to: *mut u8, len: usize) {
        let len = len.min(self.bytes());
        match self.view {
            // SAFETY: `find` checked that the range is inside the mapping. A peer that writes there meanwhile
            // breaks the protocol and gets its own torn bytes delivered.
            View::Mapped(map) => unsafe {
                let from = map.at().add(self.described.offset as usize);
                copy(from, to, len);
            },
            View::File(fd, _) => {
                let mut done = 0;
                while done < len {
                    // SAFETY: the caller vouches for `len` bytes from `to` on.
                    let rest = unsafe { std::slice::from_raw_parts_mut(to.add(done), len - done) };
                    match rustix::io::pread(fd, rest, self.described.offset + done as u64) {
                        Ok(0) => break,
                        Ok(bytes) => done += bytes,
                        Err(rustix::io::Errno::INTR) => {}
                        Err(_) => break,
                    }
                }
                // SAFETY: as above. A file that cannot be read (it is sealed memory) leaves zeroes.
                unsafe { to.add(done).write_bytes(0, len - done) };
            }
        }
    }

    /// Borrows the bytes. None: too much is held already.
    pub fn lend(&self, lender: &Arc<Lender>) -> Option<Loan> {
        let View::Mapped(map) = self.view else { return None };
        if !lender.may_hold(self.bytes()) {
            return None;
        }
        lender.loans.fetch_add(1, Ordering::Relaxed);
        lender.bytes.fetch_add(block_bytes(self.described.len), Ordering::Relaxed);
        lender.held.fetch_add(1, Ordering::Relaxed);
        let (offset, len) = (self.described.offset as usize, self.bytes());
        map.hold(offset, len);
        Some(Loan {
            lender: lender.clone(),
            map: map.clone(),
            offset,
            len,
            block: self.described.block,
            written: AtomicBool::new(false),
        })
    }
}

/// A frame in its sender's memory, readable until it is dropped; writable too, for its holder alone.
pub struct Loan {
    lender: Arc<Lender>,
    map: Arc<PrivateMap>,
    offset: usize,
    len: usize,
    block: u32,
    /// Somebody may have written: the private copies of pages go before the block does.
    written: AtomicBool,
}

impl std::fmt::Debug for Loan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Loan({} bytes)", self.len)
    }
}

impl Loan {
    pub fn at(&self) -> *mut u8 {
        // SAFETY: inside the mapping, as `find` checked.
        unsafe { self.map.at().add(self.offset) }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its memory is given to somebody who may write.
    pub fn set_written(&self) {
        if !self.written.swap(true, Ordering::Relaxed) {
            PrivateMap::expect_scrub();
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // In a forked child the block is its parent's to give back.
        if !fork::is_ours(self.lender.born) {
            return;
        }
        // A fork copies what is held, so the hold ends before the copies go.
        let copied = self.map.drop_hold(self.offset, self.len);
        if copied || self.written.load(Ordering::Relaxed) {
            let page = rustix::param::page_size();
            self.map.scrub(self.offset, self.len.next_multiple_of(page));
        }
        self.lender.loans.fetch_sub(1, Ordering::Relaxed);
        self.lender.bytes.fetch_sub(block_bytes(self.len as u64), Ordering::Relaxed);
        self.lender.held.fetch_sub(1, Ordering::Relaxed);
        self.lender.give_back(self.block);
    }
}
