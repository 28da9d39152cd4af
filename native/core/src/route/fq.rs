//! Fair queueing: one message from each pipe that has any, in turn.
//!
//! Pipes in `active` are looked at; the others sleep and are put back by a mark on the ready words.
//! At most [`ACTIVE_MAX`] empty pipes are looked at for nothing: beyond that, or after
//! [`IDLE_READS`] vain looks, an empty pipe is sent to sleep, so the cost of a read follows the pipes
//! that have messages and not the pipes that exist.

use crate::error::{Error, Result};
use crate::message::{Payload, Sink, Skip};
use crate::pipe::Read;
use crate::pipe::ring::State;
use crate::socket::core::Core;
use crate::stats::Discard;

const ACTIVE_MAX: usize = 16;
const IDLE_READS: u32 = 64;

#[derive(Default)]
pub struct Inbox {
    active: Vec<usize>,
    current: usize,
    /// Inside a message: the pipe at `current` must be read on.
    pub more: bool,
    /// The slot that the last frame came from.
    pub source: usize,
}

impl Inbox {
    fn remove(&mut self, index: usize) {
        self.active.remove(index);
        if index < self.current {
            self.current -= 1;
        }
        if self.current >= self.active.len() {
            self.current = 0;
        }
    }
}

impl Core {
    /// The pipe has, or may have, something to read.
    pub fn activate_in(&mut self, slot: usize) {
        let Some(pipe) = self.pipe(slot) else { return };
        if pipe.receives && !pipe.in_active {
            pipe.in_active = true;
            pipe.idle = 0;
            self.inbox.active.push(slot);
        }
    }

    pub fn deactivate_in(&mut self, slot: usize) {
        if let Some(index) = self.inbox.active.iter().position(|active| *active == slot) {
            if index == self.inbox.current {
                self.inbox.more = false;
            }
            self.inbox.remove(index);
        }
        if let Some(pipe) = self.pipe(slot) {
            pipe.in_active = false;
            pipe.receives &= !pipe.superseded;
        }
    }

    /// Hands the next frame to `sink`; which pipe it came from, and whether more of it follow.
    #[inline]
    pub fn recv_fair(&mut self, sink: &mut dyn Sink) -> Result<(usize, bool)> {
        match self.recv_plain(sink) {
            Some(received) => received,
            None => self.recv_any(sink),
        }
    }

    /// The usual case: the next pipe is a ring that has a small frame. None: `recv_any` knows.
    #[inline(always)]
    fn recv_plain(&mut self, sink: &mut dyn Sink) -> Option<Result<(usize, bool)>> {
        let slot = *self.inbox.active.get(self.inbox.current)?;
        let pipe = self.pipes.get_mut(slot)?.as_mut()?;
        let ring = pipe.open_ring()?;
        let frame = ring.peek_plain(self.options.maxmsgsize)?;
        let Some(to) = sink.room(frame.len, frame.more) else { return Some(Err(Error::NoRoom)) };
        // SAFETY: the sink gave room for `len` bytes; the frame is from the line above.
        unsafe { ring.take_plain(frame, to, &mut self.stats) };
        pipe.tally.received += u64::from(!frame.more);
        pipe.tally.bytes_received += frame.len as u64;
        self.inbox.source = slot;
        self.received(frame.more, frame.len as u64);
        Some(Ok((slot, frame.more)))
    }

    fn recv_any(&mut self, sink: &mut dyn Sink) -> Result<(usize, bool)> {
        let mut vain = 0;
        while let Some(&slot) = self.inbox.active.get(self.inbox.current) {
            match self.read_pipe(slot, sink) {
                Read::Frame { more, bytes } => {
                    self.inbox.source = slot;
                    self.received(more, bytes);
                    if !more {
                        self.end_if_drained(slot);
                    }
                    return Ok((slot, more));
                }
                Read::NoRoom => return Err(Error::NoRoom),
                Read::Empty => {
                    if self.idle(slot) {
                        continue;
                    }
                    vain += 1;
                    self.inbox.current = (self.inbox.current + 1) % self.inbox.active.len();
                    if vain >= self.inbox.active.len() {
                        break;
                    }
                }
                Read::Ended => self.end(slot),
                Read::Broken(why) => {
                    let inside = self.inbox.more;
                    self.break_off(slot, &why);
                    if inside {
                        // The rest will not come: end the message here, or another peer's would go on as it.
                        sink.owned(Payload::empty(), false);
                        self.stats.discard(Discard::Malformed, 1);
                        return Ok((slot, false));
                    }
                }
            }
        }
        Err(Error::Again)
    }

