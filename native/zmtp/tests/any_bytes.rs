//! Properties over all inputs: no bytes make the decoder panic, and no split changes its verdict.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{decode, ready_frame};
use proptest::prelude::*;
use shmzmq_zmtp::{Properties, Ready, encode_command, encode_message_frame, greeting, parse_error};

/// One frame, good or nearly so: what a fuzzer needs a long time to find by chance.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        4 => (body.clone(), any::<bool>()).prop_map(|(body, more)| {
            let mut out = Vec::new();
            encode_message_frame(body.len(), more, &mut out);
            out.extend_from_slice(&body);
            out
        }),
        3 => (prop::sample::select(vec!["PING", "SUBSCRIBE", "ERROR"]), body).prop_map(
            |(name, body)| {
                let mut out = Vec::new();
                encode_command(name, &body, &mut out);
                out
            }
        ),
        1 => Just(ready_frame()),
        1 => (0_u8..8, any::<u64>()).prop_map(|(flags, length)| {
            let mut out = vec![flags];
            out.extend_from_slice(&length.to_be_bytes());
            out
        }),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// A connection that begins well for some way, with at most one byte changed.
fn any_connection() -> impl Strategy<Value = Vec<u8>> {
    let frames = prop::collection::vec(any_frame(), 0..6);
    let change = prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
    (frames, change).prop_map(|(frames, change)| {
        let mut bytes = greeting().to_vec();
        bytes.extend_from_slice(&ready_frame());
        bytes.extend(frames.concat());
        if let Some((at, byte)) = change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Cut at these places, which may coincide: an empty read is legal too.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut from = 0;
    places.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

fn any_cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

proptest! {
    #[test]
    fn any_bytes_in_any_split_give_events_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        cuts in any_cuts(),
    ) {
        prop_assert_eq!(decode(pieces(&bytes, &cuts)), decode([&bytes[..]]));
    }

    #[test]
    fn any_frames_after_a_handshake_give_the_same_events_in_any_split(
        bytes in any_connection(),
        cuts in any_cuts(),
    ) {
        let whole = decode([&bytes[..]]);
        prop_assert_eq!(&decode(pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(&decode(bytes.chunks(1)), &whole);
    }

    #[test]
    fn any_command_data_is_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Ready::parse(&bytes);
        let _ = parse_error(&bytes);
    }

    #[test]
    fn any_metadata_that_is_read_is_written_back_unchanged(
        entries in prop::collection::vec(
            ("[A-Za-z0-9_.+-]{1,12}", prop::collection::vec(any::<u8>(), 0..40)),
            0..20,
        ),
    ) {
        let mut properties = Properties::new();
        for (name, value) in &entries {
            let _ = properties.push(name.as_bytes(), value);
        }
        let mut bytes = Vec::new();
        properties.encode(&mut bytes);
        prop_assert_eq!(Properties::parse(&bytes), Ok(properties));
    }
}
