//! What must hold for any bytes, one file a target; an engine or a corpus supplies the bytes.
//!
//! Knows the table of targets and what each checks. Refuses to know where bytes come from: `engine.rs` takes
//! them from libFuzzer, `tests/corpus.rs` from the files that earlier runs left.
//!
//! | file | noun |
//! |---|---|
//! | [`targets`] | what is checked, a file each |
//! | [`reference`] | a second decoder, written from RFC 37, over whole buffers |
//! | [`listener`] | the decoder under test, drained as a session drains it |
//! | [`pieces`] | ways to cut the same bytes into reads |
//! | [`memory`] | an allocator that knows how much a check held at most |
//!
//! A new target is a file in `targets/`, a row below and in tools/fuzz.py, a folder `corpus/NAME`, and a section in TARGETS.md;
//! `tests/fuzz/test_fuzz_targets.py` is red until they are there.

pub mod listener;
pub mod memory;
pub mod pieces;
pub mod reference;
pub mod targets;

use targets::{commands, connection, facts, framing, greeting, metadata, traffic};

/// A check that panics when something does not hold.
pub type Check = fn(&[u8]);

/// Name, check. The name is also the folder of the corpus.
pub const TARGETS: [(&str, Check); 7] = [
    ("greeting", greeting::check),
    ("framing", framing::check),
    ("metadata", metadata::check),
    ("commands", commands::check),
    ("connection", connection::check),
    ("facts", facts::check),
    ("traffic", traffic::check),
];

/// The check of that name.
#[must_use]
pub fn target(name: &str) -> Option<Check> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}
