//! Waits: a reader for messages, a writer for room and for credit, both for the other's end.
//!
//! Sleepers block on a doorbell that loom knows; a lost wake-up is a deadlock that loom reports.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/loom_memory.rs"]
mod memory;

use loom::thread;
use memory::{
    Doorbell, Got, LoomRing, Mailbox, SMALLEST, Socket, arm, explore, pair, read, receive, send, write,
};
use shmzmq_shm::ring::Arm;

/// Nobody but the reader sleeps; the ring has room for all.
fn reader_sleeps(messages: u64) {
    let (mut tx, mut rx) = pair::<false>(256, 0, 0);
    let socket = Socket::<false>::new();
    let to = socket.clone();
    let writer = thread::spawn(move || {
        for value in 1..=messages {
            let asked = write(&mut tx, value).unwrap();
            to.mark_if(asked, 0);
        }
    });
    for value in 1..=messages {
        assert_eq!(receive(&mut rx, &socket, None, None), Some(value));
    }
    writer.join().unwrap();
}

/// Y-1: ASLEEP, ready words and doorbell together.
#[test]
fn a_sleeping_reader_is_woken_for_each_of_two_messages() {
    explore("reader sleeps, 2 messages", None, || reader_sleeps(2));
}

#[test]
fn a_sleeping_reader_is_woken_for_each_of_three_messages() {
    explore("reader sleeps, 3 messages", None, || reader_sleeps(3));
}

/// The reader spins, publishing when dry; the writer sleeps when refused.
fn writer_sleeps(capacity: usize, skip: u64, credit: u64, messages: u64) {
    let (mut tx, mut rx) = pair::<false>(capacity, credit, skip);
    let socket = Socket::<false>::new();
    let own = socket.clone();
    let writer = thread::spawn(move || {
        for value in 1..=messages {
            assert!(send(&mut tx, value, &own, None));
        }
    });
    let mut expected = 1;
    while expected <= messages {
        match read(&mut rx).unwrap() {
            Got::Message(value, asked) => {
                assert_eq!(value, expected);
                expected += 1;
                socket.mark_if(asked, 0);
            }
            Got::Empty => {
                let asked = rx.publish();
                socket.mark_if(asked, 0);
                thread::yield_now();
            }
            other => panic!("{other:?}"),
        }
    }
    let asked = rx.publish();
    socket.mark_if(asked, 0);
    writer.join().unwrap();
}

/// room for two, the third waits for its threshold.
#[test]
fn a_writer_that_waits_for_space_is_woken() {
    explore("writer waits for space, 3 messages", Some(4), || writer_sleeps(SMALLEST, 0, 0, 3));
}

#[test]
fn a_writer_that_waits_for_credit_is_woken() {
    explore("writer waits for credit 1, 2 messages", None, || writer_sleeps(256, 0, 1, 2));
}

/// Both thresholds are set at once: two messages are under way, the ring and the credit are full.
#[test]
fn a_writer_that_waits_for_space_and_credit_at_once_is_woken() {
    explore("writer waits for space and credit 2, 3 messages", Some(3), || {
        writer_sleeps(SMALLEST, 1, 2, 3);
    });
}

fn both_sleep(capacity: usize, credit: u64, messages: u64) {
    let (mut tx, mut rx) = pair::<false>(capacity, credit, 0);
    let (mine, theirs) = (Socket::<false>::new(), Socket::<false>::new());
    let (reader, own) = (mine.clone(), theirs.clone());
    let writer = thread::spawn(move || {
        for value in 1..=messages {
            assert!(send(&mut tx, value, &own, Some(&reader)));
        }
    });
    for value in 1..=messages {
        assert_eq!(receive(&mut rx, &mine, Some(&theirs), None), Some(value));
    }
    let asked = rx.publish();
    theirs.mark_if(asked, 0);
    writer.join().unwrap();
}

