//! An engine: moves the bytes of one stream between its connection and its two queues.
//!
//! It lives in its session, in the I/O thread, from the end of the handshake to the end of the connection. It
//! knows ZMTP's frames and commands, and time as far as heartbeats go; it refuses to know sockets, events and
//! reconnecting: what is wrong is a [`Failure`], and the session ends it.
//!
//! **Reading.** What comes is made into messages by the stream's intake (`pipe/stream/intake.rs`); after `ROUNDS` reads
//! others have their turn. A STREAM socket's connection has no frames and no heartbeats.
//!
//! **Heartbeats.** A PING every HEARTBEAT_IVL; no byte in HEARTBEAT_TIMEOUT after it, or in the TTL of the
//! peer's own PING, ends the connection. Any byte counts, also of an unfinished message. While the program does
//! not read what has come we cannot hear the peer: then nothing is held against it. A PING that waits behind a
//! large message on a slow line cannot be answered yet: then what the peer's kernel takes counts as well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use shmzmq_zmtp::encode_ping;

use crate::channel::Channel;
use crate::failure::{Failure, Tell};
use crate::options::Options;
use crate::pipe::stream::{Came, Signs, Stream, TICK, Wrote};
use crate::reactor::Io;
use crate::uptake::{self, Uptake};

/// Reads and writes in a row before another connection has its turn.
const ROUNDS: usize = 16;
/// A PING behind so many bytes waits for them.
const MUCH: u64 = 16 * 1024;
/// A peer that said something so long ago may go on.
const RECENT: Duration = Duration::from_secs(1);
/// The kernel had no memory for a write: it is tried again after this.
const REWRITE: Duration = Duration::from_millis(10);
/// The same where we have no memory for a read.
const REREAD: Duration = Duration::from_millis(10);
/// A program that streams is looked after so often: it fills a batch meanwhile, or writes it itself.
const LINGER: Duration = Duration::from_micros(100);
/// libzmq multiplies a TTL in 16 bits, so that more than this wraps there.
const TTL_MAX: i64 = 655;

