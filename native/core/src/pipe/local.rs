//! A pipe inside one process: messages cross by reference. It never spins.
//!
//! One queue per direction, each with a lock of its own that is held for a push or a pop. "Asleep" and
//! "waiting" are decided under that lock, so no wake-up can be lost; the marks on the other socket's
//! ready words are set after it is released.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ring::State;
use super::{Read, Write};
use crate::lock::{AttemptLock, Guard};
use crate::message::{Message, Outgoing, Payload, Sink, reserve_places};
use crate::options::credit;
use crate::pipe::overflow::Policy;
use crate::pipe::ring::Limits;
use crate::signaler::Signaler;
use crate::stats::{Discard, Stats};

/// A socket and the slot by which it knows the pipe.
pub type End = (Arc<Signaler>, usize);

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    limits: Option<Limits>,
    /// The reader wants the newest message only.
    conflates: bool,
    policy: Policy,
    /// Of the messages, counted only while there is a limit.
    bytes: u64,
    /// None until the other end is bound: then only the sender's mark counts.
    rcvhwm: Option<i64>,
    reader: Option<End>,
    writer: Option<End>,
    reader_asleep: bool,
    writer_waiting: bool,
    writer_closed: bool,
    reader_closed: bool,
}

impl Queue {
    fn limit(&self) -> u64 {
        let sndhwm = self.limits.map_or(0, |limits| limits.sndhwm);
        match self.rcvhwm {
            Some(rcvhwm) => credit(sndhwm, rcvhwm),
            None => sndhwm.max(0) as u64,
        }
    }

    fn hwm_bytes(&self) -> u64 {
        self.limits.map_or(0, |limits| limits.hwm_bytes.max(0) as u64)
    }

    /// For a queue that keeps: drops what a new message takes the place of.
    #[cold]
    fn make_room(&mut self) -> u64 {
        let before = self.messages.len();
        if self.policy == Policy::KeepLatest {
            self.messages.clear();
        }
        self.count_bytes();
        while self.full() {
            let dropped = self.messages.pop_front().map_or(0, |message| message.bytes());
            self.bytes = self.bytes.saturating_sub(dropped);
        }
        (before - self.messages.len()) as u64
    }

    fn count_bytes(&mut self) {
        self.bytes = if self.hwm_bytes() > 0 { self.messages.iter().map(Message::bytes).sum() } else { 0 };
    }

    fn full(&self) -> bool {
        let limit = self.limit();
        let full = limit != 0 && self.messages.len() as u64 >= limit;
        full || (self.hwm_bytes() != 0 && !self.messages.is_empty() && self.bytes >= self.hwm_bytes())
    }

    fn set_limits(&mut self, limits: Limits) {
        self.limits = Some(limits);
        if !self.conflates {
            self.policy = limits.policy;
        }
        self.count_bytes();
    }

    /// True if half of what may be under way is free: the writer is woken then, as over a ring.
    fn half_empty(&self) -> bool {
        let limit = self.limit();
        (limit == 0 || self.messages.len() as u64 <= limit / 2) && self.bytes <= self.hwm_bytes() / 2
    }
}

#[derive(Default)]
struct Shared {
    queue: AttemptLock<Queue>,
    /// Not empty or ended; a hint for spinning only.
    filled: AtomicBool,
    /// The writer is gone; a hint that saves the lock while it is not.
    ended: AtomicBool,
}

fn mark(end: Option<End>) {
    if let Some((signaler, slot)) = end {
        signaler.mark(slot);
    }
}

/// Both ends of one direction.
pub fn direction() -> (LocalOut, LocalIn) {
    let shared = Arc::new(Shared::default());
    let input = LocalIn { shared: shared.clone(), note: false, current: None, rest: Vec::new().into_iter() };
    (LocalOut { shared }, input)
}

pub struct LocalOut {
    shared: Arc<Shared>,
}

impl LocalOut {
    /// Says who writes here, and the writer's mark.
    pub fn bind(&self, writer: End, limits: Limits) {
        let mut queue = self.shared.queue.lock();
        queue.writer = Some(writer);
        queue.set_limits(limits);
    }

    /// For a writer that is no socket: at most so many messages, 0 for no limit.
    pub fn limit(&self, messages: i64) {
        let limits = Limits { sndhwm: messages, rcvhwm: 0, hwm_bytes: 0, policy: Policy::Own };
        self.shared.queue.lock().set_limits(limits);
    }

    pub fn set_limits(&self, sndhwm: i64, hwm_bytes: i64) {
        let mut queue = self.shared.queue.lock();
        if let Some(limits) = queue.limits {
            queue.set_limits(Limits { sndhwm, hwm_bytes, ..limits });
        }
    }

    pub fn write(&mut self, message: Outgoing<'_>, stats: &mut Stats) -> Write {
        let mut queue = self.shared.queue.lock();
        if queue.reader_closed {
            return Write::Gone;
        }
        if queue.policy.keeps() {
            stats.discard(Discard::Overflow, queue.make_room());
        } else if queue.full() {
            return Write::Full;
        }
        self.push(queue, message)
    }

    /// `write` without regard to the high-water marks.
    pub fn write_state(&mut self, message: Outgoing<'_>) -> Write {
        let queue = self.shared.queue.lock();
        if queue.reader_closed { Write::Gone } else { self.push(queue, message) }
    }

    #[inline(always)]
    fn push(&self, mut queue: Guard<'_, Queue>, message: Outgoing<'_>) -> Write {
        let message = match reserve_places(&mut queue.messages, 1).and_then(|()| message.to_message()) {
            Ok(message) => message,
            Err(error) => return Write::Failed(error),
        };
        if queue.hwm_bytes() != 0 {
            queue.bytes += message.bytes();
        }
        queue.messages.push_back(message);
        if std::mem::take(&mut queue.reader_asleep) {
            let reader = queue.reader.clone();
            self.shared.filled.store(true, Ordering::Relaxed);
            drop(queue);
            mark(reader);
        }
        Write::Done
    }

