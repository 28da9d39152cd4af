//! The ring in one thread, over the heap: each invariant by example, and all of them at random against
//! a queue that cannot be wrong.
//!
//! Interleavings are loom's business (`loom_*.rs`), a peer that lies is `hostile.rs`'s.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/heap_memory.rs"]
mod memory;

use std::collections::VecDeque;

use memory::{
    HeapControl, HeapRing, HeapRx, HeapTx, Message, message, pair, parts, take, take_message, undelivered,
};
use proptest::prelude::*;
use shmzmq_shm::layout::{
    ASLEEP, CLOSED, FLAG_BITS, JUMP, JUMP_RESERVE, MORE, PAD, VALID, WAITING, record_bytes,
};
use shmzmq_shm::ring::{Arm, Next, Part, Poisoned, Refusal, Tx};
use shmzmq_shm::sync::Ordering::Relaxed;

fn write(tx: &mut HeapTx, id: u64, sizes: &[usize]) -> Result<bool, Refusal> {
    tx.write(&parts(&message(id, sizes)))
}

fn expect(rx: &mut HeapRx, id: u64, sizes: &[usize]) {
    assert_eq!(take_message(rx).map(|found| found.0), Some(message(id, sizes)));
}

fn expect_nothing(rx: &mut HeapRx) {
    assert_eq!(rx.peek(), Ok(Next::Empty));
}

// ---------------------------------------------------------------- what a ring cannot do

#[test]
fn a_message_that_no_ring_of_this_size_holds_is_refused_with_grow() {
    let (mut tx, _, _, _) = pair(256, 0);
    assert_eq!(write(&mut tx, 1, &[256]), Err(Refusal::Space { grow: true }));
    assert_eq!(write(&mut tx, 1, &[300, 1]), Err(Refusal::Space { grow: true }));
    assert_eq!(undelivered(&mut tx), Vec::<Message>::new());
}

#[test]
fn a_full_ring_refuses_without_grow_what_an_empty_one_would_take() {
    let (mut tx, mut rx, _, _) = pair(256, 0);
    while write(&mut tx, 1, &[24]).is_ok() {}
    assert_eq!(write(&mut tx, 1, &[24]), Err(Refusal::Space { grow: false }));
    while take(&mut rx).is_some() {}
    rx.publish();
    assert_eq!(write(&mut tx, 2, &[24]), Ok(false));
}

/// Lengths are 32 bits on the page: a longer part must not be written with a shortened length.
#[test]
fn a_part_of_four_gibibytes_is_refused_instead_of_cut() {
    struct Endless;
    impl shmzmq_shm::ring::Bytes for Endless {
        fn capacity(&self) -> u64 {
            1 << 36
        }
        fn load_header(&self, _: u64) -> u64 {
            0
        }
        fn store_header(&self, _: u64, _: u64) {}
        unsafe fn put(&self, _: u64, _: *const u8, len: usize) {
            assert!(u32::try_from(len).is_ok(), "{len} bytes under a header that cannot say so");
        }
        unsafe fn get(&self, _: u64, _: *mut u8, _: usize) {}
    }
    let mut tx = Tx::new(HeapControl::default(), Endless, 0);
    let part = Part::new(std::ptr::dangling(), 1 << 32);
    assert_eq!(tx.put(&[part]), Err(Refusal::Length));
    assert_eq!(tx.put(&[Part::of(&[1]), part]), Err(Refusal::Length));
    let longest = Part::new(std::ptr::dangling(), u32::MAX as usize);
    assert_eq!(tx.put(&[longest]), Ok(()));
}

#[test]
fn a_message_without_parts_is_not_a_message() {
    let (mut tx, mut rx, _, _) = pair(256, 1);
    assert_eq!(tx.write(&[]), Ok(false));
    assert_eq!(tx.depth(), 0);
    assert_eq!(rx.peek(), Ok(Next::Empty));
}

#[test]
fn credit_of_one_admits_one_message_until_the_reader_published_it() {
    let (mut tx, mut rx, _, _) = pair(256, 1);
    assert_eq!(write(&mut tx, 1, &[8]), Ok(false));
    assert_eq!(write(&mut tx, 2, &[8]), Err(Refusal::Credit));
    expect(&mut rx, 1, &[8]);
    assert_eq!(write(&mut tx, 2, &[8]), Ok(false));
}

#[test]
fn credit_counts_messages_and_not_frames() {
    let (mut tx, _, _, _) = pair(256, 2);
    assert_eq!(write(&mut tx, 1, &[1, 1, 1]), Ok(false));
    assert_eq!(write(&mut tx, 2, &[1, 1, 1]), Ok(false));
    assert_eq!(write(&mut tx, 3, &[1]), Err(Refusal::Credit));
    tx.set_credit(3);
    assert_eq!(write(&mut tx, 3, &[1]), Ok(false));
    assert_eq!(tx.depth(), 3);
}

