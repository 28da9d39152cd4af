//! The incremental decoder of one connection: feed it bytes, take events.
//!
//! Knows how greeting, frames, commands and stages fit together, and holds the only buffer.
//! Refuses to know where bytes come from, what time it is, and what the events are for.
//!
//! Use: `feed` one read, then `next` until it says `None`, then read again. Bytes behind an event
//! stay in the buffer untouched, so a peer's READY and its first messages may share one read: call
//! `traffic` on the READY event, before the next `next`. A caller that cannot take more events for
//! now (admission pending, queue full) stops calling both; it never feeds without draining.
//!
//! Memory: the buffer grows with bytes that have arrived, never with a length that was declared.
//! Drained, it holds less than one frame within the limit; with one read on top that is its bound,
//! and `feed` enforces it against our own caller too.
//!
//! The first error is final: it is returned from then on, and later bytes are dropped.

use crate::command::parse_command;
use crate::error::{ProtocolError, clip};
use crate::framing::{Flags, HEADER_MAX};
use crate::greeting::{self, GREETING_BYTES};
use crate::state::{Kind, Stage};

/// An empty buffer above this capacity is given back, so that one large message does not stay
/// with an idle connection for ever.
const KEPT_CAPACITY: usize = 64 * 1024;

/// What a peer has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The greeting is complete and acceptable.
    Greeting {
        /// The peer's minor version; 1 if its major is above 3. Below 1 it knows no SUBSCRIBE.
        minor: u8,
        /// The as-server byte, of no meaning for NULL.
        as_server: bool,
    },
    /// A command that the stage allows; READY goes to [`crate::Ready::parse`], ERROR to
    /// [`crate::parse_error`].
    Command {
        /// The name, never empty.
        name: Vec<u8>,
        /// The data after the name.
        body: Vec<u8>,
    },
    /// One frame of a message.
    Message {
        /// The frame's bytes.
        body: Vec<u8>,
        /// Whether further frames of the same message follow.
        more: bool,
    },
}

/// Decoder of what one peer sends.
#[derive(Debug)]
pub struct Inbound {
    /// Bytes fed; those before `start` have been turned into events.
    buffer: Vec<u8>,
    start: usize,
    stage: Stage,
    /// Largest body of a command frame in force.
    limit_command: u64,
    /// Largest body of a message frame in force; no message passes before `traffic` sets it.
    limit_message: u64,
    failure: Option<ProtocolError>,
}

