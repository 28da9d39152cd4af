//! How peers come to a socket and leave it, and how the socket itself ends.
//!
//! Called by I/O threads for connections and by application threads for `connect`, `bind` over inproc
//! and `close`; always under the socket's lock, in short steps.
//!
//! ```text
//! connect           add_connecter: pipe with Out::Queue          (IMMEDIATE=1: no pipe before attach)
//! handshake done    attach:  In::Ring now; Out::Ring when the queue is empty (flush, in rounds)
//! EOF, pidfd, error lose:    undelivered -> queue (connecter) or counted (accepted); In drains
//! drained, no more  settle:  pipe removed, type told
//! close             close:   CLOSED to all rings; pipes with a queue, or a stream that is not written, linger
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use shmzmq_shm::arena::{Block, Look, PeerId, Short};
use shmzmq_shm::segment::MappedRing;
use shmzmq_zmtp::SocketType;

use super::{Socket, State, Status};
use crate::error::{Error, Result};
use crate::loan::{Nowhere, View};
use crate::lock::Guard;
use crate::message::{Undelivered, reserve_places};
use crate::origin::Origin;
use crate::pipe::local::{self, LocalIn, LocalOut};
use crate::pipe::overflow::Policy;
use crate::pipe::{In, Out, Peer, Write, Writer, large};
use crate::reactor::SessionHandle;
use crate::socket::core::Core;
use crate::socket::notes;
use crate::stats::{Discard, Stats};

/// Bytes that one round of a flush moves under the lock; then others may have it.
const FLUSH_ROUND_BYTES: u64 = 256 * 1024;

/// A new connection as a session hands it over.
pub struct Connection {
    pub origin: Arc<Origin>,
    pub kind: Option<SocketType>,
    pub input: In,
    pub output: Writer,
    pub peer: Peer,
    /// Why it has no rings, if it could have had some.
    pub reason: Option<Arc<str>>,
    pub routing_id: Vec<u8>,
    pub session: SessionHandle,
}

/// What is left to do after a connection came up.
pub enum Attach {
    /// The type takes no further peer.
    Refused,
    Done,
    /// Messages are queued: move them there, then hand it over.
    Flush(Writer),
}

/// What is left to do after a round of a flush.
pub enum Flush {
    /// More is queued: flush again.
    More(Writer),
    /// The peer left, or memory is short: try again when the connection stirs, or lose it.
    Stuck(Writer),
    /// The application writes from now on, or the pipe is gone.
    Done,
    /// The socket is closed and its queue empty: the connection has done its work.
    Finished,
}

/// One row of `peers()`.
#[derive(Debug, Clone)]
pub struct PeerRow {
    pub endpoint: u64,
    pub transport: &'static str,
    pub pid: i32,
    pub uid: u32,
    pub depth: u64,
    pub routing_id: Vec<u8>,
    /// None if there is no peer now, or it did not say.
    pub kind: Option<&'static str>,
    /// Seconds since the epoch; None while there is no connection.
    pub since: Option<f64>,
    /// Why there are no rings to a peer of this host.
    pub reason: Option<String>,
}

impl Socket {
    /// `connect` to something that is not there yet: a pipe to queue in. None with IMMEDIATE.
    pub fn add_connecter(&self, endpoint: u64) -> Result<Option<usize>> {
        let mut state = self.enter()?;
        if state.core.options.immediate != 0 {
            return Ok(None);
        }
        let name = std::mem::take(&mut state.core.options.connect_routing_id);
        let pipe = state.core.add_pipe(endpoint, true);
        pipe.named = !name.is_empty();
        pipe.routing_id = name;
        let slot = pipe.slot;
        let State { core, pattern, .. } = &mut *state;
        pattern.connecting(core, slot);
        drop(state);
        self.mark_control();
        Ok(Some(slot))
    }

