//! REP (RFC 28): a request, then its reply to whoever asked. The address envelope, up to and with the
//! empty frame, is kept and put before the reply.
//!
//! States: idle -(first body frame)-> reading -(last)-> replying -(send)-> idle.

use crate::error::{Error, Result};
use crate::message::{Collect, Frames, Outgoing, Payload, Sink};
use crate::pipe::Write;
use crate::socket::core::Core;
use crate::socket::pattern::{DROPS_PER_CALL, Pattern, enlist};
use crate::stats::Discard;

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Reading,
    Replying,
}

#[derive(Default)]
pub struct Rep {
    state: State,
    /// Who asked; None once it is gone.
    asker: Option<usize>,
    envelope: Vec<Payload>,
}

impl Rep {
    /// Takes the envelope of the message at hand; false if it has none.
    fn take_envelope(&mut self, core: &mut Core) -> bool {
        self.envelope.clear();
        loop {
            let mut frame = Collect::default();
            if core.recv_fair(&mut frame).is_err() || !frame.more {
                return false;
            }
            let bottom = frame.bytes.is_empty();
            self.envelope.push(Payload::from(frame.bytes));
            if bottom {
                return true;
            }
        }
    }
}

impl Pattern for Rep {
    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        enlist(core, slot, true, false);
        true
    }

    fn lost(&mut self, core: &mut Core, slot: usize) {
        if core.pipe(slot).is_none_or(|pipe| pipe.ending) {
            self.detach(core, slot);
        }
    }

    fn detach(&mut self, _core: &mut Core, slot: usize) {
        if self.asker == Some(slot) {
            self.asker = None;
        }
    }

    fn admit(&mut self, _core: &mut Core, _first: &[u8]) -> Result<()> {
        if matches!(self.state, State::Replying) { Ok(()) } else { Err(Error::Fsm) }
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, _patient: bool) -> Result<()> {
        self.admit(core, &[])?;
        let message = Outgoing { envelope: &self.envelope, frames, skip: 0 };
        let written = self.asker.map_or(Write::Gone, |slot| core.write_to(slot, message, false));
        match written {
            Write::Done => {}
            Write::Failed(error) => return Err(error),
            // RFC 28: a reply to a peer that is gone, or takes nothing, is dropped.
            _ => core.stats.discard(Discard::Unroutable, 1),
        }
        self.state = State::Idle;
        self.asker = None;
        Ok(())
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        if let State::Replying = self.state {
            return Err(Error::Fsm);
        }
        let mut dropped = 0;
        while let State::Idle = self.state {
            if dropped == DROPS_PER_CALL {
                return Err(Error::Again);
            }
            let slot = core.settle_on_input().ok_or(Error::Again)?;
            core.inbox.more = true;
            if self.take_envelope(core) {
                self.asker = Some(slot);
                self.state = State::Reading;
            } else {
                core.skip_message();
                dropped += 1;
            }
        }
        let (_, more) = core.recv_fair(sink)?;
        if !more {
            self.state = State::Replying;
        }
        Ok(())
    }

    fn declines_input(&self) -> bool {
        matches!(self.state, State::Replying)
    }

    fn can_send(&mut self, _core: &mut Core) -> bool {
        matches!(self.state, State::Replying)
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        !matches!(self.state, State::Replying) && core.has_input()
    }
}
