//! A reader's view of an arena: what it writes stays its own, what it returns is clean, and what it holds
//! survives a fork.
//!
//! Tests that fork or lock all memory are this test binary, started again for one part of it: a fork
//! copies all threads' locks, and no other test's shall be among them.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use shmzmq_shm::fork::{self, Map};
use shmzmq_shm::private::{self, Finder, PrivateMap};
use shmzmq_shm::segment::{self, SegmentError};

const FINDERS: [Finder; 3] = [Finder::Scan, Finder::Table, Finder::Nothing];
const MIB: usize = 1 << 20;

fn page() -> usize {
    rustix::param::page_size()
}

/// What the owner has, and what its reader has of it.
struct Both {
    _fd: OwnedFd,
    owner: Arc<Map>,
    reader: Arc<PrivateMap>,
}

impl Both {
    fn of(bytes: usize) -> Both {
        let (fd, owner) = segment::create_arena(bytes).unwrap();
        PrivateMap::expect_scrub();
        let reader = PrivateMap::attach(fd.as_fd(), bytes).unwrap();
        assert_eq!((reader.len(), reader.is_empty()), (bytes, false));
        Both { _fd: fd, owner, reader }
    }
    fn pages(&self) -> usize {
        self.reader.len() / page()
    }
    /// The owner writes to the second byte of each page.
    fn owner_writes(&self, value: u8) {
        (0..self.pages()).for_each(|at| poke(self.owner.at(), at * page() + 1, value));
    }
    fn reader_writes(&self, pages: impl IntoIterator<Item = usize>, value: u8) {
        pages.into_iter().for_each(|at| poke(self.reader.at(), at * page() + 1, value));
    }
    fn reader_sees(&self, at: usize) -> u8 {
        peek(self.reader.at(), at * page() + 1)
    }
    fn owner_sees(&self, at: usize) -> u8 {
        peek(self.owner.at(), at * page() + 1)
    }
}

fn poke(base: *mut u8, offset: usize, value: u8) {
    // SAFETY: tests give offsets inside the map of `base`, which they keep.
    unsafe { base.add(offset).write_volatile(value) }
}

fn peek(base: *mut u8, offset: usize) -> u8 {
    // SAFETY: as in `poke`.
    unsafe { base.add(offset).read_volatile() }
}

fn is_mapped(at: *mut u8, len: usize) -> bool {
    // SAFETY: asks about a range; MS_ASYNC does nothing where it is mapped.
    unsafe { libc::msync(at.cast(), len, libc::MS_ASYNC) == 0 }
}

// ---------------------------------------------------------------- what is refused

#[test]
fn memory_without_the_seals_or_of_another_size_is_refused() {
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let memfd = |seals| {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("shmzmq-test", flags).unwrap();
        rustix::fs::ftruncate(&fd, MIB as u64).unwrap();
        rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
        fd
    };
    for lacking in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
        let refused = PrivateMap::attach(memfd(seals.difference(lacking)).as_fd(), MIB);
        assert!(matches!(refused, Err(SegmentError::Unsealed)), "{lacking:?}");
    }
    let refused = PrivateMap::attach(memfd(seals).as_fd(), MIB + page());
    assert!(matches!(refused, Err(SegmentError::Size { .. })));
    assert!(PrivateMap::attach(memfd(seals).as_fd(), MIB).is_ok());
    assert!(PrivateMap::attach(memfd(seals | SealFlags::WRITE).as_fd(), MIB).is_ok());
}

// ---------------------------------------------------------------- private, and clean again

#[test]
fn what_a_reader_writes_is_seen_by_no_one_else() {
    let both = Both::of(4 * page());
    both.owner_writes(1);
    both.reader_writes([2], 9);
    assert_eq!([both.reader_sees(2), both.owner_sees(2), both.reader_sees(3)], [9, 1, 1]);
    both.owner_writes(2);
    assert_eq!([both.reader_sees(2), both.reader_sees(3)], [9, 2]);
}

