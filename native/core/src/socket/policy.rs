//! How long a wait spins before it sleeps.
//!
//! Waking a sleeper costs tens of microseconds across CPUs, so two sides that both sleep never find
//! each other with a short spin. Spin up to the cap whenever the last publish found the peer awake;
//! after k failed spins skip 2^k waits. If it found the peer asleep, sleep at once, but let every
//! 64th wait probe for about twice a wake-up's latency, so that two sides that fell asleep come back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

const SKIPS_MAX: u32 = 64;
const PROBE_EVERY: u32 = 64;
const PROBE: Duration = Duration::from_micros(100);
/// The CPUs are counted again after this many decisions: affinity may change.
const RECOUNT: u32 = 1024;

#[derive(Debug, Default)]
pub struct SpinPolicy {
    /// Spins in a row that found nothing.
    failed: u32,
    /// Waits still to be skipped.
    skip: u32,
    /// Waits since the last probe.
    asleep: u32,
    spun: bool,
}

impl SpinPolicy {
    /// How long the coming wait may spin. `spin_us`: -1 adaptive, 0 never, else that long.
    pub fn budget(&mut self, spin_us: i64, peer_awake: bool) -> Duration {
        if spin_us >= 0 {
            return Duration::from_micros(spin_us as u64);
        }
        let cap = cap();
        if cap.is_zero() {
            return cap;
        }
        if !peer_awake {
            self.asleep += 1;
            if self.asleep < PROBE_EVERY {
                return Duration::ZERO;
            }
            self.asleep = 0;
            return PROBE;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Duration::ZERO;
        }
        self.spun = true;
        cap
    }

    /// True if a spin now would likely be won; decides nothing.
    pub fn promising(&self, spin_us: i64, peer_awake: bool) -> bool {
        spin_us > 0 || (spin_us < 0 && peer_awake && self.skip == 0 && !cap().is_zero())
    }

    /// The spin found something.
    pub fn won(&mut self) {
        self.failed = 0;
        self.skip = 0;
        self.spun = false;
    }

    /// The wait goes to sleep.
    pub fn slept(&mut self) {
        if std::mem::take(&mut self.spun) {
            self.failed = (self.failed + 1).min(SKIPS_MAX.ilog2());
            self.skip = 1 << self.failed;
        }
    }
}

/// By CPUs that we may use: 1: never spin, 2 or 3: 5 us, more: 20 us.
fn cap() -> Duration {
    static CPUS: AtomicUsize = AtomicUsize::new(0);
    static ASKED: AtomicU32 = AtomicU32::new(0);
    if ASKED.fetch_add(1, Ordering::Relaxed) % RECOUNT == 0 {
        CPUS.store(effective_cpus(), Ordering::Relaxed);
    }
    match CPUS.load(Ordering::Relaxed) {
        0 | 1 => Duration::ZERO,
        2 | 3 => Duration::from_micros(5),
        _ => Duration::from_micros(20),
    }
}

/// The smaller of the affinity mask and the cgroup's CPU quota.
fn effective_cpus() -> usize {
    let mask = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    static QUOTA: OnceLock<usize> = OnceLock::new();
    mask.min(*QUOTA.get_or_init(|| quota().unwrap_or(usize::MAX)))
}

/// cgroup v2 `cpu.max`: "quota period" or "max period" (cgroup-v2.rst). Read once: it is a file.
fn quota() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/fs/cgroup/cpu.max").ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    Some((quota / period).ceil().max(1.0) as usize)
}
