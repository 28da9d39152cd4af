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

use crate::message::Message;

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
    pub held: VecDeque<Message>,
    /// Where the messages in the ring begin; only for DropOldest.
    begins: VecDeque<u64>,
    /// How many may be kept; 0 for no limit.
    most: u64,
}

impl Kept {
    pub fn new(policy: Policy, most: u64) -> Kept {
        Kept { policy, most, ..Kept::default() }
    }

    pub fn set_most(&mut self, most: u64) {
        self.most = most;
    }

    /// A message went into the ring at `begin`. From where on the ring's messages are still wanted.
    pub fn wrote(&mut self, begin: u64) -> Option<u64> {
        match self.policy {
            Policy::KeepLatest => Some(begin),
            Policy::DropOldest => {
                self.begins.push_back(begin);
                None
            }
            _ => None,
        }
    }

    /// Holds a message for which the ring had no room; `reader` and `writer` are the ring's positions.
    /// How many were dropped, and from where on the ring's messages are still wanted.
    pub fn hold(&mut self, message: Message, reader: u64, writer: u64) -> (u64, Option<u64>) {
        if self.policy == Policy::KeepLatest {
            let dropped = self.held.len() as u64;
            self.held.clear();
            self.held.push_back(message);
            // Everything in the ring is older than what is held.
            return (dropped, Some(writer));
        }
        self.held.push_back(message);
        while self.begins.front().is_some_and(|begin| *begin < reader) {
            self.begins.pop_front();
        }
        if self.most == 0 || (self.begins.len() + self.held.len()) as u64 <= self.most {
            return (0, None);
        }
        if self.begins.pop_front().is_some() {
            return (1, Some(self.begins.front().copied().unwrap_or(writer)));
        }
        self.held.pop_front();
        (1, None)
    }
}

/// The same for messages that wait in a queue of this process. How many were dropped.
pub fn push(queue: &mut VecDeque<Message>, message: Message, policy: Policy, most: u64) -> u64 {
    let before = queue.len();
    match policy {
        Policy::KeepLatest => queue.clear(),
        Policy::DropOldest if most > 0 => {
            while queue.len() as u64 >= most {
                queue.pop_front();
            }
        }
        _ => {}
    }
    let dropped = before - queue.len();
    queue.push_back(message);
    dropped as u64
}
