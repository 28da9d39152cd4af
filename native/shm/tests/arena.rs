//! Arenas against a model: whatever owner and peers do, a block is nobody else's until all let go of it.
//!
//! Memory is real: sealed segments, a pipe segment per peer, and the peers' private maps through which every
//! block is looked at after every step. The budget is one per process, so the tests take turns.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proptest::prelude::*;
use shmzmq_shm::arena::{Arena, Block, Holdings, Look, PeerId, Short, Usage};
use shmzmq_shm::budget;
use shmzmq_shm::part::Described;
use shmzmq_shm::private::PrivateMap;
use shmzmq_shm::returns::{self, BLOCKS};
use shmzmq_shm::segment::{MappedReturns, PipeSegment};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const RING: usize = 4096;
/// More looks than an unused arena needs to be empty.
const LOOKS: usize = 64;

/// Turns of tests that ask for the budget; it is without a limit at the beginning of each.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    budget::set_max(u64::MAX);
    turn
}

fn quiet() -> Arc<Arena> {
    Arena::new(Arc::new(|| {}))
}

/// An arena, and how often it woke its owner.
fn counted() -> (Arc<Arena>, Arc<AtomicU64>) {
    let woken = Arc::new(AtomicU64::new(0));
    let count = woken.clone();
    (Arena::new(Arc::new(move || _ = count.fetch_add(1, Ordering::SeqCst))), woken)
}

/// The owner's name of a new peer, and the peer's words.
fn join(arena: &Arena) -> (PeerId, MappedReturns) {
    let (fd, ours) = PipeSegment::create(RING).unwrap();
    let theirs = PipeSegment::attach(fd.as_fd(), RING as u64).unwrap();
    (arena.join(ours.returns(0)), theirs.returns(0))
}

fn view(arena: &Arena, segment: u32) -> Arc<PrivateMap> {
    arena.announce(segment, |fd, bytes| PrivateMap::attach(fd, bytes).unwrap()).expect("a live segment")
}

/// Where in a block the stamp is: at each of so many bytes, and at its end.
const STAMP_BYTES: usize = 2048;

fn stamps(room: usize) -> impl Iterator<Item = usize> {
    (0..room - 8).step_by(STAMP_BYTES).chain([room - 8])
}

fn write_stamp(block: &Block, stamp: u64) {
    for at in stamps(block.room()) {
        // SAFETY: inside the block, which is this test's alone.
        unsafe { block.at().add(at).cast::<u64>().write_unaligned(stamp ^ at as u64) };
    }
}

/// # Safety
/// `room` bytes are readable at `at`.
unsafe fn has_stamp(at: *const u8, room: usize, stamp: u64) -> bool {
    // SAFETY: the caller vouches for the range.
    stamps(room)
        .all(|offset| unsafe { at.add(offset).cast::<u64>().read_unaligned() } == stamp ^ offset as u64)
}

fn empty(arena: &Arena) {
    let emptied = (0..LOOKS).any(|_| arena.look() == Look::Empty);
    assert!(emptied, "an arena that nobody uses keeps {:?}", arena.holdings());
    assert_eq!((arena.holdings().bytes, budget::used()), (0, 0));
}

// --- the model ---------------------------------------------------------------------------------------------

/// A block that somebody has.
struct Live {
    segment: u32,
    at: usize,
    room: u64,
    stamp: u64,
    /// Handles of the program; those that are staged come on top.
    handles: Vec<Arc<Block>>,
    staged: usize,
    described: Option<Described>,
    usage: Usage,
}

impl Live {
    fn is_held(&self) -> bool {
        !self.handles.is_empty() || self.staged > 0
    }
}

struct Peer {
    id: PeerId,
    words: MappedReturns,
    left: bool,
    has: BTreeSet<usize>,
    /// Came back while it was known to the arena.
    returned: u64,
}

struct Model {
    arena: Arc<Arena>,
    max: u64,
    shm_max: u64,
    live: BTreeMap<usize, Live>,
    peers: Vec<Peer>,
    views: BTreeMap<u32, Arc<PrivateMap>>,
    /// Segments that were seen, and whether they are still there.
    segments: BTreeMap<u32, bool>,
    /// Descriptors and uses of blocks that nobody has any more.
    stale: Vec<Described>,
    over: Vec<Usage>,
    next: u64,
    shares: bool,
}

impl Model {
    fn new() -> Model {
        let mut model = Model {
            arena: quiet(),
            max: 0,
            shm_max: u64::MAX,
            live: BTreeMap::new(),
            peers: Vec::new(),
            views: BTreeMap::new(),
            segments: BTreeMap::new(),
            stale: Vec::new(),
            over: Vec::new(),
            next: 0,
            shares: false,
        };
        (0..3).for_each(|_| model.join());
        model
    }

    fn join(&mut self) {
        let (id, words) = join(&self.arena);
        self.peers.push(Peer { id, words, left: false, has: BTreeSet::new(), returned: 0 });
    }