#[test]
fn a_closed_writer_is_heard_after_everything_it_wrote() {
    let (mut tx, mut rx, _, _) = pair(256, 0);
    expect_nothing(&mut rx);
    assert!(rx.arm());
    tx.put(&parts(&message(1, &[5]))).unwrap();
    assert!(tx.close());
    expect(&mut rx, 1, &[5]);
    assert_eq!(rx.peek(), Ok(Next::Closed));
    assert_eq!(rx.peek(), Ok(Next::Closed));
    assert!(!rx.moved());
}

#[test]
fn a_writer_hears_that_its_reader_closed_when_it_next_asks() {
    let (mut tx, mut rx, _, _) = pair(256, 1);
    write(&mut tx, 1, &[5]).unwrap();
    assert_eq!(tx.arm(16), Ok(Arm::Armed));
    assert!(rx.close());
    assert_eq!(write(&mut tx, 2, &[5]), Err(Refusal::Closed));
    assert_eq!(tx.arm(16), Ok(Arm::Moved));
    assert_eq!(undelivered(&mut tx), [message(1, &[5])]);
}

// ---------------------------------------------------------------- the invariants, one by one

/// A position lives in its owner's private memory; the shared copy is for the other side.
#[test]
fn an_index_word_overwritten_by_the_peer_does_not_move_its_owner() {
    let (mut tx, mut rx, control, _) = pair(256, 0);
    write(&mut tx, 1, &[8]).unwrap();
    control.0.w.store(0, Relaxed);
    write(&mut tx, 2, &[8]).unwrap();
    assert_eq!(control.0.w.load(Relaxed), 32);
    expect(&mut rx, 1, &[8]);
    rx.publish();
    control.0.r.store(8, Relaxed);
    control.0.msgs_read.store(77, Relaxed);
    expect(&mut rx, 2, &[8]);
    rx.publish();
    assert_eq!((control.0.r.load(Relaxed), control.0.msgs_read.load(Relaxed)), (32, 2));
}

/// A reader sees all of a message or nothing; a writer that dies leaves nothing behind W.
#[test]
fn what_was_put_and_not_published_is_not_seen() {
    let (mut tx, mut rx, _, _) = pair(512, 0);
    tx.put(&parts(&message(1, &[3, 0, 40]))).unwrap();
    tx.put(&parts(&message(2, &[9]))).unwrap();
    expect_nothing(&mut rx);
    tx.publish();
    expect(&mut rx, 1, &[3, 0, 40]);
    expect(&mut rx, 2, &[9]);
    tx.put(&parts(&message(3, &[9]))).unwrap();
    drop(tx);
    expect_nothing(&mut rx);
}

/// The writer writes no byte that the reader has not released by R: consumed is not enough.
#[test]
fn a_run_is_put_as_far_as_it_fits_and_seen_with_one_publish() {
    let (mut tx, mut rx, _, _) = pair(256, 0);
    let bytes = [7u8; 24];
    let (put, sum) = tx.put_run(&[Part::of(&bytes); 100], 24);
    assert!((1..100).contains(&put), "{put}");
    assert_eq!(sum, put as u64 * 24);
    expect_nothing(&mut rx);
    tx.publish();
    for _ in 0..put {
        assert_eq!(take(&mut rx).map(|frame| frame.0), Some(bytes.to_vec()));
    }
    expect_nothing(&mut rx);
    assert_eq!(tx.put_run(&[], 24), (0, 0));
    assert_eq!(tx.put_run(&[Part::of(&bytes)], 23), (0, 0));
}

/// Every limit and every kind of record: what the short ways take is what the long ones take, and what they
/// leave is still there.
#[test]
fn the_short_ways_take_and_leave_what_the_long_ones_would() {
    let (mut tx, mut rx, _, _) = pair(256, 5);
    let (mut short, mut long, mut refused) = ([0, 0], [0, 0], 0);
    let mut sent = VecDeque::new();
    for id in 0..1000u64 {
        let bytes = message(id, &[id as usize * 7 % 60]).remove(0);
        if tx.put_plain(&Part::of(&bytes)) {
            short[0] += 1;
            sent.push_back(bytes);
        } else if tx.put(&[Part::of(&bytes)]).is_ok() {
            long[0] += 1;
            sent.push_back(bytes);
        } else {
            refused += 1;
        }
        tx.publish();
        if id % 3 == 0 {
            continue;
        }
        while let Some(expected) = sent.pop_front() {
            let plain = rx.peek_plain();
            let Ok(Next::Frame(frame)) = rx.peek() else { panic!("message {id} is not there") };
            match plain {
                Some(plain) => {
                    assert_eq!(plain, frame);
                    short[1] += 1;
                }
                None => long[1] += 1,
            }
            let mut got = vec![0; frame.len];
            // SAFETY: room for the whole frame, which was peeked just now.
            unsafe { rx.copy(frame, got.as_mut_ptr()) };
            rx.consume(frame);
            assert_eq!(got, expected);
        }
        assert_eq!(rx.peek_plain(), None);
        rx.publish();
    }
    assert!(short.iter().all(|some| *some > 300) && long.iter().all(|some| *some > 0), "{short:?} {long:?}");
    assert!(refused < 300, "{refused}");
}

