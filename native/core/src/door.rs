//! The door of a listener: who stands in it between its connection and the end of its handshake.
//!
//! At most [`PLACES`] may. When one more comes, somebody has to go: of the source (an address; over ipc all are one)
//! that holds most places, the one that has stood there longest. A peer that means well is through in a
//! moment, so whoever fills a door only ever pushes out its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use shmzmq_shm::table::Table;

use crate::dial::peer_ip;

/// Handshakes under way per listener.
const PLACES: usize = 1024;

/// From where somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    /// Over ipc: somebody on this host.
    Host,
}

#[derive(Default)]
struct Standing {
    /// Of each source its sessions by their arrival, the oldest first.
    by_source: HashMap<Source, Table<u64, u64>>,
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
    pub fn enter(self: &Arc<Door>, fd: BorrowedFd<'_>, token: u64) -> (Place, Option<u64>) {
        let source = peer_ip(fd).map_or(Source::Host, Source::Address);
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let goes = if standing.total >= PLACES { standing.longest() } else { None };
        standing.arrivals += 1;
        let arrival = standing.arrivals;
        standing.by_source.entry(source).or_default().insert(arrival, token);
        standing.total += 1;
        drop(standing);
        (Place { door: self.clone(), source, arrival }, goes)
    }
}

impl Standing {
    fn longest(&self) -> Option<u64> {
        let crowd = self.by_source.values().max_by_key(|crowd| crowd.len())?;
        crowd.values().next().copied()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut standing = self.door.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(crowd) = standing.by_source.get_mut(&self.source) else { return };
        let stood = crowd.remove(&self.arrival).is_some();
        if crowd.is_empty() {
            standing.by_source.remove(&self.source);
        }
        standing.total -= usize::from(stood);
    }
}