    fn limit(&self) -> u64 {
        if self.max == 0 { self.shm_max } else { self.max.min(self.shm_max) }
    }

    fn used(&self) -> u64 {
        self.live.values().map(|live| live.room).sum()
    }

    fn lent(&self, block: usize) -> usize {
        self.peers.iter().filter(|peer| peer.has.contains(&block)).count()
    }

    fn pick_held(&self, number: u32) -> Option<usize> {
        let held: Vec<usize> =
            self.live.iter().filter(|(_, live)| !live.handles.is_empty()).map(|(id, _)| *id).collect();
        held.get(number as usize % held.len().max(1)).copied()
    }

    /// Forgets a block that nobody has any more.
    fn settle(&mut self, block: usize) {
        if self.lent(block) == 0 && !self.live[&block].is_held() {
            let live = self.live.remove(&block).unwrap();
            self.stale.extend(live.described);
            self.over.push(live.usage);
        }
    }

    /// Bytes of the segments in which somebody has a block.
    fn pinned(&self) -> u64 {
        let pinned: BTreeSet<u32> = self.live.values().map(|live| live.segment).collect();
        pinned.iter().map(|segment| self.arena.announce(*segment, |_, bytes| bytes as u64).unwrap()).sum()
    }

    fn alloc(&mut self, len: u64) {
        let wanted = smallest_room(len);
        let fits = self.pinned() + wanted <= self.limit();
        match self.arena.alloc(len as usize) {
            Ok(block) => self.accept(block, len),
            Err(Short::Wait) => {
                assert!(!fits, "{wanted} bytes would have fitted");
                assert!(!self.live.is_empty(), "nobody has anything for which to wait");
                assert!(wanted <= self.limit(), "waiting for more than may ever be there");
            }
            Err(Short::Never(why)) => {
                assert!(!fits, "{wanted} bytes would have fitted: {why}");
                assert!(
                    self.live.is_empty() || wanted > self.limit(),
                    "what others have will come back: {why}"
                );
            }
            Err(Short::Numbers) => panic!("{} blocks are out", self.live.len()),
        }
    }

    fn accept(&mut self, block: Arc<Block>, len: u64) {
        assert!(block.room() as u64 >= len);
        let (at, room) = (block.at() as usize, block.room());
        for live in self.live.values() {
            let apart = at + room <= live.at || live.at + live.room as usize <= at;
            assert!(apart, "a block that somebody has was given out again");
        }
        let segment = block.segment();
        match self.segments.get(&segment) {
            Some(there) => assert!(there, "the number of segment {segment} was used again"),
            None => {
                let last = self.segments.keys().next_back().copied().unwrap_or(0);
                assert!(segment > last, "segment {segment} after {last}");
                self.segments.insert(segment, true);
            }
        }
        self.next += 1;
        write_stamp(&block, self.next);
        let live = Live {
            segment,
            at,
            room: room as u64,
            stamp: self.next,
            usage: block.usage(),
            handles: vec![block],
            staged: 0,
            described: None,
        };
        self.live.insert(self.next as usize, live);
    }

    fn lend(&mut self, block: usize, peer: usize, len: u64) {
        let handle = self.live[&block].handles[0].clone();
        let len = len.min(handle.room() as u64);
        let has = self.peers[peer].has.contains(&block);
        assert_eq!(self.arena.may_name(self.peers[peer].id, &handle), !has);
        let described = self.arena.lend(self.peers[peer].id, &handle, len as usize);
        assert_eq!(described.is_some(), !has, "a block is lent to a peer once at a time");
        let Some(described) = described else { return };
        let live = self.live.get_mut(&block).unwrap();
        assert_eq!((described.segment, described.len), (live.segment, len));
        assert!(described.block < BLOCKS && described.offset % 4096 == 0);
        let view = self.views.entry(live.segment).or_insert_with(|| view(&self.arena, described.segment));
        assert!(described.offset + live.room <= view.len() as u64);
        // Names the whole block, for looks and for revivals.
        live.described = Some(Described { len: live.room, ..described });
        self.peers[peer].has.insert(block);
    }

    fn give_back(&mut self, peer: usize, number: u32) {
        let peer = &mut self.peers[peer];
        let Some(block) = peer.has.iter().nth(number as usize % peer.has.len().max(1)).copied() else {
            return;
        };
        peer.has.remove(&block);
        peer.returned += 1;
        returns::give(&peer.words, self.live[&block].described.unwrap().block);
        self.settle(block);
    }

    /// A peer says that it gives back what it does not have.
    fn lie(&self, peer: usize) {
        let peer = &self.peers[peer];
        // A lie of a peer that has nothing is not looked at, and may spoil what it gets later: for itself.
        if peer.has.is_empty() {
            return;
        }
        let has: BTreeSet<u32> = peer.has.iter().map(|id| self.live[id].described.unwrap().block).collect();
        (0..BLOCKS)
            .filter(|block| !has.contains(block))
            .for_each(|block| _ = returns::give(&peer.words, block));
        self.arena.holdings();
    }

