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

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process::{PidfdFlags, Resource};
use shmzmq_shm::arena::{PeerId, SEGMENTS_MAX};
use shmzmq_shm::fork::{self, Fd};
use shmzmq_shm::segment::{MappedRing, PipeSegment, SegmentError};
use shmzmq_zmtp::{Event, Inbound, Ready};

use crate::channel::Channel;
use crate::context::log;
use crate::dial::{Address, Dialed, Undialed, peer_address, tune};
use crate::door::{Door, Place};
use crate::engine::Engine;
use crate::failure::{Failure, Tell};
use crate::handshake::{self, Facts, Terms};
use crate::lifeline::Lifeline;
use crate::loan::{Lender, Nowhere, View};
use crate::looker::LookerCall;
use crate::monitor;
use crate::options::{self, Options, credit};
use crate::origin::Origin;
use crate::pipe::overflow::Policy;
use crate::pipe::ring::{Limits, RingIn, RingOut};
use crate::pipe::{In, Peer, Writer, stream};
use crate::reactor::{Io, Next, SessionHandle};
use crate::signaler::PeerSignaler;
use crate::socket::Socket;
use crate::socket::life::{Attach, Connection, Flush};
use crate::stats::Discard;

/// Longest command of a handshake, in bytes; nothing larger is ever sent on the channel.
const COMMAND_BYTES: usize = 8 * 1024;
/// Beyond about this many peers doorbells are commands on the channel and pidfds are not opened; and
/// when fds get scarce the first peers give theirs up too: a binder then keeps one fd per peer.
const PEERS_WITH_BELLS: usize = 64;
/// A full backlog answers EAGAIN at once; the listener is alive, so ask again soon.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);
/// A flush that found no memory or fd for a larger ring goes on after this.
const FLUSH_RETRY: Duration = Duration::from_millis(10);
/// Time between two looks of a writer that holds messages for a full ring.
const HELD_LOOK: Duration = Duration::from_millis(2);
/// While the peer talks, a close makes the kernel throw away what it has not sent (RFC 1122, 4.2.2.13). So a
/// connection that has done its work stays for that, so long at most; and time between two looks at it.
const TALK_MAX: Duration = Duration::from_secs(30);
const UNSENT_LOOK: Duration = Duration::from_millis(10);
/// Most fds that one side may have sent ahead of the commands they belong to.
const FDS_AHEAD: usize = 4;

enum Phase {
    /// Connecter over tcp: the kernel is at it.
    Dialing,
    /// Greeting and READY are awaited.
    Hello,
    /// Binder: OFFER is out, ACCEPT is awaited.
    Offered { segment: PipeSegment },
    /// Connecter: OFFER is awaited.
    Wanting,
    /// Over rings.
    Live,
    /// ZMTP traffic over the connection itself.
    Streaming(Box<Engine>),
}

