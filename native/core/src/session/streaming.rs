//! A connection over a stream: handed to the socket, and its engine's turns.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shmzmq_zmtp::Ready;

use super::link::{Link, Phase};
use super::{Session, Step};
use crate::context::log;
use crate::dial::{do_not_pace_within_host, peer_address};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::monitor;
use crate::options::{self, Options};
use crate::origin::Origin;
use crate::pipe::overflow::Policy;
use crate::pipe::{In, Writer, stream};
use crate::reactor::{Io, Next, SessionHandle};
use crate::socket::Socket;
use crate::socket::life::Connection;

/// While the peer talks, a close makes the kernel throw away what has not arrived (RFC 1122, 4.2.2.13): what was not
/// sent yet, or has to be sent again. So a connection that has done its work stays until all of it is acknowledged, so
/// long at most; and time between two looks at it.
const TALK_MAX: Duration = Duration::from_secs(30);
const ARRIVED_LOOK: Duration = Duration::from_millis(10);

impl Session {
    /// Both sides: from here on ZMTP traffic goes over the connection itself; `why`: what prevents rings. Or a
    /// STREAM socket's bytes.
    pub(super) fn join_stream(&mut self, io: &mut Io, why: &str) -> Step<()> {
        let options = self.options();
        let raw = self.socket.is_raw();
        let lacks_rings = !self.tcp && !raw;
        if lacks_rings && options.ipc_mode == options::IPC_RING {
            return Err(Failure::no_rings(&format!("no rings, and IPC_MODE allows nothing else: {why}")));
        }
        let slot = self.take_slot()?;
        self.end_handshake(io);
        let token = self.token;
        let session = SessionHandle { thread: io.thread.clone(), token };
        let owner = (self.socket.signaler.clone(), slot);
        let link = self.link.as_mut().ok_or("no connection")?;
        if self.tcp {
            do_not_pace_within_host(link.channel.fd());
        }
        // A raw peer says nothing of itself.
        let ready = if raw { None } else { Some(link.ready.take().ok_or("no READY")?) };
        let origin = Arc::new(link.origin(self.tcp, ready.as_ref()));
        let terms = link.stream_terms(&self.socket, self.tcp, &options, owner, session.clone(), &origin);
        let (output, input, shared) = stream::stream(terms);
        let (channel, rest) = (link.channel.clone(), link.inbound.take_rest());
        let engine = match raw {
            true => Engine::raw(shared, channel, token, &options),
            false => Engine::new(shared, channel, token, self.socket.publishes(), link.minor, &options, rest),
        };
        link.phase = Phase::Streaming(Box::new(engine));
        let connection = Connection {
            origin,
            kind: ready.and_then(|ready| ready.socket_type),
            input: In::Stream(Box::new(input)),
            output: Writer::Stream(Box::new(output)),
            peer: link.peer,
            routing_id: link.routing_id.clone(),
            session,
            reason: lacks_rings.then(|| Arc::from(why)),
        };
        let attached = self.socket.attach(slot, connection);
        self.tell_stream(lacks_rings.then_some(why));
        self.joined(io, attached)?;
        self.begin_stream(io)
    }

    /// Tells the monitor, the counters and the log; `why`: what prevents rings.
    fn tell_stream(&self, why: Option<&str>) {
        if !self.socket.is_raw() {
            self.tell(monitor::HANDSHAKE_SUCCEEDED, 0);
        }
        let Some(why) = why else { return };
        let fd = self.link_fd().unwrap_or(u32::MAX);
        self.socket.events.emit_with(monitor::NO_RINGS, fd, &self.text, why);
        self.socket.state().core.stats.connected_without_rings += 1;
        // Reasons begin differently, with words of ours: one does not keep another from the log.
        let kind: Vec<&str> = why.split(' ').take(3).collect();
        let text = format!("{} goes on without rings: {why}", String::from_utf8_lossy(&self.text));
        log(format!("rings/{}", kind.join(" ")), text);
        self.socket.mark_control();
    }

