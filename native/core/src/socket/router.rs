//! ROUTER (RFC 28): puts the sender's routing id before what it receives, sends by the first frame.
//!
//! A peer that chose no id gets one of five bytes: zero, then a counter with a random start. A second
//! peer of the same id is connected but neither read nor written (as libzmq does), unless
//! ROUTER_HANDOVER gives it the id. An id is free again as soon as its peer is known to be gone.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::error::{Error, Result};
use crate::message::{Frames, Outgoing, Sink};
use crate::pipe::Write;
use crate::pipe::overflow::Policy;
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, enlist};
use crate::socket::probe;
use crate::stats::Discard;

pub struct Router {
    routes: HashMap<Vec<u8>, usize>,
    next_id: u32,
    /// Peers that a mandatory send waits for.
    blocked: Vec<usize>,
    /// Whom the last message came from, if its id leads back there: a reply needs no look at the table.
    /// None after every change of the table.
    last: Option<usize>,
}

impl Default for Router {
    fn default() -> Self {
        let next_id = RandomState::new().hash_one(0) as u32;
        Router { routes: HashMap::new(), next_id, blocked: Vec::new(), last: None }
    }
}

impl Router {
    fn new_id(&mut self) -> Vec<u8> {
        loop {
            let mut id = vec![0];
            id.extend(self.next_id.to_be_bytes());
            self.next_id = self.next_id.wrapping_add(1);
            if !self.routes.contains_key(&id) {
                return id;
            }
        }
    }

    #[inline]
    fn route(&self, core: &mut Core, id: &[u8]) -> Option<usize> {
        let last = self.last.filter(|slot| core.pipe(*slot).is_some_and(|pipe| pipe.routing_id == id));
        last.or_else(|| self.routes.get(id).copied())
    }

    fn forget(&mut self, core: &mut Core, slot: usize) {
        if let Some(pipe) = core.pipe(slot)
            && self.routes.get(&pipe.routing_id) == Some(&slot)
        {
            self.routes.remove(&pipe.routing_id);
            self.last = None;
        }
    }
}

impl Pattern for Router {
    fn connecting(&mut self, core: &mut Core, slot: usize) {
        probe::send(core, slot);
        // CONNECT_ROUTING_ID names a peer before it is there.
        if let Some(pipe) = core.pipe(slot)
            && pipe.named
        {
            self.routes.insert(pipe.routing_id.clone(), slot);
            self.last = None;
        }
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        let Some(pipe) = core.pipe(slot) else { return false };
        if pipe.routing_id.is_empty() {
            pipe.routing_id = self.new_id();
        }
        let (id, connecter) = (pipe.routing_id.clone(), pipe.connecter);
        if let Some(&old) = self.routes.get(&id)
            && old != slot
        {
            if core.options.router_handover == 0 {
                return true;
            }
            // What the old peer had sent is still read, under the same id, then it ends.
            core.retire(old);
        }
        self.routes.insert(id, slot);
        self.last = None;
        if !connecter {
            probe::send(core, slot);
        }
        enlist(core, slot, true, false);
        true
    }

    fn lost(&mut self, core: &mut Core, slot: usize) {
        // A name that was given stays a route: its pipe queues until the peer is back.
        if core.pipe(slot).is_none_or(|pipe| !pipe.named || pipe.ending) {
            self.forget(core, slot);
        }
    }

    fn detach(&mut self, core: &mut Core, slot: usize) {
        self.forget(core, slot);
    }

    fn admit(&mut self, core: &mut Core, first: &[u8]) -> Result<()> {
        let mandatory = core.options.router_mandatory != 0;
        match self.routes.get(first) {
            None if mandatory => Err(Error::HostUnreachable),
            _ => Ok(()),
        }
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, _patient: bool) -> Result<()> {
        let parts = frames.parts();
        if parts.len() == 1 {
            // A routing id without a message: libzmq drops it in silence.
            core.stats.discard(Discard::Malformed, 1);
            return Ok(());
        }
        let mandatory = core.options.router_mandatory != 0;
        // SAFETY: the caller keeps the parts readable during the call.
        let id = unsafe { std::slice::from_raw_parts(parts[0].at, parts[0].len) };
        let Some(slot) = self.route(core, id) else {
            if mandatory {
                return Err(Error::HostUnreachable);
            }
            core.stats.discard(Discard::Unroutable, 1);
            return Ok(());
        };
        let message = Outgoing { envelope: &[], frames, skip: 1 };
        loop {
            match core.write_to(slot, message, false) {
                Write::Done => return Ok(()),
                Write::Failed(error) => return Err(error),
                Write::Full | Write::Soon if mandatory || core.options.policy() == Policy::Block => {
                    if core.sleep_out(slot) {
                        if !self.blocked.contains(&slot) {
                            self.blocked.push(slot);
                        }
                        return Err(Error::Again);
                    }
                }
                Write::Gone if mandatory => return Err(Error::HostUnreachable),
                _ => {
                    core.stats.discard(Discard::Unroutable, 1);
                    return Ok(());
                }
            }
        }
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        if core.inbox.more {
            return core.recv_fair(sink).map(|_| ());
        }
        let slot = core.settle_on_input().ok_or(Error::Again)?;
        if let Some(Some(pipe)) = core.pipes.get(slot) {
            let id = &pipe.routing_id;
            let at = sink.room(id.len(), true).ok_or(Error::NoRoom)?;
            // SAFETY: the sink gave room for that many bytes, which nobody else knows of.
            unsafe { std::ptr::copy_nonoverlapping(id.as_ptr(), at, id.len()) };
        }
        if self.last != Some(slot) {
            let back = core.pipe(slot).and_then(|pipe| self.routes.get(&pipe.routing_id));
            self.last = back.copied().filter(|back| *back == slot);
        }
        // The message's own frames come from the same pipe, with the next calls.
        core.inbox.more = true;
        core.inbox.source = slot;
        Ok(())
    }

    fn sleep_output(&mut self, core: &mut Core) -> bool {
        // The mark may have been taken by whoever entered since: ask the pipes again.
        let limits = core.options.limits();
        let asleep = self.blocked.iter().all(|slot| {
            core.pipe(*slot).is_some_and(|pipe| !pipe.writable(&limits) && pipe.sleep_out(&limits))
        });
        if !asleep {
            self.blocked.clear();
        }
        asleep
    }

    fn can_send(&mut self, core: &mut Core) -> bool {
        // libzmq: what has no route is dropped, so a ROUTER is always writable; a mandatory one is
        // when some peer takes a message.
        let limits = core.options.limits();
        let mut slots = self.routes.values();
        core.options.router_mandatory == 0
            || slots.any(|slot| {
                core.pipe(*slot).is_some_and(|pipe| pipe.writable(&limits) || !pipe.sleep_out(&limits))
            })
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        core.has_input()
    }
}
