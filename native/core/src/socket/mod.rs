//! A socket: the pattern end point. This file is the base; the types are the files beside it.
//!
//! **Who touches what.** Everything of a socket that changes is in [`State`], under one lock that is
//! held for an attempt and never across a wait. Application threads take it for every call, I/O
//! threads when a peer comes or goes. Under it nobody calls Python, blocks, or takes another
//! socket's lock.
//!
//! **Waiting.** A call that cannot go on releases everything and waits in [`Socket::wait`]: first it
//! spins (policy.rs), then it arms all pipes, arms the ready words, and sleeps on the doorbell. If
//! several threads wait, one (the leader) sleeps on the doorbell and the others on a word of this
//! process; whoever stops leading wakes them, and one of them leads.
//!
//! **Ending.** `close` makes every later call fail and wakes every waiter. Pipes that hold accepted
//! messages for a peer that is not there yet stay, with their sessions, until LINGER ends; then the
//! context is told that the socket is gone.

pub mod burst;
pub mod core;
pub mod dealer;
pub mod life;
pub mod notes;
pub mod pair;
pub mod pattern;
pub mod policy;
pub mod probe;
pub mod pull;
pub mod push;
pub mod rep;
pub mod req;
pub mod router;
pub mod stream;
pub mod watch;
pub mod xpub;
pub mod xsub;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;
use shmzmq_shm::ring::Part;
use shmzmq_shm::{fork, ready};
use shmzmq_zmtp::SocketType;

use crate::context::Context;
use crate::counters::Endpoints;
use crate::error::{Error, Result};
use crate::lock::{AttemptLock, Guard};
use crate::message::{Frames, Payload, Sink, Skip};
use crate::monitor::Events;
use crate::options::{ARENA_MAX, HWM_BYTES, Options, RCVHWM, SNDHWM};
use crate::origin::Origin;
use crate::pipe::overflow::Policy;
use crate::pipe::stream::{Caught, Stream};
use crate::signaler::Signaler;
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, Setting};
use crate::socket::policy::SpinPolicy;
use crate::socket::watch::Watchers;
use crate::stats::Discard;

/// Longest wait for a full ring whose reader moves, before its position is compared again.
const SOON: Duration = Duration::from_millis(1);

/// Longest wait for memory before it is asked for again.
const STARVED: Duration = Duration::from_millis(10);

/// Times that a program reads a connection before it looks at the clock again.
const DIRECT_ROUNDS: usize = 64;
/// No spin lasts longer, whatever SPIN_US says: signals are heard behind it.
const SPIN_MAX: Duration = Duration::from_millis(50);
/// Between two looks of a spin on a stream, in spin-loop hints: a look is a system call, and disturbs the sender's.
const STREAM_GAP: u32 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Open,
    /// The context ends: calls fail with ETERM until the owner closes.
    Terminated,
    Closed,
}

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Receive,
    Send,
    /// A block of the arena.
    Memory,
    /// The caller polls: ends when either holds.
    Events {
        receive: bool,
        send: bool,
    },
}

impl Interest {
    fn sends(self) -> bool {
        matches!(self, Interest::Send | Interest::Memory | Interest::Events { send: true, .. })
    }