    /// Messages of one frame, while there is one pipe to read and it is a ring that has them; how many.
    pub fn recv_run(&mut self, sink: &mut dyn Sink, max: usize) -> usize {
        let (&[slot], false) = (&self.inbox.active[..], self.inbox.more) else { return 0 };
        let maxmsgsize = self.options.maxmsgsize;
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return 0 };
        if pipe.ending {
            return 0;
        }
        let bytes = self.stats.bytes_received;
        let taken = pipe.read_run(sink, maxmsgsize, max, &mut self.stats);
        pipe.tally.received += taken as u64;
        pipe.tally.bytes_received += self.stats.bytes_received - bytes;
        self.stats.messages_received += taken as u64;
        taken
    }

    #[inline(always)]
    pub fn read_pipe(&mut self, slot: usize, sink: &mut dyn Sink) -> Read {
        let maxmsgsize = self.options.maxmsgsize;
        match self.pipes.get_mut(slot) {
            Some(Some(pipe)) => {
                let read = pipe.read(sink, maxmsgsize, &mut self.stats);
                if let Read::Frame { more, bytes } = read {
                    pipe.tally.received += u64::from(!more);
                    pipe.tally.bytes_received += bytes;
                }
                read
            }
            _ => Read::Ended,
        }
    }

    #[inline(always)]
    fn received(&mut self, more: bool, bytes: u64) {
        self.stats.bytes_received += bytes;
        self.inbox.more = more;
        if !more {
            self.stats.messages_received += 1;
            self.inbox.current += 1;
            if self.inbox.current >= self.inbox.active.len() {
                self.inbox.current = 0;
            }
        }
    }

    /// The last message of a peer that is gone was its last: its pipe and connection go at once.
    #[inline(always)]
    fn end_if_drained(&mut self, slot: usize) {
        if let Some(Some(pipe)) = self.pipes.get_mut(slot)
            && pipe.may_have_ended()
            && pipe.look() == State::Ended
        {
            self.end(slot);
        }
    }

    /// An active pipe had nothing. True if it went to sleep and left the list.
    fn idle(&mut self, slot: usize) -> bool {
        let many = self.inbox.active.len() > ACTIVE_MAX;
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return false };
        pipe.idle += 1;
        if pipe.superseded {
            self.deactivate_in(slot);
            return true;
        }
        // A program that reads a stream by itself looks often.
        let reads = pipe.lone_stream().is_some_and(|stream| stream.is_direct());
        let tired = many || pipe.idle > IDLE_READS && !reads;
        if tired && pipe.sleep_in(&mut self.stats) {
            self.deactivate_in(slot);
            return true;
        }
        false
    }

    /// Skips the message at hand; nothing is wrong with it.
    pub fn drop_message(&mut self) {
        let received = (self.stats.messages_received, self.stats.bytes_received);
        self.inbox.more = true;
        self.drop_rest();
        // Nobody received it.
        (self.stats.messages_received, self.stats.bytes_received) = received;
        self.stats.discard(Discard::Cancelled, 1);
    }

    fn drop_rest(&mut self) {
        while self.inbox.more {
            if self.recv_fair(&mut Skip::default()).is_err() {
                self.inbox.more = false;
            }
        }
    }

    /// Skips what is left of the message that is being read and is not what it should be.
    pub fn skip_message(&mut self) {
        self.drop_rest();
        self.stats.discard(Discard::Malformed, 1);
    }

    /// Turns to a pipe that has a frame and stays with it; for types that put a frame of their own
    /// in front. None: there is no such pipe now.
    pub fn turn_to_input(&mut self) -> Option<usize> {
        let mut vain = 0;
        while let Some(&slot) = self.inbox.active.get(self.inbox.current) {
            match self.pipe(slot).map_or(State::Ended, |pipe| pipe.look()) {
                State::Frame => return Some(slot),
                State::Ended => {
                    self.end(slot);
                    continue;
                }
                State::Broken => {
                    self.break_off(slot, "record in the ring is not one");
                    continue;
                }
                State::Empty if self.idle(slot) => continue,
                State::Empty => {}
            }
            vain += 1;
            self.inbox.current = (self.inbox.current + 1) % self.inbox.active.len();
            if vain >= self.inbox.active.len() {
                break;
            }
        }
        None
    }

    /// As `turn_to_input`, for a caller that acts on the message before it reads it: no newer message
    /// takes its place until it is read or `settle_on_input` is called again.
    pub fn settle_on_input(&mut self) -> Option<usize> {
        loop {
            let slot = self.turn_to_input()?;
            if self.pipe(slot).is_some_and(|pipe| pipe.settle() == State::Frame) {
                return Some(slot);
            }
        }
    }

    /// The pipes that have, or may have, something to read; for types that take all there is. One that
    /// is taken off the list moves those behind it down by one, so begin at the last.
    #[inline]
    pub fn active_inputs(&self) -> &[usize] {
        &self.inbox.active
    }

    /// An active pipe was found empty: puts it to sleep. False: something came meanwhile.
    pub fn rest_input(&mut self, slot: usize) -> bool {
        let stats = &mut self.stats;
        let asleep =
            self.pipes.get_mut(slot).is_none_or(|pipe| pipe.as_mut().is_none_or(|pipe| pipe.sleep_in(stats)));
        if asleep {
            self.deactivate_in(slot);
        }
        asleep
    }

    /// True if a receive would find a frame.
    pub fn has_input(&mut self) -> bool {
        self.inbox.more || self.turn_to_input().is_some()
    }

    /// True if an active pipe's index word moved: for spinning, reads shared words only.
    #[inline]
    pub fn input_moved(&self) -> bool {
        let moved = |slot: &usize| matches!(self.pipes.get(*slot), Some(Some(pipe)) if pipe.moved());
        self.inbox.active.iter().any(moved)
    }

    /// Publishes and arms every active pipe. False: one of them has something.
    pub fn sleep_inbox(&mut self) -> bool {
        while let Some(&slot) = self.inbox.active.last() {
            if let Some(Some(pipe)) = self.pipes.get_mut(slot)
                && !pipe.sleep_in(&mut self.stats)
            {
                return false;
            }
            self.deactivate_in(slot);
        }
        true
    }

    /// Lets every writer know what was read; when a caller found nothing and will not sleep.
    pub fn publish_inbox(&mut self) {
        for index in 0..self.inbox.active.len() {
            let slot = self.inbox.active[index];
            if let Some(Some(pipe)) = self.pipes.get_mut(slot) {
                pipe.publish_in(&mut self.stats);
            }
        }
    }
}
