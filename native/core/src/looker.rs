//! A looker: sees to it that an arena gives up memory that nobody uses, also if its program sleeps.
//!
//! It comes with the arena's first segment and goes with the last, so a socket that sends no large frames
//! costs no timer.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use shmzmq_shm::arena::Look;

use crate::reactor::{Command, Io, IoThread, Next};
use crate::socket::Socket;

/// Between two looks at an arena that is in use, and at one that others keep from shrinking.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(5);

/// By which who makes an arena grow asks for a looker, once (`Arena::watch`); under the socket's lock too.
pub struct LookerCall {
    thread: Arc<IoThread>,
    socket: Weak<Socket>,
}

impl LookerCall {
    pub fn new(thread: Arc<IoThread>, socket: Weak<Socket>) -> LookerCall {
        LookerCall { thread, socket }
    }

    #[cold]
    pub fn call(&self) {
        self.thread.post(Command::Look { socket: self.socket.clone() });
    }
}

pub struct Looker {
    socket: Weak<Socket>,
    token: u64,
}

impl Looker {
    pub fn new(socket: Weak<Socket>) -> Looker {
        Looker { socket, token: 0 }
    }

    pub fn begin(&mut self, io: &mut Io, token: u64) -> Next {
        self.token = token;
        io.call_at(Instant::now() + SOON, token);
        Next::Stay
    }

    pub fn on_timer(&mut self, io: &mut Io) -> Next {
        let Some(socket) = self.socket.upgrade().filter(|socket| !socket.is_closed()) else {
            return Next::Remove;
        };
        let wait = match socket.look_at_arena() {
            Look::Empty => return Next::Remove,
            Look::Busy => SOON,
            Look::Quiet => LATER,
        };
        io.call_at(Instant::now() + wait, self.token);
        Next::Stay
    }
}
