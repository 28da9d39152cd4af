//! PAIR (RFC 31): one peer, both ways. A second peer is refused while the first is there.

use shmzmq_shm::ring::Part;

use crate::error::Result;
use crate::message::{Frames, Outgoing, Sink};
use crate::pipe::ring::State;
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, admit_balanced, enlist};

#[derive(Default)]
pub struct Pair {
    peer: Option<usize>,
}

impl Pattern for Pair {
    fn connecting(&mut self, core: &mut Core, slot: usize) {
        if self.peer.is_none() {
            self.peer = Some(slot);
            enlist(core, slot, true, true);
        }
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        if let Some(peer) = self.peer.filter(|peer| *peer != slot) {
            // One that has left and was read to its end makes room, though nobody looked yet.
            if core.pipe(peer).is_some_and(|pipe| pipe.look() != State::Ended) {
                return false;
            }
            core.end(peer);
        }
        self.peer = Some(slot);
        enlist(core, slot, true, true);
        true
    }

    fn lost(&mut self, core: &mut Core, slot: usize) {
        // An accepted peer that died is drained, but the next one may come.
        if self.peer == Some(slot) && core.pipe(slot).is_none_or(|pipe| pipe.ending) {
            self.peer = None;
        }
    }

    fn detach(&mut self, _core: &mut Core, slot: usize) {
        if self.peer == Some(slot) {
            self.peer = None;
        }
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