    fn receives(self) -> bool {
        matches!(self, Interest::Receive | Interest::Events { receive: true, .. })
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something changed: try again.
    Look,
    TimedOut,
    /// A signal arrived: let the language run its handlers, then wait on.
    Interrupted,
}

pub struct State {
    pub core: Core,
    pub pattern: Box<dyn Pattern>,
    pub status: Status,
    /// Parts of a message that was begun with SNDMORE.
    pending: Vec<Payload>,
    /// RCVMORE: the last received frame was not the last of its message.
    pub rcvmore: bool,
    policy: SpinPolicy,
    watchers: Watchers,
}

pub struct Socket {
    pub id: u64,
    pub kind: SocketType,
    pub context: Arc<Context>,
    pub signaler: Arc<Signaler>,
    pub events: Events,
    born: u64,
    state: AttemptLock<State>,
    leading: AtomicBool,
    /// Bumped to wake those who do not lead.
    followers: AtomicU32,
    pub(crate) waiting: AtomicU32,
    /// Their texts, for who looks from outside.
    pub endpoints: Endpoints,
    /// Sessions and listeners that I/O threads hold for this socket.
    pub served: AtomicUsize,
    pub gone: AtomicBool,
}

fn pattern_of(kind: SocketType) -> Option<Box<dyn Pattern>> {
    Some(match kind {
        SocketType::Pair => Box::<pair::Pair>::default(),
        SocketType::Push => Box::new(push::Push),
        SocketType::Pull => Box::new(pull::Pull),
        SocketType::Req => Box::<req::Req>::default(),
        SocketType::Rep => Box::<rep::Rep>::default(),
        SocketType::Dealer => Box::new(dealer::Dealer),
        SocketType::Router => Box::<router::Router>::default(),
        SocketType::Pub => Box::new(xpub::XPub::new(true)),
        SocketType::XPub => Box::new(xpub::XPub::new(false)),
        SocketType::Sub => Box::new(xsub::XSub::new(true)),
        SocketType::XSub => Box::new(xsub::XSub::new(false)),
        SocketType::Stream => Box::<stream::Stream>::default(),
    })
}

impl Socket {
    pub(crate) fn new(id: u64, number: i32, context: Arc<Context>) -> Result<Socket> {
        let known = SocketType::from_number(number);
        let (kind, pattern) = known
            .and_then(|kind| Some((kind, pattern_of(kind)?)))
            .ok_or_else(|| Error::Invalid(format!("socket type {number}")))?;
        let signaler = Signaler::new().map_err(|error| Error::System {
            call: "memfd_create or eventfd",
            errno: match error {
                shmzmq_shm::segment::SegmentError::System { errno, .. } => errno.raw_os_error(),
                _ => libc::ENOMEM,
            },
        })?;
        let signaler = Arc::new(signaler);
        let state = State {
            core: Core::new(Options::default(), signaler.clone()),
            pattern,
            status: Status::Open,
            pending: Vec::new(),
            rcvmore: false,
            policy: SpinPolicy::default(),
            watchers: Watchers::default(),
        };
        Ok(Socket {
            id,
            kind,
            context,
            signaler,
            born: fork::generation(),
            state: AttemptLock::new(state),
            events: Events::default(),
            leading: AtomicBool::new(false),
            followers: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            endpoints: Endpoints::default(),
            served: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
        })
    }

    /// Under the lock, whatever the status: for I/O threads and snapshots.
    pub fn state(&self) -> Guard<'_, State> {
        self.state.lock()
    }

    pub fn check_process(&self) -> Result<()> {
        if fork::is_ours(self.born) { Ok(()) } else { Err(Error::Forked(fork::creator(self.born))) }
    }

