//! A session: what lives between a socket's pipe and whatever connection serves it now.
//!
//! A connecter's session outlives its connections: it dials, shakes hands, hands the rings to the
//! socket, and begins again when the connection is gone. An accepted session ends with its
//! connection. Neither sees a message of a live connection.
//!
//! ```text
//! connecter   idle -timer-> dial -> Hello -READY-> Wanting -OFFER-> Live -EOF-> idle
//! accepted                  Hello -READY-> Offered -ACCEPT-> Live -EOF-> removed
//! tcp         idle -timer-> dial -> Dialing -writable-> Hello -READY-> Streaming -EOF-> idle
//! no rings    Hello, Wanting, Offered -reason or SHM-NO-> Streaming -EOF-> as above
//! ```
//!
//! The whole handshake is bounded by HANDSHAKE_IVL. A failed one costs its connection only; a
//! connecter tries again after RECONNECT_IVL. A stopped peer is slow, not dead: only EOF on the
//! connection ends it, or the peer process's pidfd, which a forked child that still holds the
//! connection cannot hide.
//!
//! | file | noun |
//! |---|---|
//! | `mod.rs` | a session: what it is, and who is called when its thread calls it |
//! | `link.rs` | one connection, and how far it is |
//! | `attempt.rs` | an attempt to reach the endpoint, and the time to the next one |
//! | `hello.rs` | greeting and READY, either way, and what follows from them |
//! | `offer.rs` | OFFER and ACCEPT: rings are agreed upon |
//! | `commands.rs` | what a peer says on a connection that is no stream |
//! | `rings.rs` | a connection over rings, handed to the socket |
//! | `streaming.rs` | a connection over a stream, handed to the socket |
//! | `flush.rs` | what was sent before there was a connection |
//! | `end.rs` | the end of a connection, and of its session |
//! | `luxury.rs` | what a peer costs beyond the fd of its connection |

mod attempt;
mod commands;
mod end;
mod flush;
mod hello;
mod link;
mod luxury;
mod offer;
mod rings;
mod streaming;

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::dial::Address;
use crate::door::{Door, Place};
use crate::engine::Engine;
use crate::failure::{Failure, Tell};
use crate::options::Options;
use crate::pipe::Writer;
use crate::reactor::{Io, Next};
use crate::socket::Socket;
use crate::stats::Discard;

use commands::{ROUNDS, ROUNDS_TO_THE_END};
use link::{Link, Phase};
pub use luxury::forget_peers;

/// Longest command of a handshake, in bytes; nothing larger is ever sent on the channel.
const COMMAND_BYTES: usize = 8 * 1024;

pub struct Session {
    pub socket: Arc<Socket>,
    pub endpoint: u64,
    token: u64,
    /// None: accepted.
    address: Option<Address>,
    tcp: bool,
    /// The endpoint in events.
    text: Arc<[u8]>,
    slot: Option<usize>,
    link: Option<Link>,
    /// A connection whose pipe still has a queue to be moved to it.
    flushing: Option<Writer>,
    /// Accepted: through which door, and its place there until it is a peer.
    door: Option<Arc<Door>>,
    place: Option<Place>,
    attempts: u32,
    handshake_by: Option<Instant>,
    dial_at: Option<Instant>,
    /// A dial that takes longer is given up.
    dial_by: Option<Instant>,
    /// Next look whether held messages can move.
    move_held_at: Option<Instant>,
    /// Everything is written, and next look whether it has arrived; until when.
    arrived_look: Option<Instant>,
    talk_until: Option<Instant>,
    /// The socket is closed: Some(deadline), None inside for ever.
    closed: Option<Option<Instant>>,
    /// The endpoint was left, and RECONNECT_STOP says that what is under way then is not tried again.
    last_attempt: bool,
    /// The type refused the connection.
    refused: bool,
}

/// What a step of a session comes to.
type Step<T> = Result<T, Failure>;

impl Session {
    pub fn accepted(
        socket: Arc<Socket>,
        endpoint: u64,
        fd: OwnedFd,
        text: Arc<[u8]>,
        door: Arc<Door>,
    ) -> Session {
        let mut session = Session::new(socket, endpoint, None, text, None);
        session.link = Some(Link::new(fd, Phase::Hello));
        session.door = Some(door);
        session
    }

    pub fn connecter(socket: Arc<Socket>, endpoint: u64, address: Address, slot: Option<usize>) -> Session {
        let text = address.text();
        Session::new(socket, endpoint, Some(address), text, slot)
    }

