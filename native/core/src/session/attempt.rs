//! An attempt to reach the endpoint: begun, decided, and when the next one is. It knows no handshake.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt;

use super::link::{Link, Phase};
use super::{Session, Step};
use crate::dial::{Dialed, Undialed};
use crate::failure::Failure;
use crate::monitor;
use crate::options;
use crate::reactor::{Io, Next};
use crate::stats::Discard;

/// A full backlog answers EAGAIN at once; the listener is alive, so ask again soon.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);

impl Session {
    /// The first dial, in the caller's thread: it saves the first wake-up of the I/O thread. Whatever
    /// goes wrong here, the I/O thread dials again.
    pub fn dial_early(&mut self) {
        let options = self.options();
        match self.address.as_ref().and_then(|address| address.dial_early(&options)) {
            Some(Dialed::Up(fd)) => {
                let mut link = Link::new(fd, Phase::Hello);
                if link.hello(true, self.tcp, &self.socket, &options).is_ok() {
                    self.link = Some(link);
                }
            }
            Some(Dialed::Begun(fd)) => self.link = Some(Link::new(fd, Phase::Dialing)),
            Some(Dialed::Resolving) | None => {}
        }
    }

    /// Connecter: one attempt to reach the endpoint.
    pub(super) fn dial(&mut self, io: &mut Io) -> Next {
        self.dial_at = None;
        let Some(address) = &self.address else { return Next::Remove };
        let dialed = address.dial(&self.options(), &io.thread, self.token);
        self.dialed(io, dialed)
    }

    /// The name was looked up.
    pub fn on_resolved(&mut self, io: &mut Io, to: Option<SocketAddr>) -> Next {
        let Some(address) = self.address.as_ref().filter(|_| self.link.is_none()) else { return Next::Stay };
        let dialed = match to {
            Some(to) => address.dial_resolved(to, &self.options()),
            None => Err(Errno::HOSTUNREACH.into()),
        };
        self.dialed(io, dialed)
    }

    pub(super) fn dialed(&mut self, io: &mut Io, dialed: Result<Dialed, Undialed>) -> Next {
        match dialed {
            Ok(Dialed::Up(fd)) => {
                self.link = Some(Link::new(fd, Phase::Hello));
                self.begin_link(io)
            }
            Ok(Dialed::Begun(fd)) => {
                self.link = Some(Link::new(fd, Phase::Dialing));
                self.begin_link(io)
            }
            Ok(Dialed::Resolving) => Next::Stay,
            Err(Undialed { fd, errno }) => self.on_undialed(io, fd, errno),
        }
    }

    pub(super) fn on_undialed(&mut self, io: &mut Io, fd: Option<i32>, errno: Errno) -> Next {
        if let Some(fd) = fd {
            self.tell(monitor::CLOSED, fd as u32);
        }
        let stops = self.options().reconnect_stop & options::STOP_REFUSED != 0;
        match errno {
            Errno::AGAIN if !self.tcp => self.dial_later(io, BACKLOG_RETRY),
            Errno::CONNREFUSED if stops => self.give_up(),
            _ => self.retry(io),
        }
    }

    /// tcp: told when the kernel has decided.
    pub(super) fn await_dial(&mut self, io: &mut Io) -> Step<()> {
        let options = self.options();
        if options.connect_timeout > 0 {
            let by = Instant::now() + Duration::from_millis(options.connect_timeout as u64);
            self.dial_by = Some(by);
            io.call_at(by, self.token);
        }
        self.tell(monitor::CONNECT_DELAYED, libc::EINPROGRESS as u32);
        let link = self.link.as_ref().ok_or("no connection")?;
        io.watch(link.channel.fd(), self.token).map_err(Failure::send)
    }

    /// The kernel has decided, or time is up.
    pub(super) fn on_dialed(&mut self, io: &mut Io, timed_out: bool) -> Next {
        let Some(link) = &self.link else { return Next::Stay };
        let fd = link.channel.fd();
        let error = match sockopt::socket_error(fd) {
            Ok(Ok(())) if timed_out => Some(Errno::TIMEDOUT),
            // An edge that says nothing new.
            Ok(Ok(())) if rustix::net::getpeername(fd).is_err() => return Next::Stay,
            Ok(Ok(())) => None,
            Ok(Err(errno)) | Err(errno) => Some(errno),
        };
        if let Some(by) = self.dial_by.take() {
            io.forget(by, self.token);
        }
        io.unwatch(fd);
        let Some(errno) = error else {
            if let Some(link) = &mut self.link {
                link.phase = Phase::Hello;
            }
            let opened = self.open(io);
            return self.settle(io, opened);
        };
        let number = fd.as_raw_fd();
        self.link = None;
        if self.closed.is_some() && self.slot.is_none_or(|slot| self.socket.queued(slot) == 0) {
            return self.give_up();
        }
        self.on_undialed(io, Some(number), errno)
    }

    pub(super) fn dial_later(&mut self, io: &mut Io, delay: Duration) -> Next {
        if self.last_attempt {
            return self.give_up();
        }
        let at = Instant::now() + delay;
        self.dial_at = Some(at);
        io.call_at(at, self.token);
        self.tell(monitor::CONNECT_RETRIED, u32::try_from(delay.as_millis()).unwrap_or(u32::MAX));
        Next::Stay
    }

    /// Connecter: waits and tries again. Accepted: ends.
    pub(super) fn retry(&mut self, io: &mut Io) -> Next {
        if self.address.is_none() {
            return Next::Remove;
        }
        let options = self.options();
        let Ok(interval @ 1..) = u64::try_from(options.reconnect_ivl) else { return self.give_up() };
        let most = u64::try_from(options.reconnect_ivl_max).unwrap_or_default();
        let delay = reconnect_delay(interval, most, self.attempts);
        self.attempts += 1;
        self.dial_later(io, Duration::from_millis(delay))
    }

    /// RECONNECT_IVL is 0 or less, or RECONNECT_STOP applies: the pipe will see no other connection.
    pub(super) fn give_up(&mut self) -> Next {
        if let Some(slot) = self.slot.take() {
            self.socket.drop_pipe(slot, Discard::PeerGone);
        }
        Next::Remove
    }
}

/// Milliseconds before the next attempt. RECONNECT_IVL and up to as much again at random; with RECONNECT_IVL_MAX
/// it doubles up to that. libzmq doubles exactly, so that a crowd that lost its peer in one instant comes back
/// in one instant, again and again. Here each delay is up to a half longer, and the longest up to a quarter
/// shorter than the maximum.
fn reconnect_delay(interval: u64, most: u64, attempts: u32) -> u64 {
    let random = |below: u64| RandomState::new().hash_one(attempts) % below.max(1);
    if most < interval {
        return interval + random(interval);
    }
    let doubled = interval.saturating_mul(1 << attempts.min(20)).min(most);
    let top = doubled.saturating_add(doubled / 2).min(most);
    top - random(top / 4 + 1)
}
