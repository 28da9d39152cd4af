//! Those who watch a socket without being in a call on it: pollers, and whoever polls its FD.
//!
//! **Theory of operation.** A caller that waits in [`Socket::wait`] arms the socket, sleeps and disarms
//! it again. A watcher leaves it armed when it goes away: SLEEPING stays set in the ready words, every
//! pipe sleeps, so the next change rings the doorbell. Each watcher has an edge-triggered epoll fd of
//! its own in front of that one doorbell, hence nobody takes another's edge.
//!
//! ```text
//! poller   look   (lock)  not armed any more; what holds now?          -> looked at in every poll
//!          arm    (lock)  nothing holds: pipes and ready words armed   -> not looked at until
//!                   a) the doorbell rings its epoll fd, or
//!                   b) somebody takes marks, or changes what may hold:  `touch` lists the watch
//! FD       always armed between two calls; readable from a ring until EVENTS is read
//! ```
//!
//! Invariants
//! - Y-4 While anyone is armed, SLEEPING stands: it is counted under the socket's lock, and whoever
//!   comes to zero clears it. So a mark that a stranger takes has rung for every watcher before.
//! - Y-5 A watch that is armed has no pipe awake, unless a stranger took marks: then it is listed.
//!
//! A send or a receive lists nothing, except where it can make the other direction possible (REQ, REP).
//! That, a changed option, and the socket's end come without a doorbell, and `touch` wakes the poller
//! itself. (The doorbell of a socket that is closed would go before the poller has seen it ring.)

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use shmzmq_shm::{fork, ready};
use shmzmq_zmtp::SocketType;

use super::{Interest, Socket, State};
use crate::error::{Error, Result};
use crate::pipe::stream::StreamIn;
use crate::signaler::{self, Signaler};

/// How often a socket tries to leave its input armed before it rings its own doorbell instead.
const FD_LOOKS: usize = 16;
/// A socket that had more peers is not searched for its only one.
const FEW_PIPES: usize = 8;

/// What sockets tell a poller. A leaf lock: taken under a socket's lock, for a push.
#[derive(Default)]
pub struct Bell {
    inner: Mutex<Touched>,
    /// Wakes the poller; made with its epoll fd.
    event: OnceLock<fork::Fd>,
}

#[derive(Default)]
struct Touched {
    /// Watches to look at although their doorbell may be silent.
    tokens: Vec<usize>,
    /// The poller is about to sleep, or sleeps.
    asleep: bool,
}

impl Bell {
    fn inner(&self) -> MutexGuard<'_, Touched> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was touched to `tokens`.
    pub fn take(&self, tokens: &mut Vec<usize>) {
        tokens.append(&mut self.inner().tokens);
    }

    /// From now on a touch rings. False: something was touched, look first.
    pub fn fall_asleep(&self) -> bool {
        let mut inner = self.inner();
        inner.asleep = inner.tokens.is_empty();
        inner.asleep
    }

    pub fn wake(&self) {
        self.inner().asleep = false;
    }

    /// The eventfd that a touch writes while the poller sleeps. Never read: watch its edges.
    pub fn event(&self) -> rustix::io::Result<BorrowedFd<'_>> {
        if self.event.get().is_none() {
            let made = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let _ = self.event.set(made.into());
        }
        self.event.get().map(|fd| fd.as_fd()).ok_or(Errno::BADF)
    }
}

/// One socket in one poller.
pub struct Watch {
    token: usize,
    bell: Arc<Bell>,
    /// Listed in the bell, or about to be looked at. Set by anyone, cleared under the socket's lock.
    touched: AtomicBool,
    /// Counted in `Watchers::armed`. Written under the socket's lock.
    armed: AtomicBool,
}

impl Watch {
    /// Lists it once. `wake`: no doorbell rings for this, so a sleeping poller must be woken.
    fn touch(&self, wake: bool) {
        let listed = self.touched.swap(true, Ordering::AcqRel);
        let mut inner = self.bell.inner();
        if !listed {
            inner.tokens.push(self.token);
        }
        if wake && inner.asleep {
            self.bell.event.get().into_iter().for_each(|event| signaler::ring(event.as_fd()));
        }
    }
}

