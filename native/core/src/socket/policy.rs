//! How long a wait spins before it sleeps.
//!
//! Waking a sleeper costs tens of microseconds across CPUs, so two sides that both sleep never find
//! each other with a short spin. Spin up to the cap whenever the last publish found the peer awake;
//! after k failed spins skip 2^k waits. If it found the peer asleep, sleep at once, but let some waits
//! probe for about twice a wake-up's latency, so that two sides that fell asleep come back: the first
//! such wait, and after k vain probes every 2^k-th, at most every 64th.
//!
//! A spin is wrong, however often it is won, where others wait for this CPU who have more to do: many
//! readers of one publisher. So now and then a receiver that would spin gives its CPU away instead, and
//! if somebody used that it does not spin for a while.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::stats::Stats;

const SKIPS_MAX: u32 = 64;
const PROBE_EVERY: u32 = 64;
const PROBE: Duration = Duration::from_micros(100);
/// Bounds of `pace` in spin-loop hints, for small messages and for large ones, and the
/// bursts it aims between. Found by trying, docs/design/decisions/0004.
const GAP_MIN: u32 = 4;
const GAP_MAX: u32 = 64;
const GAP_MAX_LARGE: u32 = 1024;
const LARGE_MESSAGE: u64 = 16 * 1024;
const BURST_SMALL: u64 = 16;
const BURST_SMALL_BYTES: u64 = 256 * 1024;
const BURST_LARGE: u64 = 64;
const BURST_LARGE_BYTES: u64 = 768 * 1024;
/// A wait for a large message spins at most so long.
const COPYING_MAX: Duration = Duration::from_micros(25);
/// Waits without a pause after so many in a row that gathered nothing.
const NO_GAP: u32 = 256;
const VAIN_GAPS: u32 = 4;
/// Giving way is worth it if it brought something that soon; at least every so many-th wait tries.
const WAY_SOON: Duration = Duration::from_micros(50);
const WAY_LONG: Duration = Duration::from_micros(500);
const WAYS_MAX: u32 = 256;
/// If giving way took so long, somebody else wanted the CPU.
const CROWD: Duration = Duration::from_micros(10);
/// Then so many waits do not spin; of those that would spin, every so many-th asks. Found by trying (0004, part 8).
const CROWD_WAITS: u32 = 1024;
const ASK_EVERY: u32 = 512;
/// The CPUs are counted again after this many decisions: some may go offline.
const RECOUNT: u32 = 1024;
/// A spin on a stream that the caller reads by itself: what the kernel takes to bring the next piece.
const STREAM_SPIN: Duration = Duration::from_micros(20);

