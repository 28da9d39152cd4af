//! The first 64 bytes of a peer: every cut gives the same verdict, and each byte is judged when it comes.

use shmzmq_zmtp::{GREETING_BYTES, Inbound, Stage};

use crate::listener::{Limits, listen_in_every_way};
use crate::reference::judge;

const LIMITS: Limits = Limits { handshake: 8192, message: 65_536 };

/// The bytes are all that a peer sends, its greeting first.
pub fn check(data: &[u8]) {
    let said = listen_in_every_way(LIMITS, &[], data);
    assert_eq!(said, judge(LIMITS, Stage::Greeting, data));
    expect_verdict_with_its_byte(&data[..data.len().min(GREETING_BYTES)]);
}

/// A stranger needs to send no more than the byte that gives it away, and a good peer no less than 64.
fn expect_verdict_with_its_byte(data: &[u8]) {
    let mut inbound = Inbound::new(LIMITS.handshake);
    for end in 1..=data.len() {
        inbound.feed(&data[end - 1..end]);
        let said = inbound.next();
        let expected = judge(LIMITS, Stage::Greeting, &data[..end]);
        match expected.error {
            Some(error) => {
                assert_eq!(said, Err(error));
                return;
            }
            None => assert_eq!(said, Ok(expected.events.into_iter().next())),
        }
    }
}