/// The watchers' half of a socket's state.
#[derive(Default)]
pub struct Watchers {
    watches: Vec<Arc<Watch>>,
    /// Those who rely on SLEEPING: a leader, armed watches, the FD.
    armed: u32,
    pub fd: Fd,
}

/// Somebody polls the FD.
#[derive(Default)]
pub struct Fd {
    pub used: bool,
    /// A ring that made it readable is known of.
    rung: bool,
    /// It was asked about, without a ring known of, since the last message: a ring may have come late.
    doubted: bool,
}

/// What a poller's look found.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub receive: bool,
    pub send: bool,
    /// A spin may find something; not so when unread input is not taken now.
    pub may_spin: bool,
    pub spin_us: i64,
    pub peer_awake: bool,
}

impl Watchers {
    /// One more relies on SLEEPING, which is set.
    pub fn lean(&mut self) {
        self.armed += 1;
    }

    /// One does not rely on it any more.
    pub fn lean_back(&mut self, signaler: &Signaler) {
        self.armed -= 1;
        if self.armed == 0 {
            // SYNC Y-4: under the socket's lock, as every other change of the count.
            ready::disarm(&signaler.page);
        }
    }
}

impl State {
    /// The stream that a waiting program may read by itself: the only peer's, of which nobody else wants to hear.
    pub(super) fn direct_stream(&mut self) -> Option<&mut StreamIn> {
        if self.watchers.fd.used || !self.watchers.watches.is_empty() || self.core.pipes.len() > FEW_PIPES {
            return None;
        }
        let mut pipes = self.core.pipes.iter_mut().flatten();
        let (pipe, None) = (pipes.next()?, pipes.next()) else { return None };
        pipe.lone_stream()
    }

    /// What may hold has changed. `wake`: without a mark, so no doorbell has rung.
    pub(super) fn touch(&mut self, wake: bool) {
        self.watchers.fd.rung |= !wake;
        self.watchers.watches.iter().for_each(|watch| watch.touch(wake));
    }

    /// After a send or receive while the FD is in use.
    #[cold]
    pub(super) fn after_call(&mut self, again: bool) {
        if again {
            self.quiet_fd();
        } else {
            self.watchers.fd.doubted = false;
        }
        self.arm_fd(true);
    }

    /// The FD is not readable any more. No system call when it cannot be.
    fn quiet_fd(&mut self) {
        let fd = &mut self.watchers.fd;
        // A publisher marks first and rings later: the ring of a mark that was taken may still come.
        if std::mem::take(&mut fd.rung) || fd.doubted {
            self.core.signaler.quiet_fd();
        }
        fd.doubted = true;
    }

    /// Leaves the socket so that the next change rings the doorbell. `ring`: the FD is readable if there
    /// is something to receive already, so that a program that forgets EVENTS does not hang.
    fn arm_fd(&mut self, ring: bool) {
        let signaler = self.core.signaler.clone();
        for _ in 0..FD_LOOKS {
            let readable = self.pattern.can_recv(&mut self.core);
            // Input that the type does not take now (REP before its reply) may stay unread.
            let quiet = readable || self.core.sleep_inbox() || self.pattern.declines_input();
            // Armed in any case: a change towards POLLOUT must ring although input is unread.
            if quiet && ready::arm(&signaler.page) {
                if readable && ring && !std::mem::replace(&mut self.watchers.fd.rung, true) {
                    signaler.ring();
                }
                return;
            }
            self.apply_marks();
        }
        // Input comes as fast as the type drops it: the program is to look again.
        self.watchers.fd.rung = true;
        signaler.ring();
    }
}

impl Socket {
    /// True if a send or a receive can make the other direction possible.
    #[inline(always)]
    pub(super) fn takes_turns(&self) -> bool {
        matches!(self.kind, SocketType::Req | SocketType::Rep)
    }

    /// At the end of every send and receive, alone or in a burst. One that failed for another reason than
    /// Again may have gone half the way: a burst of a REQ is one request, then EFSM.
    #[inline(always)]
    pub(super) fn tell_watchers<T>(&self, state: &mut State, result: &Result<T>) {
        let again = matches!(result, Err(Error::Again));
        if state.watchers.fd.used {
            state.after_call(again);
        }
        if self.takes_turns() && !again {
            state.touch(true);
        }
    }

