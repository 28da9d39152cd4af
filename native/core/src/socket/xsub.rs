//! SUB and XSUB (RFC 29): receive what is published, fairly, and say upstream what to publish.
//!
//! **Subscriptions are state, not messages.** The set lives here. A new or cancelled subscription is
//! written to every live connection whatever the high-water marks say, in the order of the calls. Before
//! a pipe's first connection they are queued in it in that order; every later connection gets the whole
//! set first of all. So none is lost, however many there are and however often the publisher comes back
//! (docs/design/decisions/0007).
//!
//! Upstream they travel as what ZMTP 3.0 calls subscription messages: one frame, 1 (subscribe) or
//! 0 (cancel) and the topic; an XSUB's program writes them itself, among messages of its own.
//!
//! SUB filters again what it receives: a publisher may have sent before it heard of a cancellation.

use std::collections::VecDeque;

use shmzmq_shm::table::Table;

use crate::error::{Error, Result};
use crate::message::{Frames, Message, Outgoing, Own, Payload, Sink};
use crate::options::{SUBSCRIBE, UNSUBSCRIBE};
use crate::pipe::ring::Limits;
use crate::pipe::{Out, Write, overflow};
use crate::route::trie::Trie;
use crate::socket::core::Core;
use crate::socket::pattern::{DROPS_PER_CALL, Pattern, Setting, enlist};
use crate::stats::Discard;

pub const CANCEL: u8 = 0;
pub const SUBSCRIPTION: u8 = 1;
/// Requests and messages that a pipe without a first connection keeps in their order.
const FRESH_MAX: usize = 10_000;

fn request(kind: u8, topic: &[u8]) -> Own {
    Own::new([&[kind], topic].concat())
}

/// What a frame that goes upstream is.
pub enum Upstream<'a> {
    Subscribe(&'a [u8]),
    Cancel(&'a [u8]),
    User,
}

impl<'a> Upstream<'a> {
    pub fn of(frame: &'a [u8]) -> Self {
        match frame.split_first() {
            Some((&SUBSCRIPTION, topic)) => Upstream::Subscribe(topic),
            Some((&CANCEL, topic)) => Upstream::Cancel(topic),
            _ => Upstream::User,
        }
    }
}

pub struct XSub {
    /// SUB: filters what it receives, sends nothing of the user's.
    filters: bool,
    /// How often each topic was subscribed to.
    topics: Trie<u32>,
    /// The beginning of the message at hand.
    front: Vec<u8>,
    /// Pipes that never had a connection: their queues hold every request so far.
    fresh: Table<usize, ()>,
}

impl XSub {
    pub fn new(filters: bool) -> XSub {
        XSub { filters, topics: Trie::default(), front: Vec::new(), fresh: Table::default() }
    }

    fn subscribe(&mut self, topic: &[u8]) {
        *self.topics.entry(topic).0 += 1;
    }

    /// True if it was the last subscription of that topic.
    fn cancel(&mut self, topic: &[u8]) -> bool {
        let Some(count) = self.topics.get_mut(topic) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.topics.remove(topic);
        }
        last
    }

    /// Applies every subscription in the message. Does it go upstream, and is there one among it?
    fn apply(&mut self, core: &Core, frames: &dyn Frames) -> (bool, bool) {
        let (mut goes, mut state) = (false, false);
        let mut looks = true;
        for (index, part) in frames.parts().iter().enumerate() {
            if !looks && index > 0 {
                goes = true;
                continue;
            }
            // SAFETY: the caller of a send keeps its parts readable during the call.
            let frame = unsafe { std::slice::from_raw_parts(part.at, part.len) };
            match Upstream::of(frame) {
                Upstream::Subscribe(topic) => {
                    self.subscribe(topic);
                    (goes, state) = (true, true);
                }
                Upstream::Cancel(topic) => {
                    let last = self.cancel(topic);
                    goes |= last;
                    state |= last;
                }
                Upstream::User => {
                    goes = true;
                    looks &= index > 0 || core.options.only_first_subscribe == 0;
                }
            }
        }
        (goes, state)
    }

    /// Writes to every peer: state without fail, anything else as its high-water marks allow.
    fn send_upstream(&mut self, core: &mut Core, frames: &dyn Frames, state: bool) -> Result<()> {
        let mut sent = Ok(());
        for slot in 0..core.pipes.len() {
            if core.pipe(slot).is_none_or(|pipe| !pipe.sends) {
                continue;
            }
            if state && self.fresh.contains_key(&slot) {
                self.queue_request(core, slot, frames);
            } else if state {
                sent = sent.and(core.write_state(slot, frames));
            } else if let Write::Full | Write::Soon = core.write_to(slot, Outgoing::plain(frames), false) {
                core.stats.discard(Discard::HighWater, 1);
            }
        }
        sent
    }

    /// No connection was there yet: the request waits in its place among the messages. A program that
    /// subscribes and cancels without end while nobody listens costs no more than the set in the end.
    fn queue_request(&mut self, core: &mut Core, slot: usize, frames: &dyn Frames) {
        let Some(pipe) = core.pipe(slot) else { return };
        let Out::Queue(queue) = &mut pipe.out else { return };
        let queued = overflow::push(queue, Outgoing::plain(frames), &Limits::NONE);
        if queued.is_err() || queue.len() > FRESH_MAX + 2 * self.topics.len() {
            queue.retain(|message| self.keeps(message));
            self.fresh.remove(&slot);
        }
    }

    /// The whole set, to a connection that came up.
    fn introduce(&self, core: &mut Core, slot: usize) {
        let Some(pipe) = core.pipe(slot) else { return };
        if let Out::Queue(queue) = &mut pipe.out {
            // Before what an XSUB's program has sent meanwhile.
            let mut all = VecDeque::with_capacity(self.topics.len() + queue.len());
            self.topics.each(|topic| {
                let first = Payload::from([&[SUBSCRIPTION], topic].concat());
                all.push_back(Message { first, rest: Vec::new() });
            });
            all.append(queue);
            *queue = all;
            return;
        }
        let mut sent = Ok(());
        self.topics.each(|topic| {
            if sent.is_ok() {
                sent = core.write_state(slot, &request(SUBSCRIPTION, topic));
            }
        });
    }

    fn wants(&mut self, core: &mut Core, slot: usize) -> bool {
        let longest = self.topics.longest();
        if let Some(pipe) = core.pipe(slot) {
            pipe.front(longest, &mut self.front);
        }
        self.topics.matches(&self.front) != (core.options.invert_matching != 0)
    }

    /// Turns to a pipe whose next message was subscribed to; drops those that were not. False: there is none,
    /// or it is behind more than one call drops.
    fn turn_to_wanted(&mut self, core: &mut Core) -> bool {
        for _ in 0..DROPS_PER_CALL {
            let Some(slot) = core.settle_on_input() else { return false };
            if core.inbox.more || self.wants(core, slot) {
                return true;
            }
            core.drop_message();
        }
        false
    }

    fn takes_all(&self, core: &Core) -> bool {
        !self.filters || (self.topics.root().is_some() && core.options.invert_matching == 0)
    }
}

