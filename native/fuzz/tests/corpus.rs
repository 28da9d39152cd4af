//! Every input that was ever worth keeping, without an engine: what a fuzzer found once stays found.

use std::fs;
use std::path::PathBuf;

use shmzmq_fuzz::TARGETS;

fn files(target: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_input_of_every_corpus_holds() {
    for (target, check) in TARGETS {
        let files = files(target);
        assert!(!files.is_empty(), "{target} has no corpus");
        for file in files {
            eprintln!("{}", file.display());
            check(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_holds_for_nothing_and_for_little() {
    for (_, check) in TARGETS {
        check(&[]);
        for byte in 0..=255 {
            check(&[byte]);
            check(&[byte, 0]);
        }
    }
}