    fn leave(&mut self, peer: usize) {
        let row = &mut self.peers[peer];
        let had = !row.has.is_empty();
        if row.left {
            return;
        }
        assert_eq!(self.arena.leave(row.id), had);
        row.left = true;
        self.join();
    }

    fn reclaim(&mut self, peer: usize) {
        let row = self.peers.remove(peer);
        self.arena.reclaim(row.id);
        row.has.iter().for_each(|block| self.settle(*block));
        if !row.left {
            self.join();
        }
    }

    /// What a reader that is gone had not read goes to another.
    fn revive(&mut self, peer: usize, number: u32) {
        let row = &self.peers[peer];
        let Some(block) = row.has.iter().nth(number as usize % row.has.len().max(1)).copied() else { return };
        let live = &self.live[&block];
        let described = live.described.unwrap();
        let longer = Described { len: live.room + 1, ..described };
        let elsewhere = Described { offset: described.offset + 4096, ..described };
        let no_segment = Described { segment: described.segment + 1000, ..described };
        let no_block = Described { block: BLOCKS, ..described };
        for false_one in [longer, elsewhere, no_segment, no_block] {
            assert!(self.arena.revive(row.id, false_one).is_none(), "{false_one:?} of {described:?}");
            assert_eq!(self.arena.copy(row.id, false_one), None, "{false_one:?} of {described:?}");
        }
        let revived = self.arena.revive(row.id, described).expect("a lent block can be had again");
        assert_eq!(revived.at() as usize, live.at);
        let copied = self.arena.copy(row.id, described).expect("a lent block can be copied");
        // SAFETY: the copy's own bytes.
        assert!(unsafe { has_stamp(copied.as_ptr(), copied.len(), live.stamp) });
        self.live.get_mut(&block).unwrap().handles.push(revived);
    }

    /// What a peer does not have is not revived for it, whoever has it.
    fn expect_no_false_revival(&self, peer: usize) {
        let row = &self.peers[peer];
        let others = self.live.iter().filter(|(id, _)| !row.has.contains(id));
        let had: BTreeSet<u32> =
            row.has.iter().filter_map(|id| self.live[id].described).map(|it| it.block).collect();
        for described in others.filter_map(|(_, live)| live.described).chain(self.stale.iter().copied()) {
            if !had.contains(&described.block) {
                assert!(self.arena.revive(row.id, described).is_none(), "{described:?}");
                assert_eq!(self.arena.copy(row.id, described), None, "{described:?}");
            }
        }
    }

    fn expect_may_lend(&self, peer: usize, len: u64) {
        let row = &self.peers[peer];
        let held: u64 = row.has.iter().map(|id| self.live[id].room).sum();
        let (count, bytes, returned) = self.arena.lent_to(row.id);
        if row.left && row.has.is_empty() {
            assert_eq!((count, bytes, returned), (0, 0, 0), "a peer that left without anything is forgotten");
        } else {
            assert_eq!((count, bytes, returned), (row.has.len(), held, row.returned));
        }
        // Others' share of the budget counts, free blocks of this arena do not.
        let others = budget::used() - self.arena.holdings().bytes;
        let used = self.used() + if self.max == 0 { others } else { 0 };
        let left = self.limit().saturating_sub(used);
        let may = held == 0 || held + smallest_room(len) <= left.saturating_mul(2);
        assert_eq!(self.arena.may_lend(row.id, len as usize), may, "{held} held, {left} left");
    }

    fn stage(&mut self, block: usize) {
        let live = self.live.get_mut(&block).unwrap();
        let handle = &live.handles[0];
        self.arena.stage(block, live.at as *const u8, handle);
        let found = self.arena.staged(block, live.at as *const u8);
        assert_eq!(found.is_some(), self.shares);
        assert!(found.is_none_or(|found| Arc::ptr_eq(&found, handle)));
        assert!(self.arena.staged(block, std::ptr::null()).is_none());
        live.staged += usize::from(self.shares);
    }

    fn unshare(&mut self) {
        self.arena.unshare();
        self.shares = false;
        for block in self.live.keys().copied().collect::<Vec<_>>() {
            self.live.get_mut(&block).unwrap().staged = 0;
            self.settle(block);
        }
    }

