//! The intake of a stream: makes whole messages of what the connection brings, for whoever reads it.
//!
//! It knows ZMTP's frames and commands; it refuses to know sockets, time and who waits. What it cannot do itself
//! it leaves in [`Signs`] for the engine.
//!
//! **Reading.** A buffer that grows with what one read brings (8 KiB as libzmq's, 128 KiB at most) is filled, looked
//! through, and given to the reader up to the end of its last whole message; what is behind goes to the next
//! buffer. A frame of 16 KiB and more that is not all there gets memory of its own, never more than 1 MiB
//! ahead of the bytes that have come, whatever its header declares; one system call reads its rest, and into a
//! small buffer what is behind it.
//!
//! **Raw.** A STREAM socket's connection has no frames: what one read of at most 8 KiB brought is a message.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use shmzmq_zmtp::{Command, Header, MAX_PARTS, MAX_TOPIC_BYTES, MAX_UNKNOWN, ProtocolError, encode_pong};

use super::turn::Turn;
use super::{InPiece, Run, Stream};
use crate::channel::Channel;
use crate::failure::{Failure, Tell};
use crate::message::{Blank, Payload, Sink};
use crate::reserve;

const BUFFER_MIN: usize = 8 * 1024;
const BUFFER_MAX: usize = 128 * 1024;
/// An unfinished frame of so many bytes gets memory of its own.
const LARGE_MIN: usize = 16 * 1024;
/// S-5: that memory is at most so far ahead of the bytes that have come.
const AHEAD: usize = 1 << 20;

type Step<T> = Result<T, Failure>;

/// A large frame of which not all has come.
struct Large {
    memory: Memory,
    filled: usize,
    len: usize,
    more: bool,
}

enum Memory {
    Own(Vec<u8>),
    /// The object that a receive will return.
    Blank(Blank),
}

/// What was found for the engine to act on.
#[derive(Default)]
pub struct Signs {
    /// When something came last.
    pub heard_at: Option<Instant>,
    /// The peer's last PING said so; Some(None): it wants no answer in time any more.
    pub peer_ttl: Option<Option<Duration>>,
    /// A PONG waits to be written.
    pub answers: bool,
    /// Commands that mean nothing to us, of which nobody was told yet.
    pub unknown: u64,
}

/// How far a read came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Everything that was there; what comes now rings anew.
    Dry,
    /// Perhaps more is there.
    Some,
    /// The reader has enough for now.
    Stalled,
    /// Memory is short, and what came before is to be read first.
    Short,
}

#[derive(Default)]
pub struct Intake {
    /// None once the connection is over.
    channel: Option<Arc<Channel>>,
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
    /// Of the message that is not whole yet; the reader's queue gets whole ones only (S-4).
    pending: Vec<InPiece>,
    unknown: u32,
    pub signs: Signs,
    stalled: bool,
    /// Whole messages were queued.
    pushed: bool,
    /// Whose turn reading is (S-7), see turn.rs.
    pub turn: Turn,
    /// Of the last large frame; memory for the next one, if it is as large.
    last_large: usize,
    blank: Option<Blank>,
}

impl Signs {
    /// The engine has to act now.
    pub fn are_urgent(&self) -> bool {
        self.answers || self.peer_ttl.is_some() || self.unknown > 0
    }
}

impl Intake {
    /// `rest`: what was read beyond the handshake.
    pub fn begin(&mut self, channel: Arc<Channel>, limit: u64, publishes: bool, raw: bool, rest: Vec<u8>) {
        *self = Intake {
            channel: Some(channel),
            limit,
            publishes,
            buffer: rest,
            room: BUFFER_MIN,
            raw,
            ..Intake::default()
        };
    }

