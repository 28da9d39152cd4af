//! Traffic: golden bytes of commands, headers of every form, every limit from both sides, and round trips.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use shmzmq_zmtp::{
    Command, Header, MAX_CONTEXT_BYTES, MAX_TOPIC_BYTES, ProtocolError, Stage, encode_command,
    encode_message_frame, encode_ping, encode_pong, encode_subscription,
};

const NO_LIMIT: u64 = u64::MAX;
/// The largest command that can mean something: "SUBSCRIBE", its length, and the longest topic.
const LARGEST_COMMAND: u64 = MAX_TOPIC_BYTES as u64 + 10;

fn ping(ttl_deciseconds: u16) -> Vec<u8> {
    let mut out = Vec::new();
    encode_ping(ttl_deciseconds, &mut out);
    out
}

fn pong(context: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_pong(context, &mut out);
    out
}

fn subscription(subscribe: bool, topic: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_subscription(subscribe, topic, &mut out);
    out
}

fn command(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_command(name, data, &mut out);
    out
}

fn long_header(flags: u8, length: u64) -> Vec<u8> {
    [&[flags][..], &length.to_be_bytes()].concat()
}

fn header(header_bytes: usize, body_bytes: usize, more: bool, command: bool) -> Option<Header> {
    Some(Header { header_bytes, body_bytes, more, command })
}

fn parse(bytes: &[u8]) -> Result<Option<Header>, ProtocolError> {
    Header::parse(bytes, NO_LIMIT)
}

/// The command in the one frame that these bytes are.
fn read(frame: &[u8]) -> Result<Command<'_>, ProtocolError> {
    let header = parse(frame)?.unwrap();
    assert!(header.command);
    assert_eq!(header.header_bytes + header.body_bytes, frame.len());
    Command::parse(&frame[header.header_bytes..])
}

// What we send.

#[test]
fn heartbeats_are_the_golden_ones() {
    assert_eq!(ping(0), b"\x04\x07\x04PING\x00\x00");
    assert_eq!(ping(10), b"\x04\x07\x04PING\x00\x0a");
    assert_eq!(ping(655), b"\x04\x07\x04PING\x02\x8f");
    assert_eq!(pong(b""), b"\x04\x05\x04PONG");
    assert_eq!(pong(b"ctx"), b"\x04\x08\x04PONGctx");
}

#[test]
fn subscriptions_are_the_golden_ones() {
    assert_eq!(subscription(true, b""), b"\x04\x0a\x09SUBSCRIBE");
    assert_eq!(subscription(true, b"A"), b"\x04\x0b\x09SUBSCRIBEA");
    assert_eq!(subscription(false, b""), b"\x04\x07\x06CANCEL");
    assert_eq!(subscription(false, b"A"), b"\x04\x08\x06CANCELA");
}

#[test]
fn a_subscription_takes_the_long_form_by_the_size_of_its_whole_body() {
    // Topics of 246 to 255 bytes had a wrong header in libzmq before 4.3.5.
    for size in 240..=260 {
        let topic = vec![b't'; size];
        for (subscribe, name) in [(true, &b"\x09SUBSCRIBE"[..]), (false, b"\x06CANCEL")] {
            let body = [name, &topic].concat();
            let golden = match u8::try_from(body.len()) {
                Ok(short) => [&[4, short][..], &body].concat(),
                Err(_) => [long_header(6, body.len() as u64), body].concat(),
            };
            assert_eq!(subscription(subscribe, &topic), golden, "{size}");
        }
    }
}

#[test]
fn topics_around_the_border_of_the_forms_come_through() {
    for size in 245..=256 {
        let topic = vec![b't'; size];
        assert_eq!(read(&subscription(true, &topic)), Ok(Command::Subscribe(&topic)), "{size}");
        assert_eq!(read(&subscription(false, &topic)), Ok(Command::Cancel(&topic)), "{size}");
    }
}

#[test]
fn encoders_append_and_leave_what_is_there() {
    let mut out = b"before".to_vec();
    encode_ping(1, &mut out);
    encode_pong(b"", &mut out);
    encode_subscription(true, b"t", &mut out);
    assert_eq!(out, b"before\x04\x07\x04PING\x00\x01\x04\x05\x04PONG\x04\x0b\x09SUBSCRIBEt");
}

// Headers.

