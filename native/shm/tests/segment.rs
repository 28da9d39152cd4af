//! Segments between processes: what is refused before it is mapped, and a real pair of processes, one
//! of which is killed.
//!
//! The second process is this test binary, started again for one test (`the_other_process`) with its
//! orders in an environment variable.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::{Errno, FdFlags};
use shmzmq_shm::layout::{self, RING_BYTES_MAX, RING_BYTES_MIN};
use shmzmq_shm::ready::{self, ReadyMemory};
use shmzmq_shm::ring::{Next, Part, Refusal, Rx, Tx};
use shmzmq_shm::segment::{self, MappedControl, MappedRing, PipeSegment, ReadyPage, SegmentError};

const RING: usize = RING_BYTES_MIN;

fn attach(fd: impl AsFd) -> Result<PipeSegment, SegmentError> {
    PipeSegment::attach(fd.as_fd(), RING as u64)
}

fn memfd(bytes: usize, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("shmzmq-test", flags).unwrap();
    rustix::fs::ftruncate(&fd, bytes as u64).unwrap();
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

// ---------------------------------------------------------------- what is refused

#[test]
fn a_pipe_and_a_socket_are_refused_as_unsealed() {
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    let (left, _right) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(matches!(attach(reading), Err(SegmentError::Unsealed)));
    assert!(matches!(attach(writing), Err(SegmentError::Unsealed)));
    assert!(matches!(attach(left), Err(SegmentError::Unsealed)));
}

/// A file that someone may truncate under us is a SIGBUS to be. Ordinary files and tmpfs files answer
/// F_GET_SEALS differently; both are refused.
#[test]
fn a_file_of_the_right_size_is_refused_as_unsealed() {
    for directory in ["/tmp", "/dev/shm", env!("CARGO_TARGET_TMPDIR")] {
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
        let Ok(fd) = rustix::fs::open(directory, flags, rustix::fs::Mode::RUSR) else { continue };
        rustix::fs::ftruncate(&fd, layout::segment_bytes(RING) as u64).unwrap();
        assert!(matches!(attach(fd), Err(SegmentError::Unsealed)), "{directory}");
    }
    assert!(matches!(attach(std::fs::File::open("/dev/zero").unwrap()), Err(SegmentError::Unsealed)));
}

#[test]
fn a_memfd_that_lacks_one_of_the_seals_is_refused_as_unsealed() {
    for lacking in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL, SEALS] {
        let fd = memfd(layout::segment_bytes(RING), SEALS.difference(lacking));
        assert!(matches!(attach(fd), Err(SegmentError::Unsealed)), "{lacking:?}");
    }
}

/// Seals and size are right; touching it where the system has no huge pages kills with SIGBUS.
#[test]
fn a_memfd_of_huge_pages_is_refused() {
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let Ok(fd) = rustix::fs::memfd_create("huge", flags) else {
        eprintln!("this kernel has no huge pages");
        return;
    };
    rustix::fs::ftruncate(&fd, 1 << 30).unwrap();
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    assert!(matches!(segment::attach(fd.as_fd(), 1 << 30), Err(SegmentError::HugePages)));
}

#[test]
fn a_memfd_of_another_size_is_refused_by_its_size() {
    let agreed = layout::segment_bytes(RING);
    for found in [0, 1, layout::PAGE, agreed - layout::PAGE, agreed - 1, agreed + 1, 2 * agreed] {
        match attach(memfd(found, SEALS)) {
            Err(SegmentError::Size { found: said, agreed: wanted }) => {
                assert_eq!((said, wanted), (found as u64, agreed as u64));
            }
            _ => panic!("{found} bytes taken for {agreed}"),
        }
    }
}

#[test]
fn a_memfd_that_cannot_be_mapped_writable_is_refused_by_the_kernel() {
    for seal in [SealFlags::WRITE, SealFlags::FUTURE_WRITE] {
        let fd = memfd(layout::segment_bytes(RING), SEALS.union(seal));
        let refused = attach(fd).err();
        let Some(SegmentError::System { call: "mmap", errno }) = refused else {
            panic!("{seal:?}: {refused:?}")
        };
        assert_eq!(errno, Errno::PERM);
    }
}

