//! What a peer costs beyond the fd of its connection: a doorbell, and a pidfd by which its process is watched.
//! Both are for the first peers only, and while fds are plenty.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{PidfdFlags, Resource};
use shmzmq_shm::fork::{self, Fd};

use super::Session;
use super::link::Link;
use crate::reactor::Io;
use crate::signaler::PeerSignaler;

/// Beyond about this many peers doorbells are commands on the channel and pidfds are not opened; and
/// when fds get scarce the first peers give theirs up too: a binder then keeps one fd per peer.
const PEERS_WITH_BELLS: usize = 64;

/// Live ring connections of this process.
pub(super) static PEERS: AtomicUsize = AtomicUsize::new(0);

/// In a forked child: the parent's connections are not ours.
pub fn forget_peers() {
    PEERS.store(0, Ordering::Relaxed);
}

/// Less than a quarter of RLIMIT_NOFILE is free.
#[inline(never)]
fn fds_are_scarce() -> bool {
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (fork::open_fds() as u64).saturating_mul(4) >= limit.saturating_mul(3)
}

/// True while doorbells and pidfds may cost fds of their own: for the first peers, while fds are plenty.
pub(super) fn keeps_bells() -> bool {
    PEERS.load(Ordering::Relaxed) < PEERS_WITH_BELLS && !fds_are_scarce()
}

impl Session {
    /// Fds are scarce: keeps one for the connection and no more.
    pub fn economise(&mut self, io: &mut Io) {
        let Some(link) = &mut self.link else { return };
        if let Some(pidfd) = link.pidfd.take() {
            io.unwatch(pidfd.as_fd());
        }
        if let Some(signaler) = &link.signaler {
            signaler.give_up_bell();
        }
    }

    /// pidfd(2): readable once the process has ended, also while a zombie or a forked child keeps
    /// the connection open.
    pub(super) fn peer_process_is_dead(&self) -> bool {
        let pidfd = self.link.as_ref().and_then(|link| link.pidfd.as_ref());
        let Some(pidfd) = pidfd else { return false };
        let mut polled = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&now)) == Ok(1)
    }
}

impl Link {
    /// Over rings: one of PEERS, perhaps with fds of its own.
    pub(super) fn count(&mut self, io: &mut Io, token: u64, signaler: &Arc<PeerSignaler>) {
        self.watch_peer_process(io, token);
        self.signaler = Some(signaler.clone());
        self.counted = true;
        io.peer_joined(keeps_bells(), fds_are_scarce());
        PEERS.fetch_add(1, Ordering::Relaxed);
    }

    /// Covers a connection that a forked child of the peer keeps open. Not for our own process, and
    /// not beyond the peers that may cost a second fd.
    fn watch_peer_process(&mut self, io: &mut Io, token: u64) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        if self.peer.pid == own || !keeps_bells() {
            return;
        }
        let Some(pid) = rustix::process::Pid::from_raw(self.peer.pid) else { return };
        // The pid was the kernel's answer for this very socket; if the process ended meanwhile and
        // its pid was given away, EOF is here already and ends the session anyway.
        if let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            let pidfd: Fd = pidfd.into();
            if io.watch(pidfd.as_fd(), token).is_ok() {
                self.pidfd = Some(pidfd);
            }
        }
    }
}
