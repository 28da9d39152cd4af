//! The greeting on the wire: ours byte for byte, the peer's in every split and every wrong shape.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{HANDSHAKE_LIMIT, after, decode};
use shmzmq_zmtp::{Event, GREETING_BYTES, Inbound, MINOR, ProtocolError, Stage, greeting};

/// RFC 37 written out by hand: signature, version 3.1, mechanism, as-server, filler.
const GOLDEN: [u8; 64] = [
    0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, // signature
    3, 1, // version
    b'N', b'U', b'L', b'L', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // mechanism
    0, // as-server
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn fresh() -> Inbound {
    Inbound::new(HANDSHAKE_LIMIT)
}

fn with(at: usize, byte: u8) -> [u8; 64] {
    let mut bytes = GOLDEN;
    bytes[at] = byte;
    bytes
}

fn greeting_event(minor: u8, as_server: bool) -> Option<Event> {
    Some(Event::Greeting { minor, as_server })
}

#[test]
fn our_greeting_is_the_golden_one() {
    assert_eq!(greeting(), GOLDEN);
    assert_eq!((GREETING_BYTES, MINOR), (64, 1));
}

#[test]
fn a_greeting_may_be_split_at_each_of_its_offsets() {
    for at in 0..=GREETING_BYTES {
        let (first, second) = GOLDEN.split_at(at);
        let (events, error) = decode([first, second]);
        assert_eq!(events.first().cloned(), greeting_event(1, false), "{at}");
        assert_eq!((events.len(), error), (1, None), "{at}");
    }
}

#[test]
fn a_greeting_may_come_byte_by_byte() {
    let (events, error) = decode(GOLDEN.chunks(1));
    assert_eq!((events.len(), error), (1, None));
}

#[test]
fn no_part_of_a_good_greeting_is_an_event_or_an_error() {
    for length in 0..GREETING_BYTES {
        assert_eq!(after(fresh(), &GOLDEN[..length]), Ok(None), "{length}");
    }
}

#[test]
fn padding_and_filler_are_not_looked_at() {
    let mut bytes = [0xAA; 64];
    bytes[0] = 0xFF;
    bytes[9..32].copy_from_slice(&GOLDEN[9..32]);
    bytes[32] = 0;
    assert_eq!(after(fresh(), &bytes), Ok(greeting_event(1, false)));
}

#[test]
fn libzmq_padding_with_a_length_in_it_is_accepted() {
    assert_eq!(after(fresh(), &with(8, 1)), Ok(greeting_event(1, false)));
}

#[test]
fn any_byte_nine_with_bit_zero_set_is_accepted() {
    assert_eq!(after(fresh(), &with(9, 0x01)), Ok(greeting_event(1, false)));
}

#[test]
fn a_stranger_is_refused_by_its_first_byte() {
    let refused = Err(ProtocolError::NotZmtp { byte: b'G' });
    assert_eq!(after(fresh(), b"G"), refused);
    assert_eq!(after(fresh(), b"GET / HTTP/1.1\r\n"), refused);
}

#[test]
fn byte_nine_with_bit_zero_clear_is_zmtp_1_and_refused_at_once() {
    let refused = Err(ProtocolError::NotVersioned { byte: 0x7E });
    assert_eq!(after(fresh(), &with(9, 0x7E)[..10]), refused);
}

#[test]
fn a_major_below_three_is_refused_at_once() {
    for major in 0..3 {
        let refused = Err(ProtocolError::VersionTooOld { major });
        assert_eq!(after(fresh(), &with(10, major)[..11]), refused);
    }
}

#[test]
fn a_minor_is_reported_as_the_peer_sent_it() {
    for minor in [0, 1, 9, 255] {
        let event = Ok(greeting_event(minor, false));
        assert_eq!(after(fresh(), &with(11, minor)), event);
    }
}

#[test]
fn a_major_above_three_counts_as_three_one() {
    let mut bytes = with(10, 4);
    bytes[11] = 0;
    assert_eq!(after(fresh(), &bytes), Ok(greeting_event(1, false)));
}

#[test]
fn another_mechanism_is_refused_before_the_rest_of_the_greeting() {
    for name in ["PLAIN", "CURVE", "NULLS", "null", "NUL", ""] {
        let mut bytes = GOLDEN;
        bytes[12..32].fill(0);
        bytes[12..12 + name.len()].copy_from_slice(name.as_bytes());
        let refused = Err(ProtocolError::MechanismMismatch { mechanism: name.to_owned() });
        assert_eq!(after(fresh(), &bytes[..32]), refused);
    }
}

#[test]
fn a_mechanism_with_anything_behind_its_zeros_is_another_one() {
    let refused = Err(ProtocolError::MechanismMismatch { mechanism: "NULL???????????????X".to_owned() });
    assert_eq!(after(fresh(), &with(31, b'X')), refused);
}

#[test]
fn a_mechanism_mismatch_has_libzmq_s_number() {
    let error = after(fresh(), &with(12, b'X')).unwrap_err();
    assert_eq!(error.code(), Some(0x1100_0002));
}

#[test]
fn as_server_is_reported_and_not_judged() {
    assert_eq!(after(fresh(), &with(32, 1)), Ok(greeting_event(1, true)));
}

#[test]
fn the_first_error_stays_and_later_bytes_are_dropped() {
    let mut inbound = fresh();
    inbound.feed(b"x");
    let first = inbound.next();
    inbound.feed(&GOLDEN);
    assert_eq!(inbound.next(), first);
    assert_eq!(inbound.held(), 0);
}

#[test]
fn traffic_cannot_be_opened_before_ready() {
    let mut inbound = fresh();
    assert!(!inbound.traffic(1));
    inbound.feed(&GOLDEN);
    inbound.next().unwrap();
    assert!(!inbound.traffic(1));
    assert_eq!(inbound.stage(), Stage::Opening);
}