/// One connection.
struct Link {
    channel: Arc<Channel>,
    greeted: bool,
    inbound: Inbound,
    fds: VecDeque<OwnedFd>,
    phase: Phase,
    peer: Peer,
    terms: Option<Terms>,
    /// Binder: rings that the connecter went on in before its ACCEPT left.
    early_rings: Vec<(u32, MappedRing)>,
    early_segments: Vec<(u32, View)>,
    /// Its last holder at the other side let go of it, or died.
    ended: bool,
    routing_id: Vec<u8>,
    /// What the peer said of itself.
    ready: Option<Ready>,
    /// The peer's minor version.
    minor: u8,
    /// Why this side wants no rings.
    unwanted: Option<String>,
    pidfd: Option<Fd>,
    signaler: Option<Arc<PeerSignaler>>,
    /// In PEERS.
    counted: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.counted {
            PEERS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

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
    /// Everything is written, and next look whether the kernel has sent it; until when.
    unsent_look: Option<Instant>,
    talk_until: Option<Instant>,
    /// The socket is closed: Some(deadline), None inside for ever.
    closed: Option<Option<Instant>>,
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
            unsent_look: None,
            talk_until: None,
            closed: None,
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

    /// Connecter: one attempt to reach the endpoint.
    fn dial(&mut self, io: &mut Io) -> Next {
        self.dial_at = None;
        let Some(address) = &self.address else { return Next::Remove };
        let dialed = address.dial(&self.options(), &io.thread, self.token);
        self.dialed(io, dialed)
    }

    /// The name was looked up.
    pub fn on_resolved(&mut self, io: &mut Io, to: Option<SocketAddr>) -> Next {
        let Some(address) = self.address.as_ref().filter(|_| self.link.is_none()) else { return Next::Stay };
        let dialed = match to {
            Some(to) => address.dial_resolved(to, &self.options()),
            None => Err(Errno::HOSTUNREACH.into()),
        };
        self.dialed(io, dialed)
    }

    fn dialed(&mut self, io: &mut Io, dialed: Result<Dialed, Undialed>) -> Next {
        match dialed {
            Ok(Dialed::Up(fd)) => {
                self.link = Some(Link::new(fd, Phase::Hello));
                self.begin_link(io)
            }
            Ok(Dialed::Begun(fd)) => {
                self.link = Some(Link::new(fd, Phase::Dialing));
                self.begin_link(io)
            }
            Ok(Dialed::Resolving) => Next::Stay,
            Err(Undialed { fd, errno }) => self.on_undialed(io, fd, errno),
        }
    }

    fn on_undialed(&mut self, io: &mut Io, fd: Option<i32>, errno: Errno) -> Next {
        if let Some(fd) = fd {
            self.tell(monitor::CLOSED, fd as u32);
        }
        let stops = self.options().reconnect_stop & options::STOP_REFUSED != 0;
        match errno {
            Errno::AGAIN if !self.tcp => self.dial_later(io, BACKLOG_RETRY),
            Errno::CONNREFUSED if stops => self.give_up(),
            _ => self.retry(io),
        }
    }

    /// tcp: told when the kernel has decided.
    fn await_dial(&mut self, io: &mut Io) -> Step<()> {
        let options = self.options();
        if options.connect_timeout > 0 {
            let by = Instant::now() + Duration::from_millis(options.connect_timeout as u64);
            self.dial_by = Some(by);
            io.call_at(by, self.token);
        }
        self.tell(monitor::CONNECT_DELAYED, libc::EINPROGRESS as u32);
        let link = self.link.as_ref().ok_or("no connection")?;
        io.watch(link.channel.fd(), self.token).map_err(Failure::send)
    }

    /// The kernel has decided, or time is up.
    fn on_dialed(&mut self, io: &mut Io, timed_out: bool) -> Next {
        let Some(link) = &self.link else { return Next::Stay };
        let fd = link.channel.fd();
        let error = match sockopt::socket_error(fd) {
            Ok(Ok(())) if timed_out => Some(Errno::TIMEDOUT),
            // An edge that says nothing new.
            Ok(Ok(())) if rustix::net::getpeername(fd).is_err() => return Next::Stay,
            Ok(Ok(())) => None,
            Ok(Err(errno)) | Err(errno) => Some(errno),
        };
        if let Some(by) = self.dial_by.take() {
            io.forget(by, self.token);
        }
        io.unwatch(fd);
        let Some(errno) = error else {
            if let Some(link) = &mut self.link {
                link.phase = Phase::Hello;
            }
            let opened = self.open(io);
            return self.settle(io, opened);
        };
        let number = fd.as_raw_fd();
        self.link = None;
        if self.closed.is_some() && self.slot.is_none_or(|slot| self.socket.queued(slot) == 0) {
            return self.give_up();
        }
        self.on_undialed(io, Some(number), errno)
    }

    fn dial_later(&mut self, io: &mut Io, delay: Duration) -> Next {
        let at = Instant::now() + delay;
        self.dial_at = Some(at);
        io.call_at(at, self.token);
        self.tell(monitor::CONNECT_RETRIED, u32::try_from(delay.as_millis()).unwrap_or(u32::MAX));
        Next::Stay
    }

    fn tell(&self, event: u32, value: u32) {
        self.socket.events.emit(event, value, &self.text);
    }

    /// Connecter: waits and tries again. Accepted: ends.
    fn retry(&mut self, io: &mut Io) -> Next {
        if self.address.is_none() {
            return Next::Remove;
        }
        let options = self.options();
        let Ok(interval @ 1..) = u64::try_from(options.reconnect_ivl) else { return self.give_up() };
        let most = u64::try_from(options.reconnect_ivl_max).unwrap_or_default();
        let delay = reconnect_delay(interval, most, self.attempts);
        self.attempts += 1;
        self.dial_later(io, Duration::from_millis(delay))
    }

    /// RECONNECT_IVL is 0 or less, or RECONNECT_STOP applies: the pipe will see no other connection.
    fn give_up(&mut self) -> Next {
        if let Some(slot) = self.slot.take() {
            self.socket.drop_pipe(slot, Discard::PeerGone);
        }
        Next::Remove
    }

    /// The connection is there: watches it and says hello.
    fn open(&mut self, io: &mut Io) -> Step<()> {
        let options = self.options();
        let raw = self.socket.is_raw();
        if options.handshake_ivl > 0 && !raw {
            let by = Instant::now() + Duration::from_millis(options.handshake_ivl as u64);
            self.handshake_by = Some(by);
            io.call_at(by, self.token);
        }
        self.step_in(io);
        let connecter = self.address.is_some();
        if let (true, Some(fd)) = (connecter, self.link_fd()) {
            self.tell(monitor::CONNECTED, fd);
        }
        let tcp = self.tcp;
        let link = self.link.as_mut().ok_or("no connection")?;
        if tcp && !connecter {
            tune(link.channel.fd(), &options, false).map_err(Failure::send)?;
        }
        io.watch(link.channel.fd(), self.token)?;
        link.hello(connecter, tcp, &self.socket, &options)?;
        if raw { self.join_stream(io, "") } else { Ok(()) }
    }

    /// Accepted: stands in the door until its handshake is over.
    fn step_in(&mut self, io: &mut Io) {
        let (Some(door), Some(link)) = (self.door.take(), &self.link) else { return };
        let (place, goes) = door.enter(link.channel.fd(), self.token);
        self.place = Some(place);
        io.evict(goes);
    }

    fn link_fd(&self) -> Option<u32> {
        self.link.as_ref().map(|link| link.channel.fd().as_raw_fd() as u32)
    }

    /// The first dial, in the caller's thread: it saves the first wake-up of the I/O thread. Whatever
    /// goes wrong here, the I/O thread dials again.
    pub fn dial_early(&mut self) {
        let options = self.options();
        match self.address.as_ref().and_then(|address| address.dial_early(&options)) {
            Some(Dialed::Up(fd)) => {
                let mut link = Link::new(fd, Phase::Hello);
                if link.hello(true, self.tcp, &self.socket, &options).is_ok() {
                    self.link = Some(link);
                }
            }
            Some(Dialed::Begun(fd)) => self.link = Some(Link::new(fd, Phase::Dialing)),
            Some(Dialed::Resolving) | None => {}
        }
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
        let done = self.receive(io).and_then(|()| {
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

    /// Lets the engine do something; a closed socket's session ends once everything is written.
    fn drive(&mut self, io: &mut Io, run: impl FnOnce(&mut Engine, &mut Io) -> Step<()>) -> Next {
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
    fn count_unknown(&mut self) {
        let Some(Link { phase: Phase::Streaming(engine), .. }) = &mut self.link else { return };
        let unknown = engine.take_untold();
        if unknown > 0 {
            self.socket.state().core.stats.unknown_commands += unknown;
        }
    }

    /// Ends the session of a closed socket, or of an endpoint that was left, when everything is written.
    fn finish_written(&mut self, io: &mut Io) -> Step<()> {
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

    /// pidfd(2): readable once the process has ended, also while a zombie or a forked child keeps
    /// the connection open.
    fn peer_process_is_dead(&self) -> bool {
        let pidfd = self.link.as_ref().and_then(|link| link.pidfd.as_ref());
        let Some(pidfd) = pidfd else { return false };
        let mut polled = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&now)) == Ok(1)
    }

    /// Reads to the end of what is there. The end of the connection is a failure that nobody is to blame for.
    fn receive(&mut self, io: &mut Io) -> Step<()> {
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

    fn is_streaming(&self) -> bool {
        matches!(self.link.as_ref().map(|link| &link.phase), Some(Phase::Streaming(_)))
    }

    fn next_event(&mut self) -> Step<Option<Event>> {
        match &mut self.link {
            Some(link) => link.inbound.next().map_err(Failure::protocol),
            None => Ok(None),
        }
    }

    fn on_event(&mut self, io: &mut Io, event: Event) -> Step<()> {
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

    fn on_ready_command(&mut self, io: &mut Io, body: &[u8]) -> Step<()> {
        let ready = Ready::parse(body).map_err(Failure::protocol)?;
        let options = self.options();
        let kind = self.socket.kind;
        let (tcp, binder) = (self.tcp, self.address.is_none());
        let link = self.link.as_mut().ok_or("no connection")?;
        if let Err(error) = ready.check_peer_of(kind) {
            let mut bytes = Vec::new();
            shmzmq_zmtp::encode_error("Invalid socket type", &mut bytes);
            link.channel.send(bytes, &[])?;
            return Err(Failure::protocol(error));
        }
        link.routing_id = ready.identity.clone();
        let theirs = ready.properties.get(handshake::PROPERTY);
        let asked = theirs.is_some();
        let terms = match &link.unwanted {
            Some(why) => Err(why.clone()),
            None => handshake::terms(theirs),
        };
        link.ready = Some(ready);
        let terms = match terms {
            Ok(terms) if !tcp => terms,
            terms => {
                let why = terms.err().unwrap_or_default();
                if binder && !tcp {
                    let mut bytes = handshake::ready(kind, &options, link.unwanted.is_none());
                    if asked {
                        bytes.extend(handshake::no(&why));
                    }
                    link.channel.send(bytes, &[]).map_err(Failure::send)?;
                }
                return self.join_stream(io, &why);
            }
        };
        link.terms = Some(terms);
        if !binder {
            link.phase = Phase::Wanting;
            return Ok(());
        }
        let slot = self.socket.add_accepted(self.endpoint).ok_or("socket was closed")?;
        self.slot = Some(slot);
        self.offer(io, slot, &options)
    }

    /// Says why there are no rings, and goes on without.
    fn refuse_rings(&mut self, io: &mut Io, why: &str) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        link.channel.send(handshake::no(why), &[]).map_err(Failure::send)?;
        self.join_stream(io, why)
    }

    /// Binder: makes the segment and answers READY and OFFER in one.
    fn offer(&mut self, io: &mut Io, slot: usize, options: &Options) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        let wanted = link.terms.map_or(0, |terms| terms.ring_bytes as i64).max(options.ring_bytes);
        let ring_bytes = (wanted.max(4096) as usize).next_power_of_two().min(1 << 30);
        let mut bytes = handshake::ready(self.socket.kind, options, true);
        let (fd, segment) = match PipeSegment::create(ring_bytes) {
            Ok(made) => made,
            Err(error) => {
                link.channel.send(bytes, &[]).map_err(Failure::send)?;
                return self.refuse_rings(io, &format!("no memory for rings: {error}"));
            }
        };
        bytes.extend(handshake::offer(ring_bytes, slot, keeps_bells()));
        let signaler = &self.socket.signaler;
        let fds = [fd.as_fd(), signaler.page_fd(), signaler.event_fd()];
        link.channel.send(bytes, &fds).map_err(Failure::send)?;
        link.phase = Phase::Offered { segment };
        Ok(())
    }

    /// Connecter: maps what is offered, answers ACCEPT, and is connected.
    fn on_offer(&mut self, io: &mut Io, facts: &Facts) -> Step<()> {
        let options = self.options();
        let link = self.link.as_mut().ok_or("no connection")?;
        let (fd, page, event) = match (link.fds.pop_front(), link.fds.pop_front(), link.fds.pop_front()) {
            (Some(fd), Some(page), Some(event)) => (fd, page, event),
            // A relay between us passes bytes on and nothing else.
            _ => return self.refuse_rings(io, "fds were lost on the way"),
        };
        let ring_bytes = facts.number("ring").ok_or("peer's OFFER names no ring size")?;
        let theirs = facts.number("slot").ok_or("peer's OFFER names no slot")? as u32;
        let event = keeps_bells().then_some(event);
        let mapped = PipeSegment::attach(fd.as_fd(), ring_bytes).and_then(|segment| {
            Ok((segment, PeerSignaler::new(page.as_fd(), event, theirs, link.channel.clone())?))
        });
        let (segment, signaler) = match mapped {
            Ok(mapped) => mapped,
            Err(SegmentError::System { call, errno }) => {
                return self.refuse_rings(io, &format!("cannot map rings: {call}: {errno}"));
            }
            Err(error) => return Err(error.into()),
        };
        let slot = match self.slot {
            Some(slot) => slot,
            // IMMEDIATE: the pipe exists from now on and ends with the connection.
            None => self.socket.add_accepted(self.endpoint).ok_or("socket was closed")?,
        };
        self.slot = Some(slot);
        let ours = &self.socket.signaler;
        let accept = handshake::accept(slot, true);
        let wants_bell = facts.number("bell") == Some(1);
        let ours = ours.clone();
        let fds = [ours.page_fd(), ours.event_fd()];
        let channel = link.channel.clone();
        let fds = &fds[..if wants_bell { 2 } else { 1 }];
        if !self.socket.subscribes() {
            channel.send(accept, fds).map_err(Failure::send)?;
            return self.join(io, &segment, Arc::new(signaler), &options);
        }
        // First the subscriptions go into the ring, then ACCEPT leaves: whoever counts us as a peer finds
        // them there (docs/design/decisions/0007).
        let joined = self.join(io, &segment, Arc::new(signaler), &options);
        channel.send(accept, fds).map_err(Failure::send)?;
        joined
    }

    /// Binder: the connecter has everything.
    fn on_accept(&mut self, io: &mut Io, facts: &Facts) -> Step<()> {
        let options = self.options();
        let link = self.link.as_mut().ok_or("no connection")?;
        let page = link.fds.pop_front().ok_or("peer's ACCEPT lacks its ready page")?;
        let event = link.fds.pop_front();
        let theirs = facts.number("slot").ok_or("peer's ACCEPT names no slot")? as u32;
        let event = event.filter(|_| keeps_bells());
        let signaler = PeerSignaler::new(page.as_fd(), event, theirs, link.channel.clone())?;
        let Phase::Offered { segment } = std::mem::replace(&mut link.phase, Phase::Live) else {
            return Err("no OFFER is out".into());
        };
        self.join(io, &segment, Arc::new(signaler), &options)
    }

    /// Both sides: hands the rings to the socket.
    fn join(
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

    /// The socket has the connection; what it had queued is moved now.
    fn joined(&mut self, io: &mut Io, attached: Attach) -> Step<()> {
        match attached {
            Attach::Done => Ok(()),
            Attach::Flush(writer) => {
                self.flushing = Some(writer);
                self.flush(io)
            }
            Attach::Refused => {
                self.slot = None;
                self.refused = true;
                Err("socket takes no further peer".into())
            }
        }
    }

    /// Both sides: from here on ZMTP traffic goes over the connection itself; `why`: what prevents rings. Or a
    /// STREAM socket's bytes.
    fn join_stream(&mut self, io: &mut Io, why: &str) -> Step<()> {
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

    /// Moves what was sent before the connection was there.
    fn flush(&mut self, io: &mut Io) -> Step<()> {
        while let (Some(writer), Some(slot)) = (self.flushing.take(), self.slot) {
            match self.socket.flush(slot, writer) {
                Flush::More(writer) => self.flushing = Some(writer),
                Flush::Stuck(writer) => {
                    self.flushing = Some(writer);
                    io.call_at(Instant::now() + FLUSH_RETRY, self.token);
                    return Ok(());
                }
                Flush::Done => return Ok(()),
                Flush::Finished => {
                    self.slot = None;
                    // What is lent is closed with the socket, or comes back by itself.
                    self.socket.part(slot);
                    if self.socket.is_raw() {
                        // It was hung up before there was a connection.
                        self.closed.get_or_insert(None);
                    }
                    return Err(Failure::finished());
                }
            }
        }
        Ok(())
    }

    /// The writer's next ring: kept for the reader until it comes to the JUMP.
    fn on_ring(&mut self, facts: &Facts) -> Step<()> {
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
    fn on_arena(&mut self, facts: &Facts) -> Step<()> {
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

    pub fn on_timer(&mut self, io: &mut Io) -> Next {
        let now = Instant::now();
        if let Some(Some(until)) = self.closed
            && until <= now
        {
            self.drop_link(io, false);
            if let Some(slot) = self.slot.take() {
                self.socket.drop_pipe(slot, Discard::Linger);
            }
            return Next::Remove;
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
            return self.settle(io, Err(Failure { reason, tell: Tell::Errno(libc::EAGAIN) }));
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

    /// Fds are scarce: keeps one for the connection and no more.
    pub fn economise(&mut self, io: &mut Io) {
        let Some(link) = &mut self.link else { return };
        if let Some(pidfd) = link.pidfd.take() {
            io.unwatch(pidfd.as_fd());
        }
        if let Some(signaler) = &link.signaler {
            signaler.give_up_bell();
        }
    }

    /// A writer that keeps holds messages for which its ring had no room (overflow.rs), and its program
    /// may never call again: looks whether the reader has moved.
    pub fn move_held(&mut self, io: &mut Io) -> Next {
        self.move_held_at = None;
        let Some(slot) = self.slot else { return Next::Stay };
        if !self.socket.move_held(slot) {
            let at = Instant::now() + HELD_LOOK;
            self.move_held_at = Some(at);
            io.call_at(at, self.token);
        }
        Next::Stay
    }

    /// Its place in the door is wanted by another.
    pub fn on_evicted(&mut self, io: &mut Io) -> Next {
        if self.place.is_none() {
            return Next::Stay;
        }
        let reason = "too many handshakes are under way, and this took longest".to_owned();
        self.settle(io, Err(Failure { reason, tell: Tell::Errno(libc::ECONNABORTED) }))
    }

    pub fn on_kill(&mut self, io: &mut Io, reason: &str) -> Next {
        if self.link.is_none() {
            return Next::Stay;
        }
        // Whoever found the peer's mistake has counted it.
        self.end(io, reason.into())
    }

    /// `unbind`, `disconnect` or `close`. What is queued may still be delivered until `linger`, None for
    /// ever; everything else ends now, and what has arrived can still be read.
    pub fn on_stop(&mut self, io: &mut Io, linger: Option<Instant>) -> Next {
        let mut queued = self.slot.is_some_and(|slot| self.socket.queued(slot) > 0);
        if self.options().reconnect_stop & options::STOP_AFTER_DISCONNECT != 0 && !self.socket.is_closed() {
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
            if let Some(until) = linger {
                io.call_at(until, self.token);
            }
            return Next::Stay;
        }
        // The rings that were announced so far are needed to read what has arrived.
        if !self.is_streaming() && !self.is_dialing() {
            let _ = self.receive(io);
        }
        if let Some(mut link) = self.link.take() {
            io.unwatch(link.channel.fd());
            if let Phase::Streaming(engine) = &mut link.phase {
                if let Some(slot) = self.slot.take() {
                    self.socket.part(slot);
                }
                engine.end(io);
                return Next::Remove;
            }
            match (self.slot.take(), &link.phase) {
                (Some(slot), Phase::Live) => {
                    let lent = self.socket.part(slot);
                    // Unread input keeps the channel open; the peer must hear of it now.
                    self.say_bye(io, &link, lent);
                }
                (Some(slot), _) => self.socket.drop_pipe(slot, Discard::PeerGone),
                (None, _) => {}
            }
        } else if let Some(slot) = self.slot.take() {
            self.socket.drop_pipe(slot, Discard::PeerGone);
        }
        Next::Remove
    }

    /// After every step: a failure is counted and ends the connection.
    fn settle(&mut self, io: &mut Io, done: Step<()>) -> Next {
        let Err(failure) = done else { return Next::Stay };
        let live = self.is_live();
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

    fn is_live(&self) -> bool {
        matches!(self.link.as_ref().map(|link| &link.phase), Some(Phase::Live | Phase::Streaming(_)))
    }

    /// Ends the connection; a connecter begins again.
    fn end(&mut self, io: &mut Io, failure: Failure) -> Next {
        let Failure { reason, tell } = failure;
        let live = self.is_live();
        if !reason.is_empty() {
            log(if live { "connection" } else { "handshake" }, format!("connection ended: {reason}"));
        }
        let options = self.options();
        let stops = !live && options.reconnect_stop & options::STOP_HANDSHAKE_FAILED != 0;
        let fd = self.link_fd();
        self.drop_link(io, options.reconnect_ivl > 0);
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
    fn tell_end(&self, live: bool, reason: &str, tell: Tell, fd: u32) {
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
            _ => {}
        }
        if let Some((event, detail)) = event {
            self.socket.events.emit_with(event, fd, &self.text, detail);
        }
        self.tell(monitor::DISCONNECTED, fd);
    }

    /// Tells the monitor which rings the connection has.
    fn tell_rings(&self, ring_bytes: usize) {
        let peer = self.link.as_ref().map_or(Peer::default(), |link| link.peer);
        let detail = format!("pid={} uid={} ring={ring_bytes}", peer.pid, peer.uid);
        let fd = self.link_fd().unwrap_or(u32::MAX);
        self.socket.events.emit_with(monitor::RINGS, fd, &self.text, &detail);
    }

    /// Closes the connection and tells the socket.
    fn drop_link(&mut self, io: &mut Io, reconnect: bool) {
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
        // Whoever still reads at the other side keeps the channel open, unless we cut it ourselves.
        let gone = link.ended && !link.channel.is_cut();
        let (waits, lent) = self.socket.lose(slot, flushing, reconnect && self.address.is_some(), gone);
        if !waits {
            self.slot = None;
        }
        if let Phase::Live = link.phase {
            self.say_bye(io, &link, lent);
        }
    }

    /// The connection is over, although its fd may stay open on either side (lifeline.rs).
    fn say_bye(&self, io: &mut Io, link: &Link, lent: Option<PeerId>) {
        if !link.ended || link.channel.is_cut() {
            let _ = link.channel.send(handshake::bye(), &[]);
        }
        let lent = lent.map(|peer| (self.socket.state().core.arena.clone(), peer));
        io.lifelines.extend(Lifeline::new(link.channel.clone(), lent));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.socket.unserve();
    }
}

impl Link {
    fn new(fd: OwnedFd, phase: Phase) -> Link {
        Link {
            channel: Arc::new(Channel::new(fd)),
            greeted: false,
            inbound: Inbound::new(COMMAND_BYTES),
            fds: VecDeque::new(),
            phase,
            peer: Peer::default(),
            terms: None,
            early_rings: Vec::new(),
            early_segments: Vec::new(),
            ended: false,
            routing_id: Vec::new(),
            ready: None,
            minor: 0,
            unwanted: None,
            pidfd: None,
            signaler: None,
            counted: false,
        }
    }

    /// Says the greeting, and READY with it where that depends on nothing; once.
    fn hello(&mut self, connecter: bool, tcp: bool, socket: &Socket, options: &Options) -> Step<()> {
        if std::mem::replace(&mut self.greeted, true) {
            return Ok(());
        }
        if !tcp {
            self.check_credentials(options)?;
        }
        if socket.is_raw() {
            return Ok(());
        }
        let mut bytes = shmzmq_zmtp::greeting().to_vec();
        // A binder on an ipc path waits: its READY goes with its OFFER.
        if connecter || tcp {
            bytes.extend(handshake::ready(socket.kind, options, !tcp && self.unwanted.is_none()));
        }
        // Somebody may only have looked whether we are here, as a second `bind` of the path does.
        self.channel.send(bytes, &[]).map_err(Failure::send)
    }

    /// SO_PEERCRED (unix(7)): who connected, or who listens. Rings are for the same user.
    fn check_credentials(&mut self, options: &Options) -> Step<()> {
        self.peer = credentials(self.channel.fd())?;
        let (uid, ours) = (self.peer.uid, rustix::process::geteuid().as_raw());
        if uid != ours {
            self.unwanted = Some(format!("peer has uid {uid}, we have {ours}"));
        } else if options.ipc_mode == options::IPC_ZMTP {
            self.unwanted = Some("switched off by IPC_MODE".to_owned());
        }
        Ok(())
    }

    /// Covers a connection that a forked child of the peer keeps open. Not for our own process, and
    /// not beyond the peers that may cost a second fd.
    fn watch_peer_process(&mut self, io: &mut Io, token: u64) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        if self.peer.pid == own || !keeps_bells() {
            return;
        }
        let Some(pid) = rustix::process::Pid::from_raw(self.peer.pid) else { return };
        // The pid was the kernel's answer for this very socket; if the process ended meanwhile and
        // its pid was given away, EOF is here already and ends the session anyway.
        if let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            let pidfd: Fd = pidfd.into();
            if io.watch(pidfd.as_fd(), token).is_ok() {
                self.pidfd = Some(pidfd);
            }
        }
    }
}

/// Milliseconds before the next attempt. RECONNECT_IVL and up to as much again at random; with RECONNECT_IVL_MAX
/// it doubles up to that. libzmq doubles exactly, so that a crowd that lost its peer in one instant comes back
/// in one instant, again and again. Here each delay is up to a half longer, and the longest up to a quarter
/// shorter than the maximum.
fn reconnect_delay(interval: u64, most: u64, attempts: u32) -> u64 {
    let random = |below: u64| RandomState::new().hash_one(attempts) % below.max(1);
    if most < interval {
        return interval + random(interval);
    }
    let doubled = interval.saturating_mul(1 << attempts.min(20)).min(most);
    let top = doubled.saturating_add(doubled / 2).min(most);
    top - random(top / 4 + 1)
}

/// Live ring connections of this process.
static PEERS: AtomicUsize = AtomicUsize::new(0);

/// In a forked child: the parent's connections are not ours.
pub fn forget_peers() {
    PEERS.store(0, Ordering::Relaxed);
}

/// Less than a quarter of RLIMIT_NOFILE is free.
fn fds_are_scarce() -> bool {
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (fork::open_fds() as u64).saturating_mul(4) >= limit.saturating_mul(3)
}

/// True while doorbells and pidfds may cost fds of their own: for the first peers, while fds are plenty.
fn keeps_bells() -> bool {
    PEERS.load(Ordering::Relaxed) < PEERS_WITH_BELLS && !fds_are_scarce()
}

/// Who is at the other end. Its pid is 0 if it lives in a pid namespace that we cannot see into; that is
/// why this is not rustix's call, which has no such pid.
fn credentials(fd: BorrowedFd<'_>) -> Result<Peer, Errno> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `found` and `len` are valid for writing, and `len` is the size of what `found` is.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut found).cast(),
            &mut len,
        )
    };
    if done == 0 { Ok(Peer { pid: found.pid, uid: found.uid, gid: found.gid }) } else { Err(Errno::INVAL) }
}
