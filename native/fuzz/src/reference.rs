//! A second decoder, written from RFC 37 and what the crate's documentation promises, for comparison.
//!
//! It sees the whole buffer, keeps nothing, and shares no code with the decoder under test: two that are wrong
//! in the same way are less likely than one. Where both are wrong, hand-made bytes in native/zmtp/tests speak.

use shmzmq_zmtp::{Event, ProtocolError, Stage};

use crate::listener::{Limits, Outcome, admits};

/// What must be said of these bytes by a decoder that stands at `stage`.
#[must_use]
pub fn judge(limits: Limits, stage: Stage, bytes: &[u8]) -> Outcome {
    let opened = stage == Stage::Traffic;
    Judge { limits, commands: None, stage, opened, rest: bytes, events: Vec::new() }.judge()
}

/// What must be said of these bytes once the handshake is over, where commands have a limit of their own.
#[must_use]
pub fn judge_traffic(messages: u64, commands: u64, bytes: &[u8]) -> Outcome {
    let limits = Limits { handshake: 0, message: messages };
    let (stage, commands) = (Stage::Traffic, Some(commands));
    Judge { limits, commands, stage, opened: true, rest: bytes, events: Vec::new() }.judge()
}

struct Judge<'a> {
    limits: Limits,
    /// Largest command in traffic; None: as the limits say.
    commands: Option<u64>,
    stage: Stage,
    /// The traffic was open at some time: limits stay as they were then, also behind an ERROR.
    opened: bool,
    rest: &'a [u8],
    events: Vec<Event>,
}

impl Judge<'_> {
    fn judge(mut self) -> Outcome {
        let error = loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        let held = if error.is_some() { 0 } else { self.rest.len() };
        Outcome { events: self.events, error, stage: self.stage, held }
    }

    /// One greeting or frame; false when more bytes are needed.
    fn step(&mut self) -> Result<bool, ProtocolError> {
        if self.stage == Stage::Greeting { self.greeting() } else { self.frame() }
    }

    fn greeting(&mut self) -> Result<bool, ProtocolError> {
        let bytes = self.rest;
        let at = |index: usize| bytes.get(index).copied();
        if let Some(byte) = at(0).filter(|byte| *byte != 0xFF) {
            return Err(ProtocolError::NotZmtp { byte });
        }
        if let Some(byte) = at(9).filter(|byte| byte % 2 == 0) {
            return Err(ProtocolError::NotVersioned { byte });
        }
        if let Some(major) = at(10).filter(|major| *major < 3) {
            return Err(ProtocolError::VersionTooOld { major });
        }
        if bytes.len() >= 32 {
            let mut name = bytes[12..32].to_vec();
            while name.last() == Some(&0) {
                name.pop();
            }
            if name != b"NULL" {
                return Err(ProtocolError::MechanismMismatch { mechanism: shown(&name) });
            }
        }
        if bytes.len() < 64 {
            return Ok(false);
        }
        let minor = if bytes[10] > 3 { 1 } else { bytes[11] };
        self.events.push(Event::Greeting { minor, as_server: bytes[32] != 0 });
        self.rest = &bytes[64..];
        self.stage = Stage::Opening;
        Ok(true)
    }

    fn frame(&mut self) -> Result<bool, ProtocolError> {
        let Some(&flags) = self.rest.first() else { return Ok(false) };
        let (more, long, command) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        if flags > 7 {
            return Err(ProtocolError::ReservedFlags { flags });
        }
        if more && command {
            return Err(ProtocolError::MoreOnCommand { flags });
        }
        if !command && self.stage != Stage::Traffic {
            return Err(ProtocolError::UnexpectedMessage { stage: self.stage });
        }
        let header = if long { 9 } else { 2 };
        if self.rest.len() < header {
            return Ok(false);
        }
        let length = self.rest[1..header].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        if length >> 63 != 0 {
            return Err(ProtocolError::LengthReserved { length });
        }
        let limit = self.limit(command);
        if length > limit {
            return Err(ProtocolError::FrameTooLarge { length, limit });
        }
        if length > (self.rest.len() - header) as u64 {
            return Ok(false);
        }
        let end = header + length as usize;
        let body = &self.rest[header..end];
        if command {
            self.command(body)?;
        } else {
            self.events.push(Event::Message { body: body.to_vec(), more });
        }
        self.rest = &self.rest[end..];
        Ok(true)
    }

    fn limit(&self, command: bool) -> u64 {
        let handshake = self.limits.handshake as u64;
        match (self.opened, command) {
            (true, true) => self.commands.unwrap_or(self.limits.message.max(handshake)),
            (true, false) => self.limits.message,
            (false, _) => handshake,
        }
    }

    fn command(&mut self, body: &[u8]) -> Result<(), ProtocolError> {
        let declared = body.first().map_or(0, |count| usize::from(*count));
        let available = body.len().saturating_sub(1);
        if declared == 0 || declared > available {
            return Err(ProtocolError::MalformedCommand { declared, available });
        }
        let (name, data) = body[1..].split_at(declared);
        let next = match (self.stage, name) {
            (Stage::Opening, b"READY") => Some(if admits(data) { Stage::Traffic } else { Stage::Joined }),
            (Stage::Opening | Stage::Joined | Stage::Traffic, b"ERROR") => Some(Stage::Ended),
            (_, b"READY") | (Stage::Opening | Stage::Ended | Stage::Greeting, _) => None,
            (stage, _) => Some(stage),
        };
        let stage = self.stage;
        let Some(next) = next else {
            return Err(ProtocolError::UnexpectedCommand { name: shown(name), stage });
        };
        self.events.push(Event::Command { name: name.to_vec(), body: data.to_vec() });
        self.stage = next;
        self.opened |= next == Stage::Traffic;
        Ok(())
    }
}

/// A peer's bytes as an error shows them.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let clipped = &bytes[..bytes.len().min(64)];
    clipped.iter().map(|byte| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '?' }).collect()
}

/// An event in its shortest wire form; nothing for a greeting.
#[must_use]
pub fn written(event: &Event) -> Vec<u8> {
    let (flags, body) = match event {
        Event::Greeting { .. } => return Vec::new(),
        Event::Message { body, more } => (u8::from(*more), body.clone()),
        Event::Command { name, body } => (4, [&[name.len() as u8][..], name, body].concat()),
    };
    let mut out = if body.len() < 256 { vec![flags, body.len() as u8] } else { vec![flags | 2] };
    if body.len() >= 256 {
        out.extend((body.len() as u64).to_be_bytes());
    }
    out.extend(body);
    out
}
