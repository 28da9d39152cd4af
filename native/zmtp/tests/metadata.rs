//! READY and its metadata: what is read, and every way in which it is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use shmzmq_zmtp::{MAX_METADATA_BYTES, MAX_PROPERTIES, Properties, ProtocolError, Ready, SocketType};

const METADATA_CODE: Option<u32> = Some(0x1000_0018);

fn metadata(properties: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in properties {
        out.push(u8::try_from(name.len()).unwrap());
        out.extend_from_slice(name);
        out.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        out.extend_from_slice(value);
    }
    out
}

fn ready_of(kind: &[u8], identity: &[u8]) -> Result<Ready, ProtocolError> {
    Ready::parse(&metadata(&[(b"Socket-Type", kind), (b"Identity", identity)]))
}

#[test]
fn a_golden_ready_is_read() {
    let ready = Ready::parse(
        b"\x0bSocket-Type\x00\x00\x00\x06DEALER\
          \x08Identity\x00\x00\x00\x02me\
          \x05X-SHM\x00\x00\x00\x01\x07",
    )
    .unwrap();
    assert_eq!(ready.socket_type, Some(SocketType::Dealer));
    assert_eq!(ready.identity, b"me");
    assert_eq!(ready.properties.get("x-shm"), Some(&b"\x07"[..]));
    let names: Vec<_> = ready.properties.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Socket-Type"[..], b"Identity", b"X-SHM"]);
}

#[test]
fn names_are_found_whatever_their_case() {
    let ready = Ready::parse(&metadata(&[(b"sOCKET-tYPE", b"PULL")])).unwrap();
    assert_eq!(ready.socket_type, Some(SocketType::Pull));
}

#[test]
fn a_ready_without_a_socket_type_is_accepted_and_may_join_anything() {
    let ready = Ready::parse(b"").unwrap();
    assert_eq!(ready.socket_type, None);
    assert!(ready.properties.is_empty());
    assert_eq!(ready.check_peer_of(SocketType::Pull), Ok(()));
}

#[test]
fn an_unknown_socket_type_is_refused_by_name() {
    let error = ready_of(b"dealer\n", b"").unwrap_err();
    assert_eq!(error.to_string(), "unknown Socket-Type \"dealer?\"");
    assert_eq!(error.code(), METADATA_CODE);
}

#[test]
fn a_type_that_cannot_talk_to_ours_is_refused_by_both_names() {
    let ready = ready_of(b"PUSH", b"").unwrap();
    assert_eq!(ready.check_peer_of(SocketType::Pull), Ok(()));
    let error = ready.check_peer_of(SocketType::Sub).unwrap_err();
    assert_eq!(error.to_string(), "SUB cannot talk to PUSH");
}

#[test]
fn identity_counts_for_req_dealer_and_router_only() {
    let counted = ["REQ", "DEALER", "ROUTER"];
    for number in 0..=11 {
        let kind = SocketType::from_number(number).unwrap().name();
        let expected = if counted.contains(&kind) { "me" } else { "" };
        let ready = ready_of(kind.as_bytes(), b"me").unwrap();
        assert_eq!(ready.identity, expected.as_bytes(), "{kind}");
    }
}

#[test]
fn identity_without_a_socket_type_does_not_count() {
    let ready = Ready::parse(&metadata(&[(b"Identity", b"me")])).unwrap();
    assert!(ready.identity.is_empty());
}

#[test]
fn an_identity_has_at_most_255_bytes() {
    assert_eq!(ready_of(b"REQ", &[1; 255]).unwrap().identity, [1; 255]);
    let refused = Err(ProtocolError::IdentityTooLong { length: 256 });
    assert_eq!(ready_of(b"REQ", &[1; 256]), refused);
    assert!(ready_of(b"PUB", &[1; 256]).is_ok());
}

#[test]
fn an_identity_does_not_begin_with_zero() {
    let refused = Err(ProtocolError::IdentityReserved { length: 2 });
    assert_eq!(ready_of(b"ROUTER", b"\x00a"), refused);
    assert!(ready_of(b"SUB", b"\x00a").is_ok());
    assert!(ready_of(b"ROUTER", b"").is_ok());
}