    /// What came with the handshake.
    pub fn take_rest(&mut self, stream: &Stream) -> Step<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.take_whole(stream) }
    }

    /// The reader has room again.
    pub fn resume(&mut self) {
        self.stalled = false;
    }

    /// The connection is over.
    pub fn end(&mut self) {
        self.channel = None;
    }

    pub fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.clone()
    }

    /// The connection, if a caller may read it.
    pub fn lendable(&self) -> Option<Arc<Channel>> {
        let plain = !self.raw && !self.publishes && self.turn.failure.is_none();
        if plain { self.channel.clone() } else { None }
    }

    pub fn is_inside_large(&self) -> bool {
        self.large.is_some()
    }

    /// Whether whole messages were queued since this was asked last.
    pub fn take_pushed(&mut self) -> bool {
        std::mem::take(&mut self.pushed)
    }

    /// Caller: what comes next may be read into the memory that it would be copied to.
    pub fn ask_for_blank(&mut self, sink: &mut dyn Sink) {
        if let Some(large) = &mut self.large {
            let begun = matches!(large.memory, Memory::Own(_)) && large.filled <= large.len / 4;
            // S-5: it is touched as far as bytes come.
            if begun
                && large.len <= AHEAD
                && let Some(blank) = sink.blank(large.len)
            {
                large.move_to(blank);
            }
        } else if (LARGE_MIN..=AHEAD).contains(&self.last_large)
            && self.blank.as_ref().is_none_or(|blank| blank.len() != self.last_large)
        {
            self.blank = sink.blank(self.last_large);
        }
    }

    pub fn forget_blank(&mut self) {
        self.blank = None;
    }

    /// Reads at most `rounds` times. `to_end`: until nothing comes, since the end may be there.
    pub fn read(&mut self, stream: &Stream, rounds: usize, to_end: bool) -> Step<Came> {
        let Some(channel) = self.channel.clone() else { return Ok(Came::Dry) };
        for _ in 0..rounds {
            if self.stalled {
                return Ok(Came::Stalled);
            }
            if !reserve::admits() && !self.reads_on(stream) {
                return Ok(Came::Short);
            }
            if self.turn.callers && self.pushed {
                return Ok(Came::Some);
            }
            let received = match self.large {
                Some(_) => self.receive_large(&channel),
                None => self.receive(stream, &channel),
            };
            let filled = match received {
                Ok((0, _)) => return Err(Failure::gone(Errno::PIPE)),
                Ok((bytes, room)) => {
                    self.signs.heard_at = Some(Instant::now());
                    bytes == room
                }
                Err(Errno::AGAIN) => return Ok(Came::Dry),
                Err(Errno::INTR) => continue,
                Err(Errno::NOMEM) => {
                    let reason = "no memory for a large frame".to_owned();
                    return Err(Failure { reason, tell: Tell::Errno(libc::ENOMEM), blameless: false });
                }
                Err(errno) => return Err(Failure::gone(errno)),
            };
            if let Some(large) = self.large.take_if(|large| large.filled == large.len) {
                self.take_large(stream, large)?;
            }
            match self.raw {
                true => self.push_bytes(stream),
                false if self.buffer.is_empty() => {}
                false => self.take_whole(stream)?,
            }
            // Of a byte stream that did not fill its room nothing is left; what comes now rings anew (epoll(7)).
            if !filled && !to_end {
                return Ok(Came::Dry);
            }
        }
        Ok(if self.stalled { Came::Stalled } else { Came::Some })
    }

    /// Memory is short: a reader that has something can wait, and one that has nothing gets little at a time. It may be
    /// what everything else waits for.
    #[cold]
    fn reads_on(&mut self, stream: &Stream) -> bool {
        self.room = BUFFER_MIN;
        self.pending.is_empty() && self.buffer.len() < BUFFER_MIN && !stream.has_unread()
    }

    /// So many bytes, of so many that there was room for.
    fn receive(&mut self, stream: &Stream, channel: &Channel) -> Result<(usize, usize), Errno> {
        self.make_room(stream);
        let room = self.buffer.capacity() - self.buffer.len();
        let spare = rustix::buffer::spare_capacity(&mut self.buffer);
        let bytes = rustix::net::recv(channel.fd(), spare, RecvFlags::DONTWAIT)?.0;
        // A full read: more waits, so the next one gets more room.
        if self.buffer.len() == self.buffer.capacity() && !self.raw {
            self.room = (self.room * 2).min(BUFFER_MAX);
        }
        Ok((bytes, room))
    }

    /// The same for the rest of a large frame; what is behind it comes along.
    fn receive_large(&mut self, channel: &Channel) -> Result<(usize, usize), Errno> {
        let Some(large) = &mut self.large else { return Ok((0, 0)) };
        let (at, room) = large.spare()?;
        let left = large.len - large.filled;
        let mut slices = [
            libc::iovec { iov_base: at.cast(), iov_len: room },
            libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
        ];
        if room == left {
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(BUFFER_MIN);
            }
            let behind = self.buffer.spare_capacity_mut();
            slices[1].iov_base = behind.as_mut_ptr().cast();
            slices[1].iov_len = behind.len().min(BUFFER_MIN);
        }
        let bytes = receive_into(channel, &mut slices)?;
        let own = bytes.min(room);
        // SAFETY: the kernel has just filled that many bytes behind what was filled.
        unsafe {
            large.add(own);
            self.buffer.set_len(self.buffer.len() + bytes - own);
        }
        Ok((bytes, room + slices[1].iov_len))
    }

    /// A buffer with room behind what is not whole.
    fn make_room(&mut self, stream: &Stream) {
        if self.buffer.capacity() == 0 {
            self.buffer = stream.take_spare(self.room);
        }
        let len = self.buffer.len();
        if self.buffer.capacity() - len < BUFFER_MIN / 2 {
            // Many small frames of one message: the next whole message may be far.
            self.buffer.reserve_exact(self.room.max(len));
        }
    }

    /// Raw: the buffer is one message. An empty one is a note.
    pub fn push_bytes(&mut self, stream: &Stream) {
        let payload = Payload::from(&self.buffer[..]);
        self.buffer.clear();
        if !stream.push_input(std::iter::once(InPiece::Frame { payload, more: false }), true) {
            self.stalled = true;
        }
    }

    /// Nothing of what was read before is a message any more.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// The reader gets every whole message, also those before a mistake of the peer.
    fn take_whole(&mut self, stream: &Stream) -> Step<()> {
        let scanned = self.scan(stream);
        self.deliver(stream);
        scanned
    }

    /// Looks through what has come: frames, commands, ends of messages.
    fn scan(&mut self, stream: &Stream) -> Step<()> {
        if self.large.is_some() {
            return Ok(());
        }
        loop {
            let rest = &self.buffer[self.scanned..];
            let header = match Header::parse(rest, self.limit) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(()),
                Err(error @ ProtocolError::FrameTooLarge { .. }) => {
                    return Err(Failure {
                        reason: error.to_string(),
                        tell: Tell::Errno(libc::EMSGSIZE),
                        blameless: false,
                    });
                }
                Err(error) => return Err(Failure::protocol(error)),
            };
            let body = rest.get(header.header_bytes..).unwrap_or_default();
            if body.len() < header.body_bytes {
                if !header.command && header.body_bytes >= LARGE_MIN {
                    self.check_parts()?;
                    self.begin_large(stream, header)?;
                }
                return Ok(());
            }
            if header.command {
                self.on_command(stream, self.scanned + header.header_bytes, header.body_bytes)?;
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

    fn on_command(&mut self, stream: &Stream, at: usize, len: usize) -> Step<()> {
        let command = Command::parse(&self.buffer[at..at + len]).map_err(Failure::protocol)?;
        match command {
            Command::Subscribe(_) | Command::Cancel(_) if self.more => {
                return Err("peer sent a subscription inside a message".into());
            }
            Command::Subscribe(_) | Command::Cancel(_) => self.messages += u64::from(self.publishes),
            Command::Ping { ttl_deciseconds, context } => {
                stream.push_pong(|out| encode_pong(context, out));
                self.signs.peer_ttl = Some(match ttl_deciseconds {
                    0 => None,
                    ttl => Some(Duration::from_millis(100 * u64::from(ttl))),
                });
                self.signs.answers = true;
            }
            Command::Pong => {}
            Command::Error(reason) => {
                let text = shmzmq_zmtp::parse_error(reason).map_err(Failure::protocol)?;
                return Err(Failure {
                    reason: format!("peer ends the connection: {text}"),
                    tell: Tell::Disconnected,
                    blameless: false,
                });
            }
            Command::Unknown => {
                self.unknown += 1;
                self.signs.unknown += 1;
                if self.unknown > MAX_UNKNOWN {
                    return Err(format!("peer sent more than {MAX_UNKNOWN} unknown commands").into());
                }
            }
        }
        Ok(())
    }

    /// What of the frame has come goes to memory of its own; the frames before it wait for its end.
    fn begin_large(&mut self, stream: &Stream, header: Header) -> Step<()> {
        let begin = self.scanned + header.header_bytes;
        let (len, more) = (header.body_bytes, header.more);
        let memory = match self.blank.take_if(|blank| blank.len() == len) {
            Some(blank) => Memory::Blank(blank),
            None => Memory::Own(Vec::new()),
        };
        let mut large = Large { memory, filled: 0, len, more };
        let first = &self.buffer[begin..];
        // A caller may have better memory for it, see `ask_for_blank`.
        if let (Memory::Own(bytes), false) = (&mut large.memory, self.turn.callers) {
            grow(bytes, len, first.len()).map_err(|_| "no memory for a large frame")?;
        }
        large.put(first).map_err(|_| "no memory for a large frame")?;
        // The next header comes with this frame's end; what is read with it is copied, so let it be little.
        self.room = BUFFER_MIN;
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(self.scanned);
        // Whole messages first; what is left is the beginning of the one that the large frame is of.
        if self.whole > 0 && self.whole < self.scanned {
            let tail = bytes[self.whole..].to_vec();
            bytes.truncate(self.whole);
            self.push_run(stream, bytes);
            self.pend(tail);
        } else if self.whole > 0 {
            self.push_run(stream, bytes);
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
        } else if self.buffer.capacity() == 0 {
            self.buffer = bytes;
        }
    }

    fn take_large(&mut self, stream: &Stream, large: Large) -> Step<()> {
        let header = Header { header_bytes: 0, body_bytes: large.len, more: large.more, command: false };
        self.last_large = large.len;
        let more = large.more;
        let payload = large.into_payload();
        self.check_topic(payload.bytes().first(), header)?;
        // Counted before: what is too much was refused with its header.
        self.more = more;
        self.parts = if more { self.parts + 1 } else { 0 };
        self.pending.push(InPiece::Frame { payload, more });
        if !more {
            self.hand_over(stream, None);
        }
        Ok(())
    }

    /// Gives the reader everything up to the last whole message.
    fn deliver(&mut self, stream: &Stream) {
        if self.whole == 0 || self.large.is_some() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        // What is not whole goes on in the next buffer.
        if self.whole < bytes.len() {
            self.buffer = stream.take_spare(self.room.max(2 * (bytes.len() - self.whole)));
            self.buffer.extend_from_slice(&bytes[self.whole..]);
            bytes.truncate(self.whole);
        }
        self.scanned -= self.whole;
        self.whole = 0;
        self.push_run(stream, bytes);
    }

    fn push_run(&mut self, stream: &Stream, bytes: Vec<u8>) {
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
        self.hand_over(stream, Some(InPiece::Run(Run { bytes, at: 0, end, messages })));
    }

    /// What waits for its reader does not keep a buffer of many times its size. A caller takes it at once.
    fn fit(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.turn.callers || bytes.len() > bytes.capacity() / 4 {
            return bytes;
        }
        let fitted = bytes.as_slice().to_vec();
        if self.buffer.capacity() == 0 {
            bytes.clear();
            self.buffer = bytes;
        }
        fitted
    }

    fn hand_over(&mut self, stream: &Stream, last: Option<InPiece>) {
        self.pushed = true;
        // A caller reads when it has nothing, so it never has too much.
        let stalls = !self.turn.callers;
        if !stream.push_input(self.pending.drain(..).chain(last), stalls) && stalls {
            self.stalled = true;
        }
    }
}

impl Large {
    /// Where the next bytes go, and how many of this frame there is room for.
    fn spare(&mut self) -> Result<(*mut u8, usize), Errno> {
        let left = self.len - self.filled;
        match &mut self.memory {
            // SAFETY: it is as large as the frame, of which so much is filled.
            Memory::Blank(blank) => Ok((unsafe { blank.at().add(self.filled) }, left)),
            Memory::Own(bytes) => {
                if bytes.len() == bytes.capacity() {
                    grow(bytes, self.len, 1)?;
                }
                let spare = bytes.spare_capacity_mut();
                Ok((spare.as_mut_ptr().cast(), spare.len().min(left)))
            }
        }
    }

    /// # Safety
    /// So many bytes were written to where `spare` said.
    unsafe fn add(&mut self, count: usize) {
        self.filled += count;
        if let Memory::Own(bytes) = &mut self.memory {
            // SAFETY: the caller's word.
            unsafe { bytes.set_len(self.filled) };
        }
    }

    /// The first bytes, which are fewer than the frame's.
    fn put(&mut self, first: &[u8]) -> Result<(), Errno> {
        self.filled = first.len();
        match &mut self.memory {
            Memory::Own(bytes) => {
                bytes.try_reserve_exact(first.len()).map_err(|_| Errno::NOMEM)?;
                bytes.extend_from_slice(first);
            }
            // SAFETY: it is as large as the frame.
            Memory::Blank(blank) => unsafe {
                std::ptr::copy_nonoverlapping(first.as_ptr(), blank.at(), first.len());
            },
        }
        Ok(())
    }

    /// Goes on in memory of the frame's size.
    fn move_to(&mut self, blank: Blank) {
        if let Memory::Own(bytes) = std::mem::replace(&mut self.memory, Memory::Blank(blank)) {
            // It was there for less before.
            let _ = self.put(&bytes);
        }
    }

    fn into_payload(self) -> Payload {
        match self.memory {
            Memory::Own(bytes) => Payload::from(bytes),
            Memory::Blank(blank) => blank.into_payload(),
        }
    }
}

/// Memory for what comes, but not too far ahead of what has come.
fn grow(bytes: &mut Vec<u8>, most: usize, coming: usize) -> Result<(), Errno> {
    let len = bytes.len();
    if bytes.capacity() > len && bytes.capacity() - len >= coming {
        return Ok(());
    }
    let wanted = most.min(len + coming.max(len).max(AHEAD));
    bytes.try_reserve_exact(wanted - len).map_err(|_| Errno::NOMEM)
}

/// recvmsg(2) without waiting, into memory that nobody has written yet.
fn receive_into(channel: &Channel, slices: &mut [libc::iovec; 2]) -> Result<usize, Errno> {
    let count = if slices[1].iov_len > 0 { 2 } else { 1 };
    // SAFETY: a message header of zeros is a valid one without slices.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = slices.as_mut_ptr();
    header.msg_iovlen = count as _;
    // SAFETY: the slices are writable for their lengths, and live during the call.
    let done = unsafe { libc::recvmsg(channel.fd().as_raw_fd(), &mut header, libc::MSG_DONTWAIT) };
    usize::try_from(done).map_err(|_| {
        Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    })
}
