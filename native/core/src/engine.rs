//! An engine: moves the bytes of one stream between its connection and its two queues.
//!
//! It lives in its session, in the I/O thread, from the end of the handshake to the end of the connection. It
//! knows ZMTP's frames and commands, and time as far as heartbeats go; it refuses to know sockets, events and
//! reconnecting: what is wrong is a [`Failure`], and the session ends it.
//!
//! **Reading.** A buffer that grows with what one read brings (8 KiB as libzmq's, 128 KiB at most) is filled, looked
//! through, and given to the reader up to the end of its last whole message; what is behind goes to the next
//! buffer. A frame of 16 KiB and more that is not all there gets memory of its own, never more than 1 MiB
//! ahead of the bytes that have come, whatever its header declares. After `ROUNDS` reads others have their turn.
//!
//! **Raw.** A STREAM socket's connection has no frames and no heartbeats: what one read of at most 8 KiB brought is
//! a message.
//!
//! **Heartbeats.** A PING every HEARTBEAT_IVL; no byte in HEARTBEAT_TIMEOUT after it, or in the TTL of the
//! peer's own PING, ends the connection. Any byte counts, also of an unfinished message. While the program does
//! not read what has come we cannot hear the peer: then nothing is held against it. A PING that waits behind a
//! large message on a slow line cannot be answered yet: then what the peer's kernel takes counts as well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use shmzmq_zmtp::{
    Command, Header, MAX_PARTS, MAX_TOPIC_BYTES, MAX_UNKNOWN, ProtocolError, encode_ping, encode_pong,
};

use crate::channel::Channel;
use crate::failure::{Failure, Tell};
use crate::message::Payload;
use crate::options::Options;
use crate::pipe::stream::{InPiece, Run, Stream, Wrote};
use crate::reactor::Io;
use crate::uptake::{self, Uptake};

/// Reads and writes in a row before another connection has its turn.
const ROUNDS: usize = 16;
const BUFFER_MIN: usize = 8 * 1024;
const BUFFER_MAX: usize = 128 * 1024;
/// An unfinished frame of so many bytes gets memory of its own.
const LARGE_MIN: usize = 16 * 1024;
/// S-5: that memory is at most so far ahead of the bytes that have come.
const AHEAD: usize = 1 << 20;
/// A peer that said something so long ago may go on.
const RECENT: Duration = Duration::from_secs(1);
/// The kernel had no memory for a write: it is tried again after this.
const REWRITE: Duration = Duration::from_millis(10);
/// libzmq multiplies a TTL in 16 bits, so that more than this wraps there.
const TTL_MAX: i64 = 655;

type Step<T> = Result<T, Failure>;

/// A large frame of which not all has come.
struct Large {
    bytes: Vec<u8>,
    len: usize,
    more: bool,
}

/// What the peer has to take before it can see a PING.
struct Behind {
    /// Where the PING ends, in bytes of the connection; None while the kernel does not have all of it.
    end: Option<u64>,
    /// Bytes that the peer had taken at the last look.
    acked: u64,
}

#[derive(Default)]
struct Heartbeat {
    interval: Option<Duration>,
    timeout: Duration,
    /// What our PINGs say.
    ttl: u16,
    next_ping: Option<Instant>,
    /// Without a sign of life until then the peer is given up: of our PING, and of its own TTL.
    pong_by: Option<Instant>,
    /// The unanswered PING waits behind a lot.
    behind: Option<Behind>,
    peer_ttl: Option<Duration>,
    heard_at: Option<Instant>,
    /// The timer that is set.
    timer: Option<Instant>,
}

