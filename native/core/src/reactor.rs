//! One I/O thread: readiness, timers, commands, and parking for fork.
//!
//! The loop waits in epoll without a time-out unless a timer is set, so an idle thread makes no system
//! call. It serves listeners and sessions; no message of a live connection passes through it.
//!
//! Readiness is rustix' epoll and not mio's: a forked child must close every fd that it inherited
//! (fork.rs), and mio's are its own.
//!
//! **Parking.** Before a fork every I/O thread is asked to stand at the top of its loop, where it
//! holds no lock and no half-done work; after it the parent lets them go on. The child has none.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::EventfdFlags;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::thread::futex;
use shmzmq_shm::fork::Fd;

use crate::error::{Error, Result};
use crate::lifeline::Lifeline;
use crate::listener::Listener;
use crate::looker::Looker;
use crate::session::Session;
use crate::signaler::timespec;
use crate::socket::Socket;

/// How long a fork waits for an I/O thread to reach its loop top.
const PARK_CAP: Duration = Duration::from_millis(500);
const WAKE_TOKEN: u64 = u64::MAX;
/// What a connection is always watched for.
const EDGES: EventFlags = EventFlags::OUT.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Who sends what to an I/O thread, and why.
pub enum Command {
    /// From `bind`: serve this listening socket.
    Listen(Box<Listener>),
    /// From `connect`: try to reach the endpoint, again and again.
    Connect(Box<Session>),
    /// From `unbind`, `disconnect`: stop serving this endpoint of this socket, then open the gate.
    Stop { socket: u64, endpoint: u64, linger: Option<Instant>, gate: Arc<Gate> },
    /// From `close`: stop serving the socket; sessions with queued messages have until `linger`.
    Close { socket: u64, linger: Option<Instant>, gate: Arc<Gate> },
    /// From an application thread that found its peer's ring broken.
    Kill { token: u64, reason: String },
    /// The same, and nobody has counted it.
    Fail { token: u64, reason: String },
    /// From an application thread that wants this connection ended, and no other of its endpoint.
    HangUp { token: u64 },
    /// From an application thread whose ring was full: see to it that what is held moves.
    MoveHeld { token: u64 },
    /// From whoever made the socket's arena grow: see to it that it shrinks.
    Look { socket: Weak<Socket> },
    /// From an application thread: something waits to be written to the stream.
    Write { token: u64 },
    /// From an application thread that has room again: read on.
    Resume { token: u64 },
    /// From the thread that looked up the name: where to dial, None if nobody knows it.
    Resolved { token: u64, address: Option<SocketAddr> },
    /// From the context, when no socket is left.
    Quit,
}

/// Something that opens once.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    /// Waits for it at most `cap`.
    pub fn wait(&self, cap: Duration) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_timeout_while(open, cap, |open| !*open));
    }
}

