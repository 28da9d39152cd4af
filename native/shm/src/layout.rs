//! The bytes of the shared pages: offsets, sizes, flag bits. Nobody else writes `+ 8`.
//!
//! ```text
//! pipe segment (one memfd per connection, made by the binder)
//!   0      header        magic, abi, sizes; written once, checked once (segment.rs)
//!   1024   direction 0   binder -> connecter     each word on its own 128-byte line:
//!   2048   direction 1   connecter -> binder
//!             +0    W    write position | ASLEEP (reader sleeps) | CLOSED (writer is done)
//!             +128  P    space_wake_at, msgs_wake_at, skip       writer's line
//!             +256  R    read position | WAITING (writer waits) | CLOSED (reader is done); msgs_read
//!             +384  D    delivered                               reader's line
//!             +512  B    returned: one bit per group of blocks, WAITING    reader's, taken by the writer
//!                        returns_wake_at                                   writer's
//!   4096   returns 0, then returns 1   one bit per block of the writer's arena (returns.rs)
//!   12288  ring 0, then ring 1
//!
//! arena segment (one memfd per step of growth, made by a sending socket): blocks, nothing else
//!
//! growth segment (one memfd per JUMP, made by the writer): nothing but the ring's bytes
//!
//! ready page (one memfd per socket)
//!   0      summary       one bit per group | CONTROL | SLEEPING
//!   128    groups        one word per group, one bit per pipe slot
//!
//! record: u64 header, payload, padding to 8
//!   63........48 47....40 39....32 31.............0
//!   seq          0        flags    payload length
//! ```
//!
//! Positions are byte counts since the connection began; they never wrap and are multiples of
//! [`ALIGN`], so their low bits carry the flags. 128-byte lines because x86 prefetches lines in pairs
//! (Intel 64 optimisation manual, "spatial prefetcher") and some ARM cores have 128-byte lines.

/// Everything in a ring is aligned to this many bytes.
pub const ALIGN: u64 = 8;
pub const PAGE: usize = 4096;
pub const LINE: usize = 128;

/// First word of a pipe segment: "SHMZMQ" and the number 1.
pub const MAGIC: u64 = 0x5348_4d5a_4d51_0001;
/// Layout version. Bumped whenever an offset, a flag or a meaning on this page changes.
pub const ABI: u32 = 3;

pub const HEADER_MAGIC: usize = 0;
pub const HEADER_ABI: usize = 8;
pub const HEADER_SEGMENT_BYTES: usize = 16;
pub const HEADER_RING_BYTES: usize = 24;

pub const DIRECTION: [usize; 2] = [1024, 2048];
pub const W: usize = 0;
pub const SPACE_WAKE_AT: usize = LINE;
pub const MSGS_WAKE_AT: usize = LINE + 8;
pub const SKIP: usize = LINE + 16;
pub const R: usize = 2 * LINE;
pub const MSGS_READ: usize = 2 * LINE + 8;
pub const DELIVERED: usize = 3 * LINE;
pub const RETURNED: usize = 4 * LINE;
pub const RETURNS_WAKE_AT: usize = 4 * LINE + 8;
/// The words that the reader of each direction gives blocks back by.
pub const RETURNS: [usize; 2] = [PAGE, 2 * PAGE];
/// The first ring begins here; the second follows it.
pub const RINGS: usize = 3 * PAGE;

pub const SUMMARY: usize = 0;
pub const GROUP: usize = LINE;

/// In W: the reader sleeps or looks elsewhere; whoever publishes next must mark it ready.
pub const ASLEEP: u64 = 1;
/// In R: the writer waits for room or credit; whoever publishes past its thresholds must mark it ready.
pub const WAITING: u64 = 1;
/// In W: the writer will publish nothing more. In R: the reader will read nothing more.
pub const CLOSED: u64 = 2;
/// The bits of an index word that are not position.
pub const FLAG_BITS: u64 = ALIGN - 1;

/// Set in every record header, so that no legal header is zero (a punched hole reads as zero).
pub const VALID: u64 = 1 << 32;
/// Another frame of the same message follows.
pub const MORE: u64 = 1 << 33;
/// Filler up to the end of the ring; carries no frame.
pub const PAD: u64 = 1 << 34;
/// The writer goes on in the next announced ring; payload: its number.
pub const JUMP: u64 = 1 << 35;
/// The payload is a descriptor: the frame's bytes lie in a block of the writer's arena.
pub const DESC: u64 = 1 << 36;
/// Between messages: what follows lies in a segment that was announced; payload: its number.
pub const NEEDS: u64 = JUMP | DESC;
pub const RECORD_FLAGS: u64 = VALID | MORE | PAD | JUMP | DESC;
pub const LENGTH_BITS: u64 = 0xffff_ffff;
pub const SEQ_SHIFT: u32 = 48;

/// A frame's header in the ring.
pub const HEADER_BYTES: u64 = 8;
/// Room that a writer never gives to frames: a JUMP record and the filler before it always fit.
pub const JUMP_RESERVE: u64 = 48;
/// The payload of a JUMP record.
pub const JUMP_BYTES: u64 = 8;

/// The payload of a DESC record: segment (32 bits), block (32 bits), offset in the segment, length.
pub const DESC_BYTES: u64 = 24;

/// Default and smallest size of a ring, in bytes.
pub const RING_BYTES: usize = 256 * 1024;
pub const RING_BYTES_MIN: usize = 4096;
/// Largest ring that is ever mapped for a peer: one message must fit, and lengths are 32 bits.
pub const RING_BYTES_MAX: usize = 1 << 36;

/// Bytes that a payload of `len` bytes occupies in a ring.
pub const fn record_bytes(len: u64) -> u64 {
    HEADER_BYTES + ((len + ALIGN - 1) & !(ALIGN - 1))
}

/// Bytes of a pipe segment whose rings have `ring_bytes` each.
pub const fn segment_bytes(ring_bytes: usize) -> usize {
    RINGS + 2 * ring_bytes
}

const _: () = assert!(DELIVERED + 8 <= DIRECTION[1] - DIRECTION[0]);
const _: () = assert!(RETURNS_WAKE_AT + 8 <= DIRECTION[1] - DIRECTION[0]);
const _: () = assert!(DIRECTION[1] + RETURNS_WAKE_AT + 8 <= RETURNS[0]);
const _: () = assert!(crate::returns::WORDS * 8 <= PAGE);
const _: () = assert!(RING_BYTES.is_power_of_two() && RING_BYTES_MIN.is_power_of_two());
const _: () = assert!(JUMP_RESERVE >= 2 * record_bytes(JUMP_BYTES));
