//! Frames of a connection whose handshake is over, as an engine looks at them: where they were received.

use shmzmq_zmtp::{
    Command, Event, Header, MAX_CONTEXT_BYTES, MAX_TOPIC_BYTES, ProtocolError, encode_ping, encode_pong,
    encode_subscription,
};

use crate::listener::{expect_loggable, expect_printable};
use crate::pieces::ways;
use crate::reference::{judge_traffic, written};

/// Chosen by the first byte. The last lets any length be claimed.
const LIMITS: [u64; 6] = [u64::MAX, 0, 1, 255, 256, 65_536];
/// Longest command: SUBSCRIBE with the longest topic.
const COMMANDS: u64 = MAX_TOPIC_BYTES as u64 + 10;

/// What one frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message { body: Vec<u8>, more: bool },
    Subscribe(Vec<u8>),
    Cancel(Vec<u8>),
    Ping { ttl: u16, context: Vec<u8> },
    Pong,
    Error(Vec<u8>),
    Unknown,
}

/// All of them, the refusal that ended it, and the bytes that are left.
type Outcome = (Vec<Said>, Option<ProtocolError>, usize);

/// The first byte chooses the limit; the others are what a peer sends.
pub fn check(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let limit = LIMITS[usize::from(*choice) % LIMITS.len()];
    let expected = expected(limit, bytes);
    for way in ways(bytes) {
        assert_eq!(look(limit, &way), expected, "cut as {way:?}");
    }
    expected.0.iter().for_each(expect_round_trip);
}

/// What an engine finds in a buffer to which these pieces are added one by one.
fn look(limit: u64, pieces: &[&[u8]]) -> Outcome {
    let (mut buffer, mut at, mut found) = (Vec::new(), 0, Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match next(limit, &buffer[at..]) {
                Ok(None) => break,
                Ok(Some((said, bytes))) => {
                    at += bytes;
                    let over = matches!(said, Said::Error(_));
                    found.push(said);
                    if over {
                        return (found, None, 0);
                    }
                }
                Err(error) => {
                    expect_loggable(&error);
                    return (found, Some(error), 0);
                }
            }
        }
    }
    (found, None, buffer.len() - at)
}

fn next(limit: u64, bytes: &[u8]) -> Result<Option<(Said, usize)>, ProtocolError> {
    let Some(header) = Header::parse(bytes, limit)? else { return Ok(None) };
    assert!(header.body_bytes as u64 <= if header.command { COMMANDS } else { limit });
    let Some(body) = bytes[header.header_bytes..].get(..header.body_bytes) else { return Ok(None) };
    let said = match header.command {
        false => Said::Message { body: body.to_vec(), more: header.more },
        true => owned(Command::parse(body)?),
    };
    Ok(Some((said, header.header_bytes + header.body_bytes)))
}

fn owned(command: Command<'_>) -> Said {
    match command {
        Command::Subscribe(topic) => Said::Subscribe(topic.to_vec()),
        Command::Cancel(topic) => Said::Cancel(topic.to_vec()),
        Command::Ping { ttl_deciseconds, context } => {
            Said::Ping { ttl: ttl_deciseconds, context: context.to_vec() }
        }
        Command::Pong => Said::Pong,
        Command::Error(data) => Said::Error(data.to_vec()),
        Command::Unknown => Said::Unknown,
    }
}

/// The same by the reference, and by what each command means.
fn expected(limit: u64, bytes: &[u8]) -> Outcome {
    let judged = judge_traffic(limit, COMMANDS, bytes);
    let mut found = Vec::new();
    for event in judged.events {
        match meaning(event) {
            Ok(said @ Said::Error(_)) => {
                found.push(said);
                return (found, None, 0);
            }
            Ok(said) => found.push(said),
            Err(error) => return (found, Some(error), 0),
        }
    }
    (found, judged.error, judged.held)
}

fn meaning(event: Event) -> Result<Said, ProtocolError> {
    Ok(match event {
        Event::Message { body, more } => Said::Message { body, more },
        Event::Greeting { .. } => unreachable!("a greeting in traffic"),
        Event::Command { name, body } => match name.as_slice() {
            b"SUBSCRIBE" => Said::Subscribe(body),
            b"CANCEL" => Said::Cancel(body),
            b"PING" if body.len() < 2 => return Err(ProtocolError::MalformedPing { size: body.len() }),
            b"PING" => Said::Ping {
                ttl: u16::from(body[0]) << 8 | u16::from(body[1]),
                context: body[2..].iter().copied().take(MAX_CONTEXT_BYTES).collect(),
            },
            b"PONG" => Said::Pong,
            b"ERROR" => Said::Error(body),
            _ => Said::Unknown,
        },
    })
}

/// What we write of it is what the reference writes, and means the same.
fn expect_round_trip(said: &Said) {
    let mut out = Vec::new();
    let (name, body) = match said {
        Said::Subscribe(topic) | Said::Cancel(topic) => {
            let subscribe = matches!(said, Said::Subscribe(_));
            encode_subscription(subscribe, topic, &mut out);
            (if subscribe { &b"SUBSCRIBE"[..] } else { b"CANCEL" }, topic.clone())
        }
        Said::Ping { ttl, context } => {
            let mut answer = Vec::new();
            encode_pong(context, &mut answer);
            assert_eq!(answer, written(&command(b"PONG", context.clone())));
            encode_ping(*ttl, &mut out);
            (&b"PING"[..], ttl.to_be_bytes().to_vec())
        }
        Said::Error(data) => {
            if let Ok(text) = shmzmq_zmtp::parse_error(data) {
                expect_printable(&text);
            }
            return;
        }
        Said::Message { .. } | Said::Pong | Said::Unknown => return,
    };
    assert_eq!(out, written(&command(name, body)));
}

fn command(name: &[u8], body: Vec<u8>) -> Event {
    Event::Command { name: name.to_vec(), body }
}
