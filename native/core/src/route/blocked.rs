//! The pipes that a refused send waits for, of the types that know them: ROUTER, STREAM, XPUB.
//!
//! A list is the calling thread's own, for between its attempt and its sleep other threads may send over the same
//! socket: one list for all would be of the last attempt, and whoever made an earlier one would wait for nothing.

use std::cell::Cell;
use std::sync::Arc;

use crate::socket::core::Core;

/// Sockets whose refusals one thread remembers: a proxy waits for three at once.
const SOCKETS: usize = 4;

struct Refusal {
    socket: usize,
    slots: Vec<usize>,
}

thread_local! {
    /// Newest last.
    static REFUSALS: Cell<Vec<Refusal>> = const { Cell::new(Vec::new()) };
}

impl Core {
    /// The calling thread's last send was refused by these.
    #[cold]
    pub fn wait_for(&self, slots: Vec<usize>) {
        let socket = self.identity();
        with_refusals(|refusals| {
            refusals.retain(|refusal| refusal.socket != socket);
            if refusals.len() == SOCKETS {
                refusals.remove(0);
            }
            refusals.push(Refusal { socket, slots });
        });
    }

    /// Arms every pipe that the calling thread's last send was refused by. False: one of them moved, or they are
    /// not known (any more): try again first.
    pub fn sleep_blocked(&mut self) -> bool {
        let socket = self.identity();
        let mut known = false;
        with_refusals(|refusals| {
            let Some(refusal) = refusals.iter().find(|refusal| refusal.socket == socket) else { return };
            // The mark may have been taken by whoever entered since: each pipe is asked again, and for the message
            // that it refused. It may be writable, for a small one.
            known = refusal.slots.iter().all(|slot| self.pipe(*slot).is_some() && self.sleep_out(*slot));
        });
        known
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.signaler).addr()
    }
}

/// Nothing is known any more to a thread that ends.
fn with_refusals(use_them: impl FnOnce(&mut Vec<Refusal>)) {
    let _ = REFUSALS.try_with(|cell| {
        let mut refusals = cell.take();
        use_them(&mut refusals);
        cell.set(refusals);
    });
}