    fn step(&mut self, step: Step) {
        let Step { what, a, b } = step;
        let peer = a as usize % self.peers.len();
        let before = self.arena.holdings().bytes;
        match what {
            What::Alloc => self.alloc(length(a)),
            What::Clone => {
                if let Some(live) = self.pick_held(a).and_then(|block| self.live.get_mut(&block)) {
                    live.handles.push(live.handles[0].clone());
                }
            }
            What::Drop => {
                if let Some(block) = self.pick_held(a) {
                    self.live.get_mut(&block).unwrap().handles.pop();
                    self.settle(block);
                }
            }
            What::Lend => {
                if let Some(block) = self.pick_held(b).filter(|_| !self.peers[peer].left) {
                    self.lend(block, peer, u64::from(a ^ b));
                }
            }
            What::GiveBack => self.give_back(peer, b),
            What::Lie => self.lie(peer),
            What::Leave => self.leave(peer),
            What::Reclaim => self.reclaim(peer),
            What::Revive => {
                self.revive(peer, b);
                self.expect_no_false_revival(peer);
            }
            What::Look => _ = self.arena.look(),
            What::ArenaMax => {
                self.max = [0, 0, MIB, 3 * MIB, 300 * KIB][a as usize % 5];
                self.arena.set_max(self.max);
            }
            What::ShmMax => {
                self.shm_max = [u64::MAX, u64::MAX, 2 * MIB, MIB][a as usize % 4];
                budget::set_max(self.shm_max);
            }
            What::MayLend => self.expect_may_lend(peer, length(b)),
            What::Share => {
                self.arena.share();
                self.shares = true;
            }
            What::Stage => {
                if let Some(block) = self.pick_held(b) {
                    self.stage(block);
                }
            }
            What::Unshare => self.unshare(),
        }
        self.check(before);
    }

    fn check(&mut self, before: u64) {
        let Holdings { bytes, lent, grown } = self.arena.holdings();
        assert_eq!(lent, self.live.keys().filter(|block| self.lent(**block) > 0).count() as u64);
        assert!(grown >= self.segments.len() as u64);
        assert!(bytes <= self.limit().max(before), "{bytes} bytes, {} are allowed", self.limit());
        assert_eq!(budget::used(), bytes);
        // Only the newest are unknown: one alloc makes one segment at most.
        let sizes = (1..=grown as u32).filter_map(|number| {
            let size = self.arena.announce(number, |_, size| size as u64);
            assert_eq!(size.is_some(), self.arena.has_segment(number));
            let there = self.segments.entry(number).or_insert(true);
            assert!(*there || size.is_none(), "segment {number} came back");
            *there = size.is_some();
            size
        });
        assert_eq!(sizes.sum::<u64>(), bytes);
        for (block, live) in &self.live {
            assert!(self.arena.has_segment(live.segment), "segment {} has a block in use", live.segment);
            // SAFETY: the block is in use, so its segment is mapped.
            assert!(unsafe { has_stamp(live.at as *const u8, live.room as usize, live.stamp) });
            if let Some(described) = live.described.filter(|_| self.lent(*block) > 0) {
                let view = &self.views[&live.segment];
                // SAFETY: inside the view, as `lend` asserted.
                let seen = unsafe {
                    has_stamp(view.at().add(described.offset as usize), live.room as usize, live.stamp)
                };
                assert!(seen, "a reader sees other bytes than were written for it");
            }
            assert!(!live.usage.is_over());
        }
        assert!(self.over.iter().all(Usage::is_over));
        self.views.retain(|segment, _| self.arena.has_segment(*segment));
    }

    fn end(mut self) {
        self.unshare();
        for live in self.live.values_mut() {
            live.handles.clear();
        }
        for peer in 0..self.peers.len() {
            while !self.peers[peer].has.is_empty() {
                self.give_back(peer, 0);
            }
        }
        empty(&self.arena);
    }
}

/// Room of the smallest block for `len` bytes: 2 to the k, or that and a half, times 8 KiB.
fn smallest_room(len: u64) -> u64 {
    let powers = (0..30).map(|power| (8 * KIB) << power);
    let sizes = powers.flat_map(|bytes| [bytes, bytes / 2 * 3]);
    sizes.filter(|bytes| *bytes >= len).min().unwrap()
}

fn length(number: u32) -> u64 {
    let number = u64::from(number);
    match number % 8 {
        0 => number / 8 % 3,
        1..5 => number % (20 * KIB),
        5 | 6 => number % (300 * KIB),
        _ => number % (2 * MIB),
    }
}

#[derive(Debug, Clone, Copy)]
enum What {
    Alloc,
    Clone,
    Drop,
    Lend,
    GiveBack,
    Lie,
    Leave,
    Reclaim,
    Revive,
    Look,
    ArenaMax,
    ShmMax,
    MayLend,
    Share,
    Stage,
    Unshare,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    what: What,
    a: u32,
    b: u32,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        8 => Just(What::Alloc),
        1 => Just(What::Clone),
        6 => Just(What::Drop),
        8 => Just(What::Lend),
        6 => Just(What::GiveBack),
        1 => Just(What::Lie),
        1 => Just(What::Leave),
        1 => Just(What::Reclaim),
        2 => Just(What::Revive),
        4 => Just(What::Look),
        1 => Just(What::ArenaMax),
        1 => Just(What::ShmMax),
        3 => Just(What::MayLend),
        1 => Just(What::Share),
        1 => Just(What::Stage),
        1 => Just(What::Unshare),
    ];
    (what, any::<u32>(), any::<u32>()).prop_map(|(what, a, b)| Step { what, a, b })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// and that nothing is left.
    #[test]
    fn no_sequence_of_calls_gives_out_what_somebody_has(steps in prop::collection::vec(step(), 1..150)) {
        let _turn = turn();
        let mut model = Model::new();
        steps.into_iter().for_each(|step| model.step(step));
        model.end();
    }
}

