//! PROBE_ROUTER: an empty message to every new peer, by which a ROUTER learns of us.

use shmzmq_shm::ring::Part;

use crate::message::{Frames, Outgoing, Payload};
use crate::socket::core::Core;

struct Empty([Part; 1]);

impl Frames for Empty {
    fn parts(&self) -> &[Part] {
        &self.0
    }

    fn keep(&self, _index: usize) -> Payload {
        Payload::empty()
    }
}

/// Sends the probe if the option asks for it. libzmq sends it once per pipe, first of all.
pub fn send(core: &mut Core, slot: usize) {
    if core.options.probe_router != 0 {
        let empty = Empty([Part::of(&[])]);
        // A peer that takes no message now is not probed: a probe is not worth waiting for.
        let _ = core.write_to(slot, Outgoing::plain(&empty), false);
    }
}