    /// Under the lock, if the socket may be used here and now; with all marks applied.
    #[inline]
    pub fn enter(&self) -> Result<Guard<'_, State>> {
        self.check_process()?;
        let mut state = self.state.lock();
        match state.status {
            Status::Open => {}
            Status::Closed => return Err(Error::NotSocket),
            Status::Terminated => return Err(Error::Terminated),
        }
        if ready::pending(&self.signaler.page) {
            state.apply_marks();
            // The marks may be for what another waiter armed; nobody else will tell it now.
            if self.waiting.load(Ordering::Acquire) > 1 {
                self.wake_followers();
            }
        }
        Ok(state)
    }

    /// What it sends is subscriptions, perhaps among messages: none may be dropped for a newer one.
    pub fn subscribes(&self) -> bool {
        matches!(self.kind, SocketType::Sub | SocketType::XSub)
    }

    /// Its connections carry bytes as they are, without a handshake.
    pub fn is_raw(&self) -> bool {
        self.kind == SocketType::Stream
    }

    /// What it receives is subscriptions.
    pub fn publishes(&self) -> bool {
        matches!(self.kind, SocketType::Pub | SocketType::XPub)
    }

    /// Sends one whole message, or says why not. Never waits.
    #[inline]
    pub fn try_send(&self, frames: &dyn Frames, patient: bool) -> Result<()> {
        let mut state = self.enter()?;
        let sent = state.send(frames, patient);
        self.tell_watchers(&mut state, &sent);
        sent
    }

    /// Keeps a part whose message is not complete; `try_send` sends them together.
    pub fn try_send_more(&self, frames: &dyn Frames) -> Result<()> {
        let mut state = self.enter()?;
        if !state.pending.is_empty() && state.pattern.pairs() {
            let sent = state.send(frames, false);
            self.tell_watchers(&mut state, &sent);
            return sent;
        }
        let State { core, pattern, pending, .. } = &mut *state;
        if pending.is_empty() {
            let part = frames.parts()[0];
            // SAFETY: the caller keeps its parts readable during the call.
            let admitted = pattern.admit(core, unsafe { std::slice::from_raw_parts(part.at, part.len) });
            if core.options.policy() != Policy::DropNewest || admitted != Err(Error::Again) {
                admitted?;
            }
        }
        pending.push(frames.keep(0)?);
        state.settle();
        Ok(())
    }

    /// After a send that said Again: asks to be marked when it may succeed. False: try again first.
    pub fn sleep_output(&self) -> bool {
        let mut state = self.state();
        let State { core, pattern, .. } = &mut *state;
        pattern.sleep_output(core)
    }

    /// Receives one frame into `sink`, or says why not. True if more of its message follow. Never waits.
    #[inline]
    pub fn try_recv(&self, sink: &mut dyn Sink) -> Result<bool> {
        let mut state = self.enter()?;
        let received = state.recv(sink);
        self.tell_watchers(&mut state, &received);
        received
    }

    /// `try_recv`, and the connection that the frame came over.
    pub fn try_recv_from(&self, sink: &mut dyn Sink) -> Result<(bool, Option<Arc<Origin>>)> {
        let mut state = self.enter()?;
        let received = state.pattern_recv(sink);
        let slot = state.core.inbox.source;
        let origin = state.core.pipe(slot).and_then(|pipe| pipe.origin().cloned());
        let more = state.received(received);
        self.tell_watchers(&mut state, &more);
        Ok((more?, origin))
    }

    /// Drops what is left of a message whose last frames find no memory, so that it is not taken for a message.
    pub fn abandon_message(&self) {
        if let Ok(mut state) = self.enter() {
            state.abandon_message();
        }
    }

    /// The short spin that a caller does before it lets other threads run. True: try again.
    #[inline]
    pub fn spin_briefly(&self, interest: Interest, cap: Duration) -> bool {
        let promising = {
            let mut state = self.state.lock();
            let promising = state.policy.promising(state.core.options.spin_us, state.core.peer_awake);
            promising && !(interest == Interest::Receive && state.policy.asks_next())
        };
        promising && self.spin(interest, Instant::now() + cap)
    }

    /// Looks for something to move until `end`.
    fn spin(&self, interest: Interest, end: Instant) -> bool {
        let gap = {
            let mut state = self.state.lock();
            let State { core, policy, .. } = &mut *state;
            policy.pace(&core.stats)
        };
        let mut looks = 0;
        loop {
            for _ in 0..if gap == 0 { 16 } else { 1 } {
                (0..=gap).for_each(|_| std::hint::spin_loop());
                if self.moved(interest) {
                    let mut state = self.state.lock();
                    state.policy.won();
                    state.core.stats.spins_won += 1;
                    return true;
                }
            }
            // With a pause, the first look may come late: there are at least three.
            looks += 1;
            if Instant::now() >= end && (gap == 0 || looks >= 3) {
                return false;
            }
        }
    }

    /// Reads again and again what the caller reads by itself, for as long as that is likely to be worth it.
    fn spin_on_stream(&self, stream: &Stream, interest: Interest, deadline: Option<Instant>) -> bool {
        let budget = {
            let mut state = self.state.lock();
            let State { core, policy, .. } = &mut *state;
            policy.stream_budget(core.options.spin_us)
        };
        if budget.is_zero() {
            return false;
        }
        let end = spin_end(budget, deadline);
        while Instant::now() < end {
            (0..STREAM_GAP).for_each(|_| std::hint::spin_loop());
            if read_directly(stream) || self.moved(interest) {
                let mut state = self.state.lock();
                state.policy.won();
                state.core.stats.spins_won += 1;
                return true;
            }
        }
        self.state.lock().core.stats.spins_lost += 1;
        false
    }

    /// Lets others run once before sleeping, if that has been worth it: a sender that shares this CPU
    /// then sends on instead of ringing for every message. True: something moved.
    fn give_way(&self, interest: Interest) -> bool {
        {
            let mut state = self.state.lock();
            let State { core, policy, .. } = &mut *state;
            if !policy.gives_way(&core.stats) {
                return false;
            }
        }
        let took = give_cpu_away();
        let moved = self.moved(interest);
        self.state.lock().policy.gave_way(moved, took);
        moved
    }

    #[inline]
    pub(crate) fn moved(&self, interest: Interest) -> bool {
        ready::pending(&self.signaler.page) || (interest.receives() && self.state.lock().core.input_moved())
    }

    /// Waits until `interest` may hold, at most to `deadline`. Takes no GIL and needs none. May end
    /// early: the caller tries again and knows its own deadline.
    pub fn wait(&self, interest: Interest, deadline: Option<Instant>) -> Result<Woken> {
        self.wait_after(true, interest, deadline)
    }

    /// The same where nothing has moved for long: nobody is in a hurry, and no signal comes before the sleep that
    /// would have to interrupt it.
    pub fn wait_on(&self, interest: Interest, deadline: Option<Instant>) -> Result<Woken> {
        self.wait_after(false, interest, deadline)
    }

    fn wait_after(&self, spins: bool, interest: Interest, deadline: Option<Instant>) -> Result<Woken> {
        let (budget, direct, asks) = {
            let mut state = self.enter()?;
            let state = &mut *state;
            let direct = match interest {
                Interest::Receive => state.direct_stream().and_then(|stream| {
                    if self.waiting.load(Ordering::Acquire) == 0 {
                        return stream.wait_directly();
                    }
                    stream.wait_among_others();
                    None
                }),
                _ => None,
            };
            // Armed first, so that a writer's spin has something to look for: its own mark.
            if matches!(interest, Interest::Send | Interest::Memory) && !state.arm_output(interest) {
                return Ok(Woken::Look);
            }
            // Unread input that the type does not take now would end every spin at once.
            let declined = interest.receives() && state.core.input_moved();
            let budget = if !spins || direct.is_some() || declined && !state.pattern.can_recv(&mut state.core)
            {
                Duration::ZERO
            } else {
                state.policy.budget(state.core.options.spin_us, state.core.peer_awake)
            };
            let asks = !budget.is_zero() && interest == Interest::Receive && state.policy.asks();
            (budget, direct, asks)
        };
        if let Some(stream) = &direct
            && (read_directly(stream) || spins && self.spin_on_stream(stream, interest, deadline))
        {
            return Ok(Woken::Look);
        }
        if asks {
            let took = give_cpu_away();
            self.state.lock().policy.saw_crowd(took);
            if self.moved(interest) {
                return Ok(Woken::Look);
            }
        }
        if !budget.is_zero() {
            if self.spin(interest, spin_end(budget, deadline)) {
                return Ok(Woken::Look);
            }
            self.state.lock().core.stats.spins_lost += 1;
        }
        if spins && direct.is_none() && interest.receives() && self.give_way(interest) {
            return Ok(Woken::Look);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let lead = self.leading.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let woken = if lead {
            self.lead(interest, deadline, direct.as_deref())
        } else {
            self.follow(interest, deadline)
        };
        if lead {
            self.leading.store(false, Ordering::Release);
        }
        let others = self.waiting.fetch_sub(1, Ordering::AcqRel) > 1;
        if lead && others {
            self.wake_followers();
        }
        woken
    }

    fn wake_followers(&self) {
        self.followers.fetch_add(1, Ordering::AcqRel);
        let _ = futex::wake(&self.followers, futex::Flags::PRIVATE, i32::MAX as u32);
    }

    /// Arms everything and sleeps on the doorbell.
    fn lead(&self, interest: Interest, deadline: Option<Instant>, direct: Option<&Stream>) -> Result<Woken> {
        let mut deadline = deadline;
        {
            let mut state = self.enter()?;
            let state = &mut *state;
            state.keep_turn(direct.is_some());
            let armed = state.arm(interest, &mut deadline);
            state.keep_turn(false);
            if !armed {
                return Ok(Woken::Look);
            }
            if !ready::arm(&self.signaler.page) {
                return Ok(Woken::Look);
            }
            state.core.stats.sleeps += 1;
            state.policy.slept();
            state.watchers.lean();
        }
        direct.into_iter().for_each(|stream| stream.set_asleep(true));
        let slept = self.signaler.wait(deadline);
        self.state.lock().watchers.lean_back(&self.signaler);
        if let Some(stream) = direct {
            stream.set_asleep(false);
            read_directly(stream);
            stream.mark_reader();
        }
        match slept {
            Err(Errno::INTR) => Ok(Woken::Interrupted),
            Err(errno) => Err(Error::System { call: "epoll_wait", errno: errno.raw_os_error() }),
            Ok(()) if deadline.is_some_and(|at| Instant::now() >= at) => Ok(Woken::TimedOut),
            Ok(()) => Ok(Woken::Look),
        }
    }

    /// Sleeps until the leader stops leading or something was marked for all.
    fn follow(&self, interest: Interest, mut deadline: Option<Instant>) -> Result<Woken> {
        let seen = self.followers.load(Ordering::Acquire);
        // Armed as the leader does: it looks at its own interest only.
        if !self.enter()?.arm(interest, &mut deadline) {
            return Ok(Woken::Look);
        }
        if !self.leading.load(Ordering::Acquire) {
            return Ok(Woken::Look);
        }
        let timeout =
            deadline.map(|at| crate::signaler::timespec(at.saturating_duration_since(Instant::now())));
        match futex::wait(&self.followers, futex::Flags::PRIVATE, seen, timeout.as_ref()) {
            Ok(()) | Err(Errno::AGAIN) => Ok(Woken::Look),
            Err(Errno::TIMEDOUT) => Ok(Woken::TimedOut),
            Err(Errno::INTR) => Ok(Woken::Interrupted),
            Err(errno) => Err(Error::System { call: "futex", errno: errno.raw_os_error() }),
        }
    }

    /// Wakes every waiter: the status or the set of pipes changed.
    pub fn mark_control(&self) {
        self.signaler.mark_control();
        if self.waiting.load(Ordering::Acquire) > 1 {
            self.wake_followers();
        }
    }

    pub fn set_option(&self, number: i32, value: i64) -> Result<()> {
        let mut state = self.enter()?;
        let State { core, pattern, .. } = &mut *state;
        if !core.options.set(number, value) {
            pattern.configure(core, number, Setting::Number(value))?;
        }
        if matches!(number, SNDHWM | RCVHWM | HWM_BYTES) {
            core.apply_hwm();
        }
        if number == ARENA_MAX {
            core.arena.set_max(value.max(0) as u64);
        }
        state.touch(true);
        Ok(())
    }

    /// Sets an option whose value is bytes and which only this type has.
    pub fn set_bytes(&self, number: i32, value: &[u8]) -> Result<()> {
        let mut state = self.enter()?;
        let State { core, pattern, .. } = &mut *state;
        let set = pattern.configure(core, number, Setting::Bytes(value));
        state.settle();
        state.touch(true);
        set
    }

    /// An option that is a message: HELLO_MSG and its kin.
    pub fn set_message(&self, number: i32, value: Vec<u8>) -> Result<()> {
        let known = self.enter()?.core.options.set_message(number, value);
        if known { Ok(()) } else { Err(Error::Invalid(format!("option {number}"))) }
    }

    pub fn set_routing_id(&self, id: &[u8]) -> Result<()> {
        self.enter()?.core.options.routing_id = id.to_vec();
        Ok(())
    }

    pub fn option(&self, number: i32) -> Result<i64> {
        let mut state = self.enter()?;
        if number == crate::options::TOPICS_COUNT {
            let State { core, pattern, .. } = &mut *state;
            let topics = pattern.topics(core) as i64;
            state.settle();
            return Ok(topics);
        }
        state.core.options.get(number).ok_or_else(|| Error::Invalid(format!("option {number}")))
    }

    pub fn is_closed(&self) -> bool {
        !fork::is_ours(self.born) || self.state.lock().status == Status::Closed
    }
}

