//! A peer that writes anything anywhere: every shared word and every header set to boundary values
//! before every operation, in the states a connection passes through.
//!
//! The oracle: no panic (arithmetic is checked in this build), no access outside a ring (the memory
//! asserts it), work of one call bounded by the rings' size, and no answer but the documented ones.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/heap_memory.rs"]
mod memory;

use memory::{HeapControl, HeapRing, HeapRx, HeapTx, message, pair, parts, take, take_message};
use proptest::prelude::*;
use shmzmq_shm::layout::{
    ASLEEP, CLOSED, DESC, DESC_BYTES, FLAG_BITS, JUMP, JUMP_BYTES, MORE, NEEDS, PAD, SEQ_SHIFT, VALID,
};
use shmzmq_shm::ring::{Arm, Described, Frame, Next, Part, Poisoned, Refusal};
use shmzmq_shm::sync::Ordering::Relaxed;

struct Pipe {
    tx: HeapTx,
    rx: HeapRx,
    control: HeapControl,
    rings: Vec<HeapRing>,
    /// What the reader peeked last and did not consume; valid as long as it stays there.
    peeked: Option<Frame>,
}

impl Pipe {
    fn new(capacity: usize, credit: u64) -> Pipe {
        let (tx, rx, control, ring) = pair(capacity, credit);
        Pipe { tx, rx, control, rings: vec![ring], peeked: None }
    }

    fn jump(&mut self, announced: bool) {
        let ring = HeapRing::new(512);
        if announced {
            self.rx.announce(self.tx.next_ring(), ring.clone());
        }
        self.tx.jump(ring.clone());
        self.rings.push(ring);
    }

    /// No call looks at more headers than there are words in all rings, twice over for wrapping.
    fn bounded<T>(&mut self, call: impl FnOnce(&mut Pipe) -> T) -> T {
        let loaded = |pipe: &Pipe| pipe.rings.iter().map(|ring| ring.headers_loaded.get()).sum::<u64>();
        let before = loaded(self);
        let answer = call(self);
        let words: u64 = self.rings.iter().map(|ring| capacity(ring) / 8).sum();
        assert!(loaded(self) - before <= 2 * words, "{} headers", loaded(self) - before);
        answer
    }
}

fn capacity(ring: &HeapRing) -> u64 {
    shmzmq_shm::ring::Bytes::capacity(ring)
}

/// A frame in a block, a segment that is needed, and a message of both kinds of frames.
fn with_blocks() -> Pipe {
    let mut pipe = Pipe::new(512, 0);
    let descriptor = Described { segment: 1, block: 2, offset: 8192, len: 5000, copy: false }.encode();
    pipe.tx.write(&[Part::descriptor(&descriptor, 5000)]).unwrap();
    pipe.tx.need(2);
    let inline = message(1, &[8]);
    pipe.tx.write(&[Part::of(&inline[0]), Part::descriptor(&descriptor, 5000)]).unwrap();
    pipe.tx.write(&[Part::descriptor(&descriptor, 5000)]).unwrap();
    pipe
}

