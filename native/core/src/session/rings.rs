//! A connection over rings: handed to the socket, and what its peer announces for it.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shmzmq_shm::arena::SEGMENTS_MAX;
use shmzmq_shm::segment::{MappedRing, PipeSegment};

use super::link::Phase;
use super::luxury::{PEERS, fds_are_scarce, keeps_bells};
use super::{Session, Step};
use crate::handshake::Facts;
use crate::loan::{Lender, Nowhere, View};
use crate::looker::LookerCall;
use crate::monitor;
use crate::options::{Options, credit};
use crate::origin::Origin;
use crate::pipe::overflow::Policy;
use crate::pipe::ring::{Limits, RingIn, RingOut};
use crate::pipe::{In, Peer, Writer};
use crate::reactor::{Io, SessionHandle};
use crate::signaler::PeerSignaler;
use crate::socket::life::Connection;

impl Session {
    /// Both sides: hands the rings to the socket.
    pub(super) fn join(
        &mut self,
        io: &mut Io,
        segment: &PipeSegment,
        signaler: Arc<PeerSignaler>,
        options: &Options,
    ) -> Step<()> {
        let binder = self.address.is_none();
        let slot = self.slot.ok_or("no slot")?;
        let link = self.link.as_mut().ok_or("no connection")?;
        let terms = link.terms.ok_or("no terms")?;
        link.phase = Phase::Live;
        // A timer that is left wakes the thread for nothing when nobody else does.
        if let Some(by) = self.handshake_by.take() {
            io.forget(by, self.token);
        }
        self.attempts = 0;
        self.place = None;
        link.watch_peer_process(io, self.token);
        link.signaler = Some(signaler.clone());
        link.counted = true;
        io.peer_joined(keeps_bells(), fds_are_scarce());
        PEERS.fetch_add(1, Ordering::Relaxed);
        let ready = link.ready.take().ok_or("no READY")?;
        let fd = link.channel.fd().as_raw_fd();
        let origin = Arc::new(Origin::new(ready.properties.iter(), link.peer, fd));
        let (out, input) = if binder { (0, 1) } else { (1, 0) };
        let channel = &link.channel;
        let mut limits = Limits { rcvhwm: terms.rcvhwm, ..options.limits() };
        if self.socket.subscribes() {
            limits.policy = Policy::Own;
        } else if terms.conflates {
            limits.policy = Policy::KeepLatest;
        }
        let (arena, held) = {
            let state = self.socket.state();
            (state.core.arena.clone(), state.core.loans.clone())
        };
        let returns = segment.returns(out);
        let looker = LookerCall::new(io.thread.clone(), Arc::downgrade(&self.socket));
        let reader = signaler.clone();
        let writer =
            RingOut::new(segment.direction(out), reader, channel.clone(), arena, looker, returns, limits);
        let returns = segment.returns(input);
        let lender = Lender::new(returns, signaler.clone(), channel.clone(), terms.lends, held);
        let mut reader = RingIn::new(
            segment.direction(input),
            signaler,
            channel.clone(),
            Arc::new(lender),
            credit(terms.sndhwm, options.rcvhwm),
            !self.socket.publishes() && (terms.keeps || options.conflate != 0),
            origin.clone(),
        );
        for (number, ring) in link.early_rings.drain(..) {
            reader.announce(number, ring);
        }
        for (number, view) in link.early_segments.drain(..) {
            reader.lend(number, Some(view)).map_err(|Nowhere(why)| why)?;
        }
        let connection = Connection {
            origin,
            kind: ready.socket_type,
            input: In::Ring(Box::new(reader)),
            output: Writer::Ring(Box::new(writer)),
            reason: None,
            peer: link.peer,
            routing_id: link.routing_id.clone(),
            session: SessionHandle { thread: io.thread.clone(), token: self.token },
        };
        let attached = self.socket.attach(slot, connection);
        self.tell(monitor::HANDSHAKE_SUCCEEDED, 0);
        self.tell_rings(segment.ring_bytes);
        self.joined(io, attached)
    }

    /// Tells the monitor which rings the connection has.
    pub(super) fn tell_rings(&self, ring_bytes: usize) {
        let peer = self.link.as_ref().map_or(Peer::default(), |link| link.peer);
        let detail = format!("pid={} uid={} ring={ring_bytes}", peer.pid, peer.uid);
        let fd = self.link_fd().unwrap_or(u32::MAX);
        self.socket.events.emit_with(monitor::RINGS, fd, &self.text, &detail);
    }

    /// The writer's next ring: kept for the reader until it comes to the JUMP.
    pub(super) fn on_ring(&mut self, facts: &Facts) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        let fd = link.fds.pop_front().ok_or("peer's RING lacks its fd")?;
        let number = facts.number("number").and_then(|number| u32::try_from(number).ok());
        let bytes = facts.number("ring").ok_or("peer's RING names no size")?;
        let ring = MappedRing::attach(fd.as_fd(), bytes)?;
        let number = number.ok_or("peer's RING has no number")?;
        if let Phase::Offered { .. } = link.phase {
            link.early_rings.push((number, ring));
            return Ok(());
        }
        let slot = self.slot.ok_or("no slot")?;
        self.socket.announce(slot, number, ring);
        Ok(())
    }

    /// Memory of the peer in which its large frames lie.
    pub(super) fn on_arena(&mut self, facts: &Facts) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        let fd = link.fds.pop_front().ok_or("peer's ARENA lacks its fd")?;
        let number = facts.number("number").and_then(|number| u32::try_from(number).ok());
        let number = number.ok_or("peer's ARENA has no number")?;
        let bytes = facts.number("bytes").ok_or("peer's ARENA names no size")?;
        let view = View::attach(fd, bytes as usize)?;
        if let Phase::Offered { .. } = link.phase {
            if link.early_segments.len() >= SEGMENTS_MAX {
                return Err("peer announces an arena without end before its ACCEPT".into());
            }
            link.early_segments.push((number, view));
            return Ok(());
        }
        let slot = self.slot.ok_or("no slot")?;
        Ok(self.socket.lend(slot, number, Some(view)).map_err(|Nowhere(why)| why)?)
    }
}
