//! Socket types: their numbers, their names on the wire, and who may talk to whom.
//!
//! Knows one table. Refuses to know how any type routes its messages.

use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Stream, Sub, XPub, XSub};

/// A socket type, numbered as in libzmq's `zmq.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SocketType {
    /// One peer, both directions.
    Pair = 0,
    /// Sends to every subscriber.
    Pub = 1,
    /// Receives what it subscribed to.
    Sub = 2,
    /// Asks, then waits for the answer.
    Req = 3,
    /// Answers what it was asked.
    Rep = 4,
    /// Asks without waiting.
    Dealer = 5,
    /// Answers by address.
    Router = 6,
    /// Takes work.
    Pull = 7,
    /// Hands out work.
    Push = 8,
    /// PUB that sees its subscriptions.
    XPub = 9,
    /// SUB that writes its subscriptions.
    XSub = 10,
    /// Raw TCP; it has a name but never speaks ZMTP.
    Stream = 11,
}

/// One line of the table: type, wire name, legal peers (RFC 23 and 37, RFC 28 to 31).
type Row = (SocketType, &'static str, &'static [SocketType]);

/// In the order of the numbers, so that a number is an index; a test holds it to that.
const TABLE: [Row; 12] = [
    (Pair, "PAIR", &[Pair]),
    (Pub, "PUB", &[Sub, XSub]),
    (Sub, "SUB", &[Pub, XPub]),
    (Req, "REQ", &[Rep, Router]),
    (Rep, "REP", &[Req, Dealer]),
    (Dealer, "DEALER", &[Rep, Dealer, Router]),
    (Router, "ROUTER", &[Req, Dealer, Router]),
    (Pull, "PULL", &[Push]),
    (Push, "PUSH", &[Pull]),
    (XPub, "XPUB", &[Sub, XSub]),
    (XSub, "XSUB", &[Pub, XPub]),
    (Stream, "STREAM", &[]),
];

impl SocketType {
    /// The type with libzmq's number, `None` for one we do not have.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?;
        TABLE.get(index).map(|(kind, _, _)| *kind)
    }

    /// libzmq's number.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// The name that READY carries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row().1
    }

    /// The type of that wire name; names are compared exactly, as libzmq does.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        TABLE.iter().find(|(_, known, _)| known.as_bytes() == name).map(|(kind, _, _)| *kind)
    }

    /// Whether a connection between the two makes sense; the relation is symmetric.
    #[must_use]
    pub fn may_talk_to(self, other: Self) -> bool {
        self.row().2.contains(&other)
    }

    /// Whether READY from this type carries an identity that counts.
    pub(crate) fn announces_identity(self) -> bool {
        matches!(self, Req | Dealer | Router)
    }

    #[allow(
        clippy::indexing_slicing,
        reason = "the index is our own enum's number, never a peer's; a test visits every row"
    )]
    fn row(self) -> &'static Row {
        &TABLE[usize::from(self as u8)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_libzmq_numbers() {
        for (index, (kind, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(*kind as u8), index);
            assert_eq!(kind.name(), *name);
            assert_eq!(SocketType::from_number(kind.number()), Some(*kind));
            assert_eq!(SocketType::from_name(name.as_bytes()), Some(*kind));
        }
    }

    #[test]
    fn numbers_and_names_that_are_not_ours_have_no_type() {
        for number in [-1, 12, i32::MIN, i32::MAX] {
            assert_eq!(SocketType::from_number(number), None);
        }
        for name in [&b""[..], b"req", b"REQ ", b"SERVER"] {
            assert_eq!(SocketType::from_name(name), None);
        }
    }

    #[test]
    fn who_may_talk_to_whom_is_symmetric() {
        for (one, _, _) in TABLE {
            for (other, _, _) in TABLE {
                assert_eq!(one.may_talk_to(other), other.may_talk_to(one));
            }
        }
    }

    #[test]
    fn the_legal_pairs_are_those_of_the_rfcs_and_no_more() {
        let mut legal = Vec::new();
        for (one, _, _) in TABLE {
            for (other, _, _) in TABLE {
                if one.may_talk_to(other) && one.number() <= other.number() {
                    legal.push(format!("{}-{}", one.name(), other.name()));
                }
            }
        }
        let expected = "PAIR-PAIR PUB-SUB PUB-XSUB SUB-XPUB REQ-REP REQ-ROUTER REP-DEALER \
                        DEALER-DEALER DEALER-ROUTER ROUTER-ROUTER PULL-PUSH XPUB-XSUB";
        assert_eq!(legal.join(" "), expected);
    }
}
