//! A poller: waits until one of many sockets and raw fds is ready.
//!
//! Knows    which of its sockets may have changed since the last poll.
//! Refuses  to know what is done with them, and Python.
//!
//! **The cost of a poll follows the sockets that are ready or were touched, not those registered.** A
//! socket is either *looked at* (its events are asked for under its lock, in every poll) or *armed*
//! (nothing is asked; the next change rings our epoll fd or lists it in our bell, socket/watch.rs). A
//! socket that is found ready stays looked at, so a loop of poll and recv makes no system call while
//! messages are there. One that is not ready is armed before we sleep, or when more than [`KEPT`] of
//! them are looked at in vain.
//!
//! Whether an armed socket rang is asked of the kernel (one call for all of them) or, if there are few,
//! of their ready words (no call at all).
//!
//! Raw fds go to poll(2), together with the epoll fd, so that they behave as poll(2) says.

use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use shmzmq_shm::fork::{self, Fd};
use shmzmq_shm::ready;

use crate::error::{Error, Result};
use crate::signaler::timespec;
use crate::socket::policy::SpinPolicy;
use crate::socket::watch::{Bell, Look, Watch};
use crate::socket::{Interest, Socket, Woken, spin_end};

/// libzmq's masks (zmq_poll(3)); for sockets only the first two ever hold.
pub const IN: i32 = 1;
pub const OUT: i32 = 2;
pub const ERR: i32 = 4;
pub const PRI: i32 = 8;

/// Up to so many registered sockets are asked one by one whether they rang.
const FEW: usize = 16;
/// Sockets that are looked at although they were not ready the last time.
const KEPT: usize = 16;
/// Wake-ups that one system call fetches.
const FETCH: usize = 64;

/// What a registered socket is here.
struct Entry {
    /// The poller keeps no socket alive: a closed one is gone, and asking it says so.
    socket: Weak<Socket>,
    watch: Option<Arc<Watch>>,
    events: i32,
    place: Place,
    /// Our epoll fd watches its doorbell; false for a second entry of the same socket.
    on_epoll: bool,
    may_spin: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    LookedAt,
    Armed,
}

/// A raw fd in one poll.
#[derive(Debug, Clone, Copy)]
pub struct Raw {
    pub token: usize,
    pub fd: RawFd,
    pub events: i32,
    /// It only wakes: another library's socket, whose events its owner asks for.
    pub only_wakes: bool,
}

/// Counters, for tests and the curious.
#[derive(Debug, Clone, Copy, Default)]
pub struct PollStats {
    /// Polls, sockets looked at, sockets armed, system calls, and how many of those could sleep.
    pub polls: u64,
    pub looks: u64,
    pub arms: u64,
    pub system_calls: u64,
    pub sleeps: u64,
}

/// A token and the events that hold for it.
pub type Ready = (usize, i32);

pub struct Poller {
    born: u64,
    epoll: Option<Fd>,
    bell: Arc<Bell>,
    entries: Vec<Option<Entry>>,
    /// Tokens of the entries that are looked at.
    looked_at: Vec<usize>,
    sockets: usize,
    policy: SpinPolicy,
    /// A spin ended by something that was nothing for us: sleep without one until something is ready.
    vain_spin: bool,
    pub stats: PollStats,
}

impl Default for Poller {
    fn default() -> Self {
        Poller {
            born: fork::generation(),
            epoll: None,
            bell: Arc::default(),
            entries: Vec::new(),
            looked_at: Vec::new(),
            sockets: 0,
            policy: SpinPolicy::default(),
            vain_spin: false,
            stats: PollStats::default(),
        }
    }
}

fn system(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::System { call, errno: errno.raw_os_error() }
}

impl Entry {
    fn receives(&self) -> bool {
        self.events & IN != 0
    }

    fn sends(&self) -> bool {
        self.events & OUT != 0
    }

    fn interest(&self) -> Interest {
        Interest::Events { receive: self.receives(), send: self.sends() }
    }

    fn socket(&self) -> Result<Arc<Socket>> {
        self.socket.upgrade().ok_or(Error::NotSocket)
    }

    /// What holds now; the socket is watched from the first look on.
    fn look(&mut self, token: usize, bell: &Arc<Bell>) -> Result<Look> {
        let socket = self.socket()?;
        let (receive, send) = (self.receives(), self.sends());
        let watch = match &self.watch {
            Some(watch) => watch,
            None => self.watch.insert(socket.watch(token, bell)?),
        };
        socket.look(watch, receive, send)
    }

