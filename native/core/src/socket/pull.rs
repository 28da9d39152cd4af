//! PULL (RFC 30): messages from each peer in turn.

use crate::error::{Error, Result};
use crate::message::{Frames, Sink};
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, enlist};

pub struct Pull;

impl Pattern for Pull {
    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        enlist(core, slot, true, false);
        true
    }

    fn admit(&mut self, _core: &mut Core, _first: &[u8]) -> Result<()> {
        Err(Error::NotSupported)
    }

    fn send(&mut self, _core: &mut Core, _frames: &dyn Frames, _patient: bool) -> Result<()> {
        Err(Error::NotSupported)
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        core.recv_fair(sink).map(|_| ())
    }

    fn recv_run(&mut self, core: &mut Core, sink: &mut dyn Sink, max: usize) -> usize {
        core.recv_run(sink, max)
    }

    fn can_send(&mut self, _core: &mut Core) -> bool {
        false
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        core.has_input()
    }
}