#[test]
fn ring_sizes_that_are_not_powers_of_two_in_range_are_refused_before_anything_is_made() {
    let (min, max) = (RING_BYTES_MIN as u64, RING_BYTES_MAX as u64);
    let (fd, _segment) = PipeSegment::create(RING).unwrap();
    for bytes in [0, 1, 8, min / 2, min - 1, min + 1, 3 * min, max - 1, max + 1, 2 * max, 1 << 63, u64::MAX] {
        let refused = |error: Option<SegmentError>| {
            assert!(matches!(error, Some(SegmentError::RingBytes(said)) if said == bytes), "{bytes}");
        };
        refused(PipeSegment::attach(fd.as_fd(), bytes).err());
        refused(PipeSegment::create(bytes as usize).err());
        refused(MappedRing::attach(fd.as_fd(), bytes).err());
        refused(MappedRing::create(bytes as usize).err());
    }
    assert_eq!(segment::check_ring_bytes(min).unwrap() as u64, min);
    assert_eq!(segment::check_ring_bytes(max).unwrap() as u64, max);
}

#[test]
fn a_header_that_differs_in_any_field_is_refused_by_that_fields_name() {
    let fields = [
        ("magic", layout::HEADER_MAGIC),
        ("abi", layout::HEADER_ABI),
        ("segment_bytes", layout::HEADER_SEGMENT_BYTES),
        ("ring_bytes", layout::HEADER_RING_BYTES),
    ];
    for (name, offset) in fields {
        for change in [1, 1 << 32, 1 << 63] {
            let (fd, _segment) = PipeSegment::create(RING).unwrap();
            let map = segment::attach(fd.as_fd(), layout::segment_bytes(RING)).unwrap();
            // SAFETY: an aligned word of the header page, inside the map, which outlives the borrow.
            let word = unsafe { &*map.at().add(offset).cast::<AtomicU64>() };
            let there = word.fetch_xor(change, Ordering::Relaxed);
            match attach(&fd) {
                Err(SegmentError::Header { field, found }) => {
                    assert_eq!((field, found), (name, there ^ change));
                }
                _ => panic!("{name} = {:#x} was taken", there ^ change),
            }
        }
    }
}

#[test]
fn memory_that_is_not_a_pipe_segment_is_refused_by_its_magic() {
    let fd = memfd(layout::segment_bytes(RING), SEALS);
    assert!(matches!(attach(fd), Err(SegmentError::Header { field: "magic", found: 0 })));
}

#[test]
fn a_segment_cannot_change_its_size_nor_its_seals_and_is_not_inherited() {
    let (pipe, _segment) = PipeSegment::create(RING).unwrap();
    let (ring, _ring) = MappedRing::create(RING).unwrap();
    let (page, _page) = ReadyPage::create().unwrap();
    for fd in [pipe, ring, page] {
        for bytes in [0, 1 << 30] {
            assert_eq!(rustix::fs::ftruncate(&fd, bytes), Err(Errno::PERM));
        }
        assert_eq!(rustix::fs::fcntl_add_seals(&fd, SealFlags::WRITE), Err(Errno::PERM));
        assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));
    }
}

// ---------------------------------------------------------------- an arena is written by its owner