/// When a spin of that length, of a wait until `deadline`, is over.
pub(crate) fn spin_end(budget: Duration, deadline: Option<Instant>) -> Instant {
    let end = Instant::now() + budget.min(SPIN_MAX);
    deadline.map_or(end, |at| at.min(end))
}

/// Reads until something whole has come. False: nothing more is there.
fn read_directly(stream: &Stream) -> bool {
    for _ in 0..DIRECT_ROUNDS {
        match stream.read_here(true) {
            Caught::Message => return true,
            Caught::Part => {}
            Caught::Nothing | Caught::NotOurs => return false,
        }
    }
    // Time-outs and signals are looked after in between.
    true
}

impl State {
    /// The stream that the program reads by itself stays its own while it sleeps.
    fn keep_turn(&mut self, keeps: bool) {
        if let Some(stream) = self.direct_stream() {
            stream.keep_turn(keeps);
        }
    }

    #[inline]
    pub fn send(&mut self, frames: &dyn Frames, patient: bool) -> Result<()> {
        if self.core.starved {
            self.core.end_starvation();
        }
        let sent = if self.pending.is_empty() {
            self.pattern.send(&mut self.core, frames, patient)
        } else {
            self.send_pending(frames, patient)
        };
        let sent = if sent == Err(Error::Again) { self.overflow() } else { sent };
        if !self.core.ended.is_empty() {
            self.settle();
        }
        sent
    }

