//! A burst: many messages in one attempt, under one lock.
//!
//! Messages are put into their rings one by one, each as a `send` of its own would be; the rings are
//! published when the burst ends, so that each pipe costs one index swap and at most one wake-up. A ring
//! that refuses is published first (`pipe/ring.rs`), and a long burst is published in rounds: a reader
//! that is awake need not wait for the last message, nor others for the lock.

use shmzmq_shm::ready;
use shmzmq_shm::ring::Part;

use super::{Socket, State};
use crate::error::Result;
use crate::message::{Frames, Sink};
use crate::pipe::Out;

/// A round of a burst ends after this many bytes or messages.
const ROUND_BYTES: u64 = 64 * 1024;
const ROUND_MESSAGES: usize = 1024;
/// Messages that a single pipe may take or give before the others are looked at.
const RUN: usize = 16;

/// Messages that are sent together. Called under the socket's lock: must not block, nor call back.
pub trait Burst {
    /// The first message that was not accepted yet; None: that was all.
    fn next(&self) -> Option<&dyn Frames>;
    /// As many of those messages were accepted.
    fn accepted(&mut self, messages: usize);
    /// That message and those behind it, as long as they have one frame each.
    fn run(&self) -> &[Part];
}

impl Socket {
    /// Sends messages until all are accepted or one is not; Ok means all. Never waits.
    pub fn try_send_burst(&self, burst: &mut dyn Burst, patient: bool) -> Result<()> {
        while !self.send_round(burst, patient)? {}
        Ok(())
    }

    /// True if that was all.
    fn send_round(&self, burst: &mut dyn Burst, patient: bool) -> Result<bool> {
        let mut state = self.enter()?;
        let sent = Bursting::begin(&mut state).0.send_some(burst, patient);
        self.tell_watchers(&mut state, &sent);
        sent
    }

    /// Receives the whole messages that are there, at most `max` (at least one); how many, or why there
    /// is none. Never waits.
    pub fn try_recv_burst(&self, sink: &mut dyn Sink, max: usize) -> Result<usize> {
        let mut taken = 0;
        while taken < max {
            match self.recv_round(sink, max - taken, &mut taken) {
                Ok(()) => {}
                Err(error) if taken == 0 => return Err(error),
                // Whatever it is, the next call meets it first.
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    /// Ok: there may be more.
    fn recv_round(&self, sink: &mut dyn Sink, max: usize, taken: &mut usize) -> Result<()> {
        let mut state = self.enter()?;
        let received = state.recv_some(sink, max, taken);
        self.tell_watchers(&mut state, &received);
        received
    }
}

impl State {
    fn send_some(&mut self, burst: &mut dyn Burst, patient: bool) -> Result<bool> {
        let enough = self.core.stats.bytes_sent + ROUND_BYTES;
        let mut left = ROUND_MESSAGES;
        while left > 0 && self.core.stats.bytes_sent < enough && !self.marked() {
            let run = burst.run();
            let run = &run[..run.len().min(left).min(RUN)];
            let mut taken = 0;
            if !run.is_empty() && self.pending.is_empty() {
                taken = self.pattern.send_run(&mut self.core, run);
            }
            if taken == 0 {
                let Some(frames) = burst.next() else { return Ok(true) };
                self.send(frames, patient)?;
                taken = 1;
            }
            burst.accepted(taken);
            left -= taken;
        }
        Ok(burst.next().is_none())
    }

    /// Another pipe has something by now: the round ends, `enter` looks at it, and it has its turn, as it
    /// would between two calls.
    #[inline]
    fn marked(&self) -> bool {
        ready::pending(&self.core.signaler.page)
    }

    fn recv_some(&mut self, sink: &mut dyn Sink, max: usize, taken: &mut usize) -> Result<()> {
        let enough = self.core.stats.bytes_received + ROUND_BYTES;
        let mut left = max.min(ROUND_MESSAGES);
        while left > 0 && self.core.stats.bytes_received < enough && !self.marked() {
            let mut got = self.pattern.recv_run(&mut self.core, sink, left.min(RUN));
            if got == 0 {
                self.recv_message(sink)?;
                got = 1;
            } else {
                self.rcvmore = false;
            }
            *taken += got;
            left -= got;
        }
        Ok(())
    }

    /// All frames of a message, or none that counts.
    fn recv_message(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut more = self.recv(sink)?;
        while more {
            more = self.recv(sink).inspect_err(|_| self.abandon_message())?;
        }
        Ok(())
    }
}

/// A round under way. However it ends, every ring that holds something of it is published.
struct Bursting<'a>(&'a mut State);

impl Bursting<'_> {
    fn begin(state: &mut State) -> Bursting<'_> {
        state.core.burst = true;
        Bursting(state)
    }
}

impl Drop for Bursting<'_> {
    fn drop(&mut self) {
        let core = &mut self.0.core;
        core.burst = false;
        while let Some(slot) = core.unpublished.pop() {
            let Some(Some(pipe)) = core.pipes.get_mut(slot) else { continue };
            match &mut pipe.out {
                Out::Ring(ring) => {
                    ring.publish(&mut core.stats);
                    core.peer_awake = ring.peer_awake;
                }
                Out::Stream(stream) => stream.publish(),
                _ => {}
            }
        }
    }
}
