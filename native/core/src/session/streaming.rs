//! A connection over a stream: handed to the socket, and its engine's turns.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Link, Phase};
use super::{Session, Step};
use crate::context::log;
use crate::dial::peer_address;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::monitor;
use crate::options;
use crate::origin::Origin;
use crate::pipe::overflow::Policy;
use crate::pipe::{In, Writer, stream};
use crate::reactor::{Io, Next, SessionHandle};
use crate::socket::life::Connection;

/// While the peer talks, a close makes the kernel throw away what it has not sent (RFC 1122, 4.2.2.13). So a
/// connection that has done its work stays for that, so long at most; and time between two looks at it.
const TALK_MAX: Duration = Duration::from_secs(30);
const UNSENT_LOOK: Duration = Duration::from_millis(10);

impl Session {
    /// Both sides: from here on ZMTP traffic goes over the connection itself; `why`: what prevents rings. Or a
    /// STREAM socket's bytes.
    pub(super) fn join_stream(&mut self, io: &mut Io, why: &str) -> Step<()> {
        let options = self.options();
        let raw = self.socket.is_raw();
        if !self.tcp && !raw && options.ipc_mode == options::IPC_RING {
            return Err(Failure::no_rings(&format!("no rings, and IPC_MODE allows nothing else: {why}")));
        }
        let slot = match self.slot {
            Some(slot) => slot,
            None => self.socket.add_accepted(self.endpoint).ok_or("socket was closed")?,
        };
        self.slot = Some(slot);
        if let Some(by) = self.handshake_by.take() {
            io.forget(by, self.token);
        }
        self.attempts = 0;
        self.place = None;
        let link = self.link.as_mut().ok_or("no connection")?;
        // A raw peer says nothing of itself.
        let ready = if raw { None } else { Some(link.ready.take().ok_or("no READY")?) };
        let said = || ready.iter().flat_map(|ready| ready.properties.iter());
        let fd = link.channel.fd();
        let origin = match self.tcp {
            true => Origin::over_tcp(said(), &peer_address(fd), fd.as_raw_fd()),
            false => Origin::new(said(), link.peer, fd.as_raw_fd()),
        };
        let origin = Arc::new(origin);
        let session = SessionHandle { thread: io.thread.clone(), token: self.token };
        let (subscribes, publishes) = (self.socket.subscribes(), self.socket.publishes());
        let mut limits = options.limits();
        if subscribes {
            limits.policy = Policy::Own;
        }
        let terms = stream::Terms {
            channel: link.channel.clone(),
            session: session.clone(),
            owner: (self.socket.signaler.clone(), slot),
            limits,
            rcvhwm: options.rcvhwm,
            commands: subscribes && link.minor >= 1,
            publishes,
            conflates: options.conflate != 0 && !publishes && !raw,
            raw,
            transport: match self.tcp {
                true => "tcp",
                false if raw => "ipc",
                false => "zmtp",
            },
            origin: origin.clone(),
        };
        let (output, input, shared) = stream::stream(terms);
        let (rest, channel) = (link.inbound.take_rest(), link.channel.clone());
        let engine = match raw {
            true => Engine::raw(shared, channel, self.token, &options),
            false => Engine::new(shared, channel, self.token, publishes, link.minor, &options, rest),
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
            reason: (!self.tcp && !raw).then(|| Arc::from(why)),
        };
        let attached = self.socket.attach(slot, connection);
        if !raw {
            self.tell(monitor::HANDSHAKE_SUCCEEDED, 0);
        }
        if !self.tcp && !raw {
            let fd = self.link_fd().unwrap_or(u32::MAX);
            self.socket.events.emit_with(monitor::NO_RINGS, fd, &self.text, why);
            self.socket.state().core.stats.connected_without_rings += 1;
            log("rings", format!("{} goes on without rings: {why}", String::from_utf8_lossy(&self.text)));
        }
        self.joined(io, attached)?;
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
        if !self.tcp || now >= until || channel.unsent() == 0 || !engine.hears() {
            return Err(Failure::finished());
        }
        if self.unsent_look.is_none_or(|at| at <= now) {
            let at = now + UNSENT_LOOK;
            self.unsent_look = Some(at);
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