/// Every way to write that a peer with the fd could try.
#[test]
fn an_arena_is_written_through_its_owners_mapping_and_no_other_way() {
    use rustix::fs::{FallocateFlags, Mode, OFlags};
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

    let bytes = 4 * layout::PAGE;
    let (fd, owner) = segment::create_arena(bytes).unwrap();
    let expected = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL | SealFlags::FUTURE_WRITE;
    assert_eq!(rustix::fs::fcntl_get_seals(&fd).unwrap(), expected);
    let map = |fd: &OwnedFd, protection| {
        // SAFETY: new mappings; those that succeed are left to the end of the process.
        unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, 0) }
    };
    let reopened = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let reopened = rustix::fs::open(reopened, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    for fd in [Some(&fd), reopened.as_ref().ok()].into_iter().flatten() {
        assert_eq!(map(fd, ProtFlags::READ | ProtFlags::WRITE).err(), Some(Errno::PERM));
        assert_eq!(map(fd, ProtFlags::WRITE).err(), Some(Errno::PERM));
        assert_eq!(rustix::io::pwrite(fd, b"theirs", 0), Err(Errno::PERM));
        assert_eq!(rustix::io::write(fd, b"theirs"), Err(Errno::PERM));
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert_eq!(rustix::fs::fallocate(fd, punch, 0, layout::PAGE as u64), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(fd, 0), Err(Errno::PERM));
        let read_only = map(fd, ProtFlags::READ).unwrap();
        // SAFETY: the range mapped above.
        let writable = unsafe { rustix::mm::mprotect(read_only, bytes, MprotectFlags::WRITE) };
        assert_eq!(writable, Err(Errno::ACCESS));
    }
    assert!(matches!(segment::attach(fd.as_fd(), bytes), Err(SegmentError::System { call: "mmap", .. })));
    // SAFETY: inside the owner's map, which only this test has.
    let word = unsafe { &*owner.at().cast::<AtomicU64>() };
    assert_eq!(word.load(Ordering::Relaxed), 0);
    word.store(7, Ordering::Relaxed);
    let mut seen = [0; 8];
    assert_eq!(rustix::io::pread(&fd, &mut seen, 0), Ok(8));
    assert_eq!(u64::from_ne_bytes(seen), 7);
}

// ---------------------------------------------------------------- what two mappings share

#[test]
fn both_directions_of_a_segment_are_apart() {
    let (fd, binder) = PipeSegment::create(RING).unwrap();
    let connecter = attach(&fd).unwrap();
    drop(fd);
    let ends = |direction| {
        let (control, ring) = binder.direction(direction);
        let (their_control, their_ring) = connecter.direction(direction);
        (Tx::new(control, ring, 0), Rx::new(their_control, their_ring, 0))
    };
    let (mut there, mut there_rx) = ends(0);
    let (mut back, mut back_rx) = ends(1);
    for id in 0..1000 {
        there.write(&parts_of(id, &mut Vec::new())).unwrap();
        back.write(&parts_of(id + 7, &mut Vec::new())).unwrap();
        assert_eq!(take_whole(&mut there_rx), Some(id));
        assert_eq!(take_whole(&mut back_rx), Some(id + 7));
        there_rx.publish();
        back_rx.publish();
    }
}

#[test]
fn a_ready_page_is_shared_and_its_last_slot_lies_inside() {
    let (fd, mine) = ReadyPage::create().unwrap();
    let theirs = ReadyPage::attach(fd.as_fd()).unwrap();
    assert!(ready::arm(&mine));
    assert!(ready::mark(&theirs, ready::SLOTS as u32 - 1));
    let mut found = Vec::new();
    assert!(!ready::take(&mine, |slot| found.push(slot)));
    assert_eq!(found, [ready::SLOTS - 1]);
    assert!(std::ptr::from_ref(mine.summary()) != std::ptr::from_ref(theirs.summary()));
}

#[test]
fn a_growth_ring_leads_on_from_a_segment() {
    let (fd, binder) = PipeSegment::create(RING).unwrap();
    let connecter = attach(&fd).unwrap();
    let (control, ring) = binder.direction(0);
    let mut tx = Tx::new(control, ring, 0);
    let (control, ring) = connecter.direction(0);
    let mut rx = Rx::new(control, ring, 0);
    let mut sent = 0;
    for ring_bytes in [2 * RING, 4 * RING] {
        while tx.write(&parts_of(sent, &mut Vec::new())).is_ok() {
            sent += 1;
        }
        let (fd, ring) = MappedRing::create(ring_bytes).unwrap();
        rx.announce(tx.next_ring(), MappedRing::attach(fd.as_fd(), ring_bytes as u64).unwrap());
        tx.jump(ring);
    }
    tx.publish();
    for id in 0..sent {
        assert_eq!(take_whole(&mut rx), Some(id));
    }
}

