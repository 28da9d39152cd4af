//! A context: owner of sockets and I/O threads; the unit of shutdown and of inproc names.
//!
//! **Order of ending.** `terminate` makes every call on every socket fail with ETERM; `wait_empty`
//! waits until all sockets are closed and have lingered; `finish` ends the I/O threads. Sockets are
//! kept in the table from `socket` to `unregister`, which runs when the last session let go of it.
//!
//! I/O threads start with the first endpoint, or block of `alloc`, that needs one.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;
use shmzmq_shm::arena::Block;
use shmzmq_shm::fork::{self, Global};
use shmzmq_shm::table::Table;
use shmzmq_shm::{budget, exports, private};
use shmzmq_zmtp::SocketType;

use crate::counters;
use crate::dial::Address;
use crate::error::{Error, Result};
use crate::listener::Listener;
use crate::monitor::{self, Monitor};
use crate::pipe::local::{LocalIn, LocalOut};
use crate::reactor::{Command, Gate, IoThread};
use crate::session::Session;
use crate::signaler::timespec;
use crate::socket::life::local_pair;
use crate::socket::{Socket, Woken};
use crate::stats::Discard;

/// How long `unbind` and `close` wait for an I/O thread to let go of a listening socket.
const STOP_CAP: Duration = Duration::from_secs(2);

/// One line for the log: what kind of thing, and the text. Python drains and rate-limits them, each kind by itself;
/// what follows a `/` in a kind tells it from others and is not shown.
static LOG: Global<VecDeque<(Cause, String)>> = Global::new();
type Cause = Cow<'static, str>;
const LOG_LINES: usize = 100;
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Notes something a person may want to know. Never per message.
#[cold]
#[inline(never)]
pub fn log(cause: impl Into<Cause>, text: String) {
    let mut lines = LOG.lock();
    if lines.len() < LOG_LINES {
        lines.push_back((cause.into(), text));
        LOGGED.store(true, Ordering::Release);
    }
}

/// Whether there are lines to take.
#[inline]
pub fn has_log() -> bool {
    // SYNC: a hint; `take_log` takes the lock.
    LOGGED.load(Ordering::Relaxed)
}

/// Takes all lines; one load if there are none.
pub fn take_log() -> Vec<(Cause, String)> {
    if !LOGGED.swap(false, Ordering::AcqRel) {
        return Vec::new();
    }
    LOG.lock().drain(..).collect()
}

/// Every context of the process, for the fork hooks.
static CONTEXTS: Global<Vec<Weak<Context>>> = Global::new();

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every context of this process that still exists.
pub fn all_contexts() -> Vec<Arc<Context>> {
    let contexts: Vec<_> = CONTEXTS.lock().iter().filter_map(Weak::upgrade).collect();
    contexts.into_iter().filter(|context| context.check_process().is_ok()).collect()
}

fn all_threads() -> Vec<Arc<IoThread>> {
    all_contexts().iter().flat_map(|context| locked(&context.threads).clone()).collect()
}

/// Before a fork: every I/O thread stands still.
pub fn before_fork() {
    let threads = all_threads();
    threads.iter().for_each(|thread| thread.ask_to_park());
    threads.iter().for_each(|thread| thread.wait_parked());
    private::before_fork();
    exports::before_fork();
    counters::before_fork();
}

/// After a fork, in the parent.
pub fn after_fork_in_parent() {
    private::after_fork_in_parent();
    exports::after_fork_in_parent();
    counters::after_fork_in_parent();
    all_threads().iter().for_each(|thread| thread.unpark());
}

/// After a fork, in the child.
pub fn after_fork_in_child() {
    fork::after_in_child();
    private::after_in_child();
    exports::after_in_child();
    budget::after_in_child();
    counters::after_fork_in_child();
    LOG.renew();
    crate::session::forget_peers();
    // The parent's contexts are not ours to end: their memory stays until this process does.
    CONTEXTS.renew().into_iter().flatten().for_each(std::mem::forget);
}

