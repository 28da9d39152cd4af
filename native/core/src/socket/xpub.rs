//! PUB and XPUB (RFC 29): every message to every peer that subscribed to what it begins with.
//!
//! Peers' subscriptions arrive in their upstream queues (xsub.rs says how) and are applied at the head
//! of the next call. An XPUB also hands them to its program: the first subscription and the last
//! cancellation of each topic, or all with XPUB_VERBOSE(R); with XPUB_MANUAL the program decides and
//! answers with SUBSCRIBE and UNSUBSCRIBE, which then count for the peer whose request it received last.
//!
//! A peer that has reached its high-water marks does without (counted); with XPUB_NODROP the send waits
//! until every matching peer takes the message, and sends it to all of them or to none.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::error::{Error, Result};
use crate::message::{Collect, Frames, Outgoing, Own, Payload, Sink};
use crate::options::{
    SUBSCRIBE, UNSUBSCRIBE, XPUB_MANUAL, XPUB_MANUAL_LAST_VALUE, XPUB_NODROP, XPUB_VERBOSE, XPUB_VERBOSER,
    XPUB_WELCOME_MSG,
};
use crate::pipe::Read;
use crate::pipe::overflow::Policy;
use crate::route::dist::Targets;
use crate::route::trie::Trie;
use crate::socket::core::Core;
use crate::socket::pattern::{Pattern, Setting, enlist};
use crate::socket::xsub::{CANCEL, SUBSCRIPTION, Upstream};
use crate::stats::Discard;

/// What one peer may subscribe to; beyond it the peer loses its connection.
const PEER_TOPICS_MAX: usize = 1_000_000;
const PEER_TOPIC_BYTES_MAX: usize = 64 << 20;
/// Announcements that may wait for the program; then the oldest go, because nobody reads them.
const PENDING_MAX: usize = 1_000_000;
const PENDING_BYTES_MAX: usize = 64 << 20;
/// Frames from one peer that one call takes; then others have their turn.
const FRAMES_PER_CALL: usize = 10_000;

type Topic = Box<[u8]>;

/// What one peer is subscribed to.
#[derive(Default)]
struct Peer {
    /// Listed in the trie.
    topics: HashSet<Topic>,
    /// XPUB_MANUAL: what it asked for, whatever the program made of it.
    asked: HashSet<Topic>,
    bytes: usize,
}

/// Something for the program to receive.
struct Pending {
    frame: Vec<u8>,
    more: bool,
    /// Whose request it is.
    slot: Option<usize>,
}

pub struct XPub {
    /// PUB: hands nothing out.
    mute: bool,
    topics: Trie<Vec<usize>>,
    peers: HashMap<usize, Peer>,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    targets: Targets,
    welcome: Vec<u8>,
    verbose_subscribe: bool,
    verbose_cancel: bool,
    nodrop: bool,
    manual: bool,
    last_value: bool,
    /// XPUB_MANUAL: the peer whose request the program received last.
    last: Option<usize>,
}

impl XPub {
    pub fn new(mute: bool) -> XPub {
        XPub {
            mute,
            topics: Trie::default(),
            peers: HashMap::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            targets: Targets::default(),
            welcome: Vec::new(),
            verbose_subscribe: false,
            verbose_cancel: false,
            nodrop: false,
            manual: false,
            last_value: false,
            last: None,
        }
    }

    // --- what comes from the peers -------------------------------------------------------------------

    /// Applies what has arrived. One comparison if nothing has.
    #[inline]
    fn take_upstream(&mut self, core: &mut Core) {
        // Each peer once, the last of the list first: one that floods holds up nobody else.
        let mut index = core.active_inputs().len();
        while index > 0 {
            index -= 1;
            if let Some(&slot) = core.active_inputs().get(index) {
                self.take_from(core, slot);
            }
        }
    }

    /// Takes what one peer sent. False: there is more.
    #[cold]
    fn take_from(&mut self, core: &mut Core, slot: usize) -> bool {
        let mut frame = Collect::default();
        let (mut first, mut looks) = (true, true);
        let mut count = 0;
        loop {
            match core.read_pipe(slot, &mut frame) {
                Read::Frame { more, .. } => {
                    count += 1;
                    let bytes = std::mem::take(&mut frame.bytes);
                    if first {
                        looks = core.options.only_first_subscribe == 0;
                    }
                    looks = self.on_frame(core, slot, bytes, more, first, looks);
                    first = !more;
                    if !more && count >= FRAMES_PER_CALL {
                        return false;
                    }
                }
                Read::Empty if core.rest_input(slot) => return true,
                Read::Empty => {}
                Read::Ended => {
                    core.end(slot);
                    return true;
                }
                Read::Broken(why) => {
                    if !first && !self.mute {
                        // The rest will not come, and nobody else's frames must take its place.
                        self.announce(core, Pending { frame: Vec::new(), more: false, slot: None });
                    }
                    core.break_off(slot, &why);
                    return true;
                }
                Read::NoRoom => return true,
            }
        }
    }

