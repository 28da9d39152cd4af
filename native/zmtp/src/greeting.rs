//! The greeting: the 64 bytes each side sends first.
//!
//! Knows its layout and what we demand of the peer's. Refuses to know what follows it.
//!
//! ```text
//!  0      1..8     9     10     11     12..31      32         33..63
//!  FF     padding  7F    major  minor  mechanism   as-server  filler
//! ```
//!
//! Each byte is judged as soon as it is there, in order: a stranger on the port is turned away by
//! its first byte and never needs to send 64. Because the order is that of the bytes, the verdict
//! does not depend on how they were split. Padding is not looked at: libzmq puts a length there.

use crate::error::{ProtocolError, clip};

/// Size of a greeting in bytes, the same in both directions.
pub const GREETING_BYTES: usize = 64;

/// The minor version this side announces: 3.1.
pub const MINOR: u8 = 1;

const MAJOR: u8 = 3;
const SIGNATURE_FIRST: u8 = 0xFF;
const SIGNATURE_LAST: u8 = 0x7F;
const SIGNATURE_LAST_AT: usize = 9;
const MAJOR_AT: usize = 10;
const MINOR_AT: usize = 11;
const MECHANISM_AT: usize = 12;
const MECHANISM_END: usize = 32;
const AS_SERVER_AT: usize = MECHANISM_END;
const NULL_MECHANISM: &[u8; 20] = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What a valid greeting of a peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// The peer's minor; [`MINOR`] for a major above 3, whose own minor means nothing to us.
    pub(crate) minor: u8,
    /// The as-server byte, which NULL ignores.
    pub(crate) as_server: bool,
}

/// Our greeting: version 3.1, mechanism NULL, as-server 0. Send it whole and at once.
#[must_use]
pub fn greeting() -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[0] = SIGNATURE_FIRST;
    bytes[SIGNATURE_LAST_AT] = SIGNATURE_LAST;
    bytes[MAJOR_AT] = MAJOR;
    bytes[MINOR_AT] = MINOR;
    for (to, from) in bytes.iter_mut().skip(MECHANISM_AT).zip(NULL_MECHANISM) {
        *to = *from;
    }
    bytes
}

/// Judge the bytes so far: an error as early as possible, `None` while all is well but unfinished.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Greeting>, ProtocolError> {
    check_signature(bytes)?;
    check_mechanism(bytes)?;
    if bytes.len() < GREETING_BYTES {
        return Ok(None);
    }
    let (Some(&major), Some(&minor), Some(&as_server)) =
        (bytes.get(MAJOR_AT), bytes.get(MINOR_AT), bytes.get(AS_SERVER_AT))
    else {
        return Ok(None);
    };
    Ok(Some(Greeting { minor: if major > MAJOR { MINOR } else { minor }, as_server: as_server != 0 }))
}

fn check_signature(bytes: &[u8]) -> Result<(), ProtocolError> {
    match bytes.first() {
        Some(&byte) if byte != SIGNATURE_FIRST => return Err(ProtocolError::NotZmtp { byte }),
        _ => {}
    }
    match bytes.get(SIGNATURE_LAST_AT) {
        Some(&byte) if byte & 1 == 0 => return Err(ProtocolError::NotVersioned { byte }),
        _ => {}
    }
    match bytes.get(MAJOR_AT) {
        Some(&major) if major < MAJOR => Err(ProtocolError::VersionTooOld { major }),
        _ => Ok(()),
    }
}

/// All twenty bytes must match: a name with something behind its zeros is another name.
fn check_mechanism(bytes: &[u8]) -> Result<(), ProtocolError> {
    match bytes.get(MECHANISM_AT..MECHANISM_END) {
        Some(field) if field != NULL_MECHANISM => {
            let end = field.iter().rposition(|byte| *byte != 0);
            let name = field.get(..end.map_or(0, |last| last + 1));
            Err(ProtocolError::MechanismMismatch { mechanism: clip(name.unwrap_or(field)) })
        }
        _ => Ok(()),
    }
}