// --- single facts ------------------------------------------------------------------------------------------

/// A peer can write its ring's descriptors and its return words: it may give back what it then has not read.
#[test]
fn a_block_that_came_back_is_not_revived() {
    let _turn = turn();
    let arena = quiet();
    let (peer, words) = join(&arena);
    let block = arena.alloc(8192).unwrap();
    let described = arena.lend(peer, &block, 8192).unwrap();
    drop(block);
    returns::give(&words, described.block);
    assert!(arena.revive(peer, described).is_none());
    assert_eq!(arena.copy(peer, described), None);
    let (one, two) = (arena.alloc(8192).unwrap(), arena.alloc(8192).unwrap());
    assert_ne!(one.at(), two.at());
}

/// What is longer than its block would be read beyond the mapping, in the owner's process.
#[test]
fn a_descriptor_that_was_made_longer_is_not_revived() {
    let _turn = turn();
    let arena = quiet();
    let (peer, _words) = join(&arena);
    let block = arena.alloc(8192).unwrap();
    let described = arena.lend(peer, &block, 100).unwrap();
    assert!(arena.revive(peer, described).is_some());
    for len in [block.room() as u64 + 1, 1 << 40, u64::MAX] {
        assert!(arena.revive(peer, Described { len, ..described }).is_none());
        assert_eq!(arena.copy(peer, Described { len, ..described }), None);
    }
}

/// What a publisher sent to one peer is not what another one left unread.
#[test]
fn a_block_of_one_peer_is_not_revived_for_another() {
    let _turn = turn();
    let arena = quiet();
    let ((one, _w), (two, _x)) = (join(&arena), join(&arena));
    let block = arena.alloc(8192).unwrap();
    let described = arena.lend(one, &block, 8192).unwrap();
    assert!(arena.revive(two, described).is_none());
    assert!(arena.revive(one, described).is_some());
}

#[test]
fn a_message_that_was_revived_is_not_over() {
    let _turn = turn();
    let arena = quiet();
    let (peer, _words) = join(&arena);
    let block = arena.alloc(8192).unwrap();
    let usage = block.usage();
    let described = arena.lend(peer, &block, 8192).unwrap();
    drop(block);
    arena.holdings();
    let revived = arena.revive(peer, described).unwrap();
    arena.reclaim(peer);
    assert!(!usage.is_over(), "it waits for another peer");
    drop(revived);
    assert!(usage.is_over());
}

#[test]
fn waiting_for_more_than_may_ever_be_there_is_refused_at_once() {
    let _turn = turn();
    let arena = quiet();
    arena.set_max(MIB);
    let block = arena.alloc(8192).unwrap();
    assert!(matches!(arena.alloc(2 * MIB as usize), Err(Short::Never(_))));
    let rest: Vec<_> = std::iter::from_fn(|| arena.alloc(8192).ok()).collect();
    assert_eq!(arena.alloc(8192).unwrap_err(), Short::Wait);
    let (half, some) = (512 * KIB as usize, 8192);
    assert_eq!(arena.alloc_all(&[half, some]).unwrap_err(), Short::Wait);
    assert!(matches!(arena.alloc_all(&[half, half, some]), Err(Short::Never(_))));
    assert_eq!(arena.shortage(&[half, half]), Short::Wait);
    assert!(matches!(arena.shortage(&[half, half, some]), Short::Never(_)));
    assert!(matches!(arena.shortage(&[usize::MAX, usize::MAX]), Short::Never(_)));
    drop((block, rest));
    assert!(arena.alloc(8192).is_ok());
}

#[test]
fn blocks_for_all_or_for_none_and_what_none_left_behind_is_no_news() {
    let _turn = turn();
    let arena = quiet();
    arena.set_max(MIB);
    let held: Vec<_> = (0..64).map(|_| arena.alloc(8192).unwrap()).collect();
    let lens = [8192; 65];
    assert_eq!(arena.alloc_all(&lens).unwrap_err(), Short::Wait);
    assert!(arena.arm(), "nothing came back");
    let rest = arena.alloc_all(&lens[1..]).unwrap();
    assert_eq!(rest.iter().map(|block| block.at()).collect::<BTreeSet<_>>().len(), 64);
    drop(held);
    assert!(!arena.arm(), "something came back");
    assert_eq!(arena.alloc_all(&lens[1..]).unwrap().len(), 64);
}

