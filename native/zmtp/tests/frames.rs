//! Frames and commands: golden bytes, hostile lengths, flags, stages and the bound on memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{HANDSHAKE_LIMIT, MESSAGE_LIMIT, after, greeted, in_traffic, joined, ready_frame};
use shmzmq_zmtp::{
    Event, Inbound, ProtocolError, Stage, encode_command, encode_error, encode_message_frame, encode_ready,
    greeting, parse_error,
};

const HOSTILE: [u64; 10] = [
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 33,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 1,
    u64::MAX,
];

fn message(body: &[u8], more: bool) -> Result<Option<Event>, ProtocolError> {
    let body = body.to_vec();
    Ok(Some(Event::Message { body, more }))
}

fn command(name: &[u8], body: &[u8]) -> Result<Option<Event>, ProtocolError> {
    let (name, body) = (name.to_vec(), body.to_vec());
    Ok(Some(Event::Command { name, body }))
}

fn long_frame(flags: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend_from_slice(&length.to_be_bytes());
    frame
}

fn header(body_len: usize, more: bool) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message_frame(body_len, more, &mut out);
    out
}

// What we send.

#[test]
fn message_headers_are_the_golden_ones() {
    assert_eq!(header(0, false), [0x00, 0]);
    assert_eq!(header(5, true), [0x01, 5]);
    assert_eq!(header(255, false), [0x00, 255]);
    assert_eq!(header(256, false), [0x02, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(header(65_536, true), [0x03, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_ready_is_the_golden_one() {
    let mut out = Vec::new();
    encode_ready(&[("Socket-Type", b"REQ"), ("Identity", b"me")], &mut out);
    let golden = b"\x04\x28\x05READY\
        \x0bSocket-Type\x00\x00\x00\x03REQ\
        \x08Identity\x00\x00\x00\x02me";
    assert_eq!(out, golden[..]);
}

#[test]
fn an_error_is_the_golden_one() {
    let mut out = Vec::new();
    encode_error("no", &mut out);
    assert_eq!(out, b"\x04\x09\x05ERROR\x02no");
}

#[test]
fn an_error_reason_is_cut_to_what_one_byte_counts_and_made_printable() {
    let mut out = Vec::new();
    encode_error(&"x".repeat(300), &mut out);
    assert_eq!(out[..9], [0x06, 0, 0, 0, 0, 0, 0, 1, 6]);
    assert_eq!(out[9..16], *b"\x05ERROR\xff");
    assert_eq!(out.len(), 16 + 255);
    out.clear();
    encode_error("a\nb\u{e9} c", &mut out);
    assert_eq!(out[8..], *b"\x06a?b? c");
}

#[test]
fn a_command_takes_the_long_form_by_the_size_of_its_whole_body() {
    // Topics of these sizes were sent with a wrong header by libzmq before 4.3.5.
    for (topic, long) in [(245, false), (246, true), (254, true), (255, true), (256, true)] {
        let mut out = Vec::new();
        encode_command("SUBSCRIBE", &vec![b't'; topic], &mut out);
        assert_eq!(out[0], if long { 0x06 } else { 0x04 }, "{topic}");
        assert_eq!(out.len(), if long { 9 } else { 2 } + 10 + topic, "{topic}");
        let event = command(b"SUBSCRIBE", &vec![b't'; topic]);
        assert_eq!(after(in_traffic(), &out), event, "{topic}");
    }
}

#[test]
fn encoders_append_and_leave_what_is_there() {
    let mut out = b"before".to_vec();
    encode_command("A", b"", &mut out);
    assert_eq!(out, b"before\x04\x02\x01A");
}

#[test]
fn what_the_wire_cannot_carry_is_left_out_whole() {
    let long_name = "n".repeat(256);
    let mut out = Vec::new();
    encode_command("", b"data", &mut out);
    encode_command(&long_name, b"data", &mut out);
    assert!(out.is_empty());
    encode_ready(&[("", b"x"), (&long_name, b"x"), ("A", b"y")], &mut out);
    assert_eq!(out, b"\x04\x0d\x05READY\x01A\x00\x00\x00\x01y");
}

// What we accept.

#[test]
fn golden_short_and_long_frames_are_read() {
    assert_eq!(after(in_traffic(), b"\x00\x00"), message(b"", false));
    assert_eq!(after(in_traffic(), b"\x01\x02hi"), message(b"hi", true));
    let long = b"\x02\x00\x00\x00\x00\x00\x00\x00\x02hi";
    assert_eq!(after(in_traffic(), long), message(b"hi", false));
    let ping = b"\x04\x07\x04PING\x00\x0a";
    assert_eq!(after(in_traffic(), ping), command(b"PING", b"\x00\x0a"));
    let long_ping = b"\x06\x00\x00\x00\x00\x00\x00\x00\x07\x04PING\x00\x0a";
    assert_eq!(after(in_traffic(), long_ping), command(b"PING", b"\x00\x0a"));
}

#[test]
fn bodies_around_the_border_of_the_forms_come_through() {
    for size in [0, 1, 254, 255, 256, 257, 65_535, 65_536] {
        let body = vec![7; size];
        let mut frame = header(size, true);
        frame.extend_from_slice(&body);
        assert_eq!(after(in_traffic(), &frame), message(&body, true), "{size}");
    }
}

#[test]
fn ready_and_first_messages_may_share_one_read() {
    let mut inbound = Inbound::new(HANDSHAKE_LIMIT);
    let mut bytes = greeting().to_vec();
    bytes.extend_from_slice(&ready_frame());
    bytes.extend_from_slice(b"\x01\x01a\x00\x01b");
    inbound.feed(&bytes);
    inbound.next().unwrap();
    inbound.next().unwrap();
    assert!(inbound.traffic(MESSAGE_LIMIT));
    assert_eq!(inbound.next(), message(b"a", true));
    assert_eq!(inbound.next(), message(b"b", false));
    assert_eq!(inbound.next(), Ok(None));
}

#[test]
fn an_unfinished_frame_is_no_event_at_any_length() {
    let frame = b"\x06\x00\x00\x00\x00\x00\x00\x00\x07\x04PING\x00\x0a";
    for length in 0..frame.len() {
        assert_eq!(after(in_traffic(), &frame[..length]), Ok(None), "{length}");
    }
}

// Hostile lengths.

#[test]
fn hostile_long_lengths_are_refused_from_the_header_alone() {
    for length in HOSTILE {
        for (inbound, flags, limit) in [
            (greeted(), 0x06, HANDSHAKE_LIMIT as u64),
            (joined(), 0x06, HANDSHAKE_LIMIT as u64),
            (in_traffic(), 0x06, MESSAGE_LIMIT),
            (in_traffic(), 0x02, MESSAGE_LIMIT),
            (in_traffic(), 0x03, MESSAGE_LIMIT),
        ] {
            let refused = if length >> 63 == 1 {
                ProtocolError::LengthReserved { length }
            } else {
                ProtocolError::FrameTooLarge { length, limit }
            };
            assert_eq!(after(inbound, &long_frame(flags, length)), Err(refused));
        }
    }
}

#[test]
fn the_largest_legal_length_waits_for_bytes_when_there_is_no_limit() {
    let mut inbound = joined();
    assert!(inbound.traffic(u64::MAX));
    for length in [u64::from(u32::MAX), (1 << 63) - 1] {
        let mut inbound = joined();
        assert!(inbound.traffic(u64::MAX));
        inbound.feed(&long_frame(0x02, length));
        assert_eq!(inbound.next(), Ok(None), "{length}");
        assert_eq!(inbound.held(), 9, "{length}");
    }
    let refused = Err(ProtocolError::LengthReserved { length: 1 << 63 });
    assert_eq!(after(inbound, &long_frame(0x02, 1 << 63)), refused);
}

#[test]
fn a_limit_is_met_exactly() {
    let limit = HANDSHAKE_LIMIT as u64;
    assert_eq!(after(joined(), &long_frame(0x06, limit)), Ok(None));
    let length = limit + 1;
    let refused = Err(ProtocolError::FrameTooLarge { length, limit });
    assert_eq!(after(joined(), &long_frame(0x06, length)), refused);
}

#[test]
fn a_short_length_is_held_to_the_limit_too() {
    let mut inbound = Inbound::new(10);
    inbound.feed(&greeting());
    inbound.next().unwrap();
    let refused = Err(ProtocolError::FrameTooLarge { length: 11, limit: 10 });
    assert_eq!(after(inbound, &[0x04, 11]), refused);
}

#[test]
fn an_empty_command_frame_is_malformed_in_both_forms() {
    let refused = ProtocolError::MalformedCommand { declared: 0, available: 0 };
    assert_eq!(after(greeted(), &[0x04, 0]), Err(refused.clone()));
    assert_eq!(after(in_traffic(), &long_frame(0x06, 0)), Err(refused));
}

#[test]
fn a_command_name_must_fit_its_frame_and_not_be_empty() {
    for (frame, declared, available) in [
        (&b"\x04\x01\x00"[..], 0, 0),
        (b"\x04\x03\x00ab", 0, 2),
        (b"\x04\x03\x03ab", 3, 2),
        (b"\x04\x01\xff", 255, 0),
    ] {
        let refused = Err(ProtocolError::MalformedCommand { declared, available });
        assert_eq!(after(in_traffic(), frame), refused);
    }
}

#[test]
fn a_small_message_limit_does_not_cut_off_commands() {
    let mut inbound = joined();
    assert!(inbound.traffic(1));
    inbound.feed(b"\x04\x07\x04PING\x00\x0a\x00\x02hi");
    assert_eq!(inbound.next(), command(b"PING", b"\x00\x0a"));
    let refused = ProtocolError::FrameTooLarge { length: 2, limit: 1 };
    assert_eq!(inbound.next(), Err(refused));
}

// Flags.

#[test]
fn every_reserved_flag_bit_is_refused_by_its_byte_alone() {
    for flags in 0x08..=0xFF {
        let refused = Err(ProtocolError::ReservedFlags { flags });
        assert_eq!(after(in_traffic(), &[flags]), refused);
    }
}

#[test]
fn more_on_a_command_is_refused_by_its_byte_alone() {
    for flags in [0x05, 0x07] {
        let refused = Err(ProtocolError::MoreOnCommand { flags });
        assert_eq!(after(in_traffic(), &[flags]), refused);
    }
}

// Stages.

#[test]
fn a_message_before_the_traffic_is_refused_by_its_first_byte() {
    for (inbound, stage) in [(greeted(), Stage::Opening), (joined(), Stage::Joined)] {
        let refused = Err(ProtocolError::UnexpectedMessage { stage });
        assert_eq!(after(inbound, &[0x00]), refused);
    }
}

#[test]
fn another_command_before_ready_is_refused() {
    let error = after(greeted(), b"\x04\x07\x04PING\x00\x0a").unwrap_err();
    assert_eq!(error.to_string(), "command \"PING\" in stage opening");
    assert_eq!(error.code(), Some(0x1000_0001));
}

#[test]
fn another_command_between_ready_and_traffic_is_an_event() {
    let offer = b"\x04\x06\x05OFFER";
    assert_eq!(after(joined(), offer), command(b"OFFER", b""));
}

#[test]
fn a_second_ready_is_refused_in_every_stage() {
    for (inbound, stage) in [(joined(), Stage::Joined), (in_traffic(), Stage::Traffic)] {
        let refused = Err(ProtocolError::UnexpectedCommand { name: "READY".to_owned(), stage });
        assert_eq!(after(inbound, &ready_frame()), refused);
    }
}

#[test]
fn an_error_is_an_event_in_every_stage_and_ends_the_connection() {
    for mut inbound in [greeted(), joined(), in_traffic()] {
        inbound.feed(b"\x04\x0a\x05ERROR\x03400\x00\x00");
        assert_eq!(inbound.next(), command(b"ERROR", b"\x03400"));
        assert_eq!(inbound.stage(), Stage::Ended);
        assert!(!inbound.traffic(MESSAGE_LIMIT));
        let stage = Stage::Ended;
        let refused = Err(ProtocolError::UnexpectedMessage { stage });
        assert_eq!(inbound.next(), refused);
    }
}

// ERROR's reason.

#[test]
fn an_error_reason_is_read_back() {
    assert_eq!(parse_error(b"\x03400").unwrap(), "400");
    assert_eq!(parse_error(b"\x00").unwrap(), "");
    assert_eq!(parse_error(b"\x05a\x1b[\xffb").unwrap(), "a?[?b");
}

#[test]
fn an_error_reason_must_fill_its_command() {
    for (body, declared, available) in
        [(&b""[..], 0, 0), (b"\x03no", 3, 2), (b"\x01no", 1, 2), (b"\xff", 255, 0)]
    {
        let refused = ProtocolError::MalformedError { declared, available };
        assert_eq!(parse_error(body), Err(refused));
    }
}

// Memory.

#[test]
fn a_drained_decoder_takes_any_number_of_reads() {
    let mut inbound = in_traffic();
    for _ in 0..10 {
        inbound.feed(&[0x00; 65_536]);
        while inbound.next().unwrap().is_some() {}
    }
    assert_eq!(inbound.held(), 0);
}

#[test]
fn feeding_without_draining_fails_before_the_bound_is_passed() {
    let mut inbound = greeted();
    let read = [0x04; 4096];
    for _ in 0..10 {
        inbound.feed(&read);
        assert!(inbound.held() <= HANDSHAKE_LIMIT + 9 + read.len());
    }
    let error = inbound.next().unwrap_err();
    assert!(matches!(error, ProtocolError::Undrained { .. }), "{error}");
    assert_eq!(error.code(), None);
}
