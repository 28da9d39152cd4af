//! The endpoints of a socket by number, as texts: for who looks from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shmzmq_shm::table::Table;

/// How the socket has it.
#[derive(Debug, Clone)]
pub struct Named {
    pub bound: bool,
    pub text: Arc<[u8]>,
}

/// A leaf: under its lock nothing else happens.
#[derive(Default)]
pub struct Endpoints {
    named: Mutex<Table<u64, Named>>,
}

impl Endpoints {
    fn lock(&self) -> MutexGuard<'_, Table<u64, Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, number: u64, bound: bool, text: Arc<[u8]>) {
        self.lock().insert(number, Named { bound, text });
    }

    pub fn forget(&self, number: u64) {
        self.lock().remove(&number);
    }

    pub fn all(&self) -> Table<u64, Named> {
        self.lock().clone()
    }
}
