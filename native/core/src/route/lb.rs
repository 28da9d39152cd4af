//! Load balancing: whole messages to each pipe that takes one, in turn.
//!
//! A pipe that refuses for its high-water marks is armed and leaves the list until it is marked.

use shmzmq_shm::ring::Part;

use crate::error::{Error, Result};
use crate::message::Outgoing;
use crate::pipe::{How, Out, Write};
use crate::socket::core::Core;

#[derive(Default)]
pub struct Outbox {
    active: Vec<usize>,
    current: usize,
    /// Some pipe's ring was full while its reader moved: wait a moment, then try again.
    pub soon: bool,
}

impl Core {
    /// The pipe may take messages.
    pub fn activate_out(&mut self, slot: usize) {
        let Some(pipe) = self.pipe(slot) else { return };
        if pipe.sends && !pipe.out_active {
            pipe.out_active = true;
            self.outbox.active.push(slot);
        }
    }

    pub fn deactivate_out(&mut self, slot: usize) {
        if let Some(index) = self.outbox.active.iter().position(|active| *active == slot) {
            self.outbox.active.remove(index);
            if index < self.outbox.current {
                self.outbox.current -= 1;
            }
        }
        if let Some(pipe) = self.pipe(slot) {
            pipe.out_active = false;
        }
    }

    /// Sends to the next pipe that takes the message; which one it was.
    #[inline]
    pub fn send_balanced(&mut self, message: Outgoing<'_>, patient: bool) -> Result<usize> {
        match self.send_plain(&message) {
            Some(slot) => Ok(slot),
            None => self.send_any(message, patient),
        }
    }

    /// The usual case: one small frame, and the next pipe is a ring that takes it.
    #[inline(always)]
    fn send_plain(&mut self, message: &Outgoing<'_>) -> Option<usize> {
        let &[part] = message.frames.parts() else { return None };
        if self.burst || !message.envelope.is_empty() || message.skip != 0 {
            return None;
        }
        let outbox = &self.outbox;
        let current = if outbox.current < outbox.active.len() { outbox.current } else { 0 };
        let slot = *outbox.active.get(current)?;
        if !self.write_plain_to(slot, &part) {
            return None;
        }
        self.outbox.current = current + 1;
        self.outbox.soon = false;
        Some(slot)
    }