#[derive(Debug, Default)]
pub struct SpinPolicy {
    /// Spins in a row that found nothing.
    failed: u32,
    /// Waits still to be skipped.
    skip: u32,
    /// Probes in a row that found nothing, and waits until the next one.
    vain_probes: u32,
    until_probe: u32,
    spun: bool,
    /// Times of giving way in a row that were not worth it, and waits until the next one.
    vain_ways: u32,
    until_way: u32,
    /// The last one found something after that long; how many messages had been received before it.
    way: Option<(Duration, u64)>,
    /// Others want this CPU: waits still to be done without a spin. And spins until that is asked again.
    crowded: u32,
    until_asked: u32,
    /// Messages received when that was asked last.
    received: u64,
    /// Pause between two looks, doubled while each look finds few messages; see `pace`.
    gap: u32,
    /// Longest pauses in a row that gathered nothing, and waits still to be done without one.
    vain_gaps: u32,
    no_gap: u32,
    /// Bytes of a message, at the last wait.
    message: u64,
    /// Messages and bytes received, messages sent, at the last wait.
    seen: (u64, u64, u64),
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
            if self.until_probe > 0 {
                self.until_probe -= 1;
                return Duration::ZERO;
            }
            self.vain_probes = (self.vain_probes + 1).min(PROBE_EVERY.ilog2());
            self.until_probe = 1 << self.vain_probes;
            return PROBE;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Duration::ZERO;
        }
        if self.crowded > 0 {
            self.crowded -= 1;
            return Duration::ZERO;
        }
        self.spun = true;
        if self.failed >= 3 { PROBE } else { cap.max(self.copying()) }
    }

    /// The same for a stream that the caller reads by itself. Who sleeps there is woken by the sender's own system
    /// call, which costs it more than the bytes.
    pub fn stream_budget(&mut self, spin_us: i64) -> Duration {
        let budget = self.budget(spin_us, true);
        if spin_us < 0 && !budget.is_zero() { STREAM_SPIN } else { budget }
    }

    /// What a sender may take to copy the next message, if they are large: a sleep would take longer.
    fn copying(&self) -> Duration {
        if self.message < LARGE_MESSAGE {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.message / 4).min(COPYING_MAX)
    }

    /// True if a spin now would likely be won; decides nothing.
    pub fn promising(&self, spin_us: i64, peer_awake: bool) -> bool {
        spin_us > 0 || (spin_us < 0 && peer_awake && self.skip == 0 && self.crowded == 0 && !cap().is_zero())
    }

    /// Before a short spin: is it time for a wait that asks whether others want this CPU?
    pub fn asks_next(&mut self) -> bool {
        self.until_asked = self.until_asked.checked_sub(1).unwrap_or(ASK_EVERY);
        self.until_asked == 0
    }

    /// The coming wait asks.
    pub fn asks(&self) -> bool {
        self.until_asked == 0
    }

    /// It gave its CPU away for so long. Quick ones in a row end what a slow one began.
    pub fn saw_crowd(&mut self, took: Duration) {
        self.crowded = if took >= CROWD { CROWD_WAITS } else { self.crowded / 4 };
    }

    /// How long to pause between two looks of the coming spin, in spin-loop hints.
    ///
    /// A receiver that keeps up with its sender and looks at once meets it at every message: the index
    /// word's line, and the data's, then cross between the CPUs while both sides work on them. If it
    /// answers nothing (no send since the last wait), a pause lets a burst gather; the burst's size
    /// decides the next pause. Pauses that gather nothing were somebody's round trips over another
    /// socket: then there is none for a while. One that answers looks without a pause.
    pub fn pace(&mut self, stats: &Stats) -> u32 {
        let burst = stats.messages_received.wrapping_sub(self.seen.0);
        let bytes = stats.bytes_received.wrapping_sub(self.seen.1);
        let answers = stats.messages_sent != self.seen.2;
        self.seen = (stats.messages_received, stats.bytes_received, stats.messages_sent);
        self.message = bytes.checked_div(burst).unwrap_or(self.message);
        let longest = if self.message >= LARGE_MESSAGE { GAP_MAX_LARGE } else { GAP_MAX };
        self.gap = self.gap.min(longest);
        if burst > 1 {
            self.vain_gaps = 0;
        }
        if answers {
            self.gap = 0;
        } else if burst == 0 {
            // The wait goes on that was asked about before.
        } else if self.no_gap > 0 {
            self.no_gap -= 1;
        } else if burst == 1 && self.gap >= longest {
            self.vain_gaps += 1;
            if self.vain_gaps == VAIN_GAPS {
                (self.gap, self.vain_gaps) = (0, 0);
                self.no_gap = NO_GAP;
            }
        } else if burst < BURST_SMALL && bytes < BURST_SMALL_BYTES {
            self.gap = (self.gap * 2).clamp(GAP_MIN, longest);
        } else if burst >= BURST_LARGE || bytes >= BURST_LARGE_BYTES {
            self.gap /= 2;
        }
        self.gap
    }

    /// Whether the coming wait gives its CPU away once before it sleeps. It is worth it if something
    /// came soon, or much came: after k times that were not, every 2^k-th wait does. A long time with
    /// little in it was somebody else's slice, and the wait would have been woken sooner: the next one
    /// comes after the most waits.
    pub fn gives_way(&mut self, stats: &Stats) -> bool {
        self.received = stats.messages_received;
        if let Some((took, before)) = self.way.take() {
            let came = self.received.wrapping_sub(before);
            let much = came >= BURST_SMALL || came.saturating_mul(self.message) >= BURST_SMALL_BYTES;
            if took < WAY_SOON || much {
                self.vain_ways = self.vain_ways.saturating_sub(2);
                self.until_way = (1 << self.vain_ways) - 1;
            } else {
                self.way_was_vain(took);
            }
        }
        if self.until_way > 0 {
            self.until_way -= 1;
            return false;
        }
        true
    }

    pub fn gave_way(&mut self, moved: bool, took: Duration) {
        self.saw_crowd(took);
        if moved {
            self.way = Some((took, self.received));
            self.lost();
        } else {
            self.way_was_vain(took);
        }
    }

    fn way_was_vain(&mut self, took: Duration) {
        let most = WAYS_MAX.ilog2();
        self.vain_ways = if took < WAY_LONG { (self.vain_ways + 1).min(most) } else { most };
        self.until_way = 1 << self.vain_ways;
    }

    /// The spin found something.
    pub fn won(&mut self) {
        self.failed = 0;
        self.skip = 0;
        self.vain_probes = 0;
        self.until_probe = 0;
        self.spun = false;
    }

    /// The wait goes to sleep.
    pub fn slept(&mut self) {
        self.gap = if self.message < LARGE_MESSAGE { 0 } else { self.gap / 2 };
        self.lost();
    }

    fn lost(&mut self) {
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

/// The smaller of the CPUs online and the cgroup's CPU quota. Our own affinity mask does not count: two
/// processes that are each bound to one CPU of their own gain most from a spin, and if both are bound
/// to the same one the back-off after failed spins finds out (docs/design/decisions/0004).
fn effective_cpus() -> usize {
    // SAFETY: sysconf has no preconditions.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    static QUOTA: OnceLock<usize> = OnceLock::new();
    usize::try_from(online).unwrap_or(1).min(*QUOTA.get_or_init(|| quota().unwrap_or(usize::MAX)))
}

/// cgroup v2 `cpu.max`: "quota period" or "max period" (cgroup-v2.rst). Read once: it is a file.
fn quota() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/fs/cgroup/cpu.max").ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (usize, usize) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period).max(1))
}

