//! Commands: a name and data there and back, and the reason of an ERROR.

use shmzmq_zmtp::{
    Event, Inbound, ProtocolError, Stage, encode_command, encode_error, greeting, parse_error,
};

use crate::listener::{Limits, expect_loggable, expect_printable, listen_in_every_way};
use crate::reference::judge;

const LIMITS: Limits = Limits { handshake: 8192, message: 8192 };

/// The bytes are in turn: the body of a command frame, the data of an ERROR, a reason of ours, and (the first
/// byte counting the name) a name and its data.
pub fn check(data: &[u8]) {
    expect_body_read(data);
    expect_reason_read(data);
    expect_reason_written(&String::from_utf8_lossy(data));
    if let Some((name_len, rest)) = data.split_first() {
        let (name, body) = rest.split_at(usize::from(*name_len).min(rest.len()));
        expect_command_arrives(&String::from_utf8_lossy(name), body);
    }
}

fn expect_body_read(body: &[u8]) {
    if body.len() > LIMITS.handshake {
        return;
    }
    let mut bytes = greeting().to_vec();
    bytes.push(6);
    bytes.extend((body.len() as u64).to_be_bytes());
    bytes.extend_from_slice(body);
    assert_eq!(listen_in_every_way(LIMITS, &[], &bytes), judge(LIMITS, Stage::Greeting, &bytes));
}

fn expect_reason_read(body: &[u8]) {
    let fills = body.first().is_some_and(|count| usize::from(*count) == body.len() - 1);
    match parse_error(body) {
        Ok(reason) => {
            assert!(fills);
            assert_eq!(reason.len(), body.len() - 1);
            expect_printable(&reason);
        }
        Err(error) => {
            assert!(!fills);
            expect_loggable(&error);
        }
    }
}

/// Whatever text we give as a reason, a peer that is strict can read it, and reading and writing agree.
fn expect_reason_written(reason: &str) {
    let mut bytes = greeting().to_vec();
    encode_error(reason, &mut bytes);
    let mut inbound = Inbound::new(LIMITS.handshake);
    inbound.feed(&bytes);
    assert!(matches!(inbound.next(), Ok(Some(Event::Greeting { .. }))));
    let Ok(Some(Event::Command { name, body })) = inbound.next() else { panic!("our ERROR is not one") };
    assert_eq!((name.as_slice(), inbound.stage(), inbound.held()), (&b"ERROR"[..], Stage::Ended, 0));
    let read = parse_error(&body).expect("our own reason");
    assert_eq!(read.len(), reason.chars().count().min(255));
    let same = |(read, written): (char, char)| read == written || read == '?';
    assert!(read.chars().zip(reason.chars()).all(same), "{read:?}");
}

fn expect_command_arrives(name: &str, body: &[u8]) {
    let mut bytes = super::framing::joined();
    let before = bytes.len();
    encode_command(name, body, &mut bytes);
    if name.is_empty() || name.len() > 255 {
        return assert_eq!(bytes.len(), before, "a name that the wire cannot carry");
    }
    let length = 1 + name.len() + body.len();
    let mut inbound = Inbound::new(length.max(64));
    inbound.feed(&bytes);
    assert!(inbound.next().is_ok() && inbound.next().is_ok());
    let said = inbound.next();
    match name {
        "READY" => {
            let refused = ProtocolError::UnexpectedCommand { name: name.to_owned(), stage: Stage::Joined };
            assert_eq!(said, Err(refused));
        }
        _ => {
            let command = Event::Command { name: name.as_bytes().to_vec(), body: body.to_vec() };
            assert_eq!(said, Ok(Some(command)));
            assert_eq!(inbound.held(), 0);
        }
    }
}
