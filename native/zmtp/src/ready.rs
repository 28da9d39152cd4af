//! READY: what a peer says about itself once the greeting is done.
//!
//! Knows the two properties that every connection acts on, Socket-Type and Identity, and the rules
//! for them. Refuses to know the others (Resource, X-SHM, a user's own): they stay in the list for
//! whoever asks.

use crate::command::encode_command;
use crate::error::{ProtocolError, clip};
use crate::properties::{Properties, encode_property};
use crate::socket_type::SocketType;

/// The longest identity a peer may choose, in bytes.
pub const MAX_IDENTITY_BYTES: usize = 255;

/// A peer's READY, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The peer's type; `None` when it did not say, which libzmq accepts and so do we.
    pub socket_type: Option<SocketType>,
    /// The peer's chosen identity; empty when it has none or its type has no use for one.
    pub identity: Vec<u8>,
    /// Everything it sent, the two above included.
    pub properties: Properties,
}

impl Ready {
    /// Read the data of a READY command (the part after its name).
    ///
    /// # Errors
    /// Metadata that is broken or over its limits, an unknown Socket-Type, or an identity that
    /// is too long or begins with the zero byte reserved for generated ids.
    pub fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let properties = Properties::parse(body)?;
        let socket_type = properties.get("Socket-Type").map(parse_socket_type).transpose()?;
        let identity = match socket_type {
            Some(kind) if kind.announces_identity() => properties.get("Identity"),
            _ => None,
        };
        Ok(Self { socket_type, identity: check_identity(identity.unwrap_or_default())?.to_vec(), properties })
    }

    /// Whether this peer may join a socket of type `ours`; one that gave no type may.
    ///
    /// # Errors
    /// [`ProtocolError::IncompatibleType`] naming both types.
    pub fn check_peer_of(&self, ours: SocketType) -> Result<(), ProtocolError> {
        match self.socket_type {
            Some(theirs) if !ours.may_talk_to(theirs) => {
                Err(ProtocolError::IncompatibleType { ours, theirs })
            }
            _ => Ok(()),
        }
    }
}

/// Append a whole READY command frame with these properties, in this order and case.
///
/// Send Socket-Type always, and Identity from REQ, DEALER and ROUTER even when empty, as libzmq
/// does; write both names exactly so, because libzmq compares case. A property with an empty name,
/// a name above 255 bytes or a value above 2^31-1 is left out.
pub fn encode_ready(properties: &[(&str, &[u8])], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in properties {
        encode_property(name.as_bytes(), value, &mut body);
    }
    encode_command("READY", &body, out);
}

fn parse_socket_type(value: &[u8]) -> Result<SocketType, ProtocolError> {
    SocketType::from_name(value).ok_or_else(|| ProtocolError::UnknownSocketType { name: clip(value) })
}

fn check_identity(identity: &[u8]) -> Result<&[u8], ProtocolError> {
    let length = identity.len();
    if length > MAX_IDENTITY_BYTES {
        return Err(ProtocolError::IdentityTooLong { length });
    }
    if identity.first() == Some(&0) {
        return Err(ProtocolError::IdentityReserved { length });
    }
    Ok(identity)
}