#[test]
fn the_short_ways_leave_limits_in_bytes_and_what_is_no_frame_to_the_long_ones() {
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    tx.set_bytes_max(512);
    assert!(!tx.put_plain(&Part::of(&[0; 8])));
    tx.set_bytes_max(0);
    assert!(tx.put_plain(&Part::of(&[0; 8])));
    assert_eq!(rx.peek_plain(), None);
    tx.publish();
    rx.set_skips();
    assert_eq!(rx.peek_plain(), None);
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    tx.need(1);
    tx.publish();
    assert_eq!(rx.peek_plain(), None);
    assert_eq!(rx.peek(), Ok(Next::Needs(1)));
    rx.satisfied();
    tx.close();
    assert_eq!(rx.peek_plain(), None);
    assert_eq!(rx.peek(), Ok(Next::Closed));
}

#[test]
fn room_comes_back_by_what_the_reader_published_and_not_by_what_it_consumed() {
    let (mut tx, mut rx, _, ring) = pair(1024, 0);
    let mut sent = 0;
    while write(&mut tx, sent, &[24]).is_ok() {
        sent += 1;
    }
    let before: Vec<u64> = (0..1024).step_by(8).map(|at| ring.word(at).load(Relaxed)).collect();
    for id in 0..3 {
        expect(&mut rx, id, &[24]);
    }
    assert_eq!(write(&mut tx, sent, &[24]), Err(Refusal::Space { grow: false }));
    let after: Vec<u64> = (0..1024).step_by(8).map(|at| ring.word(at).load(Relaxed)).collect();
    assert_eq!(before, after);
    rx.publish();
    assert_eq!(write(&mut tx, sent, &[24]), Ok(false));
}

/// Thresholds never exceed what a dry reader has published, wherever the ring stands.
#[test]
fn every_threshold_is_met_by_a_dry_reader() {
    for start in 0..64 {
        for size in [0, 8, 40, 72] {
            for credit in [0, 1, 2, 3, 7] {
                let (mut tx, mut rx, control, _) = pair(256, credit);
                for id in 0..start {
                    write(&mut tx, id, &[8]).unwrap();
                    take_message(&mut rx).unwrap();
                    rx.publish();
                }
                let wish = message(0, &[size]);
                while tx.write(&parts(&wish)).is_ok() {}
                assert_eq!(tx.arm(tx.bytes_for(&parts(&wish))), Ok(Arm::Armed));
                let w = control.0.w.load(Relaxed) & !FLAG_BITS;
                assert!(control.0.space_wake_at.load(Relaxed) <= w);
                let mut asked = false;
                while let Some((_, _, now)) = take(&mut rx) {
                    asked |= now;
                }
                asked |= rx.publish();
                assert!(asked, "start {start}, size {size}, credit {credit}");
                assert!(rx.arm());
                assert_eq!(control.0.r.load(Relaxed), w);
                assert_eq!(tx.write(&parts(&wish)), Ok(true));
            }
        }
    }
}

/// a blocked writer is woken once per half credit, not once per message.
#[test]
fn a_writer_that_waits_for_credit_is_asked_for_once_half_of_it_is_back() {
    let (mut tx, mut rx, _, _) = pair(4096, 16);
    for id in 0..16 {
        write(&mut tx, id, &[8]).unwrap();
    }
    assert_eq!(tx.arm(16), Ok(Arm::Armed));
    let asked: Vec<u64> = (1..=16).filter(|_| take_message(&mut rx).unwrap().1).collect();
    assert_eq!(asked, [8]);
}

/// a blocked writer is woken once per half ring.
#[test]
fn a_writer_that_waits_for_space_is_asked_for_once_half_of_it_is_back() {
    let (mut tx, mut rx, control, _) = pair(4096, 0);
    let mut sent = 0;
    while write(&mut tx, sent, &[24]).is_ok() {
        sent += 1;
    }
    assert_eq!(tx.arm(32), Ok(Arm::Armed));
    let asked: Vec<u64> = (0..sent).filter(|_| take_message(&mut rx).unwrap().1).collect();
    assert_eq!(asked.len(), 1);
    let read = (asked[0] + 1) * 32;
    assert!((sent * 32 - 2048..=sent * 32 - 2048 + 4096 / 8).contains(&read), "woken at {read}");
    assert_eq!(control.0.r.load(Relaxed) & WAITING, 0);
}

/// what was put must be visible before its writer waits, or the reader cannot reach the threshold.
#[test]
fn a_writer_that_armed_after_unpublished_puts_is_woken_by_a_dry_reader() {
    let (mut tx, mut rx, _, _) = pair(4096, 4);
    for id in 0..4 {
        tx.put(&parts(&message(id, &[8]))).unwrap();
    }
    assert_eq!(tx.put(&parts(&message(4, &[8]))), Err(Refusal::Credit));
    tx.publish();
    assert_eq!(tx.arm(16), Ok(Arm::Armed));
    let mut asked = false;
    while let Some((_, _, now)) = take(&mut rx) {
        asked |= now;
    }
    assert!(asked | rx.publish());
}