/// A name that a socket has bound, or that sockets wait for.
#[derive(Default)]
struct InprocName {
    binder: Option<(Arc<Socket>, u64)>,
    /// In place of a binder: whoever connects reads events.
    monitor: Option<Arc<Monitor>>,
    waiting: Vec<Waiting>,
}

impl InprocName {
    fn check_free(&self, name: &str) -> Result<()> {
        if self.binder.is_some() || self.monitor.is_some() {
            return Err(Error::AddressInUse(format!("inproc://{name} is bound in this context")));
        }
        Ok(())
    }
}

/// A connecter that came before its binder.
struct Waiting {
    routing_id: Vec<u8>,
    kind: SocketType,
    /// None once it is closed: then only what it had sent is still to be delivered.
    socket: Option<Arc<Socket>>,
    endpoint: u64,
    /// The binder's ends; the connecter has its own already, unless it is a ROUTER, which cannot
    /// name a peer before it has one.
    theirs: (LocalOut, LocalIn),
    ours: Option<(LocalOut, LocalIn)>,
}

pub struct Context {
    born: u64,
    terminating: AtomicBool,
    threads: Mutex<Vec<Arc<IoThread>>>,
    sockets: Mutex<Table<u64, Arc<Socket>>>,
    inproc: Mutex<HashMap<String, InprocName>>,
    next: AtomicU64,
    /// Sockets in the table; a futex for `wait_empty`.
    count: AtomicU32,
    pub io_threads: AtomicU32,
    pub max_sockets: AtomicU32,
    /// It has had a socket: the process shows its counters.
    shown: AtomicBool,
}

