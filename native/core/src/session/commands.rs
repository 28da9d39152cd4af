//! What a peer says while its connection is no stream: bytes and fds in, each command to whom it is for.

use rustix::io::Errno;
use shmzmq_zmtp::{Event, MAX_UNKNOWN};

use super::link::Phase;
use super::{COMMAND_BYTES, Session, Step};
use crate::failure::Failure;
use crate::handshake::{self, Facts};
use crate::loan::Nowhere;
use crate::reactor::Io;

/// Reads in a row before others have their turn; and where nothing more is to come than is there.
pub(super) const ROUNDS: usize = 64;
pub(super) const ROUNDS_TO_THE_END: usize = 4096;
/// Most fds that one side may have sent ahead of the commands they belong to.
const FDS_AHEAD: usize = 4;

impl Session {
    /// Reads what is there; a peer that goes on talking is heard again in the next turn. The end of the connection is
    /// a failure that nobody is to blame for.
    pub(super) fn receive(&mut self, io: &mut Io, rounds: usize) -> Step<()> {
        let mut buffer = [0; COMMAND_BYTES];
        for _ in 0..rounds {
            let link = self.link.as_mut().ok_or("no connection")?;
            if !link.frees_spare() {
                return Ok(());
            }
            let (bytes, dropped) = match link.channel.receive(&mut buffer, &mut link.fds) {
                Ok((0, _)) => {
                    link.ended = true;
                    return Err(Failure::gone(Errno::PIPE));
                }
                Ok(received) => received,
                Err(Errno::CONNRESET) => {
                    link.ended = true;
                    return Err(Failure::gone(Errno::CONNRESET));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(format!("cannot receive: {errno}").into()),
            };
            // The first that a connecter sends are those of its ACCEPT.
            let early = self.address.is_none() && matches!(link.phase, Phase::Hello);
            if early && dropped {
                return Err("peer sends fds that no command asks for".into());
            }
            if dropped && let Err(failure) = link.lose_fds() {
                // What was said is understood later, without them.
                link.inbound.feed(&buffer[..bytes]);
                io.again(self.token);
                return Err(failure);
            }
            if link.fds.len() > if early { 0 } else { FDS_AHEAD } {
                return Err("peer sends fds that no command asks for".into());
            }
            link.inbound.feed(&buffer[..bytes]);
            while let Some(event) = self.next_event()? {
                self.on_event(io, event)?;
                if self.is_streaming() {
                    return Ok(());
                }
            }
        }
        io.again(self.token);
        Ok(())
    }

    fn next_event(&mut self) -> Step<Option<Event>> {
        match &mut self.link {
            Some(link) => link.inbound.next().map_err(Failure::protocol),
            None => Ok(None),
        }
    }

    fn on_event(&mut self, io: &mut Io, event: Event) -> Step<()> {
        match event {
            Event::Command { name, body } => self.on_command(io, &String::from_utf8_lossy(&name), &body),
            Event::Greeting { minor, .. } => {
                if let Some(link) = &mut self.link {
                    link.minor = minor;
                }
                Ok(())
            }
            _ => Err("peer sent a message on a connection that has rings".into()),
        }
    }

    fn on_command(&mut self, io: &mut Io, name: &str, body: &[u8]) -> Step<()> {
        let facts = Facts::parse(body);
        let link = self.link.as_mut().ok_or("no connection")?;
        if link.leaving.is_some() && name != handshake::BYE {
            link.fds.clear();
            return Ok(());
        }
        match (name, &link.phase) {
            ("READY", Phase::Hello) => self.on_ready_command(io, body),
            ("ERROR", _) => {
                let text = shmzmq_zmtp::parse_error(body).map_err(Failure::protocol)?;
                Err(Failure::refused(&text))
            }
            (handshake::NO, Phase::Wanting | Phase::Offered { .. }) => {
                let theirs = || format!("peer has no rings: {}", String::from_utf8_lossy(body));
                let why = link.unwanted.clone().unwrap_or_else(theirs);
                self.join_stream(io, &why)
            }
            (handshake::OFFER, Phase::Wanting) => self.on_offer(io, &facts),
            (handshake::ACCEPT, Phase::Offered { .. }) => self.on_accept(io, &facts),
            (handshake::RING, Phase::Live | Phase::Offered { .. }) => self.on_ring(&facts),
            (handshake::ARENA, Phase::Live | Phase::Offered { .. }) => self.on_arena(&facts),
            (handshake::HALT, Phase::Live) => Err(Failure::halted()),
            (handshake::BYE, _) => Err(Failure::gone(Errno::PIPE)),
            (handshake::OFFER | handshake::ACCEPT | handshake::RING | handshake::ARENA | "READY", _) => {
                Err(format!("peer sent {name} out of turn").into())
            }
            (handshake::FORGET | handshake::CREDIT | handshake::WAKE, Phase::Live) => {
                self.on_note(name, &facts)
            }
            (handshake::FORGET | handshake::CREDIT | handshake::WAKE | handshake::NO, _) => Ok(()),
            _ => self.on_unknown(),
        }
    }

    /// Unknown commands are ignored (RFC 37), that is how a later version adds one; but not without end while the peer
    /// is none of ours yet.
    fn on_unknown(&mut self) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        link.unknown += 1;
        let many = link.unknown > MAX_UNKNOWN && !matches!(link.phase, Phase::Live);
        self.socket.state().core.stats.unknown_commands += 1;
        if many { Err(format!("peer sent more than {MAX_UNKNOWN} unknown commands").into()) } else { Ok(()) }
    }

    /// Over rings: what is good to know. What is missing in it makes it mean nothing.
    fn on_note(&mut self, name: &str, facts: &Facts) -> Step<()> {
        let Some(slot) = self.slot else { return Ok(()) };
        match name {
            handshake::FORGET => {
                if let Some(Ok(number)) = facts.number("number").map(u32::try_from) {
                    self.socket.lend(slot, number, None).map_err(|Nowhere(why)| why)?;
                }
            }
            handshake::CREDIT => {
                if let Some(rcvhwm) = facts.number("rcvhwm") {
                    self.socket.set_peer_rcvhwm(slot, rcvhwm as i64);
                }
            }
            handshake::WAKE => self.socket.signaler.ring(),
            _ => {}
        }
        Ok(())
    }
}
