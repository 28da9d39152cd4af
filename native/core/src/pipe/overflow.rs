//! What a pipe does with a message for which it has no room: the socket's OVERFLOW, and CONFLATE.
//!
//! | policy | a pipe at its high-water marks |
//! |---|---|
//! | own | what the socket type does: blocks or drops (RFC 28 to 31) |
//! | block | the send waits, also where the type would drop |
//! | drop newest | the message at hand is dropped |
//! | drop oldest | the oldest message that the peer has not taken is dropped |
//! | keep latest | every older message that the peer has not taken is dropped, room or no room |
//!
//! The first three are the pattern's business. The last two *keep*: such a pipe always takes a message.
//! What has no room in the ring is held here, in this process, and moves when the reader does; what is
//! dropped in the ring is told to the reader by `skip` (ring.rs, R-8). The reader skips by itself.

use std::collections::VecDeque;

use crate::error::Result;
use crate::message::{Message, Outgoing, reserve_places};
use crate::pipe::ring::Limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    #[default]
    Own,
    Block,
    DropNewest,
    DropOldest,
    KeepLatest,
}

impl Policy {
    pub const ALL: [Policy; 5] =
        [Policy::Own, Policy::Block, Policy::DropNewest, Policy::DropOldest, Policy::KeepLatest];

    pub fn from_number(number: i64) -> Policy {
        usize::try_from(number).ok().and_then(|number| Policy::ALL.get(number)).copied().unwrap_or_default()
    }

    /// A pipe with this policy takes every message.
    pub fn keeps(self) -> bool {
        matches!(self, Policy::DropOldest | Policy::KeepLatest)
    }
}

/// The messages of a keeping writer that the reader has not taken, as far as the writer must know them.
#[derive(Default)]
pub struct Kept {
    pub policy: Policy,
    /// In this process, because the ring had no room. Newer than everything in the ring.
    held: VecDeque<Message>,
    held_bytes: u64,
    /// Where the messages in the ring begin, and how many bytes were sent before each; only for DropOldest.
    /// Some may have been read meanwhile.
    begins: VecDeque<(u64, u64)>,
    /// So many begins are worth a look at which of them were read.
    look_at: usize,
    /// How many messages and bytes may be kept; 0 for no limit.
    most: u64,
    bytes_max: u64,
}

/// Fewer begins than this are not worth a look.
const FEW: usize = 64;

impl Kept {
    pub fn new(policy: Policy) -> Kept {
        Kept { policy, look_at: FEW, ..Kept::default() }
    }

    pub fn set_most(&mut self, most: u64, bytes_max: u64) {
        (self.most, self.bytes_max) = (most, bytes_max);
    }

    /// Messages that are held outside the ring.
    pub fn held(&self) -> &VecDeque<Message> {
        &self.held
    }

    /// The oldest of them went into the ring, or is given up.
    pub fn pop_held(&mut self) -> Option<Message> {
        let message = self.held.pop_front()?;
        self.held_bytes -= message.bytes();
        Some(message)
    }

    /// A message went into the ring at `begin` (a position, and the bytes sent before); `reader` is the
    /// reader's position. From where on the ring's messages are still wanted.
    pub fn wrote(&mut self, begin: (u64, u64), reader: u64) -> Option<u64> {
        match self.policy {
            Policy::KeepLatest => Some(begin.0),
            Policy::DropOldest => {
                self.begins.push_back(begin);
                if self.begins.len() >= self.look_at {
                    self.forget_read(reader);
                    self.look_at = FEW.max(2 * self.begins.len());
                }
                None
            }
            _ => None,
        }
    }

    fn forget_read(&mut self, reader: u64) {
        while self.begins.front().is_some_and(|(begin, _)| *begin < reader) {
            self.begins.pop_front();
        }
    }

    /// More is kept than may be; the newest message always may.
    fn is_over(&self, sent: u64) -> bool {
        let count = (self.begins.len() + self.held.len()) as u64;
        let in_ring = self.begins.front().map_or(0, |(_, before)| sent - before);
        (self.most > 0 && count > self.most)
            || (self.bytes_max > 0 && count > 1 && in_ring + self.held_bytes > self.bytes_max)
    }

    /// Holds a message for which the ring had no room; `reader` and `writer` are where they are in the
    /// ring; `writer` as in `wrote`.
    /// How many were dropped, and from where on the ring's messages are still wanted.
    pub fn hold(
        &mut self,
        message: Outgoing<'_>,
        reader: u64,
        (writer, sent): (u64, u64),
    ) -> Result<(u64, Option<u64>)> {
        reserve_places(&mut self.held, 1)?;
        let message = message.to_message()?;
        if self.policy == Policy::KeepLatest {
            let dropped = self.held.len() as u64;
            self.held.clear();
            self.held_bytes = message.bytes();
            self.held.push_back(message);
            // Everything in the ring is older than what is held.
            return Ok((dropped, Some(writer)));
        }
        self.held_bytes += message.bytes();
        self.held.push_back(message);
        self.forget_read(reader);
        let (mut dropped, mut wanted_from) = (0, None);
        while self.is_over(sent) {
            dropped += 1;
            if self.begins.pop_front().is_some() {
                wanted_from = Some(self.begins.front().map_or(writer, |(begin, _)| *begin));
            } else {
                self.pop_held();
            }
        }
        Ok((dropped, wanted_from))
    }
}

/// The same for messages that wait in a queue of this process. How many were dropped.
pub fn push(queue: &mut VecDeque<Message>, message: Outgoing<'_>, limits: &Limits) -> Result<u64> {
    reserve_places(queue, 1)?;
    let message = message.to_message()?;
    let before = queue.len();
    match limits.policy {
        Policy::KeepLatest => queue.clear(),
        Policy::DropOldest => {
            while limits.fills(queue) {
                queue.pop_front();
            }
        }
        _ => {}
    }
    let dropped = before - queue.len();
    queue.push_back(message);
    Ok(dropped as u64)
}