    fn new(
        socket: Arc<Socket>,
        endpoint: u64,
        address: Option<Address>,
        text: Arc<[u8]>,
        slot: Option<usize>,
    ) -> Session {
        socket.serve();
        Session {
            socket,
            endpoint,
            token: 0,
            address,
            tcp: text.starts_with(b"tcp://"),
            text,
            slot,
            link: None,
            flushing: None,
            door: None,
            place: None,
            attempts: 0,
            handshake_by: None,
            dial_at: None,
            dial_by: None,
            move_held_at: None,
            arrived_look: None,
            talk_until: None,
            closed: None,
            last_attempt: false,
            refused: false,
        }
    }

    fn options(&self) -> Options {
        self.socket.state().core.options.clone()
    }

    pub fn begin(&mut self, io: &mut Io, token: u64) -> Next {
        self.token = token;
        // `close` may have come between `connect` and here.
        if self.socket.is_closed() && self.slot.is_none_or(|slot| self.socket.queued(slot) == 0) {
            if let Some(slot) = self.slot.take() {
                self.socket.drop_pipe(slot, Discard::Linger);
            }
            return Next::Remove;
        }
        if self.link.is_some() {
            return self.begin_link(io);
        }
        self.dial(io)
    }

    /// There is a connection, or the beginning of one.
    fn begin_link(&mut self, io: &mut Io) -> Next {
        let opened = if self.is_dialing() { self.await_dial(io) } else { self.open(io) };
        self.settle(io, opened)
    }

    fn is_dialing(&self) -> bool {
        matches!(self.link.as_ref().map(|link| &link.phase), Some(Phase::Dialing))
    }

    fn is_live(&self) -> bool {
        matches!(self.link.as_ref().map(|link| &link.phase), Some(Phase::Live | Phase::Streaming(_)))
    }

    fn is_streaming(&self) -> bool {
        matches!(self.link.as_ref().map(|link| &link.phase), Some(Phase::Streaming(_)))
    }

    fn link_fd(&self) -> Option<u32> {
        self.link.as_ref().map(|link| link.channel.fd().as_raw_fd() as u32)
    }

    fn tell(&self, event: u32, value: u32) {
        self.socket.events.emit(event, value, &self.text);
    }

    pub fn on_ready(&mut self, io: &mut Io, flags: EventFlags) -> Next {
        match self.link.as_ref().map(|link| &link.phase) {
            None => return Next::Stay,
            Some(Phase::Dialing) => return self.on_dialed(io, false),
            Some(Phase::Streaming(_)) => return self.drive(io, |engine, io| engine.on_ready(io, flags)),
            Some(_) => {}
        }
        // Asked first: what a dead process sent before it died is then all there to be read.
        let dead = self.peer_process_is_dead();
        let rounds = if dead { ROUNDS_TO_THE_END } else { ROUNDS };
        let done = self.receive(io, rounds).and_then(|()| {
            if flags.contains(EventFlags::OUT)
                && let Some(link) = &self.link
            {
                link.channel.flush();
            }
            if dead { Err(Failure::gone(Errno::PIPE)) } else { Ok(()) }
        });
        if let (true, Some(link)) = (dead, &mut self.link) {
            link.ended = true;
        }
        self.settle(io, done)
    }

    pub fn on_timer(&mut self, io: &mut Io) -> Next {
        let now = Instant::now();
        if let Some(Some(until)) = self.closed
            && until <= now
        {
            return self.expire(io);
        }
        if self.dial_by.is_some_and(|by| by <= now) {
            return self.on_dialed(io, true);
        }
        if self.is_streaming() && self.flushing.is_none() {
            return self.drive(io, Engine::on_timer);
        }
        if self.handshake_by.is_some_and(|by| by <= now) {
            let reason = "handshake took longer than HANDSHAKE_IVL".to_owned();
            // libzmq's value: what its last read had said.
            return self
                .settle(io, Err(Failure { reason, tell: Tell::Errno(libc::EAGAIN), blameless: false }));
        }
        if self.dial_at.is_some_and(|at| at <= now) {
            return self.dial(io);
        }
        if self.move_held_at.is_some_and(|at| at <= now) {
            self.move_held(io);
        }
        if self.flushing.is_some() {
            let flushed = self.flush(io).and_then(|()| self.finish_written(io));
            return self.settle(io, flushed);
        }
        Next::Stay
    }

    /// Its place in the door is wanted by another.
    pub fn on_evicted(&mut self, io: &mut Io) -> Next {
        if self.place.is_none() {
            return Next::Stay;
        }
        let reason = "too many handshakes are under way, and this took longest".to_owned();
        self.settle(io, Err(Failure { reason, tell: Tell::Errno(libc::ECONNABORTED), blameless: false }))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.socket.unserve();
    }
}
