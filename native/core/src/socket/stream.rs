//! STREAM (zmq_socket(3)): bytes of plain connections; each has a routing id, as ROUTER's peers do.
//!
//! A message is two frames: the routing id of a connection, and bytes. What one read of the connection brought
//! is one message in; a message out goes as it is, without a frame around it. Empty bytes out end the
//! connection once everything before them is written; empty bytes in say that it began or ended (the engine
//! tells, unless STREAM_NOTIFY is 0).
//!
//! Every connection that is accepted gets an id of its own, as does every `connect`, at once, unless
//! CONNECT_ROUTING_ID named it: ROUTING_ID then reads as the newest id. What was sent to a `connect` before there
//! is a connection is queued. What a connection took and did not deliver is gone with it: the middle of a
//! stream means nothing to the next one.

use shmzmq_shm::ring::Part;

use crate::error::{Error, Result};
use crate::message::{Frames, Outgoing, Payload, Sink};
use crate::pipe::Write;
use crate::route::ids::{self, Ids};
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, enlist};
use crate::stats::Discard;

#[derive(Default)]
pub struct Stream {
    ids: Ids,
    /// The routing id of a message was taken; its bytes are to follow.
    admitted: bool,
}

/// One part of a message, as a message.
struct Body<'a> {
    frames: &'a dyn Frames,
    index: usize,
}

impl Frames for Body<'_> {
    fn parts(&self) -> &[Part] {
        &self.frames.parts()[self.index..=self.index]
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        self.frames.keep(self.index + index)
    }
}

fn id_at(frames: &dyn Frames, index: usize) -> &[u8] {
    let part = frames.parts()[index];
    // SAFETY: the caller of `send` keeps the parts readable during the call.
    unsafe { std::slice::from_raw_parts(part.at, part.len) }
}

impl Stream {
    /// Gives the pipe an id of its own, unless it has a name that no other has.
    fn name(&mut self, core: &mut Core, slot: usize) {
        let Some(pipe) = core.pipe(slot) else { return };
        if !pipe.named || self.ids.find(&pipe.routing_id).is_some() {
            pipe.routing_id = self.ids.fresh();
            // It stays, whatever connection the pipe has.
            pipe.named = true;
            let id = pipe.routing_id.clone();
            core.options.routing_id = id;
        }
        if let Some(pipe) = core.pipe(slot) {
            self.ids.insert(pipe.routing_id.clone(), slot);
        }
    }

    /// Would a connection of that id take bytes now?
    fn reach(&mut self, core: &mut Core, id: &[u8]) -> Result<()> {
        let slot = self.ids.find(id).ok_or(Error::HostUnreachable)?;
        let limits = core.options.limits();
        while core.pipe(slot).is_some_and(|pipe| !pipe.writable(&limits)) {
            if core.sleep_out(slot) {
                core.wait_for(vec![slot]);
                return Err(Error::Again);
            }
        }
        Ok(())
    }

    fn send_bytes(&mut self, core: &mut Core, id: &[u8], body: Body<'_>) -> Result<()> {
        let slot = self.ids.find(id).ok_or(Error::HostUnreachable)?;
        if body.parts()[0].len == 0 {
            self.hang_up(core, slot);
            return Ok(());
        }
        loop {
            match core.write_to(slot, Outgoing { envelope: &[], frames: &body, skip: 0 }, false) {
                Write::Done => return Ok(()),
                Write::Failed(error) => return Err(error),
                Write::Full | Write::Soon if core.sleep_out(slot) => {
                    core.wait_for(vec![slot]);
                    return Err(Error::Again);
                }
                Write::Full | Write::Soon => {}
                Write::Gone => return Err(Error::HostUnreachable),
            }
        }
    }

    /// What waits is still written, then the connection ends; what it sent and nobody received is dropped.
    fn hang_up(&mut self, core: &mut Core, slot: usize) {
        self.ids.forget(core, slot);
        core.deactivate_in(slot);
        core.deactivate_out(slot);
        let Some(pipe) = core.pipe(slot) else { return };
        pipe.receives = false;
        pipe.sends = false;
        pipe.retiring = true;
        pipe.drop_inputs();
        if let Some(session) = &pipe.session {
            session.hang_up();
        } else if pipe.ending {
            // Inside the process nobody else sees to it.
            let Core { pipes, stats, ended, .. } = core;
            pipes.get_mut(slot).into_iter().flatten().for_each(|pipe| pipe.close(stats));
            ended.push(slot);
        }
    }
}

impl Pattern for Stream {
    fn connecting(&mut self, core: &mut Core, slot: usize) {
        self.name(core, slot);
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        if !self.ids.leads_to(core, slot) {
            // One that was hung up before it was there keeps none.
            if core.pipe(slot).is_some_and(|pipe| pipe.retiring) {
                return true;
            }
            self.name(core, slot);
        }
        enlist(core, slot, true, false);
        true
    }

    fn lost(&mut self, core: &mut Core, slot: usize) {
        // A `connect` stays a route: its pipe queues until there is a connection again.
        if core.pipe(slot).is_none_or(|pipe| pipe.ending) {
            self.ids.forget(core, slot);
        }
    }

    fn detach(&mut self, core: &mut Core, slot: usize) {
        self.ids.forget(core, slot);
    }

    fn admit(&mut self, core: &mut Core, first: &[u8]) -> Result<()> {
        self.reach(core, first)?;
        self.admitted = true;
        Ok(())
    }

    fn pairs(&self) -> bool {
        true
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, _patient: bool) -> Result<()> {
        core.outbox.soon = false;
        let count = frames.parts().len();
        let admitted = std::mem::take(&mut self.admitted);
        // Several messages in one: all or none.
        for index in (0..count).step_by(2).filter(|_| count > 2) {
            self.reach(core, id_at(frames, index))?;
        }
        for index in (0..count).step_by(2) {
            if index + 1 == count {
                // A routing id without bytes: libzmq drops it in silence.
                core.stats.discard(Discard::Malformed, 1);
                return Ok(());
            }
            match self.send_bytes(core, id_at(frames, index), Body { frames, index: index + 1 }) {
                // It went after its id was taken: libzmq drops the bytes in silence.
                Err(Error::HostUnreachable) if admitted => core.stats.discard(Discard::Unroutable, 1),
                Err(Error::Again) if index > 0 => core.stats.discard(Discard::Overflow, 1),
                Err(Error::Again) if admitted => {
                    self.admitted = true;
                    return Err(Error::Again);
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        if core.inbox.more {
            return core.recv_fair(sink).map(|_| ());
        }
        ids::recv_id(core, sink).map(|_| ())
    }

    fn sleep_output(&mut self, core: &mut Core) -> bool {
        core.sleep_blocked()
    }

    fn can_send(&mut self, _core: &mut Core) -> bool {
        // libzmq's rule: also without a connection.
        true
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        core.has_input()
    }
}
