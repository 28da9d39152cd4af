//! Everything that is laid out in shared memory: rings, ready words, segments.
//!
//! This crate knows no Python, no sockets and no threads of its own. Each algorithm is generic over
//! its words and its bytes, so that loom can drive the very code that runs over mapped memory
//! (`tests/loom_*.rs`). What the crate assumes of the other side: nothing. A peer may write any value
//! into the pages it maps; it can break its own connection with that and nothing else.
//!
//! | file | noun |
//! |---|---|
//! | [`layout`] | every offset, size and flag bit of the shared pages |
//! | [`sync`] | the words of rings and ready pages; the trait that lets loom stand in |
//! | [`part`] | a frame as a ring takes it: bytes, or a descriptor of a block |
//! | [`arena`] | blocks for large frames, seen by their owner: classes, growth, who has which |
//! | [`exports`] | an arena's blocks that buffers show, and what a fork keeps of them |
//! | [`private`] | an arena seen by its readers: copy-on-write, and what a fork keeps |
//! | [`ring`] | one writer, one reader: write, publish, read, credit, sleep bits, JUMP to a larger ring |
//! | [`ready`] | the words by which many publishers wake one sleeping socket |
//! | [`budget`] | how many bytes of shared memory this process may reserve, and has |
//! | [`huge`] | huge pages under large blocks and frames |
//! | `policy` | what the administrator of this system has said about memory |
//! | [`returns`] | how blocks of memory come back to who lent them: one bit each |
//! | [`segment`] | memfd, seals, mapping; what is checked before a foreign fd is mapped |
//! | [`table`] | rows by key, in order, in a vector |
//! | [`fork`] | which process created a thing; fds and maps that a forked child must not touch |

pub mod arena;
pub mod budget;
pub mod exports;
pub mod fork;
pub mod huge;
pub mod layout;
pub mod part;
mod policy;
pub mod private;
pub mod ready;
pub mod returns;
pub mod ring;
pub mod segment;
pub mod sync;
pub mod table;