    /// The fd that becomes readable with each change; from now on the socket is kept armed.
    pub fn use_fd(&self) -> Result<rustix::fd::BorrowedFd<'_>> {
        let mut state = self.enter()?;
        let fd = self
            .signaler
            .fd()
            .map_err(|errno| Error::System { call: "epoll_create1", errno: errno.raw_os_error() })?;
        if !state.watchers.fd.used {
            // A new epoll fd reports the rings of old.
            state.watchers.fd = Fd { used: true, rung: false, doubted: true };
            state.watchers.lean();
            state.arm_fd(true);
            // What came since EVENTS was read last has rung for nobody.
            let State { core, pattern, .. } = &mut *state;
            if pattern.can_send(core) {
                state.watchers.fd.rung = true;
                self.signaler.ring();
            }
        }
        Ok(fd)
    }

    /// POLLIN and POLLOUT now. Reading them makes the FD quiet until the next change.
    pub fn events(&self) -> Result<(bool, bool)> {
        let mut state = self.enter()?;
        let state = &mut *state;
        if state.watchers.fd.used {
            state.quiet_fd();
            state.arm_fd(false);
        }
        let receive = state.pattern.can_recv(&mut state.core);
        let send = state.pattern.can_send(&mut state.core);
        if !receive {
            state.core.publish_inbox();
        }
        state.settle();
        Ok((receive, send))
    }

    /// True if a send would find a peer that takes the message.
    pub fn can_send(&self) -> Result<bool> {
        let mut state = self.enter()?;
        let state = &mut *state;
        let send = state.pattern.can_send(&mut state.core);
        state.settle();
        Ok(send)
    }

    /// Begins to watch; the first look is due.
    pub fn watch(&self, token: usize, bell: &Arc<Bell>) -> Result<Arc<Watch>> {
        let watch = Arc::new(Watch {
            token,
            bell: bell.clone(),
            touched: AtomicBool::new(true),
            armed: AtomicBool::new(false),
        });
        self.enter()?.watchers.watches.push(watch.clone());
        Ok(watch)
    }

    pub fn unwatch(&self, watch: &Arc<Watch>) {
        let mut state = self.state();
        state.watchers.watches.retain(|known| !Arc::ptr_eq(known, watch));
        self.stand_down(&mut state, watch);
    }

    fn stand_down(&self, state: &mut State, watch: &Watch) {
        if watch.armed.swap(false, Ordering::AcqRel) {
            state.watchers.lean_back(&self.signaler);
        }
    }

    /// What holds now of `receive` and `send`. The watch is not armed afterwards.
    pub fn look(&self, watch: &Watch, receive: bool, send: bool) -> Result<Look> {
        // Our own look need not list us.
        watch.touched.store(true, Ordering::Release);
        let mut state = self.enter()?;
        let state = &mut *state;
        self.stand_down(state, watch);
        let received = receive && state.pattern.can_recv(&mut state.core);
        let sent = send && state.pattern.can_send(&mut state.core);
        if receive && !received {
            state.core.publish_inbox();
        }
        let may_spin = !(receive && !received && state.core.input_moved());
        state.settle();
        Ok(Look {
            receive: received,
            send: sent,
            may_spin,
            spin_us: state.core.options.spin_us,
            peer_awake: state.core.peer_awake,
        })
    }

    /// Leaves the watch armed: the next change rings or lists it. False: look again first.
    pub fn arm_watch(&self, watch: &Watch, receive: bool, send: bool) -> Result<bool> {
        watch.touched.store(true, Ordering::Release);
        let mut state = self.enter()?;
        let state = &mut *state;
        let mut deadline = None;
        if !state.arm(Interest::Events { receive, send }, &mut deadline) || !ready::arm(&self.signaler.page) {
            return Ok(false);
        }
        if !watch.armed.swap(true, Ordering::AcqRel) {
            state.watchers.lean();
        }
        watch.touched.store(false, Ordering::Release);
        Ok(true)
    }

    /// The pause between two looks of a poller's spin.
    pub(crate) fn spin_gap(&self) -> u32 {
        let mut state = self.state();
        let State { core, policy, .. } = &mut *state;
        policy.pace(&core.stats)
    }
}