/// Each segment is an fd of the owner and a mapping of every reader.
#[test]
fn what_is_left_of_a_limit_is_not_filled_with_segments_of_a_block_each() {
    let _turn = turn();
    let arena = quiet();
    // Ten segments fit, and of the next all but one block.
    arena.set_max(2 * (256 + 512 + 1024 + 2048 + 4096) * KIB + 8 * MIB - 8 * KIB);
    let blocks: Vec<_> = std::iter::from_fn(|| arena.alloc(8192).ok()).collect();
    let Holdings { bytes, grown, .. } = arena.holdings();
    assert_eq!((bytes, blocks.len() as u64), (blocks.len() as u64 * 8 * KIB, bytes / 8 / KIB));
    assert!(grown <= 20, "{grown} segments");
}

/// A-4 with two takers. A reader has set a block's bit and seen that the owner waits; before it says so,
/// another thread of the owner takes what came back. What it takes is not free: another peer still has it.
#[test]
fn whoever_takes_the_return_of_a_shared_block_wakes_who_waits_for_it() {
    use shmzmq_shm::returns::ReturnWords;
    let _turn = turn();
    let (arena, woken) = counted();
    let ((one, words), (two, _words)) = (join(&arena), join(&arena));
    let block = arena.alloc(8192).unwrap();
    let described = arena.lend(one, &block, 8192).unwrap();
    arena.lend(two, &block, 8192).unwrap();
    drop(block);
    arena.holdings();
    assert!(arena.arm_peer(one, false));
    let before = woken.load(Ordering::SeqCst);
    words.word(described.block as usize / 64).fetch_or(1 << (described.block % 64), Ordering::AcqRel);
    words.summary().fetch_or(1 << (described.block / 512), Ordering::AcqRel);
    arena.holdings();
    assert_eq!(words.summary().load(Ordering::Relaxed), 0, "the reader will find nobody to mark");
    assert_eq!(woken.load(Ordering::SeqCst), before + 1);
}

/// As above, and the block's own bit was taken even before the owner armed: there is nothing to take,
/// and yet the wish is gone from the words.
#[test]
fn whoever_takes_a_bit_with_nothing_behind_it_wakes_who_waits() {
    use shmzmq_shm::returns::ReturnWords;
    let _turn = turn();
    let (arena, woken) = counted();
    let (peer, words) = join(&arena);
    let blocks = [0, 1].map(|_| arena.alloc(8192).unwrap());
    let lent = blocks.each_ref().map(|block| arena.lend(peer, block, 8192).unwrap());
    words.word(lent[0].block as usize / 64).fetch_or(1 << (lent[0].block % 64), Ordering::AcqRel);
    assert!(arena.arm_peer(peer, false));
    let before = woken.load(Ordering::SeqCst);
    words.summary().fetch_or(1 << (lent[1].block / 512 + 1), Ordering::AcqRel);
    arena.holdings();
    assert_eq!(woken.load(Ordering::SeqCst), before + 1);
}

/// As many blocks as there are numbers; then free ones of another size give theirs up.
#[test]
fn numbers_that_are_out_are_told_from_numbers_that_are_free() {
    let _turn = turn();
    let arena = quiet();
    let mut blocks: Vec<_> = std::iter::from_fn(|| arena.alloc(8192).ok()).collect();
    assert_eq!(blocks.len(), BLOCKS as usize);
    assert_eq!(arena.alloc(8192).unwrap_err(), Short::Numbers);
    assert_eq!(arena.alloc(100_000).unwrap_err(), Short::Numbers);
    blocks.truncate(1);
    let large = arena.alloc(100_000).expect("numbers of free blocks are free");
    drop((blocks, large));
    empty(&arena);
}

/// The budget of the process is shared: what one arena uses another waits for, and what it does not use the other gets.
#[test]
fn two_arenas_share_the_budget() {
    let _turn = turn();
    budget::set_max(MIB);
    let (one, two) = (quiet(), quiet());
    let blocks: Vec<_> = std::iter::from_fn(|| one.alloc(64 * 1024).ok()).collect();
    assert_eq!(budget::used(), MIB);
    assert_eq!(one.alloc(64 * 1024).unwrap_err(), Short::Wait);
    assert_eq!(two.alloc(8192).unwrap_err(), Short::Wait);
    drop(blocks);
    let block = two.alloc(8192).expect("what the other does not use");
    assert_eq!(one.holdings().bytes, 0);
    drop(block);
    empty(&two);
}

#[test]
fn an_arena_that_is_gone_reserves_nothing_once_its_blocks_are_gone() {
    let _turn = turn();
    let arena = quiet();
    let block = arena.alloc(100_000).unwrap();
    write_stamp(&block, 7);
    drop(arena);
    assert!(budget::used() > 0);
    // SAFETY: the block's own bytes.
    assert!(unsafe { has_stamp(block.at(), block.room(), 7) });
    drop(block);
    assert_eq!(budget::used(), 0);
}

