//! Parts: the frames of a message as a ring takes them, and what it hands back.
//!
//! A part is memory that the caller keeps during a call. It may lie in a block of an arena; then a ring
//! can carry a descriptor of the block in place of the bytes.

use std::sync::Arc;

use crate::arena::Block;
use crate::layout::{DESC, DESC_BYTES, VALID};

/// One frame to be written: memory that the caller keeps readable during the call.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub at: *const u8,
    pub len: usize,
    /// Where the bytes are: nowhere in particular (null), in that block of an arena, or they are a
    /// descriptor of such a block: twice the bytes that it stands for, plus one. No block lives at an odd
    /// address.
    block: *const Block,
}

impl Part {
    #[inline(always)]
    pub const fn new(at: *const u8, len: usize) -> Part {
        Part { at, len, block: std::ptr::null() }
    }

    pub fn of(bytes: &[u8]) -> Part {
        Part::new(bytes.as_ptr(), bytes.len())
    }

    /// The first `len` bytes of a block, which the caller keeps during the call.
    pub fn of_block(block: &Arc<Block>, len: usize) -> Part {
        Part { at: block.at(), len, block: Arc::as_ptr(block) }
    }

    /// A record that names a block instead of carrying its bytes, of which there are so many.
    pub fn descriptor(descriptor: &Descriptor, bytes: usize) -> Part {
        let block = std::ptr::without_provenance(bytes << 1 | 1);
        Part { at: descriptor.0.as_ptr().cast(), len: DESC_BYTES as usize, block }
    }

    #[inline(always)]
    fn is_descriptor(&self) -> bool {
        self.block.addr() & 1 != 0
    }

    /// Bytes of the frame that are not in the ring.
    pub fn elsewhere(&self) -> u64 {
        if self.is_descriptor() { (self.block.addr() >> 1) as u64 } else { 0 }
    }

    #[inline(always)]
    pub fn is_in_block(&self) -> bool {
        !self.block.is_null() && !self.is_descriptor()
    }

    /// The block that the bytes are in, if they are in one.
    pub fn block(&self) -> Option<Arc<Block>> {
        if !self.is_in_block() {
            return None;
        }
        // SAFETY: made by `of_block` from an Arc that the caller of the running call keeps alive; the count
        // is raised for the one that is made here.
        unsafe {
            Arc::increment_strong_count(self.block);
            Some(Arc::from_raw(self.block))
        }
    }

    #[inline(always)]
    pub(crate) fn flags(&self) -> u64 {
        if self.is_descriptor() { VALID | DESC } else { VALID }
    }
}

/// What a DESC record says, as it lies in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor([u64; DESC_WORDS]);

const DESC_WORDS: usize = DESC_BYTES as usize / 8;

/// A descriptor's fields. Whoever got it from a peer checks them before use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    pub segment: u32,
    pub block: u32,
    pub offset: u64,
    pub len: u64,
    /// To be copied out: the writer's memory is scarce, and nobody is to hold more of it.
    pub copy: bool,
}

/// In a descriptor's segment number.
const COPY: u32 = 1 << 31;

impl Described {
    pub const fn encode(self) -> Descriptor {
        let copy = if self.copy { COPY } else { 0 };
        let ids = (self.segment & !COPY | copy) as u64 | (self.block as u64) << 32;
        Descriptor([ids.to_le(), self.offset.to_le(), self.len.to_le()])
    }
}

impl Descriptor {
    pub(crate) fn at_mut(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    pub fn decode(&self) -> Described {
        let [ids, offset, len] = self.0.map(u64::from_le);
        let (segment, copy) = (ids as u32 & !COPY, ids as u32 & COPY != 0);
        Described { segment, block: (ids >> 32) as u32, offset, len, copy }
    }
}

/// A frame that the reader never handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    Bytes(Vec<u8>),
    Block(Described),
}

impl Left {
    /// The bytes that lay in the ring; none of a block.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Left::Bytes(bytes) => bytes,
            Left::Block(_) => &[],
        }
    }

    pub(crate) fn of(frame: Vec<u8>, described: bool) -> Left {
        if !described {
            return Left::Bytes(frame);
        }
        let mut descriptor = Descriptor::default();
        for (word, bytes) in descriptor.0.iter_mut().zip(frame.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            *word = u64::from_ne_bytes(eight);
        }
        Left::Block(descriptor.decode())
    }
}