type Step<T> = Result<T, Failure>;

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
    /// Raw: the reader is told of the beginning and the end of the connection.
    notifies: bool,
    stalled: bool,
    /// The end may be there already, so that it rings no more: to be read until nothing comes.
    may_end: bool,
    /// Nothing can be written any more; what the peer said before is still read.
    mute: Option<Errno>,
    /// For want of memory in the kernel nothing was written, or more is about to wait; it is tried again then.
    rewrite_at: Option<Instant>,
    /// For want of memory nothing was read; it is tried again then.
    reread_at: Option<Instant>,
    /// When something came last.
    heard_at: Option<Instant>,
    /// A PONG waits to be written.
    answers: bool,
    /// While a caller reads: when to look whether it still does, and how often it had at the last look.
    tick_at: Option<Instant>,
    reads: u64,
    /// Commands that mean nothing, of which nobody was told yet.
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
        stream.intake.lock().begin(channel.clone(), limit, publishes, false, rest);
        Engine::with(stream, channel, token, Heartbeat::new(options, minor))
    }

    fn with(stream: Arc<Stream>, channel: Arc<Channel>, token: u64, heartbeat: Heartbeat) -> Engine {
        Engine {
            stream,
            channel,
            token,
            notifies: false,
            stalled: false,
            may_end: true,
            mute: None,
            rewrite_at: None,
            reread_at: None,
            heard_at: None,
            answers: false,
            tick_at: None,
            reads: 0,
            untold: 0,
            heartbeat,
        }
    }

    /// The same for a connection of plain bytes.
    pub fn raw(stream: Arc<Stream>, channel: Arc<Channel>, token: u64, options: &Options) -> Engine {
        stream.intake.lock().begin(channel.clone(), 0, false, true, Vec::new());
        let mut engine = Engine::with(stream, channel, token, Heartbeat::new(options, 0));
        engine.notifies = options.stream_notify != 0;
        engine
    }

    /// The connection is handed over: what came with the handshake is looked at, and what waits is written.
    pub fn begin(&mut self, io: &mut Io) -> Step<()> {
        self.heartbeat.begin();
        let mut intake = self.stream.intake.lock();
        if self.notifies {
            intake.push_bytes(&self.stream);
        }
        intake.take_rest(&self.stream)?;
        drop(intake);
        self.write(io)?;
        self.read(io)
    }

    pub fn on_ready(&mut self, io: &mut Io, flags: EventFlags) -> Step<()> {
        if flags.contains(EventFlags::OUT) {
            self.write(io)?;
        }
        // Kept over turns: what did not fit into one goes on in the next, which no event has told of.
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.may_end = true;
            self.stream.give_back(&mut self.stream.intake.lock());
        }
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
        self.stream.intake.lock().resume();
        self.may_end = true;
        // What the peer has said meanwhile is not read yet. A caller that reads (S-7) says nothing of its peer.
        if std::mem::take(&mut self.stalled) {
            self.heartbeat.heard();
        }
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
            Ok(Some(Wrote::Lingers)) => {
                self.rewrite_in(io, LINGER);
                return Ok(());
            }
            Ok(None) => {}
            Err(Errno::NOBUFS | Errno::NOMEM) => {
                self.rewrite_in(io, REWRITE);
                return Ok(());
            }
            Err(errno) => self.mute = Some(errno),
        }
        io.again(self.token);
        Ok(())
    }

    fn rewrite_in(&mut self, io: &mut Io, time: Duration) {
        let at = Instant::now() + time;
        self.rewrite_at = Some(at);
        io.call_at(at, self.token);
    }

    fn read_rounds(&mut self, io: &mut Io) -> Step<()> {
        let mut intake = self.stream.intake.lock();
        if self.mute.is_some() {
            // The end of what the peer has said is the end of the connection, and only we end it.
            self.stream.give_back(&mut intake);
        }
        let came = match intake.turn.failure.take() {
            Some(failure) => Err(failure),
            None if intake.turn.callers => Ok(None),
            None => intake.read(&self.stream, ROUNDS, self.may_end).map(Some),
        };
        let signs = std::mem::take(&mut intake.signs);
        drop(intake);
        self.take_signs(&signs);
        let Some(came) = came? else {
            self.begin_ticks(io);
            return Ok(());
        };
        match came {
            Came::Stalled => self.stalled = true,
            Came::Short => {
                self.stalled = true;
                let at = Instant::now() + REREAD;
                self.reread_at = Some(at);
                io.call_at(at, self.token);
            }
            Came::Some => io.again(self.token),
            Came::Dry => {
                // No end is there; when it comes it rings.
                self.may_end = false;
                return self.check_voice();
            }
        }
        Ok(())
    }

    /// A caller reads (S-7); what it left for us was taken.
    fn begin_ticks(&mut self, io: &mut Io) {
        if self.tick_at.is_none() {
            let at = Instant::now() + TICK;
            self.tick_at = Some(at);
            io.call_at(at, self.token);
        }
    }

    /// Whether the caller whose turn it is still reads.
    fn tick(&mut self, io: &mut Io) {
        let mut intake = self.stream.intake.lock();
        let turn = &mut intake.turn;
        let reads = std::mem::replace(&mut self.reads, turn.reads);
        if !turn.callers || turn.sleeps {
            turn.ticks = false;
        } else if turn.reads == reads {
            self.stream.give_back(&mut intake);
        } else {
            drop(intake);
            self.begin_ticks(io);
        }
    }

    fn take_signs(&mut self, signs: &Signs) {
        self.answers |= signs.answers;
        self.untold += signs.unknown;
        if let Some(ttl) = signs.peer_ttl {
            self.heartbeat.peer_ttl = ttl;
        }
        if signs.heard_at.is_some() {
            self.heard_at = signs.heard_at;
            self.heartbeat.heard();
        }
    }

    /// All that came is read: now the connection may end for what a write found.
    fn check_voice(&self) -> Step<()> {
        match self.mute {
            None => Ok(()),
            Some(errno @ (Errno::PIPE | Errno::CONNRESET)) => Err(Failure::gone(errno)),
            Some(errno) => Err(Failure::send(errno)),
        }
    }

    pub fn on_timer(&mut self, io: &mut Io) -> Step<()> {
        let now = Instant::now();
        if self.tick_at.take_if(|at| *at <= now).is_some() {
            self.tick(io);
        }
        let signs = std::mem::take(&mut self.stream.intake.lock().signs);
        self.take_signs(&signs);
        if self.heartbeat.timer.is_some_and(|at| at <= now) {
            self.heartbeat.timer = None;
        }
        if self.stalled || self.heartbeat.is_over(now) && self.leaves_unread() {
            self.heartbeat.heard();
        }
        if self.heartbeat.is_over(now) && !self.peer_takes(now) {
            let reason = "peer gave no sign of life within its heartbeat's time".to_owned();
            return Err(Failure { reason, tell: Tell::Errno(libc::ETIMEDOUT), blameless: false });
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
        if self.reread_at.take_if(|at| *at <= now).is_some() {
            self.resume(io)?;
        }
        self.set_timer(io);
        Ok(())
    }

    /// A caller whose turn it is (S-7) has not read yet what the peer has said; it may be away for a `TICK` or two.
    fn leaves_unread(&self) -> bool {
        let unread = || rustix::io::ioctl_fionread(self.channel.fd()).is_ok_and(|bytes| bytes > 0);
        self.stream.intake.lock().turn.callers && unread()
    }

    /// Whether the PING that was just sent waits behind a lot.
    fn look_behind(&self) -> Option<Behind> {
        let fd = self.channel.fd();
        let waiting = uptake::unacked(fd)?;
        let acked = Uptake::look(fd)?.acked;
        if !self.is_drained() {
            return Some(Behind { end: None, acked });
        }
        (waiting >= MUCH).then_some(Behind { end: Some(acked + waiting), acked })
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
        let mut intake = self.stream.intake.lock();
        if self.notifies {
            intake.clear();
            intake.push_bytes(&self.stream);
        }
        self.stream.give_back(&mut intake);
        intake.end();
        drop(intake);
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
