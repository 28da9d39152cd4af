//! A monitor: what happens to one socket's connections, told to one reader over inproc.
//!
//! It knows numbers and texts of events and the queue to their reader; what an event means to whoever
//! emits it is the sessions', listener.rs' and context.rs' business.
//!
//! **Who owns it.** The monitored socket, in [`Events`]; the context's table of inproc names holds it
//! too, under the name by which a PAIR connects to it. It is the writing end of a local pipe and no socket:
//! it costs no fd, waits for nothing and needs no other socket's lock, so I/O threads may emit from
//! anywhere, and nothing of it is left for `term` to wait for.
//!
//! **Nobody reads.** Events wait for a reader that comes later, and for one that comes after another
//! has left. A queue that is full drops the newest and counts it; the last one, MONITOR_STOPPED, always
//! has room.
//!
//! **Frames.** libzmq's events are `[u16 event, u32 value]` in native order, then the endpoint. Ours do not
//! fit into 16 bits and are sent to those only who name their bits in the mask: `[u32 event, u32 value]`,
//! endpoint, a text.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shmzmq_shm::ring::Part;

use crate::error::Result;
use crate::message::{Frames, Outgoing, Payload};
use crate::pipe::Write;
use crate::pipe::local::{LocalIn, LocalOut};
use crate::socket::life::local_pair;
use crate::stats::Stats;

/// Messages that wait where the reader has not said how many may (its RCVHWM is added).
const MARK: i64 = 1000;
/// Messages that wait whatever the reader said: RCVHWM 0 must not let a queue grow without end.
const MOST: u64 = 100_000;

macro_rules! events {
    ($($name:ident = $bit:literal),* $(,)?) => { $(pub const $name: u32 = $bit;)* };
}

events! {
    CONNECTED = 0x1, CONNECT_DELAYED = 0x2, CONNECT_RETRIED = 0x4, LISTENING = 0x8, ACCEPTED = 0x20, ACCEPT_FAILED = 0x40,
    CLOSED = 0x80, DISCONNECTED = 0x200, MONITOR_STOPPED = 0x400, HANDSHAKE_FAILED_NO_DETAIL = 0x800,
    HANDSHAKE_SUCCEEDED = 0x1000, HANDSHAKE_FAILED_PROTOCOL = 0x2000, HANDSHAKE_FAILED_AUTH = 0x4000,
    RINGS = 0x100_0000, NO_RINGS = 0x200_0000, BROKEN = 0x400_0000,
}

/// Bits that are libzmq's; every event above them is ours.
const THEIRS: u32 = 0xFFFF;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The frames of one event.
struct Told {
    frames: Vec<Vec<u8>>,
    parts: Vec<Part>,
}

impl Told {
    fn new(event: u32, value: u32, endpoint: &[u8], detail: &str) -> Told {
        let mut frames = Vec::new();
        if event <= THEIRS {
            let mut first = (event as u16).to_ne_bytes().to_vec();
            first.extend(value.to_ne_bytes());
            frames.extend([first, endpoint.to_vec()]);
        } else {
            let mut first = event.to_ne_bytes().to_vec();
            first.extend(value.to_ne_bytes());
            frames.extend([first, endpoint.to_vec(), detail.as_bytes().to_vec()]);
        }
        let parts = frames.iter().map(|frame| Part::of(frame)).collect();
        Told { frames, parts }
    }
}

impl Frames for Told {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        Payload::copy(&self.frames[index])
    }
}

/// The queue to whoever reads now, or will.
struct Line {
    out: LocalOut,
    /// What the reader sends is never read.
    _back: LocalIn,
    /// The reader's ends until it comes.
    free: Option<(LocalOut, LocalIn)>,
    ended: bool,
}

impl Line {
    fn new() -> Line {
        let (ours, theirs) = local_pair();
        let mut line = Line::of(ours);
        line.free = Some(theirs);
        line
    }

    fn of((out, back): (LocalOut, LocalIn)) -> Line {
        out.limit(MARK);
        Line { out, _back: back, free: None, ended: false }
    }

    /// A reader that has left makes room for the next one.
    fn renew(&mut self) {
        if self.free.is_none() && self.out.is_gone() {
            *self = Line { ended: self.ended, ..Line::new() };
        }
    }

    /// False if it had no room.
    fn tell(&mut self, told: &Told) -> bool {
        self.renew();
        if self.ended {
            return true;
        }
        let full = self.out.depth() >= MOST;
        !full && !matches!(self.out.write(Outgoing::plain(told), &mut Stats::default()), Write::Full)
    }

    fn stop(&mut self, told: Option<&Told>) {
        self.out.limit(0);
        if let Some(told) = told {
            self.out.write(Outgoing::plain(told), &mut Stats::default());
        }
        self.out.close();
        self.ended = true;
    }
}

pub struct Monitor {
    pub name: String,
    mask: u32,
    line: Mutex<Line>,
}

impl Monitor {
    /// `waiting`: our ends of the pipe to a reader that connected to the name before.
    pub fn new(name: String, mask: u32, waiting: Option<(LocalOut, LocalIn)>) -> Arc<Monitor> {
        let line = waiting.map_or_else(Line::new, Line::of);
        Arc::new(Monitor { name, mask, line: Mutex::new(line) })
    }

    /// The ends of a new reader. None while there is one, as at a PAIR.
    pub fn reader(&self) -> Option<(LocalOut, LocalIn)> {
        let mut line = locked(&self.line);
        line.renew();
        line.free.take()
    }

    fn tell(&self, told: &Told) -> bool {
        locked(&self.line).tell(told)
    }

    fn stop(&self) {
        let told = Told::new(MONITOR_STOPPED, 0, b"", "");
        locked(&self.line).stop((self.mask & MONITOR_STOPPED != 0).then_some(&told));
    }
}

/// What a socket has of its monitor.
#[derive(Default)]
pub struct Events {
    /// Of the monitor; 0 without one. A look that saves the lock where nobody listens.
    mask: AtomicU32,
    monitor: Mutex<Option<Arc<Monitor>>>,
    dropped: AtomicU64,
}

impl Events {
    /// Tells the monitor, if it listens for `event`. Never waits; takes no socket's lock.
    pub fn emit(&self, event: u32, value: u32, endpoint: &[u8]) {
        self.emit_with(event, value, endpoint, "");
    }

    /// As `emit`, with the text that events of our own have.
    pub fn emit_with(&self, event: u32, value: u32, endpoint: &[u8], detail: &str) {
        if self.mask.load(Ordering::Relaxed) & event == 0 {
            return;
        }
        let Some(monitor) = locked(&self.monitor).clone() else { return };
        if monitor.mask & event != 0 && !monitor.tell(&Told::new(event, value, endpoint, detail)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts another monitor, or none, in place; the old one is told that it is the last and returned.
    pub fn replace(&self, new: Option<Arc<Monitor>>) -> Option<Arc<Monitor>> {
        let mut monitor = locked(&self.monitor);
        self.mask.store(new.as_ref().map_or(0, |monitor| monitor.mask), Ordering::Relaxed);
        let old = std::mem::replace(&mut *monitor, new);
        drop(monitor);
        if let Some(old) = &old {
            old.stop();
        }
        old
    }

    /// Events that were not told for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