pub struct Engine {
    stream: Arc<Stream>,
    channel: Arc<Channel>,
    token: u64,
    limit: u64,
    /// Subscriptions are for the reader.
    publishes: bool,
    buffer: Vec<u8>,
    /// Room that the next buffer gets.
    room: usize,
    /// Behind the last whole message, and behind the last whole frame.
    whole: usize,
    scanned: usize,
    /// Messages up to `whole`.
    messages: u64,
    /// Inside a message, of so many frames so far.
    more: bool,
    parts: usize,
    large: Option<Large>,
    /// What comes has no frames: what one read brings is one message.
    raw: bool,
    /// Raw: the reader is told of the beginning and the end of the connection.
    notifies: bool,
    /// Of the message that is not whole yet; the reader's queue gets whole ones only (S-4).
    pending: Vec<InPiece>,
    stalled: bool,
    /// The end may be there already, so that it rings no more: to be read until nothing comes.
    may_end: bool,
    /// Nothing can be written any more; what the peer said before is still read.
    mute: Option<Errno>,
    /// For want of memory in the kernel nothing was written; it is tried again then.
    rewrite_at: Option<Instant>,
    /// When something came last.
    heard_at: Option<Instant>,
    /// A PONG waits to be written.
    answers: bool,
    unknown: u32,
    /// Of these, the ones nobody was told of yet.
    untold: u64,
    heartbeat: Heartbeat,
}

impl Engine {
    /// `rest`: what was read beyond the handshake.
    pub fn new(
        stream: Arc<Stream>,
        channel: Arc<Channel>,
        token: u64,
        publishes: bool,
        minor: u8,
        options: &Options,
        rest: Vec<u8>,
    ) -> Engine {
        let limit = u64::try_from(options.maxmsgsize).unwrap_or(u64::MAX >> 1);
        Engine {
            stream,
            channel,
            token,
            limit,
            publishes,
            buffer: rest,
            room: BUFFER_MIN,
            whole: 0,
            scanned: 0,
            messages: 0,
            more: false,
            parts: 0,
            large: None,
            raw: false,
            notifies: false,
            pending: Vec::new(),
            stalled: false,
            may_end: true,
            mute: None,
            rewrite_at: None,
            heard_at: None,
            answers: false,
            unknown: 0,
            untold: 0,
            heartbeat: Heartbeat::new(options, minor),
        }
    }

    /// The same for a connection of plain bytes.
    pub fn raw(stream: Arc<Stream>, channel: Arc<Channel>, token: u64, options: &Options) -> Engine {
        let mut engine = Engine::new(stream, channel, token, false, 0, options, Vec::new());
        engine.raw = true;
        engine.notifies = options.stream_notify != 0;
        engine
    }

    /// The connection is handed over: what came with the handshake is looked at, and what waits is written.
    pub fn begin(&mut self, io: &mut Io) -> Step<()> {
        self.heartbeat.begin();
        if self.notifies {
            self.push_bytes();
        }
        if !self.buffer.is_empty() {
            self.take_whole()?;
        }
        self.write(io)?;
        self.read(io)
    }

    pub fn on_ready(&mut self, io: &mut Io, flags: EventFlags) -> Step<()> {
        if flags.contains(EventFlags::OUT) {
            self.write(io)?;
        }
        // Kept over turns: what did not fit into one goes on in the next, which no event has told of.
        self.may_end |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.read(io)
    }

    fn read(&mut self, io: &mut Io) -> Step<()> {
        self.read_rounds(io)?;
        if std::mem::take(&mut self.answers) {
            self.write(io)?;
        }
        self.set_timer(io);
        Ok(())
    }

    /// The reader has room again.
    pub fn resume(&mut self, io: &mut Io) -> Step<()> {
        self.stalled = false;
        self.may_end = true;
        self.heartbeat.heard();
        self.read(io)
    }

    /// Writes what waits. A write that fails ends the connection only when everything is read that came
    /// before: a peer may say something and leave while we talk to it.
    pub fn write(&mut self, io: &mut Io) -> Step<()> {
        if self.mute.is_some() {
            return Ok(());
        }
        match self.stream.write(&self.channel, ROUNDS) {
            Ok(Some(Wrote::All | Wrote::Blocked)) => return Ok(()),
            Ok(None) => {}
            Err(Errno::NOBUFS | Errno::NOMEM) => {
                let at = Instant::now() + REWRITE;
                self.rewrite_at = Some(at);
                io.call_at(at, self.token);
                return Ok(());
            }
            Err(errno) => self.mute = Some(errno),
        }
        io.again(self.token);
        Ok(())
    }