    /// Nobody takes the message at hand now: does the program want it dropped?
    #[cold]
    fn overflow(&mut self) -> Result<()> {
        if self.core.options.policy() != Policy::DropNewest {
            return Err(Error::Again);
        }
        self.pending.clear();
        self.core.stats.discard(Discard::Overflow, 1);
        Ok(())
    }

    /// The last part of a message that was begun with SNDMORE: all of it goes at once.
    fn send_pending(&mut self, frames: &dyn Frames, patient: bool) -> Result<()> {
        let mut parts: Vec<Part> = self.pending.iter().map(Payload::part).collect();
        parts.extend_from_slice(frames.parts());
        let whole = Joined { parts, pending: &self.pending, last: frames };
        let sent = self.pattern.send(&mut self.core, &whole, patient);
        drop(whole);
        // After EAGAIN the caller may send the last part again; any other error ends the message.
        if sent != Err(Error::Again) {
            self.pending.clear();
        }
        sent
    }

    #[inline]
    pub fn recv(&mut self, sink: &mut dyn Sink) -> Result<bool> {
        let received = self.pattern_recv(sink);
        self.received(received)
    }

    /// See [`Socket::abandon_message`]. Nobody received it.
    #[cold]
    pub fn abandon_message(&mut self) {
        if !self.rcvmore {
            return;
        }
        let received = self.core.stats.messages_received;
        while self.rcvmore {
            if self.recv(&mut Skip::default()).is_err() {
                self.rcvmore = false;
            }
        }
        self.core.stats.messages_received = received;
        self.core.stats.discard(Discard::NoMemory, 1);
    }