#[cfg(test)]
mod tests {
    use super::{ASK_EVERY, CROWD, CROWD_WAITS, STREAM_SPIN, SpinPolicy, WAY_SOON};
    use crate::stats::Stats;
    use std::time::Duration;

    const QUICK: Duration = Duration::from_nanos(400);

    #[test]
    fn a_cpu_that_others_want_is_not_spun_on() {
        let mut policy = SpinPolicy::default();
        assert!(!policy.budget(-1, true).is_zero() || super::cap().is_zero());
        policy.saw_crowd(CROWD);
        for _ in 0..CROWD_WAITS {
            assert!(!policy.promising(-1, true));
            assert!(policy.budget(-1, true).is_zero());
        }
        assert!(policy.promising(-1, true) || super::cap().is_zero());
    }

    #[test]
    fn a_few_quick_returns_end_that() {
        let mut policy = SpinPolicy::default();
        policy.saw_crowd(CROWD);
        (0..8).for_each(|_| policy.saw_crowd(QUICK));
        assert!(policy.promising(-1, true) || super::cap().is_zero());
    }

    #[test]
    fn one_of_so_many_short_spins_asks() {
        let mut policy = SpinPolicy::default();
        let asked = (0..10 * (ASK_EVERY + 1)).filter(|_| policy.asks_next()).count();
        assert_eq!(asked, 10);
    }

    #[test]
    fn who_asked_for_a_spin_gets_it() {
        let mut policy = SpinPolicy::default();
        policy.saw_crowd(CROWD);
        assert_eq!(policy.budget(50, true), Duration::from_micros(50));
        assert!(policy.promising(50, true));
    }

    /// On one CPU the peer cannot send while we spin: that is found out, and costs little from then on.
    #[test]
    fn a_spin_on_a_stream_that_finds_nothing_is_rarely_tried_again() {
        let mut policy = SpinPolicy::default();
        let spun = (0..1000)
            .filter(|_| {
                let budget = policy.stream_budget(-1);
                policy.slept();
                assert!(budget.is_zero() || budget == STREAM_SPIN);
                !budget.is_zero()
            })
            .count();
        assert!(super::cap().is_zero() || (1..30).contains(&spun), "{spun} of 1000");
        assert_eq!(policy.stream_budget(0), Duration::ZERO);
        assert_eq!(policy.stream_budget(50), Duration::from_micros(50));
    }

    /// One message after a slice of somebody else's is little, unless it is a large one.
    #[test]
    fn giving_way_to_a_sender_of_large_messages_goes_on() {
        for (bytes, goes_on) in [(32, false), (1 << 20, true)] {
            let (mut policy, mut stats) = (SpinPolicy::default(), Stats::default());
            stats.messages_received = 1;
            stats.bytes_received = bytes;
            policy.pace(&stats);
            assert!(policy.gives_way(&stats));
            policy.gave_way(true, 2 * WAY_SOON);
            stats.messages_received += 1;
            assert_eq!(policy.gives_way(&stats), goes_on);
        }
    }
}