impl Pattern for XSub {
    fn connecting(&mut self, core: &mut Core, slot: usize) {
        enlist(core, slot, true, true);
        self.introduce(core, slot);
        self.fresh.insert(slot, ());
    }

    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        enlist(core, slot, true, true);
        if self.fresh.remove(&slot).is_none() {
            self.introduce(core, slot);
        }
        true
    }

    fn detach(&mut self, _core: &mut Core, slot: usize) {
        self.fresh.remove(&slot);
    }

    fn keeps(&self, message: &Message) -> bool {
        // The next connection gets the set as it is then.
        matches!(Upstream::of(message.first.bytes()), Upstream::User)
    }

    fn admit(&mut self, _core: &mut Core, _first: &[u8]) -> Result<()> {
        if self.filters { Err(Error::NotSupported) } else { Ok(()) }
    }

    fn send(&mut self, core: &mut Core, frames: &dyn Frames, _patient: bool) -> Result<()> {
        self.admit(core, &[])?;
        let (goes, state) = self.apply(core, frames);
        if goes { self.send_upstream(core, frames, state) } else { Ok(()) }
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        if !core.inbox.more && !self.takes_all(core) && !self.turn_to_wanted(core) {
            return Err(Error::Again);
        }
        core.recv_fair(sink).map(|_| ())
    }

    fn configure(&mut self, core: &mut Core, number: i32, setting: Setting<'_>) -> Result<()> {
        match (number, setting) {
            (SUBSCRIBE, Setting::Bytes(topic)) if self.filters => {
                self.subscribe(topic);
                self.send_upstream(core, &request(SUBSCRIPTION, topic), true)
            }
            (UNSUBSCRIBE, Setting::Bytes(topic)) if self.filters => {
                if self.cancel(topic) {
                    return self.send_upstream(core, &request(CANCEL, topic), true);
                }
                Ok(())
            }
            _ => Err(Error::Invalid(format!("option {number} is not for this socket type"))),
        }
    }

    fn topics(&mut self, _core: &mut Core) -> usize {
        self.topics.len()
    }

    fn can_send(&mut self, _core: &mut Core) -> bool {
        !self.filters
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        if core.inbox.more || self.takes_all(core) { core.has_input() } else { self.turn_to_wanted(core) }
    }
}