// ---------------------------------------------------------------- two processes

type MappedTx = Tx<MappedControl, MappedRing>;
type MappedRx = Rx<MappedControl, MappedRing>;

/// Message `id`: its number, a body whose length and bytes follow from it, its number again.
fn parts_of(id: u64, memory: &mut Vec<Vec<u8>>) -> Vec<Part> {
    let body = vec![id as u8; (id * 37 % 300) as usize];
    memory.extend([id.to_le_bytes().to_vec(), body, id.to_le_bytes().to_vec()]);
    memory[memory.len() - 3..].iter().map(|part| Part::of(part)).collect()
}

/// The number of the next message, after checking that it is whole; None: nothing is there.
fn take_whole(rx: &mut MappedRx) -> Option<u64> {
    let mut frames = Vec::new();
    loop {
        match rx.peek().expect("a correct peer, dead or alive, poisons nothing") {
            Next::Frame(frame) => {
                let mut bytes = vec![0; frame.len];
                // SAFETY: as many bytes as the frame has, which was peeked above.
                unsafe { rx.copy(frame, bytes.as_mut_ptr()) };
                rx.consume(frame);
                frames.push(bytes);
                if !frame.more {
                    break;
                }
            }
            Next::Empty | Next::Closed => {
                assert_eq!(frames, Vec::<Vec<u8>>::new(), "half a message");
                return None;
            }
            Next::Stalled => panic!("nobody jumped"),
            Next::Passed(_) | Next::Needs(_) => panic!("nothing is passed over"),
        }
    }
    let id = u64::from_le_bytes(frames[0][..].try_into().expect("eight bytes"));
    let mut memory = Vec::new();
    parts_of(id, &mut memory);
    assert_eq!(frames, memory);
    Some(id)
}

/// Writes message `id`, looking again as long as it is refused; false: the reader closed.
fn write_whole(tx: &mut MappedTx, id: u64) -> bool {
    let mut memory = Vec::new();
    let parts = parts_of(id, &mut memory);
    loop {
        match tx.write(&parts) {
            Ok(_) => return true,
            Err(Refusal::Closed) => return false,
            Err(Refusal::Credit | Refusal::Space { grow: false }) => std::thread::yield_now(),
            Err(other) => panic!("{other:?}"),
        }
    }
}

const ORDERS: &str = "SHMZMQ_TEST_OTHER_PROCESS";

/// A process that does `role` on the segment behind `fd`, and is killed if the test ends before it.
struct Other(Child);