// --- threads -----------------------------------------------------------------------------------------------

/// A doorbell for the tests' owner: rung by the arena and by readers that saw that it waits.
#[derive(Default)]
struct Bell(AtomicBool);

impl Bell {
    fn ring(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// No wait is for ever: a wake-up that is lost is the end.
    fn wait(&self) {
        let began = std::time::Instant::now();
        while !self.0.swap(false, Ordering::Acquire) {
            assert!(began.elapsed().as_secs() < 60, "nobody woke the owner");
            std::thread::yield_now();
        }
    }
}

struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // xorshift64* by Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

/// What a reader or a holder of handles gets: bytes to look at until it lets go of them.
enum Share {
    Lent(Arc<PrivateMap>, Described, usize, u64),
    Held(Arc<Block>, u64),
}

impl Share {
    fn is_whole(&self) -> bool {
        match self {
            // SAFETY: inside the view: the owner attached it to the segment of the block.
            Share::Lent(view, described, room, stamp) => unsafe {
                has_stamp(view.at().add(described.offset as usize), *room, *stamp)
            },
            // SAFETY: the block's own bytes.
            Share::Held(block, stamp) => unsafe { has_stamp(block.at(), block.room(), *stamp) },
        }
    }
}

/// Keeps up to `most` shares, looks at them again and again, and lets go of them in any order.
fn keep(shares: &Receiver<Share>, most: usize, seed: u64, mut let_go: impl FnMut(Share)) {
    let (mut kept, mut dice) = (Vec::new(), Dice(seed));
    loop {
        let idle = match shares.try_recv() {
            Ok(share) => {
                kept.push(share);
                false
            }
            Err(TryRecvError::Empty) => {
                std::thread::yield_now();
                true
            }
            Err(TryRecvError::Disconnected) => break,
        };
        assert!(kept.iter().all(Share::is_whole), "bytes changed under a holder; seed {seed:#x}");
        // The owner may wait for what is here.
        if kept.len() > most || (idle && !kept.is_empty()) || dice.throw(8) == 0 && !kept.is_empty() {
            let_go(kept.swap_remove(dice.throw(kept.len() as u64) as usize));
        }
    }
    assert!(kept.iter().all(Share::is_whole), "bytes changed under a holder; seed {seed:#x}");
    kept.into_iter().for_each(let_go);
}

/// on real threads: two readers give back, two threads drop handles, one more takes
/// returns from under the owner, which waits for nothing but wake-ups when its arena is full.
#[test]
fn threads_that_let_go_while_the_owner_lends_change_no_byte_and_lose_no_wake_up() {
    const MESSAGES: u64 = 20_000;
    let _turn = turn();
    let seed = 0x5eed_0000_0000_0004_u64;
    let bell = Arc::new(Bell::default());
    let ring = bell.clone();
    let arena = Arena::new(Arc::new(move || ring.ring()));
    arena.set_max(2 * MIB);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut peers = Vec::new();
        let mut holders = Vec::new();
        for reader in 0..2 {
            let (id, words) = join(&arena);
            let (sender, receiver) = channel();
            let bell = bell.clone();
            scope.spawn(move || {
                keep(&receiver, 6, seed + reader, |share| {
                    let Share::Lent(_, described, ..) = share else { return };
                    if returns::give(&words, described.block) {
                        bell.ring();
                    }
                });
            });
            peers.push((id, sender));
        }
        for holder in 2..4 {
            let (sender, receiver) = channel();
            scope.spawn(move || keep(&receiver, 3, seed + holder, drop));
            holders.push(sender);
        }
        let (taker, over) = (arena.clone(), &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                taker.holdings();
                taker.look();
                std::thread::yield_now();
            }
        });
        // Also if an assertion below fails: the taker ends.
        let _end = End(over);
        let mut views = BTreeMap::new();
        let mut dice = Dice(seed);
        for stamp in 0..MESSAGES {
            let len = if dice.throw(20) == 0 { 300_000 } else { dice.throw(40_000) as usize };
            let block = loop {
                match arena.alloc(len) {
                    Ok(block) => break block,
                    Err(Short::Never(_)) if len > 8192 && arena.holdings().lent == 0 => {}
                    Err(Short::Never(why)) => panic!("{why}; seed {seed:#x}"),
                    Err(_) => {
                        // As a full socket does: armed, then one more look, then asleep.
                        if arena.arm() {
                            bell.wait();
                        }
                    }
                }
            };
            write_stamp(&block, stamp);
            for (id, sender) in &peers {
                if dice.throw(3) > 0
                    && let Some(described) = arena.lend(*id, &block, len)
                {
                    let view = views
                        .entry(described.segment)
                        .or_insert_with(|| view(&arena, described.segment))
                        .clone();
                    sender.send(Share::Lent(view, described, block.room(), stamp)).unwrap();
                }
            }
            if dice.throw(4) == 0 {
                holders[dice.throw(2) as usize].send(Share::Held(block, stamp)).unwrap();
            }
            if stamp % 256 == 0 {
                views.retain(|segment, _| arena.has_segment(*segment));
            }
        }
    });
    empty(&arena);
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Of these the one that came back last is given out first.
const LARGE: usize = 1 << 20;

