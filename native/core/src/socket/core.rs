//! What every socket type is made of: pipes, an inbox, an outbox, options, counters.
//!
//! Everything here is reached under the socket's lock only.

use std::sync::Arc;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use shmzmq_shm::arena::Arena;
use shmzmq_shm::ring::Part;

use crate::context::log;
use crate::options::Options;
use crate::pipe::Pipe;
use crate::route::fq::Inbox;
use crate::route::lb::Outbox;
use crate::signaler::Signaler;
use crate::stats::Stats;

pub struct Core {
    /// By slot. A slot is the pipe's number in the ready words and is given out again.
    pub pipes: Vec<Option<Box<Pipe>>>,
    free: Vec<usize>,
    pub inbox: Inbox,
    pub outbox: Outbox,
    pub options: Options,
    pub stats: Stats,
    pub scratch: Vec<Part>,
    pub signaler: Arc<Signaler>,
    /// Where our large frames lie.
    pub arena: Arc<Arena>,
    /// Peers' large frames that this process holds.
    pub loans: Arc<AtomicU64>,
    /// A message was refused for want of memory: any pipe may go on when some comes back.
    pub starved: bool,
    /// A wait of `outbox.soon` is worth so long, if that is longer than for a ring.
    pub patience: Duration,
    /// Blocks that had come back when `alloc` last had to wait for one.
    pub seen_returned: u64,
    /// False if the last publish found its reader asleep: such a peer answers late.
    pub peer_awake: bool,
    /// A burst is being sent: what goes into a ring is published at its end, see `burst.rs`.
    pub burst: bool,
    /// Pipes whose rings hold something unpublished; empty outside a burst.
    pub unpublished: Vec<usize>,
    /// Pipes that ended during the current call; the socket detaches them when the type is done.
    pub ended: Vec<usize>,
}

// SAFETY: `scratch` holds pointers only between its filling and the end of the same call.
unsafe impl Send for Core {}

impl Core {
    pub fn new(options: Options, signaler: Arc<Signaler>) -> Core {
        Core {
            pipes: Vec::new(),
            free: Vec::new(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            options,
            stats: Stats::default(),
            scratch: Vec::new(),
            arena: Arena::new(Arc::new({
                let signaler = signaler.clone();
                move || signaler.mark_control()
            })),
            loans: Arc::default(),
            starved: false,
            seen_returned: u64::MAX,
            patience: Duration::ZERO,
            signaler,
            peer_awake: true,
            burst: false,
            unpublished: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub fn pipe(&mut self, slot: usize) -> Option<&mut Pipe> {
        self.pipes.get_mut(slot)?.as_deref_mut()
    }

    pub fn add_pipe(&mut self, endpoint: u64, connecter: bool) -> &mut Pipe {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.pipes.push(None);
            self.pipes.len() - 1
        });
        self.pipes[slot].insert(Box::new(Pipe::new(slot, endpoint, connecter)))
    }

    /// Forgets the pipe; what it still held is returned to be dropped or counted.
    pub fn remove_pipe(&mut self, slot: usize) -> Option<Box<Pipe>> {
        self.deactivate_in(slot);
        self.deactivate_out(slot);
        let pipe = self.pipes.get_mut(slot)?.take();
        if pipe.is_some() {
            self.free.push(slot);
        }
        pipe
    }

    /// The pipe has nothing more to give and will get nothing more.
    pub fn end(&mut self, slot: usize) {
        self.deactivate_in(slot);
        // Without a connection to come, a pipe that was read to its end is over; else it waits.
        if self.pipe(slot).is_none_or(|pipe| pipe.ending) {
            self.deactivate_out(slot);
            self.ended.push(slot);
        }
    }

    /// The peer broke the protocol: its connection ends, nothing else does.
    pub fn break_off(&mut self, slot: usize, why: &str) {
        self.deactivate_in(slot);
        self.deactivate_out(slot);
        self.inbox.more = false;
        self.stats.protocol_errors += 1;
        let stats = &mut self.stats;
        let Some(Some(pipe)) = self.pipes.get_mut(slot) else { return };
        if pipe.drop_dead_input() {
            // What a gone connection left is unreadable; the next one's ring, if any, is not touched.
            log("connection", format!("what a departed peer left cannot be read: {why}"));
            if pipe.ending && !pipe.has_input() {
                self.ended.push(slot);
            } else {
                self.activate_in(slot);
            }
            return;
        }
        pipe.poison(stats);
        if let Some(session) = &pipe.session {
            session.kill(why);
        }
    }

    /// The peer gives its place to another one: what it sent is still read, then it is neither read nor written, as a
    /// second peer of that id would be. Its connection stays, or it would come back and take the place again.
    pub fn supersede(&mut self, slot: usize) {
        self.deactivate_out(slot);
        self.activate_in(slot);
        if let Some(pipe) = self.pipe(slot) {
            pipe.sends = false;
            pipe.superseded = true;
        }
    }

    /// Some memory may have come back: every pipe may be written to again.
    #[cold]
    pub fn end_starvation(&mut self) {
        self.starved = false;
        for slot in 0..self.pipes.len() {
            self.activate_out(slot);
        }
    }

    /// Every pipe that is marked ready is looked at again. True if the socket itself was marked.
    pub fn take_ready(&mut self) -> bool {
        let signaler = self.signaler.clone();
        shmzmq_shm::ready::take(&signaler.page, |bit| {
            // Slots beyond the words' bits share them.
            let mut slot = bit;
            while slot < self.pipes.len() {
                self.activate_in(slot);
                self.activate_out(slot);
                slot += shmzmq_shm::ready::SLOTS;
            }
        })
    }
}
