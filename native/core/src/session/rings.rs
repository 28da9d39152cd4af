//! A connection over rings: handed to the socket, and what its peer announces for it.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use shmzmq_shm::arena::SEGMENTS_MAX;
use shmzmq_shm::segment::{MappedRing, PipeSegment, SegmentError};

use super::link::{Link, Phase};
use super::{Session, Step};
use crate::failure::Failure;
use crate::handshake::{Facts, Terms};
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
use crate::socket::Socket;
use crate::socket::life::Connection;

/// What both rings of a connection are made of.
struct Rings<'a> {
    socket: &'a Socket,
    segment: &'a PipeSegment,
    signaler: Arc<PeerSignaler>,
    terms: Terms,
    options: &'a Options,
}

impl Rings<'_> {
    fn writer(&self, link: &Link, direction: usize, looker: LookerCall) -> RingOut {
        let mut limits = Limits { rcvhwm: self.terms.rcvhwm, ..self.options.limits() };
        if self.socket.subscribes() {
            limits.policy = Policy::Own;
        } else if self.terms.conflates {
            limits.policy = Policy::KeepLatest;
        }
        let arena = self.socket.state().core.arena.clone();
        RingOut::new(
            self.segment.direction(direction),
            self.signaler.clone(),
            link.channel.clone(),
            arena,
            looker,
            self.segment.returns(direction),
            limits,
        )
    }

    /// With what the peer has announced for it already.
    fn reader(&self, link: &mut Link, direction: usize, origin: Arc<Origin>) -> Step<RingIn> {
        let held = self.socket.state().core.loans.clone();
        let (signaler, channel) = (self.signaler.clone(), link.channel.clone());
        let returns = self.segment.returns(direction);
        let lender = Lender::new(returns, signaler.clone(), channel.clone(), self.terms.lends, held);
        let mut reader = RingIn::new(
            self.segment.direction(direction),
            signaler,
            channel,
            Arc::new(lender),
            credit(self.terms.sndhwm, self.options.rcvhwm),
            !self.socket.publishes() && (self.terms.keeps || self.options.conflate != 0),
            origin,
        );
        for (number, ring) in link.early_rings.drain(..) {
            reader.announce(number, ring);
        }
        for (number, view) in link.early_segments.drain(..) {
            reader.lend(number, Some(view)).map_err(|Nowhere(why)| why)?;
        }
        Ok(reader)
    }
}

impl Session {
    /// Both sides: hands the rings to the socket.
    pub(super) fn join(
        &mut self,
        io: &mut Io,
        segment: &PipeSegment,
        signaler: Arc<PeerSignaler>,
        options: &Options,
    ) -> Step<()> {
        let slot = self.slot.ok_or("no slot")?;
        self.end_handshake(io);
        let token = self.token;
        let (out, input) = if self.address.is_none() { (0, 1) } else { (1, 0) };
        let link = self.link.as_mut().ok_or("no connection")?;
        link.phase = Phase::Live;
        link.count(io, token, &signaler);
        let session = SessionHandle { thread: io.thread.clone(), token };
        link.channel.belongs_to(session.clone());
        let ready = link.ready.take().ok_or("no READY")?;
        let fd = link.channel.fd().as_raw_fd();
        let origin = Arc::new(Origin::new(ready.properties.iter(), link.peer, fd));
        let terms = link.terms.ok_or("no terms")?;
        let rings = Rings { socket: &self.socket, segment, signaler, terms, options };
        let reader = rings.reader(link, input, origin.clone())?;
        let writer =
            rings.writer(link, out, LookerCall::new(io.thread.clone(), Arc::downgrade(&self.socket)));
        let connection = Connection {
            origin,
            kind: ready.socket_type,
            input: In::Ring(Box::new(reader)),
            output: Writer::Ring(Box::new(writer)),
            reason: None,
            peer: link.peer,
            routing_id: link.routing_id.clone(),
            session,
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
        let ring = MappedRing::attach(fd.as_fd(), bytes).map_err(|error| match error {
            SegmentError::System { .. } => Failure::ours(error.to_string()),
            _ => error.into(),
        })?;
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
