//! A listening socket: accepts, begins a session for each.
//!
//! The endpoint and its rules are Python's (`transports/`); here is only the fd. Running out of fds
//! pauses accepting, it neither spins nor aborts.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketFlags;
use shmzmq_shm::fork::Fd;

use crate::context::log;
use crate::door::Door;
use crate::monitor;
use crate::reactor::{Io, Next};
use crate::session::Session;
use crate::socket::Socket;

/// Pause after the process or the system ran out of fds.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Listener {
    pub socket: Arc<Socket>,
    pub endpoint: u64,
    /// The endpoint as LAST_ENDPOINT shows it.
    text: Arc<[u8]>,
    fd: Fd,
    token: u64,
    door: Arc<Door>,
    /// Fds ran out: until the timer rings nobody is accepted, however many knock.
    pausing: bool,
}

impl Listener {
    pub fn new(socket: Arc<Socket>, endpoint: u64, fd: OwnedFd, text: Arc<[u8]>) -> Listener {
        socket.serve();
        Listener { socket, endpoint, text, fd: fd.into(), token: 0, door: Arc::default(), pausing: false }
    }

    pub fn begin(&mut self, io: &mut Io, token: u64) -> Next {
        self.token = token;
        // `close` may have come between `bind` and here.
        if self.socket.is_closed() {
            return Next::Remove;
        }
        if let Err(errno) = io.watch(self.fd.as_fd(), token) {
            log("listen", format!("cannot watch a listening socket: {errno}"));
        }
        self.on_ready(io)
    }

    pub fn on_timer(&mut self, io: &mut Io) -> Next {
        self.pausing = false;
        self.accept(io)
    }

    pub fn on_ready(&mut self, io: &mut Io) -> Next {
        if self.pausing { Next::Stay } else { self.accept(io) }
    }

    fn accept(&mut self, io: &mut Io) -> Next {
        let mut accepted = Vec::new();
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::accept_with(&self.fd, flags) {
                Ok(fd) => {
                    self.socket.events.emit(monitor::ACCEPTED, fd.as_raw_fd() as u32, &self.text);
                    let (socket, text) = (self.socket.clone(), self.text.clone());
                    accepted.push(Session::accepted(socket, self.endpoint, fd, text, self.door.clone()));
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => {
                    log("accept", format!("cannot accept, pausing for {PAUSE:?}: {errno}"));
                    self.socket.events.emit(monitor::ACCEPT_FAILED, errno.raw_os_error() as u32, &self.text);
                    io.out_of_fds();
                    self.pausing = true;
                    io.call_at(Instant::now() + PAUSE, self.token);
                    break;
                }
            }
        }
        Next::Accepted(accepted)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.socket.events.emit(monitor::CLOSED, self.fd.as_raw_fd() as u32, &self.text);
        self.socket.unserve();
    }
}