impl Other {
    fn start(role: &str, fd: &OwnedFd) -> Other {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["the_other_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(ORDERS, format!("{role} {}", fd.as_raw_fd()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC).unwrap();
        Other(child)
    }
    /// SIGKILL, and not before the kernel has done it.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
    fn expect_success(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test unless another test starts it with orders: the peer.
#[test]
fn the_other_process() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let (role, raw) = orders.rsplit_once(' ').unwrap();
    // SAFETY: the starter left this fd open across exec for us, and nothing here closes it.
    let fd = unsafe { BorrowedFd::borrow_raw(raw.parse().unwrap()) };
    let segment = PipeSegment::attach(fd, RING as u64).unwrap();
    let (control, ring) = segment.direction(0);
    match role {
        "write" => {
            let mut tx = Tx::new(control, ring, 0);
            for id in 0..MESSAGES {
                assert!(write_whole(&mut tx, id));
            }
            tx.close();
        }
        "write for ever" => {
            let mut tx = Tx::new(control, ring, 64);
            for id in 0.. {
                assert!(write_whole(&mut tx, id));
            }
        }
        // Hands every message out by naming it in the other direction.
        "read for ever" => {
            let mut rx = Rx::new(control, ring, 0);
            let (control, ring) = segment.direction(1);
            let mut tx = Tx::new(control, ring, 0);
            loop {
                match take_whole(&mut rx) {
                    Some(id) => assert!(write_whole(&mut tx, id)),
                    None => {
                        rx.publish();
                        std::thread::yield_now();
                    }
                }
            }
        }
        other => panic!("{other}"),
    }
}

const MESSAGES: u64 = 100_000;
/// No wait in this file lasts longer; whoever waits says what for.
const CAP: Duration = Duration::from_secs(60);

fn next_within_cap(rx: &mut MappedRx, what: &str) -> u64 {
    let began = Instant::now();
    loop {
        if let Some(id) = take_whole(rx) {
            return id;
        }
        rx.publish();
        assert!(began.elapsed() < CAP, "waited {CAP:?} for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_hundred_thousand_messages_arrive_in_order_from_another_process() {
    let (fd, segment) = PipeSegment::create(RING).unwrap();
    let other = Other::start("write", &fd);
    let (control, ring) = segment.direction(0);
    let mut rx = Rx::new(control, ring, 0);
    for expected in 0..MESSAGES {
        assert_eq!(next_within_cap(&mut rx, "the next message"), expected);
    }
    other.expect_success();
    assert_eq!(rx.peek(), Ok(Next::Closed));
}

/// a writer killed in mid-stream leaves whole messages, in order, and nothing behind them.
#[test]
fn a_reader_finds_only_whole_messages_of_a_writer_that_was_killed() {
    for round in 0..12 {
        let (fd, segment) = PipeSegment::create(RING).unwrap();
        let other = Other::start("write for ever", &fd);
        let (control, ring) = segment.direction(0);
        let mut rx = Rx::new(control, ring, 64);
        let enough = 500 + round * 997;
        for expected in 0..enough {
            assert_eq!(next_within_cap(&mut rx, "a message before the kill"), expected);
        }
        other.kill();
        let mut expected = enough;
        while let Some(id) = take_whole(&mut rx) {
            assert_eq!(id, expected);
            expected += 1;
        }
        assert_eq!(rx.peek(), Ok(Next::Empty));
        assert!(!rx.inside_message());
    }
}

/// after a reader was killed, every message but those it handed out is found, in order.
#[test]
fn a_writer_finds_what_a_killed_reader_had_not_handed_out() {
    for round in 0..12 {
        let (fd, segment) = PipeSegment::create(RING).unwrap();
        let other = Other::start("read for ever", &fd);
        let (control, ring) = segment.direction(0);
        let mut tx = Tx::new(control, ring, 0);
        let (control, ring) = segment.direction(1);
        let mut named = Rx::new(control, ring, 0);
        let began = Instant::now();
        let (mut sent, mut handed_out) = (0, 0);
        while handed_out < 500 + round * 331 {
            let mut memory = Vec::new();
            sent += u64::from(tx.write(&parts_of(sent, &mut memory)).is_ok());
            while let Some(id) = take_whole(&mut named) {
                assert_eq!(id, handed_out);
                handed_out += 1;
            }
            named.publish();
            assert!(began.elapsed() < CAP, "waited {CAP:?} for the reader");
        }
        other.kill();
        while let Some(id) = take_whole(&mut named) {
            assert_eq!(id, handed_out);
            handed_out += 1;
        }
        let mut left = Vec::new();
        tx.undelivered(|message| left.push(u64::from_le_bytes(message[0].bytes().try_into().unwrap())));
        // Killed between taking a message and naming it: handed out, and nobody can say so.
        let first = left.first().copied().unwrap_or(sent);
        assert!(first == handed_out || first == handed_out + 1, "{first} after {handed_out}");
        assert_eq!(left, (first..sent).collect::<Vec<_>>());
    }
}