/// Whatever a kernel says about pages, it must not be that a copy is none. Patterns of copies: none,
/// one, all, every other one (more runs than fit into one answer), the ends.
#[test]
fn a_scrubbed_range_shows_what_the_owner_writes_and_the_rest_is_untouched() {
    for finder in FINDERS {
        for pattern in 0..5 {
            let both = Both::of(300 * page());
            both.owner_writes(1);
            let copied: Vec<usize> = (0..300)
                .filter(|at| [false, *at == 100, true, at % 2 == 0, [10, 289].contains(at)][pattern])
                .collect();
            both.reader_writes(copied.iter().copied(), 9);
            let scrubbed = 10..290;
            if !both.reader.scrub_by(finder, scrubbed.start * page(), scrubbed.len() * page()) {
                println!("{finder:?}: not on this system");
                continue;
            }
            for at in 0..300 {
                let kept = copied.contains(&at) && !scrubbed.contains(&at);
                assert_eq!(both.reader_sees(at), if kept { 9 } else { 1 }, "{finder:?} {pattern} {at}");
            }
            both.owner_writes(2);
            for at in 0..300 {
                let kept = copied.contains(&at) && !scrubbed.contains(&at);
                assert_eq!(both.reader_sees(at), if kept { 9 } else { 2 }, "{finder:?} {pattern} {at}");
            }
        }
    }
}

#[test]
fn a_scrub_takes_the_pages_that_the_range_touches_and_no_more_than_there_are() {
    let both = Both::of(4 * page());
    let none_left = |copied: [usize; 4], offset: usize, len: usize| {
        both.reader_writes(0..4, 9);
        both.reader.scrub(offset, len);
        assert_eq!([0, 1, 2, 3].map(|at| usize::from(both.reader_sees(at) == 9)), copied);
    };
    none_left([1, 1, 1, 1], 0, 0);
    none_left([1, 1, 1, 1], page(), 0);
    none_left([1, 0, 1, 1], page(), 1);
    none_left([1, 0, 1, 1], page() + 5, 1);
    none_left([1, 0, 0, 1], page(), page() + 1);
    none_left([1, 1, 1, 0], 3 * page(), usize::MAX);
    none_left([1, 1, 1, 1], 4 * page(), 1);
    none_left([1, 1, 1, 1], usize::MAX, usize::MAX);
    none_left([0, 0, 0, 0], 0, 4 * page());
}