    fn read_rounds(&mut self, io: &mut Io) -> Step<()> {
        for _ in 0..ROUNDS {
            if self.stalled {
                return Ok(());
            }
            let received = match &mut self.large {
                Some(large) => large.receive(&self.channel),
                None => self.receive(),
            };
            let filled = match received {
                Ok((0, _)) => return Err(Failure::gone(Errno::PIPE)),
                Ok((bytes, room)) => {
                    self.heard_at = Some(Instant::now());
                    self.heartbeat.heard();
                    bytes == room
                }
                Err(Errno::AGAIN) => {
                    // No end is there; when it comes it rings.
                    self.may_end = false;
                    return self.check_voice();
                }
                Err(Errno::INTR) => continue,
                Err(Errno::NOMEM) => {
                    let reason = "no memory for a large frame".to_owned();
                    return Err(Failure { reason, tell: Tell::Errno(libc::ENOMEM) });
                }
                Err(errno) => return Err(Failure::gone(errno)),
            };
            match self.large.take_if(|large| large.bytes.len() == large.len) {
                Some(large) => self.take_large(large)?,
                None if self.raw => self.push_bytes(),
                None => self.take_whole()?,
            }
            // Of a byte stream that did not fill its room nothing is left; what comes now rings anew (epoll(7)).
            if !filled && !self.may_end {
                return self.check_voice();
            }
        }
        io.again(self.token);
        Ok(())
    }

    /// All that came is read: now the connection may end for what a write found.
    fn check_voice(&self) -> Step<()> {
        match self.mute {
            None => Ok(()),
            Some(errno @ (Errno::PIPE | Errno::CONNRESET)) => Err(Failure::gone(errno)),
            Some(errno) => Err(Failure::send(errno)),
        }
    }

    /// So many bytes, of so many that there was room for.
    fn receive(&mut self) -> Result<(usize, usize), Errno> {
        self.make_room();
        let room = self.buffer.capacity() - self.buffer.len();
        let spare = rustix::buffer::spare_capacity(&mut self.buffer);
        let bytes = rustix::net::recv(self.channel.fd(), spare, RecvFlags::DONTWAIT)?.0;
        // A full read: more waits, so the next one gets more room.
        if self.buffer.len() == self.buffer.capacity() && !self.raw {
            self.room = (self.room * 2).min(BUFFER_MAX);
        }
        Ok((bytes, room))
    }

    /// A buffer with room behind what is not whole.
    fn make_room(&mut self) {
        if self.buffer.capacity() == 0 {
            let spare = self.stream.take_spare();
            self.buffer = if spare.capacity() >= self.room { spare } else { Vec::with_capacity(self.room) };
            self.buffer.clear();
        }
        let len = self.buffer.len();
        if self.buffer.capacity() - len < BUFFER_MIN / 2 {
            // Many small frames of one message: the next whole message may be far.
            self.buffer.reserve_exact(self.room.max(len));
        }
    }

    /// Raw: the buffer is one message. An empty one is a note.
    fn push_bytes(&mut self) {
        let payload = Payload::from(&self.buffer[..]);
        self.buffer.clear();
        if !self.stream.push_input(std::iter::once(InPiece::Frame { payload, more: false })) {
            self.stalled = true;
        }
    }

    /// The reader gets every whole message, also those before a mistake of the peer.
    fn take_whole(&mut self) -> Step<()> {
        let scanned = self.scan();
        self.deliver();
        scanned
    }