/// What the rest of the process sees of an I/O thread.
pub struct IoThread {
    commands: Mutex<Vec<Command>>,
    wake: Fd,
    epoll: Fd,
    /// Listeners and sessions served, to choose the least busy thread.
    pub load: AtomicUsize,
    /// 1: a fork wants the thread to park.
    park: AtomicU32,
    /// 1: it is parked.
    parked: AtomicU32,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl IoThread {
    pub fn start(name: &str) -> Result<Arc<IoThread>> {
        let system = |call| move |errno: Errno| Error::System { call, errno: errno.raw_os_error() };
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(system("eventfd"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create1"))?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE_TOKEN), flags).map_err(system("epoll_ctl"))?;
        let shared = Arc::new(IoThread {
            commands: Mutex::default(),
            wake: wake.into(),
            epoll: epoll.into(),
            load: AtomicUsize::new(0),
            park: AtomicU32::new(0),
            parked: AtomicU32::new(0),
            handle: Mutex::default(),
        });
        let reactor = Reactor {
            io: Io {
                thread: shared.clone(),
                timers: BTreeSet::new(),
                lifelines: Vec::new(),
                again: Vec::new(),
                evicted: Vec::new(),
                luxury: false,
                scarce: false,
            },
            entries: Vec::new(),
            free: Vec::new(),
            generation: 0,
            quit: false,
        };
        let spawned = with_signals_blocked(|| {
            std::thread::Builder::new().name(name.to_owned()).spawn(move || reactor.run())
        });
        let handle = spawned.map_err(|error| Error::System {
            call: "pthread_create",
            errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
        })?;
        *shared.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        Ok(shared)
    }

    pub fn post(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.nudge();
    }

    fn nudge(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Ends the thread; what it still serves is dropped.
    pub fn stop(&self) {
        self.post(Command::Quit);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            let _ = handle.join();
        }
    }

    /// Before a fork: asks the thread to park.
    pub fn ask_to_park(&self) {
        self.parked.store(0, Ordering::Release);
        self.park.store(1, Ordering::Release);
        self.nudge();
    }

    /// Before a fork: waits until it is parked, at most a moment.
    pub fn wait_parked(&self) {
        let end = Instant::now() + PARK_CAP;
        while self.parked.load(Ordering::Acquire) == 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let _ = futex::wait(&self.parked, futex::Flags::PRIVATE, 0, Some(&timespec(left)));
        }
    }

    /// After a fork, in the parent.
    pub fn unpark(&self) {
        self.park.store(0, Ordering::Release);
        let _ = futex::wake(&self.park, futex::Flags::PRIVATE, 1);
    }

    fn park_if_asked(&self) {
        while self.park.load(Ordering::Acquire) == 1 {
            self.parked.store(1, Ordering::Release);
            let _ = futex::wake(&self.parked, futex::Flags::PRIVATE, 1);
            let _ = futex::wait(&self.park, futex::Flags::PRIVATE, 1, None);
        }
        self.parked.store(0, Ordering::Release);
    }
}

/// New threads inherit the mask: no signal is ever delivered to an I/O thread, so the kernel hands
/// all of them to threads that run Python.
pub(crate) fn with_signals_blocked<T>(run: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for writing; sigfillset initialises `all` before it is read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
    }
    let result = run();
    // SAFETY: `old` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    result
}

/// By which an application thread reaches the session of a pipe.
#[derive(Clone)]
pub struct SessionHandle {
    pub thread: Arc<IoThread>,
    pub token: u64,
}

impl SessionHandle {
    pub fn kill(&self, reason: &str) {
        self.thread.post(Command::Kill { token: self.token, reason: reason.to_owned() });
    }

    /// The same, and it counts as the peer's failure.
    pub fn fail(&self, reason: &str) {
        self.thread.post(Command::Fail { token: self.token, reason: reason.to_owned() });
    }

    /// Ends the connection when all is written; none follows it.
    pub fn hang_up(&self) {
        self.thread.post(Command::HangUp { token: self.token });
    }

    /// Something waits in the stream.
    pub fn flush(&self) {
        self.thread.post(Command::Write { token: self.token });
    }

    /// The reader of a stalled stream has room again.
    pub fn resume(&self) {
        self.thread.post(Command::Resume { token: self.token });
    }

    /// Whether the thread hears of what comes from `fd`. What is there when it begins to is told at once.
    pub fn hear(&self, fd: BorrowedFd<'_>, hears: bool) -> std::result::Result<(), Errno> {
        let flags = if hears { EDGES | EventFlags::IN } else { EDGES };
        epoll::modify(&self.thread.epoll, fd, EventData::new_u64(self.token), flags)
    }

    pub fn move_held(&self) {
        self.thread.post(Command::MoveHeld { token: self.token });
    }
}

/// What listeners and sessions need of their thread.
pub struct Io {
    pub thread: Arc<IoThread>,
    timers: BTreeSet<(Instant, u64)>,
    /// To be served from now on.
    pub lifelines: Vec<Lifeline>,
    /// Sessions that had more to do than their turn allows.
    again: Vec<u64>,
    /// Sessions whose place in a door is wanted.
    evicted: Vec<u64>,
    /// Some peers cost more than one fd.
    luxury: bool,
    /// Fds are scarce: they should not.
    scarce: bool,
}

impl Io {
    /// A peer joined, perhaps with fds beyond its connection's.
    pub fn peer_joined(&mut self, luxury: bool, scarce: bool) {
        self.luxury |= luxury;
        self.scarce |= scarce;
    }

    /// No fd was left for a new connection.
    pub fn out_of_fds(&mut self) {
        self.scarce = true;
    }

