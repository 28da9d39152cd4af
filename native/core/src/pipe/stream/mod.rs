//! A pipe whose peer is behind a byte stream: tcp, or ipc without rings.
//!
//! **Theory of operation.** Both queues hold ZMTP's wire format. A send encodes its frames, under the lock of
//! the outgoing queue, behind those that wait; a large frame waits by reference. The engine (engine.rs, in the
//! I/O thread) writes what has gathered with one system call, and meanwhile more gathers: the faster the
//! program, the larger the batches. What finds the stream at rest, and has not just been followed by
//! more, is written by the caller itself: a lone message needs no other thread. If much has gathered before the engine
//! comes, the caller writes that as well, and an engine that found a program streaming looks by a timer for a while:
//! where both share a CPU, a wake-up for each batch costs more than the batch.
//!
//! The engine reads into a buffer, finds out where messages end, and queues the buffer itself; a receive takes
//! its frames out of that. A large frame is read into memory of its own, which is what the receiver gets.
//!
//! **Who owns what.** Each queue has a lock of its own that is held for an attempt and across a system call only by
//! the one caller who writes at rest. `Outbound::engine_writes` says whose turn writing is: false, nothing
//! waits (or the caller under the lock is at it); true, the engine comes and writes until nothing waits. Whoever writes
//! without the lock, the engine or a caller in its place, takes the wire's pieces out meanwhile (S-1).
//!
//! **What an end leaves behind.** A message of which not every byte was taken by the kernel goes to the next
//! connection, from its beginning: no peer hands out half a message. What the kernel took is gone with the
//! connection, as with libzmq.

mod inbound;
mod intake;
mod outbound;
mod turn;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::channel::Channel;
use crate::lock::AttemptLock;
use crate::origin::Origin;
use crate::pipe::ring::Limits;
use crate::reactor::SessionHandle;
use crate::signaler::Signaler;

pub use inbound::{InPiece, Inbound, Run, StreamIn};
pub use intake::{Came, Intake, Signs};
pub use outbound::{Outbound, StreamOut, Wrote};
pub use turn::{Caught, TICK};

/// A socket and the slot by which it knows the pipe.
pub type End = (Arc<Signaler>, usize);

/// What both sides have of one connection.
pub struct Stream {
    pub out: AttemptLock<Outbound>,
    pub input: AttemptLock<Inbound>,
    /// Of whoever reads; taken before the two queues' locks.
    pub intake: AttemptLock<Intake>,
    /// Something came, or nothing will any more; a hint for spinning only.
    filled: AtomicBool,
    /// Something came since the engine looked last; a hint: the peer answers.
    heard: AtomicBool,
    session: SessionHandle,
}

/// What the two ends of a new stream must know.
pub struct Terms {
    pub channel: Arc<Channel>,
    pub session: SessionHandle,
    pub owner: End,
    pub limits: Limits,
    pub rcvhwm: i64,
    /// What it sends is subscriptions, and they go as commands: the peer speaks ZMTP 3.1.
    pub commands: bool,
    /// What it receives is subscriptions.
    pub publishes: bool,
    /// It wants to receive the newest message only.
    pub conflates: bool,
    /// Bytes as they are, without frames.
    pub raw: bool,
    /// How `peers()` calls it.
    pub transport: &'static str,
    pub origin: Arc<Origin>,
}

/// The socket's halves of a new stream, and what they share with the engine.
pub fn stream(terms: Terms) -> (StreamOut, StreamIn, Arc<Stream>) {
    let Terms { channel, session, owner, limits, .. } = terms;
    let shared = Arc::new(Stream {
        out: AttemptLock::new(Outbound::new(channel, owner.clone(), limits, terms.raw)),
        input: AttemptLock::new(Inbound::new(owner, terms.rcvhwm, terms.publishes, terms.conflates)),
        intake: AttemptLock::default(),
        filled: AtomicBool::new(false),
        heard: AtomicBool::new(false),
        session,
    });
    let out = StreamOut::new(shared.clone(), terms.commands, terms.transport);
    let input = StreamIn::new(shared.clone(), terms.publishes, terms.origin);
    (out, input, shared)
}

impl Limits {
    /// True if so much is all that may wait.
    fn reached(&self, messages: u64, bytes: u64) -> bool {
        (self.sndhwm > 0 && messages >= self.sndhwm as u64)
            || (self.hwm_bytes > 0 && messages > 0 && bytes >= self.hwm_bytes as u64)
    }

    /// True if half of what may wait is free: the writer is woken then, as over a ring.
    fn half_free(&self, messages: u64, bytes: u64) -> bool {
        (self.sndhwm <= 0 || messages <= self.sndhwm as u64 / 2)
            && (self.hwm_bytes <= 0 || bytes <= self.hwm_bytes as u64 / 2)
    }
}

fn mark(end: &End) {
    end.0.mark(end.1);
}