/// `lend_warm` is `alloc` and `lend` in one: what it gives is lent like any other block, and nobody else's.
#[test]
fn a_warm_block_is_lent_without_a_handle_and_is_nobody_elses_until_it_comes_back() {
    let _turn = turn();
    let arena = quiet();
    let (peer, words) = join(&arena);
    assert!(arena.lend_warm(peer, LARGE, &[]).is_none(), "there is no memory yet");
    let block = arena.alloc(LARGE).unwrap();
    let (segment, at) = (block.segment(), block.at());
    drop(block);
    assert!(arena.lend_warm(peer, LARGE, &[]).is_none(), "the peer does not know the segment");
    let (described, to) = arena.lend_warm(peer, LARGE - 192, &[segment]).unwrap();
    assert_eq!(
        (to, described.segment, described.len),
        (at, segment, LARGE as u64 - 192),
        "the warmest block"
    );
    assert_eq!((arena.holdings().lent, arena.lent_to(peer).0), (1, 1));
    // SAFETY: the block has 1 MiB, and nobody else writes there.
    unsafe { to.write_bytes(7, LARGE - 192) };
    let others: Vec<_> = (0..10).map(|_| arena.alloc(LARGE).unwrap()).collect();
    assert!(others.iter().all(|other| other.at() != at), "it is out");
    for other in others {
        // SAFETY: as above.
        unsafe { other.at().write_bytes(9, other.room()) };
    }
    (0..LOOKS).for_each(|_| _ = arena.look());
    let left = arena.revive(peer, described).expect("the peer did not read it");
    // SAFETY: as above.
    assert!(unsafe { std::slice::from_raw_parts(left.at(), LARGE - 192) }.iter().all(|byte| *byte == 7));
    drop(left);
    returns::give(&words, described.block);
    (0..LOOKS).for_each(|_| _ = arena.look());
    assert_eq!(arena.holdings().bytes, 0);
    assert!(!arena.leave(peer));
}

/// One that is shared by several peers is copied once, so there it is not the way.
#[test]
fn a_warm_block_is_not_lent_apart_while_a_message_is_shared() {
    let _turn = turn();
    let arena = quiet();
    let (peer, _words) = join(&arena);
    let block = arena.alloc(LARGE).unwrap();
    let known = [block.segment()];
    drop(block);
    arena.share();
    assert!(arena.lend_warm(peer, LARGE, &known).is_none());
    arena.unshare();
    assert!(arena.lend_warm(peer, LARGE, &known).is_some());
    arena.reclaim(peer);
    assert_eq!(arena.holdings().lent, 0);
}

/// To be refused costs no block.
#[test]
fn nothing_is_taken_for_a_peer_that_left() {
    let _turn = turn();
    let arena = quiet();
    let (peer, _words) = join(&arena);
    let block = arena.alloc(LARGE).unwrap();
    let known = [block.segment()];
    drop(block);
    assert!(!arena.leave(peer));
    assert!(arena.lend_warm(peer, LARGE, &known).is_none());
    empty(&arena);
}

/// A block is the smallest of 8, 12, 16, 24, 32 ... KiB that the frame fits in.
#[test]
fn a_block_is_at_most_a_third_larger_than_its_frame() {
    use shmzmq_shm::arena::block_bytes;
    let sizes = (13..43).flat_map(|power| [1_u64 << power, 3 << (power - 1)]);
    let mut before = 0;
    for bytes in sizes {
        assert_eq!((block_bytes(before + 1), block_bytes(bytes)), (bytes, bytes));
        before = bytes;
    }
    assert_eq!((block_bytes(0), block_bytes(u64::MAX)), (8 * KIB, u64::MAX));
}

/// Of many free blocks only as many are used as are under way, and the few that take turns: the others have
/// gone cold.
#[test]
fn what_a_backlog_left_behind_is_not_used_as_long_as_it_need_not_be() {
    let _turn = turn();
    let arena = quiet();
    let backlog: Vec<_> = (0..200).map(|_| arena.alloc(64 * KIB as usize).unwrap()).collect();
    drop(backlog);
    let used: BTreeSet<_> =
        (0..1000).map(|_| arena.alloc(64 * KIB as usize).unwrap().at() as usize).collect();
    assert_eq!(used.len(), 32);
    let large: Vec<_> = (0..8).map(|_| arena.alloc(MIB as usize).unwrap()).collect();
    drop(large);
    let used: BTreeSet<_> = (0..100).map(|_| arena.alloc(MIB as usize).unwrap().at() as usize).collect();
    assert_eq!(used.len(), 1);
}