    /// Calls `token` in the next round: it had more to do than its turn allows.
    pub fn again(&mut self, token: u64) {
        if !self.again.contains(&token) {
            self.again.push(token);
        }
    }

    /// The places of those sessions in their door are wanted.
    pub fn evict(&mut self, tokens: Vec<u64>) {
        self.evicted.extend(tokens);
    }

    /// Reports edges of `fd` to `token`.
    pub fn watch(&self, fd: BorrowedFd<'_>, token: u64) -> std::result::Result<(), Errno> {
        epoll::add(&self.thread.epoll, fd, EventData::new_u64(token), EDGES | EventFlags::IN)
    }

    pub fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.thread.epoll, fd);
    }

    /// Calls `token` at `at`. Several may be set; a call may come for one that is no longer wanted.
    pub fn call_at(&mut self, at: Instant, token: u64) {
        self.timers.insert((at, token));
    }

    /// The call at `at` is no longer wanted.
    pub fn forget(&mut self, at: Instant, token: u64) {
        self.timers.remove(&(at, token));
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn due(&mut self) -> Option<u64> {
        let now = Instant::now();
        let &(at, token) = self.timers.first()?;
        (at <= now).then(|| {
            self.timers.pop_first();
            token
        })
    }
}

enum Entry {
    Listener(Box<Listener>),
    Session(Box<Session>),
    Lifeline(Lifeline),
    Looker(Looker),
}

impl Entry {
    fn belongs(&self, socket: u64, endpoint: Option<u64>) -> bool {
        let (theirs, of) = match self {
            Entry::Listener(listener) => (listener.socket.id, listener.endpoint),
            Entry::Session(session) => (session.socket.id, session.endpoint),
            Entry::Lifeline(_) | Entry::Looker(_) => return false,
        };
        theirs == socket && endpoint.is_none_or(|endpoint| endpoint == of)
    }
}

/// What an entry wants after it was called.
pub enum Next {
    Stay,
    /// It has ended and cleaned up.
    Remove,
    /// A listener accepted these.
    Accepted(Vec<Session>),
}

struct Reactor {
    io: Io,
    /// By the low half of the token; the high half tells a reused place from its earlier user.
    entries: Vec<(u32, Option<Entry>)>,
    free: Vec<usize>,
    generation: u32,
    quit: bool,
}

