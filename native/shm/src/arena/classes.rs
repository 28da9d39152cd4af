//! Size classes: how large a block is for a frame, and how many more are made.

use super::free::FreeList;

/// Smallest block, in bytes; sizes are this and once and a half of it, times powers of two, so that a block
/// is at most a third larger than what is in it, and always whole pages.
const BLOCK_BYTES_MIN: u64 = 8 * 1024;
const CLASSES: usize = 64;
/// The first segment of a class whose blocks are used in turn has as many as fit here, at most so many; of
/// larger ones it has one.
const FIRST_SEGMENT_BYTES: u64 = 2 << 20;
const FIRST_SEGMENT_BLOCKS: u64 = 32;
/// Free blocks up to this size are used in turn, as many as a first segment has; larger ones last in first out.
const CYCLED_BYTES: u64 = 512 * 1024;
/// No segment is larger, unless a single block is.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// The size class for `len` bytes, and the bytes of its blocks. None: absurd.
#[inline]
pub(super) fn class_of(len: u64) -> Option<(usize, u64)> {
    if len <= BLOCK_BYTES_MIN {
        return Some((0, BLOCK_BYTES_MIN));
    }
    // The largest power of two that is too small; the next two classes are half as much more, and twice it.
    let below = ((len - 1) / BLOCK_BYTES_MIN).ilog2() as usize * 2;
    (below + 1..CLASSES).take(2).map(|class| (class, class_bytes(class))).find(|(_, bytes)| *bytes >= len)
}

/// Bytes of the block that a frame of `len` bytes takes.
pub fn block_bytes(len: u64) -> u64 {
    class_of(len).map_or(u64::MAX, |(_, bytes)| bytes)
}

#[inline]
pub(super) fn class_bytes(class: usize) -> u64 {
    let base = if class % 2 == 0 { BLOCK_BYTES_MIN } else { BLOCK_BYTES_MIN / 2 * 3 };
    base << (class / 2)
}

pub(super) struct Class {
    /// Free blocks of segments that do not drain.
    pub(super) free: FreeList,
    pub(super) used: usize,
    /// Most that were used since the last look, and between the two looks before.
    pub(super) peak: usize,
    pub(super) last_peak: usize,
    /// Looks in a row that found it unused.
    pub(super) idle_looks: u32,
    pub(super) segments: Vec<u32>,
}

impl Class {
    pub(super) fn new(class: usize) -> Class {
        Class {
            free: FreeList::new(cycle(class_bytes(class)) as usize),
            used: 0,
            peak: 0,
            last_peak: 0,
            idle_looks: 0,
            segments: Vec::new(),
        }
    }

    /// Blocks of the next segment.
    pub(super) fn next_blocks(&self, bytes: u64) -> u64 {
        let steps = self.segments.len() as u32 / 2;
        let most = (SEGMENT_BYTES_MAX / bytes).max(1);
        cycle(bytes).saturating_mul(1 << steps.min(20)).min(most)
    }
}

/// How many free blocks of that size take turns.
fn cycle(bytes: u64) -> u64 {
    match bytes {
        0..=CYCLED_BYTES => (FIRST_SEGMENT_BYTES / bytes.max(1)).clamp(1, FIRST_SEGMENT_BLOCKS),
        _ => 1,
    }
}