impl Context {
    pub fn new(io_threads: u32) -> Arc<Context> {
        let context = Arc::new(Context {
            born: fork::generation(),
            terminating: AtomicBool::new(false),
            threads: Mutex::default(),
            sockets: Mutex::default(),
            inproc: Mutex::default(),
            next: AtomicU64::new(1),
            count: AtomicU32::new(0),
            io_threads: AtomicU32::new(io_threads),
            max_sockets: AtomicU32::new(1023),
            shown: AtomicBool::new(false),
        });
        let mut all = CONTEXTS.lock();
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&context));
        context
    }

    pub fn check_process(&self) -> Result<()> {
        if fork::is_ours(self.born) { Ok(()) } else { Err(Error::Forked(fork::creator(self.born))) }
    }

    fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn socket(self: &Arc<Self>, kind: i32) -> Result<Arc<Socket>> {
        self.check_process()?;
        if self.terminating.load(Ordering::Acquire) {
            return Err(Error::Terminated);
        }
        let limit = self.max_sockets.load(Ordering::Relaxed);
        if self.count.load(Ordering::Acquire) >= limit {
            return Err(Error::TooManySockets(limit as i32));
        }
        let socket = Arc::new(Socket::new(self.id(), kind, self.clone())?);
        locked(&self.sockets).insert(socket.id, socket.clone());
        self.count.fetch_add(1, Ordering::AcqRel);
        if !self.shown.swap(true, Ordering::AcqRel) {
            counters::begin();
        }
        // `terminate` may have listed the sockets just before.
        if self.terminating.load(Ordering::Acquire) {
            socket.terminate();
        }
        Ok(socket)
    }

    /// The least busy I/O thread; starts one while fewer run than the context may have.
    fn thread(&self) -> Result<Arc<IoThread>> {
        let mut threads = locked(&self.threads);
        let idle = threads.iter().any(|thread| thread.load.load(Ordering::Relaxed) == 0);
        if !idle && threads.len() < self.io_threads.load(Ordering::Relaxed).max(1) as usize {
            let name = format!("shmzmq-io-{}", threads.len());
            threads.push(IoThread::start(&name)?);
        }
        let least = threads.iter().min_by_key(|thread| thread.load.load(Ordering::Relaxed));
        least.cloned().ok_or_else(|| Error::Invalid("IO_THREADS is 0".to_owned()))
    }

    /// Serves a listening socket that Python bound.
    pub fn listen(&self, socket: &Arc<Socket>, fd: OwnedFd, text: Arc<[u8]>) -> Result<u64> {
        socket.check_process()?;
        drop(socket.enter()?);
        let endpoint = self.id();
        let thread = self.thread()?;
        socket.endpoints.note(endpoint, true, text.clone());
        socket.events.emit(monitor::LISTENING, fd.as_raw_fd() as u32, &text);
        thread.post(Command::Listen(Box::new(Listener::new(socket.clone(), endpoint, fd, text))));
        Ok(endpoint)
    }

    /// A block for a frame that will be written in place. Never waits.
    pub fn try_alloc(&self, socket: &Arc<Socket>, len: usize, patient: bool) -> Result<Arc<Block>> {
        let (block, unwatched) = socket.try_alloc(len, patient)?;
        if unwatched {
            self.thread()?.post(Command::Look { socket: Arc::downgrade(socket) });
        }
        Ok(block)
    }

    pub fn connect(&self, socket: &Arc<Socket>, address: Address) -> Result<u64> {
        socket.check_process()?;
        let endpoint = self.id();
        let slot = socket.add_connecter(endpoint)?;
        socket.endpoints.note(endpoint, false, address.text());
        let mut session = Session::connecter(socket.clone(), endpoint, address, slot);
        // The peer gets to work while our I/O thread, perhaps, is only being made.
        session.dial_early();
        match self.thread() {
            Ok(thread) => thread.post(Command::Connect(Box::new(session))),
            Err(error) => {
                socket.endpoints.forget(endpoint);
                slot.into_iter().for_each(|slot| socket.drop_pipe(slot, Discard::PeerGone));
                return Err(error);
            }
        }
        Ok(endpoint)
    }

    pub fn bind_inproc(&self, socket: &Arc<Socket>, name: &str) -> Result<u64> {
        drop(socket.enter()?);
        let endpoint = self.id();
        let waiting = {
            let mut names = locked(&self.inproc);
            let entry = names.entry(name.to_owned()).or_default();
            entry.check_free(name)?;
            entry.binder = Some((socket.clone(), endpoint));
            std::mem::take(&mut entry.waiting)
        };
        socket.endpoints.note(endpoint, true, format!("inproc://{name}").into_bytes().into());
        for one in waiting {
            if let Some(ours) = one.ours {
                // Its socket may have been closed meanwhile; then nobody is connected.
                let joined = one
                    .socket
                    .as_ref()
                    .map(|of| of.join_local(one.endpoint, ours, socket.routing_id(), None, false));
                if joined.is_none_or(|joined| joined.is_err()) {
                    continue;
                }
            }
            socket.join_local(endpoint, one.theirs, one.routing_id, Some(one.kind), true)?;
            if let Some(of) = &one.socket {
                of.joined(one.endpoint, socket.kind);
            }
        }
        Ok(endpoint)
    }

    pub fn connect_inproc(&self, socket: &Arc<Socket>, name: &str) -> Result<u64> {
        drop(socket.enter()?);
        let endpoint = self.id();
        socket.endpoints.note(endpoint, false, format!("inproc://{name}").into_bytes().into());
        let (ours, theirs) = local_pair();
        let mut names = locked(&self.inproc);
        let entry = names.entry(name.to_owned()).or_default();
        if let Some((binder, bound)) = entry.binder.clone() {
            drop(names);
            let given = std::mem::take(&mut socket.enter()?.core.options.connect_routing_id);
            let name = if given.is_empty() { binder.routing_id() } else { given };
            socket.join_local(endpoint, ours, name, Some(binder.kind), false)?;
            binder.join_local(bound, theirs, socket.routing_id(), Some(socket.kind), true)?;
            return Ok(endpoint);
        }
        if let Some(monitor) = entry.monitor.clone() {
            drop(names);
            if let Some(ends) = monitor.reader() {
                socket.join_local(endpoint, ends, Vec::new(), Some(SocketType::Pair), false)?;
            }
            return Ok(endpoint);
        }
        // A name given by CONNECT_ROUTING_ID is a route before there is a peer.
        let name = std::mem::take(&mut socket.enter()?.core.options.connect_routing_id);
        let ours = if socket.kind == SocketType::Router && name.is_empty() {
            Some(ours)
        } else {
            socket.join_local(endpoint, ours, name, None, false)?;
            None
        };
        let routing_id = socket.routing_id();
        let kind = socket.kind;
        let socket = Some(socket.clone());
        entry.waiting.push(Waiting { routing_id, kind, socket, endpoint, theirs, ours });
        Ok(endpoint)
    }

    /// Ends one endpoint of a socket. Its listening fd, if it had one, is closed on return.
    pub fn stop_endpoint(&self, socket: &Socket, endpoint: u64) -> Result<()> {
        socket.check_process()?;
        socket.endpoints.forget(endpoint);
        self.forget_inproc(|of, bound| of.id == socket.id && bound == endpoint);
        let linger = linger_until(socket);
        self.post_all(|gate| Command::Stop { socket: socket.id, endpoint, linger, gate });
        Ok(())
    }

    /// `disconnect` over inproc: its pipes end, but what has arrived can still be read.
    pub fn drop_local_pipes(&self, socket: &Socket, endpoint: u64) {
        let slots: Vec<usize> = {
            let state = socket.state();
            let pipes = state.core.pipes.iter().flatten();
            pipes
                .filter(|pipe| pipe.endpoint == endpoint && pipe.transport() == "inproc")
                .map(|p| p.slot)
                .collect()
        };
        for slot in slots {
            socket.part(slot);
        }
    }

    fn forget_inproc(&self, ends: impl Fn(&Socket, u64) -> bool) {
        locked(&self.inproc).retain(|_, name| {
            if name.binder.as_ref().is_some_and(|(binder, endpoint)| ends(binder, *endpoint)) {
                name.binder = None;
            }
            name.waiting.retain_mut(|one| {
                let ended = one.socket.take_if(|socket| ends(socket, one.endpoint)).is_some();
                !ended || one.theirs.1.has_messages()
            });
            name.binder.is_some() || name.monitor.is_some() || !name.waiting.is_empty()
        });
    }

    fn post_all(&self, command: impl Fn(Arc<Gate>) -> Command) {
        let threads = locked(&self.threads).clone();
        let gates: Vec<_> = threads
            .iter()
            .map(|thread| {
                let gate = Arc::new(Gate::default());
                thread.post(command(gate.clone()));
                gate
            })
            .collect();
        gates.iter().for_each(|gate| gate.wait(STOP_CAP));
    }

    /// Closes a socket. Accepted messages go on waiting for their peer as long as LINGER says.
    pub fn close(&self, socket: &Arc<Socket>) {
        if !fork::is_ours(self.born) || socket.is_closed() {
            return;
        }
        self.forget_inproc(|of, _| of.id == socket.id);
        socket.close_pipes();
        let linger = linger_until(socket);
        self.post_all(|gate| Command::Close { socket: socket.id, linger, gate });
        socket.unserve_if_idle();
    }

    /// The socket is closed and nothing serves it any more.
    pub fn unregister(&self, socket: &Socket) {
        if locked(&self.sockets).remove(&socket.id).is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
            let _ = futex::wake(&self.count, futex::Flags::PRIVATE, i32::MAX as u32);
        }
    }

    /// Makes every call on every socket fail with ETERM.
    pub fn terminate(&self) {
        if fork::is_ours(self.born) {
            self.terminating.store(true, Ordering::Release);
            let sockets: Vec<_> = locked(&self.sockets).values().cloned().collect();
            sockets.iter().for_each(|socket| socket.terminate());
            // After all: who waits for an event is told ETERM as everybody is, and not of the end of one monitor.
            sockets.iter().for_each(|socket| self.stop_monitor(socket));
        }
    }

    /// From now on the socket tells the events in `mask` to whoever connects to the inproc name.
    pub fn monitor(&self, socket: &Socket, name: &str, mask: u32) -> Result<()> {
        drop(socket.enter()?);
        self.stop_monitor(socket);
        let mut names = locked(&self.inproc);
        let entry = names.entry(name.to_owned()).or_default();
        entry.check_free(name)?;
        // As at a PAIR, the first who waits is the reader; the pipes of others end.
        let mut waiting = std::mem::take(&mut entry.waiting).into_iter().filter(|one| one.ours.is_none());
        let monitor = Monitor::new(name.to_owned(), mask, waiting.next().map(|one| one.theirs));
        entry.monitor = Some(monitor.clone());
        drop(names);
        socket.events.replace(Some(monitor));
        if socket.is_closed() {
            self.stop_monitor(socket);
        }
        Ok(())
    }

    /// The monitor is told that it ends, and its name is free. Nothing if there is none.
    pub fn stop_monitor(&self, socket: &Socket) {
        let Some(old) = socket.events.replace(None) else { return };
        locked(&self.inproc).retain(|_, name| {
            name.monitor.take_if(|monitor| Arc::ptr_eq(monitor, &old));
            name.binder.is_some() || name.monitor.is_some() || !name.waiting.is_empty()
        });
    }

    /// Waits until every socket is closed and has lingered.
    pub fn wait_empty(&self, deadline: Option<Instant>) -> Woken {
        if !fork::is_ours(self.born) {
            return Woken::Look;
        }
        loop {
            let count = self.count.load(Ordering::Acquire);
            if count == 0 {
                return Woken::Look;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Woken::TimedOut;
            }
            let timeout = left.map(timespec);
            match futex::wait(&self.count, futex::Flags::PRIVATE, count, timeout.as_ref()) {
                Err(Errno::INTR) => return Woken::Interrupted,
                Err(Errno::TIMEDOUT) => return Woken::TimedOut,
                _ => {}
            }
        }
    }

    /// What keeps `wait_empty` waiting: open sockets, and closed ones with messages for nobody.
    pub fn blockers(&self) -> Vec<String> {
        let sockets: Vec<_> = locked(&self.sockets).values().cloned().collect();
        let line = |socket: &Arc<Socket>| {
            let depth: u64 = socket.state().core.pipes.iter_mut().flatten().map(|pipe| pipe.depth()).sum();
            let kind = socket.kind.name();
            if socket.is_closed() {
                format!("{kind} socket is closed and has {depth} unsent messages")
            } else {
                format!("{kind} socket is open")
            }
        };
        sockets.iter().map(line).collect()
    }

    /// Ends the I/O threads.
    pub fn finish(&self) {
        if fork::is_ours(self.born) {
            let threads = std::mem::take(&mut *locked(&self.threads));
            threads.iter().for_each(|thread| thread.stop());
            if self.shown.swap(false, Ordering::AcqRel) {
                counters::end();
            }
        }
    }

    /// It has had a socket and has not ended.
    pub fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Acquire)
    }

    /// Those that are open or linger.
    pub fn all_sockets(&self) -> Vec<Arc<Socket>> {
        locked(&self.sockets).values().cloned().collect()
    }
}

/// When the socket's LINGER is over if it begins now; None for never.
fn linger_until(socket: &Socket) -> Option<Instant> {
    u64::try_from(socket.linger()).ok().map(|ms| Instant::now() + Duration::from_millis(ms))
}

impl Socket {
    /// An I/O thread begins to serve this socket.
    pub fn serve(&self) {
        self.served.fetch_add(1, Ordering::AcqRel);
    }

    /// An I/O thread let go of it.
    pub fn unserve(&self) {
        if self.served.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.unserve_if_idle();
        }
    }

    /// Tells the context once a closed socket is served by nobody.
    pub fn unserve_if_idle(&self) {
        let idle = self.served.load(Ordering::Acquire) == 0;
        if idle && self.is_closed() && !self.gone.swap(true, Ordering::AcqRel) {
            self.context.stop_monitor(self);
            self.context.unregister(self);
        }
    }
}
