//! PROBE_ROUTER: an empty message to every new peer, by which a ROUTER learns of us.

use crate::message::{Outgoing, Own};
use crate::socket::core::Core;

/// Sends the probe if the option asks for it. libzmq sends it once per pipe, first of all.
pub fn send(core: &mut Core, slot: usize) {
    if core.options.probe_router != 0 {
        let empty = Own::new(Vec::new());
        // A peer that takes no message now is not probed: a probe is not worth waiting for.
        let _ = core.write_to(slot, Outgoing::plain(&empty), false);
    }
}