/// A copy may be in swap, or made by a read into the memory; here: by the kernel, for read(2).
#[test]
fn what_the_kernel_wrote_for_the_reader_is_scrubbed_too() {
    let both = Both::of(4 * page());
    both.owner_writes(1);
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let len = 4 * page();
    // SAFETY: the range is the map's, which outlives the slice, and nothing else touches it meanwhile.
    let buffer = unsafe { std::slice::from_raw_parts_mut(both.reader.at(), len) };
    assert_eq!(rustix::io::read(&zeros, buffer).unwrap(), len);
    assert_eq!(both.reader_sees(3), 0);
    both.reader.scrub(0, len);
    assert_eq!((0..4).map(|at| both.reader_sees(at)).collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn a_map_is_gone_with_its_last_handle() {
    let both = Both::of(4 * page());
    let at = both.reader.at();
    both.reader.hold(0, page());
    private::before_fork();
    private::after_fork_in_parent();
    assert!(is_mapped(at, 4 * page()));
    drop(both);
    assert!(!is_mapped(at, 4 * page()));
}

#[test]
fn populated_memory_is_there_and_a_range_outside_is_refused() {
    let (fd, map) = segment::create_arena(16 * page()).unwrap();
    let blocks = || rustix::fs::fstat(&fd).unwrap().st_blocks as usize * 512 / page();
    assert_eq!(blocks(), 0);
    segment::populate(fd.as_fd(), &map, 0, 0).unwrap();
    segment::populate(fd.as_fd(), &map, 4 * page(), 3 * page()).unwrap();
    assert_eq!(blocks(), 3);
    segment::populate(fd.as_fd(), &map, 10 * page() + 1, page()).unwrap();
    assert_eq!(blocks(), 5);
    for (offset, len) in [(0, 17 * page()), (16 * page(), 1), (usize::MAX, 1), (1, usize::MAX)] {
        assert_eq!(segment::populate(fd.as_fd(), &map, offset, len), Err(rustix::io::Errno::RANGE));
    }
    poke(map.at(), 5 * page(), 7);
    segment::populate(fd.as_fd(), &map, 0, 16 * page()).unwrap();
    assert_eq!((blocks(), peek(map.at(), 5 * page())), (16, 7));
}

// ---------------------------------------------------------------- in a process of its own

const ORDERS: &str = "SHMZMQ_TEST_PRIVATE";
/// A child that has not ended by then hangs.
const CAP: Duration = Duration::from_secs(10);

fn start(orders: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["the_process_that_reads", "--exact", "--test-threads=1", "--nocapture"])
        .env(ORDERS, orders)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Forks as the library does, with all hooks. The child says which of its expectations failed (0: none);
/// `meanwhile` runs in the parent before the child goes on.
fn fork_with_hooks(meanwhile: impl FnOnce(), child: impl FnOnce() -> i32) {
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    private::before_fork();
    // SAFETY: the child calls only what is for children, and _exit.
    match unsafe { libc::fork() } {
        -1 => panic!("fork failed"),
        0 => {
            fork::after_in_child();
            private::after_in_child();
            drop(writing);
            // Until the parent says so, or is gone.
            let _ = rustix::io::read(&reading, &mut [0_u8; 1]);
            let status = child();
            // SAFETY: ends the process without running what the parent registered.
            unsafe { libc::_exit(status) }
        }
        pid => {
            private::after_fork_in_parent();
            drop(reading);
            meanwhile();
            drop(writing);
            let (began, mut status) = (Instant::now(), 0);
            // SAFETY: `status` is writable; `pid` is our child and not yet waited for.
            while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == 0 {
                if began.elapsed() > CAP {
                    // SAFETY: our child, not yet waited for.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
                std::thread::yield_now();
            }
            assert_eq!(status, 0, "status of the child: number of the failed expectation << 8, or a signal");
        }
    }
}

/// The number of the first expectation that does not hold, from 1; 0: all do.
fn first_failed(expectations: &[bool]) -> i32 {
    expectations.iter().position(|&held| !held).map_or(0, |at| at as i32 + 1)
}

/// Not a test unless another test starts it with orders.
#[test]
fn the_process_that_reads() {
    match std::env::var(ORDERS).as_deref() {
        Ok("fork") => held_blocks_survive_a_fork(),
        Ok("twice") => forks_one_after_the_other(),
        Ok("busy") => forks_beside_busy_threads(),
        Ok("locked") => locked_memory(),
        _ => {}
    }
}

fn held_blocks_survive_a_fork() {
    let both = Both::of(16 * page());
    both.owner_writes(1);
    // Two blocks are held, one of them twice and written to by the reader; one was held.
    both.reader.hold(2 * page(), 2 * page());
    both.reader.hold(8 * page(), page());
    both.reader.hold(8 * page(), page());
    both.reader.drop_hold(8 * page(), page());
    both.reader.hold(12 * page(), page());
    both.reader.drop_hold(12 * page(), page());
    both.reader_writes([8], 5);
    let base = both.reader.at();
    let at = |page_number: usize| base.wrapping_add(page_number * page());
    fork_with_hooks(
        || {
            both.owner_writes(2);
            assert_eq!([2, 3, 8].map(|at| both.reader_sees(at)), [1, 1, 5]);
            assert_eq!([1, 4, 12].map(|at| both.reader_sees(at)), [2, 2, 2]);
            // What the parent writes now is its own.
            both.reader_writes([3], 7);
        },
        || {
            let held = [2, 3, 8].map(|at| both.reader_sees(at)) == [1, 1, 5];
            let absent = [0, 1, 4, 7, 9, 12, 15].iter().all(|&number| !is_mapped(at(number), 1));
            let foreign = !both.reader.is_ours();
            // None of these does anything here, least of all wait.
            both.reader_writes([2], 6);
            both.reader.hold(0, page());
            both.reader.drop_hold(2 * page(), 2 * page());
            both.reader.scrub(2 * page(), 2 * page());
            for finder in FINDERS {
                both.reader.scrub_by(finder, 2 * page(), 2 * page());
            }
            let untouched = [2, 3].map(|at| both.reader_sees(at)) == [6, 1];
            // SAFETY: a second handle of this count, which the parent's memory keeps; its drop is tested.
            drop(unsafe { std::ptr::read(&both.reader) });
            let still_there = [2, 3, 8].iter().all(|&number| is_mapped(at(number), 1));
            // A child can be a reader of its own.
            let own = Both::of(4 * page());
            own.owner_writes(3);
            own.reader_writes([1], 9);
            let copied = own.reader_sees(1) == 9;
            own.reader.scrub(0, 4 * page());
            let clean = own.reader_sees(1) == 3;
            let scans = FINDERS.iter().all(|&finder| own.reader.scrub_by(finder, 0, page()));
            first_failed(&[held, absent, foreign, untouched, still_there, copied, clean, scans])
        },
    );
    assert_eq!([2, 3, 8].map(|at| both.reader_sees(at)), [1, 7, 5]);
    // The block goes back: the copies that the fork made are found.
    both.reader.drop_hold(2 * page(), 2 * page());
    both.reader.scrub(2 * page(), 2 * page());
    assert_eq!([2, 3, 8].map(|at| both.reader_sees(at)), [2, 2, 5]);
}

fn forks_one_after_the_other() {
    let both = Both::of(4 * page());
    both.owner_writes(1);
    let at = |number: usize| both.reader.at().wrapping_add(number * page());
    both.reader.hold(0, page());
    fork_with_hooks(
        || both.owner_writes(2),
        || {
            // A grandchild has what the child has.
            let mut right = both.reader_sees(0) == 1;
            fork_with_hooks(|| (), || first_failed(&[both.reader_sees(0) == 1, !is_mapped(at(1), 1)]));
            right &= both.reader_sees(0) == 1;
            first_failed(&[right])
        },
    );
    both.reader.drop_hold(0, page());
    both.reader.scrub(0, page());
    both.reader.hold(page(), page());
    fork_with_hooks(
        || both.owner_writes(3),
        || first_failed(&[!is_mapped(at(0), 1), both.reader_sees(1) == 2, !is_mapped(at(2), 2 * page())]),
    );
    assert_eq!([0, 1].map(|at| both.reader_sees(at)), [3, 2]);
}

/// The fork falls into the instant in which other threads hold, scrub, map, unmap and have the list of maps.
fn forks_beside_busy_threads() {
    let both = Both::of(64 * page());
    both.owner_writes(1);
    both.reader.hold(0, page());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                both.reader.hold(page(), 63 * page());
                both.reader_writes([1, 30, 63], 9);
                both.reader.drop_hold(page(), 63 * page());
                both.reader.scrub(page(), 63 * page());
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(Both::of(4 * page()));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                private::before_fork();
            }
        });
        for _ in 0..200 {
            fork_with_hooks(
                || (),
                || {
                    let own = Both::of(4 * page());
                    own.reader.hold(0, page());
                    own.reader.scrub(0, page());
                    first_failed(&[both.reader_sees(0) == 1])
                },
            );
        }
    });
}

