//! What a sender says of its memory: every descriptor and announcement that a correct one cannot write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};
use shmzmq_core::loan::{Borrowed, View};
use shmzmq_shm::arena::SEGMENTS_MAX;
use shmzmq_shm::part::Described;
use shmzmq_shm::returns::BLOCKS;
use shmzmq_shm::segment::{self, SegmentError};

const PAGE: u64 = 4096;
const BYTES: u64 = 4 * PAGE;

fn memory() -> OwnedFd {
    segment::create_arena(BYTES as usize).unwrap().0
}

fn borrowed() -> Borrowed {
    let mut borrowed = Borrowed::default();
    borrowed.announce(7, View::attach(memory(), BYTES as usize).unwrap()).unwrap();
    borrowed
}

fn is_found(borrowed: &Borrowed, described: Described) -> bool {
    let Ok(place) = borrowed.find(described) else { return false };
    let mut bytes = vec![1; place.bytes()];
    // SAFETY: as many bytes as the place says it has; the segment is zero.
    unsafe { place.copy(bytes.as_mut_ptr(), bytes.len()) };
    bytes.iter().all(|byte| *byte == 0)
}

const WHOLE: Described = Described { segment: 7, block: 0, offset: 0, len: BYTES, copy: false };

#[test]
fn a_descriptor_inside_its_segment_is_found() {
    let borrowed = borrowed();
    for (offset, len) in [(0, BYTES), (0, 0), (0, 1), (PAGE, BYTES - PAGE), (3 * PAGE, 1), (BYTES, 0)] {
        for block in [0, 1, BLOCKS - 1] {
            assert!(
                is_found(&borrowed, Described { segment: 7, block, offset, len, copy: false }),
                "{len} at {offset}"
            );
        }
    }
}

#[test]
fn a_descriptor_that_leaves_its_segment_or_pages_or_numbers_is_not() {
    let borrowed = borrowed();
    let ends = [BYTES + 1, BYTES + PAGE, 1 << 32, 1 << 63, u64::MAX, u64::MAX - PAGE + 1];
    for len in ends {
        for offset in [0, PAGE, 3 * PAGE] {
            assert!(!is_found(&borrowed, Described { offset, len, ..WHOLE }), "{len} at {offset}");
        }
    }
    // Pages beyond the end, and sums that wrap to something inside.
    for offset in [BYTES, BYTES + PAGE, 1 << 40, 1 << 63, u64::MAX - PAGE + 1] {
        for len in [1, PAGE, BYTES, PAGE.wrapping_sub(offset), BYTES.wrapping_sub(offset)] {
            let described = Described { offset, len, ..WHOLE };
            let inside = u128::from(offset) + u128::from(len) <= u128::from(BYTES);
            assert_eq!(is_found(&borrowed, described), inside, "{len} at {offset}");
        }
    }
    for offset in [1, 8, 512, PAGE - 1, PAGE + 1, 2 * PAGE + 64, BYTES - 1] {
        assert!(!is_found(&borrowed, Described { offset, len: 1, ..WHOLE }), "at {offset}");
    }
    for block in [BLOCKS, BLOCKS + 1, 1 << 31, u32::MAX] {
        assert!(!is_found(&borrowed, Described { block, ..WHOLE }), "block {block}");
    }
    for segment in [0, 6, 8, u32::MAX] {
        assert!(!is_found(&borrowed, Described { segment, ..WHOLE }), "segment {segment}");
    }
}

#[test]
fn a_segment_that_was_forgotten_is_not_found_and_may_be_announced_no_more_than_once() {
    let mut borrowed = borrowed();
    assert!(borrowed.announce(7, View::attach(memory(), BYTES as usize).unwrap()).is_err());
    assert!(is_found(&borrowed, WHOLE), "the first announcement stands");
    borrowed.forget(8);
    borrowed.forget(7);
    borrowed.forget(7);
    assert!(!borrowed.has(7));
    assert!(!is_found(&borrowed, WHOLE));
}

#[test]
fn an_arena_without_end_is_refused() {
    let mut borrowed = Borrowed::default();
    for number in 0..SEGMENTS_MAX as u32 {
        borrowed.announce(number, View::attach(memory(), BYTES as usize).unwrap()).unwrap();
    }
    let one_more = || View::attach(memory(), BYTES as usize).unwrap();
    assert!(borrowed.announce(1 << 20, one_more()).is_err());
    borrowed.forget(5);
    borrowed.announce(1 << 20, one_more()).unwrap();
}

#[test]
fn memory_that_is_not_as_announced_is_refused() {
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let memfd = |bytes: u64, seals| {
        let fd = rustix::fs::memfd_create("stranger", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, bytes).unwrap();
        rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
        fd
    };
    for bytes in [0, 1, PAGE, BYTES - 1, BYTES + 1, 1 << 40, u64::MAX] {
        let refused = View::attach(memory(), bytes as usize);
        assert!(matches!(refused, Err(SegmentError::Size { .. })), "{bytes} announced");
    }
    for lacking in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
        let refused = View::attach(memfd(BYTES, seals.difference(lacking)), BYTES as usize);
        assert!(matches!(refused, Err(SegmentError::Unsealed)), "{lacking:?}");
    }
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(matches!(View::attach(file.into(), BYTES as usize), Err(SegmentError::Unsealed)));
    // Nothing at all can be announced, and be of no use.
    let mut borrowed = Borrowed::default();
    borrowed.announce(7, View::attach(memfd(0, seals), 0).unwrap()).unwrap();
    assert!(is_found(&borrowed, Described { len: 0, ..WHOLE }));
    assert!(!is_found(&borrowed, Described { len: 1, ..WHOLE }));
}