    fn begin_stream(&mut self, io: &mut Io) -> Step<()> {
        match self.link.as_mut().map(|link| &mut link.phase) {
            Some(Phase::Streaming(engine)) => engine.begin(io)?,
            _ => return Ok(()),
        }
        self.count_unknown();
        // The socket may have been closed before its peer was there.
        self.finish_written(io)
    }

    /// Lets the engine do something; a closed socket's session ends once everything is written.
    pub(super) fn drive(&mut self, io: &mut Io, run: impl FnOnce(&mut Engine, &mut Io) -> Step<()>) -> Next {
        let Some(Link { phase: Phase::Streaming(engine), channel, .. }) = &mut self.link else {
            return Next::Stay;
        };
        if channel.waits() {
            channel.flush();
        }
        let done = run(engine, io);
        self.count_unknown();
        let done = done.and_then(|()| self.finish_written(io));
        self.settle(io, done)
    }

    /// Commands that mean nothing are told by a counter.
    pub(super) fn count_unknown(&mut self) {
        let Some(Link { phase: Phase::Streaming(engine), .. }) = &mut self.link else { return };
        let unknown = engine.take_untold();
        if unknown > 0 {
            self.socket.state().core.stats.unknown_commands += unknown;
        }
    }

    /// Ends the session of a closed socket, or of an endpoint that was left, when everything is written.
    pub(super) fn finish_written(&mut self, io: &mut Io) -> Step<()> {
        if self.closed.is_none() || self.flushing.is_some() {
            return Ok(());
        }
        let Some(Link { phase: Phase::Streaming(engine), channel, .. }) = &mut self.link else {
            return Ok(());
        };
        if !engine.is_drained() {
            return Ok(());
        }
        let now = Instant::now();
        let until = *self.talk_until.get_or_insert(now + TALK_MAX);
        if !self.tcp || now >= until || channel.unacknowledged() == 0 || !engine.hears() {
            return Err(Failure::finished());
        }
        if self.arrived_look.is_none_or(|at| at <= now) {
            let at = now + ARRIVED_LOOK;
            self.arrived_look = Some(at);
            io.call_at(at, self.token);
        }
        Ok(())
    }

    /// Something waits in the stream.
    pub fn on_write(&mut self, io: &mut Io) -> Next {
        self.drive(io, Engine::write)
    }

    /// The reader of the stream has room again.
    pub fn on_resume(&mut self, io: &mut Io) -> Next {
        self.drive(io, Engine::resume)
    }
}

impl Link {
    /// What is known of the connection: what the peer said of itself, and where it is.
    fn origin(&self, tcp: bool, ready: Option<&Ready>) -> Origin {
        let said = ready.into_iter().flat_map(|ready| ready.properties.iter());
        let fd = self.channel.fd();
        match tcp {
            true => Origin::over_tcp(said, &peer_address(fd), fd.as_raw_fd()),
            false => Origin::new(said, self.peer, fd.as_raw_fd()),
        }
    }

    fn stream_terms(
        &self,
        socket: &Socket,
        tcp: bool,
        options: &Options,
        owner: stream::End,
        session: SessionHandle,
        origin: &Arc<Origin>,
    ) -> stream::Terms {
        let (raw, publishes, subscribes) = (socket.is_raw(), socket.publishes(), socket.subscribes());
        let mut limits = options.limits();
        if subscribes {
            limits.policy = Policy::Own;
        }
        stream::Terms {
            channel: self.channel.clone(),
            session,
            owner,
            limits,
            rcvhwm: options.rcvhwm,
            commands: subscribes && self.minor >= 1,
            publishes,
            conflates: options.conflate != 0 && !publishes && !raw,
            raw,
            transport: match tcp {
                true => "tcp",
                false if raw => "ipc",
                false => "zmtp",
            },
            origin: origin.clone(),
        }
    }
}
