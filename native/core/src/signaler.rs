//! How a socket is woken: its ready words and its doorbell, and those of its peers.
//!
//! The doorbell is an eventfd that is never read: an edge-triggered epoll fd in front of it reports
//! each write once, so a sleep costs one system call and a wake-up another. The epoll fd is made by
//! the first sleep. Whoever polls the FD has another one in front of the same eventfd, and so has each
//! poller: an edge that one of them takes is not missed by the others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use shmzmq_shm::fork::Fd;
use shmzmq_shm::ready;
use shmzmq_shm::segment::{ReadyPage, SegmentError};

use crate::channel::Channel;

/// Rings an eventfd. A full counter means that a wake-up is pending: nothing to do.
pub(crate) fn ring(event: BorrowedFd<'_>) {
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// One socket's ready words and doorbell. Shared with the pipes and sessions that wake it.
pub struct Signaler {
    pub page: ReadyPage,
    /// Sent to every ring peer, which maps it.
    page_fd: Fd,
    event: Fd,
    poll: OnceLock<Fd>,
    /// What `Socket.FD` gives out.
    public: OnceLock<Fd>,
}

impl Signaler {
    pub fn new() -> Result<Signaler, SegmentError> {
        let (page_fd, page) = ReadyPage::create()?;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| SegmentError::System { call: "eventfd", errno })?;
        Ok(Signaler {
            page,
            page_fd: page_fd.into(),
            event: event.into(),
            poll: OnceLock::new(),
            public: OnceLock::new(),
        })
    }

    pub fn page_fd(&self) -> BorrowedFd<'_> {
        self.page_fd.as_fd()
    }

    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// From inside the process: the pipe in `slot` has something. True if the doorbell was rung.
    pub fn mark(&self, slot: usize) -> bool {
        let sleeping = ready::mark(&self.page, slot as u32);
        if sleeping {
            ring(self.event.as_fd());
        }
        sleeping
    }

    /// From inside the process: the socket's own state changed.
    pub fn mark_control(&self) {
        if ready::mark_control(&self.page) {
            ring(self.event.as_fd());
        }
    }

    /// Rings whatever the words say: for peers whose doorbell is a byte on the control channel.
    pub fn ring(&self) {
        ring(self.event.as_fd());
    }

    /// The fd in `place`, made when first asked for: readable with each doorbell.
    fn edge<'a>(&'a self, place: &'a OnceLock<Fd>) -> Result<BorrowedFd<'a>, Errno> {
        if let Some(fd) = place.get() {
            return Ok(fd.as_fd());
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poll, &self.event, epoll::EventData::new_u64(0), flags)?;
        // A second maker loses; its fd is closed again.
        let _ = place.set(poll.into());
        place.get().map(|fd| fd.as_fd()).ok_or(Errno::BADF)
    }

    /// What `Socket.FD` gives out.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.edge(&self.public)
    }

    /// The FD is not readable until the next doorbell.
    pub fn quiet_fd(&self) {
        if let Some(fd) = self.public.get() {
            let _ = wait_on(fd.as_fd(), Some(Instant::now()));
        }
    }

    /// Sleepers on the doorbell are woken by what comes from `fd` as well.
    pub fn listen(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(self.edge(&self.poll)?, fd, epoll::EventData::new_u64(1), flags)
    }

    pub fn ignore(&self, fd: BorrowedFd<'_>) {
        if let Some(poll) = self.poll.get() {
            let _ = epoll::delete(poll, fd);
        }
    }

    /// Sleeps until the doorbell rings or `deadline`. Err(INTR) after a signal.
    pub fn wait(&self, deadline: Option<Instant>) -> Result<(), Errno> {
        match self.edge(&self.poll) {
            // No fd is left: a wait must not fail for that.
            Err(Errno::MFILE | Errno::NFILE) => self.wait_without_edge(deadline),
            poll => wait_on(poll?, deadline),
        }
    }

    /// Two system calls instead of one; others' edges come with each write and not with what is read here.
    fn wait_without_edge(&self, deadline: Option<Instant>) -> Result<(), Errno> {
        let timeout = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        let mut polled = [PollFd::new(&self.event, PollFlags::IN)];
        if rustix::event::poll(&mut polled, timeout.as_ref())? > 0 {
            let _ = rustix::io::read(&self.event, &mut [0; 8]);
        }
        Ok(())
    }
}

fn wait_on(poll: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<(), Errno> {
    let timeout = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
    let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
    epoll::wait(poll, &mut events, timeout.as_ref()).map(|_| ())
}

pub fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as _, tv_nsec: duration.subsec_nanos() as _ }
}

/// A ring peer's ready words, and the slot by which it knows this pipe.
pub struct PeerSignaler {
    page: ReadyPage,
    slot: u32,
    /// The peer's own eventfd; without it a command on the control channel rings. Touched only when
    /// the peer sleeps, and by the I/O thread when fds get scarce.
    bell: Mutex<Option<Fd>>,
    channel: Arc<Channel>,
    /// Times it was rung.
    rung: AtomicU64,
}

impl PeerSignaler {
    pub fn new(
        page: BorrowedFd<'_>,
        event: Option<OwnedFd>,
        slot: u32,
        channel: Arc<Channel>,
    ) -> Result<Self, SegmentError> {
        let bell = Mutex::new(event.map(Fd::from));
        Ok(PeerSignaler { page: ReadyPage::attach(page)?, slot, bell, channel, rung: AtomicU64::new(0) })
    }

    /// Does without the peer's eventfd from now on.
    pub fn give_up_bell(&self) {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }

    /// Tells the peer that its pipe has something. True if a doorbell was rung.
    pub fn mark(&self) -> bool {
        let sleeping = ready::mark(&self.page, self.slot);
        if sleeping {
            self.rung.fetch_add(1, Ordering::Relaxed);
            match &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(event) => ring(event.as_fd()),
                None => self.channel.send_wake(),
            }
        }
        sleeping
    }
}
