//! Commands: a short name and its data inside a command frame. ERROR, the one with no metadata.
//!
//! Knows how a name and a reason are packed. Refuses to know which command is legal when, and
//! what any data but ERROR's means.
//!
//! The name is counted by one byte. RFC 37's prose speaks of a null separator; its grammar and
//! every implementation count.

use crate::error::{ProtocolError, printable};
use crate::framing::encode_command_frame;

/// The longest reason one length byte can count.
const REASON_MAX: usize = 255;

/// Append a whole command frame, short or long as its size asks.
///
/// Names are constants of the caller: one that the wire cannot carry (empty or above 255 bytes)
/// appends nothing rather than a frame that means something else.
pub fn encode_command(name: &str, body: &[u8], out: &mut Vec<u8>) {
    let (Ok(name_len), false) = (u8::try_from(name.len()), name.is_empty()) else {
        return;
    };
    encode_command_frame(1 + name.len() + body.len(), out);
    out.push(name_len);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(body);
}

/// Append an ERROR command. The reason is cut at 255 characters, and whatever is not printable ASCII
/// becomes `?`. Spaces stay, though the RFC's grammar has none: reasons are read by people.
pub fn encode_error(reason: &str, out: &mut Vec<u8>) {
    let text: String = reason.chars().take(REASON_MAX).map(printable).collect();
    let mut body = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    body.extend_from_slice(text.as_bytes());
    encode_command("ERROR", &body, out);
}

/// The reason in an ERROR command's data (the part after the name), made printable: what is not
/// printable ASCII becomes `?`, so that the text can go to a log as it is.
///
/// # Errors
/// [`ProtocolError::MalformedError`] unless the reason fills the data exactly.
pub fn parse_error(body: &[u8]) -> Result<String, ProtocolError> {
    let (declared, reason) = counted(body);
    if body.is_empty() || declared != reason.len() {
        return Err(ProtocolError::MalformedError { declared, available: reason.len() });
    }
    Ok(reason.iter().map(|byte| printable(char::from(*byte))).collect())
}

/// Split a command frame's body into name and data.
pub(crate) fn parse_command(body: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    let (declared, rest) = counted(body);
    match rest.split_at_checked(declared) {
        Some((name, data)) if !name.is_empty() => Ok((name, data)),
        _ => Err(ProtocolError::MalformedCommand { declared, available: rest.len() }),
    }
}

/// A leading length byte and what follows it; zero and nothing for no bytes.
fn counted(bytes: &[u8]) -> (usize, &[u8]) {
    match bytes.split_first() {
        Some((count, rest)) => (usize::from(*count), rest),
        None => (0, &[]),
    }
}
