//! Traffic: what a connection carries once its handshake is over.
//!
//! The handshake's decoder ([`crate::Inbound`]) copies what it takes; traffic is looked at where it was
//! received. This file knows one frame at a time, in a buffer of the caller's: its header, whether the
//! limits allow it, and what a command means. It refuses to know buffers, messages and time.

use crate::command::parse_command;
use crate::error::{ProtocolError, clip};
use crate::framing::{Flags, encode_command_frame};

/// Longest context of a PING (RFC 37).
pub const MAX_CONTEXT_BYTES: usize = 16;
/// Longest topic of a SUBSCRIBE or CANCEL; libzmq has no such limit and no option for one.
pub const MAX_TOPIC_BYTES: usize = 64 * 1024;
/// Most frames of one message; libzmq has no such limit and no option for one.
pub const MAX_PARTS: usize = 65_536;
/// Commands that mean nothing to us are ignored, but not without end.
pub const MAX_UNKNOWN: u32 = 1000;
/// Larger commands than this have no meaning here: the longest topic, its name and its length.
const MAX_COMMAND_BYTES: u64 = MAX_TOPIC_BYTES as u64 + 10;

/// What a frame's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of flags and length.
    pub header_bytes: usize,
    /// Bytes of the body that follow.
    pub body_bytes: usize,
    /// Further frames of the same message follow.
    pub more: bool,
    /// The body is a command's.
    pub command: bool,
}

impl Header {
    /// Read the header at the beginning of `bytes`; `None` while it is not all there. `limit_message`
    /// is the largest body of a message frame.
    ///
    /// # Errors
    /// Reserved flags, MORE on a command, a length above a limit.
    #[inline]
    pub fn parse(bytes: &[u8], limit_message: u64) -> Result<Option<Header>, ProtocolError> {
        // Most frames of most programs are short.
        if let &[flags @ (0 | 1), len, ..] = bytes
            && u64::from(len) <= limit_message
        {
            let (body_bytes, more) = (usize::from(len), flags == 1);
            return Ok(Some(Header { header_bytes: 2, body_bytes, more, command: false }));
        }
        Header::parse_any(bytes, limit_message)
    }

    fn parse_any(bytes: &[u8], limit_message: u64) -> Result<Option<Header>, ProtocolError> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
        let flags = Flags::parse(*first)?;
        let Some(length) = flags.length(rest)? else { return Ok(None) };
        let limit = if flags.is_command() { MAX_COMMAND_BYTES } else { limit_message };
        match usize::try_from(length) {
            Ok(body_bytes) if length <= limit => Ok(Some(Header {
                header_bytes: flags.header_bytes(),
                body_bytes,
                more: flags.more(),
                command: flags.is_command(),
            })),
            _ => Err(ProtocolError::FrameTooLarge { length, limit }),
        }
    }
}

/// What a command of the traffic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The peer wants what begins with this.
    Subscribe(&'a [u8]),
    /// It wants it no more.
    Cancel(&'a [u8]),
    /// To be answered with the same context.
    Ping {
        /// After so many tenths of a second without a sign of life the peer is to be given up; 0: never.
        ttl_deciseconds: u16,
        /// At most [`MAX_CONTEXT_BYTES`].
        context: &'a [u8],
    },
    /// The answer.
    Pong,
    /// The peer ends the connection and says why.
    Error(&'a [u8]),
    /// To be ignored, and counted.
    Unknown,
}

impl<'a> Command<'a> {
    /// Take the body of a command frame apart.
    ///
    /// # Errors
    /// A name that does not fit, a PING without its TTL, a topic above [`MAX_TOPIC_BYTES`], or a command that has
    /// no place in traffic.
    pub fn parse(body: &'a [u8]) -> Result<Command<'a>, ProtocolError> {
        let (name, data) = parse_command(body)?;
        match name {
            b"SUBSCRIBE" => topic(data).map(Command::Subscribe),
            b"CANCEL" => topic(data).map(Command::Cancel),
            b"PING" => {
                let (ttl, context) =
                    data.split_first_chunk().ok_or(ProtocolError::MalformedPing { size: data.len() })?;
                // libzmq cuts a longer one off; so do we.
                let context = context.get(..MAX_CONTEXT_BYTES).unwrap_or(context);
                Ok(Command::Ping { ttl_deciseconds: u16::from_be_bytes(*ttl), context })
            }
            b"PONG" => Ok(Command::Pong),
            b"ERROR" => Ok(Command::Error(data)),
            b"READY" => {
                Err(ProtocolError::UnexpectedCommand { name: clip(name), stage: crate::Stage::Traffic })
            }
            _ => Ok(Command::Unknown),
        }
    }
}

fn topic(data: &[u8]) -> Result<&[u8], ProtocolError> {
    if data.len() <= MAX_TOPIC_BYTES {
        return Ok(data);
    }
    let (length, limit) = (data.len() as u64, MAX_TOPIC_BYTES as u64);
    Err(ProtocolError::FrameTooLarge { length, limit })
}

/// Append a PING; `ttl_deciseconds` as in [`Command::Ping`].
pub fn encode_ping(ttl_deciseconds: u16, out: &mut Vec<u8>) {
    encode_named(b"PING", &ttl_deciseconds.to_be_bytes(), out);
}

/// Append the PONG that answers a PING of that context.
pub fn encode_pong(context: &[u8], out: &mut Vec<u8>) {
    encode_named(b"PONG", context, out);
}

/// Append a SUBSCRIBE (or, if not, a CANCEL) of `topic`.
pub fn encode_subscription(subscribe: bool, topic: &[u8], out: &mut Vec<u8>) {
    encode_named(if subscribe { b"SUBSCRIBE" } else { b"CANCEL" }, topic, out);
}

fn encode_named(name: &[u8], data: &[u8], out: &mut Vec<u8>) {
    encode_command_frame(1 + name.len() + data.len(), out);
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(data);
}