    /// Looks through what has come: frames, commands, ends of messages.
    fn scan(&mut self) -> Step<()> {
        if self.large.is_some() {
            return Ok(());
        }
        loop {
            let rest = &self.buffer[self.scanned..];
            let header = match Header::parse(rest, self.limit) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(()),
                Err(error @ ProtocolError::FrameTooLarge { .. }) => {
                    return Err(Failure { reason: error.to_string(), tell: Tell::Errno(libc::EMSGSIZE) });
                }
                Err(error) => return Err(Failure::protocol(error)),
            };
            let body = rest.get(header.header_bytes..).unwrap_or_default();
            if body.len() < header.body_bytes {
                if !header.command && header.body_bytes >= LARGE_MIN {
                    self.check_parts()?;
                    self.begin_large(header)?;
                }
                return Ok(());
            }
            if header.command {
                self.on_command(self.scanned + header.header_bytes, header.body_bytes)?;
            } else {
                self.check_topic(body.first(), header)?;
                self.count(header.more)?;
            }
            self.scanned += header.header_bytes + header.body_bytes;
            if !self.more {
                self.whole = self.scanned;
            }
        }
    }

    /// ZMTP 3.0 has subscriptions in messages of one frame: their topics have the limit that a command's have.
    fn check_topic(&self, first: Option<&u8>, header: Header) -> Step<()> {
        let subscription = self.publishes && !self.more && !header.more && matches!(first, Some(0 | 1));
        if subscription && header.body_bytes > 1 + MAX_TOPIC_BYTES {
            return Err(format!("peer subscribes to a topic of more than {MAX_TOPIC_BYTES} bytes").into());
        }
        Ok(())
    }

    /// A message may have one frame more.
    fn check_parts(&self) -> Step<()> {
        if self.parts < MAX_PARTS {
            return Ok(());
        }
        Err(format!("peer sent a message of more than {MAX_PARTS} frames").into())
    }

    /// One frame more of a message.
    fn count(&mut self, more: bool) -> Step<()> {
        self.check_parts()?;
        self.parts += 1;
        self.more = more;
        if !more {
            self.parts = 0;
            self.messages += 1;
        }
        Ok(())
    }

    fn on_command(&mut self, at: usize, len: usize) -> Step<()> {
        let command = Command::parse(&self.buffer[at..at + len]).map_err(Failure::protocol)?;
        match command {
            Command::Subscribe(_) | Command::Cancel(_) if self.more => {
                return Err("peer sent a subscription inside a message".into());
            }
            Command::Subscribe(_) | Command::Cancel(_) => self.messages += u64::from(self.publishes),
            Command::Ping { ttl_deciseconds, context } => {
                self.stream.push_pong(|out| encode_pong(context, out));
                self.heartbeat.peer_ttl = match ttl_deciseconds {
                    0 => None,
                    ttl => Some(Duration::from_millis(100 * u64::from(ttl))),
                };
                self.heartbeat.heard();
                self.answers = true;
            }
            Command::Pong => {}
            Command::Error(reason) => {
                let text = shmzmq_zmtp::parse_error(reason).map_err(Failure::protocol)?;
                return Err(Failure {
                    reason: format!("peer ends the connection: {text}"),
                    tell: Tell::Disconnected,
                });
            }
            Command::Unknown => {
                self.unknown += 1;
                self.untold += 1;
                if self.unknown > MAX_UNKNOWN {
                    return Err(format!("peer sent more than {MAX_UNKNOWN} unknown commands").into());
                }
            }
        }
        Ok(())
    }

    /// What of the frame has come goes to memory of its own; the frames before it wait for its end.
    fn begin_large(&mut self, header: Header) -> Step<()> {
        let begin = self.scanned + header.header_bytes;
        let mut large = Large { bytes: Vec::new(), len: header.body_bytes, more: header.more };
        large.grow(self.buffer.len() - begin).map_err(|_| "no memory for a large frame")?;
        large.bytes.extend_from_slice(&self.buffer[begin..]);
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(self.scanned);
        // Whole messages first; what is left is the beginning of the one that the large frame is of.
        if self.whole > 0 && self.whole < self.scanned {
            let tail = bytes[self.whole..].to_vec();
            bytes.truncate(self.whole);
            self.push_run(bytes);
            self.pend(tail);
        } else if self.whole > 0 {
            self.push_run(bytes);
        } else {
            self.pend(bytes);
        }
        (self.whole, self.scanned) = (0, 0);
        self.large = Some(large);
        Ok(())
    }

    /// Frames of a message that is not whole.
    fn pend(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let end = bytes.len();
            self.pending.push(InPiece::Run(Run { bytes, at: 0, end, messages: 0 }));
        }
    }

    fn take_large(&mut self, large: Large) -> Step<()> {
        let header = Header { header_bytes: 0, body_bytes: large.len, more: large.more, command: false };
        self.check_topic(large.bytes.first(), header)?;
        let payload = Payload::from(large.bytes);
        // Counted before: what is too much was refused with its header.
        self.more = large.more;
        self.parts = if large.more { self.parts + 1 } else { 0 };
        self.pending.push(InPiece::Frame { payload, more: large.more });
        if !large.more {
            self.hand_over(Vec::new());
        }
        Ok(())
    }

    /// Gives the reader everything up to the last whole message.
    fn deliver(&mut self) {
        if self.whole == 0 || self.large.is_some() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        // What is not whole goes on in the next buffer.
        if self.whole < bytes.len() {
            let spare = self.stream.take_spare();
            let room = self.room.max(2 * (bytes.len() - self.whole));
            self.buffer = if spare.capacity() >= room { spare } else { Vec::with_capacity(room) };
            self.buffer.clear();
            self.buffer.extend_from_slice(&bytes[self.whole..]);
            bytes.truncate(self.whole);
        }
        self.scanned -= self.whole;
        self.whole = 0;
        self.push_run(bytes);
    }

    fn push_run(&mut self, bytes: Vec<u8>) {
        let messages = std::mem::take(&mut self.messages);
        if messages == 0 {
            // Commands only, and they are done. The buffer can serve again.
            if self.buffer.capacity() == 0 {
                self.buffer = bytes;
                self.buffer.clear();
            }
            return;
        }
        let end = bytes.len();
        let bytes = self.fit(bytes);
        self.hand_over(vec![InPiece::Run(Run { bytes, at: 0, end, messages })]);
    }

    /// What waits for its reader does not keep a buffer of many times its size.
    fn fit(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.len() > bytes.capacity() / 4 {
            return bytes;
        }
        let fitted = bytes.as_slice().to_vec();
        if self.buffer.capacity() == 0 {
            bytes.clear();
            self.buffer = bytes;
        }
        fitted
    }

    fn hand_over(&mut self, last: Vec<InPiece>) {
        let pieces = std::mem::take(&mut self.pending);
        if !self.stream.push_input(pieces.into_iter().chain(last)) {
            self.stalled = true;
        }
    }

    pub fn on_timer(&mut self, io: &mut Io) -> Step<()> {
        let now = Instant::now();
        if self.heartbeat.timer.is_some_and(|at| at <= now) {
            self.heartbeat.timer = None;
        }
        if self.stalled {
            self.heartbeat.heard();
        }
        if self.heartbeat.is_over(now) && !self.peer_takes(now) {
            let reason = "peer gave no sign of life within its heartbeat's time".to_owned();
            return Err(Failure { reason, tell: Tell::Errno(libc::ETIMEDOUT) });
        }
        let pings = self.heartbeat.pings(now);
        let first = pings && self.heartbeat.pong_by == Some(now + self.heartbeat.timeout);
        if pings {
            let ttl = self.heartbeat.ttl;
            self.stream.push_urgent(|out| encode_ping(ttl, out));
        }
        if pings || self.rewrite_at.take_if(|at| *at <= now).is_some() {
            self.write(io)?;
            if first {
                self.heartbeat.behind = self.look_behind();
            }
        }
        self.set_timer(io);
        Ok(())
    }

    /// Whether the PING that was just sent waits behind a lot.
    fn look_behind(&self) -> Option<Behind> {
        let fd = self.channel.fd();
        let waiting = uptake::unacked(fd)?;
        let acked = Uptake::look(fd)?.acked;
        if !self.is_drained() {
            return Some(Behind { end: None, acked });
        }
        (waiting >= LARGE_MIN as u64).then_some(Behind { end: Some(acked + waiting), acked })
    }

    /// No answer came in time, but the PING waits behind what the peer has gone on taking: its time begins at
    /// the last of that. True if it is not over then.
    fn peer_takes(&mut self, now: Instant) -> bool {
        let Some(behind) = self.heartbeat.behind.take() else { return false };
        let fd = self.channel.fd();
        let (Some(waiting), Some(Uptake { acked, since })) = (uptake::unacked(fd), Uptake::look(fd)) else {
            return false;
        };
        let end = behind.end.or_else(|| self.is_drained().then_some(acked + waiting));
        // Once more if it has just seen the PING: the answer is under way.
        if end.is_none_or(|end| acked < end) {
            self.heartbeat.behind = Some(Behind { end, acked });
        }
        self.heartbeat.pong_by = now.checked_sub(since).map(|taken| taken + self.heartbeat.timeout);
        acked > behind.acked && !self.heartbeat.is_over(now)
    }

    fn set_timer(&mut self, io: &mut Io) {
        let Some(at) = self.heartbeat.next() else { return };
        if self.heartbeat.timer.is_none_or(|set| at < set) {
            self.forget_timer(io);
            self.heartbeat.timer = Some(at);
            io.call_at(at, self.token);
        }
    }

    fn forget_timer(&mut self, io: &mut Io) {
        if let Some(at) = self.heartbeat.timer.take() {
            io.forget(at, self.token);
        }
    }

    /// The connection is over. What the reader has is still read.
    pub fn end(&mut self, io: &mut Io) {
        self.forget_timer(io);
        if self.notifies {
            self.buffer.clear();
            self.push_bytes();
        }
        self.stream.end_input();
        self.stream.end_output();
    }

    /// True if the peer has just said something, or that waits to be read.
    pub fn hears(&self) -> bool {
        self.heard_at.is_some_and(|at| at.elapsed() < RECENT)
            || rustix::io::ioctl_fionread(self.channel.fd()).is_ok_and(|bytes| bytes > 0)
    }

    /// Unknown commands since this was asked last.
    pub fn take_untold(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    /// Everything that was to be sent is with the kernel.
    pub fn is_drained(&self) -> bool {
        self.stream.out.lock().is_drained()
    }
}

