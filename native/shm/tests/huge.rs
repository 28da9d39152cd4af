//! Huge pages: taken where the system gives them, and no byte, page count or copy is another for it.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use shmzmq_shm::fork::Map;
use shmzmq_shm::huge::{self, HUGE};
use shmzmq_shm::private::{Finder, PrivateMap};
use shmzmq_shm::segment;

/// Huge pages, in KiB, that /proc says are mapped at an address.
fn huge_kib(at: *mut u8) -> usize {
    let start = format!("{:x}-", at as usize);
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let of = maps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let own = of.take_while(|line| line.split(':').next().is_some_and(|name| !name.contains('-')));
    let huge = own.filter(|line| line.starts_with("ShmemPmdMapped") || line.starts_with("AnonHugePages"));
    huge.map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()).sum()
}

/// Whether this system collapses what is asked for by name; asked without the code that is tested.
fn gives_huge_pages() -> bool {
    let said = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if said.is_empty() || said.contains("[never]") || rustix::param::page_size() != 4096 {
        return false;
    }
    let (_fd, map) = segment::create("shmzmq-test", 2 * HUGE).unwrap();
    let first = map.at().wrapping_add((map.at() as usize).wrapping_neg() % HUGE);
    // SAFETY: the whole huge page inside the map, which nobody else has.
    unsafe {
        first.write_bytes(1, HUGE);
        libc::madvise(first.cast(), HUGE, libc::MADV_COLLAPSE) == 0
    }
}

fn memory(bytes: usize) -> (OwnedFd, Arc<Map>) {
    let (fd, map) = segment::create_arena(bytes).unwrap();
    segment::populate(fd.as_fd(), &map, 0, bytes).unwrap();
    (fd, map)
}

fn poke(at: *mut u8, offset: usize, value: u8) {
    // SAFETY: tests give offsets inside the map of `at`, which they keep.
    unsafe { at.add(offset).write_volatile(value) }
}

fn peek(at: *mut u8, offset: usize) -> u8 {
    // SAFETY: as in `poke`.
    unsafe { at.add(offset).read_volatile() }
}

#[test]
fn large_memory_lies_where_huge_pages_can_be_mapped() {
    for bytes in [HUGE, HUGE + 4096, 3 * HUGE, 8 * HUGE + 8192] {
        let (fd, map) = segment::create_arena(bytes).unwrap();
        let reader = PrivateMap::attach(fd.as_fd(), bytes).unwrap();
        assert_eq!((map.at() as usize % HUGE, reader.at() as usize % HUGE), (0, 0), "{bytes}");
        assert_eq!((map.len(), reader.len()), (bytes, bytes));
    }
}

#[test]
fn nothing_but_the_memory_stays_mapped() {
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let (fd, map) = segment::create_arena(3 * HUGE).unwrap();
    let (start, end) = (map.at() as usize, map.at() as usize + map.len());
    let range = format!("{start:x}-{end:x} ");
    assert_eq!(maps().lines().filter(|line| line.starts_with(&range)).count(), 1);
    drop((fd, map));
    assert!(!maps().contains(&range));
}

#[test]
fn populated_memory_has_huge_pages_where_whole_ones_fit() {
    if !gives_huge_pages() {
        eprintln!("this system gives no huge pages by name");
        return;
    }
    let (_fd, map) = memory(4 * HUGE);
    assert_eq!(huge_kib(map.at()), 4 * HUGE / 1024);
    // A block that begins and ends within them: the whole ones of it, and no page beyond.
    let (fd, map) = segment::create_arena(4 * HUGE).unwrap();
    segment::populate(fd.as_fd(), &map, HUGE / 2, 2 * HUGE).unwrap();
    assert_eq!(huge_kib(map.at()), HUGE / 1024);
    assert_eq!(rustix::fs::fstat(&fd).unwrap().st_blocks as usize * 512, 2 * HUGE);
    assert!((0..4 * HUGE).step_by(4096).all(|offset| peek(map.at(), offset) == 0));
}

#[test]
fn memory_that_is_there_keeps_its_bytes() {
    let (fd, map) = segment::create_arena(2 * HUGE).unwrap();
    let marks: Vec<usize> = (0..2 * HUGE).step_by(4096 + 64).collect();
    marks.iter().for_each(|offset| poke(map.at(), *offset, *offset as u8 | 1));
    segment::populate(fd.as_fd(), &map, 0, 2 * HUGE).unwrap();
    assert!(marks.iter().all(|offset| peek(map.at(), *offset) == *offset as u8 | 1));
}

/// A reader's copy of a page of a huge page hides the owner's until it is scrubbed, whoever finds it.
#[test]
fn a_reader_that_writes_into_a_huge_page_has_its_own_until_the_scrub() {
    PrivateMap::expect_scrub();
    for finder in [Finder::Scan, Finder::Table, Finder::Nothing] {
        let (fd, map) = memory(2 * HUGE);
        let reader = PrivateMap::attach(fd.as_fd(), 2 * HUGE).unwrap();
        let touched = [0, 4096 * 7, HUGE - 1, HUGE, 2 * HUGE - 4096];
        (0..2 * HUGE).step_by(4096).for_each(|offset| poke(map.at(), offset, 1));
        assert!((0..2 * HUGE).step_by(4096).all(|offset| peek(reader.at(), offset) == 1));
        touched.iter().for_each(|offset| poke(reader.at(), *offset, 9));
        assert!(touched.iter().all(|offset| peek(map.at(), *offset) != 9), "{finder:?}");
        (0..2 * HUGE).step_by(4096).for_each(|offset| poke(map.at(), offset, 2));
        assert_eq!((peek(reader.at(), 0), peek(reader.at(), 4096)), (9, 2), "{finder:?}");
        assert!(reader.scrub_by(finder, 0, 2 * HUGE) || finder == Finder::Scan, "{finder:?}");
        if finder == Finder::Scan {
            reader.scrub(0, 2 * HUGE);
        }
        assert!((0..2 * HUGE).step_by(4096).all(|offset| peek(reader.at(), offset) == 2), "{finder:?}");
    }
}

#[test]
fn advised_memory_is_touched_in_huge_pages_and_a_part_of_one_is_left_alone() {
    let len = 4 * HUGE;
    let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
    // SAFETY: a new mapping, whose end is that of the test.
    let at: *mut u8 = unsafe {
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, protection, rustix::mm::MapFlags::PRIVATE)
            .unwrap()
            .cast()
    };
    // SAFETY: of that mapping; the second has no whole huge page in it.
    unsafe {
        huge::advise(at.add(100), len - 100);
        huge::advise(at, HUGE - 1);
    }
    (0..len).step_by(4096).for_each(|offset| poke(at, offset, 1));
    // The advice has made a mapping of its own of the whole ones.
    let first = (at as usize + 100).next_multiple_of(HUGE);
    let whole = (at as usize + len) / HUGE * HUGE - first;
    if gives_huge_pages() {
        assert_eq!(huge_kib(std::ptr::with_exposed_provenance_mut(first)), whole / 1024);
    }
    // SAFETY: mapped above.
    unsafe { rustix::mm::munmap(at.cast(), len).unwrap() };
}
