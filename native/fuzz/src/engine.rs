//! libFuzzer's side: one program for all targets; SHMZMQ_FUZZ_TARGET says which.
//!
//! One program and not one per target, because it links once and because a row in the table is then all that a
//! new target needs.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use shmzmq_fuzz::{Check, TARGETS, target};

static CHECK: OnceLock<Check> = OnceLock::new();

fn chosen() -> Check {
    let name = std::env::var("SHMZMQ_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let known = TARGETS.map(|(known, _)| known).join(", ");
        eprintln!("SHMZMQ_FUZZ_TARGET={name:?} is no target; there are {known}");
        std::process::exit(2)
    })
}

fuzz_target!(|data: &[u8]| {
    CHECK.get_or_init(chosen)(data);
});
