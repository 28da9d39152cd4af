//! X-SHM and the bodies of SHM- commands: text from a peer that decides about rings.

use shmzmq_core::handshake::{Facts, PROPERTY, Terms, ready, terms};
use shmzmq_core::options::Options;
use shmzmq_zmtp::{Event, Inbound, Ready, SocketType, greeting};

use crate::listener::expect_printable;
use crate::memory;

/// The bytes are what a peer says in X-SHM.
pub fn check(data: &[u8]) {
    let (facts, peak) = memory::peak(|| Facts::parse(data));
    assert!(peak <= 64 * data.len() + 4096, "{peak} bytes of memory for {} bytes of facts", data.len());
    expect_first_of_each_key(&facts, data);
    match terms(Some(data)) {
        Ok(terms) => expect_terms_of(&facts, &terms),
        Err(why) => expect_printable(&why),
    }
    expect_ours_understood(data);
}

fn expect_first_of_each_key(facts: &Facts, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut seen = std::collections::HashSet::new();
    for word in text.split(' ') {
        let Some(at) = word.find('=') else { continue };
        let (key, value) = (&word[..at], &word[at + 1..]);
        if !seen.insert(key) {
            continue;
        }
        assert_eq!(facts.text(key), Some(value));
        if let Some(number) = facts.number(key) {
            let digits = value.trim_start_matches('+').trim_start_matches('0');
            assert_eq!(if digits.is_empty() { "0" } else { digits }, number.to_string());
        }
    }
    assert_eq!(facts.text("no such key"), None);
}

/// Terms say what the text says; a value is never read as another one.
fn expect_terms_of(facts: &Facts, terms: &Terms) {
    let said = |key| facts.text(key).and_then(|text| text.parse::<i128>().ok());
    assert_eq!(said("ring"), Some(terms.ring_bytes.into()));
    assert_eq!(said("sndhwm"), Some(terms.sndhwm.into()));
    assert_eq!(said("rcvhwm"), Some(terms.rcvhwm.into()));
    assert_eq!(said("keeps") == Some(1), terms.keeps);
    assert_eq!(said("conflates") == Some(1), terms.conflates);
    let lends = said("lends").filter(|lends| (0..=i128::from(u64::MAX)).contains(lends));
    assert_eq!(lends.unwrap_or(0), terms.lends.into());
}

/// A socket with any options says terms that its like reads as they were meant.
fn expect_ours_understood(data: &[u8]) {
    let number = |at: usize| {
        data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(1000, i64::from_le_bytes)
    };
    let options = Options {
        ring_bytes: number(0).saturating_abs(),
        sndhwm: number(8),
        rcvhwm: number(16),
        conflate: number(24) & 1,
        overflow: number(32) & 3,
        arena_max: number(40).saturating_abs(),
        ..Options::default()
    };
    let mut inbound = Inbound::new(8192);
    inbound.feed(&greeting());
    inbound.feed(&ready(SocketType::Dealer, &options, true));
    assert!(inbound.next().is_ok());
    let Ok(Some(Event::Command { body, .. })) = inbound.next() else { panic!("our READY is not one") };
    let said = Ready::parse(&body).expect("our own READY");
    let read = terms(said.properties.get(PROPERTY)).expect("our own terms");
    assert_eq!(Ok(read.ring_bytes), u64::try_from(options.ring_bytes));
    assert_eq!((read.sndhwm, read.rcvhwm), (options.sndhwm, options.rcvhwm));
    assert_eq!((read.conflates, read.keeps), (options.conflate != 0, options.policy().keeps()));
    assert_eq!(read.lends, options.lends());
}
