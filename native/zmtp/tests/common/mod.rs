//! Helpers for the wire tests: a peer that has got so far, and what a decoder makes of bytes.
//!
//! Knows the public API only. Refuses to know what any test expects.

#![allow(dead_code, reason = "each test file uses the helpers it needs")]

use shmzmq_zmtp::{Event, Inbound, ProtocolError, encode_ready, greeting};

/// The handshake limit used throughout, in bytes.
pub const HANDSHAKE_LIMIT: usize = 8192;

/// The message limit used throughout, in bytes.
pub const MESSAGE_LIMIT: u64 = 100_000;

/// What came out of a decoder: the events, and the error that ended it if one did.
pub type Outcome = (Vec<Event>, Option<ProtocolError>);

/// Take events until none is left; the traffic is opened as soon as READY is seen.
pub fn drain(inbound: &mut Inbound, outcome: &mut Outcome) {
    loop {
        match inbound.next() {
            Ok(None) => return,
            Ok(Some(event)) => {
                if matches!(&event, Event::Command { name, .. } if name == b"READY") {
                    assert!(inbound.traffic(MESSAGE_LIMIT));
                }
                outcome.0.push(event);
            }
            Err(error) => {
                outcome.1 = Some(error);
                return;
            }
        }
    }
}

/// Decode a connection's bytes arriving in these pieces.
pub fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut inbound = Inbound::new(HANDSHAKE_LIMIT);
    let mut outcome = (Vec::new(), None);
    for piece in pieces {
        inbound.feed(piece);
        drain(&mut inbound, &mut outcome);
    }
    outcome
}

/// A decoder whose peer has sent a good greeting.
pub fn greeted() -> Inbound {
    let mut inbound = Inbound::new(HANDSHAKE_LIMIT);
    inbound.feed(&greeting());
    let event = inbound.next().unwrap();
    assert!(matches!(event, Some(Event::Greeting { .. })));
    inbound
}

/// A decoder whose peer has sent READY, the traffic not open.
pub fn joined() -> Inbound {
    let mut inbound = greeted();
    inbound.feed(&ready_frame());
    let event = inbound.next().unwrap();
    assert!(matches!(event, Some(Event::Command { .. })));
    inbound
}

/// A decoder in traffic.
pub fn in_traffic() -> Inbound {
    let mut inbound = joined();
    assert!(inbound.traffic(MESSAGE_LIMIT));
    inbound
}

/// A plain READY of a DEALER.
pub fn ready_frame() -> Vec<u8> {
    let mut out = Vec::new();
    encode_ready(&[("Socket-Type", b"DEALER"), ("Identity", b"")], &mut out);
    out
}

/// What the decoder says after these bytes.
pub fn after(mut inbound: Inbound, bytes: &[u8]) -> Result<Option<Event>, ProtocolError> {
    inbound.feed(bytes);
    inbound.next()
}