/// JUMP is written between messages; the reader ends one ring before it begins the next.
#[test]
fn a_message_lies_in_one_ring() {
    let (mut tx, mut rx, control, _) = pair(256, 0);
    write(&mut tx, 1, &[8, 8, 8]).unwrap();
    let (second, third) = (HeapRing::new(512), HeapRing::new(1024));
    let number = tx.next_ring();
    tx.jump(second.clone());
    write(&mut tx, 2, &[200, 100]).unwrap();
    rx.announce(number, second);
    let number = tx.next_ring();
    tx.jump(third.clone());
    write(&mut tx, 3, &[400]).unwrap();
    expect(&mut rx, 1, &[8, 8, 8]);
    expect(&mut rx, 2, &[200, 100]);
    assert_eq!(rx.peek(), Ok(Next::Stalled));
    assert_eq!(rx.peek(), Ok(Next::Stalled));
    rx.announce(number, third);
    expect(&mut rx, 3, &[400]);
    rx.publish();
    assert_eq!(control.0.r.load(Relaxed), control.0.w.load(Relaxed));
    assert_eq!(tx.refresh(), Ok(()));
    assert_eq!(undelivered(&mut tx), Vec::<Message>::new());
}

/// whatever fills a ring, JUMP and its filler fit behind it.
#[test]
fn a_jump_fits_into_a_ring_however_it_was_filled() {
    for first in 0..256 {
        for second in [0, 1, 8, 9, 24] {
            let (mut tx, mut rx, _, _) = pair(256, 0);
            let mut sent = Vec::new();
            for size in std::iter::once(first).chain(std::iter::repeat(second)) {
                let next = message(sent.len() as u64, &[size]);
                match tx.write(&parts(&next)) {
                    Ok(_) => sent.push(next),
                    Err(_) => break,
                }
            }
            let (number, ring) = (tx.next_ring(), HeapRing::new(512));
            tx.jump(ring.clone());
            rx.announce(number, ring);
            let last = message(99, &[100]);
            tx.write(&parts(&last)).unwrap();
            sent.push(last);
            for expected in sent {
                assert_eq!(take_message(&mut rx).unwrap().0, expected);
            }
        }
    }
}

/// What the peer wrote is loaded once, checked, and only the checked copy is used: the reader.
#[test]
fn a_reader_says_which_header_or_position_cannot_be() {
    let (mut tx, mut rx, control, ring) = pair(256, 0);
    write(&mut tx, 1, &[8]).unwrap();
    let header = ring.word(0).load(Relaxed);
    let mut refused = |bad: u64| {
        ring.word(0).store(bad, Relaxed);
        rx.peek().expect_err("a header that is not one")
    };
    for bad in [0, header & !VALID, header | 1 << 36, header | 1 << 40, header ^ 1 << 48, header | JUMP | PAD]
    {
        assert_eq!(refused(bad), Poisoned::Header { header: bad, position: 0 }, "{bad:#x}");
    }
    for len in [9, 248, u64::from(u32::MAX)] {
        let bytes = record_bytes(len);
        assert_eq!(refused(VALID | len), Poisoned::Length { bytes, position: 0, room: 16 });
    }
    ring.word(0).store(header, Relaxed);
    expect(&mut rx, 1, &[8]);
    control.0.w.store(8, Relaxed);
    assert_eq!(rx.peek(), Err(Poisoned::Position { theirs: 8, low: 16, high: u64::MAX }));
}

/// the writer.
#[test]
fn a_writer_says_which_position_or_count_cannot_be() {
    let (mut tx, mut rx, control, _) = pair(256, 0);
    write(&mut tx, 1, &[8]).unwrap();
    write(&mut tx, 2, &[8]).unwrap();
    expect(&mut rx, 1, &[8]);
    rx.publish();
    assert_eq!(tx.refresh(), Ok(()));
    for theirs in [0, 8, 40, 1 << 63, !FLAG_BITS] {
        control.0.r.store(theirs, Relaxed);
        assert_eq!(tx.refresh(), Err(Poisoned::Position { theirs, low: 16, high: 32 }));
    }
    control.0.r.store(16, Relaxed);
    for theirs in [0, 3, u64::MAX] {
        control.0.msgs_read.store(theirs, Relaxed);
        assert_eq!(tx.refresh(), Err(Poisoned::Count { theirs, sent: 2, known: 1 }));
    }
}

/// positions are multiples of 8 beside the two flags; a third flag is nobody's (design.md 4).
#[test]
fn a_flag_that_does_not_exist_poisons_an_index_word() {
    let (mut tx, mut rx, control, _) = pair(256, 1);
    write(&mut tx, 1, &[8]).unwrap();
    control.0.r.store(4, Relaxed);
    assert!(tx.refresh().is_err());
    control.0.w.store(16 | 4, Relaxed);
    assert!(rx.peek().is_err());
}