impl Large {
    /// Memory for what comes, but not too far ahead of what has come.
    fn grow(&mut self, coming: usize) -> Result<(), Errno> {
        let len = self.bytes.len();
        if self.bytes.capacity() > len && self.bytes.capacity() - len >= coming {
            return Ok(());
        }
        let wanted = self.len.min(len + coming.max(len).max(AHEAD));
        self.bytes.try_reserve_exact(wanted - len).map_err(|_| Errno::NOMEM)
    }

    fn receive(&mut self, channel: &Channel) -> Result<(usize, usize), Errno> {
        if self.bytes.len() == self.bytes.capacity() {
            self.grow(1)?;
        }
        let left = self.len - self.bytes.len();
        let spare = self.bytes.spare_capacity_mut();
        let room = spare.len().min(left);
        let (filled, _) = rustix::net::recv(channel.fd(), &mut spare[..room], RecvFlags::DONTWAIT)?.0;
        let bytes = filled.len();
        // SAFETY: the kernel has just filled that many bytes behind the length.
        unsafe { self.bytes.set_len(self.bytes.len() + bytes) };
        Ok((bytes, room))
    }
}

impl Heartbeat {
    fn new(options: &Options, minor: u8) -> Heartbeat {
        let interval = match u64::try_from(options.heartbeat_ivl) {
            // To ZMTP 3.0 a PING means nothing.
            Ok(millis @ 1..) if minor >= 1 => Some(Duration::from_millis(millis)),
            _ => None,
        };
        let timeout = u64::try_from(options.heartbeat_timeout)
            .map_or(interval.unwrap_or_default(), Duration::from_millis);
        let ttl = (options.heartbeat_ttl / 100).clamp(0, TTL_MAX) as u16;
        Heartbeat { interval, timeout, ttl, ..Heartbeat::default() }
    }

    fn begin(&mut self) {
        let now = Instant::now();
        self.next_ping = self.interval.map(|interval| now + interval);
        self.heard_at = Some(now);
    }

    /// Something came. The clock is asked only where somebody wants to know.
    #[inline]
    fn heard(&mut self) {
        self.pong_by = None;
        if self.peer_ttl.is_some() {
            self.heard_at = Some(Instant::now());
        }
    }

    fn peer_by(&self) -> Option<Instant> {
        Some(self.heard_at? + self.peer_ttl?)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.pong_by.is_some_and(|by| by <= now) || self.peer_by().is_some_and(|by| by <= now)
    }

    /// True if it is time for a PING.
    fn pings(&mut self, now: Instant) -> bool {
        let due = self.next_ping.is_some_and(|at| at <= now);
        if due {
            self.next_ping = self.interval.map(|interval| now + interval);
            if !self.timeout.is_zero() && self.pong_by.is_none() {
                self.pong_by = Some(now + self.timeout);
            }
        }
        due
    }

    fn next(&self) -> Option<Instant> {
        [self.next_ping, self.pong_by, self.peer_by()].into_iter().flatten().min()
    }
}