    /// A slot for a peer whose handshake goes on; it is no pipe of the type yet. None if closed.
    pub fn add_accepted(&self, endpoint: u64) -> Option<usize> {
        let mut state = self.state();
        (state.status == Status::Open).then(|| state.core.add_pipe(endpoint, false).slot)
    }

    /// The handshake failed: the slot is free again.
    pub fn drop_accepted(&self, slot: usize) {
        self.state().core.remove_pipe(slot);
    }

    /// A connection is up: it is read, and if nothing is queued written, from now on.
    pub fn attach(&self, slot: usize, mut connection: Connection) -> Attach {
        let mut state = self.state();
        let State { core, pattern, status, .. } = &mut *state;
        let hello = notes::say_hello(&core.options, &mut connection.output, &mut core.stats);
        let came = notes::came(&core.options);
        let Some(pipe) = core.pipe(slot) else { return Attach::Refused };
        pipe.hello = hello;
        let mut queued = None;
        // A reply may follow the first message at once: both directions come up together.
        match &pipe.out {
            Out::Queue(_) => queued = Some(connection.output),
            _ => pipe.out = connection.output.into(),
        }
        pipe.came_up(connection.peer, connection.kind);
        pipe.origin = Some(connection.origin);
        pipe.reason = connection.reason;
        if !pipe.named {
            pipe.routing_id = connection.routing_id;
        }
        pipe.session = Some(connection.session);
        if *status != Status::Closed {
            came.into_iter().for_each(|note| pipe.push_in(note));
            pipe.push_in(connection.input);
        }
        core.stats.connected += 1;
        let taken = pattern.attach(core, slot);
        if !taken {
            core.remove_pipe(slot);
        } else if core.pipe(slot).is_some_and(|pipe| pipe.retiring) {
            // `disconnect` came first: what is queued goes, nothing new does.
            core.deactivate_out(slot);
            if let Some(pipe) = core.pipe(slot) {
                pipe.sends = false;
            }
        }
        state.settle();
        drop(state);
        self.mark_control();
        match (taken, queued) {
            (false, _) => Attach::Refused,
            (true, None) => Attach::Done,
            (true, Some(ring)) => Attach::Flush(ring),
        }
    }

    /// Moves queued messages to the connection; the round that finds none hands that over.
    pub fn flush(&self, slot: usize, mut writer: Writer) -> Flush {
        let mut state = self.state();
        let State { core, status, .. } = &mut *state;
        let Core { pipes, stats, .. } = core;
        let Some(Some(pipe)) = pipes.get_mut(slot) else { return Flush::Done };
        if let Out::Queue(queue) = &mut pipe.out {
            let mut moved = 0;
            let mut stuck = false;
            while moved < FLUSH_ROUND_BYTES
                && let Some(message) = queue.front_mut()
            {
                let bytes = message.bytes() + 1;
                match writer.write_accepted(message, stats) {
                    Write::Done => {}
                    // The peer is gone already (EOF follows) or memory is short: what is queued stays.
                    _ => {
                        stuck = true;
                        break;
                    }
                }
                moved += bytes;
                queue.pop_front();
            }
            writer.publish(stats);
            if !queue.is_empty() {
                return if stuck { Flush::Stuck(writer) } else { Flush::More(writer) };
            }
        }
        if *status == Status::Closed || pipe.retiring {
            writer.close(stats);
            if let Writer::Stream(_) = writer {
                // It has still to be written, perhaps to another connection.
                pipe.out = writer.into();
                return Flush::Done;
            }
            pipe.out = Out::None;
            return Flush::Finished;
        }
        pipe.out = writer.into();
        core.activate_out(slot);
        drop(state);
        self.signaler.mark(slot);
        self.mark_control();
        Flush::Done
    }