impl Reactor {
    fn run(mut self) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        loop {
            self.io.thread.clone().park_if_asked();
            self.run_commands();
            if self.quit {
                return;
            }
            if std::mem::take(&mut self.io.scarce) && std::mem::take(&mut self.io.luxury) {
                self.economise();
            }
            while let Some(token) = self.io.due() {
                self.call(token, |entry, io| match entry {
                    Entry::Session(session) => session.on_timer(io),
                    Entry::Listener(listener) => listener.on_timer(io),
                    Entry::Looker(looker) => looker.on_timer(io),
                    Entry::Lifeline(_) => Next::Stay,
                });
            }
            for token in std::mem::take(&mut self.io.again) {
                self.call_session(token, |session, io| {
                    session.on_ready(io, EventFlags::IN | EventFlags::OUT)
                });
            }
            let timeout = if self.io.again.is_empty() {
                self.io.next_timer().map(|at| timespec(at.saturating_duration_since(Instant::now())))
            } else {
                Some(timespec(Duration::ZERO))
            };
            let Ok((ready, _)) = epoll::wait(&self.io.thread.epoll, &mut events, timeout.as_ref()) else {
                continue;
            };
            let tokens: Vec<(u64, EventFlags)> =
                ready.iter().map(|event| (event.data.u64(), event.flags)).collect();
            for (token, flags) in tokens {
                if token != WAKE_TOKEN {
                    self.call(token, |entry, io| match entry {
                        Entry::Session(session) => session.on_ready(io, flags),
                        Entry::Listener(listener) => listener.on_ready(io),
                        Entry::Lifeline(lifeline) => lifeline.on_ready(io, flags),
                        Entry::Looker(_) => Next::Stay,
                    });
                }
            }
        }
    }

    fn run_commands(&mut self) {
        let commands =
            std::mem::take(&mut *self.io.thread.commands.lock().unwrap_or_else(PoisonError::into_inner));
        for command in commands {
            match command {
                Command::Listen(listener) => self.add(Entry::Listener(listener)),
                Command::Connect(session) => self.add(Entry::Session(session)),
                Command::Stop { socket, endpoint, linger, gate } => {
                    self.stop(socket, Some(endpoint), linger);
                    gate.open();
                }
                Command::Close { socket, linger, gate } => {
                    self.stop(socket, None, linger);
                    gate.open();
                }
                Command::MoveHeld { token } => {
                    self.call_session(token, |session, io| session.move_held(io));
                }
                Command::Kill { token, reason } => {
                    self.call_session(token, |session, io| session.on_kill(io, &reason));
                }
                Command::Fail { token, reason } => {
                    self.call_session(token, |session, io| session.on_fail(io, &reason));
                }
                Command::HangUp { token } => {
                    self.call_session(token, |session, io| session.on_stop(io, None));
                }
                Command::Look { socket } => self.add(Entry::Looker(Looker::new(socket))),
                Command::Write { token } => self.call_session(token, |session, io| session.on_write(io)),
                Command::Resume { token } => self.call_session(token, |session, io| session.on_resume(io)),
                Command::Resolved { token, address } => {
                    self.call_session(token, |session, io| session.on_resolved(io, address));
                }
                Command::Quit => self.quit = true,
            }
        }
    }

    fn economise(&mut self) {
        for (_, entry) in &mut self.entries {
            if let Some(Entry::Session(session)) = entry {
                session.economise(&mut self.io);
            }
        }
    }

    fn add(&mut self, entry: Entry) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            self.entries.len() - 1
        });
        self.generation = self.generation.wrapping_add(1);
        let token = index as u64 | (u64::from(self.generation) << 32);
        self.entries[index] = (self.generation, Some(entry));
        self.io.thread.load.fetch_add(1, Ordering::Relaxed);
        self.call(token, |entry, io| match entry {
            Entry::Session(session) => session.begin(io, token),
            Entry::Listener(listener) => listener.begin(io, token),
            Entry::Lifeline(lifeline) => lifeline.begin(io, token),
            Entry::Looker(looker) => looker.begin(io, token),
        });
    }

    fn call_session(&mut self, token: u64, run: impl FnOnce(&mut Session, &mut Io) -> Next) {
        self.call(token, |entry, io| match entry {
            Entry::Session(session) => run(session, io),
            _ => Next::Stay,
        });
    }

    /// Lets the entry of `token` do something, and does what it wants then.
    fn call(&mut self, token: u64, run: impl FnOnce(&mut Entry, &mut Io) -> Next) {
        let index = token as u32 as usize;
        let Some((generation, Some(entry))) = self.entries.get_mut(index) else { return };
        if u64::from(*generation) != token >> 32 {
            return;
        }
        let next = run(entry, &mut self.io);
        match next {
            Next::Stay => {}
            Next::Remove => self.remove(index),
            Next::Accepted(sessions) => {
                for session in sessions {
                    self.add(Entry::Session(Box::new(session)));
                }
            }
        }
        self.add_wanted();
    }

    /// What an entry left behind.
    fn add_wanted(&mut self) {
        while let Some(token) = self.io.evicted.pop() {
            self.call_session(token, |session, io| session.on_evicted(io));
        }
        while let Some(lifeline) = self.io.lifelines.pop() {
            self.add(Entry::Lifeline(lifeline));
        }
    }

    fn remove(&mut self, index: usize) {
        if self.entries[index].1.take().is_some() {
            self.free.push(index);
            self.io.thread.load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends what serves a socket, or one endpoint of it. Sessions with queued messages may go on until
    /// `linger`, None for ever.
    fn stop(&mut self, socket: u64, endpoint: Option<u64>, linger: Option<Instant>) {
        for index in 0..self.entries.len() {
            let Some(entry) = &mut self.entries[index].1 else { continue };
            if !entry.belongs(socket, endpoint) {
                continue;
            }
            let next = match entry {
                Entry::Session(session) => session.on_stop(&mut self.io, linger),
                _ => Next::Remove,
            };
            if let Next::Remove = next {
                self.remove(index);
            }
        }
        self.add_wanted();
    }
}