    fn rang(&self) -> bool {
        self.socket.upgrade().is_none_or(|socket| ready::pending(&socket.signaler.page))
    }
}

impl Poller {
    /// False in a forked child: its fds are closed and its sockets are the parent's.
    pub fn is_ours(&self) -> bool {
        fork::is_ours(self.born)
    }

    /// Registers a socket under a token of the caller's, which nothing else uses now.
    pub fn add(&mut self, token: usize, socket: &Weak<Socket>, events: i32) {
        self.remove(token);
        if self.entries.len() <= token {
            self.entries.resize_with(token + 1, || None);
        }
        self.entries[token] = Some(Entry {
            socket: socket.clone(),
            watch: None,
            events,
            place: Place::LookedAt,
            on_epoll: false,
            may_spin: false,
        });
        self.looked_at.push(token);
        self.sockets += 1;
    }

    /// Other events from now on.
    pub fn modify(&mut self, token: usize, events: i32) {
        if let Some(Some(entry)) = self.entries.get_mut(token) {
            entry.events = events;
            self.look_at(token);
        }
    }

    pub fn remove(&mut self, token: usize) {
        let Some(entry) = self.entries.get_mut(token).and_then(Option::take) else { return };
        self.sockets -= 1;
        self.looked_at.retain(|known| *known != token);
        let Ok(socket) = entry.socket() else { return };
        if entry.on_epoll
            && let Some(epoll) = &self.epoll
        {
            let _ = epoll::delete(epoll, socket.signaler.event_fd());
        }
        if let Some(watch) = &entry.watch {
            socket.unwatch(watch);
        }
    }

    /// An armed entry may have changed.
    fn look_at(&mut self, token: usize) {
        if let Some(Some(entry)) = self.entries.get_mut(token)
            && entry.place == Place::Armed
        {
            entry.place = Place::LookedAt;
            self.looked_at.push(token);
        }
    }

    /// What is ready now, without waiting: all of it is added to `ready`.
    pub fn try_poll(&mut self, raws: &[Raw], ready: &mut Vec<Ready>) -> Result<()> {
        self.stats.polls += 1;
        self.find_changed()?;
        let mut index = 0;
        let mut vain = 0;
        while let Some(&token) = self.looked_at.get(index) {
            let Some(Some(entry)) = self.entries.get_mut(token) else {
                self.looked_at.swap_remove(index);
                continue;
            };
            self.stats.looks += 1;
            let look = entry.look(token, &self.bell)?;
            entry.may_spin = look.may_spin;
            let events = if look.receive { IN } else { 0 } | if look.send { OUT } else { 0 };
            if events != 0 {
                ready.push((token, events));
            } else {
                vain += 1;
                if vain > KEPT && self.arm(token)? && self.is_armed(token) {
                    self.looked_at.swap_remove(index);
                    continue;
                }
            }
            index += 1;
        }
        if !raws.is_empty() {
            self.poll_raws(raws, Some(Duration::ZERO), |raw, events| {
                if !raw.only_wakes {
                    ready.push((raw.token, events));
                }
            })
            .map_err(system("poll"))?;
        }
        if !ready.is_empty() {
            self.vain_spin = false;
        }
        Ok(())
    }

    /// Puts every armed socket that rang, or was listed, back among those that are looked at.
    fn find_changed(&mut self) -> Result<()> {
        let mut listed = Vec::new();
        self.bell.take(&mut listed);
        listed.into_iter().for_each(|token| self.look_at(token));
        if self.looked_at.len() == self.sockets {
            return Ok(());
        }
        if self.entries.len() <= FEW {
            for token in 0..self.entries.len() {
                if self.is_armed(token) && self.entries[token].as_ref().is_some_and(Entry::rang) {
                    self.look_at(token);
                }
            }
            return Ok(());
        }
        self.fetch(Some(Duration::ZERO)).map_err(system("epoll_wait"))
    }

    fn is_armed(&self, token: usize) -> bool {
        matches!(self.entries.get(token), Some(Some(entry)) if entry.place == Place::Armed)
    }