    /// One frame of an upstream message. True: the frames after it may be subscriptions too.
    fn on_frame(
        &mut self,
        core: &mut Core,
        slot: usize,
        frame: Vec<u8>,
        more: bool,
        first: bool,
        looks: bool,
    ) -> bool {
        match Upstream::of(&frame) {
            Upstream::Subscribe(topic) if first || looks => self.on_subscribe(core, slot, topic),
            Upstream::Cancel(topic) if first || looks => self.on_cancel(core, slot, topic),
            _ => {
                if !self.mute {
                    self.announce(core, Pending { frame, more, slot: None });
                }
                return looks;
            }
        }
        true
    }

    fn on_subscribe(&mut self, core: &mut Core, slot: usize, topic: &[u8]) {
        let Some(peer) = self.peers.get_mut(&slot) else { return };
        let topics = peer.topics.len().max(peer.asked.len());
        if topics >= PEER_TOPICS_MAX || peer.bytes + topic.len() > PEER_TOPIC_BYTES_MAX {
            core.break_off(slot, "peer has subscribed to too many topics");
            return;
        }
        if self.manual {
            if peer.asked.insert(topic.into()) {
                peer.bytes += topic.len();
            }
            self.notify(core, SUBSCRIPTION, topic, Some(slot));
        } else if (self.add(slot, topic) || self.verbose_subscribe) && !self.mute {
            self.notify(core, SUBSCRIPTION, topic, Some(slot));
        }
    }

    fn on_cancel(&mut self, core: &mut Core, slot: usize, topic: &[u8]) {
        if self.manual {
            if let Some(peer) = self.peers.get_mut(&slot)
                && peer.asked.remove(topic)
            {
                peer.bytes -= topic.len();
            }
            self.notify(core, CANCEL, topic, Some(slot));
        } else if (self.remove(slot, topic) || self.verbose_cancel) && !self.mute {
            self.notify(core, CANCEL, topic, Some(slot));
        }
    }

    /// True if it is the first subscription to that topic.
    fn add(&mut self, slot: usize, topic: &[u8]) -> bool {
        let Some(peer) = self.peers.get_mut(&slot) else { return false };
        if !peer.topics.insert(topic.into()) {
            return false;
        }
        peer.bytes += topic.len();
        let (slots, new) = self.topics.entry(topic);
        slots.push(slot);
        new
    }

    /// True unless others are still subscribed to that topic.
    fn remove(&mut self, slot: usize, topic: &[u8]) -> bool {
        if let Some(peer) = self.peers.get_mut(&slot)
            && peer.topics.remove(topic)
        {
            peer.bytes -= topic.len();
            return self.strike(slot, topic);
        }
        self.topics.get_mut(topic).is_none()
    }

    /// Takes the peer from the topic's list. True: nobody is left in it.
    fn strike(&mut self, slot: usize, topic: &[u8]) -> bool {
        let Some(slots) = self.topics.get_mut(topic) else { return true };
        slots.retain(|other| *other != slot);
        let gone = slots.is_empty();
        if gone {
            self.topics.remove(topic);
        }
        gone
    }

    /// The peer is gone: so are its subscriptions, and the program hears of it.
    fn forget(&mut self, core: &mut Core, slot: usize) {
        let Some(peer) = self.peers.remove(&slot) else { return };
        if self.last == Some(slot) {
            self.last = None;
        }
        for pending in &mut self.pending {
            pending.slot = pending.slot.filter(|of| *of != slot);
        }
        // In their order, in which neighbours in the tree follow each other: everybody waits for this.
        let mut topics: Vec<Topic> = peer.topics.into_iter().collect();
        topics.sort_unstable();
        for topic in topics {
            let gone = self.strike(slot, &topic);
            if !self.manual && !self.mute && (gone || self.verbose_cancel) {
                self.notify(core, CANCEL, &topic, None);
            }
        }
        if self.manual {
            for topic in peer.asked {
                self.notify(core, CANCEL, &topic, None);
            }
        }
    }

    // --- what goes to the program --------------------------------------------------------------------

    fn notify(&mut self, core: &mut Core, kind: u8, topic: &[u8], slot: Option<usize>) {
        let frame = [&[kind], topic].concat();
        self.announce(core, Pending { frame, more: false, slot });
    }

    fn announce(&mut self, core: &mut Core, pending: Pending) {
        if self.mute {
            return;
        }
        self.pending_bytes += pending.frame.len();
        self.pending.push_back(pending);
        while self.pending.len() > PENDING_MAX || self.pending_bytes > PENDING_BYTES_MAX {
            let Some(oldest) = self.pending.pop_front() else { return };
            self.pending_bytes -= oldest.frame.len();
            core.stats.discard(Discard::Notification, 1);
        }
    }