    /// The connection ended. `flushing` is the writer that a flush had not handed over yet; `gone`: nobody
    /// reads at the other side any more; `refuses`: what we have not handed out it sends anew. True if the pipe
    /// waits for another connection; and by which name the peer may still read in our arena.
    pub fn lose(
        &self,
        slot: usize,
        flushing: Option<Writer>,
        reconnect: bool,
        gone: bool,
        refuses: bool,
    ) -> (bool, Option<PeerId>) {
        let mut state = self.state();
        let State { core, pattern, status, .. } = &mut *state;
        let closed = *status == Status::Closed;
        let Core { pipes, stats, options, arena, .. } = core;
        let Some(Some(pipe)) = pipes.get_mut(slot) else { return (false, None) };
        stats.disconnected += 1;
        pipe.peer = None;
        pipe.since = None;
        pipe.session = None;
        for input in pipe.inputs() {
            if let In::Ring(ring) = input {
                if refuses && !ring.dead {
                    ring.refuse_rest(stats);
                }
                ring.dead = true;
            }
        }
        // What was read to its end is let go of now: nobody may ever read this pipe.
        if pipe.receives {
            pipe.look();
            if !pipe.superseded && !pipe.retiring {
                let accepted = !pipe.connecter && !reconnect;
                notes::went(options, accepted, reconnect).for_each(|note| pipe.push_in(note));
            }
        } else {
            pipe.drop_inputs();
        }
        let waits = pipe.connecter && reconnect;
        let out = std::mem::replace(&mut pipe.out, Out::None);
        let (mut writer, queue) = match out {
            Out::Ring(ring) => (Some(Writer::Ring(ring)), VecDeque::new()),
            Out::Stream(stream) => (Some(Writer::Stream(stream)), VecDeque::new()),
            Out::Queue(queue) => (flushing, queue),
            Out::None | Out::Local(_) => (None, VecDeque::new()),
        };
        let peer = writer.as_ref().and_then(Writer::peer_id);
        stats.discard(Discard::PeerGone, writer.as_ref().map_or(0, Writer::abandoned));
        let Undelivered { messages: mut left, mut lost } = match &mut writer {
            Some(writer) => notes::undelivered(writer, pipe.hello),
            None => Undelivered::default(),
        };
        if left.is_empty() {
            left = queue;
        } else if reserve_places(&mut left, queue.len()).is_ok() {
            left.extend(queue);
        } else {
            lost += queue.len() as u64;
        }
        stats.discard(Discard::NoMemory, lost);
        left.retain(|message| pattern.keeps(message));
        // After the handles to what goes to another peer were made: the rest is free.
        if gone && let Some(peer) = peer {
            arena.reclaim(peer);
        }
        let lent = peer.filter(|peer| !closed && arena.leave(*peer));
        let leaves = closed || pipe.retiring;
        if waits && !(leaves && left.is_empty()) {
            stats.redelivered += left.len() as u64;
            pipe.out = Out::Queue(std::mem::take(&mut left));
        } else {
            stats.discard(if leaves { Discard::Linger } else { Discard::PeerGone }, left.len() as u64);
            pipe.ending = true;
        }
        let drained =
            pipe.ending && (closed || !pipe.receives || pipe.look() == crate::pipe::ring::State::Ended);
        let waits = !pipe.ending;
        pattern.lost(core, slot);
        if waits {
            core.activate_out(slot);
        } else {
            core.deactivate_out(slot);
        }
        if drained {
            core.deactivate_in(slot);
            core.ended.push(slot);
        }
        self.tell(state, slot);
        (waits, lent)
    }

    /// A pipe has changed by what its connection did: whoever waits for the socket looks again.
    fn tell(&self, mut state: Guard<'_, State>, slot: usize) {
        state.settle();
        drop(state);
        self.signaler.mark(slot);
        self.mark_control();
    }