/// `delivered` passes a message when its first frame is handed out. After every number of frames
/// taken, published or not, over three rings: exactly the messages of which none was taken are left.
#[test]
fn undelivered_is_exact_after_every_frame_that_a_reader_took() {
    let sizes: [&[usize]; 9] =
        [&[8], &[0, 0], &[30, 1, 2], &[60], &[90, 5], &[0], &[200, 100, 7], &[1], &[8, 8]];
    let frames: usize = sizes.iter().map(|sizes| sizes.len()).sum();
    for taken in 0..=frames {
        for publish_every in [0, 1, 2, 3] {
            for closes in [false, true] {
                let (mut tx, mut rx, _, _) = pair(256, 0);
                let mut sent = Vec::new();
                for (id, sizes) in sizes.iter().enumerate() {
                    let next = message(id as u64, sizes);
                    while tx.put(&parts(&next)).is_err() {
                        let ring = HeapRing::new(2 * tx.capacity() as usize);
                        rx.announce(tx.next_ring(), ring.clone());
                        tx.jump(ring);
                    }
                    sent.push(next);
                    // The last two stay unpublished: they are nobody's either.
                    if id < 7 {
                        tx.publish();
                    }
                }
                assert!(tx.next_ring() >= 3, "two jumps");
                let (mut begun, mut inside) = (0, false);
                for count in 1..=taken {
                    let Some((_, more, _)) = take(&mut rx) else { break };
                    begun += usize::from(!inside);
                    inside = more;
                    if publish_every > 0 && count % publish_every == 0 {
                        rx.publish();
                    }
                }
                if closes {
                    rx.close();
                }
                assert_eq!(undelivered(&mut tx), sent[begun..], "{taken} frames taken");
            }
        }
    }
}

/// a reader that looked, and even copied, has not been handed anything yet.
#[test]
fn a_frame_that_was_only_peeked_is_undelivered() {
    let (mut tx, mut rx, _, _) = pair(256, 0);
    write(&mut tx, 1, &[8]).unwrap();
    assert!(matches!(rx.peek(), Ok(Next::Frame(_))));
    assert_eq!(undelivered(&mut tx), [message(1, &[8])]);
}

// ---------------------------------------------------------------- sleep bits in one thread

#[test]
fn a_publish_says_once_that_the_reader_had_armed() {
    let (mut tx, mut rx, control, _) = pair(256, 0);
    expect_nothing(&mut rx);
    assert!(rx.arm());
    assert!(rx.arm());
    assert_eq!(control.0.w.load(Relaxed), ASLEEP);
    assert!(!rx.moved());
    assert_eq!(write(&mut tx, 1, &[8]), Ok(true));
    assert_eq!(write(&mut tx, 2, &[8]), Ok(false));
    assert!(rx.moved());
    assert!(!rx.arm());
    expect(&mut rx, 1, &[8]);
}

#[test]
fn a_reader_publishes_after_an_eighth_of_the_ring_or_of_the_credit() {
    let (mut tx, mut rx, control, _) = pair(1024, 0);
    for id in 0..8 {
        write(&mut tx, id, &[24]).unwrap();
    }
    let published: Vec<u64> =
        (0..8).map(|_| take_message(&mut rx).map(|_| control.0.r.load(Relaxed)).unwrap()).collect();
    assert_eq!(published, [0, 0, 0, 128, 128, 128, 128, 256]);
    let (mut tx, mut rx, control, _) = pair(4096, 24);
    for id in 0..6 {
        write(&mut tx, id, &[0]).unwrap();
    }
    let counts: Vec<u64> =
        (0..6).map(|_| take_message(&mut rx).map(|_| control.0.msgs_read.load(Relaxed)).unwrap()).collect();
    assert_eq!(counts, [0, 0, 3, 3, 3, 6]);
}

// ---------------------------------------------------------------- at random, against a queue

#[derive(Debug, Clone)]
enum Op {
    Put(Vec<usize>),
    Publish,
    Take(usize),
    Flush,
    Arm,
    Announce,
    Credit(u64),
}

fn op(capacity: usize) -> impl Strategy<Value = Op> {
    let size = prop_oneof![3 => 0..40usize, 1 => 0..=capacity / 2];
    prop_oneof![
        6 => prop::collection::vec(size, 1..4).prop_map(Op::Put),
        4 => Just(Op::Publish),
        6 => (1..6usize).prop_map(Op::Take),
        1 => Just(Op::Flush),
        1 => Just(Op::Arm),
        1 => Just(Op::Announce),
        1 => prop_oneof![Just(0u64), Just(1), 2..20u64].prop_map(Op::Credit),
    ]
}

fn capacity_for(message: &Message) -> u64 {
    Tx::<HeapControl, HeapRing>::capacity_for(&parts(message))
}

