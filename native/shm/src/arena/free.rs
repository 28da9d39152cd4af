//! The free blocks of one size class, and whose turn it is.
//!
//! ```text
//!   blocks:   r r r r r r r | t t t t       the longest free first
//!                         ▲   ▲     ▲
//!             then these ─┘   │     └── comes back
//!                     is next ┘
//! ```
//!
//! The last few that came back take turns, the longest free first (docs/design/decisions/0012). The rest was
//! wanted when more was under way than now and has gone cold: of it the last that came back is next, and only
//! when there is none in the turn.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct FreeList {
    blocks: VecDeque<u32>,
    /// Of the blocks, how many of the last take turns, and how many may.
    turn: usize,
    most: usize,
}

impl FreeList {
    /// At most so many take turns; 1 is last in first out.
    pub(super) fn new(most: usize) -> FreeList {
        FreeList { blocks: VecDeque::new(), turn: 0, most: most.max(1) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn next_index(&self) -> usize {
        self.blocks.len().saturating_sub(self.turn.max(1))
    }

    #[inline]
    pub(super) fn next(&self) -> Option<u32> {
        self.blocks.get(self.next_index()).copied()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        let next = self.next_index();
        self.turn = self.turn.saturating_sub(1);
        self.blocks.remove(next)
    }

    #[inline]
    pub(super) fn push(&mut self, block: u32) {
        self.blocks.push_back(block);
        self.turn = (self.turn + 1).min(self.most);
    }

    /// Blocks that were not used yet, or not for long: they are given out in this order.
    pub(super) fn extend(&mut self, blocks: &[u32]) {
        let (turn, rest) = blocks.split_at(self.most.min(blocks.len()));
        self.blocks.extend(rest.iter().rev());
        self.blocks.extend(turn);
        self.turn = turn.len();
    }

    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.blocks.retain(|block| keep(*block));
        self.turn = self.turn.min(self.blocks.len());
    }
}
