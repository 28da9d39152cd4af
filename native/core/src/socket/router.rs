//! ROUTER (RFC 28): puts the sender's routing id before what it receives, sends by the first frame.
//!
//! A peer that chose no id gets one of five bytes: zero, then a counter with a random start. A second
//! peer of the same id is connected but neither read nor written (as libzmq does), unless
//! ROUTER_HANDOVER gives it the id: then the first is, once what it had sent is read. An id is free again as
//! soon as its peer is known to be gone.

use crate::error::{Error, Result};
use crate::message::{Frames, Outgoing, Sink};
use crate::pipe::Write;
use crate::pipe::overflow::Policy;
use crate::route::ids::{self, Ids};
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, enlist};
use crate::socket::probe;
use crate::stats::Discard;

#[derive(Default)]
pub struct Router {
    ids: Ids,
    /// Whom the last message came from, if its id leads back there: a reply needs no look at the table.
    /// None after every change of the table.
    last: Option<usize>,
}

impl Router {
    #[inline]
    fn route(&self, core: &mut Core, id: &[u8]) -> Option<usize> {
        let last = self.last.filter(|slot| core.pipe(*slot).is_some_and(|pipe| pipe.routing_id == id));
        last.or_else(|| self.ids.find(id))
    }

    fn insert(&mut self, id: Vec<u8>, slot: usize) {
        self.ids.insert(id, slot);
        self.last = None;
    }

    fn forget(&mut self, core: &mut Core, slot: usize) {
        if self.ids.forget(core, slot) {
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
            self.insert(pipe.routing_id.clone(), slot);
        }
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        let Some(pipe) = core.pipe(slot) else { return false };
        if pipe.routing_id.is_empty() {
            pipe.routing_id = self.ids.fresh();
        }
        pipe.superseded = false;
        let (id, connecter) = (pipe.routing_id.clone(), pipe.connecter);
        if let Some(old) = self.ids.find(&id)
            && old != slot
        {
            if core.options.router_handover == 0 {
                return true;
            }
            core.supersede(old);
        }
        self.insert(id, slot);
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
        match self.ids.find(first) {
            None if mandatory => Err(Error::HostUnreachable),
            _ => Ok(()),
        }
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, _patient: bool) -> Result<()> {
        core.outbox.soon = false;
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
                        core.wait_for(vec![slot]);
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
        let slot = ids::recv_id(core, sink)?;
        if self.last != Some(slot) {
            self.last = self.ids.leads_to(core, slot).then_some(slot);
        }
        Ok(())
    }

    fn sleep_output(&mut self, core: &mut Core) -> bool {
        core.sleep_blocked()
    }

    fn can_send(&mut self, core: &mut Core) -> bool {
        // libzmq: what has no route is dropped, so a ROUTER is always writable; a mandatory one is
        // when some peer takes a message.
        let limits = core.options.limits();
        let mut slots = self.ids.slots();
        core.options.router_mandatory == 0
            || slots.any(|slot| {
                core.pipe(slot).is_some_and(|pipe| pipe.writable(&limits)) || !core.sleep_out(slot)
            })
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        core.has_input()
    }
}
