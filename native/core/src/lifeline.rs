//! A lifeline: a connection that is over, kept open until nobody reads what was sent over it.
//!
//! Whoever ends a connection says BYE. A receiver that still reads large frames of the sender, unread ones or
//! ones that its program holds, keeps its end open; the sender watches its own until it ends, and
//! then takes back what did not come back by itself (arena/mod.rs, A-7). Also sees to it that BYE leaves,
//! if the socket was full.

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use shmzmq_shm::arena::{Arena, PeerId};

use crate::channel::Channel;
use crate::reactor::{Io, Next};

pub struct Lifeline {
    channel: Arc<Channel>,
    /// What the peer may still read, and whose it is.
    lent: Option<(Arc<Arena>, PeerId)>,
}

impl Lifeline {
    /// None: there is nothing to wait for.
    pub fn new(channel: Arc<Channel>, lent: Option<(Arc<Arena>, PeerId)>) -> Option<Lifeline> {
        let wanted = lent.is_some() || channel.waits();
        wanted.then_some(Lifeline { channel, lent })
    }

    pub fn begin(&mut self, io: &mut Io, token: u64) -> Next {
        match io.watch(self.channel.fd(), token) {
            Ok(()) => self.on_ready(io, EventFlags::IN | EventFlags::OUT),
            // What is lent comes back by itself or not at all.
            Err(_) => Next::Remove,
        }
    }

    pub fn on_ready(&mut self, io: &mut Io, flags: EventFlags) -> Next {
        if flags.contains(EventFlags::OUT) {
            self.channel.flush();
        }
        if self.has_ended() {
            if let Some((arena, peer)) = self.lent.take() {
                arena.reclaim(peer);
            }
        } else if self.lent.is_some() || self.channel.waits() {
            return Next::Stay;
        }
        io.unwatch(self.channel.fd());
        Next::Remove
    }

    fn has_ended(&self) -> bool {
        let mut buffer = [0; 1024];
        let mut fds = VecDeque::new();
        loop {
            match self.channel.receive(&mut buffer, &mut fds) {
                Ok((0, _)) => return true,
                Ok(_) => fds.clear(),
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Err(Errno::TOOMANYREFS) => fds.clear(),
                Err(_) => return true,
            }
        }
    }
}