type State = (&'static str, fn() -> Pipe);
type Operation = (&'static str, fn(&mut Pipe));

const STATES: &[State] = &[
    ("empty", || Pipe::new(256, 2)),
    ("two messages, no credit left", || {
        let mut pipe = Pipe::new(256, 2);
        pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
        pipe.tx.write(&parts(&message(2, &[8, 0, 30]))).unwrap();
        pipe
    }),
    ("full, wrapped, without credit", || {
        let mut pipe = Pipe::new(256, 0);
        for id in 0..9 {
            pipe.tx.write(&parts(&message(id, &[20, 0]))).unwrap();
            take_message(&mut pipe.rx);
            pipe.rx.publish();
        }
        while pipe.tx.write(&parts(&message(10, &[20]))).is_ok() {}
        pipe
    }),
    ("reader inside a message, writer armed", || {
        let mut pipe = Pipe::new(256, 1);
        pipe.tx.write(&parts(&message(1, &[8, 8, 8]))).unwrap();
        take(&mut pipe.rx);
        assert_eq!(pipe.tx.arm(16), Ok(Arm::Armed));
        pipe
    }),
    ("reader armed", || {
        let mut pipe = Pipe::new(256, 0);
        assert_eq!(pipe.rx.peek(), Ok(Next::Empty));
        assert!(pipe.rx.arm());
        pipe
    }),
    ("JUMP ahead, announced", || {
        let mut pipe = Pipe::new(256, 0);
        pipe.tx.write(&parts(&message(1, &[100]))).unwrap();
        pipe.jump(true);
        pipe.tx.write(&parts(&message(2, &[300]))).unwrap();
        pipe
    }),
    ("JUMP ahead, not announced, unpublished puts behind it", || {
        let mut pipe = Pipe::new(256, 3);
        pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
        take_message(&mut pipe.rx);
        pipe.jump(false);
        pipe.tx.write(&parts(&message(2, &[300]))).unwrap();
        pipe.tx.put(&parts(&message(3, &[8]))).unwrap();
        pipe
    }),
    ("in the second ring", || {
        let mut pipe = Pipe::new(256, 0);
        pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
        pipe.jump(true);
        pipe.tx.write(&parts(&message(2, &[300]))).unwrap();
        take_message(&mut pipe.rx);
        take_message(&mut pipe.rx);
        pipe.rx.publish();
        pipe.tx.write(&parts(&message(3, &[8, 8]))).unwrap();
        pipe
    }),
    ("blocks and their segment ahead", with_blocks),
    ("a reader that skips, blocks ahead", || {
        let mut pipe = with_blocks();
        pipe.rx.set_skips();
        pipe.tx.skip_before(40);
        pipe
    }),
    ("closed by both", || {
        let mut pipe = Pipe::new(256, 1);
        pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
        pipe.tx.close();
        pipe.rx.close();
        pipe
    }),
];

const OPERATIONS: &[Operation] = &[
    ("write", |pipe| {
        let _ = pipe.tx.write(&parts(&message(7, &[8])));
    }),
    ("write multipart", |pipe| {
        let _ = pipe.tx.write(&parts(&message(7, &[60, 0, 33])));
    }),
    ("put without room", |pipe| {
        let refused = pipe.tx.put(&parts(&message(7, &[1000])));
        assert!(refused.is_err());
    }),
    ("publish writer", |pipe| {
        let _ = pipe.tx.publish();
    }),
    ("refresh", |pipe| {
        let _ = pipe.tx.refresh();
        let _ = pipe.tx.depth();
    }),
    ("arm writer", |pipe| {
        let _ = pipe.tx.arm(pipe.tx.bytes_for(&parts(&message(7, &[8]))));
    }),
    ("arm writer for much", |pipe| {
        let _ = pipe.tx.arm(1 << 40);
    }),
    ("credit", |pipe| pipe.tx.set_credit(1)),
    ("jump", |pipe| {
        if pipe.rings.len() < 4 {
            pipe.jump(true);
        }
    }),
    ("undelivered", |pipe| {
        let words: usize = pipe.rings.iter().map(|ring| capacity(ring) as usize).sum();
        let mut bytes = 0;
        pipe.tx.undelivered(|message| bytes += message.iter().map(|left| left.bytes().len()).sum::<usize>());
        assert!(bytes <= words, "{bytes} bytes redelivered from {words} bytes of ring");
    }),
    ("peek", |pipe| {
        pipe.peeked = None;
        if let Ok(Next::Frame(frame)) = pipe.rx.peek() {
            assert!(frame.len <= 512);
            pipe.peeked = Some(frame);
        }
    }),
    ("look ahead of what was peeked", |pipe| {
        if pipe.peeked.is_some() {
            let rx = &pipe.rx;
            let _ = rx.look_ahead(|frame| {
                assert!(frame.len <= 512);
                memory::copy(rx, frame);
                if frame.described {
                    let _ = rx.described(frame);
                }
            });
        }
    }),
    ("satisfy a need", |pipe| {
        pipe.peeked = None;
        if let Ok(Next::Needs(_)) = pipe.rx.peek() {
            pipe.rx.satisfied();
        }
    }),
    ("read the descriptor that was peeked", |pipe| {
        if let Some(frame) = pipe.peeked.filter(|frame| frame.described) {
            let _ = pipe.rx.described(frame);
        }
    }),
    ("copy what was peeked", |pipe| {
        if let Some(frame) = pipe.peeked {
            memory::copy(&pipe.rx, frame);
        }
    }),
    ("consume what was peeked", |pipe| {
        if let Some(frame) = pipe.peeked.take() {
            let _ = pipe.rx.consume(frame);
        }
    }),
    ("take", |pipe| {
        pipe.peeked = None;
        if let Ok(Next::Frame(frame)) = pipe.rx.peek() {
            memory::copy(&pipe.rx, frame);
            let _ = pipe.rx.consume(frame);
        }
    }),
    ("publish reader", |pipe| {
        let _ = pipe.rx.publish();
    }),
    ("arm reader", |pipe| {
        let _ = pipe.rx.arm();
        let _ = pipe.rx.moved();
    }),
    ("close writer", |pipe| {
        let _ = pipe.tx.close();
    }),
    ("close reader", |pipe| {
        let _ = pipe.rx.close();
    }),
];

/// 64 values for an index word: round the positions that stand there, and the ends of the range.
fn positions(w: u64, r: u64) -> Vec<u64> {
    let (w, r) = (w & !FLAG_BITS, r & !FLAG_BITS);
    let bases =
        [0, 8, w.wrapping_sub(8), w, w + 8, r.wrapping_sub(8), r + 8, r + 16, w + 256, w + 264, r + 256];
    let ends = [r + 520, 1 << 31, 1 << 32, 1 << 63, !FLAG_BITS];
    let all = bases.into_iter().chain(ends);
    all.flat_map(|base| [0, ASLEEP, CLOSED, 4].map(|flags| base | flags)).collect()
}

/// 64 headers with the sequence number that stands there, so that the checks behind it are reached.
fn headers(there: u64) -> Vec<u64> {
    let lengths = [0, 1, 8, DESC_BYTES, 248, 256, 504, u64::from(u32::MAX)];
    let flags = [
        0,
        VALID,
        VALID | MORE,
        VALID | PAD,
        VALID | JUMP,
        VALID | JUMP | PAD,
        VALID | DESC,
        VALID | DESC | MORE,
        VALID | NEEDS,
        VALID | NEEDS | MORE,
        VALID | 1 << 37,
        !0,
    ];
    let seq = there >> SEQ_SHIFT << SEQ_SHIFT;
    let below = (1 << SEQ_SHIFT) - 1;
    lengths.iter().flat_map(|len| flags.map(|flags| (flags & below) | len | seq)).collect()
}

/// Sets one thing, then runs one operation, then all of them (a lie may be noticed late).
fn survive(state: fn() -> Pipe, mutate: impl Fn(&Pipe)) {
    for (_, operation) in OPERATIONS {
        let mut pipe = state();
        mutate(&pipe);
        pipe.bounded(operation);
        for (_, later) in OPERATIONS {
            pipe.bounded(later);
        }
        for (_, later) in OPERATIONS.iter().rev() {
            mutate(&pipe);
            pipe.bounded(later);
        }
    }
}

#[test]
fn no_value_of_a_shared_word_breaks_an_operation() {
    for (_, state) in STATES {
        let fresh = state();
        let (w, r) = (fresh.control.0.w.load(Relaxed), fresh.control.0.r.load(Relaxed));
        for word in 0..fresh.control.0.all().len() {
            for value in positions(w, r) {
                survive(*state, |pipe| pipe.control.0.all()[word].store(value, Relaxed));
            }
        }
    }
}

#[test]
fn no_header_breaks_an_operation() {
    for (_, state) in STATES {
        let fresh = state();
        let written: Vec<(usize, u64, u64)> = fresh
            .rings
            .iter()
            .enumerate()
            .flat_map(|(which, ring)| {
                let at = (0..capacity(ring)).step_by(8);
                at.map(move |at| (which, at, ring.word(at).load(Relaxed)))
            })
            .filter(|(_, _, there)| there & VALID != 0)
            .take(6)
            .collect();
        for (which, at, there) in written {
            for header in headers(there) {
                survive(*state, |pipe| pipe.rings[which].word(at).store(header, Relaxed));
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Do(usize),
    Word(usize, usize),
    Header(usize, u64, usize),
    Raw(usize, u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..OPERATIONS.len()).prop_map(Step::Do),
        1 => (0..6usize, 0..64usize).prop_map(|(word, value)| Step::Word(word, value)),
        2 => (0..4usize, 0..64u64, 0..64usize).prop_map(|(ring, at, value)| Step::Header(ring, at, value)),
        1 => (0..4usize, 0..64u64, any::<u64>()).prop_map(|(ring, at, value)| Step::Raw(ring, at, value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Many lies in any order, between any operations.
    #[test]
    fn no_sequence_of_lies_breaks_an_operation(
        state in 0..STATES.len(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut pipe = STATES[state].1();
        for step in steps {
            match step {
                Step::Do(operation) => pipe.bounded(OPERATIONS[operation].1),
                Step::Word(word, value) => {
                    let (w, r) = (pipe.control.0.w.load(Relaxed), pipe.control.0.r.load(Relaxed));
                    let near = positions(w % (1 << 62), r % (1 << 62))[value];
                    pipe.control.0.all()[word].store(near, Relaxed);
                }
                Step::Header(ring, at, value) => {
                    let ring = &pipe.rings[ring % pipe.rings.len()];
                    let word = ring.word(at * 8 % capacity(ring));
                    word.store(headers(word.load(Relaxed))[value], Relaxed);
                }
                Step::Raw(ring, at, value) => {
                    let ring = &pipe.rings[ring % pipe.rings.len()];
                    ring.word(at * 8 % capacity(ring)).store(value, Relaxed);
                }
            }
        }
    }
}

/// Filler stands at a ring's end and nowhere else; a ring full of it must not keep `peek` busy.
#[test]
fn a_ring_full_of_filler_does_not_keep_the_reader_for_ever() {
    let mut pipe = Pipe::new(512 * 1024, 0);
    for seq in 0..65536 {
        pipe.rings[0].word(seq * 8).store(VALID | PAD | seq << SEQ_SHIFT, Relaxed);
    }
    pipe.control.0.w.store(!FLAG_BITS, Relaxed);
    assert!(pipe.bounded(|pipe| pipe.rx.peek()).is_err());
}

/// W, so many headers that all fit, and a sequence number that fits again after 65536 of them: a ring
/// in which a reader that meets nothing to hand out would go round and round.
fn endless(record: u64, bytes: u64) -> Pipe {
    let pipe = Pipe::new(65536 * bytes as usize, 0);
    for seq in 0..65536 {
        pipe.rings[0].word(seq * bytes).store(record | seq << SEQ_SHIFT, Relaxed);
    }
    pipe.control.0.w.store(!FLAG_BITS, Relaxed);
    pipe
}

#[test]
fn a_ring_full_of_needs_does_not_keep_the_reader_for_ever() {
    let mut pipe = endless(VALID | NEEDS | JUMP_BYTES, 16);
    let ended = (0..70_000).any(|_| match pipe.rx.peek() {
        Ok(next) => {
            assert_eq!(next, Next::Needs(0));
            pipe.rx.satisfied();
            false
        }
        Err(_) => true,
    });
    assert!(ended, "the announced segment is needed again and again");
}

#[test]
fn a_ring_full_of_messages_to_pass_over_does_not_keep_the_reader_for_ever() {
    for flags in [0, MORE] {
        let mut pipe = endless(VALID | flags | 8, 16);
        pipe.rx.set_skips();
        pipe.control.0.skip.store(u64::MAX, Relaxed);
        assert!(pipe.bounded(|pipe| pipe.rx.peek()).is_err());
    }
}

#[test]
fn a_ring_full_of_blocks_to_pass_over_does_not_keep_the_reader_for_ever() {
    let mut pipe = endless(VALID | DESC | DESC_BYTES, 32);
    pipe.rx.set_skips();
    pipe.control.0.skip.store(u64::MAX, Relaxed);
    let ended = (0..70_000).any(|_| match pipe.rx.peek() {
        Ok(next) => {
            assert!(matches!(next, Next::Passed(_)));
            false
        }
        Err(_) => true,
    });
    assert!(ended, "blocks are passed over again and again");
}

/// The record of a segment that is needed: its length, and its place between messages.
#[test]
fn a_need_of_another_length_or_inside_a_message_poisons() {
    for len in [0, 1, 7, 9, 16, 24, 200] {
        let mut pipe = Pipe::new(256, 0);
        pipe.tx.need(5);
        pipe.tx.publish();
        pipe.rings[0].word(0).store(VALID | NEEDS | len, Relaxed);
        assert!(pipe.rx.peek().is_err(), "{len} bytes");
    }
    for more in [MORE, PAD] {
        let mut pipe = Pipe::new(256, 0);
        pipe.tx.need(5);
        pipe.tx.publish();
        pipe.rings[0].word(0).store(VALID | NEEDS | more | JUMP_BYTES, Relaxed);
        assert!(pipe.rx.peek().is_err(), "{more:#x}");
    }
    let mut pipe = Pipe::new(256, 0);
    pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
    pipe.tx.need(5);
    pipe.tx.publish();
    let header = pipe.rings[0].word(0).load(Relaxed);
    pipe.rings[0].word(0).store(header | MORE, Relaxed);
    assert!(take(&mut pipe.rx).is_some());
    assert!(matches!(pipe.rx.peek(), Err(Poisoned::Header { .. })));
}

/// A descriptor has its length and no other; what it says is not this file's to judge.
#[test]
fn a_descriptor_of_another_length_poisons_and_any_content_is_read() {
    let described = |pipe: &mut Pipe| match pipe.rx.peek() {
        Ok(Next::Frame(frame)) => Some((pipe.rx.described(frame), frame.described)),
        _ => None,
    };
    for len in (0..64).chain([u64::from(u32::MAX)]) {
        let mut pipe = with_blocks();
        pipe.rings[0].word(0).store(VALID | DESC | len, Relaxed);
        assert_eq!(described(&mut pipe).is_some(), len == DESC_BYTES, "{len} bytes");
    }
    for value in [0, 1, u64::MAX, 1 << 63, !0 >> 1] {
        let mut pipe = with_blocks();
        (1..4).for_each(|word| pipe.rings[0].word(word * 8).store(value, Relaxed));
        let (found, is_described) = described(&mut pipe).unwrap();
        assert!(is_described);
        assert_eq!((found.offset, found.len), (value, value));
        // The uppermost bit of the segment's number is a flag.
        assert_eq!((found.segment, found.copy), (value as u32 & (u32::MAX >> 1), value as u32 >> 31 != 0));
        assert_eq!(found.block, (value >> 32) as u32);
    }
}

/// The same by one filler of a whole ring: a correct writer at offset 0 needs none.
#[test]
fn filler_at_a_rings_beginning_poisons() {
    let mut pipe = Pipe::new(256, 0);
    pipe.rings[0].word(0).store(VALID | PAD | 248, Relaxed);
    pipe.control.0.w.store(256 + 16, Relaxed);
    assert_eq!(pipe.rx.peek(), Err(Poisoned::Header { header: VALID | PAD | 248, position: 0 }));
}

/// R-2 from the reader's side: W always stands behind a whole message. One that ends inside would let
/// a peer hold a `recv_multipart` that has begun.
#[test]
fn a_w_that_ends_inside_a_message_poisons() {
    for closed in [0, CLOSED] {
        let mut pipe = Pipe::new(256, 0);
        pipe.tx.write(&parts(&message(1, &[8, 8]))).unwrap();
        pipe.control.0.w.store(16 | closed, Relaxed);
        assert!(take(&mut pipe.rx).is_some());
        assert!(pipe.rx.inside_message());
        let poisoned = Poisoned::Position { theirs: 16 | closed, low: 24, high: u64::MAX };
        assert_eq!(pipe.rx.peek(), Err(poisoned));
    }
}

/// The same for a look at all frames before the first is handed out, and records of an earlier round.
#[test]
fn what_ends_inside_a_message_is_no_message_to_a_look_ahead() {
    let mut pipe = Pipe::new(256, 0);
    pipe.tx.write(&parts(&message(1, &[8, 8]))).unwrap();
    pipe.control.0.w.store(16, Relaxed);
    assert!(matches!(pipe.rx.peek(), Ok(Next::Frame(_))));
    let cut = Poisoned::Position { theirs: 16, low: 24, high: u64::MAX };
    assert_eq!(pipe.rx.look_ahead(|_| {}), Err(cut));
    let second = pipe.rings[0].word(16).load(Relaxed);
    pipe.rings[0].word(16).store(second | MORE, Relaxed);
    pipe.control.0.w.store(1 << 40, Relaxed);
    assert!(matches!(pipe.rx.peek(), Ok(Next::Frame(_))));
    assert!(pipe.bounded(|pipe| pipe.rx.look_ahead(|_| {})).is_err());
}

/// A reader that sets a bit of R that is nobody's makes every CAS of a waiting writer fail.
#[test]
fn a_foreign_bit_in_r_does_not_send_a_waiting_writer_round_in_circles() {
    let mut pipe = Pipe::new(256, 1);
    pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
    pipe.control.0.r.store(4, Relaxed);
    let mut rounds = 0;
    while pipe.tx.write(&parts(&message(2, &[8]))) == Err(Refusal::Credit) {
        if pipe.tx.arm(16) != Ok(Arm::Moved) {
            break;
        }
        rounds += 1;
        assert!(rounds < 100, "looks, arms and looks again without end");
    }
}

/// A writer that lies about its wish gets too many wake-ups or none; the reader's work stays the same.
#[test]
fn a_reader_whose_writer_moves_its_thresholds_still_publishes() {
    for threshold in [0, u64::MAX] {
        let mut pipe = Pipe::new(256, 0);
        pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
        pipe.control.0.r.store(1, Relaxed);
        pipe.control.0.space_wake_at.store(threshold, Relaxed);
        assert!(take(&mut pipe.rx).is_some());
        // A wish that is fulfilled was heard with the message, and one that never is wakes nobody.
        assert!(!pipe.rx.publish());
        assert_eq!(pipe.control.0.r.load(Relaxed) & !FLAG_BITS, 16);
    }
}

#[test]
fn a_jump_to_a_ring_of_another_number_poisons() {
    let mut pipe = Pipe::new(256, 0);
    pipe.tx.jump(HeapRing::new(512));
    pipe.tx.publish();
    pipe.rx.announce(2, HeapRing::new(512));
    assert!(matches!(pipe.rx.peek(), Err(Poisoned::Header { .. })));
}

#[test]
fn a_jump_inside_a_message_poisons() {
    let mut pipe = Pipe::new(256, 0);
    pipe.tx.write(&parts(&message(1, &[8]))).unwrap();
    pipe.jump(true);
    pipe.tx.publish();
    let header = pipe.rings[0].word(0).load(Relaxed);
    pipe.rings[0].word(0).store(header | MORE, Relaxed);
    assert!(take(&mut pipe.rx).is_some());
    assert!(matches!(pipe.rx.peek(), Err(Poisoned::Header { .. })));
}

/// Whatever the ready words say, a take names slots that exist, and ends.
#[test]
fn no_value_of_the_ready_words_names_a_slot_that_does_not_exist() {
    use shmzmq_shm::ready::{self, GROUPS, ReadyMemory, SLOTS};
    struct Page([std::sync::atomic::AtomicU64; GROUPS + 1]);
    impl ReadyMemory for Page {
        type Word = std::sync::atomic::AtomicU64;
        fn summary(&self) -> &Self::Word {
            &self.0[GROUPS]
        }
        fn group(&self, group: usize) -> &Self::Word {
            assert!(group < GROUPS);
            &self.0[group]
        }
    }
    for summary in positions(64, 32).into_iter().chain((0..64).map(|bit| !0 << bit)) {
        let page = Page(std::array::from_fn(|_| (!0).into()));
        page.summary().store(summary, Relaxed);
        let _ = ready::arm(&page);
        let mut found = 0;
        ready::take(&page, |slot| {
            assert!(slot < SLOTS);
            found += 1;
        });
        assert!(found <= SLOTS);
        assert!(!ready::pending(&page));
        ready::disarm(&page);
        assert!(ready::arm(&page));
    }
    let page = Page(std::array::from_fn(|_| 0.into()));
    for slot in [0, 1, SLOTS as u32 - 1, SLOTS as u32, u32::MAX] {
        assert!(!ready::mark(&page, slot));
        let mut found = Vec::new();
        ready::take(&page, |slot| found.push(slot));
        assert_eq!(found, [slot as usize % SLOTS]);
    }
}