#[test]
fn metadata_cut_at_any_length_is_refused_unless_a_property_ends_there() {
    let whole = metadata(&[(b"Socket-Type", b"REQ"), (b"Identity", b"me")]);
    let ends = [0, 1 + 11 + 4 + 3, whole.len()];
    for length in 0..=whole.len() {
        let outcome = Properties::parse(&whole[..length]);
        if ends.contains(&length) {
            assert!(outcome.is_ok(), "{length}");
        } else {
            let error = outcome.unwrap_err();
            assert!(matches!(error, ProtocolError::PropertyTruncated { .. }), "{length}: {error}");
            assert_eq!(error.code(), METADATA_CODE);
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for tail in [&b"\x01"[..], b"\x09", b"\x01A", b"\x01A\x00\x00\x00"] {
        let mut bytes = metadata(&[(b"Socket-Type", b"REQ")]);
        bytes.extend_from_slice(tail);
        let error = Ready::parse(&bytes).unwrap_err();
        assert!(matches!(error, ProtocolError::PropertyTruncated { .. }), "{error}");
    }
}

#[test]
fn an_empty_name_is_refused() {
    let refused = ProtocolError::PropertyNameLength { length: 0 };
    let read = Properties::parse(b"\x00\x00\x00\x00\x00");
    assert_eq!(read, Err(refused.clone()));
    assert_eq!(Properties::new().push(b"", b""), Err(refused));
}

#[test]
fn hostile_value_lengths_are_refused_without_reading_on() {
    for length in [1 << 31, u32::MAX - 1, u32::MAX] {
        let mut bytes = b"\x01A".to_vec();
        bytes.extend_from_slice(&length.to_be_bytes());
        let refused = Err(ProtocolError::PropertyValueLength { length: u64::from(length) });
        assert_eq!(Properties::parse(&bytes), refused);
    }
    let refused = Err(ProtocolError::PropertyTruncated { needed: 0x7FFF_FFFF, available: 2 });
    assert_eq!(Properties::parse(b"\x01A\x7f\xff\xff\xffhi"), refused);
}

#[test]
fn a_name_that_appears_twice_is_refused_whatever_its_case() {
    for value in [&b"REQ"[..], b"REP"] {
        let bytes = metadata(&[(b"Socket-Type", b"REQ"), (b"socket-type", value)]);
        let error = Ready::parse(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "property \"socket-type\" appears twice");
    }
}

#[test]
fn one_property_too_many_is_refused() {
    let names: Vec<_> = (0..=MAX_PROPERTIES).map(|n| format!("X-{n}")).collect();
    let all: Vec<(&[u8], &[u8])> = names.iter().map(|n| (n.as_bytes(), &b""[..])).collect();
    let fits = Properties::parse(&metadata(&all[..MAX_PROPERTIES])).unwrap();
    assert_eq!(fits.len(), MAX_PROPERTIES);
    let refused = Err(ProtocolError::TooManyProperties { limit: MAX_PROPERTIES });
    assert_eq!(Properties::parse(&metadata(&all)), refused);
}

#[test]
fn metadata_meets_its_limit_exactly() {
    let limit = MAX_METADATA_BYTES;
    let fits = metadata(&[(b"A", &vec![0; limit - 6])]);
    assert!(Properties::parse(&fits).is_ok());
    let over = metadata(&[(b"A", &vec![0; limit - 5])]);
    let refused = ProtocolError::MetadataTooLarge { size: limit + 1, limit };
    assert_eq!(Properties::parse(&over), Err(refused.clone()));
    let pushed = Properties::new().push(b"A", &vec![0; limit - 5]);
    assert_eq!(pushed, Err(refused));
}

#[test]
fn a_refused_push_changes_nothing() {
    let mut properties = Properties::new();
    properties.push(b"A", b"1").unwrap();
    let before = properties.clone();
    assert!(properties.push(b"a", b"2").is_err());
    assert!(properties.push(&[b'n'; 256], b"").is_err());
    assert_eq!(properties, before);
}

#[test]
fn a_list_is_written_as_it_was_read() {
    let bytes = metadata(&[(b"Socket-Type", b"REQ"), (b"X", b""), (b"a-b_c.+", b"\x00")]);
    let mut out = Vec::new();
    Properties::parse(&bytes).unwrap().encode(&mut out);
    assert_eq!(out, bytes);
}
