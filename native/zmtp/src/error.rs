//! Every way a peer can break ZMTP, each with the operand that shows it.
//!
//! Knows the texts and libzmq's numbers for them. Refuses to know what happens next: whether to
//! send ERROR, close, or try again later is the caller's decision.
//!
//! One error ends one connection. Text taken from the peer is clipped and made printable here,
//! so that an error can go to a log or a monitor as it is.

use crate::{SocketType, Stage};

/// How much of a peer's text an error repeats, in bytes.
const CLIP: usize = 64;

// libzmq's values of ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL (zmq.h, 4.3), which pyzmq programs compare.
const UNSPECIFIED: u32 = 0x1000_0000;
const UNEXPECTED_COMMAND: u32 = 0x1000_0001;
const MALFORMED_ERROR: u32 = 0x1000_0015;
const INVALID_METADATA: u32 = 0x1000_0018;
const MECHANISM_MISMATCH: u32 = 0x1100_0002;

/// What broke the protocol. The set is closed: a match over it is checked by the compiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first byte is not that of a ZMTP greeting: a stranger, or ZMTP 1.
    #[error("first byte is 0x{byte:02x}, not the 0xff of a ZMTP greeting")]
    NotZmtp {
        /// The byte at offset 0.
        byte: u8,
    },
    /// Byte 9 has bit 0 clear, so the ten bytes are a ZMTP 1 frame header.
    #[error("greeting byte 9 is 0x{byte:02x} with bit 0 clear: the peer speaks ZMTP 1")]
    NotVersioned {
        /// The byte at offset 9.
        byte: u8,
    },
    /// The peer's major version is below 3. No older protocol is spoken here, on purpose.
    #[error("peer speaks ZMTP major version {major}, at least 3 is needed")]
    VersionTooOld {
        /// The byte at offset 10.
        major: u8,
    },
    /// The peer wants another security mechanism than NULL.
    #[error("peer asks for mechanism {mechanism:?}, this side speaks NULL")]
    MechanismMismatch {
        /// The peer's mechanism, printable.
        mechanism: String,
    },
    /// A frame sets flag bits that the protocol reserves.
    #[error("frame flags 0x{flags:02x} set reserved bits")]
    ReservedFlags {
        /// The whole flags byte.
        flags: u8,
    },
    /// A command frame claims to have a continuation.
    #[error("frame flags 0x{flags:02x} set MORE on a command")]
    MoreOnCommand {
        /// The whole flags byte.
        flags: u8,
    },
    /// A long length has its top bit set, which the protocol forbids.
    #[error("frame length {length} is above 2^63-1")]
    LengthReserved {
        /// The length as declared.
        length: u64,
    },
    /// A frame is larger than this side accepts in the present stage.
    #[error("frame length {length} is above the limit of {limit} bytes")]
    FrameTooLarge {
        /// The length as declared.
        length: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A message frame came before the caller opened the traffic.
    #[error("message frame in stage {stage}")]
    UnexpectedMessage {
        /// Where the connection stood.
        stage: Stage,
    },
    /// A command came that the stage does not allow.
    #[error("command {name:?} in stage {stage}")]
    UnexpectedCommand {
        /// The command's name, printable.
        name: String,
        /// Where the connection stood.
        stage: Stage,
    },
    /// A command's name is empty or longer than its frame.
    #[error("command name of {declared} bytes with {available} bytes left in the frame")]
    MalformedCommand {
        /// Name length as declared; 0 as well for a frame with no byte at all.
        declared: usize,
        /// Bytes that follow the length byte.
        available: usize,
    },
    /// A PING without its time to live.
    #[error("PING with {size} bytes of data, at least 2 are needed")]
    MalformedPing {
        /// Bytes after its name.
        size: usize,
    },
    /// An ERROR command's reason does not fill the command exactly.
    #[error("ERROR reason of {declared} bytes with {available} bytes left in the command")]
    MalformedError {
        /// Reason length as declared; 0 as well for a body with no byte at all.
        declared: usize,
        /// Bytes that follow the length byte.
        available: usize,
    },
    /// Metadata as a whole is over [`crate::MAX_METADATA_BYTES`].
    #[error("metadata of {size} bytes is above the limit of {limit}")]
    MetadataTooLarge {
        /// Size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Metadata has more than [`crate::MAX_PROPERTIES`] entries.
    #[error("metadata has more than {limit} properties")]
    TooManyProperties {
        /// The limit.
        limit: usize,
    },
    /// A property name is empty or over 255 bytes.
    #[error("property name of {length} bytes, 1 to 255 are allowed")]
    PropertyNameLength {
        /// Length in bytes.
        length: usize,
    },
    /// A property value is longer than 2^31-1 bytes.
    #[error("property value of {length} bytes is above 2^31-1")]
    PropertyValueLength {
        /// Length in bytes.
        length: u64,
    },
    /// Metadata ends inside a property, or bytes trail the last one.
    #[error("property needs {needed} bytes, {available} are left in the metadata")]
    PropertyTruncated {
        /// Bytes that the next field needs.
        needed: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// Two properties have the same name (case does not count): which one holds is undefined.
    #[error("property {name:?} appears twice")]
    DuplicateProperty {
        /// The name, printable.
        name: String,
    },
    /// Socket-Type names a type that this side does not know.
    #[error("unknown Socket-Type {name:?}")]
    UnknownSocketType {
        /// The value, printable.
        name: String,
    },
    /// The two socket types have nothing to say to each other.
    #[error("{} cannot talk to {}", ours.name(), theirs.name())]
    IncompatibleType {
        /// This side's type.
        ours: SocketType,
        /// The peer's type.
        theirs: SocketType,
    },
    /// An identity is over 255 bytes.
    #[error("identity of {length} bytes is above 255")]
    IdentityTooLong {
        /// Length in bytes.
        length: usize,
    },
    /// An identity begins with a zero byte, which belongs to generated ids.
    #[error("identity of {length} bytes begins with the reserved byte 0")]
    IdentityReserved {
        /// Length in bytes.
        length: usize,
    },
    /// Our own mistake, not the peer's: bytes were fed while whole frames waited to be taken.
    #[error("fed with {held} bytes unread, above the limit of {limit}: our bug, please report it")]
    Undrained {
        /// Unread bytes held when more came.
        held: usize,
        /// What one unfinished frame may take.
        limit: u64,
    },
}

impl ProtocolError {
    /// libzmq's `ZMQ_PROTOCOL_ERROR_ZMTP_*` number for monitor events; `None` when the peer is
    /// not to blame. Numbers are coarser than our errors: several share one.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        use ProtocolError as E;
        match self {
            E::NotZmtp { .. }
            | E::NotVersioned { .. }
            | E::VersionTooOld { .. }
            | E::ReservedFlags { .. }
            | E::MoreOnCommand { .. }
            | E::LengthReserved { .. }
            | E::FrameTooLarge { .. } => Some(UNSPECIFIED),
            E::MechanismMismatch { .. } => Some(MECHANISM_MISMATCH),
            // A command without a name is to libzmq's NULL handshake one that is not READY.
            E::UnexpectedMessage { .. } | E::UnexpectedCommand { .. } | E::MalformedCommand { .. } => {
                Some(UNEXPECTED_COMMAND)
            }
            E::MalformedPing { .. } => Some(UNSPECIFIED),
            E::MalformedError { .. } => Some(MALFORMED_ERROR),
            E::MetadataTooLarge { .. }
            | E::TooManyProperties { .. }
            | E::PropertyNameLength { .. }
            | E::PropertyValueLength { .. }
            | E::PropertyTruncated { .. }
            | E::DuplicateProperty { .. }
            | E::UnknownSocketType { .. }
            | E::IncompatibleType { .. }
            | E::IdentityTooLong { .. }
            | E::IdentityReserved { .. } => Some(INVALID_METADATA),
            E::Undrained { .. } => None,
        }
    }
}

/// The character, or `?` where a terminal or a log might act upon it: all but printable ASCII.
pub(crate) fn printable(character: char) -> char {
    if character == ' ' || character.is_ascii_graphic() { character } else { '?' }
}

/// A peer's bytes as text for an error: printable, and no longer than `CLIP` bytes.
pub(crate) fn clip(bytes: &[u8]) -> String {
    bytes.iter().take(CLIP).map(|byte| printable(char::from(*byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_peer_is_clipped_and_printable() {
        assert_eq!(clip(b"A\x1b[2J\n\xff"), "A?[2J??");
        assert_eq!(clip(&[b'x'; 5000]).len(), CLIP);
    }

    #[test]
    fn messages_carry_their_operand() {
        let error = ProtocolError::FrameTooLarge { length: 9000, limit: 8192 };
        assert_eq!(error.to_string(), "frame length 9000 is above the limit of 8192 bytes");
    }

    #[test]
    fn only_our_own_bug_has_no_libzmq_number() {
        assert_eq!(ProtocolError::Undrained { held: 1, limit: 0 }.code(), None);
        assert_eq!(ProtocolError::NotZmtp { byte: 0 }.code(), Some(0x1000_0000));
    }
}
