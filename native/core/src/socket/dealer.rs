//! DEALER (RFC 28): balances what it sends, queues fairly what it receives, changes neither.

use shmzmq_shm::ring::Part;

use crate::error::Result;
use crate::message::{Frames, Outgoing, Sink};
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, admit_balanced, enlist};
use crate::socket::probe;

pub struct Dealer;

impl Pattern for Dealer {
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

    fn admit(&mut self, core: &mut Core, _first: &[u8]) -> Result<()> {
        admit_balanced(core)
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, patient: bool) -> Result<()> {
        core.send_balanced(Outgoing::plain(frames), patient).map(|_| ())
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        core.recv_fair(sink).map(|_| ())
    }

    fn send_run(&mut self, core: &mut Core, run: &[Part]) -> usize {
        core.send_run(run)
    }

    fn recv_run(&mut self, core: &mut Core, sink: &mut dyn Sink, max: usize) -> usize {
        core.recv_run(sink, max)
    }

    fn can_send(&mut self, core: &mut Core) -> bool {
        core.has_output()
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        core.has_input()
    }
}
