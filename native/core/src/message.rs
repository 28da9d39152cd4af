//! Frames that are owned, and frames that are about to be sent.
//!
//! A frame on its way into a ring is only borrowed; it becomes a [`Payload`] when it has to wait in a
//! queue of this process. A payload may be foreign memory with an owner (a Python `bytes`): then the
//! owner is released wherever the payload is dropped, by a function that must not need the GIL.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::Arc;

use shmzmq_shm::arena::Block;
use shmzmq_shm::ring::Part;

use crate::error::{Error, Result};
use crate::loan::Loan;
use crate::reserve;

/// Memory that belongs to someone else, kept alive by `owner`.
#[derive(Debug)]
pub struct Foreign {
    at: *const u8,
    len: usize,
    owner: *mut c_void,
    release: fn(*mut c_void),
}

// SAFETY: the memory is immutable while the owner lives (the maker of a Foreign vouches for it), and
// `release` may be called from any thread.
unsafe impl Send for Foreign {}
// SAFETY: as above; behind a shared reference it is only read.
unsafe impl Sync for Foreign {}

impl Foreign {
    /// # Safety
    /// `at` is readable for `len` bytes and unchanging until `release(owner)` is called, which may
    /// happen on any thread, with or without the GIL.
    pub unsafe fn new(at: *const u8, len: usize, owner: *mut c_void, release: fn(*mut c_void)) -> Foreign {
        Foreign { at, len, owner, release }
    }

    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes the owner back instead of releasing it.
    pub fn into_owner(self) -> *mut c_void {
        std::mem::ManuallyDrop::new(self).owner
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        (self.release)(self.owner);
    }
}

/// One owned frame.
#[derive(Debug)]
pub enum Payload {
    Heap(Box<[u8]>),
    Foreign(Foreign),
    /// A frame that waits in several places.
    Shared(Arc<Payload>),
    /// So many bytes of a block of our own arena, or of another socket's.
    Block(Arc<Block>, usize),
    /// A received frame, still where its sender wrote it.
    Loan(Arc<Loan>),
}

impl Payload {
    pub fn empty() -> Payload {
        Payload::Heap(Box::new([]))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::Heap(bytes) => bytes,
            // SAFETY: readable and unchanging while the owner lives, by the contract of Foreign::new.
            Payload::Foreign(foreign) => unsafe { std::slice::from_raw_parts(foreign.at, foreign.len) },
            Payload::Shared(shared) => shared.bytes(),
            // SAFETY: the handle keeps the bytes as they are.
            Payload::Block(block, len) => unsafe { std::slice::from_raw_parts(block.at(), *len) },
            // SAFETY: the loan keeps the mapping; a correct sender does not write there.
            Payload::Loan(loan) => unsafe { std::slice::from_raw_parts(loan.at(), loan.len()) },
        }
    }

    /// The same frame once more: by reference where that is possible.
    pub fn again(&self) -> Result<Payload> {
        Ok(match self {
            Payload::Block(block, len) => Payload::Block(block.clone(), *len),
            Payload::Loan(loan) => Payload::Loan(loan.clone()),
            Payload::Shared(shared) => Payload::Shared(shared.clone()),
            other => return Payload::copy(other.bytes()),
        })
    }

    /// A copy of bytes that a program chose.
    pub fn copy(bytes: &[u8]) -> Result<Payload> {
        let mut copied = Vec::new();
        copied.try_reserve_exact(bytes.len()).map_err(|_| no_memory(bytes.len()))?;
        copied.extend_from_slice(bytes);
        Ok(Payload::from(copied))
    }

    pub fn part(&self) -> Part {
        match self {
            Payload::Block(block, len) => Part::of_block(block, *len),
            Payload::Shared(shared) => shared.part(),
            other => Part::of(other.bytes()),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Payload::Heap(bytes.into_boxed_slice())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Payload::Heap(bytes.into())
    }
}

#[cold]
fn no_memory(bytes: usize) -> Error {
    Error::NoMemory(format!("a message of {bytes} bytes that has to wait"))
}

/// Places in a queue for `more`, before the first of it is made. Refused as well while memory is short (reserve.rs).
#[inline]
pub fn reserve_places<T>(queue: &mut VecDeque<T>, more: usize) -> Result<()> {
    if reserve::admits() && queue.try_reserve(more).is_ok() {
        return Ok(());
    }
    Err(Error::NoMemory(format!("a message that has to wait behind {} others", queue.len())))
}

/// One owned message: a first frame and, rarely, more.
#[derive(Debug)]
pub struct Message {
    pub first: Payload,
    pub rest: Vec<Payload>,
}

impl Message {
    pub fn from_frames(frames: impl IntoIterator<Item = Payload>) -> Option<Message> {
        let mut frames = frames.into_iter();
        let first = frames.next()?;
        Some(Message { first, rest: frames.collect() })
    }

    pub fn frames(&self) -> impl Iterator<Item = &Payload> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub fn frames_mut(&mut self) -> impl Iterator<Item = &mut Payload> {
        std::iter::once(&mut self.first).chain(&mut self.rest)
    }

    pub fn bytes(&self) -> u64 {
        self.frames().map(|frame| frame.bytes().len() as u64).sum()
    }
}

/// What a peer had not taken when it went, oldest first.
#[derive(Default)]
pub struct Undelivered {
    pub messages: VecDeque<Message>,
    /// The newest ones, for which there was no memory.
    pub lost: u64,
}