/// Ends the busy threads, also when the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn locked_memory() {
    // SAFETY: locks what this process maps from now on; it ends soon.
    if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
        println!("this process may not lock memory");
        return;
    }
    let both = Both::of(16 * page());
    both.owner_writes(1);
    assert_eq!(both.reader_sees(3), 1, "mapped and not copied");
    both.reader_writes([3], 9);
    both.reader.scrub(0, 16 * page());
    assert_eq!(both.reader_sees(3), 1);
    // SAFETY: as above.
    if unsafe { libc::mlockall(libc::MCL_CURRENT) } == 0 {
        both.owner_writes(2);
        // All pages were copied; at least a scrub ends that, although they are locked.
        both.reader.scrub(0, 16 * page());
        assert_eq!(both.reader_sees(3), 2);
    }
}

#[test]
fn parent_and_child_read_what_was_held_at_the_fork_and_the_child_has_nothing_else() {
    start("fork");
}

#[test]
fn a_second_fork_keeps_what_is_held_then() {
    start("twice");
}

#[test]
fn a_child_forked_beside_busy_readers_can_read_on_and_be_a_reader() {
    start("busy");
}

#[test]
fn memory_that_a_program_locks_is_not_copied_when_it_is_mapped() {
    start("locked");
}

// ---------------------------------------------------------------- figures

/// `cargo test --release -p shmzmq-shm --test private -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn figures_of_a_scrub() {
    let both = Both::of(MIB);
    both.owner_writes(1);
    let read_all = || (0..both.pages()).for_each(|at| assert_eq!(both.reader_sees(at), 1));
    for (what, copied) in [("no page", 0), ("1 page", 1), ("every page", both.pages())] {
        for finder in FINDERS {
            let (mut scrub, mut again) = (Vec::new(), Vec::new());
            for _ in 0..2000 {
                read_all();
                both.reader_writes(0..copied, 9);
                let began = Instant::now();
                both.reader.scrub_by(finder, 0, MIB);
                scrub.push(began.elapsed());
                let began = Instant::now();
                read_all();
                again.push(began.elapsed());
            }
            scrub.sort();
            again.sort();
            println!(
                "{what} of 1 MiB copied, {finder:?}: scrub {:?}, reading each page after it {:?}",
                scrub[1000], again[1000]
            );
        }
    }
}
