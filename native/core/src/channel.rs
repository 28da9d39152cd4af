//! The UNIX socket of one connection: commands and fds, either way, never messages of the user.
//!
//! Application threads send here too (a new ring segment, a doorbell), so the outbox has a lock; what
//! the socket does not take at once is flushed by the I/O thread at the next writable edge.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use shmzmq_shm::fork::Fd;

use crate::handshake;
use crate::reactor::SessionHandle;

/// Most fds that one command carries; more in one read is an error of the peer.
const FDS_MAX: usize = 4;

struct Parcel {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

#[derive(Default)]
struct Outbox {
    waiting: VecDeque<Parcel>,
    /// The socket refused for good; whoever reads will see EOF and end the session.
    broken: bool,
}

pub struct Channel {
    fd: Fd,
    outbox: Mutex<Outbox>,
    /// By which whoever writes reaches the session.
    session: OnceLock<SessionHandle>,
    /// The session was asked to end it.
    broken_off: AtomicBool,
}

impl Channel {
    pub fn new(fd: OwnedFd) -> Channel {
        Channel {
            fd: fd.into(),
            outbox: Mutex::default(),
            session: OnceLock::new(),
            broken_off: AtomicBool::new(false),
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn belongs_to(&self, session: SessionHandle) {
        let _ = self.session.set(session);
    }

    /// Has the session end it as a failure of the peer's. The fd stays open: whoever reads at the other side may go on
    /// with what it was lent, and the end of that is seen here (lifeline.rs).
    pub fn break_off(&self, why: &str) {
        if let Some(session) = self.session.get()
            && !self.broken_off.swap(true, Ordering::Relaxed)
        {
            session.fail(why);
        }
    }

    pub fn is_broken_off(&self) -> bool {
        self.broken_off.load(Ordering::Relaxed)
    }

    /// Sends `bytes`, with `fds` on their first byte, now or at the next writable edge.
    pub fn send(&self, bytes: Vec<u8>, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.broken {
            return Err(Errno::PIPE);
        }
        let mut sent = 0;
        if outbox.waiting.is_empty() {
            sent = match send_some(self.fd.as_fd(), &bytes, fds) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(errno) => {
                    // Without a peer nothing goes any more. Other refusals (ETOOMANYREFS of fds under way) pass.
                    outbox.broken = is_end(errno);
                    return Err(errno);
                }
            };
        }
        // The fds went with the first byte, if any byte went.
        let kept = if sent == 0 { fds } else { &[] };
        let fds = kept.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 0)).collect::<Result<_, _>>()?;
        outbox.waiting.push_back(Parcel { bytes, sent, fds });
        Ok(())
    }

    /// Rings a peer that has no doorbell fd for us. A wake-up that still waits is enough.
    pub fn send_wake(&self) {
        let waits = {
            let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
            outbox.waiting.back().is_some_and(|parcel| parcel.bytes == handshake::wake())
        };
        if !waits {
            let _ = self.send(handshake::wake(), &[]);
        }
    }

    /// Sends what waited. Called by the I/O thread when the socket became writable.
    pub fn flush(&self) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(parcel) = outbox.waiting.front_mut() {
            let fds: Vec<_> = parcel.fds.iter().map(AsFd::as_fd).collect();
            match send_some(self.fd.as_fd(), &parcel.bytes[parcel.sent..], &fds) {
                Ok(sent) => {
                    parcel.fds.clear();
                    parcel.sent += sent;
                    if parcel.sent == parcel.bytes.len() {
                        outbox.waiting.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    // What waited is promised to the reader, and nobody sends it again.
                    if !is_end(errno) {
                        self.break_off(&format!("cannot send: {errno}"));
                    }
                    outbox.broken = true;
                    outbox.waiting.clear();
                    return;
                }
            }
        }
    }

    /// True while something waits for the socket to become writable.
    pub fn waits(&self) -> bool {
        !self.outbox.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    /// Bytes that a tcp connection has taken and its peer has not acknowledged; 0 if it does not say.
    pub fn unacknowledged(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the request (SIOCOUTQ in tcp(7), which is this) writes one int.
        let done =
            unsafe { libc::ioctl(self.fd().as_raw_fd(), libc::TIOCOUTQ, std::ptr::from_mut(&mut bytes)) };
        if done == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }

    /// Reads what is there into `buffer`; fds that came along are appended. 0 bytes are the end. True: our fd table
    /// had no room for all of them.
    pub fn receive(&self, buffer: &mut [u8], fds: &mut VecDeque<OwnedFd>) -> Result<(usize, bool), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message = rustix::net::recvmsg(&self.fd, &mut slices, &mut control, flags)?;
        let before = fds.len();
        for ancillary in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = ancillary {
                fds.extend(rights);
            }
        }
        // unix(7): the rest of the fds was dropped, because our fd table is full or the peer sent more than the
        // protocol has.
        let dropped = message.flags.contains(ReturnFlags::CTRUNC);
        if dropped && fds.len() - before >= FDS_MAX {
            return Err(Errno::TOOMANYREFS);
        }
        Ok((message.bytes, dropped))
    }

    /// False while there is nothing to receive.
    pub fn has_input(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(&self.fd, &mut [0_u8; 1], flags).err() != Some(Errno::AGAIN)
    }
}

/// True if it says that there is no peer any more, which our reader hears too.
pub fn is_end(errno: Errno) -> bool {
    matches!(errno, Errno::PIPE | Errno::CONNRESET)
}

fn send_some(fd: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(fd, &[IoSlice::new(bytes)], &mut control, flags)
}