    /// Lets the doorbell of the socket wake us. False: look again first. A second entry of a socket
    /// stays among those that are looked at: no edge of our epoll fd names it.
    fn arm(&mut self, token: usize) -> Result<bool> {
        let epoll = match &self.epoll {
            Some(epoll) => epoll,
            None => self.epoll.insert(make_epoll(&self.bell)?),
        };
        let Some(Some(entry)) = self.entries.get_mut(token) else { return Ok(true) };
        let (socket, Some(watch)) = (entry.socket()?, &entry.watch) else { return Ok(false) };
        if !entry.on_epoll {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            self.stats.system_calls += 1;
            let data = epoll::EventData::new_u64(token as u64);
            match epoll::add(epoll, socket.signaler.event_fd(), data, flags) {
                Ok(()) => entry.on_epoll = true,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(system("epoll_ctl")(errno)),
            }
        }
        self.stats.arms += 1;
        if !socket.arm_watch(watch, entry.receives(), entry.sends())? {
            return Ok(false);
        }
        if entry.on_epoll {
            entry.place = Place::Armed;
        }
        Ok(true)
    }

    /// Arms all that is looked at. False: something changed, look again.
    fn arm_all(&mut self) -> Result<bool> {
        for index in (0..self.looked_at.len()).rev() {
            let token = self.looked_at[index];
            if !self.arm(token)? {
                return Ok(false);
            }
            if self.is_armed(token) {
                self.looked_at.swap_remove(index);
            }
        }
        Ok(true)
    }

    /// Waits until `try_poll` may find something, at most to `deadline`. Needs no GIL. May end early.
    pub fn wait(&mut self, raws: &[Raw], deadline: Option<Instant>) -> Result<Woken> {
        if raws.is_empty() && !self.vain_spin && self.may_spin() {
            let (spin_us, awake) = self.spin_facts();
            let budget = self.policy.budget(spin_us, awake);
            if !budget.is_zero() && self.spin(spin_end(budget, deadline)) {
                self.vain_spin = true;
                return Ok(Woken::Look);
            }
        }
        if !self.arm_all()? || !self.bell.fall_asleep() {
            return Ok(Woken::Look);
        }
        self.policy.slept();
        self.stats.sleeps += 1;
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let slept = if raws.is_empty() { self.fetch(timeout) } else { self.sleep_on(raws, timeout) };
        self.bell.wake();
        match slept {
            Err(Errno::INTR) => Ok(Woken::Interrupted),
            Err(errno) => Err(system("poll")(errno)),
            Ok(()) if deadline.is_some_and(|at| Instant::now() >= at) => Ok(Woken::TimedOut),
            Ok(()) => Ok(Woken::Look),
        }
    }

    /// The same where nothing has moved for long, see `Socket::wait_on`.
    pub fn wait_on(&mut self, raws: &[Raw], deadline: Option<Instant>) -> Result<Woken> {
        self.vain_spin = true;
        self.wait(raws, deadline)
    }

