//! Counters of one socket: plain numbers under the socket's lock, read as a snapshot. What LINGER drops is counted on
//! after that, also in the snapshot: a socket is closed before its LINGER is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a message was dropped that was accepted or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// An accepted peer died or left without reading it (RFC 28, RFC 30).
    PeerGone,
    /// ROUTER or REP: no such peer now.
    Unroutable,
    /// LINGER ended before a peer was there.
    Linger,
    /// It did not have the shape that the socket type needs, or came from the wrong peer.
    Malformed,
    /// PUB, XPUB or XSUB: that peer's high-water marks were reached (RFC 29).
    HighWater,
    /// XPUB: nobody received the subscriptions that were announced.
    Notification,
    /// OVERFLOW or CONFLATE: the program asked for newer messages instead.
    Overflow,
    /// No memory: for that subscriber's ring or copy, for the rest of a received message, for what a peer left behind.
    NoMemory,
    /// SUB: it was on its way when its topic was cancelled.
    Cancelled,
}

impl Discard {
    pub const ALL: [(Discard, &'static str); 9] = [
        (Discard::PeerGone, "peer_gone"),
        (Discard::Unroutable, "unroutable"),
        (Discard::Linger, "linger"),
        (Discard::Malformed, "malformed"),
        (Discard::HighWater, "high_water"),
        (Discard::Notification, "notification"),
        (Discard::Overflow, "overflow"),
        (Discard::NoMemory, "no_memory"),
        (Discard::Cancelled, "cancelled"),
    ];
}

#[derive(Debug, Clone, Default)]
pub struct Stats {
    pub messages_sent: u64,
    pub bytes_sent: u64,
    pub messages_received: u64,
    pub bytes_received: u64,
    /// Times a call went to sleep on the doorbell.
    pub sleeps: u64,
    /// Doorbells rung for peers.
    pub wakeups: u64,
    /// Waits that ended while spinning, and spins that ended without.
    pub spins_won: u64,
    pub spins_lost: u64,
    /// Times a full ring was left for a larger one.
    pub rings_grown: u64,
    /// Messages handed to a new peer after the one they were sent to was gone.
    pub redelivered: u64,
    /// Frames that were copied out although the receiver wanted them where they were: it held too many.
    pub loans_copied: u64,
    /// Now: bytes of the arena, blocks of it that peers have, received blocks that are held here; and
    /// the times the arena grew.
    pub arena_bytes: u64,
    pub arena_lent: u64,
    pub arena_grown: u64,
    pub loans: u64,
    discarded: [u64; Discard::ALL.len()],
    /// Those of `Discard::Linger`.
    lingered: Arc<AtomicU64>,
    /// Connections that ended because the peer broke the protocol, and handshakes that failed.
    pub protocol_errors: u64,
    /// Commands of peers that mean nothing here.
    pub unknown_commands: u64,
    pub handshakes_failed: u64,
    pub connected: u64,
    /// Of these, connections of this host that went on without rings.
    pub connected_without_rings: u64,
    pub disconnected: u64,
    /// Events that a monitor had no room for.
    pub events_dropped: u64,
}

impl Stats {
    pub fn discard(&mut self, reason: Discard, messages: u64) {
        match reason {
            // A counter, which orders nothing.
            Discard::Linger => drop(self.lingered.fetch_add(messages, Ordering::Relaxed)),
            _ => self.discarded[reason as usize] += messages,
        }
    }

    pub fn discarded(&self, reason: Discard) -> u64 {
        match reason {
            Discard::Linger => self.lingered.load(Ordering::Relaxed),
            _ => self.discarded[reason as usize],
        }
    }

    /// Name and value of every counter.
    pub fn rows(&self) -> Vec<(String, u64)> {
        let mut rows: Vec<(String, u64)> = [
            ("messages_sent", self.messages_sent),
            ("bytes_sent", self.bytes_sent),
            ("messages_received", self.messages_received),
            ("bytes_received", self.bytes_received),
            ("sleeps", self.sleeps),
            ("wakeups", self.wakeups),
            ("spins_won", self.spins_won),
            ("spins_lost", self.spins_lost),
            ("rings_grown", self.rings_grown),
            ("redelivered", self.redelivered),
            ("loans", self.loans),
            ("loans_copied", self.loans_copied),
            ("arena_bytes", self.arena_bytes),
            ("arena_lent", self.arena_lent),
            ("arena_grown", self.arena_grown),
            ("protocol_errors", self.protocol_errors),
            ("unknown_commands", self.unknown_commands),
            ("handshakes_failed", self.handshakes_failed),
            ("connected", self.connected),
            ("connected_without_rings", self.connected_without_rings),
            ("disconnected", self.disconnected),
            ("events_dropped", self.events_dropped),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        for (reason, name) in Discard::ALL {
            rows.push((format!("discarded_{name}"), self.discarded(reason)));
        }
        rows
    }
}
