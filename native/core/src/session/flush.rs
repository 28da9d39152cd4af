//! What was sent before there was a connection, or room: moved to it in rounds, off the program's threads.

use std::time::{Duration, Instant};

use super::{Session, Step};
use crate::failure::Failure;
use crate::reactor::{Io, Next};
use crate::socket::life::{Attach, Flush};

/// A flush that found no memory or fd for a larger ring goes on after this.
const FLUSH_RETRY: Duration = Duration::from_millis(10);
/// Time between two looks of a writer that holds messages for a full ring.
const HELD_LOOK: Duration = Duration::from_millis(2);

impl Session {
    /// The socket has the connection; what it had queued is moved now.
    pub(super) fn joined(&mut self, io: &mut Io, attached: Attach) -> Step<()> {
        match attached {
            Attach::Done => Ok(()),
            Attach::Flush(writer) => {
                self.flushing = Some(writer);
                self.flush(io)
            }
            Attach::Refused => {
                self.slot = None;
                self.refused = true;
                Err("socket takes no further peer".into())
            }
        }
    }

    /// Moves what was sent before the connection was there.
    pub(super) fn flush(&mut self, io: &mut Io) -> Step<()> {
        while let (Some(writer), Some(slot)) = (self.flushing.take(), self.slot) {
            match self.socket.flush(slot, writer) {
                Flush::More(writer) => self.flushing = Some(writer),
                Flush::Stuck(writer) => {
                    self.flushing = Some(writer);
                    io.call_at(Instant::now() + FLUSH_RETRY, self.token);
                    return Ok(());
                }
                Flush::Done => return Ok(()),
                Flush::Finished => {
                    self.slot = None;
                    // What is lent is closed with the socket, or comes back by itself.
                    self.socket.part(slot);
                    if self.socket.is_raw() {
                        // It was hung up before there was a connection.
                        self.closed.get_or_insert(None);
                    }
                    return Err(Failure::finished());
                }
            }
        }
        Ok(())
    }

    /// A writer that keeps holds messages for which its ring had no room (overflow.rs), and its program
    /// may never call again: looks whether the reader has moved.
    pub fn move_held(&mut self, io: &mut Io) -> Next {
        self.move_held_at = None;
        let Some(slot) = self.slot else { return Next::Stay };
        if !self.socket.move_held(slot) {
            let at = Instant::now() + HELD_LOOK;
            self.move_held_at = Some(at);
            io.call_at(at, self.token);
        }
        Next::Stay
    }
}