    /// We leave the peer: what is in the rings can still be read on both sides. By which name the peer may
    /// still read in our arena.
    pub fn part(&self, slot: usize) -> Option<PeerId> {
        let mut state = self.state();
        let State { core, pattern, status, .. } = &mut *state;
        core.deactivate_out(slot);
        let closed = *status == Status::Closed;
        let Core { pipes, stats, arena, .. } = core;
        let Some(Some(pipe)) = pipes.get_mut(slot) else { return None };
        if pipe.session.take().is_some() {
            stats.disconnected += 1;
        }
        pipe.since = None;
        let peer = match &pipe.out {
            Out::Ring(ring) => Some(ring.peer_id()),
            _ => None,
        };
        pipe.part(stats);
        let lent = peer.filter(|peer| !closed && arena.leave(*peer));
        let drained = !pipe.receives || pipe.look() == crate::pipe::ring::State::Ended;
        pattern.lost(core, slot);
        if drained {
            core.deactivate_in(slot);
            core.ended.push(slot);
        }
        self.tell(state, slot);
        lent
    }

    /// `disconnect` before all is written: takes no new messages, keeps those that wait for the endpoint or
    /// in its stream.
    pub fn retire(&self, slot: usize) {
        let mut state = self.state();
        let State { core, pattern, .. } = &mut *state;
        core.deactivate_out(slot);
        let Some(pipe) = core.pipe(slot) else { return };
        pipe.retiring = true;
        pipe.sends = false;
        if !pipe.retire_stream() {
            return;
        }
        pattern.detach(core, slot);
        self.tell(state, slot);
    }

    /// Moves what a full ring left outside. True: nothing is left there.
    pub fn move_held(&self, slot: usize) -> bool {
        let mut state = self.state();
        let Core { pipes, stats, .. } = &mut state.core;
        match pipes.get_mut(slot) {
            Some(Some(pipe)) => pipe.move_held(stats),
            _ => true,
        }
    }

    /// The next ring of the peer's direction is here.
    pub fn announce(&self, slot: usize, number: u32, ring: MappedRing) {
        let mut state = self.state();
        if let Some(input) = state.core.pipe(slot).and_then(|pipe| pipe.newest_ring()) {
            input.announce(number, ring);
        }
        drop(state);
        self.signaler.mark(slot);
    }

    /// The peer's arena has this segment, or (None) has it no more.
    pub fn lend(&self, slot: usize, number: u32, segment: Option<View>) -> std::result::Result<(), Nowhere> {
        let mut state = self.state();
        if let Some(input) = state.core.pipe(slot).and_then(|pipe| pipe.newest_ring()) {
            input.lend(number, segment)?;
        }
        drop(state);
        self.signaler.mark(slot);
        Ok(())
    }

    /// Gives up memory of the arena that nobody used lately. Whoever polls until there is some, or an fd to
    /// announce it with, asks again: nobody else tells of an fd.
    pub fn look_at_arena(&self) -> Look {
        let mut state = self.state();
        let starved = state.core.starved;
        let Core { pipes, arena, .. } = &mut state.core;
        let found = arena.look();
        for pipe in pipes.iter_mut().flatten() {
            if let Out::Ring(ring) = &mut pipe.out {
                ring.forget_segments();
            }
        }
        drop(state);
        if !starved {
            return found;
        }
        self.mark_control();
        if found == Look::Quiet { Look::Busy } else { found }
    }

    /// A block for a frame of `len` bytes that will be written in place, and whether somebody has to be found
    /// who sees to the arena's shrinking. Never waits; who can wait is told to, while receivers give warm
    /// blocks back.
    pub fn try_alloc(&self, len: usize, patient: bool) -> Result<(Arc<Block>, bool)> {
        let mut state = self.enter()?;
        let core = &mut state.core;
        let lent = core.arena.lent();
        let seen = &mut core.seen_returned;
        let waits = if patient { large::rather_waits(&core.arena, len, lent, seen, false) } else { None };
        core.outbox.soon = waits.is_some();
        if let Some(patience) = waits {
            core.patience = patience;
            return Err(Error::Again);
        }
        let block = core.arena.alloc(len).map_err(|short| match short {
            Short::Numbers if !core.arena.awaits() => {
                Error::NoMemory(format!("no block of {len} bytes: the program holds all that there may be"))
            }
            Short::Wait | Short::Numbers => {
                core.starved = true;
                Error::Again
            }
            Short::Never(why) => Error::NoMemory(why),
        })?;
        Ok((block, core.arena.watch()))
    }

