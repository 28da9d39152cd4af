//! The order in which a peer may send things, as one table.
//!
//! Knows stages and kinds of frame. Refuses to know bytes, limits and what a command carries.
//!
//! ```text
//!             64 bytes           READY           traffic() by the caller
//!   Greeting ---------> Opening -------> Joined --------------> Traffic
//!                          | ERROR          | ERROR                | ERROR
//!                          +----------------+----> Ended <---------+
//! ```
//!
//! The peer moves every arrow but one: only the caller opens the traffic, after it has decided
//! that this peer may join (type, admission, rings or not). Until then a message frame is an
//! error, so that no byte of an unadmitted peer can reach an application. *Joined* allows other
//! commands, because the ring upgrade is negotiated there.

use std::fmt;

/// Where one connection stands, seen from what the peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The peer's greeting is not complete.
    Greeting,
    /// Greeted; READY or ERROR must come next.
    Opening,
    /// READY came; commands may, messages may not.
    Joined,
    /// The caller has opened the traffic.
    Traffic,
    /// The peer sent ERROR; nothing may follow.
    Ended,
}

/// The kinds of frame that the table tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ready,
    Error,
    OtherCommand,
    Message,
}

/// Stage, frame, next stage. What is not listed is refused. Traffic stands first because it is
/// searched once per frame.
const TABLE: [(Stage, Kind, Stage); 7] = [
    (Stage::Traffic, Kind::Message, Stage::Traffic),
    (Stage::Traffic, Kind::OtherCommand, Stage::Traffic),
    (Stage::Traffic, Kind::Error, Stage::Ended),
    (Stage::Opening, Kind::Ready, Stage::Joined),
    (Stage::Opening, Kind::Error, Stage::Ended),
    (Stage::Joined, Kind::OtherCommand, Stage::Joined),
    (Stage::Joined, Kind::Error, Stage::Ended),
];

impl Stage {
    /// The stage after a frame of this kind, `None` when the frame is not allowed here.
    pub(crate) fn after(self, kind: Kind) -> Option<Self> {
        TABLE.iter().find(|(from, frame, _)| *from == self && *frame == kind).map(|(_, _, to)| *to)
    }
}

impl Kind {
    /// The kind of a command with this name; names are compared exactly.
    pub(crate) fn of_command(name: &[u8]) -> Self {
        match name {
            b"READY" => Self::Ready,
            b"ERROR" => Self::Error,
            _ => Self::OtherCommand,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Greeting => "greeting",
            Self::Opening => "opening",
            Self::Joined => "joined",
            Self::Traffic => "traffic",
            Self::Ended => "ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 5] = [Stage::Greeting, Stage::Opening, Stage::Joined, Stage::Traffic, Stage::Ended];

    #[test]
    fn a_message_is_allowed_in_traffic_only() {
        for stage in STAGES {
            let allowed = stage.after(Kind::Message).is_some();
            assert_eq!(allowed, stage == Stage::Traffic, "{stage}");
        }
    }

    #[test]
    fn ready_is_allowed_once() {
        for stage in STAGES {
            let allowed = stage.after(Kind::Ready).is_some();
            assert_eq!(allowed, stage == Stage::Opening, "{stage}");
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        for kind in [Kind::Ready, Kind::Error, Kind::OtherCommand, Kind::Message] {
            assert_eq!(Stage::Ended.after(kind), None);
        }
    }

    #[test]
    fn no_frame_of_the_peer_opens_the_traffic() {
        for (from, _, to) in TABLE {
            assert!(to != Stage::Traffic || from == Stage::Traffic);
        }
    }
}
