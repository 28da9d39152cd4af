//! The decoder under test, fed and drained as a session does it.
//!
//! Knows the public API of the codec. Refuses to know what ought to come out: that is `reference`'s.

use shmzmq_zmtp::{Event, Inbound, ProtocolError, Ready, SocketType, Stage};

use crate::memory;
use crate::pieces::ways;

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body of a command before the traffic, in bytes.
    pub handshake: usize,
    /// Largest body of a message frame, in bytes.
    pub message: u64,
}

/// All that can be seen of a decoder from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it said.
    pub events: Vec<Event>,
    /// What it refused, if it did.
    pub error: Option<ProtocolError>,
    /// Where it stands.
    pub stage: Stage,
    /// Bytes it keeps for later.
    pub held: usize,
}

/// The bytes of an unfinished frame beyond its body.
const HEADER: u64 = 9;
const GREETING: u64 = 64;

/// Whether a READY with this data lets its sender join a socket of the type that listens here.
#[must_use]
pub fn admits(body: &[u8]) -> bool {
    Ready::parse(body).is_ok_and(|ready| ready.check_peer_of(SocketType::Dealer).is_ok())
}

/// What a decoder says of these pieces, after a prefix in one piece; that it keeps no more than its limits allow.
#[must_use]
pub fn listen<'a>(limits: Limits, prefix: &'a [u8], pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut inbound = Inbound::new(limits.handshake);
    let mut events = Vec::new();
    let mut error = None;
    for piece in [prefix].into_iter().chain(pieces) {
        inbound.feed(piece);
        error = error.or_else(|| drain(&mut inbound, limits, &mut events));
        assert!(inbound.held() as u64 <= bound(limits), "{} bytes held under {limits:?}", inbound.held());
        assert!(error.is_none() || inbound.held() == 0, "a decoder that failed keeps bytes");
    }
    if let Some(error) = &error {
        assert_eq!(inbound.next().as_ref(), Err(error), "an error is not final");
    }
    Outcome { events, error, stage: inbound.stage(), held: inbound.held() }
}

fn drain(inbound: &mut Inbound, limits: Limits, events: &mut Vec<Event>) -> Option<ProtocolError> {
    loop {
        let stage = inbound.stage();
        match inbound.next() {
            Ok(None) => return None,
            Ok(Some(event)) => {
                let message = matches!(event, Event::Message { .. });
                assert!(!message || stage == Stage::Traffic, "a message in stage {stage}");
                if matches!(&event, Event::Command { name, body } if name == b"READY" && admits(body)) {
                    assert!(inbound.traffic(limits.message));
                }
                events.push(event);
            }
            Err(error) => {
                expect_loggable(&error);
                return Some(error);
            }
        }
    }
}

/// What a drained decoder may keep: an unfinished greeting or an unfinished frame.
fn bound(limits: Limits) -> u64 {
    limits.message.max(limits.handshake as u64).saturating_add(HEADER).max(GREETING)
}

/// What is said of these bytes however they are cut, and that memory follows the bytes that came and never a
/// length that was claimed.
#[must_use]
pub fn listen_in_every_way(limits: Limits, prefix: &[u8], bytes: &[u8]) -> Outcome {
    let mut ways = ways(bytes).into_iter();
    let whole = ways.next().unwrap_or_default();
    let (expected, peak) = memory::peak(|| listen(limits, prefix, whole));
    // The buffer may have twice what came, every event has its own copy, and a list of events may double.
    // The smallest frame has two bytes and its event some eighty.
    let most = 128 * (prefix.len() + bytes.len()) + 4096;
    assert!(peak <= most, "{peak} bytes of memory for {} bytes from the peer", bytes.len());
    for way in ways {
        assert_eq!(listen(limits, prefix, way.iter().copied()), expected, "cut as {way:?}");
    }
    expected
}

/// An error can go to a log, a terminal and a monitor as it is, and has a number unless it is our own.
pub fn expect_loggable(error: &ProtocolError) {
    expect_printable(&error.to_string());
    assert!(error.code().is_some(), "{error:?} blames nobody");
}

/// Short and nothing in it that a terminal acts upon.
pub fn expect_printable(text: &str) {
    assert!(text.len() <= 300, "{} bytes of text", text.len());
    assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text:?}");
}
