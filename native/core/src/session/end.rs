//! The end of a connection, whoever ends it, and of its session.

use std::os::fd::AsFd;
use std::time::Instant;

use shmzmq_shm::arena::PeerId;

use super::commands::ROUNDS_TO_THE_END;
use super::link::{Link, Phase};
use super::{Session, Step};
use crate::context::log;
use crate::failure::{DENIED, Failure, NO_DECISION, Tell};
use crate::handshake;
use crate::lifeline::Lifeline;
use crate::monitor;
use crate::options;
use crate::reactor::{Io, Next};
use crate::stats::Discard;

impl Session {
    /// `unbind`, `disconnect` or `close`. What is queued may still be delivered until `linger`, None for
    /// ever; everything else ends now, and what has arrived can still be read.
    pub fn on_stop(&mut self, io: &mut Io, linger: Option<Instant>) -> Next {
        let mut queued = self.slot.is_some_and(|slot| self.socket.queued(slot) > 0);
        if self.options().reconnect_stop & options::STOP_AFTER_DISCONNECT != 0 && !self.socket.is_closed() {
            self.last_attempt = true;
            queued &= self.link.is_some();
        }
        let streams = self.is_streaming();
        if let (true, Some(slot)) = (queued || streams || self.flushing.is_some(), self.slot) {
            self.socket.retire(slot);
        }
        if streams {
            self.closed = Some(linger);
        }
        if queued || self.flushing.is_some() || streams && self.finish_written(io).is_ok() {
            self.closed = Some(linger);
            return match linger {
                Some(until) if until <= Instant::now() => self.expire(io),
                Some(until) => {
                    io.call_at(until, self.token);
                    Next::Stay
                }
                None => Next::Stay,
            };
        }
        // The rings that were announced so far are needed to read what has arrived.
        if !self.is_streaming() && !self.is_dialing() {
            let _ = self.receive(io, ROUNDS_TO_THE_END);
        }
        self.leave(io);
        Next::Remove
    }

    /// LINGER is over: what is left is dropped, and counted.
    pub(super) fn expire(&mut self, io: &mut Io) -> Next {
        self.drop_link(io, false, false);
        if let Some(slot) = self.slot.take() {
            self.socket.drop_pipe(slot, Discard::Linger);
        }
        Next::Remove
    }

    /// Ends the connection and the pipe, if there are any, at our own wish.
    fn leave(&mut self, io: &mut Io) {
        let (mut link, slot) = (self.link.take(), self.slot.take());
        if let Some(link) = &link {
            io.unwatch(link.channel.fd());
        }
        match (&mut link, slot) {
            (Some(Link { phase: Phase::Streaming(engine), .. }), slot) => {
                slot.map(|slot| self.socket.part(slot));
                engine.end(io);
            }
            (Some(link), Some(slot)) if matches!(link.phase, Phase::Live) => {
                let lent = self.socket.part(slot);
                // Unread input keeps the channel open; the peer must hear of it now.
                self.say_bye(io, link, lent);
            }
            (_, Some(slot)) => self.socket.drop_pipe(slot, Discard::PeerGone),
            (_, None) => {}
        }
    }

    pub fn on_kill(&mut self, io: &mut Io, reason: &str) -> Next {
        if self.link.is_none() {
            return Next::Stay;
        }
        // Whoever found the peer's mistake has counted it.
        self.end(io, reason.into())
    }

    /// Whoever writes found that the connection cannot go on.
    pub fn on_fail(&mut self, io: &mut Io, reason: &str) -> Next {
        match &self.link {
            // Else it was said of an earlier connection.
            Some(link) if link.channel.is_broken_off() => self.settle(io, Err(reason.into())),
            _ => Next::Stay,
        }
    }

    /// After every step: a failure is counted and ends the connection.
    pub(super) fn settle(&mut self, io: &mut Io, done: Step<()>) -> Next {
        let Err(mut failure) = done else { return Next::Stay };
        let live = self.is_live();
        if let Some(link) = &mut self.link
            && live
            && self.address.is_some()
        {
            if failure.blameless && !link.ended {
                // What the binder has not taken when it says BYE is ours again, and nothing of it was handed out.
                if link.leaving.is_none() {
                    link.leaving = Some(failure);
                    let _ = link.channel.send(handshake::halt(), &[]);
                }
                return Next::Stay;
            }
            failure = link.leaving.take().unwrap_or(failure);
        }
        if !failure.reason.is_empty() {
            let mut state = self.socket.state();
            if live {
                state.core.stats.protocol_errors += 1;
            } else {
                state.core.stats.handshakes_failed += 1;
            }
            drop(state);
        }
        self.end(io, failure)
    }

