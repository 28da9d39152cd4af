//! Routing ids: which pipe each of them leads to. ROUTER's and STREAM's; which pipe gets which id is theirs to say.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::error::{Error, Result};
use crate::message::Sink;
use crate::socket::core::Core;

pub struct Ids {
    pipes: HashMap<Vec<u8>, usize>,
    next: u32,
}

impl Default for Ids {
    fn default() -> Self {
        let next = RandomState::new().hash_one(0) as u32;
        Ids { pipes: HashMap::new(), next }
    }
}

impl Ids {
    /// One that leads nowhere yet: five bytes, zero and then a counter with a random start.
    pub fn fresh(&mut self) -> Vec<u8> {
        loop {
            let id = [&[0], &self.next.to_be_bytes()[..]].concat();
            self.next = self.next.wrapping_add(1);
            if !self.pipes.contains_key(&id) {
                return id;
            }
        }
    }

    #[inline]
    pub fn find(&self, id: &[u8]) -> Option<usize> {
        self.pipes.get(id).copied()
    }

    pub fn insert(&mut self, id: Vec<u8>, slot: usize) {
        self.pipes.insert(id, slot);
    }

    /// True if the pipe's id leads to it, and not to another of the same id.
    pub fn leads_to(&self, core: &mut Core, slot: usize) -> bool {
        core.pipe(slot).is_some_and(|pipe| self.find(&pipe.routing_id) == Some(slot))
    }

    /// The pipe's id leads to it no more. True if it did.
    pub fn forget(&mut self, core: &mut Core, slot: usize) -> bool {
        let led = self.leads_to(core, slot);
        if let (true, Some(pipe)) = (led, core.pipe(slot)) {
            self.pipes.remove(&pipe.routing_id);
        }
        led
    }

    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.pipes.values().copied()
    }
}

/// Hands out the routing id of the pipe whose turn it is, which is returned. The message's own frames come from
/// the same pipe, with the next calls.
pub fn recv_id(core: &mut Core, sink: &mut dyn Sink) -> Result<usize> {
    let slot = core.settle_on_input().ok_or(Error::Again)?;
    if let Some(Some(pipe)) = core.pipes.get(slot) {
        let id = &pipe.routing_id;
        let at = sink.room(id.len(), true).ok_or(Error::NoRoom)?;
        // SAFETY: the sink gave room for that many bytes, which nobody else knows of.
        unsafe { std::ptr::copy_nonoverlapping(id.as_ptr(), at, id.len()) };
    }
    core.inbox.more = true;
    core.inbox.source = slot;
    Ok(slot)
}
