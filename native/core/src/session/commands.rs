//! What a peer says while its connection is no stream: bytes and fds in, each command to whom it is for.

use rustix::io::Errno;
use shmzmq_zmtp::Event;

use super::link::Phase;
use super::{COMMAND_BYTES, Session, Step};
use crate::failure::{Failure, Tell};
use crate::handshake::{self, Facts};
use crate::loan::Nowhere;
use crate::reactor::Io;

/// Most fds that one side may have sent ahead of the commands they belong to.
const FDS_AHEAD: usize = 4;

impl Session {
    /// Reads to the end of what is there. The end of the connection is a failure that nobody is to blame for.
    pub(super) fn receive(&mut self, io: &mut Io) -> Step<()> {
        let mut buffer = [0; COMMAND_BYTES];
        loop {
            let link = self.link.as_mut().ok_or("no connection")?;
            let bytes = match link.channel.receive(&mut buffer, &mut link.fds) {
                Ok(0) => {
                    link.ended = true;
                    return Err(Failure::gone(Errno::PIPE));
                }
                Ok(bytes) => bytes,
                Err(Errno::CONNRESET) => {
                    link.ended = true;
                    return Err(Failure::gone(Errno::CONNRESET));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(format!("cannot receive: {errno}").into()),
            };
            if link.fds.len() > FDS_AHEAD {
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
    }

    pub(super) fn next_event(&mut self) -> Step<Option<Event>> {
        match &mut self.link {
            Some(link) => link.inbound.next().map_err(Failure::protocol),
            None => Ok(None),
        }
    }

    pub(super) fn on_event(&mut self, io: &mut Io, event: Event) -> Step<()> {
        let Event::Command { name, body } = event else {
            return match event {
                Event::Greeting { minor, .. } => {
                    if let Some(link) = &mut self.link {
                        link.minor = minor;
                    }
                    Ok(())
                }
                _ => Err("peer sent a message on a connection that has rings".into()),
            };
        };
        let name = String::from_utf8_lossy(&name).into_owned();
        let link = self.link.as_ref().ok_or("no connection")?;
        match (name.as_str(), &link.phase) {
            ("READY", Phase::Hello) => self.on_ready_command(io, &body),
            ("ERROR", _) => {
                let text = shmzmq_zmtp::parse_error(&body).map_err(Failure::protocol)?;
                Err(Failure { reason: format!("peer refuses: {text}"), tell: Tell::Disconnected })
            }
            (handshake::NO, Phase::Wanting | Phase::Offered { .. }) => {
                self.join_stream(io, &format!("peer has no rings: {}", String::from_utf8_lossy(&body)))
            }
            (handshake::OFFER, Phase::Wanting) => self.on_offer(io, &Facts::parse(&body)),
            (handshake::ACCEPT, Phase::Offered { .. }) => self.on_accept(io, &Facts::parse(&body)),
            (handshake::RING, Phase::Live | Phase::Offered { .. }) => self.on_ring(&Facts::parse(&body)),
            (handshake::ARENA, Phase::Live | Phase::Offered { .. }) => self.on_arena(&Facts::parse(&body)),
            (handshake::FORGET, Phase::Live) => {
                let number =
                    Facts::parse(&body).number("number").and_then(|number| u32::try_from(number).ok());
                if let (Some(slot), Some(number)) = (self.slot, number) {
                    self.socket.lend(slot, number, None).map_err(|Nowhere(why)| why)?;
                }
                Ok(())
            }
            (handshake::BYE, _) => Err(Failure::gone(Errno::PIPE)),
            (handshake::CREDIT, Phase::Live) => {
                if let (Some(slot), Some(rcvhwm)) = (self.slot, Facts::parse(&body).number("rcvhwm")) {
                    self.socket.set_peer_rcvhwm(slot, rcvhwm as i64);
                }
                Ok(())
            }
            (handshake::WAKE, Phase::Live) => {
                self.socket.signaler.ring();
                Ok(())
            }
            (handshake::OFFER | handshake::ACCEPT | handshake::RING | handshake::ARENA | "READY", _) => {
                Err(format!("peer sent {name} out of turn").into())
            }
            // Unknown commands are ignored (RFC 37): that is how a later version adds one.
            _ => Ok(()),
        }
    }
}
