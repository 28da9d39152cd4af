//! PUSH (RFC 30): whole messages to each peer in turn; blocks when no peer takes one.

use shmzmq_shm::ring::Part;

use crate::error::{Error, Result};
use crate::message::{Frames, Outgoing, Sink};
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, admit_balanced, enlist};

pub struct Push;

impl Pattern for Push {
    fn connecting(&mut self, core: &mut Core, slot: usize) {
        enlist(core, slot, false, true);
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        enlist(core, slot, false, true);
        true
    }

    fn admit(&mut self, core: &mut Core, _first: &[u8]) -> Result<()> {
        admit_balanced(core)
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, patient: bool) -> Result<()> {
        core.send_balanced(Outgoing::plain(frames), patient).map(|_| ())
    }

    fn recv(&mut self, _core: &mut Core, _sink: &mut dyn Sink) -> Result<()> {
        Err(Error::NotSupported)
    }

    fn send_run(&mut self, core: &mut Core, run: &[Part]) -> usize {
        core.send_run(run)
    }

    fn can_send(&mut self, core: &mut Core) -> bool {
        core.has_output()
    }

    fn can_recv(&mut self, _core: &mut Core) -> bool {
        false
    }
}