/// the two waits never wait for each other.
#[test]
fn a_reader_and_a_writer_that_both_sleep_wake_each_other_for_credit() {
    explore("both sleep, credit 1, 2 messages", Some(4), || both_sleep(256, 1, 2));
}

#[test]
fn a_reader_and_a_writer_that_both_sleep_wake_each_other_for_space() {
    explore("both sleep, room for two, 3 messages", Some(3), || both_sleep(SMALLEST, 0, 3));
}

#[test]
fn a_reader_and_a_writer_that_both_sleep_wake_each_other_for_space_and_credit() {
    explore("both sleep, room for two, credit 2, 3 messages", Some(3), || both_sleep(SMALLEST, 2, 3));
}

/// a wish may be replaced. A send of 72 bytes gave up waiting, one of 40 waits now. The reader reads
/// one message, which is enough for the second wish and not for the first, and then reads no more.
#[test]
fn a_writer_that_lowered_its_thresholds_is_woken_when_they_are_met() {
    explore("writer re-arms with a lower threshold", None, || {
        let (mut tx, mut rx) = pair::<false>(SMALLEST, 0, 0);
        write(&mut tx, 1).unwrap();
        write(&mut tx, 2).unwrap();
        assert_eq!(tx.arm(72), Ok(Arm::Armed));
        let socket = Socket::<false>::new();
        let own = socket.clone();
        let writer = thread::spawn(move || assert!(send(&mut tx, 3, &own, None)));
        let Got::Message(1, asked) = read(&mut rx).unwrap() else { panic!("it was written") };
        socket.mark_if(asked, 0);
        writer.join().unwrap();
    });
}

/// The writer is done while the reader is on its way to sleep, or sleeps.
#[test]
fn a_sleeping_reader_hears_that_its_writer_closed() {
    explore("writer closes, reader sleeps", None, || {
        let (mut tx, mut rx) = pair::<false>(256, 0, 0);
        let socket = Socket::<false>::new();
        let to = socket.clone();
        let writer = thread::spawn(move || {
            let asked = write(&mut tx, 1).unwrap();
            to.mark_if(asked, 0);
            let asked = tx.close();
            to.mark_if(asked, 0);
        });
        assert_eq!(receive(&mut rx, &socket, None, None), Some(1));
        assert_eq!(receive(&mut rx, &socket, None, None), None);
        writer.join().unwrap();
    });
}

/// The reader takes `taken` of two messages and leaves while the writer of a third is on its way to
/// sleep for credit and space, or sleeps.
fn reader_closes(taken: u64) {
    let (mut tx, mut rx) = pair::<false>(SMALLEST, 2, 0);
    for value in 1..=2 {
        write(&mut tx, value).unwrap();
    }
    let socket = Socket::<false>::new();
    let own = socket.clone();
    let writer = thread::spawn(move || {
        let sent = send(&mut tx, 3, &own, None);
        (sent, tx)
    });
    for value in 1..=taken {
        let Got::Message(found, asked) = read(&mut rx).unwrap() else { panic!("it was written") };
        assert_eq!(found, value);
        socket.mark_if(asked, 0);
    }
    let asked = rx.close();
    socket.mark_if(asked, 0);
    let (sent, mut tx) = writer.join().unwrap();
    // message 3, if it was accepted, and what was not taken were handed to nobody.
    let mut left = Vec::new();
    tx.undelivered(|message| left.push(u64::from(message[0].bytes()[0])));
    let last = if sent { 3 } else { 2 };
    assert_eq!(left, (taken + 1..=last).collect::<Vec<_>>());
    assert!(!sent || taken > 0, "there was neither room nor credit");
}

/// Nothing but the reader's close can wake this writer.
#[test]
fn a_waiting_writer_hears_that_its_reader_closed() {
    explore("reader closes, writer waits", None, || reader_closes(0));
}