    #[inline(always)]
    fn pattern_recv(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.pattern.recv(&mut self.core, sink)
    }

    #[inline(always)]
    fn received(&mut self, received: Result<()>) -> Result<bool> {
        if !self.core.ended.is_empty() {
            self.settle();
        }
        match received {
            Ok(()) => {
                self.rcvmore = self.core.inbox.more;
                Ok(self.rcvmore)
            }
            Err(Error::Again) => {
                self.core.publish_inbox();
                Err(Error::Again)
            }
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn apply_marks(&mut self) {
        let control = self.core.take_ready();
        // It may have been memory that came back.
        if control && self.core.starved {
            self.core.end_starvation();
        }
        self.touch(false);
    }

    /// Removes the pipes that ended during the call.
    pub fn settle(&mut self) {
        while let Some(slot) = self.core.ended.pop() {
            self.pattern.detach(&mut self.core, slot);
            self.core.remove_pipe(slot);
        }
    }

    /// Arms all that `interest` waits for. False: look again instead of sleeping.
    fn arm(&mut self, interest: Interest, deadline: &mut Option<Instant>) -> bool {
        if interest != Interest::Receive && !self.arm_output(interest) {
            return false;
        }
        // Who polls waits for no attempt of its own: an older one's moment is long over.
        if matches!(interest, Interest::Send | Interest::Memory) && self.core.outbox.soon {
            let soon = Instant::now() + SOON.max(std::mem::take(&mut self.core.patience));
            *deadline = Some(deadline.map_or(soon, |at| at.min(soon)));
        }
        if interest.sends() && self.core.starved {
            // What another socket of this process could give up, it gives up when it is asked.
            let look = Instant::now() + STARVED;
            *deadline = Some(deadline.map_or(look, |at| at.min(look)));
        }
        // Input is armed whatever the caller waits for: a mark may be what unblocks it.
        let asleep = self.core.sleep_inbox();
        if !interest.receives() {
            return true;
        }
        // Asked in any case: another thread's call may have taken in what this one waits for (XPUB). And
        // what is not asleep now must be looked at again, also if the type dropped what was there (SUB).
        !self.pattern.can_recv(&mut self.core) && (asleep || self.pattern.declines_input())
    }

    /// False: the caller should try again instead of sleeping.
    fn arm_output(&mut self, interest: Interest) -> bool {
        match interest {
            Interest::Receive | Interest::Events { send: false, .. } => true,
            Interest::Memory if self.core.outbox.soon => self.core.arena.arm_half(),
            Interest::Memory => self.core.arena.arm(),
            Interest::Send => self.pattern.sleep_output(&mut self.core),
            Interest::Events { send: true, .. } => {
                self.core.outbox.soon = false;
                !self.pattern.can_send(&mut self.core)
            }
        }
    }
}

/// Lets others run; how long they did.
fn give_cpu_away() -> Duration {
    let begun = Instant::now();
    // SAFETY: sched_yield has no preconditions.
    unsafe { libc::sched_yield() };
    begun.elapsed()
}

/// Parts that were kept, then the caller's last ones.
struct Joined<'a> {
    parts: Vec<Part>,
    pending: &'a [Payload],
    last: &'a dyn Frames,
}

impl Frames for Joined<'_> {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        match self.pending.get(index) {
            Some(payload) => payload.again(),
            None => self.last.keep(index - self.pending.len()),
        }
    }
}
