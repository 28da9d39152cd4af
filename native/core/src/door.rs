//! The door of a listener: who stands in it between its connection and the end of its handshake.
//!
//! At most [`PLACES`] may. When one more comes, somebody has to go: of the source (an address; over ipc all are one)
//! that holds most places, the one that has stood there longest. And when one more comes from a source that holds
//! [`OF_ONE`], those of it that have stood there for longer than [`LONG`] go until it holds fewer. A peer that means well
//! is through in less, so a thousand may come at once, and whoever fills a door only ever pushes out its own.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shmzmq_shm::table::Table;

use crate::dial::peer_ip;

/// Handshakes under way per listener.
const PLACES: usize = 1024;

/// Those of one source that may take long.
const OF_ONE: usize = 64;

/// What takes longer takes long. On two CPUs with eight busy loops, 600 processes that connected at once were through
/// in 0.3 to 5.3 s.
const LONG: Duration = Duration::from_secs(10);

/// From where somebody came: its address, or nothing over ipc, where all are on this host.
type Source = Option<IpAddr>;

struct Stander {
    token: u64,
    since: Instant,
}

#[derive(Default)]
struct Standing {
    /// Of each source its sessions by their arrival, the oldest first. Never empty ones.
    by_source: Table<Source, Table<u64, Stander>>,
    total: usize,
    arrivals: u64,
}

#[derive(Default)]
pub struct Door(Mutex<Standing>);

/// A place in a door; given back when it is dropped.
pub struct Place {
    door: Arc<Door>,
    source: Source,
    arrival: u64,
}

impl Door {
    /// The session `token` steps in; and who has to go for it.
    pub fn enter(self: &Arc<Door>, fd: BorrowedFd<'_>, token: u64) -> (Place, Vec<u64>) {
        let source = peer_ip(fd);
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (arrival, go) = standing.enter(source, token, Instant::now());
        drop(standing);
        (Place { door: self.clone(), source, arrival }, go)
    }
}

impl Standing {
    /// The number of the arrival, and who has to go; they have no place any more.
    fn enter(&mut self, source: Source, token: u64, now: Instant) -> (u64, Vec<u64>) {
        let mut go = Vec::new();
        while let Some(arrival) = self.outstays(source, now) {
            go.extend(self.leave(source, arrival));
        }
        if self.total >= PLACES
            && let Some((source, arrival)) = self.longest()
        {
            go.extend(self.leave(source, arrival));
        }
        self.arrivals += 1;
        if !self.by_source.contains_key(&source) {
            self.by_source.insert(source, Table::default());
        }
        if let Some(crowd) = self.by_source.get_mut(&source) {
            crowd.insert(self.arrivals, Stander { token, since: now });
            self.total += 1;
        }
        (self.arrivals, go)
    }

    /// Of a source that has its places: who has had one for too long.
    fn outstays(&self, source: Source, now: Instant) -> Option<u64> {
        let crowd = self.by_source.get(&source).filter(|crowd| crowd.len() >= OF_ONE)?;
        let (arrival, oldest) = crowd.iter().next()?;
        (now.duration_since(oldest.since) > LONG).then_some(*arrival)
    }

    /// Of the greatest crowd, who came first.
    fn longest(&self) -> Option<(Source, u64)> {
        let (source, crowd) = self.by_source.iter().max_by_key(|(_, crowd)| crowd.len())?;
        Some((*source, *crowd.keys().next()?))
    }

    /// Whose arrival that was, if it still had its place.
    fn leave(&mut self, source: Source, arrival: u64) -> Option<u64> {
        let crowd = self.by_source.get_mut(&source)?;
        let stander = crowd.remove(&arrival)?;
        if crowd.is_empty() {
            self.by_source.remove(&source);
        }
        self.total -= 1;
        Some(stander.token)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.0.lock().unwrap_or_else(PoisonError::into_inner).leave(self.source, self.arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(last: u8) -> Source {
        Some(IpAddr::from([127, 0, 0, last]))
    }

    /// So many of a source come at once, with tokens that count from `first`.
    fn come(standing: &mut Standing, source: Source, first: u64, count: usize, now: Instant) -> Vec<u64> {
        (first..).take(count).flat_map(|token| standing.enter(source, token, now).1).collect()
    }

    #[test]
    fn a_source_keeps_a_few_that_take_long() {
        let (mut standing, began) = (Standing::default(), Instant::now());
        assert_eq!(come(&mut standing, None, 0, 100, began), [], "all of them came just now");
        assert_eq!(come(&mut standing, None, 100, 1, began + LONG), [], "that is not long yet");
        let later = began + LONG + Duration::from_nanos(1);
        let go: Vec<u64> = (0..38).collect();
        assert_eq!(come(&mut standing, None, 101, 1, later), go, "with the newest there are 64");
        assert_eq!(standing.total, OF_ONE);
    }

    #[test]
    fn others_stay_where_one_source_takes_long() {
        let (mut standing, began) = (Standing::default(), Instant::now());
        let later = began + 2 * LONG;
        assert_eq!(come(&mut standing, address(1), 0, OF_ONE, began), []);
        assert_eq!(come(&mut standing, address(2), 100, OF_ONE, began), []);
        assert_eq!(come(&mut standing, address(3), 200, OF_ONE, later), []);
        assert_eq!(come(&mut standing, address(2), 300, 1, later), [100]);
    }

    /// Milliseconds between two steps: mostly none, so that crowds gather.
    fn pause() -> impl Strategy<Value = u64> {
        prop_oneof![29 => Just(0), 1 => 0u64..1000]
    }

    proptest! {
        /// Whatever comes and leaves: the bounds hold, and each that came has a place, or left, or had to go, once.
        #[test]
        fn places_are_counted(steps in prop::collection::vec((0u8..4, any::<prop::sample::Index>(), pause()), 0..3000)) {
            let (mut standing, mut now) = (Standing::default(), Instant::now());
            let mut inside: Vec<(Source, u64, u64)> = Vec::new();
            for (token, (last, which, pause)) in (0u64..).zip(steps) {
                now += Duration::from_millis(pause);
                if last == 0 && !inside.is_empty() {
                    let (source, arrival, token) = inside.remove(which.index(inside.len()));
                    prop_assert_eq!(standing.leave(source, arrival), Some(token));
                    prop_assert_eq!(standing.leave(source, arrival), None);
                    continue;
                }
                let source = address(last);
                let (arrival, go) = standing.enter(source, token, now);
                for gone in &go {
                    let at = inside.iter().position(|(_, _, token)| token == gone);
                    prop_assert!(at.is_some(), "{gone} had no place");
                    at.map(|at| inside.remove(at));
                }
                inside.push((source, arrival, token));
                prop_assert_eq!(standing.total, inside.len());
                prop_assert!(standing.total <= PLACES);
                let crowd = standing.by_source.get(&source).map_or(0, Table::len);
                let late = standing.by_source.get(&source).map_or(0, |crowd| {
                    crowd.values().filter(|stander| now.duration_since(stander.since) > LONG).count()
                });
                prop_assert!(late == 0 || crowd <= OF_ONE, "{late} of {crowd} stay too long");
            }
        }
    }
}