    /// Ends the connection; a connecter begins again.
    pub(super) fn end(&mut self, io: &mut Io, failure: Failure) -> Next {
        let Failure { reason, tell, blameless } = failure;
        let live = self.is_live();
        if !reason.is_empty() {
            log(if live { "connection" } else { "handshake" }, format!("connection ended: {reason}"));
            self.socket.mark_control();
        }
        let options = self.options();
        // Who is denied may come again with other credentials, but not with these (RFC 37).
        let denied = matches!(tell, Tell::Auth(DENIED | NO_DECISION));
        let stops = !live && (denied || options.reconnect_stop & options::STOP_HANDSHAKE_FAILED != 0);
        let fd = self.link_fd();
        let refuses = blameless && self.address.is_none();
        self.drop_link(io, options.reconnect_ivl > 0, refuses);
        let over = self.closed.is_some() || self.socket.is_closed();
        let over = over && self.slot.is_none_or(|slot| self.socket.queued(slot) == 0);
        // Of a closed socket the peer may hear before our own Close comes: it is we who ended it.
        if let Some(fd) = fd
            && !(over && live && self.closed.is_none())
        {
            self.tell_end(live, &reason, tell, fd);
        }
        if over {
            if let Some(slot) = self.slot.take() {
                self.socket.drop_pipe(slot, Discard::Linger);
            }
            return Next::Remove;
        }
        if self.refused {
            // Our own type takes no further peer: to dial again would only disturb the other side.
            return Next::Remove;
        }
        if stops && self.address.is_some() {
            return self.give_up();
        }
        self.retry(io)
    }

    /// Tells the monitor how a connection ended that the socket did not end.
    pub(super) fn tell_end(&self, live: bool, reason: &str, tell: Tell, fd: u32) {
        let event = match (live, reason) {
            (false, _) => Some((monitor::NO_RINGS, if reason.is_empty() { "peer left" } else { reason })),
            (true, "") => None,
            (true, _) => Some((monitor::BROKEN, reason)),
        };
        match tell {
            Tell::Nothing => return,
            // A raw connection is in its handshake for ever, says libzmq.
            Tell::Errno(errno) if !live || self.socket.is_raw() => {
                self.tell(monitor::HANDSHAKE_FAILED_NO_DETAIL, errno as u32)
            }
            Tell::Protocol(code) if !live => self.tell(monitor::HANDSHAKE_FAILED_PROTOCOL, code),
            Tell::Auth(status) if !live => self.tell(monitor::HANDSHAKE_FAILED_AUTH, status),
            _ => {}
        }
        if let Some((event, detail)) = event {
            self.socket.events.emit_with(event, fd, &self.text, detail);
        }
        self.tell(monitor::DISCONNECTED, fd);
    }

    /// Closes the connection and tells the socket. `refuses`: the peer sends anew what we have not handed out.
    pub(super) fn drop_link(&mut self, io: &mut Io, reconnect: bool, refuses: bool) {
        if let Some(by) = self.handshake_by.take() {
            io.forget(by, self.token);
        }
        if let Some(by) = self.dial_by.take() {
            io.forget(by, self.token);
        }
        let Some(mut link) = self.link.take() else { return };
        io.unwatch(link.channel.fd());
        if let Phase::Streaming(engine) = &mut link.phase {
            engine.end(io);
        }
        if let Some(pidfd) = &link.pidfd {
            io.unwatch(pidfd.as_fd());
        }
        let flushing = self.flushing.take();
        let Some(slot) = self.slot else { return };
        if !matches!(link.phase, Phase::Live | Phase::Streaming(_)) {
            // A connecter's pipe goes on waiting; an accepted one never became a pipe.
            if self.address.is_none() {
                self.socket.drop_accepted(slot);
                self.slot = None;
            }
            return;
        }
        // Whoever still reads at the other side keeps the channel open.
        let reconnect = reconnect && self.address.is_some();
        let (waits, lent) = self.socket.lose(slot, flushing, reconnect, link.ended, refuses);
        if !waits {
            self.slot = None;
        }
        if let Phase::Live = link.phase {
            self.say_bye(io, &link, lent);
        }
    }

    /// The connection is over, although its fd may stay open on either side (lifeline.rs).
    pub(super) fn say_bye(&self, io: &mut Io, link: &Link, lent: Option<PeerId>) {
        if !link.ended {
            let _ = link.channel.send(handshake::bye(), &[]);
        }
        let lent = lent.map(|peer| (self.socket.state().core.arena.clone(), peer));
        io.lifelines.extend(Lifeline::new(link.channel.clone(), lent));
    }
}