impl Inbound {
    /// A decoder that awaits a greeting. `limit_handshake_command` is the largest command body
    /// in bytes, name included, until [`Inbound::traffic`].
    #[must_use]
    pub fn new(limit_handshake_command: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            stage: Stage::Greeting,
            limit_command: limit_handshake_command as u64,
            limit_message: 0,
            failure: None,
        }
    }

    /// Take the bytes of one read. Feeding again while whole frames wait beyond the bound is the
    /// caller's bug and fails the connection with [`ProtocolError::Undrained`].
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let (held, limit) = (self.held(), self.limit_held());
        if held as u64 > limit {
            self.fail(ProtocolError::Undrained { held, limit });
            return;
        }
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, `None` when more bytes are needed.
    ///
    /// # Errors
    /// What the peer did wrong. The connection is over: the same error comes from now on.
    #[allow(
        clippy::should_implement_trait,
        reason = "not an iterator: None means feed me, and an error ends it"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, ProtocolError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let step = match self.stage {
            Stage::Greeting => self.next_greeting(),
            _ => self.next_frame(),
        };
        step.inspect_err(|failure| self.fail(failure.clone()))
    }

    /// Let messages through, each frame's body at most `limit_message` bytes (`u64::MAX` for no
    /// limit but the protocol's). Commands get the larger of that and the handshake's limit, so
    /// that a small message limit does not cut off a heartbeat.
    ///
    /// Returns false, and changes nothing, unless the peer's READY has been taken and nothing
    /// has ended the connection since. Calling it again in traffic changes the limit.
    pub fn traffic(&mut self, limit_message: u64) -> bool {
        if self.failure.is_some() || !matches!(self.stage, Stage::Joined | Stage::Traffic) {
            return false;
        }
        self.stage = Stage::Traffic;
        self.limit_message = limit_message;
        self.limit_command = self.limit_command.max(limit_message);
        true
    }

    /// Take what came behind the last event: the caller looks at it as traffic, where it lies.
    #[must_use]
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.pending().to_vec();
        self.clear();
        rest
    }

    /// Where the connection stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Bytes fed and not yet turned into events.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// What a drained decoder can hold at most: an unfinished greeting or an unfinished frame.
    fn limit_held(&self) -> u64 {
        let frame = self.limit_command.max(self.limit_message);
        frame.saturating_add(HEADER_MAX).max(GREETING_BYTES as u64)
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn next_greeting(&mut self) -> Result<Option<Event>, ProtocolError> {
        let Some(greeting) = greeting::parse(self.pending())? else {
            return Ok(None);
        };
        self.consume(GREETING_BYTES);
        self.stage = Stage::Opening;
        Ok(Some(Event::Greeting { minor: greeting.minor, as_server: greeting.as_server }))
    }

    /// Flags, then stage, then length, then limit: the first byte of a message that comes too
    /// early is enough to refuse it, and a length is looked at only by the comparison.
    fn next_frame(&mut self) -> Result<Option<Event>, ProtocolError> {
        let Some((first, after_flags)) = self.pending().split_first() else {
            return Ok(None);
        };
        let flags = Flags::parse(*first)?;
        if !flags.is_command() {
            self.stage_after(Kind::Message, &[])?;
        }
        let Some(length) = flags.length(after_flags)? else {
            return Ok(None);
        };
        let end = self.frame_end(flags, length)?;
        let Some(body) = self.pending().get(flags.header_bytes()..end) else {
            return Ok(None);
        };
        let (event, stage) = self.event(flags, body)?;
        self.stage = stage;
        self.consume(end);
        Ok(Some(event))
    }

    /// Where a frame ends, counted from its flags byte, once its length is within the limit.
    fn frame_end(&self, flags: Flags, length: u64) -> Result<usize, ProtocolError> {
        let limit = if flags.is_command() { self.limit_command } else { self.limit_message };
        let too_large = ProtocolError::FrameTooLarge { length, limit };
        if length > limit {
            return Err(too_large);
        }
        // A body that this machine's addresses cannot count is too large whatever the limit says.
        usize::try_from(length).ok().and_then(|body| body.checked_add(flags.header_bytes())).ok_or(too_large)
    }

    /// What a complete body means here, and the stage it leads to.
    fn event(&self, flags: Flags, body: &[u8]) -> Result<(Event, Stage), ProtocolError> {
        if !flags.is_command() {
            let stage = self.stage_after(Kind::Message, &[])?;
            let (body, more) = (body.to_vec(), flags.more());
            return Ok((Event::Message { body, more }, stage));
        }
        let (name, data) = parse_command(body)?;
        let stage = self.stage_after(Kind::of_command(name), name)?;
        let (name, body) = (name.to_vec(), data.to_vec());
        Ok((Event::Command { name, body }, stage))
    }

    fn stage_after(&self, kind: Kind, name: &[u8]) -> Result<Stage, ProtocolError> {
        let stage = self.stage;
        stage.after(kind).ok_or_else(|| match kind {
            Kind::Message => ProtocolError::UnexpectedMessage { stage },
            _ => ProtocolError::UnexpectedCommand { name: clip(name), stage },
        })
    }

    fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.buffer.len());
        if self.start == self.buffer.len() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.start = 0;
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_CAPACITY {
            self.buffer = Vec::new();
        }
    }

    /// Remember the error and free what the peer had sent.
    fn fail(&mut self, failure: ProtocolError) {
        self.failure = Some(failure);
        self.start = 0;
        self.buffer = Vec::new();
    }
}
