//! What the loom models share: the ring's words and bytes as loom sees them, a doorbell, a socket's sleep.
//!
//! Knows the traits of `ring.rs` and `ready.rs` and nothing of a model. A ring's slot of 8 bytes is a
//! header word *and* a cell: headers go through the word (relaxed, as in a mapping) and touch the cell
//! too, so that loom reports a header or a payload byte that both sides touch unordered. Handles are
//! std's Arc: loom's would add branches, and cannot be dropped while a model that failed unwinds.

// Clippy does not see that loom's cells are shared between loom's threads only.
#![allow(dead_code, clippy::arc_with_non_send_sync)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as StdOrdering};

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::{Condvar, Mutex};
use shmzmq_shm::ready::{self, ReadyMemory};
use shmzmq_shm::ring::{Arm, Bytes, Control, Next, Part, Poisoned, Refusal, Rx, Tx};
use shmzmq_shm::sync::Ordering;

/// Runs `model` in every interleaving that loom knows, or in all with at most `preemptions` of them,
/// and prints how many there were.
pub fn explore(name: &'static str, preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let began = std::time::Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 5_000;
    builder.check(move || {
        counted.fetch_add(1, StdOrdering::Relaxed);
        model();
    });
    let bound = preemptions.map_or("none".into(), |bound| bound.to_string());
    println!(
        "loom: {name}: {} iterations, preemption bound {bound}, {:.1} s",
        runs.load(StdOrdering::Relaxed),
        began.elapsed().as_secs_f64()
    );
}

/// The words of one direction. `RELAXED` is the mutant whose swaps and CASes order nothing.
pub struct Words<const RELAXED: bool> {
    w: AtomicU64,
    r: AtomicU64,
    msgs_read: AtomicU64,
    delivered: AtomicU64,
    space_wake_at: AtomicU64,
    msgs_wake_at: AtomicU64,
    skip: AtomicU64,
}

pub struct LoomControl<const RELAXED: bool>(Arc<Words<RELAXED>>);

impl<const RELAXED: bool> Clone for LoomControl<RELAXED> {
    fn clone(&self) -> Self {
        LoomControl(self.0.clone())
    }
}

impl<const RELAXED: bool> LoomControl<RELAXED> {
    pub fn new() -> Self {
        let word = || AtomicU64::new(0);
        LoomControl(Arc::new(Words {
            w: word(),
            r: word(),
            msgs_read: word(),
            delivered: word(),
            space_wake_at: word(),
            msgs_wake_at: word(),
            skip: word(),
        }))
    }
}

