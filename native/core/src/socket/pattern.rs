//! What a socket type has to say; everything else is the base's (mod.rs) or the routes'.

use shmzmq_shm::ring::Part;

use crate::error::{Error, Result};
use crate::message::{Frames, Message, Sink};
use crate::socket::core::Core;

/// Called under the socket's lock. `slot` always names an existing pipe.
pub trait Pattern: Send {
    /// `connect` made a pipe; messages may be queued in it before there is a connection.
    fn connecting(&mut self, _core: &mut Core, _slot: usize) {}
    /// A connection is up. False refuses the peer.
    fn attach(&mut self, core: &mut Core, slot: usize) -> bool;
    /// The connection is gone; the pipe may stay to be drained or to be connected again.
    fn lost(&mut self, _core: &mut Core, _slot: usize) {}
    /// The pipe is gone.
    fn detach(&mut self, _core: &mut Core, _slot: usize) {}
    /// The first part of a message whose rest follows: would a send refuse it already?
    fn admit(&mut self, core: &mut Core, first: &[u8]) -> Result<()>;
    /// A message is two frames, whatever the flag of the second one says.
    fn pairs(&self) -> bool {
        false
    }
    /// Sends one whole message or nothing.
    fn send(&mut self, core: &mut Core, frames: &dyn Frames, patient: bool) -> Result<()>;
    /// Sends the first of these one-frame messages, as long as that is simple; how many. The rest is
    /// for `send`.
    fn send_run(&mut self, _core: &mut Core, _run: &[Part]) -> usize {
        0
    }
    /// Hands out messages of one frame, at most `max`, as long as that is simple; how many. The rest is
    /// for `recv`.
    fn recv_run(&mut self, _core: &mut Core, _sink: &mut dyn Sink, _max: usize) -> usize {
        0
    }
    /// Hands out one frame or nothing.
    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()>;
    /// After a send that said Again: asks to be marked when it may succeed. False: try again first.
    fn sleep_output(&mut self, core: &mut Core) -> bool {
        core.sleep_outbox()
    }
    /// A message that a lost connection left unsent: does the next connection get it?
    fn keeps(&self, _message: &Message) -> bool {
        true
    }
    /// Sets an option that only this type has. Bytes for those that take bytes, else the value.
    fn configure(&mut self, _core: &mut Core, number: i32, _setting: Setting<'_>) -> Result<()> {
        Err(Error::Invalid(format!("option {number} is not for this socket type")))
    }
    /// True if input stays unread until the program has done something else first: a wait must not take
    /// it for news.
    fn declines_input(&self) -> bool {
        false
    }
    /// TOPICS_COUNT.
    fn topics(&mut self, _core: &mut Core) -> usize {
        0
    }
    fn can_send(&mut self, core: &mut Core) -> bool;
    fn can_recv(&mut self, core: &mut Core) -> bool;
}

/// Messages that one call drops: then it says Again, and whoever waits looks at its time and at signals.
pub const DROPS_PER_CALL: usize = 10_000;

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

/// For `admit` of the types that balance: is there a pipe that takes a message?
pub fn admit_balanced(core: &mut Core) -> Result<()> {
    core.outbox.soon = false;
    if core.has_output() { Ok(()) } else { Err(Error::Again) }
}

/// Puts a pipe to the uses that the type has for it.
pub fn enlist(core: &mut Core, slot: usize, receives: bool, sends: bool) {
    if let Some(pipe) = core.pipe(slot) {
        pipe.receives = receives;
        pipe.sends = sends;
    }
    core.activate_in(slot);
    core.activate_out(slot);
}