/// The read that makes room and the close race with the writer's arm.
#[test]
fn a_waiting_writer_hears_of_room_or_of_a_reader_that_closed_after_making_it() {
    explore("reader reads and closes, writer waits", None, || reader_closes(1));
}

fn jump(announce_first: bool) {
    let (mut tx, mut rx) = pair::<false>(SMALLEST, 0, 0);
    let socket = Socket::<false>::new();
    let rings = Mailbox::new();
    let (to, announced) = (socket.clone(), rings.clone());
    let writer = thread::spawn(move || {
        let asked = write(&mut tx, 1).unwrap();
        to.mark_if(asked, 0);
        let (number, ring) = (tx.next_ring(), LoomRing::new(256));
        if announce_first {
            announced.announce(number, ring.clone(), &to);
        }
        tx.jump(ring.clone());
        let asked = write(&mut tx, 2).unwrap();
        to.mark_if(asked, 0);
        if !announce_first {
            announced.announce(number, ring, &to);
        }
    });
    for value in 1..=2 {
        assert_eq!(receive(&mut rx, &socket, None, Some(&rings)), Some(value));
    }
    writer.join().unwrap();
}

/// the announcement is on its way before the JUMP is published.
#[test]
fn a_sleeping_reader_follows_a_jump_that_was_announced_before() {
    explore("JUMP announced before", None, || jump(true));
}

/// the reader sees the JUMP first, is Stalled, and sleeps until CONTROL.
#[test]
fn a_stalled_reader_goes_on_when_the_announcement_comes_after_the_jump() {
    explore("JUMP announced after", None, || jump(false));
}

/// The model can fail: a sleep flag beside the index word, without a fence, loses a wake-up. This is
/// the protocol that replace by one word.
#[test]
#[should_panic(expected = "deadlock")]
fn a_sleep_flag_in_a_word_of_its_own_is_caught() {
    use loom::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
    use std::sync::Arc;
    explore("mutant: flag in another word", None, || {
        let words = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let bell = Doorbell::new();
        let (theirs, to) = (words.clone(), bell.clone());
        let writer = thread::spawn(move || {
            theirs.0.store(8, Release);
            if theirs.1.load(Acquire) != 0 {
                theirs.1.fetch_and(0, AcqRel);
                to.ring();
            }
        });
        words.1.store(1, Release);
        if words.0.load(Acquire) == 0 {
            bell.wait();
        }
        writer.join().unwrap();
    });
}

/// The model can fail: a reader that sleeps although its CAS failed sleeps through what made it fail.
#[test]
#[should_panic(expected = "deadlock")]
fn a_reader_that_ignores_that_arm_failed_is_caught() {
    explore("mutant: arm's answer ignored", None, || {
        let (mut tx, mut rx) = pair::<false>(SMALLEST, 0, 0);
        let socket = Socket::<false>::new();
        let to = socket.clone();
        let writer = thread::spawn(move || {
            let asked = write(&mut tx, 1).unwrap();
            to.mark_if(asked, 0);
        });
        while read(&mut rx).unwrap() == Got::Empty {
            let _ = rx.arm();
            socket.sleep();
        }
        writer.join().unwrap();
    });
}

/// an armed writer that nobody will wake is one whose thresholds a dry reader has not met; there
/// is none. (The smallest case by hand, without interleavings, for whoever reads this first.)
#[test]
fn a_dry_reader_has_met_every_threshold() {
    explore("dry reader, by hand", None, || {
        let (mut tx, mut rx) = pair::<false>(SMALLEST, 2, 0);
        write(&mut tx, 1).unwrap();
        write(&mut tx, 2).unwrap();
        assert_eq!(arm(&mut tx), Arm::Armed);
        let mut asked = false;
        while let Got::Message(_, now) = read(&mut rx).unwrap() {
            asked |= now;
        }
        assert!(asked | rx.publish());
        assert_eq!(arm(&mut tx), Arm::Moved);
    });
}