/// What a ring must do, as a queue and four flags.
struct Model {
    tx: HeapTx,
    rx: HeapRx,
    control: HeapControl,
    announcements: VecDeque<(u32, HeapRing)>,
    credit: u64,
    grows: bool,
    accepted: Vec<Message>,
    /// Messages covered by the last publish.
    visible: usize,
    /// Whole messages taken, and frames of the next.
    taken: usize,
    frames: usize,
    asleep: bool,
    /// The message that the writer waits for.
    waits_for: Option<Message>,
}

impl Model {
    fn new(capacity: usize, credit: u64, grows: bool) -> Model {
        let (tx, rx, control, _) = pair(capacity, credit);
        Model {
            tx,
            rx,
            control,
            announcements: VecDeque::new(),
            credit,
            grows,
            accepted: Vec::new(),
            visible: 0,
            taken: 0,
            frames: 0,
            asleep: false,
            waits_for: None,
        }
    }

    fn in_flight(&self) -> u64 {
        self.accepted.len() as u64 - self.control.0.msgs_read.load(Relaxed)
    }

    fn put(&mut self, sizes: &[usize]) {
        let next = message(self.accepted.len() as u64, sizes);
        match self.tx.put(&parts(&next)) {
            Ok(()) => {
                assert!(self.credit == 0 || self.in_flight() < self.credit);
                self.accepted.push(next);
            }
            Err(Refusal::Credit) => {
                assert!(self.credit > 0 && self.in_flight() >= self.credit);
                self.wait(next);
            }
            Err(Refusal::Space { grow }) => {
                assert_eq!(grow, capacity_for(&next) > self.tx.capacity());
                if grow || self.grows {
                    self.grow(next);
                } else {
                    self.wait(next);
                }
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn grow(&mut self, next: Message) {
        let ring = HeapRing::new(capacity_for(&next).max(2 * self.tx.capacity()) as usize);
        self.announcements.push_back((self.tx.next_ring(), ring.clone()));
        self.tx.jump(ring);
        self.tx.put(&parts(&next)).expect("a new ring takes what it was made for");
        self.accepted.push(next);
    }

    fn wait(&mut self, next: Message) {
        self.publish();
        let armed = self.tx.arm(self.tx.bytes_for(&parts(&next)));
        assert_eq!(armed, Ok(Arm::Armed), "nobody moved meanwhile");
        self.waits_for = Some(next);
    }

    fn publish(&mut self) {
        assert_eq!(self.tx.publish(), self.asleep);
        self.asleep = false;
        self.visible = self.accepted.len();
    }

    /// The reader published: if it says that the writer asked, what the writer waits for must fit.
    fn marked(&mut self, asked: bool) {
        if asked {
            let next = self.waits_for.take().expect("asked without having been armed");
            match self.tx.put(&parts(&next)) {
                Ok(()) => self.accepted.push(next),
                // Only credit was missing as far as `put` said; no ring of this size would do.
                Err(Refusal::Space { grow: true }) => self.grow(next),
                other => panic!("thresholds are met, so there is room and credit: {other:?}"),
            }
        }
    }

    fn take(&mut self, frames: usize) {
        for _ in 0..frames {
            match self.rx.peek().unwrap() {
                Next::Frame(frame) => {
                    assert!(self.taken < self.visible, "seen before it was published");
                    let expected = &self.accepted[self.taken];
                    if self.frames == 0 {
                        let mut ahead = Vec::new();
                        self.rx.look_ahead(|frame| ahead.push(memory::copy(&self.rx, frame))).unwrap();
                        assert_eq!(&ahead, expected);
                    }
                    assert_eq!(memory::copy(&self.rx, frame), expected[self.frames]);
                    assert_eq!(frame.more, self.frames + 1 < expected.len());
                    self.frames = if frame.more { self.frames + 1 } else { 0 };
                    self.taken += usize::from(!frame.more);
                    let asked = self.rx.consume(frame);
                    assert_eq!(self.rx.inside_message(), frame.more);
                    self.marked(asked);
                }
                Next::Stalled => {
                    let (number, ring) = self.announcements.pop_front().expect("every JUMP is announced");
                    self.rx.announce(number, ring);
                }
                Next::Empty => {
                    assert_eq!(self.taken, self.visible);
                    return;
                }
                Next::Closed => panic!("nobody closed"),
                Next::Passed(_) | Next::Needs(_) => {
                    panic!("nothing is passed over, and nothing lies in a block")
                }
            }
        }
    }

    fn flush(&mut self) {
        let asked = self.rx.publish();
        self.marked(asked);
    }

    fn arm(&mut self) {
        if self.rx.peek().unwrap() == Next::Empty {
            self.flush();
            assert!(self.waits_for.is_none(), "a dry reader leaves no writer waiting");
            assert!(self.rx.arm());
            self.asleep = true;
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            // A blocked writer does nothing else.
            Op::Put(_) | Op::Publish | Op::Credit(_) if self.waits_for.is_some() => {}
            Op::Put(sizes) => self.put(sizes),
            Op::Publish => self.publish(),
            Op::Take(frames) => self.take(*frames),
            Op::Flush => self.flush(),
            Op::Arm => self.arm(),
            Op::Announce => {
                if let Some((number, ring)) = self.announcements.pop_front() {
                    self.rx.announce(number, ring);
                }
            }
            Op::Credit(credit) => {
                self.credit = *credit;
                self.tx.set_credit(*credit);
                self.rx.set_credit(*credit);
            }
        }
    }

    /// what a reader that leaves can read, and what is the writer's again, are complete and disjoint.
    fn leave(mut self, refuses: bool) {
        self.publish();
        let begun = self.taken + usize::from(self.frames > 0);
        if refuses {
            self.rx.refuse();
        } else {
            self.rx.finish(|_| true);
        }
        let left = undelivered(&mut self.tx);
        let readable = self.accepted.len() - left.len();
        assert_eq!(left, self.accepted[readable..]);
        while let Next::Frame(frame) = self.rx.peek().unwrap() {
            assert_eq!(memory::copy(&self.rx, frame), self.accepted[self.taken][self.frames]);
            self.frames = if frame.more { self.frames + 1 } else { 0 };
            self.taken += usize::from(!frame.more);
            self.rx.consume(frame);
        }
        assert_eq!(self.rx.peek().unwrap(), Next::Closed);
        assert_eq!((self.taken, self.frames), (readable, 0));
        if refuses {
            assert_eq!(readable, begun);
        } else {
            assert!(left.is_empty() || !self.announcements.is_empty(), "all that is there is taken");
        }
        assert_eq!(undelivered(&mut self.tx), left);
    }

    /// R-7 at this instant; then all that was accepted comes out.
    fn finish(mut self) {
        let begun = self.taken + usize::from(self.frames > 0);
        assert_eq!(undelivered(&mut self.tx), self.accepted[begun..]);
        // What was accepted, then what the writer waited for and put when it was asked.
        for _ in 0..2 {
            self.publish();
            self.take(usize::MAX);
            self.flush();
            assert!(self.waits_for.is_none(), "a dry reader leaves no writer waiting");
        }
        assert_eq!(self.taken, self.accepted.len());
        assert_eq!(undelivered(&mut self.tx), Vec::<Message>::new());
        self.tx.refresh().unwrap();
        assert_eq!(self.tx.depth(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// together, on a ring that grows whenever it is full.
    #[test]
    fn a_growing_ring_is_a_queue(
        credit in prop_oneof![Just(0u64), Just(1), 2..20u64],
        ops in prop::collection::vec(op(256), 1..120),
    ) {
        let mut model = Model::new(256, credit, true);
        for op in &ops {
            model.step(op);
        }
        model.finish();
    }

    /// R-7 for a reader that leaves, with rings that it was not told of.
    #[test]
    fn what_a_leaving_reader_has_and_what_is_undelivered_are_complete_and_disjoint(
        credit in prop_oneof![Just(0u64), Just(1), 2..20u64],
        ops in prop::collection::vec(op(256), 1..120),
        refuses in any::<bool>(),
    ) {
        let mut model = Model::new(256, credit, true);
        for op in &ops {
            model.step(op);
        }
        model.leave(refuses);
    }

    /// The same on a ring whose writer waits where it can, and grows only where it must.
    #[test]
    fn a_ring_whose_writer_waits_is_a_queue(
        capacity in prop_oneof![Just(128usize), Just(256), Just(1024)],
        credit in prop_oneof![Just(0u64), Just(1), 2..20u64],
        ops in prop::collection::vec(op(256), 1..120),
    ) {
        let mut model = Model::new(capacity, credit, false);
        for op in &ops {
            model.step(op);
        }
        model.finish();
    }

    /// `bytes_for` and `capacity_for` say what a write then takes.
    #[test]
    fn a_ring_of_capacity_for_bytes_takes_the_message_wherever_it_begins(
        start in 0..200u64,
        sizes in prop::collection::vec(0..300usize, 1..5),
    ) {
        let wish = message(1, &sizes);
        let capacity = capacity_for(&wish).max(128);
        let (mut tx, mut rx, control, _) = pair(capacity as usize, 0);
        for id in 0..start {
            write(&mut tx, id, &[0]).unwrap();
            take(&mut rx).unwrap();
            rx.publish();
        }
        let bytes = tx.bytes_for(&parts(&wish));
        prop_assert!(bytes + JUMP_RESERVE <= capacity);
        let before = control.0.w.load(Relaxed);
        tx.write(&parts(&wish)).unwrap();
        prop_assert_eq!(control.0.w.load(Relaxed) - before, bytes);
        prop_assert_eq!(take_message(&mut rx).unwrap().0, wish);
    }
}

#[test]
fn the_flags_of_the_page_do_not_overlap() {
    assert_eq!(ASLEEP & CLOSED, 0);
    assert_eq!(WAITING & CLOSED, 0);
    assert_eq!((ASLEEP | CLOSED | WAITING) & !FLAG_BITS, 0);
    assert_eq!(VALID & MORE | PAD & JUMP, 0);
}

// ---------------------------------------------------------------- R-8, and the byte limit

#[test]
fn a_reader_that_skips_hands_out_the_newest_message_only() {
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    rx.set_skips();
    for id in 0..5 {
        let begin = tx.position();
        write(&mut tx, id, &[8, 9]).unwrap();
        tx.skip_before(begin);
    }
    expect(&mut rx, 4, &[8, 9]);
    expect_nothing(&mut rx);
}

#[test]
fn a_message_whose_first_frame_was_handed_out_is_read_to_its_end() {
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    rx.set_skips();
    write(&mut tx, 1, &[8, 9]).unwrap();
    assert_eq!(take(&mut rx).map(|frame| frame.1), Some(true));
    write(&mut tx, 2, &[8, 9]).unwrap();
    tx.skip_before(tx.position());
    assert_eq!(take(&mut rx).map(|frame| frame.1), Some(false));
    expect_nothing(&mut rx);
}

/// With a writer that fills the ring faster than the reader wakes, everything there is always withdrawn.
#[test]
fn a_reader_that_passed_over_all_there_was_gets_the_next_message_in_any_case() {
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    rx.set_skips();
    write(&mut tx, 1, &[8]).unwrap();
    tx.skip_before(tx.position());
    expect_nothing(&mut rx);
    write(&mut tx, 2, &[8, 9]).unwrap();
    write(&mut tx, 3, &[8]).unwrap();
    tx.skip_before(tx.position());
    expect(&mut rx, 2, &[8, 9]);
    expect_nothing(&mut rx);
}

#[test]
fn a_message_that_the_reader_settled_on_is_not_passed_over() {
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    rx.set_skips();
    write(&mut tx, 1, &[8, 9]).unwrap();
    assert!(matches!(rx.peek(), Ok(Next::Frame(_))));
    rx.settle(true);
    write(&mut tx, 2, &[8]).unwrap();
    tx.skip_before(tx.position());
    expect(&mut rx, 1, &[8, 9]);
    expect_nothing(&mut rx);
}

#[test]
fn what_is_no_longer_wanted_is_not_given_back_either() {
    let (mut tx, _, _, _) = pair(1024, 0);
    write(&mut tx, 1, &[8]).unwrap();
    let begin = tx.position();
    write(&mut tx, 2, &[8]).unwrap();
    tx.skip_before(begin);
    assert_eq!(undelivered(&mut tx), vec![message(2, &[8])]);
}

#[test]
fn the_byte_limit_refuses_as_credit_does_but_never_a_lone_message() {
    let (mut tx, mut rx, _, _) = pair(1024, 0);
    tx.set_bytes_max(100);
    assert_eq!(write(&mut tx, 1, &[200]), Ok(false));
    assert_eq!(write(&mut tx, 2, &[1]), Err(Refusal::Credit));
    assert!(!tx.may_write());
    assert_eq!(tx.arm(record_bytes(1)), Ok(Arm::Armed));
    let (_, asked) = take_message(&mut rx).unwrap();
    assert!(asked || rx.publish(), "the writer waits for bytes");
    assert_eq!(write(&mut tx, 2, &[40]), Ok(false));
    assert_eq!(write(&mut tx, 3, &[40]), Ok(false));
    assert_eq!(write(&mut tx, 4, &[40]), Err(Refusal::Credit));
}

proptest! {
    /// R-8 at random, across rings: what is handed out is in order and begins at or behind `skip`, and
    /// nothing at or behind it is missed. But who passed over all there was gets what comes next.
    #[test]
    fn a_skipping_reader_gets_exactly_what_is_still_wanted(
        steps in prop::collection::vec((0u8..5, 0usize..60), 1..120),
    ) {
        let (mut tx, mut rx, _, _) = pair(256, 0);
        rx.set_skips();
        let mut unread: VecDeque<(u64, Message)> = VecDeque::new();
        let (mut id, mut skip, mut passed, mut starved) = (0, 0, false, false);
        for (step, size) in steps {
            match step {
                0..3 => {
                    id += 1;
                    let sizes = [size, size / 2];
                    let mut begin = tx.position();
                    if write(&mut tx, id, &sizes).is_err() {
                        let ring = HeapRing::new(tx.capacity() as usize * 2);
                        rx.announce(tx.next_ring(), ring.clone());
                        tx.jump(ring);
                        begin = tx.position();
                        prop_assert!(write(&mut tx, id, &sizes).is_ok());
                    }
                    unread.push_back((begin, message(id, &sizes)));
                }
                3 => {
                    // To the beginning of some message, or behind all.
                    let at = unread.get(size % (unread.len() + 1)).map_or(tx.position(), |one| one.0);
                    tx.skip_before(at);
                    skip = skip.max(at);
                }
                _ => {
                    while !starved && unread.front().is_some_and(|one| one.0 < skip) {
                        unread.pop_front();
                        passed = true;
                    }
                    let expected = unread.pop_front().map(|one| one.1);
                    starved = passed && expected.is_none();
                    passed &= expected.is_none();
                    let found = take_message(&mut rx).map(|found| found.0);
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
