//! Words and rings on the heap, for one thread: every access is checked against the ring's range.
//!
//! An access outside a ring, or an unaligned header, fails the test that caused it. Header loads are
//! counted, so that a test can bound the work of one call.

#![allow(dead_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use shmzmq_shm::ring::{Bytes, Control, Frame, Next, Part, Rx, Tx};
use shmzmq_shm::sync::Ordering;

#[derive(Default)]
pub struct Words {
    pub w: AtomicU64,
    pub r: AtomicU64,
    pub msgs_read: AtomicU64,
    pub delivered: AtomicU64,
    pub space_wake_at: AtomicU64,
    pub msgs_wake_at: AtomicU64,
    pub skip: AtomicU64,
}

impl Words {
    pub fn all(&self) -> [&AtomicU64; 7] {
        [
            &self.w,
            &self.r,
            &self.msgs_read,
            &self.delivered,
            &self.space_wake_at,
            &self.msgs_wake_at,
            &self.skip,
        ]
    }
}

#[derive(Clone, Default)]
pub struct HeapControl(pub Rc<Words>);

impl Control for HeapControl {
    type Word = AtomicU64;
    fn w(&self) -> &AtomicU64 {
        &self.0.w
    }
    fn r(&self) -> &AtomicU64 {
        &self.0.r
    }
    fn msgs_read(&self) -> &AtomicU64 {
        &self.0.msgs_read
    }
    fn delivered(&self) -> &AtomicU64 {
        &self.0.delivered
    }
    fn space_wake_at(&self) -> &AtomicU64 {
        &self.0.space_wake_at
    }
    fn msgs_wake_at(&self) -> &AtomicU64 {
        &self.0.msgs_wake_at
    }
    fn skip(&self) -> &AtomicU64 {
        &self.0.skip
    }
}

/// A ring's bytes; clones are the same bytes.
#[derive(Clone)]
pub struct HeapRing {
    words: Rc<[AtomicU64]>,
    pub headers_loaded: Rc<Cell<u64>>,
}

impl HeapRing {
    pub fn new(capacity: usize) -> HeapRing {
        assert!(capacity.is_power_of_two() && capacity >= 8);
        HeapRing {
            words: (0..capacity / 8).map(|_| AtomicU64::new(0)).collect(),
            headers_loaded: Rc::default(),
        }
    }
    /// The header or the eight payload bytes at `offset`, for a test that plays the peer.
    pub fn word(&self, offset: u64) -> &AtomicU64 {
        assert_eq!(offset % 8, 0, "unaligned header at {offset}");
        &self.words[offset as usize / 8]
    }
    fn at(&self, offset: u64, len: usize) -> *mut u8 {
        let end = offset.checked_add(len as u64);
        assert!(end.is_some_and(|end| end <= self.capacity()), "{len} bytes at {offset}");
        // SAFETY: in range by the line above; atomics may be written through a shared reference.
        unsafe { self.words.as_ptr().cast::<u8>().cast_mut().add(offset as usize) }
    }
}

impl Bytes for HeapRing {
    fn capacity(&self) -> u64 {
        self.words.len() as u64 * 8
    }
    fn load_header(&self, offset: u64) -> u64 {
        self.headers_loaded.set(self.headers_loaded.get() + 1);
        assert!(self.headers_loaded.get() < 50_000_000, "unbounded work");
        self.word(offset).load(Ordering::Relaxed)
    }
    fn store_header(&self, offset: u64, header: u64) {
        self.word(offset).store(header, Ordering::Relaxed);
    }
    unsafe fn put(&self, offset: u64, from: *const u8, len: usize) {
        // SAFETY: the caller vouches for `from`, `at` for the range; no other thread has this ring.
        unsafe { std::ptr::copy_nonoverlapping(from, self.at(offset, len), len) };
    }
    unsafe fn get(&self, offset: u64, to: *mut u8, len: usize) {
        // SAFETY: the caller vouches for `to`, `at` for the range; no other thread has this ring.
        unsafe { std::ptr::copy_nonoverlapping(self.at(offset, len), to, len) };
    }
}

pub type HeapTx = Tx<HeapControl, HeapRing>;
pub type HeapRx = Rx<HeapControl, HeapRing>;

pub fn pair(capacity: usize, credit: u64) -> (HeapTx, HeapRx, HeapControl, HeapRing) {
    let (control, ring) = (HeapControl::default(), HeapRing::new(capacity));
    let tx = Tx::new(control.clone(), ring.clone(), credit);
    let rx = Rx::new(control.clone(), ring.clone(), credit);
    (tx, rx, control, ring)
}

pub type Message = Vec<Vec<u8>>;

/// A message that says which one it is: part sizes from `sizes`, bytes from `id`.
pub fn message(id: u64, sizes: &[usize]) -> Message {
    let byte = |part: usize, at: usize| (id as usize * 31 + part * 7 + at) as u8;
    sizes.iter().enumerate().map(|(part, &size)| (0..size).map(|at| byte(part, at)).collect()).collect()
}

pub fn parts(message: &Message) -> Vec<Part> {
    message.iter().map(|part| Part::of(part)).collect()
}

pub fn copy(rx: &HeapRx, frame: Frame) -> Vec<u8> {
    let mut bytes = vec![0; frame.len];
    // SAFETY: as many bytes as the frame has; callers pass what they peeked last.
    unsafe { rx.copy(frame, bytes.as_mut_ptr()) };
    bytes
}

/// The next frame, taken; whether more follow; whether the writer asked to be marked.
pub fn take(rx: &mut HeapRx) -> Option<(Vec<u8>, bool, bool)> {
    match rx.peek() {
        Ok(Next::Frame(frame)) => {
            let bytes = copy(rx, frame);
            Some((bytes, frame.more, rx.consume(frame)))
        }
        Ok(_) => None,
        Err(poisoned) => panic!("{poisoned}"),
    }
}

/// The next whole message, taken, and whether the writer asked to be marked.
pub fn take_message(rx: &mut HeapRx) -> Option<(Message, bool)> {
    let mut whole = Vec::new();
    loop {
        let (bytes, more, asked) = take(rx)?;
        whole.push(bytes);
        if !more {
            return Some((whole, asked));
        }
    }
}

pub fn undelivered(tx: &mut HeapTx) -> Vec<Message> {
    let mut found = Vec::new();
    tx.undelivered(|message| found.push(message.iter().map(|left| left.bytes().to_vec()).collect()));
    found
}
