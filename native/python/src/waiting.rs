//! A call that may wait: an attempt, then waits and attempts until it is done or its time is over.
//!
//! Knows the GIL (released while a wait sleeps), signals and the time-outs. Refuses to know what is
//! attempted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use shmzmq_core::error::Error;
use shmzmq_core::options::{Options, RCVTIMEO, SNDTIMEO};
use shmzmq_core::socket::{Interest, Socket as Core, Woken};

use crate::errors::raise;

pub const DONTWAIT: i64 = 1;
/// A spin holds the GIL at most this long; another thread may be the one we wait for.
const SPIN_WITH_GIL: Duration = Duration::from_micros(1);

/// Repeats `attempt` until it does not say Again, waiting in between as `flags` and the time-out allow.
#[inline]
pub fn until_done<T>(
    py: Python<'_>,
    core: &Arc<Core>,
    interest: Interest,
    flags: i64,
    mut attempt: impl FnMut(&Core) -> Result<T, Error>,
) -> PyResult<T> {
    match attempt(core) {
        Ok(done) => Ok(done),
        Err(Error::Again) if flags & DONTWAIT == 0 => wait_for(py, core, interest, &mut attempt),
        Err(error) => Err(raise(py, &error)),
    }
}

#[cold]
#[inline(never)]
fn wait_for<T>(
    py: Python<'_>,
    core: &Arc<Core>,
    interest: Interest,
    attempt: &mut dyn FnMut(&Core) -> Result<T, Error>,
) -> PyResult<T> {
    // Another thread may close the Python socket while the GIL is released.
    let core = core.clone();
    let option = if interest == Interest::Send { SNDTIMEO } else { RCVTIMEO };
    let mut deadline = None;
    let mut timed = false;
    loop {
        if !core.spin_briefly(interest, SPIN_WITH_GIL) {
            if !timed {
                let timeout = core.option(option).map_err(|error| raise(py, &error))?;
                deadline = Options::timeout(timeout).map(|timeout| Instant::now() + timeout);
                timed = true;
            }
            let woken = py.detach(|| core.wait(interest, deadline)).map_err(|error| raise(py, &error))?;
            if woken == Woken::Interrupted {
                py.check_signals()?;
            }
        }
        match attempt(&core) {
            Ok(done) => return Ok(done),
            Err(Error::Again) => {}
            Err(error) => return Err(raise(py, &error)),
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return Err(raise(py, &Error::Again));
        }
    }
}