#[test]
fn every_legal_form_of_a_header_is_read() {
    assert_eq!(parse(b"\x00\x00"), Ok(header(2, 0, false, false)));
    assert_eq!(parse(b"\x01\xff"), Ok(header(2, 255, true, false)));
    assert_eq!(parse(b"\x04\x05"), Ok(header(2, 5, false, true)));
    assert_eq!(parse(&long_header(0x02, 256)), Ok(header(9, 256, false, false)));
    assert_eq!(parse(&long_header(0x03, 1 << 40)), Ok(header(9, 1 << 40, true, false)));
    assert_eq!(parse(&long_header(0x06, 300)), Ok(header(9, 300, false, true)));
}

#[test]
fn a_long_form_that_a_short_one_would_do_for_is_read() {
    for length in [0, 1, 255] {
        assert_eq!(parse(&long_header(0x02, length)), Ok(header(9, length as usize, false, false)));
        assert_eq!(parse(&long_header(0x06, length)), Ok(header(9, length as usize, false, true)));
    }
}

#[test]
fn what_is_behind_a_header_does_not_change_it() {
    assert_eq!(parse(b"\x01\x02abc\xff"), Ok(header(2, 2, true, false)));
    let bytes = [long_header(0x02, 3), vec![0xff; 20]].concat();
    assert_eq!(parse(&bytes), Ok(header(9, 3, false, false)));
}

#[test]
fn an_unfinished_header_is_none_at_any_length() {
    for whole in [&b"\x00\x05"[..], b"\x01\x05", b"\x04\x05", &long_header(2, 9), &long_header(6, 9)] {
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(None), "{length} of {whole:?}");
        }
    }
}

#[test]
fn every_other_flags_byte_is_refused_by_itself() {
    for flags in 0x08..=0xff {
        assert_eq!(parse(&[flags]), Err(ProtocolError::ReservedFlags { flags }));
        assert_eq!(parse(&[flags, 0]), Err(ProtocolError::ReservedFlags { flags }));
    }
    for flags in [0x05, 0x07] {
        assert_eq!(parse(&[flags, 0]), Err(ProtocolError::MoreOnCommand { flags }));
    }
}

#[test]
fn a_length_with_its_top_bit_is_refused_whatever_the_limit() {
    for length in [1 << 63, (1 << 63) + 1, u64::MAX] {
        for flags in [0x02, 0x03, 0x06] {
            assert_eq!(parse(&long_header(flags, length)), Err(ProtocolError::LengthReserved { length }));
        }
    }
    let most = (1 << 63) - 1;
    assert_eq!(parse(&long_header(0x02, most)), Ok(header(9, most as usize, false, false)));
}

#[test]
fn a_limit_on_messages_is_met_exactly_in_both_forms() {
    for limit in [0, 1, 254, 255, 256, 1 << 32] {
        for length in [limit, limit + 1] {
            let refused = Err(ProtocolError::FrameTooLarge { length, limit });
            let long = Header::parse(&long_header(0x02, length), limit);
            let wanted =
                if length == limit { Ok(header(9, length as usize, false, false)) } else { refused.clone() };
            assert_eq!(long, wanted);
            let Ok(short) = u8::try_from(length) else { continue };
            let wanted = if length == limit { Ok(header(2, length as usize, true, false)) } else { refused };
            assert_eq!(Header::parse(&[0x01, short], limit), wanted);
        }
    }
}

#[test]
fn commands_have_a_limit_of_their_own() {
    for limit_message in [0, NO_LIMIT] {
        let most = Header::parse(&long_header(0x06, LARGEST_COMMAND), limit_message);
        assert_eq!(most, Ok(header(9, LARGEST_COMMAND as usize, false, true)));
        let length = LARGEST_COMMAND + 1;
        let refused = Err(ProtocolError::FrameTooLarge { length, limit: LARGEST_COMMAND });
        assert_eq!(Header::parse(&long_header(0x06, length), limit_message), refused);
    }
    assert_eq!(Header::parse(b"\x04\x07", 0), Ok(header(2, 7, false, true)));
}

// Commands.

#[test]
fn the_longest_topic_is_taken_and_one_byte_more_is_not() {
    let topic = vec![b't'; MAX_TOPIC_BYTES];
    assert_eq!(read(&subscription(true, &topic)), Ok(Command::Subscribe(&topic)));
    assert_eq!(read(&subscription(false, &topic)), Ok(Command::Cancel(&topic)));
    let topic = vec![b't'; MAX_TOPIC_BYTES + 1];
    let (length, limit) = (topic.len() as u64, MAX_TOPIC_BYTES as u64);
    // A CANCEL's frame may still be as large as a SUBSCRIBE's.
    assert_eq!(read(&subscription(false, &topic)), Err(ProtocolError::FrameTooLarge { length, limit }));
    let length = length + 10;
    let refused = Err(ProtocolError::FrameTooLarge { length, limit: LARGEST_COMMAND });
    assert_eq!(read(&subscription(true, &topic)), refused);
}

