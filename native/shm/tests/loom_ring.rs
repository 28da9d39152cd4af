//! The ring between two threads that never sleep, in every interleaving loom knows.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p shmzmq-shm --release --test 'loom_*' -- --nocapture`
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/loom_memory.rs"]
mod memory;

use loom::thread;
use memory::{Got, LoomRing, LoomTx, Mailbox, SMALLEST, explore, pair, read, write};
use shmzmq_shm::ring::{Next, Part, Refusal};

/// Writes until there is room, spinning.
fn write_spinning<const RELAXED: bool>(tx: &mut LoomTx<RELAXED>, value: u64) {
    loop {
        match write(tx, value) {
            Ok(_) => return,
            Err(Refusal::Space { grow: false } | Refusal::Credit) => thread::yield_now(),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// `messages` through a ring of `capacity` that has seen `skip` before.
fn stream<const RELAXED: bool>(capacity: usize, skip: u64, credit: u64, messages: u64) {
    let (mut tx, mut rx) = pair::<RELAXED>(capacity, credit, skip);
    let writer = thread::spawn(move || {
        for value in 1..=messages {
            write_spinning(&mut tx, value);
        }
    });
    let mut expected = 1;
    while expected <= messages {
        match read(&mut rx).unwrap() {
            Got::Message(value, _) => {
                assert_eq!(value, expected);
                expected += 1;
            }
            Got::Empty => {
                rx.publish();
                thread::yield_now();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read(&mut rx).unwrap(), Got::Empty);
    writer.join().unwrap();
}

/// the ring holds two; the first needs filler over the end, the third reuses read bytes.
#[test]
fn three_messages_arrive_whole_and_in_order_through_a_ring_that_holds_two() {
    explore("smallest ring, 3 messages, filler, wrap", None, || stream::<false>(SMALLEST, 3, 0, 3));
}

/// the writer waits for credit and for space by turns.
#[test]
fn five_messages_arrive_in_order_while_credit_and_space_run_out() {
    explore("smallest ring, credit 1, 5 messages", Some(4), || stream::<false>(SMALLEST, 2, 1, 5));
}

/// a burst of puts behind one publish is seen whole or not at all, filler included.
#[test]
fn a_multipart_message_over_the_rings_end_is_seen_whole_or_not_at_all() {
    explore("ring of 128, multipart with filler", None, || {
        let (mut tx, mut rx) = pair::<false>(SMALLEST, 0, 3);
        let writer = thread::spawn(move || {
            // 8 bytes are left before the end: filler, then 24 bytes, then 8.
            tx.write(&[Part::of(&[7; 12]), Part::of(&[])]).unwrap();
        });
        let first = loop {
            match rx.peek().unwrap() {
                Next::Frame(frame) => break frame,
                Next::Empty => thread::yield_now(),
                other => panic!("{other:?}"),
            }
        };
        let mut bytes = [0; 12];
        assert_eq!((first.len, first.more), (12, true));
        // SAFETY: twelve bytes for a frame of twelve, peeked above.
        unsafe { rx.copy(first, bytes.as_mut_ptr()) };
        assert_eq!(bytes, [7; 12]);
        rx.consume(first);
        let Next::Frame(last) = rx.peek().unwrap() else { panic!("the second part is missing") };
        assert_eq!((last.len, last.more), (0, false));
        rx.consume(last);
        assert_eq!(rx.peek().unwrap(), Next::Empty);
        writer.join().unwrap();
    });
}

/// what a reader took before it closed and what its writer would redeliver are disjoint and complete.
#[test]
fn what_a_reader_took_and_what_is_undelivered_after_it_are_complete_and_disjoint() {
    explore("undelivered after a reader that read 0 to 2 messages", None, || {
        let (mut tx, mut rx) = pair::<false>(SMALLEST, 0, 0);
        write(&mut tx, 1).unwrap();
        let reader = thread::spawn(move || {
            let mut taken = 0;
            for _ in 0..2 {
                match read(&mut rx).unwrap() {
                    Got::Message(value, _) => taken = value,
                    Got::Empty => thread::yield_now(),
                    other => panic!("{other:?}"),
                }
            }
            rx.close();
            taken
        });
        write(&mut tx, 2).unwrap();
        let taken = reader.join().unwrap();
        let mut left = Vec::new();
        tx.undelivered(|message| left.push(u64::from_le_bytes(message[0].bytes()[..8].try_into().unwrap())));
        assert_eq!(left, (taken + 1..=2).collect::<Vec<_>>());
    });
}

/// spinning on both sides, the announcement first (its queue is the control channel).
#[test]
fn a_spinning_reader_follows_a_jump() {
    explore("JUMP, spinning", None, || {
        let (mut tx, mut rx) = pair::<false>(SMALLEST, 0, 1);
        let rings = Mailbox::new();
        let announced = rings.clone();
        let writer = thread::spawn(move || {
            write(&mut tx, 1).unwrap();
            let ring = LoomRing::new(256);
            announced.push(tx.next_ring(), ring.clone());
            tx.jump(ring);
            write(&mut tx, 2).unwrap();
            write(&mut tx, 3).unwrap();
            assert_eq!(tx.capacity(), 256);
        });
        let mut expected = 1;
        while expected <= 3 {
            match read(&mut rx).unwrap() {
                Got::Message(value, _) => {
                    assert_eq!(value, expected);
                    expected += 1;
                }
                Got::Stalled => rings.take(&mut rx),
                Got::Empty => thread::yield_now(),
                Got::Closed => panic!("closed"),
            }
        }
        writer.join().unwrap();
    });
}

/// The model can fail: without order between bytes and W loom sees the race. Mutant of.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_ring_whose_index_words_are_relaxed_is_caught() {
    explore("mutant: relaxed index words", None, || stream::<true>(SMALLEST, 0, 0, 1));
}
