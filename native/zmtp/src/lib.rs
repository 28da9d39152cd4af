//! ZMTP 3.1 with the NULL mechanism, without I/O: bytes in, events out.
//!
//! Knows the wire: greeting, frames, commands, metadata, and the order in which a peer may send
//! them. Refuses to know sockets, clocks, file descriptors, threads and routing; the caller moves
//! the bytes, keeps the deadlines and ends the connection on the first [`ProtocolError`].
//!
//! | file | noun |
//! |---|---|
//! | `greeting` | the first 64 bytes, ours and the peer's |
//! | `framing` | flags and length in front of every body |
//! | `command` | a name and its data inside a command frame; ERROR |
//! | `properties` | the metadata list that READY carries |
//! | `ready` | READY and the rules for the two properties we act on |
//! | `socket_type` | numbers, wire names, who may talk to whom |
//! | `state` | which frame is legal when, as a table |
//! | `inbound` | the incremental decoder of one connection |
//! | `traffic` | one frame behind the handshake: header, limits, what a command means |
//! | `error` | every way a peer can break the rules |
//!
//! There is no `mechanism/` yet: NULL is READY and ERROR and nothing else, so its whole sequence
//! is the table in `state`. A second mechanism is what would make the directory worth having.
//!
//! Sources: RFC 37 (ZMTP 3.1), RFC 23 (ZMTP 3.0), <https://rfc.zeromq.org>; where libzmq 4.3.5 differs
//! from them, the rule that follows it says so.

#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod command;
mod error;
mod framing;
mod greeting;
mod inbound;
mod properties;
mod ready;
mod socket_type;
mod state;
mod traffic;

pub use command::{encode_command, encode_error, parse_error};
pub use error::ProtocolError;
pub use framing::encode_message_frame;
pub use greeting::{GREETING_BYTES, MINOR, greeting};
pub use inbound::{Event, Inbound};
pub use properties::{MAX_METADATA_BYTES, MAX_PROPERTIES, Properties};
pub use ready::{MAX_IDENTITY_BYTES, Ready, encode_ready};
pub use socket_type::SocketType;
pub use state::Stage;
pub use traffic::{
    Command, Header, MAX_CONTEXT_BYTES, MAX_PARTS, MAX_TOPIC_BYTES, MAX_UNKNOWN, encode_ping, encode_pong,
    encode_subscription,
};
