//! Frames: a flags byte and a length in front of every body.
//!
//! Knows the two length forms and the legal flags. Refuses to know stages, limits and what a body
//! means; the decoder asks those questions between the flags and the length.
//!
//! Lengths stay `u64` until a limit has approved them: no sum, no index and no allocation is ever
//! computed from a length that a peer merely claims.

use crate::error::ProtocolError;

const MORE: u8 = 0b001;
const LONG: u8 = 0b010;
const COMMAND: u8 = 0b100;
const RESERVED: u8 = !(MORE | LONG | COMMAND);

const SHORT_HEADER: usize = 2;
const LONG_HEADER: usize = 9;
const LENGTH_MAX: u64 = u64::MAX >> 1;

/// The largest header, which an unfinished frame may need beyond its body.
pub(crate) const HEADER_MAX: u64 = 9;

/// A flags byte that has been found legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// Refuses reserved bits and MORE on a command; libzmq lets both pass, we owe nobody that.
    pub(crate) fn parse(flags: u8) -> Result<Self, ProtocolError> {
        if flags & RESERVED != 0 {
            return Err(ProtocolError::ReservedFlags { flags });
        }
        if flags & COMMAND != 0 && flags & MORE != 0 {
            return Err(ProtocolError::MoreOnCommand { flags });
        }
        Ok(Self(flags))
    }

    pub(crate) fn is_command(self) -> bool {
        self.0 & COMMAND != 0
    }

    pub(crate) fn more(self) -> bool {
        self.0 & MORE != 0
    }

    /// Bytes before the body: flags and length.
    pub(crate) fn header_bytes(self) -> usize {
        if self.0 & LONG == 0 { SHORT_HEADER } else { LONG_HEADER }
    }

    /// The body length declared after the flags byte, `None` while it is not all there.
    /// The long form is taken for short bodies too: the RFC only advises against it.
    pub(crate) fn length(self, after_flags: &[u8]) -> Result<Option<u64>, ProtocolError> {
        if self.0 & LONG == 0 {
            return Ok(after_flags.first().map(|byte| u64::from(*byte)));
        }
        let Some(field) = after_flags.first_chunk() else {
            return Ok(None);
        };
        let length = u64::from_be_bytes(*field);
        if length > LENGTH_MAX {
            return Err(ProtocolError::LengthReserved { length });
        }
        Ok(Some(length))
    }
}

/// Append the header of a message frame whose body of `body_len` bytes the caller sends itself.
pub fn encode_message_frame(body_len: usize, more: bool, out: &mut Vec<u8>) {
    encode_header(if more { MORE } else { 0 }, body_len, out);
}

/// Append the header of a command frame. `body_len` is the final length, name included: the
/// choice of the long form must not be made on less.
pub(crate) fn encode_command_frame(body_len: usize, out: &mut Vec<u8>) {
    encode_header(COMMAND, body_len, out);
}

fn encode_header(flags: u8, body_len: usize, out: &mut Vec<u8>) {
    match u8::try_from(body_len) {
        Ok(short) => out.extend_from_slice(&[flags, short]),
        Err(_) => {
            out.push(flags | LONG);
            // usize has at most 64 bits on every platform Rust supports, so this widens.
            out.extend_from_slice(&(body_len as u64).to_be_bytes());
        }
    }
}