    /// Raw fds and sockets together: poll(2) over all fds and ours.
    fn sleep_on(&mut self, raws: &[Raw], timeout: Option<Duration>) -> rustix::io::Result<()> {
        if self.poll_raws(raws, timeout, |_, _| {})? {
            self.fetch(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Fetches the sockets that rang.
    fn fetch(&mut self, timeout: Option<Duration>) -> rustix::io::Result<()> {
        let Some(epoll) = &self.epoll else { return Ok(()) };
        let mut events = [const { std::mem::MaybeUninit::uninit() }; FETCH];
        let timeout = timeout.map(timespec);
        self.stats.system_calls += 1;
        let (fetched, _) = epoll::wait(epoll, &mut events, timeout.as_ref())?;
        let mut tokens = [0; FETCH];
        let count = fetched.len();
        fetched.iter().zip(&mut tokens).for_each(|(event, token)| *token = event.data.u64() as usize);
        tokens[..count].iter().for_each(|token| self.look_at(*token));
        // More may have rung than one call tells.
        if count == FETCH { self.fetch(Some(Duration::ZERO)) } else { Ok(()) }
    }

    /// poll(2) over the raw fds and, if it could sleep, our epoll fd. True if the latter is readable.
    fn poll_raws(
        &mut self,
        raws: &[Raw],
        timeout: Option<Duration>,
        mut ready: impl FnMut(&Raw, i32),
    ) -> rustix::io::Result<bool> {
        // SAFETY: poll(2) takes any number and says POLLNVAL for one that is not open; nothing is owned.
        let borrow = |raw: RawFd| unsafe { BorrowedFd::borrow_raw(raw) };
        // poll(2) ignores negative numbers; here they are left out.
        let open: Vec<&Raw> = raws.iter().filter(|raw| raw.fd >= 0).collect();
        let mut fds: Vec<PollFd<'_>> =
            open.iter().map(|raw| PollFd::from_borrowed_fd(borrow(raw.fd), flags_of(raw.events))).collect();
        let ours = self.epoll.as_ref().filter(|_| timeout != Some(Duration::ZERO));
        fds.extend(ours.map(|epoll| PollFd::from_borrowed_fd(epoll.as_fd(), PollFlags::IN)));
        let watched = fds.len() > open.len();
        self.stats.system_calls += 1;
        let timeout = timeout.map(timespec);
        rustix::event::poll(&mut fds, timeout.as_ref())?;
        for (raw, fd) in open.iter().zip(&fds) {
            let events = events_of(fd.revents());
            if events != 0 {
                ready(raw, events);
            }
        }
        Ok(watched && fds.last().is_some_and(|fd| !fd.revents().is_empty()))
    }

    fn live(&self) -> impl Iterator<Item = &Entry> {
        self.looked_at.iter().filter_map(|token| self.entries.get(*token)?.as_ref())
    }

    fn may_spin(&self) -> bool {
        self.live().next().is_some() && self.live().all(|entry| entry.may_spin)
    }

    /// SPIN_US and "the peer was awake" of all that is looked at: the most hopeful of each.
    fn spin_facts(&self) -> (i64, bool) {
        let mut most = 0;
        let mut awake = false;
        for socket in self.live().filter_map(|entry| entry.socket.upgrade()) {
            let state = socket.state();
            let spin_us = state.core.options.spin_us;
            most = if most < 0 || spin_us < 0 { -1 } else { most.max(spin_us) };
            awake |= state.core.peer_awake;
        }
        (most, awake)
    }

    /// The short spin before other threads may run. True: try again.
    pub fn spin_briefly(&mut self, cap: Duration) -> bool {
        if self.vain_spin || self.looked_at.is_empty() || !self.may_spin() {
            return false;
        }
        let (spin_us, awake) = self.spin_facts();
        let won = self.policy.promising(spin_us, awake) && self.spin(Instant::now() + cap);
        self.vain_spin |= won;
        won
    }

    /// Watches what is looked at, and few others' ready words, until `end`.
    fn spin(&mut self, end: Instant) -> bool {
        let few = self.entries.len() <= FEW;
        let watched: Vec<(Arc<Socket>, Interest)> = self
            .entries
            .iter()
            .flatten()
            .filter(|entry| entry.place == Place::LookedAt || few)
            .filter_map(|entry| Some((entry.socket.upgrade()?, entry.interest())))
            .collect();
        // A receiver that answers nothing lets a burst gather, as in its own waits.
        let gap = if let [(one, _)] = &watched[..] { one.spin_gap() } else { 0 };
        let mut looks = 0;
        loop {
            for _ in 0..if gap == 0 { 16 } else { 1 } {
                (0..=gap).for_each(|_| std::hint::spin_loop());
                if watched.iter().any(|(socket, interest)| socket.moved(*interest)) {
                    self.policy.won();
                    return true;
                }
            }
            looks += 1;
            if Instant::now() >= end && (gap == 0 || looks >= 3) {
                return false;
            }
        }
    }
}

/// Our epoll fd, which our bell wakes too.
fn make_epoll(bell: &Bell) -> Result<Fd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create1"))?;
    let event = bell.event().map_err(system("eventfd"))?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    // No socket has this token.
    let data = epoll::EventData::new_u64(u64::MAX);
    epoll::add(&epoll, event, data, flags).map_err(system("epoll_ctl"))?;
    Ok(epoll.into())
}

impl Drop for Poller {
    fn drop(&mut self) {
        if self.is_ours() {
            (0..self.entries.len()).for_each(|token| self.remove(token));
        }
    }
}

fn flags_of(events: i32) -> PollFlags {
    let pairs = [(IN, PollFlags::IN), (OUT, PollFlags::OUT), (PRI, PollFlags::PRI)];
    pairs.iter().filter(|(mask, _)| events & mask != 0).map(|(_, flag)| *flag).collect()
}

/// zmq_poll(3): what poll(2) says beyond in, out and urgent is an error.
fn events_of(flags: PollFlags) -> i32 {
    let pairs = [(IN, PollFlags::IN), (OUT, PollFlags::OUT), (PRI, PollFlags::PRI)];
    let known: i32 = pairs.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(mask, _)| *mask).sum();
    let rest = flags - (PollFlags::IN | PollFlags::OUT | PollFlags::PRI);
    known | if rest.is_empty() { 0 } else { ERR }
}