    /// The peer set its receiving high-water mark anew.
    pub fn set_peer_rcvhwm(&self, slot: usize, rcvhwm: i64) {
        let mut state = self.state();
        if let Some(Out::Ring(ring)) = state.core.pipe(slot).map(|pipe| &mut pipe.out) {
            ring.set_limits(None, Some(rcvhwm), None);
        }
        drop(state);
        self.signaler.mark(slot);
    }

    /// Messages that wait for a connection on this pipe.
    pub fn queued(&self, slot: usize) -> usize {
        match self.state().core.pipe(slot).map(|pipe| &pipe.out) {
            Some(Out::Queue(queue)) => queue.len(),
            _ => 0,
        }
    }

    /// Ends the pipe for good: `disconnect`, LINGER over, or a connection that may not come back.
    pub fn drop_pipe(&self, slot: usize, reason: Discard) {
        let mut state = self.state();
        let State { core, pattern, .. } = &mut *state;
        let Core { pipes, stats, .. } = core;
        let Some(Some(pipe)) = pipes.get_mut(slot) else { return };
        if let Out::Queue(queue) = &pipe.out {
            stats.discard(reason, queue.len() as u64);
        }
        pipe.close(stats);
        pattern.detach(core, slot);
        core.remove_pipe(slot);
        drop(state);
        self.mark_control();
    }

    /// Connects this socket and another of the same process, of type `kind`; None if that is not there yet.
    /// `accepted`: it was the other that connected.
    pub fn join_local(
        &self,
        endpoint: u64,
        (mut out, input): (LocalOut, LocalIn),
        peer_id: Vec<u8>,
        kind: Option<SocketType>,
        accepted: bool,
    ) -> Result<usize> {
        let mut state = self.enter()?;
        let State { core, pattern, .. } = &mut *state;
        let slot = core.add_pipe(endpoint, false).slot;
        let conflates = core.options.conflate != 0 && !self.publishes();
        let mut limits = core.options.limits();
        if self.subscribes() {
            limits.policy = Policy::Own;
        }
        out.bind((self.signaler.clone(), slot), limits);
        input.bind((self.signaler.clone(), slot), core.options.rcvhwm, conflates);
        notes::say_hello_locally(&core.options, &mut out);
        let left = if accepted { notes::left(&core.options) } else { None };
        if let Some(pipe) = core.pipe(slot) {
            pipe.routing_id = peer_id;
            if kind.is_some() {
                pipe.came_up(Peer::ourselves(), kind);
            }
            pipe.ending = true;
            pipe.out = Out::Local(out);
            pipe.push_in(In::Local(input));
            left.into_iter().for_each(|note| pipe.push_in(note));
        }
        core.stats.connected += 1;
        if !pattern.attach(core, slot) {
            if let Some(mut pipe) = core.remove_pipe(slot) {
                pipe.close(&mut Stats::default());
            }
        }
        state.settle();
        drop(state);
        self.mark_control();
        Ok(slot)
    }

    pub fn routing_id(&self) -> Vec<u8> {
        self.state().core.options.routing_id.clone()
    }

    /// Makes every later call fail, wakes every waiter, says CLOSED to every ring peer. True if
    /// accepted messages still wait for a peer.
    pub fn close_pipes(&self) -> bool {
        let mut state = self.state();
        state.status = Status::Closed;
        let linger = state.core.options.linger;
        let Core { pipes, stats, .. } = &mut state.core;
        let mut lingers = false;
        for pipe in pipes.iter_mut().flatten() {
            if let Out::Queue(queue) = &mut pipe.out {
                if linger == 0 {
                    stats.discard(Discard::Linger, queue.len() as u64);
                    queue.clear();
                }
                lingers |= !queue.is_empty();
            }
            pipe.close(stats);
        }
        state.touch(true);
        drop(state);
        self.mark_control();
        lingers
    }