    pub fn is_gone(&self) -> bool {
        self.shared.queue.lock().reader_closed
    }

    pub fn writable(&mut self) -> bool {
        let queue = self.shared.queue.lock();
        !queue.reader_closed && (queue.policy.keeps() || !queue.full())
    }

    pub fn sleep(&mut self) -> bool {
        let mut queue = self.shared.queue.lock();
        queue.writer_waiting = queue.full();
        queue.writer_waiting || queue.reader_closed
    }

    pub fn depth(&self) -> u64 {
        self.shared.queue.lock().messages.len() as u64
    }

    pub fn close(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.writer_closed = true;
        self.shared.ended.store(true, Ordering::Relaxed);
        queue.writer = None;
        let reader = queue.reader.clone();
        drop(queue);
        self.shared.filled.store(true, Ordering::Relaxed);
        mark(reader);
    }
}

pub struct LocalIn {
    shared: Arc<Shared>,
    /// Not a peer's: see socket/notes.rs.
    pub note: bool,
    /// The rest of the message that is being handed out.
    current: Option<Payload>,
    rest: std::vec::IntoIter<Payload>,
}

impl LocalIn {
    /// Says who reads here, and the reader's mark.
    pub fn bind(&self, reader: End, rcvhwm: i64, conflates: bool) {
        let mut queue = self.shared.queue.lock();
        queue.reader = Some(reader);
        queue.conflates = conflates;
        if conflates {
            queue.policy = Policy::KeepLatest;
        }
        drop(queue);
        self.set_rcvhwm(rcvhwm);
    }

    pub fn set_rcvhwm(&self, rcvhwm: i64) {
        let mut queue = self.shared.queue.lock();
        queue.rcvhwm = Some(rcvhwm);
        let writer = if std::mem::take(&mut queue.writer_waiting) { queue.writer.clone() } else { None };
        drop(queue);
        mark(writer);
    }

    pub fn has_messages(&self) -> bool {
        !self.shared.queue.lock().messages.is_empty()
    }

    #[inline]
    pub fn read(&mut self, sink: &mut dyn Sink) -> Read {
        let payload = match self.current.take() {
            Some(payload) => {
                self.current = self.rest.next();
                payload
            }
            None => match self.pop() {
                Some(Message { first, rest }) => {
                    if !rest.is_empty() {
                        self.rest = rest.into_iter();
                        self.current = self.rest.next();
                    }
                    first
                }
                None if self.state() == State::Ended => return Read::Ended,
                None => return Read::Empty,
            },
        };
        let (more, bytes) = (self.current.is_some(), payload.bytes().len() as u64);
        sink.owned(payload, more);
        Read::Frame { more, bytes }
    }

    /// Makes the next message the one that is being handed out.
    fn next_message(&mut self) -> bool {
        let Some(message) = self.pop() else { return false };
        self.current = Some(message.first);
        self.rest = message.rest.into_iter();
        true
    }

    /// False: what was read was not the last for sure. No lock.
    #[inline(always)]
    pub fn may_have_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed)
    }

    #[inline]
    fn pop(&mut self) -> Option<Message> {
        let mut queue = self.shared.queue.lock();
        let message = queue.messages.pop_front()?;
        if queue.bytes != 0 {
            queue.bytes -= message.bytes();
        }
        let mut writer = None;
        if queue.writer_waiting && queue.half_empty() {
            queue.writer_waiting = false;
            writer = queue.writer.clone();
        }
        drop(queue);
        mark(writer);
        Some(message)
    }

    /// The first `most` bytes of the frame at hand, into `to`. False: there is no frame.
    pub fn front(&mut self, most: usize, to: &mut Vec<u8>) -> bool {
        if self.current.is_none() && !self.next_message() {
            return false;
        }
        let Some(payload) = &self.current else { return false };
        let bytes = payload.bytes();
        to.clear();
        to.extend_from_slice(&bytes[..most.min(bytes.len())]);
        true
    }

    pub fn state(&mut self) -> State {
        if self.current.is_some() {
            return State::Frame;
        }
        let queue = self.shared.queue.lock();
        match (queue.messages.is_empty(), queue.writer_closed) {
            (false, _) => State::Frame,
            (true, true) => State::Ended,
            (true, false) => State::Empty,
        }
    }

    pub fn moved(&self) -> bool {
        self.shared.filled.load(Ordering::Relaxed)
    }

    /// Asks to be marked at the next push. False: there is something.
    pub fn sleep(&mut self) -> bool {
        let mut queue = self.shared.queue.lock();
        let empty = queue.messages.is_empty() && !queue.writer_closed && self.current.is_none();
        queue.reader_asleep = empty;
        if empty {
            self.shared.filled.store(false, Ordering::Relaxed);
        }
        empty
    }

    /// Takes nothing more; what is there can still be read.
    pub fn part(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.reader_closed = true;
        queue.writer_closed = true;
        self.shared.ended.store(true, Ordering::Relaxed);
        let writer = queue.writer.clone();
        drop(queue);
        mark(writer);
    }

    pub fn close(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.reader_closed = true;
        queue.reader = None;
        let dropped = std::mem::take(&mut queue.messages);
        let writer = queue.writer.clone();
        drop(queue);
        drop(dropped);
        mark(writer);
    }
}

/// An end that is let go of is closed: the other side must not wait for it.
impl Drop for LocalOut {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for LocalIn {
    fn drop(&mut self) {
        self.close();
    }
}