impl Undelivered {
    /// The next one; None if it found no memory. Behind one that is lost the others are as well.
    pub fn take(&mut self, message: Option<Message>) {
        match message {
            Some(message) if self.lost == 0 && reserve_places(&mut self.messages, 1).is_ok() => {
                self.messages.push_back(message);
            }
            _ => self.lost += 1,
        }
    }

    pub fn count(&self) -> u64 {
        self.messages.len() as u64 + self.lost
    }
}

/// The frames of one message as the caller of a send holds them.
pub trait Frames {
    /// Where the bytes are; at least one frame.
    fn parts(&self) -> &[Part];
    /// Frame `index` as something that outlives the call; an error if there is no memory for it.
    fn keep(&self, index: usize) -> Result<Payload>;
}

/// A message of one frame that is ours and not the caller's.
pub struct Own {
    payload: Payload,
    parts: [Part; 1],
}

impl Own {
    pub fn new(bytes: Vec<u8>) -> Own {
        let payload = Payload::from(bytes);
        let parts = [payload.part()];
        Own { payload, parts }
    }
}

impl Frames for Own {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, _index: usize) -> Result<Payload> {
        Payload::copy(self.payload.bytes())
    }
}

/// A message as a socket type sends it: an envelope of its own, then the caller's frames from `skip` on.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    pub envelope: &'a [Payload],
    pub frames: &'a dyn Frames,
    pub skip: usize,
}

impl<'a> Outgoing<'a> {
    pub fn plain(frames: &'a dyn Frames) -> Self {
        Outgoing { envelope: &[], frames, skip: 0 }
    }

    /// The parts, built in `scratch` only if there is an envelope.
    pub fn parts<'s>(&'s self, scratch: &'s mut Vec<Part>) -> &'s [Part] {
        if self.envelope.is_empty() {
            return &self.frames.parts()[self.skip..];
        }
        scratch.clear();
        scratch.extend(self.envelope.iter().map(Payload::part));
        scratch.extend_from_slice(&self.frames.parts()[self.skip..]);
        scratch
    }

    /// An owned copy; foreign owners are kept instead of copying. An error if there is no memory for it.
    pub fn to_message(self) -> Result<Message> {
        let count = self.frames.parts().len();
        if self.envelope.is_empty() && count == self.skip + 1 {
            return Ok(Message { first: self.frames.keep(self.skip)?, rest: Vec::new() });
        }
        let kept = (self.skip..count).map(|index| self.frames.keep(index));
        let mut all: Vec<Payload> =
            self.envelope.iter().map(Payload::again).chain(kept).collect::<Result<_>>()?;
        let first = if all.is_empty() { Payload::empty() } else { all.remove(0) };
        Ok(Message { first, rest: all })
    }
}

/// Memory of the size of a frame that is still to come, which nobody else knows of.
pub struct Blank {
    at: *mut u8,
    payload: Payload,
}

// SAFETY: the memory belongs to the Blank alone, and its owner is released by whoever drops it.
unsafe impl Send for Blank {}

impl Blank {
    /// # Safety
    /// `at` is writable where `payload` is readable, and nobody else has access before `into_payload`.
    pub unsafe fn new(at: *mut u8, payload: Payload) -> Blank {
        Blank { at, payload }
    }

    pub fn at(&mut self) -> *mut u8 {
        self.at
    }

    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match &self.payload {
            Payload::Foreign(foreign) => foreign.len,
            other => other.bytes().len(),
        }
    }

    /// The frame, once all of it is written.
    pub fn into_payload(self) -> Payload {
        self.payload
    }
}

/// Where received frames go. Called under the socket's lock: must not block, nor call back.
pub trait Sink {
    /// Room for a frame of `len` bytes, or None if there is none: then the frame stays where it is.
    fn room(&mut self, len: usize, more: bool) -> Option<*mut u8>;
    /// Would it rather have a large frame where it is than room for a copy?
    fn borrows(&mut self, _len: usize) -> bool {
        false
    }
    /// Memory for a frame that comes later: `owned` will have it.
    fn blank(&mut self, _len: usize) -> Option<Blank> {
        None
    }
    /// Does what it borrows stay with the program?
    fn keeps(&self) -> bool {
        true
    }
    /// A frame that is already owned.
    fn owned(&mut self, payload: Payload, more: bool);
}

/// A sink that collects one frame on the heap.
#[derive(Default)]
pub struct Collect {
    pub bytes: Vec<u8>,
    pub more: bool,
}

impl Sink for Collect {
    fn room(&mut self, len: usize, more: bool) -> Option<*mut u8> {
        self.bytes = vec![0; len];
        self.more = more;
        Some(self.bytes.as_mut_ptr())
    }

    fn owned(&mut self, payload: Payload, more: bool) {
        self.bytes = payload.bytes().to_vec();
        self.more = more;
    }
}

/// A sink for what nobody wants; it needs hardly any memory.
#[derive(Default)]
pub struct Skip {
    room: Vec<u8>,
}

impl Sink for Skip {
    fn room(&mut self, len: usize, _more: bool) -> Option<*mut u8> {
        self.room.clear();
        self.room.try_reserve_exact(len).ok()?;
        Some(self.room.as_mut_ptr())
    }

    fn borrows(&mut self, _len: usize) -> bool {
        true
    }

    fn keeps(&self) -> bool {
        false
    }

    fn owned(&mut self, _payload: Payload, _more: bool) {}
}
