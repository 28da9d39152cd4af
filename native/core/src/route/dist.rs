//! Distribution: a message to every pipe of a set, each of which takes it or does without.
//!
//! A pipe that refuses for its high-water marks is *mute*: armed and passed over until half of its
//! credit is back (libzmq's rule), so a slow peer costs a look at a flag and nobody else anything.

use shmzmq_shm::ring::Part;

use crate::error::{Error, Result};
use crate::message::{Frames, Outgoing};
use crate::pipe::ring::RingOut;
use crate::pipe::{Out, Write, large};
use crate::socket::core::Core;
use crate::stats::Discard;

/// Which pipes the message at hand goes to. A slot is added at most once.
#[derive(Default)]
pub struct Targets {
    slots: Vec<usize>,
    /// By slot: the number of the message for which it was added last.
    stamps: Vec<u64>,
    message: u64,
}

impl Targets {
    pub fn clear(&mut self) {
        self.slots.clear();
        self.message += 1;
    }

    #[inline]
    pub fn add(&mut self, slot: usize) {
        if slot >= self.stamps.len() {
            self.stamps.resize(slot + 1, 0);
        }
        if std::mem::replace(&mut self.stamps[slot], self.message) != self.message {
            self.slots.push(slot);
        }
    }

    /// Everything of `all` that is not in the set takes the place of what is.
    pub fn invert(&mut self, all: impl Iterator<Item = usize>) {
        let others = all.filter(|slot| self.stamps.get(*slot) != Some(&self.message)).collect();
        self.slots = others;
    }
}

impl Core {
    /// Sends to every target; those that take nothing now do without, and that is counted.
    ///
    /// An error means that nobody got the message. A peer for which there is no memory while others got
    /// theirs does without too: sent again, the message would come twice to the others.
    pub fn distribute(&mut self, targets: &Targets, frames: &dyn Frames) -> Result<()> {
        // One copy of a large frame serves all peers.
        let large = large::is_large(frames.parts());
        if large {
            self.arena.share();
        }
        let sent = self.distribute_each(targets, frames);
        if large {
            self.arena.unshare();
        }
        sent
    }

    #[inline(always)]
    fn distribute_each(&mut self, targets: &Targets, frames: &dyn Frames) -> Result<()> {
        let (mut sent, mut failed) = (false, None);
        let plain = match frames.parts() {
            &[part] => Some(part),
            _ => None,
        };
        for &slot in &targets.slots {
            if !self.pipe(slot).is_some_and(|pipe| pipe.out_active) {
                self.drop_one(slot, Discard::HighWater);
                continue;
            }
            if plain.is_some_and(|part| self.write_plain_to(slot, &part)) {
                sent = true;
                continue;
            }
            match self.write_to(slot, Outgoing::plain(frames), false) {
                Write::Done => sent = true,
                Write::Full | Write::Soon => {
                    self.drop_one(slot, Discard::HighWater);
                    self.mute(slot);
                }
                // The peer is going: its session hears of it and ends the pipe.
                Write::Gone => self.deactivate_out(slot),
                Write::Failed(error) => {
                    self.drop_one(slot, Discard::NoMemory);
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if !sent => Err(error),
            _ => Ok(()),
        }
    }

    /// That peer does without this message.
    fn drop_one(&mut self, slot: usize, reason: Discard) {
        self.stats.discard(reason, 1);
        if let Some(pipe) = self.pipe(slot) {
            pipe.tally.dropped += 1;
        }
    }

    /// Passes the pipe over until it is marked.
    fn mute(&mut self, slot: usize) {
        if self.sleep_out(slot) {
            self.deactivate_out(slot);
        }
    }

    /// Before a send that must not lose: true if every target takes a message now. Those that do not
    /// the caller waits for. An error: nothing but less of all this would help.
    pub fn all_ready(&mut self, targets: &Targets, frames: &dyn Frames, patient: bool) -> Result<bool> {
        let mut blocked = Vec::new();
        self.outbox.soon = false;
        let limits = self.options.limits();
        let parts = frames.parts();
        let mut stages = large::is_large(parts);
        for &slot in &targets.slots {
            let Some(Some(pipe)) = self.pipes.get_mut(slot) else { continue };
            if let Out::Ring(ring) = &mut pipe.out
                && ring.takes_small(parts)
            {
                continue;
            }
            if !matches!(pipe.out, Out::None) && !pipe.is_gone() && !pipe.writable(&limits) {
                // Armed or about to move: either way the caller waits for a mark or tries again.
                blocked.push(slot);
                continue;
            }
            let Out::Ring(ring) = &mut pipe.out else { continue };
            if ring.refuses(parts) {
                // Too large for what is left of HWM_BYTES, or of our memory.
                blocked.push(slot);
                self.starved |= ring.is_starved();
            } else if patient && ring.rather_waits(parts) {
                self.outbox.soon = true;
                self.patience = self.patience.max(ring.patience());
                blocked.push(slot);
            }
            stages = true;
        }
        if blocked.is_empty() && (!stages || self.stage(targets, parts, &mut blocked)?) {
            return Ok(true);
        }
        self.wait_for(blocked);
        Ok(false)
    }

    /// Whatever may be refused for want of memory or fds is asked for before anybody gets the message: large frames are
    /// copied, rings made larger, segments announced. `distribute` follows at once and ends what begins here.
    fn stage(&mut self, targets: &Targets, parts: &[Part], blocked: &mut Vec<usize>) -> Result<bool> {
        let large = large::is_large(parts);
        if large {
            self.arena.share();
        }
        let staged = self.stage_each(targets, parts, blocked);
        if staged != Ok(true) {
            for &slot in &targets.slots {
                if let Some(Some(pipe)) = self.pipes.get_mut(slot)
                    && let Out::Ring(ring) = &mut pipe.out
                {
                    ring.unstage(&mut self.stats);
                }
            }
            if large {
                self.arena.unshare();
            }
        }
        staged
    }

    fn stage_each(&mut self, targets: &Targets, parts: &[Part], blocked: &mut Vec<usize>) -> Result<bool> {
        let Core { pipes, starved, stats, .. } = self;
        // No reader learns of a segment before all have room.
        for step in [RingOut::stage, RingOut::announce_staged] {
            for &slot in &targets.slots {
                let Some(Some(pipe)) = pipes.get_mut(slot) else { continue };
                let Out::Ring(ring) = &mut pipe.out else { continue };
                match step(ring, parts, stats) {
                    // The peer is going: `distribute` sees that.
                    Write::Done | Write::Gone => {}
                    Write::Full | Write::Soon => {
                        *starved |= ring.is_starved();
                        blocked.push(slot);
                        return Ok(false);
                    }
                    Write::Failed(error) => return Err(error),
                }
            }
        }
        Ok(true)
    }

    /// Sends one frame whatever the high-water marks say: state of the protocol, not a user's message.
    /// A pipe without a connection gets nothing: what is state is sent whole when it comes up.
    pub fn write_state(&mut self, slot: usize, frames: &dyn Frames) -> Result<()> {
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return Ok(()) };
        let written = pipe.write_state(Outgoing::plain(frames), &mut self.scratch, &mut self.stats);
        match written {
            Write::Done | Write::Gone => Ok(()),
            // Full: there was neither room nor memory or an fd for more.
            failed => {
                // The next connection gets the whole state.
                if let Some(session) = &pipe.session {
                    session.kill("cannot send subscriptions");
                }
                let Write::Failed(error) = failed else {
                    return Err(Error::NoMemory("no larger ring for subscriptions".to_owned()));
                };
                Err(error)
            }
        }
    }
}
