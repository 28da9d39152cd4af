//! A whole connection, greeting to ERROR, under the limits of the handshake: stages and their order.

use shmzmq_zmtp::Stage;

use super::framing::joined;
use crate::listener::{Limits, listen_in_every_way};
use crate::reference::judge;

/// Small, so that an engine reaches both sides of each.
const LIMITS: Limits = Limits { handshake: 128, message: 200 };

/// The first byte says how far a good peer has come before the others take over: not at all, greeted, or joined.
pub fn check(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let good = joined();
    let begun = match choice % 3 {
        0 => 0,
        1 => 64,
        _ => good.len(),
    };
    let all = [&good[..begun], bytes].concat();
    let said = listen_in_every_way(LIMITS, &[], &all);
    assert_eq!(said, judge(LIMITS, Stage::Greeting, &all));
}