    /// Writes one frame to one pipe and counts it, if nothing about either is unusual. False: nothing was written.
    #[inline(always)]
    pub(super) fn write_plain_to(&mut self, slot: usize, part: &Part) -> bool {
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return false };
        let Out::Ring(ring) = &mut pipe.out else { return false };
        if !ring.write_plain(part, self.burst, &mut self.stats) {
            return false;
        }
        if self.burst && ring.list() {
            self.unpublished.push(slot);
        }
        self.peer_awake = ring.peer_awake;
        self.stats.messages_sent += 1;
        self.stats.bytes_sent += part.len as u64;
        pipe.tally.sent += 1;
        pipe.tally.bytes_sent += part.len as u64;
        true
    }

    fn send_any(&mut self, message: Outgoing<'_>, patient: bool) -> Result<usize> {
        let mut vain = 0;
        self.outbox.soon = false;
        while vain < self.outbox.active.len() {
            if self.outbox.current >= self.outbox.active.len() {
                self.outbox.current = 0;
            }
            let slot = self.outbox.active[self.outbox.current];
            match self.write_to(slot, message, patient) {
                Write::Done => {
                    self.outbox.current += 1;
                    return Ok(slot);
                }
                Write::Full => {
                    if self.sleep_out(slot) {
                        self.deactivate_out(slot);
                    }
                }
                Write::Soon => {
                    self.outbox.soon = true;
                    self.outbox.current += 1;
                    vain += 1;
                }
                Write::Gone => self.leave(slot),
                Write::Failed(error) => return Err(error),
            }
        }
        Err(Error::Again)
    }

    /// The one-frame messages of a burst, while there is one pipe to choose from and it is a ring that
    /// takes them; how many it took.
    pub fn send_run(&mut self, run: &[Part]) -> usize {
        let &[slot] = &self.outbox.active[..] else { return 0 };
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return 0 };
        let Out::Ring(ring) = &mut pipe.out else { return 0 };
        if ring.keeps() {
            return 0;
        }
        let (messages, bytes) = ring.put_run(run);
        if messages > 0 && ring.list() {
            self.unpublished.push(slot);
        }
        self.stats.messages_sent += messages as u64;
        self.stats.bytes_sent += bytes;
        pipe.tally.sent += messages as u64;
        pipe.tally.bytes_sent += bytes;
        messages
    }

    /// There is no peer behind the pipe; one that is not read either has ended.
    #[cold]
    fn leave(&mut self, slot: usize) {
        self.deactivate_out(slot);
        if self.pipe(slot).is_some_and(|pipe| pipe.ending && !pipe.receives) {
            self.ended.push(slot);
        }
    }

    /// Writes to one pipe and counts.
    #[inline]
    pub fn write_to(&mut self, slot: usize, message: Outgoing<'_>, patient: bool) -> Write {
        let how = How { patient, burst: self.burst, inline: false };
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return Write::Gone };
        let written = pipe.write(message, how, &self.options, &mut self.scratch, &mut self.stats);
        if let Write::Soon = written
            && let Out::Ring(ring) = &pipe.out
        {
            self.patience = ring.patience();
        }
        if let Write::Full = written
            && let Out::Ring(ring) = &pipe.out
        {
            self.starved |= ring.is_starved();
        }
        if let Write::Done = written {
            if let Out::Ring(ring) = &mut pipe.out {
                self.peer_awake = ring.peer_awake;
                if self.burst && ring.list() {
                    self.unpublished.push(slot);
                }
            } else if let Out::Stream(stream) = &mut pipe.out
                && self.burst
                && stream.list()
            {
                self.unpublished.push(slot);
            }
            self.stats.messages_sent += 1;
            let sizes = message.frames.parts()[message.skip..].iter().map(|part| part.len as u64);
            let bytes = sizes.sum::<u64>();
            self.stats.bytes_sent += bytes;
            pipe.tally.sent += 1;
            pipe.tally.bytes_sent += bytes;
        }
        written
    }

    /// Asks to be marked when a write that the pipe refused may succeed. False: try again first.
    pub fn sleep_out(&mut self, slot: usize) -> bool {
        let limits = self.options.limits();
        let asleep = self.pipe(slot).is_none_or(|pipe| pipe.sleep_out(&limits));
        if !asleep {
            // A pipe keeps one wish, which may have been another thread's: whoever sleeps on it looks again too.
            self.signaler.mark(slot);
        }
        asleep
    }

    /// True if a send of a small message would find a pipe that takes it.
    pub fn has_output(&mut self) -> bool {
        let limits = self.options.limits();
        let mut moved = 0;
        while let Some(&slot) = self.outbox.active.first() {
            let Some(pipe) = self.pipe(slot) else {
                self.deactivate_out(slot);
                continue;
            };
            if matches!(pipe.out, Out::None) || pipe.is_gone() {
                self.leave(slot);
                continue;
            }
            if pipe.writable(&limits) {
                return true;
            }
            if self.sleep_out(slot) {
                self.deactivate_out(slot);
            } else {
                // Not armed, so it must not be waited for: the next look tells.
                moved += 1;
                if moved > 16 {
                    return true;
                }
            }
        }
        false
    }

    /// Arms every pipe that is listed as able to take messages and was found not to be; those whose
    /// rings are merely full stay listed. False: one of them has room again.
    pub fn sleep_outbox(&mut self) -> bool {
        (0..self.outbox.active.len()).all(|index| {
            let slot = self.outbox.active[index];
            self.sleep_out(slot)
        })
    }
}