impl<const RELAXED: bool> Control for LoomControl<RELAXED> {
    type Word = AtomicU64;
    const ORDER: Ordering = if RELAXED { Ordering::Relaxed } else { Ordering::AcqRel };
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

struct Slot {
    header: AtomicU64,
    bytes: UnsafeCell<[u8; 8]>,
}

/// A ring of `slots * 8` bytes.
#[derive(Clone)]
pub struct LoomRing(Arc<Vec<Slot>>);

impl LoomRing {
    pub fn new(capacity: usize) -> Self {
        let slot = |_| Slot { header: AtomicU64::new(0), bytes: UnsafeCell::new([0; 8]) };
        LoomRing(Arc::new((0..capacity / 8).map(slot).collect()))
    }
}

impl Bytes for LoomRing {
    fn capacity(&self) -> u64 {
        self.0.len() as u64 * 8
    }
    fn load_header(&self, offset: u64) -> u64 {
        let slot = &self.0[offset as usize / 8];
        slot.bytes.with(|_| ());
        slot.header.load(Ordering::Relaxed)
    }
    fn store_header(&self, offset: u64, header: u64) {
        let slot = &self.0[offset as usize / 8];
        slot.bytes.with_mut(|_| ());
        slot.header.store(header, Ordering::Relaxed);
    }
    unsafe fn put(&self, offset: u64, from: *const u8, len: usize) {
        for at in (0..len).step_by(8) {
            let slot = &self.0[offset as usize / 8 + at / 8];
            // SAFETY: `from` is readable for `len` bytes (the caller's word); loom guards the cell.
            slot.bytes.with_mut(|to| unsafe {
                std::ptr::copy_nonoverlapping(from.add(at), to.cast(), (len - at).min(8));
            });
        }
    }
    unsafe fn get(&self, offset: u64, to: *mut u8, len: usize) {
        for at in (0..len).step_by(8) {
            let slot = &self.0[offset as usize / 8 + at / 8];
            // SAFETY: `to` is writable for `len` bytes (the caller's word); loom guards the cell.
            slot.bytes.with(|from| unsafe {
                std::ptr::copy_nonoverlapping(from.cast(), to.add(at), (len - at).min(8));
            });
        }
    }
}

/// An eventfd: sticky, rung by anyone, read by its owner.
#[derive(Clone)]
pub struct Doorbell(Arc<(Mutex<bool>, Condvar)>);

impl Doorbell {
    pub fn new() -> Self {
        Doorbell(Arc::new((Mutex::new(false), Condvar::new())))
    }
    pub fn ring(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
    pub fn wait(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// A ready page with one group. `RELAXED` is the mutant.
pub struct Ready<const RELAXED: bool> {
    summary: AtomicU64,
    group: [AtomicU64; 2],
}

impl<const RELAXED: bool> ReadyMemory for Ready<RELAXED> {
    type Word = AtomicU64;
    const ORDER: Ordering = if RELAXED { Ordering::Relaxed } else { Ordering::AcqRel };
    fn summary(&self) -> &AtomicU64 {
        &self.summary
    }
    fn group(&self, group: usize) -> &AtomicU64 {
        &self.group[group]
    }
}

/// What a socket sleeps by: its ready words and its doorbell. The publisher's half and the owner's.
pub struct Socket<const RELAXED: bool> {
    ready: Arc<Ready<RELAXED>>,
    bell: Doorbell,
}

impl<const RELAXED: bool> Clone for Socket<RELAXED> {
    fn clone(&self) -> Self {
        Socket { ready: self.ready.clone(), bell: self.bell.clone() }
    }
}

impl<const RELAXED: bool> Socket<RELAXED> {
    pub fn new() -> Self {
        let word = || AtomicU64::new(0);
        let ready = Arc::new(Ready { summary: word(), group: [word(), word()] });
        Socket { ready, bell: Doorbell::new() }
    }

    /// A publisher that was told that the other side asked for it.
    pub fn mark_if(&self, asked: bool, slot: u32) {
        if asked && ready::mark(&*self.ready, slot) {
            self.bell.ring();
        }
    }

    pub fn mark_control(&self) {
        if ready::mark_control(&*self.ready) {
            self.bell.ring();
        }
    }

    /// Sleeps until something is marked; the slots that were, and whether CONTROL was.
    pub fn sleep(&self) -> (Vec<usize>, bool) {
        loop {
            if ready::arm(&*self.ready) {
                self.bell.wait();
            }
            ready::disarm(&*self.ready);
            let mut slots = Vec::new();
            let control = ready::take(&*self.ready, |slot| slots.push(slot));
            if control || !slots.is_empty() {
                return (slots, control);
            }
        }
    }
}

pub type LoomTx<const RELAXED: bool> = Tx<LoomControl<RELAXED>, LoomRing>;
pub type LoomRx<const RELAXED: bool> = Rx<LoomControl<RELAXED>, LoomRing>;

/// Both ends of a ring through which `skip` messages already went.
pub fn pair<const RELAXED: bool>(
    capacity: usize,
    credit: u64,
    skip: u64,
) -> (LoomTx<RELAXED>, LoomRx<RELAXED>) {
    let (control, ring) = (LoomControl::new(), LoomRing::new(capacity));
    let mut tx = Tx::new(control.clone(), ring.clone(), credit);
    let mut rx = Rx::new(control, ring, credit);
    for _ in 0..skip {
        assert_eq!(write(&mut tx, 0), Ok(false));
        assert_eq!(read(&mut rx), Ok(Got::Message(0, false)));
        assert!(!rx.publish() && tx.refresh().is_ok());
    }
    (tx, rx)
}

/// The smallest ring that [`Tx::capacity_for`] finds large enough for [`message`]. It holds two of
/// them; the fourth message and every third one after it need filler before them.
pub const SMALLEST: usize = 128;

/// One frame of 40 bytes in the ring: `value`, as often as it fits.
pub fn message(value: u64) -> [u64; 4] {
    [value; 4]
}

fn part(frame: &[u64; 4]) -> Part {
    Part::new(frame.as_ptr().cast(), size_of_val(frame))
}

pub fn write<const RELAXED: bool>(tx: &mut LoomTx<RELAXED>, value: u64) -> Result<bool, Refusal> {
    tx.write(&[part(&message(value))])
}

pub fn arm<const RELAXED: bool>(tx: &mut LoomTx<RELAXED>) -> Arm {
    tx.arm(tx.bytes_for(&[part(&message(0))])).unwrap()
}

#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// A message's value, and whether the writer's socket must be marked.
    Message(u64, bool),
    Empty,
    Stalled,
    Closed,
}

pub fn read<const RELAXED: bool>(rx: &mut LoomRx<RELAXED>) -> Result<Got, Poisoned> {
    Ok(match rx.peek()? {
        Next::Frame(frame) => {
            let mut whole = message(0);
            assert_eq!((frame.len, frame.more), (size_of_val(&whole), false));
            // SAFETY: as many bytes as the frame has, which was peeked above.
            unsafe { rx.copy(frame, whole.as_mut_ptr().cast()) };
            assert_eq!(whole, message(whole[0]));
            Got::Message(whole[0], rx.consume(frame))
        }
        Next::Empty => Got::Empty,
        Next::Stalled => Got::Stalled,
        Next::Passed(_) | Next::Needs(_) => panic!("nothing lies in a block"),
        Next::Closed => Got::Closed,
    })
}

/// Reads the next message as a socket does whose only pipe is `rx`, in `slot` 0: looks, publishes
/// before it sleeps, arms, sleeps. None: the writer has closed. `writer` is marked in slot 0.
pub fn receive<const RELAXED: bool>(
    rx: &mut LoomRx<RELAXED>,
    own: &Socket<RELAXED>,
    writer: Option<&Socket<RELAXED>>,
    rings: Option<&Mailbox>,
) -> Option<u64> {
    let mark_writer = |asked| {
        if let Some(writer) = writer {
            writer.mark_if(asked, 0);
        }
    };
    loop {
        let stalled = match read(rx).unwrap() {
            Got::Message(value, asked) => {
                mark_writer(asked);
                return Some(value);
            }
            Got::Closed => return None,
            Got::Stalled => true,
            Got::Empty => false,
        };
        mark_writer(rx.publish());
        if stalled || rx.arm() {
            let (_, control) = own.sleep();
            if let (true, Some(rings)) = (control, rings) {
                rings.take(rx);
            }
        }
    }
}

/// Writes one message as a blocking send does: tries, arms, sleeps. False: the reader has closed.
pub fn send<const RELAXED: bool>(
    tx: &mut LoomTx<RELAXED>,
    value: u64,
    own: &Socket<RELAXED>,
    reader: Option<&Socket<RELAXED>>,
) -> bool {
    loop {
        match write(tx, value) {
            Ok(asked) => {
                if let Some(reader) = reader {
                    reader.mark_if(asked, 0);
                }
                return true;
            }
            Err(Refusal::Closed) => return false,
            Err(Refusal::Credit | Refusal::Space { grow: false }) => {}
            Err(other) => panic!("{other:?}"),
        }
        if arm(tx) == Arm::Armed {
            own.sleep();
        }
    }
}

/// The control channel: announcements on their way to a reader's socket.
#[derive(Clone)]
pub struct Mailbox(Arc<Mutex<VecDeque<(u32, LoomRing)>>>);

impl Mailbox {
    pub fn new() -> Self {
        Mailbox(Arc::new(Mutex::new(VecDeque::new())))
    }
    pub fn push(&self, number: u32, ring: LoomRing) {
        self.0.lock().unwrap().push_back((number, ring));
    }
    pub fn announce<const RELAXED: bool>(&self, number: u32, ring: LoomRing, to: &Socket<RELAXED>) {
        self.push(number, ring);
        to.mark_control();
    }
    pub fn take<const RELAXED: bool>(&self, rx: &mut LoomRx<RELAXED>) {
        for (number, ring) in std::mem::take(&mut *self.0.lock().unwrap()) {
            rx.announce(number, ring);
        }
    }
}
