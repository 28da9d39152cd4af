//! Frames of a peer in traffic, under several limits; and that what was read can be written again.

use shmzmq_zmtp::{Event, Stage, encode_command, encode_message_frame, encode_ready, greeting};

use crate::listener::{Limits, Outcome, listen, listen_in_every_way};
use crate::reference::{judge, written};

/// Chosen by the first byte. The last lets any length be claimed.
const LIMITS: [u64; 6] = [u64::MAX, 0, 1, 255, 256, 65_536];

/// The first byte chooses the limit; the others are what a peer sends once it has joined.
pub fn check(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let limits = Limits { handshake: 300, message: LIMITS[usize::from(*choice) % LIMITS.len()] };
    let prefix = joined();
    let said = without_prefix(listen_in_every_way(limits, &prefix, bytes));
    assert_eq!(said, judge(limits, Stage::Traffic, bytes));
    expect_round_trip(limits, &said, &bytes[..bytes.len() - said.held]);
}

/// Greeting and READY of a peer that may join.
#[must_use]
pub fn joined() -> Vec<u8> {
    let mut prefix = greeting().to_vec();
    encode_ready(&[("Socket-Type", b"DEALER"), ("Identity", b"")], &mut prefix);
    prefix
}

/// What was said after greeting and READY.
#[must_use]
pub fn without_prefix(mut said: Outcome) -> Outcome {
    said.events.drain(..2);
    said
}

/// Written again, the events are the same bytes, but for lengths that the peer wrote in the long form without need.
fn expect_round_trip(limits: Limits, said: &Outcome, read: &[u8]) {
    let again: Vec<u8> = said.events.iter().flat_map(encoded).collect();
    if said.error.is_none() {
        assert!(again.len() <= read.len());
        assert!(again.len() < read.len() || again == read);
    }
    let prefix = joined();
    let repeated = without_prefix(listen(limits, &prefix, [again.as_slice()]));
    assert_eq!(repeated.events, said.events);
    assert_eq!(repeated.held, 0);
}

/// An event as our own encoder writes it, which has to be the shortest form.
fn encoded(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    match event {
        Event::Greeting { .. } => {}
        Event::Message { body, more } => {
            encode_message_frame(body.len(), *more, &mut out);
            out.extend_from_slice(body);
        }
        // Our own names are text; what a peer called its command need not be.
        Event::Command { name, body } => match std::str::from_utf8(name) {
            Ok(name) => encode_command(name, body, &mut out),
            Err(_) => out = written(event),
        },
    }
    assert_eq!(out, written(event));
    out
}