    // --- what goes to the peers ----------------------------------------------------------------------

    fn choose(&mut self, core: &Core, message: &[u8]) {
        let XPub { targets, topics, .. } = self;
        let only = if self.manual && self.last_value { self.last } else { None };
        targets.clear();
        topics.matching(message, |slots| {
            match only {
                Some(only) if slots.contains(&only) => targets.add(only),
                Some(_) => {}
                None => slots.iter().for_each(|slot| targets.add(*slot)),
            }
            true
        });
        if core.options.invert_matching != 0 {
            targets.invert(self.peers.keys().copied());
        }
    }

    fn answer(&mut self, number: i32, topic: &[u8]) -> Result<()> {
        if !self.manual {
            return Err(Error::Invalid("SUBSCRIBE on a publisher needs XPUB_MANUAL".to_owned()));
        }
        if let Some(slot) = self.last {
            if number == SUBSCRIBE {
                self.add(slot, topic);
            } else {
                self.remove(slot, topic);
            }
        }
        Ok(())
    }
}

impl Pattern for XPub {
    fn attach(&mut self, core: &mut Core, slot: usize) -> bool {
        self.peers.entry(slot).or_default();
        enlist(core, slot, true, true);
        if !self.welcome.is_empty() {
            let welcome = Own::new(self.welcome.clone());
            let _ = core.write_to(slot, Outgoing::plain(&welcome), false);
        }
        true
    }

    fn lost(&mut self, core: &mut Core, slot: usize) {
        // What it sent before it went is applied first, in order.
        while !self.take_from(core, slot) {}
        self.forget(core, slot);
    }

    fn detach(&mut self, core: &mut Core, slot: usize) {
        self.forget(core, slot);
    }

    fn admit(&mut self, _core: &mut Core, _first: &[u8]) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn send(&mut self, core: &mut Core, frames: &dyn Frames, patient: bool) -> Result<()> {
        self.take_upstream(core);
        let Some(first) = frames.parts().first() else { return Ok(()) };
        // SAFETY: the caller keeps its parts readable during the call.
        let first = unsafe { std::slice::from_raw_parts(first.at, first.len) };
        self.choose(core, first);
        let lossless = self.nodrop || core.options.policy() == Policy::Block;
        if lossless && !core.all_ready(&self.targets, frames, patient)? {
            return Err(Error::Again);
        }
        if self.last_value {
            self.last = None;
        }
        core.distribute(&self.targets, frames)
    }

    fn recv(&mut self, core: &mut Core, sink: &mut dyn Sink) -> Result<()> {
        if self.mute {
            return Err(Error::NotSupported);
        }
        self.take_upstream(core);
        let pending = self.pending.pop_front().ok_or(Error::Again)?;
        self.pending_bytes -= pending.frame.len();
        if self.manual {
            self.last = pending.slot;
        }
        core.inbox.more = pending.more;
        core.stats.messages_received += u64::from(!pending.more);
        core.stats.bytes_received += pending.frame.len() as u64;
        sink.owned(Payload::from(pending.frame), pending.more);
        Ok(())
    }

    fn sleep_output(&mut self, core: &mut Core) -> bool {
        core.sleep_blocked()
    }

    fn configure(&mut self, _core: &mut Core, number: i32, setting: Setting<'_>) -> Result<()> {
        match (number, setting) {
            (XPUB_VERBOSE, Setting::Number(value)) => {
                (self.verbose_subscribe, self.verbose_cancel) = (value != 0, false);
            }
            (XPUB_VERBOSER, Setting::Number(value)) => {
                (self.verbose_subscribe, self.verbose_cancel) = (value != 0, value != 0);
            }
            (XPUB_NODROP, Setting::Number(value)) => self.nodrop = value != 0,
            (XPUB_MANUAL, Setting::Number(value)) => self.manual = value != 0,
            (XPUB_MANUAL_LAST_VALUE, Setting::Number(value)) => {
                (self.manual, self.last_value) = (value != 0, value != 0);
            }
            (XPUB_WELCOME_MSG, Setting::Bytes(message)) => self.welcome = message.to_vec(),
            (SUBSCRIBE | UNSUBSCRIBE, Setting::Bytes(topic)) => return self.answer(number, topic),
            _ => return Err(Error::Invalid(format!("option {number} is not for this socket type"))),
        }
        Ok(())
    }

    fn topics(&mut self, core: &mut Core) -> usize {
        self.take_upstream(core);
        self.topics.len()
    }

    fn can_send(&mut self, core: &mut Core) -> bool {
        self.take_upstream(core);
        true
    }

    fn can_recv(&mut self, core: &mut Core) -> bool {
        self.take_upstream(core);
        !self.mute && !self.pending.is_empty()
    }
}