    pub fn terminate(&self) {
        let mut state = self.state();
        if state.status == Status::Open {
            state.status = Status::Terminated;
        }
        state.touch(true);
        drop(state);
        self.mark_control();
    }

    pub fn peers(&self) -> Result<Vec<PeerRow>> {
        let mut state = self.enter()?;
        let rows = state.core.pipes.iter_mut().flatten().map(|pipe| PeerRow {
            endpoint: pipe.endpoint,
            transport: pipe.transport(),
            pid: pipe.peer.map_or(0, |peer| peer.pid),
            uid: pipe.peer.map_or(0, |peer| peer.uid),
            depth: pipe.depth(),
            routing_id: pipe.routing_id.clone(),
            kind: pipe.kind.filter(|_| pipe.is_up()).map(|kind| kind.name()),
            since: pipe
                .since
                .filter(|_| pipe.is_up())
                .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
                .map(|at| at.as_secs_f64()),
            reason: pipe.reason.as_ref().filter(|_| pipe.is_up()).map(|reason| reason.to_string()),
        });
        Ok(rows.collect())
    }

    /// Connections that are up.
    pub fn connections(&self) -> Result<usize> {
        Ok(self.enter()?.core.pipes.iter().flatten().filter(|pipe| pipe.is_up()).count())
    }

    /// An inproc endpoint that we had connected to is bound now, by a socket of type `kind`.
    pub fn joined(&self, endpoint: u64, kind: SocketType) {
        let mut state = self.state();
        let mut pipes = state.core.pipes.iter_mut().flatten();
        if let Some(pipe) = pipes.find(|pipe| pipe.endpoint == endpoint) {
            pipe.came_up(Peer::ourselves(), Some(kind));
        }
        drop(state);
        self.mark_control();
    }

    pub fn stats(&self) -> Stats {
        let state = self.state();
        let holdings = state.core.arena.holdings();
        let mut stats = state.core.stats.clone();
        stats.events_dropped = self.events.dropped();
        stats.loans = state.core.loans.load(Ordering::Relaxed);
        stats.arena_bytes = holdings.bytes;
        stats.arena_lent = holdings.lent;
        stats.arena_grown = holdings.grown;
        stats
    }

    pub fn linger(&self) -> i64 {
        self.state().core.options.linger
    }
}

impl Core {
    /// SNDHWM, RCVHWM or HWM_BYTES was set: live pipes follow at once, as in libzmq.
    pub fn apply_hwm(&mut self) {
        let (sndhwm, rcvhwm) = (self.options.sndhwm, self.options.rcvhwm);
        let hwm_bytes = self.options.hwm_bytes;
        for pipe in self.pipes.iter_mut().flatten() {
            match &mut pipe.out {
                Out::Ring(ring) => ring.set_limits(Some(sndhwm), None, Some(hwm_bytes)),
                Out::Local(local) => local.set_limits(sndhwm, hwm_bytes),
                Out::Stream(stream) => stream.set_limits(sndhwm, hwm_bytes),
                _ => {}
            }
            for input in pipe.inputs() {
                match input {
                    In::Ring(ring) => ring.set_rcvhwm(rcvhwm),
                    In::Local(local) => local.set_rcvhwm(rcvhwm),
                    In::Stream(stream) => stream.set_rcvhwm(rcvhwm),
                }
            }
        }
        for slot in 0..self.pipes.len() {
            self.activate_out(slot);
        }
    }
}

/// Two ends of an inproc connection.
pub fn local_pair() -> ((LocalOut, LocalIn), (LocalOut, LocalIn)) {
    let (out_a, in_b) = local::direction();
    let (out_b, in_a) = local::direction();
    ((out_a, in_a), (out_b, in_b))
}
