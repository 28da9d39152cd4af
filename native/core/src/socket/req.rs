//! REQ (RFC 28): one request, then its reply. An empty frame separates the envelope from the body.
//!
//! States: idle -(send)-> waiting -(first frame of the reply)-> reading -(last frame)-> idle.
//! REQ_RELAXED allows a new request while waiting; REQ_CORRELATE puts a number before the empty frame
//! and takes only the reply that carries it.

use crate::error::{Error, Result};
use crate::message::{Collect, Frames, Outgoing, Payload, Sink};
use crate::socket::core::Core;
use crate::socket::pattern::{DROPS_PER_CALL, Pattern, admit_balanced, enlist};
use crate::socket::probe;

#[derive(Default)]
pub struct Req {
    waiting: bool,
    reading: bool,
    /// The pipe that was asked; None if it is gone, then a reply may come from any.
    asked: Option<usize>,
    number: u32,
}

impl Req {
    fn may_send(&self, core: &Core) -> Result<()> {
        if self.waiting && (core.options.req_relaxed == 0 || self.reading) {
            return Err(Error::Fsm);
        }
        Ok(())
    }

    /// Reads the envelope of the message at hand; false if it is not the awaited one.
    fn envelope_fits(&self, core: &mut Core) -> bool {
        let mut frame = Collect::default();
        if core.options.req_correlate != 0
            && (core.recv_fair(&mut frame).is_err()
                || !frame.more
                || frame.bytes != self.number.to_be_bytes())
        {
            return false;
        }
        core.recv_fair(&mut frame).is_ok() && frame.more && frame.bytes.is_empty()
    }
}

impl Pattern for Req {
    fn connecting(&mut self, core: &mut Core, slot: usize) {
        probe::send(core, slot);
        enlist(core, slot, true, true);
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        if core.pipe(slot).is_some_and(|pipe| !pipe.connecter) {
            probe::send(core, slot);
        }
        enlist(core, slot, true, true);
        true
    }

    fn lost(&mut self, core: &mut Core, slot: usize) {
        if core.pipe(slot).is_none_or(|pipe| pipe.ending) {
            self.detach(core, slot);
        }
    }

    fn detach(&mut self, _core: &mut Core, slot: usize) {
        if self.asked == Some(slot) {
            self.asked = None;
        }
    }

    fn admit(&mut self, core: &mut Core, _first: &[u8]) -> Result<()> {
        self.may_send(core)?;
        admit_balanced(core)
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, patient: bool) -> Result<()> {
        self.may_send(core)?;
        // A late reply to an older request must not be taken for the reply to this one.
        let mut dropped = 0;
        while core.settle_on_input().is_some() {
            if dropped == DROPS_PER_CALL {
                return Err(Error::Again);
            }
            core.inbox.more = true;
            core.skip_message();
            dropped += 1;
        }
        let number = self.number.wrapping_add(1);
        let slot = if core.options.req_correlate != 0 {
            let envelope = &[Payload::from(&number.to_be_bytes()[..]), Payload::empty()];
            core.send_balanced(Outgoing { envelope, frames, skip: 0 }, patient)?
        } else {
            core.send_balanced(Outgoing { envelope: &[Payload::empty()], frames, skip: 0 }, patient)?
        };
        self.number = number;
        self.asked = Some(slot);
        self.waiting = true;
        Ok(())
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        if !self.waiting {
            return Err(Error::Fsm);
        }
        let mut dropped = 0;
        while !self.reading {
            if dropped == DROPS_PER_CALL {
                return Err(Error::Again);
            }
            let slot = core.settle_on_input().ok_or(Error::Again)?;
            core.inbox.more = true;
            if self.asked.is_some_and(|asked| asked != slot) || !self.envelope_fits(core) {
                core.skip_message();
                dropped += 1;
                continue;
            }
            self.reading = true;
        }
        let (_, more) = core.recv_fair(sink)?;
        if !more {
            self.reading = false;
            self.waiting = false;
            self.asked = None;
        }
        Ok(())
    }

    fn declines_input(&self) -> bool {
        !self.waiting
    }

    fn can_send(&mut self, core: &mut Core) -> bool {
        self.may_send(core).is_ok() && core.has_output()
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        self.waiting && core.has_input()
    }
}
