//! The words of the upgrade from ZMTP to rings: what is said, not when (that is the session's).
//!
//! ```text
//! connecter                                binder
//!   greeting  -------------------------->  greeting
//!   READY, X-SHM: abi page endian ring sndhwm rcvhwm keeps conflates lends
//!             -------------------------->
//!             <--------------------------  READY, X-SHM ...   and in the same sendmsg
//!                                          SHM-OFFER ring slot bell   + pipe segment, ready page, doorbell
//!   SHM-ACCEPT slot bell  + ready page, doorbell
//!             -------------------------->  both attach
//! later, either way, and a subscriber's before its ACCEPT already:
//!   SHM-RING number ring + segment         the next ring of the sender's direction
//!   SHM-ARENA number bytes + segment       memory in which the sender's large frames lie
//!   SHM-FORGET number                      that memory is given up, nothing lies in it any more
//!   SHM-HALT                               a connecter has to end this: hand out no more, and say BYE
//!   SHM-BYE                                this is the end; the fd stays open while somebody still reads
//!   SHM-CREDIT rcvhwm                      the reader's high-water mark was set anew
//!   SHM-WAKE                               doorbell, for those who keep no fd for it
//! instead of OFFER or ACCEPT:
//!   SHM-NO reason                          no rings; ZMTP traffic begins here
//! ```
//!
//! Bodies are text, `key=value` separated by spaces, so that strace shows what was agreed. Unknown
//! keys are ignored: that is how a later version adds to it.

use shmzmq_shm::layout;
use shmzmq_zmtp::{SocketType, encode_command, encode_ready};

use crate::options::Options;

pub const OFFER: &str = "SHM-OFFER";
pub const ACCEPT: &str = "SHM-ACCEPT";
pub const NO: &str = "SHM-NO";
pub const RING: &str = "SHM-RING";
pub const ARENA: &str = "SHM-ARENA";
pub const FORGET: &str = "SHM-FORGET";
pub const HALT: &str = "SHM-HALT";
pub const BYE: &str = "SHM-BYE";
pub const CREDIT: &str = "SHM-CREDIT";
pub const WAKE: &str = "SHM-WAKE";
pub const PROPERTY: &str = "X-SHM";

const ENDIAN: &str = if cfg!(target_endian = "little") { "little" } else { "big" };

/// The text of a command or property, taken apart.
pub struct Facts(Vec<(String, String)>);

impl Facts {
    pub fn parse(body: &[u8]) -> Facts {
        let text = String::from_utf8_lossy(body);
        let pairs = text.split(' ').filter_map(|word| word.split_once('='));
        Facts(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}

fn page() -> usize {
    rustix::param::page_size()
}

/// READY with all that the peer needs to decide; `rings`: we have some.
pub fn ready(kind: SocketType, options: &Options, rings: bool) -> Vec<u8> {
    let abi = layout::ABI;
    let shm = format!(
        "abi={abi}-{abi} page={} endian={ENDIAN} ring={} sndhwm={} rcvhwm={} keeps={} conflates={} lends={}",
        page(),
        options.ring_bytes,
        options.sndhwm,
        options.rcvhwm,
        u8::from(options.policy().keeps()),
        u8::from(options.conflate != 0),
        options.lends(),
    );
    let mut properties: Vec<(&str, &[u8])> = vec![("Socket-Type", kind.name().as_bytes())];
    // RFC 37: Identity from these three, also when empty.
    if matches!(kind, SocketType::Req | SocketType::Dealer | SocketType::Router) {
        properties.push(("Identity", &options.routing_id));
    }
    if rings {
        properties.push((PROPERTY, shm.as_bytes()));
    }
    let mut out = Vec::new();
    encode_ready(&properties, &mut out);
    out
}

/// What a peer said in X-SHM.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub ring_bytes: u64,
    pub sndhwm: i64,
    pub rcvhwm: i64,
    /// It may drop older messages of its ring: `skip` is to be looked at.
    pub keeps: bool,
    /// It wants to receive the newest message only.
    pub conflates: bool,
    /// Bytes of its memory that we may hold at a time.
    pub lends: u64,
}

/// Reads X-SHM, or says why there can be no rings.
pub fn terms(property: Option<&[u8]>) -> Result<Terms, String> {
    let facts = Facts::parse(property.ok_or("peer speaks plain ZMTP")?);
    let (low, high) = facts
        .text("abi")
        .and_then(|abi| abi.split_once('-'))
        .and_then(|(low, high)| Some((low.parse::<u32>().ok()?, high.parse::<u32>().ok()?)))
        .ok_or("peer names no layout versions")?;
    if !(low..=high).contains(&layout::ABI) {
        return Err(format!("peer has layout versions {low} to {high}, we have {}", layout::ABI));
    }
    if facts.number("page") != Some(page() as u64) || facts.text("endian") != Some(ENDIAN) {
        return Err("peer has another page size or byte order".to_owned());
    }
    let number = |key| facts.text(key).and_then(|text| text.parse::<i64>().ok());
    match (facts.number("ring"), number("sndhwm"), number("rcvhwm")) {
        (Some(ring_bytes), Some(sndhwm), Some(rcvhwm)) => {
            let flag = |key| facts.number(key) == Some(1);
            Ok(Terms {
                ring_bytes,
                sndhwm,
                rcvhwm,
                keeps: flag("keeps"),
                conflates: flag("conflates"),
                lends: facts.number("lends").unwrap_or(0),
            })
        }
        _ => Err("peer's X-SHM lacks ring, sndhwm or rcvhwm".to_owned()),
    }
}

fn command(name: &str, body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode_command(name, body.as_bytes(), &mut out);
    out
}

/// `bell`: whether we keep an fd for the peer's doorbell (it then has to send one).
pub fn offer(ring_bytes: usize, slot: usize, bell: bool) -> Vec<u8> {
    command(OFFER, &format!("ring={ring_bytes} slot={slot} bell={}", u8::from(bell)))
}

pub fn accept(slot: usize, bell: bool) -> Vec<u8> {
    command(ACCEPT, &format!("slot={slot} bell={}", u8::from(bell)))
}

pub fn no(reason: &str) -> Vec<u8> {
    command(NO, reason)
}

pub fn ring(number: u32, ring_bytes: usize) -> Vec<u8> {
    command(RING, &format!("number={number} ring={ring_bytes}"))
}

pub fn arena(number: u32, bytes: usize) -> Vec<u8> {
    command(ARENA, &format!("number={number} bytes={bytes}"))
}

pub fn forget(number: u32) -> Vec<u8> {
    command(FORGET, &format!("number={number}"))
}

pub fn halt() -> Vec<u8> {
    command(HALT, "")
}

pub fn bye() -> Vec<u8> {
    command(BYE, "")
}

pub fn credit(rcvhwm: i64) -> Vec<u8> {
    command(CREDIT, &format!("rcvhwm={rcvhwm}"))
}

pub fn wake() -> Vec<u8> {
    command(WAKE, "")
}