#[test]
fn a_ping_has_its_ttl_and_what_fits_of_its_context() {
    for size in 0..40 {
        let context = vec![b'c'; size];
        let frame = command("PING", &[&[0x02, 0x8f][..], &context].concat());
        let context = &context[..size.min(MAX_CONTEXT_BYTES)];
        assert_eq!(read(&frame), Ok(Command::Ping { ttl_deciseconds: 655, context }), "{size}");
    }
}

#[test]
fn a_ping_without_its_ttl_is_refused() {
    for size in 0..2 {
        let refused = Err(ProtocolError::MalformedPing { size });
        assert_eq!(read(&command("PING", &vec![0; size])), refused);
    }
}

#[test]
fn a_pong_may_say_anything() {
    for size in [0, 16, 17, 300] {
        assert_eq!(read(&pong(&vec![0; size])), Ok(Command::Pong));
    }
}

#[test]
fn an_error_keeps_its_data() {
    assert_eq!(read(&command("ERROR", b"\x03400")), Ok(Command::Error(b"\x03400")));
    assert_eq!(read(&command("ERROR", b"")), Ok(Command::Error(b"")));
}

#[test]
fn a_ready_has_no_place_in_traffic() {
    let (name, stage) = ("READY".to_owned(), Stage::Traffic);
    assert_eq!(read(&command("READY", b"")), Err(ProtocolError::UnexpectedCommand { name, stage }));
}

#[test]
fn what_is_not_known_is_unknown_to_the_letter() {
    for name in ["X", "ping", "PING ", "PIN", "SUBSCRIBER", "SUBSCRIB", "HELLO", "SHM-NO"] {
        assert_eq!(read(&command(name, b"data")), Ok(Command::Unknown), "{name}");
    }
    assert_eq!(read(b"\x04\x04\x03\xff\x00\x80"), Ok(Command::Unknown));
}

#[test]
fn a_command_name_must_fit_its_frame_and_not_be_empty() {
    for (body, declared, available) in
        [(&b""[..], 0, 0), (b"\x00", 0, 0), (b"\x00ab", 0, 2), (b"\x05PING", 5, 4), (b"\xff", 255, 0)]
    {
        let refused = Err(ProtocolError::MalformedCommand { declared, available });
        assert_eq!(Command::parse(body), refused, "{body:?}");
    }
}

// Over all inputs.

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_frame_is_read_as_it_was_written(
        length in prop_oneof![0_usize..600, any::<u32>().prop_map(|length| length as usize)],
        more: bool,
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut out = Vec::new();
        encode_message_frame(length, more, &mut out);
        let header_bytes = out.len();
        prop_assert_eq!(header_bytes, if length < 256 { 2 } else { 9 });
        for cut in 0..header_bytes {
            prop_assert_eq!(parse(&out[..cut]), Ok(None));
        }
        out.extend(behind);
        prop_assert_eq!(parse(&out), Ok(header(header_bytes, length, more, false)));
    }

    #[test]
    fn a_subscription_is_read_as_it_was_written(
        topic in prop::collection::vec(any::<u8>(), 0..600),
        subscribe: bool,
    ) {
        let said = if subscribe { Command::Subscribe(&topic) } else { Command::Cancel(&topic) };
        let frame = subscription(subscribe, &topic);
        prop_assert_eq!(read(&frame), Ok(said));
    }

    #[test]
    fn a_ping_is_read_as_it_was_written(ttl: u16) {
        let frame = ping(ttl);
        prop_assert_eq!(read(&frame), Ok(Command::Ping { ttl_deciseconds: ttl, context: b"" }));
    }

    #[test]
    fn a_pong_carries_the_context_of_its_ping(context in prop::collection::vec(any::<u8>(), 0..=16)) {
        let frame = command("PING", &[&[0, 0][..], &context].concat());
        let Ok(Command::Ping { context: read_context, .. }) = read(&frame) else {
            return Err(TestCaseError::fail("no PING"));
        };
        prop_assert_eq!(pong(read_context), command("PONG", &context));
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_header_goes_beyond_its_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        limit: u64,
    ) {
        if let Ok(Some(header)) = Header::parse(&bytes, limit) {
            prop_assert!(header.header_bytes <= bytes.len());
            let limit = if header.command { LARGEST_COMMAND } else { limit };
            prop_assert!(header.body_bytes as u64 <= limit);
            prop_assert!(!(header.command && header.more));
        }
        let _ = Command::parse(&bytes);
    }
}
